/*-------------------------------------------------------------------------
 *
 * claim.c
 *		Handing ready jobs to agents.
 *
 * A lane is (tenant, function version, assigned agent or pool or none,
 * priority). A claim first looks where the work is: the lanes that the agent
 * may serve and have a job, with the oldest of each. Then it takes from them,
 * highest priority first. Within a priority the lanes are merged by age: each
 * gives the jobs that are older than the oldest of the next lane; what is
 * still wanted after that (when others hold locks, or the batch is large)
 * is taken lane by lane.
 *
 * Taking is one statement: lock the oldest rows of the lane that nobody else
 * has locked, delete them, write lease and history. A row that is locked by a
 * claim that rolls back is ready again at once.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(jobs_claim_jobs);
PG_FUNCTION_INFO_V1(jobs_finish_and_claim);
PG_FUNCTION_INFO_V1(jobs_get_job_for_agent);

typedef struct Lane
{
	int32		lane;
	int32		priority;
	int64		head;			/* seq of the oldest ready job seen */
} Lane;

/* One claim on its way. */
typedef struct Claim
{
	const pg_uuid_t *agent_id;
	TimestampTz now;
	TimestampTz expires;
	Interval   *lease;
	int32		wanted;
	int32		taken;
	ReturnSetInfo *rows;		/* where the jobs go */
	pg_uuid_t  *last;			/* or: where the id of the last one goes */
} Claim;

