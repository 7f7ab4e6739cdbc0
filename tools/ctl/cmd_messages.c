/* messages list, show, generate, send, resend, delete: Event Espresso's
 * Message Activity. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "actions.h"
#include "base/clock.h"
#include "blogs.h"
#include "engine/messages_run.h"
#include "events.h"
#include "formats/mail_address.h"
#include "queues/messages.h"
#include "work_env.h"

const char *const messages_list_columns[] = { "id", "status", "priority",
	"messenger", "type", "context", "to", "modified", "subject", "", "from",
	"created", "transaction", "group", "recipient", "recipient_type",
	"state", "tries", "not_before", "reason", "url", NULL };
const char *const messages_show_columns[] = { "id", "status", "priority",
	"messenger", "type", "context", "to", "from", "subject", "transaction",
	"group", "recipient", "recipient_type", "created", "modified", "state",
	"tries", "not_before", "reason", "error", "content", "url", NULL };
const char *const messages_run_columns[] = { "asked", "generated", "sent",
	"failed", "restored", "waiting", "more", "again_in", "held_by", "url",
	NULL };
const char *const messages_change_columns[] = { "asked", "changed", "url",
	NULL };

#define ARENA_MAX ((size_t)1 << 30)

/* ---- what is looked at -------------------------------------------------- */

/* The tables of the plugin; 0, or an exit status after words. */
static int
check_present(const struct ctl *c, const struct place *p)
{
	struct err err = ERR_INIT;
	enum rc rc = messages_present(p->db, &p->scope, &err);

	if (rc == RC_NONE)
		return ctl_fail(c, EXIT_CONFIG,
		    "there is no table %sesp_message: Event Espresso is not "
		    "installed on this blog",
		    p->scope.prefix);
	return rc == RC_OK ? EXIT_DONE : ctl_error(c, &err);
}

/* Several addresses may stand in one column; a serialized one is no text. */
static void
put_address(json_t *row, const char *name, struct slice text, bool plain)
{
	struct buf out = BUF_INIT((size_t)64 << 10);

	if (plain)
		buf_put_slice(&out, text);
	else
		mail_text_put_masked(&out, text);
	row_slice(row, name, slice_mem(buf_str(&out), out.n));
	buf_clear(&out);
}

static const char *
priority_name(unsigned priority)
{
	return priority <= MESSAGES_HIGH     ? "high"
	       : priority <= MESSAGES_MEDIUM ? "medium"
					     : "low";
}

static json_t *
message_row(
    const struct ctl *c, const struct place *p, const struct messages_shown *m)
{
	json_t *row = json_object();
	bool plain = c->opts.show_addresses;

	row_int(row, "id", (int64_t)m->id);
	row_text(row, "status", m->sts);
	row_text(row, "priority", priority_name(m->priority));
	row_slice(row, "messenger", m->messenger);
	row_slice(row, "type", m->type);
	row_slice(row, "context", m->context);
	put_address(row, "to", m->to, plain);
	put_address(row, "from", m->from, plain);
	row_slice(row, "subject", m->subject);
	row_int(row, "transaction", (int64_t)m->transaction);
	row_int(row, "group", (int64_t)m->group);
	row_int(row, "recipient", (int64_t)m->recipient);
	row_slice(row, "recipient_type", m->recipient_type);
	row_time(row, "created", m->created);
	row_time(row, "modified", m->modified);
	row_slice(row, "state", m->state);
	row_int(row, "tries", m->tries);
	if (m->not_before > 0)
		row_time(row, "not_before", m->not_before);
	row_slice(row, "reason", m->reason);
	row_text(row, "url", p->facts.home);
	return row;
}

/* ---- list --------------------------------------------------------------- */

struct listing {
	struct messages_filter filter;
	json_t *rows;
};

static int
list(const struct ctl *c, struct place *p, void *arg)
{
	struct arena a = ARENA_INIT(ARENA_MAX);
	struct listing *l = arg;
	struct messages_shown *m = NULL;
	struct err err = ERR_INIT;
	int status = check_present(c, p);
	size_t n = 0;

	if (status == EXIT_DONE && messages_list(p->db, &p->scope, p->blog_id,
				       &l->filter, &a, &m, &n, &err) != RC_OK)
		status = ctl_error(c, &err);
	for (size_t i = 0; status == EXIT_DONE && i < n; i++)
		(void)json_array_append_new(l->rows, message_row(c, p, &m[i]));
	arena_clear(&a);
	return status;
}

