/*
 * From the inbox into the table (transient-queue.md, §7). With InnoDB both are
 * written in one transaction (R3). Otherwise the tasks are stored first, as
 * pending, and run only once the inbox does not show them any more (R4); a
 * crash between the two loses none and takes none twice, since the list is
 * remembered with them (R2).
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "formats/md5.h"
#include "queues/dead_letters.h"
#include "queues/tasks_internal.h"

#define SWAP_TRIES 5

static void
not_a_list(struct task_inbox *out, const struct err *err)
{
	out->unreadable = true;
	(void)snprintf(out->why, sizeof out->why, "%.127s", err->text);
}

/* The empty list, in the form in which the list was. */
static enum rc
empty_like(const struct task_list *l, struct buf *out, struct err *err)
{
	return task_list_emit(l, NULL, 0, out, err);
}

/* ---- one transaction ----------------------------------------------------- */

struct drain {
	struct db *db;
	const struct sql_scope *scope;
	const struct task_queue *q;
	struct task_options names;
	struct task_inbox *out;
	bool given; /* the list is: no row is read or written */
	bool clear; /* throw it away */
	struct task_intake in;
};

/* The list is read and no longer stale; take it. */
static enum rc
take(struct drain *d, int64_t now, struct slice utc, const char *state,
    struct err *err)
{
	bool discard = d->clear || (d->out->expired && d->q->discard_expired);
	struct task_arrival a;
	enum rc rc = task_arrival_init(&a, now, utc, err);

	a.state = state;
	a.expired = d->out->expired;
	if (rc == RC_OK && !discard)
		rc = task_intake_store(&d->in, &a, err);
	if (rc == RC_OK)
		rc = task_intake_remember(&d->in, err);
	task_intake_report(&d->in, d->out);
	d->out->taken = discard && !d->clear ? 0 : d->in.list.n - d->in.stale;
	return rc;
}

static enum rc
write_empty(struct drain *d, struct err *err)
{
	struct buf empty = BUF_INIT(64);
	enum rc rc = empty_like(&d->in.list, &empty, err);

	if (rc == RC_OK)
		rc = db_exec(d->db, d->scope, SQL_TASKS_OPTION_WRITE,
		    SQL_ARGS(V_TEXT(buf_slice(&empty)), V_STR(d->names.value)),
		    NULL, err);
	buf_clear(&empty);
	return rc;
}

static enum rc
drain_locked(struct drain *d, const struct db_rows *rows, struct err *err)
{
	struct err why = ERR_INIT;
	enum rc rc = task_intake_read(&d->in, db_text(rows, 0), &why);

	if (rc == RC_REJECT) {
		not_a_list(d->out, &why);
		return RC_NONE;
	}
	if (rc != RC_OK)
		return err_set(err, rc, "%s", why.text);
	if (d->in.list.n == 0)
		return RC_NONE;
	rc = take(d, db_i64(rows, 1), db_text(rows, 2), NULL, err);
	return rc == RC_OK ? write_empty(d, err) : rc;
}

static enum rc
drain_body(struct db *db, void *arg, struct err *err)
{
	struct drain *d = arg;
	struct db_rows *rows = NULL;
	struct task_rows r = { 0 };
	enum rc rc = db_select(db, d->scope, SQL_TASKS_INBOX_LOCK,
	    SQL_ARGS(V_STR(d->names.value)), &rows, err);

	/* Gone meanwhile: an open transaction would not keep PHP from adding
	 * it. */
	if (rc == RC_OK && !db_rows_next(rows))
		rc = RC_NONE;
	/* PHP writes the time before the list, which may be new by now. */
	if (rc == RC_OK)
		rc = task_rows_read(db, d->scope, &d->names, NULL, &r, err);
	if (rc == RC_OK) {
		d->out->expired = task_rows_expired(&r);
		rc = drain_locked(d, rows, err);
	}
	db_rows_free(r.rows);
	db_rows_free(rows);
	return rc;
}

/* ---- without one --------------------------------------------------------- */

