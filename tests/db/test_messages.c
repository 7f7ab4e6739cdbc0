/*
 * What waits in Event Espresso's queue, in which order, and the options by
 * which its own batches are locked, limited and kept idle.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "messages_fixture.h"
#include "queues/messages.h"
#include "sql/buckets.h"

Suite *messages_suite(void);

static struct arena arena = ARENA_INIT((size_t)64 << 20);

static void
close_tables(void)
{
	arena_clear(&arena);
	db_test_close();
}

static int64_t
now(void)
{
	return (int64_t)db_test_u64("SELECT TIMESTAMPDIFF(SECOND,"
				    " '1970-01-01', UTC_TIMESTAMP())");
}

/* ---- order ---- */

static size_t
waiting(enum messages_lane lane, unsigned lowest, bool newest,
    struct messages_row **out)
{
	size_t n;

	CK_RC(RC_OK, messages_waiting(t.db, &t.scope, 1, lane, lowest, newest,
			 1000, &arena, out, &n, &t.err));
	return n;
}

START_TEST(urgent_ones_go_first_and_then_the_oldest)
{
	uint64_t low = messages_fixture_add("MID", 30, 900, "newsletter");
	uint64_t young = messages_fixture_add("MID", 10, 10, "payment");
	uint64_t old = messages_fixture_add("MRS", 10, 500, "payment");
	uint64_t medium = messages_fixture_add("MID", 20, 5, "registration");
	uint64_t same = messages_fixture_add("MID", 30, 900, "newsletter");
	const uint64_t want[] = { old, young, medium, low, same };
	struct messages_row *rows;

	messages_fixture_add("MSN", 10, 900, "payment");
	messages_fixture_add("MIC", 10, 900, "payment");
	db_test_sql("UPDATE wp_esp_message a JOIN wp_esp_message b SET"
		    " a.MSG_modified = b.MSG_modified WHERE a.MSG_ID = %" PRIu64
		    " AND b.MSG_ID = %" PRIu64,
	    same, low);
	ck_assert_uint_eq(
	    waiting(MESSAGES_SEND, MESSAGES_ANY, false, &rows), NELEMS(want));
	for (size_t i = 0; i < NELEMS(want); i++)
		ck_assert_uint_eq(rows[i].id, want[i]);
	ck_assert_uint_eq(
	    waiting(MESSAGES_SEND, MESSAGES_ANY, true, &rows), NELEMS(want));
	ck_assert_uint_eq(rows[0].id, young);
	ck_assert_uint_eq(rows[1].id, old);
	ck_assert_uint_eq(
	    waiting(MESSAGES_SEND, MESSAGES_HIGH, false, &rows), 2);
	ck_assert_uint_eq(
	    waiting(MESSAGES_GENERATE, MESSAGES_ANY, false, &rows), 1);
}
END_TEST

START_TEST(what_is_in_hand_or_waits_is_passed_over)
{
	uint64_t a = messages_fixture_add("MID", 10, 9, "payment");
	uint64_t b = messages_fixture_add("MID", 10, 8, "payment");
	uint64_t c = messages_fixture_add("MID", 10, 7, "payment");
	struct messages_row *rows;

	db_test_sql("INSERT INTO wp_wpcron_messages (blog_id, message_id,"
		    " lane, state, claim_id, not_before, copy) VALUES"
		    " (1, %" PRIu64 ", 'send', 'passed', 1,"
		    "  UTC_TIMESTAMP(6) + INTERVAL 1 HOUR, ''),"
		    " (1, %" PRIu64 ", 'send', 'passed', 1,"
		    "  UTC_TIMESTAMP(6) - INTERVAL 1 HOUR, ''),"
		    " (2, %" PRIu64 ", 'send', 'passed', 1,"
		    "  UTC_TIMESTAMP(6) + INTERVAL 1 HOUR, ''),"
		    " (1, %" PRIu64 ", 'generate', 'passed', 1,"
		    "  UTC_TIMESTAMP(6) + INTERVAL 1 HOUR, '')",
	    a, b, c, c);
	ck_assert_uint_eq(
	    waiting(MESSAGES_SEND, MESSAGES_ANY, false, &rows), 2);
	ck_assert_uint_eq(rows[0].id, b);
	ck_assert_uint_eq(rows[1].id, c);
}
END_TEST

/* ---- due between ticks ---- */

