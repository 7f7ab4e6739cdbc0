#include "sql/leases.h"

static enum rc
none_if_zero(enum rc rc, uint64_t matched, const char *words, const char *name,
    struct err *err)
{
	if (rc == RC_OK && matched == 0)
		return err_set(err, RC_NONE, "lease %s %s", name, words);
	return rc;
}

/* Make sure that there is a row to compete for. A read first: leases are
 * asked for every few seconds and INSERT IGNORE would lock the row. */
static enum rc
add_row(struct db *db, const struct sql_scope *scope, const char *name,
    bool *added, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc;

	*added = false;
	rc = db_select(
	    db, scope, SQL_LEASES_FIND, SQL_ARGS(V_STR(name)), &rows, err);
	if (rc == RC_OK && db_rows_count(rows) == 0) {
		rc = db_exec(db, scope, SQL_LEASES_ADD, SQL_ARGS(V_STR(name)),
		    NULL, err);
		*added = true;
	}
	db_rows_free(rows);
	return rc;
}

enum rc
lease_take(struct db *db, const struct sql_scope *scope, const char *name,
    uint64_t node, uint32_t ttl_ms, uint64_t *token, struct err *err)
{
	const struct sql_args *args = SQL_ARGS(V_U64(node),
	    V_U64((uint64_t)ttl_ms * 1000), V_STR(name), V_U64(node));
	uint64_t matched = 0;
	bool added = false;
	enum rc rc;

	*token = 0;
	rc = db_exec(db, scope, SQL_LEASES_TAKE, args, &matched, err);
	if (rc == RC_OK && matched == 0)
		rc = add_row(db, scope, name, &added, err);
	if (rc == RC_OK && added)
		rc = db_exec(db, scope, SQL_LEASES_TAKE, args, &matched, err);
	if (rc == RC_OK && matched > 0)
		*token = db_insert_id(db);
	return none_if_zero(rc, matched, "is held by another node", name, err);
}

static enum rc
prolong(struct db *db, const struct sql_scope *scope, enum sql_id id,
    const char *name, uint64_t token, uint32_t ttl_ms, struct err *err)
{
	uint64_t matched = 0;
	enum rc rc = db_exec(db, scope, id,
	    SQL_ARGS(V_U64((uint64_t)ttl_ms * 1000), V_STR(name), V_U64(token)),
	    &matched, err);

	return none_if_zero(rc, matched, "is lost", name, err);
}

enum rc
lease_renew(struct db *db, const struct sql_scope *scope, const char *name,
    uint64_t token, uint32_t ttl_ms, struct err *err)
{
	return prolong(db, scope, SQL_LEASES_RENEW, name, token, ttl_ms, err);
}

enum rc
lease_extend(struct db *db, const struct sql_scope *scope, const char *name,
    uint64_t token, uint32_t ttl_ms, struct err *err)
{
	return prolong(db, scope, SQL_LEASES_EXTEND, name, token, ttl_ms, err);
}

enum rc
lease_give(struct db *db, const struct sql_scope *scope, const char *name,
    uint64_t token, struct err *err)
{
	uint64_t matched = 0;
	enum rc rc = db_exec(db, scope, SQL_LEASES_GIVE,
	    SQL_ARGS(V_STR(name), V_U64(token)), &matched, err);

	return none_if_zero(rc, matched, "was lost before", name, err);
}

enum rc
lease_left(struct db *db, const struct sql_scope *scope, const char *name,
    int64_t *ms, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    db, scope, SQL_LEASES_LEFT, SQL_ARGS(V_STR(name)), &rows, err);

	*ms = 0;
	if (rc == RC_OK && db_rows_next(rows) && db_i64(rows, 0) > 0)
		*ms = db_i64(rows, 0) / 1000 + 1;
	db_rows_free(rows);
	return rc;
}
