/* The actions queue on real tables of every schema version. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "base/xalloc.h"
#include "db_test.h"
#include "queues/actions.h"
#include "sql/nodes.h"
#include "sql/schema.h"

Suite *actions_suite(void);

#define A "wp_actionscheduler_actions"
#define LOGS "wp_actionscheduler_logs"
#define FIRST_SCHEMA 6
#define LAST_SCHEMA 9
#define SIMPLE                                                                 \
	"O:30:\"ActionScheduler_SimpleSchedule\":1:{s:22:\"\\0*\\0scheduled_"  \
	"timestamp\";i:1800000000;}"
#define INTERVAL                                                               \
	"O:32:\"ActionScheduler_IntervalSchedule\":3:{s:22:\"\\0*\\0"          \
	"scheduled_timestamp\";i:1700000000;s:18:\"\\0*\\0first_timestamp\";"  \
	"i:1600000000;s:13:\"\\0*\\0recurrence\";i:900;}"

static struct queue *q;
static uint64_t node;

static const struct route native_route = {
	.pattern = "*", .kind = EXECUTOR_WEBHOOK, .target = "http://127.0.0.1/"
};
static const struct route php_route = { .pattern = "*", .kind = EXECUTOR_PHP };
static const struct policy plain = { .timeout_ms = 1000,
	.series_after_crash = true };
static const struct policy patient = { .timeout_ms = 1000,
	.retries = 2,
	.backoff_min_ms = 30000,
	.backoff_max_ms = 7200000,
	.idempotent = true,
	.series_after_crash = true };
static const struct policy *policy_now = &plain;

static const struct policy *
any_policy(void *arg, struct slice hook)
{
	(void)arg;
	(void)hook;
	return policy_now;
}

/* paused_*: nobody; php_*: the PHP lane; the rest: native. */
static enum admit
admit(void *arg, enum lane lane, const struct candidate *c,
    const struct route **route, const struct policy **policy)
{
	bool php = slice_starts(c->hook, SLICE_LIT("php_"));

	(void)arg;
	if (slice_starts(c->hook, SLICE_LIT("paused_")) ||
	    (lane == LANE_PHP) != php)
		return ADMIT_BAR;
	*route = php ? &php_route : &native_route;
	*policy = policy_now;
	return ADMIT_TAKE;
}

static struct queue *
queue_new(struct db *db, uint64_t *id)
{
	struct queue *fresh = actions_new(&(const struct actions_opts){
	    .prefix = "wp_", .base = "wp_", .blog_id = 1 });
	struct site_facts facts;
	struct db_schema schema;

	memset(&facts, 0, sizeof facts);
	CK_RC(RC_OK, db_probe(db, &t.scope, &schema, &t.err));
	actions_set_schema(fresh, &schema);
	actions_set_facts(fresh, &facts);
	CK_RC(RC_OK, node_register(db, &t.scope, "h", 1, "t", id, &t.err));
	actions_set_node(fresh, *id);
	return fresh;
}

static void
with_schema(int schema)
{
	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	db_test_actions(schema);
	policy_now = &plain;
	q = queue_new(t.db, &node);
}

/* A pending row, `ago` seconds overdue; its id. */
static uint64_t
row(const char *hook, int ago, const char *args, const char *schedule)
{
	db_test_sql("INSERT INTO " A " (hook, status, scheduled_date_gmt,"
		    " scheduled_date_local, args, schedule, last_attempt_gmt,"
		    " last_attempt_local) VALUES ('%s', 'pending',"
		    " UTC_TIMESTAMP() - INTERVAL %d SECOND, UTC_TIMESTAMP(),"
		    " '%s', '%s', UTC_TIMESTAMP() - INTERVAL 100 SECOND,"
		    " UTC_TIMESTAMP())",
	    hook, ago, args, schedule);
	return db_test_u64("SELECT MAX(action_id) FROM " A);
}

static void
rows(int n, const char *hook, int ago)
{
	db_test_sql("INSERT INTO " A " (hook, status, scheduled_date_gmt,"
		    " scheduled_date_local, args, schedule, last_attempt_gmt,"
		    " last_attempt_local) SELECT '%s', 'pending',"
		    " UTC_TIMESTAMP() - INTERVAL %d SECOND, UTC_TIMESTAMP(),"
		    " CONCAT('[', seq, ']'), '" SIMPLE "', UTC_TIMESTAMP(),"
		    " UTC_TIMESTAMP() FROM seq_1_to_%d",
	    hook, ago, n);
}

static enum rc
claim(struct queue *from, struct db *db, size_t native, size_t php,
    struct claim_result *res)
{
	const struct claim_request req = { .room = { native, php },
		.admit = admit };

	return actions_ops.claim(from, db, &req, res, &t.err);
}

/* As the engine does: again while the walk stopped early. */
static enum rc
claim_on(size_t native, size_t php, struct claim_result *res)
{
	enum rc rc;

	for (int i = 0; i < 10; i++) {
		rc = claim(q, t.db, native, php, res);
		if (rc != RC_NONE || !res->unfinished)
			break;
	}
	return rc;
}

