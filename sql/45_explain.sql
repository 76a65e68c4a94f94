-- 45_explain: why a job is not running yet.

CREATE FUNCTION jobs.explain_job(job_id uuid) RETURNS text
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_explain_job' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.explain_job(uuid) IS 'why a job is not running yet, in sentences: a line for each thing that it waits for now. For programs there is jobs.job_obstacles. Errors: 22004, JB404';

CREATE FUNCTION jobs.job_obstacles(job_id uuid)
	RETURNS TABLE (reason text, message text, until timestamptz, waits_for uuid)
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_job_obstacles' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 3;
COMMENT ON FUNCTION jobs.job_obstacles(uuid) IS 'why a job is not running yet: one row for each thing that it waits for now, with a word for programs (ended, in flight, archived, dependency, retry, run_after, sweep, paused, no agent, limit, concurrency key, rate, queue) and a sentence for people. until: when that is over, or when the lease of the agent ends; NULL: not known. waits_for: the job that it depends on, NULL for other reasons; the first ten are named. Errors: 22004, JB404';
