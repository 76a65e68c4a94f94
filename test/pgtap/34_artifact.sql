-- Artifacts, new revisions of models and artifacts, properties, files, lineage.
\ir setup.psql

SELECT pg_temp.note('model', jobs.add_model('part.step', 'first', 'model/step')) AS id \gset ignored_
SELECT pg_temp.note('model revision', jobs.update_model(pg_temp.id('model'), 'second')) AS id \gset ignored_
SELECT pg_temp.take('job', jsonb_build_object('model_id', pg_temp.id('model'))) AS id \gset ignored_
SELECT pg_temp.add('plain') AS id \gset ignored_
SELECT pg_temp.note('artifact', jobs.add_artifact(pg_temp.id('job'), 'mesh.tar.gz', 'result', 'application/gzip', 'mesh', 'd', 'dn', 'v', 'e')) AS id \gset ignored_
SELECT pg_temp.note('artifact revision', r.id) AS id FROM jobs.get_file(pg_temp.id('artifact')) f, unnest(f.revisions) r \gset ignored_
SELECT pg_temp.note('parameters', jobs_store.part_id(pg_temp.id('job'), 2)) AS id \gset ignored_
SELECT pg_temp.note('foreign', pg_temp.as_role('t_carol', 'SELECT jobs.add_model(''m'', ''x'')')::uuid) AS id \gset ignored_

CREATE FUNCTION pg_temp.latest(label text) RETURNS jobs.file_revision LANGUAGE sql AS
	'SELECT f.revisions[cardinality(f.revisions)] FROM jobs.get_file(pg_temp.id($1)) f';

-- Refused --------------------------------------------------------------------

CREATE TEMP TABLE before AS SELECT pg_temp.row_counts() AS counts;
CREATE TEMP TABLE texts AS SELECT jobs.get_file(pg_temp.id(label))::text AS file, label FROM unnest(ARRAY['model', 'artifact', 'job']) label;
SELECT throws_ok('SELECT jobs.' || call, '22004', NULL, 'null: ' || call)
FROM unnest(ARRAY['add_artifact(NULL, ''n'', ''x'')', 'add_artifact(pg_temp.id(''job''), NULL, ''x'')', 'add_artifact(pg_temp.id(''job''), ''n'', NULL)',
	'list_artifacts(NULL)', 'get_file(NULL)', 'lineage(NULL)', 'lineage(pg_temp.id(''job''), NULL)',
	'update_model(NULL, ''x'')', 'update_model(pg_temp.id(''model''), NULL)', 'update_artifact(NULL, ''x'')', 'update_artifact(pg_temp.id(''artifact''), NULL)',
	'update_properties(NULL, ''x'')', 'update_description(NULL, ''x'')', 'update_description(pg_temp.id(''job''), NULL)', 'update_display_name(pg_temp.id(''job''), NULL)',
	'update_external_identifier(pg_temp.id(''job''), NULL)', 'update_version_name(pg_temp.id(''job''), NULL)']) call;
SELECT throws_ok(format('SELECT jobs.add_artifact(pg_temp.id(''job''), %s)', replace(args, '…', repeat('ä', 256))), '22001', NULL, 'too long: ' || args)
FROM unnest(ARRAY['''…'', ''x''', '''n'', ''x'', ''…''', '''n'', ''x'', relationship_identifier => ''…''', '''n'', ''x'', description => ''…''', '''n'', ''x'', display_name => ''…''', '''n'', ''x'', version_name => ''…''', '''n'', ''x'', external_identifier => ''…''']) args;
SELECT throws_ok(format('SELECT jobs.update_%s(pg_temp.id(%L), ''x'', %I => %L)', kind, kind, argument, repeat('ä', 256)), '22001', NULL, format('update_%s, too long: %s', kind, argument))
FROM unnest(ARRAY['model', 'artifact']) kind, unnest(ARRAY['name', 'mime', 'description', 'display_name', 'version_name', 'external_identifier']) argument;
SELECT throws_ok(format('SELECT jobs.update_%s(pg_temp.id(''job''), %I => %L)', f, property, repeat('ä', 256)), '22001', NULL, format('update_%s, too long: %s', f, property))
FROM unnest(ARRAY['description', 'display_name', 'external_identifier', 'version_name']) property, unnest(ARRAY['properties', property]) f;
SELECT throws_ok('SELECT jobs.' || call, '22023', NULL, 'refused: ' || call)
FROM unnest(ARRAY['add_artifact(pg_temp.id(''job''), '' '', ''x'')', 'update_model(pg_temp.id(''model''), ''x'', '''')', 'update_artifact(pg_temp.id(''artifact''), ''x'', '''')',
	'lineage(pg_temp.id(''job''), 0)', 'lineage(pg_temp.id(''job''), -1)', 'lineage(pg_temp.id(''job''), 101)']) call;
