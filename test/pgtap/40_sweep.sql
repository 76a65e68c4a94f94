-- Maintenance: leases that run out, and jobs that wait for their time or for
-- other jobs. Time passes by moving rows, never by waiting.
\ir setup.psql

CREATE FUNCTION pg_temp.last_message(label text) RETURNS text LANGUAGE sql AS
	'SELECT j.status_history[cardinality(j.status_history)].message FROM jobs.get_job(pg_temp.id($1)) j';

SELECT pg_temp.note('second', jobs.register_agent('second')) IS NULL AS ignored \gset
SELECT jobs.set_agent_functions(pg_temp.id('second'), ARRAY[pg_temp.id('one')]) IS NULL AS ignored \gset
SELECT is(jobs.sweep(), 0, 'nothing to do');

-- A lease runs out ---------------------------------------------------------------

SELECT pg_temp.take('lost') IS NULL AS ignored \gset
SELECT is(jobs.sweep(), 0, 'a lease that has not run out');
SELECT pg_temp.report('lost', 'RUNNING') IS NULL AS ignored \gset
SELECT pg_temp.expire('lost') IS NULL AS ignored \gset
SELECT is(jobs.sweep(), 1, 'a lease that has');
SELECT is(pg_temp.history('lost'), 'PENDING CLAIMED RUNNING UNKNOWN', 'makes the job UNKNOWN');
SELECT isnt(pg_temp.last_message('lost'), NULL, 'and says so');
SELECT is(jobs.sweep(), 0, 'for a while it stays so');
SELECT is(pg_temp.claim(1, 'second'), 'none', 'and nobody else gets it');
SELECT pg_temp.expire('lost') IS NULL AS ignored \gset
SELECT is(jobs.sweep(), 1, 'the grace is over');
SELECT is(pg_temp.history('lost'), 'PENDING CLAIMED RUNNING UNKNOWN FAILED', 'the last attempt ends FAILED');
SELECT throws_ok(format('SELECT pg_temp.report(''lost'', %L)', name), 'JB410', NULL, 'too late for ' || name) FROM unnest(ARRAY['RUNNING', 'COMPLETED', 'FAILED']) name;
SELECT is(h.status, 'lost', 'a heartbeat says so') FROM jobs.heartbeat(pg_temp.id('agent'), ARRAY[pg_temp.id('lost')]) h;
SELECT is(jobs.sweep(), 0, 'nothing is left');

SELECT pg_temp.take('kept') IS NULL AS ignored \gset
UPDATE jobs_store.lease SET check_at = now() - interval '1 s' WHERE job_id = pg_temp.id('kept');
SELECT is(jobs.sweep(), 0, 'a lease that a heartbeat has moved');
SELECT ok(check_at > now() AND check_at <= expires, 'is looked at again later') FROM jobs_store.lease WHERE job_id = pg_temp.id('kept');
SELECT is(pg_temp.status('kept'), 'CLAIMED', 'and kept');

-- The agent comes back -------------------------------------------------------------

DO $$ BEGIN
	PERFORM pg_temp.take('back ' || n, jsonb_build_object('max_attempts', 2)), pg_temp.report('back ' || n, 'VALIDATING'), pg_temp.expire('back ' || n)
	FROM unnest(ARRAY['VALIDATING', 'RUNNING', 'UPLOADING', 'COMPLETED', 'CANCELED', 'FAILED', 'heartbeat', 'named heartbeat', 'release', 'batch']) n;
	PERFORM jobs.sweep();
