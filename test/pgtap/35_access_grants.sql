-- Giving and taking access to a job, model or artifact.
\ir setup.psql

SELECT pg_temp.note('job', pg_temp.as_role('t_ann', 'SELECT (jobs.add_job(''@t:one'')).id')::uuid) IS NULL AS ignored \gset
SELECT pg_temp.note('model', pg_temp.as_role('t_ann', 'SELECT jobs.add_model(''m'', ''x'')')::uuid) IS NULL AS ignored \gset
CREATE ROLE t_dan;
SELECT pg_temp.note('dan', jobs.add_user('Dan@example.org', 't_dan')) IS NULL AS ignored \gset

-- Who has what, the creator first.
CREATE FUNCTION pg_temp.listed(what text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', pg_temp.label(l.subject_id), l.relation), ', ' ORDER BY l.n)
	FROM jobs.list_access(pg_temp.id($1)) WITH ORDINALITY l(subject_type, subject_id, relation, resource_type, resource_id, subject_info, n)
$$;
CREATE FUNCTION pg_temp.by(role text, call text) RETURNS text LANGUAGE sql AS $$SELECT pg_temp.as_role($1, 'SELECT a.relation FROM jobs.' || $2 || ' a')$$;

-- Refused ----------------------------------------------------------------------

CREATE TEMP TABLE before AS SELECT pg_temp.row_counts() AS counts;
SELECT throws_ok('SELECT jobs.' || call, '22004', NULL, 'null: ' || call)
FROM unnest(ARRAY['create_access(NULL, ''user'', pg_temp.id(''bob''), ''viewer'')', 'create_access(pg_temp.id(''job''), NULL, pg_temp.id(''bob''), ''viewer'')', 'create_access(pg_temp.id(''job''), ''user'', NULL, ''viewer'')',
	'create_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''), NULL)', 'create_access_by_email(pg_temp.id(''job''), ''user'', NULL, ''viewer'')', 'update_access(NULL, ''user'', pg_temp.id(''bob''), ''viewer'')',
	'update_access(pg_temp.id(''job''), ''user'', NULL, ''viewer'')', 'update_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''), NULL)', 'remove_access(NULL, ''user'', pg_temp.id(''bob''))',
	'remove_access(pg_temp.id(''job''), NULL, pg_temp.id(''bob''))', 'remove_access(pg_temp.id(''job''), ''user'', NULL)', 'list_access(NULL)']) call;
SELECT throws_ok('SELECT jobs.' || call, '22023', NULL, 'refused: ' || call)
FROM unnest(ARRAY['create_access(pg_temp.id(''job''), ''group'', pg_temp.id(''bob''), ''viewer'')', 'create_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''), ''Viewer'')', 'create_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''), '''')',
	'update_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''), ''king'')', 'remove_access(pg_temp.id(''job''), ''agent'', pg_temp.id(''bob''))']) call;
SELECT throws_ok('SELECT jobs.' || call, 'JB404', NULL, 'not there: ' || call)
FROM unnest(ARRAY['create_access(pg_temp.id(''none of ours''), ''user'', pg_temp.id(''bob''), ''viewer'')', 'create_access(pg_temp.id(''job''), ''user'', pg_temp.id(''none of ours''), ''viewer'')',
	'create_access(pg_temp.id(''job''), ''user'', pg_temp.id(''carol''), ''viewer'')', 'create_access_by_email(pg_temp.id(''job''), ''user'', ''carol@example.org'', ''viewer'')', 'update_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''), ''viewer'')',
	'remove_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''))', 'list_access(pg_temp.id(''none of ours''))', 'create_access(pg_temp.id(''agent''), ''user'', pg_temp.id(''bob''), ''viewer'')']) call;
SELECT throws_ok('SELECT jobs.' || call, 'JB409', NULL, 'the creator owns it: ' || call)
FROM unnest(ARRAY['create_access(pg_temp.id(''job''), ''user'', pg_temp.id(''ann''), ''viewer'')', 'update_access(pg_temp.id(''job''), ''user'', pg_temp.id(''ann''), ''viewer'')', 'remove_access(pg_temp.id(''job''), ''user'', pg_temp.id(''ann''))']) call;
SELECT throws_ok(format('SELECT pg_temp.by(%L, %L)', role, call), code, NULL, format('%s, %s: %s', code, role, call))
FROM (VALUES ('t_bob', 'JB404'), ('t_carol', 'JB404'), ('t_nobody', '42501')) r(role, code),
	unnest(ARRAY['create_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''), ''owner'')', 'list_access(pg_temp.id(''job''))', 'remove_access(pg_temp.id(''job''), ''user'', pg_temp.id(''dan''))']) call;
SELECT is(pg_temp.row_counts(), counts, 'nothing of all that left a row') FROM before;

-- Given, changed, taken ----------------------------------------------------------

SELECT is(pg_temp.listed('job'), 'ann owner', 'at first there is the creator');
SELECT is(a::text, ROW('user', pg_temp.id('bob'), 'viewer', 'job', pg_temp.id('job'), '{"email": "bob@example.org"}'::jsonb)::jobs.access_relationship::text, 'the answer says all')
FROM (SELECT pg_temp.as_role('t_ann', 'SELECT jobs.create_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''), ''viewer'')::text') AS a) a;
SELECT is(pg_temp.by('t_ann', 'create_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''), ''viewer'')'), 'viewer', 'the same again');
SELECT throws_ok($$SELECT pg_temp.by('t_ann', 'create_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''), ''editor'')')$$, '23505', NULL, 'another one');
SELECT is(pg_temp.listed('job'), 'ann owner, bob viewer', 'once');
SELECT is(pg_temp.as_role('t_bob', 'SELECT count(*) FROM jobs.list_access(pg_temp.id(''job''))'), '2', 'who may see the job may see that');
SELECT throws_ok(format('SELECT pg_temp.by(''t_bob'', %L)', call), '42501', NULL, 'a viewer changes nothing: ' || call)
FROM unnest(ARRAY['create_access(pg_temp.id(''job''), ''user'', pg_temp.id(''dan''), ''viewer'')', 'update_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''), ''owner'')', 'remove_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''))']) call;
SELECT is(pg_temp.by('t_ann', 'update_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''), ''editor'')'), 'editor', 'changed');
SELECT throws_ok($$SELECT pg_temp.by('t_bob', 'create_access(pg_temp.id(''job''), ''user'', pg_temp.id(''dan''), ''viewer'')')$$, '42501', NULL, 'nor does an editor');
SELECT lives_ok($$SELECT pg_temp.as_role('t_bob', 'SELECT jobs.update_job(pg_temp.id(''job''), ''x'')')$$, 'but he edits');
SELECT is(pg_temp.by('t_ann', 'update_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''), ''administrator'')'), 'administrator', 'changed again');
SELECT is(pg_temp.by('t_bob', 'create_access_by_email(pg_temp.id(''job''), ''user'', ''DAN@Example.org'', ''viewer'')'), 'viewer', 'an administrator of the job gives access to others, by address in any letter case');
SELECT throws_ok($$SELECT pg_temp.by('t_bob', 'remove_access(pg_temp.id(''job''), ''user'', pg_temp.id(''ann''))')$$, 'JB409', NULL, 'but does not take it from the creator');
SELECT is(pg_temp.listed('job'), 'ann owner, bob administrator, dan viewer', 'all who have access');
SELECT is(pg_temp.by('t_ann', 'remove_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''))'), 'administrator', 'taken away, with what it was');
SELECT throws_ok($$SELECT pg_temp.by('t_ann', 'remove_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''))')$$, 'JB404', NULL, 'once');
SELECT throws_ok($$SELECT pg_temp.as_role('t_bob', 'SELECT jobs.get_job(pg_temp.id(''job''))')$$, 'JB404', NULL, 'bob sees it no more');
SELECT lives_ok($$SELECT pg_temp.as_role('t_dan', 'SELECT jobs.get_job(pg_temp.id(''job''))')$$, 'whom he gave access keeps it');
SELECT is((jobs.create_access(pg_temp.id('model'), 'user', pg_temp.id('bob'), 'executor')).resource_type, 'model', 'an administrator of the tenant, on a model');
SELECT lives_ok($$SELECT pg_temp.as_role('t_bob', 'SELECT jobs.add_job(''@t:one'', model_id => pg_temp.id(''model''))')$$, 'an executor starts jobs on it');
SELECT is(pg_temp.by('t_ann', format('create_access(pg_temp.id(''job''), ''user'', pg_temp.id(''bob''), %L)', r)), r, 'relation ' || r) FROM unnest(ARRAY['upstreamremoteowner']) r;

SELECT * FROM finish();
ROLLBACK;
