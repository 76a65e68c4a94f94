-- The type job_status_name, and which status may follow which.
BEGIN;
SELECT * FROM no_plan();
SET LOCAL client_min_messages = warning;
-- Everything below must work for who does not have jobs in the search path.
SET LOCAL search_path = public;

CREATE FUNCTION pg_temp.hint_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	EXECUTE query;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN hint;
END $$;

CREATE FUNCTION pg_temp.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		plan := plan || line || E'\n';
	END LOOP;
	RETURN plan;
END $$;

CREATE TEMP TABLE label (n integer, label text);
INSERT INTO label SELECT n, l FROM unnest(ARRAY['CREATED', 'PENDING', 'CLAIMED', 'VALIDATING', 'RUNNING',
	'UPLOADING', 'COMPLETED', 'FAILED', 'CANCELED', 'UNKNOWN']) WITH ORDINALITY l(l, n);

-- Text and binary ------------------------------------------------------------

SELECT is(label::jobs.job_status_name::text, label, 'label ' || label || ' comes back') FROM label;
SELECT is(lower(label)::jobs.job_status_name::text, label, 'lower case is read') FROM label;
SELECT is(initcap(label)::jobs.job_status_name::text, label, 'the spelling of JSON is read') FROM label;
SELECT is(jobs.job_status_name_in(cstring(E' \t\r\n' || label || E' \f\n'))::text, label, 'blanks around it are read') FROM label;
SELECT is((E'  rUnNiNg ')::text::jobs.job_status_name::text, 'RUNNING', 'also by the cast');
SELECT throws_ok(format('SELECT %L::jobs.job_status_name', wrong), '22P02', NULL, 'refused: ' || quote_literal(wrong))
FROM unnest(ARRAY['', ' ', 'RUN', 'RUNNINGS', 'CANCELLED', 'RUN NING', 'RUNNING,', '4', E'\u00a0RUNNING', repeat('x', 100000)]) wrong;
SELECT throws_ok($$SELECT 'RUN'::text::jobs.job_status_name$$, '22P02', NULL, 'the cast refuses in the same way');
SELECT throws_ok($$SELECT 'RUN'::varchar::jobs.job_status_name$$, '22P02', NULL, 'and that from varchar');
SELECT ok(position(label IN pg_temp.hint_of($$SELECT 'x'::jobs.job_status_name$$)) > 0, 'the hint lists ' || label) FROM label;
SELECT is(pg_column_size('RUNNING'::jobs.job_status_name), 1, 'one byte');
SELECT is(to_json('RUNNING'::jobs.job_status_name)::text, '"RUNNING"', 'label in the JSON of the server');

SELECT is(jobs.job_status_name_send(label::jobs.job_status_name), convert_to(label, 'UTF8'), 'binary output is the label') FROM label;
CREATE TEMP TABLE received (status jobs.job_status_name);
COPY received FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\001\0\0\0\007RUNNING\0\001\0\0\0\010canceled\0\001\377\377\377\377\377\377'$$ (FORMAT binary);
SELECT results_eq('SELECT status::text FROM received', ARRAY['RUNNING', 'CANCELED', NULL], 'binary input is a label, or null');
SELECT throws_ok($sql$COPY received FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\001\0\0\0\003RUN\377\377'$$ (FORMAT binary)$sql$,
	'22P02', NULL, 'binary input refuses another label');
SELECT throws_ok($sql$COPY received FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\0\001\0\0\0\001\004\377\377'$$ (FORMAT binary)$sql$,
	'22P02', NULL, 'and a number');

-- Comparison -----------------------------------------------------------------

SELECT results_eq('SELECT label FROM label ORDER BY label::jobs.job_status_name',
	'SELECT label FROM label ORDER BY n', 'ordered by the life cycle');
SELECT is_empty($$SELECT a.label, b.label FROM label a, label b, LATERAL (SELECT a.label::jobs.job_status_name x, b.label::jobs.job_status_name y) s
	WHERE (x = y, x <> y, x < y, x <= y, x > y, x >= y, jobs.job_status_name_cmp(x, y))
	IS DISTINCT FROM (a.n = b.n, a.n <> b.n, a.n < b.n, a.n <= b.n, a.n > b.n, a.n >= b.n, sign(a.n - b.n)::integer)$$,
	'the six operators and the comparison function agree with that order');
SELECT is_empty($$SELECT FROM (SELECT NULL::jobs.job_status_name x, 'RUNNING'::jobs.job_status_name y) s
	WHERE (x = y, x <> y, x < y, x <= y, x > y, x >= y) IS DISTINCT FROM (NULL::boolean, NULL::boolean, NULL::boolean, NULL::boolean, NULL::boolean, NULL::boolean)$$,
	'compared with NULL: NULL');

CREATE TEMP TABLE many AS
	SELECT g AS id, l.label::jobs.job_status_name AS status FROM generate_series(1, 3000) g JOIN label l ON l.n = CASE WHEN g % 100 = 0 THEN 1 + g / 100 % 10 ELSE 7 END;
