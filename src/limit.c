/*-------------------------------------------------------------------------
 *
 * limit.c
 *		Limits that hold however many claim at once: permits.
 *
 * A limiter stands for one limit: the jobs of a function that are in flight,
 * those of them with one concurrency key, or the starts within an interval. It
 * has size permits. A claim deletes one before it takes a job, and passes over
 * those that others have locked, as it does with ready jobs; so claims wait for
 * nobody and no row is written by all of them, and yet no limit is ever passed,
 * for what somebody has deleted nobody else can delete. If the claim rolls back,
 * the permit is there again.
 *
 * A lease remembers which permits it has (lease.permits), and a trigger gives
 * them back when it is deleted, whoever does that. A permit for a rate comes
 * back at once, but is due only when the interval is over.
 *
 * At every moment, and for every snapshot: permits in the table + leases that
 * have one - debt = size. So a limit is changed by the difference; permits that
 * are in use when it is lowered become debt, and are not put back when they come.
 * (One that a claim holds just then is debt, too; if that claim rolls back, it may be
 * taken once more while the jobs in flight from before are still above the new limit.)
 * A limit that is lifted keeps its limiter, which claims then do not ask: leases
 * that have permits still bring them back, so the sum holds when it is set again.
 *
 * The limiter of a key is made by the first claim that needs it. Keys can be
 * many, so lanes of keys that are not in use are forgotten by the sweep, and
 * their limiters with the last of them.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "hot.h"
#include "rows.h"

PG_FUNCTION_INFO_V1(jobs_return_permits);
PG_FUNCTION_INFO_V1(jobs_forget_keys);

static const char *const kind_names[] = {
	[JOBS_LIMIT_IN_FLIGHT] = "in flight",
	[JOBS_LIMIT_KEY] = "key",
	[JOBS_LIMIT_RATE] = "rate",
};

/* The permits of a new limiter are there with it. */
static JobsStatement add_limiter = {
	.sql = "WITH l AS (INSERT INTO jobs_store.limiter (tenant, name, kind, concurrency_key, size) VALUES ($1, $2, $3, $4, $5)"
	" ON CONFLICT DO NOTHING RETURNING limiter),"
	" p AS (INSERT INTO jobs_store.permit (tenant, limiter) SELECT $1, l.limiter FROM l, generate_series(1, $5))"
	" SELECT limiter FROM l",
	.types = "ittti",
	.expected = SPI_OK_SELECT
};

static JobsStatement lock_limiter = {
	.sql = "SELECT limiter, size, debt FROM jobs_store.limiter"
	" WHERE tenant = $1 AND name = $2 AND kind = $3 AND concurrency_key IS NOT DISTINCT FROM $4 FOR NO KEY UPDATE",
	.types = "ittt",
	.expected = SPI_OK_SELECT
};

static JobsStatement resize = {
	.sql = "UPDATE jobs_store.limiter SET size = $3, debt = $4 WHERE tenant = $1 AND limiter = $2",
	.types = "iiii",
	.expected = SPI_OK_UPDATE
};

static JobsStatement remove_permits = {
	.sql = "WITH c AS MATERIALIZED (SELECT p.seq FROM jobs_store.permit p WHERE p.tenant = $1 AND p.limiter = $2"
	" ORDER BY p.seq LIMIT $3 FOR UPDATE SKIP LOCKED)"
	" DELETE FROM jobs_store.permit p USING c WHERE p.tenant = $1 AND p.limiter = $2 AND p.seq = c.seq",
	.types = "iii",
	.expected = SPI_OK_DELETE
};

static JobsStatement key_limiters = {
	.sql = "SELECT concurrency_key FROM jobs_store.limiter WHERE tenant = $1 AND name = $2 AND kind = 'key'",
	.types = "it",
	.expected = SPI_OK_SELECT
};

static JobsStatement take = {
	.sql = "WITH c AS MATERIALIZED (SELECT p.seq FROM jobs_store.permit p WHERE p.tenant = $1 AND p.limiter = $2"
	" AND p.seq >= $3 AND p.due <= clock_timestamp() ORDER BY p.seq LIMIT $4 FOR UPDATE SKIP LOCKED),"
	" d AS (DELETE FROM jobs_store.permit p USING c WHERE p.tenant = $1 AND p.limiter = $2 AND p.seq = c.seq RETURNING p.seq)"
	" SELECT count(*)::integer, coalesce(max(seq), 0) FROM d",
	.types = "iili",
	.expected = SPI_OK_SELECT
};

