/*-------------------------------------------------------------------------
 *
 * status.c
 *		The type job_status_name and the table of transitions.
 *
 * The table is the only place that says which status may follow which; the
 * functions below, the history's guard and every report of an agent ask it.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include <ctype.h>

#include "common/hashfn.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(jobs_status_in);
PG_FUNCTION_INFO_V1(jobs_status_out);
PG_FUNCTION_INFO_V1(jobs_status_recv);
PG_FUNCTION_INFO_V1(jobs_status_send);
PG_FUNCTION_INFO_V1(jobs_status_from_text);
PG_FUNCTION_INFO_V1(jobs_status_to_text);
PG_FUNCTION_INFO_V1(jobs_status_eq);
PG_FUNCTION_INFO_V1(jobs_status_ne);
PG_FUNCTION_INFO_V1(jobs_status_lt);
PG_FUNCTION_INFO_V1(jobs_status_le);
PG_FUNCTION_INFO_V1(jobs_status_gt);
PG_FUNCTION_INFO_V1(jobs_status_ge);
PG_FUNCTION_INFO_V1(jobs_status_cmp);
PG_FUNCTION_INFO_V1(jobs_status_smaller);
PG_FUNCTION_INFO_V1(jobs_status_larger);
PG_FUNCTION_INFO_V1(jobs_status_hash);
PG_FUNCTION_INFO_V1(jobs_status_hash_extended);
PG_FUNCTION_INFO_V1(jobs_is_terminal);
PG_FUNCTION_INFO_V1(jobs_can_transition_sql);
PG_FUNCTION_INFO_V1(jobs_next_statuses);

typedef enum StatusPhase
{
	NOT_STARTED,				/* no agent has it */
	IN_FLIGHT,					/* an agent holds the lease */
	TERMINAL
} StatusPhase;

typedef struct StatusInfo
{
	const char *label;
	const char *json;
	StatusPhase phase;
	bool		reportable;		/* an agent may report it */
	int			next;			/* bit set of the statuses that may follow */
} StatusInfo;

#define TO(status) (1 << JOBS_##status)
#define TO_END		(TO(COMPLETED) | TO(FAILED) | TO(CANCELED))
#define TO_QUEUE	(TO(PENDING) | TO(CREATED))

/* What may follow the transitions of model.md, one row a status. */
static const StatusInfo status_table[JOBS_STATUS_COUNT] = {
	[JOBS_CREATED] = {"CREATED", "Created", NOT_STARTED, false,
	TO(PENDING) | TO(FAILED) | TO(CANCELED)},
	[JOBS_PENDING] = {"PENDING", "Pending", NOT_STARTED, false,
	TO(CLAIMED) | TO(CREATED) | TO(FAILED) | TO(CANCELED)},
	[JOBS_CLAIMED] = {"CLAIMED", "Claimed", IN_FLIGHT, false,
	TO(VALIDATING) | TO(RUNNING) | TO(UPLOADING) | TO_END | TO(UNKNOWN) | TO_QUEUE},
	[JOBS_VALIDATING] = {"VALIDATING", "Validating", IN_FLIGHT, true,
	TO(RUNNING) | TO(UPLOADING) | TO_END | TO(UNKNOWN) | TO_QUEUE},
	[JOBS_RUNNING] = {"RUNNING", "Running", IN_FLIGHT, true,
	TO(UPLOADING) | TO_END | TO(UNKNOWN) | TO_QUEUE},
	[JOBS_UPLOADING] = {"UPLOADING", "Uploading", IN_FLIGHT, true,
	TO_END | TO(UNKNOWN) | TO_QUEUE},
	[JOBS_COMPLETED] = {"COMPLETED", "Completed", TERMINAL, true,
	0},
	[JOBS_FAILED] = {"FAILED", "Failed", TERMINAL, true,
	TO_QUEUE},
	[JOBS_CANCELED] = {"CANCELED", "Canceled", TERMINAL, true,
	TO_QUEUE},
	[JOBS_UNKNOWN] = {"UNKNOWN", "Unknown", IN_FLIGHT, false,
	TO(CLAIMED) | TO(VALIDATING) | TO(RUNNING) | TO(UPLOADING) | TO_END | TO_QUEUE},
};

/* A new job, before its first status. */
static const int first_statuses = TO_QUEUE;

const char *
jobs_status_label(JobsStatus status)
{
	return status_table[status].label;
}

const char *
jobs_status_json(JobsStatus status)
{
	return status_table[status].json;
}

bool
jobs_status_terminal(JobsStatus status)
{
	return status_table[status].phase == TERMINAL;
}

bool
jobs_status_in_flight(JobsStatus status)
{
	return status_table[status].phase == IN_FLIGHT;
}

bool
jobs_status_reportable(JobsStatus status)
{
	return status_table[status].reportable;
}

static int
next_set(int from)
{
	return from == JOBS_NO_STATUS ? first_statuses : status_table[from].next;
}

bool
jobs_can_transition(int from, JobsStatus to)
{
	return (next_set(from) & (1 << to)) != 0;
}

