/*
 * Cron events whose owner is gone; giving back to WordPress; retention.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "cron_fixture.h"
#include "sql/nodes.h"

Suite *cron_rescue_suite(void);

static struct claim_result res;

static void
claimed(const char *hook, bool start)
{
	bool php = strncmp(hook, "php_", 4) == 0;

	cx_add(CX_NOW - 10, hook, NO_ARGS, "", 0);
	CK_RC(RC_OK, cx_claim(!php, php, &res));
	if (start)
		cx_start(&res, php ? LANE_PHP : LANE_NATIVE);
}

/* Our node dies; another one looks. */
static size_t
node_dies(void)
{
	struct cron_events *other;
	uint64_t id;
	size_t n;

	db_test_sql("DELETE FROM wp_wpcron_nodes");
	other = cx_queue(t.db, &id);
	n = cx_rescue(other, NULL, 0);
	cron_events_free(other);
	return n;
}

static uint64_t
is_row(const char *condition)
{
	return db_test_u64("SELECT COUNT(*) FROM " E " WHERE %s", condition);
}

static const struct {
	const char *what, *hook;
	bool started, patient, overdue;
	size_t rescued;
	const char *row;
} orphans[] = {
	{ "claimed, never begun", "a", false, false, false, 1,
	    "state = 'taken' AND claim_id = 0 AND try = 1" },
	{ "claimed for PHP, never begun", "php_a", false, false, false, 1,
	    "state = 'taken' AND claim_id = 0 AND try = 1" },
	{ "ran natively", "a", true, false, false, 1,
	    "state = 'failed' AND message LIKE '%may have run or not%'"
	    " AND ended_at IS NOT NULL" },
	{ "ran natively, idempotent", "a", true, true, false, 1,
	    "state = 'taken' AND claim_id = 0 AND try = 2" },
	{ "runs in PHP still, perhaps", "php_a", true, true, false, 0,
	    "state = 'running' AND claim_id > 0" },
	{ "ran in PHP", "php_a", true, false, true, 1, "state = 'failed'" },
	{ "ran in PHP, idempotent", "php_a", true, true, true, 1,
	    "state = 'taken' AND try = 2" },
};

START_TEST(what_a_dead_node_left_is_taken_back)
{
	cx_open();
	if (orphans[_i].patient)
		cx.policy = &cx_patient;
	claimed(orphans[_i].hook, orphans[_i].started);
	if (orphans[_i].overdue)
		db_test_sql("UPDATE " E " SET deadline = UTC_TIMESTAMP(6)"
			    " - INTERVAL 1 SECOND");
	ck_assert_uint_eq(node_dies(), orphans[_i].rescued);
	ck_assert_msg(is_row(orphans[_i].row) == 1, "%s", orphans[_i].what);
	cx_claims_free(&res);
}
END_TEST

START_TEST(what_a_live_node_holds_is_left_alone)
{
	struct cron_events *other;
	uint64_t id;

	cx_open();
	claimed("a", true);
	other = cx_queue(t.db, &id);
	ck_assert_uint_eq(cx_rescue(other, NULL, 0), 0);
	ck_assert_uint_eq(cx_rows("running", "a"), 1);
	cron_events_free(other);
	cx_claims_free(&res);
}
END_TEST

START_TEST(a_claim_of_ours_that_nobody_holds_is_taken_back)
{
	cx_open();
	claimed("a", false);
	/* Its commit may just have been; later, only if no worker has it. */
	ck_assert_uint_eq(cx_rescue(cx.q, NULL, 0), 0);
	db_test_sql("UPDATE " E " SET claimed_at = claimed_at"
		    " - INTERVAL 16 SECOND");
	ck_assert_uint_eq(cx_rescue(cx.q, &res.claims[0]->id, 1), 0);
	ck_assert_uint_eq(cx_rescue(cx.q, NULL, 0), 1);
	ck_assert_uint_eq(is_row("state = 'taken' AND claim_id = 0"), 1);
	cx_claims_free(&res);
}
END_TEST

START_TEST(what_was_rescued_is_due_and_its_old_owner_loses)
{
	struct claim_result again;

	cx_open();
	claimed("a", false);
	ck_assert_uint_eq(node_dies(), 1);
	CK_RC(RC_OK, cx_claim(1, 0, &again));
	CK_RC(RC_OK, cron_events_ops.start(cron_events_queue(cx.q), t.db,
			 &res.jobs[0], 1, &t.err));
	ck_assert(!res.jobs[0]->started);
	CK_RC(RC_OK, cx_settle(res.jobs[0], OUTCOME_DONE, ""));
	ck_assert_uint_eq(is_row("state = 'taken' AND claim_id > 0"), 1);
	cx_claims_free(&res);
	cx_claims_free(&again);
}
END_TEST

