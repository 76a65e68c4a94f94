-- Limits: so many in flight of a function or of a key, so many in an interval.
\ir setup.psql

-- Permits and leases that have one, less debt, are as many as the limit says.
CREATE FUNCTION pg_temp.sums() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s %s %s: %s permits, %s in use, debt %s, size %s', m.name, m.kind, m.concurrency_key, p.n, u.n, m.debt, m.size)
	FROM jobs_store.limiter m
		CROSS JOIN LATERAL (SELECT count(*) AS n FROM jobs_store.permit p WHERE p.tenant = m.tenant AND p.limiter = m.limiter) p
		CROSS JOIN LATERAL (SELECT count(*) AS n FROM jobs_store.lease l JOIN jobs_store.lane n ON n.tenant = l.tenant AND n.lane = l.lane
			JOIN jobs_store.function_version v ON v.tenant = n.tenant AND v.id = n.function_id
			WHERE l.tenant = m.tenant AND v.name = m.name AND ((m.kind = 'in flight' AND l.permits & 1 <> 0)
				OR (m.kind = 'key' AND n.concurrency_key = m.concurrency_key AND l.permits & 2 <> 0))) u
	WHERE p.n + u.n - m.debt <> m.size
$$;
CREATE FUNCTION pg_temp.policy(args text) RETURNS void LANGUAGE plpgsql AS
	$$ BEGIN EXECUTE format('SELECT jobs.set_function_policy(''@t:one'', %s)', args); END $$;
CREATE FUNCTION pg_temp.finish(label text, name text DEFAULT 'COMPLETED') RETURNS text LANGUAGE sql AS $$SELECT pg_temp.report($1, $2)$$;

-- In flight ------------------------------------------------------------------------------

SELECT pg_temp.policy('max_in_flight => 2') \gset ignored_
SELECT count(pg_temp.add('f' || n)) AS ignored FROM generate_series(1, 12) n \gset
SELECT is(pg_temp.claim(), 'f1', 'one');
SELECT is(pg_temp.claim(5), 'f2', 'as many as the limit');
SELECT is(pg_temp.claim(5), 'none', 'and no more');
SELECT matches((jobs.get_job_for_agent(pg_temp.id('agent'))).anyof_schema_2_validator::text, 'limit', 'which is said');
SELECT is_empty('SELECT pg_temp.sums()', 'the sum is right');
SELECT pg_temp.finish('f1') \gset ignored_
SELECT is(pg_temp.claim(5), 'f3', 'one ends, one comes');
SELECT is((SELECT pg_temp.label(c.job_id) FROM jobs.finish_and_claim(pg_temp.id('f2'), 'COMPLETED', NULL, pg_temp.id('agent'), 5) c), 'f4', 'finish and claim: likewise');
-- Every way to leave makes room.
SELECT jobs.cancel_job(pg_temp.id('f3')) \gset ignored_
SELECT is(pg_temp.claim(5), 'f5', 'canceled');
SELECT jobs.release_job(pg_temp.id('f4'), pg_temp.id('agent')) \gset ignored_
SELECT is(pg_temp.claim(5), 'f6', 'released');
SELECT pg_temp.expire('f5'), jobs.sweep() \gset ignored_
SELECT is(pg_temp.claim(5), 'none', 'a lost one still counts');
SELECT pg_temp.expire('f5'), jobs.sweep() \gset ignored_
SELECT is(pg_temp.claim(5), 'f7', 'until it is given up');
SELECT is((r.status).name::text, 'COMPLETED', 'a batch') FROM jobs.update_job_status(ARRAY[pg_temp.id('f6'), pg_temp.id('f7')], ARRAY['COMPLETED']::jobs.job_status_name[], NULL, pg_temp.id('agent'), NULL) r;
SELECT is(pg_temp.claim(5), 'f8 f9', 'makes room for as many');
DELETE FROM jobs_store.lease WHERE job_id = pg_temp.id('f8');
INSERT INTO jobs_store.job_status SELECT id, now(), tenant, 2, 1, 'CANCELED' FROM jobs_store.job WHERE id = pg_temp.id('f8');
SELECT is(pg_temp.claim(5), 'f10', 'even a row that is deleted by hand');
SAVEPOINT s;
SELECT pg_temp.finish('f9') \gset ignored_
SELECT is(pg_temp.claim(5), 'f11', 'what is rolled back');
ROLLBACK TO s;
SELECT is(pg_temp.claim(5), 'none', 'leaves all as it was');
SELECT is_empty('SELECT pg_temp.sums()', 'the sum is right');
SELECT pg_temp.add('urgent', '{"priority": 9}') \gset ignored_
SELECT is(pg_temp.claim(5), 'none', 'the limit is one for all priorities');

