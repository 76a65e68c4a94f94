/*-------------------------------------------------------------------------
 *
 * uuid.c
 *		UUIDv7, monotonic within a backend.
 *
 * RFC 9562, version 7: 48 bits of Unix milliseconds; the 12 bits after the
 * version hold the fraction of the millisecond (method 3 of section 6.2), the
 * rest is random. When the clock stands still or steps back, the last time is
 * counted up, so ids of one backend only ever grow.
 *
 * The last four bits are zero: an id names the row it starts, and the fifteen
 * ids after it are left to the parts that are derived from that row.
 *
 *-------------------------------------------------------------------------
 */
#include "jobs.h"

#include <time.h>

#include "common/pg_prng.h"
#include "port/pg_bswap.h"

#define NANOSECONDS 1000000	/* in a millisecond */

PG_FUNCTION_INFO_V1(jobs_new_id);
PG_FUNCTION_INFO_V1(jobs_part_id);
PG_FUNCTION_INFO_V1(jobs_part_of);
PG_FUNCTION_INFO_V1(jobs_status_id);
PG_FUNCTION_INFO_V1(jobs_id_time);

/* Of the list in sql/34_content.sql. */
#define FIRST_STATUS_PART 5

/* From 1970, where the time of ids starts, to where that of the server does. */
#define EPOCH_US ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* Milliseconds in the upper 48 bits, fraction in the lower 12; 60 in all. */
static uint64
clock_60(void)
{
	struct timespec now;
	uint64		ms;
	uint64		fraction;

	clock_gettime(CLOCK_REALTIME, &now);
	ms = (uint64) now.tv_sec * 1000 + now.tv_nsec / NANOSECONDS;
	fraction = ((uint64) (now.tv_nsec % NANOSECONDS) << 12) / NANOSECONDS;
	return (ms << 12) | fraction;
}

/* For the life of the backend; the postmaster never calls this. */
static uint64 last_time = 0;
static pg_prng_state random_state;
static bool seeded = false;

pg_uuid_t
jobs_uuid_new(void)
{
	pg_uuid_t	id;
	uint64		time = clock_60();
	uint64		high;
	uint64		low;

	if (!seeded)
	{
		if (!pg_prng_strong_seed(&random_state))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
		seeded = true;
	}
	if (time <= last_time)
		time = last_time + 1;
	last_time = time;

	high = ((time >> 12) << 16) | UINT64CONST(0x7000) | (time & 0xFFF);
	low = pg_prng_uint64(&random_state);
	low = (low & UINT64CONST(0x3FFFFFFFFFFFFFF0)) | UINT64CONST(0x8000000000000000);
	high = pg_hton64(high);
	low = pg_hton64(low);
	memcpy(id.data, &high, 8);
	memcpy(id.data + 8, &low, 8);
	return id;
}

Datum
jobs_new_id(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	*id = jobs_uuid_new();
	PG_RETURN_UUID_P(id);
}

/*
 * Part n (1 to 15) of the row that an id starts. The list of parts is in
 * sql/34_content.sql.
 */
pg_uuid_t
jobs_uuid_part(const pg_uuid_t *id, int part)
{
	pg_uuid_t	result = *id;

	result.data[UUID_LEN - 1] = (result.data[UUID_LEN - 1] & 0xF0) | part;
	return result;
}

Datum
jobs_part_id(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));
	int32		part = PG_GETARG_INT32(1);

	if (part < 0 || part > 15)
		elog(ERROR, "part out of range: %d", part);
	*id = jobs_uuid_part(PG_GETARG_UUID_P(0), part);
	PG_RETURN_UUID_P(id);
}

/*
 * The id of an entry of a history: derived, so that it need not be stored. Its time
 * is that of the entry, then comes its ordinal, so ids are in the order of the
 * entries; the rest is from the job's own random bits. Entry 0 is a part of the job.
 */
pg_uuid_t
jobs_uuid_status(const pg_uuid_t *job_id, int32 ordinal, TimestampTz created)
{
	uint64		us = created + EPOCH_US;
	uint64		high = ((us / 1000) << 16) | UINT64CONST(0x7000) | (((us % 1000) << 12) / 1000);
	uint64		low;
	pg_uuid_t	id;

	if (ordinal == 0)
		return jobs_uuid_part(job_id, FIRST_STATUS_PART);
	memcpy(&low, job_id->data + 8, 8);
	low = (pg_ntoh64(low) & UINT64CONST(0x00003FFFFFFFFFF0)) | UINT64CONST(0x8000000000000000) |
		((uint64) (ordinal & 0xFFFF) << 46);
	high = pg_hton64(high);
	low = pg_hton64(low);
	memcpy(id.data, &high, 8);
	memcpy(id.data + 8, &low, 8);
	return id;
}

Datum
jobs_status_id(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	*id = jobs_uuid_status(PG_GETARG_UUID_P(0), PG_GETARG_INT32(1), PG_GETARG_TIMESTAMPTZ(2));
	PG_RETURN_UUID_P(id);
}

/* When an id was made; the fraction of the millisecond is as in clock_60. */
Datum
jobs_id_time(PG_FUNCTION_ARGS)
{
	uint64		high;

	memcpy(&high, PG_GETARG_UUID_P(0)->data, 8);
	high = pg_ntoh64(high);
	PG_RETURN_TIMESTAMPTZ((TimestampTz) ((high >> 16) * 1000 + (((high & 0xFFF) * 1000) >> 12)) - EPOCH_US);
}

/* No id that was made until then is larger. */
pg_uuid_t
jobs_uuid_last_until(TimestampTz time)
{
	int64		ms = (time + EPOCH_US) / 1000;
	uint64		high = pg_hton64(((uint64) Max(ms, 0) << 16) | 0xFFFF);
	pg_uuid_t	id;

	memset(id.data, 0xFF, UUID_LEN);
	memcpy(id.data, &high, 8);
	return id;
}

/* Which part an id names; 0 for the row itself. */
Datum
jobs_part_of(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(PG_GETARG_UUID_P(0)->data[UUID_LEN - 1] & 0x0F);
}
