/*
 * Workers run jobs: they mark them started, hand them to an executor, and
 * settle what ended in small batches. A worker is bound to one site while it
 * holds jobs, so that its database connection and its php-fpm are that site's.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "engine/ask.h"
#include "engine/worker.h"
#include "executors/php.h"

#define SETTLE_AFTER_MS 50
#define SETTLE_MAX 500
#define POLL_MS 20
#define DB_IDLE_MS 30000
#define DB_RETRY_MS 500
#define SETTLE_RETRY_MIN_MS 100
#define SETTLE_RETRY_MAX_MS 3000
#define BACKOFF_CHECK_MS 100

/* ---- the site a worker serves ------------------------------------------ */

static void
executors_free(struct worker *w)
{
	for (size_t k = 0; k < EXECUTOR_NKINDS; k++) {
		if (w->executors[k])
			w->executors[k]->ops->free(w->executors[k]);
		w->executors[k] = NULL;
	}
}

static void
connection_drop(struct worker *w)
{
	if (!w->db)
		return;
	db_close(w->db);
	w->db = NULL;
	atomic_fetch_sub(&w->db_site->database->connections, 1);
}

static void
connection_close(struct worker *w)
{
	connection_drop(w);
	w->db_site = NULL;
}

/* Somebody else may wait for this one: an idle worker does not keep it. */
static bool
connections_are_short(const struct worker *w)
{
	return atomic_load(&w->db_site->database->connections) + 1 >=
	       w->config->daemon.db_connections;
}

/* One more connection than the claimer's and the other workers', if it may be;
 * a worker without one waits its turn. */
static enum rc
connection_open(struct worker *w, struct err *err)
{
	struct database *d = w->bound->database;
	uint32_t others = atomic_fetch_add(&d->connections, 1) + 1;
	enum rc rc = RC_RETRY;

	if (others == 1 || others < w->config->daemon.db_connections)
		rc = db_open(d->params, &w->db, err);
	else
		rc = err_set(err, rc, "all db_connections are in use");
	if (rc != RC_OK) {
		w->db = NULL;
		atomic_fetch_sub(&d->connections, 1);
	}
	return rc;
}

static size_t
running(const struct worker *w)
{
	size_t n = 0;

	for (size_t k = 0; k < EXECUTOR_NKINDS; k++)
		if (w->executors[k])
			n += w->executors[k]->ops->running(w->executors[k]);
	return n;
}

static bool
php_busy(const struct worker *w)
{
	struct php_executor_state state = { .busy = false };

	if (w->executors[EXECUTOR_PHP])
		php_executor_state(w->executors[EXECUTOR_PHP], &state);
	return state.busy;
}

/*
 * Bind to a site; the facts that executors are told are copied here. They are
 * made anew for another site, and for another configuration when nothing runs.
 */
static void
bind_site(struct worker *w, struct site_run *s)
{
	struct engine *e = w->engine;
	bool idle = running(w) == 0 && !php_busy(w), anew;
	struct config *old = NULL;

	if (w->db && w->db_site->database != s->database)
		connection_close(w);
	w->db_site = s;
	pthread_mutex_lock(&e->lock);
	anew = w->bound != s || (idle && w->config != e->config);
	if (anew) {
		old = w->config;
		w->config = config_ref(e->config);
	}
	memcpy(w->home, s->told_home, sizeof w->home);
	memcpy(w->siteurl, s->told_siteurl, sizeof w->siteurl);
	memcpy(w->identity, s->told_identity, sizeof w->identity);
	pthread_mutex_unlock(&e->lock);
	if (anew)
		executors_free(w);
	config_unref(old);
	w->bound = s;
	w->told = (struct webhook_site){ w->home, w->identity };
}

bool
worker_connection_ready(struct worker *w)
{
	mono_ms now = clock_mono(w->engine->clock);
	struct err err = ERR_INIT;

	if (w->db && db_is_lost(w->db))
		connection_drop(w);
	if (!w->db && now >= w->db_retry_at &&
	    connection_open(w, &err) != RC_OK) {
		w->db_retry_at = now + DB_RETRY_MS;
		log_event(LOG_DEBUG, "worker.no_database",
		    LOG_U("worker", w->index), LOG_S("why", err.text));
	}
	if (w->db)
		w->db_used_at = now;
	return w->db != NULL;
}

