#include "formats/cron_field.h"

#include <check.h>

#include "base/clock.h"

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

static const struct {
	cron_field_fn *field;
	const char *date; /* with time */
	const char *item;
	enum rc rc;
} rows[] = {
	{ cron_field_minute, "2026-11-21 10:05:00", "5", RC_OK },
	{ cron_field_minute, "2026-11-21 10:05:00", "05", RC_OK },
	{ cron_field_minute, "2026-11-21 10:05:00", "005", RC_OK },
	{ cron_field_minute, "2026-11-21 10:05:00", "*", RC_OK },
	{ cron_field_minute, "2026-11-21 10:05:00", "**", RC_NONE },
	{ cron_field_minute, "2026-11-21 10:05:00", "", RC_NONE },
	{ cron_field_minute, "2026-11-21 10:05:00", "4-6", RC_OK },
	{ cron_field_minute, "2026-11-21 10:05:00", "6-4", RC_NONE },
	{ cron_field_minute, "2026-11-21 10:05:00", "5-", RC_NONE },
	/* PHP: "05" < "5-9" byte by byte */
	{ cron_field_minute, "2026-11-21 10:05:00", "1-5-9", RC_OK },
	{ cron_field_minute, "2026-11-21 10:05:00", "*/5", RC_OK },
	{ cron_field_minute, "2026-11-21 10:05:00", "*/6", RC_NONE },
	{ cron_field_minute, "2026-11-21 10:05:00", "00/5", RC_OK },
	{ cron_field_minute, "2026-11-21 10:05:00", "2/3", RC_OK },
	{ cron_field_minute, "2026-11-21 10:05:00", "6/3", RC_NONE },
	{ cron_field_minute, "2026-11-21 10:05:00", "*/", RC_REJECT },
	{ cron_field_minute, "2026-11-21 10:05:00", "*/x", RC_REJECT },
	{ cron_field_minute, "2026-11-21 10:05:00", "/5", RC_REJECT },
	{ cron_field_minute, "2026-11-21 10:05:00", "x/5", RC_NONE },
	{ cron_field_hour, "2026-11-21 23:05:00", "23", RC_OK },
	{ cron_field_day, "2026-11-30 00:00:00", "L", RC_OK },
	{ cron_field_day, "2026-11-29 00:00:00", "L", RC_NONE },
	{ cron_field_day, "2028-02-29 00:00:00", "L", RC_OK },
	{ cron_field_day, "2100-02-28 00:00:00", "L", RC_OK },
	{ cron_field_day, "2026-11-29 00:00:00", "l", RC_NONE },
	/* Saturday 21 November: Friday; Sunday 22: Monday */
	{ cron_field_day, "2026-11-20 00:00:00", "21W", RC_OK },
	{ cron_field_day, "2026-11-23 00:00:00", "22W", RC_OK },
	{ cron_field_day, "2026-11-22 00:00:00", "22W", RC_NONE },
	/* Sunday 31 May: not into June, so Friday 29 */
	{ cron_field_day, "2026-05-29 00:00:00", "31W", RC_OK },
	/* 0 is the last of the month before, whose number is compared */
	{ cron_field_day, "2026-11-30 00:00:00", "0W", RC_NONE },
	{ cron_field_day, "2026-11-02 00:00:00", "0W", RC_OK },
	{ cron_field_day, "2026-11-20 00:00:00", "021W", RC_REJECT },
	{ cron_field_month, "2026-11-20 00:00:00", "nov", RC_OK },
	{ cron_field_month, "2026-11-20 00:00:00", "JANJAN", RC_OK },
	{ cron_field_month, "2026-11-20 00:00:00", "OCT-DEC", RC_OK },
	{ cron_field_month, "2026-11-20 00:00:00", "NOVEMBER", RC_NONE },
	{ cron_field_weekday, "2026-11-22 00:00:00", "0", RC_OK },
	{ cron_field_weekday, "2026-11-22 00:00:00", "7", RC_OK },
	{ cron_field_weekday, "2026-11-22 00:00:00", "07", RC_OK },
	{ cron_field_weekday, "2026-11-22 00:00:00", "*/7", RC_OK },
	{ cron_field_weekday, "2026-11-23 00:00:00", "*/7", RC_NONE },
	{ cron_field_weekday, "2026-11-22 00:00:00", "0-0", RC_OK },
	{ cron_field_weekday, "2026-11-25 00:00:00", "0-0", RC_OK },
	{ cron_field_weekday, "2026-11-27 00:00:00", "5L", RC_OK },
	{ cron_field_weekday, "2026-11-20 00:00:00", "5L", RC_NONE },
	{ cron_field_weekday, "2026-11-29 00:00:00", "77L", RC_OK },
	{ cron_field_weekday, "2026-11-29 00:00:00", "17L", RC_REJECT },
	{ cron_field_weekday, "2026-11-27 00:00:00", "5#4", RC_OK },
	{ cron_field_weekday, "2026-11-27 00:00:00", "5#0", RC_NONE },
	{ cron_field_weekday, "2026-11-06 00:00:00", "5#0", RC_OK },
	{ cron_field_weekday, "2026-11-27 00:00:00", "6#1", RC_REJECT },
	{ cron_field_year, "2026-11-27 00:00:00", "2026", RC_OK },
	{ cron_field_year, "2026-11-27 00:00:00", "2025-2030/2", RC_NONE },
};

START_TEST(an_item_means_what_it_means_to_php)
{
	const char *date = rows[_i].date;
	int64_t t = datetime_parse(date, strlen(date));
	struct cron_moment m = {
		.hour = (int)(t / 3600 % 24),
		.minute = (int)(t / 60 % 60),
	};
	struct err err = ERR_INIT;

	cron_moment_set_days(&m, t / 86400);
	ck_assert_msg(
	    rows[_i].field(&m, slice_str(rows[_i].item), &err) == rows[_i].rc,
	    "%s at %s", rows[_i].item, date);
	ck_assert((rows[_i].rc == RC_REJECT) == (err.text[0] != '\0'));
}
END_TEST

Suite *
cron_field_suite(void)
{
	Suite *s = suite_create("cron_field");
	TCase *tc = tcase_create("fields");

	tcase_add_loop_test(
	    tc, an_item_means_what_it_means_to_php, 0, (int)NELEMS(rows));
	suite_add_tcase(s, tc);
	return s;
}
