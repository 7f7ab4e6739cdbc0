/* Whose a log-in cookie is, by the tables of users. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../auth_mint.h"
#include "db_test.h"
#include "wordpress/visitor.h"

Suite *visitor_suite(void);

#define NOW INT64_C(1700000000)
#define EXPIRES INT64_C(1700172800)
#define SALT "logged-in-key-0123456789logged-in-salt-abcdefghij"
#define PHPASS "$P$B3OhrXGpDVvlGIZn0SCIAWnI4wS3bA."
#define FRAGMENT "XGpD"
#define SESSIONS                                                               \
	"a:1:{s:64:\"" AUTH_MINT_VERIFIER                                      \
	"\";a:1:{s:10:\"expiration\";i:1700100000;}}"
#define SESSION_EXPIRES INT64_C(1700100000)
#define EXPIRED                                                                \
	"a:1:{s:64:\"" AUTH_MINT_VERIFIER                                      \
	"\";a:1:{s:10:\"expiration\";i:1699999999;}}"
#define SUBSCRIBER "a:1:{s:10:\"subscriber\";b:1;}"
#define READ_MAX ((size_t)1 << 20)

#define ASKED_MAX 100
static struct visitor_keys keys;
static struct arena arena = ARENA_INIT(READ_MAX);
static struct auth_cookie cookies[ASKED_MAX];
static struct visitor asked[ASKED_MAX];

static void
make_tables(const char *charset)
{
	db_test_sql("SET NAMES utf8mb4");
	db_test_sql("CREATE TABLE wp_users (ID BIGINT UNSIGNED NOT NULL"
		    " AUTO_INCREMENT PRIMARY KEY,"
		    " user_login VARCHAR(60) NOT NULL DEFAULT '',"
		    " user_pass VARCHAR(255) NOT NULL DEFAULT '" PHPASS "',"
		    " KEY user_login_key (user_login)) DEFAULT CHARSET=%s",
	    charset);
	db_test_sql("CREATE TABLE wp_usermeta (umeta_id BIGINT UNSIGNED NOT"
		    " NULL AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED"
		    " NOT NULL DEFAULT 0, meta_key VARCHAR(255),"
		    " meta_value LONGTEXT, KEY user_id (user_id),"
		    " KEY meta_key (meta_key(191))) DEFAULT CHARSET=%s",
	    charset);
}

static void
open_tables(void)
{
	db_test_open();
	make_tables("utf8mb4");
	keys.salt = SLICE_LIT(SALT);
}

static void
close_tables(void)
{
	arena_clear(&arena);
	db_test_close();
}

static void
add_meta(unsigned id, const char *key, const char *value)
{
	db_test_sql("INSERT INTO wp_usermeta (user_id, meta_key, meta_value)"
		    " VALUES (%u, '%s', '%s')",
	    id, key, value);
}

static void
add_user(unsigned id, const char *login)
{
	db_test_sql("INSERT INTO wp_users (ID, user_login) VALUES (%u, '%s')",
	    id, login);
	add_meta(id, "session_tokens", SESSIONS);
}

static void
mint(size_t at, const char *login, int64_t expires)
{
	char text[AUTH_MINT_MAX];

	auth_mint(login, FRAGMENT, expires, SALT, text);
	ck_assert_int_eq(
	    auth_cookie_parse(slice_str(text), &cookies[at]), RC_OK);
	asked[at] = (struct visitor){ .cookie = &cookies[at], .user_id = 99 };
}

static void
recognise(size_t n)
{
	CK_RC(RC_OK, visitors_recognise(
			 &keys, t.db, &t.scope, NOW, asked, n, &arena, &t.err));
}

/* The id of the one with that login; 0: not recognised. */
static uint64_t
who(const char *login)
{
	mint(0, login, EXPIRES);
	recognise(1);
	return asked[0].user_id;
}

