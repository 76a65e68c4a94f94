# The life of launcher and workers in one database: start, restart, crashes,
# signals wherever they may come, and settings that change.
use strict;
use warnings;

use Jobs;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

# What the workers run is explained in the log; which process a line is from stands before it.
my $node = preloaded_node('main', <<'CONF');
shared_preload_libraries = 'jobs, auto_explain'
auto_explain.log_min_duration = 0
auto_explain.log_nested_statements = on
log_line_prefix = '<%b> '
CONF
install($node, 'postgres');

# Start --------------------------------------------------------------------------
is($node->safe_psql('postgres', "SELECT count(*) || ' ' || count(datname) FROM pg_stat_activity WHERE backend_type = 'jobs launcher'"),
	'1 0', 'a launcher is there, in no database');
due_job($node, 'postgres');
swept($node, 'postgres', 'what is due is moved, with nobody claiming');
status_becomes($node, 'postgres', "outcome = 'done' AND moved = 1 AND passes > 0 AND failures = 0 AND ended >= started", 'the pass is told of');

# Restart ------------------------------------------------------------------------
restart($node);
due_job($node, 'postgres');
swept($node, 'postgres', 'after a restart as well');

# Crash of a worker, and of another process ----------------------------------------
my $holder = session($node, 'postgres');
$holder->run('SELECT pg_advisory_lock(42)');
gated($node, 'postgres');
due_job($node, 'postgres');
my $launcher = launcher_pid($node);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'jobs worker' AND wait_event = 'PgSleep'
	AND query = 'sweep of tenant 1' AND application_name = 'jobs worker'}), 'activity says what it does, and who it is');
# Process 0 would be all of the test's own.
my $worker = held($node, 'postgres', 'PgSleep') or die 'no worker to kill';
kill 'KILL', $worker;
$holder->close;
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'jobs launcher' AND pid <> $launcher"),
	'after the crash of a worker the server comes back, with a launcher');
swept($node, 'postgres', 'and what the crash undid is done');

$launcher = launcher_pid($node);
my $other = session($node, 'postgres');
kill 'KILL', $other->run('SELECT pg_backend_pid()');
$other->close;
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'jobs launcher' AND pid <> $launcher"),
	'after the crash of another process there is a launcher again');
due_job($node, 'postgres');
swept($node, 'postgres', 'which works');

# SIGTERM ------------------------------------------------------------------------
$launcher = launcher_pid($node);
ok($node->poll_query_until('postgres', "SELECT wait_event = 'Extension' FROM pg_stat_activity WHERE pid = $launcher"), 'the launcher waits');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'jobs launcher' AND pid <> $launcher"),
	'terminated in its wait, it is started again');
due_job($node, 'postgres');
swept($node, 'postgres', 'and goes on');

# Found and terminated by one statement: a worker does not wait for a lock for long.
sub terminated
{
	my ($event, $where) = @_;
	my $pid = '';

	for (my $n = 0; $pid eq '' && $n < 10 * $PostgreSQL::Test::Utils::timeout_default; $n++)
	{
		usleep(100_000) if $n > 0;
		$pid = $node->safe_psql('postgres', qq{SELECT pid FROM (SELECT pid FROM pg_stat_activity
			WHERE backend_type = 'jobs worker' AND '$event' IN (wait_event, wait_event_type) OFFSET 0) x WHERE pg_terminate_backend(pid) LIMIT 1});
	}
	like($pid, qr/^\d+$/, "a worker is terminated $where");
	ok($node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)"), "and ends, $where");
	return;
}

hold_by($node, 'postgres', 'PERFORM pg_sleep(600)');
due_job($node, 'postgres');
terminated('PgSleep', 'in a query');
status_becomes($node, 'postgres', 'failures > 0', 'which counts as a failure');
hold_by($node, 'postgres', 'NULL');
# One that came meanwhile sleeps in the old function.
ok($node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM jobs_store.waiting WHERE check_at < now())
	AND count(pg_terminate_backend(pid)) = 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'}), 'the next one does the work');
status_becomes($node, 'postgres', "outcome = 'done' AND failures = 0", 'and failures are forgotten');

due_job($node, 'postgres');
swept($node, 'postgres', 'nothing is due');
my $locker = session($node, 'postgres');
$locker->run('BEGIN; LOCK TABLE jobs_store.waiting');
terminated('Lock', 'in a lock wait');
$locker->run('ROLLBACK');
due_job($node, 'postgres');
swept($node, 'postgres', 'the lock gone, work goes on');

