/*-------------------------------------------------------------------------
 *
 * hot.c
 *		Taking and ending jobs, row by row.
 *
 * What claims and final reports do is always the same: delete a row that is found
 * by its key, insert one or two others, read the job. Two thirds of the time of a
 * statement that does it goes into setting up and taking down its plan. Here it is done
 * with the calls that the executor itself would make: the same rows, locks, WAL and
 * statistics, and half the time. A row is deleted at once, without being locked
 * first: heap_delete that does not wait passes over what somebody else holds just
 * as SKIP LOCKED does.
 *
 * It is a short cut, for the case that has nothing special: read committed, and
 * tables that are as our script made them (may_be_used lists it). Whatever else there is
 * (triggers of somebody's, a table that another extension has taken over, an older
 * layout while an update runs, a row that is being changed by somebody else) is left to
 * the statements of claim.c, lifecycle.c and batch.c, which do the same for all cases.
 *
 * The other rules hold here as well: rows are looked for by a full key or along
 * a lane, with a snapshot taken after everything that the transaction did
 * before; the guard of the history is passed because the step was checked against the
 * hot row.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "storage/procarray.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "hot.h"
#include "lane.h"

PG_FUNCTION_INFO_V1(jobs_hot_in_use);

#define MAX_KEYS 4

/* Rows inserted with one call. */
#define MAX_ROWS 64

typedef enum TableId
{
	READY,
	LEASE,
	STATUS,
	JOB,
	FUNCTION,
	DEPENDENCY,
	PERMIT,
	LIMITER
} TableId;

/*
 * What is expected of a table. Tables that are written must have just these
 * columns in this order; of the others, these are the ones that are read.
 */
typedef struct Layout
{
	const char *table;
	bool		written;
	int			triggers;		/* of ours; with more, somebody wants to know */
	const char *columns[MAX_COLUMNS];
	const char *index;			/* by which rows are found */
	const char *keys[MAX_KEYS];
} Layout;

static const Layout layouts[] = {
	[READY] = {
		"ready", true, 0,
		{"tenant", "lane", "seq", "job_id", "ordinal", "attempt", "max_attempts"},
		"ready_pkey", {"tenant", "lane", "seq"}
	},
	[LEASE] = {
		"lease", true, 1,
		{"agent_id", "job_id", "expires", "check_at", "lease_ms", "tenant", "lane", "ordinal", "attempt",
		"max_attempts", "permits", "status"},
		"lease_pkey", {"tenant", "agent_id", "job_id"}
	},
	[STATUS] = {
		"job_status", true, 3,
		{"job_id", "created", "tenant", "ordinal", "attempt", "name", "agent_id", "created_by_id", "message"},
		"job_status_pkey", {"tenant", "job_id", "ordinal"}
	},
	[JOB] = {
		"job", false, 0,
		{"function_id", "model_id", "parameters"},
		"job_pkey", {"tenant", "id"}
	},
	[FUNCTION] = {
		"function_version", false, 0,
		{"id", "name", "version", "tool_name", "tool_version", "operating_system"},
		"function_version_pkey", {"tenant", "id"}
	},
	[DEPENDENCY] = {
		"job_dependency", false, 0,
		{"job_id"},
		"job_dependency_depends_on_idx", {"tenant", "depends_on"}
	},
	[PERMIT] = {
		"permit", true, 0,
		{"tenant", "limiter", "seq", "due"},
		"permit_pkey", {"tenant", "limiter", "seq"}
	},
	[LIMITER] = {
		"limiter", false, 0,
		{"debt"},
		"limiter_pkey", {"tenant", "limiter"}
	},
};
#define TABLES countof(layouts)

/* Places of columns in the tables that are written. */
enum
{
	READY_SEQ = 2, READY_JOB, READY_ORDINAL, READY_ATTEMPT, READY_MAX_ATTEMPTS, READY_COLUMNS
};
enum
{
	LEASE_AGENT, LEASE_JOB, LEASE_EXPIRES, LEASE_CHECK_AT, LEASE_MS, LEASE_TENANT, LEASE_LANE,
	LEASE_ORDINAL, LEASE_ATTEMPT, LEASE_MAX_ATTEMPTS, LEASE_PERMITS, LEASE_STATUS, LEASE_COLUMNS
};
enum
{
	STATUS_JOB, STATUS_CREATED, STATUS_TENANT, STATUS_ORDINAL, STATUS_ATTEMPT, STATUS_NAME,
	STATUS_AGENT, STATUS_CREATED_BY, STATUS_MESSAGE, STATUS_COLUMNS
};

