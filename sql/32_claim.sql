-- 32_claim: handing jobs to agents.

CREATE FUNCTION jobs.claim_jobs(agent_id uuid, "limit" integer DEFAULT 1, lease interval DEFAULT '60 s') RETURNS SETOF jobs.claimed_job
	AS 'MODULE_PATHNAME', 'jobs_claim_jobs' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1;
COMMENT ON FUNCTION jobs.claim_jobs(uuid, integer, interval) IS 'hands up to "limit" (1 to 10000) jobs to an agent, highest priority first, then oldest; no row when there is none. A job that comes into an empty lane is seen within 25 ms by an agent that finds other work. The agent holds each until lease_expires, unless it sends heartbeats. Errors: 22004, 22023, 42501 (the agent is another user''s), JB404';

CREATE FUNCTION jobs.finish_and_claim(
	job_id uuid,
	name jobs.job_status_name,
	message text DEFAULT NULL,
	agent_id uuid DEFAULT NULL,
	"limit" integer DEFAULT 1,
	lease interval DEFAULT '60 s',
	attempt integer DEFAULT NULL,
	retry boolean DEFAULT true
) RETURNS SETOF jobs.claimed_job
	AS 'MODULE_PATHNAME', 'jobs_finish_and_claim' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1;
COMMENT ON FUNCTION jobs.finish_and_claim(uuid, jobs.job_status_name, text, uuid, integer, interval, integer, boolean) IS 'reports a terminal status of a job that the agent holds and claims the next in the same transaction: update_job_status and claim_jobs for the price of one commit. agent_id is required. Errors: those of both, and 22023 for a status that is not terminal';

CREATE FUNCTION jobs.get_job_for_agent(agent_id uuid) RETURNS jobs.response_get_job_for_agent
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_get_job_for_agent' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.get_job_for_agent(uuid) IS 'claims the next job for an agent, with a lease of 60 s, and answers it with all its parts, or says why there is none. Errors: 22004, 42501 (the agent is another user''s), JB404';

CREATE FUNCTION jobs_store.lane_marks(OUT tenant integer, OUT lane integer, OUT mark bigint, OUT safe bigint, OUT head bigint) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'jobs_lane_marks' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION jobs_store.lane_marks() IS 'what this session knows of the lanes it has claimed from: scans start at mark, nothing can appear below safe, the oldest job is at or after head';

CREATE FUNCTION jobs_store.hot_in_use() RETURNS boolean
	AS 'MODULE_PATHNAME', 'jobs_hot_in_use' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs_store.hot_in_use() IS 'whether claims and final reports of this transaction read and write rows without a plan: so it is unless jobs.direct is off, the transaction keeps its snapshot, or the tables are not as the extension made them (a trigger or row security was added, for instance)';
