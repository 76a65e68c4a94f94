/*-------------------------------------------------------------------------
 *
 * rows.h
 *		Rows of our own tables, read and written without a plan; see rows.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JOBS_ROWS_H
#define JOBS_ROWS_H

#include "jobs.h"

#include "access/genam.h"
#include "nodes/execnodes.h"

/* Rows inserted with one call. */
#define JOBS_WRITER_ROWS 64

/* Scan keys of a reader that is to be used with jobs_reader_seek. */
#define JOBS_SEEK_KEYS 4

/* Columns of the longest key that jobs_reader_find knows; a range needs one scan key more. */
#define JOBS_KEY_COLUMNS 3

typedef enum JobsTableId
{
	ROWS_READY,
	ROWS_LEASE,
	ROWS_STATUS,
	ROWS_JOB,
	ROWS_FUNCTION,
	ROWS_DEPENDENCY,
	ROWS_PERMIT,
	ROWS_LIMITER,
	ROWS_NEW_JOB,				/* this and the next are for adding jobs */
	ROWS_WAITING
} JobsTableId;

/* Places of columns in the tables that are written. */
enum
{
	READY_TENANT, READY_LANE, READY_SEQ, READY_JOB, READY_ORDINAL, READY_ATTEMPT, READY_MAX_ATTEMPTS, READY_COLUMNS
};
enum
{
	LEASE_AGENT, LEASE_JOB, LEASE_EXPIRES, LEASE_CHECK_AT, LEASE_MS, LEASE_TENANT, LEASE_LANE,
	LEASE_ORDINAL, LEASE_ATTEMPT, LEASE_MAX_ATTEMPTS, LEASE_PERMITS, LEASE_STATUS, LEASE_COLUMNS
};
enum
{
	STATUS_JOB, STATUS_CREATED, STATUS_TENANT, STATUS_ORDINAL, STATUS_ATTEMPT, STATUS_NAME,
	STATUS_AGENT, STATUS_CREATED_BY, STATUS_MESSAGE, STATUS_COLUMNS
};

enum
{
	PERMIT_TENANT, PERMIT_LIMITER, PERMIT_SEQ, PERMIT_DUE
};
enum
{
	NEW_ID, NEW_CREATED, NEW_TENANT, NEW_PRIORITY, NEW_MAX_ATTEMPTS, NEW_FIRST_STATUS, NEW_ARCHIVED,
	NEW_FUNCTION, NEW_CREATED_BY, NEW_MODEL, NEW_ASSIGNED_AGENT, NEW_ASSIGNED_AGENT_POOL, NEW_AGENT,
	NEW_RUN_AFTER, NEW_UPDATED, NEW_PARAMETERS, NEW_DESCRIPTION, NEW_DISPLAY_NAME, NEW_VERSION_NAME,
	NEW_EXTERNAL_IDENTIFIER, NEW_CONCURRENCY_KEY, NEW_ON_DEPENDENCY_FAILURE, NEW_BACKOFF,
	NEW_BACKOFF_BASE, NEW_BACKOFF_CAP, NEW_COLUMNS
};
enum
{
	WAITING_JOB, WAITING_CHECK_AT, WAITING_TENANT, WAITING_LANE, WAITING_ORDINAL, WAITING_ATTEMPT,
	WAITING_MAX_ATTEMPTS, WAITING_DEPENDENT, WAITING_BLOCKER, WAITING_COLUMNS
};

/* Of the tables that are only read, the places in the layouts of rows.c. */
enum
{
	JOB_FUNCTION, JOB_MODEL, JOB_PARAMETERS
};

/* Rows of one table, found by an index, or where they are said to be. */
typedef struct JobsReader
{
	Relation	table;
	LOCKMODE	lock;			/* of the table */
	Oid			index_id;
	int			key_count;
	Relation	index;			/* NULL until something is looked for, */
	IndexScanDesc scan;			/* as this is */
	IndexFetchTableData *fetch; /* NULL until one is fetched from its place */
	TupleTableSlot *slot;
	const AttrNumber *columns;	/* of those in the layout */
	int32		tenant;			/* of jobs_reader_seek, */
	int32		lane;
	int64		rest;			/* which goes on here; 0: it does not */
	ScanKeyData keys[JOBS_KEY_COLUMNS + 1]; /* of jobs_reader_find: the prefix first, */
	int			prefix;			/* of so many columns */
	bool		walking;		/* ids come in ascending order, */
	IndexTuple	entry;			/* and this is the next that may be asked for; NULL: not known */
	bool		ended;			/* there is none */
} JobsReader;

/* An index that rows go into as well. */
typedef struct JobsEntries
{
	Oid			index;
	Relation	relation;		/* NULL while no row belongs there */
	IndexInfo  *info;
} JobsEntries;

/* Rows on their way into a table. */
typedef struct JobsWriter
{
	Relation	table;
	JobsEntries *indexes;
	int			index_count;
	ResultRelInfo *info;		/* NULL: all indexes are simple; else the executor sees to them, */
	EState	   *estate;			/* with this */
	TupleTableSlot *slots[JOBS_WRITER_ROWS];
	int			used;
	ItemPointerData last;		/* where the last row is that was written */
} JobsWriter;

extern Oid	jobs_rows_entry_type;	/* jobs.job_status */
extern Oid	jobs_rows_ready_seq;	/* the sequence of ready jobs and permits */

extern bool jobs_rows_usable(void);
extern bool jobs_rows_addable(void);
extern void jobs_rows_begin(const char *command);
extern void jobs_rows_end(void);
extern bool jobs_rows_none(JobsTableId id);

extern void jobs_reader_open(JobsReader *reader, JobsTableId id, LOCKMODE lock, int keys);
extern void jobs_reader_close(JobsReader *reader);
extern void jobs_reader_scan(JobsReader *reader, ScanKey keys);
extern bool jobs_reader_next(JobsReader *reader);
extern Datum jobs_reader_column(JobsReader *reader, int place, bool *isnull);
extern Datum jobs_reader_not_null(JobsReader *reader, int place);
extern void jobs_reader_prefix(JobsReader *reader, int32 tenant, const pg_uuid_t *agent_id);
extern bool jobs_reader_find(JobsReader *reader, const pg_uuid_t *id);
extern bool jobs_reader_fetch(JobsReader *reader, const ItemPointerData *place);
extern bool jobs_reader_between(JobsReader *reader, const pg_uuid_t *first, const pg_uuid_t *last);
extern void jobs_reader_walk(JobsReader *reader, const pg_uuid_t *first, const pg_uuid_t *last);
extern void jobs_reader_seek(JobsReader *reader, int32 tenant, int32 lane, int64 from, int64 near);
extern bool jobs_reader_take(JobsReader *reader);

extern void jobs_writer_open(JobsWriter *writer, JobsTableId id);
extern TupleTableSlot *jobs_writer_row(JobsWriter *writer);
extern void jobs_writer_close(JobsWriter *writer);

#endif							/* JOBS_ROWS_H */
