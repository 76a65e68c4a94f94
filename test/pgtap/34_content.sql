-- Models, revisions of files, and their bytes.
\ir setup.psql

-- Two chunks and a half of bytes that do not repeat.
CREATE TEMP TABLE big AS SELECT string_agg(sha512(n::text::bytea), '' ORDER BY n) AS bytes FROM generate_series(1, 40960) n;
SELECT pg_temp.note('big', jobs.add_model('big.tar.gz', bytes)) IS NULL AS ignored FROM big \gset
SELECT pg_temp.note('empty', jobs.add_model('empty', '')) IS NULL AS ignored \gset
SELECT pg_temp.add('job', '{"parameters": {"a": [1, "ä"]}}') IS NULL AS ignored \gset
SELECT pg_temp.note('foreign model', pg_temp.as_role('t_carol', 'SELECT jobs.add_model(''m'', ''x'')')::uuid) IS NULL AS ignored \gset
SELECT pg_temp.as_role('t_carol', 'SELECT jobs.add_function(''@t:one'', ''1.0'')') IS NULL AS ignored \gset
SELECT pg_temp.note('foreign', pg_temp.as_role('t_carol', 'SELECT (jobs.add_job(''@t:one'')).id')::uuid) IS NULL AS ignored \gset

CREATE FUNCTION pg_temp.revisions(label text) RETURNS SETOF jobs.file_revision LANGUAGE sql AS
	'SELECT r.* FROM jobs.get_job(pg_temp.id($1)) j, unnest((j.file).revisions) r';

-- Refused --------------------------------------------------------------------

CREATE TEMP TABLE before AS SELECT pg_temp.row_counts() AS counts;
SELECT throws_ok('SELECT jobs.' || call, '22004', NULL, 'null: ' || call)
FROM unnest(ARRAY['add_model(NULL, ''x'')', 'add_model(''x'', NULL)', 'update_job(NULL, ''x'')', 'update_job(pg_temp.id(''job''), NULL)', 'read_bytes(NULL)',
	'read_bytes(pg_temp.id(''big''), NULL)', 'read_text(NULL)', 'read_text(pg_temp.id(''big''), NULL)', 'read_json(NULL)']) call;
SELECT throws_ok(format('SELECT jobs.add_model(%s)', replace(args, '…', repeat('ä', 256))), '22001', NULL, 'too long: ' || args)
FROM unnest(ARRAY['''…'', ''x''', '''m'', ''x'', ''…''', '''m'', ''x'', description => ''…''', '''m'', ''x'', display_name => ''…''', '''m'', ''x'', version_name => ''…''', '''m'', ''x'', external_identifier => ''…''']) args;
SELECT throws_ok(format('SELECT jobs.update_job(pg_temp.id(''job''), ''x'', %I => %L)', argument, repeat('ä', 256)), '22001', NULL, 'too long: ' || argument)
FROM unnest(ARRAY['name', 'mime', 'description', 'display_name', 'version_name', 'external_identifier']) argument;
SELECT throws_ok('SELECT jobs.' || call, '22023', NULL, 'refused: ' || call)
FROM unnest(ARRAY['add_model('''', ''x'')', 'add_model('' '', ''x'')', 'update_job(pg_temp.id(''job''), ''x'', '''')', 'read_bytes(pg_temp.id(''big''), -1)', 'read_bytes(pg_temp.id(''big''), 0, -1)',
	'read_bytes(pg_temp.id(''job''), -1)', 'read_bytes(pg_temp.id(''job''), 0, -1)', 'read_text(pg_temp.id(''job''), ''klingon'')', 'read_text(pg_temp.id(''job''), '''')']) call;
SELECT throws_ok(format('SELECT jobs.%s(pg_temp.id(%L)%s)', f, label, CASE f WHEN 'update_job' THEN ', ''x''' ELSE '' END), 'JB404', NULL, format('%s of %s', f, label))
FROM unnest(ARRAY['read_bytes', 'read_text', 'read_json', 'update_job']) f, unnest(ARRAY['none of ours', 'foreign', 'foreign model', 'agent', 'one']) label;
SELECT throws_ok($$SELECT jobs.update_job(pg_temp.id('big'), 'x')$$, 'JB404', NULL, 'update_job of a model');
SELECT is(pg_temp.row_counts(), counts, 'nothing of all that left a row') FROM before;

-- Bytes ----------------------------------------------------------------------

