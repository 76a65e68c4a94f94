-- Reports of many jobs in one call: each as if it had come alone, in the order
-- of the array, and one that is refused does not keep the others back.
\ir setup.psql

-- "label status" or "label SQLSTATE" of each line of the answer.
CREATE FUNCTION pg_temp.reports(labels text[], names text[], messages text[] DEFAULT NULL, attempts integer[] DEFAULT NULL, retry boolean DEFAULT true, agent text DEFAULT 'agent') RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(pg_temp.label(r.job_id) || ' ' || coalesce((r.status).name::text, r.sqlstate), ', ' ORDER BY r.n)
	FROM jobs.update_job_status((SELECT array_agg(pg_temp.id(l) ORDER BY n) FROM unnest($1) WITH ORDINALITY u(l, n)), $2::jobs.job_status_name[], $3, pg_temp.id($6), $4, $5)
		WITH ORDINALITY r(job_id, status, sqlstate, error, n)
$$;

SELECT pg_temp.note('second', jobs.register_agent('second')) IS NULL AS ignored \gset
SELECT jobs.set_agent_functions(pg_temp.id('second'), ARRAY[pg_temp.id('one')]) IS NULL AS ignored \gset
SELECT pg_temp.note('of carol', pg_temp.as_role('t_carol', 'SELECT jobs.register_agent(''agent'')')::uuid) IS NULL AS ignored \gset
SELECT pg_temp.as_role('t_carol', 'SELECT jobs.add_function(''@t:one'', ''1.0'')') IS NULL AS ignored \gset
SELECT pg_temp.note('foreign', pg_temp.as_role('t_carol', 'SELECT (jobs.add_job(''@t:one'')).id')::uuid) IS NULL AS ignored \gset
DO $$ BEGIN
	PERFORM pg_temp.take('j' || n) FROM generate_series(1, 9) n;
	PERFORM pg_temp.take('of second', agent => 'second');
	PERFORM pg_temp.add('waiting', '{"run_after": "2100-01-01"}');
	PERFORM pg_temp.add('ready', '{"priority": -1}');
END $$;

-- The call as a whole --------------------------------------------------------

