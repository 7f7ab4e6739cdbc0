/* What an administrator does to cron events. */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "cron_fixture.h"
#include "queues/cron_events_admin.h"

Suite *cron_admin_suite(void);

#define TAKE_MAX 3

static struct cron_admin
admin(void)
{
	return (
	    struct cron_admin){ .db = t.db, .scope = &t.scope, .blog_id = 1 };
}

static enum rc
schedule(int64_t at, const char *hook, const char *recurrence, int64_t interval)
{
	const struct cron_admin a = admin();
	const struct cron_admin_event e = { .timestamp = at,
		.hook = slice_str(hook),
		.args = SLICE_LIT(NO_ARGS),
		.recurrence = slice_str(recurrence),
		.interval = interval };

	return cron_admin_schedule(&a, &e, CX_NOW, &t.err);
}

START_TEST(what_is_scheduled_is_in_the_option_as_core_writes_it)
{
	cx_open();
	CK_RC(RC_OK, schedule(CX_NOW + 60, "h", "", 0));
	ck_assert(slice_eq_str(cx_option(),
	    "a:2:{i:1700000060;a:1:{s:1:\"h\";a:1:{"
	    "s:32:\"40cd750bba9870f18aada2478b24840a\";"
	    "a:2:{s:8:\"schedule\";b:0;s:4:\"args\";a:0:{}}}}"
	    "s:7:\"version\";i:2;}"));
	CK_RC(RC_OK, schedule(CX_NOW + 60, "r", "hourly", 3600));
	ck_assert(cx_in_option(CX_NOW + 60, "h"));
	ck_assert(cx_in_option(CX_NOW + 60, "r"));
}
END_TEST

/* wp_schedule_single_event(): what is there, what is new, is it refused? */
static const struct {
	int64_t there, fresh;
	bool refused;
} near_rows[] = {
	{ 1000, 1599, true },
	{ 1000, 1600, true },
	{ 1000, 1601, false },
	{ 1000, 400, true },
	{ 1000, 399, false },
	{ -5000, 599, true },
	{ -5000, 601, false },
	{ 590, -1, true },
	{ 601, -1, false },
};

START_TEST(a_one_shot_within_ten_minutes_of_its_like_is_refused)
{
	cx_open();
	cx_add(CX_NOW + near_rows[_i].there, "h", NO_ARGS, "", 0);
	CK_RC(near_rows[_i].refused ? RC_NONE : RC_OK,
	    schedule(CX_NOW + near_rows[_i].fresh, "h", "", 0));
	CK_RC(
	    RC_OK, schedule(CX_NOW + near_rows[_i].fresh, "h", "hourly", 3600));
	CK_RC(RC_OK, schedule(CX_NOW + near_rows[_i].fresh, "other", "", 0));
}
END_TEST

static bool
is_hook(void *hook, const struct cron_event *e)
{
	return slice_eq_str(e->hook, hook);
}

START_TEST(what_is_picked_is_removed_and_nothing_else)
{
	struct cron_admin a = admin();
	char hook[] = "go";
	size_t n = 99;

	cx_open();
	cx_add(CX_NOW + 1, "go", NO_ARGS, "", 0);
	cx_add(CX_NOW + 1, "stay", NO_ARGS, "", 0);
	cx_add(CX_NOW + 9, "go", "a:1:{i:0;i:1;}", "hourly", 3600);
	a.companion = true;
	CK_RC(RC_OK, cron_admin_remove(&a, is_hook, hook, &n, &t.err));
	ck_assert_uint_eq(n, 2);
	ck_assert(cx_in_option(CX_NOW + 1, "stay"));
	ck_assert(!cx_in_option(CX_NOW + 1, "go"));
	ck_assert(!cx_in_option(CX_NOW + 9, "go"));
	CK_RC(RC_OK, cron_admin_remove(&a, is_hook, hook, &n, &t.err));
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM"
				      " information_schema.PROCESSLIST WHERE"
				      " STATE LIKE '%%lock%%'"),
	    0);
}
END_TEST

static int64_t
interval_of(void *arg, struct slice recurrence, int64_t stored)
{
	(void)arg;
	return slice_eq_str(recurrence, "gone") ? 0 : stored;
}

static enum rc
take(char *hook, struct cron_admin_take *out, uint64_t ids[TAKE_MAX])
{
	const struct cron_admin a = admin();

	*out = (struct cron_admin_take){ .pick = is_hook,
		.interval_of = interval_of,
		.arg = hook,
		.now = CX_NOW,
		.ids = ids,
		.max = TAKE_MAX };
	return cron_admin_take_events(&a, out, &t.err);
}

START_TEST(what_is_taken_waits_and_a_series_goes_on)
{
	struct cron_admin_take got;
	struct claim_result res;
	uint64_t ids[TAKE_MAX];
	char hook[] = "h";
	struct job *j;

	cx_open();
	cx_add(CX_NOW + 500, "h", NO_ARGS, "", 0);
	cx_add(CX_NOW - 100, "h", "a:1:{i:0;i:1;}", "hourly", 3600);
	cx_add(CX_NOW - 100, "h", "a:1:{i:0;i:2;}", "gone", 60);
	CK_RC(RC_OK, take(hook, &got, ids));
	ck_assert_uint_eq(got.n, 3);
	ck_assert_uint_eq(cx_rows("taken", "h"), 3);
	ck_assert(!cx_in_option(CX_NOW + 500, "h"));
	ck_assert(!cx_in_option(CX_NOW - 100, "h"));
	ck_assert(cx_in_option(CX_NOW + 3500, "h"));
	ck_assert_uint_eq(
	    db_test_u64("SELECT next_at FROM " E " WHERE recurrence ="
			" 'hourly'"),
	    CX_NOW + 3500);
	j = cx_claim_one(&res);
	ck_assert(slice_eq_str(j->hook, "h"));
	cx_claims_free(&res);
}
END_TEST

