/*-------------------------------------------------------------------------
 *
 * hot.c
 *		Taking and ending jobs, row by row.
 *
 * What claims and final reports do is always the same: delete a row that is found
 * by its key, insert one or two others, read the job. Two thirds of the time of a
 * statement that does it goes into setting up and taking down its plan. Here it is
 * done without one (rows.c), in half the time. A row is deleted at once, without
 * being locked first: heap_delete that does not wait passes over what somebody else
 * holds just as SKIP LOCKED does.
 *
 * It is a short cut, for the case that has nothing special (jobs_rows_usable).
 * Whatever else there is (triggers of somebody's, a table that another extension has
 * taken over, an older layout while an update runs, a row that is being changed by
 * somebody else) is left to the statements of claim.c, lifecycle.c and batch.c, which
 * do the same for all cases.
 *
 * The guard of the history is passed because the step was checked against the hot
 * row.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/typcache.h"

#include "fault.h"
#include "hot.h"
#include "lane.h"
#include "rows.h"

PG_FUNCTION_INFO_V1(jobs_hot_in_use);

Datum
jobs_hot_in_use(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(jobs_rows_usable());
}

/*
 * Where the leases are that this session has taken last, for who takes jobs one by
 * one, and reports them so. What is found there is compared to what is wanted; so
 * this may be out of date, or of a transaction that was rolled back.
 */
#define MAX_PLACES 8

typedef struct Place
{
	pg_uuid_t	job_id;
	ItemPointerData tid;
} Place;

static Place places[MAX_PLACES];
static int	next_place = 0;

static Place *
place_of(const pg_uuid_t *job_id)
{
	for (int i = 0; i < MAX_PLACES; i++)
		if (memcmp(&places[i].job_id, job_id, UUID_LEN) == 0)
			return &places[i];
	return NULL;
}

static void
note_place(const pg_uuid_t *job_id, const ItemPointerData *tid)
{
	Place	   *place = place_of(job_id);

	if (place == NULL)
	{
		place = &places[next_place];
		next_place = (next_place + 1) % MAX_PLACES;
	}
	place->job_id = *job_id;
	place->tid = *tid;
}

/* A history entry; message and user may be NULL. */
static void
write_entry(JobsWriter *writer, int32 tenant, const JobsEntry *entry)
{
	TupleTableSlot *slot = jobs_writer_row(writer);
	Datum	   *values = slot->tts_values;

	values[STATUS_JOB] = UUIDPGetDatum(&entry->job_id);
	values[STATUS_CREATED] = TimestampTzGetDatum(entry->created);
	values[STATUS_TENANT] = Int32GetDatum(tenant);
	values[STATUS_ORDINAL] = Int32GetDatum(entry->ordinal);
	values[STATUS_ATTEMPT] = Int32GetDatum(entry->attempt);
	values[STATUS_NAME] = JobsStatusGetDatum(entry->name);
	values[STATUS_AGENT] = UUIDPGetDatum(entry->agent_id);
	values[STATUS_CREATED_BY] = (Datum) 0;
	slot->tts_isnull[STATUS_CREATED_BY] = true;
	values[STATUS_MESSAGE] = PointerGetDatum(entry->message);
	slot->tts_isnull[STATUS_MESSAGE] = entry->message == NULL;
	ExecStoreVirtualTuple(slot);
}

/* Finds the heads of some lanes, or of some limiters. Writes nothing. */
void
jobs_hot_look(int32 tenant, bool permits, JobsLook *looks, int count)
{
	JobsReader	reader;

	jobs_rows_begin(NULL);
	jobs_reader_open(&reader, permits ? ROWS_PERMIT : ROWS_READY, AccessShareLock, JOBS_SEEK_KEYS);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		jobs_reader_seek(&reader, tenant, looks[i].lane, looks[i].from, looks[i].near);
		looks[i].head = !jobs_reader_next(&reader) ? 0 :
			DatumGetInt64(jobs_reader_not_null(&reader, permits ? PERMIT_SEQ : READY_SEQ));
	}
	jobs_reader_close(&reader);
	jobs_rows_end();
}

