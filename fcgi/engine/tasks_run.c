/* One look at a queue of tasks: may it, is it ours, and until nothing is
 * ready. */
#include "engine/tasks_run_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/log.h"
#include "engine/site_prepare.h"
#include "executors/php_tasks.h"
#include "sql/leases.h"

enum {
	/* Leases and claims outlast a task, and the wait for PHP, by this. */
	MARGIN_MS = 30000,
	RENEW_MS = 20000,
	RENEW_AGAIN_MS = 1000,
	/* PHP may have passed its look at the lock just before ours. */
	SETTLE_MS = 1000,
	NAP_MS = 50,
	/* A reason to hold is looked at again then. */
	HELD_WAIT_MS = 10000,
	/* The plugin's own rhythm while tasks remain. */
	PHP_EVERY_MS = 10000,
	PHP_LOCK_WAIT_MS = 2000,
	CACHE_EVERY_MS = 60000,
	TAKE_TRIES = 4,
	TAKE_WAIT_MS = 500,
	DAY_S = 86400,
	PLACE_MS = 30000,
	BOOT_MS = 30000,
};
#define TYPES_BYTES ((size_t)4 << 20)

void
tasks_queue_of(
    uint32_t blog_id, const struct config_tasks *c, struct task_queue *out)
{
	*out = (struct task_queue){ .blog_id = blog_id,
		.name = slice_str(c->queue),
		.lock = slice_str(c->lock),
		.hook = slice_str(c->hook),
		.discard_expired = c->expired == TASK_EXPIRED_DISCARD,
		.run_stale = c->stale == TASK_STALE_RUN,
		.snapshot_s = c->stale_for_ms / 1000,
		.lock_ttl_s = c->lock_ttl_ms / 1000 };
}

/* ---- what is held ------------------------------------------------------- */

static void PRINTF_LIKE(3, 4)
    hold(struct tasks_turn *t, int64_t wait_ms, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(t->out->held, sizeof t->out->held, fmt, ap);
	va_end(ap);
	t->out->wait_ms = wait_ms;
}

/* ---- lease and lock ----------------------------------------------------- */

bool
tasks_turn_over(const struct tasks_turn *t)
{
	return t->lost || t->failure.rc != RC_OK || work_stopping(t->env) ||
	       clock_mono(t->env->clock) >= t->until;
}

static enum rc
look_at_lock(struct tasks_turn *t, enum task_lock *state, struct err *err)
{
	return tasks_lock(
	    t->env->db, &t->env->scope, &t->q, t->lock, state, err);
}

static enum rc
renew(struct tasks_turn *t, struct err *err)
{
	enum task_lock state = TASK_LOCK_OURS;
	enum rc rc = lease_extend(
	    t->env->db, &t->env->scope, t->lease, t->token, t->term_ms, err);

	if (rc == RC_OK && t->has_lock)
		rc = look_at_lock(t, &state, err);
	if (rc == RC_NONE || state == TASK_LOCK_OTHERS)
		t->lost = true;
	if (rc == RC_OK && t->claim_id)
		rc = tasks_extend(
		    t->env->db, &t->env->scope, t->claim_id, t->term_ms, err);
	return rc == RC_NONE ? RC_OK : rc;
}

void
tasks_turn_tick(void *turn)
{
	struct tasks_turn *t = turn;
	mono_ms now = clock_mono(t->env->clock);
	mono_ms every = RENEW_MS;
	struct err err = ERR_INIT;

	if (now < t->renew_at)
		return;
	if (every > (mono_ms)t->c->lock_ttl_ms / 3)
		every = (mono_ms)t->c->lock_ttl_ms / 3;
	t->renew_at = now + (renew(t, &err) == RC_OK ? every : RENEW_AGAIN_MS);
}

bool
tasks_turn_overdue(void *turn)
{
	struct tasks_turn *t = turn;

	return work_overdue(t->env, &t->stop_at);
}

/* False: the program stops. */
static bool
nap(const struct tasks_turn *t, mono_ms ms)
{
	for (mono_ms slept = 0; slept < ms; slept += NAP_MS) {
		if (work_stopping(t->env))
			return false;
		clock_sleep_ms(NAP_MS);
	}
	return true;
}

