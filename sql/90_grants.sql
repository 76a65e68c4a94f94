-- 90_grants: every privilege. Start from nothing; the storage is granted to
-- nobody. The functions of schema jobs identify the caller themselves and
-- refuse a role that stands for no user, and the views show it nothing, so
-- both are open to all roles: adding a user is all that it takes.

REVOKE ALL ON SCHEMA jobs, jobs_store FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA jobs, jobs_store FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA jobs, jobs_store FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA jobs, jobs_store FROM PUBLIC;

GRANT USAGE ON SCHEMA jobs TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA jobs TO PUBLIC;
GRANT SELECT ON jobs.job_list, jobs.job_status_list, jobs.queue_stats, jobs.throughput,
	jobs.function_policies, jobs.retention, jobs.schedules, jobs.agent_stats, jobs.stuck_jobs TO PUBLIC;

-- Functions in a view run with the rights of who reads the view.
GRANT EXECUTE ON FUNCTION jobs_store.caller_tenant(), jobs_store.part_id(uuid, integer),
	jobs_store.id_time(uuid), jobs_store.may_see(uuid) TO PUBLIC;
