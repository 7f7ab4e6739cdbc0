/* The usermeta rows of staged readers, and who else may write them. */
#include <string.h>

#include "db_test.h"
#include "queues/staging.h"

Suite *staging_suite(void);

#define NOW ((int64_t)1700000000)
#define LAST "newspack_contact_cron_last_enqueue"
#define PUSH "newspack_contact_cron_push_pending"
#define PULL "newspack_contact_cron_pull_pending"

static void
open_tables(void)
{
	db_test_open();
	db_test_sql("CREATE TABLE wp_users (ID BIGINT UNSIGNED NOT NULL"
		    " AUTO_INCREMENT PRIMARY KEY, user_login VARCHAR(60))");
	db_test_sql("CREATE TABLE wp_usermeta (umeta_id BIGINT UNSIGNED NOT"
		    " NULL AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED"
		    " NOT NULL DEFAULT 0, meta_key VARCHAR(255), meta_value"
		    " LONGTEXT, KEY user_id (user_id),"
		    " KEY meta_key (meta_key(191)))");
	db_test_sql("INSERT INTO wp_users (ID) SELECT seq FROM seq_1_to_200");
}

static void
put(uint64_t user_id, const char *key, const char *value)
{
	db_test_sql("INSERT INTO wp_usermeta (user_id, meta_key, meta_value)"
		    " VALUES (%llu, '%s', '%s')",
	    (unsigned long long)user_id, key, value);
}

static uint64_t
rows_of(uint64_t user_id, const char *key, const char *value)
{
	return db_test_u64("SELECT COUNT(*) FROM wp_usermeta WHERE user_id ="
			   " %llu AND meta_key = BINARY '%s' AND meta_value ="
			   " '%s'",
	    (unsigned long long)user_id, key, value);
}

static struct staged
stage(uint64_t user_id, int64_t now)
{
	struct staged r = { .user_id = user_id };

	CK_RC(RC_OK, staging_write(t.db, &t.scope, now, &r, 1, &t.err));
	return r;
}

START_TEST(a_first_visit_writes_three_rows_in_order)
{
	struct staged r = stage(7, NOW);

	ck_assert(r.staged && r.stale);
	ck_assert_int_eq(r.last, 0);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_usermeta"), 3);
	ck_assert_uint_eq(rows_of(7, LAST, "1700000000"), 1);
	ck_assert_uint_eq(rows_of(7, PUSH, "1700000000"), 1);
	ck_assert_uint_eq(rows_of(7, PULL, "1700000000"), 1);
	ck_assert_uint_eq(
	    db_test_u64("SELECT (SELECT umeta_id FROM wp_usermeta WHERE"
			" meta_key = '" LAST "') < (SELECT umeta_id FROM"
			" wp_usermeta WHERE meta_key = '" PUSH "')"),
	    1);
	ck_assert_uint_eq(r.pull_row,
	    db_test_u64(
		"SELECT umeta_id FROM wp_usermeta WHERE meta_key = '" PULL
		"'"));
}
END_TEST

START_TEST(rows_that_are_there_are_updated_all_of_them)
{
	struct staged r;

	put(7, LAST, "1699999000");
	put(7, PUSH, "1");
	put(7, PUSH, "2");
	put(8, PUSH, "3");
	r = stage(7, NOW);
	ck_assert(r.staged && !r.stale);
	ck_assert_int_eq(r.last, 1699999000);
	ck_assert_uint_eq(r.pull_row, 0);
	ck_assert_uint_eq(rows_of(7, LAST, "1700000000"), 1);
	ck_assert_uint_eq(rows_of(7, PUSH, "1700000000"), 2);
	ck_assert_uint_eq(rows_of(7, PULL, "1700000000"), 1);
	ck_assert_uint_eq(rows_of(8, PUSH, "3"), 1);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_usermeta"), 5);
}
END_TEST

/* What last_enqueue was, and what becomes of the reader. */
static const struct {
	const char *last;
	bool staged, stale;
} times[] = {
	{ "1699999701", false, false }, /* 299 s ago */
	{ "1699999700", true, false },  /* 300 */
	{ "1699913601", true, false },  /* 86399 */
	{ "1699913600", true, true },   /* 86400 */
	{ "1700000000", false, false },
	{ "1700000001", false, false }, /* in the future */
	{ "soon", true, true },
};

START_TEST(the_throttle_and_the_day_are_exact)
{
	struct staged r;

	put(7, LAST, times[_i].last);
	r = stage(7, NOW);
	ck_assert(r.staged == times[_i].staged);
	ck_assert(r.stale == times[_i].stale);
	ck_assert_uint_eq(
	    rows_of(7, PUSH, "1700000000"), times[_i].staged ? 1 : 0);
	ck_assert_uint_eq(rows_of(7, LAST, times[_i].last),
	    times[_i].staged && strcmp(times[_i].last, "1700000000") != 0 ? 0
									  : 1);
}
END_TEST

START_TEST(the_oldest_of_two_times_counts)
{
	put(7, LAST, "1699990000");
	put(7, LAST, "1699999999");
	ck_assert(stage(7, NOW).staged);
	ck_assert_uint_eq(rows_of(7, LAST, "1700000000"), 2);
}
END_TEST

