/*
 * What dead owners left behind: rows of our own nodes, taken back by their
 * claim's record, and rows of other runners, by PHP's own time-outs. And the
 * retention of finished rows.
 */
#include <string.h>

#include "base/log.h"
#include "queues/actions_internal.h"

#define RESCUE_ARENA_MAX (32u << 20)
#define CLAIMS_MAX 100
#define CLEAN_EVERY_S 60
#define CLEAN_ROWS 500
/* PHP's periods, doubled: a live runner is never disturbed. */
#define FOREIGN_MARGIN 2

struct orphan_claim {
	uint64_t id, node;
	bool php, overdue;
};

struct rescuing {
	struct actions *q;
	const struct actions_settings *s;
	const struct rescue_request *req;
	struct orphan_claim claim;
	struct arena *arena;
	struct action_logs logs;
	int64_t now;
	size_t changed;
	size_t left; /* rows that must wait for their deadline */
};

/* The job a row of a dead owner's claim was. */
static void
job_of_orphan(const struct rescuing *r, const struct db_rows *row,
    struct claim *claim, struct job *j)
{
	*j = (struct job){
		.claim = claim,
		.blog_id = r->q->blog_id,
		.id = db_u64(row, 0),
		.hook = db_text(row, 3),
		.group_id = db_u64(row, 4),
		.priority = (unsigned)db_u64(row, 5),
		.stored_args = db_text(row, 6),
		.extended_args = db_text(row, 7),
		.schedule = db_text(row, 8),
		.origin_id =
		    db_is_null(row, 9) ? db_u64(row, 0) : db_u64(row, 9),
		.try = db_is_null(row, 10) ? 1 : (uint32_t)db_u64(row, 10),
		.strikes = (uint32_t)db_u64(row, 11),
	};
	j->policy = r->req->policy(r->req->arg, j->hook);
}

static enum rc
reset_orphan(struct rescuing *r, struct db *db, const struct job *j,
    int64_t seen, struct err *err)
{
	uint64_t changed = 0;
	enum rc rc;

	if (r->claim.php && r->now - seen < ACTIONS_PHP_HANDOVER_S) {
		r->left++;
		return RC_OK;
	}
	rc = db_exec(db, &r->s->scope, SQL_ACTIONS_RESET_ORPHAN,
	    SQL_ARGS(V_U64(j->id), V_U64(r->claim.id), V_TIME(seen)), &changed,
	    err);
	if (rc != RC_OK)
		return rc;
	if (changed == 0) {
		r->left++;
		return RC_OK;
	}
	action_logs_add(&r->logs, r->s, j->id, r->now, "action reset");
	r->changed++;
	return RC_OK;
}

