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
COMMENT ON FUNCTION jobs.add_model(text, bytea, text, text, text, text, text) IS 'new model with one revision of its file. Errors: 22004, 22023 (empty name), 22001';

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
COMMENT ON FUNCTION jobs.update_job(uuid, bytea, text, text, text, text, text, text) IS 'adds a revision to the file of a job, such as its result; a property that is NULL is taken from the revision before. For editors, and for the user whose agent holds the job. Errors: 22004, 22001, 22023 (empty name), 42501, JB404';

CREATE FUNCTION jobs.update_model(
	model_id uuid,
	content bytea,
	name text DEFAULT NULL,
	mime text DEFAULT NULL,
	description text DEFAULT NULL,
	display_name text DEFAULT NULL,
	version_name text DEFAULT NULL,
	external_identifier text DEFAULT NULL
) RETURNS uuid
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_update_model' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.update_model(uuid, bytea, text, text, text, text, text, text) IS 'adds a revision to the file of a model and answers its id; a property that is NULL is taken from the revision before. For editors. Errors: 22004, 22001, 22023 (empty name), 42501, JB404';

CREATE FUNCTION jobs.update_artifact(
	artifact_id uuid,
	content bytea,
	name text DEFAULT NULL,
	mime text DEFAULT NULL,
	description text DEFAULT NULL,
	display_name text DEFAULT NULL,
	version_name text DEFAULT NULL,
	external_identifier text DEFAULT NULL
) RETURNS uuid
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_update_artifact' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.update_artifact(uuid, bytea, text, text, text, text, text, text) IS 'adds a revision to the file of an artifact and answers its id, as update_model';

CREATE FUNCTION jobs.add_artifact(
	job_id uuid,
	name text,
	content bytea,
	mime text DEFAULT NULL,
	relationship_identifier text DEFAULT NULL,
	description text DEFAULT NULL,
	display_name text DEFAULT NULL,
	version_name text DEFAULT NULL,
	external_identifier text DEFAULT NULL
) RETURNS uuid
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_add_artifact' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.add_artifact(uuid, text, bytea, text, text, text, text, text, text) IS 'output of a job as a file of its own: new artifact with one revision, which is a product of the parameters of the job and of the latest revision of its model. It belongs to the creator of the job. For editors, and for the user whose agent holds the job. Errors: 22004, 22001, 22023 (empty name), 42501, JB404';

CREATE FUNCTION jobs.list_artifacts(job_id uuid)
	RETURNS TABLE (id uuid, name text, created timestamptz, size bigint, mime text, archived boolean)
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_list_artifacts' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION jobs.list_artifacts(uuid) IS 'the artifacts of a job, oldest first; name, size in bytes and mime are those of the latest revision. Errors: 22004, JB404';

CREATE FUNCTION jobs.get_file(job_id uuid) RETURNS jobs.file
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_get_file' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.get_file(uuid) IS 'file of a job, model or artifact with all its revisions. Errors: 22004, JB404';

CREATE TYPE jobs.lineage_edge AS (
	depth integer,
	direction text,
	revision_id uuid,
	resource_id uuid,
	resource_type text,
	from_revision_id uuid,
	relationship_identifier text
);
COMMENT ON TYPE jobs.lineage_edge IS 'One edge of a lineage: from from_revision_id to revision_id, which is nearer to the origin (direction source) or further from it (product). Nullable: relationship_identifier';

CREATE FUNCTION jobs.lineage(job_id uuid, depth integer DEFAULT 10) RETURNS SETOF jobs.lineage_edge
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_lineage' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION jobs.lineage(uuid, integer) IS 'what a job, model or artifact was made from (direction source), and what was made from it (product), over up to depth (1 to 100) steps, each edge once, the nearest first. The revisions of a job count as one. Ends at what the caller may not see. Errors: 22004, 22023, 54000 (more than 100000 edges), JB404';

-- Properties of the latest revision.

CREATE FUNCTION jobs.update_properties(
	job_id uuid,
	description text DEFAULT NULL,
	display_name text DEFAULT NULL,
	external_identifier text DEFAULT NULL,
	version_name text DEFAULT NULL
) RETURNS jobs.file_revision
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_update_properties' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.update_properties(uuid, text, text, text, text) IS 'changes the properties of the latest revision of a job, model or artifact: NULL keeps, the empty string clears. For editors. Errors: 22004, 22001, 42501, JB404';

CREATE FUNCTION jobs.update_description(job_id uuid, description text) RETURNS jobs.file_revision
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_update_description' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.update_description(uuid, text) IS 'as update_properties with description alone, which must not be null';

CREATE FUNCTION jobs.update_display_name(job_id uuid, display_name text) RETURNS jobs.file_revision
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_update_display_name' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.update_display_name(uuid, text) IS 'as update_properties with display_name alone, which must not be null';

CREATE FUNCTION jobs.update_external_identifier(job_id uuid, external_identifier text) RETURNS jobs.file_revision
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_update_external_identifier' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.update_external_identifier(uuid, text) IS 'as update_properties with external_identifier alone, which must not be null';

