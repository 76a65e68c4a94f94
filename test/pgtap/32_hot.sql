-- The short cut of claims and final reports: when it is taken, and that it makes
-- no difference but for speed.
\ir setup.psql

SET LOCAL jobs.direct = on;
SELECT ok(jobs_store.hot_in_use(), 'claims and final reports go without plans');
SET LOCAL jobs.direct = off;
SELECT ok(NOT jobs_store.hot_in_use(), 'not when that is switched off');
SET LOCAL jobs.direct = on;
SELECT ok(jobs_store.hot_in_use(), 'and again when it is back on');

-- One story, told both ways: claims of one and of many, over two lanes, a
-- failure with and without another attempt, reports of one and of many, by the
-- holder and by one who is not, and what waits for a job that ends.
CREATE FUNCTION pg_temp.story(direct boolean) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	made uuid[] := '{}';
	id uuid;
	agent uuid := pg_temp.id('agent');
BEGIN
	PERFORM set_config('jobs.direct', direct::text, true);
	FOR n IN 1..6 LOOP
		made := made || (jobs.add_job('@t:one', parameters => jsonb_build_object('n', n), priority => n % 2,
			max_attempts => CASE n WHEN 1 THEN 2 ELSE 1 END)).id;
	END LOOP;
	made := made || (jobs.add_job('@t:one', depends_on => made[1:1], priority => 9)).id;
	RETURN QUERY SELECT format('got %s attempt %s of %s %s %s, model %s, parameters %s, for %s',
			array_position(made, c.job_id), c.attempt, c.function, c.function_version, c.tool_name, c.model_id, c.parameters, c.lease_expires > clock_timestamp())
		FROM jobs.claim_jobs(agent, 1) c;
	RETURN QUERY SELECT format('got %s attempt %s', array_position(made, c.job_id), c.attempt) FROM jobs.claim_jobs(agent, 4, '10 min') c;
	RETURN QUERY SELECT format('said %s of %s: %s', s.name, array_position(made, s.job_id), s.message)
		FROM jobs.update_job_status(made[1], 'FAILED', 'oh', agent) s;
	RETURN QUERY SELECT format('said %s of %s: %s, by an agent: %s', s.name, array_position(made, s.job_id), s.message, s.agent_id = agent)
		FROM jobs.update_job_status(made[3], 'FAILED', 'ah', agent) s;
	RETURN QUERY SELECT format('batch: %s %s %s %s', array_position(made, r.job_id), (r.status).name, (r.status).message, r.sqlstate)
		FROM jobs.update_job_status(ARRAY[made[5], made[6], made[2], made[4], made[2]], ARRAY['COMPLETED', 'COMPLETED', 'CANCELED', 'RUNNING', 'COMPLETED']::jobs.job_status_name[],
			ARRAY['well', NULL, NULL, 'on', NULL], agent, NULL) r;
	RETURN QUERY SELECT format('next %s attempt %s', array_position(made, c.job_id), c.attempt)
		FROM jobs.finish_and_claim(made[4], 'COMPLETED', NULL, agent) c;
	RETURN QUERY SELECT format('then %s attempt %s', array_position(made, c.job_id), c.attempt)
		FROM jobs.finish_and_claim(made[1], 'COMPLETED', 'at last', agent, 3) c;
	PERFORM jobs.sweep();
	RETURN QUERY SELECT format('last %s attempt %s', array_position(made, c.job_id), c.attempt) FROM jobs.claim_jobs(agent, 5) c;
	RETURN QUERY SELECT format('history %s %s %s: %s', array_position(made, h.job_id), h.ordinal, h.attempt, h.status || coalesce(', ' || h.message, ''))
		FROM jobs.job_status_list h WHERE h.job_id = ANY (made) ORDER BY array_position(made, h.job_id), h.ordinal;
	RETURN QUERY SELECT format('lease %s %s %s %s of %s, %s ms, swept in time: %s', array_position(made, l.job_id), l.status, l.ordinal, l.attempt, l.max_attempts, l.lease_ms, l.check_at <= l.expires)
		FROM jobs_store.lease l WHERE l.job_id = ANY (made);
	PERFORM jobs.cancel_job(l.job_id) FROM jobs_store.lease l;
	PERFORM jobs.cancel_job(l.job_id) FROM jobs_store.ready l;
