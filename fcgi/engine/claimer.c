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
#include "engine/engine_internal.h"
#include "engine/site_prepare.h"
#include "engine/site_tend.h"
#include "queues/actions_admin.h"
#include "sql/nodes.h"

#define CONNECT_RETRY_MIN_MS 100
#define CONNECT_RETRY_MAX_MS 10000
/* A kick is served once a second, whatever the clock's own interval. */
#define KICK_INTERVAL_MS 1000
#define ROOM_UNSEEN UINT64_MAX
/* Less room than this share of a batch is not worth a claim of its own. */
#define ROOM_SHARE 4

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
	for (size_t i = 0; i < e->nsites; i++)
		if (e->sites[i].database == d)
			health_error_locked(&e->sites[i], err);
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
		s->prepared = false;
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

/* ---- claiming ---------------------------------------------------------- */

static size_t
worker_capacity(const struct worker *w, const struct config *c)
{
	return w->lane == LANE_PHP ? c->daemon.php_batch
				   : c->daemon.native_batch;
}

/* Workers of a lane that hold jobs of another site on this database. */
static size_t
bound_to_locked(
    const struct engine *e, const struct database *d, enum lane lane)
{
	size_t n = 0;

	for (size_t i = 0; i < e->nworkers; i++)
		n += e->workers[i].lane == lane && e->workers[i].site &&
		     e->workers[i].site->database == d;
	return n;
}

static size_t
lane_workers(const struct engine *e, enum lane lane)
{
	size_t n = 0;

	for (size_t i = 0; i < e->nworkers; i++)
		n += e->workers[i].lane == lane;
	return n;
}

static bool
has_worker_locked(const struct site_run *s, enum lane lane)
{
	const struct engine *e = s->engine;

	for (size_t i = 0; i < e->nworkers; i++)
		if (e->workers[i].lane == lane && e->workers[i].site == s)
			return true;
	return false;
}

/* Does another site of this database wait for a worker, and have none? A
 * backlog would be refilled before its worker is ever free. */
static bool
gives_way(const struct site_run *s, enum lane lane)
{
	const struct engine *e = s->engine;

	for (size_t i = 0; i < e->nsites; i++)
		if (e->sites[i].database == s->database &&
		    e->sites[i].starved[lane])
			return !s->starved[lane];
	return false;
}

/*
 * Reserve the worker of a lane with the most room for a site. One database
 * never binds all workers of a lane while there are others, so that one that
 * hangs stalls its own sites only.
 */
static struct worker *
worker_reserve_locked(struct engine *e, struct site_run *s, enum lane lane,
    struct claim_request *req)
{
	struct worker *best = NULL;
	bool may_bind =
	    e->ndatabases == 1 || lane_workers(e, lane) < 2 ||
	    bound_to_locked(e, s->database, lane) + 1 < lane_workers(e, lane);

	req->room[lane] = req->share[lane] = 0;
	if (!e->claiming || gives_way(s, lane) ||
	    (e->limited && e->once_left == 0))
		return NULL;
	for (size_t i = 0; i < e->nworkers; i++) {
		struct worker *w = &e->workers[i];
		size_t capacity = worker_capacity(w, e->config);
		size_t free_slots = capacity > w->held ? capacity - w->held : 0;

		if (w->lane != lane || w->reserved || w->backing_off || w->cron)
			continue;
		if (w->site ? w->site != s || lane == LANE_PHP : !may_bind)
			continue;
		/* Native work shares the processor anyhow; the jobs of one PHP
		 * worker wait for each other. */
		req->share[lane] += lane == LANE_PHP;
		if (free_slots > req->room[lane] &&
		    free_slots >= (capacity + ROOM_SHARE - 1) / ROOM_SHARE) {
			best = w;
			req->room[lane] = free_slots;
		}
	}
	if (best)
		best->reserved = true;
	return best;
}

static void
hand_over_locked(struct site_run *s, struct worker *w, struct claim *claim,
    struct job *jobs, size_t n, struct config *c)
{
	struct held *h = xcalloc(1, sizeof *h);

	h->claim = claim;
	h->claim_id = claim->id;
	h->config = config_ref(c);
	h->left = n;
	h->first_due = INT64_MAX;
	h->refreshed_at = clock_mono(s->engine->clock);
	h->next = s->held;
	s->held = h;
	claim->origin = h;
	*w->inbox_end = jobs;
	for (struct job *j = jobs; j; j = j->next) {
		if (j->due < h->first_due)
			h->first_due = j->due;
		if (j->route->kind == EXECUTOR_WEBHOOK)
			webhook_hosts_hold(
			    s->engine->hosts, j->route->target, 1);
		w->inbox_end = &j->next;
	}
	w->held += n;
	w->site = s;
	s->health.running += n;
	pthread_cond_signal(&w->wake);
}

static void
hold_limits(struct site_run *s, struct job *jobs)
{
	for (struct job *j = jobs; j; j = j->next) {
		if (j->policy->rate.count == 0 && j->policy->concurrency == 0)
			continue;
		j->limit = limits_find(&s->limits, j->hook);
		if (j->limit)
			limits_hold(j->limit);
	}
}

