/* tasks list, show, retry, clear, hand-back */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "blogs.h"
#include "dead.h"
#include "engine/tasks_run.h"
#include "tasks.h"

/* Of a queue, then of a task: which of them are shown, the argument says. */
const char *const tasks_list_columns[] = { "queue", "inbox", "ready", "delayed",
	"running", "done", "dead", "lock", "next_event", "location", "id",
	"state", "type", "attempts", "available", "payload", "error", "",
	"transient", "oldest", "expires", "expired", "unreadable", "done_hour",
	"stale", "types", "unmapped", "max_attempts", "backoff", "taken",
	"started", "ended", "expired_inbox", "url", NULL };
static const char *const queue_columns[] = { "queue", "inbox", "ready",
	"delayed", "running", "done", "dead", "lock", "next_event", "location",
	"", "transient", "oldest", "expires", "expired", "unreadable",
	"done_hour", "stale", "types", "unmapped", "url", NULL };
static const char *const of_queue_columns[] = { "id", "state", "type",
	"attempts", "available", "payload", "error", "", "queue",
	"max_attempts", "backoff", "taken", "started", "ended", "expired_inbox",
	"url", NULL };
const char *const tasks_show_columns[] = { "id", "queue", "state", "type",
	"attempts", "max_attempts", "backoff", "available", "taken", "started",
	"ended", "expired_inbox", "error", "payload", "url", NULL };
const char *const tasks_change_columns[] = { "queue", "tasks", "url", NULL };

/* ---- queues ------------------------------------------------------------- */

static void
put_lock(json_t *row, const struct queue_lock *l)
{
	char words[128];

	if (!l->there)
		return;
	if (l->left_s == INT64_MIN)
		(void)snprintf(words, sizeof words,
		    "an orphan: nothing says when it ends");
	else
		(void)snprintf(words, sizeof words,
		    "held for %" PRId64 " s, ends in %" PRId64 " s%s",
		    l->age_s == INT64_MIN ? 0 : l->age_s,
		    l->left_s < 0 ? 0 : l->left_s,
		    l->orphan ? " (an orphan)" : "");
	row_text(row, "lock", words);
}

static bool
is_mapped(const struct config_tasks *c, struct slice type)
{
	for (size_t i = 0; i < c->nhandlers; i++)
		if (slice_eq_str(type, c->handlers[i].type))
			return true;
	return false;
}

static enum rc
put_types(
    json_t *row, struct place *p, const struct queue_view *v, struct err *err)
{
	struct arena a = ARENA_INIT(TASKS_ARENA_MAX);
	struct buf all = BUF_INIT(4096), unmapped = BUF_INIT(4096);
	struct slice *types = NULL;
	size_t n = 0;
	enum rc rc =
	    tasks_types(p->db, &p->scope, &v->queue, &a, &types, &n, err);

	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		buf_printf(
		    &all, "%s%.*s", i > 0 ? ", " : "", SLICE_FMT(types[i]));
		if (!is_mapped(v->config, types[i]))
			buf_printf(&unmapped, "%s%.*s",
			    unmapped.n > 0 ? ", " : "", SLICE_FMT(types[i]));
	}
	if (all.n > 0)
		row_slice(row, "types", buf_slice(&all));
	if (unmapped.n > 0)
		row_slice(row, "unmapped", buf_slice(&unmapped));
	buf_clear(&all);
	buf_clear(&unmapped);
	arena_clear(&a);
	return rc;
}

/* Where PHP keeps it; rows beside an object cache are left-overs. */
static enum rc
put_inbox(
    json_t *row, struct place *p, const struct queue_view *v, struct err *err)
{
	struct task_inbox inbox = { .n = 0 };
	enum rc rc;

	if (p->facts.object_cache) {
		row_text(row, "location",
		    p->facts.companion ? "database (companion)"
				       : "object cache");
		if (!p->facts.companion)
			return RC_OK;
	} else {
		row_text(row, "location", "database");
	}
	rc = tasks_inbox(p->db, &p->scope, &v->queue, &inbox, err);
	if (rc != RC_OK)
		return rc;
	row_int(row, "inbox", (int64_t)inbox.n);
	row_bool(row, "expired", inbox.expired);
	row_bool(row, "unreadable", inbox.unreadable);
	if (inbox.oldest > 0)
		row_time(row, "oldest", inbox.oldest);
	return RC_OK;
}

static enum rc
put_expiry(
    json_t *row, struct place *p, const struct queue_view *v, struct err *err)
{
	char value[256], timeout[256];
	struct db_rows *rows = NULL;
	int64_t t;
	enum rc rc;

	(void)snprintf(
	    value, sizeof value, "_transient_%.*s", SLICE_FMT(v->queue.name));
	(void)snprintf(timeout, sizeof timeout, "_transient_timeout_%.*s",
	    SLICE_FMT(v->queue.name));
	rc = db_select(p->db, &p->scope, SQL_TASKS_CTL_TRANSIENT,
	    SQL_ARGS(V_STR(value), V_STR(timeout)), &rows, err);
	if (rc == RC_OK && db_rows_next(rows) &&
	    slice_i64(db_text(rows, 1), &t))
		row_time(row, "expires", t);
	db_rows_free(rows);
	return rc;
}