static bool
read_time(const struct ctl *c, const char *name, const char *text, int64_t *out)
{
	if (!text ||
	    event_when(slice_str(text), clock_unix(&clock_system), out))
		return true;
	ctl_fail(c, EXIT_USAGE,
	    "%s is a time such as \"2027-01-31 12:00\" or \"-1 day\", not "
	    "\"%s\"",
	    name, text);
	return false;
}

static bool
read_id(const struct ctl *c, const char *name, const char *text, uint64_t *out)
{
	return !text || ctl_number(c, name, text, 1, INT64_MAX, out);
}

static bool
read_status(const struct ctl *c)
{
	static const char *const known[] = { "MIC", "MID", "MRS", "MEX", "MSN",
		"MRT", "MFL", "MDO" };
	const char *status = c->opts.status;

	for (size_t i = 0; status && i < NELEMS(known); i++)
		if (slice_eq_nocase(slice_str(status), slice_str(known[i])))
			return true;
	if (status)
		ctl_fail(c, EXIT_USAGE,
		    "--status is MIC (to be generated), MID (to be sent), MRS "
		    "(to be sent again), MEX (being sent), MSN (sent), MRT "
		    "(may be tried again), MFL (failed) or MDO (for debugging),"
		    " not \"%s\"",
		    status);
	return !status;
}

static int
read_filter(const struct ctl *c, struct messages_filter *f)
{
	const struct ctl_options *o = &c->opts;
	struct work_page page;
	int status = work_page(c, &page);

	if (status != EXIT_DONE)
		return status;
	*f = (struct messages_filter){
		.status = slice_str(o->status),
		.messenger = slice_str(o->messenger),
		.type = slice_str(o->type),
		.context = slice_str(o->context),
		.search = slice_str(o->search),
		.skip = (size_t)work_page_skip(&page),
		.max = (size_t)page.per_page,
	};
	if (!read_status(c) ||
	    !read_id(c, "--registration", o->registration, &f->registration) ||
	    !read_id(c, "--transaction", o->transaction, &f->transaction) ||
	    !read_id(c, "--event", o->event, &f->event) ||
	    !read_id(c, "--contact", o->contact, &f->contact) ||
	    !read_time(c, "--since", o->since, &f->since) ||
	    !read_time(c, "--until", o->until, &f->until))
		return EXIT_USAGE;
	return EXIT_DONE;
}

