/* event run, event retry */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "actions.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "blogs.h"
#include "drive.h"
#include "events.h"
#include "holds.h"
#include "queues/cron_events_admin.h"
#include "recurrences.h"

const char *const event_run_columns[] = { "id", "hook", "state", "seconds",
	"message", "", "node", "url", NULL };
const char *const event_retry_columns[] = { "id", "changed", "why", NULL };

#define NEWER_AT_ONCE 1000
#define SELECT_AT_ONCE 500
#define LOOK_AGAIN_NS 200000000
/* Nobody claims what is left for so long: it stays. */
#define STILL_MS 3000

/* What the whole command did. */
struct totals {
	json_t *rows;
	uint64_t done, failed, left, held, sites;
	int status;
};

/* One blog's run. */
struct run {
	const struct ctl *c;
	struct place *p;
	struct totals *t;
	struct events events;     /* selected */
	struct config_list names; /* their hooks, each once */
	struct recurrences known;
	struct err *err;
	bool unknown;    /* a recurrence could not be looked up */
	uint64_t newest; /* of the table, before the run */
	uint64_t *ids;
	size_t n;
};

static bool
for_a_program(const struct ctl *c)
{
	return c->opts.format || c->opts.fields || c->opts.field;
}

static void
run_clear(struct run *r)
{
	for (size_t i = 0; i < r->names.n; i++)
		free((void *)(uintptr_t)r->names.items[i]);
	free(r->names.items);
	free(r->ids);
	recurrences_clear(&r->known);
	events_clear(&r->events);
}

static bool
has_name(const struct config_list *names, struct slice hook)
{
	for (size_t i = 0; i < names->n; i++)
		if (slice_eq_str(hook, names->items[i]))
			return true;
	return false;
}

static void
add_name(struct config_list *names, struct slice hook)
{
	names->items =
	    xrealloc(names->items, names->n + 1, sizeof *names->items);
	names->items[names->n++] = xstrndup(hook);
}

static void
add_id(struct run *r, uint64_t id)
{
	r->ids = xrealloc(r->ids, r->n + 1, sizeof *r->ids);
	r->ids[r->n++] = id;
}

/* ---- what may run ------------------------------------------------------- */

/* *free: nothing holds the hook; else it was said what does. */
static enum rc
is_free(struct run *r, struct slice hook, bool *is, struct err *err)
{
	json_t *holds = json_array();
	enum rc rc = holds_find(r->c, r->p, hook, holds, err);
	const char *why = rc == RC_OK ? holds_blocking(holds) : NULL;

	*is = !why;
	if (why)
		ctl_notice(r->c, "Warning: '%.*s' is not run: %s.",
		    SLICE_FMT(hook), why);
	json_decref(holds);
	return rc;
}

/* Leave what is held where it is; the hooks of the rest into `names`. */
static enum rc
leave_held(struct run *r, struct err *err)
{
	struct config_list held = { .n = 0 };
	size_t n = 0;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < r->events.n && rc == RC_OK; i++) {
		struct slice hook = r->events.items[i].hook;
		bool is = true;

		if (!has_name(&r->names, hook) && !has_name(&held, hook)) {
			rc = is_free(r, hook, &is, err);
			add_name(is ? &r->names : &held, hook);
		}
		if (has_name(&r->names, hook))
			r->events.items[n++] = r->events.items[i];
	}
	r->t->held += r->events.n - n;
	r->events.n = n;
	for (size_t i = 0; i < held.n; i++)
		free((void *)(uintptr_t)held.items[i]);
	free(held.items);
	return rc;
}

/* ---- take --------------------------------------------------------------- */

static bool
is_selected(void *arg, const struct cron_event *x)
{
	struct run *r = arg;

	return events_has_slot(&r->events, x);
}

