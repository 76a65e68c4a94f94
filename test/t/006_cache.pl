# The temporary files of the cache: what is wrong with one is found, counted and
# put right; they go with the session, however it ends.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# Off in the servers of tests, where one that crashed is to be looked at.
$node->append_conf('postgresql.conf', "restart_after_crash = on\nremove_temp_files_after_crash = on");
$node->start;
my $temporary = $node->data_dir . '/base/pgsql_tmp';

# Ten chunks: 320 blocks of 32 kB, each another.
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION jobs;
CREATE TABLE known AS SELECT jobs.add_model('big', string_agg(sha512(n::text::bytea), '' ORDER BY n)) AS id,
	md5(string_agg(sha512(n::text::bytea), '' ORDER BY n)) AS md5
FROM generate_series(1, 163840) n;
SQL

# The cache is that of a session, so one session asks all.
sub start_session
{
	my %session = (in => '', out => '', err => '');

	$session{run} = IPC::Run::start(
		[ 'psql', '-X', '-q', '-A', '-t', '-d', $node->connstr('postgres') ],
		'<', \$session{in}, '>', \$session{out}, '2>', \$session{err},
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return \%session;
}

sub ask
{
	my ($session, $sql) = @_;

	$session->{out} = '';
	$session->{in} .= "$sql;\n\\echo :done:\n";
	$session->{run}->pump until $session->{out} =~ /:done:\n/;
	return $session->{out} =~ s/\n:done:\n//r;
}

sub files
{
	my @found = glob "$temporary/pgsql_tmp*";
	return @found;
}

sub corrupt
{
	my ($file, $offset, $bytes) = @_;

	open(my $handle, '+<', $file) or die "$file: $!";
	binmode $handle;
	seek($handle, $offset, 0) or die $!;
	print $handle $bytes;
	close $handle or die $!;
}

my $session = start_session();
my $whole = 'SELECT md5(jobs.read_bytes(id)) = md5 FROM known';
my $stats = "SELECT concat_ws(' ', hits, misses, puts, entries, bytes) FROM jobs.get_cache_stats()";

is(ask($session, $stats), '0 0 0 0 0', 'an empty cache');
is(scalar(files()), 0, 'no file');
is(ask($session, $whole), 't', 'read');
is(ask($session, $stats), '0 320 320 1 10485760', 'all missed, all kept');
my @files = files();
is(scalar(@files), 1, 'in one file');
is(-s $files[0], 10485760, 'of that size');
is(ask($session, $whole), 't', 'read again');
is(ask($session, $stats), '320 320 320 1 10485760', 'all found');

# One byte, in the fourth block.
corrupt($files[0], 100000, 'x');
is(ask($session, 'SELECT jobs.read_bytes(id, 0, 98304) = substring(jobs.read_bytes(id) FOR 98304) FROM known') , 't', 'before the damage, and across it');
is(ask($session, $whole), 't', 'a damaged block is read from the table');
is(ask($session, $stats), '962 321 321 1 10485760', 'once: it is a miss, and replaced');

# Bytes of one block in place of another's: right bytes, wrong place.
corrupt($files[0], 0, substr(slurp_file($files[0]), 32768, 32768));
is(ask($session, $whole), 't', 'blocks that changed places');
is(ask($session, $stats), '1281 322 322 1 10485760', 'the one is found out');

# All of it, and less than there was.
corrupt($files[0], 0, 'x' x 10485760);
is(ask($session, 'SELECT jobs.read_bytes(id, 5000000, 10) = substring(jobs.read_bytes(id) FROM 5000001 FOR 10) FROM known'), 't', 'a file of rubbish');
is(ask($session, $whole), 't', 'is put right');
my $before = ask($session, $stats);
truncate($files[0], 1000000) or die $!;
is(ask($session, $whole), 't', 'a file that was cut off');
is(ask($session, $whole), 't', 'is put right');
like(ask($session, $stats), qr/ 1 10485760$/, 'and takes no more room than before');
isnt(ask($session, $stats), $before, 'it was counted');

is(ask($session, 'SELECT jobs.cleanup_cache()'), '1', 'cleanup_cache');
is(scalar(files()), 0, 'removes the file');

# Many reads, many transactions: one file, and memory that does not grow.
ask($session, 'SELECT jobs.read_bytes(id) IS NULL FROM known');
my $memory = q{SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name NOT IN ('ErrorContext', 'MessageContext')};
ask($session, 'SELECT jobs.read_bytes(id, n * 1000, 1000) IS NULL FROM known, generate_series(1, 100) n') for 1 .. 3;
my $size = ask($session, $memory);
ask($session, "BEGIN; SELECT count(jobs.read_bytes(id, n * 1000, 1000)) FROM known, generate_series(1, 10000) n; SELECT jobs.cleanup_cache(); SELECT count(jobs.read_bytes(id)) FROM known; ROLLBACK") for 1 .. 5;
cmp_ok(ask($session, $memory), '<', $size + 65536, 'memory does not grow');
is(scalar(files()), 1, 'nor do files');

# The end of a session.
$session->{in} .= "\\q\n";
$session->{run}->finish;
for (my $i = 0; files() && $i < 1000; $i++) { usleep(10000) }
is(scalar(files()), 0, 'the file goes with its session');

# The end of a session that had no time to tidy up.
$session = start_session();
is(ask($session, $whole), 't', 'another session');
is(scalar(files()), 1, 'has its file');
my $pid = ask($session, 'SELECT pg_backend_pid()');
is(PostgreSQL::Test::Utils::system_log('pg_ctl', 'kill', 'KILL', $pid), 0, 'is killed');
$session->{in} .= "\\q\n";
eval { $session->{run}->finish };
$node->poll_query_until('postgres', 'SELECT true', 't');
is(scalar(files()), 0, 'the server removes its file when it starts again');
is($node->safe_psql('postgres', $whole), 't', 'and all is well');

$node->stop;
done_testing();
