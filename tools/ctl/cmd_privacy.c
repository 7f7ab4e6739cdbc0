/* privacy export, privacy erase: what our own tables hold about a person. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "blogs.h"
#include "contacts.h"
#include "mails.h"

const char *const privacy_columns[] = { "url", "user", "kind", "integration",
	"state", "at", "reason", "erased", "mail", "subject", "body", "",
	"payload", "address", "bulk", NULL };

struct privacy {
	bool erase;
	json_t *rows;
	bool found; /* there is such a user, or a mail */
	char *address;
	bool mails_done; /* there is one outbox for all blogs */
};

static json_t *
add_row(struct privacy *x, const struct place *p, uint64_t user_id,
    const char *kind, struct slice integration)
{
	json_t *row = json_object();

	row_text(row, "url", p->facts.home);
	row_int(row, "user", (int64_t)user_id);
	row_text(row, "kind", kind);
	row_slice(row, "integration", integration);
	row_bool(row, "erased", x->erase);
	(void)json_array_append_new(x->rows, row);
	return row;
}

static enum rc
fingerprints(struct privacy *x, struct place *p, uint64_t id, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(p->db, &p->scope, SQL_CONTACTS_CTL_FINGERPRINTS,
	    SQL_ARGS(V_U64(p->blog_id), V_U64(id)), &rows, err);

	while (rc == RC_OK && db_rows_next(rows)) {
		json_t *row =
		    add_row(x, p, id, "fingerprint", db_text(rows, 0));

		row_slice(row, "state", db_text(rows, 1));
		row_time(row, "at", db_i64(rows, 2));
		row_slice(row, "reason", db_text(rows, 3));
		row_slice(row, "payload", db_text(rows, 4));
		row_slice(row, "address", db_text(rows, 5));
	}
	db_rows_free(rows);
	if (rc == RC_OK && x->erase)
		rc = contact_fingerprints_drop(
		    p->db, &p->scope, p->blog_id, SLICE_LIT(""), &id, 1, err);
	return rc;
}

/* Leave a reader out of a bulk call: what it comes to is not written down. */
static enum rc
leave_out(
    struct place *p, struct contact_batch *b, uint64_t id, struct err *err)
{
	size_t n = 0;

	for (size_t k = 0; k < b->n; k++)
		if (b->members[k].user_id != id)
			b->members[n++] = b->members[k];
	b->n = n;
	if (n == 0)
		return contact_batch_end(
		    p->db, &p->scope, p->blog_id, b->batch_id, err);
	return contact_batch_update(p->db, &p->scope, p->blog_id, b, err);
}

static enum rc
bulk_calls(struct privacy *x, struct place *p, uint64_t id, struct err *err)
{
	struct arena a = ARENA_INIT(CONTACTS_ARENA_MAX);
	struct contact_batch *b = NULL;
	size_t n = 0;
	enum rc rc =
	    contact_batches_read(p->db, &p->scope, p->blog_id, &a, &b, &n, err);

	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		bool in = false;

		for (size_t k = 0; k < b[i].n; k++)
			in |= b[i].members[k].user_id == id;
		if (!in)
			continue;
		json_t *row = add_row(x, p, id, "bulk call", b[i].integration);

		row_text(row, "state", "under way");
		row_time(row, "at", b[i].submitted_at);
		row_int(row, "bulk", (int64_t)b[i].batch_id);
		if (x->erase)
			rc = leave_out(p, &b[i], id, err);
	}
	arena_clear(&a);
	return rc;
}

/* ---- mails -------------------------------------------------------------- */

static bool
is_about(const struct db_rows *rows, struct slice address)
{
	json_t *list = mail_recipients(db_text(rows, MAIL_RECIPIENTS)), *r;
	bool is = slice_eq_nocase(db_text(rows, MAIL_SENDER), address);
	size_t i;

	json_array_foreach(list, i, r)
	{
		const char *to = json_string_value(json_object_get(r, "to"));

		is = is || (to && mail_same_address(to, address));
	}
	json_decref(list);
	return is;
}

/* What is exported is told whole; what was erased, that it was there. */
static enum rc
one_mail(struct privacy *x, struct place *p, const struct db_rows *rows,
    uint64_t user_id, struct err *err)
{
	json_t *row = add_row(x, p, user_id, "mail", SLICE_LIT("outbox"));
	struct buf body = BUF_INIT(MAIL_BODY_MAX);
	bool whole = false;
	enum rc rc = RC_OK;

	row_int(row, "mail", db_i64(rows, MAIL_ID));
	row_slice(row, "state", db_text(rows, MAIL_STATE));
	row_time(row, "at", db_time(rows, MAIL_CREATED));
	row_slice(row, "reason", db_text(rows, MAIL_REPLY));
	row_text(row, "address", x->address);
	row_slice(row, "subject", db_text(rows, MAIL_SUBJECT));
	if (!x->erase) {
		if (mail_body(p, rows, &body, err) == RC_OK)
			row_slice(row, "body", buf_slice(&body));
		else
			row_text(row, "reason", err->text);
		buf_clear(&body);
		return RC_OK;
	}
	rc = mail_forget(p, (uint32_t)db_u64(rows, MAIL_BLOG),
	    db_u64(rows, MAIL_ID), slice_str(x->address), &whole, err);
	if (rc == RC_NONE) {
		row_bool(row, "erased", false);
		row_text(row, "reason", err->text);
		return RC_OK;
	}
	if (rc == RC_OK && !whole)
		row_text(row, "reason",
		    "it is for others too, and was not sent yet: only this "
		    "recipient was taken out");
	return rc;
}

