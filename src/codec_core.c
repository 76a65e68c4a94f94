/*-------------------------------------------------------------------------
 *
 * codec_core.c
 *		Text forms of times, ids and numbers; look-up of types and labels.
 *
 * Texts come with their length, need no closing NUL and may hold any bytes. A
 * time is what the server's timestamptz is: microseconds since 2000-01-01 UTC.
 * Whatever jobs_time_parse or jobs_time_from_seconds accepts, jobs_time_format
 * can write.
 *
 *-------------------------------------------------------------------------
 */
#include "codec_core.h"

#include <stdio.h>
#include <string.h>

#define USECS_PER_SECOND	INT64_C(1000000)
#define SECONDS_PER_DAY		INT64_C(86400)
#define USECS_PER_DAY		(SECONDS_PER_DAY * USECS_PER_SECOND)

/* Days from 0001-01-01, of which the year 1 is the first. */
#define DAYS_TO_2000		INT64_C(730119)
#define DAYS_TO_1970		INT64_C(719162)
#define DAYS_TO_10000		INT64_C(3652059)

#define TIME_FIRST			(-DAYS_TO_2000 * USECS_PER_DAY)
#define TIME_END			((DAYS_TO_10000 - DAYS_TO_2000) * USECS_PER_DAY)

/* Where parsing has got to. */
typedef struct Cursor
{
	const char *at;
	const char *end;
} Cursor;

const JobsType *
jobs_type_find(const char *name)
{
	for (int i = 0; jobs_types[i] != NULL; i++)
		if (strcmp(jobs_types[i]->name, name) == 0)
			return jobs_types[i];
	return NULL;
}

static int
lower(int c)
{
	return c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c;
}

static bool
same_text(const char *a, const char *b, size_t length, bool any_case)
{
	if (!any_case)
		return memcmp(a, b, length) == 0;
	for (size_t i = 0; i < length; i++)
		if (lower(a[i]) != lower(b[i]))
			return false;
	return true;
}

/* Position of a text among labels, -1 when it is none of them. */
int
jobs_label_find(const char *const *labels, const char *chars, size_t length,
				bool any_case)
{
	for (int i = 0; labels[i] != NULL; i++)
		if (strlen(labels[i]) == length &&
			same_text(labels[i], chars, length, any_case))
			return i;
	return -1;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Value of a hexadecimal digit, -1 for anything else. */
static int
hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Only the canonical form, 8-4-4-4-12 digits in either case: braces and other
 * forms that the server reads do not come back as they were.
 */
bool
jobs_uuid_parse(const char *chars, size_t length, unsigned char *bytes)
{
	int			done = 0;

	if (length != 36)
		return false;
	for (size_t i = 0; i < length; i += 2)
	{
		int			high;
		int			low;

		if (i == 8 || i == 13 || i == 18 || i == 23)
		{
			if (chars[i] != '-')
				return false;
			i++;
		}
		high = hex_value(chars[i]);
		low = hex_value(chars[i + 1]);
		if (high < 0 || low < 0)
			return false;
		bytes[done++] = (unsigned char) (high << 4 | low);
	}
	return true;
}

/* value * 10 + digit, in the direction of sign; false when it does not fit. */
static bool
push_digit(int64_t *value, int sign, int digit)
{
	if (__builtin_mul_overflow(*value, INT64_C(10), value))
		return false;
	return !__builtin_add_overflow(*value, (int64_t) sign * digit, value);
}

/* A number as the server writes it; false for a fraction or beyond 64 bits. */
bool
jobs_integer_parse(const char *chars, size_t length, int64_t *value)
{
	int			sign = 1;

	if (length > 0 && chars[0] == '-')
	{
		sign = -1;
		chars++;
		length--;
	}
	if (length == 0)
		return false;
	*value = 0;
	for (size_t i = 0; i < length; i++)
		if (!is_digit(chars[i]) || !push_digit(value, sign, chars[i] - '0'))
			return false;
	return true;
}

static bool
skip(Cursor *cursor, char c)
{
	if (cursor->at == cursor->end || *cursor->at != c)
		return false;
	cursor->at++;
	return true;
}

/* Exactly count digits, their value between low and high. */
static bool
take(Cursor *cursor, int count, int low, int high, int *value)
{
	if (cursor->end - cursor->at < count)
		return false;
	*value = 0;
	for (int i = 0; i < count; i++)
	{
		if (!is_digit(*cursor->at))
			return false;
		*value = *value * 10 + (*cursor->at++ - '0');
	}
	return *value >= low && *value <= high;
}

/* The digits after a decimal sign, rounded to microseconds: up to a million. */
static bool
take_fraction(Cursor *cursor, int *usecs)
{
	int			count = 0;

	*usecs = 0;
	for (; cursor->at < cursor->end && is_digit(*cursor->at); cursor->at++)
	{
		if (count < 6)
			*usecs = *usecs * 10 + (*cursor->at - '0');
		else if (count == 6 && *cursor->at >= '5')
			(*usecs)++;
		count++;
	}
	if (count == 0)
		return false;
	for (; count < 6; count++)
		*usecs *= 10;
	return true;
}

static bool
leap_year(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int
days_of_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && leap_year(year) ? 1 : 0);
}