SELECT throws_ok(format('SELECT jobs.%s', replace(call, '%', format('pg_temp.id(%L)', label))), 'JB404', NULL, format('%s of %s', call, label))
FROM unnest(ARRAY['none of ours', 'foreign', 'agent', 'one', 'artifact revision']) label,
	unnest(ARRAY['add_artifact(%, ''n'', ''x'')', 'list_artifacts(%)', 'get_file(%)', 'lineage(%)', 'update_model(%, ''x'')', 'update_artifact(%, ''x'')', 'update_properties(%)', 'update_version_name(%, ''x'')']) call;
SELECT throws_ok('SELECT jobs.' || call, 'JB404', NULL, 'another kind of thing: ' || call)
FROM unnest(ARRAY['add_artifact(pg_temp.id(''model''), ''n'', ''x'')', 'add_artifact(pg_temp.id(''artifact''), ''n'', ''x'')', 'list_artifacts(pg_temp.id(''model''))',
	'update_model(pg_temp.id(''artifact''), ''x'')', 'update_model(pg_temp.id(''job''), ''x'')', 'update_artifact(pg_temp.id(''model''), ''x'')', 'update_artifact(pg_temp.id(''job''), ''x'')']) call;
SELECT throws_ok(format('SELECT pg_temp.as_role(%L, %L)', role, 'SELECT jobs.' || call), code, NULL, format('%s: %s', role, call))
FROM (VALUES ('t_ann', 'JB404'), ('t_nobody', '42501')) r(role, code),
	unnest(ARRAY['add_artifact(pg_temp.id(''job''), ''n'', ''x'')', 'list_artifacts(pg_temp.id(''job''))', 'get_file(pg_temp.id(''artifact''))', 'lineage(pg_temp.id(''artifact''))', 'update_model(pg_temp.id(''model''), ''x'')', 'update_artifact(pg_temp.id(''artifact''), ''x'')', 'update_properties(pg_temp.id(''job''), ''x'')', 'update_display_name(pg_temp.id(''artifact''), ''x'')']) call;
SELECT is(pg_temp.row_counts(), counts, 'nothing of all that left a row') FROM before;
SELECT is(jobs.get_file(pg_temp.id(label))::text, file, 'or changed ' || label) FROM texts;

-- A viewer may look, and no more.
INSERT INTO jobs_store.access (tenant, resource_id, subject_id, created, created_by_id, subject_type, relation, resource_type)
SELECT tenant, id, pg_temp.id('ann'), now(), created_by_id, 'user', 'viewer', kind FROM jobs_store.resource WHERE id IN (pg_temp.id('job'), pg_temp.id('artifact'));
SELECT lives_ok(format('SELECT pg_temp.as_role(''t_ann'', %L)', 'SELECT jobs.' || call), 'a viewer: ' || call)
FROM unnest(ARRAY['list_artifacts(pg_temp.id(''job''))', 'get_file(pg_temp.id(''artifact''))', 'lineage(pg_temp.id(''artifact''))', 'read_text(pg_temp.id(''artifact''))']) call;
SELECT throws_ok(format('SELECT pg_temp.as_role(''t_ann'', %L)', 'SELECT jobs.' || call), '42501', NULL, 'a viewer: ' || call)
FROM unnest(ARRAY['add_artifact(pg_temp.id(''job''), ''n'', ''x'')', 'update_artifact(pg_temp.id(''artifact''), ''x'')', 'update_properties(pg_temp.id(''job''))', 'update_description(pg_temp.id(''artifact''), ''x'')']) call;

