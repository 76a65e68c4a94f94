/*-------------------------------------------------------------------------
 *
 * prune.c
 *		How long jobs are kept, and their removal.
 *
 * There is no index by the time at which jobs ended: it would cost every job,
 * and most would leave it before they are pruned. But ids are in the order of
 * creation, and a job ends after it was added. So each rule walks the index
 * that has its jobs (of terminal entries by status, or of archive histories) in
 * the order of ids, up to those that are too young to have ended long enough
 * ago. The row of the rule remembers where the walk stands; nothing that was kept
 * is looked at again before the next round, and rounds are a twentieth of the
 * time that jobs are kept apart, or a day.
 *
 * Who walks has the row of the rule locked, so one session does at a time and
 * the others pass over it. It prunes for PASS_US at most and then sets a pause
 * of PAUSE times as long, whoever comes next: pruning has no more than a
 * twentieth of one processor, however much there is to prune.
 *
 * A job is removed with all that belongs to it, in one transaction. Its row is
 * locked first, and what speaks against it is asked again under the lock: who
 * revives a job, adds something to it or makes another depend on it locks the
 * row too (jobs_keep_job, retry.c, content.c).
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(jobs_set_retention);
PG_FUNCTION_INFO_V1(jobs_prune);

/* How many jobs one step walks over, and so prunes, at most; part of the statements. */
#define STEP		100

/* How long one pass of a sweep may take, and how many times longer the pause after it. */
#define PASS_US		INT64CONST(10000)
#define PAUSE		19

/* How often a session looks whether something is to be pruned. */
#define LOOK_US		INT64CONST(1000000)

/* Rounds are this part of the age apart, within these limits. */
#define ROUNDS_PER_AGE	20
#define MIN_ROUND_US	INT64CONST(1000000)
#define MAX_ROUND_US	USECS_PER_DAY

#define MAX_AGE_YEARS	1000

static const char *const rules[] = {"COMPLETED", "FAILED", "CANCELED", "archived"};

static JobsStatement forget_rule = {
	.sql = "DELETE FROM jobs_store.retention WHERE tenant = $1 AND rule = $2",
	.types = "it",
	.expected = SPI_OK_DELETE
};

/* The walk begins anew: what was too young may be old enough now. */
static JobsStatement set_rule = {
	.sql = "INSERT INTO jobs_store.retention (tenant, rule, age, updated, updated_by_id)"
	" VALUES ($1, $2, $3, clock_timestamp(), $4) ON CONFLICT (tenant, rule) DO UPDATE SET age = excluded.age,"
	" position = '00000000-0000-0000-0000-000000000000', next_look = '-infinity',"
	" updated = excluded.updated, updated_by_id = excluded.updated_by_id",
	.types = "itvu",
	.expected = SPI_OK_INSERT
};

/* Without a lock, so that it writes nothing. */
static JobsStatement next_look = {
	.sql = "SELECT min(next_look) FROM jobs_store.retention WHERE tenant = $1",
	.types = "i",
	.expected = SPI_OK_SELECT
};

#define RULES "SELECT r.rule, r.position, $2 - r.age FROM jobs_store.retention r WHERE r.tenant = $1"

static JobsStatement take_due_rules = {
	.sql = RULES " AND r.next_look <= $2 ORDER BY r.next_look FOR UPDATE SKIP LOCKED",
	.types = "iz",
	.expected = SPI_OK_SELECT
};

static JobsStatement take_all_rules = {
	.sql = RULES " ORDER BY r.rule FOR UPDATE",
	.types = "iz",
	.expected = SPI_OK_SELECT
};

static JobsStatement store_walk = {
	.sql = "UPDATE jobs_store.retention SET position = $3, next_look = $4, pruned = pruned + $5"
	" WHERE tenant = $1 AND rule = $2",
	.types = "ituzl",
	.expected = SPI_OK_UPDATE
};

#define TERMINAL "('COMPLETED', 'FAILED', 'CANCELED')"

