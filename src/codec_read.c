/*-------------------------------------------------------------------------
 *
 * codec_read.c
 *		The reading half of the codec: from jsonb to composite values.
 *
 * The descriptors of codec_types.c say what must be there. All of a document is
 * looked at before the one error that lists everything wrong with it. Nothing
 * is coerced, keys that no descriptor names are ignored. Numbers are judged by
 * what jsonb holds: 1e3 is the integer 1000, 1.0 has a fraction and is none. A
 * JSON null in a jsonb field is NULL.
 *
 *-------------------------------------------------------------------------
 */
#include "codec.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(jobs_from_json);
PG_FUNCTION_INFO_V1(jobs_from_dict);
PG_FUNCTION_INFO_V1(jobs_validate_any_of);

typedef struct Reader
{
	JobsProblems *problems;
	int			depth;			/* of objects around the current place */
} Reader;

static Datum read_value(Reader *reader, const JobsPath *path, const JobsField *field,
						JsonbValue *value, Oid typid);
static Datum read_object(Reader *reader, const JobsPath *path, const JobsType *type,
						 JsonbValue *value, Oid typid);

static bool
is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

static bool
is_array(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data);
}

/* A value of the wrong JSON type. */
static Datum
refuse(Reader *reader, const JobsPath *path, const char *wanted, const JsonbValue *value)
{
	const char *found = "null";

	if (value->type == jbvString)
		found = "a string";
	else if (value->type == jbvNumeric)
		found = "a number";
	else if (value->type == jbvBool)
		found = "a boolean";
	else if (is_array(value))
		found = "an array";
	else if (is_object(value))
		found = "an object";
	jobs_problem(reader->problems, path, "must be %s, not %s", wanted, found);
	return (Datum) 0;
}

static const char *
digits_of(const JsonbValue *value)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out,
											   NumericGetDatum(value->val.numeric)));
}

static Datum
read_uuid(Reader *reader, const JobsPath *path, const JsonbValue *value)
{
	pg_uuid_t  *id;

	if (value->type != jbvString)
		return refuse(reader, path, "a UUID", value);
	id = palloc(sizeof(pg_uuid_t));
	if (!jobs_uuid_parse(value->val.string.val, value->val.string.len, id->data))
		jobs_problem(reader->problems, path,
					 "must be a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
	return UUIDPGetDatum(id);
}

static Datum
read_time(Reader *reader, const JobsPath *path, const JsonbValue *value)
{
	int64_t		time = 0;
	bool		valid;

	if (value->type == jbvString)
		valid = jobs_time_parse(value->val.string.val, value->val.string.len, &time);
	else if (value->type == jbvNumeric)
	{
		const char *digits = digits_of(value);

		valid = jobs_time_from_seconds(digits, strlen(digits), &time);
	}
	else
		return refuse(reader, path, "a time", value);
	if (!valid)
		jobs_problem(reader->problems, path,
					 "must be an ISO 8601 date and time or Unix seconds, in the years 1 to 9999");
	return TimestampTzGetDatum(time);
}

static Datum
read_integer(Reader *reader, const JobsPath *path, const JsonbValue *value, int bits)
{
	int64_t		number = 0;
	const char *digits;

	if (value->type != jbvNumeric)
		return refuse(reader, path, "an integer", value);
	digits = digits_of(value);
	if (!jobs_integer_parse(digits, strlen(digits), &number) ||
		(bits == 32 && number != (int32) number))
		jobs_problem(reader->problems, path, "must be an integer of %d bits", bits);
	return bits == 32 ? Int32GetDatum((int32) number) : Int64GetDatum(number);
}

static void
refuse_label(Reader *reader, const JobsPath *path, const char *const *labels)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; labels[i] != NULL; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", labels[i]);
	jobs_problem(reader->problems, path, "must be one of %s", list.data);
}

