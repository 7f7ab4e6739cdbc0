/*
 * The flags of waiting readers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "queues/contacts.h"
#include "users_fixture.h"

Suite *contacts_flags_suite(void);

#define NOW INT64_C(1700000000)

static struct arena arena = ARENA_INIT((size_t)64 << 20);

static void
open_tables(void)
{
	db_test_open();
	users_fixture_tables();
	/* No reader's number is that of a row by chance. */
	db_test_sql("ALTER TABLE wp_usermeta AUTO_INCREMENT = 5000");
}

static void
close_tables(void)
{
	arena_clear(&arena);
	db_test_close();
}

static struct contact_flags
flags(enum contact_direction d, size_t max)
{
	struct contact_flags out;

	CK_RC(RC_OK,
	    contact_flags_read(t.db, &t.scope, d, max, &arena, &out, &t.err));
	return out;
}

static uint64_t
rows_of(const char *key)
{
	return db_test_u64(
	    "SELECT COUNT(*) FROM wp_usermeta WHERE meta_key = '%s'", key);
}

static uint64_t
removed(const struct contact_flag *rows, size_t n)
{
	uint64_t count;

	CK_RC(RC_OK,
	    contact_flags_remove(t.db, &t.scope, rows, n, &count, &t.err));
	return count;
}

/* ---- reading ---- */

START_TEST(waiting_readers_come_by_user_then_row)
{
	struct contact_flags f;

	(void)users_fixture_meta(9, PUSH_FLAG, "1700000001");
	(void)users_fixture_meta(3, PUSH_FLAG, "1700000002");
	(void)users_fixture_meta(9, PUSH_FLAG, "1700000003");
	(void)users_fixture_meta(3, PULL_FLAG, "1700000004");
	f = flags(CONTACT_PUSH, 100);
	ck_assert_uint_eq(f.n, 3);
	ck_assert(!f.more);
	ck_assert_uint_eq(f.rows[0].user_id, 3);
	ck_assert_uint_eq(f.rows[1].umeta_id, 5000);
	ck_assert_uint_eq(f.rows[2].umeta_id, 5002);
	ck_assert(slice_eq_str(f.rows[2].value, "1700000003"));
	ck_assert_uint_eq(flags(CONTACT_PULL, 100).n, 1);
}
END_TEST

START_TEST(no_flags_are_none)
{
	struct contact_flags f = flags(CONTACT_PULL, 10);

	ck_assert_uint_eq(f.n, 0);
	ck_assert(!f.more);
}
END_TEST

START_TEST(more_than_asked_for_is_said)
{
	struct contact_flags f;

	for (uint64_t user = 20; user > 10; user--)
		(void)users_fixture_meta(user, PUSH_FLAG, "1");
	f = flags(CONTACT_PUSH, 10);
	ck_assert_uint_eq(f.n, 10);
	ck_assert(!f.more);
	f = flags(CONTACT_PUSH, 9);
	ck_assert_uint_eq(f.n, 9);
	ck_assert(f.more);
	/* The newest is the one left for later. */
	ck_assert_uint_eq(f.rows[0].user_id, 12);
}
END_TEST

START_TEST(only_the_very_key_is_a_flag)
{
	(void)users_fixture_meta(
	    1, "Newspack_Contact_Cron_Push_Pending", "1700000000");
	(void)users_fixture_meta(
	    1, "newspack_contact_cron_push_p\xC3\xA9nding", "1700000000");
	(void)users_fixture_meta(1, PUSH_FLAG " ", "1700000000");
	ck_assert_uint_eq(flags(CONTACT_PUSH, 10).n, 0);
	(void)users_fixture_meta(1, PUSH_FLAG, "1700000000");
	ck_assert_uint_eq(flags(CONTACT_PUSH, 10).n, 1);
}
END_TEST

START_TEST(values_that_are_no_times_are_flags_and_can_be_removed)
{
	static const char *const values[] = { "", "no number",
		"\\xC3\\xA9\\xF0\\x9F\\x98\\x80", "a\\0b\\nc", "-1",
		"  1700000000" };
	struct contact_flags f;

	for (size_t i = 0; i < NELEMS(values); i++)
		(void)users_fixture_meta(i, PUSH_FLAG, values[i]);
	db_test_sql("INSERT INTO wp_usermeta (user_id, meta_key, meta_value)"
		    " VALUES (100, '" PUSH_FLAG "', NULL), (101, '" PUSH_FLAG
		    "', REPEAT('\xC3\xA9', 100000))");
	f = flags(CONTACT_PUSH, 100);
	ck_assert_uint_eq(f.n, NELEMS(values) + 2);
	ck_assert_uint_eq(f.rows[0].user_id, 0);
	ck_assert_uint_eq(f.rows[f.n - 2].value.n, 0);
	ck_assert_uint_eq(f.rows[f.n - 1].value.n, 128);
	ck_assert_uint_eq(removed(f.rows, f.n), f.n);
	ck_assert_uint_eq(rows_of(PUSH_FLAG), 0);
}
END_TEST

