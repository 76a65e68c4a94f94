/*-------------------------------------------------------------------------
 *
 * rows.c
 *		Rows of our own tables, read and written without a plan.
 *
 * The calls are those that the executor itself would make: the same rows and WAL, and
 * no locks but its own. They are for tables that are as our script made them
 * (is_plain, columns_fit and index_fits say how), which is looked up once and again
 * whenever one of them changes, and for read committed.
 *
 * Rows are looked for by a full key, along a lane, or where they are said to be, with
 * a snapshot taken after everything that the transaction did before.
 *
 * Locks on tables, and on the indexes of those that are written, stay until the
 * transaction ends: one call opens some of them more than once, and to release them
 * together is cheaper. Who waits for such an index (REINDEX) waits for its table. An
 * index that gets no entry is not locked, nor one by which nothing is looked for.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "fault.h"
#include "rows.h"

#define MAX_COLUMNS 26
#define MAX_KEYS 4

/* Entries of an index that are passed over before a search from the root is cheaper. */
#define MAX_STEPS 16

/* Indexes to remember: ours, and some of somebody else's. */
#define MAX_KEPT 32

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
	[ROWS_READY] = {
		"ready", true, 0,
		{"tenant", "lane", "seq", "job_id", "ordinal", "attempt", "max_attempts"},
		"ready_pkey", {"tenant", "lane", "seq"}
	},
	[ROWS_LEASE] = {
		"lease", true, 1,
		{"agent_id", "job_id", "expires", "check_at", "lease_ms", "tenant", "lane", "ordinal", "attempt",
		"max_attempts", "permits", "status"},
		"lease_pkey", {"tenant", "agent_id", "job_id"}
	},
	[ROWS_STATUS] = {
		"job_status", true, 3,
		{"job_id", "created", "tenant", "ordinal", "attempt", "name", "agent_id", "created_by_id", "message"},
		"job_status_pkey", {"tenant", "job_id", "ordinal"}
	},
	[ROWS_JOB] = {
		"job", false, 0,
		{"function_id", "model_id", "parameters"},
		"job_pkey", {"tenant", "id"}
	},
	[ROWS_FUNCTION] = {
		"function_version", false, 0,
		{"id", "name", "version", "tool_name", "tool_version", "operating_system"},
		"function_version_pkey", {"tenant", "id"}
	},
	[ROWS_DEPENDENCY] = {
		"job_dependency", false, 0,
		{"job_id"},
		"job_dependency_depends_on_idx", {"tenant", "depends_on"}
	},
	[ROWS_PERMIT] = {
		"permit", true, 0,
		{"tenant", "limiter", "seq", "due"},
		"permit_pkey", {"tenant", "limiter", "seq"}
	},
	[ROWS_LIMITER] = {
		"limiter", false, 0,
		{"debt"},
		"limiter_pkey", {"tenant", "limiter"}
	},
	[ROWS_NEW_JOB] = {
		"job", true, 0,
		{"id", "created", "tenant", "priority", "max_attempts", "first_status", "archived", "function_id",
			"created_by_id", "model_id", "assigned_agent_id", "assigned_agent_pool_id", "agent_id", "run_after",
			"updated", "parameters", "description", "display_name", "version_name", "external_identifier",
		"concurrency_key", "on_dependency_failure", "backoff", "backoff_base", "backoff_cap"},
		"job_pkey", {"tenant", "id"}
	},
	[ROWS_WAITING] = {
		"waiting", true, 0,
		{"job_id", "check_at", "tenant", "lane", "ordinal", "attempt", "max_attempts", "dependent", "blocker"},
		"waiting_pkey", {"tenant", "job_id"}
	},
};
#define TABLES countof(layouts)

/* The indexes of our script that have a predicate, of tables that are written. */
static const char *const partial_indexes[] = {"job_status_terminal_idx", "job_created_by_idx", "job_model_idx"};

/* What was found out about a table; good until one of them changes. */
typedef struct Table
{
	Oid			table;
	Oid			index;
	AttrNumber	columns[MAX_COLUMNS];
} Table;

static Table tables[TABLES];
Oid			jobs_rows_entry_type;
Oid			jobs_rows_ready_seq;

static bool known = false;
static bool usable;
static bool addable;

/* Of indexes; forgotten with all the rest. */
typedef struct Kept
{
	Oid			index;
	IndexInfo  *info;
} Kept;

