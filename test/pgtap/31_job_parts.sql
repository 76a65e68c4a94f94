-- A job as get_job answers it: every part there, every id its own.
\ir setup.psql

CREATE FUNCTION pg_temp.plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS
	$$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (VERBOSE, COSTS OFF) ' || query; END $$;

SELECT pg_temp.note('model', jobs.add_model('model.txt', 'text')) IS NULL AS ignored \gset
SELECT pg_temp.note('pool', jobs.add_agent_pool('pool')) IS NULL AS ignored \gset
SELECT jobs.add_agent_to_pool(pg_temp.id('agent'), pg_temp.id('pool')) IS NULL AS ignored \gset
SELECT jobs.add_function('@t:tool', '3.1', 'module', '2', 'tool', '5', 'linux', 'The Tool') IS NULL AS ignored \gset
SELECT jobs.set_agent_functions(pg_temp.id('agent'), array_agg(id)) IS NULL AS ignored FROM jobs_store.function_version \gset
SELECT pg_temp.add('upstream') IS NULL AS ignored \gset
SELECT pg_temp.note('job', (jobs.add_job('@t:tool', pg_temp.id('model'), '{"x": 1}', assigned_agent_pool_id => pg_temp.id('pool'),
	sources => ARRAY[ROW((SELECT id FROM jobs_store.file_revision WHERE resource_id = pg_temp.id('model')), NULL, NULL, NULL, 'input'),
		ROW(jobs_store.part_id(pg_temp.id('upstream'), 2), NULL, NULL, NULL, NULL)]::jobs.source[],
	description => 'a description', display_name => 'a name', version_name => 'v1', external_identifier => 'x-1')).id) IS NULL AS ignored \gset

-- As it was added ------------------------------------------------------------

CREATE TEMP TABLE new AS SELECT j.* FROM jobs.get_job(pg_temp.id('job')) j;
SELECT is(id, pg_temp.id('job'), 'id') FROM new;
SELECT ok(created BETWEEN clock_timestamp() - interval '1 min' AND clock_timestamp(), 'created now') FROM new;
SELECT is(created_by_id, jobs.current_user_id(), 'created_by_id') FROM new;
SELECT is(tenant_id, jobs.current_tenant_id(), 'tenant_id') FROM new;
SELECT is(model_id, pg_temp.id('model'), 'model_id') FROM new;
SELECT is(assigned_agent_id, NULL, 'assigned_agent_id') FROM new;
SELECT is(assigned_agent_pool_id, pg_temp.id('pool'), 'assigned_agent_pool_id') FROM new;
SELECT is(agent_id, NULL, 'agent_id: nobody has it yet') FROM new;
SELECT is(comments, '{}', 'comments: an empty list, not NULL') FROM new;
SELECT results_eq('SELECT (f.function).name, (f.function).version, (f.function).module_name, (f.function).module_version, (f.function).tool_name, (f.function).tool_version, (f.function).tool_display_name, (f.function).operating_system FROM new f',
	$$VALUES ('@t:tool', '3.1', 'module', '2', 'tool', '5', 'The Tool', 'linux')$$, 'function');
SELECT results_eq('SELECT s.name, s.job_id, s.created_by_id, s.message, s.agent_id, s.created FROM new, unnest(status_history) s',
	$$SELECT 'PENDING'::jobs.job_status_name, id, created_by_id, NULL, NULL::uuid, created FROM new$$, 'its history starts with one entry');
SELECT results_eq('SELECT s.name, s.reason, s.created_by_id, s.resource_id, s.created FROM new, unnest(archive_status_history) s',
	$$SELECT 'Active'::jobs.archive_status_name, 'Initial', created_by_id, id, created FROM new$$, 'so does its archive history');
SELECT results_eq('SELECT s.name, s.reason, s.created_by_id, s.file_id FROM new, unnest((file).archive_status_history) s',
	$$SELECT 'Active'::jobs.archive_status_name, 'Initial', created_by_id, (file).id FROM new$$, 'and that of its file');
