/*
 * The tasks of a transient queue in our table, the plugin's lock and event,
 * and handing all of it back.
 */
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "db_test.h"
#include "queues/tasks.h"
#include "tasks_fixture.h"

Suite *tasks_run_suite(void);

static struct arena arena = ARENA_INIT((size_t)16 << 20);
static struct task *tasks;
static size_t ntasks;

static void
teardown(void)
{
	arena_clear(&arena);
}

static void
drain(void)
{
	struct task_inbox in;

	CK_RC(RC_OK, tasks_drain(t.db, &t.scope, &tx.q, &in, &t.err));
}

static size_t
claim_of(uint64_t claim, size_t max, const struct slice *types, size_t n)
{
	CK_RC(RC_OK, tasks_claim(t.db, &t.scope, &tx.q, claim, types, n, max,
			 60000, &arena, &tasks, &ntasks, &t.err));
	return ntasks;
}

static size_t
claim(uint64_t id, size_t max)
{
	return claim_of(id, max, NULL, 0);
}

static enum rc
begin(size_t i, uint64_t id)
{
	return tasks_begin(t.db, &t.scope, &tx.q, &tasks[i], id, &t.err);
}

static enum rc
settle(size_t i, uint64_t id, bool ok, bool for_good)
{
	return tasks_settle(t.db, &t.scope, &tx.q, &tasks[i], id, ok, for_good,
	    SLICE_LIT("it said no"), &t.err);
}

static uint64_t
in_state(const char *state)
{
	return db_test_u64("SELECT COUNT(*) FROM wp_wpcron_tasks"
			   " WHERE state = '%s' AND claim_id = 0",
	    state);
}

/* Seconds until the only task may run. */
static int
wait_of_one(void)
{
	return (int)db_test_u64(
	    "SELECT ROUND(TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6),"
	    " available_at) / 1000000) FROM wp_wpcron_tasks");
}

static void
come_due(void)
{
	db_test_sql("UPDATE wp_wpcron_tasks SET available_at ="
		    " UTC_TIMESTAMP(6) WHERE state = 'delayed'");
}

/* ---- claiming ---- */

START_TEST(tasks_are_claimed_in_order_of_arrival)
{
	tx_open("InnoDB");
	tx_list("a", "b", "c", NULL);
	drain();
	tx_list("d", NULL);
	drain();
	ck_assert_uint_eq(claim(7, 2), 2);
	ck_assert(slice_eq_str(tasks[0].type, "a"));
	ck_assert(slice_eq_str(tasks[1].type, "b"));
	ck_assert(slice_eq_str(tasks[0].payload, "N;"));
	ck_assert_uint_eq(tasks[0].max_attempts, 3);
	ck_assert_uint_eq(tasks[0].backoff_ms, 5000);
	ck_assert_uint_eq(claim(8, 10), 2);
	ck_assert(slice_eq_str(tasks[0].type, "c"));
	ck_assert(slice_eq_str(tasks[1].type, "d"));
	ck_assert_uint_eq(claim(9, 10), 0);
}
END_TEST

START_TEST(only_the_types_asked_for_are_claimed)
{
	const struct slice types[] = { SLICE_LIT("b"), SLICE_LIT("d") };

	tx_open("InnoDB");
	tx_list("a", "b", "c", "d", NULL);
	drain();
	ck_assert_uint_eq(claim_of(7, 10, types, 2), 2);
	ck_assert(slice_eq_str(tasks[0].type, "b"));
	ck_assert(slice_eq_str(tasks[1].type, "d"));
}
END_TEST

START_TEST(a_thousand_delayed_ones_do_not_hold_up_a_ready_one)
{
	tx_open("InnoDB");
	tx_list("a", NULL);
	drain();
	db_test_sql("INSERT INTO wp_wpcron_tasks (blog_id, queue, state, type,"
		    " available_at, taken_at, snapshot, place, element)"
		    " SELECT 1, 'q', 'delayed', 'late', UTC_TIMESTAMP(6)"
		    " + INTERVAL 1 HOUR, UTC_TIMESTAMP(6) - INTERVAL 1 HOUR,"
		    " MD5(seq), 1, 'a:1:{s:4:\"type\";s:4:\"late\";}'"
		    " FROM seq_1_to_1000");
	ck_assert_uint_eq(claim(7, 10), 1);
	ck_assert(slice_eq_str(tasks[0].type, "a"));
}
END_TEST