static struct job *
claim_native(size_t n, struct claim_result *res)
{
	CK_RC(RC_OK, claim(q, t.db, n, 0, res));
	return res->jobs[LANE_NATIVE];
}

static void
claims_free(struct claim_result *res)
{
	for (size_t l = 0; l < LANE_COUNT; l++) {
		if (!res->claims[l])
			continue;
		arena_clear(&res->claims[l]->arena);
		free(res->claims[l]);
	}
}

static void
start(struct job *j)
{
	CK_RC(RC_OK, actions_ops.start(q, t.db, &j, 1, &t.err));
}

static enum rc
settle(struct job *j, enum outcome_kind kind, const char *message)
{
	struct outcome o = {
		.job = j, .kind = kind, .ended_at = clock_wall(&clock_system)
	};

	snprintf(o.message, sizeof o.message, "%s", message);
	return actions_ops.settle(q, t.db, &o, 1, &t.err);
}

static void
is_status(uint64_t id, const char *status)
{
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM " A
			   " WHERE action_id = %llu AND status = '%s'",
		   (unsigned long long)id, status));
}

static uint64_t
logged(uint64_t id, const char *like)
{
	return db_test_u64("SELECT COUNT(*) FROM " LOGS " WHERE action_id ="
			   " %llu AND message LIKE '%s'",
	    (unsigned long long)id, like);
}

static size_t
rescue(struct queue *by)
{
	const struct rescue_request req = { .policy = any_policy };
	size_t n;

	CK_RC(RC_OK, actions_ops.rescue(by, t.db, &req, &n, &t.err));
	return n;
}

static void
close_queue(void)
{
	actions_free(q);
	q = NULL;
	db_test_close();
}

/* ---- claiming ---- */

START_TEST(claim_goes_by_priority_then_date_then_id)
{
	uint64_t late, soon, urgent;
	struct claim_result res;
	struct job *j;

	with_schema(_i);
	late = row("a", 10, "[]", SIMPLE);
	soon = row("a", 20, "[]", SIMPLE);
	urgent = row("a", 5, "[]", SIMPLE);
	if (_i >= 7)
		db_test_sql("UPDATE " A " SET priority = 3 WHERE action_id ="
			    " %llu",
		    (unsigned long long)urgent);
	j = claim_native(10, &res);
	ck_assert_uint_eq(res.njobs[LANE_NATIVE], 3);
	ck_assert_uint_eq(j->id, _i >= 7 ? urgent : soon);
	ck_assert_uint_eq(j->next->id, _i >= 7 ? soon : late);
	ck_assert(!res.more);
	ck_assert_uint_eq(
	    3, db_test_u64("SELECT COUNT(*) FROM " A " WHERE claim_id = %llu",
		   (unsigned long long)j->claim->id));
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM wp_wpcron_claims WHERE "
			   "claim_id = %llu AND"
			   " node_id = %llu",
		   (unsigned long long)j->claim->id, (unsigned long long)node));
	claims_free(&res);
}
END_TEST

START_TEST(claim_leaves_what_is_not_due_or_not_free)
{
	struct claim_result res;
	uint64_t id;

	with_schema(_i);
	row("a", -100, "[]", SIMPLE);
	id = row("a", 5, "[]", SIMPLE);
	db_test_sql("UPDATE " A " SET claim_id = 99 WHERE action_id = %llu",
	    (unsigned long long)id);
	id = row("a", 5, "[]", SIMPLE);
	db_test_sql("UPDATE " A " SET status = 'canceled' WHERE action_id ="
		    " %llu",
	    (unsigned long long)id);
	id = row("a", 5, "[]", SIMPLE);
	db_test_sql("UPDATE " A " SET scheduled_date_gmt = NULL WHERE"
		    " action_id = %llu",
	    (unsigned long long)id);
	CK_RC(RC_NONE, claim(q, t.db, 10, 10, &res));
	ck_assert_uint_eq(
	    0, db_test_u64("SELECT COUNT(*) FROM wp_actionscheduler_claims"));
}
END_TEST

START_TEST(claim_reaches_what_stands_behind_rows_nobody_may_run)
{
	struct claim_result res;
	uint64_t id;
	int64_t due;

	with_schema(_i);
	rows(12000, "paused_x", 100);
	rows(700, "php_x", 50);
	id = row("a", 5, "[]", SIMPLE);
	CK_RC(RC_OK, claim_on(10, 0, &res));
	ck_assert_uint_eq(res.jobs[LANE_NATIVE]->id, id);
	claims_free(&res);
	/* Nothing is left for the native lane, and its cursor knows. */
	CK_RC(RC_NONE, claim(q, t.db, 10, 0, &res));
	CK_RC(RC_OK, claim_on(0, 10, &res));
	ck_assert_uint_eq(res.njobs[LANE_PHP], 10);
	ck_assert(res.more);
	CK_RC(RC_OK, actions_ops.next_due(q, t.db, &due, &t.err));
	claims_free(&res);
}
END_TEST

