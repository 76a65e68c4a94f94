-- Tenants, users, agents, pools, functions, and who is calling.
\ir setup.psql

-- Who is calling -------------------------------------------------------------

SELECT isnt(jobs.current_tenant_id(), NULL, 'the installing role has a tenant');
SELECT ok(jobs.is_administrator(), 'and is its administrator');
SELECT is(jobs.current_tenant_id(), (SELECT id FROM jobs_store.tenant WHERE name = 'default'), 'it is the default tenant');
CREATE TEMP TABLE caller AS SELECT jobs.current_tenant_id() AS tenant, jobs.current_user_id() AS id;
GRANT SELECT ON caller TO PUBLIC;
SET ROLE t_ann;
SELECT is((jobs.current_user_id(), jobs.current_tenant_id(), jobs.is_administrator())::text, (pg_temp.id('ann'), tenant, false)::text, 'SET ROLE: another user of the tenant') FROM caller;
SET ROLE t_carol;
SELECT is((jobs.current_user_id(), jobs.current_tenant_id(), jobs.is_administrator())::text, (pg_temp.id('carol'), pg_temp.id('other tenant'), true)::text, 'SET ROLE again: the administrator of another tenant');
SET ROLE t_nobody;
SELECT is((jobs.current_user_id(), jobs.current_tenant_id(), jobs.is_administrator())::text, '(,,f)', 'a role that stands for nobody');
RESET ROLE;
SELECT is((jobs.current_user_id(), jobs.current_tenant_id(), jobs.is_administrator())::text, (id, tenant, true)::text, 'RESET ROLE: the first again') FROM caller;
SET SESSION AUTHORIZATION t_ann;
SELECT is(jobs.current_user_id(), pg_temp.id('ann'), 'SET SESSION AUTHORIZATION');
SELECT throws_ok($$SELECT jobs.get_job(pg_temp.id('none of ours'))$$, 'JB404', NULL, 'an error inside');
SELECT is(current_user::text, 't_ann', 'leaves the role as it was');
SELECT is(jobs.current_user_id(), pg_temp.id('ann'), 'and the caller');
RESET SESSION AUTHORIZATION;
CREATE ROLE t_owner;
SELECT throws_ok($$SELECT pg_temp.as_role('t_owner', 'SELECT jobs.add_tenant(''x'')')$$, '42501', NULL, 'a role that is not yet a member of the owner');
DO $$ BEGIN EXECUTE format('GRANT %I TO t_owner', current_user); END $$;
SELECT is(pg_temp.as_role('t_owner', 'SELECT jobs.current_user_id()')::uuid, id, 'a member of the owner acts as the first administrator') FROM caller;
SELECT lives_ok($$SELECT pg_temp.as_role('t_owner', 'SELECT jobs.add_tenant(''of the owner'')')$$, 'and may add tenants');

-- A role that stands for nobody may do nothing -------------------------------

CREATE TEMP TABLE before AS SELECT pg_temp.row_counts() AS counts;
SELECT throws_ok(format('SELECT pg_temp.as_role(''t_nobody'', %L)', 'SELECT jobs.' || call), '42501', NULL, 'nobody: ' || call)
FROM unnest(ARRAY['add_tenant(''x'')', 'add_user(''x'')', 'register_agent(''x'')', 'add_agent_pool(''x'')',
	'add_agent_to_pool(pg_temp.id(''agent''), pg_temp.id(''one''))', 'add_function(''@t:x'', ''1'')',
	'set_agent_functions(pg_temp.id(''agent''), ''{}'')', 'add_job(''@t:one'')', 'add_jobs(''[{"function": "@t:one"}]'')',
	'add_jobs(''[]'')', 'get_job(pg_temp.id(''one''))', 'list_jobs()', 'claim_jobs(pg_temp.id(''agent''))',
	'get_job_for_agent(pg_temp.id(''agent''))', 'finish_and_claim(pg_temp.id(''one''), ''COMPLETED'', NULL, pg_temp.id(''agent''))',
	'update_job_status(pg_temp.id(''one''), ''CANCELED'')', 'update_job_status(pg_temp.id(''one''), ''RUNNING'', NULL, pg_temp.id(''agent''))',
	'update_job_status(ARRAY[pg_temp.id(''one'')], ARRAY[''RUNNING'']::jobs.job_status_name[], NULL, pg_temp.id(''agent''), NULL)',
	'heartbeat(pg_temp.id(''agent''))', 'release_job(pg_temp.id(''one''), pg_temp.id(''agent''))', 'cancel_job(pg_temp.id(''one''))',
	'add_model(''x'', ''x'')', 'update_job(pg_temp.id(''one''), ''x'')', 'read_bytes(pg_temp.id(''one''))',
	'read_text(pg_temp.id(''one''))', 'read_json(pg_temp.id(''one''))', 'sweep()']) call;

