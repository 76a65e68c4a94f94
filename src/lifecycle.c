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
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "fault.h"
#include "hot.h"
#include "lifecycle.h"
#include "rows.h"

PG_FUNCTION_INFO_V1(jobs_update_job_status);
PG_FUNCTION_INFO_V1(jobs_release_job);
PG_FUNCTION_INFO_V1(jobs_cancel_job);

/*
 * Any state in which an agent holds a job may end it. A failure ends it only
 * when no attempt is left or none is wanted ($7). The time of a transition, here and
 * below, is that at which its row was locked.
 */
static JobsStatement end_job = {
	.sql = "WITH d AS (DELETE FROM jobs_store.lease WHERE tenant = $1 AND agent_id = $2 AND job_id = $3"
	" AND ($4 = 0 OR attempt = $4) AND ($7 OR attempt >= max_attempts)"
	" RETURNING ordinal, attempt, clock_timestamp() AS now)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, agent_id, message)"
	" SELECT $1, $3, d.ordinal + 1, d.now, d.attempt, $5::jobs.job_status_name, $2, $6 FROM d"
	" RETURNING " HAS_DEPENDENTS("$3") ", " STATUS_ROW,
	.types = "iuuittb",
	.expected = SPI_OK_INSERT_RETURNING,
	.writes_history = true
};

/* A report on the way; a sign of life, so it extends the lease. */
static JobsStatement report_progress = {
	.sql = "WITH u AS (UPDATE jobs_store.lease SET status = $5::jobs.job_status_name, ordinal = ordinal + 1,"
	" " EXTEND_LEASE("clock_timestamp()") " WHERE tenant = $1 AND agent_id = $2 AND job_id = $3"
	" AND ($4 = 0 OR attempt = $4) AND (jobs.can_transition(status, $5::jobs.job_status_name)"
	" OR (status = $5::jobs.job_status_name AND $6 IS NOT NULL))"
	" RETURNING ordinal, attempt, clock_timestamp() AS now)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, agent_id, message)"
	" SELECT $1, $3, u.ordinal, u.now, u.attempt, $5::jobs.job_status_name, $2, $6 FROM u"
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
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, agent_id, message, created_by_id)"
	" SELECT $1, $3, d.ordinal, d.now, d.attempt,"
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
	" RETURNING ordinal, attempt, clock_timestamp() AS now, greatest(expires, clock_timestamp() + " LEASE_TIME ") AS expires),"
	" n AS (INSERT INTO jobs_store.notice (tenant, agent_id, job_id, canceled, expires)"
	" SELECT $1, $3, $2, true, l.expires FROM l"
	" ON CONFLICT (tenant, agent_id, job_id) DO UPDATE SET canceled = true, expires = excluded.expires)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, created_by_id, message)"
	" SELECT $1, $2, d.ordinal + 1, d.now, d.attempt, $4::jobs.job_status_name, $5, $6"
	" FROM (SELECT ordinal, attempt, now FROM w UNION ALL SELECT ordinal, attempt, now FROM r"
	" UNION ALL SELECT ordinal, attempt, now FROM l) d"
	" RETURNING " STATUS_ROW,
	.types = "iuutut",
	.expected = SPI_OK_INSERT_RETURNING,
	.writes_history = true
};

/*
 * See the statement; NULL run_after: at once, NULL user: the agent itself. No row
 * when the agent does not hold the job. After jobs_begin_ready.
 */
JobsResult
jobs_put_back(JobsCall *call, const pg_uuid_t *agent_id, const pg_uuid_t *job_id,
			  const TimestampTz *run_after, text *message, int32 more_attempts, const pg_uuid_t *user_id)
{
	return jobs_run(&put_back, A_INT4(call->caller.tenant), A_PTR(agent_id), A_PTR(job_id),
					jobs_datum(run_after ? TimestampTzGetDatum(*run_after) : (Datum) 0, run_after == NULL),
					A_PTR(message), A_INT4(more_attempts), A_PTR(user_id));
}

static JobsStatement no_op_row = {
	.sql = "SELECT ROW($1, $2)::jobs.no_op_response",
	.types = "tt",
	.expected = SPI_OK_SELECT
};

text *
jobs_status_text(JobsStatus status)
{
	return cstring_to_text(jobs_status_label(status));
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
	.sql = "UPDATE jobs_store.lease SET " EXTEND_LEASE("clock_timestamp()")
	" WHERE tenant = $1 AND agent_id = $2 AND job_id = $3",
	.types = "iuu",
	.expected = SPI_OK_UPDATE
};

static JobsStatement had_lease = {
	.sql = "SELECT 1 FROM jobs_store.job_status WHERE tenant = $1 AND job_id = $2 AND agent_id = $3 LIMIT 1",
	.types = "iuu",
	.expected = SPI_OK_SELECT
};

/* A job that is neither the caller's to see nor ever was the agent's does not exist for it. */
static bool
job_is_known(JobsCall *call, const pg_uuid_t *job_id, const pg_uuid_t *agent_id)
{
	const char *kind;

	return jobs_relation(call, job_id, &kind) >= JOBS_VIEWER ||
		jobs_run(&had_lease, A_INT4(call->caller.tenant), A_PTR(job_id), A_PTR(agent_id)).count > 0;
}

/*
 * The agent has no lease. When the last entry is what this report made the
 * first time, its answer was lost: the same answer again. (A job that was put
 * back after a failure has an entry of the agent's alone; one that was released
 * names the user too.)
 */
