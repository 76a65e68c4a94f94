-- JSON of the composite types: every type both ways, null rules, times, errors
-- by SQLSTATE and by the list in the detail, and round trips on made-up values.
\set ECHO none
\set QUIET 1
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT * FROM no_plan();

-- The contract, written down a second time: which keys each type has.
CREATE TEMP TABLE contract (type text, required text[], kept text[], optional text[]);
INSERT INTO contract VALUES
	('job', '{id,created,file,comments,archive_status_history,created_by_id,function}', '{model_id}',
		'{assigned_agent_id,agent_id,tenant_id,status_history,assigned_agent_pool_id}'),
	('job_status', '{id,created,job_id,name}', '{created_by_id,message,agent_id}', '{}'),
	('job_status_message', '{message}', '{}', '{}'),
	('new_job_assigned_agent', '{agent_id}', '{}', '{}'),
	('no_job_response', '{message}', '{}', '{}'),
	('no_op_response', '{status,message}', '{}', '{}'),
	('page_job', '{items}', '{}', '{total,page,size,pages}'),
	('file', '{id,created,revisions,archive_status_history}',
		'{resource_id,resource_type,created_by_id,updated,upstream_remote_info}', '{control_tags}'),
	('file_revision', '{id,created,content_token,properties_token,archive_status_history}',
		'{file_id,name,extension,size,description,mime,version_name,external_identifier,display_name,created_by_id,updated}',
		'{stem,suffix,sources,products}'),
	('token', '{id,created,sha,salt}', '{created_by_id}', '{}'),
	('source', '{revision_id}', '{}', '{file_id,resource_type,resource_id,relationship_identifier}'),
	('comment', '{id,created,file,comments,archive_status_history,created_by_id}', '{resource_id}', '{resource_type}'),
	('resource_archive_status', '{id,created,name,resource_id}', '{reason,created_by_id}', '{}'),
	('file_archive_status', '{id,created,name,file_id}', '{reason,created_by_id}', '{}'),
	('file_revision_archive_status', '{id,created,name,file_revision_id}', '{reason,created_by_id}', '{}'),
	('function_version', '{id,name,version}', '{}',
		'{module_name,module_version,tool_name,tool_version,tool_display_name,operating_system}'),
	('access_relationship', '{subject_type,subject_id,relation,resource_type,resource_id}', '{}', '{subject_info}');

-- SQLSTATE and detail of a statement that fails.
CREATE FUNCTION pg_temp.failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text;
	detail text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
	RETURN code || E'\n' || detail;
END $$;

CREATE FUNCTION pg_temp.read_failure(type text, document text) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.failure(format('SELECT jobs.from_json(NULL::jobs.%I, %L)', type, document))
$$;

CREATE FUNCTION pg_temp.keys(document jsonb) RETURNS text[] LANGUAGE sql AS $$
	SELECT coalesce(array_agg(k ORDER BY k COLLATE "C"), '{}') FROM jsonb_object_keys(document) k
$$;

CREATE FUNCTION pg_temp.sorted(keys text[]) RETURNS text[] LANGUAGE sql AS $$
	SELECT coalesce(array_agg(k ORDER BY k COLLATE "C"), '{}') FROM unnest(keys) k
$$;

-- Made-up values, by the types of the catalog. They become rows by
-- jsonb_populate_record, so nothing of the codec is used to make them.

CREATE FUNCTION pg_temp.any_text() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	pool text[] := ARRAY['', ' ', 'plain', '"', '""', '\', '\"', 'a/b', '{', '}', '[1,2]', 'null', 'NULL',
		E'line\nbreak\ttab\r', E'\b\f\u0001\u001f\u007f', 'é', 'ß€', '日本', U&'\+01F600', U&'\+10FFFF',
		U&'\FFFF', U&'\2028', 'x'',y', '(a,"b")', repeat('long', 300)];
BEGIN
	RETURN pool[1 + floor(random() * cardinality(pool))] || pool[1 + floor(random() * cardinality(pool))];
END $$;

CREATE FUNCTION pg_temp.any_json(depth int) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN CASE floor(random() * CASE WHEN depth > 0 THEN 9 ELSE 6 END)
		WHEN 0 THEN 'true'::jsonb
		WHEN 1 THEN to_jsonb(pg_temp.any_text())
		WHEN 2 THEN '123456789012345678901234567890.0123456789012345678900'::jsonb
		WHEN 3 THEN '18446744073709551616'::jsonb
		WHEN 4 THEN '-0.5e-30'::jsonb
		WHEN 5 THEN to_jsonb((random() * 1000)::numeric)
		WHEN 6 THEN '[]'::jsonb
		WHEN 7 THEN jsonb_build_array(pg_temp.any_json(depth - 1), NULL, pg_temp.any_json(depth - 1))
		ELSE jsonb_build_object(pg_temp.any_text(), pg_temp.any_json(depth - 1), 'id', NULL, '', '{}'::jsonb)
	END;
END $$;

CREATE FUNCTION pg_temp.any_label(type text, field text) RETURNS text LANGUAGE sql AS $$
	SELECT labels[1 + floor(random() * cardinality(labels))]
	FROM (VALUES
		('access_relationship', 'subject_type', '{user}'::text[]),
		('access_relationship', 'relation', '{viewer,editor,owner,administrator,executor,upstreamremoteowner}'),
		('access_relationship', 'resource_type', '{job,model,artifact,file}'),
		('source', 'resource_type', '{Job,Model,Artifact,Comment}'),
		('file', 'resource_type', '{Job,Model,Artifact,Comment}'),
		('comment', 'resource_type', '{Job,Model,Artifact}')) l (t, f, labels)
	WHERE t = type AND f = field
$$;

