-- 50_views: for people and reporting tools. Each row is filtered by what the
-- caller may see; a role that stands for no user sees nothing.
-- The three questions about the caller are sub-selects, so that they are asked
-- once a query and not once a row.

CREATE VIEW jobs_store.visible_job AS
	SELECT j.*
	FROM jobs_store.job j
	WHERE j.tenant = (SELECT jobs_store.caller_tenant())
		AND ((SELECT jobs.is_administrator())
			OR j.created_by_id = (SELECT jobs.current_user_id())
			OR EXISTS (SELECT FROM jobs_store.access a
				WHERE a.tenant = j.tenant AND a.resource_id = j.id AND a.subject_id = (SELECT jobs.current_user_id()))
			OR EXISTS (SELECT FROM jobs_store.agent g JOIN jobs_store.lease l ON l.tenant = g.tenant AND l.agent_id = g.id
				WHERE g.tenant = j.tenant AND g.created_by_id = (SELECT jobs.current_user_id()) AND l.job_id = j.id));
COMMENT ON VIEW jobs_store.visible_job IS 'the jobs that the caller may see';

CREATE VIEW jobs.job_list WITH (security_barrier) AS
	SELECT j.id, j.created, CASE WHEN r.resource_id IS NOT NULL THEN coalesce(r.display_name, r.name)
			ELSE coalesce(j.display_name, pg_catalog.split_part(v.name, ':', 2) || '.json') END AS name,
		v.name AS function, v.version AS function_version,
		s.name AS status, s.created AS status_since, s.message,
		g.name AS agent, s.attempt, j.priority,
		coalesce(c.created, CASE WHEN NOT jobs.is_terminal(s.name) THEN pg_catalog.now() ELSE s.created END) - j.created AS wait_time,
		CASE WHEN jobs.is_terminal(s.name) THEN s.created WHEN s.name >= 'CLAIMED' THEN pg_catalog.now() END - c.created AS run_time,
		j.model_id AS model, u.email AS creator, j.archived
	FROM jobs_store.visible_job j
		JOIN jobs_store.function_version v ON v.tenant = j.tenant AND v.id = j.function_id
		JOIN jobs_store.user_account u ON u.tenant = j.tenant AND u.id = j.created_by_id
		JOIN jobs_store.current_status s ON s.tenant = j.tenant AND s.job_id = j.id
		LEFT JOIN LATERAL (SELECT h.created, h.agent_id FROM jobs_store.job_status h
			WHERE h.tenant = j.tenant AND h.job_id = j.id AND h.name = 'CLAIMED'
			ORDER BY h.ordinal DESC LIMIT 1) c ON true
		LEFT JOIN LATERAL (SELECT f.resource_id, f.name, f.display_name FROM jobs_store.file_revision f
			WHERE f.tenant = j.tenant AND f.resource_id = j.id
			ORDER BY f.revision DESC LIMIT 1) r ON true
		LEFT JOIN jobs_store.agent g ON g.tenant = j.tenant AND g.id = c.agent_id;
COMMENT ON VIEW jobs.job_list IS 'one flat row a job. agent, wait_time (until then) and run_time (from then on) are of the last time it was handed out; attempt counts those';

CREATE VIEW jobs.job_status_list WITH (security_barrier) AS
	SELECT j.id AS job_id, s.ordinal, s.created, s.name AS status, s.message, s.attempt,
		g.name AS agent, u.email AS "user",
		lead(s.created) OVER (PARTITION BY j.id ORDER BY s.ordinal) - s.created AS duration
	FROM jobs_store.visible_job j
		CROSS JOIN LATERAL (
			SELECT 0 AS ordinal, j.created, j.first_status AS name, NULL::text AS message, 0 AS attempt, NULL::uuid AS agent_id, j.created_by_id
			UNION ALL
			SELECT h.ordinal, h.created, h.name, h.message, h.attempt, h.agent_id, h.created_by_id
			FROM jobs_store.job_status h WHERE h.tenant = j.tenant AND h.job_id = j.id) s
		LEFT JOIN jobs_store.agent g ON g.tenant = j.tenant AND g.id = s.agent_id
		LEFT JOIN jobs_store.user_account u ON u.tenant = j.tenant AND u.id = s.created_by_id;
COMMENT ON VIEW jobs.job_status_list IS 'one flat row a history entry; duration is the time until the next, NULL for the last';

-- Reports count many jobs, so they come from the queue and the history alone, and
-- whoever may see everything is not asked for every job. That it is a function,
-- and said to be cheap, keeps the planner from compiling the query for a second.
CREATE FUNCTION jobs_store.may_see(resource_id uuid) RETURNS boolean
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_may_see' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 10;
COMMENT ON FUNCTION jobs_store.may_see(uuid) IS 'whether the caller may see a resource; false when there is none, and for a role that stands for no user';

