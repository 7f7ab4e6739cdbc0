#include "executors/esp/esp_values.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

Suite *esp_values_suite(void);

static const struct {
	const char *label, *slug;
} slugs[] = {
	{ "NP_Registration Date", "NP_REGISTRATION_DATE" },
	{ "NP_Signup UTM: source", "NP_SIGNUP_UTM_SOURCE" },
	{ "NP_Account", "NP_ACCOUNT" },
	{ "NP_Current_Subscription_Start Date",
	    "NP_CURRENT_SUBSCRIPTION_START_DATE" },
	{ "  a  - b ", "A_B" },
	{ "a/b.c", "A_B_C" },
	{ "100% sure!", "100_SURE" },
	{ "h\xc3\xa9", "H" },
	{ "", "" },
	{ "---", "" },
};

START_TEST(a_label_is_found_by_its_slug)
{
	char room[ESP_VALUES_SLUG_MAX];
	struct slice got = esp_values_slug(slice_str(slugs[_i].label), room);

	ck_assert_msg(slice_eq_str(got, slugs[_i].slug), "%.*s is not %s",
	    SLICE_FMT(got), slugs[_i].slug);
}
END_TEST

START_TEST(a_slug_never_passes_its_room)
{
	char room[ESP_VALUES_SLUG_MAX];
	char label[1000];

	for (size_t i = 0; i < sizeof label; i++)
		label[i] = i % 2 ? 'a' : ' ';
	for (size_t n = 0; n <= sizeof label; n++)
		ck_assert_uint_le(esp_values_slug(slice_mem(label, n), room).n,
		    ESP_VALUES_SLUG_MAX);
}
END_TEST

static const struct {
	const char *name, *first, *last;
} names[] = {
	{ "Ann van Berg", "Ann", "van Berg" },
	{ "Ann", "Ann", "" },
	{ "  Ann  Berg ", "Ann", "Berg" },
	{ "", "", "" },
	{ " ", "", "" },
};

START_TEST(a_name_is_split_at_its_first_space)
{
	struct slice first, last;

	esp_values_split_name(slice_str(names[_i].name), &first, &last);
	ck_assert(slice_eq_str(first, names[_i].first));
	ck_assert(slice_eq_str(last, names[_i].last));
}
END_TEST

static const struct {
	const char *label;
	bool date;
} labels[] = {
	{ "NP_Registration Date", true },
	{ "NP_Last Payment Date", true },
	{ "NP_Next Payment Date", true },
	{ "NP_Current Subscription Start Date", true },
	{ "NP_Current Subscription End Date", true },
	{ "NP_Registration", false },
	{ "NP_Last Active", false },
	{ "", false },
};

START_TEST(the_plugins_date_labels_are_known)
{
	ck_assert(esp_values_is_date_label(slice_str(labels[_i].label)) ==
		  labels[_i].date);
}
END_TEST

static const struct {
	const char *value, *date;
} dates[] = {
	{ "2026-01-02 03:04:05", "2026-01-02" },
	{ "2026-01-02", "2026-01-02" },
	{ "2026-01-02T03:04:05Z", "2026-01-02" },
	{ "2026-01-021", "2026-01-021" },
	{ "02.01.2026", "02.01.2026" },
	{ "2026-1-2", "2026-1-2" },
	{ "", "" },
};

START_TEST(a_moment_is_cut_to_its_day)
{
	ck_assert(slice_eq_str(
	    esp_values_date(slice_str(dates[_i].value)), dates[_i].date));
}
END_TEST

static const struct {
	const char *json, *text;
} scalars[] = {
	{ "{\"a\":\"x\"}", "x" },
	{ "{\"a\":12}", "12" },
	{ "{\"a\":1.5}", "1.5" },
	{ "{\"a\":true}", "true" },
	{ "{\"a\":null}", "" },
	{ "{\"a\":[1]}", "" },
	{ "{}", "" },
};

START_TEST(ids_come_as_text_or_number)
{
	struct arena a = ARENA_INIT(4096);
	json_t *v = esp_values_json(slice_str(scalars[_i].json));

	ck_assert(slice_eq_str(
	    esp_values_scalar(json_object_get(v, "a"), &a), scalars[_i].text));
	json_decref(v);
	arena_clear(&a);
}
END_TEST

START_TEST(what_is_no_json_is_none)
{
	static const char *const bad[] = { "", "<html>", "{", "\"text\"", "7" };

	ck_assert_ptr_null(esp_values_json(slice_str(bad[_i])));
}
END_TEST

START_TEST(values_are_dumped_in_utf8)
{
	struct arena a = ARENA_INIT(4096);
	json_t *v =
	    esp_values_json(SLICE_LIT("{\"a\":\"gr\\u00fcn \\/ \\\"x\\\"\"}"));

	ck_assert(slice_eq_str(esp_values_dump(json_object_get(v, "a"), &a),
	    "\"gr\xc3\xbcn / \\\"x\\\"\""));
	json_decref(v);
	arena_clear(&a);
}
END_TEST

START_TEST(pairs_are_joined_by_commas)
{
	struct buf out = BUF_INIT(100);

	buf_put_char(&out, '{');
	esp_values_put(&out, "a", SLICE_LIT("x"));
	esp_values_put(&out, "b", SLICE_LIT("\""));
	ck_assert_str_eq(buf_str(&out), "{\"a\":\"x\",\"b\":\"\\\"\"");
	buf_clear(&out);
}
END_TEST

START_TEST(urls_are_joined_by_one_slash)
{
	static const char *const bases[] = { "https://a", "https://a/",
		"https://a//" };
	char *url = esp_values_join(bases[_i], "/v3");

	ck_assert_str_eq(url, "https://a/v3");
	free(url);
}
END_TEST

Suite *
esp_values_suite(void)
{
	Suite *s = suite_create("esp_values");
	TCase *tc = tcase_create("values");

	tcase_add_loop_test(tc, a_label_is_found_by_its_slug, 0, NELEMS(slugs));
	tcase_add_test(tc, a_slug_never_passes_its_room);
	tcase_add_loop_test(
	    tc, a_name_is_split_at_its_first_space, 0, NELEMS(names));
	tcase_add_loop_test(
	    tc, the_plugins_date_labels_are_known, 0, NELEMS(labels));
	tcase_add_loop_test(tc, a_moment_is_cut_to_its_day, 0, NELEMS(dates));
	tcase_add_loop_test(tc, ids_come_as_text_or_number, 0, NELEMS(scalars));
	tcase_add_loop_test(tc, what_is_no_json_is_none, 0, 5);
	tcase_add_test(tc, values_are_dumped_in_utf8);
	tcase_add_test(tc, pairs_are_joined_by_commas);
	tcase_add_loop_test(tc, urls_are_joined_by_one_slash, 0, 3);
	suite_add_tcase(s, tc);
	return s;
}
