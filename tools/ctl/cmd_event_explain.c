/* event explain: one hook, and all that is known of it. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "blogs.h"
#include "events.h"
#include "holds.h"

const char *const event_explain_columns[] = { "hook", "url", "next_run_gmt",
	"next_run_relative", "where", "recurrence", "scheduled", "waiting",
	"running", "held_by", "route", "policy", "last", "last_failure",
	"woken_by", NULL };

#define SECOND_US INT64_C(1000000)

static void
put_next(json_t *row, const struct event *x)
{
	char span[EVENT_SPAN_MAX];
	char where[128];

	row_time(row, "next_run_gmt", x->timestamp);
	event_span(x->timestamp - clock_unix(&clock_system), span);
	row_text(row, "next_run_relative", span);
	if (x->id > 0)
		(void)snprintf(where, sizeof where,
		    "taken from the option, event %" PRIu64 " (%s)", x->id,
		    event_state_name(x->state));
	else
		(void)snprintf(where, sizeof where, "the option `cron`");
	row_text(row, "where", where);
	event_span(x->interval, span);
	row_text(
	    row, "recurrence", x->recurrence.n == 0 ? "Non-repeating" : span);
}

static enum rc
put_events(struct place *p, struct slice hook, json_t *row, struct err *err)
{
	int64_t counts[] = { 0, 0, 0 };
	struct events e;
	enum rc rc = events_load(p, &e, err);

	for (size_t i = 0; rc == RC_OK && i < e.n; i++) {
		const struct event *x = &e.items[i];

		if (!slice_eq(x->hook, hook))
			continue;
		if (!json_object_get(row, "where"))
			put_next(row, x);
		counts[x->state]++;
	}
	row_int(row, "scheduled", counts[EVENT_SCHEDULED]);
	row_int(row, "waiting", counts[EVENT_WAITING]);
	row_int(row, "running", counts[EVENT_RUNNING]);
	events_clear(&e);
	return rc;
}

static void
put_settings(const struct ctl *c, struct slice hook, json_t *row)
{
	static const char *const catch_up[] = {
		[CATCH_UP_ONCE] = "once",
		[CATCH_UP_SKIP] = "skip",
		[CATCH_UP_ALL] = "all",
	};
	const char *site = c->sites[0]->name;
	const struct route *r = config_route(c->config, site, hook);
	const struct policy *p = config_policy(c->config, site, hook, r);
	json_t *route = json_object(), *policy = json_object();

	row_text(route, "executor", executor_name(r->kind));
	if (r->target)
		row_text(route, "target", r->target);
	row_text(route, "pattern", r->pattern);
	(void)json_object_set_new(row, "route", route);
	row_int(policy, "timeout_ms", p->timeout_ms);
	row_int(policy, "retries", p->retries);
	row_int(policy, "concurrency", p->concurrency);
	row_bool(policy, "overlap", p->overlap);
	row_text(policy, "catch_up", catch_up[p->catch_up]);
	row_bool(policy, "idempotent", p->idempotent);
	(void)json_object_set_new(row, "policy", policy);
}

/* "done 3 s late in 0.240 s, php, 2026-01-02 03:04:05" */
static json_t *
outcome(const struct db_rows *r)
{
	struct buf b = BUF_INIT(4096);
	char when[DATETIME_LEN + 1];
	json_t *v;

	buf_printf(&b, "event %" PRIu64 " %.*s", db_u64(r, 0),
	    SLICE_FMT(db_text(r, 1)));
	if (!db_is_null(r, 6))
		buf_printf(&b, ", %.3f s late",
		    (double)(db_i64(r, 6) - db_i64(r, 3) * SECOND_US) / 1e6);
	if (!db_is_null(r, 8))
		buf_printf(&b, ", took %.3f s", (double)db_i64(r, 8) / 1000);
	if (db_text(r, 9).n > 0)
		buf_printf(&b, ", %.*s", SLICE_FMT(db_text(r, 9)));
	if (!db_is_null(r, 7)) {
		datetime_render(db_i64(r, 7) / SECOND_US, when);
		buf_printf(&b, ", at %s", when);
	}
	if (db_text(r, 14).n > 0)
		buf_printf(&b, ": %.*s", SLICE_FMT(db_text(r, 14)));
	v = output_text(buf_slice(&b));
	buf_clear(&b);
	return v;
}

static const char *
trigger(struct slice woken_by)
{
	static const struct {
		const char *name, *words;
	} triggers[] = {
		{ "clock", "clock: the daemon looked by itself" },
		{ "page", "page: a page load's request to wp-cron.php" },
		{ "call", "call: somebody requested wp-cron.php" },
		{ "ctl", "ctl: wp-cronctl" },
	};

	for (size_t i = 0; i < NELEMS(triggers); i++)
		if (slice_eq_str(woken_by, triggers[i].name))
			return triggers[i].words;
	return NULL;
}

/* The newest row of the hook in a state, "" for any, that has ended. */
static enum rc
put_last(struct place *p, struct slice hook, const char *state,
    const char *name, json_t *row, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(p->db, &p->scope, SQL_EVENTS_CTL_HISTORY,
	    SQL_ARGS(V_U64(p->blog_id), V_BYTES(hook), V_BYTES(hook),
		V_STR(state), V_STR(state), V_U64(20), V_U64(0)),
	    &rows, err);

	while (rc == RC_OK && db_rows_next(rows)) {
		if (db_is_null(rows, 7))
			continue;
		(void)json_object_set_new(row, name, outcome(rows));
		if (!json_object_get(row, "woken_by"))
			row_text(row, "woken_by", trigger(db_text(rows, 10)));
		break;
	}
	db_rows_free(rows);
	return rc;
}

static int
explain(const struct ctl *c, struct place *p, void *arg)
{
	struct slice hook = slice_str(c->args[0]);
	json_t *row = json_object(), *holds = json_array();
	struct err err = ERR_INIT;
	enum rc rc;

	(void)arg;
	row_slice(row, "hook", hook);
	row_text(row, "url", p->facts.home);
	rc = put_events(p, hook, row, &err);
	put_settings(c, hook, row);
	if (rc == RC_OK && p->own)
		rc = put_last(p, hook, "", "last", row, &err);
	if (rc == RC_OK && p->own)
		rc = put_last(p, hook, "failed", "last_failure", row, &err);
	if (rc == RC_OK)
		rc = holds_find(c, p, hook, holds, &err);
	(void)json_object_set_new(row, "held_by", holds);
	if (rc != RC_OK) {
		json_decref(row);
		return ctl_error(c, &err);
	}
	return ctl_print_record(c, row, EXIT_DONE);
}

int
cmd_event_explain(struct ctl *c)
{
	return blogs_each(c, 0, explain, NULL);
}
