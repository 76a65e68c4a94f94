/*-------------------------------------------------------------------------
 *
 * lifecycle.c
 *		What happens to a job after it was handed out, and how it is withdrawn.
 *
 * A report of the holder is one statement that finds the lease by its full key,
 * checks what has to hold, and writes the history row; it touches no row when
 * something does not hold. Only then is it asked what was wrong: the slow path
 * costs nothing when all is well, and the fast path cannot overlook anything.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(jobs_update_job_status);
PG_FUNCTION_INFO_V1(jobs_update_job_statuses);
PG_FUNCTION_INFO_V1(jobs_release_job);
PG_FUNCTION_INFO_V1(jobs_cancel_job);
PG_FUNCTION_INFO_V1(jobs_retry_delay);

/* How often a withdrawal looks again when others move the job meanwhile. */
#define MAX_CHASE 1000

#define STATUS_ROW "ROW(id, created, job_id, name, created_by_id, message, agent_id)::jobs.job_status"

/* Whether other jobs wait for the one that a statement has just ended. */
#define HAS_DEPENDENTS(job) \
	"EXISTS (SELECT FROM jobs_store.job_dependency p WHERE p.tenant = $1 AND p.depends_on = " job ")"

/*
 * Any state in which an agent holds a job may end it. A failure ends it only
 * when no attempt is left or none is wanted ($7). The time of a transition, here and
 * below, is that at which its row was locked.
 */
static JobsStatement end_job = {
	.sql = "WITH d AS (DELETE FROM jobs_store.lease WHERE tenant = $1 AND agent_id = $2 AND job_id = $3"
	" AND ($4 = 0 OR attempt = $4) AND ($7 OR attempt >= max_attempts)"
	" RETURNING ordinal, attempt, clock_timestamp() AS now)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, id, created, attempt, name, agent_id, message)"
	" SELECT $1, $3, d.ordinal + 1, jobs_store.new_id(), d.now, d.attempt, $5::jobs.job_status_name, $2, $6 FROM d"
	" RETURNING " HAS_DEPENDENTS("$3") ", " STATUS_ROW,
	.types = "iuuittb",
	.expected = SPI_OK_INSERT_RETURNING,
	.writes_history = true
};

/* As end_job, for many; in the order of their keys, so that batches cannot wait for each other. */
static JobsStatement end_jobs = {
	.sql = "WITH n AS MATERIALIZED (SELECT * FROM unnest($3, $4, $5, $6) n(job_id, name, message, attempt)"
	" ORDER BY job_id),"
	" d AS (DELETE FROM jobs_store.lease l USING n WHERE l.tenant = $1 AND l.agent_id = $2 AND l.job_id = n.job_id"
	" AND (n.attempt = 0 OR l.attempt = n.attempt) AND (n.name <> 'FAILED' OR $7 OR l.attempt >= l.max_attempts)"
	" RETURNING l.job_id, l.ordinal, l.attempt, n.name, n.message, clock_timestamp() AS now)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, id, created, attempt, name, agent_id, message)"
	" SELECT $1, d.job_id, d.ordinal + 1, jobs_store.new_id(), d.now, d.attempt, d.name::jobs.job_status_name, $2, d.message FROM d"
	" RETURNING job_id, " HAS_DEPENDENTS("job_status.job_id") ", " STATUS_ROW,
	.types = "iuUTTIb",
	.expected = SPI_OK_INSERT_RETURNING,
	.writes_history = true
};

/*
 * Jobs that wait for one that has just ended are looked at by the next sweep;
 * archived ones (infinity) are not.
 */
static JobsStatement wake_dependents = {
	.sql = "UPDATE jobs_store.waiting w SET check_at = $3 FROM (SELECT x.job_id"
	" FROM unnest($2) e(job_id) JOIN jobs_store.job_dependency p ON p.tenant = $1 AND p.depends_on = e.job_id"
	" JOIN jobs_store.waiting x ON x.tenant = $1 AND x.job_id = p.job_id"
	" WHERE x.dependent AND x.check_at > $3 AND x.check_at < 'infinity' ORDER BY x.job_id FOR UPDATE OF x SKIP LOCKED) d"
	" WHERE w.tenant = $1 AND w.job_id = d.job_id",
	.types = "iUz",
	.expected = SPI_OK_UPDATE
};

