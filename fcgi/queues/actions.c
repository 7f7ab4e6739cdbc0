#include "queues/actions.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/xalloc.h"
#include "formats/action_schedule.h"
#include "queues/actions_internal.h"

#define LOG_MESSAGE_MAX 4096
/* As statement actions.of_claim reads at most. */
#define HEARTBEAT_IDS 1000
/* Canonical schedules have under 1 KiB; a stored recurrence may be longer. */
#define SCHEDULE_MAX (64u << 10)
#define SCHEDULE_ARENA_MAX (1u << 20)

struct actions *
actions_new(const struct actions_opts *opts)
{
	struct actions *q = xcalloc(1, sizeof *q);

	q->queue.ops = &actions_ops;
	q->blog_id = opts->blog_id;
	q->clock = opts->clock ? opts->clock : &clock_system;
	q->prefix = xstrdup(opts->prefix);
	q->base_prefix = xstrdup(opts->base);
	q->settings.scope.prefix = q->prefix;
	q->settings.scope.base = q->base_prefix;
	q->settings.series_after_crash = true;
	q->settings.export.failure_threshold = 5;
	actions_cursors_reset(q);
	q->random = (uint64_t)clock_wall(q->clock) | 1;
	pthread_mutex_init(&q->lock, NULL);
	return q;
}

void
actions_free(struct actions *q)
{
	if (!q)
		return;
	for (size_t i = 0; i < q->ngroups; i++)
		free(q->groups[i].slug);
	free(q->groups);
	free(q->bad);
	free(q->prefix);
	free(q->base_prefix);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

struct queue *
actions_queue(struct actions *q)
{
	return &q->queue;
}

void
actions_settings_get(struct actions *q, struct actions_settings *out)
{
	pthread_mutex_lock(&q->lock);
	*out = q->settings;
	pthread_mutex_unlock(&q->lock);
}

void
actions_scope(struct actions *q, struct sql_scope *out)
{
	pthread_mutex_lock(&q->lock);
	*out = q->settings.scope;
	pthread_mutex_unlock(&q->lock);
}

void
actions_set_node(struct actions *q, uint64_t node_id)
{
	pthread_mutex_lock(&q->lock);
	q->settings.node_id = node_id;
	pthread_mutex_unlock(&q->lock);
}

void
actions_set_schema(struct actions *q, const struct db_schema *schema)
{
	pthread_mutex_lock(&q->lock);
	q->settings.schema = *schema;
	q->settings.scope.columns = schema->columns;
	q->settings.scope.due_index = schema->due_index;
	q->settings.scope.retention_index = schema->retention_index;
	pthread_mutex_unlock(&q->lock);
}

void
actions_set_facts(struct actions *q, const struct site_facts *facts)
{
	pthread_mutex_lock(&q->lock);
	q->settings.facts = *facts;
	pthread_mutex_unlock(&q->lock);
}

void
actions_set_export(struct actions *q, const struct actions_export *x)
{
	pthread_mutex_lock(&q->lock);
	/* The plugin runs schedule classes of its own, which were passed by. */
	if (x->plugin != q->settings.export.plugin)
		q->rewind = true;
	q->settings.export = *x;
	pthread_mutex_unlock(&q->lock);
}

void
actions_get_export(struct actions *q, struct actions_export *out)
{
	pthread_mutex_lock(&q->lock);
	*out = q->settings.export;
	pthread_mutex_unlock(&q->lock);
}

void
actions_set_series_after_crash(struct actions *q, bool insert)
{
	pthread_mutex_lock(&q->lock);
	q->settings.series_after_crash = insert;
	pthread_mutex_unlock(&q->lock);
}

void
actions_rewind(struct actions *q)
{
	pthread_mutex_lock(&q->lock);
	q->rewind = true;
	pthread_mutex_unlock(&q->lock);
}

void
actions_peek(struct actions *q)
{
	pthread_mutex_lock(&q->lock);
	q->peek = true;
	pthread_mutex_unlock(&q->lock);
}

int64_t
actions_local_attempt(const struct actions_settings *s, int64_t unix_time)
{
	return site_local_attempt(&s->facts, unix_time);
}

int64_t
actions_local(const struct actions_settings *s, int64_t unix_time)
{
	return site_local_scheduled(&s->facts, unix_time);
}

void
action_logs_add(struct action_logs *l, const struct actions_settings *s,
    uint64_t id, int64_t when, const char *fmt, ...)
{
	struct buf text = BUF_INIT(LOG_MESSAGE_MAX);
	struct sql_value *row;
	va_list ap;
	char *copy;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	copy = arena_strdup(l->arena, buf_slice(&text));
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 32;
		struct sql_value *more =
		    arena_array(l->arena, cap * 4, sizeof *more);

		if (more && l->n > 0)
			memcpy(more, l->rows, l->n * 4 * sizeof *more);
		if (more) {
			l->rows = more;
			l->cap = cap;
		}
	}
	if (!copy || text.failed || l->n == l->cap) {
		l->failed = true;
	} else {
		row = l->rows + l->n++ * 4;
		row[0] = V_U64(id);
		row[1] = V_TEXT(slice_mem(copy, text.n));
		row[2] = V_TIME(when);
		row[3] = V_TIME(actions_local(s, when));
	}
	buf_clear(&text);
}

