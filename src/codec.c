/*-------------------------------------------------------------------------
 *
 * codec.c
 *		JSON of the composite types: the writing half, and what both halves
 *		ask of the catalog. The only file with json-c, and so without
 *		utils/builtins.h: both declare a json_object.
 *
 * The descriptors of codec_types.c say what is written. A value becomes a tree
 * of json-c, the tree becomes text; to_dict hands that text to the server's
 * jsonb, so the three forms cannot differ. Texts stay in the database's
 * encoding: in each of them the bytes that JSON gives a meaning stand only for
 * themselves, and json-c leaves the others alone.
 *
 * Every call works in a memory context of its own, and the tree hangs on that
 * context: it goes with it, after an error too. Nothing is kept between calls,
 * so nothing can be stale after DROP EXTENSION.
 *
 *-------------------------------------------------------------------------
 */
#include "codec.h"

#include <json-c/json.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#define SCHEMA_NAME		"jobs"

#define COMPACT	(JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
#define INDENTED \
	(JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE)

PG_FUNCTION_INFO_V1(jobs_to_json);
PG_FUNCTION_INFO_V1(jobs_to_dict);
PG_FUNCTION_INFO_V1(jobs_to_str);

/* Ties a tree to a memory context. The document is the root's only element. */
typedef struct Tree
{
	MemoryContextCallback callback;
	json_object *root;
} Tree;

/* Where a value goes: under a key of an object, or at the end of an array. */
typedef struct Place
{
	json_object *into;
	const char *key;			/* NULL: array */
	bool		constant;		/* the key outlives the tree */
} Place;

static void write_value(Place place, const JobsField *field, Datum value,
						bool all_fields);

/* The descriptor of a type, NULL when it is none that the codec knows. */
const JobsType *
jobs_codec_type(Oid typid)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(typid));
	const JobsType *type = NULL;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	if (((Form_pg_type) GETSTRUCT(tuple))->typtype == TYPTYPE_COMPOSITE)
	{
		Form_pg_type form = (Form_pg_type) GETSTRUCT(tuple);
		char	   *schema = get_namespace_name(form->typnamespace);

		if (schema != NULL && strcmp(schema, SCHEMA_NAME) == 0)
			type = jobs_type_find(NameStr(form->typname));
	}
	ReleaseSysCache(tuple);
	return type;
}

/* SQL type of one value of a field: of the elements, if it is a list. */
Oid
jobs_codec_element(Oid typid, const JobsField *field)
{
	return field->list ? get_element_type(typid) : typid;
}

/* Whether values of an attribute are what the field's code takes them for. */
static bool
attribute_fits(Form_pg_attribute attribute, const JobsField *field)
{
	Oid			typid = jobs_codec_element(attribute->atttypid, field);

	if (attribute->attisdropped || strcmp(NameStr(attribute->attname), field->name) != 0)
		return false;
	switch (field->kind)
	{
		case JOBS_KIND_UUID:
			return typid == UUIDOID;
		case JOBS_KIND_TIME:
			return typid == TIMESTAMPTZOID;
		case JOBS_KIND_TEXT:
			return typid == TEXTOID;
		case JOBS_KIND_INT:
			return typid == INT4OID;
		case JOBS_KIND_BIGINT:
			return typid == INT8OID;
		case JOBS_KIND_STATUS:
			return attribute->attbyval && attribute->attlen == 1;
		case JOBS_KIND_ARCHIVE:
			return type_is_enum(typid);
		case JOBS_KIND_JSONB:
			return typid == JSONBOID;
		case JOBS_KIND_OBJECT:
			return type_is_rowtype(typid);
	}
	return false;
}

/*
 * The row of a type, checked against its descriptor: a library must not read
 * the rows of another version. To be released by the caller.
 */