START_TEST(the_flags_of_one_reader_are_read_alone)
{
	struct contact_flags f;

	(void)users_fixture_meta(7, PUSH_FLAG, "1");
	(void)users_fixture_meta(7, PUSH_FLAG, "2");
	(void)users_fixture_meta(7, PULL_FLAG, "3");
	(void)users_fixture_meta(8, PUSH_FLAG, "4");
	CK_RC(RC_OK, contact_flags_of(
			 t.db, &t.scope, CONTACT_PUSH, 7, &arena, &f, &t.err));
	ck_assert_uint_eq(f.n, 2);
	ck_assert(slice_eq_str(f.rows[1].value, "2"));
	CK_RC(RC_OK, contact_flags_of(
			 t.db, &t.scope, CONTACT_PUSH, 9, &arena, &f, &t.err));
	ck_assert_uint_eq(f.n, 0);
}
END_TEST

START_TEST(an_arena_that_is_too_small_is_no_crash)
{
	struct arena small = ARENA_INIT(256);
	struct contact_flags out;

	for (uint64_t user = 1; user <= 30; user++)
		(void)users_fixture_meta(user, PULL_FLAG, "1");
	CK_RC(RC_RETRY, contact_flags_read(t.db, &t.scope, CONTACT_PULL, 100,
			    &small, &out, &t.err));
	ck_assert_uint_eq(out.n, 0);
	arena_clear(&small);
}
END_TEST

/* ---- removing ---- */

START_TEST(a_flag_written_again_meanwhile_stays)
{
	struct contact_flags f;

	(void)users_fixture_meta(1, PUSH_FLAG, "1700000000");
	(void)users_fixture_meta(2, PUSH_FLAG, "1700000000");
	f = flags(CONTACT_PUSH, 10);
	db_test_sql("UPDATE wp_usermeta SET meta_value = '1700000001'"
		    " WHERE user_id = 2");
	ck_assert_uint_eq(removed(f.rows, f.n), 1);
	f = flags(CONTACT_PUSH, 10);
	ck_assert_uint_eq(f.n, 1);
	ck_assert_uint_eq(f.rows[0].user_id, 2);
	ck_assert_uint_eq(removed(f.rows, f.n), 1);
	/* Again: somebody else removed it. */
	ck_assert_uint_eq(removed(f.rows, f.n), 0);
}
END_TEST

/*
 * What makes it harmless: a reader's data are read after the flag. Both orders
 * in which a page load can change them and stage the reader are played here,
 * all within one second.
 */
START_TEST(staging_within_the_second_loses_no_data)
{
	const struct slice key = SLICE_LIT("score");
	const uint64_t user = users_fixture_add("ann");
	struct contact_meta *meta;
	struct contact_flags f;
	size_t n;

	(void)users_fixture_meta(user, "score", "old");
	CK_RC(RC_OK, contact_flag_write(
			 t.db, &t.scope, CONTACT_PUSH, user, NOW, &t.err));
	f = flags(CONTACT_PUSH, 10);
	/* The page load comes between the flag's read and the data's. */
	db_test_sql("UPDATE wp_usermeta SET meta_value = 'new'"
		    " WHERE meta_key = 'score'");
	CK_RC(RC_OK, contact_flag_write(
			 t.db, &t.scope, CONTACT_PUSH, user, NOW, &t.err));
	CK_RC(RC_OK, contact_meta_read(t.db, &t.scope, &user, 1, &key, 1,
			 &arena, &meta, &n, &t.err));
	ck_assert(slice_eq_str(meta[0].value, "new"));
	ck_assert_uint_eq(removed(f.rows, f.n), 1);
	/* A second later it is told from the one before. */
	CK_RC(RC_OK, contact_flag_write(
			 t.db, &t.scope, CONTACT_PUSH, user, NOW, &t.err));
	f = flags(CONTACT_PUSH, 10);
	CK_RC(RC_OK, contact_flag_write(
			 t.db, &t.scope, CONTACT_PUSH, user, NOW + 1, &t.err));
	ck_assert_uint_eq(removed(f.rows, f.n), 0);
	ck_assert_uint_eq(flags(CONTACT_PUSH, 10).n, 1);
}
END_TEST

