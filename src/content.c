/*-------------------------------------------------------------------------
 *
 * content.c
 *		Models, revisions, their properties and their bytes.
 *
 * The bytes of a revision lie in rows of JOBS_CHUNK bytes, stored as they are,
 * so that a ranged read fetches only the pages it needs. Revision 1 of a job is
 * its parameters and has no row and no chunk of its own.
 *
 * Who adds a revision or changes properties locks the row of the job, model or
 * artifact first, so that changes of one file come one after the other.
 *
 *-------------------------------------------------------------------------
 */
#include "content.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

PG_FUNCTION_INFO_V1(jobs_add_model);
PG_FUNCTION_INFO_V1(jobs_update_job);
PG_FUNCTION_INFO_V1(jobs_update_model);
PG_FUNCTION_INFO_V1(jobs_update_artifact);
PG_FUNCTION_INFO_V1(jobs_update_properties);
PG_FUNCTION_INFO_V1(jobs_update_description);
PG_FUNCTION_INFO_V1(jobs_update_display_name);
PG_FUNCTION_INFO_V1(jobs_update_external_identifier);
PG_FUNCTION_INFO_V1(jobs_update_version_name);
PG_FUNCTION_INFO_V1(jobs_read_bytes);
PG_FUNCTION_INFO_V1(jobs_read_text);
PG_FUNCTION_INFO_V1(jobs_read_json);
PG_FUNCTION_INFO_V1(jobs_copy_to);

/* What has a file. */
typedef struct Resource
{
	const char *kind;
	const char *type;
	const char *argument;		/* that names one */
	JobsStatement lock;
} Resource;

/* What there is to read of a resource. */
typedef struct Content
{
	int64		size;
	bytea	   *parameters;		/* of a job without another revision, else NULL */
	JobsRevision revision;
} Content;

/* Properties that can be changed, in the order of update_properties. */
enum
{
	DESCRIPTION, DISPLAY_NAME, EXTERNAL_IDENTIFIER, VERSION_NAME, PROPERTIES
};

static const char *const property_names[PROPERTIES] = {
	"description", "display_name", "external_identifier", "version_name"
};

static Resource job_resource = {
	.kind = "job",
	.type = "Job",
	.argument = "job_id",
	.lock = {
		.sql = "SELECT 1 FROM jobs_store.job WHERE tenant = $1 AND id = $2 FOR NO KEY UPDATE",
		.types = "iu",
		.expected = SPI_OK_SELECT
	}
};

static Resource model_resource = {
	.kind = "model",
	.type = "Model",
	.argument = "model_id",
	.lock = {
		.sql = "SELECT 1 FROM jobs_store.model WHERE tenant = $1 AND id = $2 FOR NO KEY UPDATE",
		.types = "iu",
		.expected = SPI_OK_SELECT
	}
};

static Resource artifact_resource = {
	.kind = "artifact",
	.type = "Artifact",
	.argument = "artifact_id",
	.lock = {
		.sql = "SELECT 1 FROM jobs_store.artifact WHERE tenant = $1 AND id = $2 FOR NO KEY UPDATE",
		.types = "iu",
		.expected = SPI_OK_SELECT
	}
};

static Resource *const resources[] = {&job_resource, &model_resource, &artifact_resource};

/* What the server does not take for a mistake of the caller's, but is one here. */
static int
file_errcode(void)
{
	return errno == ENAMETOOLONG || errno == ELOOP ?
		errcode(ERRCODE_INVALID_PARAMETER_VALUE) : errcode_for_file_access();
}

static JobsStatement add_model = {
	.sql = "INSERT INTO jobs_store.model (tenant, id, created, created_by_id) VALUES ($1, $2, $3, $4)",
	.types = "iuzu",
	.expected = SPI_OK_INSERT
};

/*
 * The lock leaves one case in which the revision may be there: it was added
 * after the snapshot of a REPEATABLE READ transaction, and then ON CONFLICT
 * says 40001.
 */
static JobsStatement add_revision = {
	.sql = "INSERT INTO jobs_store.file_revision (tenant, resource_id, resource_type, id, created, created_by_id,"
	" size, sha, revision, name, mime, description, display_name, version_name, external_identifier)"
	" SELECT $1, $2, $3, $4, $5, $6, $7, $8, coalesce(p.revision, 0) + 1, coalesce($9, p.name), coalesce($10, p.mime),"
	" coalesce($11, p.description), coalesce($12, p.display_name), coalesce($13, p.version_name),"
	" coalesce($14, p.external_identifier)"
	" FROM (VALUES (1)) one LEFT JOIN LATERAL (SELECT * FROM jobs_store.revision r"
	" WHERE r.tenant = $1 AND r.resource_id = $2 ORDER BY r.revision DESC LIMIT 1) p ON true"
	" ON CONFLICT (tenant, resource_id, revision) DO NOTHING",
	.types = "iutuzulttttttt",
	.expected = SPI_OK_INSERT
};

