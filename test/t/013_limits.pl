# Limits hold however many agents claim, end, lose and roll back: no more jobs in
# flight than a function or a key permits, no more starts than a rate permits. The
# history says who had what from when to when.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $agents = 8;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
$node->safe_psql('postgres', <<"SQL");
CREATE EXTENSION jobs;
CREATE TABLE agent AS SELECT n AS client, jobs.register_agent('agent ' || n) AS id FROM generate_series(0, $agents - 1) n;
SELECT jobs.set_agent_functions(id, ARRAY[jobs.add_function('\@t:few', '1'), jobs.add_function('\@t:few', '2'),
	jobs.add_function('\@t:keyed', '1'), jobs.add_function('\@t:rated', '1')]) FROM agent;
SELECT jobs.set_function_policy('\@t:few', max_in_flight => 3);
SELECT jobs.set_function_policy('\@t:keyed', max_in_flight => 7, max_in_flight_per_key => 2);
SELECT jobs.set_function_policy('\@t:rated', rate_limit => 10, rate_interval => '700 ms');
SELECT count(*) FROM jobs.add_jobs((SELECT jsonb_agg(jsonb_build_object('function', '\@t:few', 'function_version', (1 + n % 2)::text,
	'priority', n % 3, 'max_attempts', 3, 'backoff', 'none')) FROM generate_series(1, 5000) n));
SELECT count(*) FROM jobs.add_jobs((SELECT jsonb_agg(jsonb_build_object('function', '\@t:keyed', 'priority', n % 2,
	'concurrency_key', 'key ' || n % 5)) FROM generate_series(1, 5000) n));
SELECT count(*) FROM jobs.add_jobs((SELECT jsonb_agg('{"function": "\@t:rated"}'::jsonb) FROM generate_series(1, 2000) n));
SQL

my $dir = PostgreSQL::Test::Utils::tempdir;
append_to_file("$dir/work.sql", <<'SQL');
\set many random(1, 4)
\set fate random(1, 20)
\set wait random(0, 3)
SELECT id AS agent FROM agent WHERE client = :client_id
\gset
BEGIN;
SAVEPOINT s;
SELECT count(*) FROM jobs.claim_jobs(CAST(:agent AS uuid), :many);
\if :fate = 1
ROLLBACK TO s;
\endif
\if :fate = 2
ROLLBACK;
\else
COMMIT;
\endif
\sleep :wait ms
\if :fate = 3
SELECT count(jobs.release_job(l.job_id, l.agent_id)) FROM (SELECT job_id, agent_id FROM jobs_store.lease WHERE agent_id = CAST(:agent AS uuid)) l;
\elif :fate = 4
SELECT count(jobs.cancel_job(l.job_id)) FROM (SELECT job_id FROM jobs_store.lease WHERE agent_id = CAST(:agent AS uuid)) l;
\elif :fate <= 7
SELECT count(jobs.update_job_status(l.job_id, 'FAILED', 'no', l.agent_id)) FROM (SELECT job_id, agent_id FROM jobs_store.lease WHERE agent_id = CAST(:agent AS uuid)) l;
\else
SELECT count(*) FROM (SELECT array_agg(job_id) AS ids FROM jobs_store.lease WHERE agent_id = CAST(:agent AS uuid)) l,
	jobs.update_job_status(l.ids, '{COMPLETED}', NULL, CAST(:agent AS uuid), NULL) WHERE l.ids IS NOT NULL;
\endif
SQL
my @pgbench = ('pgbench', '-n', '-M', 'prepared', '-h', $node->host, '-p', $node->port, '-c', $agents);
$node->command_ok([ @pgbench, '-T', 8, '-f', "$dir/work.sql", 'postgres' ], 'agents work');
# Limits change under load.
foreach my $limit (1, 6, 3)
{
	$node->safe_psql('postgres', "SELECT jobs.set_function_policy('\@t:few', max_in_flight => $limit)");
	$node->command_ok([ @pgbench, '-t', 20, '-f', "$dir/work.sql", 'postgres' ], "and after the limit became $limit");
}

my $held = q{
	SELECT v.name AS function, n.concurrency_key AS key, s.created AS since, coalesce(e.created, 'infinity') AS until
	FROM jobs_store.job_status s JOIN jobs_store.job j ON j.tenant = s.tenant AND j.id = s.job_id
		JOIN jobs_store.function_version v ON v.tenant = j.tenant AND v.id = j.function_id
		LEFT JOIN LATERAL (SELECT j.concurrency_key) n ON true
		LEFT JOIN LATERAL (SELECT e.created FROM jobs_store.job_status e WHERE e.tenant = s.tenant AND e.job_id = s.job_id
			AND e.ordinal = s.ordinal + 1) e ON true
	WHERE s.name = 'CLAIMED'};
my $most = sub {
	my ($where, $by) = @_;
	return $node->safe_psql('postgres', qq{WITH held AS MATERIALIZED ($held), step AS (
		SELECT function, key, since AS at, 1 AS n FROM held WHERE $where UNION ALL
		SELECT function, key, until, -1 FROM held WHERE $where AND until < 'infinity')
		SELECT max(n) FROM (SELECT sum(n) OVER (PARTITION BY $by ORDER BY at, n ROWS UNBOUNDED PRECEDING) AS n FROM step) s});
};
# In the last rounds the limit of this one was different, at most 6.
my $few = $most->(q{function = '@t:few'}, 'function');
cmp_ok($few, '<=', 6, "of a function: $few in flight at most");
cmp_ok($most->(q{function = '@t:keyed'}, 'function'), '<=', 7, 'of the other');
cmp_ok($most->(q{function = '@t:keyed'}, 'key'), '<=', 2, 'and of each of its keys');
is($node->safe_psql('postgres', qq{WITH held AS MATERIALIZED ($held)
	SELECT count(*) FROM (SELECT since - lag(since, 10) OVER (ORDER BY since) AS span FROM held WHERE function = '\@t:rated') s
	WHERE span < '700 ms'}), '0', 'no eleven starts within the interval of ten');
note($node->safe_psql('postgres', qq{SELECT function, count(*) FROM ($held) h GROUP BY 1}));
cmp_ok($node->safe_psql('postgres', qq{SELECT min(n) FROM (SELECT count(*) AS n FROM ($held) h GROUP BY function) x}), '>', 50, 'of all functions jobs were handed out');
is($node->safe_psql('postgres', q{SELECT count(*) FROM jobs_store.limiter m
	WHERE m.kind <> 'rate' AND m.size + m.debt <> (SELECT count(*) FROM jobs_store.permit p WHERE p.tenant = m.tenant AND p.limiter = m.limiter)
		+ (SELECT count(*) FROM jobs_store.lease l JOIN jobs_store.lane n ON n.tenant = l.tenant AND n.lane = l.lane
			JOIN jobs_store.function_version v ON v.tenant = n.tenant AND v.id = n.function_id
			WHERE l.tenant = m.tenant AND v.name = m.name AND CASE m.kind WHEN 'key' THEN n.concurrency_key = m.concurrency_key AND l.permits & 2 <> 0
			ELSE l.permits & 1 <> 0 END)}), '0', 'permits and leases add up');
is($node->safe_psql('postgres', q{SELECT m.size - count(*) FROM jobs_store.limiter m JOIN jobs_store.permit p USING (tenant, limiter)
	WHERE m.kind = 'rate' GROUP BY m.size}), '0', 'and so do the permits of the rate');

done_testing();
