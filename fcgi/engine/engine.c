#include "engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/errno_text.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "engine/engine_internal.h"
#include "engine/network.h"
#include "engine/stager.h"

/* Claimers stay this long after the workers, to settle what is left. */
#define NATIVE_WORKERS_MIN 1

/* ---- making ------------------------------------------------------------ */

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool
same_database(const struct db_params *a, const struct db_params *b)
{
	return same_text(a->host, b->host) && a->port == b->port &&
	       same_text(a->socket, b->socket) && same_text(a->user, b->user) &&
	       same_text(a->name, b->name);
}

static struct database *
database_of(struct engine *e, const struct site *site)
{
	struct database *d;

	for (size_t i = 0; i < e->ndatabases; i++)
		if (same_database(e->databases[i].params, &site->db))
			return &e->databases[i];
	d = &e->databases[e->ndatabases++];
	*d = (struct database){ .engine = e, .params = &site->db };
	return d;
}

static void
cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

static void
make_workers(struct engine *e)
{
	const struct config_daemon *d = &e->config->daemon;
	/* With several databases one must be left when another hangs. */
	size_t least = e->ndatabases > 1 ? 2 : NATIVE_WORKERS_MIN;
	size_t php = d->php_children;
	size_t native = d->workers > php ? d->workers - php : 0;

	if (native < least)
		native = least;
	e->nworkers = native + php;
	e->workers = xcalloc(e->nworkers, sizeof *e->workers);
	for (size_t i = 0; i < e->nworkers; i++) {
		struct worker *w = &e->workers[i];

		w->engine = e;
		w->index = (unsigned)i;
		w->lane = i < native ? LANE_NATIVE : LANE_PHP;
		w->inbox_end = &w->inbox;
		cond_init(&w->wake);
	}
}

struct site_run *
engine_next_blog(
    const struct engine *e, const struct database *d, struct blog_iter *it)
{
	for (; it->network < e->nnetworks; it->network++) {
		const struct network *n = &e->networks[it->network];

		if (n->database == d && it->blog < n->nblogs)
			return n->blogs[it->blog++];
		it->blog = 0;
	}
	return NULL;
}

enum rc
engine_new(const struct engine_opts *opts, struct engine **out, struct err *err)
{
	struct engine *e = xcalloc(1, sizeof *e);

	*out = NULL;
	e->progress_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (e->progress_fd < 0) {
		free(e);
		return err_set_code(
		    err, RC_FATAL, errno, "eventfd: %s", ERRNO_TEXT(errno));
	}
	pthread_mutex_init(&e->lock, NULL);
	cond_init(&e->wake_claimers);
	e->clock = opts->clock ? opts->clock : &clock_system;
	e->config = config_ref(opts->config);
	e->hosts =
	    webhook_hosts_new(e->config->daemon.host_concurrency, e->clock);
	e->once = opts->once;
	e->limited = opts->once && opts->limit > 0;
	e->once_left = opts->limit;
	e->only_hooks = opts->hooks;
	e->only_groups = opts->groups;
	e->only_id = opts->once ? opts->only_id : 0;
	e->only_kind = opts->only_kind;
	e->queues = opts->once ? opts->queues : 0;
	e->only_blog = opts->once ? opts->only_blog : 0;
	e->nnetworks = opts->nsites;
	e->networks = xcalloc(e->nnetworks, sizeof *e->networks);
	e->databases = xcalloc(e->nnetworks, sizeof *e->databases);
	for (size_t i = 0; i < e->nnetworks; i++)
		network_init(&e->networks[i], e, opts->sites[i],
		    database_of(e, opts->sites[i]));
	make_workers(e);
	e->contacts = contact_pool_new(e);
	e->chores = chores_new(e);
	if (!e->once)
		e->stager = stager_new(e);
	*out = e;
	return RC_OK;
}

enum rc
engine_start(struct engine *e, struct err *err)
{
	int rc = 0;

	e->claiming = true;
	e->started = true;
	for (size_t i = 0; i < e->nworkers && rc == 0; i++) {
		struct worker *w = &e->workers[i];

		rc = pthread_create(&w->thread, NULL, worker_main, w);
		w->started = rc == 0;
	}
	for (size_t i = 0; i < e->ndatabases && rc == 0; i++) {
		struct database *d = &e->databases[i];

		rc = pthread_create(&d->thread, NULL, claimer_main, d);
		d->started = rc == 0;
	}
	if (rc == 0)
		return RC_OK;
	engine_stop(e);
	return err_set_code(
	    err, RC_FATAL, rc, "cannot start a thread: %s", ERRNO_TEXT(rc));
}

/* ---- ending ------------------------------------------------------------ */

