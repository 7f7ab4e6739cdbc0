/* action run, action retry, action cancel */
#include <inttypes.h>
#include <string.h>

#include "actions.h"
#include "base/clock.h"
#include "drive.h"
#include "queues/actions_admin.h"

const char *const action_run_columns[] = { "id", "hook", "status", "executor",
	"seconds", "message", NULL };
const char *const action_change_columns[] = { "id", "changed", "new_id", "why",
	NULL };

#define CANCEL_AT_ONCE 1000
#define BULK_AT_ONCE 500

/* ---- run ---------------------------------------------------------------- */

/* Why the engine would not take the action, in words; 0: it would. */
static int
refuse_run(const struct ctl *c, struct place *p, uint64_t id, struct slice hook)
{
	const struct site *site = c->sites[0];
	const struct route *r = config_route(c->config, site->name, hook);
	const struct policy *policy =
	    config_policy(c->config, site->name, hook, r);
	enum site_standing standing;
	struct err err = ERR_INIT;

	if (policy->paused)
		return ctl_fail(c, EXIT_SOME_FAILED,
		    "action %" PRIu64 ": its hook is paused", id);
	if (r->kind == EXECUTOR_PHP && !site->config->php_fpm)
		return ctl_fail(c, EXIT_CONFIG,
		    "action %" PRIu64 " is for PHP: set php_fpm in [site %s]",
		    id, site->name);
	if (site_standing_read(
		site, &p->facts, p->db, &p->scope, &standing, &err) != RC_OK)
		return ctl_error(c, &err);
	if (standing != SITE_ORIGINAL && standing != SITE_UNKNOWN &&
	    config_is_outbound(c->config, site->name, r, policy))
		return ctl_fail(c, EXIT_SOME_FAILED,
		    "action %" PRIu64 " leaves the site, and this is %s: it is "
		    "held until `wp-cronctl site adopt`",
		    id,
		    standing == SITE_COPY ? "a copy" : "no production site");
	return EXIT_DONE;
}

static int
check_run(const struct ctl *c, struct place *p, uint64_t id)
{
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;
	int status;

	if (db_select(p->db, &p->scope, SQL_CTL_CLAIMABLE, SQL_ARGS(V_U64(id)),
		&rows, &err) != RC_OK)
		return ctl_error(c, &err);
	if (!db_rows_next(rows))
		status = ctl_fail(
		    c, EXIT_SOME_FAILED, "there is no action %" PRIu64, id);
	else if (!slice_eq_str(db_text(rows, 0), "pending"))
		status = ctl_fail(c, EXIT_SOME_FAILED,
		    "action %" PRIu64 " is %.*s; only a pending one is run "
		    "(`action retry` makes a fresh one)",
		    id, SLICE_FMT(db_text(rows, 0)));
	else if (db_u64(rows, 1) != 0)
		status = ctl_fail(c, EXIT_AGAIN,
		    "action %" PRIu64 " is claimed already (claim %" PRIu64 ")",
		    id, db_u64(rows, 1));
	else
		status = refuse_run(c, p, id, db_text(rows, 2));
	db_rows_free(rows);
	return status;
}

static enum rc
put_last_message(struct place *p, uint64_t id, json_t *row, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(p->db, &p->scope, SQL_CTL_ACTION_LOGS,
	    SQL_ARGS(V_U64(id)), &rows, err);

	while (rc == RC_OK && db_rows_next(rows))
		row_slice(row, "message", db_text(rows, 1));
	db_rows_free(rows);
	return rc;
}

