#include "queues/cron_events_admin.h"

#include <inttypes.h>
#include <string.h>

#include "base/ceilings.h"
#include "queues/companion_lock.h"
#include "queues/cron_events_internal.h"

#define VALUE_MAX ((size_t)64 << 20)
/* wp_schedule_single_event(): no two of a kind within so many seconds. */
#define ALIKE_S 600
/* The companion holds its lock while PHP runs two statements. */
#define COMPANION_WAIT_S 10
#define EMPTY_ARRAY SLICE_LIT("a:1:{s:7:\"version\";i:2;}")

/* ---- may it be written? ------------------------------------------------- */

static enum rc
check_engine(const struct cron_admin *a, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(a->db, a->scope, SQL_EVENTS_CTL_OPTIONS_ENGINE,
	    SQL_NO_ARGS, &rows, err);

	if (rc == RC_OK && db_rows_next(rows) &&
	    !slice_eq_nocase(db_text(rows, 0), SLICE_LIT("InnoDB")))
		rc = err_set(err, RC_REJECT,
		    "%soptions is %.*s: without InnoDB there is no safe way "
		    "to write the option `cron`; use WP-CLI",
		    a->scope->prefix, SLICE_FMT(db_text(rows, 0)));
	db_rows_free(rows);
	return rc;
}

static enum rc
check_rivals(const struct cron_admin *a, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc =
	    db_select(a->db, a->scope, SQL_CTL_RIVALS, SQL_NO_ARGS, &rows, err);

	if (rc == RC_OK && db_rows_next(rows))
		rc = err_set(err, RC_REJECT,
		    "the site keeps its cron events in %.*s, not in the option "
		    "`cron`; use that plugin's commands",
		    SLICE_FMT(db_text(rows, 0)));
	db_rows_free(rows);
	return rc;
}

enum rc
cron_admin_writable(const struct cron_admin *a, struct err *err)
{
	enum rc rc;

	if (a->object_cache)
		return err_set(err, RC_REJECT,
		    "the site has an object cache, so that only PHP may write "
		    "the option `cron`; use WP-CLI (`wp cron event ...`)");
	rc = check_engine(a, err);
	return rc == RC_OK ? check_rivals(a, err) : rc;
}

void
cron_admin_key(struct slice args, char out[CRON_ADMIN_KEY_MAX])
{
	_Static_assert(CRON_ADMIN_KEY_MAX == CRON_DIGEST_LEN + 1, "a digest");
	cron_args_key(args, out);
}

/* ---- a change of the option --------------------------------------------- */

struct editing;
/* Fills edits from e->array; RC_NONE: nothing to do. */
typedef enum rc edit_fn(struct editing *e, struct db *db, struct err *err);

struct editing {
	const struct cron_admin *a;
	edit_fn *edit;
	const void *what;
	struct arena arena;
	struct cron_array array;
	struct cron_edit *edits; /* room for two an event, and one */
	size_t nedits;
};

static enum rc
write_option(struct editing *e, struct db *db, bool there, struct err *err)
{
	struct buf value = BUF_INIT(VALUE_MAX);
	enum rc rc =
	    cron_array_splice(&e->array, e->edits, e->nedits, &value, err);

	if (rc == RC_OK)
		rc = db_exec(db, e->a->scope,
		    there ? SQL_EVENTS_OPTION_WRITE
			  : SQL_EVENTS_CTL_OPTION_INSERT,
		    SQL_ARGS(V_TEXT(buf_slice(&value))), NULL, err);
	buf_clear(&value);
	return rc;
}

static enum rc
edit_body(struct db *db, void *arg, struct err *err)
{
	struct editing *e = arg;
	struct db_rows *rows = NULL;
	bool there;
	enum rc rc = db_select(
	    db, e->a->scope, SQL_EVENTS_OPTION_LOCK, SQL_NO_ARGS, &rows, err);

	if (rc != RC_OK)
		return rc;
	arena_clear(&e->arena);
	e->nedits = 0;
	there = db_rows_next(rows);
	rc = cron_array_parse(
	    there ? db_text(rows, 0) : EMPTY_ARRAY, &e->arena, &e->array, err);
	if (rc == RC_OK) {
		e->edits = arena_array(
		    &e->arena, 2 * e->array.n + 1, sizeof *e->edits);
		rc = e->edits ? e->edit(e, db, err)
			      : err_set(err, RC_REJECT, "too many cron events");
	}
	if (rc == RC_OK && e->nedits > 0)
		rc = write_option(e, db, there, err);
	db_rows_free(rows);
	return rc;
}

