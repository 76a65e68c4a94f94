-- 39_policy: what administrators say about a function: limits, retries, pause.

CREATE FUNCTION jobs.set_function_policy(
	function text,
	max_run_time interval DEFAULT NULL,
	start_timeout interval DEFAULT NULL,
	backoff text DEFAULT NULL,
	backoff_base interval DEFAULT NULL,
	backoff_cap interval DEFAULT NULL,
	max_in_flight integer DEFAULT NULL,
	max_in_flight_per_key integer DEFAULT NULL,
	rate_limit integer DEFAULT NULL,
	rate_interval interval DEFAULT NULL
) RETURNS void
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_set_function_policy' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.set_function_policy(text, interval, interval, text, interval, interval, integer, integer, integer, interval) IS 'sets all limits of a function, for all its versions; what is not given is not limited. An attempt that takes longer than max_run_time ends, heartbeats or not; a job that is PENDING for start_timeout is FAILED. backoff (exponential, fixed or none), backoff_base and backoff_cap are the waits between attempts. No more than max_in_flight jobs are in flight at once, nor more than max_in_flight_per_key (NULL: 1) of those with one concurrency_key, and no more than rate_limit start within any rate_interval. Limits are for jobs that are claimed from then on; sessions know them within 50 ms. For administrators. Errors: 22004, 22023 (times of 0 or more than 366 days, numbers below 1 or above 100000, half a rate), 42501, JB404';

CREATE FUNCTION jobs.pause_function(function text, reason text DEFAULT NULL) RETURNS void
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_pause_function' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.pause_function(text, text) IS 'no job of the function is handed out until it is resumed; those in flight go on. Sessions know it within 50 ms. Again: only the reason changes. For administrators. Errors: 22004, 22001, 42501, JB404';

CREATE FUNCTION jobs.resume_function(function text) RETURNS void
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_resume_function' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.resume_function(text) IS 'undoes pause_function; nothing happens when the function is not paused. For administrators. Errors: 22004, 42501, JB404';

CREATE FUNCTION jobs_store.forget_keys() RETURNS integer
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_forget_keys' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs_store.forget_keys() IS 'forgets concurrency keys of the caller''s tenant that no job has any more, as the sweep does once a minute; answers how many lanes';
