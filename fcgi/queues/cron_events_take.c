/*
 * Taking: due events move from the option into the table. What to take is
 * chosen from the option as it reads without a lock; then one transaction
 * locks its row, looks whether it still is as it was, and writes both.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "queues/companion_lock.h"
#include "queues/cron_events_internal.h"

/* A foreign runner is looked for again. */
#define HELD_MS 1000
#define COMPANION_WAIT_S 1
/* What is taken so soon after a ping was brought by it. */
#define WOKEN_MS 5000

/* As many events may be refused for a reason of their own. */
#define REFUSED_MAX 8

/* ---- what ---------------------------------------------------------------- */

/* One attempt to take. */
struct take {
	struct cron_events *q;
	const struct cron_settings *s;
	const struct claim_request *req;
	struct cron_picks *p;
	struct claim_result *res;
	int64_t now;

	struct slice text; /* the option as it was read first */
	struct slice digest;
	struct arena arena; /* holds what was parsed of it, and the choices */
	struct cron_array array;
	struct cron_chosen chosen;

	struct arena again;     /* what is made anew in each try of the write */
	struct db_rows *locked; /* the option under the lock; lends texts */
	const struct cron_choice *some; /* those of this write */
	size_t nsome, taken;
	bool wrote;
	struct {
		const struct cron_event *event;
		char why[ERR_TEXT_MAX];
	} refused[REFUSED_MAX];
	size_t nrefused;
	struct cron_plan plan;
	const char *woken_by;
};

/* Nobody may run what is there: do not read it again before it changes. */
static void
be_quiet(struct take *t)
{
	struct cron_quiet *quiet = &t->q->quiet;

	quiet->digest[0] = '\0';
	if (t->chosen.left || t->digest.n != CRON_DIGEST_LEN)
		return;
	memcpy(quiet->digest, t->digest.p, CRON_DIGEST_LEN);
	quiet->digest[CRON_DIGEST_LEN] = '\0';
	quiet->until = t->chosen.until;
}

/* Not PHP's format, or one that only PHP may rewrite: said once a value. */
static enum rc
unreadable(struct take *t, const char *why)
{
	char *said = t->q->unreadable;

	if (!slice_eq_str(t->digest, said))
		log_event(LOG_ERR, "cron.unreadable",
		    LOG_U("blog", t->q->blog_id), LOG_S("why", why));
	if (t->digest.n == CRON_DIGEST_LEN) {
		memcpy(said, t->digest.p, CRON_DIGEST_LEN);
		said[CRON_DIGEST_LEN] = '\0';
	}
	t->chosen.until = INT64_MAX;
	t->chosen.left = false;
	be_quiet(t);
	return RC_NONE;
}

static enum rc
parse(struct take *t, struct slice text, struct arena *a,
    struct cron_array *out, struct err *err)
{
	struct err why = ERR_INIT;
	enum rc rc = cron_array_parse(text, a, out, &why);

	if (rc == RC_REJECT)
		return unreadable(t, why.text);
	if (rc != RC_OK)
		return err_set(err, rc, "%s", why.text);
	if (out->ancient)
		return unreadable(t, "it has no version; WordPress writes it "
				     "anew when it next loads");
	if (out->bound && !t->s->site.object_cache && !t->s->site.observe)
		return unreadable(t, "it holds references that only PHP can "
				     "write");
	return RC_OK;
}

/* ---- the write ----------------------------------------------------------- */

/* The choices as they stand in the option now. */
static enum rc
choices_again(struct take *t, struct slice text, struct cron_array *array,
    struct cron_choice *out, struct err *err)
{
	enum rc rc;

	memcpy(out, t->some, t->nsome * sizeof *out);
	if (slice_eq(text, t->text)) {
		*array = t->array;
		return RC_OK;
	}
	rc = parse(t, text, &t->again, array, err);
	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < t->nsome; i++) {
		const struct cron_event *e = out[i].event;

		out[i].event =
		    cron_array_find(array, e->timestamp, e->hook, e->key);
		if (out[i].event && !cron_is_fit(t->q, out[i].event))
			out[i].event = NULL;
	}
	return RC_OK;
}

