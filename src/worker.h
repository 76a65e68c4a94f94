/*-------------------------------------------------------------------------
 *
 * worker.h
 *		What launcher, workers and sessions know of a database together.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JOBS_WORKER_H
#define JOBS_WORKER_H

#include "nodes/pg_list.h"

/* Limits that are part of the contract. */
#define JOBS_MAX_WORKERS	64	/* background workers at once */
#define JOBS_MAX_DATABASES	4096	/* that workers visit */

/* What became of the last pass in a database. */
typedef enum JobsOutcome
{
	JOBS_PASS_NONE,				/* there was none */
	JOBS_PASS_DONE,
	JOBS_PASS_FAILED,			/* an error, which is in the server's log */
	JOBS_PASS_ABSENT,			/* the extension is not there */
	JOBS_PASS_OTHER_VERSION,	/* it is not of the library's version */
	JOBS_PASS_READ_ONLY,		/* transactions of the database are read only */
	JOBS_PASS_STEPPED_ASIDE		/* it is being dropped */
} JobsOutcome;

/*
 * A database, in shared memory (shmem.c); the lock of the table covers all of it.
 * Written by the launcher before a worker starts and after it ended, and in
 * between by that worker; noticed by anybody.
 */
typedef struct JobsDatabase
{
	Oid			oid;			/* the key */
	JobsOutcome outcome;
	TimestampTz started;		/* the last pass; 0: none */
	TimestampTz ended;
	TimestampTz seldom;			/* when the steps that seldom come last began */
	TimestampTz next_due;		/* when the next thing is due that is known of */
	int64		passes;
	int64		moved;			/* jobs, by all passes */
	int			pid;			/* of the worker; 0: none */
	int			failures;		/* rounds of all tenants in which a pass failed, since one without */
	int			idle;			/* passes in a row that had nothing to do, nobody using the extension */
	int32		resume;			/* the tenant at which the last pass was; 0: it came to the end */
	bool		launched;		/* a worker was asked for and has not finished its pass */
	bool		more;			/* the last pass left work */
	bool		failed;			/* in this round of all tenants a pass failed */
	bool		with_seldom;	/* this round includes the steps that seldom come */
	bool		noticed;		/* a session uses the extension */
} JobsDatabase;

/* The launcher has an entry as well, of which only pid is used. */
#define JOBS_LAUNCHER InvalidOid

/* shmem.c */
extern JobsDatabase *jobs_database_lock(Oid oid);
extern void jobs_database_unlock(void);
extern JobsDatabase jobs_database_get(Oid oid);
extern int	jobs_database_list(JobsDatabase **list);
extern void jobs_database_keep(const List *existing);

/* launcher.c */
extern void jobs_launcher_init(void);
extern PGDLLEXPORT void jobs_launcher_main(Datum arg);

/* worker.c */
extern PGDLLEXPORT void jobs_worker_main(Datum arg);
extern void jobs_worker_begin(Oid database);
extern void jobs_database_note_use(void);

#endif							/* JOBS_WORKER_H */
