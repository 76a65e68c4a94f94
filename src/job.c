/*-------------------------------------------------------------------------
 *
 * job.c
 *		Adding jobs, one or many, and reading one.
 *
 * There is one way in: add_job is a batch of one. The arguments of every job
 * stand in an array of Datums in the order of add_job's arguments, whichever
 * way they came; the table below says what is known of each. First every job
 * is checked and resolved (function version, lane, model, ...), each distinct
 * question asked once; then all rows are written by one statement a table.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"

PG_FUNCTION_INFO_V1(jobs_add_job);
PG_FUNCTION_INFO_V1(jobs_add_jobs);
PG_FUNCTION_INFO_V1(jobs_get_job);

/* In the order of add_job's arguments and of the columns of expand_jobs. */
typedef enum JobArg
{
	ARG_FUNCTION,
	ARG_MODEL,
	ARG_PARAMETERS,
	ARG_TOOL_NAME,
	ARG_TOOL_VERSION,
	ARG_OPERATING_SYSTEM,
	ARG_FUNCTION_VERSION,
	ARG_ASSIGNED_AGENT,
	ARG_ASSIGNED_AGENT_POOL,
	ARG_AGENT,
	ARG_SOURCES,
	ARG_DESCRIPTION,
	ARG_DISPLAY_NAME,
	ARG_VERSION_NAME,
	ARG_EXTERNAL_IDENTIFIER,
	ARG_PRIORITY,
	ARG_RUN_AFTER,
	ARG_DEPENDS_ON,
	ARG_MAX_ATTEMPTS,
	ARG_IDEMPOTENCY_KEY
} JobArg;

#define JOB_ARGS (ARG_IDEMPOTENCY_KEY + 1)

typedef struct JobArgInfo
{
	const char *name;
	bool		required;
	int			max_chars;		/* of a text; 0: not a text or no limit */
	int32		low;			/* of an integer */
	int32		high;
} JobArgInfo;

#define SHORT JOBS_MAX_SHORT_TEXT

static const JobArgInfo arg_infos[JOB_ARGS] = {
	[ARG_FUNCTION] = {"function", true, SHORT, 0, 0},
	[ARG_MODEL] = {"model_id", false, 0, 0, 0},
	[ARG_PARAMETERS] = {"parameters", true, 0, 0, 0},
	[ARG_TOOL_NAME] = {"tool_name", false, SHORT, 0, 0},
	[ARG_TOOL_VERSION] = {"tool_version", false, SHORT, 0, 0},
	[ARG_OPERATING_SYSTEM] = {"operating_system", false, SHORT, 0, 0},
	[ARG_FUNCTION_VERSION] = {"function_version", false, SHORT, 0, 0},
	[ARG_ASSIGNED_AGENT] = {"assigned_agent_id", false, 0, 0, 0},
	[ARG_ASSIGNED_AGENT_POOL] = {"assigned_agent_pool_id", false, 0, 0, 0},
	[ARG_AGENT] = {"agent_id", false, 0, 0, 0},
	[ARG_SOURCES] = {"sources", false, 0, 0, 0},
	[ARG_DESCRIPTION] = {"description", false, SHORT, 0, 0},
	[ARG_DISPLAY_NAME] = {"display_name", false, SHORT, 0, 0},
	[ARG_VERSION_NAME] = {"version_name", false, SHORT, 0, 0},
	[ARG_EXTERNAL_IDENTIFIER] = {"external_identifier", false, SHORT, 0, 0},
	[ARG_PRIORITY] = {"priority", true, 0, -1000000, 1000000},
	[ARG_RUN_AFTER] = {"run_after", false, 0, 0, 0},
	[ARG_DEPENDS_ON] = {"depends_on", false, 0, 0, 0},
	[ARG_MAX_ATTEMPTS] = {"max_attempts", true, 0, 1, 1000},
	[ARG_IDEMPOTENCY_KEY] = {"idempotency_key", false, SHORT, 0, 0},
};

