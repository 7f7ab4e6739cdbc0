/* Mails of our own on their way into the outbox, and out of it to a sender. */
#include "queues/outbox.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/macros.h"
#include "formats/seal.h"
#include "queues/outbox_internal.h"

/* Of bytes that a statement says in hexadecimal: it stays below 1 MiB, the
 * smallest max_allowed_packet in use. */
#define PORTION ((size_t)384 * 1024)
/* A claim that others are quicker than is tried so often. */
#define CLAIM_ROUNDS 5
#define CLAIM_MAX ((size_t)100)

_Static_assert(PORTION <= OUTBOX_CHUNK, "a portion is a chunk");

struct slice
outbox_clip(struct slice s, size_t max)
{
	if (!s.p)
		return SLICE_LIT("");
	s.n = slice_utf8_cut(s, max);
	return s;
}

/* "mail JOB ORDINAL CHUNK", as php/mail.php has it. */
static struct slice
seal_context(char out[128], struct slice job, unsigned ordinal, uint32_t chunk)
{
	int n = snprintf(out, 128, "mail %.*s %u %" PRIu32,
	    (int)outbox_clip(job, OUTBOX_JOB_MAX).n, job.p ? job.p : "",
	    ordinal, chunk);

	return slice_mem(out, (size_t)n);
}

/* ---- storing ------------------------------------------------------------- */

struct add {
	const struct sql_scope *scope;
	const struct outbox_new *m;
	const unsigned char *key;
	struct slice recipients; /* JSON */
	uint64_t mail_id;
};

static enum rc
insert(struct db *db, struct add *x, struct err *err)
{
	const struct outbox_new *m = x->m;
	enum rc rc = db_exec(db, x->scope, SQL_OUTBOX_INSERT,
	    SQL_ARGS(V_U64(m->blog_id), V_U64((uint64_t)m->priority),
		V_BYTES(m->job), V_U64(m->ordinal),
		V_BYTES(slice_mem((const char *)m->digest, sizeof m->digest)),
		V_BYTES(outbox_clip(m->message_id, OUTBOX_TEXT_MAX)),
		V_BYTES(m->sender), V_BYTES(x->recipients),
		V_BYTES(outbox_clip(m->subject, OUTBOX_TEXT_MAX)),
		V_U64(x->key ? 1 : 0)),
	    NULL, err);

	if (rc == RC_OK)
		x->mail_id = db_insert_id(db);
	return rc;
}

static enum rc
insert_chunks(struct db *db, const struct add *x, struct err *err)
{
	const struct outbox_new *m = x->m;
	struct buf sealed = BUF_INIT(PORTION + 1024);
	enum rc rc = RC_OK;

	for (uint32_t i = 0; rc == RC_OK && i * PORTION < m->bytes.n; i++) {
		struct slice part = slice_from(m->bytes, i * PORTION);
		char context[128];

		if (part.n > PORTION)
			part.n = PORTION;
		buf_reset(&sealed);
		if (x->key)
			rc = seal(&sealed, part,
			    seal_context(context, m->job, m->ordinal, i),
			    x->key, err);
		if (rc == RC_OK)
			rc = db_exec(db, x->scope, SQL_OUTBOX_INSERT_CHUNK,
			    SQL_ARGS(V_U64(i),
				V_BYTES(x->key ? buf_slice(&sealed) : part),
				V_U64(m->blog_id), V_U64(x->mail_id)),
			    NULL, err);
	}
	buf_clear(&sealed);
	return rc;
}

/* The same is there: RC_OK; RC_NONE: it was half a mail, and is gone now. */
static enum rc
meet_former(struct db *db, struct add *x, struct err *err)
{
	const struct outbox_new *m = x->m;
	struct db_rows *rows = NULL;
	bool writing = false, stale = false;
	enum rc rc = db_select(db, x->scope, SQL_OUTBOX_FIND,
	    SQL_ARGS(V_U64(m->blog_id), V_BYTES(m->job), V_U64(m->ordinal),
		V_BYTES(slice_mem((const char *)m->digest, sizeof m->digest))),
	    &rows, err);

	if (rc == RC_OK && !db_rows_next(rows)) {
		rc = err_set(err, RC_NONE, "the mail is gone");
	} else if (rc == RC_OK) {
		x->mail_id = db_u64(rows, 0);
		writing = slice_eq_str(db_text(rows, 1), "writing");
		stale = db_u64(rows, 2) != 0;
	}
	db_rows_free(rows);
	if (rc != RC_OK || !writing)
		return rc;
	if (!stale)
		return err_set(
		    err, RC_RETRY, "another process is storing this mail");
	rc = db_exec(db, x->scope, SQL_OUTBOX_FORGET,
	    SQL_ARGS(V_U64(m->blog_id), V_U64(x->mail_id)), NULL, err);
	return rc == RC_OK ? err_set(err, RC_NONE, "half a mail was forgotten")
			   : rc;
}

