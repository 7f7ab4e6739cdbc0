#include "queues/actions_admin.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "queues/actions_internal.h"

#define ADMIN_ARENA_MAX (4u << 20)
#define CANCEL_MAX 1000

/* ---- one row, now ------------------------------------------------------- */

static enum rc
pick_one(const struct actions_settings *s, struct db *db, uint64_t id,
    const struct claim_request *req, struct picks *p, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    db, &s->scope, SQL_CTL_CLAIMABLE, SQL_ARGS(V_U64(id)), &rows, err);

	if (rc == RC_OK && !db_rows_next(rows))
		rc = err_set(err, RC_NONE, "there is no action %" PRIu64, id);
	if (rc == RC_OK && (!slice_eq_str(db_text(rows, 0), "pending") ||
			       db_u64(rows, 1) != 0))
		rc = err_set(err, RC_NONE,
		    "action %" PRIu64 " is not pending and free", id);
	for (int l = 0; rc == RC_OK && l < LANE_COUNT; l++) {
		const struct candidate c = {
			.id = id,
			.hook = db_text(rows, 2),
			.group_id = db_u64(rows, 3),
			.priority = (unsigned)db_u64(rows, 4),
			.due = db_time(rows, 5),
		};

		if (p->lane[l].room == 0 ||
		    req->admit(req->arg, (enum lane)l, &c,
			&p->lane[l].routes[0],
			&p->lane[l].policies[0]) != ADMIT_TAKE)
			continue;
		p->lane[l].ids[0] = id;
		p->lane[l].n = 1;
		break;
	}
	db_rows_free(rows);
	return rc;
}

enum rc
actions_claim_one(struct actions *q, struct db *db, uint64_t id,
    const struct claim_request *req, struct claim_result *res, struct err *err)
{
	struct actions_settings s;
	struct picks p;
	enum rc rc;

	*res = (struct claim_result){ 0 };
	actions_settings_get(q, &s);
	picks_init(&p, req);
	rc = pick_one(&s, db, id, req, &p, err);
	if (rc == RC_OK)
		rc = actions_claim_picks(q, &s, db, &p, res, err);
	/* A row that cannot run here has been said; there is no other. */
	res->unfinished = false;
	picks_clear(&p);
	return rc;
}

/* ---- again -------------------------------------------------------------- */

struct retrying {
	struct actions *q;
	const struct actions_settings *s;
	uint64_t id, fresh;
	struct arena arena;
};

static enum rc
retried_already(
    const struct retrying *r, struct db *db, uint64_t origin, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, &r->s->scope, SQL_CTL_NEWEST_TRY,
	    SQL_ARGS(V_U64(r->q->blog_id), V_U64(origin)), &rows, err);

	if (rc == RC_OK && db_rows_next(rows))
		rc = err_set(err, RC_NONE,
		    "action %" PRIu64
		    " was tried again already; the newest try "
		    "is action %" PRIu64,
		    r->id, db_u64(rows, 0));
	db_rows_free(rows);
	return rc == RC_OK ? RC_NONE : rc;
}

static enum rc
retry_row(struct retrying *r, struct db *db, const struct db_rows *row,
    struct err *err)
{
	struct action_logs logs = { .arena = &r->arena };
	int64_t now = clock_unix(r->q->clock);
	const struct job j = {
		.id = r->id,
		.blog_id = r->q->blog_id,
		.hook = db_text(row, 1),
		.group_id = db_u64(row, 2),
		.priority = (unsigned)db_u64(row, 3),
		.stored_args = db_text(row, 4),
		.extended_args = db_text(row, 5),
		.origin_id = db_is_null(row, 6) ? r->id : db_u64(row, 6),
		.try = db_is_null(row, 7) ? 1 : (uint32_t)db_u64(row, 7),
	};
	enum rc rc = action_retry(r->q, r->s, db, &j, 0, 0, now, &logs, err);

	if (rc == RC_NONE)
		return retried_already(r, db, j.origin_id, err);
	if (rc != RC_OK)
		return rc;
	/* Its "action created" line is the first. */
	r->fresh = logs.rows[0].u64;
	action_logs_add(&logs, r->s, r->id, now,
	    "action tried again as action %" PRIu64 " by an administrator",
	    r->fresh);
	return action_logs_write(&logs, db, r->s, err);
}