/* A stop that left the event to PHP, which nobody may end. */
START_TEST(what_was_left_to_php_is_php_s_until_its_deadline)
{
	struct job *j;

	cx_open();
	claimed("php_a", true);
	j = res.jobs[LANE_PHP];
	CK_RC(RC_OK, cx_settle(j, OUTCOME_LOST, "PHP goes on with it"));
	ck_assert_uint_eq(res.claims[LANE_PHP]->left, 0);
	ck_assert_uint_eq(node_dies(), 0);
	ck_assert_uint_eq(
	    is_row("state = 'running' AND claim_id > 0 AND deadline >"
		   " UTC_TIMESTAMP() + INTERVAL 60 SECOND"),
	    1);
	db_test_sql("%.*s", SLICE_FMT(j->sql_done));
	ck_assert_uint_eq(cx_rows("done", "php_a"), 1);
	cx_claims_free(&res);
}
END_TEST

START_TEST(php_that_was_about_to_begin_a_rescued_row_does_not)
{
	struct job *j;

	cx_open();
	claimed("php_a", false);
	j = res.jobs[LANE_PHP];
	ck_assert_uint_eq(node_dies(), 1);
	db_test_sql("%.*s", SLICE_FMT(j->sql_start));
	ck_assert_uint_eq(cx_rows("running", NULL), 0);
	ck_assert_uint_eq(db_test_u64("%.*s", SLICE_FMT(j->sql_running)), 0);
	cx_claims_free(&res);
}
END_TEST

START_TEST(a_node_taken_for_dead_adopts_what_nobody_rescued)
{
	uint64_t id;

	cx_open();
	claimed("a", true);
	db_test_sql("DELETE FROM wp_wpcron_nodes");
	CK_RC(RC_OK, node_register(t.db, &t.scope, "h", 1, "t", &id, &t.err));
	cron_events_set_node(cx.q, id);
	CK_RC(RC_OK,
	    cron_events_adopt(cx.q, t.db, &res.claims[0]->id, 1, &t.err));
	CK_RC(RC_OK, cron_events_adopt(cx.q, t.db, NULL, 0, &t.err));
	ck_assert_uint_eq(db_test_u64("SELECT node_id FROM " E), id);
	ck_assert_uint_eq(cx_rescue(cx.q, &res.claims[0]->id, 1), 0);
	CK_RC(RC_OK, cx_settle(res.jobs[0], OUTCOME_DONE, ""));
	ck_assert_uint_eq(cx_rows("done", "a"), 1);
	cx_claims_free(&res);
}
END_TEST

START_TEST(many_are_rescued_in_pieces)
{
	cx_open();
	db_test_sql("INSERT INTO " E " (blog_id, state, claim_id, node_id,"
		    " scheduled_at, hook, event_key, slot, event, not_before,"
		    " taken_at, claimed_at) SELECT 1, 'taken', seq, 12345, 1,"
		    " 'a', 'k', '', '', NOW(), NOW(), NOW()"
		    " FROM seq_1_to_450");
	ck_assert_uint_eq(cx_rescue(cx.q, NULL, 0), 450);
	ck_assert_uint_eq(is_row("claim_id = 0"), 450);
}
END_TEST

/* ---- giving back ---- */

static void
add_some(void)
{
	cx_add(CX_NOW - 20, "one", NO_ARGS, "", 0);
	cx_add(CX_NOW - 20, "two", "a:1:{i:0;s:1:\"x\";}", "", 0);
	cx_add(CX_NOW - 20, "two", NO_ARGS, "", 0);
	cx_add(CX_NOW - 10, "beat", NO_ARGS, "five", 300);
	cx_add(CX_NOW + 50, "later", NO_ARGS, "hourly", 3600);
}

static uint64_t
locks(void)
{
	return db_test_u64("SELECT COUNT(*) FROM wp_options"
			   " WHERE option_name LIKE '_transient%%'");
}

START_TEST(what_was_never_begun_goes_back_byte_for_byte)
{
	struct job *j;
	char *before;
	size_t n;

	cx_open();
	cx.policy = &cx_overlap;
	add_some();
	before = strndup(cx_option().p, cx_option().n);
	CK_RC(RC_OK, cx_claim(10, 0, &res));
	for (j = res.jobs[0]; j; j = j->next)
		CK_RC(RC_OK, cx_settle(j, OUTCOME_RELEASED, ""));
	ck_assert(!slice_eq_str(cx_option(), before));
	ck_assert_uint_eq(locks(), 1);
	CK_RC(RC_OK, cron_events_return(cx.q, t.db, &n, &t.err));
	ck_assert_uint_eq(n, 4);
	ck_assert(slice_eq_str(cx_option(), before));
	ck_assert_uint_eq(is_row("1"), 0);
	ck_assert_uint_eq(locks(), 0);
	CK_RC(RC_NONE, cron_events_return(cx.q, t.db, &n, &t.err));
	cx_claims_free(&res);
	/* And it is no ledger: it runs when it is taken again. */
	cron_events_rewind(cx.q);
	CK_RC(RC_OK, cx_claim(10, 0, &res));
	ck_assert_uint_eq(res.njobs[0], 4);
	cx_claims_free(&res);
	free(before);
}
END_TEST

