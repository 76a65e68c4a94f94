-- The installed catalog, as a whole: what every function, table and comment
-- of the extension must be like. A new object has to be put into these lists.
BEGIN;
SELECT * FROM no_plan();

-- Members of the extension by their catalog.
CREATE FUNCTION pg_temp.members(catalog regclass) RETURNS SETOF oid LANGUAGE sql AS $$
	SELECT d.objid FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid
	WHERE d.refclassid = 'pg_extension'::regclass AND e.extname = 'jobs' AND d.deptype = 'e' AND d.classid = catalog
$$;

CREATE VIEW pg_temp.ours AS
	SELECT p.*, n.nspname, n.nspname || '.' || p.proname AS name, p.oid::regprocedure::text AS signature
	FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
	WHERE p.oid IN (SELECT pg_temp.members('pg_proc'));

-- Functions ------------------------------------------------------------------

-- Volatility, strict, parallel, and whether it runs SQL. Two forms of a name
-- must be alike. A function that runs SQL pins the search path.
CREATE TEMP TABLE expected (name text PRIMARY KEY, forms integer, volatility "char", strict boolean, parallel "char", sql boolean);
INSERT INTO expected VALUES
	('jobs.actual_instance_must_validate_anyof', 1, 's', true, 's', false),
	('jobs.add_agent_pool', 1, 'v', false, 'u', true),
	('jobs.add_agent_to_pool', 1, 'v', false, 'u', true),
	('jobs.add_artifact', 1, 'v', false, 'u', true),
	('jobs.add_comment', 1, 'v', false, 'u', true),
	('jobs.add_dependencies', 1, 'v', false, 'u', true),
	('jobs.add_function', 1, 'v', false, 'u', true),
	('jobs.add_job', 1, 'v', false, 'u', true),
	('jobs.add_jobs', 1, 'v', false, 'u', true),
	('jobs.add_model', 1, 'v', false, 'u', true),
	('jobs.add_schedule', 1, 'v', false, 'u', true),
	('jobs.add_tenant', 1, 'v', false, 'u', true),
	('jobs.add_user', 1, 'v', false, 'u', true),
	('jobs.archive', 1, 'v', false, 'u', true),
	('jobs.can_transition', 1, 'i', false, 's', false),
	('jobs.cancel_job', 1, 'v', false, 'u', true),
	('jobs.check_integrity', 1, 's', false, 'r', true),
	('jobs.claim_jobs', 1, 'v', false, 'u', true),
	('jobs.cleanup_cache', 1, 'v', false, 'r', true),
	('jobs.copy_to', 1, 'v', false, 'u', true),
	('jobs.create_access', 1, 'v', false, 'u', true),
	('jobs.create_access_by_email', 1, 'v', false, 'u', true),
	('jobs.current_tenant_id', 1, 's', false, 'r', true),
	('jobs.current_user_id', 1, 's', false, 'r', true),
	('jobs.explain_job', 1, 's', false, 'r', true),
	('jobs.job_obstacles', 1, 's', false, 'r', true),
	('jobs.finish_and_claim', 1, 'v', false, 'u', true),
	('jobs.from_dict', 1, 's', false, 's', false),
	('jobs.from_json', 1, 's', false, 's', false),
	('jobs.get_cache_stats', 1, 'v', false, 'r', true),
	('jobs.get_file', 1, 's', false, 'r', true),
	('jobs.get_job', 1, 's', false, 'r', true),
	('jobs.get_job_for_agent', 1, 'v', false, 'u', true),
	('jobs.heartbeat', 1, 'v', false, 'u', true),
	('jobs.is_administrator', 1, 's', false, 'r', true),
	('jobs.is_terminal', 1, 'i', true, 's', false),
	('jobs.job_status_name', 1, 'i', true, 's', false),
	('jobs.job_status_name_cmp', 1, 'i', true, 's', false),
	('jobs.job_status_name_eq', 1, 'i', true, 's', false),
	('jobs.job_status_name_ge', 1, 'i', true, 's', false),
	('jobs.job_status_name_gt', 1, 'i', true, 's', false),
	('jobs.job_status_name_hash', 1, 'i', true, 's', false),
	('jobs.job_status_name_hash_extended', 1, 'i', true, 's', false),
	('jobs.job_status_name_in', 1, 'i', true, 's', false),
	('jobs.job_status_name_larger', 1, 'i', true, 's', false),
	('jobs.job_status_name_le', 1, 'i', true, 's', false),
	('jobs.job_status_name_lt', 1, 'i', true, 's', false),
	('jobs.job_status_name_ne', 1, 'i', true, 's', false),
	('jobs.job_status_name_out', 1, 'i', true, 's', false),
	('jobs.job_status_name_recv', 1, 'i', true, 's', false),
	('jobs.job_status_name_send', 1, 'i', true, 's', false),
	('jobs.job_status_name_smaller', 1, 'i', true, 's', false),
	('jobs.lineage', 1, 's', false, 'r', true),
	('jobs.list_access', 1, 's', false, 'r', true),
	('jobs.list_artifacts', 1, 's', false, 'r', true),
	('jobs.list_comments', 1, 's', false, 'r', true),
	('jobs.list_jobs', 1, 's', false, 'r', true),
	('jobs.list_jobs_after', 1, 's', false, 'r', true),
	('jobs.list_model_jobs', 1, 's', false, 'r', true),
	('jobs.max', 1, 'i', false, 's', false),
	('jobs.min', 1, 'i', false, 's', false),
	('jobs.next_runs', 1, 's', false, 's', false),
	('jobs.next_statuses', 1, 'i', false, 's', false),
	('jobs.pause_function', 1, 'v', false, 'u', true),
	('jobs.pause_schedule', 1, 'v', false, 'u', true),
	('jobs.poll_job', 1, 'v', false, 'u', true),
	('jobs.prune', 1, 'v', false, 'u', true),
	('jobs.read_bytes', 1, 's', false, 'r', true),
	('jobs.read_json', 1, 's', false, 'r', true),
	('jobs.read_text', 1, 's', false, 'r', true),
	('jobs.register_agent', 1, 'v', false, 'u', true),
	('jobs.release_job', 1, 'v', false, 'u', true),
	('jobs.remove_access', 1, 'v', false, 'u', true),
	('jobs.remove_schedule', 1, 'v', false, 'u', true),
	('jobs.restore', 1, 'v', false, 'u', true),
	('jobs.resume_function', 1, 'v', false, 'u', true),
	('jobs.resume_schedule', 1, 'v', false, 'u', true),
	('jobs.retry_job', 1, 'v', false, 'u', true),
	('jobs.set_agent_functions', 1, 'v', false, 'u', true),
	('jobs.set_function_policy', 1, 'v', false, 'u', true),
	('jobs.set_retention', 1, 'v', false, 'u', true),
	('jobs.sweep', 1, 'v', false, 'u', true),
	('jobs.worker_status', 1, 'v', false, 'r', false),
	('jobs.text', 1, 'i', true, 's', false),
	('jobs.to_dict', 18, 's', true, 's', false),
	('jobs.to_json', 18, 's', true, 's', false),
	('jobs.to_str', 18, 's', true, 's', false),
	('jobs.update_access', 1, 'v', false, 'u', true),
	('jobs.update_artifact', 1, 'v', false, 'u', true),
	('jobs.update_description', 1, 'v', false, 'u', true),
	('jobs.update_display_name', 1, 'v', false, 'u', true),
	('jobs.update_external_identifier', 1, 'v', false, 'u', true),
	('jobs.update_job', 1, 'v', false, 'u', true),
	('jobs.update_job_agent', 1, 'v', false, 'u', true),
	('jobs.update_job_status', 2, 'v', false, 'u', true),
	('jobs.update_model', 1, 'v', false, 'u', true),
	('jobs.update_properties', 1, 'v', false, 'u', true),
	('jobs.update_version_name', 1, 'v', false, 'u', true),
	('jobs_store.caller_tenant', 1, 's', false, 'r', true),
	('jobs_store.forget_keys', 1, 'v', false, 'u', true),
	('jobs_store.guard_history', 1, 'v', false, 'u', true),
	('jobs_store.is_foreign_write', 1, 'v', true, 'u', false),
	('jobs_store.hot_in_use', 1, 'v', true, 'r', false),
	('jobs_store.id_time', 1, 'i', true, 's', false),
	('jobs_store.lane_marks', 1, 'v', false, 'u', false),
	('jobs_store.new_id', 1, 'v', true, 's', false),
	('jobs_store.may_see', 1, 's', true, 'r', true),
	('jobs_store.part_id', 1, 'i', true, 's', false),
	('jobs_store.status_id', 1, 'i', true, 's', false),
	('jobs_store.part_of', 1, 'i', true, 's', false),
	('jobs_store.make_revision', 1, 's', false, 's', false),
	('jobs_store.make_job', 1, 's', false, 's', false),
	('jobs_store.replies', 1, 's', true, 'r', true),
	('jobs_store.retry_delay', 1, 'v', false, 's', false),
	('jobs_store.return_permits', 1, 'v', false, 'u', true);

