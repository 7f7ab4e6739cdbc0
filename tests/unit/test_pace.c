#include "engine/pace.h"

#include <check.h>
#include <stdio.h>

Suite *pace_suite(void);

START_TEST(a_hook_that_never_ran_is_unknown)
{
	struct pace p = { .n = 0 };

	ck_assert_int_eq(pace_p95(&p, SLICE_LIT("h")), -1);
	pace_note(&p, SLICE_LIT("h2"), 5);
	ck_assert_int_eq(pace_p95(&p, SLICE_LIT("h")), -1);
	ck_assert_int_eq(pace_p95(&p, SLICE_LIT("h2")), 5);
	pace_clear(&p);
}
END_TEST

START_TEST(one_slow_run_of_twenty_is_within_the_percentile)
{
	struct pace p = { .n = 0 };

	for (int i = 0; i < PACE_SAMPLES - 1; i++)
		pace_note(&p, SLICE_LIT("h"), 10);
	pace_note(&p, SLICE_LIT("h"), 9000);
	ck_assert_int_eq(pace_p95(&p, SLICE_LIT("h")), 10);
	pace_note(&p, SLICE_LIT("h"), 9000);
	ck_assert_int_eq(pace_p95(&p, SLICE_LIT("h")), 9000);
	pace_clear(&p);
}
END_TEST

START_TEST(only_the_last_runs_count)
{
	struct pace p = { .n = 0 };

	for (int i = 0; i < PACE_SAMPLES; i++)
		pace_note(&p, SLICE_LIT("h"), 9000);
	for (int i = 0; i < PACE_SAMPLES; i++)
		pace_note(&p, SLICE_LIT("h"), 3);
	ck_assert_int_eq(pace_p95(&p, SLICE_LIT("h")), 3);
	pace_clear(&p);
}
END_TEST

START_TEST(hooks_beyond_the_limit_push_out_the_one_noted_longest_ago)
{
	struct pace p = { .n = 0 };
	char name[32];

	for (int i = 0; i <= PACE_HOOKS_MAX; i++) {
		(void)snprintf(name, sizeof name, "hook %d", i);
		pace_note(&p, slice_str(name), i);
	}
	ck_assert_uint_eq(p.n, PACE_HOOKS_MAX);
	ck_assert_int_eq(pace_p95(&p, SLICE_LIT("hook 0")), -1);
	ck_assert_int_eq(pace_p95(&p, SLICE_LIT("hook 1")), 1);
	ck_assert_int_eq(pace_p95(&p, slice_str(name)), PACE_HOOKS_MAX);
	pace_clear(&p);
}
END_TEST

START_TEST(names_are_compared_byte_by_byte)
{
	struct pace p = { .n = 0 };

	pace_note(&p, slice_mem("a\0b", 3), 1);
	pace_note(&p, slice_mem("a\0c", 3), 2);
	pace_note(&p, SLICE_LIT("a"), 3);
	ck_assert_int_eq(pace_p95(&p, slice_mem("a\0b", 3)), 1);
	ck_assert_int_eq(pace_p95(&p, slice_mem("a\0c", 3)), 2);
	ck_assert_int_eq(pace_p95(&p, SLICE_LIT("a")), 3);
	pace_clear(&p);
}
END_TEST

Suite *
pace_suite(void)
{
	Suite *s = suite_create("pace");
	TCase *tc = tcase_create("hooks");

	tcase_add_test(tc, a_hook_that_never_ran_is_unknown);
	tcase_add_test(tc, one_slow_run_of_twenty_is_within_the_percentile);
	tcase_add_test(tc, only_the_last_runs_count);
	tcase_add_test(
	    tc, hooks_beyond_the_limit_push_out_the_one_noted_longest_ago);
	tcase_add_test(tc, names_are_compared_byte_by_byte);
	suite_add_tcase(s, tc);
	return s;
}
