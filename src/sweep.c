/*-------------------------------------------------------------------------
 *
 * sweep.c
 *		The one maintenance pass.
 *
 * Jobs that wait for others are looked at, schedules that are due add their jobs,
 * jobs that are due become ready, and leases that ran out are dealt with. Each step is one statement that takes a
 * bounded number of rows and passes over those that somebody else has locked,
 * so any number of sessions may sweep at once. Nothing depends on when a pass
 * comes: the rows say what is due.
 *
 * A lease that runs out makes its job UNKNOWN. For jobs.lost_grace the agent
 * may still come back; then the job is put back, or fails when it has no
 * attempt left.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "lane.h"

PG_FUNCTION_INFO_V1(jobs_sweep);

static JobsStatement anything_due = {
	.sql = "SELECT EXISTS (SELECT FROM jobs_store.waiting WHERE tenant = $1 AND check_at <= $2 AND check_at >= $3)"
	" OR EXISTS (SELECT FROM jobs_store.lease WHERE tenant = $1 AND check_at <= $2 AND check_at >= $3)"
	" OR EXISTS (SELECT FROM jobs_store.notice WHERE tenant = $1 AND expires <= $2)"
	" OR EXISTS (SELECT FROM jobs_store.schedule WHERE tenant = $1 AND next_run <= $2)",
	.types = "izz",
	.expected = SPI_OK_SELECT
};

/* The same for the future; who has start timeouts is looked at always. */
static JobsStatement next_due = {
	.sql = "SELECT least((SELECT x.check_at FROM jobs_store.waiting x WHERE x.tenant = $1 ORDER BY x.check_at LIMIT 1),"
	" (SELECT x.check_at FROM jobs_store.lease x WHERE x.tenant = $1 ORDER BY x.check_at LIMIT 1),"
	" (SELECT x.expires FROM jobs_store.notice x WHERE x.tenant = $1 ORDER BY x.expires LIMIT 1),"
	" (SELECT x.next_run FROM jobs_store.schedule x WHERE x.tenant = $1 AND x.next_run IS NOT NULL ORDER BY x.next_run LIMIT 1),"
	" (SELECT min(x.next_look) FROM jobs_store.retention x WHERE x.tenant = $1),"
	" (SELECT $2 FROM jobs_store.function_policy x WHERE x.tenant = $1 AND x.start_timeout IS NOT NULL LIMIT 1))",
	.types = "iz",
	.expected = SPI_OK_SELECT
};

/* How many rows one step takes at most; part of the statements below. */
#define STEP "1000"

/*
 * A look from the start that takes as long as this is cheap. After one that is not,
 * the next comes after so many times as long as it took: sessions do not know of each
 * other's looks, and a dozen of them shall not take more than a few percent together.
 */
#define CHEAP_LOOK_US	5000
#define LOOK_COST		400

/* So long a row may take from the time that it is due until others see it, to be found at once. */
#define ON_ITS_WAY_US	1000000

/* How often a session looks for what seldom comes: keys that are not in use any more. */
#define SELDOM_US (60 * INT64CONST(1000000))

/* How often one pass looks at dependents whose dependencies it has just ended. */
#define MAX_ROUNDS 100

static JobsStatement promote_due = {
	.sql = "WITH c AS MATERIALIZED (SELECT w.job_id FROM jobs_store.waiting w"
	" WHERE w.tenant = $1 AND w.check_at <= $2 AND w.check_at >= $3 AND NOT w.dependent ORDER BY w.check_at LIMIT " STEP
	" FOR UPDATE SKIP LOCKED),"
	" d AS (DELETE FROM jobs_store.waiting w USING c WHERE w.tenant = $1 AND w.job_id = c.job_id"
	" RETURNING w.job_id, w.lane, w.ordinal + 1 AS ordinal, w.attempt, w.max_attempts, clock_timestamp() AS now),"
	" h AS (INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name)"
	" SELECT $1, d.job_id, d.ordinal, d.now, d.attempt, 'PENDING' FROM d)"
	" INSERT INTO jobs_store.ready (tenant, lane, job_id, ordinal, attempt, max_attempts)"
	" SELECT $1, d.lane, d.job_id, d.ordinal, d.attempt, d.max_attempts FROM d ORDER BY d.job_id",
	.types = "izz",
	.expected = SPI_OK_INSERT,
	.writes_history = true
};

