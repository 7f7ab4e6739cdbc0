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

#define KEY "40cd750bba9870f18aada2478b24840a"
#define ONE_SHOT "a:2:{s:8:\"schedule\";b:0;s:4:\"args\";a:0:{}}"
#define HOURLY                                                                 \
	"a:3:{s:8:\"schedule\";s:6:\"hourly\";s:4:\"args\";a:0:{}"             \
	"s:8:\"interval\";i:3600;}"

/* Claims all there is natively, and lets go of it. */
static enum rc
take_all(void)
{
	struct claim_result res;
	enum rc rc = cx_claim(2000, 2000, &res);

	cx_claims_free(&res);
	return rc;
}

static bool
has_text(struct slice in, const char *words)
{
	size_t n = strlen(words);

	for (; in.n >= n; in = slice_from(in, 1))
		if (memcmp(in.p, words, n) == 0)
			return true;
	return false;
}

static void
know(const char *name, int64_t interval)
{
	const struct cron_recurrence r = { slice_str(name), interval };
	const struct cron_events_export x = {
		.exported_at = cx.now, .recurrences = &r, .nrecurrences = 1
	};

	cron_events_set_export(cx.q, &x);
}

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

START_TEST(an_event_is_taken_when_its_second_is_over)
{
	cx_open();
	cx_add(CX_NOW, "now", NO_ARGS, "", 0);
	CK_RC(RC_NONE, take_all());
	ck_assert_int_eq(cx_next_due(), CX_NOW + 1);
	cx.now++;
	CK_RC(RC_OK, take_all());
}
END_TEST

START_TEST(with_the_companion_it_is_taken_at_once)
{
	cx_open();
	cx.site.companion = true;
	cx_set_site(cx.q);
	cx_add(CX_NOW, "now", NO_ARGS, "", 0);
	ck_assert_int_eq(cx_next_due(), CX_NOW);
	CK_RC(RC_OK, take_all());
	ck_assert_uint_eq(cx_rows("taken", "now"), 1);
}
END_TEST

/* Every other byte of the option stays as it is, odd ones too. */
static const struct {
	const char *before, *after;
} splices[] = {
	{ "a:2:{i:1699999990;a:1:{s:1:\"a\";a:1:{s:32:\"" KEY "\";" ONE_SHOT
	  "}}s:7:\"version\";i:2;}",
	    EMPTY_OPTION },
	{ "a:3:{i:1699999990;a:1:{s:1:\"a\";a:1:{s:32:\"" KEY "\";" ONE_SHOT
	  "}}i:1700003590;a:1:{s:1:\"b\";a:1:{s:1:\"k\";" ONE_SHOT
	  "}}s:7:\"version\";i:2;}",
	    "a:2:{i:1700003590;a:1:{s:1:\"b\";a:1:{s:1:\"k\";" ONE_SHOT
	    "}}s:7:\"version\";i:2;}" },
	/* A recurring one: its next slot joins what is there at that time. */
	{ "a:3:{i:1699999990;a:1:{s:1:\"a\";a:1:{s:32:\"" KEY "\";" HOURLY
	  "}}i:1700003590;a:1:{s:1:\"b\";a:1:{s:1:\"k\";" ONE_SHOT
	  "}}s:7:\"version\";i:2;}",
	    "a:2:{i:1700003590;a:2:{s:1:\"b\";a:1:{s:1:\"k\";" ONE_SHOT
	    "}s:1:\"a\";a:1:{s:32:\"" KEY "\";" HOURLY
	    "}}s:7:\"version\";i:2;}" },
	/* An odd key: the slot goes by it, the next one has core's. */
	{ "a:2:{i:1699999990;a:1:{s:1:\"a\";a:1:{s:3:\"odd\";" HOURLY
	  "}}s:7:\"version\";i:2;}",
	    "a:2:{i:1700003590;a:1:{s:1:\"a\";a:1:{s:32:\"" KEY "\";" HOURLY
	    "}}s:7:\"version\";i:2;}" },
	/* What is no event stays. */
	{ "a:3:{s:4:\"junk\";i:7;i:1699999990;a:1:{s:1:\"a\";a:1:{s:32:\"" KEY
	  "\";" ONE_SHOT "}}s:7:\"version\";i:2;}",
	    "a:2:{s:4:\"junk\";i:7;s:7:\"version\";i:2;}" },
};

START_TEST(only_what_is_taken_changes_in_the_option)
{
	struct slice after;

	cx_open();
	cx_set_option(slice_str(splices[_i].before));
	CK_RC(RC_OK, take_all());
	after = cx_option();
	ck_assert_msg(slice_eq_str(after, splices[_i].after), "%.*s\nnot\n%s",
	    SLICE_FMT(after), splices[_i].after);
}
END_TEST

START_TEST(the_bytes_of_an_event_are_kept)
{
	static const char args[] =
	    "a:2:{i:0;O:1:\"X\":1:{s:4:\"\0*\0p\";d:0.10000000000000001;}"
	    "i:1;s:3:\"'\\\"\";}";
	const struct slice hook = SLICE_LIT("h\xc3\xa4k 'quoted' \\ \n");
	struct buf event = BUF_INIT(4096);
	struct claim_result res;
	struct cron_edit edit = { .what = CRON_ADD,
		.timestamp = CX_NOW - 5,
		.hook = hook,
		.key = SLICE_LIT("any") };

	cx_open();
	cron_event_render(
	    &event, SLICE_LIT(""), slice_mem(args, sizeof args - 1), 0);
	edit.event = buf_slice(&event);
	cx_edit(&edit);
	CK_RC(RC_OK, cx_claim(10, 0, &res));
	ck_assert(slice_eq(res.jobs[0]->hook, hook));
	ck_assert(slice_eq(
	    res.jobs[0]->event_args, slice_mem(args, sizeof args - 1)));
	ck_assert(slice_eq_str(res.jobs[0]->args, ""));
	ck_assert_uint_eq(db_test_u64("SELECT LENGTH(event) FROM " E), event.n);
	ck_assert_uint_eq(
	    db_test_u64("SELECT slot = UNHEX(MD5(CONCAT(scheduled_at, CHAR(0),"
			" hook, CHAR(0), event_key))) FROM " E),
	    1);
	buf_clear(&event);
	cx_claims_free(&res);
}
END_TEST

