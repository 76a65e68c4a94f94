/*-------------------------------------------------------------------------
 *
 * dependency.c
 *		Jobs that wait for other jobs.
 *
 * A dependent job waits until all that it depends on is COMPLETED. What it
 * depends on is gone through in the order of ids, once: the job remembers the
 * first one that is not done (its blocker), and only the end of that one makes it
 * look again, from there on. So waiting for ten thousand jobs costs ten
 * thousand looks, not as many for each of them that ends. One that ends otherwise
 * is told to all that wait for it, blocker or not, and they look at everything.
 *
 * Who ends a job does not wait for who adds one that depends on it: neither may
 * see the other. So a new dependent is looked at once by the next sweep, and every
 * one again after a tenth of the time it has waited.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "lifecycle.h"

PG_FUNCTION_INFO_V1(jobs_add_dependencies);

/* How many jobs one look takes at most; part of the statement below. */
#define STEP "1000"

/* Those that are there cannot be pruned until we commit. */
static JobsStatement hidden_dependency = {
	.sql = "SELECT d.id FROM unnest($2) d(id) WHERE (SELECT 1 FROM jobs_store.job j"
	" WHERE j.tenant = $1 AND j.id = d.id AND ($3 OR j.created_by_id = $4 OR EXISTS ("
	" SELECT FROM jobs_store.access a WHERE a.tenant = $1 AND a.resource_id = d.id AND a.subject_id = $4))"
	" FOR KEY SHARE OF j) IS NULL LIMIT 1",
	.types = "iUbu",
	.expected = SPI_OK_SELECT
};

static JobsStatement insert_dependencies = {
	.sql = "INSERT INTO jobs_store.job_dependency (tenant, job_id, depends_on)"
	" SELECT DISTINCT $1, $2, d.id FROM unnest($3) d(id) ON CONFLICT DO NOTHING",
	.types = "iuU",
	.expected = SPI_OK_INSERT
};

/*
 * The next sweep looks at the jobs that wait for those that have ended; not at
 * archived ones (infinity).
 */
static JobsStatement wake = {
	.sql = "WITH d AS MATERIALIZED (SELECT x.job_id, q.broken FROM"
	" (SELECT p.job_id, e.job_id AS ended, e.name <> 'COMPLETED' AS broken FROM unnest($2) u(job_id)"
	" CROSS JOIN LATERAL (SELECT * FROM jobs_store.current_status s WHERE s.tenant = $1 AND s.job_id = u.job_id OFFSET 0) e"
	" CROSS JOIN LATERAL (SELECT y.job_id FROM jobs_store.job_dependency y WHERE y.tenant = $1 AND y.depends_on = u.job_id OFFSET 0) p"
	" ORDER BY p.job_id OFFSET 0) q"
	" JOIN jobs_store.waiting x ON x.tenant = $1 AND x.job_id = q.job_id"
	" WHERE x.dependent AND x.check_at < 'infinity'"
	" AND (x.blocker = q.ended OR q.broken OR (x.blocker IS NULL AND x.check_at > $3)) FOR UPDATE OF x SKIP LOCKED)"
	" UPDATE jobs_store.waiting w SET check_at = least(w.check_at, $3),"
	" blocker = CASE WHEN d.broken THEN NULL ELSE w.blocker END"
	" FROM (SELECT job_id, bool_or(broken) AS broken FROM d GROUP BY job_id) d"
	" WHERE w.tenant = $1 AND w.job_id = d.job_id",
	.types = "iUz",
	.expected = SPI_OK_UPDATE
};

/*
 * v: for each dependent that is due, the first of its dependencies, from the
 * blocker on, that is not done, and how it is; without a blocker, rather one
 * that will never be. "done" is COMPLETED, or any end for those that run anyway.
 */
#define FIRST_OPEN(from, condition) \
	"(SELECT ROW(d.depends_on, s.name)::jobs_store.dependency_state FROM (SELECT x.depends_on" \
	" FROM jobs_store.job_dependency x WHERE x.tenant = $1 AND x.job_id = c.job_id" from \
	" ORDER BY x.depends_on OFFSET 0) d CROSS JOIN LATERAL (SELECT y.name FROM jobs_store.current_status y" \
	" WHERE y.tenant = $1 AND y.job_id = d.depends_on OFFSET 0) s WHERE " condition " LIMIT 1)"