/* RC_NONE: PHP's own processor is at it; t->out->held. */
static enum rc
take_lock(struct tasks_turn *t, struct err *err)
{
	enum task_lock state = TASK_LOCK_OTHERS;
	enum rc rc = look_at_lock(t, &state, err);

	if (rc == RC_OK && state == TASK_LOCK_NEW) {
		t->has_lock = true;
		(void)nap(t, SETTLE_MS);
		rc = look_at_lock(t, &state, err);
	}
	t->has_lock = rc == RC_OK && state != TASK_LOCK_OTHERS;
	if (rc != RC_OK)
		return rc;
	if (!t->has_lock)
		hold(t, PHP_LOCK_WAIT_MS,
		    "the plugin's processor holds the lock %s", t->c->lock);
	return t->has_lock ? RC_OK : RC_NONE;
}

static void
let_go(struct tasks_turn *t)
{
	struct err err = ERR_INIT;

	/* What cannot be given back now ends by itself. */
	if (t->has_lock && tasks_unlock(t->env->db, &t->env->scope, &t->q,
			       t->lock, &err) != RC_OK)
		t->has_lock = false;
	if (t->token && lease_give(t->env->db, &t->env->scope, t->lease,
			    t->token, &err) != RC_OK)
		t->token = 0;
	task_webhook_free(t->webhook);
}

static enum rc
take_lease(struct tasks_turn *t, struct err *err)
{
	(void)snprintf(t->lease, sizeof t->lease, "tasks/%" PRIu32 "/%.150s",
	    t->env->blog_id, t->c->queue);
	return lease_take(t->env->db, &t->env->scope, t->lease, t->env->node_id,
	    t->term_ms, &t->token, err);
}

/* ---- types -------------------------------------------------------------- */

/* Why nobody here does a type; NULL: somebody does. */
static const char *
unmapped(const struct tasks_turn *t, struct slice type)
{
	const struct config_handler *h = tasks_handler(t->c, type);

	return h ? tasks_unable(t, h) : "no handler";
}

/* In `text`, the types that nobody here does; "" when there is none. */
static void
put_unmapped(const struct tasks_turn *t, const struct slice *types, size_t n,
    struct buf *text)
{
	for (size_t i = 0; i < n; i++) {
		const char *why = unmapped(t, types[i]);

		if (why && text->n < ERR_TEXT_MAX / 2)
			buf_printf(text, "%s\"%.*s\": %s",
			    text->n > 0 ? ", " : "", SLICE_FMT(types[i]), why);
	}
}

/* A processor that PHP runs writes, when it ends, the list that it had read:
 * what is put there before would be lost. RC_NONE: there is one. */
static enum rc
give_back(struct tasks_turn *t, size_t *n, struct err *err)
{
	enum rc rc = take_lock(t, err);

	if (rc == RC_OK)
		rc = tasks_hand_back(t->env->db, &t->env->scope, &t->q, n, err);
	/* The lock goes with it. */
	if (rc == RC_OK)
		t->has_lock = false;
	return rc;
}

/* The plugin's processor does what is in the inbox. */
static enum rc
process_in_php(struct tasks_turn *t, struct err *err)
{
	const struct php_tasks_opts o = {
		.timeout_ms = t->c->timeout_ms * t->c->batch + BOOT_MS,
		.tick = tasks_turn_tick,
		.give_up = tasks_turn_overdue,
		.arg = t,
	};
	struct php_executor_opts opts;
	enum rc rc;

	/* What asks too soon is looked at again: it may be the plugin's event,
	 * which has been taken off the list. */
	t->out->more = !tasks_turn_every(t, "process", PHP_EVERY_MS);
	if (t->out->more ||
	    work_php_enter(t->env, PLACE_MS, &opts, err) != RC_OK)
		return RC_OK;
	rc = php_tasks_process(&opts, &o, t->q.hook, err);
	work_php_leave(t->env);
	if (rc != RC_OK && tasks_turn_say(t, "tasks.process_failed", err->text))
		log_event(LOG_WARN, "tasks.process_failed",
		    LOG_S("site", t->env->site->name),
		    LOG_S("queue", t->c->name), LOG_S("error", err->text));
	return RC_OK;
}

static enum rc
leave_to_php(struct tasks_turn *t, const char *types, struct err *err)
{
	size_t n = 0;
	enum rc rc;

	t->inbox_is_phps = true;
	if (tasks_turn_say(t, "tasks.unmapped", types))
		log_event(LOG_WARN, "tasks.unmapped",
		    LOG_S("site", t->env->site->name),
		    LOG_S("queue", t->c->name), LOG_S("types", types));
	hold(t, PHP_EVERY_MS,
	    "the plugin's processor works it off, since types have no "
	    "handler: %.300s",
	    types);
	/* PHP shall see it, and what was taken while all had a handler. */
	rc = tasks_turn_announce(t, false, err);
	if (rc == RC_OK && !t->env->facts->object_cache)
		rc = give_back(t, &n, err);
	return rc == RC_OK ? process_in_php(t, err) : rc;
}

