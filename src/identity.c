/*-------------------------------------------------------------------------
 *
 * identity.c
 *		Tenants, users, agents, pools, functions, and who is calling.
 *
 * The caller is the role that called (current_user), and that role stands for
 * at most one user of one tenant. A superuser, or the owner of the extension,
 * that stands for nobody acts as the first administrator of the default
 * tenant. Both rows are made on first use and not by the install script: they
 * are data, and a script that made them would collide with a restore.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(jobs_current_tenant_id);
PG_FUNCTION_INFO_V1(jobs_current_user_id);
PG_FUNCTION_INFO_V1(jobs_is_administrator);
PG_FUNCTION_INFO_V1(jobs_caller_tenant);
PG_FUNCTION_INFO_V1(jobs_add_tenant);
PG_FUNCTION_INFO_V1(jobs_add_user);
PG_FUNCTION_INFO_V1(jobs_register_agent);
PG_FUNCTION_INFO_V1(jobs_add_agent_pool);
PG_FUNCTION_INFO_V1(jobs_add_agent_to_pool);
PG_FUNCTION_INFO_V1(jobs_add_function);
PG_FUNCTION_INFO_V1(jobs_set_agent_functions);

static JobsStatement find_user = {
	.sql = "SELECT tenant, id, administrator FROM jobs_store.user_account WHERE role_name = $1",
	.types = "t",
	.expected = SPI_OK_SELECT
};

static JobsStatement first_administrator = {
	.sql = "SELECT tenant, id, administrator FROM jobs_store.user_account"
	" WHERE tenant = (SELECT min(t.tenant) FROM jobs_store.tenant t) AND administrator"
	" ORDER BY id LIMIT 1",
	.types = "",
	.expected = SPI_OK_SELECT
};

static JobsStatement add_default_tenant = {
	.sql = "WITH t AS (INSERT INTO jobs_store.tenant (id, created, name)"
	" VALUES (jobs_store.new_id(), $1, 'default') ON CONFLICT DO NOTHING RETURNING tenant)"
	" INSERT INTO jobs_store.user_account (tenant, id, created, email, role_name, administrator)"
	" SELECT tenant, jobs_store.new_id(), $1, $2 || '@localhost', $2, true FROM t",
	.types = "zt",
	.expected = SPI_OK_INSERT
};

static JobsStatement find_agent = {
	.sql = "SELECT created_by_id FROM jobs_store.agent WHERE tenant = $1 AND id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement tenant_id = {
	.sql = "SELECT id FROM jobs_store.tenant WHERE tenant = $1",
	.types = "i",
	.expected = SPI_OK_SELECT
};

static JobsStatement find_tenant = {
	.sql = "SELECT tenant FROM jobs_store.tenant WHERE id = $1",
	.types = "u",
	.expected = SPI_OK_SELECT
};

static JobsStatement add_tenant = {
	.sql = "INSERT INTO jobs_store.tenant (id, created, name)"
	" VALUES (jobs_store.new_id(), $1, $2) RETURNING id",
	.types = "zt",
	.expected = SPI_OK_INSERT_RETURNING
};

static JobsStatement add_user = {
	.sql = "INSERT INTO jobs_store.user_account (tenant, id, created, email, role_name, administrator)"
	" VALUES ($1, jobs_store.new_id(), $2, $3, $4, $5) RETURNING id",
	.types = "izttb",
	.expected = SPI_OK_INSERT_RETURNING
};

/*
 * xmax is zero for a row that was inserted; for one that was there, the update
 * happens only when the caller may change it and there is something to change.
 */
