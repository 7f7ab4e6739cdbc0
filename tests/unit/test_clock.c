#include "base/clock.h"

#include "base/macros.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct {
	const char *text;
	int64_t unix_time;
} rows[] = {
	{ "1970-01-01 00:00:00", 0 },
	{ "1969-12-31 23:59:59", -1 },
	{ "2000-02-29 12:34:56", 951827696 },
	{ "2038-01-19 03:14:08", INT64_C(2147483648) },
	{ "1900-03-01 00:00:00", INT64_C(-2203891200) },
	{ "9999-12-31 23:59:59", INT64_C(253402300799) },
	{ "0001-01-01 00:00:00", INT64_C(-62135596800) },
};

START_TEST(a_datetime_is_read_and_written_as_utc)
{
	char text[DATETIME_LEN + 1];

	ck_assert_int_eq(
	    datetime_parse(rows[_i].text, DATETIME_LEN), rows[_i].unix_time);
	datetime_render(rows[_i].unix_time, text);
	ck_assert_str_eq(text, rows[_i].text);
}
END_TEST

static const char *const bad_rows[] = { "0000-00-00 00:00:00", "", "2020",
	"2020-13-01 00:00:00", "2020-00-01 00:00:00", "2020-01-32 00:00:00",
	"2020-01-00 00:00:00", "2020-02-30 00:00:00", "2021-02-29 00:00:00",
	"2020-01-01 24:00:00", "2020-01-01 00:60:00", "2020-01-01T00:00:00",
	"2020-01-01 00:00:0x", "2020-01-01 00:00:00Z", "-020-01-01 00:00:00" };

START_TEST(what_is_no_date_is_never)
{
	ck_assert_int_eq(
	    datetime_parse(bad_rows[_i], strlen(bad_rows[_i])), INT64_MIN);
}
END_TEST

START_TEST(a_fraction_of_a_second_is_left_out)
{
	ck_assert_int_eq(datetime_parse("1970-01-01 00:00:01.999999", 26), 1);
	ck_assert_int_eq(datetime_parse(NULL, 0), INT64_MIN);
}
END_TEST

START_TEST(times_outside_the_calendar_become_the_nearest)
{
	char text[DATETIME_LEN + 1];

	datetime_render(INT64_MAX, text);
	ck_assert_str_eq(text, "9999-12-31 23:59:59");
	datetime_render(INT64_MIN, text);
	ck_assert_str_eq(text, "0000-01-01 00:00:00");
}
END_TEST

START_TEST(days_and_dates_are_each_others_inverse)
{
	int64_t previous = civil_to_days(-1, 12, 31);

	for (int64_t year = 0; year < 2500; year += 1) {
		for (int month = 1; month <= 12; month++) {
			int64_t days = civil_to_days(year, month, 1), y;
			int m, d;

			ck_assert_int_gt(days, previous);
			previous = days;
			civil_from_days(days, &y, &m, &d);
			ck_assert(y == year && m == month && d == 1);
			civil_from_days(days - 1, &y, &m, &d);
			ck_assert_int_ge(d, 28);
			ck_assert_int_eq(civil_to_days(y, m, d), days - 1);
		}
	}
}
END_TEST

START_TEST(the_c_library_has_the_same_calendar)
{
	for (int64_t t = -5000000000; t < 10000000000; t += 86400 * 13 + 7919) {
		char own[DATETIME_LEN + 1], libc[32];
		time_t tt = (time_t)t;
		struct tm tm;

		datetime_render(t, own);
		ck_assert_ptr_nonnull(gmtime_r(&tt, &tm));
		ck_assert_uint_eq(
		    strftime(libc, sizeof libc, "%Y-%m-%d %H:%M:%S", &tm), 19);
		ck_assert_str_eq(own, libc);
		ck_assert_int_eq(datetime_parse(own, DATETIME_LEN), t);
	}
}
END_TEST

static wall_us turned;

static wall_us
turned_wall(const struct clock *c)
{
	(void)c;
	return turned;
}

START_TEST(unix_seconds_round_down_also_before_1970)
{
	const struct clock c = { .wall = turned_wall };
	mono_ms before = clock_mono(&clock_system);

	turned = 1999999;
	ck_assert_int_eq(clock_unix(&c), 1);
	turned = -1;
	ck_assert_int_eq(clock_unix(&c), -1);
	turned = -1000000;
	ck_assert_int_eq(clock_unix(&c), -1);
	turned = -1000001;
	ck_assert_int_eq(clock_unix(&c), -2);
	ck_assert_int_gt(clock_unix(&clock_system), 1600000000);
	ck_assert_int_ge(clock_mono(&clock_system), before);
}
END_TEST

Suite *clock_suite(void);
Suite *
clock_suite(void)
{
	Suite *s = suite_create("clock");
	TCase *tc = tcase_create("clock");

	tcase_add_loop_test(
	    tc, a_datetime_is_read_and_written_as_utc, 0, NELEMS(rows));
	tcase_add_loop_test(tc, what_is_no_date_is_never, 0, NELEMS(bad_rows));
	tcase_add_test(tc, a_fraction_of_a_second_is_left_out);
	tcase_add_test(tc, times_outside_the_calendar_become_the_nearest);
	tcase_add_test(tc, days_and_dates_are_each_others_inverse);
	tcase_add_test(tc, the_c_library_has_the_same_calendar);
	tcase_add_test(tc, unix_seconds_round_down_also_before_1970);
	suite_add_tcase(s, tc);
	return s;
}
