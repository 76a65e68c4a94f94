/*-------------------------------------------------------------------------
 *
 * job.c
 *		Adding jobs, one or many, and reading one.
 *
 * There is one way in: add_job is a batch of one. The arguments of every job
 * stand in an array of Datums in the order of add_job's arguments, whichever
 * way they came. First every job is checked and resolved (resolve.c); then all
 * rows are written, by enqueue.c or, where there is something special, by one
 * statement.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "newjob.h"
#include "rows.h"

PG_FUNCTION_INFO_V1(jobs_add_job);
PG_FUNCTION_INFO_V1(jobs_add_jobs);
PG_FUNCTION_INFO_V1(jobs_get_job);

#define NO_ELEMENT (-1)

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
	.sql = "WITH n AS MATERIALIZED (SELECT * FROM unnest($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)"
	" WITH ORDINALITY n(id, function_id, lane, model_id, parameters, assigned_agent_id, assigned_agent_pool_id, agent_id,"
	" description, display_name, version_name, external_identifier, priority, run_after, dependent, max_attempts,"
	" on_dependency_failure, concurrency_key, backoff, backoff_base, backoff_cap, n)),"
	" j AS (INSERT INTO jobs_store.job (tenant, id, created, created_by_id, first_status, function_id, model_id, parameters,"
	" assigned_agent_id, assigned_agent_pool_id, agent_id, description, display_name, version_name, external_identifier,"
	" priority, run_after, max_attempts, on_dependency_failure, concurrency_key, backoff, backoff_base, backoff_cap)"
	" SELECT $1, n.id, $2, $3, CASE WHEN n.dependent OR n.run_after > $2 THEN 'CREATED' ELSE 'PENDING' END::jobs.job_status_name,"
	" n.function_id, n.model_id, n.parameters, n.assigned_agent_id, n.assigned_agent_pool_id, n.agent_id,"
	" n.description, n.display_name, n.version_name, n.external_identifier, n.priority, n.run_after, n.max_attempts,"
	" nullif(n.on_dependency_failure, 'cancel'), n.concurrency_key, n.backoff, n.backoff_base, n.backoff_cap"
	" FROM n ORDER BY n.n),"
	" w AS (INSERT INTO jobs_store.waiting (tenant, job_id, check_at, lane, ordinal, attempt, max_attempts, dependent)"
	" SELECT $1, n.id, greatest($2, n.run_after), n.lane, 0, 0, n.max_attempts, n.dependent"
	" FROM n WHERE n.dependent OR n.run_after > $2 ORDER BY n.n)"
	" INSERT INTO jobs_store.ready (tenant, lane, job_id, ordinal, attempt, max_attempts)"
	" SELECT $1, n.lane, n.id, 0, 0, n.max_attempts FROM n"
	" WHERE NOT n.dependent AND (n.run_after > $2) IS NOT TRUE ORDER BY n.n",
	.types = "izuUUIUJUUUTTTTIZBITTTVV",
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
	" max_attempts integer, idempotency_key text, on_dependency_failure text, concurrency_key text,"
	" backoff text, backoff_base interval, backoff_cap interval) ORDER BY e.n",
	.types = "jT",
	.expected = SPI_OK_SELECT
};

static JobsStatement fetch_job = {
	.sql = "SELECT job FROM jobs_store.full_job WHERE tenant = $1 AND id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

/* The same for one that was just made, and has no sources. */
static JobsStatement fetch_new_job = {
	.sql = "SELECT job FROM jobs_store.new_job WHERE tenant = $1 AND id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

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
						text_to_cstring(jobs_text_value(job, ARG_IDEMPOTENCY_KEY))),
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
		values[i] = BoolGetDatum(jobs_is_dependent(jobs[i]));
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
	jobs_keep_job(call, resource, kind);
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
		jobs_depend(call, &job->id, DatumGetArrayTypeP(job->values[ARG_DEPENDS_ON]));
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