START_TEST(a_task_is_ready_in_the_second_it_names)
{
	char list[200];
	uint64_t now;

	tx_open("InnoDB");
	now = db_test_u64("SELECT UNIX_TIMESTAMP()");
	(void)snprintf(list, sizeof list,
	    "a:2:{i:0;a:2:{s:4:\"type\";s:1:\"a\";s:15:\"available_after\";"
	    "i:%u;}i:1;a:2:{s:4:\"type\";s:1:\"b\";s:15:\"available_after\";"
	    "i:%u;}}",
	    (unsigned)now, (unsigned)now + 60);
	tx_put(TX_VALUE, list);
	drain();
	ck_assert_uint_eq(in_state("ready"), 1);
	ck_assert_uint_eq(in_state("delayed"), 1);
	ck_assert_uint_eq(claim(7, 10), 1);
	ck_assert(slice_eq_str(tasks[0].type, "a"));
}
END_TEST

START_TEST(a_task_that_comes_due_runs_in_its_place)
{
	tx_open("InnoDB");
	tx_list("a", "b", NULL);
	drain();
	ck_assert_uint_eq(claim(7, 1), 1);
	CK_RC(RC_OK, begin(0, 7));
	CK_RC(RC_OK, settle(0, 7, false, false));
	ck_assert_uint_eq(in_state("delayed"), 1);
	come_due();
	ck_assert_uint_eq(claim(8, 10), 2);
	ck_assert(slice_eq_str(tasks[0].type, "a"));
	ck_assert_uint_eq(tasks[0].attempts, 1);
}
END_TEST

START_TEST(the_hash_of_a_task_stays_its_own)
{
	char first[33];

	tx_open("InnoDB");
	tx_list("a", "a", NULL);
	drain();
	ck_assert_uint_eq(claim(7, 10), 2);
	ck_assert_uint_eq(tasks[0].id_hash.n, 32);
	ck_assert(!slice_eq(tasks[0].id_hash, tasks[1].id_hash));
	(void)snprintf(
	    first, sizeof first, "%.*s", SLICE_FMT(tasks[0].id_hash));
	CK_RC(RC_OK, tasks_release(t.db, &t.scope, 7, &t.err));
	ck_assert_uint_eq(claim(8, 1), 1);
	ck_assert(slice_eq_str(tasks[0].id_hash, first));
}
END_TEST

START_TEST(json_comes_as_php_reads_it)
{
	tx_open("InnoDB");
	tx_put(TX_VALUE, "[{\"type\":\"a\",\"payload\":{\"k\":[1,\"x\"]}}]");
	drain();
	ck_assert_uint_eq(claim(7, 10), 1);
	ck_assert(slice_eq_str(
	    tasks[0].payload, "a:1:{s:1:\"k\";a:2:{i:0;i:1;i:1;s:1:\"x\";}}"));
	ck_assert(slice_starts(tasks[0].element, SLICE_LIT("a:2:{s:4:")));
}
END_TEST

/* ---- settling ---- */

START_TEST(what_is_done_is_done_once)
{
	tx_open("InnoDB");
	tx_list("a", NULL);
	drain();
	ck_assert_uint_eq(claim(7, 10), 1);
	CK_RC(RC_OK, begin(0, 7));
	CK_RC(RC_OK, begin(0, 7));
	CK_RC(RC_NONE, begin(0, 8));
	CK_RC(RC_NONE, settle(0, 8, true, false));
	CK_RC(RC_OK, settle(0, 7, true, false));
	CK_RC(RC_NONE, settle(0, 7, true, false));
	CK_RC(RC_NONE, begin(0, 7));
	ck_assert_uint_eq(in_state("done"), 1);
	ck_assert_uint_eq(
	    db_test_u64("SELECT LENGTH(element) FROM wp_wpcron_tasks"), 0);
}
END_TEST

