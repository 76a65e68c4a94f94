/*-------------------------------------------------------------------------
 *
 * retry.c
 *		Further attempts: after a failure, and by hand.
 *
 * A failure with attempts left is not FAILED: the job goes back to wait for the
 * next one, with a history entry that says which attempt failed, why, and when
 * the next may start. FAILED is final, so nobody is told too early; but a person
 * may think again, and revive a job that is FAILED or CANCELED.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "common/pg_prng.h"
#include "utils/builtins.h"

#include "lifecycle.h"
#include "newjob.h"

PG_FUNCTION_INFO_V1(jobs_retry_delay);
PG_FUNCTION_INFO_V1(jobs_retry_job);

static JobsStatement find_delay = {
	.sql = "SELECT jobs_store.retry_delay($3, b.backoff, b.backoff_base, b.backoff_cap)"
	" FROM jobs_store.job_backoff b WHERE b.tenant = $1 AND b.job_id = $2",
	.types = "iui",
	.expected = SPI_OK_SELECT
};

/*
 * What is needed to put the job back into the queue. The lock makes two who
 * retry the same job come one after the other, and keeps the job from being
 * removed meanwhile.
 */
static JobsStatement lock_job = {
	.sql = "SELECT j.archived, j.function_id, j.priority, j.assigned_agent_id, j.assigned_agent_pool_id, j.concurrency_key"
	" FROM jobs_store.job j WHERE j.tenant = $1 AND j.id = $2 FOR NO KEY UPDATE",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement find_status = {
	.sql = "SELECT s.name FROM jobs_store.current_status s WHERE s.tenant = $1 AND s.job_id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

/* Attempts go on counting, so that the number still fences those who had it before. */
static JobsStatement revive = {
	.sql = "WITH c AS MATERIALIZED (SELECT s.ordinal + 1 AS ordinal, s.attempt, s.attempt + j.max_attempts AS max_attempts,"
	" clock_timestamp() AS now, greatest(clock_timestamp(), j.run_after) AS check_at,"
	" EXISTS (SELECT FROM jobs_store.job_dependency d WHERE d.tenant = $1 AND d.job_id = $2) AS dependent,"
	" coalesce(j.run_after > clock_timestamp(), false) AS later"
	" FROM jobs_store.job j JOIN jobs_store.current_status s ON s.tenant = $1 AND s.job_id = $2"
	" WHERE j.tenant = $1 AND j.id = $2),"
	" h AS (INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, created_by_id, message)"
	" SELECT $1, $2, c.ordinal, c.now, c.attempt,"
	" (CASE WHEN c.dependent OR c.later THEN 'CREATED' ELSE 'PENDING' END)::jobs.job_status_name, $4,"
	" format('retried by hand, attempt %s to %s', c.attempt + 1, c.max_attempts) || coalesce(': ' || $5, '') FROM c"
	" ON CONFLICT DO NOTHING RETURNING job_id, ordinal, created, name, created_by_id, message, agent_id),"
	" r AS (INSERT INTO jobs_store.ready (tenant, lane, job_id, ordinal, attempt, max_attempts)"
	" SELECT $1, $3, $2, c.ordinal, c.attempt, c.max_attempts FROM c, h WHERE NOT (c.dependent OR c.later)),"
	" w AS (INSERT INTO jobs_store.waiting (tenant, job_id, check_at, lane, ordinal, attempt, max_attempts, dependent)"
	" SELECT $1, $2, c.check_at, $3, c.ordinal, c.attempt, c.max_attempts, c.dependent FROM c, h"
	" WHERE c.dependent OR c.later)"
	" SELECT " STATUS_ROW " FROM h",
	.types = "iuiut",
	.expected = SPI_OK_SELECT,
	.writes_history = true
};

static JobsBackoffKind
backoff_kind(text *name)
{
	for (int i = 0; jobs_backoff_names[i] != NULL; i++)
		if (strcmp(text_to_cstring(name), jobs_backoff_names[i]) == 0)
			return (JobsBackoffKind) i;
	elog(ERROR, "unknown back-off \"%s\"", text_to_cstring(name));
}

/* Milliseconds of a span, or of the setting where there is none. */
static int64
span_or_setting(FunctionCallInfo fcinfo, int argno, int setting)
{
	return PG_ARGISNULL(argno) ? setting :
		jobs_check_span(PG_GETARG_INTERVAL_P(argno), "back-off");
}

Datum
jobs_retry_delay(PG_FUNCTION_ARGS)
{
	Interval   *delay = palloc0(sizeof(Interval));
	int32		attempt = PG_ARGISNULL(0) ? 1 : PG_GETARG_INT32(0);
	JobsBackoffKind kind = PG_ARGISNULL(1) ? JOBS_BACKOFF_EXPONENTIAL : backoff_kind(PG_GETARG_TEXT_PP(1));

	delay->time = 1000 * jobs_backoff(kind, attempt,
									  span_or_setting(fcinfo, 2, jobs_retry_base),
									  span_or_setting(fcinfo, 3, jobs_retry_cap),
									  pg_prng_double(&pg_global_prng_state));
	PG_RETURN_INTERVAL_P(delay);
}

/* An attempt of an agent's failed, and there are others: the job waits for the next. Answers the entry. */
JobsResult
jobs_fail_and_retry(JobsCall *call, const JobsReport *report, int32 attempt, int32 max_attempts)
{
	JobsResult	found = jobs_run(&find_delay, A_INT4(call->caller.tenant), A_PTR(report->job_id), A_INT4(attempt));
	int64		delay = DatumGetIntervalP(jobs_column(&found, 0, 1, NULL))->time;
	TimestampTz next = GetCurrentTimestamp() + delay;
	StringInfoData message;

	initStringInfo(&message);
	appendStringInfo(&message, "attempt %d of %d failed", attempt, max_attempts);
	if (report->message != NULL)
		appendStringInfo(&message, ": %s", text_to_cstring(report->message));
	appendStringInfo(&message, "; next attempt %s%s", delay > 0 ? "not before " : "at once",
					 delay > 0 ? timestamptz_to_str(next) : "");
	jobs_begin_ready("update_job_status()");
	return jobs_put_back(call, report->agent_id, report->job_id, delay > 0 ? &next : NULL,
						 cstring_to_text_with_len(message.data, message.len), 0, NULL);
}

static void
check_revivable(JobsCall *call, const pg_uuid_t *job_id, bool archived)
{
	JobsResult	current = jobs_run(&find_status, A_INT4(call->caller.tenant), A_PTR(job_id));
	JobsStatus	status = DatumGetJobsStatus(jobs_column(&current, 0, 1, NULL));

	if (status != JOBS_FAILED && status != JOBS_CANCELED)
		ereport(ERROR,
				(errcode(ERRCODE_JOBS_WRONG_STATE),
				 errmsg("job %s is %s and cannot be retried", jobs_uuid_text(job_id), jobs_status_label(status)),
				 errhint("Only a FAILED or CANCELED job can; to run it again, add a new one.")));
	if (archived)
		ereport(ERROR,
				(errcode(ERRCODE_JOBS_WRONG_STATE),
				 errmsg("job %s is archived and cannot be retried", jobs_uuid_text(job_id)),
				 errhint("Call jobs.restore first.")));
}

Datum
jobs_retry_job(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	JobsResult	job;
	JobsResult	entry;
	JobsLaneKey key = {0};
	pg_uuid_t  *job_id;
	text	   *message = jobs_arg_text(fcinfo, 1, "message", JOBS_MAX_MESSAGE);
	bool		isnull;
	Datum		result;

	jobs_arg_require(fcinfo, 0, "job_id");
	job_id = PG_GETARG_UUID_P(0);
	jobs_enter(fcinfo, &call);
	if (strcmp(jobs_access_require(&call, job_id, JOBS_EDITOR, "retry"), "job") != 0)
		jobs_error_not_found("job", job_id);
	job = jobs_run(&lock_job, A_INT4(call.caller.tenant), A_PTR(job_id));
	if (job.count == 0)
		jobs_error_not_found("job", job_id);
	check_revivable(&call, job_id, DatumGetBool(jobs_column(&job, 0, 1, NULL)));
	key.function_id = DatumGetUUIDP(jobs_column(&job, 0, 2, NULL));
	key.priority = DatumGetInt32(jobs_column(&job, 0, 3, NULL));
	key.agent_id = (pg_uuid_t *) DatumGetPointer(jobs_column(&job, 0, 4, &isnull));
	key.pool_id = (pg_uuid_t *) DatumGetPointer(jobs_column(&job, 0, 5, &isnull));
	key.concurrency_key = (text *) DatumGetPointer(jobs_column(&job, 0, 6, &isnull));
	jobs_begin_ready("retry_job()");
	entry = jobs_run(&revive, A_INT4(call.caller.tenant), A_PTR(job_id), A_INT4(jobs_lane(&call, &key)),
					 A_PTR(&call.caller.user_id), A_PTR(message));
	if (entry.count == 0)
		jobs_error_concurrent("retry", job_id);
	jobs_sweep_soon();
	result = jobs_column_copy(&call, &entry, 0, 1);
	jobs_leave(&call);
	return result;
}
