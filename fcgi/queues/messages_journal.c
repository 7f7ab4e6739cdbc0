/*
 * The journal: which messages are on the way, and what came of them.
 */
#include <string.h>

#include "base/macros.h"
#include "queues/messages_internal.h"

static struct slice
or_empty(struct slice s)
{
	return s.p ? s : SLICE_LIT("");
}

/* ---- claiming ------------------------------------------------------------ */

/* One row as it was read. */
struct row {
	uint64_t id;
	char sts[4];
	bool fresh; /* changed within minutes */
	struct messages_copy copy;
	size_t meta_cap;
	bool whole; /* there is what it is generated from */
};

struct claiming {
	const struct sql_scope *scope;
	uint32_t blog_id;
	enum messages_lane lane;
	uint64_t claim_id, term_us;
	const uint64_t *ids;
	size_t n;
	struct arena *a;
	struct row *rows;
	size_t nrows;
};

static void
put_status(char out[4], struct slice s)
{
	size_t n = s.n < 3 ? s.n : 3;

	memset(out, 0, 4);
	if (n > 0)
		memcpy(out, s.p, n);
}

static void
take_row(struct claiming *c, const struct db_rows *rows)
{
	/* Of messages.copy, in the order of messages.restore. */
	static const unsigned cols[MESSAGES_COLUMNS] = { 4, 5, 6, 7, 8, 9, 10,
		11, 12, 13, 14, 15, 16, 17, 2 };
	struct row *r = &c->rows[c->nrows++];

	*r = (struct row){ .id = db_u64(rows, 0), .fresh = db_u64(rows, 3) };
	put_status(r->sts, db_text(rows, 1));
	if (c->lane != MESSAGES_GENERATE)
		return;
	for (size_t i = 0; i < MESSAGES_COLUMNS; i++)
		r->copy.columns[i] = arena_slice(c->a, db_text(rows, cols[i]));
}

static struct row *
find_row(const struct claiming *c, uint64_t id)
{
	for (size_t i = 0; i < c->nrows; i++)
		if (c->rows[i].id == id)
			return &c->rows[i];
	return NULL;
}

static enum rc
read_rows(struct claiming *c, struct db *db, struct err *err)
{
	struct sql_args args = { .ids = c->ids, .nids = c->n };
	struct db_rows *rows = NULL;
	enum rc rc =
	    db_select(db, c->scope, SQL_MESSAGES_COPY, &args, &rows, err);

	c->rows = arena_array(c->a, c->n + 1, sizeof *c->rows);
	while (rc == RC_OK && c->rows && c->nrows < c->n && db_rows_next(rows))
		take_row(c, rows);
	db_rows_free(rows);
	if (rc == RC_OK && (!c->rows || c->a->failed))
		rc = err_set(err, RC_RETRY, "no memory for messages");
	return rc;
}

static bool
add_meta(struct claiming *c, struct row *r, struct slice key, struct slice v)
{
	struct messages_meta *grown;

	if (r->copy.nmeta == r->meta_cap) {
		size_t cap = r->meta_cap ? r->meta_cap * 2 : 4;

		grown = arena_array(c->a, cap, sizeof *grown);
		if (!grown)
			return false;
		if (r->copy.nmeta > 0)
			memcpy(
			    grown, r->copy.meta, r->copy.nmeta * sizeof *grown);
		r->copy.meta = grown;
		r->meta_cap = cap;
	}
	r->copy.meta[r->copy.nmeta++] =
	    (struct messages_meta){ .key = arena_slice(c->a, key),
		    .value = arena_slice(c->a, v) };
	return true;
}

static enum rc
read_meta(struct claiming *c, struct db *db, struct err *err)
{
	struct sql_args args = { .ids = c->ids, .nids = c->n };
	struct db_rows *rows = NULL;
	enum rc rc =
	    db_select(db, c->scope, SQL_MESSAGES_COPY_META, &args, &rows, err);
	bool ok = true;

	while (rc == RC_OK && ok && db_rows_next(rows)) {
		struct row *r = find_row(c, db_u64(rows, 0));

		if (!r)
			continue;
		r->whole = r->whole || slice_eq_str(db_text(rows, 1),
					   "MSG_generation_data");
		ok = add_meta(c, r, db_text(rows, 1), db_text(rows, 2));
	}
	db_rows_free(rows);
	if (rc == RC_OK && (!ok || c->a->failed))
		rc = err_set(err, RC_RETRY, "no memory for messages");
	return rc;
}

static bool
is_of_lane(const struct claiming *c, const struct row *r)
{
	if (c->lane == MESSAGES_GENERATE)
		return strcmp(r->sts, "MIC") == 0;
	return strcmp(r->sts, "MID") == 0 || strcmp(r->sts, "MRS") == 0;
}

static enum rc
claim_row(
    struct claiming *c, struct db *db, const struct row *r, struct err *err)
{
	struct buf copy = BUF_INIT(MESSAGES_COPY_MAX);
	enum rc rc = RC_OK;