/* A report on the way; a sign of life, so it extends the lease. */
static JobsStatement report_progress = {
	.sql = "WITH u AS (UPDATE jobs_store.lease SET status = $5::jobs.job_status_name, ordinal = ordinal + 1,"
	" expires = clock_timestamp() + duration WHERE tenant = $1 AND agent_id = $2 AND job_id = $3"
	" AND ($4 = 0 OR attempt = $4) AND (jobs.can_transition(status, $5::jobs.job_status_name)"
	" OR (status = $5::jobs.job_status_name AND $6 IS NOT NULL))"
	" RETURNING ordinal, attempt, clock_timestamp() AS now)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, id, created, attempt, name, agent_id, message)"
	" SELECT $1, $3, u.ordinal, jobs_store.new_id(), u.now, u.attempt, $5::jobs.job_status_name, $2, $6 FROM u"
	" RETURNING " STATUS_ROW,
	.types = "iuuitt",
	.expected = SPI_OK_INSERT_RETURNING,
	.writes_history = true
};

static JobsStatement find_lease = {
	.sql = "SELECT status, attempt, max_attempts FROM jobs_store.lease"
	" WHERE tenant = $1 AND agent_id = $2 AND job_id = $3 FOR UPDATE",
	.types = "iuu",
	.expected = SPI_OK_SELECT
};