typedef struct JobsNewJob
{
	Datum		values[JOB_ARGS];
	bool		nulls[JOB_ARGS];
	/* resolved */
	pg_uuid_t	id;				/* of the job that is there when existing */
	pg_uuid_t	function_id;
	int32		lane;
	bool		existing;
} JobsNewJob;

#define NO_ELEMENT (-1)

/* What is known from one job is remembered for the next of the batch. */
typedef struct ResolveMemo
{
	JobsNewJob *function;		/* last job whose function was resolved */
	JobsNewJob *lane;
	JobsNewJob *model;
	JobsNewJob *agent;
	JobsNewJob *pool;
} ResolveMemo;

static JobsStatement find_functions = {
	.sql = "SELECT id, version, tool_name, tool_version, operating_system"
	" FROM jobs_store.function_version WHERE tenant = $1 AND name = $2"
	" AND ($3 IS NULL OR version = $3) AND ($4 IS NULL OR tool_name = $4)"
	" AND ($5 IS NULL OR tool_version = $5) AND ($6 IS NULL OR operating_system = $6)"
	" ORDER BY id DESC",
	.types = "ittttt",
	.expected = SPI_OK_SELECT
};

static JobsStatement find_versions = {
	.sql = "SELECT concat_ws(' ', version, tool_name, tool_version, operating_system)"
	" FROM jobs_store.function_version WHERE tenant = $1 AND name = $2 ORDER BY id DESC LIMIT 10",
	.types = "it",
	.expected = SPI_OK_SELECT
};

static JobsStatement find_agent = {
	.sql = "SELECT 1 FROM jobs_store.agent WHERE tenant = $1 AND id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement find_pool = {
	.sql = "SELECT 1 FROM jobs_store.agent_pool WHERE tenant = $1 AND id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement find_lane = {
	.sql = "SELECT lane FROM jobs_store.lane WHERE tenant = $1 AND function_id = $2 AND priority = $3"
	" AND assigned_agent_id IS NOT DISTINCT FROM $4 AND assigned_agent_pool_id IS NOT DISTINCT FROM $5"
	" ORDER BY lane LIMIT 1",
	.types = "iuiuu",
	.expected = SPI_OK_SELECT
};

static JobsStatement add_lane = {
	.sql = "INSERT INTO jobs_store.lane (tenant, function_id, priority, assigned_agent_id, assigned_agent_pool_id)"
	" VALUES ($1, $2, $3, $4, $5) RETURNING lane",
	.types = "iuiuu",
	.expected = SPI_OK_INSERT_RETURNING
};

static JobsStatement hidden_dependency = {
	.sql = "SELECT d.id FROM unnest($2) d(id) WHERE NOT EXISTS (SELECT FROM jobs_store.job j"
	" WHERE j.tenant = $1 AND j.id = d.id AND ($3 OR j.created_by_id = $4 OR EXISTS ("
	" SELECT FROM jobs_store.access a WHERE a.tenant = $1 AND a.resource_id = d.id AND a.subject_id = $4)))"
	" LIMIT 1",
	.types = "iUbu",
	.expected = SPI_OK_SELECT
};

/* In the order of the keys, so that two batches cannot wait for each other. */
static JobsStatement add_keys = {
	.sql = "INSERT INTO jobs_store.job_key (tenant, idempotency_key, job_id)"
	" SELECT $1, k.key, k.job FROM unnest($2, $3) WITH ORDINALITY k(key, job, n)"
	" ORDER BY k.key, k.n ON CONFLICT DO NOTHING",
	.types = "iTU",
	.expected = SPI_OK_INSERT
};

static JobsStatement find_keys = {
	.sql = "SELECT k.n, o.job_id, o.job_id = ANY ($3) FROM unnest($2, $3) WITH ORDINALITY k(key, job, n)"
	" JOIN jobs_store.job_key o ON o.tenant = $1 AND o.idempotency_key = k.key"
	" WHERE o.job_id <> k.job",
	.types = "iTU",
	.expected = SPI_OK_SELECT
};

