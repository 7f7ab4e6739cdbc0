/* action list, action show */
#include <inttypes.h>
#include <string.h>

#include "actions.h"
#include "base/clock.h"

const char *const action_list_columns[] = { "id", "hook", "status", "scheduled",
	"group", "priority", "attempts", "claim", "last_attempt", "args",
	NULL };
const char *const action_show_columns[] = { "id", "hook", "status", "scheduled",
	"scheduled_local", "group", "priority", "attempts", "last_attempt",
	"claim", "node", "origin", "try", "strikes", "unique_key", "route",
	"schedule", "args", "log", NULL };

#define PER_PAGE 30
#define PER_PAGE_MAX 1000000

static const char *const statuses[] = { "pending", "in-progress", "complete",
	"failed", "canceled" };

/* ---- list --------------------------------------------------------------- */

struct listing {
	uint64_t per_page, page, group;
	bool none; /* there is no such group */
	enum sql_id by;
};

static bool
is_status(const char *name)
{
	for (size_t i = 0; i < NELEMS(statuses); i++)
		if (strcmp(statuses[i], name) == 0)
			return true;
	return false;
}

static int
read_listing(const struct ctl *c, struct listing *l)
{
	const struct ctl_options *o = &c->opts;

	*l = (struct listing){
		.per_page = PER_PAGE, .page = 1, .by = SQL_CTL_LIST_BY_ID
	};
	if (o->per_page && !ctl_number(c, "--per-page", o->per_page, 1,
			       PER_PAGE_MAX, &l->per_page))
		return EXIT_USAGE;
	if (o->page &&
	    !ctl_number(c, "--page", o->page, 1, PER_PAGE_MAX, &l->page))
		return EXIT_USAGE;
	if (o->status && !is_status(o->status))
		return ctl_fail(c, EXIT_USAGE,
		    "--status is pending, in-progress, complete, failed or "
		    "canceled, not \"%s\"",
		    o->status);
	if (!o->orderby || strcmp(o->orderby, "id") == 0)
		return EXIT_DONE;
	l->by = SQL_CTL_LIST_BY_DATE;
	if (strcmp(o->orderby, "date") == 0)
		return EXIT_DONE;
	return ctl_fail(
	    c, EXIT_USAGE, "--orderby is id or date, not \"%s\"", o->orderby);
}

static enum rc
find_group(
    struct place *p, const char *slug, struct listing *l, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = RC_OK;

	if (!slug)
		return RC_OK;
	rc = db_select(p->db, &p->scope, SQL_CTL_GROUP_OF_SLUG,
	    SQL_ARGS(V_STR(slug)), &rows, err);
	if (rc == RC_OK && db_rows_next(rows))
		l->group = db_u64(rows, 0);
	l->none = rc == RC_OK && l->group == 0;
	db_rows_free(rows);
	return rc;
}