static MemoryContext kept_context = NULL;
static Kept kept[MAX_KEPT];
static int	kept_count = 0;
static ExprContext *predicate_context;	/* in which predicates are evaluated */

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
jobs_rows_init(void)
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
 * of somebody's, a rule or row security are for the executor, and so is a table that
 * is not a heap: its size need not tell of rows, nor its places be good for later.
 */
static bool
is_plain(Relation relation, const Layout *layout)
{
	int			triggers = relation->trigdesc ? relation->trigdesc->numtriggers : 0;

	return relation->rd_rel->relkind == RELKIND_RELATION &&
		relation->rd_rel->relam == HEAP_TABLE_AM_OID &&
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

/* Somebody further up may be writing with what was kept: it stays until the transaction ends. */
static void
forget_indexes(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "jobs indexes", ALLOCSET_SMALL_SIZES);

	kept_count = 0;
	if (kept_context != NULL)
		MemoryContextSetParent(kept_context, TopTransactionContext);
	kept_context = context;
	context = MemoryContextSwitchTo(kept_context);
	predicate_context = CreateStandaloneExprContext();
	MemoryContextSwitchTo(context);
}

/* Finds out about all tables, as far as they fit. */
static void
look_at_tables(void)
{
	Oid			schema = get_namespace_oid("jobs_store", true);
	int			fit = 0;

	forget_indexes();
	while (OidIsValid(schema) && fit < TABLES && table_fits(schema, &layouts[fit], &tables[fit]))
		fit++;
	jobs_rows_entry_type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("job_status"),
								 ObjectIdGetDatum(get_namespace_oid("jobs", true)));
	jobs_rows_ready_seq = fit >= ROWS_NEW_JOB ? get_relname_relid("ready_seq", schema) : InvalidOid;
	usable = OidIsValid(jobs_rows_entry_type) && OidIsValid(jobs_rows_ready_seq);
	addable = usable && fit == TABLES;
}

/* Whether the short cut may be taken by claims and reports. */
bool
jobs_rows_usable(void)
{
	if (!jobs_direct || IsolationUsesXactSnapshot() || IsInParallelMode() || RecoveryInProgress())
		return false;
	if (!known)
	{
		usable = addable = false;	/* as it is after an error, */
		known = true;			/* unless something changes from here on */
		look_at_tables();
	}
	return known && usable;
}

/* And by who adds jobs: somebody may wish to hear of new jobs, and of nothing else. */
bool
jobs_rows_addable(void)
{
	return jobs_rows_usable() && addable;
}

/* What the transaction did so far is seen from here on, and what others have committed. NULL command: writes nothing. */
void
jobs_rows_begin(const char *command)
{
	if (command != NULL)
		PreventCommandIfReadOnly(command);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
jobs_rows_end(void)
{
	PopActiveSnapshot();
	CommandCounterIncrement();
}

/*
 * Whether a table has no row, as far as its size tells: false does not mean that there
 * are some. What is to be seen by a snapshot has its page when that is taken.
 */
bool
jobs_rows_none(JobsTableId id)
{
	Relation	table = table_open(tables[id].table, AccessShareLock);
	bool		none = RelationGetNumberOfBlocks(table) == 0;

	table_close(table, NoLock);
	return none;
}

void
jobs_reader_open(JobsReader *reader, JobsTableId id, LOCKMODE lock, int keys)
{
	reader->columns = tables[id].columns;
	reader->lock = lock;
	reader->rest = 0;
	reader->prefix = 0;
	reader->walking = false;
	reader->index_id = tables[id].index;
	reader->key_count = keys;
	reader->index = NULL;
	reader->scan = NULL;
	reader->fetch = NULL;
	reader->table = table_open(tables[id].table, lock);
	reader->slot = table_slot_create(reader->table, NULL);
}

static void
open_index(JobsReader *reader)
{
	if (reader->index != NULL)
		return;
	reader->index = index_open(reader->index_id, AccessShareLock);
	reader->scan = JOBS_INDEX_BEGINSCAN(reader->table, reader->index, GetActiveSnapshot(), reader->key_count);
}

/* Looks for rows by as many keys as the reader was opened for. */
void
jobs_reader_scan(JobsReader *reader, ScanKey keys)
{
	open_index(reader);
	index_rescan(reader->scan, keys, reader->key_count, NULL, 0);
}

void
jobs_reader_close(JobsReader *reader)
{
	if (reader->index != NULL)
	{
		index_endscan(reader->scan);
		index_close(reader->index, reader->lock == AccessShareLock ? AccessShareLock : NoLock);
	}
	if (reader->fetch != NULL)
		table_index_fetch_end(reader->fetch);
	ExecDropSingleTupleTableSlot(reader->slot);
	table_close(reader->table, NoLock);
}

static void
seek_between(JobsReader *reader, int64 from, int64 to)
{
	ScanKeyData keys[JOBS_SEEK_KEYS];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(reader->tenant));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(reader->lane));
	ScanKeyInit(&keys[2], 3, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(from));
	ScanKeyInit(&keys[3], 3, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(to));
	jobs_reader_scan(reader, keys);
	reader->rest = to == PG_INT64_MAX ? 0 : to + 1;
}