static enum rc
edit(const struct cron_admin *a, edit_fn *fn, const void *what, struct err *err)
{
	struct editing e = { .a = a,
		.edit = fn,
		.what = what,
		.arena = ARENA_INIT(2 * CEILING_CRON_ARENA) };
	enum rc rc = cron_admin_writable(a, err);

	if (rc == RC_OK && a->companion)
		rc = companion_lock(a->db, a->scope, COMPANION_WAIT_S, err);
	if (rc == RC_NONE)
		return err_set(err, RC_RETRY,
		    "somebody writes the option `cron` without end; try again");
	if (rc == RC_OK) {
		rc = db_transact(a->db, edit_body, &e, err);
		if (a->companion)
			companion_unlock(a->db, a->scope);
	}
	arena_clear(&e.arena);
	return rc;
}

static void
add_edit(struct editing *e, const struct cron_edit *x)
{
	e->edits[e->nedits++] = *x;
}

static void
add_removal(struct editing *e, const struct cron_event *x)
{
	add_edit(e, &(const struct cron_edit){ .what = CRON_REMOVE,
			.timestamp = x->timestamp,
			.hook = x->hook,
			.key = x->key });
}

/* The bytes of an event, in the arena. */
static bool
render_event(struct editing *e, struct slice recurrence, struct slice args,
    int64_t interval, struct slice *out)
{
	struct buf b = BUF_INIT(VALUE_MAX);

	cron_event_render(&b, recurrence, args, interval);
	*out = slice_mem(arena_strdup(&e->arena, buf_slice(&b)), b.n);
	buf_clear(&b);
	return out->n > 0 && out->p;
}

/* ---- schedule ----------------------------------------------------------- */

struct scheduling {
	const struct cron_admin_event *event;
	int64_t now;
	char key[CRON_ADMIN_KEY_MAX];
};

/* The bounds are wp_schedule_single_event()'s, both ends inclusive. */
static bool
is_alike(const struct scheduling *s, const struct cron_event *x)
{
	int64_t when = s->event->timestamp, now = s->now;
	int64_t min = when < now + ALIKE_S ? 0 : when - ALIKE_S;
	int64_t max = when < now ? now + ALIKE_S : when + ALIKE_S;

	return slice_eq(x->hook, s->event->hook) &&
	       slice_eq_str(x->key, s->key) && x->timestamp >= min &&
	       x->timestamp <= max;
}

static enum rc
edit_schedule(struct editing *e, struct db *db, struct err *err)
{
	const struct scheduling *s = e->what;
	const struct cron_admin_event *x = s->event;
	struct cron_edit add = { .what = CRON_ADD,
		.timestamp = x->timestamp,
		.hook = x->hook,
		.key = slice_str(s->key) };

	(void)db;
	for (size_t i = 0; x->recurrence.n == 0 && i < e->array.n; i++)
		if (is_alike(s, &e->array.events[i]))
			return err_set(err, RC_NONE,
			    "an event of that hook with these arguments is "
			    "scheduled within ten minutes of it already");
	if (!render_event(e, x->recurrence, x->args, x->interval, &add.event))
		return err_set(err, RC_REJECT, "the event is too large");
	add_edit(e, &add);
	return RC_OK;
}

enum rc
cron_admin_schedule(const struct cron_admin *a,
    const struct cron_admin_event *x, int64_t now, struct err *err)
{
	struct scheduling s = { .event = x, .now = now };

	cron_admin_key(x->args, s.key);
	return edit(a, edit_schedule, &s, err);
}

/* ---- remove ------------------------------------------------------------- */

struct removing {
	cron_admin_pick *pick;
	void *arg;
	size_t *removed;
};

static enum rc
edit_remove(struct editing *e, struct db *db, struct err *err)
{
	const struct removing *r = e->what;

	(void)db;
	(void)err;
	*r->removed = 0;
	for (size_t i = 0; i < e->array.n; i++) {
		if (!r->pick(r->arg, &e->array.events[i]))
			continue;
		add_removal(e, &e->array.events[i]);
		(*r->removed)++;
	}
	return RC_OK;
}

enum rc
cron_admin_remove(const struct cron_admin *a, cron_admin_pick *pick, void *arg,
    size_t *removed, struct err *err)
{
	const struct removing r = {
		.pick = pick, .arg = arg, .removed = removed
	};
	enum rc rc;

	*removed = 0;
	rc = edit(a, edit_remove, &r, err);
	if (rc != RC_OK)
		*removed = 0;
	return rc;
}

enum rc
cron_admin_drop(const struct cron_admin *a, const uint64_t *ids, size_t n,
    uint64_t *dropped, struct err *err)
{
	const struct sql_value blog = V_U64(a->blog_id);
	const struct sql_args args = {
		.values = &blog, .nvalues = 1, .ids = ids, .nids = n
	};

	*dropped = 0;
	if (n == 0)
		return RC_OK;
	return db_exec(
	    a->db, a->scope, SQL_EVENTS_CTL_DROP, &args, dropped, err);
}

