#include "formats/base64.h"

#include <check.h>

#include "base/macros.h"

/* RFC 4648 §10, and bytes that are no text. */
static const struct {
	struct slice bytes;
	const char *text;
} rows[] = {
	{ { "", 0 }, "" },
	{ { "f", 1 }, "Zg==" },
	{ { "fo", 2 }, "Zm8=" },
	{ { "foo", 3 }, "Zm9v" },
	{ { "foob", 4 }, "Zm9vYg==" },
	{ { "fooba", 5 }, "Zm9vYmE=" },
	{ { "foobar", 6 }, "Zm9vYmFy" },
	{ { "\0\xFF\xFB", 3 }, "AP/7" },
	{ { "a\0", 2 }, "YQA=" },
};

START_TEST(bytes_come_back_as_they_were)
{
	struct buf text = BUF_INIT(100), bytes = BUF_INIT(100);

	buf_put_str(&text, ">");
	base64_put(&text, rows[_i].bytes);
	ck_assert_str_eq(buf_str(&text) + 1, rows[_i].text);
	buf_put_str(&bytes, ">");
	ck_assert(base64_read(&bytes, slice_from(buf_slice(&text), 1)));
	ck_assert(slice_eq(slice_from(buf_slice(&bytes), 1), rows[_i].bytes));
	ck_assert_int_eq(buf_str(&bytes)[bytes.n], '\0');
	buf_clear(&text);
	buf_clear(&bytes);
}
END_TEST

START_TEST(in_json_it_is_a_string)
{
	struct buf text = BUF_INIT(100);

	base64_put_json(&text, SLICE_LIT("a\"b"));
	base64_put_json(&text, SLICE_NONE);
	ck_assert_str_eq(buf_str(&text), "\"YSJi\"\"\"");
	buf_clear(&text);
}
END_TEST

static const char *const no_base64[] = { "Z", "Zg=", "Zg",
	"Z===", "====", "Zg=A", "Zm9v\n", " Zm9v   ", "Zm9vZg==\n\n\n\n",
	"Zm-_", "Zm\xC3\xA9" };

START_TEST(what_is_no_base64_is_refused)
{
	struct buf bytes = BUF_INIT(100);

	buf_put_str(&bytes, "kept");
	ck_assert_msg(!base64_read(&bytes, slice_str(no_base64[_i])), "%s",
	    no_base64[_i]);
	ck_assert_str_eq(buf_str(&bytes), "kept");
	buf_clear(&bytes);
}
END_TEST

START_TEST(past_the_ceiling_it_fails)
{
	struct buf small = BUF_INIT(7);

	base64_put(&small, SLICE_LIT("foobar"));
	ck_assert(small.failed);
	buf_reset(&small);
	ck_assert(!base64_read(&small, SLICE_LIT("Zm9vYmFyZm9vYmFy")));
	ck_assert(small.failed);
	buf_reset(&small);
	ck_assert(base64_read(&small, SLICE_LIT("Zm9vYmFy")));
	ck_assert_str_eq(buf_str(&small), "foobar");
	buf_clear(&small);
}
END_TEST

Suite *base64_suite(void);
Suite *
base64_suite(void)
{
	Suite *s = suite_create("base64");
	TCase *tc = tcase_create("base64");

	tcase_add_loop_test(tc, bytes_come_back_as_they_were, 0, NELEMS(rows));
	tcase_add_test(tc, in_json_it_is_a_string);
	tcase_add_loop_test(
	    tc, what_is_no_base64_is_refused, 0, NELEMS(no_base64));
	tcase_add_test(tc, past_the_ceiling_it_fails);
	suite_add_tcase(s, tc);
	return s;
}
