-- What happens to a job after it was added: reports, heartbeats, release, cancel.
-- Batches are in 33_lifecycle_batch, leases that run out in 40_sweep.
\ir setup.psql

CREATE FUNCTION pg_temp.last_entry(label text) RETURNS jobs.job_status LANGUAGE sql AS
	'SELECT j.status_history[cardinality(j.status_history)] FROM jobs.get_job(pg_temp.id($1)) j';

SELECT pg_temp.note('second', jobs.register_agent('second')) IS NULL AS ignored \gset
SELECT jobs.set_agent_functions(pg_temp.id('second'), ARRAY[pg_temp.id('one')]) IS NULL AS ignored \gset
SELECT pg_temp.note('of ann', pg_temp.as_role('t_ann', 'SELECT jobs.register_agent(''of ann'')')::uuid) IS NULL AS ignored \gset
SELECT pg_temp.note('of carol', pg_temp.as_role('t_carol', 'SELECT jobs.register_agent(''of carol'')')::uuid) IS NULL AS ignored \gset
SELECT pg_temp.as_role('t_carol', 'SELECT jobs.add_function(''@t:one'', ''1.0'')') IS NULL AS ignored \gset
SELECT pg_temp.note('foreign', pg_temp.as_role('t_carol', 'SELECT (jobs.add_job(''@t:one'')).id')::uuid) IS NULL AS ignored \gset
SELECT pg_temp.take('job') IS NULL AS ignored \gset

-- Refused --------------------------------------------------------------------

CREATE TEMP TABLE before AS SELECT pg_temp.row_counts() AS counts;
SELECT throws_ok('SELECT jobs.' || call, '22004', NULL, 'null: ' || call)
FROM unnest(ARRAY['update_job_status(NULL::uuid, ''FAILED'')', 'update_job_status(pg_temp.id(''job''), NULL)', 'update_job_status(pg_temp.id(''job''), ''FAILED'', retry => NULL)',
	'heartbeat(NULL)', 'heartbeat(pg_temp.id(''agent''), ARRAY[pg_temp.id(''job''), NULL])',
	'release_job(NULL, pg_temp.id(''agent''))', 'release_job(pg_temp.id(''job''), NULL)', 'cancel_job(NULL)']) call;
SELECT throws_ok(format('SELECT jobs.' || call, repeat('x', 65537)), '22001', NULL, 'too long: ' || call)
FROM unnest(ARRAY['update_job_status(pg_temp.id(''job''), ''RUNNING'', %L, pg_temp.id(''agent''))', 'update_job_status(pg_temp.id(''job''), ''FAILED'', %L)',
	'release_job(pg_temp.id(''job''), pg_temp.id(''agent''), message => %L)', 'cancel_job(pg_temp.id(''job''), %L)',
	'finish_and_claim(pg_temp.id(''job''), ''COMPLETED'', %L, pg_temp.id(''agent''))']) call;
SELECT throws_ok('SELECT jobs.' || call, 'JB404', NULL, 'not there: ' || call)
FROM unnest(ARRAY['update_job_status(pg_temp.id(''none of ours''), ''RUNNING'', agent_id => pg_temp.id(''agent''))', 'update_job_status(pg_temp.id(''none of ours''), ''FAILED'')',
	'update_job_status(pg_temp.id(''job''), ''RUNNING'', agent_id => pg_temp.id(''none of ours''))', 'update_job_status(pg_temp.id(''job''), ''RUNNING'', agent_id => pg_temp.id(''of carol''))',
	'update_job_status(pg_temp.id(''foreign''), ''RUNNING'', agent_id => pg_temp.id(''agent''))', 'update_job_status(pg_temp.id(''foreign''), ''CANCELED'')',
	'heartbeat(pg_temp.id(''none of ours''))', 'heartbeat(pg_temp.id(''of carol''))',
	'release_job(pg_temp.id(''none of ours''), pg_temp.id(''agent''))', 'release_job(pg_temp.id(''foreign''), pg_temp.id(''agent''))', 'release_job(pg_temp.id(''job''), pg_temp.id(''of carol''))',
	'cancel_job(pg_temp.id(''none of ours''))', 'cancel_job(pg_temp.id(''foreign''))']) call;