static Datum
read_text(Reader *reader, const JobsPath *path, const JobsField *field,
		  const JsonbValue *value)
{
	const char *chars = value->val.string.val;

	if (value->type != jbvString)
		return refuse(reader, path, "a string", value);
	if (field->labels != NULL &&
		jobs_label_find(field->labels, chars, value->val.string.len, false) < 0)
		refuse_label(reader, path, field->labels);
	return PointerGetDatum(cstring_to_text_with_len(chars, value->val.string.len));
}

static Datum
read_status(Reader *reader, const JobsPath *path, const JsonbValue *value)
{
	const char *labels[JOBS_STATUS_COUNT + 1] = {NULL};
	int			found;

	if (value->type != jbvString)
		return refuse(reader, path, "a status name", value);
	for (int i = 0; i < JOBS_STATUS_COUNT; i++)
		labels[i] = jobs_status_json(i);
	found = jobs_label_find(labels, value->val.string.val, value->val.string.len, true);
	if (found < 0)
		refuse_label(reader, path, labels);
	return JobsStatusGetDatum(found);
}

static Datum
read_archive(Reader *reader, const JobsPath *path, const JsonbValue *value, Oid typid)
{
	int			found;

	if (value->type != jbvString)
		return refuse(reader, path, "an archive status name", value);
	found = jobs_label_find(jobs_archive_labels, value->val.string.val,
							value->val.string.len, true);
	if (found < 0)
		refuse_label(reader, path, jobs_archive_labels);
	else if (OidIsValid(typid))
		return DirectFunctionCall2(enum_in,
								   CStringGetDatum(jobs_archive_labels[found]),
								   ObjectIdGetDatum(typid));
	return (Datum) 0;
}

/*
 * Each element of an array, into values unless that is NULL. The number of
 * elements is what the container says.
 */
static void
read_elements(Reader *reader, const JobsPath *path, const JobsField *field,
			  JsonbValue *value, Oid typid, Datum *values)
{
	JobsPath	place = {path, NULL, 0};
	JsonbIterator *walk = JsonbIteratorInit(value->val.binary.data);
	JsonbValue	element;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&walk, &element, true)) != WJB_DONE)
	{
		Datum		result;

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM)
			continue;
		result = read_value(reader, &place, field, &element, typid);
		if (values != NULL)
			values[place.index] = result;
		place.index++;
	}
}

static Datum
read_list(Reader *reader, const JobsPath *path, const JobsField *field,
		  JsonbValue *value, Oid typid)
{
	Oid			element = OidIsValid(typid) ? get_element_type(typid) : InvalidOid;
	Datum	   *values = NULL;
	int			count;
	int16		length;
	bool		by_value;
	char		align;

	if (!is_array(value))
		return refuse(reader, path, "an array", value);
	count = JsonContainerSize(value->val.binary.data);
	if (OidIsValid(element))
		values = palloc_extended(Max(count, 1) * sizeof(Datum), MCXT_ALLOC_HUGE);
	read_elements(reader, path, field, value, element, values);
	if (values == NULL || reader->problems->count > 0)
		return (Datum) 0;
	get_typlenbyvalalign(element, &length, &by_value, &align);
	return PointerGetDatum(construct_array(values, count, element, length, by_value, align));
}

/* Kept as it is. With a type, an array whose elements are valid objects of it. */
static Datum
read_jsonb(Reader *reader, const JobsPath *path, const JobsField *field, JsonbValue *value)
{
	if (field->type != NULL)
	{
		JobsField	inner = *field;

		if (!is_array(value))
			return refuse(reader, path, "an array", value);
		inner.kind = JOBS_KIND_OBJECT;
		read_elements(reader, path, &inner, value, InvalidOid, NULL);
	}
	if (reader->problems->count > 0)
		return (Datum) 0;
	return JsonbPGetDatum(JsonbValueToJsonb(value));
}

/*
 * One value that is there; of a list, one element. The result is of no use once
 * there is a problem. Without a type nothing is built, only judged.
 */