/* Labels of a bit set, separated by commas, for messages. */
static char *
label_list(int set)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int s = 0; s < JOBS_STATUS_COUNT; s++)
		if (set & (1 << s))
			appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "",
							 status_table[s].label);
	return list.data;
}

/* With reportable, only what an agent may report of them. */
char *
jobs_status_next_list(int from, bool reportable)
{
	int			set = next_set(from);
	char	   *list;

	for (int s = 0; reportable && s < JOBS_STATUS_COUNT; s++)
		if (!jobs_status_reportable(s))
			set &= ~(1 << s);
	list = label_list(set);

	return list[0] == '\0' ? "nothing" : list;
}

/* Any letter case, blanks around it; false when it is no label. */
bool
jobs_status_lookup(const char *text, int length, JobsStatus *status)
{
	while (length > 0 && isspace((unsigned char) text[0]))
	{
		text++;
		length--;
	}
	while (length > 0 && isspace((unsigned char) text[length - 1]))
		length--;
	for (int s = 0; s < JOBS_STATUS_COUNT; s++)
	{
		const char *label = status_table[s].label;

		if ((int) strlen(label) == length && pg_strncasecmp(label, text, length) == 0)
		{
			*status = s;
			return true;
		}
	}
	return false;
}

static JobsStatus
parse_status(const char *text, int length)
{
	JobsStatus	status;

	if (!jobs_status_lookup(text, length, &status))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input value for job status: \"%.*s\"",
						pg_mbcliplen(text, length, 64), text),
				 errhint("Valid values are %s.", label_list((1 << JOBS_STATUS_COUNT) - 1))));
	return status;
}

Datum
jobs_status_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);

	return JobsStatusGetDatum(parse_status(text, strlen(text)));
}

Datum
jobs_status_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(pstrdup(jobs_status_label(DatumGetJobsStatus(PG_GETARG_DATUM(0)))));
}

Datum
jobs_status_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buffer = (StringInfo) PG_GETARG_POINTER(0);
	int			length;
	char	   *text = pq_getmsgtext(buffer, buffer->len - buffer->cursor, &length);

	return JobsStatusGetDatum(parse_status(text, length));
}

Datum
jobs_status_send(PG_FUNCTION_ARGS)
{
	const char *label = jobs_status_label(DatumGetJobsStatus(PG_GETARG_DATUM(0)));
	StringInfoData buffer;

	pq_begintypsend(&buffer);
	pq_sendtext(&buffer, label, strlen(label));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buffer));
}

Datum
jobs_status_from_text(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);

	return JobsStatusGetDatum(parse_status(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)));
}

Datum
jobs_status_to_text(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(jobs_status_label(DatumGetJobsStatus(PG_GETARG_DATUM(0)))));
}

#define ARG_STATUS(n) DatumGetJobsStatus(PG_GETARG_DATUM(n))

#define STATUS_OPERATOR(name, op) \
Datum \
jobs_status_##name(PG_FUNCTION_ARGS) \
{ \
	PG_RETURN_BOOL(ARG_STATUS(0) op ARG_STATUS(1)); \
}

STATUS_OPERATOR(eq, ==)
STATUS_OPERATOR(ne, !=)
STATUS_OPERATOR(lt, <)
STATUS_OPERATOR(le, <=)
STATUS_OPERATOR(gt, >)
STATUS_OPERATOR(ge, >=)

Datum
jobs_status_cmp(PG_FUNCTION_ARGS)
{
	int			a = ARG_STATUS(0);
	int			b = ARG_STATUS(1);

	PG_RETURN_INT32((a > b) - (a < b));
}

Datum
jobs_status_smaller(PG_FUNCTION_ARGS)
{
	return JobsStatusGetDatum(Min(ARG_STATUS(0), ARG_STATUS(1)));
}

Datum
jobs_status_larger(PG_FUNCTION_ARGS)
{
	return JobsStatusGetDatum(Max(ARG_STATUS(0), ARG_STATUS(1)));
}

Datum
jobs_status_hash(PG_FUNCTION_ARGS)
{
	return hash_uint32(ARG_STATUS(0));
}

Datum
jobs_status_hash_extended(PG_FUNCTION_ARGS)
{
	return hash_uint32_extended(ARG_STATUS(0), PG_GETARG_INT64(1));
}

Datum
jobs_is_terminal(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(jobs_status_terminal(ARG_STATUS(0)));
}

Datum
jobs_can_transition_sql(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	PG_RETURN_BOOL(jobs_can_transition(PG_ARGISNULL(0) ? JOBS_NO_STATUS : (int) ARG_STATUS(0),
									   ARG_STATUS(1)));
}

Datum
jobs_next_statuses(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			next = next_set(PG_ARGISNULL(0) ? JOBS_NO_STATUS : (int) ARG_STATUS(0));

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int s = 0; s < JOBS_STATUS_COUNT; s++)
	{
		Datum		value = JobsStatusGetDatum(s);
		bool		isnull = false;

		if (next & (1 << s))
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}