END $$;
CREATE TEMP TABLE told AS SELECT true AS direct, s FROM pg_temp.story(true) s;
INSERT INTO told SELECT false, s FROM pg_temp.story(false) s;
SET LOCAL jobs.direct = on;
SELECT results_eq('SELECT s FROM told WHERE direct', 'SELECT s FROM told WHERE NOT direct', 'the same story both ways');
SELECT cmp_ok(count(*), '>', 30::bigint, 'and a long one') FROM told WHERE direct;
SELECT is_empty('SELECT * FROM pg_temp.problems()', 'with the queue and the history in agreement');

-- Whatever is special is left to statements ----------------------------------

CREATE TEMP TABLE seen (what text);
CREATE FUNCTION pg_temp.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (TG_TABLE_NAME || ' ' || TG_OP); RETURN NULL; END $$;
CREATE TRIGGER see AFTER INSERT OR DELETE ON jobs_store.lease FOR EACH ROW EXECUTE FUNCTION pg_temp.see();
SELECT ok(NOT jobs_store.hot_in_use(), 'not with a trigger of somebody''s');
SELECT pg_temp.take('watched') IS NULL AS ignored \gset
SELECT lives_ok($$SELECT jobs.update_job_status(pg_temp.id('watched'), 'COMPLETED', NULL, pg_temp.id('agent'))$$, 'a report');
SELECT results_eq('SELECT what FROM seen', ARRAY['lease INSERT', 'lease DELETE'], 'which sees all');
DROP TRIGGER see ON jobs_store.lease;
SELECT ok(jobs_store.hot_in_use(), 'but without it');

ALTER TABLE jobs_store.ready ENABLE ROW LEVEL SECURITY;
SELECT ok(NOT jobs_store.hot_in_use(), 'not with row security');
ALTER TABLE jobs_store.ready DISABLE ROW LEVEL SECURITY;
SAVEPOINT columns;
CREATE ACCESS METHOD t_other TYPE TABLE HANDLER heap_tableam_handler;
ALTER TABLE jobs_store.job_dependency SET ACCESS METHOD t_other;
SELECT ok(NOT jobs_store.hot_in_use(), 'not with a table of another kind');
ROLLBACK TO columns;
ALTER TABLE jobs_store.lease ADD COLUMN more integer;
SELECT ok(NOT jobs_store.hot_in_use(), 'not with columns that it does not know');
ALTER TABLE jobs_store.lease DROP COLUMN more;
SELECT ok(NOT jobs_store.hot_in_use(), 'nor with traces of them');

ROLLBACK TO columns;
SELECT ok(jobs_store.hot_in_use(), 'until they are gone');

-- An index of somebody's is kept like ours.
CREATE INDEX of_somebody ON jobs_store.job_status (tenant, created) WHERE name IN ('CLAIMED', 'FAILED');
SELECT ok(jobs_store.hot_in_use(), 'an index more is no obstacle');
SELECT count(*) AS before FROM jobs_store.job_status WHERE name IN ('CLAIMED', 'FAILED') \gset
SELECT count(pg_temp.add('indexed ' || n)) AS ignored FROM generate_series(1, 200) n \gset
SELECT is(count(*), 200::bigint, 'all are claimed') FROM jobs.claim_jobs(pg_temp.id('agent'), 200);
SELECT is(count(*), 200::bigint, 'all have failed')
FROM jobs.update_job_status(ARRAY(SELECT job_id FROM jobs_store.lease), ARRAY['FAILED']::jobs.job_status_name[], NULL, pg_temp.id('agent'), NULL);
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT is(count(*), :before + 400::bigint, 'and it has them all') FROM (SELECT created FROM jobs_store.job_status
	WHERE tenant = jobs_store.caller_tenant() AND name IN ('CLAIMED', 'FAILED') ORDER BY tenant, created) x;

SELECT * FROM finish();
ROLLBACK;