enum rc
action_logs_write(const struct action_logs *l, struct db *db,
    const struct actions_settings *s, struct err *err)
{
	const struct sql_args args = { .rows = l->rows, .nrows = l->n };

	if (l->failed)
		return err_set(err, RC_REJECT,
		    "the log lines of one settlement are over their ceiling");
	if (l->n == 0)
		return RC_OK;
	return db_exec(db, &s->scope, SQL_ACTIONS_LOG, &args, NULL, err);
}

enum rc
action_insert(const struct actions_settings *s, struct db *db,
    const struct new_action *a, int64_t now, struct action_logs *logs,
    uint64_t *id, struct err *err)
{
	enum rc rc = db_exec(db, &s->scope, SQL_ACTIONS_INSERT,
	    SQL_ARGS(V_TEXT(a->hook), V_TIME(a->when),
		V_TIME(actions_local(s, a->when)), V_TEXT(a->schedule),
		V_U64(a->group_id), V_U64(a->priority),
		sql_text_or_null(a->args), sql_text_or_null(a->extended_args)),
	    NULL, err);

	if (rc != RC_OK)
		return rc;
	*id = db_insert_id(db);
	action_logs_add(logs, s, *id, now, "action created");
	return RC_OK;
}

/*
 * The rule of ActionScheduler_Abstract_QueueRunner::
 * recurring_action_is_consistently_failing(): the five oldest stored rows of
 * the hook are all failed, whatever their arguments and groups.
 */
static enum rc
consistently_failing(const struct actions_settings *s, struct db *db,
    struct slice hook, bool *verdict, struct err *err)
{
	static const char *const others[] = { "complete", "pending",
		"in-progress", "canceled" };
	struct db_rows *rows = NULL;
	int64_t fifth;
	bool found;
	enum rc rc;

	*verdict = false;
	if (s->export.failure_threshold == 0)
		return RC_OK;
	rc = db_select(db, &s->scope, SQL_ACTIONS_OLDEST_FAILED,
	    SQL_ARGS(V_TEXT(hook), V_U64(s->export.failure_threshold - 1)),
	    &rows, err);
	if (rc != RC_OK)
		return rc;
	found = db_rows_next(rows);
	fifth = found ? db_time(rows, 0) : INT64_MIN;
	db_rows_free(rows);
	for (size_t i = 0; found && i < NELEMS(others); i++) {
		rc = db_select(db, &s->scope, SQL_ACTIONS_OLDER_NOT_FAILED,
		    SQL_ARGS(V_TEXT(hook), V_TIME(fifth), V_STR(others[i])),
		    &rows, err);
		if (rc != RC_OK)
			return rc;
		found = db_rows_count(rows) == 0;
		db_rows_free(rows);
	}
	*verdict = found;
	return RC_OK;
}

enum rc
action_repeat(const struct actions_settings *s, struct db *db,
    const struct job *j, bool failed, wall_us now, struct action_logs *logs,
    struct err *err)
{
	struct buf text = BUF_INIT(SCHEDULE_MAX);
	struct arena arena = ARENA_INIT(SCHEDULE_ARENA_MAX);
	struct action_schedule schedule;
	struct new_action next;
	struct err why = ERR_INIT;
	int64_t unix_now = now / 1000000, when;
	bool failing = false;
	uint64_t id;
	enum rc rc;

	rc = action_schedule_parse(j->schedule, &arena, &schedule, NULL, &why);
	if (rc != RC_OK) {
		rc = RC_NONE;
		goto out;
	}
	rc = action_schedule_next(&schedule, now, &when, &why);
	if (rc == RC_NONE)
		goto out;
	if (rc == RC_OK && failed) {
		rc = consistently_failing(s, db, j->hook, &failing, err);
		if (rc != RC_OK)
			goto out;
	}
	if (failing) {
		action_logs_add(logs, s, j->id, unix_now,
		    "This action appears to be consistently failing. A new "
		    "instance will not be scheduled.");
		rc = RC_NONE;
		goto out;
	}
	if (rc == RC_OK)
		action_schedule_render(&schedule, when, &text);
	if (rc != RC_OK || text.failed) {
		action_logs_add(logs, s, j->id, unix_now,
		    "There was a failure scheduling the next instance of this "
		    "action: %s",
		    why.text);
		rc = RC_NONE;
		goto out;
	}
	next = (struct new_action){
		.hook = j->hook,
		.args = j->stored_args,
		.extended_args = j->extended_args,
		.schedule = buf_slice(&text),
		.group_id = j->group_id,
		.priority = j->priority,
		.when = when,
	};
	rc = action_insert(s, db, &next, unix_now, logs, &id, err);
out:
	arena_clear(&arena);
	buf_clear(&text);
	return rc;
}

