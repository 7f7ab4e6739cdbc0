/* The program's own tables, and what is probed of Action Scheduler's. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/macros.h"
#include "db_test.h"
#include "sql/buckets.h"
#include "sql/leases.h"
#include "sql/nodes.h"
#include "sql/schema.h"

Suite *tables_suite(void);

static void
installed(void)
{
	db_test_open();
	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
}

/* ---- probe ---- */

static const struct {
	int schema;
	unsigned columns;
	const char *due_index, *retention_index;
} shapes[] = {
	{ 3, DB_COLUMN_EXTENDED_ARGS, "scheduled_date_gmt",
	    "last_attempt_gmt" },
	{ 6, DB_COLUMN_EXTENDED_ARGS, "claim_id_status_scheduled_date_gmt",
	    "last_attempt_gmt" },
	{ 7, DB_COLUMN_EXTENDED_ARGS | DB_COLUMN_PRIORITY | DB_INDEX_HOOK,
	    "claim_id_status_scheduled_date_gmt", "last_attempt_gmt" },
	{ 8,
	    DB_COLUMN_EXTENDED_ARGS | DB_COLUMN_PRIORITY | DB_INDEX_HOOK |
		DB_INDEX_PRIORITY | DB_INDEX_ATTEMPT,
	    "claim_id_status_scheduled_date_gmt", "status_last_attempt_gmt" },
	{ 9,
	    DB_COLUMN_EXTENDED_ARGS | DB_COLUMN_PRIORITY |
		DB_COLUMN_UNIQUE_KEY | DB_INDEX_HOOK | DB_INDEX_PRIORITY |
		DB_INDEX_ATTEMPT,
	    "claim_id_status_scheduled_date_gmt", "status_last_attempt_gmt" },
};

START_TEST(probe_sees_the_shape_of_each_schema)
{
	struct db_schema got;

	db_test_actions(shapes[_i].schema);
	CK_RC(RC_OK, db_probe(t.db, &t.scope, &got, &t.err));
	ck_assert_uint_eq(got.columns, shapes[_i].columns);
	ck_assert_str_eq(got.due_index, shapes[_i].due_index);
	ck_assert_str_eq(got.retention_index, shapes[_i].retention_index);
	ck_assert_int_eq(got.has_priority_index, shapes[_i].schema >= 8);
	ck_assert_int_eq(got.has_hook_status_index, shapes[_i].schema >= 7);
	ck_assert_int_eq(got.has_status_attempt_index, shapes[_i].schema >= 8);
}
END_TEST

START_TEST(probe_trusts_columns_and_not_the_name_of_an_index)
{
	struct db_schema got;

	db_test_actions(8);
	db_test_sql("ALTER TABLE wp_actionscheduler_actions"
		    " DROP KEY claim_id_status_scheduled_date_gmt,"
		    " ADD KEY claim_id_status_scheduled_date_gmt (claim_id)");
	CK_RC(RC_OK, db_probe(t.db, &t.scope, &got, &t.err));
	ck_assert_str_eq(got.due_index, "status_scheduled_date_gmt");
	db_test_sql("ALTER TABLE wp_actionscheduler_actions"
		    " DROP KEY claim_id_status_scheduled_date_gmt,"
		    " DROP KEY status_scheduled_date_gmt,"
		    " DROP KEY scheduled_date_gmt, DROP KEY last_attempt_gmt,"
		    " DROP KEY status_last_attempt_gmt");
	CK_RC(RC_OK, db_probe(t.db, &t.scope, &got, &t.err));
	ck_assert_str_eq(got.due_index, "PRIMARY");
	ck_assert_str_eq(got.retention_index, "PRIMARY");
}
END_TEST

START_TEST(probe_refuses_other_engines_and_missing_tables)
{
	struct db_schema got;

	CK_RC(RC_NONE, db_probe(t.db, &t.scope, &got, &t.err));
	db_test_actions(7);
	db_test_sql("ALTER TABLE wp_actionscheduler_actions ENGINE=MyISAM");
	CK_RC(RC_REJECT, db_probe(t.db, &t.scope, &got, &t.err));
	ck_assert(strstr(t.err.text, "wp_actionscheduler_actions is MyISAM"));
	db_test_sql("DROP TABLE wp_actionscheduler_logs");
	CK_RC(RC_NONE, db_probe(t.db, &t.scope, &got, &t.err));
}
END_TEST

