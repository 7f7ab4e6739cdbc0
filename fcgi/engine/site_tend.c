#include "engine/site_tend.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "engine/site_prepare.h"
#include "sql/nodes.h"

/* PHP counts a claimed row as dead after 300 s. */
#define REFRESH_ROWS_MS 60000

uint64_t *
engine_held_claims(struct site_run *s, mono_ms stale_since, size_t *n)
{
	size_t all = 0;
	uint64_t *ids;

	pthread_mutex_lock(&s->engine->lock);
	for (struct held *h = s->held; h; h = h->next)
		all++;
	ids = xcalloc(all + 1, sizeof *ids);
	*n = 0;
	for (struct held *h = s->held; h; h = h->next)
		if (h->refreshed_at <= stale_since)
			ids[(*n)++] = h->claim_id;
	pthread_mutex_unlock(&s->engine->lock);
	return ids;
}

/* PHP's cleaner looks at the rows of claims; say that these live. */
static enum rc
refresh_rows(struct site_run *s, mono_ms now, struct err *err)
{
	struct engine *e = s->engine;
	size_t n;
	uint64_t *ids = engine_held_claims(s, now - REFRESH_ROWS_MS, &n);
	enum rc rc = RC_OK;

	if (n > 0)
		rc = actions_ops.heartbeat(
		    actions_queue(s->actions), s->database->db, ids, n, err);
	free(ids);
	pthread_mutex_lock(&e->lock);
	for (struct held *h = s->held; h && rc == RC_OK; h = h->next)
		if (h->refreshed_at <= now - REFRESH_ROWS_MS)
			h->refreshed_at = now;
	pthread_mutex_unlock(&e->lock);
	return rc;
}

enum rc
site_heartbeat(
    struct site_run *s, struct config *c, mono_ms now, struct err *err)
{
	struct sql_scope scope;
	enum rc rc;

	actions_scope(s->actions, &scope);
	rc = node_heartbeat(s->database->db, &scope, s->node_id, err);
	if (rc == RC_NONE) {
		log_event(LOG_WARN, "node.lost", LOG_S("site", s->site->name),
		    LOG_U("node", s->node_id),
		    LOG_S("why", "others took this node for dead; what they "
				 "have taken back is not its own any more"));
		s->node_id = 0;
		s->prepared = false;
		return RC_OK;
	}
	if (rc != RC_OK)
		return rc;
	s->heartbeat_at = now + c->daemon.heartbeat_ms;
	return refresh_rows(s, now, err);
}

static enum rc
expire_nodes(struct site_run *s, const struct config *c, struct err *err)
{
	struct db *db = s->database->db;
	struct sql_scope scope;
	uint64_t *dead = NULL;
	size_t n = 0;
	enum rc rc;

	actions_scope(s->actions, &scope);
	rc =
	    nodes_expired(db, &scope, c->daemon.node_expiry_ms, &dead, &n, err);
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		rc = node_expire(
		    db, &scope, dead[i], c->daemon.node_expiry_ms, err);
		if (rc == RC_OK)
			log_event(LOG_WARN, "node.expired",
			    LOG_S("site", s->site->name),
			    LOG_U("node", dead[i]));
		if (rc == RC_NONE)
			rc = RC_OK;
	}
	free(dead);
	return rc;
}

enum rc
site_rescue(struct site_run *s, struct config *c, mono_ms now, struct err *err)
{
	struct engine *e = s->engine;
	struct admission a = { .site = s, .config = c, .db = s->database->db };
	struct rescue_request req = { .policy = engine_policy, .arg = &a };
	uint64_t *ids;
	size_t rescued = 0, cleaned = 0;
	enum rc rc;

	rc = expire_nodes(s, c, err);
	req.live = ids = engine_held_claims(s, INT64_MAX, &req.nlive);
	if (rc == RC_OK)
		rc = actions_ops.rescue(actions_queue(s->actions),
		    s->database->db, &req, &rescued, err);
	if (rc == RC_OK && site_config(c, s->site)->cleanup && !e->once)
		rc = actions_clean(s->actions, s->database->db, &cleaned, err);
	if (rc == RC_NONE)
		rc = RC_OK;
	s->rescue_at = now + c->daemon.node_expiry_ms / 4;
	if (rescued > 0) {
		pthread_mutex_lock(&e->lock);
		s->backlog = true;
		pthread_mutex_unlock(&e->lock);
	}
	free(ids);
	return rc;
}
