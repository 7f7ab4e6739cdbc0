/*
 * Claiming for a blog: a worker a lane is reserved, a queue asked for what it
 * may be given, and what was claimed handed over.
 */
#include "engine/claim.h"

#include <string.h>

#include "base/xalloc.h"
#include "engine/ask.h"
#include "engine/site_prepare.h"
#include "queues/actions_admin.h"

#define ROOM_UNSEEN UINT64_MAX
/* Less room than this share of a batch is not worth a claim of its own. */
#define ROOM_SHARE 4

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
	struct blog_iter it = { 0 };
	const struct site_run *o;

	while ((o = engine_next_blog(e, s->database, &it)))
		if (o->starved[lane])
			return !s->starved[lane];
	return false;
}

/* Idle PHP workers that are left to contacts, messages and tasks, which wait
 * for a place: half of them at most, so that jobs go on. */
static size_t
kept_for_work_locked(const struct engine *e)
{
	size_t most = (lane_workers(e, LANE_PHP) + 1) / 2;

	return e->php_wanted < most ? e->php_wanted : most;
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
	size_t keep = lane == LANE_PHP ? kept_for_work_locked(e) : 0;
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

		if (w->lane != lane || w->reserved || w->backing_off || w->ask)
			continue;
		if (w->site ? w->site != s || lane == LANE_PHP : !may_bind)
			continue;
		if (!w->site && keep > 0) {
			keep--;
			continue;
		}
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

/* A PHP worker is left for quick hooks, as long as there are two. */
static size_t
slow_room_locked(const struct site_run *s)
{
	const struct engine *e = s->engine;
	size_t php = lane_workers(e, LANE_PHP), slow = 0;

	for (size_t i = 0; i < e->nworkers; i++)
		slow += e->workers[i].lane == LANE_PHP && e->workers[i].slow;
	php = php > 1 ? php - 1 : php;
	return php > slow ? php - slow : 0;
}

static enum rc
ask_queue(struct site_run *s, struct queue *queue, struct claim_request *req,
    struct claim_result *res, struct err *err)
{
	const struct engine *e = s->engine;
	struct db *db = s->database->db;

	if (e->only_id == 0)
		return queue->ops->claim(queue, db, req, res, err);
	if (e->only_kind == JOB_EVENT)
		return cron_events_claim_one(
		    s->events, db, e->only_id, req, res, err);
	return actions_claim_one(s->actions, db, e->only_id, req, res, err);
}

/* Claim for one worker a lane; what became of it is in `out`. */
static enum rc
claim_for(struct site_run *s, struct queue *queue, struct config *c,
    struct worker *const *workers, struct claim_request *req,
    struct admission *a, struct claim_result *res, struct claimed *out,
    struct err *err)
{
	struct engine *e = s->engine;
	enum rc rc;

	req->admit = engine_admit;
	req->arg = a;
	for (size_t l = 0; l < LANE_COUNT; l++)
		req->ask[l] =
		    req->room[l] == 0 && lane_serves(s, c, (enum lane)l);
	rc = ask_queue(s, queue, req, res, err);
	for (size_t l = 0; l < LANE_COUNT; l++)
		hold_limits(s, res->jobs[l]);
	limits_settle_claim(&s->limits);
	out->more =
	    res->more || res->unfinished || res->php_take || res->wants_export;
	pthread_mutex_lock(&e->lock);
	for (size_t l = 0; l < LANE_COUNT; l++) {
		if (!res->claims[l])
			continue;
		hand_over_locked(s, workers[l], res->claims[l], res->jobs[l],
		    res->njobs[l], c);
		if (l == LANE_PHP)
			workers[l]->slow = a->alone;
		out->jobs += res->njobs[l];
	}
	if (e->limited)
		e->once_left -=
		    out->jobs < e->once_left ? out->jobs : e->once_left;
	if (res->unfinished)
		e->room_epoch++;
	pthread_mutex_unlock(&e->lock);
	return rc;
}

enum rc
site_claim(struct site_run *s, struct queue *queue, struct config *c,
    struct claimed *out, struct err *err)
{
	struct engine *e = s->engine;
	struct worker *workers[LANE_COUNT];
	struct claim_request req = { .arg = NULL };
	struct claim_result res = { .php_take = NULL };
	struct admission a = { .site = s, .config = c, .db = s->database->db };
	bool any = false, unseen = false, waited = false;
	enum rc rc = RC_NONE;

	*out = (struct claimed){ .jobs = 0 };
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
	a.left = e->once_left;
	a.slow_left = slow_room_locked(s);
	pthread_mutex_unlock(&e->lock);
	if (any)
		rc = claim_for(s, queue, c, workers, &req, &a, &res, out, err);
	out->more = out->more || unseen;
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
	if (out->jobs > 0)
		s->room_seen = ROOM_UNSEEN;
	/* Those who gave way may go on. */
	if (waited)
		e->room_epoch++;
	pthread_mutex_unlock(&e->lock);
	/* Now that the worker is free which nothing could be claimed for. */
	ask_php(s, res.php_take, res.wants_export);
	return rc;
}
