/*-------------------------------------------------------------------------
 *
 * content.c
 *		Models, revisions and their bytes.
 *
 * The bytes of a revision lie in chunks of CHUNK bytes, stored as they are, so
 * that a ranged read fetches only the pages it needs. Revision 1 of a job is
 * its parameters and has no row and no chunk of its own.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(jobs_add_model);
PG_FUNCTION_INFO_V1(jobs_update_job);
PG_FUNCTION_INFO_V1(jobs_read_bytes);
PG_FUNCTION_INFO_V1(jobs_read_text);
PG_FUNCTION_INFO_V1(jobs_read_json);

#define CHUNK (1024 * 1024)

/* In this order in add_model's and update_job's arguments, after name. */
typedef struct Properties
{
	text	   *name;
	text	   *mime;
	text	   *description;
	text	   *display_name;
	text	   *version_name;
	text	   *external_identifier;
} Properties;

static JobsStatement add_model = {
	.sql = "INSERT INTO jobs_store.model (tenant, id, created, created_by_id) VALUES ($1, $2, $3, $4)",
	.types = "iuzu",
	.expected = SPI_OK_INSERT
};

static JobsStatement add_revision = {
	.sql = "INSERT INTO jobs_store.file_revision (tenant, resource_id, resource_type, id, created, created_by_id,"
	" size, sha, revision, name, mime, description, display_name, version_name, external_identifier)"
	" SELECT $1, $2, $3, $4, $5, $6, $7, $8, coalesce(p.revision, 0) + 1, coalesce($9, p.name), coalesce($10, p.mime),"
	" coalesce($11, p.description), coalesce($12, p.display_name), coalesce($13, p.version_name),"
	" coalesce($14, p.external_identifier)"
	" FROM (VALUES (1)) one LEFT JOIN LATERAL (SELECT * FROM jobs_store.revision r"
	" WHERE r.tenant = $1 AND r.resource_id = $2 ORDER BY r.revision DESC LIMIT 1) p ON true",
	.types = "iutuzulttttttt",
	.expected = SPI_OK_INSERT
};

static JobsStatement add_chunk = {
	.sql = "INSERT INTO jobs_store.content (tenant, revision_id, chunk, bytes) VALUES ($1, $2, $3, $4)",
	.types = "iuiy",
	.expected = SPI_OK_INSERT
};

/* Two new revisions of one file come one after the other. */
static JobsStatement lock_job = {
	.sql = "SELECT 1 FROM jobs_store.job WHERE tenant = $1 AND id = $2 FOR NO KEY UPDATE",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement latest_revision = {
	.sql = "SELECT id, size FROM jobs_store.file_revision WHERE tenant = $1 AND resource_id = $2"
	" ORDER BY revision DESC LIMIT 1",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement job_parameters = {
	.sql = "SELECT convert_to(parameters::text, 'UTF8') FROM jobs_store.job WHERE tenant = $1 AND id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement read_chunk = {
	.sql = "SELECT substring(bytes, $4, $5) FROM jobs_store.content"
	" WHERE tenant = $1 AND revision_id = $2 AND chunk = $3",
	.types = "iuiii",
	.expected = SPI_OK_SELECT
};

/* The salt of a file is its id in hexadecimal digits; see view jobs_store.revision. */
static void
file_salt(const pg_uuid_t *resource_id, char salt[2 * UUID_LEN + 1])
{
	pg_uuid_t	file = *resource_id;

	file.data[UUID_LEN - 1] = (file.data[UUID_LEN - 1] & 0xF0) | 1;
	for (int i = 0; i < UUID_LEN; i++)
		sprintf(salt + 2 * i, "%02x", file.data[i]);
}

/* Hexadecimal SHA-384 of the content followed by the salt. */
static text *
content_sha(const pg_uuid_t *resource_id, const bytea *content)
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA384);
	uint8		digest[PG_SHA384_DIGEST_LENGTH];
	char		hex[PG_SHA384_DIGEST_LENGTH * 2 + 1];
	char		salt[2 * UUID_LEN + 1];

	file_salt(resource_id, salt);
	if (context == NULL || pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) VARDATA_ANY(content), VARSIZE_ANY_EXHDR(content)) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) salt, strlen(salt)) < 0 ||
		pg_cryptohash_final(context, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute SHA-384");
	pg_cryptohash_free(context);
	for (int i = 0; i < PG_SHA384_DIGEST_LENGTH; i++)
		sprintf(hex + 2 * i, "%02x", digest[i]);
	return cstring_to_text(hex);
}