static const struct {
	const char *sts;
	unsigned priority;
	bool due;
} dues[] = {
	{ "MIC", 10, true },
	{ "MIC", 20, true },
	{ "MIC", 30, false },
	{ "MID", 10, true },
	{ "MID", 20, false },
	{ "MRS", 10, true },
	{ "MRS", 30, false },
	{ "MSN", 10, false },
	{ "MRT", 10, false },
	{ "MEX", 10, false },
};

START_TEST(only_urgent_ones_do_not_wait_for_the_tick)
{
	bool due;

	messages_fixture_add(
	    dues[_i].sts, dues[_i].priority, 5, "registration");
	CK_RC(RC_OK, messages_due(t.db, &t.scope, now(), &due, &t.err));
	ck_assert(due == dues[_i].due);
}
END_TEST

START_TEST(what_waits_by_our_own_word_is_not_due)
{
	uint64_t id = messages_fixture_add("MID", 10, 9, "payment");
	bool due;

	db_test_sql("INSERT INTO wp_wpcron_messages (blog_id, message_id,"
		    " lane, state, claim_id, not_before, copy) VALUES"
		    " (1, %" PRIu64 ", 'send', 'passed', 1,"
		    "  UTC_TIMESTAMP(6) + INTERVAL 1 HOUR, '')",
	    id);
	CK_RC(RC_OK, messages_due(t.db, &t.scope, now(), &due, &t.err));
	ck_assert(!due);
	db_test_sql("UPDATE wp_wpcron_messages SET not_before = "
		    "UTC_TIMESTAMP(6)");
	CK_RC(RC_OK, messages_due(t.db, &t.scope, now(), &due, &t.err));
	ck_assert(due);
}
END_TEST

START_TEST(a_site_without_the_plugin_has_no_queue)
{
	bool due;

	CK_RC(RC_OK, messages_present(t.db, &t.scope, &t.err));
	db_test_sql("DROP TABLE wp_esp_message");
	CK_RC(RC_NONE, messages_present(t.db, &t.scope, &t.err));
	CK_RC(RC_NONE, messages_due(t.db, &t.scope, now(), &due, &t.err));
}
END_TEST

START_TEST(the_blog_is_known_by_the_prefix)
{
	struct sql_scope scope = t.scope;

	ck_assert_uint_eq(messages_blog(&scope), 1);
	scope.prefix = "wp_12_";
	ck_assert_uint_eq(messages_blog(&scope), 12);
	scope.prefix = "other_2_";
	ck_assert_uint_eq(messages_blog(&scope), 1);
}
END_TEST

/* ---- facts ---- */

static struct messages_facts
facts(void)
{
	struct messages_facts f;

	CK_RC(RC_OK,
	    messages_facts_read(t.db, &t.scope, false, now(), &f, &t.err));
	return f;
}

static void
option_number(const char *name, int64_t value)
{
	char text[32];

	(void)snprintf(text, sizeof text, "%" PRId64, value);
	messages_fixture_option(name, text);
}

START_TEST(without_options_nothing_is_locked)
{
	struct messages_facts f = facts();

	ck_assert_int_eq(f.generation_until, 0);
	ck_assert_int_eq(f.sending_until, 0);
	ck_assert(!f.same_request && !f.idle && !f.rate && !f.transients);
	ck_assert_uint_eq(f.interval_s, 0);
	ck_assert_uint_eq(f.maintenance, 0);
}
END_TEST

START_TEST(locks_are_read_in_both_forms)
{
	int64_t at = now();
	struct messages_facts f;

	option_number("_ee_lock_generation", at + 100);
	option_number("_ee_lock_sending", at - 1);
	f = facts();
	ck_assert_int_eq(f.generation_until, at + 100);
	ck_assert_int_eq(f.sending_until, 0);
	ck_assert(!f.transients);
	db_test_sql("DELETE FROM wp_options");
	messages_fixture_option("_transient__ee_lock_sending", "1");
	option_number("_transient_timeout__ee_lock_sending", at + 50);
	f = facts();
	ck_assert(f.transients);
	ck_assert_int_eq(f.sending_until, at + 50);
	option_number("_transient_timeout__ee_lock_sending", at - 1);
	ck_assert_int_eq(facts().sending_until, 0);
	db_test_sql("DELETE FROM wp_options WHERE option_name LIKE "
		    "'%%timeout%%'");
	ck_assert(facts().sending_until == INT64_MAX);
}
END_TEST

