/*-------------------------------------------------------------------------
 *
 * resolve.c
 *		Checks a job that is to be added, and finds what it names: function
 *		version, lane, model, agent, pool, dependencies.
 *
 * In a batch, what one job has found is remembered for the next, which as a rule
 * asks the same.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "catalog/pg_collation.h"
#include "utils/builtins.h"

#include "newjob.h"

typedef struct JobArgInfo
{
	const char *name;
	bool		required;
	int			max_chars;		/* of a text; 0: not a text or no limit */
	int32		low;			/* of an integer */
	int32		high;
	const char *const *choices; /* of a text; NULL: any */
	bool		span;			/* an interval that something lasts */
} JobArgInfo;

#define SHORT .max_chars = JOBS_MAX_SHORT_TEXT

static const char *const dependency_choices[] = {"cancel", "run", NULL};

static const JobArgInfo arg_infos[JOB_ARGS] = {
	[ARG_FUNCTION] = {.name = "function", .required = true, SHORT},
	[ARG_MODEL] = {.name = "model_id"},
	[ARG_PARAMETERS] = {.name = "parameters", .required = true},
	[ARG_TOOL_NAME] = {.name = "tool_name", SHORT},
	[ARG_TOOL_VERSION] = {.name = "tool_version", SHORT},
	[ARG_OPERATING_SYSTEM] = {.name = "operating_system", SHORT},
	[ARG_FUNCTION_VERSION] = {.name = "function_version", SHORT},
	[ARG_ASSIGNED_AGENT] = {.name = "assigned_agent_id"},
	[ARG_ASSIGNED_AGENT_POOL] = {.name = "assigned_agent_pool_id"},
	[ARG_AGENT] = {.name = "agent_id"},
	[ARG_SOURCES] = {.name = "sources"},
	[ARG_DESCRIPTION] = {.name = "description", SHORT},
	[ARG_DISPLAY_NAME] = {.name = "display_name", SHORT},
	[ARG_VERSION_NAME] = {.name = "version_name", SHORT},
	[ARG_EXTERNAL_IDENTIFIER] = {.name = "external_identifier", SHORT},
	[ARG_PRIORITY] = {.name = "priority", .required = true, .low = -1000000, .high = 1000000},
	[ARG_RUN_AFTER] = {.name = "run_after"},
	[ARG_DEPENDS_ON] = {.name = "depends_on"},
	[ARG_MAX_ATTEMPTS] = {.name = "max_attempts", .required = true, .low = 1, .high = 1000},
	[ARG_IDEMPOTENCY_KEY] = {.name = "idempotency_key", SHORT},
	[ARG_ON_DEPENDENCY_FAILURE] = {.name = "on_dependency_failure", .required = true, .choices = dependency_choices},
	[ARG_CONCURRENCY_KEY] = {.name = "concurrency_key", SHORT},
	[ARG_BACKOFF] = {.name = "backoff", .choices = jobs_backoff_names},
	[ARG_BACKOFF_BASE] = {.name = "backoff_base", .span = true},
	[ARG_BACKOFF_CAP] = {.name = "backoff_cap", .span = true},
};

static JobsStatement find_functions = {
	.sql = "SELECT id, version, tool_name, tool_version, operating_system"
	" FROM jobs_store.function_version WHERE tenant = $1 AND name = $2"
	" AND ($3 IS NULL OR version = $3) AND ($4 IS NULL OR coalesce(tool_name, '') = $4)"
	" AND ($5 IS NULL OR coalesce(tool_version, '') = $5)"
	" AND ($6 IS NULL OR coalesce(operating_system, '') = $6)"
	" ORDER BY id DESC",
	.types = "ittttt",
	.expected = SPI_OK_SELECT
};

static JobsStatement find_versions = {
	.sql = "SELECT string_agg(concat_ws(' ', version, tool_name, tool_version, operating_system), ', ' ORDER BY id DESC)"
	" FROM (SELECT * FROM jobs_store.function_version WHERE tenant = $1 AND name = $2"
	" ORDER BY id DESC LIMIT 10) v HAVING count(*) > 0",
	.types = "it",
	.expected = SPI_OK_SELECT
};

