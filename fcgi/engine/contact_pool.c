/* The threads that work on contacts, and what waits for them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/leavers.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "engine/contact_internal.h"
#include "engine/site_prepare.h"
#include "engine/work_session.h"

#define POOL_THREADS 4
/* Batches leave threads for single readers. */
#define POOL_BATCHES 2
#define POOL_TASKS 2000
/* Tasks that go together. */
#define POOL_GROUP 100
#define IDLE_S 5
#define AGAIN_MS 1000
#define OTHERS_MS 10000
/* Bulk calls of a former process are asked for soon after the start. */
#define FIRST_TICK_MS 2000

enum wanted {
	WANT_BATCH = 1u << 0,
	WANT_CLOCK = 1u << 1,
	WANT_POLL = 1u << 2,
};

/* All integrations of one reader, side by side. */
struct side_by_side {
	size_t left;
	struct contact_task whole;
	contact_done_fn *done;
	void *arg;
};

struct queued {
	struct queued *next;
	struct site_run *site;
	struct contact_task task;
	bool urgent;
	mono_ms not_before;
	contact_done_fn *done;
	void *arg;
	struct side_by_side *group; /* NULL: alone */
	struct arena arena;         /* the task's texts */
};

/* Lock order: engine.lock before this one; nothing blocks under it. */
struct contact_pool {
	struct work_owner own;
	pthread_mutex_t lock;
	pthread_cond_t wake; /* work, quit */
	pthread_cond_t gone; /* a thread has ended */

	/* Guarded by lock. */
	struct site_run *wanted; /* by contacts.next */
	struct queued *tasks;
	size_t ntasks;
	size_t threads, idle, batches;
	struct leavers leavers;
	bool quit, closing;
};

bool
contact_pool_quits(struct contact_pool *p)
{
	bool quit;

	pthread_mutex_lock(&p->lock);
	quit = p->quit;
	pthread_mutex_unlock(&p->lock);
	return quit;
}

static bool
quits(void *arg)
{
	return contact_pool_quits(arg);
}

struct contact_pool *
contact_pool_new(struct engine *e)
{
	struct contact_pool *p = xcalloc(1, sizeof *p);
	pthread_condattr_t attr;

	work_owner_init(&p->own, e, quits, p);
	p->own.memories = esp_memories_new();
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->wake, &attr);
	pthread_cond_init(&p->gone, &attr);
	pthread_condattr_destroy(&attr);
	return p;
}

/* ---- batches ------------------------------------------------------------ */

/* The first blog that wants a batch and has none under way. */
static struct site_run *
next_batch_locked(struct contact_pool *p)
{
	struct site_run **at = &p->wanted;

	if (p->batches >= POOL_BATCHES)
		return NULL;
	while (*at && (*at)->contacts.running)
		at = &(*at)->contacts.next;
	if (*at) {
		struct site_run *s = *at;

		*at = s->contacts.next;
		s->contacts.listed = false;
		return s;
	}
	return NULL;
}

static void
want_locked(struct contact_pool *p, struct site_run *s, unsigned what)
{
	struct site_run **at = &p->wanted;

	s->contacts.wanted |= what;
	if (s->contacts.listed || what == 0)
		return;
	while (*at)
		at = &(*at)->contacts.next;
	s->contacts.next = NULL;
	s->contacts.listed = true;
	*at = s;
}

static bool
made_progress(const struct contact_report *r)
{
	for (int d = 0; d < CONTACT_NDIRECTIONS; d++) {
		const struct contact_counts *c = &r->counts[d];

		if (c->done + c->unchanged + c->pending + c->retried +
			c->refused + c->orphans >
		    0)
			return true;
	}
	return false;
}

static void
say_held(struct site_run *s, const struct contact_report *r, unsigned what)
{
	bool fresh = strncmp(s->contacts.held, r->held,
			 sizeof s->contacts.held - 1) != 0;

	if (!fresh)
		return;
	(void)snprintf(
	    s->contacts.held, sizeof s->contacts.held, "%.127s", r->held);
	/* A site without the plugin is no news. */
	if (*r->held)
		log_event(what & WANT_BATCH ? LOG_WARN
			  : r->absent       ? LOG_DEBUG
					    : LOG_INFO,
		    "contacts.held", LOG_S("site", s->site->name),
		    LOG_U("blog", s->blog_id), LOG_S("why", r->held));
}

