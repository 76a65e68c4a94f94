/*-------------------------------------------------------------------------
 *
 * claim.c
 *		Handing ready jobs to agents.
 *
 * A lane is (tenant, function version, assigned agent or pool or none,
 * priority). lane.c knows the lanes of the agent, from where to scan each, and
 * about how old its oldest job is. A claim takes from them, highest priority
 * first. Within a priority the lanes are merged by age: the lane with the oldest
 * job gives those that are no younger than the oldest of the next lane, and so
 * on.
 *
 * Taking is one statement: lock the oldest rows of the lane that nobody else
 * has locked, delete them, write lease and history. A row that is locked by a
 * claim that rolls back is ready again at once. The time of a claim is that at
 * which its row was locked: a release may come between the start of the
 * statement and the lock, and history must not run backwards.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "fault.h"
#include "hot.h"
#include "lane.h"
#include "rows.h"

PG_FUNCTION_INFO_V1(jobs_claim_jobs);
PG_FUNCTION_INFO_V1(jobs_finish_and_claim);
PG_FUNCTION_INFO_V1(jobs_get_job_for_agent);

/* One claim on its way. */
typedef struct Claim
{
	const pg_uuid_t *agent_id;
	int64		lease_ms;
	JobsLane   *lanes;			/* of the agent, highest priority first */
	int			count;
	int32		wanted;
	int32		taken;
	bool		paused;			/* something was left because of a pause, */
	bool		limited;		/* or of a limit */
	ReturnSetInfo *rows;		/* where the jobs go */
	pg_uuid_t  *last;			/* or: where the id of the last one goes */
} Claim;

static JobsStatement take = {
	.sql = "WITH c AS MATERIALIZED (SELECT r.seq FROM jobs_store.ready r"
	" WHERE r.tenant = $1 AND r.lane = $2 AND r.seq >= $3 AND r.seq <= $4"
	" ORDER BY r.seq LIMIT $5 FOR UPDATE SKIP LOCKED),"
	" d AS (DELETE FROM jobs_store.ready r USING c"
	" WHERE r.tenant = $1 AND r.lane = $2 AND r.seq = c.seq"
	" RETURNING r.seq, r.job_id, r.ordinal + 1 AS ordinal, r.attempt + 1 AS attempt, r.max_attempts,"
	" clock_timestamp() AS now),"
	" l AS (INSERT INTO jobs_store.lease (tenant, agent_id, job_id, expires, check_at, lease_ms, lane,"
	" ordinal, attempt, max_attempts, permits, status)"
	" SELECT $1, $6, d.job_id, d.now + $7 * '1 ms'::interval, d.now + $9 * '1 ms'::interval, $7, $2, d.ordinal, d.attempt, d.max_attempts, $10, 'CLAIMED' FROM d),"
	" s AS (INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, agent_id)"
	" SELECT $1, d.job_id, d.ordinal, d.now, d.attempt, 'CLAIMED', $6 FROM d)"
	" SELECT d.job_id, d.attempt, v.id, v.name, v.version, v.tool_name, v.tool_version, v.operating_system,"
	" j.model_id, j.parameters, d.now + $7 * '1 ms'::interval, d.seq,"
	" CASE WHEN $8 THEN (SELECT n.seq FROM jobs_store.ready n WHERE n.tenant = $1 AND n.lane = $2"
	" AND n.seq > (SELECT max(c.seq) FROM c) ORDER BY n.seq LIMIT 1) END"
	" FROM d JOIN jobs_store.job j ON j.tenant = $1 AND j.id = d.job_id"
	" CROSS JOIN LATERAL (SELECT * FROM jobs_store.function_version x"
	" WHERE x.tenant = $1 AND x.id = j.function_id OFFSET 0) v"
	" ORDER BY d.seq",
	.types = "iilliulbli",
	.expected = SPI_OK_SELECT,
	.writes_history = true
};

#define COLUMN_SEQ		(JOBS_TAKEN_COLUMNS + 1)	/* this and the next are not for the caller */
#define COLUMN_NEXT		(JOBS_TAKEN_COLUMNS + 2)	/* seq of the next job of the lane, if asked for */

