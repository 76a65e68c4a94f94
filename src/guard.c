/*-------------------------------------------------------------------------
 *
 * guard.c
 *		The guard of the status history, against everybody's SQL.
 *
 * A row may be added when it is the next step of its job's history, and the
 * step is legal. It is never changed, and not deleted by hand. The extension's
 * own statements pass: query.c knows which they are.
 *
 * A restore loads tables in any order and the rows of one job in any order
 * within one COPY. So the check runs after the statement, and a job that is not
 * there is taken for one that is still to come while the table of jobs is
 * empty; otherwise it is refused.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "replication/logicalworker.h"
#include "utils/builtins.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(jobs_guard_history);

static JobsStatement find_previous = {
	.sql = "SELECT name FROM jobs_store.job_status WHERE tenant = $1 AND job_id = $2 AND ordinal = $3",
	.types = "iui",
	.expected = SPI_OK_SELECT
};

/* No row while there is no job at all. */
static JobsStatement find_first = {
	.sql = "SELECT (SELECT first_status FROM jobs_store.job WHERE tenant = $1 AND id = $2)"
	" WHERE EXISTS (SELECT FROM jobs_store.job)",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

typedef struct HistoryRow
{
	int32		tenant;
	pg_uuid_t  *job_id;
	int32		ordinal;
	JobsStatus	name;
} HistoryRow;

static Datum
column(TriggerData *trigger, const char *name)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	bool		isnull;
	Datum		value = SPI_getbinval(trigger->tg_trigtuple, desc, SPI_fnumber(desc, name), &isnull);

	if (isnull)
		elog(ERROR, "unexpected null in column \"%s\"", name);
	return value;
}

/* The entry before, as far as it is known; false when nothing can be said. */
static bool
previous_status(const HistoryRow *row, JobsStatus *previous)
{
	JobsResult	found;
	Datum		status;
	bool		isnull;

	if (row->ordinal > 1)
		found = jobs_run(&find_previous, A_INT4(row->tenant), A_PTR(row->job_id),
						 A_INT4(row->ordinal - 1));
	else
		found = jobs_run(&find_first, A_INT4(row->tenant), A_PTR(row->job_id));
	if (found.count == 0 && row->ordinal > 1)
		ereport(ERROR,
				(errcode(ERRCODE_JOBS_WRONG_STATE),
				 errmsg("history of job %s has no entry %d", jobs_uuid_text(row->job_id), row->ordinal - 1),
				 errhint("Use the functions of schema jobs; they keep history and queue together.")));
	if (found.count == 0)
		return false;
	status = jobs_column(&found, 0, 1, &isnull);
	if (isnull)
		jobs_error_not_found("job", row->job_id);
	*previous = DatumGetJobsStatus(status);
	return true;
}

static void
check_step(const HistoryRow *row)
{
	JobsStatus	previous;

	if (!previous_status(row, &previous))
	{
		if (!jobs_can_transition(JOBS_CREATED, row->name) && !jobs_can_transition(JOBS_PENDING, row->name))
			jobs_error_transition(row->job_id, JOBS_PENDING, row->name, false);
		return;
	}

	/* Progress within a state that an agent reports is an entry too. */
	if (previous == row->name && jobs_status_in_flight(previous) && jobs_status_reportable(previous))
		return;
	if (!jobs_can_transition(previous, row->name))
		jobs_error_transition(row->job_id, previous, row->name, false);
}

static void
refuse_change(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_JOBS_WRONG_STATE),
			 errmsg("the status history cannot be changed"),
			 errhint("Use the functions of schema jobs: they add what happened as a new entry.")));
}

Datum
jobs_guard_history(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HistoryRow	row;
	JobsCall	call;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("guard_history can only be called as a trigger")));

	/* What a subscriber applies was checked where it was written. */
	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
	{
		if (!jobs_writing_history(1) && !IsLogicalWorker())
			refuse_change();
		return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
							   trigger->tg_newtuple : trigger->tg_trigtuple);
	}
	if (IsLogicalWorker())
		return PointerGetDatum(NULL);
	jobs_enter_any(fcinfo, &call);
	row.tenant = DatumGetInt32(column(trigger, "tenant"));
	row.job_id = DatumGetUUIDP(column(trigger, "job_id"));
	row.ordinal = DatumGetInt32(column(trigger, "ordinal"));
	row.name = DatumGetJobsStatus(column(trigger, "name"));
	check_step(&row);
	jobs_leave(&call);
	return PointerGetDatum(NULL);
}