SELECT results_eq('SELECT s.name, s.reason, s.created_by_id, s.file_revision_id FROM new, unnest((file).revisions[1].archive_status_history) s',
	$$SELECT 'Active'::jobs.archive_status_name, 'Initial', created_by_id, (file).revisions[1].id FROM new$$, 'and that of the revision');
SELECT results_eq('SELECT (file).resource_id, (file).resource_type, (file).created_by_id, (file).created, (file).control_tags, (file).updated, (file).upstream_remote_info FROM new',
	$$SELECT id, 'Job', created_by_id, created, NULL::jsonb, NULL::timestamptz, NULL::jsonb FROM new$$, 'file');
SELECT is(cardinality((file).revisions), 1, 'with one revision') FROM new;
SELECT results_eq('SELECT r.file_id, r.name, r.stem, r.suffix, r.extension, r.size, r.mime, r.description, r.display_name, r.version_name, r.external_identifier, r.created_by_id FROM new, unnest((file).revisions) r',
	$$SELECT (file).id, 'tool.json', 'tool', '.json', 'json', 8::bigint, 'application/json', 'a description', 'a name', 'v1', 'x-1', created_by_id FROM new$$, 'the parameters');
SELECT results_eq('SELECT s.resource_type, s.resource_id, s.relationship_identifier FROM new, unnest((file).revisions[1].sources) s ORDER BY 1',
	$$VALUES ('Job', pg_temp.id('upstream'), NULL), ('Model', pg_temp.id('model'), 'input')$$, 'sources');
SELECT results_eq($$SELECT p.revision_id, p.file_id, p.resource_type, p.resource_id FROM jobs.get_job(pg_temp.id('upstream')) u, unnest((u.file).revisions[1].products) p$$,
	$$SELECT (file).revisions[1].id, (file).id, 'Job', id FROM new$$, 'the same edge from the other end');
SELECT results_eq($$SELECT s.revision_id, s.file_id FROM new, unnest((file).revisions[1].sources) s WHERE s.resource_type = 'Job'$$,
	$$SELECT (u.file).revisions[1].id, (u.file).id FROM jobs.get_job(pg_temp.id('upstream')) u$$, 'ids of a source are those of its job');
SELECT is((file).revisions[1].products, '{}', 'products: an empty list, not NULL') FROM new;

-- After a life ---------------------------------------------------------------

DO $$ BEGIN
	IF pg_temp.claim() <> 'upstream' OR pg_temp.claim() <> 'job' THEN
		RAISE 'not claimed';
	END IF;
	PERFORM pg_temp.report('job', 'VALIDATING'), pg_temp.report('job', 'RUNNING'), pg_temp.report('job', 'RUNNING', 'half way');
	PERFORM jobs.update_job(pg_temp.id('job'), 'result', 'result.txt', 'text/plain');
	PERFORM jobs.update_job(pg_temp.id('job'), 'better result');
	PERFORM pg_temp.report('job', 'COMPLETED', 'done');
END $$;
CREATE TEMP TABLE old AS SELECT j.* FROM jobs.get_job(pg_temp.id('job')) j;
SELECT is(agent_id, pg_temp.id('agent'), 'agent_id: who had it last') FROM old;
SELECT is(old.status_history[1], new.status_history[1], 'the first entry is the same as before') FROM old, new;
SELECT is((old.file).revisions[1], (new.file).revisions[1], 'so is revision 1') FROM old, new;
SELECT results_eq('SELECT s.name::text, s.message, s.agent_id FROM old, unnest(status_history) s',
	$$VALUES ('PENDING', NULL, NULL), ('CLAIMED', NULL, pg_temp.id('agent')), ('VALIDATING', NULL, pg_temp.id('agent')), ('RUNNING', NULL, pg_temp.id('agent')),
		('RUNNING', 'half way', pg_temp.id('agent')), ('COMPLETED', 'done', pg_temp.id('agent'))$$, 'all of its history, oldest first');