SELECT ok(jobs.read_bytes(pg_temp.id('big')) = bytes, 'all bytes') FROM big;
SELECT results_eq($$SELECT octet_length(bytes) FROM jobs_store.content JOIN jobs_store.file_revision r ON r.id = revision_id WHERE resource_id = pg_temp.id('big') ORDER BY chunk$$, ARRAY[1048576, 1048576, 524288], 'in chunks of 1 MiB');
SELECT ok(jobs.read_bytes(pg_temp.id('big'), o, l) = substring(bytes FROM o + 1 FOR l), format('%s bytes from %s', l, o))
FROM big, (VALUES (0, 0), (0, 1), (0, 1048575), (0, 1048576), (0, 1048577), (1048575, 1), (1048575, 2), (1048576, 1), (1048576, 1048576), (1048577, 1048575), (1048570, 1048590),
	(2097151, 2), (2097152, 524288), (2621439, 1), (2621439, 2), (2621440, 1), (3000000, 5), (100, 2000000000), (0, 2147483647), (2147483646, 1)) v(o, l);
SELECT ok(jobs.read_bytes(pg_temp.id('big'), 2097140) = substring(bytes FROM 2097141), 'the rest') FROM big;
SELECT ok(jobs.read_bytes(pg_temp.id('big'), 2097140, NULL) = substring(bytes FROM 2097141), 'the rest, said with NULL') FROM big;
SELECT is(octet_length(jobs.read_bytes(pg_temp.id('big'), 9223372036854775807, 9223372036854775807)), 0, 'far past the end');
SELECT is(octet_length(jobs.read_bytes(pg_temp.id('big'), 1, 9223372036854775807)), 2621439, 'a very long rest');
SELECT is(jobs.read_bytes(pg_temp.id('empty')), ''::bytea, 'empty content');
SELECT is(jobs.read_bytes(pg_temp.id('empty'), 5, 5), ''::bytea, 'a range of it');
SELECT is(jobs.read_text(pg_temp.id('empty')), '', 'as text');
SELECT throws_ok($$SELECT jobs.read_json(pg_temp.id('empty'))$$, '22P02', NULL, 'it is no JSON');
SELECT is((SELECT count(*) FROM jobs_store.content WHERE revision_id = (SELECT id FROM jobs_store.file_revision WHERE resource_id = pg_temp.id('empty'))), 0::bigint, 'and takes no chunk');
SELECT is(r.sha, encode(sha384(b.bytes || convert_to(replace(jobs_store.part_id(r.resource_id, 1)::text, '-', ''), 'UTF8')), 'hex'), 'the sha of a model is that of content and salt: ' || r.name)
FROM jobs_store.file_revision r, LATERAL (SELECT CASE r.name WHEN 'empty' THEN ''::bytea ELSE (SELECT bytes FROM big) END AS bytes) b WHERE r.resource_id IN (pg_temp.id('big'), pg_temp.id('empty'));
DO $$ BEGIN
	FOR size IN 1048575 .. 1048577 LOOP
		PERFORM pg_temp.note('size ' || size, jobs.add_model('m', (SELECT substring(bytes FOR size) FROM big)));
	END LOOP;
END $$;
SELECT ok(jobs.read_bytes(pg_temp.id('size ' || n)) = substring(bytes FOR n), n || ' bytes') FROM big, generate_series(1048575, 1048577) n;

-- The parameters of a job are revision 1 of its file.
SELECT is(jobs.read_json(pg_temp.id('job')), '{"a": [1, "ä"]}', 'parameters as JSON');
SELECT is(jobs.read_text(pg_temp.id('job'))::jsonb, '{"a": [1, "ä"]}', 'as text');
SELECT is(jobs.read_bytes(pg_temp.id('job')), convert_to(jobs.read_text(pg_temp.id('job')), 'UTF8'), 'as bytes');
SELECT is(jobs.read_bytes(pg_temp.id('job'), o, l), substring(jobs.read_bytes(pg_temp.id('job')) FROM o + 1 FOR l), format('%s bytes of the parameters from %s', l, o)) FROM (VALUES (0, 0), (2, 3), (10, 1000), (1000, 1), (0, 2147483647)) v(o, l);

-- Revisions ------------------------------------------------------------------

SELECT is(r.size, octet_length(jobs.read_bytes(pg_temp.id('job')))::bigint, 'size of revision 1') FROM pg_temp.revisions('job') r;
CREATE TEMP TABLE answer AS SELECT j FROM jobs.update_job(pg_temp.id('job'), 'résultat', 'a.result.csv', 'text/csv', 'd', 'dn', 'v', 'e') j;
SELECT is(j, jobs.get_job(pg_temp.id('job')), 'update_job answers the job') FROM answer;
SELECT lives_ok($$SELECT jobs.update_job(pg_temp.id('job'), 'more', mime => 'text/plain')$$, 'a third revision');
SELECT results_eq($$SELECT name, mime, description, display_name, version_name, external_identifier, size FROM pg_temp.revisions('job') OFFSET 1$$,
	$$VALUES ('a.result.csv', 'text/csv', 'd', 'dn', 'v', 'e', 9::bigint), ('a.result.csv', 'text/plain', 'd', 'dn', 'v', 'e', 4::bigint)$$, 'what is not given is as in the revision before');
