/* check, install, uninstall: the configuration and the program's tables. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "blogs.h"
#include "engine/messages_run.h"
#include "engine/tasks_run.h"
#include "queues/cron_events.h"
#include "queues/messages.h"
#include "sql/schema.h"
#include "work_env.h"

#define DDL_MAX ((size_t)64 << 10)
#define ER_DBACCESS_DENIED 1044
#define ER_TABLEACCESS_DENIED 1142

const char *const check_columns[] = { "site", "config", "database", "server",
	"prefix", "actions", "own_tables", "php_fpm", NULL };
const char *const install_columns[] = { "site", "tables", "standing", NULL };

static enum rc
check_one(const struct site *s, json_t *rows, struct err *err)
{
	json_t *row = json_object();
	struct place p;
	enum rc rc = place_open(&p, s, err);

	row_text(row, "site", s->name);
	row_text(row, "config", s->config_path);
	row_text(row, "database", s->db.name);
	row_text(row, "prefix", s->prefix);
	row_text(row, "php_fpm", s->config->php_fpm);
	if (rc == RC_OK) {
		row_text(row, "server", db_server_info(p.db));
		row_bool(row, "actions", p.actions);
		row_bool(row, "own_tables", p.own);
		(void)json_array_append(rows, row);
	}
	json_decref(row);
	place_close(&p);
	return rc == RC_OK ? RC_OK : err_wrap(err, "site %s", s->name);
}

int
cmd_check(struct ctl *c)
{
	json_t *rows = json_array();
	struct err err = ERR_INIT;

	for (size_t i = 0; i < c->nsites; i++) {
		if (check_one(c->sites[i], rows, &err) == RC_OK)
			continue;
		json_decref(rows);
		return ctl_error(c, &err);
	}
	return ctl_print_rows(c, rows, EXIT_DONE);
}

/* ---- install ------------------------------------------------------------ */

static int
print_ddl(
    const struct ctl *c, const struct sql_scope *scope, enum ctl_exit status)
{
	struct buf text = BUF_INIT(DDL_MAX);
	struct err err = ERR_INIT;
	int result = (int)status;

	if (schema_print(scope, &text, &err) == RC_OK)
		(void)fputs(buf_str(&text), stdout);
	else
		result = ctl_error(c, &err);
	buf_clear(&text);
	return result;
}

/* What is there is kept: only `site adopt` makes a copy the site. */
static enum rc
record(struct place *p, enum site_standing *standing, struct err *err)
{
	enum rc rc = site_standing_read(
	    p->site, &p->facts, p->db, &p->scope, standing, err);

	if (rc != RC_OK || *standing != SITE_UNKNOWN)
		return rc;
	rc = site_record(p->site, &p->facts, p->db, &p->scope, err);
	if (rc == RC_OK)
		rc = site_standing_read(
		    p->site, &p->facts, p->db, &p->scope, standing, err);
	return rc;
}

static int
install_one(struct ctl *c, struct place *p, json_t *rows)
{
	enum site_standing standing = SITE_UNKNOWN;
	struct err err = ERR_INIT;
	json_t *row;
	enum rc rc = schema_install(p->db, &p->scope, &err);

	if (rc == RC_REJECT && (db_errno(p->db) == ER_DBACCESS_DENIED ||
				   db_errno(p->db) == ER_TABLEACCESS_DENIED)) {
		ctl_error(c, &err);
		return print_ddl(c, &p->scope, EXIT_CONFIG);
	}
	if (rc == RC_OK)
		rc = record(p, &standing, &err);
	if (rc != RC_OK)
		return ctl_error(c, &err);
	if (standing == SITE_COPY)
		ctl_notice(c,
		    "site %s is a copy of the site recorded here: "
		    "what leaves it is held until `wp-cronctl site adopt`",
		    p->site->name);
	row = json_object();
	row_text(row, "site", p->site->name);
	row_text(row, "tables", p->own ? "were there" : "created");
	row_text(row, "standing", site_standing_name(standing));
	(void)json_array_append_new(rows, row);
	return EXIT_DONE;
}

static int
print_one(const struct ctl *c, const struct site *s)
{
	const struct sql_scope scope = { .prefix = s->prefix,
		.base = s->prefix };

	return print_ddl(c, &scope, EXIT_DONE);
}

int
cmd_install(struct ctl *c)
{
	json_t *rows = json_array();
	struct err err = ERR_INIT;
	int status = EXIT_DONE;

	for (size_t i = 0; i < c->nsites && status == EXIT_DONE; i++) {
		struct place p;

		if (c->opts.print) {
			status = print_one(c, c->sites[i]);
			continue;
		}
		if (place_open(&p, c->sites[i], &err) == RC_OK)
			status = install_one(c, &p, rows);
		else
			status = ctl_error(c, &err);
		place_close(&p);
	}
	if (status == EXIT_DONE && !c->opts.print)
		return ctl_print_rows(c, rows, EXIT_DONE);
	json_decref(rows);
	return status;
}

/* ---- uninstall ---------------------------------------------------------- */

