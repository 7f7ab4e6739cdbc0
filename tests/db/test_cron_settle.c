/*
 * Starting and settling cron events: each outcome's row, who gets another try,
 * and what is left alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "cron_fixture.h"

Suite *cron_settle_suite(void);

static struct claim_result res;

/* A job of that hook, claimed and, if wanted, started. */
static struct job *
claimed(const char *hook, bool start)
{
	bool php = strncmp(hook, "php_", 4) == 0;

	cx_add(CX_NOW - 10, hook, NO_ARGS, "", 0);
	CK_RC(RC_OK, cx_claim(!php, php, &res));
	if (start)
		cx_start(&res, php ? LANE_PHP : LANE_NATIVE);
	return res.jobs[php ? LANE_PHP : LANE_NATIVE];
}

/* Of the one row there is. */
static uint64_t
is_row(const char *condition)
{
	return db_test_u64("SELECT COUNT(*) FROM " E " WHERE %s", condition);
}

/* ---- starting ---- */

START_TEST(a_started_row_runs)
{
	cx_open();
	(void)claimed("one", true);
	ck_assert_uint_eq(is_row("state = 'running' AND started_at >"
				 " UTC_TIMESTAMP() - INTERVAL 10 SECOND"),
	    1);
	cx_claims_free(&res);
}
END_TEST

START_TEST(a_row_that_is_not_ours_any_more_is_not_started)
{
	struct job *j;

	cx_open();
	j = claimed("one", false);
	db_test_sql("UPDATE " E " SET claim_id = 0");
	CK_RC(RC_OK, cron_events_ops.start(
			 cron_events_queue(cx.q), t.db, &j, 1, &t.err));
	ck_assert(!j->started);
	ck_assert_uint_eq(cx_rows("taken", NULL), 1);
	cx_claims_free(&res);
}
END_TEST

START_TEST(a_start_whose_answer_got_lost_is_known_again)
{
	struct job *j;

	cx_open();
	j = claimed("one", true);
	j->started = false;
	CK_RC(RC_OK, cron_events_ops.start(
			 cron_events_queue(cx.q), t.db, &j, 1, &t.err));
	ck_assert(j->started);
	cx_claims_free(&res);
}
END_TEST

/* ---- settling ---- */

START_TEST(done_says_when_and_how_long)
{
	struct outcome o = { .kind = OUTCOME_DONE };
	struct job *j;

	cx_open();
	j = claimed("one", true);
	o.ended_at = j->started_at + 1234567;
	CK_RC(RC_OK, cx_settle_outcome(j, &o));
	ck_assert(o.settled);
	ck_assert_uint_eq(res.claims[0]->left, 0);
	ck_assert_uint_eq(
	    is_row("state = 'done' AND duration_ms = 1234 AND message = ''"
		   " AND ended_at > UTC_TIMESTAMP() - INTERVAL 10 SECOND"),
	    1);
	cx_claims_free(&res);
}
END_TEST

START_TEST(php_rows_take_their_duration_from_the_row)
{
	struct job *j;

	cx_open();
	j = claimed("php_a", true);
	db_test_sql("UPDATE " E " SET started_at = UTC_TIMESTAMP(6)"
		    " - INTERVAL 7 SECOND");
	j->started_at = 0;
	CK_RC(RC_OK, cx_settle(j, OUTCOME_DONE, ""));
	ck_assert_uint_eq(
	    is_row("state = 'done' AND duration_ms BETWEEN 7000 AND 17000"), 1);
	cx_claims_free(&res);
}
END_TEST

