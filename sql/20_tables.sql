-- 20_tables: storage. Two kinds of tables.
--
-- Record: append-only, written once per fact. Hot: one row while a job is in
-- that phase, deleted when it leaves it. The current status of a job is its
-- last history row; nothing else stores it, so nothing can disagree with it.
--
-- What the record already says is not stored twice. An id that starts a record
-- row ends in the hexadecimal digit 0, and the fifteen that follow it name the
-- parts that can be derived from the row (see jobs_store.part_id in 34).
--
-- Every primary key starts with the tenant, and every statement names it. There
-- is no foreign key: its check would take a KEY SHARE lock, which makes
-- FOR UPDATE SKIP LOCKED pass over a ready job, and costs a probe an insert.

CREATE FUNCTION jobs_store.new_id() RETURNS uuid
	AS 'MODULE_PATHNAME', 'jobs_new_id' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jobs_store.new_id() IS 'a new UUIDv7, larger than every earlier one of this session, ending in the digit 0';

CREATE FUNCTION jobs_store.id_time(id uuid) RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'jobs_id_time' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jobs_store.id_time(uuid) IS 'when an id was made: saves a look at the row that it names';

CREATE FUNCTION jobs_store.status_id(job_id uuid, ordinal integer, created timestamptz) RETURNS uuid
	AS 'MODULE_PATHNAME', 'jobs_status_id' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jobs_store.status_id(uuid, integer, timestamptz) IS 'the id of an entry of a history: a UUIDv7 of its time, in the order of the entries, derived from what the entry says';

CREATE SEQUENCE jobs_store.tenant_seq AS integer;
CREATE SEQUENCE jobs_store.lane_seq AS integer;
CREATE SEQUENCE jobs_store.ready_seq AS bigint;
COMMENT ON SEQUENCE jobs_store.tenant_seq IS 'numbers of tenants';
COMMENT ON SEQUENCE jobs_store.lane_seq IS 'numbers of lanes';
COMMENT ON SEQUENCE jobs_store.ready_seq IS 'order of ready jobs within a lane; drawn only by transactions that have their xid';

-- Who and what ------------------------------------------------------------

CREATE TABLE jobs_store.tenant (
	tenant integer PRIMARY KEY DEFAULT nextval('jobs_store.tenant_seq'),
	id uuid NOT NULL UNIQUE,
	created timestamptz NOT NULL,
	name text NOT NULL UNIQUE
);
COMMENT ON TABLE jobs_store.tenant IS 'tenants; tenant is the number that leads every key inside the storage, id the name outside';

