/*
 * Tasks in the table: claimed in order of arrival, begun, settled one by one,
 * and looked after.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "queues/dead_letters.h"
#include "queues/tasks_internal.h"

#define CLAIM_MAX 1000
#define LOST_MAX 100
#define ENDED_MAX 500
/* Others have their turn, too. */
#define ENDED_PORTIONS 100
/* For the counts, and so that a plugin's id is not at once used again. */
#define ENDED_S 172800

/* ---- looking ------------------------------------------------------------- */

/* An inbox that is empty in any form; the rest is for who reads it whole. */
static bool
is_empty(struct slice value)
{
	static const char *const empty[] = { "", "a:0:{}", "[]",
		"s:6:\"a:0:{}\";", "s:2:\"[]\";" };

	for (size_t i = 0; i < NELEMS(empty); i++)
		if (slice_eq_str(value, empty[i]))
			return true;
	return slice_starts(value, SLICE_LIT(TASK_LIST_PLACEHOLDER));
}

enum rc
tasks_due(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, bool *due, struct err *err)
{
	struct task_options names;
	struct task_rows r = { 0 };
	struct db_rows *rows = NULL;
	enum rc rc = task_options_of(q->name, &names, err);

	*due = false;
	if (rc == RC_OK)
		rc = task_rows_read(db, scope, &names, NULL, &r, err);
	if (rc == RC_OK && r.present && !is_empty(r.value))
		*due = true;
	if (rc == RC_OK && !*due)
		rc = db_select(db, scope, SQL_TASKS_DUE,
		    SQL_ARGS(V_U64(q->blog_id), V_BYTES(q->name),
			V_U64(q->blog_id), V_BYTES(q->name), V_U64(q->blog_id),
			V_BYTES(q->name)),
		    &rows, err);
	if (rc == RC_OK && rows && db_rows_next(rows))
		*due = db_u64(rows, 0) != 0 || db_u64(rows, 1) != 0 ||
		       db_u64(rows, 2) != 0;
	db_rows_free(rows);
	db_rows_free(r.rows);
	return rc;
}

/* ---- claiming ------------------------------------------------------------ */

struct claiming {
	const struct sql_scope *scope;
	const struct task_queue *q;
	uint64_t claim_id, term_us;
	const struct slice *types;
	size_t ntypes, max;
	struct arena *arena;
	struct task *tasks;
	size_t n;
};

static void
hash_of(const struct db_rows *rows, char hex[33])
{
	struct slice snapshot = db_text(rows, 6), element = db_text(rows, 8);
	unsigned char md[TASK_DIGEST] = { 0 }, place[4];
	uint64_t at = db_u64(rows, 7);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	for (size_t i = 0; i < sizeof place; i++)
		place[i] = (unsigned char)(at >> (24 - 8 * i));
	if (ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) &&
	    EVP_DigestUpdate(ctx, element.p, element.n) &&
	    EVP_DigestUpdate(ctx, snapshot.p, snapshot.n) &&
	    EVP_DigestUpdate(ctx, place, sizeof place))
		(void)EVP_DigestFinal_ex(ctx, md, NULL);
	EVP_MD_CTX_free(ctx);
	for (size_t i = 0; i < 16; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", (unsigned)md[i]);
}

/* What is stored was read before; should it not be readable now, its handler
 * gets nothing, and says so. */
static enum rc
read_task(struct claiming *c, const struct db_rows *rows, struct task *t,
    struct err *err)
{
	struct slice element = arena_slice(c->arena, db_text(rows, 8));
	struct task_fields f = { .payload = SLICE_LIT("N;") };
	char hex[33];
	enum rc rc = RC_OK;