static JobsStatement check = {
	.sql = "WITH c AS MATERIALIZED (SELECT w.job_id, w.ordinal, w.attempt, w.blocker, j.run_after, j.created,"
	" j.on_dependency_failure IS NOT DISTINCT FROM 'run' AS anyway FROM jobs_store.waiting w"
	" JOIN jobs_store.job j ON j.tenant = $1 AND j.id = w.job_id"
	" WHERE w.tenant = $1 AND w.check_at <= $2 AND w.dependent ORDER BY w.check_at LIMIT " STEP
	" FOR UPDATE OF w SKIP LOCKED),"
	" o AS MATERIALIZED (SELECT c.*, coalesce(CASE WHEN c.blocker IS NULL AND NOT c.anyway THEN "
	FIRST_OPEN("", "s.name IN ('FAILED', 'CANCELED')") " END, "
	FIRST_OPEN(" AND x.depends_on >= coalesce(c.blocker, '00000000-0000-0000-0000-000000000000')",
			   "s.name <> 'COMPLETED' AND NOT (c.anyway AND s.name IN ('FAILED', 'CANCELED'))") ") AS open FROM c),"
	" x AS (DELETE FROM jobs_store.waiting w USING o WHERE w.tenant = $1 AND w.job_id = o.job_id"
	" AND (o.open).name IN ('FAILED', 'CANCELED')"
	" RETURNING o.job_id, o.ordinal, o.attempt, o.open, clock_timestamp() AS now),"
	" h AS (INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, message)"
	" SELECT $1, x.job_id, x.ordinal + 1, x.now, x.attempt, 'CANCELED',"
	" format('it depends on a job that did not complete: %s is %s', (x.open).job_id, (x.open).name) FROM x),"
	" u AS (UPDATE jobs_store.waiting w SET dependent = (o.open).job_id IS NOT NULL, blocker = (o.open).job_id,"
	" check_at = CASE WHEN (o.open).job_id IS NULL THEN greatest($2, o.run_after)"
	" ELSE $2 + least(greatest(($2 - o.created) / 10, '1 s'), '1 min') END"
	" FROM o WHERE w.tenant = $1 AND w.job_id = o.job_id"
	" AND ((o.open).name IS NULL OR (o.open).name NOT IN ('FAILED', 'CANCELED')))"
	" SELECT (SELECT count(*) FROM c), (SELECT array_agg(job_id) FROM x)",
	.types = "iz",
	.expected = SPI_OK_SELECT,
	.writes_history = true
};

/* The jobs that must come before: all may be seen, or JB404. */
void
jobs_dependencies_require(JobsCall *call, ArrayType *depends_on)
{
	JobsResult	hidden = jobs_run(&hidden_dependency, A_INT4(call->caller.tenant), A_PTR(depends_on),
								  A_BOOL(call->caller.administrator), A_PTR(&call->caller.user_id));

	if (hidden.count > 0)
		jobs_error_not_found("job", DatumGetUUIDP(jobs_column(&hidden, 0, 1, NULL)));
}

/* Only the record; that the job waits is the caller's to see to. */
void
jobs_depend(JobsCall *call, const pg_uuid_t *job_id, ArrayType *depends_on)
{
	jobs_run(&insert_dependencies, A_INT4(call->caller.tenant), A_PTR(job_id), A_PTR(depends_on));
}

/*
 * The jobs have ended: what waits for them is due as of now, and the next claim
 * of this session looks at it: who works off a chain need not wait for the
 * next sweep.
 */
void
jobs_wake_dependents(JobsCall *call, ArrayType *jobs, TimestampTz now)
{
	jobs_run(&wake, A_INT4(call->caller.tenant), A_PTR(jobs), A_TIME(now));
	jobs_sweep_soon();
}

/*
 * Looks at some of the dependents that are due; those that cannot run any more are
 * canceled, and what waits for them is due. Answers how many it has looked at:
 * none of them is due any more.
 */
int64
jobs_check_dependents(JobsCall *call, TimestampTz now, uint64 *canceled)
{
	JobsResult	looked = jobs_run(&check, A_INT4(call->caller.tenant), A_TIME(now));
	bool		none;
	Datum		ended = jobs_column(&looked, 0, 2, &none);

	if (!none)
	{
		ArrayType  *jobs = DatumGetArrayTypeP(ended);

		*canceled += ArrayGetNItems(ARR_NDIM(jobs), ARR_DIMS(jobs));
		jobs_wake_dependents(call, jobs, now);
	}
	return DatumGetInt64(jobs_column(&looked, 0, 1, NULL));
}

/* Dependencies added to a job that is there ----------------------------------- */

/*
 * Only this can close a circle: what is added depends on what was there before.
 * So those who do it come one after the other, tenant by tenant.
 */
static JobsStatement one_at_a_time = {
	.sql = "SELECT pg_advisory_xact_lock(hashtextextended('jobs.add_dependencies', $1))",
	.types = "i",
	.expected = SPI_OK_SELECT
};

static JobsStatement closes_circle = {
	.sql = "WITH RECURSIVE up(id) AS (SELECT u.id FROM unnest($3) u(id) UNION"
	" SELECT d.depends_on FROM up JOIN jobs_store.job_dependency d ON d.tenant = $1 AND d.job_id = up.id)"
	" SELECT EXISTS (SELECT FROM up WHERE up.id = $2)",
	.types = "iuU",
	.expected = SPI_OK_SELECT
};

