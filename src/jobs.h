/*-------------------------------------------------------------------------
 *
 * jobs.h
 *		The one internal header: shared types, settings, and prototypes
 *		grouped by the C file that has them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JOBS_H
#define JOBS_H

#include "postgres.h"

#include "compat.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* Items of an array, in the type that loops count in. */
#define countof(array)	((int) lengthof(array))

/* The length of a lease, of its row. */
#define LEASE_TIME "lease_ms * '1 ms'::interval"

/*
 * A sign of life at some time moves its end. That is earlier than before only when the
 * end was that of a grace which is longer than the lease; the index learns of it then.
 */
#define EXTEND_LEASE(now) \
	"expires = " now " + " LEASE_TIME ", check_at = least(check_at, " now " + " LEASE_TIME ")"

/* Limits that are part of the contract. */
#define JOBS_MAX_BATCH		10000	/* jobs in one call */
#define JOBS_DEFAULT_LEASE_MS	60000
#define JOBS_MAX_PAGE		100 /* jobs on one page */
#define JOBS_MAX_SHORT_TEXT 255 /* characters of names and other properties */
#define JOBS_MAX_MESSAGE	65536	/* characters of messages, reasons, comments */

/* How often it is looked again for a job that others move meanwhile. */
#define JOBS_MAX_CHASE		1000

/*
 * Status of a job, ordered by the life cycle. The numbers are stored on disk:
 * never renumber, only append.
 */
typedef enum JobsStatus
{
	JOBS_CREATED,
	JOBS_PENDING,
	JOBS_CLAIMED,
	JOBS_VALIDATING,
	JOBS_RUNNING,
	JOBS_UPLOADING,
	JOBS_COMPLETED,
	JOBS_FAILED,
	JOBS_CANCELED,
	JOBS_UNKNOWN
} JobsStatus;

#define JOBS_STATUS_COUNT	(JOBS_UNKNOWN + 1)
#define JOBS_NO_STATUS		(-1)	/* before the first status */

#define DatumGetJobsStatus(d)	((JobsStatus) DatumGetChar(d))
#define JobsStatusGetDatum(s)	CharGetDatum((char) (s))

/* The user that the calling role stands for. */
typedef struct JobsCaller
{
	int32		tenant;
	pg_uuid_t	user_id;
	bool		administrator;
} JobsCaller;

/*
 * What a call needs between jobs_enter and jobs_leave: the caller, and how to
 * become it again.
 */
typedef struct JobsCall
{
	JobsCaller	caller;
	Oid			role;			/* the calling role */
	Oid			owner;			/* owner of the extension */
	Oid			saved_user;
	int			saved_security;
	MemoryContext outer;		/* where results go */
} JobsCall;

/*
 * One SQL statement. Text and types are constant; the plan is kept for the
 * life of the session. One letter a parameter: i integer, l bigint, b boolean,
 * u uuid, t text, z timestamptz, v interval, j jsonb, y bytea; in upper case,
 * an array of it.
 */
typedef struct JobsStatement
{
	const char *sql;
	const char *types;
	int			expected;		/* SPI_OK_... */
	bool		writes_history; /* passes the guard of the history */
	SPIPlanPtr	plan;			/* NULL until first use */
	int			generation;		/* of the plan made under our settings; 0: none */
	int			running;		/* executions under way, one within the other */
} JobsStatement;

typedef struct JobsArg
{
	Datum		value;
	bool		isnull;
} JobsArg;

/* Result of a statement; lives until jobs_leave. */
typedef struct JobsResult
{
	SPITupleTable *table;
	uint64		count;
} JobsResult;

/* What an agent says of a job that it holds. */
typedef struct JobsReport
{
	const pg_uuid_t *job_id;
	const pg_uuid_t *agent_id;
	JobsStatus	name;
	text	   *message;		/* NULL: none */
	int32		attempt;		/* 0: whichever the agent has */
	bool		retry;			/* a failure may be tried again */
} JobsReport;

/* guc.c */
extern int	jobs_cache_size_kb;
extern int	jobs_sweep_interval;
extern int	jobs_lost_grace;
extern int	jobs_retry_base;
extern int	jobs_retry_cap;
extern int	jobs_json_max_depth;
extern int	jobs_json_max_size_kb;
extern bool jobs_direct;
extern bool jobs_worker;
extern int	jobs_worker_interval;
extern int	jobs_worker_discovery_interval;
extern int	jobs_max_workers;
extern char *jobs_worker_databases;
extern void jobs_guc_init(void);

/* uuid.c */
extern pg_uuid_t jobs_uuid_new(void);
extern pg_uuid_t jobs_uuid_last_until(TimestampTz time);
extern pg_uuid_t jobs_uuid_part(const pg_uuid_t *id, int part);
extern pg_uuid_t jobs_uuid_status(const pg_uuid_t *job_id, int32 ordinal, TimestampTz created);