static JobsStatement find_lanes = {
	.sql = "SELECT l.lane, l.priority, h.seq"
	" FROM jobs_store.agent_function f"
	" JOIN jobs_store.lane l ON l.tenant = f.tenant AND l.function_id = f.function_id"
	" CROSS JOIN LATERAL (SELECT r.seq FROM jobs_store.ready r"
	" WHERE r.tenant = l.tenant AND r.lane = l.lane ORDER BY r.seq LIMIT 1) h"
	" WHERE f.tenant = $1 AND f.agent_id = $2"
	" AND (l.assigned_agent_id IS NULL OR l.assigned_agent_id = $2)"
	" AND (l.assigned_agent_pool_id IS NULL OR EXISTS (SELECT FROM jobs_store.agent_pool_member m"
	" WHERE m.tenant = $1 AND m.agent_id = $2 AND m.agent_pool_id = l.assigned_agent_pool_id))"
	" ORDER BY l.priority DESC, h.seq",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement take = {
	.sql = "WITH c AS MATERIALIZED (SELECT r.seq FROM jobs_store.ready r"
	" WHERE r.tenant = $1 AND r.lane = $2 AND r.seq <= $3"
	" ORDER BY r.seq LIMIT $4 FOR UPDATE SKIP LOCKED),"
	" d AS (DELETE FROM jobs_store.ready r USING c"
	" WHERE r.tenant = $1 AND r.lane = $2 AND r.seq = c.seq"
	" RETURNING r.seq, r.job_id, r.ordinal + 1 AS ordinal, r.attempt + 1 AS attempt, r.max_attempts),"
	" l AS (INSERT INTO jobs_store.lease (tenant, agent_id, job_id, expires, check_at, duration, lane,"
	" ordinal, attempt, max_attempts, status)"
	" SELECT $1, $5, d.job_id, $7, $7, $8, $2, d.ordinal, d.attempt, d.max_attempts, 'CLAIMED' FROM d),"
	" s AS (INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, id, created, attempt, name, agent_id)"
	" SELECT $1, d.job_id, d.ordinal, jobs_store.new_id(), $6, d.attempt, 'CLAIMED', $5 FROM d)"
	" SELECT d.job_id, d.attempt, v.id, v.name, v.version, v.tool_name, v.tool_version, v.operating_system,"
	" j.model_id, j.parameters, $7"
	" FROM d JOIN jobs_store.job j ON j.tenant = $1 AND j.id = d.job_id"
	" JOIN jobs_store.function_version v ON v.tenant = $1 AND v.id = j.function_id"
	" ORDER BY d.seq",
	.types = "iiliuzzv",
	.expected = SPI_OK_SELECT,
	.writes_history = true
};

static JobsStatement why_none = {
	.sql = "SELECT CASE WHEN NOT EXISTS (SELECT FROM jobs_store.agent_function f"
	" WHERE f.tenant = $1 AND f.agent_id = $2)"
	" THEN 'the agent serves no function; tell which with jobs.set_agent_functions'"
	" ELSE 'no job is ready for the functions of the agent' END",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static int
read_lanes(JobsCall *call, const pg_uuid_t *agent_id, Lane **lanes)
{
	JobsResult	found = jobs_run(&find_lanes, A_INT4(call->caller.tenant), A_PTR(agent_id));

	*lanes = palloc(sizeof(Lane) * (found.count + 1));
	for (uint64 row = 0; row < found.count; row++)
	{
		(*lanes)[row].lane = DatumGetInt32(jobs_column(&found, row, 1, NULL));
		(*lanes)[row].priority = DatumGetInt32(jobs_column(&found, row, 2, NULL));
		(*lanes)[row].head = DatumGetInt64(jobs_column(&found, row, 3, NULL));
	}
	return found.count;
}

/* Takes what is still wanted from one lane, no younger than bound. */
static void
take_from(JobsCall *call, Claim *claim, int32 lane, int64 bound)
{
	JobsResult	taken = jobs_run(&take, A_INT4(call->caller.tenant), A_INT4(lane), A_INT8(bound),
								 A_INT4(claim->wanted - claim->taken), A_PTR(claim->agent_id),
								 A_TIME(claim->now), A_TIME(claim->expires), A_PTR(claim->lease));

	claim->taken += taken.count;
	if (claim->rows != NULL)
		jobs_store_rows(claim->rows, &taken);
	else if (taken.count > 0)
		*claim->last = *DatumGetUUIDP(jobs_column(&taken, taken.count - 1, 1, NULL));
	SPI_freetuptable(taken.table);
}

/* The lanes of one priority, sorted by their oldest job. */
static void
take_from_priority(JobsCall *call, Claim *claim, Lane *lanes, int count)
{
	for (int i = 0; i < count && claim->taken < claim->wanted; i++)
		take_from(call, claim, lanes[i].lane,
				  i + 1 < count ? lanes[i + 1].head : PG_INT64_MAX);
	for (int i = 0; i < count - 1 && claim->taken < claim->wanted; i++)
		take_from(call, claim, lanes[i].lane, PG_INT64_MAX);
}

static void
run_claim(JobsCall *call, Claim *claim)
{
	Lane	   *lanes;
	int			count;

	jobs_sweep_if_due(call);
	claim->now = GetCurrentTimestamp();
	claim->expires = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
															 TimestampTzGetDatum(claim->now),
															 IntervalPGetDatum(claim->lease)));
	count = read_lanes(call, claim->agent_id, &lanes);
	for (int first = 0, next; first < count && claim->taken < claim->wanted; first = next)
	{
		CHECK_FOR_INTERRUPTS();
		next = first + 1;
		while (next < count && lanes[next].priority == lanes[first].priority)
			next++;
		take_from_priority(call, claim, lanes + first, next - first);
	}
}

Datum
jobs_claim_jobs(PG_FUNCTION_ARGS)
{
	Claim		claim = {0};
	JobsCall	call;

	jobs_arg_require(fcinfo, 0, "agent_id");
	claim.agent_id = PG_GETARG_UUID_P(0);
	claim.wanted = jobs_arg_range(fcinfo, 1, "limit", 1, JOBS_MAX_BATCH);
	claim.lease = jobs_arg_lease(fcinfo, 2, "lease");
	InitMaterializedSRF(fcinfo, 0);
	claim.rows = (ReturnSetInfo *) fcinfo->resultinfo;
	jobs_enter(fcinfo, &call);
	jobs_agent_require(&call, claim.agent_id);
	run_claim(&call, &claim);
	jobs_leave(&call);
	return (Datum) 0;
}

