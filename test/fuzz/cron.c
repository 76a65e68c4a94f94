/*-------------------------------------------------------------------------
 *
 * cron.c
 *		Fuzzing of src/cron.c: whatever the text, it is refused with a reason or
 *		has a next time, which fits, and before which nothing fits.
 *
 * The first eight bytes are where to start, the rest is the text.
 *
 *-------------------------------------------------------------------------
 */
#include "cron.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition) \
	do { \
		if (!(condition)) \
		{ \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

/* Year 1 to 9999, as the server gives them. */
#define FIRST_MINUTE	INT64_C(-1035593280)
#define MINUTES			(INT64_C(9998) * 525600)

/* How far it is looked minute by minute. */
#define LOOK			3000

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_times(const JobsCron *cron, int64_t from)
{
	for (int i = 0; i < 3; i++)
	{
		int64_t		next;
		int64_t		last;

		MUST(jobs_cron_next(cron, from, &next));
		MUST(next >= from && next - from < INT64_C(41) * 366 * JOBS_MINUTES_PER_DAY);
		MUST(jobs_cron_matches(cron, next));
		last = next - from > LOOK ? from + LOOK : next;
		for (int64_t minute = from; minute < last; minute++)
			MUST(!jobs_cron_matches(cron, minute));
		from = next + 1;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char		error[JOBS_CRON_ERROR_SIZE];
	JobsCron	cron;
	uint64_t	start;
	char	   *text;

	if (size < sizeof(start))
		return 0;
	memcpy(&start, data, sizeof(start));
	data += sizeof(start);
	size -= sizeof(start);

	/* No closing NUL, so that reading past the end is seen. */
	text = malloc(size > 0 ? size : 1);
	memcpy(text, data, size);
	if (jobs_cron_parse(text, size, &cron, error))
	{
		MUST(error[0] == '\0');
		MUST(cron.minutes != 0 && cron.minutes >> 60 == 0);
		MUST(cron.hours != 0 && cron.hours >> 24 == 0);
		MUST(cron.days != 0 && (cron.days & 1) == 0);
		MUST(cron.months != 0 && (cron.months & 1) == 0 && cron.months >> 13 == 0);
		MUST(cron.weekdays != 0 && cron.weekdays >> 7 == 0);
		check_times(&cron, FIRST_MINUTE + (int64_t) (start % MINUTES));
	}
	else
		MUST(error[0] != '\0' && strlen(error) < JOBS_CRON_ERROR_SIZE);
	free(text);
	return 0;
}