START_TEST(any_number_is_removed_in_chunks)
{
	struct contact_flags f;

	db_test_sql("INSERT INTO wp_usermeta (user_id, meta_key, meta_value)"
		    " SELECT seq %% 1000, '" PUSH_FLAG "', seq"
		    " FROM seq_1_to_2501");
	f = flags(CONTACT_PUSH, 5000);
	ck_assert_uint_eq(f.n, 2501);
	ck_assert_uint_eq(removed(f.rows, f.n), 2501);
	ck_assert_uint_eq(rows_of(PUSH_FLAG), 0);
	ck_assert_uint_eq(removed(NULL, 0), 0);
	CK_RC(RC_OK,
	    contact_flags_remove(t.db, &t.scope, f.rows, f.n, NULL, &t.err));
}
END_TEST

START_TEST(a_row_that_is_not_a_flag_any_more_is_left)
{
	struct contact_flags f;

	(void)users_fixture_meta(1, PUSH_FLAG, "1700000000");
	(void)users_fixture_meta(2, PUSH_FLAG, "1700000000");
	f = flags(CONTACT_PUSH, 10);
	db_test_sql("UPDATE wp_usermeta SET meta_key = 'another'"
		    " WHERE user_id = 1");
	db_test_sql("UPDATE wp_usermeta SET user_id = 3 WHERE user_id = 2");
	ck_assert_uint_eq(removed(f.rows, f.n), 0);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_usermeta"), 2);
}
END_TEST

/* Two nodes and a page load on the same rows. */
struct remover {
	struct contact_flags flags;
	uint64_t removed;
};

static void *
remove_all(void *arg)
{
	struct remover *r = arg;
	struct err err = ERR_INIT;
	struct db *db;

	db_thread_begin();
	db = db_test_connect();
	ck_assert(contact_flags_remove(db, &t.scope, r->flags.rows, r->flags.n,
		      &r->removed, &err) == RC_OK);
	db_close(db);
	db_thread_end();
	return NULL;
}