START_TEST(a_task_is_tried_three_times_and_then_dead)
{
	tx_open("InnoDB");
	tx_list("a", NULL);
	drain();
	for (int i = 1; i <= 3; i++) {
		ck_assert_uint_eq(claim(7, 10), 1);
		CK_RC(RC_OK, begin(0, 7));
		CK_RC(RC_OK, settle(0, 7, false, false));
		if (i < 3) {
			ck_assert_int_eq(wait_of_one(), i == 1 ? 5 : 10);
			ck_assert_uint_eq(claim(8, 10), 0);
			come_due();
		}
	}
	ck_assert_uint_eq(in_state("dead"), 1);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_dead_letters WHERE"
			" kind = 'task' AND queue = 'q' AND title = 'a' AND"
			" reason = 'it said no' AND attempts = 3 AND"
			" payload LIKE 'a:3:{s:4:\"type\";s:1:\"a\";%%}' AND"
			" created_at = '2023-11-14 22:13:20'"),
	    1);
}
END_TEST

START_TEST(what_fails_for_good_is_dead_at_once)
{
	struct task_counts c;

	tx_open("InnoDB");
	tx_list("a", NULL);
	drain();
	ck_assert_uint_eq(claim(7, 10), 1);
	CK_RC(RC_OK, settle(0, 7, false, true));
	CK_RC(RC_OK, tasks_count(t.db, &t.scope, &tx.q, &c, &t.err));
	ck_assert_uint_eq(c.dead, 1);
	ck_assert_uint_eq(c.ready + c.delayed + c.running, 0);
}
END_TEST

static const struct {
	const char *member; /* of the task */
	const char *state;
	int wait;
} first_failures[] = {
	{ "s:7:\"backoff\";i:5;", "delayed", 5 },
	{ "s:7:\"backoff\";i:0;", "ready", 0 },
	{ "s:7:\"backoff\";i:1000000;", "delayed", 86400 },
	{ "s:12:\"max_attempts\";i:1;", "dead", 0 },
};

START_TEST(a_first_failure_waits_as_the_task_says)
{
	char list[200];

	tx_open("InnoDB");
	(void)snprintf(list, sizeof list,
	    "a:1:{i:0;a:2:{s:4:\"type\";s:1:\"a\";%s}}",
	    first_failures[_i].member);
	tx_put(TX_VALUE, list);
	drain();
	ck_assert_uint_eq(claim(7, 10), 1);
	CK_RC(RC_OK, settle(0, 7, false, false));
	ck_assert_uint_eq(in_state(first_failures[_i].state), 1);
	if (first_failures[_i].wait > 0)
		ck_assert_int_eq(wait_of_one(), first_failures[_i].wait);
}
END_TEST

START_TEST(a_fraction_of_a_second_counts)
{
	tx_open("InnoDB");
	tx_put(TX_VALUE,
	    "a:1:{i:0;a:2:{s:4:\"type\";s:1:\"a\";s:7:\"backoff\";d:1.5;}}");
	drain();
	ck_assert_uint_eq(claim(7, 10), 1);
	ck_assert_uint_eq(tasks[0].backoff_ms, 1500);
	CK_RC(RC_OK, settle(0, 7, false, false));
	ck_assert_uint_eq(
	    db_test_u64("SELECT TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6),"
			" available_at) BETWEEN 1 AND 1500000"
			" FROM wp_wpcron_tasks"),
	    1);
}
END_TEST

/* ---- looking after ---- */

