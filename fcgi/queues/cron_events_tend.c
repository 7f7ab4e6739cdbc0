/*
 * Looking after: the lock while events are in our hands, retention, and giving
 * back what was never begun.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "queues/companion_lock.h"
#include "queues/cron_events_internal.h"

/* History; the ledger needs an hour of it. */
#define HISTORY_S 604800
#define CLEAN_EVERY_MS 600000
#define CLEAN_ROWS 500
#define LOCK_LOOK_MS 10000
#define RETURN_COMPANION_S 3

/* ---- the lock ------------------------------------------------------------ */

/* Are events of this blog claimed, or about to be? Those that nobody may run
 * keep no PHP runner out. */
static enum rc
in_hand(const struct cron_events *q, const struct cron_settings *s,
    struct db *db, bool *held, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, &s->scope, SQL_EVENTS_IN_HAND,
	    SQL_ARGS(V_U64(q->blog_id), V_U64(q->blog_id)), &rows, err);

	if (rc == RC_OK && db_rows_next(rows))
		*held = db_u64(rows, 0) != 0 ||
			(db_u64(rows, 1) != 0 && !q->waiting_barred);
	db_rows_free(rows);
	return rc;
}

static enum rc
take_body(struct db *db, void *arg, struct err *err)
{
	return cron_lock_take(arg, db, err);
}

static enum rc
give_body(struct db *db, void *arg, struct err *err)
{
	return cron_lock_give(arg, db, err);
}

static enum rc
tend_lock(struct cron_events *q, const struct cron_settings *s, struct db *db,
    struct err *err)
{
	struct cron_lock lock = cron_lock_of(q, s);
	bool held = false;
	enum rc rc = in_hand(q, s, db, &held, err);

	if (rc != RC_OK)
		return rc;
	if (held && clock_mono(q->clock) - q->lock_at < LOCK_LOOK_MS)
		return RC_OK;
	rc = db_transact(db, held ? take_body : give_body, &lock, err);
	/* Another's: it works beside us, which harms nothing. */
	if (rc == RC_OK || rc == RC_NONE) {
		q->lock_at = clock_mono(q->clock);
		q->lock_held = held;
	}
	return rc == RC_NONE ? RC_OK : rc;
}

/* ---- retention ----------------------------------------------------------- */

static enum rc
clean(struct cron_events *q, const struct cron_settings *s, struct db *db,
    struct err *err)
{
	struct db_rows *rows = NULL;
	struct sql_args args = { 0 };
	uint64_t ids[CLEAN_ROWS];
	enum rc rc = db_select(db, &s->scope, SQL_EVENTS_EXPIRED,
	    SQL_ARGS(V_U64(HISTORY_S)), &rows, err);

	if (rc != RC_OK)
		return rc;
	while (args.nids < CLEAN_ROWS && db_rows_next(rows))
		ids[args.nids++] = db_u64(rows, 0);
	db_rows_free(rows);
	args.ids = ids;
	if (args.nids > 0)
		rc =
		    db_exec(db, &s->scope, SQL_EVENTS_FORGET, &args, NULL, err);
	if (rc == RC_OK)
		rc = db_exec(db, &s->scope, SQL_CRON_LOCK_FORGET, SQL_NO_ARGS,
		    NULL, err);
	/* A full batch means that more waits: with the next look. */
	if (rc == RC_OK && args.nids < CLEAN_ROWS)
		q->cleaned_at = clock_mono(q->clock);
	return rc;
}

enum rc
cron_events_tend(struct cron_events *q, struct db *db, struct err *err)
{
	bool due = clock_mono(q->clock) - q->cleaned_at >= CLEAN_EVERY_MS;
	struct cron_settings s;
	bool lock;
	enum rc rc = RC_NONE;

	cron_settings_get(q, &s);
	lock = q->lock_held && !s.site.object_cache && !s.site.observe;
	if (lock)
		rc = tend_lock(q, &s, db, err);
	if (due && (rc == RC_OK || rc == RC_NONE))
		rc = clean(q, &s, db, err);
	cron_settings_put(q, &s);
	return rc;
}

/* ---- giving back --------------------------------------------------------- */

struct returning {
	struct cron_events *q;
	const struct cron_settings *s;
	struct arena arena;
	size_t n;
};

/* One row that waits, as a row of events.unbegun has it. */
struct unbegun {
	uint64_t id;
	int64_t at, next_at;
	struct slice hook, key, recurrence, event;
};

static struct unbegun
unbegun_of(const struct db_rows *r)
{
	return (struct unbegun){
		.id = db_u64(r, 0),
		.at = db_i64(r, 1),
		.hook = db_text(r, 2),
		.key = db_text(r, 3),
		.recurrence = db_text(r, 4),
		.event = db_text(r, 5),
		.next_at = db_i64(r, 6),
	};
}

/* A later period of an event that is given back: WordPress runs it once. */
static bool
is_repeat(const struct unbegun *rows, size_t n, const struct unbegun *u)
{
	for (size_t i = 0; i < n; i++)
		if (u->next_at != 0 && rows[i].next_at == u->next_at &&
		    slice_eq(rows[i].hook, u->hook) &&
		    slice_eq(rows[i].key, u->key))
			return true;
	return false;
}

