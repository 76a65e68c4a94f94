-- 34_content: models, files, revisions and their bytes.

CREATE FUNCTION jobs.add_model(
	name text,
	content bytea,
	mime text DEFAULT NULL,
	description text DEFAULT NULL,
	display_name text DEFAULT NULL,
	version_name text DEFAULT NULL,
	external_identifier text DEFAULT NULL
) RETURNS uuid
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_add_model' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.add_model(text, bytea, text, text, text, text, text) IS 'new model with one revision of its file. Errors: 22004, 22001';

CREATE FUNCTION jobs.update_job(
	job_id uuid,
	content bytea,
	name text DEFAULT NULL,
	mime text DEFAULT NULL,
	description text DEFAULT NULL,
	display_name text DEFAULT NULL,
	version_name text DEFAULT NULL,
	external_identifier text DEFAULT NULL
) RETURNS jobs.job
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_update_job' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.update_job(uuid, bytea, text, text, text, text, text, text) IS 'adds a revision to the file of a job, such as its result; a property that is NULL is taken from the revision before. For editors, and for the user whose agent holds the job. Errors: 22004, 22001, 42501, JB404';

CREATE FUNCTION jobs.read_bytes(job_id uuid, "offset" bigint DEFAULT 0, length bigint DEFAULT NULL) RETURNS bytea
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_read_bytes' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.read_bytes(uuid, bigint, bigint) IS 'bytes of the latest revision of the file of a job, model or artifact: all, or length bytes (NULL: the rest) from "offset", counted from 0. Reading past the end answers what is there. Errors: 22004, 22023 (negative), 54000 (more than 1 GB at once), JB404';

CREATE FUNCTION jobs.read_text(job_id uuid, encoding text DEFAULT 'utf-8') RETURNS text
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_read_text' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.read_text(uuid, text) IS 'latest revision as text. Errors: 22004, 22023 (unknown encoding), 22021 (bytes that the encoding does not know), JB404';

CREATE FUNCTION jobs.read_json(job_id uuid) RETURNS jsonb
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_read_json' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.read_json(uuid) IS 'latest revision, which must be JSON in UTF-8. Errors: 22004, 22P02 (not JSON), JB404';


-- Parts of a record row, see 20_tables: the row's id ends in the digit 0, its
-- parts have the same id with another last digit.
--   1 file            2 revision 1 of a job     3 content token of a revision
--   4 properties token of a revision            5 first status entry of a job
--   6 first archive entry of a resource         7 of its file    8 of a revision
-- A revision that is a row of its own has parts 3, 4 and 8 of its own id; those
-- of revision 1 of a job are parts of the job.

CREATE FUNCTION jobs_store.part_id(id uuid, part integer) RETURNS uuid
	AS 'MODULE_PATHNAME', 'jobs_part_id' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jobs_store.part_id(uuid, integer) IS 'id of a part (1 to 15) of the row with this id; part 0 is the row';

CREATE FUNCTION jobs_store.part_of(id uuid) RETURNS integer
	AS 'MODULE_PATHNAME', 'jobs_part_of' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jobs_store.part_of(uuid) IS 'which part of a row an id names; 0 for the row itself';

CREATE VIEW jobs_store.revision AS
	SELECT j.tenant, j.id AS resource_id, 'Job'::text AS resource_type, 1 AS revision,
		jobs_store.part_id(j.id, 2) AS id, j.created, j.created_by_id, j.updated,
		pg_catalog.split_part(f.name, ':', 2) || '.json' AS name, 'application/json'::text AS mime,
		pg_catalog.octet_length(b.bytes)::bigint AS size,
		j.description, j.display_name, j.version_name, j.external_identifier,
		s.salt, pg_catalog.encode(pg_catalog.sha384(b.bytes || pg_catalog.convert_to(s.salt, 'UTF8')), 'hex') AS sha
	FROM jobs_store.job j
		JOIN jobs_store.function_version f ON f.tenant = j.tenant AND f.id = j.function_id
		CROSS JOIN LATERAL (SELECT pg_catalog.convert_to(j.parameters::text, 'UTF8') AS bytes) b
		CROSS JOIN LATERAL (SELECT pg_catalog.replace(jobs_store.part_id(j.id, 1)::text, '-', '') AS salt) s
	UNION ALL
	SELECT r.tenant, r.resource_id, r.resource_type, r.revision,
		r.id, r.created, r.created_by_id, r.updated,
		r.name, r.mime, r.size,
		r.description, r.display_name, r.version_name, r.external_identifier,
		pg_catalog.replace(jobs_store.part_id(r.resource_id, 1)::text, '-', ''), r.sha
	FROM jobs_store.file_revision r;
COMMENT ON VIEW jobs_store.revision IS 'all revisions of all files, stored or derived. The salt of a file is its id in 32 hexadecimal digits, so it is the same for all its revisions';

CREATE VIEW jobs_store.full_revision AS
	SELECT r.tenant, r.resource_id, r.revision, ROW(
		r.id, r.created, jobs_store.part_id(r.resource_id, 1),
		ROW(jobs_store.part_id(r.id, 3), r.created, r.sha, r.salt, r.created_by_id)::jobs.token,
		ROW(jobs_store.part_id(r.id, 4), coalesce(r.updated, r.created), pg_catalog.encode(pg_catalog.sha384(pg_catalog.convert_to(pg_catalog.jsonb_build_object(
				'name', r.name, 'mime', r.mime, 'description', r.description, 'display_name', r.display_name,
				'version_name', r.version_name, 'external_identifier', r.external_identifier)::text || r.salt, 'UTF8')), 'hex'),
			r.salt, r.created_by_id)::jobs.token,
		ARRAY[ROW(jobs_store.part_id(r.id, 8), r.created, 'Active', 'Initial', r.created_by_id, r.id)::jobs.file_revision_archive_status]
			|| (SELECT pg_catalog.array_agg(ROW(a.id, a.created, a.name, a.reason, a.created_by_id, a.object_id)::jobs.file_revision_archive_status ORDER BY a.ordinal)
				FROM jobs_store.archive_status a WHERE a.tenant = r.tenant AND a.object_id = r.id),
		r.name,
		pg_catalog.regexp_replace(r.name, '(.)\.[^.]+$', '\1'),
		coalesce(pg_catalog.substring(r.name, '.(\.[^.]+)$'), ''),
		pg_catalog.substring(r.name, '.\.([^.]+)$'),
		r.size, r.description, r.mime, r.version_name, r.external_identifier, r.display_name,
		coalesce((SELECT pg_catalog.array_agg(ROW(e.source_id, jobs_store.part_id(e.source_resource_id, 1), e.source_resource_type, e.source_resource_id, e.relationship_identifier)::jobs.source ORDER BY e.source_id)
			FROM jobs_store.revision_edge e WHERE e.tenant = r.tenant AND e.product_id = r.id), '{}'),
		coalesce((SELECT pg_catalog.array_agg(ROW(e.product_id, jobs_store.part_id(e.product_resource_id, 1), e.product_resource_type, e.product_resource_id, e.relationship_identifier)::jobs.source ORDER BY e.product_id)
			FROM jobs_store.revision_edge e WHERE e.tenant = r.tenant AND e.source_id = r.id), '{}'),
		r.created_by_id, r.updated
	)::jobs.file_revision AS file_revision
	FROM jobs_store.revision r;
COMMENT ON VIEW jobs_store.full_revision IS 'revisions as callers see them';
