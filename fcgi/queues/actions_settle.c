/*
 * Settling: one short transaction that writes only rows found in the state we
 * left them in; a row somebody else took or ended is an answer, not an error.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "queues/actions_internal.h"
#include "queues/dead_jobs.h"
#include "queues/retry.h"

#define SETTLE_ARENA_MAX (16u << 20)

static int
by_id(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* A row as it stands when it is about to be settled. */
struct row_state {
	uint64_t id, claim;
	int64_t attempt; /* last_attempt_gmt */
	enum {
		ROW_GONE,
		ROW_PENDING,
		ROW_RUNNING,
		ROW_COMPLETE,
		ROW_FAILED,
		ROW_OTHER
	} status;
};

struct settling {
	struct actions *q;
	const struct actions_settings *s;
	struct outcome *outcomes;
	size_t n;
	struct arena *arena;
	struct action_logs logs;
	struct row_state *rows; /* by id */
	size_t nrows;
	uint64_t *complete;
	size_t ncomplete;
};

static int
row_by_id(const void *a, const void *b)
{
	const struct row_state *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static enum rc
settle_lock(struct settling *st, struct db *db, struct err *err)
{
	struct sql_args args = { .nids = st->n };
	uint64_t *ids = arena_array(st->arena, st->n, sizeof *ids);
	struct db_rows *rows = NULL;
	enum rc rc;

	st->rows = arena_array(st->arena, st->n, sizeof *st->rows);
	st->complete = arena_array(st->arena, st->n, sizeof *st->complete);
	if (!ids || !st->rows || !st->complete)
		return err_set(err, RC_REJECT, "too many outcomes at once");
	for (size_t i = 0; i < st->n; i++)
		ids[i] = st->outcomes[i].job->id;
	qsort(ids, st->n, sizeof *ids, by_id);
	args.ids = ids;
	rc = db_select(db, &st->s->scope, SQL_ACTIONS_LOCK, &args, &rows, err);
	if (rc != RC_OK)
		return rc;
	st->nrows = 0;
	while (st->nrows < st->n && db_rows_next(rows)) {
		struct slice status = db_text(rows, 1);

		st->rows[st->nrows++] = (struct row_state){
			.id = db_u64(rows, 0),
			.claim = db_u64(rows, 2),
			.attempt = db_time(rows, 3),
			.status =
			    slice_eq_str(status, "pending")       ? ROW_PENDING
			    : slice_eq_str(status, "in-progress") ? ROW_RUNNING
			    : slice_eq_str(status, "complete")    ? ROW_COMPLETE
			    : slice_eq_str(status, "failed")      ? ROW_FAILED
								  : ROW_OTHER,
		};
	}
	db_rows_free(rows);
	return RC_OK;
}

static struct row_state
row_of(const struct settling *st, const struct job *j)
{
	const struct row_state key = { .id = j->id };
	const struct row_state *r =
	    st->nrows == 0
		? NULL
		: bsearch(&key, st->rows, st->nrows, sizeof key, row_by_id);

	return r ? *r : key;
}

static void
settle_lost(const struct outcome *o, const char *why)
{
	log_event(LOG_WARN, "job.lost", LOG_S("queue", "actions"),
	    LOG_U("job", o->job->id), LOG_SLICE("hook", o->job->hook),
	    LOG_S("why", why));
}

/*
 * A row that is not settled here, but still bears our claim: its claim stays on
 * record, so that rescue sees to it. What runs natively without our having
 * begun it is an administrator's, and nobody's to rescue.
 */
static void
leave_behind(const struct settling *st, const struct job *j)
{
	struct row_state r = row_of(st, j);

	if (r.claim == j->claim->id &&
	    (r.status == ROW_PENDING ||
		(r.status == ROW_RUNNING && j->claim->lane == LANE_PHP)))
		j->claim->behind = true;
}

static enum rc
settle_done(struct settling *st, struct db *db, const struct outcome *o,
    struct err *err)
{
	const struct job *j = o->job;
	struct row_state r = row_of(st, j);
	int64_t ended = o->ended_at / 1000000;
	enum rc rc;

	if (r.status == ROW_COMPLETE && o->uncertain)
		return RC_OK;
	/* PHP overwrites what its cleaner or an admin wrote meanwhile, too. A
	 * failover may have lost the start: it ran all the same. */
	if (r.status == ROW_GONE || r.status == ROW_COMPLETE ||
	    r.claim != j->claim->id) {
		settle_lost(o, "done, but the row is not ours any more");
		return RC_OK;
	}
	st->complete[st->ncomplete++] = j->id;
	action_logs_add(&st->logs, st->s, j->id, ended,
	    "action complete via " ACTIONS_CONTEXT);
	rc = action_repeat(st->s, db, j, false, o->ended_at, &st->logs, err);
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc
release_row(const struct settling *st, struct db *db, const struct job *j,
    enum sql_id how, struct err *err)
{
	struct sql_args args = *SQL_ARGS(V_U64(j->claim->id));

	args.ids = &j->id;
	args.nids = 1;
	return db_exec(db, &st->s->scope, how, &args, NULL, err);
}

static enum rc
settle_retry(struct settling *st, struct db *db, const struct outcome *o,
    uint32_t strikes, struct err *err)
{
	const struct job *j = o->job;
	int64_t wait = retry_backoff_ms(
	    j->policy, j->try, (uint64_t)o->ended_at ^ j->id * 2654435761u);
	enum rc rc;

	if (o->retry_after_ms > wait)
		wait = o->retry_after_ms;
	rc = action_retry(st->q, st->s, db, j, wait, strikes,
	    o->ended_at / 1000000, &st->logs, err);
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc
settle_failed(struct settling *st, struct db *db, const struct outcome *o,
    struct err *err)
{
	const struct job *j = o->job;
	struct row_state r = row_of(st, j);
	int64_t ended = o->ended_at / 1000000;
	uint32_t strikes;
	bool retry = retry_allowed(o, &strikes);
	bool parked = retry_is_parked(o);
	const struct sql_args row = { .ids = &j->id, .nids = 1 };
	enum rc rc = RC_OK;

	if (r.status == ROW_FAILED && o->uncertain && !o->told)
		return RC_OK;
	/* PHP died under it before it was begun. */
	if (r.status == ROW_PENDING && !j->started)
		return release_row(st, db, j, SQL_ACTIONS_RELEASE, err);
	/* PHP says that it starts a job just before it writes so. */
	if (r.claim != j->claim->id ||
	    (r.status != ROW_RUNNING && r.status != ROW_FAILED &&
		r.status != ROW_PENDING)) {
		settle_lost(o, "failed, but the row is not ours any more");
		return RC_OK;
	}
	/* At once: action_repeat() counts it among the hook's failed rows. */
	if (r.status != ROW_FAILED)
		rc = db_exec(
		    db, &st->s->scope, SQL_ACTIONS_FAIL, &row, NULL, err);
	if (rc != RC_OK)
		return rc;
	if (!o->told)
		action_logs_add(&st->logs, st->s, j->id, ended, "%s%s%s",
		    o->verbatim ? ""
				: "action failed via " ACTIONS_CONTEXT ": ",
		    o->message, parked ? " (parked: it did so twice)" : "");
	if (retry)
		rc = settle_retry(st, db, o, strikes, err);
	else if (retry_is_exhausted(o))
		rc = dead_letter_of_job(
		    db, &st->s->scope, DEAD_ACTION, st->q->blog_id, o, err);
	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	/* The plugin has seen to the next instance too. */
	if (!o->told)
		rc = action_repeat(
		    st->s, db, j, true, o->ended_at, &st->logs, err);
	return rc == RC_NONE ? RC_OK : rc;
}

/*
 * Never begun: free again. One that runs all the same was marked by a start
 * whose answer got lost, or PHP took it and fell silent, or an administrator
 * runs it.
 */
static enum rc
settle_released(struct settling *st, struct db *db, const struct outcome *o,
    struct err *err)
{
	const struct job *j = o->job;
	struct row_state r = row_of(st, j);

	if (r.status != ROW_RUNNING)
		return release_row(st, db, j, SQL_ACTIONS_RELEASE, err);
	if (j->start_unknown == 0 || j->start_unknown != r.attempt) {
		leave_behind(st, j);
		return RC_OK;
	}
	action_logs_add(
	    &st->logs, st->s, j->id, o->ended_at / 1000000, "action reset");
	return release_row(st, db, j, SQL_ACTIONS_UNSTART, err);
}

static void
say_if_silent(struct outcome *o, const char *why)
{
	if (!o->message[0])
		(void)snprintf(o->message, sizeof o->message, "%s", why);
}

/* PHP wrote the row: learn what it wrote. A failure is tried again by policy,
 * as one that is written here. */
static enum rc
settle_read_back(
    struct settling *st, struct db *db, struct outcome *o, struct err *err)
{
	struct row_state r = row_of(st, o->job);

	if (r.claim != o->job->claim->id)
		return RC_OK;
	/* With words: something threw before the plugin began it. It would
	 * throw again, at once and for ever. */
	if (r.status == ROW_PENDING && !o->message[0])
		return release_row(st, db, o->job, SQL_ACTIONS_RELEASE, err);
	if (r.status == ROW_RUNNING || r.status == ROW_PENDING) {
		o->kind = OUTCOME_DIED;
		say_if_silent(o, "Action Scheduler left it unfinished");
		return settle_failed(st, db, o, err);
	}
	if (r.status == ROW_FAILED) {
		o->kind = OUTCOME_FAILED;
		o->told = true;
		return settle_failed(st, db, o, err);
	}
	return RC_OK;
}

static enum rc
settle_one(
    struct settling *st, struct db *db, struct outcome *o, struct err *err)
{
	switch (o->kind) {
	case OUTCOME_DONE:
		return settle_done(st, db, o, err);
	case OUTCOME_RETRY:
	case OUTCOME_FAILED:
	case OUTCOME_DIED:
		return settle_failed(st, db, o, err);
	case OUTCOME_RELEASED:
		return settle_released(st, db, o, err);
	case OUTCOME_SETTLED:
		return settle_read_back(st, db, o, err);
	case OUTCOME_LOST:
		leave_behind(st, o->job);
		break;
	}
	return RC_OK;
}

static enum rc
write_complete(struct settling *st, struct db *db, struct err *err)
{
	int64_t now = clock_unix(st->q->clock);
	struct sql_args args =
	    *SQL_ARGS(V_TIME(now), V_TIME(actions_local_attempt(st->s, now)));

	if (st->ncomplete == 0)
		return RC_OK;
	args.ids = st->complete;
	args.nids = st->ncomplete;
	return db_exec(
	    db, &st->s->scope, SQL_ACTIONS_COMPLETE, &args, NULL, err);
}

static size_t
settled_of(const struct settling *st, const struct claim *claim)
{
	size_t n = 0;

	for (size_t i = 0; i < st->n; i++)
		n += st->outcomes[i].job->claim == claim;
	return n;
}

/* Drop the rows of claims whose last job is settled here, and none left. */
static enum rc
drop_claims(struct settling *st, struct db *db, struct err *err)
{
	struct sql_args args = *SQL_ARGS(V_U64(st->q->blog_id));
	uint64_t *ids = arena_array(st->arena, st->n, sizeof *ids);
	size_t n = 0;
	enum rc rc;

	if (!ids)
		return err_set(err, RC_REJECT, "too many claims at once");
	for (size_t i = 0; i < st->n; i++) {
		const struct claim *c = st->outcomes[i].job->claim;
		bool seen = n > 0 && ids[n - 1] == c->id;

		for (size_t k = 0; k < n && !seen; k++)
			seen = ids[k] == c->id;
		if (!seen && !c->behind && settled_of(st, c) == c->left)
			ids[n++] = c->id;
	}
	if (n == 0)
		return RC_OK;
	args.ids = ids;
	args.nids = n;
	rc = db_exec(
	    db, &st->s->scope, SQL_ACTIONS_CLAIM_DISOWN, &args, NULL, err);
	args.nvalues = 0;
	if (rc == RC_OK)
		rc = db_exec(db, &st->s->scope, SQL_ACTIONS_CLAIM_DROP, &args,
		    NULL, err);
	return rc;
}

static enum rc
settle_body(struct db *db, void *arg, struct err *err)
{
	struct settling *st = arg;
	enum rc rc;

	arena_clear(st->arena);
	st->logs = (struct action_logs){ .arena = st->arena };
	st->ncomplete = 0;
	rc = settle_lock(st, db, err);
	for (size_t i = 0; i < st->n && rc == RC_OK; i++)
		rc = settle_one(st, db, &st->outcomes[i], err);
	if (rc == RC_OK)
		rc = write_complete(st, db, err);
	if (rc == RC_OK)
		rc = action_logs_write(&st->logs, db, st->s, err);
	if (rc == RC_OK)
		rc = drop_claims(st, db, err);
	return rc;
}

static void
outcome_settled(struct outcome *o)
{
	o->settled = true;
	o->job->claim->left--;
}

static enum rc
settle_all(struct actions *q, struct db *db, struct outcome *o, size_t n,
    struct err *err)
{
	struct arena arena = ARENA_INIT(SETTLE_ARENA_MAX);
	struct actions_settings s;
	struct settling st = {
		.q = q, .s = &s, .outcomes = o, .n = n, .arena = &arena
	};
	enum rc rc;

	actions_settings_get(q, &s);
	rc = db_transact(db, settle_body, &st, err);
	for (size_t i = 0; i < n; i++) {
		if (rc == RC_OK)
			outcome_settled(&o[i]);
		else if (db_is_lost(db))
			o[i].uncertain = true;
	}
	arena_clear(&arena);
	return rc;
}

/*
 * A permanent error in a batch is one row's: settle one by one, and give up on
 * the row that has it (its claim is taken back by rescue).
 */
enum rc
actions_settle(struct queue *queue, struct db *db, struct outcome *o, size_t n,
    struct err *err)
{
	struct actions *q = actions_of(queue);
	enum rc rc = RC_REJECT;
	bool whole = true;

	for (size_t i = 0; i < n && whole; i++)
		whole = !o[i].settled;
	if (whole)
		rc = settle_all(q, db, o, n, err);
	if (rc != RC_REJECT)
		return rc;
	for (size_t i = 0; i < n; i++) {
		if (o[i].settled)
			continue;
		rc = settle_all(q, db, &o[i], 1, err);
		if (rc == RC_RETRY)
			return rc;
		if (rc != RC_OK) {
			log_event(LOG_ERR, "job.unsettled",
			    LOG_S("queue", "actions"),
			    LOG_U("job", o[i].job->id),
			    LOG_S("why", err ? err->text : ""));
			o[i].job->claim->behind = true;
			outcome_settled(&o[i]);
		}
	}
	return RC_OK;
}