static JobsStatement find_agent = {
	.sql = "SELECT 1 FROM jobs_store.agent WHERE tenant = $1 AND id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement find_lane = {
	.sql = "SELECT lane FROM jobs_store.lane WHERE tenant = $1 AND function_id = $2 AND priority = $3"
	" AND assigned_agent_id IS NOT DISTINCT FROM $4 AND assigned_agent_pool_id IS NOT DISTINCT FROM $5"
	" AND concurrency_key IS NULL AND $6 IS NULL ORDER BY lane LIMIT 1",
	.types = "iuiuut",
	.expected = SPI_OK_SELECT
};

/* The lanes of keys come and go (limit.c); the lock keeps this one from going. */
static JobsStatement find_keyed_lane = {
	.sql = "SELECT lane FROM jobs_store.lane WHERE tenant = $1 AND function_id = $2 AND priority = $3"
	" AND assigned_agent_id IS NOT DISTINCT FROM $4 AND assigned_agent_pool_id IS NOT DISTINCT FROM $5"
	" AND concurrency_key = $6 ORDER BY lane LIMIT 1 FOR KEY SHARE SKIP LOCKED",
	.types = "iuiuut",
	.expected = SPI_OK_SELECT
};

static JobsStatement add_lane = {
	.sql = "INSERT INTO jobs_store.lane (tenant, function_id, priority, assigned_agent_id, assigned_agent_pool_id, concurrency_key)"
	" VALUES ($1, $2, $3, $4, $5, $6) RETURNING lane",
	.types = "iuiuut",
	.expected = SPI_OK_INSERT_RETURNING
};

static pg_uuid_t *
uuid_value(const JobsNewJob *job, JobArg arg)
{
	return job->nulls[arg] ? NULL : DatumGetUUIDP(job->values[arg]);
}

text *
jobs_text_value(const JobsNewJob *job, JobArg arg)
{
	return job->nulls[arg] ? NULL : DatumGetTextPP(job->values[arg]);
}

/* Whether it begins by waiting for other jobs. */
bool
jobs_is_dependent(const JobsNewJob *job)
{
	return !job->nulls[ARG_DEPENDS_ON] && ARR_NDIM(DatumGetArrayTypeP(job->values[ARG_DEPENDS_ON])) > 0;
}

/* Whether it is canceled when one of those fails, which is the rule; stored is the exception. */
bool
jobs_ends_with_dependency(const JobsNewJob *job)
{
	return strcmp(text_to_cstring(jobs_text_value(job, ARG_ON_DEPENDENCY_FAILURE)), dependency_choices[0]) == 0;
}

static bool
same_text(const JobsNewJob *a, const JobsNewJob *b, JobArg arg)
{
	if (a->nulls[arg] || b->nulls[arg])
		return a->nulls[arg] == b->nulls[arg];
	return DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID,
												a->values[arg], b->values[arg]));
}

static bool
same_uuid(const JobsNewJob *a, const JobsNewJob *b, JobArg arg)
{
	if (a->nulls[arg] || b->nulls[arg])
		return a->nulls[arg] == b->nulls[arg];
	return memcmp(uuid_value(a, arg), uuid_value(b, arg), UUID_LEN) == 0;
}

/* What can be said of the arguments without looking at anything else. */
static void
check_values(JobsNewJob *job)
{
	for (int i = 0; i < JOB_ARGS; i++)
	{
		const JobArgInfo *info = &arg_infos[i];

		if (job->nulls[i])
		{
			if (info->required)
				ereport(ERROR,
						(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						 errmsg("%s must not be null", info->name)));
			continue;
		}
		if (info->max_chars > 0)
			jobs_check_text(jobs_text_value(job, i), info->name, info->max_chars);
		if (info->choices != NULL)
			jobs_check_choice(jobs_text_value(job, i), info->name, info->choices);
		if (info->span)
			jobs_check_span(DatumGetIntervalP(job->values[i]), info->name);
		if (info->high > 0 &&
			(DatumGetInt32(job->values[i]) < info->low || DatumGetInt32(job->values[i]) > info->high))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s is out of range: %d", info->name, DatumGetInt32(job->values[i])),
					 errhint("It must be between %d and %d.", info->low, info->high)));
	}
	if (!job->nulls[ARG_AGENT])
	{
		if (!job->nulls[ARG_ASSIGNED_AGENT] &&
			memcmp(uuid_value(job, ARG_AGENT), uuid_value(job, ARG_ASSIGNED_AGENT), UUID_LEN) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("agent_id and assigned_agent_id name different agents"),
					 errhint("agent_id is another name for assigned_agent_id; give one of them.")));
		job->values[ARG_ASSIGNED_AGENT] = job->values[ARG_AGENT];
		job->nulls[ARG_ASSIGNED_AGENT] = false;
	}
	if (!job->nulls[ARG_ASSIGNED_AGENT] && !job->nulls[ARG_ASSIGNED_AGENT_POOL])
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a job cannot be assigned to an agent and to a pool"),
				 errhint("Give assigned_agent_id or assigned_agent_pool_id, not both.")));
	if (!job->nulls[ARG_DEPENDS_ON])
		jobs_check_array(DatumGetArrayTypeP(job->values[ARG_DEPENDS_ON]), "depends_on", JOBS_MAX_BATCH);
	if (!job->nulls[ARG_SOURCES])
		jobs_check_array(DatumGetArrayTypeP(job->values[ARG_SOURCES]), "sources", JOBS_MAX_BATCH);
}

