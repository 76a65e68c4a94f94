-- 10_status: the status of a job, and which status may follow which.
-- Every answer comes from the one table in src/status.c.

CREATE TYPE jobs.job_status_name;

CREATE FUNCTION jobs.job_status_name_in(cstring) RETURNS jobs.job_status_name
	AS 'MODULE_PATHNAME', 'jobs_status_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.job_status_name_out(jobs.job_status_name) RETURNS cstring
	AS 'MODULE_PATHNAME', 'jobs_status_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.job_status_name_recv(internal) RETURNS jobs.job_status_name
	AS 'MODULE_PATHNAME', 'jobs_status_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.job_status_name_send(jobs.job_status_name) RETURNS bytea
	AS 'MODULE_PATHNAME', 'jobs_status_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE TYPE jobs.job_status_name (
	INPUT = jobs.job_status_name_in,
	OUTPUT = jobs.job_status_name_out,
	RECEIVE = jobs.job_status_name_recv,
	SEND = jobs.job_status_name_send,
	INTERNALLENGTH = 1,
	PASSEDBYVALUE,
	ALIGNMENT = char
);
COMMENT ON TYPE jobs.job_status_name IS 'Status of a job, ordered by the life cycle: CREATED, PENDING, CLAIMED, VALIDATING, RUNNING, UPLOADING, COMPLETED, FAILED, CANCELED, UNKNOWN. Input takes any letter case and surrounding blanks; anything else is 22P02';

CREATE FUNCTION jobs.job_status_name_eq(jobs.job_status_name, jobs.job_status_name) RETURNS boolean
	AS 'MODULE_PATHNAME', 'jobs_status_eq' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION jobs.job_status_name_ne(jobs.job_status_name, jobs.job_status_name) RETURNS boolean
	AS 'MODULE_PATHNAME', 'jobs_status_ne' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION jobs.job_status_name_lt(jobs.job_status_name, jobs.job_status_name) RETURNS boolean
	AS 'MODULE_PATHNAME', 'jobs_status_lt' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION jobs.job_status_name_le(jobs.job_status_name, jobs.job_status_name) RETURNS boolean
	AS 'MODULE_PATHNAME', 'jobs_status_le' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION jobs.job_status_name_gt(jobs.job_status_name, jobs.job_status_name) RETURNS boolean
	AS 'MODULE_PATHNAME', 'jobs_status_gt' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION jobs.job_status_name_ge(jobs.job_status_name, jobs.job_status_name) RETURNS boolean
	AS 'MODULE_PATHNAME', 'jobs_status_ge' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION jobs.job_status_name_cmp(jobs.job_status_name, jobs.job_status_name) RETURNS integer
	AS 'MODULE_PATHNAME', 'jobs_status_cmp' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION jobs.job_status_name_hash(jobs.job_status_name) RETURNS integer
	AS 'MODULE_PATHNAME', 'jobs_status_hash' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION jobs.job_status_name_hash_extended(jobs.job_status_name, bigint) RETURNS bigint
	AS 'MODULE_PATHNAME', 'jobs_status_hash_extended' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION jobs.job_status_name_smaller(jobs.job_status_name, jobs.job_status_name) RETURNS jobs.job_status_name
	AS 'MODULE_PATHNAME', 'jobs_status_smaller' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
CREATE FUNCTION jobs.job_status_name_larger(jobs.job_status_name, jobs.job_status_name) RETURNS jobs.job_status_name
	AS 'MODULE_PATHNAME', 'jobs_status_larger' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;

-- The operators are the one thing of this extension outside its own schemas:
-- an operator is looked up by name along the search path, and status = 'RUNNING'
-- must mean the same, and use the same index, under every search path.
CREATE OPERATOR pg_catalog.= (
	LEFTARG = jobs.job_status_name, RIGHTARG = jobs.job_status_name, FUNCTION = jobs.job_status_name_eq,
	COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>),
	RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES
);
COMMENT ON OPERATOR pg_catalog.= (jobs.job_status_name, jobs.job_status_name) IS 'same status';
CREATE OPERATOR pg_catalog.<> (
	LEFTARG = jobs.job_status_name, RIGHTARG = jobs.job_status_name, FUNCTION = jobs.job_status_name_ne,
	COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=),
	RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR pg_catalog.<> (jobs.job_status_name, jobs.job_status_name) IS 'another status';
