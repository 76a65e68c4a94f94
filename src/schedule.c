/*-------------------------------------------------------------------------
 *
 * schedule.c
 *		Jobs that come again and again.
 *
 * A schedule says when (cron.c), in which time zone, and which job. The sweep
 * locks the schedules that are due, passing over those that another sweep has,
 * and in the same transaction adds the job and moves next_run on: so each time
 * comes once, whoever sweeps and whatever rolls back.
 *
 * The job is added in the name of the schedule's user and with that user's
 * rights of then, each in a subtransaction: what goes wrong is written down in
 * the schedule, and the others go on.
 *
 * Times by the clock. As cron does, a time that the clock leaves out when it is
 * put forward comes right after that, and one that it shows twice comes the first
 * time. Expressions whose minute or hour starts with * mean time that passes: for
 * them, minutes that the clock leaves out do not exist, and those that it shows
 * twice are two.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "cron.h"
#include "newjob.h"

PG_FUNCTION_INFO_V1(jobs_add_schedule);
PG_FUNCTION_INFO_V1(jobs_remove_schedule);
PG_FUNCTION_INFO_V1(jobs_pause_schedule);
PG_FUNCTION_INFO_V1(jobs_resume_schedule);
PG_FUNCTION_INFO_V1(jobs_next_runs);

/* How late a job may come and still be on time. */
#define TOLERANCE_US	(5 * USECS_PER_MINUTE)

/* When to look again at a schedule whose time zone or expression the server does not know any more. */
#define BROKEN_RETRY_US USECS_PER_HOUR

/* How far ahead a next time is looked for. */
#define HORIZON_SECS	(INT64CONST(50) * 366 * SECS_PER_DAY)

#define MAX_NEXT_RUNS	1000

/* Arguments of add_schedule. */
enum
{
	SCHEDULE_NAME, SCHEDULE_CRON, SCHEDULE_JOB, SCHEDULE_TIME_ZONE, SCHEDULE_MISSED, SCHEDULE_OVERLAP
};

static const char *const missed_choices[] = {"skip", "once", NULL};

static JobsStatement set_schedule = {
	.sql = "INSERT INTO jobs_store.schedule AS s (tenant, name, created, created_by_id, cron, job, time_zone, missed, overlap, next_run)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
	" ON CONFLICT (tenant, name) DO UPDATE SET updated = excluded.created, cron = excluded.cron, job = excluded.job,"
	" time_zone = excluded.time_zone, missed = excluded.missed, overlap = excluded.overlap,"
	" next_run = CASE WHEN s.paused IS NULL THEN excluded.next_run END"
	" WHERE s.created_by_id = $4 RETURNING next_run",
	.types = "itzutjttbz",
	.expected = SPI_OK_INSERT_RETURNING
};

/* One that the caller ($3, administrator: $4) may change. */
static JobsStatement lock_schedule = {
	.sql = "SELECT cron, time_zone, next_run FROM jobs_store.schedule"
	" WHERE tenant = $1 AND name = $2 AND (created_by_id = $3 OR $4) FOR UPDATE",
	.types = "itub",
	.expected = SPI_OK_SELECT
};

static JobsStatement remove_schedule = {
	.sql = "DELETE FROM jobs_store.schedule WHERE tenant = $1 AND name = $2",
	.types = "it",
	.expected = SPI_OK_DELETE
};

static JobsStatement pause_schedule = {
	.sql = "UPDATE jobs_store.schedule SET paused = clock_timestamp(), paused_by_id = $3, next_run = NULL"
	" WHERE tenant = $1 AND name = $2 AND paused IS NULL",
	.types = "itu",
	.expected = SPI_OK_UPDATE
};

static JobsStatement resume_schedule = {
	.sql = "UPDATE jobs_store.schedule SET paused = NULL, paused_by_id = NULL, next_run = $3 WHERE tenant = $1 AND name = $2",
	.types = "itz",
	.expected = SPI_OK_UPDATE
};

static JobsStatement due_schedules = {
	.sql = "SELECT s.name, s.cron, s.time_zone, s.next_run, s.missed = 'once', s.overlap, s.last_job_id, s.job,"
	" s.created_by_id, u.administrator, u.role_name FROM jobs_store.schedule s"
	" LEFT JOIN LATERAL (SELECT x.administrator, x.role_name FROM jobs_store.user_account x"
	" WHERE x.tenant = $1 AND x.id = s.created_by_id OFFSET 0) u ON true"
	" WHERE s.tenant = $1 AND s.next_run <= $2 ORDER BY s.next_run LIMIT 100 FOR UPDATE OF s SKIP LOCKED",
	.types = "iz",
	.expected = SPI_OK_SELECT
};