static bool
same_version(const JobsResult *found, uint64 row)
{
	return DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID,
												jobs_column(found, 0, 2, NULL),
												jobs_column(found, row, 2, NULL)));
}

/* "version tool tool-version system" of each row of the first one's version. */
static char *
candidate_list(const JobsResult *found)
{
	StringInfoData list;

	initStringInfo(&list);
	for (uint64 row = 0; row < found->count; row++)
	{
		if (!same_version(found, row))
			continue;
		if (row > 0)
			appendStringInfoString(&list, ", ");
		for (int column = 2; column <= found->table->tupdesc->natts; column++)
		{
			char	   *value = SPI_getvalue(found->table->vals[row], found->table->tupdesc, column);

			if (value != NULL)
				appendStringInfo(&list, "%s%s", column > 2 ? " " : "", value);
		}
	}
	return list.data;
}

static void
no_function(JobsCall *call, JobsNewJob *job)
{
	char	   *name = text_to_cstring(jobs_text_value(job, ARG_FUNCTION));
	JobsResult	versions = jobs_run(&find_versions, A_INT4(call->caller.tenant),
									A_PTR(jobs_text_value(job, ARG_FUNCTION)));

	if (versions.count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_JOBS_NOT_FOUND),
				 errmsg("function %s not found", name),
				 errhint("Register it with jobs.add_function.")));
	ereport(ERROR,
			(errcode(ERRCODE_JOBS_NOT_FOUND),
			 errmsg("function %s has no version that fits", name),
			 errdetail("Registered are: %s.", TextDatumGetCString(jobs_column(&versions, 0, 1, NULL)))));
}

/*
 * The version that was registered last among those that fit. When that very
 * version is there for several tools or systems, the caller has to choose.
 */
static void
resolve_function(JobsCall *call, JobsNewJob *job, ResolveMemo *memo)
{
	static const JobArg asked[] = {
		ARG_FUNCTION, ARG_FUNCTION_VERSION, ARG_TOOL_NAME, ARG_TOOL_VERSION, ARG_OPERATING_SYSTEM
	};
	JobsResult	found;
	bool		same = memo->function != NULL;

	for (int i = 0; same && i < countof(asked); i++)
		same = same_text(job, memo->function, asked[i]);
	if (same)
	{
		job->function_id = memo->function->function_id;
		return;
	}
	found = jobs_run(&find_functions, A_INT4(call->caller.tenant),
					 A_PTR(jobs_text_value(job, ARG_FUNCTION)),
					 A_PTR(jobs_text_value(job, ARG_FUNCTION_VERSION)),
					 A_PTR(jobs_text_value(job, ARG_TOOL_NAME)),
					 A_PTR(jobs_text_value(job, ARG_TOOL_VERSION)),
					 A_PTR(jobs_text_value(job, ARG_OPERATING_SYSTEM)));
	if (found.count == 0)
		no_function(call, job);
	for (uint64 row = 1; row < found.count; row++)
		if (same_version(&found, row))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("function %s is ambiguous", text_to_cstring(jobs_text_value(job, ARG_FUNCTION))),
					 errdetail("These fit: %s.", candidate_list(&found)),
					 errhint("Give tool_name, tool_version or operating_system; the empty string means none.")));
	job->function_id = *DatumGetUUIDP(jobs_column(&found, 0, 1, NULL));
	memo->function = job;
}

