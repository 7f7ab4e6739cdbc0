/*
 * The plugin's lock transient, at which its own processor stands aside, the
 * inbox' time, and what the companion plugin is told.
 */
#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "formats/php_serialize.h"
#include "queues/tasks_internal.h"

/* As long as a third of the plugin's own 60 s. */
#define RENEW_S 20

/* PHP's value is time(): a fraction tells ours from one of the same second. */
#define FRACTION 9

bool
task_lock_is_ours(struct slice value)
{
	size_t dot = slice_find(value, '.');

	if (dot == 0 || value.n != dot + 1 + FRACTION)
		return false;
	for (size_t i = 0; i < value.n; i++)
		if (i != dot && (value.p[i] < '0' || value.p[i] > '9'))
			return false;
	return true;
}

static enum rc
new_value(int64_t now, char out[24], struct err *err)
{
	uint32_t random;

	if (RAND_bytes((unsigned char *)&random, sizeof random) != 1)
		return err_set(err, RC_RETRY, "no random numbers");
	(void)snprintf(out, 24, "%" PRId64 ".%09" PRIu32, now % 10000000000,
	    random % 1000000000);
	return RC_OK;
}

/* The second at which it was taken, if the value says one. */
static bool
taken_at(struct slice value, int64_t *at)
{
	return slice_i64(slice_mem(value.p, slice_find(value, '.')), at);
}

/* Nobody's: PHP takes it for gone, or a processor died and left it. */
static bool
is_orphan(const struct task_rows *r, uint32_t ttl_s)
{
	int64_t at;

	if (!r->has_timeout || task_rows_expired(r))
		return true;
	return taken_at(r->value, &at) && at + ttl_s < r->now;
}

struct locking {
	const struct sql_scope *scope;
	const struct task_queue *q;
	const struct task_options *names;
	const struct task_rows *r;
	const char *value;
};

/* The value if it is free, by one statement; then its time. */
static enum rc
write_lock(struct db *db, void *arg, struct err *err)
{
	struct locking *l = arg;
	char until[24];
	uint64_t changed = 1;
	enum rc rc;

	(void)snprintf(
	    until, sizeof until, "%" PRId64, l->r->now + l->q->lock_ttl_s);
	if (l->r->present)
		rc = db_exec(db, l->scope, SQL_TASKS_OPTION_SWAP,
		    SQL_ARGS(V_STR(l->value), V_STR(l->names->value),
			V_TEXT(l->r->value)),
		    &changed, err);
	else
		rc = db_exec(db, l->scope, SQL_TASKS_OPTION_ADD,
		    SQL_ARGS(V_STR(l->names->value), V_STR(l->value),
			V_STR(l->r->autoload)),
		    NULL, err);
	if (rc == RC_OK && changed == 0)
		rc = err_set(err, RC_NONE, "the lock was just taken");
	if (rc == RC_OK)
		rc = db_exec(db, l->scope, SQL_TASKS_OPTION_PUT,
		    SQL_ARGS(V_STR(l->names->timeout), V_STR(until),
			V_STR(l->r->autoload)),
		    NULL, err);
	return rc;
}

static enum rc
decide(struct db *db, const struct locking *l, char value[24],
    enum task_lock *out, struct err *err)
{
	const struct task_rows *r = l->r;
	struct locking writing = *l;
	char fresh[24];
	int64_t at;
	bool ours =
	    r->present && value[0] != '\0' && slice_eq_str(r->value, value);
	enum rc rc;

	*out = ours ? TASK_LOCK_OURS : TASK_LOCK_NEW;
	if (ours && !is_orphan(r, l->q->lock_ttl_s) &&
	    taken_at(r->value, &at) && r->now - at < RENEW_S)
		return RC_OK;
	if (!ours && r->present && !is_orphan(r, l->q->lock_ttl_s)) {
		*out = TASK_LOCK_OTHERS;
		return RC_OK;
	}
	rc = new_value(r->now, fresh, err);
	writing.value = fresh;
	if (rc == RC_OK)
		rc = db_transact(db, write_lock, &writing, err);
	if (rc == RC_OK)
		(void)snprintf(value, 24, "%s", fresh);
	if (rc == RC_NONE)
		*out = TASK_LOCK_OTHERS;
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc
tasks_lock(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, char value[24], enum task_lock *out,
    struct err *err)
{
	struct task_options names, queue;
	struct task_rows r = { 0 };
	struct locking l = { .scope = scope, .q = q, .names = &names, .r = &r };
	enum rc rc = task_options_of(q->lock, &names, err);

