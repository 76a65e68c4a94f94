/*-------------------------------------------------------------------------
 *
 * page.c
 *		Lists of jobs by page.
 *
 * A page is read in two steps: which jobs, then all their parts by key in one
 * statement. The first is put together from the constant fragments below, one
 * for each filter that is given, so that the planner sees only what matters;
 * values go in as parameters. It starts where the filter by status says: a hot
 * table for jobs under way, the index of terminal entries for those that ended.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(jobs_list_jobs);

/* Arguments of list_jobs. */
enum
{
	ARG_PAGE, ARG_SIZE, ARG_MODEL, ARG_STATUS, ARG_FUNCTION, ARG_ASSIGNED_AGENT,
	ARG_ASSIGNED_AGENT_POOL, ARG_AGENT, ARG_CREATED_BY, ARG_NAME,
	ARG_ARCHIVE_STATUS, ARG_ALL_USERS, ARG_SORT, ARG_COUNT
};

/*
 * Parameters of every list statement: $1 tenant, $2 the caller, $3 to $9 the
 * filters in the order below, $10 the status, $11 how many, $12 from where.
 */
#define LIST_TYPES "iuutuuuuttil"

typedef struct Filter
{
	int			argno;
	const char *condition;
} Filter;

static const Filter filters[] = {
	{ARG_MODEL, " AND j.model_id = $3"},
	{ARG_FUNCTION, " AND j.function_id IN (SELECT v.id FROM jobs_store.function_version v"
	" WHERE v.tenant = $1 AND v.name = $4)"},
	{ARG_ASSIGNED_AGENT, " AND j.assigned_agent_id = $5"},
	{ARG_ASSIGNED_AGENT_POOL, " AND j.assigned_agent_pool_id = $6"},
	{ARG_AGENT, " AND coalesce((SELECT s.agent_id FROM jobs_store.job_status s"
		" WHERE s.tenant = $1 AND s.job_id = j.id AND s.agent_id IS NOT NULL"
	" ORDER BY s.ordinal DESC LIMIT 1), j.agent_id) = $7"},
	{ARG_CREATED_BY, " AND j.created_by_id = $8"},
	{ARG_NAME, " AND (SELECT r.name FROM jobs_store.revision r WHERE r.tenant = $1 AND r.resource_id = j.id"
	" ORDER BY r.revision DESC LIMIT 1) ILIKE $9"},
};

/* A word that an argument may be, and what it stands for. */
typedef struct Choice
{
	const char *word;
	const char *fragment;
} Choice;

static const Choice archive_choices[] = {
	{"active", " AND NOT j.archived"},
	{"archived", " AND j.archived"},
	{"all", ""},
	{NULL, NULL}
};

static const Choice sort_choices[] = {
	{"-created", " ORDER BY j.id DESC"},
	{"created", " ORDER BY j.id"},
	{NULL, NULL}
};

static const Choice count_choices[] = {
	{"exact", "SELECT count(*)"},
	{"estimated", "EXPLAIN (FORMAT JSON) SELECT 1"},
	{"none", NULL},
	{NULL, NULL}
};

#define HOT_TABLE(name) \
	" FROM jobs_store." name " q JOIN jobs_store.job j ON j.tenant = q.tenant AND j.id = q.job_id" \
	" WHERE q.tenant = $1"

static const char *const from_all = " FROM jobs_store.job j WHERE j.tenant = $1";
static const char *const from_waiting = HOT_TABLE("waiting");
static const char *const from_ready = HOT_TABLE("ready");
static const char *const from_lease = HOT_TABLE("lease") " AND q.status = $10::jobs.job_status_name";
static const char *const from_ended = HOT_TABLE("job_status")
" AND q.name = $10::jobs.job_status_name AND q.name IN ('COMPLETED', 'FAILED', 'CANCELED')"
" AND NOT EXISTS (SELECT FROM jobs_store.job_status n WHERE n.tenant = $1 AND n.job_id = q.job_id"
" AND n.ordinal > q.ordinal)";

static JobsStatement fetch_page = {
	.sql = "SELECT ROW((SELECT coalesce(array_agg(f.job ORDER BY u.n), '{}') FROM unnest($2) WITH ORDINALITY u(id, n)"
	" JOIN jobs_store.full_job f ON f.tenant = $1 AND f.id = u.id), $3, $4, $5, $6)::jobs.page_job",
	.types = "iUliii",
	.expected = SPI_OK_SELECT
};

static const char *
status_source(FunctionCallInfo fcinfo)
{
	JobsStatus	status;

	if (PG_ARGISNULL(ARG_STATUS))
		return from_all;
	status = DatumGetJobsStatus(PG_GETARG_DATUM(ARG_STATUS));
	if (status == JOBS_CREATED)
		return from_waiting;
	if (status == JOBS_PENDING)
		return from_ready;
	return jobs_status_terminal(status) ? from_ended : from_lease;
}

/* The fragment of the word in an argument, 22023 for another word. */
static const char *
choose(FunctionCallInfo fcinfo, int argno, const char *name, const Choice *choices)
{
	char	   *word;
	StringInfoData words;

	jobs_arg_require(fcinfo, argno, name);
	word = text_to_cstring(PG_GETARG_TEXT_PP(argno));
	initStringInfo(&words);
	for (const Choice *c = choices; c->word != NULL; c++)
	{
		if (strcmp(c->word, word) == 0)
			return c->fragment;
		appendStringInfo(&words, "%s%s", words.len > 0 ? ", " : "", c->word);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid %s: \"%s\"", name, word),
			 errhint("It must be one of: %s.", words.data)));
}