/* Debts are paid first. The row of the limiter is touched only when there are some. */
static JobsStatement put = {
	.sql = "WITH o AS MATERIALIZED (SELECT l.debt FROM jobs_store.limiter l WHERE l.tenant = $1 AND l.limiter = $2 AND l.debt > 0"
	" FOR NO KEY UPDATE),"
	" d AS (UPDATE jobs_store.limiter l SET debt = o.debt - least(o.debt, $3) FROM o"
	" WHERE l.tenant = $1 AND l.limiter = $2 RETURNING least(o.debt, $3) AS paid)"
	" INSERT INTO jobs_store.permit (tenant, limiter, due) SELECT $1, $2, $4"
	" FROM generate_series(1, $3 - coalesce((SELECT d.paid FROM d), 0))",
	.types = "iiiz",
	.expected = SPI_OK_INSERT
};

static JobsStatement limiters_of_lease = {
	.sql = "SELECT l.limiter FROM jobs_store.lane_function n CROSS JOIN LATERAL (SELECT x.limiter FROM jobs_store.limiter x"
	" WHERE x.tenant = $1 AND x.name = n.name AND x.kind = 'in flight' AND x.concurrency_key IS NULL OFFSET 0) l"
	" WHERE n.tenant = $1 AND n.lane = $2 AND ($3 & 1) <> 0"
	" UNION ALL SELECT l.limiter FROM jobs_store.lane_function n CROSS JOIN LATERAL (SELECT x.limiter FROM jobs_store.limiter x"
	" WHERE x.tenant = $1 AND x.name = n.name AND x.kind = 'key' AND x.concurrency_key = n.concurrency_key OFFSET 0) l"
	" WHERE n.tenant = $1 AND n.lane = $2 AND ($3 & 2) <> 0",
	.types = "iii",
	.expected = SPI_OK_SELECT
};

/*
 * Who makes the limiter of a key has this lock, so that others need not wait to
 * see whether it will be there.
 */
static JobsStatement may_add_key = {
	.sql = "SELECT pg_try_advisory_xact_lock(hashtextextended(format('jobs limiter of %s %s %s', $1, n.name, n.concurrency_key), 0)),"
	" n.name, n.concurrency_key, coalesce((SELECT p.max_in_flight_per_key FROM jobs_store.function_policy p"
	" WHERE p.tenant = $1 AND p.name = n.name), 1) FROM jobs_store.lane_function n"
	" WHERE n.tenant = $1 AND n.lane = $2 AND n.concurrency_key IS NOT NULL",
	.types = "ii",
	.expected = SPI_OK_SELECT
};

/*
 * Lanes of keys without a job: none is ready or waits, and none is held, for all
 * permits of the key are there (a debt may be among them: a limit that is lowered
 * leaves alone what a claim has locked, which may yet give it back). Locked, so that no job can be added to them: who
 * adds one locks the lane, too.
 */
#define IDLE_LANE \
	" (SELECT 1 FROM jobs_store.ready r WHERE r.tenant = $1 AND r.lane = n.lane LIMIT 1) IS NULL" \
	" AND (SELECT 1 FROM jobs_store.waiting w WHERE w.tenant = $1 AND w.lane = n.lane LIMIT 1) IS NULL" \
	" AND (SELECT 1 FROM jobs_store.limiter x WHERE x.tenant = $1 AND x.name = (SELECT v.name" \
	" FROM jobs_store.function_version v WHERE v.tenant = $1 AND v.id = n.function_id)" \
	" AND x.kind = 'key' AND x.concurrency_key = n.concurrency_key AND x.size + x.debt <> (SELECT count(*)" \
	" FROM jobs_store.permit p WHERE p.tenant = $1 AND p.limiter = x.limiter) LIMIT 1) IS NULL"

/* Most tenants have none, and to plan the search below takes longer than a claim. */
static JobsStatement any_key = {
	.sql = "SELECT EXISTS (SELECT FROM jobs_store.lane n WHERE n.tenant = $1 AND n.concurrency_key IS NOT NULL)",
	.types = "i",
	.expected = SPI_OK_SELECT
};

