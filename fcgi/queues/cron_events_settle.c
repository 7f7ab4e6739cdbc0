/*
 * Starting and settling: short transactions that write only rows found in the
 * state we left them in. A row that somebody else took or ended is an answer,
 * not an error.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "queues/cron_events_internal.h"
#include "queues/dead_jobs.h"
#include "queues/retry.h"

#define START_ARENA_MAX (16u << 20)
#define SETTLE_ARENA_MAX (16u << 20)

static int
by_id(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* ---- starting ------------------------------------------------------------ */

struct starting {
	const struct cron_events *q;
	const struct cron_settings *s;
	struct job *const *jobs;
	size_t n;
	struct arena *arena;
};

/*
 * Which rows of a claim run, when not all were still waiting: only we start a
 * claim's rows, so one that runs was begun by a start of ours whose answer got
 * lost.
 */
static enum rc
read_started(const struct starting *st, struct db *db,
    const struct sql_args *args, uint64_t *ids, size_t *n, struct err *err)
{
	struct db_rows *rows = NULL;
	size_t max = *n;
	enum rc rc =
	    db_select(db, &st->s->scope, SQL_EVENTS_OF_CLAIM, args, &rows, err);

	*n = 0;
	while (rc == RC_OK && *n < max && db_rows_next(rows))
		if (db_u64(rows, 1) != 0)
			ids[(*n)++] = db_u64(rows, 0);
	db_rows_free(rows);
	qsort(ids, *n, sizeof *ids, by_id);
	return rc;
}

static enum rc
start_claim(const struct starting *st, struct db *db, const struct claim *claim,
    struct err *err)
{
	struct sql_args args =
	    *SQL_ARGS(V_U64(st->q->blog_id), V_U64(claim->id));
	uint64_t *ids = arena_array(st->arena, st->n, sizeof *ids), found = 0;
	size_t n = 0;
	enum rc rc;

	if (!ids)
		return err_set(
		    err, RC_REJECT, "too many jobs to start at once");
	for (size_t i = 0; i < st->n; i++)
		if (st->jobs[i]->claim == claim)
			ids[n++] = st->jobs[i]->id;
	qsort(ids, n, sizeof *ids, by_id);
	args.ids = ids;
	args.nids = n;
	rc = db_exec(db, &st->s->scope, SQL_EVENTS_START, &args, &found, err);
	if (rc == RC_OK && found < n)
		rc = read_started(st, db, &args, ids, &n, err);
	for (size_t i = 0; rc == RC_OK && i < st->n; i++)
		if (st->jobs[i]->claim == claim)
			st->jobs[i]->started =
			    n > 0 && bsearch(&st->jobs[i]->id, ids, n,
					 sizeof *ids, by_id);
	return rc;
}

static enum rc
start_body(struct db *db, void *arg, struct err *err)
{
	const struct starting *st = arg;
	enum rc rc = RC_OK;

	arena_clear(st->arena);
	for (size_t i = 0; i < st->n; i++)
		st->jobs[i]->started = false;
	for (size_t i = 0; i < st->n && rc == RC_OK; i++) {
		bool first = true;

		for (size_t k = 0; k < i && first; k++)
			first = st->jobs[k]->claim != st->jobs[i]->claim;
		if (first)
			rc = start_claim(st, db, st->jobs[i]->claim, err);
	}
	return rc;
}

enum rc
cron_events_start(struct queue *queue, struct db *db, struct job *const *jobs,
    size_t n, struct err *err)
{
	struct cron_events *q = cron_events_of(queue);
	struct arena arena = ARENA_INIT(START_ARENA_MAX);
	struct cron_settings s;
	struct starting st = {
		.q = q, .s = &s, .jobs = jobs, .n = n, .arena = &arena
	};
	enum rc rc;

	cron_settings_get(q, &s);
	rc = db_transact(db, start_body, &st, err);
	for (size_t i = 0; i < n; i++) {
		if (rc != RC_OK)
			jobs[i]->started = false;
		if (rc == RC_RETRY && db_is_lost(db))
			jobs[i]->start_unknown = clock_unix(q->clock);
		jobs[i]->started_at = clock_wall(q->clock);
	}
	arena_clear(&arena);
	cron_settings_put(q, &s);
	return rc;
}

/* ---- settling ------------------------------------------------------------ */

/* A row as it stands when it is about to be settled. */
struct row_state {
	uint64_t id, claim;
	enum {
		ROW_GONE,
		ROW_TAKEN,
		ROW_RUNNING,
		ROW_DONE,
		ROW_FAILED /* or whatever else ended it */
	} state;
};

struct settling {
	struct cron_events *q;
	const struct cron_settings *s;
	struct outcome *outcomes;
	size_t n;
	struct arena *arena;
	struct row_state *rows; /* by id */
	size_t nrows;
	uint64_t *released;
	size_t nreleased;
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
	struct sql_args args = *SQL_ARGS(V_U64(st->q->blog_id));
	uint64_t *ids = arena_array(st->arena, st->n, sizeof *ids);
	struct db_rows *rows = NULL;
	enum rc rc;