	hash_of(rows, hex);
	if (element.p)
		rc = task_read(element, c->arena, &f, err);
	*t = (struct task){
		.task_id = db_u64(rows, 0),
		.type = arena_slice(c->arena, db_text(rows, 1)),
		.element = f.map.p ? f.map : element,
		.payload = f.payload,
		.attempts = (uint32_t)db_u64(rows, 2),
		.max_attempts = (uint32_t)db_u64(rows, 3),
		.backoff_ms = db_u64(rows, 4),
		.expired_inbox = db_u64(rows, 5) != 0,
		.id_hash = arena_slice(c->arena, slice_mem(hex, 32)),
	};
	if (!element.p || !t->type.p || !t->id_hash.p || rc == RC_RETRY)
		return err_set(err, RC_RETRY, "no memory for a task");
	return RC_OK;
}

static enum rc
select_ready(
    struct claiming *c, struct db *db, struct db_rows **rows, struct err *err)
{
	struct sql_args args =
	    *SQL_ARGS(V_U64(c->q->blog_id), V_BYTES(c->q->name), V_U64(c->max));
	struct sql_value *types;

	if (c->ntypes == 0)
		return db_select(
		    db, c->scope, SQL_TASKS_READY, &args, rows, err);
	types = arena_array(c->arena, c->ntypes, sizeof *types);
	if (!types)
		return err_set(err, RC_RETRY, "no memory for types");
	for (size_t i = 0; i < c->ntypes; i++)
		types[i] = V_BYTES(c->types[i]);
	args.rows = types;
	args.nrows = c->ntypes;
	return db_select(db, c->scope, SQL_TASKS_READY_OF, &args, rows, err);
}

static enum rc
claim_rows(
    struct claiming *c, struct db *db, struct db_rows *rows, struct err *err)
{
	struct sql_args args = *SQL_ARGS(
	    V_U64(c->claim_id), V_U64(c->term_us), V_U64(c->q->blog_id));
	uint64_t *ids = arena_array(c->arena, c->max, sizeof *ids);
	enum rc rc = RC_OK;

	if (!ids)
		return err_set(err, RC_RETRY, "no memory for a claim");
	while (c->n < c->max && db_rows_next(rows)) {
		rc = read_task(c, rows, &c->tasks[c->n], err);
		if (rc != RC_OK)
			break;
		ids[c->n] = c->tasks[c->n].task_id;
		c->n++;
	}
	/* What does not fit is for the next claim. */
	if (c->n == 0)
		return rc == RC_OK ? RC_NONE : rc;
	args.ids = ids;
	args.nids = c->n;
	return db_exec(db, c->scope, SQL_TASKS_CLAIM, &args, NULL, err);
}

static enum rc
claim_body(struct db *db, void *arg, struct err *err)
{
	struct claiming *c = arg;
	struct db_rows *rows = NULL;
	enum rc rc;

	c->n = 0;
	rc = select_ready(c, db, &rows, err);
	if (rc == RC_OK)
		rc = claim_rows(c, db, rows, err);
	db_rows_free(rows);
	return rc;
}

enum rc
tasks_claim(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, uint64_t claim_id, const struct slice *types,
    size_t ntypes, size_t max, uint32_t term_ms, struct arena *a,
    struct task **out, size_t *n, struct err *err)
{
	struct claiming c = {
		.scope = scope,
		.q = q,
		.claim_id = claim_id,
		.term_us = (uint64_t)term_ms * 1000,
		.types = types,
		.ntypes = ntypes,
		.max = max < CLAIM_MAX ? max : CLAIM_MAX,
		.arena = a,
	};
	enum rc rc;