static enum rc
fail_orphan(struct rescuing *r, struct db *db, const struct job *j,
    int64_t seen, struct err *err)
{
	bool retry = j->policy->idempotent;
	uint64_t changed = 0;
	enum rc rc;

	if (r->claim.php && !r->claim.overdue) {
		r->left++;
		return RC_OK;
	}
	rc = db_exec(db, &r->s->scope, SQL_ACTIONS_FAIL_ORPHAN,
	    SQL_ARGS(V_U64(j->id), V_U64(r->claim.id), V_TIME(seen)), &changed,
	    err);
	if (rc != RC_OK)
		return rc;
	if (changed == 0) {
		r->left++;
		return RC_OK;
	}
	r->changed++;
	action_logs_add(&r->logs, r->s, j->id, r->now,
	    "action failed via " ACTIONS_CONTEXT ": its owner died while it "
	    "ran, so it may have run or not%s",
	    retry ? "; it is idempotent and is tried again" : "");
	if (retry) {
		rc = action_retry(
		    r->q, r->s, db, j, 0, j->strikes, r->now, &r->logs, err);
		if (rc != RC_OK && rc != RC_NONE)
			return rc;
	}
	if (!r->s->series_after_crash || !j->policy->series_after_crash)
		return RC_OK;
	rc = action_repeat(r->s, db, j, true, r->now * 1000000, &r->logs, err);
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc
drop_claim(const struct rescuing *r, struct db *db, struct err *err)
{
	struct sql_args args = *SQL_ARGS(V_U64(r->q->blog_id));
	enum rc rc;

	args.ids = &r->claim.id;
	args.nids = 1;
	rc = db_exec(
	    db, &r->s->scope, SQL_ACTIONS_CLAIM_DISOWN, &args, NULL, err);
	args.nvalues = 0;
	if (rc == RC_OK)
		rc = db_exec(
		    db, &r->s->scope, SQL_ACTIONS_CLAIM_DROP, &args, NULL, err);
	return rc;
}

static enum rc
rescue_body(struct db *db, void *arg, struct err *err)
{
	struct rescuing *r = arg;
	struct claim claim = { .id = r->claim.id };
	struct db_rows *rows = NULL;
	size_t all;
	enum rc rc;

	arena_clear(r->arena);
	r->logs = (struct action_logs){ .arena = r->arena };
	r->changed = r->left = 0;
	rc = db_select(db, &r->s->scope, SQL_ACTIONS_CLAIM_LOCK,
	    SQL_ARGS(
		V_U64(r->q->blog_id), V_U64(claim.id), V_U64(r->claim.node)),
	    &rows, err);
	if (rc != RC_OK)
		return rc;
	all = db_rows_count(rows);
	db_rows_free(rows);
	if (all == 0)
		return RC_NONE; /* another rescuer was here */
	rc = db_select(db, &r->s->scope, SQL_ACTIONS_OF_CLAIM,
	    SQL_ARGS(V_U64(r->q->blog_id), V_U64(claim.id)), &rows, err);
	if (rc != RC_OK)
		return rc;
	while (rc == RC_OK && db_rows_next(rows)) {
		int64_t seen = db_time(rows, 2);
		struct job j;

		job_of_orphan(r, rows, &claim, &j);
		if (slice_eq_str(db_text(rows, 1), "pending"))
			rc = reset_orphan(r, db, &j, seen, err);
		else
			rc = fail_orphan(r, db, &j, seen, err);
	}
	db_rows_free(rows);
	if (rc == RC_OK)
		rc = action_logs_write(&r->logs, db, r->s, err);
	if (rc == RC_OK && r->left == 0)
		rc = drop_claim(r, db, err);
	return rc;
}

static bool
is_live(const struct rescue_request *req, uint64_t claim)
{
	for (size_t i = 0; i < req->nlive; i++)
		if (req->live[i] == claim)
			return true;
	return false;
}

static enum rc
orphan_claims(const struct rescuing *r, struct db *db, struct orphan_claim *out,
    size_t *n, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, &r->s->scope, SQL_ACTIONS_ORPHAN_CLAIMS,
	    SQL_ARGS(V_U64(r->q->blog_id), V_U64(r->s->node_id),
		V_U64(CLAIMS_MAX + r->req->nlive)),
	    &rows, err);

	if (rc != RC_OK)
		return rc;
	for (*n = 0; *n < CLAIMS_MAX && db_rows_next(rows);) {
		struct orphan_claim c = {
			.id = db_u64(rows, 0),
			.node = db_u64(rows, 1),
			.php = slice_eq_str(db_text(rows, 2), "php"),
			.overdue = db_u64(rows, 3) != 0,
		};

		if (!is_live(r->req, c.id))
			out[(*n)++] = c;
	}
	db_rows_free(rows);
	return RC_OK;
}

enum rc
actions_rescue(struct queue *queue, struct db *db,
    const struct rescue_request *req, size_t *rescued, struct err *err)
{
	struct actions *q = actions_of(queue);
	struct arena arena = ARENA_INIT(RESCUE_ARENA_MAX);
	struct orphan_claim claims[CLAIMS_MAX];
	struct actions_settings s;
	struct rescuing r = { .q = q, .s = &s, .req = req, .arena = &arena };
	size_t n = 0;
	enum rc rc;

	*rescued = 0;
	actions_settings_get(q, &s);
	r.now = clock_unix(q->clock);
	rc = orphan_claims(&r, db, claims, &n, err);
	for (size_t i = 0; i < n && (rc == RC_OK || rc == RC_REJECT); i++) {
		enum rc one;

		r.claim = claims[i];
		one = db_transact(db, rescue_body, &r, err);
		if (one == RC_OK && r.changed > 0)
			log_event(LOG_WARN, "claim.rescued",
			    LOG_U("claim", r.claim.id),
			    LOG_S("executor", r.claim.php ? "php" : "native"),
			    LOG_U("rows", r.changed), LOG_U("waiting", r.left));
		*rescued += one == RC_OK ? r.changed : 0;
		/* One that cannot be written does not keep the others. */
		if (one != RC_OK && one != RC_NONE)
			rc = one;
	}
	arena_clear(&arena);
	return rc;
}

