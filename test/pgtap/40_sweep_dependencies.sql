-- Jobs that wait for other jobs.
\ir setup.psql

CREATE FUNCTION pg_temp.after(label text, others text[], args jsonb DEFAULT '{}') RETURNS uuid LANGUAGE sql AS
	$$SELECT pg_temp.add($1, jsonb_build_object('depends_on', (SELECT jsonb_agg(pg_temp.id(o)) FROM unnest($2) o)) || $3)$$;

-- Sweeps until there is nothing left to do; the jobs that moved.
CREATE FUNCTION pg_temp.settle() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	moved integer;
	total integer := 0;
BEGIN
	FOR i IN 1 .. 20 LOOP
		moved := jobs.sweep();
		EXIT WHEN moved = 0;
		total := total + moved;
	END LOOP;
	RETURN total;
END $$;

CREATE FUNCTION pg_temp.last_message(label text) RETURNS text LANGUAGE sql AS
	'SELECT j.status_history[cardinality(j.status_history)].message FROM jobs.get_job(pg_temp.id($1)) j';

-- All goes well ------------------------------------------------------------------

DO $$ BEGIN
	PERFORM pg_temp.take('a'), pg_temp.take('b');
	PERFORM pg_temp.after('after a', '{a}'), pg_temp.after('after a and b', '{a,b,a}'), pg_temp.after('after both', '{after a,after a and b}');
END $$;
SELECT is(pg_temp.settle(), 0, 'all wait');
SELECT is(pg_temp.claim(10), 'none', 'and are not handed out');
SELECT pg_temp.report('a', 'RUNNING') IS NULL AS ignored \gset
SELECT is(pg_temp.settle(), 0, 'progress is not enough');
SELECT pg_temp.report('a', 'COMPLETED') IS NULL AS ignored \gset
SELECT is(pg_temp.settle(), 1, 'what waited only for the first moves at once, though it was looked at a moment ago');
SELECT is(pg_temp.history('after a'), 'CREATED PENDING', 'it is PENDING');
SELECT is(pg_temp.status('after a and b'), 'CREATED', 'what waits for both still waits');
SELECT jobs.finish_and_claim(pg_temp.id('b'), 'COMPLETED', NULL, pg_temp.id('agent')) IS NULL AS ignored \gset
SELECT is(pg_temp.status('after a'), 'CLAIMED', 'finished and claimed the next');
SELECT is(pg_temp.settle(), 1, 'finish_and_claim wakes it as well');
SELECT is(pg_temp.claim(10), 'after a and b', 'now it is handed out');
SELECT (r.status).name AS ignored FROM jobs.update_job_status(ARRAY[pg_temp.id('after a'), pg_temp.id('after a and b')], ARRAY['COMPLETED']::jobs.job_status_name[], NULL, pg_temp.id('agent'), NULL) r \g /dev/null
SELECT is(pg_temp.settle(), 1, 'so does a batch');
SELECT is(pg_temp.status('after both'), 'PENDING', 'the end of the chain');
SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');

DO $$ BEGIN
	PERFORM pg_temp.after('after what is over', '{a,b}'), pg_temp.after('and later', '{a}', '{"run_after": "2100-01-01"}');
	PERFORM pg_temp.take('c'), pg_temp.after('after c, later', '{c}', '{"run_after": "2100-01-01"}');
END $$;
SELECT is(pg_temp.settle(), 1, 'what waits for jobs that have ended is looked at by the first sweep');
SELECT is(pg_temp.status('after what is over'), 'PENDING', 'and may start');
SELECT is(pg_temp.status('and later'), 'CREATED', 'but not before its time');
SELECT pg_temp.report('c', 'COMPLETED') IS NULL AS ignored \gset
SELECT pg_temp.settle() IS NULL AS ignored \gset
SELECT is(pg_temp.status('after c, later'), 'CREATED', 'nor does one whose time comes later');
UPDATE jobs_store.job SET run_after = now() - interval '1 s' WHERE id IN (pg_temp.id('and later'), pg_temp.id('after c, later'));
SELECT pg_temp.make_due('and later'), pg_temp.make_due('after c, later') \g /dev/null
SELECT is(pg_temp.settle(), 2, 'until that has come');