-- Arguments ------------------------------------------------------------------

SELECT throws_ok('SELECT jobs.' || call, '22004', NULL, 'null: ' || call)
FROM unnest(ARRAY['add_tenant(NULL)', 'add_user(NULL)', 'add_user(''x'', administrator => NULL)', 'register_agent(NULL)', 'add_agent_pool(NULL)',
	'add_agent_to_pool(NULL, pg_temp.id(''one''))', 'add_agent_to_pool(pg_temp.id(''agent''), NULL)',
	'add_function(NULL, ''1'')', 'add_function(''@t:x'', NULL)',
	'set_agent_functions(NULL, ''{}'')', 'set_agent_functions(pg_temp.id(''agent''), NULL)',
	'set_agent_functions(pg_temp.id(''agent''), ARRAY[pg_temp.id(''one''), NULL])']) call;
SELECT throws_ok(format('SELECT jobs.' || call, repeat('ä', 256)), '22001', NULL, 'too long: ' || call)
FROM unnest(ARRAY['add_tenant(%L)', 'add_user(%L)', 'register_agent(%L)', 'register_agent(''x'', %L)', 'register_agent(''x'', NULL, %L)',
	'add_agent_pool(%L)', 'add_agent_pool(''x'', %L)', 'add_function(''@t:'' || %L, ''1'')', 'add_function(''@t:x'', %L)',
	'add_function(''@t:x'', ''1'', %L)', 'add_function(''@t:x'', ''1'', NULL, %L)', 'add_function(''@t:x'', ''1'', tool_name => %L)',
	'add_function(''@t:x'', ''1'', tool_version => %L)', 'add_function(''@t:x'', ''1'', operating_system => %L)', 'add_function(''@t:x'', ''1'', tool_display_name => %L)']) call;
SELECT throws_ok('SELECT jobs.' || call, '22023', NULL, 'refused: ' || call)
FROM unnest(ARRAY['add_tenant('''')', 'add_tenant(''  '')', 'add_user('''')', 'register_agent('''')', 'add_agent_pool('' '')', 'add_function(''@t:x'', '''')',
	'add_function(''x'', ''1'')', 'add_function(''t:x'', ''1'')', 'add_function(''@t'', ''1'')', 'add_function(''@t:'', ''1'')', 'add_function(''@:x'', ''1'')',
	'add_function(''@t:x:y'', ''1'')', 'add_function(''@@t:x'', ''1'')', 'add_function(''@t:x y'', ''1'')', 'add_function('' @t:x'', ''1'')',
	'set_agent_functions(pg_temp.id(''agent''), ARRAY[ARRAY[pg_temp.id(''one'')]])',
	'set_agent_functions(pg_temp.id(''agent''), array_fill(pg_temp.id(''one''), ARRAY[10001]))']) call;
SELECT throws_ok('SELECT jobs.' || call, 'JB404', NULL, 'unknown: ' || call)
FROM unnest(ARRAY['add_user(''x'', tenant_id => pg_temp.id(''none of ours''))', 'set_agent_functions(pg_temp.id(''none of ours''), ''{}'')',
	'set_agent_functions(pg_temp.id(''agent''), ARRAY[pg_temp.id(''one''), pg_temp.id(''none of ours'')])',
	'add_agent_to_pool(pg_temp.id(''none of ours''), pg_temp.id(''one''))', 'add_agent_to_pool(pg_temp.id(''agent''), pg_temp.id(''none of ours''))']) call;
SELECT is(pg_temp.row_counts(), counts, 'nothing of all that left a row') FROM before;
SELECT lives_ok(format('SELECT jobs.add_agent_pool(%L, %1$L)', repeat('ä', 255)), '255 characters are not too long');

-- Tenants and users ----------------------------------------------------------