-- Artifacts ------------------------------------------------------------------

SELECT is(jobs.read_text(pg_temp.id('artifact')), 'result', 'its bytes');
SELECT is(ROW(r.name, r.stem, r.suffix, r.extension, r.size, r.mime, r.description, r.display_name, r.version_name, r.external_identifier)::text,
	'(mesh.tar.gz,mesh.tar,.gz,gz,6,application/gzip,d,dn,v,e)', 'its properties') FROM pg_temp.latest('artifact') r;
SELECT is((r.content_token).sha, encode(sha384(convert_to('result' || (r.content_token).salt, 'UTF8')), 'hex'), 'its token') FROM pg_temp.latest('artifact') r;
SELECT is(ROW(f.id, f.resource_id, f.resource_type, cardinality(f.revisions), cardinality(f.archive_status_history))::text,
	ROW(jobs_store.part_id(pg_temp.id('artifact'), 1), pg_temp.id('artifact'), 'Artifact', 1, 1)::text, 'its file') FROM jobs.get_file(pg_temp.id('artifact')) f;
SELECT results_eq($$SELECT s.revision_id, s.file_id, s.resource_type, s.resource_id, s.relationship_identifier FROM pg_temp.latest('artifact') r, unnest(r.sources) s ORDER BY s.resource_type$$,
	$$VALUES (pg_temp.id('parameters'), jobs_store.part_id(pg_temp.id('job'), 1), 'Job', pg_temp.id('job'), 'mesh'),
		(pg_temp.id('model revision'), jobs_store.part_id(pg_temp.id('model'), 1), 'Model', pg_temp.id('model'), 'mesh')$$, 'it was made from the parameters and the latest revision of the model');
SELECT results_eq(format($$SELECT p.revision_id, p.file_id, p.resource_type, p.resource_id, p.relationship_identifier FROM jobs.get_file(pg_temp.id(%L)) f, unnest(f.revisions) r, unnest(r.products) p$$, label),
	$$VALUES (pg_temp.id('artifact revision'), jobs_store.part_id(pg_temp.id('artifact'), 1), 'Artifact', pg_temp.id('artifact'), 'mesh')$$, 'the same, read from the ' || label)
FROM unnest(ARRAY['model', 'job']) label;
SELECT is(jobs.get_file(pg_temp.id('job')), j.file, 'file of a job, alone and in the job') FROM jobs.get_job(pg_temp.id('job')) j;
SELECT pg_temp.note('second artifact', jobs.add_artifact(pg_temp.id('job'), 'empty', '')) AS id \gset ignored_
SELECT pg_temp.note('of plain', jobs.add_artifact(pg_temp.id('plain'), 'p', 'p')) AS id \gset ignored_
SELECT results_eq($$SELECT s.resource_id FROM pg_temp.latest('of plain') r, unnest(r.sources) s$$, $$VALUES (pg_temp.id('plain'))$$, 'a job without a model is the only source');
SELECT results_eq($$SELECT pg_temp.label(id), name, size, mime, archived FROM jobs.list_artifacts(pg_temp.id('job'))$$,
	$$VALUES ('artifact', 'mesh.tar.gz', 6::bigint, 'application/gzip', false), ('second artifact', 'empty', 0, NULL, false)$$, 'the artifacts of a job');
SELECT is_empty($$SELECT * FROM jobs.list_artifacts(pg_temp.add('fresh'))$$, 'none');