static enum rc
add_body(struct db *db, void *arg, struct err *err)
{
	struct add *x = arg;
	enum rc rc = insert(db, x, err);

	if (rc == RC_NONE) {
		rc = meet_former(db, x, err);
		if (rc != RC_NONE)
			return rc;
		rc = insert(db, x, err);
	}
	if (rc == RC_OK)
		rc = insert_chunks(db, x, err);
	if (rc == RC_OK)
		rc = db_exec(db, x->scope, SQL_OUTBOX_READY,
		    SQL_ARGS(V_U64(x->m->bytes.n), V_U64(x->m->blog_id),
			V_U64(x->mail_id)),
		    NULL, err);
	return rc;
}

static enum rc
check_new(const struct outbox_new *m, struct err *err)
{
	if (m->nrecipients == 0)
		return err_set(err, RC_REJECT, "the mail has no recipient");
	if (m->bytes.n == 0 || m->bytes.n > OUTBOX_MAIL_MAX)
		return err_set(err, RC_REJECT,
		    "a mail of %zu bytes cannot be stored", m->bytes.n);
	if (m->job.n > OUTBOX_JOB_MAX || m->sender.n > OUTBOX_SENDER_MAX ||
	    m->ordinal > UINT16_MAX)
		return err_set(
		    err, RC_REJECT, "the mail's job or sender is too long");
	return RC_OK;
}

enum rc
outbox_add(struct db *db, const struct sql_scope *scope,
    const struct outbox_new *m, const unsigned char *key, uint64_t *mail_id,
    struct err *err)
{
	struct buf json = BUF_INIT(OUTBOX_RECIPIENTS_BYTES);
	struct arena a = ARENA_INIT(OUTBOX_RECIPIENTS_BYTES);
	struct outbox_recipient *r = NULL;
	struct add x = { .scope = scope, .m = m, .key = key };
	enum rc rc = check_new(m, err);

	if (rc != RC_OK)
		return rc;
	r = arena_array(&a, m->nrecipients, sizeof *r);
	for (size_t i = 0; r && i < m->nrecipients; i++)
		r[i].to = m->recipients[i];
	if (r)
		outbox_put_recipients(&json, r, m->nrecipients);
	if (!r || json.failed) {
		rc = err_set(err, RC_REJECT, "%zu recipients are too many",
		    m->nrecipients);
		goto out;
	}
	x.recipients = buf_slice(&json);
	rc = db_transact(db, add_body, &x, err);
	if (rc == RC_OK && mail_id)
		*mail_id = x.mail_id;
out:
	buf_clear(&json);
	arena_clear(&a);
	return rc;
}

/* ---- claiming ------------------------------------------------------------ */

enum rc
outbox_ids(struct db *db, const struct sql_scope *scope, enum sql_id id,
    const struct sql_args *args, uint64_t *out, size_t *n, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, id, args, &rows, err);

	*n = 0;
	while (rc == RC_OK && *n < OUTBOX_IDS_MAX && db_rows_next(rows))
		out[(*n)++] = db_u64(rows, 0);
	db_rows_free(rows);
	return rc;
}

enum rc
outbox_due(
    struct db *db, const struct sql_scope *scope, bool *due, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc =
	    db_select(db, scope, SQL_OUTBOX_DUE, SQL_NO_ARGS, &rows, err);

	*due = rc == RC_OK && db_rows_next(rows);
	db_rows_free(rows);
	return rc;
}

static enum rc
take_mail(const struct db_rows *rows, struct arena *a, struct outbox_mail *m,
    struct err *err)
{
	enum rc rc;

	*m = (struct outbox_mail){
		.blog_id = (uint32_t)db_u64(rows, 0),
		.mail_id = db_u64(rows, 1),
		.priority = (enum outbox_priority)db_u64(rows, 2),
		.job = arena_slice(a, db_text(rows, 3)),
		.ordinal = (unsigned)db_u64(rows, 4),
		.message_id = arena_slice(a, db_text(rows, 5)),
		.sender = arena_slice(a, db_text(rows, 6)),
		.subject = arena_slice(a, db_text(rows, 7)),
		.size = db_u64(rows, 9),
		.sealed = db_u64(rows, 10) != 0,
		.created_at = db_i64(rows, 11),
		.tries = (unsigned)db_u64(rows, 12),
		.unknown = (unsigned)db_u64(rows, 13),
	};
	rc = outbox_parse_recipients(
	    db_text(rows, 8), a, &m->recipients, &m->nrecipients, err);
	if (rc == RC_REJECT) {
		m->broken = true;
		rc = RC_OK;
	}
	if (rc == RC_OK && a->failed)
		rc = err_set(err, RC_RETRY, "no memory for claimed mails");
	return rc;
}

