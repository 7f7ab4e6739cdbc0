#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "engine/site_prepare.h"
#include "engine/stager_internal.h"
#include "wordpress/newspack.h"

#define RECONNECT_MS 1000
/* A connection that nobody needs is given back. */
#define IDLE_MS 30000
/* Capabilities and Newspack's rows of a hundred readers. */
#define BATCH_ARENA_MAX ((size_t)16 << 20)

/* Cookies of one blog, looked at together. */
struct batch {
	struct stager_thread *thread;
	struct stager_site *site;
	struct site_run *run;
	struct config *config;
	const struct config_site *settings;
	struct sql_scope scope;
	struct stager_item *const *items;
	size_t nitems;
	int64_t now;
	struct arena arena;

	/* Of the items that hold a cookie. */
	struct visitor visitors[STAGING_MAX];
	struct stager_item *of[STAGING_MAX];
	size_t nvisitors;
	/* Of the visitors to stage; several may be one reader. */
	struct staged readers[STAGING_MAX];
	size_t nreaders;
};

/* ---- the connection ----------------------------------------------------- */

static void
connection_close(struct stager_thread *t)
{
	if (!t->db)
		return;
	db_close(t->db);
	t->db = NULL;
	atomic_fetch_sub(&t->database->connections, 1);
}

/* One of the database's connections, like a worker's. */
static enum rc
connection_open(
    struct stager_thread *t, const struct config *config, struct err *err)
{
	uint32_t others = atomic_fetch_add(&t->database->connections, 1) + 1;
	enum rc rc = RC_RETRY;

	if (others == 1 || others < config->daemon.db_connections)
		rc = db_open(t->database->params, &t->db, err);
	else
		rc = err_set(err, rc, "all db_connections are in use");
	if (rc != RC_OK) {
		t->db = NULL;
		atomic_fetch_sub(&t->database->connections, 1);
	}
	return rc;
}

static bool
connection_ready(struct stager_thread *t, const struct config *config)
{
	const struct clock *clock = t->stager->engine->clock;
	struct err err = ERR_INIT;

	if (t->db && db_is_lost(t->db))
		connection_close(t);
	if (t->db)
		return true;
	if (clock_mono(clock) < t->retry_at)
		return false;
	if (connection_open(t, config, &err) == RC_OK) {
		t->away_said = false;
		return true;
	}
	t->retry_at = clock_mono(clock) + RECONNECT_MS;
	if (!t->away_said)
		log_event(
		    LOG_WARN, "stager.no_database", LOG_S("why", err.text));
	t->away_said = true;
	return false;
}

/* Others may wait for a connection that does nothing. */
static void
connection_spare(struct stager_thread *t, const struct config *config)
{
	if (atomic_load(&t->database->connections) + 1 >=
	    config->daemon.db_connections)
		connection_close(t);
}

/* ---- what is known of a blog -------------------------------------------- */

static void
complain(const struct batch *b, const char *what, const struct err *err)
{
	log_event(err->rc == RC_RETRY ? LOG_DEBUG : LOG_WARN, what,
	    LOG_S("site", b->run->site->name), LOG_U("blog", b->run->blog_id),
	    LOG_S("why", err->text));
}

static enum rc
is_plugin_there(struct batch *b, bool *there, struct err *err)
{
	const struct site *site = b->run->site;
	struct db *db = b->thread->db;
	struct site_facts facts = { .zone = NULL };
	struct newspack n = { .plugin = false };
	enum rc rc = site_facts_read(site, db, &b->scope, &facts, err);

	if (rc == RC_OK)
		rc = newspack_read(site, &facts, b->config, db, &b->scope,
		    b->run->blog_id, &n, err);
	*there = rc == RC_OK && n.plugin;
	newspack_clear(&n);
	site_facts_clear(&facts);
	return rc;
}

static bool
is_wanted(const struct config_site *c)
{
	return c->contacts && !c->observe && c->stage != STAGE_NOBODY;
}

