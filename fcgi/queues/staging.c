#include "queues/staging.h"

#include <assert.h>
#include <stdio.h>

#include "base/arena.h"
#include "formats/php_serialize.h"
#include "queues/contacts.h"

/* A row of capabilities; core's own are some 50 bytes. */
#define CAPABILITIES_MAX ((size_t)64 * 1024)
#define CAPABILITIES_ARENA ((size_t)1 << 20)

/* No time is later; more digits are none. */
#define SECONDS_MAX ((int64_t)1000000000000000)

/* In the order in which they are written. */
enum staging_key {
	KEY_LAST,
	KEY_PUSH,
	KEY_PULL,
};
#define STAGING_NKEYS 3
/* A reader has one row of a key, and two after a race of PHP's. */
#define ROWS_MAX ((size_t)STAGING_MAX * STAGING_NKEYS * 4)
static const char *const keys[STAGING_NKEYS] = {
	[KEY_LAST] = "newspack_contact_cron_last_enqueue",
	[KEY_PUSH] = "newspack_contact_cron_push_pending",
	[KEY_PULL] = "newspack_contact_cron_pull_pending",
};

/* ---- rules -------------------------------------------------------------- */

int64_t
staging_seconds(struct slice value)
{
	int64_t n = 0;
	size_t i = 0;
	bool negative;

	value = slice_trim(value);
	negative = value.n > 0 && value.p[0] == '-';
	if (value.n > 0 && (negative || value.p[0] == '+'))
		i = 1;
	for (; i < value.n && value.p[i] >= '0' && value.p[i] <= '9'; i++) {
		if (n >= SECONDS_MAX)
			break;
		n = n * 10 + (value.p[i] - '0');
	}
	return negative ? -n : n;
}

bool
staging_is_throttled(int64_t last, int64_t now)
{
	return last > now || now - last < CONTACT_THROTTLE_S;
}

static bool
is_one_of(const struct php_serialize_member *m, const char *const *roles)
{
	for (; *roles; roles++)
		if (!m->int_key && slice_eq_str(m->key, *roles))
			return true;
	return false;
}

/* A key counts whatever its value is (WP_User::get_role_caps()). */
static void
roles_of(struct slice capabilities, bool *readers, bool *restricted)
{
	static const char *const of_readers[] = { "subscriber", "customer",
		NULL };
	static const char *const of_others[] = { "administrator", "editor",
		NULL };
	struct arena a = ARENA_INIT(CAPABILITIES_ARENA);
	struct php_serialize_limits limits = PHP_SERIALIZE_LIMITS;
	struct php_serialize_value v;

	*readers = *restricted = false;
	limits.bytes = CAPABILITIES_MAX;
	if (php_serialize_parse(capabilities, &limits, &a, &v, NULL) == RC_OK &&
	    v.type == PHP_SERIALIZE_ARRAY)
		for (size_t i = 0; i < v.nmembers; i++) {
			*readers |= is_one_of(&v.members[i], of_readers);
			*restricted |= is_one_of(&v.members[i], of_others);
		}
	arena_clear(&a);
}

/* A truthy value as usermeta keeps it. */
static bool
is_true(struct slice value)
{
	return value.n > 0 && !slice_eq_str(value, "0") &&
	       !slice_eq_str(value, "b:0;") && !slice_eq_str(value, "a:0:{}");
}

bool
staging_is_reader(struct slice capabilities, struct slice np_reader)
{
	bool readers, restricted;

	roles_of(capabilities, &readers, &restricted);
	return !restricted && (readers || is_true(np_reader));
}

/* ---- writing ------------------------------------------------------------ */

/* Rows of one reader, as the locked read found them. */
struct reader_rows {
	bool exists; /* the user */
	uint64_t first_last;
	bool has[STAGING_NKEYS];
};

struct write {
	const struct sql_scope *scope;
	int64_t now;
	struct staged *readers;
	size_t n;
	struct reader_rows rows[STAGING_MAX];
	uint64_t umeta_ids[ROWS_MAX];
	uint64_t owners[ROWS_MAX];
	size_t nrows;
};

static void
user_ids(const struct write *w, uint64_t ids[STAGING_MAX])
{
	for (size_t i = 0; i < w->n; i++)
		ids[i] = w->readers[i].user_id;
}

/* Its index, or n. */
static size_t
reader_find(const struct write *w, uint64_t user_id)
{
	size_t i;

	for (i = 0; i < w->n && w->readers[i].user_id != user_id; i++)
		continue;
	return i;
}

static enum rc
lock_users(struct write *w, struct db *db, struct err *err)
{
	uint64_t ids[STAGING_MAX];
	struct db_rows *rows = NULL;
	size_t i;
	enum rc rc;

	user_ids(w, ids);
	rc = db_select(db, w->scope, SQL_STAGING_LOCK,
	    &(const struct sql_args){ .ids = ids, .nids = w->n }, &rows, err);
	while (rc == RC_OK && db_rows_next(rows)) {
		i = reader_find(w, db_u64(rows, 0));
		if (i < w->n)
			w->rows[i].exists = true;
	}
	db_rows_free(rows);
	return rc;
}

static enum rc
select_rows(
    const struct write *w, struct db *db, struct db_rows **out, struct err *err)
{
	uint64_t ids[STAGING_MAX];

	user_ids(w, ids);
	return db_select(db, w->scope, SQL_STAGING_ROWS,
	    &(const struct sql_args){ .ids = ids, .nids = w->n }, out, err);
}

/* The column's collation knows no case, PHP does. */
static int
key_of(const struct db_rows *rows)
{
	for (int k = 0; k < STAGING_NKEYS; k++)
		if (slice_eq_str(db_text(rows, 2), keys[k]))
			return k;
	return -1;
}

