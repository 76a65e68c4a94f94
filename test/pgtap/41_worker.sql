-- What SQL sees of background workers; what they do is in t/020_worker.pl and after.
BEGIN;
SELECT plan(5);

SELECT lives_ok('SELECT * FROM jobs.worker_status()', 'worker_status can be called, preloaded or not');
SELECT is_empty(
	$$SELECT * FROM jobs.worker_status() WHERE current_setting('shared_preload_libraries') !~ 'jobs'$$,
	'it has no row when nothing is preloaded');
SELECT set_eq(
	$$SELECT name::text || ' ' || context FROM pg_settings WHERE name ~ '^jobs\.(.*worker.*)$'$$,
	$$SELECT unnest(ARRAY['jobs.max_workers', 'jobs.worker', 'jobs.worker_databases', 'jobs.worker_discovery_interval', 'jobs.worker_interval']) || ' sighup'$$,
	'workers are set up for the whole server, by reload');
SELECT throws_ok($$SET jobs.worker = off$$, '55P02', NULL, 'and by no session');
CREATE ROLE stranger;
SET ROLE stranger;
SELECT lives_ok('SELECT * FROM jobs.worker_status()', 'worker_status is open to all, as statistics are');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