static const struct {
	const char *value;
	bool on;
} settings[] = {
	{ "O:17:\"EE_Network_Config\":1:{s:4:\"core\";O:22:\""
	  "EE_Network_Core_Config\":2:{s:7:\"site_id\";N;s:27:\""
	  "do_messages_on_same_request\";b:1;}}",
	    true },
	{ "O:17:\"EE_Network_Config\":1:{s:4:\"core\";O:22:\""
	  "EE_Network_Core_Config\":1:{s:27:\"do_messages_on_same_request\";"
	  "b:0;}}",
	    false },
	{ "O:17:\"EE_Network_Config\":1:{s:4:\"core\";O:22:\""
	  "EE_Network_Core_Config\":1:{s:27:\"do_messages_on_same_request\";"
	  "s:1:\"1\";}}",
	    true },
	{ "O:17:\"EE_Network_Config\":1:{s:4:\"core\";O:22:\""
	  "EE_Network_Core_Config\":1:{s:27:\"do_messages_on_same_request\";"
	  "i:0;}}",
	    false },
	{ "O:17:\"EE_Network_Config\":0:{}", false },
	{ "broken", false },
};

START_TEST(the_same_request_mode_is_seen)
{
	messages_fixture_option("ee_network_config", settings[_i].value);
	ck_assert(facts().same_request == settings[_i].on);
}
END_TEST

START_TEST(the_interval_comes_from_the_stored_event)
{
	messages_fixture_option("ee_maintenance_mode", "2");
	messages_fixture_option("cron",
	    "a:2:{i:1700000000;a:2:{s:37:\"AHEE__EE_Messages_Scheduler__"
	    "sending\";a:1:{s:32:\"40cd750bba9870f18aada2478b24840a\";a:4:{"
	    "s:8:\"schedule\";s:15:\"ee_message_cron\";s:4:\"args\";a:0:{}"
	    "s:8:\"interval\";i:120;}}s:5:\"other\";a:1:{s:1:\"k\";a:4:{"
	    "s:8:\"interval\";i:7;}}}s:7:\"version\";i:2;}");
	ck_assert_uint_eq(facts().interval_s, 120);
	ck_assert_uint_eq(facts().maintenance, 2);
}
END_TEST

static bool
is_silent(int64_t at)
{
	bool silent;

	CK_RC(RC_OK, messages_silent(t.db, &t.scope, at, &silent, &t.err));
	return silent;
}

START_TEST(a_schedule_without_events_is_seen)
{
	int64_t at = now();

	/* Nobody has ever worked on it. */
	ck_assert(!is_silent(at + 86400));
	CK_RC(RC_OK, messages_ticked(t.db, &t.scope, at - 50, false, &t.err));
	CK_RC(RC_OK, messages_ticked(t.db, &t.scope, at, false, &t.err));
	ck_assert(!is_silent(at + 300));
	ck_assert(is_silent(at + 310));
	CK_RC(RC_OK, messages_ticked(t.db, &t.scope, at, true, &t.err));
	ck_assert(!is_silent(at + 310));
	ck_assert(is_silent(at + 360));
	/* The clock was wrong. */
	ck_assert(is_silent(at - 301));
	messages_fixture_option("cron",
	    "a:2:{i:1700000000;a:1:{s:37:\"AHEE__EE_Messages_Scheduler__"
	    "sending\";a:1:{s:32:\"40cd750bba9870f18aada2478b24840a\";a:3:{"
	    "s:8:\"schedule\";s:15:\"ee_message_cron\";s:4:\"args\";a:0:{}"
	    "s:8:\"interval\";i:3600;}}}s:7:\"version\";i:2;}");
	ck_assert(!is_silent(at + 360));
	ck_assert(is_silent(at + 3660));
}
END_TEST

/* ---- keeping PHP idle ---- */

START_TEST(php_is_kept_idle_renewed_in_time_and_let_go)
{
	bool due;

	CK_RC(RC_OK, messages_idle(t.db, &t.scope, false,
			 now() + MESSAGES_IDLE_S, &t.err));
	ck_assert(facts().idle);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_options WHERE"
				      " option_name = '_ee_rate_limit' AND"
				      " autoload = 'no' AND option_value LIKE"
				      " 'a:2:{i:0;i:0;i:1;i:%%;}'"),
	    1);
	CK_RC(RC_OK, messages_due(t.db, &t.scope, now(), &due, &t.err));
	ck_assert(!due);
	CK_RC(RC_OK, messages_idle(t.db, &t.scope, false, now() + 500, &t.err));
	CK_RC(RC_OK, messages_due(t.db, &t.scope, now(), &due, &t.err));
	ck_assert(due);
	CK_RC(RC_OK, messages_idle(t.db, &t.scope, false, now() - 5, &t.err));
	ck_assert(!facts().idle);
	CK_RC(RC_OK, messages_due(t.db, &t.scope, now(), &due, &t.err));
	ck_assert(!due);
	CK_RC(RC_OK, messages_idle_end(t.db, &t.scope, false, 0, 0, &t.err));
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_options"), 0);
}
END_TEST