enum rc
action_retry(const struct actions *q, const struct actions_settings *s,
    struct db *db, const struct job *j, int64_t delay_ms, uint32_t strikes,
    int64_t now, struct action_logs *logs, struct err *err)
{
	struct buf text = BUF_INIT(SCHEDULE_MAX);
	struct new_action fresh;
	int64_t when = now + (delay_ms + 999) / 1000;
	uint64_t id;
	enum rc rc;

	action_schedule_render_simple(when, &text);
	fresh = (struct new_action){
		.hook = j->hook,
		.args = j->stored_args,
		.extended_args = j->extended_args,
		.schedule = buf_slice(&text),
		.group_id = j->group_id,
		.priority = j->priority,
		.when = when,
	};
	rc = action_insert(s, db, &fresh, now, logs, &id, err);
	if (rc != RC_OK)
		goto out;
	rc = db_exec(db, &s->scope, SQL_ACTIONS_TRY_NEW,
	    SQL_ARGS(V_U64(q->blog_id), V_U64(id), V_U64(j->origin_id),
		V_U64(j->try + 1), V_U64(strikes)),
	    NULL, err);
	if (rc == RC_NONE) {
		const struct sql_args row = { .ids = &id, .nids = 1 };

		logs->n--;
		rc =
		    db_exec(db, &s->scope, SQL_ACTIONS_DELETE, &row, NULL, err);
		rc = rc == RC_OK ? RC_NONE : rc;
	}
out:
	buf_clear(&text);
	return rc;
}

static enum rc
heartbeat_claim(const struct actions_settings *s, struct db *db,
    uint32_t blog_id, uint64_t claim, int64_t now, struct err *err)
{
	uint64_t ids[HEARTBEAT_IDS];
	struct db_rows *rows = NULL;
	struct sql_args args;
	size_t n = 0;
	enum rc rc = db_select(db, &s->scope, SQL_ACTIONS_OF_CLAIM,
	    SQL_ARGS(V_U64(blog_id), V_U64(claim)), &rows, err);

	if (rc != RC_OK)
		return rc;
	while (n < HEARTBEAT_IDS && db_rows_next(rows))
		ids[n++] = db_u64(rows, 0);
	db_rows_free(rows);
	if (n == 0)
		return RC_OK;
	args = *SQL_ARGS(
	    V_TIME(now), V_TIME(actions_local_attempt(s, now)), V_U64(claim));
	args.ids = ids;
	args.nids = n;
	return db_exec(db, &s->scope, SQL_ACTIONS_HEARTBEAT, &args, NULL, err);
}

static enum rc
actions_heartbeat(struct queue *queue, struct db *db, const uint64_t *claims,
    size_t n, struct err *err)
{
	struct actions *q = actions_of(queue);
	struct actions_settings s;
	int64_t now = clock_unix(q->clock);
	enum rc rc = RC_OK;

	actions_settings_get(q, &s);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = heartbeat_claim(&s, db, q->blog_id, claims[i], now, err);
	return rc;
}

struct slice
actions_group_slug(struct actions *q, struct db *db, uint64_t group_id)
{
	const struct sql_args args = { .ids = &group_id, .nids = 1 };
	struct db_rows *rows = NULL;
	struct actions_settings s;
	char *slug;

	if (group_id == 0)
		return SLICE_LIT("");
	for (size_t i = 0; i < q->ngroups; i++)
		if (q->groups[i].id == group_id)
			return slice_str(q->groups[i].slug);
	actions_settings_get(q, &s);
	if (db_select(db, &s.scope, SQL_ACTIONS_GROUP_SLUGS, &args, &rows,
		NULL) != RC_OK)
		return SLICE_NONE;
	slug = xstrndup(db_rows_next(rows) ? db_text(rows, 1) : SLICE_NONE);
	db_rows_free(rows);
	if (q->ngroups % 16 == 0)
		q->groups =
		    xrealloc(q->groups, q->ngroups + 16, sizeof *q->groups);
	q->groups[q->ngroups++] = (struct group_slug){ group_id, slug };
	return slice_str(slug);
}

const struct queue_ops actions_ops = {
	.name = "actions",
	.next_due = actions_next_due,
	.claim = actions_claim,
	.start = actions_start,
	.settle = actions_settle,
	.heartbeat = actions_heartbeat,
	.rescue = actions_rescue,
};
