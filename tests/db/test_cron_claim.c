/*
 * Claiming cron events that wait in the table: in core's order, each once on
 * all nodes, and no hook beside itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "cron_fixture.h"

Suite *cron_claim_suite(void);

/* A row that waits, `ago` seconds overdue; its id. */
static uint64_t
row(const char *hook, int ago)
{
	db_test_sql(
	    "INSERT INTO " E " (blog_id, state, scheduled_at, hook, event_key,"
	    " slot, event, not_before, taken_at) VALUES (1, 'taken', %lld,"
	    " '%s', 'k', UNHEX(MD5(RAND())),"
	    " 'a:2:{s:8:\"schedule\";b:0;s:4:\"args\";a:0:{}}',"
	    " UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))",
	    (long long)CX_NOW - ago, hook);
	return db_test_u64("SELECT MAX(event_id) FROM " E);
}

static bool
is_hook(const struct job *j, const char *hook)
{
	return j && slice_eq_str(j->hook, hook);
}

/* End the claimed jobs of a lane as done. */
static void
finish(struct claim_result *res, enum lane lane)
{
	cx_start(res, lane);
	for (struct job *j = res->jobs[lane]; j; j = j->next)
		CK_RC(RC_OK, cx_settle(j, OUTCOME_DONE, ""));
	cx_claims_free(res);
}

START_TEST(rows_are_claimed_as_core_would_run_them)
{
	static const char *const want[] = { "b", "c", "a", "d" };
	struct claim_result res;
	struct job *j;

	cx_open();
	row("a", 10);
	row("b", 30);
	row("c", 30);
	row("d", 5);
	CK_RC(RC_OK, cx_claim(10, 0, &res));
	j = res.jobs[LANE_NATIVE];
	for (size_t i = 0; i < NELEMS(want); i++, j = j->next)
		ck_assert(is_hook(j, want[i]));
	ck_assert(j == NULL);
	ck_assert_uint_eq(res.claims[LANE_NATIVE]->left, 4);
	ck_assert(!res.more);
	cx_claims_free(&res);
}
END_TEST

START_TEST(a_claim_is_on_the_rows)
{
	struct claim_result res;

	cx_open();
	row("php_a", 10);
	row("b", 10);
	CK_RC(RC_OK, cx_claim(1, 1, &res));
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM " E " WHERE node_id = %llu"
			" AND claim_id = %llu AND executor = 'php'"
			" AND claimed_at IS NOT NULL AND deadline >"
			" UTC_TIMESTAMP() + INTERVAL 60 SECOND",
		(unsigned long long)cx.node,
		(unsigned long long)res.claims[LANE_PHP]->id),
	    1);
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM " E " WHERE claim_id = %llu"
			" AND executor = 'webhook' AND deadline IS NULL",
		(unsigned long long)res.claims[LANE_NATIVE]->id),
	    1);
	cx_claims_free(&res);
}
END_TEST

START_TEST(room_is_held_to_and_the_rest_is_said)
{
	struct claim_result res;

	cx_open();
	for (int i = 0; i < 5; i++) {
		char hook[16];

		(void)snprintf(hook, sizeof hook, "h%d", i);
		row(hook, 10 - i);
	}
	CK_RC(RC_OK, cx_claim(3, 0, &res));
	ck_assert_uint_eq(res.njobs[0], 3);
	ck_assert(res.more);
	cx_claims_free(&res);
	CK_RC(RC_OK, cx_claim(3, 0, &res));
	ck_assert_uint_eq(res.njobs[0], 2);
	ck_assert(!res.more);
	cx_claims_free(&res);
	CK_RC(RC_NONE, cx_claim(3, 0, &res));
}
END_TEST

START_TEST(one_worker_takes_its_part_of_what_waits)
{
	const struct claim_request req = { .room = { 0, 10 },
		.share = { 0, 4 },
		.ask = { true, true },
		.admit = cx_admit };
	struct claim_result res;

	cx_open();
	for (int i = 0; i < 8; i++) {
		char hook[16];

		(void)snprintf(hook, sizeof hook, "php_%d", i);
		row(hook, 10 - i);
	}
	CK_RC(RC_OK, cron_events_ops.claim(
			 cron_events_queue(cx.q), t.db, &req, &res, &t.err));
	ck_assert_uint_eq(res.njobs[LANE_PHP], 2);
	ck_assert(is_hook(res.jobs[LANE_PHP], "php_0"));
	ck_assert(is_hook(res.jobs[LANE_PHP]->next, "php_1"));
	ck_assert(res.more);
	cx_claims_free(&res);
	/* Events that may not run beside it come with their hook's first. */
	row("php_2", 1);
	row("php_2", 1);
	CK_RC(RC_OK, cron_events_ops.claim(
			 cron_events_queue(cx.q), t.db, &req, &res, &t.err));
	ck_assert_uint_eq(res.njobs[LANE_PHP], 4);
	cx_claims_free(&res);
}
END_TEST

