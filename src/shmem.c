/*-------------------------------------------------------------------------
 *
 * shmem.c
 *		What all sessions share, when the library is preloaded: marks, and what
 *		is known of the databases.
 *
 * Hints and nothing else: the tables are the truth, and every session has
 * marks of its own (lane.c, which says what makes a mark safe; nothing in that
 * depends on which session found it). Sharing them spares a new session the
 * walk over what the others have claimed. Without preloading sessions keep to
 * their own. What is known of a database tells the launcher when to send the
 * next worker there.
 *
 * Locks: the LWLock of each table covers which entries there are, and the one of
 * databases also what is in them; the spinlock of a mark covers its values.
 * Nothing is called under the spinlock.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#include "worker.h"

/* Lanes that can be shared; when more come, all are forgotten. */
#define SHARED_LANES 16384

/* A lane of one table of ready jobs: another table, other marks. */
typedef struct SharedKey
{
	Oid			database;
	Oid			file;			/* of the table */
	int32		tenant;
	int32		lane;
} SharedKey;

typedef struct SharedMark
{
	SharedKey	key;
	slock_t		mutex;			/* covers the two below */
	int64		mark;
	int64		safe;
} SharedMark;

/* NULL unless preloaded. */
static HTAB *marks = NULL;
static LWLock *lock = NULL;
static HTAB *databases = NULL;
static LWLock *databases_lock = NULL;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void
request(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(hash_estimate_size(SHARED_LANES, sizeof(SharedMark)));
	RequestNamedLWLockTranche("jobs marks", 1);
	RequestAddinShmemSpace(hash_estimate_size(JOBS_MAX_DATABASES, sizeof(JobsDatabase)));
	RequestNamedLWLockTranche("jobs databases", 1);
}

