/*-------------------------------------------------------------------------
 *
 * policy.c
 *		What administrators say about a function, for all its versions: limits,
 *		retries, pause.
 *
 * The row in jobs_store.function_policy is what counts. What claims need of it they
 * ask together with their lanes (lane.c); limits of so many jobs are kept in step
 * here (limit.c).
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(jobs_set_function_policy);
PG_FUNCTION_INFO_V1(jobs_pause_function);
PG_FUNCTION_INFO_V1(jobs_resume_function);

/* Arguments of set_function_policy. */
enum
{
	POLICY_FUNCTION, POLICY_MAX_RUN_TIME, POLICY_START_TIMEOUT, POLICY_BACKOFF, POLICY_BACKOFF_BASE,
	POLICY_BACKOFF_CAP, POLICY_MAX_IN_FLIGHT, POLICY_MAX_PER_KEY, POLICY_RATE_LIMIT, POLICY_RATE_INTERVAL
};

static JobsStatement find_function = {
	.sql = "SELECT 1 FROM jobs_store.function_version WHERE tenant = $1 AND name = $2 LIMIT 1",
	.types = "it",
	.expected = SPI_OK_SELECT
};

static JobsStatement set_policy = {
	.sql = "INSERT INTO jobs_store.function_policy AS p (tenant, name, updated, updated_by_id, max_run_time, start_timeout,"
	" backoff, backoff_base, backoff_cap, max_in_flight, max_in_flight_per_key, rate_limit, rate_interval)"
	" VALUES ($1, $2, clock_timestamp(), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
	" ON CONFLICT (tenant, name) DO UPDATE SET updated = excluded.updated, updated_by_id = excluded.updated_by_id,"
	" max_run_time = excluded.max_run_time, start_timeout = excluded.start_timeout, backoff = excluded.backoff,"
	" backoff_base = excluded.backoff_base, backoff_cap = excluded.backoff_cap, max_in_flight = excluded.max_in_flight,"
	" max_in_flight_per_key = excluded.max_in_flight_per_key, rate_limit = excluded.rate_limit, rate_interval = excluded.rate_interval",
	.types = "ituvvtvviiiv",
	.expected = SPI_OK_INSERT
};

static JobsStatement pause_function = {
	.sql = "INSERT INTO jobs_store.function_policy AS p (tenant, name, updated, updated_by_id, paused, paused_by_id, pause_reason)"
	" VALUES ($1, $2, clock_timestamp(), $3, clock_timestamp(), $3, $4)"
	" ON CONFLICT (tenant, name) DO UPDATE SET paused = coalesce(p.paused, excluded.paused),"
	" paused_by_id = excluded.paused_by_id, pause_reason = excluded.pause_reason",
	.types = "itut",
	.expected = SPI_OK_INSERT
};

static JobsStatement resume_function = {
	.sql = "UPDATE jobs_store.function_policy SET paused = NULL, paused_by_id = NULL, pause_reason = NULL"
	" WHERE tenant = $1 AND name = $2 AND paused IS NOT NULL",
	.types = "it",
	.expected = SPI_OK_UPDATE
};

/* As an administrator, for a function that is there. */
static void
enter_for_function(FunctionCallInfo fcinfo, JobsCall *call, text *function, const char *action)
{
	jobs_enter(fcinfo, call);
	jobs_administrator_require(call, action);
	if (jobs_run(&find_function, A_INT4(call->caller.tenant), A_PTR(function)).count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_JOBS_NOT_FOUND),
				 errmsg("function %s not found", text_to_cstring(function)),
				 errhint("Register it with jobs.add_function.")));
	jobs_forget_answers();
	jobs_void_guesses();
}

