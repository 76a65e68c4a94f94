# A dump restores everything: jobs in every state, their history, results and
# queue position; and what was restored goes on working, its guard included.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "jobs.lost_grace = '1h'");
$node->start;
my $dumps = PostgreSQL::Test::Utils::tempdir;

# Jobs in every state. What is claimed must be what was just added, so each job
# that is to be claimed has a higher priority than the ones before it.
$node->safe_psql('postgres', 'CREATE DATABASE original');
$node->safe_psql('original', <<'SQL');
CREATE EXTENSION jobs;
CREATE TABLE known (label text PRIMARY KEY, id uuid);
INSERT INTO known VALUES
	('function', jobs.add_function('@test:dump', '1.0', 'module')),
	('agent', jobs.register_agent('agent', 'linux')),
	('model', jobs.add_model('model.txt', 'some text', 'text/plain'));
SELECT jobs.set_agent_functions(a.id, ARRAY[f.id])
FROM known a, known f WHERE a.label = 'agent' AND f.label = 'function';

CREATE FUNCTION id(label text) RETURNS uuid LANGUAGE sql AS
	'SELECT id FROM known k WHERE k.label = $1';
CREATE FUNCTION add(label text, run_after timestamptz DEFAULT NULL, depends_on uuid[] DEFAULT NULL,
	priority integer DEFAULT 0, max_attempts integer DEFAULT 1) RETURNS uuid LANGUAGE sql AS
	'INSERT INTO known SELECT $1, (jobs.add_job(''@test:dump'', model_id => id(''model''),
		parameters => jsonb_build_object(''label'', $1), display_name => $1, run_after => $2,
		depends_on => $3, priority => $4, max_attempts => $5, idempotency_key => ''key of '' || $1)).id
	RETURNING id';
CREATE FUNCTION take(label text, lease interval DEFAULT '1 day', max_attempts integer DEFAULT 1)
	RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	added uuid := add(label, priority => (SELECT count(*)::integer FROM known),
		max_attempts => take.max_attempts);
	got uuid := (SELECT job_id FROM jobs.claim_jobs(id('agent'), lease => take.lease));
BEGIN
	ASSERT got = added, 'claimed another job';
	RETURN got;
END $$;

SELECT add('pending');
SELECT add('due in a century', run_after => now() + interval '100 years');
SELECT add('dependent', depends_on => ARRAY[id('pending')]);
SELECT take('claimed');
SELECT jobs.update_job_status(take('validating'), 'VALIDATING', 'looking', id('agent'));
SELECT jobs.update_job_status(take('running'), 'RUNNING', agent_id => id('agent'));
SELECT jobs.update_job_status(id('running'), 'RUNNING', 'half way', id('agent'));
SELECT jobs.update_job_status(take('uploading'), 'UPLOADING', agent_id => id('agent'));
SELECT jobs.update_job_status(take('completed'), 'RUNNING', agent_id => id('agent'));
SELECT jobs.update_job(id('completed'), 'the result', name => 'result.txt');
SELECT jobs.update_job_status(id('completed'), 'COMPLETED', agent_id => id('agent'));
SELECT jobs.update_job_status(take('failed'), 'FAILED', 'it broke', id('agent'));
SELECT jobs.update_job_status(take('to be retried', max_attempts => 2), 'FAILED', 'not yet', id('agent'));
SELECT jobs.cancel_job(add('canceled'), 'not needed');
SELECT jobs.cancel_job(take('canceled in flight'), 'too late');
SELECT jobs.release_job(take('released'), id('agent'), message => 'no disk');
SELECT jobs.add_schedule('each minute', '* * * * *', '{"function": "@test:dump", "parameters": "each minute", "priority": -1}');
SELECT jobs.add_schedule('in Berlin', '30 2 * * *', '{"function": "@test:dump"}', 'Europe/Berlin', 'once', true);
SELECT jobs.pause_schedule('in Berlin');
SELECT take('lost', lease => '1 ms');
SELECT pg_sleep(0.01);
SELECT jobs.sweep();
SQL

is( $node->safe_psql('original', q{
		SELECT string_agg(DISTINCT status::text, ' ' ORDER BY status::text) FROM jobs.job_list}),
	'CANCELED CLAIMED COMPLETED CREATED FAILED PENDING RUNNING UNKNOWN UPLOADING VALIDATING',
	'there is a job in every state');

# One line a table and sequence of the storage, with a fingerprint of its rows.
# EXCEPT would not see a row that is there twice.
sub storage
{
	my ($database) = @_;

	return $node->safe_psql($database, <<'SQL');
SELECT format('SELECT %L, count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text COLLATE "C")) FROM %s t',
	oid::regclass, oid::regclass)
FROM pg_class WHERE relnamespace = 'jobs_store'::regnamespace AND relkind = 'r'
ORDER BY relname \gexec
SELECT format('SELECT %L, last_value, is_called FROM %s', oid::regclass, oid::regclass)
FROM pg_class WHERE relnamespace = 'jobs_store'::regnamespace AND relkind = 'S'
ORDER BY relname \gexec
SQL
}

