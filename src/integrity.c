/*-------------------------------------------------------------------------
 *
 * integrity.c
 *		Whether what is stored is what it must be.
 *
 * Nothing but our own functions keeps queue and history together: there are no
 * foreign keys, and claims and final reports write their rows without a plan. So
 * here every invariant of src/README.md is a query for what breaks it. They read
 * whole tables, so they are planned for what is there, and run through a cursor in
 * the snapshot of the calling statement: nothing that happens meanwhile is taken
 * for a contradiction, and a million violations take no more memory than one.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "funcapi.h"

PG_FUNCTION_INFO_V1(jobs_check_integrity);

/* Every entry of every history, with the derived first one. */
#define ENTRIES \
	"(SELECT j.id AS job_id, 0 AS ordinal, j.created, 0 AS attempt, j.first_status AS name" \
	" FROM jobs_store.job j WHERE j.tenant = $1" \
	" UNION ALL SELECT s.job_id, s.ordinal, s.created, s.attempt, s.name" \
	" FROM jobs_store.job_status s WHERE s.tenant = $1)"

/* The last one of each job. */
#define LAST \
	"(SELECT j.id AS job_id, coalesce(s.ordinal, 0) AS ordinal, coalesce(s.attempt, 0) AS attempt," \
	" coalesce(s.name, j.first_status) AS name FROM jobs_store.job j" \
	" LEFT JOIN (SELECT DISTINCT ON (x.job_id) x.job_id, x.ordinal, x.attempt, x.name FROM jobs_store.job_status x" \
	" WHERE x.tenant = $1 ORDER BY x.job_id DESC, x.ordinal DESC) s ON s.job_id = j.id WHERE j.tenant = $1)"

/* The queue; status is what the place stands for. */
#define QUEUE \
	"(SELECT w.job_id, w.lane, w.ordinal, w.attempt, w.max_attempts, 'CREATED'::jobs.job_status_name AS name," \
	" 'waiting' AS place FROM jobs_store.waiting w WHERE w.tenant = $1" \
	" UNION ALL SELECT r.job_id, r.lane, r.ordinal, r.attempt, r.max_attempts, 'PENDING', 'ready'" \
	" FROM jobs_store.ready r WHERE r.tenant = $1" \
	" UNION ALL SELECT l.job_id, l.lane, l.ordinal, l.attempt, l.max_attempts, l.status, 'lease'" \
	" FROM jobs_store.lease l WHERE l.tenant = $1)"

/* Leases by the limiter x that they have a permit of. */
#define HELD(kind, bit, key) \
	" (SELECT count(*) FROM jobs_store.lane_function n JOIN jobs_store.lease l ON l.tenant = $1 AND l.lane = n.lane" \
	" WHERE n.tenant = $1 AND x.kind = '" kind "' AND n.name = x.name" key " AND (l.permits & " bit ") <> 0)"

/*
 * One query a check: what breaks the invariant, as problem, tenant, job and detail.
 * $1 is the number of the tenant, $2 its id.
 */
