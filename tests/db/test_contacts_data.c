/*
 * Reader data, as Newspack's PHP reads it.
 */
#include <stdio.h>
#include <string.h>

#include "base/ceilings.h"
#include "base/macros.h"
#include "queues/contacts.h"
#include "users_fixture.h"

Suite *contacts_data_suite(void);

#define LIST "newspack_reader_data_keys"
#define ITEM "newspack_reader_data_item_"

static struct {
	uint64_t user;
	size_t written, refused;
} d;

static void
open_tables(void)
{
	db_test_open();
	users_fixture_tables();
	d.user = users_fixture_add("ann");
}

static enum rc
store_for(
    struct db *db, uint64_t user, const struct contact_item *items, size_t n)
{
	return contact_data_store(
	    db, &t.scope, user, items, n, &d.written, &d.refused, &t.err);
}

static void
store(const char *key, const char *json)
{
	const struct contact_item item = { slice_str(key), slice_str(json) };

	CK_RC(RC_OK, store_for(t.db, d.user, &item, 1));
}

static uint64_t
has(const char *key, const char *value)
{
	return db_test_u64("SELECT COUNT(*) FROM wp_usermeta"
			   " WHERE user_id = %llu AND meta_key = '%s'"
			   " AND CAST(meta_value AS BINARY) = '%s'",
	    (unsigned long long)d.user, key, value);
}

static uint64_t
meta_rows(void)
{
	return db_test_u64("SELECT COUNT(*) FROM wp_usermeta"
			   " WHERE meta_key LIKE 'newspack%%'");
}

/* ---- the list and the values ---- */

START_TEST(a_first_value_makes_the_list)
{
	store("favorite_color", "\"blue\"");
	ck_assert_uint_eq(d.written, 2);
	ck_assert_uint_eq(d.refused, 0);
	ck_assert_uint_eq(has(ITEM "favorite_color", "\"blue\""), 1);
	ck_assert_uint_eq(has(LIST, "a:1:{i:0;s:14:\"favorite_color\";}"), 1);
	ck_assert_uint_eq(meta_rows(), 2);
}
END_TEST

START_TEST(an_equal_value_is_not_written)
{
	struct db_counters before, after;

	store("favorite_color", "\"blue\"");
	db_counters_get(&before);
	store("favorite_color", "\"blue\"");
	db_counters_get(&after);
	ck_assert_uint_eq(d.written, 0);
	/* Nor is anything locked. */
	ck_assert_uint_eq(after.statements - before.statements, 1);
	store("favorite_color", "\"red\"");
	ck_assert_uint_eq(d.written, 1);
	ck_assert_uint_eq(has(ITEM "favorite_color", "\"red\""), 1);
	ck_assert_uint_eq(meta_rows(), 2);
}
END_TEST

static const struct {
	const char *what, *before, *key, *after;
} lists[] = {
	{ "gaps stay, and the next index follows the greatest",
	    "a:2:{i:2;s:1:\"a\";i:7;s:1:\"b\";}", "c",
	    "a:3:{i:2;s:1:\"a\";i:7;s:1:\"b\";i:8;s:1:\"c\";}" },
	{ "an order that is not by index stays",
	    "a:2:{i:7;s:1:\"b\";i:2;s:1:\"a\";}", "c",
	    "a:3:{i:7;s:1:\"b\";i:2;s:1:\"a\";i:8;s:1:\"c\";}" },
	{ "a key that is listed is not listed again", "a:1:{i:4;s:1:\"c\";}",
	    "c", "a:1:{i:4;s:1:\"c\";}" },
	{ "a key of digits is an integer", "a:0:{}", "42", "a:1:{i:0;i:42;}" },
	{ "and is known as one", "a:1:{i:3;i:42;}", "42", "a:1:{i:3;i:42;}" },
	{ "and as text", "a:1:{i:3;s:2:\"42\";}", "42",
	    "a:1:{i:3;s:2:\"42\";}" },
	{ "digits that are no number are text", "a:0:{}", "042",
	    "a:1:{i:0;s:3:\"042\";}" },
	{ "keys differ by case", "a:1:{i:0;s:1:\"C\";}", "c",
	    "a:2:{i:0;s:1:\"C\";i:1;s:1:\"c\";}" },
	{ "lengths are in bytes", "a:0:{}", "caf\xC3\xA9",
	    "a:1:{i:0;s:5:\"caf\xC3\xA9\";}" },
	{ "text indexes stay", "a:1:{s:1:\"x\";s:1:\"a\";}", "c",
	    "a:2:{s:1:\"x\";s:1:\"a\";i:0;s:1:\"c\";}" },
	{ "negative indexes do not count", "a:1:{i:-5;s:1:\"a\";}", "c",
	    "a:2:{i:-5;s:1:\"a\";i:0;s:1:\"c\";}" },
	{ "entries that are no keys stay", "a:2:{i:0;N;i:1;a:1:{i:0;b:1;}}",
	    "c", "a:3:{i:0;N;i:1;a:1:{i:0;b:1;}i:2;s:1:\"c\";}" },
	{ "what PHP cannot read is an empty list", "a:1:{i:0;s:9:\"a\";}", "c",
	    "a:1:{i:0;s:1:\"c\";}" },
	{ "as is text", "favorite", "c", "a:1:{i:0;s:1:\"c\";}" },
	{ "and nothing", "", "c", "a:1:{i:0;s:1:\"c\";}" },
};