	*n = 0;
	*out = NULL;
	if (max == 0)
		return RC_OK;
	c.tasks = arena_array(a, c.max, sizeof *c.tasks);
	if (!c.tasks)
		return err_set(err, RC_RETRY, "no memory for a claim");
	rc = db_exec(db, scope, SQL_TASKS_PROMOTE,
	    SQL_ARGS(V_U64(q->blog_id), V_BYTES(q->name)), NULL, err);
	if (rc == RC_OK)
		rc = db_transact(db, claim_body, &c, err);
	if (rc == RC_OK) {
		*out = c.tasks;
		*n = c.n;
	}
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc
tasks_extend(struct db *db, const struct sql_scope *scope, uint64_t claim_id,
    uint32_t term_ms, struct err *err)
{
	return db_exec(db, scope, SQL_TASKS_EXTEND,
	    SQL_ARGS(V_U64((uint64_t)term_ms * 1000), V_U64(claim_id)), NULL,
	    err);
}

enum rc
tasks_begin(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, const struct task *t, uint64_t claim_id,
    struct err *err)
{
	uint64_t begun = 0;
	enum rc rc = db_exec(db, scope, SQL_TASKS_BEGIN,
	    SQL_ARGS(V_U64(q->blog_id), V_U64(t->task_id), V_U64(claim_id)),
	    &begun, err);

	if (rc == RC_OK && begun == 0)
		rc = err_set(err, RC_NONE, "the task is not ours any more");
	return rc;
}

enum rc
tasks_release(struct db *db, const struct sql_scope *scope, uint64_t claim_id,
    struct err *err)
{
	return db_exec(
	    db, scope, SQL_TASKS_RELEASE, SQL_ARGS(V_U64(claim_id)), NULL, err);
}

/* ---- settling ------------------------------------------------------------ */

struct settling {
	const struct sql_scope *scope;
	const struct task_queue *q;
	uint64_t task_id, claim_id;
	bool ok, for_good;
	struct slice error;
};

static enum rc
end(const struct settling *s, struct db *db, const char *state,
    uint32_t attempts, struct err *err)
{
	return db_exec(db, s->scope, SQL_TASKS_END,
	    SQL_ARGS(V_STR(state), V_U64(attempts), V_BYTES(s->error),
		V_U64(s->q->blog_id), V_U64(s->task_id)),
	    NULL, err);
}

static enum rc
bury(const struct settling *s, struct db *db, const struct db_rows *held,
    uint32_t attempts, struct err *err)
{
	struct arena a = ARENA_INIT(CEILING_JSON_ARENA);
	struct task_fields f = { 0 };
	struct err ignored = ERR_INIT;
	struct dead_letter letter = {
		.blog_id = s->q->blog_id,
		.kind = DEAD_TASK,
		.queue = s->q->name,
		.source = s->task_id,
		.title = db_text(held, 0),
		.reason = s->error,
		.attempts = attempts,
		.payload = db_text(held, 4),
	};
	enum rc rc;

	if (task_read(letter.payload, &a, &f, &ignored) == RC_OK &&
	    f.created > 0)
		letter.created_at = f.created;
	rc = dead_letter_add(db, s->scope, &letter, err);
	if (rc == RC_OK)
		rc = end(s, db, "dead", attempts, err);
	arena_clear(&a);
	return rc;
}

static enum rc
fail(const struct settling *s, struct db *db, const struct db_rows *held,
    struct err *err)
{
	uint32_t attempts = (uint32_t)db_u64(held, 1) + 1;
	uint64_t wait = task_backoff(db_u64(held, 3), attempts) * 1000;

