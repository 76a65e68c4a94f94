/*-------------------------------------------------------------------------
 *
 * cache.c
 *		Files of this session that hold what was read of large revisions.
 *
 * Each cached revision has one temporary file, written block by block as the
 * blocks are read, in that order: a slot of the file for each block. The file
 * is the server's own kind, so the server removes it when the session ends, and
 * when it starts again after a crash.
 *
 * The digest of each block is kept in memory and compared on every hit. What
 * does not fit is a miss: it is read from the table again and replaced. Once all
 * blocks of a revision are here, the whole is compared with its token.
 *
 * The key is the id of the revision. Its content never changes, and the id of
 * one that was rolled back is never used again, so nothing has to be forgotten
 * when a transaction ends: such an entry is not asked for and grows old. Who may
 * read is settled before the cache is asked.
 *
 * The cache is never the reason for a read to fail: files are opened and
 * written in a subtransaction, and a revision whose file could not be written
 * (disk full, temp_file_limit) is dropped. In a parallel operation, where there
 * are no subtransactions, the cache is read and not written.
 *
 *-------------------------------------------------------------------------
 */
#include "content.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "funcapi.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/wait_event.h"

PG_FUNCTION_INFO_V1(jobs_cleanup_cache);
PG_FUNCTION_INFO_V1(jobs_get_cache_stats);

/*
 * Small enough that to verify one costs little when few bytes are wanted.
 * Divides JOBS_CHUNK.
 */
#define BLOCK			(32 * 1024)

/* Bounds the files, and with them the memory that goes with each. */
#define MAX_REVISIONS	128

#define NO_SLOT			(-1)
#define NO_FILE			(-1)

typedef struct CachedRevision
{
	dlist_node	node;
	pg_uuid_t	id;
	pg_uuid_t	resource_id;
	MemoryContext context;		/* this and what it points to */
	File		file;
	int64		size;			/* of the revision */
	int64		bytes;			/* in the file */
	int32		blocks;			/* of the revision */
	int32		used;			/* slots of the file */
	int32	   *slots;			/* of each block, or NO_SLOT */
	JobsDigest *digests;		/* of each slot */
	int32		room;			/* in digests */
	bool		verified;		/* the whole fits its token */
} CachedRevision;

/* All for the life of the session. */
static dlist_head revisions = DLIST_STATIC_INIT(revisions); /* last used first */
static struct
{
	int64		hits;
	int64		misses;
	int64		puts;
	int64		entries;
	int64		bytes;
}			stats;

/* Nothing is kept in it from call to call. */
static char scratch[BLOCK];

/*
 * What the cache may take. Its files count against temp_file_limit, of which it
 * leaves half to the queries of the session.
 */
static int64
cache_limit(void)
{
	int64		limit = (int64) jobs_cache_size_kb * 1024;

	if (temp_file_limit >= 0)
		limit = Min(limit, (int64) temp_file_limit * 1024 / 2);
	return limit;
}

static int64
block_length(const CachedRevision *cached, int32 block)
{
	return Min(BLOCK, cached->size - (int64) block * BLOCK);
}

static JobsDigest
digest(const char *bytes, size_t length)
{
	pg_cryptohash_ctx *context = jobs_digest_begin();

	jobs_digest_add(context, bytes, length);
	return jobs_digest_end(context);
}

static void
drop(CachedRevision *cached)
{
	File		file = cached->file;

	dlist_delete(&cached->node);
	stats.entries--;
	stats.bytes -= cached->bytes;
	MemoryContextDelete(cached->context);
	if (file != NO_FILE)
		FileClose(file);
}

static void
drop_oldest(void)
{
	drop(dlist_tail_element(CachedRevision, node, &revisions));
}

/* Makes room for so many bytes; that may take any revision. */
static void
make_room(int64 length)
{
	while (stats.entries > 0 && stats.bytes + length > cache_limit())
		drop_oldest();
}

