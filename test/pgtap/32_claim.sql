-- Handing jobs to agents: which, in which order, and to whom.
\ir setup.psql

SELECT pg_temp.note('two', jobs.add_function('@t:two', '1.0', tool_name => 'tool', tool_version => '5', operating_system => 'linux')) IS NULL AS ignored \gset
SELECT pg_temp.note('model', jobs.add_model('model.txt', 'text')) IS NULL AS ignored \gset
SELECT pg_temp.note('second', jobs.register_agent('second')) IS NULL AS ignored \gset
SELECT pg_temp.note('idle', jobs.register_agent('idle')) IS NULL AS ignored \gset
SELECT pg_temp.note('of ann', pg_temp.as_role('t_ann', 'SELECT jobs.register_agent(''of ann'')')::uuid) IS NULL AS ignored \gset
SELECT pg_temp.note('of carol', pg_temp.as_role('t_carol', 'SELECT jobs.register_agent(''agent'')')::uuid) IS NULL AS ignored \gset
DO $$ BEGIN
	PERFORM jobs.set_agent_functions(pg_temp.id(a), ARRAY[pg_temp.id('one'), pg_temp.id('two')]) FROM unnest(ARRAY['agent', 'second', 'of ann']) a;
END $$;

-- Refused --------------------------------------------------------------------

SELECT pg_temp.add('first') IS NULL AS ignored \gset
CREATE TEMP TABLE before AS SELECT pg_temp.row_counts() AS counts;
SELECT throws_ok('SELECT jobs.' || call, '22004', NULL, 'null: ' || call)
FROM unnest(ARRAY['claim_jobs(NULL)', 'claim_jobs(pg_temp.id(''agent''), NULL)', 'claim_jobs(pg_temp.id(''agent''), lease => NULL)', 'get_job_for_agent(NULL)',
	'finish_and_claim(NULL, ''FAILED'', NULL, pg_temp.id(''agent''))', 'finish_and_claim(pg_temp.id(''first''), NULL, NULL, pg_temp.id(''agent''))',
	'finish_and_claim(pg_temp.id(''first''), ''FAILED'')', 'finish_and_claim(pg_temp.id(''first''), ''FAILED'', NULL, pg_temp.id(''agent''), NULL)',
	'finish_and_claim(pg_temp.id(''first''), ''FAILED'', NULL, pg_temp.id(''agent''), lease => NULL)',
	'finish_and_claim(pg_temp.id(''first''), ''FAILED'', NULL, pg_temp.id(''agent''), retry => NULL)']) call;
SELECT throws_ok(format('SELECT jobs.claim_jobs(pg_temp.id(''agent''), %s)', wanted), '22023', NULL, 'limit ' || wanted) FROM unnest(ARRAY[0, -1, 10001, 2147483647]) wanted;
SELECT throws_ok(format('SELECT jobs.claim_jobs(pg_temp.id(''agent''), lease => %L)', lease), '22023', NULL, 'lease ' || lease)
FROM unnest(ARRAY['0', '-1 s', '-1 day', '1 day -25 hours', '1 month -31 days', '367 days', '13 months', '9000 hours', '100000 years']) lease;
SELECT throws_ok(format('SELECT jobs.%s(pg_temp.id(''none of ours''))', call), 'JB404', NULL, call || ': no such agent') FROM unnest(ARRAY['claim_jobs', 'get_job_for_agent']) call;
SELECT throws_ok(format('SELECT jobs.%s(pg_temp.id(''of carol''))', call), 'JB404', NULL, call || ': an agent of another tenant') FROM unnest(ARRAY['claim_jobs', 'get_job_for_agent']) call;
SELECT throws_ok(format('SELECT pg_temp.as_role(''t_ann'', ''SELECT jobs.%s(pg_temp.id(''''agent''''))'')', call), '42501', NULL, call || ': an agent of another user') FROM unnest(ARRAY['claim_jobs', 'get_job_for_agent']) call;
SELECT throws_ok(format('SELECT jobs.finish_and_claim(pg_temp.id(''first''), %L, NULL, pg_temp.id(''agent''))', name), '22023', NULL, 'finished as ' || name)
FROM unnest(ARRAY['CREATED', 'PENDING', 'CLAIMED', 'VALIDATING', 'RUNNING', 'UPLOADING', 'UNKNOWN']) name;
SELECT throws_ok($$SELECT jobs.finish_and_claim(pg_temp.id('first'), 'COMPLETED', NULL, pg_temp.id('agent'))$$, 'JB410', NULL, 'finished by an agent that does not hold it');
SELECT throws_ok($$SELECT jobs.finish_and_claim(pg_temp.id('none of ours'), 'COMPLETED', NULL, pg_temp.id('agent'))$$, 'JB404', NULL, 'finished, but there is no such job');
SELECT throws_ok($$SELECT jobs.finish_and_claim(pg_temp.id('first'), 'COMPLETED', NULL, pg_temp.id('agent'), 0)$$, '22023', NULL, 'finish with a limit of 0');
SELECT throws_ok($$SELECT jobs.finish_and_claim(pg_temp.id('first'), 'COMPLETED', NULL, pg_temp.id('agent'), lease => '0')$$, '22023', NULL, 'finish with no lease');
SELECT is(pg_temp.row_counts(), counts, 'nothing of all that changed a row') FROM before;