struct executor *
worker_executor(struct worker *w, enum executor_kind kind)
{
	struct err err = ERR_INIT;

	if (!w->executors[kind]) {
		w->executors[kind] = engine_executor(w, w->bound, kind, &err);
		if (!w->executors[kind])
			log_event(LOG_ERR, "executor.off",
			    LOG_S("site", w->bound->site->name),
			    LOG_S("executor", executor_name(kind)),
			    LOG_S("why", err.text));
	}
	return w->executors[kind];
}

/* ---- outcomes ---------------------------------------------------------- */

static void
on_outcome(void *arg, const struct outcome *o)
{
	struct worker *w = arg;

	if (w->nended == w->ended_cap) {
		w->ended_cap = w->ended_cap ? w->ended_cap * 2 : 64;
		w->ended = xrealloc(w->ended, w->ended_cap, sizeof *w->ended);
	}
	if (w->nended == 0)
		w->oldest_end = clock_mono(w->engine->clock);
	w->ended[w->nended++] = *o;
}

void
worker_end_job(
    struct worker *w, struct job *j, enum outcome_kind kind, const char *why)
{
	struct outcome o = {
		.job = j, .kind = kind, .ended_at = clock_wall(w->engine->clock)
	};

	(void)snprintf(o.message, sizeof o.message, "%s", why);
	on_outcome(w, &o);
}

static void
log_outcome(const struct worker *w, const struct outcome *o)
{
	const struct job *j = o->job;
	bool good = o->kind == OUTCOME_DONE || o->kind == OUTCOME_SETTLED ||
		    o->kind == OUTCOME_RELEASED;

	if (!log_enabled(o->kind == OUTCOME_RELEASED ? LOG_DEBUG : LOG_INFO))
		return;
	log_event(good ? LOG_INFO : LOG_WARN,
	    good ? "job.done" : "job.not_done",
	    LOG_S("queue", j->claim->queue->ops->name), LOG_U("job", j->id),
	    LOG_S("site", w->bound->site->name),
	    LOG_U("blog", w->bound->blog_id), LOG_SLICE("hook", j->hook),
	    LOG_S("executor", executor_name(j->route->kind)),
	    LOG_S("outcome", outcome_name(o->kind)), LOG_U("try", j->try),
	    LOG_I(
		"ms", j->started_at ? (o->ended_at - j->started_at) / 1000 : 0),
	    LOG_S("why", o->message));
}

static void
count_locked(struct engine_counts *c, const struct outcome *o)
{
	bool php = executor_lane(o->job->route->kind) == LANE_PHP;

	switch (o->kind) {
	case OUTCOME_DONE:
	case OUTCOME_SETTLED:
		c->done++;
		*(php ? &c->done_php : &c->done_native) += 1;
		break;
	case OUTCOME_RETRY:
		c->retried++;
		break;
	case OUTCOME_FAILED:
	case OUTCOME_DIED:
		c->failed++;
		break;
	case OUTCOME_RELEASED:
	case OUTCOME_LOST:
		c->released++;
		break;
	}
}

/* Take a finished claim out of its site's list. */
static struct held *
unlink_locked(struct site_run *s, const struct claim *claim)
{
	struct held **at = &s->held;
	struct held *h;

	while (*at && (*at)->claim != claim)
		at = &(*at)->next;
	h = *at;
	if (h)
		*at = h->next;
	return h;
}

void
engine_held_free(struct held *h)
{
	config_unref(h->config);
	arena_clear(&h->claim->arena);
	free(h->claim);
	free(h);
}

/* How long it took teaches how its hook is claimed. */
static void
note_pace_locked(struct site_run *s, const struct outcome *o)
{
	const struct job *j = o->job;

	if (j->kind != JOB_EVENT || j->started_at == 0 ||
	    o->kind == OUTCOME_RELEASED || o->kind == OUTCOME_LOST)
		return;
	pace_note(&s->pace, j->hook, (o->ended_at - j->started_at) / 1000);
	s->tend_at = clock_mono(s->engine->clock);
}

/* The rows of the first n outcomes are settled: count, free what is over,
 * make room known. */