START_TEST(a_lane_without_room_is_asked_whether_work_waits)
{
	struct claim_request req = {
		.room = { 5, 0 }, .ask = { false, true }, .admit = admit
	};
	struct claim_result res;

	with_schema(_i);
	row("a", 10, "[]", SIMPLE);
	CK_RC(RC_OK, actions_ops.claim(q, t.db, &req, &res, &t.err));
	ck_assert(!res.more);
	claims_free(&res);
	row("php_a", 10, "[]", SIMPLE);
	CK_RC(RC_NONE, actions_ops.claim(q, t.db, &req, &res, &t.err));
	ck_assert(res.more);
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM " A
			   " WHERE hook = 'php_a' AND claim_id = 0"));
}
END_TEST

START_TEST(free_workers_share_what_is_due)
{
	struct claim_request req = {
		.room = { 0, 100 }, .share = { 1, 2 }, .admit = admit
	};
	struct claim_result res;

	with_schema(_i);
	rows(31, "php_a", 10);
	CK_RC(RC_OK, actions_ops.claim(q, t.db, &req, &res, &t.err));
	ck_assert_uint_eq(res.njobs[LANE_PHP], 16);
	ck_assert(res.more);
	claims_free(&res);
	/* More is due than two can hold: each takes all it can. */
	rows(300, "php_a", 10);
	CK_RC(RC_OK, actions_ops.claim(q, t.db, &req, &res, &t.err));
	ck_assert_uint_eq(res.njobs[LANE_PHP], 100);
	claims_free(&res);
}
END_TEST

START_TEST(unreadable_rows_are_passed_and_left_alone)
{
	uint64_t bad_args, bad_schedule, foreign, good;
	struct claim_result res;

	with_schema(_i);
	bad_args = row("a", 50, "{nonsense", SIMPLE);
	bad_schedule = row("a", 40, "[]", "O:3:\"x");
	foreign = row("a", 30, "[]", "O:11:\"My_Schedule\":0:{}");
	good = row("a", 20, "[1]", SIMPLE);
	CK_RC(RC_OK, claim_on(3, 0, &res));
	ck_assert_uint_eq(res.njobs[LANE_NATIVE], 1);
	ck_assert_uint_eq(res.jobs[LANE_NATIVE]->id, good);
	is_status(bad_args, "pending");
	is_status(bad_schedule, "pending");
	is_status(foreign, "pending");
	ck_assert_uint_eq(
	    3, db_test_u64("SELECT COUNT(*) FROM " A
			   " WHERE claim_id = 0 AND attempts = 0"));
	claims_free(&res);
}
END_TEST

struct contender {
	pthread_t thread;
	uint64_t ids[400];
	size_t n;
};

static void *
contend(void *arg)
{
	struct contender *c = arg;
	struct claim_result res;
	struct queue *mine;
	struct db *db;
	uint64_t id;

	db_thread_begin();
	db = db_test_connect();
	mine = queue_new(db, &id);
	for (int empty = 0; empty < 20;) {
		if (claim(mine, db, 10, 0, &res) != RC_OK) {
			empty++;
			continue;
		}
		for (struct job *j = res.jobs[LANE_NATIVE]; j; j = j->next)
			c->ids[c->n++] = j->id;
		claims_free(&res);
	}
	actions_free(mine);
	db_close(db);
	db_thread_end();
	return NULL;
}

START_TEST(no_row_is_claimed_twice_by_four_nodes)
{
	struct contender c[4] = { 0 };
	bool seen[1000] = { false };
	size_t all = 0;

	with_schema(7);
	rows(400, "a", 10);
	for (size_t i = 0; i < NELEMS(c); i++)
		pthread_create(&c[i].thread, NULL, contend, &c[i]);
	for (size_t i = 0; i < NELEMS(c); i++)
		pthread_join(c[i].thread, NULL);
	for (size_t i = 0; i < NELEMS(c); i++) {
		for (size_t k = 0; k < c[i].n; k++) {
			ck_assert(!seen[c[i].ids[k]]);
			seen[c[i].ids[k]] = true;
			all++;
		}
	}
	ck_assert_uint_eq(all, 400);
}
END_TEST

/* ---- starting and settling ---- */

START_TEST(start_skips_what_was_canceled_meanwhile)
{
	struct claim_result res;
	struct job *jobs[2];

	with_schema(_i);
	row("a", 20, "[]", SIMPLE);
	row("a", 10, "[]", SIMPLE);
	jobs[0] = claim_native(2, &res);
	jobs[1] = jobs[0]->next;
	db_test_sql("UPDATE " A " SET status = 'canceled' WHERE action_id ="
		    " %llu",
	    (unsigned long long)jobs[1]->id);
	CK_RC(RC_OK, actions_ops.start(q, t.db, jobs, 2, &t.err));
	ck_assert(jobs[0]->started);
	ck_assert(!jobs[1]->started);
	is_status(jobs[0]->id, "in-progress");
	is_status(jobs[1]->id, "canceled");
	ck_assert_uint_eq(
	    1, logged(jobs[0]->id, "action started via WP Cron FCGI"));
	ck_assert_uint_eq(0, logged(jobs[1]->id, "%%started%%"));
	claims_free(&res);
}
END_TEST

