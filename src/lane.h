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

typedef struct JobsLane
{
	int32		lane;
	int32		priority;
	JobsLaneState *state;		/* good until the next call of jobs_agent_lanes */
} JobsLane;

extern int	jobs_agent_lanes(JobsCall *call, const pg_uuid_t *agent_id, bool all, JobsLane **lanes);
extern bool jobs_lane_cold(const JobsLane *lane);
extern int64 jobs_lane_mark(const JobsLane *lane);
extern int64 jobs_lane_start(const JobsLane *lane);
extern int64 jobs_lane_head(const JobsLane *lane);
extern void jobs_lane_taken(const JobsLane *lane, int64 seq, int64 next, bool looked);
extern void jobs_lane_passed(JobsCall *call, const JobsLane *lane, int64 bound);

#endif							/* JOBS_LANE_H */