SELECT set_eq(
	$$SELECT name, count(*)::integer, provolatile, proisstrict, proparallel FROM pg_temp.ours GROUP BY 1, 3, 4, 5$$,
	$$SELECT name, forms, volatility, strict, parallel FROM expected$$,
	'functions are those of the list, with volatility, strict and parallel as there');
SELECT is_empty(
	$$SELECT signature FROM pg_temp.ours JOIN expected USING (name)
	WHERE (proconfig IS NOT DISTINCT FROM '{"search_path=pg_catalog, pg_temp"}'::text[]) <>
		(sql AND name NOT IN ('jobs.claim_jobs', 'jobs.finish_and_claim', 'jobs.update_job_status'))$$,
	'those that run SQL, and no others, have search_path = pg_catalog, pg_temp, but for those that most often run none');
SELECT is_empty($$SELECT signature FROM pg_temp.ours WHERE prosecdef$$, 'none is SECURITY DEFINER');
SELECT set_eq(
	$$SELECT DISTINCT name FROM pg_temp.ours WHERE proleakproof$$,
	$$SELECT 'jobs.job_status_name_' || unnest(ARRAY['eq', 'ne', 'lt', 'le', 'gt', 'ge', 'cmp', 'hash', 'hash_extended', 'smaller', 'larger'])$$,
	'only the comparisons of statuses are leakproof');