static enum rc
batch_run(struct contact_pool *p, struct site_run *s, unsigned what,
    struct contact_report *report, struct err *err)
{
	struct contact_batch_opts opts = {
		.poll_only = !(what & (WANT_BATCH | WANT_CLOCK)),
		.own_clock = !(what & WANT_BATCH),
	};
	struct work_session session;
	enum rc rc = work_session_open(&session, &p->own, s, err);

	if (rc == RC_OK)
		rc = contact_batch_run(&session.env, &opts, report, err);
	work_session_close(&session);
	return rc;
}

/* With the pool's lock, which is let go meanwhile. */
static void
batch_locked(struct contact_pool *p, struct site_run *s)
{
	const struct clock *clock = p->own.engine->clock;
	struct contact_report report = { .again_at = INT64_MAX };
	struct err err = ERR_INIT;
	unsigned what = s->contacts.wanted;
	enum rc rc;

	s->contacts.wanted = 0;
	s->contacts.running = true;
	p->batches++;
	pthread_mutex_unlock(&p->lock);
	rc = batch_run(p, s, what, &report, &err);
	if (rc == RC_OK)
		say_held(s, &report, what);
	else if (rc != RC_NONE)
		log_event(LOG_WARN, "contacts.batch_failed",
		    LOG_S("site", s->site->name), LOG_U("blog", s->blog_id),
		    LOG_S("why", err.text));
	pthread_mutex_lock(&p->lock);
	p->batches--;
	s->contacts.running = false;
	s->contacts.poll_at = INT64_MAX;
	if (report.again_at != INT64_MAX) {
		int64_t in_s = report.again_at - clock_unix(clock);

		s->contacts.poll_at =
		    clock_mono(clock) + (in_s > 0 ? in_s : 1) * 1000;
	}
	if (rc == RC_OK && report.more && made_progress(&report) && !p->quit)
		want_locked(p, s, what);
	if ((rc == RC_RETRY || (rc == RC_NONE && what & WANT_BATCH)) &&
	    !p->quit) {
		/* The claimer's clock takes it up again; another node may only
		 * have asked for its bulk calls. */
		s->contacts.again |= what;
		s->contacts.tick_at =
		    clock_mono(clock) + (rc == RC_RETRY ? AGAIN_MS : OTHERS_MS);
	}
}

/* ---- threads on demand --------------------------------------------------- */

static void *pool_main(void *arg);

static void
wake_locked(struct contact_pool *p)
{
	pthread_t thread;

	pthread_cond_broadcast(&p->wake);
	if (p->idle > p->ntasks || p->threads >= POOL_THREADS || p->quit)
		return;
	if (pthread_create(&thread, NULL, pool_main, p) != 0) {
		log_event(LOG_ERR, "contacts.thread",
		    LOG_S("why", "no thread can be started"));
		return;
	}
	p->threads++;
}

/* ---- tasks -------------------------------------------------------------- */

static void
queued_free(struct queued *q)
{
	arena_clear(&q->arena);
	free(q);
}

/* Without the lock. */
static void
tell(struct contact_pool *p, struct queued *q)
{
	struct side_by_side *g = q->group;
	bool last = true;

	if (g) {
		pthread_mutex_lock(&p->lock);
		if (!q->task.ok) {
			g->whole.ok = false;
			g->whole.later = g->whole.later || q->task.later;
			memcpy(g->whole.message, q->task.message,
			    sizeof g->whole.message);
		}
		last = --g->left == 0;
		pthread_mutex_unlock(&p->lock);
		if (last) {
			g->done(g->arg, &g->whole);
			free(g);
		}
	} else if (q->done) {
		q->done(q->arg, &q->task);
	}
	queued_free(q);
}

static struct queued *
queued_new(struct site_run *s, const struct contact_task *t, bool urgent)
{
	struct queued *q = xcalloc(1, sizeof *q);

	q->arena = (struct arena)ARENA_INIT(16384);
	q->site = s;
	q->task = *t;
	q->urgent = urgent;
	q->task.integration = arena_slice(&q->arena, t->integration);
	q->task.context = arena_slice(&q->arena, t->context);
	q->task.previous_email = arena_slice(&q->arena, t->previous_email);
	if (q->arena.failed) {
		queued_free(q);
		return NULL;
	}
	return q;
}

static void
put_locked(struct contact_pool *p, struct queued *q)
{
	struct queued **at = &p->tasks;

	while (*at && (!q->urgent || (*at)->urgent))
		at = &(*at)->next;
	q->next = *at;
	*at = q;
	p->ntasks++;
}