/* What of `ids` became ours; others may have been quicker with some. */
static enum rc
read_claimed(struct db *db, const struct sql_scope *scope, uint64_t claim_id,
    const uint64_t *ids, size_t nids, struct arena *a, struct outbox_mail **out,
    size_t *n, struct err *err)
{
	const struct sql_args args = { .values = &V_U64(claim_id),
		.nvalues = 1,
		.ids = ids,
		.nids = nids };
	struct db_rows *rows = NULL;
	struct outbox_mail *found = NULL;
	size_t count = 0;
	enum rc rc =
	    db_select(db, scope, SQL_OUTBOX_CLAIMED, &args, &rows, err);

	if (rc != RC_OK)
		return rc;
	found = arena_array(a, db_rows_count(rows) + 1, sizeof *found);
	if (!found)
		rc = err_set(err, RC_RETRY, "no memory for claimed mails");
	while (rc == RC_OK && found && db_rows_next(rows))
		rc = take_mail(rows, a, &found[count++], err);
	db_rows_free(rows);
	if (rc == RC_OK) {
		*out = found;
		*n = count;
	}
	return rc;
}

enum rc
outbox_claim(struct db *db, const struct sql_scope *scope, uint64_t claim_id,
    enum outbox_priority lowest, size_t max, uint32_t term_ms, struct arena *a,
    struct outbox_mail **out, size_t *n, struct err *err)
{
	uint64_t ids[OUTBOX_IDS_MAX], affected = 0;
	size_t nids = 0;
	enum rc rc = RC_OK;

	*out = NULL;
	*n = 0;
	if (max > CLAIM_MAX)
		max = CLAIM_MAX;
	for (int i = 0; i < CLAIM_ROUNDS && rc == RC_OK && affected == 0; i++) {
		rc = outbox_ids(db, scope, SQL_OUTBOX_FIRST,
		    SQL_ARGS(V_U64((uint64_t)lowest), V_U64(max)), ids, &nids,
		    err);
		if (rc != RC_OK || nids == 0)
			return rc;
		rc = db_exec(db, scope, SQL_OUTBOX_CLAIM,
		    &(const struct sql_args){
			.values = (const struct sql_value[]){ V_U64(claim_id),
			    V_U64((uint64_t)term_ms * 1000) },
			.nvalues = 2,
			.ids = ids,
			.nids = nids },
		    &affected, err);
	}
	if (rc != RC_OK || affected == 0)
		return rc;
	return read_claimed(db, scope, claim_id, ids, nids, a, out, n, err);
}

/* By key, as all writers do it: none waits for another in a circle. */
static enum rc
claim_ids(struct db *db, const struct sql_scope *scope, uint64_t claim_id,
    uint64_t *ids, size_t *n, struct err *err)
{
	return outbox_ids(db, scope, SQL_OUTBOX_CLAIM_IDS,
	    SQL_ARGS(V_U64(claim_id)), ids, n, err);
}

enum rc
outbox_extend(struct db *db, const struct sql_scope *scope, uint64_t claim_id,
    uint32_t term_ms, struct err *err)
{
	uint64_t ids[OUTBOX_IDS_MAX], affected = 0;
	size_t n = 0;
	enum rc rc = claim_ids(db, scope, claim_id, ids, &n, err);

	if (rc == RC_OK && n > 0)
		rc = db_exec(db, scope, SQL_OUTBOX_EXTEND,
		    &(const struct sql_args){
			.values =
			    (const struct sql_value[]){
				V_U64((uint64_t)term_ms * 1000),
				V_U64(claim_id) },
			.nvalues = 2,
			.ids = ids,
			.nids = n },
		    &affected, err);
	if (rc == RC_OK && affected == 0)
		rc = err_set(err, RC_NONE, "the claimed mails were taken back");
	return rc;
}

enum rc
outbox_release(struct db *db, const struct sql_scope *scope, uint64_t claim_id,
    struct err *err)
{
	uint64_t ids[OUTBOX_IDS_MAX];
	size_t n = 0;
	enum rc rc = claim_ids(db, scope, claim_id, ids, &n, err);

	if (rc != RC_OK || n == 0)
		return rc;
	return db_exec(db, scope, SQL_OUTBOX_RELEASE,
	    &(const struct sql_args){ .values = &V_U64(claim_id),
		.nvalues = 1,
		.ids = ids,
		.nids = n },
	    NULL, err);
}

enum rc
outbox_chunk(struct db *db, const struct sql_scope *scope,
    const struct outbox_mail *m, uint32_t chunk, const unsigned char *key,
    struct buf *out, struct err *err)
{
	struct db_rows *rows = NULL;
	char context[128];
	enum rc rc = db_select(db, scope, SQL_OUTBOX_CHUNK,
	    SQL_ARGS(V_U64(m->blog_id), V_U64(m->mail_id), V_U64(chunk)), &rows,
	    err);

	if (rc != RC_OK)
		return rc;
	if (!db_rows_next(rows)) {
		rc = err_set(
		    err, RC_NONE, "the mail has no chunk %" PRIu32, chunk);
	} else if (!m->sealed) {
		buf_put_slice(out, db_text(rows, 0));
		if (out->failed)
			rc = err_set(err, RC_REJECT,
			    "chunk %" PRIu32 " is over %zu bytes", chunk,
			    out->max);
	} else if (!key) {
		rc = err_set(err, RC_REJECT,
		    "the mail is sealed and outbox_key_file is not set");
	} else {
		rc = unseal(out, db_text(rows, 0),
		    seal_context(context, m->job, m->ordinal, chunk), key, err);
	}
	db_rows_free(rows);
	return rc;
}
