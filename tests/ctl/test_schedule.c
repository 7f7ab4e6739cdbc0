#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"
#include "formats/action_schedule.h"

Suite *schedule_suite(void);

/* The JSON of a stored schedule, compact; the caller's to free(). */
static char *
decoded(const char *stored)
{
	json_t *v = action_schedule_json(slice_str(stored));
	char *text = json_dumps(v, JSON_COMPACT);

	json_decref(v);
	return text;
}

START_TEST(a_single_schedule_has_its_time)
{
	struct buf stored = BUF_INIT(1024);
	json_t *v;

	action_schedule_render_simple(1800000000, &stored);
	v = action_schedule_json(buf_slice(&stored));
	ck_assert_str_eq(
	    json_string_value(json_object_get(v, "kind")), "single");
	ck_assert_str_eq(json_string_value(json_object_get(v, "scheduled")),
	    "2027-01-15 08:00:00");
	ck_assert_ptr_null(json_object_get(v, "next"));
	json_decref(v);
	buf_clear(&stored);
}
END_TEST

START_TEST(an_interval_says_when_it_comes_again)
{
	const struct action_schedule s = { .kind = ACTION_SCHEDULE_INTERVAL,
		.scheduled = 1000000000,
		.first = 900000000,
		.interval = 900 };
	struct buf stored = BUF_INIT(1024);
	json_t *v;

	action_schedule_render(&s, s.scheduled, &stored);
	v = action_schedule_json(buf_slice(&stored));
	ck_assert_str_eq(
	    json_string_value(json_object_get(v, "kind")), "interval");
	ck_assert_int_eq(
	    json_integer_value(json_object_get(v, "every_s")), 900);
	ck_assert_str_eq(json_string_value(json_object_get(v, "first")),
	    "1998-07-09 16:00:00");
	ck_assert_uint_eq(strlen(json_string_value(json_object_get(v, "next"))),
	    strlen("2026-01-01 00:00:00"));
	json_decref(v);
	buf_clear(&stored);
}
END_TEST

START_TEST(what_cannot_be_decoded_is_told)
{
	char *text = decoded("O:7:\"MyClass\":0:{}");

	ck_assert_str_eq(text, "{\"class\":\"MyClass\"}");
	free(text);
	text = decoded("O:30:\"ActionScheduler_Simp");
	ck_assert_ptr_nonnull(strstr(text, "{\"broken\":\""));
	free(text);
}
END_TEST

Suite *
schedule_suite(void)
{
	Suite *s = suite_create("schedule");
	TCase *tc = tcase_create("schedule");

	tcase_add_test(tc, a_single_schedule_has_its_time);
	tcase_add_test(tc, an_interval_says_when_it_comes_again);
	tcase_add_test(tc, what_cannot_be_decoded_is_told);
	suite_add_tcase(s, tc);
	return s;
}