enum
{
	PERMIT_TENANT, PERMIT_LIMITER, PERMIT_SEQ, PERMIT_DUE
};

/* Of the tables that are only read, the places in the list above. */
enum
{
	JOB_FUNCTION, JOB_MODEL, JOB_PARAMETERS
};

/* What was found out about a table; good until one of them changes. */
typedef struct Table
{
	Oid			table;
	Oid			index;
	AttrNumber	columns[MAX_COLUMNS];
} Table;

static Table tables[TABLES];
static Oid	entry_type;			/* jobs.job_status */
static Oid	ready_seq;			/* the sequence of ready jobs and permits */
static bool known = false;
static bool usable;

/* Rows of one table, found by an index. */
typedef struct Reader
{
	Relation	table;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	const Table *about;
} Reader;

/* Rows on their way into a table. */
typedef struct Writer
{
	Relation	table;
	EState	   *estate;
	ResultRelInfo *info;
	TupleTableSlot *slots[MAX_ROWS];
	int			used;
} Writer;

/* Only notes that something changed: a callback may not look at catalogs. */
static void
relation_changed(Datum arg, Oid relation)
{
	if (relation == InvalidOid)
		known = false;
	for (int i = 0; known && i < TABLES; i++)
		if (relation == tables[i].table || relation == tables[i].index)
			known = false;
}

/* Once, when the library is loaded. */
void
jobs_hot_init(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}

/* Whether an index is the one that the layout says, with its columns first. */
static bool
index_fits(Relation table, const Layout *layout, Oid index)
{
	Relation	relation = index_open(index, AccessShareLock);
	bool		fits = relation->rd_index->indrelid == RelationGetRelid(table) &&
		relation->rd_index->indisvalid && relation->rd_indpred == NULL;

	for (int i = 0; fits && i < MAX_KEYS && layout->keys[i] != NULL; i++)
		fits = i < relation->rd_index->indnkeyatts &&
			relation->rd_index->indkey.values[i] == get_attnum(RelationGetRelid(table), layout->keys[i]);
	index_close(relation, AccessShareLock);
	return fits;
}

static bool
columns_fit(Relation relation, const Layout *layout, Table *table)
{
	int			count = 0;

	while (count < MAX_COLUMNS && layout->columns[count] != NULL)
	{
		table->columns[count] = get_attnum(RelationGetRelid(relation), layout->columns[count]);
		if (table->columns[count] == InvalidAttrNumber ||
			(layout->written && table->columns[count] != count + 1))
			return false;
		count++;
	}
	return !layout->written || RelationGetNumberOfAttributes(relation) == count;
}

/*
 * Whether nothing happens to rows of a table but what we do ourselves. A trigger
 * of somebody's, a rule or row security are for the executor.
 */
static bool
is_plain(Relation relation, const Layout *layout)
{
	int			triggers = relation->trigdesc ? relation->trigdesc->numtriggers : 0;

	return relation->rd_rel->relkind == RELKIND_RELATION &&
		!relation->rd_rel->relispartition &&
		!relation->rd_rel->relrowsecurity &&
		relation->rd_rules == NULL &&
		(!layout->written || triggers == layout->triggers);
}

static bool
table_fits(Oid schema, const Layout *layout, Table *table)
{
	Relation	relation;
	bool		fits;

	table->table = get_relname_relid(layout->table, schema);
	table->index = get_relname_relid(layout->index, schema);
	if (!OidIsValid(table->table) || !OidIsValid(table->index))
		return false;
	relation = table_open(table->table, AccessShareLock);
	fits = is_plain(relation, layout) && columns_fit(relation, layout, table) &&
		index_fits(relation, layout, table->index);
	table_close(relation, AccessShareLock);
	return fits;
}

static bool
all_tables_fit(void)
{
	Oid			schema = get_namespace_oid("jobs_store", true);
	bool		fit = OidIsValid(schema);

	for (int i = 0; fit && i < TABLES; i++)
		fit = table_fits(schema, &layouts[i], &tables[i]);
	entry_type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("job_status"),
								 ObjectIdGetDatum(get_namespace_oid("jobs", true)));
	ready_seq = fit ? get_relname_relid("ready_seq", schema) : InvalidOid;
	return fit && OidIsValid(entry_type) && OidIsValid(ready_seq);
}