static JobsStatement insert_jobs = {
	.sql = "WITH n AS MATERIALIZED (SELECT * FROM unnest($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
	" WITH ORDINALITY n(id, function_id, lane, model_id, parameters, assigned_agent_id, assigned_agent_pool_id, agent_id,"
	" description, display_name, version_name, external_identifier, priority, run_after, dependent, max_attempts, n)),"
	" j AS (INSERT INTO jobs_store.job (tenant, id, created, created_by_id, first_status, function_id, model_id, parameters,"
	" assigned_agent_id, assigned_agent_pool_id, agent_id, description, display_name, version_name, external_identifier,"
	" priority, run_after, max_attempts)"
	" SELECT $1, n.id, $2, $3, CASE WHEN n.dependent OR n.run_after > $2 THEN 'CREATED' ELSE 'PENDING' END::jobs.job_status_name,"
	" n.function_id, n.model_id, n.parameters, n.assigned_agent_id, n.assigned_agent_pool_id, n.agent_id,"
	" n.description, n.display_name, n.version_name, n.external_identifier, n.priority, n.run_after, n.max_attempts"
	" FROM n ORDER BY n.n),"
	" w AS (INSERT INTO jobs_store.waiting (tenant, job_id, check_at, lane, ordinal, attempt, max_attempts, dependent)"
	" SELECT $1, n.id, greatest($2, n.run_after), n.lane, 0, 0, n.max_attempts, n.dependent"
	" FROM n WHERE n.dependent OR n.run_after > $2 ORDER BY n.n)"
	" INSERT INTO jobs_store.ready (tenant, lane, job_id, ordinal, attempt, max_attempts)"
	" SELECT $1, n.lane, n.id, 0, 0, n.max_attempts FROM n"
	" WHERE NOT n.dependent AND (n.run_after > $2) IS NOT TRUE ORDER BY n.n",
	.types = "izuUUIUJUUUTTTTIZBI",
	.expected = SPI_OK_INSERT
};

static JobsStatement insert_dependencies = {
	.sql = "INSERT INTO jobs_store.job_dependency (tenant, job_id, depends_on)"
	" SELECT DISTINCT $1, $2, d.id FROM unnest($3) d(id)",
	.types = "iuU",
	.expected = SPI_OK_INSERT
};

