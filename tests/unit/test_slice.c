#include "base/slice.h"

#include <check.h>
#include <string.h>

#define S(lit) slice_mem(lit, sizeof(lit) - 1)

static const struct {
	const char *text;
	bool ok;
	uint64_t value;
} u64_rows[] = {
	{ "0", true, 0 },
	{ "007", true, 7 },
	{ "18446744073709551615", true, UINT64_MAX },
	{ "18446744073709551616", false, 0 },
	{ "99999999999999999999", false, 0 },
	{ "", false, 0 },
	{ "-1", false, 0 },
	{ "+1", false, 0 },
	{ " 1", false, 0 },
	{ "1 ", false, 0 },
	{ "0x1", false, 0 },
	{ "1.0", false, 0 },
};

START_TEST(a_whole_slice_is_read_as_an_unsigned_number)
{
	uint64_t v = 42;

	ck_assert(
	    slice_u64(slice_str(u64_rows[_i].text), &v) == u64_rows[_i].ok);
	ck_assert_uint_eq(v, u64_rows[_i].ok ? u64_rows[_i].value : 42);
}
END_TEST

static const struct {
	const char *text;
	bool ok;
	int64_t value;
} i64_rows[] = {
	{ "-9223372036854775808", true, INT64_MIN },
	{ "9223372036854775807", true, INT64_MAX },
	{ "9223372036854775808", false, 0 },
	{ "-9223372036854775809", false, 0 },
	{ "+5", true, 5 },
	{ "-0", true, 0 },
	{ "-", false, 0 },
	{ "+", false, 0 },
	{ "--1", false, 0 },
	{ "", false, 0 },
};

START_TEST(a_whole_slice_is_read_as_a_signed_number)
{
	int64_t v = 42;

	ck_assert(
	    slice_i64(slice_str(i64_rows[_i].text), &v) == i64_rows[_i].ok);
	ck_assert_int_eq(v, i64_rows[_i].ok ? i64_rows[_i].value : 42);
}
END_TEST

static const struct {
	const char *text, *pattern;
	bool match;
} glob_rows[] = {
	{ "wc_mail", "wc_mail", true },
	{ "wc_mail", "wc_*", true },
	{ "wc_mail", "*mail", true },
	{ "wc_mail", "*", true },
	{ "", "*", true },
	{ "", "", true },
	{ "", "***", true },
	{ "wc_mail", "w*_*l", true },
	{ "wc_mail_mail", "*_mail", true },
	{ "wc_mail", "", false },
	{ "wc_mail", "wc_mai", false },
	{ "wc_mai", "wc_mail", false },
	{ "wc_mail", "*x*", false },
	{ "abcd", "a?cd", false },
	{ "a*c", "a*c", true },
	{ "ababab", "*abab", true },
	{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "*a*a*a*a*a*a*a*b", false },
};

START_TEST(a_star_stands_for_any_run_and_all_else_for_itself)
{
	ck_assert_msg(
	    slice_glob(slice_str(glob_rows[_i].text),
		slice_str(glob_rows[_i].pattern)) == glob_rows[_i].match,
	    "%s against %s", glob_rows[_i].text, glob_rows[_i].pattern);
}
END_TEST

START_TEST(letters_match_in_either_case_where_that_is_asked_for)
{
	struct slice text = SLICE_LIT("Info@Example.ORG");

	ck_assert(!slice_glob(text, SLICE_LIT("*@example.org")));
	ck_assert(slice_glob_nocase(text, SLICE_LIT("*@example.org")));
	ck_assert(slice_glob_nocase(text, SLICE_LIT("iNFO@*")));
	ck_assert(!slice_glob_nocase(text, SLICE_LIT("*@example.com")));
}
END_TEST

static const struct {
	const char *text;
	size_t max, cut;
} utf8_rows[] = {
	{ "abc", 2, 2 },
	{ "abc", 9, 3 },
	{ "a\xC3\xA9", 2, 1 },
	{ "a\xC3\xA9", 3, 3 },
	{ "\xE2\x82\xAC", 2, 0 },
	{ "\xE2\x82\xAC", 3, 3 },
	{ "x\xF0\x9F\x98\x80", 4, 1 },
	{ "x\xF0\x9F\x98\x80y", 5, 5 },
	{ "", 4, 0 },
	/* No UTF-8 at all: something must remain. */
	{ "\x80\x80\x80\x80\x80\x80", 5, 5 },
};