static int64_t
interval_of(void *arg, struct slice recurrence, int64_t stored)
{
	struct run *r = arg;
	struct err why = ERR_INIT;
	int64_t interval = 0;
	enum rc rc = recurrences_find(&r->known, recurrence, &interval, &why);

	(void)stored;
	if (rc != RC_OK && rc != RC_NONE) {
		r->unknown = true;
		(void)err_set(r->err, RC_RETRY, "%s", why.text);
	}
	return interval;
}

/* PHP is asked before the option is locked. */
static enum rc
ask_recurrences(struct run *r)
{
	for (size_t i = 0; i < r->events.n && !r->unknown; i++)
		if (r->events.items[i].state == EVENT_SCHEDULED &&
		    r->events.items[i].recurrence.n > 0)
			(void)interval_of(r, r->events.items[i].recurrence, 0);
	return r->unknown ? RC_RETRY : RC_OK;
}

static enum rc
refuse_early(const struct run *r, struct err *err)
{
	int64_t now = clock_unix(&clock_system);

	for (size_t i = 0; i < r->events.n; i++)
		if (r->events.items[i].state == EVENT_SCHEDULED &&
		    r->events.items[i].timestamp > now)
			return err_set(err, RC_REJECT,
			    "'%.*s' is not due, and with an object cache only "
			    "PHP may take it early; use WP-CLI (`wp cron event "
			    "run`)",
			    SLICE_FMT(r->events.items[i].hook));
	return RC_OK;
}

/* What is due is the engine's to take; what was named is taken here, due or
 * not. */
static enum rc
take(struct run *r, struct err *err)
{
	const struct cron_admin admin = { .db = r->p->db,
		.scope = &r->p->scope,
		.blog_id = r->p->blog_id,
		.companion = r->p->facts.companion };
	uint64_t ids[CRON_TAKE_MAX];
	struct cron_admin_take t = { .pick = is_selected,
		.interval_of = interval_of,
		.arg = r,
		.now = clock_unix(&clock_system),
		.ids = ids,
		.max = NELEMS(ids) };
	enum rc rc;

	for (size_t i = 0; i < r->events.n; i++)
		if (r->events.items[i].state != EVENT_SCHEDULED)
			add_id(r, r->events.items[i].id);
	if (r->c->opts.due_now)
		return RC_OK;
	if (r->p->facts.object_cache)
		return refuse_early(r, err);
	r->err = err;
	rc = ask_recurrences(r);
	if (rc == RC_OK)
		rc = cron_admin_take_events(&admin, &t, err);
	for (size_t i = 0; rc == RC_OK && i < t.n; i++)
		add_id(r, ids[i]);
	return rc;
}

static enum rc
read_newest(struct run *r, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(r->p->db, &r->p->scope, SQL_EVENTS_CTL_NEWEST,
	    SQL_ARGS(V_U64(r->p->blog_id)), &rows, err);

	if (rc == RC_OK && db_rows_next(rows))
		r->newest = db_u64(rows, 0);
	db_rows_free(rows);
	return rc;
}

/* What the engine took for us, or somebody else's did. */
static enum rc
find_newer(struct run *r, struct err *err)
{
	uint64_t after = r->newest;
	size_t n = NEWER_AT_ONCE;
	enum rc rc = RC_OK;

	if (!r->c->opts.due_now && !r->p->facts.object_cache)
		return RC_OK;
	while (rc == RC_OK && n == NEWER_AT_ONCE) {
		struct db_rows *rows = NULL;

		n = 0;
		rc = db_select(r->p->db, &r->p->scope, SQL_EVENTS_CTL_NEWER,
		    SQL_ARGS(V_U64(r->p->blog_id), V_U64(after),
			V_U64(NEWER_AT_ONCE)),
		    &rows, err);
		while (rc == RC_OK && db_rows_next(rows)) {
			after = db_u64(rows, 0);
			n++;
			if (has_name(&r->names, db_text(rows, 1)))
				add_id(r, after);
		}
		db_rows_free(rows);
	}
	return rc;
}

/* ---- what became of it -------------------------------------------------- */

