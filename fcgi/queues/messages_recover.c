/*
 * Messages of which nobody said what became of them, for PHP or this program
 * died: the rows tell.
 */
#include <string.h>

#include "base/macros.h"
#include "queues/messages_internal.h"

#define RECOVER_MAX 200
/* PHP died in it so often: others go first for a day. */
#define DEATHS_MAX 5
#define PARKED_MS ((int64_t)86400 * 1000)
#define UNKNOWN_WORDS                                                          \
	"PHP ended while it sent this message. Nobody knows whether it left; " \
	"it is not sent again by itself."

struct doubt {
	const struct sql_scope *scope;
	uint32_t blog_id;
	enum messages_lane lane;
	uint64_t claim_id, id;
	const struct messages_policy *policy;
	struct messages_recovered *out, counted; /* counted: of this try */
	/* The journal's. */
	struct arena arena;
	bool running;
	char was[4];
	unsigned tries;
	struct slice copy;
};

int64_t
messages_backoff_ms(const struct messages_policy *p, unsigned tries)
{
	int64_t ms = p->backoff_min_ms;

	for (unsigned i = 0; i < tries && ms < p->backoff_max_ms; i++)
		ms *= 2;
	return ms < p->backoff_max_ms ? ms : p->backoff_max_ms;
}

static void
copy_status(char out[4], struct slice s)
{
	size_t n = s.n < 3 ? s.n : 3;

	memset(out, 0, 4);
	if (n > 0)
		memcpy(out, s.p, n);
}

static enum rc
end(struct doubt *d, struct db *db, const char *state, bool strike,
    int64_t wait_ms, const char *reason, struct err *err)
{
	return db_exec(db, d->scope, SQL_MESSAGES_END,
	    SQL_ARGS(V_STR(state), V_U64(strike),
		V_U64((uint64_t)wait_ms * 1000), V_BYTES(slice_str(reason)),
		V_U64(d->blog_id), V_U64(d->id),
		V_STR(messages_lane_name(d->lane)), V_U64(d->claim_id)),
	    NULL, err);
}

static enum rc
end_with_letter(
    struct doubt *d, struct db *db, const char *reason, struct err *err)
{
	enum rc rc = end(d, db, "refused", true, 0, reason, err);

	return rc == RC_OK ? messages_letter(db, d->scope, d->blog_id, d->id,
				 slice_str(reason), d->tries + 1, err)
			   : rc;
}

/* ---- generation ---------------------------------------------------------- */

static struct sql_value
column(const struct messages_copy *c, size_t i)
{
	return sql_text_or_null(c->columns[i]);
}

static enum rc
restore_meta(struct doubt *d, struct db *db, const struct messages_copy *c,
    struct err *err)
{
	struct sql_args drop = { .ids = &d->id, .nids = 1 };
	struct sql_value *values =
	    arena_array(&d->arena, c->nmeta * 4 + 1, sizeof *values);
	const struct sql_args add = { .rows = values, .nrows = c->nmeta };
	enum rc rc;

	if (!values)
		return err_set(err, RC_RETRY, "no memory for a message");
	/* Plugins before 4.9.45 leave it behind. */
	rc = db_exec(db, d->scope, SQL_MESSAGES_META_DROP, &drop, NULL, err);
	for (size_t i = 0; i < c->nmeta; i++) {
		values[i * 4] = V_U64(d->id);
		values[i * 4 + 1] = V_STR("Message");
		values[i * 4 + 2] = sql_text_or_null(c->meta[i].key);
		values[i * 4 + 3] = sql_text_or_null(c->meta[i].value);
	}
	if (rc == RC_OK && c->nmeta > 0)
		rc = db_exec(
		    db, d->scope, SQL_MESSAGES_META_ADD, &add, NULL, err);
	return rc;
}

