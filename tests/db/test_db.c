#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "db_test.h"
#include "sql/leases.h"
#include "sql/nodes.h"
#include "sql/schema.h"

Suite *db_suite(void);

/* ---- sessions ---- */

START_TEST(session_is_read_committed_strict_and_takes_zero_dates)
{
	struct db_rows *rows = NULL;
	struct db *db;
	char mode[512];

	db_test_sql("SET GLOBAL sql_mode = "
		    "'ANSI,TRADITIONAL,NO_BACKSLASH_ESCAPES'");
	db = db_test_connect();
	db_test_sql("SET GLOBAL sql_mode = DEFAULT");
	/* The variables of that session, read by itself through a view. */
	db_test_sql("CREATE VIEW wp_wpcron_meta AS SELECT 'schema' AS name,"
		    " GROUP_CONCAT(VARIABLE_VALUE ORDER BY VARIABLE_NAME"
		    " SEPARATOR ' ') AS value"
		    " FROM information_schema.SESSION_VARIABLES"
		    " WHERE VARIABLE_NAME IN ('tx_isolation', 'autocommit',"
		    " 'innodb_lock_wait_timeout', 'lock_wait_timeout',"
		    " 'character_set_client', 'time_zone')"
		    " UNION ALL SELECT 'schema', VARIABLE_VALUE"
		    " FROM information_schema.SESSION_VARIABLES"
		    " WHERE VARIABLE_NAME = 'sql_mode'");
	CK_RC(RC_OK, db_select(db, &t.scope, SQL_SCHEMA_VERSION, SQL_NO_ARGS,
			 &rows, &t.err));
	ck_assert(db_rows_next(rows));
	ck_assert_msg(slice_eq_str(db_text(rows, 0),
			  "ON utf8mb4 3 10 SYSTEM READ-COMMITTED"),
	    "%.*s", SLICE_FMT(db_text(rows, 0)));
	ck_assert(db_rows_next(rows));
	snprintf(mode, sizeof mode, ",%.*s,", SLICE_FMT(db_text(rows, 0)));
	ck_assert(strstr(mode, ",STRICT_TRANS_TABLES,"));
	ck_assert(!strstr(mode, "ZERO_DATE"));
	ck_assert(!strstr(mode, "ZERO_IN_DATE"));
	ck_assert(!strstr(mode, "ANSI"));
	ck_assert(!strstr(mode, "BACKSLASH"));
	ck_assert(!strstr(mode, "FULL_GROUP_BY"));
	db_rows_free(rows);
	db_close(db);
}
END_TEST

START_TEST(insert_that_leaves_a_zero_default_succeeds)
{
	struct db *db;

	db_test_sql("CREATE TABLE wp_wpcron_meta (name VARCHAR(64) PRIMARY KEY,"
		    " value VARCHAR(3),"
		    " at DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00')");
	db_test_sql("SET GLOBAL sql_mode = 'TRADITIONAL'");
	db = db_test_connect();
	db_test_sql("SET GLOBAL sql_mode = DEFAULT");
	CK_RC(RC_OK, db_exec(db, &t.scope, SQL_SCHEMA_SET_VERSION,
			 SQL_ARGS(V_U64(1)), NULL, &t.err));
	/* Strict: what does not fit is an error, not cut. */
	CK_RC(RC_REJECT, db_exec(db, &t.scope, SQL_SCHEMA_SET_VERSION,
			     SQL_ARGS(V_U64(1234)), NULL, &t.err));
	ck_assert_int_eq(db_errno(db), 1406);
	db_close(db);
}
END_TEST

