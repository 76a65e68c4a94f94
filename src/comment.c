/*-------------------------------------------------------------------------
 *
 * comment.c
 *		Comments on jobs, models and artifacts, and replies to them.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(jobs_add_comment);
PG_FUNCTION_INFO_V1(jobs_list_comments);
PG_FUNCTION_INFO_V1(jobs_replies);

/* How deep a reply may stand below the comment it goes back to. */
#define MAX_REPLY_DEPTH 50

/* How many comments stand above a reply to this one, itself included. */
static JobsStatement parent_depth = {
	.sql = "WITH RECURSIVE up AS (SELECT parent_id FROM jobs_store.comment"
	" WHERE tenant = $1 AND resource_id = $2 AND id = $3"
	" UNION ALL SELECT c.parent_id FROM up JOIN jobs_store.comment c"
	" ON c.tenant = $1 AND c.resource_id = $2 AND c.id = up.parent_id)"
	" SELECT count(*) FROM up",
	.types = "iuu",
	.expected = SPI_OK_SELECT
};

static JobsStatement find_replies = {
	.sql = "SELECT coalesce(jsonb_agg(jobs.to_dict(c.comment) ORDER BY c.id), '[]')"
	" FROM jobs_store.full_comment c WHERE c.tenant = $1 AND c.resource_id = $2 AND c.parent_id = $3",
	.types = "iuu",
	.expected = SPI_OK_SELECT
};

static JobsStatement add_comment = {
	.sql = "INSERT INTO jobs_store.comment (tenant, resource_id, id, parent_id, created, created_by_id,"
	" resource_type, content) VALUES ($1, $2, $3, $4, $5, $6, initcap($7), $8)",
	.types = "iuuuzutt",
	.expected = SPI_OK_INSERT
};

static JobsStatement fetch_comment = {
	.sql = "SELECT comment FROM jobs_store.full_comment WHERE tenant = $1 AND resource_id = $2 AND id = $3",
	.types = "iuu",
	.expected = SPI_OK_SELECT
};

static JobsStatement list_comments = {
	.sql = "SELECT (c.comment).* FROM (SELECT comment, id FROM jobs_store.full_comment"
	" WHERE tenant = $1 AND resource_id = $2 AND parent_id IS NULL OFFSET 0) c ORDER BY c.id",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static void
check_parent(JobsCall *call, const pg_uuid_t *resource_id, const pg_uuid_t *parent)
{
	JobsResult	found = jobs_run(&parent_depth, A_INT4(call->caller.tenant), A_PTR(resource_id),
								 A_PTR(parent));
	int64		depth = DatumGetInt64(jobs_column(&found, 0, 1, NULL));

	if (depth == 0)
		jobs_error_not_found("comment", parent);
	if (depth > MAX_REPLY_DEPTH)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("replies are nested too deeply"),
				 errhint("At most %d levels are allowed; reply to an earlier comment.", MAX_REPLY_DEPTH)));
}

/*
 * The replies to a comment, for the view full_comment, which has the replies to
 * each of them in turn.
 */
Datum
jobs_replies(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	JobsResult	found;
	Datum		replies;

	check_stack_depth();
	jobs_enter_any(fcinfo, &call);
	found = jobs_run(&find_replies, A_ARG(0), A_ARG(1), A_ARG(2));
	replies = jobs_column_copy(&call, &found, 0, 1);
	jobs_leave(&call);
	return replies;
}

Datum
jobs_add_comment(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	JobsResult	comment;
	pg_uuid_t	id = jobs_uuid_new();
	pg_uuid_t  *resource_id;
	pg_uuid_t  *parent = jobs_arg_uuid(fcinfo, 2);
	text	   *content;
	const char *kind;
	Datum		result;

	jobs_arg_require(fcinfo, 0, "job_id");
	jobs_arg_require(fcinfo, 1, "content");
	content = jobs_arg_text(fcinfo, 1, "content", JOBS_MAX_MESSAGE);
	if (VARSIZE_ANY_EXHDR(content) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("content must not be empty")));
	resource_id = PG_GETARG_UUID_P(0);
	jobs_enter(fcinfo, &call);
	kind = jobs_access_require(&call, resource_id, JOBS_EDITOR, "comment on");
	jobs_keep_job(&call, resource_id, kind);
	if (parent != NULL)
		check_parent(&call, resource_id, parent);
	jobs_run(&add_comment, A_INT4(call.caller.tenant), A_PTR(resource_id), A_PTR(&id), A_PTR(parent),
			 A_TIME(GetCurrentTimestamp()), A_PTR(&call.caller.user_id),
			 A_PTR(cstring_to_text(kind)), A_PTR(content));
	comment = jobs_run(&fetch_comment, A_INT4(call.caller.tenant), A_PTR(resource_id), A_PTR(&id));
	result = jobs_column_copy(&call, &comment, 0, 1);
	jobs_leave(&call);
	return result;
}

Datum
jobs_list_comments(PG_FUNCTION_ARGS)
{
	return jobs_list_of_resource(fcinfo, &list_comments);
}
