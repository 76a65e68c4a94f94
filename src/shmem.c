/*-------------------------------------------------------------------------
 *
 * shmem.c
 *		Marks that all sessions share, when the library is preloaded.
 *
 * A hint and nothing else: the tables are the truth, and every session has
 * marks of its own (lane.c, which says what makes a mark safe; nothing in that
 * depends on which session found it). Sharing them spares a new session the
 * walk over what the others have claimed. Without preloading sessions keep to
 * their own.
 *
 * Locks: the LWLock of the table covers which entries there are; the spinlock of
 * an entry covers its values. Nothing is called under the spinlock.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"

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

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void
request(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(hash_estimate_size(SHARED_LANES, sizeof(SharedMark)));
	RequestNamedLWLockTranche("jobs marks", 1);
}

static void
startup(void)
{
	HASHCTL		info = {.keysize = sizeof(SharedKey), .entrysize = sizeof(SharedMark)};

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	marks = ShmemInitHash("jobs marks", SHARED_LANES, SHARED_LANES, &info,
						  HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	lock = &GetNamedLWLockTranche("jobs marks")->lock;
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
