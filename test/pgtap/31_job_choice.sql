-- Choosing among function versions of one name, and what is said when it fails.
\ir setup.psql

CREATE FUNCTION pg_temp.said(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	EXECUTE statement;
	RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN sqlstate || ' ' || detail;
END $$;

SELECT pg_temp.note('plain', jobs.add_function('@t:choice', '1')) IS NULL AS ignored \gset
SELECT pg_temp.note('a', jobs.add_function('@t:choice', '1', tool_name => 'A', tool_version => '1')) IS NULL AS ignored \gset
SELECT pg_temp.note('old', jobs.add_function('@t:choice', '0', tool_name => 'B')) IS NULL AS ignored \gset
SELECT pg_temp.note('newest', jobs.add_function('@t:choice', '1', tool_name => 'C')) IS NULL AS ignored \gset
SELECT is(jobs.add_function('@t:choice', '1', '', '', '', '', '', ''), pg_temp.id('plain'), 'an empty tool is none');
SELECT is(pg_temp.said($$SELECT jobs.add_job('@t:choice')$$), '22023 These fit: 1 C, 1 A 1, 1.', 'only those of the version in question are named');
SELECT is(((jobs.add_job('@t:choice', tool_name => '')).function).id, pg_temp.id('plain'), 'the one without a tool can be chosen');
SELECT is(((jobs.add_job('@t:choice', tool_name => 'A')).function).id, pg_temp.id('a'), 'and the one with');
SELECT is(((jobs.add_job('@t:choice', function_version => '0')).function).id, pg_temp.id('old'), 'an older version too');
SELECT is(pg_temp.said($$SELECT jobs.add_job('@t:choice', tool_name => 'D')$$), 'JB404 Registered are: 1 C, 0 B, 1 A 1, 1.', 'when none fits, all are named');
SELECT throws_ok($$SELECT jobs.add_jobs('[1]')$$, '22023', NULL, 'an element that is no object');
SELECT throws_ok($$SELECT jobs.add_jobs('[{"function": "@t:choice", "tool_name": "A"}, []]')$$, '22023', NULL, 'nor is a list one');

SELECT * FROM finish();
ROLLBACK;
