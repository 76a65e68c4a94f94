/*-------------------------------------------------------------------------
 *
 * session.c
 *		What a session may remember from one call to the next.
 *
 * Who is calling, which agent is whose, which lanes an agent serves and where
 * their work starts is asked by every call and hardly ever changes. Answers are
 * remembered under three rules, which make the memory a matter of speed only:
 *
 * - It is filled and used only on a primary, while the transaction has written
 *	 nothing and takes a new snapshot for each statement. So it never holds what the
 *	 transaction itself did and may undo, nor what an old snapshot sees.
 * - Except for marks, which have rules of their own (lane.c), it is forgotten when
 *	 something changes that it is about: at once in the session that does it, and
 *	 in the others within MEMORY_MS of its commit. They hear of it by an invalidation
 *	 of a table that is there for nothing else (jobs_store.news), or of a role. What
 *	 happens unannounced (somebody edits the tables) they see after UNHEARD_MS.
 * - All of it is forgotten when the table of ready jobs is not the one it was
 *	 made for: DROP and CREATE EXTENSION, TRUNCATE, a restore.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#define MEMORY_MS 50
#define UNHEARD_MS 1000

/* The storage that the memory is about. */
static Oid	ready_table = InvalidOid;
static Oid	ready_file = InvalidOid;
static bool look_again = true;

/* The table that announces changes, and how many this session has heard of. */
static Oid	news_table = InvalidOid;
static uint64 news = 1;

/* Counted up when something is forgotten; never 0. */
static uint64 storage_epoch = 1;
static uint64 answer_epoch = 1;
static uint64 guess_epoch = 1;

/* Only notes that something changed: a callback may not look at catalogs. */
static void
relation_changed(Datum arg, Oid relation)
{
	if (relation == InvalidOid || relation == ready_table)
		look_again = true;
	if (relation == InvalidOid || relation == news_table)
		news++;
}

static void
role_changed(Datum arg, int cache, uint32 hash)
{
	news++;
}

/*
 * What was guessed about lanes (that one is empty, or about where its oldest job
 * is) is void: this session made jobs ready, or rolled something back.
 */
void
jobs_void_guesses(void)
{
	guess_epoch++;
}

static void
transaction_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		jobs_void_guesses();
}

static void
subtransaction_ended(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		jobs_void_guesses();
}

/* Once, when the library is loaded. */
void
jobs_session_init(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, role_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, role_changed, (Datum) 0);
	RegisterXactCallback(transaction_ended, NULL);
	RegisterSubXactCallback(subtransaction_ended, NULL);
}

/* Changes whenever guesses about lanes are void. */
uint64
jobs_guess_epoch(void)
{
	return guess_epoch;
}

static Oid
relation_file(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid			file;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	file = ((Form_pg_class) GETSTRUCT(tuple))->relfilenode;
	ReleaseSysCache(tuple);
	return file;
}

static void
check_storage(void)
{
	Oid			schema;
	Oid			table;
	Oid			file;

	if (!look_again)
		return;
	schema = get_namespace_oid("jobs_store", true);
	table = OidIsValid(schema) ? get_relname_relid("ready", schema) : InvalidOid;
	file = OidIsValid(table) ? relation_file(table) : InvalidOid;
	news_table = OidIsValid(schema) ? get_relname_relid("news", schema) : InvalidOid;
	if (table != ready_table || file != ready_file)
	{
		ready_table = table;
		ready_file = file;
		storage_epoch++;
		answer_epoch++;
	}
	look_again = false;
}

/* Memory made in another epoch than this is void. */
uint64
jobs_storage_epoch(void)
{
	check_storage();
	return storage_epoch;
}

/* File of the table of ready jobs: names it as long as its rows are the same. */
Oid
jobs_ready_file(void)
{
	check_storage();
	return ready_file;
}

/* This session is about to change what answers are about; others hear of it at commit. */
void
jobs_forget_answers(void)
{
	answer_epoch++;
	check_storage();
	if (OidIsValid(news_table))
		CacheInvalidateRelcacheByRelid(news_table);
}

/* Whether the transaction is such that memory may be filled and used. */
bool
jobs_may_remember(void)
{
	return !TransactionIdIsValid(GetTopTransactionIdIfAny()) && !IsolationUsesXactSnapshot() &&
		!RecoveryInProgress();
}

/* The stamp of an answer that is about to be asked for. */
JobsStamp
jobs_stamp(TimestampTz now)
{
	JobsStamp	stamp = {0};

	check_storage();
	if (jobs_may_remember())
	{
		stamp.epoch = answer_epoch;
		stamp.news = news;
		stamp.at = now;
	}
	return stamp;
}

/* Whether an answer with this stamp still holds. */
bool
jobs_stamp_holds(const JobsStamp *stamp, TimestampTz now)
{
	check_storage();
	return stamp->epoch == answer_epoch && jobs_may_remember() && now >= stamp->at &&
		now - stamp->at < (stamp->news == news ? UNHEARD_MS : MEMORY_MS) * 1000;
}
