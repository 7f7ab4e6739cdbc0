/*
 * The claimer of one database: looks for due work of its sites, claims it for
 * workers that are free, says that this node lives, and takes back what dead
 * nodes left. It decides under the lock and talks to the database without it.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "engine/claim.h"
#include "engine/engine_internal.h"
#include "engine/network.h"
#include "engine/site_prepare.h"
#include "engine/site_tend.h"

#define CONNECT_RETRY_MIN_MS 100
#define CONNECT_RETRY_MAX_MS 10000
/* A kick is served once a second, whatever the clock's own interval. */
#define KICK_INTERVAL_MS 1000
/* Looks are made on full seconds, when events become due. One that was late
 * does not make the next one miss its second: over time they are one a second
 * all the same. */
#define SECOND_MS 1000
#define EARLY_MS 500

static void
health_error_locked(struct site_run *s, const struct err *err)
{
	s->health.database_ok = false;
	(void)snprintf(
	    s->health.last_error, sizeof s->health.last_error, "%s", err->text);
}

/* ---- connection -------------------------------------------------------- */

static void
connection_lost(struct database *d, const struct err *err)
{
	struct engine *e = d->engine;
	mono_ms wait = CONNECT_RETRY_MIN_MS;
	struct blog_iter it = { 0 };
	struct site_run *s;

	for (unsigned i = 0; i < d->failures && wait < CONNECT_RETRY_MAX_MS;
	     i++)
		wait *= 2;
	if (d->failures++ == 0)
		log_event(LOG_ERR, "database.away",
		    LOG_S("name", d->params->name), LOG_S("why", err->text));
	d->retry_at = clock_mono(e->clock) + wait;
	db_close(d->db);
	d->db = NULL;
	pthread_mutex_lock(&e->lock);
	while ((s = engine_next_blog(e, d, &it)))
		health_error_locked(s, err);
	engine_progress_locked(e);
	pthread_mutex_unlock(&e->lock);
}

static bool
connected(struct database *d)
{
	struct err err = ERR_INIT;

	if (d->db && !db_is_lost(d->db))
		return true;
	if (clock_mono(d->engine->clock) < d->retry_at)
		return false;
	db_close(d->db);
	d->db = NULL;
	if (db_open(d->params, &d->db, &err) != RC_OK) {
		connection_lost(d, &err);
		return false;
	}
	if (d->failures > 0)
		log_event(
		    LOG_INFO, "database.back", LOG_S("name", d->params->name));
	d->failures = 0;
	return true;
}

/* An error while talking to a site's tables. */
static void
site_failed(
    struct site_run *s, enum rc rc, const struct err *err, const char *doing)
{
	struct engine *e = s->engine;
	bool said;

	/* A table or column may have changed under us: look again. */
	if (rc == RC_REJECT)
		s->prepared = s->network->prepared = false;
	pthread_mutex_lock(&e->lock);
	said = strcmp(s->health.last_error, err->text) == 0;
	health_error_locked(s, err);
	engine_progress_locked(e);
	pthread_mutex_unlock(&e->lock);
	/* Once, until it passes: it is met every second. */
	if (!said)
		log_event(LOG_WARN, "site.error", LOG_S("site", s->site->name),
		    LOG_S("doing", doing), LOG_S("rc", rc_name(rc)),
		    LOG_S("why", err->text));
	if (s->database->db && db_is_lost(s->database->db))
		connection_lost(s->database, err);
}

/* ---- looking ----------------------------------------------------------- */

static void
look_done(struct site_run *s, uint64_t look, bool drained, bool backlog,
    int64_t next_due)
{
	struct engine *e = s->engine;
	mono_ms again = limits_next(&s->limits, e->clock);

	pthread_mutex_lock(&e->lock);
	s->again_at = again;
	if (drained && !s->asking.under_way)
		s->drained_look = look;
	/* A worker may have set it while we looked. */
	s->backlog = s->backlog || backlog;
	s->health.database_ok = true;
	s->health.ready = true;
	s->health.standing_ok = s->standing == SITE_ORIGINAL;
	s->health.next_due = next_due;
	s->health.last_error[0] = '\0';
	engine_progress_locked(e);
	pthread_mutex_unlock(&e->lock);
}

static void
limits_after(struct site_run *s, struct config *c)
{
	struct sql_scope scope;
	struct limits_scope ls;

	if (s->limits.n == 0)
		return;
	actions_scope(s->actions, &scope);
	ls = (struct limits_scope){
		.db = s->database->db,
		.scope = &scope,
		.blog_id = s->blog_id,
		.node_id = s->network->node_id,
		.ttl_ms = c->daemon.node_expiry_ms,
		.clock = s->engine->clock,
	};
	limits_tend(&s->limits, &ls);
}