static void
refuse_bad(void)
{
	db_test_sql("CREATE TRIGGER no_bad BEFORE INSERT ON " E
		    " FOR EACH ROW IF NEW.hook LIKE 'bad%%' THEN SIGNAL"
		    " SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END IF");
}

START_TEST(a_failing_insert_leaves_the_option_untouched)
{
	struct claim_result res;
	char *before;

	cx_open();
	cx_add(CX_NOW - 10, "bad", NO_ARGS, "", 0);
	cx_add(CX_NOW - 9, "bad2", NO_ARGS, "five", 300);
	before = strndup(cx_option().p, cx_option().n);
	refuse_bad();
	CK_RC(RC_REJECT, cx_claim(10, 0, &res));
	ck_assert(slice_eq_str(cx_option(), before));
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " E), 0);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_options"
			" WHERE option_name = '_transient_doing_cron'"),
	    0);
	db_test_sql("DROP TRIGGER no_bad");
	CK_RC(RC_OK, cx_claim(10, 0, &res));
	ck_assert_uint_eq(res.njobs[0], 2);
	cx_claims_free(&res);
	free(before);
}
END_TEST

START_TEST(an_event_that_the_server_refuses_does_not_keep_the_others)
{
	struct claim_result res;
	char hook[16];

	cx_open();
	cx_log_begin();
	for (int i = 0; i < 20; i++) {
		(void)snprintf(
		    hook, sizeof hook, "%s%d", i % 7 == 3 ? "bad" : "good", i);
		cx_add(CX_NOW - 100 + i, hook, NO_ARGS, "", 0);
	}
	refuse_bad();
	CK_RC(RC_OK, cx_claim(50, 0, &res));
	ck_assert_uint_eq(res.njobs[0], 17);
	cx_claims_free(&res);
	ck_assert(cx_in_option(CX_NOW - 97, "bad3"));
	ck_assert_uint_eq(cx_logged("cron.left_in_option"), 3);
	/* Not again and again. */
	CK_RC(RC_NONE, cx_claim(50, 0, &res));
	ck_assert_int_eq(cx_next_due(), INT64_MAX);
	db_test_sql("DROP TRIGGER no_bad");
	cron_events_rewind(cx.q);
	CK_RC(RC_OK, cx_claim(50, 0, &res));
	ck_assert_uint_eq(res.njobs[0], 3);
	cx_claims_free(&res);
}
END_TEST

START_TEST(what_the_server_refuses_of_all_is_an_error)
{
	struct claim_result res;
	char hook[16];

	cx_open();
	cx_log_begin();
	for (int i = 0; i < 100; i++) {
		(void)snprintf(hook, sizeof hook, "bad%d", i);
		cx_add(CX_NOW - 200 + i, hook, NO_ARGS, "", 0);
	}
	refuse_bad();
	CK_RC(RC_REJECT, cx_claim(50, 0, &res));
	ck_assert_uint_eq(cx_logged("cron.left_in_option"), 0);
	db_test_sql("DROP TRIGGER no_bad");
	CK_RC(RC_OK, cx_claim(100, 0, &res));
	ck_assert_uint_eq(res.njobs[0], 100);
	cx_claims_free(&res);
}
END_TEST

START_TEST(a_failing_option_write_leaves_the_table_untouched)
{
	struct claim_result res;

	cx_open();
	cx_add(CX_NOW - 10, "good", NO_ARGS, "", 0);
	db_test_sql("CREATE TRIGGER no_write BEFORE UPDATE ON wp_options"
		    " FOR EACH ROW IF NEW.option_name = 'cron' THEN SIGNAL"
		    " SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END IF");
	CK_RC(RC_REJECT, cx_claim(10, 0, &res));
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " E), 0);
	ck_assert(cx_in_option(CX_NOW - 10, "good"));
}
END_TEST

START_TEST(what_nobody_may_run_stays_and_is_not_read_again)
{
	struct claim_result res;
	size_t admits;

	cx_open();
	cx_add(CX_NOW - 10, "paused_a", NO_ARGS, "", 0);
	cx_add(CX_NOW + 100, "later", NO_ARGS, "", 0);
	ck_assert_int_eq(cx_next_due(), CX_NOW - 9);
	CK_RC(RC_NONE, cx_claim(10, 10, &res));
	/* Not before a while: what holds it may pass by itself. */
	ck_assert_int_eq(cx_next_due(), CX_NOW + 10);
	admits = cx.admits;
	CK_RC(RC_NONE, cx_claim(10, 10, &res));
	ck_assert_uint_eq(cx.admits, admits);
	/* A changed value, or another configuration: look again. */
	cx_add(CX_NOW - 5, "free", NO_ARGS, "", 0);
	ck_assert_int_eq(cx_next_due(), CX_NOW - 9);
	CK_RC(RC_OK, cx_claim(10, 10, &res));
	cx_claims_free(&res);
	CK_RC(RC_NONE, cx_claim(10, 10, &res));
	ck_assert_int_eq(cx_next_due(), CX_NOW + 10);
	cron_events_rewind(cx.q);
	ck_assert_int_eq(cx_next_due(), CX_NOW - 9);
	ck_assert(cx_in_option(CX_NOW - 10, "paused_a"));
}
END_TEST

START_TEST(a_lane_without_room_leaves_its_events_in_the_option)
{
	struct claim_result res;

	cx_open();
	cx_add(CX_NOW - 10, "php_a", NO_ARGS, "", 0);
	CK_RC(RC_NONE, cx_claim(10, 0, &res));
	ck_assert(res.more);
	ck_assert(cx_in_option(CX_NOW - 10, "php_a"));
	ck_assert_int_eq(cx_next_due(), CX_NOW - 9);
	CK_RC(RC_OK, cx_claim(0, 1, &res));
	cx_claims_free(&res);
}
END_TEST

START_TEST(what_does_not_fit_the_table_stays_and_is_said_once)
{
	char hook[1002], key[300];
	struct cron_edit edit = { .what = CRON_ADD,
		.timestamp = CX_NOW - 5,
		.hook = { hook, sizeof hook - 1 },
		.key = SLICE_LIT(KEY),
		.event = SLICE_LIT(ONE_SHOT) };

	memset(hook, 'h', sizeof hook);
	memset(key, 'k', sizeof key);
	cx_open();
	cx_log_begin();
	cx_edit(&edit);
	edit.hook = SLICE_LIT("key");
	edit.key = slice_mem(key, 256);
	cx_edit(&edit);
	edit.hook = SLICE_LIT("no_args");
	edit.key = SLICE_LIT(KEY);
	edit.event = SLICE_LIT("a:1:{s:8:\"schedule\";b:0;}");
	cx_edit(&edit);
	cx_add(CX_NOW - 4, "fits", NO_ARGS, "", 0);
	CK_RC(RC_OK, take_all());
	cron_events_rewind(cx.q);
	CK_RC(RC_NONE, take_all());
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " E), 1);
	ck_assert(cx_in_option(CX_NOW - 5, "key"));
	ck_assert(cx_in_option(CX_NOW - 5, "no_args"));
	ck_assert_uint_eq(cx_logged("cron.left_in_option"), 3);
}
END_TEST

