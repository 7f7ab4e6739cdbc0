/*
 * What waits to be generated or sent, in the order in which it is to be done.
 */
#include <stdlib.h>

#include "base/macros.h"
#include "queues/messages_internal.h"
#include "sql/db_errors.h"

/* ---- order --------------------------------------------------------------- */

static int
by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int
compare_ids(const struct messages_row *x, const struct messages_row *y)
{
	return x->id < y->id ? -1 : x->id > y->id;
}

static int
oldest_first(const void *a, const void *b)
{
	const struct messages_row *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	if (x->modified != y->modified)
		return x->modified < y->modified ? -1 : 1;
	return compare_ids(x, y);
}

static int
newest_first_order(const void *a, const void *b)
{
	const struct messages_row *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	if (x->modified != y->modified)
		return x->modified > y->modified ? -1 : 1;
	return compare_ids(x, y);
}

/* ---- reading ------------------------------------------------------------- */

/* Ids, by id. */
static enum rc
read_in_hand(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    enum messages_lane lane, struct arena *a, uint64_t **out, size_t *n,
    struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, SQL_MESSAGES_IN_HAND,
	    SQL_ARGS(V_U64(blog_id), V_STR(messages_lane_name(lane))), &rows,
	    err);

	*n = 0;
	*out = rc == RC_OK
		   ? arena_array(a, db_rows_count(rows) + 1, sizeof(uint64_t))
		   : NULL;
	while (rc == RC_OK && *out && db_rows_next(rows))
		(*out)[(*n)++] = db_u64(rows, 0);
	db_rows_free(rows);
	if (rc == RC_OK && !*out)
		rc = err_set(err, RC_RETRY, "no memory for messages in hand");
	if (rc == RC_OK && *n > 0)
		qsort(*out, *n, sizeof(uint64_t), by_id);
	return rc;
}

struct wanted {
	unsigned lowest;
	const uint64_t *in_hand;
	size_t nin_hand;
	struct messages_row *rows;
	size_t n;
};

static void
take_rows(struct db_rows *rows, struct wanted *w)
{
	while (db_rows_next(rows)) {
		struct messages_row r = {
			.id = db_u64(rows, 0),
			.priority = (unsigned)db_u64(rows, 1),
			.modified = db_time(rows, 2),
		};

		if (r.priority > w->lowest ||
		    (w->nin_hand > 0 && bsearch(&r.id, w->in_hand, w->nin_hand,
					    sizeof(uint64_t), by_id)))
			continue;
		w->rows[w->n++] = r;
	}
}

enum rc
messages_waiting(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    enum messages_lane lane, unsigned lowest, bool newest_first, size_t max,
    struct arena *a, struct messages_row **out, size_t *n, struct err *err)
{
	static const char *const stati[2][2] = {
		[MESSAGES_GENERATE] = { "MIC", NULL },
		[MESSAGES_SEND] = { "MRS", "MID" },
	};
	struct db_rows *found[2] = { NULL, NULL };
	struct wanted w = { .lowest = lowest };
	uint64_t *in_hand = NULL;
	size_t total = 0;
	enum rc rc = read_in_hand(
	    db, scope, blog_id, lane, a, &in_hand, &w.nin_hand, err);

	*out = NULL;
	*n = 0;
	w.in_hand = in_hand;
	for (size_t i = 0; i < 2 && stati[lane][i] && rc == RC_OK; i++) {
		rc = db_select(db, scope, SQL_MESSAGES_WAITING,
		    SQL_ARGS(V_STR(stati[lane][i]), V_U64(max)), &found[i],
		    err);
		if (rc == RC_OK)
			total += db_rows_count(found[i]);
	}
	if (rc == RC_OK) {
		w.rows = arena_array(a, total + 1, sizeof *w.rows);
		if (!w.rows)
			rc = err_set(
			    err, RC_RETRY, "no memory for %zu messages", total);
	}
	for (size_t i = 0; i < 2; i++) {
		if (rc == RC_OK && w.rows && found[i])
			take_rows(found[i], &w);
		db_rows_free(found[i]);
	}
	if (rc != RC_OK)
		return rc;
	if (w.rows && w.n > 0)
		qsort(w.rows, w.n, sizeof *w.rows,
		    newest_first ? newest_first_order : oldest_first);
	*out = w.rows;
	*n = w.n;
	return RC_OK;
}

/* ---- between the plugin's ticks ------------------------------------------ */

enum rc
messages_due(struct db *db, const struct sql_scope *scope, int64_t now,
    bool *due, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, SQL_MESSAGES_DUE,
	    SQL_ARGS(V_U64(messages_blog(scope))), &rows, err);

	*due = rc == RC_OK && db_rows_next(rows);
	db_rows_free(rows);
	if (rc == RC_REJECT && (db_errno(db) == DB_ER_NO_SUCH_TABLE ||
				   db_errno(db) == DB_ER_NO_SUCH_KEY))
		return err_set(
		    err, RC_NONE, "Event Espresso's tables are not there");
	if (rc == RC_OK && !*due)
		rc = messages_idle_ends(db, scope, now, due, err);
	return rc;
}
