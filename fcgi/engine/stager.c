#include "engine/stager.h"

#include <stdlib.h>
#include <string.h>

#include "base/errno_text.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "engine/network.h"
#include "engine/site_prepare.h"
#include "engine/stager_internal.h"

/* The name of the cookie is asked for at most so often. */
#define LEARN_AGAIN_MS 1000
/* What every name starts with that no constant changed. */
static const struct slice usual_name = { "wordpress_logged_in_", 20 };

/* ---- life --------------------------------------------------------------- */

static void
thread_init(struct stager_thread *t, struct stager *st, struct database *d)
{
	pthread_condattr_t attr;

	t->stager = st;
	t->database = d;
	t->items_end = &t->items;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->wake, &attr);
	pthread_condattr_destroy(&attr);
}

static void
set_rates(struct stager *st, const struct config *config)
{
	const struct engine *e = st->engine;
	mono_ms now = clock_mono(e->clock);

	for (size_t i = 0; i < e->nnetworks; i++) {
		struct stager_site *s = &st->sites[i];

		s->rate =
		    site_config(config, e->networks[i].site)->unproven_cookies;
		s->tokens = s->rate.count;
		s->filled_at = now;
	}
}

struct stager *
stager_new(struct engine *e)
{
	struct stager *st = xcalloc(1, sizeof(*st));

	st->engine = e;
	pthread_mutex_init(&st->lock, NULL);
	st->nthreads = e->ndatabases;
	st->threads = xcalloc(st->nthreads, sizeof(*st->threads));
	for (size_t i = 0; i < st->nthreads; i++)
		thread_init(&st->threads[i], st, &e->databases[i]);
	st->sites = xcalloc(e->nnetworks, sizeof(*st->sites));
	for (size_t i = 0; i < e->nnetworks; i++) {
		struct stager_site *s = &st->sites[i];

		s->index = (uint32_t)i;
		s->thread =
		    &st->threads[e->networks[i].database - e->databases];
		s->named_at = s->learn_at = s->keys_at = INT64_MIN / 2;
	}
	set_rates(st, e->config);
	return st;
}

void
stager_stop(struct stager *st)
{
	pthread_mutex_lock(&st->lock);
	st->stopping = true;
	for (size_t i = 0; i < st->nthreads; i++)
		pthread_cond_signal(&st->threads[i].wake);
	pthread_mutex_unlock(&st->lock);
	/* Nobody starts a thread any more. */
	for (size_t i = 0; i < st->nthreads; i++)
		if (st->threads[i].started)
			pthread_join(st->threads[i].thread, NULL);
	for (size_t i = 0; i < st->nthreads; i++)
		st->threads[i].started = false;
}

void
stager_free(struct stager *st)
{
	struct stager_blog *b;

	if (!st)
		return;
	stager_stop(st);
	while ((b = st->blogs)) {
		st->blogs = b->next;
		free(b);
	}
	for (size_t i = 0; i < st->nthreads; i++)
		pthread_cond_destroy(&st->threads[i].wake);
	pthread_mutex_destroy(&st->lock);
	reader_cache_free(st->cache);
	free(st->threads);
	free(st->sites);
	free(st);
}

void
stager_reload(struct stager *st, const struct config *config)
{
	pthread_mutex_lock(&st->lock);
	for (struct stager_blog *b = st->blogs; b; b = b->next)
		b->known_at = INT64_MIN / 2;
	set_rates(st, config);
	pthread_mutex_unlock(&st->lock);
}

void
stager_dump(struct stager *st)
{
	struct stager_counts c;

	pthread_mutex_lock(&st->lock);
	c = st->counts;
	pthread_mutex_unlock(&st->lock);
	log_event(LOG_INFO, "dump.readers", LOG_U("pings", c.pings),
	    LOG_U("rested", c.rested), LOG_U("refused", c.refused),
	    LOG_U("dropped", c.dropped), LOG_U("looked", c.looked),
	    LOG_U("recognised", c.recognised), LOG_U("staged", c.staged),
	    LOG_U("stale", c.stale));
}

struct stager_site *
stager_site_of(struct stager *st, const struct network *n)
{
	return &st->sites[n - st->engine->networks];
}

struct stager_blog *
stager_blog_locked(struct stager *st, struct site_run *run)
{
	if (!run->staging) {
		run->staging = xcalloc(1, sizeof(struct stager_blog));
		run->staging->known_at = INT64_MIN / 2;
		run->staging->next = st->blogs;
		st->blogs = run->staging;
	}
	return run->staging;
}