TupleDesc
jobs_codec_row(const JobsType *type, Oid typid)
{
	TupleDesc	row = lookup_rowtype_tupdesc(typid, -1);
	bool		fits = row->natts == type->nfields;

	for (int i = 0; fits && i < type->nfields; i++)
		fits = attribute_fits(TupleDescAttr(row, i), &type->fields[i]);
	if (!fits)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("type %s.%s does not have the fields that this library knows",
						SCHEMA_NAME, type->name),
				 errhint("Run ALTER EXTENSION jobs UPDATE, or install the library of the extension's version.")));
	return row;
}

/*
 * A context for one call, made current; answers the one that was. To be left by
 * jobs_codec_leave; after an error it goes with its parent.
 */
MemoryContext
jobs_codec_enter(void)
{
	return MemoryContextSwitchTo(AllocSetContextCreate(CurrentMemoryContext,
													   "jobs codec",
													   ALLOCSET_DEFAULT_SIZES));
}

/* Copies a varlena result out, NULL for none, and frees all else. */
Datum
jobs_codec_leave(MemoryContext outer, Datum result)
{
	MemoryContext mine = MemoryContextSwitchTo(outer);
	void	   *copy = NULL;

	if (DatumGetPointer(result) != NULL)
	{
		copy = palloc(VARSIZE_ANY(DatumGetPointer(result)));
		memcpy(copy, DatumGetPointer(result), VARSIZE_ANY(DatumGetPointer(result)));
	}
	MemoryContextDelete(mine);
	return PointerGetDatum(copy);
}

void
jobs_codec_too_deep(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("JSON document is nested too deep"),
			 errdetail("The limit is %d levels.", jobs_json_max_depth),
			 errhint("The limit is the setting jobs.json_max_depth.")));
}

static void
out_of_memory(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of memory"),
			 errdetail("A JSON document could not be built.")));
}

static void
free_tree(void *arg)
{
	Tree	   *tree = arg;

	json_object_put(tree->root);
	tree->root = NULL;
}

/* An empty tree that lives as long as the current context. */
static json_object *
new_tree(void)
{
	Tree	   *tree = palloc0(sizeof(Tree));

	tree->callback.func = free_tree;
	tree->callback.arg = tree;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &tree->callback);
	tree->root = json_object_new_array();
	if (tree->root == NULL)
		out_of_memory();
	return tree->root;
}

/*
 * Puts a new node, which may be NULL for null, where it belongs. A node is put
 * there before it is filled: from then on the tree owns it.
 */
static json_object *
put(Place place, json_object *node)
{
	unsigned	flags = JSON_C_OBJECT_ADD_KEY_IS_NEW;
	int			failed;

	if (place.constant)
		flags |= JSON_C_OBJECT_KEY_IS_CONSTANT;
	if (place.key == NULL)
		failed = json_object_array_add(place.into, node);
	else
		failed = json_object_object_add_ex(place.into, place.key, node, flags);
	if (failed)
	{
		json_object_put(node);
		out_of_memory();
	}
	return node;
}

static void
put_null(Place place)
{
	put(place, NULL);
}

static json_object *
put_node(Place place, json_object *node)
{
	if (node == NULL)
		out_of_memory();
	return put(place, node);
}

static void
put_string(Place place, const char *chars, int length)
{
	put_node(place, json_object_new_string_len(chars, length));
}

/* Keeps all digits, which a double would not. */
static void
put_numeric(Place place, Numeric value)
{
	char	   *digits = DatumGetCString(OidFunctionCall1(F_NUMERIC_OUT,
														  NumericGetDatum(value)));

	put_node(place, json_object_new_double_s(0, digits));
}

static void
put_time(Place place, TimestampTz time)
{
	char		chars[JOBS_TIME_SIZE];

	if (!jobs_time_format(time, chars))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time cannot be written as JSON: it is infinite or not in the years 1 to 9999"),
				 errdetail("The field is %s.", place.key)));
	put_string(place, chars, strlen(chars));
}

