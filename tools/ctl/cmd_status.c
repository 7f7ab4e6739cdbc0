/* status: what waits, what runs, and who runs it; from the database alone. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "blogs.h"
#include "events.h"

const char *const status_columns[] = { "site", "home", "standing", "pending",
	"in-progress", "complete", "failed", "canceled", "due", "past_due",
	"oldest_due_s", "next_due", "foreign_claims", "events", "events_due",
	"events_waiting", "events_running", "next_event", "nodes", "claims",
	NULL };

/* A row that is due for longer is late. */
#define PAST_DUE_S 60

static enum rc
put_counts(struct place *p, json_t *row, struct err *err)
{
	static const char *const known[] = { "pending", "in-progress",
		"complete", "failed", "canceled" };
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    p->db, &p->scope, SQL_CTL_COUNT_BY_STATUS, SQL_NO_ARGS, &rows, err);

	for (size_t i = 0; i < NELEMS(known); i++)
		row_int(row, known[i], 0);
	while (rc == RC_OK && db_rows_next(rows))
		for (size_t i = 0; i < NELEMS(known); i++)
			if (slice_eq_str(db_text(rows, 0), known[i]))
				row_int(row, known[i], db_i64(rows, 1));
	db_rows_free(rows);
	return rc;
}

static enum rc
put_due_count(
    struct place *p, json_t *row, const char *name, int64_t by, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(p->db, &p->scope, SQL_CTL_COUNT_DUE,
	    SQL_ARGS(V_TIME(by)), &rows, err);

	if (rc == RC_OK && db_rows_next(rows))
		row_int(row, name, db_i64(rows, 0));
	db_rows_free(rows);
	return rc;
}

/* The first unclaimed pending row after a time; INT64_MAX: none. */
static enum rc
next_after(struct place *p, int64_t after, int64_t *when, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(p->db, &p->scope, SQL_ACTIONS_NEXT_DUE,
	    SQL_ARGS(V_TIME(after), V_TIME(after), V_U64(0)), &rows, err);

	*when = INT64_MAX;
	if (rc == RC_OK && db_rows_next(rows))
		*when = db_time(rows, 0);
	db_rows_free(rows);
	return rc;
}

static enum rc
put_due(struct place *p, json_t *row, struct err *err)
{
	int64_t now = clock_unix(&clock_system), first = INT64_MAX, dated;
	enum rc rc = put_due_count(p, row, "due", now, err);

	if (rc == RC_OK)
		rc = put_due_count(p, row, "past_due", now - PAST_DUE_S, err);
	if (rc == RC_OK)
		rc = next_after(p, INT64_MIN, &first, err);
	/* A row with the zero date has no age. */
	dated = first;
	if (rc == RC_OK && first == INT64_MIN)
		rc = next_after(p, 0, &dated, err);
	if (rc != RC_OK)
		return rc;
	if (dated <= now)
		row_int(row, "oldest_due_s", now - dated);
	row_time(row, "next_due", first == INT64_MIN ? 0 : first);
	return RC_OK;
}

/* WordPress' own events; one that runs late stands first. */
static enum rc
put_events(const struct ctl *c, struct place *p, json_t *row, struct err *err)
{
	int64_t counts[] = { 0, 0, 0 }, due = 0, now;
	struct events e;
	enum rc rc = events_load(p, &e, err);

	now = clock_unix(&clock_system);
	/* An option that nobody can read is no reason to tell nothing. */
	if (rc == RC_REJECT)
		ctl_notice(c, "%s", err->text);
	for (size_t i = 0; rc == RC_OK && i < e.n; i++) {
		counts[e.items[i].state]++;
		due += e.items[i].timestamp <= now &&
		       e.items[i].state != EVENT_RUNNING;
	}
	row_int(row, "events", counts[EVENT_SCHEDULED]);
	row_int(row, "events_due", due);
	row_int(row, "events_waiting", counts[EVENT_WAITING]);
	row_int(row, "events_running", counts[EVENT_RUNNING]);
	row_time(row, "next_event", e.n > 0 ? e.items[0].timestamp : INT64_MAX);
	events_clear(&e);
	return rc == RC_REJECT ? RC_OK : rc;
}