	*out = TASK_LOCK_OTHERS;
	if (rc == RC_OK)
		rc = task_options_of(q->name, &queue, err);
	if (rc == RC_OK)
		rc = task_rows_read(db, scope, &names, queue.value, &r, err);
	if (rc == RC_OK)
		rc = decide(db, &l, value, out, err);
	db_rows_free(r.rows);
	return rc;
}

static enum rc
unlock_body(struct db *db, void *arg, struct err *err)
{
	struct locking *l = arg;
	uint64_t removed = 0;
	enum rc rc = db_exec(db, l->scope, SQL_TASKS_OPTION_TAKE,
	    SQL_ARGS(V_STR(l->names->value), V_STR(l->value)), &removed, err);

	if (rc == RC_OK && removed > 0)
		rc = db_exec(db, l->scope, SQL_TASKS_OPTION_REMOVE,
		    SQL_ARGS(V_STR(l->names->timeout)), NULL, err);
	return rc;
}

enum rc
tasks_unlock(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, const char *value, struct err *err)
{
	struct task_options names;
	struct locking l = {
		.scope = scope, .q = q, .names = &names, .value = value
	};
	enum rc rc = task_options_of(q->lock, &names, err);

	if (rc == RC_OK && value[0] != '\0')
		rc = db_transact(db, unlock_body, &l, err);
	return rc;
}

/* ---- the inbox' time ----------------------------------------------------- */

/* An expired list is drained first: it would not be known for expired then. An
 * orphan would make the next list expired at birth; PHP may just be about to
 * write the value that belongs to it, so it is moved, not removed. */
enum rc
tasks_keep_inbox(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct err *err)
{
	struct task_options names;
	struct task_rows r = { 0 };
	char until[24];
	enum rc rc = task_options_of(q->name, &names, err);

	if (rc == RC_OK)
		rc = task_rows_read(db, scope, &names, NULL, &r, err);
	if (rc == RC_OK && r.has_timeout && r.until < r.now + TASK_TTL_LOW_S &&
	    !(r.present && task_rows_expired(&r))) {
		(void)snprintf(
		    until, sizeof until, "%" PRId64, r.now + TASK_TTL_S);
		rc = db_exec(db, scope, SQL_TASKS_OPTION_SWAP,
		    SQL_ARGS(
			V_STR(until), V_STR(names.timeout), V_TEXT(r.timeout)),
		    NULL, err);
	}
	db_rows_free(r.rows);
	return rc;
}

/* ---- the companion plugin ------------------------------------------------ */

enum rc
tasks_announce(struct db *db, const struct sql_scope *scope,
    const struct slice *names, size_t n, struct err *err)
{
	struct buf list = BUF_INIT((size_t)1 << 20);
	enum rc rc;

	if (n == 0)
		return db_exec(db, scope, SQL_TASKS_OPTION_REMOVE,
		    SQL_ARGS(V_STR(TASKS_ANNOUNCED)), NULL, err);
	buf_printf(&list, "a:%zu:{", n);
	for (size_t i = 0; i < n; i++) {
		php_serialize_put_int(&list, (int64_t)i);
		php_serialize_put_string(&list, names[i]);
	}
	buf_put_char(&list, '}');
	if (list.failed)
		rc = err_set(err, RC_REJECT, "too many queues");
	else
		/* "yes" is autoloaded to every version of WordPress. */
		rc = db_exec(db, scope, SQL_TASKS_OPTION_PUT,
		    SQL_ARGS(V_STR(TASKS_ANNOUNCED), V_TEXT(buf_slice(&list)),
			V_STR("yes")),
		    NULL, err);
	buf_clear(&list);
	return rc;
}
