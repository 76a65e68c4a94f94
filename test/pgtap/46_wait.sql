-- Waiting for a job to end. That it sees what others commit is in t/016_poll.pl.
\ir setup.psql

-- What a query answers, or its SQLSTATE: one that was canceled is not caught by throws_ok.
CREATE FUNCTION pg_temp.outcome(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE query INTO answer;
	RETURN answer;
EXCEPTION WHEN query_canceled OR others THEN
	RETURN SQLSTATE;
END $$;

SELECT pg_temp.take('done'), pg_temp.report('done', 'COMPLETED'), pg_temp.add('open') \gset ignored_
SELECT is(jobs.poll_job(pg_temp.id('done')), 'COMPLETED', 'a job that has ended is not waited for');
SELECT is(jobs.poll_job(pg_temp.id('done'), '1 ms', '1 h'), 'COMPLETED', 'whatever the times');
SELECT is(pg_temp.outcome($$SELECT jobs.poll_job(pg_temp.id('open'), '1 ms')$$), '57014', 'one that has not, until the timeout');
SELECT is(pg_temp.outcome($$SELECT jobs.poll_job(pg_temp.id('open'), '20 ms', '1 ms')$$), '57014', 'with looks in between');
SELECT throws_ok($$SELECT jobs.poll_job(NULL)$$, '22004', NULL, 'a job is needed');
SELECT throws_ok($$SELECT jobs.poll_job(pg_temp.id('done'), "interval" => NULL)$$, '22004', NULL, 'and an interval');
SELECT throws_ok($$SELECT jobs.poll_job(pg_temp.id('done'), timeout => '0')$$, '22023', NULL, 'no time is none');
SELECT throws_ok($$SELECT jobs.poll_job(pg_temp.id('done'), "interval" => '-1 s')$$, '22023', NULL, 'nor less');
SELECT throws_ok($$SELECT jobs.poll_job(pg_temp.id('none of ours'))$$, 'JB404', NULL, 'a job that is there');
SELECT throws_ok($$SELECT pg_temp.as_role('t_ann', 'SELECT jobs.poll_job(pg_temp.id(''done''))')$$, 'JB404', NULL, 'and may be seen');
SELECT * FROM finish();
ROLLBACK;
