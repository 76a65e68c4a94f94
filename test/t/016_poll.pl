# Who waits for a job sees what others commit, and holds no lock meanwhile.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION jobs');
$node->safe_psql('postgres', q{SELECT jobs.add_function('@test:poll', '1')});
my $job = $node->safe_psql('postgres', q{SELECT id FROM jobs.add_job('@test:poll')});

sub start
{
	my ($query) = @_;
	my %session = (in => '', out => '', err => '');

	$session{handle} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=sqlstate', '-d', $node->connstr('postgres'), '-c', $query ],
		'<', \$session{in}, '>', \$session{out}, '2>', \$session{err}, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return \%session;
}

sub waits
{
	return $node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity
		WHERE query LIKE 'SELECT jobs.poll_job%' AND wait_event_type = 'Extension'});
}

my $session = start("SELECT jobs.poll_job('$job', '100 s', '20 ms')");
ok(waits(), 'it waits');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
	WHERE c.relnamespace = 'jobs_store'::regnamespace AND l.mode NOT IN ('AccessShareLock') AND l.pid <> pg_backend_pid()}),
	'0', 'it locks nothing that others would wait for');
$node->safe_psql('postgres', "SELECT jobs.cancel_job('$job')");
$session->{handle}->finish;
is($session->{out}, "CANCELED\n", 'it answers when the job was canceled by somebody else');

$job = $node->safe_psql('postgres', q{SELECT id FROM jobs.add_job('@test:poll')});
$session = start("SELECT jobs.poll_job('$job')");
ok(waits(), 'it waits without a limit');
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT jobs.poll_job%'});
$session->{handle}->finish;
like($session->{err}, qr/57014/, 'it can be canceled');

$session = start("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT jobs.poll_job('$job')");
$session->{handle}->finish;
like($session->{err}, qr/0A000/, 'it does not wait for what an old snapshot will never show');

done_testing();
