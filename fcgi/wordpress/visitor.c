#include "wordpress/visitor.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "formats/php_serialize.h"

#define VISITORS_MAX 100
#define LOGIN_BYTES_MAX ((size_t)4 * AUTH_LOGIN_MAX)
/* A role and a hundred capabilities are 4 KiB. */
#define CAPABILITIES_MAX ((size_t)64 << 10)
#define CAPABILITIES_DEPTH 32

enum meta {
	META_SESSIONS,
	META_CAPABILITIES,
	META_READER,
	META_LAST_ENQUEUE,
	META_PULL,
	META_PUSH,
	NMETA,
};

/* {p} goes before the one of capabilities. */
static const char *const meta_keys[NMETA] = {
	[META_SESSIONS] = "session_tokens",
	[META_CAPABILITIES] = "capabilities",
	[META_READER] = "np_reader",
	[META_LAST_ENQUEUE] = "newspack_contact_cron_last_enqueue",
	[META_PULL] = "newspack_contact_cron_pull_pending",
	[META_PUSH] = "newspack_contact_cron_push_pending",
};

/* What the tables say of the user with a visitor's login; lent by the rows. */
struct found {
	uint64_t id; /* 0: there is none */
	struct slice pass;
	struct {
		uint64_t row; /* 0: there is none */
		struct slice value;
	} meta[NMETA];
};

/* ---- the read --------------------------------------------------------- */

/* Bytes of its longest character. */
static unsigned
width(struct slice login)
{
	unsigned widest = 1;

	for (size_t i = 0; i < login.n; i++) {
		unsigned char c = (unsigned char)login.p[i];
		unsigned n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

		if (n > widest)
			widest = n;
	}
	return widest;
}

/* Of all whose login has no character of more than `widest` bytes. */
static enum rc
read_users(struct db *db, const struct sql_scope *scope,
    const struct visitor *v, size_t n, unsigned widest, struct db_rows **out,
    struct err *err)
{
	struct sql_value logins[VISITORS_MAX];
	struct sql_args args = { .rows = logins };

	for (size_t i = 0; i < n; i++) {
		struct slice login = v[i].cookie->login;

		if (login.n <= LOGIN_BYTES_MAX && width(login) <= widest)
			logins[args.nrows++] = V_TEXT(login);
	}
	if (args.nrows == 0)
		return RC_NONE;
	return db_select(db, scope, SQL_VISITOR_BY_LOGIN, &args, out, err);
}

/*
 * A server refuses to compare a column of latin1 or utf8mb3 with what it cannot
 * hold, and anybody may send such a login: then nobody there has it, and the
 * others are asked for without it. RC_NONE: nobody is left to ask for.
 */
static enum rc
read_all(struct db *db, const struct sql_scope *scope, const struct visitor *v,
    size_t n, struct db_rows **out, struct err *err)
{
	unsigned widest = 1;
	enum rc rc;

	for (size_t i = 0; i < n; i++)
		if (width(v[i].cookie->login) > widest)
			widest = width(v[i].cookie->login);
	for (;;) {
		rc = read_users(db, scope, v, n, widest, out, err);
		if (rc != RC_REJECT || widest == 1)
			break;
		widest = widest > 3 ? 3 : 1;
	}
	return rc;
}

/* ---- whom it found ---------------------------------------------------- */

static enum meta
meta_of(const struct sql_scope *scope, struct slice key)
{
	struct slice prefix = slice_str(scope->prefix);
	size_t which;

	for (which = 0; which < NMETA; which++) {
		struct slice rest = key;

		if (which == META_CAPABILITIES) {
			if (!slice_starts(key, prefix))
				continue;
			rest = slice_from(key, prefix.n);
		}
		if (slice_eq_str(rest, meta_keys[which]))
			break;
	}
	return (enum meta)which;
}

/* Core takes the first user of a login and the first row of a key. */
static void
take_row(struct found *f, const struct db_rows *rows, enum meta which)
{
	uint64_t id = db_u64(rows, 0), row = db_u64(rows, 3);

	if (f->id == 0 || id < f->id) {
		memset(f, 0, sizeof *f);
		f->id = id;
		f->pass = db_text(rows, 2);
	}
	if (id != f->id || which == NMETA)
		return;
	if (f->meta[which].row == 0 || row < f->meta[which].row) {
		f->meta[which].row = row;
		f->meta[which].value = db_text(rows, 5);
	}
}

