/*
 * The inbox of a transient queue: what is taken, what a stale writer puts
 * back, the lock, the event.
 */
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "db_test.h"
#include "queues/tasks.h"
#include "sql/schema.h"
#include "tasks_fixture.h"

Suite *tasks_suite(void);

static struct task_inbox in;

static void
drain(void)
{
	CK_RC(RC_OK, tasks_drain(t.db, &t.scope, &tx.q, &in, &t.err));
}

static void
ck_taken(size_t taken, size_t stale)
{
	drain();
	ck_assert_uint_eq(in.taken, taken);
	ck_assert_uint_eq(in.stale, stale);
}

static uint64_t
ready(const char *type)
{
	return db_test_u64("SELECT COUNT(*) FROM wp_wpcron_tasks"
			   " WHERE state = 'ready' AND type = '%s'",
	    type);
}

/* ---- draining ---- */

START_TEST(tasks_are_taken_and_an_empty_list_is_left)
{
	tx_open("InnoDB");
	tx_list("a", "b", NULL);
	ck_taken(2, 0);
	ck_assert(in.present && !in.expired && !in.unreadable);
	ck_assert_uint_eq(in.n, 2);
	ck_assert_int_eq(in.oldest, 1700000000);
	tx_is(TX_VALUE, "a:0:{}");
	ck_assert_uint_eq(ready("a"), 1);
	ck_assert_uint_eq(ready("b"), 1);
	ck_taken(0, 0);
	ck_assert(in.present);
}
END_TEST

START_TEST(without_a_row_nothing_is_there)
{
	bool due = true;

	tx_open("InnoDB");
	CK_RC(RC_OK, tasks_due(t.db, &t.scope, &tx.q, &due, &t.err));
	ck_assert(!due);
	ck_taken(0, 0);
	ck_assert(!in.present);
}
END_TEST

START_TEST(what_is_in_the_inbox_or_ready_is_due)
{
	bool due = false;

	tx_open("InnoDB");
	tx_list("a", NULL);
	CK_RC(RC_OK, tasks_due(t.db, &t.scope, &tx.q, &due, &t.err));
	ck_assert(due);
	drain();
	due = false;
	CK_RC(RC_OK, tasks_due(t.db, &t.scope, &tx.q, &due, &t.err));
	ck_assert(due);
	db_test_sql("UPDATE wp_wpcron_tasks SET state = 'delayed',"
		    " available_at = UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE");
	CK_RC(RC_OK, tasks_due(t.db, &t.scope, &tx.q, &due, &t.err));
	ck_assert(!due);
	db_test_sql("UPDATE wp_wpcron_tasks SET available_at ="
		    " UTC_TIMESTAMP(6)");
	CK_RC(RC_OK, tasks_due(t.db, &t.scope, &tx.q, &due, &t.err));
	ck_assert(due);
}
END_TEST

/* A stale writer: it read the list before the drain. */
START_TEST(what_a_stale_writer_puts_back_is_not_taken_twice)
{
	tx_open("InnoDB");
	tx_list("a", "b", NULL);
	ck_taken(2, 0);
	tx_list("a", "b", "c", NULL);
	ck_taken(1, 2);
	/* One that read even before the second task. */
	tx_list("a", "d", NULL);
	ck_taken(1, 1);
	tx_list("a", NULL);
	ck_taken(0, 1);
	tx_is(TX_VALUE, "a:0:{}");
	/* Somebody who has seen the empty list. */
	tx_list("e", "a", NULL);
	ck_taken(2, 0);
	ck_assert_uint_eq(ready("a"), 2);
	ck_assert_uint_eq(ready("c"), 1);
	ck_assert_uint_eq(ready("d"), 1);
}
END_TEST

START_TEST(what_comes_again_is_taken_again_where_it_is_to_run)
{
	struct task_counts c;

	tx_open("InnoDB");
	tx.q.run_stale = true;
	tx_list("a", "b", NULL);
	ck_taken(2, 0);
	ck_assert_uint_eq(in.again, 0);
	tx_list("a", "b", NULL);
	ck_taken(2, 0);
	ck_assert_uint_eq(in.again, 2);
	tx_list("a", "c", NULL);
	ck_taken(2, 0);
	ck_assert_uint_eq(in.again, 1);
	tx_is(TX_VALUE, "a:0:{}");
	ck_assert_uint_eq(ready("a"), 3);
	ck_assert_uint_eq(ready("c"), 1);
	CK_RC(RC_OK, tasks_count(t.db, &t.scope, &tx.q, &c, &t.err));
	ck_assert_uint_eq(c.stale, 0);
}
END_TEST

