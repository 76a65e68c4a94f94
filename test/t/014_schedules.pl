# Schedules under sweeps that run at the same time: each time comes once, with
# sweeps that are rolled back among them; and after the server was down.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $schedules = 30;
my $rounds = 6;
my $sweepers = 4;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
$node->safe_psql('postgres', <<"SQL");
CREATE EXTENSION jobs;
SELECT jobs.add_function('\@t:one', '1');
SELECT jobs.add_schedule('schedule ' || n, '\@yearly', jsonb_build_object('function', '\@t:one', 'parameters', n), overlap => true)
FROM generate_series(1, $schedules) n;
CREATE TABLE sweep (swept integer);
SQL

# One sweep a transaction; some change their mind.
my $script = PostgreSQL::Test::Utils::tempdir . '/sweep.sql';
append_to_file($script, <<'SQL');
\set again random(1, 4)
BEGIN;
INSERT INTO sweep SELECT jobs.sweep();
\if :again > 1
COMMIT;
\else
ROLLBACK;
\endif
SQL

foreach my $round (1 .. $rounds)
{
	$node->safe_psql('postgres', 'UPDATE jobs_store.schedule SET next_run = now()');
	$node->command_ok([ 'pgbench', '-n', '-c', $sweepers, '-j', 1, '-t', 5, '-f', $script, 'postgres' ], "round $round");
	$node->safe_psql('postgres', 'INSERT INTO sweep SELECT jobs.sweep()');
	is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT parameters), min(n), max(n) FROM'
			. ' (SELECT parameters, count(*) AS n FROM jobs_store.job GROUP BY 1) j'),
		"$schedules|$schedules|$round|$round", "round $round: each schedule has added one more job");
}
is($node->safe_psql('postgres', 'SELECT sum(swept) FROM sweep'), $schedules * $rounds, 'the sweeps say how many they have added');
is($node->safe_psql('postgres', 'SELECT count(*) FROM jobs.check_integrity()'), '0', 'queue and history agree');

# The server was down for a while.
$node->safe_psql('postgres', <<'SQL');
SELECT jobs.remove_schedule(name) FROM jobs.schedules;
SELECT jobs.add_schedule('skip', '@yearly', '{"function": "@t:one"}');
SELECT jobs.add_schedule('once', '@yearly', '{"function": "@t:one"}', missed => 'once');
UPDATE jobs_store.schedule SET next_run = now() - interval '3 years';
SQL
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT jobs.sweep(); SELECT name, last_job_id IS NOT NULL, last_skipped IS NOT NULL, next_run > now() FROM jobs.schedules ORDER BY 1'),
	"1\nonce|t|f|t\nskip|f|t|t", 'after a crash, what was missed is skipped, or made up for by one job');

$node->stop;
done_testing();
