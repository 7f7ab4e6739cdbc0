#include "executors/php_child.h"

#include <check.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"

Suite *php_child_suite(void);

START_TEST(a_process_that_is_not_a_php_fpm_child_is_never_signalled)
{
	struct err err = ERR_INIT;
	struct php_child c;
	pid_t pid = fork();

	if (pid == 0) {
		(void)pause();
		_exit(0);
	}
	php_child_note(&c, pid);
	ck_assert_int_eq(c.pid, pid);
	ck_assert_uint_gt(c.start, 0);
	ck_assert_int_eq(php_child_signal(&c, SIGKILL, &err), RC_REJECT);
	ck_assert_ptr_nonnull(strstr(err.text, "is not a php-fpm child"));
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(php_child_signal(&c, SIGKILL, &err), RC_NONE);
}
END_TEST

START_TEST(a_pid_that_started_anew_is_somebody_else)
{
	struct php_child c;

	php_child_note(&c, getpid());
	ck_assert_int_eq(c.pid, getpid());
	c.start++;
	ck_assert_int_eq(php_child_check(&c, NULL), RC_NONE);
}
END_TEST

static const int64_t no_pids[] = { 0, -1, 1, INT64_MIN, INT64_MAX,
	INT64_C(4294967297), 4194304 };

START_TEST(what_is_not_a_process_here_is_not_remembered)
{
	struct php_child c;

	php_child_note(&c, no_pids[_i]);
	ck_assert_int_eq(c.pid, 0);
	ck_assert_int_eq(php_child_signal(&c, SIGTERM, NULL), RC_REJECT);
}
END_TEST

Suite *
php_child_suite(void)
{
	Suite *s = suite_create("php_child");
	TCase *t = tcase_create("php_child");

	tcase_add_test(
	    t, a_process_that_is_not_a_php_fpm_child_is_never_signalled);
	tcase_add_test(t, a_pid_that_started_anew_is_somebody_else);
	tcase_add_loop_test(t, what_is_not_a_process_here_is_not_remembered, 0,
	    (int)NELEMS(no_pids));
	suite_add_tcase(s, t);
	return s;
}
