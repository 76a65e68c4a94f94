/*-------------------------------------------------------------------------
 *
 * content.h
 *		What content.c, cache.c and artifact.c share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JOBS_CONTENT_H
#define JOBS_CONTENT_H

#include "jobs.h"

#include "common/cryptohash.h"
#include "common/sha2.h"

/* Content is stored in rows of this many bytes. */
#define JOBS_CHUNK			(1024 * 1024)

#define JOBS_SALT_LENGTH	(2 * UUID_LEN)

/* Properties of a file; those that are NULL are not given. */
typedef struct JobsProperties
{
	text	   *name;
	text	   *mime;
	text	   *description;
	text	   *display_name;
	text	   *version_name;
	text	   *external_identifier;
} JobsProperties;

/* A revision that has rows of content. */
typedef struct JobsRevision
{
	pg_uuid_t	id;
	pg_uuid_t	resource_id;
	int64		size;
	const char *sha;			/* hexadecimal, of content and salt */
} JobsRevision;

typedef struct JobsDigest
{
	uint8		bytes[PG_SHA384_DIGEST_LENGTH];
} JobsDigest;

/* content.c */
extern void jobs_read_properties(FunctionCallInfo fcinfo, int mime, int description, JobsProperties *p);
extern pg_uuid_t jobs_write_revision(JobsCall *call, const pg_uuid_t *resource_id, const char *resource_type,
									 const bytea *content, const JobsProperties *p);
extern pg_cryptohash_ctx *jobs_digest_begin(void);
extern void jobs_digest_add(pg_cryptohash_ctx *context, const void *bytes, size_t length);
extern JobsDigest jobs_digest_end(pg_cryptohash_ctx *context);
extern char *jobs_token_sha(pg_cryptohash_ctx *context, const pg_uuid_t *resource_id);

/* cache.c */
extern bool jobs_cache_wants(const JobsRevision *revision, int64 length);
extern int64 jobs_cache_get(const JobsRevision *revision, int64 offset, int64 length, char *into);
extern void jobs_cache_gap(const JobsRevision *revision, int64 *start, int64 *end);
extern void jobs_cache_put(const JobsRevision *revision, int64 offset, const char *bytes, int64 length);
extern void jobs_cache_verify(const JobsRevision *revision);

#endif							/* JOBS_CONTENT_H */
