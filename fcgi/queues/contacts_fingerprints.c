/*
 * What a provider has of a reader, by integration.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "queues/contacts_internal.h"

/* Rows that one step of the cleaning looks at, and removes for their age. */
#define CLEAN_WALK 1000
#define CLEAN_OLD 1000

static int
by_user(const void *a, const void *b)
{
	const struct contact_fingerprint *x = a, *y = b;

	return contact_by_u64(&x->user_id, &y->user_id);
}

/* ---- reading ------------------------------------------------------------- */

static bool
get_hash(const struct db_rows *rows, unsigned col,
    unsigned char out[CONTACT_FINGERPRINT_LEN])
{
	struct slice s = db_text(rows, col);

	if (s.n != CONTACT_FINGERPRINT_LEN)
		return false;
	memcpy(out, s.p, s.n);
	return true;
}

static enum rc
read_chunk(struct db *db, const struct sql_scope *scope,
    const struct sql_args *args, struct arena *a,
    struct contact_fingerprint *out, size_t *n, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc =
	    db_select(db, scope, SQL_CONTACTS_FINGERPRINTS, args, &rows, err);
	size_t found = 0;

	while (rc == RC_OK && found < args->nids && db_rows_next(rows)) {
		struct contact_fingerprint *f = &out[found];

		f->user_id = db_u64(rows, 0);
		if (!get_hash(rows, 1, f->payload) ||
		    !get_hash(rows, 2, f->address))
			continue;
		f->barred = db_u64(rows, 3) != 0;
		f->reason = arena_slice(a, db_text(rows, 4));
		f->accepted_at = db_i64(rows, 5);
		found++;
	}
	db_rows_free(rows);
	*n += found;
	return rc;
}

enum rc
contact_fingerprints_read(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, struct slice integration, const uint64_t *ids, size_t n,
    struct arena *a, struct contact_fingerprint **out, size_t *nout,
    struct err *err)
{
	struct sql_args args = *SQL_ARGS(V_U64(blog_id), V_BYTES(integration));
	struct contact_fingerprint *found =
	    arena_array(a, n + 1, sizeof *found);
	size_t nfound = 0;
	enum rc rc = RC_OK;

	*out = found;
	*nout = 0;
	if (!found)
		return err_set(
		    err, RC_RETRY, "no memory for %zu fingerprints", n);
	for (size_t i = 0; i < n && rc == RC_OK; i += CONTACT_CHUNK) {
		args.ids = ids + i;
		args.nids = n - i < CONTACT_CHUNK ? n - i : CONTACT_CHUNK;
		rc = read_chunk(
		    db, scope, &args, a, found + nfound, &nfound, err);
	}
	if (rc == RC_OK && a->failed)
		rc =
		    err_set(err, RC_RETRY, "no memory for %zu fingerprints", n);
	if (rc != RC_OK)
		return rc;
	if (nfound > 0)
		qsort(found, nfound, sizeof *found, by_user);
	*nout = nfound;
	return RC_OK;
}

/* ---- writing ------------------------------------------------------------- */

#define COLUMNS 8

static enum rc
write_chunk(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    struct slice integration, const struct contact_fingerprint *const *rows,
    size_t n, struct err *err)
{
	struct sql_value *values = calloc(n * COLUMNS, sizeof *values);
	const struct sql_args args = { .rows = values, .nrows = n };
	enum rc rc;

	if (!values)
		return err_set(
		    err, RC_RETRY, "no memory for %zu fingerprints", n);
	for (size_t i = 0; i < n; i++) {
		const struct contact_fingerprint *f = rows[i];
		struct sql_value *v = values + i * COLUMNS;
		struct slice reason = f->reason;

		reason.n = slice_utf8_cut(reason, CONTACT_REASON_MAX);
		v[0] = V_U64(blog_id);
		v[1] = V_U64(f->user_id);
		v[2] = V_BYTES(integration);
		v[3] = V_STR(f->barred ? "barred" : "accepted");
		v[4] = V_BYTES(
		    slice_mem((const char *)f->payload, sizeof f->payload));
		v[5] = V_BYTES(
		    slice_mem((const char *)f->address, sizeof f->address));
		v[6] = V_TIME(f->accepted_at);
		v[7] = V_BYTES(reason);
	}
	rc = db_exec(
	    db, scope, SQL_CONTACTS_FINGERPRINTS_WRITE, &args, NULL, err);
	free(values);
	return rc;
}

static int
by_user_of(const void *a, const void *b)
{
	const struct contact_fingerprint *const *x = a, *const *y = b;

	return contact_by_u64(&(*x)->user_id, &(*y)->user_id);
}

