/*
 * Retries: rows of Action Scheduler that Newspack's PHP could run as well, and
 * shows in its list of activity.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "formats/action_schedule.h"
#include "formats/md5.h"
#include "queues/actions_internal.h"
#include "queues/contacts_internal.h"
#include "sql/db_errors.h"

#define RETRIES_ARENA_MAX ((size_t)256 << 20)
#define PRIORITY_DEFAULT 10
/* Less than what a line of the log may have. */
#define LOG_LINE_MAX 4000

/* ---- what waits ---------------------------------------------------------- */

static int
compare(uint64_t user_id, struct slice integration,
    const struct contact_retry *with)
{
	size_t n = integration.n < with->integration.n ? integration.n
						       : with->integration.n;
	int c;

	if (user_id != with->user_id)
		return user_id < with->user_id ? -1 : 1;
	c = n > 0 ? memcmp(integration.p, with->integration.p, n) : 0;
	if (c != 0)
		return c;
	return integration.n < with->integration.n
		   ? -1
		   : integration.n > with->integration.n;
}

static int
by_reader(const void *a, const void *b)
{
	const struct contact_retry *x = a, *y = b;
	int c = compare(x->user_id, x->integration, y);

	return c != 0 ? c : contact_by_u64(&x->action_id, &y->action_id);
}

/* Index of the first one that is not before this reader and integration. */
static size_t
first_of(const struct contact_retry *rows, size_t n, uint64_t user_id,
    struct slice integration)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(user_id, integration, &rows[middle]) > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Is there one but the row `own`? */
static bool
has_other(const struct contact_retry *rows, size_t n, uint64_t user_id,
    struct slice integration, uint64_t own)
{
	for (size_t i = first_of(rows, n, user_id, integration);
	     i < n && compare(user_id, integration, &rows[i]) == 0; i++)
		if (own == 0 || rows[i].action_id != own)
			return true;
	return false;
}

bool
contact_retries_has(const struct contact_retry *rows, size_t n,
    uint64_t user_id, struct slice integration)
{
	return has_other(rows, n, user_id, integration, 0);
}

static enum rc
retries_take(struct db_rows *rows, enum contact_direction d, struct arena *a,
    struct contact_retry **out, size_t *n, struct err *err)
{
	struct contact_retry *found =
	    arena_array(a, db_rows_count(rows) + 1, sizeof *found);
	size_t nfound = 0;

	if (!found)
		return err_set(err, RC_RETRY, "no memory for retries");
	while (db_rows_next(rows)) {
		struct contact_retry *r = &found[nfound];
		enum rc rc =
		    contact_retry_parse(d, db_text(rows, 2), a, r, err);

		if (rc == RC_REJECT)
			continue;
		if (rc != RC_OK)
			return rc;
		r->action_id = db_u64(rows, 0);
		r->running = db_u64(rows, 1) != 0;
		nfound++;
	}
	if (nfound > 0)
		qsort(found, nfound, sizeof *found, by_reader);
	*out = found;
	*n = nfound;
	return RC_OK;
}

static enum rc
retries_select(struct db *db, const struct sql_scope *scope,
    enum contact_direction d, const char *pattern, struct db_rows **rows,
    struct err *err)
{
	struct slice hook = slice_str(contact_retry_hook(d));

	return db_select(db, scope, SQL_CONTACTS_RETRIES,
	    SQL_ARGS(V_TEXT(hook), V_BYTES(hook), V_STR(pattern)), rows, err);
}

/*
 * A push's arguments are nearly always in extended_args, so the column is asked
 * for even by a scope that does not know yet what the tables have.
 */
static enum rc
retries_matching(struct db *db, const struct sql_scope *scope,
    enum contact_direction d, const char *pattern, struct arena *a,
    struct contact_retry **out, size_t *n, struct err *err)
{
	struct sql_scope whole = *scope;
	struct db_rows *rows = NULL;
	enum rc rc;

	*out = NULL;
	*n = 0;
	whole.columns |= DB_COLUMN_EXTENDED_ARGS;
	rc = retries_select(db, &whole, d, pattern, &rows, err);
	if (rc == RC_REJECT && db_errno(db) == DB_ER_BAD_FIELD) {
		whole.columns &= ~(unsigned)DB_COLUMN_EXTENDED_ARGS;
		rc = retries_select(db, &whole, d, pattern, &rows, err);
	}
	if (rc == RC_REJECT && db_errno(db) == DB_ER_NO_SUCH_TABLE)
		return RC_OK;
	if (rc == RC_OK)
		rc = retries_take(rows, d, a, out, n, err);
	db_rows_free(rows);
	return rc;
}

enum rc
contact_retries_read(struct db *db, const struct sql_scope *scope,
    enum contact_direction d, struct arena *a, struct contact_retry **out,
    size_t *n, struct err *err)
{
	return retries_matching(db, scope, d, "%", a, out, n, err);
}

/* ---- one more ------------------------------------------------------------ */

