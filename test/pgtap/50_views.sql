-- Views for people and reporting tools.
\ir setup.psql

SELECT pg_temp.note('agent of bob', pg_temp.as_role('t_bob', 'SELECT jobs.register_agent(''of bob'')')::uuid) IS NULL AS ignored \gset
SELECT pg_temp.note('model', jobs.add_model('model.txt', 'text')) IS NULL AS ignored \gset
SELECT jobs.add_function('@t:idle', '1.0', tool_name => 'tool', operating_system => 'linux') IS NULL AS ignored \gset
DO $$ BEGIN
	PERFORM pg_temp.add('waiting', '{"run_after": "2100-01-01"}'), pg_temp.add('ready', '{"priority": -2}'), pg_temp.add('ready too', '{"priority": -2}');
	PERFORM pg_temp.take('running'), pg_temp.report('running', 'RUNNING', 'half way');
	PERFORM pg_temp.take('completed', jsonb_build_object('model_id', pg_temp.id('model'), 'display_name', 'a name')), pg_temp.report('completed', 'COMPLETED');
	PERFORM pg_temp.take('tried', '{"max_attempts": 2}'), pg_temp.report('tried', 'FAILED'), pg_temp.claim(), pg_temp.report('tried', 'FAILED', 'no');
	PERFORM pg_temp.take('lost'), pg_temp.expire('lost'), jobs.sweep();
	PERFORM pg_temp.take('canceled'), jobs.cancel_job(pg_temp.id('canceled'), 'why not');
	PERFORM pg_temp.note('of ann', pg_temp.as_role('t_ann', 'SELECT (jobs.add_job(''@t:one'', priority => -3)).id')::uuid);
	PERFORM pg_temp.as_role('t_carol', 'SELECT jobs.add_function(''@t:one'', ''1.0'')');
	PERFORM pg_temp.note('of carol', pg_temp.as_role('t_carol', 'SELECT (jobs.add_job(''@t:one'')).id')::uuid);
END $$;

-- job_list -------------------------------------------------------------------

SELECT set_eq($$SELECT pg_temp.label(id), status::text, message, agent, attempt, wait_time IS NULL AS w, run_time IS NULL AS r, archived FROM jobs.job_list$$,
	$$VALUES ('waiting', 'CREATED', NULL, NULL, 0, false, true, false), ('ready', 'PENDING', NULL, NULL, 0, false, true, false), ('ready too', 'PENDING', NULL, NULL, 0, false, true, false),
		('of ann', 'PENDING', NULL, NULL, 0, false, true, false), ('running', 'RUNNING', 'half way', 'agent', 1, false, false, false), ('completed', 'COMPLETED', NULL, 'agent', 1, false, false, false),
		('tried', 'FAILED', 'no', 'agent', 2, false, false, false), ('lost', 'UNKNOWN', 'the lease ran out', 'agent', 1, false, false, false), ('canceled', 'CANCELED', 'why not', 'agent', 1, false, false, false)$$,
	'one row a job of the tenant');
SELECT results_eq($$SELECT name, function, function_version, model, creator, priority > 0, created FROM jobs.job_list WHERE id = pg_temp.id('completed')$$,
	$$SELECT 'a name', '@t:one', '1.0', pg_temp.id('model'), (SELECT email FROM jobs_store.user_account WHERE id = jobs.current_user_id()), true, created FROM jobs.get_job(pg_temp.id('completed'))$$, 'its facts');