static void
startup(void)
{
	HASHCTL		info = {.keysize = sizeof(SharedKey), .entrysize = sizeof(SharedMark)};
	HASHCTL		database_info = {.keysize = sizeof(Oid), .entrysize = sizeof(JobsDatabase)};

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	marks = ShmemInitHash("jobs marks", SHARED_LANES, SHARED_LANES, &info,
						  HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	lock = &GetNamedLWLockTranche("jobs marks")->lock;
	databases = ShmemInitHash("jobs databases", JOBS_MAX_DATABASES, JOBS_MAX_DATABASES, &database_info,
							  HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	databases_lock = &GetNamedLWLockTranche("jobs databases")->lock;
	LWLockRelease(AddinShmemInitLock);
}

void
jobs_shmem_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup;
}

static SharedKey
shared_key(Oid file, int32 tenant, int32 lane)
{
	SharedKey	key;

	memset(&key, 0, sizeof(key));
	key.database = MyDatabaseId;
	key.file = file;
	key.tenant = tenant;
	key.lane = lane;
	return key;
}

/* What the others know; false when nothing. */
bool
jobs_shared_mark_get(Oid file, int32 tenant, int32 lane, int64 *mark, int64 *safe)
{
	SharedKey	key = shared_key(file, tenant, lane);
	SharedMark *entry;

	if (marks == NULL)
		return false;
	LWLockAcquire(lock, LW_SHARED);
	entry = hash_search(marks, &key, HASH_FIND, NULL);
	if (entry != NULL)
	{
		SpinLockAcquire(&entry->mutex);
		*mark = entry->mark;
		*safe = entry->safe;
		SpinLockRelease(&entry->mutex);
	}
	LWLockRelease(lock);
	return entry != NULL;
}

/* Under the exclusive lock. A full table starts over: hints may be lost. */
static SharedMark *
enter(const SharedKey *key)
{
	HASH_SEQ_STATUS scan;
	SharedMark *entry;
	bool		found;

	entry = hash_search(marks, key, HASH_ENTER_NULL, &found);
	if (entry == NULL)
	{
		hash_seq_init(&scan, marks);
		while ((entry = hash_seq_search(&scan)) != NULL)
			hash_search(marks, &entry->key, HASH_REMOVE, NULL);
		entry = hash_search(marks, key, HASH_ENTER_NULL, &found);
	}
	if (entry != NULL && !found)
	{
		SpinLockInit(&entry->mutex);
		entry->mark = 0;
		entry->safe = 0;
	}
	return entry;
}

/*
 * Tells the others. safe only grows; the mark may go back, when a sweep has found
 * a job behind it.
 */
void
jobs_shared_mark_set(Oid file, int32 tenant, int32 lane, int64 mark, int64 safe, bool back)
{
	SharedKey	key = shared_key(file, tenant, lane);
	SharedMark *entry;

	if (marks == NULL)
		return;
	LWLockAcquire(lock, LW_SHARED);
	entry = hash_search(marks, &key, HASH_FIND, NULL);
	if (entry == NULL)
	{
		LWLockRelease(lock);
		LWLockAcquire(lock, LW_EXCLUSIVE);
		entry = enter(&key);
	}
	if (entry != NULL)
	{
		SpinLockAcquire(&entry->mutex);
		entry->safe = Max(entry->safe, safe);
		entry->mark = back ? mark : Max(entry->mark, mark);
		SpinLockRelease(&entry->mutex);
	}
	LWLockRelease(lock);
}

/*
 * What is known of a database, made when there is nothing yet, for a few
 * assignments: locked until jobs_database_unlock. NULL, and then not locked, when
 * not preloaded or when there is no room for another database.
 */
JobsDatabase *
jobs_database_lock(Oid oid)
{
	JobsDatabase *entry;
	bool		found;

	if (databases == NULL)
		return NULL;
	LWLockAcquire(databases_lock, LW_EXCLUSIVE);
	entry = hash_search(databases, &oid, HASH_ENTER_NULL, &found);
	if (entry == NULL)
		LWLockRelease(databases_lock);
	else if (!found)
		memset((char *) entry + sizeof(Oid), 0, sizeof(JobsDatabase) - sizeof(Oid));
	return entry;
}

void
jobs_database_unlock(void)
{
	LWLockRelease(databases_lock);
}

/* A copy of what is known; zeros when nothing is. */
JobsDatabase
jobs_database_get(Oid oid)
{
	JobsDatabase copy = {0};
	JobsDatabase *entry;

	if (databases == NULL)
		return copy;
	LWLockAcquire(databases_lock, LW_SHARED);
	entry = hash_search(databases, &oid, HASH_FIND, NULL);
	if (entry != NULL)
		copy = *entry;
	LWLockRelease(databases_lock);
	return copy;
}

/* Copies of all that is known of databases, in memory of the caller; answers of how many. */
int
jobs_database_list(JobsDatabase **list)
{
	HASH_SEQ_STATUS scan;
	JobsDatabase *entry;
	int			count = 0;

	*list = NULL;
	if (databases == NULL)
		return 0;
	*list = palloc(sizeof(JobsDatabase) * JOBS_MAX_DATABASES);
	LWLockAcquire(databases_lock, LW_SHARED);
	hash_seq_init(&scan, databases);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (count == JOBS_MAX_DATABASES)
		{
			hash_seq_term(&scan);
			break;
		}
		(*list)[count++] = *entry;
	}
	LWLockRelease(databases_lock);
	return count;
}

/* Forgets databases that are not in the list. */
void
jobs_database_keep(const List *existing)
{
	HASH_SEQ_STATUS scan;
	JobsDatabase *entry;

	if (databases == NULL)
		return;
	LWLockAcquire(databases_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, databases);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->oid != JOBS_LAUNCHER && entry->pid == 0 && !list_member_oid(existing, entry->oid))
			hash_search(databases, &entry->oid, HASH_REMOVE, NULL);
	}
	LWLockRelease(databases_lock);
}
