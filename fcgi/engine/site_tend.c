#include "engine/site_tend.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "engine/site_prepare.h"
#include "queues/missed_posts.h"

/* PHP counts a claimed row as dead after 300 s. */
#define REFRESH_ROWS_MS 60000
/* A blog of which nobody holds anything is cleaned this often. */
#define IDLE_RESCUE_MS 300000
#define TEND_EVERY_MS 10000
#define MISSED_EVERY_MS 300000

uint64_t *
engine_held_claims(struct site_run *s, const struct queue *queue,
    mono_ms stale_since, size_t *n)
{
	size_t all = 0;
	uint64_t *ids;

	pthread_mutex_lock(&s->engine->lock);
	for (struct held *h = s->held; h; h = h->next)
		all++;
	ids = xcalloc(all + 1, sizeof *ids);
	*n = 0;
	for (struct held *h = s->held; h; h = h->next)
		if (h->refreshed_at <= stale_since &&
		    (!queue || h->claim->queue == queue))
			ids[(*n)++] = h->claim_id;
	pthread_mutex_unlock(&s->engine->lock);
	return ids;
}

enum rc
site_refresh_rows(struct site_run *s, mono_ms now, struct err *err)
{
	struct engine *e = s->engine;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < QUEUE_COUNT && rc == RC_OK; i++) {
		struct queue *q = s->queues[i];
		size_t n;
		uint64_t *ids =
		    engine_held_claims(s, q, now - REFRESH_ROWS_MS, &n);

		if (n > 0)
			rc = q->ops->heartbeat(q, s->database->db, ids, n, err);
		free(ids);
	}
	pthread_mutex_lock(&e->lock);
	for (struct held *h = s->held; h && rc == RC_OK; h = h->next)
		if (h->refreshed_at <= now - REFRESH_ROWS_MS)
			h->refreshed_at = now;
	pthread_mutex_unlock(&e->lock);
	return rc;
}

static enum rc
rescue_queue(struct site_run *s, struct queue *q, struct admission *a,
    size_t *rescued, struct err *err)
{
	struct rescue_request req = { .policy = engine_policy, .arg = a };
	size_t n = 0;
	uint64_t *ids;
	enum rc rc;

	req.live = ids = engine_held_claims(s, q, INT64_MAX, &req.nlive);
	rc = q->ops->rescue(q, s->database->db, &req, &n, err);
	*rescued += n;
	free(ids);
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc
site_rescue(struct site_run *s, struct config *c, mono_ms now, struct err *err)
{
	struct engine *e = s->engine;
	struct admission a = { .site = s, .config = c, .db = s->database->db };
	bool alone = s->network->nblogs == 1;
	size_t rescued = 0, cleaned = 0;
	enum rc rc = RC_OK;

	s->rescue_now = false;
	s->rescue_at =
	    now + (alone ? c->daemon.node_expiry_ms / 4 : IDLE_RESCUE_MS);
	if (s->has_actions)
		rc = rescue_queue(s, s->queues[JOB_ACTION], &a, &rescued, err);
	if (rc == RC_OK)
		rc = rescue_queue(s, s->queues[JOB_EVENT], &a, &rescued, err);
	if (rc == RC_OK && s->has_actions && site_config(c, s->site)->cleanup &&
	    !e->once)
		rc = actions_clean(s->actions, s->database->db, &cleaned, err);
	if (rescued > 0) {
		pthread_mutex_lock(&e->lock);
		s->backlog = true;
		pthread_mutex_unlock(&e->lock);
	}
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc
site_tend_events(struct site_run *s, mono_ms now, struct err *err)
{
	struct engine *e = s->engine;
	enum rc rc;
	bool held = false;

	pthread_mutex_lock(&e->lock);
	s->tend_at = INT64_MAX;
	pthread_mutex_unlock(&e->lock);
	rc = cron_events_tend(s->events, s->database->db, err);
	pthread_mutex_lock(&e->lock);
	for (const struct held *h = s->held; h && !held; h = h->next)
		held = h->claim->queue == s->queues[JOB_EVENT];
	/* Once more after the last has ended: worker.c sets it then. */
	if ((held || (rc != RC_OK && rc != RC_NONE)) &&
	    s->tend_at > now + TEND_EVERY_MS)
		s->tend_at = now + TEND_EVERY_MS;
	pthread_mutex_unlock(&e->lock);
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc
site_missed_posts(
    struct site_run *s, struct config *c, mono_ms now, struct err *err)
{
	const struct config_site *site = site_config(c, s->site);
	struct sql_scope scope;
	unsigned repaired = 0;
	enum rc rc;

	s->missed_at = now + MISSED_EVERY_MS;
	if (!site->cron || !site->missed_posts || site->observe ||
	    s->engine->once)
		return RC_OK;
	cron_events_scope(s->events, &scope);
	rc = missed_posts_find(
	    s->database->db, &scope, s->blog_id, &repaired, err);
	if (repaired > 0)
		log_event(LOG_WARN, "posts.missed",
		    LOG_S("site", s->site->name), LOG_U("blog", s->blog_id),
		    LOG_U("posts", repaired),
		    LOG_S("why", "their date is past and no event was there to "
				 "publish them; WordPress is asked to"));
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc
site_give_back(struct site_run *s, struct err *err)
{
	size_t n = 0;
	enum rc rc = cron_events_return(s->events, s->database->db, &n, err);

	if (rc == RC_OK && n > 0)
		log_event(LOG_INFO, "cron.returned",
		    LOG_S("site", s->site->name), LOG_U("blog", s->blog_id),
		    LOG_U("events", n));
	return rc == RC_NONE ? RC_OK : rc;
}
