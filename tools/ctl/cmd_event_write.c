/* event schedule, event unschedule, event delete */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "blogs.h"
#include "events.h"
#include "formats/php_serialize.h"
#include "queues/cron_events_admin.h"
#include "recurrences.h"

const char *const event_change_columns[] = { "hook", "events", "waiting",
	"next_run_gmt", "time", "recurrence", "args", "sig", "url", NULL };

#define ARGS_MAX ((size_t)16 << 20)
#define HOOK_MAX 1000

static struct cron_admin
admin_of(const struct place *p)
{
	return (struct cron_admin){ .db = p->db,
		.scope = &p->scope,
		.blog_id = p->blog_id,
		.object_cache = p->facts.object_cache,
		.companion = p->facts.companion };
}

static bool
for_a_program(const struct ctl *c)
{
	return c->opts.format || c->opts.fields || c->opts.field;
}

/* A sentence like WP-CLI's to a person; a program gets all rows at the end. */
static int say_change(const struct ctl *c, json_t *rows, json_t *row,
    const char *fmt, ...) PRINTF_LIKE(4, 5);
static int
say_change(const struct ctl *c, json_t *rows, json_t *row, const char *fmt, ...)
{
	va_list ap;

	(void)json_array_append_new(rows, row);
	if (for_a_program(c))
		return EXIT_DONE;
	va_start(ap, fmt);
	(void)vfprintf(c->out.to, fmt, ap);
	va_end(ap);
	return EXIT_DONE;
}

static int
print_changes(const struct ctl *c, json_t *rows, int status)
{
	if (status == EXIT_DONE && for_a_program(c))
		return c->opts.network
			   ? ctl_print_rows(c, json_incref(rows), EXIT_DONE)
			   : ctl_print_record(c,
				 json_incref(json_array_get(rows, 0)),
				 EXIT_DONE);
	return status;
}

/* ---- schedule ----------------------------------------------------------- */

struct scheduling {
	const char *when, *recurrence, *args;
	int64_t timestamp, interval;
	struct buf serialized;
	json_t *rows;
};

static bool
is_json(const char *text)
{
	return text[0] == '[' || text[0] == '{';
}

/* --0=a --1=b: PHP gets them in the order given, by their numbers. */
static enum rc
write_numbered(const struct ctl_options *o, struct buf *out, struct err *err)
{
	buf_printf(out, "a:%zu:{", o->nnumbered);
	for (size_t i = 0; i < o->nnumbered; i++) {
		struct slice pair = slice_str(o->numbered[i]);
		size_t eq = slice_find(pair, '=');
		int64_t n;

		if (!php_serialize_index(slice_mem(pair.p, eq), &n))
			return err_set(err, RC_REJECT,
			    "--%s: the number is not in its shortest form",
			    pair.p);
		php_serialize_put_int(out, n);
		php_serialize_put_string(out, slice_from(pair, eq + 1));
	}
	buf_put_char(out, '}');
	return RC_OK;
}

static enum rc
write_args(const struct ctl *c, struct scheduling *s, struct err *err)
{
	json_error_t why;
	json_t *v;
	enum rc rc;

	if (c->opts.nnumbered > 0 && s->args)
		return err_set(
		    err, RC_REJECT, "arguments as JSON or as --0=, not both");
	if (c->opts.nnumbered > 0)
		return write_numbered(&c->opts, &s->serialized, err);
	v = json_loads(s->args ? s->args : "[]", JSON_ALLOW_NUL, &why);
	if (!v)
		return err_set(
		    err, RC_REJECT, "the arguments are no JSON: %s", why.text);
	rc = event_args_write(v, &s->serialized, err);
	json_decref(v);
	return rc;
}

static int
read_schedule(const struct ctl *c, struct scheduling *s)
{
	struct err err = ERR_INIT;
	size_t n = c->nargs;

	*s = (struct scheduling){ .args = c->opts.args,
		.serialized = BUF_INIT(ARGS_MAX) };
	if (!*c->args[0] || strlen(c->args[0]) > HOOK_MAX)
		return ctl_fail(c, EXIT_USAGE,
		    "the name of a hook has 1 to %d bytes", HOOK_MAX);
	if (n > 1 && !s->args && is_json(c->args[n - 1]))
		s->args = c->args[--n];
	s->when = n > 1 ? c->args[1] : "now";
	s->recurrence = n > 2 ? c->args[2] : "";
	if (n > 3)
		return ctl_fail(c, EXIT_USAGE,
		    "usage: wp-cronctl event schedule %s", c->command->args);
	if (!event_when(
		slice_str(s->when), clock_unix(&clock_system), &s->timestamp))
		return ctl_fail(
		    c, EXIT_USAGE, "'%s' is not a valid datetime.", s->when);
	if (write_args(c, s, &err) != RC_OK)
		return ctl_fail(c, EXIT_USAGE, "%s", err.text);
	return EXIT_DONE;
}