START_TEST(snapshots_outlive_a_restart_and_lapse_after_their_time)
{
	struct db *other;

	tx_open("InnoDB");
	tx_list("a", NULL);
	ck_taken(1, 0);
	tx_list("a", "b", NULL);
	other = db_test_connect();
	CK_RC(RC_OK, tasks_drain(other, &t.scope, &tx.q, &in, &t.err));
	db_close(other);
	ck_assert_uint_eq(in.stale, 1);
	db_test_sql("UPDATE wp_wpcron_task_snapshots"
		    " SET seen_at = seen_at - INTERVAL 890 SECOND");
	tx_list("a", NULL);
	ck_taken(0, 1);
	db_test_sql("UPDATE wp_wpcron_task_snapshots"
		    " SET seen_at = seen_at - INTERVAL 901 SECOND");
	tx_list("a", NULL);
	ck_taken(1, 0);
	tx.q.snapshot_s = 3600;
	db_test_sql("UPDATE wp_wpcron_task_snapshots"
		    " SET seen_at = UTC_TIMESTAMP(6) - INTERVAL 3500 SECOND");
	tx_list("a", NULL);
	ck_taken(0, 1);
}
END_TEST

START_TEST(a_list_makes_its_beginnings_superfluous)
{
	tx_open("InnoDB");
	tx_list("a", NULL);
	drain();
	tx_list("a", "b", NULL);
	drain();
	tx_list("a", "b", "c", NULL);
	drain();
	tx_list("a", "x", NULL);
	drain();
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_task_snapshots"), 2);
}
END_TEST

START_TEST(what_is_stale_is_counted)
{
	struct task_counts c;

	tx_open("InnoDB");
	tx_list("a", "b", NULL);
	drain();
	tx_list("a", "b", NULL);
	drain();
	tx_list("a", "c", NULL);
	drain();
	CK_RC(RC_OK, tasks_count(t.db, &t.scope, &tx.q, &c, &t.err));
	ck_assert_uint_eq(c.stale, 3);
	ck_assert_uint_eq(c.ready, 3);
}
END_TEST

static const char *const unreadable[] = { "1", "hello", "a:1:{i:0;i:1;}",
	"O:8:\"stdClass\":0:{}", "a:1:{i:0;a:1:{s:4:" };

START_TEST(what_is_unreadable_is_left_alone)
{
	tx_open("InnoDB");
	tx_put(TX_VALUE, unreadable[_i]);
	ck_taken(0, 0);
	ck_assert(in.unreadable);
	ck_assert_str_ne(in.why, "");
	tx_is(TX_VALUE, unreadable[_i]);
	CK_RC(RC_OK, tasks_inbox(t.db, &t.scope, &tx.q, &in, &t.err));
	ck_assert(in.unreadable);
}
END_TEST

static const struct {
	const char *value, *left;
} forms[] = {
	{ "[{\"type\":\"a\"},{\"type\":\"b\"}]", "[]" },
	{ "s:27:\"[{\"type\":\"a\"},{\"type\":\"b\"}]\";", "s:2:\"[]\";" },
	{ "a:2:{i:0;s:12:\"{\"type\":\"a\"}\";i:1;s:12:\"{\"type\":\"b\"}\";}",
	    "a:0:{}" },
	{ "s:64:\"a:2:{i:0;a:1:{s:4:\"type\";s:1:\"a\";}i:1;a:1:{s:4:\"type\";"
	  "s:1:\"b\";}}\";",
	    "s:6:\"a:0:{}\";" },
};

START_TEST(an_emptied_list_keeps_its_form)
{
	tx_open("InnoDB");
	tx_put(TX_VALUE, forms[_i].value);
	drain();
	ck_assert_uint_eq(in.taken, 2);
	tx_is(TX_VALUE, forms[_i].left);
	ck_assert_uint_eq(ready("a"), 1);
}
END_TEST

