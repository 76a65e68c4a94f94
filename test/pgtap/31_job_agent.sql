-- Another agent for a job that nobody has yet.
\ir setup.psql

CREATE FUNCTION pg_temp.assign(label text, agent text) RETURNS text LANGUAGE sql AS
	'SELECT pg_temp.label(j.assigned_agent_id) FROM jobs.update_job_agent(pg_temp.id($1), ROW(pg_temp.id($2))) j';

SELECT pg_temp.note('b', jobs.register_agent('b')), pg_temp.note('pool', jobs.add_agent_pool('pool')) \gset ignored_
SELECT jobs.set_agent_functions(pg_temp.id('b'), ARRAY[pg_temp.id('one')]), jobs.add_agent_to_pool(pg_temp.id('agent'), pg_temp.id('pool')) \gset ignored_

SELECT pg_temp.add('ready') \gset ignored_
SELECT is(pg_temp.assign('ready', 'b'), 'b', 'a PENDING job is assigned');
SELECT is(pg_temp.history('ready'), 'PENDING', 'and stays what it was');
SELECT is(pg_temp.claim(), 'none', 'others do not get it');
SELECT is(pg_temp.assign('ready', 'agent') || ' ' || pg_temp.claim(1, 'b'), 'agent none', 'again');
SELECT is(pg_temp.claim(), 'ready', 'the one it is for does');
SELECT throws_ok($$SELECT pg_temp.assign('ready', 'b')$$, 'JB409', NULL, 'not when an agent has it');
SELECT pg_temp.report('ready', 'COMPLETED') \gset ignored_
SELECT throws_ok($$SELECT pg_temp.assign('ready', 'b')$$, 'JB409', NULL, 'nor when it has ended');

SELECT pg_temp.add('pooled', jsonb_build_object('assigned_agent_pool_id', pg_temp.id('pool'), 'priority', 3)) \gset ignored_
SELECT is(pg_temp.assign('pooled', 'b'), 'b', 'in place of a pool');
SELECT is((SELECT assigned_agent_pool_id FROM jobs.get_job(pg_temp.id('pooled'))), NULL, 'which it is not for any more');
SELECT is(pg_temp.claim() || ' ' || pg_temp.claim(1, 'b'), 'none pooled', 'for nobody else');
SELECT jobs.release_job(pg_temp.id('pooled'), pg_temp.id('b')) \gset ignored_
SELECT is(pg_temp.claim() || ' ' || pg_temp.claim(1, 'b'), 'none pooled', 'also when it was given back');

SELECT pg_temp.add('later', '{"run_after": "2100-01-01", "concurrency_key": "k"}') \gset ignored_
SELECT is(pg_temp.assign('later', 'b'), 'b', 'a CREATED job');
SELECT pg_temp.make_due('later'), jobs.sweep() \gset ignored_
SELECT is(pg_temp.claim() || ' ' || pg_temp.claim(1, 'b'), 'none later', 'has its agent when its time comes');

SELECT pg_temp.add('other') \gset ignored_
SELECT throws_ok($$SELECT pg_temp.assign('other', 'none of ours')$$, 'JB404', NULL, 'an agent that is there');
SELECT throws_ok($$SELECT pg_temp.assign('none of ours', 'b')$$, 'JB404', NULL, 'a job that is there');
SELECT throws_ok($$SELECT jobs.update_job_agent(NULL, ROW(pg_temp.id('b')))$$, '22004', NULL, 'not NULL');
SELECT throws_ok($$SELECT jobs.update_job_agent(pg_temp.id('other'), NULL)$$, '22004', NULL, 'neither of them');
SELECT throws_ok($$SELECT jobs.update_job_agent(pg_temp.id('other'), ROW(NULL))$$, '22004', NULL, 'nor in the row');
SELECT jobs.create_access(pg_temp.id('other'), 'user', pg_temp.id('ann'), 'viewer') \gset ignored_
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT jobs.update_job_agent(pg_temp.id(''other''), ROW(pg_temp.id(''b'')))')$$, '42501', NULL, 'editors do that');
SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT is_empty('SELECT * FROM jobs.check_integrity()', 'and all the rest');
SELECT * FROM finish();
ROLLBACK;
