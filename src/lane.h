/*-------------------------------------------------------------------------
 *
 * lane.h
 *		What claim.c knows of lanes; the argument for it stands in lane.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JOBS_LANE_H
#define JOBS_LANE_H

#include "jobs.h"

typedef struct JobsLaneState JobsLaneState;

typedef struct JobsLaneRule JobsLaneRule;

/* A lane, or a limiter and its permits. */
typedef struct JobsLane
{
	int32		lane;
	int32		priority;
	JobsLaneState *state;		/* good until the transaction ends */
	JobsLaneRule *rule;			/* NULL: none */
} JobsLane;

/* What a function's policy, or a key, asks of a claim. */
struct JobsLaneRule
{
	bool		paused;
	int64		max_run_ms;		/* 0: no limit */
	bool		limited[JOBS_LIMIT_KINDS];
	JobsLane	limiters[JOBS_LIMIT_KINDS]; /* lane 0: still to be made */
	int64		rate_ms;
};

extern int	jobs_agent_lanes(JobsCall *call, const pg_uuid_t *agent_id, bool all, JobsLane **lanes);
extern bool jobs_lane_cold(const JobsLane *lane);
extern int64 jobs_lane_mark(const JobsLane *lane);
extern int64 jobs_lane_start(const JobsLane *lane);
extern int64 jobs_lane_near(const JobsLane *lane);
extern int64 jobs_lane_head(const JobsLane *lane);
extern void jobs_lane_taken(const JobsLane *lane, int64 seq, int64 next, bool looked);
extern void jobs_lane_passed(JobsCall *call, const JobsLane *lane, int64 bound);
extern void jobs_lane_blocked(const JobsLane *lane);
extern int32 jobs_lane_limiter(const pg_uuid_t *agent_id, int32 lane, JobsLimitKind kind);
extern int64 jobs_lane_safe(int32 tenant, int32 lane);

#endif							/* JOBS_LANE_H */