SELECT is_empty(
	$$SELECT signature FROM pg_temp.ours JOIN pg_language l ON l.oid = prolang WHERE lanname NOT IN ('c', 'internal')
		AND NOT (lanname = 'sql' AND prosqlbody IS NOT NULL AND name LIKE 'jobs_store.make_%')$$,
	'all are in C, but for those that become part of a view');
SELECT is_empty(
	$$SELECT signature FROM pg_temp.ours WHERE provariadic <> 0 OR proargnames IS NULL AND pronargs > 0 AND name IN (SELECT e.name FROM expected e WHERE e.sql)$$,
	'arguments of functions that run SQL have names');

-- Privileges -----------------------------------------------------------------

SELECT set_eq(
	$$SELECT signature FROM pg_temp.ours WHERE has_function_privilege('public', oid, 'EXECUTE')$$,
	$$SELECT signature FROM pg_temp.ours WHERE nspname = 'jobs'
	UNION VALUES ('jobs_store.caller_tenant()'), ('jobs_store.part_id(uuid,integer)'),
		('jobs_store.id_time(uuid)'), ('jobs_store.may_see(uuid)')$$,
	'PUBLIC may execute what is in schema jobs, and what its views call');
SELECT is_empty(
	$$SELECT c.oid::regclass FROM pg_class c, aclexplode(c.relacl) a
	WHERE c.relnamespace = 'jobs_store'::regnamespace AND a.grantee <> c.relowner
	UNION SELECT c.oid::regclass FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid
	WHERE c.relnamespace = 'jobs_store'::regnamespace AND t.attacl IS NOT NULL$$,
	'the storage is granted to nobody');