static const struct {
	const char *what;
	const char *hook;
	bool patient;
	struct outcome outcome;
	uint32_t try, strikes;
	const char *row; /* what is expected of it */
} outcomes[] = {
	{ "a failure is for good", "h", false, { .kind = OUTCOME_FAILED }, 1, 0,
	    "state = 'failed' AND message = 'why'" },
	{ "a native failure for good is, even with retries", "h", true,
	    { .kind = OUTCOME_FAILED }, 1, 0, "state = 'failed'" },
	{ "a PHP failure has the retries it was given", "php_h", true,
	    { .kind = OUTCOME_FAILED }, 1, 0,
	    "state = 'taken' AND claim_id = 0 AND try = 2 AND message = 'why'"
	    " AND started_at IS NULL" },
	{ "but no more", "php_h", true, { .kind = OUTCOME_FAILED }, 3, 0,
	    "state = 'failed' AND try = 1" },
	{ "an attempt that may have arrived is not repeated", "h", false,
	    { .kind = OUTCOME_RETRY }, 1, 0, "state = 'failed'" },
	{ "unless that is harmless", "h", true, { .kind = OUTCOME_RETRY }, 1, 0,
	    "state = 'taken' AND try = 2 AND not_before BETWEEN UTC_TIMESTAMP()"
	    " + INTERVAL 14 SECOND AND UTC_TIMESTAMP() + INTERVAL 40 SECOND" },
	{ "the other side may say when", "h", true,
	    { .kind = OUTCOME_RETRY, .retry_after_ms = 600000 }, 1, 0,
	    "state = 'taken' AND not_before >"
	    " UTC_TIMESTAMP() + INTERVAL 590 SECOND" },
	{ "until tries are used up", "h", true, { .kind = OUTCOME_RETRY }, 3, 0,
	    "state = 'failed'" },
	{ "what was never sent is tried again", "h", false,
	    { .kind = OUTCOME_RETRY, .unsent = true }, 1, 0,
	    "state = 'taken' AND try = 2" },
	{ "a death is a failure", "php_h", false,
	    { .kind = OUTCOME_DIED, .strike = true }, 1, 0,
	    "state = 'failed' AND strikes = 1 AND message = 'why'" },
	{ "an idempotent one is tried once more", "php_h", true,
	    { .kind = OUTCOME_DIED, .strike = true }, 1, 0,
	    "state = 'taken' AND try = 2 AND strikes = 1" },
	{ "and then parked", "php_h", true,
	    { .kind = OUTCOME_DIED, .strike = true }, 2, 1,
	    "state = 'failed' AND strikes = 2 AND message LIKE '%(parked%'" },
	{ "what was lost is left alone", "h", false, { .kind = OUTCOME_LOST },
	    1, 0, "state = 'running'" },
};

START_TEST(each_outcome_has_its_row)
{
	struct outcome o = outcomes[_i].outcome;
	struct job *j;

	cx_open();
	if (outcomes[_i].patient)
		cx.policy = &cx_patient;
	j = claimed(outcomes[_i].hook, true);
	j->try = outcomes[_i].try;
	j->strikes = outcomes[_i].strikes;
	(void)snprintf(o.message, sizeof o.message, "why");
	CK_RC(RC_OK, cx_settle_outcome(j, &o));
	ck_assert(o.settled);
	ck_assert_msg(is_row(outcomes[_i].row) == 1, "%s", outcomes[_i].what);
	ck_assert_uint_eq(is_row("(ended_at IS NULL) ="
				 " (state IN ('taken', 'running'))"),
	    1);
	/* Of those that fail here, whose tries are used up. */
	ck_assert_uint_eq(
	    db_test_u64("SELECT COUNT(*) FROM wp_wpcron_dead_letters WHERE"
			" kind = 'event' AND reason = 'why'"),
	    is_row("state = 'failed'") && outcomes[_i].try > 1);
	cx_claims_free(&res);
}
END_TEST

START_TEST(a_retry_is_the_same_row_and_keeps_its_event)
{
	struct job *j;
	uint64_t id;

	cx_open();
	cx.policy = &cx_patient;
	j = claimed("one", true);
	id = j->id;
	CK_RC(RC_OK, cx_settle(j, OUTCOME_RETRY, "why"));
	cx_claims_free(&res);
	db_test_sql("UPDATE " E " SET not_before = UTC_TIMESTAMP(6)");
	j = cx_claim_one(&res);
	ck_assert_uint_eq(j->id, id);
	ck_assert_uint_eq(j->try, 2);
	ck_assert(slice_eq_str(j->event_args, NO_ARGS));
	cx_claims_free(&res);
}
END_TEST

START_TEST(what_was_never_begun_waits_again)
{
	struct job *j;

	cx_open();
	j = claimed("one", false);
	CK_RC(RC_OK, cx_settle(j, OUTCOME_RELEASED, ""));
	ck_assert_uint_eq(
	    is_row("state = 'taken' AND claim_id = 0 AND node_id = 0"
		   " AND try = 1"),
	    1);
	cx_claims_free(&res);
	/* It is due at once. */
	ck_assert_int_le(cx_next_due(), CX_NOW);
}
END_TEST

