/*
 * What is written to the plugin's rows, each from the status it had only.
 */
#include <inttypes.h>
#include <string.h>

#include "base/macros.h"
#include "formats/mail_address.h"
#include "queues/dead_letters.h"
#include "queues/messages_internal.h"

/* Column EXM_value is a text of 64 KiB. */
#define ERROR_MAX 65535
/* Rows that a call works on. */
#define PORTION 500
/* PHP notes the time of a failure, and saves it when its batch is through. */
#define FAILURES_OVERLAP_S 900
#define FAILURES_MEMO "failures"

/* ---- errors and letters -------------------------------------------------- */

void
messages_reason_put(struct buf *out, struct slice reason)
{
	reason.n = slice_utf8_cut(reason, MESSAGES_REASON_MAX);
	mail_text_put_masked(out, reason);
	if (out->n > MESSAGES_REASON_MAX) {
		out->n = slice_utf8_cut(buf_slice(out), MESSAGES_REASON_MAX);
		out->p[out->n] = '\0';
	}
}

enum rc
messages_error_set(struct db *db, const struct sql_scope *scope, uint64_t id,
    struct slice text, struct err *err)
{
	uint64_t matched = 0;
	enum rc rc;

	text.n = slice_utf8_cut(text, ERROR_MAX);
	rc = db_exec(db, scope, SQL_MESSAGES_ERROR_UPDATE,
	    SQL_ARGS(V_TEXT(text), V_U64(id)), &matched, err);
	if (rc == RC_OK && matched == 0)
		rc = db_exec(db, scope, SQL_MESSAGES_ERROR_ADD,
		    SQL_ARGS(V_U64(id), V_TEXT(text)), NULL, err);
	return rc;
}

enum rc
messages_letter(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    uint64_t id, struct slice reason, unsigned tries, struct err *err)
{
	struct buf title = BUF_INIT(1024), why = BUF_INIT(2048);
	struct dead_letter letter = {
		.blog_id = blog_id,
		.kind = DEAD_MESSAGE,
		.queue = SLICE_LIT("messages"),
		.source = id,
		.attempts = tries,
	};
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    db, scope, SQL_MESSAGES_KIND, SQL_ARGS(V_U64(id)), &rows, err);

	if (rc == RC_OK && db_rows_next(rows)) {
		buf_printf(&title, "%.*s %.*s", SLICE_FMT(db_text(rows, 0)),
		    SLICE_FMT(db_text(rows, 1)));
		if (db_text(rows, 2).n > 0)
			buf_printf(
			    &title, " (%.*s)", SLICE_FMT(db_text(rows, 2)));
		letter.created_at = db_i64(rows, 3) > 0 ? db_i64(rows, 3) : 0;
	} else {
		buf_printf(&title, "message %" PRIu64, id);
	}
	db_rows_free(rows);
	messages_reason_put(&why, reason);
	letter.title = buf_slice(&title);
	letter.reason = buf_slice(&why);
	if (rc == RC_OK)
		rc = dead_letter_add(db, scope, &letter, err);
	buf_clear(&title);
	buf_clear(&why);
	return rc;
}

/* ---- statuses ------------------------------------------------------------ */

static void
put_status(struct messages_status *out, struct slice s)
{
	size_t n = s.n < 3 ? s.n : 3;

	memset(out->sts, 0, sizeof out->sts);
	if (n > 0)
		memcpy(out->sts, s.p, n);
}

static enum rc
statuses_chunk(struct db *db, const struct sql_scope *scope,
    const uint64_t *ids, size_t n, struct messages_status *out, struct err *err)
{
	struct sql_args args = { .ids = ids, .nids = n };
	struct db_rows *rows = NULL;
	enum rc rc =
	    db_select(db, scope, SQL_MESSAGES_STATUSES, &args, &rows, err);

	while (rc == RC_OK && db_rows_next(rows))
		for (size_t i = 0; i < n; i++)
			if (ids[i] == db_u64(rows, 0))
				put_status(&out[i], db_text(rows, 1));
	db_rows_free(rows);
	return rc;
}

enum rc
messages_statuses(struct db *db, const struct sql_scope *scope,
    const uint64_t *ids, size_t n, struct messages_status *out, struct err *err)
{
	enum rc rc = RC_OK;

	memset(out, 0, n * sizeof *out);
	for (size_t i = 0; i < n && rc == RC_OK; i += MESSAGES_CHUNK)
		rc = statuses_chunk(db, scope, ids + i,
		    n - i < MESSAGES_CHUNK ? n - i : MESSAGES_CHUNK, out + i,
		    err);
	return rc;
}

/* ---- retries ------------------------------------------------------------- */

struct again {
	const struct sql_scope *scope;
	uint32_t blog_id;
	uint64_t ids[PORTION];
	size_t n;
	uint64_t moved;
};

static enum rc
again_body(struct db *db, void *arg, struct err *err)
{
	struct again *g = arg;
	struct sql_args rows = { .ids = g->ids, .nids = g->n };
	struct sql_args journal = *SQL_ARGS(V_U64(g->blog_id));
	enum rc rc = db_exec(
	    db, g->scope, SQL_MESSAGES_MOVE_FAILED, &rows, &g->moved, err);

	journal.ids = g->ids;
	journal.nids = g->n;
	if (rc == RC_OK)
		rc = db_exec(
		    db, g->scope, SQL_MESSAGES_AGAIN, &journal, NULL, err);
	return rc;
}