START_TEST(a_claim_that_is_over_goes_back_or_counts_as_a_failure)
{
	size_t rescued;
	bool due;

	tx_open("InnoDB");
	tx_list("a", "b", NULL);
	drain();
	ck_assert_uint_eq(claim(7, 10), 2);
	CK_RC(RC_OK, begin(0, 7));
	CK_RC(RC_OK, tasks_tend(t.db, &t.scope, &tx.q, &rescued, &t.err));
	ck_assert_uint_eq(rescued, 0);
	db_test_sql("UPDATE wp_wpcron_tasks SET claimed_until ="
		    " UTC_TIMESTAMP(6) - INTERVAL 1 SECOND");
	CK_RC(RC_OK, tasks_extend(t.db, &t.scope, 7, 60000, &t.err));
	CK_RC(RC_OK, tasks_tend(t.db, &t.scope, &tx.q, &rescued, &t.err));
	ck_assert_uint_eq(rescued, 0);
	CK_RC(RC_OK, tasks_due(t.db, &t.scope, &tx.q, &due, &t.err));
	ck_assert(!due);
	db_test_sql("UPDATE wp_wpcron_tasks SET claimed_until ="
		    " UTC_TIMESTAMP(6) - INTERVAL 1 SECOND");
	CK_RC(RC_OK, tasks_due(t.db, &t.scope, &tx.q, &due, &t.err));
	ck_assert(due);
	CK_RC(RC_OK, tasks_tend(t.db, &t.scope, &tx.q, &rescued, &t.err));
	ck_assert_uint_eq(rescued, 2);
	ck_assert_uint_eq(in_state("ready"), 1);
	ck_assert_uint_eq(in_state("delayed"), 1);
	CK_RC(RC_NONE, settle(0, 7, true, false));
	ck_assert_uint_eq(claim(8, 10), 1);
	ck_assert(slice_eq_str(tasks[0].type, "b"));
}
END_TEST

START_TEST(what_was_begun_is_not_released)
{
	tx_open("InnoDB");
	tx_list("a", "b", NULL);
	drain();
	ck_assert_uint_eq(claim(7, 10), 2);
	CK_RC(RC_OK, begin(0, 7));
	CK_RC(RC_OK, tasks_release(t.db, &t.scope, 7, &t.err));
	ck_assert_uint_eq(in_state("ready"), 1);
	CK_RC(RC_OK, settle(0, 7, true, false));
}
END_TEST

START_TEST(what_is_over_is_forgotten_in_time)
{
	size_t rescued;

	tx_open("InnoDB");
	tx_list("a", "b", NULL);
	drain();
	ck_assert_uint_eq(claim(7, 10), 2);
	CK_RC(RC_OK, settle(0, 7, true, false));
	CK_RC(RC_OK, settle(1, 7, true, false));
	db_test_sql("UPDATE wp_wpcron_tasks SET ended_at = ended_at"
		    " - INTERVAL 3 DAY WHERE type = 'a'");
	db_test_sql("UPDATE wp_wpcron_task_snapshots SET seen_at = seen_at"
		    " - INTERVAL 1 HOUR");
	CK_RC(RC_OK, tasks_tend(t.db, &t.scope, &tx.q, &rescued, &t.err));
	ck_assert_uint_eq(in_state("done"), 1);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_task_snapshots"), 0);
}
END_TEST

START_TEST(however_much_is_over_is_forgotten_at_once)
{
	size_t rescued;

	tx_open("InnoDB");
	db_test_sql(
	    "INSERT INTO wp_wpcron_tasks (blog_id, queue, state,"
	    " snapshot, available_at, taken_at, ended_at, element) SELECT 1,"
	    " 'q', 'done', MD5(seq), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6),"
	    " UTC_TIMESTAMP(6) - INTERVAL 3 DAY, ''"
	    " FROM seq_1_to_1203");
	db_test_sql("INSERT INTO wp_wpcron_task_snapshots (blog_id, queue,"
		    " seen_at, elements) SELECT 1, 'q', UTC_TIMESTAMP(6)"
		    " - INTERVAL 1 DAY, '' FROM seq_1_to_503");
	CK_RC(RC_OK, tasks_tend(t.db, &t.scope, &tx.q, &rescued, &t.err));
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_tasks"), 0);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_task_snapshots"), 0);
}
END_TEST