/* ---- take --------------------------------------------------------------- */

struct taking {
	struct cron_admin_take *t;
	size_t had; /* ids of the caller's */
};

static enum rc
insert_row(struct editing *e, struct db *db, const struct cron_event *x,
    int64_t next, struct err *err)
{
	char slot[CRON_SLOT_LEN];

	if (x->hook.n > CRON_HOOK_MAX || x->key.n > CRON_KEY_MAX ||
	    x->recurrence.n > CRON_RECURRENCE_MAX)
		return err_set(err, RC_REJECT,
		    "the name of a hook or recurrence is too long to be run "
		    "from here");
	cron_slot(x->timestamp, x->hook, x->key, slot);
	return db_exec(db, e->a->scope, SQL_EVENTS_CTL_TAKE,
	    SQL_ARGS(V_U64(e->a->blog_id), V_I64(x->timestamp),
		V_BYTES(x->hook), V_BYTES(x->key),
		V_BYTES(slice_mem(slot, sizeof slot)), V_BYTES(x->recurrence),
		V_BYTES(x->span), V_I64(next)),
	    NULL, err);
}

/* wp_reschedule_event(), then wp_unschedule_event(), as before core's run. */
static enum rc
take_one(struct editing *e, struct db *db, const struct cron_event *x,
    struct err *err)
{
	const struct taking *k = e->what;
	struct cron_admin_take *t = k->t;
	struct cron_edit add = {
		.what = CRON_ADD, .hook = x->hook, .key = x->key
	};
	int64_t interval = 0;
	enum rc rc;

	if (t->n == t->max)
		return err_set(err, RC_REJECT,
		    "more than %zu events at once; name their hooks", t->max);
	if (x->recurrence.n > 0)
		interval = t->interval_of(t->arg, x->recurrence, x->interval);
	if (interval > 0) {
		add.timestamp = cron_next_run(x->timestamp, interval, t->now);
		if (!render_event(
			e, x->recurrence, x->args, interval, &add.event))
			return err_set(err, RC_REJECT, "an event is too large");
	}
	rc = insert_row(e, db, x, add.timestamp, err);
	if (rc != RC_OK)
		return rc;
	t->ids[t->n++] = db_insert_id(db);
	if (interval > 0)
		add_edit(e, &add);
	/* A future event that is run by hand may have its own slot as next. */
	if (interval == 0 || add.timestamp != x->timestamp)
		add_removal(e, x);
	return RC_OK;
}

static enum rc
edit_take(struct editing *e, struct db *db, struct err *err)
{
	const struct taking *k = e->what;
	enum rc rc = RC_OK;

	k->t->n = k->had;
	for (size_t i = 0; rc == RC_OK && i < e->array.n; i++)
		if (k->t->pick(k->t->arg, &e->array.events[i]))
			rc = take_one(e, db, &e->array.events[i], err);
	return rc;
}

enum rc
cron_admin_take_events(
    const struct cron_admin *a, struct cron_admin_take *t, struct err *err)
{
	const struct taking k = { .t = t, .had = t->n };
	enum rc rc = edit(a, edit_take, &k, err);

	if (rc != RC_OK)
		t->n = k.had;
	return rc;
}

/* ---- again -------------------------------------------------------------- */

static enum rc
why_not(const struct cron_admin *a, uint64_t id, struct err *err)
{
	const struct sql_value blog = V_U64(a->blog_id);
	const struct sql_args args = {
		.values = &blog, .nvalues = 1, .ids = &id, .nids = 1
	};
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    a->db, a->scope, SQL_EVENTS_CTL_OF_IDS, &args, &rows, err);

	if (rc == RC_OK && db_rows_next(rows))
		rc = err_set(err, RC_NONE,
		    "event %" PRIu64 " is %.*s; only what failed is run again",
		    id, SLICE_FMT(db_text(rows, 1)));
	else if (rc == RC_OK)
		rc = err_set(err, RC_NONE, "there is no event %" PRIu64, id);
	db_rows_free(rows);
	return rc;
}

enum rc
cron_admin_retry(const struct cron_admin *a, uint64_t id, struct err *err)
{
	uint64_t changed = 0;
	enum rc rc = db_exec(a->db, a->scope, SQL_EVENTS_CTL_RETRY,
	    SQL_ARGS(V_U64(a->blog_id), V_U64(id)), &changed, err);

	if (rc != RC_OK || changed > 0)
		return rc;
	return why_not(a, id, err);
}
