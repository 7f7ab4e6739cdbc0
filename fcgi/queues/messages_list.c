/*
 * The plugin's Message Activity: lists, counts, and what is done by hand.
 */
#include <string.h>

#include "base/ceilings.h"
#include "base/macros.h"
#include "queues/messages_internal.h"
#include "sql/db_errors.h"

#define SEARCH_MAX 1024
#define PAGE_MAX ((size_t)1000000)
#define TRANSACTIONS_MAX ((size_t)200000)

/* ---- lists --------------------------------------------------------------- */

static void
show(const struct db_rows *rows, struct arena *a, struct messages_shown *m)
{
	struct slice sts = db_text(rows, 12);
	int64_t not_before = db_i64(rows, 18);

	*m = (struct messages_shown){
		.id = db_u64(rows, 0),
		.group = db_u64(rows, 1),
		.transaction = db_u64(rows, 2),
		.recipient = db_u64(rows, 3),
		.recipient_type = arena_slice(a, db_text(rows, 4)),
		.messenger = arena_slice(a, db_text(rows, 5)),
		.type = arena_slice(a, db_text(rows, 6)),
		.context = arena_slice(a, db_text(rows, 7)),
		.to = arena_slice(a, db_text(rows, 8)),
		.from = arena_slice(a, db_text(rows, 9)),
		.subject = arena_slice(a, db_text(rows, 10)),
		.priority = (unsigned)db_u64(rows, 11),
		.created = db_time(rows, 13),
		.modified = db_time(rows, 14),
		.state = arena_slice(a, db_text(rows, 15)),
		.reason = arena_slice(a, db_text(rows, 16)),
		.tries = (unsigned)db_u64(rows, 17),
	};
	if (sts.n > 0)
		memcpy(m->sts, sts.p, sts.n < 3 ? sts.n : 3);
	if (slice_eq_str(m->state, "passed") ||
	    slice_eq_str(m->state, "failed"))
		m->not_before = not_before;
}

/* %TEXT%, as WordPress' esc_like(). */
static void
put_pattern(struct buf *out, struct slice s)
{
	buf_put_char(out, '%');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%' || s.p[i] == '_' || s.p[i] == '\\')
			buf_put_char(out, '\\');
		buf_put_char(out, s.p[i]);
	}
	buf_put_char(out, '%');
}

/* Transactions of a registration or an event. */
static enum rc
find_transactions(struct db *db, const struct sql_scope *scope,
    const struct messages_filter *f, struct arena *a, uint64_t **ids, size_t *n,
    struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc;

	*n = 0;
	*ids = NULL;
	rc = db_select(db, scope, SQL_MESSAGES_ADMIN_TRANSACTIONS,
	    SQL_ARGS(V_U64(f->registration), V_U64(f->registration),
		V_U64(f->event), V_U64(f->event)),
	    &rows, err);
	if (rc == RC_REJECT && db_errno(db) == DB_ER_NO_SUCH_TABLE)
		return err_set(err, RC_REJECT,
		    "there is no table of Event Espresso's registrations");
	if (rc == RC_OK) {
		*ids =
		    arena_array(a, db_rows_count(rows) + 1, sizeof(uint64_t));
		if (!*ids)
			rc = err_set(err, RC_RETRY, "no memory for a list");
	}
	while (rc == RC_OK && *ids && *n < TRANSACTIONS_MAX &&
	       db_rows_next(rows)) {
		uint64_t id = db_u64(rows, 0);

		if (id > 0 && (f->transaction == 0 || f->transaction == id))
			(*ids)[(*n)++] = id;
	}
	db_rows_free(rows);
	return rc;
}

/* Values of messages_admin.list. */
#define LIST_VALUES 25

static void
list_values(const struct messages_filter *f, uint32_t blog_id,
    struct slice pattern, bool any_transaction, struct sql_value v[LIST_VALUES])
{
	const struct slice any = f->search.n > 0 ? pattern : SLICE_LIT("");
	const struct sql_value values[LIST_VALUES] = {
		V_U64(blog_id),
		V_TEXT(f->status),
		V_TEXT(f->status),
		V_TEXT(f->messenger),
		V_TEXT(f->messenger),
		V_TEXT(f->type),
		V_TEXT(f->type),
		V_TEXT(f->context),
		V_TEXT(f->context),
		V_U64(f->contact),
		V_U64(f->contact),
		V_U64(f->user),
		V_U64(f->user),
		V_U64(f->since > 0),
		V_TIME(f->since),
		V_U64(f->until > 0),
		V_TIME(f->until),
		V_TEXT(any),
		V_TEXT(pattern),
		V_TEXT(pattern),
		V_TEXT(pattern),
		V_TEXT(pattern),
		V_U64(any_transaction),
		V_U64(f->max > 0 ? f->max : PAGE_MAX),
		V_U64(f->skip),
	};

