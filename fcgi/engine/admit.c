/* What may be claimed: routes, filters, pauses, limits, site identity. */
#include <string.h>

#include "base/log.h"
#include "engine/engine_internal.h"
#include "engine/site_prepare.h"

static bool
list_matches(const struct config_list *list, struct slice s)
{
	for (size_t i = 0; i < list->n; i++)
		if (slice_glob(s, slice_str(list->items[i])))
			return true;
	return false;
}

static bool
wanted(const struct config_list *only, const struct config_list *except,
    struct slice s)
{
	if (only && only->n > 0 && !list_matches(only, s))
		return false;
	return !except || !list_matches(except, s);
}

/* A slow hook runs in a PHP request of its own; so does one that never ran. */
#define SLOW_MS 1000
/* Quick ones share a request as long as it is expected to take. */
#define QUICK_TOTAL_MS 2000

static bool
is_paused(const struct admission *a, const struct candidate *c)
{
	const struct site_run *s = a->site;
	const struct network *n = s->network;

	for (size_t i = 0; i < n->npauses; i++) {
		const struct pause *p = &n->pauses[i];
		struct slice name = c->hook;

		if (p->blog_id != 0 && p->blog_id != s->blog_id)
			continue;
		if (p->group && c->kind != JOB_ACTION)
			continue;
		if (p->group)
			name =
			    actions_group_slug(s->actions, a->db, c->group_id);
		if (name.p && slice_glob(name, slice_str(p->pattern)))
			return true;
	}
	return false;
}

static bool
passes_filters(const struct admission *a, const struct candidate *c)
{
	const struct config_site *site = site_config(a->config, a->site->site);
	const struct engine *e = a->site->engine;
	bool by_group = site->groups.n > 0 || site->except_groups.n > 0 ||
			(e->only_groups && e->only_groups->n > 0);
	struct slice slug;

	if (!wanted(&site->hooks, &site->except, c->hook) ||
	    !wanted(e->only_hooks, NULL, c->hook))
		return false;
	/* Cron events have no group: only a run of one group leaves them. */
	if (c->kind == JOB_EVENT)
		return !e->only_groups || e->only_groups->n == 0;
	if (!by_group)
		return true;
	slug = actions_group_slug(a->site->actions, a->db, c->group_id);
	return slug.p && wanted(&site->groups, &site->except_groups, slug) &&
	       wanted(e->only_groups, NULL, slug);
}

/* On a copy of the site everything that leaves it is held. */
static bool
held_here(
    const struct admission *a, const struct route *r, const struct policy *p)
{
	const struct site_run *s = a->site;

	/* What Newspack's constant allows, the work on contacts knows. */
	if (r->kind == EXECUTOR_CONTACT)
		return s->standing == SITE_COPY;
	return s->standing != SITE_ORIGINAL &&
	       config_is_outbound(a->config, s->site->name, r, p);
}

static mono_ms
contact_rest(struct site_run *s)
{
	mono_ms until;

	pthread_mutex_lock(&s->engine->lock);
	until = s->contact_rest_until;
	pthread_mutex_unlock(&s->engine->lock);
	return until;
}

static bool
executor_ready(struct admission *a, const struct route *r)
{
	struct site_run *s = a->site;

	switch (r->kind) {
	case EXECUTOR_PHP:
		if (s->maintenance)
			return false;
		if (site_config(a->config, s->site)->php_fpm)
			return true;
		if (!s->no_php_said)
			log_event(LOG_ERR, "site.no_php",
			    LOG_S("site", s->site->name),
			    LOG_S("why", "hooks for PHP wait: set php_fpm in "
					 "[site] of the configuration"));
		s->no_php_said = true;
		return false;
	case EXECUTOR_WEBHOOK: {
		int64_t after;

		return webhook_hosts_admits(
			   s->engine->hosts, r->target, &after) != WEBHOOK_SHUT;
	}
	case EXECUTOR_CONTACT:
		return clock_mono(s->engine->clock) >= contact_rest(s);
	case EXECUTOR_QUEUE:
		break;
	}
	return true;
}

/* Jobs admitted for a target in this claim; NULL: too many targets. */
static size_t *
admitted_for(struct admission *a, const char *target)
{
	for (size_t i = 0; i < ADMITTED_TARGETS; i++) {
		if (!a->admitted[i].target)
			a->admitted[i].target = target;
		if (a->admitted[i].target == target)
			return &a->admitted[i].n;
	}
	return NULL;
}

/*
 * A host that answers slowly may hold three quarters of the native workers'
 * places at most, so that work for others goes on.
 */