/* As jobs_hot_add, for all cases. */
static void
insert_by_statement(JobsCall *call, JobsNewJob **jobs, int count)
{
	JobsArg		ids,
				functions,
				lanes,
				dependent;

	resolved_arrays(jobs, count, &ids, &functions, &lanes, &dependent);
	jobs_run(&insert_jobs, A_INT4(call->caller.tenant), A_TIME(GetCurrentTimestamp()),
			 A_PTR(&call->caller.user_id), ids, functions, lanes,
			 column_array(jobs, count, ARG_MODEL, UUIDOID),
			 column_array(jobs, count, ARG_PARAMETERS, JSONBOID),
			 column_array(jobs, count, ARG_ASSIGNED_AGENT, UUIDOID),
			 column_array(jobs, count, ARG_ASSIGNED_AGENT_POOL, UUIDOID),
			 column_array(jobs, count, ARG_AGENT, UUIDOID),
			 column_array(jobs, count, ARG_DESCRIPTION, TEXTOID),
			 column_array(jobs, count, ARG_DISPLAY_NAME, TEXTOID),
			 column_array(jobs, count, ARG_VERSION_NAME, TEXTOID),
			 column_array(jobs, count, ARG_EXTERNAL_IDENTIFIER, TEXTOID),
			 column_array(jobs, count, ARG_PRIORITY, INT4OID),
			 column_array(jobs, count, ARG_RUN_AFTER, TIMESTAMPTZOID),
			 dependent,
			 column_array(jobs, count, ARG_MAX_ATTEMPTS, INT4OID),
			 column_array(jobs, count, ARG_ON_DEPENDENCY_FAILURE, TEXTOID),
			 column_array(jobs, count, ARG_CONCURRENCY_KEY, TEXTOID),
			 column_array(jobs, count, ARG_BACKOFF, TEXTOID),
			 column_array(jobs, count, ARG_BACKOFF_BASE, INTERVALOID),
			 column_array(jobs, count, ARG_BACKOFF_CAP, INTERVALOID));
}

/* *element is the job that is being worked at, or NO_ELEMENT. */
static void
insert_batch(JobsCall *call, JobsNewJob *batch, int count, int *element)
{
	JobsNewJob **jobs = palloc(sizeof(JobsNewJob *) * count);
	int			used = 0;

	for (int i = 0; i < count; i++)
		if (!batch[i].existing)
			jobs[used++] = &batch[i];
	if (used == 0)
		return;

	jobs_begin_ready("add_job()");
	if (jobs_rows_addable())
		jobs_hot_add(call, jobs, used);
	else
		insert_by_statement(call, jobs, used);
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
		jobs_resolve(call, job, &memo);
	}
	element = NO_ELEMENT;
	resolve_keys(call, batch, count);
	insert_batch(call, batch, count, &element);
	error_context_stack = context.previous;
}