START_TEST(a_start_that_may_have_been_written_is_undone)
{
	struct job *j;

	cx_open();
	j = claimed("one", true);
	j->started = false;
	j->start_unknown = CX_NOW;
	CK_RC(RC_OK, cx_settle(j, OUTCOME_RELEASED, ""));
	ck_assert_uint_eq(is_row("state = 'taken' AND claim_id = 0"), 1);
	cx_claims_free(&res);
}
END_TEST

START_TEST(what_php_marked_running_is_not_released)
{
	struct job *j;

	cx_open();
	j = claimed("php_a", false);
	db_test_sql("%.*s", SLICE_FMT(j->sql_start));
	CK_RC(RC_OK, cx_settle(j, OUTCOME_RELEASED, ""));
	ck_assert_uint_eq(cx_rows("running", NULL), 1);
	cx_claims_free(&res);
}
END_TEST

START_TEST(php_that_died_before_it_began_a_job_costs_it_nothing)
{
	struct job *j;

	cx_open();
	j = claimed("php_a", false);
	CK_RC(RC_OK, cx_settle(j, OUTCOME_DIED, "died"));
	ck_assert_uint_eq(
	    is_row("state = 'taken' AND claim_id = 0 AND try = 1"), 1);
	cx_claims_free(&res);
}
END_TEST

/* What PHP runs when we are gone, with its words in the placeholder. */
static void
php_ends(const struct job *j, bool done, const char *message)
{
	const struct slice mark = slice_str(PHP_MESSAGE_LITERAL);
	struct slice sql = done ? j->sql_done : j->sql_failed;
	size_t at = 0;

	while (at < sql.n && !slice_starts(slice_from(sql, at), mark))
		at++;
	ck_assert_int_eq(at == sql.n, done);
	if (done)
		db_test_sql("%.*s", SLICE_FMT(sql));
	else
		db_test_sql("%.*s'%s'%.*s", (int)at, sql.p, message,
		    SLICE_FMT(slice_from(sql, at + mark.n)));
}

START_TEST(php_ends_a_row_that_nobody_else_did)
{
	struct job *j;

	cx_open();
	j = claimed("php_a", true);
	php_ends(j, _i == 0, "its words");
	ck_assert_uint_eq(
	    is_row(_i == 0 ? "state = 'done' AND message = ''"
			   : "state = 'failed' AND message = 'its words'"),
	    1);
	ck_assert_uint_eq(
	    is_row("claim_id > 0 AND ended_at IS NOT NULL"
		   " AND duration_ms IS NOT NULL AND strikes = 0"),
	    1);
	/* Once. */
	php_ends(j, _i != 0, "again");
	ck_assert_uint_eq(is_row("message = 'again'"), 0);
	ck_assert_uint_eq(cx_rows(_i == 0 ? "done" : "failed", NULL), 1);
	cx_claims_free(&res);
}
END_TEST

START_TEST(php_gives_a_failed_row_the_retries_it_has)
{
	struct job *j;

	cx_open();
	cx.policy = &cx_patient;
	j = claimed("php_a", true);
	php_ends(j, false, "its words");
	ck_assert_uint_eq(
	    is_row("state = 'taken' AND claim_id = 0 AND node_id = 0"
		   " AND try = 2 AND message = 'its words' AND ended_at IS NULL"
		   " AND started_at IS NULL AND not_before BETWEEN"
		   " UTC_TIMESTAMP() + INTERVAL 14 SECOND AND"
		   " UTC_TIMESTAMP() + INTERVAL 40 SECOND"),
	    1);
	cx_claims_free(&res);
	/* The last one. */
	db_test_sql("UPDATE " E " SET try = 3, not_before = UTC_TIMESTAMP(6)");
	CK_RC(RC_OK, cx_claim(0, 1, &res));
	j = res.jobs[LANE_PHP];
	cx_start(&res, LANE_PHP);
	php_ends(j, false, "its words");
	ck_assert_uint_eq(is_row("state = 'failed' AND try = 3"), 1);
	cx_claims_free(&res);
}
END_TEST

