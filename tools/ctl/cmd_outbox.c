/* outbox list, show, send, pause, resume */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "blogs.h"
#include "engine/outbox_run.h"
#include "mails.h"
#include "queues/outbox_pauses.h"
#include "work_env.h"

const char *const outbox_list_columns[] = { "id", "state", "priority",
	"created", "to", "subject", "job", "tries", "reply", "", "accepted",
	"refused", "not_before", "ended", "sender", "size", "sealed",
	"maybe_twice", "unknown", "ordinal", "message_id", "recipients",
	"blog_id", NULL };
const char *const outbox_show_columns[] = { "id", "state", "priority", "job",
	"ordinal", "created", "not_before", "ended", "sender", "to", "subject",
	"message_id", "size", "sealed", "tries", "unknown", "maybe_twice",
	"reply", "recipients", "blog_id", "body", NULL };
const char *const outbox_send_columns[] = { "sent", "later", "dead", "unknown",
	"held", "more", "again_in", "held_by", NULL };
const char *const outbox_pause_columns[] = { "relay", "changed", NULL };

/* ---- list --------------------------------------------------------------- */

struct listing {
	struct work_page page;
	json_t *rows;
};

static int
check_state(const struct ctl *c)
{
	static const char *const states[] = { "writing", "ready", "later",
		"sending", "sent", "dead", "held", "dropped" };

	for (size_t i = 0; c->opts.status && i < NELEMS(states); i++)
		if (strcmp(c->opts.status, states[i]) == 0)
			return EXIT_DONE;
	return c->opts.status
		   ? ctl_fail(c, EXIT_USAGE,
			 "--status is writing, ready, later, sending, sent, "
			 "dead, held or dropped, not \"%s\"",
			 c->opts.status)
		   : EXIT_DONE;
}

static int
list(const struct ctl *c, struct place *p, void *arg)
{
	const char *state = c->opts.status ? c->opts.status : "";
	struct slice job = slice_str(c->opts.job ? c->opts.job : "");
	uint64_t blog = c->opts.url ? p->blog_id : 0;
	struct listing *l = arg;
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;
	enum rc rc = db_select(p->db, &p->scope, SQL_OUTBOX_CTL_LIST,
	    SQL_ARGS(V_STR(state), V_STR(state), V_BYTES(job), V_BYTES(job),
		V_BYTES(job), V_U64(blog), V_U64(blog), V_U64(l->page.per_page),
		V_U64(work_page_skip(&l->page))),
	    &rows, &err);

	while (rc == RC_OK && db_rows_next(rows))
		(void)json_array_append_new(
		    l->rows, mail_row(rows, c->opts.show_addresses));
	db_rows_free(rows);
	return rc == RC_OK ? EXIT_DONE : ctl_error(c, &err);
}

int
cmd_outbox_list(struct ctl *c)
{
	struct listing l;
	int status = check_state(c);

	if (status == EXIT_DONE)
		status = work_page(c, &l.page);
	if (status != EXIT_DONE)
		return status;
	l.rows = json_array();
	status = blogs_each(c, NEED_OWN, list, &l);
	if (status == EXIT_DONE)
		return ctl_print_rows(c, l.rows, EXIT_DONE);
	json_decref(l.rows);
	return status;
}

/* ---- show --------------------------------------------------------------- */

/* As it was made, and nothing else: for a file or another program. */
static int
print_body(const struct ctl *c, const struct place *p, struct db_rows *rows)
{
	struct buf body = BUF_INIT(MAIL_BODY_MAX);
	struct err err = ERR_INIT;
	int status = EXIT_DONE;
	enum rc rc = mail_body(p, rows, &body, &err);

	if (rc == RC_NONE)
		status = ctl_fail(c, EXIT_SOME_FAILED, "%s", err.text);
	else if (rc != RC_OK)
		status = ctl_error(c, &err);
	else if (fwrite(buf_str(&body), 1, body.n, c->out.to) != body.n)
		status = ctl_fail(c, EXIT_UNAVAILABLE, "cannot write");
	buf_clear(&body);
	return status;
}

static int
show_row(const struct ctl *c, const struct place *p, struct db_rows *rows)
{
	/* --body says that all of it may be seen. */
	if (c->opts.body && c->out.format == OUTPUT_TABLE)
		return print_body(c, p, rows);
	json_t *row = mail_row(rows, c->opts.show_addresses || c->opts.body);

	if (c->opts.body) {
		struct buf body = BUF_INIT(MAIL_BODY_MAX);
		struct err err = ERR_INIT;

		if (mail_body(p, rows, &body, &err) == RC_OK)
			row_slice(row, "body", buf_slice(&body));
		else
			ctl_notice(c, "%s", err.text);
		buf_clear(&body);
	}
	return ctl_print_record(c, row, EXIT_DONE);
}

static int
show(const struct ctl *c, struct place *p, void *arg)
{
	uint64_t *id = arg;
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;
	int status;

	if (db_select(p->db, &p->scope, SQL_OUTBOX_CTL_MAIL,
		SQL_ARGS(V_U64(*id)), &rows, &err) != RC_OK)
		status = ctl_error(c, &err);
	else if (!db_rows_next(rows))
		status = ctl_fail(c, EXIT_SOME_FAILED,
		    "there is no mail %" PRIu64 " in the outbox", *id);
	else
		status = show_row(c, p, rows);
	db_rows_free(rows);
	return status;
}

