/*-------------------------------------------------------------------------
 *
 * lane.c
 *		Which lanes an agent serves, and where their work starts: the mark.
 *
 * Claimed rows stay in the index as dead entries until vacuum may remove them,
 * and while any old snapshot is open it may not. A scan from the start of a lane
 * walks over all of them, so claiming slows down without end. The mark of a lane
 * is a lower bound of seq from which to scan instead. It is kept in the memory of
 * the session, and a hint: losing it costs a longer scan, never a job.
 *
 * Why no job is missed:
 *
 * 1. A mark moves forward only to the first row that a plain read still sees (or,
 *	  when it sees none, to just after a seq that was drawn before the read). A row
 *	  that somebody has claimed but not committed is still seen, so it holds the
 *	  mark back until its fate is known. The reading transaction has written
 *	  nothing itself, so there is no row that it alone does not see and that comes
 *	  back when it aborts. All rows below the mark that the read did not see are
 *	  therefore dead for good, or were inserted by a transaction that was running.
 *
 * 2. Such a transaction had its xid when it drew the seq of its row, and the row's
 *	  seq is below the mark, which was drawn before the read; so its xid is below
 *	  the next xid as it is after the read. "pending" is a mark together with that
 *	  next xid. (Whether all xids below it have ended tells the xmin of a new
 *	  snapshot. That is about running transactions with an xid; a session that
 *	  only holds an old snapshot does not hold it back.)
 *
 * 3. "safe" is a value below which there is no row and none can appear. What is
 *	  between safe and mark is swept, by a read from safe instead of mark: when the
 *	  read from the mark finds nothing, and otherwise from time to time. A wait
 *	  between sweeps that grows with what one costs keeps them to a few percent of
 *	  the time. A row found by a sweep moves the mark back to it. Safe catches up
 *	  with the pending mark, or with the row found, by a sweep that begins after
 *	  all transactions of the pending mark have ended: not before, for what they
 *	  commit may still appear, and not without a sweep, for it has appeared unseen.
 *
 * A job that becomes ready again (retry, release, restore) draws a new seq, so it is
 * like a new one. A row whose claim rolled back was never passed by the mark.
 *
 * All of this is about rows that get their seq from the sequence under a local xid.
 * Rows that come with a seq of their own (logical replication, a restore of data into
 * a live table) are seen by new sessions; on a standby no mark is moved.
 *
 * Lanes are read only when that tells something: when the session has not seen them
 * for a while (cold: nothing was there), has taken so much that the mark lags, or
 * has something to sweep.
 * In between, the head of a lane is guessed to be just after what was taken last, and
 * the claim looks for a row from there on; when there is none, from the mark on. A row
 * before the guess, which another session took and gave back, waits for the next read,
 * GUESS_US at most. Guesses are void when this session makes jobs ready or rolls
 * something back.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "hot.h"
#include "lane.h"
#include "rows.h"

PG_FUNCTION_INFO_V1(jobs_lane_marks);

/*
 * How long lanes that were found empty are left alone: COLD_COST times what it
 * took to look at them, so that looking costs a small part of the time however
 * many they are. A job that comes into one is passed over for at most COLD_US.
 */
#define COLD_COST		5
#define COLD_US			(25 * 1000)

/*
 * After so many takes, or so long after the first, a lane is read from its mark on
 * and the mark is moved. So long may pass until it is seen that another session
 * gave back an older job than those that are taken here.
 */
#define TAKES_PER_READ	16
#define GUESS_US		(50 * 1000)

/*
 * Sweeps of a lane that has work wait this many times as long as the last one
 * took, at least SWEEP_US; those of an empty one only when there are more than
 * CHEAP_SWEEP places to sweep: an agent must not be sent away without a good reason.
 */
#define SWEEP_COST		30
#define SWEEP_US		(50 * 1000)
#define CHEAP_SWEEP		100000

/* What is wanted is looked for this far, and so many times as far as it was the last time. */
#define MIN_REACH		4
#define REACH			2

typedef struct LaneKey
{
	int32		tenant;
	int32		lane;
} LaneKey;

