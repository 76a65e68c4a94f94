-- Adding jobs, one or many, and reading one.
\ir setup.psql

CREATE FUNCTION pg_temp.error_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	context text;
BEGIN
	EXECUTE query;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, context = PG_EXCEPTION_CONTEXT;
	RETURN concat_ws(E'\n', message, detail, split_part(context, E'\n', 1));
END $$;

CREATE FUNCTION pg_temp.version_of(label text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', (j.function).version, (j.function).tool_name, (j.function).tool_version, (j.function).operating_system)
	FROM jobs.get_job(pg_temp.id($1)) j
$$;

-- What carol's tenant has.
SELECT pg_temp.as_role('t_carol', 'SELECT jobs.add_function(''@t:one'', ''1.0'')') IS NULL AS ignored \gset
SELECT pg_temp.note('model', jobs.add_model('model.txt', 'text')) IS NULL AS ignored \gset
SELECT pg_temp.note('foreign model', pg_temp.as_role('t_carol', 'SELECT jobs.add_model(''model.txt'', ''text'')')::uuid) IS NULL AS ignored \gset
SELECT pg_temp.note('foreign agent', pg_temp.as_role('t_carol', 'SELECT jobs.register_agent(''agent'')')::uuid) IS NULL AS ignored \gset
SELECT pg_temp.note('foreign pool', pg_temp.as_role('t_carol', 'SELECT jobs.add_agent_pool(''pool'')')::uuid) IS NULL AS ignored \gset
SELECT pg_temp.note('foreign job', pg_temp.as_role('t_carol', 'SELECT (jobs.add_job(''@t:one'')).id')::uuid) IS NULL AS ignored \gset
SELECT pg_temp.note('pool', jobs.add_agent_pool('pool')) IS NULL AS ignored \gset

-- Refused --------------------------------------------------------------------

CREATE TEMP TABLE before AS SELECT pg_temp.row_counts() AS counts;
SELECT throws_ok('SELECT jobs.' || call, '22004', NULL, 'null: ' || call)
FROM unnest(ARRAY['add_job(NULL)', 'add_job(''@t:one'', parameters => NULL)', 'add_job(''@t:one'', priority => NULL)', 'add_job(''@t:one'', max_attempts => NULL)',
	'add_job(''@t:one'', depends_on => ARRAY[NULL]::uuid[])', 'add_job(''@t:one'', sources => ARRAY[NULL]::jobs.source[])',
	'add_job(''@t:one'', sources => ARRAY[ROW(NULL, NULL, NULL, NULL, NULL)]::jobs.source[])',
	'add_jobs(NULL)', 'add_jobs(''[{}]'')', 'add_jobs(''[{"function": null}]'')', 'add_jobs(''[{"function": "@t:one"}, {"function": "@t:one", "depends_on": [null]}]'')', 'get_job(NULL)']) call;
SELECT throws_ok(format('SELECT jobs.add_job(%L, %I => %L)', '@t:one', argument, repeat('ä', 256)), '22001', NULL, 'too long: ' || argument)
FROM unnest(ARRAY['tool_name', 'tool_version', 'operating_system', 'function_version', 'description', 'display_name', 'version_name', 'external_identifier', 'idempotency_key']) argument;
SELECT throws_ok(format('SELECT jobs.add_job(%L)', repeat('x', 256)), '22001', NULL, 'too long: function');
SELECT throws_ok(format('SELECT jobs.add_job(''@t:one'', sources => ARRAY[ROW(%L, NULL, NULL, NULL, repeat(''x'', 256))]::jobs.source[])', r.id), '22001', NULL, 'too long: relationship_identifier')
FROM jobs_store.file_revision r WHERE r.resource_id = pg_temp.id('model');
SELECT throws_ok('SELECT jobs.' || call, '22023', NULL, 'refused: ' || left(call, 100))
FROM unnest(ARRAY['add_job(''@t:one'', priority => 1000001)', 'add_job(''@t:one'', priority => -1000001)', 'add_job(''@t:one'', max_attempts => 0)',
	'add_job(''@t:one'', max_attempts => -1)', 'add_job(''@t:one'', max_attempts => 1001)',
	'add_job(''@t:one'', depends_on => ARRAY[ARRAY[pg_temp.id(''model'')]])', 'add_job(''@t:one'', depends_on => array_fill(pg_temp.id(''model''), ARRAY[10001]))',
	'add_job(''@t:one'', assigned_agent_id => pg_temp.id(''agent''), agent_id => pg_temp.id(''model''))',
	'add_job(''@t:one'', assigned_agent_id => pg_temp.id(''agent''), assigned_agent_pool_id => pg_temp.id(''pool''))',
	'add_jobs(''{}'')', 'add_jobs(''"x"'')', 'add_jobs(''null'')', 'add_jobs(''[1]'')', 'add_jobs(''["x"]'')', 'add_jobs(''[null]'')', 'add_jobs(''[[]]'')',
	'add_jobs(''[{"function": "@t:one", "colour": "red"}]'')', 'add_jobs(''[{"function": "@t:one", "Priority": 1}]'')',
	'add_jobs((SELECT jsonb_agg(''{"function": "@t:one"}''::jsonb) FROM generate_series(1, 10001)))']) call;
SELECT throws_ok(format('SELECT jobs.add_jobs(%L)', jsonb_build_array(jsonb_build_object('function', '@t:one') || value)), '22023', NULL, 'a value that does not fit: ' || value::text)
FROM unnest(ARRAY['{"priority": "high"}', '{"priority": 1.5}', '{"priority": 3000000000}', '{"priority": [1]}', '{"max_attempts": 0}', '{"model_id": "x"}', '{"model_id": 5}',
	'{"run_after": "soon"}', '{"depends_on": "x"}', '{"depends_on": ["x"]}', '{"depends_on": {"a": 1}}', '{"sources": [1]}', '{"sources": [{"revision_id": "x"}]}']::jsonb[]) value;
SELECT throws_ok('SELECT jobs.' || call, 'JB404', NULL, 'unknown: ' || call)
FROM unnest(ARRAY['add_job(''@t:no-such'')', 'add_job(''@t:one'', function_version => ''2'')', 'add_job(''@t:one'', model_id => pg_temp.id(''none of ours''))',
	'add_job(''@t:one'', model_id => pg_temp.id(''agent''))', 'add_job(''@t:one'', model_id => pg_temp.id(''foreign model''))',
	'add_job(''@t:one'', assigned_agent_id => pg_temp.id(''none of ours''))', 'add_job(''@t:one'', agent_id => pg_temp.id(''foreign agent''))',
	'add_job(''@t:one'', assigned_agent_pool_id => pg_temp.id(''none of ours''))', 'add_job(''@t:one'', assigned_agent_pool_id => pg_temp.id(''foreign pool''))',
	'add_job(''@t:one'', depends_on => ARRAY[pg_temp.id(''none of ours'')])', 'add_job(''@t:one'', depends_on => ARRAY[pg_temp.id(''foreign job'')])',
	'add_job(''@t:one'', sources => ARRAY[ROW(pg_temp.id(''none of ours''), NULL, NULL, NULL, NULL)]::jobs.source[])',
	'add_job(''@t:one'', sources => ARRAY[ROW((SELECT id FROM jobs_store.file_revision WHERE resource_id = pg_temp.id(''foreign model'')), NULL, NULL, NULL, NULL)]::jobs.source[])',
	'add_job(''@t:one'', sources => ARRAY[ROW(jobs_store.part_id(pg_temp.id(''foreign job''), 2), NULL, NULL, NULL, NULL)]::jobs.source[])',
	'add_jobs(''[{"function": "@t:one"}, {"function": "@t:no-such"}]'')',
	'get_job(pg_temp.id(''none of ours''))', 'get_job(pg_temp.id(''foreign job''))', 'get_job(pg_temp.id(''model''))']) call;
SELECT is(pg_temp.row_counts(), counts, 'nothing of all that left a row, not even a lane') FROM before;
SELECT matches(pg_temp.error_of($$SELECT jobs.add_jobs('[{"function": "@t:one"}, {"function": "@t:one", "priority": 1000001}]')$$), 'element 1', 'the element is named, from 0, when its value is out of range');
SELECT matches(pg_temp.error_of($$SELECT jobs.add_jobs('[{"function": "@t:one"}, {"function": "@t:one", "colour": 1}]')$$), 'element 1', 'when a key is unknown');
SELECT matches(pg_temp.error_of($$SELECT jobs.add_jobs('[{"function": "@t:one"}, {"function": "@t:one", "priority": "x"}]')$$), 'element 1', 'when a value does not fit');
SELECT matches(pg_temp.error_of($$SELECT jobs.add_jobs('[{"function": "@t:one"}, {"function": "@t:one", "sources": [{"revision_id": "ffffffff-ffff-7fff-bfff-fffffffffff0"}]}]')$$), 'element 1', 'and when a source is unknown');

-- Which function version -----------------------------------------------------

SELECT pg_temp.note('v2', jobs.add_function('@t:many', '2.0', tool_name => 'tool', tool_version => '5', operating_system => 'linux')) IS NULL AS ignored \gset
SELECT jobs.add_function('@t:many', '2.0', tool_name => 'tool', tool_version => '5', operating_system => 'windows') IS NULL AS ignored \gset
SELECT jobs.add_function('@t:many', '2.0', tool_name => 'tool', tool_version => '6', operating_system => 'linux') IS NULL AS ignored \gset
SELECT throws_ok($$SELECT jobs.add_job('@t:many')$$, '22023', NULL, 'several tools and systems: the caller has to choose');
SELECT matches(pg_temp.error_of($$SELECT jobs.add_job('@t:many')$$), c, 'the candidates are named: ' || c) FROM unnest(ARRAY['2.0 tool 5 linux', '2.0 tool 5 windows', '2.0 tool 6 linux']) c;
SELECT doesnt_match(pg_temp.error_of($$SELECT jobs.add_job('@t:many', operating_system => 'linux')$$), 'windows', 'and only those that fit');
SELECT throws_ok($$SELECT jobs.add_job('@t:many', tool_version => '7')$$, 'JB404', NULL, 'none fits');
SELECT matches(pg_temp.error_of($$SELECT jobs.add_job('@t:many', tool_version => '7')$$), '2.0 tool 5 linux', 'what is registered is named');
SELECT doesnt_match(pg_temp.error_of($$SELECT jobs.add_job('@t:many', tool_version => '7')$$), '1.0', 'of this function only');
SELECT pg_temp.add('a', '{"function": "@t:many", "tool_version": "6"}') IS NULL AS ignored \gset
SELECT is(pg_temp.version_of('a'), '2.0 tool 6 linux', 'a choice that leaves one');
SELECT jobs.add_function('@t:many', '1.5') IS NULL AS ignored \gset
SELECT pg_temp.add('b', '{"function": "@t:many"}') IS NULL AS ignored \gset
SELECT is(pg_temp.version_of('b'), '1.5', 'the newest is the one that was registered last');
SELECT pg_temp.add('c', '{"function": "@t:many", "function_version": "2.0", "operating_system": "windows"}') IS NULL AS ignored \gset
SELECT is(pg_temp.version_of('c'), '2.0 tool 5 windows', 'an older version by name');
SELECT throws_ok($$SELECT jobs.add_job('@t:many', function_version => '2.0')$$, '22023', NULL, 'whose tools have to be chosen');
SELECT pg_temp.add('d', '{"function": "@t:many", "tool_version": "6"}') IS NULL AS ignored \gset
SELECT is(pg_temp.version_of('d'), '2.0 tool 6 linux', 'a newer version that does not fit does not count');

-- Where a new job waits ------------------------------------------------------

CREATE FUNCTION pg_temp.first_status(args jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT j.status_history[1].name::text FROM jobs.add_jobs(jsonb_build_array('{"function": "@t:one"}'::jsonb || args)) a(id), jobs.get_job(a.id) j
$$;
SELECT is(pg_temp.first_status('{}'), 'PENDING', 'PENDING at once');
SELECT is(pg_temp.first_status('{"run_after": "2000-01-01"}'), 'PENDING', 'also when its time has come');
SELECT is(pg_temp.first_status('{"run_after": "-infinity"}'), 'PENDING', 'or always was');
SELECT is(pg_temp.first_status('{"depends_on": []}'), 'PENDING', 'also when it depends on nothing');
SELECT is(pg_temp.first_status('{"run_after": "2100-01-01"}'), 'CREATED', 'CREATED until its time');
SELECT is(pg_temp.first_status('{"run_after": "infinity"}'), 'CREATED', 'for ever');
SELECT is(pg_temp.first_status(jsonb_build_object('depends_on', ARRAY[pg_temp.id('a'), pg_temp.id('a'), pg_temp.id('b')])), 'CREATED', 'CREATED until others are completed');
SELECT is(pg_temp.first_status('{"priority": null, "parameters": null, "max_attempts": null, "run_after": null, "depends_on": null}'), 'PENDING', 'null in a batch is the default');

-- Batches --------------------------------------------------------------------

SELECT is_empty($$SELECT jobs.add_jobs('[]')$$, 'no jobs');
SELECT results_eq($$SELECT (j.file).revisions[1].description FROM jobs.add_jobs((SELECT jsonb_agg(jsonb_build_object('function', '@t:one', 'description', 'job ' || n) ORDER BY n)
		FROM generate_series(1, 200) n)) WITH ORDINALITY a(id, n), LATERAL jobs.get_job(a.id) j ORDER BY a.n$$,
	$$SELECT 'job ' || n FROM generate_series(1, 200) n$$, 'ids in the order of the array');
SELECT is((SELECT count(*) FROM jobs.add_jobs((SELECT jsonb_agg('{"function": "@t:one"}'::jsonb) FROM generate_series(1, 10000)))), 10000::bigint, '10000 at once');
SELECT is_empty($$SELECT id FROM jobs_store.job GROUP BY id HAVING count(*) > 1$$, 'every id is new');

-- Idempotency keys -----------------------------------------------------------

SELECT pg_temp.note('k1', (jobs.add_job('@t:one', parameters => '{"n": 1}', idempotency_key => 'k1')).id) IS NULL AS ignored \gset
DELETE FROM before;
INSERT INTO before SELECT pg_temp.row_counts();
SELECT is((jobs.add_job('@t:one', parameters => '{"n": 2}', idempotency_key => 'k1')).id, pg_temp.id('k1'), 'the same key: the job that is there');
SELECT is(jobs.read_json(pg_temp.id('k1')), '{"n": 1}', 'as it was');
SELECT is(pg_temp.row_counts(), counts, 'and no other row') FROM before;
SELECT results_eq($$SELECT count(*), count(DISTINCT a), count(*) FILTER (WHERE a = pg_temp.id('k1')) FROM jobs.add_jobs('[{"function": "@t:one", "idempotency_key": "k2"}, {"function": "@t:one", "idempotency_key": "k2"},
	{"function": "@t:one", "idempotency_key": "k1"}, {"function": "@t:one"}, {"function": "@t:one", "idempotency_key": "k2"}]') a$$, $$VALUES (5::bigint, 3::bigint, 1::bigint)$$, 'in one batch');
SELECT is((SELECT sum(value::integer) FROM jsonb_each(pg_temp.row_counts()) n WHERE key IN ('jobs_store.job', 'jobs_store.ready', 'jobs_store.job_key')),
	(SELECT sum(value::integer) + 5 FROM before, jsonb_each(counts) n WHERE key IN ('jobs_store.job', 'jobs_store.ready', 'jobs_store.job_key')), 'two jobs, two places, one key more');
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT jobs.add_job(''@t:one'', idempotency_key => ''k1'')')$$, '42501', NULL, 'a key of another user''s job');
SELECT isnt(pg_temp.as_role('t_carol', 'SELECT (jobs.add_job(''@t:one'', idempotency_key => ''k1'')).id')::uuid, pg_temp.id('k1'), 'the key in another tenant is another key');
SELECT pg_temp.note('k3', pg_temp.as_role('t_ann', 'SELECT (jobs.add_job(''@t:one'', idempotency_key => ''k3'')).id')::uuid) IS NULL AS ignored \gset
SELECT is((jobs.add_job('@t:one', idempotency_key => 'k3')).id, pg_temp.id('k3'), 'an administrator sees a user''s job');
SELECT jobs.cancel_job(pg_temp.id('k1')) IS NULL AS ignored \gset
SELECT is((jobs.add_job('@t:one', idempotency_key => 'k1')).id, pg_temp.id('k1'), 'a job that has ended keeps its key');
SAVEPOINT key;
SELECT jobs.add_job('@t:one', idempotency_key => 'k4') IS NULL AS ignored \gset
ROLLBACK TO key;
SELECT lives_ok($$SELECT jobs.add_job('@t:one', idempotency_key => 'k4')$$, 'a key that was rolled back is free');

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
