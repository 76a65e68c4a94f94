/*-------------------------------------------------------------------------
 *
 * access.c
 *		What the caller may do with a job, model or artifact.
 *
 * The creator owns it, an administrator may do all in the tenant, and others
 * have the relation they were given. Besides, whoever registered the agent that
 * holds a job may work on the job and read its model, for as long as it holds
 * it: an agent needs no access rows of its own. To an artifact one has at least
 * the relation that one has to its job.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "funcapi.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(jobs_may_see);
PG_FUNCTION_INFO_V1(jobs_create_access);
PG_FUNCTION_INFO_V1(jobs_create_access_by_email);
PG_FUNCTION_INFO_V1(jobs_update_access);
PG_FUNCTION_INFO_V1(jobs_remove_access);
PG_FUNCTION_INFO_V1(jobs_list_access);

static JobsStatement find_resource = {
	.sql = "SELECT r.kind, r.created_by_id,"
	" (SELECT a.relation FROM jobs_store.access a"
	" WHERE a.tenant = $1 AND a.resource_id = $2 AND a.subject_id = $3)"
	" FROM jobs_store.resource r WHERE r.tenant = $1 AND r.id = $2",
	.types = "iuu",
	.expected = SPI_OK_SELECT
};

static JobsStatement artifact_job = {
	.sql = "SELECT job_id FROM jobs_store.artifact WHERE tenant = $1 AND id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement keep_job = {
	.sql = "SELECT 1 FROM jobs_store.job j WHERE j.tenant = $1 AND j.id = coalesce((SELECT a.job_id"
	" FROM jobs_store.artifact a WHERE a.tenant = $1 AND a.id = $2), $2) FOR KEY SHARE",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement held_job = {
	.sql = "SELECT 1 FROM jobs_store.agent a"
	" JOIN jobs_store.lease l ON l.tenant = a.tenant AND l.agent_id = a.id"
	" WHERE a.tenant = $1 AND a.created_by_id = $2 AND l.job_id = $3 LIMIT 1",
	.types = "iuu",
	.expected = SPI_OK_SELECT
};

static JobsStatement held_model = {
	.sql = "SELECT 1 FROM jobs_store.agent a"
	" JOIN jobs_store.lease l ON l.tenant = a.tenant AND l.agent_id = a.id"
	" JOIN jobs_store.job j ON j.tenant = l.tenant AND j.id = l.job_id"
	" WHERE a.tenant = $1 AND a.created_by_id = $2 AND j.model_id = $3 LIMIT 1",
	.types = "iuu",
	.expected = SPI_OK_SELECT
};

static JobsStatement find_subject = {
	.sql = "SELECT id FROM jobs_store.user_account WHERE tenant = $1 AND id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement find_subject_by_email = {
	.sql = "SELECT id FROM jobs_store.user_account WHERE tenant = $1 AND lower(email) = lower($2)",
	.types = "it",
	.expected = SPI_OK_SELECT
};

/* Nothing comes back when the user has another relation already. */
static JobsStatement add_access = {
	.sql = "INSERT INTO jobs_store.access AS a (tenant, resource_id, subject_id, created, created_by_id,"
	" subject_type, relation, resource_type) VALUES ($1, $2, $3, $4, $5, 'user', $6, $7)"
	" ON CONFLICT (tenant, resource_id, subject_id) DO UPDATE SET relation = a.relation WHERE a.relation = $6",
	.types = "iuuzutt",
	.expected = SPI_OK_INSERT
};

static JobsStatement change_access = {
	.sql = "UPDATE jobs_store.access SET relation = $4 WHERE tenant = $1 AND resource_id = $2 AND subject_id = $3",
	.types = "iuut",
	.expected = SPI_OK_UPDATE
};

static JobsStatement delete_access = {
	.sql = "DELETE FROM jobs_store.access WHERE tenant = $1 AND resource_id = $2 AND subject_id = $3",
	.types = "iuu",
	.expected = SPI_OK_DELETE
};