static void
note_row(struct write *w, const struct db_rows *rows)
{
	uint64_t umeta_id = db_u64(rows, 0), user_id = db_u64(rows, 1);
	size_t i = reader_find(w, user_id);
	int key = key_of(rows);
	struct reader_rows *r;

	if (i == w->n || key < 0)
		return;
	r = &w->rows[i];
	r->has[key] = true;
	/* get_user_meta() takes the oldest of several. */
	if (key == KEY_LAST &&
	    (r->first_last == 0 || umeta_id < r->first_last)) {
		r->first_last = umeta_id;
		w->readers[i].last = staging_seconds(db_text(rows, 3));
	}
	if (w->nrows < ROWS_MAX) {
		w->umeta_ids[w->nrows] = umeta_id;
		w->owners[w->nrows++] = user_id;
	}
}

static enum rc
read_rows(struct write *w, struct db *db, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = select_rows(w, db, &rows, err);

	while (rc == RC_OK && db_rows_next(rows))
		note_row(w, rows);
	db_rows_free(rows);
	return rc;
}

static void
decide(struct write *w)
{
	for (size_t i = 0; i < w->n; i++) {
		struct staged *r = &w->readers[i];

		r->staged =
		    w->rows[i].exists && !staging_is_throttled(r->last, w->now);
		r->stale = r->staged && w->now - r->last >= CONTACT_STALE_S;
	}
}

static enum rc
touch_rows(
    const struct write *w, struct db *db, struct slice value, struct err *err)
{
	uint64_t ids[ROWS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < w->nrows; i++)
		if (w->readers[reader_find(w, w->owners[i])].staged)
			ids[n++] = w->umeta_ids[i];
	if (n == 0)
		return RC_OK;
	return db_exec(db, w->scope, SQL_STAGING_TOUCH,
	    &(const struct sql_args){
		.values = &V_TEXT(value), .nvalues = 1, .ids = ids, .nids = n },
	    NULL, err);
}

/* *first: the id of the first row; 0: there was nothing to add. */
static enum rc
add_rows(const struct write *w, struct db *db, struct slice value,
    uint64_t *first, struct err *err)
{
	struct sql_value tuples[STAGING_MAX * STAGING_NKEYS * 3];
	size_t n = 0;
	enum rc rc;

	*first = 0;
	for (size_t i = 0; i < w->n; i++)
		for (int k = 0; k < STAGING_NKEYS; k++) {
			if (!w->readers[i].staged || w->rows[i].has[k])
				continue;
			tuples[n++] = V_U64(w->readers[i].user_id);
			tuples[n++] = V_STR(keys[k]);
			tuples[n++] = V_TEXT(value);
		}
	if (n == 0)
		return RC_OK;
	rc = db_exec(db, w->scope, SQL_STAGING_ADD,
	    &(const struct sql_args){ .rows = tuples, .nrows = n / 3 }, NULL,
	    err);
	if (rc == RC_OK)
		*first = db_insert_id(db);
	return rc;
}

static bool
wants_pull_row(const struct write *w, size_t i)
{
	return w->readers[i].stale && !w->rows[i].has[KEY_PULL];
}

/* One that PHP added before ours has a lower id than our first, one after it a
 * higher one than ours. */
static enum rc
find_pull_rows(
    const struct write *w, struct db *db, uint64_t first, struct err *err)
{
	struct db_rows *rows = NULL;
	bool any = false;
	enum rc rc;

	for (size_t i = 0; i < w->n; i++)
		any |= wants_pull_row(w, i);
	if (!any)
		return RC_OK;
	rc = select_rows(w, db, &rows, err);
	while (rc == RC_OK && db_rows_next(rows)) {
		uint64_t umeta_id = db_u64(rows, 0);
		size_t i = reader_find(w, db_u64(rows, 1));

		if (i == w->n || !wants_pull_row(w, i) || umeta_id < first ||
		    key_of(rows) != KEY_PULL)
			continue;
		if (w->readers[i].pull_row == 0 ||
		    umeta_id < w->readers[i].pull_row)
			w->readers[i].pull_row = umeta_id;
	}
	db_rows_free(rows);
	return rc;
}

static void
begin(struct write *w)
{
	w->nrows = 0;
	for (size_t i = 0; i < w->n; i++) {
		w->rows[i] = (struct reader_rows){ .exists = false };
		w->readers[i] =
		    (struct staged){ .user_id = w->readers[i].user_id };
	}
}

static enum rc
write_body(struct db *db, void *arg, struct err *err)
{
	struct write *w = arg;
	char text[24];
	struct slice value;
	uint64_t first = 0;
	enum rc rc;

	(void)snprintf(text, sizeof(text), "%lld", (long long)w->now);
	value = slice_str(text);
	begin(w);
	rc = lock_users(w, db, err);
	if (rc == RC_OK)
		rc = read_rows(w, db, err);
	if (rc != RC_OK)
		return rc;
	decide(w);
	rc = touch_rows(w, db, value, err);
	if (rc == RC_OK)
		rc = add_rows(w, db, value, &first, err);
	if (rc == RC_OK)
		rc = find_pull_rows(w, db, first, err);
	return rc;
}

enum rc
staging_write(struct db *db, const struct sql_scope *scope, int64_t now,
    struct staged *readers, size_t n, struct err *err)
{
	struct write w = {
		.scope = scope, .now = now, .readers = readers, .n = n
	};

	assert(n <= STAGING_MAX);
	return n == 0 ? RC_OK : db_transact(db, write_body, &w, err);
}
