/*-------------------------------------------------------------------------
 *
 * batch.c
 *		Reports of many jobs in one call.
 *
 * All that can be ended at once is ended by one statement. What that leaves (a
 * failure that is tried again, progress, something wrong) goes the way of a
 * single report, without raising: the answer says per job what became of it.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "hot.h"
#include "lifecycle.h"
#include "rows.h"

PG_FUNCTION_INFO_V1(jobs_update_job_statuses);

/* As end_job of lifecycle.c, for many; in the order of their keys, so that batches cannot wait for each other. */
static JobsStatement end_jobs = {
	.sql = "WITH n AS MATERIALIZED (SELECT * FROM unnest($3, $4, $5, $6) n(job_id, name, message, attempt)"
	" ORDER BY job_id),"
	" d AS (DELETE FROM jobs_store.lease l USING n WHERE l.tenant = $1 AND l.agent_id = $2 AND l.job_id = n.job_id"
	" AND (n.attempt = 0 OR l.attempt = n.attempt) AND (n.name <> 'FAILED' OR $7 OR l.attempt >= l.max_attempts)"
	" RETURNING l.job_id, l.ordinal, l.attempt, n.name, n.message, clock_timestamp() AS now)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, agent_id, message)"
	" SELECT $1, d.job_id, d.ordinal + 1, d.now, d.attempt, d.name::jobs.job_status_name, $2, d.message FROM d"
	" RETURNING job_id, " HAS_DEPENDENTS("job_status.job_id") ", " STATUS_ROW,
	.types = "iuUTTIb",
	.expected = SPI_OK_INSERT_RETURNING,
	.writes_history = true
};

typedef struct Batch
{
	int			count;
	JobsReport *reports;
	Datum	   *entries;		/* 0: none */
	JobsOutcome    *outcomes;
	JobsStatus *from;
	bool	   *repeated;		/* the job is in the batch more than once */
	JobsReport **sorted;		/* by job */
} Batch;

/* Items of an array that has one a job, or one for all. */
static Datum *
batch_items(FunctionCallInfo fcinfo, int argno, const char *name, int count,
			Oid type, int length, bool by_value, char align, bool **nulls)
{
	ArrayType  *array;
	Datum	   *items;
	int			found;

	if (PG_ARGISNULL(argno))
		return NULL;
	array = PG_GETARG_ARRAYTYPE_P(argno);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have one dimension", name)));
	deconstruct_array(array, type == InvalidOid ? ARR_ELEMTYPE(array) : type,
					  length, by_value, align, &items, nulls, &found);
	if (found == 1 && count != 1)
	{
		items = repalloc(items, sizeof(Datum) * Max(count, 1));
		*nulls = repalloc(*nulls, sizeof(bool) * Max(count, 1));
		for (int i = 1; i < count; i++)
		{
			items[i] = items[0];
			(*nulls)[i] = (*nulls)[0];
		}
	}
	else if (found != count)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s has %d items for %d jobs", name, found, count),
				 errhint("Give one for each job, or one for all.")));
	return items;
}

static void
read_reports(FunctionCallInfo fcinfo, Batch *batch)
{
	bool	   *nulls;
	bool	   *message_nulls;
	bool	   *attempt_nulls;
	Datum	   *jobs;
	Datum	   *names;
	Datum	   *messages;
	Datum	   *attempts;

	jobs_check_array(PG_GETARG_ARRAYTYPE_P(0), "job_ids", JOBS_MAX_BATCH);
	jobs_check_array(PG_GETARG_ARRAYTYPE_P(1), "names", JOBS_MAX_BATCH);
	batch->count = ArrayGetNItems(ARR_NDIM(PG_GETARG_ARRAYTYPE_P(0)), ARR_DIMS(PG_GETARG_ARRAYTYPE_P(0)));
	jobs = batch_items(fcinfo, 0, "job_ids", batch->count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &nulls);
	names = batch_items(fcinfo, 1, "names", batch->count, InvalidOid, 1, true, TYPALIGN_CHAR, &nulls);
	messages = batch_items(fcinfo, 2, "messages", batch->count, TEXTOID, -1, false, TYPALIGN_INT, &message_nulls);
	attempts = batch_items(fcinfo, 4, "attempts", batch->count, INT4OID, 4, true, TYPALIGN_INT, &attempt_nulls);
	batch->reports = palloc0(sizeof(JobsReport) * Max(batch->count, 1));
	for (int i = 0; i < batch->count; i++)
	{
		JobsReport *report = &batch->reports[i];

		report->job_id = DatumGetUUIDP(jobs[i]);
		report->name = DatumGetJobsStatus(names[i]);
		if (messages != NULL && !message_nulls[i])
			report->message = DatumGetTextPP(messages[i]);
		if (attempts != NULL && !attempt_nulls[i])
			report->attempt = DatumGetInt32(attempts[i]);
		report->agent_id = PG_GETARG_UUID_P(3);
		report->retry = PG_GETARG_BOOL(5);
		jobs_check_text(report->message, "message", JOBS_MAX_MESSAGE);
		jobs_check_reportable(report->name);
	}
}