static void
settled(struct worker *w, size_t n)
{
	struct engine *e = w->engine;
	struct site_run *s = w->bound;
	struct held *over = NULL;
	bool limited = false;

	for (size_t i = 0; i < n; i++)
		log_outcome(w, &w->ended[i]);
	pthread_mutex_lock(&e->lock);
	for (size_t i = 0; i < n; i++) {
		struct job *j = w->ended[i].job;
		struct held *h = j->claim->origin;

		count_locked(&s->counts, &w->ended[i]);
		note_pace_locked(s, &w->ended[i]);
		if (j->route->kind == EXECUTOR_WEBHOOK)
			webhook_hosts_hold(e->hosts, j->route->target, -1);
		if (w->ended[i].kind == OUTCOME_RELEASED)
			s->released_look = s->looks_begun;
		if (j->limit) {
			limits_release(j->limit);
			limited = true;
		}
		h->left--;
		if (h->left == 0 && unlink_locked(s, j->claim)) {
			h->next = over;
			over = h;
		}
	}
	w->held -= n;
	s->health.running -= n;
	if (limited) {
		actions_peek(s->actions);
		cron_events_rewind(s->events);
		s->backlog = true;
	}
	e->room_epoch++;
	pthread_cond_broadcast(&e->wake_claimers);
	engine_progress_locked(e);
	pthread_mutex_unlock(&e->lock);
	w->nended -= n;
	memmove(w->ended, w->ended + n, w->nended * sizeof *w->ended);
	while (over) {
		struct held *next = over->next;

		engine_held_free(over);
		over = next;
	}
}

/* Those of one queue to the front; how many there are. */
static size_t
gather(struct outcome *o, size_t n, const struct queue *queue)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		struct outcome swap = o[i];

		if (swap.job->claim->queue != queue)
			continue;
		memmove(o + k + 1, o + k, (i - k) * sizeof *o);
		o[k++] = swap;
	}
	return k;
}

static enum rc
settle_queues(struct worker *w, struct err *err)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < QUEUE_COUNT && rc == RC_OK; i++) {
		struct queue *q = w->bound->queues[i];
		size_t n = gather(w->ended, w->nended, q);

		if (n == 0)
			continue;
		rc = q->ops->settle(q, w->db, w->ended, n, err);
		if (rc == RC_OK)
			settled(w, n);
	}
	return rc;
}

static void
settle(struct worker *w)
{
	mono_ms now = clock_mono(w->engine->clock), wait = SETTLE_RETRY_MIN_MS;
	struct err err = ERR_INIT;

	if (w->nended == 0 || now < w->settle_at)
		return;
	if (worker_connection_ready(w) && settle_queues(w, &err) == RC_OK) {
		w->settle_failures = 0;
		return;
	}
	for (unsigned i = 0;
	     i < w->settle_failures && wait < SETTLE_RETRY_MAX_MS; i++)
		wait *= 2;
	if (w->settle_failures++ == 0)
		log_event(LOG_WARN, "settle.waits",
		    LOG_S("site", w->bound->site->name),
		    LOG_U("jobs", w->nended), LOG_S("why", err.text));
	w->settle_at = now + wait;
}

/* ---- turns ------------------------------------------------------------- */

static void
abandon(struct worker *w)
{
	for (size_t k = 0; k < EXECUTOR_NKINDS; k++)
		if (w->executors[k])
			w->executors[k]->ops->abandon(
			    w->executors[k], on_outcome, w);
}

/* Until what ended is to be settled; else until a place may have become free
 * at a host by another worker's doing. */
static int
poll_ms(const struct worker *w)
{
	mono_ms left =
	    w->oldest_end + SETTLE_AFTER_MS - clock_mono(w->engine->clock);

	if (w->nended == 0 || left > POLL_MS)
		return POLL_MS;
	return left > 1 ? (int)left : 1;
}

static void
poll_executors(struct worker *w)
{
	int ms = poll_ms(w);

	for (size_t k = 0; k < EXECUTOR_NKINDS; k++) {
		struct executor *ex = w->executors[k];

		/* PHP may be at cron events, without any job. */
		if (ex && (ex->ops->running(ex) > 0 ||
			      (k == EXECUTOR_PHP && php_busy(w))))
			ex->ops->poll(ex, ms, on_outcome, w);
	}
}

static bool
settle_is_due(const struct worker *w)
{
	if (w->nended == 0)
		return false;
	return w->nended >= SETTLE_MAX || running(w) == 0 ||
	       clock_mono(w->engine->clock) - w->oldest_end >= SETTLE_AFTER_MS;
}