START_TEST(wrong_password_is_never_and_no_server_is_again)
{
	struct db_params p = t.params;
	struct db *db = NULL;

	p.password = "wrong";
	CK_RC(RC_REJECT, db_open(&p, &db, &t.err));
	ck_assert_int_eq(t.err.code, 1045);
	p = t.params;
	p.name = "wpcron_no_such_database";
	CK_RC(RC_REJECT, db_open(&p, &db, &t.err));
	p = t.params;
	p.socket = "/nonexistent/socket";
	CK_RC(RC_RETRY, db_open(&p, &db, &t.err));
	p = t.params;
	p.charset = "gbk";
	CK_RC(RC_REJECT, db_open(&p, &db, &t.err));
	ck_assert(strstr(t.err.text, "gbk"));
	ck_assert(!db);
}
END_TEST

START_TEST(replica_is_refused_but_not_to_those_who_may_write_there)
{
	struct db_params p = t.params;
	struct db *db = NULL;
	enum rc plain, root;

	db_test_sql("CREATE USER wpcron_plain@localhost");
	db_test_sql("GRANT ALL ON %s.* TO wpcron_plain@localhost", t.name);
	db_test_sql("SET GLOBAL read_only = 1");
	p.user = "wpcron_plain";
	plain = db_open(&p, &db, &t.err);
	db_close(db);
	root = db_open(&t.params, &db, NULL);
	db_close(db);
	db_test_sql("SET GLOBAL read_only = 0");
	db_test_sql("DROP USER wpcron_plain@localhost");
	ck_assert_int_eq(plain, RC_RETRY);
	ck_assert_msg(strstr(t.err.text, "replica"), "%s", t.err.text);
	ck_assert_int_eq(root, RC_OK);
}
END_TEST

/* ---- values and rows ---- */

START_TEST(rows_give_text_numbers_nulls_and_times)
{
	struct db_rows *rows = NULL;

	db_test_sql("CREATE TABLE wp_wpcron_meta (name VARCHAR(64), n INT"
		    " AUTO_INCREMENT PRIMARY KEY, value VARCHAR(64))");
	db_test_sql("INSERT INTO wp_wpcron_meta (name, value) VALUES"
		    " ('schema', '2026-01-02 03:04:05'),"
		    " ('schema', '0000-00-00 00:00:00'), ('schema', NULL),"
		    " ('schema', '18446744073709551615'), ('schema', '-5'),"
		    " ('schema', 'a\\0b')");
	CK_RC(RC_OK, db_select(t.db, &t.scope, SQL_SCHEMA_VERSION, SQL_NO_ARGS,
			 &rows, &t.err));
	ck_assert_uint_eq(db_rows_count(rows), 6);
	ck_assert(db_is_null(rows, 0)); /* before the first row */
	ck_assert(db_rows_next(rows));
	ck_assert_int_eq(db_time(rows, 0), 1767323045);
	ck_assert(db_rows_next(rows));
	ck_assert_int_eq(db_time(rows, 0), INT64_MIN);
	ck_assert(db_rows_next(rows));
	ck_assert(db_is_null(rows, 0));
	ck_assert_int_eq(db_time(rows, 0), INT64_MIN);
	ck_assert_uint_eq(db_u64(rows, 0), 0);
	ck_assert(db_rows_next(rows));
	ck_assert(db_u64(rows, 0) == UINT64_MAX);
	ck_assert(db_rows_next(rows));
	ck_assert_int_eq(db_i64(rows, 0), -5);
	ck_assert_uint_eq(db_u64(rows, 0), 0);
	ck_assert(db_rows_next(rows));
	ck_assert(slice_eq(db_text(rows, 0), slice_mem("a\0b", 3)));
	ck_assert(db_is_null(rows, 7)); /* no such column */
	ck_assert(!db_rows_next(rows));
	db_rows_free(rows);
}
END_TEST

static const struct {
	const char *name;
	const char *bytes;
	size_t n;
} texts[] = {
	{ "quotes and backslashes", "a'b\"c\\d`e\\'f'' -- x", 20 },
	{ "control bytes", "\0\n\r\032\t\b", 6 },
	{ "four-byte UTF-8", "\xf0\x9f\x98\x80 \xc3\xa9", 7 },
	{ "an injection", "'; DROP TABLE wp_wpcron_leases; -- ", 35 },
	{ "a trailing backslash", "x\\", 2 },
	{ "braces and marks", "{p} ? {ids}", 11 },
};