static void
tell(struct run *r, const struct db_rows *row)
{
	struct slice state = db_text(row, 1), hook = db_text(row, 2);
	bool done = slice_eq_str(state, "done");
	bool ended = done || slice_eq_str(state, "failed") ||
		     slice_eq_str(state, "skipped") ||
		     slice_eq_str(state, "resurrected");
	double seconds = (double)db_u64(row, 3) / 1000;
	json_t *out = json_object();

	r->t->done += done;
	r->t->failed += slice_eq_str(state, "failed");
	r->t->left += !ended;
	row_int(out, "id", db_i64(row, 0));
	row_slice(out, "hook", hook);
	row_slice(out, "state", state);
	if (!db_is_null(row, 3))
		(void)json_object_set_new(out, "seconds", json_real(seconds));
	row_slice(out, "message", db_text(row, 4));
	if (db_u64(row, 5) > 0)
		row_int(out, "node", db_i64(row, 5));
	row_text(out, "url", r->p->facts.home);
	(void)json_array_append_new(r->t->rows, out);
	if (for_a_program(r->c))
		return;
	if (done)
		(void)fprintf(r->c->out.to,
		    "Executed the cron event '%.*s' in %.3gs.\n",
		    SLICE_FMT(hook), seconds);
	else
		ctl_notice(r->c, "Warning: the cron event '%.*s' %s%.*s%s%.*s",
		    SLICE_FMT(hook), ended ? "" : "is still ", SLICE_FMT(state),
		    db_text(row, 4).n > 0 ? ": " : "",
		    SLICE_FMT(db_text(row, 4)));
}

/* What others do with our events. */
struct elsewhere {
	uint64_t claimed, free;
};

static enum rc
look_at(struct run *r, size_t from, size_t n, bool say, struct elsewhere *out,
    struct err *err)
{
	const struct sql_value blog = V_U64(r->p->blog_id);
	const struct sql_args args = {
		.values = &blog, .nvalues = 1, .ids = r->ids + from, .nids = n
	};
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    r->p->db, &r->p->scope, SQL_EVENTS_CTL_OF_IDS, &args, &rows, err);

	while (rc == RC_OK && db_rows_next(rows)) {
		if (say)
			tell(r, rows);
		if (!slice_eq_str(db_text(rows, 1), "taken") &&
		    !slice_eq_str(db_text(rows, 1), "running"))
			continue;
		out->claimed += db_u64(rows, 6) > 0;
		out->free += db_u64(rows, 6) == 0 && db_u64(rows, 7) > 0;
	}
	db_rows_free(rows);
	return rc;
}

static enum rc
walk(struct run *r, bool say, struct elsewhere *out, struct err *err)
{
	enum rc rc = RC_OK;

	*out = (struct elsewhere){ .claimed = 0 };
	for (size_t i = 0; i < r->n && rc == RC_OK; i += SELECT_AT_ONCE) {
		size_t n = r->n - i;

		rc = look_at(r, i, n < SELECT_AT_ONCE ? n : SELECT_AT_ONCE, say,
		    out, err);
	}
	return rc;
}

/* drive() has blocked these signals. */
static bool
was_signalled(void)
{
	const struct timespec pause = { .tv_nsec = LOOK_AGAIN_NS };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	return sigtimedwait(&set, NULL, &pause) > 0;
}

/*
 * A daemon beside us may have some of them, or hold one whose hook does not
 * run beside itself: they are waited for as long as something moves.
 */
static enum rc
await(struct run *r, const struct drive_result *result, struct err *err)
{
	mono_ms moved = clock_mono(&clock_system);
	struct elsewhere was = { .claimed = 0 }, is;
	enum rc rc = find_newer(r, err);

	if (rc == RC_OK)
		rc = walk(r, false, &is, err);
	while (rc == RC_OK && is.claimed + is.free > 0 &&
	       result->end == DRIVE_SETTLED && !was_signalled()) {
		if (is.claimed > 0 || is.free != was.free)
			moved = clock_mono(&clock_system);
		if (clock_mono(&clock_system) - moved > STILL_MS)
			break;
		was = is;
		rc = walk(r, false, &is, err);
	}
	return rc == RC_OK ? walk(r, true, &is, err) : rc;
}

