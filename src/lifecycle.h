/*-------------------------------------------------------------------------
 *
 * lifecycle.h
 *		What lifecycle.c and batch.c share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JOBS_LIFECYCLE_H
#define JOBS_LIFECYCLE_H

#include "jobs.h"

/* A history row as callers see it. */
#define STATUS_ROW "ROW(jobs_store.status_id(job_id, ordinal, created), created, job_id, name, created_by_id, message, agent_id)::jobs.job_status"

/* Whether other jobs wait for the one that a statement has just ended. */
#define HAS_DEPENDENTS(job) \
	"EXISTS (SELECT FROM jobs_store.job_dependency p WHERE p.tenant = $1 AND p.depends_on = " job ")"

/* What became of a report. */
typedef enum JobsOutcome
{
	REPORTED,
	NO_SUCH_JOB,
	NOT_HELD,
	NOT_PERMITTED
} JobsOutcome;

/* lifecycle.c */
extern text *jobs_status_text(JobsStatus status);
extern void jobs_check_reportable(JobsStatus name);
extern JobsResult jobs_put_back(JobsCall *call, const pg_uuid_t *agent_id, const pg_uuid_t *job_id,
								const TimestampTz *run_after, text *message, int32 more_attempts,
								const pg_uuid_t *user_id);
extern JobsOutcome jobs_report_one(JobsCall *call, JobsReport *report, Datum *entry, JobsStatus *from);

#endif							/* JOBS_LIFECYCLE_H */