SELECT is(array_agg(s.id ORDER BY s.n), array_agg(s.id ORDER BY s.id), 'ids are in that order too') FROM old, unnest(status_history) WITH ORDINALITY s(id, created, job_id, name, created_by_id, message, agent_id, n) WHERE n > 1;
SELECT ok(bool_and(s.created >= coalesce(before, s.created)), 'and times') FROM (SELECT s.created, lag(s.created) OVER () AS before FROM old, unnest(status_history) s) s;
SELECT is(cardinality((file).revisions), 3, 'all revisions') FROM old;

CREATE TEMP TABLE part AS
	SELECT 'job' AS part, id FROM old
	UNION ALL SELECT 'file', (file).id FROM old
	UNION ALL SELECT 'status', s.id FROM old, unnest(status_history) s
	UNION ALL SELECT 'archive', s.id FROM old, unnest(archive_status_history) s
	UNION ALL SELECT 'archive of file', s.id FROM old, unnest((file).archive_status_history) s
	UNION ALL SELECT 'revision', r.id FROM old, unnest((file).revisions) r
	UNION ALL SELECT 'content token', (r.content_token).id FROM old, unnest((file).revisions) r
	UNION ALL SELECT 'properties token', (r.properties_token).id FROM old, unnest((file).revisions) r
	UNION ALL SELECT 'archive of revision', s.id FROM old, unnest((file).revisions) r, unnest(r.archive_status_history) s;
SELECT is((SELECT count(*) FROM part), 1::bigint + 1 + 6 + 1 + 1 + 4 * 3, 'all parts have an id');
SELECT is_empty('SELECT id, array_agg(part) FROM part GROUP BY id HAVING count(*) > 1 OR id IS NULL', 'no id is that of two parts');
SELECT is_empty($$SELECT part, id FROM part WHERE id::text !~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'$$, 'every id is a UUID of version 7');
SELECT is_empty($$SELECT part, id FROM part WHERE abs(extract(epoch FROM clock_timestamp()) * 1000 - ('x' || lpad(replace(left(id::text, 13), '-', ''), 16, '0'))::bit(64)::bigint) > 60000$$, 'of this minute');
SELECT is(jobs.add_jobs('[{"function": "@t:one"}]') > pg_temp.id('job'), true, 'ids are in the order of creation');
SELECT is(jobs.get_job(id), jobs.get_job(id), 'read twice, it is the same') FROM old;

-- What add_job answers is what get_job does, though it is put together by another view.
CREATE FUNCTION pg_temp.answer(arguments text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer jobs.job;
	id uuid := pg_temp.id('job');
BEGIN
	EXECUTE format('SELECT * FROM jobs.add_job(''@t:one'' %s)', arguments) INTO answer;
	RETURN CASE WHEN answer = jobs.get_job((answer).id) THEN 'the same' ELSE 'another' END;
END $$;
SELECT is(pg_temp.answer(arguments), 'the same', 'add_job answers what get_job does: ' || arguments) FROM unnest(ARRAY['',
	', parameters => ''{"a": [1, "\u00e4"]}'', description => ''d'', display_name => ''n'', version_name => ''v'', external_identifier => ''x''',
	', priority => 7, max_attempts => 3, run_after => now() + interval ''1 h''', ', assigned_agent_id => pg_temp.id(''agent''), agent_id => pg_temp.id(''agent'')',
	', depends_on => ARRAY[pg_temp.id(''job'')], idempotency_key => ''answer''', ', idempotency_key => ''answer''',
	', sources => ARRAY[(((SELECT file FROM jobs.get_job(pg_temp.id(''job''))).revisions[1]).id, NULL, NULL, NULL, ''from'')::jobs.source]',
	', model_id => pg_temp.id(''model'')', ', concurrency_key => ''k'', backoff => ''fixed''']) arguments;
SELECT is_empty($$SELECT line FROM unnest(ARRAY['new_job', 'full_job']) v, pg_temp.plan('SELECT job FROM jobs_store.' || v || ' WHERE tenant = 1') line WHERE line LIKE '%make\_%'$$,
	'the functions that both call become part of their queries');
SELECT is(jobs.from_json(NULL::jobs.job, jobs.to_json(j)), j, 'and comes back from its JSON') FROM jobs.get_job(pg_temp.id('job')) j;

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