static int
compare_entries(const void *a, const void *b)
{
	return memcmp(DatumGetUUIDP(*(const Datum *) a), DatumGetUUIDP(*(const Datum *) b), UUID_LEN);
}

/* By job, and those of one job as they came. */
static int
compare_reports(const void *a, const void *b)
{
	const JobsReport *left = *(JobsReport *const *) a;
	const JobsReport *right = *(JobsReport *const *) b;
	int			order = memcmp(left->job_id, right->job_id, UUID_LEN);

	return order != 0 ? order : (left > right) - (left < right);
}

/*
 * Locks are taken in the order of jobs, so that batches cannot wait for each
 * other; reports of one job are taken one by one, in their order.
 */
static void
sort_reports(Batch *batch)
{
	JobsReport **sorted = palloc(sizeof(JobsReport *) * batch->count);

	for (int i = 0; i < batch->count; i++)
		sorted[i] = &batch->reports[i];
	qsort(sorted, batch->count, sizeof(JobsReport *), compare_reports);
	for (int i = 1; i < batch->count; i++)
		if (memcmp(sorted[i - 1]->job_id, sorted[i]->job_id, UUID_LEN) == 0)
			batch->repeated[sorted[i - 1] - batch->reports] =
				batch->repeated[sorted[i] - batch->reports] = true;
	batch->sorted = sorted;
}

/* The short cut, for those that end their jobs and meet no obstacle. */
static void
end_directly(JobsCall *call, Batch *batch)
{
	JobsReport **reports = palloc(sizeof(JobsReport *) * batch->count);
	JobsEnded  *ended = palloc(sizeof(JobsEnded) * batch->count);
	Datum	   *waited_for = palloc(sizeof(Datum) * batch->count);
	int			count = 0;
	int			waited = 0;

	for (int n = 0; n < batch->count; n++)
	{
		JobsReport *report = batch->sorted[n];

		if (jobs_status_terminal(report->name) && !batch->repeated[report - batch->reports])
			reports[count++] = report;
	}
	if (count == 0)
		return;
	(void) jobs_hot_end(call, reports, count, ended);
	for (int n = 0; n < count; n++)
	{
		if (ended[n].entry == (Datum) 0)
			continue;
		batch->entries[reports[n] - batch->reports] = ended[n].entry;
		if (ended[n].dependents)
			waited_for[waited++] = UUIDPGetDatum(reports[n]->job_id);
	}
	if (waited > 0)
		jobs_wake_dependents(call, construct_array(waited_for, waited, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR),
							 GetCurrentTimestamp());
}

