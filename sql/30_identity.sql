-- 30_identity: tenants, users, agents, pools, functions, and who is calling.
-- The caller is the role that called; it stands for one user of one tenant.

CREATE FUNCTION jobs.current_tenant_id() RETURNS uuid
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_current_tenant_id' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.current_tenant_id() IS 'tenant of the calling role; NULL when the role stands for no user';

CREATE FUNCTION jobs.current_user_id() RETURNS uuid
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_current_user_id' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.current_user_id() IS 'user that the calling role stands for; NULL when there is none';

CREATE FUNCTION jobs.is_administrator() RETURNS boolean
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_is_administrator' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.is_administrator() IS 'whether the caller may do all in its tenant; false when the role stands for no user';

CREATE FUNCTION jobs_store.caller_tenant() RETURNS integer
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_caller_tenant' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs_store.caller_tenant() IS 'tenant number of the caller, for the filters of views; NULL when the role stands for no user';

CREATE FUNCTION jobs.add_tenant(name text) RETURNS uuid
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_add_tenant' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.add_tenant(text) IS 'new tenant; for superusers and the owner of the extension. Errors: 22004, 22023 (empty), 22001, 23505 (name in use), 42501';

CREATE FUNCTION jobs.add_user(email text, role_name text DEFAULT NULL, administrator boolean DEFAULT false, tenant_id uuid DEFAULT NULL) RETURNS uuid
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_add_user' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.add_user(text, text, boolean, uuid) IS 'new user of a tenant (NULL: the caller''s), for whom the database role role_name (NULL: none) stands. For administrators of the tenant, who need CREATEROLE or ADMIN OPTION on the role; another tenant only for superusers and the owner of the extension. Errors: 22004, 22023 (empty), 22001, 23505 (address or role in use), 42704 (no such role), 42501, JB404';

CREATE FUNCTION jobs.register_agent(name text, host_os text DEFAULT NULL, agent_version text DEFAULT NULL) RETURNS uuid
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_register_agent' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.register_agent(text, text, text) IS 'agent of that name, which acts under the calling user. Registering it again, as an agent does when it starts, answers the same id and notes what is new of host_os and agent_version. Errors: 22004, 22023 (empty), 22001, 42501 (the name is another user''s agent)';

CREATE FUNCTION jobs.add_agent_pool(name text, description text DEFAULT NULL) RETURNS uuid
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_add_agent_pool' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.add_agent_pool(text, text) IS 'new pool of agents. Errors: 22004, 22023 (empty), 22001, 23505 (name in use)';

CREATE FUNCTION jobs.add_agent_to_pool(agent_id uuid, agent_pool_id uuid) RETURNS void
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_add_agent_to_pool' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.add_agent_to_pool(uuid, uuid) IS 'puts an agent into a pool; no error when it is there. Errors: 22004, JB404, 42501 (the agent is another user''s)';

CREATE FUNCTION jobs.add_function(name text, version text, module_name text DEFAULT NULL, module_version text DEFAULT NULL, tool_name text DEFAULT NULL, tool_version text DEFAULT NULL, operating_system text DEFAULT NULL, tool_display_name text DEFAULT NULL) RETURNS uuid
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_add_function' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.add_function(text, text, text, text, text, text, text, text) IS 'version of a function, named @scope:name. The same name, version, tool and operating system again answer the same id, provided the rest is the same too. Errors: 22004, 22001, 22023 (name not of the form @scope:name), 23505 (registered with another module)';

CREATE FUNCTION jobs.set_agent_functions(agent_id uuid, function_ids uuid[]) RETURNS void
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_set_agent_functions' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.set_agent_functions(uuid, uuid[]) IS 'the function versions that an agent can run: these and no others. Errors: 22004, 22023 (more than 10000), JB404, 42501 (the agent is another user''s)';