# A lock is not waited for without limit.
$node->safe_psql('postgres', "ALTER DATABASE postgres SET lock_timeout = '10ms'");
$locker->run('BEGIN; LOCK TABLE jobs_store.waiting');
status_becomes($node, 'postgres', "failures > 1", 'a pass that waits for too long for a lock fails');
$locker->run('ROLLBACK');
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET lock_timeout');
due_job($node, 'postgres');
swept($node, 'postgres', 'and the one after the lock does not');
like(slurp_file($node->logfile), qr/maintenance of tenant 1 by a background worker of jobs/, 'the log says which tenant it was about');

# Settings -----------------------------------------------------------------------
sub reload
{
	my ($setting, $value) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET $setting = $value");
	$node->reload;
	return;
}

reload('jobs.worker', 'off');
ok($node->poll_query_until('postgres', "SELECT query = 'off' FROM pg_stat_activity WHERE backend_type = 'jobs launcher'"), 'switched off by reload');
ok($node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'jobs worker')"), 'no worker is left');
my $passes = status($node, 'postgres', 'passes');
due_job($node, 'postgres');
is(status($node, 'postgres', 'passes'), $passes, 'and no pass is made');
is($node->safe_psql('postgres', 'SELECT count(*) FROM jobs_store.waiting'), '1', 'so the job waits');
reload('jobs.worker', 'on');
swept($node, 'postgres', 'until it is switched on');

reload('jobs.worker_interval', "'1h'");
ok($node->poll_query_until('postgres', 'SHOW jobs.worker_interval', '1h'), 'a long interval');
reload('jobs.worker_interval', "'20ms'");
due_job($node, 'postgres');
swept($node, 'postgres', 'and a short one again, in force at once');

$node->safe_psql('postgres', 'CREATE DATABASE "Other one"');
install($node, 'Other one');
due_job($node, 'Other one');
swept($node, 'Other one', 'another database is served');
reload('jobs.worker_databases', q('"Other one"'));
ok($node->poll_query_until('postgres', 'SHOW jobs.worker_databases', '"Other one"'), 'a list of databases');
launcher_looks($node, 'Other one');
$passes = status($node, 'postgres', 'passes');
due_job($node, 'Other one');
swept($node, 'Other one', 'the one in the list is served');
launcher_looks($node, 'Other one');
is(status($node, 'postgres', 'passes'), $passes, 'and no other');
reload('jobs.worker_databases', q(''));
due_job($node, 'postgres');
swept($node, 'postgres', 'an empty list means all');

# Schedules ------------------------------------------------------------------------
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE ann;
SELECT jobs.add_user('ann@example.org', 'ann');
SET ROLE ann;
SELECT jobs.add_schedule(n, '@yearly', '{"function": "@test:worker"}') FROM unnest(ARRAY['broken', 'of ann']) n;
RESET ROLE;
UPDATE jobs_store.schedule SET next_run = now(), job = CASE name WHEN 'broken' THEN '{"function": "@test:gone"}' ELSE job END;
SQL
ok($node->poll_query_until('postgres', q{SELECT string_agg(concat_ws(' ', name, last_status, error_code), ', ' ORDER BY name)
	FROM jobs.schedules WHERE next_run > now()}, 'broken JB404, of ann PENDING'), 'a schedule adds its job, and another one has its error, with nobody claiming');
is($node->safe_psql('postgres', 'SELECT u.email FROM jobs_store.user_account u JOIN jobs_store.job j ON j.created_by_id = u.id JOIN jobs.schedules s ON s.last_job_id = j.id'),
	'ann@example.org', 'the job belongs to the user of the schedule');

my ($code, $out, $err) = $node->psql('postgres', "\\set VERBOSITY sqlstate\nALTER SYSTEM SET jobs.worker_databases = 'a,,b'");
like($err, qr/22023/, 'what is no list is refused');

# Plans ----------------------------------------------------------------------------
my @explained = grep { /^jobs worker> .*plan:/ } split /^</m, slurp_file($node->logfile);
cmp_ok(scalar @explained, '>', 100, 'what workers run is in the log');
ok((grep { /Index[^\n]* Scan using tenant_pkey/ } @explained), 'they find the tenants by key');
is(join('', grep { /Seq Scan on (?!ready_seq)|Bitmap|Hash (?:Anti |Semi |Left |Right )?Join|Merge Join/ } @explained), '', 'no plan reads a whole table');

$node->stop;
done_testing();