CREATE TABLE jobs_store.user_account (
	tenant integer NOT NULL,
	id uuid NOT NULL,
	created timestamptz NOT NULL,
	email text NOT NULL,
	role_name text,
	administrator boolean NOT NULL,
	PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX user_account_email_key ON jobs_store.user_account (tenant, lower(email));
CREATE UNIQUE INDEX user_account_role_name_key ON jobs_store.user_account (role_name) WHERE role_name IS NOT NULL;
COMMENT ON TABLE jobs_store.user_account IS 'users of a tenant; a database role stands for at most one of them. The role is kept by name, for oids do not survive a restore';
COMMENT ON INDEX jobs_store.user_account_email_key IS 'one user an address and tenant, in any letter case';
COMMENT ON INDEX jobs_store.user_account_role_name_key IS 'finds the user that the calling role stands for';

CREATE TABLE jobs_store.agent (
	tenant integer NOT NULL,
	id uuid NOT NULL,
	created timestamptz NOT NULL,
	created_by_id uuid NOT NULL,
	name text NOT NULL,
	host_os text,
	agent_version text,
	PRIMARY KEY (tenant, id),
	UNIQUE (tenant, name)
);
CREATE INDEX agent_created_by_idx ON jobs_store.agent (tenant, created_by_id);
COMMENT ON TABLE jobs_store.agent IS 'agents; each acts under the user who registered it';
COMMENT ON INDEX jobs_store.agent_created_by_idx IS 'the agents of a user, to find which jobs the user reads because an agent of theirs holds them';

CREATE TABLE jobs_store.agent_pool (
	tenant integer NOT NULL,
	id uuid NOT NULL,
	created timestamptz NOT NULL,
	created_by_id uuid NOT NULL,
	name text NOT NULL,
	description text,
	PRIMARY KEY (tenant, id),
	UNIQUE (tenant, name)
);
COMMENT ON TABLE jobs_store.agent_pool IS 'named sets of agents that jobs can be assigned to';

CREATE TABLE jobs_store.agent_pool_member (
	tenant integer NOT NULL,
	agent_id uuid NOT NULL,
	agent_pool_id uuid NOT NULL,
	PRIMARY KEY (tenant, agent_id, agent_pool_id)
);
COMMENT ON TABLE jobs_store.agent_pool_member IS 'which agent is in which pool';

CREATE TABLE jobs_store.function_version (
	tenant integer NOT NULL,
	id uuid NOT NULL,
	created timestamptz NOT NULL,
	created_by_id uuid NOT NULL,
	name text NOT NULL,
	version text NOT NULL,
	module_name text,
	module_version text,
	tool_name text,
	tool_version text,
	tool_display_name text,
	operating_system text,
	PRIMARY KEY (tenant, id),
	UNIQUE NULLS NOT DISTINCT (tenant, name, version, tool_name, tool_version, operating_system)
);
COMMENT ON TABLE jobs_store.function_version IS 'versions of functions, apart by tool and operating system';

CREATE TABLE jobs_store.agent_function (
	tenant integer NOT NULL,
	agent_id uuid NOT NULL,
	function_id uuid NOT NULL,
	PRIMARY KEY (tenant, agent_id, function_id)
);
CREATE INDEX agent_function_function_idx ON jobs_store.agent_function (tenant, function_id);
COMMENT ON TABLE jobs_store.agent_function IS 'which agent can run which function version';
COMMENT ON INDEX jobs_store.agent_function_function_idx IS 'the agents that serve a function, for reports';

-- Two transactions may each make a lane for the same key, because neither waits
-- for the other: both lanes are served, so nothing is lost by it.
CREATE TABLE jobs_store.lane (
	tenant integer NOT NULL,
	lane integer NOT NULL DEFAULT nextval('jobs_store.lane_seq'),
	priority integer NOT NULL,
	function_id uuid NOT NULL,
	assigned_agent_id uuid,
	assigned_agent_pool_id uuid,
	concurrency_key text,
	PRIMARY KEY (tenant, lane)
);
CREATE INDEX lane_function_idx ON jobs_store.lane (tenant, function_id, priority, concurrency_key);
CREATE INDEX lane_key_idx ON jobs_store.lane (tenant, function_id, concurrency_key) WHERE concurrency_key IS NOT NULL;
COMMENT ON TABLE jobs_store.lane IS 'lanes of ready jobs: one for each function version, assigned agent or pool or none, priority and concurrency key in use';
COMMENT ON INDEX jobs_store.lane_function_idx IS 'the lanes of a function: for an agent that claims, and for a job that is added';
COMMENT ON INDEX jobs_store.lane_key_idx IS 'lanes with a concurrency key, whose jobs need a permit';

-- What administrators say about a function, whatever its version ------------

CREATE TABLE jobs_store.function_policy (
	tenant integer NOT NULL,
	name text NOT NULL,
	updated timestamptz NOT NULL,
	updated_by_id uuid NOT NULL,
	max_run_time interval,
	start_timeout interval,
	backoff text CHECK (backoff IN ('exponential', 'fixed', 'none')),
	backoff_base interval,
	backoff_cap interval,
	max_in_flight integer,
	max_in_flight_per_key integer,
	rate_limit integer,
	rate_interval interval,
	paused timestamptz,
	paused_by_id uuid,
	pause_reason text,
	PRIMARY KEY (tenant, name)
);
COMMENT ON TABLE jobs_store.function_policy IS 'limits, retries and pause of a function, by its name; NULL: no limit, or as the settings say';

CREATE VIEW jobs_store.lane_function AS
	SELECT n.tenant, n.lane, n.priority, n.function_id, n.concurrency_key, v.name
	FROM jobs_store.lane n
		CROSS JOIN LATERAL (SELECT x.name FROM jobs_store.function_version x WHERE x.tenant = n.tenant AND x.id = n.function_id OFFSET 0) v;
COMMENT ON VIEW jobs_store.lane_function IS 'lanes with the name of their function, which is found by its key: OFFSET 0 makes sure of that';

-- A limit of so many at one time, or in one interval, is so many permits. Whoever
-- claims a job deletes one that nobody else has locked, like a ready job; whoever
-- ends it puts a new one there. So claims neither count nor wait for each other.
-- A permit for a rate comes back by itself: it is due one interval after its use.
CREATE TABLE jobs_store.limiter (
	tenant integer NOT NULL,
	limiter integer NOT NULL DEFAULT nextval('jobs_store.lane_seq'),
	name text NOT NULL,
	kind text NOT NULL CHECK (kind IN ('in flight', 'key', 'rate')),
	concurrency_key text,
	size integer NOT NULL,
	debt integer NOT NULL DEFAULT 0 CHECK (debt >= 0),
	PRIMARY KEY (tenant, limiter),
	UNIQUE NULLS NOT DISTINCT (tenant, name, kind, concurrency_key)
);
COMMENT ON TABLE jobs_store.limiter IS 'limits in force, one row each: jobs in flight of a function or of one of its keys, or starts in an interval. There are size permits, in the table or in use; of those that come back, debt are not wanted any more';

CREATE TABLE jobs_store.permit (
	tenant integer NOT NULL,
	limiter integer NOT NULL,
	seq bigint NOT NULL DEFAULT nextval('jobs_store.ready_seq'),
	due timestamptz NOT NULL DEFAULT '-infinity',
	PRIMARY KEY (tenant, limiter, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE jobs_store.permit IS 'permits that are not in use, or not before due; numbered like ready jobs, so that they are found in the same way (lane.c)';

-- How long ended jobs are kept. The walk over them stands in the same row, for who
-- goes on with it has the row locked (prune.c).
CREATE TABLE jobs_store.retention (
	age interval NOT NULL,
	position uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
	next_look timestamptz NOT NULL DEFAULT '-infinity',
	pruned bigint NOT NULL DEFAULT 0,
	updated timestamptz NOT NULL,
	updated_by_id uuid NOT NULL,
	tenant integer NOT NULL,
	rule text NOT NULL CHECK (rule IN ('COMPLETED', 'FAILED', 'CANCELED', 'archived')),
	PRIMARY KEY (tenant, rule)
);
COMMENT ON TABLE jobs_store.retention IS 'how long jobs are kept once they have ended, by how they ended or because they are archived; without a row, for ever. All jobs up to position, by id, were looked at in this round; the next look is not before next_look. pruned: jobs removed so far';

-- Jobs that come again and again --------------------------------------------

CREATE TABLE jobs_store.schedule (
	created_by_id uuid NOT NULL,
	created timestamptz NOT NULL,
	updated timestamptz,
	next_run timestamptz,
	last_run timestamptz,
	last_job_id uuid,
	paused timestamptz,
	paused_by_id uuid,
	last_skipped timestamptz,
	last_error timestamptz,
	tenant integer NOT NULL,
	overlap boolean NOT NULL,
	name text NOT NULL,
	cron text NOT NULL,
	time_zone text NOT NULL,
	missed text NOT NULL CHECK (missed IN ('skip', 'once')),
	skip_reason text,
	error_code text,
	error text,
	job jsonb NOT NULL,
	PRIMARY KEY (tenant, name)
);
CREATE INDEX schedule_next_run_idx ON jobs_store.schedule (tenant, next_run) WHERE next_run IS NOT NULL;
COMMENT ON TABLE jobs_store.schedule IS 'when which job is added again; next_run is when to look at it next, NULL while it is paused. last_run is the time that the last job was for, which may be earlier than the job';
COMMENT ON INDEX jobs_store.schedule_next_run_idx IS 'schedules that are due';

CREATE TABLE jobs_store.news (tenant integer PRIMARY KEY);
COMMENT ON TABLE jobs_store.news IS 'always empty: a change of it is announced when something changes that sessions remember for a while (session.c)';

-- Record ------------------------------------------------------------------

CREATE TABLE jobs_store.job (
	id uuid NOT NULL,
	created timestamptz NOT NULL,
	tenant integer NOT NULL,
	priority integer NOT NULL,
	max_attempts integer NOT NULL,
	first_status jobs.job_status_name NOT NULL,
	archived boolean NOT NULL DEFAULT false,
	function_id uuid NOT NULL,
	created_by_id uuid NOT NULL,
	model_id uuid,
	assigned_agent_id uuid,
	assigned_agent_pool_id uuid,
	agent_id uuid,
	run_after timestamptz,
	updated timestamptz,
	parameters jsonb NOT NULL,
	description text,
	display_name text,
	version_name text,
	external_identifier text,
	concurrency_key text,
	on_dependency_failure text,
	backoff text,
	backoff_base interval,
	backoff_cap interval,
	PRIMARY KEY (tenant, id)
);
CREATE INDEX job_created_by_idx ON jobs_store.job (tenant, created_by_id, id) WHERE NOT archived;
CREATE INDEX job_model_idx ON jobs_store.job (tenant, model_id, id) WHERE model_id IS NOT NULL;
COMMENT ON TABLE jobs_store.job IS 'the facts of a job, with revision 1 of its file (its parameters) and the first entry of its history, which are derived from this row';
COMMENT ON INDEX jobs_store.job_created_by_idx IS 'the default list: own jobs that are not archived, newest first';
COMMENT ON INDEX jobs_store.job_model_idx IS 'the jobs of a model';

CREATE TABLE jobs_store.job_key (
	tenant integer NOT NULL,
	idempotency_key text NOT NULL,
	job_id uuid NOT NULL,
	PRIMARY KEY (tenant, idempotency_key)
);
CREATE INDEX job_key_job_idx ON jobs_store.job_key (tenant, job_id);
COMMENT ON TABLE jobs_store.job_key IS 'idempotency keys in use; a table of its own so that jobs without one pay nothing';
COMMENT ON INDEX jobs_store.job_key_job_idx IS 'the key of a job that is pruned, which is free then';

CREATE TABLE jobs_store.job_dependency (
	tenant integer NOT NULL,
	job_id uuid NOT NULL,
	depends_on uuid NOT NULL,
	PRIMARY KEY (tenant, job_id, depends_on)
);
CREATE INDEX job_dependency_depends_on_idx ON jobs_store.job_dependency (tenant, depends_on);
COMMENT ON TABLE jobs_store.job_dependency IS 'which job waits for which others to be COMPLETED';
COMMENT ON INDEX jobs_store.job_dependency_depends_on_idx IS 'the jobs that wait for a job that has just ended';

CREATE TABLE jobs_store.job_status (
	job_id uuid NOT NULL,
	created timestamptz NOT NULL,
	tenant integer NOT NULL,
	ordinal integer NOT NULL CHECK (ordinal > 0),
	attempt integer NOT NULL,
	name jobs.job_status_name NOT NULL,
	agent_id uuid,
	created_by_id uuid,
	message text,
	PRIMARY KEY (tenant, job_id, ordinal)
);
CREATE INDEX job_status_terminal_idx ON jobs_store.job_status (tenant, name, job_id)
	WHERE name IN ('COMPLETED', 'FAILED', 'CANCELED');
COMMENT ON TABLE jobs_store.job_status IS 'status history: one row a transition, never changed. The entry with ordinal 0 is derived from the job, and the id of every entry from its row (status_id). Two transitions out of the same state collide on the key';
COMMENT ON INDEX jobs_store.job_status_terminal_idx IS 'lists jobs by terminal status';

CREATE TABLE jobs_store.model (
	id uuid NOT NULL,
	created timestamptz NOT NULL,
	tenant integer NOT NULL,
	archived boolean NOT NULL DEFAULT false,
	created_by_id uuid NOT NULL,
	PRIMARY KEY (tenant, id)
);
COMMENT ON TABLE jobs_store.model IS 'models; name and content are those of the latest revision of the file';

CREATE TABLE jobs_store.artifact (
	id uuid NOT NULL,
	created timestamptz NOT NULL,
	tenant integer NOT NULL,
	archived boolean NOT NULL DEFAULT false,
	created_by_id uuid NOT NULL,
	job_id uuid NOT NULL,
	PRIMARY KEY (tenant, id)
);
CREATE INDEX artifact_job_idx ON jobs_store.artifact (tenant, job_id, id);
COMMENT ON TABLE jobs_store.artifact IS 'outputs of jobs that are files of their own';
COMMENT ON INDEX jobs_store.artifact_job_idx IS 'the artifacts of a job';

CREATE TABLE jobs_store.file (
	tenant integer NOT NULL,
	resource_id uuid NOT NULL,
	updated timestamptz,
	control_tags jsonb,
	upstream_remote_info jsonb,
	PRIMARY KEY (tenant, resource_id)
);
COMMENT ON TABLE jobs_store.file IS 'what is known of a file beyond its resource: every resource has exactly one file, and a row here only when one of these fields is set';

CREATE TABLE jobs_store.file_revision (
	resource_id uuid NOT NULL,
	id uuid NOT NULL,
	created timestamptz NOT NULL,
	updated timestamptz,
	tenant integer NOT NULL,
	revision integer NOT NULL,
	size bigint NOT NULL,
	resource_type text NOT NULL,
	created_by_id uuid NOT NULL,
	sha text NOT NULL,
	name text,
	mime text,
	description text,
	display_name text,
	version_name text,
	external_identifier text,
	PRIMARY KEY (tenant, resource_id, revision)
);
CREATE UNIQUE INDEX file_revision_id_key ON jobs_store.file_revision (tenant, id);
COMMENT ON TABLE jobs_store.file_revision IS 'revisions of files, except revision 1 of a job, which is derived from the job; size in bytes, sha is the hexadecimal SHA-384 of content and salt';
COMMENT ON INDEX jobs_store.file_revision_id_key IS 'finds the resource of a revision that is named as a source';

CREATE TABLE jobs_store.content (
	tenant integer NOT NULL,
	revision_id uuid NOT NULL,
	chunk integer NOT NULL,
	bytes bytea NOT NULL,
	PRIMARY KEY (tenant, revision_id, chunk)
);
ALTER TABLE jobs_store.content ALTER COLUMN bytes SET STORAGE EXTERNAL;
COMMENT ON TABLE jobs_store.content IS 'bytes of revisions in chunks of 1 MiB, uncompressed, so that a ranged read touches only what it needs';

CREATE TABLE jobs_store.revision_edge (
	tenant integer NOT NULL,
	source_id uuid NOT NULL,
	product_id uuid NOT NULL,
	source_resource_id uuid NOT NULL,
	product_resource_id uuid NOT NULL,
	source_resource_type text NOT NULL,
	product_resource_type text NOT NULL,
	relationship_identifier text,
	PRIMARY KEY (tenant, product_id, source_id)
);
CREATE INDEX revision_edge_source_idx ON jobs_store.revision_edge (tenant, source_id);
COMMENT ON TABLE jobs_store.revision_edge IS 'which revision was made from which: the same edge read from both ends';
COMMENT ON INDEX jobs_store.revision_edge_source_idx IS 'the products of a revision';

CREATE TABLE jobs_store.comment (
	tenant integer NOT NULL,
	resource_id uuid NOT NULL,
	id uuid NOT NULL,
	parent_id uuid,
	created timestamptz NOT NULL,
	created_by_id uuid NOT NULL,
	resource_type text NOT NULL,
	content text NOT NULL,
	PRIMARY KEY (tenant, resource_id, id)
);
COMMENT ON TABLE jobs_store.comment IS 'comments on resources and, with parent_id, replies to them; the file of a comment is derived from its row';

CREATE TABLE jobs_store.archive_status (
	tenant integer NOT NULL,
	object_id uuid NOT NULL,
	ordinal integer NOT NULL CHECK (ordinal > 0),
	id uuid NOT NULL,
	created timestamptz NOT NULL,
	name jobs.archive_status_name NOT NULL,
	created_by_id uuid,
	reason text,
	PRIMARY KEY (tenant, object_id, ordinal)
);
COMMENT ON TABLE jobs_store.archive_status IS 'archive history of resources, files and revisions; the first entry (Active, Initial) is derived from the object';

CREATE TABLE jobs_store.access (
	tenant integer NOT NULL,
	resource_id uuid NOT NULL,
	subject_id uuid NOT NULL,
	created timestamptz NOT NULL,
	created_by_id uuid NOT NULL,
	subject_type text NOT NULL,
	relation text NOT NULL CHECK (relation IN ('viewer', 'executor', 'editor', 'owner', 'administrator', 'upstreamremoteowner')),
	resource_type text NOT NULL,
	PRIMARY KEY (tenant, resource_id, subject_id)
);
CREATE INDEX access_subject_idx ON jobs_store.access (tenant, subject_id, resource_id);
COMMENT ON TABLE jobs_store.access IS 'who has which relation to which resource; the ownership of the creator is derived from the resource';
COMMENT ON INDEX jobs_store.access_subject_idx IS 'the resources that a user was given access to, for lists';

-- Hot ---------------------------------------------------------------------
-- Rows live for seconds and are updated rarely. Autovacuum comes early, for a
-- dead row at the head of a lane costs every claim; fillfactor leaves room for
-- heartbeats to stay on the page.

CREATE TABLE jobs_store.waiting (
	job_id uuid NOT NULL,
	check_at timestamptz NOT NULL,
	tenant integer NOT NULL,
	lane integer NOT NULL,
	ordinal integer NOT NULL,
	attempt integer NOT NULL,
	max_attempts integer NOT NULL,
	dependent boolean NOT NULL,
	blocker uuid,
	PRIMARY KEY (tenant, job_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX waiting_check_at_idx ON jobs_store.waiting (tenant, check_at);
CREATE INDEX waiting_lane_idx ON jobs_store.waiting (tenant, lane);
COMMENT ON TABLE jobs_store.waiting IS 'CREATED jobs: they wait for their time or, if dependent, for other jobs; check_at is when to look again. All that it depends on and that comes before blocker, by id, is known to be done; only the end of blocker is waited for';
COMMENT ON INDEX jobs_store.waiting_check_at_idx IS 'jobs that are due';
COMMENT ON INDEX jobs_store.waiting_lane_idx IS 'whether the lane of a key is still needed';

CREATE TABLE jobs_store.ready (
	tenant integer NOT NULL,
	lane integer NOT NULL,
	seq bigint NOT NULL DEFAULT nextval('jobs_store.ready_seq'),
	job_id uuid NOT NULL,
	ordinal integer NOT NULL,
	attempt integer NOT NULL,
	max_attempts integer NOT NULL,
	PRIMARY KEY (tenant, lane, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ready_job_idx ON jobs_store.ready (tenant, job_id);
COMMENT ON TABLE jobs_store.ready IS 'PENDING jobs by lane, oldest first; ordinal is that of the last history entry, attempt the number of times the job was handed out';
COMMENT ON INDEX jobs_store.ready_job_idx IS 'finds a pending job that is canceled';

CREATE TABLE jobs_store.lease (
	agent_id uuid NOT NULL,
	job_id uuid NOT NULL,
	expires timestamptz NOT NULL,
	check_at timestamptz NOT NULL,
	lease_ms bigint NOT NULL,
	tenant integer NOT NULL,
	lane integer NOT NULL,
	ordinal integer NOT NULL,
	attempt integer NOT NULL,
	max_attempts integer NOT NULL,
	permits smallint NOT NULL DEFAULT 0,
	status jobs.job_status_name NOT NULL,
	PRIMARY KEY (tenant, agent_id, job_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX lease_check_at_idx ON jobs_store.lease (tenant, check_at);
COMMENT ON TABLE jobs_store.lease IS 'jobs in the hands of an agent, CLAIMED to UNKNOWN. expires is the truth and is moved by heartbeats, by lease_ms milliseconds from then; check_at, at or before it, is indexed and moved by the sweep, so a heartbeat touches no index. permits says which limits the job counts for: 1 that of its function, 2 that of its key';
COMMENT ON INDEX jobs_store.lease_check_at_idx IS 'leases that may have run out';

CREATE TABLE jobs_store.notice (
	tenant integer NOT NULL,
	agent_id uuid NOT NULL,
	job_id uuid NOT NULL,
	canceled boolean NOT NULL,
	expires timestamptz NOT NULL,
	PRIMARY KEY (tenant, agent_id, job_id)
);
CREATE INDEX notice_expires_idx ON jobs_store.notice (tenant, expires);
COMMENT ON TABLE jobs_store.notice IS 'jobs that were canceled while an agent held them, or lost by it; a heartbeat tells the agent to drop them';
COMMENT ON INDEX jobs_store.notice_expires_idx IS 'notices that may be forgotten';

-- A lease that ends, however it does, gives its permits back.
CREATE FUNCTION jobs_store.return_permits() RETURNS trigger
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_return_permits' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs_store.return_permits() IS 'puts back the permits that a lease has taken, unless its limit was lowered meanwhile';

CREATE TRIGGER return_permits AFTER DELETE ON jobs_store.lease
	FOR EACH ROW WHEN (OLD.permits <> 0) EXECUTE FUNCTION jobs_store.return_permits();
COMMENT ON TRIGGER return_permits ON jobs_store.lease IS 'a job that is not in flight any more makes room for another';

-- The guard of the history --------------------------------------------------
-- Checked after the statement, so that a restore may load the rows of a job in
-- any order. Rows of the extension's own functions were checked against the
-- hot row they came from and cost one call of a C function.

CREATE FUNCTION jobs_store.is_foreign_write() RETURNS boolean
	AS 'MODULE_PATHNAME', 'jobs_is_foreign_write' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs_store.is_foreign_write() IS 'whether the running statement is not one of the extension''s own';

CREATE FUNCTION jobs_store.guard_history() RETURNS trigger
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_guard_history' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs_store.guard_history() IS 'refuses an illegal transition, and every change of a row that is there, with JB409';

CREATE TRIGGER guard_insert AFTER INSERT ON jobs_store.job_status
	FOR EACH ROW WHEN (jobs_store.is_foreign_write()) EXECUTE FUNCTION jobs_store.guard_history();
CREATE TRIGGER guard_change BEFORE UPDATE OR DELETE ON jobs_store.job_status
	FOR EACH ROW EXECUTE FUNCTION jobs_store.guard_history();
CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON jobs_store.job_status
	FOR EACH STATEMENT EXECUTE FUNCTION jobs_store.guard_history();
ALTER TABLE jobs_store.job_status ENABLE ALWAYS TRIGGER guard_insert;
ALTER TABLE jobs_store.job_status ENABLE ALWAYS TRIGGER guard_change;
ALTER TABLE jobs_store.job_status ENABLE ALWAYS TRIGGER guard_truncate;
COMMENT ON TRIGGER guard_insert ON jobs_store.job_status IS 'a history row must be a legal next step';
COMMENT ON TRIGGER guard_change ON jobs_store.job_status IS 'history rows are never changed';
COMMENT ON TRIGGER guard_truncate ON jobs_store.job_status IS 'history rows are never removed by hand';

-- Everything is data of the user: all of it goes into a dump.
DO $$
DECLARE
	relation regclass;
BEGIN
	FOR relation IN
		SELECT oid FROM pg_catalog.pg_class
		WHERE relnamespace = 'jobs_store'::regnamespace AND relkind IN ('r', 'S')
	LOOP
		PERFORM pg_catalog.pg_extension_config_dump(relation, '');
	END LOOP;
END
$$;