/* From 0001-01-01 to the first of January of a year from 1 on. */
static int64_t
days_before_year(int year)
{
	int64_t		y = year - 1;

	return 365 * y + y / 4 - y / 100 + y / 400;
}

/* Days from 0001-01-01; extended tells whether the date has hyphens. */
static bool
take_date(Cursor *cursor, int64_t *days, bool *extended)
{
	int			year;
	int			month;
	int			day;

	if (!take(cursor, 4, 1, 9999, &year))
		return false;
	*extended = skip(cursor, '-');
	if (!take(cursor, 2, 1, 12, &month))
		return false;
	if (*extended && !skip(cursor, '-'))
		return false;
	if (!take(cursor, 2, 1, days_of_month(year, month), &day))
		return false;

	*days = days_before_year(year) + day - 1;
	for (int m = 1; m < month; m++)
		*days += days_of_month(year, m);
	return true;
}

/*
 * Microseconds from midnight; seconds may be left out. As in the server, second
 * 60 is the next minute and 24:00 the end of the day.
 */
static bool
take_clock(Cursor *cursor, bool extended, int64_t *usecs)
{
	int			hour;
	int			minute;
	int			second = 0;
	int			fraction = 0;
	bool		more;

	if (!take(cursor, 2, 0, 24, &hour))
		return false;
	if (extended && !skip(cursor, ':'))
		return false;
	if (!take(cursor, 2, 0, 59, &minute))
		return false;
	more = extended ? skip(cursor, ':') :
		cursor->at < cursor->end && is_digit(*cursor->at);
	if (more)
	{
		if (!take(cursor, 2, 0, 60, &second))
			return false;
		if ((skip(cursor, '.') || skip(cursor, ',')) &&
			!take_fraction(cursor, &fraction))
			return false;
	}
	*usecs = ((hour * 60 + minute) * INT64_C(60) + second) * USECS_PER_SECOND + fraction;
	return hour < 24 || *usecs == USECS_PER_DAY;
}

/* Microseconds east of UTC; none at all means UTC. */
static bool
take_offset(Cursor *cursor, int64_t *usecs)
{
	int			sign;
	int			hours;
	int			minutes = 0;

	*usecs = 0;
	if (cursor->at == cursor->end || skip(cursor, 'Z') || skip(cursor, 'z'))
		return true;
	if (skip(cursor, '+'))
		sign = 1;
	else if (skip(cursor, '-'))
		sign = -1;
	else
		return false;
	if (!take(cursor, 2, 0, 23, &hours))
		return false;
	if ((skip(cursor, ':') || cursor->at < cursor->end) &&
		!take(cursor, 2, 0, 59, &minutes))
		return false;
	*usecs = sign * (hours * 60 + minutes) * 60 * USECS_PER_SECOND;
	return true;
}