static JobsStatement why_none = {
	.sql = "SELECT CASE WHEN NOT EXISTS (SELECT FROM jobs_store.agent_function f"
	" WHERE f.tenant = $1 AND f.agent_id = $2)"
	" THEN 'the agent serves no function; tell which with jobs.set_agent_functions'"
	" WHEN $3 THEN 'jobs are ready, but the limits of their functions do not permit more for now'"
	" WHEN $4 THEN 'jobs are ready, but their functions are paused'"
	" ELSE 'no job is ready for the functions of the agent' END",
	.types = "iubb",
	.expected = SPI_OK_SELECT
};

/* A job that was taken goes where the caller wants it. */
static void
hand_out(void *where, Datum *values, bool *nulls)
{
	Claim	   *claim = where;

	if (claim->rows == NULL)
		*claim->last = *DatumGetUUIDP(values[JOBS_TAKEN_ID]);
	else
		tuplestore_putvalues(claim->rows->setResult, claim->rows->setDesc, values, nulls);
}

/* The statement, for every case. Answers as jobs_hot_take. */
static int
run_take(const JobsTake *want, Claim *claim, int64 *last, int64 *next)
{
	JobsResult	taken = jobs_run(&take, A_INT4(want->tenant), A_INT4(want->lane),
								 A_INT8(want->from), A_INT8(want->bound), A_INT4(want->limit),
								 A_PTR(want->agent_id), A_INT8(want->lease_ms),
								 A_BOOL(want->look_ahead), A_INT8(want->check_ms),
								 A_INT4(want->permits));
	Datum		values[COLUMN_NEXT];
	bool		nulls[COLUMN_NEXT];

	for (uint64 row = 0; row < taken.count; row++)
	{
		heap_deform_tuple(taken.table->vals[row], taken.table->tupdesc, values, nulls);
		hand_out(claim, values, nulls);
		*last = DatumGetInt64(values[COLUMN_SEQ - 1]);
		*next = nulls[COLUMN_NEXT - 1] ? 0 : DatumGetInt64(values[COLUMN_NEXT - 1]);
	}
	SPI_freetuptable(taken.table);
	return taken.count;
}

/* Up to so many permits of one limiter, as jobs are taken from a lane. */
static int32
take_permits(JobsCall *call, const JobsLane *limiter, int32 wanted)
{
	int64		from = jobs_lane_start(limiter);
	int64		near = jobs_lane_near(limiter);
	int64		last;
	int32		taken;

	for (;;)
	{
		taken = jobs_permits_take(call, limiter->lane, from, near, wanted, &last);
		if (taken > 0 || from == jobs_lane_mark(limiter))
			break;
		from = jobs_lane_mark(limiter);
	}
	if (taken > 0)
		jobs_lane_taken(limiter, last, 0, false);
	else
		jobs_lane_blocked(limiter);
	return taken;
}

/* What was taken of one limiter. */
typedef struct Permits
{
	int32		limiter;
	int32		count;
} Permits;

/* The first claim that needs the limiter of a key makes it, and takes from what it has made. */
static Permits
take_first_permits(JobsCall *call, const JobsLane *lane, int32 wanted)
{
	Permits		permits = {0};
	int64		last;

	permits.limiter = jobs_limit_find_key(call, lane->lane);
	if (permits.limiter != 0)
		permits.count = jobs_permits_take(call, permits.limiter, 0, PG_INT64_MAX, wanted, &last);
	return permits;
}

/*
 * As many permits of each kind that a rule asks for as can be had; answers the
 * fewest.
 */
