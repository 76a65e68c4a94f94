# Nothing has to be preloaded: without background workers claims and sweep() do
# all of the maintenance. The same story with the library preloaded and its
# workers switched off.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

foreach my $preload ('', 'jobs')
{
	my $where = $preload ? 'preloaded, workers off' : 'not preloaded';
	my $node = PostgreSQL::Test::Cluster->new($preload ? 'off' : 'absent');
	$node->init;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$preload'\nfsync = off\njobs.worker = off\njobs.lost_grace = 0");
	$node->start;
	$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION jobs;
CREATE TABLE agent AS SELECT jobs.register_agent('agent') AS id;
SELECT jobs.set_agent_functions(id, ARRAY[jobs.add_function('@test:preload', '1')]) FROM agent;
SQL
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'jobs launcher'"), $preload ? '1' : '0',
		"$where: a launcher only when preloaded");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM jobs.worker_status() WHERE passes > 0'), '0', "$where: no pass is told of");

	# A job that is late, and a lease that ran out: by sweep().
	my $job = $node->safe_psql('postgres', <<'SQL');
BEGIN;
SELECT id FROM jobs.add_job('@test:preload', run_after => '2100-01-01', max_attempts => 3, backoff => 'none');
UPDATE jobs_store.waiting SET check_at = clock_timestamp();
COMMIT;
SQL
	is($node->safe_psql('postgres', 'SELECT jobs.sweep()'), '1', "$where: sweep() moves what is due");
	my $past = "UPDATE jobs_store.lease SET expires = clock_timestamp(), check_at = clock_timestamp()";
	is($node->safe_psql('postgres', "SELECT job_id FROM agent, jobs.claim_jobs(id)"), $job, "$where: the job is claimed");
	$node->safe_psql('postgres', $past);
	is($node->safe_psql('postgres', "SELECT jobs.sweep(); SELECT jobs.sweep()"), "1\n1", "$where: sweep() deals with leases");
	is($node->safe_psql('postgres', "SELECT attempt FROM agent, jobs.claim_jobs(id)"), '2', "$where: the job is claimed again");

	# The same by a claim, which sweeps before it looks for work.
	$node->safe_psql('postgres', $past);
	is($node->safe_psql('postgres', <<'SQL'), '3', "$where: a claim rescues what was lost");
SET jobs.sweep_interval = 0;
SELECT attempt FROM agent, jobs.claim_jobs(id)
UNION ALL SELECT attempt FROM agent, jobs.claim_jobs(id)
UNION ALL SELECT attempt FROM agent, jobs.claim_jobs(id);
SQL
	$node->stop;
}

done_testing();
