-- 41_worker: what background workers do, when jobs is in shared_preload_libraries.

CREATE FUNCTION jobs.worker_status(OUT database text, OUT worker_pid integer, OUT outcome text, OUT started timestamptz, OUT ended timestamptz, OUT passes bigint, OUT moved bigint, OUT failures integer) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'jobs_worker_status' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION jobs.worker_status() IS 'maintenance by background workers since the server started, a row for each database that they know: process id of the worker there (NULL: none), outcome of the last pass (done, failed, absent, other version, read only, stepped aside; NULL: there was none), when a pass last began and ended (NULL: none did), passes that came to their end, jobs moved by all of these, and rounds of all tenants with a failure since one without. No row without shared_preload_libraries';
