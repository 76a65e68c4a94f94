-- The cache of a session: what goes into it, what is found in it, what is
-- pushed out; and who may copy content to a file of the server.
\ir setup.psql

-- Two and a half MiB that do not repeat: 80 blocks of 32 kB.
CREATE TEMP TABLE big AS SELECT string_agg(sha512(n::text::bytea), '' ORDER BY n) AS bytes FROM generate_series(1, 40960) n;
SELECT pg_temp.note('big', jobs.add_model('big', bytes)) AS id FROM big \gset ignored_
SELECT pg_temp.note('other', jobs.add_model('other', bytes || '\x01')) AS id FROM big \gset ignored_
SELECT pg_temp.note('one chunk', jobs.add_model('one chunk', substring(bytes FOR 1048576))) AS id FROM big \gset ignored_
SELECT pg_temp.add('job') AS id \gset ignored_

CREATE TEMP TABLE earlier AS SELECT 0 AS hits, 0 AS misses, 0 AS puts;
-- What the counters moved by since the last call: hits, misses, puts.
CREATE FUNCTION pg_temp.moved() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	now record := jobs.get_cache_stats();
	answer text := (SELECT format('%s %s %s', now.hits - e.hits, now.misses - e.misses, now.puts - e.puts) FROM earlier e);
BEGIN
	UPDATE earlier SET hits = now.hits, misses = now.misses, puts = now.puts;
	RETURN answer;
END $$;
CREATE FUNCTION pg_temp.held() RETURNS text LANGUAGE sql AS
	$$SELECT format('%s %s', s.entries, s.bytes) FROM jobs.get_cache_stats() s$$;
CREATE FUNCTION pg_temp.reads_right(label text, "offset" bigint DEFAULT 0, length bigint DEFAULT NULL) RETURNS boolean LANGUAGE sql AS
	$$SELECT jobs.read_bytes(pg_temp.id($1), $2, $3) = substring(bytes FROM ($2 + 1)::integer FOR coalesce($3, 100000000)::integer) FROM big$$;

-- Refused --------------------------------------------------------------------

SELECT throws_ok(format('SELECT jobs.cleanup_cache(pg_temp.id(%L))', label), 'JB404', NULL, 'cleanup_cache of ' || label) FROM unnest(ARRAY['none of ours', 'agent', 'one']) label;
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT jobs.cleanup_cache(pg_temp.id(''big''))')$$, 'JB404', NULL, 'cleanup_cache of what is another''s');
SELECT throws_ok(format('SELECT pg_temp.as_role(''t_nobody'', %L)', 'SELECT jobs.' || call), '42501', NULL, 'nobody: ' || call) FROM unnest(ARRAY['cleanup_cache()', 'get_cache_stats()']) call;
SELECT throws_ok(format('SET LOCAL jobs.cache_size = %L', value), '22023', NULL, 'cache_size of ' || value) FROM unnest(ARRAY['-1', 'much']) value;

-- Small content stays out ----------------------------------------------------

SELECT is(pg_temp.moved() || ' ' || pg_temp.held(), '0 0 0 0 0', 'an empty cache');
SELECT is(jobs.cleanup_cache(), 0, 'nothing to clean');
SELECT is(octet_length(jobs.read_bytes(pg_temp.id(label))) > 0, true, 'read ' || label) FROM unnest(ARRAY['job', 'one chunk']) label;
SELECT is(pg_temp.moved() || ' ' || pg_temp.held(), '0 0 0 0 0', 'what takes one row is not cached');

-- By block -------------------------------------------------------------------

SELECT ok(pg_temp.reads_right('big', 1000000, 100), 'a few bytes');
SELECT is(pg_temp.moved() || ' ' || pg_temp.held(), '0 1 1 1 32768', 'are one block');
SELECT ok(pg_temp.reads_right('big', 1000100, 100), 'bytes beside them');
SELECT is(pg_temp.moved() || ' ' || pg_temp.held(), '1 0 0 1 32768', 'are a hit');
SELECT ok(pg_temp.reads_right('big', 1015807, 2), 'across the end of the block');
SELECT is(pg_temp.moved() || ' ' || pg_temp.held(), '1 1 1 1 65536', 'is a hit and a miss');
SELECT ok(pg_temp.reads_right('big', 1048575, 2), 'across the end of a chunk');
SELECT is(pg_temp.moved() || ' ' || pg_temp.held(), '1 1 1 1 98304', 'too');
SELECT ok(pg_temp.reads_right('big', 2621439), 'the last byte');
SELECT ok(pg_temp.reads_right('big', 2621440), 'past the end');
SELECT is(octet_length(jobs.read_bytes(pg_temp.id('big'), 9223372036854775807)), 0, 'far past the end');
SELECT is(pg_temp.moved() || ' ' || pg_temp.held(), '0 1 1 1 131072', 'is one block');
SELECT ok(pg_temp.reads_right('big'), 'all');
SELECT is(pg_temp.moved() || ' ' || pg_temp.held(), '4 76 76 1 2621440', 'reads what was not there');
SELECT ok(pg_temp.reads_right('big'), 'all again');
SELECT is(pg_temp.moved() || ' ' || pg_temp.held(), '80 0 0 1 2621440', 'is read from the cache');
SELECT is(octet_length(jobs.read_bytes(pg_temp.id('other'))), 2621441, 'a size that is no multiple');
SELECT is(get_byte(jobs.read_bytes(pg_temp.id('other'), 2621440), 0), 1, 'its last block is one byte');
SELECT is(pg_temp.moved() || ' ' || pg_temp.held(), '1 81 81 2 5242881', 'and counts as one');
SELECT ok(bool_and(pg_temp.reads_right('big', o, l)), 'any range')
FROM (SELECT (random() * 2621440)::bigint AS o, (random() * 200000)::bigint AS l FROM generate_series(1, 200)) r;
SELECT is(split_part(pg_temp.moved(), ' ', 2), '0', 'without a miss');

