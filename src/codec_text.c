/*-------------------------------------------------------------------------
 *
 * codec_text.c
 *		From the text of a JSON document to jsonb, and the list of what is
 *		wrong with a document.
 *
 * The server's own parser judges the text. It is run by hand, because jsonb
 * input neither says in which column an error is nor notices a key that is
 * given twice, and because depth is to be limited before jsonb input recurses.
 *
 *-------------------------------------------------------------------------
 */
#include "codec.h"

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonfuncs.h"

/* What a message shows of a document: of a key, of a token. */
#define MAX_KEY_BYTES	64
#define MAX_TOKEN_BYTES 80

/* An object or array that the parser is in. */
typedef struct Level
{
	JobsPath	path;			/* of the member that it is at */
	char	  **keys;			/* of an object, so far */
	int			count;
	int			size;
} Level;

typedef struct Judge
{
	JobsProblems *problems;
	Level	   *levels;			/* [0] is the document itself */
	int			depth;
} Judge;

void
jobs_problems_init(JobsProblems *problems, const char *branch)
{
	initStringInfo(&problems->lines);
	problems->count = 0;
	problems->branch = branch;
}

/* As in status_history[2].name; keys from a document are cut off when long. */
static void
append_path(StringInfo line, const JobsPath *path)
{
	if (path->up != NULL)
		append_path(line, path->up);
	if (path->key == NULL)
		appendStringInfo(line, "[%d]", path->index);
	else
	{
		int			length = strlen(path->key);
		int			shown = pg_mbcliplen(path->key, length, MAX_KEY_BYTES);

		if (path->up != NULL)
			appendStringInfoChar(line, '.');
		appendBinaryStringInfo(line, path->key, shown);
		if (shown < length)
			appendStringInfoString(line, "...");
	}
}

/*
 * Adds a line that says what is wrong at a place. Lines beyond
 * JOBS_MAX_PROBLEMS are only counted. No values of the document: they may be
 * secrets, and messages go to logs.
 */
void
jobs_problem(JobsProblems *problems, const JobsPath *path, const char *format,...)
{
	StringInfo	lines = &problems->lines;
	va_list		args;
	int			missing;

	if (problems->count++ >= JOBS_MAX_PROBLEMS)
		return;
	if (lines->len > 0)
		appendStringInfoChar(lines, '\n');
	if (problems->branch != NULL)
		appendStringInfo(lines, "%s: ", problems->branch);
	if (path == NULL)
		appendStringInfoString(lines, "document");
	else
		append_path(lines, path);
	appendStringInfoString(lines, ": ");
	for (;;)
	{
		va_start(args, format);
		missing = appendStringInfoVA(lines, format, args);
		va_end(args);
		if (missing == 0)
			break;
		enlargeStringInfo(lines, missing);
	}
}

/* The lines, and how many there are beyond them. */
static char *
all_lines(JobsProblems *problems)
{
	if (problems->count > JOBS_MAX_PROBLEMS)
		appendStringInfo(&problems->lines, "\n%s%sand " INT64_FORMAT " more",
						 problems->branch ? problems->branch : "",
						 problems->branch ? ": " : "",
						 problems->count - JOBS_MAX_PROBLEMS);
	return problems->lines.data;
}

/* Appends all problems of another list, which has its own limit of lines. */
void
jobs_problems_add(JobsProblems *problems, JobsProblems *more)
{
	if (more->count == 0)
		return;
	if (problems->lines.len > 0)
		appendStringInfoChar(&problems->lines, '\n');
	appendStringInfoString(&problems->lines, all_lines(more));
	problems->count += Min(more->count, JOBS_MAX_PROBLEMS);
}

/* One error for all problems; returns when there are none. */
void
jobs_problems_report(JobsProblems *problems, const JobsType *type)
{
	if (problems->count == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("JSON document is not a valid %s", type->title),
			 errdetail_internal("%s", all_lines(problems))));
}

