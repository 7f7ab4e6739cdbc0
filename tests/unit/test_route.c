#include "base/job.h"
#include "base/route.h"

#include <check.h>

START_TEST(only_php_is_in_the_php_lane)
{
	ck_assert_int_eq(executor_lane(EXECUTOR_PHP), LANE_PHP);
	ck_assert_int_eq(executor_lane(EXECUTOR_WEBHOOK), LANE_NATIVE);
	ck_assert_int_eq(executor_lane(EXECUTOR_QUEUE), LANE_NATIVE);
}
END_TEST

START_TEST(executors_and_outcomes_have_names)
{
	ck_assert_str_eq(executor_name(EXECUTOR_PHP), "php");
	ck_assert_str_eq(executor_name(EXECUTOR_WEBHOOK), "webhook");
	ck_assert_str_eq(executor_name(EXECUTOR_QUEUE), "queue");
	ck_assert_str_eq(outcome_name(OUTCOME_DONE), "done");
	ck_assert_str_eq(outcome_name(OUTCOME_RETRY), "retry");
	ck_assert_str_eq(outcome_name(OUTCOME_FAILED), "failed");
	ck_assert_str_eq(outcome_name(OUTCOME_RELEASED), "released");
	ck_assert_str_eq(outcome_name(OUTCOME_LOST), "lost");
	ck_assert_str_eq(outcome_name(OUTCOME_SETTLED), "settled");
	ck_assert_str_eq(outcome_name(OUTCOME_DIED), "died");
}
END_TEST

Suite *route_suite(void);
Suite *
route_suite(void)
{
	Suite *s = suite_create("route");
	TCase *tc = tcase_create("route");

	tcase_add_test(tc, only_php_is_in_the_php_lane);
	tcase_add_test(tc, executors_and_outcomes_have_names);
	suite_add_tcase(s, tc);
	return s;
}
