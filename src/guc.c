/*-------------------------------------------------------------------------
 *
 * guc.c
 *		All settings: variable, default, definition.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include <limits.h>

#include "nodes/pg_list.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "worker.h"

int			jobs_cache_size_kb = 256 * 1024;
int			jobs_sweep_interval = 1000;
int			jobs_lost_grace = 10 * 1000;
int			jobs_retry_base = 10 * 1000;
int			jobs_retry_cap = 3600 * 1000;
int			jobs_json_max_depth = 64;
int			jobs_json_max_size_kb = 64 * 1024;
bool		jobs_direct = true;
bool		jobs_worker = true;
int			jobs_worker_interval = 5 * 1000;
int			jobs_worker_discovery_interval = 60 * 1000;
int			jobs_max_workers = 2;
char	   *jobs_worker_databases = NULL;

typedef struct IntSetting
{
	const char *name;
	const char *summary;
	const char *detail;
	int		   *variable;
	int			low;
	int			high;
	GucContext	context;
	int			unit;
} IntSetting;

/*
 * The ones that change what others see (how soon a lost job comes back) are for
 * superusers; the ones that limit only the caller are for everybody.
 */
static const IntSetting int_settings[] = {
	{"jobs.cache_size",
		"Room for the large contents that a session has read, in temporary files.",
		"0 switches the cache off. With temp_file_limit set, at most half of that.",
	&jobs_cache_size_kb, 0, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB},
	{"jobs.json_max_depth",
		"Deepest nesting of a JSON document that from_json reads.",
	NULL, &jobs_json_max_depth, 1, 1000, PGC_USERSET, 0},
	{"jobs.json_max_size",
		"Longest JSON document that from_json reads.",
	NULL, &jobs_json_max_size_kb, 1, 1024 * 1024 - 1, PGC_USERSET, GUC_UNIT_KB},
	{"jobs.lost_grace",
		"How long a job stays UNKNOWN after its lease ran out.",
		"Within this time a late report or heartbeat of its agent is accepted; after it the job is put back or fails.",
	&jobs_lost_grace, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MS},
	{"jobs.max_workers",
		"How many background workers make maintenance passes at once, each in another database.",
		"Each takes one of max_worker_processes while it runs; so does their launcher, always.",
	&jobs_max_workers, 1, JOBS_MAX_WORKERS, PGC_SIGHUP, 0},
	{"jobs.retry_base",
		"Longest wait before the second attempt of a job; doubled for each further one.",
	NULL, &jobs_retry_base, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MS},
	{"jobs.retry_cap",
		"Longest wait before any attempt of a job.",
	NULL, &jobs_retry_cap, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MS},
	{"jobs.sweep_interval",
		"Shortest time between two maintenance passes that the claims of a session make.",
		"0 makes a pass with every claim, -1 none: then call jobs.sweep() from elsewhere.",
	&jobs_sweep_interval, -1, INT_MAX, PGC_USERSET, GUC_UNIT_MS},
	{"jobs.worker_discovery_interval",
		"Longest time between two visits of background workers to a database.",
		"That is how often they look whether one has the extension by now, or work that was not to be foreseen, and the longest wait after passes that failed.",
	&jobs_worker_discovery_interval, 10, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS},
	{"jobs.worker_interval",
		"Shortest time between two maintenance passes of background workers in a database.",
		"While nobody uses the extension there, the next one comes when something is due.", &jobs_worker_interval, 10, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS},
};

/* A list of names, as in other settings of the server. */
static bool
check_databases(char **value, void **extra, GucSource source)
{
	char	   *copy = pstrdup(*value);
	List	   *names;
	bool		good = SplitIdentifierString(copy, ',', &names);

	if (!good)
		GUC_check_errdetail("List syntax is invalid.");
	list_free(names);
	pfree(copy);
	return good;
}

void
jobs_guc_init(void)
{
	for (int i = 0; i < countof(int_settings); i++)
	{
		const IntSetting *s = &int_settings[i];

		DefineCustomIntVariable(s->name, s->summary, s->detail, s->variable,
								*s->variable, s->low, s->high, s->context,
								s->unit, NULL, NULL, NULL);
	}
	DefineCustomBoolVariable("jobs.direct",
							 "New jobs, claims and final reports read and write rows without a plan where nothing speaks against it.",
							 "Off, they are plain statements; it makes them slower and nothing else.",
							 &jobs_direct, jobs_direct, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("jobs.worker",
							 "Background workers make maintenance passes.",
							 "Only with jobs in shared_preload_libraries.",
							 &jobs_worker, jobs_worker, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("jobs.worker_databases",
							   "Databases in which background workers make maintenance passes.",
							   "Names, separated by commas; empty: all that accept connections, but for templates.",
							   &jobs_worker_databases, "", PGC_SIGHUP, GUC_LIST_INPUT,
							   check_databases, NULL, NULL);
	MarkGUCPrefixReserved("jobs");
}
