/*-------------------------------------------------------------------------
 *
 * codec.h
 *		What the files of the codec share: codec.c writes, codec_read.c reads,
 *		codec_text.c judges text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JOBS_CODEC_H
#define JOBS_CODEC_H

#include "jobs.h"

#include "access/tupdesc.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"

#include "codec_core.h"

/* Lines of a DETAIL; what is beyond is counted. */
#define JOBS_MAX_PROBLEMS	100

/* A place in a document: from the inside out; NULL is the document itself. */
typedef struct JobsPath
{
	const struct JobsPath *up;
	const char *key;			/* NULL: element of an array */
	int			index;
} JobsPath;

/* All that is wrong with a document. */
typedef struct JobsProblems
{
	StringInfoData lines;
	int64		count;
	const char *branch;			/* put before each line, if not NULL */
} JobsProblems;

/* codec.c */
extern const JobsType *jobs_codec_type(Oid typid);
extern TupleDesc jobs_codec_row(const JobsType *type, Oid typid);
extern Oid	jobs_codec_element(Oid typid, const JobsField *field);
extern MemoryContext jobs_codec_enter(void);
extern Datum jobs_codec_leave(MemoryContext outer, Datum result);
extern void jobs_codec_too_deep(void);

/* codec_text.c */
extern Jsonb *jobs_text_to_jsonb(text *json, JobsProblems *problems);
extern void jobs_problems_init(JobsProblems *problems, const char *branch);
extern void jobs_problem(JobsProblems *problems, const JobsPath *path,
						 const char *format,...) pg_attribute_printf(3, 4);
extern void jobs_problems_add(JobsProblems *problems, JobsProblems *more);
extern void jobs_problems_report(JobsProblems *problems, const JobsType *type);

#endif							/* JOBS_CODEC_H */