static const char *const checks[] = {
	/* A job that has not ended is in one place, that of its status; one that has is in none. */
	"SELECT 'place', $2, l.job_id, format('status is %s, and the queue has it %s', l.name,"
	" coalesce(string_agg(format('as %s in %s', q.name, q.place), ', ' ORDER BY q.place), 'nowhere'))"
	" FROM " LAST " l LEFT JOIN " QUEUE " q ON q.job_id = l.job_id GROUP BY l.job_id, l.name"
	" HAVING count(q.job_id) <> (NOT jobs.is_terminal(l.name))::integer OR bool_or(q.name <> l.name)"
	" OR bool_or(q.place = 'lease' AND (q.name IN ('CREATED', 'PENDING') OR jobs.is_terminal(q.name)))",

	/* The queue knows which entry is the last, and which attempt comes next. */
	"SELECT 'attempt', $2, q.job_id, format('%s has ordinal %s, attempt %s of %s; the last entry ordinal %s, attempt %s',"
	" q.place, q.ordinal, q.attempt, q.max_attempts, l.ordinal, l.attempt)"
	" FROM " QUEUE " q JOIN " LAST " l ON l.job_id = q.job_id WHERE q.ordinal <> l.ordinal OR q.attempt <> l.attempt"
	" OR q.attempt < (q.place = 'lease')::integer OR q.attempt + (q.place <> 'lease')::integer > q.max_attempts",

	/* The sweep finds a lease by check_at; its agent is the one that was given the job. */
	"SELECT 'lease', $2, l.job_id, format('agent %s until %s, looked at %s, for %s ms; given to %s',"
	" l.agent_id, l.expires, l.check_at, l.lease_ms, coalesce(h.agent_id::text, 'nobody'))"
	" FROM jobs_store.lease l LEFT JOIN LATERAL (SELECT s.agent_id FROM jobs_store.job_status s"
	" WHERE s.tenant = $1 AND s.job_id = l.job_id AND s.attempt = l.attempt AND s.name = 'CLAIMED' ORDER BY s.ordinal LIMIT 1) h ON true"
	" WHERE l.tenant = $1 AND (l.check_at > l.expires OR l.lease_ms < 1 OR h.agent_id IS DISTINCT FROM l.agent_id"
	" OR NOT EXISTS (SELECT FROM jobs_store.agent a WHERE a.tenant = $1 AND a.id = l.agent_id))",

	/* A job queues among those that are alike. */
	"SELECT 'lane', $2, q.job_id, format('lane %s of %s %s', q.lane, q.place,"
	" CASE WHEN n.lane IS NULL THEN 'is not there' ELSE 'is one for other jobs' END)"
	" FROM " QUEUE " q JOIN jobs_store.job j ON j.tenant = $1 AND j.id = q.job_id"
	" LEFT JOIN jobs_store.lane n ON n.tenant = $1 AND n.lane = q.lane"
	" WHERE (n.function_id, n.priority, n.assigned_agent_id, n.assigned_agent_pool_id, n.concurrency_key)"
	" IS DISTINCT FROM (j.function_id, j.priority, j.assigned_agent_id, j.assigned_agent_pool_id, j.concurrency_key)",

	"SELECT 'lane', $2, NULL::uuid, format('lane %s is for function %s, which is not there', n.lane, n.function_id)"
	" FROM jobs_store.lane n WHERE n.tenant = $1 AND NOT EXISTS (SELECT FROM jobs_store.function_version v"
	" WHERE v.tenant = $1 AND v.id = n.function_id)",

	/* See limit.c. */
	"SELECT 'permits', $2, NULL::uuid, format('limit %s of %s%s: %s permits and %s in use, but %s and a debt of %s', x.kind, x.name,"
	" ' ' || x.concurrency_key, x.permits, x.held, x.size, x.debt) FROM (SELECT x.*, (SELECT count(*) FROM jobs_store.permit p"
	" WHERE p.tenant = $1 AND p.limiter = x.limiter) AS permits,"
	HELD("in flight", "1", "") " + " HELD("key", "2", " AND n.concurrency_key = x.concurrency_key") " AS held"
	" FROM jobs_store.limiter x WHERE x.tenant = $1) x WHERE x.permits + x.held <> x.size + x.debt",

	/* The history: no gap, legal steps, attempts that count claims, time that does not go back. */
	"SELECT 'step', $2, e.job_id, format('entry %s is %s, attempt %s, at %s; the one before is %s', e.ordinal, e.name, e.attempt, e.created,"
	" coalesce(format('%s: %s, attempt %s, at %s', e.ordinal_before, e.name_before, e.attempt_before, e.created_before), 'not there'))"
	" FROM (SELECT e.*, lag(e.ordinal) OVER w AS ordinal_before, lag(e.name) OVER w AS name_before,"
	" lag(e.attempt) OVER w AS attempt_before, lag(e.created) OVER w AS created_before FROM " ENTRIES " e"
	" WINDOW w AS (PARTITION BY e.job_id ORDER BY e.ordinal)) e"
	" WHERE e.ordinal <> coalesce(e.ordinal_before + 1, 0)"
	" OR e.attempt <> coalesce(e.attempt_before, 0) + (e.name = 'CLAIMED' AND e.name_before IS DISTINCT FROM 'UNKNOWN')::integer"
	" OR e.created < e.created_before"
	" OR NOT (jobs.can_transition(e.name_before, e.name)"
	" OR (e.name = e.name_before AND e.name IN ('VALIDATING', 'RUNNING', 'UPLOADING')))",

	/* What a job depends on is there, and before it is handed out COMPLETED, unless it runs anyway. */
	"SELECT 'dependency', $2, d.job_id, CASE WHEN o.job_id IS NULL THEN format('depends on job %s, which is not there', d.depends_on)"
	" ELSE format('does not wait for job %s, which is %s', d.depends_on, o.name) END"
	" FROM jobs_store.job_dependency d JOIN jobs_store.job j ON j.tenant = $1 AND j.id = d.job_id"
	" LEFT JOIN " LAST " o ON o.job_id = d.depends_on"
	" LEFT JOIN " QUEUE " q ON q.job_id = d.job_id"
	" LEFT JOIN jobs_store.waiting w ON w.tenant = $1 AND w.job_id = d.job_id"
	" WHERE d.tenant = $1 AND (o.job_id IS NULL OR (q.job_id IS NOT NULL AND w.dependent IS NOT TRUE"
	" AND o.name <> 'COMPLETED' AND j.on_dependency_failure IS DISTINCT FROM 'run'))",

	"SELECT 'dependency', $2, w.job_id, format('waits for job %s, on which it does not depend', w.blocker)"
	" FROM jobs_store.waiting w WHERE w.tenant = $1 AND w.blocker IS NOT NULL AND (NOT w.dependent"
	" OR NOT EXISTS (SELECT FROM jobs_store.job_dependency d WHERE d.tenant = $1 AND d.job_id = w.job_id"
	" AND d.depends_on = w.blocker))",

	/* In a circle there is a job that depends on a younger one: the search begins with those. */
	"SELECT 'circle', $2, d.job_id, format('waits for itself, by way of job %s', d.depends_on)"
	" FROM jobs_store.job_dependency d WHERE d.tenant = $1 AND d.depends_on >= d.job_id AND EXISTS ("
	"WITH RECURSIVE up(id) AS (SELECT d.depends_on UNION SELECT x.depends_on FROM up"
	" JOIN jobs_store.job_dependency x ON x.tenant = $1 AND x.job_id = up.id)"
	" SELECT FROM up WHERE up.id = d.job_id)",

	/* The flag says what the history says, and what is archived is not handed out. */
	"SELECT 'archived', $2, r.id, format('%s is%s archived, and its history says %s', r.kind,"
	" CASE WHEN r.archived THEN '' ELSE ' not' END, coalesce(a.name, 'Active'))"
	" FROM (SELECT 'job' AS kind, id, archived FROM jobs_store.job WHERE tenant = $1"
	" UNION ALL SELECT 'model', id, archived FROM jobs_store.model WHERE tenant = $1"
	" UNION ALL SELECT 'artifact', id, archived FROM jobs_store.artifact WHERE tenant = $1) r"
	" LEFT JOIN (SELECT DISTINCT ON (x.object_id) x.object_id, x.name FROM jobs_store.archive_status x"
	" WHERE x.tenant = $1 ORDER BY x.object_id DESC, x.ordinal DESC) a ON a.object_id = r.id"
	" WHERE r.archived <> (a.name IS NOT DISTINCT FROM 'Archived')",

	"SELECT 'archived', $2, q.job_id, format('the job is archived, and in %s', q.place)"
	" FROM " QUEUE " q JOIN jobs_store.job j ON j.tenant = $1 AND j.id = q.job_id"
	" LEFT JOIN jobs_store.waiting w ON w.tenant = $1 AND w.job_id = q.job_id"
	" WHERE j.archived AND w.check_at IS DISTINCT FROM 'infinity'",

	/* All bytes of all revisions, by their number; their token is for who reads them. */
	"SELECT 'content', $2, r.resource_id, format('revision %s has %s bytes, not %s', r.revision,"
	" coalesce(c.bytes, 0), r.size) FROM jobs_store.file_revision r LEFT JOIN LATERAL (SELECT sum(octet_length(x.bytes)) AS bytes"
	" FROM jobs_store.content x WHERE x.tenant = $1 AND x.revision_id = r.id) c ON true"
	" WHERE r.tenant = $1 AND coalesce(c.bytes, 0) <> r.size",

	/* What belongs to a job that is not there. */
	"SELECT 'orphan', $2, o.job_id, format('a row of %s, and no such job', o.place)"
	" FROM (SELECT q.job_id, q.place FROM " QUEUE " q"
	" UNION SELECT s.job_id, 'job_status' FROM jobs_store.job_status s WHERE s.tenant = $1"
	" UNION SELECT d.job_id, 'job_dependency' FROM jobs_store.job_dependency d WHERE d.tenant = $1"
	" UNION SELECT k.job_id, 'job_key' FROM jobs_store.job_key k WHERE k.tenant = $1"
	" UNION SELECT a.job_id, 'artifact' FROM jobs_store.artifact a WHERE a.tenant = $1) o"
	" WHERE NOT EXISTS (SELECT FROM jobs_store.job j WHERE j.tenant = $1 AND j.id = o.job_id)",

	"SELECT 'orphan', $2, o.id, format('a row of %s, and no such resource', o.place)"
	" FROM (SELECT x.resource_id, 'file_revision' FROM jobs_store.file_revision x WHERE x.tenant = $1"
	" UNION SELECT x.resource_id, 'file' FROM jobs_store.file x WHERE x.tenant = $1"
	" UNION SELECT x.resource_id, 'comment' FROM jobs_store.comment x WHERE x.tenant = $1"
	" UNION SELECT x.resource_id, 'access' FROM jobs_store.access x WHERE x.tenant = $1) o(id, place)"
	" WHERE NOT EXISTS (SELECT FROM jobs_store.job x WHERE x.tenant = $1 AND x.id = o.id)"
	" AND NOT EXISTS (SELECT FROM jobs_store.model x WHERE x.tenant = $1 AND x.id = o.id)"
	" AND NOT EXISTS (SELECT FROM jobs_store.artifact x WHERE x.tenant = $1 AND x.id = o.id)",

	"SELECT DISTINCT 'orphan', $2, x.revision_id, 'content of a revision that is not there'"
	" FROM jobs_store.content x WHERE x.tenant = $1"
	" AND NOT EXISTS (SELECT FROM jobs_store.file_revision r WHERE r.tenant = $1 AND r.id = x.revision_id)",

	"SELECT 'orphan', $2, x.resource_id, format('comment %s answers %s, which is not there', x.id, x.parent_id)"
	" FROM jobs_store.comment x WHERE x.tenant = $1 AND x.parent_id IS NOT NULL"
	" AND NOT EXISTS (SELECT FROM jobs_store.comment p WHERE p.tenant = $1 AND p.resource_id = x.resource_id AND p.id = x.parent_id)",

	/* Who and what a job needs to be handed out and to be seen. */
	"SELECT 'reference', $2, j.id, format('%s %s is not there', m.kind, m.id) FROM jobs_store.job j"
	" LEFT JOIN jobs_store.function_version f ON f.tenant = $1 AND f.id = j.function_id"
	" LEFT JOIN jobs_store.user_account u ON u.tenant = $1 AND u.id = j.created_by_id"
	" LEFT JOIN jobs_store.model o ON o.tenant = $1 AND o.id = j.model_id"
	" LEFT JOIN jobs_store.agent a ON a.tenant = $1 AND a.id = j.assigned_agent_id"
	" LEFT JOIN jobs_store.agent_pool p ON p.tenant = $1 AND p.id = j.assigned_agent_pool_id"
	" CROSS JOIN LATERAL (VALUES ('function', j.function_id, f.id), ('user', j.created_by_id, u.id), ('model', j.model_id, o.id),"
	" ('agent', j.assigned_agent_id, a.id), ('agent pool', j.assigned_agent_pool_id, p.id)) m(kind, id, found)"
	" WHERE j.tenant = $1 AND m.id IS NOT NULL AND m.found IS NULL",

	/* A schedule runs again unless it is paused, and there is somebody whose jobs it adds. */
	"SELECT 'schedule', $2, NULL::uuid, format('schedule %s of user %s%s is paused since %s, and runs next at %s', s.name, s.created_by_id,"
	" CASE WHEN u.id IS NULL THEN ', who is not there,' END, coalesce(s.paused::text, 'never'), coalesce(s.next_run::text, 'no time'))"
	" FROM jobs_store.schedule s LEFT JOIN jobs_store.user_account u ON u.tenant = $1 AND u.id = s.created_by_id"
	" WHERE s.tenant = $1 AND (u.id IS NULL OR (s.paused IS NULL) <> (s.next_run IS NOT NULL))",

	/* What is drawn next comes after everything that is there. */
	"SELECT 'sequence', $2, NULL::uuid, format('%s has %s, and its sequence is at %s', m.place, m.value, m.last)"
	" FROM (SELECT 'ready', (SELECT max(seq) FROM jobs_store.ready WHERE tenant = $1), s.last_value FROM jobs_store.ready_seq s"
	" UNION ALL SELECT 'permit', (SELECT max(seq) FROM jobs_store.permit WHERE tenant = $1), s.last_value FROM jobs_store.ready_seq s"
	" UNION ALL SELECT 'lane', (SELECT max(lane) FROM jobs_store.lane WHERE tenant = $1), s.last_value FROM jobs_store.lane_seq s)"
	" m(place, value, last) WHERE m.value > m.last",
};

