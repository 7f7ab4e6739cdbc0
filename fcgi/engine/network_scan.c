/* Which blogs of a network have something due, in three queries. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "engine/network.h"
#include "formats/cron_array.h"

/* Of one statement; a longer list is split. */
#define SCAN_BLOGS 500

struct scan {
	struct network *n;
	struct sql_scope scope;
	struct sql_blog *blogs; /* those asked about */
	size_t nblogs;
	int64_t *due; /* Unix time, by place in network.blogs */
	int64_t now;
};

bool
network_is_scanned(const struct network *n)
{
	return n->nblogs > 1;
}

static void
note(struct scan *x, uint32_t blog_id, int64_t when)
{
	for (size_t i = 0; i < x->n->nblogs; i++)
		if (x->n->blogs[i]->blog_id == blog_id && when < x->due[i])
			x->due[i] = when;
}

/* The blogs come back in the order they were asked about. */
static void
note_in_order(struct scan *x, size_t *at, uint32_t blog_id, int64_t when)
{
	while (*at < x->n->nblogs && x->n->blogs[*at]->blog_id != blog_id)
		++*at;
	if (*at == x->n->nblogs) {
		note(x, blog_id, when);
		*at = 0;
	} else if (when < x->due[*at]) {
		x->due[*at] = when;
	}
}

static void
choose(struct scan *x, bool actions)
{
	const struct network *n = x->n;

	x->nblogs = 0;
	for (size_t i = 0; i < n->nblogs; i++) {
		const struct site_run *s = n->blogs[i];

		if (s->gone || (actions && !s->maybe_actions))
			continue;
		x->blogs[x->nblogs++] =
		    (struct sql_blog){ s->blog_id, s->prefix };
	}
}

static enum rc
ask(struct scan *x, enum sql_id id, struct err *err)
{
	struct db *db = x->n->database->db;
	size_t at = 0, from = 0;
	enum rc rc = RC_OK;

	while (from < x->nblogs && rc == RC_OK) {
		struct db_rows *rows = NULL;

		x->scope.blogs = x->blogs + from;
		x->scope.nblogs = x->nblogs - from < SCAN_BLOGS
				      ? x->nblogs - from
				      : SCAN_BLOGS;
		from += x->scope.nblogs;
		rc = db_select(db, &x->scope, id, SQL_NO_ARGS, &rows, err);
		while (rc == RC_OK && db_rows_next(rows)) {
			int64_t when = INT64_MAX;

			if (id == SQL_NETWORK_ACTIONS_DUE) {
				if (!db_is_null(rows, 1))
					when = db_time(rows, 1);
			} else if (!cron_array_first(db_text(rows, 1), &when)) {
				when = INT64_MAX;
			}
			note_in_order(x, &at, (uint32_t)db_u64(rows, 0), when);
		}
		db_rows_free(rows);
	}
	return rc;
}

static enum rc
ask_waiting(struct scan *x, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(x->n->database->db, &x->scope,
	    SQL_NETWORK_EVENTS_DUE, SQL_NO_ARGS, &rows, err);

	while (rc == RC_OK && db_rows_next(rows))
		note(x, (uint32_t)db_u64(rows, 0), db_time(rows, 1));
	db_rows_free(rows);
	return rc;
}

/* A blog with nothing due has been looked at: whoever waits may go on. */
static void
apply(struct scan *x, const uint64_t *begun)
{
	struct engine *e = x->n->engine;

	pthread_mutex_lock(&e->lock);
	for (size_t i = 0; i < x->n->nblogs; i++) {
		struct site_run *s = x->n->blogs[i];

		if (x->due[i] <= x->now) {
			s->wanted = true;
			continue;
		}
		s->health.next_due = x->due[i];
		s->health.database_ok = s->health.ready = true;
		s->health.standing_ok =
		    s->standing != SITE_COPY && s->standing != SITE_STAGING;
		if (!s->backlog)
			s->drained_look = begun[i];
	}
	engine_progress_locked(e);
	pthread_mutex_unlock(&e->lock);
}

enum rc
network_scan(struct network *n, struct err *err)
{
	struct scan x = { .n = n,
		.scope = { .prefix = n->site->prefix, .base = n->site->prefix },
		.now = clock_unix(n->engine->clock) };
	uint64_t *begun = xcalloc(n->nblogs, sizeof *begun);
	mono_ms since = clock_mono(n->engine->clock);
	enum rc rc;

	x.blogs = xcalloc(n->nblogs, sizeof *x.blogs);
	x.due = xcalloc(n->nblogs, sizeof *x.due);
	pthread_mutex_lock(&n->engine->lock);
	for (size_t i = 0; i < n->nblogs; i++) {
		x.due[i] = INT64_MAX;
		begun[i] = ++n->blogs[i]->looks_begun;
	}
	pthread_mutex_unlock(&n->engine->lock);
	choose(&x, false);
	rc = ask(&x, SQL_NETWORK_CRON_HEADS, err);
	if (rc == RC_OK) {
		choose(&x, true);
		rc = ask(&x, SQL_NETWORK_ACTIONS_DUE, err);
	}
	if (rc == RC_OK)
		rc = ask_waiting(&x, err);
	if (rc == RC_OK)
		apply(&x, begun);
	log_event(LOG_DEBUG, "network.scanned", LOG_S("site", n->site->name),
	    LOG_U("blogs", n->nblogs),
	    LOG_I("ms", clock_mono(n->engine->clock) - since));
	free(begun);
	free(x.blogs);
	free(x.due);
	return rc;
}