static JobsStatement register_agent = {
	.sql = "INSERT INTO jobs_store.agent AS a (tenant, id, created, created_by_id, name, host_os, agent_version)"
	" VALUES ($1, jobs_store.new_id(), $2, $3, $4, $5, $6)"
	" ON CONFLICT (tenant, name) DO UPDATE SET"
	" host_os = coalesce(excluded.host_os, a.host_os),"
	" agent_version = coalesce(excluded.agent_version, a.agent_version)"
	" WHERE a.created_by_id = $3 OR $7"
	" RETURNING a.id",
	.types = "izutttb",
	.expected = SPI_OK_INSERT_RETURNING
};

static JobsStatement find_agent_by_name = {
	.sql = "SELECT id FROM jobs_store.agent WHERE tenant = $1 AND name = $2",
	.types = "it",
	.expected = SPI_OK_SELECT
};

static JobsStatement add_agent_pool = {
	.sql = "INSERT INTO jobs_store.agent_pool (tenant, id, created, created_by_id, name, description)"
	" VALUES ($1, jobs_store.new_id(), $2, $3, $4, $5) RETURNING id",
	.types = "izutt",
	.expected = SPI_OK_INSERT_RETURNING
};

static JobsStatement find_agent_pool = {
	.sql = "SELECT 1 FROM jobs_store.agent_pool WHERE tenant = $1 AND id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement add_agent_to_pool = {
	.sql = "INSERT INTO jobs_store.agent_pool_member (tenant, agent_id, agent_pool_id)"
	" VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
	.types = "iuu",
	.expected = SPI_OK_INSERT
};

static JobsStatement add_function = {
	.sql = "INSERT INTO jobs_store.function_version (tenant, id, created, created_by_id, name, version,"
	" module_name, module_version, tool_name, tool_version, operating_system, tool_display_name)"
	" VALUES ($1, jobs_store.new_id(), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
	" ON CONFLICT (tenant, name, version, tool_name, tool_version, operating_system) DO NOTHING"
	" RETURNING id",
	.types = "izutttttttt",
	.expected = SPI_OK_INSERT_RETURNING
};

static JobsStatement find_same_function = {
	.sql = "SELECT id, (module_name, module_version, tool_display_name) IS NOT DISTINCT FROM ($7, $8, $9)"
	" FROM jobs_store.function_version WHERE tenant = $1 AND name = $2 AND version = $3"
	" AND tool_name IS NOT DISTINCT FROM $4 AND tool_version IS NOT DISTINCT FROM $5"
	" AND operating_system IS NOT DISTINCT FROM $6",
	.types = "itttttttt",
	.expected = SPI_OK_SELECT
};

static JobsStatement unknown_functions = {
	.sql = "SELECT f.id FROM unnest($2) f(id) WHERE NOT EXISTS (SELECT FROM jobs_store.function_version v"
	" WHERE v.tenant = $1 AND v.id = f.id) LIMIT 1",
	.types = "iU",
	.expected = SPI_OK_SELECT
};

static JobsStatement remove_agent_functions = {
	.sql = "DELETE FROM jobs_store.agent_function WHERE tenant = $1 AND agent_id = $2"
	" AND NOT function_id = ANY ($3)",
	.types = "iuU",
	.expected = SPI_OK_DELETE
};

static JobsStatement add_agent_functions = {
	.sql = "INSERT INTO jobs_store.agent_function (tenant, agent_id, function_id)"
	" SELECT DISTINCT $1, $2, f.id FROM unnest($3) f(id) ON CONFLICT DO NOTHING",
	.types = "iuU",
	.expected = SPI_OK_INSERT
};

static bool
take_caller(JobsCall *call, const JobsResult *found)
{
	if (found->count == 0)
		return false;
	call->caller.tenant = DatumGetInt32(jobs_column(found, 0, 1, NULL));
	call->caller.user_id = *DatumGetUUIDP(jobs_column(found, 0, 2, NULL));
	call->caller.administrator = DatumGetBool(jobs_column(found, 0, 3, NULL));
	return true;
}

/* May do what is above all tenants: make one, or a user of another. */
static bool
rules_all_tenants(JobsCall *call)
{
	return superuser_arg(call->role) || has_privs_of_role(call->role, call->owner);
}