/* When an attempt must end, heartbeats or not; NULL: never. Of a lease l. */
#define RUN_LIMIT \
	"(SELECT ROW(h.created + p.max_run_time, p.max_run_time)::jobs_store.run_limit FROM jobs_store.lane_function n" \
	" CROSS JOIN LATERAL (SELECT x.max_run_time FROM jobs_store.function_policy x" \
	" WHERE x.tenant = $1 AND x.name = n.name AND x.max_run_time IS NOT NULL OFFSET 0) p" \
	" CROSS JOIN LATERAL (SELECT x.created FROM jobs_store.job_status x WHERE x.tenant = $1 AND x.job_id = l.job_id" \
	" AND x.attempt = l.attempt AND x.name = 'CLAIMED' ORDER BY x.ordinal DESC LIMIT 1) h" \
	" WHERE n.tenant = $1 AND n.lane = l.lane)"

/*
 * Jobs that are UNKNOWN and whose grace is over too, and those that have run for
 * too long: back into the queue, or FAILED when no attempt is left.
 */
static JobsStatement end_attempts = {
	.sql = "WITH c AS MATERIALIZED (SELECT l.agent_id, l.job_id, l.over FROM (SELECT l.*, " RUN_LIMIT " AS over FROM jobs_store.lease l"
	" WHERE l.tenant = $1 AND l.check_at <= $2 AND l.check_at >= $3 ORDER BY l.check_at LIMIT " STEP " FOR UPDATE SKIP LOCKED) l"
	" WHERE (l.expires <= $2 AND l.status = 'UNKNOWN') OR (l.over).until <= $2),"
	" d AS (DELETE FROM jobs_store.lease l USING c"
	" WHERE l.tenant = $1 AND l.agent_id = c.agent_id AND l.job_id = c.job_id"
	" RETURNING l.agent_id, l.lease_ms, l.job_id, l.lane, l.ordinal + 1 AS ordinal, l.attempt, l.max_attempts,"
	" clock_timestamp() AS now, l.attempt < l.max_attempts AS again,"
	" CASE WHEN (c.over).until <= $2 THEN format('it ran for longer than %s', (c.over).max_run_time)"
	" ELSE 'the agent was lost' END AS reason),"
	" e AS MATERIALIZED (SELECT d.*, $2 + jobs_store.retry_delay(d.attempt, b.backoff, b.backoff_base, b.backoff_cap) AS run_after"
	" FROM d CROSS JOIN LATERAL (SELECT * FROM jobs_store.job_backoff x WHERE x.tenant = $1 AND x.job_id = d.job_id OFFSET 0) b),"
	" r AS (INSERT INTO jobs_store.ready (tenant, lane, job_id, ordinal, attempt, max_attempts)"
	" SELECT $1, e.lane, e.job_id, e.ordinal, e.attempt, e.max_attempts FROM e WHERE e.again AND e.run_after <= $2),"
	" w AS (INSERT INTO jobs_store.waiting (tenant, job_id, check_at, lane, ordinal, attempt, max_attempts, dependent)"
	" SELECT $1, e.job_id, e.run_after, e.lane, e.ordinal, e.attempt, e.max_attempts, false"
	" FROM e WHERE e.again AND e.run_after > $2),"
	" n AS (INSERT INTO jobs_store.notice (tenant, agent_id, job_id, canceled, expires)"
	" SELECT $1, e.agent_id, e.job_id, false, e.now + e." LEASE_TIME " FROM e"
	" ON CONFLICT (tenant, agent_id, job_id) DO UPDATE SET canceled = false, expires = excluded.expires)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, message)"
	" SELECT $1, e.job_id, e.ordinal, e.now, e.attempt,"
	" (CASE WHEN NOT e.again THEN 'FAILED' WHEN e.run_after > $2 THEN 'CREATED' ELSE 'PENDING' END)::jobs.job_status_name,"
	" format('attempt %s of %s: %s', e.attempt, e.max_attempts, e.reason)"
	" || CASE WHEN e.again THEN format('; next attempt not before %s', e.run_after) ELSE '' END FROM e"
	" RETURNING job_id",
	.types = "izz",
	.expected = SPI_OK_INSERT_RETURNING,
	.writes_history = true
};

/*
 * Leases to look at: one that a heartbeat has moved is due later, one that ran
 * out makes its job UNKNOWN.
 */