static Datum
read_value(Reader *reader, const JobsPath *path, const JobsField *field,
		   JsonbValue *value, Oid typid)
{
	switch (field->kind)
	{
		case JOBS_KIND_UUID:
			return read_uuid(reader, path, value);
		case JOBS_KIND_TIME:
			return read_time(reader, path, value);
		case JOBS_KIND_TEXT:
			return read_text(reader, path, field, value);
		case JOBS_KIND_INT:
			return read_integer(reader, path, value, 32);
		case JOBS_KIND_BIGINT:
			return read_integer(reader, path, value, 64);
		case JOBS_KIND_STATUS:
			return read_status(reader, path, value);
		case JOBS_KIND_ARCHIVE:
			return read_archive(reader, path, value, typid);
		case JOBS_KIND_JSONB:
			return read_jsonb(reader, path, field, value);
		case JOBS_KIND_OBJECT:
			return read_object(reader, path, field->type, value, typid);
	}
	return (Datum) 0;
}

/* One field of an object: its value, or what is wrong with its absence. */
static Datum
read_field(Reader *reader, const JobsPath *path, const JobsField *field,
		   JsonbContainer *object, Oid typid, bool *isnull)
{
	JobsPath	place = {path, field->name, 0};
	JsonbValue	buffer;
	JsonbValue *value = getKeyJsonValueFromContainer(object, field->name,
													 strlen(field->name), &buffer);

	*isnull = value == NULL || value->type == jbvNull;
	if (!*isnull)
		return field->list ? read_list(reader, &place, field, value, typid) :
			read_value(reader, &place, field, value, typid);
	if (field->presence == JOBS_REQUIRED)
		jobs_problem(reader->problems, &place, value == NULL ?
					 "required key is missing" : "must not be null");
	return (Datum) 0;
}

static Datum
make_row(TupleDesc row, Datum *values, bool *nulls)
{
	return HeapTupleGetDatum(heap_form_tuple(row, values, nulls));
}

static Datum
read_object(Reader *reader, const JobsPath *path, const JobsType *type,
			JsonbValue *value, Oid typid)
{
	TupleDesc	row = NULL;
	Datum	   *values = palloc(type->nfields * sizeof(Datum));
	bool	   *nulls = palloc(type->nfields * sizeof(bool));
	Datum		result = (Datum) 0;

	if (!is_object(value))
		return refuse(reader, path, "an object", value);
	check_stack_depth();
	if (++reader->depth > jobs_json_max_depth)
		jobs_codec_too_deep();
	if (OidIsValid(typid))
		row = jobs_codec_row(type, typid);
	for (int i = 0; i < type->nfields; i++)
		values[i] = read_field(reader, path, &type->fields[i], value->val.binary.data,
							   row ? TupleDescAttr(row, i)->atttypid : InvalidOid,
							   &nulls[i]);
	if (row != NULL)
	{
		if (reader->problems->count == 0)
			result = make_row(row, values, nulls);
		ReleaseTupleDesc(row);
	}
	reader->depth--;
	return result;
}