static void
put_lower(struct buf *out, char c)
{
	static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const char lower[] = "abcdefghijklmnopqrstuvwxyz";
	const char *at = c ? strchr(upper, c) : NULL;

	if (at)
		c = lower[at - upper];
	buf_put_char(out, c);
}

/* LIKE's own characters stand for themselves. */
static void
put_pattern(struct buf *out, const char *address)
{
	buf_put_char(out, '%');
	for (const char *s = address; *s; s++) {
		if (*s == '%' || *s == '_' || *s == '\\')
			buf_put_char(out, '\\');
		/* How JSON may have it. */
		if (*s == '/' || (unsigned char)*s >= 0x80)
			buf_put_char(out, '%');
		else
			put_lower(out, *s);
	}
	buf_put_char(out, '%');
}

static enum rc
mails(struct privacy *x, struct place *p, uint64_t user_id, struct err *err)
{
	struct buf pattern = BUF_INIT(2048), lower = BUF_INIT(1024);
	struct db_rows *rows = NULL;
	enum rc rc;

	x->mails_done = true;
	put_pattern(&pattern, x->address);
	for (const char *s = x->address; *s; s++)
		put_lower(&lower, *s);
	rc = db_select(p->db, &p->scope, SQL_OUTBOX_CTL_OF_PERSON,
	    SQL_ARGS(V_TEXT(buf_slice(&pattern)), V_TEXT(buf_slice(&lower))),
	    &rows, err);
	while (rc == RC_OK && db_rows_next(rows))
		if (is_about(rows, slice_str(x->address))) {
			x->found = true;
			rc = one_mail(x, p, rows, user_id, err);
		}
	db_rows_free(rows);
	buf_clear(&pattern);
	buf_clear(&lower);
	return rc;
}

/* ---- the commands ------------------------------------------------------- */

static int
of_blog(const struct ctl *c, struct place *p, void *arg)
{
	struct arena a = ARENA_INIT(CONTACTS_ARENA_MAX);
	struct privacy *x = arg;
	struct contact_user u = { .id = 0 };
	struct err err = ERR_INIT;
	enum rc rc = contact_user_find(
	    p->db, &p->scope, slice_str(c->args[0]), &a, &u, &err);

	if (rc == RC_OK && u.id > 0) {
		x->found = true;
		rc = fingerprints(x, p, u.id, &err);
		if (rc == RC_OK)
			rc = bulk_calls(x, p, u.id, &err);
	}
	/* Mails go to who is no user, too. */
	if ((rc == RC_OK || rc == RC_NONE) && !x->mails_done) {
		x->address = u.id > 0 && u.email.n > 0
				 ? xstrndup(u.email)
				 : xstrndup(slice_str(c->args[0]));
		rc = mails(x, p, u.id, &err);
	}
	arena_clear(&a);
	return rc == RC_OK || rc == RC_NONE ? EXIT_DONE : ctl_error(c, &err);
}

static int
privacy(struct ctl *c, bool erase)
{
	struct privacy x = { .erase = erase, .rows = json_array() };
	int status;

	/* A person is the same one on every blog. */
	c->opts.network = c->sites[0]->multisite;
	status = blogs_each(c, NEED_OWN, of_blog, &x);
	free(x.address);
	if (status == EXIT_DONE && !x.found)
		status = ctl_fail(c, EXIT_SOME_FAILED,
		    "no user and no mail in the outbox has the address "
		    "\"%s\"; what this program keeps of a reader goes with "
		    "the user",
		    c->args[0]);
	if (status == EXIT_DONE)
		ctl_notice(c,
		    "payloads of plugins' tasks are not searched: "
		    "`wp-cronctl tasks list` and `dead list --kind=task`");
	if (status == EXIT_DONE && erase)
		ctl_notice(c,
		    "staging, retries and reader data are WordPress' own: its "
		    "erasure tool removes them");
	/* What is handed over to a person is JSON. */
	if (!c->opts.format)
		c->out.format = OUTPUT_JSON;
	if (status == EXIT_DONE)
		return ctl_print_rows(c, x.rows, EXIT_DONE);
	json_decref(x.rows);
	return status;
}

int
cmd_privacy_export(struct ctl *c)
{
	return privacy(c, false);
}

int
cmd_privacy_erase(struct ctl *c)
{
	return privacy(c, true);
}