/* A live job depends on job j. */
#define NEEDED \
	"(SELECT 1 FROM jobs_store.job_dependency d" \
	" CROSS JOIN LATERAL (SELECT x.name FROM jobs_store.current_status x WHERE x.tenant = $1 AND x.job_id = d.job_id OFFSET 0) c" \
	" WHERE d.tenant = $1 AND d.depends_on = j.id AND c.name NOT IN " TERMINAL " LIMIT 1)"

/* Something was made from a revision of job j or of its artifacts, other than these. */
#define USED \
	"(SELECT 1 FROM (SELECT jobs_store.part_id(j.id, 2) AS id" \
	" UNION ALL SELECT f.id FROM jobs_store.file_revision f WHERE f.tenant = $1 AND f.resource_id = j.id" \
	" UNION ALL SELECT f.id FROM jobs_store.artifact a CROSS JOIN LATERAL (SELECT x.id FROM jobs_store.file_revision x" \
	" WHERE x.tenant = $1 AND x.resource_id = a.id OFFSET 0) f WHERE a.tenant = $1 AND a.job_id = j.id) v" \
	" CROSS JOIN LATERAL (SELECT x.product_resource_id AS id FROM jobs_store.revision_edge x" \
	" WHERE x.tenant = $1 AND x.source_id = v.id OFFSET 0) p" \
	" WHERE p.id <> j.id AND (SELECT a.job_id FROM jobs_store.artifact a WHERE a.tenant = $1 AND a.id = p.id)" \
	" IS DISTINCT FROM j.id LIMIT 1)"

/* The job may go, by rule $2, if it ended before $3. */
#define MAY_GO(job) \
	"(SELECT true FROM jobs_store.job j CROSS JOIN LATERAL (SELECT x.name, x.created FROM jobs_store.job_status x" \
	" WHERE x.tenant = $1 AND x.job_id = j.id ORDER BY x.ordinal DESC LIMIT 1) s" \
	" WHERE j.tenant = $1 AND j.id = " job " AND s.name IN " TERMINAL " AND s.created <= $3" \
	" AND CASE WHEN j.archived THEN $2 = 'archived' AND coalesce((SELECT x.created FROM jobs_store.archive_status x" \
	" WHERE x.tenant = $1 AND x.object_id = j.id ORDER BY x.ordinal DESC LIMIT 1) <= $3, true)" \
	" ELSE s.name::text = $2 END" \
	" AND " NEEDED " IS NULL AND " USED " IS NULL)"

/* The next jobs of the walk, from $4 to $5, and whether they may go. */
static JobsStatement walk_ended = {
	.sql = "SELECT w.id, " MAY_GO("w.id") " FROM (SELECT x.job_id AS id FROM jobs_store.job_status x"
	" WHERE x.tenant = $1 AND x.name = $2::jobs.job_status_name AND x.name IN " TERMINAL
	" AND x.job_id > $4 AND x.job_id <= $5 ORDER BY x.job_id LIMIT $6) w",
	.types = "itzuui",
	.expected = SPI_OK_SELECT
};

/* Only archived jobs have an entry there, and other things that were archived. */
static JobsStatement walk_archived = {
	.sql = "SELECT w.id, " MAY_GO("w.id") " FROM (SELECT x.object_id AS id FROM jobs_store.archive_status x"
	" WHERE x.tenant = $1 AND x.object_id > $4 AND x.object_id <= $5 ORDER BY x.object_id LIMIT $6) w",
	.types = "itzuui",
	.expected = SPI_OK_SELECT
};

static JobsStatement lock_jobs = {
	.sql = "SELECT j.id FROM unnest($2) u(id) CROSS JOIN LATERAL (SELECT x.id FROM jobs_store.job x"
	" WHERE x.tenant = $1 AND x.id = u.id FOR UPDATE SKIP LOCKED) j",
	.types = "iU",
	.expected = SPI_OK_SELECT
};

static JobsStatement still_may_go = {
	.sql = "SELECT u.id FROM unnest($4) u(id) WHERE " MAY_GO("u.id"),
	.types = "itzU",
	.expected = SPI_OK_SELECT
};