# SQLSTATE of a statement, or nothing if it succeeds.
sub sqlstate
{
	my ($database, $sql) = @_;
	my ($status, $stdout, $stderr) =
	  $node->psql($database, "\\set VERBOSITY sqlstate\n$sql");

	return $stderr =~ /ERROR:\s+(\w{5})/ ? $1 : '';
}

# Equal and empty would prove nothing.
my @filled = qw(content file_revision job job_dependency job_key job_status lease model notice ready schedule waiting);
my $filled = join '|', @filled;
is(scalar(grep { /^jobs_store\.($filled)\|[1-9]/ } split /\n/, storage('original')),
	scalar @filled, 'the tables that matter are not empty');

my %restore = (
	plain => sub {
		my ($database) = @_;
		$node->command_ok([ 'pg_dump', '-f', "$dumps/plain.sql", 'original' ], 'plain dump');
		$node->command_ok(
			[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $database, '-f', "$dumps/plain.sql" ],
			'restored by psql');
	},
	custom => sub {
		my ($database) = @_;
		$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dumps/custom", 'original' ], 'custom dump');
		$node->command_ok([ 'pg_restore', '--exit-on-error', '-j', '4', '-d', $database, "$dumps/custom" ],
			'restored by pg_restore with four jobs');
	});

foreach my $way ('plain', 'custom')
{
	my $database = "restored_$way";

	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0");
	$restore{$way}->($database);

	is(storage($database), storage('original'), "$way: all tables and sequences are equal");

	my $read = q{SELECT label, jobs.get_job(id) FROM known
		WHERE label NOT IN ('agent', 'function', 'model') ORDER BY id};
	is($node->safe_psql($database, $read), $node->safe_psql('original', $read), "$way: all jobs read the same");

	# The guard came along, and a superuser is no exception. The history of the
	# job that failed ends with FAILED: nobody may add a step by hand.
	my %forbidden = (
		'an illegal step' => q{INSERT INTO jobs_store.job_status (tenant, job_id, ordinal, attempt, created, name)
			SELECT tenant, job_id, ordinal + 1, attempt, now(), 'RUNNING'
			FROM jobs_store.job_status WHERE job_id = id('failed') ORDER BY ordinal DESC LIMIT 1},
		'UPDATE' => q{UPDATE jobs_store.job_status SET message = 'nothing happened'},
		'DELETE' => q{DELETE FROM jobs_store.job_status WHERE job_id = id('failed')},
		'TRUNCATE' => q{TRUNCATE jobs_store.job_status});
	is(sqlstate($database, $forbidden{$_}), 'JB409', "$way: $_ on the history is refused")
	  foreach sort keys %forbidden;

	# What was there goes on: the idempotency key holds, the holder still holds,
	# and the queue keeps its order.
	is( $node->safe_psql($database, q{
			SELECT (jobs.add_job('@test:dump', idempotency_key => 'key of failed')).id = id('failed')}),
		't', "$way: an idempotency key still answers its job");
	is( $node->safe_psql($database, q{
			SELECT name FROM jobs.update_job_status(id('running'), 'COMPLETED', agent_id => id('agent'))}),
		'COMPLETED', "$way: the agent that holds a job may finish it");

	# Schedules go on: one that is due adds its job, one that is paused stays so.
	is( $node->safe_psql($database, q{
			UPDATE jobs_store.schedule SET next_run = now() WHERE paused IS NULL;
			SELECT jobs.sweep() > 0;
			SELECT name, last_status FROM jobs.schedules ORDER BY name}),
		"t\neach minute|PENDING\nin Berlin|", "$way: a schedule adds its jobs");

	# A sequence that had been left behind would put the new job before the ones
	# that wait in its lane, or collide with one of them.
	is( $node->safe_psql($database, q{
			SELECT add('added after the restore');
			SELECT seq = max(seq) OVER () FROM jobs_store.ready ORDER BY job_id = id('added after the restore') DESC LIMIT 1;
		}) =~ s/^.*\n//r,
		't', "$way: a new job queues behind those that are there");
	is( $node->safe_psql($database, q{
			SELECT count(*) FROM jobs.claim_jobs(id('agent'), 100) WHERE job_id = id('added after the restore')}),
		'1', "$way: it can be claimed");
	is( $node->safe_psql($database, q{
			SELECT name FROM jobs.update_job_status(id('added after the restore'), 'COMPLETED', agent_id => id('agent'))}),
		'COMPLETED', "$way: it can be completed");
}

$node->stop;
done_testing();
