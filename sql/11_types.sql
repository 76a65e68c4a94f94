-- 11_types: the composite types that callers see. Field order is part of the
-- contract: rows are read by position in many drivers.

CREATE TYPE jobs.archive_status_name AS ENUM ('Active', 'Archived');
COMMENT ON TYPE jobs.archive_status_name IS 'Active or Archived';

CREATE TYPE jobs.job_status AS (
	id uuid,
	created timestamptz,
	job_id uuid,
	name jobs.job_status_name,
	created_by_id uuid,
	message text,
	agent_id uuid
);
COMMENT ON TYPE jobs.job_status IS 'One entry of the status history of a job. Nullable: created_by_id (set when a user acted), message, agent_id (set when an agent acted)';

CREATE TYPE jobs.job_status_message AS (message text);
COMMENT ON TYPE jobs.job_status_message IS 'Message that goes with a status';

CREATE TYPE jobs.new_job_assigned_agent AS (agent_id uuid);
COMMENT ON TYPE jobs.new_job_assigned_agent IS 'The agent that a job is to be assigned to';

CREATE TYPE jobs.no_job_response AS (message text);
COMMENT ON TYPE jobs.no_job_response IS 'Why an agent that asked for a job got none';

CREATE TYPE jobs.no_op_response AS (status text, message text);
COMMENT ON TYPE jobs.no_op_response IS 'Outcome of a call that may have had nothing to do';

CREATE TYPE jobs.token AS (
	id uuid,
	created timestamptz,
	sha text,
	salt text,
	created_by_id uuid
);
COMMENT ON TYPE jobs.token IS 'Fingerprint of content: lower-case hexadecimal SHA-384 of the bytes followed by the UTF-8 bytes of the salt. Nullable: created_by_id';

CREATE TYPE jobs.source AS (
	revision_id uuid,
	file_id uuid,
	resource_type text,
	resource_id uuid,
	relationship_identifier text
);
COMMENT ON TYPE jobs.source IS 'One end of a source-product edge between file revisions. Only revision_id is required';

CREATE TYPE jobs.resource_archive_status AS (
	id uuid,
	created timestamptz,
	name jobs.archive_status_name,
	reason text,
	created_by_id uuid,
	resource_id uuid
);
COMMENT ON TYPE jobs.resource_archive_status IS 'One entry of the archive history of a job, model, artifact or comment. Nullable: reason, created_by_id';

CREATE TYPE jobs.file_archive_status AS (
	id uuid,
	created timestamptz,
	name jobs.archive_status_name,
	reason text,
	created_by_id uuid,
	file_id uuid
);
COMMENT ON TYPE jobs.file_archive_status IS 'One entry of the archive history of a file. Nullable: reason, created_by_id';

CREATE TYPE jobs.file_revision_archive_status AS (
	id uuid,
	created timestamptz,
	name jobs.archive_status_name,
	reason text,
	created_by_id uuid,
	file_revision_id uuid
);
COMMENT ON TYPE jobs.file_revision_archive_status IS 'One entry of the archive history of a file revision. Nullable: reason, created_by_id';

CREATE TYPE jobs.file_revision AS (
	id uuid,
	created timestamptz,
	file_id uuid,
	content_token jobs.token,
	properties_token jobs.token,
	archive_status_history jobs.file_revision_archive_status[],
	name text,
	stem text,
	suffix text,
	extension text,
	size bigint,
	description text,
	mime text,
	version_name text,
	external_identifier text,
	display_name text,
	sources jobs.source[],
	products jobs.source[],
	created_by_id uuid,
	updated timestamptz
);
COMMENT ON TYPE jobs.file_revision IS 'One revision of a file; size in bytes. Nullable: everything but id, created, the tokens and archive_status_history';

CREATE TYPE jobs.file AS (
	id uuid,
	created timestamptz,
	revisions jobs.file_revision[],
	archive_status_history jobs.file_archive_status[],
	resource_id uuid,
	resource_type text,
	created_by_id uuid,
	control_tags jsonb,
	updated timestamptz,
	upstream_remote_info jsonb
);
COMMENT ON TYPE jobs.file IS 'File of a job, model, artifact or comment, with its revisions, oldest first. resource_type is Job, Model, Artifact or Comment. Nullable: everything from resource_id on';

CREATE TYPE jobs.comment AS (
	id uuid,
	created timestamptz,
	file jobs.file,
	comments jsonb,
	archive_status_history jobs.resource_archive_status[],
	created_by_id uuid,
	resource_id uuid,
	resource_type text
);
COMMENT ON TYPE jobs.comment IS 'Comment on a resource; comments holds the replies, recursively. Nullable: resource_id, resource_type';

CREATE TYPE jobs.function_version AS (
	id uuid,
	name text,
	version text,
	module_name text,
	module_version text,
	tool_name text,
	tool_version text,
	tool_display_name text,
	operating_system text
);
COMMENT ON TYPE jobs.function_version IS 'One version of a function that agents run; name is @scope:name. Nullable: everything from module_name on';

CREATE TYPE jobs.job AS (
	id uuid,
	created timestamptz,
	file jobs.file,
	comments jobs.comment[],
	archive_status_history jobs.resource_archive_status[],
	created_by_id uuid,
	function jobs.function_version,
	assigned_agent_id uuid,
	agent_id uuid,
	tenant_id uuid,
	model_id uuid,
	status_history jobs.job_status[],
	assigned_agent_pool_id uuid
);
COMMENT ON TYPE jobs.job IS 'A job with all its parts. The last entry of status_history is its current status. Nullable: assigned_agent_id, agent_id (the agent that has it, or had it last), tenant_id, model_id, status_history, assigned_agent_pool_id';

CREATE TYPE jobs.response_get_job_for_agent AS (
	anyof_schema_1_validator jobs.job,
	anyof_schema_2_validator jobs.no_job_response,
	actual_instance jsonb,
	any_of_schemas text[]
);
COMMENT ON TYPE jobs.response_get_job_for_agent IS 'Answer of get_job_for_agent: a job, or why there is none; the slot of the branch that matched is filled';

CREATE TYPE jobs.page_job AS (
	items jobs.job[],
	total bigint,
	page integer,
	size integer,
	pages integer
);
COMMENT ON TYPE jobs.page_job IS 'One page of jobs. total and pages are NULL when counting was not asked for';

CREATE TYPE jobs.access_relationship AS (
	subject_type text,
	subject_id uuid,
	relation text,
	resource_type text,
	resource_id uuid,
	subject_info jsonb
);
COMMENT ON TYPE jobs.access_relationship IS 'Who has which relation to which resource: viewer, editor, owner, administrator, executor or upstreamremoteowner';

CREATE TYPE jobs.claimed_job AS (
	job_id uuid,
	attempt integer,
	function_id uuid,
	function text,
	function_version text,
	tool_name text,
	tool_version text,
	operating_system text,
	model_id uuid,
	parameters jsonb,
	lease_expires timestamptz
);
COMMENT ON TYPE jobs.claimed_job IS 'A job as an agent gets it. attempt counts how often the job was handed out and fences its former holders. Nullable: tool_name, tool_version, operating_system, model_id';

CREATE TYPE jobs.status_report AS (
	job_id uuid,
	status jobs.job_status,
	sqlstate text,
	error text
);
COMMENT ON TYPE jobs.status_report IS 'What became of one job of a batch: either its status now, or the SQLSTATE and text of what was wrong';