/* Whether the short cut may be taken. */
bool
jobs_hot_usable(void)
{
	if (!jobs_direct || IsolationUsesXactSnapshot() || IsInParallelMode() || RecoveryInProgress())
		return false;
	if (!known)
	{
		known = true;			/* unless something changes from here on */
		usable = all_tables_fit();
	}
	return known && usable;
}

Datum
jobs_hot_in_use(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(jobs_hot_usable());
}

/* What the transaction did so far is seen from here on, and what others have committed. */
static void
begin_rows(const char *command)
{
	PreventCommandIfReadOnly(command);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
end_rows(void)
{
	PopActiveSnapshot();
	CommandCounterIncrement();
}

static void
open_reader(Reader *reader, TableId id, LOCKMODE lock, int keys)
{
	reader->about = &tables[id];
	reader->table = table_open(tables[id].table, lock);
	reader->index = index_open(tables[id].index, AccessShareLock);
	reader->slot = table_slot_create(reader->table, NULL);
	reader->scan = JOBS_INDEX_BEGINSCAN(reader->table, reader->index, GetActiveSnapshot(), keys);
}

static void
close_reader(Reader *reader)
{
	index_endscan(reader->scan);
	ExecDropSingleTupleTableSlot(reader->slot);
	index_close(reader->index, AccessShareLock);
	table_close(reader->table, NoLock);
}

static bool
next_row(Reader *reader)
{
	return index_getnext_slot(reader->scan, ForwardScanDirection, reader->slot);
}

static Datum
column(Reader *reader, int place, bool *isnull)
{
	return slot_getattr(reader->slot, reader->about->columns[place], isnull);
}

static Datum
column_not_null(Reader *reader, int place)
{
	bool		isnull;
	Datum		value = column(reader, place, &isnull);

	if (isnull)
		elog(ERROR, "unexpected null in column \"%s\"", layouts[reader->about - tables].columns[place]);
	return value;
}

/* The row with the key (tenant, id). */
static bool
find_row(Reader *reader, int32 tenant, Datum id)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(tenant));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_UUID_EQ, id);
	index_rescan(reader->scan, keys, 2, NULL, 0);
	return next_row(reader);
}

static void
open_writer(Writer *writer, TableId id, EState *estate)
{
	writer->table = table_open(tables[id].table, RowExclusiveLock);
	writer->estate = estate;
	writer->info = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->info, writer->table, 0, NULL, 0);
	ExecOpenIndices(writer->info, false);
	memset(writer->slots, 0, sizeof(writer->slots));
	writer->used = 0;
}

static void
flush(Writer *writer)
{
	CommandId	command = GetCurrentCommandId(true);

	if (writer->used == 1)
		table_tuple_insert(writer->table, writer->slots[0], command, 0, NULL);
	else if (writer->used > 1)
		table_multi_insert(writer->table, writer->slots, writer->used, command, 0, NULL);
	for (int i = 0; i < writer->used; i++)
	{
		(void) JOBS_INSERT_INDEX_TUPLES(writer->info, writer->slots[i], writer->estate);
		ExecClearTuple(writer->slots[i]);
		ResetPerTupleExprContext(writer->estate);
	}
	writer->used = 0;
}

/* A row to fill in; it is written when there are many, or at the end. */
static TupleTableSlot *
new_row(Writer *writer)
{
	TupleTableSlot *slot;

	if (writer->used == MAX_ROWS)
		flush(writer);
	if (writer->slots[writer->used] == NULL)
		writer->slots[writer->used] = table_slot_create(writer->table, NULL);
	slot = writer->slots[writer->used++];
	memset(slot->tts_isnull, 0, sizeof(bool) * slot->tts_tupleDescriptor->natts);
	return slot;
}