static json_t *
schedule_row(const struct ctl *c, const struct place *p,
    const struct scheduling *s, const char *key)
{
	json_t *row = json_object();

	row_text(row, "hook", c->args[0]);
	row_int(row, "events", 1);
	row_time(row, "next_run_gmt", s->timestamp);
	row_int(row, "time", s->timestamp);
	row_text(row, "recurrence", *s->recurrence ? s->recurrence : NULL);
	(void)json_object_set_new(
	    row, "args", event_args_json(buf_slice(&s->serialized)));
	row_text(row, "sig", key);
	row_text(row, "url", p->facts.home);
	return row;
}

static int
schedule(const struct ctl *c, struct place *p, void *arg)
{
	struct scheduling *s = arg;
	struct cron_admin admin = admin_of(p);
	struct cron_admin_event e = { .timestamp = s->timestamp,
		.hook = slice_str(c->args[0]),
		.args = buf_slice(&s->serialized),
		.recurrence = slice_str(s->recurrence) };
	struct recurrences known = { .c = c, .place = p };
	char key[CRON_ADMIN_KEY_MAX], when[DATETIME_LEN + 1];
	struct err err = ERR_INIT;
	enum rc rc = RC_OK;

	if (e.recurrence.n > 0)
		rc = recurrences_find(&known, e.recurrence, &e.interval, &err);
	recurrences_clear(&known);
	if (rc == RC_OK)
		rc = cron_admin_schedule(
		    &admin, &e, clock_unix(&clock_system), &err);
	if (rc == RC_NONE)
		return ctl_fail(
		    c, EXIT_SOME_FAILED, "Event not scheduled: %s.", err.text);
	if (rc != RC_OK)
		return ctl_error(c, &err);
	cron_admin_key(e.args, key);
	datetime_render(s->timestamp, when);
	return say_change(c, s->rows, schedule_row(c, p, s, key),
	    "Success: Scheduled event with hook '%s' for %s GMT.\n", c->args[0],
	    when);
}

int
cmd_event_schedule(struct ctl *c)
{
	struct scheduling s;
	int status = read_schedule(c, &s);

	s.rows = json_array();
	if (status == EXIT_DONE)
		status = blogs_each(c, 0, schedule, &s);
	status = print_changes(c, s.rows, status);
	json_decref(s.rows);
	buf_clear(&s.serialized);
	return status;
}

/* ---- unschedule, delete ------------------------------------------------- */

/* Ids of rows that shall not run, and what became of all. */
struct removing {
	uint64_t *ids;
	size_t nids;
	size_t removed;
	uint64_t dropped;
};

static bool
is_chosen(void *arg, const struct cron_event *x)
{
	return events_has_slot(arg, x);
}

static bool
is_of_hook(void *arg, const struct cron_event *x)
{
	return slice_eq(x->hook, *(const struct slice *)arg);
}

static void
collect_waiting(struct removing *r, const struct events *e)
{
	r->ids = xcalloc(e->n + 1, sizeof *r->ids);
	for (size_t i = 0; i < e->n; i++)
		if (e->items[i].state == EVENT_WAITING &&
		    e->items[i].claim_id == 0)
			r->ids[r->nids++] = e->items[i].id;
}

static enum rc
drop(struct place *p, struct removing *r, struct err *err)
{
	const struct cron_admin admin = admin_of(p);

	return cron_admin_drop(&admin, r->ids, r->nids, &r->dropped, err);
}

static json_t *
removal_row(const struct place *p, const char *hook, const struct removing *r)
{
	json_t *row = json_object();

	row_text(row, "hook", hook);
	row_int(row, "events", (int64_t)r->removed);
	row_int(row, "waiting", (int64_t)r->dropped);
	row_text(row, "url", p->facts.home);
	return row;
}