START_TEST(a_visitor_is_known_with_all_that_is_stored)
{
	add_user(7, "jane.doe@example.test");
	add_meta(7, "wp_capabilities", SUBSCRIBER);
	add_meta(7, "np_reader", "1");
	add_meta(7, "newspack_contact_cron_last_enqueue", "1699999000");
	add_meta(7, "newspack_contact_cron_push_pending", "1699999000");
	ck_assert_uint_eq(who("jane.doe@example.test"), 7);
	ck_assert_int_eq(asked[0].expires, SESSION_EXPIRES);
	ck_assert(asked[0].member);
	ck_assert(slice_eq_str(asked[0].capabilities, SUBSCRIBER));
	ck_assert(slice_eq_str(asked[0].np_reader, "1"));
	ck_assert(slice_eq_str(asked[0].last_enqueue, "1699999000"));
	ck_assert_uint_eq(asked[0].last_enqueue_row,
	    db_test_u64("SELECT umeta_id FROM wp_usermeta WHERE meta_key ="
			" 'newspack_contact_cron_last_enqueue'"));
	ck_assert(asked[0].push_staged && !asked[0].pull_staged);
}
END_TEST

START_TEST(a_visitor_without_rows_is_known_and_no_member)
{
	add_user(7, "jane");
	ck_assert_uint_eq(who("jane"), 7);
	ck_assert(!asked[0].member);
	ck_assert_ptr_null(asked[0].capabilities.p);
	ck_assert_ptr_null(asked[0].np_reader.p);
	ck_assert_ptr_null(asked[0].last_enqueue.p);
	ck_assert_uint_eq(asked[0].last_enqueue_row, 0);
	ck_assert(!asked[0].push_staged && !asked[0].pull_staged);
}
END_TEST

START_TEST(what_expires_first_counts)
{
	add_user(7, "jane");
	mint(0, "jane", SESSION_EXPIRES - 5);
	mint(1, "jane", NOW);
	mint(2, "jane", NOW - 1);
	recognise(3);
	ck_assert_uint_eq(asked[0].user_id, 7);
	ck_assert_int_eq(asked[0].expires, SESSION_EXPIRES - 5);
	ck_assert_uint_eq(asked[1].user_id, 7);
	ck_assert_uint_eq(asked[2].user_id, 0);
}
END_TEST

/* Each alone makes a stranger of a good visitor. */
static const struct {
	const char *sql;
} spoilers[] = {
	{ "UPDATE wp_usermeta SET meta_value = '" EXPIRED "'" },
	{ "DELETE FROM wp_usermeta" },
	{ "UPDATE wp_usermeta SET meta_value = NULL" },
	{ "UPDATE wp_usermeta SET meta_value = ''" },
	{ "UPDATE wp_usermeta SET meta_value = REPLACE(meta_value, '46a2',"
	  " '46a3')" },
	{ "UPDATE wp_usermeta SET meta_key = 'Session_Tokens'" },
	{ "UPDATE wp_usermeta SET meta_key = 'session_tokens '" },
	{ "UPDATE wp_usermeta SET user_id = 8" },
	{ "UPDATE wp_usermeta SET meta_value = CONCAT('a:2:{i:0;s:1048576:\"',"
	  " REPEAT('x', 1048576), '\";', SUBSTR(meta_value, 6))" },
	{ "UPDATE wp_users SET user_pass = REPLACE(user_pass, 'XGpD', "
	  "'XGpE')" },
	{ "UPDATE wp_users SET user_pass = ''" },
	{ "UPDATE wp_users SET user_login = 'Jane'" },
	{ "UPDATE wp_users SET user_login = 'jane '" },
	{ "UPDATE wp_users SET user_login = 'j\xc3\xa1ne'" },
	{ "DELETE FROM wp_users" },
};

START_TEST(one_thing_wrong_makes_a_stranger)
{
	add_user(7, "jane");
	add_user(8, "other");
	db_test_sql("DELETE FROM wp_usermeta WHERE user_id = 8");
	ck_assert_uint_eq(who("jane"), 7);
	db_test_sql("%s", spoilers[_i].sql);
	ck_assert_uint_eq(who("jane"), 0);
	ck_assert_ptr_null(asked[0].capabilities.p);
	ck_assert(!asked[0].member && asked[0].expires == 0);
}
END_TEST