/* A source is a revision of its own, or revision 1 of a job. */
static JobsStatement find_source = {
	.sql = "SELECT r.resource_id, r.resource_type FROM jobs_store.file_revision r WHERE r.tenant = $1 AND r.id = $2"
	" UNION ALL SELECT j.id, 'Job' FROM jobs_store.job j WHERE j.tenant = $1"
	" AND jobs_store.part_of($2) = 2 AND j.id = jobs_store.part_id($2, 0)",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement insert_edge = {
	.sql = "INSERT INTO jobs_store.revision_edge (tenant, source_id, product_id, source_resource_id,"
	" product_resource_id, source_resource_type, product_resource_type, relationship_identifier)"
	" VALUES ($1, $2, jobs_store.part_id($3, 2), $4, $3, $5, 'Job', $6) ON CONFLICT DO NOTHING",
	.types = "iuuutt",
	.expected = SPI_OK_INSERT
};

/*
 * The columns are the arguments of add_job, in their order. Keys that are
 * none of them come out in the last column.
 */
static JobsStatement expand_jobs = {
	.sql = "SELECT x.*, (SELECT string_agg(quote_literal(k.key), ', ') FROM jsonb_object_keys(e.job) k(key)"
	" WHERE k.key <> ALL ($2)) AS unknown"
	" FROM jsonb_array_elements($1) WITH ORDINALITY e(job, n),"
	" LATERAL jsonb_to_record(e.job) x(function text, model_id uuid, parameters jsonb, tool_name text,"
	" tool_version text, operating_system text, function_version text, assigned_agent_id uuid,"
	" assigned_agent_pool_id uuid, agent_id uuid, sources jobs.source[], description text, display_name text,"
	" version_name text, external_identifier text, priority integer, run_after timestamptz, depends_on uuid[],"
	" max_attempts integer, idempotency_key text) ORDER BY e.n",
	.types = "jT",
	.expected = SPI_OK_SELECT
};

static JobsStatement fetch_job = {
	.sql = "SELECT job FROM jobs_store.full_job WHERE tenant = $1 AND id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static pg_uuid_t *
uuid_value(const JobsNewJob *job, JobArg arg)
{
	return job->nulls[arg] ? NULL : DatumGetUUIDP(job->values[arg]);
}

static text *
text_value(const JobsNewJob *job, JobArg arg)
{
	return job->nulls[arg] ? NULL : DatumGetTextPP(job->values[arg]);
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
			jobs_check_text(text_value(job, i), info->name, info->max_chars);
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

/* "version tool tool-version system" of each row, for messages. */
static char *
candidate_list(const JobsResult *found, int first_column)
{
	StringInfoData list;

	initStringInfo(&list);
	for (uint64 row = 0; row < found->count; row++)
	{
		if (row > 0)
			appendStringInfoString(&list, ", ");
		for (int column = first_column; column <= found->table->tupdesc->natts; column++)
		{
			char	   *value = SPI_getvalue(found->table->vals[row], found->table->tupdesc, column);

			if (value != NULL)
				appendStringInfo(&list, "%s%s", column > first_column ? " " : "", value);
		}
	}
	return list.data;
}

static void
no_function(JobsCall *call, JobsNewJob *job)
{
	char	   *name = text_to_cstring(text_value(job, ARG_FUNCTION));
	JobsResult	versions = jobs_run(&find_versions, A_INT4(call->caller.tenant),
									A_PTR(text_value(job, ARG_FUNCTION)));

	if (versions.count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_JOBS_NOT_FOUND),
				 errmsg("function %s not found", name),
				 errhint("Register it with jobs.add_function.")));
	ereport(ERROR,
			(errcode(ERRCODE_JOBS_NOT_FOUND),
			 errmsg("function %s has no version that fits", name),
			 errdetail("Registered are: %s.", candidate_list(&versions, 1))));
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
					 A_PTR(text_value(job, ARG_FUNCTION)),
					 A_PTR(text_value(job, ARG_FUNCTION_VERSION)),
					 A_PTR(text_value(job, ARG_TOOL_NAME)),
					 A_PTR(text_value(job, ARG_TOOL_VERSION)),
					 A_PTR(text_value(job, ARG_OPERATING_SYSTEM)));
	if (found.count == 0)
		no_function(call, job);
	for (uint64 row = 1; row < found.count; row++)
		if (DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID,
												 jobs_column(&found, 0, 2, NULL),
												 jobs_column(&found, row, 2, NULL))))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("function %s is ambiguous", text_to_cstring(text_value(job, ARG_FUNCTION))),
					 errdetail("These fit: %s.", candidate_list(&found, 2)),
					 errhint("Give tool_name, tool_version or operating_system.")));
	job->function_id = *DatumGetUUIDP(jobs_column(&found, 0, 1, NULL));
	memo->function = job;
}

static void
resolve_lane(JobsCall *call, JobsNewJob *job, ResolveMemo *memo)
{
	JobsResult	found;
	JobsArg		args[5];

	if (memo->lane != NULL &&
		memcmp(&memo->lane->function_id, &job->function_id, UUID_LEN) == 0 &&
		memo->lane->values[ARG_PRIORITY] == job->values[ARG_PRIORITY] &&
		same_uuid(job, memo->lane, ARG_ASSIGNED_AGENT) &&
		same_uuid(job, memo->lane, ARG_ASSIGNED_AGENT_POOL))
	{
		job->lane = memo->lane->lane;
		return;
	}
	args[0] = A_INT4(call->caller.tenant);
	args[1] = A_PTR(&job->function_id);
	args[2] = A_INT4(DatumGetInt32(job->values[ARG_PRIORITY]));
	args[3] = A_PTR(uuid_value(job, ARG_ASSIGNED_AGENT));
	args[4] = A_PTR(uuid_value(job, ARG_ASSIGNED_AGENT_POOL));
	found = jobs_run_args(&find_lane, 5, args);
	if (found.count == 0)
		found = jobs_run_args(&add_lane, 5, args);
	job->lane = DatumGetInt32(jobs_column(&found, 0, 1, NULL));
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
		if (jobs_run(&find_pool, A_INT4(call->caller.tenant), A_PTR(pool)).count == 0)
			jobs_error_not_found("agent pool", pool);
		memo->pool = job;
	}
	if (!job->nulls[ARG_DEPENDS_ON])
	{
		JobsResult	hidden = jobs_run(&hidden_dependency, A_INT4(call->caller.tenant),
									  A_PTR(DatumGetArrayTypeP(job->values[ARG_DEPENDS_ON])),
									  A_BOOL(call->caller.administrator),
									  A_PTR(&call->caller.user_id));

		if (hidden.count > 0)
			jobs_error_not_found("job", DatumGetUUIDP(jobs_column(&hidden, 0, 1, NULL)));
	}
}