-- Who holds the job adds to it; the artifact is the job owner's.
SELECT pg_temp.note('of ann', pg_temp.as_role('t_ann', 'SELECT (jobs.add_job(''@t:one'', priority => 100000)).id')::uuid) AS id \gset ignored_
SELECT pg_temp.note('agent of bob', pg_temp.as_role('t_bob', 'SELECT jobs.register_agent(''bob'')')::uuid) AS id \gset ignored_
SELECT pg_temp.as_role('t_bob', format('SELECT jobs.set_agent_functions(%L, ARRAY[%L]::uuid[])', pg_temp.id('agent of bob'), pg_temp.id('one'))) AS id \gset ignored_
SELECT throws_ok(format('SELECT pg_temp.as_role(''t_bob'', %L)', 'SELECT jobs.add_artifact(pg_temp.id(''of ann''), ''n'', ''x'')'), 'JB404', NULL, 'a stranger to the job');
SELECT is(pg_temp.as_role('t_bob', format('SELECT job_id FROM jobs.claim_jobs(%L)', pg_temp.id('agent of bob')))::uuid, pg_temp.id('of ann'), 'takes it');
SELECT pg_temp.note('by bob', pg_temp.as_role('t_bob', 'SELECT jobs.add_artifact(pg_temp.id(''of ann''), ''n'', ''x'')')::uuid) AS id \gset ignored_
SELECT is(pg_temp.as_role('t_ann', 'SELECT jobs.read_text(pg_temp.id(''by bob''))'), 'x', 'the owner of the job reads what its holder added');
SELECT is(f.created_by_id, pg_temp.id('ann'), 'and owns it') FROM jobs.get_file(pg_temp.id('by bob')) f;
SELECT is(r.created_by_id, pg_temp.id('bob'), 'the holder is the author') FROM pg_temp.latest('by bob') r;

-- New revisions --------------------------------------------------------------

SELECT is(r.id, pg_temp.id('model revision'), 'update_model answers the new revision') FROM pg_temp.latest('model') r;
SELECT is(ROW(r.name, r.mime, r.size)::text, '(part.step,model/step,6)', 'what is not given stays') FROM pg_temp.latest('model') r;
SELECT is((f.revisions[2].content_token).salt, (f.revisions[1].content_token).salt, 'and so does the salt') FROM jobs.get_file(pg_temp.id('model')) f;
SELECT is(jobs.read_text(pg_temp.id('model')), 'second', 'its bytes are read');
SELECT pg_temp.note('artifact revision 2', jobs.update_artifact(pg_temp.id('artifact'), 'longer result', 'mesh.zip', 'application/zip', description => 'D')) AS id \gset ignored_
SELECT is(ROW(r.id, r.name, r.mime, r.size, r.description, r.display_name)::text, ROW(pg_temp.id('artifact revision 2'), 'mesh.zip', 'application/zip', 13, 'D', 'dn')::text, 'a revision of an artifact') FROM pg_temp.latest('artifact') r;
SELECT is(cardinality(f.revisions), 2, 'the first is kept') FROM jobs.get_file(pg_temp.id('artifact')) f;
SELECT results_eq($$SELECT name, size FROM jobs.list_artifacts(pg_temp.id('job')) LIMIT 1$$, $$VALUES ('mesh.zip', 13::bigint)$$, 'the list shows the latest');

-- Properties -----------------------------------------------------------------

CREATE FUNCTION pg_temp.properties(r jobs.file_revision) RETURNS text LANGUAGE sql AS
	$$SELECT format('%s|%s|%s|%s', r.description, r.display_name, r.external_identifier, r.version_name)$$;