static void
put_jsonb_scalar(Place place, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			put_null(place);
			break;
		case jbvString:
			put_string(place, value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			put_numeric(place, value->val.numeric);
			break;
		case jbvBool:
			put_node(place, json_object_new_boolean(value->val.boolean));
			break;
		default:
			elog(ERROR, "unexpected type of jsonb value: %d", (int) value->type);
	}
}

/*
 * A whole jsonb. Its depth is limited as on reading, so that what is written
 * can be read; and json-c writes and frees by recursion.
 */
static void
put_jsonb(Place place, Jsonb *value)
{
	JsonbIterator *walk = JsonbIteratorInit(&value->root);
	JsonbIteratorToken token;
	JsonbValue	part;
	Place	   *open = palloc(sizeof(Place) * (jobs_json_max_depth + 1));
	int			depth = 0;

	open[0] = place;
	while ((token = JsonbIteratorNext(&walk, &part, false)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		switch (token)
		{
			case WJB_BEGIN_ARRAY:
				if (part.val.array.rawScalar)
					break;
				/* FALLTHROUGH */
			case WJB_BEGIN_OBJECT:
				if (depth == jobs_json_max_depth)
					jobs_codec_too_deep();
				open[depth + 1].into =
					put_node(open[depth], token == WJB_BEGIN_OBJECT ?
							 json_object_new_object() : json_object_new_array());
				open[++depth].key = NULL;
				open[depth].constant = false;
				break;
			case WJB_KEY:
				open[depth].key = pnstrdup(part.val.string.val, part.val.string.len);
				break;
			case WJB_VALUE:
			case WJB_ELEM:
				put_jsonb_scalar(open[depth], &part);
				break;
			case WJB_END_ARRAY:
			case WJB_END_OBJECT:
				if (depth > 0)
					depth--;
				break;
			case WJB_DONE:
				break;
		}
	}
	pfree(open);
}

/* A list is flat: SQL arrays of more dimensions have no place in the model. */
static void
put_list(Place place, const JobsField *field, Datum value, bool all_fields)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Oid			typid = ARR_ELEMTYPE(array);
	Place		element = {NULL, NULL, false};
	Datum	   *values;
	bool	   *nulls;
	int			count;
	int16		length;
	bool		by_value;
	char		align;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("array %s must have one dimension", field->name)));
	element.into = put_node(place, json_object_new_array());
	get_typlenbyvalalign(typid, &length, &by_value, &align);
	deconstruct_array(array, typid, length, by_value, align, &values, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (nulls[i])
			put_null(element);
		else
			write_value(element, field, values[i], all_fields);
	}
}

/* The value a type with any_of stands for: the JSON of the matching branch. */
static void
put_actual(Place place, const JobsType *type, const Datum *values, const bool *nulls)
{
	for (int i = 0; i < type->nfields; i++)
		if (type->fields[i].kind == JOBS_KIND_JSONB)
		{
			if (nulls[i])
				put_null(place);
			else
				put_jsonb(place, DatumGetJsonbP(values[i]));
		}
}

static void
put_fields(Place place, const JobsType *type, const Datum *values, const bool *nulls,
		   bool all_fields)
{
	Place		inner = {put_node(place, json_object_new_object()), NULL, true};

	for (int i = 0; i < type->nfields; i++)
	{
		const JobsField *field = &type->fields[i];

		inner.key = field->name;
		if (nulls[i])
		{
			if (all_fields || field->presence == JOBS_NULLABLE)
				put_null(inner);
		}
		else if (field->list)
			put_list(inner, field, values[i], all_fields);
		else
			write_value(inner, field, values[i], all_fields);
	}
}

static void
write_composite(Place place, const JobsType *type, Datum value, bool all_fields)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	TupleDesc	row = jobs_codec_row(type, HeapTupleHeaderGetTypeId(header));
	Datum	   *values = palloc(sizeof(Datum) * row->natts);
	bool	   *nulls = palloc(sizeof(bool) * row->natts);
	HeapTupleData tuple = {0};

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	tuple.t_data = header;
	heap_deform_tuple(&tuple, row, values, nulls);
	if (type->any_of && !all_fields)
		put_actual(place, type, values, nulls);
	else
		put_fields(place, type, values, nulls, all_fields);
	ReleaseTupleDesc(row);
}

