/*-------------------------------------------------------------------------
 *
 * fault.c
 *		Places at which a test can make things go wrong.
 *
 * The setting jobs.fault lists what is to happen where, as point:action or, for one
 * time in n, point:action:n, with blanks between them. * is any point. Actions:
 *
 *	error	an error
 *	fatal	the end of the session, in order
 *	exit	the end of the process, out of order: the server goes through recovery
 *	sleep	10 ms, in which the session can be interrupted
 *	wait	until nobody has the advisory lock hashtext(point), so that a test can
 *			stop a session here and let it go on
 *
 * Everybody may set it: this is for builds in which nobody keeps data.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fault.h"

#ifdef JOBS_FAULTS

#include <unistd.h>

#include "catalog/pg_collation.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#define MAX_WORD 64

static char *faults = NULL;

/* Once, when the library is loaded. */
void
jobs_fault_init(void)
{
	DefineCustomStringVariable("jobs.fault",
							   "What is to go wrong where, for tests: point:action or point:action:n.",
							   "Points are * or a name in the source; actions error, fatal, exit, sleep, wait.",
							   &faults, "", PGC_USERSET, 0, NULL, NULL, NULL);
}

static void
wait_for_lock(const char *point)
{
	text	   *name = cstring_to_text(point);
	int32		hash = DatumGetInt32(DirectFunctionCall1Coll(hashtext, DEFAULT_COLLATION_OID,
															 PointerGetDatum(name)));
	Datum		key = Int64GetDatum(hash);

	DirectFunctionCall1(pg_advisory_lock_int8, key);
	DirectFunctionCall1(pg_advisory_unlock_int8, key);
}

static void
act(const char *point, const char *action)
{
	if (strcmp(action, "error") == 0 || strcmp(action, "fatal") == 0)
		ereport(action[0] == 'e' ? ERROR : FATAL,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("fault at \"%s\"", point)));
	else if (strcmp(action, "exit") == 0)
		_exit(2);
	else if (strcmp(action, "sleep") == 0)
		DirectFunctionCall1(pg_sleep, Float8GetDatum(0.01));
	else if (strcmp(action, "wait") == 0)
		wait_for_lock(point);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown action \"%s\" in jobs.fault", action)));
}

void
jobs_fault(const char *point)
{
	char		name[MAX_WORD];
	char		action[MAX_WORD];
	int			length;

	for (const char *rest = faults; sscanf(rest, " %63[^: ]:%63[a-z]%n", name, action, &length) == 2;)
	{
		int			times = 1;

		rest += length;
		if (*rest == ':')
			times = strtol(rest + 1, (char **) &rest, 10);
		if ((strcmp(name, "*") == 0 || strcmp(name, point) == 0) &&
			pg_prng_uint64(&pg_global_prng_state) % Max(times, 1) == 0)
			act(point, action);
	}
}

#endif							/* JOBS_FAULTS */