/* What became of it is what its row says: PHP may have written it. */
static int
report_run(const struct ctl *c, struct place *p, uint64_t id,
    const struct drive_result *result)
{
	enum ctl_exit status = EXIT_SOME_FAILED;
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;
	json_t *row = json_object();
	enum rc rc = db_select(p->db, &p->scope, SQL_CTL_CLAIMABLE,
	    SQL_ARGS(V_U64(id)), &rows, &err);

	if (rc == RC_OK && db_rows_next(rows)) {
		row_slice(row, "hook", db_text(rows, 2));
		row_slice(row, "status", db_text(rows, 0));
		row_text(row, "executor",
		    executor_name(config_route(
			c->config, c->sites[0]->name, db_text(rows, 2))
				      ->kind));
		if (slice_eq_str(db_text(rows, 0), "complete"))
			status = EXIT_DONE;
	}
	db_rows_free(rows);
	row_int(row, "id", (int64_t)id);
	(void)json_object_set_new(
	    row, "seconds", json_real((double)result->ms / 1000));
	if (rc == RC_OK)
		rc = put_last_message(p, id, row, &err);
	if (result->end == DRIVE_UNAVAILABLE)
		status = (enum ctl_exit)ctl_fail(
		    c, EXIT_UNAVAILABLE, "%s", result->why);
	else if (result->end == DRIVE_STOPPED)
		status = EXIT_AGAIN;
	if (rc == RC_OK)
		return ctl_print_record(c, row, status);
	json_decref(row);
	return ctl_error(c, &err);
}

int
cmd_action_run(struct ctl *c)
{
	uint64_t *ids = action_ids(c);
	struct drive_opts o = { .site = c->sites[0],
		.only_kind = JOB_ACTION,
		.queues = 1u << JOB_ACTION,
		.total = 1 };
	struct drive_result result;
	struct err err = ERR_INIT;
	struct place p;
	int status;

	if (!ids)
		return EXIT_USAGE;
	o.only_id = ids[0];
	status = place_open_actions(&p, c);
	o.blog_id = p.blog_id;
	if (status == EXIT_DONE)
		status = check_run(c, &p, ids[0]);
	if (status == EXIT_DONE)
		status = drive(c, &o, &result, &err) == RC_OK
			     ? report_run(c, &p, ids[0], &result)
			     : ctl_error(c, &err);
	place_close(&p);
	free(ids);
	return status;
}

/* ---- retry -------------------------------------------------------------- */

struct changes {
	json_t *rows;
	size_t refused;
};

static void
add_change(struct changes *ch, uint64_t id, bool changed, uint64_t new_id,
    const char *why)
{
	json_t *row = json_object();

	row_int(row, "id", (int64_t)id);
	row_bool(row, "changed", changed);
	if (new_id > 0)
		row_int(row, "new_id", (int64_t)new_id);
	row_text(row, "why", why);
	(void)json_array_append_new(ch->rows, row);
}

/* `quiet`: a refusal is counted, not listed. */
static enum rc
retry_ids(struct place *p, const uint64_t *ids, size_t n, bool quiet,
    struct changes *ch, struct err *err)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < n && (rc == RC_OK || rc == RC_NONE); i++) {
		uint64_t fresh = 0;

		rc = actions_retry_one(p->queue, p->db, ids[i], &fresh, err);
		if (rc == RC_OK)
			add_change(ch, ids[i], true, fresh, NULL);
		else if (rc == RC_NONE && !quiet)
			add_change(ch, ids[i], false, 0, err->text);
		ch->refused += rc == RC_NONE;
	}
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc
retry_hook(struct place *p, const struct ctl_options *o, struct changes *ch,
    struct err *err)
{
	const char *status = o->status ? o->status : "failed";
	uint64_t ids[BULK_AT_ONCE], after = 0;
	size_t n = BULK_AT_ONCE;
	enum rc rc = RC_OK;

	while (n == BULK_AT_ONCE && rc == RC_OK) {
		struct db_rows *rows = NULL;

		n = 0;
		rc = db_select(p->db, &p->scope, SQL_CTL_OF_HOOK,
		    SQL_ARGS(V_STR(o->hook), V_STR(status), V_U64(after),
			V_U64(BULK_AT_ONCE)),
		    &rows, err);
		while (rc == RC_OK && n < BULK_AT_ONCE && db_rows_next(rows))
			ids[n++] = after = db_u64(rows, 0);
		db_rows_free(rows);
		if (rc == RC_OK)
			rc = retry_ids(p, ids, n, true, ch, err);
	}
	return rc;
}