static JobsStatement note_run = {
	.sql = "UPDATE jobs_store.schedule SET next_run = $3, last_run = $4, last_job_id = $5,"
	" last_error = NULL, error_code = NULL, error = NULL WHERE tenant = $1 AND name = $2",
	.types = "itzzu",
	.expected = SPI_OK_UPDATE
};

static JobsStatement note_skip = {
	.sql = "UPDATE jobs_store.schedule SET next_run = $3, last_skipped = $4, skip_reason = $5"
	" WHERE tenant = $1 AND name = $2",
	.types = "itzzt",
	.expected = SPI_OK_UPDATE
};

static JobsStatement note_error = {
	.sql = "UPDATE jobs_store.schedule SET next_run = $3, last_error = $4, error_code = $5, error = $6"
	" WHERE tenant = $1 AND name = $2",
	.types = "itzztt",
	.expected = SPI_OK_UPDATE
};

/* When: an expression and whose clock. */
typedef struct When
{
	JobsCron	cron;
	pg_tz	   *zone;
} When;

/* A stretch of time within which the clock is not set; times in seconds. */
typedef struct Stretch
{
	pg_time_t	start;
	pg_time_t	end;
	int64		offset;			/* of the clock from UTC */
} Stretch;

/* The stretch from a time on. */
static Stretch
stretch_from(pg_tz *zone, pg_time_t start)
{
	Stretch		stretch = {start, PG_INT64_MAX, 0};
	long		offset = 0;
	long		offset_after;
	int			is_dst;
	pg_time_t	boundary;

	if (pg_next_dst_boundary(&start, &offset, &is_dst, &boundary, &offset_after, &is_dst, zone) > 0)
		stretch.end = boundary;
	stretch.offset = offset;
	return stretch;
}

static int64
floor_minute(int64 seconds)
{
	return seconds / SECS_PER_MINUTE - (seconds % SECS_PER_MINUTE < 0);
}

/*
 * When the clock shows a minute for the first time; when it leaves it out, right
 * after that. A day is more than any clock differs from UTC.
 */
static pg_time_t
time_of_minute(pg_tz *zone, int64 minute)
{
	int64		shown = minute * SECS_PER_MINUTE;
	Stretch		stretch = stretch_from(zone, shown - SECS_PER_DAY);

	while (shown - stretch.offset >= stretch.end)
		stretch = stretch_from(zone, stretch.end);
	return Max(shown - stretch.offset, stretch.start);
}

/* The next time by the clock. */
static bool
next_by_clock(const When *when, pg_time_t after, pg_time_t *next)
{
	int64		minute = floor_minute(after + stretch_from(when->zone, after).offset);

	do
	{
		CHECK_FOR_INTERRUPTS();
		if (!jobs_cron_next(&when->cron, minute + 1, &minute))
			return false;
		*next = time_of_minute(when->zone, minute);
	} while (*next <= after);
	return true;
}

/* The next time by time elapsed. What is always left out, never comes. */
static bool
next_elapsed(const When *when, pg_time_t after, pg_time_t *next)
{
	Stretch		stretch = stretch_from(when->zone, after + 1);

	while (stretch.start - after < HORIZON_SECS)
	{
		int64		minute;

		CHECK_FOR_INTERRUPTS();
		if (!jobs_cron_next(&when->cron, floor_minute(stretch.start + stretch.offset + SECS_PER_MINUTE - 1), &minute))
			return false;
		*next = minute * SECS_PER_MINUTE - stretch.offset;
		if (*next < stretch.end)
			return true;
		stretch = stretch_from(when->zone, stretch.end);
	}
	return false;
}

/* The first time later than another one; false: none within the horizon. */
static bool
next_time(const When *when, TimestampTz after, TimestampTz *next)
{
	const int64 epoch = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
	pg_time_t	seconds = after / USECS_PER_SEC - (after % USECS_PER_SEC < 0) + epoch;
	pg_time_t	found;

	if (!(when->cron.elapsed ? next_elapsed : next_by_clock) (when, seconds, &found))
		return false;
	*next = (found - epoch) * USECS_PER_SEC;
	return true;
}