static bool
in_range(int64_t time)
{
	return time >= TIME_FIRST && time < TIME_END;
}

/*
 * ISO 8601 date and time of day, in extended or basic form, with or without an
 * offset; digits beyond microseconds are rounded. False for anything else, and
 * for times that in UTC fall outside of the years 1 to 9999.
 */
bool
jobs_time_parse(const char *chars, size_t length, int64_t *time)
{
	Cursor		cursor = {chars, chars + length};
	int64_t		days;
	int64_t		clock;
	int64_t		offset;
	bool		extended;

	if (!take_date(&cursor, &days, &extended))
		return false;
	if (!skip(&cursor, 'T') && !skip(&cursor, 't') && !skip(&cursor, ' '))
		return false;
	if (!take_clock(&cursor, extended, &clock) || !take_offset(&cursor, &offset))
		return false;
	*time = (days - DAYS_TO_2000) * USECS_PER_DAY + clock - offset;
	return cursor.at == cursor.end && in_range(*time);
}

/*
 * Unix seconds, a decimal number without exponent, as the server writes one;
 * digits beyond microseconds are rounded away from zero. Same range as above.
 */
bool
jobs_time_from_seconds(const char *chars, size_t length, int64_t *time)
{
	Cursor		cursor = {chars, chars + length};
	int			sign = skip(&cursor, '-') ? -1 : 1;
	int64_t		seconds = 0;
	int			fraction = 0;

	if (cursor.at == cursor.end || !is_digit(*cursor.at))
		return false;
	for (; cursor.at < cursor.end && is_digit(*cursor.at); cursor.at++)
		if (!push_digit(&seconds, sign, *cursor.at - '0'))
			return false;
	if (skip(&cursor, '.') && !take_fraction(&cursor, &fraction))
		return false;
	if (cursor.at != cursor.end)
		return false;
	if (seconds < -DAYS_TO_1970 * SECONDS_PER_DAY ||
		seconds >= DAYS_TO_10000 * SECONDS_PER_DAY)
		return false;
	*time = (seconds - (DAYS_TO_2000 - DAYS_TO_1970) * SECONDS_PER_DAY) * USECS_PER_SECOND +
		sign * fraction;
	return in_range(*time);
}

/* Days from 0001-01-01 to a date. */
static void
split_days(int64_t days, int *year, int *month, int *day)
{
	*year = (int) (days * 400 / days_before_year(401)) + 1;
	while (days_before_year(*year) > days)
		(*year)--;
	while (days_before_year(*year + 1) <= days)
		(*year)++;
	days -= days_before_year(*year);
	for (*month = 1; days >= days_of_month(*year, *month); (*month)++)
		days -= days_of_month(*year, *month);
	*day = (int) days + 1;
}

/*
 * ISO 8601 in UTC, with microseconds only when they are not zero, into a buffer
 * of JOBS_TIME_SIZE. False for what cannot be said so: before the year 1, after
 * 9999, and the infinities.
 */
bool
jobs_time_format(int64_t time, char *buffer)
{
	int64_t		since;
	int			year;
	int			month;
	int			day;
	int			second;
	int			usecs;
	int			used;

	if (!in_range(time))
		return false;
	since = time - TIME_FIRST;
	split_days(since / USECS_PER_DAY, &year, &month, &day);
	usecs = (int) (since % USECS_PER_SECOND);
	second = (int) (since / USECS_PER_SECOND % SECONDS_PER_DAY);
	used = snprintf(buffer, JOBS_TIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d",
					year, month, day, second / 3600, second / 60 % 60, second % 60);
	if (usecs != 0)
		used += snprintf(buffer + used, JOBS_TIME_SIZE - used, ".%06d", usecs);
	snprintf(buffer + used, JOBS_TIME_SIZE - used, "+00:00");
	return true;
}