-- What an agent gets ---------------------------------------------------------

SELECT is(pg_temp.claim(1, 'idle'), 'none', 'an agent that serves no function gets none');
SELECT is(pg_temp.claim(1), 'first', 'the job');
SELECT is(pg_temp.claim(1), 'none', 'it is gone for the same agent');
SELECT is(pg_temp.claim(10000, 'second'), 'none', 'and for others');
SELECT is(pg_temp.history('first'), 'PENDING CLAIMED', 'it is CLAIMED');
SELECT is(j.agent_id, pg_temp.id('agent'), 'by that agent') FROM jobs.get_job(pg_temp.id('first')) j;
SELECT pg_temp.add('full', jsonb_build_object('function', '@t:two', 'model_id', pg_temp.id('model'), 'parameters', '{"a": [1, null]}'::jsonb)) IS NULL AS ignored \gset
CREATE TEMP TABLE got AS SELECT clock_timestamp() AS at, c.* FROM jobs.claim_jobs(pg_temp.id('agent'), lease => '2 h') c;
SELECT results_eq('SELECT job_id, attempt, function_id, function, function_version, tool_name, tool_version, operating_system, model_id, parameters FROM got',
	$$VALUES (pg_temp.id('full'), 1, pg_temp.id('two'), '@t:two', '1.0', 'tool', '5', 'linux', pg_temp.id('model'), '{"a": [1, null]}'::jsonb)$$, 'all that it needs to know');
SELECT ok(lease_expires BETWEEN at + interval '2 h' - interval '1 min' AND clock_timestamp() + interval '2 h', 'the lease is as long as asked for') FROM got;
SELECT is(l.expires, g.lease_expires, 'and that is the time that counts') FROM got g JOIN jobs_store.lease l USING (job_id);

-- Order ----------------------------------------------------------------------

DO $$ BEGIN
	PERFORM pg_temp.add('low', '{"priority": -5}');
	PERFORM pg_temp.add('p0 a', '{}');
	PERFORM pg_temp.add('high a', '{"priority": 5}');
	PERFORM pg_temp.add('p0 b', '{}');
	PERFORM pg_temp.add('highest', '{"priority": 1000000}');
	PERFORM pg_temp.add('high b', '{"priority": 5, "function": "@t:two"}');
	PERFORM pg_temp.add('lowest', '{"priority": -1000000}');
END $$;
SAVEPOINT claimed;
SELECT is(pg_temp.claim(100), 'highest high a high b p0 a p0 b low lowest', 'a batch: highest priority first, then oldest');
ROLLBACK TO claimed;
SELECT results_eq('SELECT pg_temp.claim(1) FROM generate_series(1, 8)', ARRAY['highest', 'high a', 'high b', 'p0 a', 'p0 b', 'low', 'lowest', 'none'], 'one by one, after a rollback, in the same order');
DO $$ BEGIN
	FOR i IN 1 .. 3 LOOP
		PERFORM pg_temp.add('one ' || i, '{}');
		PERFORM pg_temp.add('two ' || i, '{"function": "@t:two"}');
		PERFORM pg_temp.add('mine ' || i, jsonb_build_object('assigned_agent_id', pg_temp.id('agent')));
	END LOOP;