/* RC_NONE: the plugin's processor works it off, and nothing is left here. */
static enum rc
check_types(struct tasks_turn *t, struct err *err)
{
	struct arena a = ARENA_INIT(TYPES_BYTES);
	struct buf text = BUF_INIT((size_t)2 * ERR_TEXT_MAX);
	struct slice *types = NULL;
	size_t n = 0;
	enum rc rc =
	    tasks_types(t->env->db, &t->env->scope, &t->q, &a, &types, &n, err);

	if (rc == RC_OK)
		put_unmapped(t, types, n, &text);
	if (rc == RC_OK && text.n > 0) {
		rc = leave_to_php(t, buf_str(&text), err);
		/* What cannot be given back goes on as far as it can. */
		if (rc == RC_OK && !t->env->facts->object_cache)
			rc = RC_NONE;
	} else if (rc == RC_OK) {
		(void)tasks_turn_say(t, "tasks.unmapped", "");
	}
	buf_clear(&text);
	arena_clear(&a);
	return rc;
}

/* ---- the inbox ---------------------------------------------------------- */

static void
note_inbox(struct tasks_turn *t, const struct task_inbox *in)
{
	const struct log_field site = LOG_S("site", t->env->site->name);
	const struct log_field queue = LOG_S("queue", t->c->name);

	t->out->taken += in->taken;
	t->out->stale += in->stale;
	if (in->expired && in->n > 0)
		log_event(LOG_WARN, "tasks.expired_inbox", site, queue,
		    LOG_U("tasks", in->n),
		    LOG_S("done",
			t->q.discard_expired ? "discarded" : "processed"));
	if (in->again > 0)
		log_event(LOG_INFO, "tasks.stale", site, queue,
		    LOG_U("tasks", in->again),
		    LOG_S("done", t->q.run_stale ? "run" : "dropped"));
	if (in->unreadable)
		hold(t, HELD_WAIT_MS, "the transient %s: %s", t->c->queue,
		    in->why);
	if (tasks_turn_say(
		t, "tasks.unreadable", in->unreadable ? in->why : "") &&
	    in->unreadable)
		log_event(LOG_WARN, "tasks.unreadable", site, queue,
		    LOG_S("why", in->why));
}

/*
 * PHP has emptied the inbox: what was in it is here alone. Should the first try
 * have been committed, the next finds the list known.
 */
static enum rc
take_list(struct tasks_turn *t, const struct php_executor_opts *opts,
    struct slice value, struct task_inbox *in, struct err *err)
{
	struct err why = ERR_INIT;
	enum rc rc =
	    tasks_take_list(t->env->db, &t->env->scope, &t->q, value, in, err);

	for (int i = 0; i < TAKE_TRIES && rc == RC_RETRY; i++) {
		struct db *db = NULL;

		clock_sleep_ms(TAKE_WAIT_MS);
		rc = db_open(&t->env->site->db, &db, err);
		if (rc == RC_OK)
			rc = tasks_take_list(
			    db, &t->env->scope, &t->q, value, in, err);
		db_close(db);
	}
	if (rc != RC_OK && rc != RC_NONE &&
	    php_tasks_transient(opts, t->q.name, value, DAY_S, BOOT_MS, &why) !=
		RC_OK)
		log_event(LOG_ERR, "tasks.inbox_lost",
		    LOG_S("site", t->env->site->name),
		    LOG_S("queue", t->c->name), LOG_S("error", why.text));
	return rc;
}

/* Why PHP has not emptied the inbox. */
static enum rc
note_untaken(struct tasks_turn *t, const struct php_inbox *inbox, enum rc rc,
    struct err *err)
{
	struct buf text = BUF_INIT((size_t)2 * ERR_TEXT_MAX);
	struct slice types[NELEMS(inbox->types)];

	for (size_t i = 0; i < inbox->ntypes; i++)
		types[i] = slice_str(inbox->types[i]);
	put_unmapped(t, types, inbox->ntypes, &text);
	if (rc == RC_REJECT) {
		hold(t, HELD_WAIT_MS, "%s", err->text);
		rc = RC_OK;
	} else if (rc == RC_OK && inbox->locked) {
		hold(t, PHP_LOCK_WAIT_MS,
		    "the plugin's processor holds the lock %s", t->c->lock);
	} else if (rc == RC_OK && text.n > 0) {
		rc = leave_to_php(t, buf_str(&text), err);
	}
	buf_clear(&text);
	return rc;
}

