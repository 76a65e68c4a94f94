-- 37_page: jobs as callers see them, one by one and by page.

CREATE FUNCTION jobs_store.make_job(
	id uuid, created timestamptz, created_by_id uuid, first_status jobs.job_status_name, tenant_id uuid, function jobs.function_version,
	model_id uuid, assigned_agent_id uuid, assigned_agent_pool_id uuid, agent_id uuid, revisions jobs.file_revision[],
	control_tags jsonb, file_updated timestamptz, upstream_remote_info jsonb, comments jobs.comment[],
	file_archive jobs.file_archive_status[], archive jobs.resource_archive_status[], statuses jobs.job_status[]
) RETURNS jobs.job
	LANGUAGE sql STABLE PARALLEL SAFE
RETURN ROW(
		id,
		created,
		ROW(
			jobs_store.part_id(id, 1), created, revisions,
			ARRAY[ROW(jobs_store.part_id(id, 7), created, 'Active', 'Initial', created_by_id, jobs_store.part_id(id, 1))::jobs.file_archive_status] || file_archive,
			id, 'Job', created_by_id, control_tags, file_updated, upstream_remote_info
		)::jobs.file,
		comments,
		ARRAY[ROW(jobs_store.part_id(id, 6), created, 'Active', 'Initial', created_by_id, id)::jobs.resource_archive_status] || archive,
		created_by_id,
		function,
		assigned_agent_id,
		agent_id,
		tenant_id,
		model_id,
		ARRAY[ROW(jobs_store.status_id(id, 0, created), created, id, first_status, created_by_id, NULL, NULL)::jobs.job_status] || statuses,
		assigned_agent_pool_id
	)::jobs.job;
COMMENT ON FUNCTION jobs_store.make_job(uuid, timestamptz, uuid, jobs.job_status_name, uuid, jobs.function_version, uuid, uuid, uuid, uuid, jobs.file_revision[], jsonb, timestamptz, jsonb, jobs.comment[], jobs.file_archive_status[], jobs.resource_archive_status[], jobs.job_status[]) IS 'a job as callers see it; the archive histories and statuses are what follows their first entries';

CREATE VIEW jobs_store.full_job AS
	SELECT j.tenant, j.id, jobs_store.make_job(
		j.id, j.created, j.created_by_id, j.first_status, t.id, j.function,
		j.model_id, j.assigned_agent_id, j.assigned_agent_pool_id,
		coalesce((SELECT s.agent_id FROM jobs_store.job_status s
			WHERE s.tenant = j.tenant AND s.job_id = j.id AND s.agent_id IS NOT NULL
			ORDER BY s.ordinal DESC LIMIT 1), j.agent_id),
		ARRAY(SELECT r.file_revision
			FROM jobs_store.full_revision r WHERE r.tenant = j.tenant AND r.resource_id = j.id ORDER BY r.revision),
		f.control_tags, f.updated, f.upstream_remote_info,
		ARRAY(SELECT c.comment
			FROM jobs_store.full_comment c WHERE c.tenant = j.tenant AND c.resource_id = j.id AND c.parent_id IS NULL ORDER BY c.id),
		ARRAY(SELECT ROW(a.id, a.created, a.name, a.reason, a.created_by_id, a.object_id)::jobs.file_archive_status
			FROM jobs_store.archive_status a WHERE a.tenant = j.tenant AND a.object_id = jobs_store.part_id(j.id, 1) ORDER BY a.ordinal),
		ARRAY(SELECT ROW(a.id, a.created, a.name, a.reason, a.created_by_id, a.object_id)::jobs.resource_archive_status
			FROM jobs_store.archive_status a WHERE a.tenant = j.tenant AND a.object_id = j.id ORDER BY a.ordinal),
		ARRAY(SELECT ROW(jobs_store.status_id(s.job_id, s.ordinal, s.created), s.created, s.job_id, s.name, s.created_by_id, s.message, s.agent_id)::jobs.job_status
			FROM jobs_store.job_status s WHERE s.tenant = j.tenant AND s.job_id = j.id ORDER BY s.ordinal)
	) AS job
	FROM jobs_store.job_input j
		CROSS JOIN LATERAL (SELECT * FROM jobs_store.tenant x WHERE x.tenant = j.tenant OFFSET 0) t
		LEFT JOIN LATERAL (SELECT * FROM jobs_store.file x WHERE x.tenant = j.tenant AND x.resource_id = j.id OFFSET 0) f ON true;
COMMENT ON VIEW jobs_store.full_job IS 'jobs as callers see them, with all their parts; every part is found by its whole key, which OFFSET 0 makes sure of';