/* Are the queue's tables there, and its work ours to do? */
static bool
serves(struct site_run *s, const struct config *c, enum job_kind kind)
{
	const struct config_site *site = site_config(c, s->site);
	const struct engine *e = s->engine;
	struct actions_export export;
	const char *replaced;

	if (e->queues && !(e->queues & (1u << kind)))
		return false;
	if (e->only_id > 0 && e->only_kind != kind)
		return false;
	if (kind == JOB_ACTION) {
		actions_get_export(s->actions, &export);
		return s->has_actions && !export.foreign_store &&
		       !site->observe;
	}
	replaced = cron_events_replaced_by(s->events);
	if (replaced && !s->replaced_said)
		log_event(LOG_ERR, "queue.off", LOG_S("site", s->site->name),
		    LOG_U("blog", s->blog_id), LOG_S("queue", "cron"),
		    LOG_S("store", replaced),
		    LOG_S("why", "the site keeps its cron events elsewhere"));
	s->replaced_said = replaced != NULL;
	return site->cron && !replaced;
}

/* What looking at all queues came to. */
struct looked {
	int64_t due; /* the earliest; INT64_MAX: nothing */
	bool more;
	bool any; /* something was claimed for, so `starved` is set */
};

static enum rc
look_at_queue(struct site_run *s, struct config *c, enum job_kind kind,
    struct looked *l, struct err *err)
{
	struct engine *e = s->engine;
	struct queue *q = s->queues[kind];
	int64_t due = INT64_MAX;
	struct claimed claimed = { .jobs = 0 };
	enum rc rc = RC_OK;

	if (e->only_id == 0)
		rc = q->ops->next_due(q, s->database->db, &due, err);
	if (rc == RC_OK && due < l->due)
		l->due = due;
	if (rc == RC_OK && (due <= clock_unix(e->clock) || e->only_id > 0)) {
		rc = site_claim(s, q, c, &claimed, err);
		l->any = true;
	}
	l->more = l->more || claimed.more;
	return rc == RC_NONE ? RC_OK : rc;
}

/* WordPress is being updated: PHP's work waits until it is done. */
static void
watch_maintenance(struct site_run *s)
{
	bool on = site_in_maintenance(s->site, clock_unix(s->engine->clock));

	if (on == s->maintenance)
		return;
	s->maintenance = on;
	actions_rewind(s->actions);
	cron_events_rewind(s->events);
	log_event(LOG_INFO, on ? "maintenance.on" : "maintenance.off",
	    LOG_S("site", s->site->name), LOG_U("blog", s->blog_id));
}

/* False: the database did not answer. */
static bool
look(struct site_run *s, struct config *c, uint64_t number)
{
	struct looked l = { .due = INT64_MAX };
	struct err err = ERR_INIT;
	enum rc rc = RC_OK;

	watch_maintenance(s);
	/* Before next_due(), which passes over what the cursor has passed. */
	if (limits_reopen(&s->limits, s->engine->clock)) {
		actions_peek(s->actions);
		cron_events_rewind(s->events);
	}
	/* By turns, so that no queue has the workers for itself. */
	s->first_queue = (s->first_queue + 1) % QUEUE_COUNT;
	for (size_t i = 0; i < QUEUE_COUNT && rc == RC_OK; i++) {
		size_t kind = (s->first_queue + i) % QUEUE_COUNT;

		if (serves(s, c, (enum job_kind)kind))
			rc = look_at_queue(s, c, (enum job_kind)kind, &l, &err);
	}
	if (!l.any)
		memset(s->starved, 0, sizeof s->starved);
	if (rc != RC_OK) {
		site_failed(s, rc, &err, "claim");
		return false;
	}
	limits_after(s, c);
	look_done(s, number, !l.more, l.more, l.due);
	return true;
}

/* The next full second from a time on, so that what is due then is seen then;
 * a little early rather than a second late. */
static mono_ms
on_the_second(const struct engine *e, mono_ms at)
{
	int64_t wall_ms =
	    clock_wall(e->clock) / 1000 + at - clock_mono(e->clock) - EARLY_MS;
	int64_t past = wall_ms % SECOND_MS;

	return at - EARLY_MS + (past > 0 ? SECOND_MS - past : 0) + 1;
}

