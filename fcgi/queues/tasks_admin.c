/*
 * What a person asks of a queue, and giving it back to the plugin.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "queues/tasks_internal.h"

#define DROP_AT_ONCE 1000
#define HAND_TRIES 5

/* ---- types and counts ---------------------------------------------------- */

struct types {
	struct arena *arena;
	struct slice *types;
	size_t n, room;
};

static enum rc
add_type(struct types *t, struct slice type, struct err *err)
{
	for (size_t i = 0; i < t->n; i++)
		if (slice_eq(t->types[i], type))
			return RC_OK;
	if (t->n == t->room) {
		size_t room = t->room ? 2 * t->room : 16;
		struct slice *more = arena_array(t->arena, room, sizeof *more);

		if (!more)
			return err_set(err, RC_RETRY, "no memory for types");
		if (t->n > 0)
			memcpy(more, t->types, t->n * sizeof *more);
		t->types = more;
		t->room = room;
	}
	t->types[t->n] = arena_slice(t->arena, type);
	if (type.n > 0 && !t->types[t->n].p)
		return err_set(err, RC_RETRY, "no memory for types");
	t->n++;
	return RC_OK;
}

static enum rc
inbox_types(struct types *t, const struct task_intake *in, struct err *err)
{
	struct arena a = ARENA_INIT(CEILING_JSON_ARENA);
	struct task_fields f;
	enum rc rc = RC_OK;

	for (size_t i = in->stale; i < in->list.n && rc == RC_OK; i++) {
		arena_clear(&a);
		rc = task_read(in->list.elements[i], &a, &f, err);
		if (rc == RC_OK)
			rc = add_type(t, f.type, err);
	}
	arena_clear(&a);
	return rc;
}

/* The inbox, without what is unreadable. */
static enum rc
read_inbox(struct task_intake *in, struct task_rows *r, struct err *err)
{
	struct task_options names;
	enum rc rc = task_options_of(in->q->name, &names, err);

	if (rc == RC_OK)
		rc = task_rows_read(in->db, in->scope, &names, NULL, r, err);
	if (rc == RC_OK && r->present) {
		rc = task_intake_read(in, r->value, err);
		if (rc == RC_REJECT) {
			in->list.n = in->stale = 0;
			rc = RC_OK;
		}
	}
	return rc;
}

enum rc
tasks_types(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct arena *a, struct slice **types,
    size_t *n, struct err *err)
{
	struct types t = { .arena = a };
	struct task_rows r = { 0 };
	struct task_intake in;
	struct db_rows *rows = NULL;
	enum rc rc = tasks_admit(db, scope, q, NULL, err);

	task_intake_init(&in, db, scope, q);
	if (rc == RC_OK)
		rc = read_inbox(&in, &r, err);
	if (rc == RC_OK)
		rc = inbox_types(&t, &in, err);
	if (rc == RC_OK)
		rc = db_select(db, scope, SQL_TASKS_TYPES,
		    SQL_ARGS(V_U64(q->blog_id), V_BYTES(q->name)), &rows, err);
	while (rc == RC_OK && db_rows_next(rows))
		rc = add_type(&t, db_text(rows, 0), err);
	*types = t.types;
	*n = rc == RC_OK ? t.n : 0;
	db_rows_free(rows);
	task_intake_clear(&in);
	db_rows_free(r.rows);
	return rc;
}

static void
count_state(struct task_counts *c, struct slice state, uint64_t n)
{
	if (slice_eq_str(state, "delayed"))
		c->delayed += n;
	else if (slice_eq_str(state, "running"))
		c->running += n;
	else
		c->ready += n;
}

static enum rc
one_row(struct db *db, const struct sql_scope *scope, enum sql_id id,
    const struct sql_args *args, uint64_t *first, uint64_t *second,
    struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, id, args, &rows, err);

	if (rc == RC_OK && db_rows_next(rows)) {
		*first = db_u64(rows, 0);
		if (second)
			*second = db_u64(rows, 1);
	}
	db_rows_free(rows);
	return rc;
}