START_TEST(the_list_is_kept_as_php_has_it)
{
	(void)users_fixture_meta(d.user, LIST, lists[_i].before);
	store(lists[_i].key, "1");
	ck_assert_msg(has(LIST, lists[_i].after) == 1, "%s", lists[_i].what);
	ck_assert_uint_eq(meta_rows(), 2);
}
END_TEST

START_TEST(a_list_at_the_last_index_takes_no_more)
{
	(void)users_fixture_meta(
	    d.user, LIST, "a:1:{i:9223372036854775807;s:1:\"a\";}");
	store("c", "1");
	ck_assert_uint_eq(d.refused, 1);
	ck_assert_uint_eq(d.written, 0);
	store("a", "1");
	ck_assert_uint_eq(d.refused, 0);
	ck_assert_uint_eq(d.written, 1);
}
END_TEST

START_TEST(a_key_that_fell_out_of_the_list_is_listed_again)
{
	store("a", "1");
	store("b", "2");
	/* PHP wrote over it what it had read before. */
	db_test_sql("UPDATE wp_usermeta SET meta_value ="
		    " 'a:1:{i:0;s:1:\"a\";}' WHERE meta_key = '" LIST "'");
	store("b", "2");
	ck_assert_uint_eq(d.written, 1);
	ck_assert_uint_eq(has(LIST, "a:2:{i:0;s:1:\"a\";i:1;s:1:\"b\";}"), 1);
}
END_TEST

START_TEST(two_lists_become_one)
{
	(void)users_fixture_meta(
	    d.user, LIST, "a:2:{i:0;s:1:\"a\";i:1;s:1:\"b\";}");
	(void)users_fixture_meta(
	    d.user, LIST, "a:2:{i:0;s:1:\"b\";i:1;s:1:\"z\";}");
	store("c", "1");
	ck_assert_uint_eq(d.written, 3);
	ck_assert_uint_eq(has(LIST, "a:4:{i:0;s:1:\"a\";i:1;s:1:\"b\";"
				    "i:2;s:1:\"z\";i:3;s:1:\"c\";}"),
	    2);
}
END_TEST

START_TEST(rows_of_a_value_twice_are_written_both)
{
	(void)users_fixture_meta(d.user, LIST, "a:1:{i:0;s:1:\"a\";}");
	(void)users_fixture_meta(d.user, ITEM "a", "1");
	(void)users_fixture_meta(d.user, ITEM "a", "2");
	store("a", "2");
	ck_assert_uint_eq(d.written, 1);
	ck_assert_uint_eq(has(ITEM "a", "2"), 2);
}
END_TEST

START_TEST(keys_that_compare_equal_are_others)
{
	(void)users_fixture_meta(d.user, LIST, "a:1:{i:0;s:1:\"A\";}");
	(void)users_fixture_meta(d.user, ITEM "A", "1");
	store("a", "2");
	ck_assert_uint_eq(has(ITEM "A", "1"), 1);
	ck_assert_uint_eq(has(ITEM "a", "2"), 1);
}
END_TEST