static JobsOutcome
report_without_lease(JobsCall *call, const JobsReport *report, JobsResult *row)
{
	JobsResult	current = jobs_run(&find_current, A_INT4(call->caller.tenant), A_PTR(report->job_id));
	JobsStatus	name;
	int32		attempt;

	if (current.count == 0 || !job_is_known(call, report->job_id, report->agent_id))
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

/*
 * The fast statement found nothing to do: the agent does not hold the job, or
 * the transition is not permitted, or the report asks for something special.
 */
static JobsOutcome
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
	*row = jobs_fail_and_retry(call, report, attempt, DatumGetInt32(jobs_column(&lease, 0, 3, NULL)));
	return REPORTED;
}

/* The short cut, for what ends a job and meets no obstacle. */
static bool
end_directly(JobsCall *call, JobsReport *report, Datum *entry)
{
	JobsEnded	ended;

	if (!jobs_status_terminal(report->name) || !jobs_rows_usable() ||
		jobs_hot_end(call, &report, 1, &ended) == 0)
		return false;
	JOBS_FAULT("end-before-wake");
	if (ended.dependents)
		wake_one(call, report->job_id);
	*entry = ended.entry;
	return true;
}

static JobsOutcome
report_by_statement(JobsCall *call, const JobsReport *report, JobsResult *row, JobsStatus *from)
{
	JobsArg		ends = A_BOOL(report->name != JOBS_FAILED || !report->retry);

	if (jobs_status_terminal(report->name))
		*row = jobs_run(&end_job, A_INT4(call->caller.tenant), A_PTR(report->agent_id),
						A_PTR(report->job_id), A_INT4(report->attempt),
						A_PTR(jobs_status_text(report->name)), A_PTR(report->message), ends);
	else
		*row = jobs_run(&report_progress, A_INT4(call->caller.tenant), A_PTR(report->agent_id),
						A_PTR(report->job_id), A_INT4(report->attempt),
						A_PTR(jobs_status_text(report->name)), A_PTR(report->message));
	if (row->count == 0)
		return report_slowly(call, report, row, from);
	if (jobs_status_terminal(report->name) && DatumGetBool(jobs_column(row, 0, 1, NULL)))
		wake_one(call, report->job_id);
	return REPORTED;
}

/* *entry is the one that is current afterwards. */
JobsOutcome
jobs_report_one(JobsCall *call, JobsReport *report, Datum *entry, JobsStatus *from)
{
	JobsResult	row;
	JobsOutcome outcome;

	if (end_directly(call, report, entry))
		return REPORTED;
	outcome = report_by_statement(call, report, &row, from);
	if (outcome == REPORTED)
		*entry = jobs_column(&row, 0, row.table->tupdesc->natts, NULL);
	return outcome;
}

void
jobs_check_reportable(JobsStatus name)
{
	if (!jobs_status_reportable(name))
		ereport(ERROR,
				(errcode(ERRCODE_JOBS_WRONG_STATE),
				 errmsg("status %s cannot be reported", jobs_status_label(name)),
				 errhint("It is set by the extension itself. Agents report VALIDATING, RUNNING, UPLOADING, COMPLETED, FAILED or CANCELED.")));
}

/* Report of an agent, or an error; answers the entry that is current afterwards. */
Datum
jobs_report(JobsCall *call, JobsReport *report)
{
	Datum		entry;
	JobsStatus	from;

	jobs_check_text(report->message, "message", JOBS_MAX_MESSAGE);
	jobs_check_reportable(report->name);
	switch (jobs_report_one(call, report, &entry, &from))
	{
		case REPORTED:
			break;
		case NO_SUCH_JOB:
			jobs_error_not_found("job", report->job_id);
		case NOT_HELD:
			jobs_error_lease_lost(report->job_id, report->agent_id, report->attempt);
		case NOT_PERMITTED:
			jobs_error_transition(report->job_id, from, report->name, true);
	}
	return entry;
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
	for (int i = 0; i < JOBS_MAX_CHASE; i++)
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
					   jobs_datum(agent, isnull), A_PTR(jobs_status_text(name)),
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
	jobs_error_concurrent("withdraw", job_id);
}

/* Report of a user: FAILED or CANCELED, of any job that has not ended. */
static Datum
report_as_user(JobsCall *call, const pg_uuid_t *job_id, JobsStatus name, text *message)
{
	JobsStatus	was;
	Datum		entry;

	jobs_check_reportable(name);
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
	jobs_error_transition(job_id, was, name, true);
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
		jobs_agent_require(&call, report.agent_id);
		entry = jobs_composite_copy(&call, jobs_report(&call, &report));
	}
	jobs_leave(&call);
	return entry;
}

Datum
jobs_release_job(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	JobsReport	report = {0};
	JobsResult	row;
	TimestampTz run_after;
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
	run_after = PG_ARGISNULL(2) ? 0 : PG_GETARG_TIMESTAMPTZ(2);
	later = !PG_ARGISNULL(2) && run_after > GetCurrentTimestamp();
	jobs_begin_ready("release_job()");
	row = jobs_put_back(&call, report.agent_id, report.job_id, later ? &run_after : NULL, message, 1,
						&call.caller.user_id);
	if (row.count == 0)
	{
		if (!job_is_known(&call, report.job_id, report.agent_id))
			jobs_error_not_found("job", report.job_id);
		jobs_error_lease_lost(report.job_id, report.agent_id, 0);
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