/* The lane for jobs of that kind; a new one if there is none. */
int32
jobs_lane(JobsCall *call, const JobsLaneKey *key)
{
	JobsArg		args[6];
	JobsResult	found;

	args[0] = A_INT4(call->caller.tenant);
	args[1] = A_PTR(key->function_id);
	args[2] = A_INT4(key->priority);
	args[3] = A_PTR(key->agent_id);
	args[4] = A_PTR(key->pool_id);
	args[5] = A_PTR(key->concurrency_key);
	found = jobs_run_args(key->concurrency_key == NULL ? &find_lane : &find_keyed_lane, 6, args);
	if (found.count == 0)
	{
		found = jobs_run_args(&add_lane, 6, args);
		jobs_forget_answers();
	}
	return DatumGetInt32(jobs_column(&found, 0, 1, NULL));
}

static void
resolve_lane(JobsCall *call, JobsNewJob *job, ResolveMemo *memo)
{
	JobsLaneKey key = {0};

	if (memo->lane != NULL &&
		memcmp(&memo->lane->function_id, &job->function_id, UUID_LEN) == 0 &&
		memo->lane->values[ARG_PRIORITY] == job->values[ARG_PRIORITY] &&
		same_uuid(job, memo->lane, ARG_ASSIGNED_AGENT) &&
		same_uuid(job, memo->lane, ARG_ASSIGNED_AGENT_POOL) &&
		same_text(job, memo->lane, ARG_CONCURRENCY_KEY))
	{
		job->lane = memo->lane->lane;
		return;
	}
	key.function_id = &job->function_id;
	key.priority = DatumGetInt32(job->values[ARG_PRIORITY]);
	key.agent_id = uuid_value(job, ARG_ASSIGNED_AGENT);
	key.pool_id = uuid_value(job, ARG_ASSIGNED_AGENT_POOL);
	key.concurrency_key = jobs_text_value(job, ARG_CONCURRENCY_KEY);
	job->lane = jobs_lane(call, &key);
	memo->lane = job;
}

/* The model, agent and pool that a job names must be there. */
static void
check_references(JobsCall *call, JobsNewJob *job, ResolveMemo *memo)
{
	pg_uuid_t  *model = uuid_value(job, ARG_MODEL);
	pg_uuid_t  *agent = uuid_value(job, ARG_ASSIGNED_AGENT);
	pg_uuid_t  *pool = uuid_value(job, ARG_ASSIGNED_AGENT_POOL);

	if (model != NULL && (memo->model == NULL || !same_uuid(job, memo->model, ARG_MODEL)))
	{
		const char *kind;
		int			relation = jobs_relation(call, model, &kind);

		if (relation < JOBS_VIEWER || strcmp(kind, "model") != 0)
			jobs_error_not_found("model", model);
		if (relation < JOBS_EXECUTOR)
			jobs_error_not_allowed("start jobs on", "model", model);
		memo->model = job;
	}
	if (agent != NULL && (memo->agent == NULL || !same_uuid(job, memo->agent, ARG_ASSIGNED_AGENT)))
	{
		if (jobs_run(&find_agent, A_INT4(call->caller.tenant), A_PTR(agent)).count == 0)
			jobs_error_not_found("agent", agent);
		memo->agent = job;
	}
	if (pool != NULL && (memo->pool == NULL || !same_uuid(job, memo->pool, ARG_ASSIGNED_AGENT_POOL)))
	{
		jobs_pool_require(call, pool);
		memo->pool = job;
	}
	if (!job->nulls[ARG_DEPENDS_ON])
		jobs_dependencies_require(call, DatumGetArrayTypeP(job->values[ARG_DEPENDS_ON]));
}

const char *
jobs_argument_name(JobArg arg)
{
	return arg_infos[arg].name;
}

/* All of it, or an error. */
void
jobs_resolve(JobsCall *call, JobsNewJob *job, ResolveMemo *memo)
{
	check_values(job);
	resolve_function(call, job, memo);
	check_references(call, job, memo);
	resolve_lane(call, job, memo);
}