static const char *const unreadable[] = {
	"a:1:{i:1;garbage",
	"a:1:{i:1699999990;a:1:{s:1:\"a\";a:2:{s:8:\"schedule\";b:0;"
	"s:4:\"args\";a:0:{}}}}", /* of WordPress 2 */
};

START_TEST(an_option_that_cannot_be_read_is_never_written)
{
	cx_open();
	cx_log_begin();
	cx_set_option(slice_str(unreadable[_i]));
	CK_RC(RC_NONE, take_all());
	CK_RC(RC_NONE, take_all());
	cron_events_rewind(cx.q);
	CK_RC(RC_NONE, take_all());
	ck_assert(slice_eq_str(cx_option(), unreadable[_i]));
	ck_assert_uint_eq(cx_logged("cron.unreadable"), 1);
	ck_assert_int_eq(cx_next_due(), INT64_MAX);
	cx_set_option(SLICE_LIT(EMPTY_OPTION));
	cx_add(CX_NOW - 1, "again", NO_ARGS, "", 0);
	CK_RC(RC_OK, take_all());
}
END_TEST

static const char *const nothing[] = { "", "a:0:{}", EMPTY_OPTION, "b:0;",
	"i:5;" };

START_TEST(no_events_are_no_events)
{
	cx_open();
	cx_set_option(slice_str(nothing[_i]));
	CK_RC(RC_NONE, take_all());
	ck_assert_int_eq(cx_next_due(), INT64_MAX);
	db_test_sql("DELETE FROM wp_options");
	CK_RC(RC_NONE, take_all());
	ck_assert_int_eq(cx_next_due(), INT64_MAX);
}
END_TEST

/* ---- others write meanwhile ---- */

static void
meanwhile(void)
{
	cx_remove(CX_NOW - 10, "cleared", NO_ARGS);
	cx_add(CX_NOW - 9, "added", NO_ARGS, "", 0);
	cx_add(CX_NOW - 8, "stays", NO_ARGS, "hourly", 60);
}

START_TEST(what_others_changed_meanwhile_is_kept)
{
	struct claim_result res;

	cx_open();
	cx_add(CX_NOW - 10, "cleared", NO_ARGS, "", 0);
	cx_add(CX_NOW - 8, "stays", NO_ARGS, "hourly", 3600);
	cx.on_admit = meanwhile;
	CK_RC(RC_OK, cx_claim(10, 0, &res));
	ck_assert_uint_eq(res.njobs[0], 1);
	ck_assert(slice_eq_str(res.jobs[0]->hook, "stays"));
	ck_assert(cx_in_option(CX_NOW - 9, "added"));
	/* By the interval it has now. */
	ck_assert(cx_in_option(CX_NOW + 52, "stays"));
	ck_assert_uint_eq(cx_rows("taken", "cleared"), 0);
	cx_claims_free(&res);
}
END_TEST

static void
all_gone(void)
{
	cx_set_option(SLICE_LIT(EMPTY_OPTION));
}

START_TEST(when_all_is_gone_nothing_is_written)
{
	cx_open();
	cx_add(CX_NOW - 10, "cleared", NO_ARGS, "", 0);
	cx.on_admit = all_gone;
	CK_RC(RC_NONE, take_all());
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " E), 0);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_options"), 1);
}
END_TEST

START_TEST(while_a_php_runner_holds_the_lock_nothing_is_taken)
{
	cx_open();
	cx_log_begin();
	cx_add(CX_NOW - 10, "one", NO_ARGS, "", 0);
	db_test_sql("INSERT INTO wp_options (option_name, option_value) VALUES"
		    " ('_transient_doing_cron', '1699999995.5')");
	CK_RC(RC_NONE, take_all());
	ck_assert(cx_in_option(CX_NOW - 10, "one"));
	ck_assert_int_eq(cx_next_due(), CX_NOW + 1);
	cx.now++;
	CK_RC(RC_NONE, take_all());
	ck_assert_uint_eq(cx_logged("cron.held"), 1);
	db_test_sql("DELETE FROM wp_options WHERE option_name <> 'cron'");
	cx.now++;
	CK_RC(RC_OK, take_all());
}
END_TEST

START_TEST(a_ping_with_the_locks_key_is_served_at_once)
{
	cx_open();
	cx_add(CX_NOW - 10, "one", NO_ARGS, "", 0);
	db_test_sql("INSERT INTO wp_options (option_name, option_value) VALUES"
		    " ('_transient_doing_cron', '1699999999.5')");
	CK_RC(RC_NONE, take_all());
	cron_events_note_ping(cx.q, SLICE_LIT("1699999999.5"));
	ck_assert_int_eq(cx_next_due(), CX_NOW - 9);
	CK_RC(RC_OK, take_all());
	ck_assert_uint_eq(db_test_u64("SELECT woken_by = 'page' FROM " E), 1);
}
END_TEST

START_TEST(options_without_transactions_are_left_alone)
{
	cx_open();
	cx_log_begin();
	cx_add(CX_NOW - 10, "one", NO_ARGS, "", 0);
	db_test_sql("ALTER TABLE wp_options ENGINE = MyISAM");
	CK_RC(RC_NONE, take_all());
	CK_RC(RC_NONE, take_all());
	ck_assert_uint_eq(cx_logged("cron.not_transactional"), 1);
	ck_assert(cx_in_option(CX_NOW - 10, "one"));
	db_test_sql("ALTER TABLE wp_options ENGINE = InnoDB");
	cron_events_rewind(cx.q);
	CK_RC(RC_OK, take_all());
}
END_TEST

/* ---- recurring events ---- */

/* Seconds after its time at which an event is taken, and its next run. */
static const struct {
	int64_t late, next;
} phases[] = { { 1, 300 }, { 100, 300 }, { 299, 300 }, { 300, 600 },
	{ 301, 600 }, { 86400, 86700 } };

