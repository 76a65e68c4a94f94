-- Batches of the short cut: rows are found whether their ids follow each other
-- closely, lie far apart, or come in another order, and each job comes with what is
-- its own.
\ir setup.psql

SELECT jobs.set_agent_functions(pg_temp.id('agent'), (SELECT array_agg(jobs.add_function(f, '1'))
	FROM unnest(ARRAY['@t:one', '@t:few', '@t:odd']) f)) IS NULL AS ignored \gset
SELECT jobs.register_agent('few') AS few \gset
SELECT jobs.set_agent_functions(:'few', ARRAY[jobs.add_function('@t:few', '1'), jobs.add_function('@t:odd', '1')]) IS NULL AS ignored \gset
SELECT ok(jobs_store.hot_in_use(), 'the short cut is taken');

-- Of 600 jobs every 40th is one of few, every second of the others is odd.
CREATE TEMP TABLE made (n integer, id uuid, function text);
CREATE FUNCTION pg_temp.make() RETURNS void LANGUAGE sql AS $$
	TRUNCATE made;
	INSERT INTO made SELECT n, a.id, f.name
	FROM generate_series(1, 600) n
		CROSS JOIN LATERAL (SELECT CASE WHEN n % 40 = 0 THEN '@t:few' WHEN n % 2 = 0 THEN '@t:odd' ELSE '@t:one' END AS name) f
		CROSS JOIN LATERAL jobs.add_jobs(jsonb_build_array(jsonb_build_object('function', f.name, 'parameters', jsonb_build_object('n', n)))) a(id);
$$;
-- Jobs that an agent got and that are not what was made.
CREATE TEMP TABLE got (job_id uuid, attempt integer, function text, parameters jsonb);
CREATE FUNCTION pg_temp.get(agent uuid, wanted integer) RETURNS integer LANGUAGE sql AS $$
	TRUNCATE got;
	INSERT INTO got SELECT job_id, attempt, function, parameters FROM jobs.claim_jobs(agent, wanted);
	SELECT count(*)::integer FROM got;
$$;
CREATE VIEW pg_temp.wrong AS SELECT g.* FROM got g LEFT JOIN made m ON m.id = g.job_id
	WHERE m.id IS NULL OR m.function <> g.function OR (g.parameters ->> 'n')::integer <> m.n;
-- Ends what was got, in an order of its own; answers how many did not.
CREATE FUNCTION pg_temp.finish_got(how text) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FILTER (WHERE (r.status).name IS DISTINCT FROM 'COMPLETED' OR r.job_id <> (r.status).job_id)
	FROM jobs.update_job_status((SELECT array_agg(job_id ORDER BY CASE how WHEN 'shuffled' THEN md5(job_id::text) ELSE job_id::text END) FROM got),
		ARRAY['COMPLETED']::jobs.job_status_name[], NULL, (SELECT l.agent_id FROM jobs_store.lease l JOIN got USING (job_id) LIMIT 1), NULL) r
$$;

SELECT pg_temp.make() IS NULL AS ignored \gset
SELECT jobs.register_agent('rare') AS rare \gset
SELECT jobs.set_agent_functions(:'rare', ARRAY[jobs.add_function('@t:few', '1')]) IS NULL AS ignored \gset
SELECT is(pg_temp.get(:'rare', 5), 5, 'some that are far apart');
SELECT is_empty('SELECT * FROM pg_temp.wrong', 'each is the right one');
SELECT is(pg_temp.finish_got('sorted'), 0::bigint, 'and ends');
SELECT is(pg_temp.get(:'few', 200), 200, 'some that are a few ids apart, and some far apart');
SELECT is_empty('SELECT * FROM pg_temp.wrong', 'each with its own parameters');
SELECT is(pg_temp.get(pg_temp.id('agent'), 300), 300, 'the first of those that were left over');
SELECT is_empty('SELECT * FROM pg_temp.wrong', 'are right');
SELECT is(pg_temp.finish_got('shuffled'), 0::bigint, 'and end, told in any order');
SELECT results_eq('SELECT count(*) FROM jobs_store.lease', ARRAY[200::bigint], 'those of the other agent are still held');
DELETE FROM got;
INSERT INTO got SELECT job_id, attempt FROM jobs_store.lease l JOIN made m ON m.id = l.job_id WHERE m.function = '@t:few' OR m.n IN (2, 398);
SELECT cmp_ok(count(*), '>', 5::bigint, 'some of them, far apart') FROM got;
SELECT is(pg_temp.finish_got('sorted'), 0::bigint, 'end as well');
DELETE FROM got;
INSERT INTO got SELECT job_id, attempt FROM jobs_store.lease;
SELECT is(pg_temp.finish_got('sorted'), 0::bigint, 'and the rest');
SELECT is_empty('SELECT FROM jobs_store.lease', 'so nobody holds anything');
SELECT is(pg_temp.get(pg_temp.id('agent'), 1000), 95, 'the last ones');
SELECT is_empty('SELECT * FROM pg_temp.wrong', 'are right, too');

