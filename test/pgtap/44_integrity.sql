-- check_integrity: nothing is wrong after everything that our functions do; and each
-- invariant, broken by hand behind their back, is reported.
\ir setup.psql

-- All that can happen to jobs -------------------------------------------------

SELECT jobs.add_function('@t:limited', '1') AS limited, jobs.add_agent_pool('pool') AS pool \gset
SELECT jobs.set_agent_functions(pg_temp.id('agent'), ARRAY[pg_temp.id('one'), :'limited']) IS NULL AS ignored \gset
SELECT jobs.add_agent_to_pool(pg_temp.id('agent'), :'pool') IS NULL AS ignored \gset
SELECT jobs.set_function_policy('@t:limited', max_in_flight => 3, max_in_flight_per_key => 2, rate_limit => 10, rate_interval => '1 h') IS NULL AS ignored \gset
SELECT is_empty('SELECT * FROM jobs.check_integrity()', 'before there is any job');
SELECT pg_temp.take('held'), pg_temp.report('held', 'RUNNING'), pg_temp.report('held', 'RUNNING', 'half') \gset ignored_
SELECT pg_temp.take('keyed', '{"function": "@t:limited", "concurrency_key": "k"}') IS NULL AS ignored \gset
SELECT pg_temp.take('limited', '{"function": "@t:limited"}') IS NULL AS ignored \gset
SELECT jobs.set_function_policy('@t:limited', max_in_flight => 1, rate_limit => 5, rate_interval => '1 h') IS NULL AS ignored \gset
SELECT pg_temp.take('done'), pg_temp.report('done', 'COMPLETED') \gset ignored_
SELECT pg_temp.take('failed'), pg_temp.report('failed', 'FAILED') \gset ignored_
SELECT pg_temp.take('again', '{"max_attempts": 3}'), pg_temp.report('again', 'FAILED'), pg_temp.report('again', 'FAILED') \gset ignored_
SELECT pg_temp.take('released') IS NULL AS ignored \gset
SELECT (jobs.release_job(pg_temp.id('released'), pg_temp.id('agent'))).name \gset ignored_
SELECT pg_temp.take('lost') IS NULL AS ignored \gset
SELECT pg_temp.expire('lost') IS NULL AS ignored \gset
SELECT jobs.sweep() AS ignored \gset
SELECT pg_temp.take('back'), pg_temp.report('back', 'VALIDATING'), pg_temp.expire('back') \gset ignored_
SELECT jobs.sweep() AS ignored \gset
SELECT (jobs.heartbeat(pg_temp.id('agent'), ARRAY[pg_temp.id('back')])).status \gset ignored_
SELECT pg_temp.take('late') IS NULL AS ignored \gset
SELECT pg_temp.expire('late') IS NULL AS ignored \gset
SELECT jobs.sweep() AS ignored \gset
SELECT pg_temp.report('late', 'RUNNING') IS NULL AS ignored \gset
SELECT pg_temp.add('canceled') IS NULL AS ignored \gset
SELECT (jobs.cancel_job(pg_temp.id('canceled'))).status \gset ignored_
SELECT (jobs.retry_job(pg_temp.id('canceled'))).name \gset ignored_
SELECT (jobs.retry_job(pg_temp.id('failed'))).name \gset ignored_
SELECT pg_temp.add('first'), pg_temp.add('later', '{"run_after": "2100-01-01"}'), pg_temp.add('pooled', jsonb_build_object('assigned_agent_pool_id', :'pool')) \gset ignored_
SELECT pg_temp.add('dependent', jsonb_build_object('depends_on', jsonb_build_array(pg_temp.id('first'), pg_temp.id('done')))) IS NULL AS ignored \gset
SELECT pg_temp.add('anyway', jsonb_build_object('depends_on', jsonb_build_array(pg_temp.id('canceled')), 'on_dependency_failure', 'run')) IS NULL AS ignored \gset
SELECT pg_temp.add('free', jsonb_build_object('depends_on', jsonb_build_array(pg_temp.id('done')))) IS NULL AS ignored \gset
SELECT jobs.sweep() AS ignored \gset
SELECT pg_temp.add('archived'), pg_temp.add('restored'), pg_temp.add('key', '{"idempotency_key": "k"}') \gset ignored_
SELECT (jobs.archive(pg_temp.id('archived'))).name, (jobs.archive(pg_temp.id('restored'))).name \gset ignored_
SELECT (jobs.restore(pg_temp.id('restored'))).name \gset ignored_
SELECT pg_temp.note('model', jobs.add_model('model', repeat('x', 3000000)::bytea)) IS NULL AS ignored \gset
SELECT pg_temp.note('artifact', jobs.add_artifact(pg_temp.id('done'), 'result', 'some')) IS NULL AS ignored \gset
SELECT (jobs.update_job(pg_temp.id('done'), 'more')).id \gset ignored_
SELECT pg_temp.add('modeled', jsonb_build_object('model_id', pg_temp.id('model'))) IS NULL AS ignored \gset
SELECT (jobs.add_comment(pg_temp.id('done'), 'well', (jobs.add_comment(pg_temp.id('done'), 'done')).id)).id \gset ignored_
SELECT (jobs.create_access(pg_temp.id('done'), 'user', pg_temp.id('bob'), 'viewer')).relation \gset ignored_
SELECT jobs.add_schedule('nightly', '@daily', '{"function": "@t:one"}'), jobs.add_schedule('paused', '@daily', '{"function": "@t:one"}'), jobs.pause_schedule('paused') \gset ignored_
SELECT is_empty('SELECT * FROM jobs.check_integrity()', 'all is well after all that');
SELECT is_empty('SELECT * FROM jobs.check_integrity(true)', 'in all tenants');

