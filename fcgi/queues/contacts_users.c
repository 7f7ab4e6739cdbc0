/*
 * Readers as WordPress has them, for many at once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "queues/contacts_internal.h"

/* ---- users --------------------------------------------------------------- */

static int
by_user(const void *a, const void *b)
{
	const struct contact_user *x = a, *y = b;

	return contact_by_u64(&x->id, &y->id);
}

static struct slice
text_of(struct arena *a, const struct db_rows *rows, unsigned col)
{
	struct slice s = db_text(rows, col);

	return arena_slice(a, s.p ? s : SLICE_LIT(""));
}

static enum rc
users_chunk(struct db *db, const struct sql_scope *scope, const uint64_t *ids,
    size_t n, struct arena *a, struct contact_user *out, size_t *nout,
    struct err *err)
{
	const struct sql_args args = { .ids = ids, .nids = n };
	struct db_rows *rows = NULL;
	size_t found = 0;
	enum rc rc =
	    db_select(db, scope, SQL_CONTACTS_USERS, &args, &rows, err);

	while (rc == RC_OK && found < n && db_rows_next(rows))
		out[found++] = (struct contact_user){
			.id = db_u64(rows, 0),
			.login = text_of(a, rows, 1),
			.email = text_of(a, rows, 2),
			.display_name = text_of(a, rows, 3),
			.nicename = text_of(a, rows, 4),
			.url = text_of(a, rows, 5),
			.registered = db_time(rows, 6),
			.capabilities = SLICE_LIT(""),
		};
	db_rows_free(rows);
	*nout += found;
	return rc;
}

/* Of several rows of a user, WordPress takes the first. */
static enum rc
capabilities_chunk(struct db *db, const struct sql_scope *scope,
    const uint64_t *ids, size_t n, struct arena *a, struct contact_user *users,
    size_t nusers, struct err *err)
{
	const struct sql_args args = { .ids = ids, .nids = n };
	uint64_t *first = calloc(nusers + 1, sizeof *first);
	struct db_rows *rows = NULL;
	enum rc rc;

	if (!first)
		return err_set(err, RC_RETRY, "no memory for capabilities");
	rc = db_select(db, scope, SQL_CONTACTS_CAPABILITIES, &args, &rows, err);
	while (rc == RC_OK && db_rows_next(rows)) {
		const struct contact_user key = { .id = db_u64(rows, 1) };
		uint64_t row = db_u64(rows, 0);
		struct contact_user *u =
		    bsearch(&key, users, nusers, sizeof key, by_user);

		if (!u || (u->member && first[u - users] < row))
			continue;
		first[u - users] = row;
		u->member = true;
		u->capabilities = text_of(a, rows, 2);
	}
	db_rows_free(rows);
	free(first);
	return rc;
}

enum rc
contact_users_read(struct db *db, const struct sql_scope *scope,
    const uint64_t *ids, size_t n, struct arena *a, struct contact_user **out,
    size_t *nout, struct err *err)
{
	struct contact_user *users = arena_array(a, n, sizeof *users);
	size_t found = 0;
	enum rc rc = RC_OK;

	*out = users;
	*nout = 0;
	if (n == 0)
		return RC_OK;
	if (!users)
		return err_set(err, RC_RETRY, "no memory for %zu readers", n);
	for (size_t i = 0; i < n && rc == RC_OK; i += CONTACT_CHUNK)
		rc = users_chunk(db, scope, ids + i,
		    n - i < CONTACT_CHUNK ? n - i : CONTACT_CHUNK, a,
		    users + found, &found, err);
	if (found > 0)
		qsort(users, found, sizeof *users, by_user);
	for (size_t i = 0; i < n && rc == RC_OK && found > 0;
	     i += CONTACT_CHUNK)
		rc = capabilities_chunk(db, scope, ids + i,
		    n - i < CONTACT_CHUNK ? n - i : CONTACT_CHUNK, a, users,
		    found, err);
	if (rc == RC_OK && a->failed)
		rc = err_set(err, RC_RETRY, "no memory for %zu readers", n);
	if (rc == RC_OK)
		*nout = found;
	return rc;
}

/* The id in the first row; RC_NONE: there is no row. */
static enum rc
find_by(struct db *db, const struct sql_scope *scope, enum sql_id how,
    struct slice who, uint64_t *id, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc =
	    db_select(db, scope, how, SQL_ARGS(V_TEXT(who)), &rows, err);

	if (rc == RC_OK && !db_rows_next(rows))
		rc = err_set(err, RC_NONE, "there is no such user");
	if (rc == RC_OK)
		*id = db_u64(rows, 0);
	db_rows_free(rows);
	return rc;
}

enum rc
contact_user_find(struct db *db, const struct sql_scope *scope,
    struct slice who, struct arena *a, struct contact_user *out,
    struct err *err)
{
	static const enum sql_id ways[] = { SQL_CONTACTS_USER_BY_EMAIL,
		SQL_CONTACTS_USER_BY_LOGIN };
	struct contact_user *users = NULL;
	uint64_t id;
	size_t n = 0;
	enum rc rc = RC_OK;