CREATE TEMP TABLE before AS SELECT pg_temp.row_counts() AS counts;
SELECT throws_ok(format('SELECT jobs.update_job_status(%s)', args), code, NULL, format('%s: %s', code, left(args, 120)))
FROM (VALUES
	('22004', 'NULL::uuid[], ARRAY[''RUNNING'']::jobs.job_status_name[], NULL, pg_temp.id(''agent''), NULL'),
	('22004', 'ARRAY[pg_temp.id(''j1'')], NULL, NULL, pg_temp.id(''agent''), NULL'),
	('22004', 'ARRAY[pg_temp.id(''j1'')], ARRAY[''RUNNING'']::jobs.job_status_name[], NULL, NULL, NULL'),
	('22004', 'ARRAY[pg_temp.id(''j1'')], ARRAY[''RUNNING'']::jobs.job_status_name[], NULL, pg_temp.id(''agent''), NULL, NULL'),
	('22004', 'ARRAY[pg_temp.id(''j1''), NULL], ARRAY[''RUNNING'']::jobs.job_status_name[], NULL, pg_temp.id(''agent''), NULL'),
	('22004', 'ARRAY[pg_temp.id(''j1'')], ARRAY[NULL]::jobs.job_status_name[], NULL, pg_temp.id(''agent''), NULL'),
	('22023', 'ARRAY[ARRAY[pg_temp.id(''j1''), pg_temp.id(''j2'')]], ARRAY[''RUNNING'']::jobs.job_status_name[], NULL, pg_temp.id(''agent''), NULL'),
	('22023', 'ARRAY[pg_temp.id(''j1''), pg_temp.id(''j2'')], ARRAY[ARRAY[''RUNNING'', ''RUNNING'']]::jobs.job_status_name[], NULL, pg_temp.id(''agent''), NULL'),
	('22023', 'array_fill(pg_temp.id(''j1''), ARRAY[10001]), ARRAY[''RUNNING'']::jobs.job_status_name[], NULL, pg_temp.id(''agent''), NULL'),
	('22023', 'ARRAY[pg_temp.id(''j1''), pg_temp.id(''j2''), pg_temp.id(''j3'')], ARRAY[''RUNNING'', ''RUNNING'']::jobs.job_status_name[], NULL, pg_temp.id(''agent''), NULL'),
	('22023', 'ARRAY[pg_temp.id(''j1'')], ARRAY[''RUNNING'', ''RUNNING'']::jobs.job_status_name[], NULL, pg_temp.id(''agent''), NULL'),
	('22023', 'ARRAY[pg_temp.id(''j1'')], ''{}''::jobs.job_status_name[], NULL, pg_temp.id(''agent''), NULL'),
	('22023', 'ARRAY[pg_temp.id(''j1''), pg_temp.id(''j2''), pg_temp.id(''j3'')], ARRAY[''RUNNING'']::jobs.job_status_name[], ARRAY[''a'', ''b''], pg_temp.id(''agent''), NULL'),
	('22023', 'ARRAY[pg_temp.id(''j1''), pg_temp.id(''j2''), pg_temp.id(''j3'')], ARRAY[''RUNNING'']::jobs.job_status_name[], NULL, pg_temp.id(''agent''), ARRAY[1, 2]'),
	('22001', 'ARRAY[pg_temp.id(''j1''), pg_temp.id(''j2'')], ARRAY[''RUNNING'']::jobs.job_status_name[], ARRAY[NULL, repeat(''x'', 65537)], pg_temp.id(''agent''), NULL'),
	('JB404', 'ARRAY[pg_temp.id(''j1'')], ARRAY[''RUNNING'']::jobs.job_status_name[], NULL, pg_temp.id(''none of ours''), NULL'),
	('JB404', 'ARRAY[pg_temp.id(''j1'')], ARRAY[''RUNNING'']::jobs.job_status_name[], NULL, pg_temp.id(''of carol''), NULL')) v(code, args);
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT jobs.update_job_status(ARRAY[pg_temp.id(''j1'')], ARRAY[''RUNNING'']::jobs.job_status_name[], NULL, pg_temp.id(''agent''), NULL)')$$, '42501', NULL, 'another user''s agent');
SELECT is_empty($$SELECT jobs.update_job_status('{}'::uuid[], '{}', NULL, pg_temp.id('agent'), NULL)$$, 'no jobs');
SELECT is_empty($$SELECT jobs.update_job_status('{}'::uuid[], ARRAY['FAILED']::jobs.job_status_name[], ARRAY['x'], pg_temp.id('agent'), NULL)$$, 'no jobs, one name for all');
SELECT is(pg_temp.row_counts(), counts, 'nothing of all that left a row') FROM before;

SELECT throws_ok(format('SELECT jobs.update_job_status(ARRAY[pg_temp.id(''j8''), pg_temp.id(''j9'')], ARRAY[''RUNNING'']::jobs.job_status_name[], %s)', args), '22023', NULL, 'two dimensions: ' || args)
FROM unnest(ARRAY['ARRAY[ARRAY[''a'', ''b'']], pg_temp.id(''agent''), NULL', 'NULL, pg_temp.id(''agent''), ARRAY[ARRAY[1, 1]]']) args;

-- Job by job -----------------------------------------------------------------

SELECT is(pg_temp.reports('{j1,j2,j3}', '{RUNNING}', '{go}'), 'j1 RUNNING, j2 RUNNING, j3 RUNNING', 'one name and one message for all');
SELECT is(pg_temp.reports('{j3,j1,none of ours,ready,waiting,of second,foreign,j2}', '{UPLOADING,VALIDATING,RUNNING,RUNNING,RUNNING,RUNNING,RUNNING,COMPLETED}'),
	'j3 UPLOADING, j1 JB409, none of ours JB404, ready JB410, waiting JB410, of second JB410, foreign JB404, j2 COMPLETED', 'each has its own answer, in the order given');
SELECT is(pg_temp.reports('{none of ours,ready,waiting,of second,foreign,j1}', '{COMPLETED}'),
	'none of ours JB404, ready JB410, waiting JB410, of second JB410, foreign JB404, j1 COMPLETED', 'also when they end');
