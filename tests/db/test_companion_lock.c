/* The lock that the daemon and the companion plugin share. */
#include <string.h>

#include "db_test.h"
#include "queues/companion_lock.h"

Suite *companion_lock_suite(void);

/* The server may be about to end a connection of the test before, which had
 * the lock of the same name. */
#define GONE_S 10

static struct sql_scope
blog(const char *prefix)
{
	struct sql_scope scope = t.scope;

	scope.prefix = prefix;
	return scope;
}

START_TEST(one_connection_has_it_at_a_time)
{
	struct db *other = db_test_connect();

	CK_RC(RC_OK, companion_lock(t.db, &t.scope, GONE_S, &t.err));
	CK_RC(RC_NONE, companion_lock(other, &t.scope, 0, &t.err));
	companion_unlock(t.db, &t.scope);
	CK_RC(RC_OK, companion_lock(other, &t.scope, 0, &t.err));
	db_close(other);
}
END_TEST

START_TEST(whoever_waits_gets_it_when_the_holder_goes)
{
	struct db *other = db_test_connect();

	CK_RC(RC_OK, companion_lock(other, &t.scope, GONE_S, &t.err));
	CK_RC(RC_NONE, companion_lock(t.db, &t.scope, 1, &t.err));
	db_close(other);
	CK_RC(RC_OK, companion_lock(t.db, &t.scope, GONE_S, &t.err));
}
END_TEST

START_TEST(it_is_given_back_as_often_as_it_was_taken)
{
	struct db *other = db_test_connect();

	CK_RC(RC_OK, companion_lock(t.db, &t.scope, GONE_S, &t.err));
	CK_RC(RC_OK, companion_lock(t.db, &t.scope, 0, &t.err));
	companion_unlock(t.db, &t.scope);
	CK_RC(RC_NONE, companion_lock(other, &t.scope, 0, &t.err));
	companion_unlock(t.db, &t.scope);
	CK_RC(RC_OK, companion_lock(other, &t.scope, 0, &t.err));
	companion_unlock(t.db, &t.scope); /* the other's: no harm */
	CK_RC(RC_NONE, companion_lock(t.db, &t.scope, 0, &t.err));
	db_close(other);
}
END_TEST

START_TEST(each_blog_and_each_database_has_its_own)
{
	struct sql_scope two = blog("wp_2_");
	struct db *other = db_test_connect();

	CK_RC(RC_OK, companion_lock(t.db, &t.scope, GONE_S, &t.err));
	CK_RC(RC_OK, companion_lock(other, &two, GONE_S, &t.err));
	db_test_sql("USE mysql");
	ck_assert_uint_eq(1,
	    db_test_u64("SELECT GET_LOCK(CONCAT('wp-cron-fcgi/', LEFT(SHA2("
			"CONCAT(DATABASE(), '/wp_options'), 256), 40)), 0)"));
	db_test_sql("USE %s", t.name);
	ck_assert_uint_eq(0,
	    db_test_u64("SELECT GET_LOCK(CONCAT('wp-cron-fcgi/', LEFT(SHA2("
			"CONCAT(DATABASE(), '/wp_options'), 256), 40)), 0)"));
	db_close(other);
}
END_TEST

START_TEST(a_connection_that_is_lost_is_to_be_tried_again)
{
	db_test_sql("KILL %llu", (unsigned long long)db_connection_id(t.db));
	CK_RC(RC_RETRY, companion_lock(t.db, &t.scope, 0, &t.err));
	companion_unlock(t.db, &t.scope);
}
END_TEST

Suite *
companion_lock_suite(void)
{
	Suite *s = suite_create("companion_lock");
	TCase *c = db_test_case("lock", 60);

	tcase_add_test(c, one_connection_has_it_at_a_time);
	tcase_add_test(c, whoever_waits_gets_it_when_the_holder_goes);
	tcase_add_test(c, it_is_given_back_as_often_as_it_was_taken);
	tcase_add_test(c, each_blog_and_each_database_has_its_own);
	tcase_add_test(c, a_connection_that_is_lost_is_to_be_tried_again);
	suite_add_tcase(s, c);
	return s;
}