static int
compare_keys(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* What comes next is a member of the innermost object or array. */
static void
at_member(Judge *judge, char *key)
{
	Level	   *level = &judge->levels[judge->depth];

	level->path.key = key;
	level->path.index++;
}

static void
enter_level(Judge *judge)
{
	Level	   *level;

	CHECK_FOR_INTERRUPTS();
	if (judge->depth == jobs_json_max_depth)
		jobs_codec_too_deep();
	level = &judge->levels[++judge->depth];
	memset(level, 0, sizeof(Level));
	level->path.up = judge->depth > 1 ? &judge->levels[judge->depth - 1].path : NULL;
	level->path.index = -1;
}

static JOBS_JSON_ACTION
on_start(void *state)
{
	enter_level(state);
	JOBS_JSON_GO_ON;
}

static JOBS_JSON_ACTION
on_array_end(void *state)
{
	((Judge *) state)->depth--;
	JOBS_JSON_GO_ON;
}

static JOBS_JSON_ACTION
on_element(void *state, bool isnull)
{
	at_member(state, NULL);
	JOBS_JSON_GO_ON;
}

static JOBS_JSON_ACTION
on_key(void *state, char *key, bool isnull)
{
	Judge	   *judge = state;
	Level	   *level = &judge->levels[judge->depth];

	at_member(judge, key);
	if (level->count == level->size)
	{
		level->size = Max(16, level->size * 2);
		level->keys = level->keys == NULL ? palloc(level->size * sizeof(char *)) :
			repalloc_huge(level->keys, level->size * sizeof(char *));
	}
	level->keys[level->count++] = key;
	JOBS_JSON_GO_ON;
}

/* One problem for each key that stands more than once among sorted keys. */
static void
report_repeated(JobsProblems *problems, Level *level)
{
	bool		repeated = false;

	for (int i = 1; i < level->count; i++)
	{
		bool		known = repeated;

		repeated = strcmp(level->keys[i - 1], level->keys[i]) == 0;
		level->path.key = level->keys[i];
		if (repeated && !known)
			jobs_problem(problems, &level->path, "key is given more than once");
	}
}

static JOBS_JSON_ACTION
on_object_end(void *state)
{
	Judge	   *judge = state;
	Level	   *level = &judge->levels[judge->depth];

	if (level->count > 0)
	{
		qsort(level->keys, level->count, sizeof(char *), compare_keys);
		report_repeated(judge->problems, level);
		for (int i = 0; i < level->count; i++)
			pfree(level->keys[i]);
		pfree(level->keys);
	}
	judge->depth--;
	JOBS_JSON_GO_ON;
}

/*
 * Where the token begins that the parser could not take. The parser's detail
 * quotes it, and an unfinished string goes on to the end of the document.
 */
static void
report_bad_text(JsonParseErrorType error, JsonLexContext *lex)
{
	const char *at = lex->token_start != NULL ? lex->token_start : lex->token_terminator;
	int			column = pg_mbstrlen_with_len(lex->line_start, at - lex->line_start) + 1;
	char	   *detail = json_errdetail(error, lex);
	int			length = strlen(detail);
	int			shown = pg_mbcliplen(detail, length, MAX_TOKEN_BYTES);

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid JSON at line %d, column %d", lex->line_number, column),
			 errdetail_internal("%.*s%s", shown, detail, shown < length ? "..." : "")));
}

static void
check_size(text *json)
{
	int64		limit = (int64) jobs_json_max_size_kb * 1024;

	if ((int64) VARSIZE_ANY_EXHDR(json) > limit)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("JSON document is too long"),
				 errdetail("It has %d bytes, the limit is " INT64_FORMAT ".",
						   (int) VARSIZE_ANY_EXHDR(json), limit),
				 errhint("The limit is the setting jobs.json_max_size.")));
}

/*
 * The jsonb of a text. Keys that are given twice go to the list of problems,
 * anywhere in the document; text that is not JSON, too long or too deep is an
 * error at once.
 */
Jsonb *
jobs_text_to_jsonb(text *json, JobsProblems *problems)
{
	Judge		judge = {problems, NULL, 0};
	JsonSemAction actions = nullSemAction;
	JsonLexContext *lex;
	JsonParseErrorType error;

	check_size(json);
	judge.levels = palloc((jobs_json_max_depth + 1) * sizeof(Level));
	memset(&judge.levels[0], 0, sizeof(Level));
	actions.semstate = &judge;
	actions.object_start = on_start;
	actions.array_start = on_start;
	actions.object_end = on_object_end;
	actions.array_end = on_array_end;
	actions.object_field_start = on_key;
	actions.array_element_start = on_element;

	lex = JOBS_JSON_LEXER(json);
	error = pg_parse_json(lex, &actions);
	if (error != JSON_SUCCESS)
		report_bad_text(error, lex);
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
											  CStringGetDatum(text_to_cstring(json))));
}