static bool
go_together(const struct queued *a, const struct queued *b)
{
	return a->site == b->site && a->urgent == b->urgent &&
	       a->task.direction == b->task.direction &&
	       slice_eq(a->task.integration, b->task.integration);
}

/* The first that may run, and those that go with it; *n of them. */
static struct queued *
take_locked(struct contact_pool *p, mono_ms now, size_t *n)
{
	struct queued **at = &p->tasks, *first, **end;
	size_t most;

	*n = 0;
	while (*at && (*at)->not_before > now)
		at = &(*at)->next;
	first = *at;
	if (!first)
		return NULL;
	*at = first->next;
	first->next = NULL;
	end = &first->next;
	*n = 1;
	/* Urgent ones go side by side, each on a thread of its own. */
	most = first->urgent ? 1 : POOL_GROUP;
	while (*at && *n < most) {
		struct queued *q = *at;

		if (q->not_before > now || !go_together(first, q)) {
			at = &q->next;
			continue;
		}
		*at = q->next;
		q->next = NULL;
		*end = q;
		end = &q->next;
		(*n)++;
	}
	p->ntasks -= *n;
	return first;
}

/* One task an integration in the place of one for all of them. */
static bool
split(struct contact_pool *p, struct work_session *session, struct queued *q,
    struct err *err)
{
	struct newspack settings;
	struct side_by_side *g;
	size_t n = 0;
	bool did = false;

	if (newspack_read(session->env.site, session->env.facts,
		session->env.config, session->env.db, &session->env.scope,
		session->env.blog_id, &settings, err) == RC_OK)
		for (size_t i = 0; i < settings.n; i++)
			n += settings.integrations[i].set_up;
	if (n > 1) {
		g = xcalloc(1, sizeof *g);
		g->whole = q->task;
		g->whole.integration = g->whole.context =
		    g->whole.previous_email = SLICE_LIT("");
		g->whole.ok = true;
		g->done = q->done;
		g->arg = q->arg;
		pthread_mutex_lock(&p->lock);
		for (size_t i = 0; i < settings.n; i++) {
			struct contact_task one = q->task;
			struct queued *part;

			if (!settings.integrations[i].set_up)
				continue;
			one.integration =
			    slice_str(settings.integrations[i].id);
			part = queued_new(q->site, &one, true);
			if (!part)
				continue;
			part->group = g;
			g->left++;
			put_locked(p, part);
			wake_locked(p);
		}
		did = g->left > 0;
		pthread_mutex_unlock(&p->lock);
		if (!did)
			free(g);
	}
	newspack_clear(&settings);
	return did;
}

static enum rc
group_run(
    struct contact_pool *p, struct queued **first, size_t n, struct err *err)
{
	struct contact_task **tasks = xcalloc(n, sizeof(struct contact_task *));
	struct work_session session;
	size_t k = 0;
	enum rc rc = work_session_open(&session, &p->own, (*first)->site, err);

	if (rc == RC_OK && (*first)->urgent &&
	    (*first)->task.integration.n == 0 &&
	    split(p, &session, *first, err)) {
		queued_free(*first);
		*first = NULL;
	}
	for (struct queued *q = *first; q; q = q->next)
		tasks[k++] = &q->task;
	if (rc == RC_OK && k > 0)
		rc = contact_tasks_run(&session.env, tasks, k, err);
	work_session_close(&session);
	free(tasks);
	return rc;
}

static void
tasks_locked(struct contact_pool *p, struct queued *first, size_t n)
{
	mono_ms again = clock_mono(p->own.engine->clock) + AGAIN_MS;
	struct err err = ERR_INIT;
	bool quit = p->quit;
	enum rc rc;

	pthread_mutex_unlock(&p->lock);
	rc = quit ? err_set(&err, RC_NONE, "the program stops")
		  : group_run(p, &first, n, &err);
	while (first) {
		struct queued *q = first;

		first = q->next;
		q->next = NULL;
		if (rc == RC_RETRY && !q->urgent && !contact_pool_quits(p)) {
			q->not_before = again;
			pthread_mutex_lock(&p->lock);
			put_locked(p, q);
			pthread_mutex_unlock(&p->lock);
			continue;
		}
		if (rc != RC_OK) {
			q->task.ok = false;
			q->task.later = true;
			q->task.lost = true;
			memcpy(
			    q->task.message, err.text, sizeof q->task.message);
		}
		tell(p, q);
	}
	pthread_mutex_lock(&p->lock);
}