/*
 * Deletes up to limit rows of a lane, oldest first; answers how many. *next is
 * the seq of the first that was left behind them, 0 if there is none.
 */
static int
take_rows(const JobsTake *take, JobsEntry *taken, int32 *max_attempts, int64 *last, int64 *next)
{
	JobsReader	ready;
	int			count = 0;

	*next = 0;
	jobs_reader_open(&ready, ROWS_READY, RowExclusiveLock, JOBS_SEEK_KEYS);
	jobs_reader_seek(&ready, take->tenant, take->lane, take->from, take->near);
	while (jobs_reader_next(&ready))
	{
		int64		seq;

		CHECK_FOR_INTERRUPTS();
		seq = DatumGetInt64(jobs_reader_not_null(&ready, READY_SEQ));
		if (count == take->limit || seq > take->bound)
		{
			*next = seq;
			break;
		}
		if (!jobs_reader_take(&ready))
			continue;
		taken[count].job_id = *DatumGetUUIDP(jobs_reader_not_null(&ready, READY_JOB));
		taken[count].ordinal = DatumGetInt32(jobs_reader_not_null(&ready, READY_ORDINAL)) + 1;
		taken[count].attempt = DatumGetInt32(jobs_reader_not_null(&ready, READY_ATTEMPT)) + 1;
		max_attempts[count++] = DatumGetInt32(jobs_reader_not_null(&ready, READY_MAX_ATTEMPTS));
		*last = seq;
		if (count == take->limit && !take->look_ahead)
			break;
	}
	jobs_reader_close(&ready);
	return count;
}

/* Lease and history of what was taken. */
static void
write_leases(const JobsTake *take, JobsEntry *taken, const int32 *max_attempts, int count)
{
	TimestampTz now = GetCurrentTimestamp();
	JobsWriter	lease;
	JobsWriter	status;

	jobs_writer_open(&lease, ROWS_LEASE);
	jobs_writer_open(&status, ROWS_STATUS);
	for (int i = 0; i < count; i++)
	{
		TupleTableSlot *slot = jobs_writer_row(&lease);
		Datum	   *values = slot->tts_values;

		taken[i].name = JOBS_CLAIMED;
		taken[i].agent_id = take->agent_id;
		taken[i].message = NULL;
		taken[i].created = now;
		values[LEASE_AGENT] = UUIDPGetDatum(take->agent_id);
		values[LEASE_JOB] = UUIDPGetDatum(&taken[i].job_id);
		values[LEASE_EXPIRES] = TimestampTzGetDatum(now + take->lease_ms * 1000);
		values[LEASE_CHECK_AT] = TimestampTzGetDatum(now + take->check_ms * 1000);
		values[LEASE_MS] = Int64GetDatum(take->lease_ms);
		values[LEASE_TENANT] = Int32GetDatum(take->tenant);
		values[LEASE_LANE] = Int32GetDatum(take->lane);
		values[LEASE_ORDINAL] = Int32GetDatum(taken[i].ordinal);
		values[LEASE_ATTEMPT] = Int32GetDatum(taken[i].attempt);
		values[LEASE_MAX_ATTEMPTS] = Int32GetDatum(max_attempts[i]);
		values[LEASE_PERMITS] = Int16GetDatum(take->permits);
		values[LEASE_STATUS] = JobsStatusGetDatum(JOBS_CLAIMED);
		ExecStoreVirtualTuple(slot);
		write_entry(&status, take->tenant, &taken[i]);
	}
	jobs_writer_close(&lease);
	if (count == 1)
		note_place(&taken[0].job_id, &lease.last);
	JOBS_FAULT("claim-before-history");
	jobs_writer_close(&status);
}

/* Jobs of one lane mostly become ready in the order of their ids. */
static bool
ascending(const JobsEntry *entries, int count)
{
	for (int i = 1; i < count; i++)
		if (memcmp(&entries[i - 1].job_id, &entries[i].job_id, UUID_LEN) >= 0)
			return false;
	return count > 1;
}