/*
 * The job that was made with this key before is the answer, if it may be seen;
 * one of the same batch (own) may.
 */
static void
use_existing(JobsCall *call, JobsNewJob *job, const pg_uuid_t *id, bool own)
{
	const char *kind;

	if (!own && jobs_relation(call, id, &kind) < JOBS_VIEWER)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("idempotency key \"%s\" is in use for a job of another user",
						text_to_cstring(text_value(job, ARG_IDEMPOTENCY_KEY))),
				 errhint("Choose a key that starts with something of your own.")));
	job->id = *id;
	job->existing = true;
}

/* Marks the jobs whose idempotency key is in use. */
static void
resolve_keys(JobsCall *call, JobsNewJob *batch, int count)
{
	Datum	   *keys = palloc(sizeof(Datum) * count);
	Datum	   *ids = palloc(sizeof(Datum) * count);
	JobsNewJob **owners = palloc(sizeof(JobsNewJob *) * count);
	ArrayType  *key_array;
	ArrayType  *id_array;
	int			used = 0;
	JobsResult	found;

	for (int i = 0; i < count; i++)
	{
		if (batch[i].nulls[ARG_IDEMPOTENCY_KEY])
			continue;
		keys[used] = batch[i].values[ARG_IDEMPOTENCY_KEY];
		ids[used] = UUIDPGetDatum(&batch[i].id);
		owners[used++] = &batch[i];
	}
	if (used == 0)
		return;
	key_array = construct_array(keys, used, TEXTOID, -1, false, TYPALIGN_INT);
	id_array = construct_array(ids, used, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
	jobs_run(&add_keys, A_INT4(call->caller.tenant), A_PTR(key_array), A_PTR(id_array));
	found = jobs_run(&find_keys, A_INT4(call->caller.tenant), A_PTR(key_array), A_PTR(id_array));
	for (uint64 row = 0; row < found.count; row++)
		use_existing(call, owners[DatumGetInt64(jobs_column(&found, row, 1, NULL)) - 1],
					 DatumGetUUIDP(jobs_column(&found, row, 2, NULL)),
					 DatumGetBool(jobs_column(&found, row, 3, NULL)));
}

/* One column of the new jobs as an array for unnest. */
static JobsArg
column_array(JobsNewJob **jobs, int count, JobArg arg, Oid type)
{
	Datum	   *values = palloc(sizeof(Datum) * count);
	bool	   *nulls = palloc(sizeof(bool) * count);
	int			low = 1;
	int16		length;
	bool		by_value;
	char		align;

	for (int i = 0; i < count; i++)
	{
		values[i] = jobs[i]->values[arg];
		nulls[i] = jobs[i]->nulls[arg];
	}
	get_typlenbyvalalign(type, &length, &by_value, &align);
	return A_PTR(construct_md_array(values, nulls, 1, &count, &low, type, length, by_value, align));
}

/* The columns that are not arguments. */
static void
resolved_arrays(JobsNewJob **jobs, int count, JobsArg *ids, JobsArg *functions,
				JobsArg *lanes, JobsArg *dependent)
{
	Datum	   *values = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
		values[i] = UUIDPGetDatum(&jobs[i]->id);
	*ids = A_PTR(construct_array(values, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	for (int i = 0; i < count; i++)
		values[i] = UUIDPGetDatum(&jobs[i]->function_id);
	*functions = A_PTR(construct_array(values, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	for (int i = 0; i < count; i++)
		values[i] = Int32GetDatum(jobs[i]->lane);
	*lanes = A_PTR(construct_array(values, count, INT4OID, 4, true, TYPALIGN_INT));
	for (int i = 0; i < count; i++)
		values[i] = BoolGetDatum(!jobs[i]->nulls[ARG_DEPENDS_ON] &&
								 ARR_NDIM(DatumGetArrayTypeP(jobs[i]->values[ARG_DEPENDS_ON])) > 0);
	*dependent = A_PTR(construct_array(values, count, BOOLOID, 1, true, TYPALIGN_CHAR));
}

static void
insert_source(JobsCall *call, JobsNewJob *job, HeapTupleHeader source)
{
	bool		isnull;
	Datum		revision = GetAttributeByName(source, "revision_id", &isnull);
	Datum		relationship;
	JobsResult	found;
	pg_uuid_t  *resource;
	const char *kind;

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("revision_id of a source must not be null")));
	found = jobs_run(&find_source, A_INT4(call->caller.tenant), jobs_datum(revision, false));
	if (found.count == 0)
		jobs_error_not_found("file revision", DatumGetUUIDP(revision));
	resource = DatumGetUUIDP(jobs_column(&found, 0, 1, NULL));
	if (jobs_relation(call, resource, &kind) < JOBS_VIEWER)
		jobs_error_not_found("file revision", DatumGetUUIDP(revision));
	relationship = GetAttributeByName(source, "relationship_identifier", &isnull);
	if (!isnull)
		jobs_check_text(DatumGetTextPP(relationship), "relationship_identifier", JOBS_MAX_SHORT_TEXT);
	jobs_run(&insert_edge, A_INT4(call->caller.tenant), jobs_datum(revision, false), A_PTR(&job->id),
			 A_PTR(resource), jobs_datum(jobs_column(&found, 0, 2, NULL), false),
			 jobs_datum(relationship, isnull));
}

/* Dependencies and sources: rare, so one statement each. */
static void
insert_links(JobsCall *call, JobsNewJob *job)
{
	if (!job->nulls[ARG_DEPENDS_ON])
		jobs_run(&insert_dependencies, A_INT4(call->caller.tenant), A_PTR(&job->id),
				 A_PTR(DatumGetArrayTypeP(job->values[ARG_DEPENDS_ON])));
	if (!job->nulls[ARG_SOURCES])
	{
		ArrayType  *sources = DatumGetArrayTypeP(job->values[ARG_SOURCES]);
		Datum	   *items;
		int			count;

		deconstruct_array(sources, ARR_ELEMTYPE(sources), -1, false, TYPALIGN_DOUBLE,
						  &items, NULL, &count);
		for (int i = 0; i < count; i++)
			insert_source(call, job, DatumGetHeapTupleHeader(items[i]));
	}
}

/* *element is the job that is being worked at, or NO_ELEMENT. */
static void
insert_batch(JobsCall *call, JobsNewJob *batch, int count, int *element)
{
	JobsNewJob **jobs = palloc(sizeof(JobsNewJob *) * count);
	JobsArg		ids,
				functions,
				lanes,
				dependent;
	int			used = 0;

	for (int i = 0; i < count; i++)
		if (!batch[i].existing)
			jobs[used++] = &batch[i];
	if (used == 0)
		return;

	/* A mark is safe only if the order of ready jobs is drawn under an xid. */
	(void) GetTopTransactionId();
	resolved_arrays(jobs, used, &ids, &functions, &lanes, &dependent);
	jobs_run(&insert_jobs, A_INT4(call->caller.tenant), A_TIME(GetCurrentTimestamp()),
			 A_PTR(&call->caller.user_id), ids, functions, lanes,
			 column_array(jobs, used, ARG_MODEL, UUIDOID),
			 column_array(jobs, used, ARG_PARAMETERS, JSONBOID),
			 column_array(jobs, used, ARG_ASSIGNED_AGENT, UUIDOID),
			 column_array(jobs, used, ARG_ASSIGNED_AGENT_POOL, UUIDOID),
			 column_array(jobs, used, ARG_AGENT, UUIDOID),
			 column_array(jobs, used, ARG_DESCRIPTION, TEXTOID),
			 column_array(jobs, used, ARG_DISPLAY_NAME, TEXTOID),
			 column_array(jobs, used, ARG_VERSION_NAME, TEXTOID),
			 column_array(jobs, used, ARG_EXTERNAL_IDENTIFIER, TEXTOID),
			 column_array(jobs, used, ARG_PRIORITY, INT4OID),
			 column_array(jobs, used, ARG_RUN_AFTER, TIMESTAMPTZOID),
			 dependent,
			 column_array(jobs, used, ARG_MAX_ATTEMPTS, INT4OID));
	jobs_void_guesses();
	for (int i = 0; i < used; i++)
	{
		*element = jobs[i] - batch;
		insert_links(call, jobs[i]);
	}
}

/* Names the element of a batch in every error that is about it. */
static void
batch_context(void *arg)
{
	if (*(int *) arg != NO_ELEMENT)
		errcontext("element %d of jobs", *(int *) arg);
}

static void
add_batch(JobsCall *call, JobsNewJob *batch, int count, bool numbered)
{
	ResolveMemo memo = {0};
	int			element;
	ErrorContextCallback context = {error_context_stack, batch_context, &element};

	if (numbered)
		error_context_stack = &context;
	for (element = 0; element < count; element++)
	{
		JobsNewJob *job = &batch[element];

		CHECK_FOR_INTERRUPTS();
		job->id = jobs_uuid_new();
		check_values(job);
		resolve_function(call, job, &memo);
		check_references(call, job, &memo);
		resolve_lane(call, job, &memo);
	}
	element = NO_ELEMENT;
	resolve_keys(call, batch, count);
	insert_batch(call, batch, count, &element);
	error_context_stack = context.previous;
}

/* The job with all its parts, as a Datum that outlives jobs_leave. */
Datum
jobs_fetch_job(JobsCall *call, const pg_uuid_t *job_id)
{
	JobsResult	found = jobs_run(&fetch_job, A_INT4(call->caller.tenant), A_PTR(job_id));

	if (found.count == 0)
		jobs_error_not_found("job", job_id);
	return jobs_column_copy(call, &found, 0, 1);
}

Datum
jobs_add_job(PG_FUNCTION_ARGS)
{
	JobsNewJob	job = {0};
	JobsCall	call;
	Datum		result;

	for (int i = 0; i < JOB_ARGS; i++)
	{
		job.nulls[i] = PG_ARGISNULL(i);
		job.values[i] = PG_GETARG_DATUM(i);
	}
	jobs_enter(fcinfo, &call);
	add_batch(&call, &job, 1, false);
	result = jobs_fetch_job(&call, &job.id);
	jobs_leave(&call);
	return result;
}

static ArrayType *
argument_names(void)
{
	Datum		names[JOB_ARGS];

	for (int i = 0; i < JOB_ARGS; i++)
		names[i] = CStringGetTextDatum(arg_infos[i].name);
	return construct_array(names, JOB_ARGS, TEXTOID, -1, false, TYPALIGN_INT);
}

static void
check_job_array(Jsonb *jobs)
{
	if (!JB_ROOT_IS_ARRAY(jobs) || JB_ROOT_IS_SCALAR(jobs))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("jobs must be an array of objects"),
				 errhint("For instance '[{\"function\": \"@scope:name\"}]'.")));
	if (JB_ROOT_COUNT(jobs) > JOBS_MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("jobs has too many elements: %u", JB_ROOT_COUNT(jobs)),
				 errhint("At most %d are allowed in one call.", JOBS_MAX_BATCH)));
}

