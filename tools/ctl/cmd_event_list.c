/* event list, event history */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "blogs.h"
#include "events.h"

const char *const event_list_columns[] = { "hook", "next_run_gmt",
	"next_run_relative", "recurrence", "", "time", "sig", "args",
	"schedule", "interval", "next_run", "actions", "state", "id", "claim",
	"node", "url", NULL };
const char *const event_history_columns[] = { "id", "hook", "state",
	"scheduled", "started", "late_by", "duration", "executor", "woken_by",
	"message", "", "taken", "ended", "recurrence", "next", "try", "node",
	"sig", "time", "url", NULL };

#define PER_PAGE 30
#define PER_PAGE_MAX 1000000
#define SECOND_US INT64_C(1000000)

/* ---- list --------------------------------------------------------------- */

/* WP-CLI says what PHP would call; here it is where the hook is done. */
static void
put_route(const struct ctl *c, json_t *row, struct slice hook)
{
	const struct route *r =
	    config_route(c->config, c->sites[0]->name, hook);
	char text[512];

	(void)snprintf(text, sizeof text, "%s%s%s", executor_name(r->kind),
	    !r->target                    ? ""
	    : r->kind == EXECUTOR_WEBHOOK ? " "
					  : ":",
	    r->target ? r->target : "");
	row_text(row, "actions", text);
}

static json_t *
list_row(const struct ctl *c, const struct place *p, const struct event *x)
{
	int64_t now = clock_unix(&clock_system);
	json_t *row = json_object();
	char span[EVENT_SPAN_MAX];

	row_slice(row, "hook", x->hook);
	row_int(row, "time", x->timestamp);
	row_slice(row, "sig", x->key);
	(void)json_object_set_new(row, "args", event_args_json(x->args));
	if (x->recurrence.n > 0)
		row_slice(row, "schedule", x->recurrence);
	else
		row_bool(row, "schedule", false);
	if (x->interval > 0)
		row_int(row, "interval", x->interval);
	event_span(x->interval, span);
	row_text(
	    row, "recurrence", x->recurrence.n > 0 ? span : "Non-repeating");
	row_time(row, "next_run", site_local_attempt(&p->facts, x->timestamp));
	row_time(row, "next_run_gmt", x->timestamp);
	event_span(x->timestamp - now, span);
	row_text(row, "next_run_relative", span);
	put_route(c, row, x->hook);
	row_text(row, "state", event_state_name(x->state));
	if (x->id > 0)
		row_int(row, "id", (int64_t)x->id);
	if (x->claim_id > 0) {
		row_int(row, "claim", (int64_t)x->claim_id);
		row_int(row, "node", (int64_t)x->node_id);
	}
	row_text(row, "url", p->facts.home);
	return row;
}

static int
list(const struct ctl *c, struct place *p, void *arg)
{
	int64_t now = clock_unix(&clock_system);
	struct events e;
	struct err err = ERR_INIT;
	json_t *out = arg;
	enum rc rc = events_load(p, &e, &err);

	for (size_t i = 0; rc == RC_OK && i < e.n; i++) {
		const struct event *x = &e.items[i];

		if ((c->opts.hook && !slice_eq_str(x->hook, c->opts.hook)) ||
		    (c->opts.due_now && x->timestamp > now))
			continue;
		(void)json_array_append_new(out, list_row(c, p, x));
	}
	if (rc == RC_OK && e.array.odd > 0)
		ctl_notice(c,
		    "%zu entries of the option `cron` are no events; "
		    "WordPress ignores them, too",
		    e.array.odd);
	events_clear(&e);
	return rc == RC_OK ? EXIT_DONE : ctl_error(c, &err);
}

int
cmd_event_list(struct ctl *c)
{
	json_t *rows = json_array();
	int status = blogs_each(c, 0, list, rows);

	if (status == EXIT_DONE)
		return ctl_print_rows(c, rows, EXIT_DONE);
	json_decref(rows);
	return status;
}

/* ---- history ------------------------------------------------------------ */

struct page {
	uint64_t per_page, page;
	json_t *rows;
};

