/*-------------------------------------------------------------------------
 *
 * compat.h
 *		The only file that knows server versions.
 *
 * jobs.h includes it before any other header but postgres.h, so that a server that
 * is too old is refused for what it is.
 *
 * 15, 17 and 18 are built and tested (make test-versions). 16 is not, because no
 * release of Debian has it: what compiles unchanged on 15 and on 17 is taken to
 * compile on 16, and where those two differ, it is said below which side 16 is on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JOBS_COMPAT_H
#define JOBS_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "jobs needs PostgreSQL 15 or later"
#endif

/* Since 18 it stands before the declaration. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/* 18 wants the extension's name and version in the magic block. */
#if PG_VERSION_NUM >= 180000
#define JOBS_MODULE_MAGIC \
	PG_MODULE_MAGIC_EXT(.name = "jobs", .version = JOBS_VERSION)
#else
#define JOBS_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/*
 * Since 18 a scan may be counted; since 16 an insert may be for summarizing
 * indexes only.
 */
#if PG_VERSION_NUM >= 180000
#define JOBS_INDEX_BEGINSCAN(table, index, snapshot, keys) \
	index_beginscan((table), (index), (snapshot), NULL, (keys), 0)
#else
#define JOBS_INDEX_BEGINSCAN(table, index, snapshot, keys) \
	index_beginscan((table), (index), (snapshot), (keys), 0)
#endif
#if PG_VERSION_NUM >= 160000
#define JOBS_INSERT_INDEX_TUPLES(info, slot, estate) \
	ExecInsertIndexTuples((info), (slot), (estate), false, false, NULL, NIL, false)
#else
#define JOBS_INSERT_INDEX_TUPLES(info, slot, estate) \
	ExecInsertIndexTuples((info), (slot), (estate), false, false, NULL, NIL)
#endif

/* Connection limit of a database whose removal was interrupted; not all minor releases have a name for it. */
#define JOBS_DATCONNLIMIT_INVALID (-2)

/*
 * The JSON parser: actions answer from 16 on; the lexer may be given a place from
 * 17 on.
 */
#if PG_VERSION_NUM >= 170000
#define JOBS_JSON_LEXER(json) makeJsonLexContext(NULL, (json), true)
#else
#define JOBS_JSON_LEXER(json) makeJsonLexContext((json), true)
#endif
#if PG_VERSION_NUM >= 160000
#define JOBS_JSON_ACTION JsonParseErrorType
#define JOBS_JSON_GO_ON return JSON_SUCCESS
#else
#define JOBS_JSON_ACTION void
#define JOBS_JSON_GO_ON return
#endif

#endif							/* JOBS_COMPAT_H */
