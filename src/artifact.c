/*-------------------------------------------------------------------------
 *
 * artifact.c
 *		Outputs of jobs that are files of their own, and what was made from
 *		what.
 *
 * An artifact belongs to whoever owns the job: its creator is the creator of
 * the job, and the one who added it is the creator of its revision. Its content
 * is linked to what it was made from: the parameters of the job and the model
 * as it is then.
 *
 * A lineage is found level by level, one statement for each, in memory that
 * MAX_EDGES bounds. It follows revisions. A job counts as one: its results come
 * from its parameters, whichever of its revisions an edge names.
 *
 *-------------------------------------------------------------------------
 */
#include "content.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"

PG_FUNCTION_INFO_V1(jobs_add_artifact);
PG_FUNCTION_INFO_V1(jobs_list_artifacts);
PG_FUNCTION_INFO_V1(jobs_get_file);
PG_FUNCTION_INFO_V1(jobs_lineage);

#define MAX_DEPTH	100
#define MAX_EDGES	100000		/* in one direction */

static JobsStatement add_artifact = {
	.sql = "INSERT INTO jobs_store.artifact (tenant, id, created, job_id, created_by_id)"
	" SELECT $1, $2, $3, j.id, j.created_by_id FROM jobs_store.job j WHERE j.tenant = $1 AND j.id = $4",
	.types = "iuzu",
	.expected = SPI_OK_INSERT
};

static JobsStatement add_origins = {
	.sql = "INSERT INTO jobs_store.revision_edge (tenant, source_id, product_id, source_resource_id,"
	" product_resource_id, source_resource_type, product_resource_type, relationship_identifier)"
	" SELECT $1, s.id, $3, s.resource_id, $4, s.resource_type, 'Artifact', $5"
	" FROM jobs_store.job j CROSS JOIN LATERAL ("
	"SELECT jobs_store.part_id(j.id, 2) AS id, j.id AS resource_id, 'Job' AS resource_type"
	" UNION ALL (SELECT r.id, r.resource_id, r.resource_type FROM jobs_store.file_revision r"
	" WHERE r.tenant = $1 AND r.resource_id = j.model_id ORDER BY r.revision DESC LIMIT 1)) s"
	" WHERE j.tenant = $1 AND j.id = $2",
	.types = "iuuut",
	.expected = SPI_OK_INSERT
};