START_TEST(older_plugins_are_kept_idle_by_transients)
{
	CK_RC(RC_OK, messages_idle(t.db, &t.scope, true,
			 now() + MESSAGES_IDLE_S, &t.err));
	ck_assert(facts().idle);
	ck_assert(facts().transients);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_options"), 2);
	CK_RC(RC_OK, messages_idle_end(t.db, &t.scope, true, 0, 0, &t.err));
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_options"), 0);
}
END_TEST

START_TEST(what_php_wrote_itself_is_not_taken_away)
{
	char text[64];

	messages_rate_render(150, now() + 1800, text);
	messages_fixture_option("_ee_rate_limit", text);
	CK_RC(RC_OK, messages_idle_end(t.db, &t.scope, false, 0, 0, &t.err));
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_options"), 1);
	ck_assert(!facts().idle);
	ck_assert(facts().rate);
	ck_assert_int_eq(facts().rate_left, 150);
}
END_TEST

START_TEST(what_is_left_of_our_window_is_php_s_afterwards)
{
	CK_RC(RC_OK, messages_idle(t.db, &t.scope, false,
			 now() + MESSAGES_IDLE_S, &t.err));
	CK_RC(RC_OK,
	    messages_idle_end(t.db, &t.scope, false, 42, now() + 2000, &t.err));
	ck_assert(!facts().idle);
	ck_assert_int_eq(facts().rate_left, 42);
}
END_TEST

/* ---- windows that open with what is first taken ---- */

static void
pause_ms(long ms)
{
	clock_sleep_ms(ms);
}

/* The window is of an hour, which goes by at the test's word. */
static void
age_window(int64_t ms)
{
	db_test_sql("UPDATE wp_wpcron_buckets SET window_start = window_start"
		    " - INTERVAL %" PRId64 " MICROSECOND",
	    ms * 1000);
}

START_TEST(a_window_opens_with_the_first_take_and_lasts)
{
	uint32_t got, used;
	int64_t left;

	CK_RC(
	    RC_OK, bucket_open(t.db, &t.scope, "w", 10, 3600, 7, &got, &t.err));
	ck_assert_uint_eq(got, 7);
	age_window(1800000);
	CK_RC(
	    RC_OK, bucket_open(t.db, &t.scope, "w", 10, 3600, 7, &got, &t.err));
	ck_assert_uint_eq(got, 3);
	CK_RC(
	    RC_OK, bucket_open(t.db, &t.scope, "w", 10, 3600, 1, &got, &t.err));
	ck_assert_uint_eq(got, 0);
	CK_RC(RC_OK,
	    bucket_open_left(t.db, &t.scope, "w", 3600, &used, &left, &t.err));
	ck_assert_uint_eq(used, 10);
	ck_assert(left > 1700000 && left <= 1800001);
	age_window(left);
	CK_RC(RC_OK,
	    bucket_open_left(t.db, &t.scope, "w", 3600, &used, &left, &t.err));
	ck_assert_uint_eq(used, 0);
	CK_RC(RC_OK,
	    bucket_open(t.db, &t.scope, "w", 10, 3600, 20, &got, &t.err));
	ck_assert_uint_eq(got, 10);
}
END_TEST

START_TEST(what_was_not_used_goes_back_to_its_own_window_alone)
{
	uint32_t got;

	CK_RC(RC_OK,
	    bucket_open(t.db, &t.scope, "w", 10, 3600, 10, &got, &t.err));
	pause_ms(50);
	CK_RC(RC_OK, bucket_open_give(t.db, &t.scope, "w", 4, 50, &t.err));
	CK_RC(RC_OK,
	    bucket_open(t.db, &t.scope, "w", 10, 3600, 10, &got, &t.err));
	ck_assert_uint_eq(got, 4);
	age_window(3600000);
	CK_RC(RC_OK,
	    bucket_open(t.db, &t.scope, "w", 10, 3600, 10, &got, &t.err));
	ck_assert_uint_eq(got, 10);
	CK_RC(RC_OK, bucket_open_give(t.db, &t.scope, "w", 4, 1800000, &t.err));
	CK_RC(RC_OK,
	    bucket_open(t.db, &t.scope, "w", 10, 3600, 10, &got, &t.err));
	ck_assert_uint_eq(got, 0);
}
END_TEST