START_TEST(a_slow_hook_is_claimed_alone)
{
	struct claim_result res;

	cx_open();
	row("alone_a", 30);
	row("php_b", 20);
	CK_RC(RC_OK, cx_claim(0, 10, &res));
	ck_assert_uint_eq(res.njobs[LANE_PHP], 1);
	ck_assert(is_hook(res.jobs[LANE_PHP], "alone_a"));
	ck_assert(res.more);
	finish(&res, LANE_PHP);
	/* With picks before it, it waits for a claim of its own. */
	row("alone_a", 10);
	CK_RC(RC_OK, cx_claim(0, 10, &res));
	ck_assert_uint_eq(res.njobs[LANE_PHP], 1);
	ck_assert(is_hook(res.jobs[LANE_PHP], "php_b"));
	ck_assert(res.more);
	cx_claims_free(&res);
}
END_TEST

START_TEST(rows_that_nobody_may_run_are_not_due_for_a_while)
{
	struct claim_result res;

	cx_open();
	row("paused_a", 30);
	ck_assert_int_eq(cx_next_due(), CX_NOW);
	CK_RC(RC_NONE, cx_claim(10, 10, &res));
	ck_assert_int_gt(cx_next_due(), CX_NOW);
	ck_assert_int_le(cx_next_due(), CX_NOW + 5);
	cron_events_rewind(cx.q);
	ck_assert_int_eq(cx_next_due(), CX_NOW);
	CK_RC(RC_NONE, cx_claim(10, 10, &res));
	cx.now += 5;
	ck_assert_int_eq(cx_next_due(), cx.now);
}
END_TEST

START_TEST(a_row_waits_for_its_time)
{
	struct claim_result res;
	uint64_t id;

	cx_open();
	id = row("later", 10);
	db_test_sql("UPDATE " E " SET not_before = UTC_TIMESTAMP(6)"
		    " + INTERVAL 90 SECOND");
	CK_RC(RC_NONE, cx_claim(10, 10, &res));
	ck_assert_int_ge(cx_next_due(), CX_NOW + 75);
	ck_assert_int_le(cx_next_due(), CX_NOW + 91);
	/* But for an administrator. */
	CK_RC(RC_OK, cron_events_claim_one(cx.q, t.db, id,
			 &(const struct claim_request){
			     .room = { 1, 1 }, .admit = cx_admit },
			 &res, &t.err));
	ck_assert_uint_eq(res.jobs[LANE_NATIVE]->id, id);
	ck_assert_uint_eq(db_test_u64("SELECT woken_by = 'ctl' FROM " E), 1);
	cx_claims_free(&res);
	CK_RC(RC_NONE, cron_events_claim_one(cx.q, t.db, id,
			   &(const struct claim_request){
			       .room = { 1, 1 }, .admit = cx_admit },
			   &res, &t.err));
}
END_TEST

START_TEST(a_full_hook_lets_others_pass)
{
	struct claim_result res;

	cx_open();
	row("full_a", 30);
	row("b", 20);
	CK_RC(RC_OK, cx_claim(10, 10, &res));
	ck_assert_uint_eq(res.njobs[0], 1);
	ck_assert(is_hook(res.jobs[0], "b"));
	ck_assert(res.more);
	cx_claims_free(&res);
}
END_TEST

START_TEST(a_row_written_by_hand_that_cannot_run_is_failed)
{
	struct claim_result res;

	cx_open();
	row("broken", 10);
	db_test_sql("UPDATE " E " SET event = 'junk'");
	CK_RC(RC_NONE, cx_claim(10, 0, &res));
	ck_assert_uint_eq(cx_rows("failed", "broken"), 1);
	ck_assert_uint_eq(db_test_u64("SELECT LENGTH(message) > 0 FROM " E), 1);
}
END_TEST

START_TEST(what_waits_runs_though_the_option_cannot_be_written)
{
	struct claim_result res;

	cx_open();
	row("waits", 10);
	cx_add(CX_NOW - 10, "due", NO_ARGS, "", 0);
	db_test_sql("CREATE TRIGGER no_write BEFORE UPDATE ON wp_options"
		    " FOR EACH ROW SIGNAL SQLSTATE '45000'"
		    " SET MESSAGE_TEXT = 'no'");
	CK_RC(RC_OK, cx_claim(10, 0, &res));
	ck_assert_uint_eq(res.njobs[0], 1);
	cx_claims_free(&res);
	CK_RC(RC_REJECT, cx_claim(10, 0, &res));
}
END_TEST