/* The same by a statement: ends all jobs that can be ended at once; the others are left. */
static void
end_by_statement(JobsCall *call, Batch *batch)
{
	Datum	   *columns[4];
	bool	   *no_message = palloc(sizeof(bool) * batch->count);
	int			low = 1;
	int			used = 0;
	JobsResult	ended;
	Datum	   *found;

	for (int i = 0; i < 4; i++)
		columns[i] = palloc(sizeof(Datum) * batch->count);
	for (int i = 0; i < batch->count; i++)
	{
		JobsReport *report = &batch->reports[i];

		if (!jobs_status_terminal(report->name) || batch->repeated[i])
			continue;
		columns[0][used] = UUIDPGetDatum(report->job_id);
		columns[1][used] = PointerGetDatum(jobs_status_text(report->name));
		columns[2][used] = PointerGetDatum(report->message);
		columns[3][used] = Int32GetDatum(report->attempt);
		no_message[used++] = report->message == NULL;
	}
	if (used == 0)
		return;
	ended = jobs_run(&end_jobs, A_INT4(call->caller.tenant), A_PTR(batch->reports[0].agent_id),
					 A_PTR(construct_array(columns[0], used, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR)),
					 A_PTR(construct_array(columns[1], used, TEXTOID, -1, false, TYPALIGN_INT)),
					 A_PTR(construct_md_array(columns[2], no_message, 1, &used, &low,
											  TEXTOID, -1, false, TYPALIGN_INT)),
					 A_PTR(construct_array(columns[3], used, INT4OID, 4, true, TYPALIGN_INT)),
					 A_BOOL(!batch->reports[0].retry));
	if (ended.count == 0)
		return;

	/* Pairs of job and entry, sorted to be found by job. */
	found = palloc(sizeof(Datum) * 2 * ended.count);
	used = 0;
	for (uint64 row = 0; row < ended.count; row++)
	{
		found[2 * row] = jobs_column(&ended, row, 1, NULL);
		found[2 * row + 1] = jobs_column(&ended, row, 3, NULL);
		if (DatumGetBool(jobs_column(&ended, row, 2, NULL)))
			columns[0][used++] = found[2 * row];
	}
	if (used > 0)
		jobs_wake_dependents(call, construct_array(columns[0], used, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR),
							 GetCurrentTimestamp());
	qsort(found, ended.count, sizeof(Datum) * 2, compare_entries);
	for (int i = 0; i < batch->count; i++)
	{
		Datum		id = UUIDPGetDatum(batch->reports[i].job_id);
		Datum	   *pair = bsearch(&id, found, ended.count, sizeof(Datum) * 2, compare_entries);

		if (pair != NULL && !batch->repeated[i])
			batch->entries[i] = pair[1];
	}
}

/* The reports that ended no job yet. */
static void
report_rest(JobsCall *call, Batch *batch)
{
	for (int n = 0; n < batch->count; n++)
	{
		int			i = batch->sorted[n] - batch->reports;

		CHECK_FOR_INTERRUPTS();
		if (batch->entries[i] == (Datum) 0)
			batch->outcomes[i] = jobs_report_one(call, &batch->reports[i], &batch->entries[i],
												 &batch->from[i]);
	}
}

/* One line of the answer: job_id, status, sqlstate, error. */
static void
store_outcome(ReturnSetInfo *rsinfo, Batch *batch, int i)
{
	Datum		values[4] = {0};
	bool		nulls[4] = {false, true, true, true};
	const char *error = NULL;
	int			code = 0;

	values[0] = UUIDPGetDatum(batch->reports[i].job_id);
	switch (batch->outcomes[i])
	{
		case REPORTED:
			values[1] = batch->entries[i];
			nulls[1] = false;
			break;
		case NO_SUCH_JOB:
			code = ERRCODE_JOBS_NOT_FOUND;
			error = "job not found";
			break;
		case NOT_HELD:
			code = ERRCODE_JOBS_LEASE_LOST;
			error = "the agent does not hold the job";
			break;
		case NOT_PERMITTED:
			code = ERRCODE_JOBS_WRONG_STATE;
			error = psprintf("job cannot go from %s to %s",
							 jobs_status_label(batch->from[i]),
							 jobs_status_label(batch->reports[i].name));
			break;
	}
	if (error != NULL)
	{
		values[2] = CStringGetTextDatum(unpack_sql_state(code));
		values[3] = CStringGetTextDatum(error);
		nulls[2] = nulls[3] = false;
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
jobs_update_job_statuses(PG_FUNCTION_ARGS)
{
	Batch		batch = {0};
	JobsCall	call;

	jobs_arg_require(fcinfo, 0, "job_ids");
	jobs_arg_require(fcinfo, 1, "names");
	jobs_arg_require(fcinfo, 3, "agent_id");
	jobs_arg_require(fcinfo, 5, "retry");
	read_reports(fcinfo, &batch);
	InitMaterializedSRF(fcinfo, 0);
	jobs_enter(fcinfo, &call);
	jobs_agent_require(&call, PG_GETARG_UUID_P(3));
	batch.entries = palloc0(sizeof(Datum) * Max(batch.count, 1));
	batch.outcomes = palloc0(sizeof(JobsOutcome) * Max(batch.count, 1));
	batch.from = palloc0(sizeof(JobsStatus) * Max(batch.count, 1));
	batch.repeated = palloc0(sizeof(bool) * Max(batch.count, 1));
	if (batch.count > 0)
	{
		sort_reports(&batch);
		if (jobs_rows_usable())
			end_directly(&call, &batch);
		else
			end_by_statement(&call, &batch);
	}
	report_rest(&call, &batch);
	for (int i = 0; i < batch.count; i++)
		store_outcome((ReturnSetInfo *) fcinfo->resultinfo, &batch, i);
	jobs_leave(&call);
	return (Datum) 0;
}