	memcpy(v, values, sizeof values);
	for (size_t i = 0; i < LIST_VALUES; i++)
		if (v[i].type == SQL_TEXT && !v[i].text.p)
			v[i].text = SLICE_LIT("");
}

static enum rc
take_list(struct db_rows *rows, struct arena *a, struct messages_shown **out,
    size_t *n, struct err *err)
{
	struct messages_shown *found =
	    arena_array(a, db_rows_count(rows) + 1, sizeof *found);
	size_t nfound = 0;

	while (found && db_rows_next(rows))
		show(rows, a, &found[nfound++]);
	if (!found || a->failed)
		return err_set(err, RC_RETRY, "no memory for a list");
	*out = found;
	*n = nfound;
	return RC_OK;
}

enum rc
messages_list(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    const struct messages_filter *f, struct arena *a,
    struct messages_shown **out, size_t *n, struct err *err)
{
	struct buf pattern = BUF_INIT(SEARCH_MAX);
	struct sql_value v[LIST_VALUES];
	uint64_t one = f->transaction, *ids = &one;
	struct sql_args args = { .values = v, .nvalues = LIST_VALUES };
	struct db_rows *rows = NULL;
	bool related = f->registration > 0 || f->event > 0;
	size_t nids = 1;
	enum rc rc = RC_OK;

	*out = NULL;
	*n = 0;
	if (related)
		rc = find_transactions(db, scope, f, a, &ids, &nids, err);
	if (rc != RC_OK || nids == 0)
		return rc;
	put_pattern(&pattern, f->search);
	if (pattern.failed)
		rc = err_set(err, RC_REJECT, "what is searched is too long");
	list_values(f, blog_id, buf_slice(&pattern),
	    !related && f->transaction == 0, v);
	args.ids = ids;
	args.nids = nids;
	if (rc == RC_OK)
		rc = db_select(
		    db, scope, SQL_MESSAGES_ADMIN_LIST, &args, &rows, err);
	if (rc == RC_OK)
		rc = take_list(rows, a, out, n, err);
	db_rows_free(rows);
	buf_clear(&pattern);
	return rc;
}

enum rc
messages_get(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    uint64_t id, struct arena *a, struct messages_shown *out, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, SQL_MESSAGES_ADMIN_GET,
	    SQL_ARGS(V_U64(blog_id), V_U64(id)), &rows, err);

	if (rc == RC_OK && !db_rows_next(rows))
		rc = err_set(err, RC_NONE, "there is no such message");
	if (rc == RC_OK) {
		show(rows, a, out);
		out->content = arena_slice(a, db_text(rows, 19));
	}
	db_rows_free(rows);
	rows = NULL;
	if (rc == RC_OK)
		rc = db_select(db, scope, SQL_MESSAGES_ERROR,
		    SQL_ARGS(V_U64(id)), &rows, err);
	if (rc == RC_OK && db_rows_next(rows))
		out->error = arena_slice(a, db_text(rows, 0));
	db_rows_free(rows);
	if (rc == RC_OK && a->failed)
		rc = err_set(err, RC_RETRY, "no memory for a message");
	return rc;
}

/* ---- counts -------------------------------------------------------------- */

static enum rc
count_one(struct db *db, const struct sql_scope *scope, enum sql_id id,
    const struct sql_args *args, int64_t *out, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, id, args, &rows, err);

	*out = rc == RC_OK && db_rows_next(rows) ? db_i64(rows, 0) : 0;
	db_rows_free(rows);
	return rc;
}

