-- Withdrawing jobs in every state, and how their agents learn it: heartbeats.
\ir setup.psql

CREATE FUNCTION pg_temp.last_entry(label text) RETURNS jobs.job_status LANGUAGE sql AS
	'SELECT j.status_history[cardinality(j.status_history)] FROM jobs.get_job(pg_temp.id($1)) j';

-- A job in a state; labels are the states.
CREATE FUNCTION pg_temp.bring_to(label text, state text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF state = 'CREATED' THEN
		PERFORM pg_temp.add(label, '{"run_after": "2100-01-01"}');
	ELSIF state = 'PENDING' THEN
		PERFORM pg_temp.add(label, '{"priority": -1}');
	ELSE
		PERFORM pg_temp.take(label);
	END IF;
	IF state IN ('VALIDATING', 'RUNNING', 'UPLOADING', 'COMPLETED', 'FAILED', 'CANCELED') THEN
		PERFORM pg_temp.report(label, state, 'by the agent');
	ELSIF state = 'UNKNOWN' THEN
		PERFORM pg_temp.expire(label), jobs.sweep();
	END IF;
	IF pg_temp.status(label) <> state THEN
		RAISE '% is %', label, pg_temp.status(label);
	END IF;
END $$;

CREATE TEMP TABLE state (name text, terminal boolean, held boolean);
INSERT INTO state VALUES ('CREATED', false, false), ('PENDING', false, false), ('CLAIMED', false, true), ('VALIDATING', false, true), ('RUNNING', false, true),
	('UPLOADING', false, true), ('UNKNOWN', false, true), ('COMPLETED', true, false), ('FAILED', true, false), ('CANCELED', true, false);

-- cancel_job -----------------------------------------------------------------

DO $$ BEGIN PERFORM pg_temp.bring_to(name, name) FROM state; END $$;
SELECT is((jobs.cancel_job(pg_temp.id(name), 'not needed')).status, CASE WHEN terminal THEN 'no_op' ELSE 'canceled' END, 'cancel when ' || name) FROM state;
SELECT is(pg_temp.status(name), CASE WHEN terminal THEN name ELSE 'CANCELED' END, 'then it is ' || CASE WHEN terminal THEN name ELSE 'CANCELED' END) FROM state;
SELECT is((e.message, e.created_by_id, e.agent_id)::text, ('not needed', jobs.current_user_id(), NULL)::text, 'a user did it, for that reason: ' || s.name)
FROM state s, pg_temp.last_entry(s.name) e WHERE NOT terminal;
SELECT is((jobs.cancel_job(pg_temp.id('RUNNING'), 'again')).status, 'no_op', 'a second time there is nothing to do');
SELECT is((pg_temp.last_entry('RUNNING')).message, 'not needed', 'and nothing is added');
SELECT lives_ok($$SELECT jobs.cancel_job(pg_temp.add('no reason'))$$, 'no reason is needed');
SELECT is(pg_temp.claim(100), 'none', 'a canceled job is not handed out');
SELECT is(jobs.sweep(), 0, 'nor swept');

-- A report of a user ---------------------------------------------------------

DO $$ BEGIN PERFORM pg_temp.bring_to(n || ' to ' || s.name, s.name) FROM state s, unnest(ARRAY['FAILED', 'CANCELED']) n; END $$;
SELECT is((jobs.update_job_status(pg_temp.id(n || ' to ' || s.name), n, 'gave up')).message, 'gave up', format('a user reports %s when %s', n, s.name))
FROM state s, unnest(ARRAY['FAILED', 'CANCELED']) n WHERE NOT terminal;
SELECT is(pg_temp.status(n || ' to ' || s.name), n, 'and that is final') FROM state s, unnest(ARRAY['FAILED', 'CANCELED']) n WHERE NOT terminal;
SELECT throws_ok(format('SELECT jobs.update_job_status(pg_temp.id(%L), %L)', n || ' to ' || s.name, n), 'JB409', NULL, format('a user cannot report %s when %s', n, s.name))
FROM state s, unnest(ARRAY['FAILED', 'CANCELED']) n WHERE terminal AND s.name <> n;
SELECT is((jobs.update_job_status(pg_temp.id(n || ' to ' || n), n, 'again')).message, 'by the agent', 'the same terminal state again answers the entry that is there: ' || n) FROM unnest(ARRAY['FAILED', 'CANCELED']) n;
SELECT is(pg_temp.history('FAILED to CLAIMED'), 'PENDING CLAIMED FAILED', 'attempts left or not, a user''s FAILED is final');
SELECT pg_temp.take('many attempts', '{"max_attempts": 5}') IS NULL AS ignored \gset
SELECT is((jobs.update_job_status(pg_temp.id('many attempts'), 'FAILED')).name::text, 'FAILED', 'also with four attempts left');

-- What the agent is told -----------------------------------------------------

DELETE FROM jobs_store.notice;
CREATE FUNCTION pg_temp.told(jobs text[] DEFAULT NULL, agent text DEFAULT 'agent') RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', h.status, (SELECT string_agg(n.label, ' ' ORDER BY n.label) FROM noted n WHERE h.message LIKE '%' || n.id || '%'))
	FROM (SELECT (SELECT array_agg(pg_temp.id(l)) FROM unnest($1) l) AS ids) i, LATERAL jobs.heartbeat(pg_temp.id($2), CASE WHEN $1 = '{}' THEN '{}' ELSE i.ids END) h
$$;
SELECT is(pg_temp.told(), 'ok', 'an agent that holds nothing');
SELECT is(pg_temp.told('{}'), 'ok', 'asking for nothing');
DO $$ BEGIN PERFORM pg_temp.bring_to('h' || n, 'RUNNING') FROM generate_series(1, 5) n; END $$;
CREATE FUNCTION pg_temp.extended(sql text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	UPDATE jobs_store.lease SET expires = '2000-01-01';
	EXECUTE sql;
	RETURN (SELECT string_agg(pg_temp.label(job_id), ' ' ORDER BY pg_temp.label(job_id)) FROM jobs_store.lease
		WHERE expires BETWEEN clock_timestamp() + interval '30 s' AND clock_timestamp() + interval '60 s');
END $$;
SELECT is(pg_temp.extended('SELECT pg_temp.told()'), 'h1 h2 h3 h4 h5', 'a heartbeat extends all leases of the agent by their length');
SELECT is(pg_temp.extended('SELECT pg_temp.told(ARRAY[''h2'', ''h4'', ''h2''])'), 'h2 h4', 'or those that are named');
SELECT is(pg_temp.extended('SELECT pg_temp.told(''{}'')'), NULL, 'or none');
UPDATE jobs_store.lease SET expires = now() + interval '60 s';
SELECT is(pg_temp.told(ARRAY['h1', 'h2']), 'ok', 'all is well');
DO $$ BEGIN
	PERFORM jobs.cancel_job(pg_temp.id('h1'));
	PERFORM jobs.update_job_status(pg_temp.id('h2'), 'FAILED');
	PERFORM jobs.update_job_status(pg_temp.id('h3'), 'CANCELED');
END $$;
SELECT is(split_part(pg_temp.told(), ' ', 1), 'canceled', 'jobs were canceled');
SELECT matches(pg_temp.told(), 'h1.* h3', 'those are named');
SELECT doesnt_match(pg_temp.told(), 'h[45]', 'and not the others');
SELECT matches(pg_temp.told(), 'h2', 'a job that a user ended as FAILED is to be dropped too');
SELECT is(pg_temp.told(ARRAY['h1', 'h4']), 'canceled h1', 'asked for by id: canceled');
SELECT is(pg_temp.told(ARRAY['h4', 'none of ours']), 'lost none of ours', 'a job that is not there is lost');
SELECT is(split_part(pg_temp.told(ARRAY['h1', 'none of ours']), ' ', 1), 'lost', 'canceled and lost: lost');
SELECT matches(pg_temp.told(ARRAY['h1', 'none of ours', 'h5']), 'h1 none of ours', 'and both are named');
SELECT throws_ok(format('SELECT pg_temp.report(''h1'', %L)', name), 'JB410', NULL, 'a report of a canceled job: ' || name) FROM unnest(ARRAY['RUNNING', 'COMPLETED', 'FAILED', 'CANCELED']) name;
SELECT is(pg_temp.history('h1'), 'PENDING CLAIMED RUNNING CANCELED', 'leaves it canceled');
SELECT pg_temp.note('second', jobs.register_agent('second')) IS NULL AS ignored \gset
SELECT is(pg_temp.told(agent => 'second'), 'ok', 'another agent is not told');
SELECT is(pg_temp.told(ARRAY['h4'], 'second'), 'lost h4', 'and what it does not hold is lost to it');
SELECT is(pg_temp.told(ARRAY['h4']), 'ok', 'without harm to who does');
UPDATE jobs_store.notice SET expires = now() - interval '1 s';
SELECT jobs.sweep() IS NULL AS ignored \gset
SELECT is(pg_temp.told(), 'ok', 'after a while it is forgotten');

SELECT is_empty('SELECT pg_temp.problems()', 'queue and history agree');
SELECT * FROM finish();
ROLLBACK;