void
engine_stop(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	e->claiming = false;
	e->stopping = true;
	e->grace_end =
	    clock_mono(e->clock) + e->config->daemon.shutdown_grace_ms;
	for (size_t i = 0; i < e->nworkers; i++)
		pthread_cond_signal(&e->workers[i].wake);
	pthread_mutex_unlock(&e->lock);
	contact_pool_quit(e->contacts);
	chores_quit(e->chores);
	for (size_t i = 0; i < e->nworkers; i++)
		if (e->workers[i].started)
			pthread_join(e->workers[i].thread, NULL);
	contact_pool_drain(e->contacts);
	chores_drain(e->chores);
	/* Of the pool's pulls it has heard by now. */
	if (e->stager)
		stager_stop(e->stager);
	/* Claimers outlive workers: rows in work are kept alive to the end. */
	pthread_mutex_lock(&e->lock);
	e->leaving = true;
	pthread_cond_broadcast(&e->wake_claimers);
	pthread_mutex_unlock(&e->lock);
	for (size_t i = 0; i < e->ndatabases; i++)
		if (e->databases[i].started)
			pthread_join(e->databases[i].thread, NULL);
	for (size_t i = 0; i < e->nworkers; i++)
		e->workers[i].started = false;
	for (size_t i = 0; i < e->ndatabases; i++)
		e->databases[i].started = false;
}

void
engine_free(struct engine *e)
{
	if (!e)
		return;
	engine_stop(e);
	stager_free(e->stager);
	contact_pool_free(e->contacts);
	chores_free(e->chores);
	for (size_t i = 0; i < e->nnetworks; i++)
		network_clear(&e->networks[i]);
	for (size_t i = 0; i < e->nworkers; i++)
		pthread_cond_destroy(&e->workers[i].wake);
	webhook_hosts_free(e->hosts);
	config_unref(e->config);
	pthread_cond_destroy(&e->wake_claimers);
	pthread_mutex_destroy(&e->lock);
	close(e->progress_fd);
	free(e->networks);
	free(e->databases);
	free(e->workers);
	free(e);
}

void
engine_reload(struct engine *e, struct config *config)
{
	struct config *old;

	pthread_mutex_lock(&e->lock);
	old = e->config;
	e->config = config_ref(config);
	for (size_t i = 0; i < e->ndatabases; i++) {
		struct blog_iter it = { 0 };
		struct site_run *s;

		while ((s = engine_next_blog(e, &e->databases[i], &it))) {
			actions_rewind(s->actions);
			cron_events_rewind(s->events);
			s->backlog = true;
		}
	}
	e->room_epoch++;
	pthread_cond_broadcast(&e->wake_claimers);
	pthread_mutex_unlock(&e->lock);
	webhook_hosts_set_concurrency(
	    e->hosts, config->daemon.host_concurrency);
	if (e->stager)
		stager_reload(e->stager, config);
	config_unref(old);
}

/* ---- what others ask --------------------------------------------------- */

static struct network *
network_find(struct engine *e, const struct site *site)
{
	for (size_t i = 0; i < e->nnetworks; i++)
		if (e->networks[i].site == site)
			return &e->networks[i];
	return NULL;
}

void
engine_progress_locked(struct engine *e)
{
	const uint64_t one = 1;

	/* A full counter is as readable as any. */
	if (write(e->progress_fd, &one, sizeof one) < 0 && errno != EAGAIN)
		log_event(LOG_ERR, "engine.progress",
		    LOG_S("why", ERRNO_TEXT(errno)));
}

int
engine_progress_fd(const struct engine *e)
{
	return e->progress_fd;
}

/* Which blog a ping means; without one, the main blog. */
static struct site_run *
pinged_locked(struct network *n, const struct engine_ping *ping)
{
	return ping ? network_blog_locked(n, ping->host, ping->path)
		    : n->blogs[0];
}

enum engine_kick
engine_kick(
    struct engine *e, const struct site *site, const struct engine_ping *ping)
{
	struct network *n = network_find(e, site);
	enum engine_kick answer = ENGINE_QUEUED;
	struct site_run *s;
	bool *kicked;
	mono_ms looked_at;

	if (!n)
		return answer;
	pthread_mutex_lock(&e->lock);
	s = pinged_locked(n, ping);
	if (ping) {
		cron_events_note_ping(s->events, ping->key);
		s->wanted = true;
	}
	kicked = network_is_scanned(n) ? &n->kicked : &s->kicked;
	looked_at = network_is_scanned(n) ? n->scanned_at : s->looked_at;
	if (!*kicked && !s->looking && !s->held &&
	    clock_mono(e->clock) - looked_at >=
		(mono_ms)e->config->daemon.look_interval_ms)
		answer = ENGINE_STARTED;
	if (!*kicked)
		pthread_cond_broadcast(&e->wake_claimers);
	*kicked = true;
	pthread_mutex_unlock(&e->lock);
	return answer;
}

static void
counts_add(struct engine_counts *to, const struct engine_counts *c)
{
	to->done += c->done;
	to->failed += c->failed;
	to->retried += c->retried;
	to->released += c->released;
	to->done_native += c->done_native;
	to->done_php += c->done_php;
}

