# What tests of the background workers share: a server that preloads, sessions
# that stay open, jobs that are due, and a place where a pass can be held.
package Jobs;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(preloaded_node restart install due_job swept holdable gated hold_by held session
	launcher_pid log_count status status_becomes launcher_looks);

# With workers in a hurry, and a discovery that never comes unless a test asks for it.
sub preloaded_node
{
	my ($name, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(allows_streaming => 1);
	$node->append_conf('postgresql.conf', <<"CONF" . ($conf // ''));
shared_preload_libraries = 'jobs'
fsync = off
restart_after_crash = on
autovacuum = off
max_worker_processes = 12
jobs.worker_interval = 20
jobs.worker_discovery_interval = 100
CONF
	$node->start;
	return $node;
}

# pg_ctl restart starts the program that ran before, and so goes past one that a
# sanitizer has put before it.
sub restart
{
	my ($node) = @_;

	$node->stop;
	$node->start;
	return;
}

# The extension, an agent, and in the public schema what due_job and holdable need.
sub install
{
	my ($node, $database) = @_;

	$node->safe_psql($database, <<'SQL');
CREATE EXTENSION jobs;
SELECT jobs.set_agent_functions(jobs.register_agent('agent'), ARRAY[jobs.add_function('@test:worker', '1')]);
SQL
	return;
}

# A job whose time has come, for the next pass to see.
sub due_job
{
	my ($node, $database) = @_;

	return $node->safe_psql($database, <<'SQL');
BEGIN;
SELECT id FROM jobs.add_job('@test:worker', run_after => '2100-01-01');
UPDATE jobs_store.waiting SET check_at = clock_timestamp();
COMMIT;
SQL
}

# All due jobs are moved, and by nobody but a worker: no session claims or sweeps.
sub swept
{
	my ($node, $database, $what) = @_;

	ok($node->poll_query_until($database, 'SELECT NOT EXISTS (SELECT FROM jobs_store.waiting WHERE check_at < now())'), $what);
	return;
}

# From now on a pass that moves a job runs this, inside its transaction.
sub holdable
{
	my ($node, $database, $body) = @_;

	hold_by($node, $database, $body);
	$node->safe_psql($database, 'CREATE TRIGGER hold AFTER INSERT ON jobs_store.ready FOR EACH ROW EXECUTE FUNCTION public.hold()');
	return;
}

# From now on a pass that moves a job is held while a session has advisory lock 42. It
# does not wait for that lock itself, for a worker waits for no lock for long.
sub gated
{
	my ($node, $database) = @_;

	holdable($node, $database, 'WHILE NOT pg_try_advisory_xact_lock_shared(42) LOOP PERFORM pg_sleep(0.02); END LOOP');
	return;
}

# Another body for that; does not wait for a pass that is held.
sub hold_by
{
	my ($node, $database, $body) = @_;

	$node->safe_psql($database,
		"CREATE OR REPLACE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN $body; RETURN NULL; END \$\$");
	return;
}

# The pid of the worker that waits for such an event in that database.
sub held
{
	my ($node, $database, $event) = @_;
	my $where = "backend_type = 'jobs worker' AND datname = '$database' AND '$event' IN (wait_event, wait_event_type)";

	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE $where"), "a pass waits: $event")
		or return 0;
	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $where");
}

sub launcher_pid
{
	my ($node) = @_;

	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'jobs launcher'");
}

sub log_count
{
	my ($node, $pattern) = @_;

	return scalar(() = slurp_file($node->logfile) =~ /$pattern/g);
}

# One value of the row about a database, as another one sees it.
sub status
{
	my ($node, $database, $column) = @_;

	return $node->safe_psql('postgres', "SELECT $column FROM jobs.worker_status() WHERE database = '$database'");
}

sub status_becomes
{
	my ($node, $database, $condition, $what) = @_;

	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM jobs.worker_status() WHERE database = '$database' AND $condition"), $what);
	return;
}

# The launcher has looked at all databases since: it has sent workers to this one.
sub launcher_looks
{
	my ($node, $database) = @_;
	my $passes = status($node, $database, 'passes');

	return $node->poll_query_until('postgres', "SELECT passes > $passes + 3 FROM jobs.worker_status() WHERE database = '$database'");
}

# A psql that stays. run() waits for its answer, send() does not.
sub session
{
	my ($node, $database) = @_;
	my $self = { in => '', out => '', err => '' };

	$self->{psql} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr($database) ],
		'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err}, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return bless $self, 'Jobs::Session';
}

package Jobs::Session;

sub send
{
	my ($self, $sql) = @_;

	$self->{out} = '';
	$self->{in} .= "$sql;\n\\echo ready for more\n";
	$self->{psql}->pump_nb;
	return;
}

sub wait
{
	my ($self) = @_;

	$self->{psql}->pump until $self->{out} =~ s/ready for more\n//;
	chomp $self->{out};
	return $self->{out};
}

sub run
{
	my ($self, $sql) = @_;

	$self->send($sql);
	return $self->wait;
}

sub close
{
	my ($self) = @_;

	$self->{in} .= "\\q\n";
	$self->{psql}->finish;
	return;
}

1;
