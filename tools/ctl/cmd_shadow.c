/* shadow report: what this program would have run, and what WordPress ran. */
#include "base/clock.h"
#include "blogs.h"
#include "events.h"

const char *const shadow_columns[] = { "queue", "hook", "would_have_run",
	"wordpress_ran", "not_yet", "mean_late_s", "max_late_s", "", "first",
	"last", "url", NULL };

#define DAY INT64_C(86400)

static void
row_us(json_t *row, const char *name, const struct db_rows *r, unsigned col)
{
	if (!db_is_null(r, col))
		row_seconds(row, name, db_i64(r, col));
}

static enum rc
put_observed(struct place *p, json_t *out, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(p->db, &p->scope, SQL_EVENTS_CTL_OBSERVED,
	    SQL_ARGS(V_U64(p->blog_id)), &rows, err);

	while (rc == RC_OK && db_rows_next(rows)) {
		json_t *row = json_object();

		row_text(row, "queue", "cron");
		row_slice(row, "hook", db_text(rows, 0));
		row_int(row, "would_have_run", db_i64(rows, 1));
		row_int(row, "wordpress_ran", db_i64(rows, 2));
		row_int(row, "not_yet", db_i64(rows, 1) - db_i64(rows, 2));
		row_us(row, "mean_late_s", rows, 3);
		row_us(row, "max_late_s", rows, 4);
		row_time(row, "first", db_i64(rows, 5));
		row_time(row, "last", db_i64(rows, 6));
		row_text(row, "url", p->facts.home);
		(void)json_array_append_new(out, row);
	}
	db_rows_free(rows);
	return rc;
}

static json_t *
action_row(json_t *out, size_t from, const struct place *p, struct slice hook)
{
	json_t *name = output_text(hook), *row;

	for (size_t i = from; i < json_array_size(out); i++) {
		row = json_array_get(out, i);
		if (!json_equal(json_object_get(row, "hook"), name))
			continue;
		json_decref(name);
		return row;
	}
	row = json_object();
	row_text(row, "queue", "actions");
	(void)json_object_set_new(row, "hook", name);
	row_int(row, "would_have_run", 0);
	row_int(row, "wordpress_ran", 0);
	row_int(row, "not_yet", 0);
	row_text(row, "url", p->facts.home);
	(void)json_array_append_new(out, row);
	return row;
}

static int64_t
count_of(const json_t *row, const char *name)
{
	return json_integer_value(json_object_get(row, name));
}

/* Action Scheduler keeps what it ran; that is read, and nothing recorded. */
static enum rc
put_actions(struct place *p, int64_t since, json_t *out, struct err *err)
{
	size_t from = json_array_size(out);
	struct db_rows *rows = NULL;
	json_t *row;
	enum rc rc = db_select(p->db, &p->scope, SQL_EVENTS_CTL_COMPLETED,
	    SQL_ARGS(V_TIME(since)), &rows, err);

	while (rc == RC_OK && db_rows_next(rows)) {
		row = action_row(out, from, p, db_text(rows, 0));
		row_int(row, "would_have_run", db_i64(rows, 1));
		row_int(row, "wordpress_ran", db_i64(rows, 1));
		row_int(row, "mean_late_s", db_i64(rows, 2));
		row_int(row, "max_late_s", db_i64(rows, 3));
	}
	db_rows_free(rows);
	rows = NULL;
	if (rc == RC_OK)
		rc = db_select(p->db, &p->scope, SQL_EVENTS_CTL_OVERDUE,
		    SQL_ARGS(V_TIME(clock_unix(&clock_system))), &rows, err);
	while (rc == RC_OK && db_rows_next(rows)) {
		row = action_row(out, from, p, db_text(rows, 0));
		row_int(row, "would_have_run",
		    count_of(row, "wordpress_ran") + db_i64(rows, 1));
		row_int(row, "not_yet", db_i64(rows, 1));
	}
	db_rows_free(rows);
	return rc;
}

/* --since, else when the trial began, else a day ago. */
static enum rc
since_when(
    const struct ctl *c, struct place *p, int64_t *since, struct err *err)
{
	int64_t now = clock_unix(&clock_system);
	struct db_rows *rows = NULL;
	enum rc rc = RC_OK;

	*since = now - DAY;
	if (c->opts.since) {
		(void)!event_when(slice_str(c->opts.since), now, since);
		return RC_OK;
	}
	rc = db_select(p->db, &p->scope, SQL_EVENTS_CTL_OBSERVING_SINCE,
	    SQL_ARGS(V_U64(p->blog_id)), &rows, err);
	if (rc == RC_OK && db_rows_next(rows) && !db_is_null(rows, 0))
		*since = db_time(rows, 0);
	db_rows_free(rows);
	return rc;
}

static int
report(const struct ctl *c, struct place *p, void *arg)
{
	struct err err = ERR_INIT;
	int64_t since;
	enum rc rc = put_observed(p, arg, &err);

	if (rc == RC_OK)
		rc = since_when(c, p, &since, &err);
	if (rc == RC_OK && p->actions)
		rc = put_actions(p, since, arg, &err);
	return rc == RC_OK ? EXIT_DONE : ctl_error(c, &err);
}

int
cmd_shadow_report(struct ctl *c)
{
	int64_t since;
	json_t *rows;
	int status;

	if (c->opts.since && !event_when(slice_str(c->opts.since),
				 clock_unix(&clock_system), &since))
		return ctl_fail(c, EXIT_USAGE, "'%s' is not a valid datetime.",
		    c->opts.since);
	rows = json_array();
	status = blogs_each(c, NEED_OWN, report, rows);
	if (status != EXIT_DONE) {
		json_decref(rows);
		return status;
	}
	if (!c->sites[0]->config->observe && json_array_size(rows) == 0)
		ctl_notice(c,
		    "nothing was observed: set mode = observe in [site %s]",
		    c->sites[0]->name);
	return ctl_print_rows(c, rows, EXIT_DONE);
}