static JobsStatement lock_idle_lanes = {
	.sql = "SELECT n.lane FROM jobs_store.lane n WHERE n.tenant = $1 AND n.concurrency_key IS NOT NULL"
	" AND" IDLE_LANE " LIMIT 1000 FOR UPDATE SKIP LOCKED",
	.types = "i",
	.expected = SPI_OK_SELECT
};

/* Once more, for a job may have come between the look and the lock. */
static JobsStatement remove_lanes = {
	.sql = "DELETE FROM jobs_store.lane n WHERE n.tenant = $1 AND n.lane = ANY ($2) AND" IDLE_LANE,
	.types = "iI",
	.expected = SPI_OK_DELETE
};

/* Limiters of keys that have no lane any more. */
static JobsStatement remove_limiters = {
	.sql = "WITH x AS (DELETE FROM jobs_store.limiter x WHERE x.tenant = $1 AND x.kind = 'key'"
	" AND NOT EXISTS (SELECT FROM jobs_store.function_version v CROSS JOIN LATERAL (SELECT FROM jobs_store.lane n"
	" WHERE n.tenant = $1 AND n.function_id = v.id AND n.concurrency_key = x.concurrency_key OFFSET 0) n"
	" WHERE v.tenant = $1 AND v.name = x.name) RETURNING x.limiter)"
	" DELETE FROM jobs_store.permit p USING x WHERE p.tenant = $1 AND p.limiter = x.limiter",
	.types = "i",
	.expected = SPI_OK_DELETE
};

/* A limiter that is there is brought to a new size; it is locked. */
static void
change_size(JobsCall *call, const JobsResult *limiter, int32 size)
{
	JobsArg		t = A_INT4(call->caller.tenant);
	int32		id = DatumGetInt32(jobs_column(limiter, 0, 1, NULL));
	int32		more = size - DatumGetInt32(jobs_column(limiter, 0, 2, NULL));
	int32		debt = DatumGetInt32(jobs_column(limiter, 0, 3, NULL));

	int32		paid = Min(debt, Max(more, 0));

	if (more < 0)
		debt += -more - (int32) jobs_run(&remove_permits, t, A_INT4(id), A_INT4(-more)).count;
	jobs_run(&resize, t, A_INT4(id), A_INT4(size), A_INT4(debt - paid));

	/* After that, or put would find the debt that is paid already, and pay it again. */
	if (more > paid)
		jobs_run(&put, t, A_INT4(id), A_INT4(more - paid), A_TIME(DT_NOBEGIN));
}

static void
set_limit(JobsCall *call, text *function, JobsLimitKind kind, text *key, int32 size)
{
	JobsArg		name = A_PTR(cstring_to_text(kind_names[kind]));
	JobsResult	found;

	jobs_begin_ready("set_function_policy()");
	if (jobs_run(&add_limiter, A_INT4(call->caller.tenant), A_PTR(function), name, A_PTR(key), A_INT4(size)).count > 0)
		return;
	found = jobs_run(&lock_limiter, A_INT4(call->caller.tenant), A_PTR(function), name, A_PTR(key));
	if (found.count > 0)
		change_size(call, &found, size);
}

/* The limit of a function is size from now on. */
void
jobs_limit_set(JobsCall *call, text *function, JobsLimitKind kind, int32 size)
{
	set_limit(call, function, kind, NULL, size);
}

/* The same for those keys of a function that are in use. */
void
jobs_limit_resize_keys(JobsCall *call, text *function, int32 size)
{
	JobsResult	keys = jobs_run(&key_limiters, A_INT4(call->caller.tenant), A_PTR(function));

	for (uint64 row = 0; row < keys.count; row++)
		set_limit(call, function, JOBS_LIMIT_KEY, DatumGetTextPP(jobs_column(&keys, row, 1, NULL)), size);
}

/*
 * The limiter of a lane with a key, made if need be; 0 while somebody else is
 * making it.
 */
