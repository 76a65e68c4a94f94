# Workers and databases: dropped, renamed, used as template, closed; and how many
# workers there may be.
use strict;
use warnings;

use Jobs;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = preloaded_node('main');
install($node, 'postgres');

# Commands that want a database for themselves, between passes that never pause.
$node->safe_psql('postgres', 'ALTER SYSTEM SET jobs.worker_interval = 10');
$node->reload;
$node->safe_psql('postgres', 'CREATE DATABASE a');
install($node, 'a');
status_becomes($node, 'a', 'passes > 3', 'a database is served');
foreach my $round (1 .. 5)
{
	$node->safe_psql('postgres', "ALTER DATABASE a RENAME TO b");
	$node->safe_psql('postgres', "CREATE DATABASE a TEMPLATE b");
	$node->safe_psql('postgres', "DROP DATABASE b");
}
pass('RENAME, TEMPLATE and DROP succeed while passes are made');
due_job($node, 'a');
swept($node, 'a', 'a copy is served as the original was');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM jobs.worker_status() WHERE database = 'b'}), 'what was dropped is forgotten');
$node->safe_psql('postgres', 'ALTER DATABASE a RENAME TO b');
due_job($node, 'b');
swept($node, 'b', 'a database with a new name is served');
$node->safe_psql('postgres', 'ALTER DATABASE b RENAME TO a');

# Dropped by force during a pass.
$node->safe_psql('postgres', 'CREATE DATABASE c');
install($node, 'c');
holdable($node, 'c', 'PERFORM pg_sleep(600)');
due_job($node, 'c');
my $worker = held($node, 'c', 'PgSleep');
$node->safe_psql('postgres', 'DROP DATABASE c WITH (FORCE)');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $worker"), '0', 'DROP DATABASE WITH (FORCE) ends a pass');
due_job($node, 'a');
swept($node, 'a', 'and the others go on');

# Not accepting connections, a template: no visits. The launcher looks at the same
# list for all databases, so once it has visited another one it has passed these by.
sub not_visited
{
	my ($database, $what) = @_;

	launcher_looks($node, 'postgres');
	ok($node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = '$database')"), "$what: no worker is there");
	my $passes = status($node, $database, 'passes');
	launcher_looks($node, 'postgres');
	is(status($node, $database, 'passes'), $passes, "$what: not visited");
	return;
}
$node->safe_psql('postgres', 'ALTER DATABASE a ALLOW_CONNECTIONS false');
not_visited('a', 'a database that does not accept connections');
my $fatal = log_count($node, qr/FATAL:/);
launcher_looks($node, 'postgres');
is(log_count($node, qr/FATAL:/), $fatal, 'and nobody tries');
$node->safe_psql('postgres', 'ALTER DATABASE a ALLOW_CONNECTIONS true');
due_job($node, 'a');
swept($node, 'a', 'once it does, it is served');
$node->safe_psql('postgres', 'ALTER DATABASE a IS_TEMPLATE true');
not_visited('a', 'a template');
$node->safe_psql('postgres', "ALTER SYSTEM SET jobs.worker_databases = 'a, postgres'");
$node->reload;
due_job($node, 'a');
swept($node, 'a', 'unless it is named');
$node->safe_psql('postgres', 'ALTER DATABASE a IS_TEMPLATE false');

# One that somebody began to drop and could not finish.
$node->safe_psql('postgres', 'CREATE DATABASE broken');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET jobs.worker_databases');
$node->reload;
status_becomes($node, 'broken', "outcome = 'absent'", 'a database without the extension');
$node->safe_psql('postgres', "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'broken'");
not_visited('broken', 'a database whose removal was interrupted');
$node->safe_psql('postgres', 'DROP DATABASE broken');

# How many at once ---------------------------------------------------------------
# The pass in a database that is held keeps its worker; the others wait for it.
$node->safe_psql('postgres', 'ALTER SYSTEM SET jobs.max_workers = 1');
$node->reload;
ok($node->poll_query_until('postgres', 'SHOW jobs.max_workers', '1'), 'one worker at once');
my $gate = session($node, 'a');
$gate->run('SELECT pg_advisory_lock(42)');
gated($node, 'a');
due_job($node, 'a');
held($node, 'a', 'PgSleep');
due_job($node, 'postgres');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'jobs worker'}), '1', 'there is one');
is($node->safe_psql('postgres', 'SELECT count(*) FROM jobs_store.waiting'), '1', 'and the other database waits');
$node->safe_psql('postgres', 'ALTER SYSTEM SET jobs.max_workers = 2');
$node->reload;
swept($node, 'postgres', 'until there may be two');
$gate->run('SELECT pg_advisory_unlock(42)');
swept($node, 'a', 'and the held one goes on');
$gate->close;

# No slot: the launcher's own and one for a worker are all that there is, next to
# the one of the server's own for logical replication.
$node->append_conf('postgresql.conf', 'max_worker_processes = 3');
my $logged = -s $node->logfile;
restart($node);
$gate = session($node, 'a');
$gate->run('SELECT pg_advisory_lock(42)');
due_job($node, 'a');
held($node, 'a', 'PgSleep');
due_job($node, 'postgres');
$node->wait_for_log(qr/no background worker could be started for the maintenance/, $logged);
pass('without a free slot the log says so');
is($node->safe_psql('postgres', 'SELECT count(*) FROM jobs_store.waiting'), '1', 'the other database waits');
$gate->run('SELECT pg_advisory_unlock(42)');
swept($node, 'postgres', 'until a slot is free');
swept($node, 'a', 'and all is done');
is(log_count($node, qr/no background worker could be started for the maintenance/), 1, 'it was said once');
$gate->close;
$node->stop;
done_testing();
