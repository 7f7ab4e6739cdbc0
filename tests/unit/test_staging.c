#include <check.h>

#include "queues/staging.h"

Suite *staging_suite(void);

#define NOW ((int64_t)1700000000)

/* As PHP's (int) has them. */
static const struct {
	const char *text;
	int64_t seconds;
} times[] = {
	{ "1700000000", 1700000000 },
	{ "", 0 },
	{ "never", 0 },
	{ " 12", 12 },
	{ "12 apples", 12 },
	{ "-5", -5 },
	{ "+5", 5 },
	{ "a:0:{}", 0 },
};

START_TEST(times_are_read_as_php_does)
{
	ck_assert_int_eq(
	    staging_seconds(slice_str(times[_i].text)), times[_i].seconds);
}
END_TEST

START_TEST(no_row_is_the_time_zero)
{
	ck_assert_int_eq(staging_seconds(SLICE_NONE), 0);
	ck_assert_int_gt(
	    staging_seconds(SLICE_LIT("99999999999999999999999")), NOW);
}
END_TEST

static const struct {
	int64_t last;
	bool throttled;
} rows[] = {
	{ NOW, true },
	{ NOW - 299, true },
	{ NOW - 300, false },
	{ NOW + 1, true },
	{ NOW + 86400, true },
	{ 0, false },
	{ -5, false },
};

START_TEST(exactly_five_minutes_are_enough)
{
	ck_assert(
	    staging_is_throttled(rows[_i].last, NOW) == rows[_i].throttled);
}
END_TEST

#define ROLE(n, name) "s:" #n ":\"" name "\";b:1;"
#define ONE(n, name) "a:1:{" ROLE(n, name) "}"

static const struct {
	const char *capabilities, *np_reader;
	bool reader;
} readers[] = {
	{ ONE(10, "subscriber"), NULL, true },
	{ ONE(8, "customer"), NULL, true },
	{ ONE(8, "customer"), "", true },
	{ ONE(6, "author"), NULL, false },
	{ ONE(6, "author"), "1", true },
	{ ONE(6, "author"), "0", false },
	{ ONE(6, "author"), "", false },
	{ ONE(13, "administrator"), "1", false },
	{ ONE(6, "editor"), "1", false },
	{ "a:2:{" ROLE(10, "subscriber") ROLE(6, "editor") "}", "1", false },
	{ "a:1:{s:10:\"subscriber\";b:0;}", NULL, true },
	{ "a:1:{s:6:\"editor\";b:0;}", "1", false },
	{ "a:1:{i:5;b:1;}", NULL, false },
	{ "", NULL, false },
	{ "", "1", true },
	{ "s:10:\"subscriber\";", NULL, false },
	{ "a:1:{s:10:\"subscriber", NULL, false },
};

START_TEST(readers_are_told_from_staff)
{
	ck_assert(staging_is_reader(slice_str(readers[_i].capabilities),
		      slice_str(readers[_i].np_reader)) == readers[_i].reader);
}
END_TEST

Suite *
staging_suite(void)
{
	Suite *s = suite_create("staging");
	TCase *t = tcase_create("rules");

	tcase_add_loop_test(
	    t, times_are_read_as_php_does, 0, (int)NELEMS(times));
	tcase_add_test(t, no_row_is_the_time_zero);
	tcase_add_loop_test(
	    t, exactly_five_minutes_are_enough, 0, (int)NELEMS(rows));
	tcase_add_loop_test(
	    t, readers_are_told_from_staff, 0, (int)NELEMS(readers));
	suite_add_tcase(s, t);
	return s;
}
