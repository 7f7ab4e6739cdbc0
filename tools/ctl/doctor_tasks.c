/* doctor: queues of tasks in transients, and mails WooCommerce left behind. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "doctor.h"
#include "events.h"
#include "queues/legacy_mails.h"
#include "tasks.h"

#define LATE_S 600
#define ARENA_MAX ((size_t)512 << 20)

/* ---- one queue ---------------------------------------------------------- */

static void
find_lock(struct doctor *d, const struct queue_view *v)
{
	struct queue_lock l;
	struct err err = ERR_INIT;

	if (queue_lock_look(&d->place, v, &l, &err) != RC_OK)
		doctor_find(d, FINDING_ERROR, "tasks", NULL, "%s", err.text);
	else if (l.there && l.left_s == INT64_MIN)
		doctor_find(d, FINDING_WARN, "tasks", NULL,
		    "%s: the lock %.*s is an orphan: nothing says when it "
		    "ends; the daemon takes it over",
		    v->config->name, SLICE_FMT(v->queue.lock));
	else if (l.there && l.orphan)
		doctor_find(d, FINDING_WARN, "tasks", NULL,
		    "%s: the lock %.*s is %" PRId64 " s old, older than it may "
		    "get: who took it died; the daemon takes it over",
		    v->config->name, SLICE_FMT(v->queue.lock), l.age_s);
}

static bool
is_mapped(const struct config_tasks *c, struct slice type)
{
	for (size_t i = 0; i < c->nhandlers; i++)
		if (slice_eq_str(type, c->handlers[i].type))
			return true;
	return false;
}

static void
find_types(struct doctor *d, const struct queue_view *v)
{
	struct arena a = ARENA_INIT(ARENA_MAX);
	struct place *p = &d->place;
	struct slice *types = NULL;
	struct err err = ERR_INIT;
	size_t n = 0;

	if (tasks_types(p->db, &p->scope, &v->queue, &a, &types, &n, &err) !=
	    RC_OK) {
		doctor_find(d, FINDING_ERROR, "tasks", NULL, "%s: %s",
		    v->config->name, err.text);
		n = 0;
	}
	for (size_t i = 0; i < n; i++)
		if (!is_mapped(v->config, types[i]))
			doctor_find(d, FINDING_WARN, "tasks",
			    "a line `handler TYPE = ...` in its section",
			    "%s: no handler for tasks of type %.*s: the queue "
			    "is not drained, PHP runs its hook as a whole",
			    v->config->name, SLICE_FMT(types[i]));
	arena_clear(&a);
}

static void
find_inbox(struct doctor *d, const struct queue_view *v)
{
	struct place *p = &d->place;
	struct task_inbox inbox = { .n = 0 };
	struct err err = ERR_INIT;

	if (p->facts.object_cache && !p->facts.companion) {
		if (!v->config->accept_loss)
			doctor_find(d, FINDING_ERROR, "tasks",
			    "`wp-cronctl companion install`, or accept_loss = "
			    "yes",
			    "%s: it is in an object cache, and the companion "
			    "plugin is not there: the queue is left to PHP",
			    v->config->name);
		else
			doctor_find(d, FINDING_WARN, "tasks",
			    "wp-cronctl companion install",
			    "%s: accept_loss = yes: what is appended while it "
			    "is emptied is lost",
			    v->config->name);
		return;
	}
	if (tasks_inbox(p->db, &p->scope, &v->queue, &inbox, &err) != RC_OK)
		doctor_find(d, FINDING_ERROR, "tasks", NULL, "%s: %s",
		    v->config->name, err.text);
	else if (inbox.unreadable)
		doctor_find(d, FINDING_ERROR, "tasks",
		    "look at the transient; it is left untouched",
		    "%s: what is in %.*s is no list of tasks", v->config->name,
		    SLICE_FMT(v->queue.name));
	else if (inbox.expired && inbox.n > 0)
		doctor_find(d, FINDING_WARN, "tasks", NULL,
		    "%s: %zu tasks are in a transient that has expired; for "
		    "PHP they are gone, here they are %s",
		    v->config->name, inbox.n,
		    v->queue.discard_expired ? "thrown away" : "run");
}