START_TEST(start_leaves_a_row_that_an_administrator_runs)
{
	struct claim_result res;
	struct job *jobs[2];

	with_schema(_i);
	row("a", 20, "[]", SIMPLE);
	row("a", 10, "[]", SIMPLE);
	jobs[0] = claim_native(2, &res);
	jobs[1] = jobs[0]->next;
	/* PHP's "Run" looks at the status only; the claim stays. */
	db_test_sql("UPDATE " A " SET status = 'in-progress', attempts = 1"
		    " WHERE action_id = %llu",
	    (unsigned long long)jobs[1]->id);
	CK_RC(RC_OK, actions_ops.start(q, t.db, jobs, 2, &t.err));
	ck_assert(jobs[0]->started);
	ck_assert(!jobs[1]->started);
	ck_assert_uint_eq(2, db_test_u64("SELECT SUM(attempts) FROM " A));
	ck_assert_uint_eq(0, logged(jobs[1]->id, "%%started%%"));
	claims_free(&res);
}
END_TEST

START_TEST(a_start_whose_answer_got_lost_is_recognised)
{
	struct claim_result res;
	struct job *j;

	with_schema(_i);
	row("a", 20, "[]", SIMPLE);
	j = claim_native(1, &res);
	start(j);
	j->start_unknown = j->started_at / 1000000;
	db_test_sql("UPDATE " A " SET last_attempt_gmt ="
		    " TIMESTAMP('1970-01-01') + INTERVAL %lld SECOND",
	    (long long)j->start_unknown);
	start(j);
	ck_assert(j->started);
	ck_assert_uint_eq(1, db_test_u64("SELECT SUM(attempts) FROM " A));
	claims_free(&res);
}
END_TEST

START_TEST(done_writes_the_row_its_log_and_the_end_of_the_claim)
{
	struct claim_result res;
	struct job *j;
	uint64_t id;

	with_schema(_i);
	id = row("a", 20, "[]", SIMPLE);
	if (_i >= 9)
		db_test_sql("UPDATE " A " SET unique_key = 'v1:x'");
	j = claim_native(2, &res);
	start(j);
	CK_RC(RC_OK, settle(j, OUTCOME_DONE, ""));
	is_status(id, "complete");
	ck_assert_uint_eq(1, logged(id, "action complete via WP Cron FCGI"));
	ck_assert_uint_eq(j->claim->left, 0);
	ck_assert_uint_eq(
	    0, db_test_u64("SELECT COUNT(*) FROM wp_actionscheduler_claims"));
	ck_assert_uint_eq(
	    0, db_test_u64("SELECT COUNT(*) FROM wp_wpcron_claims"));
	if (_i >= 9)
		ck_assert_uint_eq(1, db_test_u64("SELECT COUNT(*) FROM " A
						 " WHERE unique_key IS NULL"));
	claims_free(&res);
}
END_TEST

START_TEST(a_series_goes_on_after_success_and_failure)
{
	struct claim_result res;
	struct job *j;

	with_schema(_i);
	row("a", 20, "[7]", INTERVAL);
	row("b", 10, "[8]", INTERVAL);
	j = claim_native(2, &res);
	start(j);
	start(j->next);
	CK_RC(RC_OK, settle(j, OUTCOME_DONE, ""));
	CK_RC(RC_OK, settle(j->next, OUTCOME_FAILED, "no"));
	ck_assert_uint_eq(
	    2, db_test_u64(
		   "SELECT COUNT(*) FROM " A " WHERE status = 'pending' AND "
		   "attempts = 0 AND claim_id = 0 AND"
		   " scheduled_date_gmt BETWEEN UTC_TIMESTAMP() + INTERVAL 890"
		   " SECOND AND UTC_TIMESTAMP() + INTERVAL 901 SECOND"));
	ck_assert_uint_eq(1,
	    db_test_u64(
		"SELECT COUNT(*) FROM " A
		" WHERE status = 'pending' AND hook = 'a' AND args = '[7]'"));
	ck_assert_uint_eq(
	    1, logged(j->next->id, "action failed via WP Cron FCGI: no"));
	claims_free(&res);
}
END_TEST

START_TEST(five_oldest_failed_rows_end_a_series)
{
	struct claim_result res;
	struct job *j;

	with_schema(_i);
	for (int i = 0; i < 4; i++)
		row("a", 1000 + i, "[]", SIMPLE);
	db_test_sql("UPDATE " A " SET status = 'failed'");
	row("a", 20, "[]", INTERVAL);
	j = claim_native(1, &res);
	start(j);
	CK_RC(RC_OK, settle(j, OUTCOME_FAILED, "no"));
	ck_assert_uint_eq(0,
	    db_test_u64("SELECT COUNT(*) FROM " A " WHERE status = 'pending'"));
	ck_assert_uint_eq(1, logged(j->id, "%%consistently failing%%"));
	claims_free(&res);
}
END_TEST

