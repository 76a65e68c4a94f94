-- 44_integrity: whether what is stored is what it must be.

CREATE FUNCTION jobs.check_integrity(
	all_tenants boolean DEFAULT false,
	OUT problem text,
	OUT tenant_id uuid,
	OUT job_id uuid,
	OUT detail text
) RETURNS SETOF record
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_check_integrity' LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION jobs.check_integrity(boolean) IS 'what is wrong between queue, history, limits, dependencies, files and schedules of the caller''s tenant, or of all tenants: no row when all is well. problem is one word for each check (place, attempt, lease, lane, permits, step, dependency, circle, archived, content, orphan, reference, schedule, sequence); job_id is the job, or other resource, in question, NULL for a lane, limit, schedule or sequence. Reads everything, in one snapshot and with bounded memory, and takes its time; locks nothing. For administrators; all_tenants for superusers and the owner of the extension. Errors: 22004, 42501';