static int
read_page(const struct ctl *c, struct page *g)
{
	static const char *const states[] = { "taken", "running", "done",
		"failed", "skipped", "resurrected", "observed", "gone" };
	const struct ctl_options *o = &c->opts;
	size_t i = 0;

	*g = (struct page){ .per_page = PER_PAGE, .page = 1 };
	if (o->per_page && !ctl_number(c, "--per-page", o->per_page, 1,
			       PER_PAGE_MAX, &g->per_page))
		return EXIT_USAGE;
	if (o->page &&
	    !ctl_number(c, "--page", o->page, 1, PER_PAGE_MAX, &g->page))
		return EXIT_USAGE;
	while (o->status && i < NELEMS(states) &&
	       strcmp(states[i], o->status) != 0)
		i++;
	if (i < NELEMS(states))
		return EXIT_DONE;
	return ctl_fail(c, EXIT_USAGE,
	    "--status is taken, running, done, failed, skipped, resurrected, "
	    "observed or gone, not \"%s\"",
	    o->status);
}

static void
row_micros(json_t *row, const char *name, const struct db_rows *r, unsigned col)
{
	row_time(row, name,
	    db_is_null(r, col) ? INT64_MIN : db_i64(r, col) / SECOND_US);
}

static json_t *
history_row(const struct place *p, const struct db_rows *r)
{
	int64_t scheduled = db_i64(r, 3);
	json_t *row = json_object();

	row_int(row, "id", db_i64(r, 0));
	row_slice(row, "state", db_text(r, 1));
	row_slice(row, "hook", db_text(r, 2));
	row_int(row, "time", scheduled);
	row_time(row, "scheduled", scheduled);
	if (db_text(r, 4).n > 0)
		row_slice(row, "recurrence", db_text(r, 4));
	row_micros(row, "taken", r, 5);
	row_micros(row, "started", r, 6);
	row_micros(row, "ended", r, 7);
	if (!db_is_null(r, 6))
		row_seconds(
		    row, "late_by", db_i64(r, 6) - scheduled * SECOND_US);
	/* WordPress ran it; when, is known to the second we looked. */
	else if (slice_eq_str(db_text(r, 1), "gone") && !db_is_null(r, 7))
		row_seconds(
		    row, "late_by", db_i64(r, 7) - scheduled * SECOND_US);
	if (!db_is_null(r, 8))
		row_seconds(row, "duration", db_i64(r, 8) * 1000);
	row_slice(row, "executor", db_text(r, 9));
	row_slice(row, "woken_by", db_text(r, 10));
	row_int(row, "try", db_i64(r, 11));
	if (db_u64(r, 12) > 0)
		row_int(row, "node", db_i64(r, 12));
	if (db_i64(r, 13) > 0)
		row_time(row, "next", db_i64(r, 13));
	row_slice(row, "message", db_text(r, 14));
	row_slice(row, "sig", db_text(r, 15));
	row_text(row, "url", p->facts.home);
	return row;
}

static int
history(const struct ctl *c, struct place *p, void *arg)
{
	struct slice hook = slice_str(c->nargs > 0 ? c->args[0] : "");
	const char *state = c->opts.status ? c->opts.status : "";
	struct page *g = arg;
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;
	enum rc rc = db_select(p->db, &p->scope, SQL_EVENTS_CTL_HISTORY,
	    SQL_ARGS(V_U64(p->blog_id), V_BYTES(hook), V_BYTES(hook),
		V_STR(state), V_STR(state), V_U64(g->per_page),
		V_U64((g->page - 1) * g->per_page)),
	    &rows, &err);

	while (rc == RC_OK && db_rows_next(rows))
		(void)json_array_append_new(g->rows, history_row(p, rows));
	db_rows_free(rows);
	return rc == RC_OK ? EXIT_DONE : ctl_error(c, &err);
}

int
cmd_event_history(struct ctl *c)
{
	struct page g;
	int status = read_page(c, &g);

	if (status != EXIT_DONE)
		return status;
	g.rows = json_array();
	status = blogs_each(c, NEED_OWN, history, &g);
	if (status == EXIT_DONE)
		return ctl_print_rows(c, g.rows, EXIT_DONE);
	json_decref(g.rows);
	return status;
}