SELECT is(pg_temp.properties(r), '|||', 'a job without') FROM pg_temp.latest('plain') r;
SELECT is(r.updated, NULL, 'never changed') FROM pg_temp.latest('plain') r;
SELECT is(jobs.update_properties(pg_temp.id('plain')), pg_temp.latest('plain'), 'nothing given, nothing changed');
SELECT is(pg_temp.properties(jobs.update_properties(pg_temp.id(label), 'a', 'b', 'c', 'd')), 'a|b|c|d', 'all of ' || label) FROM unnest(ARRAY['plain', 'model', 'artifact']) label;
SELECT is(pg_temp.properties(pg_temp.latest(label)), 'a|b|c|d', 'as read back: ' || label) FROM unnest(ARRAY['plain', 'model', 'artifact']) label;
SELECT isnt(r.updated, NULL, 'the time is noted') FROM pg_temp.latest('plain') r;
SELECT isnt(pg_temp.properties(f.revisions[1]), 'a|b|c|d', 'an earlier revision is as it was') FROM jobs.get_file(pg_temp.id('model')) f;
SELECT is(pg_temp.properties(jobs.update_properties(pg_temp.id(label), display_name => '', version_name => repeat('ä', 255))), 'a||c|' || repeat('ä', 255), 'NULL keeps, empty clears: ' || label) FROM unnest(ARRAY['plain', 'model', 'artifact']) label;
SELECT is((pg_temp.latest('plain')).display_name, NULL, 'cleared is NULL');
SELECT is((SELECT display_name FROM jobs_store.job WHERE id = pg_temp.id('plain')), NULL, 'revision 1 of a job is its row');
SELECT is(pg_temp.properties(jobs.update_description(pg_temp.id('plain'), 'A')), 'A||c|' || repeat('ä', 255), 'description alone');
SELECT is(pg_temp.properties(jobs.update_display_name(pg_temp.id('plain'), 'B')), 'A|B|c|' || repeat('ä', 255), 'display_name alone');
SELECT is(pg_temp.properties(jobs.update_external_identifier(pg_temp.id('plain'), '')), 'A|B||' || repeat('ä', 255), 'external_identifier alone, cleared');
SELECT is(pg_temp.properties(jobs.update_version_name(pg_temp.id('plain'), 'D')), 'A|B||D', 'version_name alone');
CREATE TEMP TABLE tokens AS SELECT (r.properties_token).sha AS properties, (r.content_token).sha AS content FROM pg_temp.latest('plain') r;
SELECT is(ROW((r.properties_token).sha = t.properties, (r.content_token).sha = t.content)::text, '(f,t)', 'the token of the properties follows them, that of the content does not')
FROM jobs.update_description(pg_temp.id('plain'), 'Z') r, tokens t;
SELECT jobs.update_job(pg_temp.id('plain'), 'result') IS NULL AS id \gset ignored_
SELECT is(pg_temp.properties(jobs.update_description(pg_temp.id('plain'), 'of the result')), 'of the result|B||D', 'the latest revision of a job');
SELECT is((j.file).revisions[1].description, 'Z', 'and not the first') FROM jobs.get_job(pg_temp.id('plain')) j;

-- Lineage --------------------------------------------------------------------
-- model -> job -> artifact -> next job -> its artifact

CREATE FUNCTION pg_temp.lineage(label text, depth integer DEFAULT 10) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('%s %s %s', l.depth, l.direction, pg_temp.label(l.resource_id)), ', ' ORDER BY l.direction DESC, l.depth, pg_temp.label(l.resource_id))
	FROM jobs.lineage(pg_temp.id($1), $2) l
$$;
SELECT pg_temp.add('next', jsonb_build_object('sources', jsonb_build_array(jsonb_build_object('revision_id', pg_temp.id('artifact revision'), 'relationship_identifier', 'input')))) AS id \gset ignored_
SELECT pg_temp.note('last', jobs.add_artifact(pg_temp.id('next'), 'last', 'x')) AS id \gset ignored_

