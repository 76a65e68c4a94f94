/*-------------------------------------------------------------------------
 *
 * query.c
 *		The only door to SPI, and to the rights of the extension's owner.
 *
 * A SQL-callable function that touches storage runs between jobs_enter, which
 * finds out who is calling and then becomes the owner of the extension, and
 * jobs_leave. There is no PG_TRY for the way back: an error aborts the
 * (sub)transaction, which restores the user and closes SPI.
 *
 * Whatever the caller's search_path is, statements run with only pg_catalog in
 * theirs. The functions that hardly ever run one (claims and final reports, see
 * hot.c) have no SET clause, which would cost a tenth of their time: here it is
 * set when it is not so yet.
 *
 * Statements are constant text. Their plans are generic, made once and kept, as
 * if every table were large and with the methods off that read whole tables:
 * these statements touch a few rows by key, in tables that may be empty when the
 * plan is made and hold millions when it is used. In an empty table all costs
 * are alike, and the planner is content with half of a key. (That is why there is
 * a hook: no setting and no statistics make it believe that an empty table is
 * large. It acts while one of our own statements is planned and run for the first
 * time, and so at most on what that one calls.) When something, say
 * ANALYZE, makes the server plan a statement again by itself, that is noticed by
 * the generation of the plan, and it is made anew our way the next time (unless it
 * is running further up: a statement may call itself through a function or trigger).
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "optimizer/plancat.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/plancache.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "fault.h"
#include "worker.h"

PG_FUNCTION_INFO_V1(jobs_is_foreign_write);

#define MAX_PARAMETERS 32

/* As in the SET clauses of our functions. */
#define SAFE_PATH "pg_catalog, pg_temp"
#define NO_LEVEL 0

/* Of a query whose result may be large. */
#define ROWS_PER_FETCH 1000

typedef struct ParameterType
{
	char		letter;
	Oid			type;
	Oid			array;
} ParameterType;

static const ParameterType parameter_types[] = {
	{'i', INT4OID, INT4ARRAYOID},
	{'l', INT8OID, INT8ARRAYOID},
	{'b', BOOLOID, BOOLARRAYOID},
	{'u', UUIDOID, UUIDARRAYOID},
	{'t', TEXTOID, TEXTARRAYOID},
	{'z', TIMESTAMPTZOID, TIMESTAMPTZARRAYOID},
	{'v', INTERVALOID, INTERVALARRAYOID},
	{'j', JSONBOID, JSONBARRAYOID},
	{'y', BYTEAOID, BYTEAARRAYOID},
};

/* What a large table has, for the planner. */
#define LARGE_TUPLES	1e7
#define LARGE_PAGES		200000

/*
 * Planner methods that may look good on a small table, and ruin a large one;
 * and what seems worth while when all tables are large.
 */
static const char *const planner_off[] = {
	"enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin",
	"enable_material", "enable_memoize", "jit"
};

/*
 * How many triggers deep one of our own statements is writing history, and
 * NOT_WRITING while none is: what a trigger that it fires writes is not ours.
 * Set and reset around the execution of one statement, also when it fails.
 */
#define NOT_WRITING (-1)
static int	writing_depth = NOT_WRITING;

/* True while one of our own statements is planned, and run for the first time. */
static bool planning = false;
static get_relation_info_hook_type previous_relation_hook = NULL;

/* Every table is large. */
static void
enlarge(PlannerInfo *root, Oid relation, bool inherits, RelOptInfo *rel)
{
	ListCell   *cell;

	if (previous_relation_hook)
		previous_relation_hook(root, relation, inherits, rel);
	if (!planning)
		return;
	rel->tuples = Max(rel->tuples, LARGE_TUPLES);
	rel->pages = Max(rel->pages, LARGE_PAGES);
	foreach(cell, rel->indexlist)
	{
		IndexOptInfo *index = lfirst(cell);

		index->tuples = Max(index->tuples, LARGE_TUPLES);
		index->pages = Max(index->pages, LARGE_PAGES / 10);
		if (index->relam == BTREE_AM_OID && index->tree_height < 3)
			index->tree_height = 3;
	}
}

/* Once, when the library is loaded. */
void
jobs_query_init(void)
{
	previous_relation_hook = get_relation_info_hook;
	get_relation_info_hook = enlarge;
}

static Oid
parameter_type(char letter)
{
	for (int i = 0; i < countof(parameter_types); i++)
	{
		if (letter == parameter_types[i].letter)
			return parameter_types[i].type;
		if (letter == pg_toupper((unsigned char) parameter_types[i].letter))
			return parameter_types[i].array;
	}
	elog(ERROR, "unknown parameter type \"%c\"", letter);
}

/*
 * The owner of the extension is the owner of its functions: read from the
 * function that is running, there is no oid to cache and nothing to go stale.
 */
