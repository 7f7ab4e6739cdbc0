#include "formats/cron_expression.h"

#include <check.h>

#include "base/clock.h"

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

static int64_t
at(const char *datetime)
{
	return datetime_parse(datetime, strlen(datetime));
}

/* The first match after a time; NULL: refused. 2026-11-21 is a Saturday. */
static const struct {
	const char *expr, *after, *next;
} nexts[] = {
	{ "* * * * *", "2026-11-21 10:00:00", "2026-11-21 10:01:00" },
	{ "* * * * *", "2026-11-21 10:00:59", "2026-11-21 10:01:00" },
	{ "30 2 * * 1-5", "2026-11-21 10:00:00", "2026-11-23 02:30:00" },
	{ "*/5 * * * *", "2026-11-21 10:00:00", "2026-11-21 10:05:00" },
	{ "*/5 * * * *", "2026-11-21 10:04:59", "2026-11-21 10:05:00" },
	{ "0/7 * * * *", "2026-11-21 10:50:00", "2026-11-21 10:56:00" },
	{ "3/7 * * * *", "2026-11-21 10:52:00", "2026-11-21 10:59:00" },
	{ "3/7 * * * *", "2026-11-21 10:59:00", "2026-11-21 11:03:00" },
	{ "10-30/8 * * * *", "2026-11-21 10:26:00", "2026-11-21 11:10:00" },
	{ "1,2,50 * * * *", "2026-11-21 10:02:00", "2026-11-21 10:50:00" },
	{ "07 09 * * *", "2026-11-21 10:02:00", "2026-11-22 09:07:00" },
	{ "0 0 1 1 *", "2026-11-21 10:02:00", "2027-01-01 00:00:00" },
	{ "0 0 29 2 *", "2026-11-21 10:02:00", "2028-02-29 00:00:00" },
	{ "0 0 * FEB,mar *", "2026-11-21 10:02:00", "2027-02-01 00:00:00" },
	{ "0 0 L * *", "2026-11-21 10:02:00", "2026-11-30 00:00:00" },
	{ "0 0 L 2 *", "2027-12-21 10:02:00", "2028-02-29 00:00:00" },
	{ "0 0 15W * *", "2026-11-01 00:00:00", "2026-11-16 00:00:00" },
	{ "0 0 1W * *", "2026-07-20 00:00:00", "2026-08-03 00:00:00" },
	{ "0 0 30W 5 *", "2026-01-01 00:00:00", "2026-05-29 00:00:00" },
	{ "0 0 ? * MON", "2026-11-21 10:02:00", "2026-11-23 00:00:00" },
	/* both must match: Friday the 13th */
	{ "0 0 13 * 5", "2026-11-14 00:00:00", "2027-08-13 00:00:00" },
	{ "0 0 * * 0", "2026-11-21 10:02:00", "2026-11-22 00:00:00" },
	{ "0 0 * * 7", "2026-11-21 10:02:00", "2026-11-22 00:00:00" },
	{ "0 0 * * 5-7", "2026-11-22 00:00:00", "2026-11-27 00:00:00" },
	{ "0 0 * * 6-0", "2026-11-22 00:00:00", "2026-11-28 00:00:00" },
	{ "0 0 * * 7-2", "2026-11-22 00:00:00", "2026-11-23 00:00:00" },
	{ "0 0 * * sun-TUE", "2026-11-24 00:00:00", "2026-11-29 00:00:00" },
	{ "0 0 * * 5L", "2026-11-21 00:00:00", "2026-11-27 00:00:00" },
	{ "0 0 * * 7L", "2026-11-21 00:00:00", "2026-11-29 00:00:00" },
	{ "0 0 * * FRIL", "2026-11-28 00:00:00", "2026-12-25 00:00:00" },
	{ "0 0 * * 2#3", "2026-11-21 00:00:00", "2026-12-15 00:00:00" },
	{ "0 0 * * 1#5", "2026-11-21 00:00:00", "2026-11-30 00:00:00" },
	{ "0 0 1 1 * 2028", "2026-11-21 00:00:00", "2028-01-01 00:00:00" },
	{ "0 0 1 1 * 2027-2031/2", "2027-01-01 00:00:00",
	    "2029-01-01 00:00:00" },
	{ " \t0  0 * *\n* ", "2026-11-21 10:02:00", "2026-11-22 00:00:00" },
	{ "@daily", "2026-11-21 10:02:00", "2026-11-22 00:00:00" },
	{ "@weekly", "2026-11-21 10:02:00", "2026-11-22 00:00:00" },
	{ "@monthly", "2026-11-21 10:02:00", "2026-12-01 00:00:00" },
	{ "@yearly", "2026-11-21 10:02:00", "2027-01-01 00:00:00" },
	{ "@annually", "2026-11-21 10:02:00", "2027-01-01 00:00:00" },
	{ "@hourly", "2026-11-21 10:02:00", "2026-11-21 11:00:00" },
	/* the short month after a 31st is passed over */
	{ "0 0 1 2 *", "2027-01-31 10:00:00", "2028-02-01 00:00:00" },
	{ "0 * * 2-5 *", "2027-01-31 23:59:59", "2027-03-01 00:00:00" },
	{ "0 0 1 2 *", "2027-01-28 10:00:00", "2027-02-01 00:00:00" },
	/* a day past the month's end runs over: 31 February is 3 March */
	{ "0 0 31W 2 *", "2027-01-01 00:00:00", "2027-02-03 00:00:00" },
	{ "0 0 * * *", "1969-12-31 23:59:59", "1970-01-01 00:00:00" },
	{ "30 1 * * *", "1969-06-01 01:29:59", "1969-06-01 01:30:00" },
	/* never */
	{ "0 0 30 2 *", "2026-11-21 00:00:00", NULL },
	{ "60 * * * *", "2026-11-21 00:00:00", NULL },
	{ "0 0 1 1 * 2020", "2026-11-21 00:00:00", NULL },
	{ "0 0 1 1 * 1999", "2026-11-21 00:00:00", NULL },
	{ "*/0 * * * *", "2026-11-21 00:00:00", NULL },
	{ "5-9/0 * * * *", "2026-11-21 00:00:00", "2026-11-21 00:05:00" },
	{ "5-9/0 * * * *", "2026-11-21 00:05:00", NULL },
	{ "0 0 * * 6#1", "2026-11-21 00:00:00", NULL },
	{ "0 0 * * 0#1", "2026-11-21 00:00:00", NULL },
	{ "0 0 * * 1#6", "2026-11-21 00:00:00", NULL },
	{ "0 0 * * 8L", "2026-11-21 00:00:00", NULL },
	{ "0 0 32W * *", "2026-11-21 00:00:00", NULL },
	{ "0 0 LW * *", "2026-11-21 00:00:00", NULL },
};