/* Does anybody get staged here? Asked again after a minute. */
static bool
blog_is_on(struct batch *b)
{
	struct stager *st = b->thread->stager;
	const mono_ms now = clock_mono(st->engine->clock);
	struct err err = ERR_INIT;
	struct stager_blog *blog;
	bool known, on;
	enum rc rc = RC_OK;

	pthread_mutex_lock(&st->lock);
	blog = stager_blog_locked(st, b->run);
	known = now - blog->known_at < STAGER_FRESH_MS;
	on = !blog->off;
	pthread_mutex_unlock(&st->lock);
	if (known)
		return on;
	on = is_wanted(b->settings);
	if (on)
		rc = is_plugin_there(b, &on, &err);
	if (rc != RC_OK)
		complain(b, "stager.blog", &err);
	if (rc == RC_RETRY)
		return false;
	pthread_mutex_lock(&st->lock);
	blog->off = !on;
	blog->known_at = now;
	pthread_mutex_unlock(&st->lock);
	return on;
}

/* Name and salts; the name is told to whoever takes pings. */
static bool
keys_are_known(struct batch *b)
{
	struct stager *st = b->thread->stager;
	struct stager_site *s = b->site;
	const mono_ms now = clock_mono(st->engine->clock);
	struct err err = ERR_INIT;
	enum rc rc;

	if (now - s->keys_at < STAGER_FRESH_MS)
		return s->keys_ok;
	rc = visitor_keys_read(
	    b->run->site, b->thread->db, &b->scope, &s->keys, &err);
	if (rc == RC_RETRY)
		return false;
	s->keys_at = now;
	s->keys_ok = rc == RC_OK;
	if (rc != RC_OK && !s->keys_said)
		complain(b, "stager.no_keys", &err);
	s->keys_said = rc != RC_OK;
	pthread_mutex_lock(&st->lock);
	s->named_at = now;
	if (rc == RC_OK)
		(void)snprintf(s->name, sizeof(s->name), "%s", s->keys.name);
	pthread_mutex_unlock(&st->lock);
	return s->keys_ok;
}

/* ---- pulls -------------------------------------------------------------- */

/* Called by the pool. The page may go on; the flag goes when it may. */
static void
on_pulled(void *arg, const struct contact_task *task)
{
	struct stager_pull *p = arg;
	struct stager_thread *t = p->thread;
	struct stager *st = t->stager;
	const uint64_t ticket = p->ticket;
	bool keep = !task->ok || p->umeta_id == 0;

	pthread_mutex_lock(&st->lock);
	/* Without the thread the flag stays, and the reader is pulled once
	 * more. */
	keep = keep || st->stopping;
	if (!keep) {
		p->next = t->pulled;
		t->pulled = p;
		pthread_cond_signal(&t->wake);
	}
	pthread_mutex_unlock(&st->lock);
	stager_ticket_over(st, ticket);
	if (keep)
		free(p);
}

static void
pull_begin(const struct batch *b, const struct staged *r, uint64_t ticket)
{
	struct stager_pull *p = xcalloc(1, sizeof(*p));
	const struct contact_task task = { .direction = CONTACT_PULL,
		.user_id = r->user_id };

	p->thread = b->thread;
	p->run = b->run;
	p->ticket = ticket;
	p->user_id = r->user_id;
	p->umeta_id = r->pull_row;
	(void)snprintf(p->value, sizeof(p->value), "%lld", (long long)b->now);
	if (contact_pool_add(b->run->engine->contacts, b->run, &task,
		ticket != 0, on_pulled, p))
		return;
	/* Too much to do: the batch will find the flag. */
	stager_ticket_over(b->thread->stager, ticket);
	free(p);
}

/* Without a connection they stay, and these readers are pulled once more. */
static void
flags_remove(struct stager_thread *t, struct stager_pull *pulled)
{
	struct stager_pull *p;

	while ((p = pulled)) {
		const struct contact_flag flag = { .umeta_id = p->umeta_id,
			.user_id = p->user_id,
			.value = slice_str(p->value) };
		const struct sql_scope scope = { .prefix = p->run->prefix,
			.base = p->run->site->prefix };
		struct err err = ERR_INIT;

		pulled = p->next;
		if (!t->db || contact_flags_remove(
				  t->db, &scope, &flag, 1, NULL, &err) != RC_OK)
			log_event(LOG_DEBUG, "stager.flag_stays",
			    LOG_U("user", p->user_id), LOG_S("why", err.text));
		free(p);
	}
}

