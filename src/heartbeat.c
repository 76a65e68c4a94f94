/*-------------------------------------------------------------------------
 *
 * heartbeat.c
 *		Agents that say they are alive.
 *
 * A heartbeat moves lease.expires, which no index knows; check_at, which one
 * does, is moved by the sweep when it comes by. An agent that comes back in
 * time after its lease ran out gets its job back as it was.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(jobs_heartbeat);

static JobsStatement extend_all = {
	.sql = "UPDATE jobs_store.lease SET " EXTEND_LEASE("$3")
	" WHERE tenant = $1 AND agent_id = $2 RETURNING job_id, status",
	.types = "iuz",
	.expected = SPI_OK_UPDATE_RETURNING
};

static JobsStatement extend_some = {
	.sql = "UPDATE jobs_store.lease l SET " EXTEND_LEASE("$3")
	" FROM (SELECT DISTINCT u.id FROM unnest($4) u(id) ORDER BY u.id) n"
	" WHERE l.tenant = $1 AND l.agent_id = $2 AND l.job_id = n.id RETURNING l.job_id, l.status",
	.types = "iuzU",
	.expected = SPI_OK_UPDATE_RETURNING
};

static JobsStatement revive = {
	.sql = "WITH p AS (SELECT name FROM jobs_store.job_status WHERE tenant = $1 AND job_id = $3"
	" AND name <> 'UNKNOWN' ORDER BY ordinal DESC LIMIT 1),"
	" u AS (UPDATE jobs_store.lease l SET status = p.name, ordinal = l.ordinal + 1 FROM p"
	" WHERE l.tenant = $1 AND l.agent_id = $2 AND l.job_id = $3 AND l.status = 'UNKNOWN'"
	" RETURNING l.ordinal, l.attempt, l.status, clock_timestamp() AS now)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, agent_id, message)"
	" SELECT $1, $3, u.ordinal, u.now, u.attempt, u.status, $2,"
	" 'the agent sent a heartbeat after its lease had run out' FROM u",
	.types = "iuu",
	.expected = SPI_OK_INSERT,
	.writes_history = true
};

static JobsStatement notices = {
	.sql = "SELECT n.job_id, n.canceled FROM jobs_store.notice n WHERE n.tenant = $1 AND n.agent_id = $2"
	" AND NOT EXISTS (SELECT FROM jobs_store.lease l"
	" WHERE l.tenant = $1 AND l.agent_id = $2 AND l.job_id = n.job_id) ORDER BY n.job_id",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

/*
 * Asked for jobs, but not held: canceled or lost? Of a job that the agent never
 * had, it learns nothing.
 */
static JobsStatement missing = {
	.sql = "SELECT n.id, s.name IS NOT DISTINCT FROM 'CANCELED' AND EXISTS (SELECT FROM jobs_store.job_status h"
	" WHERE h.tenant = $1 AND h.job_id = n.id AND h.agent_id = $2) FROM (SELECT DISTINCT u.id FROM unnest($3) u(id)) n"
	" LEFT JOIN jobs_store.current_status s ON s.tenant = $1 AND s.job_id = n.id"
	" WHERE NOT EXISTS (SELECT FROM jobs_store.lease l"
	" WHERE l.tenant = $1 AND l.agent_id = $2 AND l.job_id = n.id) ORDER BY n.id",
	.types = "iuU",
	.expected = SPI_OK_SELECT
};

/* Appends the jobs that were canceled (or were not); answers how many. */
static int
list_jobs(StringInfo message, const JobsResult *dropped, bool canceled)
{
	int			count = 0;

	for (uint64 row = 0; row < dropped->count; row++)
	{
		if (DatumGetBool(jobs_column(dropped, row, 2, NULL)) != canceled)
			continue;
		if (count++ == 0)
			appendStringInfo(message, "%s%s:", message->len > 0 ? "; " : "", canceled ? "canceled" : "lost");
		appendStringInfo(message, " %s", jobs_uuid_text(DatumGetUUIDP(jobs_column(dropped, row, 1, NULL))));
	}
	return count;
}

static Datum
answer(JobsCall *call, uint64 extended, const JobsResult *dropped)
{
	StringInfoData message;
	int			canceled;
	int			lost;

	initStringInfo(&message);
	canceled = list_jobs(&message, dropped, true);
	lost = list_jobs(&message, dropped, false);
	if (canceled + lost == 0)
		appendStringInfo(&message, "%llu %s extended", (unsigned long long) extended,
						 extended == 1 ? "lease" : "leases");
	return jobs_no_op(call, lost > 0 ? "lost" : canceled > 0 ? "canceled" : "ok", message.data);
}

Datum
jobs_heartbeat(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	JobsResult	extended;
	JobsResult	dropped;
	TimestampTz now = GetCurrentTimestamp();
	pg_uuid_t  *agent_id;
	ArrayType  *jobs = PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1);
	Datum		result;

	jobs_arg_require(fcinfo, 0, "agent_id");
	agent_id = PG_GETARG_UUID_P(0);
	if (jobs != NULL)
		jobs_check_array(jobs, "job_ids", JOBS_MAX_BATCH);
	jobs_enter(fcinfo, &call);
	jobs_agent_require(&call, agent_id);
	if (jobs == NULL)
		extended = jobs_run(&extend_all, A_INT4(call.caller.tenant), A_PTR(agent_id), A_TIME(now));
	else
		extended = jobs_run(&extend_some, A_INT4(call.caller.tenant), A_PTR(agent_id), A_TIME(now),
							A_PTR(jobs));
	for (uint64 row = 0; row < extended.count; row++)
		if (DatumGetJobsStatus(jobs_column(&extended, row, 2, NULL)) == JOBS_UNKNOWN)
			jobs_run(&revive, A_INT4(call.caller.tenant), A_PTR(agent_id),
					 A_PTR(DatumGetUUIDP(jobs_column(&extended, row, 1, NULL))));
	if (jobs == NULL)
		dropped = jobs_run(&notices, A_INT4(call.caller.tenant), A_PTR(agent_id));
	else
		dropped = jobs_run(&missing, A_INT4(call.caller.tenant), A_PTR(agent_id), A_PTR(jobs));
	result = answer(&call, extended.count, &dropped);
	jobs_leave(&call);
	return result;
}