static enum rc
retry_body(struct db *db, void *arg, struct err *err)
{
	struct retrying *r = arg;
	struct db_rows *rows = NULL;
	struct slice status;
	enum rc rc;

	arena_clear(&r->arena);
	rc = db_select(db, &r->s->scope, SQL_CTL_RETRY_SOURCE,
	    SQL_ARGS(V_U64(r->q->blog_id), V_U64(r->id)), &rows, err);
	if (rc != RC_OK)
		return rc;
	status = db_rows_next(rows) ? db_text(rows, 0) : SLICE_NONE;
	if (!status.p)
		rc =
		    err_set(err, RC_NONE, "there is no action %" PRIu64, r->id);
	else if (!slice_eq_str(status, "failed") &&
		 !slice_eq_str(status, "canceled"))
		rc = err_set(err, RC_NONE,
		    "action %" PRIu64 " is %.*s; only what failed or was "
		    "canceled is tried again",
		    r->id, SLICE_FMT(status));
	else
		rc = retry_row(r, db, rows, err);
	db_rows_free(rows);
	return rc;
}

enum rc
actions_retry_one(struct actions *q, struct db *db, uint64_t id,
    uint64_t *fresh, struct err *err)
{
	struct actions_settings s;
	struct retrying r = {
		.q = q, .s = &s, .id = id, .arena = ARENA_INIT(ADMIN_ARENA_MAX)
	};
	enum rc rc;

	actions_settings_get(q, &s);
	rc = db_transact(db, retry_body, &r, err);
	*fresh = rc == RC_OK ? r.fresh : 0;
	arena_clear(&r.arena);
	return rc;
}

/* ---- not at all --------------------------------------------------------- */

struct canceling {
	struct actions *q;
	const struct actions_settings *s;
	const uint64_t *ids;
	size_t n;
	uint64_t *found; /* that may be canceled */
	size_t nfound;
	struct arena arena;
};

static enum rc
cancel_body(struct db *db, void *arg, struct err *err)
{
	struct canceling *c = arg;
	struct sql_args args = { .ids = c->ids, .nids = c->n };
	struct action_logs logs = { .arena = &c->arena };
	int64_t now = clock_unix(c->q->clock);
	struct db_rows *rows = NULL;
	enum rc rc;

	arena_clear(&c->arena);
	c->nfound = 0;
	rc = db_select(db, &c->s->scope, SQL_ACTIONS_LOCK, &args, &rows, err);
	if (rc != RC_OK)
		return rc;
	while (c->nfound < c->n && db_rows_next(rows))
		if (slice_eq_str(db_text(rows, 1), "pending") &&
		    db_u64(rows, 2) == 0)
			c->found[c->nfound++] = db_u64(rows, 0);
	db_rows_free(rows);
	if (c->nfound == 0)
		return RC_OK;
	args = (struct sql_args){ .ids = c->found, .nids = c->nfound };
	rc = db_exec(db, &c->s->scope, SQL_CTL_CANCEL, &args, NULL, err);
	for (size_t i = 0; i < c->nfound; i++)
		action_logs_add(
		    &logs, c->s, c->found[i], now, "action canceled");
	return rc == RC_OK ? action_logs_write(&logs, db, c->s, err) : rc;
}

enum rc
actions_cancel(struct actions *q, struct db *db, uint64_t *ids, size_t n,
    size_t *canceled, struct err *err)
{
	uint64_t found[CANCEL_MAX];
	struct actions_settings s;
	struct canceling c = { .q = q,
		.s = &s,
		.ids = ids,
		.n = n,
		.found = found,
		.arena = ARENA_INIT(ADMIN_ARENA_MAX) };
	enum rc rc;

	*canceled = 0;
	if (n > CANCEL_MAX)
		return err_set(err, RC_REJECT, "too many rows at once");
	actions_settings_get(q, &s);
	rc = db_transact(db, cancel_body, &c, err);
	if (rc == RC_OK) {
		*canceled = c.nfound;
		memcpy(ids, found, c.nfound * sizeof *ids);
	}
	arena_clear(&c.arena);
	return rc;
}