static CachedRevision *
find(const pg_uuid_t *id)
{
	dlist_iter	iter;

	dlist_foreach(iter, &revisions)
	{
		CachedRevision *cached = dlist_container(CachedRevision, node, iter.cur);

		if (memcmp(&cached->id, id, UUID_LEN) == 0)
		{
			dlist_move_head(&revisions, &cached->node);
			return cached;
		}
	}
	return NULL;
}

/* May fail half way: then the entry is there without a file. */
static CachedRevision *
add(const JobsRevision *revision)
{
	MemoryContext context;
	CachedRevision *cached;

	if (stats.entries >= MAX_REVISIONS)
		drop_oldest();
	context = AllocSetContextCreate(TopMemoryContext, "jobs cached revision", ALLOCSET_SMALL_SIZES);
	cached = MemoryContextAllocZero(context, sizeof(CachedRevision));
	cached->context = context;
	cached->id = revision->id;
	cached->resource_id = revision->resource_id;
	cached->size = revision->size;
	cached->blocks = (revision->size + BLOCK - 1) / BLOCK;
	cached->file = NO_FILE;
	dlist_push_head(&revisions, &cached->node);
	stats.entries++;
	cached->slots = MemoryContextAlloc(context, sizeof(int32) * cached->blocks);
	for (int32 i = 0; i < cached->blocks; i++)
		cached->slots[i] = NO_SLOT;
	cached->room = 16;
	cached->digests = MemoryContextAlloc(context, sizeof(JobsDigest) * cached->room);
	cached->file = OpenTemporaryFile(true);
	return cached;
}

/* A block that is there already is replaced. False: it could not be written. */
static bool
store_block(CachedRevision *cached, int32 block, const char *bytes)
{
	int64		length = block_length(cached, block);
	bool		fresh = cached->slots[block] == NO_SLOT;
	int32		slot = fresh ? cached->used : cached->slots[block];
	JobsDigest	new_digest = digest(bytes, length);

	if (slot == cached->room)
	{
		cached->digests = repalloc(cached->digests, sizeof(JobsDigest) * cached->room * 2);
		cached->room *= 2;
	}
	if (FileWrite(cached->file, unconstify(char *, bytes), length, (off_t) slot * BLOCK,
				  WAIT_EVENT_BUFFILE_WRITE) != length)
		return false;
	cached->digests[slot] = new_digest;
	stats.puts++;
	if (fresh)
	{
		cached->slots[block] = slot;
		cached->used++;
		cached->bytes += length;
		stats.bytes += length;
	}
	return true;
}

static bool
store(const JobsRevision *revision, int32 block, const char *bytes, int64 length)
{
	for (int64 done = 0; done < length; done += BLOCK, block++)
	{
		CachedRevision *cached;

		make_room(BLOCK);
		if (BLOCK > cache_limit())
			return true;
		cached = find(&revision->id);
		if (cached == NULL)
			cached = add(revision);
		if (!store_block(cached, block, bytes + done))
			return false;
	}
	return true;
}

/* The bytes of a block into scratch, if they are there. */
static bool
read_block(CachedRevision *cached, int32 block)
{
	int64		length = block_length(cached, block);
	int32		slot = cached->slots[block];

	return slot != NO_SLOT &&
		FileRead(cached->file, scratch, length, (off_t) slot * BLOCK, WAIT_EVENT_BUFFILE_READ) == length;
}

/* And if they are intact. */
static bool
load_block(CachedRevision *cached, int32 block)
{
	JobsDigest	found;

	if (!read_block(cached, block))
		return false;
	found = digest(scratch, block_length(cached, block));
	return memcmp(&found, &cached->digests[cached->slots[block]], sizeof(found)) == 0;
}

/*
 * Whether a read of length bytes of a revision goes through the cache: the
 * revision takes more than one row of the table, and the read does not push out
 * its own beginning.
 */
bool
jobs_cache_wants(const JobsRevision *revision, int64 length)
{
	make_room(0);
	return revision->size > JOBS_CHUNK && length <= cache_limit();
}