/* ---- a batch ------------------------------------------------------------ */

/* Find and take apart the cookie of an item. */
static bool
item_parse(
    const struct batch *b, struct stager_item *item, struct auth_cookie *out)
{
	struct slice value = slice_mem(item->text, item->n);

	if (item->header &&
	    !auth_cookie_find(value, slice_str(b->site->keys.name), &value))
		return false;
	if (item->header)
		reader_key_of(
		    b->site->index, b->run->blog_id, value, &item->key);
	return auth_cookie_parse(value, out) == RC_OK && out->expires >= b->now;
}

static enum rc
recognise(struct batch *b, struct err *err)
{
	for (size_t i = 0; i < b->nitems; i++) {
		struct auth_cookie *c = &b->thread->cookies[b->nvisitors];

		if (!item_parse(b, b->items[i], c))
			continue;
		b->of[b->nvisitors] = b->items[i];
		b->visitors[b->nvisitors++] = (struct visitor){ .cookie = c };
	}
	return b->nvisitors == 0
		   ? RC_OK
		   : visitors_recognise(&b->site->keys, b->thread->db,
			 &b->scope, b->now, b->visitors, b->nvisitors,
			 &b->arena, err);
}

static bool
is_eligible(const struct batch *b, const struct visitor *v)
{
	if (b->run->site->multisite && !v->member)
		return false;
	return b->settings->stage != STAGE_READERS ||
	       staging_is_reader(v->capabilities, v->np_reader);
}

static void
remember(const struct batch *b, size_t i, int64_t rests_till, bool staged)
{
	const struct visitor *v = &b->visitors[i];
	struct stager *st = b->thread->stager;
	/* A time in the future is looked at again like any other. */
	const int64_t longest = b->now + CONTACT_THROTTLE_S;
	const struct reader_found found = {
		.network = b->site->index,
		.user_id = v->user_id,
		.expires = v->expires,
		.rests_till = rests_till < longest ? rests_till : longest,
		.staged = staged,
	};

	pthread_mutex_lock(&st->lock);
	if (v->user_id == 0)
		reader_cache_forget(st->cache, &b->of[i]->key);
	else
		reader_cache_proven(st->cache, &b->of[i]->key, &found);
	pthread_mutex_unlock(&st->lock);
}

static struct staged *
reader_find(struct batch *b, uint64_t user_id)
{
	for (size_t i = 0; i < b->nreaders; i++)
		if (b->readers[i].user_id == user_id)
			return &b->readers[i];
	return NULL;
}

/* Who is to be staged, and who rests until when. */
static void
choose(struct batch *b)
{
	for (size_t i = 0; i < b->nvisitors; i++) {
		const struct visitor *v = &b->visitors[i];
		int64_t last = staging_seconds(v->last_enqueue);

		if (v->user_id == 0 || !is_eligible(b, v))
			remember(b, i, b->now + CONTACT_THROTTLE_S, false);
		else if (staging_is_throttled(last, b->now))
			remember(b, i, last + CONTACT_THROTTLE_S, true);
		else if (!reader_find(b, v->user_id))
			b->readers[b->nreaders++] =
			    (struct staged){ .user_id = v->user_id };
	}
}

/* After the write: remember, and pull those who were away for a day. */
static void
follow_up(struct batch *b)
{
	for (size_t i = 0; i < b->nvisitors; i++) {
		struct staged *r = reader_find(b, b->visitors[i].user_id);
		struct stager_item *item = b->of[i];
		uint64_t ticket = item->ticket;

		if (!r)
			continue;
		remember(b, i,
		    (r->staged ? b->now : r->last) + CONTACT_THROTTLE_S, true);
		if (!r->stale)
			continue;
		/* Once, also of one who came with two cookies. */
		r->stale = false;
		item->ticket = 0;
		pull_begin(b, r, ticket);
	}
}

static void
count(struct batch *b)
{
	struct stager_counts *c = &b->thread->stager->counts;

	pthread_mutex_lock(&b->thread->stager->lock);
	c->looked += b->nvisitors;
	for (size_t i = 0; i < b->nvisitors; i++)
		c->recognised += b->visitors[i].user_id != 0;
	for (size_t i = 0; i < b->nreaders; i++) {
		c->staged += b->readers[i].staged;
		c->stale += b->readers[i].stale;
	}
	pthread_mutex_unlock(&b->thread->stager->lock);
}