-- Changed while jobs are in flight.
SELECT pg_temp.policy('max_in_flight => 1') \gset ignored_
SELECT is_empty('SELECT pg_temp.sums()', 'lowered');
SELECT pg_temp.finish('f9') \gset ignored_
SELECT is(pg_temp.claim(5), 'none', 'who ends then makes no room');
SELECT pg_temp.finish('f10') \gset ignored_
SELECT is(pg_temp.claim(5), 'urgent', 'until the limit is kept');
SELECT pg_temp.policy('max_in_flight => 3') \gset ignored_
SELECT is(pg_temp.claim(5), 'f11 f12', 'raised');
SELECT pg_temp.policy('max_in_flight => 1'), pg_temp.policy('max_in_flight => 2') \gset ignored_
SELECT is_empty('SELECT pg_temp.sums()', 'lowered and raised');
SELECT pg_temp.policy('max_run_time => NULL') \gset ignored_
SELECT is(pg_temp.claim(5), 'f4', 'lifted');
SELECT is_empty('SELECT pg_temp.sums()', 'the sum is kept');
SELECT pg_temp.finish('f11'), pg_temp.finish('f4') \gset ignored_
SELECT pg_temp.policy('max_in_flight => 1') \gset ignored_
SELECT is_empty('SELECT pg_temp.sums()', 'and set again');
DO $$ BEGIN PERFORM jobs.cancel_job(job_id) FROM (SELECT job_id FROM jobs_store.ready UNION ALL SELECT job_id FROM jobs_store.lease) j; END $$;
SELECT is((SELECT count(*) FROM jobs_store.permit), 1::bigint, 'all is over, and the permit is there');

-- By statements, the same.
SET LOCAL jobs.direct = off;
SELECT count(pg_temp.add('s' || n)) AS ignored FROM generate_series(1, 3) n \gset
SELECT is(pg_temp.claim(5), 's1', 'claimed by a statement');
SELECT is(pg_temp.claim(5), 'none', 'within the limit');
SELECT pg_temp.finish('s1') \gset ignored_
SELECT is(pg_temp.claim(5), 's2', 'and ended by one');
SELECT pg_temp.finish('s2') \gset ignored_
SET LOCAL jobs.direct = on;
SELECT is(pg_temp.claim(5), 's3', 'back');
SELECT pg_temp.finish('s3', 'FAILED') \gset ignored_
SELECT pg_temp.policy('backoff => NULL') \gset ignored_

-- Keys -----------------------------------------------------------------------------------

SELECT count(pg_temp.add(k || n, jsonb_build_object('concurrency_key', k))) AS ignored FROM unnest(ARRAY['x', 'y']) k, generate_series(1, 3) n \gset
SELECT is(pg_temp.claim(9), 'x1 y1', 'one of each key at a time');
SELECT is(pg_temp.claim(9), 'none', 'and no more');
SELECT pg_temp.add('free') \gset ignored_
SELECT is(pg_temp.claim(9), 'free', 'others do not wait for them');
SELECT pg_temp.finish('x1') \gset ignored_
SELECT is(pg_temp.claim(9), 'x2', 'in the order of their key');
SELECT pg_temp.add('x urgent', '{"concurrency_key": "x", "priority": 5}') \gset ignored_
SELECT is(pg_temp.claim(9), 'none', 'whatever the priority');
SELECT pg_temp.policy('max_in_flight_per_key => 2') \gset ignored_
SELECT is(pg_temp.claim(9), 'x urgent y2', 'two of each, if so wanted');
SELECT is_empty('SELECT pg_temp.sums()', 'the sums are right');
SELECT pg_temp.policy('max_in_flight => 5, max_in_flight_per_key => 3') \gset ignored_
SELECT is(pg_temp.claim(9), 'x3 y3', 'a limit for all and one for each: both are kept');
SELECT pg_temp.add('z1', '{"concurrency_key": "z"}'), pg_temp.add('w1', '{"concurrency_key": "w"}') \gset ignored_
SELECT is(pg_temp.claim(9), 'z1 w1', 'jobs from before the limit do not count for it');
SELECT is_empty('SELECT pg_temp.sums()', 'the sums are right');
DO $$ BEGIN PERFORM jobs.cancel_job(job_id) FROM (SELECT job_id FROM jobs_store.ready UNION ALL SELECT job_id FROM jobs_store.lease) j; END $$;
SELECT pg_temp.policy('backoff => NULL') \gset ignored_
SELECT is_empty('SELECT pg_temp.sums()', 'and so they are at the end');
SELECT throws_ok($$SELECT pg_temp.add('bad', jsonb_build_object('concurrency_key', repeat('k', 256)))$$, '22001', NULL, 'too long a key');

