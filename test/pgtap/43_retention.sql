-- How long jobs are kept, and their removal.
\ir setup.psql

-- Time passes for a job that has ended: as if everything had happened so much
-- earlier, its id included. Only what the tests here have: job, history, archive.
CREATE FUNCTION pg_temp.age(label text, by interval) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	was uuid := pg_temp.id($1);
	ms bigint := (extract(epoch FROM jobs_store.id_time(was) - $2) * 1000)::bigint;
	becomes uuid := (lpad(to_hex(ms), 12, '0') || substr(replace(was::text, '-', ''), 13))::uuid;
BEGIN
	ALTER TABLE jobs_store.job_status DISABLE TRIGGER guard_change;
	UPDATE jobs_store.job SET id = becomes, created = created - $2 WHERE id = was;
	UPDATE jobs_store.job_status SET job_id = becomes, created = created - $2 WHERE job_id = was;
	ALTER TABLE jobs_store.job_status ENABLE ALWAYS TRIGGER guard_change;
	UPDATE jobs_store.archive_status SET object_id = becomes, created = created - $2 WHERE object_id = was;
	UPDATE jobs_store.archive_status SET object_id = jobs_store.part_id(becomes, 1) WHERE object_id = jobs_store.part_id(was, 1);
	UPDATE jobs_store.job_dependency SET job_id = becomes WHERE job_id = was;
	UPDATE jobs_store.job_dependency SET depends_on = becomes WHERE depends_on = was;
	UPDATE jobs_store.waiting SET job_id = becomes WHERE job_id = was;
	UPDATE jobs_store.lease SET job_id = becomes WHERE job_id = was;
	UPDATE jobs_store.waiting SET blocker = becomes WHERE blocker = was;
	UPDATE jobs_store.job_key SET job_id = becomes WHERE job_id = was;
	UPDATE jobs_store.artifact SET job_id = becomes WHERE job_id = was;
	UPDATE jobs_store.file_revision SET resource_id = becomes WHERE resource_id = was;
	UPDATE jobs_store.file SET resource_id = becomes WHERE resource_id = was;
	UPDATE jobs_store.comment SET resource_id = becomes WHERE resource_id = was;
	UPDATE jobs_store.access SET resource_id = becomes WHERE resource_id = was;
	UPDATE jobs_store.revision_edge SET source_resource_id = becomes WHERE source_resource_id = was;
	UPDATE jobs_store.revision_edge SET source_id = jobs_store.part_id(becomes, 2) WHERE source_id = jobs_store.part_id(was, 2);
	UPDATE jobs_store.revision_edge SET product_resource_id = becomes WHERE product_resource_id = was;
	UPDATE jobs_store.revision_edge SET product_id = jobs_store.part_id(becomes, 2) WHERE product_id = jobs_store.part_id(was, 2);
	UPDATE noted SET id = becomes WHERE id = was;
END $$;

