/*-------------------------------------------------------------------------
 *
 * function.c
 *		What claims tell of functions.
 *
 * A claimed job comes with the name and version of its function. Versions of
 * functions never change, and the id of one that was rolled back is never used
 * again, so a session reads each once in a while. Who edits the table by hand is
 * seen within FUNCTION_US.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "fmgr.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "hot.h"
#include "rows.h"

#define FUNCTION_US USECS_PER_SEC
#define MAX_FUNCTIONS 1000
#define COLUMNS (JOBS_TAKEN_MODEL - JOBS_TAKEN_FUNCTION)

typedef struct FunctionKey
{
	int32		tenant;
	pg_uuid_t	id;
} FunctionKey;

typedef struct Function
{
	FunctionKey key;
	TimestampTz read_at;		/* 0: nothing is here */
	uint64		epoch;
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS];
} Function;

/* For the life of the session. */
static MemoryContext context = NULL;
static HTAB *functions = NULL;

static void
start_over(void)
{
	HASHCTL		control = {.keysize = sizeof(FunctionKey), .entrysize = sizeof(Function)};

	functions = NULL;
	if (context != NULL)
		MemoryContextDelete(context);
	context = NULL;
	context = AllocSetContextCreate(TopMemoryContext, "jobs functions", ALLOCSET_SMALL_SIZES);
	control.hcxt = context;
	functions = hash_create("jobs functions", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static Function *
remembered(const FunctionKey *key)
{
	Function   *function = functions == NULL ? NULL : hash_search(functions, key, HASH_FIND, NULL);

	if (function != NULL)
		return function;
	if (functions == NULL || hash_get_num_entries(functions) >= MAX_FUNCTIONS)
		start_over();
	function = hash_search(functions, key, HASH_ENTER, NULL);
	memset(function, 0, sizeof(*function));
	function->key = *key;
	return function;
}

static void
copy_column(Function *function, JobsReader *reader, int place)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(reader->table), reader->columns[place] - 1);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Datum		value = jobs_reader_column(reader, place, &function->nulls[place]);

	if (function->values[place] != (Datum) 0)
		pfree(DatumGetPointer(function->values[place]));
	function->values[place] = (Datum) 0;
	if (!function->nulls[place])
		function->values[place] = attribute->attlen == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(value)) :
			datumCopy(value, attribute->attbyval, attribute->attlen);
	MemoryContextSwitchTo(caller);
}

static void
read_function(Function *function, TimestampTz now)
{
	JobsReader	reader;

	function->read_at = 0;
	jobs_reader_open(&reader, ROWS_FUNCTION, AccessShareLock, 2);
	jobs_reader_prefix(&reader, function->key.tenant, NULL);
	if (!jobs_reader_find(&reader, &function->key.id))
		elog(ERROR, "function version %s is missing", jobs_uuid_text(&function->key.id));
	for (int i = 0; i < COLUMNS; i++)
		copy_column(function, &reader, i);
	jobs_reader_close(&reader);
	function->epoch = jobs_storage_epoch();
	function->read_at = now;
}

/* The columns of claim_jobs that are about the function; good until the next call. */
void
jobs_function_columns(int32 tenant, const pg_uuid_t *id, TimestampTz now, Datum *values, bool *nulls)
{
	FunctionKey key = {.tenant = tenant, .id = *id};
	Function   *function = remembered(&key);

	if (function->epoch != jobs_storage_epoch() || now < function->read_at || now - function->read_at > FUNCTION_US)
		read_function(function, now);
	memcpy(values, function->values, sizeof(function->values));
	memcpy(nulls, function->nulls, sizeof(function->nulls));
}