/* error.c */
#define ERRCODE_JOBS_NOT_FOUND		MAKE_SQLSTATE('J', 'B', '4', '0', '4')
#define ERRCODE_JOBS_WRONG_STATE	MAKE_SQLSTATE('J', 'B', '4', '0', '9')
#define ERRCODE_JOBS_LEASE_LOST		MAKE_SQLSTATE('J', 'B', '4', '1', '0')
pg_noreturn extern void jobs_error_not_found(const char *kind, const pg_uuid_t *id);
pg_noreturn extern void jobs_error_not_allowed(const char *action, const char *kind, const pg_uuid_t *id);
pg_noreturn extern void jobs_error_lease_lost(const pg_uuid_t *job_id, const pg_uuid_t *agent_id, int32 attempt);
pg_noreturn extern void jobs_error_transition(const pg_uuid_t *job_id, int from, JobsStatus to, bool reported);
pg_noreturn extern void jobs_error_concurrent(const char *action, const pg_uuid_t *job_id);
extern char *jobs_uuid_text(const pg_uuid_t *id);

/* args.c */
extern void jobs_arg_require(FunctionCallInfo fcinfo, int argno, const char *name);
extern text *jobs_arg_text(FunctionCallInfo fcinfo, int argno, const char *name, int max_chars);
extern text *jobs_arg_name(FunctionCallInfo fcinfo, int argno, const char *name);
extern pg_uuid_t *jobs_arg_uuid(FunctionCallInfo fcinfo, int argno);
extern int32 jobs_arg_range(FunctionCallInfo fcinfo, int argno, const char *name, int32 low, int32 high);
extern int64 jobs_arg_lease(FunctionCallInfo fcinfo, int argno, const char *name);
extern void jobs_check_text(text *value, const char *name, int max_chars);
extern void jobs_check_array(ArrayType *array, const char *name, int max_items);
extern int64 jobs_check_span(const Interval *span, const char *name);
extern void jobs_check_choice(text *value, const char *name, const char *const *choices);

/* status.c */
extern const char *jobs_status_label(JobsStatus status);
extern const char *jobs_status_json(JobsStatus status);
extern bool jobs_status_lookup(const char *text, int length, JobsStatus *status);
extern bool jobs_status_terminal(JobsStatus status);
extern bool jobs_status_in_flight(JobsStatus status);
extern bool jobs_status_reportable(JobsStatus status);
extern bool jobs_can_transition(int from, JobsStatus to);
extern char *jobs_status_next_list(int from, bool reportable);

/* version.c */
extern bool jobs_version_known;
extern void jobs_version_init(void);
extern void jobs_version_check(void);

/* query.c */
extern void jobs_query_init(void);
extern void jobs_enter(FunctionCallInfo fcinfo, JobsCall *call);
extern void jobs_enter_any(FunctionCallInfo fcinfo, JobsCall *call);
extern void jobs_enter_owner(JobsCall *call, Oid owner);
extern void jobs_leave(JobsCall *call);
extern JobsResult jobs_run_args(JobsStatement *statement, int nargs, const JobsArg *args);
#define jobs_run(statement, ...) \
	jobs_run_args((statement), \
				  sizeof((JobsArg[]) {__VA_ARGS__}) / sizeof(JobsArg), \
				  (const JobsArg[]) {__VA_ARGS__})
extern ErrorData *jobs_try(void (*work) (void *arg), void *arg);
extern JobsResult jobs_run_text(const char *sql, const char *letters, const JobsArg *args);
extern void jobs_store_query(ReturnSetInfo *rsinfo, const char *sql, const char *letters, const JobsArg *args);
extern Datum jobs_column(const JobsResult *result, uint64 row, int column, bool *isnull);
extern Datum jobs_column_copy(JobsCall *call, const JobsResult *result, uint64 row, int column);
extern Datum jobs_composite_copy(JobsCall *call, Datum composite);
extern void jobs_store_rows(ReturnSetInfo *rsinfo, const JobsResult *result);
extern bool jobs_writing_history(int triggers_up);
extern void jobs_begin_ready(const char *command);

static inline JobsArg
jobs_datum(Datum value, bool isnull)
{
	JobsArg		arg = {isnull ? (Datum) 0 : value, isnull};

	return arg;
}

/* NULL for a null pointer. */
static inline JobsArg
jobs_pointer(const void *pointer)
{
	return jobs_datum(PointerGetDatum(pointer), pointer == NULL);
}

#define A_NULL			jobs_datum((Datum) 0, true)
#define A_INT4(x)		jobs_datum(Int32GetDatum(x), false)
#define A_INT8(x)		jobs_datum(Int64GetDatum(x), false)
#define A_BOOL(x)		jobs_datum(BoolGetDatum(x), false)
#define A_TIME(x)		jobs_datum(TimestampTzGetDatum(x), false)
#define A_PTR(x)		jobs_pointer(x)
#define A_ARG(n)		jobs_datum(PG_GETARG_DATUM(n), PG_ARGISNULL(n))

/* rows.c */
extern void jobs_rows_init(void);