static void
batch_run(struct batch *b)
{
	struct err err = ERR_INIT;
	enum rc rc;

	if (!blog_is_on(b) || !keys_are_known(b))
		return;
	rc = recognise(b, &err);
	if (rc == RC_OK) {
		choose(b);
		rc = staging_write(b->thread->db, &b->scope, b->now, b->readers,
		    b->nreaders, &err);
	}
	if (rc != RC_OK) {
		/* They rest for a while and are looked at again. */
		complain(b, "stager.waits", &err);
		return;
	}
	count(b);
	follow_up(b);
}

/* ---- the thread --------------------------------------------------------- */

/* Up to a hundred items of the blog that has waited longest. */
static size_t
take_locked(struct stager_thread *t, struct stager_item *out[STAGING_MAX])
{
	struct stager_item **at = &t->items, *item;
	const struct site_run *run = t->items ? t->items->run : NULL;
	size_t n = 0;

	while ((item = *at) && n < STAGING_MAX) {
		if (item->run != run) {
			at = &item->next;
			continue;
		}
		*at = item->next;
		out[n++] = item;
	}
	t->nitems -= n;
	for (at = &t->items; *at; at = &(*at)->next)
		continue;
	t->items_end = at;
	return n;
}

static void
work(struct stager_thread *t, struct stager_item *const *items, size_t n,
    struct stager_pull *pulled)
{
	struct stager *st = t->stager;
	struct engine *e = st->engine;
	struct batch *b = xcalloc(1, sizeof(*b));

	b->thread = t;
	b->arena = (struct arena)ARENA_INIT(BATCH_ARENA_MAX);
	pthread_mutex_lock(&e->lock);
	b->config = config_ref(e->config);
	pthread_mutex_unlock(&e->lock);
	b->now = clock_unix(e->clock);
	if (!connection_ready(t, b->config)) {
		pthread_mutex_lock(&st->lock);
		st->counts.dropped += n;
		pthread_mutex_unlock(&st->lock);
	} else if (n > 0) {
		b->run = items[0]->run;
		b->site = stager_site_of(st, b->run->network);
		b->settings = site_config(b->config, b->run->site);
		b->scope = (struct sql_scope){ .prefix = b->run->prefix,
			.base = b->run->site->prefix };
		b->items = items;
		b->nitems = n;
		batch_run(b);
	}
	for (size_t i = 0; i < n; i++) {
		stager_ticket_over(st, items[i]->ticket);
		free(items[i]);
	}
	flags_remove(t, pulled);
	connection_spare(t, b->config);
	arena_clear(&b->arena);
	config_unref(b->config);
	free(b);
}

/* Wait for something to do; false: the end. */
static bool
wait_locked(struct stager_thread *t)
{
	struct stager *st = t->stager;
	struct timespec until;

	while (!t->items && !t->pulled && !st->stopping) {
		clock_deadline(&until, IDLE_MS);
		if (pthread_cond_timedwait(&t->wake, &st->lock, &until) == 0 ||
		    t->items || t->pulled)
			continue;
		pthread_mutex_unlock(&st->lock);
		connection_close(t);
		pthread_mutex_lock(&st->lock);
	}
	return t->items || t->pulled;
}

void *
stager_main(void *arg)
{
	struct stager_thread *t = arg;
	struct stager *st = t->stager;
	struct stager_item *items[STAGING_MAX];
	struct stager_pull *pulled;
	size_t n;

	db_thread_begin();
	t->cookies = xcalloc(STAGING_MAX, sizeof(*t->cookies));
	pthread_mutex_lock(&st->lock);
	while (wait_locked(t)) {
		n = take_locked(t, items);
		pulled = t->pulled;
		t->pulled = NULL;
		pthread_mutex_unlock(&st->lock);
		work(t, items, n, pulled);
		pthread_mutex_lock(&st->lock);
	}
	pthread_mutex_unlock(&st->lock);
	connection_close(t);
	free(t->cookies);
	db_thread_end();
	return NULL;
}