SELECT throws_ok(format('SELECT pg_temp.as_role(''t_ann'', %L)', 'SELECT jobs.' || call), '42501', NULL, 'another user''s agent: ' || call)
FROM unnest(ARRAY['update_job_status(pg_temp.id(''job''), ''RUNNING'', agent_id => pg_temp.id(''agent''))', 'heartbeat(pg_temp.id(''agent''))', 'release_job(pg_temp.id(''job''), pg_temp.id(''agent''))']) call;
SELECT throws_ok(format('SELECT jobs.update_job_status(pg_temp.id(''job''), %L, ''x'', agent_id => pg_temp.id(''agent''))', name), 'JB409', NULL, 'no agent reports ' || name)
FROM unnest(ARRAY['CREATED', 'PENDING', 'CLAIMED', 'UNKNOWN']) name;
SELECT throws_ok(format('SELECT jobs.update_job_status(pg_temp.id(''job''), %L)', name), 'JB409', NULL, 'no user reports ' || name)
FROM unnest(ARRAY['CREATED', 'PENDING', 'CLAIMED', 'VALIDATING', 'RUNNING', 'UPLOADING', 'COMPLETED', 'UNKNOWN']) name;
SELECT throws_ok('SELECT jobs.' || call, 'JB410', NULL, 'not the holder: ' || call)
FROM unnest(ARRAY['update_job_status(pg_temp.id(''job''), ''RUNNING'', agent_id => pg_temp.id(''second''))', 'update_job_status(pg_temp.id(''job''), ''FAILED'', agent_id => pg_temp.id(''second''))',
	'update_job_status(pg_temp.id(''job''), ''RUNNING'', NULL, pg_temp.id(''agent''), 2)', 'update_job_status(pg_temp.id(''job''), ''COMPLETED'', NULL, pg_temp.id(''agent''), 2)',
	'update_job_status(pg_temp.id(''job''), ''FAILED'', NULL, pg_temp.id(''agent''), 2)', 'release_job(pg_temp.id(''job''), pg_temp.id(''second''))']) call;
SELECT throws_ok($$SELECT jobs.heartbeat(pg_temp.id('agent'), array_fill(pg_temp.id('job'), ARRAY[10001]))$$, '22023', NULL, 'a heartbeat for too many jobs');
SELECT throws_ok($$SELECT jobs.heartbeat(pg_temp.id('agent'), ARRAY[ARRAY[pg_temp.id('job')]])$$, '22023', NULL, 'a heartbeat for jobs in two dimensions');
SELECT is(pg_temp.row_counts(), counts, 'nothing of all that left a row') FROM before;

-- Reports of the holder ------------------------------------------------------

SELECT is(s, pg_temp.last_entry('job'), 'the answer is the entry that is current then') FROM jobs.update_job_status(pg_temp.id('job'), 'VALIDATING', 'looking', pg_temp.id('agent')) s;
SELECT results_eq($$SELECT name, message, agent_id, created_by_id, job_id FROM pg_temp.last_entry('job')$$,
	$$VALUES ('VALIDATING'::jobs.job_status_name, 'looking', pg_temp.id('agent'), NULL::uuid, pg_temp.id('job'))$$, 'an agent acted, no user');
