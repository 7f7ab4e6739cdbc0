/* doctor: the database, its tables, its clock. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "doctor.h"
#include "sql/schema.h"

#define SKEW_MAX_US 2000000
/* A plan that reads more for one claim is a wrong plan. */
#define PLAN_WINDOW 100

void
doctor_database(struct doctor *d)
{
	struct err err = ERR_INIT;
	const char *remedy =
	    "is the server up, and do DB_HOST, DB_USER and DB_PASSWORD of "
	    "wp-config.php (or db_* in the configuration) hold here too?";
	enum rc rc = place_open(&d->place, d->site, &err);

	d->database = rc == RC_OK;
	if (d->database) {
		doctor_find(d, FINDING_OK, "database", NULL, "%s, %s",
		    d->site->db.name, db_server_info(d->place.db));
		return;
	}
	/* It answered, so the words are about the tables. */
	doctor_find(d, FINDING_ERROR, d->place.db ? "tables" : "database",
	    d->place.db ? NULL : remedy, "%s", err.text);
}

void
doctor_server(struct doctor *d)
{
	struct place *p = &d->place;
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;

	if (db_select(p->db, &p->scope, SQL_CTL_SERVER, SQL_NO_ARGS, &rows,
		&err) == RC_OK &&
	    db_rows_next(rows)) {
		doctor_find(d, FINDING_OK, "server", NULL,
		    "sql_mode for others %.*s (here: strict, dates as "
		    "WordPress has them), time_zone %.*s",
		    SLICE_FMT(db_text(rows, 0)), SLICE_FMT(db_text(rows, 2)));
		if (db_u64(rows, 1) < (1u << 20))
			doctor_find(d, FINDING_WARN, "server",
			    "set max_allowed_packet to 16M or more",
			    "max_allowed_packet is %" PRIu64
			    ": large batches will be refused",
			    db_u64(rows, 1));
	} else {
		doctor_find(d, FINDING_ERROR, "server", NULL, "%s", err.text);
	}
	db_rows_free(rows);
}

/* ---- Action Scheduler's tables ------------------------------------------ */

static void
find_schema_version(struct doctor *d)
{
	struct place *p = &d->place;
	struct db_rows *rows = NULL;
	char version[32] = "unknown";

	if (db_select(p->db, &p->scope, SQL_CTL_OPTIONS, SQL_NO_ARGS, &rows,
		NULL) == RC_OK)
		while (db_rows_next(rows))
			if (slice_eq_str(db_text(rows, 0),
				"schema-ActionScheduler_StoreSchema"))
				(void)snprintf(version, sizeof version, "%.*s",
				    SLICE_FMT(db_text(rows, 1)));
	db_rows_free(rows);
	doctor_find(d, FINDING_OK, "actions", NULL,
	    "tables %sactionscheduler_*, InnoDB, schema %.10s; columns%s%s%s",
	    p->scope.prefix, version,
	    p->schema.columns & DB_COLUMN_PRIORITY ? " priority" : "",
	    p->schema.columns & DB_COLUMN_EXTENDED_ARGS ? " extended_args" : "",
	    p->schema.columns & DB_COLUMN_UNIQUE_KEY ? " unique_key" : "");
}

void
doctor_actions(struct doctor *d)
{
	struct place *p = &d->place;
	struct err err = ERR_INIT;

	if (!p->actions) {
		doctor_find(d, FINDING_WARN, "actions",
		    "nothing, if no plugin here uses Action Scheduler; else "
		    "activate one that brings it, or mend table_prefix",
		    "there are no tables %sactionscheduler_*: only WordPress' "
		    "own cron events are run",
		    p->scope.prefix);
		return;
	}
	find_schema_version(d);
	if (!(p->schema.columns & DB_COLUMN_PRIORITY))
		doctor_find(d, FINDING_INFO, "actions",
		    "update Action Scheduler to 3.7 or later",
		    "no column priority: all actions have the same");
	if (db_exec(p->db, &p->scope, SQL_CTL_MAY_WRITE, SQL_NO_ARGS, NULL,
		&err) != RC_OK)
		doctor_find(d, FINDING_ERROR, "writable",
		    "grant this user SELECT, INSERT, UPDATE and DELETE on the "
		    "tables; a replica will not do",
		    "cannot write actions: %s", err.text);
	else
		doctor_find(
		    d, FINDING_OK, "writable", NULL, "actions can be written");
}