/* ---- tickets ------------------------------------------------------------ */

/* A slot and how often it was used; 0: none is free. */
static uint64_t
ticket_open_locked(struct stager *st)
{
	for (size_t i = 0; i < STAGER_TICKETS; i++) {
		size_t at = (st->next_ticket + i) % STAGER_TICKETS;

		if (st->tickets[at].open)
			continue;
		st->next_ticket = (at + 1) % STAGER_TICKETS;
		st->tickets[at].open = true;
		st->tickets[at].serial++;
		return (uint64_t)st->tickets[at].serial << 32 | at;
	}
	return 0;
}

static bool
ticket_is_open_locked(const struct stager *st, uint64_t ticket)
{
	size_t at = (size_t)(ticket & UINT32_MAX);

	return at < STAGER_TICKETS && st->tickets[at].open &&
	       st->tickets[at].serial == ticket >> 32;
}

void
stager_ticket_over(struct stager *st, uint64_t ticket)
{
	if (ticket == 0)
		return;
	pthread_mutex_lock(&st->lock);
	if (ticket_is_open_locked(st, ticket))
		st->tickets[ticket & UINT32_MAX].open = false;
	pthread_mutex_unlock(&st->lock);
	pthread_mutex_lock(&st->engine->lock);
	engine_progress_locked(st->engine);
	pthread_mutex_unlock(&st->engine->lock);
}

bool
engine_reader_done(struct engine *e, uint64_t ticket)
{
	bool open;

	if (!e->stager)
		return true;
	pthread_mutex_lock(&e->stager->lock);
	open = ticket_is_open_locked(e->stager, ticket);
	pthread_mutex_unlock(&e->stager->lock);
	return !open;
}

/* ---- a ping ------------------------------------------------------------- */

/* What one ping is about. */
struct look {
	struct stager *st;
	struct stager_site *site;
	struct site_run *run;
	bool wait;
	int64_t now;
	mono_ms mono;
	char name[128]; /* of the cookie, "": not known */
	bool learn;     /* the name may be another by now */
	uint64_t ticket;
};

static struct site_run *
blog_of(struct engine *e, struct network *n, const struct engine_ping *where)
{
	struct site_run *run;
	bool stranger;

	/* A single site's one blog is there from the start. */
	if (!n->site->multisite)
		return n->blogs[0];
	pthread_mutex_lock(&e->lock);
	/* The path of a page is longer than its blog's: no sign of a new one.
	 */
	stranger = n->stranger;
	run = network_blog_locked(n, where->host, where->path);
	n->stranger = stranger;
	pthread_mutex_unlock(&e->lock);
	return run;
}

static struct network *
network_of(struct engine *e, const struct site *site)
{
	for (size_t i = 0; i < e->nnetworks; i++)
		if (e->networks[i].site == site)
			return &e->networks[i];
	return NULL;
}

/* Is there anything to look for? */
static bool
look_begin(struct look *l)
{
	const struct stager_blog *b;
	bool go;

	pthread_mutex_lock(&l->st->lock);
	l->st->counts.pings++;
	if (!l->st->cache)
		l->st->cache = reader_cache_new(STAGER_CACHE_MAX);
	b = stager_blog_locked(l->st, l->run);
	go = !l->st->stopping &&
	     !(b->off && l->mono - b->known_at < STAGER_FRESH_MS);
	memcpy(l->name, l->site->name, sizeof(l->name));
	l->learn = l->mono - l->site->named_at >= STAGER_FRESH_MS &&
		   l->mono >= l->site->learn_at;
	pthread_mutex_unlock(&l->st->lock);
	return go;
}

static void
start_locked(struct stager_thread *t)
{
	int code;

	if (t->started || t->failed)
		return;
	code = pthread_create(&t->thread, NULL, stager_main, t);
	t->started = code == 0;
	t->failed = code != 0;
	if (code != 0)
		log_event(
		    LOG_ERR, "stager.off", LOG_S("why", ERRNO_TEXT(code)));
}

