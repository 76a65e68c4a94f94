-- The extension is dropped and made again while a session uses it: the plans
-- that the session keeps must go on working. Not one transaction, for plans
-- live as long as the session.
SET client_min_messages = warning;
SELECT * FROM no_plan();

CREATE FUNCTION pg_temp.use() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	function_id uuid;
	agent_id uuid;
	model_id uuid;
	job_id uuid;
	said text := '';
BEGIN
	function_id := jobs.add_function('@t:one', '1.0');
	agent_id := jobs.register_agent('agent');
	model_id := jobs.add_model('model.txt', 'text');
	PERFORM jobs.set_agent_functions(agent_id, ARRAY[function_id]);
	job_id := (jobs.add_job('@t:one', model_id, depends_on => ARRAY[(jobs.add_job('@t:one', priority => 1)).id], idempotency_key => 'k')).id;
	PERFORM jobs.add_jobs('[{"function": "@t:one", "run_after": "2100-01-01"}, {"function": "@t:one"}]');
	said := said || (SELECT count(*) FROM jobs.claim_jobs(agent_id));
	said := said || (SELECT count(*) FROM jobs.finish_and_claim((SELECT l.job_id FROM jobs_store.lease l), 'COMPLETED', NULL, agent_id));
	PERFORM jobs.sweep();
	said := said || (SELECT (r.anyof_schema_1_validator).id = job_id FROM jobs.get_job_for_agent(agent_id) r);
	PERFORM jobs.update_job(job_id, '"result"'), jobs.heartbeat(agent_id);
	said := said || (SELECT s.name FROM jobs.update_job_status(job_id, 'RUNNING', 'x', agent_id) s);
	said := said || jobs.read_text(model_id) || jobs.read_json(job_id);
	said := said || (SELECT s.name FROM jobs.update_job_status(job_id, 'COMPLETED', 'x', agent_id) s);
	said := said || (jobs.cancel_job(job_id)).status;
	said := said || (SELECT string_agg(DISTINCT l.status::text, ',' ORDER BY l.status::text) FROM jobs.job_list l);
	said := said || (SELECT p.total FROM jobs.list_jobs(status_name => 'completed') p);
	said := said || ((jobs.from_json(NULL::jobs.job, jobs.to_json(jobs.get_job(job_id)))).id = job_id);
	RETURN said;
EXCEPTION WHEN OTHERS THEN
	RETURN format('%s: %s, after %s', SQLSTATE, SQLERRM, said);
END $$;
PREPARE listed AS SELECT count(*) FROM jobs.job_list WHERE status = 'COMPLETED' AND jobs.is_terminal(status);
PREPARE paged(integer) AS SELECT p.total FROM jobs.list_jobs(size => $1) p;

SELECT is(pg_temp.use(), '11trueRUNNINGtext"result"COMPLETEDno_opCLAIMED,COMPLETED,CREATED2true', 'in use');
SELECT results_eq('EXECUTE listed', ARRAY[2::bigint], 'a prepared statement');
SELECT results_eq('EXECUTE paged(2)', ARRAY[4::bigint], 'and another');

DROP EXTENSION jobs CASCADE;
SELECT hasnt_schema('jobs', 'all is gone');
SELECT hasnt_schema('jobs_store', 'the storage too');
SELECT is_empty($$SELECT oprname FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace AND oid >= 16384$$, 'and the operators');
SELECT is_empty($$SELECT proname FROM pg_proc WHERE probin LIKE '%jobs'$$, 'and every function');
SELECT throws_ok('EXECUTE listed', NULL, NULL, 'what needs it fails');
SELECT matches(pg_temp.use(), '^3F000', 'with an error, not a crash');

CREATE EXTENSION jobs;
SELECT is(pg_temp.use(), '11trueRUNNINGtext"result"COMPLETEDno_opCLAIMED,COMPLETED,CREATED2true', 'made again, all works in the same session');
SELECT results_eq('EXECUTE listed', ARRAY[2::bigint], 'prepared statements too');
SELECT results_eq('EXECUTE paged(2)', ARRAY[4::bigint], 'and those of functions');
SELECT throws_ok($$INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name)
	SELECT tenant, job_id, 9, now(), 1, 'RUNNING' FROM jobs_store.waiting$$, 'JB409', NULL, 'the guard is there');

BEGIN;
DROP EXTENSION jobs;
CREATE EXTENSION jobs;
SELECT is(pg_temp.use(), '11trueRUNNINGtext"result"COMPLETEDno_opCLAIMED,COMPLETED,CREATED2true', 'in one transaction');
ROLLBACK;
SELECT results_eq('EXECUTE listed', ARRAY[2::bigint], 'after its rollback the old one is there');
SELECT lives_ok($$SELECT jobs.cancel_job(id) FROM jobs.job_list$$, 'with its jobs');
ANALYZE jobs_store.job, jobs_store.lease, jobs_store.ready, jobs_store.job_status;
SELECT lives_ok($$SELECT jobs.add_job('@t:one')$$, 'after ANALYZE plans are made again');

-- CREATE EXTENSION leaves a usable system.
DROP EXTENSION jobs;
CREATE EXTENSION jobs;
SELECT is(count(*), 1::bigint, 'the installing role is there at once') FROM jobs.current_user_id() u WHERE u IS NOT NULL;
SELECT ok(jobs.is_administrator(), 'as administrator');
SELECT results_eq('SELECT name, id = jobs.current_tenant_id() FROM jobs_store.tenant', $$VALUES ('default', true)$$, 'of the default tenant');
DROP EXTENSION jobs;
CREATE EXTENSION jobs;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT lives_ok($$SELECT jobs.list_jobs()$$, 'also when the first call comes in a serializable transaction');
ROLLBACK;
SELECT throws_ok('CREATE EXTENSION jobs', '42710', NULL, 'it is there only once');
DROP EXTENSION jobs;
CREATE SCHEMA jobs_store;
SELECT throws_ok('CREATE EXTENSION jobs', '42P06', NULL, 'a schema that somebody else made is refused');
DROP SCHEMA jobs_store;
CREATE EXTENSION jobs;
SELECT is(pg_temp.use(), '11trueRUNNINGtext"result"COMPLETEDno_opCLAIMED,COMPLETED,CREATED2true', 'after all of that it works');

SELECT * FROM finish();