static bool
find_caller(JobsCall *call)
{
	char	   *role = GetUserNameFromId(call->role, false);
	JobsResult	found = jobs_run(&find_user, A_PTR(cstring_to_text(role)));

	if (take_caller(call, &found))
		return true;
	if (!rules_all_tenants(call))
		return false;
	found = jobs_run(&first_administrator);
	return take_caller(call, &found);
}

/*
 * Fills call->caller; false when the role stands for no user. The first call
 * after CREATE EXTENSION makes the default tenant, with the owner of the
 * extension as its administrator, unless it may not write (on a standby, say).
 */
bool
jobs_caller_lookup(JobsCall *call)
{
	static JobsStamp stamp = {0};
	static Oid	role;
	static JobsCaller caller;
	TimestampTz now = GetCurrentTimestamp();
	JobsStamp	asked;
	bool		found;

	if (role == call->role && jobs_stamp_holds(&stamp, now))
	{
		call->caller = caller;
		return true;
	}
	asked = jobs_stamp(now);
	found = find_caller(call);
	if (found)
	{
		stamp = asked;
		role = call->role;
		caller = call->caller;
	}
	if (found || !rules_all_tenants(call) || XactReadOnly || IsInParallelMode())
		return found;
	jobs_run(&add_default_tenant, A_TIME(GetCurrentTimestamp()),
			 A_PTR(cstring_to_text(GetUserNameFromId(call->owner, false))));

	return find_caller(call);
}

/* The same for calls that need a user. */
void
jobs_caller_require(JobsCall *call)
{
	char	   *role;

	if (jobs_caller_lookup(call))
		return;
	if (rules_all_tenants(call))
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("the default tenant is not there yet"),
				 errhint("The first call after CREATE EXTENSION makes it; make it in a transaction that may write.")));
	role = GetUserNameFromId(call->role, false);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("role \"%s\" is no user of jobs", role),
			 errhint("An administrator can add it with jobs.add_user(email, role_name => %s).", quote_literal_cstr(role))));
}

/*
 * The agent must be one of the caller's tenant, and registered by the caller
 * unless the caller is an administrator.
 */
void
jobs_agent_require(JobsCall *call, const pg_uuid_t *agent_id)
{
	static JobsStamp stamp = {0};
	static JobsCaller last_caller;
	static pg_uuid_t last_agent;
	TimestampTz now = GetCurrentTimestamp();
	JobsStamp	asked;
	JobsResult	found;

	/* The same question as the last time, and it was answered with yes. */
	if (memcmp(agent_id, &last_agent, UUID_LEN) == 0 &&
		last_caller.tenant == call->caller.tenant &&
		last_caller.administrator == call->caller.administrator &&
		memcmp(&last_caller.user_id, &call->caller.user_id, UUID_LEN) == 0 &&
		jobs_stamp_holds(&stamp, now))
		return;
	asked = jobs_stamp(now);
	found = jobs_run(&find_agent, A_INT4(call->caller.tenant), A_PTR(agent_id));
	if (found.count == 0)
		jobs_error_not_found("agent", agent_id);
	if (!call->caller.administrator &&
		memcmp(DatumGetUUIDP(jobs_column(&found, 0, 1, NULL)), &call->caller.user_id, UUID_LEN) != 0)
		jobs_error_not_allowed("act as", "agent", agent_id);
	stamp = asked;
	last_caller = call->caller;
	last_agent = *agent_id;
}

/* The pool must be one of the caller's tenant. */
void
jobs_pool_require(JobsCall *call, const pg_uuid_t *pool_id)
{
	if (jobs_run(&find_agent_pool, A_INT4(call->caller.tenant), A_PTR(pool_id)).count == 0)
		jobs_error_not_found("agent pool", pool_id);
}