START_TEST(the_next_match_is_the_one_php_finds)
{
	struct cron_expression expr;
	struct err err = ERR_INIT;
	int64_t next = 42;
	enum rc rc;

	rc = cron_expression_parse(slice_str(nexts[_i].expr), &expr, &err);
	ck_assert_msg(rc == RC_OK, "%s: %s", nexts[_i].expr, err.text);
	rc = cron_expression_next(&expr, at(nexts[_i].after), &next, &err);
	if (!nexts[_i].next) {
		ck_assert_int_eq(rc, RC_REJECT);
		ck_assert_int_eq(next, 42);
		return;
	}
	ck_assert_msg(rc == RC_OK, "%s: %s", nexts[_i].expr, err.text);
	char text[DATETIME_LEN + 1];
	datetime_render(next, text);
	ck_assert_msg(strcmp(text, nexts[_i].next) == 0, "%s: %s, want %s",
	    nexts[_i].expr, text, nexts[_i].next);
}
END_TEST

START_TEST(first_takes_the_minute_it_is_asked_in)
{
	struct cron_expression expr;
	int64_t next;

	ck_assert_int_eq(
	    cron_expression_parse(SLICE_LIT("30 2 * * *"), &expr, NULL), RC_OK);
	ck_assert_int_eq(cron_expression_first(
			     &expr, at("2026-11-21 02:30:17"), &next, NULL),
	    RC_OK);
	ck_assert_int_eq(next, at("2026-11-21 02:30:00"));
	ck_assert_int_eq(cron_expression_first(
			     &expr, at("2026-11-21 02:31:00"), &next, NULL),
	    RC_OK);
	ck_assert_int_eq(next, at("2026-11-22 02:30:00"));
}
END_TEST

