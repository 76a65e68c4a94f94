# The statements of the hot path use the index that they were written for, in
# tables that are empty, freshly loaded and never analysed, analysed, and bloated:
# what the server really ran is shown by auto_explain. A seq scan in any of them
# is what grows into an outage.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off\njobs.retry_base = 0");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION jobs;
CREATE TABLE known AS SELECT jobs.register_agent('agent') AS agent, jobs.add_function('@test:plans', '1') AS function;
SELECT jobs.set_agent_functions(agent, ARRAY[function]) FROM known;
SQL

# Whatever an agent and a submitter do, often enough for a plan to be kept.
sub rounds
{
	my ($times) = @_;
	my $agent = $node->safe_psql('postgres', 'SELECT agent FROM known');

	return <<"SQL" . (<<"SQL" x $times);
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_nested_statements = on;
SET auto_explain.log_level = notice;
SET jobs.sweep_interval = 0;
SET jobs.direct = off;
SQL
SELECT count(*) FROM jobs.add_job('\@test:plans', max_attempts => 3);
SELECT count(*) FROM jobs.add_jobs('[{"function": "\@test:plans"}, {"function": "\@test:plans"}, {"function": "\@test:plans"}, {"function": "\@test:plans", "run_after": "2000-01-01"}]');
SELECT job_id AS job FROM jobs.claim_jobs('$agent') \\gset
SELECT count(*) FROM jobs.update_job_status(:'job', 'RUNNING', 'x', '$agent');
SELECT count(*) FROM jobs.heartbeat('$agent');
SELECT job_id AS job FROM jobs.finish_and_claim(:'job', 'COMPLETED', NULL, '$agent') \\gset
SELECT count(*) FROM jobs.release_job(:'job', '$agent');
SELECT array_agg(job_id) AS batch FROM jobs.claim_jobs('$agent', 2) \\gset
SELECT count(*) FROM jobs.update_job_status(job_ids => :'batch', names => '{COMPLETED}', messages => NULL, agent_id => '$agent', attempts => NULL);
SELECT job_id AS job FROM jobs.claim_jobs('$agent') \\gset
SELECT count(*) FROM jobs.update_job_status(:'job', 'FAILED', 'x', '$agent');
SELECT (jobs.add_job('\@test:plans')).id AS job \\gset
SELECT count(*) FROM jobs.cancel_job(:'job');
SELECT count(*) FROM jobs.get_job(:'job');
SELECT count(*) FROM jobs.archive(:'job');
SELECT jobs.set_retention('1 us', '1 us', '1 us', '1 us');
SELECT jobs.prune(1000);
SELECT jobs.set_retention(completed => '1 us');
SELECT jobs.add_schedule('plans', '* * * * *', '{"function": "\@test:plans"}');
SET auto_explain.log_min_duration = -1;
UPDATE jobs_store.schedule SET next_run = now();
SET auto_explain.log_min_duration = 0;
SELECT jobs.sweep();
SELECT jobs.pause_schedule('plans');
SELECT jobs.resume_schedule('plans');
SQL
}

sub check
{
	my ($state) = @_;
	my ($stdout, $stderr) = ('', '');

	$node->psql('postgres', rounds(7), stdout => \$stdout, stderr => \$stderr, on_error_stop => 1);
	is(join("\n", grep { /^psql.*(?:ERROR|error)/ } split /\n/, $stderr), '', "$state: the calls work");
	# A sequence is one row, read as a table is.
	my @bad = grep { /Seq Scan on (?!known|ready_seq)|Bitmap|Join Filter|Hash (?:Anti |Semi |Left |Right )?Join|Merge Join/ } split /\n/, $stderr;
	is(join("\n", @bad), '', "$state: no plan but by index and nested loop");
	foreach my $index (qw(ready_pkey lease_pkey job_pkey job_status_pkey lane_function_idx waiting_check_at_idx lease_check_at_idx job_status_terminal_idx
		archive_status_pkey job_dependency_depends_on_idx revision_edge_source_idx retention_pkey schedule_next_run_idx))
	{
		like($stderr, qr/(?:using|Scan on) $index/, "$state: $index is used");
	}
	# The claim: an ordered walk of the lane, no sort of it.
	like($stderr, qr/LockRows[^\n]*\n\s*->\s+Index Scan using ready_pkey/, "$state: a claim walks the lane in order");
	return;
}

check('empty');
$node->safe_psql('postgres', q{SELECT count(*) FROM generate_series(1, 10), LATERAL jobs.add_jobs(
	(SELECT jsonb_agg('{"function": "@test:plans"}'::jsonb) FROM generate_series(1, 5000)))});
check('loaded, never analysed');
$node->safe_psql('postgres', 'ANALYZE');
check('analysed');

# Dead rows that vacuum may not remove.
my ($held, $got) = ('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;' . "\n", '');
my $holder = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$held, '>', \$got);
$holder->pump until $got =~ /1/;
$node->safe_psql('postgres', q{BEGIN; PREPARE t AS SELECT count(*) FROM known, jobs.claim_jobs(agent, 10000); EXECUTE t; EXECUTE t; EXECUTE t; COMMIT});
check('bloated');
$holder->kill_kill;
$node->safe_psql('postgres', 'DELETE FROM jobs_store.ready; ANALYZE jobs_store.ready');
check('emptied and analysed when empty');

done_testing();
