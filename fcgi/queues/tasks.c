#include "queues/tasks.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "queues/tasks_internal.h"

/* An insert of so many rows, or bytes of tasks. */
#define ADD_ROWS 250
#define ADD_BYTES ((size_t)256 << 10)
#define ADD_COLUMNS 13

/* ---- the plugin's rows --------------------------------------------------- */

enum rc
task_options_of(
    struct slice transient, struct task_options *out, struct err *err)
{
	if (transient.n == 0 || transient.n > 172)
		return err_set(err, RC_REJECT,
		    "\"%.*s\" is no name of a transient", SLICE_FMT(transient));
	(void)snprintf(out->value, sizeof out->value, "_transient_%.*s",
	    SLICE_FMT(transient));
	(void)snprintf(out->timeout, sizeof out->timeout,
	    "_transient_timeout_%.*s", SLICE_FMT(transient));
	return RC_OK;
}

static void
note_row(struct task_rows *r, const struct task_options *o)
{
	struct slice name = db_text(r->rows, 0), autoload = db_text(r->rows, 2);

	r->now = db_i64(r->rows, 3);
	if (slice_eq_nocase(name, slice_str(o->value))) {
		r->present = true;
		r->value = db_text(r->rows, 1);
	} else if (slice_eq_nocase(name, slice_str(o->timeout))) {
		r->has_timeout = true;
		r->timeout = db_text(r->rows, 1);
		if (!slice_i64(r->timeout, &r->until))
			r->until = 0;
	}
	if (slice_eq_str(autoload, "off"))
		(void)snprintf(r->autoload, sizeof r->autoload, "off");
}

enum rc
task_rows_read(struct db *db, const struct sql_scope *scope,
    const struct task_options *o, const char *other, struct task_rows *out,
    struct err *err)
{
	struct db_rows *now = NULL;
	enum rc rc;

	*out = (struct task_rows){ .autoload = "no" };
	rc = db_select(db, scope, SQL_TASKS_OPTIONS,
	    SQL_ARGS(V_STR(o->value), V_STR(o->timeout),
		V_STR(other ? other : o->value)),
	    &out->rows, err);
	while (rc == RC_OK && db_rows_next(out->rows))
		note_row(out, o);
	if (rc == RC_OK && out->now == 0) {
		rc =
		    db_select(db, scope, SQL_TASKS_NOW, SQL_NO_ARGS, &now, err);
		if (rc == RC_OK && db_rows_next(now))
			out->now = db_i64(now, 0);
		db_rows_free(now);
	}
	return rc;
}

/* Strictly: the second itself is still alive to WordPress. */
bool
task_rows_expired(const struct task_rows *r)
{
	return r->has_timeout && r->until < r->now;
}

/* ---- reading a list ------------------------------------------------------ */

void
task_intake_init(struct task_intake *in, struct db *db,
    const struct sql_scope *scope, const struct task_queue *q)
{
	*in = (struct task_intake){ .db = db,
		.scope = scope,
		.q = q,
		.arena = ARENA_INIT(4 * CEILING_CRON_ARENA) };
}

void
task_intake_clear(struct task_intake *in)
{
	arena_clear(&in->arena);
}

static enum rc
digest(struct slice s, unsigned char out[TASK_DIGEST], struct err *err)
{
	if (!EVP_Digest(s.p, s.n, out, NULL, EVP_sha256(), NULL))
		return err_set(err, RC_RETRY, "no digest of a task");
	return RC_OK;
}

/* How much of a snapshot and the list is the same, from their heads. */
static void
compare(struct task_intake *in, uint64_t id, struct slice seen)
{
	const char *its = seen.p;
	size_t k = 0, n = seen.n / TASK_DIGEST;

	while (k < n && k < in->list.n &&
	       memcmp(its + k * TASK_DIGEST, in->digests + k * TASK_DIGEST,
		   TASK_DIGEST) == 0)
		k++;
	if (k > in->again)
		in->again = k;
	if (k == in->list.n)
		in->known = true;
	else if (k == n)
		in->covered[in->ncovered++] = id;
}

/* The least number over the digest. */
static void
next_digest(const unsigned char from[TASK_DIGEST], unsigned char *to)
{
	size_t i = TASK_DIGEST;

	memcpy(to, from, TASK_DIGEST);
	while (i > 0 && ++to[--i] == 0)
		continue;
}