END $$;
SELECT is(pg_temp.report('back ' || n, n), n, 'a late report is accepted: ' || n) FROM unnest(ARRAY['VALIDATING', 'RUNNING', 'UPLOADING', 'COMPLETED', 'CANCELED']) n;
SELECT is(pg_temp.report('back FAILED', 'FAILED', 'no'), 'PENDING', 'also a failure, after which there is another attempt');
SELECT is(pg_temp.history('back RUNNING'), 'PENDING CLAIMED VALIDATING UNKNOWN RUNNING', 'its history');
SELECT throws_ok($$SELECT jobs.update_job_status(pg_temp.id('back batch'), 'RUNNING', NULL, pg_temp.id('agent'), 2)$$, 'JB410', NULL, 'not for another attempt');
SELECT is(r.status, 'ok', 'a heartbeat in time') FROM jobs.heartbeat(pg_temp.id('agent'), ARRAY[pg_temp.id('back named heartbeat')]) r;
SELECT is(pg_temp.history('back named heartbeat'), 'PENDING CLAIMED VALIDATING UNKNOWN VALIDATING', 'gives the job back as it was');
SELECT is(pg_temp.status('back heartbeat'), 'UNKNOWN', 'only that which it names');
SELECT is((jobs.release_job(pg_temp.id('back release'), pg_temp.id('agent'))).name::text, 'PENDING', 'it may be given back');
SELECT is((r.status).name::text, 'COMPLETED', 'or ended by a batch') FROM jobs.update_job_status(ARRAY[pg_temp.id('back batch')], ARRAY['COMPLETED']::jobs.job_status_name[], NULL, pg_temp.id('agent'), NULL) r;
SELECT is(r.status, 'lost', 'a heartbeat for all') FROM jobs.heartbeat(pg_temp.id('agent')) r;
SELECT is(pg_temp.status('back heartbeat'), 'VALIDATING', 'gives all back');
SELECT is(jobs.sweep(), 0, 'and there is nothing to sweep');
SELECT is((SELECT count(*) FROM jobs_store.lease WHERE status = 'UNKNOWN'), 0::bigint, 'nothing is UNKNOWN');
DO $$ BEGIN PERFORM jobs.cancel_job(job_id) FROM (SELECT job_id FROM jobs_store.ready UNION ALL SELECT job_id FROM jobs_store.lease) j; END $$;

-- A lease may be shorter than the grace: who is back then is not trusted for longer.
SELECT pg_temp.add('short ' || n, '{"priority": 9}') IS NULL AS ignored FROM unnest(ARRAY['RUNNING', 'same', 'heartbeat', 'named heartbeat']) n \g /dev/null
SELECT count(*) AS ignored FROM jobs.claim_jobs(pg_temp.id('agent'), 4, '1 s') \gset
DO $$ BEGIN
	PERFORM pg_temp.report('short same', 'RUNNING');
	PERFORM pg_temp.expire('short ' || n) FROM unnest(ARRAY['RUNNING', 'same', 'heartbeat', 'named heartbeat']) n;
	PERFORM jobs.sweep();
	PERFORM pg_temp.report('short RUNNING', 'RUNNING'), pg_temp.report('short same', 'RUNNING');
	PERFORM jobs.heartbeat(pg_temp.id('agent'), ARRAY[pg_temp.id('short named heartbeat')]), jobs.heartbeat(pg_temp.id('agent'));
END $$;
SELECT is_empty('SELECT pg_temp.label(job_id), expires, check_at FROM jobs_store.lease WHERE check_at > expires', 'no lease is looked at later than it runs out');
DO $$ BEGIN PERFORM jobs.cancel_job(job_id) FROM jobs_store.lease; END $$;

-- It does not ----------------------------------------------------------------------

