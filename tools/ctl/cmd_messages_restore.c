/* messages restore: end Event Espresso's same-request mode. */
#include "base/clock.h"
#include "blogs.h"
#include "executors/php_messages.h"
#include "formats/php_serialize.h"
#include "queues/messages.h"
#include "work_env.h"

const char *const messages_restore_columns[] = { "same_request", "changed",
	"url", NULL };

#define CONFIG_MAX ((size_t)16 << 20)
#define MARKER "ee_disabled_wp_cron_check"
#define SETTING "ee_network_config"
#define PHP_MS 60000
/* `core` and the setting in it. */
#define ARENA_MAX ((size_t)128 << 20)

/* ---- the setting -------------------------------------------------------- */

static const struct php_serialize_value *
member_of(const struct php_serialize_value *v, struct slice name)
{
	const struct php_serialize_member *m;

	v = php_serialize_deref(v);
	if (v->type == PHP_SERIALIZE_OBJECT)
		return php_serialize_property(v, name);
	m = v->type == PHP_SERIALIZE_ARRAY ? php_serialize_find(v, name) : NULL;
	return m ? &m->value : NULL;
}

/*
 * The stored settings with "false" in the place of the one value; nothing else
 * is touched. RC_NONE: it is false; RC_REJECT: there is no such value here.
 */
static enum rc
splice(struct slice stored, struct buf *out, struct err *err)
{
	struct arena a = ARENA_INIT(ARENA_MAX);
	const struct php_serialize_value *core, *mode = NULL;
	struct php_serialize_value v;
	enum rc rc =
	    php_serialize_parse(stored, &PHP_SERIALIZE_LIMITS, &a, &v, err);

	if (rc != RC_OK)
		goto out;
	core = member_of(&v, SLICE_LIT("core"));
	if (core)
		mode =
		    member_of(core, SLICE_LIT("do_messages_on_same_request"));
	if (!mode)
		rc = err_set(err, RC_REJECT,
		    SETTING " has no core.do_messages_on_same_request");
	else if (mode->type == PHP_SERIALIZE_OBJECT_AGAIN ||
		 mode->type == PHP_SERIALIZE_REFERENCE)
		rc = err_set(err, RC_REJECT,
		    "the setting is a reference to another value");
	else if (mode->type == PHP_SERIALIZE_BOOL && !mode->boolean)
		rc = RC_NONE;
	if (rc != RC_OK || !mode)
		goto out;
	buf_put(out, stored.p, (size_t)(mode->span.p - stored.p));
	buf_put_str(out, "b:0;");
	buf_put_slice(
	    out, slice_from(
		     stored, (size_t)(mode->span.p - stored.p) + mode->span.n));
	if (out->failed)
		rc = err_set(err, RC_REJECT, SETTING " is too large");
out:
	arena_clear(&a);
	return rc;
}

struct restoring {
	struct work_view *view;
	bool changed;
};

/* ---- in the database ---------------------------------------------------- */

static enum rc
read_setting(
    struct db *db, const struct place *p, struct buf *out, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, &p->scope,
	    p->site->multisite ? SQL_MESSAGES_CTL_NETWORK_CONFIG
			       : SQL_MESSAGES_CTL_CONFIG,
	    SQL_NO_ARGS, &rows, err);

	if (rc == RC_OK && db_rows_count(rows) > 1)
		rc = err_set(err, RC_REJECT,
		    "this database has several networks: change it in Event "
		    "Espresso, Messages, Settings");
	else if (rc == RC_OK && !db_rows_next(rows))
		rc = err_set(err, RC_REJECT, "there is no " SETTING);
	else if (rc == RC_OK)
		buf_put_slice(out, db_text(rows, 0));
	db_rows_free(rows);
	return rc;
}

