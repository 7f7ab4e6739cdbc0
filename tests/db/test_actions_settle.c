/* Starting and settling rows of the actions queue, on tables of every schema
 * version. */
#include "actions_fixture.h"

Suite *actions_settle_suite(void);

START_TEST(start_skips_what_was_canceled_meanwhile)
{
	struct claim_result res;
	struct job *jobs[2];

	fx_open(_i);
	fx_row("a", 20, "[]", SIMPLE);
	fx_row("a", 10, "[]", SIMPLE);
	jobs[0] = fx_claim_native(2, &res);
	jobs[1] = jobs[0]->next;
	db_test_sql("UPDATE " A " SET status = 'canceled' WHERE action_id ="
		    " %llu",
	    (unsigned long long)jobs[1]->id);
	CK_RC(RC_OK,
	    actions_ops.start(actions_queue(fx.q), t.db, jobs, 2, &t.err));
	ck_assert(jobs[0]->started);
	ck_assert(!jobs[1]->started);
	fx_is_status(jobs[0]->id, "in-progress");
	fx_is_status(jobs[1]->id, "canceled");
	ck_assert_uint_eq(
	    1, fx_logged(jobs[0]->id, "action started via WP Cron FCGI"));
	ck_assert_uint_eq(0, fx_logged(jobs[1]->id, "%%started%%"));
	fx_claims_free(&res);
}
END_TEST

START_TEST(start_leaves_a_row_that_an_administrator_runs)
{
	struct claim_result res;
	struct job *jobs[2];

	fx_open(_i);
	fx_row("a", 20, "[]", SIMPLE);
	fx_row("a", 10, "[]", SIMPLE);
	jobs[0] = fx_claim_native(2, &res);
	jobs[1] = jobs[0]->next;
	/* PHP's "Run" looks at the status only; the claim stays. */
	db_test_sql("UPDATE " A " SET status = 'in-progress', attempts = 1"
		    " WHERE action_id = %llu",
	    (unsigned long long)jobs[1]->id);
	CK_RC(RC_OK,
	    actions_ops.start(actions_queue(fx.q), t.db, jobs, 2, &t.err));
	ck_assert(jobs[0]->started);
	ck_assert(!jobs[1]->started);
	ck_assert_uint_eq(2, db_test_u64("SELECT SUM(attempts) FROM " A));
	ck_assert_uint_eq(0, fx_logged(jobs[1]->id, "%%started%%"));
	fx_claims_free(&res);
}
END_TEST

START_TEST(a_start_whose_answer_got_lost_is_recognised)
{
	struct claim_result res;
	struct job *j;

	fx_open(_i);
	fx_row("a", 20, "[]", SIMPLE);
	j = fx_claim_native(1, &res);
	fx_start(j);
	j->start_unknown = j->started_at / 1000000;
	db_test_sql("UPDATE " A " SET last_attempt_gmt ="
		    " TIMESTAMP('1970-01-01') + INTERVAL %lld SECOND",
	    (long long)j->start_unknown);
	fx_start(j);
	ck_assert(j->started);
	ck_assert_uint_eq(1, db_test_u64("SELECT SUM(attempts) FROM " A));
	fx_claims_free(&res);
}
END_TEST

START_TEST(done_writes_the_row_its_log_and_the_end_of_the_claim)
{
	struct claim_result res;
	struct job *j;
	uint64_t id;

	fx_open(_i);
	id = fx_row("a", 20, "[]", SIMPLE);
	if (_i >= 9)
		db_test_sql("UPDATE " A " SET unique_key = 'v1:x'");
	j = fx_claim_native(2, &res);
	fx_start(j);
	CK_RC(RC_OK, fx_settle(j, OUTCOME_DONE, ""));
	fx_is_status(id, "complete");
	ck_assert_uint_eq(1, fx_logged(id, "action complete via WP Cron FCGI"));
	ck_assert_uint_eq(j->claim->left, 0);
	ck_assert_uint_eq(
	    0, db_test_u64("SELECT COUNT(*) FROM wp_actionscheduler_claims"));
	ck_assert_uint_eq(
	    0, db_test_u64("SELECT COUNT(*) FROM wp_wpcron_claims"));
	if (_i >= 9)
		ck_assert_uint_eq(1, db_test_u64("SELECT COUNT(*) FROM " A
						 " WHERE unique_key IS NULL"));
	fx_claims_free(&res);
}
END_TEST

