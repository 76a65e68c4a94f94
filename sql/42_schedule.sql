-- 42_schedule: jobs that come again and again.

CREATE FUNCTION jobs.add_schedule(
	name text,
	cron text,
	job jsonb,
	time_zone text DEFAULT 'UTC',
	missed text DEFAULT 'skip',
	overlap boolean DEFAULT false
) RETURNS timestamptz
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_add_schedule' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.add_schedule(text, text, jsonb, text, text, boolean) IS 'adds a job whenever cron says, by the clock of time_zone, in the name and with the rights of the user who calls, as they are then. cron is five fields (minute, hour, day of the month, month, day of the week; lists, ranges, steps, names; 7 is Sunday) or @yearly, @monthly, @weekly, @daily, @hourly; see jobs.next_runs. job is an object whose keys are the arguments of add_job, but run_after, depends_on and idempotency_key. The sweep adds the jobs, so they come up to jobs.sweep_interval later, while anybody claims or sweeps. What is more than 5 minutes late is left out with missed => skip, or made up for by one job with missed => once. Without overlap no job comes while the last one has not ended. Answers the time of the next job; NULL while the schedule is paused. A name that the user has used before: the schedule is replaced. Errors: 22004, 22001, 22023 (no such expression, time zone or missed; a day that never comes; the job does not fit), 42501 (the name is in use by another user; may not start jobs on the model), JB404';

CREATE FUNCTION jobs.remove_schedule(name text) RETURNS void
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_remove_schedule' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.remove_schedule(text) IS 'no further jobs come of the schedule; those that are there stay. For its user and administrators. Errors: 22004, 22001, 22023, JB404';

CREATE FUNCTION jobs.pause_schedule(name text) RETURNS void
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_pause_schedule' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.pause_schedule(text) IS 'no jobs come of the schedule until it is resumed; nothing happens when it is paused. For its user and administrators. Errors: 22004, 22001, 22023, JB404';

CREATE FUNCTION jobs.resume_schedule(name text) RETURNS timestamptz
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_resume_schedule' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.resume_schedule(text) IS 'undoes pause_schedule; what would have come in between does not. Answers the time of the next job. For its user and administrators. Errors: 22004, 22001, 22023, JB404';

CREATE FUNCTION jobs.next_runs(
	cron text,
	time_zone text DEFAULT 'UTC',
	after timestamptz DEFAULT pg_catalog.now(),
	count integer DEFAULT 5
) RETURNS SETOF timestamptz
	AS 'MODULE_PATHNAME', 'jobs_next_runs' LANGUAGE C STABLE PARALLEL SAFE ROWS 5;
COMMENT ON FUNCTION jobs.next_runs(text, text, timestamptz, integer) IS 'the next times, later than after, that a cron expression means by the clock of a time zone, earliest first; fewer than count (1 to 1000) only if there are no more within 50 years. When the clock is put forward, times that it leaves out come at once, together; when it is put back, times that it shows twice come the first time. Where minute or hour starts with * it is the time elapsed that counts: what is left out does not come, and what is shown twice comes twice. Errors: 22004, 22008 (after is not within the years 1 to 9999), 22023';