CREATE FUNCTION jobs.update_version_name(job_id uuid, version_name text) RETURNS jobs.file_revision
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_update_version_name' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.update_version_name(uuid, text) IS 'as update_properties with version_name alone, which must not be null';

CREATE FUNCTION jobs.read_bytes(job_id uuid, "offset" bigint DEFAULT 0, length bigint DEFAULT NULL) RETURNS bytea
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_read_bytes' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.read_bytes(uuid, bigint, bigint) IS 'bytes of the latest revision of the file of a job, model or artifact: all, or length bytes (NULL: the rest) from "offset", counted from 0. Reading past the end answers what is there. A revision of more than 1 MiB goes through the cache of the session. Errors: 22004, 22023 (negative), 54000 (more than 1 GB at once), JB404, XX001 (does not fit its token)';

CREATE FUNCTION jobs.read_text(job_id uuid, encoding text DEFAULT 'utf-8') RETURNS text
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_read_text' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.read_text(uuid, text) IS 'latest revision as text. Errors: 22004, 22023 (unknown encoding), 22021 (bytes that the encoding does not know), JB404';

CREATE FUNCTION jobs.read_json(job_id uuid) RETURNS jsonb
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_read_json' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.read_json(uuid) IS 'latest revision, which must be JSON in UTF-8. Errors: 22004, 22P02 (not JSON), JB404';

CREATE FUNCTION jobs.copy_to(job_id uuid, dest text) RETURNS text
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_copy_to' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.copy_to(uuid, text) IS 'writes the latest revision of a job, model or artifact to a file of the server and answers dest. The file is there as a whole or not at all; one that was there is replaced. For roles with the privileges of pg_write_server_files. Errors: 22004, 22023 (dest is not absolute, or is there and is no file), 22001, 42501, JB404, and those of the file system';

-- The cache of the session, see src/cache.c.

CREATE FUNCTION jobs.cleanup_cache(job_id uuid DEFAULT NULL) RETURNS integer
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_cleanup_cache' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.cleanup_cache(uuid) IS 'removes the revisions of a job, model or artifact (NULL: all) from the cache of this session and answers how many those were. Errors: 42501, JB404';

CREATE FUNCTION jobs.get_cache_stats(OUT hits bigint, OUT misses bigint, OUT puts bigint, OUT entries bigint, OUT bytes bigint)
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_get_cache_stats' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.get_cache_stats() IS 'the cache of this session: blocks (32 kB) found in it intact, blocks that had to be read from the table, and blocks written to it, since the session started; revisions in it now, and their bytes. Errors: 42501';

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

CREATE VIEW jobs_store.job_input AS
	SELECT j.tenant, j.id, j.created, j.created_by_id, j.updated,
		j.description, j.display_name, j.version_name, j.external_identifier,
		j.model_id, j.assigned_agent_id, j.assigned_agent_pool_id, j.agent_id, j.first_status,
		ROW(f.id, f.name, f.version, f.module_name, f.module_version, f.tool_name, f.tool_version, f.tool_display_name, f.operating_system)::jobs.function_version AS function,
		pg_catalog.split_part(f.name, ':', 2) || '.json' AS name, 'application/json'::text AS mime,
		pg_catalog.octet_length(b.bytes)::bigint AS size,
		s.salt, pg_catalog.encode(pg_catalog.sha384(b.bytes || pg_catalog.convert_to(s.salt, 'UTF8')), 'hex') AS sha
	FROM jobs_store.job j
		CROSS JOIN LATERAL (SELECT * FROM jobs_store.function_version v WHERE v.tenant = j.tenant AND v.id = j.function_id OFFSET 0) f
		CROSS JOIN LATERAL (SELECT pg_catalog.convert_to(j.parameters::text, 'UTF8') AS bytes) b
		CROSS JOIN LATERAL (SELECT pg_catalog.replace(jobs_store.part_id(j.id, 1)::text, '-', '') AS salt) s;
COMMENT ON VIEW jobs_store.job_input IS 'jobs with their function, and with what the first revision of their file is derived from';

CREATE VIEW jobs_store.revision AS
	SELECT j.tenant, j.id AS resource_id, 'Job'::text AS resource_type, 1 AS revision,
		jobs_store.part_id(j.id, 2) AS id, j.created, j.created_by_id, j.updated,
		j.name, j.mime, j.size, j.description, j.display_name, j.version_name, j.external_identifier,
		j.salt, j.sha
	FROM jobs_store.job_input j
	UNION ALL
	SELECT r.tenant, r.resource_id, r.resource_type, r.revision,
		r.id, r.created, r.created_by_id, r.updated,
		r.name, r.mime, r.size,
		r.description, r.display_name, r.version_name, r.external_identifier,
		pg_catalog.replace(jobs_store.part_id(r.resource_id, 1)::text, '-', ''), r.sha
	FROM jobs_store.file_revision r;
COMMENT ON VIEW jobs_store.revision IS 'all revisions of all files, stored or derived. The salt of a file is its id in 32 hexadecimal digits, so it is the same for all its revisions';