static JobsStatement list_access = {
	.sql = "SELECT (access).* FROM jobs_store.full_access WHERE tenant = $1 AND id = $2"
	" ORDER BY created NULLS FIRST",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement find_access = {
	.sql = "SELECT access FROM jobs_store.full_access WHERE tenant = $1 AND id = $2"
	" AND created IS NOT NULL AND (access).subject_id = $3",
	.types = "iuu",
	.expected = SPI_OK_SELECT
};

typedef struct RelationName
{
	const char *name;
	JobsRelation relation;
} RelationName;

static const RelationName relation_names[] = {
	{"viewer", JOBS_VIEWER},
	{"executor", JOBS_EXECUTOR},
	{"editor", JOBS_EDITOR},
	{"owner", JOBS_OWNER},
	{"administrator", JOBS_OWNER},
	{"upstreamremoteowner", JOBS_VIEWER},
};

static int
granted_relation(const JobsResult *found)
{
	bool		isnull;
	Datum		granted = jobs_column(found, 0, 3, &isnull);
	char	   *name;

	if (isnull)
		return 0;
	name = TextDatumGetCString(granted);
	for (int i = 0; i < countof(relation_names); i++)
		if (strcmp(relation_names[i].name, name) == 0)
			return relation_names[i].relation;
	return 0;
}

static bool
holds(JobsCall *call, JobsStatement *statement, const pg_uuid_t *id)
{
	return jobs_run(statement, A_INT4(call->caller.tenant),
					A_PTR(&call->caller.user_id), A_PTR(id)).count > 0;
}

/* To the job of an artifact: what a job made is seen by whoever sees the job. */
static int
job_relation(JobsCall *call, const pg_uuid_t *artifact_id)
{
	JobsResult	job = jobs_run(&artifact_job, A_INT4(call->caller.tenant), A_PTR(artifact_id));
	const char *kind;

	return jobs_relation(call, DatumGetUUIDP(jobs_column(&job, 0, 1, NULL)), &kind);
}

/*
 * The caller's relation to a resource, 0 for none; *kind says what it is, NULL
 * when the tenant has no such resource.
 */
int
jobs_relation(JobsCall *call, const pg_uuid_t *resource_id, const char **kind)
{
	JobsResult	found = jobs_run(&find_resource, A_INT4(call->caller.tenant),
								 A_PTR(resource_id), A_PTR(&call->caller.user_id));
	int			relation;

	*kind = NULL;
	if (found.count == 0)
		return 0;
	*kind = TextDatumGetCString(jobs_column(&found, 0, 1, NULL));
	if (call->caller.administrator ||
		memcmp(DatumGetUUIDP(jobs_column(&found, 0, 2, NULL)), &call->caller.user_id, UUID_LEN) == 0)
		return JOBS_OWNER;
	relation = granted_relation(&found);
	if (relation < JOBS_EDITOR && strcmp(*kind, "job") == 0 && holds(call, &held_job, resource_id))
		return JOBS_EDITOR;
	if (relation < JOBS_VIEWER && strcmp(*kind, "model") == 0 && holds(call, &held_model, resource_id))
		return JOBS_VIEWER;
	if (relation < JOBS_OWNER && strcmp(*kind, "artifact") == 0)
		return Max(relation, job_relation(call, resource_id));
	return relation;
}

Datum
jobs_may_see(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	const char *kind;
	bool		may;

	jobs_enter_any(fcinfo, &call);
	may = jobs_caller_lookup(&call) &&
		jobs_relation(&call, PG_GETARG_UUID_P(0), &kind) >= JOBS_VIEWER;
	jobs_leave(&call);
	PG_RETURN_BOOL(may);
}

/*
 * JB404 when the caller may not even see the resource, 42501 when it may see
 * it but not do the action; answers the kind of the resource.
 */
const char *
jobs_access_require(JobsCall *call, const pg_uuid_t *resource_id, JobsRelation need,
					const char *action)
{
	const char *kind;
	int			relation = jobs_relation(call, resource_id, &kind);

	if (relation < JOBS_VIEWER)
		jobs_error_not_found("job, model or artifact", resource_id);
	if (relation < (int) need)
		jobs_error_not_allowed(action, kind, resource_id);
	return kind;
}

/*
 * Before something is added that belongs to a resource or refers to it: the job
 * that it is, or whose artifact it is, is not pruned until we commit (prune.c).
 * JB404 when that has just happened.
 */
void
jobs_keep_job(JobsCall *call, const pg_uuid_t *resource_id, const char *kind)
{
	if (strcmp(kind, "model") != 0 &&
		jobs_run(&keep_job, A_INT4(call->caller.tenant), A_PTR(resource_id)).count == 0)
		jobs_error_not_found(kind, resource_id);
}

/* The SQL-callable functions ---------------------------------------------- */

/* An access on its way in or out. */
typedef struct AccessChange
{
	pg_uuid_t  *resource_id;
	const char *kind;
	pg_uuid_t	subject_id;
	text	   *relation;
} AccessChange;

static void
check_subject_type(FunctionCallInfo fcinfo)
{
	char	   *type;

	jobs_arg_require(fcinfo, 1, "subject_type");
	type = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (strcmp(type, "user") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid subject_type: \"%s\"", type),
				 errhint("It must be user.")));
}

