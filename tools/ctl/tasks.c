#include "tasks.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "engine/tasks_run.h"
#include "events.h"
#include "formats/php_serialize.h"
#include "formats/php_serialize_json.h"
#include "formats/task_list.h"

#define KEYS_MAX ((size_t)4096)
#define PAYLOAD_MAX ((size_t)64 << 20)
#define NAME_MAX_BYTES 256

/* ---- queues ------------------------------------------------------------- */

const char *
queue_transient(const struct config_tasks *c)
{
	return c->queue ? c->queue : c->name;
}

bool
queue_view_at(const struct ctl *c, const struct place *p, size_t i,
    struct queue_view *out)
{
	out->config = config_tasks(c->config, p->site->name, i);
	if (!out->config)
		return false;
	tasks_queue_of(p->blog_id, out->config, &out->queue);
	return true;
}

bool
queue_view_find(const struct ctl *c, const struct place *p, struct slice name,
    struct queue_view *out)
{
	for (size_t i = 0; queue_view_at(c, p, i, out); i++)
		if (slice_eq_str(name, out->config->name) ||
		    slice_eq(name, out->queue.name))
			return true;
	ctl_fail(c, EXIT_CONFIG,
	    "there is no [tasks %s/%.*s] in the configuration", p->site->name,
	    SLICE_FMT(name));
	return false;
}

/* ---- lock, event -------------------------------------------------------- */

enum rc
queue_lock_look(struct place *p, const struct queue_view *v,
    struct queue_lock *out, struct err *err)
{
	char value[NAME_MAX_BYTES], timeout[NAME_MAX_BYTES];
	int64_t now = clock_unix(&clock_system), t;
	struct db_rows *rows = NULL;
	enum rc rc;

	*out = (struct queue_lock){ .age_s = INT64_MIN, .left_s = INT64_MIN };
	(void)snprintf(
	    value, sizeof value, "_transient_%.*s", SLICE_FMT(v->queue.lock));
	(void)snprintf(timeout, sizeof timeout, "_transient_timeout_%.*s",
	    SLICE_FMT(v->queue.lock));
	rc = db_select(p->db, &p->scope, SQL_TASKS_CTL_TRANSIENT,
	    SQL_ARGS(V_STR(value), V_STR(timeout)), &rows, err);
	if (rc == RC_OK && db_rows_next(rows) && !db_is_null(rows, 0)) {
		out->there = true;
		(void)snprintf(out->value, sizeof out->value, "%.*s",
		    SLICE_FMT(db_text(rows, 0)));
		if (slice_i64(db_text(rows, 0), &t))
			out->age_s = now - t;
		if (slice_i64(db_text(rows, 1), &t))
			out->left_s = t - now;
		out->orphan = out->left_s == INT64_MIN ||
			      out->age_s > (int64_t)v->queue.lock_ttl_s;
	}
	db_rows_free(rows);
	return rc;
}

enum rc
queue_next_event(
    struct place *p, const struct queue_view *v, int64_t *when, struct err *err)
{
	struct events e;
	enum rc rc;

	*when = INT64_MAX;
	rc = events_load(p, &e, err);
	for (size_t i = 0; rc == RC_OK && i < e.n; i++)
		if (slice_eq(e.items[i].hook, v->queue.hook) &&
		    e.items[i].timestamp < *when)
			*when = e.items[i].timestamp;
	events_clear(&e);
	/* An option that nobody can read is told elsewhere. */
	return rc == RC_REJECT ? RC_OK : rc;
}

/* ---- payloads ----------------------------------------------------------- */

static void
put_key(struct buf *out, struct slice key)
{
	if (out->n > 0)
		buf_put_str(out, ", ");
	buf_put_slice(out, key);
}

static void
put_serialized_keys(struct buf *out, const struct php_serialize_value *v)
{
	static const char *const names[] = { "null", "boolean", "number",
		"number", "text", "list", "object", "object", "enum", "object",
		"reference" };

	if (v->type != PHP_SERIALIZE_ARRAY) {
		put_key(out, slice_str(names[v->type]));
		return;
	}
	for (size_t i = 0; i < v->nmembers && !out->failed; i++)
		if (!v->members[i].int_key)
			put_key(out, v->members[i].key);
	if (out->n == 0)
		buf_printf(out, "%zu values", v->nmembers);
}

/* The payload of a list's element, in whatever form the list had. */
static bool
read_payload(struct slice element, struct arena *a, struct slice *out)
{
	struct task_fields f = { .payload = SLICE_LIT("N;") };
	struct err err = ERR_INIT;
	enum rc rc = task_read(element, a, &f, &err);

	*out = f.payload;
	return rc == RC_OK;
}

void
task_put_keys(json_t *row, const char *name, struct slice element)
{
	struct arena a = ARENA_INIT(TASKS_ARENA_MAX);
	struct buf text = BUF_INIT(KEYS_MAX);
	struct php_serialize_value v;
	struct err err = ERR_INIT;
	struct slice payload;

	/* Of a task that has ended it is not kept. */
	if (element.n == 0) {
		row_text(row, name, "");
		return;
	}
	if (read_payload(element, &a, &payload) &&
	    php_serialize_parse(payload, &PHP_SERIALIZE_LIMITS, &a, &v, &err) ==
		RC_OK)
		put_serialized_keys(&text, &v);
	else
		buf_put_str(&text, "unreadable");
	row_slice(row, name, slice_mem(buf_str(&text), text.n));
	buf_clear(&text);
	arena_clear(&a);
}

static json_t *
as_json(struct slice serialized)
{
	struct buf text = BUF_INIT(PAYLOAD_MAX);
	struct err err = ERR_INIT;
	json_t *out;

	if (php_serialize_json(serialized, &text, &err) == RC_OK)
		out = json_loadb(buf_str(&text), text.n, JSON_DECODE_ANY, NULL);
	else
		out = output_text(serialized);
	buf_clear(&text);
	return out ? out : json_null();
}

json_t *
task_payload(struct slice element)
{
	struct arena a = ARENA_INIT(TASKS_ARENA_MAX);
	struct slice payload;
	json_t *out;

	out = read_payload(element, &a, &payload) ? as_json(payload)
						  : output_text(element);
	arena_clear(&a);
	return out;
}