START_TEST(another_readers_data_are_not_touched)
{
	const uint64_t bob = users_fixture_add("bob");

	store("a", "1");
	db_test_sql("INSERT INTO wp_usermeta (user_id, meta_key, meta_value)"
		    " SELECT %llu, meta_key, meta_value FROM wp_usermeta"
		    " WHERE meta_key LIKE 'newspack%%'",
	    (unsigned long long)bob);
	store("a", "2");
	ck_assert_uint_eq(has(ITEM "a", "2"), 1);
	d.user = bob;
	ck_assert_uint_eq(has(ITEM "a", "1"), 1);
}
END_TEST

/* ---- limits ---- */

START_TEST(there_are_a_hundred_keys_at_most)
{
	struct contact_item items[103];
	char keys[NELEMS(items)][16];

	for (size_t i = 0; i < NELEMS(items); i++) {
		snprintf(keys[i], sizeof keys[i], "key_%zu", i);
		items[i] =
		    (struct contact_item){ slice_str(keys[i]), SLICE_LIT("1") };
	}
	CK_RC(RC_OK, store_for(t.db, d.user, items, 98));
	ck_assert_uint_eq(d.refused, 0);
	CK_RC(RC_OK, store_for(t.db, d.user, items, NELEMS(items)));
	ck_assert_uint_eq(d.refused, 3);
	ck_assert_uint_eq(d.written, 3);
	ck_assert_uint_eq(meta_rows(), 101);
	/* One that is there may change. */
	store("key_5", "2");
	ck_assert_uint_eq(d.refused, 0);
	ck_assert_uint_eq(d.written, 1);
}
END_TEST

START_TEST(what_cannot_be_stored_is_refused_and_the_rest_is_stored)
{
	char longest[231] = "";
	const struct contact_item items[] = {
		{ SLICE_LIT(""), SLICE_LIT("1") },
		{ SLICE_LIT("empty"), SLICE_LIT("") },
		{ slice_mem(longest, 230), SLICE_LIT("1") },
		{ slice_mem(longest, 229), SLICE_LIT("1") },
		{ SLICE_LIT("good"), SLICE_LIT("1") },
		{ SLICE_LIT("good"), SLICE_LIT("2") },
	};

	memset(longest, 'k', sizeof longest);
	CK_RC(RC_OK, store_for(t.db, d.user, items, NELEMS(items)));
	ck_assert_uint_eq(d.refused, 3);
	ck_assert_uint_eq(d.written, 3);
	ck_assert_uint_eq(has(ITEM "good", "1"), 1);
	CK_RC(RC_OK, store_for(t.db, d.user, NULL, 0));
	CK_RC(RC_OK, contact_data_store(
			 t.db, &t.scope, d.user, items, 1, NULL, NULL, &t.err));
}
END_TEST

START_TEST(many_large_values_go_in_several_statements)
{
	static char text[100000];
	struct contact_item items[60];
	char keys[NELEMS(items)][16];

	memset(text, '"', sizeof text);
	for (size_t i = 0; i < NELEMS(items); i++) {
		snprintf(keys[i], sizeof keys[i], "key_%zu", i);
		items[i] = (struct contact_item){ slice_str(keys[i]),
			slice_mem(text, sizeof text) };
	}
	CK_RC(RC_OK, store_for(t.db, d.user, items, NELEMS(items)));
	ck_assert_uint_eq(d.written, 61);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_usermeta"
				      " WHERE meta_key LIKE '" ITEM "%%'"
				      " AND meta_value = REPEAT('\"', 100000)"),
	    60);
}
END_TEST

START_TEST(a_user_who_is_gone_gets_nothing)
{
	const struct contact_item item = { SLICE_LIT("a"), SLICE_LIT("1") };

	CK_RC(RC_NONE, store_for(t.db, 4711, &item, 1));
	ck_assert_uint_eq(d.written, 0);
	ck_assert_uint_eq(meta_rows(), 0);
}
END_TEST

/* ---- characters ---- */

