/* What time does to mails: those that wait, that were lost, that are old. */
#include <inttypes.h>

#include "base/macros.h"
#include "queues/outbox_internal.h"

/* A call does so much of a kind; the rest is for the next one. */
#define TEND_PAGE ((size_t)500)
#define LOST_WORDS                                                             \
	"its sender died while it was sent: it may have arrived already"

static enum rc
by_ids(struct db *db, const struct sql_scope *scope, enum sql_id id,
    const uint64_t *ids, size_t n, uint64_t *affected, struct err *err)
{
	*affected = 0;
	if (n == 0)
		return RC_OK;
	return db_exec(db, scope, id,
	    &(const struct sql_args){ .ids = ids, .nids = n }, affected, err);
}

static enum rc
make_ready(struct db *db, const struct sql_scope *scope, bool *changed,
    struct err *err)
{
	uint64_t ids[OUTBOX_IDS_MAX], affected = 0;
	size_t n = 0;
	enum rc rc = outbox_ids(db, scope, SQL_OUTBOX_LATER,
	    SQL_ARGS(V_U64(OUTBOX_IDS_MAX)), ids, &n, err);

	if (rc == RC_OK)
		rc = by_ids(
		    db, scope, SQL_OUTBOX_MAKE_READY, ids, n, &affected, err);
	if (affected > 0)
		*changed = true;
	return rc;
}

/* ---- claims that nobody holds any more ----------------------------------- */

struct lost {
	const struct sql_scope *scope;
	struct outbox_mail mail;
	uint64_t claim_id;
	bool hold;
	uint32_t wait_s;
};

static enum rc
lose_body(struct db *db, void *arg, struct err *err)
{
	const struct lost *x = arg;
	const struct outbox_mail *m = &x->mail;
	uint64_t affected = 0;
	bool tell = x->hold && slice_starts(m->job, SLICE_LIT("action:"));
	enum rc rc = db_exec(db, x->scope, SQL_OUTBOX_LOSE,
	    SQL_ARGS(V_BYTES(slice_str(x->hold ? "held" : "later")),
		V_BYTES(slice_str(LOST_WORDS)), V_U64(x->hold ? 0 : x->wait_s),
		V_U64(x->hold ? 1 : 0), V_U64(tell ? 0 : 1), V_U64(m->blog_id),
		V_U64(m->mail_id), V_U64(x->claim_id)),
	    &affected, err);

	if (rc == RC_OK && affected > 0 && x->hold)
		rc = outbox_letter(db, x->scope, m, slice_str(LOST_WORDS), err);
	return rc;
}

static enum rc
lose(struct db *db, const struct sql_scope *scope,
    const struct outbox_upkeep *u, const struct db_rows *row, struct err *err)
{
	struct lost x = {
		.scope = scope,
		.mail = {
			.blog_id = (uint32_t)db_u64(row, 0),
			.mail_id = db_u64(row, 1),
			.unknown = (unsigned)db_u64(row, 3),
			.tries = (unsigned)db_u64(row, 4),
			.subject = db_text(row, 5),
			.job = db_text(row, 6),
			.created_at = db_i64(row, 8),
		},
		.claim_id = db_u64(row, 7),
		.wait_s = u->unknown_wait_s,
	};

	x.hold = u->hold_unknown || x.mail.unknown > 0;
	return db_transact(db, lose_body, &x, err);
}

static enum rc
take_back(struct db *db, const struct sql_scope *scope,
    const struct outbox_upkeep *u, bool *changed, struct err *err)
{
	uint64_t ids[OUTBOX_IDS_MAX], affected = 0;
	struct db_rows *rows = NULL;
	size_t n = 0;
	enum rc rc = db_select(db, scope, SQL_OUTBOX_OVERDUE,
	    SQL_ARGS(V_U64(TEND_PAGE)), &rows, err);

	while (rc == RC_OK && db_rows_next(rows)) {
		if (db_u64(rows, 2) != 0)
			rc = lose(db, scope, u, rows, err);
		else if (n < OUTBOX_IDS_MAX)
			ids[n++] = db_u64(rows, 1);
	}
	db_rows_free(rows);
	if (rc == RC_OK)
		rc = by_ids(
		    db, scope, SQL_OUTBOX_TAKE_BACK, ids, n, &affected, err);
	if (affected > 0)
		*changed = true;
	return rc;
}