static void
require_administrator(JobsCall *call, bool allowed, const char *action)
{
	if (!allowed)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("not allowed to %s", action),
				 errhint("Ask an administrator.")));
}

void
jobs_administrator_require(JobsCall *call, const char *action)
{
	require_administrator(call, call->caller.administrator, action);
}

void
jobs_all_tenants_require(JobsCall *call, const char *action)
{
	require_administrator(call, rules_all_tenants(call), action);
}

Datum
jobs_current_tenant_id(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	Datum		result = (Datum) 0;
	bool		found;

	jobs_enter_any(fcinfo, &call);
	found = jobs_caller_lookup(&call);
	if (found)
	{
		JobsResult	tenant = jobs_run(&tenant_id, A_INT4(call.caller.tenant));

		result = jobs_column_copy(&call, &tenant, 0, 1);
	}
	jobs_leave(&call);
	if (!found)
		PG_RETURN_NULL();
	return result;
}

/* What the three below answer: who is calling. */
static bool
peek_caller(FunctionCallInfo fcinfo, JobsCaller *caller)
{
	JobsCall	call;
	bool		found;

	jobs_enter_any(fcinfo, &call);
	found = jobs_caller_lookup(&call);
	*caller = call.caller;

	/* Before the default tenant is there, who will be its administrator. */
	if (!found)
		caller->administrator = rules_all_tenants(&call);
	jobs_leave(&call);
	return found;
}

Datum
jobs_current_user_id(PG_FUNCTION_ARGS)
{
	JobsCaller	caller;
	pg_uuid_t  *id;

	if (!peek_caller(fcinfo, &caller))
		PG_RETURN_NULL();
	id = palloc(sizeof(pg_uuid_t));
	*id = caller.user_id;
	PG_RETURN_UUID_P(id);
}

Datum
jobs_is_administrator(PG_FUNCTION_ARGS)
{
	JobsCaller	caller;

	(void) peek_caller(fcinfo, &caller);
	PG_RETURN_BOOL(caller.administrator);
}

Datum
jobs_caller_tenant(PG_FUNCTION_ARGS)
{
	JobsCaller	caller;

	if (!peek_caller(fcinfo, &caller))
		PG_RETURN_NULL();
	PG_RETURN_INT32(caller.tenant);
}

Datum
jobs_add_tenant(PG_FUNCTION_ARGS)
{
	text	   *name = jobs_arg_name(fcinfo, 0, "name");
	JobsCall	call;
	JobsResult	added;
	Datum		id;

	jobs_enter_any(fcinfo, &call);
	require_administrator(&call, rules_all_tenants(&call), "add a tenant");

	/* The default tenant comes first, whoever calls what first. */
	jobs_caller_require(&call);
	added = jobs_run(&add_tenant, A_TIME(GetCurrentTimestamp()), A_PTR(name));
	id = jobs_column_copy(&call, &added, 0, 1);
	jobs_leave(&call);
	return id;
}

/* Number of the tenant in which the caller may add users. */
static int32
tenant_for_user(JobsCall *call, pg_uuid_t *wanted)
{
	JobsResult	found;
	int32		tenant = call->caller.tenant;

	if (wanted != NULL)
	{
		found = jobs_run(&find_tenant, A_PTR(wanted));
		if (found.count == 0 ||
			(DatumGetInt32(jobs_column(&found, 0, 1, NULL)) != tenant && !rules_all_tenants(call)))
			jobs_error_not_found("tenant", wanted);
		tenant = DatumGetInt32(jobs_column(&found, 0, 1, NULL));
	}
	require_administrator(call, rules_all_tenants(call) || call->caller.administrator, "add a user");
	return tenant;
}

/*
 * Who administers a tenant only may not bind just any role to it: neither one
 * that stands above all tenants, nor one that is not the caller's to give away.
 */