static JobsStatement list_artifacts = {
	.sql = "SELECT a.id, r.name, a.created, r.size, r.mime, a.archived FROM jobs_store.artifact a"
	" CROSS JOIN LATERAL (SELECT f.name, f.size, f.mime FROM jobs_store.file_revision f"
	" WHERE f.tenant = $1 AND f.resource_id = a.id ORDER BY f.revision DESC LIMIT 1) r"
	" WHERE a.tenant = $1 AND a.job_id = $2 ORDER BY a.id",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement fetch_file = {
	.sql = "SELECT file FROM jobs_store.full_file WHERE tenant = $1 AND resource_id = $2",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

/*
 * The edges at one end of which is a revision $3, or any revision of a resource
 * $2, to what caller $5 may see at the other end. Columns: revision, resource
 * and its type there; revision here; relationship. OFFSET 0 and the questions
 * in brackets leave the planner no order but this one, from the few to the many.
 */
#define STEP(there, here) \
	"SELECT e." there "_id, e." there "_resource_id, e." there "_resource_type, e." here "_id," \
	" e.relationship_identifier" \
	" FROM unnest($2, $3) f(resource_id, id) CROSS JOIN LATERAL (" \
	"SELECT f.id UNION ALL SELECT jobs_store.part_id(f.resource_id, 2)" \
	" UNION ALL (SELECT r.id FROM jobs_store.file_revision r" \
	" WHERE r.tenant = $1 AND r.resource_id = f.resource_id ORDER BY r.revision OFFSET 0)) x" \
	" CROSS JOIN LATERAL (SELECT * FROM jobs_store.revision_edge e" \
	" WHERE e.tenant = $1 AND e." here "_id = x.id OFFSET 0) e" \
	" WHERE $4 OR (SELECT v.created_by_id FROM jobs_store.resource v" \
	" WHERE v.tenant = $1 AND v.id = e." there "_resource_id) = $5" \
	" OR (SELECT true FROM jobs_store.access a" \
	" WHERE a.tenant = $1 AND a.resource_id = e." there "_resource_id AND a.subject_id = $5)" \
	" ORDER BY 4, 1 LIMIT $6"

static JobsStatement sources_of = {
	.sql = STEP("source", "product"),
	.types = "iUUbui",
	.expected = SPI_OK_SELECT
};

static JobsStatement products_of = {
	.sql = STEP("product", "source"),
	.types = "iUUbui",
	.expected = SPI_OK_SELECT
};

typedef struct Edge
{
	pg_uuid_t	source;
	pg_uuid_t	product;
} Edge;

/* One direction of a lineage. */
typedef struct Walk
{
	JobsCall   *call;
	ReturnSetInfo *rsinfo;
	JobsStatement *step;
	const char *direction;
	HTAB	   *edges;			/* answered, in either direction */
	HTAB	   *entered;		/* ids of the frontiers so far */
	ArrayBuildState *resources; /* the next frontier: any revision of these, */
	ArrayBuildState *revisions; /* or these; one of the two is NULL */
	int			left;			/* of MAX_EDGES */
} Walk;

Datum
jobs_add_artifact(PG_FUNCTION_ARGS)
{
	JobsProperties p;
	JobsCall	call;
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));
	pg_uuid_t  *job_id;
	pg_uuid_t	revision_id;
	bytea	   *content;
	text	   *relationship;

	jobs_arg_require(fcinfo, 0, "job_id");
	job_id = PG_GETARG_UUID_P(0);
	p.name = jobs_arg_name(fcinfo, 1, "name");
	jobs_arg_require(fcinfo, 2, "content");
	content = PG_GETARG_BYTEA_PP(2);
	relationship = jobs_arg_text(fcinfo, 4, "relationship_identifier", JOBS_MAX_SHORT_TEXT);
	jobs_read_properties(fcinfo, 3, 5, &p);
	*id = jobs_uuid_new();
	jobs_enter(fcinfo, &call);
	if (strcmp(jobs_access_require(&call, job_id, JOBS_EDITOR, "add an artifact to"), "job") != 0)
		jobs_error_not_found("job", job_id);
	jobs_keep_job(&call, job_id, "job");
	jobs_run(&add_artifact, A_INT4(call.caller.tenant), A_PTR(id), A_TIME(GetCurrentTimestamp()),
			 A_PTR(job_id));
	revision_id = jobs_write_revision(&call, id, "Artifact", content, &p);
	jobs_run(&add_origins, A_INT4(call.caller.tenant), A_PTR(job_id), A_PTR(&revision_id), A_PTR(id),
			 A_PTR(relationship));
	jobs_leave(&call);
	PG_RETURN_UUID_P(id);
}

Datum
jobs_list_artifacts(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	JobsResult	found;
	pg_uuid_t  *job_id;

	jobs_arg_require(fcinfo, 0, "job_id");
	job_id = PG_GETARG_UUID_P(0);
	InitMaterializedSRF(fcinfo, 0);
	jobs_enter(fcinfo, &call);
	if (strcmp(jobs_access_require(&call, job_id, JOBS_VIEWER, "see"), "job") != 0)
		jobs_error_not_found("job", job_id);
	found = jobs_run(&list_artifacts, A_INT4(call.caller.tenant), A_PTR(job_id));
	jobs_store_rows((ReturnSetInfo *) fcinfo->resultinfo, &found);
	jobs_leave(&call);
	return (Datum) 0;
}

Datum
jobs_get_file(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	JobsResult	found;
	Datum		file;

	jobs_arg_require(fcinfo, 0, "job_id");
	jobs_enter(fcinfo, &call);
	jobs_access_require(&call, PG_GETARG_UUID_P(0), JOBS_VIEWER, "see");
	found = jobs_run(&fetch_file, A_INT4(call.caller.tenant), A_PTR(PG_GETARG_UUID_P(0)));
	file = jobs_column_copy(&call, &found, 0, 1);
	jobs_leave(&call);
	return file;
}

