/*
 * Readers as WordPress' tables have them.
 */
#include <string.h>

#include "base/macros.h"
#include "queues/contacts.h"
#include "users_fixture.h"

Suite *contacts_users_suite(void);

static struct arena arena = ARENA_INIT((size_t)64 << 20);

static void
open_tables(void)
{
	db_test_open();
	users_fixture_tables();
}

static void
close_tables(void)
{
	arena_clear(&arena);
	db_test_close();
}

static size_t
users(const uint64_t *ids, size_t n, struct contact_user **out)
{
	size_t found;

	CK_RC(RC_OK, contact_users_read(
			 t.db, &t.scope, ids, n, &arena, out, &found, &t.err));
	return found;
}

START_TEST(users_come_by_id_with_what_they_may_do_here)
{
	uint64_t ids[4];
	struct contact_user *u;

	ids[0] = users_fixture_add("ann");
	ids[1] = users_fixture_add("bob");
	ids[2] = users_fixture_add("cy");
	ids[3] = ids[2] + 1000;
	db_test_sql("UPDATE wp_usermeta SET meta_key = 'wp_2_capabilities'"
		    " WHERE user_id = %llu",
	    (unsigned long long)ids[1]);
	ck_assert_uint_eq(users(ids, 4, &u), 3);
	ck_assert_uint_eq(u[0].id, ids[0]);
	ck_assert(slice_eq_str(u[0].login, "ann"));
	ck_assert(slice_eq_str(u[0].email, "ann@example.test"));
	ck_assert(slice_eq_str(u[0].display_name, "The ann"));
	ck_assert(slice_eq_str(u[0].nicename, "ann"));
	ck_assert_uint_eq(u[0].url.n, 0);
	ck_assert_int_eq(u[0].registered, 1700000000);
	ck_assert(u[0].member);
	ck_assert(
	    slice_eq_str(u[0].capabilities, "a:1:{s:10:\"subscriber\";b:1;}"));
	/* Of another blog of the network. */
	ck_assert(!u[1].member);
	ck_assert_uint_eq(u[1].capabilities.n, 0);
	ck_assert(u[2].member);
	t.scope.prefix = "wp_2_";
	ck_assert_uint_eq(users(ids, 4, &u), 3);
	ck_assert(!u[0].member);
	ck_assert(u[1].member);
}
END_TEST

START_TEST(no_ids_are_no_users)
{
	const uint64_t gone = 77;
	struct contact_user *u;

	ck_assert_uint_eq(users(NULL, 0, &u), 0);
	ck_assert_uint_eq(users(&gone, 1, &u), 0);
}
END_TEST

START_TEST(the_first_of_several_capabilities_counts)
{
	const uint64_t id = users_fixture_add("ann");
	struct contact_user *u;

	(void)users_fixture_meta(id, "WP_Capabilities", "another key");
	(void)users_fixture_meta(id, "wp_capabilities", "second");
	db_test_sql("UPDATE wp_usermeta SET umeta_id = umeta_id + 100"
		    " WHERE meta_value LIKE 'a:1:%%'");
	ck_assert_uint_eq(users(&id, 1, &u), 1);
	ck_assert(slice_eq_str(u[0].capabilities, "second"));
}
END_TEST

START_TEST(a_user_without_a_date_has_none)
{
	const uint64_t id = users_fixture_add("ann");
	struct contact_user *u;

	db_test_sql("UPDATE wp_users SET user_registered = 0");
	ck_assert_uint_eq(users(&id, 1, &u), 1);
	ck_assert_int_eq(u[0].registered, INT64_MIN);
}
END_TEST

START_TEST(more_than_a_chunk_of_users_is_read)
{
	uint64_t ids[1234];
	struct contact_user *u;

	db_test_sql("DROP TABLE wp_users, wp_usermeta");
	users_fixture_many(1200);
	for (size_t i = 0; i < NELEMS(ids); i++)
		ids[i] = i + 1;
	ck_assert_uint_eq(users(ids, NELEMS(ids), &u), 1200);
	for (size_t i = 0; i < 1200; i++) {
		ck_assert_uint_eq(u[i].id, i + 1);
		ck_assert(u[i].member);
	}
}
END_TEST

static const struct {
	const char *who, *login;
} finds[] = {
	{ "ann@example.test", "ann" }, { "ANN@example.test", "ann" },
	{ "ann", "ann" }, { "nobody", NULL }, { "", NULL },
	{ "' OR 1=1 -- ", NULL }, { "99999999999999999999999", NULL },
	{ "1234", "1234" }, /* a login of digits, but no id */
};