CREATE FUNCTION pg_temp.any_value(owner text, field text, typid oid, depth int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	element oid := (SELECT typelem FROM pg_type WHERE oid = typid AND typcategory = 'A');
	type text := (SELECT typname FROM pg_type WHERE oid = typid);
	result jsonb;
BEGIN
	IF element IS NOT NULL THEN
		SELECT coalesce(jsonb_agg(pg_temp.any_value(owner, field, element, depth - 1)), '[]') INTO result
		FROM generate_series(1, CASE WHEN depth > 0 THEN floor(random() * 3)::int ELSE 0 END);
		RETURN result;
	END IF;
	IF owner = 'comment' AND field = 'comments' THEN
		SELECT coalesce(jsonb_agg(jobs.to_dict(jsonb_populate_record(NULL::jobs.comment,
			pg_temp.any_row('comment', depth - 2)))), '[]') INTO result
		FROM generate_series(1, CASE WHEN depth > 1 THEN floor(random() * 3)::int ELSE 0 END);
		RETURN result;
	END IF;
	CASE type
		WHEN 'uuid' THEN RETURN to_jsonb(gen_random_uuid());
		WHEN 'timestamptz' THEN RETURN to_jsonb(timestamptz '0001-01-01 00:00:00Z' + random() * 9998 * interval '365.24 days');
		WHEN 'text' THEN RETURN to_jsonb(coalesce(pg_temp.any_label(owner, field), pg_temp.any_text()));
		WHEN 'int4' THEN RETURN to_jsonb(((random() * 4294967295) - 2147483648)::bigint);
		WHEN 'int8' THEN RETURN to_jsonb((ARRAY[0, 1, -1, 9007199254740993, 9223372036854775807,
			'-9223372036854775808'::bigint])[1 + floor(random() * 6)]);
		WHEN 'job_status_name' THEN RETURN to_jsonb((SELECT s::text FROM unnest('{CREATED,PENDING,CLAIMED,VALIDATING,RUNNING,UPLOADING,COMPLETED,FAILED,CANCELED,UNKNOWN}'::text[]) s ORDER BY random() LIMIT 1));
		WHEN 'archive_status_name' THEN RETURN to_jsonb((ARRAY['Active', 'Archived'])[1 + floor(random() * 2)]);
		WHEN 'jsonb' THEN RETURN pg_temp.any_json(3);
		ELSE RETURN pg_temp.any_row(type, depth - 1);
	END CASE;
END $$;

CREATE FUNCTION pg_temp.any_row(name text, depth int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	needed text[] := (SELECT required FROM contract WHERE type = name);
	result jsonb;
BEGIN
	SELECT jsonb_object_agg(attname, CASE
		WHEN attname = ANY (needed) OR random() < 0.6 THEN pg_temp.any_value(name, attname, atttypid, depth)
		END) INTO result
	FROM pg_attribute WHERE attrelid = ('jobs.' || name)::regclass AND attnum > 0;
	RETURN result;
END $$;

SELECT setseed(0.38);
CREATE TEMP TABLE made AS
	SELECT type, n, pg_temp.any_row(type, CASE type WHEN 'page_job' THEN 5 ELSE 4 END) AS fields
	FROM contract, generate_series(1, CASE WHEN type IN ('job', 'page_job', 'comment') THEN 30 ELSE 60 END) n;

-- Every type both ways

SELECT set_eq(
	$$SELECT type, unnest(required || kept || optional) FROM contract$$,
	$$SELECT relname::text, attname::text FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
		JOIN contract ON type = relname WHERE relnamespace = 'jobs'::regnamespace AND attnum > 0$$,
	'the contract of this test names all fields of the types');

CREATE FUNCTION pg_temp.trip(type text, fields jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	outcome text;
BEGIN
	EXECUTE format($sql$
		SELECT CASE
			WHEN jobs.to_json(x)::jsonb <> jobs.to_dict(x) THEN 'to_json is not to_dict'
			WHEN jobs.to_json(x) ~ E'\n' THEN 'to_json is not compact'
			WHEN jobs.from_json(x, jobs.to_json(x)) IS DISTINCT FROM x THEN 'from_json(to_json)'
			WHEN jobs.from_dict(x, jobs.to_dict(x)) IS DISTINCT FROM x THEN 'from_dict(to_dict)'
			WHEN jobs.from_json(NULL::jobs.%1$I, jobs.to_str(x)) IS DISTINCT FROM x THEN 'from_json(to_str)'
			ELSE 'same' END
		FROM (SELECT jsonb_populate_record(NULL::jobs.%1$I, $1) AS x) r
		$sql$, type) INTO outcome USING fields;
	RETURN outcome;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS outcome = PG_EXCEPTION_DETAIL;
	RETURN SQLERRM || ': ' || outcome;
END $$;

SELECT is(
	(SELECT string_agg(DISTINCT outcome, E'\n') FROM made m, pg_temp.trip(m.type, fields) outcome WHERE m.type = c.type),
	'same', c.type || ': made-up values come back as they were')
FROM contract c;

CREATE FUNCTION pg_temp.written(type text, fields jsonb, form text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT jobs.%I(jsonb_populate_record(NULL::jobs.%I, $1))::text', form, type) INTO result USING fields;
	RETURN result;
END $$;

-- Null rules

CREATE TEMP TABLE sparse AS
	SELECT c.type, m.fields - c.kept - c.optional AS fields
	FROM contract c JOIN made m ON m.type = c.type AND n = 1;

SELECT is(pg_temp.keys(pg_temp.written(type, fields, 'to_json')::jsonb), pg_temp.sorted(required || kept),
	type || ': to_json leaves out null fields but those that are kept')
FROM sparse JOIN contract USING (type);
SELECT is(pg_temp.keys(pg_temp.written(type, fields, 'to_str')::jsonb), pg_temp.sorted(required || kept || optional),
	type || ': to_str has all fields')
FROM sparse JOIN contract USING (type);
SELECT is_empty(
	$$SELECT type, key FROM sparse JOIN contract USING (type), unnest(kept) key
		WHERE pg_temp.written(type, fields, 'to_json')::jsonb -> key <> 'null'$$,
	'a kept null is null');
SELECT is_empty(
	$$SELECT type, pg_temp.trip(type, fields) FROM sparse WHERE pg_temp.trip(type, fields) <> 'same'$$,
	'values without any nullable field come back');
SELECT is_empty(
	$$SELECT c.type, gone FROM sparse JOIN contract c USING (type), unnest(required) gone
		WHERE pg_temp.read_failure(c.type, (pg_temp.written(c.type, fields, 'to_json')::jsonb - gone)::text)
			IS DISTINCT FROM E'22023\n' || gone || ': required key is missing'$$,
	'each required key is missed by name');
SELECT is_empty(
	$$SELECT c.type, gone FROM sparse JOIN contract c USING (type), unnest(required) gone
		WHERE pg_temp.read_failure(c.type, (pg_temp.written(c.type, fields, 'to_json')::jsonb || jsonb_build_object(gone, NULL))::text)
			IS DISTINCT FROM E'22023\n' || gone || ': must not be null'$$,
	'each required key refuses null');
SELECT is_empty(
	$$SELECT c.type, gone FROM sparse JOIN contract c USING (type), unnest(kept || optional) gone
		WHERE pg_temp.read_failure(c.type, (pg_temp.written(c.type, fields, 'to_json')::jsonb - gone)::text) <> 'no error'
			OR pg_temp.read_failure(c.type, (pg_temp.written(c.type, fields, 'to_json')::jsonb || jsonb_build_object(gone, NULL))::text) <> 'no error'$$,
	'every other key may be missing or null');

SELECT is(jobs.to_json(NULL::jobs.job), NULL, 'NULL has no JSON');
SELECT is(jobs.from_json(NULL::jobs.job, NULL), NULL, 'NULL is read as NULL');
SELECT is(jobs.from_dict(NULL::jobs.job, NULL), NULL, 'NULL is read as NULL from jsonb');
SELECT is(jobs.to_json(ROW('x')::jobs.no_job_response), '{"message":"x"}', 'to_json is compact');
SELECT is(jobs.to_str(ROW('x', NULL)::jobs.no_op_response), E'{\n  "status": "x",\n  "message": null\n}', 'to_str is indented');
SELECT is(jobs.to_json(ROW(NULL, NULL)::jobs.no_op_response), '{}', 'a row of nulls is written, not judged');
SELECT is(jobs.to_dict(ROW('{}', 0, 1, 10, 0)::jobs.page_job),
	'{"items": [], "total": 0, "page": 1, "size": 10, "pages": 0}', 'an empty list stays');
SELECT is(jobs.from_json(ROW('old')::jobs.no_job_response, '{"message": "new"}'), ROW('new')::jobs.no_job_response,
	'of the prototype only the type counts');
SELECT is(jobs.from_json(NULL::jobs.no_job_response, '{"message": "x", "more": [{"message": 1}], "": null}'),
	ROW('x')::jobs.no_job_response, 'unknown keys are ignored');
SELECT is(jobs.to_dict(ROW('user', gen_random_uuid(), 'owner', 'job', gen_random_uuid(), 'null')::jobs.access_relationship) -> 'subject_info',
	'null', 'a JSON null in jsonb is written');
SELECT is((jobs.from_dict(NULL::jobs.access_relationship, jobs.to_dict(
	ROW('user', gen_random_uuid(), 'owner', 'job', gen_random_uuid(), 'null')::jobs.access_relationship))).subject_info,
	NULL, 'and read as NULL');

-- A whole document of the source model

CREATE TEMP TABLE source_model AS SELECT $json${
 "id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a1", "created": "2023-12-18T20:15:03.888123+00:00",
 "file": {"id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a2", "created": "2023-12-18T20:15:03+00:00",
  "revisions": [{"id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a3", "created": "2023-12-18T20:15:03+00:00",
   "file_id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a2",
   "content_token": {"id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a4", "created": "2023-12-18T20:15:03+00:00", "sha": "ab", "salt": "cd", "created_by_id": null},
   "properties_token": {"id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a5", "created": "2023-12-18T20:15:03+00:00", "sha": "ef", "salt": "01", "created_by_id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2ff"},
   "archive_status_history": [{"id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a6", "created": "2023-12-18T20:15:03+00:00", "name": "Active", "reason": "Initial", "created_by_id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2ff", "file_revision_id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a3"}],
   "name": "input.json", "stem": "input", "suffix": ".json", "extension": "json", "size": 9007199254740993,
   "description": null, "mime": "application/json", "version_name": null, "external_identifier": null, "display_name": null,
   "sources": [{"revision_id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a7", "resource_type": "Model"}], "products": [],
   "created_by_id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2ff", "updated": null}],
  "archive_status_history": [], "resource_id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a1", "resource_type": "Job",
  "created_by_id": null, "control_tags": [{"name": "x", "weight": 1.50}], "updated": "2023-12-18T20:15:04.000001+00:00", "upstream_remote_info": null},
 "comments": [], "archive_status_history": [],
 "created_by_id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2ff",
 "function": {"id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a8", "name": "@scope:extract", "version": "1.0.0", "tool_name": "tool"},
 "agent_id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a9", "model_id": null,
 "status_history": [{"id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2aa", "created": "2023-12-18T20:15:03.888123+00:00", "job_id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a1", "name": "Created", "created_by_id": null, "message": null, "agent_id": null}]
}$json$ AS document;

SELECT is(jobs.to_dict(jobs.from_json(NULL::jobs.job, document)), document::jsonb,
	'a document of the source model comes back with the same keys and values') FROM source_model;
SELECT is(jobs.to_dict(jobs.from_dict(NULL::jobs.job, document::jsonb)), document::jsonb,
	'from jsonb too') FROM source_model;
SELECT is(((jobs.from_json(NULL::jobs.job, document)).file).revisions[1].size, 9007199254740993,
	'a size beyond 53 bits keeps its digits') FROM source_model;
SELECT ok(strpos(jobs.to_json(jobs.from_json(NULL::jobs.job, document)), '"weight":1.50') > 0,
	'numbers of a jsonb field keep their digits') FROM source_model;

-- Names

SELECT is(
	(SELECT array_agg(jobs.to_dict(ROW(NULL, NULL, NULL, s, NULL, NULL, NULL)::jobs.job_status) ->> 'name' ORDER BY s)
	 FROM (SELECT unnest('{CREATED,PENDING,CLAIMED,VALIDATING,RUNNING,UPLOADING,COMPLETED,FAILED,CANCELED,UNKNOWN}'::text[])::jobs.job_status_name) x (s)),
	'{Created,Pending,Claimed,Validating,Running,Uploading,Completed,Failed,Canceled,Unknown}', 'status names in JSON');
SELECT is((jobs.from_dict(NULL::jobs.job_status, fields || jsonb_build_object('name', name))).name::text, upper(name),
	'status name ' || name || ' is read')
FROM sparse, unnest('{running,RUNNING,Running,rUnNiNg,canceled}'::text[]) name WHERE type = 'job_status';
SELECT is((jobs.from_dict(NULL::jobs.file_archive_status, fields || jsonb_build_object('name', name))).name::text, initcap(name),
	'archive status name ' || name || ' is read')
FROM sparse, unnest('{active,ARCHIVED,Active}'::text[]) name WHERE type = 'file_archive_status';
SELECT is(split_part(pg_temp.read_failure('job_status', (fields || jsonb_build_object('name', name))::text), E'\n', 2),
	'name: must be one of Created, Pending, Claimed, Validating, Running, Uploading, Completed, Failed, Canceled, Unknown',
	format('status name %L is refused', name))
FROM sparse, unnest(ARRAY['', ' Running', 'Running ', 'Cancelled', 'Active', 'Runnin', 'Running2']) name WHERE type = 'job_status';

-- Times

CREATE TEMP TABLE times (input jsonb, output text);
INSERT INTO times VALUES
	('"2024-02-29T12:34:56+00:00"', '2024-02-29T12:34:56+00:00'),
	('"2024-02-29T12:34:56Z"', '2024-02-29T12:34:56+00:00'),
	('"2024-02-29t12:34:56z"', '2024-02-29T12:34:56+00:00'),
	('"2024-02-29 12:34:56"', '2024-02-29T12:34:56+00:00'),
	('"2024-02-29T12:34"', '2024-02-29T12:34:00+00:00'),
	('"20240229T123456Z"', '2024-02-29T12:34:56+00:00'),
	('"20240229T1234"', '2024-02-29T12:34:00+00:00'),
	('"2024-02-29T12:34:56.1"', '2024-02-29T12:34:56.100000+00:00'),
	('"2024-02-29T12:34:56,25Z"', '2024-02-29T12:34:56.250000+00:00'),
	('"2024-02-29T12:34:56.123456"', '2024-02-29T12:34:56.123456+00:00'),
	('"2024-02-29T12:34:56.1234564999"', '2024-02-29T12:34:56.123456+00:00'),
	('"2024-02-29T12:34:56.1234565"', '2024-02-29T12:34:56.123457+00:00'),
	('"2024-02-29T23:59:59.9999999"', '2024-03-01T00:00:00+00:00'),
	('"2024-02-29T12:34:56.000000"', '2024-02-29T12:34:56+00:00'),
	('"2024-02-29T12:34:56+05:30"', '2024-02-29T07:04:56+00:00'),
	('"2024-02-29T12:34:56-0800"', '2024-02-29T20:34:56+00:00'),
	('"2024-02-29T12:34:56+02"', '2024-02-29T10:34:56+00:00'),
	('"2024-12-31T23:00:00-01:00"', '2025-01-01T00:00:00+00:00'),
	('"2016-12-31T23:59:60Z"', '2017-01-01T00:00:00+00:00'),
	('"2024-02-28T24:00:00Z"', '2024-02-29T00:00:00+00:00'),
	('"0001-01-01T00:00:00Z"', '0001-01-01T00:00:00+00:00'),
	('"9999-12-31T23:59:59.999999Z"', '9999-12-31T23:59:59.999999+00:00'),
	('"1900-03-01T00:00:00Z"', '1900-03-01T00:00:00+00:00'),
	('0', '1970-01-01T00:00:00+00:00'),
	('1709210096', '2024-02-29T12:34:56+00:00'),
	('1709210096.5', '2024-02-29T12:34:56.500000+00:00'),
	('1709210096.0000005', '2024-02-29T12:34:56.000001+00:00'),
	('1.709210096e9', '2024-02-29T12:34:56+00:00'),
	('-0.25', '1969-12-31T23:59:59.750000+00:00'),
	('-62135596800', '0001-01-01T00:00:00+00:00'),
	('253402300799.999999', '9999-12-31T23:59:59.999999+00:00');
INSERT INTO times SELECT to_jsonb(input), NULL FROM unnest(ARRAY[
	'', ' ', 'now', 'today', 'infinity', '-infinity', 'epoch', '1709210096', '2024-02-29', '2024-02-29T', '2024-02-29T12',
	'2024-02-29T12:34:56 ', ' 2024-02-29T12:34:56', '2023-02-29T12:34:56', '1900-02-29T00:00:00', '2024-04-31T00:00:00',
	'2024-00-01T00:00:00', '2024-13-01T00:00:00', '2024-01-00T00:00:00', '2024-01-32T00:00:00', '2024-01-01T25:00:00',
	'2024-01-01T24:00:01', '2024-01-01T12:60:00', '2024-01-01T12:00:61', '2024-01-01T12:00:00.', '2024-01-01T12:00:00.x',
	'2024-01-01T12:00:00+24:00', '2024-01-01T12:00:00+01:60', '2024-01-01T12:00:00+1', '2024-01-01T12:00:00+01:',
	'2024-01-01T12:00:00+01:00:00', '2024-01-01T12:00:00 UTC', '2024-01-01T12:00:00ZZ', '2024-01-01 12:00:00 BC', '24-01-01T12:00:00',
	'12024-01-01T12:00:00', '+2024-01-01T12:00:00', '-2024-01-01T12:00:00', '0000-01-01T00:00:00', '2024-0101T12:00:00',
	'20240101T12:00:00', '2024-01-01T120000', '2024/01/01T12:00:00', '2024-W01-1T12:00:00', '2024-001T12:00:00', '01/02/2024 12:00',
	'0001-01-01T00:00:00+00:01', '9999-12-31T23:59:59-00:01', '9999-12-31T23:59:59.9999999', '２024-01-01T12:00:00']) input;
INSERT INTO times VALUES ('253402300800', NULL), ('-62135596800.000001', NULL), ('1e30', NULL), ('1e300', NULL), ('-9223372036854775809', NULL),
	('true', NULL), ('[]', NULL), ('{}', NULL);

CREATE FUNCTION pg_temp.time_through(input jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	fields jsonb := (SELECT s.fields FROM sparse s WHERE type = 'token');
BEGIN
	RETURN jobs.to_dict(jobs.from_dict(NULL::jobs.token, fields || jsonb_build_object('created', input))) ->> 'created';
EXCEPTION WHEN invalid_parameter_value THEN
	RETURN NULL;
END $$;

SELECT is(pg_temp.time_through(input), output, format('time %s: %s', input, coalesce(output, 'refused'))) FROM times;

SELECT is_empty(
	$$SELECT input, output FROM times WHERE output IS NOT NULL AND jsonb_typeof(input) = 'string'
		AND input::text !~ ',|\.\d{7}' AND (input ->> 0)::timestamptz <> output::timestamptz$$,
	'the server reads the same times the same way') FROM set_config('timezone', 'UTC', true);
SELECT is_empty(
	$$SELECT t FROM (SELECT timestamptz '0001-01-01 00:00:00Z' + random() * 9998 * interval '365.24 days' FROM generate_series(1, 2000)) x (t)
		WHERE (jobs.to_dict(ROW(NULL, t, NULL, NULL, NULL)::jobs.token) ->> 'created')::timestamptz <> t$$,
	'times are written as the server reads them');
SELECT is_empty(
	$$SELECT zone, t FROM (SELECT timestamptz '1800-01-01 00:00:00Z' + random() * 500 * interval '365.24 days' FROM generate_series(1, 300)) x (t),
		unnest('{UTC,Asia/Kolkata,America/St_Johns,Pacific/Apia}'::text[]) zone, set_config('timezone', zone, true) z
		WHERE t >= '1950-01-01' AND pg_temp.time_through(to_jsonb(t))::timestamptz IS DISTINCT FROM t$$,
	'what the server writes in any zone is read');
SELECT set_config('timezone', 'UTC', true) \gset

SELECT throws_ok(format('SELECT jobs.%s(ROW(NULL, %L, NULL, NULL, NULL)::jobs.token)', form, t), '22023', NULL,
	format('%s refuses the time %s', form, t))
FROM unnest('{to_json,to_dict,to_str}'::text[]) form,
	unnest('{infinity,-infinity,0001-12-31 23:59:59+00 BC,4713-01-01 00:00:00+00 BC,10000-01-01 00:00:00+00,294276-12-31 00:00:00+00}'::text[]) t;

-- Text that is not JSON

CREATE FUNCTION pg_temp.where_bad(document text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM jobs.from_json(NULL::jobs.no_job_response, document);
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || substring(SQLERRM FROM ' at .*');
END $$;

SELECT is(pg_temp.where_bad(document), '22P02 at line ' || place, format('refused at %s: %s', place, left(document, 40)))
FROM (VALUES
	('', '1, column 1'), ('   ', '1, column 4'), ('{', '1, column 2'), ('{"message": "x"', '1, column 16'),
	('{''message'': 1}', '1, column 2'), ('{"message": ''x''}', '1, column 13'), ('{"message": NaN}', '1, column 13'),
	('{"message": Infinity}', '1, column 13'), ('{"message": -Infinity}', '1, column 13'), ('{"message": 1.}', '1, column 13'),
	('{"message": .5}', '1, column 13'), ('{"message": 01}', '1, column 13'), ('{"message": +1}', '1, column 13'),
	('{"message": 0x1}', '1, column 13'), ('{"message": True}', '1, column 13'), ('{"message": None}', '1, column 13'),
	('{"message": "x",}', '1, column 17'), ('{"m": [1,]}', '1, column 10'), ('{"message" "x"}', '1, column 12'),
	('{message: "x"}', '1, column 2'), ('{"message": "x"} x', '1, column 18'), ('{"message": "x"}{}', '1, column 17'),
	('{"message": "x" /* c */}', '1, column 17'), ('// c', '1, column 1'),
	(E'{"message": "a\tb"}', '1, column 13'), (E'{"message": "a\nb"}', '1, column 13'), (E'{"message": "a\u0001b"}', '1, column 13'),
	('{"message": "\u12"}', '1, column 13'), ('{"message": "\u0000"}', '1, column 13'),
	('{"message": "\ud800"}', '1, column 13'), ('{"message": "\udc00\ud800"}', '1, column 13'), ('{"message": "\ud800x"}', '1, column 13'),
	('{"x\u0000": 1}', '1, column 2'), (E'{\n"message":\n  tru}', '3, column 3'), (E'{"é": "日本",\n"é": ''x''}', '2, column 6'),
	(U&'\FEFF{"message": "x"}', '1, column 1'), (U&'{"message":\00A0"x"}', '1, column 12'),
	('{"message": "' || repeat('x', 1000), '1, column 13')
) bad (document, place);
SELECT ok(length(split_part(pg_temp.read_failure('token', '{"sha": "' || repeat('secret', 1000)), E'\n', 2)) < 100,
	'an unfinished string is not repeated in the message');
SELECT throws_ok($$SELECT jobs.from_json(NULL::jobs.no_job_response, '{"message": "\x"}')$$, '22P02', NULL, 'an unknown escape');
SELECT is(jobs.from_json(NULL::jobs.no_job_response, document), ROW(message)::jobs.no_job_response, 'accepted: ' || document)
FROM (VALUES ('{"message":"\ud83d\ude00"}', U&'\+01F600'), (E' \t\r\n{ "message" : "" }\n', ''), ('{"\u006dessage": "x\u002fy\/"}', 'x/y/')) good (document, message);

-- Bad fields

SELECT is(pg_temp.read_failure(type, document), E'22023\n' || problem, format('%s %s', type, document))
FROM (VALUES
	('no_job_response', '[]', 'document: must be an object, not an array'),
	('no_job_response', 'null', 'document: must be an object, not null'),
	('no_job_response', '1', 'document: must be an object, not a number'),
	('no_job_response', '"{}"', 'document: must be an object, not a string'),
	('no_job_response', 'true', 'document: must be an object, not a boolean'),
	('no_job_response', '{"message": 1}', 'message: must be a string, not a number'),
	('no_job_response', '{"message": true}', 'message: must be a string, not a boolean'),
	('no_job_response', '{"message": ["x"]}', 'message: must be a string, not an array'),
	('no_job_response', '{"message": {}}', 'message: must be a string, not an object'),
	('no_job_response', '{"Message": "x"}', 'message: required key is missing'),
	('no_op_response', '{}', E'status: required key is missing\nmessage: required key is missing'),
	('new_job_assigned_agent', '{"agent_id": 1}', 'agent_id: must be a UUID, not a number'),
	('page_job', '{"items": {}}', 'items: must be an array, not an object'),
	('page_job', '{"items": [], "total": "1"}', 'total: must be an integer, not a string'),
	('page_job', '{"items": [], "total": true}', 'total: must be an integer, not a boolean'),
	('page_job', '{"items": [], "total": 1.0}', 'total: must be an integer of 64 bits'),
	('page_job', '{"items": [], "total": 0.5}', 'total: must be an integer of 64 bits'),
	('page_job', '{"items": [], "total": 9223372036854775808}', 'total: must be an integer of 64 bits'),
	('page_job', '{"items": [], "total": 1e30}', 'total: must be an integer of 64 bits'),
	('page_job', '{"items": [], "page": 2147483648}', 'page: must be an integer of 32 bits'),
	('page_job', '{"items": [], "page": -2147483649}', 'page: must be an integer of 32 bits'),
	('page_job', '{"items": [null, 1]}', E'items[0]: must be an object, not null\nitems[1]: must be an object, not a number'),
	('source', '{"revision_id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a1", "resource_type": "job"}',
		'resource_type: must be one of Model, Artifact, Job, Comment')
) bad (type, document, problem);
SELECT is(jobs.from_json(NULL::jobs.page_job, '{"items": [], "total": -9223372036854775808, "page": -2147483648, "size": 1e3, "pages": -0}'),
	ROW('{}', '-9223372036854775808'::bigint, '-2147483648'::int, 1000, 0)::jobs.page_job,
	'integers are numbers that jsonb writes without fraction');

SELECT is(pg_temp.read_failure('new_job_assigned_agent', jsonb_build_object('agent_id', id)::text),
	E'22023\nagent_id: must be a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx', format('id %L is refused', id))
FROM unnest(ARRAY['', 'x', '018c7dbda5d07ed78b5b0a5d2a5ad2a1', '{018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a1}', '018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a',
	'018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a12', '018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2ag', '018c7dbd-a5d07-ed7-8b5b-0a5d2a5ad2a1',
	' 18c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a1', '018c-7dbd-a5d0-7ed7-8b5b-0a5d-2a5a-d2a1']) id;
SELECT is((jobs.from_json(NULL::jobs.new_job_assigned_agent, '{"agent_id": "018C7DBD-A5D0-7ED7-8B5B-0A5D2A5AD2A1"}')).agent_id,
	'018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a1', 'an id is read in upper case');

SELECT is(pg_temp.read_failure('job', jsonb_set(jsonb_set(jsonb_set(jsonb_set(document::jsonb - 'id',
		'{status_history,0,name}', '"Flying"'), '{file,revisions,0,content_token}', '{"id": 5}'),
		'{file,revisions,0,sources}', '[{"revision_id": "x"}, {}, 7]'), '{function}', 'null')::text),
E'22023
id: required key is missing
file.revisions[0].content_token.id: must be a UUID, not a number
file.revisions[0].content_token.created: required key is missing
file.revisions[0].content_token.sha: required key is missing
file.revisions[0].content_token.salt: required key is missing
file.revisions[0].sources[0].revision_id: must be a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx
file.revisions[0].sources[1].revision_id: required key is missing
file.revisions[0].sources[2]: must be an object, not a number
function: must not be null
status_history[0].name: must be one of Created, Pending, Claimed, Validating, Running, Uploading, Completed, Failed, Canceled, Unknown',
	'one error lists every bad field with its path') FROM source_model;

SELECT is(lines[102:], '{and 900 more}', 'at most 100 lines, and how many more there are')
FROM string_to_array(pg_temp.read_failure('page_job', '{"items": [' || repeat('1,', 999) || '1]}'), E'\n') lines;

SELECT ok(pg_temp.read_failure('token', '{"id": "tell-nobody", "salt": 5, "sha": "tell-nobody"}') !~ 'tell-nobody',
	'no value of the document is in the message');

-- Replies are comments in jsonb

SELECT is(pg_temp.read_failure('comment', jsonb_set(c, '{comments}', replies)::text), E'22023\n' || problem, 'replies: ' || problem)
FROM (SELECT jobs.to_dict(jsonb_populate_record(NULL::jobs.comment, fields)) FROM sparse WHERE type = 'comment') x (c),
	LATERAL (VALUES
		('{}'::jsonb, 'comments: must be an array, not an object'),
		('[1]', 'comments[0]: must be an object, not a number'),
		(jsonb_build_array(c, c - 'id'), 'comments[1].id: required key is missing'),
		(jsonb_build_array(jsonb_set(c, '{comments}', jsonb_build_array(c - 'created'))), 'comments[0].comments[0].created: required key is missing')
	) bad (replies, problem);

-- Keys given twice

SELECT is(pg_temp.read_failure(type, document), E'22023\n' || problem, 'twice: ' || document)
FROM (VALUES
	('no_job_response', '{"message": "x", "message": "x"}', 'message: key is given more than once'),
	('no_job_response', '{"message": "x", "\u006dessage": "y", "message": "z"}', 'message: key is given more than once'),
	('no_job_response', '{"message": "x", "a": [1, {"b": {"c": 1, "d": 2, "c": 3}}]}', 'a[1].b.c: key is given more than once'),
	('no_job_response', '{"a": 1, "b": 2, "b": 3, "a": 4, "message": 5}',
		E'a: key is given more than once\nb: key is given more than once\nmessage: must be a string, not a number'),
	('no_job_response', '{"message": "x", "": 1, "": 2}', ': key is given more than once'),
	('response_get_job_for_agent', '{"message": "x", "message": "y"}', 'message: key is given more than once'),
	('no_job_response', '{"' || repeat('k', 100) || '": 1, "message": "x", "' || repeat('k', 100) || '": 2}',
		repeat('k', 64) || '...: key is given more than once')
) bad (type, document, problem);
SELECT is(jobs.from_json(NULL::jobs.no_job_response, '{"message": "x", "Message": 1, "a": {"message": 1}, "b": [{"c": 1}, {"c": 1}]}'),
	ROW('x')::jobs.no_job_response, 'the same key in other objects is not twice');

-- Limits

SET LOCAL jobs.json_max_depth = 5;
SELECT lives_ok($$SELECT jobs.from_json(NULL::jobs.no_job_response, '{"message": "x", "a": [[[[]]], {}, [[{}]]]}')$$, 'five levels are five');
SELECT throws_ok($$SELECT jobs.from_json(NULL::jobs.no_job_response, '{"message": "x", "a": [[[[[]]]]]}')$$, '54000', NULL, 'six are too many');
SELECT throws_ok($$SELECT jobs.to_json(ROW('user', NULL, 'owner', 'job', NULL, '[[[[[[]]]]]]')::jobs.access_relationship)$$, '54000', NULL,
	'and are not written');
RESET jobs.json_max_depth;
SELECT throws_ok(format('SELECT jobs.from_json(NULL::jobs.no_job_response, %L)', repeat(opening, 100000)), '54000', NULL, 'deep nesting is found before it hurts: ' || opening)
FROM unnest('{[,"{\"a\":"}'::text[]) opening;
SET LOCAL jobs.json_max_size = '1kB';
SELECT lives_ok(format('SELECT jobs.from_json(NULL::jobs.no_job_response, %L)', rpad('{"message": "x"}', 1024)), 'a document of the greatest size');
SELECT throws_ok(format('SELECT jobs.from_json(NULL::jobs.no_job_response, %L)', rpad('{"message": "x"}', 1025)), '54000', NULL, 'one byte more');
RESET jobs.json_max_size;

-- One of two types

SELECT is(jobs.from_json(NULL::jobs.response_get_job_for_agent, '{"message": "none", "id": 1}'),
	ROW(NULL, ROW('none'), '{"message": "none"}', '{Job,NoJobResponse}')::jobs.response_get_job_for_agent, 'a NoJobResponse');
SELECT is(jobs.from_json(NULL::jobs.response_get_job_for_agent, document),
	ROW(jobs.from_json(NULL::jobs.job, document), NULL, document::jsonb, '{Job,NoJobResponse}')::jobs.response_get_job_for_agent, 'a Job') FROM source_model;
SELECT ok((r.anyof_schema_1_validator).id IS NOT NULL AND r.anyof_schema_2_validator IS NULL, 'a document that is both is a Job and only that')
FROM source_model, jobs.from_dict(NULL::jobs.response_get_job_for_agent, document::jsonb || '{"message": "none"}') r;
SELECT unnest(ARRAY[
	is(jobs.to_dict(r), document::jsonb, 'its JSON is that of the actual instance'),
	is(jobs.to_json(r)::jsonb, document::jsonb, 'as text too'),
	is(jobs.from_json(r, jobs.to_json(r)), r, 'and comes back'),
	is(pg_temp.keys(jobs.to_str(r)::jsonb), '{actual_instance,any_of_schemas,anyof_schema_1_validator,anyof_schema_2_validator}', 'to_str has all fields'),
	is(jobs.to_str(r)::jsonb -> 'actual_instance', document::jsonb, 'with the actual instance')])
FROM source_model, jobs.from_dict(NULL::jobs.response_get_job_for_agent, document::jsonb) r;
SELECT is(jobs.to_json(ROW(NULL, NULL, NULL, '{Job,NoJobResponse}')::jobs.response_get_job_for_agent), 'null', 'none is null');
SELECT is(jobs.actual_instance_must_validate_anyof(document::jsonb), true, 'a Job validates') FROM source_model;
SELECT is(jobs.actual_instance_must_validate_anyof('{"message": ""}'), true, 'a NoJobResponse validates');
SELECT is(jobs.actual_instance_must_validate_anyof(NULL), NULL, 'NULL is not judged');
SELECT is(pg_temp.failure(statement), E'22023
Job: id: required key is missing
Job: created: required key is missing
Job: file: must be an object, not a number
Job: comments: required key is missing
Job: archive_status_history: required key is missing
Job: created_by_id: required key is missing
Job: function: required key is missing
NoJobResponse: message: must be a string, not a number', 'neither: ' || statement)
FROM unnest(ARRAY[
	$$SELECT jobs.actual_instance_must_validate_anyof('{"message": 1, "file": 2}')$$,
	$$SELECT jobs.from_dict(NULL::jobs.response_get_job_for_agent, '{"message": 1, "file": 2}')$$,
	$$SELECT jobs.from_json(NULL::jobs.response_get_job_for_agent, '{"message": 1, "file": 2}')$$]) statement;
SELECT is(pg_temp.failure($$SELECT jobs.actual_instance_must_validate_anyof('null')$$),
	E'22023\nJob: document: must be an object, not null\nNoJobResponse: document: must be an object, not null', 'JSON null is neither');

-- Documents with something wrong in them are refused in order, never otherwise

CREATE FUNCTION pg_temp.damaged(document jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	place text[] := '{}';
	part jsonb := document;
	key text;
BEGIN
	LOOP
		SELECT k INTO key FROM (
			SELECT jsonb_object_keys(part) AS k WHERE jsonb_typeof(part) = 'object'
			UNION ALL
			SELECT (i - 1)::text FROM generate_series(1, CASE jsonb_typeof(part) WHEN 'array' THEN jsonb_array_length(part) ELSE 0 END) i
		) all_keys ORDER BY random() LIMIT 1;
		EXIT WHEN key IS NULL;
		place := place || key;
		part := part -> CASE WHEN jsonb_typeof(part) = 'object' THEN key END;
		part := coalesce(part, document #> place);
		EXIT WHEN random() < 0.3;
	END LOOP;
	IF random() < 0.3 THEN
		RETURN document #- place;
	END IF;
	RETURN jsonb_set(document, place, pg_temp.any_json(1));
END $$;

CREATE FUNCTION pg_temp.fate(type text, document jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	again jsonb;
BEGIN
	EXECUTE format('SELECT jobs.to_dict(jobs.from_dict(NULL::jobs.%1$I, $1))', type) INTO again USING document;
	EXECUTE format('SELECT jobs.to_dict(jobs.from_json(NULL::jobs.%1$I, $1))', type) INTO document USING document::text;
	RETURN CASE WHEN again = document THEN 'read' ELSE 'read otherwise from text' END;
EXCEPTION WHEN invalid_parameter_value THEN
	RETURN 'refused';
END $$;

SELECT set_eq(
	$$SELECT pg_temp.fate(m.type, pg_temp.damaged(pg_temp.damaged(pg_temp.written(m.type, fields, 'to_dict')::jsonb)))
		FROM made m, generate_series(1, 3)$$,
	ARRAY['read', 'refused'], 'a damaged document is read or refused');

-- What is asked of the catalog

SELECT throws_ok('SELECT jobs.from_json(1, ''{}'')', '42804', NULL, 'a type that has no JSON form');
SELECT throws_ok('SELECT jobs.from_json(NULL::text, ''{}'')', '42804', NULL, 'text has none');
SELECT throws_ok('SELECT jobs.from_json(NULL::pg_catalog.pg_class, ''{}'')', '42804', NULL, 'the row of a table has none');
CREATE TYPE pg_temp.job AS (id uuid);
SELECT throws_ok('SELECT jobs.from_json(NULL::pg_temp.job, ''{}'')', '42804', NULL, 'a type of the same name elsewhere has none');
SELECT throws_ok('SELECT jobs.to_json(ROW(NULL, NULL, ''{{a},{b}}'', NULL)::jobs.response_get_job_for_agent)', '22P02', NULL, 'jsonb is judged by the server');
SELECT throws_ok('SELECT jobs.to_str(ROW(NULL, NULL, NULL, ''{{a},{b}}'')::jobs.response_get_job_for_agent)', '22023', NULL, 'an array of two dimensions is refused');

SELECT is_empty(
	$$SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'jobs'::regnamespace AND prolang = (SELECT oid FROM pg_language WHERE lanname = 'c')
		AND proname IN ('to_json', 'to_dict', 'to_str', 'from_json', 'from_dict', 'actual_instance_must_validate_anyof')
		AND (provolatile <> 's' OR proparallel <> 's' OR obj_description(p.oid, 'pg_proc') IS NULL
			OR proisstrict = (proname ~ '^from'))$$,
	'the functions are stable, parallel safe and described');
SELECT is((SELECT count(*) FROM pg_proc WHERE pronamespace = 'jobs'::regnamespace AND proname IN ('to_json', 'to_dict', 'to_str')), 54::bigint,
	'three forms of eighteen types');

-- Another extension in the same session. The types have new ids then.
CREATE FUNCTION pg_temp.again() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE $sql$SELECT jobs.to_json(jobs.from_json(NULL::jobs.file_archive_status, '{"id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a1",
		"created": 0, "name": "archived", "file_id": "018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a2"}'))$sql$ INTO result;
	RETURN result;
END $$;
SELECT pg_temp.again() AS before \gset
DO $$ BEGIN
	EXECUTE 'DROP EXTENSION jobs CASCADE';
	EXECUTE 'CREATE EXTENSION jobs';
END $$;
SELECT is(pg_temp.again(), :'before', 'works after DROP and CREATE EXTENSION');

SELECT * FROM finish();
ROLLBACK;
