#include "queues/cron_lock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* doing_cron/4294967295/<value> */
#define RECORD_NAME_MAX (CRON_LOCK_VALUE_MAX + 32)

/* PHP may be asked every second: not each time under another value. */
#define REUSE_S 5

static const char value_name[] = "_transient_doing_cron";

/* Digits with at most one dot among them; the whole seconds. */
static bool
is_time(struct slice value, int64_t *seconds)
{
	size_t dot = slice_find(value, '.');

	for (size_t i = 0; i < value.n; i++)
		if (i != dot && (value.p[i] < '0' || value.p[i] > '9'))
			return false;
	return slice_i64(slice_mem(value.p, dot), seconds);
}

enum cron_lock_verdict
cron_lock_judge(struct slice value, bool recorded, bool pinged, int64_t now,
    uint32_t timeout_s)
{
	int64_t at;

	/* To PHP it is 0, or throws: in nobody's hand. */
	if (!is_time(value, &at))
		return CRON_LOCK_RENEW;
	if (recorded && at <= now && now - at < CRON_LOCK_REFRESH_S)
		return CRON_LOCK_FRESH;
	if (recorded || pinged || at > now + CRON_LOCK_FUTURE_S ||
	    at + timeout_s < now)
		return CRON_LOCK_RENEW;
	return CRON_LOCK_FOREIGN;
}

void
cron_lock_render(wall_us now, char out[CRON_LOCK_VALUE_MAX])
{
	(void)snprintf(
	    out, CRON_LOCK_VALUE_MAX, "%.22f", (double)now / 1000000.0);
}

void
cron_lock_note_ping(
    struct cron_lock_pings *pings, struct slice key, mono_ms now)
{
	int64_t seconds;

	if (key.n >= CRON_LOCK_VALUE_MAX || !is_time(key, &seconds))
		return;
	memcpy(pings->ping[pings->next].key, key.p, key.n);
	pings->ping[pings->next].key[key.n] = '\0';
	pings->ping[pings->next].at = now;
	pings->next = (pings->next + 1) % CRON_LOCK_PINGS;
}

static bool
ping_lives(const struct cron_lock *l, size_t i)
{
	return l->pings.ping[i].key[0] != '\0' &&
	       clock_mono(l->clock) - l->pings.ping[i].at < CRON_LOCK_PING_MS;
}

static bool
was_pinged(const struct cron_lock *l, struct slice value)
{
	for (size_t i = 0; i < CRON_LOCK_PINGS; i++)
		if (ping_lives(l, i) &&
		    slice_eq_str(value, l->pings.ping[i].key))
			return true;
	return false;
}

static void
record_name(
    const struct cron_lock *l, struct slice value, char out[RECORD_NAME_MAX])
{
	(void)snprintf(out, RECORD_NAME_MAX, "doing_cron/%" PRIu32 "/%.*s",
	    l->blog_id, SLICE_FMT(value));
}

static enum rc
is_recorded(const struct cron_lock *l, struct db *db, struct slice value,
    bool *recorded, struct err *err)
{
	char name[RECORD_NAME_MAX];
	struct db_rows *rows = NULL;
	enum rc rc;

	*recorded = false;
	if (value.n >= CRON_LOCK_VALUE_MAX)
		return RC_OK;
	record_name(l, value, name);
	rc = db_select(db, &l->scope, SQL_CRON_LOCK_RECORD_OF,
	    SQL_ARGS(V_STR(name)), &rows, err);
	if (rc == RC_OK)
		*recorded = db_rows_next(rows);
	db_rows_free(rows);
	return rc;
}

/* The next value of ours, on record. */
static enum rc
record_new(const struct cron_lock *l, struct db *db,
    char value[CRON_LOCK_VALUE_MAX], struct err *err)
{
	char name[RECORD_NAME_MAX];

	cron_lock_render(clock_wall(l->clock), value);
	record_name(l, slice_str(value), name);
	return db_exec(db, &l->scope, SQL_CRON_LOCK_RECORD,
	    SQL_ARGS(V_STR(name), V_U64(l->node_id)), NULL, err);
}

struct stored {
	bool there, timeout, expired;
	struct db_rows *rows;
	struct slice text;
};

/* What is stored; `rows` lend the text and are the caller's to free. */
static enum rc
read_stored(
    const struct cron_lock *l, struct db *db, struct stored *s, struct err *err)
{
	int64_t now = clock_unix(l->clock), until;
	enum rc rc;

	*s = (struct stored){ 0 };
	rc = db_select(
	    db, &l->scope, SQL_CRON_LOCK_READ, SQL_NO_ARGS, &s->rows, err);
	while (rc == RC_OK && db_rows_next(s->rows)) {
		if (slice_eq_nocase(
			db_text(s->rows, 0), slice_str(value_name))) {
			s->there = true;
			s->text = db_text(s->rows, 1);
		} else {
			s->timeout = true;
			s->expired = slice_i64(db_text(s->rows, 1), &until) &&
				     until < now;
		}
	}
	return rc;
}

