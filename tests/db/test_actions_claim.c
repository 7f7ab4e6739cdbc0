/* Claiming from the actions queue, on tables of every schema version. */
#include "actions_fixture.h"
#include "base/macros.h"

Suite *actions_claim_suite(void);

START_TEST(claim_goes_by_priority_then_date_then_id)
{
	uint64_t late, soon, urgent;
	struct claim_result res;
	struct job *j;

	fx_open(_i);
	late = fx_row("a", 10, "[]", SIMPLE);
	soon = fx_row("a", 20, "[]", SIMPLE);
	urgent = fx_row("a", 5, "[]", SIMPLE);
	if (_i >= 7)
		db_test_sql("UPDATE " A " SET priority = 3 WHERE action_id ="
			    " %llu",
		    (unsigned long long)urgent);
	j = fx_claim_native(10, &res);
	ck_assert_uint_eq(res.njobs[LANE_NATIVE], 3);
	ck_assert_uint_eq(j->id, _i >= 7 ? urgent : soon);
	ck_assert_uint_eq(j->next->id, _i >= 7 ? soon : late);
	ck_assert(!res.more);
	ck_assert_uint_eq(
	    3, db_test_u64("SELECT COUNT(*) FROM " A " WHERE claim_id = %llu",
		   (unsigned long long)j->claim->id));
	ck_assert_uint_eq(1,
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_claims WHERE "
			"claim_id = %llu AND"
			" node_id = %llu",
		(unsigned long long)j->claim->id, (unsigned long long)fx.node));
	fx_claims_free(&res);
}
END_TEST

START_TEST(claim_leaves_what_is_not_due_or_not_free)
{
	struct claim_result res;
	uint64_t id;

	fx_open(_i);
	fx_row("a", -100, "[]", SIMPLE);
	id = fx_row("a", 5, "[]", SIMPLE);
	db_test_sql("UPDATE " A " SET claim_id = 99 WHERE action_id = %llu",
	    (unsigned long long)id);
	id = fx_row("a", 5, "[]", SIMPLE);
	db_test_sql("UPDATE " A " SET status = 'canceled' WHERE action_id ="
		    " %llu",
	    (unsigned long long)id);
	id = fx_row("a", 5, "[]", SIMPLE);
	db_test_sql("UPDATE " A " SET scheduled_date_gmt = NULL WHERE"
		    " action_id = %llu",
	    (unsigned long long)id);
	CK_RC(RC_NONE, fx_claim(fx.q, t.db, 10, 10, &res));
	ck_assert_uint_eq(
	    0, db_test_u64("SELECT COUNT(*) FROM wp_actionscheduler_claims"));
}
END_TEST

START_TEST(claim_reaches_what_stands_behind_rows_nobody_may_run)
{
	struct claim_result res;
	uint64_t id;
	int64_t due;

	fx_open(_i);
	fx_rows(12000, "paused_x", 100);
	fx_rows(700, "php_x", 50);
	id = fx_row("a", 5, "[]", SIMPLE);
	CK_RC(RC_OK, fx_claim_on(10, 0, &res));
	ck_assert_uint_eq(res.jobs[LANE_NATIVE]->id, id);
	fx_claims_free(&res);
	/* Nothing is left for the native lane, and its cursor knows. */
	CK_RC(RC_NONE, fx_claim(fx.q, t.db, 10, 0, &res));
	CK_RC(RC_OK, fx_claim_on(0, 10, &res));
	ck_assert_uint_eq(res.njobs[LANE_PHP], 10);
	ck_assert(res.more);
	CK_RC(RC_OK,
	    actions_ops.next_due(actions_queue(fx.q), t.db, &due, &t.err));
	fx_claims_free(&res);
}
END_TEST

START_TEST(a_lane_without_room_is_asked_whether_work_waits)
{
	struct claim_request req = {
		.room = { 5, 0 }, .ask = { false, true }, .admit = fx_admit
	};
	struct claim_result res;

	fx_open(_i);
	fx_row("a", 10, "[]", SIMPLE);
	CK_RC(RC_OK,
	    actions_ops.claim(actions_queue(fx.q), t.db, &req, &res, &t.err));
	ck_assert(!res.more);
	fx_claims_free(&res);
	fx_row("php_a", 10, "[]", SIMPLE);
	CK_RC(RC_NONE,
	    actions_ops.claim(actions_queue(fx.q), t.db, &req, &res, &t.err));
	ck_assert(res.more);
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM " A
			   " WHERE hook = 'php_a' AND claim_id = 0"));
}
END_TEST

START_TEST(free_workers_share_what_is_due)
{
	struct claim_request req = {
		.room = { 0, 100 }, .share = { 1, 2 }, .admit = fx_admit
	};
	struct claim_result res;

	fx_open(_i);
	fx_rows(31, "php_a", 10);
	CK_RC(RC_OK,
	    actions_ops.claim(actions_queue(fx.q), t.db, &req, &res, &t.err));
	ck_assert_uint_eq(res.njobs[LANE_PHP], 16);
	ck_assert(res.more);
	fx_claims_free(&res);
	/* More is due than two can hold: each takes all it can. */
	fx_rows(300, "php_a", 10);
	CK_RC(RC_OK,
	    actions_ops.claim(actions_queue(fx.q), t.db, &req, &res, &t.err));
	ck_assert_uint_eq(res.njobs[LANE_PHP], 100);
	fx_claims_free(&res);
}
END_TEST

