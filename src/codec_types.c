/*-------------------------------------------------------------------------
 *
 * codec_types.c
 *		Descriptors of the composite types, one line a field.
 *
 * Order and names are those of sql/11_types.sql; a difference is found out at
 * the first value of the type. These tables alone drive writing, reading and
 * validation.
 *
 *-------------------------------------------------------------------------
 */
#include "codec_core.h"

#define FIELD(name, kind, presence) \
	{#name, JOBS_KIND_##kind, JOBS_##presence, false, NULL, NULL}
#define LIST(name, kind, presence) \
	{#name, JOBS_KIND_##kind, JOBS_##presence, true, NULL, NULL}
#define LABEL(name, labels, presence) \
	{#name, JOBS_KIND_TEXT, JOBS_##presence, false, NULL, labels}
#define OBJECT(name, type, presence) \
	{#name, JOBS_KIND_OBJECT, JOBS_##presence, false, &type, NULL}
#define OBJECTS(name, type, presence) \
	{#name, JOBS_KIND_OBJECT, JOBS_##presence, true, &type, NULL}
/* A type that contains itself: the inner ones are jsonb in SQL. */
#define INNER(name, type, presence) \
	{#name, JOBS_KIND_JSONB, JOBS_##presence, false, &type, NULL}

#define TYPE(name, title) \
	static const JobsType name = \
	{#name, title, name##_fields, sizeof(name##_fields) / sizeof(JobsField), false}
#define ANY_OF(name, title) \
	static const JobsType name = \
	{#name, title, name##_fields, sizeof(name##_fields) / sizeof(JobsField), true}

const char *const jobs_archive_labels[] = {"Active", "Archived", NULL};

static const char *const file_owners[] = {"Model", "Artifact", "Job", "Comment", NULL};
static const char *const subjects[] = {"user", NULL};
static const char *const relations[] = {
	"viewer", "editor", "owner", "administrator", "executor",
	"upstreamremoteowner", NULL
};
static const char *const resources[] = {"job", "model", "artifact", "file", NULL};

static const JobsField job_status_fields[] = {
	FIELD(id, UUID, REQUIRED),
	FIELD(created, TIME, REQUIRED),
	FIELD(job_id, UUID, REQUIRED),
	FIELD(name, STATUS, REQUIRED),
	FIELD(created_by_id, UUID, NULLABLE),
	FIELD(message, TEXT, NULLABLE),
	FIELD(agent_id, UUID, NULLABLE),
};

TYPE(job_status, "JobStatus");

static const JobsField job_status_message_fields[] = {
	FIELD(message, TEXT, REQUIRED),
};

TYPE(job_status_message, "JobStatusMessage");

static const JobsField new_job_assigned_agent_fields[] = {
	FIELD(agent_id, UUID, REQUIRED),
};

TYPE(new_job_assigned_agent, "NewJobAssignedAgent");

static const JobsField no_job_response_fields[] = {
	FIELD(message, TEXT, REQUIRED),
};

TYPE(no_job_response, "NoJobResponse");

static const JobsField no_op_response_fields[] = {
	FIELD(status, TEXT, REQUIRED),
	FIELD(message, TEXT, REQUIRED),
};

TYPE(no_op_response, "NoOpResponse");

static const JobsField token_fields[] = {
	FIELD(id, UUID, REQUIRED),
	FIELD(created, TIME, REQUIRED),
	FIELD(sha, TEXT, REQUIRED),
	FIELD(salt, TEXT, REQUIRED),
	FIELD(created_by_id, UUID, NULLABLE),
};

TYPE(token, "Token");

/* Also a product: the same edge read from the other end. */
static const JobsField source_fields[] = {
	FIELD(revision_id, UUID, REQUIRED),
	FIELD(file_id, UUID, OPTIONAL),
	LABEL(resource_type, file_owners, OPTIONAL),
	FIELD(resource_id, UUID, OPTIONAL),
	FIELD(relationship_identifier, TEXT, OPTIONAL),
};

TYPE(source, "Source");

static const JobsField resource_archive_status_fields[] = {
	FIELD(id, UUID, REQUIRED),
	FIELD(created, TIME, REQUIRED),
	FIELD(name, ARCHIVE, REQUIRED),
	FIELD(reason, TEXT, NULLABLE),
	FIELD(created_by_id, UUID, NULLABLE),
	FIELD(resource_id, UUID, REQUIRED),
};

TYPE(resource_archive_status, "ResourceArchiveStatus");

static const JobsField file_archive_status_fields[] = {
	FIELD(id, UUID, REQUIRED),
	FIELD(created, TIME, REQUIRED),
	FIELD(name, ARCHIVE, REQUIRED),
	FIELD(reason, TEXT, NULLABLE),
	FIELD(created_by_id, UUID, NULLABLE),
	FIELD(file_id, UUID, REQUIRED),
};

TYPE(file_archive_status, "FileArchiveStatus");

static const JobsField file_revision_archive_status_fields[] = {
	FIELD(id, UUID, REQUIRED),
	FIELD(created, TIME, REQUIRED),
	FIELD(name, ARCHIVE, REQUIRED),
	FIELD(reason, TEXT, NULLABLE),
	FIELD(created_by_id, UUID, NULLABLE),
	FIELD(file_revision_id, UUID, REQUIRED),
};

TYPE(file_revision_archive_status, "FileRevisionArchiveStatus");

static const JobsField file_revision_fields[] = {
	FIELD(id, UUID, REQUIRED),
	FIELD(created, TIME, REQUIRED),
	FIELD(file_id, UUID, NULLABLE),
	OBJECT(content_token, token, REQUIRED),
	OBJECT(properties_token, token, REQUIRED),
	OBJECTS(archive_status_history, file_revision_archive_status, REQUIRED),
	FIELD(name, TEXT, NULLABLE),
	FIELD(stem, TEXT, OPTIONAL),
	FIELD(suffix, TEXT, OPTIONAL),
	FIELD(extension, TEXT, NULLABLE),
	FIELD(size, BIGINT, NULLABLE),
	FIELD(description, TEXT, NULLABLE),
	FIELD(mime, TEXT, NULLABLE),
	FIELD(version_name, TEXT, NULLABLE),
	FIELD(external_identifier, TEXT, NULLABLE),
	FIELD(display_name, TEXT, NULLABLE),
	OBJECTS(sources, source, OPTIONAL),
	OBJECTS(products, source, OPTIONAL),
	FIELD(created_by_id, UUID, NULLABLE),
	FIELD(updated, TIME, NULLABLE),
};

TYPE(file_revision, "FileRevision");

static const JobsField file_fields[] = {
	FIELD(id, UUID, REQUIRED),
	FIELD(created, TIME, REQUIRED),
	OBJECTS(revisions, file_revision, REQUIRED),
	OBJECTS(archive_status_history, file_archive_status, REQUIRED),
	FIELD(resource_id, UUID, NULLABLE),
	LABEL(resource_type, file_owners, NULLABLE),
	FIELD(created_by_id, UUID, NULLABLE),
	FIELD(control_tags, JSONB, OPTIONAL),
	FIELD(updated, TIME, NULLABLE),
	FIELD(upstream_remote_info, JSONB, NULLABLE),
};

TYPE(file, "File");

static const JobsType comment;
static const JobsField comment_fields[] = {
	FIELD(id, UUID, REQUIRED),
	FIELD(created, TIME, REQUIRED),
	OBJECT(file, file, REQUIRED),
	INNER(comments, comment, REQUIRED),
	OBJECTS(archive_status_history, resource_archive_status, REQUIRED),
	FIELD(created_by_id, UUID, REQUIRED),
	FIELD(resource_id, UUID, NULLABLE),
	LABEL(resource_type, file_owners, OPTIONAL),
};

TYPE(comment, "Comment");

static const JobsField function_version_fields[] = {
	FIELD(id, UUID, REQUIRED),
	FIELD(name, TEXT, REQUIRED),
	FIELD(version, TEXT, REQUIRED),
	FIELD(module_name, TEXT, OPTIONAL),
	FIELD(module_version, TEXT, OPTIONAL),
	FIELD(tool_name, TEXT, OPTIONAL),
	FIELD(tool_version, TEXT, OPTIONAL),
	FIELD(tool_display_name, TEXT, OPTIONAL),
	FIELD(operating_system, TEXT, OPTIONAL),
};

TYPE(function_version, "FunctionVersion");

static const JobsField job_fields[] = {
	FIELD(id, UUID, REQUIRED),
	FIELD(created, TIME, REQUIRED),
	OBJECT(file, file, REQUIRED),
	OBJECTS(comments, comment, REQUIRED),
	OBJECTS(archive_status_history, resource_archive_status, REQUIRED),
	FIELD(created_by_id, UUID, REQUIRED),
	OBJECT(function, function_version, REQUIRED),
	FIELD(assigned_agent_id, UUID, OPTIONAL),
	FIELD(agent_id, UUID, OPTIONAL),
	FIELD(tenant_id, UUID, OPTIONAL),
	FIELD(model_id, UUID, NULLABLE),
	OBJECTS(status_history, job_status, OPTIONAL),
	FIELD(assigned_agent_pool_id, UUID, OPTIONAL),
};

TYPE(job, "Job");

static const JobsField response_get_job_for_agent_fields[] = {
	OBJECT(anyof_schema_1_validator, job, OPTIONAL),
	OBJECT(anyof_schema_2_validator, no_job_response, OPTIONAL),
	FIELD(actual_instance, JSONB, OPTIONAL),
	LIST(any_of_schemas, TEXT, REQUIRED),
};

ANY_OF(response_get_job_for_agent, "ResponseGetJobForAgent");

static const JobsField page_job_fields[] = {
	OBJECTS(items, job, REQUIRED),
	FIELD(total, BIGINT, OPTIONAL),
	FIELD(page, INT, OPTIONAL),
	FIELD(size, INT, OPTIONAL),
	FIELD(pages, INT, OPTIONAL),
};

TYPE(page_job, "PageJob");

static const JobsField access_relationship_fields[] = {
	LABEL(subject_type, subjects, REQUIRED),
	FIELD(subject_id, UUID, REQUIRED),
	LABEL(relation, relations, REQUIRED),
	LABEL(resource_type, resources, REQUIRED),
	FIELD(resource_id, UUID, REQUIRED),
	FIELD(subject_info, JSONB, OPTIONAL),
};

TYPE(access_relationship, "AccessRelationship");

const JobsType *const jobs_types[] = {
	&job,
	&job_status,
	&job_status_message,
	&new_job_assigned_agent,
	&no_job_response,
	&no_op_response,
	&response_get_job_for_agent,
	&page_job,
	&file,
	&file_revision,
	&token,
	&source,
	&comment,
	&resource_archive_status,
	&file_archive_status,
	&file_revision_archive_status,
	&function_version,
	&access_relationship,
	NULL
};
