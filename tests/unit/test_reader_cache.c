#include <check.h>
#include <stdio.h>

#include "engine/reader_cache.h"

Suite *reader_cache_suite(void);

#define NOW ((int64_t)1700000000)
#define MANY 20000

static struct reader_cache *c;

static void
setup(void)
{
	c = reader_cache_new(1000);
}

static void
teardown(void)
{
	reader_cache_free(c);
}

static struct reader_key
key(const char *value)
{
	struct reader_key k;

	reader_key_of(0, 1, slice_str(value), &k);
	return k;
}

static struct reader_key
numbered(unsigned n)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "cookie %u", n);
	return key(text);
}

static void
prove(const struct reader_key *k, uint64_t user_id, int64_t rests_till,
    bool staged)
{
	reader_cache_proven(c, k,
	    &(struct reader_found){ .user_id = user_id,
		.expires = NOW + 86400,
		.rests_till = rests_till,
		.staged = staged });
}

START_TEST(a_staged_reader_rests_for_exactly_the_window)
{
	struct reader_key k = key("jane");

	ck_assert_int_eq(reader_cache_state(c, &k, NOW), READER_UNKNOWN);
	prove(&k, 7, NOW + 300, true);
	ck_assert_int_eq(reader_cache_state(c, &k, NOW), READER_RESTS);
	ck_assert_int_eq(reader_cache_state(c, &k, NOW + 299), READER_RESTS);
	ck_assert_int_eq(reader_cache_state(c, &k, NOW + 300), READER_PROVEN);
}
END_TEST

START_TEST(another_cookie_of_a_staged_reader_rests_too)
{
	struct reader_key phone = key("phone"), desk = key("desk");

	prove(&phone, 7, NOW + 10, true);
	prove(&desk, 7, NOW + 300, true);
	ck_assert_int_eq(reader_cache_state(c, &phone, NOW + 20), READER_RESTS);
	ck_assert_int_eq(
	    reader_cache_state(c, &phone, NOW + 300), READER_PROVEN);
}
END_TEST

START_TEST(who_is_not_staged_here_keeps_nobody_from_it)
{
	struct reader_key two = key("two"), one = key("one");

	prove(&one, 7, NOW, false);
	prove(&two, 7, NOW + 300, false);
	ck_assert_int_eq(reader_cache_state(c, &one, NOW), READER_PROVEN);
	ck_assert_int_eq(reader_cache_state(c, &two, NOW), READER_RESTS);
}
END_TEST

START_TEST(users_of_two_networks_are_two)
{
	struct reader_key a = key("a"), b = key("b");

	prove(&a, 7, NOW, true);
	reader_cache_proven(c, &b,
	    &(struct reader_found){ .network = 1,
		.user_id = 7,
		.expires = NOW + 86400,
		.rests_till = NOW + 300,
		.staged = true });
	ck_assert_int_eq(reader_cache_state(c, &a, NOW), READER_PROVEN);
}
END_TEST

START_TEST(a_cookie_is_known_on_one_blog)
{
	struct reader_key one, two, other;

	reader_key_of(0, 1, SLICE_LIT("jane"), &one);
	reader_key_of(0, 2, SLICE_LIT("jane"), &two);
	reader_key_of(1, 1, SLICE_LIT("jane"), &other);
	prove(&one, 7, NOW + 300, false);
	ck_assert_int_eq(reader_cache_state(c, &two, NOW), READER_UNKNOWN);
	ck_assert_int_eq(reader_cache_state(c, &other, NOW), READER_UNKNOWN);
}
END_TEST

START_TEST(an_expired_cookie_is_not_proven_any_more)
{
	struct reader_key k = key("jane");

	reader_cache_proven(c, &k,
	    &(struct reader_found){
		.user_id = 7, .expires = NOW + 10, .rests_till = NOW + 5 });
	ck_assert_int_eq(reader_cache_state(c, &k, NOW + 10), READER_PROVEN);
	ck_assert_int_eq(reader_cache_state(c, &k, NOW + 11), READER_UNKNOWN);
}
END_TEST

START_TEST(while_somebody_looks_nobody_else_does)
{
	struct reader_key k = key("jane");

	reader_cache_looking(c, &k, NOW);
	ck_assert_int_eq(reader_cache_state(c, &k, NOW), READER_RESTS);
	ck_assert_int_eq(
	    reader_cache_state(c, &k, NOW + READER_LOOK_S), READER_UNKNOWN);
	reader_cache_looking(c, &k, NOW);
	reader_cache_forget(c, &k);
	ck_assert_int_eq(reader_cache_state(c, &k, NOW), READER_UNKNOWN);
	prove(&k, 7, NOW, false);
	reader_cache_looking(c, &k, NOW);
	ck_assert_int_eq(
	    reader_cache_state(c, &k, NOW + READER_LOOK_S), READER_PROVEN);
}
END_TEST

START_TEST(a_clock_set_back_keeps_nobody)
{
	struct reader_key k = key("jane");

	prove(&k, 7, NOW + 300, true);
	ck_assert_int_eq(reader_cache_state(c, &k, NOW - 1), READER_PROVEN);
}
END_TEST

START_TEST(it_stays_of_its_size_and_keeps_who_asks)
{
	struct reader_key busy = key("busy"), k;
	unsigned kept = 0;

	prove(&busy, 1, NOW + 300, false);
	for (unsigned i = 0; i < MANY; i++) {
		k = numbered(i);
		reader_cache_looking(c, &k, NOW);
		if (i % 50 == 0)
			ck_assert_int_eq(
			    reader_cache_state(c, &busy, NOW), READER_RESTS);
	}
	for (unsigned i = 0; i < MANY; i++) {
		k = numbered(i);
		kept += reader_cache_state(c, &k, NOW) == READER_RESTS;
	}
	ck_assert_uint_le(kept, 1008);
	ck_assert_uint_ge(kept, 900);
}
END_TEST

Suite *
reader_cache_suite(void)
{
	Suite *s = suite_create("reader_cache");
	TCase *t = tcase_create("reader_cache");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_staged_reader_rests_for_exactly_the_window);
	tcase_add_test(t, another_cookie_of_a_staged_reader_rests_too);
	tcase_add_test(t, who_is_not_staged_here_keeps_nobody_from_it);
	tcase_add_test(t, users_of_two_networks_are_two);
	tcase_add_test(t, a_cookie_is_known_on_one_blog);
	tcase_add_test(t, an_expired_cookie_is_not_proven_any_more);
	tcase_add_test(t, while_somebody_looks_nobody_else_does);
	tcase_add_test(t, a_clock_set_back_keeps_nobody);
	tcase_add_test(t, it_stays_of_its_size_and_keeps_who_asks);
	suite_add_tcase(s, t);
	return s;
}