SELECT is(name, 'one.json', 'the name of the file when there is none for people') FROM jobs.job_list WHERE id = pg_temp.id('ready');
SELECT is(l.status_since, j.status_history[cardinality(j.status_history)].created, 'status_since') FROM jobs.job_list l, jobs.get_job(l.id) j WHERE l.id = pg_temp.id('running');
SELECT is(l.wait_time, j.status_history[2].created - j.created, 'wait_time: until it was handed out') FROM jobs.job_list l, jobs.get_job(l.id) j WHERE l.id = pg_temp.id('completed');
SELECT is(l.run_time, j.status_history[3].created - j.status_history[2].created, 'run_time: from then to the end') FROM jobs.job_list l, jobs.get_job(l.id) j WHERE l.id = pg_temp.id('completed');
SELECT is_empty($$SELECT id FROM jobs.job_list WHERE wait_time < '-1 min' OR run_time < '-1 min'$$, 'times are not negative');
SELECT is((SELECT count(*) FROM jobs.job_list), (SELECT total FROM jobs.list_jobs(all_users => true)), 'as many as list_jobs counts');
SELECT jobs.update_job(pg_temp.id('completed'), 'x', 'result.txt', display_name => 'a better name') IS NULL AS ignored \gset
SELECT jobs.update_job(pg_temp.id('ready'), 'x', 'result.txt') IS NULL AS ignored \gset
SELECT is(name, 'a better name', 'the name is that of the latest revision') FROM jobs.job_list WHERE id = pg_temp.id('completed');
SELECT is(name, 'result.txt', 'so is the name of its file') FROM jobs.job_list WHERE id = pg_temp.id('ready');

-- job_status_list ------------------------------------------------------------

SELECT results_eq($$SELECT ordinal, status::text, message, attempt, agent, "user", duration IS NULL FROM jobs.job_status_list WHERE job_id = pg_temp.id('canceled') ORDER BY ordinal$$,
	$$SELECT o, s, m, a, g, CASE WHEN u THEN (SELECT email FROM jobs_store.user_account WHERE id = jobs.current_user_id()) END, o = 2
	FROM (VALUES (0, 'PENDING', NULL, 0, NULL, true), (1, 'CLAIMED', NULL, 1, 'agent', false), (2, 'CANCELED', 'why not', 1, NULL, true)) v(o, s, m, a, g, u)$$, 'one row a history entry');
SELECT is((SELECT count(*) FROM jobs.job_status_list), (SELECT sum(cardinality((jobs.get_job(id)).status_history)) FROM jobs.job_list)::bigint, 'as many as get_job answers');
SELECT is(sum(duration), max(created) - min(created), 'durations add up') FROM jobs.job_status_list WHERE job_id = pg_temp.id('tried');

-- queue_stats and throughput ---------------------------------------------------

SELECT set_eq('SELECT function, function_version, tool_name, operating_system, ready, waiting, in_flight, oldest_wait IS NULL AS o, agents FROM jobs.queue_stats',
	$$VALUES ('@t:one', '1.0', NULL, NULL, 3::bigint, 1::bigint, 2::bigint, false, 1::bigint), ('@t:idle', '1.0', 'tool', 'linux', 0, 0, 0, true, 0)$$, 'the queue now, by function');
SELECT is(oldest_wait, now() - jobs_store.id_time(pg_temp.id('ready')), 'the oldest that is ready') FROM jobs.queue_stats WHERE function = '@t:one';
SELECT cmp_ok(abs(extract(epoch FROM jobs_store.id_time(j.id) - j.created)), '<', 0.01, 'an id knows when it was made') FROM jobs.get_job(pg_temp.id('ready')) j;
SELECT set_eq('SELECT outcome::text, sum(jobs)::integer FROM jobs.throughput GROUP BY 1', $$VALUES ('COMPLETED', 1), ('FAILED', 1), ('CANCELED', 1)$$, 'what has ended, by outcome');
SELECT is_empty($$SELECT minute FROM jobs.throughput WHERE minute <> date_trunc('minute', minute) OR minute NOT BETWEEN now() - interval '2 min' AND now() + interval '2 min'$$, 'and minute');

-- Who sees what ----------------------------------------------------------------

CREATE FUNCTION pg_temp.seen(role text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' / ', pg_temp.as_role($1, 'SELECT coalesce(string_agg(pg_temp.label(id), '','' ORDER BY created), ''none'') FROM jobs.job_list'),
		pg_temp.as_role($1, 'SELECT count(DISTINCT job_id) FROM jobs.job_status_list'),
		pg_temp.as_role($1, 'SELECT coalesce(sum(ready + waiting + in_flight), 0) FROM jobs.queue_stats'),
		pg_temp.as_role($1, 'SELECT coalesce(sum(jobs), 0) FROM jobs.throughput'))