END $$;
SAVEPOINT claimed;
SELECT results_eq('SELECT pg_temp.claim(1) FROM generate_series(1, 9)', $$SELECT w || ' ' || i FROM generate_series(1, 3) i, unnest(ARRAY['one', 'two', 'mine']) w$$, 'oldest first, across functions and assignments');
ROLLBACK TO claimed;
SELECT is(pg_temp.claim(4), 'one 1 two 1 mine 1 one 2', 'so does a batch that does not take all');
ROLLBACK TO claimed;
SELECT is(pg_temp.claim(100), 'one 1 two 1 mine 1 one 2 two 2 mine 2 one 3 two 3 mine 3', 'and one that does');
SELECT is((SELECT count(DISTINCT job_id) FROM jobs_store.lease), 18::bigint, 'each is in one hand');

-- Assigned jobs --------------------------------------------------------------

SELECT pg_temp.note('pool', jobs.add_agent_pool('pool')) IS NULL AS ignored \gset
SELECT pg_temp.note('empty pool', jobs.add_agent_pool('empty pool')) IS NULL AS ignored \gset
SELECT jobs.add_agent_to_pool(pg_temp.id('second'), pg_temp.id('pool')) IS NULL AS ignored \gset
DO $$ BEGIN
	PERFORM pg_temp.add('for second', jsonb_build_object('assigned_agent_id', pg_temp.id('second')));
	PERFORM pg_temp.add('for idle', jsonb_build_object('agent_id', pg_temp.id('idle')));
	PERFORM pg_temp.add('for the pool', jsonb_build_object('assigned_agent_pool_id', pg_temp.id('pool'), 'priority', 1));
	PERFORM pg_temp.add('for no agent', jsonb_build_object('assigned_agent_pool_id', pg_temp.id('empty pool'), 'priority', 9));
	PERFORM pg_temp.add('for all', '{}');
END $$;
SAVEPOINT claimed;
SELECT is(pg_temp.claim(10), 'for all', 'an agent gets neither what is another''s nor what is a pool''s');
ROLLBACK TO claimed;
SELECT is(pg_temp.claim(10, 'second'), 'for the pool for second for all', 'another gets its own, its pool''s and what is for all');
SELECT is(pg_temp.claim(10, 'idle'), 'none', 'an assigned job does not go to an agent that cannot run it');
SELECT jobs.set_agent_functions(pg_temp.id('idle'), ARRAY[pg_temp.id('one')]) IS NULL AS ignored \gset
SELECT is(pg_temp.claim(10, 'idle'), 'for idle', 'until it can');
SELECT jobs.add_agent_to_pool(pg_temp.id('agent'), pg_temp.id('empty pool')) IS NULL AS ignored \gset
SELECT is(pg_temp.claim(10), 'for no agent', 'a pool''s job goes to whoever joins the pool');
SELECT jobs.set_agent_functions(pg_temp.id('agent'), ARRAY[pg_temp.id('two')]) IS NULL AS ignored \gset
SELECT pg_temp.add('other function') IS NULL AS ignored \gset
SELECT is(pg_temp.claim(10), 'none', 'an agent that no longer serves the function does not get it');
SELECT is(pg_temp.as_role('t_ann', 'SELECT c.job_id FROM jobs.claim_jobs(pg_temp.id(''of ann'')) c')::uuid, pg_temp.id('other function'), 'an agent of a user runs jobs of others');
SELECT is(pg_temp.as_role('t_carol', 'SELECT count(*) FROM jobs.claim_jobs(pg_temp.id(''of carol''))'), '0', 'another tenant''s agent gets nothing of ours');

-- get_job_for_agent ----------------------------------------------------------