	if (s->for_good || attempts >= db_u64(held, 2))
		return bury(s, db, held, attempts, err);
	return db_exec(db, s->scope, SQL_TASKS_RETRY,
	    SQL_ARGS(V_STR(wait > 0 ? "delayed" : "ready"), V_U64(wait),
		V_U64(wait), V_U64(attempts), V_BYTES(s->error),
		V_U64(s->q->blog_id), V_U64(s->task_id)),
	    NULL, err);
}

static enum rc
settle_body(struct db *db, void *arg, struct err *err)
{
	const struct settling *s = arg;
	struct db_rows *held = NULL;
	enum rc rc = db_select(db, s->scope, SQL_TASKS_HELD,
	    SQL_ARGS(
		V_U64(s->q->blog_id), V_U64(s->task_id), V_U64(s->claim_id)),
	    &held, err);

	if (rc == RC_OK && !db_rows_next(held))
		rc = err_set(err, RC_NONE, "the task is not ours any more");
	if (rc == RC_OK && s->ok)
		rc = end(s, db, "done", (uint32_t)db_u64(held, 1), err);
	else if (rc == RC_OK)
		rc = fail(s, db, held, err);
	db_rows_free(held);
	return rc;
}

static enum rc
settle(struct settling *s, struct db *db, struct err *err)
{
	s->error.n = slice_utf8_cut(s->error, TASK_ERROR_MAX);
	return db_transact(db, settle_body, s, err);
}

enum rc
tasks_settle(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, const struct task *t, uint64_t claim_id,
    bool ok, bool for_good, struct slice error, struct err *err)
{
	struct settling s = { .scope = scope,
		.q = q,
		.task_id = t->task_id,
		.claim_id = claim_id,
		.ok = ok,
		.for_good = for_good,
		.error = ok ? SLICE_LIT("") : error };

	return settle(&s, db, err);
}

/* ---- looking after ------------------------------------------------------- */

static enum rc
rescue_one(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, const struct db_rows *rows, struct err *err)
{
	struct settling s = { .scope = scope,
		.q = q,
		.task_id = db_u64(rows, 0),
		.claim_id = db_u64(rows, 1),
		.error = SLICE_LIT("who ran it went away") };
	enum rc rc;

	if (db_u64(rows, 2) == 0)
		return tasks_release(db, scope, s.claim_id, err);
	rc = settle(&s, db, err);
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc
rescue(struct db *db, const struct sql_scope *scope, const struct task_queue *q,
    size_t *rescued, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, SQL_TASKS_LOST,
	    SQL_ARGS(V_U64(q->blog_id), V_BYTES(q->name)), &rows, err);

	while (rc == RC_OK && db_rows_next(rows)) {
		rc = rescue_one(db, scope, q, rows, err);
		*rescued += rc == RC_OK;
	}
	db_rows_free(rows);
	return rc;
}

/* All that a statement selects, which is a portion each time. */
static enum rc
forget(struct db *db, const struct sql_scope *scope, enum sql_id what,
    const struct sql_args *which, enum sql_id how, const struct sql_args *its,
    struct err *err)
{
	uint64_t ids[ENDED_MAX];
	struct sql_args args = *its;
	enum rc rc = RC_OK;

	args.ids = ids;
	args.nids = ENDED_MAX;
	for (int i = 0;
	     rc == RC_OK && i < ENDED_PORTIONS && args.nids == ENDED_MAX; i++) {
		struct db_rows *rows = NULL;

		args.nids = 0;
		rc = db_select(db, scope, what, which, &rows, err);
		while (
		    rc == RC_OK && args.nids < ENDED_MAX && db_rows_next(rows))
			ids[args.nids++] = db_u64(rows, 0);
		db_rows_free(rows);
		if (rc == RC_OK && args.nids > 0)
			rc = db_exec(db, scope, how, &args, NULL, err);
	}
	return rc;
}

enum rc
tasks_tend(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, size_t *rescued, struct err *err)
{
	uint32_t keep =
	    q->snapshot_s > TASK_SNAPSHOT_S ? q->snapshot_s : TASK_SNAPSHOT_S;
	enum rc rc;

	*rescued = 0;
	rc = rescue(db, scope, q, rescued, err);
	if (rc == RC_OK)
		rc = forget(db, scope, SQL_TASKS_ENDED,
		    SQL_ARGS(V_U64(q->blog_id), V_U64(ENDED_S)), SQL_TASKS_DROP,
		    SQL_ARGS(V_U64(q->blog_id)), err);
	if (rc == RC_OK)
		rc = forget(db, scope, SQL_TASKS_SNAPSHOTS_OLD,
		    SQL_ARGS(V_U64(keep), V_U64(q->blog_id), V_BYTES(q->name)),
		    SQL_TASKS_SNAPSHOTS_DROP,
		    SQL_ARGS(V_U64(q->blog_id), V_BYTES(q->name)), err);
	return rc;
}
