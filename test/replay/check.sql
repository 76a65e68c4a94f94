-- The invariants, from the storage, and from the logs where a client's view
-- counts. Each check says how many things it looked at and how many were wrong.

CREATE TEMP TABLE verdict (n serial, what text, examined bigint, bad bigint, example text);
CREATE TEMP TABLE figure (n serial, what text, value text);

ANALYZE task, node, log_add, log_cancel, log_call, log_hold;

-- Every history in full: the first entry is derived from the job. hold counts
-- how often the job was handed out so far.
CREATE TEMP TABLE entry AS
SELECT job_id, ordinal, created AS at, name, attempt, agent_id, created_by_id,
	lag(ordinal) OVER w AS previous_ordinal,
	lag(name) OVER w AS previous,
	lead(name) OVER w AS next,
	lag(created) OVER w > created AS clock_went_back,
	count(*) FILTER (WHERE name = 'CLAIMED') OVER w AS hold
FROM (
	SELECT id AS job_id, 0 AS ordinal, created, first_status AS name, 0 AS attempt,
		NULL::uuid AS agent_id, created_by_id
	FROM jobs_store.job
	UNION ALL
	SELECT job_id, ordinal, created, name, attempt, agent_id, created_by_id
	FROM jobs_store.job_status
) AS everything
WINDOW w AS (PARTITION BY job_id ORDER BY ordinal);
CREATE INDEX ON entry (job_id, ordinal);
ANALYZE entry;

-- One row for each time a job was handed out, by the history.
CREATE TEMP TABLE hold AS
SELECT c.job_id, c.hold, c.agent_id, c.attempt, c.ordinal, c.at AS began,
	(SELECT e.at FROM entry AS e
	 WHERE e.job_id = c.job_id AND e.ordinal > c.ordinal
	 AND e.name IN ('PENDING', 'CREATED', 'COMPLETED', 'FAILED', 'CANCELED')
	 ORDER BY e.ordinal LIMIT 1) AS ended
FROM entry AS c
WHERE c.name = 'CLAIMED';
ANALYZE hold;

-- Jobs ----------------------------------------------------------------------

INSERT INTO verdict (what, examined, bad, example)
SELECT 'every task is one job, with its priority and parameters', count(*), count(*) FILTER (WHERE wrong), min(name) FILTER (WHERE wrong)
FROM (
	SELECT t.name, count(j.id) <> 1 OR bool_or(j.priority <> t.priority OR j.max_attempts <> t.max_attempts
		OR f.name <> t.function OR j.parameters->>'task' <> t.name) AS wrong
	FROM task AS t
	LEFT JOIN jobs_store.job AS j ON j.external_identifier = t.name
	LEFT JOIN jobs_store.function_version AS f ON f.id = j.function_id
	GROUP BY t.name
	UNION ALL
	SELECT j.id::text, true FROM jobs_store.job AS j
	WHERE NOT EXISTS (SELECT FROM task AS t WHERE t.name = j.external_identifier)
) AS seen;

INSERT INTO verdict (what, examined, bad, example)
SELECT 'the order of ids is the order of the trace', count(*), count(*) FILTER (WHERE wrong), min(name) FILTER (WHERE wrong)
FROM (
	SELECT t.name, t.n < lag(t.n) OVER (ORDER BY j.id) AS wrong
	FROM task AS t JOIN jobs_store.job AS j ON j.external_identifier = t.name
) AS seen;

INSERT INTO verdict (what, examined, bad, example)
SELECT 'every job is terminal', count(*), count(*) FILTER (WHERE NOT jobs.is_terminal(name)),
	min(job_id::text) FILTER (WHERE NOT jobs.is_terminal(name))
FROM entry WHERE next IS NULL;

INSERT INTO verdict (what, examined, bad, example)
SELECT 'every job has exactly one terminal entry', count(*), count(*) FILTER (WHERE terminal <> 1),
	min(job_id::text) FILTER (WHERE terminal <> 1)
FROM (
	SELECT job_id, count(*) FILTER (WHERE jobs.is_terminal(name)) AS terminal FROM entry GROUP BY job_id
) AS seen;

INSERT INTO verdict (what, examined, bad, example)
SELECT 'every job ended as in the trace', count(*), count(*) FILTER (WHERE wrong),
	min(format('%s: %s instead of %s', task, name, outcome)) FILTER (WHERE wrong)
