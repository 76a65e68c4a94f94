/*-------------------------------------------------------------------------
 *
 * enqueue.c
 *		Writing new jobs, row by row.
 *
 * What add_job and add_jobs have resolved goes into two rows: the record of the job,
 * and its place in the queue. A statement that does it spends four fifths of its
 * instructions on its plan and on arrays of arguments when there is one job. It is a
 * short cut as in hot.c: jobs_rows_addable says when it may be taken, and the statement
 * of job.c does the same for all cases.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "commands/sequence.h"
#include "executor/executor.h"
#include "miscadmin.h"

#include "fault.h"
#include "newjob.h"
#include "rows.h"

#define NO_ARG (-1)

/* The argument of add_job that a column of the record is. */
static const int argument_of[NEW_COLUMNS] = {
	[NEW_ID] = NO_ARG,
	[NEW_CREATED] = NO_ARG,
	[NEW_TENANT] = NO_ARG,
	[NEW_PRIORITY] = ARG_PRIORITY,
	[NEW_MAX_ATTEMPTS] = ARG_MAX_ATTEMPTS,
	[NEW_FIRST_STATUS] = NO_ARG,
	[NEW_ARCHIVED] = NO_ARG,
	[NEW_FUNCTION] = NO_ARG,
	[NEW_CREATED_BY] = NO_ARG,
	[NEW_MODEL] = ARG_MODEL,
	[NEW_ASSIGNED_AGENT] = ARG_ASSIGNED_AGENT,
	[NEW_ASSIGNED_AGENT_POOL] = ARG_ASSIGNED_AGENT_POOL,
	[NEW_AGENT] = ARG_AGENT,
	[NEW_RUN_AFTER] = ARG_RUN_AFTER,
	[NEW_UPDATED] = NO_ARG,
	[NEW_PARAMETERS] = ARG_PARAMETERS,
	[NEW_DESCRIPTION] = ARG_DESCRIPTION,
	[NEW_DISPLAY_NAME] = ARG_DISPLAY_NAME,
	[NEW_VERSION_NAME] = ARG_VERSION_NAME,
	[NEW_EXTERNAL_IDENTIFIER] = ARG_EXTERNAL_IDENTIFIER,
	[NEW_CONCURRENCY_KEY] = ARG_CONCURRENCY_KEY,
	[NEW_ON_DEPENDENCY_FAILURE] = ARG_ON_DEPENDENCY_FAILURE,
	[NEW_BACKOFF] = ARG_BACKOFF,
	[NEW_BACKOFF_BASE] = ARG_BACKOFF_BASE,
	[NEW_BACKOFF_CAP] = ARG_BACKOFF_CAP,
};

static void
write_record(JobsWriter *writer, JobsCall *call, JobsNewJob *job, TimestampTz now, JobsStatus status)
{
	TupleTableSlot *slot = jobs_writer_row(writer);
	Datum	   *values = slot->tts_values;

	for (int i = 0; i < NEW_COLUMNS; i++)
	{
		int			arg = argument_of[i];

		values[i] = arg == NO_ARG ? (Datum) 0 : job->values[arg];
		slot->tts_isnull[i] = arg != NO_ARG && job->nulls[arg];
	}
	values[NEW_ID] = UUIDPGetDatum(&job->id);
	values[NEW_CREATED] = TimestampTzGetDatum(now);
	values[NEW_TENANT] = Int32GetDatum(call->caller.tenant);
	values[NEW_FIRST_STATUS] = JobsStatusGetDatum(status);
	values[NEW_ARCHIVED] = BoolGetDatum(false);
	values[NEW_FUNCTION] = UUIDPGetDatum(&job->function_id);
	values[NEW_CREATED_BY] = UUIDPGetDatum(&call->caller.user_id);
	slot->tts_isnull[NEW_UPDATED] = true;
	if (jobs_ends_with_dependency(job))
		slot->tts_isnull[NEW_ON_DEPENDENCY_FAILURE] = true;
	ExecStoreVirtualTuple(slot);
}

