/*
 * The lock doing_cron beside WordPress' own runners.
 */
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "cron_fixture.h"
#include "queues/cron_lock.h"

Suite *cron_lock_suite(void);

#define LOCK "_transient_doing_cron"
#define NOW "1700000000.5"

/* ---- what to do about a value ---- */

static const struct {
	const char *what, *value;
	bool recorded, pinged;
	enum cron_lock_verdict verdict;
} verdicts[] = {
	{ "a PHP runner's", "1699999990.5", false, false, CRON_LOCK_FOREIGN },
	{ "one that has just begun", NOW, false, false, CRON_LOCK_FOREIGN },
	{ "at the end of its minute", "1699999940.5", false, false,
	    CRON_LOCK_FOREIGN },
	{ "a stale one", "1699999939.5", false, false, CRON_LOCK_RENEW },
	{ "a clock a little ahead", "1700000600.5", false, false,
	    CRON_LOCK_FOREIGN },
	{ "one from the far future", "1700000601.5", false, false,
	    CRON_LOCK_RENEW },
	{ "a page load's that pinged us", "1699999999.5", false, true,
	    CRON_LOCK_RENEW },
	{ "ours, fresh", "1699999990.5", true, false, CRON_LOCK_FRESH },
	{ "ours, at its age", "1699999971.0", true, false, CRON_LOCK_FRESH },
	{ "ours, of age", "1699999970.0", true, false, CRON_LOCK_RENEW },
	{ "ours, of a clock ahead", "1700000100.0", true, false,
	    CRON_LOCK_RENEW },
	{ "whole seconds", "1699999990", false, false, CRON_LOCK_FOREIGN },
	{ "nothing", "", false, false, CRON_LOCK_RENEW },
	{ "zero", "0", false, false, CRON_LOCK_RENEW },
	{ "no number", "yes", false, false, CRON_LOCK_RENEW },
	{ "two dots", "1699999990.5.5", false, false, CRON_LOCK_RENEW },
	{ "past all numbers", "99999999999999999999.5", false, false,
	    CRON_LOCK_RENEW },
};

START_TEST(a_value_is_judged_as_core_would)
{
	ck_assert_msg(cron_lock_judge(slice_str(verdicts[_i].value),
			  verdicts[_i].recorded, verdicts[_i].pinged, CX_NOW,
			  60) == verdicts[_i].verdict,
	    "%s", verdicts[_i].what);
}
END_TEST

START_TEST(a_value_has_the_shape_of_cores)
{
	char value[CRON_LOCK_VALUE_MAX];

	cron_lock_render(INT64_C(1795278773579201), value);
	ck_assert_str_eq(value, "1795278773.5792009830474853515625");
	ck_assert_uint_eq(strlen(value), 33);
}
END_TEST

START_TEST(pings_are_kept_for_a_while_and_only_keys)
{
	struct cron_lock_pings p;
	char key[CRON_LOCK_VALUE_MAX + 1];

	memset(&p, 0, sizeof p);
	cron_lock_note_ping(&p, SLICE_LIT(""), 1);
	cron_lock_note_ping(&p, SLICE_LIT("'; DROP"), 1);
	memset(key, '1', sizeof key);
	cron_lock_note_ping(&p, slice_mem(key, sizeof key), 1);
	ck_assert_uint_eq(p.next, 0);
	for (int i = 0; i < CRON_LOCK_PINGS + 1; i++)
		cron_lock_note_ping(&p, SLICE_LIT("17.5"), i);
	ck_assert_uint_eq(p.next, 1);
	ck_assert_str_eq(p.ping[0].key, "17.5");
}
END_TEST

/* ---- beside PHP's rows ---- */

static struct cron_lock
lock_of(uint64_t node)
{
	return (struct cron_lock){ .scope = t.scope,
		.blog_id = 1,
		.node_id = node,
		.clock = &cx.clock,
		.timeout_s = 60 };
}

