/*-------------------------------------------------------------------------
 *
 * version.c
 *		Whether this library and the extension's SQL belong together.
 *
 * A new package replaces the library at once, and the SQL of each database when
 * somebody runs ALTER EXTENSION. In between, statements of the one would meet tables
 * of the other; so the first call that needs the storage compares the versions.
 *
 * That they agree is remembered until a function of the database changes; then it
 * is looked up again. An update that changes no function at all is not noticed,
 * and need not be: it has changed nothing that this library could trip over. That
 * they disagree is not remembered.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

bool		jobs_version_known = false;

static void
function_changed(Datum arg, int cache, uint32 hash)
{
	jobs_version_known = false;
}

/* Once, when the library is loaded. */
void
jobs_version_init(void)
{
	CacheRegisterSyscacheCallback(PROCOID, function_changed, (Datum) 0);
}

/* The version of the extension's SQL in this database, or NULL without an extension. */
static char *
installed_version(void)
{
	Relation	extensions = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("jobs"));
	scan = systable_beginscan(extensions, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion,
										 RelationGetDescr(extensions), &isnull);

		version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(extensions, AccessShareLock);
	return version;
}

/* As strcmp, for versions of three numbers. */
static int
compare_versions(const char *left, const char *right)
{
	int			l[3] = {0, 0, 0};
	int			r[3] = {0, 0, 0};

	(void) sscanf(left, "%d.%d.%d", &l[0], &l[1], &l[2]);
	(void) sscanf(right, "%d.%d.%d", &r[0], &r[1], &r[2]);
	for (int i = 0; i < countof(l); i++)
		if (l[i] != r[i])
			return l[i] < r[i] ? -1 : 1;
	return 0;
}

/*
 * 55000 unless the SQL in this database is of the library's version. What an update
 * script runs on its way from version to version is not asked.
 */
void
jobs_version_check(void)
{
	char	   *version;

	if (creating_extension)
		return;

	/* Before the look, which may bring the news of a change that it does not see. */
	jobs_version_known = true;
	version = installed_version();
	if (version == NULL || strcmp(version, JOBS_VERSION) == 0)
		return;
	jobs_version_known = false;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("extension \"jobs\" is of version %s in this database, and the library that is loaded of version %s",
					version, JOBS_VERSION),
			 compare_versions(version, JOBS_VERSION) < 0 ?
			 errhint("Run ALTER EXTENSION jobs UPDATE TO '%s'; in this database.", JOBS_VERSION) :
			 errhint("Install the library of version %s, and connect again; restart the server if shared_preload_libraries names it.",
					 version)));
}