$$;
SET ROLE t_ann;
SELECT results_eq('SELECT pg_temp.label(id) FROM jobs.job_list', ARRAY['of ann'], 'a user sees her own job');
SET ROLE t_nobody;
SELECT is_empty('SELECT id FROM jobs.job_list', 'a role that stands for nobody sees none');
SELECT is_empty('SELECT * FROM jobs.queue_stats', 'not even that there are functions');
RESET ROLE;
SELECT is(pg_temp.seen('t_ann'), 'of ann / 1 / 1 / 0', 'the four views for ann');
SELECT is(pg_temp.seen('t_bob'), 'none / 0 / 0 / 0', 'for bob, who has no job');
SELECT is(pg_temp.seen('t_carol'), 'of carol / 1 / 1 / 0', 'for the administrator of another tenant');
SELECT is(pg_temp.seen('t_nobody'), 'none / 0 / 0 / 0', 'for nobody');
INSERT INTO jobs_store.access (tenant, resource_id, subject_id, created, created_by_id, subject_type, relation, resource_type)
SELECT jobs_store.caller_tenant(), pg_temp.id(l), pg_temp.id('bob'), now(), jobs.current_user_id(), 'user', r, 'job' FROM (VALUES ('completed', 'viewer'), ('running', 'editor')) v(l, r);
SELECT is(pg_temp.seen('t_bob'), 'running,completed / 2 / 1 / 1', 'for bob, who was shown two jobs');
INSERT INTO jobs_store.access SELECT tenant + 1, resource_id, pg_temp.id('carol'), created, created_by_id, subject_type, relation, resource_type FROM jobs_store.access;
INSERT INTO jobs_store.access SELECT tenant - 1, resource_id, pg_temp.id('carol'), created, created_by_id, subject_type, relation, resource_type FROM jobs_store.access WHERE subject_id = pg_temp.id('carol');
SELECT is(pg_temp.seen('t_carol'), 'of carol / 1 / 1 / 0', 'nothing reaches into another tenant');
SELECT is(pg_temp.as_role('t_bob', 'SELECT jobs.set_agent_functions(pg_temp.id(''agent of bob''), ARRAY[pg_temp.id(''one'')])'), '', 'an agent of bob');
SELECT is(pg_temp.as_role('t_bob', 'SELECT string_agg(pg_temp.label(job_id), '','') FROM jobs.claim_jobs(pg_temp.id(''agent of bob''), 3)'), 'ready,ready too,of ann', 'gets jobs of others');
SELECT is(pg_temp.as_role('t_bob', 'SELECT (jobs.get_job(pg_temp.id(''of ann''))).id')::uuid, pg_temp.id('of ann'), 'while he has it, get_job shows it to him');
SELECT matches(pg_temp.seen('t_bob'), 'of ann', 'and so does job_list');
SELECT is(pg_temp.as_role('t_bob', 'SELECT total FROM jobs.list_jobs(all_users => true)'), '5', 'and list_jobs');
SELECT jobs.cancel_job(pg_temp.id('of ann')) IS NULL AS ignored \gset

SELECT throws_ok(format('SELECT pg_temp.as_role(%L, %L)', r, q), '42501', NULL, format('%s: %s', r, q))
FROM unnest(ARRAY['t_ann', 't_carol', 't_nobody']) r, unnest(ARRAY['SELECT count(*) FROM jobs_store.visible_job', 'SELECT count(*) FROM jobs_store.full_job', 'SELECT jobs_store.caller_tenant()', 'SELECT jobs_store.new_id()', 'SELECT nextval(''jobs_store.ready_seq'')']) q;

