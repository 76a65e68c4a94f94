/*-------------------------------------------------------------------------
 *
 * cron.c
 *		Reads the five fields of cron, and finds the next minute that fits.
 *
 * The language is that of crontab(5): minute, hour, day of the month, month, day
 * of the week; lists, ranges, steps, names of months and days, 7 for Sunday, and
 * words such as @daily. When both days are restricted a day need fit only one of
 * them; a field is restricted unless it starts with *. What can never come, such
 * as the 30th of February, is refused, so there always is a next time: at most 40
 * years away (29 February on a given day of the week, around 2100).
 *
 * Debian packages no C library for this that is looked after, and the language
 * is small. Plain C, which knows nothing of the server.
 *
 *-------------------------------------------------------------------------
 */
#include "cron.h"

#include <stdio.h>
#include <string.h>

/* More than the 40 years that a next time can be away. */
#define MAX_YEARS 50

typedef struct Cursor
{
	const char *at;
	const char *end;
	char	   *error;
} Cursor;

typedef struct Field
{
	const char *name;
	int			low;
	int			high;
	const char *names;			/* of three letters each, from low; NULL: none */
} Field;

enum
{
	MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS
};

static const Field fields[FIELDS] = {
	[MINUTE] = {"minute", 0, 59, NULL},
	[HOUR] = {"hour", 0, 23, NULL},
	[DAY] = {"day of the month", 1, 31, NULL},
	[MONTH] = {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
	[WEEKDAY] = {"day of the week", 0, 7, "sunmontuewedthufrisat"},
};

static const struct
{
	const char *word;
	const char *text;
}			words[] = {
	{"@yearly", "0 0 1 1 *"},
	{"@annually", "0 0 1 1 *"},
	{"@monthly", "0 0 1 * *"},
	{"@weekly", "0 0 * * 0"},
	{"@daily", "0 0 * * *"},
	{"@midnight", "0 0 * * *"},
	{"@hourly", "0 * * * *"},
};

#define COUNT(array) ((int) (sizeof(array) / sizeof((array)[0])))

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static bool
same_letters(const char *text, const char *word, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (lower(text[i]) != word[i])
			return false;
	return true;
}

/* Always false, with the reason. */
static bool
fail(Cursor *c, const char *field, const char *reason)
{
	snprintf(c->error, JOBS_CRON_ERROR_SIZE, "%s %s", field, reason);
	return false;
}

static bool
out_of_range(Cursor *c, const Field *field)
{
	snprintf(c->error, JOBS_CRON_ERROR_SIZE, "%s must be between %d and %d",
			 field->name, field->low, field->high);
	return false;
}

/* Whether the next character is that one; it is then behind us. */
static bool
accept(Cursor *c, char wanted)
{
	if (c->at == c->end || *c->at != wanted)
		return false;
	c->at++;
	return true;
}

/* A number of at most three digits: no field has longer ones. */
static bool
read_digits(Cursor *c, int *value)
{
	const char *start = c->at;

	*value = 0;
	while (c->at < c->end && *c->at >= '0' && *c->at <= '9' && c->at - start < 4)
		*value = *value * 10 + (*c->at++ - '0');
	return c->at > start;
}

/* A name of the field; names are numbered from its lowest value. */
static bool
read_name(Cursor *c, const Field *field, int *value)
{
	if (field->names == NULL || c->end - c->at < 3)
		return false;
	for (int i = 0; field->names[i * 3] != '\0'; i++)
		if (same_letters(c->at, field->names + i * 3, 3))
		{
			c->at += 3;
			*value = field->low + i;
			return true;
		}
	return false;
}

static bool
read_value(Cursor *c, const Field *field, int *value)
{
	if (!read_name(c, field, value) && !read_digits(c, value))
		return fail(c, field->name, field->names != NULL ? "needs a number, a name of three letters or *" :
					"needs a number or *");
	return (*value >= field->low && *value <= field->high) || out_of_range(c, field);
}

/* Star, value, or range, and its step: one item of a list. */
static bool
read_item(Cursor *c, const Field *field, uint64_t *bits)
{
	int			low = field->low;
	int			high = field->high;
	int			step = 1;
	bool		single = false;

	if (!accept(c, '*'))
	{
		if (!read_value(c, field, &low))
			return false;
		high = low;
		single = !accept(c, '-');
		if (!single && !read_value(c, field, &high))
			return false;
		/* A week may end with Sunday. */
		if (!single && field == &fields[WEEKDAY] && high == 0 && low > 0)
			high = 7;
		if (high < low)
			return fail(c, field->name, "has a range that runs backwards");
	}
	else if (field == &fields[WEEKDAY])
		high = 6;
	if (accept(c, '/'))
	{
		if (single)
			return fail(c, field->name, "has a step without a range: write */2 or 10-50/2");
		if (!read_digits(c, &step) || step < 1 || step > field->high)
			return fail(c, field->name, "has a step that is no number from 1 to its highest value");
	}
	for (int value = low; value <= high; value += step)
		*bits |= UINT64_C(1) << value;
	return true;
}

static bool
read_field(Cursor *c, const Field *field, uint64_t *bits, bool *star)
{
	while (c->at < c->end && is_blank(*c->at))
		c->at++;
	if (c->at == c->end)
		return fail(c, field->name, "is missing: five fields are needed");
	*star = *c->at == '*';
	*bits = 0;
	do
	{
		if (!read_item(c, field, bits))
			return false;
	} while (accept(c, ','));
	if (c->at < c->end && !is_blank(*c->at))
		return fail(c, field->name, "has something after it that is no list, range or step");
	return true;
}

static int
days_of_month(int64_t year, int month)
{
	static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* Whether there ever is such a day. */
static bool
possible(const JobsCron *cron)
{
	if (!cron->both_days)
		return true;
	for (int month = 1; month <= 12; month++)
		if (cron->months & (1 << month))
			for (int day = 1; day <= days_of_month(2000, month); day++)
				if (cron->days & (UINT32_C(1) << day))
					return true;
	return false;
}

static bool
read_fields(Cursor *c, JobsCron *cron)
{
	uint64_t	bits[FIELDS];
	bool		star[FIELDS];

	for (int i = 0; i < FIELDS; i++)
		if (!read_field(c, &fields[i], &bits[i], &star[i]))
			return false;
	while (c->at < c->end && is_blank(*c->at))
		c->at++;
	if (c->at < c->end)
		return fail(c, "the text", "has more than five fields");
	cron->minutes = bits[MINUTE];
	cron->hours = (uint32_t) bits[HOUR];
	cron->days = (uint32_t) bits[DAY];
	cron->months = (uint16_t) bits[MONTH];
	cron->weekdays = (uint8_t) ((bits[WEEKDAY] & 0x7f) | (bits[WEEKDAY] >> 7 & 1));
	cron->both_days = star[DAY] || star[WEEKDAY];
	cron->elapsed = star[MINUTE] || star[HOUR];
	return possible(cron) || fail(c, "the day", "never comes");
}

/*
 * False when the text is no such expression; error, of JOBS_CRON_ERROR_SIZE
 * bytes, then says what is wrong with it.
 */
bool
jobs_cron_parse(const char *text, size_t length, JobsCron *cron, char *error)
{
	Cursor		c = {text, text + length, error};

	error[0] = '\0';
	while (c.at < c.end && is_blank(*c.at))
		c.at++;
	while (c.at < c.end && is_blank(c.end[-1]))
		c.end--;
	if (c.at == c.end || *c.at != '@')
		return read_fields(&c, cron);
	for (int i = 0; i < COUNT(words); i++)
		if (strlen(words[i].word) == (size_t) (c.end - c.at) &&
			same_letters(c.at, words[i].word, strlen(words[i].word)))
		{
			c.at = words[i].text;
			c.end = c.at + strlen(c.at);
			return read_fields(&c, cron);
		}
	return fail(&c, "the text", "is none of @yearly, @monthly, @weekly, @daily and @hourly");
}

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

typedef struct Date
{
	int64_t		year;
	int			month;
	int			day;
	int64_t		number;			/* days since 1970-01-01, a Thursday */
} Date;

/*
 * The date of a day. Counted from 1 March of a year that 400 divides, so that a
 * leap day is the last of its year; five months from March on have 153 days.
 */
static Date
date_of(int64_t number)
{
	int64_t		since = number + 719468;	/* 0000-03-01 */
	int64_t		era = floor_div(since, 146097);
	int64_t		day_of_era = since - era * 146097;
	int64_t		year = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int			day_of_year = (int) (day_of_era - (365 * year + year / 4 - year / 100));
	int			month = (5 * day_of_year + 2) / 153;
	Date		date;

	date.day = day_of_year - (153 * month + 2) / 5 + 1;
	date.month = month < 10 ? month + 3 : month - 9;
	date.year = year + era * 400 + (date.month <= 2);
	date.number = number;
	return date;
}

static bool
day_matches(const JobsCron *cron, const Date *date)
{
	int			weekday = (int) (date->number + 4 - floor_div(date->number + 4, 7) * 7);
	bool		by_date = (cron->days & (UINT32_C(1) << date->day)) != 0;
	bool		by_weekday = (cron->weekdays & (1 << weekday)) != 0;

	if (!(cron->months & (1 << date->month)))
		return false;
	return cron->both_days ? by_date && by_weekday : by_date || by_weekday;
}

/* The next month, on its first day. */
static void
next_month(Date *date)
{
	date->number += days_of_month(date->year, date->month) - date->day + 1;
	date->day = 1;
	if (++date->month > 12)
	{
		date->month = 1;
		date->year++;
	}
}

static void
next_day(Date *date)
{
	if (date->day == days_of_month(date->year, date->month))
		next_month(date);
	else
	{
		date->day++;
		date->number++;
	}
}

/* The first minute of a day that fits, from one on; -1: none. */
static int
minute_of_day(const JobsCron *cron, int from)
{
	for (int hour = from / 60; hour < 24; hour++)
		if (cron->hours & (UINT32_C(1) << hour))
			for (int minute = hour == from / 60 ? from % 60 : 0; minute < 60; minute++)
				if (cron->minutes & (UINT64_C(1) << minute))
					return hour * 60 + minute;
	return -1;
}

bool
jobs_cron_matches(const JobsCron *cron, int64_t minute)
{
	Date		date = date_of(floor_div(minute, JOBS_MINUTES_PER_DAY));
	int			rest = (int) (minute - date.number * JOBS_MINUTES_PER_DAY);

	return day_matches(cron, &date) && minute_of_day(cron, rest) == rest;
}

/* The first minute that fits, from one on. Of what was parsed, there always is one. */
bool
jobs_cron_next(const JobsCron *cron, int64_t from, int64_t *minute)
{
	Date		date = date_of(floor_div(from, JOBS_MINUTES_PER_DAY));
	int			start = (int) (from - date.number * JOBS_MINUTES_PER_DAY);
	int64_t		last_year = date.year + MAX_YEARS;

	while (date.year <= last_year)
	{
		int			found = day_matches(cron, &date) ? minute_of_day(cron, start) : -1;

		if (found >= 0)
		{
			*minute = date.number * JOBS_MINUTES_PER_DAY + found;
			return true;
		}
		start = 0;
		if (cron->months & (1 << date.month))
			next_day(&date);
		else
			next_month(&date);
	}
	return false;
}
