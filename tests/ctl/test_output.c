#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "output.h"

Suite *output_suite(void);

static const char *const columns[] = { "id", "hook", "note", NULL };

static const char sixty[] =
    "123456789012345678901234567890123456789012345678901234567890";

/* Two rows: one plain, one with all that needs care. */
static json_t *
two_rows(void)
{
	return json_pack("[{s:i, s:s, s:n}, {s:I, s:s, s:s}]", "id", 7, "hook",
	    "a_hook", "note", "id", (json_int_t)9000000000, "hook",
	    "say \"x\", y", "note", "one\ntwo\033[2J");
}

/* What is printed for `rows`, which are taken; the caller's to free(). */
static char *
printed(const char *format, const char *fields, json_t *rows, bool record)
{
	char *text = NULL;
	size_t n = 0;
	FILE *to = open_memstream(&text, &n);
	struct output o;
	struct err err = ERR_INIT;

	ck_assert_int_eq(
	    output_init(&o, to, columns, format, fields, &err), RC_OK);
	ck_assert_int_eq(record ? output_record(&o, rows, &err)
				: output_rows(&o, rows, &err),
	    RC_OK);
	fclose(to);
	return text;
}

static const struct {
	const char *format, *fields, *text;
} prints[] = {
	{ NULL, NULL,
	    "id          hook        note\n"
	    "7           a_hook      \n"
	    "9000000000  say \"x\", y  one two [2J\n" },
	{ "table", "hook", "hook\na_hook\nsay \"x\", y\n" },
	{ "csv", NULL,
	    "id,hook,note\n"
	    "7,a_hook,\n"
	    "9000000000,\"say \"\"x\"\", y\",\"one\ntwo\033[2J\"\n" },
	{ "csv", "note, id", "note,id\n,7\n\"one\ntwo\033[2J\",9000000000\n" },
	{ "json", "id,note",
	    "[\n"
	    "  {\n    \"id\": 7,\n    \"note\": null\n  },\n"
	    "  {\n    \"id\": 9000000000,\n"
	    "    \"note\": \"one\\ntwo\\u001B[2J\"\n  }\n"
	    "]\n" },
	{ "ids", NULL, "7 9000000000\n" },
	{ "ids", "hook", "a_hook say \"x\", y\n" },
	{ "count", NULL, "2\n" },
};

START_TEST(rows_are_printed_in_every_format)
{
	char *text =
	    printed(prints[_i].format, prints[_i].fields, two_rows(), false);

	ck_assert_str_eq(text, prints[_i].text);
	free(text);
}
END_TEST

static const struct {
	const char *format, *text;
} empty[] = {
	{ "table", "id  hook  note\n" },
	{ "csv", "id,hook,note\n" },
	{ "json", "[]\n" },
	{ "ids", "\n" },
	{ "count", "0\n" },
};

START_TEST(no_rows_are_no_error)
{
	char *text = printed(empty[_i].format, NULL, json_array(), false);

	ck_assert_str_eq(text, empty[_i].text);
	free(text);
}
END_TEST

static json_t *
one_record(void)
{
	return json_pack("{s:i, s:[{s:s, s:s}, {s:s, s:i}], s:[s, i, b]}", "id",
	    7, "hook", "date", "today", "message", "hello\nyou", "date",
	    "later", "n", 3, "note", sixty, 1, 1);
}

START_TEST(a_record_has_a_line_a_field_in_a_table)
{
	char *text = printed(NULL, NULL, one_record(), true);

	ck_assert_str_eq(text,
	    "id    7\n"
	    "hook  today hello\n"
	    "      you\n"
	    "      later n=3\n"
	    "note  [\n"
	    "        "
	    "\"123456789012345678901234567890123456789012345678901234567"
	    "890\",\n"
	    "        1,\n"
	    "        true\n"
	    "      ]\n");
	free(text);
}
END_TEST

START_TEST(a_record_is_an_object_in_json)
{
	char *text = printed("json", "id", one_record(), true);

	ck_assert_str_eq(text, "{\n  \"id\": 7\n}\n");
	free(text);
	text = printed("count", NULL, one_record(), true);
	ck_assert_str_eq(text, "1\n");
	free(text);
}
END_TEST

START_TEST(a_long_cell_is_cut_in_a_table_and_nowhere_else)
{
	json_t *rows =
	    json_pack("[{s:s+, s:s}]", "id", sixty, "\xc3\xa9", "hook", "h");
	char *text = printed("table", "id,hook", json_incref(rows), false);

	ck_assert_ptr_nonnull(strstr(text, "56789\xe2\x80\xa6  h\n"));
	free(text);
	text = printed("csv", "id", rows, false);
	ck_assert_ptr_nonnull(strstr(text, "567890\xc3\xa9\n"));
	free(text);
}
END_TEST

static const struct {
	const char *format, *fields;
} wrong[] = {
	{ "yaml", NULL },
	{ "", NULL },
	{ NULL, "id,nothing" },
	{ NULL, "" },
	{ NULL, "id,,hook" },
};

START_TEST(an_unknown_format_or_field_is_refused_with_the_names)
{
	struct output o;
	struct err err = ERR_INIT;

	ck_assert_int_eq(output_init(&o, stdout, columns, wrong[_i].format,
			     wrong[_i].fields, &err),
	    RC_REJECT);
	ck_assert_int_ne(err.text[0], '\0');
}
END_TEST

START_TEST(text_that_is_not_utf8_is_printed_as_such)
{
	json_t *v = output_text(SLICE_LIT("a\xff\xc3\xa9\0b"));

	ck_assert(json_is_string(v));
	ck_assert_uint_eq(json_string_length(v), 8);
	ck_assert_mem_eq(json_string_value(v), "a\xef\xbf\xbd\xc3\xa9\0b", 8);
	json_decref(v);
	ck_assert(json_is_null(output_text(SLICE_NONE)));
}
END_TEST

START_TEST(no_time_is_null)
{
	json_t *v = output_time(0);

	ck_assert_str_eq(json_string_value(v), "1970-01-01 00:00:00");
	json_decref(v);
	ck_assert(json_is_null(output_time(INT64_MIN)));
	ck_assert(json_is_null(output_time(INT64_MAX)));
}
END_TEST

START_TEST(a_full_disk_is_an_error)
{
	FILE *full = fopen("/dev/full", "w");
	struct output o;
	struct err err = ERR_INIT;

	ck_assert_ptr_nonnull(full);
	ck_assert_int_eq(
	    output_init(&o, full, columns, NULL, NULL, &err), RC_OK);
	ck_assert_int_eq(output_rows(&o, two_rows(), &err), RC_RETRY);
	fclose(full);
}
END_TEST

Suite *
output_suite(void)
{
	Suite *s = suite_create("output");
	TCase *tc = tcase_create("output");

	tcase_add_loop_test(
	    tc, rows_are_printed_in_every_format, 0, NELEMS(prints));
	tcase_add_loop_test(tc, no_rows_are_no_error, 0, NELEMS(empty));
	tcase_add_test(tc, a_record_has_a_line_a_field_in_a_table);
	tcase_add_test(tc, a_record_is_an_object_in_json);
	tcase_add_test(tc, a_long_cell_is_cut_in_a_table_and_nowhere_else);
	tcase_add_loop_test(tc,
	    an_unknown_format_or_field_is_refused_with_the_names, 0,
	    NELEMS(wrong));
	tcase_add_test(tc, text_that_is_not_utf8_is_printed_as_such);
	tcase_add_test(tc, no_time_is_null);
	tcase_add_test(tc, a_full_disk_is_an_error);
	suite_add_tcase(s, tc);
	return s;
}