/* ---- what is old --------------------------------------------------------- */

struct bodies {
	const struct sql_scope *scope;
	const uint64_t *ids;
	size_t n;
};

static enum rc
bodies_body(struct db *db, void *arg, struct err *err)
{
	const struct bodies *x = arg;
	uint64_t affected;
	enum rc rc = by_ids(
	    db, x->scope, SQL_OUTBOX_MARK_BODIES, x->ids, x->n, &affected, err);

	if (rc == RC_OK)
		rc = by_ids(db, x->scope, SQL_OUTBOX_DROP_BODIES, x->ids, x->n,
		    &affected, err);
	return rc;
}

static enum rc
drop_bodies(struct db *db, const struct sql_scope *scope, uint32_t days,
    struct err *err)
{
	uint64_t ids[OUTBOX_IDS_MAX];
	struct bodies x = { .scope = scope, .ids = ids };
	enum rc rc = outbox_ids(db, scope, SQL_OUTBOX_BODIES,
	    SQL_ARGS(V_U64(days), V_U64(TEND_PAGE)), ids, &x.n, err);

	if (rc != RC_OK || x.n == 0)
		return rc;
	return db_transact(db, bodies_body, &x, err);
}

static enum rc
delete_in(struct db *db, const struct sql_scope *scope, const char *state,
    const uint64_t *ids, size_t n, struct err *err)
{
	if (n == 0)
		return RC_OK;
	return db_exec(db, scope, SQL_OUTBOX_DELETE,
	    &(const struct sql_args){ .values = &V_BYTES(slice_str(state)),
		.nvalues = 1,
		.ids = ids,
		.nids = n },
	    NULL, err);
}

static enum rc
delete_old(struct db *db, const struct sql_scope *scope,
    const struct outbox_upkeep *u, struct err *err)
{
	static const enum outbox_end over[] = { OUTBOX_SENT, OUTBOX_DEAD,
		OUTBOX_HELD, OUTBOX_DROPPED };
	uint64_t ids[OUTBOX_IDS_MAX];
	size_t n = 0;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < NELEMS(over) && rc == RC_OK; i++) {
		const char *state = outbox_state_name(over[i], 0);

		rc = outbox_ids(db, scope, SQL_OUTBOX_OLD,
		    SQL_ARGS(V_BYTES(slice_str(state)), V_U64(u->dead_days),
			V_U64(TEND_PAGE)),
		    ids, &n, err);
		if (rc == RC_OK)
			rc = delete_in(db, scope, state, ids, n, err);
	}
	if (rc == RC_OK)
		rc = outbox_ids(db, scope, SQL_OUTBOX_HALF_WRITTEN,
		    SQL_ARGS(V_U64(u->writing_s), V_U64(TEND_PAGE)), ids, &n,
		    err);
	if (rc == RC_OK)
		rc = delete_in(db, scope, "writing", ids, n, err);
	return rc;
}

enum rc
outbox_tend(struct db *db, const struct sql_scope *scope,
    const struct outbox_upkeep *u, bool *changed, struct err *err)
{
	enum rc rc;

	*changed = false;
	rc = make_ready(db, scope, changed, err);
	if (rc == RC_OK)
		rc = take_back(db, scope, u, changed, err);
	if (rc == RC_OK)
		rc = drop_bodies(db, scope, u->dead_bodies_days, err);
	if (rc == RC_OK)
		rc = delete_old(db, scope, u, err);
	if (rc == RC_OK)
		rc = dead_letters_expire(db, scope, u->dead_days, err);
	return rc;
}