CREATE TEMP TABLE answer AS SELECT r.* FROM jobs.get_job_for_agent(pg_temp.id('agent')) r;
SELECT is((anyof_schema_1_validator).id, NULL, 'no job: the slot for it is empty') FROM answer;
SELECT isnt((anyof_schema_2_validator).message, NULL, 'and the other says why') FROM answer;
SELECT is(actual_instance, jsonb_build_object('message', (anyof_schema_2_validator).message), 'as JSON too') FROM answer;
SELECT is(any_of_schemas, ARRAY['Job', 'NoJobResponse'], 'what it may be') FROM answer;
SELECT jobs.set_agent_functions(pg_temp.id('idle'), '{}') IS NULL AS ignored \gset
SELECT isnt((r.anyof_schema_2_validator).message, (a.anyof_schema_2_validator).message, 'that there is no job and that none is served are different reasons') FROM jobs.get_job_for_agent(pg_temp.id('idle')) r, answer a;
SELECT pg_temp.add('whole', '{"function": "@t:two", "parameters": {"x": 1}}') IS NULL AS ignored \gset
DROP TABLE answer;
CREATE TEMP TABLE answer AS SELECT r.* FROM jobs.get_job_for_agent(pg_temp.id('agent')) r;
SELECT is((anyof_schema_1_validator).id, pg_temp.id('whole'), 'a job') FROM answer;
SELECT is(anyof_schema_1_validator, jobs.get_job(pg_temp.id('whole')), 'with all its parts, as get_job answers it') FROM answer;
SELECT is(anyof_schema_2_validator IS NULL, true, 'and no reason why not') FROM answer;
SELECT is(actual_instance, jobs.to_dict(anyof_schema_1_validator), 'as JSON too') FROM answer;
SELECT is(any_of_schemas, ARRAY['Job', 'NoJobResponse'], 'what it may be') FROM answer;
SELECT is(pg_temp.status('whole'), 'CLAIMED', 'it is claimed');
SELECT is(l.lease_ms, 60000::bigint, 'for a minute') FROM jobs_store.lease l WHERE job_id = pg_temp.id('whole');

-- finish_and_claim -----------------------------------------------------------

CREATE FUNCTION pg_temp.finish(label text, name text, wanted integer DEFAULT 1, attempt integer DEFAULT NULL, retry boolean DEFAULT true) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(pg_temp.label(c.job_id) || ' ' || c.attempt, ', '), 'none')
	FROM jobs.finish_and_claim(pg_temp.id($1), $2, 'so it ended', pg_temp.id('agent'), $3, '10 min', $4, $5) c
$$;
DO $$ BEGIN
	FOR i IN 1 .. 5 LOOP
		PERFORM pg_temp.add('next ' || i, '{"function": "@t:two", "max_attempts": 2}');
	END LOOP;
END $$;
SELECT is(pg_temp.finish('whole', 'COMPLETED'), 'next 1 1', 'one ended, the next claimed');
SELECT is(pg_temp.history('whole'), 'PENDING CLAIMED COMPLETED', 'straight from CLAIMED');
SELECT is(l.lease_ms, 600000::bigint, 'with the lease asked for') FROM jobs_store.lease l WHERE job_id = pg_temp.id('next 1');
SELECT is(pg_temp.finish('next 1', 'COMPLETED', 2), 'next 2 1, next 3 1', 'as many as asked for');
SELECT throws_ok($$SELECT pg_temp.finish('next 2', 'COMPLETED', attempt => 2)$$, 'JB410', NULL, 'not with another attempt');
SELECT is(pg_temp.finish('next 2', 'CANCELED', attempt => 1), 'next 4 1', 'but with this one');
SELECT is(pg_temp.finish('next 3', 'FAILED'), 'next 5 1', 'a failure with attempts left goes to the end of the queue');
SELECT is(pg_temp.finish('next 5', 'FAILED', retry => false), 'next 3 2', 'and comes back as attempt 2');
SELECT is(pg_temp.finish('next 3', 'FAILED'), 'none', 'none is left');
SELECT is(pg_temp.finish('next 3', 'FAILED'), 'none', 'the same again, for the answer may have been lost');
SELECT throws_ok($$SELECT pg_temp.finish('next 3', 'COMPLETED')$$, 'JB410', NULL, 'something else instead');
SELECT is(pg_temp.history('next 3'), 'PENDING CLAIMED PENDING CLAIMED FAILED', 'its history');
SELECT pg_temp.add('last', '{"function": "@t:two"}') IS NULL AS ignored \gset
SELECT throws_ok($$SELECT pg_temp.finish('next 5', 'COMPLETED')$$, 'JB410', NULL, 'a refused report');
SELECT is(pg_temp.status('last'), 'PENDING', 'claims nothing');

-- Claims sweep ---------------------------------------------------------------

SELECT jobs.cancel_job(pg_temp.id('last')) IS NULL AS ignored \gset
SELECT pg_temp.add('due', '{"function": "@t:two", "run_after": "2100-01-01"}') IS NULL AS ignored \gset
SELECT pg_temp.make_due('due') IS NULL AS ignored \gset
SELECT is(pg_temp.claim(1), 'none', 'no claim sweeps with jobs.sweep_interval = -1');
SET LOCAL jobs.sweep_interval = 0;
SELECT is(pg_temp.claim(1), 'due', 'every one does with 0: a job that is due is found at once');

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
