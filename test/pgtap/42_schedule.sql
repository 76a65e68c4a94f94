-- Jobs that come again and again.
\ir setup.psql

-- The time of a schedule has come, so long ago.
CREATE FUNCTION pg_temp.make_due(name text, ago interval) RETURNS void LANGUAGE sql AS
	'UPDATE jobs_store.schedule s SET next_run = now() - $2 WHERE s.name = $1';
-- How many jobs there are of a schedule, which are told apart by their parameters.
CREATE FUNCTION pg_temp.jobs(name text) RETURNS bigint LANGUAGE sql AS
	'SELECT count(*) FROM jobs_store.job j WHERE j.parameters = to_jsonb($1)';
CREATE FUNCTION pg_temp.job(name text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS
	$$SELECT jsonb_build_object('function', '@t:one', 'parameters', to_jsonb($1)) || $2$$;
CREATE FUNCTION pg_temp.schedule(name text) RETURNS jobs.schedules LANGUAGE sql AS
	'SELECT s FROM jobs.schedules s WHERE s.name = $1';

-- Bad input ----------------------------------------------------------------------------

SELECT throws_ok(call, code, NULL, call) FROM (VALUES
	('SELECT jobs.add_schedule(NULL, ''@daily'', ''{"function": "@t:one"}'')', '22004'),
	('SELECT jobs.add_schedule(''n'', NULL, ''{"function": "@t:one"}'')', '22004'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', NULL)', '22004'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', ''{"function": "@t:one"}'', NULL)', '22004'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', ''{"function": "@t:one"}'', missed => NULL)', '22004'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', ''{"function": "@t:one"}'', overlap => NULL)', '22004'),
	('SELECT jobs.add_schedule('' '', ''@daily'', ''{"function": "@t:one"}'')', '22023'),
	('SELECT jobs.add_schedule(repeat(''n'', 256), ''@daily'', ''{"function": "@t:one"}'')', '22001'),
	('SELECT jobs.add_schedule(''n'', ''@never'', ''{"function": "@t:one"}'')', '22023'),
	('SELECT jobs.add_schedule(''n'', ''0 0 30 2 *'', ''{"function": "@t:one"}'')', '22023'),
	('SELECT jobs.add_schedule(''n'', ''*/20 2 25-31 3 */7'', ''{"function": "@t:one"}'', ''Europe/Berlin'')', '22023'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', ''{"function": "@t:one"}'', ''Nowhere'')', '22023'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', ''{"function": "@t:one"}'', missed => ''twice'')', '22023'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', ''[]'')', '22023'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', ''1'')', '22023'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', ''null'')', '22023'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', ''{}'')', '22004'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', ''{"function": "@t:one", "colour": 1}'')', '22023'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', ''{"function": "@t:one", "priority": "high"}'')', '22023'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', ''{"function": "@t:one", "run_after": "2100-01-01"}'')', '22023'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', ''{"function": "@t:one", "idempotency_key": "k"}'')', '22023'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', ''{"function": "@t:one", "depends_on": []}'')', '22023'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', ''{"function": "@t:none"}'')', 'JB404'),
	('SELECT jobs.add_schedule(''n'', ''@daily'', ''{"function": "@t:one", "model_id": "ffffffff-ffff-7fff-bfff-fffffffffff0"}'')', 'JB404'),
	('SELECT jobs.remove_schedule(''n'')', 'JB404'), ('SELECT jobs.remove_schedule(NULL)', '22004'),
	('SELECT jobs.pause_schedule(''n'')', 'JB404'), ('SELECT jobs.pause_schedule(NULL)', '22004'),
	('SELECT jobs.resume_schedule(''n'')', 'JB404'), ('SELECT jobs.resume_schedule(NULL)', '22004'),
	('SELECT pg_temp.as_role(''t_nobody'', ''SELECT jobs.add_schedule(''''n'''', ''''@daily'''', ''''{"function": "@t:one"}'''')'')', '42501')
) t(call, code);
SELECT is_empty('SELECT * FROM jobs.schedules', 'nothing was added');
SELECT is_empty('SELECT * FROM jobs_store.job', 'nor any job');

-- A job whenever it is due ----------------------------------------------------------------

SELECT is(jobs.add_schedule('hourly', '@hourly', pg_temp.job('hourly', '{"priority": 7, "display_name": "each hour"}')),
	(SELECT r FROM jobs.next_runs('@hourly', count => 1) r), 'answers the next time');
SELECT is(jobs.sweep(), 0, 'not before its time');
SELECT pg_temp.make_due('hourly', '10 s') IS NULL AS ignored \gset
SELECT is(jobs.sweep(), 1, 'one job when its time has come');
SELECT is(jobs.sweep(), 0, 'and no other');
SELECT is((parameters, priority, display_name, first_status, created_by_id = jobs.current_user_id())::text, '("""hourly""",7,"each hour",PENDING,t)',
	'the job is as was said') FROM jobs_store.job;
SELECT is((s.last_run, s.last_status, s.error, s.last_skipped)::text, (now() - interval '10 s', 'PENDING', NULL, NULL)::text, 'last time and job')
FROM pg_temp.schedule('hourly') s;
SELECT is(s.last_job_id, j.id, 'the job') FROM pg_temp.schedule('hourly') s, jobs_store.job j;
SELECT is(s.next_run, r, 'next time') FROM pg_temp.schedule('hourly') s, jobs.next_runs('@hourly', count => 1) r;
SELECT is((s.cron, s.time_zone, s.missed, s.overlap, s.owner, s.paused)::text, (SELECT ('@hourly', 'UTC', 'skip', false, u.email, NULL)::text
	FROM jobs_store.user_account u WHERE u.id = jobs.current_user_id()), 'what was said') FROM pg_temp.schedule('hourly') s;

-- Claims sweep, too: the job is there for the claim that finds it due.
UPDATE jobs_store.schedule SET overlap = true;
SELECT pg_temp.make_due('hourly', '10 s') IS NULL AS ignored \gset
SET LOCAL jobs.sweep_interval = 0;
SELECT is(count(*), 2::bigint, 'a claim gets the job of a schedule that is due') FROM jobs.claim_jobs(pg_temp.id('agent'), 10);
SET LOCAL jobs.sweep_interval = -1;
UPDATE jobs_store.schedule SET overlap = false;

-- No overlap ---------------------------------------------------------------------------------

SELECT pg_temp.make_due('hourly', '20 s') IS NULL AS ignored \gset
SELECT is(jobs.sweep(), 0, 'no job while the last one has not ended');
SELECT is((s.last_skipped, s.skip_reason, s.last_run)::text, (now() - interval '20 s', 'the last job had not ended', now() - interval '10 s')::text, 'which is written down')
FROM pg_temp.schedule('hourly') s;
SELECT ok(s.next_run > now(), 'and it waits for the next time') FROM pg_temp.schedule('hourly') s;
SELECT is(count(*), 2::bigint, 'both jobs end') FROM jobs_store.job j, jobs.update_job_status(j.id, 'COMPLETED', NULL, pg_temp.id('agent'));
SELECT pg_temp.make_due('hourly', '20 s') IS NULL AS ignored \gset
SELECT is(jobs.sweep(), 1, 'a job when the last one has ended');
SELECT is((SELECT (j).name FROM jobs_store.current_status j WHERE j.job_id = s.last_job_id), 'PENDING', 'which is the last one now') FROM pg_temp.schedule('hourly') s;
SELECT count(*) AS ignored FROM pg_temp.schedule('hourly') s, jobs.cancel_job(s.last_job_id) \gset
SELECT is((pg_temp.schedule('hourly')).last_status, 'CANCELED', 'its status can be seen');
SELECT lives_ok($$SELECT jobs.add_schedule('often', '* * * * *', pg_temp.job('often'), overlap => true)$$, 'one that overlaps');
SELECT pg_temp.make_due('often', '20 s'), jobs.sweep(), pg_temp.make_due('often', '20 s'), jobs.sweep() AS ignored \gset ignored_
SELECT is(pg_temp.jobs('often'), 2::bigint, 'two jobs at once');

-- Missed ------------------------------------------------------------------------------------------

SELECT jobs.add_schedule('skip', '0 0 1 1 *', pg_temp.job('skip')), jobs.add_schedule('once', '0 0 1 1 *', pg_temp.job('once'), missed => 'once'),
	jobs.add_schedule('minutes', '* * * * *', pg_temp.job('minutes')) IS NULL AS ignored \gset ignored_
SELECT pg_temp.make_due('skip', '4 min'), jobs.sweep() AS swept \gset ignored_
SELECT is(pg_temp.jobs('skip'), 1::bigint, 'less than five minutes late is on time');
UPDATE jobs_store.schedule SET last_job_id = NULL;
SELECT count(*) AS ignored FROM unnest(ARRAY['skip', 'once', 'minutes']) n, pg_temp.make_due(n, '400 days') \gset
SELECT pg_temp.make_due('skip', '5 min 1 s') IS NULL AS ignored \gset
SELECT is(jobs.sweep(), 2, 'of three that are late, two jobs come');
SELECT is(pg_temp.jobs('skip'), 1::bigint, 'none with skip');
SELECT is((s.last_skipped, s.skip_reason)::text, (now() - interval '5 min 1 s', 'it was more than 5 minutes late')::text, 'which is written down') FROM pg_temp.schedule('skip') s;
SELECT is(pg_temp.jobs('once'), 1::bigint, 'one with once');
SELECT is(s.last_run, now() - interval '400 days', 'for the time that was missed') FROM pg_temp.schedule('once') s;
SELECT is(pg_temp.jobs('minutes'), 1::bigint, 'one for those times that are not late');
SELECT ok(s.last_run BETWEEN clock_timestamp() - interval '5 min 1 s' AND clock_timestamp(), 'which are the last five minutes') FROM pg_temp.schedule('minutes') s;
SELECT is_empty('SELECT * FROM jobs.schedules WHERE next_run <= now()', 'all wait for their next time');
SELECT is(s.next_run, date_trunc('year', now() AT TIME ZONE 'UTC' + interval '1 year') AT TIME ZONE 'UTC', 'next year') FROM pg_temp.schedule('once') s;

-- Pause ----------------------------------------------------------------------------------------------

SELECT jobs.pause_schedule('often') IS NULL AS ignored \gset
SELECT is((s.next_run, s.paused, s.paused_by)::text, (SELECT (NULL, x.paused, u.email)::text FROM jobs_store.schedule x, jobs_store.user_account u
	WHERE x.name = 'often' AND x.paused IS NOT NULL AND u.id = jobs.current_user_id()), 'paused') FROM pg_temp.schedule('often') s;
SELECT paused AS since FROM jobs.schedules WHERE name = 'often' \gset
SELECT lives_ok($$SELECT jobs.pause_schedule('often')$$, 'again');
SELECT is((pg_temp.schedule('often')).paused, :'since', 'since the first time');
SELECT is(jobs.sweep(), 0, 'no job while it is paused');
SELECT is(jobs.add_schedule('often', '*/2 * * * *', pg_temp.job('often')), NULL, 'replaced while it is paused');
SELECT is((s.cron, s.overlap, s.paused IS NOT NULL, s.updated IS NOT NULL)::text, '("*/2 * * * *",f,t,t)', 'it stays paused') FROM pg_temp.schedule('often') s;
SELECT is(jobs.resume_schedule('often'), (SELECT r FROM jobs.next_runs('*/2 * * * *', count => 1) r), 'resumed: from now on');
SELECT is((s.paused, s.paused_by)::text, '(,)', 'not paused') FROM pg_temp.schedule('often') s;
SELECT is(jobs.resume_schedule('often'), (pg_temp.schedule('often')).next_run, 'again');
SELECT pg_temp.make_due('often', '1 min') IS NULL AS ignored \gset
SELECT is(jobs.resume_schedule('often'), now() - interval '1 min', 'that takes nothing away that is due');

-- Rights --------------------------------------------------------------------------------------------------

SELECT is(pg_temp.as_role('t_ann', $$SELECT jobs.add_schedule('of ann', '@daily', '{"function": "@t:one", "parameters": "of ann"}') IS NOT NULL$$), 'true', 'anybody may have schedules');
SELECT is(pg_temp.as_role('t_ann', 'SELECT string_agg(name, '','') FROM jobs.schedules'), 'of ann', 'and sees those');
SELECT is(pg_temp.as_role('t_bob', 'SELECT count(*) FROM jobs.schedules'), '0', 'others do not');
SELECT is(pg_temp.as_role('t_nobody', 'SELECT count(*) FROM jobs.schedules'), '0', 'nor does who is no user');
SELECT is((pg_temp.schedule('of ann')).owner, 'ann@example.org', 'an administrator sees all');
SELECT throws_ok(format('SELECT pg_temp.as_role(%L, %L)', role, call), code, NULL, role || ': ' || call) FROM (VALUES
	('t_bob', 'SELECT jobs.remove_schedule(''of ann'')', 'JB404'), ('t_bob', 'SELECT jobs.pause_schedule(''of ann'')', 'JB404'),
	('t_bob', 'SELECT jobs.resume_schedule(''of ann'')', 'JB404'), ('t_carol', 'SELECT jobs.remove_schedule(''of ann'')', 'JB404'),
	('t_bob', 'SELECT jobs.add_schedule(''of ann'', ''@daily'', ''{"function": "@t:one"}'')', '42501'),
	('t_bob', 'SELECT * FROM jobs_store.schedule', '42501'), ('t_bob', 'DELETE FROM jobs.schedules', '55000')) t(role, call, code);
SELECT throws_ok($$SELECT jobs.add_schedule('of ann', '@daily', '{"function": "@t:one"}')$$, '42501', NULL, 'not even an administrator makes it another user''s');
SELECT pg_temp.make_due('of ann', '1 s') IS NULL AS ignored \gset
SELECT is(pg_temp.as_role('t_carol', 'SELECT jobs.sweep()'), '0', 'another tenant does not sweep it');
SELECT is(pg_temp.as_role('t_bob', 'SELECT jobs.sweep() > 0'), 'true', 'whoever sweeps');
SELECT is((SELECT u.email FROM jobs_store.job j JOIN jobs_store.user_account u ON u.id = j.created_by_id WHERE j.parameters = '"of ann"'), 'ann@example.org',
	'the job belongs to the user of the schedule');

-- What goes wrong -----------------------------------------------------------------------------------------

-- Ann may start jobs on the model, and then she may not.
SELECT pg_temp.note('model', jobs.add_model('m', 'x')) IS NULL AS ignored \gset
SELECT jobs.create_access(pg_temp.id('model'), 'user', pg_temp.id('ann'), 'executor') IS NULL AS ignored \gset
SELECT lives_ok($$SELECT pg_temp.as_role('t_ann', format($q$SELECT jobs.add_schedule('on a model', '@daily', '{"function": "@t:one", "model_id": "%s", "parameters": "on a model"}')$q$, pg_temp.id('model')))$$,
	'a schedule on a model');
SELECT throws_ok($$SELECT pg_temp.as_role('t_bob', format($q$SELECT jobs.add_schedule('bad', '@daily', '{"function": "@t:one", "model_id": "%s"}')$q$, pg_temp.id('model')))$$,
	'JB404', NULL, 'not for who does not see it');
SELECT pg_temp.make_due('on a model', '1 s'), jobs.sweep() AS swept \gset ignored_
SELECT is(pg_temp.jobs('on a model'), 1::bigint, 'while she may');
SELECT jobs.update_access(pg_temp.id('model'), 'user', pg_temp.id('ann'), 'viewer') IS NULL AS ignored \gset
UPDATE jobs_store.schedule SET last_job_id = NULL;
SELECT count(*) AS ignored FROM unnest(ARRAY['on a model', 'often']) n, pg_temp.make_due(n, '10 s') \gset
SELECT pg_temp.make_due('on a model', '20 s') IS NULL AS ignored \gset
SELECT is(jobs.sweep(), 1, 'when she may not: no job, and the other schedule goes on');
SELECT is((s.error_code, s.error, s.last_error BETWEEN now() AND clock_timestamp(), s.next_run > now(), s.last_status)::text,
	('42501', format('not allowed to start jobs on model %s', pg_temp.id('model')), true, true, NULL)::text, 'what went wrong can be read') FROM pg_temp.schedule('on a model') s;
SELECT is(pg_temp.jobs('on a model'), 1::bigint, 'nothing is left of it');
SELECT jobs.update_access(pg_temp.id('model'), 'user', pg_temp.id('ann'), 'executor') IS NULL AS ignored \gset
SELECT pg_temp.make_due('on a model', '1 s') IS NULL AS ignored \gset
SELECT is(jobs.sweep(), 1, 'when she may again, it comes again');
SELECT is((s.error_code, s.error, s.last_error)::text, '(,,)', 'and all is well') FROM pg_temp.schedule('on a model') s;

-- What a schedule names is gone.
SELECT pg_temp.make_due('of ann', '1 s') IS NULL AS ignored \gset
UPDATE jobs_store.schedule SET job = '{"function": "@t:gone"}', last_job_id = NULL WHERE name = 'of ann';
SELECT is(jobs.sweep(), 0, 'a function that is gone');
SELECT is((s.error_code, s.error)::text, '(JB404,"function @t:gone not found")', 'is written down') FROM pg_temp.schedule('of ann') s;
UPDATE jobs_store.schedule SET job = '{"function": "@t:one", "colour": 1}' WHERE name = 'of ann';
SELECT pg_temp.make_due('of ann', '1 s'), jobs.sweep() AS swept \gset ignored_
SELECT is((s.error_code, s.error)::text, $$(22023,"unknown key in job: 'colour'")$$, 'a job that does not fit any more') FROM pg_temp.schedule('of ann') s;
UPDATE jobs_store.schedule SET job = '{"function": "@t:one"}', time_zone = 'Gone/Land' WHERE name = 'of ann';
SELECT pg_temp.make_due('of ann', '1 s'), jobs.sweep() AS swept \gset ignored_
SELECT is((s.error_code, s.error, s.next_run BETWEEN now() + interval '1 h' AND clock_timestamp() + interval '1 h')::text,
	'(22023,"time zone ""Gone/Land"" not recognized",t)', 'a time zone that the server does not know any more: it looks again in an hour') FROM pg_temp.schedule('of ann') s;
UPDATE jobs_store.schedule SET time_zone = 'UTC' WHERE name = 'of ann';
UPDATE jobs_store.user_account SET role_name = 't_gone' WHERE role_name = 't_ann';
SELECT pg_temp.make_due('of ann', '1 s') IS NULL AS ignored \gset
SELECT is(jobs.sweep(), 0, 'a role that is gone');
SELECT is((s.error_code, s.error)::text, '(42501,"the role of the schedule''s user is not there any more: ""t_gone""")', 'is written down') FROM pg_temp.schedule('of ann') s;
UPDATE jobs_store.user_account SET role_name = 't_ann' WHERE role_name = 't_gone';

-- What concerns the sweep as a whole is not put down to a schedule.
CREATE FUNCTION pg_temp.fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no' USING ERRCODE = TG_ARGV[0], DETAIL = 'because'; END$$;
CREATE FUNCTION pg_temp.sweep_failing(code text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE format('CREATE TRIGGER fail BEFORE INSERT ON jobs_store.job FOR EACH ROW EXECUTE FUNCTION pg_temp.fail(%L)', code);
	BEGIN
		answer := jobs.sweep();
	EXCEPTION WHEN query_canceled OR OTHERS THEN
		answer := SQLSTATE;
	END;
	DROP TRIGGER fail ON jobs_store.job;
	RETURN answer;
END $$;
SELECT pg_temp.make_due('once', '1 s') IS NULL AS ignored \gset
UPDATE jobs_store.schedule SET last_job_id = NULL WHERE name = 'once';
SELECT is(pg_temp.sweep_failing(code), code, 'the sweep fails with ' || code)
FROM unnest(ARRAY['57014', '40001', '40P01', '53100']) code;
SELECT is((s.next_run, s.error)::text, (now() - interval '1 s', NULL)::text, 'and the schedule is due as before') FROM pg_temp.schedule('once') s;
SELECT is(pg_temp.sweep_failing('P0001'), '0', 'another error is one of the schedule');
SELECT is((s.error_code, s.error, s.next_run > now())::text, '(P0001,"no: because",t)', 'which says it') FROM pg_temp.schedule('once') s;

-- More than one pass takes.
SELECT count(jobs.add_schedule('s' || n, '@yearly', pg_temp.job('many'))) AS ignored FROM generate_series(1, 150) n \gset
UPDATE jobs_store.schedule SET next_run = now() WHERE name LIKE 's%' AND job = pg_temp.job('many');
SELECT is(jobs.sweep(), 100, 'a pass takes a hundred');
SELECT is(jobs.sweep(), 50, 'the next one the rest');

-- The end --------------------------------------------------------------------------------------------------

SELECT is(pg_temp.as_role('t_ann', 'SELECT jobs.remove_schedule(''of ann'')'), '', 'removed by its user');
SELECT lives_ok($$SELECT jobs.remove_schedule('on a model')$$, 'and by an administrator');
SELECT throws_ok($$SELECT jobs.remove_schedule('of ann')$$, 'JB404', NULL, 'it is gone');
SELECT is(pg_temp.jobs('on a model'), 2::bigint, 'its jobs stay');
SELECT lives_ok($$SELECT pg_temp.as_role('t_bob', 'SELECT jobs.add_schedule(''of ann'', ''@daily'', ''{"function": "@t:one"}'')')$$, 'and so its name is free');
SELECT is_empty('SELECT * FROM pg_temp.problems()', 'queue and history agree');

SELECT * FROM finish();
ROLLBACK;
