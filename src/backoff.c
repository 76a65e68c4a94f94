/*-------------------------------------------------------------------------
 *
 * backoff.c
 *		How long to wait before the next attempt; pure arithmetic, no clock.
 *
 * Exponential with full jitter: evenly spread between nothing and a limit that
 * doubles with each attempt, up to a cap. The spread keeps jobs that failed
 * together from failing together again ("Exponential Backoff And Jitter", AWS
 * Architecture Blog, 2015).
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

/*
 * Wait after attempt (from 1), in the unit of base and cap; fraction is random,
 * 0 <= fraction < 1.
 */
int64
jobs_backoff(int32 attempt, int64 base, int64 cap, double fraction)
{
	int64		limit = base;

	for (int32 i = 1; i < attempt && limit < cap; i++)
		limit *= 2;
	return (int64) (Min(limit, cap) * fraction);
}