enum rc
tasks_count(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct task_counts *out, struct err *err)
{
	const struct sql_value its[] = { V_U64(q->blog_id), V_BYTES(q->name) };
	const struct sql_args args = { .values = its, .nvalues = 2 };
	struct db_rows *rows = NULL;
	char name[64];
	enum rc rc;

	*out = (struct task_counts){ 0 };
	rc = db_select(db, scope, SQL_TASKS_STATES, &args, &rows, err);
	while (rc == RC_OK && db_rows_next(rows))
		count_state(out, db_text(rows, 0), db_u64(rows, 1));
	db_rows_free(rows);
	if (rc == RC_OK)
		rc = one_row(db, scope, SQL_TASKS_DONE_COUNT, &args,
		    &out->done_hour, &out->done_day, err);
	if (rc == RC_OK)
		rc = one_row(db, scope, SQL_TASKS_DEAD_COUNT, &args, &out->dead,
		    NULL, err);
	task_stale_name(q, name);
	if (rc == RC_OK)
		rc = one_row(db, scope, SQL_COUNTS_GET, SQL_ARGS(V_STR(name)),
		    &out->stale, NULL, err);
	return rc;
}

/* ---- handing back -------------------------------------------------------- */

struct handing {
	const struct sql_scope *scope;
	const struct task_queue *q;
	struct task_options names, lock;
	struct arena arena;
	struct task_intake in; /* what is in the inbox */
	struct slice *elements;
	uint64_t *ids; /* of our own */
	size_t n, own;
};

/* One of ours as the plugin would keep it. */
static enum rc
as_kept(struct handing *h, const struct db_rows *rows, struct slice *out,
    struct err *err)
{
	struct buf text = BUF_INIT(CEILING_SERIALIZED_BYTES);
	enum rc rc = task_put(db_text(rows, 3), (uint32_t)db_u64(rows, 1),
	    db_i64(rows, 2), &text, err);

	if (rc == RC_OK) {
		*out = arena_slice(&h->arena, buf_slice(&text));
		if (!out->p)
			rc = err_set(err, RC_RETRY, "no memory for a task");
	}
	buf_clear(&text);
	return rc;
}

static enum rc
collect(struct handing *h, struct db *db, struct err *err)
{
	struct db_rows *rows = NULL;
	size_t fresh = h->in.list.n - h->in.stale;
	enum rc rc = db_select(db, h->scope, SQL_TASKS_WAITING,
	    SQL_ARGS(V_U64(h->q->blog_id), V_BYTES(h->q->name)), &rows, err);

	h->n = 0;
	if (rc != RC_OK)
		return rc;
	h->elements = arena_array(
	    &h->arena, db_rows_count(rows) + fresh + 1, sizeof *h->elements);
	h->ids =
	    arena_array(&h->arena, db_rows_count(rows) + 1, sizeof *h->ids);
	if (!h->elements || !h->ids) {
		db_rows_free(rows);
		return err_set(err, RC_RETRY, "no memory for tasks");
	}
	while (rc == RC_OK && db_rows_next(rows)) {
		h->ids[h->n] = db_u64(rows, 0);
		rc = as_kept(h, rows, &h->elements[h->n++], err);
	}
	h->own = h->n;
	for (size_t i = h->in.stale; rc == RC_OK && i < h->in.list.n; i++)
		h->elements[h->n++] = h->in.list.elements[i];
	db_rows_free(rows);
	return rc;
}

/* RC_AGAIN: PHP has written meanwhile. */
static enum rc
put_value(struct handing *h, struct db *db, const struct task_rows *r,
    struct slice value, struct err *err)
{
	uint64_t changed = 1;
	enum rc rc;

