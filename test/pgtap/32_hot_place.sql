-- Where a session believes the leases that it has taken to be: whatever has become
-- of that place, a report ends the job that it names, and no other.
\ir setup.psql

SELECT ok(jobs_store.hot_in_use(), 'the short cut is taken');

-- The rows of lease change their places: all of them, in an order, from a place on.
CREATE FUNCTION pg_temp.rearrange(how text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMP TABLE held AS SELECT * FROM jobs_store.lease;
	TRUNCATE jobs_store.lease;
	EXECUTE 'INSERT INTO jobs_store.lease SELECT * FROM held ORDER BY ' || how;
	DROP TABLE held;
END $$;
CREATE FUNCTION pg_temp.held() RETURNS text LANGUAGE sql AS
	$$SELECT coalesce(string_agg(pg_temp.label(job_id), ' ' ORDER BY pg_temp.label(job_id)), 'none') FROM jobs_store.lease$$;
CREATE FUNCTION pg_temp.place(label text) RETURNS tid LANGUAGE sql AS
	$$SELECT ctid FROM jobs_store.lease WHERE job_id = pg_temp.id($1)$$;

SELECT throws_ok('SELECT jobs.update_job_status(''00000000-0000-0000-0000-000000000000'', ''COMPLETED'', NULL, pg_temp.id(''agent''))',
	'JB404', NULL, 'no job, and no place');

-- The row is as it was, or was updated in its page, or got another place --------

SELECT pg_temp.take('plain') IS NULL AS ignored \gset
SELECT is(pg_temp.report('plain', 'COMPLETED'), 'COMPLETED', 'a job that was taken just now');
SELECT pg_temp.take('beating') IS NULL AS ignored \gset
SELECT pg_temp.place('beating') AS before \gset
SELECT pg_temp.report('beating', 'RUNNING') IS NULL AS ignored \gset
SELECT count(*) AS ignored FROM jobs.heartbeat(pg_temp.id('agent')) \gset
SELECT isnt(pg_temp.place('beating'), :'before', 'a sign of life gives its row another version');
SELECT is(pg_temp.report('beating', 'COMPLETED'), 'COMPLETED', 'and the end finds it');
SELECT pg_temp.take('again') IS NULL AS ignored \gset
SELECT count(*) AS ignored FROM jobs.heartbeat(pg_temp.id('agent')) \gset
SAVEPOINT s;
SELECT pg_temp.report('again', 'COMPLETED') IS NULL AS ignored \gset
ROLLBACK TO s;
SELECT idx_scan AS before FROM pg_stat_xact_user_tables WHERE relid = 'jobs_store.lease'::regclass \gset
SELECT is(pg_temp.report('again', 'COMPLETED'), 'COMPLETED', 'it finds it more than once');
SELECT is(idx_scan, :before::bigint, 'without an index') FROM pg_stat_xact_user_tables WHERE relid = 'jobs_store.lease'::regclass;
SELECT pg_temp.take('moved') IS NULL AS ignored \gset
UPDATE jobs_store.lease SET check_at = check_at - interval '1 s';
SELECT is(pg_temp.report('moved', 'COMPLETED'), 'COMPLETED', 'one whose entries in the indexes are others now');
SELECT is(pg_temp.held(), 'none', 'none is held');

-- Another row is there ------------------------------------------------------------

TRUNCATE jobs_store.lease;
SELECT pg_temp.take('a') IS NULL AS ignored \gset
SELECT pg_temp.take('b') IS NULL AS ignored \gset
SELECT pg_temp.take('c') IS NULL AS ignored \gset
SELECT pg_temp.place('a') AS a, pg_temp.place('c') AS c \gset
SELECT pg_temp.rearrange('ctid DESC') IS NULL AS ignored \gset
SELECT is(pg_temp.place('c'), :'a', 'one job is where another one was');
SELECT is(pg_temp.place('a'), :'c', 'and that one there');
SELECT is(pg_temp.report('a', 'COMPLETED', 'mine'), 'COMPLETED', 'the job that is meant');
SELECT is(pg_temp.held(), 'b c', 'has ended, not the one in its place');
SELECT throws_ok('SELECT pg_temp.report(''a'', ''FAILED'')', 'JB410', NULL, 'it is not held any more');
SELECT is(pg_temp.report('c', 'COMPLETED'), 'COMPLETED', 'another one');
SELECT is(pg_temp.held(), 'b', 'as well');
SELECT is(pg_temp.report('b', 'CANCELED'), 'CANCELED', 'and the last one');

-- Of another agent ----------------------------------------------------------------

SELECT pg_temp.note('second', jobs.register_agent('second')) IS NULL AS ignored \gset
SELECT jobs.set_agent_functions(pg_temp.id('second'), ARRAY[pg_temp.id('one')]) IS NULL AS ignored \gset
SELECT pg_temp.take('his', agent => 'second') IS NULL AS ignored \gset
SELECT throws_ok('SELECT pg_temp.report(''his'', ''COMPLETED'')', 'JB410', NULL, 'who does not hold it does not end it');
SELECT is(pg_temp.held(), 'his', 'it is still held');
SELECT jobs.release_job(pg_temp.id('his'), pg_temp.id('second')) IS NULL AS ignored \gset
SELECT is(pg_temp.claim(), 'his', 'another agent takes it');
SELECT throws_ok('SELECT pg_temp.report(''his'', ''COMPLETED'', NULL, ''second'')', 'JB410', NULL, 'and the first one has lost it');
SELECT is(pg_temp.report('his', 'COMPLETED'), 'COMPLETED', 'not the other');

-- What was rolled back ------------------------------------------------------------

SELECT pg_temp.add('undone') IS NULL AS ignored \gset
SAVEPOINT s;
SELECT is(pg_temp.claim(), 'undone', 'a claim');
ROLLBACK TO s;
SELECT throws_ok('SELECT pg_temp.report(''undone'', ''COMPLETED'')', 'JB410', NULL, 'that was rolled back is none');
SELECT is(pg_temp.claim(), 'undone', 'the next one');
SAVEPOINT s;
SELECT is(pg_temp.report('undone', 'COMPLETED'), 'COMPLETED', 'ends');
ROLLBACK TO s;
SELECT is(pg_temp.report('undone', 'FAILED'), 'FAILED', 'and if that is rolled back, otherwise');

-- The place is gone ---------------------------------------------------------------

SELECT count(pg_temp.add('many ' || n)) AS ignored FROM generate_series(1, 400) n \gset
SELECT count(*) AS ignored FROM jobs.claim_jobs(pg_temp.id('agent'), 400) \gset
SELECT pg_temp.take('far') IS NULL AS ignored \gset
SELECT pg_temp.take('farther') IS NULL AS ignored \gset
SELECT cmp_ok(pg_temp.place('far'), '>', '(1,1)'::tid, 'far from the start of the table');
DELETE FROM jobs_store.lease WHERE pg_temp.label(job_id) LIKE 'many %';
SELECT pg_temp.rearrange('ctid') IS NULL AS ignored \gset
SELECT cmp_ok(pg_temp.place('far'), '<', '(1,1)'::tid, 'which is shorter now');
SELECT is(pg_temp.report('far', 'COMPLETED'), 'COMPLETED', 'it is found all the same');
SELECT is(pg_temp.held(), 'farther', 'and nothing else');
SELECT is(pg_temp.report('farther', 'COMPLETED'), 'COMPLETED', 'the other one, too');

-- More than are remembered --------------------------------------------------------

SELECT count(pg_temp.take('one of ' || n)) AS ignored FROM generate_series(1, 30) n \gset
SELECT is(string_agg(pg_temp.report('one of ' || n, 'COMPLETED'), ''), repeat('COMPLETED', 30), 'the first is the first to end')
FROM generate_series(1, 30) n;
SELECT count(pg_temp.take('two of ' || n)) AS ignored FROM generate_series(1, 30) n \gset
SELECT is(string_agg(pg_temp.report('two of ' || n, 'COMPLETED'), ''), repeat('COMPLETED', 30), 'or the last')
FROM (SELECT n FROM generate_series(1, 30) n ORDER BY n DESC) n;
SELECT is(pg_temp.held(), 'none', 'none is held');

SELECT * FROM finish();
ROLLBACK;
