#include "base/err.h"

#include <check.h>
#include <string.h>

START_TEST(setting_an_error_returns_its_kind)
{
	struct err err = ERR_INIT;

	ck_assert_int_eq(err_set(&err, RC_RETRY, "%s %d", "away", 7), RC_RETRY);
	ck_assert_str_eq(err.text, "away 7");
	ck_assert_int_eq(err.rc, RC_RETRY);
	ck_assert_int_eq(
	    err_set_code(&err, RC_REJECT, 1054, "no column"), RC_REJECT);
	ck_assert_int_eq(err.code, 1054);
	ck_assert_int_eq(err_set(&err, RC_NONE, "x"), RC_NONE);
	ck_assert_int_eq(err.code, 0);
}
END_TEST

START_TEST(nobody_need_want_the_words)
{
	ck_assert_int_eq(err_set(NULL, RC_FATAL, "x"), RC_FATAL);
	ck_assert_int_eq(err_set_code(NULL, RC_NONE, 1, "x"), RC_NONE);
}
END_TEST

START_TEST(wrapping_puts_words_in_front_and_keeps_kind_and_code)
{
	struct err err = ERR_INIT;

	err_set_code(&err, RC_RETRY, 2006, "gone away");
	ck_assert_int_eq(err_wrap(&err, "claim on %s", "a"), RC_RETRY);
	ck_assert_str_eq(err.text, "claim on a: gone away");
	ck_assert_int_eq(err.code, 2006);
}
END_TEST

START_TEST(a_long_text_is_cut_between_characters)
{
	struct err err = ERR_INIT;
	char text[2 * ERR_TEXT_MAX + 2] = "x";

	for (size_t i = 1; i + 2 < sizeof text; i += 2)
		memcpy(text + i, "\xC3\xA9", 3);
	err_set(&err, RC_REJECT, "%s", text);
	ck_assert_uint_lt(strlen(err.text), ERR_TEXT_MAX);
	ck_assert_uint_ge(strlen(err.text), ERR_TEXT_MAX - 2);
	ck_assert_uint_eq(strlen(err.text) % 2, 1);
	err_wrap(&err, "%s", "front");
	ck_assert_uint_lt(strlen(err.text), ERR_TEXT_MAX);
	ck_assert_int_eq(memcmp(err.text, "front: x\xC3\xA9", 10), 0);
	ck_assert_uint_eq((strlen(err.text) - 8) % 2, 0);
}
END_TEST

START_TEST(every_kind_has_a_name)
{
	ck_assert_str_eq(rc_name(RC_OK), "ok");
	ck_assert_str_eq(rc_name(RC_AGAIN), "again");
	ck_assert_str_eq(rc_name(RC_NONE), "none");
	ck_assert_str_eq(rc_name(RC_RETRY), "retry");
	ck_assert_str_eq(rc_name(RC_REJECT), "reject");
	ck_assert_str_eq(rc_name(RC_FATAL), "fatal");
}
END_TEST

Suite *err_suite(void);
Suite *
err_suite(void)
{
	Suite *s = suite_create("err");
	TCase *tc = tcase_create("err");

	tcase_add_test(tc, setting_an_error_returns_its_kind);
	tcase_add_test(tc, nobody_need_want_the_words);
	tcase_add_test(
	    tc, wrapping_puts_words_in_front_and_keeps_kind_and_code);
	tcase_add_test(tc, a_long_text_is_cut_between_characters);
	tcase_add_test(tc, every_kind_has_a_name);
	suite_add_tcase(s, tc);
	return s;
}