static JobsStatement own_tenant = {
	.sql = "SELECT tenant, id FROM jobs_store.tenant WHERE tenant = $1",
	.types = "i",
	.expected = SPI_OK_SELECT
};

static JobsStatement all_tenants = {
	.sql = "SELECT tenant, id FROM jobs_store.tenant ORDER BY tenant",
	.types = "",
	.expected = SPI_OK_SELECT
};

Datum
jobs_check_integrity(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	JobsCall	call;
	JobsResult	tenants;

	jobs_arg_require(fcinfo, 0, "all_tenants");
	InitMaterializedSRF(fcinfo, 0);
	jobs_enter(fcinfo, &call);
	if (PG_GETARG_BOOL(0))
	{
		jobs_all_tenants_require(&call, "check all tenants");
		tenants = jobs_run(&all_tenants);
	}
	else
	{
		jobs_administrator_require(&call, "check what is stored");
		tenants = jobs_run(&own_tenant, A_INT4(call.caller.tenant));
	}
	for (uint64 row = 0; row < tenants.count; row++)
	{
		JobsArg		args[] = {
			jobs_datum(jobs_column(&tenants, row, 1, NULL), false),
			jobs_datum(jobs_column(&tenants, row, 2, NULL), false)
		};

		for (int i = 0; i < countof(checks); i++)
			jobs_store_query(rsinfo, checks[i], "iu", args);
	}
	jobs_leave(&call);
	return (Datum) 0;
}
