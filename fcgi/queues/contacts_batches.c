/*
 * Bulk calls that a provider has accepted and not finished: their members are
 * on record before it is asked for the first time, so that a program that
 * starts anew asks on, and sends nothing twice.
 */
#include <inttypes.h>

#include "base/ceilings.h"
#include "base/macros.h"
#include "queues/contacts_internal.h"

static enum rc
render_members(const struct contact_batch *b, struct buf *out, struct err *err)
{
	contact_json_put_members(out, b->members, b->n);
	if (out->failed)
		return err_set(err, RC_REJECT,
		    "the %zu members of a bulk call are over %zu bytes", b->n,
		    out->max);
	return RC_OK;
}

enum rc
contact_batch_store(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, struct contact_batch *b, struct err *err)
{
	struct buf members = BUF_INIT(CEILING_CONTACT_BATCH_BYTES);
	enum rc rc = render_members(b, &members, err);

	if (rc == RC_OK)
		rc = db_exec(db, scope, SQL_CONTACTS_BATCH_STORE,
		    SQL_ARGS(V_U64(blog_id), V_BYTES(b->integration),
			V_TEXT(b->provider), V_BYTES(b->token),
			V_TIME(b->submitted_at), V_TIME(b->ask_at),
			V_U64(b->asked), V_BYTES(buf_slice(&members))),
		    NULL, err);
	if (rc == RC_OK)
		b->batch_id = db_insert_id(db);
	buf_clear(&members);
	return rc;
}

static enum rc
batch_take(const struct db_rows *rows, struct arena *a, struct contact_batch *b,
    struct err *err)
{
	struct err why = ERR_INIT;
	enum rc rc;

	*b = (struct contact_batch){
		.batch_id = db_u64(rows, 0),
		.integration = arena_slice(a, db_text(rows, 1)),
		.provider = arena_slice(a, db_text(rows, 2)),
		.token = arena_slice(a, db_text(rows, 3)),
		.submitted_at = db_i64(rows, 4),
		.ask_at = db_i64(rows, 5),
		.asked = (unsigned)db_u64(rows, 6),
	};
	rc =
	    contact_json_members(db_text(rows, 7), a, &b->members, &b->n, &why);
	if (rc == RC_REJECT) {
		b->members = NULL;
		b->n = 0;
		b->broken = true;
		rc = RC_OK;
	}
	if (rc == RC_OK && a->failed)
		rc = RC_RETRY;
	return rc == RC_OK
		   ? rc
		   : err_set(err, rc, "no memory for bulk call %" PRIu64,
			 b->batch_id);
}

enum rc
contact_batches_read(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, struct arena *a, struct contact_batch **out, size_t *n,
    struct err *err)
{
	struct db_rows *rows = NULL;
	struct contact_batch *found = NULL;
	size_t nfound = 0;
	enum rc rc = db_select(db, scope, SQL_CONTACTS_BATCHES,
	    SQL_ARGS(V_U64(blog_id)), &rows, err);

	*out = NULL;
	*n = 0;
	if (rc != RC_OK)
		return rc;
	found = arena_array(a, db_rows_count(rows) + 1, sizeof *found);
	if (!found)
		rc = err_set(err, RC_RETRY, "no memory for bulk calls");
	while (rc == RC_OK && found && db_rows_next(rows))
		rc = batch_take(rows, a, &found[nfound++], err);
	db_rows_free(rows);
	if (rc == RC_OK) {
		*out = found;
		*n = nfound;
	}
	return rc;
}

enum rc
contact_batch_update(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, const struct contact_batch *b, struct err *err)
{
	struct buf members = BUF_INIT(CEILING_CONTACT_BATCH_BYTES);
	uint64_t affected = 0;
	enum rc rc = render_members(b, &members, err);

	if (rc == RC_OK)
		rc = db_exec(db, scope, SQL_CONTACTS_BATCH_UPDATE,
		    SQL_ARGS(V_TIME(b->ask_at), V_U64(b->asked),
			V_BYTES(buf_slice(&members)), V_U64(blog_id),
			V_U64(b->batch_id)),
		    &affected, err);
	if (rc == RC_OK && affected == 0)
		rc = err_set(err, RC_NONE, "bulk call %" PRIu64 " has ended",
		    b->batch_id);
	buf_clear(&members);
	return rc;
}

enum rc
contact_batch_end(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, uint64_t batch_id, struct err *err)
{
	return db_exec(db, scope, SQL_CONTACTS_BATCH_END,
	    SQL_ARGS(V_U64(blog_id), V_U64(batch_id)), NULL, err);
}
