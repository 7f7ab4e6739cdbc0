#include <string.h>

#include "sql/db.h"
#include "sql/db_impl.h"

#define PROBE_TABLES 4

/* An index the statements may hint at, and what it must begin with: sites are
 * tuned by hand, and a name alone says little. */
struct known_index {
	const char *name;
	const char *columns;
};

/* Best first; PRIMARY is always there. */
static const struct known_index due_indexes[] = {
	{ "claim_id_status_scheduled_date_gmt",
	    "claim_id,status,scheduled_date_gmt" },
	{ "status_scheduled_date_gmt", "status,scheduled_date_gmt" },
	{ "scheduled_date_gmt", "scheduled_date_gmt" },
	{ "claim_id", "claim_id" },
};
static const struct known_index retention_indexes[] = {
	{ "status_last_attempt_gmt", "status,last_attempt_gmt" },
	{ "last_attempt_gmt", "last_attempt_gmt" },
};
static const struct known_index priority_index = {
	"claim_id_status_priority_scheduled_date_gmt",
	"claim_id,status,priority,scheduled_date_gmt"
};
static const struct known_index hook_index = { "hook_status_scheduled_date_gmt",
	"hook,status,scheduled_date_gmt" };

static bool
is_index(const struct db_rows *rows, const struct known_index *known)
{
	struct slice columns = db_text(rows, 1);
	size_t n = strlen(known->columns);

	return slice_eq_nocase(db_text(rows, 0), slice_str(known->name)) &&
	       columns.n >= n &&
	       slice_eq_nocase(
		   slice_mem(columns.p, n), slice_str(known->columns)) &&
	       (columns.n == n || columns.p[n] == ',');
}

static enum rc
probe_tables(struct db *db, const struct sql_scope *scope, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc;

	rc = db_select(db, scope, SQL_PROBE_TABLES, SQL_NO_ARGS, &rows, err);
	if (rc != RC_OK)
		return rc;
	if (db_rows_count(rows) < PROBE_TABLES)
		rc = err_set(err, RC_NONE,
		    "%zu of the %d tables %sactionscheduler_* are there",
		    db_rows_count(rows), PROBE_TABLES, scope->prefix);
	while (rc == RC_OK && db_rows_next(rows)) {
		struct slice table = db_text(rows, 0),
			     engine = db_text(rows, 1);

		if (!slice_eq_nocase(engine, SLICE_LIT("InnoDB")))
			rc = err_set(err, RC_REJECT,
			    "table %sactionscheduler_%.*s is %.*s, not InnoDB: "
			    "without row locks actions could run twice; "
			    "ALTER TABLE ... ENGINE=InnoDB mends it",
			    scope->prefix, SLICE_FMT(table), SLICE_FMT(engine));
	}
	db_rows_free(rows);
	return rc;
}

static enum rc
probe_columns(struct db *db, const struct sql_scope *scope,
    struct db_schema *out, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc;

	rc = db_select(db, scope, SQL_PROBE_COLUMNS, SQL_NO_ARGS, &rows, err);
	if (rc != RC_OK)
		return rc;
	while (db_rows_next(rows)) {
		struct slice name = db_text(rows, 0);

		if (slice_eq_nocase(name, SLICE_LIT("priority")))
			out->columns |= DB_COLUMN_PRIORITY;
		else if (slice_eq_nocase(name, SLICE_LIT("extended_args")))
			out->columns |= DB_COLUMN_EXTENDED_ARGS;
		else if (slice_eq_nocase(name, SLICE_LIT("unique_key")))
			out->columns |= DB_COLUMN_UNIQUE_KEY;
	}
	db_rows_free(rows);
	return RC_OK;
}

/* Keep the better of *best and the index in the current row. */
static void
keep_best(const struct db_rows *rows, const struct known_index *known,
    size_t nknown, size_t *best)
{
	for (size_t i = 0; i < *best && i < nknown; i++)
		if (is_index(rows, &known[i]))
			*best = i;
}

static enum rc
probe_indexes(struct db *db, const struct sql_scope *scope,
    struct db_schema *out, struct err *err)
{
	size_t due = NELEMS(due_indexes), old = NELEMS(retention_indexes);
	struct db_rows *rows = NULL;
	enum rc rc;

	rc = db_select(db, scope, SQL_PROBE_INDEXES, SQL_NO_ARGS, &rows, err);
	if (rc != RC_OK)
		return rc;
	while (db_rows_next(rows)) {
		keep_best(rows, due_indexes, NELEMS(due_indexes), &due);
		keep_best(
		    rows, retention_indexes, NELEMS(retention_indexes), &old);
		if (is_index(rows, &priority_index))
			out->columns |= DB_INDEX_PRIORITY;
		if (is_index(rows, &hook_index))
			out->columns |= DB_INDEX_HOOK;
		if (is_index(rows, &retention_indexes[0]))
			out->columns |= DB_INDEX_ATTEMPT;
	}
	db_rows_free(rows);
	if (due < NELEMS(due_indexes))
		out->due_index = due_indexes[due].name;
	if (old < NELEMS(retention_indexes))
		out->retention_index = retention_indexes[old].name;
	out->has_priority_index = out->columns & DB_INDEX_PRIORITY;
	out->has_hook_status_index = out->columns & DB_INDEX_HOOK;
	out->has_status_attempt_index = out->columns & DB_INDEX_ATTEMPT;
	return RC_OK;
}

enum rc
db_probe(struct db *db, const struct sql_scope *scope, struct db_schema *out,
    struct err *err)
{
	enum rc rc;

	*out = (struct db_schema){ .due_index = "PRIMARY",
		.retention_index = "PRIMARY" };
	rc = probe_tables(db, scope, err);
	if (rc == RC_OK)
		rc = probe_columns(db, scope, out, err);
	if (rc == RC_OK)
		rc = probe_indexes(db, scope, out, err);
	return rc;
}