START_TEST(text_comes_back_as_it_went_in)
{
	struct slice s = slice_mem(texts[_i].bytes, texts[_i].n);
	struct buf got = BUF_INIT(4096);

	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	CK_RC(RC_OK, db_exec(t.db, &t.scope, SQL_LEASES_ADD,
			 SQL_ARGS(V_TEXT(s)), NULL, &t.err));
	buf_put_hex(&got, s.p, s.n);
	ck_assert_msg(db_test_u64("SELECT COUNT(*) FROM wp_wpcron_leases WHERE"
				  " LOWER(HEX(name)) = '%s'",
			  buf_str(&got)) == 1,
	    "%s", texts[_i].name);
	buf_clear(&got);
}
END_TEST

START_TEST(affected_rows_are_matched_rows)
{
	uint64_t token = 0;

	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	CK_RC(RC_OK, lease_take(t.db, &t.scope, "x", 1, 1000, &token, &t.err));
	CK_RC(RC_OK, lease_give(t.db, &t.scope, "x", token, &t.err));
	/* Writes what is there already: matched, not changed. */
	CK_RC(RC_OK, lease_give(t.db, &t.scope, "x", token, &t.err));
}
END_TEST

START_TEST(duplicate_is_none_and_leaves_the_transaction_open)
{
	uint64_t node = 0;

	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	db_test_sql("ALTER TABLE wp_wpcron_nodes ADD UNIQUE (host)");
	CK_RC(RC_OK, db_begin(t.db, &t.err));
	CK_RC(RC_OK, node_register(t.db, &t.scope, "a", 1, "v", &node, &t.err));
	CK_RC(
	    RC_NONE, node_register(t.db, &t.scope, "a", 1, "v", &node, &t.err));
	ck_assert_int_eq(db_errno(t.db), 1062);
	CK_RC(RC_OK, db_commit(t.db, &t.err));
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_nodes"), 1);
}
END_TEST

START_TEST(missing_table_is_never_and_names_the_error)
{
	CK_RC(RC_REJECT, db_exec(t.db, &t.scope, SQL_NODES_HEARTBEAT,
			     SQL_ARGS(V_U64(1)), NULL, &t.err));
	ck_assert_int_eq(db_errno(t.db), 1146);
	ck_assert_int_eq(t.err.code, 1146);
	ck_assert(strstr(t.err.text, "nodes.heartbeat"));
	ck_assert(!db_is_lost(t.db));
}
END_TEST

/* ---- locks ---- */

static struct {
	pthread_barrier_t first;
	uint64_t nodes[2];
} locks;

struct lock_party {
	struct db *db;
	unsigned self;
	unsigned tries;
	enum rc rc;
	struct err err;
};

/* Both rows, each party in the other order; the first time they meet between
 * the two, so that one of them must lose. */
static enum rc
lock_both(struct db *db, void *arg, struct err *err)
{
	struct lock_party *p = arg;
	enum rc rc;

	rc = node_heartbeat(db, &t.scope, locks.nodes[p->self], err);
	if (rc == RC_OK && p->tries++ == 0)
		pthread_barrier_wait(&locks.first);
	if (rc == RC_OK)
		rc = node_heartbeat(db, &t.scope, locks.nodes[!p->self], err);
	return rc;
}

static void *
lock_party_run(void *arg)
{
	struct lock_party *p = arg;

	db_thread_begin();
	p->rc = db_transact(p->db, lock_both, p, &p->err);
	db_thread_end();
	return NULL;
}

