# A chain of 10,000 jobs of which the first one fails, and a job that waits for
# 10,000 others: both are done with in a time that does not grow with the square.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION jobs;
CREATE TABLE agent AS SELECT jobs.register_agent('agent') AS id;
SELECT jobs.set_agent_functions(id, ARRAY[jobs.add_function('@t:one', '1')]) FROM agent;
SQL

sub sweep_all
{
	return $node->safe_psql('postgres', <<'SQL');
DO $$
DECLARE
	moved integer;
	passes integer := 0;
BEGIN
	LOOP
		moved := jobs.sweep();
		COMMIT;
		passes := passes + 1;
		EXIT WHEN moved = 0;
		IF passes > 2000 THEN
			RAISE 'no end of sweeping';
		END IF;
	END LOOP;
END $$;
SELECT string_agg(name || ' ' || n, ', ' ORDER BY name::text) FROM (SELECT name, count(*) AS n FROM jobs_store.current_status GROUP BY name) s;
SQL
}

$node->safe_psql('postgres', <<'SQL');
CREATE PROCEDURE chain(length integer) LANGUAGE plpgsql AS $$
DECLARE
	last uuid := (jobs.add_job('@t:one')).id;
BEGIN
	FOR n IN 2 .. length LOOP
		last := (SELECT a FROM jobs.add_jobs(jsonb_build_array(jsonb_build_object('function', '@t:one', 'depends_on', ARRAY[last]))) a);
		IF n % 500 = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
END $$;
CALL chain(10000);
SQL
is(sweep_all(), 'CREATED 9999, PENDING 1', 'a chain of 10,000');
$node->safe_psql('postgres', q{SELECT jobs.cancel_job(job_id, 'not needed') FROM jobs_store.ready});
is(sweep_all(), 'CANCELED 10000', 'falls from end to end');

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE wide AS SELECT array_agg(a) AS ids FROM jobs.add_jobs((SELECT jsonb_agg('{"function": "@t:one"}'::jsonb) FROM generate_series(1, 10000))) a;
SELECT jobs.add_jobs(jsonb_build_array(jsonb_build_object('function', '@t:one', 'depends_on', ids))) FROM wide;
SQL
is(sweep_all(), 'CANCELED 10000, CREATED 1, PENDING 10000', 'a job that waits for 10,000');

# 500 in small batches, as agents do it, and the rest at once; the last one alone.
$node->safe_psql('postgres', <<'SQL');
DO $$
DECLARE
	held uuid[];
BEGIN
	FOR n IN 1 .. 100 LOOP
		SELECT array_agg(job_id) INTO held FROM jobs.claim_jobs((SELECT id FROM agent), 5);
		PERFORM jobs.update_job_status(held, '{COMPLETED}', NULL, (SELECT id FROM agent), NULL);
		COMMIT;
	END LOOP;
	SELECT array_agg(job_id) INTO held FROM jobs.claim_jobs((SELECT id FROM agent), 9499);
	PERFORM jobs.update_job_status(held, '{COMPLETED}', NULL, (SELECT id FROM agent), NULL);
END $$;
SQL
is(sweep_all(), 'CANCELED 10000, COMPLETED 9999, CREATED 1, PENDING 1', 'still waits for the last one');
my ($last) = $node->safe_psql('postgres', q{SELECT job_id FROM jobs.claim_jobs((SELECT id FROM agent))});
$node->safe_psql('postgres', qq{SELECT jobs.update_job_status('$last', 'COMPLETED', NULL, (SELECT id FROM agent))});
is(sweep_all(), 'CANCELED 10000, COMPLETED 10000, PENDING 1', 'and may start when that has ended');

done_testing();