START_TEST(more_than_there_is_room_for_is_not_taken_at_all)
{
	struct cron_admin_take got;
	uint64_t ids[TAKE_MAX];
	char hook[] = "h";

	cx_open();
	for (int i = 0; i <= TAKE_MAX; i++)
		cx_add(CX_NOW + i, "h", NO_ARGS, "", 0);
	CK_RC(RC_REJECT, take(hook, &got, ids));
	ck_assert_uint_eq(got.n, 0);
	ck_assert_uint_eq(cx_rows("taken", "h"), 0);
	ck_assert(cx_in_option(CX_NOW, "h"));
}
END_TEST

START_TEST(what_failed_waits_again_in_the_same_row)
{
	const struct cron_admin a = admin();
	struct claim_result res;
	uint64_t id;
	struct job *j;

	cx_open();
	cx_add(CX_NOW - 10, "h", NO_ARGS, "", 0);
	j = cx_claim_one(&res);
	id = j->id;
	CK_RC(RC_NONE, cron_admin_retry(&a, id, &t.err));
	ck_assert_ptr_nonnull(strstr(t.err.text, "is taken"));
	cx_start(&res, LANE_NATIVE);
	CK_RC(RC_OK, cx_settle(j, OUTCOME_FAILED, "boom"));
	cx_claims_free(&res);
	ck_assert_uint_eq(cx_rows("failed", "h"), 1);
	CK_RC(RC_OK, cron_admin_retry(&a, id, &t.err));
	ck_assert_uint_eq(cx_rows("failed", "h"), 0);
	j = cx_claim_one(&res);
	ck_assert_uint_eq(j->id, id);
	ck_assert_uint_eq(j->try, 1);
	cx_claims_free(&res);
	CK_RC(RC_NONE, cron_admin_retry(&a, 999, &t.err));
	ck_assert_ptr_nonnull(strstr(t.err.text, "no event"));
}
END_TEST

START_TEST(what_a_node_has_claimed_is_not_dropped)
{
	const struct cron_admin a = admin();
	struct cron_admin_take got;
	uint64_t ids[TAKE_MAX], dropped = 99;
	char hook[] = "h";

	cx_open();
	cx_add(CX_NOW + 1, "h", NO_ARGS, "", 0);
	cx_add(CX_NOW + 2, "h", NO_ARGS, "", 0);
	CK_RC(RC_OK, take(hook, &got, ids));
	db_test_sql("UPDATE " E " SET claim_id = 5 WHERE event_id = %lu",
	    (unsigned long)ids[0]);
	CK_RC(RC_OK, cron_admin_drop(&a, ids, got.n, &dropped, &t.err));
	ck_assert_uint_eq(dropped, 1);
	ck_assert_uint_eq(cx_rows("taken", "h"), 1);
	ck_assert_uint_eq(cx_rows("skipped", "h"), 1);
	CK_RC(RC_OK, cron_admin_drop(&a, ids, 0, &dropped, &t.err));
	ck_assert_uint_eq(dropped, 0);
}
END_TEST

START_TEST(where_the_option_is_not_ours_to_write_nothing_is)
{
	struct cron_admin a = admin();
	char hook[] = "h";
	size_t n;

	cx_open();
	cx_add(CX_NOW + 1, "h", NO_ARGS, "", 0);
	a.object_cache = true;
	CK_RC(RC_REJECT, cron_admin_remove(&a, is_hook, hook, &n, &t.err));
	ck_assert_ptr_nonnull(strstr(t.err.text, "WP-CLI"));
	a.object_cache = false;
	db_test_sql("CREATE TABLE wp_cavalcade_jobs (id INT)");
	CK_RC(RC_REJECT, cron_admin_remove(&a, is_hook, hook, &n, &t.err));
	ck_assert_ptr_nonnull(strstr(t.err.text, "wp_cavalcade_jobs"));
	db_test_sql("DROP TABLE wp_cavalcade_jobs");
	db_test_sql("ALTER TABLE wp_options ENGINE=MyISAM");
	CK_RC(RC_REJECT, cron_admin_remove(&a, is_hook, hook, &n, &t.err));
	ck_assert_ptr_nonnull(strstr(t.err.text, "InnoDB"));
	ck_assert(cx_in_option(CX_NOW + 1, "h"));
}
END_TEST

Suite *
cron_admin_suite(void)
{
	Suite *s = suite_create("cron_admin");
	TCase *tc = cx_case();

	tcase_add_test(
	    tc, what_is_scheduled_is_in_the_option_as_core_writes_it);
	tcase_add_loop_test(tc,
	    a_one_shot_within_ten_minutes_of_its_like_is_refused, 0,
	    NELEMS(near_rows));
	tcase_add_test(tc, what_is_picked_is_removed_and_nothing_else);
	tcase_add_test(tc, what_is_taken_waits_and_a_series_goes_on);
	tcase_add_test(tc, more_than_there_is_room_for_is_not_taken_at_all);
	tcase_add_test(tc, what_failed_waits_again_in_the_same_row);
	tcase_add_test(tc, what_a_node_has_claimed_is_not_dropped);
	tcase_add_test(tc, where_the_option_is_not_ours_to_write_nothing_is);
	suite_add_tcase(s, tc);
	return s;
}
