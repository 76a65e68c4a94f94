# A short run of test/torture: agents and submitters at work while processes of the
# server are killed, it crashes, and a standby takes over. Nothing that was
# acknowledged is lost, and check_integrity finds nothing. make torture is the long one.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'test/cluster starts this' unless $ENV{WORK} && $ENV{TEMP_CONFIG};
delete $ENV{TORTURE_DISK};
my ($out, $err) = ('', '');
my $passed = IPC::Run::run([ 'test/torture/run', '15' ], '>', \$out, '2>', \$err);
note($out);
ok($passed, 'nothing is wrong') or diag($out, $err);
my ($kills, $crashes, $jobs) = $out =~ /^torture: (\d+) kills and (\d+) crashes .* (\d+) jobs, 0 wrong$/m;
cmp_ok($kills // 0, '>=', 1, 'processes were killed');
cmp_ok($crashes // 0, '>=', 1, 'servers crashed');
cmp_ok($jobs // 0, '>=', 50, 'under load');

done_testing();
