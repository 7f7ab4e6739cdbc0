/* Threads for mails, messages and tasks, and what waits for them. */
#include "engine/chores.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/leavers.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "engine/chores_run.h"
#include "engine/engine_internal.h"
#include "engine/work_session.h"

#define THREADS_MAX 6
/* Connections of one process to one relay. */
#define SENDERS_MAX 4
/* Of messages, and of tasks: others are not kept waiting by them. */
#define RUNNING_MAX 2
#define IDLE_MS 5000
/* What failed, or what another node is at, is looked at again then. */
#define AGAIN_MS 2000
/* Without the plugin. */
#define ABSENT_MS 300000

/* Lock order: engine.lock before this one; nothing blocks under it. */
struct chores {
	struct work_owner own;
	pthread_mutex_t lock;
	pthread_cond_t wake; /* work, quit */
	pthread_cond_t gone; /* a thread has ended */

	/* Guarded by lock. */
	struct site_run *wanted; /* by chores.next */
	size_t threads, idle;
	struct leavers leavers;
	size_t running[CHORE_COUNT];
	bool quit;
};

static bool
quits(void *arg)
{
	struct chores *c = arg;
	bool quit;

	pthread_mutex_lock(&c->lock);
	quit = c->quit;
	pthread_mutex_unlock(&c->lock);
	return quit;
}

struct chores *
chores_new(struct engine *e)
{
	struct chores *c = xcalloc(1, sizeof *c);
	pthread_condattr_t attr;

	work_owner_init(&c->own, e, quits, c);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->wake, &attr);
	pthread_cond_init(&c->gone, &attr);
	pthread_condattr_destroy(&attr);
	return c;
}

/* ---- which is next ------------------------------------------------------ */

static size_t
most_of(enum chore what)
{
	return what == CHORE_OUTBOX ? SENDERS_MAX : RUNNING_MAX;
}

/* Of one blog: mails go through several connections side by side. */
static unsigned
most_of_blog(const struct site_run *s, enum chore what)
{
	return what == CHORE_OUTBOX ? s->chores.senders : 1;
}

static bool
may_run(const struct chores *c, const struct site_run *s, enum chore what,
    mono_ms now)
{
	return s->chores.of[what].wanted &&
	       s->chores.of[what].not_before <= now &&
	       s->chores.of[what].running < most_of_blog(s, what) &&
	       c->running[what] < most_of(what);
}

/* At the end: it waits for its turn behind the others. */
static void
list_locked(struct chores *c, struct site_run *s)
{
	struct site_run **at = &c->wanted;

	if (s->chores.listed)
		return;
	while (*at)
		at = &(*at)->chores.next;
	s->chores.next = NULL;
	s->chores.listed = true;
	*at = s;
}

static void
unlist_idle_locked(struct chores *c)
{
	struct site_run **at = &c->wanted;

	while (*at) {
		struct site_run *s = *at;
		bool any = false;

		for (int k = 0; k < CHORE_COUNT; k++)
			any = any || s->chores.of[k].wanted;
		if (any) {
			at = &s->chores.next;
			continue;
		}
		*at = s->chores.next;
		s->chores.listed = false;
	}
}

/* The first that may begin; a blog that had its turn goes to the end. */
static struct site_run *
take_locked(struct chores *c, mono_ms now, enum chore *what)
{
	for (struct site_run **at = &c->wanted; *at; at = &(*at)->chores.next) {
		struct site_run *s = *at;

		for (int k = 0; k < CHORE_COUNT; k++) {
			*what = (enum chore)k;
			if (!may_run(c, s, *what, now))
				continue;
			s->chores.of[k].wanted = false;
			s->chores.of[k].running++;
			c->running[k]++;
			*at = s->chores.next;
			s->chores.next = NULL;
			while (*at)
				at = &(*at)->chores.next;
			*at = s;
			unlist_idle_locked(c);
			return s;
		}
	}
	return NULL;
}

static bool
any_may_run_locked(const struct chores *c, mono_ms now)
{
	for (const struct site_run *s = c->wanted; s; s = s->chores.next)
		for (int k = 0; k < CHORE_COUNT; k++)
			if (may_run(c, s, (enum chore)k, now))
				return true;
	return false;
}

/* ---- one chore ---------------------------------------------------------- */

static void
say_held(struct site_run *s, enum chore what, const char *why)
{
	char *held = s->chores.of[what].held;

	if (strncmp(held, why, sizeof s->chores.of[what].held - 1) == 0)
		return;
	(void)snprintf(held, sizeof s->chores.of[what].held, "%.127s", why);
	if (*why)
		log_event(LOG_WARN, "chore.held", LOG_S("site", s->site->name),
		    LOG_U("blog", s->blog_id), LOG_S("what", chore_name(what)),
		    LOG_S("why", why));
}

static void
say_absent_locked(struct site_run *s)
{
	if (!s->chores.absent_said)
		log_event(LOG_INFO, "queue.off", LOG_S("site", s->site->name),
		    LOG_U("blog", s->blog_id), LOG_S("queue", "messages"),
		    LOG_S("why", "Event Espresso is not active, or its tables "
				 "are not there"));
	s->chores.absent_said = true;
}

static void
note_messages_locked(struct site_run *s, const struct chore_report *report)
{
	s->chores.left_to_php = report->left_to_php;
	if (report->absent)
		say_absent_locked(s);
	else if (!*report->held)
		s->chores.absent_said = false;
}

