#include "base/errno_text.h"

#include <check.h>
#include <errno.h>
#include <string.h>

START_TEST(every_number_has_the_words_of_the_system)
{
	for (int code = -1; code < 140; code++)
		ck_assert_str_eq(ERRNO_TEXT(code), strerror(code));
}
END_TEST

START_TEST(two_texts_stand_in_one_line)
{
	const char *a = ERRNO_TEXT(ENOENT), *b = ERRNO_TEXT(EACCES);

	ck_assert_str_eq(a, "No such file or directory");
	ck_assert_str_eq(b, "Permission denied");
}
END_TEST

START_TEST(a_small_buffer_is_filled_and_ended)
{
	char buf[9] = "xxxxxxxx";

	ck_assert_str_eq(errno_text(ENOENT, buf, 5), "No s");
	ck_assert_int_eq(buf[5], 'x');
}
END_TEST

START_TEST(errno_stays_as_it_was)
{
	errno = EAGAIN;
	(void)ERRNO_TEXT(-5);
	ck_assert_int_eq(errno, EAGAIN);
}
END_TEST

Suite *errno_text_suite(void);
Suite *
errno_text_suite(void)
{
	Suite *s = suite_create("errno_text");
	TCase *tc = tcase_create("errno_text");

	tcase_add_test(tc, every_number_has_the_words_of_the_system);
	tcase_add_test(tc, two_texts_stand_in_one_line);
	tcase_add_test(tc, a_small_buffer_is_filled_and_ended);
	tcase_add_test(tc, errno_stays_as_it_was);
	suite_add_tcase(s, tc);
	return s;
}
