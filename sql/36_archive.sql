-- 36_archive: archive and restore; comments.

CREATE FUNCTION jobs.archive(job_id uuid, reason text DEFAULT NULL) RETURNS jobs.resource_archive_status
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_archive' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.archive(uuid, text) IS 'archives a job, model or artifact: it leaves the default lists and stays readable by id. A job that waits leaves the queue; one that an agent holds cannot be archived. For editors. Errors: 22004, 22001 (reason), 42501, JB404, JB409 (archived already, or held)';

CREATE FUNCTION jobs.restore(job_id uuid, reason text DEFAULT NULL) RETURNS jobs.resource_archive_status
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_restore' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.restore(uuid, text) IS 'undoes archive; a job that had left the queue is back in it, at its end. For editors. Errors: 22004, 22001 (reason), 42501, JB404, JB409 (not archived)';

CREATE FUNCTION jobs.add_comment(job_id uuid, content text, parent_id uuid DEFAULT NULL) RETURNS jobs.comment
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_add_comment' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.add_comment(uuid, text, uuid) IS 'new comment (at most 65536 characters) on a job, model or artifact, or reply to one. For editors. Errors: 22004, 22023 (empty), 22001, 42501, 54000 (replies nested more than 50 deep), JB404';

CREATE FUNCTION jobs.list_comments(job_id uuid) RETURNS SETOF jobs.comment
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_list_comments' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION jobs.list_comments(uuid) IS 'comments on a job, model or artifact, oldest first, each with its replies. Errors: 22004, JB404';

CREATE FUNCTION jobs_store.replies(tenant integer, resource_id uuid, comment_id uuid) RETURNS jsonb
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_replies' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs_store.replies(integer, uuid, uuid) IS 'replies to a comment as JSON, recursively';

CREATE VIEW jobs_store.full_comment AS
	SELECT c.tenant, c.resource_id, c.parent_id, c.id, ROW(
		c.id, c.created,
		ROW(
			jobs_store.part_id(c.id, 1), c.created,
			ARRAY[ROW(
				jobs_store.part_id(c.id, 2), c.created, jobs_store.part_id(c.id, 1),
				ROW(jobs_store.part_id(c.id, 3), c.created, pg_catalog.encode(pg_catalog.sha384(b.bytes || pg_catalog.convert_to(b.salt, 'UTF8')), 'hex'), b.salt, c.created_by_id)::jobs.token,
				ROW(jobs_store.part_id(c.id, 4), c.created, pg_catalog.encode(pg_catalog.sha384(pg_catalog.convert_to('{}' || b.salt, 'UTF8')), 'hex'), b.salt, c.created_by_id)::jobs.token,
				ARRAY[ROW(jobs_store.part_id(c.id, 8), c.created, 'Active', 'Initial', c.created_by_id, jobs_store.part_id(c.id, 2))::jobs.file_revision_archive_status],
				'comment.txt', 'comment', '.txt', 'txt', pg_catalog.octet_length(b.bytes), NULL, 'text/plain', NULL, NULL, NULL,
				'{}', '{}', c.created_by_id, NULL
			)::jobs.file_revision],
			ARRAY[ROW(jobs_store.part_id(c.id, 7), c.created, 'Active', 'Initial', c.created_by_id, jobs_store.part_id(c.id, 1))::jobs.file_archive_status],
			c.id, 'Comment', c.created_by_id, NULL, NULL, NULL
		)::jobs.file,
		jobs_store.replies(c.tenant, c.resource_id, c.id),
		ARRAY[ROW(jobs_store.part_id(c.id, 6), c.created, 'Active', 'Initial', c.created_by_id, c.id)::jobs.resource_archive_status],
		c.created_by_id, c.resource_id, c.resource_type
	)::jobs.comment AS comment
	FROM jobs_store.comment c
		CROSS JOIN LATERAL (SELECT pg_catalog.convert_to(c.content, 'UTF8') AS bytes, pg_catalog.replace(jobs_store.part_id(c.id, 1)::text, '-', '') AS salt) b;
COMMENT ON VIEW jobs_store.full_comment IS 'comments as callers see them';
