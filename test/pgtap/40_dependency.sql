-- Jobs that wait for others: what one that fails does to them, dependencies that
-- are added later, circles, long chains, and jobs that wait for very many.
\ir setup.psql

CREATE FUNCTION pg_temp.last_message(label text) RETURNS text LANGUAGE sql AS
	'SELECT j.status_history[cardinality(j.status_history)].message FROM jobs.get_job(pg_temp.id($1)) j';
CREATE FUNCTION pg_temp.after(VARIADIC labels text[]) RETURNS jsonb LANGUAGE sql AS
	$$SELECT jsonb_build_object('depends_on', array_agg(pg_temp.id(l))) FROM unnest($1) l$$;

-- One that does not complete ---------------------------------------------------------

SELECT pg_temp.take('fails'), pg_temp.take('holds') \gset ignored_
SELECT pg_temp.add('canceled', pg_temp.after('fails', 'holds')) \gset ignored_
SELECT pg_temp.add('anyway', pg_temp.after('fails', 'holds') || '{"on_dependency_failure": "run"}') \gset ignored_
SELECT jobs.sweep() \gset ignored_
SELECT is(blocker, least(pg_temp.id('fails'), pg_temp.id('holds')), 'a job waits for the first that is open') FROM jobs_store.waiting WHERE job_id = pg_temp.id('canceled');
SELECT pg_temp.report('fails', 'FAILED'), jobs.sweep() \gset ignored_
SELECT is(pg_temp.status('canceled'), 'CANCELED', 'one FAILED cancels');
SELECT matches(pg_temp.last_message('canceled'), pg_temp.id('fails')::text || ' is FAILED', 'and is named');
SELECT is(pg_temp.status('anyway'), 'CREATED', 'unless the job runs anyway: it waits for the other');
SELECT pg_temp.report('holds', 'CANCELED'), jobs.sweep() \gset ignored_
SELECT is(pg_temp.status('anyway'), 'PENDING', 'until that has ended, too');
SELECT is(pg_temp.claim(), 'anyway', 'it is claimed');
SELECT pg_temp.report('anyway', 'COMPLETED') \gset ignored_
SELECT throws_ok($$SELECT pg_temp.add('bad', '{"on_dependency_failure": "ignore"}')$$, '22023', NULL, 'no such option');
SELECT throws_ok($$SELECT jobs.add_job('@t:one', on_dependency_failure => NULL)$$, '22004', NULL, 'nor none');

-- The one that fails need not be the one that is waited for.
SELECT pg_temp.take('early'), pg_temp.take('late') \gset ignored_
SELECT pg_temp.add('both', pg_temp.after('early', 'late')) \gset ignored_
SELECT jobs.sweep() \gset ignored_
SELECT pg_temp.report('late', 'FAILED'), jobs.sweep() \gset ignored_
SELECT is(pg_temp.status('both'), 'CANCELED', 'it is not waited for the others');
SELECT pg_temp.report('early', 'COMPLETED') \gset ignored_

-- Added later --------------------------------------------------------------------------

SELECT pg_temp.add('a'), pg_temp.add('b'), pg_temp.add('c') \gset ignored_
SELECT is((jobs.add_dependencies(pg_temp.id('b'), ARRAY[pg_temp.id('a')])).name::text, 'CREATED', 'a PENDING job waits again');
SELECT is(pg_temp.history('b'), 'PENDING CREATED', 'its history');
SELECT is((jobs.add_dependencies(pg_temp.id('c'), ARRAY[pg_temp.id('a'), pg_temp.id('b')])).name::text, 'CREATED', 'another one');
SELECT is((jobs.add_dependencies(pg_temp.id('c'), ARRAY[pg_temp.id('a')])).name::text, 'CREATED', 'the same again');
SELECT throws_ok(format('SELECT jobs.add_dependencies(pg_temp.id(%L), ARRAY[pg_temp.id(%L)])', job, other), '22023', NULL, job || ' cannot wait for ' || other)
FROM (VALUES ('a', 'a'), ('a', 'b'), ('a', 'c'), ('b', 'c'), ('b', 'b')) v(job, other);
SELECT is((jobs.add_dependencies(pg_temp.id('a'), '{}')).name::text, 'PENDING', 'nothing to wait for');
SELECT is(pg_temp.claim(3), 'a', 'only the first is ready');
SELECT throws_ok($$SELECT jobs.add_dependencies(pg_temp.id('a'), ARRAY[pg_temp.id('anyway')])$$, 'JB409', NULL, 'an agent has it');
SELECT pg_temp.report('a', 'COMPLETED'), jobs.sweep() \gset ignored_
SELECT is(pg_temp.claim(3), 'b', 'then the second');
SELECT pg_temp.report('b', 'COMPLETED'), jobs.sweep() \gset ignored_
SELECT is(pg_temp.claim(3), 'c', 'then the third');
SELECT pg_temp.report('c', 'COMPLETED') \gset ignored_
SELECT throws_ok($$SELECT jobs.add_dependencies(pg_temp.id('c'), ARRAY[pg_temp.id('anyway')])$$, 'JB409', NULL, 'it has ended');
SELECT throws_ok($$SELECT jobs.add_dependencies(NULL, ARRAY[pg_temp.id('a')])$$, '22004', NULL, 'which job?');
SELECT throws_ok($$SELECT jobs.add_dependencies(pg_temp.id('a'), NULL)$$, '22004', NULL, 'what for?');
SELECT throws_ok($$SELECT jobs.add_dependencies(pg_temp.id('a'), ARRAY[NULL]::uuid[])$$, '22004', NULL, 'for what?');
SELECT throws_ok($$SELECT jobs.add_dependencies(pg_temp.id('a'), ARRAY[pg_temp.id('none of ours')])$$, 'JB404', NULL, 'no such job to wait for');
SELECT throws_ok($$SELECT jobs.add_dependencies(pg_temp.id('none of ours'), ARRAY[pg_temp.id('a')])$$, 'JB404', NULL, 'no such job');
SELECT throws_ok($$SELECT pg_temp.as_role('t_bob', format('SELECT jobs.add_dependencies(%L, ARRAY[%L]::uuid[])', pg_temp.id('a'), pg_temp.id('b')))$$, 'JB404', NULL, 'another user''s');

