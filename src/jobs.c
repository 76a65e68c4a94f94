/*-------------------------------------------------------------------------
 *
 * jobs.c
 *		Magic block and _PG_init; nothing else.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "fault.h"
#include "worker.h"

JOBS_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	JOBS_FAULT_INIT();
	jobs_guc_init();
	jobs_version_init();
	jobs_query_init();
	jobs_session_init();
	jobs_rows_init();
	jobs_shmem_init();
	jobs_launcher_init();
}