START_TEST(deadlock_is_repeated_until_both_have_passed)
{
	struct lock_party p[2] = { { .self = 0 }, { .self = 1 } };
	struct db_counters before, after;
	pthread_t thread[2];

	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	pthread_barrier_init(&locks.first, NULL, 2);
	db_counters_get(&before);
	for (unsigned i = 0; i < 2; i++) {
		p[i].db = db_test_connect();
		CK_RC(RC_OK, node_register(t.db, &t.scope, "h", i, "v",
				 &locks.nodes[i], &t.err));
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, lock_party_run, &p[i]);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	db_counters_get(&after);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_msg(p[i].rc == RC_OK, "%s", p[i].err.text);
		db_close(p[i].db);
	}
	ck_assert_uint_eq(p[0].tries + p[1].tries, 3);
	ck_assert_uint_eq(after.retries_deadlock - before.retries_deadlock, 1);
}
END_TEST

START_TEST(lock_wait_ends_the_transaction_and_nothing_slips_through)
{
	struct db_params p = t.params;
	uint64_t a = 0, b = 0;
	struct db *db = NULL;

	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	CK_RC(RC_OK, node_register(t.db, &t.scope, "a", 1, "v", &a, &t.err));
	db_test_sql("BEGIN");
	db_test_sql("UPDATE wp_wpcron_nodes SET pid = 7 WHERE node_id = 1");
	p.lock_wait_timeout_s = 1;
	CK_RC(RC_OK, db_open(&p, &db, &t.err));
	CK_RC(RC_OK, db_begin(db, &t.err));
	CK_RC(RC_OK, node_register(db, &t.scope, "b", 1, "v", &b, &t.err));
	CK_RC(RC_RETRY, node_heartbeat(db, &t.scope, a, &t.err));
	ck_assert_int_eq(db_errno(db), 1205);
	/* A caller that forgets to look. */
	CK_RC(RC_RETRY, node_register(db, &t.scope, "c", 1, "v", &b, &t.err));
	CK_RC(RC_RETRY, db_commit(db, &t.err));
	ck_assert(!db_is_lost(db));
	db_test_sql("COMMIT");
	CK_RC(RC_OK, node_heartbeat(db, &t.scope, a, &t.err));
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_nodes"), 1);
	db_close(db);
}
END_TEST

static void *
heartbeat_run(void *arg)
{
	struct lock_party *p = arg;

	db_thread_begin();
	p->rc = node_heartbeat(p->db, &t.scope, locks.nodes[0], &p->err);
	db_thread_end();
	return NULL;
}

#define AWAIT_HEARTBEAT                                                        \
	"SELECT COUNT(*) FROM information_schema.PROCESSLIST"                  \
	" WHERE INFO LIKE 'UPDATE wp_wpcron_nodes%heartbeat_at%'"

START_TEST(lock_wait_outside_a_transaction_is_repeated)
{
	struct db_params p = t.params;
	struct lock_party party = { .rc = RC_FATAL };
	struct db_counters before, after;
	pthread_t thread;

	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	CK_RC(RC_OK, node_register(
			 t.db, &t.scope, "a", 1, "v", &locks.nodes[0], &t.err));
	p.lock_wait_timeout_s = 1;
	CK_RC(RC_OK, db_open(&p, &party.db, &t.err));
	db_counters_get(&before);
	db_test_sql("BEGIN");
	db_test_sql("UPDATE wp_wpcron_nodes SET pid = 7");
	pthread_create(&thread, NULL, heartbeat_run, &party);
	do
		db_counters_get(&after);
	while (after.retries_lock_wait == before.retries_lock_wait);
	db_test_sql("COMMIT");
	pthread_join(thread, NULL);
	ck_assert_msg(party.rc == RC_OK, "%s", party.err.text);
	db_close(party.db);
}
END_TEST

/* ---- losing the connection ---- */