-- A chain, told at once by who works it off ---------------------------------------------

SET LOCAL jobs.sweep_interval = '1 h';
SELECT count(*) FROM jobs.claim_jobs(pg_temp.id('agent')) \gset ignored_
SELECT pg_temp.add('link 1') \gset ignored_
SELECT count(pg_temp.add('link ' || n, pg_temp.after('link ' || n - 1))) AS ignored FROM generate_series(2, 20) n \gset
SELECT pg_temp.claim() \gset ignored_
SELECT results_eq($$SELECT (SELECT pg_temp.label(c.job_id) FROM jobs.finish_and_claim(pg_temp.id('link ' || n), 'COMPLETED', NULL, pg_temp.id('agent')) c)
	FROM generate_series(1, 19) n$$, $$SELECT 'link ' || n FROM generate_series(2, 20) n$$, 'who ends a link gets the next, whatever jobs.sweep_interval');
SELECT pg_temp.report('link 20', 'COMPLETED') \gset ignored_
SET LOCAL jobs.sweep_interval = -1;

-- Long and wide --------------------------------------------------------------------------

CREATE FUNCTION pg_temp.chain(length integer) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
	ids uuid[] := ARRAY[(jobs.add_job('@t:one')).id];
BEGIN
	FOR n IN 2..length LOOP
		ids[n] := (SELECT a FROM jobs.add_jobs(jsonb_build_array(jsonb_build_object('function', '@t:one', 'depends_on', ids[n - 1 : n - 1]))) a);
	END LOOP;
	RETURN ids;
END $$;
CREATE TEMP TABLE chain AS SELECT pg_temp.chain(300) AS ids;
SELECT throws_ok($$SELECT jobs.add_dependencies(ids[1], ids[300:300]) FROM chain$$, '22023', NULL, 'a circle of 300');
SELECT jobs.cancel_job(ids[1], 'not needed') FROM chain \gset ignored_
CREATE FUNCTION pg_temp.sweep_all(OUT passes integer, OUT moved integer) LANGUAGE plpgsql AS $$
DECLARE
	n integer;
BEGIN
	passes := 0;
	moved := 0;
	LOOP
		n := jobs.sweep();
		EXIT WHEN n = 0 OR passes > 1000;
		passes := passes + 1;
		moved := moved + n;
	END LOOP;
END $$;
SELECT is(moved, 299, 'a chain falls') FROM pg_temp.sweep_all();
SELECT is(count(*), 0::bigint, 'to its end') FROM jobs_store.waiting w, chain c WHERE w.job_id = ANY (c.ids);

CREATE TEMP TABLE wide AS SELECT array_agg(a) AS ids FROM jobs.add_jobs((SELECT jsonb_agg('{"function": "@t:one"}'::jsonb) FROM generate_series(1, 1000))) a;
SELECT pg_temp.note('wide', (SELECT a FROM wide, jobs.add_jobs(jsonb_build_array(jsonb_build_object('function', '@t:one', 'priority', 7, 'depends_on', ids))) a)) \gset ignored_
SELECT is(jobs.sweep(), 0, 'one that waits for 1,000');
SELECT is(count(*), 1000::bigint, 'they are claimed') FROM jobs.claim_jobs(pg_temp.id('agent'), 1000);
SELECT is(count(jobs.update_job_status(id, 'COMPLETED', NULL, pg_temp.id('agent'))), 999::bigint, 'all but one end') FROM wide, unnest(ids) WITH ORDINALITY u(id, n) WHERE n <> 500;
SELECT jobs.sweep() \gset ignored_
SELECT is((pg_temp.status('wide'), blocker = ids[500])::text, '(CREATED,t)', 'it waits for that one') FROM wide, jobs_store.waiting WHERE job_id = pg_temp.id('wide');
SELECT jobs.update_job_status(ids[500], 'COMPLETED', NULL, pg_temp.id('agent')) FROM wide \gset ignored_
SELECT jobs.sweep() \gset ignored_
SELECT is(pg_temp.status('wide'), 'PENDING', 'until it has ended, too');

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
