/*-------------------------------------------------------------------------
 *
 * error.c
 *		Our SQLSTATEs (see jobs.h) and the reports that several files share.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "utils/builtins.h"

char *
jobs_uuid_text(const pg_uuid_t *id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}

/* Not there, or not the caller's to see: the two must look the same. */
void
jobs_error_not_found(const char *kind, const pg_uuid_t *id)
{
	ereport(ERROR,
			(errcode(ERRCODE_JOBS_NOT_FOUND),
			 errmsg("%s %s not found", kind, jobs_uuid_text(id)),
			 errhint("Check the id, and that the calling role may see the %s.", kind)));
}

void
jobs_error_not_allowed(const char *action, const char *kind, const pg_uuid_t *id)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("not allowed to %s %s %s", action, kind, jobs_uuid_text(id)),
			 errhint("Ask its owner or an administrator of the tenant.")));
}

/* attempt 0: the agent did not say which it has */
void
jobs_error_lease_lost(const pg_uuid_t *job_id, const pg_uuid_t *agent_id, int32 attempt)
{
	ereport(ERROR,
			(errcode(ERRCODE_JOBS_LEASE_LOST),
			 errmsg("agent %s does not hold %sjob %s", jobs_uuid_text(agent_id),
					attempt == 0 ? "" : psprintf("attempt %d of ", attempt),
					jobs_uuid_text(job_id)),
			 errhint("Stop working on that: it was canceled, has ended, or was handed out again.")));
}

/* reported: by an agent, which may not set all statuses */
void
jobs_error_transition(const pg_uuid_t *job_id, int from, JobsStatus to, bool reported)
{
	ereport(ERROR,
			(errcode(ERRCODE_JOBS_WRONG_STATE),
			 errmsg("job %s cannot go from %s to %s", jobs_uuid_text(job_id),
					from == JOBS_NO_STATUS ? "(none)" : jobs_status_label(from),
					jobs_status_label(to)),
			 errhint("Allowed from there: %s.", jobs_status_next_list(from, reported))));
}

void
jobs_error_concurrent(const char *action, const pg_uuid_t *job_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not %s job %s because it changes concurrently", action,
					jobs_uuid_text(job_id)),
			 errhint("The transaction might succeed if retried.")));
}
