-- Further attempts: how long they wait, and reviving a job by hand.
\ir setup.psql

CREATE FUNCTION pg_temp.last_message(label text) RETURNS text LANGUAGE sql AS
	'SELECT j.status_history[cardinality(j.status_history)].message FROM jobs.get_job(pg_temp.id($1)) j';

-- How long -----------------------------------------------------------------------

SELECT is(jobs_store.retry_delay(5, 'none', '1 h', '2 h'), '0', 'none: at once');
SELECT is(jobs_store.retry_delay(a, 'fixed', '90 s', '1 h'), '90 s', 'fixed: the same each time') FROM unnest(ARRAY[1, 7]) a;
SELECT is(jobs_store.retry_delay(1, 'fixed', '2 h', '1 h'), '1 h', 'but no more than the cap');
SELECT ok(max(d) <= '40 s' AND max(d) > '20 s' AND min(d) < '20 s', 'exponential: spread up to the double of the last time')
FROM (SELECT jobs_store.retry_delay(3, 'exponential', '10 s', '1 h') AS d FROM generate_series(1, 200)) d;
SELECT ok(max(d) <= '5 s', 'within the cap') FROM (SELECT jobs_store.retry_delay(30, 'exponential', '1 s', '5 s') AS d FROM generate_series(1, 100)) d;

-- Whose word counts: the job's, then the function's, then the setting's.
SET LOCAL jobs.retry_base = '1 d';
SELECT jobs.set_function_policy('@t:one', backoff => 'fixed', backoff_base => '5 min') IS NULL AS ignored \gset
SELECT pg_temp.take('by function', '{"max_attempts": 2}') IS NULL AS ignored \gset
SELECT is(pg_temp.report('by function', 'FAILED', 'oh'), 'CREATED', 'a failure with attempts left');
SELECT ok(check_at BETWEEN clock_timestamp() + '4 min' AND clock_timestamp() + '5 min', 'waits as its function says') FROM jobs_store.waiting WHERE job_id = pg_temp.id('by function');
SELECT pg_temp.take('by job', '{"max_attempts": 2, "backoff_base": "2 h", "backoff_cap": "3 h"}') IS NULL AS ignored \gset
SELECT pg_temp.report('by job', 'FAILED') IS NULL AS ignored \gset
SELECT ok(check_at BETWEEN clock_timestamp() + '119 min' AND clock_timestamp() + '2 h', 'or as the job says') FROM jobs_store.waiting WHERE job_id = pg_temp.id('by job');
SELECT pg_temp.take('at once', '{"max_attempts": 2, "backoff": "none"}') IS NULL AS ignored \gset
SELECT is(pg_temp.report('at once', 'FAILED'), 'PENDING', 'or not at all');
SELECT jobs.cancel_job(pg_temp.id('at once')) IS NULL AS ignored \gset
SELECT pg_temp.take('lost', '{"max_attempts": 2, "backoff": "none"}') IS NULL AS ignored \gset
SELECT pg_temp.expire('lost'), jobs.sweep(), pg_temp.expire('lost') \gset ignored_
SELECT is(jobs.sweep(), 1, 'the same goes for an agent that was lost');
SELECT is(pg_temp.history('lost'), 'PENDING CLAIMED UNKNOWN PENDING', 'its history');
SELECT jobs.set_function_policy('@t:one') IS NULL AS ignored \gset
SELECT throws_ok($$SELECT pg_temp.add('bad', '{"backoff": "linear"}')$$, '22023', NULL, 'no such back-off');
SELECT throws_ok($$SELECT pg_temp.add('bad', '{"backoff_base": "0"}')$$, '22023', NULL, 'a wait of nothing');
SELECT throws_ok($$SELECT pg_temp.add('bad', '{"backoff_cap": "-1 s"}')$$, '22023', NULL, 'or less');
SET LOCAL jobs.retry_base = 0;
DO $$ BEGIN PERFORM jobs.cancel_job(job_id) FROM (SELECT job_id FROM jobs_store.ready UNION ALL SELECT job_id FROM jobs_store.waiting) j; END $$;

-- By hand ------------------------------------------------------------------------