CREATE VIEW jobs.queue_stats WITH (security_barrier) AS
	SELECT v.name AS function, v.version AS function_version, v.tool_name, v.operating_system,
		coalesce(pg_catalog.sum(q.jobs) FILTER (WHERE q.phase = 'ready'), 0)::bigint AS ready,
		coalesce(pg_catalog.sum(q.jobs) FILTER (WHERE q.phase = 'waiting'), 0)::bigint AS waiting,
		coalesce(pg_catalog.sum(q.jobs) FILTER (WHERE q.phase = 'in flight'), 0)::bigint AS in_flight,
		pg_catalog.now() - pg_catalog.min(q.oldest) FILTER (WHERE q.phase = 'ready') AS oldest_wait,
		(SELECT pg_catalog.count(*) FROM jobs_store.agent_function af WHERE af.tenant = v.tenant AND af.function_id = v.id) AS agents
	FROM jobs_store.function_version v
		LEFT JOIN (
			SELECT h.tenant, h.lane, h.phase, pg_catalog.count(*) AS jobs, pg_catalog.min(jobs_store.id_time(h.job_id)) AS oldest
			FROM (SELECT tenant, lane, job_id, 'ready' AS phase FROM jobs_store.ready
				UNION ALL SELECT tenant, lane, job_id, 'waiting' FROM jobs_store.waiting
				UNION ALL SELECT tenant, lane, job_id, 'in flight' FROM jobs_store.lease) h
			WHERE h.tenant = (SELECT jobs_store.caller_tenant())
				AND ((SELECT jobs.is_administrator()) OR jobs_store.may_see(h.job_id))
			GROUP BY h.tenant, h.lane, h.phase) q
			JOIN jobs_store.lane l ON l.tenant = q.tenant AND l.lane = q.lane
			ON l.tenant = v.tenant AND l.function_id = v.id
	WHERE v.tenant = (SELECT jobs_store.caller_tenant())
	GROUP BY v.tenant, v.id, v.name, v.version, v.tool_name, v.operating_system;
COMMENT ON VIEW jobs.queue_stats IS 'the queue now, one row a function version: jobs ready, waiting and in flight, how long the oldest ready one has waited, and how many agents serve the function';

CREATE VIEW jobs.throughput WITH (security_barrier) AS
	SELECT pg_catalog.date_trunc('minute', h.created) AS minute, h.name AS outcome, pg_catalog.count(*) AS jobs
	FROM jobs_store.job_status h
	WHERE h.tenant = (SELECT jobs_store.caller_tenant())
		AND h.name IN ('COMPLETED', 'FAILED', 'CANCELED')
		AND ((SELECT jobs.is_administrator()) OR jobs_store.may_see(h.job_id))
	GROUP BY 1, 2;
COMMENT ON VIEW jobs.throughput IS 'jobs that ended, per minute and outcome; one that was retried by hand counts each time it ended';

CREATE VIEW jobs.function_policies WITH (security_barrier) AS
	SELECT p.name AS function, p.max_run_time, p.start_timeout, p.backoff, p.backoff_base, p.backoff_cap,
		p.max_in_flight, p.max_in_flight_per_key, p.rate_limit, p.rate_interval,
		p.paused, b.email AS paused_by, p.pause_reason, p.updated, u.email AS updated_by
	FROM jobs_store.function_policy p
		LEFT JOIN jobs_store.user_account u ON u.tenant = p.tenant AND u.id = p.updated_by_id
		LEFT JOIN jobs_store.user_account b ON b.tenant = p.tenant AND b.id = p.paused_by_id
	WHERE p.tenant = (SELECT jobs_store.caller_tenant());
COMMENT ON VIEW jobs.function_policies IS 'limits, retries and pauses of the functions that have some; NULL: no limit, or as the settings say. paused is since when';

CREATE VIEW jobs.retention WITH (security_barrier) AS
	SELECT r.rule, r.age, r.pruned, r.next_look, r.updated, u.email AS updated_by
	FROM jobs_store.retention r
		LEFT JOIN jobs_store.user_account u ON u.tenant = r.tenant AND u.id = r.updated_by_id
	WHERE r.tenant = (SELECT jobs_store.caller_tenant());
COMMENT ON VIEW jobs.retention IS 'how long ended jobs are kept: one row for COMPLETED, FAILED, CANCELED and archived jobs each; those without a row are kept for ever. pruned: jobs removed by the rule so far; next_look: not before then are further ones looked for';

CREATE VIEW jobs.schedules WITH (security_barrier) AS
	SELECT s.name, s.cron, s.time_zone, s.job, s.missed, s.overlap, u.email AS owner,
		s.next_run, s.last_run, s.last_job_id, j.name AS last_status,
		s.last_skipped, s.skip_reason, s.last_error, s.error_code, s.error,
		s.paused, p.email AS paused_by, s.created, s.updated
	FROM jobs_store.schedule s
		LEFT JOIN jobs_store.user_account u ON u.tenant = s.tenant AND u.id = s.created_by_id
		LEFT JOIN jobs_store.user_account p ON p.tenant = s.tenant AND p.id = s.paused_by_id
		LEFT JOIN jobs_store.current_status j ON j.tenant = s.tenant AND j.job_id = s.last_job_id
	WHERE s.tenant = (SELECT jobs_store.caller_tenant())
		AND ((SELECT jobs.is_administrator()) OR s.created_by_id = (SELECT jobs.current_user_id()));
