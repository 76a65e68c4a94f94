-- 31_job: adding and reading jobs.

CREATE FUNCTION jobs.add_job(
	function text,
	model_id uuid DEFAULT NULL,
	parameters jsonb DEFAULT '{}',
	tool_name text DEFAULT NULL,
	tool_version text DEFAULT NULL,
	operating_system text DEFAULT NULL,
	function_version text DEFAULT NULL,
	assigned_agent_id uuid DEFAULT NULL,
	assigned_agent_pool_id uuid DEFAULT NULL,
	agent_id uuid DEFAULT NULL,
	sources jobs.source[] DEFAULT NULL,
	description text DEFAULT NULL,
	display_name text DEFAULT NULL,
	version_name text DEFAULT NULL,
	external_identifier text DEFAULT NULL,
	priority integer DEFAULT 0,
	run_after timestamptz DEFAULT NULL,
	depends_on uuid[] DEFAULT NULL,
	max_attempts integer DEFAULT 1,
	idempotency_key text DEFAULT NULL,
	on_dependency_failure text DEFAULT 'cancel',
	concurrency_key text DEFAULT NULL,
	backoff text DEFAULT NULL,
	backoff_base interval DEFAULT NULL,
	backoff_cap interval DEFAULT NULL
) RETURNS jobs.job
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_add_job' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.add_job(text, uuid, jsonb, text, text, text, text, uuid, uuid, uuid, jobs.source[], text, text, text, text, integer, timestamptz, uuid[], integer, text, text, text, text, interval, interval) IS 'new job for the newest registered version of the function that fits what is given of version, tool and operating system. It is PENDING at once, or CREATED until run_after has come and all of depends_on are COMPLETED. agent_id is another name for assigned_agent_id. With an idempotency_key that the tenant has used, the job that is there. on_dependency_failure says what happens when one of depends_on is FAILED or CANCELED: cancel, or run it anyway. Of the jobs of a function with the same concurrency_key no more than one is in flight, or what jobs.set_function_policy says. backoff (exponential, fixed or none), backoff_base and backoff_cap are the waits between attempts, in place of those of the function. Errors: 22004, 22001, 22023, 42501 (may not start jobs on the model), JB404';

CREATE FUNCTION jobs.add_jobs(jobs jsonb) RETURNS SETOF uuid
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_add_jobs' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1000;
COMMENT ON FUNCTION jobs.add_jobs(jsonb) IS 'adds all jobs of an array of objects, whose keys are the arguments of add_job, or none; at most 10000. Answers the ids in the order of the array. Errors as add_job, naming the element, and 22023 for an unknown key or a value that does not fit';

CREATE FUNCTION jobs.get_job(job_id uuid) RETURNS jobs.job
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_get_job' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.get_job(uuid) IS 'a job with all its parts. Errors: 22004, JB404';

CREATE FUNCTION jobs.add_dependencies(job_id uuid, depends_on uuid[]) RETURNS jobs.job_status
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_add_dependencies' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.add_dependencies(uuid, uuid[]) IS 'makes a job that is CREATED or PENDING wait for further jobs to be COMPLETED; a PENDING one is CREATED again. Answers its history entry then. For editors of the job. Errors: 22004, 22023 (more than 10000, or the job would wait for itself), 0A000 (repeatable read or serializable), 42501, JB404, JB409 (in flight or ended)';

CREATE FUNCTION jobs.update_job_agent(job_id uuid, assigned_agent jobs.new_job_assigned_agent) RETURNS jobs.job
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_update_job_agent' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.update_job_agent(uuid, jobs.new_job_assigned_agent) IS 'assigns a job that is CREATED or PENDING to an agent, in place of the agent or pool that it was assigned to; only that one can claim it then, and it is the last in the queue of that agent. Answers the job. For editors. Errors: 22004, 42501, JB404 (job or agent), JB409 (in flight or ended)';