static JobsStatement find_status = {
	.sql = "SELECT name FROM jobs_store.current_status WHERE tenant = $1 AND job_id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

/* False when there is no such job. */
bool
jobs_current_status(JobsCall *call, const pg_uuid_t *job_id, JobsStatus *status)
{
	JobsResult	found = jobs_run(&find_status, A_INT4(call->caller.tenant), A_PTR(job_id));

	if (found.count > 0)
		*status = DatumGetJobsStatus(jobs_column(&found, 0, 1, NULL));
	return found.count > 0;
}

static Datum
fetch(JobsCall *call, JobsStatement *statement, const pg_uuid_t *job_id)
{
	JobsResult	found = jobs_run(statement, A_INT4(call->caller.tenant), A_PTR(job_id));

	if (found.count == 0)
		jobs_error_not_found("job", job_id);
	return jobs_column_copy(call, &found, 0, 1);
}

/* The job with all its parts, as a Datum that outlives jobs_leave. */
Datum
jobs_fetch_job(JobsCall *call, const pg_uuid_t *job_id)
{
	return fetch(call, &fetch_job, job_id);
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
	result = fetch(&call, job.existing || !job.nulls[ARG_SOURCES] ? &fetch_job : &fetch_new_job, &job.id);
	jobs_leave(&call);
	return result;
}

static ArrayType *
argument_names(void)
{
	Datum		names[JOB_ARGS];

	for (int i = 0; i < JOB_ARGS; i++)
		names[i] = CStringGetTextDatum(jobs_argument_name(i));
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
	.sql = "SELECT jsonb_build_array($1 -> $2), jsonb_typeof($1 -> $2)",
	.types = "ji",
	.expected = SPI_OK_SELECT
};

typedef struct Expansion
{
	Jsonb	   *jobs;
	ArrayType  *names;
	JobsResult	rows;
} Expansion;

static void
run_expansion(void *arg)
{
	Expansion  *expansion = arg;

	expansion->rows = jobs_run(&expand_jobs, A_PTR(expansion->jobs), A_PTR(expansion->names));
}

/* In a subtransaction, for the casts are those of the server, which raises what it finds. */
static ErrorData *
try_expand(Jsonb *jobs, ArrayType *names, JobsResult *rows)
{
	Expansion	expansion = {jobs, names, {0}};
	ErrorData  *error = jobs_try(run_expansion, &expansion);

	*rows = expansion.rows;
	return error;
}

/* What an error is about: an element of add_jobs, or the only job there is. */
static const char *
job_title(bool numbered, int element)
{
	return numbered ? psprintf("element %d of jobs", element) : "job";
}

/* All jobs of the array, or an error that names the first element that does not fit. */
static JobsResult
expand(Jsonb *jobs, bool numbered)
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

		char	   *type = TextDatumGetCString(jobs_column(&single, 0, 2, NULL));

		CHECK_FOR_INTERRUPTS();
		if (strcmp(type, "object") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s must be an object, not %s", job_title(numbered, i), type)));
		error = try_expand(DatumGetJsonbP(jobs_column(&single, 0, 1, NULL)), names, &rows);
		if (error != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s does not fit: %s", job_title(numbered, i), error->message),
					 errhint("The keys and types are those of the arguments of jobs.add_job.")));
	}
	elog(ERROR, "jobs fit one by one but not together");
}

/* Rows of expand_jobs as new jobs, with the defaults of add_job. */
static JobsNewJob *
read_batch(const JobsResult *rows, bool numbered)
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
					 errmsg("unknown key in %s: %s", job_title(numbered, row), TextDatumGetCString(unknown)),
					 errhint("The keys are the arguments of jobs.add_job.")));
		for (int i = 0; i < JOB_ARGS; i++)
			job->values[i] = jobs_column(rows, row, i + 1, &job->nulls[i]);
		if (job->nulls[ARG_PARAMETERS])
			job->values[ARG_PARAMETERS] = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
		if (job->nulls[ARG_PRIORITY])
			job->values[ARG_PRIORITY] = Int32GetDatum(0);
		if (job->nulls[ARG_MAX_ATTEMPTS])
			job->values[ARG_MAX_ATTEMPTS] = Int32GetDatum(1);
		if (job->nulls[ARG_ON_DEPENDENCY_FAILURE])
			job->values[ARG_ON_DEPENDENCY_FAILURE] = CStringGetTextDatum("cancel");
		job->nulls[ARG_PARAMETERS] = job->nulls[ARG_PRIORITY] = job->nulls[ARG_MAX_ATTEMPTS] =
			job->nulls[ARG_ON_DEPENDENCY_FAILURE] = false;
	}
	return batch;
}

/* One job as an object, with the defaults of add_job. */
JobsNewJob *
jobs_read_new_job(Jsonb *object)
{
	JsonbParseState *state = NULL;
	JsonbValue	element;
	JobsResult	rows;

	JsonbToJsonbValue(object, &element);
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	pushJsonbValue(&state, WJB_ELEM, &element);
	rows = expand(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL)), false);
	return read_batch(&rows, false);
}

/* Adds it, or raises what is wrong; job->id is its id then. */
void
jobs_add_new_job(JobsCall *call, JobsNewJob *job)
{
	add_batch(call, job, 1, false);
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
	rows = expand(jobs, true);
	batch = read_batch(&rows, true);
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