START_TEST(two_who_remove_the_same_share_them)
{
	struct contact_flag back[2000];
	struct remover r[2] = { 0 };
	pthread_t thread[2];

	db_test_sql("INSERT INTO wp_usermeta (user_id, meta_key, meta_value)"
		    " SELECT seq, '" PUSH_FLAG "', seq FROM seq_1_to_2000");
	r[0].flags = flags(CONTACT_PUSH, 5000);
	ck_assert_uint_eq(r[0].flags.n, 2000);
	/* The other one has them the other way round. */
	for (size_t i = 0; i < 2000; i++)
		back[i] = r[0].flags.rows[1999 - i];
	r[1].flags = (struct contact_flags){ .rows = back, .n = 2000 };
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(
		    pthread_create(&thread[i], NULL, remove_all, &r[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(r[0].removed + r[1].removed, 2000);
	ck_assert_uint_eq(rows_of(PUSH_FLAG), 0);
}
END_TEST

START_TEST(a_lost_connection_is_said_and_the_rest_can_be_removed)
{
	struct contact_flags f;
	struct db *db = db_test_connect();

	(void)users_fixture_meta(1, PUSH_FLAG, "1700000000");
	f = flags(CONTACT_PUSH, 10);
	db_test_sql("KILL %llu", (unsigned long long)db_connection_id(db));
	CK_RC(RC_RETRY,
	    contact_flags_remove(db, &t.scope, f.rows, f.n, NULL, &t.err));
	ck_assert(db_is_lost(db));
	db_close(db);
	ck_assert_uint_eq(removed(f.rows, f.n), 1);
}
END_TEST

/* ---- staging ---- */

static void
write_flag(uint64_t user, int64_t now)
{
	CK_RC(RC_OK, contact_flag_write(
			 t.db, &t.scope, CONTACT_PULL, user, now, &t.err));
}

START_TEST(staging_writes_one_row_and_then_over_it)
{
	struct contact_flags f;

	write_flag(5, NOW);
	write_flag(5, NOW + 300);
	f = flags(CONTACT_PULL, 10);
	ck_assert_uint_eq(f.n, 1);
	ck_assert(slice_eq_str(f.rows[0].value, "1700000300"));
	ck_assert_uint_eq(flags(CONTACT_PUSH, 10).n, 0);
}
END_TEST

START_TEST(staging_writes_over_all_rows_of_the_reader)
{
	struct contact_flags f;

	(void)users_fixture_meta(5, PULL_FLAG, "1");
	(void)users_fixture_meta(5, PULL_FLAG, "2");
	(void)users_fixture_meta(6, PULL_FLAG, "3");
	write_flag(5, NOW);
	f = flags(CONTACT_PULL, 10);
	ck_assert_uint_eq(f.n, 3);
	ck_assert(slice_eq_str(f.rows[0].value, "1700000000"));
	ck_assert(slice_eq_str(f.rows[1].value, "1700000000"));
	ck_assert(slice_eq_str(f.rows[2].value, "3"));
}
END_TEST

/* ---- many rows ---- */

START_TEST(ten_thousand_flags_among_a_million_rows)
{
	const char *users = getenv("CONTACTS_USERS");
	struct contact_flags f;
	mono_ms best = INT64_MAX;
	struct db_plan plan;

	db_test_sql("DROP TABLE wp_users, wp_usermeta");
	users_fixture_many(users ? strtoul(users, NULL, 10) : 100000);
	users_fixture_flags(PUSH_FLAG, 10000);
	for (int i = 0; i < 5; i++) {
		mono_ms from = clock_mono(&clock_system), took;

		arena_clear(&arena);
		f = flags(CONTACT_PUSH, 20000);
		took = clock_mono(&clock_system) - from;
		best = took < best ? took : best;
		if (i == 0)
			printf(
			    "contacts: first read %lld ms, ", (long long)took);
	}
	ck_assert_uint_eq(f.n, 10000);
	CK_RC(RC_OK, db_explain(t.db, &t.scope, SQL_CONTACTS_FLAGS,
			 SQL_ARGS(V_STR(PUSH_FLAG),
			     V_BYTES(slice_str(PUSH_FLAG)), V_U64(20001)),
			 &plan, &t.err));
	ck_assert_str_eq(plan.index, "meta_key");
	ck_assert_str_eq(plan.how, "ref");
	ck_assert(!plan.sorts);
	printf("%zu flags among %llu rows of usermeta in %lld ms\n", f.n,
	    (unsigned long long)db_test_u64("SELECT COUNT(*) FROM wp_usermeta"),
	    (long long)best);
	ck_assert_int_lt(best, 2000);
	best = INT64_MAX;
	for (size_t i = 0; i < 10000; i += 2500) {
		mono_ms from = clock_mono(&clock_system), took;

		ck_assert_uint_eq(removed(f.rows + i, 2500), 2500);
		took = clock_mono(&clock_system) - from;
		best = took < best ? took : best;
	}
	printf("contacts: 2500 flags removed in %lld ms\n", (long long)best);
	(void)fflush(stdout);
	/* By primary key: a scan for each 500 would take as many seconds. */
	ck_assert_int_lt(best, 1250);
}
END_TEST

Suite *
contacts_flags_suite(void)
{
	Suite *s = suite_create("contacts_flags");
	TCase *tc = tcase_create("flags");

	tcase_add_checked_fixture(tc, open_tables, close_tables);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, waiting_readers_come_by_user_then_row);
	tcase_add_test(tc, no_flags_are_none);
	tcase_add_test(tc, more_than_asked_for_is_said);
	tcase_add_test(tc, only_the_very_key_is_a_flag);
	tcase_add_test(
	    tc, values_that_are_no_times_are_flags_and_can_be_removed);
	tcase_add_test(tc, the_flags_of_one_reader_are_read_alone);
	tcase_add_test(tc, an_arena_that_is_too_small_is_no_crash);
	tcase_add_test(tc, a_flag_written_again_meanwhile_stays);
	tcase_add_test(tc, staging_within_the_second_loses_no_data);
	tcase_add_test(tc, any_number_is_removed_in_chunks);
	tcase_add_test(tc, a_row_that_is_not_a_flag_any_more_is_left);
	tcase_add_test(tc, two_who_remove_the_same_share_them);
	tcase_add_test(
	    tc, a_lost_connection_is_said_and_the_rest_can_be_removed);
	tcase_add_test(tc, staging_writes_one_row_and_then_over_it);
	tcase_add_test(tc, staging_writes_over_all_rows_of_the_reader);
	suite_add_tcase(s, tc);
	tc = tcase_create("many");
	tcase_add_checked_fixture(tc, open_tables, close_tables);
	tcase_set_timeout(tc, 1800);
	tcase_add_test(tc, ten_thousand_flags_among_a_million_rows);
	suite_add_tcase(s, tc);
	return s;
}
