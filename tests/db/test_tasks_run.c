/*
 * The tasks of a transient queue in our table: claimed, settled, looked after.
 */
#include <stdio.h>

#include "base/macros.h"
#include "db_test.h"
#include "queues/tasks.h"
#include "tasks_fixture.h"

Suite *tasks_run_suite(void);

/* The server's clock. */
static uint64_t
now_us(void)
{
	return db_test_u64("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01',"
			   " UTC_TIMESTAMP(6))");
}

/* Was the only task put off by so much, between `from` and now? */
static bool
waits_since(uint64_t from, uint64_t ms)
{
	return db_test_u64("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01',"
			   " available_at) BETWEEN %llu AND %llu"
			   " FROM wp_wpcron_tasks",
		   (unsigned long long)(from + ms * 1000),
		   (unsigned long long)(now_us() + ms * 1000)) == 1;
}

/* What is delayed does not come due by itself, however slow the test is. */
static void
put_off(void)
{
	db_test_sql("UPDATE wp_wpcron_tasks SET available_at = available_at"
		    " + INTERVAL 1 HOUR WHERE state = 'delayed'");
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
	tx_drain();
	tx_list("d", NULL);
	tx_drain();
	ck_assert_uint_eq(tx_claim(7, 2), 2);
	ck_assert(slice_eq_str(tx.tasks[0].type, "a"));
	ck_assert(slice_eq_str(tx.tasks[1].type, "b"));
	ck_assert(slice_eq_str(tx.tasks[0].payload, "N;"));
	ck_assert_uint_eq(tx.tasks[0].max_attempts, 3);
	ck_assert_uint_eq(tx.tasks[0].backoff_ms, 5000);
	ck_assert_uint_eq(tx_claim(8, 10), 2);
	ck_assert(slice_eq_str(tx.tasks[0].type, "c"));
	ck_assert(slice_eq_str(tx.tasks[1].type, "d"));
	ck_assert_uint_eq(tx_claim(9, 10), 0);
}
END_TEST

START_TEST(only_the_types_asked_for_are_claimed)
{
	const struct slice types[] = { SLICE_LIT("b"), SLICE_LIT("d") };

	tx_open("InnoDB");
	tx_list("a", "b", "c", "d", NULL);
	tx_drain();
	ck_assert_uint_eq(tx_claim_of(7, 10, types, 2), 2);
	ck_assert(slice_eq_str(tx.tasks[0].type, "b"));
	ck_assert(slice_eq_str(tx.tasks[1].type, "d"));
}
END_TEST

START_TEST(a_thousand_delayed_ones_do_not_hold_up_a_ready_one)
{
	tx_open("InnoDB");
	tx_list("a", NULL);
	tx_drain();
	db_test_sql("INSERT INTO wp_wpcron_tasks (blog_id, queue, state, type,"
		    " available_at, taken_at, snapshot, place, element)"
		    " SELECT 1, 'q', 'delayed', 'late', UTC_TIMESTAMP(6)"
		    " + INTERVAL 1 HOUR, UTC_TIMESTAMP(6) - INTERVAL 1 HOUR,"
		    " MD5(seq), 1, 'a:1:{s:4:\"type\";s:4:\"late\";}'"
		    " FROM seq_1_to_1000");
	ck_assert_uint_eq(tx_claim(7, 10), 1);
	ck_assert(slice_eq_str(tx.tasks[0].type, "a"));
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
	tx_drain();
	ck_assert_uint_eq(tx_in_state("ready"), 1);
	ck_assert_uint_eq(tx_in_state("delayed"), 1);
	ck_assert_uint_eq(tx_claim(7, 10), 1);
	ck_assert(slice_eq_str(tx.tasks[0].type, "a"));
}
END_TEST

START_TEST(a_task_that_comes_due_runs_in_its_place)
{
	tx_open("InnoDB");
	tx_list("a", "b", NULL);
	tx_drain();
	ck_assert_uint_eq(tx_claim(7, 1), 1);
	CK_RC(RC_OK, tx_begin(0, 7));
	CK_RC(RC_OK, tx_settle(0, 7, false, false));
	ck_assert_uint_eq(tx_in_state("delayed"), 1);
	come_due();
	ck_assert_uint_eq(tx_claim(8, 10), 2);
	ck_assert(slice_eq_str(tx.tasks[0].type, "a"));
	ck_assert_uint_eq(tx.tasks[0].attempts, 1);
}
END_TEST

