-- Lists of jobs by page.
\ir setup.psql

SELECT pg_temp.note('two', jobs.add_function('@t:two', '1.0')) IS NULL AS ignored \gset
SELECT jobs.add_function('@t:two', '2.0') IS NULL AS ignored \gset
SELECT pg_temp.note('pool', jobs.add_agent_pool('pool')) IS NULL AS ignored \gset
SELECT pg_temp.note('model', jobs.add_model('model.txt', 'text')) IS NULL AS ignored \gset
SELECT pg_temp.note('self', jobs.current_user_id()) IS NULL AS ignored \gset

-- Labels of the items, in order.
CREATE FUNCTION pg_temp.labels(p jobs.page_job) RETURNS text LANGUAGE sql AS
	$$SELECT coalesce(string_agg(pg_temp.label(i.id), ' ' ORDER BY i.n), 'none') FROM unnest($1.items) WITH ORDINALITY i(id, b, c, d, e, f, g, h, i, j, k, l, m, n)$$;
CREATE FUNCTION pg_temp.listed(arguments text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE format('SELECT pg_temp.labels(p) FROM jobs.list_jobs(%s) p', $1) INTO answer;
	RETURN answer;
END $$;

-- An empty list ----------------------------------------------------------------

SELECT results_eq('SELECT items, total, page, size, pages FROM jobs.list_jobs()', $$VALUES ('{}'::jobs.job[], 0::bigint, 1, 10, 0)$$, 'no jobs: an empty list, not NULL');
SELECT results_eq('SELECT items, total, page, size, pages FROM jobs.list_jobs(7)', $$VALUES ('{}'::jobs.job[], 0::bigint, 7, 10, 0)$$, 'a page past the end');

-- Jobs of every kind -------------------------------------------------------------

DO $$ BEGIN
	PERFORM pg_temp.add('created', '{"run_after": "2100-01-01"}');
	PERFORM pg_temp.add('dependent', jsonb_build_object('depends_on', ARRAY[pg_temp.id('created')]));
	PERFORM pg_temp.take(s) FROM unnest(ARRAY['claimed', 'validating', 'running', 'uploading', 'completed', 'failed', 'canceled', 'unknown']) s;
	PERFORM pg_temp.report(s, s) FROM unnest(ARRAY['validating', 'running', 'uploading', 'completed', 'failed', 'canceled']) s;
	PERFORM pg_temp.expire('unknown'), jobs.sweep();
	PERFORM pg_temp.add('pending');
	PERFORM pg_temp.add('of two', '{"function": "@t:two", "function_version": "1.0"}');
	PERFORM pg_temp.add('of two 2', '{"function": "@t:two"}');
	PERFORM pg_temp.add('on model', jsonb_build_object('model_id', pg_temp.id('model')));
	PERFORM pg_temp.add('for agent', jsonb_build_object('assigned_agent_id', pg_temp.id('agent')));
	PERFORM pg_temp.add('for pool', jsonb_build_object('assigned_agent_pool_id', pg_temp.id('pool')));
	PERFORM pg_temp.note('of ann', pg_temp.as_role('t_ann', 'SELECT (jobs.add_job(''@t:one'')).id')::uuid);
	PERFORM pg_temp.note('of bob', pg_temp.as_role('t_bob', 'SELECT (jobs.add_job(''@t:one'')).id')::uuid);
	PERFORM pg_temp.as_role('t_carol', 'SELECT jobs.add_function(''@t:one'', ''1.0'')');
	PERFORM pg_temp.note('of carol', pg_temp.as_role('t_carol', 'SELECT (jobs.add_job(''@t:one'')).id')::uuid);
	PERFORM pg_temp.add('renamed');
	PERFORM jobs.update_job(pg_temp.id('renamed'), 'x', '100%_Résult\.CSV');
	PERFORM pg_temp.add('archived');
	UPDATE jobs_store.job SET archived = true WHERE id = pg_temp.id('archived');
END $$;

SELECT throws_ok(format('SELECT jobs.list_jobs(%s)', args), code, NULL, code || ': ' || args)
FROM (VALUES ('22004', 'NULL'), ('22004', '1, NULL'), ('22004', 'archive_status => NULL'), ('22004', 'all_users => NULL'), ('22004', 'sort => NULL'), ('22004', 'count => NULL'),
	('22023', '0'), ('22023', '-1'), ('22023', '-2147483648'), ('22023', 'size => -1'), ('22023', 'size => 101'), ('22023', 'archive_status => ''Active'''), ('22023', 'archive_status => '''''),
	('22023', 'sort => ''name'''), ('22023', 'sort => ''created; DROP TABLE x'''), ('22023', 'count => ''yes'''), ('22P02', 'status_name => ''DONE''')) v(code, args);

SELECT is(pg_temp.listed('status_name => ' || quote_literal(s)), l, 'status ' || s)
FROM (VALUES ('created', 'dependent created'), ('pending', 'renamed for pool for agent on model of two 2 of two pending'), ('claimed', 'claimed'), ('validating', 'validating'), ('running', 'running'),
	('uploading', 'uploading'), ('completed', 'completed'), ('failed', 'failed'), ('canceled', 'canceled'), ('unknown', 'unknown')) v(s, l);
SELECT is(pg_temp.listed(args), l, args)
FROM (VALUES
	('model_id => pg_temp.id(''model'')', 'on model'), ('model_id => pg_temp.id(''none of ours'')', 'none'),
	('function => ''@t:two''', 'of two 2 of two'), ('function => ''@t:three''', 'none'),
	('assigned_agent_id => pg_temp.id(''agent'')', 'for agent'), ('assigned_agent_pool_id => pg_temp.id(''pool'')', 'for pool'),
	('agent_id => pg_temp.id(''agent'')', 'unknown canceled failed completed uploading running validating claimed'), ('agent_id => pg_temp.id(''none of ours'')', 'none'),
	('created_by_id => pg_temp.id(''ann'')', 'of ann'), ('created_by_id => pg_temp.id(''carol'')', 'none'), ('function => ''@t:one'', created_by_id => pg_temp.id(''bob'')', 'of bob'),
	('name => ''two.js''', 'of two 2 of two'), ('name => ''TWO''', 'of two 2 of two'), ('name => ''two_json''', 'none'), ('name => ''%''', 'renamed'), ('name => ''0%_r''', 'renamed'), ('name => ''résult''', 'renamed'), ('name => ''\.c''', 'renamed'),
	('archive_status => ''archived''', 'archived'), ('archive_status => ''archived'', status_name => ''pending''', 'archived'), ('archive_status => ''all'', status_name => ''pending'', size => 2', 'archived renamed'),
	('sort => ''created'', size => 3', 'created dependent claimed'), ('sort => ''-created'', size => 2', 'renamed for pool'), ('2, 2', 'for agent on model'),
	('all_users => true, size => 4', 'renamed of bob of ann for pool'), ('all_users => true, status_name => ''pending'', function => ''@t:one'', size => 3', 'renamed of bob of ann'),
	('status_name => ''pending'', function => ''@t:two'', name => ''two'', archive_status => ''all'', sort => ''created''', 'of two of two 2'),
	('size => 0', 'none')) v(args, l);
SELECT is(pg_temp.listed('name => ''one.json'', status_name => ''pending'''), 'for pool for agent on model pending', 'a name is that of the latest revision');

-- Who sees what -----------------------------------------------------------------

SELECT is(pg_temp.as_role(role, format('SELECT pg_temp.listed(%L)', args)), l, role || ': ' || args)
FROM (VALUES ('t_ann', '', 'of ann'), ('t_ann', 'all_users => true', 'of ann'), ('t_ann', 'created_by_id => pg_temp.id(''bob'')', 'none'), ('t_ann', 'created_by_id => pg_temp.id(''ann'')', 'of ann'),
	('t_bob', 'all_users => true, status_name => ''pending''', 'of bob'), ('t_bob', 'all_users => true, status_name => ''completed''', 'none'),
	('t_carol', 'all_users => true', 'of carol'), ('t_carol', 'model_id => pg_temp.id(''model'')', 'none')) v(role, args, l);
INSERT INTO jobs_store.access (tenant, resource_id, subject_id, created, created_by_id, subject_type, relation, resource_type)
SELECT jobs_store.caller_tenant(), pg_temp.id(l), pg_temp.id('ann'), now(), pg_temp.id('self'), 'user', 'viewer', 'job' FROM unnest(ARRAY['of bob', 'completed', 'archived']) l;
SELECT is(pg_temp.as_role('t_ann', format('SELECT pg_temp.listed(%L)', args)), l, 'ann, who was shown three jobs: ' || args)
FROM (VALUES ('', 'of ann'), ('all_users => true', 'of bob of ann completed'), ('all_users => true, status_name => ''completed''', 'completed'), ('created_by_id => pg_temp.id(''bob'')', 'of bob'),
	('all_users => true, archive_status => ''archived''', 'archived'), ('all_users => true, function => ''@t:two''', 'none')) v(args, l);
SELECT is(pg_temp.as_role('t_ann', 'SELECT total FROM jobs.list_jobs(all_users => true)'), '3', 'she counts only those');

-- Pages -----------------------------------------------------------------------

SELECT results_eq('SELECT total, page, size, pages FROM jobs.list_jobs(2, 5)', $$VALUES (17::bigint, 2, 5, 4)$$, 'counted exactly');
SELECT results_eq('SELECT total, page, size, pages FROM jobs.list_jobs(size => 17)', $$VALUES (17::bigint, 1, 17, 1)$$, 'one full page');
SELECT results_eq('SELECT items, total, page, size, pages FROM jobs.list_jobs(size => 0)', $$VALUES ('{}'::jobs.job[], 17::bigint, 1, 0, 0)$$, 'size 0: only the count');
SELECT results_eq($$SELECT total, pages FROM jobs.list_jobs(count => 'none')$$, $$VALUES (NULL::bigint, NULL::integer)$$, 'not counted');
SELECT lives_ok($$DO 'BEGIN ASSERT (SELECT p.total >= 0 AND p.pages = (p.total + 9) / 10 AND cardinality(p.items) = 10 FROM jobs.list_jobs(count => ''estimated'') p); END'$$, 'estimated');
SELECT is(jobs.list_model_jobs(pg_temp.id('model')), jobs.list_jobs(model_id => pg_temp.id('model')), 'the jobs of a model');
SELECT is(jobs.list_model_jobs(pg_temp.id('model'), 2, 5, 'pending', '@t:one', NULL, NULL, NULL, pg_temp.id('ann'), 'x', 'all', true, 'created', 'none'),
	jobs.list_jobs(2, 5, pg_temp.id('model'), 'pending', '@t:one', NULL, NULL, NULL, pg_temp.id('ann'), 'x', 'all', true, 'created', 'none'), 'with all that list_jobs takes');
SELECT throws_ok('SELECT jobs.list_model_jobs(NULL)', '22004', NULL, 'a model');
SELECT throws_ok(format('SELECT jobs.list_model_jobs(%L)', pg_temp.id(l)), 'JB404', NULL, 'not ' || l) FROM unnest(ARRAY['none of ours', 'pending']) l;
SELECT throws_ok('SELECT pg_temp.as_role(''t_carol'', ''SELECT jobs.list_model_jobs(pg_temp.id(''''model''''))'')', 'JB404', NULL, 'nor one of others');
SELECT throws_ok('SELECT jobs.list_model_jobs(pg_temp.id(''model''), 0)', '22023', NULL, 'from the first page on');
SELECT lives_ok($$SELECT jobs.list_jobs(1, 10, pg_temp.id('model'), 'pending', '@t:one', pg_temp.id('agent'), pg_temp.id('pool'), pg_temp.id('agent'), pg_temp.id('ann'), 'x', 'all', true, 'created', 'estimated')$$, 'with every filter');
SELECT results_eq($$SELECT total FROM jobs.list_jobs(status_name => 'pending', function => '@t:two')$$, ARRAY[2::bigint], 'the count is that of the filters');
SELECT is(p.items[1], jobs.get_job(pg_temp.id('renamed')), 'an item is what get_job answers') FROM jobs.list_jobs() p;
SELECT is(jobs.from_json(NULL::jobs.page_job, jobs.to_json(p)), p, 'a page comes back from its JSON') FROM jobs.list_jobs() p;
SELECT results_eq('SELECT page, cardinality(items) FROM jobs.list_jobs(2147483647, 100)', $$VALUES (2147483647, 0)$$, 'the last page that can be said');

SELECT count(*) AS ignored FROM jobs.add_jobs((SELECT jsonb_agg('{"function": "@t:two", "priority": 3}'::jsonb) FROM generate_series(1, 250))) \gset
CREATE FUNCTION pg_temp.paged(size integer, arguments text) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
BEGIN
	FOR page IN 1 .. 300 LOOP
		RETURN QUERY EXECUTE format('SELECT i.id FROM jobs.list_jobs(%s, %s, %s) p, unnest(p.items) i', page, size, arguments);
		EXIT WHEN NOT FOUND;
	END LOOP;
END $$;
SELECT results_eq(format('SELECT pg_temp.paged(%s, %L)', size, args), format('SELECT id FROM jobs_store.job WHERE created_by_id = pg_temp.id(''self'') AND NOT archived %s', "order"), format('pages of %s neither overlap nor skip: %s', size, args))
FROM unnest(ARRAY[1, 7, 50, 100]) size, (VALUES ('sort => ''created''', 'ORDER BY id'), ('sort => ''-created''', 'ORDER BY id DESC'),
	('function => ''@t:two'', status_name => ''pending''', 'AND id IN (SELECT job_id FROM jobs_store.ready) AND function_id IN (SELECT id FROM jobs_store.function_version WHERE name = ''@t:two'') ORDER BY id DESC')) v(args, "order");
SELECT is(cardinality(items), 100, 'a page of 100') FROM jobs.list_jobs(size => 100);

SELECT * FROM finish();
ROLLBACK;