SELECT is(pg_temp.report('job', 'RUNNING'), 'RUNNING', 'RUNNING');
SELECT throws_ok($$SELECT pg_temp.report('job', 'VALIDATING')$$, 'JB409', NULL, 'not back to VALIDATING');
SELECT is(s, pg_temp.last_entry('job'), 'the same without a message answers the current entry') FROM jobs.update_job_status(pg_temp.id('job'), 'RUNNING', agent_id => pg_temp.id('agent')) s;
SELECT is(pg_temp.history('job'), 'PENDING CLAIMED VALIDATING RUNNING', 'and adds none');
SELECT is((jobs.update_job_status(pg_temp.id('job'), 'RUNNING', 'half way', pg_temp.id('agent'))).message, 'half way', 'with a message it adds one');
SELECT is(pg_temp.history('job'), 'PENDING CLAIMED VALIDATING RUNNING RUNNING', 'the state is the same');
UPDATE jobs_store.lease SET expires = now() - interval '1 s' WHERE job_id = pg_temp.id('job');
SELECT is(pg_temp.report('job', 'UPLOADING'), 'UPLOADING', 'a report after the time, which nobody noticed, is accepted');
SELECT ok(expires > clock_timestamp() + interval '30 s', 'and extends the lease') FROM jobs_store.lease WHERE job_id = pg_temp.id('job');
UPDATE jobs_store.lease SET expires = now() - interval '1 s' WHERE job_id = pg_temp.id('job');
SELECT is(pg_temp.report('job', 'UPLOADING'), 'UPLOADING', 'the same without a message');
SELECT ok(expires > clock_timestamp() + interval '30 s', 'is a sign of life too: any report extends the lease') FROM jobs_store.lease WHERE job_id = pg_temp.id('job');
CREATE TEMP TABLE answer AS SELECT s AS entry FROM jobs.update_job_status(pg_temp.id('job'), 'COMPLETED', 'done', pg_temp.id('agent'), 1) s;
SELECT is(pg_temp.history('job'), 'PENDING CLAIMED VALIDATING RUNNING RUNNING UPLOADING COMPLETED', 'all of it, oldest first');
SELECT is(s, a.entry, 'the same terminal report answers the entry that is there') FROM answer a, jobs.update_job_status(pg_temp.id('job'), 'COMPLETED', 'done', pg_temp.id('agent'), 1) s;
SELECT is(s.message, 'done', 'whatever its message') FROM jobs.update_job_status(pg_temp.id('job'), 'COMPLETED', 'really', pg_temp.id('agent')) s;
SELECT throws_ok($$SELECT jobs.update_job_status(pg_temp.id('job'), 'COMPLETED', 'done', pg_temp.id('second'))$$, 'JB410', NULL, 'but not to another agent');
SELECT throws_ok($$SELECT jobs.update_job_status(pg_temp.id('job'), 'COMPLETED', 'done', pg_temp.id('agent'), 2)$$, 'JB410', NULL, 'nor for another attempt');
SELECT throws_ok(format('SELECT pg_temp.report(''job'', %L)', name), 'JB410', NULL, 'after the end: ' || name) FROM unnest(ARRAY['RUNNING', 'FAILED', 'CANCELED']) name;
SELECT throws_ok($$SELECT jobs.release_job(pg_temp.id('job'), pg_temp.id('agent'))$$, 'JB410', NULL, 'after the end: release');
SELECT throws_ok(format('SELECT jobs.update_job_status(pg_temp.id(''job''), %L)', name), 'JB409', NULL, 'after the end, by a user: ' || name) FROM unnest(ARRAY['FAILED', 'CANCELED']) name;
SELECT pg_temp.take(b || ' then ' || a) IS NULL OR pg_temp.report(b || ' then ' || a, b) IS NULL AS ignored FROM unnest(ARRAY['VALIDATING', 'RUNNING', 'UPLOADING']) b, unnest(ARRAY['COMPLETED', 'FAILED', 'CANCELED']) a \g /dev/null
SELECT is(pg_temp.report(b || ' then ' || a, a), a, b || ' then ' || a) FROM unnest(ARRAY['VALIDATING', 'RUNNING', 'UPLOADING']) b, unnest(ARRAY['COMPLETED', 'FAILED', 'CANCELED']) a;

-- Attempts -------------------------------------------------------------------