SELECT throws_ok($$SELECT jobs.add_tenant('other')$$, '23505', NULL, 'a name of a tenant in use');
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT jobs.add_tenant(''x'')')$$, '42501', NULL, 'a user adds no tenant');
SELECT throws_ok($$SELECT pg_temp.as_role('t_carol', 'SELECT jobs.add_tenant(''x'')')$$, '42501', NULL, 'nor does an administrator of one');
SELECT throws_ok($$SELECT jobs.add_user('ANN@example.org')$$, '23505', NULL, 'an address in use, in another letter case');
SELECT lives_ok($$SELECT jobs.add_user('ann@example.org', tenant_id => pg_temp.id('other tenant'))$$, 'the same address in another tenant');
SELECT throws_ok($$SELECT jobs.add_user('x', 't_ann')$$, '23505', NULL, 'a role in use');
SELECT throws_ok($$SELECT jobs.add_user('x', 't_ann', tenant_id => pg_temp.id('other tenant'))$$, '23505', NULL, 'in any tenant');
SELECT throws_ok($$SELECT jobs.add_user('x', 't_no_such_role')$$, '42704', NULL, 'no such role');
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT jobs.add_user(''x'')')$$, '42501', NULL, 'a user adds no users');
SELECT lives_ok($$SELECT pg_temp.as_role('t_carol', 'SELECT jobs.add_user(''dave@example.org'')')$$, 'an administrator does');
SELECT is((SELECT t.id FROM jobs_store.user_account u JOIN jobs_store.tenant t USING (tenant) WHERE u.email = 'dave@example.org'), pg_temp.id('other tenant'), 'in the own tenant');
SELECT throws_ok(format('SELECT pg_temp.as_role(''t_carol'', %L)', format('SELECT jobs.add_user(''x'', tenant_id => %L)', tenant)), 'JB404', NULL, 'another tenant looks as if it were not there') FROM caller;

-- Agents and pools -----------------------------------------------------------

SELECT is(jobs.register_agent('agent', 'linux', '1.0'), pg_temp.id('agent'), 'registered again: the same id');
SELECT is(jobs.register_agent('agent', NULL, '1.1'), pg_temp.id('agent'), 'and again');
SELECT results_eq($$SELECT host_os, agent_version FROM jobs_store.agent WHERE id = pg_temp.id('agent')$$, $$VALUES ('linux', '1.1')$$, 'what is new is noted, what is not given stays');
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT jobs.register_agent(''agent'', ''windows'')')$$, '42501', NULL, 'the name of another user''s agent');
SELECT isnt(pg_temp.as_role('t_carol', 'SELECT jobs.register_agent(''agent'')')::uuid, pg_temp.id('agent'), 'the same name in another tenant is another agent');
SELECT pg_temp.note('agent of ann', pg_temp.as_role('t_ann', 'SELECT jobs.register_agent(''of ann'')')::uuid) IS NULL AS ignored \gset
SELECT is(jobs.register_agent('of ann', 'linux'), pg_temp.id('agent of ann'), 'an administrator may register another''s agent again');
SELECT is((SELECT created_by_id FROM jobs_store.agent WHERE id = pg_temp.id('agent of ann')), pg_temp.id('ann'), 'it stays ann''s');
SELECT pg_temp.note('pool', jobs.add_agent_pool('pool', 'for tests')) IS NULL AS ignored \gset
SELECT pg_temp.note('pool of carol', pg_temp.as_role('t_carol', 'SELECT jobs.add_agent_pool(''pool'')')::uuid) IS NULL AS ignored \gset
SELECT throws_ok($$SELECT jobs.add_agent_pool('pool')$$, '23505', NULL, 'a name of a pool in use');
SELECT lives_ok($$SELECT jobs.add_agent_to_pool(pg_temp.id('agent'), pg_temp.id('pool'))$$, 'into the pool');
SELECT lives_ok($$SELECT jobs.add_agent_to_pool(pg_temp.id('agent'), pg_temp.id('pool'))$$, 'a second time is no error');
SELECT is(count(*), 1::bigint, 'and no second row') FROM jobs_store.agent_pool_member;
SELECT throws_ok($$SELECT jobs.add_agent_to_pool(pg_temp.id('agent'), pg_temp.id('pool of carol'))$$, 'JB404', NULL, 'a pool of another tenant');
SELECT throws_ok($$SELECT pg_temp.as_role('t_carol', 'SELECT jobs.add_agent_to_pool(pg_temp.id(''agent''), pg_temp.id(''pool of carol''))')$$, 'JB404', NULL, 'an agent of another tenant');
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT jobs.add_agent_to_pool(pg_temp.id(''agent''), pg_temp.id(''pool''))')$$, '42501', NULL, 'an agent of another user');
SELECT lives_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT jobs.add_agent_to_pool(pg_temp.id(''agent of ann''), pg_temp.id(''pool''))')$$, 'one''s own agent');

