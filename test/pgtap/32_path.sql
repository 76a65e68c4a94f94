-- Claims and reports have no SET clause, and yet the caller's search_path is nothing to
-- them: neither to the statements that they run nor to the short cut.
\ir setup.psql

CREATE SCHEMA evil;
CREATE FUNCTION evil.never(integer, integer) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'called'; END$$;
CREATE FUNCTION evil.never(uuid, uuid) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'called'; END$$;
CREATE OPERATOR evil.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.never);
CREATE OPERATOR evil.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = evil.never);

-- What becomes of a query where the operators of that schema come first.
CREATE FUNCTION pg_temp.trapped(direct text, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	path text := current_setting('search_path');
	after text;
BEGIN
	PERFORM set_config('jobs.direct', direct, true);
	PERFORM set_config('search_path', 'evil, pg_catalog', true);
	EXECUTE query;
	after := current_setting('search_path');
	PERFORM set_config('search_path', path, true);
	RETURN after;
EXCEPTION WHEN raise_exception THEN
	RETURN SQLERRM;
END $$;

SELECT count(jobs.add_job('@t:one')) AS ignored FROM generate_series(1, 7) \gset
SELECT pg_temp.id('agent') AS agent \gset
SELECT is(pg_temp.trapped('on', 'SELECT 1 = 1'), 'called', 'the operators in front are a trap');
SELECT job_id AS one FROM jobs.claim_jobs(:'agent') \gset
SELECT job_id AS two FROM jobs.claim_jobs(:'agent') \gset
SELECT is(pg_temp.trapped(direct, format(query, :'agent', :'one', :'two')), 'evil, pg_catalog', format('%s, short cut %s', what, direct))
FROM (VALUES
	('off', 'a claim', 'SELECT jobs.claim_jobs(%L)'),
	('on', 'a claim', 'SELECT jobs.claim_jobs(%L)'),
	('off', 'a report and a claim', 'SELECT jobs.finish_and_claim(%2$L, ''COMPLETED'', NULL, %1$L)'),
	('on', 'a report', 'SELECT jobs.update_job_status(%3$L::uuid, ''FAILED'', agent_id => %1$L)'),
	('off', 'reports of many', 'SELECT jobs.update_job_status(ids, ''{FAILED}'', NULL, %1$L, NULL)
		FROM (SELECT array_agg(job_id) AS ids FROM jobs.claim_jobs(%1$L, 2)) c')) t(direct, what, query);

SELECT * FROM finish();
ROLLBACK;
