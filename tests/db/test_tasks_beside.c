/*
 * What a transient queue shares with its plugin: the lock, the event, and the
 * tasks that are handed back.
 */
#include <stdio.h>

#include "base/macros.h"
#include "db_test.h"
#include "queues/tasks.h"
#include "tasks_fixture.h"

Suite *tasks_beside_suite(void);

static uint64_t
now_s(void)
{
	return db_test_u64("SELECT UNIX_TIMESTAMP()");
}

/* ---- the plugin's lock ---- */

static char mine[24];

static enum task_lock
lock(void)
{
	enum task_lock got;

	CK_RC(RC_OK, tasks_lock(t.db, &t.scope, &tx.q, mine, &got, &t.err));
	return got;
}

static void
put_lock(int age, int left)
{
	int64_t now = (int64_t)now_s();
	char text[32];

	(void)snprintf(text, sizeof text, "%u", (unsigned)(now - age));
	tx_put(TX_LOCK, text);
	(void)snprintf(text, sizeof text, "%u", (unsigned)(now + left));
	tx_put(TX_LOCK_TIMEOUT, text);
}

START_TEST(a_free_lock_is_taken_and_is_new_at_first)
{
	uint64_t from;

	mine[0] = '\0';
	tx_open("InnoDB");
	from = now_s();
	ck_assert_int_eq(lock(), TASK_LOCK_NEW);
	tx_is(TX_LOCK, mine);
	ck_assert_uint_eq(
	    db_test_u64("SELECT option_value BETWEEN %llu AND"
			" UNIX_TIMESTAMP() + 60 FROM wp_options WHERE"
			" option_name = '" TX_LOCK_TIMEOUT "'",
		(unsigned long long)from + 60),
	    1);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_options WHERE"
				      " autoload <> 'no'"),
	    0);
	ck_assert_int_eq(lock(), TASK_LOCK_OURS);
	CK_RC(RC_OK, tasks_unlock(t.db, &t.scope, &tx.q, mine, &t.err));
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_options"), 0);
}
END_TEST

START_TEST(autoload_is_as_the_plugins_own)
{
	mine[0] = '\0';
	tx_open("InnoDB");
	tx_list("a", NULL);
	ck_assert_int_eq(lock(), TASK_LOCK_NEW);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_options WHERE"
				      " autoload = 'off'"),
	    3);
}
END_TEST

static const struct {
	const char *what;
	int age, left;
	enum task_lock got;
} locks[] = {
	{ "PHP's", 5, 55, TASK_LOCK_OTHERS },
	{ "in its last second", 60, 0, TASK_LOCK_OTHERS },
	{ "expired", 61, -1, TASK_LOCK_NEW },
	{ "older than its time", 70, 100, TASK_LOCK_NEW },
	{ "far ahead", -100, 100, TASK_LOCK_OTHERS },
};

START_TEST(anothers_lock_is_waited_for_until_it_is_an_orphan)
{
	enum task_lock got;
	uint64_t second;

	tx_open("InnoDB");
	/* To the second: it must not pass meanwhile. */
	do {
		mine[0] = '\0';
		second = now_s();
		put_lock(locks[_i].age, locks[_i].left);
		got = lock();
	} while (now_s() != second);
	ck_assert_msg(got == locks[_i].got, "%s", locks[_i].what);
}
END_TEST

START_TEST(a_lock_without_its_time_is_an_orphan)
{
	mine[0] = '\0';
	tx_open("InnoDB");
	tx_put(TX_LOCK, "1");
	ck_assert_int_eq(lock(), TASK_LOCK_NEW);
	CK_RC(RC_OK, tasks_unlock(t.db, &t.scope, &tx.q, mine, &t.err));
	put_lock(5, 55);
	CK_RC(RC_OK, tasks_unlock(t.db, &t.scope, &tx.q, mine, &t.err));
	ck_assert_int_eq(lock(), TASK_LOCK_OTHERS);
}
END_TEST