START_TEST(killed_connection_is_lost_for_good)
{
	struct lock_party party = { .rc = RC_FATAL };
	pthread_t thread;

	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	CK_RC(RC_OK, node_register(
			 t.db, &t.scope, "a", 1, "v", &locks.nodes[0], &t.err));
	party.db = db_test_connect();
	db_test_sql("BEGIN");
	db_test_sql("UPDATE wp_wpcron_nodes SET pid = 7");
	pthread_create(&thread, NULL, heartbeat_run, &party);
	db_test_await(AWAIT_HEARTBEAT);
	db_test_sql(
	    "KILL %llu", (unsigned long long)db_connection_id(party.db));
	pthread_join(thread, NULL);
	db_test_sql("COMMIT");
	ck_assert_msg(party.rc == RC_RETRY, "%s", party.err.text);
	ck_assert(db_is_lost(party.db));
	CK_RC(RC_RETRY,
	    node_heartbeat(party.db, &t.scope, locks.nodes[0], &t.err));
	CK_RC(RC_RETRY, db_begin(party.db, &t.err));
	db_close(party.db);
}
END_TEST

START_TEST(connection_killed_while_idle_shows_at_the_next_call)
{
	struct db *db = db_test_connect();

	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	CK_RC(RC_OK, db_begin(db, &t.err));
	db_test_sql("KILL %llu", (unsigned long long)db_connection_id(db));
	CK_RC(RC_RETRY, node_remove(db, &t.scope, 1, &t.err));
	ck_assert(db_is_lost(db));
	db_rollback(db);
	db_close(db);
}
END_TEST

/* Rows that take a second each: the error comes while they are produced. */
static void *
slow_select_run(void *arg)
{
	struct lock_party *p = arg;
	struct db_rows *rows = NULL;

	db_thread_begin();
	p->rc = db_select(
	    p->db, &t.scope, SQL_SCHEMA_VERSION, SQL_NO_ARGS, &rows, &p->err);
	p->tries = rows != NULL;
	db_thread_end();
	return NULL;
}

START_TEST(query_killed_while_it_gives_rows_is_an_error)
{
	struct lock_party party = { .rc = RC_FATAL };
	pthread_t thread;

	db_test_sql("CREATE VIEW wp_wpcron_meta AS SELECT 'schema' AS name,"
		    " SLEEP(seq > 3) AS value FROM seq_1_to_20");
	party.db = db_test_connect();
	pthread_create(&thread, NULL, slow_select_run, &party);
	db_test_await("SELECT COUNT(*) FROM information_schema.PROCESSLIST"
		      " WHERE INFO LIKE 'SELECT value FROM%' AND TIME_MS > 50");
	db_test_sql(
	    "KILL QUERY %llu", (unsigned long long)db_connection_id(party.db));
	pthread_join(thread, NULL);
	ck_assert_msg(party.rc == RC_RETRY, "%s", party.err.text);
	ck_assert_int_eq(party.err.code, 1317);
	ck_assert_uint_eq(party.tries, 0);
	ck_assert(!db_is_lost(party.db));
	db_test_sql("DROP VIEW wp_wpcron_meta");
	CK_RC(RC_OK, schema_install(party.db, &t.scope, &t.err));
	db_close(party.db);
}
END_TEST

static void *
commit_run(void *arg)
{
	struct lock_party *p = arg;

	db_thread_begin();
	p->rc = db_commit(p->db, &p->err);
	db_thread_end();
	return NULL;
}

START_TEST(connection_lost_in_a_commit_leaves_the_outcome_open)
{
	struct lock_party party = { .rc = RC_FATAL };
	pthread_t thread;
	uint64_t node = 0;

	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	party.db = db_test_connect();
	CK_RC(RC_OK, db_begin(party.db, &t.err));
	CK_RC(RC_OK,
	    node_register(party.db, &t.scope, "a", 1, "v", &node, &t.err));
	db_test_sql("FLUSH TABLES WITH READ LOCK"); /* commits wait */
	pthread_create(&thread, NULL, commit_run, &party);
	db_test_await("SELECT COUNT(*) FROM information_schema.PROCESSLIST"
		      " WHERE INFO = 'COMMIT'");
	db_test_sql(
	    "KILL %llu", (unsigned long long)db_connection_id(party.db));
	pthread_join(thread, NULL);
	db_test_sql("UNLOCK TABLES");
	ck_assert_msg(party.rc == RC_RETRY, "%s", party.err.text);
	ck_assert(db_is_lost(party.db));
	db_close(party.db);
}
END_TEST