START_TEST(a_series_goes_on_after_success_and_failure)
{
	struct claim_result res;
	struct job *j;

	fx_open(_i);
	fx_row("a", 20, "[7]", INTERVAL);
	fx_row("b", 10, "[8]", INTERVAL);
	j = fx_claim_native(2, &res);
	fx_start(j);
	fx_start(j->next);
	CK_RC(RC_OK, fx_settle(j, OUTCOME_DONE, ""));
	CK_RC(RC_OK, fx_settle(j->next, OUTCOME_FAILED, "no"));
	ck_assert_uint_eq(
	    2, db_test_u64(
		   "SELECT COUNT(*) FROM " A " WHERE status = 'pending' AND "
		   "attempts = 0 AND claim_id = 0 AND"
		   " scheduled_date_gmt BETWEEN UTC_TIMESTAMP() + INTERVAL 890"
		   " SECOND AND UTC_TIMESTAMP() + INTERVAL 901 SECOND"));
	ck_assert_uint_eq(1,
	    db_test_u64(
		"SELECT COUNT(*) FROM " A
		" WHERE status = 'pending' AND hook = 'a' AND args = '[7]'"));
	ck_assert_uint_eq(
	    1, fx_logged(j->next->id, "action failed via WP Cron FCGI: no"));
	fx_claims_free(&res);
}
END_TEST

START_TEST(five_oldest_failed_rows_end_a_series)
{
	struct claim_result res;
	struct job *j;

	fx_open(_i);
	for (int i = 0; i < 4; i++)
		fx_row("a", 1000 + i, "[]", SIMPLE);
	db_test_sql("UPDATE " A " SET status = 'failed'");
	fx_row("a", 20, "[]", INTERVAL);
	j = fx_claim_native(1, &res);
	fx_start(j);
	CK_RC(RC_OK, fx_settle(j, OUTCOME_FAILED, "no"));
	ck_assert_uint_eq(0,
	    db_test_u64("SELECT COUNT(*) FROM " A " WHERE status = 'pending'"));
	ck_assert_uint_eq(1, fx_logged(j->id, "%%consistently failing%%"));
	fx_claims_free(&res);
}
END_TEST

START_TEST(a_failed_try_comes_back_as_a_fresh_row_until_tries_are_used_up)
{
	struct claim_result res;
	uint64_t origin;

	fx_open(_i);
	fx.policy = &fx_patient;
	origin = fx_row("a", 20, "[1]", SIMPLE);
	for (unsigned try = 1; try <= 3; try++) {
		struct job *j = fx_claim_native(1, &res);

		ck_assert_uint_eq(j->try, try);
		ck_assert_uint_eq(j->origin_id, origin);
		fx_start(j);
		CK_RC(RC_OK, fx_settle(j, OUTCOME_RETRY, "later"));
		fx_is_status(j->id, "failed");
		fx_claims_free(&res);
		if (try == 1)
			ck_assert_uint_eq(
			    1, db_test_u64(
				   "SELECT COUNT(*) FROM " A " WHERE status ="
				   " 'pending' AND scheduled_date_gmt BETWEEN"
				   " UTC_TIMESTAMP() + INTERVAL 14 SECOND AND"
				   " UTC_TIMESTAMP() + INTERVAL 38 SECOND"));
		db_test_sql("UPDATE " A " SET scheduled_date_gmt ="
			    " UTC_TIMESTAMP() WHERE status = 'pending'");
	}
	ck_assert_uint_eq(0,
	    db_test_u64("SELECT COUNT(*) FROM " A " WHERE status = 'pending'"));
	ck_assert_uint_eq(
	    2, db_test_u64("SELECT COUNT(*) FROM wp_wpcron_tries"));
	/* Then it is a dead letter, the only one. */
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM wp_wpcron_dead_letters"));
	ck_assert_uint_eq(1,
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_dead_letters WHERE"
			" kind = 'action' AND queue = 'a' AND attempts = 3 AND"
			" reason = 'later' AND source = (SELECT MAX(action_id)"
			" FROM " A ")"));
}
END_TEST

