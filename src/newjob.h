/*-------------------------------------------------------------------------
 *
 * newjob.h
 *		A job that is to be added: what job.c, which writes it, and resolve.c,
 *		which checks it, share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JOBS_NEWJOB_H
#define JOBS_NEWJOB_H

#include "jobs.h"

#include "utils/jsonb.h"

/* In the order of add_job's arguments and of the columns of expand_jobs. */
typedef enum JobArg
{
	ARG_FUNCTION,
	ARG_MODEL,
	ARG_PARAMETERS,
	ARG_TOOL_NAME,
	ARG_TOOL_VERSION,
	ARG_OPERATING_SYSTEM,
	ARG_FUNCTION_VERSION,
	ARG_ASSIGNED_AGENT,
	ARG_ASSIGNED_AGENT_POOL,
	ARG_AGENT,
	ARG_SOURCES,
	ARG_DESCRIPTION,
	ARG_DISPLAY_NAME,
	ARG_VERSION_NAME,
	ARG_EXTERNAL_IDENTIFIER,
	ARG_PRIORITY,
	ARG_RUN_AFTER,
	ARG_DEPENDS_ON,
	ARG_MAX_ATTEMPTS,
	ARG_IDEMPOTENCY_KEY,
	ARG_ON_DEPENDENCY_FAILURE,
	ARG_CONCURRENCY_KEY,
	ARG_BACKOFF,
	ARG_BACKOFF_BASE,
	ARG_BACKOFF_CAP
} JobArg;

#define JOB_ARGS (ARG_BACKOFF_CAP + 1)

typedef struct JobsNewJob
{
	Datum		values[JOB_ARGS];
	bool		nulls[JOB_ARGS];
	/* resolved */
	pg_uuid_t	id;				/* of the job that is there when existing */
	pg_uuid_t	function_id;
	int32		lane;
	bool		existing;
} JobsNewJob;

/* What is known from one job is remembered for the next of the batch. */
typedef struct ResolveMemo
{
	JobsNewJob *function;		/* last job whose function was resolved */
	JobsNewJob *lane;
	JobsNewJob *model;
	JobsNewJob *agent;
	JobsNewJob *pool;
} ResolveMemo;

/* What the jobs of a lane have in common. */
typedef struct JobsLaneKey
{
	const pg_uuid_t *function_id;
	int32		priority;
	const pg_uuid_t *agent_id;	/* assigned to, or NULL, as the next two */
	const pg_uuid_t *pool_id;
	text	   *concurrency_key;
} JobsLaneKey;

/* job.c */
extern JobsNewJob *jobs_read_new_job(Jsonb *object);
extern void jobs_add_new_job(JobsCall *call, JobsNewJob *job);

/* enqueue.c */
extern void jobs_hot_add(JobsCall *call, JobsNewJob **jobs, int count);

/* resolve.c */
extern bool jobs_is_dependent(const JobsNewJob *job);
extern bool jobs_ends_with_dependency(const JobsNewJob *job);
extern int32 jobs_lane(JobsCall *call, const JobsLaneKey *key);
extern const char *jobs_argument_name(JobArg arg);
extern text *jobs_text_value(const JobsNewJob *job, JobArg arg);
extern void jobs_resolve(JobsCall *call, JobsNewJob *job, ResolveMemo *memo);

#endif							/* JOBS_NEWJOB_H */