/* The arguments as JSON, as text where they are none. */
static json_t *
args_json(struct slice args, struct slice extended)
{
	struct slice text = extended.n > 0 ? extended : args;
	json_t *v = json_loadb(text.p ? text.p : "", text.n,
	    JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

	return v ? v : output_text(text);
}

static json_t *
list_row(const struct db_rows *r)
{
	json_t *row = json_object();

	row_int(row, "id", db_i64(r, 0));
	row_slice(row, "hook", db_text(r, 1));
	row_slice(row, "status", db_text(r, 2));
	row_time(row, "scheduled", db_time(r, 3));
	row_slice(row, "group", db_text(r, 4));
	row_int(row, "priority", db_i64(r, 5));
	row_int(row, "attempts", db_i64(r, 6));
	row_int(row, "claim", db_i64(r, 7));
	row_time(row, "last_attempt", db_time(r, 8));
	(void)json_object_set_new(
	    row, "args", args_json(db_text(r, 9), db_text(r, 10)));
	return row;
}

static enum rc
list(struct place *p, const struct ctl_options *o, struct listing *l,
    json_t *out, struct err *err)
{
	const char *status = o->status ? o->status : "";
	const char *hook = o->hook ? o->hook : "";
	struct db_rows *rows = NULL;
	enum rc rc = find_group(p, o->group, l, err);

	if (rc != RC_OK || l->none)
		return rc;
	rc = db_select(p->db, &p->scope, l->by,
	    SQL_ARGS(V_STR(status), V_STR(status), V_STR(hook), V_STR(hook),
		V_U64(l->group), V_U64(l->group), V_U64(l->per_page),
		V_U64((l->page - 1) * l->per_page)),
	    &rows, err);
	while (rc == RC_OK && db_rows_next(rows))
		(void)json_array_append_new(out, list_row(rows));
	db_rows_free(rows);
	return rc;
}

int
cmd_action_list(struct ctl *c)
{
	struct err err = ERR_INIT;
	struct listing l;
	struct place p;
	json_t *rows;
	int status = read_listing(c, &l);

	if (status != EXIT_DONE)
		return status;
	status = place_open_actions(&p, c);
	if (status != EXIT_DONE)
		goto out;
	rows = json_array();
	if (list(&p, &c->opts, &l, rows, &err) == RC_OK) {
		status = ctl_print_rows(c, rows, EXIT_DONE);
	} else {
		json_decref(rows);
		status = ctl_error(c, &err);
	}
out:
	place_close(&p);
	return status;
}

/* ---- show --------------------------------------------------------------- */

static json_t *
route_json(const struct ctl *c, struct slice hook)
{
	const char *site = c->sites[0]->name;
	const struct route *r = config_route(c->config, site, hook);
	const struct policy *p = config_policy(c->config, site, hook, r);
	json_t *out = json_object();

	row_text(out, "executor", executor_name(r->kind));
	if (r->target)
		row_text(out, "target", r->target);
	row_text(out, "pattern", r->pattern);
	row_int(out, "timeout_ms", p->timeout_ms);
	row_int(out, "retries", p->retries);
	row_bool(out, "idempotent", p->idempotent);
	row_bool(out, "paused", p->paused);
	row_bool(out, "outbound", p->outbound);
	return out;
}

static json_t *
show_row(const struct ctl *c, const struct db_rows *r)
{
	json_t *row = json_object();

	row_int(row, "id", db_i64(r, 0));
	row_slice(row, "hook", db_text(r, 1));
	row_slice(row, "status", db_text(r, 2));
	row_time(row, "scheduled", db_time(r, 3));
	row_time(row, "scheduled_local", db_time(r, 4));
	row_slice(row, "group", db_text(r, 5));
	row_int(row, "priority", db_i64(r, 6));
	row_int(row, "attempts", db_i64(r, 7));
	row_time(row, "last_attempt", db_time(r, 8));
	row_int(row, "claim", db_i64(r, 9));
	(void)json_object_set_new(
	    row, "args", args_json(db_text(r, 10), db_text(r, 11)));
	(void)json_object_set_new(
	    row, "schedule", action_schedule_json(db_text(r, 12)));
	if (!db_is_null(r, 13))
		row_int(row, "node", db_i64(r, 13));
	row_int(
	    row, "origin", db_is_null(r, 15) ? db_i64(r, 0) : db_i64(r, 15));
	row_int(row, "try", db_is_null(r, 16) ? 1 : db_i64(r, 16));
	row_int(row, "strikes", db_i64(r, 17));
	row_slice(row, "unique_key", db_text(r, 18));
	(void)json_object_set_new(row, "route", route_json(c, db_text(r, 1)));
	return row;
}

static enum rc
read_log(struct place *p, uint64_t id, json_t *row, struct err *err)
{
	json_t *lines = json_array(), *line;
	struct db_rows *rows = NULL;
	enum rc rc = db_select(p->db, &p->scope, SQL_CTL_ACTION_LOGS,
	    SQL_ARGS(V_U64(id)), &rows, err);

	while (rc == RC_OK && db_rows_next(rows)) {
		line = json_object();
		row_time(line, "date", db_time(rows, 0));
		row_slice(line, "message", db_text(rows, 1));
		(void)json_array_append_new(lines, line);
	}
	db_rows_free(rows);
	(void)json_object_set_new(row, "log", lines);
	return rc;
}

static int
show(const struct ctl *c, struct place *p, uint64_t id)
{
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;
	json_t *row = NULL;
	int status;
	enum rc rc = db_select(p->db, &p->scope, SQL_CTL_ACTION,
	    SQL_ARGS(V_U64(p->blog_id), V_U64(p->blog_id), V_U64(id)), &rows,
	    &err);

	if (rc == RC_OK && db_rows_next(rows)) {
		row = show_row(c, rows);
		rc = read_log(p, id, row, &err);
	}
	db_rows_free(rows);
	if (rc == RC_OK && row)
		return ctl_print_record(c, row, EXIT_DONE);
	status = rc == RC_OK ? ctl_fail(c, EXIT_SOME_FAILED,
				   "there is no action %" PRIu64, id)
			     : ctl_error(c, &err);
	json_decref(row);
	return status;
}

int
cmd_action_show(struct ctl *c)
{
	uint64_t *ids = action_ids(c);
	struct place p;
	int status;

	if (!ids)
		return EXIT_USAGE;
	status = place_open_actions(&p, c);
	if (status == EXIT_DONE)
		status = show(c, &p, ids[0]);
	place_close(&p);
	free(ids);
	return status;
}