static void
check_role(JobsCall *call, const char *name)
{
	Oid			role = get_role_oid(name, false);

	if (rules_all_tenants(call))
		return;
	if (superuser_arg(role) || has_privs_of_role(role, call->owner) ||
		!(is_admin_of_role(call->role, role) || has_createrole_privilege(call->role)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("not allowed to add a user for role \"%s\"", name),
				 errhint("It takes CREATEROLE or ADMIN OPTION on the role; a superuser's role can be added by superusers only.")));
}

Datum
jobs_add_user(PG_FUNCTION_ARGS)
{
	text	   *email = jobs_arg_name(fcinfo, 0, "email");
	text	   *role = PG_ARGISNULL(1) ? NULL : jobs_arg_name(fcinfo, 1, "role_name");
	JobsCall	call;
	JobsResult	added;
	int32		tenant;
	Datum		id;

	jobs_arg_require(fcinfo, 2, "administrator");
	jobs_enter(fcinfo, &call);
	tenant = tenant_for_user(&call, jobs_arg_uuid(fcinfo, 3));
	if (role != NULL)
		check_role(&call, text_to_cstring(role));
	jobs_forget_answers();
	added = jobs_run(&add_user, A_INT4(tenant), A_TIME(GetCurrentTimestamp()),
					 A_PTR(email), A_PTR(role), A_BOOL(PG_GETARG_BOOL(2)));
	id = jobs_column_copy(&call, &added, 0, 1);
	jobs_leave(&call);
	return id;
}

Datum
jobs_register_agent(PG_FUNCTION_ARGS)
{
	text	   *name = jobs_arg_name(fcinfo, 0, "name");
	text	   *host_os = jobs_arg_text(fcinfo, 1, "host_os", JOBS_MAX_SHORT_TEXT);
	text	   *version = jobs_arg_text(fcinfo, 2, "agent_version", JOBS_MAX_SHORT_TEXT);
	JobsCall	call;
	JobsResult	agent;
	Datum		id;

	jobs_enter(fcinfo, &call);
	agent = jobs_run(&register_agent, A_INT4(call.caller.tenant), A_TIME(GetCurrentTimestamp()),
					 A_PTR(&call.caller.user_id), A_PTR(name), A_PTR(host_os),
					 A_PTR(version), A_BOOL(call.caller.administrator));
	if (agent.count == 0)
	{
		agent = jobs_run(&find_agent_by_name, A_INT4(call.caller.tenant), A_PTR(name));
		jobs_error_not_allowed("register again", "agent",
							   DatumGetUUIDP(jobs_column(&agent, 0, 1, NULL)));
	}
	id = jobs_column_copy(&call, &agent, 0, 1);
	jobs_leave(&call);
	return id;
}

Datum
jobs_add_agent_pool(PG_FUNCTION_ARGS)
{
	text	   *name = jobs_arg_name(fcinfo, 0, "name");
	text	   *description = jobs_arg_text(fcinfo, 1, "description", JOBS_MAX_SHORT_TEXT);
	JobsCall	call;
	JobsResult	added;
	Datum		id;

	jobs_enter(fcinfo, &call);
	added = jobs_run(&add_agent_pool, A_INT4(call.caller.tenant), A_TIME(GetCurrentTimestamp()),
					 A_PTR(&call.caller.user_id), A_PTR(name), A_PTR(description));
	id = jobs_column_copy(&call, &added, 0, 1);
	jobs_leave(&call);
	return id;
}

Datum
jobs_add_agent_to_pool(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	pg_uuid_t  *agent;
	pg_uuid_t  *pool;

	jobs_arg_require(fcinfo, 0, "agent_id");
	jobs_arg_require(fcinfo, 1, "agent_pool_id");
	agent = PG_GETARG_UUID_P(0);
	pool = PG_GETARG_UUID_P(1);
	jobs_enter(fcinfo, &call);
	jobs_agent_require(&call, agent);
	jobs_pool_require(&call, pool);
	jobs_forget_answers();
	jobs_run(&add_agent_to_pool, A_INT4(call.caller.tenant), A_PTR(agent), A_PTR(pool));
	jobs_leave(&call);
	PG_RETURN_VOID();
}

