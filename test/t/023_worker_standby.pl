# Background workers on a standby: none, until it is promoted. And none at all in
# a server that pg_upgrade runs.
use strict;
use warnings;

use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = preloaded_node('primary');
install($primary, 'postgres');
due_job($primary, 'postgres');
swept($primary, 'postgres', 'the primary works');

$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

# The primary is gone, with something due that only the standby has then.
$primary->safe_psql('postgres', 'ALTER SYSTEM SET jobs.worker = off');
$primary->reload;
ok($primary->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type LIKE 'jobs %' AND query = 'off'}),
	'the workers of the primary are off');
my $job = due_job($primary, 'postgres');
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'jobs %'}), '0', 'a standby has no launcher');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM jobs.worker_status()'), '0', 'and has seen no worker');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM jobs_store.waiting'), '1', 'what is due waits there');
$primary->stop('immediate');
$standby->promote;
swept($standby, 'postgres', 'promoted, it has workers');
is($standby->safe_psql('postgres', "SELECT count(*) FROM jobs_store.job_status WHERE job_id = '$job' AND name = 'PENDING'"), '1', 'which moved the job');
restart($standby);
due_job($standby, 'postgres');
swept($standby, 'postgres', 'and still has after a restart');
is(log_count($standby, qr/(?:ERROR|PANIC):/), 0, 'without an error');
$standby->stop;

# As pg_upgrade starts a server.
my @upgrade = ('pg_ctl', '-w', '-D', $standby->data_dir, '-l', $standby->logfile, '-o', '-b');
command_ok([ @upgrade, 'start' ], 'a server starts for an upgrade');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'jobs %'}), '0', 'it has no launcher');
is($standby->safe_psql('postgres', 'SHOW shared_preload_libraries'), 'jobs', 'although the library is preloaded');
command_ok([ 'pg_ctl', '-w', '-D', $standby->data_dir, '-m', 'fast', 'stop' ], 'and stops');

done_testing();