/* Between our look and our writing. */
START_TEST(a_lock_that_is_taken_meanwhile_is_anothers)
{
	mine[0] = '\0';
	tx_open("InnoDB");
	tx_meanwhile("INSERT INTO wp_options (option_name, option_value,"
		     " autoload) VALUES ('" TX_LOCK "', '1700000000', 'no')",
	    "INSERT INTO wp_options (option_name, option_value, autoload)"
	    " VALUES ('" TX_LOCK_TIMEOUT "', UNIX_TIMESTAMP() + 60, 'no')");
	ck_assert_int_eq(lock(), TASK_LOCK_OTHERS);
	tx_join();
	tx_is(TX_LOCK, "1700000000");
	ck_assert_str_eq(mine, "");
}
END_TEST

START_TEST(an_orphan_that_is_taken_meanwhile_is_anothers)
{
	mine[0] = '\0';
	tx_open("InnoDB");
	put_lock(61, -1);
	tx_meanwhile("UPDATE wp_options SET option_value = '1700000000'"
		     " WHERE option_name = '" TX_LOCK "'",
	    "UPDATE wp_options SET option_value = UNIX_TIMESTAMP() + 60"
	    " WHERE option_name = '" TX_LOCK_TIMEOUT "'");
	ck_assert_int_eq(lock(), TASK_LOCK_OTHERS);
	tx_join();
	tx_is(TX_LOCK, "1700000000");
	ck_assert_str_eq(mine, "");
}
END_TEST

START_TEST(a_lock_of_ours_is_renewed_in_time)
{
	char before[24];

	mine[0] = '\0';
	tx_open("InnoDB");
	ck_assert_int_eq(lock(), TASK_LOCK_NEW);
	(void)snprintf(before, sizeof before, "%s", mine);
	ck_assert_int_eq(lock(), TASK_LOCK_OURS);
	ck_assert_str_eq(mine, before);
	/* As if 25 s had gone by. */
	(void)snprintf(mine, sizeof mine, "%u.123456789",
	    (unsigned)db_test_u64("SELECT UNIX_TIMESTAMP() - 25"));
	tx_put(TX_LOCK, mine);
	ck_assert_int_eq(lock(), TASK_LOCK_OURS);
	ck_assert_str_ne(mine, before);
	tx_is(TX_LOCK, mine);
	/* PHP's processor took it away, though it was ours. */
	db_test_sql("DELETE FROM wp_options");
	ck_assert_int_eq(lock(), TASK_LOCK_NEW);
	put_lock(0, 60);
	ck_assert_int_eq(lock(), TASK_LOCK_OTHERS);
}
END_TEST

/* ---- the event ---- */

#define EVENT(at)                                                              \
	"i:" at ";a:1:{s:7:\"process\";a:1:{s:32:"                             \
	"\"40cd750bba9870f18aada2478b24840a\";a:2:{s:8:\"schedule\";b:0;s:4:"  \
	"\"args\";a:0:{}}}}"
#define OTHER                                                                  \
	"i:4000000000;a:1:{s:5:\"other\";a:1:{s:32:"                           \
	"\"40cd750bba9870f18aada2478b24840a\";a:2:{s:8:\"schedule\";b:0;s:4:"  \
	"\"args\";a:0:{}}}}"
#define CRON_END "s:7:\"version\";i:2;}"

/* Is the only event of the hook so far ahead of a time between `from` and
 * now? */
static bool
event_is_ahead(uint64_t from, unsigned s)
{
	return db_test_u64("SELECT CAST(REGEXP_SUBSTR(option_value,"
			   " '[0-9]{10}(?=;a:1:.s:7:.process)') AS SIGNED)"
			   " BETWEEN %llu AND UNIX_TIMESTAMP() + %u"
			   " FROM wp_options WHERE option_name = 'cron'",
		   (unsigned long long)from + s, s) == 1;
}