/* NULL when the server knows no such time zone. */
static pg_tz *
find_zone(const char *name)
{
	pg_tz	   *zone = strlen(name) > TZ_STRLEN_MAX ? NULL : pg_tzset(name);

	return zone != NULL && pg_tz_acceptable(zone) ? zone : NULL;
}

static bool
parse_cron(text *cron, JobsCron *parsed, char *error)
{
	return jobs_cron_parse(VARDATA_ANY(cron), VARSIZE_ANY_EXHDR(cron), parsed, error);
}

/* Both are arguments: 22023 when they mean nothing. */
static void
require_when(text *cron, text *zone, When *when)
{
	char		error[JOBS_CRON_ERROR_SIZE];

	if (!parse_cron(cron, &when->cron, error))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid cron expression \"%s\": %s", text_to_cstring(cron), error),
				 errhint("It is minute, hour, day of the month, month and day of the week, for instance '30 4 * * mon-fri', or @daily.")));
	when->zone = find_zone(text_to_cstring(zone));
	if (when->zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" not recognized", text_to_cstring(zone)),
				 errhint("The view pg_timezone_names has those that the server knows, for instance 'Europe/Berlin'.")));
}

static TimestampTz
require_next(const When *when, TimestampTz after)
{
	TimestampTz next;

	if (!next_time(when, after, &next))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the cron expression has no next time within 50 years"),
				 errhint("The clock may leave out the only hour that it allows.")));
	return next;
}

/* What is of one job only makes no sense for many. */
static void
check_job(const JobsNewJob *job)
{
	static const JobArg single[] = {ARG_RUN_AFTER, ARG_DEPENDS_ON, ARG_IDEMPOTENCY_KEY};

	for (int i = 0; i < countof(single); i++)
		if (!job->nulls[single[i]])
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the job of a schedule cannot have %s", jobs_argument_name(single[i]))));
}

Datum
jobs_add_schedule(PG_FUNCTION_ARGS)
{
	text	   *name = jobs_arg_name(fcinfo, SCHEDULE_NAME, "name");
	text	   *cron = jobs_arg_name(fcinfo, SCHEDULE_CRON, "cron");
	text	   *zone = jobs_arg_name(fcinfo, SCHEDULE_TIME_ZONE, "time_zone");
	text	   *missed = jobs_arg_name(fcinfo, SCHEDULE_MISSED, "missed");
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next;
	When		when;
	JobsNewJob *job;
	ResolveMemo memo = {0};
	JobsCall	call;
	JobsResult	stored;
	bool		paused;

	jobs_arg_require(fcinfo, SCHEDULE_JOB, "job");
	jobs_arg_require(fcinfo, SCHEDULE_OVERLAP, "overlap");
	jobs_check_choice(missed, "missed", missed_choices);
	require_when(cron, zone, &when);
	next = require_next(&when, now);

	jobs_enter(fcinfo, &call);
	job = jobs_read_new_job(PG_GETARG_JSONB_P(SCHEDULE_JOB));
	check_job(job);
	jobs_resolve(&call, job, &memo);
	stored = jobs_run(&set_schedule, A_INT4(call.caller.tenant), A_PTR(name), A_TIME(now), A_PTR(&call.caller.user_id),
					  A_PTR(cron), A_ARG(SCHEDULE_JOB), A_PTR(zone), A_PTR(missed), A_ARG(SCHEDULE_OVERLAP), A_TIME(next));
	if (stored.count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("schedule \"%s\" is one of another user", text_to_cstring(name)),
				 errhint("Choose another name.")));
	(void) jobs_column(&stored, 0, 1, &paused);
	jobs_leave(&call);
	if (paused)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(next);
}

/* Enters, and locks a schedule that the caller may change: JB404 when there is none. */
static JobsResult
enter_for_schedule(FunctionCallInfo fcinfo, JobsCall *call)
{
	text	   *name = jobs_arg_name(fcinfo, 0, "name");
	JobsResult	found;

	jobs_enter(fcinfo, call);
	found = jobs_run(&lock_schedule, A_INT4(call->caller.tenant), A_PTR(name), A_PTR(&call->caller.user_id),
					 A_BOOL(call->caller.administrator));
	if (found.count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_JOBS_NOT_FOUND),
				 errmsg("schedule \"%s\" not found", text_to_cstring(name)),
				 errhint("The view jobs.schedules has those that there are.")));
	return found;
}