	if (c->lane == MESSAGES_GENERATE)
		messages_copy_put(&copy, &r->copy);
	/* What cannot be kept is not risked. */
	if (!copy.failed)
		rc = db_exec(db, c->scope, SQL_MESSAGES_CLAIM,
		    SQL_ARGS(V_U64(c->blog_id), V_U64(r->id),
			V_STR(messages_lane_name(c->lane)), V_STR(r->sts),
			V_U64(c->claim_id), V_U64(c->term_us),
			V_U64(c->term_us), V_BYTES(or_empty(buf_slice(&copy)))),
		    NULL, err);
	buf_clear(&copy);
	return rc;
}

/* Rows that another process is still writing, and leavings of one that died:
 * PHP fails them in the end. */
#define UNFINISHED_WAIT_US ((uint64_t)60 * 1000000)

static enum rc
claim_body(struct db *db, void *arg, struct err *err)
{
	struct claiming *c = arg;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < c->nrows && rc == RC_OK; i++) {
		const struct row *r = &c->rows[i];
		bool unfinished =
		    c->lane == MESSAGES_GENERATE && !r->whole && r->fresh;

		if (!is_of_lane(c, r))
			continue;
		rc = claim_row(c, db, r, err);
		if (rc == RC_OK && unfinished)
			rc = db_exec(db, c->scope, SQL_MESSAGES_END,
			    SQL_ARGS(V_STR("passed"), V_U64(0),
				V_U64(UNFINISHED_WAIT_US),
				V_BYTES(SLICE_LIT("it is being written")),
				V_U64(c->blog_id), V_U64(r->id),
				V_STR(messages_lane_name(c->lane)),
				V_U64(c->claim_id)),
			    NULL, err);
	}
	return rc;
}

static enum rc
read_claimed(struct claiming *c, struct db *db, struct messages_claim **out,
    size_t *nout, struct err *err)
{
	struct sql_args args = *SQL_ARGS(V_U64(c->blog_id),
	    V_STR(messages_lane_name(c->lane)), V_U64(c->claim_id));
	struct messages_claim *found =
	    arena_array(c->a, c->n + 1, sizeof *found);
	struct db_rows *rows = NULL;
	size_t n = 0;
	enum rc rc;

	args.ids = c->ids;
	args.nids = c->n;
	rc = db_select(db, c->scope, SQL_MESSAGES_CLAIMED, &args, &rows, err);
	while (rc == RC_OK && found && db_rows_next(rows))
		for (size_t i = 0; i < c->n; i++) {
			if (db_u64(rows, 0) != c->ids[i])
				continue;
			found[i].id = c->ids[i];
			found[i].sending = (unsigned)db_u64(rows, 1);
			found[i].tries = (unsigned)db_u64(rows, 2);
			put_status(found[i].was, db_text(rows, 3));
		}
	for (size_t i = 0; found && i < c->n; i++)
		if (found[i].id != 0)
			found[n++] = found[i];
	db_rows_free(rows);
	if (rc == RC_OK && !found)
		rc = err_set(err, RC_RETRY, "no memory for messages");
	*out = found;
	*nout = rc == RC_OK ? n : 0;
	return rc;
}

enum rc
messages_claim(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    enum messages_lane lane, uint64_t claim_id, const uint64_t *ids, size_t n,
    uint32_t term_ms, struct arena *a, struct messages_claim **out,
    size_t *nout, struct err *err)
{
	struct claiming c = {
		.scope = scope,
		.blog_id = blog_id,
		.lane = lane,
		.claim_id = claim_id,
		.term_us = (uint64_t)term_ms * 1000,
		.ids = ids,
		.n = n,
		.a = a,
	};
	enum rc rc;

	*out = NULL;
	*nout = 0;
	if (n == 0)
		return RC_OK;
	if (n > MESSAGES_CHUNK)
		return err_set(
		    err, RC_REJECT, "%zu messages are too many at once", n);
	rc = read_rows(&c, db, err);
	if (rc == RC_OK && lane == MESSAGES_GENERATE)
		rc = read_meta(&c, db, err);
	if (rc == RC_OK)
		rc = db_transact(db, claim_body, &c, err);
	return rc == RC_OK ? read_claimed(&c, db, out, nout, err) : rc;
}

enum rc
messages_begun(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    enum messages_lane lane, uint64_t claim_id, struct err *err)
{
	return db_exec(db, scope, SQL_MESSAGES_BEGUN,
	    SQL_ARGS(V_U64(blog_id), V_STR(messages_lane_name(lane)),
		V_U64(claim_id)),
	    NULL, err);
}

/* ---- settling ------------------------------------------------------------ */

struct settling {
	const struct sql_scope *scope;
	uint32_t blog_id;
	enum messages_lane lane;
	uint64_t claim_id;
	const struct messages_result *r;
	size_t n;
	uint64_t *done; /* of them, ids */
	size_t ndone;
};

