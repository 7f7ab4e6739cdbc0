/* Rescue and time-outs in the actions queue, on tables of every schema
 * version. */
#include "actions_fixture.h"
#include "sql/nodes.h"

Suite *actions_rescue_suite(void);

START_TEST(rescue_resets_what_waited_and_fails_what_ran)
{
	struct claim_result res;
	struct actions *other;
	uint64_t id;
	struct job *j;

	fx_open(_i);
	fx_row("a", 20, "[]", INTERVAL);
	fx_row("b", 10, "[]", SIMPLE);
	j = fx_claim_native(2, &res);
	fx_start(j);
	other = fx_queue(t.db, &id);
	ck_assert_uint_eq(fx_rescue(other), 0);
	CK_RC(RC_OK, node_remove(t.db, &t.scope, fx.node, &t.err));
	ck_assert_uint_eq(fx_rescue(other), 2);
	fx_is_status(j->id, "failed");
	ck_assert_uint_eq(1, fx_logged(j->id, "%%owner died%%"));
	fx_is_status(j->next->id, "pending");
	ck_assert_uint_eq(1, fx_logged(j->next->id, "action reset"));
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM " A
			   " WHERE hook = 'a' AND status = 'pending'"));
	ck_assert_uint_eq(fx_rescue(other), 0);
	/* The dead one wakes up: its words count for nothing. */
	CK_RC(RC_OK, fx_settle(j, OUTCOME_DONE, ""));
	fx_is_status(j->id, "failed");
	actions_free(other);
	fx_claims_free(&res);
}
END_TEST

START_TEST(rescue_waits_for_php_until_its_deadline)
{
	struct claim_result res;
	struct actions *other;
	uint64_t id;
	struct job *j;

	fx_open(_i);
	fx_row("php_a", 20, "[]", SIMPLE);
	fx_row("php_b", 10, "[]", SIMPLE);
	CK_RC(RC_OK, fx_claim(fx.q, t.db, 0, 2, &res));
	j = res.jobs[LANE_PHP];
	ck_assert_uint_gt(j->sql_own.n, 0);
	db_test_sql("%.*s", SLICE_FMT(j->sql_start));
	fx_is_status(j->id, "in-progress");
	other = fx_queue(t.db, &id);
	CK_RC(RC_OK, node_remove(t.db, &t.scope, fx.node, &t.err));
	/* Fresh rows might be about to be started by an orphan. */
	ck_assert_uint_eq(fx_rescue(other), 0);
	db_test_sql("UPDATE " A " SET last_attempt_gmt = last_attempt_gmt -"
		    " INTERVAL 10 SECOND");
	ck_assert_uint_eq(fx_rescue(other), 1);
	fx_is_status(j->id, "in-progress");
	fx_is_status(j->next->id, "pending");
	db_test_sql("UPDATE wp_wpcron_claims SET deadline = UTC_TIMESTAMP(6)");
	ck_assert_uint_eq(fx_rescue(other), 1);
	fx_is_status(j->id, "failed");
	actions_free(other);
	fx_claims_free(&res);
}
END_TEST

START_TEST(an_orphan_php_worker_and_a_rescuer_never_both_have_a_row)
{
	struct claim_result res;
	struct actions *other;
	uint64_t id;
	struct job *j;

	fx_open(_i);
	fx_row("php_a", 20, "[]", SIMPLE);
	CK_RC(RC_OK, fx_claim(fx.q, t.db, 0, 2, &res));
	j = res.jobs[LANE_PHP];
	db_test_sql("UPDATE " A " SET last_attempt_gmt = last_attempt_gmt -"
		    " INTERVAL 10 SECOND");
	other = fx_queue(t.db, &id);
	CK_RC(RC_OK, node_remove(t.db, &t.scope, fx.node, &t.err));
	ck_assert_uint_eq(fx_rescue(other), 1);
	/* What worker.php runs before the job finds nothing to change. */
	db_test_sql("%.*s", SLICE_FMT(j->sql_own));
	ck_assert_uint_eq(0, db_test_u64("SELECT ROW_COUNT()"));
	actions_free(other);
	fx_claims_free(&res);
}
END_TEST

START_TEST(a_claim_no_worker_knows_of_is_taken_back)
{
	const uint64_t *none = NULL;
	struct rescue_request req = { .policy = fx_policy_of, .live = none };
	struct claim_result res;
	uint64_t live;
	size_t n;

	fx_open(_i);
	fx_row("a", 20, "[]", SIMPLE);
	live = fx_claim_native(1, &res)->claim->id;
	db_test_sql("UPDATE wp_wpcron_claims SET claimed_at = claimed_at -"
		    " INTERVAL 1 MINUTE");
	req.live = &live;
	req.nlive = 1;
	CK_RC(RC_OK,
	    actions_ops.rescue(actions_queue(fx.q), t.db, &req, &n, &t.err));
	ck_assert_uint_eq(n, 0);
	req.nlive = 0;
	CK_RC(RC_OK,
	    actions_ops.rescue(actions_queue(fx.q), t.db, &req, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM " A
			   " WHERE claim_id = 0 AND status = 'pending'"));
	fx_claims_free(&res);
}
END_TEST