/* FROM and WHERE of the list. */
static char *
list_body(FunctionCallInfo fcinfo, JobsCall *call)
{
	StringInfoData body;

	initStringInfo(&body);
	appendStringInfoString(&body, status_source(fcinfo));
	appendStringInfoString(&body, choose(fcinfo, ARG_ARCHIVE_STATUS, "archive_status", archive_choices));
	if (!PG_GETARG_BOOL(ARG_ALL_USERS) && PG_ARGISNULL(ARG_CREATED_BY))
		appendStringInfoString(&body, " AND j.created_by_id = $2");
	else if (!call->caller.administrator)
		appendStringInfoString(&body, " AND (j.created_by_id = $2 OR EXISTS (SELECT FROM jobs_store.access a"
							   " WHERE a.tenant = $1 AND a.resource_id = j.id AND a.subject_id = $2)"
							   " OR EXISTS (SELECT FROM jobs_store.agent g JOIN jobs_store.lease l"
							   " ON l.tenant = g.tenant AND l.agent_id = g.id"
							   " WHERE g.tenant = $1 AND g.created_by_id = $2 AND l.job_id = j.id))");
	for (int i = 0; i < countof(filters); i++)
		if (!PG_ARGISNULL(filters[i].argno))
			appendStringInfoString(&body, filters[i].condition);
	return body.data;
}

/* The text as a pattern that finds it anywhere. */
static text *
substring_pattern(text *value)
{
	StringInfoData pattern;

	initStringInfo(&pattern);
	appendStringInfoChar(&pattern, '%');
	for (int i = 0; i < (int) VARSIZE_ANY_EXHDR(value); i++)
	{
		char		c = VARDATA_ANY(value)[i];

		if (c == '%' || c == '_' || c == '\\')
			appendStringInfoChar(&pattern, '\\');
		appendStringInfoChar(&pattern, c);
	}
	appendStringInfoChar(&pattern, '%');
	return cstring_to_text_with_len(pattern.data, pattern.len);
}

static void
list_arguments(FunctionCallInfo fcinfo, JobsCall *call, JobsArg *args)
{
	int			n = 0;

	args[n++] = A_INT4(call->caller.tenant);
	args[n++] = A_PTR(&call->caller.user_id);
	for (int i = 0; i < countof(filters); i++)
		args[n++] = A_ARG(filters[i].argno);
	if (!PG_ARGISNULL(ARG_NAME))
		args[n - 1] = A_PTR(substring_pattern(PG_GETARG_TEXT_PP(ARG_NAME)));
	args[n++] = PG_ARGISNULL(ARG_STATUS) ? A_NULL :
		A_PTR(cstring_to_text(jobs_status_label(DatumGetJobsStatus(PG_GETARG_DATUM(ARG_STATUS)))));
	args[n++] = A_ARG(ARG_SIZE);
	args[n++] = A_INT8((int64) (PG_GETARG_INT32(ARG_PAGE) - 1) * PG_GETARG_INT32(ARG_SIZE));
}

/* How many jobs there are, exactly or as the planner thinks; -1: not asked. */
static int64
count_jobs(const char *how, const char *body, const JobsArg *args)
{
	JobsResult	counted;
	char	   *rows;

	if (how == NULL)
		return -1;
	counted = jobs_run_text(psprintf("%s%s", how, body), LIST_TYPES, args);
	if (strncmp(how, "EXPLAIN", 7) != 0)
		return DatumGetInt64(jobs_column(&counted, 0, 1, NULL));
	rows = strstr(SPI_getvalue(counted.table->vals[0], counted.table->tupdesc, 1), "\"Plan Rows\": ");
	return rows == NULL ? -1 : strtoll(rows + strlen("\"Plan Rows\": "), NULL, 10);
}

static ArrayType *
page_ids(const char *body, const char *order, const JobsArg *args)
{
	JobsResult	found = jobs_run_text(psprintf("SELECT coalesce(array_agg(x.id), '{}') FROM"
											   " (SELECT j.id%s%s LIMIT $11 OFFSET $12) x", body, order),
									  LIST_TYPES, args);

	return DatumGetArrayTypeP(jobs_column(&found, 0, 1, NULL));
}

Datum
jobs_list_jobs(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	JobsArg		args[12];
	JobsResult	page;
	const char *count;
	const char *order;
	char	   *body;
	int32		number = jobs_arg_range(fcinfo, ARG_PAGE, "page", 1, PG_INT32_MAX);
	int32		size = jobs_arg_range(fcinfo, ARG_SIZE, "size", 0, JOBS_MAX_PAGE);
	int64		total;
	Datum		result;

	jobs_arg_require(fcinfo, ARG_ALL_USERS, "all_users");
	order = choose(fcinfo, ARG_SORT, "sort", sort_choices);
	count = choose(fcinfo, ARG_COUNT, "count", count_choices);
	jobs_enter(fcinfo, &call);
	body = list_body(fcinfo, &call);
	list_arguments(fcinfo, &call, args);
	total = count_jobs(count, body, args);
	page = jobs_run(&fetch_page, A_INT4(call.caller.tenant), A_PTR(page_ids(body, order, args)),
					jobs_datum(Int64GetDatum(total), total < 0), A_INT4(number), A_INT4(size),
					jobs_datum(Int32GetDatum(size == 0 ? 0 : (total + size - 1) / size), total < 0));
	result = jobs_column_copy(&call, &page, 0, 1);
	jobs_leave(&call);
	return result;
}