static JobsStatement expire_leases = {
	.sql = "WITH c AS MATERIALIZED (SELECT l.agent_id, l.job_id, l.expires <= $2 AS out, " RUN_LIMIT " AS over FROM jobs_store.lease l"
	" WHERE l.tenant = $1 AND l.check_at <= $2 AND l.check_at >= $4 AND (l.expires > $2 OR l.status <> 'UNKNOWN')"
	" ORDER BY l.check_at LIMIT " STEP " FOR UPDATE SKIP LOCKED),"
	" u AS (UPDATE jobs_store.lease l SET"
	" status = CASE WHEN c.out THEN 'UNKNOWN' ELSE l.status END,"
	" ordinal = l.ordinal + c.out::integer,"
	" expires = CASE WHEN c.out THEN $3 ELSE l.expires END,"
	" check_at = least(CASE WHEN c.out THEN $3 ELSE l.expires END, (c.over).until) FROM c"
	" WHERE l.tenant = $1 AND l.agent_id = c.agent_id AND l.job_id = c.job_id"
	" RETURNING l.job_id, l.agent_id, l.ordinal, l.attempt, c.out, clock_timestamp() AS now)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, agent_id, message)"
	" SELECT $1, u.job_id, u.ordinal, u.now, u.attempt, 'UNKNOWN', u.agent_id,"
	" 'the lease ran out' FROM u WHERE u.out",
	.types = "izzz",
	.expected = SPI_OK_INSERT,
	.writes_history = true
};

/*
 * Ready jobs that nobody has taken in time: the oldest of each lane for which
 * there is such a time, from where nothing older can be (lane.c).
 */
static JobsStatement timed_lanes = {
	.sql = "SELECT n.lane FROM jobs_store.function_policy p"
	" CROSS JOIN LATERAL (SELECT x.id FROM jobs_store.function_version x WHERE x.tenant = $1 AND x.name = p.name OFFSET 0) v"
	" CROSS JOIN LATERAL (SELECT x.lane FROM jobs_store.lane x WHERE x.tenant = $1 AND x.function_id = v.id OFFSET 0) n"
	" WHERE p.tenant = $1 AND p.start_timeout IS NOT NULL",
	.types = "i",
	.expected = SPI_OK_SELECT
};

#define START_TIMEOUT(lane) \
	"(SELECT y.start_timeout FROM jobs_store.lane_function x CROSS JOIN LATERAL (SELECT z.start_timeout" \
	" FROM jobs_store.function_policy z WHERE z.tenant = $1 AND z.name = x.name OFFSET 0) y" \
	" WHERE x.tenant = $1 AND x.lane = " lane " OFFSET 0)"

static JobsStatement find_unstarted = {
	.sql = "SELECT r.lane, r.seq FROM unnest($3, $4) t(lane, start)"
	" CROSS JOIN LATERAL " START_TIMEOUT("t.lane") " p"
	" CROSS JOIN LATERAL (SELECT x.lane, x.seq, x.job_id FROM jobs_store.ready x"
	" WHERE x.tenant = $1 AND x.lane = t.lane AND x.seq >= t.start ORDER BY x.seq LIMIT 100) r"
	" CROSS JOIN LATERAL (SELECT x.created FROM jobs_store.current_status x WHERE x.tenant = $1 AND x.job_id = r.job_id OFFSET 0) s"
	" WHERE s.created + p.start_timeout <= $2 LIMIT " STEP,
	.types = "izIL",
	.expected = SPI_OK_SELECT
};

static JobsStatement fail_unstarted = {
	.sql = "WITH c AS MATERIALIZED (SELECT r.lane, r.seq FROM unnest($2, $3) t(lane, seq)"
	" CROSS JOIN LATERAL (SELECT x.lane, x.seq FROM jobs_store.ready x"
	" WHERE x.tenant = $1 AND x.lane = t.lane AND x.seq = t.seq FOR UPDATE SKIP LOCKED) r),"
	" d AS (DELETE FROM jobs_store.ready r USING c WHERE r.tenant = $1 AND r.lane = c.lane AND r.seq = c.seq"
	" RETURNING r.lane, r.job_id, r.ordinal + 1 AS ordinal, r.attempt, clock_timestamp() AS now)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, message)"
	" SELECT $1, d.job_id, d.ordinal, d.now, d.attempt, 'FAILED',"
	" format('no agent took it within %s', p.start_timeout) FROM d"
	" CROSS JOIN LATERAL " START_TIMEOUT("d.lane") " p"
	" RETURNING job_id",
	.types = "iIL",
	.expected = SPI_OK_INSERT_RETURNING,
	.writes_history = true
};