static void
close_writer(Writer *writer)
{
	flush(writer);
	for (int i = 0; i < MAX_ROWS && writer->slots[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(writer->slots[i]);
	ExecCloseIndices(writer->info);
	table_close(writer->table, NoLock);
}

/* A history entry; message and user may be NULL. */
static void
write_entry(Writer *writer, int32 tenant, const JobsEntry *entry)
{
	TupleTableSlot *slot = new_row(writer);
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

/*
 * Whether somebody else is about to delete the row, as far as can be told without
 * touching it: in a crowd the head of a lane is full of such rows.
 */
static bool
being_taken(TupleTableSlot *slot)
{
	HeapTupleHeader header;
	TransactionId xmax;

	if (!TTS_IS_BUFFERTUPLE(slot))
		return false;
	header = ((BufferHeapTupleTableSlot *) slot)->base.tuple->t_data;
	if (header->t_infomask & (HEAP_XMAX_INVALID | HEAP_XMAX_IS_MULTI))
		return false;
	xmax = HeapTupleHeaderGetRawXmax(header);
	return !TransactionIdIsCurrentTransactionId(xmax) && TransactionIdIsInProgress(xmax);
}

/*
 * Deletes the row that the reader is at, if nobody else has it. Read committed,
 * so what has changed since the snapshot is passed over, not an error.
 */
static bool
take_row(Reader *reader)
{
	TM_FailureData failure;
	TM_Result	result = table_tuple_delete(reader->table, &reader->slot->tts_tid,
											GetCurrentCommandId(true), GetActiveSnapshot(),
											InvalidSnapshot, false, &failure, false);

	return result == TM_Ok;
}

/* The rows of a lane, or the permits of a limiter, from a seq on. */
static void
seek_lane(Reader *reader, int32 tenant, int32 lane, int64 from)
{
	ScanKeyData keys[3];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(tenant));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(lane));
	ScanKeyInit(&keys[2], 3, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(from));
	index_rescan(reader->scan, keys, 3, NULL, 0);
}

/*
 * Deletes up to limit rows of a lane, oldest first; answers how many. *next is
 * the seq of the first that was left behind them, 0 if there is none.
 */
static int
take_rows(const JobsTake *take, JobsEntry *taken, int32 *max_attempts, int64 *last, int64 *next)
{
	Reader		ready;
	int			count = 0;

	*next = 0;
	open_reader(&ready, READY, RowExclusiveLock, 3);
	seek_lane(&ready, take->tenant, take->lane, take->from);
	while (next_row(&ready))
	{
		int64		seq;

		CHECK_FOR_INTERRUPTS();
		seq = DatumGetInt64(column_not_null(&ready, READY_SEQ));
		if (count == take->limit || seq > take->bound)
		{
			*next = seq;
			break;
		}
		if (being_taken(ready.slot) || !take_row(&ready))
			continue;
		taken[count].job_id = *DatumGetUUIDP(column_not_null(&ready, READY_JOB));
		taken[count].ordinal = DatumGetInt32(column_not_null(&ready, READY_ORDINAL)) + 1;
		taken[count].attempt = DatumGetInt32(column_not_null(&ready, READY_ATTEMPT)) + 1;
		max_attempts[count++] = DatumGetInt32(column_not_null(&ready, READY_MAX_ATTEMPTS));
		*last = seq;
		if (count == take->limit && !take->look_ahead)
			break;
	}
	close_reader(&ready);
	return count;
}

/* Lease and history of what was taken. */
static void
write_leases(const JobsTake *take, JobsEntry *taken, const int32 *max_attempts, int count)
{
	EState	   *estate = CreateExecutorState();
	TimestampTz now = GetCurrentTimestamp();
	Writer		lease;
	Writer		status;

	open_writer(&lease, LEASE, estate);
	open_writer(&status, STATUS, estate);
	for (int i = 0; i < count; i++)
	{
		TupleTableSlot *slot = new_row(&lease);
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
	close_writer(&lease);
	close_writer(&status);
	FreeExecutorState(estate);
}

/* Columns of the function, unless they are those of the last job. */
static void
read_function(Reader *function, int32 tenant, pg_uuid_t id, Datum *values, bool *nulls)
{
	if (!TTS_EMPTY(function->slot) &&
		memcmp(DatumGetUUIDP(column_not_null(function, 0)), &id, UUID_LEN) == 0)
		return;
	if (!find_row(function, tenant, UUIDPGetDatum(&id)))
		elog(ERROR, "a job's function is missing");
	for (int i = 0; i < JOBS_TAKEN_MODEL - JOBS_TAKEN_FUNCTION; i++)
		values[JOBS_TAKEN_FUNCTION + i] = column(function, i, &nulls[JOBS_TAKEN_FUNCTION + i]);
}

/* The jobs that were taken, as the caller of claim_jobs sees them. */
static void
hand_out(const JobsTake *take, const JobsEntry *taken, int count, JobsTakenRow *row, void *where)
{
	Reader		job;
	Reader		function;
	Datum		values[JOBS_TAKEN_COLUMNS];
	bool		nulls[JOBS_TAKEN_COLUMNS] = {false};

	open_reader(&job, JOB, AccessShareLock, 2);
	open_reader(&function, FUNCTION, AccessShareLock, 2);
	for (int i = 0; i < count; i++)
	{
		if (!find_row(&job, take->tenant, UUIDPGetDatum(&taken[i].job_id)))
			elog(ERROR, "job %s is ready, but missing", jobs_uuid_text(&taken[i].job_id));
		read_function(&function, take->tenant, *DatumGetUUIDP(column_not_null(&job, JOB_FUNCTION)),
					  values, nulls);
		values[JOBS_TAKEN_ID] = UUIDPGetDatum(&taken[i].job_id);
		values[JOBS_TAKEN_ATTEMPT] = Int32GetDatum(taken[i].attempt);
		values[JOBS_TAKEN_MODEL] = column(&job, JOB_MODEL, &nulls[JOBS_TAKEN_MODEL]);
		values[JOBS_TAKEN_PARAMETERS] = column_not_null(&job, JOB_PARAMETERS);
		values[JOBS_TAKEN_EXPIRES] = TimestampTzGetDatum(taken[i].created + take->lease_ms * 1000);
		row(where, values, nulls);
	}
	close_reader(&function);
	close_reader(&job);
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

	begin_rows("claim_jobs()");
	count = take_rows(take, taken, max_attempts, last, next);
	if (count > 0)
	{
		write_leases(take, taken, max_attempts, count);
		hand_out(take, taken, count, row, where);
	}
	end_rows();
	pfree(taken);
	pfree(max_attempts);
	return count;
}

/* As jobs_permits_take. */
int32
jobs_hot_take_permits(int32 tenant, int32 limiter, int64 from, int32 wanted, int64 *last)
{
	TimestampTz now = GetCurrentTimestamp();
	Reader		permit;
	int32		count = 0;

	begin_rows("claim_jobs()");
	open_reader(&permit, PERMIT, RowExclusiveLock, 3);
	seek_lane(&permit, tenant, limiter, from);
	while (count < wanted && next_row(&permit))
	{
		CHECK_FOR_INTERRUPTS();
		if (DatumGetTimestampTz(column_not_null(&permit, PERMIT_DUE)) > now ||
			being_taken(permit.slot) || !take_row(&permit))
			continue;
		*last = DatumGetInt64(column_not_null(&permit, PERMIT_SEQ));
		count++;
	}
	close_reader(&permit);
	end_rows();
	return count;
}

/* Whether a limiter is there and all its permits are wanted back. */
static bool
owes_nothing(int32 tenant, int32 limiter)
{
	ScanKeyData keys[2];
	Reader		reader;
	bool		owes_nothing;

	open_reader(&reader, LIMITER, AccessShareLock, 2);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(tenant));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(limiter));
	index_rescan(reader.scan, keys, 2, NULL, 0);
	owes_nothing = next_row(&reader) && DatumGetInt32(column_not_null(&reader, 0)) == 0;
	close_reader(&reader);
	return owes_nothing;
}

