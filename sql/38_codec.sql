-- 38_codec: JSON of the composite types, both ways.
-- One C function each for all types; src/codec_types.c describes the fields.
-- They run no SQL. STABLE, as they look at the catalog and at settings.

CREATE FUNCTION jobs.to_json(value jobs.job) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.job_status) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.job_status_message) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.new_job_assigned_agent) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.no_job_response) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.no_op_response) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.response_get_job_for_agent) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.page_job) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.file) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.file_revision) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.token) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.source) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.comment) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.resource_archive_status) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.file_archive_status) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.file_revision_archive_status) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.function_version) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_json(value jobs.access_relationship) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_json' LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION jobs.to_json(jobs.job) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';
COMMENT ON FUNCTION jobs.to_json(jobs.job_status) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';
COMMENT ON FUNCTION jobs.to_json(jobs.job_status_message) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';
COMMENT ON FUNCTION jobs.to_json(jobs.new_job_assigned_agent) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';
COMMENT ON FUNCTION jobs.to_json(jobs.no_job_response) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';
COMMENT ON FUNCTION jobs.to_json(jobs.no_op_response) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';
COMMENT ON FUNCTION jobs.to_json(jobs.response_get_job_for_agent) IS 'the JSON of its actual instance, null when there is none. Errors as for the other types';
COMMENT ON FUNCTION jobs.to_json(jobs.page_job) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';
COMMENT ON FUNCTION jobs.to_json(jobs.file) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';
COMMENT ON FUNCTION jobs.to_json(jobs.file_revision) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';
COMMENT ON FUNCTION jobs.to_json(jobs.token) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';
COMMENT ON FUNCTION jobs.to_json(jobs.source) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';
COMMENT ON FUNCTION jobs.to_json(jobs.comment) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';
COMMENT ON FUNCTION jobs.to_json(jobs.resource_archive_status) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';
COMMENT ON FUNCTION jobs.to_json(jobs.file_archive_status) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';
COMMENT ON FUNCTION jobs.to_json(jobs.file_revision_archive_status) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';
COMMENT ON FUNCTION jobs.to_json(jobs.function_version) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';
COMMENT ON FUNCTION jobs.to_json(jobs.access_relationship) IS 'compact JSON; NULL fields are left out or null as the model says. 22023 for a time that JSON cannot say, 54000 when a jsonb field is nested deeper than jobs.json_max_depth';

CREATE FUNCTION jobs.to_dict(value jobs.job) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.job_status) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.job_status_message) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.new_job_assigned_agent) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.no_job_response) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.no_op_response) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.response_get_job_for_agent) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.page_job) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.file) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.file_revision) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.token) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.source) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.comment) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.resource_archive_status) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.file_archive_status) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.file_revision_archive_status) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.function_version) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_dict(value jobs.access_relationship) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'jobs_to_dict' LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION jobs.to_dict(jobs.job) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.job_status) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.job_status_message) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.new_job_assigned_agent) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.no_job_response) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.no_op_response) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.response_get_job_for_agent) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.page_job) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.file) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.file_revision) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.token) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.source) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.comment) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.resource_archive_status) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.file_archive_status) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.file_revision_archive_status) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.function_version) IS 'what to_json writes, as jsonb; same errors';
COMMENT ON FUNCTION jobs.to_dict(jobs.access_relationship) IS 'what to_json writes, as jsonb; same errors';

CREATE FUNCTION jobs.to_str(value jobs.job) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.job_status) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.job_status_message) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.new_job_assigned_agent) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.no_job_response) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.no_op_response) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.response_get_job_for_agent) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.page_job) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.file) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.file_revision) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.token) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.source) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.comment) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.resource_archive_status) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.file_archive_status) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.file_revision_archive_status) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.function_version) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;
CREATE FUNCTION jobs.to_str(value jobs.access_relationship) RETURNS text
	AS 'MODULE_PATHNAME', 'jobs_to_str' LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION jobs.to_str(jobs.job) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.job_status) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.job_status_message) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.new_job_assigned_agent) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.no_job_response) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.no_op_response) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.response_get_job_for_agent) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.page_job) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.file) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.file_revision) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.token) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.source) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.comment) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.resource_archive_status) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.file_archive_status) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.file_revision_archive_status) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.function_version) IS 'indented JSON of all fields, nulls included; same errors as to_json';
COMMENT ON FUNCTION jobs.to_str(jobs.access_relationship) IS 'indented JSON of all fields, nulls included; same errors as to_json';

-- Not STRICT: the prototype is NULL as a rule.
CREATE FUNCTION jobs.from_json(prototype anyelement, "json" text) RETURNS anyelement
	AS 'MODULE_PATHNAME', 'jobs_from_json' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION jobs.from_json(anyelement, text) IS 'value of the type of the prototype, of which only the type counts, as in jobs.from_json(NULL::jobs.job, json); NULL for NULL. Keys that the type does not have are ignored. 22023 with one line in the detail for each bad field, 22P02 with line and column for text that is not JSON, 54000 beyond jobs.json_max_depth or jobs.json_max_size, 42804 for a type without JSON form';

CREATE FUNCTION jobs.from_dict(prototype anyelement, dict jsonb) RETURNS anyelement
	AS 'MODULE_PATHNAME', 'jobs_from_dict' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION jobs.from_dict(anyelement, jsonb) IS 'like from_json, from jsonb. 22023 with one line in the detail for each bad field, 42804 for a type without JSON form';

CREATE FUNCTION jobs.actual_instance_must_validate_anyof(instance jsonb) RETURNS boolean
	AS 'MODULE_PATHNAME', 'jobs_validate_any_of' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jobs.actual_instance_must_validate_anyof(jsonb) IS 'true when the document is a valid Job or NoJobResponse; else 22023, whose detail says what is wrong for each of the two';