/* PHP deletes the row before it saves what it made of it. */
static enum rc
restore(struct doubt *d, struct db *db, struct err *err)
{
	struct messages_copy c;
	enum rc rc = messages_copy_parse(d->copy, &d->arena, &c, err);

	if (rc == RC_REJECT)
		return end_with_letter(d, db,
		    "PHP ended while it generated this message, and its copy "
		    "cannot be read",
		    err);
	if (rc == RC_OK)
		rc = db_exec(db, d->scope, SQL_MESSAGES_RESTORE,
		    SQL_ARGS(V_U64(d->id), column(&c, 0), column(&c, 1),
			column(&c, 2), column(&c, 3), column(&c, 4),
			column(&c, 5), column(&c, 6), column(&c, 7),
			column(&c, 8), column(&c, 9), column(&c, 10),
			column(&c, 11), column(&c, 12), column(&c, 13),
			column(&c, 14)),
		    NULL, err);
	if (rc == RC_OK)
		rc = restore_meta(d, db, &c, err);
	d->counted.restored += rc == RC_OK;
	return rc;
}

static enum rc
back_to_generate(struct doubt *d, struct db *db, struct err *err)
{
	static const char words[] = "PHP ended while it generated this message";
	bool park = d->running && d->tries + 1 >= DEATHS_MAX;
	int64_t wait_ms = !d->running ? 0
			  : park      ? PARKED_MS
				 : messages_backoff_ms(d->policy, d->tries);
	enum rc rc = RC_OK;

	/* The first time it goes at once: it need not be the message's doing.
	 */
	if (d->running && d->tries == 0)
		wait_ms = 0;
	if (park)
		rc = messages_letter(db, d->scope, d->blog_id, d->id,
		    slice_str(words), d->tries + 1, err);
	return rc == RC_OK
		   ? end(d, db, "passed", d->running, wait_ms, words, err)
		   : rc;
}

static enum rc
resolve_generate(struct doubt *d, struct db *db, const char *sts, bool there,
    struct err *err)
{
	enum rc rc = RC_OK;

	if (!there && d->running)
		rc = restore(d, db, err);
	else if (!there) /* deleted by hand, before PHP was asked */
		return end(d, db, "done", false, 0, "", err);
	if (rc != RC_OK)
		return rc;
	if (!there || strcmp(sts, "MIC") == 0)
		return back_to_generate(d, db, err);
	if (strcmp(sts, "MFL") == 0)
		return end_with_letter(
		    d, db, "Event Espresso could not generate it", err);
	return end(d, db, "done", false, 0, "", err);
}

/* ---- sending ------------------------------------------------------------- */

static enum rc
resolve_mex(struct doubt *d, struct db *db, struct err *err)
{
	uint64_t moved = 0;
	/* What kills PHP each time is not tried for ever. */
	bool back = d->policy->outbox && d->tries < d->policy->retries;
	const char *was = strcmp(d->was, "MRS") == 0 ? "MRS" : "MID";
	enum rc rc = db_exec(db, d->scope, SQL_MESSAGES_MOVE,
	    SQL_ARGS(V_STR(back ? was : "MRT"), V_U64(back ? 0 : 1),
		V_U64(d->id), V_STR("MEX")),
	    &moved, err);

	if (rc == RC_OK && back) {
		d->counted.reset += moved;
		return end(d, db, "passed", true,
		    messages_backoff_ms(d->policy, d->tries),
		    "PHP ended while it sent this message", err);
	}
	d->counted.unknown += moved;
	if (rc == RC_OK)
		rc = messages_error_set(
		    db, d->scope, d->id, SLICE_LIT(UNKNOWN_WORDS), err);
	return rc == RC_OK ? end_with_letter(d, db, UNKNOWN_WORDS, err) : rc;
}

static enum rc
resolve_send(struct doubt *d, struct db *db, const char *sts, struct err *err)
{
	static const char words[] = "the messenger did not send it";
	enum rc rc;

	if (strcmp(sts, "MEX") == 0 && d->running)
		return resolve_mex(d, db, err);
	if (strcmp(sts, "MFL") == 0)
		return end_with_letter(
		    d, db, "Event Espresso failed it while sending", err);
	if (strcmp(sts, "MRT") == 0 && d->tries < d->policy->retries)
		return end(d, db, "failed", true,
		    messages_backoff_ms(d->policy, d->tries), words, err);
	if (strcmp(sts, "MRT") == 0)
		return end_with_letter(d, db, words, err);
	if (strcmp(sts, "MID") == 0 || strcmp(sts, "MRS") == 0)
		return end(d, db, "passed", d->running,
		    d->running ? messages_backoff_ms(d->policy, d->tries) : 0,
		    "", err);
	/* MSN; or it was deleted, or is something else by another's hand, as
	 * MEX before PHP was asked by us. */
	rc = end(d, db, "done", false, 0, "", err);
	return rc == RC_OK ? messages_heed_refusals(
				 db, d->scope, d->blog_id, &d->id, 1, err)
			   : rc;
}