SELECT results_eq($$SELECT stem, suffix, extension FROM pg_temp.revisions('job')$$, $$VALUES ('one', '.json', 'json'), ('a.result', '.csv', 'csv'), ('a.result', '.csv', 'csv')$$, 'parts of the name');
SELECT results_eq($$SELECT n FROM pg_temp.revisions('job') WITH ORDINALITY r(id, created, file_id, a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, q, s, n) ORDER BY id$$, ARRAY[1::bigint, 2, 3], 'oldest first');
SELECT is(jobs.read_text(pg_temp.id('job')), 'more', 'what is read is the latest');
SELECT throws_ok($$SELECT jobs.read_json(pg_temp.id('job'))$$, '22P02', NULL, 'which is no JSON');
SELECT results_eq($$SELECT (r.content_token).sha FROM pg_temp.revisions('job') r$$,
	$$SELECT encode(sha384(c || convert_to((r[1].content_token).salt, 'UTF8')), 'hex')
	FROM (SELECT array_agg(r) AS r FROM pg_temp.revisions('job') r) r, unnest(ARRAY[convert_to('{"a": [1, "ä"]}'::jsonb::text, 'UTF8'), convert_to('résultat', 'UTF8'), 'more'::bytea]) c$$,
	'sha is SHA-384 of content and salt, and the salt stays the same');
SELECT is(count(DISTINCT (r.content_token).salt), 1::bigint, 'so it does in the tokens') FROM pg_temp.revisions('job') r;
SELECT ok((r.properties_token).sha ~ '^[0-9a-f]{96}$' AND (r.content_token).sha ~ '^[0-9a-f]{96}$', 'tokens are lower-case hexadecimal') FROM pg_temp.revisions('job') r;
SAVEPOINT revision;
SELECT jobs.update_job(pg_temp.id('job'), 'undone') IS NULL AS ignored \gset
ROLLBACK TO revision;
SELECT is(jobs.read_text(pg_temp.id('job')), 'more', 'a revision that was rolled back is gone');
SELECT lives_ok($$SELECT jobs.update_job(pg_temp.id('job'), '')$$, 'empty content');
SELECT is(jobs.read_bytes(pg_temp.id('job')), ''::bytea, 'is the latest now');
SELECT jobs.cancel_job(pg_temp.id('job')) IS NULL AS ignored \gset
SELECT lives_ok($$SELECT jobs.update_job(pg_temp.id('job'), 'late')$$, 'a job that has ended may get a revision');

-- Text -----------------------------------------------------------------------

CREATE FUNCTION pg_temp.model(content bytea) RETURNS uuid LANGUAGE sql AS $$SELECT jobs.add_model('m', $1)$$;
SELECT is(jobs.read_text(pg_temp.model(content), encoding), 'ä€', encoding)
FROM (VALUES (convert_to('ä€', 'UTF8'), 'utf-8'), (convert_to('ä€', 'UTF8'), 'UTF8'), (convert_to('ä€', 'WIN1252'), 'win1252'), (convert_to('ä€', 'LATIN9'), 'iso-8859-15')) v(content, encoding);
SELECT is(jobs.read_text(pg_temp.model('\xe4'), 'latin1'), 'ä', 'latin1');
SELECT is(jobs.read_text(pg_temp.model(convert_to('ä', 'UTF8'))), 'ä', 'utf-8 is the default');
SELECT throws_ok(format('SELECT jobs.read_text(pg_temp.model(%L))', content), '22021', NULL, 'no UTF-8: ' || content::text) FROM unnest(ARRAY['\xe4', '\xc3', '\x6100', '\x00', '\xeda080']::bytea[]) content;
SELECT throws_ok($$SELECT jobs.read_text(pg_temp.model('\x6181'), 'sjis')$$, '22021', NULL, 'no Shift-JIS');
SELECT is(jobs.read_json(pg_temp.model('[1, {"a": null}]')), '[1, {"a": null}]', 'JSON of a model');
SELECT throws_ok(format('SELECT jobs.read_json(pg_temp.model(%L))', content), '22P02', NULL, 'no JSON: ' || content) FROM unnest(ARRAY['', '{', '{a: 1}', '''x''', 'NaN', '[1,]', '{} x']) content;
SELECT throws_ok($$SELECT jobs.read_json(pg_temp.model('\x22e422'))$$, '22021', NULL, 'JSON that is not UTF-8');
SELECT throws_ok($$SELECT jobs.read_json(pg_temp.model('"\\u0000"'))$$, '22P05', NULL, 'JSON that a text cannot hold');

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