START_TEST(what_may_have_run_is_not_tried_again_unless_idempotent)
{
	struct claim_result res;
	struct job *j;

	fx_open(_i);
	fx_row("a", 20, "[]", SIMPLE);
	j = fx_claim_native(1, &res);
	fx_start(j);
	CK_RC(RC_OK, fx_settle(j, OUTCOME_DIED, "gone"));
	fx_is_status(j->id, "failed");
	ck_assert_uint_eq(0,
	    db_test_u64("SELECT COUNT(*) FROM " A " WHERE status = 'pending'"));
	fx_claims_free(&res);
}
END_TEST

START_TEST(a_job_that_kills_its_executor_twice_is_parked)
{
	struct claim_result res;
	struct job *j;

	fx_open(_i);
	fx.policy = &fx_patient;
	fx_row("a", 20, "[]", SIMPLE);
	for (unsigned strikes = 0; strikes < 2; strikes++) {
		struct outcome o = { .kind = OUTCOME_DIED,
			.strike = true,
			.ended_at = clock_wall(&clock_system) };

		o.job = j = fx_claim_native(1, &res);
		ck_assert_uint_eq(j->strikes, strikes);
		fx_start(j);
		CK_RC(RC_OK, actions_ops.settle(
				 actions_queue(fx.q), t.db, &o, 1, &t.err));
		db_test_sql("UPDATE " A " SET scheduled_date_gmt ="
			    " UTC_TIMESTAMP() WHERE status = 'pending'");
		ck_assert_uint_eq(strikes, fx_logged(j->id, "%%parked%%"));
		fx_claims_free(&res);
	}
	ck_assert_uint_eq(0,
	    db_test_u64("SELECT COUNT(*) FROM " A " WHERE status = 'pending'"));
}
END_TEST

START_TEST(released_rows_are_free_again)
{
	struct claim_result res;
	struct job *j;

	fx_open(_i);
	fx_row("a", 20, "[]", SIMPLE);
	j = fx_claim_native(1, &res);
	CK_RC(RC_OK, fx_settle(j, OUTCOME_RELEASED, ""));
	fx_is_status(j->id, "pending");
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM " A
			   " WHERE claim_id = 0 AND attempts = 0"));
	fx_claims_free(&res);
}
END_TEST

START_TEST(settling_leaves_a_row_that_is_another_owners_now)
{
	struct claim_result res;
	struct job *j;

	fx_open(_i);
	fx_row("a", 20, "[]", SIMPLE);
	j = fx_claim_native(1, &res);
	fx_start(j);
	db_test_sql("UPDATE " A " SET claim_id = 77");
	CK_RC(RC_OK, fx_settle(j, OUTCOME_DONE, ""));
	fx_is_status(j->id, "in-progress");
	ck_assert_uint_eq(0, fx_logged(j->id, "%%complete%%"));
	fx_claims_free(&res);
}
END_TEST

START_TEST(a_bad_row_does_not_keep_the_others_from_being_settled)
{
	struct outcome o[2] = { 0 };
	struct claim_result res;
	struct job *j;

	fx_open(_i);
	fx_row("a", 20, "[]", SIMPLE);
	fx_row("b", 10, "[]", SIMPLE);
	j = fx_claim_native(2, &res);
	fx_start(j);
	fx_start(j->next);
	db_test_sql("CREATE TRIGGER no_b BEFORE UPDATE ON " A " FOR EACH ROW"
		    " BEGIN IF NEW.hook = 'a' AND NEW.status = 'complete' THEN"
		    " SIGNAL SQLSTATE '45000'; END IF; END");
	for (size_t i = 0; i < 2; i++)
		o[i] = (struct outcome){ .job = i ? j->next : j,
			.kind = OUTCOME_DONE,
			.ended_at = clock_wall(&clock_system) };
	CK_RC(
	    RC_OK, actions_ops.settle(actions_queue(fx.q), t.db, o, 2, &t.err));
	fx_is_status(j->id, "in-progress");
	fx_is_status(j->next->id, "complete");
	ck_assert(o[0].settled && o[1].settled);
	/* The claim stays on record, and rescue sees to the bad row. */
	db_test_sql("UPDATE wp_wpcron_claims SET claimed_at = claimed_at -"
		    " INTERVAL 1 MINUTE");
	ck_assert_uint_eq(fx_rescue(fx.q), 1);
	fx_is_status(j->id, "failed");
	ck_assert_uint_eq(
	    0, db_test_u64("SELECT COUNT(*) FROM wp_wpcron_claims"));
	fx_claims_free(&res);
}
END_TEST