START_TEST(the_first_row_of_a_key_counts)
{
	add_user(7, "jane");
	add_meta(7, "session_tokens", EXPIRED);
	add_meta(7, "newspack_contact_cron_last_enqueue", "1");
	add_meta(7, "newspack_contact_cron_last_enqueue", "2");
	ck_assert_uint_eq(who("jane"), 7);
	ck_assert(slice_eq_str(asked[0].last_enqueue, "1"));
	db_test_sql("UPDATE wp_usermeta SET umeta_id = umeta_id + 100"
		    " WHERE meta_value = '1' OR meta_value LIKE '%%17001%%'");
	ck_assert_uint_eq(who("jane"), 0);
	db_test_sql(
	    "DELETE FROM wp_usermeta WHERE meta_value LIKE '%%16999%%'");
	ck_assert_uint_eq(who("jane"), 7);
	ck_assert(slice_eq_str(asked[0].last_enqueue, "2"));
}
END_TEST

START_TEST(logins_that_the_server_takes_for_equal_are_told_apart)
{
	static const char *const logins[] = { "ivan", "Ivan", "IVAN",
		"iv\xc3\xa1n", "ivan ", "ivan  " };

	for (unsigned i = 0; i < NELEMS(logins); i++)
		add_user(10 + i, logins[i]);
	for (unsigned i = 0; i < NELEMS(logins); i++)
		ck_assert_uint_eq(who(logins[i]), 10 + i);
	for (unsigned i = 0; i < NELEMS(logins); i++)
		mint(i, logins[i], EXPIRES);
	recognise(NELEMS(logins));
	for (unsigned i = 0; i < NELEMS(logins); i++)
		ck_assert_uint_eq(asked[i].user_id, 10 + i);
}
END_TEST

START_TEST(of_two_users_with_one_login_the_first_is_meant)
{
	add_user(9, "jane");
	add_user(7, "jane");
	add_meta(9, "np_reader", "1");
	ck_assert_uint_eq(who("jane"), 7);
	ck_assert_ptr_null(asked[0].np_reader.p);
}
END_TEST

START_TEST(a_hundred_visitors_are_told_in_one_read)
{
	struct db_counters before, after;
	char login[32];

	for (unsigned i = 0; i < ASKED_MAX; i++) {
		(void)snprintf(login, sizeof login, "user %u", i);
		if (i % 10 < 7)
			add_user(1000 + i, login);
		if (i % 10 == 6)
			(void)snprintf(login, sizeof login, "user %u", i - 1);
		mint(i, login, i % 10 == 3 ? NOW - 1 : EXPIRES);
	}
	db_counters_get(&before);
	recognise(ASKED_MAX);
	db_counters_get(&after);
	ck_assert_uint_eq(after.statements - before.statements, 1);
	for (unsigned i = 0; i < ASKED_MAX; i++) {
		unsigned want = 1000 + i;

		if (i % 10 == 3 || i % 10 > 6)
			want = 0;
		if (i % 10 == 6)
			want--;
		ck_assert_uint_eq(asked[i].user_id, want);
	}
	recognise(0);
}
END_TEST

START_TEST(another_blog_has_members_of_its_own)
{
	add_user(7, "jane");
	add_meta(7, "wp_capabilities", SUBSCRIBER);
	add_meta(7, "wp_22_capabilities", SUBSCRIBER);
	add_meta(7, "WP_2_capabilities", SUBSCRIBER);
	t.scope.prefix = "wp_2_";
	ck_assert_uint_eq(who("jane"), 7);
	ck_assert(!asked[0].member);
	ck_assert_ptr_null(asked[0].capabilities.p);
	add_meta(7, "wp_2_capabilities", "a:0:{}");
	ck_assert_uint_eq(who("jane"), 7);
	ck_assert(asked[0].member);
	ck_assert(slice_eq_str(asked[0].capabilities, "a:0:{}"));
	t.scope.prefix = "wp_";
}
END_TEST

static const char *const no_arrays[] = { "", "b:0;", "s:0:\"\";", "1",
	"a:1:{s:10:\"subscriber\";b:1;", "a:1:{s:10:\"subscriber\";b:1;}x",
	"O:8:\"stdClass\":0:{}" };

