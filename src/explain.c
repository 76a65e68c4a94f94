/*-------------------------------------------------------------------------
 *
 * explain.c
 *		Why a job is not running yet.
 *
 * Each reason is one row, from what the queue, the policies and the agents are
 * now; all that apply are given, those that come first in time first. Reads only.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(jobs_explain_job);
PG_FUNCTION_INFO_V1(jobs_job_obstacles);

/* Columns of the statement below; before them stands the place of the row. */
#define REASON 2
#define MESSAGE 3

/* How far the place in a lane is counted, and how many dependencies are named; part of the statement. */
#define FAR		"10000"
#define SOME	"10"

/* Permits of limiter x that can be taken now. */
#define PERMIT_DUE \
	"(SELECT 1 FROM jobs_store.permit p WHERE p.tenant = $1 AND p.limiter = x.limiter AND p.due <= clock_timestamp() LIMIT 1)"

/* When the next permit of a rate is due. */
#define NEXT_PERMIT \
	"(SELECT min(p.due) FROM jobs_store.permit p WHERE p.tenant = $1 AND p.limiter = x.limiter)"

static JobsStatement explain = {
	.sql = "WITH j AS MATERIALIZED (SELECT j.id, j.archived, j.run_after, j.assigned_agent_id, j.assigned_agent_pool_id, j.concurrency_key,"
	" s.name AS status, s.created AS since, s.attempt, v.id AS function_id, v.name AS function, v.version, w.job_id IS NOT NULL AS waits,"
	" w.check_at, w.dependent, r.job_id IS NOT NULL AS ready, r.lane, r.seq, g.name AS agent, l.expires"
	" FROM jobs_store.job j"
	" CROSS JOIN LATERAL (SELECT * FROM jobs_store.current_status x WHERE x.tenant = $1 AND x.job_id = j.id OFFSET 0) s"
	" CROSS JOIN LATERAL (SELECT * FROM jobs_store.function_version x WHERE x.tenant = $1 AND x.id = j.function_id OFFSET 0) v"
	" LEFT JOIN LATERAL (SELECT * FROM jobs_store.waiting x WHERE x.tenant = $1 AND x.job_id = j.id OFFSET 0) w ON true"
	" LEFT JOIN LATERAL (SELECT * FROM jobs_store.ready x WHERE x.tenant = $1 AND x.job_id = j.id OFFSET 0) r ON true"
	" LEFT JOIN LATERAL (SELECT x.agent_id FROM jobs_store.job_status x WHERE x.tenant = $1 AND x.job_id = j.id"
	" AND x.name = 'CLAIMED' ORDER BY x.ordinal DESC LIMIT 1) h ON true"
	" LEFT JOIN LATERAL (SELECT * FROM jobs_store.lease x WHERE x.tenant = $1 AND x.agent_id = h.agent_id AND x.job_id = j.id OFFSET 0) l ON true"
	" LEFT JOIN LATERAL (SELECT * FROM jobs_store.agent x WHERE x.tenant = $1 AND x.id = h.agent_id OFFSET 0) g ON true"
	" WHERE j.tenant = $1 AND j.id = $2),"
	/* The function of a job that has neither ended nor begun. */
	" f AS MATERIALIZED (SELECT j.*, p.paused, p.pause_reason, p.max_in_flight, p.max_in_flight_per_key, p.rate_limit, p.rate_interval"
	" FROM j LEFT JOIN LATERAL (SELECT * FROM jobs_store.function_policy x WHERE x.tenant = $1 AND x.name = j.function OFFSET 0) p ON true"
	" WHERE j.waits OR j.ready)"

	" SELECT 1 AS n, 'ended' AS reason, format('it is %s', j.status) AS message, NULL::timestamptz AS until, NULL::uuid AS waits_for"
	" FROM j WHERE jobs.is_terminal(j.status)"
	" UNION ALL SELECT 2, 'in flight', format(CASE WHEN j.status = 'UNKNOWN' THEN 'agent %s has it and was not heard of in time' ELSE 'agent %s has it' END, j.agent), j.expires, NULL"
	" FROM j WHERE NOT jobs.is_terminal(j.status) AND NOT j.waits AND NOT j.ready"
	" UNION ALL SELECT 3, 'archived', 'it is archived: jobs.restore puts it back into the queue', NULL, NULL FROM j WHERE j.archived AND j.waits"

	" UNION ALL (SELECT 4, 'dependency', format('it depends on job %s, which is %s', s.job_id, s.name), NULL, s.job_id"
	" FROM j CROSS JOIN LATERAL (SELECT x.depends_on FROM jobs_store.job_dependency x WHERE x.tenant = $1 AND x.job_id = j.id ORDER BY x.depends_on OFFSET 0) d"
	" CROSS JOIN LATERAL (SELECT x.job_id, x.name FROM jobs_store.current_status x WHERE x.tenant = $1 AND x.job_id = d.depends_on OFFSET 0) s"
	" WHERE j.waits AND j.dependent AND s.name <> 'COMPLETED' LIMIT " SOME ")"

	" UNION ALL SELECT 5, CASE WHEN j.attempt > 0 THEN 'retry' ELSE 'run_after' END,"
	" format(CASE WHEN j.attempt > 0 THEN 'attempt %s is not before %s' ELSE 'not before %2$s' END, j.attempt + 1, t.at), t.at, NULL"
	" FROM j CROSS JOIN LATERAL (SELECT CASE WHEN j.dependent THEN j.run_after ELSE j.check_at END AS at) t"
	" WHERE j.waits AND t.at > clock_timestamp() AND t.at < 'infinity'"
	" UNION ALL SELECT 6, 'sweep', 'it is due: the next sweep puts it into the queue', NULL, NULL"
	" FROM j WHERE j.waits AND NOT j.dependent AND j.check_at <= clock_timestamp()"

	" UNION ALL SELECT 7, 'paused', format('function %s is paused since %s%s', f.function, f.paused, ': ' || f.pause_reason), NULL, NULL"
	" FROM f WHERE f.paused IS NOT NULL"

	" UNION ALL SELECT 8, 'no agent', CASE WHEN f.assigned_agent_id IS NOT NULL THEN format('the agent it is assigned to does not serve function %s %s', f.function, f.version)"
	" WHEN f.assigned_agent_pool_id IS NOT NULL THEN format('no agent of the pool it is assigned to serves function %s %s', f.function, f.version)"
	" ELSE format('no agent serves function %s %s', f.function, f.version) END, NULL, NULL FROM f"
	" WHERE (SELECT 1 FROM jobs_store.agent_function x WHERE x.tenant = $1 AND x.function_id = f.function_id"
	" AND (f.assigned_agent_id IS NULL OR x.agent_id = f.assigned_agent_id)"
	" AND (f.assigned_agent_pool_id IS NULL OR (SELECT true FROM jobs_store.agent_pool_member m"
	" WHERE m.tenant = $1 AND m.agent_id = x.agent_id AND m.agent_pool_id = f.assigned_agent_pool_id)) LIMIT 1) IS NULL"

	" UNION ALL SELECT 9, 'limit', format('%s jobs of function %s are in flight, and that is its limit', f.max_in_flight, f.function), NULL, NULL"
	" FROM f CROSS JOIN LATERAL (SELECT x.limiter FROM jobs_store.limiter x WHERE x.tenant = $1 AND x.name = f.function AND x.kind = 'in flight'"
	" AND x.concurrency_key IS NULL OFFSET 0) x WHERE f.max_in_flight IS NOT NULL AND " PERMIT_DUE " IS NULL"
	" UNION ALL SELECT 10, 'concurrency key', format('%s jobs with concurrency key \"%s\" are in flight, and that is its limit',"
	" coalesce(f.max_in_flight_per_key, 1), f.concurrency_key), NULL, NULL"
	" FROM f CROSS JOIN LATERAL (SELECT x.limiter FROM jobs_store.limiter x WHERE x.tenant = $1 AND x.name = f.function AND x.kind = 'key'"
	" AND x.concurrency_key = f.concurrency_key OFFSET 0) x WHERE " PERMIT_DUE " IS NULL"
	" UNION ALL SELECT 11, 'rate', format('%s jobs of function %s have started within %s, and that is its limit', f.rate_limit, f.function, f.rate_interval), "
	NEXT_PERMIT ", NULL"
	" FROM f CROSS JOIN LATERAL (SELECT x.limiter FROM jobs_store.limiter x WHERE x.tenant = $1 AND x.name = f.function AND x.kind = 'rate'"
	" AND x.concurrency_key IS NULL OFFSET 0) x WHERE f.rate_limit IS NOT NULL AND " PERMIT_DUE " IS NULL"

	" UNION ALL SELECT 12, 'queue', CASE q.before WHEN 0 THEN 'it is the next of its lane' ELSE format('%s jobs of its lane are before it',"
	" CASE WHEN q.before > " FAR " THEN 'more than " FAR "' ELSE q.before::text END) END, NULL, NULL"
	" FROM f CROSS JOIN LATERAL (SELECT count(*) AS before FROM (SELECT FROM jobs_store.ready x WHERE x.tenant = $1 AND x.lane = f.lane"
	" AND x.seq < f.seq ORDER BY x.seq LIMIT " FAR " + 1) y) q WHERE f.ready ORDER BY 1",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

/* Becomes the owner, too: to be ended with jobs_leave. */
static JobsResult
find_reasons(FunctionCallInfo fcinfo, JobsCall *call)
{
	pg_uuid_t  *job_id;

	jobs_arg_require(fcinfo, 0, "job_id");
	job_id = PG_GETARG_UUID_P(0);
	jobs_enter(fcinfo, call);
	if (strcmp(jobs_access_require(call, job_id, JOBS_VIEWER, "see"), "job") != 0)
		jobs_error_not_found("job", job_id);
	return jobs_run(&explain, A_INT4(call->caller.tenant), A_PTR(job_id));
}

Datum
jobs_explain_job(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	JobsResult	found = find_reasons(fcinfo, &call);
	MemoryContext old = MemoryContextSwitchTo(call.outer);
	StringInfoData words;

	initStringInfo(&words);
	for (uint64 row = 0; row < found.count; row++)
		appendStringInfo(&words, "%s%s", row == 0 ? "" : "\n",
						 TextDatumGetCString(jobs_column(&found, row, MESSAGE, NULL)));
	MemoryContextSwitchTo(old);
	jobs_leave(&call);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(words.data, words.len));
}

Datum
jobs_job_obstacles(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	JobsCall	call;
	JobsResult	found;

	InitMaterializedSRF(fcinfo, 0);
	found = find_reasons(fcinfo, &call);
	for (uint64 row = 0; row < found.count; row++)
	{
		Datum		values[4];
		bool		nulls[4];

		for (int i = 0; i < 4; i++)
			values[i] = jobs_column(&found, row, i + REASON, &nulls[i]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	jobs_leave(&call);
	return (Datum) 0;
}