START_TEST(a_failed_try_comes_back_as_a_fresh_row_until_tries_are_used_up)
{
	struct claim_result res;
	uint64_t origin;

	with_schema(_i);
	policy_now = &patient;
	origin = row("a", 20, "[1]", SIMPLE);
	for (unsigned try = 1; try <= 3; try++) {
		struct job *j = claim_native(1, &res);

		ck_assert_uint_eq(j->try, try);
		ck_assert_uint_eq(j->origin_id, origin);
		start(j);
		CK_RC(RC_OK, settle(j, OUTCOME_RETRY, "later"));
		is_status(j->id, "failed");
		claims_free(&res);
		if (try == 1)
			ck_assert_uint_eq(
			    1, db_test_u64(
				   "SELECT COUNT(*) FROM " A " WHERE status ="
				   " 'pending' AND scheduled_date_gmt BETWEEN"
				   " UTC_TIMESTAMP() + INTERVAL 22 SECOND AND"
				   " UTC_TIMESTAMP() + INTERVAL 38 SECOND"));
		db_test_sql("UPDATE " A " SET scheduled_date_gmt ="
			    " UTC_TIMESTAMP() WHERE status = 'pending'");
	}
	ck_assert_uint_eq(0,
	    db_test_u64("SELECT COUNT(*) FROM " A " WHERE status = 'pending'"));
	ck_assert_uint_eq(
	    2, db_test_u64("SELECT COUNT(*) FROM wp_wpcron_tries"));
}
END_TEST

START_TEST(what_may_have_run_is_not_tried_again_unless_idempotent)
{
	struct claim_result res;
	struct job *j;

	with_schema(_i);
	row("a", 20, "[]", SIMPLE);
	j = claim_native(1, &res);
	start(j);
	CK_RC(RC_OK, settle(j, OUTCOME_DIED, "gone"));
	is_status(j->id, "failed");
	ck_assert_uint_eq(0,
	    db_test_u64("SELECT COUNT(*) FROM " A " WHERE status = 'pending'"));
	claims_free(&res);
}
END_TEST

START_TEST(a_job_that_kills_its_executor_twice_is_parked)
{
	struct claim_result res;
	struct job *j;

	with_schema(_i);
	policy_now = &patient;
	row("a", 20, "[]", SIMPLE);
	for (unsigned strikes = 0; strikes < 2; strikes++) {
		struct outcome o = { .kind = OUTCOME_DIED,
			.strike = true,
			.ended_at = clock_wall(&clock_system) };

		o.job = j = claim_native(1, &res);
		ck_assert_uint_eq(j->strikes, strikes);
		start(j);
		CK_RC(RC_OK, actions_ops.settle(q, t.db, &o, 1, &t.err));
		db_test_sql("UPDATE " A " SET scheduled_date_gmt ="
			    " UTC_TIMESTAMP() WHERE status = 'pending'");
		ck_assert_uint_eq(strikes, logged(j->id, "%%parked%%"));
		claims_free(&res);
	}
	ck_assert_uint_eq(0,
	    db_test_u64("SELECT COUNT(*) FROM " A " WHERE status = 'pending'"));
}
END_TEST

START_TEST(released_rows_are_free_again)
{
	struct claim_result res;
	struct job *j;

	with_schema(_i);
	row("a", 20, "[]", SIMPLE);
	j = claim_native(1, &res);
	CK_RC(RC_OK, settle(j, OUTCOME_RELEASED, ""));
	is_status(j->id, "pending");
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM " A
			   " WHERE claim_id = 0 AND attempts = 0"));
	claims_free(&res);
}
END_TEST

START_TEST(settling_leaves_a_row_that_is_another_owners_now)
{
	struct claim_result res;
	struct job *j;

	with_schema(_i);
	row("a", 20, "[]", SIMPLE);
	j = claim_native(1, &res);
	start(j);
	db_test_sql("UPDATE " A " SET claim_id = 77");
	CK_RC(RC_OK, settle(j, OUTCOME_DONE, ""));
	is_status(j->id, "in-progress");
	ck_assert_uint_eq(0, logged(j->id, "%%complete%%"));
	claims_free(&res);
}
END_TEST

START_TEST(a_bad_row_does_not_keep_the_others_from_being_settled)
{
	struct outcome o[2] = { 0 };
	struct claim_result res;
	struct job *j;

	with_schema(_i);
	row("a", 20, "[]", SIMPLE);
	row("b", 10, "[]", SIMPLE);
	j = claim_native(2, &res);
	start(j);
	start(j->next);
	db_test_sql("CREATE TRIGGER no_b BEFORE UPDATE ON " A " FOR EACH ROW"
		    " BEGIN IF NEW.hook = 'a' AND NEW.status = 'complete' THEN"
		    " SIGNAL SQLSTATE '45000'; END IF; END");
	for (size_t i = 0; i < 2; i++)
		o[i] = (struct outcome){ .job = i ? j->next : j,
			.kind = OUTCOME_DONE,
			.ended_at = clock_wall(&clock_system) };
	CK_RC(RC_OK, actions_ops.settle(q, t.db, o, 2, &t.err));
	is_status(j->id, "in-progress");
	is_status(j->next->id, "complete");
	ck_assert(o[0].settled && o[1].settled);
	/* The claim stays on record, and rescue sees to the bad row. */
	db_test_sql("UPDATE wp_wpcron_claims SET claimed_at = claimed_at -"
		    " INTERVAL 1 MINUTE");
	ck_assert_uint_eq(rescue(q), 1);
	is_status(j->id, "failed");
	ck_assert_uint_eq(
	    0, db_test_u64("SELECT COUNT(*) FROM wp_wpcron_claims"));
	claims_free(&res);
}
END_TEST

