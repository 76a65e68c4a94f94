/*-------------------------------------------------------------------------
 *
 * hot.h
 *		The short cut for claims and final reports; see hot.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JOBS_HOT_H
#define JOBS_HOT_H

#include "jobs.h"

/* What is wanted of one lane. */
typedef struct JobsTake
{
	int32		tenant;
	int32		lane;
	int64		from;			/* seq to start at */
	int64		near;			/* and up to where there should be enough */
	int64		bound;			/* and the last one that counts */
	int32		limit;
	bool		look_ahead;		/* is there one after these? */
	const pg_uuid_t *agent_id;
	int64		lease_ms;
	int64		check_ms;		/* until the sweep is to look at the lease */
	int16		permits;		/* that the lease has: a bit for each JobsLimitKind */
} JobsTake;

/* Where the oldest row of a lane, or the first permit of a limiter, is looked for. */
typedef struct JobsLook
{
	int32		lane;
	int64		from;			/* seq to start at */
	int64		near;			/* and up to where it should be */
	int64		head;			/* its seq; 0: there is none */
} JobsLook;

/* The columns of claim_jobs. */
enum
{
	JOBS_TAKEN_ID,
	JOBS_TAKEN_ATTEMPT,
	JOBS_TAKEN_FUNCTION,		/* id, name, version, tool, its version, operating system */
	JOBS_TAKEN_MODEL = JOBS_TAKEN_FUNCTION + 6,
	JOBS_TAKEN_PARAMETERS,
	JOBS_TAKEN_EXPIRES,
	JOBS_TAKEN_COLUMNS
};

typedef void JobsTakenRow(void *where, Datum *values, bool *nulls);

/* A row of the history. */
typedef struct JobsEntry
{
	pg_uuid_t	job_id;
	TimestampTz created;
	int32		ordinal;
	int32		attempt;
	JobsStatus	name;
	const pg_uuid_t *agent_id;
	const text *message;		/* NULL: none */
} JobsEntry;

/* What became of a report. */
typedef struct JobsEnded
{
	Datum		entry;			/* jobs.job_status; 0: it did not end its job */
	bool		dependents;		/* jobs wait for it */
} JobsEnded;

extern void jobs_function_columns(int32 tenant, const pg_uuid_t *id, TimestampTz now, Datum *values, bool *nulls);
extern void jobs_hot_look(int32 tenant, bool permits, JobsLook *looks, int count);
extern int	jobs_hot_take(const JobsTake *take, JobsTakenRow *row, void *where, int64 *last, int64 *next);
extern int32 jobs_hot_take_permits(int32 tenant, int32 limiter, int64 from, int64 near, int32 wanted, int64 *last);
extern bool jobs_hot_put_permits(int32 tenant, int32 limiter, int32 count, TimestampTz due);
extern int	jobs_hot_end(JobsCall *call, JobsReport **reports, int count, JobsEnded *ended);

#endif							/* JOBS_HOT_H */
