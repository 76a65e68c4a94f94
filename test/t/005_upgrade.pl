# Every version that was released is brought up to date by ALTER EXTENSION, with data
# in it: then it is what a fresh install is, catalog by catalog, its data is there, and
# it goes on working. So that this can fail before there is a release to test, a
# version is made up whose SQL is the present one less a few things, and a step that
# brings them; and one whose step forgets some, which must be noticed.
use strict;
use warnings;

use File::Basename qw(basename dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = dirname(__FILE__) . '/../..';
my $here = dirname(__FILE__) . '/../upgrade';

# Where the server under test looks for the scripts, which must be a folder that
# is ours to write to.
my $staged = $ENV{TEMP_CONFIG} ? slurp_file($ENV{TEMP_CONFIG}) : '';
my ($folder) = $staged =~ /^extension_control_path = '([^:]*):/m;
if ($staged =~ /^extension_destdir = '([^']*)'/m)
{
	my $root = $1;
	my ($share) = run_command([ $ENV{PG_CONFIG} || 'pg_config', '--sharedir' ]);
	$folder = $root . $share;
}
plan skip_all => 'needs an installation of its own' unless $folder && -w "$folder/extension";
$folder .= '/extension';

my ($current) = slurp_file("$folder/jobs.control") =~ /^default_version = '(.*)'/m;
my $script = slurp_file("$folder/jobs--$current.sql");

my @added;
END { unlink @added if @added; }

# A script of the extension, for as long as this test runs.
sub add_script
{
	my ($name, $text) = @_;

	return if -e "$folder/$name";
	append_to_file("$folder/$name", $text);
	push @added, "$folder/$name";
}

# The statements of the script that match.
sub statements
{
	my ($pattern) = @_;
	my @found = $script =~ /^((?:$pattern).*?;)$/msg;

	die "no statement matches $pattern" unless @found;
	return join("\n", @found) . "\n";
}

my $undo = <<'SQL';
DROP VIEW jobs.throughput;
DROP FUNCTION jobs.pause_function(text, text);
COMMENT ON FUNCTION jobs.sweep() IS 'as it was';
DROP INDEX jobs_store.agent_created_by_idx;
ALTER TABLE jobs_store.notice ADD COLUMN obsolete text;
SQL
my $redo =
    statements('CREATE VIEW jobs\.throughput ')
  . statements('COMMENT ON (?:VIEW|COLUMN) jobs\.throughput')
  . statements('CREATE FUNCTION jobs\.pause_function\(')
  . statements('COMMENT ON FUNCTION jobs\.pause_function\(')
  . statements('COMMENT ON FUNCTION jobs\.sweep\(')
  . statements('CREATE INDEX ON jobs_store\.agent \(tenant, created_by_id\)|CREATE INDEX agent_created_by_idx')
  . statements('COMMENT ON INDEX jobs_store\.agent_created_by_idx')
  . <<'SQL';
REVOKE ALL ON jobs.throughput FROM PUBLIC;
GRANT SELECT ON jobs.throughput TO PUBLIC;
REVOKE ALL ON FUNCTION jobs.pause_function(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION jobs.pause_function(text, text) TO PUBLIC;
ALTER TABLE jobs_store.notice DROP COLUMN obsolete;
SQL

# Two steps, so that one of them ends at a version that is not the library's.
add_script('jobs--0.0.1.sql', $script . $undo);
add_script('jobs--0.0.1--0.0.2.sql', "SELECT jobs.current_user_id();\n");
add_script("jobs--0.0.2--$current.sql", $redo);
(my $forgetful = $redo) =~ s/^GRANT SELECT.*\n//m;
$forgetful =~ s/^COMMENT ON INDEX.*\n//m;
add_script('jobs--0.0.3.sql', $script . $undo);
add_script("jobs--0.0.3--$current.sql", $forgetful);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
my $dumps = PostgreSQL::Test::Utils::tempdir;

sub run_file
{
	my ($database, $file) = @_;

	return $node->safe_psql($database, slurp_file($file));
}

sub fresh
{
	my ($database, $version) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION jobs' . ($version ? " VERSION '$version'" : ''));
}

# The columns of the storage's tables.
sub columns
{
	my ($database) = @_;
	my %columns;

	push @{ $columns{ $_->[0] } }, $_->[1]
	  foreach map { [ split /\|/ ] } split /\n/, $node->safe_psql($database, q{
			SELECT c.oid::regclass, quote_ident(a.attname)
			FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
			WHERE c.relnamespace = 'jobs_store'::regnamespace AND c.relkind = 'r' ORDER BY a.attname});
	return \%columns;
}

# Of two such, what they have in common.
sub in_common
{
	my ($left, $right) = @_;
	my %common;

	foreach my $table (grep { $right->{$_} } keys %$left)
	{
		my %has = map { $_ => 1 } @{ $right->{$table} };
		$common{$table} = [ grep { $has{$_} } @{ $left->{$table} } ];
	}
	return \%common;
}

# How many rows there are, and a fingerprint of these columns.
sub rows
{
	my ($database, $columns) = @_;

	return {
		map {
			my $list = join ', ', @{ $columns->{$_} };
			$_ => $node->safe_psql($database, qq{
				SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text COLLATE "C"))
				FROM (SELECT $list FROM $_) t})
		} keys %$columns };
}