SELECT set_eq(
	$$SELECT c.oid::regclass::text || ' ' || a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
	WHERE c.oid IN (SELECT pg_temp.members('pg_class')) AND a.grantee <> c.relowner$$,
	$$SELECT 'jobs.' || unnest(ARRAY['job_list', 'job_status_list', 'queue_stats', 'throughput', 'function_policies', 'retention', 'schedules', 'agent_stats', 'stuck_jobs']) || ' SELECT'$$,
	'the views of schema jobs may be read by PUBLIC, and nothing else may be done');
SELECT set_eq(
	$$SELECT n.nspname::text || ' ' || a.privilege_type FROM pg_namespace n, aclexplode(n.nspacl) a
	WHERE n.nspname LIKE 'jobs%' AND a.grantee <> n.nspowner$$,
	ARRAY['jobs USAGE'], 'schema jobs may be used by PUBLIC, jobs_store by nobody');

-- Objects --------------------------------------------------------------------

SELECT is_empty(
	$$SELECT d.classid::regclass, pg_describe_object(d.classid, d.objid, d.objsubid)
	FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid
		LEFT JOIN pg_cast c ON d.classid = 'pg_cast'::regclass AND c.oid = d.objid,
		pg_identify_object(d.classid, d.objid, d.objsubid) o
	WHERE d.refclassid = 'pg_extension'::regclass AND e.extname = 'jobs' AND d.deptype = 'e'
		AND coalesce(o.schema, CASE WHEN o.type = 'schema' THEN o.name ELSE '' END) NOT IN ('jobs', 'jobs_store')
		AND d.classid NOT IN ('pg_cast'::regclass, 'pg_operator'::regclass)$$,
	'no object lies outside schemas jobs and jobs_store');
-- An operator is looked up along the search path; a comparison of statuses must
-- work, and use the same index, under every one.
SELECT set_eq(
	$$SELECT o.oid::regoperator::text FROM pg_operator o WHERE o.oid IN (SELECT pg_temp.members('pg_operator'))$$,
	$$SELECT format('%s(jobs.job_status_name,jobs.job_status_name)', unnest(ARRAY['=', '<>', '<', '<=', '>', '>=']))$$,
	'but the six operators of job_status_name, which are in pg_catalog');
-- Since 17 the types that the server makes of itself, of rows and arrays, are
-- members as well; nobody reads about those.
SELECT is_empty(
	$$SELECT pg_describe_object(o.classid, o.objid, 0) FROM (
		SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid
		WHERE d.refclassid = 'pg_extension'::regclass AND e.extname = 'jobs' AND d.deptype = 'e'
		UNION SELECT 'pg_class'::regclass, i.indexrelid FROM pg_index i
		WHERE i.indrelid IN (SELECT pg_temp.members('pg_class'))
			AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
		UNION SELECT 'pg_trigger'::regclass, t.oid FROM pg_trigger t
		WHERE t.tgrelid IN (SELECT pg_temp.members('pg_class')) AND NOT t.tgisinternal) o
	WHERE obj_description(o.objid, o.classid::regclass::name) IS NULL
		AND NOT EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
			WHERE o.classid = 'pg_type'::regclass AND t.oid = o.objid
				AND (t.typcategory = 'A' OR c.relkind <> 'c'))$$,
	'every object, index and trigger has a comment');
SELECT isnt(obj_description(oid, 'pg_extension'), NULL, 'the extension has a comment') FROM pg_extension WHERE extname = 'jobs';

-- Tables ---------------------------------------------------------------------