static void
work(struct worker *w, bool stopping, bool overdue)
{
	if (stopping)
		worker_release_todo(w);
	else
		worker_begin_jobs(w);
	poll_executors(w);
	if (overdue)
		abandon(w);
	if (settle_is_due(w))
		settle(w);
	else if (running(w) == 0 && (w->todo || w->nended > 0))
		clock_sleep_ms(POLL_MS); /* the database or PHP is away */
	if (w->nended > 0 && clock_mono(w->engine->clock) < w->settle_at)
		clock_sleep_ms(POLL_MS);
}

static void
ask_executor(struct worker *w)
{
	struct executor *ex = worker_executor(w, EXECUTOR_PHP);

	if (ex)
		ex->ops->begin(ex, NULL, 0);
	free(w->take);
	w->take = NULL;
	w->export = false;
	w->asking = true;
}

/* PHP was asked, and its request is over. */
static void
answered_locked(struct worker *w)
{
	if (!w->asking || php_busy(w))
		return;
	w->asking = false;
	ask_over_locked(w);
}

static bool
has_work(const struct worker *w)
{
	return w->inbox || w->todo || w->nended > 0 || running(w) > 0 ||
	       w->ask || php_busy(w);
}

static void
take_inbox_locked(struct worker *w)
{
	struct job **end = &w->todo;

	while (*end)
		end = &(*end)->next;
	*end = w->inbox;
	for (struct job *j = w->inbox; j; j = j->next)
		w->ntodo++;
	w->inbox = NULL;
	w->inbox_end = &w->inbox;
}

/* Idle: let the site go, learn whether the executor rests, close what idles. */
static void
rest_locked(struct worker *w)
{
	struct engine *e = w->engine;
	struct executor *ex = w->executors[EXECUTOR_PHP];
	bool resting = ex && ex->ops->room(ex) == 0;
	struct timespec ts;

	if (w->backing_off != resting || w->site) {
		w->backing_off = resting;
		w->site = NULL;
		w->slow = false;
		e->room_epoch++;
		pthread_cond_broadcast(&e->wake_claimers);
		engine_progress_locked(e);
	}
	if (w->db && (clock_mono(e->clock) - w->db_used_at > DB_IDLE_MS ||
			 connections_are_short(w)))
		connection_close(w);
	clock_deadline(&ts, resting ? BACKOFF_CHECK_MS : 1000);
	pthread_cond_timedwait(&w->wake, &e->lock, &ts);
}

/* What PHP is to be asked becomes this thread's. */
static bool
take_ask_locked(struct worker *w)
{
	if (!w->ask)
		return false;
	w->ask = false;
	w->take = w->site->asking.take;
	w->export = w->site->asking.export;
	w->site->asking.take = NULL;
	return true;
}

void *
worker_main(void *arg)
{
	struct worker *w = arg;
	struct engine *e = w->engine;

	db_thread_begin();
	pthread_mutex_lock(&e->lock);
	for (;;) {
		struct site_run *site;
		bool stopping, overdue, ask, fresh;

		answered_locked(w);
		if (!has_work(w)) {
			if (e->stopping &&
			    (!w->reserved ||
				clock_mono(e->clock) >= e->grace_end))
				break;
			rest_locked(w);
			continue;
		}
		fresh = w->inbox || w->ask;
		take_inbox_locked(w);
		site = w->site;
		ask = take_ask_locked(w);
		stopping = e->stopping;
		overdue = stopping && clock_mono(e->clock) >= e->grace_end;
		pthread_mutex_unlock(&e->lock);
		if (site && fresh)
			bind_site(w, site);
		if (ask)
			ask_executor(w);
		work(w, stopping, overdue);
		pthread_mutex_lock(&e->lock);
		if (overdue && !w->nended)
			break;
		if (overdue && clock_mono(e->clock) >= e->grace_end + 5000)
			break; /* rows that cannot be settled are rescued */
	}
	if (w->asking)
		ask_over_locked(w);
	pthread_mutex_unlock(&e->lock);
	executors_free(w);
	connection_close(w);
	config_unref(w->config);
	w->config = NULL;
	free(w->ended);
	db_thread_end();
	return NULL;
}