START_TEST(another_s_window_goes_on)
{
	uint32_t got, used;
	int64_t left;

	CK_RC(RC_OK,
	    bucket_open_adopt(t.db, &t.scope, "w", 3600, 180, 600000, &t.err));
	CK_RC(RC_OK,
	    bucket_open(t.db, &t.scope, "w", 200, 3600, 50, &got, &t.err));
	ck_assert_uint_eq(got, 20);
	CK_RC(RC_OK,
	    bucket_open_left(t.db, &t.scope, "w", 3600, &used, &left, &t.err));
	ck_assert_uint_eq(used, 200);
	ck_assert(left > 590000 && left <= 600001);
	/* One that is open stays. */
	CK_RC(RC_OK,
	    bucket_open_adopt(t.db, &t.scope, "w", 3600, 1, 600000, &t.err));
	CK_RC(RC_OK,
	    bucket_open(t.db, &t.scope, "w", 200, 3600, 50, &got, &t.err));
	ck_assert_uint_eq(got, 0);
	/* One that began later, while ours was open: both count. */
	CK_RC(RC_OK,
	    bucket_open_adopt(t.db, &t.scope, "v", 3600, 50, 600000, &t.err));
	CK_RC(RC_OK,
	    bucket_open_adopt(t.db, &t.scope, "v", 3600, 70, 1800000, &t.err));
	CK_RC(RC_OK,
	    bucket_open_left(t.db, &t.scope, "v", 3600, &used, &left, &t.err));
	ck_assert_uint_eq(used, 120);
	ck_assert(left > 1790000);
	/* The same once more, as PHP has it in whole seconds. */
	CK_RC(RC_OK,
	    bucket_open_adopt(t.db, &t.scope, "v", 3600, 130, 1801000, &t.err));
	CK_RC(RC_OK,
	    bucket_open_left(t.db, &t.scope, "v", 3600, &used, &left, &t.err));
	ck_assert_uint_eq(used, 130);
}
END_TEST

static TCase *
tables(const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, messages_fixture_open, close_tables);
	tcase_set_timeout(tc, 60);
	return tc;
}

Suite *
messages_suite(void)
{
	Suite *s = suite_create("messages");
	TCase *order = tables("order"), *due = tables("due");
	TCase *f = tables("facts"), *idle = tables("idle");
	TCase *windows = tables("windows");

	tcase_add_test(order, urgent_ones_go_first_and_then_the_oldest);
	tcase_add_test(order, what_is_in_hand_or_waits_is_passed_over);
	suite_add_tcase(s, order);
	tcase_add_loop_test(due, only_urgent_ones_do_not_wait_for_the_tick, 0,
	    (int)NELEMS(dues));
	tcase_add_test(due, what_waits_by_our_own_word_is_not_due);
	tcase_add_test(due, a_site_without_the_plugin_has_no_queue);
	tcase_add_test(due, the_blog_is_known_by_the_prefix);
	suite_add_tcase(s, due);
	tcase_add_test(f, without_options_nothing_is_locked);
	tcase_add_test(f, locks_are_read_in_both_forms);
	tcase_add_loop_test(
	    f, the_same_request_mode_is_seen, 0, (int)NELEMS(settings));
	tcase_add_test(f, the_interval_comes_from_the_stored_event);
	tcase_add_test(f, a_schedule_without_events_is_seen);
	suite_add_tcase(s, f);
	tcase_add_test(idle, php_is_kept_idle_renewed_in_time_and_let_go);
	tcase_add_test(idle, older_plugins_are_kept_idle_by_transients);
	tcase_add_test(idle, what_php_wrote_itself_is_not_taken_away);
	tcase_add_test(idle, what_is_left_of_our_window_is_php_s_afterwards);
	suite_add_tcase(s, idle);
	tcase_add_test(windows, a_window_opens_with_the_first_take_and_lasts);
	tcase_add_test(
	    windows, what_was_not_used_goes_back_to_its_own_window_alone);
	tcase_add_test(windows, another_s_window_goes_on);
	suite_add_tcase(s, windows);
	return s;
}
