-- The table of ready jobs is rewritten in the middle of a call, so that what the
-- session remembers of lanes is void: the call goes on with what it had.
\ir setup.psql

SELECT count(pg_temp.add('job ' || n)) AS ignored FROM generate_series(1, 40) n \gset
SELECT jobs.set_function_policy('@t:one', max_in_flight => 30) IS NULL AS ignored \gset
-- What is remembered of the agent comes after what takes up much room.
SELECT count(*) AS ignored FROM generate_series(1, 1000) n, LATERAL jobs.register_agent('other ' || n) a, LATERAL jobs.claim_jobs(a) \gset
CREATE FUNCTION pg_temp.rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.name = 'COMPLETED' THEN
		CLUSTER jobs_store.ready USING ready_pkey;
		PERFORM count(*) FROM jobs_store.lane_marks();
		PERFORM repeat(md5('other use of the memory'), 100000);
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER rewrite AFTER INSERT ON jobs_store.job_status FOR EACH ROW EXECUTE FUNCTION pg_temp.rewrite();
SELECT is(pg_temp.claim(), 'job 1', 'one');
SELECT is((SELECT pg_temp.label(c.job_id) FROM jobs.finish_and_claim(pg_temp.id('job ' || n), 'COMPLETED', NULL, pg_temp.id('agent')) c), 'job ' || n + 1, 'and the next')
FROM generate_series(1, 20) n;
SELECT is_empty('SELECT * FROM jobs.check_integrity()', 'all is well');
SELECT * FROM finish();
ROLLBACK;