/* ---- a hook does not run beside itself ---- */

START_TEST(a_hook_that_runs_is_not_claimed_again)
{
	struct claim_result res, other;

	cx_open();
	row("beat", 20);
	CK_RC(RC_OK, cx_claim(10, 10, &res));
	row("beat", 10);
	CK_RC(RC_NONE, cx_claim(10, 10, &other));
	/* It is another's end that it waits for: soon. */
	ck_assert_int_eq(cx_next_due(), CX_NOW + 1);
	cx_start(&res, LANE_NATIVE);
	CK_RC(RC_NONE, cx_claim(10, 10, &other));
	CK_RC(RC_OK, cx_settle(res.jobs[0], OUTCOME_DONE, ""));
	ck_assert_int_eq(cx_next_due(), CX_NOW);
	cx_claims_free(&res);
	CK_RC(RC_OK, cx_claim(10, 10, &other));
	cx_claims_free(&other);
}
END_TEST

START_TEST(hooks_differ_by_every_byte)
{
	struct claim_result res;

	cx_open();
	row("Beat", 20);
	row("beat", 20);
	row("beat ", 20);
	CK_RC(RC_OK, cx_claim(10, 10, &res));
	ck_assert_uint_eq(res.njobs[0], 3);
	cx_claims_free(&res);
}
END_TEST

START_TEST(a_native_claim_has_a_hook_once)
{
	struct claim_result res;

	cx_open();
	row("beat", 20);
	row("beat", 10);
	CK_RC(RC_OK, cx_claim(10, 10, &res));
	ck_assert_uint_eq(res.njobs[0], 1);
	cx_claims_free(&res);
}
END_TEST

START_TEST(a_php_claim_runs_a_hooks_events_one_after_another)
{
	struct claim_result res;

	cx_open();
	row("php_beat", 20);
	row("php_beat", 10);
	CK_RC(RC_OK, cx_claim(10, 10, &res));
	ck_assert_uint_eq(res.njobs[LANE_PHP], 2);
	cx_claims_free(&res);
}
END_TEST

START_TEST(a_hook_that_may_overlap_does)
{
	struct claim_result res;

	cx_open();
	cx.policy = &cx_overlap;
	row("beat", 20);
	row("beat", 10);
	CK_RC(RC_OK, cx_claim(10, 10, &res));
	ck_assert_uint_eq(res.njobs[0], 2);
	cx_claims_free(&res);
	row("beat", 5);
	CK_RC(RC_OK, cx_claim(10, 10, &res));
	cx_claims_free(&res);
}
END_TEST

/* Nodes on connections of their own claim and end what they got. */
#define NODES 4
#define EVENTS 120

static struct {
	pthread_mutex_t lock;
	unsigned running[3], beside, done;
} race;

struct node {
	struct cron_events *q;
	struct db *db;
	size_t room;
	pthread_t thread;
};

static unsigned
hook_number(const struct job *j)
{
	return (unsigned)(j->hook.p[j->hook.n - 1] - '0');
}

static void
run_job(const struct node *n, struct job *j)
{
	const struct timespec a_while = { .tv_nsec = 500000 };
	struct outcome o = { .job = j, .kind = OUTCOME_DONE };
	struct err err = ERR_INIT;
	unsigned hook = hook_number(j);

	pthread_mutex_lock(&race.lock);
	race.beside += race.running[hook]++ > 0;
	pthread_mutex_unlock(&race.lock);
	nanosleep(&a_while, NULL);
	pthread_mutex_lock(&race.lock);
	race.running[hook]--;
	race.done++;
	pthread_mutex_unlock(&race.lock);
	o.ended_at = 1;
	ck_assert_int_eq(
	    cron_events_ops.settle(cron_events_queue(n->q), n->db, &o, 1, &err),
	    RC_OK);
}

static bool
race_is_over(void)
{
	bool over;

	pthread_mutex_lock(&race.lock);
	over = race.done >= EVENTS;
	pthread_mutex_unlock(&race.lock);
	return over;
}

