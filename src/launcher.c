/*-------------------------------------------------------------------------
 *
 * launcher.c
 *		The background worker that starts the others.
 *
 * It is there when the library is preloaded, and connected to no database: it
 * reads which there are and starts workers (worker.c), which make one pass in one
 * database each and end. How long a database then waits for the next pass:
 *
 * - none, when the pass left work;
 * - jobs.worker_interval, when sessions use the extension or jobs were moved, and
 *	 after one that failed when there are tenants after the one that made it fail;
 * - otherwise until the next thing is due that the rows tell of, but not longer
 *	 than twice as long as the last time, up to jobs.worker_discovery_interval (a
 *	 transaction that was at work during the pass may have brought something);
 * - after a round of all tenants with a failure twice as long as after the one
 *	 before, up to jobs.worker_discovery_interval;
 * - jobs.worker_discovery_interval, when there was nothing for it, say no
 *	 extension, unless a session has used the extension since.
 *
 * Nothing depends on it: claims sweep as well.
 *
 * It is started when recovery has ended, so on a standby when that is promoted,
 * and not at all while pg_upgrade runs a server.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "worker.h"

PG_FUNCTION_INFO_V1(jobs_worker_status);

/* Seconds until the launcher is started again when it ended. */
#define RESTART_S 5

/* Doublings of the wait, at most. */
#define MAX_DOUBLINGS 20

/* What pg_database says, in the memory of one look. */
typedef struct Databases
{
	List	   *all;			/* oids */
	List	   *served;			/* oids of those that a worker should visit */
} Databases;

typedef struct Worker
{
	BackgroundWorkerHandle *handle;
	Oid			database;
} Worker;

/* The workers that this launcher has started. */
static Worker workers[JOBS_MAX_WORKERS];
static int	worker_count = 0;

/* Said once, not with every look; of slots again, when there had been enough in between. */
static bool said_no_slot = false;
static bool said_no_room = false;

static void
describe_worker(BackgroundWorker *worker, const char *name, const char *function)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	strlcpy(worker->bgw_name, name, sizeof(worker->bgw_name));
	strlcpy(worker->bgw_type, name, sizeof(worker->bgw_type));
	strlcpy(worker->bgw_library_name, "jobs", sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, function, sizeof(worker->bgw_function_name));
}

/* Once, when the library is loaded. */
void
jobs_launcher_init(void)
{
	BackgroundWorker worker;

	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	describe_worker(&worker, "jobs launcher", "jobs_launcher_main");
	worker.bgw_restart_time = RESTART_S;
	RegisterBackgroundWorker(&worker);
}

/* One that is there, takes connections, and is named in the setting or else no template. */
static bool
is_served(Form_pg_database database, List *names)
{
	ListCell   *cell;

	if (!database->datallowconn || database->datconnlimit == JOBS_DATCONNLIMIT_INVALID)
		return false;
	if (names == NIL)
		return !database->datistemplate;
	foreach(cell, names)
	{
		if (strcmp(lfirst(cell), NameStr(database->datname)) == 0)
			return true;
	}
	return false;
}