CREATE VIEW jobs_store.new_job AS
	SELECT j.tenant, j.id, jobs_store.make_job(
		j.id, j.created, j.created_by_id, j.first_status, t.id, j.function,
		j.model_id, j.assigned_agent_id, j.assigned_agent_pool_id, j.agent_id,
		ARRAY[jobs_store.make_revision(
			j.id, jobs_store.part_id(j.id, 2), j.created, j.created_by_id, j.updated,
			j.name, j.mime, j.size, j.description, j.display_name, j.version_name, j.external_identifier, j.salt, j.sha,
			'{}', '{}', '{}')],
		NULL, NULL, NULL, '{}', '{}', '{}', '{}'
	) AS job
	FROM jobs_store.job_input j
		CROSS JOIN LATERAL (SELECT * FROM jobs_store.tenant x WHERE x.tenant = j.tenant OFFSET 0) t;
COMMENT ON VIEW jobs_store.new_job IS 'full_job for jobs to which nothing has happened yet, for less than half of its price';

CREATE VIEW jobs_store.current_status AS
	SELECT j.tenant, j.id AS job_id, j.first_status,
		coalesce(s.ordinal, 0) AS ordinal, coalesce(s.name, j.first_status) AS name,
		coalesce(s.created, j.created) AS created,
		CASE WHEN s.job_id IS NULL THEN j.created_by_id ELSE s.created_by_id END AS created_by_id,
		coalesce(s.attempt, 0) AS attempt, s.agent_id, s.message
	FROM jobs_store.job j
		LEFT JOIN LATERAL (SELECT * FROM jobs_store.job_status h
			WHERE h.tenant = j.tenant AND h.job_id = j.id
			ORDER BY h.ordinal DESC LIMIT 1) s ON true;
COMMENT ON VIEW jobs_store.current_status IS 'the last entry of the history of every job, derived or stored';

CREATE FUNCTION jobs.list_jobs(
	page integer DEFAULT 1,
	size integer DEFAULT 10,
	model_id uuid DEFAULT NULL,
	status_name jobs.job_status_name DEFAULT NULL,
	function text DEFAULT NULL,
	assigned_agent_id uuid DEFAULT NULL,
	assigned_agent_pool_id uuid DEFAULT NULL,
	agent_id uuid DEFAULT NULL,
	created_by_id uuid DEFAULT NULL,
	name text DEFAULT NULL,
	archive_status text DEFAULT 'active',
	all_users boolean DEFAULT false,
	sort text DEFAULT '-created',
	count text DEFAULT 'exact'
) RETURNS jobs.page_job
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_list_jobs' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.list_jobs(integer, integer, uuid, jobs.job_status_name, text, uuid, uuid, uuid, uuid, text, text, boolean, text, text) IS 'page (from 1) of size (0 to 100) jobs: the caller''s own, or with all_users all that the caller may see. A filter that is NULL does not filter; name is part of the file''s name in any letter case; archive_status is active, archived or all; sort is created or -created; count is exact, estimated (by the planner) or none. The pages of a table that does not change neither overlap nor skip. Errors: 22004, 22023';

CREATE FUNCTION jobs.list_model_jobs(
	model_id uuid,
	page integer DEFAULT 1,
	size integer DEFAULT 10,
	status_name jobs.job_status_name DEFAULT NULL,
	function text DEFAULT NULL,
	assigned_agent_id uuid DEFAULT NULL,
	assigned_agent_pool_id uuid DEFAULT NULL,
	agent_id uuid DEFAULT NULL,
	created_by_id uuid DEFAULT NULL,
	name text DEFAULT NULL,
	archive_status text DEFAULT 'active',
	all_users boolean DEFAULT false,
	sort text DEFAULT '-created',
	count text DEFAULT 'exact'
) RETURNS jobs.page_job
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_list_model_jobs' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.list_model_jobs(uuid, integer, integer, jobs.job_status_name, text, uuid, uuid, uuid, uuid, text, text, boolean, text, text) IS 'list_jobs for the jobs that run on a model, which the caller must be allowed to see. Errors: 22004, 22023, JB404';

CREATE FUNCTION jobs.list_jobs_after(
	cursor text DEFAULT NULL,
	size integer DEFAULT 10,
	model_id uuid DEFAULT NULL,
	status_name jobs.job_status_name DEFAULT NULL,
	function text DEFAULT NULL,
	assigned_agent_id uuid DEFAULT NULL,
	assigned_agent_pool_id uuid DEFAULT NULL,
	agent_id uuid DEFAULT NULL,
	created_by_id uuid DEFAULT NULL,
	name text DEFAULT NULL,
	archive_status text DEFAULT 'active',
	all_users boolean DEFAULT false,
	sort text DEFAULT '-created',
	OUT items jobs.job[],
	OUT next_cursor text
)
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_list_jobs_after' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.list_jobs_after(text, integer, uuid, jobs.job_status_name, text, uuid, uuid, uuid, uuid, text, text, boolean, text) IS 'the next size (1 to 100) jobs after cursor, which is next_cursor of the page before, NULL for the first page; filters and sort as in list_jobs, and the same from page to page. next_cursor is NULL on the last page. The cost of a page does not depend on how deep it is, and jobs that come or go meanwhile move no others. Errors: 22004, 22023 (also a cursor that is none)';