-- A job that was given back has the oldest id, and is the youngest in the queue.
SELECT jobs.release_job((SELECT min(job_id::text)::uuid FROM got), pg_temp.id('agent')) IS NULL AS ignored \gset
SELECT jobs.release_job((SELECT max(job_id::text)::uuid FROM got), pg_temp.id('agent')) IS NULL AS ignored \gset
SELECT jobs.release_job((SELECT job_id FROM got WHERE function = '@t:one' ORDER BY job_id::text DESC LIMIT 1 OFFSET 3), pg_temp.id('agent')) IS NULL AS ignored \gset
SELECT is(pg_temp.get(pg_temp.id('agent'), 10), 3, 'jobs that were given back, the youngest in the middle');
SELECT is_empty('SELECT * FROM pg_temp.wrong', 'are what they were');

-- What is asked for twice, is not held, or does not exist, does not lead astray.
SELECT results_eq(format($$SELECT array_agg((r.status).name::text ORDER BY r.job_id), array_agg(r.sqlstate ORDER BY r.job_id)
		FROM jobs.update_job_status(%L, ARRAY['COMPLETED']::jobs.job_status_name[], NULL, pg_temp.id('agent'), NULL) r$$,
		(SELECT array_agg(job_id) || '00000000-0000-7000-8000-000000000000'::uuid || (SELECT id FROM made WHERE n = 1) || 'ffffffff-ffff-7fff-bfff-fffffffffff0'::uuid FROM got)),
	$$SELECT ARRAY[NULL, 'COMPLETED', 'COMPLETED', 'COMPLETED', 'COMPLETED', NULL], ARRAY['JB404', NULL, NULL, NULL, NULL, 'JB404']$$,
	'the others are told apart');
SELECT jobs.register_agent('idle') AS idle \gset
SELECT is(array_agg(r.sqlstate), ARRAY['JB404', 'JB404', 'JB404'], 'as where there is nothing else')
FROM jobs.update_job_status(ARRAY['00000000-0000-7000-8000-000000000000', '01a20000-0000-7000-8000-000000000000', 'ffffffff-ffff-7fff-bfff-fffffffffff0']::uuid[],
	ARRAY['COMPLETED']::jobs.job_status_name[], NULL, :'idle', NULL) r;
SELECT is((SELECT count(*) FROM jobs.check_integrity()), 0::bigint, 'all is well');

-- Names of functions ---------------------------------------------------------------

-- More than a session remembers.
SELECT jobs.register_agent('all') AS all \gset
SELECT jobs.set_agent_functions(:'all', array_agg(jobs.add_function('@many:f' || n, n::text))) IS NULL AS ignored FROM generate_series(1, 1100) n \gset
SELECT count(*) AS ignored FROM generate_series(1, 1100) n, LATERAL jobs.add_jobs(jsonb_build_array(jsonb_build_object('function', '@many:f' || n, 'parameters', jsonb_build_object('n', n)))) \gset
SELECT is(count(*) FILTER (WHERE function = '@many:f' || function_version AND function_version = parameters ->> 'n'), 1100::bigint, '1,100 jobs, each with its function')
FROM jobs.claim_jobs(:'all', 1100);

-- What somebody writes into the table is seen when the storage is another one: at once.
SELECT pg_temp.add('before') IS NULL AS ignored \gset
SELECT pg_temp.add('after') IS NULL AS ignored \gset
SELECT is(function, '@t:one', 'a name') FROM jobs.claim_jobs(pg_temp.id('agent'));
UPDATE jobs_store.function_version SET name = '@t:uno', tool_name = repeat('long enough to be stored elsewhere ', 1000) WHERE name = '@t:one';
CLUSTER jobs_store.ready USING ready_pkey;
SELECT is(function, '@t:uno', 'another name') FROM jobs.claim_jobs(pg_temp.id('agent'));