/* Of the processes that were seen within node_expiry. */
static enum rc
live_node(const struct ctl *c, struct place *p, bool *live, struct err *err)
{
	int64_t expiry_us = (int64_t)c->config->daemon.node_expiry_ms * 1000;
	struct db_rows *rows = NULL;
	enum rc rc = db_select(p->db, &p->scope, SQL_CTL_NODES,
	    SQL_ARGS(V_U64(PLACE_BLOG)), &rows, err);

	*live = false;
	while (rc == RC_OK && db_rows_next(rows))
		*live = *live || db_i64(rows, 4) < expiry_us;
	db_rows_free(rows);
	return rc;
}

/* What waits goes back into the option of its blog. */
static enum rc
give_back(struct place *p, uint32_t blog_id, struct err *err)
{
	struct cron_events *q = NULL;
	size_t n;
	enum rc rc = place_turn(p, blog_id, err);

	if (rc == RC_OK)
		rc = db_exec(p->db, &p->scope, SQL_EVENTS_CTL_UNCLAIM,
		    SQL_ARGS(V_U64(blog_id)), NULL, err);
	if (rc != RC_OK)
		return rc;
	q = cron_events_new(&(const struct cron_events_opts){
	    .prefix = p->scope.prefix,
	    .base = p->scope.base,
	    .blog_id = blog_id,
	    .clock = &clock_system,
	});
	cron_events_set_site(q, &(const struct cron_events_site){
				    .object_cache = p->facts.object_cache,
				    .companion = p->facts.companion,
				});
	rc = cron_events_return(q, p->db, &n, err);
	cron_events_free(q);
	return rc == RC_NONE ? RC_OK : rc;
}

static enum rc
count_waiting(struct place *p, struct db_rows **rows, struct err *err)
{
	*rows = NULL;
	if (!p->own)
		return RC_NONE;
	return db_select(p->db, &p->scope, SQL_EVENTS_CTL_WAITING_BLOGS,
	    SQL_NO_ARGS, rows, err);
}

/* RC_REJECT: some are left, which would be lost with the tables. */
static enum rc
give_all_back(struct place *p, struct err *err)
{
	struct db_rows *rows;
	enum rc rc = count_waiting(p, &rows, err);

	while (rc == RC_OK && db_rows_next(rows))
		rc = give_back(p, (uint32_t)db_u64(rows, 0), err);
	db_rows_free(rows);
	if (rc != RC_OK)
		return rc == RC_NONE ? RC_OK : rc;
	rc = count_waiting(p, &rows, err);
	if (rc == RC_OK && db_rows_next(rows))
		rc = err_set(err, RC_REJECT,
		    "%" PRIu64 " cron events of blog %" PRIu64 " were taken "
		    "and wait: retries, or what only PHP can put back into its "
		    "cache; run them (`wp-cronctl event run HOOK`) or "
		    "unschedule them first",
		    db_u64(rows, 1), db_u64(rows, 0));
	db_rows_free(rows);
	return rc;
}

/* Event Espresso's messages and the tasks of plugins go back to PHP. */
static enum rc
hand_back_work(
    const struct ctl *c, struct place *p, uint64_t *tasks, struct err *err)
{
	struct work_view v;
	enum rc rc = work_open(c, p, &v, err);
	const struct config_tasks *q;

	if (rc == RC_OK && messages_present(p->db, &p->scope, err) == RC_OK)
		rc = messages_hand_back(&v.env, err);
	/* Queues of tasks are the main blog's. */
	for (size_t i = 0; rc == RC_OK && p->blog_id == PLACE_BLOG &&
			   (q = config_tasks(c->config, p->site->name, i));
	     i++) {
		size_t n = 0;

		rc = tasks_hand_back_run(&v.env, q, &n, err);
		*tasks += n;
	}
	if (rc == RC_NONE)
		rc = err_set(err, RC_RETRY,
		    "a node works on the queue of a plugin's tasks; stop it "
		    "first");
	return rc;
}

static enum rc
hand_back_all(
    const struct ctl *c, struct place *p, uint64_t *tasks, struct err *err)
{
	struct blogs blogs;
	enum rc rc;

	*tasks = 0;
	if (!p->own)
		return RC_OK;
	rc = blogs_read(p, &blogs, err);
	for (size_t i = 0; i < blogs.n && rc == RC_OK; i++) {
		rc = place_turn(p, blogs.items[i].id, err);
		if (rc == RC_OK)
			rc = hand_back_work(c, p, tasks, err);
	}
	blogs_clear(&blogs);
	return rc;
}

/* Those of the queues that [tasks] names, or of the others, which cannot be
 * given back. */