START_TEST(what_runs_or_ran_stays)
{
	size_t n;

	cx_open();
	claimed("runs", true);
	CK_RC(RC_NONE, cron_events_return(cx.q, t.db, &n, &t.err));
	ck_assert_uint_eq(locks(), 1);
	CK_RC(RC_OK, cx_settle(res.jobs[0], OUTCOME_DONE, ""));
	cx_claims_free(&res);
	CK_RC(RC_NONE, cron_events_return(cx.q, t.db, &n, &t.err));
	ck_assert(slice_eq_str(cx_option(), EMPTY_OPTION));
	ck_assert_uint_eq(locks(), 0);
	ck_assert_uint_eq(cx_rows("done", NULL), 1);
}
END_TEST

START_TEST(missed_periods_go_back_as_one_event)
{
	static const struct policy all = {
		.timeout_ms = 1000, .catch_up = CATCH_UP_ALL, .overlap = true
	};
	struct job *j;
	char *before;
	size_t n;

	cx_open();
	cx.policy = &all;
	cx_add(CX_NOW - 3600, "beat", NO_ARGS, "five", 300);
	before = strndup(cx_option().p, cx_option().n);
	CK_RC(RC_OK, cx_claim(20, 0, &res));
	ck_assert_uint_eq(res.njobs[0], 13);
	for (j = res.jobs[0]; j; j = j->next)
		CK_RC(RC_OK, cx_settle(j, OUTCOME_RELEASED, ""));
	CK_RC(RC_OK, cron_events_return(cx.q, t.db, &n, &t.err));
	ck_assert(slice_eq_str(cx_option(), before));
	ck_assert_uint_eq(is_row("1"), 0);
	cx_claims_free(&res);
	free(before);
}
END_TEST

START_TEST(behind_an_object_cache_nothing_is_given_back)
{
	size_t n;

	cx_open();
	claimed("a", false);
	CK_RC(RC_OK, cx_settle(res.jobs[0], OUTCOME_RELEASED, ""));
	cx_claims_free(&res);
	cx.site.object_cache = true;
	cx_set_site(cx.q);
	CK_RC(RC_NONE, cron_events_return(cx.q, t.db, &n, &t.err));
	ck_assert_uint_eq(cx_rows("taken", "a"), 1);
}
END_TEST

/* ---- retention ---- */

START_TEST(history_is_kept_for_a_week)
{
	cx_open();
	db_test_sql("INSERT INTO " E " (blog_id, state, scheduled_at, hook,"
		    " event_key, slot, event, not_before, taken_at, ended_at)"
		    " SELECT seq %% 3, 'done', 1, 'a', 'k', '', '', NOW(),"
		    " NOW(), UTC_TIMESTAMP(6) - INTERVAL IF(seq <= 700,"
		    " 604801, 604700) SECOND FROM seq_1_to_800");
	db_test_sql("INSERT INTO wp_wpcron_leases VALUES"
		    " ('doing_cron/1/1.5', 1, 0, '2000-01-01 00:00:00'),"
		    " ('doing_cron/1/2.5', 1, 0, '2100-01-01 00:00:00'),"
		    " ('other', 1, 0, '2000-01-01 00:00:00')");
	CK_RC(RC_OK, cron_events_tend(cx.q, t.db, &t.err));
	ck_assert_uint_eq(is_row("1"), 300);
	CK_RC(RC_OK, cron_events_tend(cx.q, t.db, &t.err));
	ck_assert_uint_eq(is_row("1"), 100);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_leases"), 2);
	/* Not again for a while. */
	db_test_sql("UPDATE " E " SET ended_at = '2000-01-01 00:00:00'");
	CK_RC(RC_NONE, cron_events_tend(cx.q, t.db, &t.err));
	ck_assert_uint_eq(is_row("1"), 100);
}
END_TEST

Suite *
cron_rescue_suite(void)
{
	Suite *s = suite_create("cron_rescue");
	TCase *tc = cx_case();

	tcase_add_loop_test(
	    tc, what_a_dead_node_left_is_taken_back, 0, NELEMS(orphans));
	tcase_add_test(tc, what_a_live_node_holds_is_left_alone);
	tcase_add_test(tc, a_claim_of_ours_that_nobody_holds_is_taken_back);
	tcase_add_test(tc, what_was_rescued_is_due_and_its_old_owner_loses);
	tcase_add_test(tc, what_was_left_to_php_is_php_s_until_its_deadline);
	tcase_add_test(tc, php_that_was_about_to_begin_a_rescued_row_does_not);
	tcase_add_test(tc, a_node_taken_for_dead_adopts_what_nobody_rescued);
	tcase_add_test(tc, many_are_rescued_in_pieces);
	tcase_add_test(tc, what_was_never_begun_goes_back_byte_for_byte);
	tcase_add_test(tc, what_runs_or_ran_stays);
	tcase_add_test(tc, missed_periods_go_back_as_one_event);
	tcase_add_test(tc, behind_an_object_cache_nothing_is_given_back);
	tcase_add_test(tc, history_is_kept_for_a_week);
	suite_add_tcase(s, tc);
	return s;
}