	if (slice_u64(who, &id))
		rc = contact_users_read(db, scope, &id, 1, a, &users, &n, err);
	for (size_t i = 0; i < NELEMS(ways) && rc == RC_OK && n == 0; i++) {
		rc = find_by(db, scope, ways[i], who, &id, err);
		if (rc == RC_OK)
			rc = contact_users_read(
			    db, scope, &id, 1, a, &users, &n, err);
		else if (rc == RC_NONE)
			rc = RC_OK;
	}
	if (rc == RC_OK && n == 0)
		return err_set(err, RC_NONE, "there is no such user");
	if (rc == RC_OK)
		*out = users[0];
	return rc;
}

/* ---- usermeta ------------------------------------------------------------ */

/* With its place among the rows of its key. */
struct meta_row {
	struct contact_meta meta;
	uint64_t umeta_id;
};

static int
by_key(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return c != 0 ? c : a.n < b.n ? -1 : a.n > b.n;
}

static int
by_meta(const void *a, const void *b)
{
	const struct meta_row *x = a, *y = b;
	int c = contact_by_u64(&x->meta.user_id, &y->meta.user_id);

	if (c == 0)
		c = by_key(x->meta.key, y->meta.key);
	return c != 0 ? c : contact_by_u64(&x->umeta_id, &y->umeta_id);
}

static bool
is_among(struct slice key, const struct slice *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (slice_eq(key, keys[i]))
			return true;
	return false;
}

/* What was read so far, growing. */
struct meta_rows {
	struct meta_row *rows;
	size_t n, cap;
};

static bool
meta_add(struct meta_rows *m, const struct meta_row *row)
{
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 256;
		struct meta_row *more = realloc(m->rows, cap * sizeof *more);

		if (!more)
			return false;
		m->rows = more;
		m->cap = cap;
	}
	m->rows[m->n++] = *row;
	return true;
}

/* Which rows, for a statement. */
struct meta_wanted {
	const struct slice *keys;
	size_t nkeys;
	struct sql_value *values;
};

static enum rc
meta_chunk(struct db *db, const struct sql_scope *scope, const uint64_t *ids,
    size_t n, const struct meta_wanted *w, struct arena *a,
    struct meta_rows *out, struct err *err)
{
	const struct sql_args args = {
		.ids = ids, .nids = n, .rows = w->values, .nrows = w->nkeys
	};
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, SQL_CONTACTS_META, &args, &rows, err);

	while (rc == RC_OK && db_rows_next(rows)) {
		struct meta_row row = { .umeta_id = db_u64(rows, 0) };

		if (!is_among(db_text(rows, 2), w->keys, w->nkeys))
			continue;
		row.meta.user_id = db_u64(rows, 1);
		row.meta.key = arena_slice(a, db_text(rows, 2));
		row.meta.value = text_of(a, rows, 3);
		if (!meta_add(out, &row))
			rc = err_set(err, RC_RETRY, "no memory for usermeta");
	}
	db_rows_free(rows);
	return rc;
}

static enum rc
meta_first(struct meta_rows *m, struct arena *a, struct contact_meta **out,
    size_t *nout, struct err *err)
{
	struct contact_meta *first = arena_array(a, m->n + 1, sizeof *first);
	size_t n = 0;

	if (!first || a->failed)
		return err_set(
		    err, RC_RETRY, "no memory for %zu rows of usermeta", m->n);
	if (m->n > 0)
		qsort(m->rows, m->n, sizeof *m->rows, by_meta);
	for (size_t i = 0; i < m->n; i++) {
		const struct contact_meta *meta = &m->rows[i].meta;

		if (n == 0 || first[n - 1].user_id != meta->user_id ||
		    !slice_eq(first[n - 1].key, meta->key))
			first[n++] = *meta;
	}
	*out = first;
	*nout = n;
	return RC_OK;
}

enum rc
contact_meta_read(struct db *db, const struct sql_scope *scope,
    const uint64_t *ids, size_t n, const struct slice *keys, size_t nkeys,
    struct arena *a, struct contact_meta **out, size_t *nout, struct err *err)
{
	struct meta_wanted w = { .keys = keys, .nkeys = nkeys };
	struct meta_rows rows = { 0 };
	enum rc rc = RC_OK;

	*out = NULL;
	*nout = 0;
	if (n == 0 || nkeys == 0)
		return RC_OK;
	w.values = arena_array(a, nkeys, sizeof *w.values);
	if (!w.values)
		return err_set(err, RC_RETRY, "no memory for %zu keys", nkeys);
	for (size_t i = 0; i < nkeys; i++)
		w.values[i] = V_TEXT(keys[i]);
	for (size_t i = 0; i < n && rc == RC_OK; i += CONTACT_CHUNK)
		rc = meta_chunk(db, scope, ids + i,
		    n - i < CONTACT_CHUNK ? n - i : CONTACT_CHUNK, &w, a, &rows,
		    err);
	if (rc == RC_OK)
		rc = meta_first(&rows, a, out, nout, err);
	free(rows.rows);
	return rc;
}