/*
 * The rows of a lane, or the permits of a limiter, from a seq on: first those up to
 * near, then the rest. It makes no difference but for speed: an index scan reads all
 * that fits from a page at once, which is much for who wants one row.
 */
void
jobs_reader_seek(JobsReader *reader, int32 tenant, int32 lane, int64 from, int64 near)
{
	reader->tenant = tenant;
	reader->lane = lane;
	seek_between(reader, from, Max(from, near));
}

bool
jobs_reader_next(JobsReader *reader)
{
	while (!index_getnext_slot(reader->scan, ForwardScanDirection, reader->slot))
	{
		if (reader->rest == 0)
			return false;
		seek_between(reader, reader->rest, PG_INT64_MAX);
	}
	return true;
}

Datum
jobs_reader_column(JobsReader *reader, int place, bool *isnull)
{
	return slot_getattr(reader->slot, reader->columns[place], isnull);
}

Datum
jobs_reader_not_null(JobsReader *reader, int place)
{
	bool		isnull;
	Datum		value = jobs_reader_column(reader, place, &isnull);

	if (isnull)
		elog(ERROR, "unexpected null in column \"%s\"", NameStr(TupleDescAttr(RelationGetDescr(reader->table), reader->columns[place] - 1)->attname));
	return value;
}

/* What the keys of all rows that are looked for begin with; NULL agent: the tenant alone. */
void
jobs_reader_prefix(JobsReader *reader, int32 tenant, const pg_uuid_t *agent_id)
{
	ScanKeyInit(&reader->keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(tenant));
	if (agent_id != NULL)
		ScanKeyInit(&reader->keys[1], 2, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(agent_id));
	reader->prefix = agent_id == NULL ? 1 : 2;
}

/*
 * The row that is, or has grown by HOT updates from, the one that was written at this
 * place. Any place will do, of a row or of none: if there is nothing to be seen, the
 * answer is no, and if there is something else, it is found.
 */
bool
jobs_reader_fetch(JobsReader *reader, const ItemPointerData *place)
{
	ItemPointerData tid = *place;	/* will be that of the version that is found */
	bool		again = false;

	if (!ItemPointerIsValid(&tid) ||
		ItemPointerGetBlockNumber(&tid) >= RelationGetNumberOfBlocks(reader->table))
		return false;
	if (reader->fetch == NULL)
		reader->fetch = table_index_fetch_begin(reader->table);
	return table_index_fetch_tuple(reader->fetch, &tid, GetActiveSnapshot(), reader->slot, &again, NULL);
}

/* Starts a scan of the ids that follow the prefix; only a reader with a key more knows ranges. */
static void
search(JobsReader *reader, const pg_uuid_t *first, const pg_uuid_t *last)
{
	int			n = reader->prefix;

	if (reader->key_count == n + 1)
		ScanKeyInit(&reader->keys[n], n + 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(first));
	else
	{
		ScanKeyInit(&reader->keys[n], n + 1, BTGreaterEqualStrategyNumber, F_UUID_GE, UUIDPGetDatum(first));
		ScanKeyInit(&reader->keys[n + 1], n + 1, BTLessEqualStrategyNumber, F_UUID_LE, UUIDPGetDatum(last));
	}
	jobs_reader_scan(reader, reader->keys);
}