-- A job that ended so long ago.
CREATE FUNCTION pg_temp.ended(label text, name text, ago interval, args jsonb DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.take($1, $4);
	PERFORM pg_temp.report($1, $2);
	PERFORM pg_temp.age($1, $3);
END $$;

-- A pass is short, and the first one of a session plans its statements in it.
CREATE FUNCTION pg_temp.sweep() RETURNS bigint LANGUAGE sql AS
	'SELECT sum(jobs.sweep()) FROM generate_series(1, 5)';

-- Labels of the jobs that are there.
CREATE FUNCTION pg_temp.there() RETURNS text LANGUAGE sql AS
	'SELECT coalesce(string_agg(n.label, '' '' ORDER BY n.label), ''none'') FROM noted n JOIN jobs_store.job j ON j.id = n.id';

-- Whatever names the ids in the first rows of nobody any more.
CREATE FUNCTION pg_temp.left_of(ids uuid[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	relation regclass;
	found bigint;
BEGIN
	FOR relation IN
		SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'jobs_store'::regnamespace AND c.relkind = 'r'
	LOOP
		EXECUTE format('SELECT count(*) FROM %s t WHERE EXISTS (SELECT FROM unnest($1) u(id) WHERE to_jsonb(t)::text LIKE ''%%'' || left(u.id::text, 35) || ''%%'')', relation)
			INTO found USING ids;
		IF found > 0 THEN
			RETURN NEXT format('%s: %s', relation, found);
		END IF;
	END LOOP;
END $$;

-- The policy -----------------------------------------------------------------------------

SELECT is_empty('SELECT * FROM jobs.retention', 'everything is kept at first');
SELECT throws_ok($$SELECT jobs.set_retention(completed => '0')$$, '22023', NULL, 'not for no time');
SELECT throws_ok($$SELECT jobs.set_retention(failed => '-1 day')$$, '22023', NULL, 'not for less');
SELECT throws_ok($$SELECT jobs.set_retention(archived => '1001 years')$$, '22023', NULL, 'not for too long');
SELECT throws_ok($$SELECT jobs.set_retention(canceled => '500000 days')$$, '22023', NULL, 'not in days either');
SELECT lives_ok($$SELECT jobs.set_retention(completed => '1000 years')$$, 'but long');
SELECT is(jobs.prune(), 0, 'which nothing reaches');
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT jobs.set_retention()')$$, '42501', NULL, 'administrators set it');
SELECT throws_ok($$SELECT pg_temp.as_role('t_nobody', 'SELECT jobs.set_retention()')$$, '42501', NULL, 'who are users');
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT jobs.prune()')$$, '42501', NULL, 'administrators prune');
SELECT throws_ok('SELECT jobs.prune(0)', '22023', NULL, 'none is no limit');
SELECT throws_ok('SELECT jobs.prune(100001)', '22023', NULL, 'nor are too many');
SELECT throws_ok('SELECT jobs.prune(NULL)', '22004', NULL, 'nor is NULL');
SELECT jobs.set_retention(completed => '30 days', failed => '1 year') \gset ignored_
SELECT results_eq('SELECT rule, age FROM jobs.retention ORDER BY rule',
	$$VALUES ('COMPLETED', '30 days'::interval), ('FAILED', '1 year')$$, 'it can be read');
SELECT is(pg_temp.as_role('t_ann', 'SELECT count(*) FROM jobs.retention'), '2', 'by all users of the tenant');
SELECT is(pg_temp.as_role('t_carol', 'SELECT count(*) FROM jobs.retention'), '0', 'and by no others');
SELECT is(pg_temp.as_role('t_nobody', 'SELECT count(*) FROM jobs.retention'), '0', 'nor by who is no user');

-- What is due ------------------------------------------------------------------------------

SELECT pg_temp.ended('old', 'COMPLETED', '31 days') \gset ignored_
SELECT pg_temp.ended('young', 'COMPLETED', '29 days') \gset ignored_
SELECT pg_temp.ended('failed', 'FAILED', '31 days') \gset ignored_
SELECT pg_temp.ended('canceled', 'CANCELED', '40 years') \gset ignored_
SELECT pg_temp.take('held') \gset ignored_
SELECT pg_temp.add('pending') \gset ignored_
SELECT pg_temp.add('later', '{"run_after": "2100-01-01"}') \gset ignored_
SELECT pg_temp.age('later', '60 days') \gset ignored_
SELECT is(pg_temp.sweep(), 0::bigint, 'a sweep prunes, and moves none by it');
SELECT is(pg_temp.there(), 'canceled failed held later pending young', 'what has been ended for longer than its rule says, and nothing else');
SELECT results_eq('SELECT rule, pruned FROM jobs.retention ORDER BY rule', $$VALUES ('COMPLETED', 1::bigint), ('FAILED', 0)$$, 'the rule counts');
SELECT ok(bool_and(next_look > now() + interval '12 hours'), 'the next round is a twentieth of the time away, or a day') FROM jobs.retention;
SELECT pg_temp.ended('old 2', 'COMPLETED', '31 days') \gset ignored_
SELECT is((pg_temp.sweep(), pg_temp.there())::text, '(0,"canceled failed held later old 2 pending young")', 'until then none is looked for');
SELECT is(jobs.prune(), 1, 'but by hand');
SELECT is(jobs.prune(), 0, 'once');
SELECT is(pg_temp.there(), 'canceled failed held later pending young', 'that one');
SELECT is(pg_temp.as_role('t_carol', $$SELECT jobs.set_retention('1 day') IS NOT NULL$$), 'true', 'another tenant has its own rules');
SELECT is(pg_temp.as_role('t_carol', 'SELECT jobs.prune()'), '0', 'and jobs');
SELECT is(pg_temp.there(), 'canceled failed held later pending young', 'ours stay');

-- A shorter time begins a new round; one that is not given ends it.
SELECT jobs.set_retention(completed => '28 days', canceled => '1 s') \gset ignored_
SELECT pg_temp.sweep() \gset ignored_
SELECT is(pg_temp.there(), 'failed held later pending', 'a new policy is looked at at once');
SELECT results_eq('SELECT rule, age, pruned FROM jobs.retention ORDER BY rule',
	$$VALUES ('CANCELED', '1 s'::interval, 1::bigint), ('COMPLETED', '28 days', 3)$$, 'and says so');
SELECT jobs.set_retention(failed => '1 day') \gset ignored_
SELECT is(jobs.prune(), 1, 'failed ones');
SELECT jobs.cancel_job(pg_temp.id('held')), jobs.cancel_job(pg_temp.id('pending')), jobs.cancel_job(pg_temp.id('later')) \gset ignored_

-- The end counts, not the beginning; and the last end.
SELECT jobs.set_retention('1 day', '1 day', '1 day') \gset ignored_
SELECT pg_temp.take('long'), pg_temp.age('long', '60 days'), pg_temp.report('long', 'COMPLETED') \gset ignored_
SELECT pg_temp.ended('again', 'FAILED', '60 days') \gset ignored_
SELECT jobs.retry_job(pg_temp.id('again')), pg_temp.claim() \gset ignored_
SELECT is(jobs.prune(), 0, 'one that runs is kept, whatever it was before');
SELECT pg_temp.report('again', 'COMPLETED') \gset ignored_
SELECT is(jobs.prune(), 0, 'so are those that ended just now');
SELECT pg_temp.age('long', '1 day') \gset ignored_
SELECT is((jobs.prune(), pg_temp.there())::text, '(1,"again held later pending")', 'until their time has come');
SELECT pg_temp.age('again', '2 days') \gset ignored_
SELECT is((jobs.prune(), pg_temp.there())::text, '(1,"held later pending")', 'one with several ends goes by the last');

-- Archived jobs -----------------------------------------------------------------------------

SELECT jobs.set_retention('1 day', '1 day', '1 day') \gset ignored_
SELECT pg_temp.ended('kept', 'COMPLETED', '60 days'), jobs.archive(pg_temp.id('kept')) \gset ignored_
SELECT is((jobs.prune(), pg_temp.there())::text, '(0,"held kept later pending")', 'archived jobs are kept for ever');
SELECT jobs.set_retention(archived => '30 days') \gset ignored_
SELECT is(jobs.prune(), 0, 'or for so long, from when they were archived');
SELECT pg_temp.age('kept', '30 days') \gset ignored_
SELECT pg_temp.add('parked'), jobs.archive(pg_temp.id('parked')), pg_temp.age('parked', '60 days') \gset ignored_
SELECT is((jobs.prune(), pg_temp.there())::text, '(1,"held later parked pending")', 'and go then; not if they have not ended');
SELECT jobs.cancel_job(pg_temp.id('parked')) \gset ignored_
SELECT is(jobs.prune(), 0, 'which counts, too');
SELECT pg_temp.age('parked', '30 days') \gset ignored_
SELECT is(jobs.prune(), 1, 'in the end');
SELECT pg_temp.ended('restored', 'COMPLETED', '60 days'), jobs.archive(pg_temp.id('restored')), jobs.restore(pg_temp.id('restored')), pg_temp.age('restored', '60 days') \gset ignored_
SELECT is(jobs.prune(), 0, 'one that was restored is not archived');
SELECT jobs.set_retention(completed => '30 days') \gset ignored_
SELECT is(jobs.prune(), 1, 'and goes as others do');

-- As a whole ----------------------------------------------------------------------------------

SELECT jobs.set_retention('1 day', '1 day', '1 day', '1 day') \gset ignored_
CREATE TEMP TABLE counts AS SELECT pg_temp.row_counts() - '{jobs_store.retention,jobs_store.lane}'::text[] AS rows;
SELECT pg_temp.note('model', jobs.add_model('m', 'bytes')) \gset ignored_
SELECT pg_temp.take('full', jsonb_build_object('model_id', pg_temp.id('model'), 'idempotency_key', 'k', 'description', 'd',
	'sources', jsonb_build_array(jsonb_build_object('revision_id', (((jobs.get_file(pg_temp.id('model'))).revisions)[1]).id)))) \gset ignored_
SELECT pg_temp.report('full', 'RUNNING', 'half') \gset ignored_
SELECT jobs.update_job(pg_temp.id('full'), convert_to(repeat('x', 3000000), 'UTF8')) IS NULL AS ignored \gset
SELECT pg_temp.note('artifact', jobs.add_artifact(pg_temp.id('full'), 'a', 'content')) \gset ignored_
SELECT jobs.update_artifact(pg_temp.id('artifact'), 'more'), jobs.archive(pg_temp.id('artifact')) \gset ignored_
SELECT jobs.create_access(pg_temp.id('artifact'), 'user', pg_temp.id('bob'), 'viewer') \gset ignored_
SELECT pg_temp.note('comment', (jobs.add_comment(pg_temp.id('artifact'), 'of it')).id) \gset ignored_
SELECT pg_temp.note('reply', (jobs.add_comment(pg_temp.id('artifact'), 'to it', pg_temp.id('comment'))).id) \gset ignored_
SELECT pg_temp.report('full', 'COMPLETED') \gset ignored_
SELECT jobs.create_access(pg_temp.id('full'), 'user', pg_temp.id('bob'), 'editor') \gset ignored_
SELECT pg_temp.note('own comment', (jobs.add_comment(pg_temp.id('full'), 'good')).id) \gset ignored_
SELECT jobs.archive(pg_temp.id('full')), jobs.restore(pg_temp.id('full')) \gset ignored_
INSERT INTO jobs_store.file (tenant, resource_id, control_tags) SELECT j.tenant, j.id, '{}' FROM jobs_store.job j WHERE j.id = pg_temp.id('full');
SELECT pg_temp.add('child', jsonb_build_object('depends_on', ARRAY[pg_temp.id('full')])), jobs.sweep(), pg_temp.claim(), pg_temp.report('child', 'FAILED') \gset ignored_
SELECT pg_temp.age('full', '2 days') \gset ignored_
SELECT is((SELECT count(*) FROM jobs_store.revision_edge), 3::bigint, 'a job that has everything');
SELECT is(jobs.prune(), 1, 'is pruned');
SELECT is_empty($$SELECT pg_temp.left_of(ARRAY(SELECT n.id FROM noted n WHERE n.label IN ('full', 'artifact', 'comment', 'reply', 'own comment')))$$, 'and nothing is left of it');
SELECT pg_temp.age('child', '2 days') \gset ignored_
SELECT is(jobs.prune(), 1, 'what depended on it goes as well');
SELECT throws_ok($$SELECT jobs.get_job(pg_temp.id('full'))$$, 'JB404', NULL, 'it is not found');
SELECT is(jobs.read_text(pg_temp.id('model')), 'bytes', 'its model is there');
DELETE FROM jobs_store.file_revision WHERE resource_id = pg_temp.id('model');
DELETE FROM jobs_store.content;
DELETE FROM jobs_store.model;
SELECT is(pg_temp.row_counts() - '{jobs_store.retention,jobs_store.lane}'::text[], rows, 'no row is left anywhere') FROM counts;
SELECT isnt(pg_temp.add('second full', '{"idempotency_key": "k"}'), pg_temp.id('full'), 'its key is free');
SELECT jobs.cancel_job(pg_temp.id('second full')) \gset ignored_

-- What refers to a job ---------------------------------------------------------------------------

SELECT pg_temp.ended('parent', 'COMPLETED', '2 days'), pg_temp.ended('failure', 'FAILED', '2 days') \gset ignored_
SELECT pg_temp.add('waits', jsonb_build_object('depends_on', ARRAY[pg_temp.id('parent'), pg_temp.id('failure')], 'on_dependency_failure', 'run')) \gset ignored_
SELECT is(jobs.prune(), 0, 'a job on which one depends that waits is kept');
SELECT pg_temp.sweep() \gset ignored_
SELECT is((pg_temp.status('waits'), jobs.prune())::text, '(PENDING,0)', 'or that is ready');
SELECT is((pg_temp.claim(), jobs.prune())::text, '(waits,0)', 'or runs');
SELECT pg_temp.report('waits', 'FAILED') \gset ignored_
SELECT is(jobs.prune(), 2, 'when it has ended it is not');
SELECT is((jobs.retry_job(pg_temp.id('waits'))).name, 'PENDING', 'and when it is retried, what was pruned counts as done');
SELECT jobs.cancel_job(pg_temp.id('waits')) \gset ignored_

SELECT pg_temp.take('source'), pg_temp.note('output', jobs.add_artifact(pg_temp.id('source'), 'o', 'x')), pg_temp.report('source', 'COMPLETED'), pg_temp.age('source', '4 days') \gset ignored_
SELECT pg_temp.ended('product', 'COMPLETED', '3 days', jsonb_build_object('sources', jsonb_build_array(
	jsonb_build_object('revision_id', (((jobs.get_file(pg_temp.id('output'))).revisions)[1]).id)))) \gset ignored_
SELECT pg_temp.ended('last', 'COMPLETED', '2 days', jsonb_build_object('sources', jsonb_build_array(
	jsonb_build_object('revision_id', jobs_store.part_id(pg_temp.id('product'), 2))))) \gset ignored_
SELECT pg_temp.ended('own', 'COMPLETED', '3 days') \gset ignored_
SELECT jobs.set_retention('60 hours') \gset ignored_
SELECT is((jobs.prune(), pg_temp.there())::text, '(1,"held last later pending product second full source waits")', 'jobs whose files others were made from are kept');
SELECT jobs.set_retention('1 day') \gset ignored_
SELECT is(jobs.prune() || ' ' || jobs.prune() || ' ' || jobs.prune() || ' ' || jobs.prune(), '1 1 1 0', 'and go one after the other when nothing uses them');

-- The walk ------------------------------------------------------------------------------------------

SELECT jobs.set_retention(), jobs.set_retention('1 day') \gset ignored_
SELECT count(pg_temp.ended('n ' || n, 'COMPLETED', '2 days')) AS ignored FROM generate_series(1, 250) n \gset
SELECT pg_temp.add('user'), jobs.add_dependencies(pg_temp.id('user'), ARRAY[pg_temp.id('n 1'), pg_temp.id('n 250')]) IS NULL AS ignored \gset
SELECT is(jobs.prune(150), 150, 'as many as asked for');
SELECT ok(position <> '00000000-0000-0000-0000-000000000000', 'the walk is under way') FROM jobs_store.retention WHERE rule = 'COMPLETED' AND tenant = 1;
SELECT is(jobs.prune(), 98, 'it goes on, and comes to all of them');
SELECT jobs.cancel_job(pg_temp.id('user')) \gset ignored_
SELECT is(jobs.prune(), 2, 'those before it, too');
SELECT is((SELECT pruned FROM jobs.retention), 250::bigint, 'all of them are counted');
SELECT count(pg_temp.ended('m ' || n, 'COMPLETED', '2 days')) AS ignored FROM generate_series(1, 110) n \gset
UPDATE jobs_store.retention SET next_look = '-infinity', position = pg_temp.id('m 105');
SELECT pg_temp.sweep() \gset ignored_
SELECT is((SELECT count(*) FROM jobs_store.job j JOIN noted n ON n.id = j.id WHERE n.label LIKE 'm %'), 105::bigint, 'a sweep goes on from where the walk stands');
SELECT is(position, '00000000-0000-0000-0000-000000000000', 'and begins anew at its end') FROM jobs_store.retention WHERE tenant = 1;
-- As many as fit into the time of a pass: on a slow machine it takes more than one.
DO $$
BEGIN
	FOR n IN 1..20 LOOP
		UPDATE jobs_store.retention SET next_look = '-infinity';
		PERFORM pg_temp.sweep();
		EXIT WHEN NOT EXISTS (SELECT FROM jobs_store.job j JOIN noted n ON n.id = j.id WHERE n.label LIKE 'm %');
	END LOOP;
END $$;
SELECT is((SELECT count(*) FROM jobs_store.job j JOIN noted n ON n.id = j.id WHERE n.label LIKE 'm %'), 0::bigint, 'with those from before');

-- Claims prune as they sweep.
SELECT pg_temp.ended('by a claim', 'COMPLETED', '2 days') \gset ignored_
UPDATE jobs_store.retention SET next_look = '-infinity';
SELECT pg_temp.claim() \gset ignored_
SELECT matches(pg_temp.there(), 'by a claim', 'not when they do not sweep');
SET LOCAL jobs.sweep_interval = 0;
SELECT pg_temp.claim() \gset ignored_
SELECT doesnt_match(pg_temp.there(), 'by a claim', 'a claim that sweeps prunes');
SET LOCAL jobs.sweep_interval = -1;

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