START_TEST(a_placeholder_is_an_empty_inbox)
{
	bool due = true;

	tx_open("InnoDB");
	tx_put(TX_VALUE, "wpcron-fcgi:a:1700000000.5-12");
	CK_RC(RC_OK, tasks_due(t.db, &t.scope, &tx.q, &due, &t.err));
	ck_assert(!due);
	ck_taken(0, 0);
	ck_assert(!in.unreadable);
	tx_is(TX_VALUE, "wpcron-fcgi:a:1700000000.5-12");
}
END_TEST

START_TEST(an_expired_inbox_is_processed_and_said)
{
	tx_open("InnoDB");
	tx_list("a", NULL);
	tx_timeout(-10);
	ck_taken(1, 0);
	ck_assert(in.expired);
	ck_assert_uint_eq(
	    db_test_u64("SELECT expired_inbox FROM wp_wpcron_tasks"), 1);
}
END_TEST

START_TEST(an_expired_inbox_is_thrown_away_if_it_shall_be)
{
	tx_open("InnoDB");
	tx.q.discard_expired = true;
	tx_list("a", NULL);
	tx_timeout(-10);
	ck_taken(0, 0);
	ck_assert(in.expired);
	ck_assert_uint_eq(in.n, 1);
	tx_is(TX_VALUE, "a:0:{}");
	tx_timeout(10);
	tx_list("b", NULL);
	ck_taken(1, 0);
}
END_TEST

START_TEST(an_inbox_that_is_renewed_meanwhile_is_not_thrown_away)
{
	tx_open("InnoDB");
	tx.q.discard_expired = true;
	tx_list("a", NULL);
	tx_timeout(-10);
	tx_meanwhile("UPDATE wp_options SET option_value ="
		     " '[{\"type\":\"b\"}]' WHERE option_name = '" TX_VALUE "'",
	    "UPDATE wp_options SET option_value = UNIX_TIMESTAMP() + 86400"
	    " WHERE option_name = '" TX_TIMEOUT "'");
	ck_taken(1, 0);
	tx_join();
	ck_assert(!in.expired);
	ck_assert_uint_eq(ready("b"), 1);
}
END_TEST

START_TEST(the_inbox_time_is_extended_in_its_last_half_day)
{
	tx_open("InnoDB");
	tx_list("a", NULL);
	tx_timeout(43300);
	CK_RC(RC_OK, tasks_keep_inbox(t.db, &t.scope, &tx.q, &t.err));
	ck_assert_int_le(tx_timeout_left(), 43300);
	tx_timeout(43100);
	CK_RC(RC_OK, tasks_keep_inbox(t.db, &t.scope, &tx.q, &t.err));
	ck_assert_int_ge(tx_timeout_left(), 86390);
	/* Expired: not before it is drained. */
	tx_timeout(-5);
	CK_RC(RC_OK, tasks_keep_inbox(t.db, &t.scope, &tx.q, &t.err));
	ck_assert_int_le(tx_timeout_left(), -5);
	/* Of nothing: the next list would be expired at birth. */
	db_test_sql(
	    "DELETE FROM wp_options WHERE option_name = '" TX_VALUE "'");
	CK_RC(RC_OK, tasks_keep_inbox(t.db, &t.scope, &tx.q, &t.err));
	ck_assert_int_ge(tx_timeout_left(), 86390);
}
END_TEST

START_TEST(a_list_that_changes_case_alone_is_another)
{
	tx_open("InnoDB");
	tx_list("abc", NULL);
	ck_taken(1, 0);
	tx_list("ABC", NULL);
	ck_taken(1, 0);
}
END_TEST

START_TEST(autoload_stays_as_it_was)
{
	tx_open("InnoDB");
	tx_list("a", NULL);
	drain();
	ck_assert_uint_eq(db_test_u64("SELECT autoload = 'off' FROM wp_options"
				      " WHERE option_name = '" TX_VALUE "'"),
	    1);
}
END_TEST