START_TEST(values_arrive_byte_for_byte)
{
	static const char value[] =
	    "{\"a\":\"it's \\\"quoted\\\"\\n\\\\ \xC3\xA9"
	    " \xF0\x9F\x98\x80 / % _ \\u0000 ?{ids}\"}";
	const struct contact_item item = { SLICE_LIT("a"),
		SLICE_LIT("{\"a\":\"it's \\\"quoted\\\"\\n\\\\ \xC3\xA9"
			  " \xF0\x9F\x98\x80 / % _ \\u0000 ?{ids}\"}") };
	struct buf hex = BUF_INIT(1024);

	CK_RC(RC_OK, store_for(t.db, d.user, &item, 1));
	buf_put_hex(&hex, value, sizeof value - 1);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_usermeta"
				      " WHERE meta_key = '" ITEM "a'"
				      " AND HEX(meta_value) = UPPER('%s')",
			      buf_str(&hex)),
	    1);
	buf_clear(&hex);
}
END_TEST

static const struct {
	const char *charset, *json, *stored;
} charsets[] = {
	{ "utf8mb4", "\"\xC3\xA9 \xF0\x9F\x98\x80\"",
	    "\"\xC3\xA9 \xF0\x9F\x98\x80\"" },
	{ "utf8mb3", "\"\xC3\xA9 \xF0\x9F\x98\x80\"",
	    "\"\\u00e9 \\ud83d\\ude00\"" },
	{ "utf8mb3", "\"\xC3\xA9\"", "\"\xC3\xA9\"" },
	{ "latin1", "\"\xE4\xBD\xA0\"", "\"\\u4f60\"" },
};

START_TEST(a_table_without_its_characters_gets_escapes)
{
	const char *stored = charsets[_i].stored;
	struct buf hex = BUF_INIT(1024);

	db_test_sql("ALTER TABLE wp_usermeta CONVERT TO CHARACTER SET %s",
	    charsets[_i].charset);
	buf_put_hex(&hex, stored, strlen(stored));
	for (int i = 0; i < 2; i++) {
		store("a", charsets[_i].json);
		ck_assert_uint_eq(d.written, i == 0 ? 2 : 0);
		ck_assert_uint_eq(
		    db_test_u64("SELECT COUNT(*) FROM wp_usermeta WHERE"
				" HEX(CONVERT(meta_value USING utf8mb4)) ="
				" UPPER('%s')",
			buf_str(&hex)),
		    1);
	}
	buf_clear(&hex);
}
END_TEST

/* ---- at once ---- */

#define WRITERS 4
#define KEYS 12

struct writer {
	int number;
};

static void
store_own(struct writer *w, struct db *db)
{
	for (int i = 0; i < KEYS; i++) {
		struct err err = ERR_INIT;
		struct contact_item items[2];
		char key[32], json[32];
		enum rc rc;

		snprintf(key, sizeof key, "w%d_%d", w->number, i);
		snprintf(json, sizeof json, "%d", w->number);
		items[0] =
		    (struct contact_item){ slice_str(key), SLICE_LIT("1") };
		items[1] = (struct contact_item){ SLICE_LIT("shared"),
			slice_str(json) };
		rc = contact_data_store(
		    db, &t.scope, d.user, items, 2, NULL, NULL, &err);
		ck_assert_msg(rc == RC_OK, "%s", err.text);
	}
}

static void *
writer_main(void *arg)
{
	struct db *db;

	db_thread_begin();
	db = db_test_connect();
	store_own(arg, db);
	db_close(db);
	db_thread_end();
	return NULL;
}

START_TEST(no_writer_loses_anothers_keys)
{
	struct writer w[WRITERS];
	pthread_t thread[WRITERS];

	/* Also when none of them finds a list. */
	for (int i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){ .number = i };
		ck_assert_int_eq(
		    pthread_create(&thread[i], NULL, writer_main, &w[i]), 0);
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
	ck_assert_uint_eq(
	    db_test_u64(
		"SELECT COUNT(*) FROM wp_usermeta WHERE meta_key = '" LIST
		"' AND meta_value LIKE 'a:%d:{%%'",
		WRITERS * KEYS + 1),
	    1);
	ck_assert_uint_eq(meta_rows(), WRITERS * KEYS + 2);
}
END_TEST