/* Whether there is a row whose id is one of these or between them. */
bool
jobs_reader_between(JobsReader *reader, const pg_uuid_t *first, const pg_uuid_t *last)
{
	search(reader, first, last);
	return jobs_reader_next(reader);
}

/*
 * From here on ids are looked for in ascending order, from first to last. It makes
 * no difference but for speed: where they follow each other closely in the index,
 * the next one is a step away, not a search from the root.
 */
void
jobs_reader_walk(JobsReader *reader, const pg_uuid_t *first, const pg_uuid_t *last)
{
	reader->walking = true;
	reader->ended = false;
	reader->entry = NULL;
	open_index(reader);
	reader->scan->xs_want_itup = true;
	search(reader, first, last);
}

/* How the id of the entry that the scan is at compares to the one that is wanted; behind the last one: it is greater. */
static int
compare_entry(JobsReader *reader, const pg_uuid_t *id)
{
	bool		isnull;

	if (!reader->ended && reader->entry == NULL)
	{
		reader->ended = index_getnext_tid(reader->scan, ForwardScanDirection) == NULL;
		reader->entry = reader->scan->xs_itup;
	}
	return reader->ended ? 1 :
		memcmp(DatumGetUUIDP(index_getattr(reader->entry, reader->prefix + 1, RelationGetDescr(reader->index), &isnull)),
			   id, UUID_LEN);
}

/* False: the ids are far apart, and the rest is searched for one by one. */
static bool
walk_to(JobsReader *reader, const pg_uuid_t *id, bool *found)
{
	*found = false;
	for (int steps = 0; steps < MAX_STEPS && !*found; steps++)
	{
		int			order = compare_entry(reader, id);

		if (order > 0)
			return true;
		reader->entry = NULL;
		*found = order == 0 && index_fetch_heap(reader->scan, reader->slot);
	}
	return *found;
}

/* The row with this id. */
bool
jobs_reader_find(JobsReader *reader, const pg_uuid_t *id)
{
	bool		found;

	if (reader->walking && walk_to(reader, id, &found))
		return found;
	reader->walking = false;
	return jobs_reader_between(reader, id, id);
}

/*
 * Whether an index holds nothing but columns, in a btree, asks nothing but that they
 * are unique, and has no predicate but that of our script.
 */
static bool
is_simple(Relation index)
{
	if (index->rd_rel->relam != BTREE_AM_OID || !index->rd_index->indisready || !index->rd_index->indimmediate ||
		index->rd_index->indisexclusion || RelationGetIndexExpressions(index) != NIL)
		return false;
	for (int i = 0; i < countof(partial_indexes); i++)
		if (strcmp(RelationGetRelationName(index), partial_indexes[i]) == 0)
			return true;
	return RelationGetIndexPredicate(index) == NIL;
}

/* Keeps how rows get into a simple index: to build that, and to prepare a predicate, takes as long as an insert. */
static IndexInfo *
keep(Relation index)
{
	MemoryContext caller = MemoryContextSwitchTo(kept_context);
	IndexInfo  *info = BuildIndexInfo(index);

	if (info->ii_Predicate != NIL)
		info->ii_PredicateState = ExecInitQual((List *) expression_planner((Expr *) info->ii_Predicate), NULL);
	MemoryContextSwitchTo(caller);
	kept[kept_count].index = RelationGetRelid(index);
	kept[kept_count++].info = info;
	return info;
}

/* False: the index is not simple. One that is known already is not opened. */
static bool
look_at_index(JobsEntries *entries)
{
	for (int i = 0; i < kept_count && entries->info == NULL; i++)
		if (kept[i].index == entries->index)
			entries->info = kept[i].info;
	if (entries->info == NULL && kept_count < MAX_KEPT)
	{
		entries->relation = index_open(entries->index, RowExclusiveLock);
		if (is_simple(entries->relation))
			entries->info = keep(entries->relation);
	}
	return entries->info != NULL;
}

static void
close_indexes(JobsWriter *writer)
{
	for (int i = 0; i < writer->index_count; i++)
		if (writer->indexes[i].relation != NULL)
			index_close(writer->indexes[i].relation, NoLock);
	pfree(writer->indexes);
}