/* What is due of the chosen hooks, in the option and in the table. */
static uint64_t
due_now(struct run *r)
{
	int64_t now = clock_unix(&clock_system);
	struct events e;
	uint64_t n = 0;
	enum rc rc = events_load(r->p, &e, NULL);

	for (size_t i = 0; rc == RC_OK && i < e.n; i++)
		n += e.items[i].state != EVENT_RUNNING &&
		     e.items[i].timestamp <= now &&
		     has_name(&r->names, e.items[i].hook);
	events_clear(&e);
	return rc == RC_OK ? n : UINT64_MAX;
}

/* The engine ends when it has nothing to do at the moment, and what waits is
 * then put back into the option. */
static uint64_t
left(void *arg)
{
	struct run *r = arg;
	struct elsewhere is;

	if (r->c->opts.due_now || r->p->facts.object_cache)
		return due_now(r);
	return walk(r, false, &is, NULL) == RC_OK ? is.free : UINT64_MAX;
}

static enum rc
run_selected(struct run *r, struct err *err)
{
	struct drive_opts o = { .site = r->c->sites[0],
		.queues = 1u << JOB_EVENT,
		.blog_id = r->p->blog_id,
		.hooks = &r->names,
		.total = r->events.n,
		.left = left,
		.arg = r };
	struct drive_result result;
	enum rc rc = read_newest(r, err);

	if (rc == RC_OK)
		rc = take(r, err);
	if (rc == RC_OK)
		rc = drive(r->c, &o, &result, err);
	if (rc == RC_OK && result.end == DRIVE_UNAVAILABLE)
		r->t->status =
		    ctl_fail(r->c, EXIT_UNAVAILABLE, "%s", result.why);
	return rc == RC_OK ? await(r, &result, err) : rc;
}

/* ---- the command -------------------------------------------------------- */

/* As WP-CLI's --due-now; it ends with 0 there, which hides that nothing ran. */
static enum rc
stands_aside(struct run *r, bool *aside, struct err *err)
{
	struct cron_lock_state l = { .foreign = false };
	enum rc rc = RC_OK;

	if (r->c->opts.due_now && !r->p->facts.object_cache)
		rc = cron_lock_look(r->p, &l, err);
	*aside = l.foreign;
	if (l.foreign) {
		ctl_notice(r->c, "Warning: A cron event run is already in "
				 "progress; skipping.");
		r->t->status = EXIT_AGAIN;
	}
	return rc;
}

static int
run_blog(const struct ctl *c, struct place *p, void *arg)
{
	struct totals *t = arg;
	struct run r = {
		.c = c, .p = p, .t = t, .known = { .c = c, .place = p }
	};
	struct err err = ERR_INIT;
	bool aside = false;
	int status = EXIT_DONE;
	enum rc rc = stands_aside(&r, &aside, &err);

	t->sites++;
	if (rc == RC_OK && !aside)
		rc = events_load(p, &r.events, &err);
	if (rc == RC_OK && !aside)
		status = event_select(c, &r.events);
	if (rc == RC_OK && status == EXIT_DONE)
		rc = leave_held(&r, &err);
	if (rc == RC_OK && status == EXIT_DONE && r.events.n > 0)
		rc = run_selected(&r, &err);
	run_clear(&r);
	return rc == RC_OK ? status : ctl_error(c, &err);
}