START_TEST(php_leaves_a_row_that_it_lost)
{
	static const char *const changes[] = { "claim_id = 77",
		"state = 'failed'", "state = 'taken'" };
	struct job *j;
	uint64_t before;

	cx_open();
	if (_i >= (int)NELEMS(changes))
		cx.policy = &cx_patient;
	j = claimed("php_a", true);
	db_test_sql("UPDATE " E " SET %s", changes[_i % (int)NELEMS(changes)]);
	before = db_test_u64("SELECT CRC32(CONCAT_WS('/', state, claim_id, try,"
			     " ended_at, message)) FROM " E);
	php_ends(j, true, "");
	php_ends(j, false, "its words");
	ck_assert_uint_eq(db_test_u64("SELECT CRC32(CONCAT_WS('/', state,"
				      " claim_id, try, ended_at, message))"
				      " FROM " E),
	    before);
	cx_claims_free(&res);
}
END_TEST

/* The connection was lost and the program was not. */
START_TEST(a_row_that_php_has_ended_is_settled)
{
	static const struct {
		bool done; /* says PHP */
		enum outcome_kind kind;
		bool agreed;
	} ends[] = {
		{ true, OUTCOME_DONE, true },
		{ true, OUTCOME_DIED, true },
		{ true, OUTCOME_RELEASED, true },
		{ true, OUTCOME_FAILED, false },
		{ false, OUTCOME_FAILED, true },
		{ false, OUTCOME_DIED, true },
		{ false, OUTCOME_DONE, false },
	};
	struct outcome o = { .kind = ends[_i].kind, .strike = true };
	struct job *j;

	cx_open();
	j = claimed("php_a", true);
	php_ends(j, ends[_i].done, "its words");
	cx_log_begin();
	CK_RC(RC_OK, cx_settle_outcome(j, &o));
	ck_assert_uint_eq(cx_logged("job.lost"), !ends[_i].agreed);
	ck_assert(o.settled);
	ck_assert_uint_eq(res.claims[LANE_PHP]->left, 0);
	ck_assert_uint_eq(
	    is_row(ends[_i].done
		       ? "state = 'done' AND message = ''"
		       : "state = 'failed' AND message = 'its words'"),
	    1);
	cx_claims_free(&res);
}
END_TEST

static const enum outcome_kind kinds[] = { OUTCOME_DONE, OUTCOME_FAILED,
	OUTCOME_RETRY, OUTCOME_RELEASED, OUTCOME_DIED };

START_TEST(a_row_that_another_node_has_is_left_alone)
{
	struct job *j;

	cx_open();
	cx.policy = &cx_patient;
	j = claimed("one", true);
	db_test_sql("UPDATE " E " SET claim_id = 77, node_id = 99");
	CK_RC(RC_OK, cx_settle(j, kinds[_i], "why"));
	ck_assert_uint_eq(
	    is_row("state = 'running' AND claim_id = 77 AND try = 1"), 1);
	cx_claims_free(&res);
}
END_TEST

/* The commit was written, its answer got lost: settled once more. */
START_TEST(settling_twice_is_harmless)
{
	struct outcome o = { .kind = kinds[_i] };
	struct job *j;
	char *before, *after;

	cx_open();
	cx.policy = &cx_patient;
	j = claimed("one", true);
	CK_RC(RC_OK, cx_settle_outcome(j, &o));
	before = malloc(64);
	after = malloc(64);
	(void)snprintf(before, 64, "%llu",
	    (unsigned long long)db_test_u64(
		"SELECT CRC32(CONCAT_WS('/', state, try, claim_id, not_before,"
		" ended_at, message)) FROM " E));
	o.settled = false;
	o.uncertain = true;
	res.claims[0]->left++;
	CK_RC(RC_OK, cx_settle_outcome(j, &o));
	(void)snprintf(after, 64, "%llu",
	    (unsigned long long)db_test_u64(
		"SELECT CRC32(CONCAT_WS('/', state, try, claim_id, not_before,"
		" ended_at, message)) FROM " E));
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
	cx_claims_free(&res);
}
END_TEST