static void
match_rows(const struct sql_scope *scope, struct db_rows *rows,
    const struct visitor *v, size_t n, struct found *found)
{
	while (db_rows_next(rows)) {
		struct slice login = db_text(rows, 1);
		enum meta which = meta_of(scope, db_text(rows, 4));

		for (size_t i = 0; i < n; i++)
			if (slice_eq(v[i].cookie->login, login))
				take_row(&found[i], rows, which);
	}
}

static bool
is_array(struct slice serialized)
{
	const struct php_serialize_limits limits = { .bytes = CAPABILITIES_MAX,
		.elements = CAPABILITIES_MAX,
		.depth = CAPABILITIES_DEPTH };
	struct arena arena = ARENA_INIT(CAPABILITIES_MAX);
	struct php_serialize_walk w;
	struct php_serialize_value value;
	bool is;

	if (!serialized.p || serialized.n > limits.bytes)
		return false;
	php_serialize_walk_init(&w, serialized, &limits, &arena, NULL);
	is = php_serialize_walk_at_array(&w) &&
	     php_serialize_walk_value(&w, &value) == RC_OK &&
	     w.pos == serialized.n;
	arena_clear(&arena);
	return is;
}

/* A copy in the arena; a NULL in the table counts as an empty text, as it does
 * in PHP. */
static bool
keep(struct arena *a, const struct found *f, enum meta which, struct slice *out)
{
	struct slice value = f->meta[which].value;
	char *copy;

	*out = SLICE_NONE;
	if (f->meta[which].row == 0)
		return true;
	copy = arena_strdup(a, value);
	*out = slice_mem(copy, value.n);
	return copy != NULL;
}

/* The signature first: what a stranger sends decides nothing before. */
static bool
is_genuine(const struct visitor_keys *keys, const struct visitor *v,
    const struct found *f, int64_t now, int64_t *session_expires)
{
	return auth_cookie_verify(v->cookie, f->pass, keys->salt) &&
	       f->id > 0 && v->cookie->expires >= now &&
	       auth_session_alive(v->cookie, f->meta[META_SESSIONS].value, now,
		   session_expires);
}

static bool
recognise(const struct visitor_keys *keys, const struct found *f, int64_t now,
    struct visitor *v, struct arena *a)
{
	int64_t session_expires;

	*v = (struct visitor){ .cookie = v->cookie };
	if (!is_genuine(keys, v, f, now, &session_expires))
		return true;
	v->user_id = f->id;
	v->expires = v->cookie->expires < session_expires ? v->cookie->expires
							  : session_expires;
	v->member = is_array(f->meta[META_CAPABILITIES].value);
	v->last_enqueue_row = f->meta[META_LAST_ENQUEUE].row;
	v->pull_staged = f->meta[META_PULL].row > 0;
	v->push_staged = f->meta[META_PUSH].row > 0;
	return keep(a, f, META_CAPABILITIES, &v->capabilities) &&
	       keep(a, f, META_LAST_ENQUEUE, &v->last_enqueue) &&
	       keep(a, f, META_READER, &v->np_reader);
}

enum rc
visitors_recognise(const struct visitor_keys *keys, struct db *db,
    const struct sql_scope *scope, int64_t now, struct visitor *v, size_t n,
    struct arena *a, struct err *err)
{
	struct found found[VISITORS_MAX] = { 0 };
	struct db_rows *rows = NULL;
	enum rc rc;

	assert(n <= VISITORS_MAX);
	for (size_t i = 0; i < n; i++)
		v[i] = (struct visitor){ .cookie = v[i].cookie };
	rc = read_all(db, scope, v, n, &rows, err);
	if (rc == RC_OK)
		match_rows(scope, rows, v, n, found);
	if (rc == RC_NONE)
		rc = RC_OK;
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		if (!recognise(keys, &found[i], now, &v[i], a))
			rc = err_set(
			    err, RC_RETRY, "no memory for %zu visitors", n);
	db_rows_free(rows);
	return rc;
}