/* The jobs that were taken, as the caller of claim_jobs sees them. */
static void
hand_out(const JobsTake *take, const JobsEntry *taken, int count, JobsTakenRow *row, void *where)
{
	JobsReader	job;
	Datum		values[JOBS_TAKEN_COLUMNS];
	bool		nulls[JOBS_TAKEN_COLUMNS] = {false};

	jobs_reader_open(&job, ROWS_JOB, AccessShareLock, 3);
	jobs_reader_prefix(&job, take->tenant, NULL);
	if (ascending(taken, count))
		jobs_reader_walk(&job, &taken[0].job_id, &taken[count - 1].job_id);
	for (int i = 0; i < count; i++)
	{
		if (!jobs_reader_find(&job, &taken[i].job_id))
			elog(ERROR, "job %s is ready, but missing", jobs_uuid_text(&taken[i].job_id));
		jobs_function_columns(take->tenant, DatumGetUUIDP(jobs_reader_not_null(&job, JOB_FUNCTION)), taken[i].created,
							  &values[JOBS_TAKEN_FUNCTION], &nulls[JOBS_TAKEN_FUNCTION]);
		values[JOBS_TAKEN_ID] = UUIDPGetDatum(&taken[i].job_id);
		values[JOBS_TAKEN_ATTEMPT] = Int32GetDatum(taken[i].attempt);
		values[JOBS_TAKEN_MODEL] = jobs_reader_column(&job, JOB_MODEL, &nulls[JOBS_TAKEN_MODEL]);
		values[JOBS_TAKEN_PARAMETERS] = jobs_reader_not_null(&job, JOB_PARAMETERS);
		values[JOBS_TAKEN_EXPIRES] = TimestampTzGetDatum(taken[i].created + take->lease_ms * 1000);
		row(where, values, nulls);
	}
	jobs_reader_close(&job);
}

/*
 * Takes jobs from one lane and gives them to row, one by one. Answers how many; the
 * seq of the youngest is *last, and of the next one, if that is asked for, *next.
 */
int
jobs_hot_take(const JobsTake *take, JobsTakenRow *row, void *where, int64 *last, int64 *next)
{
	JobsEntry  *taken = palloc(sizeof(JobsEntry) * take->limit);
	int32	   *max_attempts = palloc(sizeof(int32) * take->limit);
	int			count;

	jobs_rows_begin("claim_jobs()");
	count = take_rows(take, taken, max_attempts, last, next);
	if (count > 0)
	{
		JOBS_FAULT("claim-before-lease");
		write_leases(take, taken, max_attempts, count);
		JOBS_FAULT("claim-before-answer");
		hand_out(take, taken, count, row, where);
	}
	jobs_rows_end();
	pfree(taken);
	pfree(max_attempts);
	return count;
}

/* As jobs_permits_take. */
int32
jobs_hot_take_permits(int32 tenant, int32 limiter, int64 from, int64 near, int32 wanted, int64 *last)
{
	TimestampTz now = GetCurrentTimestamp();
	JobsReader	permit;
	int32		count = 0;

	jobs_rows_begin("claim_jobs()");
	jobs_reader_open(&permit, ROWS_PERMIT, RowExclusiveLock, JOBS_SEEK_KEYS);
	jobs_reader_seek(&permit, tenant, limiter, from, near);
	while (count < wanted && jobs_reader_next(&permit))
	{
		CHECK_FOR_INTERRUPTS();
		if (DatumGetTimestampTz(jobs_reader_not_null(&permit, PERMIT_DUE)) > now || !jobs_reader_take(&permit))
			continue;
		*last = DatumGetInt64(jobs_reader_not_null(&permit, PERMIT_SEQ));
		count++;
	}
	jobs_reader_close(&permit);
	jobs_rows_end();
	return count;
}

/* Whether a limiter is there and all its permits are wanted back. */
static bool
owes_nothing(int32 tenant, int32 limiter)
{
	ScanKeyData keys[2];
	JobsReader	reader;
	bool		owes_nothing;

	jobs_reader_open(&reader, ROWS_LIMITER, AccessShareLock, 2);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(tenant));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(limiter));
	jobs_reader_scan(&reader, keys);
	owes_nothing = jobs_reader_next(&reader) && DatumGetInt32(jobs_reader_not_null(&reader, 0)) == 0;
	jobs_reader_close(&reader);
	return owes_nothing;
}

