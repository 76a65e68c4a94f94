-- What a session remembers from call to call must not show. Not one transaction,
-- for nothing is remembered in one that has written.
SET client_min_messages = warning;
SET jobs.sweep_interval = -1;
SELECT * FROM no_plan();
DROP ROLE IF EXISTS t_memory;
CREATE ROLE t_memory;
SELECT jobs.add_user('memory@example.org', 't_memory') AS user_id \gset
SELECT jobs.add_function('@t:one', '1.0') AS one \gset
SELECT jobs.add_function('@t:two', '1.0') AS two \gset
SELECT jobs.register_agent('agent') AS agent \gset
SELECT jobs.set_agent_functions(:'agent', ARRAY[:'one']::uuid[]);

-- Who is calling ---------------------------------------------------------------

SELECT isnt(jobs.current_user_id(), :'user_id', 'one user');
SET ROLE t_memory;
SELECT is(jobs.current_user_id(), :'user_id', 'another');
SELECT throws_ok(format('SELECT jobs.claim_jobs(%L)', :'agent'), '42501', NULL, 'who may not act as the agent of the first');
RESET ROLE;
SELECT lives_ok(format('SELECT jobs.claim_jobs(%L)', :'agent'), 'the first may');
SET ROLE t_memory;
SELECT throws_ok(format('SELECT jobs.claim_jobs(%L)', :'agent'), '42501', NULL, 'and the other still not');
RESET ROLE;
BEGIN;
SELECT jobs.register_agent('undone') AS undone \gset
SELECT lives_ok(format('SELECT jobs.claim_jobs(%L)', :'undone'), 'an agent in its transaction');
ROLLBACK;
SELECT throws_ok(format('SELECT jobs.claim_jobs(%L)', :'undone'), 'JB404', NULL, 'is not there after its rollback');

-- Which lanes there are, and what is in them -------------------------------------

SELECT is((SELECT count(*) FROM jobs.claim_jobs(:'agent')), 0::bigint, 'nothing to claim');
SELECT (jobs.add_job('@t:one')).id AS job \gset
SELECT is((SELECT job_id FROM jobs.claim_jobs(:'agent')), :'job', 'a job in a new lane');
SELECT is((SELECT count(*) FROM jobs.claim_jobs(:'agent')), 0::bigint, 'nothing left');
SELECT (jobs.add_job('@t:one')).id AS job \gset
SELECT is((SELECT job_id FROM jobs.claim_jobs(:'agent')), :'job', 'a job in a lane that was empty');
SELECT (jobs.add_job('@t:one')).id AS low \gset
SELECT (jobs.add_job('@t:one', priority => 5)).id AS high \gset
SELECT is((SELECT count(*) FROM jobs.claim_jobs(:'agent', 2) WHERE job_id IN (:'low', :'high')), 2::bigint, 'a new priority');
SELECT (jobs.add_job('@t:two')).id AS job \gset
SELECT is((SELECT count(*) FROM jobs.claim_jobs(:'agent')), 0::bigint, 'a function that is not served');
SELECT jobs.set_agent_functions(:'agent', ARRAY[:'two']::uuid[]);
SELECT is((SELECT job_id FROM jobs.claim_jobs(:'agent')), :'job', 'and now is');
SELECT (jobs.add_job('@t:one')).id AS job \gset
SELECT is((SELECT count(*) FROM jobs.claim_jobs(:'agent')), 0::bigint, 'one that is no longer');
BEGIN;
SELECT jobs.set_agent_functions(:'agent', ARRAY[:'one']::uuid[]);
SELECT is((SELECT job_id FROM jobs.claim_jobs(:'agent')), :'job', 'served in a transaction');
ROLLBACK;
SELECT is((SELECT count(*) FROM jobs.claim_jobs(:'agent')), 0::bigint, 'and not after its rollback');
SELECT jobs.set_agent_functions(:'agent', ARRAY[:'one', :'two']::uuid[]);
BEGIN;
SELECT is((SELECT job_id FROM jobs.claim_jobs(:'agent')), :'job', 'claimed');
SELECT is((SELECT count(*) FROM jobs.claim_jobs(:'agent')), 0::bigint, 'nothing left');
ROLLBACK;
SELECT is((SELECT job_id FROM jobs.claim_jobs(:'agent')), :'job', 'a claim that was rolled back can be made again');
SELECT is((jobs.release_job(:'job', :'agent')).name::text, 'PENDING', 'released');
SELECT is((SELECT job_id FROM jobs.claim_jobs(:'agent')), :'job', 'and claimed once more');

-- Hundreds, in pieces, some of them undone ---------------------------------------

SELECT count(*) AS ignored FROM jobs.add_jobs((SELECT jsonb_agg(jsonb_build_object('function', CASE n % 2 WHEN 0 THEN '@t:one' ELSE '@t:two' END, 'parameters', n, 'max_attempts', 9)) FROM generate_series(1, 400) n)) \gset
CREATE TEMP TABLE got (n integer);
SELECT jobs.register_agent('other') AS other \gset
SELECT jobs.set_agent_functions(:'other', ARRAY[:'one', :'two']::uuid[]);
PREPARE take AS INSERT INTO got SELECT parameters::text::integer FROM jobs.claim_jobs(:'other', 7);
SELECT CASE n % 3 WHEN 0 THEN 'DO $$ BEGIN EXECUTE ''EXECUTE take''; RAISE SQLSTATE ''00001''; EXCEPTION WHEN SQLSTATE ''00001'' THEN NULL; END $$' ELSE 'EXECUTE take' END FROM generate_series(1, 120) n
\gexec
SELECT results_eq('SELECT n FROM got ORDER BY n', 'SELECT generate_series(1, 400)', 'each is handed out once');

DROP TABLE got;
DELETE FROM jobs_store.user_account WHERE role_name = 't_memory';
DROP ROLE t_memory;
SELECT * FROM finish();