static JobsStatement add_chunk = {
	.sql = "INSERT INTO jobs_store.content (tenant, revision_id, chunk, bytes) VALUES ($1, $2, $3, $4)",
	.types = "iuiy",
	.expected = SPI_OK_INSERT
};

static JobsStatement latest_revision = {
	.sql = "SELECT id, size, sha, revision FROM jobs_store.file_revision WHERE tenant = $1 AND resource_id = $2"
	" ORDER BY revision DESC LIMIT 1",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

/* NULL keeps a property, the empty string clears it. */
#define SET_PROPERTIES \
	" SET updated = $4, description = nullif(coalesce($5, description), '')," \
	" display_name = nullif(coalesce($6, display_name), '')," \
	" external_identifier = nullif(coalesce($7, external_identifier), '')," \
	" version_name = nullif(coalesce($8, version_name), '')"

static JobsStatement set_properties = {
	.sql = "UPDATE jobs_store.file_revision" SET_PROPERTIES
	" WHERE tenant = $1 AND resource_id = $2 AND revision = $3",
	.types = "iuiztttt",
	.expected = SPI_OK_UPDATE
};

/* Revision 1 of a job is a part of the job. */
static JobsStatement set_job_properties = {
	.sql = "UPDATE jobs_store.job" SET_PROPERTIES " WHERE tenant = $1 AND id = $2 AND $3 = 1",
	.types = "iuiztttt",
	.expected = SPI_OK_UPDATE
};

static JobsStatement fetch_revision = {
	.sql = "SELECT file_revision FROM jobs_store.full_revision"
	" WHERE tenant = $1 AND resource_id = $2 AND revision = $3",
	.types = "iui",
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

pg_cryptohash_ctx *
jobs_digest_begin(void)
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA384);

	if (context == NULL || pg_cryptohash_init(context) < 0)
		elog(ERROR, "could not compute SHA-384");
	return context;
}

void
jobs_digest_add(pg_cryptohash_ctx *context, const void *bytes, size_t length)
{
	if (pg_cryptohash_update(context, bytes, length) < 0)
		elog(ERROR, "could not compute SHA-384");
}

JobsDigest
jobs_digest_end(pg_cryptohash_ctx *context)
{
	JobsDigest	digest;

	if (pg_cryptohash_final(context, digest.bytes, sizeof(digest.bytes)) < 0)
		elog(ERROR, "could not compute SHA-384");
	pg_cryptohash_free(context);
	return digest;
}

/*
 * The sha of the token for content that was added: hexadecimal SHA-384 of it
 * and the salt, which is the id of the file in hexadecimal digits; see view
 * jobs_store.revision.
 */
char *
jobs_token_sha(pg_cryptohash_ctx *context, const pg_uuid_t *resource_id)
{
	pg_uuid_t	file = jobs_uuid_part(resource_id, 1);
	char		salt[JOBS_SALT_LENGTH];
	JobsDigest	digest;
	char	   *hex = palloc(sizeof(digest) * 2 + 1);

	hex_encode((const char *) file.data, UUID_LEN, salt);
	jobs_digest_add(context, salt, sizeof(salt));
	digest = jobs_digest_end(context);
	hex[hex_encode((const char *) digest.bytes, sizeof(digest), hex)] = '\0';
	return hex;
}

static text *
content_sha(const pg_uuid_t *resource_id, const bytea *content)
{
	pg_cryptohash_ctx *context = jobs_digest_begin();

	jobs_digest_add(context, VARDATA_ANY(content), VARSIZE_ANY_EXHDR(content));
	return cstring_to_text(jobs_token_sha(context, resource_id));
}