static Databases
read_databases(void)
{
	Databases	databases = {NIL, NIL};
	MemoryContext context = CurrentMemoryContext;
	List	   *names = NIL;
	Relation	catalog;
	TableScanDesc scan;
	HeapTuple	tuple;

	(void) SplitIdentifierString(pstrdup(jobs_worker_databases), ',', &names);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	catalog = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(catalog, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old = MemoryContextSwitchTo(context);

		databases.all = lappend_oid(databases.all, database->oid);
		if (is_served(database, names))
			databases.served = lappend_oid(databases.served, database->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(catalog, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return databases;
}

/* After a pass that has done what there was to do. */
static int64
wait_when_done(const JobsDatabase *database, int64 interval, int64 longest)
{
	int64		until_due = 0;

	if (database->more)
		return 0;
	if (database->noticed || database->idle == 0)
		return interval;
	if (database->next_due > database->ended)
		until_due = TimestampDifferenceMilliseconds(database->ended, database->next_due) + 1;
	return Min(Min(interval << Min(database->idle, MAX_DOUBLINGS), longest), Max(until_due, interval));
}

/* When the next pass is to begin, in ms after the last one. */
static int64
wait_after(const JobsDatabase *database)
{
	int64		interval = jobs_worker_interval;
	int64		longest = Max(jobs_worker_discovery_interval, interval);

	switch (database->outcome)
	{
		case JOBS_PASS_NONE:
			return 0;
		case JOBS_PASS_DONE:
			if (database->failures == 0)
				return wait_when_done(database, interval, longest);
			break;
		case JOBS_PASS_FAILED:
			break;
		case JOBS_PASS_STEPPED_ASIDE:
			return interval;
		default:
			return database->noticed ? interval : longest;
	}
	if (database->failures == 0 || database->resume != 0)
		return interval;
	return Min(interval << Min(database->failures, MAX_DOUBLINGS), longest);
}

static TimestampTz
due_at(const JobsDatabase *database, TimestampTz now)
{
	TimestampTz due = database->ended + wait_after(database) * 1000;

	/* The clock was put back. */
	return database->ended > now ? now : due;
}

static bool
is_running(Oid oid, const JobsDatabase *database)
{
	for (int i = 0; i < worker_count; i++)
	{
		if (workers[i].database == oid)
			return true;
	}
	/* Started by a launcher before this one. */
	return database->pid != 0;
}

/* A pass that did not come to its end has failed. */
static void
note_end(Oid oid)
{
	TimestampTz now = GetCurrentTimestamp();
	JobsDatabase *entry = jobs_database_lock(oid);

	if (entry == NULL)
		return;
	if (entry->launched)
	{
		entry->launched = false;
		entry->outcome = JOBS_PASS_FAILED;
		entry->ended = now;
		entry->failures++;
		entry->failed = true;
		entry->more = false;
	}
	jobs_database_unlock();
}

static void
note_ended_workers(void)
{
	for (int i = worker_count - 1; i >= 0; i--)
	{
		pid_t		pid;

		if (GetBackgroundWorkerPid(workers[i].handle, &pid) != BGWH_STOPPED)
			continue;
		note_end(workers[i].database);
		pfree(workers[i].handle);
		workers[i] = workers[--worker_count];
	}
}

/* False when the database has no place in shared memory. */
static bool
note_launch(Oid oid)
{
	JobsDatabase *entry = jobs_database_lock(oid);

	if (entry == NULL)
	{
		if (!said_no_room)
			ereport(LOG, (errmsg("background workers of jobs visit no more than %d databases", JOBS_MAX_DATABASES)));
		said_no_room = true;
		return false;
	}
	entry->launched = true;
	jobs_database_unlock();
	return true;
}

static void
note_no_launch(Oid oid)
{
	JobsDatabase *entry = jobs_database_lock(oid);

	if (entry != NULL)
	{
		entry->launched = false;
		jobs_database_unlock();
	}
	if (!said_no_slot)
		ereport(LOG,
				(errmsg("no background worker could be started for the maintenance of jobs"),
				 errdetail("All slots are taken; it will be tried again."),
				 errhint("You might need to increase max_worker_processes.")));
	said_no_slot = true;
}

/* False when there is no slot for it. */
static bool
launch(Oid oid)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	BackgroundWorker worker;
	bool		launched;

	describe_worker(&worker, "jobs worker", "jobs_worker_main");
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(oid);
	worker.bgw_notify_pid = MyProcPid;
	launched = RegisterDynamicBackgroundWorker(&worker, &workers[worker_count].handle);
	MemoryContextSwitchTo(old);
	if (!launched)
	{
		note_no_launch(oid);
		return false;
	}
	workers[worker_count++].database = oid;
	if (worker_count >= jobs_max_workers)
		said_no_slot = false;
	return true;
}

/* The database that has been due for longest, or will be due first; InvalidOid: none. */
static Oid
first_due(const List *served, TimestampTz now, TimestampTz *due)
{
	Oid			first = InvalidOid;
	ListCell   *cell;

	*due = DT_NOEND;
	foreach(cell, served)
	{
		JobsDatabase database = jobs_database_get(lfirst_oid(cell));
		TimestampTz its = due_at(&database, now);

		if (is_running(lfirst_oid(cell), &database) || its >= *due)
			continue;
		first = lfirst_oid(cell);
		*due = its;
	}
	return first;
}

/* Starts what is due; answers how many ms later to look again. */
static long
look(void)
{
	Databases	databases = read_databases();
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due = DT_NOEND;

	jobs_database_keep(databases.all);
	while (worker_count < Min(jobs_max_workers, JOBS_MAX_WORKERS))
	{
		Oid			first = first_due(databases.served, now, &due);

		if (!OidIsValid(first) || due > now)
			break;
		databases.served = list_delete_oid(databases.served, first);
		if (note_launch(first) && !launch(first))
			return jobs_worker_interval;
	}
	if (due <= now)
		return jobs_worker_interval;
	return Min(TimestampDifferenceMilliseconds(now, due) + 1, jobs_worker_interval);
}

/* Until there is something to look at. */
static void
wait_for(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (ms >= 0 ? WL_TIMEOUT : 0),
					 ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

void
jobs_launcher_main(Datum arg)
{
	MemoryContext context;

	/* As any background worker: the stock handlers, before signals come. */
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	jobs_worker_begin(JOBS_LAUNCHER);
	pgstat_report_appname("jobs launcher");
	context = AllocSetContextCreate(TopMemoryContext, "jobs launcher", ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		long		ms = -1;

		MemoryContextSwitchTo(context);
		note_ended_workers();
		if (jobs_worker)
			ms = look();
		pgstat_report_activity(STATE_IDLE, jobs_worker ? "waiting" : "off");
		pgstat_report_stat(false);
		MemoryContextReset(context);
		wait_for(ms);
	}
}

static const char *const outcome_names[] = {
	[JOBS_PASS_DONE] = "done",
	[JOBS_PASS_FAILED] = "failed",
	[JOBS_PASS_ABSENT] = "absent",
	[JOBS_PASS_OTHER_VERSION] = "other version",
	[JOBS_PASS_READ_ONLY] = "read only",
	[JOBS_PASS_STEPPED_ASIDE] = "stepped aside",
};

static void
put_status(ReturnSetInfo *rsinfo, const JobsDatabase *database)
{
	char	   *name = get_database_name(database->oid);
	bool		visited = database->outcome != JOBS_PASS_NONE;
	Datum		values[8];
	bool		nulls[8] = {0};

	/* The launcher's, or that of a database which was dropped a moment ago. */
	if (name == NULL)
		return;
	values[0] = CStringGetTextDatum(name);
	values[1] = Int32GetDatum(database->pid);
	nulls[1] = database->pid == 0;
	values[2] = visited ? CStringGetTextDatum(outcome_names[database->outcome]) : (Datum) 0;
	nulls[2] = !visited;
	values[3] = TimestampTzGetDatum(database->started);
	nulls[3] = database->started == 0;
	values[4] = TimestampTzGetDatum(database->ended);
	nulls[4] = database->ended == 0;
	values[5] = Int64GetDatum(database->passes);
	values[6] = Int64GetDatum(database->moved);
	values[7] = Int32GetDatum(database->failures);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* A row for each database that was visited; no storage is read. */
Datum
jobs_worker_status(PG_FUNCTION_ARGS)
{
	JobsDatabase *list;
	int			count = jobs_database_list(&list);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < count; i++)
		put_status((ReturnSetInfo *) fcinfo->resultinfo, &list[i]);
	PG_RETURN_NULL();
}
