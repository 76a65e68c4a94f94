-- Archive and restore, and comments.
\ir setup.psql

SELECT pg_temp.note('model', jobs.add_model('m', 'x')) IS NULL AS ignored \gset
SELECT pg_temp.as_role('t_carol', 'SELECT jobs.add_function(''@t:one'', ''1.0'')') IS NULL AS ignored \gset
SELECT pg_temp.note('foreign', pg_temp.as_role('t_carol', 'SELECT (jobs.add_job(''@t:one'')).id')::uuid) IS NULL AS ignored \gset
DO $$ BEGIN
	PERFORM pg_temp.add('ready', '{"priority": -1}'), pg_temp.add('waiting', '{"run_after": "2100-01-01"}'), pg_temp.take('held'), pg_temp.take('dependency');
	PERFORM pg_temp.add('dependent', jsonb_build_object('depends_on', ARRAY[pg_temp.id('dependency')]));
	PERFORM pg_temp.take('ended'), pg_temp.report('ended', 'COMPLETED');
	PERFORM pg_temp.note('of ann', pg_temp.as_role('t_ann', 'SELECT (jobs.add_job(''@t:one'')).id')::uuid);
	PERFORM jobs.create_access(pg_temp.id('of ann'), 'user', pg_temp.id('bob'), 'viewer');