static JobsStatement find_current = {
	.sql = "SELECT name, attempt, agent_id, created_by_id IS NULL, " STATUS_ROW " FROM jobs_store.current_status"
	" WHERE tenant = $1 AND job_id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

/*
 * Gives a held job back: ready at once, or to wait until $4. $6 is added to
 * the attempts it may have; $7 is the user who gave it back, if one did.
 */
static JobsStatement put_back = {
	.sql = "WITH d AS (DELETE FROM jobs_store.lease WHERE tenant = $1 AND agent_id = $2 AND job_id = $3"
	" RETURNING lane, ordinal + 1 AS ordinal, attempt, max_attempts + $6 AS max_attempts, clock_timestamp() AS now),"
	" r AS (INSERT INTO jobs_store.ready (tenant, lane, job_id, ordinal, attempt, max_attempts)"
	" SELECT $1, d.lane, $3, d.ordinal, d.attempt, d.max_attempts FROM d WHERE $4 IS NULL),"
	" w AS (INSERT INTO jobs_store.waiting (tenant, job_id, check_at, lane, ordinal, attempt, max_attempts, dependent)"
	" SELECT $1, $3, $4, d.lane, d.ordinal, d.attempt, d.max_attempts, false FROM d WHERE $4 IS NOT NULL)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, id, created, attempt, name, agent_id, message, created_by_id)"
	" SELECT $1, $3, d.ordinal, jobs_store.new_id(), d.now, d.attempt,"
	" CASE WHEN $4 IS NULL THEN 'PENDING' ELSE 'CREATED' END::jobs.job_status_name, $2, $5, $7 FROM d"
	" RETURNING " STATUS_ROW,
	.types = "iuuztiu",
	.expected = SPI_OK_INSERT_RETURNING,
	.writes_history = true
};

/*
 * Takes a job out of whichever hot table it is in. An agent that holds it is
 * told by its next heartbeat.
 */
static JobsStatement withdraw = {
	.sql = "WITH w AS (DELETE FROM jobs_store.waiting WHERE tenant = $1 AND job_id = $2"
	" RETURNING ordinal, attempt, clock_timestamp() AS now),"
	" r AS (DELETE FROM jobs_store.ready WHERE tenant = $1 AND job_id = $2"
	" RETURNING ordinal, attempt, clock_timestamp() AS now),"
	" l AS (DELETE FROM jobs_store.lease WHERE tenant = $1 AND agent_id = $3 AND job_id = $2"
	" RETURNING ordinal, attempt, clock_timestamp() AS now, greatest(expires, clock_timestamp() + duration) AS expires),"
	" n AS (INSERT INTO jobs_store.notice (tenant, agent_id, job_id, canceled, expires)"
	" SELECT $1, $3, $2, true, l.expires FROM l"
	" ON CONFLICT (tenant, agent_id, job_id) DO UPDATE SET canceled = true, expires = excluded.expires)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, id, created, attempt, name, created_by_id, message)"
	" SELECT $1, $2, d.ordinal + 1, jobs_store.new_id(), d.now, d.attempt, $4::jobs.job_status_name, $5, $6"
	" FROM (SELECT ordinal, attempt, now FROM w UNION ALL SELECT ordinal, attempt, now FROM r"
	" UNION ALL SELECT ordinal, attempt, now FROM l) d"
	" RETURNING " STATUS_ROW,
	.types = "iuutut",
	.expected = SPI_OK_INSERT_RETURNING,
	.writes_history = true
};

static JobsStatement no_op_row = {
	.sql = "SELECT ROW($1, $2)::jobs.no_op_response",
	.types = "tt",
	.expected = SPI_OK_SELECT
};

/* What became of a report. */
typedef enum Outcome
{
	REPORTED,
	NO_SUCH_JOB,
	NOT_HELD,
	NOT_PERMITTED
} Outcome;

static text *
label_text(JobsStatus status)
{
	return cstring_to_text(jobs_status_label(status));
}

/* The jobs have ended: what waits for them is due as of now. */
void
jobs_wake_dependents(JobsCall *call, ArrayType *jobs, TimestampTz now)
{
	jobs_run(&wake_dependents, A_INT4(call->caller.tenant), A_PTR(jobs), A_TIME(now));
}

static void
wake_one(JobsCall *call, const pg_uuid_t *job_id)
{
	Datum		id = UUIDPGetDatum(job_id);

	jobs_wake_dependents(call, construct_array(&id, 1, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR),
						 GetCurrentTimestamp());
}

static bool
same_agent(const JobsResult *current, const pg_uuid_t *agent_id)
{
	bool		isnull;
	Datum		agent = jobs_column(current, 0, 3, &isnull);

	return !isnull && memcmp(DatumGetUUIDP(agent), agent_id, UUID_LEN) == 0;
}

/* A sign of life that says nothing new. */
static JobsStatement extend_lease = {
	.sql = "UPDATE jobs_store.lease SET expires = clock_timestamp() + duration"
	" WHERE tenant = $1 AND agent_id = $2 AND job_id = $3",
	.types = "iuu",
	.expected = SPI_OK_UPDATE
};

/*
 * The agent has no lease. When the last entry is what this report made the
 * first time, its answer was lost: the same answer again. (A job that was put
 * back after a failure has an entry of the agent's alone; one that was released
 * names the user too.)
 */
static Outcome
report_without_lease(JobsCall *call, const JobsReport *report, JobsResult *row)
{
	JobsResult	current = jobs_run(&find_current, A_INT4(call->caller.tenant), A_PTR(report->job_id));
	JobsStatus	name;
	int32		attempt;

	if (current.count == 0)
		return NO_SUCH_JOB;
	name = DatumGetJobsStatus(jobs_column(&current, 0, 1, NULL));
	attempt = DatumGetInt32(jobs_column(&current, 0, 2, NULL));
	if (!same_agent(&current, report->agent_id) || !jobs_status_terminal(report->name) ||
		(report->attempt != 0 && report->attempt != attempt))
		return NOT_HELD;
	if (name != report->name &&
		!(report->name == JOBS_FAILED && report->retry && (name == JOBS_PENDING || name == JOBS_CREATED) &&
		  DatumGetBool(jobs_column(&current, 0, 4, NULL))))
		return NOT_HELD;
	*row = current;
	return REPORTED;
}

/* milliseconds until the next attempt */
static int64
retry_delay(int32 attempt)
{
	return jobs_backoff(attempt, jobs_retry_base, jobs_retry_cap,
						pg_prng_double(&pg_global_prng_state));
}

/* The wait after an attempt, for the sweep. */
Datum
jobs_retry_delay(PG_FUNCTION_ARGS)
{
	Interval   *delay = palloc0(sizeof(Interval));

	delay->time = retry_delay(PG_GETARG_INT32(0)) * 1000;
	PG_RETURN_INTERVAL_P(delay);
}

/* A failure with attempts left: the job waits for the next. */
static void
fail_and_retry(JobsCall *call, const JobsReport *report, int32 attempt, int32 max_attempts,
			   JobsResult *row)
{
	int64		delay = retry_delay(attempt);
	TimestampTz next = GetCurrentTimestamp() + delay * 1000;
	StringInfoData message;

	initStringInfo(&message);
	appendStringInfo(&message, "attempt %d of %d failed", attempt, max_attempts);
	if (report->message != NULL)
		appendStringInfo(&message, ": %s", text_to_cstring(report->message));
	appendStringInfo(&message, "; next attempt %s%s", delay > 0 ? "not before " : "at once",
					 delay > 0 ? timestamptz_to_str(next) : "");
	(void) GetTopTransactionId();
	jobs_void_guesses();
	*row = jobs_run(&put_back, A_INT4(call->caller.tenant), A_PTR(report->agent_id),
					A_PTR(report->job_id), jobs_datum(TimestampTzGetDatum(next), delay == 0),
					A_PTR(cstring_to_text_with_len(message.data, message.len)), A_INT4(0), A_NULL);
}

/*
 * The fast statement found nothing to do: the agent does not hold the job, or
 * the transition is not permitted, or the report asks for something special.
 */
static Outcome
report_slowly(JobsCall *call, const JobsReport *report, JobsResult *row, JobsStatus *from)
{
	JobsResult	lease = jobs_run(&find_lease, A_INT4(call->caller.tenant), A_PTR(report->agent_id),
								 A_PTR(report->job_id));
	int32		attempt;

	if (lease.count == 0)
		return report_without_lease(call, report, row);
	*from = DatumGetJobsStatus(jobs_column(&lease, 0, 1, NULL));
	attempt = DatumGetInt32(jobs_column(&lease, 0, 2, NULL));
	if (report->attempt != 0 && report->attempt != attempt)
		return NOT_HELD;
	if (report->name == *from)
	{
		jobs_run(&extend_lease, A_INT4(call->caller.tenant), A_PTR(report->agent_id),
				 A_PTR(report->job_id));
		*row = jobs_run(&find_current, A_INT4(call->caller.tenant), A_PTR(report->job_id));
		return REPORTED;
	}
	if (report->name != JOBS_FAILED || !jobs_can_transition(*from, JOBS_FAILED))
		return NOT_PERMITTED;
	fail_and_retry(call, report, attempt, DatumGetInt32(jobs_column(&lease, 0, 3, NULL)), row);
	return REPORTED;
}

/* The entry that is current afterwards is the last column of *row. */
static Outcome
report_one(JobsCall *call, const JobsReport *report, JobsResult *row, JobsStatus *from)
{
	JobsArg		ends = A_BOOL(report->name != JOBS_FAILED || !report->retry);

	if (jobs_status_terminal(report->name))
		*row = jobs_run(&end_job, A_INT4(call->caller.tenant), A_PTR(report->agent_id),
						A_PTR(report->job_id), A_INT4(report->attempt),
						A_PTR(label_text(report->name)), A_PTR(report->message), ends);
	else
		*row = jobs_run(&report_progress, A_INT4(call->caller.tenant), A_PTR(report->agent_id),
						A_PTR(report->job_id), A_INT4(report->attempt),
						A_PTR(label_text(report->name)), A_PTR(report->message));
	if (row->count == 0)
		return report_slowly(call, report, row, from);
	if (jobs_status_terminal(report->name) && DatumGetBool(jobs_column(row, 0, 1, NULL)))
		wake_one(call, report->job_id);
	return REPORTED;
}

static void
check_reportable(JobsStatus name)
{
	if (!jobs_status_reportable(name))
		ereport(ERROR,
				(errcode(ERRCODE_JOBS_WRONG_STATE),
				 errmsg("status %s cannot be reported", jobs_status_label(name)),
				 errhint("It is set by the extension itself. Agents report VALIDATING, RUNNING, UPLOADING, COMPLETED, FAILED or CANCELED.")));
}

/* Report of an agent, or an error; the entry is the last column. */
JobsResult
jobs_report(JobsCall *call, const JobsReport *report)
{
	JobsResult	row;
	JobsStatus	from;

	jobs_check_text(report->message, "message", JOBS_MAX_MESSAGE);
	check_reportable(report->name);
	switch (report_one(call, report, &row, &from))
	{
		case REPORTED:
			break;
		case NO_SUCH_JOB:
			jobs_error_not_found("job", report->job_id);
		case NOT_HELD:
			jobs_error_lease_lost(report->job_id, report->agent_id);
		case NOT_PERMITTED:
			jobs_error_transition(report->job_id, from, report->name);
	}
	return row;
}

/*
 * FAILED or CANCELED by a user. NULL entry when the job had ended before, with
 * *was then. A claim or report that commits meanwhile moves the job to another
 * table; so it is looked up again until it was caught.
 */
static Datum
withdraw_job(JobsCall *call, const pg_uuid_t *job_id, JobsStatus name, text *message,
			 JobsStatus *was)
{
	for (int i = 0; i < MAX_CHASE; i++)
	{
		JobsResult	current = jobs_run(&find_current, A_INT4(call->caller.tenant), A_PTR(job_id));
		JobsResult	row;
		bool		isnull;
		Datum		agent;
		Datum		entry;

		CHECK_FOR_INTERRUPTS();
		if (current.count == 0)
			jobs_error_not_found("job", job_id);
		*was = DatumGetJobsStatus(jobs_column(&current, 0, 1, NULL));
		if (jobs_status_terminal(*was))
			return (Datum) 0;
		agent = jobs_column(&current, 0, 3, &isnull);
		row = jobs_run(&withdraw, A_INT4(call->caller.tenant), A_PTR(job_id),
					   jobs_datum(agent, isnull), A_PTR(label_text(name)),
					   A_PTR(&call->caller.user_id), A_PTR(message));
		if (row.count > 0)
		{
			entry = jobs_column_copy(call, &row, 0, 1);
			wake_one(call, job_id);
			return entry;
		}
		if (IsolationUsesXactSnapshot())
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not withdraw job %s because it changes concurrently", jobs_uuid_text(job_id)),
			 errhint("The transaction might succeed if retried.")));
}