static void
write_permit(Writer *permit, int32 tenant, int32 limiter, TimestampTz due)
{
	TupleTableSlot *slot = new_row(permit);

	slot->tts_values[PERMIT_TENANT] = Int32GetDatum(tenant);
	slot->tts_values[PERMIT_LIMITER] = Int32GetDatum(limiter);
	slot->tts_values[PERMIT_SEQ] = Int64GetDatum(nextval_internal(ready_seq, false));
	slot->tts_values[PERMIT_DUE] = TimestampTzGetDatum(due);
	ExecStoreVirtualTuple(slot);
}

/* As jobs_permits_put; false when that has to be asked. */
bool
jobs_hot_put_permits(int32 tenant, int32 limiter, int32 count, TimestampTz due)
{
	EState	   *estate;
	Writer		permit;
	bool		done;

	begin_rows("claim_jobs()");
	done = owes_nothing(tenant, limiter);
	if (done)
	{
		estate = CreateExecutorState();
		open_writer(&permit, PERMIT, estate);
		for (int32 i = 0; i < count; i++)
			write_permit(&permit, tenant, limiter, due);
		close_writer(&permit);
		FreeExecutorState(estate);
	}
	end_rows();
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
note_permits(Reader *lease, int32 tenant, const pg_uuid_t *agent_id, Returned *returned)
{
	int16		permits = DatumGetInt16(column_not_null(lease, LEASE_PERMITS));
	int			count = returned->count;

	for (int kind = 0; kind < JOBS_LIMIT_RATE; kind++)
	{
		int32		limiter;

		if ((permits & (1 << kind)) == 0)
			continue;
		limiter = jobs_lane_limiter(agent_id, DatumGetInt32(column_not_null(lease, LEASE_LANE)), kind);
		if (limiter == 0 || !owes_nothing(tenant, limiter))
			return false;
		returned->limiters[count++] = limiter;
	}
	returned->count = count;
	return true;
}

static void
return_permits(int32 tenant, const Returned *returned, EState *estate)
{
	Writer		permit;

	if (returned->count == 0)
		return;
	open_writer(&permit, PERMIT, estate);
	for (int i = 0; i < returned->count; i++)
		write_permit(&permit, tenant, returned->limiters[i], DT_NOBEGIN);
	close_writer(&permit);
}

/*
 * Deletes the lease, if it is there, nobody is changing it, and the report ends
 * the job.
 */
static bool
end_lease(Reader *lease, int32 tenant, const JobsReport *report, JobsEntry *entry, Returned *returned)
{
	int			before = returned->count;
	ScanKeyData keys[3];
	int32		attempt;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(tenant));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(report->agent_id));
	ScanKeyInit(&keys[2], 3, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(report->job_id));
	index_rescan(lease->scan, keys, 3, NULL, 0);
	if (!next_row(lease))
		return false;
	attempt = DatumGetInt32(column_not_null(lease, LEASE_ATTEMPT));
	if (report->attempt != 0 && report->attempt != attempt)
		return false;
	if (report->name == JOBS_FAILED && report->retry &&
		attempt < DatumGetInt32(column_not_null(lease, LEASE_MAX_ATTEMPTS)))
		return false;
	entry->job_id = *report->job_id;
	entry->agent_id = report->agent_id;
	entry->ordinal = DatumGetInt32(column_not_null(lease, LEASE_ORDINAL)) + 1;
	entry->attempt = attempt;
	entry->name = report->name;
	entry->message = report->message;
	if (!note_permits(lease, tenant, report->agent_id, returned))
		return false;
	if (take_row(lease))
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

