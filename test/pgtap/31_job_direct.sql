-- New jobs are written without a plan, or by a statement: it makes no difference but
-- for speed.
\ir setup.psql

SELECT pg_temp.note('model', jobs.add_model('model', 'some')) IS NULL AS ignored \gset
SELECT pg_temp.note('pool', jobs.add_agent_pool('pool')) IS NULL AS ignored \gset
SELECT pg_temp.note('before', id) IS NULL AS ignored FROM jobs.add_job('@t:one') \gset
CREATE TEMP TABLE told (direct boolean, n bigint, job text, place text);

-- All that a row of each table says, but for what is new with every job.
CREATE FUNCTION pg_temp.tell(direct boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	made uuid[];
BEGIN
	PERFORM set_config('jobs.direct', direct::text, true);
	made := ARRAY(SELECT * FROM jobs.add_jobs(jsonb_build_array('{"function": "@t:one"}'::jsonb,
		jsonb_build_object('function', '@t:one', 'model_id', pg_temp.id('model'), 'parameters', jsonb_build_object('long', repeat('x', 10000)), 'description', 'd', 'display_name', 'n',
			'version_name', 'v', 'external_identifier', 'e', 'priority', 5, 'max_attempts', 7, 'agent_id', pg_temp.id('agent')),
		jsonb_build_object('function', '@t:one', 'assigned_agent_id', pg_temp.id('agent'), 'run_after', '2100-01-01'),
		jsonb_build_object('function', '@t:one', 'assigned_agent_pool_id', pg_temp.id('pool'), 'run_after', '2000-01-01'),
		jsonb_build_object('function', '@t:one', 'depends_on', jsonb_build_array(pg_temp.id('before'))),
		jsonb_build_object('function', '@t:one', 'depends_on', jsonb_build_array(pg_temp.id('before')), 'on_dependency_failure', 'run', 'run_after', '2100-01-01'),
		'{"function": "@t:one", "depends_on": [], "on_dependency_failure": "cancel", "run_after": "infinity"}'::jsonb,
		'{"function": "@t:one", "concurrency_key": "k", "backoff": "exponential", "backoff_base": "3 s", "backoff_cap": "1 h"}'::jsonb)));
	INSERT INTO told SELECT $1, a.n, (to_jsonb(j) - '{id,created}'::text[])::text,
		coalesce((SELECT 'ready ' || (to_jsonb(r) - '{job_id,seq}'::text[])::text FROM jobs_store.ready r WHERE r.job_id = a.id), '') ||
		coalesce((SELECT 'waiting ' || ((to_jsonb(w) || jsonb_build_object('check_at', w.check_at = greatest(j.created, j.run_after))) - 'job_id')::text FROM jobs_store.waiting w WHERE w.job_id = a.id), '')
	FROM unnest(made) WITH ORDINALITY a(id, n)
		JOIN jobs_store.job j USING (id);
END $$;
SELECT pg_temp.tell(true), pg_temp.tell(false), set_config('jobs.direct', 'on', true) \gset ignored_
SELECT is(d.job, s.job, format('job %s is the same', n)) FROM told d JOIN told s USING (n) WHERE d.direct AND NOT s.direct;
SELECT is(d.place, s.place, format('and waits in the same place')) FROM told d JOIN told s USING (n) WHERE d.direct AND NOT s.direct;
SELECT is(count(DISTINCT job) || ' ' || count(DISTINCT place), '8 7', 'of all kinds (two wait alike)') FROM told WHERE direct;
SELECT is_empty('SELECT * FROM jobs.check_integrity()', 'and all is well');

-- In their order, however many.
SELECT array_agg(id) AS many FROM jobs.add_jobs((SELECT jsonb_agg('{"function": "@t:one"}'::jsonb) FROM generate_series(1, 300))) id \gset
SELECT is(array_agg(n ORDER BY seq), array_agg(n ORDER BY n), 'a batch is ready in its order')
FROM (SELECT n, r.seq FROM unnest(:'many'::uuid[]) WITH ORDINALITY a(id, n) JOIN jobs_store.ready r ON r.job_id = a.id) x;
SELECT is((SELECT count(*) FROM jobs_store.ready WHERE job_id = ANY (:'many')), 300::bigint, 'all of it');
SELECT is(jobs.get_job(id) IS NULL, false, 'and found by its key') FROM jobs_store.ready r, LATERAL (SELECT r.job_id AS id) i ORDER BY r.seq DESC LIMIT 1;

-- Who wishes to hear of new jobs does; claims are none of that.
CREATE TEMP TABLE seen (what text);
CREATE FUNCTION pg_temp.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (TG_TABLE_NAME); RETURN NULL; END $$;
CREATE TRIGGER see AFTER INSERT ON jobs_store.job FOR EACH ROW EXECUTE FUNCTION pg_temp.see();
SELECT pg_temp.add('seen') IS NULL AS ignored \gset
SELECT results_eq('SELECT what FROM seen', ARRAY['job'], 'a trigger of somebody''s sees a new job');
SELECT ok(jobs_store.hot_in_use(), 'and is not in the way of claims');
DROP TRIGGER see ON jobs_store.job;
SELECT pg_temp.add('unseen') IS NULL AS ignored \gset
SELECT results_eq('SELECT what FROM seen', ARRAY['job'], 'until it is gone');
CREATE UNIQUE INDEX of_somebody ON jobs_store.job (external_identifier) WHERE external_identifier <> 'e';
SELECT pg_temp.add('x', '{"external_identifier": "x"}') IS NULL AS ignored \gset
SELECT throws_ok($$SELECT pg_temp.add('x again', '{"external_identifier": "x"}')$$, '23505', NULL, 'a unique index of somebody''s holds');
SELECT is_empty('SELECT * FROM jobs.check_integrity()', 'and all is well');
SELECT * FROM finish();
ROLLBACK;
