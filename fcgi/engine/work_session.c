/* What a thread of the pool has open for the blog it works on. */
#include "engine/work_session.h"

#include <unistd.h>

#include "engine/site_prepare.h"

/* Between two calls of PHP by one thread. */
#define TURN_MS 30

void
work_owner_init(
    struct work_owner *o, struct engine *e, bool (*quits)(void *arg), void *arg)
{
	*o = (struct work_owner){ .engine = e, .quits = quits, .arg = arg };
	if (getentropy(&o->id, sizeof o->id) != 0)
		o->id = (uint64_t)getpid();
	o->id >>= 1;
}

static bool
stopping(void *arg)
{
	const struct work_session *s = arg;

	return s->owner->quits(s->owner->arg);
}

static struct worker *
free_php_worker_locked(struct engine *e)
{
	for (size_t i = 0; i < e->nworkers; i++) {
		struct worker *w = &e->workers[i];

		if (w->lane == LANE_PHP && !w->site && !w->reserved && !w->ask)
			return w;
	}
	return NULL;
}

/* Counted, so that the next idle worker is left to this thread. */
static void
set_waits_locked(struct engine *e, bool *waits, bool now)
{
	if (*waits == now)
		return;
	*waits = now;
	if (now)
		e->php_wanted++;
	else
		e->php_wanted--;
}

/* An idle worker's place: it gets nothing meanwhile. */
static bool
php_enter(void *arg, uint32_t wait_ms)
{
	struct work_session *s = arg;
	struct engine *e = s->site->engine;
	mono_ms end = clock_mono(e->clock) + (mono_ms)wait_ms;
	bool waits = false;

	/* Jobs have their turn between two calls. */
	if (clock_mono(e->clock) - s->php_left_at < TURN_MS)
		clock_sleep_ms(TURN_MS);
	while (!stopping(s)) {
		pthread_mutex_lock(&e->lock);
		s->php = free_php_worker_locked(e);
		if (s->php)
			s->php->reserved = true;
		set_waits_locked(e, &waits, !s->php);
		pthread_mutex_unlock(&e->lock);
		if (s->php || clock_mono(e->clock) >= end)
			break;
		clock_sleep_ms(20);
	}
	if (waits) {
		pthread_mutex_lock(&e->lock);
		set_waits_locked(e, &waits, false);
		pthread_mutex_unlock(&e->lock);
	}
	return s->php != NULL;
}

static void
php_leave(void *arg)
{
	struct work_session *s = arg;
	struct engine *e = s->site->engine;

	s->php_left_at = clock_mono(e->clock);
	pthread_mutex_lock(&e->lock);
	s->php->reserved = false;
	s->php = NULL;
	e->room_epoch++;
	pthread_cond_broadcast(&e->wake_claimers);
	pthread_mutex_unlock(&e->lock);
}

/* At most db_connections, as workers have it. */
static enum rc
connect_to(struct work_session *s, struct err *err)
{
	struct database *d = s->site->database;
	uint32_t others = atomic_fetch_add(&d->connections, 1) + 1;
	enum rc rc = RC_RETRY;

	if (others < s->config->daemon.db_connections)
		rc = db_open(d->params, &s->env.db, err);
	else
		rc = err_set(err, rc, "all db_connections are in use");
	if (rc != RC_OK) {
		s->env.db = NULL;
		atomic_fetch_sub(&d->connections, 1);
	}
	return rc;
}

enum rc
work_session_open(struct work_session *s, const struct work_owner *owner,
    struct site_run *site, struct err *err)
{
	struct engine *e = owner->engine;
	bool has_actions;
	enum rc rc;

	*s = (struct work_session){
		.owner = owner, .site = site, .php_left_at = -TURN_MS
	};
	pthread_mutex_lock(&e->lock);
	s->config = config_ref(e->config);
	has_actions = site->actions_there;
	pthread_mutex_unlock(&e->lock);
	s->env = (struct work_env){ .config = s->config,
		.site = site->site,
		.blog_id = site->blog_id,
		.facts = &s->facts,
		.actions = has_actions ? site->actions : NULL,
		.memories = owner->memories,
		.node_id = owner->id,
		.clock = e->clock,
		.arg = s,
		.stopping = stopping,
		.php_enter = php_enter,
		.php_leave = php_leave };
	actions_scope(site->actions, &s->env.scope);
	rc = connect_to(s, err);
	if (rc == RC_OK)
		rc = site_facts_read(
		    site->site, s->env.db, &s->env.scope, &s->facts, err);
	if (rc == RC_OK)
		rc = site_standing_read(site->site, &s->facts, s->env.db,
		    &s->env.scope, &s->env.standing, err);
	s->env.siteurl = s->facts.siteurl;
	return rc;
}

void
work_session_close(struct work_session *s)
{
	if (s->env.db) {
		db_close(s->env.db);
		atomic_fetch_sub(&s->site->database->connections, 1);
	}
	site_facts_clear(&s->facts);
	config_unref(s->config);
}