-- Broken by hand --------------------------------------------------------------

ALTER TABLE jobs_store.job_status DISABLE TRIGGER USER;

-- What is found when a command has done its damage, which is undone.
CREATE FUNCTION pg_temp.found(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	BEGIN
		EXECUTE command;
		SELECT string_agg(DISTINCT concat_ws(' ', c.problem, coalesce(pg_temp.label(c.job_id), c.job_id::text)), ', '
			ORDER BY concat_ws(' ', c.problem, coalesce(pg_temp.label(c.job_id), c.job_id::text)))
		INTO found FROM jobs.check_integrity() c;
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	RETURN coalesce(found, 'nothing');
END $$;

CREATE TEMP TABLE damage (expected text, what text, command text);
INSERT INTO damage VALUES
	('nothing', 'no damage', 'SELECT 1'),
	('place first', 'a ready job that is lost', 'DELETE FROM jobs_store.ready WHERE job_id = pg_temp.id(''first'')'),
	('place later', 'a waiting one', 'DELETE FROM jobs_store.waiting WHERE job_id = pg_temp.id(''later'')'),
	('place held', 'one in flight', 'DELETE FROM jobs_store.lease WHERE job_id = pg_temp.id(''held'')'),
	('place first', 'one that is ready twice', 'INSERT INTO jobs_store.ready (tenant, lane, job_id, ordinal, attempt, max_attempts)
		SELECT tenant, lane, job_id, ordinal, attempt, max_attempts FROM jobs_store.ready WHERE job_id = pg_temp.id(''first'')'),
	('place held', 'one that is held and ready', 'INSERT INTO jobs_store.ready (tenant, lane, job_id, ordinal, attempt, max_attempts)
		SELECT tenant, lane, job_id, ordinal, 1, 2 FROM jobs_store.lease WHERE job_id = pg_temp.id(''held'')'),
	('lease held, place held', 'one in two hands', 'INSERT INTO jobs_store.lease SELECT (json_populate_record(l, ''{"agent_id": "ffffffff-ffff-7fff-bfff-fffffffffff0"}'')).*
		FROM jobs_store.lease l WHERE job_id = pg_temp.id(''held'')'),
	('attempt done, lane done, place done', 'one that has ended, and is ready', 'INSERT INTO jobs_store.ready (tenant, lane, job_id, ordinal, attempt, max_attempts)
		SELECT tenant, lane, pg_temp.id(''done''), 2, 0, 1 FROM jobs_store.ready WHERE job_id = pg_temp.id(''first'')'),
	('place lost', 'a lease that does not know that it is lost', 'UPDATE jobs_store.lease SET status = ''RUNNING'' WHERE job_id = pg_temp.id(''lost'')'),
	('attempt held, place held', 'a history that lost its end', 'DELETE FROM jobs_store.job_status WHERE job_id = pg_temp.id(''held'') AND ordinal > 1'),
	('attempt first', 'a ready row with another ordinal', 'UPDATE jobs_store.ready SET ordinal = 1 WHERE job_id = pg_temp.id(''first'')'),
	('attempt later', 'a waiting one', 'UPDATE jobs_store.waiting SET ordinal = 1 WHERE job_id = pg_temp.id(''later'')'),
	('attempt held', 'a lease', 'UPDATE jobs_store.lease SET ordinal = 4 WHERE job_id = pg_temp.id(''held'')'),
	('attempt held, lease held', 'a lease of another attempt', 'UPDATE jobs_store.lease SET attempt = 2, max_attempts = 2 WHERE job_id = pg_temp.id(''held'')'),
	('attempt first', 'a ready job without an attempt left', 'UPDATE jobs_store.ready SET max_attempts = 0 WHERE job_id = pg_temp.id(''first'')'),
	('lease held', 'a lease that is looked at too late', 'UPDATE jobs_store.lease SET check_at = expires + ''1 us'' WHERE job_id = pg_temp.id(''held'')'),
	('lease held', 'a lease of no length', 'UPDATE jobs_store.lease SET lease_ms = 0 WHERE job_id = pg_temp.id(''held'')'),
	('lease held', 'a lease of an agent that nobody gave it to', 'UPDATE jobs_store.lease SET agent_id = jobs.register_agent(''thief'') WHERE job_id = pg_temp.id(''held'')'),
	('lane first', 'a lane that is not there', 'UPDATE jobs_store.ready SET lane = 1000 WHERE job_id = pg_temp.id(''first'')'),
	('lane pooled', 'a lane for all, of a job for a pool', 'UPDATE jobs_store.ready SET lane = (SELECT lane FROM jobs_store.ready WHERE job_id = pg_temp.id(''first'')) WHERE job_id = pg_temp.id(''pooled'')'),
	('lane', 'a lane for nothing', 'INSERT INTO jobs_store.lane (tenant, priority, function_id) SELECT tenant, 0, gen_random_uuid() FROM jobs_store.tenant WHERE name = ''default'''),
	('permits', 'a permit that is lost', 'DELETE FROM jobs_store.permit WHERE limiter = (SELECT limiter FROM jobs_store.limiter WHERE kind = ''rate'') AND seq = (SELECT max(seq) FROM jobs_store.permit)'),
	('permits', 'a permit too many', 'INSERT INTO jobs_store.permit (tenant, limiter) SELECT tenant, limiter FROM jobs_store.limiter WHERE kind = ''in flight'''),
	('permits', 'a lease that forgot the permit of its key', 'UPDATE jobs_store.lease SET permits = 1 WHERE job_id = pg_temp.id(''keyed'')'),
	('permits', 'a lease that forgot its permits', 'UPDATE jobs_store.lease SET permits = 0 WHERE job_id = pg_temp.id(''limited'')'),
	('permits', 'a debt that is forgotten', 'UPDATE jobs_store.limiter SET debt = 0'),
	('step held', 'a gap in a history', 'DELETE FROM jobs_store.job_status WHERE job_id = pg_temp.id(''held'') AND ordinal = 2'),
	('step held', 'an entry from before the one before', 'UPDATE jobs_store.job_status SET created = ''2000-01-01'' WHERE job_id = pg_temp.id(''held'') AND ordinal = 2'),
	('step first', 'an entry from before the job', 'UPDATE jobs_store.job SET first_status = ''CREATED'' WHERE id = pg_temp.id(''first'');
		INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name) SELECT tenant, job_id, 1, ''2000-01-01'', 0, ''PENDING'' FROM jobs_store.ready WHERE job_id = pg_temp.id(''first'');
		UPDATE jobs_store.ready SET ordinal = 1 WHERE job_id = pg_temp.id(''first'')'),
	('step done', 'a step that is not permitted', 'UPDATE jobs_store.job_status SET name = ''CREATED'' WHERE job_id = pg_temp.id(''done'') AND ordinal = 1'),
	('step again', 'an attempt that was skipped', 'UPDATE jobs_store.job_status SET attempt = 2 WHERE job_id = pg_temp.id(''again'') AND ordinal = 1'),
	('step done', 'a first status that cannot be', 'UPDATE jobs_store.job SET first_status = ''RUNNING'' WHERE id = pg_temp.id(''done'')'),
	('dependency dependent', 'a dependency on nothing', 'INSERT INTO jobs_store.job_dependency SELECT tenant, job_id, gen_random_uuid() FROM jobs_store.waiting WHERE job_id = pg_temp.id(''dependent'')'),
	('dependency dependent', 'a dependent that does not wait', 'UPDATE jobs_store.waiting SET dependent = false, blocker = NULL WHERE job_id = pg_temp.id(''dependent'')'),
	('nothing', 'one that would run anyway', 'UPDATE jobs_store.waiting SET dependent = false, blocker = NULL WHERE job_id = pg_temp.id(''anyway'')'),
	('dependency free', 'a dependent that was ready too early', 'INSERT INTO jobs_store.job_dependency SELECT tenant, job_id, pg_temp.id(''first'') FROM jobs_store.ready WHERE job_id = pg_temp.id(''free'')'),
	('dependency dependent', 'a blocker that is none', 'UPDATE jobs_store.waiting SET blocker = pg_temp.id(''held'') WHERE job_id = pg_temp.id(''dependent'')'),
	('circle first', 'a circle', 'WITH w AS (DELETE FROM jobs_store.ready WHERE job_id = pg_temp.id(''first'') RETURNING *), i AS (INSERT INTO jobs_store.waiting (tenant, job_id, check_at, lane, ordinal, attempt, max_attempts, dependent)
		SELECT tenant, job_id, now(), lane, ordinal, attempt, max_attempts, true FROM w), u AS (UPDATE jobs_store.job SET first_status = ''CREATED'' WHERE id = pg_temp.id(''first''))
		INSERT INTO jobs_store.job_dependency SELECT tenant, job_id, pg_temp.id(''dependent'') FROM w'),
	('archived first', 'a flag without a history', 'WITH a AS (UPDATE jobs_store.job SET archived = true WHERE id = pg_temp.id(''first'')) SELECT 1'),
	('archived model', 'the same of a model', 'UPDATE jobs_store.model SET archived = true'),
	('archived archived', 'an archived job whose time will come', 'UPDATE jobs_store.waiting SET check_at = now() WHERE job_id = pg_temp.id(''archived'')'),
	('content model', 'a chunk that is lost', 'DELETE FROM jobs_store.content WHERE chunk = 1'),
	('content artifact', 'content that is cut', 'UPDATE jobs_store.content SET bytes = ''som'' WHERE bytes = ''some'''),
	('orphan artifact', 'an artifact that is lost', 'DELETE FROM jobs_store.artifact'),
	('orphan model, reference modeled', 'a model that is lost', 'DELETE FROM jobs_store.model'),
	('orphan done', 'a reply to nothing', 'DELETE FROM jobs_store.comment WHERE parent_id IS NULL'),
	('content artifact, orphan none of ours', 'content of nothing', 'UPDATE jobs_store.content SET revision_id = pg_temp.id(''none of ours'') WHERE bytes = ''some'''),
	('orphan none of ours', 'rights to nothing', 'UPDATE jobs_store.access SET resource_id = pg_temp.id(''none of ours'')'),
	('reference pooled', 'a pool that is lost', 'DELETE FROM jobs_store.agent_pool'),
	('reference modeled', 'a user who is lost', 'UPDATE jobs_store.job SET created_by_id = gen_random_uuid() WHERE id = pg_temp.id(''modeled'')'),
	('schedule', 'a schedule that stands still', 'UPDATE jobs_store.schedule SET next_run = NULL'),
	('schedule', 'one that runs while it is paused', 'UPDATE jobs_store.schedule SET paused = now()'),
	('orphan key', 'a job that is lost', 'DELETE FROM jobs_store.job WHERE id = pg_temp.id(''key'')'),
	('dependency dependent, dependency free, orphan done, step done', 'one that has ended, too', 'DELETE FROM jobs_store.job WHERE id = pg_temp.id(''done'')'),
	('sequence', 'a sequence that was set back', 'SELECT setval(''jobs_store.lane_seq'', 1)');
SELECT is(pg_temp.found(command), expected, what) FROM damage;
SELECT is_empty(
	$$SELECT problem FROM regexp_split_to_table('place, attempt, lease, lane, permits, step, dependency, circle, archived, content, orphan, reference, schedule, sequence', ', ') problem
	WHERE NOT EXISTS (SELECT FROM damage WHERE expected LIKE '%' || problem || '%')$$, 'all problems of the description have been seen');
SELECT isnt((SELECT setval('jobs_store.lane_seq', (SELECT max(lane) + 1000 FROM jobs_store.lane))), NULL, 'a sequence is not set back by a rollback');

-- A lot of it, in portions ----------------------------------------------------

SAVEPOINT many;
SELECT count(*) AS ignored FROM jobs.add_jobs((SELECT jsonb_agg('{"function": "@t:one"}'::jsonb) FROM generate_series(1, 2500))) \gset
DELETE FROM jobs_store.ready;
SELECT is((SELECT count(*) FROM jobs.check_integrity() WHERE problem = 'place'), (SELECT count(*) FROM jobs_store.current_status WHERE name = 'PENDING'), 'thousands are all reported');
ROLLBACK TO many;

-- Who may ask -------------------------------------------------------------------

SELECT throws_ok('SELECT * FROM jobs.check_integrity(NULL)', '22004', NULL, 'yes or no');
SELECT throws_ok(format('SELECT pg_temp.as_role(%L, ''SELECT * FROM jobs.check_integrity()'')', role), '42501', NULL, role || ' may not') FROM unnest(ARRAY['t_ann', 't_nobody']) role;
SELECT throws_ok('SELECT pg_temp.as_role(''t_carol'', ''SELECT * FROM jobs.check_integrity(true)'')', '42501', NULL, 'an administrator may not ask about other tenants');
SELECT pg_temp.as_role('t_carol', 'SELECT jobs.add_function(''@t:one'', ''1.0'')') IS NULL AS ignored \gset
SELECT pg_temp.note('foreign', pg_temp.as_role('t_carol', 'SELECT (jobs.add_job(''@t:one'')).id')::uuid) IS NULL AS ignored \gset
DELETE FROM jobs_store.ready WHERE job_id = pg_temp.id('foreign');
SELECT is_empty('SELECT * FROM jobs.check_integrity()', 'what is wrong in another tenant is not told');
SELECT is(pg_temp.as_role('t_carol', 'SELECT concat_ws('' '', problem, tenant_id, job_id) FROM jobs.check_integrity()'),
	format('place %s %s', pg_temp.id('other tenant'), pg_temp.id('foreign')), 'but to its administrator');
SELECT results_eq('SELECT problem, tenant_id, job_id FROM jobs.check_integrity(true)',
	$$VALUES ('place', pg_temp.id('other tenant'), pg_temp.id('foreign'))$$, 'and to who rules all tenants');

SELECT * FROM finish();
ROLLBACK;