	st->rows = arena_array(st->arena, st->n, sizeof *st->rows);
	st->released = arena_array(st->arena, st->n, sizeof *st->released);
	st->nrows = st->nreleased = 0;
	if (!ids || !st->rows || !st->released)
		return err_set(err, RC_REJECT, "too many outcomes at once");
	for (size_t i = 0; i < st->n; i++)
		ids[i] = st->outcomes[i].job->id;
	qsort(ids, st->n, sizeof *ids, by_id);
	args.ids = ids;
	args.nids = st->n;
	rc = db_select(db, &st->s->scope, SQL_EVENTS_LOCK, &args, &rows, err);
	while (rc == RC_OK && st->nrows < st->n && db_rows_next(rows)) {
		struct slice state = db_text(rows, 1);

		st->rows[st->nrows++] = (struct row_state){
			.id = db_u64(rows, 0),
			.claim = db_u64(rows, 2),
			.state = slice_eq_str(state, "taken")     ? ROW_TAKEN
				 : slice_eq_str(state, "running") ? ROW_RUNNING
				 : slice_eq_str(state, "done")    ? ROW_DONE
								  : ROW_FAILED,
		};
	}
	db_rows_free(rows);
	return rc;
}

/* The row, if it bears our claim. */
static struct row_state
row_of(const struct settling *st, const struct job *j)
{
	const struct row_state key = { .id = j->id };
	const struct row_state *r =
	    st->nrows == 0
		? NULL
		: bsearch(&key, st->rows, st->nrows, sizeof key, row_by_id);

	return r && r->claim == j->claim->id ? *r : key;
}

static bool
is_over(struct row_state r)
{
	return r.state == ROW_GONE || r.state == ROW_DONE ||
	       r.state == ROW_FAILED;
}

/*
 * Is an ended row as it should be? Either a commit of ours got lost; or PHP,
 * with which we lost the connection, ended it under our claim: as we would, or
 * knowing more about it.
 */
static bool
is_settled(const struct outcome *o, struct row_state r)
{
	bool done = r.state == ROW_DONE;

	if (r.state == ROW_GONE)
		/* A retry that is written bears our claim no more. */
		return o->uncertain && o->kind != OUTCOME_DONE;
	if (o->uncertain)
		return true;
	return executor_lane(o->job->route->kind) == LANE_PHP &&
	       (o->kind == OUTCOME_DIED || done == (o->kind == OUTCOME_DONE));
}

static void
settle_lost(const struct outcome *o, const char *why)
{
	log_event(LOG_WARN, "job.lost", LOG_S("queue", "cron"),
	    LOG_U("job", o->job->id), LOG_SLICE("hook", o->job->hook),
	    LOG_S("why", why));
}

/* Ours to the microsecond, where it ran under our eyes. */
static struct sql_value
duration(const struct outcome *o)
{
	int64_t ms = (o->ended_at - o->job->started_at) / 1000;

	if (o->job->started_at <= 0 || ms < 0)
		return V_NULL; /* the statement asks the row */
	return V_I64(ms < UINT32_MAX ? ms : UINT32_MAX);
}

static enum rc
end_row(const struct settling *st, struct db *db, const struct outcome *o,
    const char *state, uint32_t strikes, struct slice message, struct err *err)
{
	message.n = slice_utf8_cut(message, CRON_MESSAGE_MAX);
	return db_exec(db, &st->s->scope, SQL_EVENTS_END,
	    SQL_ARGS(V_STR(state), duration(o), V_U64(strikes),
		V_BYTES(message), V_U64(st->q->blog_id), V_U64(o->job->id)),
	    NULL, err);
}

static enum rc
settle_done(struct settling *st, struct db *db, const struct outcome *o,
    struct err *err)
{
	struct row_state r = row_of(st, o->job);

	if (is_over(r)) {
		if (!is_settled(o, r))
			settle_lost(
			    o, "done, but the row is not ours any more");
		return RC_OK;
	}
	/* A failover may have lost the start: it ran all the same. */
	return end_row(st, db, o, "done", o->job->strikes, SLICE_LIT(""), err);
}

/* The same row, once more. */
static enum rc
try_again(struct settling *st, struct db *db, const struct outcome *o,
    uint32_t strikes, struct err *err)
{
	const struct job *j = o->job;
	int64_t wait = retry_backoff_ms(
	    j->policy, j->try, (uint64_t)o->ended_at ^ j->id * 2654435761u);
	struct slice message = slice_str(o->message);

	if (o->retry_after_ms > wait)
		wait = o->retry_after_ms;
	message.n = slice_utf8_cut(message, CRON_MESSAGE_MAX);
	return db_exec(db, &st->s->scope, SQL_EVENTS_AGAIN,
	    SQL_ARGS(V_U64(j->try + 1), V_U64(strikes), V_I64(wait * 1000),
		V_BYTES(message), V_U64(st->q->blog_id), V_U64(j->id)),
	    NULL, err);
}