START_TEST(what_runs_under_a_claim_that_is_gone_is_timed_out)
{
	const struct actions_export x = { .known = true,
		.timeout_s = 300,
		.failure_s = 300,
		.retention_s = -1 };
	uint64_t gone, none, fresh;
	size_t n;

	fx_open(_i);
	gone = fx_row("a", 20, "[]", SIMPLE);
	none = fx_row("a", 20, "[]", SIMPLE);
	fresh = fx_row("a", 20, "[]", SIMPLE);
	db_test_sql("UPDATE " A " SET status = 'in-progress',"
		    " last_attempt_gmt = UTC_TIMESTAMP() - INTERVAL 601 SECOND,"
		    " claim_id = IF(action_id = %llu, 0, 4711)",
	    (unsigned long long)none);
	db_test_sql("UPDATE " A " SET last_attempt_gmt = UTC_TIMESTAMP()"
		    " WHERE action_id = %llu",
	    (unsigned long long)fresh);
	actions_set_export(fx.q, &x);
	CK_RC(RC_OK, actions_clean(fx.q, t.db, &n, &t.err));
	ck_assert_uint_eq(n, 2);
	fx_is_status(gone, "failed");
	fx_is_status(none, "failed");
	fx_is_status(fresh, "in-progress");
	ck_assert_uint_eq(
	    1, fx_logged(gone, "action marked as failed after%%"));
}
END_TEST

START_TEST(a_node_taken_for_dead_keeps_what_its_workers_hold)
{
	struct rescue_request req = { .policy = fx_policy_of };
	struct claim_result res;
	struct actions *other;
	uint64_t live, id;
	struct job *j;
	size_t n;

	fx_open(_i);
	fx_row("a", 20, "[]", SIMPLE);
	j = fx_claim_native(1, &res);
	live = j->claim->id;
	fx_start(j);
	CK_RC(RC_OK, node_remove(t.db, &t.scope, fx.node, &t.err));
	req.live = &live;
	req.nlive = 1;
	CK_RC(RC_OK,
	    actions_ops.rescue(actions_queue(fx.q), t.db, &req, &n, &t.err));
	ck_assert_uint_eq(n, 0);
	CK_RC(RC_OK, node_register(t.db, &t.scope, "h", 1, "t", &id, &t.err));
	actions_set_node(fx.q, id);
	CK_RC(RC_OK, actions_adopt(fx.q, t.db, &live, 1, &t.err));
	other = fx_queue(t.db, &id);
	ck_assert_uint_eq(fx_rescue(other), 0);
	CK_RC(RC_OK, fx_settle(j, OUTCOME_DONE, ""));
	fx_is_status(j->id, "complete");
	actions_free(other);
	fx_claims_free(&res);
}
END_TEST

START_TEST(a_claim_that_cannot_be_taken_back_does_not_keep_the_others)
{
	struct claim_result a, b;
	const struct rescue_request req = { .policy = fx_policy_of };
	struct actions *other;
	uint64_t id;
	size_t n;

	fx_open(_i);
	fx_row("bad", 20, "[]", SIMPLE);
	fx_claim_native(1, &a);
	fx_row("good", 10, "[]", SIMPLE);
	fx_claim_native(1, &b);
	db_test_sql("CREATE TRIGGER no_bad BEFORE UPDATE ON " A " FOR EACH ROW"
		    " BEGIN IF NEW.hook = 'bad' THEN SIGNAL SQLSTATE '45000';"
		    " END IF; END");
	other = fx_queue(t.db, &id);
	CK_RC(RC_OK, node_remove(t.db, &t.scope, fx.node, &t.err));
	CK_RC(RC_REJECT,
	    actions_ops.rescue(actions_queue(other), t.db, &req, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM " A
			   " WHERE hook = 'good' AND claim_id = 0"));
	actions_free(other);
	fx_claims_free(&a);
	fx_claims_free(&b);
}
END_TEST

Suite *
actions_rescue_suite(void)
{
	Suite *s = suite_create("actions_rescue");
	TCase *tc = fx_case();
	const int from = FX_FIRST_SCHEMA, to = FX_LAST_SCHEMA + 1;

	tcase_add_loop_test(
	    tc, rescue_resets_what_waited_and_fails_what_ran, from, to);
	tcase_add_loop_test(tc, rescue_waits_for_php_until_its_deadline, 7, 8);
	tcase_add_loop_test(
	    tc, an_orphan_php_worker_and_a_rescuer_never_both_have_a_row, 7, 8);
	tcase_add_loop_test(tc, a_claim_no_worker_knows_of_is_taken_back, 7, 8);
	tcase_add_loop_test(
	    tc, what_runs_under_a_claim_that_is_gone_is_timed_out, from, to);
	tcase_add_loop_test(
	    tc, a_node_taken_for_dead_keeps_what_its_workers_hold, 7, 8);
	tcase_add_loop_test(tc,
	    a_claim_that_cannot_be_taken_back_does_not_keep_the_others, 7, 8);
	suite_add_tcase(s, tc);
	return s;
}