START_TEST(a_user_is_found_by_address_login_or_id)
{
	struct contact_user u;

	(void)users_fixture_add("ann");
	(void)users_fixture_add("1234");
	(void)users_fixture_add("zoe");
	CK_RC(finds[_i].login ? RC_OK : RC_NONE,
	    contact_user_find(
		t.db, &t.scope, slice_str(finds[_i].who), &arena, &u, &t.err));
	if (finds[_i].login)
		ck_assert(slice_eq_str(u.login, finds[_i].login));
}
END_TEST

START_TEST(an_id_goes_before_a_login)
{
	const uint64_t first = users_fixture_add("ann");
	struct contact_user u;
	char who[24];

	snprintf(who, sizeof who, "%llu", (unsigned long long)first);
	(void)users_fixture_add(who);
	CK_RC(RC_OK, contact_user_find(
			 t.db, &t.scope, slice_str(who), &arena, &u, &t.err));
	ck_assert_uint_eq(u.id, first);
}
END_TEST

/* ---- usermeta ---- */

START_TEST(rows_come_by_user_and_the_first_of_a_key_counts)
{
	const struct slice keys[] = { SLICE_LIT("last_name"),
		SLICE_LIT("first_name") };
	const uint64_t ids[] = { 3, 5 };
	struct contact_meta *m;
	size_t n;

	(void)users_fixture_meta(5, "first_name", "Ann");
	(void)users_fixture_meta(5, "first_name", "Anna");
	(void)users_fixture_meta(5, "First_Name", "another key");
	(void)users_fixture_meta(3, "last_name", "Brown");
	(void)users_fixture_meta(3, "nickname", "b");
	(void)users_fixture_meta(4, "last_name", "Smith");
	db_test_sql("INSERT INTO wp_usermeta (user_id, meta_key, meta_value)"
		    " VALUES (3, 'first_name', NULL)");
	CK_RC(RC_OK, contact_meta_read(t.db, &t.scope, ids, 2, keys, 2, &arena,
			 &m, &n, &t.err));
	ck_assert_uint_eq(n, 3);
	ck_assert_uint_eq(m[0].user_id, 3);
	ck_assert(slice_eq_str(m[0].key, "first_name"));
	ck_assert_uint_eq(m[0].value.n, 0);
	ck_assert(slice_eq_str(m[1].value, "Brown"));
	ck_assert_uint_eq(m[2].user_id, 5);
	ck_assert(slice_eq_str(m[2].value, "Ann"));
	CK_RC(RC_OK, contact_meta_read(t.db, &t.scope, ids, 2, keys, 0, &arena,
			 &m, &n, &t.err));
	ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(thousands_of_rows_of_many_users_are_read)
{
	const struct slice keys[] = { SLICE_LIT("nickname"),
		SLICE_LIT("np_reader"), SLICE_LIT("nobody_has_it") };
	uint64_t ids[700];
	struct contact_meta *m;
	size_t n;

	db_test_sql("DROP TABLE wp_users, wp_usermeta");
	users_fixture_many(1000);
	for (size_t i = 0; i < NELEMS(ids); i++)
		ids[i] = i + 100;
	CK_RC(RC_OK, contact_meta_read(t.db, &t.scope, ids, NELEMS(ids), keys,
			 NELEMS(keys), &arena, &m, &n, &t.err));
	ck_assert_uint_eq(n, 1400);
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(m[i].user_id, 100 + i / 2);
}
END_TEST

Suite *
contacts_users_suite(void)
{
	Suite *s = suite_create("contacts_users");
	TCase *tc = tcase_create("readers");

	tcase_add_checked_fixture(tc, open_tables, close_tables);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, users_come_by_id_with_what_they_may_do_here);
	tcase_add_test(tc, no_ids_are_no_users);
	tcase_add_test(tc, the_first_of_several_capabilities_counts);
	tcase_add_test(tc, a_user_without_a_date_has_none);
	tcase_add_test(tc, more_than_a_chunk_of_users_is_read);
	tcase_add_loop_test(
	    tc, a_user_is_found_by_address_login_or_id, 0, NELEMS(finds));
	tcase_add_test(tc, an_id_goes_before_a_login);
	tcase_add_test(tc, rows_come_by_user_and_the_first_of_a_key_counts);
	tcase_add_test(tc, thousands_of_rows_of_many_users_are_read);
	suite_add_tcase(s, tc);
	return s;
}