static void
write_permit(JobsWriter *permit, int32 tenant, int32 limiter, TimestampTz due)
{
	TupleTableSlot *slot = jobs_writer_row(permit);

	slot->tts_values[PERMIT_TENANT] = Int32GetDatum(tenant);
	slot->tts_values[PERMIT_LIMITER] = Int32GetDatum(limiter);
	slot->tts_values[PERMIT_SEQ] = Int64GetDatum(nextval_internal(jobs_rows_ready_seq, false));
	slot->tts_values[PERMIT_DUE] = TimestampTzGetDatum(due);
	ExecStoreVirtualTuple(slot);
}

/* As jobs_permits_put; false when that has to be asked. */
bool
jobs_hot_put_permits(int32 tenant, int32 limiter, int32 count, TimestampTz due)
{
	JobsWriter	permit;
	bool		done;

	jobs_rows_begin("claim_jobs()");
	done = owes_nothing(tenant, limiter);
	if (done)
	{
		jobs_writer_open(&permit, ROWS_PERMIT);
		for (int32 i = 0; i < count; i++)
			write_permit(&permit, tenant, limiter, due);
		jobs_writer_close(&permit);
	}
	jobs_rows_end();
	return done;
}

/* Permits that leases had, on their way back. */
typedef struct Returned
{
	int32	   *limiters;
	int			count;
} Returned;

/*
 * Notes the permits of the lease that the reader is at. What its trigger would do is
 * done here when it is simple: the limiters are known, and nobody has lowered them.
 */
static bool
note_permits(JobsReader *lease, int32 tenant, const pg_uuid_t *agent_id, Returned *returned)
{
	int16		permits = DatumGetInt16(jobs_reader_not_null(lease, LEASE_PERMITS));
	int			count = returned->count;

	for (int kind = 0; kind < JOBS_LIMIT_RATE; kind++)
	{
		int32		limiter;

		if ((permits & (1 << kind)) == 0)
			continue;
		limiter = jobs_lane_limiter(agent_id, DatumGetInt32(jobs_reader_not_null(lease, LEASE_LANE)), kind);
		if (limiter == 0 || !owes_nothing(tenant, limiter))
			return false;
		returned->limiters[count++] = limiter;
	}
	returned->count = count;
	return true;
}

static void
return_permits(int32 tenant, const Returned *returned)
{
	JobsWriter	permit;

	if (returned->count == 0)
		return;
	jobs_writer_open(&permit, ROWS_PERMIT);
	for (int i = 0; i < returned->count; i++)
		write_permit(&permit, tenant, returned->limiters[i], DT_NOBEGIN);
	jobs_writer_close(&permit);
}

static bool
same_uuid(JobsReader *reader, int place, const pg_uuid_t *id)
{
	return memcmp(DatumGetUUIDP(jobs_reader_not_null(reader, place)), id, UUID_LEN) == 0;
}

static bool
find_lease(JobsReader *lease, int32 tenant, const JobsReport *report)
{
	Place	   *place = place_of(report->job_id);

	return (place != NULL && jobs_reader_fetch(lease, &place->tid) &&
			same_uuid(lease, LEASE_JOB, report->job_id) && same_uuid(lease, LEASE_AGENT, report->agent_id) &&
			DatumGetInt32(jobs_reader_not_null(lease, LEASE_TENANT)) == tenant) ||
		jobs_reader_find(lease, report->job_id);
}

/*
 * Deletes the lease, if it is there, nobody is changing it, and the report ends
 * the job.
 */
static bool
end_lease(JobsReader *lease, int32 tenant, const JobsReport *report, JobsEntry *entry, Returned *returned)
{
	int			before = returned->count;
	int32		attempt;

	if (!find_lease(lease, tenant, report))
		return false;
	attempt = DatumGetInt32(jobs_reader_not_null(lease, LEASE_ATTEMPT));
	if (report->attempt != 0 && report->attempt != attempt)
		return false;
	if (report->name == JOBS_FAILED && report->retry &&
		attempt < DatumGetInt32(jobs_reader_not_null(lease, LEASE_MAX_ATTEMPTS)))
		return false;
	entry->job_id = *report->job_id;
	entry->agent_id = report->agent_id;
	entry->ordinal = DatumGetInt32(jobs_reader_not_null(lease, LEASE_ORDINAL)) + 1;
	entry->attempt = attempt;
	entry->name = report->name;
	entry->message = report->message;
	if (!note_permits(lease, tenant, report->agent_id, returned))
		return false;
	if (jobs_reader_take(lease))
		return true;
	returned->count = before;
	return false;
}

