-- Pages by cursor.
\ir setup.psql

CREATE FUNCTION pg_temp.walk(sort text, size integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	page record;
	at text;
	pages text := '';
BEGIN
	FOR i IN 1 .. 20 LOOP
		SELECT * INTO page FROM jobs.list_jobs_after(at, $2, sort => $1);
		pages := pages || '|' || (SELECT coalesce(string_agg(pg_temp.label(j.id), ' ' ORDER BY n), '') FROM unnest(page.items) WITH ORDINALITY j(id, a, b, c, d, e, f, g, h, i, j, k, l, n));
		at := page.next_cursor;
		EXIT WHEN at IS NULL;
	END LOOP;
	RETURN pages;
END $$;

SELECT is(pg_temp.walk('created', 2), '|', 'no jobs, one page');
SELECT count(pg_temp.add(n::text)) AS ignored FROM generate_series(1, 5) n \gset
SELECT is(pg_temp.walk('created', 2), '|1 2|3 4|5', 'all jobs, once each');
SELECT is(pg_temp.walk('-created', 2), '|5 4|3 2|1', 'or the newest first');
SELECT is(pg_temp.walk('created', 5), '|1 2 3 4 5', 'a full page that is the last');
SELECT next_cursor AS at FROM jobs.list_jobs_after(size => 2) \gset
SELECT pg_temp.add('6') \gset ignored_
SELECT jobs.cancel_job(pg_temp.id('4')), jobs.archive(pg_temp.id('4')) \gset ignored_
SELECT is((SELECT pg_temp.label((items[1]).id) FROM jobs.list_jobs_after(:'at', 2)), '3', 'what comes or goes moves no others');
SELECT is((SELECT cardinality(items) FROM jobs.list_jobs_after(size => 100, status_name => 'PENDING')), 5, 'filters are those of list_jobs');
SELECT is((SELECT cardinality(items) FROM jobs.list_jobs_after(:'at', 100, status_name => 'PENDING', function => '@t:one')), 3, 'after a cursor, too');
SELECT is(pg_temp.as_role('t_ann', 'SELECT cardinality(items) FROM jobs.list_jobs_after(all_users => true)'), '0', 'and show what may be seen');
SELECT throws_ok($$SELECT jobs.list_jobs_after('x')$$, '22023', NULL, 'no cursor');
SELECT throws_ok($$SELECT jobs.list_jobs_after(repeat('g', 32))$$, '22023', NULL, 'nor one of other letters');
SELECT throws_ok('SELECT jobs.list_jobs_after(size => 0)', '22023', NULL, 'no empty pages');
SELECT throws_ok('SELECT jobs.list_jobs_after(size => 101)', '22023', NULL, 'nor large ones');
SELECT throws_ok('SELECT jobs.list_jobs_after(size => NULL)', '22004', NULL, 'a size');
SELECT throws_ok($$SELECT jobs.list_jobs_after(sort => 'name')$$, '22023', NULL, 'an order that there is');
SELECT * FROM finish();
ROLLBACK;
