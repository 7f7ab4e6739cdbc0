#include "events.h"

#include <stdlib.h>
#include <string.h>

#include "base/ceilings.h"
#include "base/clock.h"

/* The option, its tree, and what our table holds. */
#define EVENTS_ARENA_MAX (2 * CEILING_CRON_ARENA)

const char *
event_state_name(enum event_state state)
{
	switch (state) {
	case EVENT_SCHEDULED:
		return "scheduled";
	case EVENT_WAITING:
		return "waiting";
	case EVENT_RUNNING:
		break;
	}
	return "running";
}

void
events_clear(struct events *e)
{
	arena_clear(&e->arena);
	*e = (struct events){ .arena = ARENA_INIT(EVENTS_ARENA_MAX) };
}

static int
compare_times(const void *a, const void *b)
{
	const struct event *x = *(struct event *const *)a;
	const struct event *y = *(struct event *const *)b;

	return x->timestamp < y->timestamp ? -1 : x->timestamp > y->timestamp;
}

/* Where the list's first event that is not before `timestamp` stands. */
static size_t
first_at(const struct events *e, int64_t timestamp)
{
	size_t low = 0, high = e->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (e->by_time[middle]->timestamp < timestamp)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool
events_has_slot(struct events *e, const struct cron_event *x)
{
	if (!e->by_time) {
		e->by_time =
		    arena_array(&e->arena, e->n + 1, sizeof(struct event *));
		for (size_t i = 0; e->by_time && i < e->n; i++)
			e->by_time[i] = &e->items[i];
		if (e->by_time)
			qsort(e->by_time, e->n, sizeof(struct event *),
			    compare_times);
	}
	for (size_t i = e->by_time ? first_at(e, x->timestamp) : e->n;
	     i < e->n && e->by_time[i]->timestamp == x->timestamp; i++)
		if (e->by_time[i]->state == EVENT_SCHEDULED &&
		    slice_eq(e->by_time[i]->hook, x->hook) &&
		    slice_eq(e->by_time[i]->key, x->key))
			return true;
	return false;
}

static struct slice
keep(struct events *e, struct slice text)
{
	return slice_mem(arena_strdup(&e->arena, text), text.n);
}

static enum rc
read_option(struct place *p, struct events *e, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    p->db, &p->scope, SQL_EVENTS_CTL_OPTION, SQL_NO_ARGS, &rows, err);

	if (rc == RC_OK && db_rows_next(rows)) {
		e->option = keep(e, db_text(rows, 0));
		if (!e->option.p)
			rc = err_set(err, RC_REJECT,
			    "the option `cron` of %soptions is too large",
			    p->scope.prefix);
		else
			rc = cron_array_parse(
			    e->option, &e->arena, &e->array, err);
	}
	db_rows_free(rows);
	return rc == RC_REJECT ? err_wrap(err, "the option `cron`") : rc;
}

/* The members of an event's bytes that are not columns of the table. */
static void
take_bytes(struct events *e, struct slice bytes, struct event *x)
{
	struct cron_event parsed;

	if (cron_event_parse(bytes, &e->arena, &parsed, NULL) != RC_OK)
		return;
	x->args = parsed.args;
	x->interval = parsed.interval;
}

static int64_t
micros(const struct db_rows *r, unsigned col)
{
	return db_is_null(r, col) ? INT64_MIN : db_i64(r, col);
}

static void
take_row(struct events *e, const struct db_rows *r, struct event *x)
{
	*x = (struct event){
		.id = db_u64(r, 0),
		.state = slice_eq_str(db_text(r, 1), "running") ? EVENT_RUNNING
								: EVENT_WAITING,
		.hook = keep(e, db_text(r, 2)),
		.key = keep(e, db_text(r, 3)),
		.timestamp = db_i64(r, 4),
		.recurrence = keep(e, db_text(r, 5)),
		.claim_id = db_u64(r, 7),
		.node_id = db_u64(r, 8),
		.not_before_us = micros(r, 9),
		.started_us = micros(r, 10),
		.try = (unsigned)db_u64(r, 11),
	};
	take_bytes(e, keep(e, db_text(r, 6)), x);
}