static void
check_policy(FunctionCallInfo fcinfo)
{
	static const struct
	{
		int			argno;
		const char *name;
	}			spans[] = {
		{POLICY_MAX_RUN_TIME, "max_run_time"}, {POLICY_START_TIMEOUT, "start_timeout"},
		{POLICY_BACKOFF_BASE, "backoff_base"}, {POLICY_BACKOFF_CAP, "backoff_cap"},
		{POLICY_RATE_INTERVAL, "rate_interval"},
	},	numbers[] = {
		{POLICY_MAX_IN_FLIGHT, "max_in_flight"}, {POLICY_MAX_PER_KEY, "max_in_flight_per_key"},
		{POLICY_RATE_LIMIT, "rate_limit"},
	};

	for (int i = 0; i < countof(spans); i++)
		if (!PG_ARGISNULL(spans[i].argno))
			(void) jobs_check_span(PG_GETARG_INTERVAL_P(spans[i].argno), spans[i].name);
	for (int i = 0; i < countof(numbers); i++)
		if (!PG_ARGISNULL(numbers[i].argno))
			(void) jobs_arg_range(fcinfo, numbers[i].argno, numbers[i].name, 1, JOBS_MAX_LIMIT);
	jobs_check_choice(jobs_arg_text(fcinfo, POLICY_BACKOFF, "backoff", JOBS_MAX_SHORT_TEXT), "backoff",
					  jobs_backoff_names);
	if (PG_ARGISNULL(POLICY_RATE_LIMIT) != PG_ARGISNULL(POLICY_RATE_INTERVAL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a rate needs both rate_limit and rate_interval"),
				 errhint("For instance rate_limit => 100, rate_interval => '1 min'.")));
}

Datum
jobs_set_function_policy(PG_FUNCTION_ARGS)
{
	text	   *function = jobs_arg_name(fcinfo, POLICY_FUNCTION, "function");
	JobsCall	call;

	check_policy(fcinfo);
	enter_for_function(fcinfo, &call, function, "set the policy of a function");

	/* The row is locked from here on, so policies of one function come one after the other. */
	jobs_run(&set_policy, A_INT4(call.caller.tenant), A_PTR(function), A_PTR(&call.caller.user_id),
			 A_ARG(POLICY_MAX_RUN_TIME), A_ARG(POLICY_START_TIMEOUT), A_ARG(POLICY_BACKOFF),
			 A_ARG(POLICY_BACKOFF_BASE), A_ARG(POLICY_BACKOFF_CAP), A_ARG(POLICY_MAX_IN_FLIGHT),
			 A_ARG(POLICY_MAX_PER_KEY), A_ARG(POLICY_RATE_LIMIT), A_ARG(POLICY_RATE_INTERVAL));
	if (!PG_ARGISNULL(POLICY_MAX_IN_FLIGHT))
		jobs_limit_set(&call, function, JOBS_LIMIT_IN_FLIGHT, PG_GETARG_INT32(POLICY_MAX_IN_FLIGHT));
	if (!PG_ARGISNULL(POLICY_RATE_LIMIT))
		jobs_limit_set(&call, function, JOBS_LIMIT_RATE, PG_GETARG_INT32(POLICY_RATE_LIMIT));
	jobs_limit_resize_keys(&call, function, PG_ARGISNULL(POLICY_MAX_PER_KEY) ? 1 :
						   PG_GETARG_INT32(POLICY_MAX_PER_KEY));
	jobs_leave(&call);
	PG_RETURN_VOID();
}

Datum
jobs_pause_function(PG_FUNCTION_ARGS)
{
	text	   *function = jobs_arg_name(fcinfo, 0, "function");
	text	   *reason = jobs_arg_text(fcinfo, 1, "reason", JOBS_MAX_MESSAGE);
	JobsCall	call;

	enter_for_function(fcinfo, &call, function, "pause a function");
	jobs_run(&pause_function, A_INT4(call.caller.tenant), A_PTR(function), A_PTR(&call.caller.user_id),
			 A_PTR(reason));
	jobs_leave(&call);
	PG_RETURN_VOID();
}

Datum
jobs_resume_function(PG_FUNCTION_ARGS)
{
	text	   *function = jobs_arg_name(fcinfo, 0, "function");
	JobsCall	call;

	enter_for_function(fcinfo, &call, function, "resume a function");
	jobs_run(&resume_function, A_INT4(call.caller.tenant), A_PTR(function));
	jobs_leave(&call);
	PG_RETURN_VOID();
}