static int
unschedule(const struct ctl *c, struct place *p, void *arg)
{
	const struct cron_admin admin = admin_of(p);
	struct slice hook = slice_str(c->args[0]);
	struct removing r = { .nids = 0 };
	struct events e;
	struct err err = ERR_INIT;
	uint64_t n;
	enum rc rc = events_load(p, &e, &err);

	for (size_t i = 0; rc == RC_OK && i < e.n; i++)
		if (!slice_eq(e.items[i].hook, hook))
			e.items[i].state = EVENT_RUNNING;
	if (rc == RC_OK) {
		collect_waiting(&r, &e);
		rc = cron_admin_remove(
		    &admin, is_of_hook, &hook, &r.removed, &err);
	}
	if (rc == RC_OK)
		rc = drop(p, &r, &err);
	free(r.ids);
	events_clear(&e);
	if (rc != RC_OK)
		return ctl_error(c, &err);
	n = r.removed + r.dropped;
	if (n == 0 && !c->opts.network)
		return ctl_fail(c, EXIT_SOME_FAILED,
		    "No events found for hook '%s'.", c->args[0]);
	return say_change(c, arg, removal_row(p, c->args[0], &r),
	    "Success: Unscheduled %" PRIu64 " %s for hook '%s'.\n", n,
	    n == 1 ? "event" : "events", c->args[0]);
}

int
cmd_event_unschedule(struct ctl *c)
{
	json_t *rows = json_array();
	int status = print_changes(c, rows, blogs_each(c, 0, unschedule, rows));

	json_decref(rows);
	return status;
}

/* What is no JSON is one text, as WP-CLI takes it. */
static enum rc
match_args(const char *text, struct buf *out, struct err *err)
{
	json_t *v = NULL, *list;
	enum rc rc;

	text += strspn(text, " \t\r\n");
	if (text[0] == '[' || text[0] == '"')
		v = json_loads(text, JSON_DECODE_ANY, NULL);
	if (!v)
		v = output_text(slice_str(text));
	if (json_is_array(v)) {
		list = v;
	} else {
		list = json_array();
		(void)json_array_append_new(list, v);
	}
	rc = event_args_write(list, out, err);
	json_decref(list);
	return rc;
}

static enum rc
keep_matching(const struct ctl *c, struct events *e, struct err *err)
{
	struct buf want = BUF_INIT(ARGS_MAX);
	enum rc rc = RC_OK;
	size_t n = 0;

	if (!c->opts.match_args)
		return RC_OK;
	rc = match_args(c->opts.match_args, &want, err);
	for (size_t i = 0; rc == RC_OK && i < e->n; i++)
		if (slice_eq(e->items[i].args, buf_slice(&want)))
			e->items[n++] = e->items[i];
	e->n = n;
	buf_clear(&want);
	return rc;
}

static int
delete_chosen(
    const struct ctl *c, struct place *p, struct events *e, json_t *rows)
{
	const struct cron_admin admin = admin_of(p);
	struct removing r = { .nids = 0 };
	struct err err = ERR_INIT;
	uint64_t n;
	enum rc rc;

	collect_waiting(&r, e);
	rc = cron_admin_remove(&admin, is_chosen, e, &r.removed, &err);
	if (rc == RC_OK)
		rc = drop(p, &r, &err);
	free(r.ids);
	if (rc != RC_OK)
		return ctl_error(c, &err);
	n = r.removed + r.dropped;
	return say_change(c, rows,
	    removal_row(p, c->nargs == 1 ? c->args[0] : NULL, &r),
	    "Success: Deleted a total of %" PRIu64 " cron %s.\n", n,
	    n == 1 ? "event" : "events");
}

static int
delete_events(const struct ctl *c, struct place *p, void *arg)
{
	struct events e;
	struct err err = ERR_INIT;
	int status;

	if (events_load(p, &e, &err) != RC_OK)
		status = ctl_error(c, &err);
	else
		status = event_select(c, &e);
	if (status == EXIT_DONE && keep_matching(c, &e, &err) != RC_OK)
		status = ctl_fail(c, EXIT_USAGE, "%s", err.text);
	if (status == EXIT_DONE)
		status = delete_chosen(c, p, &e, arg);
	events_clear(&e);
	return status;
}

int
cmd_event_delete(struct ctl *c)
{
	int status = event_select_check(c);
	json_t *rows;

	if (status == EXIT_DONE && c->opts.match_args &&
	    (c->nargs != 1 || c->opts.due_now || c->opts.all))
		status = ctl_fail(c, EXIT_USAGE,
		    "--match-args requires exactly one hook name.");
	if (status != EXIT_DONE)
		return status;
	rows = json_array();
	status = print_changes(c, rows, blogs_each(c, 0, delete_events, rows));
	json_decref(rows);
	return status;
}