/* The next slot of a recurring event, as wp_schedule_event() writes it. */
static enum rc
edit_add(struct take *t, const struct cron_step *step, struct cron_edit *edit,
    struct err *err)
{
	const struct cron_event *e = step->event;
	struct buf text = BUF_INIT(2 * CRON_EVENT_BYTES);
	char key[CRON_DIGEST_LEN + 1];
	enum rc rc = RC_OK;

	cron_args_key(e->args, key);
	cron_event_render(&text, e->recurrence, e->args, step->interval);
	*edit = (struct cron_edit){
		.what = CRON_ADD,
		.timestamp = step->next_at,
		.hook = e->hook,
		.key = { arena_strdup(&t->again, slice_str(key)),
		    CRON_DIGEST_LEN },
		.event = { arena_strdup(&t->again, buf_slice(&text)), text.n },
	};
	if (text.failed || !edit->key.p || !edit->event.p)
		rc = err_set(err, RC_REJECT, "an event cannot be written");
	buf_clear(&text);
	return rc;
}

/* Core adds the next slot before it removes the one that is due. */
static enum rc
splice(struct take *t, const struct cron_array *array, struct buf *out,
    struct err *err)
{
	struct cron_edit *edits =
	    arena_array(&t->again, 2 * t->plan.n, sizeof *edits);
	size_t n = 0;
	enum rc rc = RC_OK;

	if (!edits)
		return err_set(err, RC_RETRY, "no memory for the changes");
	for (size_t i = 0; i < t->plan.n && rc == RC_OK; i++) {
		const struct cron_step *step = &t->plan.steps[i];

		if (step->readd)
			rc = edit_add(t, step, &edits[n++], err);
		edits[n++] = (struct cron_edit){
			.what = CRON_REMOVE,
			.timestamp = step->event->timestamp,
			.hook = step->event->hook,
			.key = step->event->key,
		};
	}
	return rc == RC_OK ? cron_array_splice(array, edits, n, out, err) : rc;
}

static enum rc
write_both(struct take *t, struct db *db, const struct cron_array *array,
    struct slice now, struct err *err)
{
	struct buf value = BUF_INIT(CEILING_SERIALIZED_BYTES);
	enum rc rc = splice(t, array, &value, err);

	if (rc == RC_OK)
		rc = cron_plan_insert(
		    t->q, t->s, db, &t->plan, now, t->woken_by, err);
	if (rc == RC_OK)
		rc = db_exec(db, &t->s->scope, SQL_EVENTS_OPTION_WRITE,
		    SQL_ARGS(V_TEXT(buf_slice(&value))), NULL, err);
	buf_clear(&value);
	return rc;
}

static enum rc
take_body(struct db *db, void *arg, struct err *err)
{
	struct take *t = arg;
	struct cron_lock lock = cron_lock_of(t->q, t->s);
	struct cron_choice *choices;
	struct cron_array array;
	enum rc rc;

	db_rows_free(t->locked);
	t->locked = NULL;
	arena_clear(&t->again);
	t->q->held_until = 0;
	choices = arena_array(&t->again, t->nsome, sizeof *choices);
	if (!choices)
		return err_set(err, RC_RETRY, "no memory for what is due");
	rc = db_select(db, &t->s->scope, SQL_EVENTS_OPTION_LOCK, SQL_NO_ARGS,
	    &t->locked, err);
	if (rc == RC_OK && !db_rows_next(t->locked))
		rc = RC_NONE;
	if (rc == RC_OK)
		rc = choices_again(
		    t, db_text(t->locked, 0), &array, choices, err);
	if (rc == RC_OK)
		rc = cron_plan_make(t->q, t->s, db, &t->again, &array, choices,
		    t->nsome, &t->plan, err);
	if (rc == RC_OK && t->plan.n == 0)
		rc = RC_NONE;
	if (rc == RC_OK) {
		rc = cron_lock_take(&lock, db, err);
		if (rc == RC_NONE)
			t->q->held_until = clock_mono(t->q->clock) + HELD_MS;
	}
	if (rc == RC_OK)
		rc = write_both(t, db, &array, db_text(t->locked, 1), err);
	return rc;
}