static JobsStatement one_element = {
	.sql = "SELECT jsonb_build_array($1 -> $2)",
	.types = "ji",
	.expected = SPI_OK_SELECT
};

/*
 * Tries to read an array of jobs; NULL when all fits, else what is wrong. The
 * casts are those of the server, which raises what it finds, so this happens in
 * a subtransaction; it only reads.
 */
static ErrorData *
try_expand(Jsonb *jobs, ArrayType *names, JobsResult *rows)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		*rows = jobs_run(&expand_jobs, A_PTR(jobs), A_PTR(names));
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/* All jobs of the array, or an error that names the first element that does not fit. */
static JobsResult
expand(Jsonb *jobs)
{
	ArrayType  *names = argument_names();
	JobsResult	rows = {0};
	ErrorData  *error = try_expand(jobs, names, &rows);

	if (error == NULL)
		return rows;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
		ReThrowError(error);
	for (uint32 i = 0; i < JB_ROOT_COUNT(jobs); i++)
	{
		JobsResult	single = jobs_run(&one_element, A_PTR(jobs), A_INT4(i));

		CHECK_FOR_INTERRUPTS();
		error = try_expand(DatumGetJsonbP(jobs_column(&single, 0, 1, NULL)), names, &rows);
		if (error != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("element %u of jobs does not fit: %s", i, error->message),
					 errhint("The keys and types are those of the arguments of jobs.add_job.")));
	}
	elog(ERROR, "jobs fit one by one but not together");
}