static void
write_content(JobsCall *call, const pg_uuid_t *revision_id, const bytea *content)
{
	int64		size = VARSIZE_ANY_EXHDR(content);
	int32		chunk = 0;

	for (int64 offset = 0; offset < size; offset += JOBS_CHUNK, chunk++)
	{
		int			length = Min(JOBS_CHUNK, size - offset);
		bytea	   *piece = palloc(VARHDRSZ + length);

		CHECK_FOR_INTERRUPTS();
		SET_VARSIZE(piece, VARHDRSZ + length);
		memcpy(VARDATA(piece), VARDATA_ANY(content) + offset, length);
		jobs_run(&add_chunk, A_INT4(call->caller.tenant), A_PTR(revision_id), A_INT4(chunk), A_PTR(piece));
		pfree(piece);
	}
}

/*
 * A new revision of a resource's file; what is NULL is as in the one before.
 * Answers its id.
 */
pg_uuid_t
jobs_write_revision(JobsCall *call, const pg_uuid_t *resource_id, const char *resource_type,
					const bytea *content, const JobsProperties *p)
{
	pg_uuid_t	id = jobs_uuid_new();

	jobs_run(&add_revision, A_INT4(call->caller.tenant), A_PTR(resource_id),
			 A_PTR(cstring_to_text(resource_type)), A_PTR(&id), A_TIME(GetCurrentTimestamp()),
			 A_PTR(&call->caller.user_id), A_INT8(VARSIZE_ANY_EXHDR(content)),
			 A_PTR(content_sha(resource_id, content)), A_PTR(p->name), A_PTR(p->mime),
			 A_PTR(p->description), A_PTR(p->display_name), A_PTR(p->version_name),
			 A_PTR(p->external_identifier));
	write_content(call, &id, content);
	return id;
}

/* mime is one argument, description and the three after it are four more. */
void
jobs_read_properties(FunctionCallInfo fcinfo, int mime, int description, JobsProperties *p)
{
	p->mime = jobs_arg_text(fcinfo, mime, "mime", JOBS_MAX_SHORT_TEXT);
	p->description = jobs_arg_text(fcinfo, description, "description", JOBS_MAX_SHORT_TEXT);
	p->display_name = jobs_arg_text(fcinfo, description + 1, "display_name", JOBS_MAX_SHORT_TEXT);
	p->version_name = jobs_arg_text(fcinfo, description + 2, "version_name", JOBS_MAX_SHORT_TEXT);
	p->external_identifier = jobs_arg_text(fcinfo, description + 3, "external_identifier", JOBS_MAX_SHORT_TEXT);
}

Datum
jobs_add_model(PG_FUNCTION_ARGS)
{
	JobsProperties p;
	JobsCall	call;
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));
	bytea	   *content;

	p.name = jobs_arg_name(fcinfo, 0, "name");
	jobs_arg_require(fcinfo, 1, "content");
	content = PG_GETARG_BYTEA_PP(1);
	jobs_read_properties(fcinfo, 2, 3, &p);
	*id = jobs_uuid_new();
	jobs_enter(fcinfo, &call);
	jobs_run(&add_model, A_INT4(call.caller.tenant), A_PTR(id), A_TIME(GetCurrentTimestamp()),
			 A_PTR(&call.caller.user_id));
	jobs_write_revision(&call, id, model_resource.type, content, &p);
	jobs_leave(&call);
	PG_RETURN_UUID_P(id);
}

/* So that revisions of one file come one after the other; JB404 when it was just pruned. */
static void
lock_resource(JobsCall *call, Resource *resource, const pg_uuid_t *id)
{
	if (resource != &job_resource)
		jobs_keep_job(call, id, resource->kind);
	if (jobs_run(&resource->lock, A_INT4(call->caller.tenant), A_PTR(id)).count == 0)
		jobs_error_not_found(resource->kind, id);
}

/*
 * What update_job, update_model and update_artifact have in common; needs
 * jobs_leave. Answers the id of the new revision.
 */
static pg_uuid_t
update_file(FunctionCallInfo fcinfo, JobsCall *call, Resource *resource)
{
	JobsProperties p;
	pg_uuid_t  *id;
	bytea	   *content;

	jobs_arg_require(fcinfo, 0, resource->argument);
	jobs_arg_require(fcinfo, 1, "content");
	id = PG_GETARG_UUID_P(0);
	content = PG_GETARG_BYTEA_PP(1);
	p.name = PG_ARGISNULL(2) ? NULL : jobs_arg_name(fcinfo, 2, "name");
	jobs_read_properties(fcinfo, 3, 4, &p);
	jobs_enter(fcinfo, call);
	if (strcmp(jobs_access_require(call, id, JOBS_EDITOR, "add a revision to"), resource->kind) != 0)
		jobs_error_not_found(resource->kind, id);
	lock_resource(call, resource, id);
	return jobs_write_revision(call, id, resource->type, content, &p);
}

