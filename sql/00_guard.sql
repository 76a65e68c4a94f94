\echo Use "CREATE EXTENSION jobs" to load this file. \quit

-- Plain CREATE, never IF NOT EXISTS: a schema that somebody else made before
-- is refused, not adopted.
CREATE SCHEMA jobs;
COMMENT ON SCHEMA jobs IS 'Jobs: the functions, types and views that callers use';

CREATE SCHEMA jobs_store;
COMMENT ON SCHEMA jobs_store IS 'Jobs: storage and internal functions, granted to nobody; callers use schema jobs';