void
engine_counts(
    struct engine *e, const struct site *site, struct engine_counts *out)
{
	const struct network *n = network_find(e, site);

	*out = (struct engine_counts){ 0 };
	pthread_mutex_lock(&e->lock);
	for (size_t i = 0; n && i < n->nblogs; i++)
		counts_add(out, &n->blogs[i]->counts);
	pthread_mutex_unlock(&e->lock);
}

void
engine_watch_begin(struct engine *e, const struct site *site,
    const struct engine_ping *ping, struct engine_watch *w)
{
	struct network *n = network_find(e, site);

	*w = (struct engine_watch){ .site = site,
		.begun = clock_wall(e->clock) };
	pthread_mutex_lock(&e->lock);
	if (n) {
		const struct site_run *s = pinged_locked(n, ping);

		w->blog_id = s->blog_id;
		w->base = s->counts;
		w->look = s->looks_begun;
	}
	pthread_mutex_unlock(&e->lock);
	engine_kick(e, site, ping);
}

static uint64_t
due_by_locked(const struct site_run *s, int64_t when)
{
	uint64_t n = 0;

	for (const struct held *h = s->held; h; h = h->next)
		if (h->first_due <= when)
			n += h->left;
	return n;
}

enum rc
engine_watch_check(struct engine *e, const struct engine_watch *w,
    struct engine_counts *counts, uint64_t *remaining)
{
	const struct network *n = network_find(e, w->site);
	const struct site_run *s;
	struct engine_counts now;
	enum rc rc = RC_AGAIN;
	bool looked;

	if (!n)
		return RC_RETRY;
	pthread_mutex_lock(&e->lock);
	s = network_blog_by_id_locked(n, w->blog_id);
	now = s->counts;
	/* Released jobs are due again, which only a later look can tell. */
	looked =
	    s->drained_look > w->look && s->drained_look > s->released_look;
	*remaining = due_by_locked(s, w->begun / 1000000);
	if (looked && *remaining == 0)
		rc = RC_OK;
	else if (s->health.ready && !s->health.database_ok)
		rc = RC_RETRY;
	if (!looked && *remaining == 0)
		*remaining = s->backlog ? 1 : 0;
	pthread_mutex_unlock(&e->lock);
	*counts = (struct engine_counts){
		.done = now.done - w->base.done,
		.failed = now.failed - w->base.failed,
		.retried = now.retried - w->base.retried,
		.released = now.released - w->base.released,
		.done_native = now.done_native - w->base.done_native,
		.done_php = now.done_php - w->base.done_php,
	};
	return rc;
}

void
engine_health(
    struct engine *e, const struct site *site, struct engine_health *out)
{
	const struct network *n = network_find(e, site);

	*out = (struct engine_health){ .next_due = INT64_MAX };
	if (!n)
		return;
	pthread_mutex_lock(&e->lock);
	/* What fails for all shows at the main blog. */
	*out = n->blogs[0]->health;
	for (size_t i = 1; i < n->nblogs; i++) {
		const struct engine_health *h = &n->blogs[i]->health;

		out->running += h->running;
		if (h->next_due < out->next_due)
			out->next_due = h->next_due;
	}
	pthread_mutex_unlock(&e->lock);
}

static void
dump_blog(const struct site_run *s)
{
	log_event(LOG_INFO, "dump.site", LOG_S("site", s->site->name),
	    LOG_U("blog", s->blog_id), LOG_U("looks", s->looks_begun),
	    LOG_U("done", s->counts.done), LOG_U("failed", s->counts.failed),
	    LOG_U("retried", s->counts.retried),
	    LOG_U("released", s->counts.released),
	    LOG_U("running", s->health.running),
	    LOG_I("next_due", s->health.next_due),
	    LOG_S("database", s->health.database_ok ? "ok" : "away"),
	    LOG_S("error", s->health.last_error));
}

void
engine_dump(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	for (size_t i = 0; i < e->nnetworks; i++)
		for (size_t k = 0; k < e->networks[i].nblogs; k++) {
			const struct site_run *s = e->networks[i].blogs[k];

			/* Of a big network those that did something. */
			if (k == 0 || s->counts.done + s->counts.failed > 0)
				dump_blog(s);
		}
	for (size_t i = 0; i < e->nworkers; i++) {
		const struct worker *w = &e->workers[i];

		log_event(LOG_INFO, "dump.worker", LOG_U("worker", w->index),
		    LOG_S("lane", w->lane == LANE_PHP ? "php" : "native"),
		    LOG_S("site", w->site ? w->site->site->name : ""),
		    LOG_U("jobs", w->held),
		    LOG_S("state", w->backing_off ? "backing off"
				   : w->site      ? "working"
						  : "idle"));
	}
	pthread_mutex_unlock(&e->lock);
	if (e->stager)
		stager_dump(e->stager);
}