static Oid
function_owner(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

static void
enter(JobsCall *call, Oid owner)
{
	memset(call, 0, sizeof(*call));
	call->outer = CurrentMemoryContext;
	GetUserIdAndSecContext(&call->saved_user, &call->saved_security);
	call->role = call->saved_user;
	call->owner = owner;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");

	/*
	 * Restricted, so that nothing a table's owner may have attached to it can
	 * change the session under these rights.
	 */
	SetUserIdAndSecContext(call->owner, call->saved_security |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
}

/*
 * As jobs_enter, but the calling role need not stand for a user. Every call that
 * needs the storage comes along here.
 */
void
jobs_enter_any(FunctionCallInfo fcinfo, JobsCall *call)
{
	if (!jobs_version_known)
		jobs_version_check();
	enter(call, function_owner(fcinfo->flinfo->fn_oid));
	jobs_database_note_use();
}

/* For what the server does by itself: there is no caller, and the tenant is still to be set. */
void
jobs_enter_owner(JobsCall *call, Oid owner)
{
	enter(call, owner);
	call->role = owner;
}

/*
 * Identifies the caller (42501 when the role stands for no user) and goes on
 * as the owner of the extension. Memory allocated from here on is gone after
 * jobs_leave.
 */
void
jobs_enter(FunctionCallInfo fcinfo, JobsCall *call)
{
	jobs_enter_any(fcinfo, call);
	jobs_caller_require(call);
}

void
jobs_leave(JobsCall *call)
{
	SetUserIdAndSecContext(call->saved_user, call->saved_security);
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
}

/* Answers how many. */
static int
parameter_types_of(const char *letters, Oid *types)
{
	int			nargs = strlen(letters);

	if (nargs > MAX_PARAMETERS)
		elog(ERROR, "too many parameters: %d", nargs);
	for (int i = 0; i < nargs; i++)
		types[i] = parameter_type(letters[i]);
	return nargs;
}

static void
split_arguments(int nargs, const JobsArg *args, Datum *values, char *nulls)
{
	for (int i = 0; i < nargs; i++)
	{
		values[i] = args[i].value;
		nulls[i] = args[i].isnull ? 'n' : ' ';
	}
}

/*
 * To be called before jobs become ready: what is drawn from the sequence of ready
 * jobs must be drawn under an xid, and what was guessed about lanes is void (see
 * lane.c). 25006 where nothing can be written.
 */
void
jobs_begin_ready(const char *command)
{
	PreventCommandIfReadOnly(command);
	(void) GetTopTransactionId();
	jobs_void_guesses();
}

/* To be undone with leave_path; an error undoes it as well. */
static int
enter_path(void)
{
	int			level;

	if (strcmp(namespace_search_path, SAFE_PATH) == 0)
		return NO_LEVEL;
	level = NewGUCNestLevel();
	(void) set_config_option("search_path", SAFE_PATH, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

static void
leave_path(int level)
{
	if (level != NO_LEVEL)
		AtEOXact_GUC(true, level);
}

static void
prepare(JobsStatement *statement)
{
	Oid			types[MAX_PARAMETERS];
	int			nargs = parameter_types_of(statement->types, types);
	SPIPlanPtr	plan;

	plan = SPI_prepare_cursor(statement->sql, nargs, types, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", statement->sql,
			 SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	statement->plan = plan;
	statement->generation = 0;
}

/* How often the server has planned the statement. */
static int
plan_generation(JobsStatement *statement)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(statement->plan));

	return source->generation;
}

static int
trigger_depth(void)
{
	return DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0));
}

/*
 * Runs a statement; one that has to be planned first, with the settings of ours.
 * Whatever happens, the marks of what is under way are taken back.
 */
static int
execute(JobsStatement *statement, Datum *values, const char *nulls, bool plan)
{
	volatile int level = 0;
	int			outer_depth = writing_depth;
	bool		outer_planning = planning;
	int			code = 0;

	statement->running++;
	PG_TRY();
	{
		if (statement->writes_history)
			writing_depth = trigger_depth();
		if (plan)
		{
			level = NewGUCNestLevel();
			for (int i = 0; i < countof(planner_off); i++)
				(void) set_config_option(planner_off[i], "off", PGC_USERSET, PGC_S_SESSION,
										 GUC_ACTION_SAVE, true, 0, false);
			planning = true;
		}
		/* In parallel mode nothing is written, and no command may begin. */
		code = SPI_execute_plan(statement->plan, values, nulls, IsInParallelMode(), 0);
	}
	PG_FINALLY();
	{
		statement->running--;
		writing_depth = outer_depth;
		planning = outer_planning;
	}
	PG_END_TRY();
	if (plan)
	{
		AtEOXact_GUC(true, level);
		statement->generation = plan_generation(statement);
	}
	return code;
}

JobsResult
jobs_run_args(JobsStatement *statement, int nargs, const JobsArg *args)
{
	Datum		values[MAX_PARAMETERS];
	char		nulls[MAX_PARAMETERS];
	JobsResult	result;
	int			path;
	int			code;

	if (nargs != (int) strlen(statement->types))
		elog(ERROR, "statement takes %d parameters, not %d: %s",
			 (int) strlen(statement->types), nargs, statement->sql);
	split_arguments(nargs, args, values, nulls);
	path = enter_path();
	if (statement->plan != NULL && statement->running == 0 && statement->generation != 0 &&
		plan_generation(statement) != statement->generation)
	{
		SPI_freeplan(statement->plan);
		statement->plan = NULL;
	}
	if (statement->plan == NULL)
		prepare(statement);
	code = execute(statement, values, nulls,
				   statement->generation == 0 || !SPI_plan_is_valid(statement->plan));
	leave_path(path);
	if (code != statement->expected)
		elog(ERROR, "unexpected result %s of \"%s\"",
			 SPI_result_code_string(code), statement->sql);
	result.table = SPI_tuptable;
	result.count = SPI_processed;
	JOBS_FAULT("statement");
	return result;
}

/*
 * Does some work in a subtransaction; NULL when it succeeds, else its error, and
 * what it wrote is undone. What concerns the whole call and not this work is
 * raised again: cancellation, lack of resources, a transaction to be repeated.
 */
ErrorData *
jobs_try(void (*work) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error != NULL)
	{
		int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

		if (category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_INSUFFICIENT_RESOURCES ||
			category == ERRCODE_TRANSACTION_ROLLBACK)
			ReThrowError(error);
	}
	return error;
}