START_TEST(a_list_that_somebody_holds_is_waited_for_and_read_again)
{
	struct writer w = { .number = 1 };
	pthread_t thread;

	(void)users_fixture_meta(d.user, LIST, "a:1:{i:0;s:1:\"a\";}");
	db_test_sql("START TRANSACTION");
	db_test_sql("UPDATE wp_usermeta SET meta_value ="
		    " 'a:2:{i:0;s:1:\"a\";i:5;s:3:\"php\";}'"
		    " WHERE meta_key = '" LIST "'");
	ck_assert_int_eq(pthread_create(&thread, NULL, writer_main, &w), 0);
	db_test_await("SELECT VARIABLE_VALUE FROM"
		      " information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME ="
		      " 'Innodb_row_lock_current_waits'");
	db_test_sql("COMMIT");
	pthread_join(thread, NULL);
	ck_assert_uint_eq(
	    db_test_u64(
		"SELECT COUNT(*) FROM wp_usermeta WHERE meta_key = '" LIST
		"' AND meta_value LIKE 'a:15:{i:0;s:1:\"a\";"
		"i:5;s:3:\"php\";i:6;s:4:\"w1_0\";i:7;s:6:\"shared\";"
		"%%'"),
	    1);
}
END_TEST

START_TEST(a_lost_connection_leaves_nothing_half_done)
{
	const struct contact_item items[] = {
		{ SLICE_LIT("a"), SLICE_LIT("1") },
		{ SLICE_LIT("b"), SLICE_LIT("2") },
	};
	struct db *db = db_test_connect();

	db_test_sql("KILL %llu", (unsigned long long)db_connection_id(db));
	CK_RC(RC_RETRY, store_for(db, d.user, items, 2));
	ck_assert(db_is_lost(db));
	db_close(db);
	ck_assert_uint_eq(meta_rows(), 0);
	/* An insert that fails takes the list with it. */
	db_test_sql("CREATE TRIGGER refuse BEFORE INSERT ON wp_usermeta FOR"
		    " EACH ROW IF NEW.meta_key = '" ITEM "b' THEN SIGNAL"
		    " SQLSTATE '45000'; END IF");
	CK_RC(RC_REJECT, store_for(t.db, d.user, items, 2));
	ck_assert_uint_eq(meta_rows(), 0);
	db_test_sql("DROP TRIGGER refuse");
	CK_RC(RC_OK, store_for(t.db, d.user, items, 2));
	ck_assert_uint_eq(d.written, 3);
}
END_TEST

Suite *
contacts_data_suite(void)
{
	Suite *s = suite_create("contacts_data");
	TCase *tc = tcase_create("reader data");

	tcase_add_checked_fixture(tc, open_tables, db_test_close);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_first_value_makes_the_list);
	tcase_add_test(tc, an_equal_value_is_not_written);
	tcase_add_loop_test(
	    tc, the_list_is_kept_as_php_has_it, 0, NELEMS(lists));
	tcase_add_test(tc, a_list_at_the_last_index_takes_no_more);
	tcase_add_test(tc, a_key_that_fell_out_of_the_list_is_listed_again);
	tcase_add_test(tc, two_lists_become_one);
	tcase_add_test(tc, rows_of_a_value_twice_are_written_both);
	tcase_add_test(tc, keys_that_compare_equal_are_others);
	tcase_add_test(tc, another_readers_data_are_not_touched);
	tcase_add_test(tc, there_are_a_hundred_keys_at_most);
	tcase_add_test(
	    tc, what_cannot_be_stored_is_refused_and_the_rest_is_stored);
	tcase_add_test(tc, many_large_values_go_in_several_statements);
	tcase_add_test(tc, a_user_who_is_gone_gets_nothing);
	tcase_add_test(tc, values_arrive_byte_for_byte);
	tcase_add_loop_test(tc, a_table_without_its_characters_gets_escapes, 0,
	    NELEMS(charsets));
	tcase_add_test(tc, no_writer_loses_anothers_keys);
	tcase_add_test(
	    tc, a_list_that_somebody_holds_is_waited_for_and_read_again);
	tcase_add_test(tc, a_lost_connection_leaves_nothing_half_done);
	suite_add_tcase(s, tc);
	return s;
}