	if (r->present)
		rc = db_exec(db, h->scope, SQL_TASKS_OPTION_SWAP,
		    SQL_ARGS(
			V_TEXT(value), V_STR(h->names.value), V_TEXT(r->value)),
		    &changed, err);
	else
		rc = db_exec(db, h->scope, SQL_TASKS_OPTION_ADD,
		    SQL_ARGS(V_STR(h->names.value), V_TEXT(value),
			V_STR(r->autoload)),
		    NULL, err);
	if (rc == RC_NONE || (rc == RC_OK && changed == 0))
		return RC_AGAIN;
	return rc;
}

static enum rc
put_transient(struct handing *h, struct db *db, const struct task_rows *r,
    struct slice value, struct err *err)
{
	char until[24];
	enum rc rc;

	(void)snprintf(until, sizeof until, "%" PRId64, r->now + TASK_TTL_S);
	rc = db_exec(db, h->scope, SQL_TASKS_OPTION_PUT,
	    SQL_ARGS(V_STR(h->names.timeout), V_STR(until), V_STR(r->autoload)),
	    NULL, err);
	return rc == RC_OK ? put_value(h, db, r, value, err) : rc;
}

/*
 * Those that were read: the companion may have stored more meanwhile. A list
 * that we remember would be taken for a stale writer's when we come back: the
 * plugin has it by our own hand now.
 */
static enum rc
forget_ours(struct handing *h, struct db *db, struct err *err)
{
	struct sql_args drop = *SQL_ARGS(V_U64(h->q->blog_id));
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < h->own; i += drop.nids) {
		drop.ids = h->ids + i;
		drop.nids =
		    h->own - i < DROP_AT_ONCE ? h->own - i : DROP_AT_ONCE;
		rc = db_exec(db, h->scope, SQL_TASKS_DROP, &drop, NULL, err);
	}
	if (rc == RC_OK)
		rc = db_exec(db, h->scope, SQL_TASKS_SNAPSHOTS_FORGET,
		    SQL_ARGS(V_U64(h->q->blog_id), V_BYTES(h->q->name)), NULL,
		    err);
	return rc;
}

static enum rc
give_lock(struct handing *h, struct db *db, struct err *err)
{
	struct task_rows r = { 0 };
	enum rc rc = task_rows_read(db, h->scope, &h->lock, NULL, &r, err);

	if (rc == RC_OK && r.present && task_lock_is_ours(r.value)) {
		rc = db_exec(db, h->scope, SQL_TASKS_OPTION_REMOVE,
		    SQL_ARGS(V_STR(h->lock.value)), NULL, err);
		if (rc == RC_OK)
			rc = db_exec(db, h->scope, SQL_TASKS_OPTION_REMOVE,
			    SQL_ARGS(V_STR(h->lock.timeout)), NULL, err);
	}
	db_rows_free(r.rows);
	return rc;
}

static enum rc
hand_back(struct handing *h, struct db *db, const struct task_rows *r,
    struct err *err)
{
	struct buf list = BUF_INIT(CEILING_SERIALIZED_BYTES);
	enum rc rc = RC_OK;

	if (r->present)
		rc = task_intake_read(&h->in, r->value, err);
	if (rc == RC_OK)
		rc = collect(h, db, err);
	if (rc == RC_OK && (h->own > 0 || h->in.stale > 0)) {
		rc = task_list_emit(&h->in.list, h->elements, h->n, &list, err);
		if (rc == RC_OK)
			rc = put_transient(h, db, r, buf_slice(&list), err);
	} else if (rc == RC_OK && h->in.list.placeholder) {
		/* Nobody else would know it for an empty list. */
		rc = put_value(h, db, r, SLICE_LIT("a:0:{}"), err);
	}
	if (rc == RC_OK)
		rc = forget_ours(h, db, err);
	if (rc == RC_OK)
		rc = give_lock(h, db, err);
	buf_clear(&list);
	return rc;
}