/* Write a value of ours over what is stored, if it still is. */
static enum rc
write_new(const struct cron_lock *l, struct db *db, const struct stored *s,
    struct err *err)
{
	char value[CRON_LOCK_VALUE_MAX];
	uint64_t changed = 0;
	enum rc rc = record_new(l, db, value, err);

	if (rc == RC_OK && s->there) {
		rc = db_exec(db, &l->scope, SQL_CRON_LOCK_SWAP,
		    SQL_ARGS(V_STR(value), V_TEXT(s->text)), &changed, err);
		if (rc == RC_OK && changed == 0)
			rc = err_set(err, RC_NONE, "the lock was just taken");
	} else if (rc == RC_OK) {
		rc = db_exec(db, &l->scope, SQL_CRON_LOCK_ADD,
		    SQL_ARGS(V_STR(value)), NULL, err);
	}
	if (rc == RC_OK && s->timeout)
		rc = db_exec(db, &l->scope, SQL_CRON_LOCK_REMOVE_TIMEOUT,
		    SQL_NO_ARGS, NULL, err);
	return rc;
}

enum rc
cron_lock_take(const struct cron_lock *l, struct db *db, struct err *err)
{
	enum cron_lock_verdict verdict = CRON_LOCK_RENEW;
	bool recorded = false;
	struct stored s;
	enum rc rc = read_stored(l, db, &s, err);

	if (rc == RC_OK && s.there && !s.expired) {
		rc = is_recorded(l, db, s.text, &recorded, err);
		verdict = cron_lock_judge(s.text, recorded,
		    was_pinged(l, s.text), clock_unix(l->clock), l->timeout_s);
	}
	if (rc == RC_OK && verdict == CRON_LOCK_FOREIGN)
		rc = err_set(err, RC_NONE, "a PHP runner holds the lock");
	else if (rc == RC_OK && verdict == CRON_LOCK_RENEW)
		rc = write_new(l, db, &s, err);
	db_rows_free(s.rows);
	return rc;
}

enum rc
cron_lock_give(const struct cron_lock *l, struct db *db, struct err *err)
{
	bool recorded = false;
	uint64_t removed = 0;
	struct stored s;
	enum rc rc = read_stored(l, db, &s, err);

	if (rc == RC_OK && s.there)
		rc = is_recorded(l, db, s.text, &recorded, err);
	if (rc == RC_OK && recorded)
		rc = db_exec(db, &l->scope, SQL_CRON_LOCK_REMOVE,
		    SQL_ARGS(V_TEXT(s.text)), &removed, err);
	if (rc == RC_OK && removed > 0 && s.timeout)
		rc = db_exec(db, &l->scope, SQL_CRON_LOCK_REMOVE_TIMEOUT,
		    SQL_NO_ARGS, NULL, err);
	db_rows_free(s.rows);
	return rc == RC_OK && removed == 0 ? RC_NONE : rc;
}

/* Values are digits and a dot: nothing to escape. */
static void
put_json_value(struct buf *out, struct slice value, bool first)
{
	buf_put_str(out, first ? "\"" : ",\"");
	buf_put_slice(out, value);
	buf_put_char(out, '"');
}

/* The newest value on record, if it will do for another use. */
static bool
is_new(const struct cron_lock *l, struct slice value)
{
	int64_t now = clock_unix(l->clock), at;

	return is_time(value, &at) && at <= now && now - at < REUSE_S;
}

enum rc
cron_lock_json(
    const struct cron_lock *l, struct db *db, struct buf *out, struct err *err)
{
	char value[CRON_LOCK_VALUE_MAX], name[RECORD_NAME_MAX];
	struct db_rows *rows = NULL;
	struct slice old = SLICE_NONE, use;
	int64_t seconds;
	bool more;
	enum rc rc;

	record_name(l, SLICE_LIT("%"), name);
	rc = db_select(db, &l->scope, SQL_CRON_LOCK_RECORDED,
	    SQL_ARGS(V_STR(name)), &rows, err);
	if (rc != RC_OK)
		return rc;
	more = db_rows_next(rows);
	if (more)
		old = slice_from(db_text(rows, 0), strlen(name) - 1);
	use = old;
	if (!is_new(l, old)) {
		rc = record_new(l, db, value, err);
		use = slice_str(value);
	}
	buf_put_str(out, "\"value\":");
	put_json_value(out, use, true);
	buf_put_str(out, ",\"ours\":[");
	put_json_value(out, use, true);
	for (; more; more = db_rows_next(rows)) {
		old = slice_from(db_text(rows, 0), strlen(name) - 1);
		if (is_time(old, &seconds) && !slice_eq(old, use))
			put_json_value(out, old, false);
	}
	for (size_t i = 0; i < CRON_LOCK_PINGS; i++)
		if (ping_lives(l, i))
			put_json_value(
			    out, slice_str(l->pings.ping[i].key), false);
	buf_printf(out, "],\"stale_s\":%" PRIu32, l->timeout_s);
	db_rows_free(rows);
	return rc;
}