Datum
jobs_update_job(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	Datum		job;

	update_file(fcinfo, &call, &job_resource);
	job = jobs_fetch_job(&call, PG_GETARG_UUID_P(0));
	jobs_leave(&call);
	return job;
}

static Datum
update_and_answer_id(FunctionCallInfo fcinfo, Resource *resource)
{
	pg_uuid_t  *revision_id = palloc(sizeof(pg_uuid_t));
	JobsCall	call;

	*revision_id = update_file(fcinfo, &call, resource);
	jobs_leave(&call);
	PG_RETURN_UUID_P(revision_id);
}

Datum
jobs_update_model(PG_FUNCTION_ARGS)
{
	return update_and_answer_id(fcinfo, &model_resource);
}

Datum
jobs_update_artifact(PG_FUNCTION_ARGS)
{
	return update_and_answer_id(fcinfo, &artifact_resource);
}

/* Of the revision that is the latest now and, by the lock, until commit. */
static int32
lock_latest(JobsCall *call, const pg_uuid_t *id, const char *kind)
{
	JobsResult	latest;

	for (int i = 0; i < countof(resources); i++)
		if (strcmp(resources[i]->kind, kind) == 0)
			lock_resource(call, resources[i], id);
	latest = jobs_run(&latest_revision, A_INT4(call->caller.tenant), A_PTR(id));
	return latest.count == 0 ? 1 : DatumGetInt32(jobs_column(&latest, 0, 4, NULL));
}

/* Nothing is written when all are NULL. Answers the revision. */
static Datum
change_properties(FunctionCallInfo fcinfo, text *const values[PROPERTIES])
{
	JobsCall	call;
	pg_uuid_t  *id;
	const char *kind;
	int32		revision;
	bool		given = false;
	JobsResult	result;
	Datum		answer;

	jobs_arg_require(fcinfo, 0, "job_id");
	id = PG_GETARG_UUID_P(0);
	for (int i = 0; i < PROPERTIES; i++)
	{
		jobs_check_text(values[i], property_names[i], JOBS_MAX_SHORT_TEXT);
		given = given || values[i] != NULL;
	}
	jobs_enter(fcinfo, &call);
	kind = jobs_access_require(&call, id, JOBS_EDITOR, "change properties of");
	revision = lock_latest(&call, id, kind);
	if (given)
	{
		bool		of_job = revision == 1 && strcmp(kind, job_resource.kind) == 0;

		jobs_run(of_job ? &set_job_properties : &set_properties, A_INT4(call.caller.tenant), A_PTR(id),
				 A_INT4(revision), A_TIME(GetCurrentTimestamp()),
				 A_PTR(values[DESCRIPTION]), A_PTR(values[DISPLAY_NAME]),
				 A_PTR(values[EXTERNAL_IDENTIFIER]), A_PTR(values[VERSION_NAME]));
	}
	result = jobs_run(&fetch_revision, A_INT4(call.caller.tenant), A_PTR(id), A_INT4(revision));
	answer = jobs_column_copy(&call, &result, 0, 1);
	jobs_leave(&call);
	return answer;
}

Datum
jobs_update_properties(PG_FUNCTION_ARGS)
{
	text	   *values[PROPERTIES];

	for (int i = 0; i < PROPERTIES; i++)
		values[i] = PG_ARGISNULL(i + 1) ? NULL : PG_GETARG_TEXT_PP(i + 1);
	return change_properties(fcinfo, values);
}

/* The forms for one property, where leaving it out makes no sense. */
static Datum
change_property(FunctionCallInfo fcinfo, int property)
{
	text	   *values[PROPERTIES] = {NULL};

	jobs_arg_require(fcinfo, 0, "job_id");
	jobs_arg_require(fcinfo, 1, property_names[property]);
	values[property] = PG_GETARG_TEXT_PP(1);
	return change_properties(fcinfo, values);
}

Datum
jobs_update_description(PG_FUNCTION_ARGS)
{
	return change_property(fcinfo, DESCRIPTION);
}

Datum
jobs_update_display_name(PG_FUNCTION_ARGS)
{
	return change_property(fcinfo, DISPLAY_NAME);
}

Datum
jobs_update_external_identifier(PG_FUNCTION_ARGS)
{
	return change_property(fcinfo, EXTERNAL_IDENTIFIER);
}