static JobsStatement forget_notices = {
	.sql = "DELETE FROM jobs_store.notice n USING (SELECT agent_id, job_id FROM jobs_store.notice"
	" WHERE tenant = $1 AND expires <= $2 LIMIT " STEP " FOR UPDATE SKIP LOCKED) c"
	" WHERE n.tenant = $1 AND n.agent_id = c.agent_id AND n.job_id = c.job_id",
	.types = "iz",
	.expected = SPI_OK_DELETE
};

/* The jobs in the first column may have ended; wakes what waits for them. Answers how many. */
static uint64
wake_after(JobsCall *call, JobsResult ended, TimestampTz now)
{
	Datum	   *ids = palloc(sizeof(Datum) * (ended.count + 1));

	for (uint64 row = 0; row < ended.count; row++)
		ids[row] = jobs_column(&ended, row, 1, NULL);
	if (ended.count > 0)
		jobs_wake_dependents(call, construct_array(ids, ended.count, UUIDOID, UUID_LEN, false,
												   TYPALIGN_CHAR), now);
	return ended.count;
}

/* A pair of columns, lane and seq, as arrays. */
static void
lane_arrays(const JobsResult *found, bool from_safe, int32 tenant, JobsArg *lanes, JobsArg *seqs)
{
	Datum	   *lane = palloc(sizeof(Datum) * found->count);
	Datum	   *seq = palloc(sizeof(Datum) * found->count);

	for (uint64 row = 0; row < found->count; row++)
	{
		lane[row] = jobs_column(found, row, 1, NULL);
		seq[row] = from_safe ? Int64GetDatum(jobs_lane_safe(tenant, DatumGetInt32(lane[row]))) :
			jobs_column(found, row, 2, NULL);
	}
	*lanes = A_PTR(construct_array(lane, found->count, INT4OID, 4, true, TYPALIGN_INT));
	*seqs = A_PTR(construct_array(seq, found->count, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* Ready jobs that have waited for too long: reads only, until it has found some. */
static uint64
sweep_unstarted(JobsCall *call, TimestampTz now)
{
	JobsArg		t = A_INT4(call->caller.tenant);
	JobsResult	found = jobs_run(&timed_lanes, t);
	JobsArg		lanes;
	JobsArg		seqs;

	if (found.count == 0)
		return 0;
	lane_arrays(&found, true, call->caller.tenant, &lanes, &seqs);
	found = jobs_run(&find_unstarted, t, A_TIME(now), lanes, seqs);
	if (found.count == 0)
		return 0;
	lane_arrays(&found, false, call->caller.tenant, &lanes, &seqs);
	return wake_after(call, jobs_run(&fail_unstarted, t, lanes, seqs), now);
}

/* Set when there is something for the next pass that should not wait. */
static bool sweep_soon = false;

/* This session has woken jobs, or left some: its next claim sweeps, whatever the interval. */
void
jobs_sweep_soon(void)
{
	sweep_soon = true;
}

/* Set when a pass has left something that is due. */
static bool left_some = false;

static bool
is_anything_due(JobsCall *call, TimestampTz now, TimestampTz from)
{
	JobsResult	due = jobs_run(&anything_due, A_INT4(call->caller.tenant), A_TIME(now), A_TIME(from));

	return DatumGetBool(jobs_column(&due, 0, 1, NULL));
}

/*
 * What the rows say is due, from a time on. What is woken is due as of now and so is
 * seen in the same pass.
 */
static uint64
sweep_due(JobsCall *call, TimestampTz now, TimestampTz from)
{
	JobsArg		t = A_INT4(call->caller.tenant);
	JobsArg		n = A_TIME(now);
	JobsArg		f = A_TIME(from);
	uint64		moved;

	left_some = false;
	if (!is_anything_due(call, now, from))
		return 0;

	jobs_begin_ready("sweep()");
	moved = wake_after(call, jobs_run(&end_attempts, t, n, f), now);
	for (int i = 0; i < MAX_ROUNDS && jobs_check_dependents(call, now, &moved) > 0; i++)
		CHECK_FOR_INTERRUPTS();
	moved += jobs_run_schedules(call, now);
	moved += jobs_run(&promote_due, t, n, f).count;
	moved += jobs_run(&expire_leases, t, n, A_TIME(now + (int64) jobs_lost_grace * 1000), f).count;
	jobs_run(&forget_notices, t, n);
	left_some = is_anything_due(call, now, from);
	return moved;
}

/* Whether the steps that seldom have something to do come with this pass. */
bool
jobs_sweep_seldom_due(TimestampTz *last, TimestampTz now)
{
	if (now >= *last && now - *last < SELDOM_US)
		return false;
	*last = now;
	return true;
}

/*
 * Answers how many jobs were moved or added. Writes nothing when nothing is due. Of a chain of
 * jobs whose first one failed, MAX_ROUNDS fall in one pass.
 */
uint64
jobs_sweep_tenant(JobsCall *call, bool seldom, TimestampTz from)
{
	TimestampTz now = GetCurrentTimestamp();
	uint64		moved;

	sweep_soon = false;
	moved = sweep_unstarted(call, now);
	moved += sweep_due(call, now, from);
	if (seldom)
		(void) jobs_limit_forget_keys(call);
	jobs_prune_some(call);
	return moved;
}

/* When the tenant has something to do next, as far as its rows tell; infinity: never. */
TimestampTz
jobs_sweep_next_due(JobsCall *call)
{
	JobsResult	found = jobs_run(&next_due, A_INT4(call->caller.tenant), A_TIME(GetCurrentTimestamp()));
	bool		none;
	Datum		due = jobs_column(&found, 0, 1, &none);

	return none ? DT_NOEND : DatumGetTimestampTz(due);
}

/* A pass by a session: what comes seldom, once in so long. */
static uint64
sweep_tenant(JobsCall *call, TimestampTz from)
{
	static TimestampTz last_seldom = 0;

	return jobs_sweep_tenant(call, jobs_sweep_seldom_due(&last_seldom, GetCurrentTimestamp()), from);
}

/*
 * A pass by claims. While an old snapshot is held, what was due once stays in the
 * indexes, dead, and a look from the start walks over all of it. So when that has
 * become dear, most passes look only from where the last one has looked, less some
 * time in which a row may have been on its way; a row that took longer, or is older
 * than it should be, waits for the next look from the start. A pass that could not
 * take all that is due is followed by one of those.
 */
static uint64
sweep_from_last(JobsCall *call, bool other_tenant)
{
	static TimestampTz looked = DT_NOBEGIN;
	static TimestampTz start_at = DT_NOBEGIN;
	TimestampTz began = GetCurrentTimestamp();
	bool		start = other_tenant || began >= start_at || began < looked;
	uint64		moved = sweep_tenant(call, start ? DT_NOBEGIN : looked - ON_ITS_WAY_US);

	if (start)
	{
		TimestampTz cost = GetCurrentTimestamp() - began;

		start_at = cost < CHEAP_LOOK_US ? DT_NOBEGIN : began + cost * LOOK_COST;
	}
	if (left_some)
		start_at = DT_NOBEGIN;
	looked = began;
	return moved;
}

/*
 * A pass by the claims of this session, at most once per jobs.sweep_interval.
 * The time is that of the session, so it needs no lock and no shared memory.
 * Answers whether jobs were moved.
 */
bool
jobs_sweep_if_due(JobsCall *call)
{
	static int32 last_tenant = 0;
	static TimestampTz last_pass = 0;
	TimestampTz now;
	bool		other_tenant;

	if (jobs_sweep_interval < 0)
		return false;
	now = GetCurrentTimestamp();
	if (!sweep_soon && call->caller.tenant == last_tenant && now >= last_pass &&
		now - last_pass < (int64) jobs_sweep_interval * 1000)
	{
		/* What is left to prune is gone on with after a pause of its own. */
		if (jobs_prune_due(last_tenant, now))
			jobs_prune_some(call);
		return false;
	}
	other_tenant = call->caller.tenant != last_tenant;
	last_tenant = call->caller.tenant;
	last_pass = now;
	return sweep_from_last(call, other_tenant) > 0;
}

void
jobs_sweep_now(JobsCall *call)
{
	(void) sweep_tenant(call, DT_NOBEGIN);
}

Datum
jobs_sweep(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	uint64		moved;

	jobs_enter(fcinfo, &call);
	moved = sweep_tenant(&call, DT_NOBEGIN);
	jobs_leave(&call);
	PG_RETURN_INT32(moved);
}