enum rc
messages_retry(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    uint64_t *n, struct err *err)
{
	struct again g = { .scope = scope, .blog_id = blog_id };
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, SQL_MESSAGES_FAILED,
	    SQL_ARGS(V_U64(blog_id), V_U64(PORTION)), &rows, err);

	*n = 0;
	while (rc == RC_OK && g.n < PORTION && db_rows_next(rows))
		g.ids[g.n++] = db_u64(rows, 0);
	db_rows_free(rows);
	if (rc == RC_OK && g.n > 0)
		rc = db_transact(db, again_body, &g, err);
	if (rc == RC_OK)
		*n = g.moved;
	return rc;
}

/* ---- what others failed -------------------------------------------------- */

static enum rc
server_clock(
    struct db *db, const struct sql_scope *scope, int64_t *now, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc =
	    db_select(db, scope, SQL_MESSAGES_CLOCK, SQL_NO_ARGS, &rows, err);

	*now = rc == RC_OK && db_rows_next(rows) ? db_i64(rows, 0) : 0;
	db_rows_free(rows);
	return rc;
}

static enum rc
letter_of_row(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    uint64_t id, struct err *err)
{
	struct slice why = SLICE_LIT("Event Espresso failed it");
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    db, scope, SQL_MESSAGES_ERROR, SQL_ARGS(V_U64(id)), &rows, err);

	if (rc == RC_OK && db_rows_next(rows) && db_text(rows, 0).n > 0)
		why = db_text(rows, 0);
	if (rc == RC_OK)
		rc = messages_letter(db, scope, blog_id, id, why, 1, err);
	db_rows_free(rows);
	return rc;
}

/* Those with ids past *after; *more: there may be others past these. */
static enum rc
letters_of_portion(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, int64_t since, uint64_t *after, uint64_t *n, bool *more,
    struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, SQL_MESSAGES_FAILURES,
	    SQL_ARGS(
		V_U64(blog_id), V_U64(*after), V_TIME(since), V_U64(PORTION)),
	    &rows, err);

	*more = rc == RC_OK && db_rows_count(rows) == PORTION;
	while (rc == RC_OK && db_rows_next(rows)) {
		*after = db_u64(rows, 0);
		rc = letter_of_row(db, scope, blog_id, *after, err);
		*n += rc == RC_OK;
	}
	db_rows_free(rows);
	return rc;
}

enum rc
messages_failures(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, uint64_t *n, struct err *err)
{
	struct arena a = ARENA_INIT(4096);
	struct buf text = BUF_INIT(32);
	uint64_t after = 0;
	bool more = true;
	struct slice memo = SLICE_NONE;
	int64_t since = 0, now = 0;
	enum rc rc = server_clock(db, scope, &now, err);

	*n = 0;
	if (rc == RC_OK)
		rc = messages_memo_read(
		    db, scope, blog_id, FAILURES_MEMO, &a, &memo, err);
	/* What failed before we came is history. */
	if (rc == RC_OK && !slice_i64(memo, &since))
		since = now;
	while (rc == RC_OK && more)
		rc = letters_of_portion(
		    db, scope, blog_id, since, &after, n, &more, err);
	if (since < now - FAILURES_OVERLAP_S)
		since = now - FAILURES_OVERLAP_S;
	buf_put_i64(&text, since);
	if (rc == RC_OK && !slice_eq(memo, buf_slice(&text)))
		rc = messages_memo_write(
		    db, scope, blog_id, FAILURES_MEMO, buf_slice(&text), err);
	buf_clear(&text);
	arena_clear(&a);
	return rc;
}

/* ---- the relay's verdict ------------------------------------------------- */

/* The status comes last: whoever repeats this after a crash finds it as it
 * was. */
enum rc
messages_refused(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    uint64_t message_id, struct slice reason, struct err *err)
{
	struct buf why = BUF_INIT(2048);
	struct messages_status status;
	uint64_t moved = 0;
	enum rc rc = messages_statuses(db, scope, &message_id, 1, &status, err);

	if (rc == RC_OK && strcmp(status.sts, "MSN") != 0)
		rc = err_set(err, RC_NONE, "the message is not MSN but \"%s\"",
		    status.sts);
	messages_reason_put(&why, reason);
	if (rc == RC_OK)
		rc = messages_error_set(db, scope, message_id, reason, err);
	if (rc == RC_OK)
		rc = db_exec(db, scope, SQL_MESSAGES_BAR,
		    SQL_ARGS(V_BYTES(buf_slice(&why)), V_U64(blog_id),
			V_U64(message_id)),
		    NULL, err);
	if (rc == RC_OK)
		rc = messages_letter(
		    db, scope, blog_id, message_id, reason, 1, err);
	if (rc == RC_OK)
		rc = db_exec(db, scope, SQL_MESSAGES_MOVE,
		    SQL_ARGS(V_STR("MRT"), V_U64(1), V_U64(message_id),
			V_STR("MSN")),
		    &moved, err);
	if (rc == RC_OK && moved == 0)
		rc = err_set(err, RC_NONE, "the message is not MSN any more");
	buf_clear(&why);
	return rc;
}

enum rc
messages_heed_refusals(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, const uint64_t *ids, size_t n, struct err *err)
{
	struct sql_args args = *SQL_ARGS(V_U64(blog_id));
	struct db_rows *rows = NULL;
	enum rc rc;

	args.ids = ids;
	args.nids = n;
	if (n == 0)
		return RC_OK;
	rc = db_select(db, scope, SQL_MESSAGES_REFUSALS, &args, &rows, err);
	while (rc == RC_OK && db_rows_next(rows)) {
		rc = messages_refused(
		    db, scope, blog_id, db_u64(rows, 0), db_text(rows, 1), err);
		if (rc == RC_NONE)
			rc = RC_OK;
	}
	db_rows_free(rows);
	return rc;
}