static void
say_held(struct cron_events *q, bool held)
{
	if (held && !q->held_said)
		log_event(LOG_INFO, "cron.held", LOG_U("blog", q->blog_id),
		    LOG_S("why", "a PHP runner holds the lock; events wait "
				 "until it is done"));
	q->held_said = held;
}

/*
 * A permanent error is one event's: what it does not keep is halves of a list
 * that are written without it. When it is met often, it is everyone's.
 */
static enum rc
take_some(struct take *t, struct db *db, const struct cron_choice *some,
    size_t n, struct err *err)
{
	enum rc rc;

	t->some = some;
	t->nsome = n;
	rc = db_transact(db, take_body, t, err);
	if (rc == RC_OK) {
		cron_plan_log(&t->plan, t->q->blog_id);
		t->taken += t->plan.waiting;
		t->wrote = true;
	}
	if (rc != RC_REJECT || t->nrefused == REFUSED_MAX)
		return rc;
	if (n == 1) {
		t->refused[t->nrefused].event = some->event;
		(void)snprintf(t->refused[t->nrefused++].why, ERR_TEXT_MAX,
		    "%s", err ? err->text : "");
		return RC_REJECT;
	}
	rc = take_some(t, db, some, n / 2, err);
	if (rc == RC_RETRY || t->q->held_until > 0 ||
	    t->nrefused == REFUSED_MAX)
		return rc;
	return take_some(t, db, some + n / 2, n - n / 2, err);
}

/* Others could be written: these few stay in the option. */
static void
leave_refused(struct take *t)
{
	for (size_t i = 0; i < t->nrefused && t->wrote; i++)
		cron_leave(t->q, t->refused[i].event, t->refused[i].why);
}

static enum rc
take_natively(struct take *t, struct db *db, struct err *err)
{
	const struct sql_scope *scope = &t->s->scope;
	bool companion = t->s->site.companion;
	enum rc rc = RC_OK;

	/* PHP may hold it for as long as its page takes: next second, then. */
	if (companion)
		rc = companion_lock(db, scope, COMPANION_WAIT_S, err);
	if (rc != RC_OK)
		return rc;
	rc = take_some(t, db, t->chosen.choices, t->chosen.n, err);
	if (companion)
		companion_unlock(db, scope);
	if (rc == RC_OK || rc == RC_NONE)
		say_held(t->q, rc == RC_NONE && t->q->held_until > 0);
	leave_refused(t);
	if (!t->wrote)
		return rc;
	t->q->lock_held = true;
	t->q->lock_at = clock_mono(t->q->clock);
	return RC_OK;
}

static enum rc
take_by_php(struct take *t, struct db *db, struct err *err)
{
	enum rc rc = cron_plan_make(t->q, t->s, db, &t->again, &t->array,
	    t->chosen.choices, t->chosen.n, &t->plan, err);

	if (rc == RC_OK && t->plan.n == 0)
		rc = RC_NONE;
	if (rc == RC_OK)
		rc = cron_plan_php(t->q, t->s, db, &t->plan, t->woken_by,
		    &t->res->php_take, err);
	return rc;
}

static const char *
woken_by(struct cron_events *q)
{
	const char *word;

	pthread_mutex_lock(&q->lock);
	word = q->woken_by && clock_mono(q->clock) - q->woken_at < WOKEN_MS
		   ? q->woken_by
		   : "clock";
	pthread_mutex_unlock(&q->lock);
	return word;
}

/* The ping has been answered by a look. */
static void
woken_forget(struct cron_events *q)
{
	pthread_mutex_lock(&q->lock);
	q->woken_by = NULL;
	pthread_mutex_unlock(&q->lock);
}

static enum rc
take_chosen(struct take *t, struct db *db, struct err *err)
{
	if (t->s->site.observe) {
		be_quiet(t);
		return cron_events_observe(t->q, t->s, db, &t->array,
		    t->chosen.choices, t->chosen.n, err);
	}
	if (t->chosen.n == 0) {
		be_quiet(t);
		return RC_NONE;
	}
	t->q->quiet.digest[0] = '\0';
	return t->s->site.object_cache ? take_by_php(t, db, err)
				       : take_natively(t, db, err);
}