SELECT set_eq(
	$$SELECT unnest(extconfig)::regclass FROM pg_extension WHERE extname = 'jobs'$$,
	$$SELECT oid::regclass FROM pg_class WHERE oid IN (SELECT pg_temp.members('pg_class')) AND relkind IN ('r', 'p', 'S')$$,
	'every table and sequence goes into a dump');
SELECT is_empty(
	$$SELECT condition FROM pg_extension, unnest(extcondition) condition WHERE extname = 'jobs' AND condition <> ''$$,
	'with all its rows');
SELECT is_empty(
	$$SELECT c.oid::regclass FROM pg_class c
	LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
	LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
	WHERE c.oid IN (SELECT pg_temp.members('pg_class')) AND c.relkind = 'r'
		AND (a.attname, a.atttypid) IS DISTINCT FROM ('tenant', 'integer'::regtype)$$,
	'every table has a primary key that starts with the tenant');
SELECT is_empty(
	$$SELECT i.indexrelid::regclass FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
	WHERE i.indrelid IN (SELECT pg_temp.members('pg_class')) AND a.attname <> 'tenant'
		AND i.indexrelid::regclass::text NOT IN ('jobs_store.tenant_id_key', 'jobs_store.tenant_name_key', 'jobs_store.user_account_role_name_key')$$,
	'and so does every index, except those that find the tenant');
SELECT is_empty(
	$$SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid IN (SELECT pg_temp.members('pg_class'))$$,
	'there is no foreign key');
SELECT is_empty(
	$$SELECT c.oid::regclass, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.oid = t.typelem
	WHERE c.oid IN (SELECT pg_temp.members('pg_class')) AND c.relkind = 'r' AND a.attnum > 0
		AND (t.typname = 'oid' OR t.typname LIKE 'reg%' OR e.typname = 'oid' OR e.typname LIKE 'reg%')$$,
	'no column holds an oid, which would not survive a restore');
SELECT is_empty(
	$$SELECT c.oid::regclass FROM pg_class c WHERE c.oid IN (SELECT pg_temp.members('pg_class')) AND c.relkind IN ('r', 'S') AND c.relpersistence <> 'p'$$,
	'all storage is logged');
SELECT is_empty(
	$$SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'jobs'::regnamespace AND c.relkind = 'v'
	AND NOT coalesce(c.reloptions @> '{security_barrier=true}', false)$$,
	'views that filter by caller are security barriers');
SELECT set_has(
	$$SELECT c.oid::regclass::text, unnest(c.reloptions) FROM pg_class c WHERE c.oid IN (SELECT pg_temp.members('pg_class')) AND c.relkind = 'r'$$,
	$$VALUES ('jobs_store.lease', 'fillfactor=70'),
		('jobs_store.lease', 'autovacuum_vacuum_scale_factor=0.01'), ('jobs_store.lease', 'autovacuum_vacuum_cost_delay=0'),
		('jobs_store.ready', 'autovacuum_vacuum_scale_factor=0.01'), ('jobs_store.ready', 'autovacuum_vacuum_cost_delay=0'),
		('jobs_store.waiting', 'autovacuum_vacuum_scale_factor=0.02'), ('jobs_store.waiting', 'autovacuum_vacuum_cost_delay=0')$$,
	'hot tables are vacuumed early, and a lease has room for heartbeats');
SELECT is_empty(
	$$SELECT i.indexrelid::regclass FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
	WHERE i.indrelid = 'jobs_store.lease'::regclass AND a.attname IN ('expires', 'status', 'ordinal')$$,
	'no index knows what a heartbeat or a report changes in a lease');
SELECT set_eq(
	$$SELECT tgname::text || ' ' || tgenabled::text FROM pg_trigger WHERE tgrelid IN (SELECT pg_temp.members('pg_class')) AND NOT tgisinternal$$,
	ARRAY['guard_insert A', 'guard_change A', 'guard_truncate A', 'return_permits O'], 'the guard of the history is always on');

SELECT * FROM finish();
ROLLBACK;
