-- What administrators say about a function: how long jobs may take and wait, pauses.
\ir setup.psql

CREATE FUNCTION pg_temp.last_message(label text) RETURNS text LANGUAGE sql AS
	'SELECT j.status_history[cardinality(j.status_history)].message FROM jobs.get_job(pg_temp.id($1)) j';

-- Bad input --------------------------------------------------------------------------

SELECT throws_ok('SELECT jobs.set_function_policy(NULL)', '22004', NULL, 'which function?');
SELECT throws_ok('SELECT jobs.set_function_policy(''@t:none'')', 'JB404', NULL, 'no such function');
SELECT throws_ok(format('SELECT jobs.set_function_policy(''@t:one'', %s)', bad), '22023', NULL, bad)
FROM unnest(ARRAY['max_run_time => ''0''', 'start_timeout => ''-1 s''', 'backoff => ''often''', 'backoff_base => ''0''', 'backoff_cap => ''1000 d''',
	'max_in_flight => 0', 'max_in_flight_per_key => -1', 'max_in_flight => 100001', 'rate_limit => 1', 'rate_interval => ''1 s''',
	'rate_limit => 0, rate_interval => ''1 s''']) bad;
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', $q$SELECT jobs.$$ || f || $$$q$)$$, '42501', NULL, 'for administrators: ' || f)
FROM unnest(ARRAY['set_function_policy(''@t:one'')', 'pause_function(''@t:one'')', 'resume_function(''@t:one'')']) f;
SELECT throws_ok($$SELECT pg_temp.as_role('t_carol', 'SELECT jobs.pause_function(''@t:one'')')$$, 'JB404', NULL, 'of this tenant');
SELECT is_empty('SELECT * FROM jobs.function_policies', 'nothing was set');

-- Longest run time -----------------------------------------------------------------------

SELECT jobs.set_function_policy('@t:one', max_run_time => '10 min') IS NULL AS ignored \gset
SELECT is((max_run_time, max_in_flight, paused)::text, '(00:10:00,,)', 'the policy can be read') FROM jobs.function_policies WHERE function = '@t:one';
SELECT pg_temp.note('long', (SELECT job_id FROM (SELECT pg_temp.add('long job') AS a) a, jobs.claim_jobs(pg_temp.id('agent'), 1, '1 h'))) IS NULL AS ignored \gset
SELECT ok(check_at < clock_timestamp() + '11 min', 'a longer lease is looked at when the time is over') FROM jobs_store.lease;
SELECT is(jobs.sweep(), 0, 'not yet');
-- Time passes for the attempt: it began long ago.
CREATE FUNCTION pg_temp.began(label text, ago interval) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
	SET LOCAL session_replication_role = replica;
	ALTER TABLE jobs_store.job_status DISABLE TRIGGER guard_change;
	UPDATE jobs_store.job_status SET created = created - ago WHERE job_id = pg_temp.id(label);
	ALTER TABLE jobs_store.job_status ENABLE ALWAYS TRIGGER guard_change;
	SET LOCAL session_replication_role = origin;
	UPDATE jobs_store.job SET created = created - ago WHERE id = pg_temp.id(label);
	UPDATE jobs_store.lease SET check_at = now() WHERE job_id = pg_temp.id(label);
END $$;
SELECT pg_temp.began('long job', '5 min') \gset ignored_
SELECT is(jobs.sweep(), 0, 'half the time');
SELECT ok(check_at BETWEEN clock_timestamp() + '4 min' AND clock_timestamp() + '6 min', 'it is looked at again at the end') FROM jobs_store.lease;
SELECT is((jobs.heartbeat(pg_temp.id('agent'))).status, 'ok', 'heartbeats');
SELECT pg_temp.began('long job', '6 min') \gset ignored_
SELECT is(jobs.sweep(), 1, 'do not help');
SELECT is(pg_temp.status('long job'), 'FAILED', 'it ends FAILED when it was the only attempt');
SELECT matches(pg_temp.last_message('long job'), 'attempt 1 of 1: it ran for longer than 00:10:00', 'for that reason');
SELECT is((jobs.heartbeat(pg_temp.id('agent'))).status, 'lost', 'its agent is told');
SELECT pg_temp.take('again', '{"max_attempts": 2}') \gset ignored_
SELECT pg_temp.report('again', 'RUNNING'), pg_temp.began('again', '1 h') \gset ignored_
SELECT is((jobs.sweep(), pg_temp.status('again'))::text, '(1,PENDING)', 'with attempts left it is put back');
SELECT is(pg_temp.claim(), 'again', 'and claimed');
SELECT is(jobs.sweep(), 0, 'with the full time for the second attempt');
SELECT pg_temp.report('again', 'COMPLETED') \gset ignored_
SELECT pg_temp.take('silent', '{"max_attempts": 2}') \gset ignored_
SELECT pg_temp.expire('silent'), jobs.sweep() \gset ignored_
SELECT is(pg_temp.status('silent'), 'UNKNOWN', 'an agent that says nothing is lost as ever');
SELECT jobs.cancel_job(pg_temp.id('silent')) \gset ignored_
SELECT jobs.set_function_policy('@t:one') \gset ignored_
SELECT is((SELECT max_run_time FROM jobs.function_policies WHERE function = '@t:one'), NULL, 'what is not given is not limited');