SELECT is(pg_temp.lineage('last'), '1 source next, 2 source artifact, 3 source job, 3 source model', 'from the end to the origin');
SELECT is(pg_temp.lineage('last', 1), '1 source next', 'one step');
SELECT is(pg_temp.lineage('last', 2), '1 source next, 2 source artifact', 'two steps');
SELECT is(pg_temp.lineage('artifact'), '1 source job, 1 source model, 1 product next, 2 product last', 'both ways from the middle');
SELECT is(pg_temp.lineage('model'), '1 product artifact, 1 product second artifact, 2 product next, 3 product last', 'what became of a model');
SELECT is(pg_temp.lineage('fresh'), NULL, 'nothing');
SELECT results_eq($$SELECT * FROM jobs.lineage(pg_temp.id('next')) WHERE direction = 'source' AND depth = 1$$,
	$$VALUES (1, 'source', pg_temp.id('artifact revision'), pg_temp.id('artifact'), 'Artifact', jobs_store.part_id(pg_temp.id('next'), 2), 'input')$$, 'an edge in full');
SELECT jobs.update_job(pg_temp.id('job'), 'log') IS NULL AS id \gset ignored_
SELECT pg_temp.add('after result', jsonb_build_object('sources', jsonb_build_array(jsonb_build_object('revision_id', (j.file).revisions[2].id)))) AS id FROM jobs.get_job(pg_temp.id('job')) j \gset ignored_
SELECT is(pg_temp.lineage('after result'), '1 source job', 'a result of a job is the job''s');
SELECT is(pg_temp.lineage('job', 1), '1 product after result, 1 product artifact, 1 product second artifact', 'all revisions of a job are its own');

-- A cycle, by hand: the functions cannot make one. Each edge is answered once.
INSERT INTO jobs_store.revision_edge (tenant, source_id, product_id, source_resource_id, product_resource_id, source_resource_type, product_resource_type)
SELECT tenant, id, pg_temp.id('model revision'), resource_id, pg_temp.id('model'), resource_type, 'Model' FROM jobs_store.file_revision WHERE resource_id = pg_temp.id('last');
SELECT is((SELECT count(*) FROM jobs.lineage(pg_temp.id('model'), 100)), (SELECT count(DISTINCT (least(l.revision_id, l.from_revision_id), greatest(l.revision_id, l.from_revision_id))) FROM jobs.lineage(pg_temp.id('model'), 100) l), 'a cycle: each edge once');
SELECT cmp_ok((SELECT max(depth) FROM jobs.lineage(pg_temp.id('model'), 100)), '<', 10, 'and it ends');
DELETE FROM jobs_store.revision_edge WHERE product_id = pg_temp.id('model revision');

-- Ann may see 'job' and 'artifact', and not what lies behind them.
SELECT is(pg_temp.as_role('t_ann', 'SELECT string_agg(format(''%s %s'', direction, pg_temp.label(resource_id)), '', '') FROM jobs.lineage(pg_temp.id(''artifact''))'), 'source job', 'ends at what the caller may not see');
SELECT is(pg_temp.as_role('t_ann', 'SELECT string_agg(format(''%s %s'', direction, pg_temp.label(resource_id)), '', '') FROM jobs.lineage(pg_temp.id(''by bob''))'), 'source of ann', 'what she created is hers to see');
SELECT is(pg_temp.as_role('t_bob', 'SELECT string_agg(direction, '','') FROM jobs.lineage(pg_temp.id(''of ann''))'), NULL, 'the holder sees the job and not what belongs to its owner');

SELECT lives_ok($$INSERT INTO jobs_store.revision_edge (tenant, source_id, product_id, source_resource_id, product_resource_id, source_resource_type, product_resource_type)
	SELECT tenant, jobs_store.part_id(id, 2), jobs_store.part_id(jobs_store.new_id(), 2), id, pg_temp.id('next'), 'Job', 'Artifact'
	FROM jobs_store.job, generate_series(1, 100001) WHERE id = pg_temp.id('fresh')$$, 'very many edges');
SELECT throws_ok($$SELECT count(*) FROM jobs.lineage(pg_temp.id('fresh'))$$, '54000', NULL, 'a lineage without bounds is refused');

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