static bool
queue_locked(struct look *l, struct slice text, const struct reader_key *key)
{
	struct stager_thread *t = l->site->thread;
	struct stager_item *item = NULL;

	if (!l->st->stopping && t->nitems < STAGER_QUEUE_MAX)
		item = malloc(sizeof(*item) + text.n);
	if (item)
		start_locked(t);
	if (!item || t->failed) {
		free(item);
		l->st->counts.dropped++;
		return false;
	}
	*item =
	    (struct stager_item){ .run = l->run, .header = !key, .n = text.n };
	if (key)
		item->key = *key;
	if (text.n > 0)
		memcpy(item->text, text.p, text.n);
	if (l->wait && text.n > 0)
		item->ticket = l->ticket = ticket_open_locked(l->st);
	*t->items_end = item;
	t->items_end = &item->next;
	t->nitems++;
	pthread_cond_signal(&t->wake);
	return true;
}

static void
learn_name(struct look *l)
{
	pthread_mutex_lock(&l->st->lock);
	if (l->mono >= l->site->learn_at) {
		l->site->learn_at = l->mono + LEARN_AGAIN_MS;
		(void)queue_locked(l, SLICE_NONE, NULL);
	}
	pthread_mutex_unlock(&l->st->lock);
}

/* One look-up of the budget; it fills up evenly. */
static bool
budget_take_locked(struct stager_site *s, mono_ms now)
{
	double per_ms;

	if (s->rate.count == 0)
		return true;
	per_ms = (double)s->rate.count / ((double)s->rate.per_s * 1000);
	s->tokens += per_ms * (double)(now - s->filled_at);
	s->filled_at = now;
	if (s->tokens > s->rate.count)
		s->tokens = s->rate.count;
	if (s->tokens < 1)
		return false;
	s->tokens -= 1;
	return true;
}

/* Worth a look in the database? */
static bool
is_plausible(struct slice value, int64_t now)
{
	struct auth_cookie c;

	return auth_cookie_parse(value, &c) == RC_OK && c.expires >= now;
}

static enum reader_state
state_of(struct look *l, const struct reader_key *key)
{
	enum reader_state state;

	pthread_mutex_lock(&l->st->lock);
	state = reader_cache_state(l->st->cache, key, l->now);
	if (state == READER_RESTS)
		l->st->counts.rested++;
	pthread_mutex_unlock(&l->st->lock);
	return state;
}

static void
look_at_cookie(struct look *l, struct slice value)
{
	struct reader_key key;
	enum reader_state state;

	if (value.n > AUTH_COOKIE_MAX)
		return;
	reader_key_of(l->site->index, l->run->blog_id, value, &key);
	state = state_of(l, &key);
	if (state == READER_RESTS || !is_plausible(value, l->now))
		return;
	pthread_mutex_lock(&l->st->lock);
	/* Another thread may have been here since. */
	state = reader_cache_state(l->st->cache, &key, l->now);
	if (state == READER_UNKNOWN && !budget_take_locked(l->site, l->mono))
		l->st->counts.refused++;
	else if (state != READER_RESTS && queue_locked(l, value, &key))
		reader_cache_looking(l->st->cache, &key, l->now);
	pthread_mutex_unlock(&l->st->lock);
}

static bool
has_usual_name(struct slice cookies)
{
	for (; cookies.n >= usual_name.n; cookies = slice_from(cookies, 1)) {
		cookies =
		    slice_from(cookies, slice_find(cookies, usual_name.p[0]));
		if (slice_starts(cookies, usual_name))
			return true;
	}
	return false;
}

/* The name is not known yet: hand over all that may hold it. */
static void
look_at_header(struct look *l, struct slice cookies)
{
	if (!has_usual_name(cookies)) {
		learn_name(l);
		return;
	}
	pthread_mutex_lock(&l->st->lock);
	if (budget_take_locked(l->site, l->mono))
		(void)queue_locked(l, cookies, NULL);
	else
		l->st->counts.refused++;
	pthread_mutex_unlock(&l->st->lock);
}

uint64_t
engine_reader_ping(struct engine *e, const struct site *site,
    const struct engine_ping *where, struct slice cookies, bool wait)
{
	struct network *n = network_of(e, site);
	struct look l = { .st = e->stager, .wait = wait };
	struct slice value;

	if (!l.st || !n || cookies.n == 0 || cookies.n > STAGER_HEADER_MAX)
		return 0;
	l.site = stager_site_of(l.st, n);
	l.run = blog_of(e, n, where);
	l.now = clock_unix(e->clock);
	l.mono = clock_mono(e->clock);
	if (!look_begin(&l))
		return 0;
	if (l.name[0] == '\0')
		look_at_header(&l, cookies);
	else if (auth_cookie_find(cookies, slice_str(l.name), &value))
		look_at_cookie(&l, value);
	else if (l.learn)
		learn_name(&l);
	return l.ticket;
}