/* ---- schema ---- */

START_TEST(schema_installs_and_uninstalls_twice)
{
	CK_RC(RC_NONE, schema_is_installed(t.db, &t.scope, &t.err));
	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	CK_RC(RC_OK, schema_is_installed(t.db, &t.scope, &t.err));
	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	CK_RC(RC_OK, schema_uninstall(t.db, &t.scope, &t.err));
	CK_RC(RC_NONE, schema_is_installed(t.db, &t.scope, &t.err));
	CK_RC(RC_OK, schema_uninstall(t.db, &t.scope, &t.err));
}
END_TEST

START_TEST(schema_mends_what_is_missing_and_leaves_a_newer_one_alone)
{
	uint64_t node = 0;

	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	CK_RC(RC_OK, node_register(t.db, &t.scope, "a", 1, "v", &node, &t.err));
	db_test_sql("DROP TABLE wp_wpcron_leases");
	CK_RC(RC_NONE, schema_is_installed(t.db, &t.scope, &t.err));
	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	CK_RC(RC_OK, node_heartbeat(t.db, &t.scope, node, &t.err));
	db_test_sql("UPDATE wp_wpcron_meta SET value = '99'");
	CK_RC(RC_REJECT, schema_is_installed(t.db, &t.scope, &t.err));
	CK_RC(RC_REJECT, schema_install(t.db, &t.scope, &t.err));
}
END_TEST

START_TEST(schema_without_the_create_right_is_refused_with_words)
{
	struct db_params p = t.params;
	struct db *db = NULL;
	enum rc rc, again;

	db_test_sql("CREATE USER wpcron_poor@localhost");
	db_test_sql("GRANT SELECT, INSERT, UPDATE, DELETE ON %s.* TO"
		    " wpcron_poor@localhost",
	    t.name);
	p.user = "wpcron_poor";
	CK_RC(RC_OK, db_open(&p, &db, &t.err));
	rc = schema_install(db, &t.scope, &t.err);
	/* Once the tables are there, the right is not needed any more. */
	CK_RC(RC_OK, schema_install(t.db, &t.scope, NULL));
	again = schema_install(db, &t.scope, NULL);
	db_close(db);
	db_test_sql("DROP USER wpcron_poor@localhost");
	ck_assert_int_eq(rc, RC_REJECT);
	ck_assert_int_eq(t.err.code, 1142);
	ck_assert(strstr(t.err.text, "may not create"));
	ck_assert_int_eq(again, RC_OK);
}
END_TEST

START_TEST(schema_printed_is_what_install_would_make)
{
	struct buf text = BUF_INIT(1 << 16);
	char *next;

	CK_RC(RC_OK, schema_print(&t.scope, &text, &t.err));
	for (char *s = text.p; *s; s = next) {
		char *end = strstr(s, ";\n");

		ck_assert(end != NULL);
		*end = '\0';
		next = end + 2;
		db_test_sql("%s", s);
	}
	buf_clear(&text);
	CK_RC(RC_OK, schema_is_installed(t.db, &t.scope, &t.err));
}
END_TEST

/* ---- nodes ---- */