-- Keys that are not in use are forgotten.
SELECT pg_temp.add('kept', '{"concurrency_key": "later", "run_after": "2100-01-01"}'), pg_temp.add('held', '{"concurrency_key": "now"}') \gset ignored_
SELECT is(pg_temp.claim(), 'held', 'a key in use');
SELECT cmp_ok(jobs_store.forget_keys(), '>=', 4, 'keys of the past go');
SELECT results_eq($$SELECT concurrency_key FROM jobs_store.lane WHERE concurrency_key IS NOT NULL ORDER BY 1$$, ARRAY['later', 'now'], 'those in use stay');
SELECT results_eq($$SELECT concurrency_key FROM jobs_store.limiter WHERE kind = 'key' ORDER BY 1$$, ARRAY['now'], 'and the limiter that is needed');
SELECT is_empty('SELECT FROM jobs_store.permit p WHERE NOT EXISTS (SELECT FROM jobs_store.limiter m WHERE m.limiter = p.limiter)', 'with their permits');
SELECT pg_temp.add('x again', '{"concurrency_key": "x"}') \gset ignored_
SELECT is(pg_temp.claim(9), 'x again', 'one that comes again begins anew');
SELECT pg_temp.finish('x again'), pg_temp.finish('held'), jobs.cancel_job(pg_temp.id('kept')) \gset ignored_

-- Raised above its debt: the debt is paid, once ------------------------------------------

SELECT pg_temp.policy('max_in_flight => 3') \gset ignored_
SELECT count(pg_temp.add('d' || n)) AS ignored FROM generate_series(1, 8) n \gset
SELECT is(pg_temp.claim(9), 'd1 d2 d3', 'three are held');
SELECT pg_temp.policy('max_in_flight => 1'), pg_temp.policy('max_in_flight => 6') \gset ignored_
SELECT is_empty('SELECT pg_temp.sums()', 'lowered, and raised by more');
SELECT is(pg_temp.claim(9), 'd4 d5 d6', 'there are as many permits as that');
SELECT pg_temp.finish('d' || n) IS NULL AS ignored FROM generate_series(1, 6) n \g /dev/null
SELECT pg_temp.policy('backoff => NULL') \gset ignored_
SELECT is(pg_temp.claim(9), 'd7 d8', 'lifted');
SELECT pg_temp.finish('d7'), pg_temp.finish('d8') \gset ignored_

-- Rate -----------------------------------------------------------------------------------

SELECT pg_temp.policy('rate_limit => 3, rate_interval => ''1 h''') \gset ignored_
SELECT count(pg_temp.add('r' || n)) AS ignored FROM generate_series(1, 8) n \gset
SELECT is(pg_temp.claim(2), 'r1 r2', 'two starts');
SELECT pg_temp.finish('r1') \gset ignored_
SELECT is(pg_temp.claim(5), 'r3', 'a third, whether or not they have ended');
SELECT pg_temp.finish('r2'), pg_temp.finish('r3') \gset ignored_
SELECT is(pg_temp.claim(5), 'none', 'no more within the interval');
SELECT ok(min(due) > clock_timestamp() + '59 min' AND max(due) <= clock_timestamp() + '1 h', 'which begins with each start') FROM jobs_store.permit p JOIN jobs_store.limiter m USING (tenant, limiter) WHERE m.kind = 'rate';
UPDATE jobs_store.permit SET due = due - interval '1 h' WHERE seq = (SELECT min(seq) FROM jobs_store.permit p JOIN jobs_store.limiter m USING (tenant, limiter) WHERE m.kind = 'rate');
SELECT is(pg_temp.claim(5), 'r4', 'one interval later, one more');
SELECT pg_temp.policy('rate_limit => 5, rate_interval => ''1 h''') \gset ignored_
SELECT is(pg_temp.claim(5), 'r5 r6', 'raised');
SELECT is((SELECT count(*) FROM jobs_store.permit p JOIN jobs_store.limiter m USING (tenant, limiter) WHERE m.kind = 'rate'), 5::bigint, 'as many permits as the limit');
SELECT pg_temp.policy('rate_limit => 1, rate_interval => ''1 h''') \gset ignored_
SELECT is(pg_temp.claim(5), 'none', 'lowered');
SELECT is((SELECT count(*) FROM jobs_store.permit p JOIN jobs_store.limiter m USING (tenant, limiter) WHERE m.kind = 'rate'), 1::bigint, 'to as many');
SELECT pg_temp.policy('backoff => NULL') \gset ignored_
SELECT is(pg_temp.claim(5), 'r7 r8', 'lifted');

SELECT is_empty('SELECT pg_temp.sums()', 'the sums are right');
SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
