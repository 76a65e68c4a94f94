/*-------------------------------------------------------------------------
 *
 * worker.c
 *		A background worker: one maintenance pass over one database.
 *
 * The launcher starts it, it connects, sweeps every tenant (sweep.c) and is gone,
 * so that commands which want a database for themselves wait for one pass at
 * most. A pass is a series of short transactions, a tenant each. After PASS_MS
 * no further one begins, and the next pass goes on with the tenant after.
 *
 * Each transaction makes sure anew that the extension is there, and keeps it there
 * by a lock. While somebody is dropping it the worker steps aside.
 *
 * An error ends the pass. The next one goes on after the tenant that had it, so
 * that the others are served; launcher.c says when it comes.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "worker.h"

/* After this a pass begins nothing new. */
#define PASS_MS 1000

/* How often a pass sweeps a tenant that has more and more to do. */
#define TENANT_ROUNDS 20

/* Longest wait for a lock, in ms: a pass may fail, but must not stay. */
#define LOCK_WAIT 5000

typedef struct Pass
{
	TimestampTz started;
	int32		tenant;			/* the one being swept, or swept last */
	int			rounds;			/* sweeps of it in this pass */
	bool		again;			/* it has more to do */
	bool		more;			/* some tenant has more to do */
	bool		seldom;
	int64		moved;
	TimestampTz next_due;		/* of the tenants that have nothing more to do now */
} Pass;

/* What a database has of the extension. */
typedef struct Extension
{
	Oid			oid;
	Oid			owner;
	char	   *version;
} Extension;

static JobsStatement next_tenant = {
	.sql = "SELECT tenant FROM jobs_store.tenant WHERE tenant > $1 ORDER BY tenant LIMIT 1",
	.types = "i",
	.expected = SPI_OK_SELECT
};

/*
 * A session uses the extension: the launcher need not look whether it is there,
 * and may expect work. One byte, written without the lock when it is not set yet.
 * It may be lost, or noted for another database whose entry took the place of this
 * one's, which costs a pass, or the wait until the next.
 */
void
jobs_database_note_use(void)
{
	static JobsDatabase *mine = NULL;

	if (mine == NULL || mine->oid != MyDatabaseId)
	{
		mine = jobs_database_lock(MyDatabaseId);
		if (mine == NULL)
			return;
		jobs_database_unlock();
	}
	if (!mine->noticed)
		mine->noticed = true;
}

static bool
find_extension(Extension *extension)
{
	Relation	catalog = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("jobs"));
	scan = systable_beginscan(catalog, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		Form_pg_extension form = (Form_pg_extension) GETSTRUCT(tuple);
		bool		isnull;

		extension->oid = form->oid;
		extension->owner = form->extowner;
		extension->version = TextDatumGetCString(heap_getattr(tuple, Anum_pg_extension_extversion,
															  RelationGetDescr(catalog), &isnull));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return found;
}

/* DROP EXTENSION waits for the end of the transaction, unless it was first: then false. */
static bool
lock_extension(const Extension *extension)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, extension->oid, 0);
	return LockAcquire(&tag, AccessShareLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

static void
report_other_version(const Extension *extension)
{
	if (jobs_database_get(MyDatabaseId).outcome == JOBS_PASS_OTHER_VERSION)
		return;
	ereport(LOG,
			(errmsg("extension \"jobs\" in database \"%s\" has version %s, the library %s: no maintenance by background workers",
					get_database_name(MyDatabaseId), extension->version, JOBS_VERSION),
			 errhint("Run ALTER EXTENSION jobs UPDATE there.")));
}

/* Whether this transaction may sweep: JOBS_PASS_DONE, and the extension stays until its end. */
static JobsOutcome
open_extension(Extension *extension)
{
	if (!find_extension(extension))
		return JOBS_PASS_ABSENT;
	if (!lock_extension(extension))
		return JOBS_PASS_STEPPED_ASIDE;
	if (!find_extension(extension))
		return JOBS_PASS_ABSENT;
	if (strcmp(extension->version, JOBS_VERSION) != 0)
	{
		report_other_version(extension);
		return JOBS_PASS_OTHER_VERSION;
	}
	return XactReadOnly ? JOBS_PASS_READ_ONLY : JOBS_PASS_DONE;
}

/* Noted before it is swept: if that fails, the next pass goes on after it. */
static void
begin_tenant(Pass *pass, int32 tenant)
{
	JobsDatabase *entry = jobs_database_lock(MyDatabaseId);

	if (entry != NULL)
	{
		entry->resume = tenant;
		jobs_database_unlock();
	}
	pass->tenant = tenant;
	pass->rounds = 0;
}

/* False when there is no further tenant. */
static bool
sweep_next(JobsCall *call, Pass *pass)
{
	char		activity[64];
	uint64		moved;

	if (!pass->again)
	{
		JobsResult	found = jobs_run(&next_tenant, A_INT4(pass->tenant));

		if (found.count == 0)
			return false;
		begin_tenant(pass, DatumGetInt32(jobs_column(&found, 0, 1, NULL)));
	}
	snprintf(activity, sizeof(activity), "sweep of tenant %d", pass->tenant);
	pgstat_report_activity(STATE_RUNNING, activity);
	call->caller.tenant = pass->tenant;
	moved = jobs_sweep_tenant(call, pass->seldom && pass->rounds == 0, DT_NOBEGIN);
	pass->moved += moved;
	pass->again = moved > 0 && ++pass->rounds < TENANT_ROUNDS;
	pass->more |= moved > 0 && !pass->again;
	if (moved == 0)
		pass->next_due = Min(pass->next_due, jobs_sweep_next_due(call));
	return true;
}

/* One transaction; *finished when there is nothing left for this pass. */
static JobsOutcome
step(Pass *pass, bool *finished)
{
	Extension	extension;
	JobsCall	call;
	JobsOutcome outcome;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	outcome = open_extension(&extension);
	*finished = outcome != JOBS_PASS_DONE;
	if (outcome == JOBS_PASS_DONE)
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		jobs_enter_owner(&call, extension.owner);
		*finished = !sweep_next(&call, pass);
		jobs_leave(&call);
		PopActiveSnapshot();
	}
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	return outcome;
}