static enum rc
store_pending(struct db *db, void *arg, struct err *err)
{
	struct drain *d = arg;
	struct db_rows *rows = NULL;
	enum rc rc =
	    db_select(db, d->scope, SQL_TASKS_NOW, SQL_NO_ARGS, &rows, err);

	if (rc == RC_OK && !db_rows_next(rows))
		rc =
		    err_set(err, RC_RETRY, "the server does not tell the time");
	if (rc == RC_OK)
		rc = take(d, db_i64(rows, 0), db_text(rows, 1),
		    d->given ? NULL : "pending", err);
	db_rows_free(rows);
	return rc;
}

/* RC_AGAIN: PHP has written meanwhile. */
static enum rc
swap_once(struct drain *d, const struct task_rows *r, struct err *err)
{
	struct buf empty = BUF_INIT(64);
	struct err why = ERR_INIT;
	uint64_t changed = 0;
	size_t before = d->out->taken;
	enum rc rc = task_intake_read(&d->in, r->value, &why);

	if (rc == RC_REJECT) {
		not_a_list(d->out, &why);
		return RC_NONE;
	}
	if (rc != RC_OK)
		return err_set(err, rc, "%s", why.text);
	if (d->in.list.n == 0)
		return RC_NONE;
	if (d->in.stale < d->in.list.n) {
		rc = db_transact(d->db, store_pending, d, err);
		d->out->taken += before;
	}
	if (rc == RC_OK)
		rc = empty_like(&d->in.list, &empty, err);
	if (rc == RC_OK)
		rc = db_exec(d->db, d->scope, SQL_TASKS_OPTION_SWAP,
		    SQL_ARGS(V_TEXT(buf_slice(&empty)), V_STR(d->names.value),
			V_TEXT(r->value)),
		    &changed, err);
	buf_clear(&empty);
	return rc == RC_OK && changed == 0 ? RC_AGAIN : rc;
}

static enum rc
drain_by_swap(struct drain *d, struct err *err)
{
	enum rc rc = RC_AGAIN;

	for (int i = 0; i < SWAP_TRIES && rc == RC_AGAIN; i++) {
		struct task_rows r;

		rc = task_rows_read(d->db, d->scope, &d->names, NULL, &r, err);
		d->out->expired = rc == RC_OK && task_rows_expired(&r);
		if (rc == RC_OK)
			rc = r.present ? swap_once(d, &r, err) : RC_NONE;
		db_rows_free(r.rows);
	}
	/* What is stored stays pending until the next look. */
	if (rc == RC_AGAIN)
		return RC_OK;
	if (rc == RC_OK || rc == RC_NONE)
		rc = tasks_confirm(d->db, d->scope, d->q, err);
	return rc;
}

/* ---- either -------------------------------------------------------------- */

static enum rc
has_transactions(struct drain *d, bool *yes, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(d->db, d->scope, SQL_EVENTS_OPTIONS_ENGINE,
	    SQL_NO_ARGS, &rows, err);

	*yes = rc == RC_OK && db_rows_next(rows) &&
	       slice_eq_nocase(db_text(rows, 0), SLICE_LIT("InnoDB"));
	db_rows_free(rows);
	return rc;
}

/* Without a lock: is there anything at all? */
static enum rc
look(struct drain *d, bool *empty, struct err *err)
{
	struct err why = ERR_INIT;
	struct task_rows r;
	enum rc rc = task_rows_read(d->db, d->scope, &d->names, NULL, &r, err);

	*empty = true;
	if (rc != RC_OK || !r.present)
		goto out;
	d->out->present = true;
	d->out->expired = task_rows_expired(&r);
	rc = task_intake_parse(&d->in, r.value, &why);
	if (rc == RC_REJECT) {
		not_a_list(d->out, &why);
		rc = RC_OK;
	} else if (rc != RC_OK) {
		rc = err_set(err, rc, "%s", why.text);
	} else {
		*empty = d->in.list.n == 0;
	}
out:
	db_rows_free(r.rows);
	return rc;
}

