/*-------------------------------------------------------------------------
 *
 * backoff.c
 *		How long to wait before the next attempt; pure arithmetic, no clock.
 *
 * Exponential, unless something else is asked for, and with full jitter: evenly
 * spread between nothing and a limit that doubles with each attempt, up to a cap.
 * The spread keeps jobs that failed together from failing together again
 * ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015). A fixed wait is
 * the same each time, and so has no spread.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

/* As callers write them; NULL ends the list. */
const char *const jobs_backoff_names[] = {
	[JOBS_BACKOFF_EXPONENTIAL] = "exponential",
	[JOBS_BACKOFF_FIXED] = "fixed",
	[JOBS_BACKOFF_NONE] = "none",
	NULL
};

/*
 * Wait after attempt (from 1), in the unit of base and cap; fraction is random,
 * 0 <= fraction < 1.
 */
int64
jobs_backoff(JobsBackoffKind kind, int32 attempt, int64 base, int64 cap, double fraction)
{
	int64		limit = base;

	switch (kind)
	{
		case JOBS_BACKOFF_NONE:
			return 0;
		case JOBS_BACKOFF_FIXED:
			return Min(base, cap);
		case JOBS_BACKOFF_EXPONENTIAL:
			break;
	}
	for (int32 i = 1; i < attempt && limit < cap; i++)
		limit *= 2;
	return (int64) (Min(limit, cap) * fraction);
}