START_TEST(a_list_that_php_has_read_is_taken_without_a_row)
{
	static const char list[] = "a:1:{i:0;a:1:{s:4:\"type\";s:1:\"a\";}}";

	tx_open("InnoDB");
	CK_RC(RC_OK, tasks_take_list(
			 t.db, &t.scope, &tx.q, slice_str(list), &in, &t.err));
	ck_assert_uint_eq(in.taken, 1);
	CK_RC(RC_OK, tasks_take_list(
			 t.db, &t.scope, &tx.q, slice_str(list), &in, &t.err));
	ck_assert_uint_eq(in.stale, 1);
	ck_assert_uint_eq(ready("a"), 1);
}
END_TEST

START_TEST(what_php_has_taken_and_nobody_can_read_is_a_dead_letter)
{
	static const char *const lists[] = {
		"a:1:{s:5:\"job_7\";a:1:{s:4:\"type\";s:1:\"a\";}}",
		"a:1:{i:0;a:1:{s:4:\"type\";d:1.5;}}",
	};

	tx_open("InnoDB");
	for (size_t i = 0; i < NELEMS(lists); i++) {
		CK_RC(RC_OK, tasks_take_list(t.db, &t.scope, &tx.q,
				 slice_str(lists[i]), &in, &t.err));
		ck_assert(!in.unreadable && in.taken == 0);
	}
	for (size_t i = 0; i < NELEMS(lists); i++)
		ck_assert_uint_eq(
		    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_dead_letters"
				" WHERE kind = 'task' AND payload = '%s'",
			lists[i]),
		    1);
}
END_TEST

/* ---- without transactions ---- */

START_TEST(without_transactions_tasks_are_taken_too)
{
	tx_open("MyISAM");
	tx_list("a", "b", NULL);
	ck_taken(2, 0);
	tx_is(TX_VALUE, "a:0:{}");
	ck_assert_uint_eq(ready("a"), 1);
	tx_list("a", "b", "c", NULL);
	ck_taken(1, 2);
	ck_assert_uint_eq(ready("c"), 1);
}
END_TEST

/* As if we had died between storing the tasks and emptying the list. */
static void
die_before_the_swap(void)
{
	drain();
	db_test_sql("UPDATE wp_wpcron_tasks SET state = 'pending'");
}

START_TEST(a_crash_before_the_swap_loses_none_and_doubles_none)
{
	tx_open("MyISAM");
	tx_list("a", "b", NULL);
	die_before_the_swap();
	/* The list still stands, and one is added. */
	tx_list("a", "b", "c", NULL);
	ck_taken(1, 2);
	tx_is(TX_VALUE, "a:0:{}");
	ck_assert_uint_eq(ready("a"), 1);
	ck_assert_uint_eq(ready("b"), 1);
	ck_assert_uint_eq(ready("c"), 1);
}
END_TEST

START_TEST(a_crash_after_the_swap_loses_none_and_doubles_none)
{
	bool due = false;

	tx_open("MyISAM");
	tx_list("a", "b", NULL);
	die_before_the_swap();
	CK_RC(RC_OK, tasks_due(t.db, &t.scope, &tx.q, &due, &t.err));
	ck_assert(due);
	ck_taken(0, 0);
	ck_assert_uint_eq(ready("a"), 1);
	ck_assert_uint_eq(ready("b"), 1);
}
END_TEST

/* ---- what the companion plugin stored ---- */

static void
hand_over(const char *list)
{
	db_test_sql("INSERT INTO wp_wpcron_tasks (blog_id, queue, state,"
		    " snapshot, available_at, taken_at, element) VALUES (1,"
		    " 'q', 'list', SHA2(UUID(), 256), UTC_TIMESTAMP(6),"
		    " UTC_TIMESTAMP(6), '%s')",
	    list);
}

START_TEST(lists_that_were_handed_over_become_tasks_in_their_order)
{
	struct arena a = ARENA_INIT((size_t)1 << 20);
	struct slice *types;
	size_t n;

	tx_open("InnoDB");
	db_test_sql("SET SESSION sql_mode = ''");
	hand_over("a:2:{i:0;a:1:{s:4:\"type\";s:1:\"a\";}"
		  "i:1;a:1:{s:4:\"type\";s:1:\"b\";}}");
	hand_over("[{\"type\":\"c\"}]");
	hand_over("a:1:{i:0;a:1:{s:4:\"type\";s:1:\"a\";}}");
	CK_RC(
	    RC_OK, tasks_types(t.db, &t.scope, &tx.q, &a, &types, &n, &t.err));
	ck_assert_uint_eq(n, 3);
	hand_over("a:1:{i:0;a:1:{s:4:\"type\";s:1:\"d\";}}");
	ck_taken(1, 0);
	ck_assert_uint_eq(
	    db_test_u64("SELECT GROUP_CONCAT(type ORDER BY available_at,"
			" task_id SEPARATOR '') = 'abcad'"
			" FROM wp_wpcron_tasks WHERE state = 'ready'"),
	    1);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM wp_wpcron_tasks"
				      " WHERE state = 'list'"),
	    0);
	arena_clear(&a);
}
END_TEST