static void
take_slot(const struct cron_event *from, struct event *x)
{
	*x = (struct event){
		.state = EVENT_SCHEDULED,
		.timestamp = from->timestamp,
		.hook = from->hook,
		.key = from->key,
		.args = from->args,
		.recurrence = from->recurrence,
		.interval = from->interval,
		.not_before_us = INT64_MIN,
		.started_us = INT64_MIN,
	};
}

/* Both lists are sorted by timestamp; what is in hand comes first. */
static enum rc
merge(struct events *e, struct db_rows *rows, struct err *err)
{
	size_t nrows = rows ? db_rows_count(rows) : 0, at = 0;
	bool row = rows && db_rows_next(rows);

	e->items =
	    arena_array(&e->arena, nrows + e->array.n + 1, sizeof *e->items);
	if (!e->items)
		return err_set(err, RC_REJECT, "too many cron events");
	while (row || at < e->array.n) {
		struct event *x = &e->items[e->n++];

		if (row &&
		    (at == e->array.n ||
			db_i64(rows, 4) <= e->array.events[at].timestamp)) {
			take_row(e, rows, x);
			row = db_rows_next(rows);
		} else {
			take_slot(&e->array.events[at++], x);
		}
	}
	return RC_OK;
}

enum rc
events_load(struct place *p, struct events *out, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = RC_OK;

	*out = (struct events){ .arena = ARENA_INIT(EVENTS_ARENA_MAX) };
	/* First the table: an event that is moved meanwhile is seen twice,
	 * not missed. */
	if (p->own)
		rc = db_select(p->db, &p->scope, SQL_EVENTS_CTL_LIVE,
		    SQL_ARGS(V_U64(p->blog_id)), &rows, err);
	if (rc == RC_OK)
		rc = read_option(p, out, err);
	if (rc == RC_OK)
		rc = merge(out, rows, err);
	db_rows_free(rows);
	return rc;
}

/* ---- selection ---------------------------------------------------------- */

int
event_select_check(const struct ctl *c)
{
	const struct ctl_options *o = &c->opts;

	if (c->nargs == 0 && !o->due_now && !o->all)
		return ctl_fail(c, EXIT_USAGE,
		    "Please specify one or more cron events, or use "
		    "--due-now/--all.");
	if (c->nargs > 0 && o->all)
		return ctl_fail(c, EXIT_USAGE,
		    "Please either specify cron events, or use --all.");
	if (o->due_now && o->all)
		return ctl_fail(
		    c, EXIT_USAGE, "Please use either --due-now or --all.");
	return EXIT_DONE;
}

static bool
is_excluded(const char *list, struct slice hook)
{
	for (struct slice rest = slice_str(list); rest.n > 0;) {
		size_t end = slice_find(rest, ',');

		if (slice_eq(slice_trim(slice_mem(rest.p, end)), hook))
			return true;
		rest = slice_from(rest, end + 1);
	}
	return false;
}

static bool
is_named(const struct ctl *c, struct slice hook)
{
	for (size_t i = 0; i < c->nargs; i++)
		if (slice_eq_str(hook, c->args[i]))
			return true;
	return false;
}

static bool
has_hook(const struct events *e, const char *hook)
{
	for (size_t i = 0; i < e->n; i++)
		if (slice_eq_str(e->items[i].hook, hook))
			return true;
	return false;
}

int
event_select(const struct ctl *c, struct events *e)
{
	int64_t now = clock_unix(&clock_system);
	size_t n = 0;

	for (size_t i = 0; i < c->nargs; i++)
		if (!c->opts.network && !has_hook(e, c->args[i]))
			return ctl_fail(c, EXIT_SOME_FAILED,
			    "Invalid cron event '%s'", c->args[i]);
	for (size_t i = 0; i < e->n; i++) {
		const struct event *x = &e->items[i];

		if ((c->nargs > 0 && !is_named(c, x->hook)) ||
		    is_excluded(c->opts.exclude, x->hook) ||
		    (c->opts.due_now && x->timestamp > now))
			continue;
		e->items[n++] = *x;
	}
	e->n = n;
	return EXIT_DONE;
}
