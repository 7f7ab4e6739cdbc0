/*
 * The plugin's one-shot event in the option `cron`, as a dead man's switch
 * (transient-queue.md, §8). Its slots come and go by splicing, and the option
 * is written only if it still is what was read.
 */
#include <stdio.h>
#include <string.h>

#include "formats/cron_array.h"
#include "queues/companion_lock.h"
#include "queues/tasks_internal.h"

#define KEEP_AHEAD_S 300
/* One that is due later is left alone. */
#define KEEP_LOW_S 240
#define RESTORE_AHEAD_S 10
#define TRIES 3
#define EDITS_MAX 32
#define COMPANION_WAIT_S 1

#define NO_ARGS SLICE_LIT("a:0:{}")
/* md5("a:0:{}") */
#define NO_ARGS_KEY SLICE_LIT("40cd750bba9870f18aada2478b24840a")

/* The event shall be due in (low, high], and only once. */
struct wish {
	int64_t low, at;
};

static size_t
edits_of(const struct cron_array *c, struct slice hook, int64_t now,
    const struct wish *w, struct slice event, struct cron_edit *edits)
{
	bool there = false;
	size_t n = 0;

	for (size_t i = 0; i < c->n && n < EDITS_MAX - 1; i++) {
		const struct cron_event *e = &c->events[i];

		if (!slice_eq(e->hook, hook) || !slice_eq(e->key, NO_ARGS_KEY))
			continue;
		if (!there && e->timestamp > now + w->low &&
		    e->timestamp <= now + w->at) {
			there = true;
			continue;
		}
		edits[n++] = (struct cron_edit){ .what = CRON_REMOVE,
			.timestamp = e->timestamp,
			.hook = e->hook,
			.key = e->key };
	}
	if (!there)
		edits[n++] = (struct cron_edit){ .what = CRON_ADD,
			.timestamp = now + w->at,
			.hook = hook,
			.key = NO_ARGS_KEY,
			.event = event };
	return n;
}

/* RC_NONE: nothing to change. */
static enum rc
edited(struct slice text, struct slice hook, int64_t now, const struct wish *w,
    struct buf *out, struct err *err)
{
	struct arena a = ARENA_INIT(CEILING_CRON_ARENA);
	struct buf event = BUF_INIT(256);
	struct cron_edit edits[EDITS_MAX];
	struct cron_array c;
	size_t n;
	enum rc rc = cron_array_parse(text, &a, &c, err);

	cron_event_render(&event, SLICE_NONE, NO_ARGS, 0);
	if (rc == RC_OK) {
		n = edits_of(&c, hook, now, w, buf_slice(&event), edits);
		rc =
		    n > 0 ? cron_array_splice(&c, edits, n, out, err) : RC_NONE;
	}
	buf_clear(&event);
	arena_clear(&a);
	/* What only PHP can write, it writes anew when it next loads. */
	return rc == RC_REJECT ? RC_NONE : rc;
}

/* RC_AGAIN: somebody else has written. */
static enum rc
move_once(struct db *db, const struct sql_scope *scope, struct slice hook,
    const struct wish *w, struct err *err)
{
	struct buf value = BUF_INIT(CEILING_SERIALIZED_BYTES);
	struct db_rows *rows = NULL, *now = NULL;
	uint64_t changed = 0;
	enum rc rc =
	    db_select(db, scope, SQL_EVENTS_OPTION, SQL_NO_ARGS, &rows, err);

	if (rc == RC_OK && !db_rows_next(rows))
		rc = RC_NONE;
	if (rc == RC_OK)
		rc =
		    db_select(db, scope, SQL_TASKS_NOW, SQL_NO_ARGS, &now, err);
	if (rc == RC_OK && !db_rows_next(now))
		rc =
		    err_set(err, RC_RETRY, "the server does not tell the time");
	if (rc == RC_OK)
		rc = edited(
		    db_text(rows, 0), hook, db_i64(now, 0), w, &value, err);
	if (rc == RC_OK)
		rc = db_exec(db, scope, SQL_TASKS_OPTION_SWAP,
		    SQL_ARGS(V_TEXT(buf_slice(&value)), V_STR("cron"),
			V_TEXT(db_text(rows, 0))),
		    &changed, err);
	if (rc == RC_OK && changed == 0)
		rc = RC_AGAIN;
	buf_clear(&value);
	db_rows_free(rows);
	db_rows_free(now);
	return rc;
}

static enum rc
move_event(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, bool companion, const struct wish *w,
    struct err *err)
{
	enum rc rc = RC_OK;

	if (q->hook.n == 0)
		return RC_NONE;
	if (companion)
		rc = companion_lock(db, scope, COMPANION_WAIT_S, err);
	if (rc != RC_OK)
		return rc;
	rc = RC_AGAIN;
	for (int i = 0; i < TRIES && rc == RC_AGAIN; i++)
		rc = move_once(db, scope, q->hook, w, err);
	if (companion)
		companion_unlock(db, scope);
	return rc == RC_AGAIN ? RC_NONE : rc;
}

enum rc
tasks_keep_event(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, bool companion, struct err *err)
{
	const struct wish w = { .low = KEEP_LOW_S, .at = KEEP_AHEAD_S };

	return move_event(db, scope, q, companion, &w, err);
}

enum rc
tasks_restore_event(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, bool companion, struct err *err)
{
	const struct wish w = { .low = INT32_MIN, .at = RESTORE_AHEAD_S };

	return move_event(db, scope, q, companion, &w, err);
}