static void
find_work(struct doctor *d, const struct queue_view *v)
{
	int64_t now = clock_unix(&clock_system), next = INT64_MAX;
	struct place *p = &d->place;
	struct task_counts n = { .ready = 0 };
	struct err err = ERR_INIT;
	enum rc rc = tasks_count(p->db, &p->scope, &v->queue, &n, &err);

	if (rc == RC_OK)
		rc = queue_next_event(p, v, &next, &err);
	if (rc != RC_OK) {
		doctor_find(d, FINDING_ERROR, "tasks", NULL, "%s: %s",
		    v->config->name, err.text);
		return;
	}
	doctor_find(d, FINDING_OK, "tasks", NULL,
	    "%s: %" PRIu64 " ready, %" PRIu64 " delayed, %" PRIu64
	    " running, %" PRIu64 " done today",
	    v->config->name, n.ready, n.delayed, n.running, n.done_day);
	if (next < now - LATE_S)
		doctor_find(d, FINDING_WARN, "tasks",
		    "is the daemon up, and does it serve this site?",
		    "%s: its cron event %.*s is %" PRId64 " minutes late",
		    v->config->name, SLICE_FMT(v->queue.hook),
		    (now - next) / 60);
	if (n.stale > 0)
		doctor_find(d, FINDING_INFO, "tasks",
		    "`wp-cronctl companion install` ends that",
		    "%s: %" PRIu64 " tasks were put back by PHP after they had "
		    "been taken, and not run twice",
		    v->config->name, n.stale);
}

/* Appenders hand their tasks over to a plugin that is not there any more. */
static void
find_announced(struct doctor *d)
{
	struct place *p = &d->place;
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;
	struct queue_view v;
	bool queue = queue_view_at(d->c, p, 0, &v);

	if (db_select(p->db, &p->scope, SQL_TASKS_CTL_TRANSIENT,
		SQL_ARGS(V_STR(TASKS_ANNOUNCED), V_STR("")), &rows,
		&err) != RC_OK)
		doctor_find(d, FINDING_ERROR, "tasks", NULL, "%s", err.text);
	else if (db_rows_next(rows) && !db_is_null(rows, 0) && !queue)
		doctor_find(d, FINDING_WARN, "tasks",
		    "start the daemon once, or delete the option",
		    "the option " TASKS_ANNOUNCED " still hands tasks over, "
		    "and no [tasks %s/NAME] takes them",
		    d->site->name);
	db_rows_free(rows);
}

void
doctor_tasks(struct doctor *d)
{
	struct queue_view v;

	if (!d->place.own)
		return;
	for (size_t i = 0; queue_view_at(d->c, &d->place, i, &v); i++) {
		find_work(d, &v);
		find_lock(d, &v);
		find_types(d, &v);
		find_inbox(d, &v);
	}
	find_announced(d);
}

/* ---- WooCommerce -------------------------------------------------------- */

static void
find_batches(struct doctor *d)
{
	struct arena a = ARENA_INIT(ARENA_MAX);
	struct place *p = &d->place;
	struct legacy_batch *b = NULL;
	struct err err = ERR_INIT, why = ERR_INIT;
	size_t n = 0, mails = 0;
	bool idle = legacy_mails_ready(p->db, &p->scope, &why) == RC_OK;

	if (legacy_mails_read(p->db, &p->scope, p->blog_id, p->site->multisite,
		&a, &b, &n, &err) != RC_OK)
		doctor_find(
		    d, FINDING_ERROR, "woocommerce", NULL, "%s", err.text);
	for (size_t i = 0; i < n; i++)
		mails += b[i].n;
	if (n > 0 && idle)
		doctor_find(d, FINDING_WARN, "woocommerce",
		    "`wp-cronctl mails legacy list` shows them, `drain` queues "
		    "the newer ones",
		    "%zu mails in %zu batches of WooCommerce before 10.8, "
		    "which "
		    "nothing sends any more",
		    mails, n);
	else if (n > 0)
		doctor_find(d, FINDING_INFO, "woocommerce", NULL,
		    "%zu deferred mails in %zu batches: %s", mails, n,
		    why.text);
	arena_clear(&a);
}

static bool
is_legacy_hook(struct slice hook)
{
	return slice_glob(hook, SLICE_LIT("wp_*_wc_emailer_cron")) ||
	       slice_eq_str(
		   hook, "woocommerce_send_queued_transactional_email");
}

static void
find_old_events(struct doctor *d)
{
	struct err err = ERR_INIT;
	struct events e;
	enum rc rc = events_load(&d->place, &e, &err);

	for (size_t i = 0; rc == RC_OK && i < e.n; i++)
		if (is_legacy_hook(e.items[i].hook))
			doctor_find(d, FINDING_INFO, "woocommerce",
			    "`wp-cronctl event unschedule HOOK` if it is not "
			    "wanted",
			    "a cron event %.*s of an old WooCommerce is "
			    "scheduled",
			    SLICE_FMT(e.items[i].hook));
	events_clear(&e);
}

void
doctor_legacy_mails(struct doctor *d)
{
	find_batches(d);
	find_old_events(d);
}
