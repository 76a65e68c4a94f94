/*-------------------------------------------------------------------------
 *
 * fault.h
 *		Places at which a test can make things go wrong.
 *
 * Compiled in only with -DJOBS_FAULTS (make JOBS_FAULTS=1). What a build that is
 * installed contains of it is nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FAULT_H
#define FAULT_H

#ifdef JOBS_FAULTS
extern void jobs_fault_init(void);
extern void jobs_fault(const char *point);
#define JOBS_FAULT_INIT()	jobs_fault_init()
#define JOBS_FAULT(point)	jobs_fault(point)
#else
#define JOBS_FAULT_INIT()	((void) 0)
#define JOBS_FAULT(point)	((void) 0)
#endif

#endif							/* FAULT_H */