static text *
relation_argument(FunctionCallInfo fcinfo, int argno)
{
	char	   *relation;
	StringInfoData names;

	jobs_arg_require(fcinfo, argno, "relation");
	relation = text_to_cstring(PG_GETARG_TEXT_PP(argno));
	initStringInfo(&names);
	for (int i = 0; i < countof(relation_names); i++)
	{
		if (strcmp(relation_names[i].name, relation) == 0)
			return PG_GETARG_TEXT_PP(argno);
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", relation_names[i].name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid relation: \"%s\"", relation),
			 errhint("It must be one of: %s.", names.data)));
}

/*
 * What the four functions have in common: the resource, which the caller must
 * own, and the user, who must be of the tenant and not the creator, whose
 * ownership is a fact and not a grant.
 */
static void
begin_change(FunctionCallInfo fcinfo, JobsCall *call, AccessChange *change,
			 JobsStatement *find, JobsArg subject)
{
	JobsResult	found;

	jobs_enter(fcinfo, call);
	change->kind = jobs_access_require(call, change->resource_id, JOBS_OWNER, "change access to");
	jobs_keep_job(call, change->resource_id, change->kind);
	found = jobs_run(find, A_INT4(call->caller.tenant), subject);
	if (found.count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_JOBS_NOT_FOUND),
				 errmsg("user not found"),
				 errhint("Users of the tenant are added with jobs.add_user.")));
	change->subject_id = *DatumGetUUIDP(jobs_column(&found, 0, 1, NULL));
	found = jobs_run(&find_resource, A_INT4(call->caller.tenant), A_PTR(change->resource_id),
					 A_PTR(&change->subject_id));
	if (memcmp(DatumGetUUIDP(jobs_column(&found, 0, 2, NULL)), &change->subject_id, UUID_LEN) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_JOBS_WRONG_STATE),
				 errmsg("user %s created %s %s and owns it", jobs_uuid_text(&change->subject_id),
						change->kind, jobs_uuid_text(change->resource_id)),
				 errhint("The ownership of the creator can be neither changed nor removed.")));
}

/* The access as it is now. */
static Datum
fetch_access(JobsCall *call, const AccessChange *change)
{
	JobsResult	found = jobs_run(&find_access, A_INT4(call->caller.tenant), A_PTR(change->resource_id),
								 A_PTR(&change->subject_id));

	if (found.count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_JOBS_NOT_FOUND),
				 errmsg("user %s was given no access to %s %s", jobs_uuid_text(&change->subject_id),
						change->kind, jobs_uuid_text(change->resource_id))));
	return jobs_column_copy(call, &found, 0, 1);
}