START_TEST(a_recurring_event_keeps_its_phase)
{
	int64_t at = CX_NOW - phases[_i].late;

	cx_open();
	cx_add(at, "beat", NO_ARGS, "five", 300);
	CK_RC(RC_OK, take_all());
	ck_assert(cx_in_option(at + phases[_i].next, "beat"));
	ck_assert(!cx_in_option(at, "beat"));
	ck_assert_uint_eq(db_test_u64("SELECT next_at FROM " E),
	    (uint64_t)(at + phases[_i].next));
	ck_assert_uint_eq(cx_rows("taken", "beat"), 1);
}
END_TEST

START_TEST(the_interval_of_the_export_counts)
{
	cx_open();
	cx.site.php = true;
	cx_set_site(cx.q);
	know("five", 600);
	cx_add(CX_NOW - 10, "beat", NO_ARGS, "five", 300);
	CK_RC(RC_OK, take_all());
	ck_assert(cx_in_option(CX_NOW + 590, "beat"));
	ck_assert(has_text(cx_option(), "s:8:\"interval\";i:600;"));
}
END_TEST

START_TEST(nothing_is_taken_before_an_export)
{
	struct claim_result res;

	cx_open();
	cx.site.php = true;
	cx_set_site(cx.q);
	cx_add(CX_NOW - 10, "beat", NO_ARGS, "five", 300);
	cx_add(CX_NOW - 9, "once", NO_ARGS, "", 0);
	CK_RC(RC_NONE, cx_claim(10, 10, &res));
	ck_assert(res.wants_export);
	ck_assert_int_eq(cx_next_due(), CX_NOW + 5);
	know("five", 300);
	ck_assert_int_eq(cx_next_due(), CX_NOW - 9);
	CK_RC(RC_OK, cx_claim(10, 10, &res));
	ck_assert(!res.wants_export);
	ck_assert_uint_eq(res.njobs[0], 2);
	ck_assert(slice_eq_str(res.jobs[0]->recurrence, "five"));
	cx_claims_free(&res);
	/* It gets old. */
	cx.now += 3601;
	CK_RC(RC_NONE, cx_claim(10, 10, &res));
	ck_assert(res.wants_export);
}
END_TEST

START_TEST(a_vanished_recurrence_runs_this_once)
{
	cx_open();
	cx_log_begin();
	cx.site.php = true;
	cx_set_site(cx.q);
	know("hourly", 3600);
	cx_add(CX_NOW - 10, "beat", NO_ARGS, "five", 300);
	CK_RC(RC_OK, take_all());
	ck_assert_uint_eq(cx_rows("taken", "beat"), 1);
	ck_assert(slice_eq_str(cx_option(), EMPTY_OPTION));
	ck_assert_uint_eq(cx_logged("event.vanished"), 1);
	ck_assert_uint_eq(cx_logged("invalid_schedule"), 1);
}
END_TEST

START_TEST(no_interval_is_as_a_vanished_recurrence)
{
	cx_open();
	cx_log_begin();
	cx_add(CX_NOW - 10, "beat", NO_ARGS, "five", 0);
	CK_RC(RC_OK, take_all());
	ck_assert(slice_eq_str(cx_option(), EMPTY_OPTION));
	ck_assert_uint_eq(cx_logged("event.vanished"), 1);
}
END_TEST

START_TEST(a_known_recurrence_of_no_length_uses_the_stored_one)
{
	cx_open();
	cx.site.php = true;
	cx_set_site(cx.q);
	know("five", 0);
	cx_add(CX_NOW - 10, "beat", NO_ARGS, "five", 300);
	CK_RC(RC_OK, take_all());
	ck_assert(cx_in_option(CX_NOW + 290, "beat"));
}
END_TEST

/* ---- what nobody ran in time ---- */

static const struct {
	const char *what;
	struct policy policy;
	int64_t late, interval;
	unsigned taken, skipped;
} catch_ups[] = {
	{ "once, however late", { .catch_up = CATCH_UP_ONCE }, 864000, 3600, 1,
	    0 },
	{ "skip, in time", { .catch_up = CATCH_UP_SKIP }, 3600, 600, 1, 0 },
	{ "skip, late", { .catch_up = CATCH_UP_SKIP }, 3601, 600, 0, 1 },
	{ "skip, by its own age",
	    { .catch_up = CATCH_UP_SKIP, .max_age_ms = 60000 }, 61, 600, 0, 1 },
	{ "skip, a one-shot", { .catch_up = CATCH_UP_SKIP }, 3601, 0, 0, 1 },
	{ "all, nothing missed", { .catch_up = CATCH_UP_ALL }, 10, 600, 1, 0 },
	{ "all of two hours", { .catch_up = CATCH_UP_ALL }, 7200, 600, 13, 0 },
	{ "all, of a day", { .catch_up = CATCH_UP_ALL }, 864001, 3600, 24, 1 },
	{ "all, a hundred of them", { .catch_up = CATCH_UP_ALL }, 80000, 60,
	    100, 1 },
	{ "all, by its own age",
	    { .catch_up = CATCH_UP_ALL, .max_age_ms = 1000000 }, 7200, 600, 2,
	    1 },
	{ "all, a one-shot", { .catch_up = CATCH_UP_ALL }, 864000, 0, 1, 0 },
};

START_TEST(missed_runs_are_caught_up_with_by_policy)
{
	int64_t at = CX_NOW - catch_ups[_i].late;
	int64_t interval = catch_ups[_i].interval;

	cx_open();
	cx.policy = &catch_ups[_i].policy;
	cx_add(at, "beat", NO_ARGS, interval ? "some" : "", interval);
	(void)take_all();
	ck_assert_msg(cx_rows("taken", NULL) == catch_ups[_i].taken &&
			  cx_rows("skipped", NULL) == catch_ups[_i].skipped,
	    "%s: %llu taken, %llu skipped", catch_ups[_i].what,
	    (unsigned long long)cx_rows("taken", NULL),
	    (unsigned long long)cx_rows("skipped", NULL));
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM " E " WHERE scheduled_at = %lld",
		(long long)at),
	    1);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM " E
			" WHERE scheduled_at > %lld OR (%lld > 0 AND"
			" (scheduled_at - %lld) %% GREATEST(%lld, 1) <> 0)",
		(long long)CX_NOW, (long long)interval, (long long)at,
		(long long)interval),
	    0);
	ck_assert(interval == 0 ||
		  cx_in_option(cron_next_run(at, interval, CX_NOW), "beat"));
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM " E
			" WHERE state = 'skipped' AND ended_at IS NULL"),
	    0);
}
END_TEST