SELECT is(pg_temp.history('j2') || ', ' || pg_temp.history('j3'), 'PENDING CLAIMED RUNNING COMPLETED, PENDING CLAIMED RUNNING UPLOADING', 'what was accepted is there');
SELECT results_eq($$SELECT (r.status).message, (r.status).job_id, r.status = j.status_history[cardinality(j.status_history)], r.error IS NULL
	FROM jobs.update_job_status(ARRAY[pg_temp.id('j4'), pg_temp.id('j5')], ARRAY['COMPLETED', 'RUNNING']::jobs.job_status_name[], ARRAY['four', NULL], pg_temp.id('agent'), NULL) r, jobs.get_job(r.job_id) j$$,
	$$VALUES ('four', pg_temp.id('j4'), true, true), (NULL, pg_temp.id('j5'), true, true)$$, 'with the entry that is current then');
SELECT is(pg_temp.reports('{j4}', '{COMPLETED}'), 'j4 COMPLETED', 'a terminal report again answers the entry that is there');
SELECT is(pg_temp.reports('{j5,j6}', '{COMPLETED}', attempts => '{2,1}'), 'j5 JB410, j6 COMPLETED', 'another attempt is refused');
SELECT is(pg_temp.status('j5'), 'RUNNING', 'and changed nothing');
SELECT is(pg_temp.reports('{j5,j7}', '{RUNNING}', attempts => '{NULL,1}'), 'j5 RUNNING, j7 RUNNING', 'NULL is whichever attempt it is');

-- Attempts -------------------------------------------------------------------

DO $$ BEGIN PERFORM pg_temp.take('m' || n, jsonb_build_object('max_attempts', n)) FROM generate_series(1, 3) n; END $$;
SELECT is(pg_temp.reports('{m1,m2,m3}', '{FAILED,FAILED,COMPLETED}', '{one,two,three}'), 'm1 FAILED, m2 PENDING, m3 COMPLETED', 'failures with and without attempts left');
SELECT is(pg_temp.reports('{m2,m1}', '{FAILED}'), 'm2 PENDING, m1 FAILED', 'the same again');
SELECT is(pg_temp.claim(1), 'm2', 'the next attempt of that');
SELECT is(pg_temp.reports('{m2}', '{FAILED}', retry => false), 'm2 FAILED', 'without retry');

-- The same job more than once ------------------------------------------------

DO $$ BEGIN PERFORM pg_temp.take('d' || n) FROM generate_series(1, 9) n; END $$;
SELECT is(pg_temp.reports('{d1,d1}', '{COMPLETED}'), 'd1 COMPLETED, d1 COMPLETED', 'ended twice');
SELECT is(pg_temp.history('d1'), 'PENDING CLAIMED COMPLETED', 'is ended once');
SELECT is(pg_temp.reports('{d2,d2}', '{RUNNING,RUNNING}', '{a,b}'), 'd2 RUNNING, d2 RUNNING', 'progress twice');
SELECT is(pg_temp.history('d2'), 'PENDING CLAIMED RUNNING RUNNING', 'is two entries');
SELECT is(pg_temp.reports('{d3,d3}', '{RUNNING,COMPLETED}'), 'd3 RUNNING, d3 COMPLETED', 'begun and ended in one batch');
SELECT is(pg_temp.history('d3'), 'PENDING CLAIMED RUNNING COMPLETED', 'in that order');
SELECT is(pg_temp.reports('{d4,d4}', '{COMPLETED,FAILED}'), 'd4 COMPLETED, d4 JB410', 'ended in two ways: the first counts');
SELECT is(pg_temp.history('d4'), 'PENDING CLAIMED COMPLETED', 'and only the first');
SELECT is(pg_temp.reports('{d5,d5}', '{FAILED,COMPLETED}'), 'd5 FAILED, d5 JB410', 'the other way round');
SELECT is(pg_temp.reports('{d6,d6}', '{COMPLETED,RUNNING}'), 'd6 COMPLETED, d6 JB410', 'ended and then begun');
SELECT is(pg_temp.reports('{d7,d7}', '{COMPLETED,COMPLETED}', attempts => '{7,1}'), 'd7 JB410, d7 COMPLETED', 'a former attempt and this one');
SELECT is(pg_temp.reports('{d8,d8}', '{COMPLETED,COMPLETED}', '{first,second}'), 'd8 COMPLETED, d8 COMPLETED', 'ended twice with different messages');
SELECT is(j.status_history[3].message, 'first', 'the first counts') FROM jobs.get_job(pg_temp.id('d8')) j;

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