START_TEST(a_release_undoes_a_start_whose_answer_got_lost)
{
	struct claim_result res;
	struct job *j;

	with_schema(_i);
	row("a", 20, "[]", SIMPLE);
	row("b", 10, "[]", SIMPLE);
	j = claim_native(2, &res);
	start(j);
	start(j->next);
	j->start_unknown = (int64_t)db_test_u64(
	    "SELECT TIMESTAMPDIFF(SECOND, TIMESTAMP('1970-01-01'),"
	    " last_attempt_gmt) FROM " A " WHERE hook = 'a'");
	CK_RC(RC_OK, settle(j, OUTCOME_RELEASED, ""));
	CK_RC(RC_OK, settle(j->next, OUTCOME_RELEASED, ""));
	is_status(j->id, "pending");
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM " A " WHERE claim_id = 0"));
	/* Somebody else runs this one. */
	is_status(j->next->id, "in-progress");
	claims_free(&res);
}
END_TEST

START_TEST(what_php_did_not_begin_is_free_again_and_what_it_kept_on_record)
{
	struct claim_result res;
	struct job *j;

	with_schema(_i);
	row("php_a", 20, "[]", SIMPLE);
	row("php_b", 10, "[]", SIMPLE);
	CK_RC(RC_OK, claim(q, t.db, 0, 2, &res));
	j = res.jobs[LANE_PHP];
	CK_RC(RC_OK, settle(j, OUTCOME_DIED, "PHP ended"));
	is_status(j->id, "pending");
	db_test_sql("%.*s", SLICE_FMT(j->next->sql_start));
	j->next->started = true;
	CK_RC(RC_OK, settle(j->next, OUTCOME_LOST, "PHP goes on with it"));
	is_status(j->next->id, "in-progress");
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM wp_wpcron_claims"));
	claims_free(&res);
}
END_TEST

/* ---- rescue ---- */

START_TEST(rescue_resets_what_waited_and_fails_what_ran)
{
	struct claim_result res;
	struct queue *other;
	uint64_t id;
	struct job *j;

	with_schema(_i);
	row("a", 20, "[]", INTERVAL);
	row("b", 10, "[]", SIMPLE);
	j = claim_native(2, &res);
	start(j);
	other = queue_new(t.db, &id);
	ck_assert_uint_eq(rescue(other), 0);
	CK_RC(RC_OK, node_remove(t.db, &t.scope, node, &t.err));
	ck_assert_uint_eq(rescue(other), 2);
	is_status(j->id, "failed");
	ck_assert_uint_eq(1, logged(j->id, "%%owner died%%"));
	is_status(j->next->id, "pending");
	ck_assert_uint_eq(1, logged(j->next->id, "action reset"));
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM " A
			   " WHERE hook = 'a' AND status = 'pending'"));
	ck_assert_uint_eq(rescue(other), 0);
	/* The dead one wakes up: its words count for nothing. */
	CK_RC(RC_OK, settle(j, OUTCOME_DONE, ""));
	is_status(j->id, "failed");
	actions_free(other);
	claims_free(&res);
}
END_TEST

START_TEST(rescue_waits_for_php_until_its_deadline)
{
	struct claim_result res;
	struct queue *other;
	uint64_t id;
	struct job *j;

	with_schema(_i);
	row("php_a", 20, "[]", SIMPLE);
	row("php_b", 10, "[]", SIMPLE);
	CK_RC(RC_OK, claim(q, t.db, 0, 2, &res));
	j = res.jobs[LANE_PHP];
	ck_assert_uint_gt(j->sql_own.n, 0);
	db_test_sql("%.*s", SLICE_FMT(j->sql_start));
	is_status(j->id, "in-progress");
	other = queue_new(t.db, &id);
	CK_RC(RC_OK, node_remove(t.db, &t.scope, node, &t.err));
	/* Fresh rows might be about to be started by an orphan. */
	ck_assert_uint_eq(rescue(other), 0);
	db_test_sql("UPDATE " A " SET last_attempt_gmt = last_attempt_gmt -"
		    " INTERVAL 10 SECOND");
	ck_assert_uint_eq(rescue(other), 1);
	is_status(j->id, "in-progress");
	is_status(j->next->id, "pending");
	db_test_sql("UPDATE wp_wpcron_claims SET deadline = UTC_TIMESTAMP(6)");
	ck_assert_uint_eq(rescue(other), 1);
	is_status(j->id, "failed");
	actions_free(other);
	claims_free(&res);
}
END_TEST