/* What is removed: the jobs $2 and their artifacts, */
static JobsStatement with_artifacts = {
	.sql = "SELECT u.id FROM unnest($2) u(id) UNION ALL SELECT a.id FROM unnest($2) u(id)"
	" CROSS JOIN LATERAL (SELECT x.id FROM jobs_store.artifact x WHERE x.tenant = $1 AND x.job_id = u.id OFFSET 0) a",
	.types = "iU",
	.expected = SPI_OK_SELECT
};

/* the revisions of these, and the parts of them that have an archive history. */
static JobsStatement revisions_of = {
	.sql = "SELECT jobs_store.part_id(u.id, 2) FROM unnest($2) u(id) UNION ALL SELECT f.id FROM unnest($2) u(id)"
	" CROSS JOIN LATERAL (SELECT x.id FROM jobs_store.file_revision x WHERE x.tenant = $1 AND x.resource_id = u.id OFFSET 0) f",
	.types = "iU",
	.expected = SPI_OK_SELECT
};

#define REMOVE(table, column, what) \
	{.sql = "DELETE FROM jobs_store." table " t USING (SELECT " what " AS id FROM unnest($2) u(id)) u" \
	 " WHERE t.tenant = $1 AND t." column " = u.id", .types = "iU", .expected = SPI_OK_DELETE}

static JobsStatement remove_by_revision[] = {
	REMOVE("content", "revision_id", "u.id"),
	REMOVE("revision_edge", "product_id", "u.id"),
	REMOVE("revision_edge", "source_id", "u.id"),
	REMOVE("archive_status", "object_id", "u.id"),
};

static JobsStatement remove_by_resource[] = {
	REMOVE("file_revision", "resource_id", "u.id"),
	REMOVE("file", "resource_id", "u.id"),
	REMOVE("comment", "resource_id", "u.id"),
	REMOVE("access", "resource_id", "u.id"),
	REMOVE("archive_status", "object_id", "u.id"),
	REMOVE("archive_status", "object_id", "jobs_store.part_id(u.id, 1)"),
};

static JobsStatement remove_by_job[] = {
	REMOVE("artifact", "job_id", "u.id"),
	REMOVE("job_key", "job_id", "u.id"),
	REMOVE("job_dependency", "job_id", "u.id"),
	REMOVE("job_dependency", "depends_on", "u.id"),
};

static JobsStatement remove_history = {
	.sql = "DELETE FROM jobs_store.job_status t USING unnest($2) u(id) WHERE t.tenant = $1 AND t.job_id = u.id",
	.types = "iU",
	.expected = SPI_OK_DELETE,
	.writes_history = true
};

static JobsStatement remove_jobs = REMOVE("job", "id", "u.id");

/* A rule, and where its walk stands. */
typedef struct Walk
{
	JobsCall   *call;
	text	   *rule;
	pg_uuid_t	position;
	TimestampTz cutoff;			/* what ended before may go */
	bool		over;			/* nothing is left in this round */
	int64		pruned;
} Walk;