static enum rc
restore_body(struct db *db, void *arg, struct err *err)
{
	struct restoring *r = arg;
	const struct place *p = r->view->place;
	struct buf stored = BUF_INIT(CONFIG_MAX), fresh = BUF_INIT(CONFIG_MAX);
	enum rc rc = read_setting(db, p, &stored, err);

	r->changed = false;
	if (rc == RC_OK)
		rc = splice(buf_slice(&stored), &fresh, err);
	if (rc == RC_OK) {
		r->changed = true;
		rc = db_exec(db, &p->scope,
		    p->site->multisite ? SQL_MESSAGES_CTL_SET_NETWORK_CONFIG
				       : SQL_MESSAGES_CTL_SET_CONFIG,
		    SQL_ARGS(V_TEXT(buf_slice(&fresh))), NULL, err);
	}
	/* Or the plugin turns it on again at the next page of an admin. */
	if (rc == RC_OK || rc == RC_NONE)
		rc = db_exec(db, &p->scope, SQL_MESSAGES_CTL_MARK_CHECKED,
		    SQL_NO_ARGS, NULL, err);
	buf_clear(&stored);
	buf_clear(&fresh);
	return rc;
}

/* ---- through PHP, where an object cache stands between ------------------ */

static enum rc
write_by_php(struct restoring *r, struct slice fresh, struct err *err)
{
	const struct php_plain_option options[] = {
		{ .name = SLICE_LIT(SETTING), .value = fresh },
		{ .name = SLICE_LIT(MARKER), .value = SLICE_LIT("1") },
	};
	struct php_executor_opts php;
	enum rc rc = work_php_enter(&r->view->env, PHP_MS, &php, err);

	if (rc != RC_OK)
		return rc;
	rc = php_messages_options(&php, options, NELEMS(options), PHP_MS, err);
	work_php_leave(&r->view->env);
	return rc;
}

static enum rc
restore_by_php(struct restoring *r, struct err *err)
{
	const struct place *p = r->view->place;
	struct buf stored = BUF_INIT(CONFIG_MAX), fresh = BUF_INIT(CONFIG_MAX);
	enum rc rc;

	if (p->site->multisite)
		return err_set(err, RC_REJECT,
		    "the network's settings are in an object cache: change "
		    "them in Event Espresso, Messages, Settings");
	rc = read_setting(p->db, p, &stored, err);
	if (rc == RC_OK)
		rc = splice(buf_slice(&stored), &fresh, err);
	if (rc == RC_OK)
		rc = write_by_php(r, buf_slice(&fresh), err);
	r->changed = rc == RC_OK;
	buf_clear(&stored);
	buf_clear(&fresh);
	return rc == RC_NONE ? RC_OK : rc;
}

/* ---- the command -------------------------------------------------------- */

static int
print_change(const struct ctl *c, const struct restoring *r)
{
	const struct place *p = r->view->place;
	json_t *row = json_object();

	row_bool(row, "same_request", false);
	row_bool(row, "changed", r->changed);
	row_text(row, "url", p->facts.home);
	if (p->site->disable_wp_cron)
		ctl_notice(c,
		    "DISABLE_WP_CRON is still set: take it out of "
		    "wp-config.php, nginx keeps page loads from running cron");
	return ctl_print_record(c, row, EXIT_DONE);
}

static int
restore(const struct ctl *c, struct work_view *v, void *arg)
{
	struct restoring r = { .view = v };
	struct err err = ERR_INIT;
	enum rc rc;

	(void)arg;
	if (v->place->facts.object_cache)
		rc = restore_by_php(&r, &err);
	else
		rc = db_transact(v->place->db, restore_body, &r, &err);
	return rc == RC_OK ? print_change(c, &r) : ctl_error(c, &err);
}

int
cmd_messages_restore(struct ctl *c)
{
	if (!c->opts.yes)
		return ctl_fail(c, EXIT_USAGE,
		    "this changes a setting of Event Espresso: messages are "
		    "made and sent in requests of their own again; say --yes");
	return work_each(c, restore, NULL);
}
