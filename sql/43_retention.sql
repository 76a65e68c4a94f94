-- 43_retention: how long jobs are kept, and their removal.

CREATE FUNCTION jobs.set_retention(
	completed interval DEFAULT NULL,
	failed interval DEFAULT NULL,
	canceled interval DEFAULT NULL,
	archived interval DEFAULT NULL
) RETURNS void
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_set_retention' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.set_retention(interval, interval, interval, interval) IS 'sets how long the jobs of the tenant are kept after they ended COMPLETED, FAILED or CANCELED; what is NULL is kept for ever, as everything is at first. A job that is archived is kept for as long as archived says, from when it was archived or ended, whichever came last, and NULL keeps it for ever. Older ones are pruned, as a whole, within another twentieth of that time or a day. Never pruned are jobs that have not ended, jobs on which such a one depends, and jobs whose files something else was made from. For administrators. Errors: 22023 (0 or less, or more than 1000 years), 42501';

CREATE FUNCTION jobs.prune("limit" integer DEFAULT 1000) RETURNS integer
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'jobs_prune' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jobs.prune(integer) IS 'removes up to "limit" (1 to 100000) jobs that are older than set_retention says, at once and without the pauses of the sweep, and answers how many; fewer than asked for when no others are due. What was used only by jobs that it removed goes with the next call. For administrators. Errors: 0A000 (in REPEATABLE READ or SERIALIZABLE), 22004, 22023, 42501';
