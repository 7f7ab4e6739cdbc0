/*
 * What dead owners left behind.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "queues/cron_events_internal.h"

/* Rows of one transaction. */
#define RESCUE_ROWS 200

static const char died_words[] =
    "its owner died while it ran, so it may have run or not";

/* A row whose owner is not there any more. */
struct orphan {
	uint64_t id, claim;
	bool running, php, overdue, idempotent;
	uint32_t try, strikes;
};

struct rescuing {
	struct cron_events *q;
	const struct cron_settings *s;
	struct orphan *rows; /* of this transaction */
	size_t n;
	size_t changed;
};

static bool
is_live(const struct rescue_request *req, uint64_t claim)
{
	for (size_t i = 0; i < req->nlive; i++)
		if (req->live[i] == claim)
			return true;
	return false;
}

/* Waiting rows go back; what PHP may still be at waits for its deadline. */
static bool
may_rescue(const struct orphan *o)
{
	return !o->running || !o->php || o->overdue;
}

static enum rc
orphans_read(const struct rescuing *r, struct db *db,
    const struct rescue_request *req, struct orphan **out, size_t *n,
    struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, &r->s->scope, SQL_EVENTS_ORPHANS,
	    SQL_ARGS(V_U64(r->q->blog_id), V_U64(r->s->node_id)), &rows, err);

	*n = 0;
	*out = NULL;
	if (rc != RC_OK)
		return rc;
	*out = xcalloc(db_rows_count(rows) + 1, sizeof **out);
	while (db_rows_next(rows)) {
		struct slice executor = db_text(rows, 4);
		struct orphan o = {
			.id = db_u64(rows, 0),
			.claim = db_u64(rows, 1),
			.running = db_u64(rows, 2) != 0,
			.php =
			    slice_eq_str(executor, executor_name(EXECUTOR_PHP)),
			.try = (uint32_t)db_u64(rows, 5),
			.strikes = (uint32_t)db_u64(rows, 6),
			.overdue = db_u64(rows, 7) != 0,
			.idempotent =
			    req->policy(req->arg, db_text(rows, 3))->idempotent,
		};

		if (!is_live(req, o.claim) && may_rescue(&o))
			(*out)[(*n)++] = o;
	}
	db_rows_free(rows);
	return RC_OK;
}

static enum rc
rescue_row(
    struct rescuing *r, struct db *db, const struct orphan *o, struct err *err)
{
	const struct sql_scope *scope = &r->s->scope;
	struct sql_args args = *SQL_ARGS(V_U64(r->q->blog_id));

	r->changed++;
	if (!o->running) {
		args.ids = &o->id;
		args.nids = 1;
		return db_exec(db, scope, SQL_EVENTS_RELEASE, &args, NULL, err);
	}
	if (o->idempotent)
		return db_exec(db, scope, SQL_EVENTS_AGAIN,
		    SQL_ARGS(V_U64(o->try + 1), V_U64(o->strikes), V_I64(0),
			V_BYTES(slice_str(died_words)), V_U64(r->q->blog_id),
			V_U64(o->id)),
		    NULL, err);
	return db_exec(db, scope, SQL_EVENTS_END,
	    SQL_ARGS(V_STR("failed"), V_NULL, V_U64(o->strikes),
		V_BYTES(slice_str(died_words)), V_U64(r->q->blog_id),
		V_U64(o->id)),
	    NULL, err);
}

/* As it was read: same claim, same state. */
static bool
is_still(const struct orphan *o, const struct db_rows *rows)
{
	return db_u64(rows, 2) == o->claim &&
	       slice_eq_str(db_text(rows, 1), o->running ? "running" : "taken");
}

static enum rc
rescue_body(struct db *db, void *arg, struct err *err)
{
	struct rescuing *r = arg;
	struct sql_args args = *SQL_ARGS(V_U64(r->q->blog_id));
	uint64_t ids[RESCUE_ROWS];
	struct db_rows *rows = NULL;
	enum rc rc;

	r->changed = 0;
	for (size_t i = 0; i < r->n; i++)
		ids[i] = r->rows[i].id;
	args.ids = ids;
	args.nids = r->n;
	rc = db_select(db, &r->s->scope, SQL_EVENTS_LOCK, &args, &rows, err);
	while (rc == RC_OK && db_rows_next(rows))
		for (size_t i = 0; i < r->n && rc == RC_OK; i++)
			if (r->rows[i].id == db_u64(rows, 0) &&
			    is_still(&r->rows[i], rows))
				rc = rescue_row(r, db, &r->rows[i], err);
	db_rows_free(rows);
	return rc;
}

enum rc
cron_events_rescue(struct queue *queue, struct db *db,
    const struct rescue_request *req, size_t *rescued, struct err *err)
{
	struct cron_events *q = cron_events_of(queue);
	struct cron_settings s;
	struct rescuing r = { .q = q, .s = &s };
	struct orphan *rows = NULL;
	size_t n = 0;
	enum rc rc;

	*rescued = 0;
	cron_settings_get(q, &s);
	rc = orphans_read(&r, db, req, &rows, &n, err);
	for (size_t i = 0; i < n && rc == RC_OK; i += RESCUE_ROWS) {
		r.rows = &rows[i];
		r.n = n - i < RESCUE_ROWS ? n - i : RESCUE_ROWS;
		rc = db_transact(db, rescue_body, &r, err);
		*rescued += rc == RC_OK ? r.changed : 0;
	}
	if (*rescued > 0) {
		log_event(LOG_WARN, "event.rescued", LOG_U("blog", q->blog_id),
		    LOG_U("rows", *rescued));
		q->waiting_quiet_until = 0;
		q->lock_held = true;
	}
	free(rows);
	cron_settings_put(q, &s);
	return rc;
}

enum rc
cron_events_adopt(struct cron_events *q, struct db *db, const uint64_t *claims,
    size_t n, struct err *err)
{
	struct cron_settings s;
	struct sql_args args;
	enum rc rc;

	if (n == 0)
		return RC_OK;
	cron_settings_get(q, &s);
	args = *SQL_ARGS(V_U64(s.node_id), V_U64(q->blog_id));
	args.ids = claims;
	args.nids = n;
	rc = db_exec(db, &s.scope, SQL_EVENTS_ADOPT, &args, NULL, err);
	cron_settings_put(q, &s);
	return rc;
}