static int32
take_all_permits(JobsCall *call, const JobsLane *lane, int32 wanted, Permits *got)
{
	for (int kind = 0; kind < JOBS_LIMIT_KINDS; kind++)
	{
		const JobsLane *limiter = &lane->rule->limiters[kind];

		memset(&got[kind], 0, sizeof(Permits));
		if (!lane->rule->limited[kind] || wanted == 0)
			continue;
		if (limiter->state != NULL)
		{
			got[kind].limiter = limiter->lane;
			got[kind].count = take_permits(call, limiter, wanted);
		}
		else if (kind == JOBS_LIMIT_KEY)
			got[kind] = take_first_permits(call, lane, wanted);
		wanted = got[kind].count;
	}
	return wanted;
}

/* Permits that were not needed go back; those for a rate were used from now on. */
static void
settle_permits(JobsCall *call, const JobsLane *lane, const Permits *got, int32 used)
{
	const Permits *rate = &got[JOBS_LIMIT_RATE];

	for (int kind = 0; kind < JOBS_LIMIT_KINDS; kind++)
		if (got[kind].count > used)
			jobs_permits_put(call, got[kind].limiter, got[kind].count - used, DT_NOBEGIN);
	if (rate->count > 0 && used > 0)
		jobs_permits_put(call, rate->limiter, used, GetCurrentTimestamp() + lane->rule->rate_ms * 1000);
}

static void take_jobs(JobsCall *call, Claim *claim, const JobsLane *lane, JobsTake *want, bool others);

/*
 * Takes what is still wanted from one lane, no younger than bound, as far as the
 * rules of the lane permit.
 */
static void
take_from(JobsCall *call, Claim *claim, const JobsLane *lane, int64 bound, bool others)
{
	JobsTake	want = {
		.tenant = call->caller.tenant,
		.lane = lane->lane,
		.from = jobs_lane_start(lane),
		.near = jobs_lane_near(lane),
		.bound = bound,
		.limit = claim->wanted - claim->taken,
		.look_ahead = others,
		.agent_id = claim->agent_id,
		.lease_ms = claim->lease_ms,
		.check_ms = claim->lease_ms
	};
	int32		before = claim->taken;
	Permits		got[JOBS_LIMIT_KINDS];

	if (lane->rule == NULL)
	{
		take_jobs(call, claim, lane, &want, others);
		return;
	}
	if (lane->rule->max_run_ms > 0)
		want.check_ms = Min(want.check_ms, lane->rule->max_run_ms);
	want.limit = take_all_permits(call, lane, want.limit, got);
	JOBS_FAULT("claim-after-permits");
	for (int kind = 0; kind < JOBS_LIMIT_RATE; kind++)
		if (lane->rule->limited[kind])
			want.permits |= 1 << kind;
	if (want.limit > 0)
		take_jobs(call, claim, lane, &want, others);
	else
	{
		claim->limited = true;
		jobs_lane_blocked(lane);
	}
	JOBS_FAULT("claim-before-settle");
	settle_permits(call, lane, got, claim->taken - before);
}

/* With others, it matters to them how old the next job of this lane is. */
static void
take_jobs(JobsCall *call, Claim *claim, const JobsLane *lane, JobsTake *wanted, bool others)
{
	JobsTake	want = *wanted;
	bool		direct = jobs_rows_usable();
	int64		last;
	int64		next;
	int			taken;

	for (;;)
	{
		taken = direct ? jobs_hot_take(&want, hand_out, claim, &last, &next) :
			run_take(&want, claim, &last, &next);
		if (taken > 0 || want.from == jobs_lane_mark(lane))
			break;
		want.from = jobs_lane_mark(lane);
	}
	if (taken > 0)
		jobs_lane_taken(lane, last, next, others);
	else
		jobs_lane_passed(call, lane, want.bound);
	claim->taken += taken;
}

/* Number of warm lanes; which has the oldest job, and how old that of the next is. */
static int
oldest_lane(Claim *claim, JobsLane *lanes, int count, JobsLane **oldest, int64 *bound)
{
	int			warm = 0;

	*oldest = NULL;
	*bound = PG_INT64_MAX;
	for (int i = 0; i < count; i++)
	{
		if (jobs_lane_cold(&lanes[i]))
			continue;
		if (lanes[i].rule != NULL && lanes[i].rule->paused)
		{
			claim->paused = true;
			continue;
		}
		warm++;
		if (*oldest == NULL || jobs_lane_head(&lanes[i]) < jobs_lane_head(*oldest))
		{
			if (*oldest != NULL)
				*bound = jobs_lane_head(*oldest);
			*oldest = &lanes[i];
		}
		else
			*bound = Min(*bound, jobs_lane_head(&lanes[i]));
	}
	return warm;
}