/* Whether jobs wait for one of those that have ended. */
static void
find_dependents(int32 tenant, const JobsEntry *entries, int count, JobsEnded **ended)
{
	Reader		dependency;

	open_reader(&dependency, DEPENDENCY, AccessShareLock, 2);
	for (int i = 0; i < count; i++)
		ended[i]->dependents = find_row(&dependency, tenant, UUIDPGetDatum(&entries[i].job_id));
	close_reader(&dependency);
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
	Reader		lease;
	Returned	returned = {palloc(sizeof(int32) * count * JOBS_LIMIT_RATE), 0};
	int			used = 0;

	begin_rows("update_job_status()");
	open_reader(&lease, LEASE, RowExclusiveLock, 3);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ended[i].entry = (Datum) 0;
		if (end_lease(&lease, call->caller.tenant, reports[i], &entries[used], &returned))
			which[used++] = &ended[i];
	}
	close_reader(&lease);
	now = GetCurrentTimestamp();
	if (used > 0)
	{
		EState	   *estate = CreateExecutorState();
		Writer		status;

		desc = lookup_rowtype_tupdesc(entry_type, -1);
		open_writer(&status, STATUS, estate);
		for (int i = 0; i < used; i++)
		{
			entries[i].created = now;
			write_entry(&status, call->caller.tenant, &entries[i]);
			which[i]->entry = entry_datum(desc, &entries[i]);
		}
		close_writer(&status);
		return_permits(call->caller.tenant, &returned, estate);
		FreeExecutorState(estate);
		ReleaseTupleDesc(desc);
		find_dependents(call->caller.tenant, entries, used, which);
	}
	end_rows();
	pfree(entries);
	pfree(which);
	pfree(returned.limiters);
	return used;
}
