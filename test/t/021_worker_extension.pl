# Workers and the extension: absent, being created, being dropped, of another
# version; and a tenant whose maintenance fails.
use strict;
use warnings;

use Jobs;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = preloaded_node('main');
install($node, 'postgres');

# Absent, and created ------------------------------------------------------------
$node->safe_psql('postgres', 'CREATE DATABASE d');
status_becomes($node, 'd', "outcome = 'absent'", 'a database without the extension is visited');
my $session = session($node, 'd');
$session->run('BEGIN; CREATE EXTENSION jobs; SELECT jobs.sweep()');
launcher_looks($node, 'd');
is(status($node, 'd', 'outcome'), 'absent', 'one whose creation is not committed is not there');
$session->run('ROLLBACK');
launcher_looks($node, 'd');
is(status($node, 'd', 'outcome'), 'absent', 'nor one whose creation was undone');
$session->run('BEGIN; CREATE EXTENSION jobs; COMMIT');
status_becomes($node, 'd', "outcome = 'done'", 'one that was created is found');
$session->run('DROP EXTENSION jobs');
status_becomes($node, 'd', "outcome = 'absent'", 'and so it is when it was dropped');

# Use is noticed, however rarely workers look by themselves.
$node->safe_psql('postgres', "ALTER SYSTEM SET jobs.worker_discovery_interval = '10d'");
$node->reload;
ok($node->poll_query_until('postgres', 'SHOW jobs.worker_discovery_interval', '10d'), 'workers hardly ever look');
install($node, 'd');
due_job($node, 'd');
swept($node, 'd', 'but where the extension is used they come');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET jobs.worker_discovery_interval');
$node->reload;

# Dropped during a pass ----------------------------------------------------------
# The pass is held while it has locks; DROP EXTENSION waits for it.
sub drop_in_pass
{
	my ($end) = @_;
	my $holder = session($node, 'd');

	$holder->run('SELECT pg_advisory_lock(42)');
	due_job($node, 'd');
	held($node, 'd', 'PgSleep');
	$session->send('BEGIN; DROP EXTENSION jobs CASCADE');
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'object' AND classid = 'pg_extension'::regclass AND NOT granted}),
		"$end: DROP EXTENSION waits for the pass");
	$holder->run('SELECT pg_advisory_unlock(42)');
	$session->wait;
	status_becomes($node, 'd', "outcome = 'stepped aside'", "$end: then workers step aside");
	$session->run($end);
	$holder->close;
	return;
}

my $errors = log_count($node, qr/(?:ERROR|FATAL):/);
gated($node, 'd');
drop_in_pass('ROLLBACK');
due_job($node, 'd');
swept($node, 'd', 'a drop that was undone: work goes on');
drop_in_pass('COMMIT');
status_becomes($node, 'd', "outcome = 'absent'", 'a drop that was committed: nothing is left to do');
is(log_count($node, qr/(?:ERROR|FATAL):/), $errors, 'and no error came of it');

# Another version ----------------------------------------------------------------
$node->safe_psql('d', 'DROP FUNCTION hold() CASCADE');
install($node, 'd');
due_job($node, 'd');
swept($node, 'd', 'created again: served again');
my $version = $node->safe_psql('d', "SELECT extversion FROM pg_extension WHERE extname = 'jobs'");
$node->safe_psql('d', <<'SQL');
SELECT count(*) FROM jobs.add_job('@test:worker', run_after => '2100-01-01');
UPDATE pg_extension SET extversion = '0.0.1' WHERE extname = 'jobs';
SQL
status_becomes($node, 'd', "outcome = 'other version'", 'a version older than the library is seen');

# Due only now: a pass that had begun before might have served it.
$node->safe_psql('d', 'UPDATE jobs_store.waiting SET check_at = clock_timestamp()');
launcher_looks($node, 'd');
is($node->safe_psql('d', 'SELECT count(*) FROM jobs_store.waiting'), '1', 'and left alone');
is(log_count($node, qr/extension "jobs" in database "d" has version 0.0.1/), 1, 'which is said once');

# The staged folder of the extension, where an update script is put for a moment.
my ($folder) = slurp_file($ENV{TEMP_CONFIG}) =~ /^extension_(?:destdir|control_path) = '([^':]+)/m;
my ($control) = grep { -e } map { "$folder$_/extension/jobs.control" } '', $node->config_data('--sharedir');
my $script = $control =~ s/jobs\.control$/jobs--0.0.1--$version.sql/r;
append_to_file($script, "COMMENT ON SCHEMA jobs IS 'Updated';\n");
END { unlink $script if defined $script }
$node->safe_psql('d', 'ALTER EXTENSION jobs UPDATE');
swept($node, 'd', 'after ALTER EXTENSION UPDATE it is served');

# The update does not wait for a pass, nor a pass for it, unless they want the same table.
gated($node, 'd');
my $holder = session($node, 'd');
$holder->run('SELECT pg_advisory_lock(42)');
due_job($node, 'd');
held($node, 'd', 'PgSleep');
$node->safe_psql('d', "UPDATE pg_extension SET extversion = '0.0.1' WHERE extname = 'jobs'; ALTER EXTENSION jobs UPDATE");
$holder->run('SELECT pg_advisory_unlock(42)');
swept($node, 'd', 'an update during a pass');

# Read-only ----------------------------------------------------------------------
$node->safe_psql('postgres', 'ALTER DATABASE d SET default_transaction_read_only = on');
status_becomes($node, 'd', "outcome = 'read only'", 'a database that is read-only by default is left alone');
$node->safe_psql('postgres', 'ALTER DATABASE d RESET default_transaction_read_only');
due_job($node, 'd');
swept($node, 'd', 'until it is not');
is(log_count($node, qr/(?:ERROR|FATAL):/), $errors, 'no error up to here');

# A tenant whose maintenance fails -----------------------------------------------
$node->safe_psql('d', <<'SQL');
SELECT jobs.add_user('other@example.org', tenant_id => jobs.add_tenant('other'), administrator => true);
CREATE ROLE other;
UPDATE jobs_store.user_account SET role_name = 'other' WHERE email = 'other@example.org';
SET ROLE other;
SELECT jobs.set_agent_functions(jobs.register_agent('agent'), ARRAY[jobs.add_function('@test:worker', '1')]);
SQL
hold_by($node, 'd', q{IF NEW.tenant = 1 THEN RAISE 'not this one' USING ERRCODE = 'ZZ001'; END IF});
due_job($node, 'd');
$node->safe_psql('d', <<'SQL');
BEGIN;
SET ROLE other;
SELECT count(*) FROM jobs.add_job('@test:worker', run_after => '2100-01-01');
RESET ROLE;
UPDATE jobs_store.waiting SET check_at = clock_timestamp() WHERE tenant <> 1;
COMMIT;
SQL
ok($node->poll_query_until('d', 'SELECT NOT EXISTS (SELECT FROM jobs_store.waiting WHERE tenant <> 1)'), 'the tenants after one that fails are served');
is($node->safe_psql('d', 'SELECT count(*) FROM jobs_store.waiting WHERE tenant = 1'), '1', 'the one that fails waits');
status_becomes($node, 'd', 'failures > 2', 'failures are counted');
hold_by($node, 'd', 'NULL');
swept($node, 'd', 'until it does not fail any more');
status_becomes($node, 'd', "failures = 0 AND outcome = 'done'", 'and they are forgotten');

$session->close;
$holder->close;
$node->stop;
done_testing();