COMMENT ON VIEW jobs.schedules IS 'the schedules of the caller, or all for administrators. last_run is the time that the last job was for, last_status how that job is now, NULL once it was pruned. last_skipped is the last time for which no job came, and skip_reason why. error says why no job could be added at last_error; the next job that can be clears it. paused is since when';

CREATE VIEW jobs.agent_stats WITH (security_barrier) AS
	SELECT g.id AS agent_id, g.name AS agent, g.host_os, g.agent_version, u.email AS registered_by,
		(SELECT pg_catalog.count(*) FROM jobs_store.agent_function f WHERE f.tenant = g.tenant AND f.agent_id = g.id) AS functions,
		(SELECT pg_catalog.count(*) FROM jobs_store.agent_pool_member m WHERE m.tenant = g.tenant AND m.agent_id = g.id) AS pools,
		l.in_flight, l.lost, l.last_seen, l.next_expiry
	FROM jobs_store.agent g
		LEFT JOIN jobs_store.user_account u ON u.tenant = g.tenant AND u.id = g.created_by_id
		CROSS JOIN LATERAL (SELECT pg_catalog.count(*) AS in_flight, pg_catalog.count(*) FILTER (WHERE x.status = 'UNKNOWN') AS lost,
				pg_catalog.max(x.expires - x.lease_ms * '1 ms'::interval) FILTER (WHERE x.status <> 'UNKNOWN') AS last_seen, pg_catalog.min(x.expires) AS next_expiry
			FROM jobs_store.lease x WHERE x.tenant = g.tenant AND x.agent_id = g.id
				AND ((SELECT jobs.is_administrator()) OR jobs_store.may_see(x.job_id))) l
	WHERE g.tenant = (SELECT jobs_store.caller_tenant());
COMMENT ON VIEW jobs.agent_stats IS 'the agents now, one row each: how many functions it serves and pools it is in, its jobs in flight, and how many of those are UNKNOWN (lost). last_seen is its last report or heartbeat on a job that it still has, next_expiry when the first of its leases ends; NULL when it has none';

-- Nobody claims from a lane: none of the agents that it is for serves the function.
CREATE VIEW jobs_store.unserved_lane AS
	SELECT n.tenant, n.lane FROM jobs_store.lane n
	WHERE NOT EXISTS (SELECT FROM jobs_store.agent_function f
		WHERE f.tenant = n.tenant AND f.function_id = n.function_id
			AND (n.assigned_agent_id IS NULL OR f.agent_id = n.assigned_agent_id)
			AND (n.assigned_agent_pool_id IS NULL OR EXISTS (SELECT FROM jobs_store.agent_pool_member m
				WHERE m.tenant = n.tenant AND m.agent_id = f.agent_id AND m.agent_pool_id = n.assigned_agent_pool_id)));
COMMENT ON VIEW jobs_store.unserved_lane IS 'lanes that no agent serves';

CREATE VIEW jobs.stuck_jobs WITH (security_barrier) AS
	SELECT k.job_id, n.name AS function, s.name AS status, s.created AS status_since, k.reason
	FROM (SELECT r.tenant, r.job_id, r.lane, 'no agent serves its function' AS reason
			FROM jobs_store.ready r JOIN jobs_store.unserved_lane u ON u.tenant = r.tenant AND u.lane = r.lane
		UNION ALL
		SELECT r.tenant, r.job_id, r.lane, 'its function is paused'
			FROM jobs_store.ready r JOIN jobs_store.lane_function f ON f.tenant = r.tenant AND f.lane = r.lane
				JOIN jobs_store.function_policy p ON p.tenant = r.tenant AND p.name = f.name
			WHERE p.paused IS NOT NULL
		UNION ALL
		SELECT w.tenant, w.job_id, w.lane, 'it is due, and no sweep has come for a minute'
			FROM jobs_store.waiting w WHERE w.check_at < pg_catalog.now() - '1 min'::interval
		UNION ALL
		SELECT l.tenant, l.job_id, l.lane, CASE WHEN l.status = 'UNKNOWN' THEN 'its agent was not heard of in time'
				ELSE 'its lease ran out, and no sweep has come for a minute' END
			FROM jobs_store.lease l WHERE l.status = 'UNKNOWN' OR l.expires < pg_catalog.now() - '1 min'::interval) k
		JOIN jobs_store.lane_function n ON n.tenant = k.tenant AND n.lane = k.lane
		JOIN jobs_store.current_status s ON s.tenant = k.tenant AND s.job_id = k.job_id
	WHERE k.tenant = (SELECT jobs_store.caller_tenant())
		AND ((SELECT jobs.is_administrator()) OR jobs_store.may_see(k.job_id));
COMMENT ON VIEW jobs.stuck_jobs IS 'jobs that will not get on by themselves, or not as they should, and why: one row a reason. What waits for its time, another job or its turn is not here; jobs.explain_job says that';