Datum
jobs_remove_schedule(PG_FUNCTION_ARGS)
{
	JobsCall	call;

	(void) enter_for_schedule(fcinfo, &call);
	jobs_run(&remove_schedule, A_INT4(call.caller.tenant), A_ARG(0));
	jobs_leave(&call);
	PG_RETURN_VOID();
}

Datum
jobs_pause_schedule(PG_FUNCTION_ARGS)
{
	JobsCall	call;

	(void) enter_for_schedule(fcinfo, &call);
	jobs_run(&pause_schedule, A_INT4(call.caller.tenant), A_ARG(0), A_PTR(&call.caller.user_id));
	jobs_leave(&call);
	PG_RETURN_VOID();
}

/* One that is not paused keeps its next time, unless it has none. */
Datum
jobs_resume_schedule(PG_FUNCTION_ARGS)
{
	JobsCall	call;
	JobsResult	found = enter_for_schedule(fcinfo, &call);
	bool		none;
	Datum		due = jobs_column(&found, 0, 3, &none);
	TimestampTz next;

	if (!none)
		next = DatumGetTimestampTz(due);
	else
	{
		When		when;

		require_when(DatumGetTextPP(jobs_column(&found, 0, 1, NULL)),
					 DatumGetTextPP(jobs_column(&found, 0, 2, NULL)), &when);
		next = require_next(&when, GetCurrentTimestamp());
		jobs_run(&resume_schedule, A_INT4(call.caller.tenant), A_ARG(0), A_TIME(next));
	}
	jobs_leave(&call);
	PG_RETURN_TIMESTAMPTZ(next);
}

Datum
jobs_next_runs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const TimestampTz first = (INT64CONST(1721426) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY; /* 0001-01-01 */
	const TimestampTz last = (INT64CONST(5373485) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY; /* 10000-01-01 */
	text	   *cron = jobs_arg_name(fcinfo, 0, "cron");
	text	   *zone = jobs_arg_name(fcinfo, 1, "time_zone");
	int32		count = jobs_arg_range(fcinfo, 3, "count", 1, MAX_NEXT_RUNS);
	TimestampTz time;
	When		when;

	jobs_arg_require(fcinfo, 2, "after");
	time = PG_GETARG_TIMESTAMPTZ(2);
	if (time < first || time >= last)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_FIELD_OVERFLOW),
				 errmsg("after is out of range"),
				 errhint("It must be within the years 1 to 9999.")));
	require_when(cron, zone, &when);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int i = 0; i < count && next_time(&when, time, &time); i++)
	{
		Datum		value = TimestampTzGetDatum(time);
		bool		isnull = false;

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}

/* A schedule that is due: a row of due_schedules. */
typedef struct DueSchedule
{
	JobsCall	call;			/* in the name of its user */
	text	   *name;
	text	   *cron;
	char	   *zone;
	Jsonb	   *job;
	char	   *role;			/* of its user, or NULL */
	const pg_uuid_t *last_job;	/* or NULL */
	TimestampTz due;
	JobsArg		next;			/* the time after now */
	bool		catch_up;
	bool		overlap;
	bool		user_exists;
	pg_uuid_t	new_job;
} DueSchedule;

static void
read_schedule(JobsCall *call, const JobsResult *rows, uint64 row, DueSchedule *schedule)
{
	bool		isnull;
	Datum		value;

	schedule->call = *call;
	schedule->name = DatumGetTextPP(jobs_column(rows, row, 1, NULL));
	schedule->cron = DatumGetTextPP(jobs_column(rows, row, 2, NULL));
	schedule->zone = TextDatumGetCString(jobs_column(rows, row, 3, NULL));
	schedule->due = DatumGetTimestampTz(jobs_column(rows, row, 4, NULL));
	schedule->catch_up = DatumGetBool(jobs_column(rows, row, 5, NULL));
	schedule->overlap = DatumGetBool(jobs_column(rows, row, 6, NULL));
	value = jobs_column(rows, row, 7, &isnull);
	schedule->last_job = isnull ? NULL : DatumGetUUIDP(value);
	schedule->job = DatumGetJsonbP(jobs_column(rows, row, 8, NULL));
	schedule->call.caller.user_id = *DatumGetUUIDP(jobs_column(rows, row, 9, NULL));
	value = jobs_column(rows, row, 10, &isnull);
	schedule->user_exists = !isnull;
	schedule->call.caller.administrator = !isnull && DatumGetBool(value);
	value = jobs_column(rows, row, 11, &isnull);
	schedule->role = isnull ? NULL : TextDatumGetCString(value);
	schedule->next = A_NULL;
}