FROM (
	SELECT t.name AS task, e.name, t.outcome, e.name IS DISTINCT FROM t.outcome AS wrong
	FROM task AS t
	LEFT JOIN log_add AS l ON l.task = t.name
	LEFT JOIN entry AS e ON e.job_id = l.job_id AND e.next IS NULL
) AS seen;

INSERT INTO verdict (what, examined, bad, example)
SELECT 'nothing is left waiting, ready or held', count(*), count(*) FILTER (WHERE hot), min(id::text) FILTER (WHERE hot)
FROM (
	SELECT j.id, EXISTS (SELECT FROM jobs_store.waiting AS w WHERE w.job_id = j.id)
		OR EXISTS (SELECT FROM jobs_store.ready AS r WHERE r.job_id = j.id)
		OR EXISTS (SELECT FROM jobs_store.lease AS l WHERE l.job_id = j.id) AS hot
	FROM jobs_store.job AS j
) AS seen;

-- Histories -----------------------------------------------------------------

INSERT INTO verdict (what, examined, bad, example)
SELECT 'every history is legal, step by step', count(*), count(*) FILTER (WHERE wrong),
	min(format('%s: %s to %s', job_id, coalesce(previous::text, '(none)'), name)) FILTER (WHERE wrong)
FROM (
	SELECT *, NOT jobs.can_transition(previous, name) AS wrong FROM entry
) AS seen;

INSERT INTO verdict (what, examined, bad, example)
SELECT 'no history has a gap', count(*), count(*) FILTER (WHERE wrong), min(job_id::text) FILTER (WHERE wrong)
FROM (
	SELECT *, ordinal <> coalesce(previous_ordinal + 1, 0) AS wrong FROM entry
) AS seen;

INSERT INTO verdict (what, examined, bad, example)
SELECT 'no job was canceled but by its user', count(*), count(*) FILTER (WHERE wrong), min(job_id::text) FILTER (WHERE wrong)
FROM (
	SELECT e.job_id, e.created_by_id IS NULL OR e.agent_id IS NOT NULL OR l.answer IS DISTINCT FROM 'canceled' AS wrong
	FROM entry AS e LEFT JOIN log_cancel AS l USING (job_id)
	WHERE e.name = 'CANCELED'
) AS seen;

-- One holder at a time ------------------------------------------------------

-- By the order of the history, by the clock of the server, and by the agents.

INSERT INTO verdict (what, examined, bad, example)
SELECT 'no job is claimed while another agent has it', count(*), count(*) FILTER (WHERE wrong), min(job_id::text) FILTER (WHERE wrong)
FROM (
	SELECT h.job_id, e.previous <> 'PENDING'
		OR h.attempt <= lag(h.attempt) OVER (PARTITION BY h.job_id ORDER BY h.hold) AS wrong
	FROM hold AS h JOIN entry AS e USING (job_id, ordinal)
) AS seen;

INSERT INTO verdict (what, examined, bad, example)
SELECT 'no two claims of a job overlap in time', count(*), count(*) FILTER (WHERE began < previous_ended),
	min(format('%s: claimed at %s, given back at %s', job_id, began, previous_ended)) FILTER (WHERE began < previous_ended)
FROM (
	SELECT job_id, began, lag(ended) OVER (PARTITION BY job_id ORDER BY hold) AS previous_ended FROM hold
) AS seen;

INSERT INTO verdict (what, examined, bad, example)
SELECT 'nobody but the claimer reports on a job', count(*), count(*) FILTER (WHERE wrong), min(job_id::text) FILTER (WHERE wrong)
FROM (
	SELECT e.job_id, e.agent_id IS DISTINCT FROM h.agent_id OR e.attempt <> h.attempt AS wrong
	FROM entry AS e LEFT JOIN hold AS h USING (job_id, hold)
	WHERE e.name IN ('VALIDATING', 'RUNNING', 'UPLOADING', 'COMPLETED')
	OR e.name IN ('FAILED', 'UNKNOWN') AND e.agent_id IS NOT NULL
) AS seen;