START_TEST(an_orphan_php_worker_and_a_rescuer_never_both_have_a_row)
{
	struct claim_result res;
	struct queue *other;
	uint64_t id;
	struct job *j;

	with_schema(_i);
	row("php_a", 20, "[]", SIMPLE);
	CK_RC(RC_OK, claim(q, t.db, 0, 2, &res));
	j = res.jobs[LANE_PHP];
	db_test_sql("UPDATE " A " SET last_attempt_gmt = last_attempt_gmt -"
		    " INTERVAL 10 SECOND");
	other = queue_new(t.db, &id);
	CK_RC(RC_OK, node_remove(t.db, &t.scope, node, &t.err));
	ck_assert_uint_eq(rescue(other), 1);
	/* What worker.php runs before the job finds nothing to change. */
	db_test_sql("%.*s", SLICE_FMT(j->sql_own));
	ck_assert_uint_eq(0, db_test_u64("SELECT ROW_COUNT()"));
	actions_free(other);
	claims_free(&res);
}
END_TEST

START_TEST(a_claim_no_worker_knows_of_is_taken_back)
{
	const uint64_t *none = NULL;
	struct rescue_request req = { .policy = any_policy, .live = none };
	struct claim_result res;
	uint64_t live;
	size_t n;

	with_schema(_i);
	row("a", 20, "[]", SIMPLE);
	live = claim_native(1, &res)->claim->id;
	db_test_sql("UPDATE wp_wpcron_claims SET claimed_at = claimed_at -"
		    " INTERVAL 1 MINUTE");
	req.live = &live;
	req.nlive = 1;
	CK_RC(RC_OK, actions_ops.rescue(q, t.db, &req, &n, &t.err));
	ck_assert_uint_eq(n, 0);
	req.nlive = 0;
	CK_RC(RC_OK, actions_ops.rescue(q, t.db, &req, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM " A
			   " WHERE claim_id = 0 AND status = 'pending'"));
	claims_free(&res);
}
END_TEST

START_TEST(a_plugin_s_own_schedule_waits_until_php_says_it_is_there)
{
	const struct actions_export x = { .known = true,
		.plugin = true,
		.failure_s = INT64_MAX,
		.timeout_s = INT64_MAX,
		.retention_s = INT64_MAX,
		.purge_complete = true };
	struct claim_result res;
	size_t n;
	uint64_t id;

	with_schema(_i);
	id = row("php_a", 20, "[]", "O:11:\"My_Schedule\":0:{}");
	CK_RC(RC_NONE, claim_on(0, 1, &res));
	actions_set_export(q, &x);
	CK_RC(RC_OK, claim_on(0, 1, &res));
	ck_assert_uint_eq(res.jobs[LANE_PHP]->id, id);
	/* Periods without end are no time-outs. */
	CK_RC(RC_OK, actions_clean(q, t.db, &n, &t.err));
	ck_assert_uint_eq(n, 0);
	claims_free(&res);
}
END_TEST

START_TEST(what_runs_under_a_claim_that_is_gone_is_timed_out)
{
	const struct actions_export x = { .known = true,
		.timeout_s = 300,
		.failure_s = 300,
		.retention_s = -1 };
	uint64_t gone, none, fresh;
	size_t n;

	with_schema(_i);
	gone = row("a", 20, "[]", SIMPLE);
	none = row("a", 20, "[]", SIMPLE);
	fresh = row("a", 20, "[]", SIMPLE);
	db_test_sql("UPDATE " A " SET status = 'in-progress',"
		    " last_attempt_gmt = UTC_TIMESTAMP() - INTERVAL 601 SECOND,"
		    " claim_id = IF(action_id = %llu, 0, 4711)",
	    (unsigned long long)none);
	db_test_sql("UPDATE " A " SET last_attempt_gmt = UTC_TIMESTAMP()"
		    " WHERE action_id = %llu",
	    (unsigned long long)fresh);
	actions_set_export(q, &x);
	CK_RC(RC_OK, actions_clean(q, t.db, &n, &t.err));
	ck_assert_uint_eq(n, 2);
	is_status(gone, "failed");
	is_status(none, "failed");
	is_status(fresh, "in-progress");
	ck_assert_uint_eq(1, logged(gone, "action marked as failed after%%"));
}
END_TEST

START_TEST(a_node_taken_for_dead_keeps_what_its_workers_hold)
{
	struct rescue_request req = { .policy = any_policy };
	struct claim_result res;
	struct queue *other;
	uint64_t live, id;
	struct job *j;
	size_t n;

	with_schema(_i);
	row("a", 20, "[]", SIMPLE);
	j = claim_native(1, &res);
	live = j->claim->id;
	start(j);
	CK_RC(RC_OK, node_remove(t.db, &t.scope, node, &t.err));
	req.live = &live;
	req.nlive = 1;
	CK_RC(RC_OK, actions_ops.rescue(q, t.db, &req, &n, &t.err));
	ck_assert_uint_eq(n, 0);
	CK_RC(RC_OK, node_register(t.db, &t.scope, "h", 1, "t", &id, &t.err));
	actions_set_node(q, id);
	CK_RC(RC_OK, actions_adopt(q, t.db, &live, 1, &t.err));
	other = queue_new(t.db, &id);
	ck_assert_uint_eq(rescue(other), 0);
	CK_RC(RC_OK, settle(j, OUTCOME_DONE, ""));
	is_status(j->id, "complete");
	actions_free(other);
	claims_free(&res);
}
END_TEST

