-- The guard of the status history: what anybody's own SQL may do to it, that
-- of a superuser included.
\ir setup.psql

CREATE FUNCTION pg_temp.raw(label text, ordinal integer, name text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name)
	VALUES (jobs_store.caller_tenant(), pg_temp.id($1), $2, now(), 1, $3)
$$;

-- SQLSTATE of adding a status to a job whose history is brought to another by
-- legal steps; 00000 when it is accepted. Nothing of it remains.
CREATE FUNCTION pg_temp.outcome(before text, after text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	steps text[] := CASE before
		WHEN 'CREATED' THEN '{}' WHEN 'PENDING' THEN '{}' WHEN 'CLAIMED' THEN '{CLAIMED}' WHEN 'FAILED' THEN '{FAILED}'
		WHEN 'CANCELED' THEN '{CANCELED}' ELSE ARRAY['CLAIMED', before] END;
BEGIN
	BEGIN
		PERFORM pg_temp.add('tried', CASE before WHEN 'CREATED' THEN '{"run_after": "2100-01-01"}'::jsonb ELSE '{}' END);
		FOR i IN 1 .. cardinality(steps) LOOP
			PERFORM pg_temp.raw('tried', i, steps[i]);
		END LOOP;
		PERFORM pg_temp.raw('tried', cardinality(steps) + 1, after);
		RAISE SQLSTATE '00001';
	EXCEPTION WHEN OTHERS THEN
		RETURN CASE SQLSTATE WHEN '00001' THEN '00000' ELSE SQLSTATE END;
	END;
END $$;

CREATE TEMP TABLE label (label text);
INSERT INTO label VALUES ('CREATED'), ('PENDING'), ('CLAIMED'), ('VALIDATING'), ('RUNNING'), ('UPLOADING'),
	('COMPLETED'), ('FAILED'), ('CANCELED'), ('UNKNOWN');

-- While there is no job at all, a restore may be loading the history first.
SAVEPOINT restore;
SELECT pg_temp.note('to come', jobs_store.new_id()) IS NULL AS ignored \gset
SELECT throws_ok($$SELECT pg_temp.raw('to come', 1, 'COMPLETED')$$, 'JB409', NULL, 'history before its job: an impossible first step is refused');
SELECT throws_ok($$SELECT pg_temp.raw('to come', 2, 'RUNNING')$$, 'JB409', NULL, 'and a gap');
SELECT lives_ok($$INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name)
	SELECT jobs_store.caller_tenant(), pg_temp.id('to come'), o, now(), 1, n
	FROM (VALUES (3, 'COMPLETED'), (1, 'CLAIMED'), (2, 'RUNNING')) v(o, n)$$, 'rows of one statement may come in any order');
ROLLBACK TO restore;

SELECT pg_temp.add('ready') IS NULL AS ignored \gset
SELECT pg_temp.take('held') IS NULL AS ignored \gset
SELECT pg_temp.report('held', 'RUNNING') IS NULL AS ignored \gset

-- Adding ---------------------------------------------------------------------

SELECT is(pg_temp.outcome(b.label, a.label),
	CASE WHEN jobs.can_transition(b.label, a.label) OR b.label = a.label AND a.label IN ('VALIDATING', 'RUNNING', 'UPLOADING')
		THEN '00000' ELSE 'JB409' END,
	format('a row that says %s after %s', a.label, b.label))
FROM label b, label a;

SET LOCAL session_replication_role = replica;
SELECT is(pg_temp.outcome('PENDING', 'CLAIMED'), '00000', 'a legal step as replica');
SELECT is(pg_temp.outcome('PENDING', 'RUNNING'), 'JB409', 'an illegal one as replica');
SELECT is(pg_temp.outcome('COMPLETED', 'PENDING'), 'JB409', 'another one');
SELECT throws_ok($$UPDATE jobs_store.job_status SET message = 'x'$$, 'JB409', NULL, 'UPDATE as replica');
SELECT throws_ok($$DELETE FROM jobs_store.job_status$$, 'JB409', NULL, 'DELETE as replica');
SELECT throws_ok($$TRUNCATE jobs_store.job_status$$, 'JB409', NULL, 'TRUNCATE as replica');
SET LOCAL session_replication_role = origin;

SELECT throws_ok($$SELECT pg_temp.raw('ready', 2, 'CANCELED')$$, 'JB409', NULL, 'a gap after the first entry');
SELECT throws_ok($$SELECT pg_temp.raw('held', 4, 'COMPLETED')$$, 'JB409', NULL, 'a gap at the end');
SELECT throws_ok($$SELECT pg_temp.raw('ready', 0, 'CANCELED')$$, '23514', NULL, 'the first entry is derived and cannot be stored');
SELECT throws_ok($$SELECT pg_temp.raw('held', 1, 'CLAIMED')$$, '23505', NULL, 'a place that is taken');
SELECT throws_ok($$SELECT pg_temp.raw('none of ours', 1, 'CLAIMED')$$, 'JB404', NULL, 'a job that does not exist');
SELECT throws_ok($$INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name)
	SELECT tenant + 1, job_id, 1, now(), 1, 'CANCELED' FROM jobs_store.ready$$, 'JB404', NULL, 'a job of another tenant');