/* The first column as an array, instead of the result. */
static ArrayType *
id_array(JobsResult found)
{
	Datum	   *ids = palloc(sizeof(Datum) * Max(found.count, 1));
	ArrayType  *array;

	for (uint64 row = 0; row < found.count; row++)
		ids[row] = jobs_column(&found, row, 1, NULL);
	array = construct_array(ids, found.count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
	SPI_freetuptable(found.table);
	return array;
}

static void
remove_from(JobsCall *call, JobsStatement *statements, int count, ArrayType *ids)
{
	for (int i = 0; i < count; i++)
		jobs_run(&statements[i], A_INT4(call->caller.tenant), A_PTR(ids));
}

/* Jobs that are locked, with everything that belongs to them. */
static int64
remove_whole(JobsCall *call, ArrayType *jobs)
{
	JobsArg		t = A_INT4(call->caller.tenant);
	ArrayType  *resources = id_array(jobs_run(&with_artifacts, t, A_PTR(jobs)));
	ArrayType  *revisions = id_array(jobs_run(&revisions_of, t, A_PTR(resources)));

	remove_from(call, remove_by_revision, countof(remove_by_revision), revisions);
	remove_from(call, remove_by_resource, countof(remove_by_resource), resources);
	remove_from(call, remove_by_job, countof(remove_by_job), jobs);
	jobs_run(&remove_history, t, A_PTR(jobs));
	return jobs_run(&remove_jobs, t, A_PTR(jobs)).count;
}

/*
 * Of those that may go, the ones that nobody has a hand on, and that still may
 * once they are locked.
 */
static int64
prune_jobs(Walk *walk, ArrayType *jobs)
{
	JobsArg		t = A_INT4(walk->call->caller.tenant);

	jobs = id_array(jobs_run(&lock_jobs, t, A_PTR(jobs)));
	jobs = id_array(jobs_run(&still_may_go, t, A_PTR(walk->rule), A_TIME(walk->cutoff), A_PTR(jobs)));
	return ARR_NDIM(jobs) == 0 ? 0 : remove_whole(walk->call, jobs);
}

/* Walks over up to so many jobs and prunes those that may go. */
static void
step(Walk *walk, int32 most)
{
	bool		archived = strcmp(text_to_cstring(walk->rule), "archived") == 0;
	pg_uuid_t	last = jobs_uuid_last_until(walk->cutoff);
	JobsResult	found = jobs_run(archived ? &walk_archived : &walk_ended, A_INT4(walk->call->caller.tenant),
								 A_PTR(walk->rule), A_TIME(walk->cutoff), A_PTR(&walk->position),
								 A_PTR(&last), A_INT4(most));
	Datum	   *ids = palloc(sizeof(Datum) * Max(found.count, 1));
	ArrayType  *jobs;
	int			count = 0;

	CHECK_FOR_INTERRUPTS();
	for (uint64 row = 0; row < found.count; row++)
	{
		pg_uuid_t  *id = DatumGetUUIDP(jobs_column(&found, row, 1, NULL));
		bool		stays;

		(void) jobs_column(&found, row, 2, &stays);

		/* A job may have several entries, one after the other. */
		if (!stays && memcmp(id, &walk->position, UUID_LEN) != 0)
			ids[count++] = UUIDPGetDatum(id);
		walk->position = *id;
	}
	walk->over = found.count < (uint64) most;
	jobs = construct_array(ids, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
	SPI_freetuptable(found.table);
	if (count > 0)
		walk->pruned += prune_jobs(walk, jobs);
}

/* One step in memory of its own. */
static void
step_in(MemoryContext memory, Walk *walk, int32 most)
{
	MemoryContext old = MemoryContextSwitchTo(memory);

	step(walk, most);
	MemoryContextSwitchTo(old);
	MemoryContextReset(memory);
}

static Walk
walk_of(JobsCall *call, const JobsResult *taken, uint64 row)
{
	Walk		walk = {.call = call};

	walk.rule = DatumGetTextPP(jobs_column(taken, row, 1, NULL));
	walk.position = *DatumGetUUIDP(jobs_column(taken, row, 2, NULL));
	walk.cutoff = DatumGetTimestampTz(jobs_column(taken, row, 3, NULL));
	return walk;
}

/* A round that is over begins anew, later; one that is not goes on after a pause. */
static TimestampTz
store(const Walk *walk, TimestampTz now, int64 pause)
{
	pg_uuid_t	start = {{0}};
	int64		round = (now - walk->cutoff) / ROUNDS_PER_AGE;
	TimestampTz next = now + (walk->over ? Max(MIN_ROUND_US, Min(MAX_ROUND_US, round)) : pause);

	jobs_run(&store_walk, A_INT4(walk->call->caller.tenant), A_PTR(walk->rule),
			 A_PTR(walk->over ? &start : &walk->position), A_TIME(next), A_INT8(walk->pruned));
	return next;
}

/* The earliest look that is of use, as far as this session knows; of the tenant that it served last. */
static int32 looked_tenant = 0;
static TimestampTz not_before = 0;

bool
jobs_prune_due(int32 tenant, TimestampTz now)
{
	return tenant != looked_tenant || now >= not_before || not_before - now > LOOK_US;
}

/*
 * What is due by the rules, for PASS_US at most. A row that was locked before
 * the snapshot of a REPEATABLE READ transaction cannot be asked about, so those
 * do not prune.
 */
void
jobs_prune_some(JobsCall *call)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz began = now;
	JobsArg		t = A_INT4(call->caller.tenant);
	MemoryContext memory;
	JobsResult	found;
	Datum		first;
	bool		none;

	if (IsolationUsesXactSnapshot())
		return;
	looked_tenant = call->caller.tenant;
	not_before = now + LOOK_US;
	found = jobs_run(&next_look, t);
	first = jobs_column(&found, 0, 1, &none);
	if (none || DatumGetTimestampTz(first) > now)
		return;

	found = jobs_run(&take_due_rules, t, A_TIME(now));
	memory = AllocSetContextCreate(CurrentMemoryContext, "jobs prune", ALLOCSET_DEFAULT_SIZES);
	for (uint64 row = 0; row < found.count; row++)
	{
		Walk		walk = walk_of(call, &found, row);
		TimestampTz next;

		do
			step_in(memory, &walk, STEP);
		while (!walk.over && (now = GetCurrentTimestamp()) - began < PASS_US);
		now = GetCurrentTimestamp();
		next = store(&walk, now, (now - began) * PAUSE);
		not_before = Min(not_before, next);
		if (now - began >= PASS_US)
			break;
	}
}

Datum
jobs_prune(PG_FUNCTION_ARGS)
{
	int32		limit = jobs_arg_range(fcinfo, 0, "limit", 1, 100000);
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext memory;
	JobsCall	call;
	JobsResult	taken;
	int64		pruned = 0;

	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("prune() needs READ COMMITTED")));
	jobs_enter(fcinfo, &call);
	jobs_administrator_require(&call, "prune jobs");
	taken = jobs_run(&take_all_rules, A_INT4(call.caller.tenant), A_TIME(now));
	memory = AllocSetContextCreate(CurrentMemoryContext, "jobs prune", ALLOCSET_DEFAULT_SIZES);
	for (uint64 row = 0; row < taken.count && pruned < limit; row++)
	{
		Walk		walk = walk_of(&call, &taken, row);
		pg_uuid_t	start = {{0}};
		bool		whole = memcmp(&walk.position, &start, UUID_LEN) == 0;

		/* From where the walk stood to the end, and then a whole round. */
		while (pruned + walk.pruned < limit)
		{
			step_in(memory, &walk, Min(STEP, limit - (pruned + walk.pruned)));
			if (!walk.over)
				continue;
			if (whole)
				break;
			whole = true;
			walk.over = false;
			walk.position = start;
		}
		pruned += walk.pruned;
		(void) store(&walk, now, 0);
	}
	jobs_leave(&call);
	PG_RETURN_INT32(pruned);
}