-- Indexes ------------------------------------------------------------------------

-- Of somebody's: a plain one, one on an expression, one that is not a btree; then the
-- one of our script is another one. All have all entries.
CREATE FUNCTION pg_temp.some(n integer) RETURNS void LANGUAGE sql AS $$
	SELECT count(a) FROM jobs.add_jobs((SELECT jsonb_agg('{"function": "@t:odd"}'::jsonb) FROM generate_series(1, n))) a;
	SELECT count(*) FROM jobs.claim_jobs(pg_temp.id('agent'), n);
	SELECT count(*) FROM jobs.update_job_status(ARRAY(SELECT l.job_id FROM jobs_store.lease l WHERE agent_id = pg_temp.id('agent')),
		ARRAY['COMPLETED']::jobs.job_status_name[], NULL, pg_temp.id('agent'), NULL);
$$;
-- Rows that an index finds, and all there are.
CREATE FUNCTION pg_temp.has_all(index text, condition text) RETURNS SETOF text LANGUAGE plpgsql
SET enable_seqscan = off SET enable_indexscan = off SET enable_indexonlyscan = off AS $$
DECLARE
	query text := 'SELECT count(*) FROM jobs_store.job_status WHERE ' || condition;
	plan json;
	found bigint;
	rows bigint;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
	RETURN NEXT matches(plan::text, '"Index Name": "' || index || '"', index || ' is used');
	EXECUTE query INTO found;
	EXECUTE 'SELECT count(*) FROM (SELECT * FROM jobs_store.job_status OFFSET 0) x WHERE ' || condition INTO rows;
	RETURN NEXT cmp_ok(rows, '>', 0::bigint, 'on rows that are there');
	RETURN NEXT is(found, rows, 'and has them all');
END $$;
SELECT pg_temp.some(20) IS NULL AS ignored \gset
CREATE INDEX plain ON jobs_store.job_status (created);
CREATE INDEX computed ON jobs_store.job_status ((ordinal * 7));
CREATE INDEX hashed ON jobs_store.job_status USING hash (attempt);
CREATE INDEX ranges ON jobs_store.job_status USING brin (message);
SELECT pg_temp.some(100) IS NULL AS ignored \gset
SELECT pg_temp.has_all('plain', 'created > ''-infinity''');
SELECT pg_temp.has_all('computed', 'ordinal * 7 = 14');
SELECT pg_temp.has_all('hashed', 'attempt = 1');
DROP INDEX jobs_store.plain;
CREATE INDEX plain ON jobs_store.job_status (created) WHERE ordinal = 1;
DROP INDEX jobs_store.job_status_terminal_idx;
CREATE INDEX job_status_terminal_idx ON jobs_store.job_status (job_id) WHERE name = 'CLAIMED';
SELECT ok(jobs_store.hot_in_use(), 'the short cut is still taken');
SELECT pg_temp.some(100) IS NULL AS ignored \gset
SELECT pg_temp.has_all('plain', 'created > ''-infinity'' AND ordinal = 1');
SELECT pg_temp.has_all('job_status_terminal_idx', 'name = ''CLAIMED'' AND job_id > ''00000000-0000-0000-0000-000000000000''');
SELECT is((SELECT count(*) FROM jobs.check_integrity()), 0::bigint, 'all is well');

-- Alone, one that asks for more than an entry.
DROP INDEX jobs_store.plain, jobs_store.computed, jobs_store.hashed, jobs_store.ranges;
ALTER TABLE jobs_store.job_status ADD CONSTRAINT apart EXCLUDE USING btree (message WITH =);
SELECT ok(jobs_store.hot_in_use(), 'the short cut is taken');
SELECT pg_temp.take('first', '{"function": "@t:odd"}') IS NULL AS ignored \gset
SELECT pg_temp.take('second', '{"function": "@t:odd"}') IS NULL AS ignored \gset
SELECT is(pg_temp.report('first', 'COMPLETED', 'only once'), 'COMPLETED', 'a message');
SELECT throws_ok('SELECT pg_temp.report(''second'', ''COMPLETED'', ''only once'')', '23P01', NULL, 'that somebody wants only once');
SELECT is(pg_temp.report('second', 'COMPLETED', 'another one'), 'COMPLETED', 'and another one');

SELECT * FROM finish();
ROLLBACK;