static enum rc
put_counts(
    json_t *row, struct place *p, const struct queue_view *v, struct err *err)
{
	struct task_counts n = { .ready = 0 };
	enum rc rc = tasks_count(p->db, &p->scope, &v->queue, &n, err);

	row_int(row, "ready", (int64_t)n.ready);
	row_int(row, "delayed", (int64_t)n.delayed);
	row_int(row, "running", (int64_t)n.running);
	row_int(row, "done", (int64_t)n.done_day);
	row_int(row, "done_hour", (int64_t)n.done_hour);
	row_int(row, "dead", (int64_t)n.dead);
	row_int(row, "stale", (int64_t)n.stale);
	return rc;
}

static enum rc
put_queue(
    json_t *rows, struct place *p, const struct queue_view *v, struct err *err)
{
	json_t *row = json_object();
	struct queue_lock lock;
	int64_t next = INT64_MAX;
	enum rc rc;

	row_text(row, "queue", v->config->name);
	row_slice(row, "transient", v->queue.name);
	row_text(row, "url", p->facts.home);
	rc = put_counts(row, p, v, err);
	if (rc == RC_OK)
		rc = put_inbox(row, p, v, err);
	if (rc == RC_OK)
		rc = put_expiry(row, p, v, err);
	if (rc == RC_OK)
		rc = put_types(row, p, v, err);
	if (rc == RC_OK)
		rc = queue_lock_look(p, v, &lock, err);
	if (rc == RC_OK) {
		put_lock(row, &lock);
		rc = queue_next_event(p, v, &next, err);
	}
	row_time(row, "next_event", next);
	(void)json_array_append_new(rows, row);
	return rc;
}

/* ---- tasks -------------------------------------------------------------- */

static json_t *
task_row(const struct place *p, const struct db_rows *r)
{
	json_t *row = json_object();

	row_int(row, "id", db_i64(r, 0));
	row_slice(row, "state", db_text(r, 1));
	row_slice(row, "type", db_text(r, 2));
	row_int(row, "attempts", db_i64(r, 3));
	row_int(row, "max_attempts", db_i64(r, 4));
	row_seconds(row, "backoff", db_i64(r, 5) * 1000);
	row_time(row, "available", db_time(r, 6));
	row_time(row, "taken", db_time(r, 7));
	row_time(row, "started", db_time(r, 8));
	row_time(row, "ended", db_time(r, 9));
	row_bool(row, "expired_inbox", db_u64(r, 10) != 0);
	row_slice(row, "error", db_text(r, 11));
	task_put_keys(row, "payload", db_text(r, 12));
	row_slice(row, "queue", db_text(r, 13));
	row_text(row, "url", p->facts.home);
	return row;
}

struct listing {
	struct work_page page;
	json_t *rows;
};

static int
list_tasks(const struct ctl *c, struct place *p, struct listing *l)
{
	const char *state = c->opts.status ? c->opts.status : "";
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;
	struct queue_view v;
	enum rc rc;

	if (!queue_view_find(c, p, slice_str(c->args[0]), &v))
		return EXIT_CONFIG;
	rc = db_select(p->db, &p->scope, SQL_TASKS_CTL_LIST,
	    SQL_ARGS(V_U64(p->blog_id), V_BYTES(v.queue.name), V_STR(state),
		V_STR(state), V_U64(l->page.per_page),
		V_U64(work_page_skip(&l->page))),
	    &rows, &err);
	while (rc == RC_OK && db_rows_next(rows))
		(void)json_array_append_new(l->rows, task_row(p, rows));
	db_rows_free(rows);
	return rc == RC_OK ? EXIT_DONE : ctl_error(c, &err);
}

static int
list_queues(const struct ctl *c, struct place *p, struct listing *l)
{
	struct err err = ERR_INIT;
	struct queue_view v;
	enum rc rc = RC_OK;

	for (size_t i = 0; queue_view_at(c, p, i, &v) && rc == RC_OK; i++)
		rc = put_queue(l->rows, p, &v, &err);
	return rc == RC_OK ? EXIT_DONE : ctl_error(c, &err);
}

static int
list(const struct ctl *c, struct place *p, void *arg)
{
	return c->nargs > 0 ? list_tasks(c, p, arg) : list_queues(c, p, arg);
}

static int
check_list(struct ctl *c)
{
	static const char *const states[] = { "ready", "delayed", "claimed",
		"running", "done", "dead" };
	const struct ctl_options *o = &c->opts;
	struct err err = ERR_INIT;
	bool known = !o->status;

	for (size_t i = 0; !known && i < NELEMS(states); i++)
		known = strcmp(o->status, states[i]) == 0;
	if (!known)
		return ctl_fail(c, EXIT_USAGE,
		    "--status is ready, delayed, claimed, running, done or "
		    "dead, not \"%s\"",
		    o->status);
	if (o->status && c->nargs == 0)
		return ctl_fail(
		    c, EXIT_USAGE, "--status is of the tasks of one queue");
	if (output_init(&c->out, c->out.to,
		c->nargs > 0 ? of_queue_columns : queue_columns, o->format,
		o->field ? o->field : o->fields, &err) != RC_OK)
		return ctl_fail(c, EXIT_USAGE, "%s", err.text);
	if (o->field && c->out.format == OUTPUT_TABLE)
		c->out.format = OUTPUT_LINES;
	return EXIT_DONE;
}

