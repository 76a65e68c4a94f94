/*-------------------------------------------------------------------------
 *
 * page.c
 *		Lists of jobs by page, by number or by cursor.
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

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(jobs_list_jobs);
PG_FUNCTION_INFO_V1(jobs_list_model_jobs);
PG_FUNCTION_INFO_V1(jobs_list_jobs_after);

/* Arguments of list_jobs; those of list_jobs_after, but for the cursor in place of the page and no count. */
enum
{
	ARG_PAGE, ARG_SIZE, ARG_MODEL, ARG_STATUS, ARG_FUNCTION, ARG_ASSIGNED_AGENT,
	ARG_ASSIGNED_AGENT_POOL, ARG_AGENT, ARG_CREATED_BY, ARG_NAME,
	ARG_ARCHIVE_STATUS, ARG_ALL_USERS, ARG_SORT, ARG_COUNT, ARGS
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
	.sql = "SELECT ROW(ARRAY(SELECT f.job FROM unnest($2) WITH ORDINALITY u(id, n)"
	" JOIN jobs_store.full_job f ON f.tenant = $1 AND f.id = u.id ORDER BY u.n), $3, $4, $5, $6)::jobs.page_job",
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

/* With a model that must be visible, its jobs. */
static Datum
list_page(FunctionCallInfo fcinfo, const pg_uuid_t *visible_model)
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
	if (visible_model != NULL &&
		strcmp(jobs_access_require(&call, visible_model, JOBS_VIEWER, "list the jobs of"), "model") != 0)
		jobs_error_not_found("model", visible_model);
	body = list_body(fcinfo, &call);
	list_arguments(fcinfo, &call, args);
	args[11] = A_INT8((int64) (number - 1) * size);
	total = count_jobs(count, body, args);
	page = jobs_run(&fetch_page, A_INT4(call.caller.tenant), A_PTR(page_ids(body, order, args)),
					jobs_datum(Int64GetDatum(total), total < 0), A_INT4(number), A_INT4(size),
					jobs_datum(Int32GetDatum(size == 0 ? 0 : (total + size - 1) / size), total < 0));
	result = jobs_column_copy(&call, &page, 0, 1);
	jobs_leave(&call);
	return result;
}

Datum
jobs_list_jobs(PG_FUNCTION_ARGS)
{
	return list_page(fcinfo, NULL);
}

/* The arguments of list_jobs, but with the model first, which must not be NULL. */
Datum
jobs_list_model_jobs(PG_FUNCTION_ARGS)
{
	static const int places[] = {ARG_MODEL, ARG_PAGE, ARG_SIZE};
	LOCAL_FCINFO(list, ARGS);

	jobs_arg_require(fcinfo, 0, "model_id");
	InitFunctionCallInfoData(*list, fcinfo->flinfo, ARGS, fcinfo->fncollation, NULL, NULL);
	for (int i = 0; i < ARGS; i++)
		list->args[i < countof(places) ? places[i] : i] = fcinfo->args[i];
	return list_page(list, PG_GETARG_UUID_P(0));
}

static JobsStatement fetch_jobs = {
	.sql = "SELECT ARRAY(SELECT f.job FROM unnest($2) WITH ORDINALITY u(id, n)"
	" JOIN jobs_store.full_job f ON f.tenant = $1 AND f.id = u.id ORDER BY u.n)",
	.types = "iU",
	.expected = SPI_OK_SELECT
};

/* As in list_jobs, but from a job on: one more than the page, to know whether there are others. */
#define AFTER_TYPES "iuutuuuuttiu"

/* The id of the job after which the page begins; NULL: the first page. */
static pg_uuid_t *
cursor_argument(FunctionCallInfo fcinfo)
{
	pg_uuid_t  *id;
	char	   *word;

	if (PG_ARGISNULL(ARG_PAGE))
		return NULL;
	word = text_to_cstring(PG_GETARG_TEXT_PP(ARG_PAGE));
	id = palloc(sizeof(pg_uuid_t));
	if (strlen(word) != UUID_LEN * 2 || strspn(word, "0123456789abcdef") != UUID_LEN * 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid cursor: \"%s\"", word),
				 errhint("Give next_cursor of the page before, or NULL for the first.")));
	(void) hex_decode(word, UUID_LEN * 2, (char *) id->data);
	return id;
}

static text *
cursor_of(const pg_uuid_t *id)
{
	char		hex[UUID_LEN * 2];

	(void) hex_encode((const char *) id->data, UUID_LEN, hex);
	return cstring_to_text_with_len(hex, sizeof(hex));
}

Datum
jobs_list_jobs_after(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	JobsArg		args[12];
	JobsResult	found;
	TupleDesc	desc;
	Datum		values[2] = {0};
	bool		nulls[2] = {false, true};
	pg_uuid_t  *cursor = cursor_argument(fcinfo);
	int32		size = jobs_arg_range(fcinfo, ARG_SIZE, "size", 1, JOBS_MAX_PAGE);
	const char *order;
	const char *after;
	Datum	   *ids = palloc(sizeof(Datum) * size);
	int			count;
	Datum		next = (Datum) 0;

	jobs_arg_require(fcinfo, ARG_ALL_USERS, "all_users");
	order = choose(fcinfo, ARG_SORT, "sort", sort_choices);
	after = strstr(order, "DESC") != NULL ? "j.id < $12" : "j.id > $12";
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "result is not a row");
	jobs_enter(fcinfo, &call);
	list_arguments(fcinfo, &call, args);
	args[10] = A_INT4(size + 1);
	args[11] = A_PTR(cursor);
	found = jobs_run_text(psprintf("SELECT j.id%s%s%s%s LIMIT $11", list_body(fcinfo, &call), cursor != NULL ? " AND " : "",
								   cursor != NULL ? after : "", order), AFTER_TYPES, args);
	count = Min(found.count, (uint64) size);
	for (int i = 0; i < count; i++)
		ids[i] = jobs_column(&found, i, 1, NULL);
	if (found.count > (uint64) size)
	{
		MemoryContext old = MemoryContextSwitchTo(call.outer);

		next = PointerGetDatum(cursor_of(DatumGetUUIDP(ids[count - 1])));
		MemoryContextSwitchTo(old);
		nulls[1] = false;
	}
	found = jobs_run(&fetch_jobs, A_INT4(call.caller.tenant),
					 A_PTR(construct_array(ids, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR)));
	values[0] = jobs_column_copy(&call, &found, 0, 1);
	values[1] = next;
	jobs_leave(&call);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