START_TEST(a_cut_never_splits_a_character)
{
	ck_assert_uint_eq(
	    slice_utf8_cut(slice_str(utf8_rows[_i].text), utf8_rows[_i].max),
	    utf8_rows[_i].cut);
}
END_TEST

START_TEST(a_trim_takes_blanks_at_both_ends_only)
{
	ck_assert(slice_eq_str(slice_trim(S(" \t\r\na b\n")), "a b"));
	ck_assert_uint_eq(slice_trim(S(" \t ")).n, 0);
	ck_assert_uint_eq(slice_trim(SLICE_NONE).n, 0);
}
END_TEST

START_TEST(ascii_has_no_byte_over_127)
{
	ck_assert(slice_is_ascii(S("a\0\x7F")));
	ck_assert(slice_is_ascii(SLICE_NONE));
	ck_assert(!slice_is_ascii(S("ab\x80")));
	ck_assert(!slice_is_ascii(S("\xC3\xBC.de")));
}
END_TEST

START_TEST(comparing_looks_at_all_bytes_also_at_nul)
{
	ck_assert(!slice_eq(S("a\0b"), S("a\0c")));
	ck_assert(slice_eq(S("a\0b"), S("a\0b")));
	ck_assert(!slice_eq_str(S("a\0b"), "a"));
	ck_assert(slice_eq(SLICE_NONE, S("")));
	ck_assert(slice_eq_nocase(S("AbZ"), S("aBz")));
	ck_assert(!slice_eq_nocase(S("\xC3\x84"), S("\xC3\xA4")));
	ck_assert(slice_starts(S("abc"), S("ab")));
	ck_assert(slice_starts(S("abc"), SLICE_NONE));
	ck_assert(!slice_starts(S("a"), S("ab")));
}
END_TEST

START_TEST(a_slice_past_the_end_is_empty)
{
	ck_assert_uint_eq(slice_from(S("abc"), 3).n, 0);
	ck_assert_uint_eq(slice_from(S("abc"), 99).n, 0);
	ck_assert(slice_eq_str(slice_from(S("abc"), 1), "bc"));
	ck_assert_uint_eq(slice_find(S("abc"), 'c'), 2);
	ck_assert_uint_eq(slice_find(S("abc"), 'x'), 3);
	ck_assert_uint_eq(slice_find(SLICE_NONE, 'x'), 0);
	ck_assert_uint_eq(slice_str(NULL).n, 0);
}
END_TEST

START_TEST(a_hexadecimal_digit_has_its_value_and_nothing_else_has)
{
	static const char digits[] = "0123456789abcdef";

	for (int c = -128; c < 256; c++) {
		int want = -1;

		for (int v = 0; v < 16; v++)
			if (c == digits[v] || (v > 9 && c == digits[v] - 32))
				want = v;
		if (c < 128)
			ck_assert_int_eq(slice_hex_digit((char)c), want);
	}
}
END_TEST

Suite *slice_suite(void);
Suite *
slice_suite(void)
{
	Suite *s = suite_create("slice");
	TCase *tc = tcase_create("slice");

	tcase_add_loop_test(tc, a_whole_slice_is_read_as_an_unsigned_number, 0,
	    NELEMS(u64_rows));
	tcase_add_loop_test(
	    tc, a_whole_slice_is_read_as_a_signed_number, 0, NELEMS(i64_rows));
	tcase_add_loop_test(tc,
	    a_star_stands_for_any_run_and_all_else_for_itself, 0,
	    NELEMS(glob_rows));
	tcase_add_test(
	    tc, letters_match_in_either_case_where_that_is_asked_for);
	tcase_add_loop_test(
	    tc, a_cut_never_splits_a_character, 0, NELEMS(utf8_rows));
	tcase_add_test(tc, a_trim_takes_blanks_at_both_ends_only);
	tcase_add_test(tc, ascii_has_no_byte_over_127);
	tcase_add_test(tc, comparing_looks_at_all_bytes_also_at_nul);
	tcase_add_test(tc, a_slice_past_the_end_is_empty);
	tcase_add_test(
	    tc, a_hexadecimal_digit_has_its_value_and_nothing_else_has);
	suite_add_tcase(s, tc);
	return s;
}