static enum rc
end_one(struct settling *s, struct db *db, const struct messages_result *r,
    struct err *err)
{
	static const char *const states[] = {
		[MESSAGES_DONE] = "done",
		[MESSAGES_BACK] = "passed",
		[MESSAGES_PASSED] = "passed",
		[MESSAGES_FAILED] = "failed",
		[MESSAGES_REFUSED] = "refused",
	};
	uint64_t wait_us = r->wait_ms > 0 ? (uint64_t)r->wait_ms * 1000 : 0;
	struct buf reason = BUF_INIT((size_t)MESSAGES_REASON_MAX * 2);
	uint64_t affected = 0;
	bool strike = r->end == MESSAGES_FAILED || r->end == MESSAGES_REFUSED ||
		      (r->end == MESSAGES_PASSED && r->strike);
	enum rc rc;

	messages_reason_put(&reason, r->reason);
	rc = db_exec(db, s->scope, SQL_MESSAGES_END,
	    SQL_ARGS(V_STR(states[r->end]), V_U64(strike),
		V_U64(r->end == MESSAGES_BACK ? 0 : wait_us),
		V_BYTES(or_empty(buf_slice(&reason))), V_U64(s->blog_id),
		V_U64(r->id), V_STR(messages_lane_name(s->lane)),
		V_U64(s->claim_id)),
	    &affected, err);
	if (rc == RC_OK && affected > 0 && r->end == MESSAGES_REFUSED)
		rc = messages_letter(
		    db, s->scope, s->blog_id, r->id, r->reason, r->tries, err);
	buf_clear(&reason);
	return rc;
}

static enum rc
settle_body(struct db *db, void *arg, struct err *err)
{
	struct settling *s = arg;
	struct sql_args args = *SQL_ARGS(V_U64(s->blog_id),
	    V_STR(messages_lane_name(s->lane)), V_U64(s->claim_id));
	enum rc rc = RC_OK;

	args.ids = s->done;
	args.nids = s->ndone;
	if (s->ndone > 0)
		rc = db_exec(db, s->scope, SQL_MESSAGES_DONE, &args, NULL, err);
	for (size_t i = 0; i < s->n && rc == RC_OK; i++)
		if (s->r[i].end != MESSAGES_DONE)
			rc = end_one(s, db, &s->r[i], err);
	if (rc == RC_OK && s->lane == MESSAGES_SEND)
		rc = messages_heed_refusals(
		    db, s->scope, s->blog_id, s->done, s->ndone, err);
	return rc;
}

enum rc
messages_settle(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    enum messages_lane lane, uint64_t claim_id, const struct messages_result *r,
    size_t n, struct err *err)
{
	uint64_t done[MESSAGES_CHUNK];
	struct settling s = {
		.scope = scope,
		.blog_id = blog_id,
		.lane = lane,
		.claim_id = claim_id,
		.r = r,
		.n = n,
		.done = done,
	};

	if (n > MESSAGES_CHUNK)
		return err_set(
		    err, RC_REJECT, "%zu messages are too many at once", n);
	for (size_t i = 0; i < n; i++)
		if (r[i].end == MESSAGES_DONE)
			done[s.ndone++] = r[i].id;
	return n > 0 ? db_transact(db, settle_body, &s, err) : RC_OK;
}

enum rc
messages_done_sql(const struct sql_scope *scope, uint32_t blog_id,
    uint64_t claim_id, uint64_t id, struct buf *out, struct err *err)
{
	struct sql_args args = *SQL_ARGS(V_U64(blog_id),
	    V_STR(messages_lane_name(MESSAGES_GENERATE)), V_U64(claim_id));

	args.ids = &id;
	args.nids = 1;
	return sql_render(SQL_MESSAGES_DONE, scope, &args, out, err);
}

/* ---- notes --------------------------------------------------------------- */

enum rc
messages_expire(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    uint32_t days, struct err *err)
{
	return db_exec(db, scope, SQL_MESSAGES_EXPIRE,
	    SQL_ARGS(V_U64(blog_id), V_U64(days), V_U64(1000)), NULL, err);
}

enum rc
messages_memo_read(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, const char *name, struct arena *a, struct slice *out,
    struct err *err)
{
	struct buf key = BUF_INIT(64);
	struct db_rows *rows = NULL;
	enum rc rc;

	*out = SLICE_NONE;
	buf_printf(&key, "messages/%u/%s", (unsigned)blog_id, name);
	rc = db_select(db, scope, SQL_MESSAGES_MEMO,
	    SQL_ARGS(V_STR(buf_str(&key))), &rows, err);
	if (rc == RC_OK && db_rows_next(rows))
		*out = arena_slice(a, db_text(rows, 0));
	db_rows_free(rows);
	buf_clear(&key);
	return rc;
}

enum rc
messages_memo_write(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, const char *name, struct slice value, struct err *err)
{
	struct buf key = BUF_INIT(64);
	enum rc rc;

	buf_printf(&key, "messages/%u/%s", (unsigned)blog_id, name);
	rc = db_exec(db, scope, SQL_MESSAGES_MEMO_WRITE,
	    SQL_ARGS(V_STR(buf_str(&key)), V_TEXT(value)), NULL, err);
	buf_clear(&key);
	return rc;
}