INSERT INTO verdict (what, examined, bad, example)
SELECT 'no two agents thought they had the same job', count(*), count(*) FILTER (WHERE wrong), min(job_id::text) FILTER (WHERE wrong)
FROM (
	SELECT job_id, taken < max(asked) OVER (PARTITION BY job_id ORDER BY taken ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS wrong
	FROM log_hold
) AS seen;

INSERT INTO verdict (what, examined, bad, example)
SELECT 'agents and history agree on who had what and when', count(*), count(*) FILTER (WHERE wrong),
	min(coalesce(job_id::text, '')) FILTER (WHERE wrong)
FROM (
	SELECT job_id, h.job_id IS NULL OR l.job_id IS NULL
		OR h.began NOT BETWEEN l.started - interval '1 ms' AND l.taken + interval '1 ms' OR l.outcome = 'open' AS wrong
	FROM hold AS h FULL JOIN log_hold AS l USING (job_id, agent_id, attempt)
) AS seen;

-- The right agent -----------------------------------------------------------

INSERT INTO verdict (what, examined, bad, example)
SELECT 'every job ran on an agent that has its function', count(*), count(*) FILTER (WHERE wrong), min(job_id::text) FILTER (WHERE wrong)
FROM (
	SELECT h.job_id, NOT EXISTS (
		SELECT FROM jobs_store.agent_function AS f WHERE f.agent_id = h.agent_id AND f.function_id = j.function_id) AS wrong
	FROM hold AS h JOIN jobs_store.job AS j ON j.id = h.job_id
) AS seen;

INSERT INTO verdict (what, examined, bad, example)
SELECT 'every job ran on a GPU model that its task allows', count(*), count(*) FILTER (WHERE wrong),
	min(format('%s on %s', name, sn)) FILTER (WHERE wrong)
FROM (
	SELECT t.name, n.sn, n.sn IS NULL OR t.needs_gpu AND (n.model = '' OR t.models <> '{}' AND n.model <> ALL (t.models)) AS wrong
	FROM hold AS h
	JOIN log_add AS l USING (job_id)
	JOIN task AS t ON t.name = l.task
	LEFT JOIN node AS n ON n.agent_id = h.agent_id
) AS seen;

INSERT INTO verdict (what, examined, bad, example)
SELECT 'no agent had more jobs at once than it takes', count(*), count(*) FILTER (WHERE wrong), min(call) FILTER (WHERE wrong)
FROM (
	SELECT c.call, count(o.job_id) > n.capacity AS wrong
	FROM log_call AS c
	JOIN node AS n USING (agent_id)
	JOIN log_hold AS o ON o.agent_id = c.agent_id AND o.taken <= c.ended AND o.asked > c.ended
	WHERE c.jobs > 0
	GROUP BY c.call, n.capacity
) AS seen;

-- The right order -----------------------------------------------------------
-- ripe: for each time a job was PENDING, when it was so for everybody to see.
-- It became visible no earlier than born and no later than seen; it was taken
-- away (claimed or canceled) by a call that started at lost. A sweep commits
-- with the claim that made it, hence the calls that were under way.

CREATE TEMP TABLE ripe AS
SELECT e.job_id, j.function_id, j.priority, e.ordinal, b.born, b.seen,
	CASE e.next
		WHEN 'CLAIMED' THEN (SELECT l.started FROM entry AS c JOIN log_hold AS l USING (job_id, agent_id, attempt)
			WHERE c.job_id = e.job_id AND c.ordinal = e.ordinal + 1)
		WHEN 'CANCELED' THEN (SELECT l.started FROM log_cancel AS l WHERE l.job_id = e.job_id)
	END AS lost
FROM entry AS e
JOIN jobs_store.job AS j ON j.id = e.job_id
JOIN log_add AS a ON a.job_id = e.job_id
CROSS JOIN LATERAL (
	SELECT a.started AS born, a.ended AS seen
	WHERE e.ordinal = 0
	UNION ALL
	SELECT e.at, greatest(
		(SELECT l.gone FROM hold AS h JOIN log_hold AS l USING (job_id, agent_id, attempt)
		 WHERE h.job_id = e.job_id AND h.hold = e.hold),
		(SELECT coalesce(max(c.ended), e.at + interval '1 s') FROM log_call AS c
		 WHERE c.started <= e.at AND c.ended >= e.at))
	WHERE e.ordinal > 0
) AS b
WHERE e.name = 'PENDING';

CREATE TEMP TABLE span AS
SELECT job_id, function_id, priority, born, seen, lost, tstzrange(seen, lost, '()') AS range
FROM ripe WHERE seen < coalesce(lost, 'infinity');
CREATE INDEX ON span USING gist (range);
ANALYZE span;

-- pick: one row for each job that a claim brought, and one without a job for
-- each claim that brought fewer than it asked for.
CREATE TEMP TABLE pick AS
SELECT c.call, c.agent_id, c.started, c.ended, h.job_id, r.function_id, r.priority, r.born
FROM log_call AS c
JOIN log_hold AS h USING (call)
JOIN entry AS e ON e.job_id = h.job_id AND e.name = 'CLAIMED' AND e.agent_id = h.agent_id AND e.attempt = h.attempt
JOIN ripe AS r ON r.job_id = h.job_id AND r.ordinal = e.ordinal - 1
UNION ALL
SELECT call, agent_id, started, ended, NULL, NULL, NULL, NULL
FROM log_call WHERE jobs < asked;
ANALYZE pick;

-- passed: what the agent could have had instead, because it was there for the
-- whole of the claim and was taken away only by a call that started later. A job
-- whose transaction drew its place before that of others and committed after
-- them is found by the next sweep of the lane, 50 ms later at the most. (Double
-- that, for a busy machine.)
CREATE TEMP TABLE passed AS
SELECT p.call, p.job_id,
	min(s.job_id::text) FILTER (WHERE s.priority > p.priority) AS higher,
	min(s.job_id::text) FILTER (WHERE s.priority = p.priority AND s.function_id = p.function_id AND s.seen < p.born
		AND p.started - s.seen > '100 ms') AS older,
	min(s.job_id::text) FILTER (WHERE s.priority = p.priority AND s.function_id <> p.function_id AND s.seen < p.born) AS older_elsewhere,
	min(s.job_id::text) FILTER (WHERE p.job_id IS NULL) AS missed,
	bool_or(s.priority < p.priority) AS had_lower,
	max(p.started - s.seen) FILTER (WHERE s.priority > p.priority OR p.job_id IS NULL) AS waited
FROM pick AS p
JOIN span AS s ON s.range @> tstzrange(p.started, p.ended, '[]')
JOIN jobs_store.agent_function AS f ON f.agent_id = p.agent_id AND f.function_id = s.function_id
GROUP BY p.call, p.job_id;

-- A lane that was empty is looked at again after 25 ms at the latest (and here a
-- process may be kept waiting for a processor as long): that long
-- a job that comes into it may be passed over.
INSERT INTO verdict (what, examined, bad, example)
SELECT 'no claim passed over a job of higher priority',
	(SELECT count(*) FROM pick WHERE job_id IS NOT NULL), count(higher) FILTER (WHERE waited > '100 ms'),
	min(format('claim %s took %s, not %s, ready for %s s', call, job_id, higher, round(extract(epoch FROM waited)::numeric, 3))) FILTER (WHERE higher IS NOT NULL AND waited > '100 ms')
FROM passed;

INSERT INTO figure (what, value)
SELECT 'priority', format('%s claims passed over a job of higher priority that had come less than 100 ms before, the longest %s ms',
	count(higher), coalesce(round(extract(epoch FROM max(waited) FILTER (WHERE higher IS NOT NULL)) * 1000, 1), 0))
FROM passed;

INSERT INTO verdict (what, examined, bad, example)
SELECT 'no claim passed over an older job of its function and priority',
	(SELECT count(*) FROM pick WHERE job_id IS NOT NULL), count(older),
	min(format('claim %s took %s, not %s', call, job_id, older)) FILTER (WHERE older IS NOT NULL)
FROM passed;

INSERT INTO verdict (what, examined, bad, example)
SELECT 'no claim came back short while a job was there',
	(SELECT count(*) FROM pick WHERE job_id IS NULL), count(missed),
	min(format('claim %s did not take %s, ready for %s s', call, missed, round(extract(epoch FROM waited)::numeric, 3))) FILTER (WHERE missed IS NOT NULL)
FROM passed;

INSERT INTO verdict (what, examined, bad, example)
SELECT 'priorities were put to the test', (SELECT count(*) FROM pick WHERE job_id IS NOT NULL),
	CASE WHEN count(*) FILTER (WHERE had_lower) < 100 THEN 1 ELSE 0 END,
	format('only %s claims had a job of lower priority to pass over', count(*) FILTER (WHERE had_lower))
FROM passed;

-- Figures -------------------------------------------------------------------

INSERT INTO figure (what, value)
SELECT 'jobs', string_agg(format('%s %s', count, name), ', ' ORDER BY name)
FROM (SELECT name, count(*) FROM entry WHERE next IS NULL GROUP BY name) AS seen;

INSERT INTO figure (what, value)
SELECT 'handed out', format('%s times: %s released, %s retried', count(*) FILTER (WHERE name = 'CLAIMED'),
	(SELECT count(*) FROM log_hold WHERE outcome = 'released'),
	count(*) FILTER (WHERE previous <> 'CREATED' AND name IN ('PENDING', 'CREATED'))
	- (SELECT count(*) FROM log_hold WHERE outcome = 'released'))
FROM entry;

INSERT INTO figure (what, value)
SELECT 'canceled', format('%s before an agent had them, %s after; agents learnt it %s times from a heartbeat, %s times from JB410',
	count(*) FILTER (WHERE hold = 0), count(*) FILTER (WHERE hold > 0),
	(SELECT count(*) FROM log_hold WHERE outcome = 'told canceled'),
	(SELECT count(*) FROM log_hold WHERE outcome = 'refused'))
FROM entry
WHERE name = 'CANCELED';

INSERT INTO figure (what, value)
SELECT 'leases lost', format('%s entries UNKNOWN, %s agents told so',
	(SELECT count(*) FROM entry WHERE name = 'UNKNOWN'),
	(SELECT count(*) FROM log_hold WHERE outcome = 'told lost'));

INSERT INTO figure (what, value)
SELECT 'agents that ran a job', format('%s of %s', count(DISTINCT h.agent_id), (SELECT count(*) FROM node)) FROM hold AS h;

INSERT INTO figure (what, value)
SELECT 'rate', format('%s jobs/s over %s s, from the first job added to the last that ended',
	round(count(*) / span, 1), round(span, 1))
FROM entry, LATERAL (SELECT extract(epoch FROM max(at) - min(at))::numeric AS span FROM entry) AS s
WHERE ordinal = 0
GROUP BY span;

INSERT INTO figure (what, value)
SELECT 'claim latency, ' || what, format('p50 %s ms, p90 %s ms, p99 %s ms, longest %s ms (%s calls)',
	round(p[1], 2), round(p[2], 2), round(p[3], 2), round(p[4], 2), count)
FROM (
	SELECT CASE WHEN jobs = 0 THEN 'nothing there' ELSE function END AS what, count(*),
		percentile_cont('{0.5, 0.9, 0.99, 1}'::float8[]) WITHIN GROUP (ORDER BY extract(epoch FROM ended - started) * 1000)::numeric[] AS p
	FROM log_call GROUP BY 1
) AS seen
ORDER BY what;

INSERT INTO figure (what, value)
SELECT format('wait until claimed, priority %s', priority), format('p50 %s s, p90 %s s, p99 %s s, longest %s s (%s)',
	round(p[1], 2), round(p[2], 2), round(p[3], 2), round(p[4], 2), count)
FROM (
	SELECT r.priority, count(*),
		percentile_cont('{0.5, 0.9, 0.99, 1}'::float8[]) WITHIN GROUP (ORDER BY extract(epoch FROM e.at - r.born))::numeric[] AS p
	FROM ripe AS r
	JOIN entry AS e ON e.job_id = r.job_id AND e.ordinal = r.ordinal + 1 AND e.name = 'CLAIMED'
	GROUP BY r.priority
) AS seen
ORDER BY priority DESC;

INSERT INTO figure (what, value)
SELECT 'order', format('%s claims left a job of lower priority behind; %s took one before an older one of equal priority and another function',
	count(*) FILTER (WHERE had_lower), count(older_elsewhere))
FROM passed;

INSERT INTO figure (what, value)
SELECT 'clock', format('%s of %s history entries are older than the one before', count(*) FILTER (WHERE clock_went_back), count(*))
FROM entry;
