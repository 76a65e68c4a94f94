/*-------------------------------------------------------------------------
 *
 * args.c
 *		Reading and checking the arguments of SQL-callable functions, so that
 *		every function refuses the same mistakes in the same words.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

void
jobs_arg_require(FunctionCallInfo fcinfo, int argno, const char *name)
{
	if (PG_ARGISNULL(argno))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
}

/* Nothing happens for a NULL value or max_chars 0. */
void
jobs_check_text(text *value, const char *name, int max_chars)
{
	int			chars;

	if (value == NULL || max_chars == 0)
		return;
	chars = pg_mbstrlen_with_len(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	if (chars > max_chars)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("%s is too long: %d characters", name, chars),
				 errhint("At most %d characters are allowed.", max_chars)));
}

/* NULL for a null argument; max_chars 0 sets no limit. */
text *
jobs_arg_text(FunctionCallInfo fcinfo, int argno, const char *name, int max_chars)
{
	text	   *value = PG_ARGISNULL(argno) ? NULL : PG_GETARG_TEXT_PP(argno);

	jobs_check_text(value, name, max_chars);
	return value;
}

/* A required text that must say something. */
text *
jobs_arg_name(FunctionCallInfo fcinfo, int argno, const char *name)
{
	text	   *value;
	const char *chars;
	int			length;

	jobs_arg_require(fcinfo, argno, name);
	value = jobs_arg_text(fcinfo, argno, name, JOBS_MAX_SHORT_TEXT);
	chars = VARDATA_ANY(value);
	length = VARSIZE_ANY_EXHDR(value);
	while (length > 0 && chars[length - 1] == ' ')
		length--;
	if (length == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", name)));
	return value;
}

pg_uuid_t *
jobs_arg_uuid(FunctionCallInfo fcinfo, int argno)
{
	return PG_ARGISNULL(argno) ? NULL : PG_GETARG_UUID_P(argno);
}

int32
jobs_arg_range(FunctionCallInfo fcinfo, int argno, const char *name, int32 low, int32 high)
{
	int32		value;

	jobs_arg_require(fcinfo, argno, name);
	value = PG_GETARG_INT32(argno);
	if (value < low || value > high)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is out of range: %d", name, value),
				 errhint("It must be between %d and %d.", low, high)));
	return value;
}

/* A time span that something may last: more than none, at most 366 days; in milliseconds. */
int64
jobs_check_span(const Interval *span, const char *name)
{
	int64		days = (int64) span->month * DAYS_PER_MONTH + span->day + span->time / USECS_PER_DAY;

	if (span->month < 0 || span->day < 0 || span->time < 0 ||
		(span->month == 0 && span->day == 0 && span->time == 0) ||
		days > 366 || (days == 366 && span->time % USECS_PER_DAY != 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is out of range: %s", name,
						DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(span)))),
				 errhint("It must be longer than 0 and at most 366 days, for instance '60 s'.")));
	return Max(1, days * (USECS_PER_DAY / 1000) + span->time % USECS_PER_DAY / 1000);
}

int64
jobs_arg_lease(FunctionCallInfo fcinfo, int argno, const char *name)
{
	jobs_arg_require(fcinfo, argno, name);
	return jobs_check_span(PG_GETARG_INTERVAL_P(argno), name);
}

/* NULL, or one of a list of words, which NULL ends. */
void
jobs_check_choice(text *value, const char *name, const char *const *choices)
{
	StringInfoData list;

	if (value == NULL)
		return;
	initStringInfo(&list);
	for (int i = 0; choices[i] != NULL; i++)
	{
		if (strcmp(text_to_cstring(value), choices[i]) == 0)
			return;
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", choices[i]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid %s: \"%s\"", name, text_to_cstring(value)),
			 errhint("It can be: %s.", list.data)));
}

/* One-dimensional, at most max_items, none of them null. */
void
jobs_check_array(ArrayType *array, const char *name, int max_items)
{
	int			items = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have one dimension", name)));
	if (items > max_items)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s has too many items: %d", name, items),
				 errhint("At most %d are allowed in one call.", max_items)));
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not contain nulls", name)));
}