enum rc
actions_adopt(struct actions *q, struct db *db, const uint64_t *claims,
    size_t n, struct err *err)
{
	struct actions_settings s;
	struct sql_args args;

	if (n == 0)
		return RC_OK;
	actions_settings_get(q, &s);
	args = *SQL_ARGS(V_U64(s.node_id), V_U64(q->blog_id));
	args.ids = claims;
	args.nids = n;
	return db_exec(db, &s.scope, SQL_ACTIONS_CLAIM_ADOPT, &args, NULL, err);
}

/* One row another runner left behind, if nobody touched it since. */
static enum rc
time_out_row(struct rescuing *r, struct db *db, uint64_t id, bool pending,
    int64_t seen, struct err *err)
{
	uint64_t changed = 0;
	enum rc rc = db_exec(db, &r->s->scope,
	    pending ? SQL_ACTIONS_RESET_ORPHAN : SQL_ACTIONS_FAIL_FOREIGN,
	    SQL_ARGS(V_U64(id), V_U64(r->claim.id), V_TIME(seen)), &changed,
	    err);

	if (rc != RC_OK || changed == 0)
		return rc;
	r->changed++;
	if (pending)
		action_logs_add(&r->logs, r->s, id, r->now, "action reset");
	else if (r->s->export.words_of_4)
		action_logs_add(&r->logs, r->s, id, r->now,
		    "action was in-progress for at least %lld seconds without "
		    "completing and has been marked as failed. Check server, "
		    "PHP and database error logs to diagnose cause.",
		    (long long)r->s->export.failure_s);
	else
		action_logs_add(&r->logs, r->s, id, r->now,
		    "action marked as failed after %lld seconds. Unknown error "
		    "occurred. Check server, PHP and database error logs to "
		    "diagnose cause.",
		    (long long)r->s->export.failure_s);
	return RC_OK;
}

/* A filter may say "for ever" by any number. */
static int64_t
cutoff(int64_t now, int64_t period_s)
{
	if (period_s <= 0 || period_s >= now / FOREIGN_MARGIN)
		return INT64_MIN;
	return now - FOREIGN_MARGIN * period_s;
}

static enum rc
time_out_body(struct db *db, void *arg, struct err *err)
{
	struct rescuing *r = arg;
	struct db_rows *rows = NULL;
	enum rc rc;

	arena_clear(r->arena);
	r->logs = (struct action_logs){ .arena = r->arena };
	r->changed = 0;
	rc = db_select(db, &r->s->scope, SQL_ACTIONS_STALE_OF_CLAIM,
	    SQL_ARGS(V_U64(r->claim.id),
		V_TIME(cutoff(r->now, r->s->export.timeout_s)),
		V_TIME(cutoff(r->now, r->s->export.failure_s))),
	    &rows, err);
	while (rc == RC_OK && db_rows_next(rows)) {
		bool pending = slice_eq_str(db_text(rows, 1), "pending");

		rc = time_out_row(
		    r, db, db_u64(rows, 0), pending, db_time(rows, 2), err);
	}
	db_rows_free(rows);
	return rc == RC_OK ? action_logs_write(&r->logs, db, r->s, err) : rc;
}

static enum rc
time_out_running(struct db *db, void *arg, struct err *err)
{
	struct rescuing *r = arg;
	struct db_rows *rows = NULL;
	enum rc rc;

	arena_clear(r->arena);
	r->logs = (struct action_logs){ .arena = r->arena };
	r->changed = 0;
	rc = db_select(db, &r->s->scope, SQL_ACTIONS_STALE_RUNNING,
	    SQL_ARGS(V_U64(r->q->blog_id),
		V_TIME(cutoff(r->now, r->s->export.failure_s))),
	    &rows, err);
	while (rc == RC_OK && db_rows_next(rows)) {
		r->claim = (struct orphan_claim){ .id = db_u64(rows, 1) };
		rc = time_out_row(
		    r, db, db_u64(rows, 0), false, db_time(rows, 2), err);
	}
	db_rows_free(rows);
	return rc == RC_OK ? action_logs_write(&r->logs, db, r->s, err) : rc;
}

/* Claims of other runners, oldest first, a bounded number a call; then what
 * runs under a claim that is gone, or under none. */
static enum rc
time_out_foreign(
    struct rescuing *r, struct db *db, size_t *changed, struct err *err)
{
	int64_t period = r->s->export.timeout_s > 0 ? r->s->export.timeout_s
						    : r->s->export.failure_s;
	uint64_t ids[CLAIMS_MAX];
	struct db_rows *rows = NULL;
	size_t n = 0;
	enum rc rc;