CREATE INDEX ON many (status);
ANALYZE many;
SELECT matches(pg_temp.plan_of($$SELECT id FROM many WHERE status = 'running'$$), 'Index', 'a literal uses the index');
SELECT matches(pg_temp.plan_of($$SELECT id FROM many WHERE status = 'running'::text$$), 'Index', 'so does a text');
SELECT matches(pg_temp.plan_of($$SELECT id FROM many WHERE status < 'PENDING'$$), 'Index', 'and a range');
PREPARE by_text(text) AS SELECT count(*) FROM many WHERE status = $1;
PREPARE by_varchar(varchar) AS SELECT count(*) FROM many WHERE status = $1;
PREPARE by_text_first(text) AS SELECT count(*) FROM many WHERE $1 = status;
PREPARE by_unknown AS SELECT count(*) FROM many WHERE status = $1;
PREPARE by_array(text[]) AS SELECT count(*) FROM many WHERE status = ANY ($1);
SELECT results_eq($$EXECUTE by_text('running')$$, ARRAY[3::bigint], 'status = $1 with a text');
SELECT results_eq($$EXECUTE by_varchar(' Running')$$, ARRAY[3::bigint], 'with a varchar');
SELECT results_eq($$EXECUTE by_text_first('RUNNING')$$, ARRAY[3::bigint], 'with the text on the left');
SELECT results_eq($$EXECUTE by_unknown('RUNNING')$$, ARRAY[3::bigint], 'with a parameter of no type');
SELECT results_eq($$EXECUTE by_array(ARRAY['RUNNING', 'failed'])$$, ARRAY[6::bigint], 'with an array of texts');
SELECT throws_ok($$EXECUTE by_text('RUN')$$, '22P02', NULL, 'a text that is no label is an error, not a row less');
SELECT matches(pg_temp.plan_of($$EXECUTE by_text('running')$$), 'Index', 'the index is used with a parameter');
CREATE TEMP TABLE target (a text, b varchar, c jobs.job_status_name);
INSERT INTO target SELECT s, s, s::text FROM (VALUES ('FAILED'::jobs.job_status_name)) v(s);
SELECT results_eq('SELECT a, b::text, c::text FROM target', $$VALUES ('FAILED', 'FAILED', 'FAILED')$$, 'assigned to and from text and varchar');

SET LOCAL enable_mergejoin = off;
SET LOCAL enable_nestloop = off;
SET LOCAL enable_sort = off;
SELECT matches(pg_temp.plan_of('SELECT count(*) FROM many a JOIN received b USING (status)'), 'Hash Join', 'joined by hash');
SELECT results_eq('SELECT count(*) FROM many a JOIN received b USING (status)', ARRAY[6::bigint], 'with the right rows');
SELECT set_eq('SELECT DISTINCT status::text FROM (SELECT DISTINCT status FROM many) d', 'SELECT label FROM label', 'DISTINCT');
SELECT results_eq($$SELECT count(*) FROM many GROUP BY status ORDER BY 1 DESC LIMIT 1$$, ARRAY[2973::bigint], 'GROUP BY');
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = on;
SET LOCAL enable_sort = on;
SELECT results_eq('SELECT count(*) FROM many a JOIN received b USING (status)', ARRAY[6::bigint], 'joined by merging');
CREATE TEMP TABLE parted (status jobs.job_status_name) PARTITION BY HASH (status);
CREATE TEMP TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TEMP TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parted SELECT label::jobs.job_status_name FROM label;
SELECT results_eq($$SELECT count(*) FROM label l JOIN parted p ON p.status = l.label$$, ARRAY[10::bigint], 'partitioned by hash');

SELECT is(jobs.min(status)::text, 'CREATED', 'min') FROM many;
SELECT is(jobs.max(status)::text, 'UNKNOWN', 'max') FROM many;
SELECT is(jobs.max(status)::text, 'CANCELED', 'max passes over NULL') FROM received;
SELECT ok(jobs.min(status) IS NULL AND jobs.max(status) IS NULL, 'min and max over no rows are NULL') FROM many WHERE false;
SELECT matches(pg_temp.plan_of('SELECT jobs.max(status) FROM many'), 'Index', 'max takes the end of the index');

-- Transitions ----------------------------------------------------------------

CREATE TEMP TABLE permitted (before text, after text[]);
INSERT INTO permitted VALUES
	(NULL, '{CREATED,PENDING}'),
	('CREATED', '{PENDING,FAILED,CANCELED}'),
	('PENDING', '{CLAIMED,CREATED,FAILED,CANCELED}'),
	('CLAIMED', '{VALIDATING,RUNNING,UPLOADING,COMPLETED,FAILED,CANCELED,UNKNOWN,PENDING,CREATED}'),
	('VALIDATING', '{RUNNING,UPLOADING,COMPLETED,FAILED,CANCELED,UNKNOWN,PENDING,CREATED}'),
	('RUNNING', '{UPLOADING,COMPLETED,FAILED,CANCELED,UNKNOWN,PENDING,CREATED}'),
	('UPLOADING', '{COMPLETED,FAILED,CANCELED,UNKNOWN,PENDING,CREATED}'),
	('COMPLETED', '{}'),
	('FAILED', '{PENDING,CREATED}'),
	('CANCELED', '{PENDING,CREATED}'),
	('UNKNOWN', '{PENDING,CREATED,FAILED,CANCELED,CLAIMED,VALIDATING,RUNNING,UPLOADING,COMPLETED}');

SELECT is(jobs.can_transition(p.before, l.label), l.label = ANY (p.after), format('%s to %s', coalesce(p.before, 'nothing'), l.label))
FROM permitted p, label l;
SELECT is(jobs.can_transition(p.before, NULL), NULL, format('%s to NULL is NULL', coalesce(p.before, 'nothing'))) FROM permitted p;
SELECT results_eq(format('SELECT s::text FROM jobs.next_statuses(%L) s', p.before),
	format('SELECT label FROM label WHERE label = ANY (%L::text[]) ORDER BY n', p.after), 'all that may follow ' || coalesce(p.before, 'nothing'))
FROM permitted p;
SELECT is(jobs.is_terminal(label), label IN ('COMPLETED', 'FAILED', 'CANCELED'), 'is_terminal of ' || label) FROM label;
SELECT is(jobs.is_terminal(NULL), NULL, 'is_terminal of NULL is NULL');

SELECT * FROM finish();
ROLLBACK;