static bool
host_has_share(struct admission *a, const struct route *r)
{
	const struct engine *e = a->site->engine;
	const struct config_daemon *d = &a->config->daemon;
	size_t *admitted, places = 0, most;

	if (r->kind != EXECUTOR_WEBHOOK)
		return true;
	for (size_t i = 0; i < e->nworkers; i++)
		places +=
		    e->workers[i].lane == LANE_NATIVE ? d->native_batch : 0;
	most = places / 4 * 3;
	if (most < d->host_concurrency)
		most = d->host_concurrency;
	admitted = admitted_for(a, r->target);
	if (webhook_hosts_held(e->hosts, r->target) +
		(admitted ? *admitted : 0) >=
	    most)
		return false;
	if (admitted)
		(*admitted)++;
	return true;
}

/* By what the hook took so far: with others, alone, or not now. */
static enum admit
pace_admit(struct admission *a, const struct candidate *c, enum lane lane,
    int64_t *p95)
{
	*p95 = 0;
	if (lane != LANE_PHP || c->kind != JOB_EVENT)
		return ADMIT_TAKE;
	pthread_mutex_lock(&a->site->engine->lock);
	*p95 = pace_p95(&a->site->pace, c->hook);
	pthread_mutex_unlock(&a->site->engine->lock);
	if (a->alone || a->closed)
		return ADMIT_FULL;
	/* Event Espresso's classes set filters that they never take back. */
	if (slice_starts(c->hook, SLICE_LIT("AHEE__"))) {
		a->closed = a->php_ms > 0;
		return a->closed ? ADMIT_FULL : ADMIT_ALONE;
	}
	if (*p95 >= 0 && *p95 <= SLOW_MS)
		return a->php_ms > QUICK_TOTAL_MS ? ADMIT_FULL : ADMIT_TAKE;
	/* What is known to be slow leaves a worker to the others; for one that
	 * never ran that would be to wait for a stranger. */
	if (*p95 >= 0 && a->slow_left == 0)
		return ADMIT_FULL;
	/* Those behind it do not pass it: they keep core's order. */
	a->closed = a->php_ms > 0;
	return a->closed ? ADMIT_FULL : ADMIT_ALONE;
}

/* What is left to PHP goes the way of any hook. */
static const struct route *
route_of(const struct admission *a, struct slice hook)
{
	const struct config *c = a->config;
	const struct site_run *s = a->site;
	const struct route *r = config_route(c, s->site->name, hook);

	if (r->kind == EXECUTOR_QUEUE && strcmp(r->target, "messages") == 0 &&
	    chores_left_to_php(s->engine->chores, s))
		r = &c->routes[c->nroutes - 1];
	return r;
}

enum admit
engine_admit(void *arg, enum lane lane, const struct candidate *c,
    const struct route **route, const struct policy **policy)
{
	struct admission *a = arg;
	const char *name = a->site->site->name;
	struct sql_scope scope;
	struct limits_scope ls;
	enum admit verdict, how;
	int64_t p95;

	*route = route_of(a, c->hook);
	if (executor_lane((*route)->kind) != lane)
		return ADMIT_BAR;
	*policy = config_policy(a->config, name, c->hook, *route);
	if ((*policy)->paused || is_paused(a, c) || !passes_filters(a, c) ||
	    held_here(a, *route, *policy) || !executor_ready(a, *route))
		return ADMIT_BAR;
	/* Only moved to the table: asked again when it is claimed. */
	if (c->kind == JOB_EVENT && c->id == 0)
		return ADMIT_TAKE;
	if ((a->site->engine->limited && a->left == 0) ||
	    !host_has_share(a, *route))
		return ADMIT_FULL;
	how = pace_admit(a, c, lane, &p95);
	if (how == ADMIT_FULL)
		return how;
	actions_scope(a->site->actions, &scope);
	ls = (struct limits_scope){
		.db = a->db,
		.scope = &scope,
		.blog_id = a->site->blog_id,
		.node_id = a->site->network->node_id,
		.ttl_ms = a->config->daemon.node_expiry_ms,
		.clock = a->site->engine->clock,
	};
	verdict = limits_admit(&a->site->limits, &ls, c->hook, *policy);
	if (verdict != ADMIT_TAKE)
		return verdict;
	if (a->left > 0)
		a->left--;
	a->alone = how == ADMIT_ALONE;
	/* One at least, so that a slow one does not follow. */
	if (lane == LANE_PHP && c->kind == JOB_EVENT)
		a->php_ms += p95 + 1;
	return how;
}

const struct policy *
engine_policy(void *arg, struct slice hook)
{
	struct admission *a = arg;
	const char *name = a->site->site->name;

	return config_policy(a->config, name, hook, route_of(a, hook));
}