CREATE FUNCTION pg_temp.lose(label text) RETURNS void LANGUAGE sql AS 'SELECT pg_temp.expire($1), jobs.sweep(); SELECT pg_temp.expire($1), jobs.sweep()';
SELECT pg_temp.take('again', '{"max_attempts": 3}') IS NULL AS ignored \gset
SELECT pg_temp.lose('again') IS NULL AS ignored \gset
SELECT is(pg_temp.history('again'), 'PENDING CLAIMED UNKNOWN PENDING', 'with attempts left it is put back');
SELECT matches(pg_temp.last_message('again'), '1 of 3', 'saying which attempt it was');
SELECT throws_ok($$SELECT pg_temp.report('again', 'COMPLETED')$$, 'JB410', NULL, 'put back, the former holder has lost it');
SELECT throws_ok($$SELECT pg_temp.report('again', 'FAILED')$$, 'JB410', NULL, 'whatever it says');
SELECT is(pg_temp.claim(1, 'second'), 'again', 'another agent gets it');
SELECT is(attempt, 2, 'as attempt 2') FROM jobs_store.lease WHERE job_id = pg_temp.id('again');
SELECT throws_ok($$SELECT pg_temp.report('again', 'RUNNING')$$, 'JB410', NULL, 'and only that one may report');
SELECT is((jobs.heartbeat(pg_temp.id('agent'), ARRAY[pg_temp.id('again')])).status, 'lost', 'the former is told that it is lost');
SELECT is((jobs.heartbeat(pg_temp.id('second'), ARRAY[pg_temp.id('again')])).status, 'ok', 'for the latter all is well');
SET LOCAL jobs.retry_base = '1 h';
SELECT pg_temp.lose('again') IS NULL AS ignored \gset
SELECT is(pg_temp.status('again'), 'CREATED', 'with a back-off it waits');
SELECT pg_temp.make_due('again') IS NULL AS ignored \gset
SELECT is(jobs.sweep(), 1, 'until its time comes');
SELECT is(pg_temp.claim(1), 'again', 'then comes the last attempt');
SELECT pg_temp.lose('again') IS NULL AS ignored \gset
SELECT is(pg_temp.history('again'), 'PENDING CLAIMED UNKNOWN PENDING CLAIMED UNKNOWN CREATED PENDING CLAIMED UNKNOWN FAILED', 'which ends FAILED');
SET LOCAL jobs.retry_base = 0;
SET LOCAL jobs.lost_grace = 0;
SELECT pg_temp.take('no grace') IS NULL AS ignored \gset
SELECT pg_temp.expire('no grace') IS NULL AS ignored \gset
SELECT is((jobs.sweep(), jobs.sweep(), jobs.sweep())::text, '(1,1,0)', 'without grace the next sweep puts it back');
SELECT is(pg_temp.history('no grace'), 'PENDING CLAIMED UNKNOWN FAILED', 'or ends it');
RESET jobs.lost_grace;

-- Time comes -------------------------------------------------------------------------

SELECT pg_temp.add('due', '{"run_after": "2100-01-01"}') IS NULL AS ignored \gset
SELECT is(jobs.sweep(), 0, 'before its time');
SELECT pg_temp.make_due('due') IS NULL AS ignored \gset
SELECT is(jobs.sweep(), 1, 'at its time');
SELECT is(pg_temp.history('due'), 'CREATED PENDING', 'it is PENDING');
SELECT is(pg_temp.claim(1), 'due', 'and can be claimed');
SELECT pg_temp.as_role('t_carol', 'SELECT jobs.add_function(''@t:one'', ''1.0'')') IS NULL AS ignored \gset
SELECT pg_temp.note('foreign', pg_temp.as_role('t_carol', 'SELECT (jobs.add_job(''@t:one'', run_after => ''2100-01-01'')).id')::uuid) IS NULL AS ignored \gset
SELECT pg_temp.make_due('foreign') IS NULL AS ignored \gset
SELECT is(jobs.sweep(), 0, 'a sweep is one of the caller''s tenant');
SELECT is(pg_temp.as_role('t_carol', 'SELECT jobs.sweep()'), '1', 'that of the other tenant does it');
SELECT count(*) AS ignored FROM jobs.add_jobs((SELECT jsonb_agg('{"function": "@t:one", "run_after": "2100-01-01"}'::jsonb) FROM generate_series(1, 1500))) \gset
UPDATE jobs_store.waiting SET check_at = now();
SELECT is((jobs.sweep(), jobs.sweep(), jobs.sweep())::text, '(1000,500,0)', 'a pass is bounded; the next goes on');

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
