/* How mails end, and who is to be told of it. */
#include <inttypes.h>

#include "base/macros.h"
#include "formats/mail_address.h"
#include "queues/outbox_internal.h"

/* An administrator may look at a relay's words in any number of recipients. */
#define VERDICT_PAGE ((size_t)500)

static const struct end {
	const char *state;
	bool ended; /* nothing happens to it any more by itself */
	bool tried;
	bool letter;
	bool bytes; /* they are kept */
} ends[] = {
	[OUTBOX_BACK] = { "ready", .bytes = true },
	[OUTBOX_SENT] = { "sent", .ended = true, .tried = true },
	[OUTBOX_LATER] = { "later", .tried = true, .bytes = true },
	[OUTBOX_UNKNOWN] = { "later", .tried = true, .bytes = true },
	[OUTBOX_DEAD] = { "dead", .ended = true, .tried = true, .letter = true,
	    .bytes = true },
	[OUTBOX_HELD] = { "held", .ended = true, .tried = true, .letter = true,
	    .bytes = true },
	[OUTBOX_DROPPED] = { "dropped", .ended = true },
};

const char *
outbox_state_name(enum outbox_end end, int64_t wait_s)
{
	if (end == OUTBOX_BACK && wait_s > 0)
		return "later";
	return ends[end].state;
}

static bool
is_action(struct slice job)
{
	return slice_starts(job, SLICE_LIT("action:"));
}

/* Does somebody want to know? One that was let through is nobody's news but an
 * action's, which has a log. */
static bool
to_tell(const struct outbox_mail *m, enum outbox_end end)
{
	if (!ends[end].ended)
		return false;
	if (end == OUTBOX_DEAD || is_action(m->job))
		return true;
	for (size_t i = 0; end == OUTBOX_SENT && i < m->nrecipients; i++)
		if (m->recipients[i].state == OUTBOX_REFUSED)
			return true;
	return false;
}

enum rc
outbox_letter(struct db *db, const struct sql_scope *scope,
    const struct outbox_mail *m, struct slice reason, struct err *err)
{
	struct buf title = BUF_INIT(4096);
	enum rc rc;

	mail_text_put_masked(&title, m->subject);
	rc = dead_letter_add(db, scope,
	    &(const struct dead_letter){
		.blog_id = m->blog_id,
		.kind = DEAD_MAIL,
		.queue = m->job,
		.source = m->mail_id,
		.title = buf_slice(&title),
		.reason = reason,
		.attempts = m->tries + 1,
		.created_at = m->created_at,
	    },
	    err);
	buf_clear(&title);
	return rc;
}

struct step {
	const struct sql_scope *scope;
	uint64_t claim_id;
	const struct outbox_result *done;
	struct slice recipients;
	const struct outbox_mail *next;
	uint32_t term_ms;
	bool begun;
};

static enum rc
settle(struct db *db, const struct step *x, struct err *err)
{
	const struct outbox_result *d = x->done;
	const struct outbox_mail *m = d->mail;
	const struct end *end = &ends[d->end];
	uint64_t wait = d->wait_s > 0 && !end->ended ? (uint64_t)d->wait_s : 0;
	uint64_t affected = 0;
	enum rc rc = db_exec(db, x->scope, SQL_OUTBOX_SETTLE,
	    SQL_ARGS(V_BYTES(slice_str(outbox_state_name(d->end, d->wait_s))),
		V_BYTES(x->recipients),
		V_BYTES(outbox_clip(d->reply, OUTBOX_REPLY_MAX)),
		V_U64(end->tried ? 1 : 0),
		V_U64(d->end == OUTBOX_UNKNOWN ? 1 : 0), V_U64(wait),
		V_U64(end->ended ? 1 : 0), V_U64(to_tell(m, d->end) ? 0 : 1),
		V_U64(m->blog_id), V_U64(m->mail_id), V_U64(x->claim_id)),
	    &affected, err);

	if (rc != RC_OK || affected == 0)
		return rc;
	if (!end->bytes)
		rc = db_exec(db, x->scope, SQL_OUTBOX_DROP_CHUNKS,
		    SQL_ARGS(V_U64(m->blog_id), V_U64(m->mail_id)), NULL, err);
	if (rc == RC_OK && end->letter)
		rc = outbox_letter(db, x->scope, m, d->reply, err);
	return rc;
}