static enum rc
drain(struct drain *d, struct err *err)
{
	bool empty = true, transactions = true;
	enum rc rc = look(d, &empty, err);

	if (rc == RC_OK && empty)
		return tasks_confirm(d->db, d->scope, d->q, err);
	if (rc == RC_OK)
		rc = has_transactions(d, &transactions, err);
	if (rc == RC_OK)
		rc = transactions ? db_transact(d->db, drain_body, d, err)
				  : drain_by_swap(d, err);
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc
tasks_drain(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct task_inbox *out, struct err *err)
{
	struct drain d = { .db = db, .scope = scope, .q = q, .out = out };
	struct task_inbox admitted = { 0 };
	enum rc rc = task_options_of(q->name, &d.names, err);

	*out = (struct task_inbox){ 0 };
	task_intake_init(&d.in, db, scope, q);
	if (rc == RC_OK)
		rc = tasks_admit(db, scope, q, &admitted, err);
	if (rc == RC_OK)
		rc = drain(&d, err);
	out->taken += admitted.taken;
	task_intake_clear(&d.in);
	return rc;
}

enum rc
tasks_discard_inbox(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct task_inbox *out, struct err *err)
{
	struct drain d = {
		.db = db, .scope = scope, .q = q, .out = out, .clear = true
	};
	enum rc rc = task_options_of(q->name, &d.names, err);

	*out = (struct task_inbox){ 0 };
	task_intake_init(&d.in, db, scope, q);
	if (rc == RC_OK)
		rc = drain(&d, err);
	task_intake_clear(&d.in);
	return rc;
}

/* It is here alone: what we should be able to read, and are not, is kept. */
static enum rc
keep_unreadable(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, uint64_t source, struct slice list,
    const char *why, struct err *err)
{
	const struct dead_letter letter = {
		.blog_id = q->blog_id,
		.kind = DEAD_TASK,
		.queue = q->name,
		.source = source,
		.title = SLICE_LIT("a list of tasks"),
		.reason = slice_str(why),
		.payload = list,
	};

	log_event(LOG_ERR, "tasks.unreadable", LOG_SLICE("queue", q->name),
	    LOG_S("why", why));
	return dead_letter_add(db, scope, &letter, err);
}

/* One of no row, whose letter no other list is to replace. */
static enum rc
keep_unreadable_value(
    const struct drain *d, struct slice list, const char *why, struct err *err)
{
	unsigned char digest[MD5_LEN];
	uint64_t source;
	struct md5 m;

	md5_init(&m);
	md5_put(&m, list);
	md5_end(&m, digest);
	memcpy(&source, digest, sizeof source);
	return keep_unreadable(d->db, d->scope, d->q, source, list, why, err);
}

enum rc
tasks_take_list(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct slice value, struct task_inbox *out,
    struct err *err)
{
	struct drain d = {
		.db = db, .scope = scope, .q = q, .out = out, .given = true
	};
	struct err why = ERR_INIT;
	enum rc rc;

	*out = (struct task_inbox){ .present = true };
	task_intake_init(&d.in, db, scope, q);
	rc = task_intake_read(&d.in, value, &why);
	if (rc == RC_REJECT)
		rc = keep_unreadable_value(&d, value, why.text, err);
	else if (rc != RC_OK)
		rc = err_set(err, rc, "%s", why.text);
	else if (d.in.list.n > 0)
		rc = db_transact(db, store_pending, &d, err);
	task_intake_clear(&d.in);
	return rc;
}

enum rc
tasks_inbox(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct task_inbox *out, struct err *err)
{
	struct task_options names;
	struct task_intake in;
	struct task_rows r = { 0 };
	struct err why = ERR_INIT;
	enum rc rc = task_options_of(q->name, &names, err);

	*out = (struct task_inbox){ 0 };
	task_intake_init(&in, db, scope, q);
	if (rc == RC_OK)
		rc = task_rows_read(db, scope, &names, NULL, &r, err);
	if (rc == RC_OK && r.present) {
		out->present = true;
		out->expired = task_rows_expired(&r);
		rc = task_intake_read(&in, r.value, &why);
		if (rc == RC_REJECT)
			not_a_list(out, &why);
		else if (rc == RC_OK)
			task_intake_report(&in, out);
		else
			rc = err_set(err, rc, "%s", why.text);
	}
	task_intake_clear(&in);
	db_rows_free(r.rows);
	return rc == RC_REJECT && out->unreadable ? RC_OK : rc;
}

enum rc
tasks_confirm(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct err *err)
{
	return db_exec(db, scope, SQL_TASKS_CONFIRM,
	    SQL_ARGS(V_U64(q->blog_id), V_BYTES(q->name)), NULL, err);
}

/* ---- what the companion plugin stored ------------------------------------ */

#define ADMIT_MAX 100

struct admission {
	const struct sql_scope *scope;
	const struct task_queue *q;
	size_t n, taken;
};

static enum rc
admit_one(struct db *db, struct admission *x, const struct db_rows *rows,
    int64_t now, struct err *err)
{
	struct task_arrival a = { .now = now, .utc = db_text(rows, 2) };
	struct slice snapshot = db_text(rows, 1);
	struct task_intake in;
	struct err why = ERR_INIT;
	enum rc rc;

	if (snapshot.n == sizeof a.snapshot)
		memcpy(a.snapshot, snapshot.p, sizeof a.snapshot);
	task_intake_init(&in, db, x->scope, x->q);
	rc = task_intake_parse(&in, db_text(rows, 3), &why);
	if (rc == RC_REJECT)
		rc = keep_unreadable(db, x->scope, x->q, db_u64(rows, 0),
		    db_text(rows, 3), why.text, err);
	else if (rc != RC_OK)
		rc = err_set(err, rc, "%s", why.text);
	else
		rc = task_intake_store(&in, &a, err);
	if (why.rc == RC_OK)
		x->taken += in.list.n;
	task_intake_clear(&in);
	return rc;
}

static enum rc
admit_body(struct db *db, void *arg, struct err *err)
{
	struct admission *x = arg;
	struct db_rows *rows = NULL, *now = NULL;
	struct sql_args drop = *SQL_ARGS(V_U64(x->q->blog_id));
	uint64_t ids[ADMIT_MAX];
	enum rc rc = db_select(db, x->scope, SQL_TASKS_LISTS,
	    SQL_ARGS(V_U64(x->q->blog_id), V_BYTES(x->q->name)), &rows, err);

	x->taken = 0;
	x->n = rc == RC_OK ? db_rows_count(rows) : 0;
	if (rc == RC_OK && x->n == 0)
		rc = RC_NONE;
	if (rc == RC_OK)
		rc = db_select(
		    db, x->scope, SQL_TASKS_NOW, SQL_NO_ARGS, &now, err);
	if (rc == RC_OK && !db_rows_next(now))
		rc =
		    err_set(err, RC_RETRY, "the server does not tell the time");
	while (rc == RC_OK && drop.nids < ADMIT_MAX && db_rows_next(rows)) {
		ids[drop.nids++] = db_u64(rows, 0);
		rc = admit_one(db, x, rows, db_i64(now, 0), err);
	}
	drop.ids = ids;
	if (rc == RC_OK)
		rc = db_exec(db, x->scope, SQL_TASKS_DROP, &drop, NULL, err);
	db_rows_free(rows);
	db_rows_free(now);
	return rc;
}

enum rc
tasks_admit(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct task_inbox *out, struct err *err)
{
	struct admission x = { .scope = scope, .q = q, .n = ADMIT_MAX };
	enum rc rc = RC_OK;

	while (rc == RC_OK && x.n == ADMIT_MAX) {
		rc = db_transact(db, admit_body, &x, err);
		if (rc == RC_OK && out)
			out->taken += x.taken;
	}
	return rc == RC_NONE ? RC_OK : rc;
}