/* Report of a user: FAILED or CANCELED, of any job that has not ended. */
static Datum
report_as_user(JobsCall *call, const pg_uuid_t *job_id, JobsStatus name, text *message)
{
	JobsStatus	was;
	Datum		entry;

	check_reportable(name);
	jobs_check_text(message, "message", JOBS_MAX_MESSAGE);
	jobs_access_require(call, job_id, JOBS_EDITOR, "change the status of");
	if (name != JOBS_FAILED && name != JOBS_CANCELED)
		ereport(ERROR,
				(errcode(ERRCODE_JOBS_WRONG_STATE),
				 errmsg("only an agent reports %s", jobs_status_label(name)),
				 errhint("Give agent_id. Without it only FAILED and CANCELED are possible.")));
	entry = withdraw_job(call, job_id, name, message, &was);
	if (entry != (Datum) 0)
		return entry;
	if (was == name)
	{
		JobsResult	current = jobs_run(&find_current, A_INT4(call->caller.tenant), A_PTR(job_id));

		return jobs_column_copy(call, &current, 0, 5);
	}
	jobs_error_transition(job_id, was, name);
}

Datum
jobs_update_job_status(PG_FUNCTION_ARGS)
{
	JobsReport	report = {0};
	JobsCall	call;
	Datum		entry;

	jobs_arg_require(fcinfo, 0, "job_id");
	jobs_arg_require(fcinfo, 1, "name");
	jobs_arg_require(fcinfo, 5, "retry");
	report.job_id = PG_GETARG_UUID_P(0);
	report.name = DatumGetJobsStatus(PG_GETARG_DATUM(1));
	report.message = jobs_arg_text(fcinfo, 2, "message", JOBS_MAX_MESSAGE);
	report.agent_id = jobs_arg_uuid(fcinfo, 3);
	report.attempt = PG_ARGISNULL(4) ? 0 : PG_GETARG_INT32(4);
	report.retry = PG_GETARG_BOOL(5);
	jobs_enter(fcinfo, &call);
	if (report.agent_id == NULL)
		entry = report_as_user(&call, report.job_id, report.name, report.message);
	else
	{
		JobsResult	row;

		jobs_agent_require(&call, report.agent_id);
		row = jobs_report(&call, &report);
		entry = jobs_column_copy(&call, &row, 0, row.table->tupdesc->natts);
	}
	jobs_leave(&call);
	return entry;
}