/* Where the cache keeps it, and the companion does not hand it over. */
static enum rc
drain_in_php(struct tasks_turn *t, struct task_inbox *in, struct err *err)
{
	struct arena a = ARENA_INIT(TASKS_BATCH_BYTES);
	struct php_executor_opts opts;
	struct php_inbox inbox;
	enum rc rc = work_php_enter(t->env, PLACE_MS, &opts, err);

	if (rc != RC_OK)
		return rc;
	rc = php_tasks_inbox(&opts, t->q.name, t->q.lock, t->q.lock_ttl_s,
	    t->types, t->ntypes, BOOT_MS, &a, &inbox, err);
	if (rc == RC_OK && inbox.taken)
		rc = take_list(t, &opts, inbox.value, in, err);
	work_php_leave(t->env);
	if (!inbox.taken)
		rc = note_untaken(t, &inbox, rc, err);
	arena_clear(&a);
	return rc;
}

static enum rc
drain(struct tasks_turn *t, struct err *err)
{
	struct task_inbox in = { .present = false };
	const struct site_facts *f = t->env->facts;
	enum rc rc;

	if (f->object_cache && !f->companion)
		rc = drain_in_php(t, &in, err);
	else
		rc = tasks_drain(t->env->db, &t->env->scope, &t->q, &in, err);
	if (rc == RC_OK || rc == RC_NONE)
		note_inbox(t, &in);
	return rc == RC_NONE ? RC_OK : rc;
}

/* ---- the turn ----------------------------------------------------------- */

static void
choose_types(struct tasks_turn *t)
{
	for (size_t i = 0; i < t->c->nhandlers && t->ntypes < TASKS_TYPES_MAX;
	     i++)
		if (!tasks_unable(t, &t->c->handlers[i]))
			t->types[t->ntypes++] =
			    slice_str(t->c->handlers[i].type);
}

static enum rc
look_after(struct tasks_turn *t, struct err *err)
{
	const struct site_facts *f = t->env->facts;
	size_t rescued = 0;
	enum rc rc =
	    tasks_tend(t->env->db, &t->env->scope, &t->q, &rescued, err);

	if (rc == RC_OK && rescued > 0)
		log_event(LOG_WARN, "tasks.rescued",
		    LOG_S("site", t->env->site->name),
		    LOG_S("queue", t->c->name), LOG_U("tasks", rescued));
	if (rc == RC_OK && !f->object_cache) {
		rc = tasks_keep_inbox(t->env->db, &t->env->scope, &t->q, err);
		if (rc == RC_OK || rc == RC_NONE)
			rc = tasks_keep_event(t->env->db, &t->env->scope, &t->q,
			    f->companion, err);
	}
	return rc == RC_NONE ? RC_OK : rc;
}

/*
 * Where a cache keeps it, PHP is asked once a turn; beside the companion only
 * for what was put there by processes that did not know yet.
 */