/* Rows of expand_jobs as new jobs, with the defaults of add_job. */
static JobsNewJob *
read_batch(const JobsResult *rows)
{
	JobsNewJob *batch = palloc0(sizeof(JobsNewJob) * Max(rows->count, 1));

	for (uint64 row = 0; row < rows->count; row++)
	{
		JobsNewJob *job = &batch[row];
		bool		none_unknown;
		Datum		unknown = jobs_column(rows, row, JOB_ARGS + 1, &none_unknown);

		if (!none_unknown)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown key in element %d of jobs: %s", (int) row,
							TextDatumGetCString(unknown)),
					 errhint("The keys are the arguments of jobs.add_job.")));
		for (int i = 0; i < JOB_ARGS; i++)
			job->values[i] = jobs_column(rows, row, i + 1, &job->nulls[i]);
		if (job->nulls[ARG_PARAMETERS])
			job->values[ARG_PARAMETERS] = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
		if (job->nulls[ARG_PRIORITY])
			job->values[ARG_PRIORITY] = Int32GetDatum(0);
		if (job->nulls[ARG_MAX_ATTEMPTS])
			job->values[ARG_MAX_ATTEMPTS] = Int32GetDatum(1);
		job->nulls[ARG_PARAMETERS] = job->nulls[ARG_PRIORITY] = job->nulls[ARG_MAX_ATTEMPTS] = false;
	}
	return batch;
}

Datum
jobs_add_jobs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	JobsCall	call;
	JobsResult	rows;
	JobsNewJob *batch;
	Jsonb	   *jobs;

	jobs_arg_require(fcinfo, 0, "jobs");
	jobs = PG_GETARG_JSONB_P(0);
	check_job_array(jobs);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	jobs_enter(fcinfo, &call);
	rows = expand(jobs);
	batch = read_batch(&rows);
	add_batch(&call, batch, rows.count, true);
	for (uint64 i = 0; i < rows.count; i++)
	{
		Datum		id = UUIDPGetDatum(&batch[i].id);
		bool		isnull = false;

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &id, &isnull);
	}
	jobs_leave(&call);
	return (Datum) 0;
}

Datum
jobs_get_job(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	Datum		result;

	jobs_arg_require(fcinfo, 0, "job_id");
	jobs_enter(fcinfo, &call);
	if (strcmp(jobs_access_require(&call, PG_GETARG_UUID_P(0), JOBS_VIEWER, "see"), "job") != 0)
		jobs_error_not_found("job", PG_GETARG_UUID_P(0));
	result = jobs_fetch_job(&call, PG_GETARG_UUID_P(0));
	jobs_leave(&call);
	return result;
}