Datum
jobs_update_version_name(PG_FUNCTION_ARGS)
{
	return change_property(fcinfo, VERSION_NAME);
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

/*
 * Reads [offset, offset + length) of a revision from the table as far as one row
 * of it goes, or up to what is cached. Answers how many bytes that were.
 */
static int64
read_table(JobsCall *call, const JobsRevision *revision, bool caching, int64 offset, int64 length, char *into)
{
	int32		chunk = offset / JOBS_CHUNK;
	int64		start = offset;
	int64		end = Min(offset + length, (int64) (chunk + 1) * JOBS_CHUNK);
	JobsResult	piece;
	bytea	   *data;

	CHECK_FOR_INTERRUPTS();
	length = end - offset;
	if (caching)
		jobs_cache_gap(revision, &start, &end);
	piece = jobs_run(&read_chunk, A_INT4(call->caller.tenant), A_PTR(&revision->id), A_INT4(chunk),
					 A_INT4(start % JOBS_CHUNK + 1), A_INT4(end - start));
	data = piece.count == 0 ? NULL : DatumGetByteaPP(jobs_column(&piece, 0, 1, NULL));
	if (data == NULL || (int64) VARSIZE_ANY_EXHDR(data) != end - start)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("content of revision %s is incomplete", jobs_uuid_text(&revision->id))));
	if (caching)
		jobs_cache_put(revision, start, VARDATA_ANY(data), end - start);
	length = Min(length, end - offset);
	memcpy(into, VARDATA_ANY(data) + (offset - start), length);
	SPI_freetuptable(piece.table);
	return length;
}

/* Checks access first, so what follows need not. */
static void
find_content(JobsCall *call, const pg_uuid_t *resource_id, Content *content)
{
	JobsResult	found;

	memset(content, 0, sizeof(*content));
	jobs_access_require(call, resource_id, JOBS_VIEWER, "read");
	found = jobs_run(&latest_revision, A_INT4(call->caller.tenant), A_PTR(resource_id));
	if (found.count > 0)
	{
		content->size = DatumGetInt64(jobs_column(&found, 0, 2, NULL));
		content->revision.id = *DatumGetUUIDP(jobs_column(&found, 0, 1, NULL));
		content->revision.resource_id = *resource_id;
		content->revision.size = content->size;
		content->revision.sha = TextDatumGetCString(jobs_column(&found, 0, 3, NULL));
		return;
	}
	found = jobs_run(&job_parameters, A_INT4(call->caller.tenant), A_PTR(resource_id));
	if (found.count == 0)
		jobs_error_not_found("content of", resource_id);
	content->parameters = DatumGetByteaPP(jobs_column(&found, 0, 1, NULL));
	content->size = VARSIZE_ANY_EXHDR(content->parameters);
}

/* The range must be within the content. */
static void
read_content(JobsCall *call, const Content *content, bool caching, int64 offset, int64 length, char *into)
{
	if (content->parameters != NULL)
	{
		memcpy(into, VARDATA_ANY(content->parameters) + offset, length);
		return;
	}
	caching = caching && jobs_cache_wants(&content->revision, length);
	for (int64 done = 0; done < length;)
	{
		int64		got = 0;

		if (caching)
			got = jobs_cache_get(&content->revision, offset + done, length - done, into + done);
		if (got == 0)
			got = read_table(call, &content->revision, caching, offset + done, length - done, into + done);
		done += got;
	}
	if (caching)
		jobs_cache_verify(&content->revision);
}

/* Of the resource that argument 0 names; length -1: to the end. */
static bytea *
read_argument(FunctionCallInfo fcinfo, int64 offset, int64 length)
{
	JobsCall	call;
	Content		content;
	bytea	   *bytes;

	jobs_arg_require(fcinfo, 0, "job_id");
	jobs_enter(fcinfo, &call);
	find_content(&call, PG_GETARG_UUID_P(0), &content);
	length = clip(content.size, offset, length);
	bytes = make_bytes(&call, length);
	read_content(&call, &content, true, length == 0 ? 0 : offset, length, VARDATA(bytes));
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
	int64		offset;
	int64		length;

	jobs_arg_require(fcinfo, 0, "job_id");
	jobs_arg_require(fcinfo, 1, "offset");
	offset = arg_not_negative(fcinfo, 1, "offset");
	length = PG_ARGISNULL(2) ? -1 : arg_not_negative(fcinfo, 2, "length");
	PG_RETURN_BYTEA_P(read_argument(fcinfo, offset, length));
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
	if (encoding < 0 ||
		(encoding != GetDatabaseEncoding() && encoding != PG_SQL_ASCII && GetDatabaseEncoding() != PG_SQL_ASCII &&
		 !OidIsValid(FindDefaultConversionProc(encoding, GetDatabaseEncoding()))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown encoding: \"%s\"", text_to_cstring(name)),
				 errhint("Give a name that PostgreSQL knows, for instance utf-8, latin1 or win1252.")));
	PG_RETURN_TEXT_P(cstring_to_text(decode_text(read_argument(fcinfo, 0, -1), encoding)));
}

