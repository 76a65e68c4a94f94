-- 33_lifecycle: what happens to a job after it was added.

CREATE FUNCTION jobs.update_job_status(
	job_id uuid,
	name jobs.job_status_name,
	message text DEFAULT NULL,
	agent_id uuid DEFAULT NULL,
	attempt integer DEFAULT NULL,
	retry boolean DEFAULT true
) RETURNS jobs.job_status
	AS 'MODULE_PATHNAME', 'jobs_update_job_status' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.update_job_status(uuid, jobs.job_status_name, text, uuid, integer, boolean) IS 'reports a status and answers the history entry that is current then. With agent_id that agent must hold the lease (and, with attempt, that very attempt), else JB410; any report extends the lease. FAILED with attempts left puts the job back to wait for the next, unless retry is false. The same terminal report again answers the entry that is there. The same status again adds an entry only with a message. Without agent_id the caller acts as a user: FAILED or CANCELED only. Errors: 22004, 22023, 42501, JB404, JB409, JB410';

-- Five arguments are required here so that a call of the single form with four
-- untyped parameters, as drivers send it, can only mean the single form.
CREATE FUNCTION jobs.update_job_status(
	job_ids uuid[],
	names jobs.job_status_name[],
	messages text[],
	agent_id uuid,
	attempts integer[],
	retry boolean DEFAULT true
) RETURNS SETOF jobs.status_report
	AS 'MODULE_PATHNAME', 'jobs_update_job_statuses' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION jobs.update_job_status(uuid[], jobs.job_status_name[], text[], uuid, integer[], boolean) IS 'reports the status of up to 10000 jobs that an agent holds and answers, per job and in the order given, its status then or what was wrong with it. An array of one name or message goes for all; messages and attempts may be NULL. Errors for the whole: 22004, 22023 (lengths that do not fit), 42501, JB404 (no such agent)';

CREATE FUNCTION jobs.heartbeat(agent_id uuid, job_ids uuid[] DEFAULT NULL) RETURNS jobs.no_op_response
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_heartbeat' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.heartbeat(uuid, uuid[]) IS 'extends the leases of an agent by their length, from now: of job_ids, or of all its jobs when NULL. status is ok, or canceled or lost, with a message that names the jobs to drop. Errors: 22004, 22023 (more than 10000), 42501, JB404 (no such agent)';

CREATE FUNCTION jobs.release_job(job_id uuid, agent_id uuid, run_after timestamptz DEFAULT NULL, message text DEFAULT NULL) RETURNS jobs.job_status
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_release_job' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.release_job(uuid, uuid, timestamptz, text) IS 'gives a job back unfinished: PENDING at once, or CREATED until run_after. It costs none of the job''s attempts. Errors: 22004, 22001, 42501, JB404, JB410';

CREATE FUNCTION jobs.cancel_job(job_id uuid, reason text DEFAULT NULL) RETURNS jobs.no_op_response
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_cancel_job' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.cancel_job(uuid, text) IS 'withdraws a job; an agent that runs it learns it from its next heartbeat or report. status is canceled, or no_op when the job had ended before. Errors: 22004, 42501, JB404';

CREATE FUNCTION jobs.retry_job(job_id uuid, message text DEFAULT NULL) RETURNS jobs.job_status
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_retry_job' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.retry_job(uuid, text) IS 'revives a FAILED or CANCELED job by hand, with as many further attempts as it had at first. It is PENDING, or CREATED when it has a run_after that is still to come or depends on other jobs; those that were canceled because of it stay so. Answers its history entry then. For editors. Errors: 22004, 22001, 42501, JB404, JB409 (not FAILED or CANCELED, or archived)';