START_TEST(counts_are_by_state_and_time)
{
	struct task_counts c;

	tx_open("InnoDB");
	tx_list("a", "b", "c", "d", NULL);
	drain();
	ck_assert_uint_eq(claim(7, 3), 3);
	CK_RC(RC_OK, begin(0, 7));
	CK_RC(RC_OK, settle(1, 7, true, false));
	CK_RC(RC_OK, settle(2, 7, false, false));
	CK_RC(RC_OK, tasks_count(t.db, &t.scope, &tx.q, &c, &t.err));
	ck_assert_uint_eq(c.running, 1);
	ck_assert_uint_eq(c.done_hour, 1);
	ck_assert_uint_eq(c.delayed, 1);
	ck_assert_uint_eq(c.ready, 1);
	db_test_sql("UPDATE wp_wpcron_tasks SET ended_at = ended_at"
		    " - INTERVAL 2 HOUR WHERE state = 'done'");
	CK_RC(RC_OK, tasks_count(t.db, &t.scope, &tx.q, &c, &t.err));
	ck_assert_uint_eq(c.done_hour, 0);
	ck_assert_uint_eq(c.done_day, 1);
}
END_TEST

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
	char text[32];

	(void)snprintf(text, sizeof text, "%u",
	    (unsigned)((int64_t)db_test_u64("SELECT UNIX_TIMESTAMP()") - age));
	tx_put(TX_LOCK, text);
	(void)snprintf(text, sizeof text, "%u",
	    (unsigned)((int64_t)db_test_u64("SELECT UNIX_TIMESTAMP()") + left));
	tx_put(TX_LOCK_TIMEOUT, text);
}

