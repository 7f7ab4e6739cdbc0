#include "formats/utf8.h"

#include <check.h>

/* SLICE_LIT for static tables. */
#define BYTES(lit)                                                             \
	{                                                                      \
		"" lit, sizeof(lit) - 1                                        \
	}

static const struct {
	struct slice in;
	size_t len;
} sequence_rows[] = {
	{ BYTES("a"), 1 },
	{ BYTES("\xC3\xBC"), 2 },
	{ BYTES("\xE2\x82\xAC"), 3 },
	{ BYTES("\xF0\x9F\x98\x80"), 4 },
	{ BYTES("\xF4\x8F\xBF\xBF"), 4 },
	{ BYTES("\xF4\x90\x80\x80"), 0 }, /* past U+10FFFF */
	{ BYTES("\xC0\x80"), 0 },         /* overlong NUL */
	{ BYTES("\xE0\x80\xAF"), 0 },     /* overlong slash */
	{ BYTES("\xED\xA0\x80"), 0 },     /* surrogate */
	{ BYTES("\xE2\x82"), 0 },         /* cut */
	{ BYTES("\x80"), 0 },
	{ BYTES("\xFF"), 0 },
};

START_TEST(only_well_formed_sequences_have_a_length)
{
	ck_assert_uint_eq(
	    utf8_len(sequence_rows[_i].in, 0), sequence_rows[_i].len);
}
END_TEST

static const struct {
	struct slice in;
	size_t max;
	const char *out;
} line_rows[] = {
	{ BYTES("plain"), 100, "plain" },
	{ BYTES("  two\r\n\tlines \x01\x1B[31m "), 100, "two lines [31m" },
	{ BYTES("M\xC3\xBCller"), 100, "M\xC3\xBCller" },
	{ BYTES("M\xC3\xBCller"), 2, "M" },
	{ BYTES("a\xFF"
		"b"),
	    100,
	    "a\xEF\xBF\xBD"
	    "b" },
	{ BYTES("a\xC2\x9B"
		"31m"),
	    100, "a 31m" },
	{ BYTES("ab cd"), 3, "ab" },
	{ BYTES("a\0b"), 100, "a b" },
	{ BYTES(""), 100, "" },
	{ BYTES("\xE2\x82"), 100, "\xEF\xBF\xBD\xEF\xBF\xBD" },
};

START_TEST(a_line_is_printable_and_cut_between_characters)
{
	struct buf out = BUF_INIT(1000);

	utf8_put_line(&out, line_rows[_i].in, line_rows[_i].max);
	ck_assert_str_eq(buf_str(&out), line_rows[_i].out);
	buf_clear(&out);
}
END_TEST

static const struct {
	struct slice in;
	const char *out;
} json_rows[] = {
	{ BYTES("my_hook"), "\"my_hook\"" },
	{ BYTES("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"" },
	{ BYTES("\n\r\t\x01\x7F\0"), "\"\\n\\r\\t\\u0001\\u007f\\u0000\"" },
	{ BYTES("\xE2\x82\xAC"), "\"\xE2\x82\xAC\"" },
	{ BYTES("\xED\xA0\x80x"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDx\"" },
	{ BYTES(""), "\"\"" },
};

START_TEST(a_json_string_is_escaped_and_always_utf8)
{
	struct buf out = BUF_INIT(1000);

	utf8_put_json(&out, json_rows[_i].in);
	ck_assert_str_eq(buf_str(&out), json_rows[_i].out);
	buf_clear(&out);
}
END_TEST

Suite *utf8_suite(void);
Suite *
utf8_suite(void)
{
	Suite *s = suite_create("utf8");
	TCase *tc = tcase_create("utf8");

	tcase_add_loop_test(tc, only_well_formed_sequences_have_a_length, 0,
	    NELEMS(sequence_rows));
	tcase_add_loop_test(tc, a_line_is_printable_and_cut_between_characters,
	    0, NELEMS(line_rows));
	tcase_add_loop_test(
	    tc, a_json_string_is_escaped_and_always_utf8, 0, NELEMS(json_rows));
	suite_add_tcase(s, tc);
	return s;
}