/*
 * A query whose text is put together from constants by what the caller asked
 * for: planned for the values at hand, and not kept.
 */
JobsResult
jobs_run_text(const char *sql, const char *letters, const JobsArg *args)
{
	Datum		values[MAX_PARAMETERS];
	char		nulls[MAX_PARAMETERS];
	Oid			types[MAX_PARAMETERS];
	int			nargs = parameter_types_of(letters, types);
	int			path = enter_path();
	JobsResult	result;
	int			code;

	split_arguments(nargs, args, values, nulls);
	code = SPI_execute_with_args(sql, nargs, types, values, nulls, IsInParallelMode(), 0);
	leave_path(path);
	if (code != SPI_OK_SELECT && code != SPI_OK_UTILITY)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(code), sql);
	result.table = SPI_tuptable;
	result.count = SPI_processed;
	return result;
}

/*
 * All rows of a query over whole tables into the result of a set-returning function
 * of the same columns: by a cursor, in the snapshot of the statement that called it.
 */
void
jobs_store_query(ReturnSetInfo *rsinfo, const char *sql, const char *letters, const JobsArg *args)
{
	Datum		values[MAX_PARAMETERS];
	char		nulls[MAX_PARAMETERS];
	Oid			types[MAX_PARAMETERS];
	int			nargs = parameter_types_of(letters, types);
	int			path = enter_path();
	Portal		portal;
	JobsResult	result;

	split_arguments(nargs, args, values, nulls);
	portal = SPI_cursor_open_with_args(NULL, sql, nargs, types, values, nulls, true, CURSOR_OPT_NO_SCROLL);
	do
	{
		SPI_cursor_fetch(portal, true, ROWS_PER_FETCH);
		result.table = SPI_tuptable;
		result.count = SPI_processed;
		jobs_store_rows(rsinfo, &result);
		SPI_freetuptable(result.table);
	} while (result.count > 0);
	SPI_cursor_close(portal);
	leave_path(path);
}

/* Column counts from 1. */
Datum
jobs_column(const JobsResult *result, uint64 row, int column, bool *isnull)
{
	bool		null;
	Datum		value;

	if (row >= result->count)
		elog(ERROR, "unexpected end of result");
	value = SPI_getbinval(result->table->vals[row], result->table->tupdesc, column, &null);
	if (isnull != NULL)
		*isnull = null;
	else if (null)
		elog(ERROR, "unexpected null in column %d", column);
	return value;
}

/* A column that outlives jobs_leave; it must not be null. */
Datum
jobs_column_copy(JobsCall *call, const JobsResult *result, uint64 row, int column)
{
	Form_pg_attribute attribute = TupleDescAttr(result->table->tupdesc, column - 1);
	Datum		value = jobs_column(result, row, column, NULL);
	MemoryContext old = MemoryContextSwitchTo(call->outer);

	value = datumTransfer(value, attribute->attbyval, attribute->attlen);
	MemoryContextSwitchTo(old);
	return value;
}

/* A value of a composite type that outlives jobs_leave. */
Datum
jobs_composite_copy(JobsCall *call, Datum composite)
{
	MemoryContext old = MemoryContextSwitchTo(call->outer);

	composite = datumCopy(composite, false, -1);
	MemoryContextSwitchTo(old);
	return composite;
}

/* All rows into the result of a set-returning function of the same columns. */
void
jobs_store_rows(ReturnSetInfo *rsinfo, const JobsResult *result)
{
	for (uint64 row = 0; row < result->count; row++)
		tuplestore_puttuple(rsinfo->setResult, result->table->vals[row]);
}

/* Whether a statement of ours, that many triggers up from here, writes history. */
bool
jobs_writing_history(int triggers_up)
{
	return writing_depth != NOT_WRITING && writing_depth == trigger_depth() - triggers_up;
}

Datum
jobs_is_foreign_write(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!jobs_writing_history(0));
}