static enum rc
settle_failed(struct settling *st, struct db *db, const struct outcome *o,
    struct err *err)
{
	struct row_state r = row_of(st, o->job);
	struct buf message = BUF_INIT((size_t)2 * ERR_TEXT_MAX);
	uint32_t strikes;
	bool retry = retry_allowed(o, &strikes);
	enum rc rc;

	/* PHP died under it before it was begun. */
	if (r.state == ROW_TAKEN && !o->job->started &&
	    o->kind == OUTCOME_DIED) {
		st->released[st->nreleased++] = r.id;
		return RC_OK;
	}
	if (is_over(r)) {
		if (!is_settled(o, r))
			settle_lost(
			    o, "failed, but the row is not ours any more");
		return RC_OK;
	}
	if (retry)
		return try_again(st, db, o, strikes, err);
	buf_printf(&message, "%s%s", o->message,
	    retry_is_parked(o) ? " (parked: it did so twice)" : "");
	rc = end_row(st, db, o, "failed", strikes, buf_slice(&message), err);
	if (rc == RC_OK && retry_is_exhausted(o))
		rc = dead_letter_of_job(
		    db, &st->s->scope, DEAD_EVENT, st->q->blog_id, o, err);
	buf_clear(&message);
	return rc;
}

/* Never begun: it waits again. One that runs all the same was marked by a
 * start whose answer got lost. */
static void
settle_released(struct settling *st, const struct outcome *o)
{
	struct row_state r = row_of(st, o->job);

	if (r.state == ROW_TAKEN ||
	    (r.state == ROW_RUNNING && o->job->start_unknown != 0))
		st->released[st->nreleased++] = r.id;
	else if (r.state == ROW_RUNNING)
		o->job->claim->behind = true;
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
		settle_released(st, o);
		return RC_OK;
	case OUTCOME_LOST:
	case OUTCOME_SETTLED: /* no plugin writes these rows */
		break;
	}
	return RC_OK;
}

static enum rc
settle_body(struct db *db, void *arg, struct err *err)
{
	struct settling *st = arg;
	struct sql_args args = *SQL_ARGS(V_U64(st->q->blog_id));
	enum rc rc;

	arena_clear(st->arena);
	rc = settle_lock(st, db, err);
	for (size_t i = 0; i < st->n && rc == RC_OK; i++)
		rc = settle_one(st, db, &st->outcomes[i], err);
	args.ids = st->released;
	args.nids = st->nreleased;
	if (rc == RC_OK && st->nreleased > 0)
		rc = db_exec(
		    db, &st->s->scope, SQL_EVENTS_RELEASE, &args, NULL, err);
	return rc;
}

static enum rc
settle_all(struct cron_events *q, const struct cron_settings *s, struct db *db,
    struct outcome *o, size_t n, struct err *err)
{
	struct arena arena = ARENA_INIT(SETTLE_ARENA_MAX);
	struct settling st = {
		.q = q, .s = s, .outcomes = o, .n = n, .arena = &arena
	};
	enum rc rc = db_transact(db, settle_body, &st, err);

	for (size_t i = 0; i < n; i++) {
		if (rc == RC_OK) {
			o[i].settled = true;
			o[i].job->claim->left--;
		} else if (db_is_lost(db)) {
			o[i].uncertain = true;
		}
	}
	arena_clear(&arena);
	return rc;
}

/*
 * A permanent error in a batch is one row's: settle one by one, and give up on
 * the row that has it (its claim is taken back by rescue).
 */
static enum rc
settle_each(struct cron_events *q, const struct cron_settings *s, struct db *db,
    struct outcome *o, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		enum rc rc;

		if (o[i].settled)
			continue;
		rc = settle_all(q, s, db, &o[i], 1, err);
		if (rc == RC_RETRY)
			return rc;
		if (rc == RC_OK)
			continue;
		log_event(LOG_ERR, "job.unsettled", LOG_S("queue", "cron"),
		    LOG_U("job", o[i].job->id),
		    LOG_S("why", err ? err->text : ""));
		o[i].settled = true;
		o[i].job->claim->left--;
	}
	return RC_OK;
}

enum rc
cron_events_settle(struct queue *queue, struct db *db, struct outcome *o,
    size_t n, struct err *err)
{
	struct cron_events *q = cron_events_of(queue);
	struct cron_settings s;
	enum rc rc = RC_REJECT;
	bool whole = true;

	cron_settings_get(q, &s);
	for (size_t i = 0; i < n && whole; i++)
		whole = !o[i].settled;
	if (whole)
		rc = settle_all(q, &s, db, o, n, err);
	if (rc == RC_REJECT)
		rc = settle_each(q, &s, db, o, n, err);
	cron_settings_put(q, &s);
	/* A row waits again, or its hook is idle now. */
	pthread_mutex_lock(&q->lock);
	q->look = true;
	pthread_mutex_unlock(&q->lock);
	return rc;
}