CREATE OPERATOR pg_catalog.< (
	LEFTARG = jobs.job_status_name, RIGHTARG = jobs.job_status_name, FUNCTION = jobs.job_status_name_lt,
	COMMUTATOR = OPERATOR(pg_catalog.>), NEGATOR = OPERATOR(pg_catalog.>=),
	RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR pg_catalog.< (jobs.job_status_name, jobs.job_status_name) IS 'earlier in the life cycle';
CREATE OPERATOR pg_catalog.<= (
	LEFTARG = jobs.job_status_name, RIGHTARG = jobs.job_status_name, FUNCTION = jobs.job_status_name_le,
	COMMUTATOR = OPERATOR(pg_catalog.>=), NEGATOR = OPERATOR(pg_catalog.>),
	RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR pg_catalog.<= (jobs.job_status_name, jobs.job_status_name) IS 'earlier in the life cycle, or the same';
CREATE OPERATOR pg_catalog.> (
	LEFTARG = jobs.job_status_name, RIGHTARG = jobs.job_status_name, FUNCTION = jobs.job_status_name_gt,
	COMMUTATOR = OPERATOR(pg_catalog.<), NEGATOR = OPERATOR(pg_catalog.<=),
	RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR pg_catalog.> (jobs.job_status_name, jobs.job_status_name) IS 'later in the life cycle';
CREATE OPERATOR pg_catalog.>= (
	LEFTARG = jobs.job_status_name, RIGHTARG = jobs.job_status_name, FUNCTION = jobs.job_status_name_ge,
	COMMUTATOR = OPERATOR(pg_catalog.<=), NEGATOR = OPERATOR(pg_catalog.<),
	RESTRICT = scalargesel, JOIN = scalargejoinsel
);
COMMENT ON OPERATOR pg_catalog.>= (jobs.job_status_name, jobs.job_status_name) IS 'later in the life cycle, or the same';

CREATE OPERATOR CLASS jobs.job_status_name_ops DEFAULT FOR TYPE jobs.job_status_name USING btree AS
	OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=, OPERATOR 5 pg_catalog.>,
	FUNCTION 1 jobs.job_status_name_cmp(jobs.job_status_name, jobs.job_status_name);
COMMENT ON OPERATOR CLASS jobs.job_status_name_ops USING btree IS 'orders statuses by the life cycle';
COMMENT ON OPERATOR FAMILY jobs.job_status_name_ops USING btree IS 'orders statuses by the life cycle';
CREATE OPERATOR CLASS jobs.job_status_name_ops DEFAULT FOR TYPE jobs.job_status_name USING hash AS
	OPERATOR 1 pg_catalog.=,
	FUNCTION 1 jobs.job_status_name_hash(jobs.job_status_name),
	FUNCTION 2 jobs.job_status_name_hash_extended(jobs.job_status_name, bigint);
COMMENT ON OPERATOR CLASS jobs.job_status_name_ops USING hash IS 'hashes statuses';
COMMENT ON OPERATOR FAMILY jobs.job_status_name_ops USING hash IS 'hashes statuses';

CREATE AGGREGATE jobs.min(jobs.job_status_name) (
	SFUNC = jobs.job_status_name_smaller, STYPE = jobs.job_status_name, SORTOP = OPERATOR(pg_catalog.<),
	COMBINEFUNC = jobs.job_status_name_smaller, PARALLEL = SAFE
);
COMMENT ON AGGREGATE jobs.min(jobs.job_status_name) IS 'earliest status in the life cycle; NULL over no rows';
CREATE AGGREGATE jobs.max(jobs.job_status_name) (
	SFUNC = jobs.job_status_name_larger, STYPE = jobs.job_status_name, SORTOP = OPERATOR(pg_catalog.>),
	COMBINEFUNC = jobs.job_status_name_larger, PARALLEL = SAFE
);
COMMENT ON AGGREGATE jobs.max(jobs.job_status_name) IS 'latest status in the life cycle; NULL over no rows';

-- From text: implicit, so that a driver that binds a string can be compared
-- with a status. To text: on assignment only, or status = text would be taken
-- as a comparison of texts, which knows neither letter case nor the index.
CREATE FUNCTION jobs.job_status_name(text) RETURNS jobs.job_status_name
	AS 'MODULE_PATHNAME', 'jobs_status_from_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.text(jobs.job_status_name) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_status_to_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE CAST (text AS jobs.job_status_name) WITH FUNCTION jobs.job_status_name(text) AS IMPLICIT;
CREATE CAST (varchar AS jobs.job_status_name) WITH FUNCTION jobs.job_status_name(text) AS IMPLICIT;
CREATE CAST (jobs.job_status_name AS text) WITH FUNCTION jobs.text(jobs.job_status_name) AS ASSIGNMENT;
CREATE CAST (jobs.job_status_name AS varchar) WITH FUNCTION jobs.text(jobs.job_status_name) AS ASSIGNMENT;
COMMENT ON CAST (text AS jobs.job_status_name) IS 'label in any letter case; 22P02 for anything else';
COMMENT ON CAST (varchar AS jobs.job_status_name) IS 'label in any letter case; 22P02 for anything else';
COMMENT ON CAST (jobs.job_status_name AS text) IS 'the label';
COMMENT ON CAST (jobs.job_status_name AS varchar) IS 'the label';

CREATE FUNCTION jobs.is_terminal(status jobs.job_status_name) RETURNS boolean
	AS 'MODULE_PATHNAME', 'jobs_is_terminal' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jobs.is_terminal(jobs.job_status_name) IS 'true for COMPLETED, FAILED and CANCELED; NULL for NULL';

CREATE FUNCTION jobs.can_transition(from_status jobs.job_status_name, to_status jobs.job_status_name) RETURNS boolean
	AS 'MODULE_PATHNAME', 'jobs_can_transition_sql' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION jobs.can_transition(jobs.job_status_name, jobs.job_status_name) IS 'whether a job may go from one status to another; from NULL means a new job; to NULL answers NULL';

CREATE FUNCTION jobs.next_statuses(status jobs.job_status_name) RETURNS SETOF jobs.job_status_name
	AS 'MODULE_PATHNAME', 'jobs_next_statuses' LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 5;
COMMENT ON FUNCTION jobs.next_statuses(jobs.job_status_name) IS 'the statuses that may follow, in life-cycle order; NULL means a new job';
COMMENT ON FUNCTION jobs.job_status_name_in(cstring) IS 'input of job_status_name';
COMMENT ON FUNCTION jobs.job_status_name_out(jobs.job_status_name) IS 'output of job_status_name: the label';
COMMENT ON FUNCTION jobs.job_status_name_recv(internal) IS 'binary input of job_status_name: the label, as enums do';
COMMENT ON FUNCTION jobs.job_status_name_send(jobs.job_status_name) IS 'binary output of job_status_name: the label, as enums do';
COMMENT ON FUNCTION jobs.job_status_name_cmp(jobs.job_status_name, jobs.job_status_name) IS 'order by the life cycle: -1, 0 or 1';
COMMENT ON FUNCTION jobs.job_status_name_hash(jobs.job_status_name) IS 'hash of a status';
COMMENT ON FUNCTION jobs.job_status_name_hash_extended(jobs.job_status_name, bigint) IS 'seeded hash of a status';
COMMENT ON FUNCTION jobs.job_status_name_smaller(jobs.job_status_name, jobs.job_status_name) IS 'the earlier of two statuses';
COMMENT ON FUNCTION jobs.job_status_name_larger(jobs.job_status_name, jobs.job_status_name) IS 'the later of two statuses';
COMMENT ON FUNCTION jobs.job_status_name(text) IS 'cast from text to job_status_name';
COMMENT ON FUNCTION jobs.text(jobs.job_status_name) IS 'cast from job_status_name to text';
COMMENT ON FUNCTION jobs.job_status_name_eq(jobs.job_status_name, jobs.job_status_name) IS 'implementation of the = operator';
COMMENT ON FUNCTION jobs.job_status_name_ne(jobs.job_status_name, jobs.job_status_name) IS 'implementation of the <> operator';
COMMENT ON FUNCTION jobs.job_status_name_lt(jobs.job_status_name, jobs.job_status_name) IS 'implementation of the < operator';
COMMENT ON FUNCTION jobs.job_status_name_le(jobs.job_status_name, jobs.job_status_name) IS 'implementation of the <= operator';
COMMENT ON FUNCTION jobs.job_status_name_gt(jobs.job_status_name, jobs.job_status_name) IS 'implementation of the > operator';
COMMENT ON FUNCTION jobs.job_status_name_ge(jobs.job_status_name, jobs.job_status_name) IS 'implementation of the >= operator';
