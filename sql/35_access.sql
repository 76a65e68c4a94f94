-- 35_access: who may do what with a job, model or artifact.

CREATE VIEW jobs_store.resource AS
	SELECT tenant, id, 'job'::text AS kind, created_by_id, archived FROM jobs_store.job
	UNION ALL
	SELECT tenant, id, 'model', created_by_id, archived FROM jobs_store.model
	UNION ALL
	SELECT tenant, id, 'artifact', created_by_id, archived FROM jobs_store.artifact;
COMMENT ON VIEW jobs_store.resource IS 'everything that access can be given to';

CREATE VIEW jobs_store.full_access AS
	SELECT r.tenant, r.id, NULL::timestamptz AS created,
		ROW('user', r.created_by_id, 'owner', r.kind, r.id, pg_catalog.jsonb_build_object('email', u.email))::jobs.access_relationship AS access
	FROM jobs_store.resource r
		JOIN jobs_store.user_account u ON u.tenant = r.tenant AND u.id = r.created_by_id
	UNION ALL
	SELECT a.tenant, a.resource_id, a.created,
		ROW(a.subject_type, a.subject_id, a.relation, a.resource_type, a.resource_id, pg_catalog.jsonb_build_object('email', u.email))::jobs.access_relationship
	FROM jobs_store.access a
		JOIN jobs_store.user_account u ON u.tenant = a.tenant AND u.id = a.subject_id;
COMMENT ON VIEW jobs_store.full_access IS 'access as callers see it: the creator''s ownership, derived, and what was given';

CREATE FUNCTION jobs.create_access(job_id uuid, subject_type text, subject_id uuid, relation text) RETURNS jobs.access_relationship
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_create_access' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.create_access(uuid, text, uuid, text) IS 'gives a user (subject_type user) a relation to a job, model or artifact: viewer, executor, editor, owner, administrator or upstreamremoteowner. The same again answers what is there. For owners. Errors: 22004, 22023, 42501, 23505 (has another relation), JB404, JB409 (the creator)';

CREATE FUNCTION jobs.create_access_by_email(job_id uuid, subject_type text, email text, relation text) RETURNS jobs.access_relationship
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_create_access_by_email' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.create_access_by_email(uuid, text, text, text) IS 'as create_access, for the user with that address in any letter case';

CREATE FUNCTION jobs.update_access(job_id uuid, subject_type text, subject_id uuid, relation text) RETURNS jobs.access_relationship
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_update_access' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.update_access(uuid, text, uuid, text) IS 'changes the relation that a user was given. For owners. Errors: 22004, 22023, 42501, JB404 (no such access too), JB409 (the creator)';

CREATE FUNCTION jobs.remove_access(job_id uuid, subject_type text, subject_id uuid) RETURNS jobs.access_relationship
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_remove_access' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.remove_access(uuid, text, uuid) IS 'takes away the relation that a user was given and answers it. For owners. Errors: 22004, 22023, 42501, JB404 (no such access too), JB409 (the creator)';

CREATE FUNCTION jobs.list_access(job_id uuid) RETURNS SETOF jobs.access_relationship
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_list_access' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION jobs.list_access(uuid) IS 'who has access to a job, model or artifact, the creator first; administrators of the tenant are not listed. For whoever may see it. Errors: 22004, JB404';