/* Rows about to be inserted together. */
struct adding {
	struct actions_settings s;
	const struct contact_retry *rows;
	bool *added;
	size_t n;
	int64_t now;
	char lock[64];
	bool no_lock; /* its row is not there yet */

	/* Made anew in each try. */
	struct arena arena;
	struct action_logs logs;
	struct contact_retry *known;
	size_t nknown;
	struct slice group; /* integration whose group the last row had */
	uint64_t group_id;
};

/* The id of the first group of the slug; 0: there is none. */
static enum rc
group_find(const struct adding *ad, struct db *db, struct slice slug,
    uint64_t *id, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, &ad->s.scope, SQL_CONTACTS_GROUP,
	    SQL_ARGS(V_TEXT(slug)), &rows, err);

	*id = rc == RC_OK && db_rows_next(rows) ? db_u64(rows, 0) : 0;
	db_rows_free(rows);
	return rc;
}

static enum rc
group_of(
    struct adding *ad, struct db *db, struct slice integration, struct err *err)
{
	struct buf slug = BUF_INIT(256);
	enum rc rc = RC_OK;

	if (ad->group_id != 0 && slice_eq(ad->group, integration))
		return RC_OK;
	buf_put_str(&slug, "newspack-integration-");
	buf_put_slice(&slug, integration);
	if (slug.failed)
		rc = err_set(
		    err, RC_REJECT, "the name of an integration is too long");
	if (rc == RC_OK)
		rc = group_find(ad, db, buf_slice(&slug), &ad->group_id, err);
	if (rc == RC_OK && ad->group_id == 0) {
		rc = db_exec(db, &ad->s.scope, SQL_CONTACTS_GROUP_ADD,
		    SQL_ARGS(
			V_TEXT(buf_slice(&slug)), V_TEXT(buf_slice(&slug))),
		    NULL, err);
		/* Not the insert id: PHP may have been first. */
		if (rc == RC_OK)
			rc = group_find(
			    ad, db, buf_slice(&slug), &ad->group_id, err);
	}
	ad->group = integration;
	buf_clear(&slug);
	return rc;
}

static void
put_md5(struct buf *out, struct slice s)
{
	unsigned char digest[MD5_LEN];
	struct md5 m;

	md5_init(&m);
	md5_put(&m, s);
	md5_end(&m, digest);
	buf_put_hex(out, digest, sizeof digest);
}

static enum rc
insert_one(struct adding *ad, struct db *db, const struct contact_retry *r,
    struct err *err)
{
	int64_t delay_s = contact_retry_delay_s(r->count);
	int64_t when = ad->now + (r->after_s > delay_s ? r->after_s : delay_s);
	struct buf json = BUF_INIT(CONTACT_ARGS_MAX), schedule = BUF_INIT(512),
		   hash = BUF_INIT(64);
	struct new_action row = {
		.hook = slice_str(contact_retry_hook(r->direction)),
		.priority = PRIORITY_DEFAULT,
		.when = when,
	};
	uint64_t id;
	enum rc rc = group_of(ad, db, r->integration, err);

	contact_json_put_retry(&json, r);
	action_schedule_render_simple(when, &schedule);
	put_md5(&hash, buf_slice(&json));
	row.group_id = ad->group_id;
	row.schedule = buf_slice(&schedule);
	row.args = buf_slice(&json);
	if (json.n > CONTACT_ARGS_SHORT) {
		row.args = buf_slice(&hash);
		row.extended_args = buf_slice(&json);
	}
	/* Half of them would run as a retry of nobody. */
	if (rc == RC_OK && row.extended_args.p &&
	    !(ad->s.scope.columns & DB_COLUMN_EXTENDED_ARGS))
		rc = err_set(err, RC_REJECT,
		    "Action Scheduler's tables have no column extended_args");
	if (rc == RC_OK && json.failed)
		rc = err_set(err, RC_REJECT,
		    "the arguments of a retry are over %d bytes",
		    CONTACT_ARGS_MAX);
	if (rc == RC_OK && (schedule.failed || hash.failed))
		rc = err_set(err, RC_RETRY, "no memory for a retry");
	if (rc == RC_OK)
		rc = action_insert(
		    &ad->s, db, &row, ad->now, &ad->logs, &id, err);
	buf_clear(&json);
	buf_clear(&schedule);
	buf_clear(&hash);
	return rc;
}

/* Is the same one among the rows before `i`? */
static bool
is_repeated(const struct adding *ad, size_t i)
{
	const struct contact_retry *r = &ad->rows[i];

	for (size_t k = 0; k < i; k++)
		if (ad->rows[k].direction == r->direction &&
		    compare(r->user_id, r->integration, &ad->rows[k]) == 0)
			return true;
	return false;
}

static enum rc
add_all(
    struct adding *ad, struct db *db, enum contact_direction d, struct err *err)
{
	char pattern[64] = "%";
	enum rc rc;

