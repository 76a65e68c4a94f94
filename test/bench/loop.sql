-- One job: a claim and a completion, each a transaction of its own. The first
-- time, the client looks up which agent it is.
\if :first
SELECT id AS agent FROM bench_agent WHERE client = :client_id
\gset
\set first 0
\endif
SELECT count(*) AS got, coalesce(min(job_id::text), '') AS job FROM jobs.claim_jobs(CAST(:agent AS uuid))
\gset
\if :got > 0
SELECT name FROM jobs.update_job_status(CAST(:job AS uuid), 'COMPLETED', NULL, CAST(:agent AS uuid));
\endif
