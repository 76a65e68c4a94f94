# Jobs are added by transactions that take their time, commit, abort or roll back
# to a savepoint, while agents claim one, many, in long transactions, roll back,
# release and finish. In the end, what the agents' own sessions left behind is
# asked: no job is ever left unclaimed, and none was in two hands.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $agents = 6;

# The same with marks in each session's own memory and with shared ones.
foreach my $preload ('', 'jobs')
{
	my $where = $preload ? 'preloaded' : 'not preloaded';
	my $node = PostgreSQL::Test::Cluster->new($preload ? 'shared' : 'own');
	$node->init;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$preload'\nfsync = off\nmax_connections = 50");
	$node->start;
	$node->safe_psql('postgres', <<"SQL");
CREATE EXTENSION jobs;
CREATE TABLE agent AS SELECT n AS client, jobs.register_agent('agent ' || n) AS id FROM generate_series(0, $agents - 1) n;
SELECT jobs.set_agent_functions(id, ARRAY[jobs.add_function('\@stress:a', '1'), jobs.add_function('\@stress:b', '1')]) FROM agent;
SQL
	my $dir = PostgreSQL::Test::Utils::tempdir;
	my %script = (
		# how a job comes: late, with a savepoint, not at all
		add => <<'SQL',
\set function random(1, 2)
\set priority random(1, 2)
\set wait random(0, 30)
\set fate random(1, 10)
BEGIN;
SELECT count(*) FROM jobs.add_job(CASE :function WHEN 1 THEN '@stress:a' ELSE '@stress:b' END, priority => :priority);
SAVEPOINT s;
SELECT count(*) FROM jobs.add_job('@stress:a', priority => :priority);
\if :fate <= 3
ROLLBACK TO s;
\endif
\if :fate <= 8
\sleep :wait ms
\endif
\if :fate = 10
ROLLBACK;
\else
COMMIT;
\endif
SQL
		# how it goes: claimed in a batch, sometimes given up in one way or another
		work => <<'SQL',
\set many random(1, 3)
\set fate random(1, 20)
\set wait random(0, 5)
SELECT id AS agent FROM agent WHERE client = :client_id
\gset
BEGIN;
SAVEPOINT s;
SELECT count(*) FROM jobs.claim_jobs(:'agent', :many);
\if :fate = 1
\sleep :wait ms
ROLLBACK TO s;
SELECT count(*) FROM jobs.claim_jobs(:'agent', 1);
\endif
\if :fate = 2
ROLLBACK;
\else
COMMIT;
\endif
\if :fate = 3
SELECT count(jobs.release_job(l.job_id, l.agent_id)) FROM (SELECT job_id, agent_id FROM jobs_store.lease WHERE agent_id = :'agent') l;
\else
SELECT count(*) FROM (SELECT array_agg(job_id) AS ids FROM jobs_store.lease WHERE agent_id = :'agent') l,
	jobs.update_job_status(l.ids, '{COMPLETED}', NULL, :'agent', NULL) WHERE l.ids IS NOT NULL;
\endif
SQL
	);
	foreach my $name (keys %script)
	{
		$script{$name} =~ s/:'agent'/CAST(:agent AS uuid)/g;
		append_to_file("$dir/$name.sql", $script{$name});
	}

	my @pgbench = ('pgbench', '-n', '-h', $node->host, '-p', $node->port, '-U', $node->connstr =~ /user=(\S+)/ ? $1 : (getpwuid $<)[0]);
	my ($out, $err) = ('', '');
	# The agents go on for a while after the last job has come.
	my $work = IPC::Run::start([ @pgbench, '-M', 'prepared', '-c', $agents, '-T', 12, '-f', "$dir/work.sql", 'postgres' ], '>', \$out, '2>', \$err);
	$node->command_ok([ @pgbench, '-c', 6, '-T', 8, '-f', "$dir/add.sql", 'postgres' ], "$where: jobs are added");
	ok($work->finish, "$where: agents work") or diag($err);

	my $figures = $node->safe_psql('postgres', q{SELECT
		(SELECT count(*) FROM jobs_store.job), (SELECT count(*) FROM jobs_store.job_status WHERE name = 'CLAIMED')});
	note("$where: jobs, claims: $figures");
	cmp_ok((split /\|/, $figures)[0], '>', 1000, "$where: thousands of jobs");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM jobs_store.ready'), '0', "$where: no job is left behind");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM jobs_store.lease'), '0', "$where: no job is held for ever");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM jobs_store.job j WHERE 1 <> (SELECT count(*)
		FROM jobs_store.job_status s WHERE s.tenant = j.tenant AND s.job_id = j.id AND s.name = 'COMPLETED')}),
		'0', "$where: every job was done once");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT name, lag(name) OVER w AS before, lag(agent_id) OVER w AS holder, agent_id
		FROM jobs_store.job_status WINDOW w AS (PARTITION BY tenant, job_id ORDER BY ordinal)) h
		WHERE (name = 'CLAIMED' AND before = 'CLAIMED') OR (name IN ('COMPLETED', 'PENDING') AND agent_id <> holder)}),
		'0', "$where: none was in two hands");
	$node->stop;
}

done_testing();