static mono_ms
look_at_locked(const struct site_run *s, mono_ms now)
{
	const struct engine *e = s->engine;
	mono_ms interval = e->config->daemon.look_interval_ms, at;

	if (s->backlog && s->room_seen != e->room_epoch)
		return now;
	if ((s->kicked || s->wanted) && interval > KICK_INTERVAL_MS)
		interval = KICK_INTERVAL_MS;
	if (network_is_scanned(s->network))
		return s->wanted && s->looked_at + interval < s->again_at
			   ? s->looked_at + interval
			   : s->again_at;
	at = s->looked_at + interval;
	if (interval == SECOND_MS && !s->kicked)
		at = on_the_second(e, at);
	return s->again_at < at ? s->again_at : at;
}

static mono_ms
scan_at_locked(const struct network *n)
{
	mono_ms interval = n->engine->config->daemon.look_interval_ms;

	if (n->kicked && interval > KICK_INTERVAL_MS)
		interval = KICK_INTERVAL_MS;
	if (interval == SECOND_MS && !n->kicked)
		return on_the_second(n->engine, n->scanned_at + interval);
	return n->scanned_at + interval;
}

/* What is due on a database: a network's turn, or a blog's. */
struct turn {
	struct network *network;
	struct site_run *blog; /* NULL: the network's */
	mono_ms last;          /* when it had its last one */
};

static void
offer(struct turn *best, const struct turn *t, mono_ms at, mono_ms now,
    mono_ms *until)
{
	if (at < *until)
		*until = at;
	/* Whose last turn is longest ago goes first. */
	if (at <= now && (!best->network || t->last < best->last))
		*best = *t;
}

static mono_ms
blog_turn_at_locked(const struct site_run *s, mono_ms now)
{
	mono_ms at = look_at_locked(s, now);

	if (s->tend_at < at)
		at = s->tend_at;
	if (s->rescue_now && s->prepared)
		return now;
	if (network_is_scanned(s->network) || !s->prepared)
		return at;
	return s->rescue_at < at ? s->rescue_at : at;
}

/* The turn that is next; none and *until: not yet. */
static struct turn
next_turn_locked(struct database *d, mono_ms now, mono_ms *until)
{
	struct engine *e = d->engine;
	struct turn best = { .network = NULL };

	for (size_t i = 0; i < e->nnetworks; i++) {
		struct network *n = &e->networks[i];
		mono_ms at;

		if (n->database != d)
			continue;
		at = network_turn_at(n);
		if (n->prepared && network_is_scanned(n) &&
		    scan_at_locked(n) < at)
			at = scan_at_locked(n);
		if (at < n->retry_at)
			at = n->retry_at;
		offer(&best,
		    &(struct turn){ .network = n, .last = n->turned_at }, at,
		    now, until);
		for (size_t k = 0; k < n->nblogs && n->prepared && d->db; k++) {
			struct site_run *s = n->blogs[k];

			if (s->prepared && !s->gone && e->claiming) {
				at = contact_pool_tend_locked(
				    e->contacts, s, now);
				*until = at < *until ? at : *until;
			}
			if (!s->gone || s->held)
				offer(&best,
				    &(struct turn){ n, s, s->turned_at },
				    blog_turn_at_locked(s, now), now, until);
		}
	}
	return best;
}

/* A network's turn: the node, and which blogs have something due. */
static bool
run_network_turn(struct network *n, struct config *c, mono_ms now, bool scan)
{
	struct err err = ERR_INIT;
	enum rc rc;

	if (!connected(n->database)) {
		n->retry_at = n->database->retry_at;
		return false;
	}
	rc = network_turn(n, c, now, &err);
	if (rc == RC_OK && n->prepared && scan)
		rc = network_scan(n, &err);
	/* One blog a turn: what is looked for rarely. */
	if (rc == RC_OK && n->prepared && n->nblogs > 0) {
		struct site_run *s = n->blogs[n->chore++ % n->nblogs];

		if (s->prepared && !s->gone && now >= s->missed_at)
			rc = site_missed_posts(s, c, now, &err);
		if (rc == RC_OK && scan && s->prepared && !s->gone)
			rc = chores_look(s, c, &err);
		if (rc == RC_OK && scan && s != n->blogs[0] &&
		    n->blogs[0]->prepared)
			rc = chores_look(n->blogs[0], c, &err);
		if (rc == RC_OK && s->prepared && !s->gone &&
		    now >= s->rescue_at)
			s->rescue_now = true;
	}
	if (rc == RC_OK || rc == RC_NONE)
		return rc == RC_OK;
	n->retry_at = now + SECOND_MS;
	site_failed(n->blogs[0], rc, &err, "prepare");
	return false;
}

