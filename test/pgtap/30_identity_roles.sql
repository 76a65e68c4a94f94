-- Which roles an administrator may bind to a tenant; and who is calling where the
-- server plans in parallel.
\ir setup.psql

CREATE ROLE t_chief; CREATE ROLE t_boss SUPERUSER; CREATE ROLE t_other; CREATE ROLE t_own; CREATE ROLE t_maker CREATEROLE;
GRANT t_own TO t_chief WITH ADMIN OPTION;
SELECT lives_ok($$SELECT jobs.add_user('chief@t', 't_chief', administrator => true, tenant_id => jobs.add_tenant('roles'))$$, 'an administrator of another tenant');
SET ROLE t_chief;
SELECT throws_ok($$SELECT jobs.add_user('boss@t', 't_boss')$$, '42501', NULL, 'a superuser is not theirs to bind');
SELECT throws_ok($$SELECT jobs.add_user('other@t', 't_other')$$, '42501', NULL, 'nor is a role that they do not administer');
SELECT throws_ok($$SELECT jobs.add_user('all@t', 'pg_read_all_data')$$, '42501', NULL, 'nor one of the server');
SELECT lives_ok($$SELECT jobs.add_user('own@t', 't_own')$$, 'a role that they administer is');
SELECT lives_ok($$SELECT jobs.add_user('nobody@t')$$, 'and so is a user without a role');
SELECT throws_ok($$SELECT jobs.add_user('empty@t', '')$$, '22023', NULL, 'an empty role is no role');
RESET ROLE;
SELECT lives_ok($$SELECT jobs.add_user('maker@t', 't_maker', administrator => true)$$, 'an administrator who may create roles');
SET ROLE t_maker;
SELECT lives_ok($$SELECT jobs.add_user('other@t', 't_other')$$, 'may bind one');
SELECT throws_ok($$SELECT jobs.add_user('boss@t', 't_boss')$$, '42501', NULL, 'but no superuser');
RESET ROLE;
SELECT lives_ok($$SELECT jobs.add_user('boss@t', 't_boss')$$, 'a superuser may bind any');

CREATE TABLE t_many AS SELECT g FROM generate_series(1, 100000) g;
ANALYZE t_many;
SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL min_parallel_table_scan_size = 0;
SELECT lives_ok($$CREATE TABLE t_made AS SELECT g, jobs.current_user_id() AS me, jobs.is_administrator() FROM t_many WHERE g % 7777 = 0$$, 'asked from a parallel plan that writes');
SELECT is((SELECT count(DISTINCT me) FROM t_made WHERE me = jobs.current_user_id()), 1::bigint, 'the answer is the same');

SELECT * FROM finish();
ROLLBACK;
