-- Why a job is not running yet.
\ir setup.psql

CREATE FUNCTION pg_temp.why(label text) RETURNS text LANGUAGE sql AS
	'SELECT coalesce(string_agg(e.reason, '' '' ORDER BY e.n), ''none'') FROM jobs.job_obstacles(pg_temp.id($1)) WITH ORDINALITY e(reason, message, until, waits_for, n)';
CREATE FUNCTION pg_temp.says(label text, reason text) RETURNS text LANGUAGE sql AS
	'SELECT e.message FROM jobs.job_obstacles(pg_temp.id($1)) e WHERE e.reason = $2';

SELECT throws_ok('SELECT * FROM jobs.job_obstacles(NULL)', '22004', NULL, 'a job is needed');
SELECT throws_ok($$SELECT * FROM jobs.job_obstacles(pg_temp.id('none of ours'))$$, 'JB404', NULL, 'that is there');
SELECT throws_ok($$SELECT * FROM jobs.job_obstacles(pg_temp.id('agent'))$$, 'JB404', NULL, 'and a job');

SELECT throws_ok('SELECT jobs.explain_job(NULL)', '22004', NULL, 'also for the form in words');
SELECT throws_ok($$SELECT jobs.explain_job(pg_temp.id('none of ours'))$$, 'JB404', NULL, 'with a job that is there');

-- In its lane.
SELECT pg_temp.add('first'), pg_temp.add('second') \gset ignored_
SELECT is(pg_temp.why('first'), 'queue', 'a job that can run waits for its turn');
SELECT is(pg_temp.says('first', 'queue'), 'it is the next of its lane', 'which is now');
SELECT is(pg_temp.says('second', 'queue'), '1 jobs of its lane are before it', 'or later');
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT * FROM jobs.job_obstacles(pg_temp.id(''first''))')$$, 'JB404', NULL, 'who may not see the job is not told');

-- With an agent, ended.
SELECT pg_temp.claim() \gset ignored_
SELECT is(pg_temp.why('first'), 'in flight', 'one that an agent has');
SELECT is((SELECT until FROM jobs.job_obstacles(pg_temp.id('first'))), (SELECT expires FROM jobs_store.lease), 'until its lease ends');
SELECT pg_temp.expire('first'), jobs.sweep() \gset ignored_
SELECT matches(pg_temp.says('first', 'in flight'), 'not heard of', 'or was lost');
SELECT pg_temp.report('first', 'COMPLETED') \gset ignored_
SELECT is(pg_temp.why('first') || ': ' || pg_temp.says('first', 'ended'), 'ended: it is COMPLETED', 'one that has ended');
SELECT jobs.cancel_job(pg_temp.id('second')) \gset ignored_

SELECT is(jobs.explain_job(pg_temp.id('first')), 'it is COMPLETED', 'in words');

-- Its time.
SELECT pg_temp.add('later', '{"run_after": "2100-01-01 UTC"}') \gset ignored_
SELECT is(pg_temp.why('later'), 'run_after', 'one whose time has not come');
SELECT is((SELECT until FROM jobs.job_obstacles(pg_temp.id('later'))), '2100-01-01 UTC', 'which is then');
SELECT pg_temp.make_due('later') \gset ignored_
SELECT is(pg_temp.why('later'), 'sweep', 'and once it is, the sweep');
SELECT jobs.cancel_job(pg_temp.id('later')) \gset ignored_
SELECT pg_temp.take('failing', '{"max_attempts": 2, "backoff": "fixed", "backoff_base": "1 h"}'), pg_temp.report('failing', 'FAILED') \gset ignored_
SELECT is(pg_temp.why('failing'), 'retry', 'a further attempt');
SELECT matches(pg_temp.says('failing', 'retry'), 'attempt 2 is not before', 'says which');