/* The array of the names of all branches. */
static Datum
branch_names(const JobsType *type)
{
	Datum	   *names = palloc(type->nfields * sizeof(Datum));
	int			count = 0;

	for (int i = 0; i < type->nfields; i++)
		if (type->fields[i].kind == JOBS_KIND_OBJECT)
			names[count++] = CStringGetTextDatum(type->fields[i].type->title);
	return PointerGetDatum(construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* A value of a type with any_of, of which one branch has been read. */
static Datum
make_any_of(const JobsType *type, TupleDesc row, int branch, Datum actual)
{
	Datum	   *values = palloc0(type->nfields * sizeof(Datum));
	bool	   *nulls = palloc(type->nfields * sizeof(bool));

	for (int i = 0; i < type->nfields; i++)
	{
		nulls[i] = type->fields[i].kind == JOBS_KIND_OBJECT && i != branch;
		if (i == branch)
			values[i] = actual;
		else if (type->fields[i].kind == JOBS_KIND_JSONB)
			values[i] = jobs_composite_to_dict(actual);
		else if (type->fields[i].list)
			values[i] = branch_names(type);
	}
	return make_row(row, values, nulls);
}

/*
 * The first branch that the document is valid for. When it is for none, what is
 * wrong for each of them.
 */
static Datum
read_any_of(JobsProblems *problems, const JobsType *type, JsonbValue *value, Oid typid)
{
	TupleDesc	row = OidIsValid(typid) ? jobs_codec_row(type, typid) : NULL;
	JobsProblems all;
	Datum		result = (Datum) 0;
	bool		found = false;

	jobs_problems_init(&all, NULL);
	for (int i = 0; i < type->nfields && !found; i++)
	{
		const JobsField *field = &type->fields[i];
		JobsProblems mine;
		Reader		reader = {&mine, 0};
		Datum		actual;

		if (field->kind != JOBS_KIND_OBJECT)
			continue;
		jobs_problems_init(&mine, field->type->title);
		actual = read_object(&reader, NULL, field->type, value,
							 row ? TupleDescAttr(row, i)->atttypid : InvalidOid);
		found = mine.count == 0;
		if (!found)
			jobs_problems_add(&all, &mine);
		else if (row != NULL)
			result = make_any_of(type, row, i, actual);
	}
	if (!found)
		jobs_problems_add(problems, &all);
	if (row != NULL)
		ReleaseTupleDesc(row);
	return result;
}

/* The value of a document; an error lists all that is wrong with it. */
static Datum
read_document(const JobsType *type, Oid typid, Jsonb *json, JobsProblems *problems)
{
	JsonbValue	value;
	Reader		reader = {problems, 0};
	Datum		result;

	if (!JsonbExtractScalar(&json->root, &value))
		JsonbToJsonbValue(json, &value);
	if (type->any_of)
		result = read_any_of(problems, type, &value, typid);
	else
		result = read_object(&reader, NULL, type, &value, typid);
	jobs_problems_report(problems, type);
	return result;
}

/* The type to read, which is that of the first argument; its value is not used. */
static const JobsType *
prototype_type(FunctionCallInfo fcinfo, Oid *typid)
{
	const JobsType *type = NULL;

	*typid = get_fn_expr_argtype(fcinfo->flinfo, 0);
	if (OidIsValid(*typid))
		type = jobs_codec_type(*typid);
	if (type == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("type %s has no JSON form", format_type_be(*typid)),
				 errhint("The first argument is NULL of one of the composite types of schema jobs, as in NULL::jobs.job.")));
	return type;
}

Datum
jobs_from_json(PG_FUNCTION_ARGS)
{
	Oid			typid;
	const JobsType *type = prototype_type(fcinfo, &typid);
	MemoryContext outer;
	JobsProblems problems;
	Jsonb	   *json;

	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	outer = jobs_codec_enter();
	jobs_problems_init(&problems, NULL);
	json = jobs_text_to_jsonb(PG_GETARG_TEXT_PP(1), &problems);
	PG_RETURN_DATUM(jobs_codec_leave(outer, read_document(type, typid, json, &problems)));
}

Datum
jobs_from_dict(PG_FUNCTION_ARGS)
{
	Oid			typid;
	const JobsType *type = prototype_type(fcinfo, &typid);
	MemoryContext outer;
	JobsProblems problems;

	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	outer = jobs_codec_enter();
	jobs_problems_init(&problems, NULL);
	PG_RETURN_DATUM(jobs_codec_leave(outer, read_document(type, typid, PG_GETARG_JSONB_P(1),
														  &problems)));
}

/* Whether a document is one of the answers of get_job_for_agent. */
Datum
jobs_validate_any_of(PG_FUNCTION_ARGS)
{
	const JobsType *type = jobs_type_find("response_get_job_for_agent");
	MemoryContext outer = jobs_codec_enter();
	JobsProblems problems;

	jobs_problems_init(&problems, NULL);
	read_document(type, InvalidOid, PG_GETARG_JSONB_P(0), &problems);
	jobs_codec_leave(outer, (Datum) 0);
	PG_RETURN_BOOL(true);
}