/* A look if it has a number; false when none could be made. */
static bool
run_blog_turn(struct site_run *s, struct config *c, uint64_t number)
{
	mono_ms now = clock_mono(s->engine->clock);
	struct err err = ERR_INIT;
	bool tend;
	enum rc rc = RC_OK;

	if (!connected(s->database))
		return false;
	if (!s->prepared)
		rc = site_prepare(s, c, &err);
	if (rc == RC_NONE)
		return false; /* too soon: whoever waits goes on */
	if (rc == RC_OK && now >= s->facts_at)
		rc = site_refresh(s, c, &err);
	if (rc == RC_OK && !s->has_actions && now >= s->probe_at)
		rc = site_probe(s, &err);
	if (rc == RC_OK && (now >= s->rescue_at || s->rescue_now))
		rc = site_rescue(s, c, now, &err);
	if (rc != RC_OK) {
		site_failed(s, rc, &err, "prepare");
		return false;
	}
	if (number > 0 && !look(s, c, number))
		return false;
	if (number > 0)
		rc = chores_look(s, c, &err);
	if (rc != RC_OK) {
		site_failed(s, rc, &err, "look");
		return false;
	}
	pthread_mutex_lock(&s->engine->lock);
	tend = now >= s->tend_at;
	pthread_mutex_unlock(&s->engine->lock);
	if (tend)
		rc = site_tend_events(s, now, &err);
	if (rc != RC_OK)
		site_failed(s, rc, &err, "tend");
	return true;
}

/* Begin a turn; the number of its look, 0 for none. */
static uint64_t
blog_turn_begin_locked(struct site_run *s, mono_ms now)
{
	bool look = look_at_locked(s, now) <= now;

	s->turned_at = now;
	if (!look)
		return 0;
	s->looking = true;
	s->kicked = s->wanted = false;
	s->looked_at = now;
	s->again_at = INT64_MAX;
	s->backlog = false;
	s->room_seen = s->engine->room_epoch;
	return ++s->looks_begun;
}

static void
blog_turn_locked(struct site_run *s, mono_ms now)
{
	struct engine *e = s->engine;
	uint64_t number = blog_turn_begin_locked(s, now);
	struct config *c = config_ref(e->config);
	bool done;

	pthread_mutex_unlock(&e->lock);
	done = run_blog_turn(s, c, number);
	config_unref(c);
	pthread_mutex_lock(&e->lock);
	s->looking = false;
	if (number == 0 || done)
		return;
	/* What was asked for is kept until it can be answered. */
	s->kicked = true;
	s->again_at = now + SECOND_MS;
}

static void
network_turn_locked(struct network *n, mono_ms now)
{
	struct engine *e = n->engine;
	bool scan = network_is_scanned(n) && scan_at_locked(n) <= now;
	struct config *c = config_ref(e->config);
	bool kicked = n->kicked, done;

	n->turned_at = now;
	if (scan) {
		n->scanned_at = now;
		n->kicked = false;
	}
	pthread_mutex_unlock(&e->lock);
	done = run_network_turn(n, c, now, scan);
	config_unref(c);
	pthread_mutex_lock(&e->lock);
	if (scan && !done)
		n->kicked = n->kicked || kicked;
}

static void
leave(struct database *d)
{
	struct engine *e = d->engine;

	for (size_t i = 0; i < e->nnetworks; i++)
		if (e->networks[i].database == d &&
		    e->networks[i].node_id != 0 && connected(d))
			network_leave(&e->networks[i]);
}

void *
claimer_main(void *arg)
{
	struct database *d = arg;
	struct engine *e = d->engine;

	db_thread_begin();
	pthread_mutex_lock(&e->lock);
	/* It outlives the workers: their rows are kept alive until the end. */
	while (!e->leaving) {
		mono_ms now = clock_mono(e->clock), until = now + 1000;
		struct turn t = next_turn_locked(d, now, &until);
		struct timespec ts;

		if (t.blog) {
			blog_turn_locked(t.blog, now);
		} else if (t.network) {
			network_turn_locked(t.network, now);
		} else {
			clock_deadline(&ts, until > now ? until - now : 1);
			pthread_cond_timedwait(
			    &e->wake_claimers, &e->lock, &ts);
		}
	}
	pthread_mutex_unlock(&e->lock);
	leave(d);
	db_close(d->db);
	d->db = NULL;
	db_thread_end();
	return NULL;
}
