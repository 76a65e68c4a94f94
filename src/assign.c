/*-------------------------------------------------------------------------
 *
 * assign.c
 *		Another agent for a job that nobody has yet.
 *
 * Which agent a job is for is a matter of its lane, so the job moves to another
 * one, and is the last there: the place in a lane is drawn when a job enters it
 * (lane.c relies on that). Its status stays, and so does its history.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "newjob.h"

PG_FUNCTION_INFO_V1(jobs_update_job_agent);

static JobsStatement find_agent = {
	.sql = "SELECT 1 FROM jobs_store.agent WHERE tenant = $1 AND id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

/* Who retries the job reads from here which lane it belongs to, and comes before or after us. */
static JobsStatement set_agent = {
	.sql = "UPDATE jobs_store.job SET assigned_agent_id = $3, assigned_agent_pool_id = NULL"
	" WHERE tenant = $1 AND id = $2 RETURNING function_id, priority, concurrency_key",
	.types = "iuu",
	.expected = SPI_OK_UPDATE_RETURNING
};

static JobsStatement move_ready = {
	.sql = "WITH r AS (DELETE FROM jobs_store.ready WHERE tenant = $1 AND job_id = $2"
	" RETURNING ordinal, attempt, max_attempts)"
	" INSERT INTO jobs_store.ready (tenant, lane, job_id, ordinal, attempt, max_attempts)"
	" SELECT $1, $3, $2, r.ordinal, r.attempt, r.max_attempts FROM r",
	.types = "iui",
	.expected = SPI_OK_INSERT
};

static JobsStatement move_waiting = {
	.sql = "UPDATE jobs_store.waiting SET lane = $3 WHERE tenant = $1 AND job_id = $2",
	.types = "iui",
	.expected = SPI_OK_UPDATE
};

/*
 * Into another lane, or JB409. A claim or sweep that commits meanwhile moves the job
 * to another table; so it is looked for again until it was caught.
 */
static void
move(JobsCall *call, const pg_uuid_t *job_id, int32 lane)
{
	for (int i = 0; i < JOBS_MAX_CHASE; i++)
	{
		JobsStatus	status;

		CHECK_FOR_INTERRUPTS();
		if (jobs_run(&move_ready, A_INT4(call->caller.tenant), A_PTR(job_id), A_INT4(lane)).count > 0 ||
			jobs_run(&move_waiting, A_INT4(call->caller.tenant), A_PTR(job_id), A_INT4(lane)).count > 0)
			return;
		if (!jobs_current_status(call, job_id, &status))
			jobs_error_not_found("job", job_id);
		if (status != JOBS_PENDING && status != JOBS_CREATED)
			ereport(ERROR,
					(errcode(ERRCODE_JOBS_WRONG_STATE),
					 errmsg("job %s is %s and cannot be given to another agent", jobs_uuid_text(job_id),
							jobs_status_label(status)),
					 errhint("The agent of a job can be changed while it is CREATED or PENDING.")));
	}
	jobs_error_concurrent("assign", job_id);
}

/* The agent that argument 1, a jobs.new_job_assigned_agent, names. */
static pg_uuid_t *
agent_argument(FunctionCallInfo fcinfo)
{
	Datum		agent;
	bool		isnull;

	jobs_arg_require(fcinfo, 1, "assigned_agent");
	agent = GetAttributeByName(PG_GETARG_HEAPTUPLEHEADER(1), "agent_id", &isnull);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("agent_id must not be null")));
	return DatumGetUUIDP(agent);
}

Datum
jobs_update_job_agent(PG_FUNCTION_ARGS)
{
	JobsLaneKey key = {0};
	JobsCall	call;
	JobsResult	job;
	pg_uuid_t  *job_id;
	pg_uuid_t  *agent_id;
	bool		isnull;
	Datum		result;

	jobs_arg_require(fcinfo, 0, "job_id");
	job_id = PG_GETARG_UUID_P(0);
	agent_id = agent_argument(fcinfo);
	jobs_enter(fcinfo, &call);
	if (strcmp(jobs_access_require(&call, job_id, JOBS_EDITOR, "assign"), "job") != 0)
		jobs_error_not_found("job", job_id);
	if (jobs_run(&find_agent, A_INT4(call.caller.tenant), A_PTR(agent_id)).count == 0)
		jobs_error_not_found("agent", agent_id);
	job = jobs_run(&set_agent, A_INT4(call.caller.tenant), A_PTR(job_id), A_PTR(agent_id));
	if (job.count == 0)
		jobs_error_not_found("job", job_id);
	key.function_id = DatumGetUUIDP(jobs_column(&job, 0, 1, NULL));
	key.priority = DatumGetInt32(jobs_column(&job, 0, 2, NULL));
	key.agent_id = agent_id;
	key.concurrency_key = (text *) DatumGetPointer(jobs_column(&job, 0, 3, &isnull));
	jobs_begin_ready("update_job_agent()");
	move(&call, job_id, jobs_lane(&call, &key));
	result = jobs_fetch_job(&call, job_id);
	jobs_leave(&call);
	return result;
}
