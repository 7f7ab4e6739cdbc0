/* site show, site adopt */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "ctl.h"
#include "queues/actions_admin.h"

const char *const site_columns[] = { "site", "standing", "identity",
	"environment", "root", "config", "content_dir", "database", "prefix",
	"multisite", "home", "siteurl", "recorded_home", "recorded_siteurl",
	"recorded_at", "timezone", "php_fpm", "worker_script", "discarded",
	NULL };

#define WALK_AT_ONCE 500
#define YEAR_9999_END 253402300799

static enum rc
put_record(struct place *p, json_t *row, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc;

	if (!p->own)
		return RC_OK;
	rc = db_select(p->db, &p->scope, SQL_CTL_SITE_RECORD,
	    SQL_ARGS(V_U64(PLACE_BLOG)), &rows, err);
	if (rc == RC_OK && db_rows_next(rows)) {
		row_slice(row, "recorded_home", db_text(rows, 0));
		row_slice(row, "recorded_siteurl", db_text(rows, 1));
		row_time(row, "recorded_at", db_time(rows, 2));
	}
	db_rows_free(rows);
	return rc;
}

static void
put_files(const struct place *p, json_t *row)
{
	const struct site *s = p->site;

	row_text(row, "site", s->name);
	row_text(row, "environment", s->environment);
	row_text(row, "root", s->root);
	row_text(row, "config", s->config_path);
	row_text(row, "content_dir", s->content_dir);
	row_text(row, "database", s->db.name);
	row_text(row, "prefix", s->prefix);
	row_bool(row, "multisite", s->multisite);
	row_text(row, "home", p->facts.home);
	row_text(row, "siteurl", p->facts.siteurl);
	row_text(row, "timezone", p->facts.timezone_string);
	row_text(row, "php_fpm", s->config->php_fpm);
	row_text(row, "worker_script",
	    s->config->worker_script ? s->config->worker_script
				     : CTL_WORKER_SCRIPT);
}

static int
print_site(const struct ctl *c, struct place *p, json_t *row)
{
	enum site_standing standing = SITE_UNKNOWN;
	struct err err = ERR_INIT;
	char identity[65];
	enum rc rc = site_standing_read(
	    p->site, &p->facts, p->db, &p->scope, &standing, &err);

	if (rc == RC_OK)
		rc = put_record(p, row, &err);
	if (rc != RC_OK) {
		json_decref(row);
		return ctl_error(c, &err);
	}
	put_files(p, row);
	site_identity(p->site, &p->facts, identity);
	row_text(row, "identity", identity);
	row_text(row, "standing", site_standing_name(standing));
	return ctl_print_record(c, row, EXIT_DONE);
}

int
cmd_site_show(struct ctl *c)
{
	struct err err = ERR_INIT;
	struct place p;
	int status;

	if (place_open(&p, c->sites[0], &err) == RC_OK)
		status = print_site(c, &p, json_object());
	else
		status = ctl_error(c, &err);
	place_close(&p);
	return status;
}

/* ---- adopt -------------------------------------------------------------- */

/* What the engine holds on a copy. */
static bool
is_outbound(const struct ctl *c, struct slice hook)
{
	const char *site = c->sites[0]->name;
	const struct route *r = config_route(c->config, site, hook);

	return config_is_outbound(
	    c->config, site, r, config_policy(c->config, site, hook, r));
}

struct cursor {
	int64_t date;
	uint64_t id;
};

/* Cancel what is outbound in the next rows behind the cursor; *read: how many
 * rows there were. */
static enum rc
discard_some(const struct ctl *c, struct place *p, struct cursor *at,
    size_t *read, uint64_t *discarded, struct err *err)
{
	uint64_t ids[WALK_AT_ONCE];
	struct db_rows *rows = NULL;
	size_t n = 0, canceled = 0;
	enum rc rc = db_select(p->db, &p->scope, SQL_ACTIONS_WINDOW,
	    SQL_ARGS(V_TIME(at->date), V_TIME(at->date), V_U64(at->id),
		V_TIME(YEAR_9999_END), V_U64(WALK_AT_ONCE)),
	    &rows, err);

	*read = 0;
	while (rc == RC_OK && db_rows_next(rows)) {
		at->id = db_u64(rows, 0);
		at->date = db_time(rows, 4);
		(*read)++;
		if (n < WALK_AT_ONCE && is_outbound(c, db_text(rows, 1)))
			ids[n++] = at->id;
	}
	db_rows_free(rows);
	if (rc == RC_OK && n > 0)
		rc = actions_cancel(p->queue, p->db, ids, n, &canceled, err);
	*discarded += canceled;
	return rc;
}

static enum rc
discard(
    const struct ctl *c, struct place *p, uint64_t *discarded, struct err *err)
{
	struct cursor at = { .date = INT64_MIN };
	size_t read = WALK_AT_ONCE;
	enum rc rc = RC_OK;

	*discarded = 0;
	while (rc == RC_OK && read == WALK_AT_ONCE)
		rc = discard_some(c, p, &at, &read, discarded, err);
	return rc;
}

static int
adopt(const struct ctl *c, struct place *p)
{
	uint64_t discarded = 0;
	struct err err = ERR_INIT;
	json_t *row;
	enum rc rc = RC_OK;

	if (!p->own)
		return ctl_fail(c, EXIT_CONFIG,
		    "the tables %swpcron_* are not there; `wp-cronctl install` "
		    "creates them and records the site",
		    p->scope.base);
	/* Before the adoption: from then on a daemon sends them. */
	if (c->opts.discard_pending && p->actions)
		rc = discard(c, p, &discarded, &err);
	if (rc == RC_OK)
		rc = site_adopt(p->site, &p->facts, p->db, &p->scope, &err);
	if (rc != RC_OK)
		return ctl_error(c, &err);
	row = json_object();
	row_int(row, "discarded", (int64_t)discarded);
	return print_site(c, p, row);
}

int
cmd_site_adopt(struct ctl *c)
{
	struct err err = ERR_INIT;
	struct place p;
	int status;

	if (c->opts.discard_pending && !c->opts.yes)
		return ctl_fail(c, EXIT_USAGE,
		    "--discard-pending cancels every pending action that "
		    "leaves "
		    "the site, series too; say --yes");
	if (place_open(&p, c->sites[0], &err) == RC_OK)
		status = adopt(c, &p);
	else
		status = ctl_error(c, &err);
	place_close(&p);
	return status;
}
