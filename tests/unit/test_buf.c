#include "base/buf.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(numbers_text_and_hex_are_appended_in_order)
{
	struct buf b = BUF_INIT(256);

	buf_put_u64(&b, UINT64_MAX);
	buf_put_char(&b, ' ');
	buf_put_i64(&b, INT64_MIN);
	buf_printf(&b, " %s=%d ", "x", 7);
	buf_put_hex(&b, "\x00\xFF", 2);
	buf_put_u64(&b, 0);
	ck_assert_str_eq(
	    buf_str(&b), "18446744073709551615 -9223372036854775808 x=7 00ff0");
	ck_assert(!b.failed);
	buf_clear(&b);
}
END_TEST

START_TEST(a_put_over_the_ceiling_fails_and_changes_nothing)
{
	struct buf b = BUF_INIT(4);

	buf_put_str(&b, "abc");
	buf_put_str(&b, "de");
	ck_assert(b.failed);
	ck_assert_str_eq(buf_str(&b), "abc");
	buf_put_char(&b, 'd');
	ck_assert_str_eq(buf_str(&b), "abc");
	buf_clear(&b);
	ck_assert(!b.failed);
	buf_put_str(&b, "wxyz");
	ck_assert(!b.failed);
	ck_assert_str_eq(buf_str(&b), "wxyz");
	buf_clear(&b);
}
END_TEST

START_TEST(a_format_over_the_ceiling_fails)
{
	struct buf b = BUF_INIT(4);

	buf_printf(&b, "%d", 12345);
	ck_assert(b.failed);
	ck_assert_uint_eq(b.n, 0);
	buf_clear(&b);
}
END_TEST

START_TEST(a_length_that_overflows_fails)
{
	struct buf b = BUF_INIT(16);

	buf_put_str(&b, "x");
	ck_assert(!buf_reserve(&b, SIZE_MAX));
	ck_assert(b.failed);
	buf_clear(&b);
	buf_put_hex(&b, "x", SIZE_MAX);
	ck_assert(b.failed);
	buf_clear(&b);
}
END_TEST

START_TEST(dropping_moves_the_rest_to_the_front)
{
	struct buf b = BUF_INIT(16);

	buf_put_str(&b, "abcdef");
	buf_drop(&b, 2);
	ck_assert_str_eq(buf_str(&b), "cdef");
	buf_drop(&b, 4);
	ck_assert_str_eq(buf_str(&b), "");
	buf_drop(&b, 0);
	buf_clear(&b);
	buf_drop(&b, 0);
}
END_TEST

START_TEST(a_reset_keeps_the_memory_and_taking_hands_it_over)
{
	struct buf b = BUF_INIT(1 << 20);
	char *p;

	buf_put_str(&b, "abc");
	buf_reset(&b);
	ck_assert_str_eq(buf_str(&b), "");
	ck_assert_uint_gt(b.cap, 0);
	for (int i = 0; i < 10000; i++)
		buf_put_char(&b, 'x');
	ck_assert_uint_eq(buf_slice(&b).n, 10000);
	p = buf_take(&b);
	ck_assert_uint_eq(strlen(p), 10000);
	free(p);
	ck_assert_ptr_null(buf_take(&b));
	ck_assert_str_eq(buf_str(&b), "");
	buf_clear(&b);
	buf_clear(&b);
}
END_TEST

START_TEST(an_empty_slice_may_be_put)
{
	struct buf b = BUF_INIT(1);

	buf_put_slice(&b, SLICE_NONE);
	ck_assert(!b.failed);
	buf_put(&b, NULL, 0);
	ck_assert(!b.failed);
	buf_clear(&b);
}
END_TEST

Suite *buf_suite(void);
Suite *
buf_suite(void)
{
	Suite *s = suite_create("buf");
	TCase *tc = tcase_create("buf");

	tcase_add_test(tc, numbers_text_and_hex_are_appended_in_order);
	tcase_add_test(tc, a_put_over_the_ceiling_fails_and_changes_nothing);
	tcase_add_test(tc, a_format_over_the_ceiling_fails);
	tcase_add_test(tc, a_length_that_overflows_fails);
	tcase_add_test(tc, dropping_moves_the_rest_to_the_front);
	tcase_add_test(tc, a_reset_keeps_the_memory_and_taking_hands_it_over);
	tcase_add_test(tc, an_empty_slice_may_be_put);
	suite_add_tcase(s, tc);
	return s;
}