enum rc
contact_fingerprints_write(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, struct slice integration,
    const struct contact_fingerprint *rows, size_t n, struct err *err)
{
	const struct contact_fingerprint **order;
	enum rc rc = RC_OK;

	if (n == 0)
		return RC_OK;
	/* In the order of the key, so that two who write do not lock each
	 * other's rows crosswise. */
	order = calloc(n, sizeof(const struct contact_fingerprint *));
	if (!order)
		return err_set(
		    err, RC_RETRY, "no memory for %zu fingerprints", n);
	for (size_t i = 0; i < n; i++)
		order[i] = &rows[i];
	qsort(order, n, sizeof(const struct contact_fingerprint *), by_user_of);
	for (size_t i = 0; i < n && rc == RC_OK; i += CONTACT_CHUNK)
		rc = write_chunk(db, scope, blog_id, integration, order + i,
		    n - i < CONTACT_CHUNK ? n - i : CONTACT_CHUNK, err);
	free(order);
	return rc;
}

/* ---- dropping ------------------------------------------------------------ */

enum rc
contact_fingerprints_drop(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, struct slice integration, const uint64_t *ids, size_t n,
    struct err *err)
{
	struct sql_args one = *SQL_ARGS(V_U64(blog_id), V_BYTES(integration));
	struct sql_args all = *SQL_ARGS(V_U64(blog_id));
	struct sql_args *args = integration.n > 0 ? &one : &all;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < n && rc == RC_OK; i += CONTACT_CHUNK) {
		args->ids = ids + i;
		args->nids = n - i < CONTACT_CHUNK ? n - i : CONTACT_CHUNK;
		rc = db_exec(db, scope,
		    integration.n > 0 ? SQL_CONTACTS_FINGERPRINTS_DROP
				      : SQL_CONTACTS_FINGERPRINTS_DROP_ALL,
		    args, NULL, err);
	}
	return rc;
}

/* One step of the walk over all readers that have some. */
struct walk {
	uint64_t from, to; /* 0: from the beginning */
	uint64_t gone[CLEAN_WALK];
	size_t ngone;
};

static enum rc
walk_begin(struct db *db, const struct sql_scope *scope, const char *name,
    struct walk *w, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    db, scope, SQL_CONTACTS_CURSOR, SQL_ARGS(V_STR(name)), &rows, err);

	*w = (struct walk){ 0 };
	if (rc == RC_OK && db_rows_next(rows))
		w->from = db_u64(rows, 0);
	db_rows_free(rows);
	return rc;
}

/* Not all rows of the last reader may be among these; all of one who is gone
 * are removed. */
static enum rc
walk_step(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    struct walk *w, struct err *err)
{
	struct db_rows *rows = NULL;
	size_t seen = 0;
	enum rc rc = db_select(db, scope, SQL_CONTACTS_FINGERPRINTS_WALK,
	    SQL_ARGS(V_U64(blog_id), V_U64(w->from), V_U64(CLEAN_WALK)), &rows,
	    err);

	while (rc == RC_OK && seen < CLEAN_WALK && db_rows_next(rows)) {
		uint64_t user = db_u64(rows, 0);

		seen++;
		w->to = user;
		if (db_u64(rows, 1) == 0 &&
		    (w->ngone == 0 || w->gone[w->ngone - 1] != user))
			w->gone[w->ngone++] = user;
	}
	if (seen < CLEAN_WALK)
		w->to = 0;
	db_rows_free(rows);
	return rc;
}

static enum rc
walk_end(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    const char *name, const struct walk *w, uint64_t *removed, struct err *err)
{
	struct sql_args args = *SQL_ARGS(V_U64(blog_id));
	uint64_t affected = 0;
	char text[24];
	enum rc rc = RC_OK;

	args.ids = w->gone;
	args.nids = w->ngone;
	if (w->ngone > 0)
		rc = db_exec(db, scope, SQL_CONTACTS_FINGERPRINTS_DROP_ALL,
		    &args, &affected, err);
	*removed += affected;
	(void)snprintf(text, sizeof text, "%" PRIu64, w->to);
	if (rc == RC_OK && w->to != w->from)
		rc = db_exec(db, scope, SQL_CONTACTS_CURSOR_WRITE,
		    SQL_ARGS(V_STR(name), V_STR(text)), NULL, err);
	return rc;
}

enum rc
contact_fingerprints_clean(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, uint64_t *removed, struct err *err)
{
	struct walk w;
	char name[64];
	enum rc rc;

	*removed = 0;
	rc = db_exec(db, scope, SQL_CONTACTS_FINGERPRINTS_OLD,
	    SQL_ARGS(V_U64(CLEAN_OLD)), removed, err);
	if (rc != RC_OK)
		return rc;
	(void)snprintf(
	    name, sizeof name, "fingerprints-walk/%" PRIu32, blog_id);
	rc = walk_begin(db, scope, name, &w, err);
	if (rc == RC_OK)
		rc = walk_step(db, scope, blog_id, &w, err);
	if (rc == RC_OK)
		rc = walk_end(db, scope, blog_id, name, &w, removed, err);
	return rc;
}