/* With the lock, which is let go meanwhile. */
static void
run_locked(struct chores *c, struct site_run *s, enum chore what)
{
	const struct clock *clock = c->own.engine->clock;
	struct chore_report report = { .wait_ms = 0 };
	struct work_session session;
	struct err err = ERR_INIT;
	bool tick = s->chores.of[what].tick;
	enum rc rc;

	s->chores.of[what].tick = false;
	pthread_mutex_unlock(&c->lock);
	rc = work_session_open(&session, &c->own, s, &err);
	if (rc == RC_OK)
		rc = chore_run(&session.env, what, tick, &report, &err);
	work_session_close(&session);
	if (rc != RC_OK && rc != RC_NONE)
		log_event(LOG_WARN, "chore.failed",
		    LOG_S("site", s->site->name), LOG_U("blog", s->blog_id),
		    LOG_S("what", chore_name(what)), LOG_S("why", err.text));
	pthread_mutex_lock(&c->lock);
	c->running[what]--;
	s->chores.of[what].running--;
	if (rc == RC_OK && !report.absent)
		say_held(s, what, report.held);
	s->chores.untold |= report.untold;
	if (rc == RC_OK && what == CHORE_MESSAGES)
		note_messages_locked(s, &report);
	if (rc != RC_OK)
		report.wait_ms = AGAIN_MS;
	else if (report.absent)
		report.wait_ms = ABSENT_MS;
	s->chores.of[what].not_before = clock_mono(clock) + report.wait_ms;
	if (c->quit)
		return;
	if (report.more || rc == RC_RETRY || (tick && rc != RC_OK)) {
		s->chores.of[what].tick |= tick;
		s->chores.of[what].wanted = true;
		list_locked(c, s);
	}
}

/* ---- threads on demand --------------------------------------------------- */

static void *
chores_main(void *arg)
{
	struct chores *c = arg;
	struct leavers before;
	bool rested = false;

	db_thread_begin();
	pthread_mutex_lock(&c->lock);
	while (!c->quit) {
		enum chore what;
		struct site_run *s =
		    take_locked(c, clock_mono(c->own.engine->clock), &what);
		struct timespec ts;

		if (s) {
			run_locked(c, s, what);
			rested = false;
			continue;
		}
		/* What waits for its time is wanted by nobody again. */
		if (rested && !c->wanted)
			break;
		clock_deadline(&ts, IDLE_MS);
		c->idle++;
		rested = pthread_cond_timedwait(&c->wake, &c->lock, &ts) != 0;
		c->idle--;
	}
	c->threads--;
	before = leavers_add(&c->leavers);
	pthread_cond_broadcast(&c->gone);
	pthread_mutex_unlock(&c->lock);
	db_thread_end();
	leavers_join(&before);
	return NULL;
}

static void
wake_locked(struct chores *c)
{
	pthread_t thread;

	if (c->quit || !c->wanted)
		return;
	/* One waits for what may not begin yet. */
	if (c->threads > 0 &&
	    !any_may_run_locked(c, clock_mono(c->own.engine->clock)))
		return;
	pthread_cond_signal(&c->wake);
	if (c->idle > 0 || c->threads >= THREADS_MAX)
		return;
	if (pthread_create(&thread, NULL, chores_main, c) != 0) {
		log_event(LOG_ERR, "chore.thread",
		    LOG_S("why", "no thread can be started"));
		return;
	}
	c->threads++;
}

/* ---- what others call --------------------------------------------------- */

void
chores_want(struct chores *c, struct site_run *s, enum chore what, bool tick)
{
	pthread_mutex_lock(&c->lock);
	if (s->chores.senders == 0)
		s->chores.senders = 1;
	s->chores.of[what].wanted = true;
	s->chores.of[what].tick |= tick;
	list_locked(c, s);
	wake_locked(c);
	pthread_mutex_unlock(&c->lock);
}

void
chores_senders(struct chores *c, struct site_run *s, unsigned senders)
{
	pthread_mutex_lock(&c->lock);
	s->chores.senders = senders;
	pthread_mutex_unlock(&c->lock);
}

void
chores_absent(struct chores *c, struct site_run *s)
{
	pthread_mutex_lock(&c->lock);
	say_absent_locked(s);
	pthread_mutex_unlock(&c->lock);
}

bool
chores_left_to_php(struct chores *c, const struct site_run *s)
{
	bool left;

	pthread_mutex_lock(&c->lock);
	left = s->chores.left_to_php;
	pthread_mutex_unlock(&c->lock);
	return left;
}

bool
chores_untold(struct chores *c, struct site_run *s)
{
	bool untold;

	pthread_mutex_lock(&c->lock);
	untold = s->chores.untold;
	s->chores.untold = false;
	pthread_mutex_unlock(&c->lock);
	return untold;
}

void
chores_quit(struct chores *c)
{
	pthread_mutex_lock(&c->lock);
	c->quit = true;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

void
chores_drain(struct chores *c)
{
	chores_quit(c);
	pthread_mutex_lock(&c->lock);
	while (c->threads > 0)
		pthread_cond_wait(&c->gone, &c->lock);
	pthread_mutex_unlock(&c->lock);
	leavers_join(&c->leavers);
}

void
chores_free(struct chores *c)
{
	if (!c)
		return;
	chores_drain(c);
	pthread_cond_destroy(&c->gone);
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