static enum rc
hand_back_body(struct db *db, void *arg, struct err *err)
{
	struct handing *h = arg;
	struct db_rows *locked = NULL;
	struct task_rows r = { 0 };
	enum rc rc;

	arena_clear(&h->arena);
	h->in.list = (struct task_list){ 0 };
	h->in.stale = 0;
	rc = db_select(db, h->scope, SQL_TASKS_INBOX_LOCK,
	    SQL_ARGS(V_STR(h->names.value)), &locked, err);
	if (rc == RC_OK)
		rc = task_rows_read(db, h->scope, &h->names, NULL, &r, err);
	if (rc == RC_OK)
		rc = hand_back(h, db, &r, err);
	db_rows_free(r.rows);
	db_rows_free(locked);
	return rc;
}

enum rc
tasks_hand_back(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, size_t *n, struct err *err)
{
	struct handing h = { .scope = scope,
		.q = q,
		.arena = ARENA_INIT(2 * CEILING_CRON_ARENA) };
	enum rc rc = task_options_of(q->name, &h.names, err);

	*n = 0;
	task_intake_init(&h.in, db, scope, q);
	if (rc == RC_OK)
		rc = task_options_of(q->lock, &h.lock, err);
	if (rc == RC_OK)
		rc = tasks_admit(db, scope, q, NULL, err);
	if (rc == RC_OK)
		rc = RC_AGAIN;
	for (int i = 0; i < HAND_TRIES && rc == RC_AGAIN; i++)
		rc = db_transact(db, hand_back_body, &h, err);
	if (rc == RC_AGAIN)
		rc = err_set(err, RC_RETRY,
		    "PHP keeps writing the transient %.*s", SLICE_FMT(q->name));
	if (rc == RC_OK)
		*n = h.own;
	task_intake_clear(&h.in);
	arena_clear(&h.arena);
	return rc;
}

/* ---- one more time ------------------------------------------------------- */

struct reviving {
	struct task_intake *in;
	uint64_t id;
};

static enum rc
revive_body(struct db *db, void *arg, struct err *err)
{
	struct reviving *v = arg;
	struct db_rows *now = NULL;
	struct task_arrival a;
	enum rc rc =
	    db_select(db, v->in->scope, SQL_TASKS_NOW, SQL_NO_ARGS, &now, err);

	if (rc == RC_OK && !db_rows_next(now))
		rc =
		    err_set(err, RC_RETRY, "the server does not tell the time");
	if (rc == RC_OK)
		rc =
		    task_arrival_init(&a, db_i64(now, 0), db_text(now, 1), err);
	if (rc == RC_OK)
		rc = task_intake_store(v->in, &a, err);
	if (rc == RC_OK)
		v->id = db_insert_id(db);
	db_rows_free(now);
	return rc;
}

enum rc
tasks_revive(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct slice element, uint64_t *task_id,
    struct err *err)
{
	struct buf fresh = BUF_INIT(CEILING_SERIALIZED_BYTES);
	struct task_intake in;
	struct reviving v = { .in = &in };
	struct slice one;
	enum rc rc = task_put(element, 0, 0, &fresh, err);

	task_intake_init(&in, db, scope, q);
	one = buf_slice(&fresh);
	in.list = (struct task_list){ .elements = &one, .n = 1 };
	if (rc == RC_OK)
		rc = db_transact(db, revive_body, &v, err);
	*task_id = v.id;
	task_intake_clear(&in);
	buf_clear(&fresh);
	return rc;
}

enum rc
tasks_clear(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, size_t *n, struct err *err)
{
	struct task_inbox in;
	uint64_t waiting = 0;
	enum rc rc = tasks_admit(db, scope, q, NULL, err);

	*n = 0;
	if (rc == RC_OK)
		rc = tasks_discard_inbox(db, scope, q, &in, err);
	if (rc == RC_OK)
		rc = db_exec(db, scope, SQL_TASKS_CLEAR,
		    SQL_ARGS(V_U64(q->blog_id), V_BYTES(q->name)), &waiting,
		    err);
	if (rc == RC_OK)
		*n = (size_t)waiting + in.taken;
	return rc;
}
