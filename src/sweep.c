/*-------------------------------------------------------------------------
 *
 * sweep.c
 *		The one maintenance pass.
 *
 * Jobs that wait for others are looked at, jobs that are due become ready, and
 * leases that ran out are dealt with. Each step is one statement that takes a
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

PG_FUNCTION_INFO_V1(jobs_sweep);

static JobsStatement anything_due = {
	.sql = "SELECT EXISTS (SELECT FROM jobs_store.waiting WHERE tenant = $1 AND check_at <= $2)"
	" OR EXISTS (SELECT FROM jobs_store.lease WHERE tenant = $1 AND check_at <= $2)"
	" OR EXISTS (SELECT FROM jobs_store.notice WHERE tenant = $1 AND expires <= $2)",
	.types = "iz",
	.expected = SPI_OK_SELECT
};

/* How many rows one step takes at most; part of the statements below. */
#define STEP "1000"

/* How often one pass looks at dependents whose dependencies it has just ended. */
#define MAX_ROUNDS 100

/*
 * Whether all is COMPLETED that a job waits for. If something ended otherwise,
 * the job is canceled. If something is still under way, it is looked at again
 * after a tenth of the time it has waited, or when what it waits for ends.
 */
static JobsStatement check_dependents = {
	.sql = "WITH c AS MATERIALIZED (SELECT w.job_id, w.ordinal, w.attempt FROM jobs_store.waiting w"
	" WHERE w.tenant = $1 AND w.check_at <= $2 AND w.dependent ORDER BY w.check_at LIMIT " STEP
	" FOR UPDATE SKIP LOCKED),"
	" v AS MATERIALIZED (SELECT c.job_id, c.ordinal, c.attempt, bool_and(s.name = 'COMPLETED') AS satisfied,"
	" min(s.job_id::text || ' is ' || s.name::text) FILTER (WHERE s.name IN ('FAILED', 'CANCELED')) AS broken"
	" FROM c JOIN jobs_store.job_dependency d ON d.tenant = $1 AND d.job_id = c.job_id"
	" JOIN jobs_store.current_status s ON s.tenant = $1 AND s.job_id = d.depends_on"
	" GROUP BY c.job_id, c.ordinal, c.attempt),"
	" x AS (DELETE FROM jobs_store.waiting w USING v WHERE w.tenant = $1 AND w.job_id = v.job_id"
	" AND v.broken IS NOT NULL RETURNING v.job_id, v.ordinal, v.attempt, v.broken,"
	" clock_timestamp() AS now),"
	" h AS (INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, message)"
	" SELECT $1, x.job_id, x.ordinal + 1, x.now, x.attempt, 'CANCELED',"
	" 'it depends on a job that did not complete: ' || x.broken FROM x),"
	" u AS (UPDATE jobs_store.waiting w SET dependent = NOT v.satisfied,"
	" check_at = CASE WHEN v.satisfied THEN greatest($2, j.run_after)"
	" ELSE $2 + least(greatest(($2 - j.created) / 10, '1 s'), '1 min') END"
	" FROM v JOIN jobs_store.job j ON j.tenant = $1 AND j.id = v.job_id"
	" WHERE w.tenant = $1 AND w.job_id = v.job_id AND v.broken IS NULL)"
	" SELECT job_id FROM x",
	.types = "iz",
	.expected = SPI_OK_SELECT,
	.writes_history = true
};

static JobsStatement promote_due = {
	.sql = "WITH c AS MATERIALIZED (SELECT w.job_id FROM jobs_store.waiting w"
	" WHERE w.tenant = $1 AND w.check_at <= $2 AND NOT w.dependent ORDER BY w.check_at LIMIT " STEP
	" FOR UPDATE SKIP LOCKED),"
	" d AS (DELETE FROM jobs_store.waiting w USING c WHERE w.tenant = $1 AND w.job_id = c.job_id"
	" RETURNING w.job_id, w.lane, w.ordinal + 1 AS ordinal, w.attempt, w.max_attempts, clock_timestamp() AS now),"
	" h AS (INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name)"
	" SELECT $1, d.job_id, d.ordinal, d.now, d.attempt, 'PENDING' FROM d)"
	" INSERT INTO jobs_store.ready (tenant, lane, job_id, ordinal, attempt, max_attempts)"
	" SELECT $1, d.lane, d.job_id, d.ordinal, d.attempt, d.max_attempts FROM d ORDER BY d.job_id",
	.types = "iz",
	.expected = SPI_OK_INSERT,
	.writes_history = true
};

/*
 * Jobs that are UNKNOWN and whose grace is over too: back into the queue, or
 * FAILED when no attempt is left.
 */
