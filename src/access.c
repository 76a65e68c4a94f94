/*-------------------------------------------------------------------------
 *
 * access.c
 *		What the caller may do with a job, model or artifact.
 *
 * The creator owns it, an administrator may do all in the tenant, and others
 * have the relation they were given. Besides, whoever registered the agent that
 * holds a job may work on the job and read its model, for as long as it holds
 * it: an agent needs no access rows of its own.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "utils/builtins.h"

static JobsStatement find_resource = {
	.sql = "SELECT r.kind, r.created_by_id,"
	" (SELECT a.relation FROM jobs_store.access a"
	" WHERE a.tenant = $1 AND a.resource_id = $2 AND a.subject_id = $3)"
	" FROM (SELECT 'job' AS kind, created_by_id FROM jobs_store.job WHERE tenant = $1 AND id = $2"
	" UNION ALL SELECT 'model', created_by_id FROM jobs_store.model WHERE tenant = $1 AND id = $2"
	" UNION ALL SELECT 'artifact', created_by_id FROM jobs_store.artifact WHERE tenant = $1 AND id = $2) r",
	.types = "iuu",
	.expected = SPI_OK_SELECT
};

static JobsStatement held_job = {
	.sql = "SELECT 1 FROM jobs_store.agent a"
	" JOIN jobs_store.lease l ON l.tenant = a.tenant AND l.agent_id = a.id"
	" WHERE a.tenant = $1 AND a.created_by_id = $2 AND l.job_id = $3 LIMIT 1",
	.types = "iuu",
	.expected = SPI_OK_SELECT
};

static JobsStatement held_model = {
	.sql = "SELECT 1 FROM jobs_store.agent a"
	" JOIN jobs_store.lease l ON l.tenant = a.tenant AND l.agent_id = a.id"
	" JOIN jobs_store.job j ON j.tenant = l.tenant AND j.id = l.job_id"
	" WHERE a.tenant = $1 AND a.created_by_id = $2 AND j.model_id = $3 LIMIT 1",
	.types = "iuu",
	.expected = SPI_OK_SELECT
};

typedef struct RelationName
{
	const char *name;
	JobsRelation relation;
} RelationName;

static const RelationName relation_names[] = {
	{"viewer", JOBS_VIEWER},
	{"executor", JOBS_EXECUTOR},
	{"editor", JOBS_EDITOR},
	{"owner", JOBS_OWNER},
	{"administrator", JOBS_OWNER},
};

static int
granted_relation(const JobsResult *found)
{
	bool		isnull;
	Datum		granted = jobs_column(found, 0, 3, &isnull);
	char	   *name;

	if (isnull)
		return 0;
	name = TextDatumGetCString(granted);
	for (int i = 0; i < countof(relation_names); i++)
		if (strcmp(relation_names[i].name, name) == 0)
			return relation_names[i].relation;
	return 0;
}

static bool
holds(JobsCall *call, JobsStatement *statement, const pg_uuid_t *id)
{
	return jobs_run(statement, A_INT4(call->caller.tenant),
					A_PTR(&call->caller.user_id), A_PTR(id)).count > 0;
}

/*
 * The caller's relation to a resource, 0 for none; *kind says what it is, NULL
 * when the tenant has no such resource.
 */
int
jobs_relation(JobsCall *call, const pg_uuid_t *resource_id, const char **kind)
{
	JobsResult	found = jobs_run(&find_resource, A_INT4(call->caller.tenant),
								 A_PTR(resource_id), A_PTR(&call->caller.user_id));
	int			relation;

	*kind = NULL;
	if (found.count == 0)
		return 0;
	*kind = TextDatumGetCString(jobs_column(&found, 0, 1, NULL));
	if (call->caller.administrator ||
		memcmp(DatumGetUUIDP(jobs_column(&found, 0, 2, NULL)), &call->caller.user_id, UUID_LEN) == 0)
		return JOBS_OWNER;
	relation = granted_relation(&found);
	if (relation < JOBS_EDITOR && strcmp(*kind, "job") == 0 && holds(call, &held_job, resource_id))
		return JOBS_EDITOR;
	if (relation < JOBS_VIEWER && strcmp(*kind, "model") == 0 && holds(call, &held_model, resource_id))
		return JOBS_VIEWER;
	return relation;
}

/*
 * JB404 when the caller may not even see the resource, 42501 when it may see
 * it but not do the action; answers the kind of the resource.
 */
const char *
jobs_access_require(JobsCall *call, const pg_uuid_t *resource_id, JobsRelation need,
					const char *action)
{
	const char *kind;
	int			relation = jobs_relation(call, resource_id, &kind);

	if (relation < JOBS_VIEWER)
		jobs_error_not_found("job, model or artifact", resource_id);
	if (relation < (int) need)
		jobs_error_not_allowed(action, kind, resource_id);
	return kind;
}
