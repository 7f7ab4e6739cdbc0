#include "formats/retry_after.h"

#include "base/clock.h"

#include <check.h>

#define NOW INT64_C(784111777) /* Sun, 06 Nov 1994 08:49:37 GMT */
#define DAY INT64_C(86400)
#define NOTHING INT64_C(-1)

static const struct {
	const char *value;
	int64_t seconds;
} rows[] = {
	{ "0", 0 },
	{ "120", 120 },
	{ " 120 ", 120 },
	{ "86400", DAY },
	{ "86401", DAY },
	{ "99999999999999999999999", DAY },
	{ "Sun, 06 Nov 1994 08:49:37 GMT", 0 },
	{ "Sun, 06 Nov 1994 08:51:37 GMT", 120 },
	{ "Sunday, 06-Nov-94 08:51:37 GMT", 120 },
	{ "Sun Nov  6 08:51:37 1994", 120 },
	{ "Wed Nov 16 08:49:37 1994", DAY },
	{ "Sat, 05 Nov 1994 08:49:37 GMT", 0 },
	{ "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
	{ "Fri, 31 Dec 9999 23:59:59 GMT", DAY },
	{ "Sun, 06 Nov 1994 08:49:60 GMT", 23 },
	{ "", NOTHING },
	{ "-1", NOTHING },
	{ "+5", NOTHING },
	{ "1.5", NOTHING },
	{ "12 s", NOTHING },
	{ "soon", NOTHING },
	{ "Sun, 6 Nov 1994 08:51:37 GMT", NOTHING },
	{ "Sun, 06 Nov 1994 08:51:37", NOTHING },
	{ "Sun, 06 Nov 1994 08:51:37 CET", NOTHING },
	{ "Sun, 06 Nov 1994 24:00:00 GMT", NOTHING },
	{ "Sun, 31 Feb 1994 08:51:37 GMT", NOTHING },
	{ "Sun, 00 Nov 1994 08:51:37 GMT", NOTHING },
	{ "Xxx, 06 Nov 1994 08:51:37 GMT", NOTHING },
	{ "Sunday, 06-Nov-94 08:51:37 GMT trailing", NOTHING },
};

START_TEST(a_wait_is_read_from_seconds_and_from_dates)
{
	int64_t seconds = NOTHING;
	bool ok =
	    retry_after_parse(slice_str(rows[_i].value), NOW, DAY, &seconds);

	ck_assert_msg(
	    ok == (rows[_i].seconds != NOTHING), "%s", rows[_i].value);
	ck_assert_msg(seconds == rows[_i].seconds, "%s: %lld", rows[_i].value,
	    (long long)seconds);
}
END_TEST

START_TEST(a_two_digit_year_is_never_over_fifty_years_ahead)
{
	int64_t when;

	ck_assert(http_date_parse(
	    SLICE_LIT("Friday, 01-Jan-44 00:00:00 GMT"), NOW, &when));
	ck_assert_int_eq(when / DAY, civil_to_days(2044, 1, 1));
	ck_assert(http_date_parse(
	    SLICE_LIT("Friday, 01-Jan-45 00:00:00 GMT"), NOW, &when));
	ck_assert_int_eq(when / DAY, civil_to_days(1945, 1, 1));
	/* In 2099, "03" is four years ahead. */
	ck_assert(http_date_parse(SLICE_LIT("Friday, 01-Jan-03 00:00:00 GMT"),
	    civil_to_days(2099, 6, 1) * DAY, &when));
	ck_assert_int_eq(when / DAY, civil_to_days(2103, 1, 1));
}
END_TEST

Suite *retry_after_suite(void);
Suite *
retry_after_suite(void)
{
	Suite *s = suite_create("retry_after");
	TCase *tc = tcase_create("retry_after");

	tcase_add_loop_test(
	    tc, a_wait_is_read_from_seconds_and_from_dates, 0, NELEMS(rows));
	tcase_add_test(tc, a_two_digit_year_is_never_over_fifty_years_ahead);
	suite_add_tcase(s, tc);
	return s;
}