/* ---- the ledger ---- */

START_TEST(an_event_brought_back_is_removed_and_not_run)
{
	cx_open();
	cx_log_begin();
	cx_add(CX_NOW - 10, "one", NO_ARGS, "", 0);
	CK_RC(RC_OK, take_all());
	cx_add(CX_NOW - 10, "one", NO_ARGS, "", 0);
	CK_RC(RC_NONE, take_all());
	ck_assert(slice_eq_str(cx_option(), EMPTY_OPTION));
	ck_assert_uint_eq(cx_rows("taken", "one"), 1);
	ck_assert_uint_eq(cx_rows("resurrected", "one"), 1);
	ck_assert_uint_eq(cx_logged("event.resurrected"), 1);
	/* Other arguments are another event. */
	cx.policy = &cx_overlap;
	cx_add(CX_NOW - 10, "one", "a:1:{i:0;i:1;}", "", 0);
	CK_RC(RC_OK, take_all());
}
END_TEST

START_TEST(a_recurring_one_brought_back_gets_a_next_slot_if_it_has_none)
{
	cx_open();
	cx_add(CX_NOW - 10, "beat", NO_ARGS, "five", 300);
	CK_RC(RC_OK, take_all());
	ck_assert(cx_in_option(CX_NOW + 290, "beat"));
	/* The stale writer knew no later slot. */
	cx_remove(CX_NOW + 290, "beat", NO_ARGS);
	cx_add(CX_NOW - 10, "beat", NO_ARGS, "five", 300);
	CK_RC(RC_NONE, take_all());
	ck_assert(cx_in_option(CX_NOW + 290, "beat"));
	ck_assert(!cx_in_option(CX_NOW - 10, "beat"));
	/* It knew one: no other is added. */
	cx_remove(CX_NOW + 290, "beat", NO_ARGS);
	cx_add(CX_NOW + 100, "beat", NO_ARGS, "five", 300);
	cx_add(CX_NOW - 10, "beat", NO_ARGS, "five", 300);
	CK_RC(RC_NONE, take_all());
	ck_assert(cx_in_option(CX_NOW + 100, "beat"));
	ck_assert(!cx_in_option(CX_NOW + 290, "beat"));
	ck_assert_uint_eq(cx_rows("resurrected", NULL), 2);
	ck_assert_uint_eq(cx_rows("taken", NULL), 1);
}
END_TEST

START_TEST(after_the_ledgers_time_it_is_a_new_event)
{
	cx_open();
	cx_add(CX_NOW - 10, "one", NO_ARGS, "", 0);
	CK_RC(RC_OK, take_all());
	db_test_sql("UPDATE " E " SET state = 'done', ended_at ="
		    " UTC_TIMESTAMP(6) - INTERVAL 3601 SECOND");
	cx_add(CX_NOW - 10, "one", NO_ARGS, "", 0);
	CK_RC(RC_OK, take_all());
	ck_assert_uint_eq(cx_rows("taken", "one"), 1);
}
END_TEST

START_TEST(with_the_companion_nothing_is_ever_brought_back)
{
	cx_open();
	cx.site.companion = true;
	cx_set_site(cx.q);
	cx_add(CX_NOW - 10, "one", NO_ARGS, "", 0);
	CK_RC(RC_OK, take_all());
	cx.policy = &cx_overlap;
	cx_add(CX_NOW - 10, "one", NO_ARGS, "", 0);
	CK_RC(RC_OK, take_all());
	ck_assert_uint_eq(cx_rows("taken", "one"), 2);
}
END_TEST

START_TEST(observed_events_are_no_ledger)
{
	cx_open();
	cx.site.observe = true;
	cx_set_site(cx.q);
	cx_add(CX_NOW - 10, "one", NO_ARGS, "", 0);
	CK_RC(RC_NONE, take_all());
	ck_assert_uint_eq(cx_rows("observed", "one"), 1);
	cx.site.observe = false;
	cx_set_site(cx.q);
	CK_RC(RC_OK, take_all());
	ck_assert_uint_eq(cx_rows("taken", "one"), 1);
}
END_TEST

/* ---- observing ---- */

START_TEST(observing_writes_only_our_table)
{
	char *before;

	cx_open();
	cx.site.observe = true;
	cx_set_site(cx.q);
	cx_add(CX_NOW - 10, "one", NO_ARGS, "", 0);
	cx_add(CX_NOW - 9, "paused_b", NO_ARGS, "", 0);
	cx_add(CX_NOW - 8, "beat", NO_ARGS, "five", 300);
	cx_add(CX_NOW + 8, "later", NO_ARGS, "", 0);
	before = strndup(cx_option().p, cx_option().n);
	CK_RC(RC_NONE, take_all());
	CK_RC(RC_NONE, take_all());
	cron_events_rewind(cx.q);
	CK_RC(RC_NONE, take_all());
	ck_assert(slice_eq_str(cx_option(), before));
	ck_assert_uint_eq(cx_rows("observed", NULL), 2);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_options"), 1);
	ck_assert_int_eq(cx_next_due(), CX_NOW + 9);
	/* WordPress runs one of them. */
	cx_remove(CX_NOW - 10, "one", NO_ARGS);
	ck_assert_int_le(cx_next_due(), CX_NOW);
	CK_RC(RC_NONE, take_all());
	ck_assert_uint_eq(cx_rows("gone", "one"), 1);
	ck_assert_uint_eq(cx_rows("observed", "beat"), 1);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM " E " WHERE state = 'gone'"
			" AND ended_at IS NOT NULL"),
	    1);
	free(before);
}
END_TEST

