-- What fill.sql left goes on: prints one line, 't' for each thing that does. Can be
-- run again: it leaves another job that is running.
SET client_min_messages = warning;
SET jobs.sweep_interval = -1;
-- It may be years since.
UPDATE jobs_store.lease SET expires = now() + interval '1 day', check_at = now() + interval '1 day' WHERE expires < now() + interval '1 hour';
CREATE FUNCTION pg_temp.id(label text) RETURNS uuid LANGUAGE sql AS
	'SELECT id FROM jobs.job_list WHERE name = $1 ORDER BY id DESC LIMIT 1';
CREATE FUNCTION pg_temp.agent() RETURNS uuid LANGUAGE sql AS
	$$SELECT id FROM jobs_store.agent WHERE name = 'agent'$$;
SELECT (jobs.add_job('@test:upgrade', idempotency_key => 'key of failed')).id = pg_temp.id('failed') AS key \gset
SELECT name = 'COMPLETED' AS held FROM jobs.update_job_status(pg_temp.id('running'), 'COMPLETED', agent_id => pg_temp.agent()) \gset
SELECT id AS added FROM jobs.add_job('@test:upgrade', display_name => 'added afterwards') \gset
SELECT count(*) = 1 AS claimed FROM jobs.claim_jobs(pg_temp.agent(), 100) WHERE job_id = :'added' \gset
SELECT name = 'COMPLETED' AS done FROM jobs.update_job_status(:'added', 'COMPLETED', agent_id => pg_temp.agent()) \gset
SELECT id AS next FROM jobs.add_job('@test:upgrade', display_name => 'running') \gset
SELECT count(*) FROM jobs.claim_jobs(pg_temp.agent(), 100) WHERE job_id = :'next' \gset
SELECT count(*) FROM jobs.update_job_status(:'next', 'RUNNING', agent_id => pg_temp.agent()) \gset
SELECT jobs_store.hot_in_use() AS direct \gset
\echo :key :held :claimed :done :direct