START_TEST(the_event_is_kept_five_minutes_ahead)
{
	uint64_t from;

	tx_open("InnoDB");
	CK_RC(RC_NONE, tasks_keep_event(t.db, &t.scope, &tx.q, false, &t.err));
	tx_put("cron", "a:2:{" OTHER CRON_END);
	from = now_s();
	CK_RC(RC_OK, tasks_keep_event(t.db, &t.scope, &tx.q, false, &t.err));
	ck_assert(event_is_ahead(from, 300));
	CK_RC(RC_NONE, tasks_keep_event(t.db, &t.scope, &tx.q, false, &t.err));
	tx_put("cron",
	    "a:4:{" EVENT("1700000005") EVENT("1700000007") OTHER CRON_END);
	from = now_s();
	CK_RC(RC_OK, tasks_keep_event(t.db, &t.scope, &tx.q, true, &t.err));
	ck_assert(event_is_ahead(from, 300));
	ck_assert_uint_eq(
	    db_test_u64("SELECT option_value LIKE 'a:3:{%%' AND option_value"
			" LIKE '%%i:4000000000;%%' FROM wp_options"
			" WHERE option_name = 'cron'"),
	    1);
}
END_TEST

START_TEST(the_event_is_restored_for_the_plugin)
{
	uint64_t from;

	tx_open("InnoDB");
	tx_put("cron", "a:2:{" OTHER CRON_END);
	CK_RC(RC_OK, tasks_keep_event(t.db, &t.scope, &tx.q, false, &t.err));
	from = now_s();
	CK_RC(RC_OK, tasks_restore_event(t.db, &t.scope, &tx.q, false, &t.err));
	ck_assert(event_is_ahead(from, 10));
	tx_put("cron", "a:3:{" EVENT("1700000005") OTHER CRON_END);
	CK_RC(
	    RC_NONE, tasks_restore_event(t.db, &t.scope, &tx.q, false, &t.err));
}
END_TEST

/* ---- by hand ---- */

START_TEST(a_queue_is_handed_back_as_the_plugin_would_keep_it)
{
	struct task_inbox in;
	size_t n;

	mine[0] = '\0';
	tx_open("InnoDB");
	ck_assert_int_eq(lock(), TASK_LOCK_NEW);
	tx_list("a", "b", "c", NULL);
	tx_drain();
	ck_assert_uint_eq(tx_claim(7, 2), 2);
	CK_RC(RC_OK, tx_begin(0, 7));
	CK_RC(RC_OK, tx_settle(0, 7, true, false));
	CK_RC(RC_OK, tx_settle(1, 7, false, false));
	tx_list("d", NULL);
	CK_RC(RC_OK, tasks_hand_back(t.db, &t.scope, &tx.q, &n, &t.err));
	ck_assert_uint_eq(n, 2);
	ck_assert_uint_eq(
	    db_test_u64(
		"SELECT option_value REGEXP CONCAT('^a:3:[{]i:0;a:5:[{]s:4:"
		"\"type\";s:1:\"b\";s:7:\"payload\";N;s:7:\"created\";"
		"i:1700000000;s:8:\"attempts\";i:1;s:15:\"available_after\";"
		"i:[0-9]{10};[}]i:1;a:3:[{]s:4:\"type\";s:1:\"c\";.*i:2;a:3:"
		"[{]s:4:\"type\";s:1:\"d\";') FROM wp_options WHERE"
		" option_name = '" TX_VALUE "'"),
	    1);
	ck_assert_int_ge(tx_timeout_left(), 86390);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_options WHERE"
				      " option_name LIKE '%%lock'"),
	    0);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_wpcron_tasks"
				      " WHERE state <> 'done'"),
	    0);
	/* Taken once more, nothing of it is stale. */
	CK_RC(RC_OK, tasks_drain(t.db, &t.scope, &tx.q, &in, &t.err));
	ck_assert_uint_eq(in.taken, 3);
	ck_assert_uint_eq(in.stale, 0);
}
END_TEST

