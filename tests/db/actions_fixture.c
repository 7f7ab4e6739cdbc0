#include "actions_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sql/nodes.h"
#include "sql/schema.h"

struct fx fx;

static const struct route native_route = {
	.pattern = "*", .kind = EXECUTOR_WEBHOOK, .target = "http://127.0.0.1/"
};
static const struct route php_route = { .pattern = "*", .kind = EXECUTOR_PHP };
static const struct policy plain = { .timeout_ms = 1000,
	.series_after_crash = true };
const struct policy fx_patient = { .timeout_ms = 1000,
	.retries = 2,
	.backoff_min_ms = 30000,
	.backoff_max_ms = 7200000,
	.idempotent = true,
	.series_after_crash = true };

const struct policy *
fx_policy_of(void *arg, struct slice hook)
{
	(void)arg;
	(void)hook;
	return fx.policy;
}

enum admit
fx_admit(void *arg, enum lane lane, const struct candidate *c,
    const struct route **route, const struct policy **policy)
{
	bool php = slice_starts(c->hook, SLICE_LIT("php_"));

	(void)arg;
	if (slice_starts(c->hook, SLICE_LIT("paused_")) ||
	    (lane == LANE_PHP) != php)
		return ADMIT_BAR;
	*route = php ? &php_route : &native_route;
	*policy = fx.policy;
	return ADMIT_TAKE;
}

struct actions *
fx_queue(struct db *db, uint64_t *id)
{
	struct actions *fresh = actions_new(&(const struct actions_opts){
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

void
fx_open(int schema)
{
	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	db_test_actions(schema);
	fx.policy = &plain;
	fx.q = fx_queue(t.db, &fx.node);
}

uint64_t
fx_row(const char *hook, int ago, const char *args, const char *schedule)
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

void
fx_rows(int n, const char *hook, int ago)
{
	db_test_sql("INSERT INTO " A " (hook, status, scheduled_date_gmt,"
		    " scheduled_date_local, args, schedule, last_attempt_gmt,"
		    " last_attempt_local) SELECT '%s', 'pending',"
		    " UTC_TIMESTAMP() - INTERVAL %d SECOND, UTC_TIMESTAMP(),"
		    " CONCAT('[', seq, ']'), '" SIMPLE "', UTC_TIMESTAMP(),"
		    " UTC_TIMESTAMP() FROM seq_1_to_%d",
	    hook, ago, n);
}

enum rc
fx_claim(struct actions *from, struct db *db, size_t native, size_t php,
    struct claim_result *res)
{
	const struct claim_request req = { .room = { native, php },
		.admit = fx_admit };

	return actions_ops.claim(actions_queue(from), db, &req, res, &t.err);
}

enum rc
fx_claim_on(size_t native, size_t php, struct claim_result *res)
{
	enum rc rc;

	for (int i = 0; i < 10; i++) {
		rc = fx_claim(fx.q, t.db, native, php, res);
		if (rc != RC_NONE || !res->unfinished)
			break;
	}
	return rc;
}

struct job *
fx_claim_native(size_t n, struct claim_result *res)
{
	CK_RC(RC_OK, fx_claim(fx.q, t.db, n, 0, res));
	return res->jobs[LANE_NATIVE];
}

void
fx_claims_free(struct claim_result *res)
{
	for (size_t l = 0; l < LANE_COUNT; l++) {
		if (!res->claims[l])
			continue;
		arena_clear(&res->claims[l]->arena);
		free(res->claims[l]);
	}
}

void
fx_start(struct job *j)
{
	CK_RC(
	    RC_OK, actions_ops.start(actions_queue(fx.q), t.db, &j, 1, &t.err));
}

enum rc
fx_settle(struct job *j, enum outcome_kind kind, const char *message)
{
	struct outcome o = {
		.job = j, .kind = kind, .ended_at = clock_wall(&clock_system)
	};

	snprintf(o.message, sizeof o.message, "%s", message);
	return actions_ops.settle(actions_queue(fx.q), t.db, &o, 1, &t.err);
}

void
fx_is_status(uint64_t id, const char *status)
{
	ck_assert_uint_eq(
	    1, db_test_u64("SELECT COUNT(*) FROM " A
			   " WHERE action_id = %llu AND status = '%s'",
		   (unsigned long long)id, status));
}

uint64_t
fx_logged(uint64_t id, const char *like)
{
	return db_test_u64("SELECT COUNT(*) FROM " LOGS " WHERE action_id ="
			   " %llu AND message LIKE '%s'",
	    (unsigned long long)id, like);
}

size_t
fx_rescue(struct actions *by)
{
	const struct rescue_request req = { .policy = fx_policy_of };
	size_t n;

	CK_RC(RC_OK,
	    actions_ops.rescue(actions_queue(by), t.db, &req, &n, &t.err));
	return n;
}

static void
close_queue(void)
{
	actions_free(fx.q);
	fx.q = NULL;
	db_test_close();
}

TCase *
fx_case(void)
{
	TCase *tc = tcase_create("schemas");

	tcase_add_checked_fixture(tc, db_test_open, close_queue);
	tcase_set_timeout(tc, 60);
	return tc;
}
