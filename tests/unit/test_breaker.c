#include "executors/breaker.h"

#include "base/macros.h"

#include <check.h>

static void
fail_times(struct breaker *b, mono_ms now, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		breaker_end(b, now, false, BREAKER_FAILED);
}

START_TEST(it_opens_after_failures_in_a_row)
{
	struct breaker b = { 0 };

	fail_times(&b, 1000, BREAKER_FAILURES - 1);
	ck_assert_int_eq(breaker_begin(&b, 1000), BREAKER_GO);
	fail_times(&b, 1000, 1);
	ck_assert_int_eq(breaker_begin(&b, 1000), BREAKER_STOP);
	ck_assert_int_eq(b.open_until, 1000 + BREAKER_OPEN_MIN_MS);
}
END_TEST

START_TEST(a_success_in_between_keeps_it_closed)
{
	struct breaker b = { 0 };

	for (int i = 0; i < 10; i++) {
		fail_times(&b, 0, BREAKER_FAILURES - 1);
		breaker_end(&b, 0, false, BREAKER_OK);
	}
	ck_assert_int_eq(breaker_begin(&b, 0), BREAKER_GO);
}
END_TEST

START_TEST(a_call_that_was_given_up_counts_as_nothing)
{
	struct breaker b = { 0 };

	fail_times(&b, 0, BREAKER_FAILURES - 1);
	breaker_end(&b, 0, false, BREAKER_UNKNOWN);
	ck_assert_uint_eq(b.failures, BREAKER_FAILURES - 1);
	ck_assert_int_eq(breaker_begin(&b, 0), BREAKER_GO);
}
END_TEST

START_TEST(one_call_probes_when_the_time_is_over)
{
	struct breaker b = { 0 };

	fail_times(&b, 0, BREAKER_FAILURES);
	ck_assert_int_eq(
	    breaker_begin(&b, BREAKER_OPEN_MIN_MS - 1), BREAKER_STOP);
	ck_assert_int_eq(breaker_ask(&b, BREAKER_OPEN_MIN_MS), BREAKER_PROBE);
	ck_assert_int_eq(breaker_begin(&b, BREAKER_OPEN_MIN_MS), BREAKER_PROBE);
	ck_assert_int_eq(breaker_begin(&b, BREAKER_OPEN_MIN_MS), BREAKER_WAIT);
	breaker_end(&b, BREAKER_OPEN_MIN_MS, true, BREAKER_OK);
	ck_assert_int_eq(breaker_begin(&b, BREAKER_OPEN_MIN_MS), BREAKER_GO);
}
END_TEST

START_TEST(each_failed_probe_doubles_the_time_up_to_five_minutes)
{
	static const mono_ms want[] = { 5000, 10000, 20000, 40000, 80000,
		160000, 300000, 300000 };
	struct breaker b = { 0 };

	fail_times(&b, 0, BREAKER_FAILURES);
	for (size_t i = 0; i < NELEMS(want); i++) {
		ck_assert_int_eq(b.open_ms, want[i]);
		ck_assert_int_eq(
		    breaker_begin(&b, b.open_until), BREAKER_PROBE);
		breaker_end(&b, b.open_until, true, BREAKER_FAILED);
	}
	ck_assert_int_eq(breaker_begin(&b, b.open_until), BREAKER_PROBE);
	breaker_end(&b, b.open_until, true, BREAKER_OK);
	fail_times(&b, 0, BREAKER_FAILURES);
	ck_assert_int_eq(b.open_ms, BREAKER_OPEN_MIN_MS);
}
END_TEST

START_TEST(stragglers_neither_close_nor_prolong_it)
{
	struct breaker b = { 0 };

	fail_times(&b, 0, BREAKER_FAILURES);
	breaker_end(&b, 1, false, BREAKER_OK);
	fail_times(&b, 1, 20);
	ck_assert_int_eq(b.open_until, BREAKER_OPEN_MIN_MS);
	ck_assert_int_eq(breaker_begin(&b, b.open_until), BREAKER_PROBE);
	breaker_end(&b, b.open_until, false, BREAKER_OK);
	ck_assert_int_eq(breaker_begin(&b, b.open_until), BREAKER_WAIT);
}
END_TEST

START_TEST(the_place_of_a_probe_that_was_given_up_is_free_at_once)
{
	struct breaker b = { 0 };

	fail_times(&b, 0, BREAKER_FAILURES);
	ck_assert_int_eq(breaker_begin(&b, b.open_until), BREAKER_PROBE);
	breaker_end(&b, 7000, true, BREAKER_UNKNOWN);
	ck_assert_int_eq(breaker_begin(&b, 7000), BREAKER_PROBE);
	breaker_end(&b, 7000, true, BREAKER_FAILED);
	ck_assert_int_eq(b.open_ms, 2 * BREAKER_OPEN_MIN_MS);
}
END_TEST

Suite *breaker_suite(void);
Suite *
breaker_suite(void)
{
	Suite *s = suite_create("breaker");
	TCase *tc = tcase_create("breaker");

	tcase_add_test(tc, it_opens_after_failures_in_a_row);
	tcase_add_test(tc, a_success_in_between_keeps_it_closed);
	tcase_add_test(tc, a_call_that_was_given_up_counts_as_nothing);
	tcase_add_test(tc, one_call_probes_when_the_time_is_over);
	tcase_add_test(
	    tc, each_failed_probe_doubles_the_time_up_to_five_minutes);
	tcase_add_test(tc, stragglers_neither_close_nor_prolong_it);
	tcase_add_test(
	    tc, the_place_of_a_probe_that_was_given_up_is_free_at_once);
	suite_add_tcase(s, tc);
	return s;
}