static HTAB *
make_set(const char *name, Size size)
{
	HASHCTL		control = {0};

	control.keysize = size;
	control.entrysize = size;
	control.hcxt = CurrentMemoryContext;
	return hash_create(name, 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Answers whether it was not there. */
static bool
add_to_set(HTAB *set, const void *key)
{
	bool		found;

	(void) hash_search(set, key, HASH_ENTER, &found);
	return !found;
}

/* Makes a resource, or only a revision, part of the next frontier. */
static void
go_to(Walk *walk, const pg_uuid_t *resource_id, const pg_uuid_t *revision_id)
{
	if (!add_to_set(walk->entered, resource_id != NULL ? resource_id : revision_id))
		return;
	walk->resources = accumArrayResult(walk->resources, UUIDPGetDatum(resource_id), resource_id == NULL,
									   UUIDOID, CurrentMemoryContext);
	walk->revisions = accumArrayResult(walk->revisions, UUIDPGetDatum(revision_id), revision_id == NULL,
									   UUIDOID, CurrentMemoryContext);
}

static void
answer_edge(Walk *walk, int32 depth, const JobsResult *found, uint64 row)
{
	Datum		values[7];
	bool		nulls[7] = {false};

	values[0] = Int32GetDatum(depth);
	values[1] = CStringGetTextDatum(walk->direction);
	for (int i = 0; i < 5; i++)
		values[i + 2] = jobs_column(found, row, i + 1, &nulls[i + 2]);
	tuplestore_putvalues(walk->rsinfo->setResult, walk->rsinfo->setDesc, values, nulls);
	pfree(DatumGetPointer(values[1]));
}

/* One level: answers the edges of the frontier and makes the next one. */
static void
walk_level(Walk *walk, int32 depth)
{
	JobsArg		resources = A_PTR(DatumGetPointer(makeArrayResult(walk->resources, CurrentMemoryContext)));
	JobsArg		revisions = A_PTR(DatumGetPointer(makeArrayResult(walk->revisions, CurrentMemoryContext)));
	JobsResult	found;

	walk->resources = walk->revisions = NULL;
	found = jobs_run(walk->step, A_INT4(walk->call->caller.tenant), resources, revisions,
					 A_BOOL(walk->call->caller.administrator), A_PTR(&walk->call->caller.user_id),
					 A_INT4(walk->left + 1));
	if (found.count > (uint64) walk->left)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("lineage has more than %d edges in direction %s", MAX_EDGES, walk->direction),
				 errhint("Ask for a smaller depth.")));
	walk->left -= found.count;
	for (uint64 row = 0; row < found.count; row++)
	{
		pg_uuid_t  *there = DatumGetUUIDP(jobs_column(&found, row, 1, NULL));
		pg_uuid_t  *resource = DatumGetUUIDP(jobs_column(&found, row, 2, NULL));
		pg_uuid_t  *here = DatumGetUUIDP(jobs_column(&found, row, 4, NULL));
		bool		upwards = walk->step == &sources_of;
		Edge		edge = {upwards ? *there : *here, upwards ? *here : *there};
		char	   *type = TextDatumGetCString(jobs_column(&found, row, 3, NULL));

		CHECK_FOR_INTERRUPTS();
		if (add_to_set(walk->edges, &edge))
			answer_edge(walk, depth, &found, row);
		if (strcmp(type, "Job") == 0)
			go_to(walk, resource, NULL);
		else
			go_to(walk, NULL, there);
		pfree(type);
	}
	SPI_freetuptable(found.table);
}

Datum
jobs_lineage(PG_FUNCTION_ARGS)
{
	Walk		walks[] = {
		{.step = &sources_of, .direction = "source", .left = MAX_EDGES},
		{.step = &products_of, .direction = "product", .left = MAX_EDGES},
	};
	JobsCall	call;
	pg_uuid_t  *id;
	int32		max_depth;
	HTAB	   *edges;

	jobs_arg_require(fcinfo, 0, "job_id");
	id = PG_GETARG_UUID_P(0);
	max_depth = jobs_arg_range(fcinfo, 1, "depth", 1, MAX_DEPTH);
	InitMaterializedSRF(fcinfo, 0);
	jobs_enter(fcinfo, &call);
	jobs_access_require(&call, id, JOBS_VIEWER, "see");
	edges = make_set("jobs lineage edges", sizeof(Edge));
	for (int i = 0; i < countof(walks); i++)
	{
		Walk	   *walk = &walks[i];

		walk->call = &call;
		walk->rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
		walk->edges = edges;
		walk->entered = make_set("jobs lineage ids", sizeof(pg_uuid_t));
		go_to(walk, id, NULL);
		for (int32 depth = 1; depth <= max_depth && walk->resources != NULL; depth++)
			walk_level(walk, depth);
	}
	jobs_leave(&call);
	return (Datum) 0;
}