static void
write_content(JobsCall *call, const pg_uuid_t *revision_id, const bytea *content)
{
	int64		size = VARSIZE_ANY_EXHDR(content);
	int32		chunk = 0;

	for (int64 offset = 0; offset < size; offset += CHUNK, chunk++)
	{
		int			length = Min(CHUNK, size - offset);
		bytea	   *piece = palloc(VARHDRSZ + length);

		CHECK_FOR_INTERRUPTS();
		SET_VARSIZE(piece, VARHDRSZ + length);
		memcpy(VARDATA(piece), VARDATA_ANY(content) + offset, length);
		jobs_run(&add_chunk, A_INT4(call->caller.tenant), A_PTR(revision_id), A_INT4(chunk), A_PTR(piece));
		pfree(piece);
	}
}

/* A new revision of a resource's file; what is NULL is as in the one before. */
static void
write_revision(JobsCall *call, const pg_uuid_t *resource_id, const char *resource_type,
			   const bytea *content, const Properties *p)
{
	pg_uuid_t	id = jobs_uuid_new();

	jobs_run(&add_revision, A_INT4(call->caller.tenant), A_PTR(resource_id),
			 A_PTR(cstring_to_text(resource_type)), A_PTR(&id), A_TIME(GetCurrentTimestamp()),
			 A_PTR(&call->caller.user_id), A_INT8(VARSIZE_ANY_EXHDR(content)),
			 A_PTR(content_sha(resource_id, content)), A_PTR(p->name), A_PTR(p->mime),
			 A_PTR(p->description), A_PTR(p->display_name), A_PTR(p->version_name),
			 A_PTR(p->external_identifier));
	write_content(call, &id, content);
}

/* mime and the properties after it stand from argno on in both functions. */
static void
read_properties(FunctionCallInfo fcinfo, int argno, Properties *p)
{
	p->mime = jobs_arg_text(fcinfo, argno, "mime", JOBS_MAX_SHORT_TEXT);
	p->description = jobs_arg_text(fcinfo, argno + 1, "description", JOBS_MAX_SHORT_TEXT);
	p->display_name = jobs_arg_text(fcinfo, argno + 2, "display_name", JOBS_MAX_SHORT_TEXT);
	p->version_name = jobs_arg_text(fcinfo, argno + 3, "version_name", JOBS_MAX_SHORT_TEXT);
	p->external_identifier = jobs_arg_text(fcinfo, argno + 4, "external_identifier", JOBS_MAX_SHORT_TEXT);
}

Datum
jobs_add_model(PG_FUNCTION_ARGS)
{
	Properties	p;
	JobsCall	call;
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));
	bytea	   *content;

	p.name = jobs_arg_name(fcinfo, 0, "name");
	jobs_arg_require(fcinfo, 1, "content");
	content = PG_GETARG_BYTEA_PP(1);
	read_properties(fcinfo, 2, &p);
	*id = jobs_uuid_new();
	jobs_enter(fcinfo, &call);
	jobs_run(&add_model, A_INT4(call.caller.tenant), A_PTR(id), A_TIME(GetCurrentTimestamp()),
			 A_PTR(&call.caller.user_id));
	write_revision(&call, id, "Model", content, &p);
	jobs_leave(&call);
	PG_RETURN_UUID_P(id);
}

Datum
jobs_update_job(PG_FUNCTION_ARGS)
{
	Properties	p;
	JobsCall	call;
	pg_uuid_t  *job_id;
	bytea	   *content;
	Datum		job;

	jobs_arg_require(fcinfo, 0, "job_id");
	jobs_arg_require(fcinfo, 1, "content");
	job_id = PG_GETARG_UUID_P(0);
	content = PG_GETARG_BYTEA_PP(1);
	p.name = PG_ARGISNULL(2) ? NULL : jobs_arg_name(fcinfo, 2, "name");
	read_properties(fcinfo, 3, &p);
	jobs_enter(fcinfo, &call);
	if (strcmp(jobs_access_require(&call, job_id, JOBS_EDITOR, "add a revision to"), "job") != 0)
		jobs_error_not_found("job", job_id);
	jobs_run(&lock_job, A_INT4(call.caller.tenant), A_PTR(job_id));
	write_revision(&call, job_id, "Job", content, &p);
	job = jobs_fetch_job(&call, job_id);
	jobs_leave(&call);
	return job;
}

/* An empty result of size bytes, where results go. */
static bytea *
make_bytes(JobsCall *call, int64 size)
{
	bytea	   *bytes;

	if (size > (int64) (MaxAllocSize - VARHDRSZ))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("content of %lld bytes is too large to be read at once", (long long) size),
				 errhint("Read it in parts with \"offset\" and length.")));
	bytes = MemoryContextAlloc(call->outer, VARHDRSZ + size);
	SET_VARSIZE(bytes, VARHDRSZ + size);
	return bytes;
}

/* What of [0, size) is asked for. */
static int64
clip(int64 size, int64 offset, int64 length)
{
	if (offset >= size)
		return 0;
	return length < 0 ? size - offset : Min(length, size - offset);
}