static enum rc
step_body(struct db *db, void *arg, struct err *err)
{
	struct step *x = arg;
	uint64_t affected = 0;
	enum rc rc = RC_OK;

	if (x->done)
		rc = settle(db, x, err);
	if (rc == RC_OK && x->next) {
		rc = db_exec(db, x->scope, SQL_OUTBOX_BEGIN,
		    SQL_ARGS(V_U64((uint64_t)x->term_ms * 1000),
			V_U64(x->next->blog_id), V_U64(x->next->mail_id),
			V_U64(x->claim_id)),
		    &affected, err);
		x->begun = affected > 0;
	}
	return rc;
}

enum rc
outbox_step(struct db *db, const struct sql_scope *scope, uint64_t claim_id,
    const struct outbox_result *done, const struct outbox_mail *next,
    uint32_t term_ms, struct err *err)
{
	struct buf json = BUF_INIT(OUTBOX_RECIPIENTS_BYTES);
	struct step x = { .scope = scope,
		.claim_id = claim_id,
		.done = done,
		.next = next,
		.term_ms = term_ms };
	enum rc rc = RC_OK;

	if (!done && !next)
		return RC_OK;
	if (done)
		outbox_put_recipients(
		    &json, done->mail->recipients, done->mail->nrecipients);
	if (json.failed)
		rc = err_set(err, RC_REJECT,
		    "the recipients of mail %" PRIu64 " are over %zu bytes",
		    done ? done->mail->mail_id : 0, json.max);
	x.recipients = buf_slice(&json);
	if (rc == RC_OK)
		rc = db_transact(db, step_body, &x, err);
	if (rc == RC_OK && next && !x.begun)
		rc = err_set(err, RC_NONE,
		    "mail %" PRIu64 " is not ours any more", next->mail_id);
	buf_clear(&json);
	return rc;
}

/* ---- verdicts ------------------------------------------------------------ */

static enum outbox_end
end_of(struct slice state)
{
	static const enum outbox_end ended[] = { OUTBOX_SENT, OUTBOX_HELD,
		OUTBOX_DROPPED };

	for (size_t i = 0; i < NELEMS(ended); i++)
		if (slice_eq_str(state, ends[ended[i]].state))
			return ended[i];
	return OUTBOX_DEAD;
}

static enum rc
take_verdict(const struct db_rows *rows, struct arena *a,
    struct outbox_verdict *v, struct err *err)
{
	struct outbox_recipient *r = NULL;
	enum rc rc;

	*v = (struct outbox_verdict){
		.blog_id = (uint32_t)db_u64(rows, 0),
		.mail_id = db_u64(rows, 1),
		.job = arena_slice(a, db_text(rows, 2)),
		.end = end_of(db_text(rows, 3)),
		.reply = arena_slice(a, db_text(rows, 4)),
		.subject = arena_slice(a, db_text(rows, 5)),
		.tries = (unsigned)db_u64(rows, 6),
	};
	rc = outbox_parse_recipients(
	    db_text(rows, 7), a, &r, &v->nrecipients, err);
	v->recipients = r;
	if (a->failed)
		return err_set(err, RC_RETRY, "no memory for verdicts");
	return rc == RC_REJECT ? RC_OK : rc;
}

enum rc
outbox_verdicts(struct db *db, const struct sql_scope *scope, size_t max,
    struct arena *a, struct outbox_verdict **out, size_t *n, struct err *err)
{
	struct outbox_verdict *found = NULL;
	struct db_rows *rows = NULL;
	size_t count = 0;
	enum rc rc;

	*out = NULL;
	*n = 0;
	if (max > VERDICT_PAGE)
		max = VERDICT_PAGE;
	rc = db_select(
	    db, scope, SQL_OUTBOX_VERDICTS, SQL_ARGS(V_U64(max)), &rows, err);
	if (rc != RC_OK)
		return rc;
	found = arena_array(a, db_rows_count(rows) + 1, sizeof *found);
	if (!found)
		rc = err_set(err, RC_RETRY, "no memory for verdicts");
	while (rc == RC_OK && found && db_rows_next(rows))
		rc = take_verdict(rows, a, &found[count++], err);
	db_rows_free(rows);
	if (rc == RC_OK) {
		*out = found;
		*n = count;
	}
	return rc;
}

enum rc
outbox_told(struct db *db, const struct sql_scope *scope,
    const uint64_t *mail_ids, size_t n, struct err *err)
{
	if (n == 0)
		return RC_OK;
	return db_exec(db, scope, SQL_OUTBOX_TOLD,
	    &(const struct sql_args){ .ids = mail_ids, .nids = n }, NULL, err);
}