SELECT throws_ok($$INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name)
	SELECT tenant, job_id, n, now(), 1, CASE n WHEN 1 THEN 'CLAIMED' ELSE 'PENDING' END
	FROM jobs_store.ready, generate_series(1, 3) n$$, 'JB409', NULL, 'one bad row among good ones');
CREATE FUNCTION pg_temp.copied(query text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format($q$COPY jobs_store.job_status (tenant, job_id, ordinal, created, attempt, name) FROM PROGRAM %L$q$,
		(SELECT format($q$printf '%s\t%s\t1\tnow\t1\t%s\n'$q$, tenant, job_id, query) FROM jobs_store.ready));
END $$;
SELECT throws_ok($$SELECT pg_temp.copied('UPLOADING')$$, 'JB409', NULL, 'COPY is no way around');
SELECT pg_temp.copied('CANCELED') IS NULL AS ignored \gset
SELECT is(pg_temp.status('ready'), 'CANCELED', 'COPY of a legal row is accepted');

-- Changing -------------------------------------------------------------------

SELECT throws_ok($$UPDATE jobs_store.job_status SET name = 'FAILED' WHERE job_id = pg_temp.id('held')$$, 'JB409', NULL, 'UPDATE of a name');
SELECT throws_ok($$UPDATE jobs_store.job_status SET message = 'kind words'$$, 'JB409', NULL, 'UPDATE of a message');
SELECT throws_ok($$UPDATE jobs_store.job_status SET name = name$$, 'JB409', NULL, 'UPDATE of nothing');
SELECT throws_ok($$DELETE FROM jobs_store.job_status WHERE job_id = pg_temp.id('held')$$, 'JB409', NULL, 'DELETE');
SELECT throws_ok($$TRUNCATE jobs_store.job_status$$, 'JB409', NULL, 'TRUNCATE');
SELECT throws_ok($$TRUNCATE jobs_store.job, jobs_store.job_status CASCADE$$, 'JB409', NULL, 'TRUNCATE among others');
SELECT throws_ok($$INSERT INTO jobs_store.job_status SELECT * FROM jobs_store.job_status ON CONFLICT (tenant, job_id, ordinal) DO UPDATE SET message = 'x'$$,
	'JB409', NULL, 'ON CONFLICT DO UPDATE');
SELECT throws_ok($$MERGE INTO jobs_store.job_status s USING jobs_store.job j ON s.job_id = j.id WHEN MATCHED THEN DELETE$$, 'JB409', NULL, 'MERGE');
SELECT throws_ok($$WITH gone AS (DELETE FROM jobs_store.job_status RETURNING *) SELECT count(*) FROM gone$$, 'JB409', NULL, 'DELETE inside a query');
SELECT throws_ok(format('SELECT pg_temp.as_role(%L, ''SELECT count(*) FROM jobs_store.job_status'')', r), '42501', NULL, r || ' cannot even read it')
FROM unnest(ARRAY['t_ann', 't_carol', 't_nobody']) r;

-- The extension's own statements ---------------------------------------------

SELECT lives_ok($$SELECT pg_temp.raw('held', 3, 'FAILED')$$, 'a legal step by hand leaves the queue as it is');
SELECT throws_ok($$SELECT pg_temp.report('held', 'COMPLETED')$$, '23505', NULL, 'then two steps out of one state collide');
SELECT is(pg_temp.history('held'), 'PENDING CLAIMED RUNNING FAILED', 'and only one of them is there');
SELECT throws_ok($$SELECT pg_temp.raw('held', 4, 'RUNNING')$$, 'JB409', NULL, 'the guard is on again after a statement of the extension failed');
SELECT pg_temp.take('another') IS NULL AS ignored \gset
SELECT throws_ok($$SELECT pg_temp.raw('another', 2, 'CREATED'), pg_temp.raw('another', 3, 'RUNNING')$$, 'JB409', NULL, 'and after one that did its work');
SELECT is(pg_temp.history('another'), 'PENDING CLAIMED', 'nothing of a refused statement remains');

-- SQL that somebody hung onto a table of the storage is not the extension's.
SELECT pg_temp.add('third') IS NULL AS ignored \gset
CREATE FUNCTION pg_temp.intrude() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.raw('third', 1, 'COMPLETED');
	RETURN NULL;
END $$;
CREATE TRIGGER intrude AFTER INSERT ON jobs_store.lease FOR EACH ROW EXECUTE FUNCTION pg_temp.intrude();
SELECT throws_ok($$SELECT pg_temp.take('fourth')$$, 'JB409', NULL, 'a trigger on another table gets no further');

SELECT * FROM finish();
ROLLBACK;