/* ---- transactions ---- */

static enum rc
register_then(struct db *db, void *arg, struct err *err)
{
	uint64_t node = 0;
	enum rc rc = node_register(db, &t.scope, "a", 1, "v", &node, err);

	return rc == RC_OK ? err_set(err, *(enum rc *)arg, "as told") : rc;
}

START_TEST(transaction_commits_only_what_ended_well)
{
	enum rc reject = RC_REJECT, none = RC_NONE, ok = RC_OK;

	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	CK_RC(RC_REJECT, db_transact(t.db, register_then, &reject, &t.err));
	CK_RC(RC_NONE, db_transact(t.db, register_then, &none, &t.err));
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_nodes"), 0);
	CK_RC(RC_OK, db_transact(t.db, register_then, &ok, &t.err));
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_nodes"), 1);
	CK_RC(RC_REJECT, db_commit(t.db, &t.err));
	CK_RC(RC_OK, db_begin(t.db, &t.err));
	CK_RC(RC_REJECT, db_begin(t.db, &t.err));
	db_rollback(t.db);
	db_rollback(t.db);
}
END_TEST

static enum rc
always_again(struct db *db, void *arg, struct err *err)
{
	(void)db;
	++*(unsigned *)arg;
	return err_set(err, RC_RETRY, "again");
}

START_TEST(transaction_gives_up_after_five_repeats)
{
	unsigned calls = 0;

	CK_RC(RC_RETRY, db_transact(t.db, always_again, &calls, &t.err));
	ck_assert_uint_eq(calls, 6);
}
END_TEST

Suite *
db_suite(void)
{
	Suite *s = suite_create("db");
	TCase *tc = db_test_case("session", 20);

	tcase_add_test(
	    tc, session_is_read_committed_strict_and_takes_zero_dates);
	tcase_add_test(tc, insert_that_leaves_a_zero_default_succeeds);
	tcase_add_test(tc, wrong_password_is_never_and_no_server_is_again);
	tcase_add_test(
	    tc, replica_is_refused_but_not_to_those_who_may_write_there);
	suite_add_tcase(s, tc);
	tc = db_test_case("values", 20);
	tcase_add_test(tc, rows_give_text_numbers_nulls_and_times);
	tcase_add_loop_test(
	    tc, text_comes_back_as_it_went_in, 0, NELEMS(texts));
	tcase_add_test(tc, affected_rows_are_matched_rows);
	tcase_add_test(tc, duplicate_is_none_and_leaves_the_transaction_open);
	tcase_add_test(tc, missing_table_is_never_and_names_the_error);
	suite_add_tcase(s, tc);
	tc = db_test_case("locks", 60);
	tcase_add_test(tc, deadlock_is_repeated_until_both_have_passed);
	tcase_add_test(
	    tc, lock_wait_ends_the_transaction_and_nothing_slips_through);
	tcase_add_test(tc, lock_wait_outside_a_transaction_is_repeated);
	suite_add_tcase(s, tc);
	tc = db_test_case("loss", 60);
	tcase_add_test(tc, killed_connection_is_lost_for_good);
	tcase_add_test(tc, connection_killed_while_idle_shows_at_the_next_call);
	tcase_add_test(tc, query_killed_while_it_gives_rows_is_an_error);
	tcase_add_test(tc, connection_lost_in_a_commit_leaves_the_outcome_open);
	suite_add_tcase(s, tc);
	tc = db_test_case("transactions", 20);
	tcase_add_test(tc, transaction_commits_only_what_ended_well);
	tcase_add_test(tc, transaction_gives_up_after_five_repeats);
	suite_add_tcase(s, tc);
	return s;
}
