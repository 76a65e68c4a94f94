/*-------------------------------------------------------------------------
 *
 * codec_core.c
 *		Fuzzing of src/codec_core.c: every input goes through every parser, and
 *		what a parser accepts must come back the same from its text form.
 *
 *-------------------------------------------------------------------------
 */
#include "codec_core.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MUST(condition) \
	do { \
		if (!(condition)) \
		{ \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

int			LLVMFuzzerInitialize(int *argc, char ***argv);
int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The descriptors: names are unique, and each field has what its kind needs. */
static void
check_type(const JobsType *type)
{
	int			branches = 0;

	MUST(jobs_type_find(type->name) == type);
	MUST(type->nfields > 0);
	for (int i = 0; i < type->nfields; i++)
	{
		const JobsField *field = &type->fields[i];

		for (int j = 0; j < i; j++)
			MUST(strcmp(field->name, type->fields[j].name) != 0);
		MUST(field->kind <= JOBS_KIND_OBJECT);
		MUST(field->kind != JOBS_KIND_OBJECT || field->type != NULL);
		MUST(field->kind == JOBS_KIND_OBJECT || field->kind == JOBS_KIND_JSONB ||
			 field->type == NULL);
		MUST(field->labels == NULL || field->kind == JOBS_KIND_TEXT);
		if (field->type != NULL)
			MUST(jobs_type_find(field->type->name) == field->type);
		if (field->kind == JOBS_KIND_OBJECT)
			branches++;
	}
	MUST(!type->any_of || branches > 1);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	for (int i = 0; jobs_types[i] != NULL; i++)
		check_type(jobs_types[i]);
	return 0;
}

static void
check_written(int64_t time, const char *text)
{
	int64_t		again;

	MUST(strlen(text) < JOBS_TIME_SIZE);
	MUST(jobs_time_parse(text, strlen(text), &again));
	MUST(again == time);
}

/* What is accepted can be written, and is read as the same time. */
static void
check_time(const char *text, size_t size)
{
	char		written[JOBS_TIME_SIZE];
	int64_t		time;

	if (jobs_time_parse(text, size, &time))
	{
		MUST(jobs_time_format(time, written));
		check_written(time, written);
	}
	if (jobs_time_from_seconds(text, size, &time))
	{
		MUST(jobs_time_format(time, written));
		check_written(time, written);
	}
}

/* Any 64 bits are a time that is written and read, or not written at all. */
static void
check_bits(const uint8_t *data, size_t size)
{
	char		written[JOBS_TIME_SIZE];
	int64_t		time;

	if (size < sizeof(time))
		return;
	memcpy(&time, data, sizeof(time));
	for (int shift = 0; shift < 24; shift += 4)
		if (jobs_time_format(time >> shift, written))
			check_written(time >> shift, written);
}

/* The C library reads the same number; it would also read blanks and a plus. */
static void
check_integer(const char *text, size_t size)
{
	char	   *copy = malloc(size + 1);
	int64_t		value;
	bool		digits = size > 0 && strspn(text, "-0123456789") >= size;

	memcpy(copy, text, size);
	copy[size] = '\0';
	errno = 0;
	if (jobs_integer_parse(text, size, &value))
		MUST(strtoll(copy, NULL, 10) == value && errno == 0);
	else if (digits && strchr(copy + 1, '-') == NULL && strcmp(copy, "-") != 0)
	{
		strtoll(copy, NULL, 10);
		MUST(errno == ERANGE);
	}
	free(copy);
}

static void
check_uuid(const char *text, size_t size)
{
	unsigned char bytes[JOBS_UUID_BYTES];
	size_t		at = 0;

	if (!jobs_uuid_parse(text, size, bytes))
		return;
	for (int i = 0; i < JOBS_UUID_BYTES; i++)
	{
		char		pair[3];

		if (text[at] == '-')
			at++;
		snprintf(pair, sizeof(pair), "%02x", bytes[i]);
		MUST(strncasecmp(pair, text + at, 2) == 0);
		at += 2;
	}
	MUST(at == size);
}

static void
check_names(const char *text, size_t size)
{
	char	   *copy = malloc(size + 1);
	const JobsType *type;
	int			found;

	memcpy(copy, text, size);
	copy[size] = '\0';
	type = jobs_type_find(copy);
	MUST(type == NULL || strcmp(type->name, copy) == 0);
	found = jobs_label_find(jobs_archive_labels, text, size, true);
	MUST(found < 0 || strcasecmp(jobs_archive_labels[found], copy) == 0);
	found = jobs_label_find(jobs_archive_labels, text, size, false);
	MUST(found < 0 || strcmp(jobs_archive_labels[found], copy) == 0);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* No closing NUL, so that reading past the end is seen. */
	char	   *text = malloc(size > 0 ? size : 1);

	memcpy(text, data, size);
	check_time(text, size);
	check_bits(data, size);
	check_uuid(text, size);
	check_names(text, size);
	free(text);

	text = malloc(size + 1);
	memcpy(text, data, size);
	text[size] = '\0';
	check_integer(text, size);
	free(text);
	return 0;
}