static JobsStatement drop_lost = {
	.sql = "WITH c AS MATERIALIZED (SELECT l.agent_id, l.job_id FROM jobs_store.lease l"
	" WHERE l.tenant = $1 AND l.check_at <= $2 AND l.expires <= $2 AND l.status = 'UNKNOWN'"
	" ORDER BY l.check_at LIMIT " STEP " FOR UPDATE SKIP LOCKED),"
	" d AS (DELETE FROM jobs_store.lease l USING c"
	" WHERE l.tenant = $1 AND l.agent_id = c.agent_id AND l.job_id = c.job_id"
	" RETURNING l.agent_id, l.lease_ms, l.job_id, l.lane, l.ordinal + 1 AS ordinal, l.attempt, l.max_attempts,"
	" clock_timestamp() AS now, l.attempt < l.max_attempts AS again, $2 + jobs_store.retry_delay(l.attempt) AS run_after),"
	" r AS (INSERT INTO jobs_store.ready (tenant, lane, job_id, ordinal, attempt, max_attempts)"
	" SELECT $1, d.lane, d.job_id, d.ordinal, d.attempt, d.max_attempts FROM d WHERE d.again AND d.run_after <= $2),"
	" w AS (INSERT INTO jobs_store.waiting (tenant, job_id, check_at, lane, ordinal, attempt, max_attempts, dependent)"
	" SELECT $1, d.job_id, d.run_after, d.lane, d.ordinal, d.attempt, d.max_attempts, false"
	" FROM d WHERE d.again AND d.run_after > $2),"
	" n AS (INSERT INTO jobs_store.notice (tenant, agent_id, job_id, canceled, expires)"
	" SELECT $1, d.agent_id, d.job_id, false, d.now + d." LEASE_TIME " FROM d"
	" ON CONFLICT (tenant, agent_id, job_id) DO UPDATE SET canceled = false, expires = excluded.expires)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, message)"
	" SELECT $1, d.job_id, d.ordinal, d.now, d.attempt,"
	" (CASE WHEN NOT d.again THEN 'FAILED' WHEN d.run_after > $2 THEN 'CREATED' ELSE 'PENDING' END)::jobs.job_status_name,"
	" format('attempt %s of %s: the agent was lost', d.attempt, d.max_attempts)"
	" || CASE WHEN d.again THEN format('; next attempt not before %s', d.run_after) ELSE '' END FROM d"
	" RETURNING job_id",
	.types = "iz",
	.expected = SPI_OK_INSERT_RETURNING,
	.writes_history = true
};

/*
 * Leases to look at: one that a heartbeat has moved is due later, one that ran
 * out makes its job UNKNOWN.
 */
static JobsStatement expire_leases = {
	.sql = "WITH c AS MATERIALIZED (SELECT l.agent_id, l.job_id, l.expires <= $2 AS out FROM jobs_store.lease l"
	" WHERE l.tenant = $1 AND l.check_at <= $2 AND (l.expires > $2 OR l.status <> 'UNKNOWN')"
	" ORDER BY l.check_at LIMIT " STEP " FOR UPDATE SKIP LOCKED),"
	" u AS (UPDATE jobs_store.lease l SET"
	" status = CASE WHEN c.out THEN 'UNKNOWN' ELSE l.status END,"
	" ordinal = l.ordinal + c.out::integer,"
	" expires = CASE WHEN c.out THEN $3 ELSE l.expires END,"
	" check_at = CASE WHEN c.out THEN $3 ELSE l.expires END FROM c"
	" WHERE l.tenant = $1 AND l.agent_id = c.agent_id AND l.job_id = c.job_id"
	" RETURNING l.job_id, l.agent_id, l.ordinal, l.attempt, c.out, clock_timestamp() AS now)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, agent_id, message)"
	" SELECT $1, u.job_id, u.ordinal, u.now, u.attempt, 'UNKNOWN', u.agent_id,"
	" 'the lease ran out' FROM u WHERE u.out",
	.types = "izz",
	.expected = SPI_OK_INSERT,
	.writes_history = true
};

static JobsStatement forget_notices = {
	.sql = "DELETE FROM jobs_store.notice n USING (SELECT agent_id, job_id FROM jobs_store.notice"
	" WHERE tenant = $1 AND expires <= $2 LIMIT " STEP " FOR UPDATE SKIP LOCKED) c"
	" WHERE n.tenant = $1 AND n.agent_id = c.agent_id AND n.job_id = c.job_id",
	.types = "iz",
	.expected = SPI_OK_DELETE
};

/* The jobs in the first column may have ended; wakes what waits for them. */
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

/*
 * Answers how many jobs were moved. Writes nothing when nothing is due. What is
 * woken is due as of now and so is seen in the same pass: of a chain of jobs whose
 * first one failed, MAX_ROUNDS fall in one pass.
 */
static uint64
sweep_tenant(JobsCall *call)
{
	TimestampTz now = GetCurrentTimestamp();
	JobsArg		t = A_INT4(call->caller.tenant);
	JobsArg		n = A_TIME(now);
	JobsResult	due = jobs_run(&anything_due, t, n);
	uint64		moved;
	uint64		canceled = 1;

	if (!DatumGetBool(jobs_column(&due, 0, 1, NULL)))
		return 0;

	jobs_begin_ready("sweep()");
	moved = wake_after(call, jobs_run(&drop_lost, t, n), now);
	for (int i = 0; i < MAX_ROUNDS && canceled > 0; i++)
	{
		CHECK_FOR_INTERRUPTS();
		canceled = wake_after(call, jobs_run(&check_dependents, t, n), now);
		moved += canceled;
	}
	moved += jobs_run(&promote_due, t, n).count;
	moved += jobs_run(&expire_leases, t, n, A_TIME(now + (int64) jobs_lost_grace * 1000)).count;
	jobs_run(&forget_notices, t, n);
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

	if (jobs_sweep_interval < 0)
		return false;
	now = GetCurrentTimestamp();
	if (call->caller.tenant == last_tenant && now >= last_pass &&
		now - last_pass < (int64) jobs_sweep_interval * 1000)
		return false;
	last_tenant = call->caller.tenant;
	last_pass = now;
	return sweep_tenant(call) > 0;
}

void
jobs_sweep_now(JobsCall *call)
{
	(void) sweep_tenant(call);
}

Datum
jobs_sweep(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	uint64		moved;

	jobs_enter(fcinfo, &call);
	moved = sweep_tenant(&call);
	jobs_leave(&call);
	PG_RETURN_INT32(moved);
}