struct JobsLaneState
{
	LaneKey		key;
	int64		mark;			/* scans start here */
	int64		safe;			/* nothing can appear below */
	int64		pending;		/* safe catches up with this; 0: none */
	FullTransactionId pending_xid;	/* when all before this have ended */
	int64		head;			/* oldest job is about here; 0: not known */
	int64		reach;			/* what is wanted is within so many of that */
	uint64		guess_epoch;		/* head and cold_until hold while it is this */
	TimestampTz cold_until;		/* found empty, look again then; 0: not cold */
	TimestampTz sweep_at;		/* read from safe not before then */
	TimestampTz empty_sweep_at; /* the same when nothing is found from mark */
	int			takes;			/* since it was read */
	TimestampTz read_at;
	bool		permits;		/* not a lane, but a limiter */
	bool		listed;			/* to be read now */
};

/* The lanes of an agent, highest priority first. */
typedef struct AgentLanes
{
	pg_uuid_t	agent_id;		/* hash key */
	JobsStamp	stamp;
	int			count;
	JobsLane   *lanes;
	JobsLaneRule *rules;		/* of those lanes that have one */
} AgentLanes;

static JobsStatement find_lanes = {
	.sql = "SELECT l.lane, l.priority, l.keyed OR EXISTS (SELECT FROM jobs_store.function_policy p WHERE p.tenant = $1)"
	" FROM jobs_store.agent_function f"
	" CROSS JOIN LATERAL (SELECT x.lane, x.priority, x.concurrency_key IS NOT NULL AS keyed FROM jobs_store.lane x"
	" WHERE x.tenant = $1 AND x.function_id = f.function_id"
	" AND (x.assigned_agent_id IS NULL OR x.assigned_agent_id = $2)"
	" AND (x.assigned_agent_pool_id IS NULL OR EXISTS (SELECT FROM jobs_store.agent_pool_member m"
	" WHERE m.tenant = $1 AND m.agent_id = $2 AND m.agent_pool_id = x.assigned_agent_pool_id)) OFFSET 0) l"
	" WHERE f.tenant = $1 AND f.agent_id = $2"
	" ORDER BY l.priority DESC, l.lane",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

/*
 * What there is to know about lanes beyond where they are. Asked for only where
 * find_lanes says that there may be something: to plan this takes longer than all
 * the rest of a session's first claim. In the order of find_lanes; some may be
 * other agents'.
 */
#define RULE_COLUMNS \
	"n.lane, n.priority, coalesce(p.paused IS NOT NULL, false)," \
	" coalesce((extract(epoch FROM p.max_run_time) * 1000)::bigint, 0)," \
	" p.max_in_flight IS NOT NULL, coalesce((SELECT x.limiter FROM jobs_store.limiter x WHERE x.tenant = $1" \
	" AND x.name = v.name AND x.kind = 'in flight' AND x.concurrency_key IS NULL), 0)," \
	" n.concurrency_key IS NOT NULL, coalesce((SELECT x.limiter FROM jobs_store.limiter x WHERE x.tenant = $1" \
	" AND x.name = v.name AND x.kind = 'key' AND x.concurrency_key = n.concurrency_key), 0)," \
	" p.rate_limit IS NOT NULL, coalesce((SELECT x.limiter FROM jobs_store.limiter x WHERE x.tenant = $1" \
	" AND x.name = v.name AND x.kind = 'rate' AND x.concurrency_key IS NULL), 0)," \
	" coalesce((extract(epoch FROM p.rate_interval) * 1000)::bigint, 0)"

static JobsStatement find_rules = {
	.sql = "SELECT " RULE_COLUMNS " FROM jobs_store.function_policy p"
	" CROSS JOIN LATERAL (SELECT x.id, x.name FROM jobs_store.function_version x WHERE x.tenant = $1 AND x.name = p.name OFFSET 0) v"
	" CROSS JOIN LATERAL (SELECT FROM jobs_store.agent_function x WHERE x.tenant = $1 AND x.agent_id = $2 AND x.function_id = v.id OFFSET 0) f"
	" CROSS JOIN LATERAL (SELECT * FROM jobs_store.lane x WHERE x.tenant = $1 AND x.function_id = v.id AND x.concurrency_key IS NULL OFFSET 0) n"
	" WHERE p.tenant = $1"
	" UNION ALL SELECT " RULE_COLUMNS " FROM jobs_store.agent_function f"
	" CROSS JOIN LATERAL (SELECT * FROM jobs_store.lane x WHERE x.tenant = $1 AND x.function_id = f.function_id AND x.concurrency_key IS NOT NULL OFFSET 0) n"
	" CROSS JOIN LATERAL (SELECT x.name FROM jobs_store.function_version x WHERE x.tenant = $1 AND x.id = n.function_id OFFSET 0) v"
	" LEFT JOIN LATERAL (SELECT * FROM jobs_store.function_policy x WHERE x.tenant = $1 AND x.name = v.name OFFSET 0) p ON true"
	" WHERE f.tenant = $1 AND f.agent_id = $2"
	" ORDER BY 2 DESC, 1",
	.types = "iu",
	.expected = SPI_OK_SELECT
};

static JobsStatement read_sequence = {
	.sql = "SELECT last_value + is_called::integer FROM jobs_store.ready_seq",
	.types = "",
	.expected = SPI_OK_SELECT
};

/* The oldest job of each lane from a seq on; lanes without one are left out. */
static JobsStatement read_heads = {
	.sql = "SELECT l.n, h.seq FROM unnest($2, $3) WITH ORDINALITY l(lane, mark, n)"
	" CROSS JOIN LATERAL (SELECT r.seq FROM jobs_store.ready r"
	" WHERE r.tenant = $1 AND r.lane = l.lane AND r.seq >= l.mark ORDER BY r.seq LIMIT 1) h",
	.types = "iIL",
	.expected = SPI_OK_SELECT
};

/* The same for permits. */
static JobsStatement read_permits = {
	.sql = "SELECT l.n, h.seq FROM unnest($2, $3) WITH ORDINALITY l(limiter, mark, n)"
	" CROSS JOIN LATERAL (SELECT p.seq FROM jobs_store.permit p"
	" WHERE p.tenant = $1 AND p.limiter = l.limiter AND p.seq >= l.mark ORDER BY p.seq LIMIT 1) h",
	.types = "iIL",
	.expected = SPI_OK_SELECT
};

/*
 * For the life of the session. One that has seen more agents or lanes than
 * max_remembered starts over; it is no less than what one agent needs.
 */
static MemoryContext lane_context = NULL;
static HTAB *lane_states = NULL;
static HTAB *agent_lanes = NULL;
static uint64 storage_epoch = 0;
static Oid	storage_file = InvalidOid;	/* what the marks are about */
static long max_remembered = 20000;

/*
 * Forgets all. A claim may be on its way further up, which goes on with what it had:
 * that memory stays until the transaction ends.
 */
static void
start_over(void)
{
	HASHCTL		states = {.keysize = sizeof(LaneKey), .entrysize = sizeof(JobsLaneState)};
	HASHCTL		agents = {.keysize = sizeof(pg_uuid_t), .entrysize = sizeof(AgentLanes)};
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "jobs lanes", ALLOCSET_DEFAULT_SIZES);

	if (lane_context != NULL)
		MemoryContextSetParent(lane_context, TopTransactionContext);
	lane_context = context;
	lane_states = agent_lanes = NULL;
	states.hcxt = agents.hcxt = lane_context;
	agent_lanes = hash_create("jobs agents", 64, &agents, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	lane_states = hash_create("jobs lanes", 256, &states, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
check_memory(void)
{
	uint64		epoch = jobs_storage_epoch();

	if (lane_states == NULL || agent_lanes == NULL || epoch != storage_epoch ||
		hash_get_num_entries(lane_states) > max_remembered ||
		hash_get_num_entries(agent_lanes) > max_remembered)
		start_over();
	storage_epoch = epoch;
	storage_file = jobs_ready_file();
}

static JobsLaneState *
lane_state(int32 tenant, int32 lane)
{
	LaneKey		key = {tenant, lane};
	bool		found;
	JobsLaneState *state = hash_search(lane_states, &key, HASH_ENTER, &found);

	if (!found)
	{
		memset(state, 0, sizeof(*state));
		state->key = key;
	}
	return state;
}

static bool
get_bool(const JobsResult *found, uint64 row, int column)
{
	return DatumGetBool(jobs_column(found, row, column, NULL));
}

/* One row of find_rules. */
static void
read_rule(JobsCall *call, const JobsResult *found, uint64 row, JobsLaneRule *rule)
{
	memset(rule, 0, sizeof(*rule));
	rule->paused = get_bool(found, row, 3);
	rule->max_run_ms = DatumGetInt64(jobs_column(found, row, 4, NULL));
	for (int kind = 0; kind < JOBS_LIMIT_KINDS; kind++)
	{
		JobsLane   *limiter = &rule->limiters[kind];

		rule->limited[kind] = get_bool(found, row, 5 + 2 * kind);
		limiter->lane = DatumGetInt32(jobs_column(found, row, 6 + 2 * kind, NULL));
		if (!rule->limited[kind] || limiter->lane == 0)
			continue;
		limiter->state = lane_state(call->caller.tenant, limiter->lane);
		limiter->state->permits = true;
	}
	rule->rate_ms = DatumGetInt64(jobs_column(found, row, 11, NULL));
}

/* Both are in the same order; most lanes have no rule. */
static void
attach_rules(AgentLanes *agent, JobsCall *call, const JobsResult *found)
{
	int			lane = 0;

	for (uint64 row = 0; row < found->count; row++)
	{
		int32		number = DatumGetInt32(jobs_column(found, row, 1, NULL));
		int32		priority = DatumGetInt32(jobs_column(found, row, 2, NULL));

		while (lane < agent->count && (agent->lanes[lane].priority > priority ||
									   (agent->lanes[lane].priority == priority && agent->lanes[lane].lane < number)))
			lane++;
		if (lane == agent->count)
			break;
		if (agent->lanes[lane].lane != number)
			continue;
		read_rule(call, found, row, &agent->rules[row]);
		agent->lanes[lane].rule = &agent->rules[row];
	}
}

/* The rules of the lanes that were found, if any may have one. */
static JobsResult
ask_rules(JobsCall *call, AgentLanes *agent, const JobsResult *found)
{
	JobsResult	none = {0};

	for (uint64 row = 0; row < found->count; row++)
		if (get_bool(found, row, 3))
			return jobs_run(&find_rules, A_INT4(call->caller.tenant), A_PTR(&agent->agent_id));
	return none;
}

/* Asks for the lanes of an agent; the answer may be remembered (session.c). */
static void
ask_lanes(JobsCall *call, AgentLanes *agent, TimestampTz now)
{
	JobsStamp	asked = jobs_stamp(now);
	JobsResult	found = jobs_run(&find_lanes, A_INT4(call->caller.tenant), A_PTR(&agent->agent_id));
	JobsResult	rules = ask_rules(call, agent, &found);
	JobsLane   *lanes = NULL;

	if (found.count > 0)
		lanes = MemoryContextAlloc(lane_context, sizeof(JobsLane) * found.count);
	if (agent->lanes != NULL)
		pfree(agent->lanes);
	if (agent->rules != NULL)
		pfree(agent->rules);
	agent->count = 0;
	agent->lanes = lanes;
	agent->rules = NULL;
	if (rules.count > 0)
		agent->rules = MemoryContextAlloc(lane_context, sizeof(JobsLaneRule) * rules.count);
	max_remembered = Max(max_remembered, 2 * (long) (found.count + JOBS_LIMIT_KINDS * rules.count));
	for (uint64 row = 0; row < found.count; row++)
	{
		int32		lane = DatumGetInt32(jobs_column(&found, row, 1, NULL));

		lanes[row].lane = lane;
		lanes[row].priority = DatumGetInt32(jobs_column(&found, row, 2, NULL));
		lanes[row].state = lane_state(call->caller.tenant, lane);
		lanes[row].rule = NULL;
	}
	agent->count = found.count;
	attach_rules(agent, call, &rules);
	agent->stamp = asked;
}

/* The oldest xid that is still running, as of a new snapshot. */
static FullTransactionId
oldest_running(void)
{
	TransactionId xmin = GetTransactionSnapshot()->xmin;
	FullTransactionId next = ReadNextFullTransactionId();
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xmin > XidFromFullTransactionId(next))
		epoch--;
	return FullTransactionIdFromEpochAndXid(epoch, xmin);
}

/* Rule 2: whether a read that begins now sees all that can appear below pending. */
static bool
pending_is_settled(const JobsLaneState *state, FullTransactionId oldest)
{
	return state->pending != 0 && FullTransactionIdFollowsOrEquals(oldest, state->pending_xid);
}

/* Rule 3, after a sweep that found head, or nothing (0), and was settled. */
static void
move_safe(JobsLaneState *state, int64 head)
{
	int64		swept = head != 0 ? Min(head, state->pending) : state->pending;

	state->safe = Max(state->safe, swept);
	if (state->safe >= state->pending)
		state->pending = 0;
}

/* Rule 1; next is the next xid after the read. */
static void
move_mark(JobsLaneState *state, int64 seq, FullTransactionId next)
{
	if (seq > state->mark)
		state->mark = seq;
	state->takes = 0;
	if (state->pending == 0 && state->mark > state->safe)
	{
		state->pending = state->mark;
		state->pending_xid = next;
	}
}

/* What other sessions have found is as good as what this one has. */
static void
learn(JobsLaneState *state, Oid file)
{
	int64		mark;
	int64		safe;

	if (!jobs_shared_mark_get(file, state->key.tenant, state->key.lane, &mark, &safe))
		return;
	state->mark = Max(state->mark, mark);
	state->safe = Max(state->safe, safe);
}

static void
look_by_statement(JobsCall *call, bool permits, JobsLook *looks, int count)
{
	Datum	   *numbers = palloc(sizeof(Datum) * count);
	Datum	   *starts = palloc(sizeof(Datum) * count);
	JobsResult	found;

	for (int i = 0; i < count; i++)
	{
		numbers[i] = Int32GetDatum(looks[i].lane);
		starts[i] = Int64GetDatum(looks[i].from);
	}
	found = jobs_run(permits ? &read_permits : &read_heads, A_INT4(call->caller.tenant),
					 A_PTR(construct_array(numbers, count, INT4OID, 4, true, TYPALIGN_INT)),
					 A_PTR(construct_array(starts, count, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
	for (uint64 row = 0; row < found.count; row++)
		looks[DatumGetInt64(jobs_column(&found, row, 1, NULL)) - 1].head =
			DatumGetInt64(jobs_column(&found, row, 2, NULL));
	SPI_freetuptable(found.table);
}

/* Finds the heads of lanes, or of limiters; of those that have one. */
static void
look(JobsCall *call, bool permits, JobsLook *looks, int count)
{
	if (count == 0)
		return;
	if (jobs_rows_usable())
		jobs_hot_look(call->caller.tenant, permits, looks, count);
	else
		look_by_statement(call, permits, looks, count);
}

/* Heads of those lanes, or of those limiters, from the mark or from safe. */
static void
read_kind(JobsCall *call, JobsLane **lanes, int count, const bool *from_safe, bool permits, int64 *heads)
{
	JobsLook   *looks = palloc0(sizeof(JobsLook) * count);
	int		   *places = palloc(sizeof(int) * count);
	int			used = 0;

	for (int i = 0; i < count; i++)
	{
		JobsLaneState *state = lanes[i]->state;

		if (state->permits != permits)
			continue;
		looks[used].lane = lanes[i]->lane;
		looks[used].from = from_safe[i] ? state->safe : state->mark;
		looks[used].near = state->head + MIN_REACH;
		places[used++] = i;
	}
	look(call, permits, looks, used);
	for (int i = 0; i < used; i++)
		heads[places[i]] = looks[i].head;
}

/* Heads of some lanes; 0 where there is none. */
static int64 *
run_read(JobsCall *call, JobsLane **lanes, int count, const bool *from_safe)
{
	int64	   *heads = palloc0(sizeof(int64) * count);

	read_kind(call, lanes, count, from_safe, false, heads);
	read_kind(call, lanes, count, from_safe, true, heads);
	return heads;
}

static TimestampTz
cold_until(TimestampTz started, TimestampTz ended)
{
	return ended + Min((ended - started) * COLD_COST, COLD_US);
}

/* Rule 3: sweeps that cost much wait long. */
static void
plan_sweep(JobsLaneState *state, TimestampTz started, TimestampTz ended)
{
	TimestampTz wait = (ended - started) * SWEEP_COST;

	state->sweep_at = ended + Max(SWEEP_US, wait);
	state->empty_sweep_at = ended + wait;
}

/* Just after the last seq that was drawn by anybody. */
static int64
last_drawn(void)
{
	JobsResult	found = jobs_run(&read_sequence);

	return DatumGetInt64(jobs_column(&found, 0, 1, NULL));
}

/*
 * One read of some lanes, and what follows from it. Lanes in which nothing was
 * found from the mark on, and that have something to sweep, come back for
 * another read from safe; answers how many.
 */
static int
read_lanes(JobsCall *call, JobsLane **lanes, int count, bool sweep)
{
	bool		may_move = jobs_may_remember();
	Oid			file = jobs_ready_file();
	bool		share = file == storage_file;	/* not replaced since check_memory */
	int64		drawn = 0;
	FullTransactionId oldest = oldest_running();
	FullTransactionId next;
	bool	   *from_safe = palloc(sizeof(bool) * count);
	bool	   *settled = palloc(sizeof(bool) * count);
	TimestampTz started = GetCurrentTimestamp();
	TimestampTz ended;
	int64	   *heads;
	int			again = 0;

	for (int i = 0; i < count; i++)
	{
		JobsLaneState *state = lanes[i]->state;

		if (share)
			learn(state, file);
		if (state->head == 0 && drawn == 0 && may_move)
			drawn = last_drawn();
		settled[i] = pending_is_settled(state, oldest);
		from_safe[i] = state->safe < state->mark && (sweep || started >= state->sweep_at);
	}
	heads = run_read(call, lanes, count, from_safe);
	next = ReadNextFullTransactionId();
	ended = GetCurrentTimestamp();
	for (int i = 0; i < count; i++)
	{
		JobsLaneState *state = lanes[i]->state;
		bool		back = heads[i] != 0 && heads[i] < state->mark;

		if (from_safe[i])
			plan_sweep(state, started, ended);
		if (from_safe[i] && settled[i] && may_move)
			move_safe(state, heads[i]);
		if (back)
			state->mark = heads[i];
		if (may_move)
			move_mark(state, heads[i] != 0 ? heads[i] : Max(state->head, drawn), next);
		if (share && (may_move || back))
			jobs_shared_mark_set(file, state->key.tenant, state->key.lane, state->mark, state->safe, back);
		state->read_at = ended;
		state->cold_until = heads[i] != 0 ? 0 : cold_until(started, ended);
		state->guess_epoch = jobs_guess_epoch();
		if (heads[i] != 0)
			state->head = heads[i];
		else if (!from_safe[i] && state->safe < state->mark &&
				 (state->mark - state->safe < CHEAP_SWEEP || ended >= state->empty_sweep_at))
			lanes[again++] = lanes[i];
	}
	return again;
}

static bool
wants_read(const JobsLaneState *state, TimestampTz now)
{
	if (state->guess_epoch != jobs_guess_epoch())
		return true;
	if (state->cold_until != 0)
		return now >= state->cold_until;
	if (state->safe < state->mark && now >= state->sweep_at)
		return true;
	return state->head == 0 || state->takes >= TAKES_PER_READ ||
		(state->takes > 0 && now - state->read_at >= GUESS_US);
}

/* What is to be read: the lanes themselves, and once each the permits that they need. */
static int
list_reads(AgentLanes *agent, bool all, TimestampTz now, JobsLane **read)
{
	int			count = 0;

	for (int i = 0; i < agent->count; i++)
	{
		JobsLane   *lane = &agent->lanes[i];

		if (all || wants_read(lane->state, now))
			read[count++] = lane;
		for (int kind = 0; lane->rule != NULL && kind < JOBS_LIMIT_KINDS; kind++)
		{
			JobsLane   *limiter = &lane->rule->limiters[kind];

			if (limiter->state == NULL || limiter->state->listed || !(all || wants_read(limiter->state, now)))
				continue;
			limiter->state->listed = true;
			read[count++] = limiter;
		}
	}
	for (int i = 0; i < count; i++)
		read[i]->state->listed = false;
	return count;
}

/* What is remembered may change while the caller works with it: a trigger of somebody's may claim, too. */
static JobsLane *
copy_lanes(const AgentLanes *agent)
{
	JobsLane   *lanes = palloc(sizeof(JobsLane) * (agent->count + 1));

	for (int i = 0; i < agent->count; i++)
	{
		lanes[i] = agent->lanes[i];
		if (lanes[i].rule == NULL)
			continue;
		lanes[i].rule = palloc(sizeof(JobsLaneRule));
		*lanes[i].rule = *agent->lanes[i].rule;
	}
	return lanes;
}

/*
 * The lanes of an agent, up to date enough to claim from. To be called before
 * the transaction writes, or the marks stay where they are. With "all", nothing
 * remembered is trusted: every lane is asked for and read again.
 */
int
jobs_agent_lanes(JobsCall *call, const pg_uuid_t *agent_id, bool all, JobsLane **lanes)
{
	TimestampTz now = GetCurrentTimestamp();
	AgentLanes *agent;
	JobsLane  **read;
	bool		found;
	int			count;

	check_memory();
	agent = hash_search(agent_lanes, agent_id, HASH_ENTER, &found);
	if (!found)
	{
		agent->stamp.epoch = 0;
		agent->count = 0;
		agent->lanes = NULL;
		agent->rules = NULL;
	}
	if (all || !jobs_stamp_holds(&agent->stamp, now))
		ask_lanes(call, agent, now);
	read = palloc(sizeof(JobsLane *) * (agent->count * (1 + JOBS_LIMIT_KINDS) + 1));
	count = list_reads(agent, all, now, read);
	if (count > 0)
		count = read_lanes(call, read, count, false);
	if (count > 0)
		(void) read_lanes(call, read, count, true);

	*lanes = copy_lanes(agent);
	return agent->count;
}

bool
jobs_lane_cold(const JobsLane *lane)
{
	return lane->state->cold_until != 0;
}

int64
jobs_lane_mark(const JobsLane *lane)
{
	return lane->state->mark;
}

/*
 * Where a claim starts to look: behind what this session has taken last. What is
 * before that is gone or somebody else has it, so in a crowd it is a long way. If
 * nothing is found from here, the place to look is the mark.
 */
int64
jobs_lane_start(const JobsLane *lane)
{
	if (lane->state->guess_epoch != jobs_guess_epoch())
		return lane->state->mark;
	return Max(lane->state->mark, lane->state->head);
}

/* Up to where a claim should find enough: somewhat further than the last time. */
int64
jobs_lane_near(const JobsLane *lane)
{
	return jobs_lane_start(lane) + lane->state->reach;
}

int64
jobs_lane_head(const JobsLane *lane)
{
	return lane->state->head;
}

/*
 * Jobs were taken, the youngest at seq. The next one is at next (0: there is
 * none), if that was looked for, else somewhere after seq.
 */
void
jobs_lane_taken(const JobsLane *lane, int64 seq, int64 next, bool looked)
{
	lane->state->reach = MIN_REACH + REACH * Max(seq - jobs_lane_start(lane), 0);
	lane->state->head = looked && next != 0 ? next : seq + 1;
	lane->state->takes++;
	if (looked && next == 0)
		lane->state->cold_until = GetCurrentTimestamp();
}

/*
 * Nothing was to be had up to bound: looks what is behind it. This is what makes
 * a claim come to an end: the head goes to a row that is there, or the lane is cold.
 */
void
jobs_lane_passed(JobsCall *call, const JobsLane *lane, int64 bound)
{
	JobsLook	behind = {.lane = lane->lane, .from = bound + 1, .near = bound + MIN_REACH};

	lane->state->cold_until = GetCurrentTimestamp();
	if (bound == PG_INT64_MAX)
		return;
	look(call, false, &behind, 1);
	if (behind.head == 0)
		return;
	lane->state->head = behind.head;
	lane->state->cold_until = 0;
}

/* There are jobs, but not for now: the next claim looks again. */
void
jobs_lane_blocked(const JobsLane *lane)
{
	lane->state->cold_until = GetCurrentTimestamp();
}

/*
 * The limiter of that kind for a lane of an agent, as far as this session knows;
 * else 0. It may be one of a transaction that was rolled back.
 */
int32
jobs_lane_limiter(const pg_uuid_t *agent_id, int32 lane, JobsLimitKind kind)
{
	AgentLanes *agent;

	check_memory();
	agent = hash_search(agent_lanes, agent_id, HASH_FIND, NULL);
	for (int i = 0; agent != NULL && i < agent->count; i++)
		if (agent->lanes[i].lane == lane)
			return agent->lanes[i].rule == NULL ? 0 : agent->lanes[i].rule->limiters[kind].lane;
	return 0;
}

/* A seq below which the lane has no job and none can appear. */
int64
jobs_lane_safe(int32 tenant, int32 lane)
{
	check_memory();
	return lane_state(tenant, lane)->safe;
}

/* What this session knows of lanes, for diagnosis and tests. */
Datum
jobs_lane_marks(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	HASH_SEQ_STATUS scan;
	JobsLaneState *state;

	InitMaterializedSRF(fcinfo, 0);
	check_memory();
	hash_seq_init(&scan, lane_states);
	while ((state = hash_seq_search(&scan)) != NULL)
	{
		Datum		values[5];
		bool		nulls[5] = {false};

		values[0] = Int32GetDatum(state->key.tenant);
		values[1] = Int32GetDatum(state->key.lane);
		values[2] = Int64GetDatum(state->mark);
		values[3] = Int64GetDatum(state->safe);
		values[4] = Int64GetDatum(state->head);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