SELECT pg_temp.take('tries', '{"max_attempts": 3}') IS NULL AS ignored \gset
SELECT is(pg_temp.report('tries', 'FAILED', 'no luck'), 'PENDING', 'a failure with attempts left is not FAILED');
SELECT matches((pg_temp.last_entry('tries')).message, 'attempt 1 of 3.*no luck', 'its message says which attempt failed and why');
SELECT is(pg_temp.report('tries', 'FAILED', 'no luck'), 'PENDING', 'the same report again: the same answer');
SELECT is(pg_temp.claim(1, 'second'), 'tries', 'the next attempt');
SELECT throws_ok($$SELECT pg_temp.report('tries', 'FAILED', 'no luck')$$, 'JB410', NULL, 'the former holder is told so');
SELECT throws_ok($$SELECT pg_temp.report('tries', 'COMPLETED')$$, 'JB410', NULL, 'whatever it reports');
SELECT throws_ok($$SELECT jobs.update_job_status(pg_temp.id('tries'), 'RUNNING', NULL, pg_temp.id('second'), 1)$$, 'JB410', NULL, 'attempt 1 is over');
SELECT is((jobs.update_job_status(pg_temp.id('tries'), 'RUNNING', NULL, pg_temp.id('second'), 2)).name::text, 'RUNNING', 'this is attempt 2');
SELECT is((jobs.update_job_status(pg_temp.id('tries'), 'FAILED', 'for good', pg_temp.id('second'), 2, false)).name::text, 'FAILED', 'without retry: FAILED, attempts left or not');
SELECT pg_temp.take('same agent', '{"max_attempts": 2}') IS NULL AS ignored \gset
SELECT pg_temp.report('same agent', 'FAILED') IS NULL AS ignored \gset
SELECT is(pg_temp.claim(1), 'same agent', 'the same agent gets it again');
SELECT throws_ok($$SELECT jobs.update_job_status(pg_temp.id('same agent'), 'FAILED', NULL, pg_temp.id('agent'), 1)$$, 'JB410', NULL, 'its report of attempt 1 is not one of attempt 2');
SELECT is(pg_temp.report('same agent', 'FAILED', 'x'), 'FAILED', 'the last attempt ends it');
SELECT is((pg_temp.last_entry('same agent')).message, 'x', 'with the message as it was given');
SELECT is(pg_temp.history('same agent'), 'PENDING CLAIMED PENDING CLAIMED FAILED', 'its history');
SET LOCAL jobs.retry_base = '1 h';
SELECT pg_temp.take('later', '{"max_attempts": 3}') IS NULL AS ignored \gset
SELECT is(pg_temp.report('later', 'FAILED', 'not now'), 'CREATED', 'with a back-off it waits');
SELECT ok(check_at > clock_timestamp() - interval '1 min' AND check_at <= clock_timestamp() + interval '1 h', 'for at most jobs.retry_base') FROM jobs_store.waiting WHERE job_id = pg_temp.id('later');
SELECT matches((pg_temp.last_entry('later')).message, 'not before', 'its message says when the next attempt starts');
SET LOCAL jobs.retry_cap = '1 ms';
SELECT ok(max(jobs_store.retry_delay(a, NULL, NULL, NULL)) <= '1 ms', 'no wait is longer than jobs.retry_cap') FROM unnest(ARRAY[1, 2, 30, 64, 1000, 2147483647]) a;
SET LOCAL jobs.retry_cap = '24 d';
SELECT ok(min(d) >= '0' AND max(d) < '4 h' AND max(d) > '1 h', 'it doubles with each attempt') FROM (SELECT jobs_store.retry_delay(3, NULL, NULL, NULL) AS d FROM generate_series(1, 200)) d;
SET LOCAL jobs.retry_base = 0;

-- Release --------------------------------------------------------------------

SELECT pg_temp.take('given back') IS NULL AS ignored \gset
SELECT is((jobs.release_job(pg_temp.id('given back'), pg_temp.id('agent'), message => 'shutting down')).name::text, 'PENDING', 'released: PENDING at once');
SELECT results_eq($$SELECT message, agent_id FROM pg_temp.last_entry('given back')$$, $$VALUES ('shutting down', pg_temp.id('agent'))$$, 'by whom, and why');
SELECT throws_ok($$SELECT jobs.release_job(pg_temp.id('given back'), pg_temp.id('agent'))$$, 'JB410', NULL, 'it is not held any more');
SELECT throws_ok(format('SELECT pg_temp.report(''given back'', %L)', name), 'JB410', NULL, 'no report of it is accepted: ' || name) FROM unnest(ARRAY['RUNNING', 'COMPLETED', 'FAILED', 'CANCELED']) name;
SELECT is(pg_temp.claim(1), 'given back', 'it can be claimed again');
SELECT is(pg_temp.report('given back', 'FAILED'), 'FAILED', 'it has the one attempt that it had');
SELECT pg_temp.take('given back twice', '{"max_attempts": 2}') IS NULL AS ignored \gset
DO $$ BEGIN
	PERFORM jobs.release_job(pg_temp.id('given back twice'), pg_temp.id('agent'), now() - interval '1 h');
	PERFORM pg_temp.claim(1);
	PERFORM pg_temp.report('given back twice', 'RUNNING');
	PERFORM jobs.release_job(pg_temp.id('given back twice'), pg_temp.id('agent'), 'infinity');
END $$;
SELECT is(pg_temp.history('given back twice'), 'PENDING CLAIMED PENDING CLAIMED RUNNING CREATED', 'a time in the past is now, one to come makes it wait');
SELECT is(pg_temp.claim(1), 'none', 'until then nobody gets it');
SELECT pg_temp.make_due('given back twice') IS NULL AS ignored \gset
SELECT is(jobs.sweep(), 1, 'its time comes');
SELECT is(pg_temp.claim(1), 'given back twice', 'then it is claimed');
SELECT is(pg_temp.report('given back twice', 'FAILED'), 'PENDING', 'no attempt was used up by giving it back');
SELECT is(pg_temp.claim(1), 'given back twice', 'the second');
SELECT is(pg_temp.report('given back twice', 'FAILED'), 'FAILED', 'was the last');

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