START_TEST(capabilities_that_are_no_array_make_no_member)
{
	add_user(7, "jane");
	add_meta(7, "wp_capabilities", no_arrays[_i]);
	ck_assert_uint_eq(who("jane"), 7);
	ck_assert(!asked[0].member);
	ck_assert(slice_eq_str(asked[0].capabilities, no_arrays[_i]));
}
END_TEST

/* {charset, login of a user, one that its column cannot hold} */
static const struct {
	const char *charset, *login, *other;
} charsets[] = {
	{ "utf8mb4", "\xd0\xb8\xd0\xb2\xd0\xb0", "\xf0\x9f\x98\x80" },
	{ "utf8mb3", "\xd0\xb8\xd0\xb2\xd0\xb0", "\xf0\x9f\x98\x80" },
	{ "utf8mb3", "jane", "\xf0\x9f\x98\x80" },
	{ "latin1", "jane", "\xf0\x9f\x98\x80" },
	{ "latin1", "jane", "\xd0\xb8\xd0\xb2\xd0\xb0" },
	{ "ascii", "jane", "\xc3\xa9" },
};

START_TEST(what_a_column_cannot_hold_harms_nobody_else)
{
	db_test_sql("DROP TABLE wp_users, wp_usermeta");
	make_tables(charsets[_i].charset);
	add_user(7, charsets[_i].login);
	ck_assert_uint_eq(who(charsets[_i].other), 0);
	mint(0, charsets[_i].other, EXPIRES);
	mint(1, charsets[_i].login, EXPIRES);
	recognise(2);
	ck_assert_uint_eq(asked[0].user_id, 0);
	ck_assert_uint_eq(asked[1].user_id, 7);
}
END_TEST

START_TEST(a_missing_table_is_an_error_and_nobody_is_known)
{
	add_user(7, "jane");
	mint(0, "jane", EXPIRES);
	db_test_sql("RENAME TABLE wp_usermeta TO wp_gone");
	CK_RC(RC_REJECT, visitors_recognise(&keys, t.db, &t.scope, NOW, asked,
			     1, &arena, &t.err));
	ck_assert_uint_eq(asked[0].user_id, 0);
}
END_TEST

START_TEST(an_arena_that_is_full_is_said)
{
	struct arena small = ARENA_INIT(16);

	add_user(7, "jane");
	add_meta(7, "wp_capabilities", SUBSCRIBER);
	mint(0, "jane", EXPIRES);
	CK_RC(RC_RETRY, visitors_recognise(&keys, t.db, &t.scope, NOW, asked, 1,
			    &small, &t.err));
	arena_clear(&small);
}
END_TEST

Suite *
visitor_suite(void)
{
	Suite *s = suite_create("visitor");
	TCase *tc = tcase_create("visitor");

	tcase_add_checked_fixture(tc, open_tables, close_tables);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_visitor_is_known_with_all_that_is_stored);
	tcase_add_test(tc, a_visitor_without_rows_is_known_and_no_member);
	tcase_add_test(tc, what_expires_first_counts);
	tcase_add_loop_test(
	    tc, one_thing_wrong_makes_a_stranger, 0, NELEMS(spoilers));
	tcase_add_test(tc, the_first_row_of_a_key_counts);
	tcase_add_test(
	    tc, logins_that_the_server_takes_for_equal_are_told_apart);
	tcase_add_test(tc, of_two_users_with_one_login_the_first_is_meant);
	tcase_add_test(tc, a_hundred_visitors_are_told_in_one_read);
	tcase_add_test(tc, another_blog_has_members_of_its_own);
	tcase_add_loop_test(tc, capabilities_that_are_no_array_make_no_member,
	    0, NELEMS(no_arrays));
	tcase_add_loop_test(tc, what_a_column_cannot_hold_harms_nobody_else, 0,
	    NELEMS(charsets));
	tcase_add_test(tc, a_missing_table_is_an_error_and_nobody_is_known);
	tcase_add_test(tc, an_arena_that_is_full_is_said);
	suite_add_tcase(s, tc);
	return s;
}