START_TEST(times_outside_the_calendar_are_refused)
{
	const struct cron_expression expr = {
		{ SLICE_LIT("*"), SLICE_LIT("*"), SLICE_LIT("*"),
		    SLICE_LIT("*"), SLICE_LIT("*") },
		5,
	};
	int64_t next;

	ck_assert_int_eq(
	    cron_expression_next(&expr, INT64_MIN, &next, NULL), RC_REJECT);
	ck_assert_int_eq(
	    cron_expression_next(&expr, INT64_MAX, &next, NULL), RC_REJECT);
	ck_assert_int_eq(
	    cron_expression_next(&expr, at("9999-12-31 23:59:59"), &next, NULL),
	    RC_REJECT);
	ck_assert_int_eq(
	    cron_expression_next(&expr, at("0001-01-01 00:00:00"), &next, NULL),
	    RC_OK);
	ck_assert_int_eq(next, at("0001-01-01 00:01:00"));
}
END_TEST

static const char *const refused[] = {
	"",
	"* * * *",
	"* * * * * * *",
	"@midnight",
	"@reboot",
	"@Daily",
	" @daily",
	"a * * * *",
	"* ? * * *",
	"* * ! * *",
	"* * * jan *",
	"* * * * mon",
	"* * * * ?",
	"* * * * * JAN",
	"1.5 * * * *",
	"+5 * * * *",
	"1e1 * * * *",
	"5\x01 * * * *",
	"5\xc3\xa9 * * * *",
	"1000000000000000000000 * * * *",
	/* an item of 64 bytes */
	("1111111-1111111-1111111-1111111-1111111-1111111-1111111-11111111"
	 " * * * *"),
};

START_TEST(what_is_no_expression_is_rejected_with_words)
{
	struct cron_expression expr;
	struct err err = ERR_INIT;

	ck_assert_msg(cron_expression_parse(
			  slice_str(refused[_i]), &expr, &err) == RC_REJECT,
	    "accepted %s", refused[_i]);
	ck_assert_str_ne(err.text, "");
}
END_TEST

START_TEST(stored_parts_are_checked_like_text)
{
	const struct slice parts[] = { SLICE_LIT("0"), SLICE_LIT("0"),
		SLICE_LIT("*"), SLICE_LIT("*"), SLICE_LIT("*"),
		SLICE_LIT("2028") };
	const struct slice blank[] = { SLICE_LIT("0 1"), SLICE_LIT("0"),
		SLICE_LIT("*"), SLICE_LIT("*"), SLICE_LIT("*") };
	struct cron_expression expr;

	for (size_t n = 0; n <= 6; n++)
		ck_assert_int_eq(
		    cron_expression_from_parts(parts, n, &expr, NULL),
		    n >= 5 ? RC_OK : RC_REJECT);
	ck_assert_uint_eq(expr.nparts, 6);
	ck_assert_int_eq(
	    cron_expression_from_parts(blank, 5, &expr, NULL), RC_REJECT);
}
END_TEST

Suite *
cron_expression_suite(void)
{
	Suite *s = suite_create("cron_expression");
	TCase *tc = tcase_create("parse, next");

	tcase_add_loop_test(
	    tc, the_next_match_is_the_one_php_finds, 0, (int)NELEMS(nexts));
	tcase_add_loop_test(tc, what_is_no_expression_is_rejected_with_words, 0,
	    (int)NELEMS(refused));
	tcase_add_test(tc, first_takes_the_minute_it_is_asked_in);
	tcase_add_test(tc, times_outside_the_calendar_are_refused);
	tcase_add_test(tc, stored_parts_are_checked_like_text);
	suite_add_tcase(s, tc);
	return s;
}