/* session.c */
typedef struct JobsStamp
{
	uint64		epoch;			/* 0: holds never */
	uint64		news;			/* heard of by then */
	TimestampTz at;
} JobsStamp;
extern void jobs_session_init(void);
extern uint64 jobs_storage_epoch(void);
extern Oid	jobs_ready_file(void);
extern uint64 jobs_guess_epoch(void);
extern void jobs_void_guesses(void);
extern void jobs_forget_answers(void);
extern bool jobs_may_remember(void);
extern JobsStamp jobs_stamp(TimestampTz now);
extern bool jobs_stamp_holds(const JobsStamp *stamp, TimestampTz now);

/* shmem.c */
extern void jobs_shmem_init(void);
extern bool jobs_shared_mark_get(Oid file, int32 tenant, int32 lane, int64 *mark, int64 *safe);
extern void jobs_shared_mark_set(Oid file, int32 tenant, int32 lane, int64 mark, int64 safe, bool back);

/* identity.c */
extern bool jobs_caller_lookup(JobsCall *call);
extern void jobs_caller_require(JobsCall *call);
extern void jobs_agent_require(JobsCall *call, const pg_uuid_t *agent_id);
extern void jobs_pool_require(JobsCall *call, const pg_uuid_t *pool_id);
extern void jobs_administrator_require(JobsCall *call, const char *action);
extern void jobs_all_tenants_require(JobsCall *call, const char *action);

/* access.c */
typedef enum JobsRelation
{
	JOBS_VIEWER = 1,
	JOBS_EXECUTOR,
	JOBS_EDITOR,
	JOBS_OWNER
} JobsRelation;
extern int	jobs_relation(JobsCall *call, const pg_uuid_t *resource_id, const char **kind);
extern const char *jobs_access_require(JobsCall *call, const pg_uuid_t *resource_id, JobsRelation need, const char *action);
extern void jobs_keep_job(JobsCall *call, const pg_uuid_t *resource_id, const char *kind);

extern Datum jobs_list_of_resource(FunctionCallInfo fcinfo, JobsStatement *statement);

/* job.c */
extern Datum jobs_fetch_job(JobsCall *call, const pg_uuid_t *job_id);
extern bool jobs_current_status(JobsCall *call, const pg_uuid_t *job_id, JobsStatus *status);

/* lifecycle.c */
extern Datum jobs_report(JobsCall *call, JobsReport *report);

extern Datum jobs_no_op(JobsCall *call, const char *status, const char *message);

/* dependency.c */
extern void jobs_dependencies_require(JobsCall *call, ArrayType *depends_on);
extern void jobs_depend(JobsCall *call, const pg_uuid_t *job_id, ArrayType *depends_on);
extern int64 jobs_check_dependents(JobsCall *call, TimestampTz now, uint64 *canceled);
extern void jobs_wake_dependents(JobsCall *call, ArrayType *jobs, TimestampTz now);

/* retry.c */
extern JobsResult jobs_fail_and_retry(JobsCall *call, const JobsReport *report, int32 attempt, int32 max_attempts);

/* backoff.c */
typedef enum JobsBackoffKind
{
	JOBS_BACKOFF_EXPONENTIAL,
	JOBS_BACKOFF_FIXED,
	JOBS_BACKOFF_NONE
} JobsBackoffKind;
extern const char *const jobs_backoff_names[];
extern int64 jobs_backoff(JobsBackoffKind kind, int32 attempt, int64 base, int64 cap, double fraction);

/* limit.c */
typedef enum JobsLimitKind
{
	JOBS_LIMIT_IN_FLIGHT,		/* jobs of a function */
	JOBS_LIMIT_KEY,				/* jobs of a function with one key */
	JOBS_LIMIT_RATE				/* starts within an interval */
} JobsLimitKind;
#define JOBS_LIMIT_KINDS	(JOBS_LIMIT_RATE + 1)
#define JOBS_MAX_LIMIT		100000
extern void jobs_limit_set(JobsCall *call, text *function, JobsLimitKind kind, int32 size);
extern void jobs_limit_resize_keys(JobsCall *call, text *function, int32 size);
extern int32 jobs_limit_forget_keys(JobsCall *call);
extern int32 jobs_limit_find_key(JobsCall *call, int32 lane);
extern int32 jobs_permits_take(JobsCall *call, int32 limiter, int64 from, int64 near, int32 wanted, int64 *last);
extern void jobs_permits_put(JobsCall *call, int32 limiter, int32 count, TimestampTz due);

/* schedule.c */
extern uint64 jobs_run_schedules(JobsCall *call, TimestampTz now);

/* sweep.c */
extern bool jobs_sweep_if_due(JobsCall *call);
extern void jobs_sweep_soon(void);
extern void jobs_sweep_now(JobsCall *call);
extern uint64 jobs_sweep_tenant(JobsCall *call, bool seldom, TimestampTz from);
extern TimestampTz jobs_sweep_next_due(JobsCall *call);
extern bool jobs_sweep_seldom_due(TimestampTz *last, TimestampTz now);

/* prune.c */
extern bool jobs_prune_due(int32 tenant, TimestampTz now);
extern void jobs_prune_some(JobsCall *call);

/* codec.c */
extern Datum jobs_composite_to_dict(Datum composite);

#endif							/* JOBS_H */