static enum rc
body(struct db *db, void *arg, struct err *err)
{
	return cron_lock_take(arg, db, err);
}

static enum rc
take(const struct cron_lock *l)
{
	struct cron_lock copy = *l;

	return db_transact(t.db, body, &copy, &t.err);
}

static void
store(const char *name, const char *value)
{
	db_test_sql("REPLACE INTO wp_options (option_name, option_value,"
		    " autoload) VALUES ('%s', '%s', 'on')",
	    name, value);
}

static uint64_t
stored(const char *name, const char *value)
{
	return db_test_u64("SELECT COUNT(*) FROM wp_options"
			   " WHERE option_name = '%s'"
			   " AND CAST(option_value AS BINARY) = '%s'",
	    name, value);
}

static uint64_t
locks(void)
{
	return db_test_u64("SELECT COUNT(*) FROM wp_options WHERE"
			   " option_name LIKE '\\_transient%%'");
}

START_TEST(a_free_lock_is_taken_and_on_record)
{
	struct cron_lock l;

	cx_open();
	l = lock_of(7);
	CK_RC(RC_OK, take(&l));
	ck_assert_uint_eq(stored(LOCK, "1700000000.0000000000000000000000"), 1);
	ck_assert_uint_eq(db_test_u64("SELECT autoload = 'yes' FROM wp_options"
				      " WHERE option_name = '" LOCK "'"),
	    1);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_leases WHERE node = 7"
			" AND name ="
			" 'doing_cron/1/1700000000.0000000000000000000000'"
			" AND expires_at BETWEEN UTC_TIMESTAMP() + INTERVAL 59"
			" MINUTE AND UTC_TIMESTAMP() + INTERVAL 61 MINUTE"),
	    1);
}
END_TEST

START_TEST(a_fresh_one_of_a_sister_node_is_left)
{
	struct cron_lock l, sister;

	cx_open();
	l = lock_of(7);
	sister = lock_of(8);
	CK_RC(RC_OK, take(&l));
	cx.now += 29;
	CK_RC(RC_OK, take(&sister));
	ck_assert_uint_eq(stored(LOCK, "1700000000.0000000000000000000000"), 1);
	cx.now += 1;
	CK_RC(RC_OK, take(&sister));
	ck_assert_uint_eq(stored(LOCK, "1700000030.0000000000000000000000"), 1);
	/* Another blog's record is not ours. */
	sister.blog_id = 2;
	CK_RC(RC_NONE, take(&sister));
}
END_TEST

START_TEST(a_php_runner_is_waited_for)
{
	struct cron_lock l;

	cx_open();
	l = lock_of(7);
	store(LOCK, "1699999990.5");
	CK_RC(RC_NONE, take(&l));
	ck_assert_uint_eq(stored(LOCK, "1699999990.5"), 1);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_leases"), 0);
	l.timeout_s = 5;
	CK_RC(RC_OK, take(&l));
	ck_assert_uint_eq(stored(LOCK, "1699999990.5"), 0);
}
END_TEST

START_TEST(a_pings_lock_is_taken_over)
{
	struct cron_lock l;

	cx_open();
	l = lock_of(7);
	store(LOCK, "1699999999.5");
	cron_lock_note_ping(
	    &l.pings, SLICE_LIT("1699999999.5"), clock_mono(&cx.clock));
	CK_RC(RC_OK, take(&l));
	ck_assert_uint_eq(stored(LOCK, "1699999999.5"), 0);
	ck_assert_uint_eq(locks(), 1);
	/* Not for ever. */
	store(LOCK, "1699999999.5");
	cx.now += 601;
	l.timeout_s = 3600;
	CK_RC(RC_NONE, take(&l));
}
END_TEST