static enum rc
count_tasks(const struct ctl *c, struct place *p, bool of_named, uint64_t *n,
    struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(p->db, &p->scope, SQL_TASKS_CTL_UNFINISHED,
	    SQL_ARGS(V_U64(PLACE_BLOG)), &rows, err);

	*n = 0;
	while (rc == RC_OK && db_rows_next(rows)) {
		const struct config_tasks *t;
		bool named = false;

		for (size_t i = 0;
		     (t = config_tasks(c->config, p->site->name, i)); i++)
			named =
			    named || slice_eq_str(db_text(rows, 0), t->queue);
		*n += named == of_named ? db_u64(rows, 1) : 0;
	}
	db_rows_free(rows);
	return rc;
}

/* By PHP processes that began before they could know. */
static enum rc
check_none_arrived(const struct ctl *c, struct place *p, struct err *err)
{
	uint64_t n = 0;
	enum rc rc = p->own ? count_tasks(c, p, true, &n, err) : RC_OK;

	if (rc == RC_OK && n > 0)
		rc = err_set(err, RC_RETRY,
		    "%" PRIu64 " tasks were stored meanwhile: try again", n);
	return rc;
}

/* What is lost with the tables, in words; "" when it is nothing. */
static enum rc
put_loss(const struct ctl *c, struct place *p, struct buf *out, struct err *err)
{
	struct db_rows *rows = NULL;
	uint64_t mails = 0, letters = 0, tasks = 0;
	enum rc rc = RC_OK;

	if (!p->own)
		return RC_OK;
	rc = db_select(
	    p->db, &p->scope, SQL_OUTBOX_CTL_COUNTS, SQL_NO_ARGS, &rows, err);
	while (rc == RC_OK && db_rows_next(rows))
		if (!slice_eq_str(db_text(rows, 0), "sent") &&
		    !slice_eq_str(db_text(rows, 0), "dead") &&
		    !slice_eq_str(db_text(rows, 0), "dropped"))
			mails += db_u64(rows, 1);
	db_rows_free(rows);
	rows = NULL;
	if (rc == RC_OK)
		rc = db_select(p->db, &p->scope, SQL_OUTBOX_CTL_DEAD_COUNTS,
		    SQL_NO_ARGS, &rows, err);
	while (rc == RC_OK && db_rows_next(rows))
		letters += db_u64(rows, 1);
	db_rows_free(rows);
	if (rc == RC_OK)
		rc = count_tasks(c, p, false, &tasks, err);
	if (mails > 0)
		buf_printf(
		    out, "%" PRIu64 " mails that are not sent yet", mails);
	if (tasks > 0)
		buf_printf(out,
		    "%s%" PRIu64 " tasks of queues that no [tasks] names",
		    out->n > 0 ? " and " : "", tasks);
	if (letters > 0)
		buf_printf(out, "%s%" PRIu64 " dead letters",
		    out->n > 0 ? " and " : "", letters);
	return rc;
}

static int
uninstall(struct ctl *c, struct place *p)
{
	uint64_t tasks = 0;
	struct err err = ERR_INIT;
	bool live = false;
	json_t *rows, *row;
	enum rc rc = RC_OK;

	if (p->own)
		rc = live_node(c, p, &live, &err);
	if (rc == RC_OK && live)
		return ctl_fail(c, EXIT_AGAIN,
		    "a daemon is running on these tables (see `wp-cronctl "
		    "status`); stop it first");
	if (rc == RC_OK)
		rc = hand_back_all(c, p, &tasks, &err);
	if (rc == RC_OK)
		rc = give_all_back(p, &err);
	if (rc == RC_OK)
		rc = check_none_arrived(c, p, &err);
	if (rc == RC_OK)
		rc = schema_uninstall(p->db, &p->scope, &err);
	if (rc != RC_OK)
		return ctl_error(c, &err);
	if (tasks > 0)
		ctl_notice(
		    c, "%" PRIu64 " tasks went back to their plugins", tasks);
	rows = json_array();
	row = json_object();
	row_text(row, "site", p->site->name);
	row_text(row, "tables", "dropped");
	row_text(row, "standing", site_standing_name(SITE_UNKNOWN));
	(void)json_array_append_new(rows, row);
	return ctl_print_rows(c, rows, EXIT_DONE);
}

/* Without --yes nothing is done, but what would be lost is said. */
static int
refuse_uninstall(const struct ctl *c, struct place *p)
{
	struct buf loss = BUF_INIT(4096);
	struct err err = ERR_INIT;
	int status;

	if (put_loss(c, p, &loss, &err) != RC_OK)
		status = ctl_error(c, &err);
	else
		status = ctl_fail(c, EXIT_USAGE,
		    "uninstall drops the tables %swpcron_*, which hold retry "
		    "counts and the site's identity%s%s; say --yes",
		    c->sites[0]->prefix, loss.n > 0 ? ", and " : "",
		    buf_str(&loss));
	buf_clear(&loss);
	return status;
}

int
cmd_uninstall(struct ctl *c)
{
	struct err err = ERR_INIT;
	struct place p;
	int status;

	if (place_open(&p, c->sites[0], &err) != RC_OK)
		status = ctl_error(c, &err);
	else if (!c->opts.yes)
		status = refuse_uninstall(c, &p);
	else
		status = uninstall(c, &p);
	place_close(&p);
	return status;
}
