-- 40_sweep: the one maintenance pass.

CREATE FUNCTION jobs.sweep() RETURNS integer
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_sweep' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.sweep() IS 'one pass of maintenance over the caller''s tenant: schedules that are due add their jobs, jobs whose time has come become PENDING, jobs whose lease ran out become UNKNOWN and then PENDING, CREATED or FAILED. Bounded; answers how many jobs it moved or added, 0 when there was nothing left to do. Claims call it by themselves, at most once per jobs.sweep_interval';

CREATE FUNCTION jobs_store.retry_delay(attempt integer, backoff text, backoff_base interval, backoff_cap interval) RETURNS interval
	AS 'MODULE_PATHNAME', 'jobs_retry_delay' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION jobs_store.retry_delay(integer, text, interval, interval) IS 'wait after an attempt; differs from call to call when the back-off is exponential. NULL: exponential, and the settings jobs.retry_base and jobs.retry_cap';

CREATE TYPE jobs_store.dependency_state AS (job_id uuid, name jobs.job_status_name);
COMMENT ON TYPE jobs_store.dependency_state IS 'a job that another one waits for, and how it is';

CREATE TYPE jobs_store.run_limit AS (until timestamptz, max_run_time interval);
COMMENT ON TYPE jobs_store.run_limit IS 'when an attempt must end, and how long it may take';

CREATE VIEW jobs_store.job_backoff AS
	SELECT j.tenant, j.id AS job_id, coalesce(j.backoff, p.backoff) AS backoff,
		coalesce(j.backoff_base, p.backoff_base) AS backoff_base, coalesce(j.backoff_cap, p.backoff_cap) AS backoff_cap
	FROM jobs_store.job j
		CROSS JOIN LATERAL (SELECT x.name FROM jobs_store.function_version x WHERE x.tenant = j.tenant AND x.id = j.function_id OFFSET 0) v
		LEFT JOIN LATERAL (SELECT * FROM jobs_store.function_policy x WHERE x.tenant = j.tenant AND x.name = v.name OFFSET 0) p ON true;
COMMENT ON VIEW jobs_store.job_backoff IS 'how long a job waits between attempts: what it says itself, else its function; NULL: as the settings say';