/* Two writes are one only with InnoDB. RC_NONE: it is something else. */
static enum rc
check_engine(const struct take *t, struct db *db, struct err *err)
{
	struct cron_events *q = t->q;
	struct db_rows *rows = NULL;
	struct slice engine = SLICE_LIT("unknown");
	enum rc rc;

	if (q->transactional || t->s->site.observe)
		return RC_OK;
	if (q->bad_engine)
		return RC_NONE;
	rc = db_select(db, &t->s->scope, SQL_EVENTS_OPTIONS_ENGINE, SQL_NO_ARGS,
	    &rows, err);
	if (rc != RC_OK)
		return rc;
	if (db_rows_next(rows))
		engine = db_text(rows, 0);
	q->transactional = slice_eq_nocase(engine, SLICE_LIT("InnoDB"));
	q->bad_engine = !q->transactional;
	if (q->bad_engine)
		log_event(LOG_ERR, "cron.not_transactional",
		    LOG_U("blog", q->blog_id), LOG_SLICE("engine", engine),
		    LOG_S("why", "events cannot be moved safely out of an "
				 "options table that is not InnoDB; convert "
				 "it, or leave them to WordPress"));
	db_rows_free(rows);
	return q->transactional ? RC_OK : RC_NONE;
}

/* Is it worth to read all of the option? */
static enum rc
look_at_head(const struct take *t, struct db *db, struct err *err)
{
	int64_t when;
	enum rc rc;

	if (t->s->export->replaced_by)
		return RC_NONE;
	rc = cron_option_due(t->q, t->s, db, &when, err);
	if (rc == RC_OK && when > t->now)
		rc = RC_NONE;
	/* The first look finds out what was observed before. */
	if (rc == RC_NONE && t->s->site.observe &&
	    t->q->quiet.digest[0] == '\0')
		rc = RC_OK;
	return rc;
}

/* A claim that is full already takes nothing: a large option is not read for
 * every batch of what waits. */
static bool
has_room(const struct take *t)
{
	for (int l = 0; l < LANE_COUNT; l++)
		if (t->req->room[l] > 0 && cron_lane_open(t->p, (enum lane)l))
			return true;
	return t->s->site.observe;
}

enum rc
cron_events_take(struct cron_events *q, const struct cron_settings *s,
    struct db *db, const struct claim_request *req, struct cron_picks *p,
    struct claim_result *res, size_t *taken, struct err *err)
{
	struct take t = {
		.q = q,
		.s = s,
		.req = req,
		.p = p,
		.res = res,
		.now = clock_unix(q->clock),
		.arena = ARENA_INIT(CEILING_CRON_ARENA),
		.again = ARENA_INIT(2 * CEILING_CRON_ARENA),
	};
	struct db_rows *rows = NULL;
	enum rc rc = look_at_head(&t, db, err);

	t.chosen = (struct cron_chosen){
		.q = q,
		.s = s,
		.req = req,
		.picks = p,
		.now = t.now,
		.arena = &t.arena,
		.array = &t.array,
		.until = INT64_MAX,
	};
	*taken = 0;
	if (rc != RC_OK)
		return rc;
	if (!has_room(&t)) {
		p->more = true;
		return RC_NONE;
	}
	t.woken_by = woken_by(q);
	rc = check_engine(&t, db, err);
	if (rc == RC_OK)
		rc = db_select(
		    db, &s->scope, SQL_EVENTS_OPTION, SQL_NO_ARGS, &rows, err);
	if (rc == RC_OK && !db_rows_next(rows))
		rc = RC_NONE;
	if (rc == RC_OK) {
		t.text = db_text(rows, 0);
		t.digest = db_text(rows, 1);
		rc = parse(&t, t.text, &t.arena, &t.array, err);
	}
	if (rc == RC_OK)
		rc = cron_choose(&t.chosen, err);
	res->wants_export = t.chosen.wants_export;
	if (rc == RC_OK)
		rc = take_chosen(&t, db, err);
	/* What waits for an export was woken by the same. */
	if (!t.chosen.wants_export)
		woken_forget(q);
	*taken = t.taken;
	db_rows_free(rows);
	db_rows_free(t.locked);
	arena_clear(&t.arena);
	arena_clear(&t.again);
	return rc;
}