int
cmd_outbox_show(struct ctl *c)
{
	uint64_t id;

	if (!ctl_number(c, "ID", c->args[0], 1, INT64_MAX, &id))
		return EXIT_USAGE;
	return blogs_each(c, NEED_OWN, show, &id);
}

/* ---- send --------------------------------------------------------------- */

static int
print_report(const struct ctl *c, const struct outbox_report *r)
{
	json_t *row = json_object();

	row_int(row, "sent", (int64_t)r->sent);
	row_int(row, "later", (int64_t)r->later);
	row_int(row, "dead", (int64_t)r->dead);
	row_int(row, "unknown", (int64_t)r->unknown);
	row_int(row, "held", (int64_t)r->held);
	row_bool(row, "more", r->more);
	if (r->wait_ms > 0)
		row_seconds(row, "again_in", r->wait_ms * 1000);
	if (*r->why)
		row_text(row, "held_by", r->why);
	if (*r->why)
		ctl_notice(c, "nothing more is sent: %s", r->why);
	else if (r->more)
		ctl_notice(c, "mails wait still: run it again");
	return ctl_print_record(c, row,
	    r->dead + r->unknown + r->held > 0 ? EXIT_SOME_FAILED : EXIT_DONE);
}

static int
check_relay(
    const struct ctl *c, struct work_view *v, const struct config_smtp **out)
{
	const struct place *p = v->place;
	struct err err = ERR_INIT;
	bool paused = false;

	*out = config_smtp(c->config, p->site->config);
	if (!*out)
		return ctl_fail(c, EXIT_CONFIG,
		    "the site has no relay: set smtp = NAME in [site %s] and "
		    "make an [smtp NAME]",
		    p->site->name);
	if (outbox_paused(p->db, &p->scope, (*out)->name, &paused, &err) !=
	    RC_OK)
		return ctl_error(c, &err);
	if (paused)
		return ctl_fail(c, EXIT_SOME_FAILED,
		    "the relay %s is paused; `wp-cronctl outbox resume` ends "
		    "that",
		    (*out)->name);
	return EXIT_DONE;
}

static int
send_mails(const struct ctl *c, struct work_view *v, void *arg)
{
	const uint32_t *budget_ms = arg;
	struct outbox_report r = { .sent = 0 };
	const struct config_smtp *smtp;
	struct err err = ERR_INIT;
	bool due = false, untold;
	int status = check_relay(c, v, &smtp);
	enum rc rc;

	if (status != EXIT_DONE)
		return status;
	rc = outbox_tend_run(&v->env, &due, &untold, &err);
	if (rc == RC_OK && due)
		rc = outbox_run(&v->env, *budget_ms, &r, &err);
	if (rc == RC_NONE)
		return ctl_fail(c, EXIT_AGAIN,
		    "all %" PRIu32 " connections to the relay %s are in use",
		    smtp->concurrency, smtp->name);
	/* Who waits for a verdict is told at once. */
	if (rc == RC_OK && due)
		rc = outbox_tend_run(&v->env, &due, &untold, &err);
	return rc == RC_OK ? print_report(c, &r) : ctl_error(c, &err);
}

#define SEND_BUDGET_MS 300000u

int
cmd_outbox_send(struct ctl *c)
{
	uint32_t budget_ms;
	int status = work_budget(c, &budget_ms);

	if (status != EXIT_DONE)
		return status;
	if (budget_ms == 0)
		budget_ms = SEND_BUDGET_MS;
	return work_each(c, send_mails, &budget_ms);
}

/* ---- pause, resume ------------------------------------------------------ */

static int
change_pause(const struct ctl *c, struct place *p, void *arg)
{
	const enum sql_id *statement = arg;
	const char *relay = c->nargs > 0 ? c->args[0] : OUTBOX_PAUSE_ALL;
	json_t *row = json_object();
	struct err err = ERR_INIT;
	uint64_t affected = 0;

	if (db_exec(p->db, &p->scope, *statement,
		SQL_ARGS(V_U64(0), V_STR(OUTBOX_PAUSE_KIND),
		    V_BYTES(slice_str(relay))),
		&affected, &err) != RC_OK) {
		json_decref(row);
		return ctl_error(c, &err);
	}
	row_text(row, "relay", relay);
	row_bool(row, "changed", affected == 1);
	return ctl_print_record(c, row, EXIT_DONE);
}

static int
pause_relay(struct ctl *c, enum sql_id statement)
{
	bool known = c->nargs == 0 || strcmp(c->args[0], "*") == 0;

	for (size_t i = 0; i < c->config->nsmtps; i++)
		known =
		    known || strcmp(c->config->smtps[i].name, c->args[0]) == 0;
	if (!known)
		return ctl_fail(c, EXIT_USAGE,
		    "there is no [smtp %s] in the configuration", c->args[0]);
	return blogs_each(c, NEED_OWN, change_pause, &statement);
}

int
cmd_outbox_pause(struct ctl *c)
{
	return pause_relay(c, SQL_EVENTS_CTL_PAUSE);
}

int
cmd_outbox_resume(struct ctl *c)
{
	return pause_relay(c, SQL_EVENTS_CTL_RESUME);
}
