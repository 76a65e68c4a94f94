# Something fails at each place that was compiled in for it: an error undoes the call,
# whatever it had written by then; a process that dies there takes nothing along. With
# make faults only, for what is installed has no such places.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\njobs.retry_base = 0\njobs.lost_grace = 0\nrestart_after_crash = on");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION jobs;
CREATE TABLE known AS SELECT jobs.register_agent('agent') AS agent, jobs.add_function('@test:faults', '1') AS function;
SELECT jobs.set_agent_functions(agent, ARRAY[function]) FROM known;
SELECT jobs.set_function_policy('@test:faults', max_in_flight => 50, max_in_flight_per_key => 2, rate_limit => 5000, rate_interval => '1 s');
SQL
if ($node->safe_psql('postgres', "LOAD 'jobs'; SELECT count(*) FROM pg_settings WHERE name = 'jobs.fault'") eq '0')
{
	$node->stop;
	plan skip_all => 'there are no places for faults in this build; see make faults';
}

# Everything that reaches one of the places, in transactions of its own.
sub story
{
	my ($settings) = @_;
	my $agent = $node->safe_psql('postgres', 'SELECT agent FROM known');

	return <<"SQL";
$settings
SELECT id AS first FROM jobs.add_job('\@test:faults', max_attempts => 3, concurrency_key => 'k') \\gset
SELECT count(*) FROM jobs.add_job('\@test:faults', depends_on => ARRAY[:'first'::uuid]);
SELECT count(*) FROM jobs.add_jobs('[{"function": "\@test:faults"}, {"function": "\@test:faults"}, {"function": "\@test:faults"}]');
SELECT job_id AS job FROM jobs.claim_jobs('$agent') \\gset
SELECT count(*) FROM jobs.update_job_status(:'job', 'RUNNING', 'x', '$agent');
SELECT count(*) FROM jobs.heartbeat('$agent');
SELECT job_id AS job FROM jobs.finish_and_claim(:'job', 'COMPLETED', NULL, '$agent') \\gset
SELECT count(*) FROM jobs.release_job(:'job', '$agent');
SELECT array_agg(job_id) AS batch FROM jobs.claim_jobs('$agent', 2) \\gset
SELECT count(*) FROM jobs.update_job_status(job_ids => :'batch', names => '{COMPLETED}', messages => NULL, agent_id => '$agent', attempts => NULL);
SELECT job_id AS job FROM jobs.claim_jobs('$agent') \\gset
SELECT count(*) FROM jobs.update_job_status(:'job', 'FAILED', 'x', '$agent', retry => false);
SELECT count(*) FROM jobs.retry_job(:'job');
SELECT count(*) FROM jobs.cancel_job(:'job');
SELECT count(*) FROM jobs.sweep();
SQL
}

# Nothing contradicts itself, and all that is left can be done.
sub sound
{
	my ($name) = @_;

	is($node->safe_psql('postgres', 'SELECT * FROM jobs.check_integrity()'), '', "$name: nothing contradicts itself");
	is($node->safe_psql('postgres', <<'SQL'), '0|0|0', "$name: all ends");
SET jobs.sweep_interval = 0;
SELECT count(jobs.release_job(job_id, agent_id)) AS released FROM jobs_store.lease \gset
DO $$
DECLARE
	ids uuid[];
BEGIN
	FOR i IN 1 .. 100 LOOP
		SELECT array_agg(c.job_id) INTO ids FROM jobs.claim_jobs((SELECT agent FROM known), 100) c;
		EXIT WHEN ids IS NULL AND NOT EXISTS (SELECT FROM jobs_store.waiting);
		IF ids IS NULL THEN
			PERFORM pg_sleep(0.05);
		ELSE
			PERFORM jobs.update_job_status(ids, '{COMPLETED}', NULL, (SELECT agent FROM known), NULL);
		END IF;
		COMMIT;
	END LOOP;
END $$;
SELECT (SELECT count(*) FROM jobs_store.waiting), (SELECT count(*) FROM jobs_store.ready), (SELECT count(*) FROM jobs_store.lease);
SQL
}

$node->safe_psql('postgres', story('SET jobs.sweep_interval = 0;'));
sound('no fault');

# Those of the short cut are not in the other way.
my @short = qw(add-before-place claim-before-lease row-before-index claim-before-history claim-before-answer end-before-history end-before-permits end-before-wake);
my @both = qw(claim-after-permits claim-before-settle finish-before-claim statement);
foreach my $point (@short, @both)
{
	my $is_short = grep { $_ eq $point } @short;
	foreach my $action ('error', 'exit')
	{
		foreach my $direct ('on', $is_short ? () : 'off')
		{
			my ($stdout, $stderr) = ('', '');
			my $name = "$action at $point, " . ($direct eq 'on' ? 'without a plan' : 'by statements');
			$node->psql('postgres', story("SET jobs.sweep_interval = 0; SET jobs.direct = $direct; SET jobs.fault = '$point:$action';"),
				stdout => \$stdout, stderr => \$stderr, on_error_stop => 0);
			my $hit = $action eq 'exit' ? $stderr =~ /server closed the connection/ : $stderr =~ /fault at "$point"/;
			ok($hit, "$name: it happened") or diag($stderr);
			if ($action eq 'exit')
			{
				$node->poll_query_until('postgres', 'SELECT 1', '1') or die 'the server does not come back';
			}
			sound($name);
		}
	}
}

# Stopped half way through a claim, a session holds up nobody, and keeps what it has taken to itself.
my $agent = $node->safe_psql('postgres', 'SELECT agent FROM known');
$node->safe_psql('postgres', q{SELECT count(*) FROM jobs.add_jobs('[{"function": "@test:faults"}, {"function": "@test:faults"}]')});
my @psql = ('psql', '-XAtq', '-d', $node->connstr('postgres'));
my ($claimed, $errors) = ('', '');
my $stopper = IPC::Run::start([ @psql, '-c', q{SELECT pg_advisory_lock(hashtext('claim-before-history')), pg_sleep(300)} ], '>', \my $nothing, '2>', \my $ended);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND granted}), 'a claim is to be stopped');
my $claimer = IPC::Run::start([ @psql, '-c', q{SET jobs.fault = 'claim-before-history:wait'}, '-c', "SELECT count(*) FROM jobs.claim_jobs('$agent')" ],
	'>', \$claimed, '2>', \$errors);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'advisory'}), 'and is, half way');
is($node->safe_psql('postgres', "SET statement_timeout = '10 s'; SELECT count(*) FROM jobs.claim_jobs('$agent', 10)"), '1', 'another takes the other job, and does not wait');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted});
$claimer->finish;
$stopper->finish;
is($claimed, "1\n", 'the claim that goes on has its job') or diag($errors);
sound('a claim that was stopped');

$node->stop;
done_testing();