START_TEST(a_claim_that_cannot_be_taken_back_does_not_keep_the_others)
{
	struct claim_result a, b;
	const struct rescue_request req = { .policy = any_policy };
	struct queue *other;
	uint64_t id;
	size_t n;

	with_schema(_i);
	row("bad", 20, "[]", SIMPLE);
	claim_native(1, &a);
	row("good", 10, "[]", SIMPLE);
	claim_native(1, &b);
	db_test_sql("CREATE TRIGGER no_bad BEFORE UPDATE ON " A " FOR EACH ROW"
		    " BEGIN IF NEW.hook = 'bad' THEN SIGNAL SQLSTATE '45000';"
		    " END IF; END");
	other = queue_new(t.db, &id);
	CK_RC(RC_OK, node_remove(t.db, &t.scope, node, &t.err));
	CK_RC(RC_REJECT, actions_ops.rescue(other, t.db, &req, &n, &t.err));
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM " A
			   " WHERE hook = 'good' AND claim_id = 0"));
	actions_free(other);
	claims_free(&a);
	claims_free(&b);
}
END_TEST

Suite *
actions_suite(void)
{
	Suite *s = suite_create("actions");
	TCase *tc = tcase_create("schemas");
	const int from = FIRST_SCHEMA, to = LAST_SCHEMA + 1;

	tcase_add_checked_fixture(tc, db_test_open, close_queue);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(
	    tc, claim_goes_by_priority_then_date_then_id, from, to);
	tcase_add_loop_test(
	    tc, claim_leaves_what_is_not_due_or_not_free, from, to);
	tcase_add_loop_test(
	    tc, claim_reaches_what_stands_behind_rows_nobody_may_run, from, to);
	tcase_add_loop_test(
	    tc, a_lane_without_room_is_asked_whether_work_waits, from, to);
	tcase_add_loop_test(tc, free_workers_share_what_is_due, from, to);
	tcase_add_loop_test(
	    tc, unreadable_rows_are_passed_and_left_alone, from, to);
	tcase_add_test(tc, no_row_is_claimed_twice_by_four_nodes);
	tcase_add_loop_test(
	    tc, start_skips_what_was_canceled_meanwhile, from, to);
	tcase_add_loop_test(
	    tc, start_leaves_a_row_that_an_administrator_runs, 7, 8);
	tcase_add_loop_test(
	    tc, a_start_whose_answer_got_lost_is_recognised, 7, 8);
	tcase_add_loop_test(
	    tc, done_writes_the_row_its_log_and_the_end_of_the_claim, from, to);
	tcase_add_loop_test(
	    tc, a_series_goes_on_after_success_and_failure, from, to);
	tcase_add_loop_test(tc, five_oldest_failed_rows_end_a_series, from, to);
	tcase_add_loop_test(tc,
	    a_failed_try_comes_back_as_a_fresh_row_until_tries_are_used_up,
	    from, to);
	tcase_add_loop_test(
	    tc, what_may_have_run_is_not_tried_again_unless_idempotent, 7, 8);
	tcase_add_loop_test(
	    tc, a_job_that_kills_its_executor_twice_is_parked, 7, 8);
	tcase_add_loop_test(tc, released_rows_are_free_again, 7, 8);
	tcase_add_loop_test(
	    tc, settling_leaves_a_row_that_is_another_owners_now, 7, 8);
	tcase_add_loop_test(
	    tc, a_bad_row_does_not_keep_the_others_from_being_settled, 7, 8);
	tcase_add_loop_test(
	    tc, a_release_undoes_a_start_whose_answer_got_lost, 7, 8);
	tcase_add_loop_test(tc,
	    what_php_did_not_begin_is_free_again_and_what_it_kept_on_record, 7,
	    8);
	tcase_add_loop_test(
	    tc, rescue_resets_what_waited_and_fails_what_ran, from, to);
	tcase_add_loop_test(tc, rescue_waits_for_php_until_its_deadline, 7, 8);
	tcase_add_loop_test(
	    tc, an_orphan_php_worker_and_a_rescuer_never_both_have_a_row, 7, 8);
	tcase_add_loop_test(tc, a_claim_no_worker_knows_of_is_taken_back, 7, 8);
	tcase_add_loop_test(
	    tc, a_plugin_s_own_schedule_waits_until_php_says_it_is_there, 7, 8);
	tcase_add_loop_test(
	    tc, what_runs_under_a_claim_that_is_gone_is_timed_out, from, to);
	tcase_add_loop_test(
	    tc, a_node_taken_for_dead_keeps_what_its_workers_hold, 7, 8);
	tcase_add_loop_test(tc,
	    a_claim_that_cannot_be_taken_back_does_not_keep_the_others, 7, 8);
	suite_add_tcase(s, tc);
	return s;
}