/* The batch form ------------------------------------------------------- */

typedef struct Batch
{
	int			count;
	JobsReport *reports;
	Datum	   *entries;		/* 0: none */
	Outcome    *outcomes;
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
		check_reportable(report->name);
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

/* Ends all jobs of the batch that can be ended at once; the others are left. */
static void
end_batch(JobsCall *call, Batch *batch)
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
		columns[1][used] = PointerGetDatum(label_text(report->name));
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

/* The reports that end_batch did not take. */
static void
report_rest(JobsCall *call, Batch *batch)
{
	for (int n = 0; n < batch->count; n++)
	{
		int			i = batch->sorted[n] - batch->reports;
		JobsResult	row;

		CHECK_FOR_INTERRUPTS();
		if (batch->entries[i] != (Datum) 0)
			continue;
		batch->outcomes[i] = report_one(call, &batch->reports[i], &row, &batch->from[i]);
		if (batch->outcomes[i] == REPORTED)
			batch->entries[i] = jobs_column(&row, 0, row.table->tupdesc->natts, NULL);
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
	batch.outcomes = palloc0(sizeof(Outcome) * Max(batch.count, 1));
	batch.from = palloc0(sizeof(JobsStatus) * Max(batch.count, 1));
	batch.repeated = palloc0(sizeof(bool) * Max(batch.count, 1));
	if (batch.count > 0)
	{
		sort_reports(&batch);
		end_batch(&call, &batch);
	}
	report_rest(&call, &batch);
	for (int i = 0; i < batch.count; i++)
		store_outcome((ReturnSetInfo *) fcinfo->resultinfo, &batch, i);
	jobs_leave(&call);
	return (Datum) 0;
}

Datum
jobs_release_job(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	JobsReport	report = {0};
	JobsResult	row;
	bool		later;
	Datum		entry;
	text	   *message;

	jobs_arg_require(fcinfo, 0, "job_id");
	jobs_arg_require(fcinfo, 1, "agent_id");
	report.job_id = PG_GETARG_UUID_P(0);
	report.agent_id = PG_GETARG_UUID_P(1);
	message = jobs_arg_text(fcinfo, 3, "message", JOBS_MAX_MESSAGE);
	jobs_enter(fcinfo, &call);
	jobs_agent_require(&call, report.agent_id);
	later = !PG_ARGISNULL(2) && PG_GETARG_TIMESTAMPTZ(2) > GetCurrentTimestamp();
	(void) GetTopTransactionId();
	jobs_void_guesses();
	row = jobs_run(&put_back, A_INT4(call.caller.tenant), A_PTR(report.agent_id), A_PTR(report.job_id),
				   jobs_datum(PG_GETARG_DATUM(2), !later),
				   A_PTR(message), A_INT4(1), A_PTR(&call.caller.user_id));
	if (row.count == 0)
	{
		row = jobs_run(&find_current, A_INT4(call.caller.tenant), A_PTR(report.job_id));
		if (row.count == 0)
			jobs_error_not_found("job", report.job_id);
		jobs_error_lease_lost(report.job_id, report.agent_id);
	}
	entry = jobs_column_copy(&call, &row, 0, 1);
	jobs_leave(&call);
	return entry;
}

/* The no_op_response that outlives jobs_leave. */
Datum
jobs_no_op(JobsCall *call, const char *status, const char *message)
{
	JobsResult	row = jobs_run(&no_op_row, A_PTR(cstring_to_text(status)),
							   A_PTR(cstring_to_text(message)));

	return jobs_column_copy(call, &row, 0, 1);
}

Datum
jobs_cancel_job(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	JobsStatus	was;
	pg_uuid_t  *job_id;
	text	   *reason = jobs_arg_text(fcinfo, 1, "reason", JOBS_MAX_MESSAGE);
	Datum		answer;

	jobs_arg_require(fcinfo, 0, "job_id");
	job_id = PG_GETARG_UUID_P(0);
	jobs_enter(fcinfo, &call);
	jobs_access_require(&call, job_id, JOBS_EDITOR, "cancel");
	if (withdraw_job(&call, job_id, JOBS_CANCELED, reason, &was) != (Datum) 0)
		answer = jobs_no_op(&call, "canceled", psprintf("job %s is canceled", jobs_uuid_text(job_id)));
	else
		answer = jobs_no_op(&call, "no_op", psprintf("job %s is %s already", jobs_uuid_text(job_id),
													 jobs_status_label(was)));
	jobs_leave(&call);
	return answer;
}