int
cmd_messages_list(struct ctl *c)
{
	struct listing l;
	int status = read_filter(c, &l.filter);

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

static int
show(const struct ctl *c, struct place *p, void *arg)
{
	struct arena a = ARENA_INIT(ARENA_MAX);
	const uint64_t *id = arg;
	struct messages_shown m;
	struct err err = ERR_INIT;
	json_t *row;
	int status = check_present(c, p);
	enum rc rc = RC_OK;

	if (status == EXIT_DONE)
		rc = messages_get(
		    p->db, &p->scope, p->blog_id, *id, &a, &m, &err);
	if (rc == RC_NONE)
		status = ctl_fail(
		    c, EXIT_SOME_FAILED, "there is no message %" PRIu64, *id);
	else if (rc != RC_OK)
		status = ctl_error(c, &err);
	if (status == EXIT_DONE) {
		row = message_row(c, p, &m);
		put_address(row, "error", m.error, c->opts.show_addresses);
		if (c->opts.body)
			row_slice(row, "content", m.content);
		status = ctl_print_record(c, row, EXIT_DONE);
	}
	arena_clear(&a);
	return status;
}

int
cmd_messages_show(struct ctl *c)
{
	uint64_t id;

	if (!ctl_number(c, "ID", c->args[0], 1, INT64_MAX, &id))
		return EXIT_USAGE;
	return blogs_each(c, NEED_OWN, show, &id);
}

/* ---- generate, send ----------------------------------------------------- */

struct running {
	struct messages_opts opts;
	uint64_t *ids;
};

static int
print_report(const struct ctl *c, const struct work_view *v,
    const struct running *r, const struct messages_report *out)
{
	bool failed = out->failed > 0 || *out->held;
	json_t *row = json_object();

	row_int(row, "asked", (int64_t)r->opts.nids);
	row_int(row, "generated", (int64_t)out->generated);
	row_int(row, "sent", (int64_t)out->sent);
	row_int(row, "failed", (int64_t)out->failed);
	row_int(row, "restored", (int64_t)out->restored);
	row_int(row, "waiting", (int64_t)out->waiting);
	row_bool(row, "more", out->more);
	if (out->wait_ms > 0)
		row_seconds(row, "again_in", out->wait_ms * 1000);
	if (*out->held) {
		row_text(row, "held_by", out->held);
		ctl_notice(c, "nothing is done: %s", out->held);
	}
	row_text(row, "url", v->place->facts.home);
	return ctl_print_record(c, row, failed ? EXIT_SOME_FAILED : EXIT_DONE);
}

static int
run(const struct ctl *c, struct work_view *v, void *arg)
{
	const struct running *r = arg;
	struct messages_report out = { .generated = 0 };
	struct err err = ERR_INIT;
	int status = check_present(c, v->place);
	enum rc rc;

	if (status != EXIT_DONE)
		return status;
	rc = messages_run(&v->env, &r->opts, &out, &err);
	if (rc == RC_NONE)
		return ctl_fail(c, EXIT_AGAIN,
		    "another node works on the messages of this blog");
	if (rc != RC_OK)
		return ctl_error(c, &err);
	if (out.absent)
		return ctl_fail(
		    c, EXIT_CONFIG, "Event Espresso is not active here");
	return print_report(c, v, r, &out);
}

/* With ids just these, whatever the hour's rate; without, what waits, as at a
 * tick of the plugin's schedule. */
static int
run_messages(struct ctl *c, bool generate)
{
	struct running r = { .opts = { .tick = true,
				 .generate = generate,
				 .send = !generate } };
	int status = work_budget(c, &r.opts.budget_ms);

	if (status != EXIT_DONE)
		return status;
	r.ids = action_ids(c);
	if (!r.ids)
		return EXIT_USAGE;
	r.opts.ids = c->nargs > 0 ? r.ids : NULL;
	r.opts.nids = c->nargs;
	status = work_each(c, run, &r);
	free(r.ids);
	return status;
}

int
cmd_messages_generate(struct ctl *c)
{
	return run_messages(c, true);
}

int
cmd_messages_send(struct ctl *c)
{
	return run_messages(c, false);
}

/* ---- resend, delete ----------------------------------------------------- */

typedef enum rc change_fn(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, const uint64_t *ids, size_t n, uint64_t *changed,
    struct err *err);

struct change {
	change_fn *fn;
	uint64_t *ids;
	const char *otherwise;
};

static int
change(const struct ctl *c, struct place *p, void *arg)
{
	const struct change *ch = arg;
	struct err err = ERR_INIT;
	int status = check_present(c, p);
	uint64_t n = 0;
	json_t *row;

	if (status != EXIT_DONE)
		return status;
	if (ch->fn(p->db, &p->scope, p->blog_id, ch->ids, c->nargs, &n, &err) !=
	    RC_OK)
		return ctl_error(c, &err);
	if (n < c->nargs)
		ctl_notice(c, "%" PRIu64 " %s", c->nargs - n, ch->otherwise);
	row = json_object();
	row_int(row, "asked", (int64_t)c->nargs);
	row_int(row, "changed", (int64_t)n);
	row_text(row, "url", p->facts.home);
	return ctl_print_record(
	    c, row, n < c->nargs ? EXIT_SOME_FAILED : EXIT_DONE);
}

static int
change_messages(struct ctl *c, change_fn *fn, const char *otherwise)
{
	struct change ch = { .fn = fn, .otherwise = otherwise };
	int status;

	ch.ids = action_ids(c);
	if (!ch.ids)
		return EXIT_USAGE;
	status = blogs_each(c, NEED_OWN, change, &ch);
	free(ch.ids);
	return status;
}

int
cmd_messages_resend(struct ctl *c)
{
	return change_messages(c, messages_resend,
	    "are neither sent nor failed (MSN, MRT), or are gone");
}

int
cmd_messages_delete(struct ctl *c)
{
	if (!c->opts.yes)
		return ctl_fail(c, EXIT_USAGE,
		    "this deletes %zu messages and what belongs to them; say "
		    "--yes",
		    c->nargs);
	return change_messages(
	    c, messages_delete, "are gone, or are being sent now");
}