START_TEST(what_a_stale_writer_put_back_is_not_handed_back)
{
	size_t n;

	tx_open("InnoDB");
	tx_list("a", NULL);
	tx_drain();
	ck_assert_uint_eq(tx_claim(7, 1), 1);
	CK_RC(RC_OK, tx_settle(0, 7, true, false));
	tx_list("a", "b", NULL);
	CK_RC(RC_OK, tasks_hand_back(t.db, &t.scope, &tx.q, &n, &t.err));
	ck_assert_uint_eq(n, 0);
	tx_is(TX_VALUE,
	    "a:1:{i:0;a:3:{s:4:\"type\";s:1:\"b\";s:7:\"payload\";N;"
	    "s:7:\"created\";i:1700000000;}}");
}
END_TEST

START_TEST(a_queue_without_rows_is_handed_back_with_both)
{
	size_t n;

	tx_open("InnoDB");
	tx_put(TX_VALUE, "[{\"type\":\"a\"}]");
	tx_drain();
	CK_RC(RC_OK, tasks_hand_back(t.db, &t.scope, &tx.q, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	tx_is(TX_VALUE, "[{\"type\":\"a\"}]");
	tx_drain();
	db_test_sql("DELETE FROM wp_options");
	CK_RC(RC_OK, tasks_hand_back(t.db, &t.scope, &tx.q, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	tx_is(TX_VALUE, "a:1:{i:0;a:1:{s:4:\"type\";s:1:\"a\";}}");
	ck_assert_int_ge(tx_timeout_left(), 86390);
}
END_TEST

START_TEST(a_queue_is_not_handed_back_into_what_is_unreadable)
{
	size_t n;

	tx_open("InnoDB");
	tx_list("a", NULL);
	tx_drain();
	tx_put(TX_VALUE, "hello");
	CK_RC(RC_REJECT, tasks_hand_back(t.db, &t.scope, &tx.q, &n, &t.err));
	tx_is(TX_VALUE, "hello");
	ck_assert_uint_eq(tx_in_state("ready"), 1);
}
END_TEST

START_TEST(a_placeholder_goes_when_a_queue_is_handed_back)
{
	size_t n;

	tx_open("InnoDB");
	tx_put(TX_VALUE, "wpcron-fcgi:a:5");
	CK_RC(RC_OK, tasks_hand_back(t.db, &t.scope, &tx.q, &n, &t.err));
	tx_is(TX_VALUE, "a:0:{}");
}
END_TEST

START_TEST(what_php_appends_meanwhile_is_not_overwritten)
{
	size_t n;

	tx_open("InnoDB");
	tx_list("a", NULL);
	tx_drain();
	db_test_sql("DELETE FROM wp_options");
	tx_meanwhile("UPDATE wp_wpcron_tasks SET error = 'x'",
	    "INSERT INTO wp_options (option_name, option_value, autoload)"
	    " VALUES ('" TX_VALUE "', '[{\"type\":\"b\"}]', 'no')");
	CK_RC(RC_OK, tasks_hand_back(t.db, &t.scope, &tx.q, &n, &t.err));
	tx_join();
	ck_assert_uint_eq(n, 1);
	tx_drain();
	ck_assert_uint_eq(tx_claim(7, 10), 2);
	ck_assert(slice_eq_str(tx.tasks[0].type, "a"));
	ck_assert(slice_eq_str(tx.tasks[1].type, "b"));
}
END_TEST

/* By a PHP process that does not know yet that we go. */
START_TEST(what_the_companion_stores_meanwhile_is_not_forgotten)
{
	struct task_inbox in;
	size_t n;

	tx_open("InnoDB");
	tx_list("a", NULL);
	tx_drain();
	db_test_sql("CREATE TRIGGER appender AFTER UPDATE ON wp_options FOR"
		    " EACH ROW INSERT INTO wp_wpcron_tasks (blog_id, queue,"
		    " state, snapshot, available_at, taken_at, element) SELECT"
		    " 1, 'q', 'list', SHA2(UUID(), 256), UTC_TIMESTAMP(6),"
		    " UTC_TIMESTAMP(6), '[{\"type\":\"b\"}]' WHERE"
		    " NEW.option_name = '" TX_VALUE "'");
	CK_RC(RC_OK, tasks_hand_back(t.db, &t.scope, &tx.q, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	db_test_sql("DROP TRIGGER appender");
	db_test_sql(
	    "DELETE FROM wp_options WHERE option_name = '" TX_VALUE "'");
	CK_RC(RC_OK, tasks_drain(t.db, &t.scope, &tx.q, &in, &t.err));
	ck_assert_uint_eq(in.taken, 1);
	ck_assert_uint_eq(tx_claim(7, 10), 1);
	ck_assert(slice_eq_str(tx.tasks[0].type, "b"));
}
END_TEST

START_TEST(a_dead_task_is_revived_with_no_attempts)
{
	uint64_t id;

	tx_open("InnoDB");
	CK_RC(RC_OK, tasks_revive(t.db, &t.scope, &tx.q,
			 SLICE_LIT("a:2:{s:4:\"type\";s:1:\"a\";s:8:"
				   "\"attempts\";i:2;}"),
			 &id, &t.err));
	ck_assert_uint_eq(tx_claim(7, 10), 1);
	ck_assert_uint_eq(tx.tasks[0].task_id, id);
	ck_assert_uint_eq(tx.tasks[0].attempts, 0);
	ck_assert(slice_eq_str(tx.tasks[0].element,
	    "a:2:{s:4:\"type\";s:1:\"a\";s:8:\"attempts\";i:0;}"));
	CK_RC(RC_REJECT,
	    tasks_revive(t.db, &t.scope, &tx.q, SLICE_LIT("N;"), &id, &t.err));
}
END_TEST

START_TEST(all_that_waits_is_thrown_away_at_once)
{
	struct task_inbox in;
	size_t n;

	tx_open("InnoDB");
	tx_list("a", "b", NULL);
	tx_drain();
	tx_list("a", "b", "c", NULL);
	CK_RC(RC_OK, tasks_clear(t.db, &t.scope, &tx.q, &n, &t.err));
	ck_assert_uint_eq(n, 3);
	/* A stale writer does not bring them back either. */
	tx_list("a", "b", "c", NULL);
	CK_RC(RC_OK, tasks_drain(t.db, &t.scope, &tx.q, &in, &t.err));
	ck_assert_uint_eq(in.taken, 0);
	ck_assert_uint_eq(in.stale, 3);
}
END_TEST

Suite *
tasks_beside_suite(void)
{
	Suite *s = suite_create("tasks_beside");
	TCase *tc = db_test_case("tasks", 60);

	tcase_add_checked_fixture(tc, NULL, tx_forget);
	tcase_add_test(tc, a_free_lock_is_taken_and_is_new_at_first);
	tcase_add_test(tc, autoload_is_as_the_plugins_own);
	tcase_add_loop_test(tc,
	    anothers_lock_is_waited_for_until_it_is_an_orphan, 0,
	    (int)NELEMS(locks));
	tcase_add_test(tc, a_lock_without_its_time_is_an_orphan);
	tcase_add_test(tc, a_lock_that_is_taken_meanwhile_is_anothers);
	tcase_add_test(tc, an_orphan_that_is_taken_meanwhile_is_anothers);
	tcase_add_test(tc, a_lock_of_ours_is_renewed_in_time);
	tcase_add_test(tc, the_event_is_kept_five_minutes_ahead);
	tcase_add_test(tc, the_event_is_restored_for_the_plugin);
	tcase_add_test(tc, a_queue_is_handed_back_as_the_plugin_would_keep_it);
	tcase_add_test(tc, what_a_stale_writer_put_back_is_not_handed_back);
	tcase_add_test(tc, a_queue_without_rows_is_handed_back_with_both);
	tcase_add_test(tc, a_queue_is_not_handed_back_into_what_is_unreadable);
	tcase_add_test(tc, a_placeholder_goes_when_a_queue_is_handed_back);
	tcase_add_test(tc, what_php_appends_meanwhile_is_not_overwritten);
	tcase_add_test(
	    tc, what_the_companion_stores_meanwhile_is_not_forgotten);
	tcase_add_test(tc, a_dead_task_is_revived_with_no_attempts);
	tcase_add_test(tc, all_that_waits_is_thrown_away_at_once);
	suite_add_tcase(s, tc);
	return s;
}