	if (period <= 0)
		return RC_OK;
	rc = db_select(db, &r->s->scope, SQL_ACTIONS_FOREIGN_CLAIMS,
	    SQL_ARGS(V_U64(r->q->blog_id), V_U64(r->q->foreign_after),
		V_TIME(cutoff(r->now, period))),
	    &rows, err);
	if (rc != RC_OK)
		return rc;
	while (n < CLAIMS_MAX && db_rows_next(rows))
		ids[n++] = db_u64(rows, 0);
	db_rows_free(rows);
	r->q->foreign_after = n == CLAIMS_MAX ? ids[n - 1] : 0;
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		r->claim = (struct orphan_claim){ .id = ids[i] };
		rc = db_transact(db, time_out_body, r, err);
		*changed += rc == RC_OK ? r->changed : 0;
	}
	if (rc == RC_OK && r->s->export.failure_s > 0) {
		rc = db_transact(db, time_out_running, r, err);
		*changed += rc == RC_OK ? r->changed : 0;
	}
	return rc;
}

struct purging {
	const struct actions_settings *s;
	const char *status;
	uint64_t ids[CLEAN_ROWS];
	size_t n;
};

static enum rc
purge_body(struct db *db, void *arg, struct err *err)
{
	struct purging *p = arg;
	struct sql_args args = *SQL_ARGS(V_STR(p->status));
	uint64_t deleted = 0;
	enum rc rc;

	args.ids = p->ids;
	args.nids = p->n;
	rc = db_exec(db, &p->s->scope, SQL_ACTIONS_DELETE_FINISHED, &args,
	    &deleted, err);
	/* Somebody revived or deleted one: its log is not ours to delete. */
	if (rc == RC_OK && deleted != p->n)
		return err_set(err, RC_NONE, "rows changed while purged");
	args.nvalues = 0;
	if (rc == RC_OK)
		rc = db_exec(db, &p->s->scope, SQL_ACTIONS_DELETE_LOGS, &args,
		    NULL, err);
	return rc;
}

static enum rc
find_expired(struct purging *p, struct db *db, enum sql_id id,
    const struct sql_args *args, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, &p->s->scope, id, args, &rows, err);

	if (rc != RC_OK)
		return rc;
	while (p->n < CLEAN_ROWS && db_rows_next(rows))
		p->ids[p->n++] = db_u64(rows, 0);
	db_rows_free(rows);
	return RC_OK;
}

static enum rc
purge(const struct rescuing *r, struct db *db, const char *status,
    bool often_untried, size_t *changed, struct err *err)
{
	struct purging p = { .s = r->s, .status = status };
	enum rc rc;

	if (r->s->export.retention_s < 0)
		return RC_OK;
	rc = find_expired(&p, db, SQL_ACTIONS_EXPIRED,
	    SQL_ARGS(V_STR(status), V_TIME(r->now - r->s->export.retention_s),
		V_U64(CLEAN_ROWS)),
	    err);
	if (rc == RC_OK && p.n < CLEAN_ROWS && often_untried &&
	    !(r->s->scope.columns & DB_INDEX_ATTEMPT))
		rc = find_expired(&p, db, SQL_ACTIONS_EXPIRED_UNTRIED,
		    SQL_ARGS(V_STR(status), V_U64(CLEAN_ROWS)), err);
	if (rc != RC_OK || p.n == 0)
		return rc;
	rc = db_transact(db, purge_body, &p, err);
	*changed += rc == RC_OK ? p.n : 0;
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc
actions_clean(
    struct actions *q, struct db *db, size_t *changed, struct err *err)
{
	struct arena arena = ARENA_INIT(RESCUE_ARENA_MAX);
	struct actions_settings s;
	struct rescuing r = { .q = q, .s = &s, .arena = &arena };
	enum rc rc;

	*changed = 0;
	actions_settings_get(q, &s);
	r.now = clock_unix(q->clock);
	if (!s.export.known || s.export.foreign_store || r.now < q->clean_at)
		return RC_NONE;
	rc = time_out_foreign(&r, db, changed, err);
	if (rc == RC_OK && s.export.purge_complete)
		rc = purge(&r, db, "complete", false, changed, err);
	if (rc == RC_OK && s.export.purge_canceled)
		rc = purge(&r, db, "canceled", true, changed, err);
	/* A full batch means that more waits: soon again, but not at once. */
	q->clean_at = r.now + (*changed >= CLEAN_ROWS ? 1 : CLEAN_EVERY_S);
	arena_clear(&arena);
	return rc;
}