static bool
has_queue(const struct ctl *c)
{
	return config_tasks(c->config, c->sites[0]->name, 0) != NULL;
}

int
cmd_tasks_list(struct ctl *c)
{
	struct listing l;
	int status = check_list(c);

	if (status == EXIT_DONE)
		status = work_page(c, &l.page);
	if (status != EXIT_DONE)
		return status;
	if (!has_queue(c))
		ctl_notice(c,
		    "no queue is configured: a section [tasks %s/NAME] names "
		    "one",
		    c->sites[0]->name);
	l.rows = json_array();
	status = blogs_each(c, NEED_OWN, list, &l);
	if (status == EXIT_DONE)
		return ctl_print_rows(c, l.rows, EXIT_DONE);
	json_decref(l.rows);
	return status;
}

/* ---- show --------------------------------------------------------------- */

static int
show(const struct ctl *c, struct place *p, void *arg)
{
	uint64_t *id = arg;
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;
	json_t *row = NULL;
	enum rc rc = db_select(p->db, &p->scope, SQL_TASKS_CTL_TASK,
	    SQL_ARGS(V_U64(*id)), &rows, &err);

	if (rc == RC_OK && db_rows_next(rows)) {
		rc = place_turn(p, (uint32_t)db_u64(rows, 14), &err);
		row = task_row(p, rows);
		if (c->opts.body)
			(void)json_object_set_new(
			    row, "payload", task_payload(db_text(rows, 12)));
	}
	db_rows_free(rows);
	if (rc != RC_OK) {
		json_decref(row);
		return ctl_error(c, &err);
	}
	return row ? ctl_print_record(c, row, EXIT_DONE)
		   : ctl_fail(c, EXIT_SOME_FAILED,
			 "there is no task %" PRIu64 "; it may be a dead "
			 "letter",
			 *id);
}

int
cmd_tasks_show(struct ctl *c)
{
	uint64_t id;

	if (!ctl_number(c, "ID", c->args[0], 1, INT64_MAX, &id))
		return EXIT_USAGE;
	return blogs_each(c, NEED_OWN, show, &id);
}

/* ---- change ------------------------------------------------------------- */

int
cmd_tasks_retry(struct ctl *c)
{
	if ((c->nargs > 0) == c->opts.all)
		return ctl_fail(c, EXIT_USAGE, "usage: wp-cronctl %s %s",
		    c->command->name, c->command->args);
	return dead_retry(c, DEAD_TASK);
}

struct change {
	bool hand_back;
	json_t *rows;
};

static void
put_change(
    json_t *rows, const struct place *p, const struct queue_view *v, size_t n)
{
	json_t *row = json_object();

	row_text(row, "queue", v->config->name);
	row_int(row, "tasks", (int64_t)n);
	row_text(row, "url", p->facts.home);
	(void)json_array_append_new(rows, row);
}

static int
change(const struct ctl *c, struct work_view *w, void *arg)
{
	struct place *p = w->place;
	struct change *ch = arg;
	struct queue_view v;
	struct err err = ERR_INIT;
	size_t n = 0;
	enum rc rc;

	if (!queue_view_find(c, p, slice_str(c->args[0]), &v))
		return EXIT_CONFIG;
	rc = ch->hand_back ? tasks_hand_back_run(&w->env, v.config, &n, &err)
			   : tasks_clear(p->db, &p->scope, &v.queue, &n, &err);
	if (rc == RC_NONE)
		return ctl_fail(c, EXIT_AGAIN,
		    "a node works on this queue: try again, or stop the "
		    "daemon first");
	if (rc != RC_OK)
		return ctl_error(c, &err);
	put_change(ch->rows, p, &v, n);
	return EXIT_DONE;
}

static int
change_queue(struct ctl *c, bool hand_back)
{
	struct change ch = { .hand_back = hand_back };
	int status;

	if (!c->opts.yes)
		return ctl_fail(c, EXIT_USAGE,
		    hand_back
			? "this gives the tasks of %s back to the plugin, for "
			  "PHP to run them; say --yes"
			: "this throws away all tasks of %s that wait; say "
			  "--yes",
		    c->args[0]);
	ch.rows = json_array();
	status = work_each(c, change, &ch);
	if (status == EXIT_DONE)
		return ctl_print_rows(c, ch.rows, EXIT_DONE);
	json_decref(ch.rows);
	return status;
}

int
cmd_tasks_clear(struct ctl *c)
{
	return change_queue(c, false);
}

int
cmd_tasks_hand_back(struct ctl *c)
{
	return change_queue(c, true);
}
