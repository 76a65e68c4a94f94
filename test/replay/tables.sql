-- The plan of the run and what its processes saw. Times of the logs are the
-- client's: started is before the call was sent, ended after its answer came.

CREATE TEMP TABLE task (
	n integer PRIMARY KEY,
	name text NOT NULL UNIQUE,
	function text NOT NULL,
	needs_gpu boolean NOT NULL,
	models text[] NOT NULL,
	priority integer NOT NULL,
	outcome jobs.job_status_name NOT NULL,
	max_attempts integer NOT NULL
);
CREATE TEMP TABLE node (
	agent_id uuid PRIMARY KEY,
	sn text NOT NULL,
	model text NOT NULL,
	capacity integer NOT NULL
);
CREATE TEMP TABLE log_add (
	job_id uuid PRIMARY KEY,
	task text NOT NULL,
	started timestamptz NOT NULL,
	ended timestamptz NOT NULL
);
CREATE TEMP TABLE log_cancel (
	job_id uuid PRIMARY KEY,
	started timestamptz NOT NULL,
	ended timestamptz NOT NULL,
	answer text NOT NULL
);
-- Every claim, also those that brought nothing.
CREATE TEMP TABLE log_call (
	call text PRIMARY KEY,
	agent_id uuid NOT NULL,
	function text NOT NULL,
	started timestamptz NOT NULL,
	ended timestamptz NOT NULL,
	asked integer NOT NULL,
	jobs integer NOT NULL
);
-- Every job in the hands of an agent, as the agent saw it: from the answer of
-- the claim (taken) until it sent its last word (asked), answered at gone.
CREATE TEMP TABLE log_hold (
	call text NOT NULL,
	agent_id uuid NOT NULL,
	job_id uuid NOT NULL,
	attempt integer NOT NULL,
	started timestamptz NOT NULL,
	taken timestamptz NOT NULL,
	asked timestamptz NOT NULL,
	gone timestamptz NOT NULL,
	outcome text NOT NULL,
	PRIMARY KEY (job_id, attempt, agent_id)
);