int32
jobs_limit_find_key(JobsCall *call, int32 lane)
{
	JobsResult	key = jobs_run(&may_add_key, A_INT4(call->caller.tenant), A_INT4(lane));
	JobsArg		name = A_PTR(cstring_to_text(kind_names[JOBS_LIMIT_KEY]));
	JobsArg		function;
	JobsArg		value;
	JobsResult	found;

	if (key.count == 0 || !DatumGetBool(jobs_column(&key, 0, 1, NULL)))
		return 0;
	function = jobs_datum(jobs_column(&key, 0, 2, NULL), false);
	value = jobs_datum(jobs_column(&key, 0, 3, NULL), false);
	jobs_begin_ready("claim_jobs()");
	jobs_forget_answers();
	found = jobs_run(&add_limiter, A_INT4(call->caller.tenant), function, name, value,
					 jobs_datum(jobs_column(&key, 0, 4, NULL), false));
	if (found.count == 0)
		found = jobs_run(&lock_limiter, A_INT4(call->caller.tenant), function, name, value);
	return found.count == 0 ? 0 : DatumGetInt32(jobs_column(&found, 0, 1, NULL));
}

/* Takes up to so many permits that are due, from a seq on (there should be enough near it); *last is the youngest of them. */
int32
jobs_permits_take(JobsCall *call, int32 limiter, int64 from, int64 near, int32 wanted, int64 *last)
{
	JobsResult	taken;

	if (jobs_rows_usable())
		return jobs_hot_take_permits(call->caller.tenant, limiter, from, near, wanted, last);
	taken = jobs_run(&take, A_INT4(call->caller.tenant), A_INT4(limiter), A_INT8(from), A_INT4(wanted));
	*last = DatumGetInt64(jobs_column(&taken, 0, 2, NULL));
	return DatumGetInt32(jobs_column(&taken, 0, 1, NULL));
}

/* Puts permits back; they can be taken from due on. After jobs_begin_ready, or a permit was taken. */
void
jobs_permits_put(JobsCall *call, int32 limiter, int32 count, TimestampTz due)
{
	if (!jobs_rows_usable() || !jobs_hot_put_permits(call->caller.tenant, limiter, count, due))
		jobs_run(&put, A_INT4(call->caller.tenant), A_INT4(limiter), A_INT4(count), A_TIME(due));
}

/*
 * Forgets keys that no job has any more; answers how many lanes. Not under an old
 * snapshot, which does not see what has come.
 */
int32
jobs_limit_forget_keys(JobsCall *call)
{
	JobsArg		t = A_INT4(call->caller.tenant);
	JobsResult	any;
	JobsResult	idle;
	Datum	   *lanes;
	int32		removed;

	if (IsolationUsesXactSnapshot())
		return 0;
	any = jobs_run(&any_key, t);
	if (!DatumGetBool(jobs_column(&any, 0, 1, NULL)))
		return 0;
	idle = jobs_run(&lock_idle_lanes, t);
	if (idle.count == 0)
		return 0;
	lanes = palloc(sizeof(Datum) * idle.count);
	for (uint64 row = 0; row < idle.count; row++)
		lanes[row] = jobs_column(&idle, row, 1, NULL);
	removed = jobs_run(&remove_lanes, t, A_PTR(construct_array(lanes, idle.count, INT4OID, 4, true, TYPALIGN_INT))).count;
	if (removed > 0)
	{
		jobs_run(&remove_limiters, t);
		jobs_forget_answers();
	}
	return removed;
}

Datum
jobs_forget_keys(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	int32		removed;

	jobs_enter(fcinfo, &call);
	removed = jobs_limit_forget_keys(&call);
	jobs_leave(&call);
	PG_RETURN_INT32(removed);
}

static int32
column(TriggerData *trigger, const char *name)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	bool		isnull;
	Datum		value = SPI_getbinval(trigger->tg_trigtuple, desc, SPI_fnumber(desc, name), &isnull);

	if (isnull)
		elog(ERROR, "unexpected null in column \"%s\"", name);
	return strcmp(name, "permits") == 0 ? DatumGetInt16(value) : DatumGetInt32(value);
}

Datum
jobs_return_permits(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	JobsCall	call;
	JobsResult	limiters;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("return_permits can only be called as a trigger")));
	jobs_enter_any(fcinfo, &call);
	call.caller.tenant = column(trigger, "tenant");
	limiters = jobs_run(&limiters_of_lease, A_INT4(call.caller.tenant), A_INT4(column(trigger, "lane")),
						A_INT4(column(trigger, "permits")));
	for (uint64 row = 0; row < limiters.count; row++)
		jobs_permits_put(&call, DatumGetInt32(jobs_column(&limiters, row, 1, NULL)), 1, DT_NOBEGIN);
	jobs_leave(&call);
	return PointerGetDatum(NULL);
}