END $$;
CREATE FUNCTION pg_temp.archived(label text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(a.name::text || coalesce(' ' || a.reason, ''), ', ' ORDER BY a.n)
	FROM jobs.get_job(pg_temp.id($1)) j, unnest(j.archive_status_history) WITH ORDINALITY a(id, created, name, reason, created_by_id, resource_id, n)
$$;

-- Refused ----------------------------------------------------------------------

CREATE TEMP TABLE before AS SELECT pg_temp.row_counts() AS counts;
SELECT throws_ok('SELECT jobs.' || call, code, NULL, code || ': ' || left(call, 100))
FROM (VALUES ('22004', 'archive(NULL)'), ('22004', 'restore(NULL)'), ('22004', 'add_comment(NULL, ''x'')'), ('22004', 'add_comment(pg_temp.id(''ready''), NULL)'), ('22004', 'list_comments(NULL)'),
	('22001', 'archive(pg_temp.id(''ready''), repeat(''x'', 65537))'), ('22001', 'restore(pg_temp.id(''ready''), repeat(''x'', 65537))'), ('22001', 'add_comment(pg_temp.id(''ready''), repeat(''x'', 65537))'),
	('22023', 'add_comment(pg_temp.id(''ready''), '''')'), ('JB404', 'add_comment(pg_temp.id(''ready''), ''x'', pg_temp.id(''none of ours''))'),
	('JB409', 'restore(pg_temp.id(''ready''))'), ('JB409', 'archive(pg_temp.id(''held''))')) v(code, call);
SELECT throws_ok(format('SELECT jobs.%s(pg_temp.id(%L)%s)', f, l, CASE f WHEN 'add_comment' THEN ', ''x''' ELSE '' END), 'JB404', NULL, f || ' of ' || l)
FROM unnest(ARRAY['archive', 'restore', 'add_comment', 'list_comments']) f, unnest(ARRAY['none of ours', 'foreign', 'agent']) l;
SELECT throws_ok(format('SELECT pg_temp.as_role(''t_bob'', %L)', call), '42501', NULL, 'a viewer: ' || call) FROM unnest(ARRAY['SELECT jobs.archive(pg_temp.id(''of ann''))', 'SELECT jobs.add_comment(pg_temp.id(''of ann''), ''x'')']) call;
SELECT throws_ok(format('SELECT pg_temp.as_role(''t_nobody'', %L)', call), '42501', NULL, 'nobody: ' || call)
FROM unnest(ARRAY['SELECT jobs.archive(pg_temp.id(''of ann''))', 'SELECT jobs.restore(pg_temp.id(''of ann''))', 'SELECT jobs.add_comment(pg_temp.id(''of ann''), ''x'')', 'SELECT jobs.list_comments(pg_temp.id(''of ann''))']) call;
SELECT is(pg_temp.row_counts(), counts, 'nothing of all that left a row') FROM before;

-- Archive and restore --------------------------------------------------------------

SELECT results_eq($$SELECT a.name::text, a.reason, a.created_by_id, a.resource_id FROM jobs.archive(pg_temp.id('ended'), 'old') a$$, $$VALUES ('Archived', 'old', jobs.current_user_id(), pg_temp.id('ended'))$$, 'archived');
SELECT throws_ok($$SELECT jobs.archive(pg_temp.id('ended'))$$, 'JB409', NULL, 'only once');
SELECT is((jobs.list_jobs(status_name => 'completed')).total, 0::bigint, 'it has left the default list');
SELECT is((jobs.list_jobs(status_name => 'completed', archive_status => 'archived')).total, 1::bigint, 'for that of archived jobs');
SELECT is(pg_temp.status('ended'), 'COMPLETED', 'it can be read by id');
SELECT is((jobs.restore(pg_temp.id('ended'))).name::text, 'Active', 'and restored');
SELECT throws_ok($$SELECT jobs.restore(pg_temp.id('ended'))$$, 'JB409', NULL, 'once');
SELECT is((jobs.archive(pg_temp.id('ended'), 'again')).reason, 'again', 'and archived again');
SELECT is(pg_temp.archived('ended'), 'Active Initial, Archived old, Active, Archived again', 'all of it is in its history, oldest first');
SELECT is((jobs.archive(pg_temp.id('model'))).name::text, 'Archived', 'a model');

SELECT jobs.archive(pg_temp.id(l)) IS NULL AS ignored FROM unnest(ARRAY['ready', 'waiting', 'dependent', 'of ann']) l \g /dev/null
UPDATE jobs_store.job SET run_after = '2000-01-01' WHERE id = pg_temp.id('waiting');
SELECT is(pg_temp.history('ready'), 'PENDING CREATED', 'a job that was ready waits');
SELECT jobs.sweep() IS NULL AS ignored \gset
SELECT is(pg_temp.claim(10), 'none', 'no archived job is handed out');
SELECT pg_temp.report('dependency', 'COMPLETED') IS NULL AS ignored \gset
SELECT jobs.sweep() IS NULL AS ignored \gset
SELECT is(pg_temp.claim(10), 'none', 'also when what it waited for has ended');
SELECT is(pg_temp.status('dependent'), 'CREATED', 'it still waits');
SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT jobs.restore(pg_temp.id(l)) IS NULL AS ignored FROM unnest(ARRAY['ready', 'waiting']) l \g /dev/null
SELECT is(pg_temp.claim(10), 'waiting ready', 'restored, they are back in the queue');
SELECT is(pg_temp.history('ready'), 'PENDING CREATED PENDING CLAIMED', 'its history');
SELECT jobs.restore(pg_temp.id('dependent')) IS NULL WHERE pg_temp.archived('dependent') LIKE '%Archived' \g /dev/null
SELECT jobs.sweep() IS NULL AS ignored \gset
SELECT is(pg_temp.claim(10), 'dependent', 'so is the one that waited for another');
SELECT is((jobs.cancel_job(pg_temp.id('of ann'))).status, 'canceled', 'an archived job can be canceled');
SELECT lives_ok($$SELECT jobs.restore(pg_temp.id('of ann'))$$, 'and restored then');
SELECT is(pg_temp.status('of ann'), 'CANCELED', 'it stays canceled');
SELECT pg_temp.take('tries', '{"max_attempts": 2}') IS NULL AS ignored \gset
SELECT pg_temp.report('tries', 'FAILED') IS NULL OR jobs.archive(pg_temp.id('tries')) IS NULL OR jobs.restore(pg_temp.id('tries')) IS NULL AS ignored \gset
SELECT is(pg_temp.claim(), 'tries', 'between two attempts');
SELECT is((SELECT attempt FROM jobs_store.lease WHERE job_id = pg_temp.id('tries')), 2, 'attempts count on');

-- Comments -----------------------------------------------------------------------

SELECT pg_temp.note('c1', (jobs.add_comment(pg_temp.id('held'), 'first ä')).id) IS NULL AS ignored \gset
SELECT pg_temp.note('c2', (jobs.add_comment(pg_temp.id('held'), 'second')).id) IS NULL AS ignored \gset
SELECT pg_temp.note('r1', (jobs.add_comment(pg_temp.id('held'), 'reply', pg_temp.id('c1'))).id) IS NULL AS ignored \gset
SELECT lives_ok($$SELECT jobs.add_comment(pg_temp.id('held'), 'reply to it', pg_temp.id('r1'))$$, 'a reply to a reply');
SELECT throws_ok($$SELECT jobs.add_comment(pg_temp.id('ended'), 'x', pg_temp.id('c1'))$$, 'JB404', NULL, 'a reply on another job');
SELECT results_eq($$SELECT c.id, jsonb_array_length(c.comments), c.resource_id, c.resource_type, c.created_by_id FROM jobs.list_comments(pg_temp.id('held')) c$$,
	$$SELECT pg_temp.id(l), n, pg_temp.id('held'), 'Job', jobs.current_user_id() FROM (VALUES ('c1', 1), ('c2', 0)) v(l, n)$$, 'oldest first, replies within');
SELECT is(c.comments #>> '{0,id}', pg_temp.id('r1')::text, 'the reply') FROM jobs.list_comments(pg_temp.id('held')) c WHERE id = pg_temp.id('c1');
SELECT is(jsonb_array_length(c.comments #> '{0,comments}'), 1, 'and the reply to it') FROM jobs.list_comments(pg_temp.id('held')) c WHERE id = pg_temp.id('c1');
SELECT is(j.comments, (SELECT array_agg(c) FROM jobs.list_comments(pg_temp.id('held')) c), 'get_job has the same') FROM jobs.get_job(pg_temp.id('held')) j;
SELECT is(jobs.from_json(NULL::jobs.job, jobs.to_json(j)), j, 'and it comes back from its JSON') FROM jobs.get_job(pg_temp.id('held')) j;
SELECT is(((c.file).revisions[1].content_token).sha, encode(sha384(convert_to('first ä' || ((c.file).revisions[1].content_token).salt, 'UTF8')), 'hex'), 'the sha of a comment is that of text and salt')
FROM jobs.list_comments(pg_temp.id('held')) c WHERE id = pg_temp.id('c1');
SELECT is((jobs.add_comment(pg_temp.id('model'), 'x')).resource_type, 'Model', 'on a model');
SELECT throws_ok($$DO 'DECLARE c uuid; BEGIN FOR i IN 1 .. 60 LOOP c := (jobs.add_comment(pg_temp.id(''held''), ''x'', c)).id; END LOOP; END'$$, '54000', NULL, 'replies nested without end');

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
