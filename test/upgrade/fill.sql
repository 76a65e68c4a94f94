-- A job in every state, with all that belongs to it. Leaves nothing but that.
-- What is claimed must be what was just added, so each job that is to be claimed
-- has a higher priority than the ones before it.
SET client_min_messages = warning;
SET jobs.lost_grace = '1h';
CREATE TEMP TABLE known (label text PRIMARY KEY, id uuid);
INSERT INTO known VALUES
	('function', jobs.add_function('@test:upgrade', '1.0', 'module')),
	('agent', jobs.register_agent('agent', 'linux')),
	('model', jobs.add_model('model.txt', 'some text', 'text/plain'));
SELECT jobs.set_agent_functions(a.id, ARRAY[f.id])
FROM known a, known f WHERE a.label = 'agent' AND f.label = 'function';

CREATE FUNCTION pg_temp.id(label text) RETURNS uuid LANGUAGE sql AS
	'SELECT id FROM known k WHERE k.label = $1';
CREATE FUNCTION pg_temp.add(label text, run_after timestamptz DEFAULT NULL, depends_on uuid[] DEFAULT NULL,
	priority integer DEFAULT 0, max_attempts integer DEFAULT 1) RETURNS uuid LANGUAGE sql AS
	'INSERT INTO known SELECT $1, (jobs.add_job(''@test:upgrade'', model_id => pg_temp.id(''model''),
		parameters => jsonb_build_object(''label'', $1), display_name => $1, run_after => $2,
		depends_on => $3, priority => $4, max_attempts => $5, idempotency_key => ''key of '' || $1)).id
	RETURNING id';
CREATE FUNCTION pg_temp.take(label text, lease interval DEFAULT '300 days', max_attempts integer DEFAULT 1)
	RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	added uuid := pg_temp.add(label, priority => (SELECT count(*)::integer FROM known),
		max_attempts => take.max_attempts);
	got uuid := (SELECT job_id FROM jobs.claim_jobs(pg_temp.id('agent'), lease => take.lease));
BEGIN
	ASSERT got = added, 'claimed another job';
	RETURN got;
END $$;

SELECT pg_temp.add('pending');
SELECT pg_temp.add('due in a century', run_after => now() + interval '100 years');
SELECT pg_temp.add('dependent', depends_on => ARRAY[pg_temp.id('pending')]);
SELECT pg_temp.take('claimed');
SELECT jobs.update_job_status(pg_temp.take('validating'), 'VALIDATING', 'looking', pg_temp.id('agent'));
SELECT jobs.update_job_status(pg_temp.take('running'), 'RUNNING', agent_id => pg_temp.id('agent'));
SELECT jobs.update_job_status(pg_temp.id('running'), 'RUNNING', 'half way', pg_temp.id('agent'));
SELECT jobs.update_job_status(pg_temp.take('uploading'), 'UPLOADING', agent_id => pg_temp.id('agent'));
SELECT jobs.update_job_status(pg_temp.take('completed'), 'RUNNING', agent_id => pg_temp.id('agent'));
SELECT jobs.update_job(pg_temp.id('completed'), 'the result', name => 'result.txt');
SELECT jobs.update_job_status(pg_temp.id('completed'), 'COMPLETED', agent_id => pg_temp.id('agent'));
SELECT jobs.update_job_status(pg_temp.take('failed'), 'FAILED', 'it broke', pg_temp.id('agent'));
SELECT jobs.update_job_status(pg_temp.take('to be retried', max_attempts => 2), 'FAILED', 'not yet', pg_temp.id('agent'));
SELECT jobs.cancel_job(pg_temp.add('canceled'), 'not needed');
SELECT jobs.cancel_job(pg_temp.take('canceled in flight'), 'too late');
SELECT jobs.release_job(pg_temp.take('released'), pg_temp.id('agent'), message => 'no disk');
SELECT pg_temp.take('lost', lease => '1 ms');
SELECT pg_sleep(0.01);
SELECT jobs.sweep();