Datum
jobs_read_json(PG_FUNCTION_ARGS)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(decode_text(read_argument(fcinfo, 0, -1), PG_UTF8)));
}

/*
 * The path that copy_to is to write: one that a file can have, and the caller
 * may have the server write. 22004, 22023, 22001, 42501.
 */
static char *
arg_dest(FunctionCallInfo fcinfo, int argno)
{
	char	   *dest;
	struct stat there;

	jobs_arg_require(fcinfo, argno, "dest");
	dest = text_to_cstring(PG_GETARG_TEXT_PP(argno));
	if (!is_absolute_path(dest))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dest is not an absolute path: \"%s\"", dest)));
	if (!has_privs_of_role(GetUserId(), ROLE_PG_WRITE_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("not allowed to write files of the server"),
				 errhint("The role must have the privileges of pg_write_server_files.")));
	if (strlen(dest) >= MAXPGPATH)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("dest is too long: %zu bytes", strlen(dest)),
				 errhint("At most %d bytes are allowed.", MAXPGPATH - 1)));
	canonicalize_path(dest);
	if (lstat(dest, &there) == 0 && !S_ISREG(there.st_mode) && !S_ISLNK(there.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dest is there and is not a file: \"%s\"", dest)));
	return dest;
}

/* A new name in the folder of a file, so that a rename stays within it. */
static char *
temporary_path(const char *dest)
{
	char	   *folder = pstrdup(dest);
	pg_uuid_t	id = jobs_uuid_new();

	get_parent_directory(folder);
	return psprintf("%s/jobs_%s.tmp", strcmp(folder, "/") == 0 ? "" : folder, jobs_uuid_text(&id));
}

/* Content, piece by piece, into a new file that everybody may read. */
static void
write_file(JobsCall *call, const Content *content, const char *path)
{
	char	   *buffer = palloc(JOBS_CHUNK);
	int			fd = OpenTransientFile(path, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY);

	if (fd < 0)
		ereport(ERROR, (file_errcode(), errmsg("could not create file \"%s\": %m", path)));
	for (int64 offset = 0; offset < content->size; offset += JOBS_CHUNK)
	{
		int			length = Min(JOBS_CHUNK, content->size - offset);
		int			written;

		CHECK_FOR_INTERRUPTS();
		read_content(call, content, false, offset, length, buffer);
		errno = 0;
		pgstat_report_wait_start(WAIT_EVENT_COPY_FILE_WRITE);
		written = write(fd, buffer, length);
		pgstat_report_wait_end();
		if (written != length)
		{
			if (errno == 0)
				errno = ENOSPC;
			ereport(ERROR, (file_errcode(), errmsg("could not write file \"%s\": %m", path)));
		}
	}
	if (fchmod(fd, S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH) != 0 || CloseTransientFile(fd) != 0)
		ereport(ERROR, (file_errcode(), errmsg("could not close file \"%s\": %m", path)));
	pfree(buffer);
}

static void
remove_file(int code, Datum path)
{
	(void) unlink((const char *) DatumGetPointer(path));
}

/*
 * Also when the session is terminated nothing of the temporary file stays; only
 * a crash of the server may leave one.
 */
Datum
jobs_copy_to(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	Content		content;
	char	   *dest;
	char	   *path;

	jobs_arg_require(fcinfo, 0, "job_id");
	dest = arg_dest(fcinfo, 1);
	jobs_enter(fcinfo, &call);
	find_content(&call, PG_GETARG_UUID_P(0), &content);
	path = temporary_path(dest);
	PG_ENSURE_ERROR_CLEANUP(remove_file, PointerGetDatum(path));
	{
		write_file(&call, &content, path);
		durable_rename(path, dest, ERROR);
	}
	PG_END_ENSURE_ERROR_CLEANUP(remove_file, PointerGetDatum(path));
	jobs_leave(&call);
	PG_RETURN_DATUM(PG_GETARG_DATUM(1));
}