static enum rc
edits_of(struct returning *r, const struct unbegun *u, struct cron_edit *edits,
    size_t *n, struct err *err)
{
	struct cron_event e = { 0 };
	char key[CRON_DIGEST_LEN + 1], *copy;
	enum rc rc = cron_event_parse(u->event, &r->arena, &e, err);

	if (rc != RC_OK)
		return rc;
	cron_args_key(e.args, key);
	copy = arena_strdup(&r->arena, slice_str(key));
	if (!copy)
		return err_set(err, RC_RETRY, "no memory for what goes back");
	if (u->next_at != 0)
		edits[(*n)++] = (struct cron_edit){ .what = CRON_REMOVE,
			.timestamp = u->next_at,
			.hook = u->hook,
			.key = { copy, CRON_DIGEST_LEN } };
	edits[(*n)++] = (struct cron_edit){ .what = CRON_ADD,
		.timestamp = u->at,
		.hook = u->hook,
		.key = u->key,
		.event = u->event };
	return RC_OK;
}

static enum rc
write_back(struct returning *r, struct db *db, struct slice text,
    const struct cron_edit *edits, size_t n, struct err *err)
{
	struct buf value = BUF_INIT(CEILING_SERIALIZED_BYTES);
	struct cron_array array;
	enum rc rc = cron_array_parse(text, &r->arena, &array, err);

	if (rc == RC_OK)
		rc = cron_array_splice(&array, edits, n, &value, err);
	if (rc == RC_OK)
		rc = db_exec(db, &r->s->scope, SQL_EVENTS_OPTION_WRITE,
		    SQL_ARGS(V_TEXT(buf_slice(&value))), NULL, err);
	buf_clear(&value);
	/* Unchanged: WordPress has them all already. */
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc
return_rows(struct returning *r, struct db *db, struct slice text,
    struct db_rows *rows, struct err *err)
{
	size_t max = db_rows_count(rows), n = 0, nedits = 0;
	struct unbegun *list = arena_array(&r->arena, max, sizeof *list);
	uint64_t *ids = arena_array(&r->arena, max, sizeof *ids);
	struct cron_edit *edits =
	    arena_array(&r->arena, 2 * max, sizeof *edits);
	struct sql_args args = *SQL_ARGS(V_U64(r->q->blog_id));
	enum rc rc = RC_OK;

	if (!list || !ids || !edits)
		return err_set(err, RC_RETRY, "no memory for what goes back");
	while (rc == RC_OK && n < max && db_rows_next(rows)) {
		struct unbegun u = unbegun_of(rows);

		if (!is_repeat(list, n, &u))
			rc = edits_of(r, &u, edits, &nedits, err);
		list[n] = u;
		ids[n++] = u.id;
	}
	if (rc == RC_OK)
		rc = write_back(r, db, text, edits, nedits, err);
	args.ids = ids;
	args.nids = n;
	if (rc == RC_OK)
		rc = db_exec(
		    db, &r->s->scope, SQL_EVENTS_DROP, &args, NULL, err);
	r->n = rc == RC_OK ? n : 0;
	return rc;
}

static enum rc
return_body(struct db *db, void *arg, struct err *err)
{
	struct returning *r = arg;
	struct db_rows *rows = NULL, *option = NULL;
	enum rc rc;

	arena_clear(&r->arena);
	r->n = 0;
	rc = db_select(db, &r->s->scope, SQL_EVENTS_OPTION_LOCK, SQL_NO_ARGS,
	    &option, err);
	if (rc == RC_OK && !db_rows_next(option))
		rc = RC_NONE;
	if (rc == RC_OK)
		rc = cron_events_mutex(r->q, r->s, db, err);
	if (rc == RC_OK)
		rc = db_select(db, &r->s->scope, SQL_EVENTS_UNBEGUN,
		    SQL_ARGS(V_U64(r->q->blog_id)), &rows, err);
	if (rc == RC_OK && db_rows_count(rows) == 0)
		rc = RC_NONE;
	if (rc == RC_OK)
		rc = return_rows(r, db, db_text(option, 0), rows, err);
	db_rows_free(rows);
	db_rows_free(option);
	return rc;
}

enum rc
cron_events_return(
    struct cron_events *q, struct db *db, size_t *n, struct err *err)
{
	struct cron_settings s;
	struct returning r = {
		.q = q, .s = &s, .arena = ARENA_INIT(2 * CEILING_CRON_ARENA)
	};
	enum rc rc = RC_NONE;
	bool companion;

	*n = 0;
	cron_settings_get(q, &s);
	if (s.site.object_cache)
		goto out;
	companion = s.site.companion;
	/* What its merge then overwrites is found again by nobody: wait. */
	rc = companion ? companion_lock(db, &s.scope, RETURN_COMPANION_S, err)
		       : RC_OK;
	if (rc != RC_OK)
		goto out;
	do {
		rc = db_transact(db, return_body, &r, err);
		*n += r.n;
	} while (rc == RC_OK);
	if (companion)
		companion_unlock(db, &s.scope);
	if (*n > 0)
		log_event(LOG_INFO, "event.returned", LOG_U("blog", q->blog_id),
		    LOG_U("rows", *n));
	if (rc == RC_NONE)
		rc = tend_lock(q, &s, db, err);
	if (rc == RC_OK && *n == 0)
		rc = RC_NONE;
out:
	arena_clear(&r.arena);
	cron_settings_put(q, &s);
	return rc;
}
