#include "queues/cron_events.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "queues/cron_events_internal.h"

static struct cron_export *
export_copy(const struct cron_events_export *x)
{
	struct cron_export *copy = xcalloc(1, sizeof *copy);
	size_t bytes = 0;
	char *to;

	copy->refs = 1;
	copy->exported_at = x->exported_at;
	copy->lock_timeout_s = x->lock_timeout_s;
	copy->replaced_by = x->replaced_by ? xstrdup(x->replaced_by) : NULL;
	for (size_t i = 0; i < x->nrecurrences; i++)
		bytes += x->recurrences[i].name.n;
	to = copy->names = xcalloc(bytes + 1, 1);
	copy->recurrences =
	    xcalloc(x->nrecurrences + 1, sizeof *copy->recurrences);
	for (size_t i = 0; i < x->nrecurrences; i++) {
		struct slice name = x->recurrences[i].name;

		if (name.n > 0)
			memcpy(to, name.p, name.n);
		copy->recurrences[i] = x->recurrences[i];
		copy->recurrences[i].name.p = to;
		to += name.n;
	}
	copy->n = x->nrecurrences;
	return copy;
}

static void
export_drop_locked(struct cron_export *x)
{
	if (--x->refs > 0)
		return;
	free(x->names);
	free(x->recurrences);
	free(x->replaced_by);
	free(x);
}

struct cron_events *
cron_events_new(const struct cron_events_opts *opts)
{
	const struct cron_events_export unknown = { 0 };
	struct cron_events *q = xcalloc(1, sizeof *q);

	q->queue.ops = &cron_events_ops;
	q->blog_id = opts->blog_id;
	q->clock = opts->clock ? opts->clock : &clock_system;
	q->prefix = xstrdup(opts->prefix);
	q->base = xstrdup(opts->base);
	q->settings.scope.prefix = q->prefix;
	q->settings.scope.base = q->base;
	q->settings.export = export_copy(&unknown);
	/* What a process before us left. */
	q->lock_held = true;
	q->lock_at = INT64_MIN / 2;
	q->cleaned_at = INT64_MIN / 2;
	pthread_mutex_init(&q->lock, NULL);
	return q;
}

void
cron_events_free(struct cron_events *q)
{
	if (!q)
		return;
	export_drop_locked(q->settings.export);
	free(q->prefix);
	free(q->base);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

struct queue *
cron_events_queue(struct cron_events *q)
{
	return &q->queue;
}

void
cron_events_scope(struct cron_events *q, struct sql_scope *out)
{
	pthread_mutex_lock(&q->lock);
	*out = q->settings.scope;
	pthread_mutex_unlock(&q->lock);
}

void
cron_settings_get(struct cron_events *q, struct cron_settings *out)
{
	pthread_mutex_lock(&q->lock);
	*out = q->settings;
	out->export->refs++;
	pthread_mutex_unlock(&q->lock);
}

void
cron_settings_put(struct cron_events *q, struct cron_settings *s)
{
	pthread_mutex_lock(&q->lock);
	export_drop_locked(s->export);
	pthread_mutex_unlock(&q->lock);
}

struct cron_lock
cron_lock_of(const struct cron_events *q, const struct cron_settings *s)
{
	uint32_t timeout_s = s->export->lock_timeout_s;

	return (struct cron_lock){
		.scope = s->scope,
		.blog_id = q->blog_id,
		.node_id = s->node_id,
		.clock = q->clock,
		.timeout_s = timeout_s ? timeout_s : CRON_LOCK_TIMEOUT_S,
		.pings = s->pings,
	};
}

void
cron_events_set_export(
    struct cron_events *q, const struct cron_events_export *x)
{
	struct cron_export *fresh = export_copy(x);

	pthread_mutex_lock(&q->lock);
	export_drop_locked(q->settings.export);
	q->settings.export = fresh;
	q->rewind = true;
	pthread_mutex_unlock(&q->lock);
}

void
cron_events_set_node(struct cron_events *q, uint64_t node_id)
{
	pthread_mutex_lock(&q->lock);
	q->settings.node_id = node_id;
	pthread_mutex_unlock(&q->lock);
}

void
cron_events_set_site(struct cron_events *q, const struct cron_events_site *s)
{
	const struct cron_events_site *old = &q->settings.site;

	pthread_mutex_lock(&q->lock);
	if (s->object_cache != old->object_cache ||
	    s->companion != old->companion || s->php != old->php ||
	    s->observe != old->observe)
		q->rewind = true;
	q->settings.site = *s;
	pthread_mutex_unlock(&q->lock);
}

void
cron_events_note_ping(struct cron_events *q, struct slice key)
{
	pthread_mutex_lock(&q->lock);
	cron_lock_note_ping(&q->settings.pings, key, clock_mono(q->clock));
	q->woken_by = key.n > 0 ? "page" : "call";
	q->woken_at = clock_mono(q->clock);
	q->pinged = true;
	pthread_mutex_unlock(&q->lock);
}

const char *
cron_events_replaced_by(struct cron_events *q)
{
	const char *words;

	pthread_mutex_lock(&q->lock);
	words = q->settings.export->replaced_by;
	pthread_mutex_unlock(&q->lock);
	return words;
}

void
cron_events_rewind(struct cron_events *q)
{
	pthread_mutex_lock(&q->lock);
	q->rewind = true;
	pthread_mutex_unlock(&q->lock);
}

enum rc
cron_events_mutex(struct cron_events *q, const struct cron_settings *s,
    struct db *db, struct err *err)
{
	char name[32];
	enum rc rc = RC_OK;

	(void)snprintf(name, sizeof name, "events/%u", (unsigned)q->blog_id);
	for (int i = 0; i < 2; i++) {
		struct db_rows *rows = NULL;
		bool there;

		rc = db_select(db, &s->scope, SQL_EVENTS_MUTEX,
		    SQL_ARGS(V_STR(name)), &rows, err);
		there = rc == RC_OK && db_rows_count(rows) > 0;
		db_rows_free(rows);
		if (rc != RC_OK || there)
			return rc;
		rc = db_exec(db, &s->scope, SQL_LEASES_ADD,
		    SQL_ARGS(V_STR(name)), NULL, err);
		if (rc != RC_OK)
			return rc;
	}
	return err_set(err, RC_RETRY, "the lease %s cannot be added", name);
}

enum rc
cron_events_durations(struct cron_events *q, struct db *db,
    cron_duration_fn *found, void *arg, struct err *err)
{
	struct db_rows *rows = NULL;
	struct sql_scope scope;
	enum rc rc;

	cron_events_scope(q, &scope);
	rc = db_select(db, &scope, SQL_EVENTS_DURATIONS,
	    SQL_ARGS(V_U64(q->blog_id)), &rows, err);
	while (rc == RC_OK && db_rows_next(rows))
		found(arg, db_text(rows, 0), (uint32_t)db_u64(rows, 1));
	db_rows_free(rows);
	return rc;
}

/* The claim's rows name our node, which says that it lives by itself. */
static enum rc
cron_events_heartbeat(struct queue *queue, struct db *db,
    const uint64_t *claims, size_t n, struct err *err)
{
	(void)queue;
	(void)db;
	(void)claims;
	(void)n;
	(void)err;
	return RC_OK;
}

const struct queue_ops cron_events_ops = {
	.name = "cron",
	.next_due = cron_events_next_due,
	.claim = cron_events_claim,
	.start = cron_events_start,
	.settle = cron_events_settle,
	.heartbeat = cron_events_heartbeat,
	.rescue = cron_events_rescue,
};
