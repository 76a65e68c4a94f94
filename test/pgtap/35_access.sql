-- Who may do what with a job or a model.
\ir setup.psql

CREATE FUNCTION pg_temp.grant_to(who text, what text, relation text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO jobs_store.access (tenant, resource_id, subject_id, created, created_by_id, subject_type, relation, resource_type)
	VALUES (jobs_store.caller_tenant(), pg_temp.id($2), pg_temp.id($1), now(), jobs.current_user_id(), 'user', $3, 'job')
	ON CONFLICT (tenant, resource_id, subject_id) DO UPDATE SET relation = excluded.relation
$$;

-- SQLSTATE of a call by a role; what it did is undone.
CREATE FUNCTION pg_temp.tried(role text, call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.as_role($1, 'SELECT jobs.' || $2);
	RAISE SQLSTATE '00001';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE SQLSTATE WHEN '00001' THEN 'ok' ELSE SQLSTATE END;
END $$;

-- Ann's, and calls on them.
SELECT pg_temp.note('model', pg_temp.as_role('t_ann', 'SELECT jobs.add_model(''model.txt'', ''{"text": 1}'')')::uuid) IS NULL AS ignored \gset
SELECT pg_temp.note('job', pg_temp.as_role('t_ann', 'SELECT (jobs.add_job(''@t:one'')).id')::uuid) IS NULL AS ignored \gset
SELECT pg_temp.note('agent of bob', pg_temp.as_role('t_bob', 'SELECT jobs.register_agent(''of bob'')')::uuid) IS NULL AS ignored \gset
SELECT jobs.set_agent_functions(pg_temp.id('agent of bob'), ARRAY[pg_temp.id('one')]) IS NULL AS ignored \gset
SELECT pg_temp.note('revision', (file).revisions[1].id) IS NULL AS ignored FROM jobs.get_job(pg_temp.id('job')) \gset
CREATE TEMP TABLE action (call text, need text);
INSERT INTO action VALUES
	('get_job(pg_temp.id(''job''))', 'viewer'),
	('read_bytes(pg_temp.id(''job''))', 'viewer'),
	('read_text(pg_temp.id(''job''))', 'viewer'),
	('read_json(pg_temp.id(''job''))', 'viewer'),
	('add_job(''@t:one'', depends_on => ARRAY[pg_temp.id(''job'')])', 'viewer'),
	('add_job(''@t:one'', sources => ARRAY[ROW(pg_temp.id(''revision''), NULL, NULL, NULL, NULL)]::jobs.source[])', 'viewer'),
	('update_job(pg_temp.id(''job''), ''x'')', 'editor'),
	('cancel_job(pg_temp.id(''job''))', 'editor'),
	('update_job_status(pg_temp.id(''job''), ''CANCELED'')', 'editor'),
	('update_job_status(pg_temp.id(''job''), ''FAILED'')', 'editor'),
	('read_bytes(pg_temp.id(''model''))', 'viewer'),
	('read_text(pg_temp.id(''model''))', 'viewer'),
	('read_json(pg_temp.id(''model''))', 'viewer'),
	('add_job(''@t:one'', model_id => pg_temp.id(''model''))', 'executor'),
	('add_jobs(jsonb_build_array(jsonb_build_object(''function'', ''@t:one'', ''model_id'', pg_temp.id(''model''))))', 'executor');

-- A relation gives what it says, and what the lesser ones give ------------------

SELECT is(pg_temp.tried('t_ann', call), 'ok', 'the creator: ' || call) FROM action;
SELECT is(pg_temp.tried(current_user::text, call), 'ok', 'the administrator of the tenant: ' || call) FROM action;
SELECT is(pg_temp.tried('t_bob', call), 'JB404', 'another user: ' || call) FROM action;
SELECT is(pg_temp.tried('t_carol', call), 'JB404', 'an administrator of another tenant: ' || call) FROM action WHERE call NOT LIKE 'add_job%';
SELECT is(pg_temp.tried('t_nobody', call), '42501', 'nobody: ' || call) FROM action;
CREATE TEMP TABLE relation (name text, level integer);
INSERT INTO relation VALUES ('viewer', 1), ('executor', 2), ('editor', 3), ('owner', 4), ('administrator', 4);
CREATE FUNCTION pg_temp.as_relation(relation text, call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.grant_to('bob', 'job', $1), pg_temp.grant_to('bob', 'model', $1);
	RETURN pg_temp.tried('t_bob', $2);
END $$;
SELECT is(pg_temp.as_relation(r.name, a.call), CASE WHEN r.level >= n.level THEN 'ok' ELSE '42501' END, format('%s: %s', r.name, a.call))
FROM relation r, action a JOIN relation n ON n.name = a.need;
DELETE FROM jobs_store.access;
SELECT is(pg_temp.tried('t_bob', call), 'JB404', 'when it is taken away again: ' || call) FROM action;

-- Another tenant, even with rows that say otherwise ------------------------------

SELECT pg_temp.as_role('t_carol', 'SELECT jobs.add_function(''@t:one'', ''1.0'')') IS NULL AS ignored \gset
SELECT pg_temp.grant_to('carol', 'job', 'owner'), pg_temp.grant_to('carol', 'model', 'owner') \g /dev/null
INSERT INTO jobs_store.access SELECT t.tenant, a.resource_id, a.subject_id, a.created, a.created_by_id, a.subject_type, a.relation, a.resource_type
FROM jobs_store.access a, jobs_store.tenant t WHERE t.id = pg_temp.id('other tenant');
SELECT is(pg_temp.tried('t_carol', call), 'JB404', 'no relation reaches into another tenant: ' || call) FROM action;
DELETE FROM jobs_store.access;

-- Whoever works on a job --------------------------------------------------------

SELECT pg_temp.note('on model', pg_temp.as_role('t_ann', 'SELECT (jobs.add_job(''@t:one'', model_id => pg_temp.id(''model''), priority => 1)).id')::uuid) IS NULL AS ignored \gset
SELECT is(pg_temp.tried('t_bob', call), 'JB404', 'before: ' || call) FROM unnest(ARRAY['get_job(pg_temp.id(''on model''))', 'read_text(pg_temp.id(''model''))']) call;
SELECT is(pg_temp.as_role('t_bob', 'SELECT pg_temp.label(job_id) FROM jobs.claim_jobs(pg_temp.id(''agent of bob''))'), 'on model', 'an agent of bob gets a job of ann');
SELECT is(pg_temp.tried('t_bob', call), 'ok', 'while he has it: ' || call)
FROM unnest(ARRAY['get_job(pg_temp.id(''on model''))', 'read_json(pg_temp.id(''on model''))', 'read_bytes(pg_temp.id(''model''))', 'update_job(pg_temp.id(''on model''), ''result'')',
	'update_job_status(pg_temp.id(''on model''), ''RUNNING'', NULL, pg_temp.id(''agent of bob''))', 'heartbeat(pg_temp.id(''agent of bob''))', 'release_job(pg_temp.id(''on model''), pg_temp.id(''agent of bob''))']) call;
SELECT is(pg_temp.tried('t_bob', call), 'JB404', 'but no other: ' || call) FROM unnest(ARRAY['get_job(pg_temp.id(''job''))', 'update_job(pg_temp.id(''job''), ''x'')']) call;
SELECT is(pg_temp.tried('t_bob', 'add_job(''@t:one'', model_id => pg_temp.id(''model''))'), '42501', 'he starts no jobs on its model');
SELECT is(pg_temp.tried('t_ann', 'update_job_status(pg_temp.id(''on model''), ''RUNNING'', NULL, pg_temp.id(''agent of bob''))'), '42501', 'and ann does not act as his agent');
SELECT pg_temp.expire('on model'), jobs.sweep() \g /dev/null
SELECT is(pg_temp.status('on model'), 'UNKNOWN', 'his agent was not heard of');
SELECT is(pg_temp.tried('t_bob', 'update_job(pg_temp.id(''on model''), ''late result'')'), 'ok', 'but may still come back');
SELECT lives_ok($$SELECT pg_temp.as_role('t_bob', 'SELECT jobs.update_job_status(pg_temp.id(''on model''), ''COMPLETED'', NULL, pg_temp.id(''agent of bob''))')$$, 'and finish');
SELECT is(pg_temp.tried('t_bob', call), 'JB404', 'afterwards: ' || call) FROM unnest(ARRAY['get_job(pg_temp.id(''on model''))', 'read_text(pg_temp.id(''model''))', 'update_job(pg_temp.id(''on model''), ''x'')']) call;
SELECT is(pg_temp.tried('t_ann', 'get_job(pg_temp.id(''on model''))'), 'ok', 'ann sees her job');
SELECT is((SELECT count(*) FROM jobs_store.access), 0::bigint, 'none of it needed a row');

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
