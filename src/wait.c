/*-------------------------------------------------------------------------
 *
 * wait.c
 *		Waiting for a job to end.
 *
 * A function cannot let go of the snapshot of the query that calls it; so who
 * waits here keeps vacuum from removing what goes meanwhile, as any long query
 * does. No lock is held. What the job's owner would rather do is ask again.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/wait_event.h"

PG_FUNCTION_INFO_V1(jobs_poll_job);

/* As of now: each look identifies the caller again, and sees what has been committed. */
static JobsStatus
look(FunctionCallInfo fcinfo, const pg_uuid_t *job_id)
{
	JobsCall	call;
	JobsStatus	status;

	jobs_enter(fcinfo, &call);
	if (strcmp(jobs_access_require(&call, job_id, JOBS_VIEWER, "see"), "job") != 0)
		jobs_error_not_found("job", job_id);
	if (!jobs_current_status(&call, job_id, &status))
		jobs_error_not_found("job", job_id);
	jobs_leave(&call);
	return status;
}

static void
pause_for(int64 ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 Min(ms, PG_INT32_MAX), PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static int64
span_argument(FunctionCallInfo fcinfo, int argno, const char *name)
{
	return jobs_check_span(PG_GETARG_INTERVAL_P(argno), name);
}

Datum
jobs_poll_job(PG_FUNCTION_ARGS)
{
	TimestampTz end = DT_NOEND;
	pg_uuid_t  *job_id;
	int64		interval;

	jobs_arg_require(fcinfo, 0, "job_id");
	job_id = PG_GETARG_UUID_P(0);
	if (!PG_ARGISNULL(1))
		end = GetCurrentTimestamp() + span_argument(fcinfo, 1, "timeout") * 1000;
	jobs_arg_require(fcinfo, 2, "interval");
	interval = span_argument(fcinfo, 2, "interval");
	for (;;)
	{
		JobsStatus	status = look(fcinfo, job_id);
		TimestampTz now = GetCurrentTimestamp();

		if (jobs_status_terminal(status))
			return JobsStatusGetDatum(status);

		/* An old snapshot would show the same for ever. */
		if (IsolationUsesXactSnapshot())
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("poll_job() can only wait in READ COMMITTED")));
		if (now >= end)
			ereport(ERROR,
					(errcode(ERRCODE_QUERY_CANCELED),
					 errmsg("job %s is still %s", jobs_uuid_text(job_id), jobs_status_label(status)),
					 errhint("jobs.explain_job says what it waits for.")));
		pause_for(end == DT_NOEND ? interval : Min(interval, (end - now) / 1000 + 1));
	}
}
