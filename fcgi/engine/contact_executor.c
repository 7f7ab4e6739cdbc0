/* Retry rows of contacts as jobs of a worker; the pool does the work. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "engine/contact_internal.h"
#include "engine/engine_internal.h"

/* So many of one worker wait in the pool at once. */
#define CONTACT_ROOM 100
/* After one that could not be tried, others are not claimed for so long. */
#define REST_MS 60000

struct pending {
	struct pending *next;
	struct executor_shared *shared;
	struct job *job;
	struct contact_task task; /* as it ended */
};

/* Outlives the executor while the pool has tasks of it. */
struct executor_shared {
	pthread_mutex_t lock;
	pthread_cond_t ended_one;
	/* Guarded by lock. */
	struct pending *ended, **ended_end;
	size_t waiting;
	bool left; /* the executor is gone */
};

struct contact_executor {
	struct executor base;
	struct contact_pool *pool;
	struct site_run *site;
	const struct clock *clock;
	struct executor_shared *shared;
	struct pending *at_once; /* ended in begin() */
	size_t running;
};

static struct contact_executor *
self_of(struct executor *ex)
{
	return (struct contact_executor *)(void *)ex;
}

static void
shared_free(struct executor_shared *s)
{
	while (s->ended) {
		struct pending *p = s->ended;

		s->ended = p->next;
		free(p);
	}
	pthread_cond_destroy(&s->ended_one);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* On the pool's thread. */
static void
on_done(void *arg, const struct contact_task *t)
{
	struct pending *p = arg;
	struct executor_shared *s = p->shared;
	bool last;

	p->task = *t;
	pthread_mutex_lock(&s->lock);
	s->waiting--;
	p->next = NULL;
	*s->ended_end = p;
	s->ended_end = &p->next;
	last = s->left && s->waiting == 0;
	pthread_cond_signal(&s->ended_one);
	pthread_mutex_unlock(&s->lock);
	if (last)
		shared_free(s);
}

static size_t
contact_room(const struct executor *ex)
{
	const struct contact_executor *c =
	    (const struct contact_executor *)(const void *)ex;

	return c->running < CONTACT_ROOM ? CONTACT_ROOM - c->running : 0;
}

/* What Newspack's callback logs and completes without trying. */
static void
refuse(struct contact_executor *c, struct job *j, const char *why)
{
	struct pending *p = xcalloc(1, sizeof *p);

	log_event(LOG_WARN, "contact.retry_invalid",
	    LOG_S("site", c->site->site->name), LOG_U("action", j->id),
	    LOG_S("why", why));
	p->job = j;
	p->task.ok = true;
	p->next = c->at_once;
	c->at_once = p;
}

static void
begin_one(struct contact_executor *c, struct job *j)
{
	int direction = contact_retry_direction(j->hook);
	struct executor_shared *s = c->shared;
	struct arena arena = ARENA_INIT(65536);
	struct contact_retry r;
	struct err err = ERR_INIT;
	struct pending *p;
	struct contact_task t;

	j->started = true;
	c->running++;
	if (direction < 0 ||
	    contact_retry_parse((enum contact_direction)direction, j->args,
		&arena, &r, &err) != RC_OK) {
		refuse(c, j, direction < 0 ? "no hook of contacts" : err.text);
		arena_clear(&arena);
		return;
	}
	p = xcalloc(1, sizeof *p);
	p->shared = s;
	p->job = j;
	t = (struct contact_task){ .direction =
				       (enum contact_direction)direction,
		.user_id = r.user_id,
		.integration = r.integration,
		.context = r.context,
		.previous_email = r.previous_email,
		.retry = r.count,
		.action_id = j->id };
	pthread_mutex_lock(&s->lock);
	s->waiting++;
	pthread_mutex_unlock(&s->lock);
	if (!contact_pool_add(c->pool, c->site, &t, false, on_done, p)) {
		t.lost = true;
		on_done(p, &t);
	}
	arena_clear(&arena);
}

static void
contact_begin(struct executor *ex, struct job *const *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		begin_one(self_of(ex), jobs[i]);
}

static void
rest(struct contact_executor *c)
{
	struct engine *e = c->site->engine;

	pthread_mutex_lock(&e->lock);
	c->site->contact_rest_until = clock_mono(c->clock) + REST_MS;
	pthread_mutex_unlock(&e->lock);
}

static void
report_one(struct contact_executor *c, const struct pending *p,
    outcome_fn *report, void *arg)
{
	const struct contact_task *t = &p->task;
	struct outcome o = { .job = p->job,
		.kind = OUTCOME_DONE,
		.ended_at = clock_wall(c->clock) };

	c->running--;
	if (t->lost) {
		o.kind = OUTCOME_DIED;
	} else if (t->held) {
		rest(c); /* its row was inserted anew */
	} else if (!t->ok && t->final) {
		o.kind = OUTCOME_FAILED;
	}
	if (o.kind != OUTCOME_DONE)
		(void)snprintf(o.message, sizeof o.message, "%s",
		    *t->message ? t->message : "the program stops");
	report(arg, &o);
}

static void
report_all(
    struct contact_executor *c, struct pending *list, outcome_fn *fn, void *arg)
{
	while (list) {
		struct pending *p = list;

		list = p->next;
		report_one(c, p, fn, arg);
		free(p);
	}
}

static struct pending *
take_ended(struct contact_executor *c, int timeout_ms)
{
	struct executor_shared *s = c->shared;
	struct pending *list;
	struct timespec ts;

	clock_deadline(&ts, timeout_ms);
	pthread_mutex_lock(&s->lock);
	while (!s->ended && timeout_ms > 0 && s->waiting > 0)
		if (pthread_cond_timedwait(&s->ended_one, &s->lock, &ts) != 0)
			break;
	list = s->ended;
	s->ended = NULL;
	s->ended_end = &s->ended;
	pthread_mutex_unlock(&s->lock);
	return list;
}

static void
contact_poll_ended(
    struct executor *ex, int timeout_ms, outcome_fn *report, void *arg)
{
	struct contact_executor *c = self_of(ex);
	struct pending *list = c->at_once;

	c->at_once = NULL;
	report_all(c, list, report, arg);
	report_all(c, take_ended(c, list ? 0 : timeout_ms), report, arg);
}

static size_t
contact_running(const struct executor *ex)
{
	return ((const struct contact_executor *)(const void *)ex)->running;
}

/* The pool ends what it has in hand, and no more: that is soon. */
static void
contact_abandon(struct executor *ex, outcome_fn *report, void *arg)
{
	struct contact_executor *c = self_of(ex);

	contact_pool_quit(c->pool);
	while (c->running > 0)
		contact_poll_ended(ex, 1000, report, arg);
}

static void
contact_free(struct executor *ex)
{
	struct contact_executor *c = self_of(ex);
	struct executor_shared *s = c->shared;
	bool last;

	pthread_mutex_lock(&s->lock);
	s->left = true;
	last = s->waiting == 0;
	pthread_mutex_unlock(&s->lock);
	if (last)
		shared_free(s);
	free(c);
}

static const struct executor_ops contact_ops = {
	.name = "contact-sync",
	.room = contact_room,
	.begin = contact_begin,
	.poll = contact_poll_ended,
	.running = contact_running,
	.abandon = contact_abandon,
	.free = contact_free,
};

struct executor *
contact_executor_new(
    struct contact_pool *p, struct site_run *s, const struct clock *clock)
{
	struct contact_executor *c = xcalloc(1, sizeof *c);
	pthread_condattr_t attr;

	c->base.ops = &contact_ops;
	c->pool = p;
	c->site = s;
	c->clock = clock;
	c->shared = xcalloc(1, sizeof *c->shared);
	c->shared->ended_end = &c->shared->ended;
	pthread_mutex_init(&c->shared->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->shared->ended_one, &attr);
	pthread_condattr_destroy(&attr);
	return &c->base;
}