-- Other jobs.
SELECT pg_temp.add('child', jsonb_build_object('depends_on', ARRAY[pg_temp.id('failing'), pg_temp.id('first')], 'run_after', '2100-01-01 UTC')) \gset ignored_
SELECT is(pg_temp.why('child'), 'dependency run_after', 'a job and a time');
SELECT is((SELECT waits_for FROM jobs.job_obstacles(pg_temp.id('child')) WHERE reason = 'dependency'), pg_temp.id('failing'), 'the one that is not done');
SELECT count(pg_temp.add('many ' || n)) AS ignored FROM generate_series(1, 12) n \gset
SELECT pg_temp.add('waits for many', jsonb_build_object('depends_on', (SELECT array_agg(id) FROM noted WHERE label LIKE 'many %'))) \gset ignored_
SELECT is((SELECT count(*) FROM jobs.job_obstacles(pg_temp.id('waits for many')) WHERE reason = 'dependency'), 10::bigint, 'of many, ten');
DO $$ BEGIN PERFORM jobs.cancel_job(id) FROM noted WHERE label LIKE '%many%'; END $$;

-- Pauses and agents.
SELECT pg_temp.add('ready') \gset ignored_
SELECT jobs.pause_function('@t:one', 'repairs') \gset ignored_
SELECT is(pg_temp.why('ready'), 'paused queue', 'a pause');
SELECT matches(pg_temp.says('ready', 'paused'), 'repairs', 'with its reason');
SELECT is(pg_temp.why('failing'), 'retry paused', 'also to come');
SELECT jobs.resume_function('@t:one') \gset ignored_
SELECT pg_temp.note('idle', jobs.register_agent('idle')), pg_temp.note('pool', jobs.add_agent_pool('pool')) \gset ignored_
SELECT pg_temp.add('for idle', jsonb_build_object('assigned_agent_id', pg_temp.id('idle'))), pg_temp.add('for pool', jsonb_build_object('assigned_agent_pool_id', pg_temp.id('pool'))) \gset ignored_
SELECT is(pg_temp.why('for idle'), 'no agent queue', 'an agent that does not serve its function');
SELECT is(pg_temp.why('for pool'), 'no agent queue', 'a pool without one that does');
SELECT jobs.add_agent_to_pool(pg_temp.id('agent'), pg_temp.id('pool')) \gset ignored_
SELECT is(pg_temp.why('for pool'), 'queue', 'but with one');
SELECT jobs.set_agent_functions(pg_temp.id('agent'), '{}') \gset ignored_
SELECT is(pg_temp.why('ready'), 'no agent queue', 'nobody at all');
SELECT jobs.set_agent_functions(pg_temp.id('agent'), ARRAY[pg_temp.id('one')]) \gset ignored_

-- Limits.
SELECT jobs.set_function_policy('@t:one', max_in_flight => 1, rate_limit => 1, rate_interval => '1 h') \gset ignored_
SELECT is(pg_temp.why('ready'), 'queue', 'a limit that is not reached');
SELECT pg_temp.take('taken') \gset ignored_
SELECT is(pg_temp.why('ready'), 'limit rate queue', 'limits that are');
SELECT ok((SELECT until FROM jobs.job_obstacles(pg_temp.id('ready')) WHERE reason = 'rate') BETWEEN now() AND clock_timestamp() + interval '1 h', 'a rate only until then');
SELECT jobs.set_function_policy('@t:one') \gset ignored_
SELECT is(pg_temp.why('ready'), 'queue', 'and are lifted');
SELECT pg_temp.take('keyed', '{"concurrency_key": "k"}'), pg_temp.add('next keyed', '{"concurrency_key": "k"}') \gset ignored_
SELECT is(pg_temp.why('next keyed'), 'concurrency key queue', 'a concurrency key');
SELECT pg_temp.report('keyed', 'COMPLETED') \gset ignored_
SELECT is(pg_temp.why('next keyed'), 'queue', 'that is free again');

-- The archive.
SELECT jobs.archive(pg_temp.id('ready')) \gset ignored_
SELECT is(pg_temp.why('ready'), 'archived', 'an archived job waits for ever');
SELECT is_empty('SELECT pg_temp.problems()', 'nothing was changed by asking');
SELECT is(jobs.explain_job(j.id), (SELECT string_agg(o.message, E'\n' ORDER BY o.n) FROM jobs.job_obstacles(j.id) WITH ORDINALITY o(reason, message, until, waits_for, n)),
	'the words are the messages of all obstacles of ' || n.label) FROM jobs_store.job j JOIN noted n ON n.id = j.id;

SELECT * FROM finish();
ROLLBACK;
