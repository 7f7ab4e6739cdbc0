#include <check.h>

#include "base/macros.h"
#include "sql/db_errors.h"

Suite *db_errors_suite(void);

static const struct {
	int code;
	const char *what;
	enum rc rc;
	bool lost, again;
} errors[] = {
	{ 1213, "deadlock", RC_RETRY, false, true },
	{ 1205, "lock wait", RC_RETRY, false, true },
	{ 1020, "snapshot conflict", RC_RETRY, false, true },
	{ 3101, "group replication rolled back", RC_RETRY, false, true },
	{ 1062, "duplicate", RC_NONE, false, false },
	{ 1317, "query killed", RC_RETRY, false, false },
	{ 1969, "statement too slow (MariaDB)", RC_RETRY, false, false },
	{ 3024, "statement too slow (MySQL)", RC_RETRY, false, false },
	{ 1226, "user over a limit", RC_RETRY, false, false },
	{ 2002, "no socket", RC_RETRY, true, false },
	{ 2003, "no port", RC_RETRY, true, false },
	{ 2005, "no such host", RC_RETRY, true, false },
	{ 2006, "gone away", RC_RETRY, true, false },
	{ 2013, "lost", RC_RETRY, true, false },
	{ 2014, "out of sync", RC_RETRY, true, false },
	{ 2026, "TLS", RC_RETRY, true, false },
	{ 2055, "lost, with errno", RC_RETRY, true, false },
	{ 1040, "too many connections", RC_RETRY, true, false },
	{ 1047, "Galera not ready", RC_RETRY, true, false },
	{ 1053, "shutting down", RC_RETRY, true, false },
	{ 1290, "read-only", RC_RETRY, true, false },
	{ 1836, "read-only", RC_RETRY, true, false },
	{ 1927, "killed", RC_RETRY, true, false },
	{ 1153, "packet too large", RC_REJECT, true, false },
	{ 2020, "packet too large", RC_REJECT, true, false },
	{ 1044, "no right to the database", RC_REJECT, false, false },
	{ 1045, "wrong password", RC_REJECT, false, false },
	{ 1049, "no such database", RC_REJECT, false, false },
	{ 1054, "no such column", RC_REJECT, false, false },
	{ 1064, "syntax", RC_REJECT, false, false },
	{ 1142, "no right to the table", RC_REJECT, false, false },
	{ 1146, "no such table", RC_REJECT, false, false },
	{ 1176, "no such index", RC_REJECT, false, false },
	{ 1264, "out of range", RC_REJECT, false, false },
	{ 1366, "not in the character set", RC_REJECT, false, false },
	{ 1406, "too long", RC_REJECT, false, false },
	{ 0, "no number", RC_REJECT, false, false },
	{ 9999, "unknown", RC_REJECT, false, false },
};

START_TEST(error_says_again_or_never)
{
	struct db_error got = db_error_sort(errors[_i].code);

	ck_assert_msg(got.rc == errors[_i].rc && got.lost == errors[_i].lost &&
			  got.again == errors[_i].again,
	    "%d %s: %s lost %d again %d", errors[_i].code, errors[_i].what,
	    rc_name(got.rc), got.lost, got.again);
}
END_TEST

START_TEST(only_what_may_be_tried_again_is_repeated_or_lost)
{
	for (int code = 0; code < 10000; code++) {
		struct db_error got = db_error_sort(code);

		ck_assert(got.rc != RC_OK);
		ck_assert(!got.again || (got.rc == RC_RETRY && !got.lost));
	}
}
END_TEST

Suite *
db_errors_suite(void)
{
	Suite *s = suite_create("db_errors");
	TCase *tc = tcase_create("sort");

	tcase_add_loop_test(tc, error_says_again_or_never, 0, NELEMS(errors));
	tcase_add_test(tc, only_what_may_be_tried_again_is_repeated_or_lost);
	suite_add_tcase(s, tc);
	return s;
}