START_TEST(unreadable_rows_are_passed_and_left_alone)
{
	uint64_t bad_args, bad_schedule, foreign, good;
	struct claim_result res;

	fx_open(_i);
	bad_args = fx_row("a", 50, "{nonsense", SIMPLE);
	bad_schedule = fx_row("a", 40, "[]", "O:3:\"x");
	foreign = fx_row("a", 30, "[]", "O:11:\"My_Schedule\":0:{}");
	good = fx_row("a", 20, "[1]", SIMPLE);
	CK_RC(RC_OK, fx_claim_on(3, 0, &res));
	ck_assert_uint_eq(res.njobs[LANE_NATIVE], 1);
	ck_assert_uint_eq(res.jobs[LANE_NATIVE]->id, good);
	fx_is_status(bad_args, "pending");
	fx_is_status(bad_schedule, "pending");
	fx_is_status(foreign, "pending");
	ck_assert_uint_eq(
	    3, db_test_u64("SELECT COUNT(*) FROM " A
			   " WHERE claim_id = 0 AND attempts = 0"));
	fx_claims_free(&res);
}
END_TEST

struct contender {
	pthread_t thread;
	uint64_t ids[400];
	size_t n;
};

static void *
contend(void *arg)
{
	struct contender *c = arg;
	struct claim_result res;
	struct actions *mine;
	struct db *db;
	uint64_t id;

	db_thread_begin();
	db = db_test_connect();
	mine = fx_queue(db, &id);
	for (int empty = 0; empty < 20;) {
		if (fx_claim(mine, db, 10, 0, &res) != RC_OK) {
			empty++;
			continue;
		}
		for (struct job *j = res.jobs[LANE_NATIVE]; j; j = j->next)
			c->ids[c->n++] = j->id;
		fx_claims_free(&res);
	}
	actions_free(mine);
	db_close(db);
	db_thread_end();
	return NULL;
}

START_TEST(no_row_is_claimed_twice_by_four_nodes)
{
	struct contender c[4] = { 0 };
	bool seen[1000] = { false };
	size_t all = 0;

	fx_open(7);
	fx_rows(400, "a", 10);
	for (size_t i = 0; i < NELEMS(c); i++)
		pthread_create(&c[i].thread, NULL, contend, &c[i]);
	for (size_t i = 0; i < NELEMS(c); i++)
		pthread_join(c[i].thread, NULL);
	for (size_t i = 0; i < NELEMS(c); i++) {
		for (size_t k = 0; k < c[i].n; k++) {
			ck_assert(!seen[c[i].ids[k]]);
			seen[c[i].ids[k]] = true;
			all++;
		}
	}
	ck_assert_uint_eq(all, 400);
}
END_TEST

START_TEST(a_plugin_s_own_schedule_waits_until_php_says_it_is_there)
{
	const struct actions_export x = { .known = true,
		.plugin = true,
		.failure_s = INT64_MAX,
		.timeout_s = INT64_MAX,
		.retention_s = INT64_MAX,
		.purge_complete = true };
	struct claim_result res;
	size_t n;
	uint64_t id;

	fx_open(_i);
	id = fx_row("php_a", 20, "[]", "O:11:\"My_Schedule\":0:{}");
	CK_RC(RC_NONE, fx_claim_on(0, 1, &res));
	actions_set_export(fx.q, &x);
	CK_RC(RC_OK, fx_claim_on(0, 1, &res));
	ck_assert_uint_eq(res.jobs[LANE_PHP]->id, id);
	/* Periods without end are no time-outs. */
	CK_RC(RC_OK, actions_clean(fx.q, t.db, &n, &t.err));
	ck_assert_uint_eq(n, 0);
	fx_claims_free(&res);
}
END_TEST

Suite *
actions_claim_suite(void)
{
	Suite *s = suite_create("actions_claim");
	TCase *tc = fx_case();
	const int from = FX_FIRST_SCHEMA, to = FX_LAST_SCHEMA + 1;

	tcase_add_loop_test(
	    tc, claim_goes_by_priority_then_date_then_id, from, to);
	tcase_add_loop_test(
	    tc, claim_leaves_what_is_not_due_or_not_free, from, to);
	tcase_add_loop_test(
	    tc, claim_reaches_what_stands_behind_rows_nobody_may_run, from, to);
	tcase_add_loop_test(
	    tc, a_lane_without_room_is_asked_whether_work_waits, from, to);
	tcase_add_loop_test(tc, free_workers_share_what_is_due, from, to);
	tcase_add_loop_test(
	    tc, unreadable_rows_are_passed_and_left_alone, from, to);
	tcase_add_test(tc, no_row_is_claimed_twice_by_four_nodes);
	tcase_add_loop_test(
	    tc, a_plugin_s_own_schedule_waits_until_php_says_it_is_there, 7, 8);
	suite_add_tcase(s, tc);
	return s;
}