START_TEST(a_timeout_goes_with_the_value_it_was_for)
{
	struct cron_lock l;

	cx_open();
	l = lock_of(7);
	/* Left over: it would end our value. */
	store("_transient_timeout_doing_cron", "1699999990");
	CK_RC(RC_OK, take(&l));
	ck_assert_uint_eq(locks(), 1);
	/* Over: to PHP there is no lock. */
	store(LOCK, "1699999990.5");
	store("_transient_timeout_doing_cron", "1699999995");
	CK_RC(RC_OK, take(&l));
	ck_assert_uint_eq(locks(), 1);
	ck_assert_uint_eq(stored(LOCK, "1699999990.5"), 0);
	/* Not over. */
	store(LOCK, "1699999990.5");
	store("_transient_timeout_doing_cron", "1700000060");
	CK_RC(RC_NONE, take(&l));
	ck_assert_uint_eq(locks(), 2);
}
END_TEST

START_TEST(only_a_value_of_ours_is_removed)
{
	struct cron_lock l;

	cx_open();
	l = lock_of(7);
	CK_RC(RC_NONE, cron_lock_give(&l, t.db, &t.err));
	store(LOCK, "1699999990.5");
	CK_RC(RC_NONE, cron_lock_give(&l, t.db, &t.err));
	ck_assert_uint_eq(locks(), 1);
	db_test_sql("DELETE FROM wp_options WHERE option_name = '" LOCK "'");
	CK_RC(RC_OK, take(&l));
	store("_transient_timeout_doing_cron", "1700000060");
	/* A sister node does, as well. */
	l.node_id = 8;
	CK_RC(RC_OK, cron_lock_give(&l, t.db, &t.err));
	ck_assert_uint_eq(locks(), 0);
}
END_TEST

/* Values that only the collation takes for equal. */
START_TEST(a_value_is_swapped_for_just_what_was_read)
{
	uint64_t changed;

	cx_open();
	store(LOCK, "1699999990.5 ");
	CK_RC(RC_OK, db_exec(t.db, &t.scope, SQL_CRON_LOCK_SWAP,
			 SQL_ARGS(V_STR("1.5"), V_STR("1699999990.5")),
			 &changed, &t.err));
	ck_assert_uint_eq(changed, 0);
	CK_RC(RC_OK, db_exec(t.db, &t.scope, SQL_CRON_LOCK_REMOVE,
			 SQL_ARGS(V_STR("1699999990.5")), &changed, &t.err));
	ck_assert_uint_eq(changed, 0);
}
END_TEST

/* ---- while events are in our hands ---- */

START_TEST(the_lock_is_held_while_events_are_in_our_hands)
{
	struct claim_result res;

	cx_open();
	cx_add(CX_NOW - 10, "a", NO_ARGS, "", 0);
	CK_RC(RC_OK, cx_claim(1, 0, &res));
	ck_assert_uint_eq(locks(), 1);
	CK_RC(RC_OK, cron_events_tend(cx.q, t.db, &t.err));
	ck_assert_uint_eq(stored(LOCK, "1700000000.0000000000000000000000"), 1);
	cx_start(&res, LANE_NATIVE);
	cx.now += 45;
	CK_RC(RC_OK, cron_events_tend(cx.q, t.db, &t.err));
	ck_assert_uint_eq(stored(LOCK, "1700000045.0000000000000000000000"), 1);
	CK_RC(RC_OK, cx_settle(res.jobs[0], OUTCOME_DONE, ""));
	CK_RC(RC_OK, cron_events_tend(cx.q, t.db, &t.err));
	ck_assert_uint_eq(locks(), 0);
	CK_RC(RC_NONE, cron_events_tend(cx.q, t.db, &t.err));
	cx_claims_free(&res);
}
END_TEST