static bool
all_simple(JobsWriter *writer)
{
	List	   *indexes = RelationGetIndexList(writer->table);
	bool		simple = true;
	ListCell   *cell;

	writer->indexes = palloc0(sizeof(JobsEntries) * list_length(indexes));
	writer->index_count = 0;
	foreach(cell, indexes)
	{
		JobsEntries *entries = &writer->indexes[writer->index_count++];

		entries->index = lfirst_oid(cell);
		simple = simple && look_at_index(entries);
	}
	list_free(indexes);
	return simple;
}

void
jobs_writer_open(JobsWriter *writer, JobsTableId id)
{
	writer->table = table_open(tables[id].table, RowExclusiveLock);
	writer->info = NULL;
	writer->used = 0;
	memset(writer->slots, 0, sizeof(writer->slots));
	if (all_simple(writer))
		return;
	writer->estate = CreateExecutorState();
	writer->info = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->info, writer->table, 0, NULL, 0);
	ExecOpenIndices(writer->info, false);
}

static bool
satisfies(IndexInfo *info, TupleTableSlot *slot)
{
	bool		result;

	if (info->ii_Predicate == NIL)
		return true;
	predicate_context->ecxt_scantuple = slot;
	result = ExecQual(info->ii_PredicateState, predicate_context);
	predicate_context->ecxt_scantuple = NULL;
	ResetExprContext(predicate_context);
	return result;
}

/*
 * As ExecInsertIndexTuples, which would have to be told about the execution that it
 * is part of. An index that no row belongs into is not even opened.
 */
static void
insert_entries(JobsWriter *writer, JobsEntries *entries)
{
	for (int i = 0; i < writer->used; i++)
	{
		Datum		values[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];

		if (!satisfies(entries->info, writer->slots[i]))
			continue;
		if (entries->relation == NULL)
			entries->relation = index_open(entries->index, RowExclusiveLock);
		FormIndexDatum(entries->info, writer->slots[i], NULL, values, nulls);
		(void) index_insert(entries->relation, values, nulls, &writer->slots[i]->tts_tid, writer->table,
							entries->info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, entries->info);
	}
}

static void
insert_entries_by_executor(JobsWriter *writer)
{
	for (int i = 0; i < writer->used; i++)
	{
		(void) JOBS_INSERT_INDEX_TUPLES(writer->info, writer->slots[i], writer->estate);
		ResetPerTupleExprContext(writer->estate);
	}
}

static void
flush(JobsWriter *writer)
{
	CommandId	command = GetCurrentCommandId(true);

	if (writer->used == 1)
		table_tuple_insert(writer->table, writer->slots[0], command, 0, NULL);
	else if (writer->used > 1)
		table_multi_insert(writer->table, writer->slots, writer->used, command, 0, NULL);
	if (writer->used > 0)
		writer->last = writer->slots[writer->used - 1]->tts_tid;
	JOBS_FAULT("row-before-index");
	if (writer->info != NULL)
		insert_entries_by_executor(writer);
	else
		for (int i = 0; i < writer->index_count; i++)
			insert_entries(writer, &writer->indexes[i]);
	for (int i = 0; i < writer->used; i++)
		ExecClearTuple(writer->slots[i]);
	writer->used = 0;
}

/* A row to fill in; it is written when there are many, or at the end. */
TupleTableSlot *
jobs_writer_row(JobsWriter *writer)
{
	TupleTableSlot *slot;

	if (writer->used == JOBS_WRITER_ROWS)
		flush(writer);
	if (writer->slots[writer->used] == NULL)
		writer->slots[writer->used] = table_slot_create(writer->table, NULL);
	slot = writer->slots[writer->used++];
	memset(slot->tts_isnull, 0, sizeof(bool) * slot->tts_tupleDescriptor->natts);
	return slot;
}

void
jobs_writer_close(JobsWriter *writer)
{
	flush(writer);
	for (int i = 0; i < JOBS_WRITER_ROWS && writer->slots[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(writer->slots[i]);
	if (writer->info != NULL)
	{
		ExecCloseIndices(writer->info);
		FreeExecutorState(writer->estate);
	}
	close_indexes(writer);
	table_close(writer->table, NoLock);
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
bool
jobs_reader_take(JobsReader *reader)
{
	TM_FailureData failure;

	return !being_taken(reader->slot) &&
		table_tuple_delete(reader->table, &reader->slot->tts_tid, GetCurrentCommandId(true),
						   GetActiveSnapshot(), InvalidSnapshot, false, &failure, false) == TM_Ok;
}