static enum rc
drain_cache(struct tasks_turn *t, struct err *err)
{
	struct task_inbox in = { .present = false };
	const struct site_facts *f = t->env->facts;
	enum rc rc;

	if (!f->object_cache ||
	    (f->companion && !tasks_turn_every(t, "cache", CACHE_EVERY_MS)))
		return RC_OK;
	rc = drain_in_php(t, &in, err);
	if (rc == RC_OK || rc == RC_NONE)
		note_inbox(t, &in);
	/* PHP may be away, and what was taken before goes on. */
	if (rc == RC_RETRY && !db_is_lost(t->env->db)) {
		hold(t, HELD_WAIT_MS, "%s", err->text);
		rc = RC_OK;
	}
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc
work_off(struct tasks_turn *t, struct err *err)
{
	enum rc rc = t->inbox_is_phps ? RC_OK : drain_cache(t, err);

	while (rc == RC_OK && !tasks_turn_over(t)) {
		if (!t->inbox_is_phps)
			rc = drain(t, err);
		if (rc == RC_OK)
			rc = tasks_batch(t, err);
	}
	if (rc == RC_OK && !t->lost)
		t->out->more = true;
	if (rc == RC_AGAIN)
		t->out->wait_ms = HELD_WAIT_MS;
	return rc == RC_NONE || rc == RC_AGAIN ? RC_OK : rc;
}

static enum rc
run(struct tasks_turn *t, struct err *err)
{
	enum rc rc = look_after(t, err);

	if (rc == RC_OK && tasks_out_of_reach(t)) {
		t->inbox_is_phps = true;
		hold(t, HELD_WAIT_MS,
		    "an object cache keeps the inbox, and the plugin's "
		    "processor works it off; `wp-cronctl companion install`, "
		    "or accept_loss = yes in [tasks]");
		rc = process_in_php(t, err);
	} else if (rc == RC_OK) {
		rc = check_types(t, err);
	}
	if (rc == RC_OK && !t->env->facts->object_cache)
		rc = take_lock(t, err);
	if (rc == RC_OK)
		rc = tasks_turn_announce(t, !t->inbox_is_phps, err);
	if (rc == RC_OK)
		rc = work_off(t, err);
	return rc == RC_NONE ? RC_OK : rc;
}

static void
log_turn(const struct tasks_turn *t)
{
	const struct tasks_report *r = t->out;

	if (r->taken + r->done + r->failed + r->dead == 0)
		return;
	log_event(LOG_INFO, "tasks.run", LOG_S("site", t->env->site->name),
	    LOG_S("queue", t->c->name), LOG_U("taken", r->taken),
	    LOG_U("done", r->done), LOG_U("failed", r->failed),
	    LOG_U("dead", r->dead), LOG_U("stale", r->stale));
}

static void
begin_turn(struct tasks_turn *t, uint32_t budget_ms)
{
	const struct work_env *env = t->env;

	t->site = site_config(env->config, env->site);
	t->smtp = config_smtp(env->config, t->site);
	t->term_ms = PLACE_MS + t->c->timeout_ms + MARGIN_MS;
	t->until = clock_mono(env->clock) + (mono_ms)budget_ms;
	t->renew_at = clock_mono(env->clock) + RENEW_AGAIN_MS;
	tasks_queue_of(env->blog_id, t->c, &t->q);
	choose_types(t);
}

enum rc
tasks_run(const struct work_env *env, const struct config_tasks *c,
    uint32_t budget_ms, struct tasks_report *out, struct err *err)
{
	struct tasks_turn t = { .env = env, .c = c, .out = out };
	const char *why;
	enum rc rc;

	*out = (struct tasks_report){ .wait_ms = 0 };
	begin_turn(&t, budget_ms);
	why = tasks_why_held(&t);
	if (why) {
		hold(&t, HELD_WAIT_MS, "%s", why);
		/* What nobody works off the plugin shall see. */
		return tasks_turn_announce(&t, false, err);
	}
	rc = take_lease(&t, err);
	if (rc == RC_OK)
		rc = run(&t, err);
	let_go(&t);
	log_turn(&t);
	return rc;
}

/* No rows are read of what a cache keeps. */
static enum rc
check_nothing_waits(const struct tasks_turn *t, struct err *err)
{
	struct task_counts n;
	enum rc rc = tasks_count(t->env->db, &t->env->scope, &t->q, &n, err);

	if (rc == RC_OK && n.ready + n.delayed + n.running > 0)
		rc = err_set(err, RC_REJECT,
		    "an object cache keeps the inbox of %s, where no rows are "
		    "read: the %" PRIu64 " tasks that were taken stay here",
		    t->c->queue, n.ready + n.delayed + n.running);
	return rc;
}

static enum rc
give_all_back(struct tasks_turn *t, size_t *n, struct err *err)
{
	const struct work_env *env = t->env;
	enum rc rc;

	if (env->facts->object_cache)
		return check_nothing_waits(t, err);
	rc = give_back(t, n, err);
	if (rc != RC_OK)
		return rc;
	rc = tasks_restore_event(
	    env->db, &env->scope, &t->q, env->facts->companion, err);
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc
tasks_hand_back_run(const struct work_env *env, const struct config_tasks *c,
    size_t *n, struct err *err)
{
	struct tasks_report report = { .wait_ms = 0 };
	struct tasks_turn t = { .env = env, .c = c, .out = &report };
	enum rc rc;

	*n = 0;
	begin_turn(&t, 0);
	rc = take_lease(&t, err);
	if (rc == RC_OK)
		rc = tasks_turn_announce(&t, false, err);
	if (rc == RC_OK)
		rc = give_all_back(&t, n, err);
	let_go(&t);
	return rc;
}