-- The agents, and what does not get on.
RESET ROLE;
SELECT count(jobs.cancel_job(id)) AS ignored FROM jobs.job_list WHERE NOT jobs.is_terminal(status) \gset
DELETE FROM jobs_store.notice;
SELECT pg_temp.note('pool', jobs.add_agent_pool('pool')) IS NULL AS ignored, jobs.add_agent_to_pool(pg_temp.id('agent'), pg_temp.id('pool')) \gset
SELECT pg_temp.take('stuck: of agent'), pg_temp.take('stuck: lost') \gset ignored_
UPDATE jobs_store.lease SET expires = '2000-01-01 00:01 UTC', lease_ms = 60000 WHERE job_id = pg_temp.id('stuck: of agent');
UPDATE jobs_store.lease SET expires = '2000-01-01 00:00 UTC', status = 'UNKNOWN' WHERE job_id = pg_temp.id('stuck: lost');
SELECT is((functions, pools, in_flight, lost, last_seen AT TIME ZONE 'UTC', next_expiry AT TIME ZONE 'UTC')::text, '(1,1,2,1,"2000-01-01 00:00:00","2000-01-01 00:00:00")', 'an agent, its functions and its jobs') FROM jobs.agent_stats WHERE agent_id = pg_temp.id('agent');
SELECT is(pg_temp.as_role('t_ann', 'SELECT in_flight FROM jobs.agent_stats WHERE agent = ''agent'''), '0', 'ann sees the agent, and not the jobs of others');
SELECT is(pg_temp.as_role('t_carol', 'SELECT count(*) FROM jobs.agent_stats WHERE agent = ''agent'''), '0', 'another tenant does not see it');
SELECT is(pg_temp.as_role('t_nobody', 'SELECT count(*) FROM jobs.agent_stats'), '0', 'nor does nobody');
SELECT results_eq('SELECT pg_temp.label(job_id), reason FROM jobs.stuck_jobs ORDER BY 1',
	$$VALUES ('stuck: lost', 'its agent was not heard of in time'), ('stuck: of agent', 'its lease ran out, and no sweep has come for a minute')$$, 'what agents do not get on with');
UPDATE jobs_store.lease SET status = 'RUNNING', expires = '2100-01-01';
SELECT pg_temp.note('idle', jobs.register_agent('idle')) IS NULL AS ignored, pg_temp.note('idle pool', jobs.add_agent_pool('idle pool')), jobs.add_agent_to_pool(pg_temp.id('idle'), pg_temp.id('idle pool')) \gset
SELECT pg_temp.add('stuck: for idle', jsonb_build_object('assigned_agent_id', pg_temp.id('idle'))), pg_temp.add('stuck: for idle pool', jsonb_build_object('assigned_agent_pool_id', pg_temp.id('idle pool'))),
	pg_temp.add('stuck: for pool', jsonb_build_object('assigned_agent_pool_id', pg_temp.id('pool'))), pg_temp.add('stuck: for all'),
	pg_temp.add('stuck: due', '{"run_after": "2100-01-01"}'), pg_temp.make_due('stuck: due'), pg_temp.add('stuck: not due', '{"run_after": "2100-01-01"}') \gset ignored_
UPDATE jobs_store.waiting SET check_at = now() - interval '2 min' WHERE job_id = pg_temp.id('stuck: due');
SELECT results_eq('SELECT pg_temp.label(job_id), status::text, reason FROM jobs.stuck_jobs ORDER BY 1',
	$$VALUES ('stuck: due', 'CREATED', 'it is due, and no sweep has come for a minute'), ('stuck: for idle', 'PENDING', 'no agent serves its function'), ('stuck: for idle pool', 'PENDING', 'no agent serves its function')$$,
	'what is for nobody, and what is due');
SELECT is(pg_temp.as_role('t_ann', 'SELECT count(*) FROM jobs.stuck_jobs'), '0', 'not for ann, whose jobs those are not');
SELECT jobs.pause_function('@t:one') \gset ignored_
SELECT set_has('SELECT pg_temp.label(job_id), function, reason FROM jobs.stuck_jobs', $$VALUES ('stuck: for all', '@t:one', 'its function is paused'), ('stuck: for idle', '@t:one', 'its function is paused')$$, 'and what is paused');

SELECT * FROM finish();
ROLLBACK;