static int
check_retry(const struct ctl *c)
{
	const struct ctl_options *o = &c->opts;

	if ((c->nargs > 0) == (o->hook != NULL) || (o->status && !o->hook))
		return ctl_fail(c, EXIT_USAGE,
		    "usage: wp-cronctl action retry %s", c->command->args);
	if (o->status && strcmp(o->status, "failed") != 0 &&
	    strcmp(o->status, "canceled") != 0)
		return ctl_fail(c, EXIT_USAGE,
		    "only what failed or was canceled is tried again");
	if (o->hook && !o->yes)
		return ctl_fail(c, EXIT_USAGE,
		    "this schedules every %s action of %s anew; say --yes",
		    o->status ? o->status : "failed", o->hook);
	return EXIT_DONE;
}

static int
retry(const struct ctl *c, struct place *p, const uint64_t *ids)
{
	struct changes ch = { .rows = json_array() };
	bool bulk = c->opts.hook != NULL;
	struct err err = ERR_INIT;
	int status;
	enum rc rc = bulk ? retry_hook(p, &c->opts, &ch, &err)
			  : retry_ids(p, ids, c->nargs, false, &ch, &err);

	if (bulk && ch.refused > 0)
		ctl_notice(c, "%zu were tried again already", ch.refused);
	/* What was changed is told, also when the rest could not be. */
	status = ctl_print_rows(
	    c, ch.rows, ch.refused > 0 && !bulk ? EXIT_SOME_FAILED : EXIT_DONE);
	return rc == RC_OK ? status : ctl_error(c, &err);
}

int
cmd_action_retry(struct ctl *c)
{
	uint64_t *ids;
	struct place p;
	int status = check_retry(c);

	if (status != EXIT_DONE)
		return status;
	ids = action_ids(c);
	if (!ids)
		return EXIT_USAGE;
	status = place_open_actions(&p, c);
	if (status == EXIT_DONE)
		status = retry(c, &p, ids);
	place_close(&p);
	free(ids);
	return status;
}

/* ---- cancel ------------------------------------------------------------- */

static bool
is_among(const uint64_t *ids, size_t n, uint64_t id)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static enum rc
cancel_ids(struct place *p, const uint64_t *ids, size_t n, struct changes *ch,
    struct err *err)
{
	uint64_t done[CANCEL_AT_ONCE];
	size_t ndone = 0;
	enum rc rc;

	memcpy(done, ids, n * sizeof *ids);
	rc = actions_cancel(p->queue, p->db, done, n, &ndone, err);
	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < n; i++) {
		bool changed = is_among(done, ndone, ids[i]);

		add_change(ch, ids[i], changed, 0,
		    changed ? NULL : "it is not pending, or it is claimed");
		ch->refused += !changed;
	}
	return RC_OK;
}

int
cmd_action_cancel(struct ctl *c)
{
	uint64_t *ids = action_ids(c);
	struct changes ch = { .refused = 0 };
	struct err err = ERR_INIT;
	struct place p;
	enum rc rc = RC_OK;
	int status;

	if (!ids)
		return EXIT_USAGE;
	status = place_open_actions(&p, c);
	if (status != EXIT_DONE)
		goto out;
	ch.rows = json_array();
	for (size_t i = 0; i < c->nargs && rc == RC_OK; i += CANCEL_AT_ONCE) {
		size_t n = c->nargs - i;

		rc = cancel_ids(&p, ids + i,
		    n < CANCEL_AT_ONCE ? n : CANCEL_AT_ONCE, &ch, &err);
	}
	status = ctl_print_rows(
	    c, ch.rows, ch.refused > 0 ? EXIT_SOME_FAILED : EXIT_DONE);
	if (rc != RC_OK)
		status = ctl_error(c, &err);
out:
	place_close(&p);
	free(ids);
	return status;
}