/* @scope:name, both parts not empty and without blanks, @ or colon. */
static void
check_function_name(text *name)
{
	char	   *s = text_to_cstring(name);
	char	   *colon = strchr(s, ':');

	if (s[0] != '@' || colon == NULL || colon == s + 1 || colon[1] == '\0' ||
		strpbrk(s + 1, "@ \t\r\n") != NULL || strchr(colon + 1, ':') != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid function name: \"%s\"", s),
				 errhint("A function is named @scope:name, for instance @demo:word-frequencies.")));
}

Datum
jobs_add_function(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {
		"name", "version", "module_name", "module_version", "tool_name",
		"tool_version", "operating_system", "tool_display_name"
	};
	text	   *t[countof(names)];
	JobsCall	call;
	JobsResult	found;
	Datum		id;

	for (int i = 0; i < countof(names); i++)
	{
		t[i] = i < 2 ? jobs_arg_name(fcinfo, i, names[i]) :
			jobs_arg_text(fcinfo, i, names[i], JOBS_MAX_SHORT_TEXT);

		/* An empty tool is none. */
		if (t[i] != NULL && VARSIZE_ANY_EXHDR(t[i]) == 0)
			t[i] = NULL;
	}
	check_function_name(t[0]);
	jobs_enter(fcinfo, &call);
	found = jobs_run(&add_function, A_INT4(call.caller.tenant), A_TIME(GetCurrentTimestamp()),
					 A_PTR(&call.caller.user_id), A_PTR(t[0]), A_PTR(t[1]), A_PTR(t[2]),
					 A_PTR(t[3]), A_PTR(t[4]), A_PTR(t[5]), A_PTR(t[6]), A_PTR(t[7]));
	if (found.count == 0)
	{
		found = jobs_run(&find_same_function, A_INT4(call.caller.tenant), A_PTR(t[0]),
						 A_PTR(t[1]), A_PTR(t[4]), A_PTR(t[5]), A_PTR(t[6]),
						 A_PTR(t[2]), A_PTR(t[3]), A_PTR(t[7]));
		if (found.count == 0 || !DatumGetBool(jobs_column(&found, 0, 2, NULL)))
			ereport(ERROR,
					(errcode(ERRCODE_UNIQUE_VIOLATION),
					 errmsg("function %s %s is registered with another module",
							text_to_cstring(t[0]), text_to_cstring(t[1])),
					 errhint("Register what changed as a new version.")));
	}
	id = jobs_column_copy(&call, &found, 0, 1);
	jobs_leave(&call);
	return id;
}

Datum
jobs_set_agent_functions(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	JobsResult	unknown;
	pg_uuid_t  *agent;
	ArrayType  *functions;

	jobs_arg_require(fcinfo, 0, "agent_id");
	jobs_arg_require(fcinfo, 1, "function_ids");
	agent = PG_GETARG_UUID_P(0);
	functions = PG_GETARG_ARRAYTYPE_P(1);
	jobs_check_array(functions, "function_ids", JOBS_MAX_BATCH);
	jobs_enter(fcinfo, &call);
	jobs_agent_require(&call, agent);
	unknown = jobs_run(&unknown_functions, A_INT4(call.caller.tenant), A_PTR(functions));
	if (unknown.count > 0)
		jobs_error_not_found("function version",
							 DatumGetUUIDP(jobs_column(&unknown, 0, 1, NULL)));
	jobs_forget_answers();
	jobs_run(&remove_agent_functions, A_INT4(call.caller.tenant), A_PTR(agent), A_PTR(functions));
	jobs_run(&add_agent_functions, A_INT4(call.caller.tenant), A_PTR(agent), A_PTR(functions));
	jobs_leave(&call);
	PG_RETURN_VOID();
}