START_TEST(one_that_is_unreadable_becomes_a_dead_letter)
{
	tx_open("InnoDB");
	db_test_sql("SET SESSION sql_mode = ''");
	hand_over("a:1:{i:0;i:1;}");
	ck_taken(0, 0);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_dead_letters WHERE"
			" kind = 'task' AND queue = 'q' AND payload ="
			" 'a:1:{i:0;i:1;}'"),
	    1);
}
END_TEST

START_TEST(queues_are_announced_and_taken_back)
{
	const struct slice names[] = { SLICE_LIT("q"), SLICE_LIT("other") };

	tx_open("InnoDB");
	CK_RC(RC_OK, tasks_announce(t.db, &t.scope, names, 1, &t.err));
	CK_RC(RC_OK, tasks_announce(t.db, &t.scope, names, 2, &t.err));
	tx_is("wpcron_fcgi_task_queues",
	    "a:2:{i:0;s:1:\"q\";i:1;s:5:\"other\";}");
	CK_RC(RC_OK, tasks_announce(t.db, &t.scope, NULL, 0, &t.err));
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_options WHERE option_name ="
			" 'wpcron_fcgi_task_queues'"),
	    0);
}
END_TEST

Suite *
tasks_suite(void)
{
	Suite *s = suite_create("tasks");
	TCase *tc = db_test_case("inbox", 60);

	tcase_add_test(tc, tasks_are_taken_and_an_empty_list_is_left);
	tcase_add_test(tc, without_a_row_nothing_is_there);
	tcase_add_test(tc, what_is_in_the_inbox_or_ready_is_due);
	tcase_add_test(tc, what_a_stale_writer_puts_back_is_not_taken_twice);
	tcase_add_test(tc, what_comes_again_is_taken_again_where_it_is_to_run);
	tcase_add_test(
	    tc, snapshots_outlive_a_restart_and_lapse_after_their_time);
	tcase_add_test(tc, a_list_makes_its_beginnings_superfluous);
	tcase_add_test(tc, what_is_stale_is_counted);
	tcase_add_loop_test(
	    tc, what_is_unreadable_is_left_alone, 0, (int)NELEMS(unreadable));
	tcase_add_loop_test(
	    tc, an_emptied_list_keeps_its_form, 0, (int)NELEMS(forms));
	tcase_add_test(tc, a_placeholder_is_an_empty_inbox);
	tcase_add_test(tc, an_expired_inbox_is_processed_and_said);
	tcase_add_test(tc, an_expired_inbox_is_thrown_away_if_it_shall_be);
	tcase_add_test(
	    tc, an_inbox_that_is_renewed_meanwhile_is_not_thrown_away);
	tcase_add_test(tc, the_inbox_time_is_extended_in_its_last_half_day);
	tcase_add_test(tc, a_list_that_changes_case_alone_is_another);
	tcase_add_test(tc, autoload_stays_as_it_was);
	tcase_add_test(tc, a_list_that_php_has_read_is_taken_without_a_row);
	tcase_add_test(
	    tc, what_php_has_taken_and_nobody_can_read_is_a_dead_letter);
	tcase_add_test(tc, without_transactions_tasks_are_taken_too);
	tcase_add_test(tc, a_crash_before_the_swap_loses_none_and_doubles_none);
	tcase_add_test(tc, a_crash_after_the_swap_loses_none_and_doubles_none);
	tcase_add_test(
	    tc, lists_that_were_handed_over_become_tasks_in_their_order);
	tcase_add_test(tc, one_that_is_unreadable_becomes_a_dead_letter);
	tcase_add_test(tc, queues_are_announced_and_taken_back);
	suite_add_tcase(s, tc);
	return s;
}