START_TEST(one_row_that_cannot_be_written_does_not_keep_the_others)
{
	struct outcome o[3];
	struct job *j;
	size_t n = 0;

	cx_open();
	cx_add(CX_NOW - 10, "a", NO_ARGS, "", 0);
	cx_add(CX_NOW - 10, "bad", NO_ARGS, "", 0);
	cx_add(CX_NOW - 10, "c", NO_ARGS, "", 0);
	CK_RC(RC_OK, cx_claim(10, 0, &res));
	cx_start(&res, LANE_NATIVE);
	memset(o, 0, sizeof o);
	for (j = res.jobs[0]; j; j = j->next)
		o[n++] = (struct outcome){ .job = j,
			.kind = OUTCOME_DONE,
			.ended_at = clock_wall(&cx.clock) };
	db_test_sql("CREATE TRIGGER no_bad BEFORE UPDATE ON " E
		    " FOR EACH ROW IF NEW.hook = 'bad' THEN SIGNAL SQLSTATE"
		    " '45000' SET MESSAGE_TEXT = 'no'; END IF");
	cx_log_begin();
	CK_RC(RC_OK, cron_events_ops.settle(
			 cron_events_queue(cx.q), t.db, o, 3, &t.err));
	ck_assert_uint_eq(cx_rows("done", NULL), 2);
	ck_assert_uint_eq(cx_logged("job.unsettled"), 1);
	ck_assert_uint_eq(res.claims[0]->left, 0);
	cx_claims_free(&res);
}
END_TEST

START_TEST(long_words_are_cut)
{
	struct outcome o = { .kind = OUTCOME_FAILED };
	struct job *j;

	cx_open();
	j = claimed("one", true);
	memset(o.message, 'x', sizeof o.message - 1);
	CK_RC(RC_OK, cx_settle_outcome(j, &o));
	ck_assert_uint_eq(
	    db_test_u64("SELECT LENGTH(message) FROM " E), ERR_TEXT_MAX - 1);
	cx_claims_free(&res);
}
END_TEST

/* ---- durations ---- */

struct found {
	size_t n;
	uint32_t sum;
};

static void
found(void *arg, struct slice hook, uint32_t duration_ms)
{
	struct found *f = arg;

	ck_assert(slice_eq_str(hook, "one"));
	f->n++;
	f->sum += duration_ms;
}

START_TEST(durations_are_those_of_the_newest_rows)
{
	struct found f = { 0 };

	cx_open();
	db_test_sql("INSERT INTO " E " (blog_id, state, scheduled_at, hook,"
		    " event_key, slot, event, not_before, taken_at,"
		    " duration_ms) SELECT 1, 'done', 1, 'one', 'k', '', '',"
		    " NOW(), NOW(), IF(seq %% 2, 10, NULL)"
		    " FROM seq_1_to_3000");
	CK_RC(RC_OK, cron_events_durations(cx.q, t.db, found, &f, &t.err));
	ck_assert_uint_eq(f.n, 500);
	ck_assert_uint_eq(f.sum, 5000);
}
END_TEST

Suite *
cron_settle_suite(void)
{
	Suite *s = suite_create("cron_settle");
	TCase *tc = cx_case();

	tcase_add_test(tc, a_started_row_runs);
	tcase_add_test(tc, a_row_that_is_not_ours_any_more_is_not_started);
	tcase_add_test(tc, a_start_whose_answer_got_lost_is_known_again);
	tcase_add_test(tc, done_says_when_and_how_long);
	tcase_add_test(tc, php_rows_take_their_duration_from_the_row);
	tcase_add_loop_test(tc, each_outcome_has_its_row, 0, NELEMS(outcomes));
	tcase_add_test(tc, a_retry_is_the_same_row_and_keeps_its_event);
	tcase_add_test(tc, what_was_never_begun_waits_again);
	tcase_add_test(tc, a_start_that_may_have_been_written_is_undone);
	tcase_add_test(tc, what_php_marked_running_is_not_released);
	tcase_add_test(
	    tc, php_that_died_before_it_began_a_job_costs_it_nothing);
	tcase_add_loop_test(tc, php_ends_a_row_that_nobody_else_did, 0, 2);
	tcase_add_test(tc, php_gives_a_failed_row_the_retries_it_has);
	tcase_add_loop_test(tc, php_leaves_a_row_that_it_lost, 0, 6);
	tcase_add_loop_test(tc, a_row_that_php_has_ended_is_settled, 0, 7);
	tcase_add_loop_test(
	    tc, a_row_that_another_node_has_is_left_alone, 0, NELEMS(kinds));
	tcase_add_loop_test(tc, settling_twice_is_harmless, 0, NELEMS(kinds));
	tcase_add_test(
	    tc, one_row_that_cannot_be_written_does_not_keep_the_others);
	tcase_add_test(tc, long_words_are_cut);
	tcase_add_test(tc, durations_are_those_of_the_newest_rows);
	suite_add_tcase(s, tc);
	return s;
}