static void *
node_run(void *arg)
{
	struct node *n = arg;
	const struct claim_request req = { .room = { n->room, n->room },
		.admit = cx_admit };
	struct err err = ERR_INIT;

	db_thread_begin();
	while (!race_is_over()) {
		struct claim_result res;
		enum rc rc = cron_events_ops.claim(
		    cron_events_queue(n->q), n->db, &req, &res, &err);

		if (rc != RC_OK)
			continue;
		for (size_t l = 0; l < LANE_COUNT; l++)
			for (struct job *j = res.jobs[l]; j; j = j->next)
				run_job(n, j);
		cx_claims_free(&res);
	}
	db_thread_end();
	return NULL;
}

/* Nodes of different room, until all events are done. */
static void
race_nodes(void)
{
	struct node nodes[NODES];
	uint64_t id;

	memset(&race, 0, sizeof race);
	pthread_mutex_init(&race.lock, NULL);
	for (size_t i = 0; i < NODES; i++) {
		nodes[i].db = db_test_connect();
		nodes[i].q = cx_queue(nodes[i].db, &id);
		nodes[i].room = i + 1;
	}
	for (size_t i = 0; i < NODES; i++)
		ck_assert_int_eq(
		    pthread_create(&nodes[i].thread, NULL, node_run, &nodes[i]),
		    0);
	for (size_t i = 0; i < NODES; i++) {
		pthread_join(nodes[i].thread, NULL);
		cron_events_free(nodes[i].q);
		db_close(nodes[i].db);
	}
}

static const char *const lanes[] = { "native_", "php_" };

START_TEST(no_two_nodes_run_one_hook_at_a_time)
{
	cx_open();
	for (int i = 0; i < EVENTS; i++) {
		char hook[24];

		(void)snprintf(hook, sizeof hook, "%s%d", lanes[_i], i % 3);
		row(hook, EVENTS - i);
	}
	race_nodes();
	ck_assert_uint_eq(race.beside, 0);
	ck_assert_uint_eq(race.done, EVENTS);
	ck_assert_uint_eq(cx_rows("done", NULL), EVENTS);
}
END_TEST

START_TEST(nodes_that_take_at_once_take_each_event_once)
{
	struct buf text = BUF_INIT(1 << 20);

	cx_open();
	cx.policy = &cx_overlap;
	buf_printf(&text, "a:%d:{", EVENTS + 1);
	for (int i = 0; i < EVENTS; i++)
		buf_printf(&text,
		    "i:%lld;a:1:{s:2:\"h%d\";a:1:{s:1:\"k\";a:2:{"
		    "s:8:\"schedule\";b:0;s:4:\"args\";a:0:{}}}}",
		    (long long)CX_NOW - EVENTS + i, i % 3);
	buf_put_str(&text, "s:7:\"version\";i:2;}");
	cx_set_option(buf_slice(&text));
	buf_clear(&text);
	race_nodes();
	ck_assert(slice_eq_str(cx_option(), EMPTY_OPTION));
	ck_assert_uint_eq(cx_rows("done", NULL), EVENTS);
	ck_assert_uint_eq(db_test_u64("SELECT COUNT(*) FROM " E), EVENTS);
}
END_TEST

Suite *
cron_claim_suite(void)
{
	Suite *s = suite_create("cron_claim");
	TCase *tc = cx_case();

	tcase_add_test(tc, rows_are_claimed_as_core_would_run_them);
	tcase_add_test(tc, a_claim_is_on_the_rows);
	tcase_add_test(tc, room_is_held_to_and_the_rest_is_said);
	tcase_add_test(tc, one_worker_takes_its_part_of_what_waits);
	tcase_add_test(tc, a_slow_hook_is_claimed_alone);
	tcase_add_test(tc, rows_that_nobody_may_run_are_not_due_for_a_while);
	tcase_add_test(tc, a_row_waits_for_its_time);
	tcase_add_test(tc, a_full_hook_lets_others_pass);
	tcase_add_test(tc, a_row_written_by_hand_that_cannot_run_is_failed);
	tcase_add_test(tc, what_waits_runs_though_the_option_cannot_be_written);
	tcase_add_test(tc, a_hook_that_runs_is_not_claimed_again);
	tcase_add_test(tc, hooks_differ_by_every_byte);
	tcase_add_test(tc, a_native_claim_has_a_hook_once);
	tcase_add_test(tc, a_php_claim_runs_a_hooks_events_one_after_another);
	tcase_add_test(tc, a_hook_that_may_overlap_does);
	tcase_add_loop_test(
	    tc, no_two_nodes_run_one_hook_at_a_time, 0, NELEMS(lanes));
	tcase_add_test(tc, nodes_that_take_at_once_take_each_event_once);
	suite_add_tcase(s, tc);
	return s;
}