/* ---- one entry ----------------------------------------------------------- */

static enum rc
read_entry(struct doubt *d, struct db *db, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, d->scope, SQL_MESSAGES_IN_DOUBT,
	    SQL_ARGS(V_U64(d->blog_id), V_U64(d->id),
		V_STR(messages_lane_name(d->lane)), V_U64(d->claim_id)),
	    &rows, err);

	if (rc == RC_OK && !db_rows_next(rows))
		rc = err_set(err, RC_NONE, "it is not of this claim any more");
	if (rc == RC_OK) {
		d->running = slice_eq_str(db_text(rows, 0), "running");
		copy_status(d->was, db_text(rows, 1));
		d->tries = (unsigned)db_u64(rows, 2);
		d->copy = arena_slice(&d->arena, db_text(rows, 3));
		if (d->arena.failed)
			rc = err_set(err, RC_RETRY, "no memory for a message");
	}
	db_rows_free(rows);
	return rc;
}

static enum rc
resolve_body(struct db *db, void *arg, struct err *err)
{
	struct doubt *d = arg;
	struct db_rows *rows = NULL;
	char sts[4] = "";
	bool there = false;
	enum rc rc;

	arena_clear(&d->arena);
	d->counted = (struct messages_recovered){ 0 };
	rc = read_entry(d, db, err);
	if (rc == RC_OK)
		rc = db_select(db, d->scope, SQL_MESSAGES_STATUS_LOCK,
		    SQL_ARGS(V_U64(d->id)), &rows, err);
	if (rc == RC_OK && db_rows_next(rows)) {
		there = true;
		copy_status(sts, db_text(rows, 0));
	}
	db_rows_free(rows);
	if (rc != RC_OK)
		return rc;
	return d->lane == MESSAGES_GENERATE
		   ? resolve_generate(d, db, sts, there, err)
		   : resolve_send(d, db, sts, err);
}

static enum rc
resolve_one(struct doubt *d, struct db *db, struct err *err)
{
	enum rc rc;

	d->arena = (struct arena)ARENA_INIT(MESSAGES_COPY_MAX * 4);
	rc = db_transact(db, resolve_body, d, err);
	arena_clear(&d->arena);
	if (rc == RC_OK) {
		d->out->restored += d->counted.restored;
		d->out->reset += d->counted.reset;
		d->out->unknown += d->counted.unknown;
	}
	return rc == RC_NONE ? RC_OK : rc;
}

enum rc
messages_resolve(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    enum messages_lane lane, uint64_t claim_id, const uint64_t *ids, size_t n,
    const struct messages_policy *policy, struct messages_recovered *out,
    struct err *err)
{
	enum rc rc = RC_OK;

	*out = (struct messages_recovered){ 0 };
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		struct doubt d = {
			.scope = scope,
			.blog_id = blog_id,
			.lane = lane,
			.claim_id = claim_id,
			.id = ids[i],
			.policy = policy,
			.out = out,
		};

		rc = resolve_one(&d, db, err);
	}
	return rc;
}

enum rc
messages_recover(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    const struct messages_policy *policy, struct messages_recovered *out,
    struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, SQL_MESSAGES_EXPIRED,
	    SQL_ARGS(V_U64(blog_id), V_U64(RECOVER_MAX)), &rows, err);

	*out = (struct messages_recovered){ 0 };
	while (rc == RC_OK && db_rows_next(rows)) {
		struct doubt d = {
			.scope = scope,
			.blog_id = blog_id,
			.lane = slice_eq_str(db_text(rows, 1), "generate")
				    ? MESSAGES_GENERATE
				    : MESSAGES_SEND,
			.claim_id = db_u64(rows, 2),
			.id = db_u64(rows, 0),
			.policy = policy,
			.out = out,
		};

		rc = resolve_one(&d, db, err);
	}
	db_rows_free(rows);
	return rc;
}