	/* Where it is one reader's only, the server sorts out the rest. */
	if (ad->n == 1)
		(void)snprintf(pattern, sizeof pattern,
		    "%%user_id%%%" PRIu64 "%%", ad->rows[0].user_id);
	rc = retries_matching(db, &ad->s.scope, d, pattern, &ad->arena,
	    &ad->known, &ad->nknown, err);
	for (size_t i = 0; i < ad->n && rc == RC_OK; i++) {
		const struct contact_retry *r = &ad->rows[i];

		if (r->direction != d ||
		    has_other(ad->known, ad->nknown, r->user_id, r->integration,
			r->action_id) ||
		    is_repeated(ad, i))
			continue;
		rc = insert_one(ad, db, r, err);
		ad->added[i] = true;
	}
	return rc;
}

/*
 * Who adds holds the row of the lock until the commit, and reads what waits
 * after he has it, so two nodes do not add the same. PHP takes no such lock:
 * what it adds in the same moment may be a second row, as between two of its
 * own processes.
 */
static enum rc
add_body(struct db *db, void *arg, struct err *err)
{
	struct adding *ad = arg;
	uint64_t locked;
	enum rc rc = db_exec(db, &ad->s.scope, SQL_CONTACTS_RETRY_LOCK,
	    SQL_ARGS(V_STR(ad->lock)), &locked, err);

	arena_clear(&ad->arena);
	ad->logs = (struct action_logs){ .arena = &ad->arena };
	ad->group_id = 0;
	memset(ad->added, 0, ad->n * sizeof *ad->added);
	ad->no_lock = rc == RC_OK && locked == 0;
	if (ad->no_lock)
		return err_set(err, RC_NONE, "there is no row to be locked");
	for (int d = 0; d < CONTACT_NDIRECTIONS && rc == RC_OK; d++)
		rc = add_all(ad, db, (enum contact_direction)d, err);
	return rc == RC_OK ? action_logs_write(&ad->logs, db, &ad->s, err) : rc;
}

static enum rc
add_chunk(struct adding *ad, struct db *db, struct err *err)
{
	enum rc rc = db_transact(db, add_body, ad, err);

	if (rc == RC_NONE && ad->no_lock) {
		rc = db_exec(db, &ad->s.scope, SQL_LEASES_ADD,
		    SQL_ARGS(V_STR(ad->lock)), NULL, err);
		if (rc == RC_OK)
			rc = db_transact(db, add_body, ad, err);
		if (rc == RC_NONE)
			rc = err_set(err, RC_RETRY, "no row can be locked");
	}
	if (rc != RC_OK)
		memset(ad->added, 0, ad->n * sizeof *ad->added);
	arena_clear(&ad->arena);
	return rc;
}

static enum rc
check(const struct contact_retry *rows, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].count < 1 || rows[i].count > CONTACT_MAX_RETRIES ||
		    rows[i].user_id == 0 || rows[i].integration.n == 0)
			return err_set(err, RC_REJECT,
			    "retry %u of user %" PRIu64 " cannot be",
			    rows[i].count, rows[i].user_id);
	return RC_OK;
}

enum rc
contact_retries_add(struct db *db, struct actions *actions,
    const struct contact_retry *rows, size_t n, int64_t now, bool *added,
    struct err *err)
{
	struct adding ad = { .now = now,
		.arena = ARENA_INIT(RETRIES_ARENA_MAX) };
	enum rc rc = check(rows, n, err);

	memset(added, 0, n * sizeof *added);
	actions_settings_get(actions, &ad.s);
	(void)snprintf(ad.lock, sizeof ad.lock, "contact-retries/%" PRIu32,
	    actions->blog_id);
	for (size_t i = 0; i < n && rc == RC_OK; i += CONTACT_CHUNK) {
		ad.rows = rows + i;
		ad.added = added + i;
		ad.n = n - i < CONTACT_CHUNK ? n - i : CONTACT_CHUNK;
		rc = add_chunk(&ad, db, err);
	}
	return rc;
}

enum rc
contact_retry_add(struct db *db, struct actions *actions,
    const struct contact_retry *r, int64_t now, struct err *err)
{
	bool added;
	enum rc rc = contact_retries_add(db, actions, r, 1, now, &added, err);

	if (rc == RC_OK && !added)
		rc = err_set(err, RC_NONE,
		    "user %" PRIu64 " has a retry for \"%.*s\" already",
		    r->user_id, SLICE_FMT(r->integration));
	return rc;
}

enum rc
contact_action_log(struct db *db, struct actions *actions, uint64_t action_id,
    struct slice message, int64_t now, struct err *err)
{
	struct arena arena = ARENA_INIT((size_t)4 * LOG_LINE_MAX);
	struct action_logs logs = { .arena = &arena };
	struct actions_settings s;
	enum rc rc;

	actions_settings_get(actions, &s);
	message.n = slice_utf8_cut(message, LOG_LINE_MAX);
	action_logs_add(&logs, &s, action_id, now, "%.*s", SLICE_FMT(message));
	rc = action_logs_write(&logs, db, &s, err);
	arena_clear(&arena);
	return rc;
}
