-- Many calls in one session, half of them failing, leave its memory as it was:
-- what json-c allocates goes with an error too.
\set ECHO none
\set QUIET 1
\if :{?calls} \else \set calls 1000000 \endif
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(3);

-- One round: eight calls, four of which fail, on the way in and on the way out.
CREATE FUNCTION pg_temp.rounds(count int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	id uuid := '018c7dbd-a5d0-7ed7-8b5b-0a5d2a5ad2a1';
	good jobs.comment := ROW(id, '2024-01-01', ROW(id, '2024-01-01', '{}', '{}', NULL, NULL, NULL, '[1.50, {"a": "b"}]', NULL, NULL),
		'[]', ARRAY[ROW(id, '2024-01-01', 'Active', repeat('x', 1000), NULL, id)::jobs.resource_archive_status], id, NULL, NULL);
	bad jobs.comment := good;
	document text := jobs.to_json(good);
	failed int := 0;
BEGIN
	bad.archive_status_history := bad.archive_status_history || ROW(id, 'infinity', 'Active', NULL, NULL, id)::jobs.resource_archive_status;
	FOR i IN 1 .. count LOOP
		FOR kind IN 1 .. 8 LOOP
			BEGIN
				CASE kind
					WHEN 1 THEN PERFORM jobs.to_json(good);
					WHEN 2 THEN PERFORM jobs.to_json(bad);
					WHEN 3 THEN PERFORM jobs.to_str(good);
					WHEN 4 THEN PERFORM jobs.to_str(bad);
					WHEN 5 THEN PERFORM jobs.from_json(NULL::jobs.comment, document);
					WHEN 6 THEN PERFORM jobs.from_json(NULL::jobs.comment, document || 'x');
					WHEN 7 THEN PERFORM jobs.to_dict(good);
					WHEN 8 THEN PERFORM jobs.from_json(NULL::jobs.comment, replace(document, 'Active', 'Passive'));
				END CASE;
			EXCEPTION WHEN invalid_parameter_value OR invalid_text_representation THEN
				failed := failed + 1;
			END;
		END LOOP;
	END LOOP;
	RETURN failed || ' of ' || 8 * count || ' failed';
END $$;

-- In kilobytes: what the server's allocator holds, and what the process does.
CREATE FUNCTION pg_temp.held() RETURNS bigint LANGUAGE sql AS $$
	SELECT sum(total_bytes)::bigint / 1024 FROM pg_backend_memory_contexts
$$;
CREATE FUNCTION pg_temp.resident() RETURNS bigint LANGUAGE sql AS $$
	SELECT substring(pg_read_file('/proc/self/status', 0, 100000, true) FROM 'VmRSS:\s+(\d+)')::bigint
$$;

SELECT pg_temp.rounds(1000) AS warm, :calls / 8 AS count \gset
SELECT pg_temp.held() AS held, pg_temp.resident() AS resident \gset
SELECT is(pg_temp.rounds(:count), 4 * :count || ' of ' || 8 * :count || ' failed', 'half of the calls fail');
SELECT cmp_ok(pg_temp.held() - :held, '<', 1024::bigint, 'memory contexts do not grow');
SELECT cmp_ok(coalesce(pg_temp.resident() - nullif(:'resident', '')::bigint, 0), '<', 2048::bigint, 'the process does not grow');

SELECT diag(format('contexts %s kB before, %s kB after; process %s kB before, %s kB after', :held, pg_temp.held(), :'resident', pg_temp.resident()));
SELECT * FROM finish();
ROLLBACK;