-- A call may be made of what another one in the same statement has just made.
SELECT lives_ok(call, 'in one statement: ' || call)
FROM unnest(ARRAY['SELECT jobs.set_agent_functions(jobs.register_agent(''new''), ARRAY[jobs.add_function(''@t:new'', ''1'')])', 'SELECT jobs.add_agent_to_pool(jobs.register_agent(''newer''), jobs.add_agent_pool(''newer''))',
	'SELECT jobs.claim_jobs(jobs.register_agent(''newest''))', 'SELECT jobs.add_user(''first'', tenant_id => jobs.add_tenant(''newest''))', 'SELECT jobs.get_job((jobs.add_job(''@t:one'')).id)']) call;

-- Functions ------------------------------------------------------------------

SELECT is(jobs.add_function('@t:one', '1.0'), pg_temp.id('one'), 'the same function again: the same id');
SELECT throws_ok($$SELECT jobs.add_function('@t:one', '1.0', 'a module')$$, '23505', NULL, 'with another module');
SELECT throws_ok($$SELECT jobs.add_function('@t:one', '1.0', module_version => '2')$$, '23505', NULL, 'with another version of the module');
SELECT throws_ok($$SELECT jobs.add_function('@t:one', '1.0', tool_display_name => 'A Tool')$$, '23505', NULL, 'with another name for the tool');
SELECT results_eq($$SELECT count(DISTINCT f) FROM unnest(ARRAY[pg_temp.id('one'), jobs.add_function('@t:one', '1.1'), jobs.add_function('@t:one', '1.0', tool_name => 'tool'),
	jobs.add_function('@t:one', '1.0', tool_name => 'tool', tool_version => '1'), jobs.add_function('@t:one', '1.0', tool_name => 'tool', operating_system => 'linux'),
	jobs.add_function('@T:one', '1.0'), pg_temp.as_role('t_carol', 'SELECT jobs.add_function(''@t:one'', ''1.0'')')::uuid]) f$$,
	ARRAY[7::bigint], 'another version, tool, system, letter case or tenant is another function version');
SELECT pg_temp.note('two', jobs.add_function('@t:two', '1.0')) IS NULL AS ignored \gset
SELECT pg_temp.note('of carol', pg_temp.as_role('t_carol', 'SELECT jobs.add_function(''@t:carol'', ''1'')')::uuid) IS NULL AS ignored \gset

CREATE FUNCTION pg_temp.serves() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(pg_temp.label(function_id), ' ' ORDER BY pg_temp.label(function_id)), 'none') FROM jobs_store.agent_function WHERE agent_id = pg_temp.id('agent')
$$;
SELECT jobs.set_agent_functions(pg_temp.id('agent'), ARRAY[pg_temp.id('two'), pg_temp.id('one'), pg_temp.id('two')]) IS NULL AS ignored \gset
SELECT is(pg_temp.serves(), 'one two', 'duplicates are one');
SELECT throws_ok($$SELECT jobs.set_agent_functions(pg_temp.id('agent'), ARRAY[pg_temp.id('one'), pg_temp.id('of carol')])$$, 'JB404', NULL, 'a function of another tenant');
SELECT is(pg_temp.serves(), 'one two', 'a refused call changed nothing');
SELECT jobs.set_agent_functions(pg_temp.id('agent'), ARRAY[pg_temp.id('two')]) IS NULL AS ignored \gset
SELECT is(pg_temp.serves(), 'two', 'these and no others');
SELECT jobs.set_agent_functions(pg_temp.id('agent'), '{}') IS NULL AS ignored \gset
SELECT is(pg_temp.serves(), 'none', 'an empty array: none');
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT jobs.set_agent_functions(pg_temp.id(''agent''), ''{}'')')$$, '42501', NULL, 'another user''s agent');
SELECT throws_ok($$SELECT pg_temp.as_role('t_carol', 'SELECT jobs.set_agent_functions(pg_temp.id(''agent''), ''{}'')')$$, 'JB404', NULL, 'another tenant''s');

SELECT * FROM finish();
ROLLBACK;
