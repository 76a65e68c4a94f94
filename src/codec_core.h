/*-------------------------------------------------------------------------
 *
 * codec_core.h
 *		The part of the codec that knows nothing of the server: descriptors of
 *		the types, and the text forms of times, ids and numbers.
 *
 * Plain C, so that it can be fuzzed and tested on its own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JOBS_CODEC_CORE_H
#define JOBS_CODEC_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a field holds, in SQL and in JSON. */
typedef enum JobsKind
{
	JOBS_KIND_UUID,				/* uuid: string */
	JOBS_KIND_TIME,				/* timestamptz: ISO 8601 string; reads numbers */
	JOBS_KIND_TEXT,				/* text: string; with labels, one of them */
	JOBS_KIND_INT,				/* integer: number without fraction */
	JOBS_KIND_BIGINT,			/* bigint: number without fraction */
	JOBS_KIND_STATUS,			/* job_status_name: string, any case */
	JOBS_KIND_ARCHIVE,			/* archive_status_name: string, any case */
	JOBS_KIND_JSONB,			/* jsonb: anything; with a type, array of it */
	JOBS_KIND_OBJECT			/* composite: object */
} JobsKind;

/* What NULL means. */
typedef enum JobsPresence
{
	JOBS_REQUIRED,				/* must be there and not null */
	JOBS_OPTIONAL,				/* NULL is left out of the JSON */
	JOBS_NULLABLE				/* NULL is written as null; may be left out */
} JobsPresence;

typedef struct JobsField
{
	const char *name;			/* attribute of the SQL type, and JSON key */
	JobsKind	kind;			/* of the elements, if a list */
	JobsPresence presence;
	bool		list;			/* SQL and JSON array */
	const struct JobsType *type;	/* of objects */
	const char *const *labels;	/* all that are allowed; ends with NULL */
} JobsField;

/*
 * A composite type. One with any_of stands for one of several others: each of
 * its object fields is a branch, tried in order; its jsonb field is the JSON of
 * the branch that matched; its list of texts names the branches.
 */
typedef struct JobsType
{
	const char *name;			/* in schema jobs */
	const char *title;			/* in the source model */
	const JobsField *fields;
	int			nfields;
	bool		any_of;
} JobsType;

#define JOBS_TIME_SIZE		33	/* 0001-01-01T00:00:00.000001+00:00 */
#define JOBS_UUID_BYTES		16

/* codec_types.c */
extern const JobsType *const jobs_types[];	/* ends with NULL */
extern const char *const jobs_archive_labels[];

/* codec_core.c */
extern const JobsType *jobs_type_find(const char *name);
extern int	jobs_label_find(const char *const *labels, const char *chars,
							size_t length, bool any_case);
extern bool jobs_uuid_parse(const char *chars, size_t length, unsigned char *bytes);
extern bool jobs_integer_parse(const char *chars, size_t length, int64_t *value);
extern bool jobs_time_parse(const char *chars, size_t length, int64_t *time);
extern bool jobs_time_from_seconds(const char *chars, size_t length, int64_t *time);
extern bool jobs_time_format(int64_t time, char *buffer);

#endif							/* JOBS_CODEC_CORE_H */