/* An age that jobs may be kept for. */
static void
check_age(const Interval *age, const char *name)
{
	int64		months = (int64) age->month + age->day / DAYS_PER_MONTH + age->time / USECS_PER_DAY / DAYS_PER_MONTH;

	if (age->month < 0 || age->day < 0 || age->time < 0 ||
		(age->month == 0 && age->day == 0 && age->time == 0) || months > MAX_AGE_YEARS * MONTHS_PER_YEAR)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is out of range: %s", name,
						DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(age)))),
				 errhint("It must be longer than 0 and at most %d years, for instance '90 days'; NULL keeps for ever.",
						 MAX_AGE_YEARS)));
}

Datum
jobs_set_retention(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"completed", "failed", "canceled", "archived"};
	JobsCall	call;

	for (int i = 0; i < countof(rules); i++)
		if (!PG_ARGISNULL(i))
			check_age(PG_GETARG_INTERVAL_P(i), names[i]);
	jobs_enter(fcinfo, &call);
	jobs_administrator_require(&call, "set the retention of jobs");
	for (int i = 0; i < countof(rules); i++)
	{
		JobsArg		t = A_INT4(call.caller.tenant);
		JobsArg		rule = A_PTR(cstring_to_text(rules[i]));

		if (PG_ARGISNULL(i))
			jobs_run(&forget_rule, t, rule);
		else
			jobs_run(&set_rule, t, rule, A_ARG(i), A_PTR(&call.caller.user_id));
	}
	looked_tenant = 0;
	jobs_leave(&call);
	PG_RETURN_VOID();
}