/* ---- threads ------------------------------------------------------------ */

static void *
pool_main(void *arg)
{
	struct contact_pool *p = arg;
	struct leavers before;
	bool rested = false;

	db_thread_begin();
	pthread_mutex_lock(&p->lock);
	for (;;) {
		mono_ms now = clock_mono(p->own.engine->clock);
		struct site_run *s;
		struct queued *q;
		struct timespec ts;
		size_t n;

		if ((q = take_locked(p, now, &n))) {
			tasks_locked(p, q, n);
		} else if (!p->quit && (s = next_batch_locked(p))) {
			batch_locked(p, s);
		} else if (p->closing || p->quit || (rested && !p->tasks)) {
			break;
		} else {
			clock_deadline(
			    &ts, p->tasks ? AGAIN_MS : IDLE_S * 1000);
			p->idle++;
			rested = pthread_cond_timedwait(
				     &p->wake, &p->lock, &ts) != 0;
			p->idle--;
			continue;
		}
		rested = false;
	}
	p->threads--;
	before = leavers_add(&p->leavers);
	pthread_cond_broadcast(&p->gone);
	pthread_mutex_unlock(&p->lock);
	db_thread_end();
	leavers_join(&before);
	return NULL;
}

/* ---- what others call --------------------------------------------------- */

static void
want(struct contact_pool *p, struct site_run *s, unsigned what)
{
	pthread_mutex_lock(&p->lock);
	want_locked(p, s, what);
	wake_locked(p);
	pthread_mutex_unlock(&p->lock);
}

void
contact_pool_batch(struct contact_pool *p, struct site_run *s)
{
	want(p, s, WANT_BATCH);
}

mono_ms
contact_pool_tend_locked(
    struct contact_pool *p, struct site_run *s, mono_ms now)
{
	const struct config_site *c =
	    site_config(p->own.engine->config, s->site);
	unsigned what = 0;
	mono_ms next;

	if (!c->contacts || p->own.engine->once)
		return INT64_MAX;
	pthread_mutex_lock(&p->lock);
	if (s->contacts.tick_at == 0)
		s->contacts.tick_at = now + FIRST_TICK_MS;
	if (now >= s->contacts.tick_at) {
		s->contacts.tick_at = now + (mono_ms)c->contacts_every_ms;
		what |= WANT_CLOCK | s->contacts.again;
		s->contacts.again = 0;
	}
	if (s->contacts.poll_at > 0 && now >= s->contacts.poll_at) {
		s->contacts.poll_at = INT64_MAX;
		what |= WANT_POLL;
	}
	next = s->contacts.tick_at;
	if (s->contacts.poll_at > 0 && s->contacts.poll_at < next)
		next = s->contacts.poll_at;
	want_locked(p, s, what);
	if (what)
		wake_locked(p);
	pthread_mutex_unlock(&p->lock);
	return next;
}

bool
contact_pool_add(struct contact_pool *p, struct site_run *s,
    const struct contact_task *t, bool urgent, contact_done_fn *done, void *arg)
{
	struct queued *q = queued_new(s, t, urgent);
	bool room;

	if (!q)
		return false;
	q->done = done;
	q->arg = arg;
	pthread_mutex_lock(&p->lock);
	room = p->ntasks < POOL_TASKS && !p->quit && !p->closing;
	if (room) {
		put_locked(p, q);
		wake_locked(p);
	}
	pthread_mutex_unlock(&p->lock);
	if (!room)
		queued_free(q);
	return room;
}

void
contact_pool_quit(struct contact_pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->quit = !p->own.engine->once;
	p->closing = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
}

void
contact_pool_drain(struct contact_pool *p)
{
	contact_pool_quit(p);
	pthread_mutex_lock(&p->lock);
	while (p->threads > 0)
		pthread_cond_wait(&p->gone, &p->lock);
	pthread_mutex_unlock(&p->lock);
	leavers_join(&p->leavers);
	/* Those whose thread could not be started. */
	while (p->tasks) {
		struct queued *q = p->tasks;

		p->tasks = q->next;
		q->task.ok = false;
		q->task.later = q->task.lost = true;
		tell(p, q);
	}
}

void
contact_pool_free(struct contact_pool *p)
{
	if (!p)
		return;
	contact_pool_drain(p);
	esp_memories_free(p->own.memories);
	pthread_cond_destroy(&p->gone);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