/* Can rows of a lane run here at all, now or later? */
static bool
lane_serves(const struct site_run *s, const struct config *c, enum lane lane)
{
	return lane_workers(s->engine, lane) > 0 &&
	       (lane != LANE_PHP || site_config(c, s->site)->php_fpm);
}

/* Claim for one worker a lane; *claimed says how many jobs. */
static enum rc
claim_for(struct site_run *s, struct config *c, struct worker *const *workers,
    struct claim_request *req, size_t left, size_t *claimed, bool *more,
    struct err *err)
{
	struct engine *e = s->engine;
	struct admission a = {
		.site = s, .config = c, .db = s->database->db, .left = left
	};
	struct claim_result res;
	enum rc rc;

	req->admit = engine_admit;
	req->arg = &a;
	for (size_t l = 0; l < LANE_COUNT; l++)
		req->ask[l] =
		    req->room[l] == 0 && lane_serves(s, c, (enum lane)l);
	rc = e->only_id ? actions_claim_one(s->actions, s->database->db,
			      e->only_id, req, &res, err)
			: actions_ops.claim(actions_queue(s->actions),
			      s->database->db, req, &res, err);
	for (size_t l = 0; l < LANE_COUNT; l++)
		hold_limits(s, res.jobs[l]);
	limits_settle_claim(&s->limits);
	*claimed = 0;
	*more = res.more || res.unfinished;
	pthread_mutex_lock(&e->lock);
	for (size_t l = 0; l < LANE_COUNT; l++) {
		if (!res.claims[l])
			continue;
		hand_over_locked(
		    s, workers[l], res.claims[l], res.jobs[l], res.njobs[l], c);
		*claimed += res.njobs[l];
	}
	if (e->limited)
		e->once_left -=
		    *claimed < e->once_left ? *claimed : e->once_left;
	if (res.unfinished)
		e->room_epoch++;
	pthread_mutex_unlock(&e->lock);
	return rc;
}

static enum rc
claim_once(struct site_run *s, struct config *c, size_t *claimed, bool *more,
    struct err *err)
{
	struct engine *e = s->engine;
	struct worker *workers[LANE_COUNT];
	struct claim_request req = { .arg = NULL };
	size_t left;
	bool any = false, unseen = false, waited = false;
	enum rc rc = RC_NONE;

	pthread_mutex_lock(&e->lock);
	for (size_t l = 0; l < LANE_COUNT; l++) {
		workers[l] = worker_reserve_locked(e, s, (enum lane)l, &req);
		any = any || workers[l];
		waited = waited || (workers[l] && s->starved[l]);
		s->starved[l] =
		    !workers[l] && !has_worker_locked(s, (enum lane)l);
		/* Of a lane without room not even a look was taken. */
		unseen = unseen ||
			 (!workers[l] && lane_workers(e, (enum lane)l) > 0);
	}
	s->room_seen = e->room_epoch;
	left = e->once_left;
	pthread_mutex_unlock(&e->lock);
	*claimed = 0;
	*more = false;
	if (any)
		rc = claim_for(s, c, workers, &req, left, claimed, more, err);
	*more = *more || unseen;
	pthread_mutex_lock(&e->lock);
	for (size_t l = 0; l < LANE_COUNT; l++) {
		if (!workers[l])
			continue;
		workers[l]->reserved = false;
		/* It does not end while it may still be given something. */
		if (e->stopping)
			pthread_cond_signal(&workers[l]->wake);
	}
	/* There may be room at another worker: look again at once. */
	if (*claimed > 0)
		s->room_seen = ROOM_UNSEEN;
	/* Those who gave way may go on. */
	if (waited)
		e->room_epoch++;
	pthread_mutex_unlock(&e->lock);
	return rc;
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
	if (drained)
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
		.blog_id = 1,
		.node_id = s->node_id,
		.ttl_ms = c->daemon.node_expiry_ms,
		.clock = s->engine->clock,
	};
	limits_tend(&s->limits, &ls);
}

/* False: the database did not answer. */
static bool
look(struct site_run *s, struct config *c, uint64_t number)
{
	struct engine *e = s->engine;
	int64_t due = INT64_MAX, now = clock_unix(e->clock);
	struct actions_export export;
	struct err err = ERR_INIT;
	size_t claimed = 0;
	bool more = false;
	enum rc rc;

	actions_get_export(s->actions, &export);
	if (!s->has_actions || export.foreign_store) {
		look_done(s, number, true, false, INT64_MAX);
		return true;
	}
	/* Before next_due(), which passes over what the cursor has passed. */
	if (limits_reopen(&s->limits, e->clock))
		actions_peek(s->actions);
	rc = e->only_id ? RC_OK
			: actions_ops.next_due(actions_queue(s->actions),
			      s->database->db, &due, &err);
	if (rc == RC_OK && (due <= now || e->only_id > 0))
		rc = claim_once(s, c, &claimed, &more, &err);
	else
		memset(s->starved, 0, sizeof s->starved);
	if (rc != RC_OK && rc != RC_NONE) {
		site_failed(s, rc, &err, "claim");
		return false;
	}
	limits_after(s, c);
	look_done(s, number, !more, more, due);
	return true;
}