START_TEST(observing_runs_nothing_and_what_was_taken_can_go_back)
{
	struct claim_result res;
	char *before;
	size_t n;

	cx_open();
	cx_add(CX_NOW - 10, "one", NO_ARGS, "", 0);
	before = strndup(cx_option().p, cx_option().n);
	CK_RC(RC_OK, cx_claim(1, 0, &res));
	CK_RC(RC_OK, cx_settle(res.jobs[0], OUTCOME_RELEASED, ""));
	cx_claims_free(&res);
	cx.site.observe = true;
	cx_set_site(cx.q);
	ck_assert_int_eq(cx_next_due(), INT64_MAX);
	CK_RC(RC_NONE, take_all());
	ck_assert_uint_eq(cx_rows("taken", "one"), 1);
	CK_RC(RC_OK, cron_events_return(cx.q, t.db, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	ck_assert(slice_eq_str(cx_option(), before));
	free(before);
}
END_TEST

START_TEST(what_was_observed_before_a_restart_is_seen_to_go)
{
	uint64_t node;

	cx_open();
	cx.site.observe = true;
	cx_set_site(cx.q);
	cx_add(CX_NOW - 10, "one", NO_ARGS, "", 0);
	CK_RC(RC_NONE, take_all());
	cron_events_free(cx.q);
	cx.q = cx_queue(t.db, &node);
	cx_remove(CX_NOW - 10, "one", NO_ARGS);
	CK_RC(RC_NONE, take_all());
	ck_assert_uint_eq(cx_rows("gone", "one"), 1);
}
END_TEST

/* ---- behind an object cache ---- */

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

/* The text of the first member of that name, \" and \\ undone. */
static char *
member(const char *json, const char *name)
{
	char key[40], *out = calloc(1, strlen(json) + 1), *to = out;
	const char *p;

	(void)snprintf(key, sizeof key, "\"%s\":\"", name);
	p = strstr(json, key);
	ck_assert_msg(p != NULL, "no %s in %s", name, json);
	for (p += strlen(key); *p && *p != '"'; p++) {
		if (strncmp(p, "\\u000a", 6) == 0) {
			*to++ = '\n';
			p += 5;
			continue;
		}
		if (*p == '\\')
			p++;
		*to++ = *p;
	}
	return out;
}

START_TEST(behind_an_object_cache_php_takes)
{
	struct claim_result res;
	char *insert, *left, *before;

	cx_open();
	cx.site.object_cache = cx.site.php = true;
	cx_set_site(cx.q);
	cron_events_note_ping(cx.q, SLICE_LIT("1699999999.25"));
	cx_add(CX_NOW - 10, "php_a", NO_ARGS, "five", 300);
	before = strndup(cx_option().p, cx_option().n);
	know("five", 300);
	CK_RC(RC_NONE, cx_claim(5, 5, &res));
	ck_assert(res.php_take != NULL);
	ck_assert(!res.wants_export);
	ck_assert(slice_eq_str(cx_option(), before));
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " E), 0);
	ck_assert(strstr(res.php_take,
	    "\"events\":[{\"ts\":1699999990,\"hook\":\"cGhwX2E=\","
	    "\"key\":\"NDBjZDc1MGJiYTk4NzBmMThhYWRhMjQ3OGIyNDg0MGE=\","
	    "\"drop\":false,\"insert\":\"INSERT "));
	ck_assert(strstr(res.php_take, "{\"lock\":{\"value\":\"1700000000.0"));
	ck_assert(strstr(res.php_take,
	    ",\"1699999999.25\"],\"stale_s\":60,\"left\":\"SELECT "));
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_wpcron_leases"
				      " WHERE name LIKE 'doing_cron/1/%%'"),
	    1);
	insert = member(res.php_take, "insert");
	left = member(res.php_take, "left");
	cx_claims_free(&res);
	/* What PHP does. */
	ck_assert_uint_eq(db_test_u64("%s", left), 0);
	db_test_sql("%s", insert);
	ck_assert_uint_eq(db_test_u64("%s", left), 1);
	cx_set_option(SLICE_LIT(EMPTY_OPTION));
	CK_RC(RC_OK, cx_claim(0, 5, &res));
	ck_assert(slice_eq_str(res.jobs[LANE_PHP]->hook, "php_a"));
	ck_assert(slice_eq_str(res.jobs[LANE_PHP]->recurrence, "five"));
	ck_assert(res.claims[LANE_PHP]->php_lock.n > 0);
	ck_assert(
	    has_text(res.claims[LANE_PHP]->php_lock, "\"left\":\"SELECT "));
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_options"), 1);
	ck_assert_uint_eq(db_test_u64("SELECT woken_by = 'page' FROM " E), 1);
	cx_claims_free(&res);
	/* Brought back by a stale writer. */
	cx_set_option(slice_str(before));
	CK_RC(RC_NONE, cx_claim(5, 5, &res));
	ck_assert(strstr(res.php_take, "\"drop\":true"));
	ck_assert(strstr(res.php_take, "resurrected"));
	cx_claims_free(&res);
	ck_assert_uint_eq(db_test_u64("%s", left), 1);
	db_test_sql("UPDATE " E " SET state = 'skipped', ended_at = NOW()");
	ck_assert_uint_eq(db_test_u64("%s", left), 0);
	free(before);
	free(left);
	free(insert);
}
END_TEST

START_TEST(what_php_left_over_keeps_the_lock)
{
	struct claim_result res, other;
	char *json, *left;

	cx_open();
	cx_add(CX_NOW - 10, "php_a", NO_ARGS, "", 0);
	cx_add(CX_NOW - 10, "php_b", NO_ARGS, "", 0);
	CK_RC(RC_OK, cx_claim(0, 1, &res));
	cx_claims_free(&res);
	cx.site.object_cache = true;
	cx_set_site(cx.q);
	CK_RC(RC_OK, cx_claim(0, 1, &other));
	json = strndup(other.claims[LANE_PHP]->php_lock.p,
	    other.claims[LANE_PHP]->php_lock.n);
	left = member(json, "left");
	ck_assert_uint_eq(db_test_u64("%s", left), 1);
	db_test_sql("UPDATE " E " SET state = 'done', ended_at = NOW()"
		    " WHERE hook = 'php_a'");
	ck_assert_uint_eq(db_test_u64("%s", left), 0);
	cx_claims_free(&other);
	free(json);
	free(left);
}
END_TEST

/* ---- much ---- */

/* So many one-shots from that time on, one a second and hook h<n>. */
static void
many(size_t n, int64_t first, const char *prefix)
{
	struct buf text = BUF_INIT((size_t)16 << 20);

	buf_printf(&text, "a:%zu:{", n + 1);
	for (size_t i = 0; i < n; i++) {
		char hook[32];
		int len = snprintf(hook, sizeof hook, "%s%zu", prefix, i);

		buf_printf(&text,
		    "i:%lld;a:1:{s:%d:\"%s\";a:1:{s:32:\"" KEY
		    "\";a:2:{s:8:\"schedule\";b:0;s:4:\"args\";a:0:{}}}}",
		    (long long)first + (long long)i, len, hook);
	}
	buf_put_str(&text, "s:7:\"version\";i:2;}");
	cx_set_option(buf_slice(&text));
	buf_clear(&text);
}