enum rc
messages_count(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    struct messages_counts *out, struct err *err)
{
	struct db_rows *rows = NULL;
	int64_t foreign = 0;
	enum rc rc = db_select(
	    db, scope, SQL_MESSAGES_ADMIN_COUNTS, SQL_NO_ARGS, &rows, err);

	*out = (struct messages_counts){ .n = 0 };
	while (rc == RC_OK && out->n < MESSAGES_STATUSES_MAX &&
	       db_rows_next(rows)) {
		struct slice s = db_text(rows, 0);
		struct messages_count *c = &out->of[out->n++];

		if (s.n > 0)
			memcpy(c->sts, s.p, s.n < 3 ? s.n : 3);
		c->n = db_u64(rows, 1);
	}
	db_rows_free(rows);
	if (rc == RC_OK)
		rc = count_one(db, scope, SQL_MESSAGES_ADMIN_FOREIGN,
		    SQL_ARGS(V_U64(blog_id)), &foreign, err);
	out->foreign_mex = (uint64_t)foreign;
	if (rc == RC_OK)
		rc = count_one(db, scope, SQL_MESSAGES_ADMIN_OLDEST,
		    SQL_NO_ARGS, &out->oldest, err);
	return rc;
}

/* ---- by hand ------------------------------------------------------------- */

struct by_hand {
	const struct sql_scope *scope;
	uint32_t blog_id;
	const uint64_t *ids;
	size_t n;
	uint64_t changed;
	uint64_t free[MESSAGES_CHUNK];
};

static enum rc
resend_body(struct db *db, void *arg, struct err *err)
{
	struct by_hand *h = arg;
	struct sql_args rows = { .ids = h->ids, .nids = h->n };
	struct sql_args journal = *SQL_ARGS(V_U64(h->blog_id));
	enum rc rc = db_exec(
	    db, h->scope, SQL_MESSAGES_ADMIN_RESEND, &rows, &h->changed, err);

	journal.ids = h->ids;
	journal.nids = h->n;
	if (rc == RC_OK)
		rc = db_exec(
		    db, h->scope, SQL_MESSAGES_PARDON, &journal, NULL, err);
	return rc;
}

static enum rc
delete_body(struct db *db, void *arg, struct err *err)
{
	struct by_hand *h = arg;
	struct sql_args args = *SQL_ARGS(V_U64(h->blog_id));
	struct sql_args gone = { .ids = h->free };
	struct db_rows *rows = NULL;
	enum rc rc;

	args.ids = h->ids;
	args.nids = h->n;
	h->changed = 0;
	rc =
	    db_select(db, h->scope, SQL_MESSAGES_ADMIN_FREE, &args, &rows, err);
	while (rc == RC_OK && gone.nids < MESSAGES_CHUNK && db_rows_next(rows))
		h->free[gone.nids++] = db_u64(rows, 0);
	db_rows_free(rows);
	if (rc != RC_OK || gone.nids == 0)
		return rc;
	rc = db_exec(db, h->scope, SQL_MESSAGES_META_DROP, &gone, NULL, err);
	if (rc == RC_OK)
		rc = db_exec(db, h->scope, SQL_MESSAGES_ADMIN_DELETE, &gone,
		    &h->changed, err);
	return rc;
}

static enum rc
in_chunks(struct db *db, struct by_hand *h, const uint64_t *ids, size_t n,
    db_body_fn *body, uint64_t *changed, struct err *err)
{
	enum rc rc = RC_OK;

	*changed = 0;
	for (size_t i = 0; i < n && rc == RC_OK; i += MESSAGES_CHUNK) {
		h->ids = ids + i;
		h->n = n - i < MESSAGES_CHUNK ? n - i : MESSAGES_CHUNK;
		h->changed = 0;
		rc = db_transact(db, body, h, err);
		if (rc == RC_OK)
			*changed += h->changed;
	}
	return rc;
}

enum rc
messages_resend(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    const uint64_t *ids, size_t n, uint64_t *changed, struct err *err)
{
	struct by_hand h = { .scope = scope, .blog_id = blog_id };

	return in_chunks(db, &h, ids, n, resend_body, changed, err);
}

enum rc
messages_unpark(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    uint64_t id, struct err *err)
{
	return db_exec(db, scope, SQL_MESSAGES_UNPARK,
	    SQL_ARGS(V_U64(blog_id), V_U64(id)), NULL, err);
}

enum rc
messages_delete(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    const uint64_t *ids, size_t n, uint64_t *changed, struct err *err)
{
	struct by_hand h = { .scope = scope, .blog_id = blog_id };

	return in_chunks(db, &h, ids, n, delete_body, changed, err);
}