START_TEST(a_release_undoes_a_start_whose_answer_got_lost)
{
	struct claim_result res;
	struct job *j;

	fx_open(_i);
	fx_row("a", 20, "[]", SIMPLE);
	fx_row("b", 10, "[]", SIMPLE);
	j = fx_claim_native(2, &res);
	fx_start(j);
	fx_start(j->next);
	j->start_unknown = (int64_t)db_test_u64(
	    "SELECT TIMESTAMPDIFF(SECOND, TIMESTAMP('1970-01-01'),"
	    " last_attempt_gmt) FROM " A " WHERE hook = 'a'");
	CK_RC(RC_OK, fx_settle(j, OUTCOME_RELEASED, ""));
	CK_RC(RC_OK, fx_settle(j->next, OUTCOME_RELEASED, ""));
	fx_is_status(j->id, "pending");
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM " A " WHERE claim_id = 0"));
	/* Somebody else runs this one. */
	fx_is_status(j->next->id, "in-progress");
	fx_claims_free(&res);
}
END_TEST

START_TEST(what_php_did_not_begin_is_free_again_and_what_it_kept_on_record)
{
	struct claim_result res;
	struct job *j;

	fx_open(_i);
	fx_row("php_a", 20, "[]", SIMPLE);
	fx_row("php_b", 10, "[]", SIMPLE);
	CK_RC(RC_OK, fx_claim(fx.q, t.db, 0, 2, &res));
	j = res.jobs[LANE_PHP];
	CK_RC(RC_OK, fx_settle(j, OUTCOME_DIED, "PHP ended"));
	fx_is_status(j->id, "pending");
	db_test_sql("%.*s", SLICE_FMT(j->next->sql_start));
	j->next->started = true;
	CK_RC(RC_OK, fx_settle(j->next, OUTCOME_LOST, "PHP goes on with it"));
	fx_is_status(j->next->id, "in-progress");
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM wp_wpcron_claims"));
	fx_claims_free(&res);
}
END_TEST

Suite *
actions_settle_suite(void)
{
	Suite *s = suite_create("actions_settle");
	TCase *tc = fx_case();
	const int from = FX_FIRST_SCHEMA, to = FX_LAST_SCHEMA + 1;

	tcase_add_loop_test(
	    tc, start_skips_what_was_canceled_meanwhile, from, to);
	tcase_add_loop_test(
	    tc, start_leaves_a_row_that_an_administrator_runs, 7, 8);
	tcase_add_loop_test(
	    tc, a_start_whose_answer_got_lost_is_recognised, 7, 8);
	tcase_add_loop_test(
	    tc, done_writes_the_row_its_log_and_the_end_of_the_claim, from, to);
	tcase_add_loop_test(
	    tc, a_series_goes_on_after_success_and_failure, from, to);
	tcase_add_loop_test(tc, five_oldest_failed_rows_end_a_series, from, to);
	tcase_add_loop_test(tc,
	    a_failed_try_comes_back_as_a_fresh_row_until_tries_are_used_up,
	    from, to);
	tcase_add_loop_test(
	    tc, what_may_have_run_is_not_tried_again_unless_idempotent, 7, 8);
	tcase_add_loop_test(
	    tc, a_job_that_kills_its_executor_twice_is_parked, 7, 8);
	tcase_add_loop_test(tc, released_rows_are_free_again, 7, 8);
	tcase_add_loop_test(
	    tc, settling_leaves_a_row_that_is_another_owners_now, 7, 8);
	tcase_add_loop_test(
	    tc, a_bad_row_does_not_keep_the_others_from_being_settled, 7, 8);
	tcase_add_loop_test(
	    tc, a_release_undoes_a_start_whose_answer_got_lost, 7, 8);
	tcase_add_loop_test(tc,
	    what_php_did_not_begin_is_free_again_and_what_it_kept_on_record, 7,
	    8);
	suite_add_tcase(s, tc);
	return s;
}