START_TEST(a_backlog_is_taken_a_thousand_at_a_time)
{
	struct claim_result res;
	size_t admits;

	cx_open();
	many(2500, CX_NOW - 3000, "h");
	CK_RC(RC_OK, cx_claim(10, 0, &res));
	ck_assert_uint_eq(res.njobs[0], 10);
	ck_assert(res.more);
	ck_assert(slice_eq_str(res.jobs[0]->hook, "h0"));
	ck_assert_uint_eq(cx_rows("taken", NULL), 1000);
	cx_claims_free(&res);
	/* As long as rows wait for the room there is, nothing is taken, nor is
	 * anything of the option asked about. */
	admits = cx.admits;
	CK_RC(RC_OK, cx_claim(10, 0, &res));
	ck_assert_uint_lt(cx.admits - admits, 1000);
	ck_assert(res.more);
	ck_assert_uint_eq(cx_rows("taken", NULL), 1000);
	cx_claims_free(&res);
	/* With many that wait, only hooks of which none waits are added to. */
	CK_RC(RC_OK, cx_claim(1500, 0, &res));
	ck_assert_uint_eq(res.njobs[0], 1230);
	ck_assert_uint_eq(cx_rows("taken", NULL), 1250);
	cx_claims_free(&res);
}
END_TEST

START_TEST(rows_that_nobody_may_run_do_not_keep_others_from_being_taken)
{
	struct claim_result res;

	cx_open();
	many(1100, CX_NOW - 3000, "h");
	CK_RC(RC_OK, cx_claim(1, 0, &res));
	cx_claims_free(&res);
	db_test_sql("UPDATE " E " SET hook = CONCAT('paused_', hook)");
	CK_RC(RC_OK, cx_claim(2000, 0, &res));
	ck_assert_uint_eq(res.njobs[0], 100);
	cx_claims_free(&res);
}
END_TEST

/* `n` events of one hook, told apart by their keys. */
static void
many_of(size_t n, const char *hook, int64_t first)
{
	struct buf text = BUF_INIT((size_t)16 << 20);

	buf_printf(&text, "a:%zu:{", n + 1);
	for (size_t i = 0; i < n; i++)
		buf_printf(&text,
		    "i:%lld;a:1:{s:%zu:\"%s\";a:1:{s:32:\"%032zu\";"
		    "a:2:{s:8:\"schedule\";b:0;s:4:\"args\";a:0:{}}}}",
		    (long long)first + (long long)i, strlen(hook), hook, i);
	buf_put_str(&text, "s:7:\"version\";i:2;}");
	cx_set_option(buf_slice(&text));
	buf_clear(&text);
}

START_TEST(a_hook_with_many_events_leaves_others_their_share)
{
	struct claim_result res;

	cx_open();
	many_of(3000, "slow", CX_NOW - 3100);
	cx_add(CX_NOW - 5, "quick", NO_ARGS, "", 0);
	CK_RC(RC_OK, cx_claim(1, 0, &res));
	ck_assert(slice_eq_str(res.jobs[0]->hook, "slow"));
	cx_claims_free(&res);
	ck_assert_uint_eq(cx_rows("taken", "quick"), 1);
	ck_assert_uint_eq(cx_rows("taken", "slow"), 999);
	/* It runs, and no more of it is taken; what is new is. */
	cx_add(CX_NOW - 4, "other", NO_ARGS, "", 0);
	CK_RC(RC_OK, cx_claim(10, 0, &res));
	ck_assert_uint_eq(res.njobs[0], 2);
	cx_claims_free(&res);
	ck_assert_uint_eq(cx_rows("taken", "slow"), 999);
	/* Nor is the option read again and again. */
	CK_RC(RC_NONE, cx_claim(10, 0, &res));
	ck_assert_int_gt(cx_next_due(), CX_NOW);
	ck_assert_int_le(cx_next_due(), CX_NOW + 2);
}
END_TEST

START_TEST(what_waits_for_room_does_not_keep_new_hooks_in_the_option)
{
	struct claim_result res;

	cx_open();
	many_of(2000, "alone_slow", CX_NOW - 3100);
	CK_RC(RC_OK, cx_claim(0, 5, &res));
	cx_claims_free(&res);
	ck_assert_uint_eq(cx_rows("taken", NULL), 1000);
	db_test_sql("UPDATE " E " SET hook = 'php_slow'");
	cx_add(CX_NOW - 5, "php_quick", NO_ARGS, "", 0);
	cx.policy = &cx_overlap;
	CK_RC(RC_OK, cx_claim(0, 5, &res));
	cx_claims_free(&res);
	ck_assert_uint_eq(cx_rows("taken", "php_quick"), 0);
	CK_RC(RC_OK, cx_claim(0, 2000, &res));
	ck_assert_uint_eq(cx_rows("taken", "php_quick"), 1);
	cx_claims_free(&res);
}
END_TEST

static double
ms_since(mono_ms start)
{
	return (double)(clock_mono(&clock_system) - start);
}

START_TEST(an_option_of_fifty_thousand_events_is_taken_from)
{
	struct claim_result res;
	size_t bytes;
	mono_ms start;
	double whole, head;

	cx_open();
	many(50000, CX_NOW - 500, "a_hook_of_some_length_");
	bytes = cx_option().n;
	start = clock_mono(&clock_system);
	CK_RC(RC_OK, cx_claim(25, 0, &res));
	whole = ms_since(start);
	ck_assert_uint_eq(cx_rows("taken", NULL), 500);
	cx_claims_free(&res);
	start = clock_mono(&clock_system);
	for (int i = 0; i < 100; i++)
		ck_assert_int_le(cx_next_due(), CX_NOW + 1);
	head = ms_since(start);
	printf("cron_take: 500 of 50,000 events (%zu bytes) in %.0f ms,"
	       " a look in %.2f ms\n",
	    bytes, whole, head / 100);
	(void)fflush(stdout);
}
END_TEST

