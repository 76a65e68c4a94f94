-- What is rolled back did not happen: savepoints around every kind of call.
\ir setup.psql

-- Everything the storage holds, but for the numbers that sequences gave.
CREATE FUNCTION pg_temp.contents() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	relation regclass;
	one text;
	sum text := '';
BEGIN
	FOR relation IN
		SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'jobs_store'::regnamespace AND c.relkind = 'r' ORDER BY c.relname
	LOOP
		EXECUTE format('SELECT md5(coalesce(string_agg(t::text, '','' ORDER BY t::text), '''')) FROM %s t', relation) INTO one;
		sum := sum || one;
	END LOOP;
	RETURN md5(sum);
END $$;

DO $$ BEGIN
	PERFORM pg_temp.add('created', '{"run_after": "2100-01-01"}'), pg_temp.make_due('created');
	PERFORM pg_temp.take('held', '{"max_attempts": 3}'), pg_temp.take('held too'), pg_temp.take('lost'), pg_temp.expire('lost');
	PERFORM pg_temp.add('ready'), pg_temp.add('ready too');
END $$;
CREATE TEMP TABLE call (n serial, call text);
INSERT INTO call (call) VALUES
	('SELECT jobs.add_job(''@t:one'', idempotency_key => ''k'')'),
	('SELECT jobs.add_jobs(''[{"function": "@t:one", "priority": 77}, {"function": "@t:one", "run_after": "2100-01-01"}]'')'),
	('SELECT jobs.claim_jobs(pg_temp.id(''agent''), 10)'),
	('SELECT jobs.get_job_for_agent(pg_temp.id(''agent''))'),
	('SELECT jobs.finish_and_claim(pg_temp.id(''held''), ''COMPLETED'', NULL, pg_temp.id(''agent''))'),
	('SELECT pg_temp.report(''held'', ''RUNNING'', ''x'')'),
	('SELECT pg_temp.report(''held'', ''FAILED'', ''x'')'),
	('SELECT jobs.update_job_status(ARRAY[pg_temp.id(''held''), pg_temp.id(''held too'')], ARRAY[''COMPLETED'', ''FAILED'']::jobs.job_status_name[], NULL, pg_temp.id(''agent''), NULL)'),
	('SELECT jobs.release_job(pg_temp.id(''held''), pg_temp.id(''agent''))'),
	('SELECT jobs.cancel_job(pg_temp.id(''held''))'),
	('SELECT jobs.cancel_job(pg_temp.id(''ready''))'),
	('SELECT jobs.heartbeat(pg_temp.id(''agent''))'),
	('SELECT jobs.update_job(pg_temp.id(''held''), ''x'')'),
	('SELECT jobs.add_model(''m'', ''x'')'),
	('SELECT jobs.set_agent_functions(pg_temp.id(''agent''), ''{}'')'),
	('SELECT jobs.sweep()');

-- Each is done and undone; a second time, with the plans that the first made.
CREATE FUNCTION pg_temp.undone(call text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	before text := pg_temp.contents();
	during text;
BEGIN
	BEGIN
		EXECUTE call;
		during := pg_temp.contents();
		RAISE SQLSTATE '00001';
	EXCEPTION WHEN SQLSTATE '00001' THEN
		NULL;
	END;
	RETURN before = pg_temp.contents() AND before <> during;
END $$;
SELECT ok(pg_temp.undone(call), 'does something, and nothing remains: ' || call) FROM call, generate_series(1, 2) ORDER BY n;

SAVEPOINT all_of_it;
SELECT is(pg_temp.claim(10), 'ready ready too', 'claimed');
SAVEPOINT inner_one;
SELECT is(pg_temp.report('ready', 'RUNNING'), 'RUNNING', 'reported');
SELECT throws_ok($$SELECT pg_temp.report('ready', 'VALIDATING')$$, 'JB409', NULL, 'a refused report in between');
ROLLBACK TO inner_one;
SELECT is(pg_temp.status('ready'), 'CLAIMED', 'the report is undone, the claim not');
SELECT is(pg_temp.report('ready', 'VALIDATING'), 'VALIDATING', 'so another may follow');
ROLLBACK TO all_of_it;
SELECT is(pg_temp.status('ready'), 'PENDING', 'all is undone');
SELECT throws_ok($$SELECT pg_temp.report('ready', 'RUNNING')$$, 'JB410', NULL, 'the agent does not hold it');
SELECT is(pg_temp.claim(1), 'ready', 'the claim that was rolled back can be made again');
SELECT is(attempt, 1, 'as the first attempt') FROM jobs_store.lease WHERE job_id = pg_temp.id('ready');
SELECT is(pg_temp.claim(1), 'ready too', 'and the next');
RELEASE SAVEPOINT all_of_it;

SET LOCAL jobs.sweep_interval = '1 h';
SAVEPOINT sweep;
SELECT pg_temp.add('later') IS NULL AS ignored \gset
SELECT pg_temp.claim(1) IS NULL AS ignored \gset
ROLLBACK TO sweep;
SELECT is(pg_temp.status('created'), 'CREATED', 'the pass of a claim that is rolled back is undone too');
SELECT is(jobs.sweep(), 2, 'and made up for by the next');

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
