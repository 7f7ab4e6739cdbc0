#include "executors/esp/esp_fields.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

Suite *esp_fields_suite(void);

static mono_ms now_ms;

static mono_ms
read_mono(const struct clock *c)
{
	(void)c;
	return now_ms;
}

static const struct clock hand = { .mono = read_mono };

static void
put(struct esp_fields *f, const char *name, const char *id)
{
	esp_fields_put(
	    f, slice_str(name), slice_str(id), SLICE_LIT("text"), SLICE_NONE);
}

START_TEST(fields_are_found_by_name_and_id)
{
	struct esp_fields f = { 0 };

	put(&f, "NP_ACCOUNT", "7");
	put(&f, "NP_OTHER", "");
	ck_assert_str_eq(esp_fields_find(&f, SLICE_LIT("NP_ACCOUNT"))->id, "7");
	ck_assert_str_eq(
	    esp_fields_find_id(&f, SLICE_LIT("7"))->name, "NP_ACCOUNT");
	ck_assert_ptr_null(esp_fields_find(&f, SLICE_LIT("np_account")));
	ck_assert_ptr_null(esp_fields_find_id(&f, SLICE_LIT("8")));
	/* What cannot be had has no id and is nobody's. */
	ck_assert_ptr_null(esp_fields_find_id(&f, SLICE_LIT("")));
	esp_fields_clear(&f);
	esp_fields_clear(&f);
}
END_TEST

START_TEST(the_first_of_a_name_counts)
{
	struct esp_fields f = { 0 };

	put(&f, "A", "1");
	put(&f, "A", "2");
	ck_assert_uint_eq(f.n, 1);
	ck_assert_str_eq(esp_fields_find(&f, SLICE_LIT("A"))->id, "1");
	esp_fields_clear(&f);
}
END_TEST

START_TEST(long_names_and_too_many_fields_are_left_out)
{
	struct esp_fields f = { 0 };
	char name[300];

	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	put(&f, name, "1");
	put(&f, "", "1");
	ck_assert_uint_eq(f.n, 0);
	for (int i = 0; i < ESP_FIELDS_MAX + 10; i++) {
		(void)snprintf(name, sizeof name, "F%d", i);
		put(&f, name, "1");
	}
	ck_assert_uint_eq(f.n, ESP_FIELDS_MAX);
	esp_fields_clear(&f);
}
END_TEST

START_TEST(they_are_fresh_for_ten_minutes)
{
	struct esp_fields f = { 0 };

	ck_assert(!esp_fields_is_fresh(&f, &hand));
	now_ms = 5000;
	esp_fields_mark(&f, &hand);
	ck_assert(esp_fields_is_fresh(&f, &hand));
	now_ms += ESP_FIELDS_KEEP_MS - 1;
	ck_assert(esp_fields_is_fresh(&f, &hand));
	now_ms++;
	ck_assert(!esp_fields_is_fresh(&f, &hand));
	esp_fields_clear(&f);
}
END_TEST

Suite *
esp_fields_suite(void)
{
	Suite *s = suite_create("esp_fields");
	TCase *tc = tcase_create("fields");

	tcase_add_test(tc, fields_are_found_by_name_and_id);
	tcase_add_test(tc, the_first_of_a_name_counts);
	tcase_add_test(tc, long_names_and_too_many_fields_are_left_out);
	tcase_add_test(tc, they_are_fresh_for_ten_minutes);
	suite_add_tcase(s, tc);
	return s;
}