-- Access comes first.
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT jobs.read_bytes(pg_temp.id(''big''))')$$, 'JB404', NULL, 'what the session holds is not everybody''s');
SELECT is(pg_temp.moved(), '0 0 0', 'and the cache was not asked');

-- A new revision is another content.
SELECT jobs.update_model(pg_temp.id('big'), bytes || bytes) AS id FROM big \gset ignored_
SELECT ok(jobs.read_bytes(pg_temp.id('big'), 2621440) = bytes, 'the latest revision') FROM big;
SELECT is(pg_temp.held(), '3 7864321', 'each revision has its place');
SELECT is(jobs.cleanup_cache(pg_temp.id('big')), 2, 'all revisions of a resource are removed');
SELECT is(pg_temp.held(), '1 2621441', 'the others are not');

-- A revision that was rolled back leaves nothing that could be mistaken.
SAVEPOINT before;
SELECT jobs.update_model(pg_temp.id('other'), bytes || '\x02') AS id FROM big \gset ignored_
SELECT is(get_byte(jobs.read_bytes(pg_temp.id('other'), 2621440), 0), 2, 'read in the transaction that added it');
ROLLBACK TO before;
SELECT is(get_byte(jobs.read_bytes(pg_temp.id('other'), 2621440), 0), 1, 'and not after it was rolled back');
SELECT is(jobs.cleanup_cache(), 2, 'all');
SELECT is(pg_temp.held(), '0 0', 'is gone');

-- Limits ---------------------------------------------------------------------

SELECT pg_temp.moved() AS id \gset ignored_
SET LOCAL jobs.cache_size = 0;
SELECT is(octet_length(jobs.read_bytes(pg_temp.id('other'))), 2621441, 'switched off');
SELECT is(pg_temp.moved() || ' ' || pg_temp.held(), '0 0 0 0 0', 'nothing is cached or counted');
SET LOCAL jobs.cache_size = '1MB';
SELECT is(octet_length(jobs.read_bytes(pg_temp.id('other'))), 2621441, 'a read that is larger than the cache');
SELECT is(pg_temp.moved() || ' ' || pg_temp.held(), '0 0 0 0 0', 'passes it by');
SELECT ok(bool_and(jobs.read_bytes(pg_temp.id('other'), n * 500000, 500000) = substring(bytes || '\x01' FROM n * 500000 + 1 FOR 500000)), 'in parts') FROM big, generate_series(0, 5) n;
SELECT cmp_ok(s.bytes, '<=', 1048576::bigint, 'it never takes more') FROM jobs.get_cache_stats() s;
SELECT jobs.cleanup_cache() AS id \gset ignored_
SET LOCAL jobs.cache_size = '64kB';
SELECT octet_length(jobs.read_bytes(pg_temp.id('other'), 0, 1)) + octet_length(jobs.read_bytes(pg_temp.id('big'), 0, 1)) AS id \gset ignored_
SELECT is(pg_temp.held(), '2 65536', 'room for two blocks');
SELECT octet_length(jobs.read_bytes(pg_temp.id('other'), 1, 1)) AS id \gset ignored_
SELECT octet_length(jobs.read_bytes(pg_temp.id('other'), 100000, 1)) AS id \gset ignored_
SELECT is(pg_temp.held(), '1 65536', 'the revision that was not used for longest makes room');
SELECT jobs.cleanup_cache() AS id \gset ignored_
SET LOCAL jobs.cache_size = '8kB';
SELECT is(octet_length(jobs.read_bytes(pg_temp.id('other'), 0, 1)), 1, 'room for less than a block');
SELECT is(pg_temp.held(), '0 0', 'is none');
SET LOCAL jobs.cache_size = '64MB';
SELECT is(octet_length(jobs.read_bytes(pg_temp.id('other'))), 2621441, 'room for all');
SET LOCAL jobs.cache_size = '1MB';
SELECT is(jobs.read_bytes(pg_temp.id('other'), 0, 1) = substring(bytes FOR 1), true, 'less room') FROM big;
SELECT cmp_ok(s.bytes, '<=', 1048576::bigint, 'takes effect with the next read') FROM jobs.get_cache_stats() s;
RESET jobs.cache_size;