static enum rc
find_stale(struct task_intake *in, struct err *err)
{
	uint32_t keep = in->q->snapshot_s;
	struct db_rows *rows = NULL;
	unsigned char to[TASK_DIGEST];
	enum rc rc;

	next_digest(in->digests, to);
	rc = db_select(in->db, in->scope, SQL_TASKS_SNAPSHOTS,
	    SQL_ARGS(V_U64(in->q->blog_id), V_BYTES(in->q->name),
		V_BYTES(slice_mem((const char *)in->digests, TASK_DIGEST)),
		V_BYTES(slice_mem((const char *)to, TASK_DIGEST)),
		V_U64(keep > TASK_SNAPSHOT_S ? keep : TASK_SNAPSHOT_S)),
	    &rows, err);
	if (rc != RC_OK)
		return rc;
	in->covered = arena_array(
	    &in->arena, db_rows_count(rows) + 1, sizeof *in->covered);
	while (in->covered && db_rows_next(rows))
		compare(in, db_u64(rows, 0), db_text(rows, 1));
	db_rows_free(rows);
	in->stale = in->q->run_stale ? 0 : in->again;
	if (!in->covered)
		return err_set(err, RC_RETRY, "no memory for snapshots");
	return RC_OK;
}

enum rc
task_intake_parse(struct task_intake *in, struct slice value, struct err *err)
{
	arena_clear(&in->arena);
	in->again = in->stale = in->ncovered = 0;
	in->known = false;
	in->oldest = 0;
	return task_list_parse(value, &in->arena, &in->list, err);
}

enum rc
task_intake_read(struct task_intake *in, struct slice value, struct err *err)
{
	enum rc rc = task_intake_parse(in, value, err);

	if (rc != RC_OK || in->list.n == 0)
		return rc;
	in->digests = arena_array(&in->arena, in->list.n, TASK_DIGEST);
	if (!in->digests)
		return err_set(err, RC_RETRY, "no memory for digests");
	for (size_t i = 0; i < in->list.n && rc == RC_OK; i++)
		rc = digest(
		    in->list.elements[i], in->digests + i * TASK_DIGEST, err);
	return rc == RC_OK ? find_stale(in, err) : rc;
}

void
task_intake_report(const struct task_intake *in, struct task_inbox *out)
{
	struct arena a = ARENA_INIT(CEILING_JSON_ARENA);
	struct task_fields f;
	struct err ignored = ERR_INIT;

	out->n = in->list.n;
	out->again = in->again;
	out->stale = in->stale;
	for (size_t i = in->stale; i < in->list.n; i++) {
		arena_clear(&a);
		if (task_read(in->list.elements[i], &a, &f, &ignored) ==
			RC_OK &&
		    f.created > 0 &&
		    (out->oldest == 0 || f.created < out->oldest))
			out->oldest = f.created;
	}
	arena_clear(&a);
}

/* ---- storing it ---------------------------------------------------------- */

enum rc
task_arrival_init(
    struct task_arrival *a, int64_t now, struct slice utc, struct err *err)
{
	*a = (struct task_arrival){ .now = now, .utc = utc };
	if (RAND_bytes(a->snapshot, sizeof a->snapshot) != 1)
		return err_set(err, RC_RETRY, "no random numbers");
	return RC_OK;
}

/* One statement's rows. */
struct batch {
	struct sql_value values[ADD_ROWS * ADD_COLUMNS];
	char available[ADD_ROWS][DATETIME_LEN + 1];
	struct arena arena; /* texts of fields */
	size_t n, bytes;
};

static enum rc
flush(struct task_intake *in, struct batch *b, struct err *err)
{
	enum rc rc = RC_OK;

	if (b->n > 0)
		rc = db_exec(in->db, in->scope, SQL_TASKS_ADD,
		    &(const struct sql_args){
			.rows = b->values, .nrows = b->n },
		    NULL, err);
	arena_clear(&b->arena);
	b->n = b->bytes = 0;
	return rc;
}

static struct slice
cut(struct slice s, size_t max)
{
	return slice_mem(s.p, s.n < max ? s.n : max);
}