-- Something does not ---------------------------------------------------------------

CREATE FUNCTION pg_temp.end_by(label text, way text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CASE way
		WHEN 'FAILED' THEN PERFORM pg_temp.report(label, 'FAILED');
		WHEN 'CANCELED' THEN PERFORM pg_temp.report(label, 'CANCELED');
		WHEN 'cancel_job' THEN PERFORM jobs.cancel_job(pg_temp.id(label));
		WHEN 'a user' THEN PERFORM jobs.update_job_status(pg_temp.id(label), 'FAILED');
		WHEN 'a batch' THEN PERFORM jobs.update_job_status(ARRAY[pg_temp.id(label)], ARRAY['FAILED']::jobs.job_status_name[], NULL, pg_temp.id('agent'), NULL);
		WHEN 'a lost agent' THEN
			PERFORM pg_temp.expire(label), jobs.sweep();
			PERFORM pg_temp.expire(label), jobs.sweep();
	END CASE;
END $$;
CREATE TEMP TABLE way (name text);
INSERT INTO way VALUES ('FAILED'), ('CANCELED'), ('cancel_job'), ('a user'), ('a batch'), ('a lost agent');
DO $$ BEGIN
	PERFORM pg_temp.take(name), pg_temp.after('after ' || name, ARRAY[name, 'a']), pg_temp.after('chain ' || name, ARRAY['after ' || name]) FROM way;
	PERFORM pg_temp.settle();
	PERFORM pg_temp.end_by(name, name) FROM way;
	PERFORM jobs.sweep();
END $$;
SELECT is(pg_temp.history('after ' || name), 'CREATED CANCELED', 'canceled with the next sweep after it ended otherwise by ' || name) FROM way;
SELECT matches(pg_temp.last_message('after ' || name), pg_temp.id(name)::text, 'the message names the job') FROM way WHERE pg_temp.status('after ' || name) = 'CANCELED';
DO $$ BEGIN PERFORM jobs.sweep() FROM generate_series(1, 3); END $$;
SELECT is(pg_temp.history('chain ' || name), 'CREATED CANCELED', 'what depends on that is canceled by a further sweep: ' || name) FROM way;
UPDATE jobs_store.waiting SET check_at = now();
DO $$ BEGIN PERFORM jobs.sweep(); UPDATE jobs_store.waiting SET check_at = now(); PERFORM jobs.sweep(); END $$;
SELECT is(pg_temp.history('chain ' || name), 'CREATED CANCELED', 'in the end it is: ' || name) FROM way;

DO $$ BEGIN PERFORM pg_temp.after('doomed', '{FAILED}'), pg_temp.after('doomed too', '{doomed}'); END $$;
SELECT is(pg_temp.settle(), 2, 'a sweep counts the jobs that it cancels, and goes on until there is nothing left to do');
SELECT is(pg_temp.status('doomed') || ' ' || pg_temp.status('doomed too'), 'CANCELED CANCELED', 'what depends on a job that had failed before');
SELECT pg_temp.take('tries', '{"max_attempts": 2}') IS NULL OR pg_temp.after('after tries', '{tries}') IS NULL AS ignored \gset
SELECT pg_temp.report('tries', 'FAILED') IS NULL AS ignored \gset
SELECT pg_temp.settle() IS NULL AS ignored \gset
SELECT is(pg_temp.status('after tries'), 'CREATED', 'a failure with attempts left is waited out');
SELECT pg_temp.claim(100) IS NULL OR pg_temp.report('tries', 'COMPLETED') IS NULL AS ignored \gset
SELECT is(pg_temp.settle(), 1, 'the second attempt completes');
SELECT is(pg_temp.status('after tries'), 'PENDING', 'and it goes on');
SELECT pg_temp.take('d') IS NULL OR pg_temp.after('after d', '{d}') IS NULL AS ignored \gset
SELECT jobs.cancel_job(pg_temp.id('after d')) IS NULL AS ignored \gset
SELECT is(pg_temp.report('d', 'COMPLETED'), 'COMPLETED', 'a dependent that was canceled meanwhile');
SELECT pg_temp.settle() IS NULL AS ignored \gset
SELECT is(pg_temp.history('after d'), 'CREATED CANCELED', 'stays so');

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