/* As callers see it: jobs.job_status. */
static Datum
entry_datum(TupleDesc desc, const JobsEntry *entry)
{
	pg_uuid_t	id = jobs_uuid_status(&entry->job_id, entry->ordinal, entry->created);
	Datum		values[7];
	bool		nulls[7] = {false};

	values[0] = UUIDPGetDatum(&id);
	values[1] = TimestampTzGetDatum(entry->created);
	values[2] = UUIDPGetDatum(&entry->job_id);
	values[3] = JobsStatusGetDatum(entry->name);
	values[4] = (Datum) 0;
	nulls[4] = true;
	values[5] = PointerGetDatum(entry->message);
	nulls[5] = entry->message == NULL;
	values[6] = UUIDPGetDatum(entry->agent_id);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

/* Whether jobs wait for one of those that have ended, which are in the order of their ids. */
static void
find_dependents(int32 tenant, const JobsEntry *entries, int count, JobsEnded **ended)
{
	JobsReader	dependency;
	bool		any;

	if (jobs_rows_none(ROWS_DEPENDENCY))
		return;
	jobs_reader_open(&dependency, ROWS_DEPENDENCY, AccessShareLock, 3);
	jobs_reader_prefix(&dependency, tenant, NULL);
	any = jobs_reader_between(&dependency, &entries[0].job_id, &entries[count - 1].job_id);
	for (int i = 0; i < count; i++)
		ended[i]->dependents = any && (count == 1 || jobs_reader_find(&dependency, &entries[i].job_id));
	jobs_reader_close(&dependency);
}

/*
 * Ends the jobs of all reports that end one and meet no obstacle; answers how
 * many. Those have an entry then. To be called with reports in the order of
 * their jobs, though nothing is waited for here.
 */
int
jobs_hot_end(JobsCall *call, JobsReport **reports, int count, JobsEnded *ended)
{
	JobsEntry  *entries = palloc(sizeof(JobsEntry) * count);
	JobsEnded **which = palloc(sizeof(JobsEnded *) * count);
	TupleDesc	desc;
	TimestampTz now;
	JobsReader	lease;
	Returned	returned = {palloc(sizeof(int32) * count * JOBS_LIMIT_RATE), 0};
	int			used = 0;

	jobs_rows_begin("update_job_status()");
	jobs_reader_open(&lease, ROWS_LEASE, RowExclusiveLock, count > 1 ? 4 : 3);
	jobs_reader_prefix(&lease, call->caller.tenant, reports[0]->agent_id);
	if (count > 1)
		jobs_reader_walk(&lease, reports[0]->job_id, reports[count - 1]->job_id);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ended[i].entry = (Datum) 0;
		ended[i].dependents = false;
		if (end_lease(&lease, call->caller.tenant, reports[i], &entries[used], &returned))
			which[used++] = &ended[i];
	}
	jobs_reader_close(&lease);
	now = GetCurrentTimestamp();
	if (used > 0)
	{
		JobsWriter	status;

		JOBS_FAULT("end-before-history");
		desc = lookup_rowtype_tupdesc(jobs_rows_entry_type, -1);
		jobs_writer_open(&status, ROWS_STATUS);
		for (int i = 0; i < used; i++)
		{
			entries[i].created = now;
			write_entry(&status, call->caller.tenant, &entries[i]);
			which[i]->entry = entry_datum(desc, &entries[i]);
		}
		jobs_writer_close(&status);
		JOBS_FAULT("end-before-permits");
		return_permits(call->caller.tenant, &returned);
		ReleaseTupleDesc(desc);
		find_dependents(call->caller.tenant, entries, used, which);
	}
	jobs_rows_end();
	pfree(entries);
	pfree(which);
	pfree(returned.limiters);
	return used;
}
