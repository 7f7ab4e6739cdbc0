/*
 * Taking cron events: from the option into the table in one write, whatever
 * they are, and nothing else of the option changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "cron_fixture.h"

Suite *cron_take_suite(void);

/* ---- what leaves the option, and what stays ---- */

START_TEST(a_due_one_shot_moves_to_the_table_and_is_claimed)
{
	struct claim_result res;
	struct job *j;

	cx_open();
	cx_add(CX_NOW - 10, "one", "a:1:{i:0;s:2:\"\xc3\xa9\";}", "", 0);
	cx_add(CX_NOW + 60, "later", NO_ARGS, "", 0);
	ck_assert_int_eq(cx_next_due(), CX_NOW - 9);
	j = cx_claim_one(&res);
	ck_assert_int_eq(j->kind, JOB_EVENT);
	ck_assert_int_eq(j->due, CX_NOW - 10);
	ck_assert(slice_eq_str(j->hook, "one"));
	ck_assert(slice_eq_str(j->event_args, "a:1:{i:0;s:2:\"\xc3\xa9\";}"));
	ck_assert(slice_eq_str(j->args, "[\"\\u00e9\"]"));
	ck_assert(slice_eq_str(j->recurrence, ""));
	ck_assert(!cx_in_option(CX_NOW - 10, "one"));
	ck_assert(cx_in_option(CX_NOW + 60, "later"));
	ck_assert_uint_eq(cx_rows("taken", "one"), 1);
	ck_assert_int_eq(cx_next_due(), CX_NOW + 61);
	cx_start(&res, LANE_NATIVE);
	ck_assert_uint_eq(cx_rows("running", "one"), 1);
	CK_RC(RC_OK, cx_settle(j, OUTCOME_DONE, ""));
	ck_assert_uint_eq(cx_rows("done", "one"), 1);
	cx_claims_free(&res);
}
END_TEST

START_TEST(php_jobs_carry_their_statements)
{
	struct claim_result res;
	struct job *j;

	cx_open();
	cx_add(CX_NOW - 10, "php_a", NO_ARGS, "", 0);
	cx_add(CX_NOW - 9, "php_b", NO_ARGS, "", 0);
	CK_RC(RC_OK, cx_claim(0, 5, &res));
	ck_assert_uint_eq(res.njobs[LANE_PHP], 2);
	j = res.jobs[LANE_PHP];
	ck_assert(slice_eq_str(j->hook, "php_a"));
	ck_assert(slice_eq_str(j->next->hook, "php_b"));
	ck_assert(j->sql_start.n > 0 && j->sql_running.n > 0);
	ck_assert_uint_eq(res.claims[LANE_PHP]->php_lock.n, 0);
	db_test_sql("%.*s", SLICE_FMT(j->sql_start));
	ck_assert_uint_eq(db_test_u64("%.*s", SLICE_FMT(j->sql_running)), 1);
	ck_assert_uint_eq(cx_rows("running", "php_a"), 1);
	cx_claims_free(&res);
}
END_TEST

Suite *
cron_take_suite(void)
{
	Suite *s = suite_create("cron_take");
	TCase *tc = cx_case();

	tcase_add_test(tc, a_due_one_shot_moves_to_the_table_and_is_claimed);
	tcase_add_test(tc, php_jobs_carry_their_statements);
	suite_add_tcase(s, tc);
	return s;
}
