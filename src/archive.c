/*-------------------------------------------------------------------------
 *
 * archive.c
 *		Archive and restore of jobs, models and artifacts.
 *
 * Whether a resource is archived stands in its row, for the lists; how that
 * came stands in its archive history. The row is locked first, so two calls
 * come one after the other.
 *
 * An archived job must not be handed out. So a ready job goes back to waiting,
 * for ever (CREATED; both steps are in its history), and a waiting one waits for
 * ever. Restoring makes it due, and whatever is due then is done by the sweep
 * as for any other job; it is called at once.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(jobs_archive);
PG_FUNCTION_INFO_V1(jobs_restore);

/* One of these for each kind of resource. */
static JobsStatement set_job = {
	.sql = "UPDATE jobs_store.job SET archived = $3 WHERE tenant = $1 AND id = $2 AND archived <> $3",
	.types = "iub",
	.expected = SPI_OK_UPDATE
};

static JobsStatement set_model = {
	.sql = "UPDATE jobs_store.model SET archived = $3 WHERE tenant = $1 AND id = $2 AND archived <> $3",
	.types = "iub",
	.expected = SPI_OK_UPDATE
};

static JobsStatement set_artifact = {
	.sql = "UPDATE jobs_store.artifact SET archived = $3 WHERE tenant = $1 AND id = $2 AND archived <> $3",
	.types = "iub",
	.expected = SPI_OK_UPDATE
};

typedef struct Kind
{
	const char *name;
	JobsStatement *set;
} Kind;

static const Kind kinds[] = {
	{"job", &set_job},
	{"model", &set_model},
	{"artifact", &set_artifact},
};

/* Ordinal 0 is the derived first entry, Active. */
static JobsStatement add_entry = {
	.sql = "INSERT INTO jobs_store.archive_status (tenant, object_id, ordinal, id, created, name, created_by_id, reason)"
	" SELECT $1, $2, coalesce(max(ordinal), 0) + 1, jobs_store.new_id(), $3, $4::jobs.archive_status_name, $5, $6"
	" FROM jobs_store.archive_status WHERE tenant = $1 AND object_id = $2"
	" RETURNING ROW(id, created, name, reason, created_by_id, object_id)::jobs.resource_archive_status",
	.types = "iuztut",
	.expected = SPI_OK_INSERT_RETURNING
};

static JobsStatement park = {
	.sql = "WITH r AS (DELETE FROM jobs_store.ready WHERE tenant = $1 AND job_id = $2"
	" RETURNING lane, ordinal + 1 AS ordinal, attempt, max_attempts, clock_timestamp() AS now),"
	" w AS (INSERT INTO jobs_store.waiting (tenant, job_id, check_at, lane, ordinal, attempt, max_attempts, dependent)"
	" SELECT $1, $2, 'infinity', lane, ordinal, attempt, max_attempts, false FROM r)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, created_by_id, message)"
	" SELECT $1, $2, ordinal, now, attempt, 'CREATED', $3, 'archived' FROM r",
	.types = "iuu",
	.expected = SPI_OK_INSERT,
	.writes_history = true
};

static JobsStatement park_waiting = {
	.sql = "UPDATE jobs_store.waiting SET check_at = 'infinity' WHERE tenant = $1 AND job_id = $2",
	.types = "iu",
	.expected = SPI_OK_UPDATE
};

static JobsStatement unpark = {
	.sql = "UPDATE jobs_store.waiting w SET check_at = greatest($3, j.run_after)"
	" FROM jobs_store.job j WHERE j.tenant = $1 AND j.id = $2 AND w.tenant = $1 AND w.job_id = $2",
	.types = "iuz",
	.expected = SPI_OK_UPDATE
};

/*
 * Out of the queue. While we wait for the lock of a row, a claim or a sweep may
 * move the job to another table; so it is looked for again until it was caught,
 * has ended, or is held.
 */
static void
park_job(JobsCall *call, const pg_uuid_t *job_id)
{
	for (int i = 0; i < JOBS_MAX_CHASE; i++)
	{
		JobsStatus	status;

		CHECK_FOR_INTERRUPTS();
		if (jobs_run(&park, A_INT4(call->caller.tenant), A_PTR(job_id), A_PTR(&call->caller.user_id)).count > 0 ||
			jobs_run(&park_waiting, A_INT4(call->caller.tenant), A_PTR(job_id)).count > 0)
			return;
		if (!jobs_current_status(call, job_id, &status))
			jobs_error_not_found("job", job_id);
		if (jobs_status_terminal(status))
			return;
		if (jobs_status_in_flight(status))
			ereport(ERROR,
					(errcode(ERRCODE_JOBS_WRONG_STATE),
					 errmsg("job %s is %s and cannot be archived", jobs_uuid_text(job_id),
							jobs_status_label(status)),
					 errhint("Cancel it first, or wait until it has ended.")));
		if (IsolationUsesXactSnapshot())
			break;
	}
	jobs_error_concurrent("archive", job_id);
}

static void
set_archived(JobsCall *call, const pg_uuid_t *id, const char *kind, bool archived)
{
	for (int i = 0; i < countof(kinds); i++)
		if (strcmp(kinds[i].name, kind) == 0 &&
			jobs_run(kinds[i].set, A_INT4(call->caller.tenant), A_PTR(id), A_BOOL(archived)).count > 0)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_JOBS_WRONG_STATE),
			 errmsg("%s %s is %s", kind, jobs_uuid_text(id),
					archived ? "archived already" : "not archived")));
}

static Datum
change_archived(FunctionCallInfo fcinfo, bool archived)
{
	JobsCall	call;
	JobsResult	entry;
	pg_uuid_t  *id;
	text	   *reason = jobs_arg_text(fcinfo, 1, "reason", JOBS_MAX_MESSAGE);
	TimestampTz now;
	const char *kind;
	Datum		result;

	jobs_arg_require(fcinfo, 0, "job_id");
	id = PG_GETARG_UUID_P(0);
	jobs_enter(fcinfo, &call);
	kind = jobs_access_require(&call, id, JOBS_EDITOR, archived ? "archive" : "restore");
	jobs_keep_job(&call, id, kind);
	set_archived(&call, id, kind, archived);
	now = GetCurrentTimestamp();
	entry = jobs_run(&add_entry, A_INT4(call.caller.tenant), A_PTR(id), A_TIME(now),
					 A_PTR(cstring_to_text(archived ? "Archived" : "Active")),
					 A_PTR(&call.caller.user_id), A_PTR(reason));
	result = jobs_column_copy(&call, &entry, 0, 1);
	if (strcmp(kind, "job") == 0)
	{
		if (archived)
			park_job(&call, id);
		else if (jobs_run(&unpark, A_INT4(call.caller.tenant), A_PTR(id), A_TIME(now)).count > 0)
			jobs_sweep_now(&call);
	}
	jobs_leave(&call);
	return result;
}

Datum
jobs_archive(PG_FUNCTION_ARGS)
{
	return change_archived(fcinfo, true);
}

Datum
jobs_restore(PG_FUNCTION_ARGS)
{
	return change_archived(fcinfo, false);
}
