-- 90_version: a library that is not of the version of the SQL says so, and what to do.
\ir setup.psql

CREATE FUNCTION pg_temp.pretend(version text) RETURNS void LANGUAGE sql AS
	$$UPDATE pg_extension SET extversion = version WHERE extname = 'jobs'$$;
CREATE FUNCTION pg_temp.hint_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	EXECUTE statement;
	RETURN NULL;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN hint;
END $$;
CREATE TEMP TABLE installed AS SELECT extversion AS version FROM pg_extension WHERE extname = 'jobs';

SELECT lives_ok($$SELECT jobs.current_user_id()$$, 'of one version, all is well');

-- As an update does, which replaces functions.
SELECT pg_temp.pretend('0.0.1');
CREATE FUNCTION pg_temp.changed() RETURNS integer LANGUAGE sql AS 'SELECT 1';
SELECT throws_ok($$SELECT jobs.current_user_id()$$, '55000', NULL, 'SQL that is older than the library is refused');
SELECT throws_ok($$SELECT jobs.add_function('@test:version', '1.0')$$, '55000', NULL, 'each time, and by each function');
SELECT is(pg_temp.hint_of('SELECT jobs.current_user_id()'),
	format('Run ALTER EXTENSION jobs UPDATE TO ''%s''; in this database.', version),
	'the hint has the command') FROM installed;
SELECT is(jobs_store.part_id('00000000-0000-7000-8000-000000000000', 1), '00000000-0000-7000-8000-000000000001',
	'what needs no storage works all the same');

SELECT pg_temp.pretend('1000.0.0');
SELECT matches(pg_temp.hint_of('SELECT jobs.current_user_id()'), 'Install the library of version 1000\.0\.0, and connect again',
	'SQL that is newer than the library: the hint says which library');

SELECT pg_temp.pretend(version) FROM installed;
SELECT lives_ok($$SELECT jobs.current_user_id()$$, 'once they agree, all is well at once');
SELECT lives_ok($$SELECT jobs.add_function('@test:version', '1.0')$$, 'for all functions');

SELECT * FROM finish();
ROLLBACK;