-- temp_file_limit: half of it is left to queries, and it is no error.
SELECT jobs.cleanup_cache() AS id \gset ignored_
SET LOCAL temp_file_limit = '1MB';
SELECT is(octet_length(jobs.read_bytes(pg_temp.id('other'))), 2621441, 'more than temp_file_limit');
SELECT ok(bool_and(jobs.read_bytes(pg_temp.id('other'), n * 250000, 250000) = substring(bytes || '\x01' FROM n * 250000 + 1 FOR 250000)), 'in parts') FROM big, generate_series(0, 10) n;
SELECT cmp_ok(s.bytes, '<=', 524288::bigint, 'takes half of it') FROM jobs.get_cache_stats() s;
SELECT jobs.cleanup_cache() AS id \gset ignored_
-- The query itself takes most of the limit, so that files cannot grow.
SET LOCAL work_mem = '64kB';
SET LOCAL temp_file_limit = '2MB';
SELECT lives_ok($$SELECT count(jobs.read_bytes(pg_temp.id('big'), n * 50000, 50000)) FROM (SELECT n, repeat('x', 100) FROM generate_series(0, 11000) n OFFSET 0) s WHERE n < 60$$, 'a read does not fail by it');
SET LOCAL temp_file_limit = 0;
SELECT ok(pg_temp.reads_right('one chunk', 0, 10) AND octet_length(jobs.read_bytes(pg_temp.id('big'), 0, 40000)) = 40000, 'no temporary files at all');
RESET temp_file_limit;
RESET work_mem;

-- What the table holds must fit the token: seen when all of it was read.
UPDATE jobs_store.content SET bytes = overlay(bytes PLACING '\xff' FROM 5) WHERE chunk = 1 AND revision_id = (SELECT id FROM jobs_store.file_revision WHERE resource_id = pg_temp.id('other'));
SELECT jobs.cleanup_cache() AS id \gset ignored_
SELECT throws_ok($$SELECT jobs.read_bytes(pg_temp.id('other'))$$, 'XX001', NULL, 'a table that was tampered with');
SELECT is(pg_temp.held(), '0 0', 'nothing of it is kept');
SET LOCAL jobs.cache_size = 0;
SELECT is(octet_length(jobs.read_bytes(pg_temp.id('other'))), 2621441, 'without the cache it can be rescued');
RESET jobs.cache_size;

-- In a parallel operation the cache is not written, and read all the same.
SELECT jobs.cleanup_cache() AS id \gset ignored_
SELECT pg_temp.moved(), pg_temp.id('big') AS big \gset
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SELECT max(octet_length(jobs.read_bytes(:'big', 5, 5))) AS length FROM pg_proc WHERE prosrc = 'statement_timestamp' \gset
SELECT is(:length, 5, 'in a parallel operation');
SELECT is(pg_temp.moved() || ' ' || pg_temp.held(), '0 1 0 0 0', 'a block is read and not kept');
SELECT octet_length(jobs.read_bytes(:'big', 5, 5)) AS id \gset ignored_
SELECT max(octet_length(jobs.read_bytes(:'big', 5, 5))) AS length FROM pg_proc WHERE prosrc = 'statement_timestamp' \gset
SELECT is(pg_temp.moved(), '1 1 1', 'one that was kept before is found');
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- copy_to --------------------------------------------------------------------

SELECT throws_ok('SELECT jobs.' || call, '22004', NULL, 'null: ' || call) FROM unnest(ARRAY['copy_to(NULL, ''/tmp/x'')', 'copy_to(pg_temp.id(''big''), NULL)']) call;
SELECT throws_ok(format('SELECT jobs.copy_to(pg_temp.id(''big''), %L)', dest), '22023', NULL, 'dest ' || dest) FROM unnest(ARRAY['', 'x', './x', '../x', '/', '/tmp', '/tmp/', '/dev/null']) dest;
SELECT throws_ok(format('SELECT jobs.copy_to(pg_temp.id(''big''), %L)', '/' || repeat('x', 1024)), '22001', NULL, 'dest is too long');
SELECT throws_ok($$SELECT jobs.copy_to(pg_temp.id('big'), '/nowhere/x')$$, '58P01', NULL, 'a folder that is not there');
SELECT throws_ok(format('SELECT jobs.copy_to(pg_temp.id(%L), ''/nowhere/x'')', label), 'JB404', NULL, 'copy_to of ' || label) FROM unnest(ARRAY['none of ours', 'agent', 'one']) label;
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT jobs.copy_to(pg_temp.id(''big''), ''/nowhere/x'')')$$, '42501', NULL, 'without the privilege');
GRANT pg_write_server_files TO t_ann, t_nobody;
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT jobs.copy_to(pg_temp.id(''big''), ''/nowhere/x'')')$$, 'JB404', NULL, 'with it, what one may not see');
SELECT throws_ok($$SELECT pg_temp.as_role('t_nobody', 'SELECT jobs.copy_to(pg_temp.id(''big''), ''/nowhere/x'')')$$, '42501', NULL, 'with it, as nobody');

SELECT * FROM finish();
ROLLBACK;