/*
 * Every turn takes something, or moves a lane's head to a row behind the bound,
 * or finds a lane empty, so it comes to an end. Who wants one job takes the
 * oldest of the oldest lane, whatever its age: other sessions may have taken the
 * one that was seen there, and to go looking for a lane that is older by a moment
 * would cost more than it is worth.
 */
static void
take_from_priority(JobsCall *call, Claim *claim, JobsLane *lanes, int count)
{
	JobsLane   *lane;
	int64		bound;
	int			warm;

	while (claim->taken < claim->wanted &&
		   (warm = oldest_lane(claim, lanes, count, &lane, &bound)) > 0)
	{
		CHECK_FOR_INTERRUPTS();
		take_from(call, claim, lane, claim->wanted - claim->taken == 1 ? PG_INT64_MAX : bound,
				  warm > 1);
	}
}

static void
take_from_lanes(JobsCall *call, Claim *claim, JobsLane *lanes, int count)
{
	for (int first = 0, next; first < count && claim->taken < claim->wanted; first = next)
	{
		next = first + 1;
		while (next < count && lanes[next].priority == lanes[first].priority)
			next++;
		take_from_priority(call, claim, lanes + first, next - first);
	}
}

/* To be called before the transaction writes, see jobs_agent_lanes. */
static void
begin_claim(JobsCall *call, Claim *claim)
{
	claim->count = jobs_agent_lanes(call, claim->agent_id, false, &claim->lanes);
}

/*
 * When less was found than wanted, nothing that was remembered counts: all
 * lanes are asked for and looked at again.
 */
static void
run_claim(JobsCall *call, Claim *claim)
{
	if (jobs_sweep_if_due(call))
		begin_claim(call, claim);
	take_from_lanes(call, claim, claim->lanes, claim->count);
	if (claim->taken == claim->wanted)
		return;
	claim->count = jobs_agent_lanes(call, claim->agent_id, true, &claim->lanes);
	take_from_lanes(call, claim, claim->lanes, claim->count);
}

Datum
jobs_claim_jobs(PG_FUNCTION_ARGS)
{
	Claim		claim = {0};
	JobsCall	call;

	jobs_arg_require(fcinfo, 0, "agent_id");
	claim.agent_id = PG_GETARG_UUID_P(0);
	claim.wanted = jobs_arg_range(fcinfo, 1, "limit", 1, JOBS_MAX_BATCH);
	claim.lease_ms = jobs_arg_lease(fcinfo, 2, "lease");
	InitMaterializedSRF(fcinfo, 0);
	claim.rows = (ReturnSetInfo *) fcinfo->resultinfo;
	jobs_enter(fcinfo, &call);
	jobs_agent_require(&call, claim.agent_id);
	begin_claim(&call, &claim);
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
	claim.lease_ms = jobs_arg_lease(fcinfo, 5, "lease");
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
	begin_claim(&call, &claim);
	(void) jobs_report(&call, &report);
	JOBS_FAULT("finish-before-claim");
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
	claim.lease_ms = JOBS_DEFAULT_LEASE_MS;
	claim.last = &job_id;
	jobs_enter(fcinfo, &call);
	jobs_agent_require(&call, claim.agent_id);
	begin_claim(&call, &claim);
	run_claim(&call, &claim);
	branch = claim.taken > 0 ? 0 : 1;
	if (branch == 0)
		values[0] = jobs_fetch_job(&call, &job_id);
	else
	{
		JobsResult	row = jobs_run(&why_none, A_INT4(call.caller.tenant), A_PTR(claim.agent_id),
								   A_BOOL(claim.limited), A_BOOL(claim.paused));

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