static Datum
create_access(FunctionCallInfo fcinfo, JobsStatement *find, JobsArg subject)
{
	JobsCall	call;
	AccessChange change = {.resource_id = PG_GETARG_UUID_P(0), .relation = relation_argument(fcinfo, 3)};
	Datum		access;

	begin_change(fcinfo, &call, &change, find, subject);
	if (jobs_run(&add_access, A_INT4(call.caller.tenant), A_PTR(change.resource_id),
				 A_PTR(&change.subject_id), A_TIME(GetCurrentTimestamp()), A_PTR(&call.caller.user_id),
				 A_PTR(change.relation), A_PTR(cstring_to_text(change.kind))).count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("user %s has another relation to %s %s", jobs_uuid_text(&change.subject_id),
						change.kind, jobs_uuid_text(change.resource_id)),
				 errhint("Change it with jobs.update_access.")));
	access = fetch_access(&call, &change);
	jobs_leave(&call);
	return access;
}

Datum
jobs_create_access(PG_FUNCTION_ARGS)
{
	jobs_arg_require(fcinfo, 0, "job_id");
	check_subject_type(fcinfo);
	jobs_arg_require(fcinfo, 2, "subject_id");
	return create_access(fcinfo, &find_subject, A_PTR(PG_GETARG_UUID_P(2)));
}

Datum
jobs_create_access_by_email(PG_FUNCTION_ARGS)
{
	jobs_arg_require(fcinfo, 0, "job_id");
	check_subject_type(fcinfo);
	return create_access(fcinfo, &find_subject_by_email, A_PTR(jobs_arg_name(fcinfo, 2, "email")));
}

Datum
jobs_update_access(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	AccessChange change = {0};
	Datum		access;

	jobs_arg_require(fcinfo, 0, "job_id");
	check_subject_type(fcinfo);
	jobs_arg_require(fcinfo, 2, "subject_id");
	change.resource_id = PG_GETARG_UUID_P(0);
	change.relation = relation_argument(fcinfo, 3);
	begin_change(fcinfo, &call, &change, &find_subject, A_PTR(PG_GETARG_UUID_P(2)));
	jobs_run(&change_access, A_INT4(call.caller.tenant), A_PTR(change.resource_id),
			 A_PTR(&change.subject_id), A_PTR(change.relation));
	access = fetch_access(&call, &change);
	jobs_leave(&call);
	return access;
}

Datum
jobs_remove_access(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	AccessChange change = {0};
	Datum		access;

	jobs_arg_require(fcinfo, 0, "job_id");
	check_subject_type(fcinfo);
	jobs_arg_require(fcinfo, 2, "subject_id");
	change.resource_id = PG_GETARG_UUID_P(0);
	begin_change(fcinfo, &call, &change, &find_subject, A_PTR(PG_GETARG_UUID_P(2)));
	access = fetch_access(&call, &change);
	jobs_run(&delete_access, A_INT4(call.caller.tenant), A_PTR(change.resource_id),
			 A_PTR(&change.subject_id));
	jobs_leave(&call);
	return access;
}

/*
 * A set of what belongs to the resource that argument 0 names, for whoever may
 * see it. The statement takes tenant and resource.
 */
Datum
jobs_list_of_resource(FunctionCallInfo fcinfo, JobsStatement *statement)
{
	JobsCall	call;
	JobsResult	found;

	jobs_arg_require(fcinfo, 0, "job_id");
	InitMaterializedSRF(fcinfo, 0);
	jobs_enter(fcinfo, &call);
	jobs_access_require(&call, PG_GETARG_UUID_P(0), JOBS_VIEWER, "see");
	found = jobs_run(statement, A_INT4(call.caller.tenant), A_PTR(PG_GETARG_UUID_P(0)));
	jobs_store_rows((ReturnSetInfo *) fcinfo->resultinfo, &found);
	jobs_leave(&call);
	return (Datum) 0;
}

Datum
jobs_list_access(PG_FUNCTION_ARGS)
{
	return jobs_list_of_resource(fcinfo, &list_access);
}
