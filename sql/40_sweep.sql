-- 40_sweep: the one maintenance pass.

CREATE FUNCTION jobs.sweep() RETURNS integer
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_sweep' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.sweep() IS 'one pass of maintenance over the caller''s tenant: jobs whose time has come become PENDING, jobs whose lease ran out become UNKNOWN and then PENDING, CREATED or FAILED. Bounded; answers how many jobs it moved, 0 when there was nothing left to do. Claims call it by themselves, at most once per jobs.sweep_interval';

CREATE FUNCTION jobs_store.retry_delay(attempt integer) RETURNS interval
	AS 'MODULE_PATHNAME', 'jobs_retry_delay' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jobs_store.retry_delay(integer) IS 'wait after an attempt, by the back-off settings; differs from call to call';