-- Longest wait ---------------------------------------------------------------------------

SELECT pg_temp.add('first') \gset ignored_
SELECT pg_temp.add('parent', '{"run_after": "2100-01-01"}') \gset ignored_
SELECT pg_temp.add('child', jsonb_build_object('depends_on', ARRAY[pg_temp.id('first')])) \gset ignored_
SELECT jobs.sweep() \gset ignored_
SELECT jobs.set_function_policy('@t:one', start_timeout => '1 h') \gset ignored_
SELECT is(jobs.sweep(), 0, 'nobody has waited for too long');
SELECT pg_temp.began('first', '2 h'), pg_temp.began('parent', '2 h') \gset ignored_
SELECT pg_temp.add('second') \gset ignored_
SELECT is(jobs.sweep(), 2, 'a job that has, and what depends on it, end');
SELECT is(pg_temp.history('first'), 'PENDING FAILED', 'FAILED');
SELECT matches(pg_temp.last_message('first'), '01:00:00', 'which says why');
SELECT is(pg_temp.status('child'), 'CANCELED', 'its dependent');
SELECT is(pg_temp.status('second'), 'PENDING', 'not the younger one');
SELECT is(pg_temp.status('parent'), 'CREATED', 'not one whose time has not come');
SELECT is(jobs.sweep(), 0, 'that was all');
SELECT count(pg_temp.add('old ' || n)) AS ignored FROM generate_series(1, 250) n \gset
SELECT count(pg_temp.began('old ' || n, '2 h')) AS ignored FROM generate_series(1, 250) n \gset
SELECT jobs.set_function_policy('@t:one') \gset ignored_
SELECT is(jobs.sweep(), 0, 'without a limit they may wait');
DO $$ BEGIN PERFORM jobs.cancel_job(job_id) FROM (SELECT job_id FROM jobs_store.ready UNION ALL SELECT job_id FROM jobs_store.waiting) j; END $$;

-- Pause ----------------------------------------------------------------------------------

SELECT pg_temp.add('paused') \gset ignored_
SELECT pg_temp.take('running') \gset ignored_
SELECT jobs.pause_function('@t:one', 'maintenance') \gset ignored_
SELECT is(pg_temp.claim(), 'none', 'a paused function gives nothing');
SELECT matches((jobs.get_job_for_agent(pg_temp.id('agent'))).anyof_schema_2_validator::text, 'paused', 'and says why');
SELECT is(pg_temp.report('running', 'COMPLETED'), 'COMPLETED', 'what runs goes on');
SELECT is((paused IS NOT NULL, pause_reason, paused_by)::text, format('(t,maintenance,%s)', u.email), 'who, why') FROM jobs.function_policies, jobs_store.user_account u WHERE u.id = jobs.current_user_id();
SELECT jobs.set_function_policy('@t:one', backoff => 'none') \gset ignored_
SELECT is(pg_temp.claim(), 'none', 'a new policy does not end the pause');
SELECT lives_ok($$SELECT jobs.pause_function('@t:one')$$, 'again');
SELECT jobs.resume_function('@t:one') \gset ignored_
SELECT lives_ok($$SELECT jobs.resume_function('@t:one')$$, 'twice');
SELECT is(pg_temp.claim(), 'paused', 'resumed');
SELECT pg_temp.report('paused', 'COMPLETED') \gset ignored_

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
