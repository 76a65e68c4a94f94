-- 46_wait: waiting for a job to end.

CREATE FUNCTION jobs.poll_job(job_id uuid, timeout interval DEFAULT NULL, "interval" interval DEFAULT '5 s') RETURNS jobs.job_status_name
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_poll_job' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.poll_job(uuid, interval, interval) IS 'waits until a job has ended and answers its status: looks every "interval", and gives up after timeout (NULL: never). It holds no lock, but the snapshot of the query that calls it. Errors: 0A000 (would have to wait in REPEATABLE READ or SERIALIZABLE), 22004, 22023 (times of 0 or more than 366 days), 57014 (timeout), JB404 (also when it is pruned meanwhile)';