START_TEST(the_hash_of_a_task_stays_its_own)
{
	char first[33];

	tx_open("InnoDB");
	tx_list("a", "a", NULL);
	tx_drain();
	ck_assert_uint_eq(tx_claim(7, 10), 2);
	ck_assert_uint_eq(tx.tasks[0].id_hash.n, 32);
	ck_assert(!slice_eq(tx.tasks[0].id_hash, tx.tasks[1].id_hash));
	(void)snprintf(
	    first, sizeof first, "%.*s", SLICE_FMT(tx.tasks[0].id_hash));
	CK_RC(RC_OK, tasks_release(t.db, &t.scope, 7, &t.err));
	ck_assert_uint_eq(tx_claim(8, 1), 1);
	ck_assert(slice_eq_str(tx.tasks[0].id_hash, first));
}
END_TEST

START_TEST(json_comes_as_php_reads_it)
{
	tx_open("InnoDB");
	tx_put(TX_VALUE, "[{\"type\":\"a\",\"payload\":{\"k\":[1,\"x\"]}}]");
	tx_drain();
	ck_assert_uint_eq(tx_claim(7, 10), 1);
	ck_assert(slice_eq_str(tx.tasks[0].payload,
	    "a:1:{s:1:\"k\";a:2:{i:0;i:1;i:1;s:1:\"x\";}}"));
	ck_assert(slice_starts(tx.tasks[0].element, SLICE_LIT("a:2:{s:4:")));
}
END_TEST

/* ---- settling ---- */

START_TEST(what_is_done_is_done_once)
{
	tx_open("InnoDB");
	tx_list("a", NULL);
	tx_drain();
	ck_assert_uint_eq(tx_claim(7, 10), 1);
	CK_RC(RC_OK, tx_begin(0, 7));
	CK_RC(RC_OK, tx_begin(0, 7));
	CK_RC(RC_NONE, tx_begin(0, 8));
	CK_RC(RC_NONE, tx_settle(0, 8, true, false));
	CK_RC(RC_OK, tx_settle(0, 7, true, false));
	CK_RC(RC_NONE, tx_settle(0, 7, true, false));
	CK_RC(RC_NONE, tx_begin(0, 7));
	ck_assert_uint_eq(tx_in_state("done"), 1);
	ck_assert_uint_eq(
	    db_test_u64("SELECT LENGTH(element) FROM wp_wpcron_tasks"), 0);
}
END_TEST

START_TEST(a_task_is_tried_three_times_and_then_dead)
{
	tx_open("InnoDB");
	tx_list("a", NULL);
	tx_drain();
	for (int i = 1; i <= 3; i++) {
		uint64_t from;

		ck_assert_uint_eq(tx_claim(7, 10), 1);
		CK_RC(RC_OK, tx_begin(0, 7));
		from = now_us();
		CK_RC(RC_OK, tx_settle(0, 7, false, false));
		if (i < 3) {
			ck_assert(waits_since(from, i == 1 ? 5000 : 10000));
			put_off();
			ck_assert_uint_eq(tx_claim(8, 10), 0);
			come_due();
		}
	}
	ck_assert_uint_eq(tx_in_state("dead"), 1);
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
	tx_drain();
	ck_assert_uint_eq(tx_claim(7, 10), 1);
	CK_RC(RC_OK, tx_settle(0, 7, false, true));
	CK_RC(RC_OK, tasks_count(t.db, &t.scope, &tx.q, &c, &t.err));
	ck_assert_uint_eq(c.dead, 1);
	ck_assert_uint_eq(c.ready + c.delayed + c.running, 0);
}
END_TEST

static const struct {
	const char *member; /* of the task */
	const char *state;
	uint64_t wait_ms;
} first_failures[] = {
	{ "s:7:\"backoff\";i:5;", "delayed", 5000 },
	{ "s:7:\"backoff\";i:0;", "ready", 0 },
	{ "s:7:\"backoff\";i:1000000;", "delayed", 86400000 },
	{ "s:12:\"max_attempts\";i:1;", "dead", 0 },
};