START_TEST(what_waits_holds_it_and_what_nobody_may_run_does_not)
{
	struct claim_result res;

	cx_open();
	cx_add(CX_NOW - 10, "a", NO_ARGS, "", 0);
	cx_add(CX_NOW - 9, "b", NO_ARGS, "", 0);
	CK_RC(RC_OK, cx_claim(1, 0, &res));
	cx_start(&res, LANE_NATIVE);
	CK_RC(RC_OK, cx_settle(res.jobs[0], OUTCOME_DONE, ""));
	cx_claims_free(&res);
	CK_RC(RC_OK, cron_events_tend(cx.q, t.db, &t.err));
	ck_assert_uint_eq(locks(), 1);
	db_test_sql("UPDATE " E " SET hook = 'paused_b' WHERE hook = 'b'");
	CK_RC(RC_NONE, cx_claim(1, 0, &res));
	CK_RC(RC_OK, cron_events_tend(cx.q, t.db, &t.err));
	ck_assert_uint_eq(locks(), 0);
}
END_TEST

START_TEST(a_retry_in_an_hour_does_not_hold_it)
{
	struct claim_result res;
	struct outcome o = { .kind = OUTCOME_RETRY, .retry_after_ms = 3600000 };

	cx_open();
	cx.policy = &cx_patient;
	cx_add(CX_NOW - 10, "a", NO_ARGS, "", 0);
	CK_RC(RC_OK, cx_claim(1, 0, &res));
	cx_start(&res, LANE_NATIVE);
	CK_RC(RC_OK, cx_settle_outcome(res.jobs[0], &o));
	CK_RC(RC_OK, cron_events_tend(cx.q, t.db, &t.err));
	ck_assert_uint_eq(locks(), 0);
	cx_claims_free(&res);
}
END_TEST

START_TEST(a_lock_of_a_process_before_us_is_removed)
{
	struct cron_lock l;

	cx_open();
	l = lock_of(99);
	CK_RC(RC_OK, take(&l));
	CK_RC(RC_OK, cron_events_tend(cx.q, t.db, &t.err));
	ck_assert_uint_eq(locks(), 0);
}
END_TEST

START_TEST(where_php_has_the_lock_or_we_only_observe_it_is_not_touched)
{
	struct cron_lock l;

	cx_open();
	l = lock_of(99);
	CK_RC(RC_OK, take(&l));
	cx.site.object_cache = _i == 0;
	cx.site.observe = _i == 1;
	cx_set_site(cx.q);
	CK_RC(RC_OK, cron_events_tend(cx.q, t.db, &t.err));
	ck_assert_uint_eq(locks(), 1);
}
END_TEST

static void
add_row_tests(Suite *s)
{
	TCase *tc = cx_case();

	tcase_add_test(tc, a_free_lock_is_taken_and_on_record);
	tcase_add_test(tc, a_fresh_one_of_a_sister_node_is_left);
	tcase_add_test(tc, a_php_runner_is_waited_for);
	tcase_add_test(tc, a_pings_lock_is_taken_over);
	tcase_add_test(tc, a_timeout_goes_with_the_value_it_was_for);
	tcase_add_test(tc, only_a_value_of_ours_is_removed);
	tcase_add_test(tc, a_value_is_swapped_for_just_what_was_read);
	tcase_add_test(tc, the_lock_is_held_while_events_are_in_our_hands);
	tcase_add_test(
	    tc, what_waits_holds_it_and_what_nobody_may_run_does_not);
	tcase_add_test(tc, a_retry_in_an_hour_does_not_hold_it);
	tcase_add_test(tc, a_lock_of_a_process_before_us_is_removed);
	tcase_add_loop_test(tc,
	    where_php_has_the_lock_or_we_only_observe_it_is_not_touched, 0, 2);
	suite_add_tcase(s, tc);
}

Suite *
cron_lock_suite(void)
{
	Suite *s = suite_create("cron_lock");
	TCase *tc = tcase_create("values");

	tcase_add_loop_test(
	    tc, a_value_is_judged_as_core_would, 0, NELEMS(verdicts));
	tcase_add_test(tc, a_value_has_the_shape_of_cores);
	tcase_add_test(tc, pings_are_kept_for_a_while_and_only_keys);
	suite_add_tcase(s, tc);
	add_row_tests(s);
	return s;
}