SELECT pg_temp.take('failed', '{"max_attempts": 2}') IS NULL AS ignored \gset
SELECT throws_ok($$SELECT jobs.retry_job(pg_temp.id('failed'))$$, 'JB409', NULL, 'not while an agent holds it');
SELECT is((jobs.update_job_status(pg_temp.id('failed'), 'FAILED', 'hopeless', pg_temp.id('agent'), retry => false)).name::text, 'FAILED', 'it ends for good');
SELECT is((jobs.retry_job(pg_temp.id('failed'), 'the disk was full')).name::text, 'PENDING', 'and is revived');
SELECT matches(pg_temp.last_message('failed'), 'attempt 2 to 3: the disk was full', 'which its history tells, with the new attempts');
SELECT is((s).created_by_id, jobs.current_user_id(), 'and who did it') FROM (SELECT j.status_history[cardinality(j.status_history)] AS s FROM jobs.get_job(pg_temp.id('failed')) j) x;
SELECT throws_ok($$SELECT jobs.retry_job(pg_temp.id('failed'))$$, 'JB409', NULL, 'not while it is PENDING');
SELECT throws_ok($$SELECT pg_temp.report('failed', 'COMPLETED')$$, 'JB410', NULL, 'who had it before has it no more');
SELECT is(pg_temp.claim(), 'failed', 'it can be claimed');
SELECT is((attempt, max_attempts)::text, '(2,3)', 'with a full budget, and attempts that go on counting') FROM jobs_store.lease WHERE job_id = pg_temp.id('failed');
SELECT is(pg_temp.report('failed', 'FAILED'), 'PENDING', 'the second');
SELECT is(pg_temp.claim(), 'failed', 'the third');
SELECT is(pg_temp.report('failed', 'FAILED'), 'FAILED', 'and the last');
SELECT is((jobs.retry_job(pg_temp.id('failed'))).name::text, 'PENDING', 'again');
SELECT is(pg_temp.claim(), 'failed', 'it is claimed');
SELECT is(pg_temp.report('failed', 'COMPLETED'), 'COMPLETED', 'and done');
SELECT throws_ok($$SELECT jobs.retry_job(pg_temp.id('failed'))$$, 'JB409', NULL, 'a COMPLETED job is not retried');
SELECT is(pg_temp.history('failed'), 'PENDING CLAIMED FAILED PENDING CLAIMED PENDING CLAIMED FAILED PENDING CLAIMED COMPLETED', 'the whole story');

SELECT pg_temp.add('withdrawn', '{"priority": 3, "run_after": "2100-01-01"}') IS NULL AS ignored \gset
SELECT jobs.cancel_job(pg_temp.id('withdrawn')) IS NULL AS ignored \gset
SELECT is((jobs.retry_job(pg_temp.id('withdrawn'))).name::text, 'CREATED', 'a CANCELED one; its time is still to come');
SELECT jobs.cancel_job(pg_temp.id('withdrawn')) IS NULL AS ignored \gset
SELECT jobs.archive(pg_temp.id('withdrawn')) IS NULL AS ignored \gset
SELECT throws_ok($$SELECT jobs.retry_job(pg_temp.id('withdrawn'))$$, 'JB409', NULL, 'not while it is archived');

-- After a dependency was retried, what was canceled because of it can be, too.
SELECT pg_temp.take('first') IS NULL AS ignored \gset
SELECT pg_temp.add('second', jsonb_build_object('depends_on', ARRAY[pg_temp.id('first')])) IS NULL AS ignored \gset
SELECT pg_temp.report('first', 'FAILED'), jobs.sweep() \gset ignored_
SELECT is(pg_temp.status('second'), 'CANCELED', 'its dependent is canceled');
SELECT jobs.retry_job(pg_temp.id('first')), jobs.retry_job(pg_temp.id('second')) \gset ignored_
SELECT jobs.sweep() \gset ignored_
SELECT is(pg_temp.status('second'), 'CREATED', 'both are retried, and it waits again');
SELECT is(pg_temp.claim(), 'first', 'the first is claimed');
SELECT pg_temp.report('first', 'COMPLETED'), jobs.sweep() \gset ignored_
SELECT is(pg_temp.claim(), 'second', 'then the second');
SELECT pg_temp.report('second', 'FAILED') \gset ignored_

SELECT throws_ok($$SELECT jobs.retry_job(NULL)$$, '22004', NULL, 'which job?');
SELECT throws_ok($$SELECT jobs.retry_job(pg_temp.id('none of ours'))$$, 'JB404', NULL, 'no such job');
SELECT throws_ok($$SELECT jobs.retry_job(pg_temp.id('one'))$$, 'JB404', NULL, 'that is a function');
SELECT throws_ok($$SELECT jobs.retry_job(pg_temp.id('second'), repeat('x', 70000))$$, '22001', NULL, 'too long a message');
SELECT throws_ok($$SELECT pg_temp.as_role('t_bob', format('SELECT jobs.retry_job(%L)', pg_temp.id('second')))$$, 'JB404', NULL, 'another user''s');
SELECT jobs.create_access(pg_temp.id('second'), 'user', pg_temp.id('bob'), 'viewer') IS NULL AS ignored \gset
SELECT throws_ok($$SELECT pg_temp.as_role('t_bob', format('SELECT jobs.retry_job(%L)', pg_temp.id('second')))$$, '42501', NULL, 'who only may see it');
SELECT jobs.update_access(pg_temp.id('second'), 'user', pg_temp.id('bob'), 'editor') IS NULL AS ignored \gset
SELECT is(pg_temp.as_role('t_bob', format('SELECT (jobs.retry_job(%L)).name', pg_temp.id('second'))), 'CREATED', 'an editor may');

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
