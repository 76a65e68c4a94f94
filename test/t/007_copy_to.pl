# copy_to writes a file of the server: only for who may, all of it or nothing,
# and whatever interrupts it, no other file stays.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
my $folder = PostgreSQL::Test::Utils::tempdir;
my $dest = "$folder/result.bin";

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION jobs;
CREATE TABLE known (label text PRIMARY KEY, id uuid);
CREATE ROLE writer LOGIN;
CREATE ROLE reader LOGIN;
GRANT pg_write_server_files TO writer;
GRANT SELECT ON known TO writer, reader;
SELECT jobs.add_user('writer@example.org', 'writer'), jobs.add_user('reader@example.org', 'reader');
SET ROLE writer;
SELECT jobs.add_model('small', 'a few bytes') AS small,
	jobs.add_model('empty', '') AS empty,
	jobs.add_model('three', convert_to(repeat('0123456789', 300000), 'UTF8')) AS three,
	jobs.add_model('huge', convert_to(repeat('0123456789abcdef', 16777216), 'UTF8')) AS huge \gset
SELECT jobs.add_function('@test:copy', '1') AS f \gset
SELECT (jobs.add_job('@test:copy', parameters => '{"a": 1}')).id AS job \gset
RESET ROLE;
INSERT INTO known VALUES ('small', :'small'), ('empty', :'empty'), ('three', :'three'), ('huge', :'huge'), ('job', :'job');
CREATE FUNCTION id(label text) RETURNS uuid LANGUAGE sql AS 'SELECT id FROM known k WHERE k.label = $1';
SQL

# SQLSTATE of a statement, or nothing if it succeeds.
sub sqlstate
{
	my ($role, $sql) = @_;
	my ($status, $stdout, $stderr) = $node->psql('postgres', "\\set VERBOSITY sqlstate\n$sql",
		extra_params => [ '-U', $role ]);

	return $stderr =~ /(?:ERROR|FATAL):\s+(\w{5})/ ? $1 : '';
}

sub copy
{
	my ($label, $to) = @_;

	return "SELECT jobs.copy_to(id('$label'), '$to')";
}

sub files
{
	opendir(my $handle, $folder) or die $!;
	return join ' ', sort grep { !/^\.\.?$/ } readdir $handle;
}

sub content_is
{
	my ($file, $content, $name) = @_;

	ok(slurp_file($file) eq $content, $name);
}

# Who may.
is(sqlstate('reader', copy('small', $dest)), '42501', 'not without the privilege');
$node->safe_psql('postgres', 'GRANT pg_write_server_files TO reader');
is(sqlstate('reader', copy('small', $dest)), 'JB404', 'with it, only what one may see');
is(sqlstate('writer', copy('small', 'result.bin')), '22023', 'not to a relative path');
is(sqlstate('writer', copy('small', $folder)), '22023', 'not onto a folder');
is(sqlstate('writer', copy('small', "$dest/x")), '58P01', 'not into a folder that is not there');
is(files(), '', 'no file came of it');

# What is written.
is($node->safe_psql('postgres', copy('small', $dest)), $dest, 'answers the path');
content_is($dest, 'a few bytes', 'few bytes');
is(sprintf('%o', (stat $dest)[2] & 0777), '644', 'that others may read');
is(sqlstate('writer', copy('three', $dest)), '', 'onto a file that is there');
content_is($dest, '0123456789' x 300000, 'more than a chunk');
is(sqlstate('writer', copy('empty', "$folder//empty")), '', 'empty content, a path with two slashes');
content_is("$folder/empty", '', 'an empty file');
is(sqlstate('writer', copy('job', "$folder/job")), '', 'a job');
content_is("$folder/job", $node->safe_psql('postgres', q{SELECT jobs.read_text(id('job'))}), 'its parameters');
symlink($dest, "$folder/link") or die $!;
is(sqlstate('writer', copy('small', "$folder/link")), '', 'onto a symbolic link');
ok(!-l "$folder/link", 'replaces the link');
content_is($dest, '0123456789' x 300000, 'and not what it led to');
unlink "$folder/empty", "$folder/job", "$folder/link";
is(files(), 'result.bin', 'no other file stays');

# All or nothing. What interrupts a copy comes once its temporary file is there.
sub interrupted
{
	my ($statement) = @_;
	my ($stdout, $stderr) = ('', '');
	my $timeout = $PostgreSQL::Test::Utils::timeout_default;
	my $session = IPC::Run::start(
		[ 'psql', '-X', '-v', 'VERBOSITY=sqlstate', '-d', $node->connstr('postgres'), '-c', "/* the copy */ " . copy('huge', $dest) ],
		'>', \$stdout, '2>', \$stderr);
	my $seen = 0;

	for (my $i = 0; $i < $timeout * 1000 && !$seen; $i++)
	{
		$seen = files() =~ /jobs_\S+\.tmp/;
		usleep(1000);
	}
	ok($seen, 'the temporary file is in the same folder');
	is( $node->safe_psql('postgres',
			"SELECT $statement(pid) FROM pg_stat_activity WHERE query LIKE '/* the copy */%' AND pid <> pg_backend_pid()"),
		't', $statement);
	$session->finish;
	return $stderr =~ /(?:ERROR|FATAL):\s+(\w{5})/ ? $1 : '';
}

is(interrupted('pg_cancel_backend'), '57014', 'canceled');
is(files(), 'result.bin', 'no other file stays');
content_is($dest, '0123456789' x 300000, 'the one that was there is as it was');
is(interrupted('pg_terminate_backend'), '57P01', 'terminated');
is(files(), 'result.bin', 'no other file stays');
content_is($dest, '0123456789' x 300000, 'the one that was there is as it was');

# An error half way: a chunk is missing.
$node->safe_psql('postgres', q{DELETE FROM jobs_store.content WHERE chunk = 2
	AND revision_id = (SELECT id FROM jobs_store.file_revision WHERE resource_id = id('three'))});
is(sqlstate('writer', copy('three', "$folder/half")), 'XX001', 'content that is incomplete');
is(files(), 'result.bin', 'no other file stays');

# In a transaction: the file is there at once, and caught errors leave none.
is( $node->safe_psql('postgres', <<"SQL"), '', 'an error that is caught');
DO \$\$ BEGIN
	PERFORM jobs.copy_to(id('three'), '$folder/half');
EXCEPTION WHEN data_corrupted THEN NULL;
END \$\$;
SQL
is(files(), 'result.bin', 'no other file stays');

$node->stop;
done_testing();
