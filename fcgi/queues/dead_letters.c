#include "queues/dead_letters.h"

#include <inttypes.h>

#include "base/macros.h"

#define QUEUE_MAX 191
#define TITLE_MAX 255
#define REASON_MAX 500
#define PAGE_MAX ((size_t)1000)

static const char *const kinds[] = {
	[DEAD_MAIL] = "mail",
	[DEAD_MESSAGE] = "message",
	[DEAD_TASK] = "task",
	[DEAD_ACTION] = "action",
	[DEAD_EVENT] = "event",
	[DEAD_CONTACT] = "contact",
};

const char *
dead_kind_name(enum dead_kind kind)
{
	return kinds[kind];
}

int
dead_kind_of(struct slice name)
{
	for (size_t i = 0; i < NELEMS(kinds); i++)
		if (slice_eq_str(name, kinds[i]))
			return (int)i;
	return -1;
}

/* As much as the column takes. */
static struct sql_value
clipped(struct slice s, size_t max)
{
	if (!s.p)
		s = SLICE_LIT("");
	s.n = slice_utf8_cut(s, max);
	return V_BYTES(s);
}

enum rc
dead_letter_add(struct db *db, const struct sql_scope *scope,
    const struct dead_letter *d, struct err *err)
{
	return db_exec(db, scope, SQL_DEAD_LETTERS_ADD,
	    SQL_ARGS(V_U64(d->blog_id), V_STR(kinds[d->kind]),
		clipped(d->queue, QUEUE_MAX), V_U64(d->source),
		clipped(d->title, TITLE_MAX), clipped(d->reason, REASON_MAX),
		V_U64(d->attempts),
		d->created_at == 0 ? V_NULL : V_TIME(d->created_at),
		clipped(d->payload, SIZE_MAX)),
	    NULL, err);
}

/* One that a newer version of this program wrote is none of ours. */
static bool
take(const struct db_rows *rows, struct arena *a, struct dead_letter *d)
{
	int kind = dead_kind_of(db_text(rows, 2));

	*d = (struct dead_letter){
		.blog_id = (uint32_t)db_u64(rows, 0),
		.letter_id = db_u64(rows, 1),
		.kind = (enum dead_kind)kind,
		.queue = arena_slice(a, db_text(rows, 3)),
		.source = db_u64(rows, 4),
		.title = arena_slice(a, db_text(rows, 5)),
		.reason = arena_slice(a, db_text(rows, 6)),
		.attempts = (unsigned)db_u64(rows, 7),
		.created_at = db_i64(rows, 8),
		.died_at = db_i64(rows, 9),
	};
	return kind >= 0;
}

enum rc
dead_letters_list(struct db *db, const struct sql_scope *scope,
    const struct dead_filter *f, struct arena *a, struct dead_letter **out,
    size_t *n, struct err *err)
{
	const char *kind = f->kind < 0 ? "" : kinds[f->kind];
	uint64_t before = f->before_id ? f->before_id : UINT64_MAX;
	struct dead_letter *found = NULL;
	struct db_rows *rows = NULL;
	size_t count = 0;
	enum rc rc;

	*out = NULL;
	*n = 0;
	rc = db_select(db, scope, SQL_DEAD_LETTERS_LIST,
	    SQL_ARGS(V_U64(before), V_U64(f->blog_id), V_U64(f->blog_id),
		V_STR(kind), V_STR(kind), clipped(f->queue, QUEUE_MAX),
		clipped(f->queue, QUEUE_MAX), V_U64(f->max)),
	    &rows, err);
	if (rc != RC_OK)
		return rc;
	found = arena_array(a, db_rows_count(rows) + 1, sizeof *found);
	while (found && db_rows_next(rows))
		if (take(rows, a, &found[count]))
			count++;
	db_rows_free(rows);
	if (a->failed)
		return err_set(err, RC_RETRY, "no memory for dead letters");
	*out = found;
	*n = count;
	return RC_OK;
}

enum rc
dead_letter_get(struct db *db, const struct sql_scope *scope,
    uint64_t letter_id, struct arena *a, struct dead_letter *out,
    struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, SQL_DEAD_LETTERS_GET,
	    SQL_ARGS(V_U64(letter_id)), &rows, err);

	if (rc == RC_OK && (!db_rows_next(rows) || !take(rows, a, out)))
		rc = err_set(
		    err, RC_NONE, "there is no letter %" PRIu64, letter_id);
	if (rc == RC_OK) {
		out->payload = arena_slice(a, db_text(rows, 10));
		if (a->failed)
			rc = err_set(err, RC_RETRY,
			    "no memory for letter %" PRIu64, letter_id);
	}
	db_rows_free(rows);
	return rc;
}

enum rc
dead_letter_delete(struct db *db, const struct sql_scope *scope,
    uint64_t letter_id, struct err *err)
{
	uint64_t affected = 0;
	enum rc rc = db_exec(db, scope, SQL_DEAD_LETTERS_DELETE,
	    SQL_ARGS(V_U64(letter_id)), &affected, err);

	if (rc == RC_OK && affected == 0)
		rc = err_set(
		    err, RC_NONE, "there is no letter %" PRIu64, letter_id);
	return rc;
}

enum rc
dead_letters_expire(struct db *db, const struct sql_scope *scope, uint32_t days,
    struct err *err)
{
	uint64_t ids[PAGE_MAX];
	struct db_rows *rows = NULL;
	size_t n = 0;
	enum rc rc = db_select(db, scope, SQL_DEAD_LETTERS_OLD,
	    SQL_ARGS(V_U64(days), V_U64(PAGE_MAX)), &rows, err);

	while (rc == RC_OK && n < PAGE_MAX && db_rows_next(rows))
		ids[n++] = db_u64(rows, 0);
	db_rows_free(rows);
	if (rc != RC_OK || n == 0)
		return rc;
	return db_exec(db, scope, SQL_DEAD_LETTERS_DELETE_OLD,
	    &(const struct sql_args){ .ids = ids, .nids = n }, NULL, err);
}
