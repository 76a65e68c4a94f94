/*-------------------------------------------------------------------------
 *
 * cron.h
 *		Five fields that say when: the text form, and the next time.
 *
 * Plain C, so that it can be fuzzed and tested on its own. Times here are those
 * of a wall clock, in minutes since 1970-01-01 00:00, with days that all have 24
 * hours; what they are in a time zone is the business of schedule.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JOBS_CRON_H
#define JOBS_CRON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One bit for each value. */
typedef struct JobsCron
{
	uint64_t	minutes;		/* 0 to 59 */
	uint32_t	hours;			/* 0 to 23 */
	uint32_t	days;			/* of the month, 1 to 31 */
	uint16_t	months;			/* 1 to 12 */
	uint8_t		weekdays;		/* 0 (Sunday) to 6 */
	bool		both_days;		/* a day must fit days and weekdays, not one of them */
	bool		elapsed;		/* minute or hour starts with *: by elapsed time, whatever the clock is set to */
} JobsCron;

#define JOBS_CRON_ERROR_SIZE	128

#define JOBS_MINUTES_PER_DAY	1440

extern bool jobs_cron_parse(const char *text, size_t length, JobsCron *cron, char *error);
extern bool jobs_cron_matches(const JobsCron *cron, int64_t minute);
extern bool jobs_cron_next(const JobsCron *cron, int64_t from, int64_t *minute);

#endif							/* JOBS_CRON_H */