# The lines that only one of two texts has.
sub differences
{
	my ($left, $right) = @_;
	my %count;

	$count{$_}++ foreach split /\n/, $left;
	$count{$_}-- foreach split /\n/, $right;
	return map { ($count{$_} > 0 ? '- ' : '+ ') . $_ } grep { $count{$_} } sort keys %count;
}

fresh('reference');
my $reference = run_file('reference', "$here/catalog.sql");
like($reference, qr/^version\|\Q$current\E$/m, 'a fresh install is of the present version');
cmp_ok(scalar(split /\n/, $reference), '>', 500, 'and there is much to compare');
run_file('reference', "$here/fill.sql");
$node->command_ok([ 'pg_dump', '--data-only', '-f', "$dumps/present.sql", 'reference' ], 'its data is dumped');

# One that was released brings the data that was put into it then; the others
# have the tables of the present, and so its data.
my %versions = ('0.0.1' => "$dumps/present.sql");
foreach my $file (glob "$top/sql/released/jobs--*.sql")
{
	my ($version) = basename($file) =~ /^jobs--(.*)\.sql$/;

	add_script(basename($file), slurp_file($file));
	$versions{$version} = "$top/sql/released/data--$version.sql";
}

foreach my $version (sort keys %versions)
{
	(my $database = "from $version") =~ s/\W/_/g;

	fresh($database, $version);

	# Without triggers, which would call the present library.
	my $triggers = $node->safe_psql($database, q{
		SELECT format('ALTER TABLE %s ENABLE %s TRIGGER %I;', tgrelid::regclass,
			CASE tgenabled WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' END, tgname)
		FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'});
	$node->safe_psql($database, q{
		DO $$
		DECLARE relation regclass;
		BEGIN
			FOR relation IN SELECT DISTINCT tgrelid FROM pg_trigger WHERE NOT tgisinternal LOOP
				EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', relation);
			END LOOP;
		END $$});
	$node->command_ok(
		[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $database, '-f', $versions{$version} ],
		"$version: filled");
	$node->safe_psql($database, $triggers);
	my $common = in_common(columns($database), columns('reference'));
	my $before = rows($database, $common);
	isnt($before->{"jobs_store.$_"}, '0|', "$version: $_ is not empty")
	  foreach qw(job job_status lease ready waiting file_revision);

	if ($version ne $current)
	{
		my ($status, $stdout, $stderr) =
		  $node->psql($database, "\\set VERBOSITY verbose\nSELECT jobs.current_user_id()");
		like($stderr, qr/ERROR:  55000: .*HINT:  Run ALTER EXTENSION jobs UPDATE TO '\Q$current\E';/s,
			"$version: the present library says what to do");
		$node->safe_psql($database, 'ALTER EXTENSION jobs UPDATE');
	}
	is(join("\n", differences($reference, run_file($database, "$here/catalog.sql"))),
		'', "$version: updated, it is what a fresh install is");

	is_deeply(rows($database, $common), $before, "$version: its data is what it was");

	# Direct or not, which a dropped column decides, it is one behaviour.
	like(run_file($database, "$here/go_on.sql"), qr/^t t t t [tf]$/, "$version: its jobs go on");
}

# The comparison is worth something: a step that forgets is found out.
fresh('forgetful', '0.0.3');
$node->safe_psql('forgetful', 'ALTER EXTENSION jobs UPDATE');
my @missed = differences($reference, run_file('forgetful', "$here/catalog.sql"));
is(scalar(@missed), 4, 'a step that forgets a grant and a comment differs in two objects')
  or diag(join "\n", @missed);
is(scalar(grep { /jobs\.throughput|agent_created_by_idx/ } @missed), 4, 'and they are named');

$node->stop;
done_testing();
