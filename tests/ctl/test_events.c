#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "blogs.h"
#include "events.h"

Suite *events_suite(void);

/* 2026-11-21 22:10:15 */
#define NOW INT64_C(1795299015)

static const struct {
	int64_t seconds;
	const char *words;
} spans[] = {
	{ -5, "now" },
	{ 0, "now" },
	{ 1, "1 second" },
	{ 59, "59 seconds" },
	{ 60, "1 minute" },
	{ 61, "1 minute 1 second" },
	{ 3600, "1 hour" },
	{ 3601, "1 hour" },
	{ 43200, "12 hours" },
	{ 90000, "1 day 1 hour" },
	{ 604800, "1 week" },
	{ 2678400, "1 month" },
	{ 34214400, "1 year 1 month" },
	{ INT64_MAX, "292471208677 years 6 months" },
};

START_TEST(a_time_span_is_said_as_wp_cli_does)
{
	char text[EVENT_SPAN_MAX];

	event_span(spans[_i].seconds, text);
	ck_assert_str_eq(text, spans[_i].words);
}
END_TEST

/* Relative to NOW; INT64_MIN: is no time. */
static const struct {
	const char *text;
	int64_t want;
} whens[] = {
	{ "", NOW },
	{ "now", NOW },
	{ "1800000000", 1800000000 },
	{ "+1 hour", NOW + 3600 },
	{ "+1hour", NOW + 3600 },
	{ "-2 days", NOW - 172800 },
	{ "3 minutes ago", NOW - 180 },
	{ "+ 5 sec", NOW + 5 },
	{ "+1 week 2 days", NOW + 777600 },
	{ "+1 month", 1797891015 },
	{ "+3 months", 1803247815 },
	{ "+1 year", 1826835015 },
	{ "today", 1795219200 },
	{ "noon", 1795262400 },
	{ "tomorrow", 1795305600 },
	{ "tomorrow 12:30", 1795350600 },
	{ "12:30:15", 1795264215 },
	{ "2027-01-15 08:00:00", 1800000000 },
	{ "2027-01-15T08:00:00Z", 1800000000 },
	{ "2027-01-15", 1799971200 },
	{ "2027-01-15 08:00 UTC", 1800000000 },
	{ "2027-01-15 08:00 +1 day", 1800086400 },
	{ "2027-02-31", 1804032000 },
	{ "never", INT64_MIN },
	{ "25:00", INT64_MIN },
	{ "12:60", INT64_MIN },
	{ "2027-13-01", INT64_MIN },
	{ "2027-1-1", INT64_MIN },
	{ "+1", INT64_MIN },
	{ "+", INT64_MIN },
	{ "1 eon", INT64_MIN },
	{ "0", INT64_MIN },
	{ "+99999999999999999999 hours", INT64_MIN },
	{ "-3000 years", INT64_MIN },
};

START_TEST(a_point_in_time_is_read_as_strtotime_does)
{
	int64_t got = 0;
	bool ok = event_when(slice_str(whens[_i].text), NOW, &got);

	ck_assert_msg(ok == (whens[_i].want != INT64_MIN), "\"%s\" is %lld",
	    whens[_i].text, (long long)got);
	if (ok)
		ck_assert_msg(got == whens[_i].want, "\"%s\" is %lld",
		    whens[_i].text, (long long)got);
}
END_TEST

static const struct {
	const char *json, *php;
} args[] = {
	{ "[]", "a:0:{}" },
	{ "[\"WP Cron\"]", "a:1:{i:0;s:7:\"WP Cron\";}" },
	{ "[42,\"42\"]", "a:2:{i:0;i:42;i:1;s:2:\"42\";}" },
	{ "[true,false,null]", "a:3:{i:0;b:1;i:1;b:0;i:2;N;}" },
	{ "{\"x\":1,\"5\":[]}", "a:2:{s:1:\"x\";i:1;i:5;a:0:{}}" },
	{ "[\"\\u00e9\"]", "a:1:{i:0;s:2:\"\xc3\xa9\";}" },
	{ "[1.5,0.1,-2.5]", "a:3:{i:0;d:1.5;i:1;d:0.1;i:2;d:-2.5;}" },
	{ "[1e5,1e15,1e17]", "a:3:{i:0;d:100000;i:1;d:1000000000000000;"
			     "i:2;d:1.0E+17;}" },
	{ "[0.0001,0.00001,1.5e-7]",
	    "a:3:{i:0;d:0.0001;i:1;d:1.0E-5;i:2;d:1.5E-7;}" },
	{ "[123456789012345678.0,0.0]",
	    "a:2:{i:0;d:1.2345678901234568E+17;i:1;d:0;}" },
};

START_TEST(arguments_are_serialized_as_php_does)
{
	json_t *v = json_loads(args[_i].json, 0, NULL), *back;
	struct buf out = BUF_INIT(4096);
	struct err err = ERR_INIT;

	ck_assert_ptr_nonnull(v);
	ck_assert_int_eq(event_args_write(v, &out, &err), RC_OK);
	ck_assert_str_eq(buf_str(&out), args[_i].php);
	back = event_args_json(buf_slice(&out));
	ck_assert_uint_eq(json_object_size(back) + json_array_size(back),
	    json_object_size(v) + json_array_size(v));
	json_decref(v);
	json_decref(back);
	buf_clear(&out);
}
END_TEST

START_TEST(what_json_cannot_say_is_shown_as_stored)
{
	static const char object[] = "a:1:{i:0;O:1:\"X\":0:{}}";
	json_t *v = event_args_json(slice_str(object));

	ck_assert_str_eq(json_string_value(v), object);
	json_decref(v);
	v = json_integer(5);
	ck_assert_int_eq(
	    event_args_write(v, &(struct buf)BUF_INIT(10), NULL), RC_REJECT);
	json_decref(v);
}
END_TEST

static const struct {
	const char *url;
	uint32_t id; /* 0: none */
} urls[] = {
	{ "http://example.org/", 1 },
	{ "https://EXAMPLE.org", 1 },
	{ "example.org/unknown/", 1 },
	{ "example.org/two", 2 },
	{ "example.org/two/", 2 },
	{ "example.org/two/more", 2 },
	{ "example.org/twofold", 1 },
	{ "http://three.example.org/x", 3 },
	{ "other.org/two", 0 },
	{ "", 0 },
};

START_TEST(a_blog_is_found_by_its_url)
{
	char host[] = "example.org", third[] = "three.example.org";
	char root[] = "/", two[] = "/two/";
	struct blog items[] = { { 1, host, root }, { 2, host, two },
		{ 3, third, root } };
	const struct blogs blogs = { .items = items, .n = NELEMS(items) };
	const struct blog *found = blogs_find(&blogs, slice_str(urls[_i].url));

	ck_assert_uint_eq(found ? found->id : 0, urls[_i].id);
}
END_TEST

Suite *
events_suite(void)
{
	Suite *s = suite_create("events");
	TCase *tc = tcase_create("events");

	tcase_add_loop_test(
	    tc, a_time_span_is_said_as_wp_cli_does, 0, NELEMS(spans));
	tcase_add_loop_test(
	    tc, a_point_in_time_is_read_as_strtotime_does, 0, NELEMS(whens));
	tcase_add_loop_test(
	    tc, arguments_are_serialized_as_php_does, 0, NELEMS(args));
	tcase_add_test(tc, what_json_cannot_say_is_shown_as_stored);
	tcase_add_loop_test(tc, a_blog_is_found_by_its_url, 0, NELEMS(urls));
	suite_add_tcase(s, tc);
	return s;
}