static void
fill_row(struct batch *b, const struct task_intake *in,
    const struct task_arrival *a, const struct task_fields *f, size_t i)
{
	bool delayed = f->available_after > a->now;
	const char *state = delayed ? "delayed" : "ready";
	struct sql_value *v = &b->values[b->n * ADD_COLUMNS];
	char *available = b->available[b->n];

	datetime_render(f->available_after, available);
	v[0] = V_U64(in->q->blog_id);
	v[1] = V_BYTES(in->q->name);
	v[2] = V_STR(a->state ? a->state : state);
	v[3] = V_BYTES(cut(f->type, 191));
	v[4] = V_U64(f->attempts);
	v[5] = V_U64(f->max_attempts);
	v[6] = V_U64(f->backoff_ms);
	v[7] = delayed ? V_STR(available) : V_TEXT(a->utc);
	v[8] = V_U64(a->expired);
	v[9] =
	    V_BYTES(slice_mem((const char *)a->snapshot, sizeof a->snapshot));
	v[10] = V_U64(i + 1);
	v[11] = V_TEXT(a->utc);
	v[12] = V_BYTES(in->list.elements[i]);
	b->n++;
	b->bytes += in->list.elements[i].n;
}

enum rc
task_intake_store(
    struct task_intake *in, const struct task_arrival *a, struct err *err)
{
	struct batch *b = arena_alloc(&in->arena, sizeof *b);
	enum rc rc = RC_OK;

	if (!b)
		return err_set(err, RC_RETRY, "no memory for tasks");
	b->arena = (struct arena)ARENA_INIT(CEILING_JSON_ARENA);
	for (size_t i = in->stale; i < in->list.n && rc == RC_OK; i++) {
		struct task_fields f;

		if (b->n == ADD_ROWS || b->bytes > ADD_BYTES)
			rc = flush(in, b, err);
		if (rc == RC_OK)
			rc =
			    task_read(in->list.elements[i], &b->arena, &f, err);
		if (rc == RC_OK)
			fill_row(b, in, a, &f, i);
	}
	if (rc == RC_OK)
		rc = flush(in, b, err);
	arena_clear(&b->arena);
	return rc;
}

/* 64 characters at most. */
void
task_stale_name(const struct task_queue *q, char out[64])
{
	unsigned char md[TASK_DIGEST] = { 0 };
	struct err ignored = ERR_INIT;
	int n = snprintf(out, 64, "stale_tasks/%" PRIu32 "/", q->blog_id);

	(void)!digest(q->name, md, &ignored);
	for (size_t i = 0; i < 16; i++)
		n += snprintf(out + n, 64 - (size_t)n, "%02x", (unsigned)md[i]);
}

static enum rc
count_stale(struct task_intake *in, struct err *err)
{
	char name[64], digits[24];

	task_stale_name(in->q, name);
	(void)snprintf(digits, sizeof digits, "%zu", in->stale);
	return db_exec(in->db, in->scope, SQL_COUNTS_ADD,
	    SQL_ARGS(V_STR(name), V_STR(digits)), NULL, err);
}

/* A list that a longer one begins with is no more needed: whatever begins as
 * the short one does, begins as the long one does. */
enum rc
task_intake_remember(struct task_intake *in, struct err *err)
{
	struct sql_args drop =
	    *SQL_ARGS(V_U64(in->q->blog_id), V_BYTES(in->q->name));
	struct slice digests =
	    slice_mem((const char *)in->digests, in->list.n * TASK_DIGEST);
	enum rc rc = RC_OK;

	if (in->list.n == 0)
		return RC_OK;
	drop.ids = in->covered;
	drop.nids = in->ncovered;
	if (in->ncovered > 0)
		rc = db_exec(in->db, in->scope, SQL_TASKS_SNAPSHOTS_DROP, &drop,
		    NULL, err);
	if (rc == RC_OK)
		rc = db_exec(in->db, in->scope, SQL_TASKS_SNAPSHOT_ADD,
		    SQL_ARGS(V_U64(in->q->blog_id), V_BYTES(in->q->name),
			V_BYTES(digests)),
		    NULL, err);
	return rc == RC_OK && in->stale > 0 ? count_stale(in, err) : rc;
}
