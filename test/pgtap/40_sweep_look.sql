-- Once a look for what is due has become dear, the passes of claims look only from
-- where the last one has looked.
\ir setup.psql

SET LOCAL jobs.sweep_interval = 0;
CREATE FUNCTION pg_temp.due(label text, at timestamptz) RETURNS void LANGUAGE sql AS $$
	SELECT pg_temp.add($1, '{"run_after": "2100-01-01"}');
	UPDATE jobs_store.waiting SET check_at = $2 WHERE job_id = pg_temp.id($1);
$$;

-- While looks are cheap, all is found.
SELECT pg_temp.due('early', now() - interval '1 day');
SELECT is(pg_temp.claim(), 'early', 'a claim finds what has been due for long');

-- One that takes half a second: for minutes from then on looks are short.
CREATE FUNCTION pg_temp.linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;
CREATE TRIGGER linger AFTER INSERT ON jobs_store.ready FOR EACH ROW EXECUTE FUNCTION pg_temp.linger();
SELECT pg_temp.due('dear', clock_timestamp());
SELECT is(pg_temp.claim(), 'dear', 'a pass that takes long');
DROP TRIGGER linger ON jobs_store.ready;

SELECT pg_temp.due('fresh', clock_timestamp());
SELECT is(pg_temp.claim(), 'fresh', 'what has become due since is found at once');
SELECT pg_temp.due('on its way', clock_timestamp() - interval '0.5 s');
SELECT is(pg_temp.claim(), 'on its way', 'and what became due a little before the last look');
SELECT pg_temp.due('back-dated', clock_timestamp() - interval '1 day');
SELECT is(pg_temp.claim(), 'none', 'what should have been found long ago waits');
UPDATE jobs_store.lease SET expires = clock_timestamp(), check_at = clock_timestamp() WHERE job_id = pg_temp.id('fresh');
SELECT is(pg_temp.claim(), 'none', 'still');
SELECT is(pg_temp.status('fresh'), 'UNKNOWN', 'a lease that runs out now is seen');
SELECT cmp_ok(jobs.sweep(), '>=', 1, 'a pass by hand looks at everything');
SELECT is(pg_temp.claim(), 'back-dated', 'and finds what is old');

SELECT is_empty('SELECT * FROM pg_temp.problems()', 'with the queue and the history in agreement');
SELECT * FROM finish();
ROLLBACK;
