#ifndef TESTS_CHECK_RUNNER_H
#define TESTS_CHECK_RUNNER_H

#include <check.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * check_runner - run every suite of a NULL-ended table and print one line of
 * totals, "LABEL: N passed, N failed". Returns the exit status of main().
 *
 * CK_FORK, CK_RUN_SUITE, CK_RUN_CASE and CK_VERBOSITY work as ever.
 */
static inline int
check_runner(const char *label, Suite *(*const suites[])(void))
{
	SRunner *runner = srunner_create(NULL);
	int run, failed;

	for (size_t i = 0; suites[i]; i++)
		srunner_add_suite(runner, suites[i]());
	srunner_run_all(runner, CK_ENV);
	run = srunner_ntests_run(runner);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	(void)printf("%s: %d passed, %d failed\n", label, run - failed, failed);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