START_TEST(a_first_failure_waits_as_the_task_says)
{
	char list[200];
	uint64_t from;

	tx_open("InnoDB");
	(void)snprintf(list, sizeof list,
	    "a:1:{i:0;a:2:{s:4:\"type\";s:1:\"a\";%s}}",
	    first_failures[_i].member);
	tx_put(TX_VALUE, list);
	tx_drain();
	ck_assert_uint_eq(tx_claim(7, 10), 1);
	from = now_us();
	CK_RC(RC_OK, tx_settle(0, 7, false, false));
	ck_assert_uint_eq(tx_in_state(first_failures[_i].state), 1);
	if (first_failures[_i].wait_ms > 0)
		ck_assert(waits_since(from, first_failures[_i].wait_ms));
}
END_TEST

START_TEST(a_fraction_of_a_second_counts)
{
	uint64_t from;

	tx_open("InnoDB");
	tx_put(TX_VALUE,
	    "a:1:{i:0;a:2:{s:4:\"type\";s:1:\"a\";s:7:\"backoff\";d:1.5;}}");
	tx_drain();
	ck_assert_uint_eq(tx_claim(7, 10), 1);
	ck_assert_uint_eq(tx.tasks[0].backoff_ms, 1500);
	from = now_us();
	CK_RC(RC_OK, tx_settle(0, 7, false, false));
	ck_assert(waits_since(from, 1500));
}
END_TEST

/* ---- looking after ---- */

START_TEST(a_claim_that_is_over_goes_back_or_counts_as_a_failure)
{
	size_t rescued;
	bool due;

	tx_open("InnoDB");
	tx_list("a", "b", NULL);
	tx_drain();
	ck_assert_uint_eq(tx_claim(7, 10), 2);
	CK_RC(RC_OK, tx_begin(0, 7));
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
	ck_assert_uint_eq(tx_in_state("ready"), 1);
	ck_assert_uint_eq(tx_in_state("delayed"), 1);
	CK_RC(RC_NONE, tx_settle(0, 7, true, false));
	put_off();
	ck_assert_uint_eq(tx_claim(8, 10), 1);
	ck_assert(slice_eq_str(tx.tasks[0].type, "b"));
}
END_TEST

START_TEST(what_was_begun_is_not_released)
{
	tx_open("InnoDB");
	tx_list("a", "b", NULL);
	tx_drain();
	ck_assert_uint_eq(tx_claim(7, 10), 2);
	CK_RC(RC_OK, tx_begin(0, 7));
	CK_RC(RC_OK, tasks_release(t.db, &t.scope, 7, &t.err));
	ck_assert_uint_eq(tx_in_state("ready"), 1);
	CK_RC(RC_OK, tx_settle(0, 7, true, false));
}
END_TEST

START_TEST(what_is_over_is_forgotten_in_time)
{
	size_t rescued;

	tx_open("InnoDB");
	tx_list("a", "b", NULL);
	tx_drain();
	ck_assert_uint_eq(tx_claim(7, 10), 2);
	CK_RC(RC_OK, tx_settle(0, 7, true, false));
	CK_RC(RC_OK, tx_settle(1, 7, true, false));
	db_test_sql("UPDATE wp_wpcron_tasks SET ended_at = ended_at"
		    " - INTERVAL 3 DAY WHERE type = 'a'");
	db_test_sql("UPDATE wp_wpcron_task_snapshots SET seen_at = seen_at"
		    " - INTERVAL 1 HOUR");
	CK_RC(RC_OK, tasks_tend(t.db, &t.scope, &tx.q, &rescued, &t.err));
	ck_assert_uint_eq(tx_in_state("done"), 1);
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
	tx_drain();
	ck_assert_uint_eq(tx_claim(7, 3), 3);
	CK_RC(RC_OK, tx_begin(0, 7));
	CK_RC(RC_OK, tx_settle(1, 7, true, false));
	CK_RC(RC_OK, tx_settle(2, 7, false, false));
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

Suite *
tasks_run_suite(void)
{
	Suite *s = suite_create("tasks_run");
	TCase *tc = db_test_case("tasks", 60);

	tcase_add_checked_fixture(tc, NULL, tx_forget);
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
	suite_add_tcase(s, tc);
	return s;
}