START_TEST(silent_node_expires_and_learns_of_it)
{
	uint64_t a = 0, b = 0, *ids = NULL;
	size_t n = 0;

	CK_RC(RC_OK, node_register(t.db, &t.scope, "a", 1, "v", &a, &t.err));
	CK_RC(RC_OK,
	    node_register(t.db, &t.scope,
		"a host name of more than sixty-four bytes, which a host name "
		"never is but may be",
		2, "a version of more than thirty-two bytes", &b, &t.err));
	ck_assert(b > a);
	CK_RC(RC_OK, nodes_expired(t.db, &t.scope, 30000, &ids, &n, &t.err));
	ck_assert_uint_eq(n, 0);
	ck_assert(!ids);
	db_test_sql("UPDATE wp_wpcron_nodes SET heartbeat_at ="
		    " heartbeat_at - INTERVAL 31 SECOND");
	CK_RC(RC_OK, node_heartbeat(t.db, &t.scope, b, &t.err));
	CK_RC(RC_OK, nodes_expired(t.db, &t.scope, 30000, &ids, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(ids[0], a);
	free(ids);
	CK_RC(RC_NONE, node_expire(t.db, &t.scope, b, 30000, &t.err));
	CK_RC(RC_OK, node_expire(t.db, &t.scope, a, 30000, &t.err));
	CK_RC(RC_NONE, node_heartbeat(t.db, &t.scope, a, &t.err));
	CK_RC(RC_OK, node_remove(t.db, &t.scope, b, &t.err));
	CK_RC(RC_OK, node_remove(t.db, &t.scope, b, &t.err));
}
END_TEST

/* ---- leases ---- */

START_TEST(lease_is_held_renewed_and_given_back)
{
	uint64_t one = 0, two = 0;

	CK_RC(RC_OK, lease_take(t.db, &t.scope, "x", 1, 60000, &one, &t.err));
	CK_RC(RC_NONE, lease_take(t.db, &t.scope, "x", 2, 60000, &two, &t.err));
	CK_RC(RC_OK, lease_take(t.db, &t.scope, "X", 2, 60000, &two, &t.err));
	CK_RC(RC_OK, lease_renew(t.db, &t.scope, "x", one, 60000, &t.err));
	CK_RC(RC_OK, lease_give(t.db, &t.scope, "x", one, &t.err));
	CK_RC(RC_NONE, lease_renew(t.db, &t.scope, "x", one, 60000, &t.err));
	CK_RC(RC_OK, lease_take(t.db, &t.scope, "x", 2, 60000, &two, &t.err));
	ck_assert(two > one);
	CK_RC(RC_NONE, lease_give(t.db, &t.scope, "x", one, &t.err));
	/* Its own again: a new token, the old one is lost. */
	CK_RC(RC_OK, lease_take(t.db, &t.scope, "x", 2, 60000, &one, &t.err));
	ck_assert(one > two);
	CK_RC(RC_NONE, lease_renew(t.db, &t.scope, "x", two, 60000, &t.err));
}
END_TEST

START_TEST(a_lease_that_nobody_took_since_can_be_extended)
{
	uint64_t one, two;

	CK_RC(RC_OK, lease_take(t.db, &t.scope, "y", 1, 60000, &one, &t.err));
	db_test_sql("UPDATE wp_wpcron_leases SET expires_at = "
		    "UTC_TIMESTAMP(6) - INTERVAL 1 SECOND WHERE name = 'y'");
	CK_RC(RC_NONE, lease_renew(t.db, &t.scope, "y", one, 60000, &t.err));
	CK_RC(RC_OK, lease_extend(t.db, &t.scope, "y", one, 60000, &t.err));
	CK_RC(RC_NONE, lease_take(t.db, &t.scope, "y", 2, 60000, &two, &t.err));
	db_test_sql("UPDATE wp_wpcron_leases SET expires_at = "
		    "UTC_TIMESTAMP(6) - INTERVAL 1 SECOND WHERE name = 'y'");
	CK_RC(RC_OK, lease_take(t.db, &t.scope, "y", 2, 60000, &two, &t.err));
	CK_RC(RC_NONE, lease_extend(t.db, &t.scope, "y", one, 60000, &t.err));
}
END_TEST

START_TEST(what_is_left_of_a_lease_is_told_to_anybody)
{
	uint64_t token;
	int64_t ms = -1;

	CK_RC(RC_OK, lease_left(t.db, &t.scope, "z", &ms, &t.err));
	ck_assert_int_eq(ms, 0);
	CK_RC(RC_OK, lease_take(t.db, &t.scope, "z", 1, 60000, &token, &t.err));
	CK_RC(RC_OK, lease_left(t.db, &t.scope, "z", &ms, &t.err));
	ck_assert(ms > 50000 && ms <= 60001);
	CK_RC(RC_OK, lease_give(t.db, &t.scope, "z", token, &t.err));
	CK_RC(RC_OK, lease_left(t.db, &t.scope, "z", &ms, &t.err));
	ck_assert_int_eq(ms, 0);
}
END_TEST

/* No window ends during a test. */
#define AGES_S 100000000

START_TEST(what_is_given_back_to_a_bucket_can_be_taken_again)
{
	uint32_t got;

	CK_RC(RC_OK,
	    bucket_take(t.db, &t.scope, "b", 10, AGES_S, 8, &got, &t.err));
	ck_assert_uint_eq(got, 8);
	CK_RC(RC_OK, bucket_give(t.db, &t.scope, "b", AGES_S, 5, &t.err));
	CK_RC(RC_OK,
	    bucket_take(t.db, &t.scope, "b", 10, AGES_S, 10, &got, &t.err));
	ck_assert_uint_eq(got, 7);
	/* More than was taken is none of anybody's. */
	CK_RC(RC_OK, bucket_give(t.db, &t.scope, "b", AGES_S, 99, &t.err));
	CK_RC(RC_OK,
	    bucket_take(t.db, &t.scope, "b", 10, AGES_S, 20, &got, &t.err));
	ck_assert_uint_eq(got, 10);
}
END_TEST

#define CONTENDERS 8
#define GRANTS_MAX 4096

struct contender {
	struct db *db;
	uint64_t node;
	uint64_t tokens[GRANTS_MAX];
	size_t n;
	uint32_t late, refused;
	bool failed;
};

static void
pause_ms(long ms)
{
	const struct timespec ts = { .tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

static void *
contend(void *arg)
{
	struct contender *c = arg;
	mono_ms end = clock_mono(&clock_system) + 2000;
	struct err err = ERR_INIT;
	uint64_t token;

	db_thread_begin();
	/* Each has it once at least, however slow the machine is. */
	while ((clock_mono(&clock_system) < end || c->n == 0) &&
	       c->n < GRANTS_MAX && !c->failed) {
		enum rc rc = lease_take(
		    c->db, &t.scope, "leader", c->node, 20, &token, &err);

		if (rc == RC_NONE) {
			pause_ms(1);
			continue;
		}
		c->failed |= rc != RC_OK;
		c->tokens[c->n++] = token;
		/* Every fourth holder oversleeps its term. */
		pause_ms(c->n % 4 == 0 ? 40 : 2);
		rc = lease_renew(c->db, &t.scope, "leader", token, 20, &err);
		if (rc == RC_OK)
			rc = lease_give(c->db, &t.scope, "leader", token, &err);
		c->failed |= rc != RC_OK && rc != RC_NONE;
	}
	db_thread_end();
	return NULL;
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

START_TEST(lease_tokens_of_eight_contenders_never_repeat)
{
	struct contender *c = calloc(CONTENDERS, sizeof *c);
	pthread_t thread[CONTENDERS];
	uint64_t *all = calloc(CONTENDERS, sizeof c->tokens);
	size_t n = 0;

	for (unsigned i = 0; i < CONTENDERS; i++) {
		c[i].db = db_test_connect();
		c[i].node = i + 1;
	}
	for (unsigned i = 0; i < CONTENDERS; i++)
		pthread_create(&thread[i], NULL, contend, &c[i]);
	for (unsigned i = 0; i < CONTENDERS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned i = 0; i < CONTENDERS; i++) {
		ck_assert(!c[i].failed);
		for (size_t k = 1; k < c[i].n; k++)
			ck_assert(c[i].tokens[k] > c[i].tokens[k - 1]);
		memcpy(all + n, c[i].tokens, c[i].n * sizeof *all);
		n += c[i].n;
		db_close(c[i].db);
	}
	/* Each grant added one: 1, 2, ... n, none twice, none missing. */
	qsort(all, n, sizeof *all, by_value);
	for (size_t k = 0; k < n; k++)
		ck_assert_uint_eq(all[k], k + 1);
	ck_assert_uint_ge(n, CONTENDERS);
	free(all);
	free(c);
}
END_TEST

/* ---- buckets ---- */

struct taker {
	struct db *db;
	uint32_t count, per_s;
	uint64_t got;
	bool failed;
};

static void *
take(void *arg)
{
	struct taker *k = arg;
	mono_ms end = clock_mono(&clock_system) + 1500;
	struct err err = ERR_INIT;
	uint32_t got = 0;

	db_thread_begin();
	while (clock_mono(&clock_system) < end) {
		k->failed |= bucket_take(k->db, &t.scope, "r", k->count,
				 k->per_s, 3, &got, &err) != RC_OK ||
			     got > 3;
		k->got += got;
	}
	db_thread_end();
	return NULL;
}

static uint64_t
take_from_four_threads(uint32_t count, uint32_t per_s)
{
	struct taker k[4];
	pthread_t thread[4];
	uint64_t got = 0;

	for (unsigned i = 0; i < 4; i++)
		k[i] = (struct taker){
			.db = db_test_connect(), .count = count, .per_s = per_s
		};
	for (unsigned i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, take, &k[i]);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(thread[i], NULL);
		ck_assert(!k[i].failed);
		got += k[i].got;
		db_close(k[i].db);
	}
	return got;
}

START_TEST(bucket_grants_all_of_a_window_and_never_more)
{
	ck_assert_uint_eq(take_from_four_threads(50, AGES_S), 50);
}
END_TEST

START_TEST(bucket_fills_again_with_each_window)
{
	uint64_t from, to, got;

	from = db_test_u64("SELECT TO_SECONDS(UTC_TIMESTAMP())");
	got = take_from_four_threads(20, 1);
	to = db_test_u64("SELECT TO_SECONDS(UTC_TIMESTAMP())");
	ck_assert_uint_le(got, 20 * (to - from + 1));
	ck_assert_uint_ge(got, 20);
}
END_TEST

START_TEST(bucket_never_goes_back_to_an_earlier_window)
{
	uint32_t got = 0;

	CK_RC(RC_OK, bucket_take(t.db, &t.scope, "r", 5, 1, 2, &got, &t.err));
	ck_assert_uint_eq(got, 2);
	/* Another node's later clock reading won the row's lock first. */
	db_test_sql("UPDATE wp_wpcron_buckets SET used = 4,"
		    " window_start = UTC_TIMESTAMP() + INTERVAL 30 SECOND");
	CK_RC(RC_OK, bucket_take(t.db, &t.scope, "r", 5, 1, 2, &got, &t.err));
	ck_assert_uint_eq(got, 1);
	CK_RC(RC_OK, bucket_take(t.db, &t.scope, "r", 5, 1, 2, &got, &t.err));
	ck_assert_uint_eq(got, 0);
	/* A smaller rate than was used already. */
	CK_RC(RC_OK, bucket_take(t.db, &t.scope, "r", 3, 1, 2, &got, &t.err));
	ck_assert_uint_eq(got, 0);
	/* A clock that was wrong by a day does not block for a day. */
	db_test_sql("UPDATE wp_wpcron_buckets SET"
		    " window_start = UTC_TIMESTAMP() + INTERVAL 1 DAY");
	CK_RC(RC_OK, bucket_take(t.db, &t.scope, "r", 5, 1, 9, &got, &t.err));
	ck_assert_uint_eq(got, 5);
}
END_TEST

static TCase *
installed_case(const char *name, double seconds)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, installed, db_test_close);
	tcase_set_timeout(tc, seconds);
	return tc;
}

Suite *
tables_suite(void)
{
	Suite *s = suite_create("tables");
	TCase *tc = db_test_case("probe", 20);

	tcase_add_loop_test(
	    tc, probe_sees_the_shape_of_each_schema, 0, NELEMS(shapes));
	tcase_add_test(tc, probe_trusts_columns_and_not_the_name_of_an_index);
	tcase_add_test(tc, probe_refuses_other_engines_and_missing_tables);
	suite_add_tcase(s, tc);
	tc = db_test_case("schema", 20);
	tcase_add_test(tc, schema_installs_and_uninstalls_twice);
	tcase_add_test(
	    tc, schema_mends_what_is_missing_and_leaves_a_newer_one_alone);
	tcase_add_test(
	    tc, schema_without_the_create_right_is_refused_with_words);
	tcase_add_test(tc, schema_printed_is_what_install_would_make);
	suite_add_tcase(s, tc);
	tc = installed_case("nodes", 20);
	tcase_add_test(tc, silent_node_expires_and_learns_of_it);
	suite_add_tcase(s, tc);
	tc = installed_case("leases", 60);
	tcase_add_test(tc, a_lease_that_nobody_took_since_can_be_extended);
	tcase_add_test(tc, what_is_left_of_a_lease_is_told_to_anybody);
	tcase_add_test(tc, what_is_given_back_to_a_bucket_can_be_taken_again);
	tcase_add_test(tc, lease_is_held_renewed_and_given_back);
	tcase_add_test(tc, lease_tokens_of_eight_contenders_never_repeat);
	suite_add_tcase(s, tc);
	tc = installed_case("buckets", 60);
	tcase_add_test(tc, bucket_grants_all_of_a_window_and_never_more);
	tcase_add_test(tc, bucket_fills_again_with_each_window);
	tcase_add_test(tc, bucket_never_goes_back_to_an_earlier_window);
	suite_add_tcase(s, tc);
	return s;
}