/* What one block has of the bytes from offset on; 0 for a miss. */
int64
jobs_cache_get(const JobsRevision *revision, int64 offset, int64 length, char *into)
{
	CachedRevision *cached = find(&revision->id);
	int32		block = offset / BLOCK;
	int32		from = offset % BLOCK;

	if (cached == NULL || !load_block(cached, block))
		return 0;
	stats.hits++;
	length = Min(length, block_length(cached, block) - from);
	memcpy(into, scratch + from, length);
	return length;
}

/*
 * Widens [*start, *end), whose start is a miss, to blocks; cuts it off where
 * one is cached.
 */
void
jobs_cache_gap(const JobsRevision *revision, int64 *start, int64 *end)
{
	CachedRevision *cached = find(&revision->id);
	int64		stop;

	*start -= *start % BLOCK;
	stop = *start + BLOCK;
	while (stop < *end && (cached == NULL || cached->slots[stop / BLOCK] == NO_SLOT))
		stop += BLOCK;
	*end = Min(stop, revision->size);
}

/* Takes in whole blocks that were missed. */
void
jobs_cache_put(const JobsRevision *revision, int64 offset, const char *bytes, int64 length)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool stored = false;
	CachedRevision *cached;

	stats.misses += (length + BLOCK - 1) / BLOCK;
	if (IsInParallelMode())
		return;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		stored = store(revision, offset / BLOCK, bytes, length);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
		elog(DEBUG1, "could not write to the cache: %s", error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	if (!stored && (cached = find(&revision->id)) != NULL)
		drop(cached);
}

static bool
all_blocks_intact(CachedRevision *cached)
{
	for (int32 block = 0; block < cached->blocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!load_block(cached, block))
			return false;
	}
	return true;
}

/*
 * Compares a revision that is here as a whole with its token, once. If the
 * difference is not one of the file, which the next read repairs, then the table
 * is not what it was.
 */
void
jobs_cache_verify(const JobsRevision *revision)
{
	CachedRevision *cached = find(&revision->id);
	pg_cryptohash_ctx *context;

	if (cached == NULL || cached->verified || cached->used < cached->blocks)
		return;
	context = jobs_digest_begin();
	for (int32 block = 0; block < cached->blocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!read_block(cached, block))
			break;
		jobs_digest_add(context, scratch, block_length(cached, block));
	}
	cached->verified = strcmp(jobs_token_sha(context, &revision->resource_id), revision->sha) == 0;
	if (cached->verified || !all_blocks_intact(cached))
		return;
	drop(cached);
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("content of revision %s does not fit its token", jobs_uuid_text(&revision->id)),
			 errhint("With jobs.cache_size = 0 it is read as it is.")));
}

Datum
jobs_cleanup_cache(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *resource_id = jobs_arg_uuid(fcinfo, 0);
	JobsCall	call;
	dlist_mutable_iter iter;
	int32		removed = 0;

	jobs_enter(fcinfo, &call);
	if (resource_id != NULL)
		jobs_access_require(&call, resource_id, JOBS_VIEWER, "read");
	dlist_foreach_modify(iter, &revisions)
	{
		CachedRevision *cached = dlist_container(CachedRevision, node, iter.cur);

		if (resource_id != NULL && memcmp(&cached->resource_id, resource_id, UUID_LEN) != 0)
			continue;
		drop(cached);
		removed++;
	}
	jobs_leave(&call);
	PG_RETURN_INT32(removed);
}

Datum
jobs_get_cache_stats(PG_FUNCTION_ARGS)
{
	Datum		values[] = {
		Int64GetDatum(stats.hits), Int64GetDatum(stats.misses), Int64GetDatum(stats.puts),
		Int64GetDatum(stats.entries), Int64GetDatum(stats.bytes)
	};
	bool		nulls[lengthof(values)] = {false};
	JobsCall	call;
	TupleDesc	row;

	jobs_enter(fcinfo, &call);
	jobs_leave(&call);
	if (get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row), values, nulls)));
}