/* Whether the job before is over, or not there any more. */
static bool
last_ended(DueSchedule *schedule)
{
	JobsStatus	status;

	return schedule->last_job == NULL ||
		!jobs_current_status(&schedule->call, schedule->last_job, &status) || jobs_status_terminal(status);
}

static void
skip(DueSchedule *schedule, const char *reason)
{
	jobs_run(&note_skip, A_INT4(schedule->call.caller.tenant), A_PTR(schedule->name), schedule->next,
			 A_TIME(schedule->due), A_PTR(cstring_to_text(reason)));
}

static void
record_error(DueSchedule *schedule, TimestampTz now, int code, const char *message)
{
	jobs_run(&note_error, A_INT4(schedule->call.caller.tenant), A_PTR(schedule->name), schedule->next, A_TIME(now),
			 A_PTR(cstring_to_text(unpack_sql_state(code))), A_PTR(cstring_to_text(message)));
}

/*
 * Finds the time after now, and sees to it that what is due is on time; false
 * when there is nothing to be run.
 */
static bool
set_times(DueSchedule *schedule, TimestampTz now)
{
	When		when;
	TimestampTz next;
	char		error[JOBS_CRON_ERROR_SIZE];

	schedule->next = A_TIME(now + BROKEN_RETRY_US);
	when.zone = find_zone(schedule->zone);
	if (when.zone == NULL || !parse_cron(schedule->cron, &when.cron, error))
	{
		record_error(schedule, now, ERRCODE_INVALID_PARAMETER_VALUE, when.zone != NULL ? error :
					 psprintf("time zone \"%s\" not recognized", schedule->zone));
		return false;
	}
	schedule->next = next_time(&when, now, &next) ? A_TIME(next) : A_NULL;
	if (schedule->catch_up || now - schedule->due <= TOLERANCE_US)
		return true;
	/* What came in between may be on time, if the last look was long ago. */
	if (next_time(&when, now - TOLERANCE_US - 1, &next) && next <= now)
	{
		schedule->due = next;
		return true;
	}
	skip(schedule, "it was more than 5 minutes late");
	return false;
}

/* Adds the job; the argument of jobs_try. */
static void
add_job(void *arg)
{
	DueSchedule *schedule = arg;
	JobsNewJob *job;

	if (!schedule->user_exists || (schedule->role != NULL && !OidIsValid(get_role_oid(schedule->role, true))))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the role of the schedule's user is not there any more: \"%s\"",
						schedule->role != NULL ? schedule->role : "")));
	job = jobs_read_new_job(schedule->job);
	check_job(job);
	jobs_add_new_job(&schedule->call, job);
	schedule->new_job = job->id;
}

/* Answers how many jobs were added. */
static int
run_schedule(DueSchedule *schedule, TimestampTz now)
{
	ErrorData  *error;

	if (!set_times(schedule, now))
		return 0;
	if (!schedule->overlap && !last_ended(schedule))
	{
		skip(schedule, "the last job had not ended");
		return 0;
	}
	error = jobs_try(add_job, schedule);
	if (error != NULL)
	{
		record_error(schedule, now, error->sqlerrcode, error->detail == NULL ? error->message :
					 psprintf("%s: %s", error->message, error->detail));
		return 0;
	}
	jobs_run(&note_run, A_INT4(schedule->call.caller.tenant), A_PTR(schedule->name), schedule->next,
			 A_TIME(schedule->due), A_PTR(&schedule->new_job));
	return 1;
}

/* What is due of the caller's tenant, up to 100 schedules. Answers how many jobs were added. */
uint64
jobs_run_schedules(JobsCall *call, TimestampTz now)
{
	JobsResult	rows = jobs_run(&due_schedules, A_INT4(call->caller.tenant), A_TIME(now));
	uint64		added = 0;

	for (uint64 row = 0; row < rows.count; row++)
	{
		DueSchedule schedule;

		CHECK_FOR_INTERRUPTS();
		read_schedule(call, &rows, row, &schedule);
		added += run_schedule(&schedule, now);
	}
	return added;
}