static bytea *
read_chunks(JobsCall *call, const pg_uuid_t *revision_id, int64 offset, int64 length)
{
	bytea	   *bytes = make_bytes(call, length);
	int64		done = 0;

	while (done < length)
	{
		int32		chunk = (offset + done) / CHUNK;
		int32		from = (offset + done) % CHUNK;
		int32		count = Min(length - done, CHUNK - from);
		JobsResult	piece;
		bytea	   *data;

		CHECK_FOR_INTERRUPTS();
		piece = jobs_run(&read_chunk, A_INT4(call->caller.tenant), A_PTR(revision_id), A_INT4(chunk),
						 A_INT4(from + 1), A_INT4(count));
		data = piece.count == 0 ? NULL : DatumGetByteaPP(jobs_column(&piece, 0, 1, NULL));
		if (data == NULL || (int32) VARSIZE_ANY_EXHDR(data) != count)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("content of revision %s is incomplete", jobs_uuid_text(revision_id))));
		memcpy(VARDATA(bytes) + done, VARDATA_ANY(data), count);
		SPI_freetuptable(piece.table);
		done += count;
	}
	return bytes;
}

/* length -1: to the end */
static bytea *
read_resource(JobsCall *call, const pg_uuid_t *resource_id, int64 offset, int64 length)
{
	JobsResult	revision;
	bytea	   *whole;
	bytea	   *bytes;

	jobs_access_require(call, resource_id, JOBS_VIEWER, "read");
	revision = jobs_run(&latest_revision, A_INT4(call->caller.tenant), A_PTR(resource_id));
	if (revision.count > 0)
	{
		int64		size = DatumGetInt64(jobs_column(&revision, 0, 2, NULL));

		return read_chunks(call, DatumGetUUIDP(jobs_column(&revision, 0, 1, NULL)), offset,
						   clip(size, offset, length));
	}
	revision = jobs_run(&job_parameters, A_INT4(call->caller.tenant), A_PTR(resource_id));
	if (revision.count == 0)
		jobs_error_not_found("content of", resource_id);
	whole = DatumGetByteaPP(jobs_column(&revision, 0, 1, NULL));
	length = clip(VARSIZE_ANY_EXHDR(whole), offset, length);
	bytes = make_bytes(call, length);
	if (length > 0)
		memcpy(VARDATA(bytes), VARDATA_ANY(whole) + offset, length);
	return bytes;
}

/* All bytes of the resource that argument 0 names. */
static bytea *
read_argument(FunctionCallInfo fcinfo)
{
	JobsCall	call;
	bytea	   *bytes;

	jobs_arg_require(fcinfo, 0, "job_id");
	jobs_enter(fcinfo, &call);
	bytes = read_resource(&call, PG_GETARG_UUID_P(0), 0, -1);
	jobs_leave(&call);
	return bytes;
}

static int64
arg_not_negative(FunctionCallInfo fcinfo, int argno, const char *name)
{
	int64		value = PG_GETARG_INT64(argno);

	if (value < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative: %lld", name, (long long) value)));
	return value;
}

Datum
jobs_read_bytes(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	bytea	   *bytes;
	int64		offset;
	int64		length;

	jobs_arg_require(fcinfo, 0, "job_id");
	jobs_arg_require(fcinfo, 1, "offset");
	offset = arg_not_negative(fcinfo, 1, "offset");
	length = PG_ARGISNULL(2) ? -1 : arg_not_negative(fcinfo, 2, "length");
	jobs_enter(fcinfo, &call);
	bytes = read_resource(&call, PG_GETARG_UUID_P(0), offset, length);
	jobs_leave(&call);
	PG_RETURN_BYTEA_P(bytes);
}

/* Bytes in an encoding as a string of the server; 22021 when they are none. */
static char *
decode_text(const bytea *bytes, int encoding)
{
	int			length = VARSIZE_ANY_EXHDR(bytes);
	char	   *copy = palloc(length + 1);

	memcpy(copy, VARDATA_ANY(bytes), length);
	copy[length] = '\0';
	if ((int) strlen(copy) != length)
		ereport(ERROR,
				(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				 errmsg("content has a zero byte at offset %zu and is no text", strlen(copy)),
				 errhint("Use jobs.read_bytes.")));
	return pg_any_to_server(copy, length, encoding);
}

Datum
jobs_read_text(PG_FUNCTION_ARGS)
{
	text	   *name;
	int			encoding;

	jobs_arg_require(fcinfo, 1, "encoding");
	name = PG_GETARG_TEXT_PP(1);
	encoding = pg_char_to_encoding(text_to_cstring(name));
	if (encoding < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown encoding: \"%s\"", text_to_cstring(name)),
				 errhint("Give a name that PostgreSQL knows, for instance utf-8, latin1 or win1252.")));
	PG_RETURN_TEXT_P(cstring_to_text(decode_text(read_argument(fcinfo), encoding)));
}

Datum
jobs_read_json(PG_FUNCTION_ARGS)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(decode_text(read_argument(fcinfo), PG_UTF8)));
}