-- What make_... puts together becomes part of the query that calls it; so it has no
-- search_path of its own, but names that were looked up when it was made.
CREATE FUNCTION jobs_store.make_revision(
	resource_id uuid, id uuid, created timestamptz, created_by_id uuid, updated timestamptz,
	name text, mime text, size bigint, description text, display_name text, version_name text, external_identifier text,
	salt text, sha text, archive jobs.file_revision_archive_status[], sources jobs.source[], products jobs.source[]
) RETURNS jobs.file_revision
	LANGUAGE sql STABLE PARALLEL SAFE
RETURN ROW(
		id, created, jobs_store.part_id(resource_id, 1),
		ROW(jobs_store.part_id(id, 3), created, sha, salt, created_by_id)::jobs.token,
		ROW(jobs_store.part_id(id, 4), coalesce(updated, created), pg_catalog.encode(pg_catalog.sha384(pg_catalog.convert_to(pg_catalog.jsonb_build_object(
				'name', name, 'mime', mime, 'description', description, 'display_name', display_name,
				'version_name', version_name, 'external_identifier', external_identifier)::text || salt, 'UTF8')), 'hex'),
			salt, created_by_id)::jobs.token,
		ARRAY[ROW(jobs_store.part_id(id, 8), created, 'Active', 'Initial', created_by_id, id)::jobs.file_revision_archive_status] || archive,
		name,
		pg_catalog.regexp_replace(name, '(.)\.[^.]+$', '\1'),
		coalesce(pg_catalog.substring(name, '.(\.[^.]+)$'), ''),
		pg_catalog.substring(name, '.\.([^.]+)$'),
		size, description, mime, version_name, external_identifier, display_name,
		sources, products, created_by_id, updated
	)::jobs.file_revision;
COMMENT ON FUNCTION jobs_store.make_revision(uuid, uuid, timestamptz, uuid, timestamptz, text, text, bigint, text, text, text, text, text, text, jobs.file_revision_archive_status[], jobs.source[], jobs.source[]) IS 'a revision as callers see it; archive is what follows the first entry of its archive history';

CREATE VIEW jobs_store.full_revision AS
	SELECT r.tenant, r.resource_id, r.revision, jobs_store.make_revision(
		r.resource_id, r.id, r.created, r.created_by_id, r.updated,
		r.name, r.mime, r.size, r.description, r.display_name, r.version_name, r.external_identifier, r.salt, r.sha,
		ARRAY(SELECT ROW(a.id, a.created, a.name, a.reason, a.created_by_id, a.object_id)::jobs.file_revision_archive_status
			FROM jobs_store.archive_status a WHERE a.tenant = r.tenant AND a.object_id = r.id ORDER BY a.ordinal),
		ARRAY(SELECT ROW(e.source_id, jobs_store.part_id(e.source_resource_id, 1), e.source_resource_type, e.source_resource_id, e.relationship_identifier)::jobs.source
			FROM jobs_store.revision_edge e WHERE e.tenant = r.tenant AND e.product_id = r.id ORDER BY e.source_id),
		ARRAY(SELECT ROW(e.product_id, jobs_store.part_id(e.product_resource_id, 1), e.product_resource_type, e.product_resource_id, e.relationship_identifier)::jobs.source
			FROM jobs_store.revision_edge e WHERE e.tenant = r.tenant AND e.source_id = r.id ORDER BY e.product_id)
	) AS file_revision
	FROM jobs_store.revision r;
COMMENT ON VIEW jobs_store.full_revision IS 'revisions as callers see them';

CREATE VIEW jobs_store.full_file AS
	SELECT r.tenant, r.id AS resource_id, r.resource_type, ROW(
		jobs_store.part_id(r.id, 1), r.created,
		ARRAY(SELECT v.file_revision
			FROM jobs_store.full_revision v WHERE v.tenant = r.tenant AND v.resource_id = r.id ORDER BY v.revision),
		ARRAY[ROW(jobs_store.part_id(r.id, 7), r.created, 'Active', 'Initial', r.created_by_id, jobs_store.part_id(r.id, 1))::jobs.file_archive_status]
			|| ARRAY(SELECT ROW(a.id, a.created, a.name, a.reason, a.created_by_id, a.object_id)::jobs.file_archive_status
				FROM jobs_store.archive_status a WHERE a.tenant = r.tenant AND a.object_id = jobs_store.part_id(r.id, 1) ORDER BY a.ordinal),
		r.id, r.resource_type, r.created_by_id, f.control_tags, f.updated, f.upstream_remote_info
	)::jobs.file AS file
	FROM (SELECT tenant, id, created, created_by_id, 'Job'::text AS resource_type FROM jobs_store.job
		UNION ALL SELECT tenant, id, created, created_by_id, 'Model' FROM jobs_store.model
		UNION ALL SELECT tenant, id, created, created_by_id, 'Artifact' FROM jobs_store.artifact) r
		LEFT JOIN jobs_store.file f ON f.tenant = r.tenant AND f.resource_id = r.id;
COMMENT ON VIEW jobs_store.full_file IS 'files of jobs, models and artifacts as callers see them';