START_TEST(a_free_lock_is_taken_and_is_new_at_first)
{
	mine[0] = '\0';
	tx_open("InnoDB");
	ck_assert_int_eq(lock(), TASK_LOCK_NEW);
	tx_is(TX_LOCK, mine);
	ck_assert_uint_eq(
	    db_test_u64("SELECT option_value - UNIX_TIMESTAMP() BETWEEN 58 AND"
			" 60 FROM wp_options WHERE option_name ="
			" '" TX_LOCK_TIMEOUT "'"),
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
	mine[0] = '\0';
	tx_open("InnoDB");
	put_lock(locks[_i].age, locks[_i].left);
	ck_assert_msg(lock() == locks[_i].got, "%s", locks[_i].what);
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

/* When the only event of the hook is due; the test fails without. */
static int
event_in(void)
{
	return (int)(int64_t)db_test_u64(
		   "SELECT 1000 + CAST(REGEXP_SUBSTR(option_value,"
		   " '[0-9]{10}(?=;a:1:.s:7:.process)') AS SIGNED)"
		   " - UNIX_TIMESTAMP() FROM wp_options"
		   " WHERE option_name = 'cron'") -
	       1000;
}

START_TEST(the_event_is_kept_five_minutes_ahead)
{
	tx_open("InnoDB");
	CK_RC(RC_NONE, tasks_keep_event(t.db, &t.scope, &tx.q, false, &t.err));
	tx_put("cron", "a:2:{" OTHER CRON_END);
	CK_RC(RC_OK, tasks_keep_event(t.db, &t.scope, &tx.q, false, &t.err));
	ck_assert_int_ge(event_in(), 298);
	ck_assert_int_le(event_in(), 300);
	CK_RC(RC_NONE, tasks_keep_event(t.db, &t.scope, &tx.q, false, &t.err));
	tx_put("cron",
	    "a:4:{" EVENT("1700000005") EVENT("1700000007") OTHER CRON_END);
	CK_RC(RC_OK, tasks_keep_event(t.db, &t.scope, &tx.q, true, &t.err));
	ck_assert_int_ge(event_in(), 298);
	ck_assert_uint_eq(
	    db_test_u64("SELECT option_value LIKE 'a:3:{%%' AND option_value"
			" LIKE '%%i:4000000000;%%' FROM wp_options"
			" WHERE option_name = 'cron'"),
	    1);
}
END_TEST

START_TEST(the_event_is_restored_for_the_plugin)
{
	tx_open("InnoDB");
	tx_put("cron", "a:2:{" OTHER CRON_END);
	CK_RC(RC_OK, tasks_keep_event(t.db, &t.scope, &tx.q, false, &t.err));
	CK_RC(RC_OK, tasks_restore_event(t.db, &t.scope, &tx.q, false, &t.err));
	ck_assert_int_ge(event_in(), 8);
	ck_assert_int_le(event_in(), 10);
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
	drain();
	ck_assert_uint_eq(claim(7, 2), 2);
	CK_RC(RC_OK, begin(0, 7));
	CK_RC(RC_OK, settle(0, 7, true, false));
	CK_RC(RC_OK, settle(1, 7, false, false));
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
	drain();
	ck_assert_uint_eq(claim(7, 1), 1);
	CK_RC(RC_OK, settle(0, 7, true, false));
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
	drain();
	CK_RC(RC_OK, tasks_hand_back(t.db, &t.scope, &tx.q, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	tx_is(TX_VALUE, "[{\"type\":\"a\"}]");
	drain();
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
	drain();
	tx_put(TX_VALUE, "hello");
	CK_RC(RC_REJECT, tasks_hand_back(t.db, &t.scope, &tx.q, &n, &t.err));
	tx_is(TX_VALUE, "hello");
	ck_assert_uint_eq(in_state("ready"), 1);
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
	drain();
	db_test_sql("DELETE FROM wp_options");
	tx_meanwhile("UPDATE wp_wpcron_tasks SET error = 'x'",
	    "INSERT INTO wp_options (option_name, option_value, autoload)"
	    " VALUES ('" TX_VALUE "', '[{\"type\":\"b\"}]', 'no')");
	CK_RC(RC_OK, tasks_hand_back(t.db, &t.scope, &tx.q, &n, &t.err));
	tx_join();
	ck_assert_uint_eq(n, 1);
	drain();
	ck_assert_uint_eq(claim(7, 10), 2);
	ck_assert(slice_eq_str(tasks[0].type, "a"));
	ck_assert(slice_eq_str(tasks[1].type, "b"));
}
END_TEST

/* By a PHP process that does not know yet that we go. */
START_TEST(what_the_companion_stores_meanwhile_is_not_forgotten)
{
	struct task_inbox in;
	size_t n;

	tx_open("InnoDB");
	tx_list("a", NULL);
	drain();
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
	ck_assert_uint_eq(claim(7, 10), 1);
	ck_assert(slice_eq_str(tasks[0].type, "b"));
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
	ck_assert_uint_eq(claim(7, 10), 1);
	ck_assert_uint_eq(tasks[0].task_id, id);
	ck_assert_uint_eq(tasks[0].attempts, 0);
	ck_assert(slice_eq_str(tasks[0].element,
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
	drain();
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

static void
add_running(TCase *tc)
{
	tcase_add_test(tc, tasks_are_claimed_in_order_of_arrival);
	tcase_add_test(tc, only_the_types_asked_for_are_claimed);
	tcase_add_test(tc, a_thousand_delayed_ones_do_not_hold_up_a_ready_one);
	tcase_add_test(tc, a_task_is_ready_in_the_second_it_names);
	tcase_add_test(tc, a_task_that_comes_due_runs_in_its_place);
	tcase_add_test(tc, the_hash_of_a_task_stays_its_own);
	tcase_add_test(tc, json_comes_as_php_reads_it);
	tcase_add_test(tc, what_is_done_is_done_once);
	tcase_add_test(tc, a_task_is_tried_three_times_and_then_dead);
	tcase_add_test(tc, what_fails_for_good_is_dead_at_once);
	tcase_add_loop_test(tc, a_first_failure_waits_as_the_task_says, 0,
	    (int)NELEMS(first_failures));
	tcase_add_test(tc, a_fraction_of_a_second_counts);
	tcase_add_test(
	    tc, a_claim_that_is_over_goes_back_or_counts_as_a_failure);
	tcase_add_test(tc, what_was_begun_is_not_released);
	tcase_add_test(tc, what_is_over_is_forgotten_in_time);
	tcase_add_test(tc, however_much_is_over_is_forgotten_at_once);
	tcase_add_test(tc, counts_are_by_state_and_time);
}

Suite *
tasks_run_suite(void)
{
	Suite *s = suite_create("tasks_run");
	TCase *tc = db_test_case("tasks", 60);

	tcase_add_checked_fixture(tc, NULL, teardown);
	add_running(tc);
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