static void
describe_error(void *arg)
{
	Pass	   *pass = arg;

	if (pass->tenant > 0)
		errcontext("maintenance of tenant %d by a background worker of jobs", pass->tenant);
}

static Pass
begin_pass(void)
{
	Pass		pass = {.started = GetCurrentTimestamp(), .next_due = DT_NOEND};
	JobsDatabase *entry = jobs_database_lock(MyDatabaseId);

	if (entry == NULL)
		return pass;
	if (entry->resume == 0)
	{
		entry->with_seldom = jobs_sweep_seldom_due(&entry->seldom, pass.started);
		entry->next_due = DT_NOEND;
	}
	entry->started = pass.started;
	entry->idle = entry->noticed ? 0 : entry->idle + 1;
	entry->noticed = false;
	pass.tenant = entry->resume;
	pass.seldom = entry->with_seldom;
	jobs_database_unlock();
	return pass;
}

/* To_end: all tenants have been swept since the round began. */
static void
end_pass(const Pass *pass, JobsOutcome outcome, bool to_end)
{
	TimestampTz now = GetCurrentTimestamp();
	JobsDatabase *entry = jobs_database_lock(MyDatabaseId);

	if (entry == NULL)
		return;
	entry->launched = false;
	entry->outcome = outcome;
	entry->ended = now;
	entry->passes++;
	entry->moved += pass->moved;
	if (pass->moved > 0)
		entry->idle = 0;
	entry->next_due = Min(entry->next_due, pass->next_due);
	entry->more = outcome == JOBS_PASS_DONE && (pass->more || !to_end);
	if (to_end)
	{
		entry->resume = 0;
		if (!entry->failed)
			entry->failures = 0;
		entry->failed = false;
	}
	jobs_database_unlock();
}

static void
run_pass(void)
{
	Pass		pass = begin_pass();
	ErrorContextCallback callback = {.previous = error_context_stack, .callback = describe_error, .arg = &pass};
	JobsOutcome outcome;
	bool		finished = false;

	error_context_stack = &callback;
	do
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		outcome = step(&pass, &finished);
	} while (!finished && jobs_worker &&
			 !TimestampDifferenceExceeds(pass.started, GetCurrentTimestamp(), PASS_MS));
	error_context_stack = callback.previous;
	end_pass(&pass, outcome, finished);
}

static void
forget_pid(int code, Datum arg)
{
	JobsDatabase *entry = jobs_database_lock(DatumGetObjectId(arg));

	if (entry == NULL)
		return;
	if (entry->pid == MyProcPid)
		entry->pid = 0;
	jobs_database_unlock();
}

/* This process is the worker of the database, or the launcher: noted for as long as it lives. */
void
jobs_worker_begin(Oid database)
{
	JobsDatabase *entry = jobs_database_lock(database);

	if (entry == NULL)
		return;
	entry->pid = MyProcPid;
	jobs_database_unlock();
	before_shmem_exit(forget_pid, ObjectIdGetDatum(database));
}

/* Whatever database and role say: names mean ours, and nothing waits for long. */
static void
pin_settings(void)
{
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	if (LockTimeout == 0 || LockTimeout > LOCK_WAIT)
		SetConfigOption("lock_timeout", CppAsString2(LOCK_WAIT), PGC_SUSET, PGC_S_OVERRIDE);
}

void
jobs_worker_main(Datum arg)
{
	Oid			database = DatumGetObjectId(arg);

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	jobs_worker_begin(database);
	pgstat_report_appname("jobs worker");
	pin_settings();
	run_pass();
	proc_exit(0);
}