static enum rc
put_nodes(struct place *p, json_t *row, struct err *err)
{
	json_t *nodes = json_array(), *node;
	struct db_rows *rows = NULL;
	enum rc rc = db_select(p->db, &p->scope, SQL_CTL_NODES,
	    SQL_ARGS(V_U64(p->blog_id)), &rows, err);

	while (rc == RC_OK && db_rows_next(rows)) {
		node = json_object();
		row_int(node, "node", db_i64(rows, 0));
		row_slice(node, "host", db_text(rows, 1));
		row_int(node, "pid", db_i64(rows, 2));
		row_slice(node, "version", db_text(rows, 3));
		row_int(node, "heartbeat_age_ms", db_i64(rows, 4) / 1000);
		row_int(node, "up_s", db_i64(rows, 5));
		row_int(node, "claims", db_i64(rows, 6));
		(void)json_array_append_new(nodes, node);
	}
	db_rows_free(rows);
	(void)json_object_set_new(row, "nodes", nodes);
	return rc;
}

static enum rc
put_claims(struct place *p, json_t *row, struct err *err)
{
	json_t *claims = json_array(), *claim;
	struct db_rows *rows = NULL;
	enum rc rc = db_select(p->db, &p->scope, SQL_CTL_CLAIMS,
	    SQL_ARGS(V_U64(p->blog_id)), &rows, err);

	while (rc == RC_OK && db_rows_next(rows)) {
		claim = json_object();
		row_int(claim, "node", db_i64(rows, 0));
		row_slice(claim, "executor", db_text(rows, 1));
		row_int(claim, "claims", db_i64(rows, 2));
		row_int(claim, "oldest_s", db_i64(rows, 3));
		(void)json_array_append_new(claims, claim);
	}
	db_rows_free(rows);
	rows = NULL;
	(void)json_object_set_new(row, "claims", claims);
	if (rc == RC_OK)
		rc = db_select(p->db, &p->scope, SQL_CTL_FOREIGN_CLAIMS,
		    SQL_ARGS(V_U64(p->blog_id)), &rows, err);
	if (rc == RC_OK && db_rows_next(rows))
		row_int(row, "foreign_claims", db_i64(rows, 0));
	db_rows_free(rows);
	return rc;
}

static enum rc
fill(const struct ctl *c, struct place *p, json_t *row, struct err *err)
{
	enum site_standing standing;
	enum rc rc = site_standing_read(
	    p->site, &p->facts, p->db, &p->scope, &standing, err);

	if (rc != RC_OK)
		return rc;
	row_text(row, "site", p->site->name);
	row_text(row, "home", p->facts.home);
	row_text(row, "standing", site_standing_name(standing));
	if (p->actions)
		rc = put_counts(p, row, err);
	if (rc == RC_OK && p->actions)
		rc = put_due(p, row, err);
	if (rc == RC_OK)
		rc = put_events(c, p, row, err);
	if (rc == RC_OK && p->own)
		rc = put_nodes(p, row, err);
	if (rc == RC_OK && p->own && p->actions)
		rc = put_claims(p, row, err);
	return rc;
}

static int
status(const struct ctl *c, struct place *p, void *arg)
{
	json_t *row = json_object();
	struct err err = ERR_INIT;

	(void)arg;
	if (fill(c, p, row, &err) != RC_OK) {
		json_decref(row);
		return ctl_error(c, &err);
	}
	if (!p->actions)
		ctl_notice(c, "no Action Scheduler tables %sactionscheduler_*",
		    p->scope.prefix);
	if (!p->own)
		ctl_notice(c, "the tables %swpcron_* are not there yet",
		    p->scope.base);
	return ctl_print_record(c, row, EXIT_DONE);
}

int
cmd_status(struct ctl *c)
{
	return blogs_each(c, 0, status, NULL);
}