static int
report(const struct ctl *c, struct totals *t)
{
	int status = t->status;

	if (status == EXIT_DONE && t->left > 0)
		status = EXIT_AGAIN;
	if (status == EXIT_DONE && t->failed + t->held > 0)
		status = EXIT_SOME_FAILED;
	if (for_a_program(c))
		return ctl_print_rows(
		    c, json_incref(t->rows), (enum ctl_exit)status);
	(void)fprintf(c->out.to, "%s: Executed a total of %" PRIu64 " cron %s",
	    status == EXIT_DONE ? "Success" : "Warning", t->done,
	    t->done == 1 ? "event" : "events");
	if (c->opts.network)
		(void)fprintf(c->out.to, " across %" PRIu64 " %s", t->sites,
		    t->sites == 1 ? "site" : "sites");
	(void)fputs(".\n", c->out.to);
	return status;
}

int
cmd_event_run(struct ctl *c)
{
	struct totals t = { .done = 0 };
	int status = event_select_check(c);

	if (status != EXIT_DONE)
		return status;
	t.rows = json_array();
	status = blogs_each(c, NEED_OWN, run_blog, &t);
	if (status == EXIT_DONE)
		status = report(c, &t);
	json_decref(t.rows);
	return status;
}

/* ---- retry -------------------------------------------------------------- */

struct retrying {
	uint64_t *ids;
	size_t n;
	json_t *rows;
	size_t refused;
};

static enum rc
find_failed(
    const struct ctl *c, struct place *p, struct retrying *r, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc;

	if (!c->opts.hook)
		return RC_OK;
	rc = db_select(p->db, &p->scope, SQL_EVENTS_CTL_FAILED_OF_HOOK,
	    SQL_ARGS(V_U64(p->blog_id), V_BYTES(slice_str(c->opts.hook))),
	    &rows, err);
	if (rc == RC_OK)
		r->ids = xcalloc(db_rows_count(rows) + 1, sizeof *r->ids);
	while (rc == RC_OK && db_rows_next(rows))
		r->ids[r->n++] = db_u64(rows, 0);
	db_rows_free(rows);
	return rc;
}

static int
retry(const struct ctl *c, struct place *p, void *arg)
{
	const struct cron_admin admin = {
		.db = p->db, .scope = &p->scope, .blog_id = p->blog_id
	};
	struct retrying *r = arg;
	struct err err = ERR_INIT;
	enum rc rc = find_failed(c, p, r, &err);

	for (size_t i = 0; i < r->n && rc == RC_OK; i++) {
		json_t *row = json_object();

		rc = cron_admin_retry(&admin, r->ids[i], &err);
		row_int(row, "id", (int64_t)r->ids[i]);
		row_bool(row, "changed", rc == RC_OK);
		row_text(row, "why",
		    rc == RC_OK ? "waits to be run again" : err.text);
		(void)json_array_append_new(r->rows, row);
		r->refused += rc == RC_NONE;
		if (rc == RC_NONE)
			rc = RC_OK;
	}
	return rc == RC_OK ? EXIT_DONE : ctl_error(c, &err);
}

int
cmd_event_retry(struct ctl *c)
{
	struct retrying r = { .n = c->nargs };
	int status;

	if ((c->nargs > 0) == (c->opts.hook != NULL))
		return ctl_fail(c, EXIT_USAGE,
		    "usage: wp-cronctl event retry %s", c->command->args);
	if (c->opts.hook && !c->opts.yes)
		return ctl_fail(c, EXIT_USAGE,
		    "this runs every failed event of %s again; say --yes",
		    c->opts.hook);
	if (c->nargs > 0) {
		r.ids = action_ids(c);
		if (!r.ids)
			return EXIT_USAGE;
	}
	r.rows = json_array();
	status = blogs_each(c, NEED_OWN, retry, &r);
	/* What was changed is told, also when the rest could not be. */
	if (json_array_size(r.rows) > 0 || status == EXIT_DONE)
		status = ctl_print_rows(c, json_incref(r.rows),
		    status != EXIT_DONE ? (enum ctl_exit)status
		    : r.refused > 0     ? EXIT_SOME_FAILED
					: EXIT_DONE);
	json_decref(r.rows);
	free(r.ids);
	return status;
}