/* Back from the queue, or still waiting: in both cases, for others from now on. */
static JobsStatement hold_ready = {
	.sql = "WITH r AS (DELETE FROM jobs_store.ready WHERE tenant = $1 AND job_id = $2"
	" RETURNING lane, ordinal + 1 AS ordinal, attempt, max_attempts, clock_timestamp() AS now),"
	" w AS (INSERT INTO jobs_store.waiting (tenant, job_id, check_at, lane, ordinal, attempt, max_attempts, dependent)"
	" SELECT $1, $2, r.now, r.lane, r.ordinal, r.attempt, r.max_attempts, true FROM r)"
	" INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name, created_by_id, message)"
	" SELECT $1, $2, r.ordinal, r.now, r.attempt, 'CREATED', $3, 'further dependencies were added' FROM r",
	.types = "iuu",
	.expected = SPI_OK_INSERT,
	.writes_history = true
};

static JobsStatement hold_waiting = {
	.sql = "UPDATE jobs_store.waiting SET dependent = true, blocker = NULL,"
	" check_at = CASE WHEN check_at = 'infinity' THEN check_at ELSE clock_timestamp() END"
	" WHERE tenant = $1 AND job_id = $2",
	.types = "iu",
	.expected = SPI_OK_UPDATE
};

static JobsStatement current_entry = {
	.sql = "SELECT name, " STATUS_ROW " FROM jobs_store.current_status WHERE tenant = $1 AND job_id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

/*
 * Makes the job wait, or JB409. A claim or sweep that commits meanwhile moves it to
 * another table; so it is looked for again until it was caught.
 */
static void
hold(JobsCall *call, const pg_uuid_t *job_id)
{
	for (int i = 0; i < JOBS_MAX_CHASE; i++)
	{
		JobsResult	current;
		JobsStatus	status;

		CHECK_FOR_INTERRUPTS();
		if (jobs_run(&hold_ready, A_INT4(call->caller.tenant), A_PTR(job_id), A_PTR(&call->caller.user_id)).count > 0 ||
			jobs_run(&hold_waiting, A_INT4(call->caller.tenant), A_PTR(job_id)).count > 0)
			return;
		current = jobs_run(&current_entry, A_INT4(call->caller.tenant), A_PTR(job_id));
		status = DatumGetJobsStatus(jobs_column(&current, 0, 1, NULL));
		if (status != JOBS_PENDING && status != JOBS_CREATED)
			ereport(ERROR,
					(errcode(ERRCODE_JOBS_WRONG_STATE),
					 errmsg("job %s is %s and can wait for nothing any more", jobs_uuid_text(job_id),
							jobs_status_label(status)),
					 errhint("Dependencies can be added while a job is CREATED or PENDING.")));
	}
	jobs_error_concurrent("add dependencies to", job_id);
}

static void
refuse_circle(JobsCall *call, const pg_uuid_t *job_id, ArrayType *depends_on)
{
	JobsResult	closes;

	jobs_run(&one_at_a_time, A_INT4(call->caller.tenant));
	closes = jobs_run(&closes_circle, A_INT4(call->caller.tenant), A_PTR(job_id), A_PTR(depends_on));
	if (DatumGetBool(jobs_column(&closes, 0, 1, NULL)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("job %s would wait for itself", jobs_uuid_text(job_id)),
				 errhint("One of depends_on is the job, or waits for it.")));
}

Datum
jobs_add_dependencies(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	JobsResult	entry;
	pg_uuid_t  *job_id;
	ArrayType  *depends_on;
	Datum		result;

	jobs_arg_require(fcinfo, 0, "job_id");
	jobs_arg_require(fcinfo, 1, "depends_on");
	job_id = PG_GETARG_UUID_P(0);
	depends_on = PG_GETARG_ARRAYTYPE_P(1);
	jobs_check_array(depends_on, "depends_on", JOBS_MAX_BATCH);

	/* A snapshot from before the lock does not see what others have added. */
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("add_dependencies() needs READ COMMITTED")));
	jobs_enter(fcinfo, &call);
	if (strcmp(jobs_access_require(&call, job_id, JOBS_EDITOR, "add dependencies to"), "job") != 0)
		jobs_error_not_found("job", job_id);
	jobs_dependencies_require(&call, depends_on);
	if (ARR_NDIM(depends_on) > 0)
	{
		refuse_circle(&call, job_id, depends_on);
		hold(&call, job_id);
		jobs_depend(&call, job_id, depends_on);
		jobs_sweep_soon();
	}
	entry = jobs_run(&current_entry, A_INT4(call.caller.tenant), A_PTR(job_id));
	result = jobs_column_copy(&call, &entry, 0, 2);
	jobs_leave(&call);
	return result;
}