static bool
is_index(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static enum rc
explain_window(struct place *p, struct db_plan *plan, struct err *err)
{
	return db_explain(p->db, &p->scope, SQL_ACTIONS_WINDOW,
	    SQL_ARGS(V_TIME(INT64_MIN), V_TIME(INT64_MIN), V_U64(0),
		V_TIME(clock_unix(&clock_system)), V_U64(PLAN_WINDOW)),
	    plan, err);
}

void
doctor_plan(struct doctor *d)
{
	struct place *p = &d->place;
	const char *due = "claim_id_status_scheduled_date_gmt";
	const char *remedy =
	    "deactivate and activate the plugin so that it mends its tables, "
	    "or: ALTER TABLE ...actionscheduler_actions ADD KEY "
	    "claim_id_status_scheduled_date_gmt "
	    "(claim_id, status, scheduled_date_gmt)";
	struct db_plan plan;
	struct err err = ERR_INIT;
	bool good;

	if (!p->actions)
		return;
	if (explain_window(p, &plan, &err) != RC_OK) {
		doctor_find(d, FINDING_ERROR, "plan", NULL,
		    "the claim cannot be planned: %s", err.text);
		return;
	}
	good = is_index(p->schema.due_index, due);
	doctor_find(d,
	    good && !plan.sorts ? FINDING_OK
	    : is_index(plan.how, "ALL") ||
		    is_index(p->schema.due_index, "PRIMARY")
		? FINDING_ERROR
		: FINDING_WARN,
	    "plan", good && !plan.sorts ? NULL : remedy,
	    "a claim reads %s by %s, about %" PRIu64 " rows%s%s", plan.how,
	    plan.index[0] ? plan.index : "no index", plan.rows,
	    plan.sorts ? ", and sorts them" : "",
	    good ? "" : "; its own index is missing");
	if (is_index(p->schema.retention_index, "PRIMARY"))
		doctor_find(d, FINDING_WARN, "plan",
		    "ALTER TABLE ...actionscheduler_actions ADD KEY "
		    "last_attempt_gmt (last_attempt_gmt)",
		    "no index on last_attempt_gmt: the clean-up of finished "
		    "actions reads all of them");
}

/* ---- ours --------------------------------------------------------------- */

void
doctor_own(struct doctor *d)
{
	struct place *p = &d->place;
	struct err err = ERR_INIT;
	enum rc rc = schema_is_installed(p->db, &p->scope, &err);

	if (rc == RC_OK)
		doctor_find(d, FINDING_OK, "own tables", NULL,
		    "%swpcron_*, version %d", p->scope.base, SCHEMA_VERSION);
	else
		doctor_find(d, FINDING_ERROR, "own tables",
		    rc == RC_NONE ? "wp-cronctl install" : NULL, "%s",
		    err.text);
}

void
doctor_clock(struct doctor *d)
{
	struct err err = ERR_INIT;
	int64_t skew_us = 0;

	if (place_skew(&d->place, &skew_us, &err) != RC_OK) {
		doctor_find(d, FINDING_ERROR, "clock", NULL, "%s", err.text);
		return;
	}
	if (llabs(skew_us) > SKEW_MAX_US)
		doctor_find(d, FINDING_ERROR, "clock",
		    "run NTP on both machines",
		    "the database's clock is %.1f s %s ours: actions start "
		    "late, or owners are taken for dead",
		    (double)llabs(skew_us) / 1e6,
		    skew_us > 0 ? "ahead of" : "behind");
	else
		doctor_find(d, FINDING_OK, "clock", NULL,
		    "the database's clock differs by %.3f s",
		    (double)llabs(skew_us) / 1e6);
}

void
doctor_nodes(struct doctor *d)
{
	int64_t expiry_us = (int64_t)d->c->config->daemon.node_expiry_ms * 1000;
	struct place *p = &d->place;
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;
	unsigned live = 0, silent = 0;

	if (!p->own)
		return;
	if (db_select(p->db, &p->scope, SQL_CTL_NODES,
		SQL_ARGS(V_U64(PLACE_BLOG)), &rows, &err) != RC_OK) {
		doctor_find(d, FINDING_ERROR, "nodes", NULL, "%s", err.text);
		return;
	}
	while (db_rows_next(rows))
		*(db_i64(rows, 4) < expiry_us ? &live : &silent) += 1;
	db_rows_free(rows);
	if (live == 0)
		doctor_find(d, FINDING_INFO, "nodes",
		    "start wp-cron-fcgi, or have `wp-cronctl run` called",
		    "no daemon serves this site now");
	else
		doctor_find(d, FINDING_OK, "nodes", NULL, "%u running", live);
	if (silent > 0)
		doctor_find(d, FINDING_WARN, "nodes",
		    "a running daemon takes back what they held",
		    "%u ended without a word", silent);
}