Datum
jobs_finish_and_claim(PG_FUNCTION_ARGS)
{
	Claim		claim = {0};
	JobsCall	call;
	JobsReport	report = {0};

	jobs_arg_require(fcinfo, 0, "job_id");
	jobs_arg_require(fcinfo, 1, "name");
	jobs_arg_require(fcinfo, 3, "agent_id");
	jobs_arg_require(fcinfo, 7, "retry");
	report.job_id = PG_GETARG_UUID_P(0);
	report.name = DatumGetJobsStatus(PG_GETARG_DATUM(1));
	report.message = jobs_arg_text(fcinfo, 2, "message", 0);
	report.agent_id = claim.agent_id = PG_GETARG_UUID_P(3);
	claim.wanted = jobs_arg_range(fcinfo, 4, "limit", 1, JOBS_MAX_BATCH);
	claim.lease = jobs_arg_lease(fcinfo, 5, "lease");
	report.attempt = PG_ARGISNULL(6) ? 0 : PG_GETARG_INT32(6);
	report.retry = PG_GETARG_BOOL(7);
	if (!jobs_status_terminal(report.name))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s does not end a job", jobs_status_label(report.name)),
				 errhint("Give COMPLETED, FAILED or CANCELED, or use jobs.update_job_status.")));
	InitMaterializedSRF(fcinfo, 0);
	claim.rows = (ReturnSetInfo *) fcinfo->resultinfo;
	jobs_enter(fcinfo, &call);
	jobs_agent_require(&call, claim.agent_id);
	(void) jobs_report(&call, &report);
	run_claim(&call, &claim);
	jobs_leave(&call);
	return (Datum) 0;
}

/* A row of a composite type of ours, by its name. */
static Datum
make_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "result is not a row");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

static JobsStatement no_job_row = {
	.sql = "SELECT ROW($1)::jobs.no_job_response",
	.types = "t",
	.expected = SPI_OK_SELECT
};

Datum
jobs_get_job_for_agent(PG_FUNCTION_ARGS)
{
	Claim		claim = {0};
	JobsCall	call;
	pg_uuid_t	job_id;
	Datum		values[4] = {0};
	bool		nulls[4] = {true, true, false, false};
	Datum		schemas[2];
	int			branch;

	jobs_arg_require(fcinfo, 0, "agent_id");
	claim.agent_id = PG_GETARG_UUID_P(0);
	claim.wanted = 1;
	claim.lease = DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum("60 s"),
														ObjectIdGetDatum(InvalidOid),
														Int32GetDatum(-1)));
	claim.last = &job_id;
	jobs_enter(fcinfo, &call);
	jobs_agent_require(&call, claim.agent_id);
	run_claim(&call, &claim);
	branch = claim.taken > 0 ? 0 : 1;
	if (branch == 0)
		values[0] = jobs_fetch_job(&call, &job_id);
	else
	{
		JobsResult	row = jobs_run(&why_none, A_INT4(call.caller.tenant), A_PTR(claim.agent_id));

		row = jobs_run(&no_job_row, jobs_datum(jobs_column(&row, 0, 1, NULL), false));
		values[1] = jobs_column_copy(&call, &row, 0, 1);
	}
	jobs_leave(&call);
	nulls[branch] = false;
	values[2] = jobs_composite_to_dict(values[branch]);
	schemas[0] = CStringGetTextDatum("Job");
	schemas[1] = CStringGetTextDatum("NoJobResponse");
	values[3] = PointerGetDatum(construct_array(schemas, 2, TEXTOID, -1, false, TYPALIGN_INT));
	return make_row(fcinfo, values, nulls);
}