START_TEST(a_pull_flag_that_was_there_is_not_ours_to_remove)
{
	struct staged r;

	put(7, PULL, "5");
	r = stage(7, NOW);
	ck_assert(r.stale);
	ck_assert_uint_eq(r.pull_row, 0);
	ck_assert_uint_eq(rows_of(7, PULL, "1700000000"), 1);
}
END_TEST

START_TEST(a_user_who_is_gone_leaves_no_orphans)
{
	struct staged r = stage(4711, NOW);

	ck_assert(!r.staged);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_usermeta"), 0);
}
END_TEST

START_TEST(keys_in_other_letters_are_others)
{
	put(7, "Newspack_Contact_Cron_Last_Enqueue", "1700000000");
	ck_assert(stage(7, NOW).staged);
	ck_assert_uint_eq(
	    rows_of(7, "Newspack_Contact_Cron_Last_Enqueue", "1700000000"), 1);
	ck_assert_uint_eq(rows_of(7, LAST, "1700000000"), 1);
}
END_TEST

START_TEST(a_hundred_are_staged_in_six_statements)
{
	struct staged readers[STAGING_MAX];
	struct db_counters before, after;

	for (size_t i = 0; i < STAGING_MAX; i++) {
		readers[i] = (struct staged){ .user_id = 100 - i };
		if (i % 3 == 0)
			put(100 - i, LAST, "1699990000");
	}
	db_counters_get(&before);
	CK_RC(RC_OK,
	    staging_write(t.db, &t.scope, NOW, readers, STAGING_MAX, &t.err));
	db_counters_get(&after);
	ck_assert_uint_le(after.statements - before.statements, 7);
	for (size_t i = 0; i < STAGING_MAX; i++) {
		ck_assert(readers[i].staged);
		ck_assert(readers[i].stale == (i % 3 != 0));
		if (readers[i].stale)
			ck_assert_uint_eq(readers[i].pull_row,
			    db_test_u64("SELECT umeta_id FROM wp_usermeta"
					" WHERE meta_key = '" PULL
					"' AND user_id = %llu",
				(unsigned long long)readers[i].user_id));
	}
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_usermeta"), 300);
}
END_TEST

/* ---- many at once ---- */

#define NODES 6
#define ROUNDS 12

static void *
stage_in_a_row(void *arg)
{
	struct db *db;
	uint64_t staged = 0;

	db_thread_begin();
	db = db_test_connect();
	for (int64_t round = 0; round < ROUNDS; round++) {
		struct staged readers[20];

		/* Each node in another order. */
		for (size_t i = 0; i < NELEMS(readers); i++)
			readers[i].user_id =
			    1 + (i * 7 + (size_t)(uintptr_t)arg) % 20;
		if (staging_write(db, &t.scope, NOW + round * 300, readers,
			NELEMS(readers), NULL) != RC_OK)
			break;
		for (size_t i = 0; i < NELEMS(readers); i++)
			staged += readers[i].staged;
	}
	db_close(db);
	db_thread_end();
	return (void *)(uintptr_t)staged;
}

START_TEST(nodes_at_once_stage_each_reader_once_a_window)
{
	pthread_t threads[NODES];
	uint64_t staged = 0;
	void *one;

	for (size_t i = 0; i < NODES; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
				     stage_in_a_row, (void *)(uintptr_t)i),
		    0);
	for (size_t i = 0; i < NODES; i++) {
		pthread_join(threads[i], &one);
		staged += (uintptr_t)one;
	}
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_usermeta"), 60);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_usermeta WHERE meta_value ="
			" %lld",
		(long long)NOW + (ROUNDS - 1) * 300),
	    60);
	/* Nodes are not in step: some windows were passed over by a slow one,
	 * none was used twice. */
	ck_assert_uint_le(staged, 20 * ROUNDS);
	ck_assert_uint_ge(staged, 20);
}
END_TEST

START_TEST(a_lost_connection_is_to_be_tried_again)
{
	struct staged r = { .user_id = 7 };

	db_test_sql("KILL %llu", (unsigned long long)db_connection_id(t.db));
	CK_RC(RC_RETRY, staging_write(t.db, &t.scope, NOW, &r, 1, &t.err));
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_usermeta"), 0);
}
END_TEST

Suite *
staging_suite(void)
{
	Suite *s = suite_create("staging");
	TCase *c = tcase_create("staging");

	tcase_add_checked_fixture(c, open_tables, db_test_close);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, a_first_visit_writes_three_rows_in_order);
	tcase_add_test(c, rows_that_are_there_are_updated_all_of_them);
	tcase_add_loop_test(
	    c, the_throttle_and_the_day_are_exact, 0, (int)NELEMS(times));
	tcase_add_test(c, the_oldest_of_two_times_counts);
	tcase_add_test(c, a_pull_flag_that_was_there_is_not_ours_to_remove);
	tcase_add_test(c, a_user_who_is_gone_leaves_no_orphans);
	tcase_add_test(c, keys_in_other_letters_are_others);
	tcase_add_test(c, a_hundred_are_staged_in_six_statements);
	tcase_add_test(c, nodes_at_once_stage_each_reader_once_a_window);
	tcase_add_test(c, a_lost_connection_is_to_be_tried_again);
	suite_add_tcase(s, c);
	return s;
}