/* One value that is not null; of a list, one element. */
static void
write_value(Place place, const JobsField *field, Datum value, bool all_fields)
{
	const char *label;
	text	   *string;

	switch (field->kind)
	{
		case JOBS_KIND_UUID:
			label = jobs_uuid_text(DatumGetUUIDP(value));
			put_string(place, label, strlen(label));
			break;
		case JOBS_KIND_TIME:
			put_time(place, DatumGetTimestampTz(value));
			break;
		case JOBS_KIND_TEXT:
			string = DatumGetTextPP(value);
			put_string(place, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
			break;
		case JOBS_KIND_INT:
			put_node(place, json_object_new_int64(DatumGetInt32(value)));
			break;
		case JOBS_KIND_BIGINT:
			put_node(place, json_object_new_int64(DatumGetInt64(value)));
			break;
		case JOBS_KIND_STATUS:
			label = jobs_status_json(DatumGetJobsStatus(value));
			put_string(place, label, strlen(label));
			break;
		case JOBS_KIND_ARCHIVE:
			label = DatumGetCString(OidFunctionCall1(F_ENUM_OUT, value));
			put_string(place, label, strlen(label));
			break;
		case JOBS_KIND_JSONB:
			put_jsonb(place, DatumGetJsonbP(value));
			break;
		case JOBS_KIND_OBJECT:
			write_composite(place, field->type, value, all_fields);
			break;
	}
}

/*
 * The JSON of a composite value of any type that the codec knows, in the
 * current context. The text belongs to a tree of that context.
 */
static const char *
composite_to_text(Datum composite, bool all_fields, int format, size_t *length)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(composite);
	Oid			typid = HeapTupleHeaderGetTypeId(header);
	const JobsType *type = jobs_codec_type(typid);
	Place		place = {NULL, NULL, false};
	const char *written;

	if (type == NULL)
		elog(ERROR, "no JSON form for type %u", typid);
	place.into = new_tree();
	write_composite(place, type, PointerGetDatum(header), all_fields);
	written = json_object_to_json_string_length(json_object_array_get_idx(place.into, 0),
												format, length);
	if (written == NULL)
		out_of_memory();
	return written;
}

/* cstring_to_text_with_len, which is declared beside json_object. */
static text *
make_text(const char *chars, size_t length)
{
	text	   *result;

	if (length > MaxAllocSize - VARHDRSZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("JSON document is too long for a text")));
	result = palloc(length + VARHDRSZ);
	SET_VARSIZE(result, length + VARHDRSZ);
	memcpy(VARDATA(result), chars, length);
	return result;
}

static Datum
write_text(Datum composite, bool all_fields, int format)
{
	MemoryContext outer = jobs_codec_enter();
	size_t		length;
	const char *written = composite_to_text(composite, all_fields, format, &length);

	return jobs_codec_leave(outer, PointerGetDatum(make_text(written, length)));
}

Datum
jobs_to_json(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(write_text(PG_GETARG_DATUM(0), false, COMPACT));
}

Datum
jobs_to_str(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(write_text(PG_GETARG_DATUM(0), true, INDENTED));
}

/* The jsonb of a composite value, which carries its type. */
Datum
jobs_composite_to_dict(Datum composite)
{
	MemoryContext outer = jobs_codec_enter();
	size_t		length;
	const char *written = composite_to_text(composite, false, COMPACT, &length);

	return jobs_codec_leave(outer, OidInputFunctionCall(F_JSONB_IN, unconstify(char *, written),
														JSONBOID, -1));
}

Datum
jobs_to_dict(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(jobs_composite_to_dict(PG_GETARG_DATUM(0)));
}