static void
write_ready(JobsWriter *writer, JobsCall *call, JobsNewJob *job)
{
	TupleTableSlot *slot = jobs_writer_row(writer);
	Datum	   *values = slot->tts_values;

	values[READY_TENANT] = Int32GetDatum(call->caller.tenant);
	values[READY_LANE] = Int32GetDatum(job->lane);
	values[READY_SEQ] = Int64GetDatum(nextval_internal(jobs_rows_ready_seq, false));
	values[READY_JOB] = UUIDPGetDatum(&job->id);
	values[READY_ORDINAL] = Int32GetDatum(0);
	values[READY_ATTEMPT] = Int32GetDatum(0);
	values[READY_MAX_ATTEMPTS] = job->values[ARG_MAX_ATTEMPTS];
	ExecStoreVirtualTuple(slot);
}

static void
write_waiting(JobsWriter *writer, JobsCall *call, JobsNewJob *job, TimestampTz now)
{
	TupleTableSlot *slot = jobs_writer_row(writer);
	Datum	   *values = slot->tts_values;
	TimestampTz check_at = now;

	if (!job->nulls[ARG_RUN_AFTER])
		check_at = Max(check_at, DatumGetTimestampTz(job->values[ARG_RUN_AFTER]));
	values[WAITING_JOB] = UUIDPGetDatum(&job->id);
	values[WAITING_CHECK_AT] = TimestampTzGetDatum(check_at);
	values[WAITING_TENANT] = Int32GetDatum(call->caller.tenant);
	values[WAITING_LANE] = Int32GetDatum(job->lane);
	values[WAITING_ORDINAL] = Int32GetDatum(0);
	values[WAITING_ATTEMPT] = Int32GetDatum(0);
	values[WAITING_MAX_ATTEMPTS] = job->values[ARG_MAX_ATTEMPTS];
	values[WAITING_DEPENDENT] = BoolGetDatum(jobs_is_dependent(job));
	values[WAITING_BLOCKER] = (Datum) 0;
	slot->tts_isnull[WAITING_BLOCKER] = true;
	ExecStoreVirtualTuple(slot);
}

static bool
waits(const JobsNewJob *job, TimestampTz now)
{
	return jobs_is_dependent(job) ||
		(!job->nulls[ARG_RUN_AFTER] && DatumGetTimestampTz(job->values[ARG_RUN_AFTER]) > now);
}

/* The places in the queue of those jobs that wait, or of those that do not. */
static void
write_places(JobsCall *call, JobsNewJob **jobs, int count, TimestampTz now, bool later)
{
	JobsWriter	writer;

	jobs_writer_open(&writer, later ? ROWS_WAITING : ROWS_READY);
	for (int i = 0; i < count; i++)
	{
		if (waits(jobs[i], now) != later)
			continue;
		if (later)
			write_waiting(&writer, call, jobs[i], now);
		else
			write_ready(&writer, call, jobs[i]);
	}
	jobs_writer_close(&writer);
}

/* Writes new jobs; after jobs_begin_ready. */
void
jobs_hot_add(JobsCall *call, JobsNewJob **jobs, int count)
{
	TimestampTz now = GetCurrentTimestamp();
	JobsWriter	record;
	int			waiting = 0;

	jobs_rows_begin("add_job()");
	jobs_writer_open(&record, ROWS_NEW_JOB);
	for (int i = 0; i < count; i++)
	{
		bool		later = waits(jobs[i], now);

		CHECK_FOR_INTERRUPTS();
		waiting += later;
		write_record(&record, call, jobs[i], now, later ? JOBS_CREATED : JOBS_PENDING);
	}
	jobs_writer_close(&record);
	JOBS_FAULT("add-before-place");
	if (waiting > 0)
		write_places(call, jobs, count, now, true);
	if (waiting < count)
		write_places(call, jobs, count, now, false);
	jobs_rows_end();
}