START_TEST(large_arguments_pass_the_smallest_packet_sizes)
{
	struct claim_result res;
	char *args = malloc(1500100);
	size_t n;

	cx_open();
	n = (size_t)snprintf(args, 100, "a:1:{i:0;s:1400000:\"");
	memset(args + n, '\xc3', 1400000);
	for (size_t i = 1; i < 1400000; i += 2)
		args[n + i] = '\xa4';
	(void)snprintf(args + n + 1400000, 10, "\";}");
	for (int i = 0; i < 4; i++) {
		char hook[16];

		(void)snprintf(hook, sizeof hook, "big%d", i);
		cx_add(CX_NOW - 10, hook, args, "", 0);
	}
	CK_RC(RC_OK, cx_claim(25, 0, &res));
	ck_assert_uint_eq(res.njobs[0], 4);
	ck_assert(slice_eq_str(res.jobs[0]->event_args, args));
	cx_claims_free(&res);
	free(args);
}
END_TEST

static const struct {
	const char *key;
	bool pinged;
	const char *word;
} wakers[] = { { "", false, "clock" }, { "1699999999.5", true, "page" },
	{ "", true, "call" } };

START_TEST(a_row_says_what_brought_it)
{
	cx_open();
	cx_add(CX_NOW - 10, "one", NO_ARGS, "", 0);
	if (wakers[_i].pinged)
		cron_events_note_ping(cx.q, slice_str(wakers[_i].key));
	CK_RC(RC_OK, take_all());
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM " E " WHERE woken_by = '%s'",
		wakers[_i].word),
	    1);
}
END_TEST

START_TEST(where_events_are_kept_elsewhere_nothing_is_taken)
{
	const struct cron_events_export x = { .exported_at = CX_NOW,
		.replaced_by = "Cavalcade" };

	cx_open();
	cx_add(CX_NOW - 10, "one", NO_ARGS, "", 0);
	cron_events_set_export(cx.q, &x);
	ck_assert_str_eq(cron_events_replaced_by(cx.q), "Cavalcade");
	ck_assert_int_eq(cx_next_due(), INT64_MAX);
	CK_RC(RC_NONE, take_all());
	ck_assert(cx_in_option(CX_NOW - 10, "one"));
}
END_TEST

static void
add_option_tests(Suite *s)
{
	TCase *tc = cx_case();

	tcase_add_test(tc, a_due_one_shot_moves_to_the_table_and_is_claimed);
	tcase_add_test(tc, an_event_is_taken_when_its_second_is_over);
	tcase_add_test(tc, with_the_companion_it_is_taken_at_once);
	tcase_add_loop_test(
	    tc, only_what_is_taken_changes_in_the_option, 0, NELEMS(splices));
	tcase_add_test(tc, the_bytes_of_an_event_are_kept);
	tcase_add_test(tc, a_failing_insert_leaves_the_option_untouched);
	tcase_add_test(
	    tc, an_event_that_the_server_refuses_does_not_keep_the_others);
	tcase_add_test(tc, what_the_server_refuses_of_all_is_an_error);
	tcase_add_test(tc, a_failing_option_write_leaves_the_table_untouched);
	tcase_add_test(tc, what_nobody_may_run_stays_and_is_not_read_again);
	tcase_add_test(tc, a_lane_without_room_leaves_its_events_in_the_option);
	tcase_add_test(tc, what_does_not_fit_the_table_stays_and_is_said_once);
	tcase_add_loop_test(tc, an_option_that_cannot_be_read_is_never_written,
	    0, NELEMS(unreadable));
	tcase_add_loop_test(tc, no_events_are_no_events, 0, NELEMS(nothing));
	tcase_add_test(tc, what_others_changed_meanwhile_is_kept);
	tcase_add_test(tc, when_all_is_gone_nothing_is_written);
	tcase_add_test(tc, while_a_php_runner_holds_the_lock_nothing_is_taken);
	tcase_add_test(tc, a_ping_with_the_locks_key_is_served_at_once);
	tcase_add_test(tc, options_without_transactions_are_left_alone);
	tcase_add_loop_test(tc, a_row_says_what_brought_it, 0, NELEMS(wakers));
	tcase_add_test(tc, where_events_are_kept_elsewhere_nothing_is_taken);
	suite_add_tcase(s, tc);
}

static void
add_recurring_tests(Suite *s)
{
	TCase *tc = cx_case();

	tcase_add_loop_test(
	    tc, a_recurring_event_keeps_its_phase, 0, NELEMS(phases));
	tcase_add_test(tc, the_interval_of_the_export_counts);
	tcase_add_test(tc, nothing_is_taken_before_an_export);
	tcase_add_test(tc, a_vanished_recurrence_runs_this_once);
	tcase_add_test(tc, no_interval_is_as_a_vanished_recurrence);
	tcase_add_test(tc, a_known_recurrence_of_no_length_uses_the_stored_one);
	tcase_add_loop_test(
	    tc, missed_runs_are_caught_up_with_by_policy, 0, NELEMS(catch_ups));
	tcase_add_test(tc, an_event_brought_back_is_removed_and_not_run);
	tcase_add_test(
	    tc, a_recurring_one_brought_back_gets_a_next_slot_if_it_has_none);
	tcase_add_test(tc, after_the_ledgers_time_it_is_a_new_event);
	tcase_add_test(tc, with_the_companion_nothing_is_ever_brought_back);
	tcase_add_test(tc, observed_events_are_no_ledger);
	suite_add_tcase(s, tc);
}

Suite *
cron_take_suite(void)
{
	Suite *s = suite_create("cron_take");
	TCase *tc;

	add_option_tests(s);
	add_recurring_tests(s);
	tc = cx_case();
	tcase_add_test(tc, observing_writes_only_our_table);
	tcase_add_test(
	    tc, observing_runs_nothing_and_what_was_taken_can_go_back);
	tcase_add_test(tc, what_was_observed_before_a_restart_is_seen_to_go);
	tcase_add_test(tc, php_jobs_carry_their_statements);
	tcase_add_test(tc, behind_an_object_cache_php_takes);
	tcase_add_test(tc, what_php_left_over_keeps_the_lock);
	tcase_add_test(tc, a_backlog_is_taken_a_thousand_at_a_time);
	tcase_add_test(
	    tc, rows_that_nobody_may_run_do_not_keep_others_from_being_taken);
	tcase_add_test(tc, a_hook_with_many_events_leaves_others_their_share);
	tcase_add_test(
	    tc, what_waits_for_room_does_not_keep_new_hooks_in_the_option);
	tcase_add_test(tc, an_option_of_fifty_thousand_events_is_taken_from);
	tcase_add_test(tc, large_arguments_pass_the_smallest_packet_sizes);
	suite_add_tcase(s, tc);
	return s;
}