static mono_ms
look_at_locked(const struct site_run *s, mono_ms now)
{
	const struct engine *e = s->engine;
	mono_ms interval = e->config->daemon.look_interval_ms;

	if (s->backlog && s->room_seen != e->room_epoch)
		return now;
	if (s->kicked && interval > KICK_INTERVAL_MS)
		interval = KICK_INTERVAL_MS;
	return s->again_at < s->looked_at + interval ? s->again_at
						     : s->looked_at + interval;
}

/* A look, or only what keeps the node alive: looks may be rarer than that. */
static mono_ms
turn_at_locked(const struct site_run *s, mono_ms now)
{
	mono_ms look = look_at_locked(s, now);
	mono_ms keep = s->turned_at + KICK_INTERVAL_MS;

	if (s->prepared && s->heartbeat_at > keep)
		keep = s->heartbeat_at;
	return look < keep ? look : keep;
}

/* The site of this database whose turn is next; NULL and *until: not yet. */
static struct site_run *
next_site_locked(struct database *d, mono_ms now, mono_ms *until)
{
	struct engine *e = d->engine;
	struct site_run *best = NULL;

	for (size_t i = 0; i < e->nsites; i++) {
		struct site_run *s = &e->sites[i];
		mono_ms at;

		if (s->database != d)
			continue;
		at = turn_at_locked(s, now);
		if (at < *until)
			*until = at;
		/* Whose last turn is longest ago goes first. */
		if (at <= now && (!best || s->turned_at < best->turned_at))
			best = s;
	}
	return best;
}

/* A look if it has a number; false when none could be made. */
static bool
site_turn(struct site_run *s, struct config *c, uint64_t number)
{
	struct database *d = s->database;
	mono_ms now = clock_mono(s->engine->clock);
	struct err err = ERR_INIT;
	enum rc rc = RC_OK;

	if (!connected(d))
		return false;
	/* First of all, also while there is nothing else to do here. */
	if (s->node_id != 0 && now >= s->heartbeat_at)
		rc = site_heartbeat(s, c, now, &err);
	if (rc == RC_OK && !s->prepared)
		rc = site_prepare(s, c, &err);
	if (rc == RC_NONE)
		return false; /* too soon: whoever waits goes on */
	if (rc == RC_OK && s->prepared && now >= s->facts_at)
		rc = site_refresh(s, c, &err);
	if (rc == RC_OK && s->prepared && !s->has_actions && now >= s->probe_at)
		rc = site_probe(s, &err);
	if (rc == RC_OK && s->prepared && s->has_actions && now >= s->rescue_at)
		rc = site_rescue(s, c, now, &err);
	if (rc != RC_OK)
		site_failed(s, rc, &err, "prepare");
	else if (s->prepared)
		return number == 0 || look(s, c, number);
	return false;
}

/* Begin a turn; the number of its look, 0 for none. */
static uint64_t
turn_begin_locked(struct site_run *s, mono_ms now)
{
	bool look = look_at_locked(s, now) <= now;

	s->turned_at = now;
	if (!look)
		return 0;
	s->looking = true;
	s->kicked = false;
	s->looked_at = now;
	s->again_at = INT64_MAX;
	s->backlog = false;
	s->room_seen = s->engine->room_epoch;
	return ++s->looks_begun;
}

static void
leave(struct database *d)
{
	struct engine *e = d->engine;

	for (size_t i = 0; i < e->nsites; i++) {
		struct site_run *s = &e->sites[i];
		struct sql_scope scope;
		struct err err = ERR_INIT;

		if (s->database != d || s->node_id == 0 || !connected(d))
			continue;
		actions_scope(s->actions, &scope);
		if (node_remove(d->db, &scope, s->node_id, &err) != RC_OK)
			log_event(LOG_WARN, "node.stays",
			    LOG_S("site", s->site->name),
			    LOG_S("why", err.text));
	}
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
		struct site_run *s = next_site_locked(d, now, &until);
		struct config *c;
		uint64_t number;
		bool done;

		if (!s) {
			struct timespec ts;

			clock_deadline(&ts, until > now ? until - now : 1);
			pthread_cond_timedwait(
			    &e->wake_claimers, &e->lock, &ts);
			continue;
		}
		number = turn_begin_locked(s, now);
		c = config_ref(e->config);
		pthread_mutex_unlock(&e->lock);
		done = site_turn(s, c, number);
		config_unref(c);
		pthread_mutex_lock(&e->lock);
		s->looking = false;
		/* What was asked for is kept until it can be answered. */
		s->kicked = s->kicked || (number > 0 && !done);
	}
	pthread_mutex_unlock(&e->lock);
	leave(d);
	db_close(d->db);
	d->db = NULL;
	db_thread_end();
	return NULL;
}
