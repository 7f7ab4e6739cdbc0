#include "executors/esp/esp_directory.h"

#include <check.h>
#include <stdio.h>

Suite *esp_directory_suite(void);

static struct slice
address(char room[64], unsigned n)
{
	(void)snprintf(room, 64, "reader%u@example.org", n);
	return slice_str(room);
}

START_TEST(whoever_was_put_is_found_and_nobody_else)
{
	struct esp_directory d = { 0 };
	char room[64];

	ck_assert_int_eq(esp_directory_find(&d, SLICE_LIT("a@example.org")),
	    ESP_DIRECTORY_UNKNOWN);
	for (unsigned i = 0; i < 100000; i++)
		esp_directory_put(&d, address(room, i),
		    i % 3 ? ESP_DIRECTORY_KNOWN : ESP_DIRECTORY_ON_LIST);
	ck_assert_uint_eq(d.n, 100000);
	for (unsigned i = 0; i < 100000; i++)
		ck_assert_int_eq(esp_directory_find(&d, address(room, i)),
		    i % 3 ? ESP_DIRECTORY_KNOWN : ESP_DIRECTORY_ON_LIST);
	for (unsigned i = 100000; i < 200000; i++)
		ck_assert_int_eq(esp_directory_find(&d, address(room, i)),
		    ESP_DIRECTORY_UNKNOWN);
	esp_directory_clear(&d);
	esp_directory_clear(&d);
}
END_TEST

START_TEST(case_does_not_make_another)
{
	struct esp_directory d = { 0 };

	esp_directory_put(
	    &d, SLICE_LIT("Ann@Example.ORG"), ESP_DIRECTORY_ON_LIST);
	ck_assert_int_eq(esp_directory_find(&d, SLICE_LIT("ann@example.org")),
	    ESP_DIRECTORY_ON_LIST);
	esp_directory_clear(&d);
}
END_TEST

START_TEST(the_last_entry_counts)
{
	struct esp_directory d = { 0 };
	struct slice a = SLICE_LIT("a@example.org");

	esp_directory_put(&d, a, ESP_DIRECTORY_ON_LIST);
	esp_directory_put(&d, a, ESP_DIRECTORY_KNOWN);
	ck_assert_uint_eq(d.n, 1);
	ck_assert_int_eq(esp_directory_find(&d, a), ESP_DIRECTORY_KNOWN);
	esp_directory_clear(&d);
}
END_TEST

START_TEST(the_whole_is_read_once_a_day_and_changes_meanwhile)
{
	struct esp_directory d = { 0 };
	const int64_t t = 1700000000;

	ck_assert_ptr_null(esp_directory_begin(&d, t));
	esp_directory_put(&d, SLICE_LIT("a@example.org"), ESP_DIRECTORY_KNOWN);
	esp_directory_page(&d, "500");
	esp_directory_end(&d, t + 60);
	ck_assert_ptr_null(d.resume);
	/* It took a minute: what changed in it was perhaps not seen. */
	ck_assert_int_eq(d.since, t);
	ck_assert_str_eq(esp_directory_begin(&d, t + 300), "");
	esp_directory_page(&d, "500");
	ck_assert_ptr_null(d.resume);
	esp_directory_end(&d, t + 300);
	ck_assert_int_eq(d.since, t + 300);
	ck_assert_str_eq(esp_directory_begin(&d, t + 86399), "");
	ck_assert_uint_eq(d.n, 1);
	ck_assert_ptr_null(esp_directory_begin(&d, t + 86400));
	ck_assert_uint_eq(d.n, 0);
	esp_directory_clear(&d);
}
END_TEST

START_TEST(a_read_that_was_cut_off_goes_on_for_an_hour)
{
	struct esp_directory d = { 0 };
	const int64_t t = 1700000000;

	ck_assert_ptr_null(esp_directory_begin(&d, t));
	esp_directory_page(&d, "page 2");
	esp_directory_page(&d, "page 3");
	ck_assert_str_eq(esp_directory_begin(&d, t + 300), "page 3");
	esp_directory_end(&d, t + 300);
	ck_assert_int_eq(d.since, t);
	esp_directory_clear(&d);

	ck_assert_ptr_null(esp_directory_begin(&d, t));
	esp_directory_page(&d, "page 2");
	ck_assert_ptr_null(esp_directory_begin(&d, t + 3600));
	esp_directory_page(&d, "page 2");
	esp_directory_page(&d, NULL); /* the cursor is not taken any more */
	ck_assert_ptr_null(esp_directory_begin(&d, t + 3601));
	/* The clock went back. */
	esp_directory_end(&d, t + 3601);
	ck_assert_ptr_null(esp_directory_begin(&d, t));
	esp_directory_clear(&d);
}
END_TEST

Suite *
esp_directory_suite(void)
{
	Suite *s = suite_create("esp_directory");
	TCase *tc = tcase_create("directory");

	tcase_add_test(tc, whoever_was_put_is_found_and_nobody_else);
	tcase_add_test(tc, case_does_not_make_another);
	tcase_add_test(tc, the_last_entry_counts);
	tcase_add_test(tc, the_whole_is_read_once_a_day_and_changes_meanwhile);
	tcase_add_test(tc, a_read_that_was_cut_off_goes_on_for_an_hour);
	suite_add_tcase(s, tc);
	return s;
}
