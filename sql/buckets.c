#include "sql/buckets.h"

enum rc
bucket_take(struct db *db, const struct sql_scope *scope, const char *name,
    uint32_t count, uint32_t per_s, uint32_t want, uint32_t *got,
    struct err *err)
{
	enum rc rc = db_exec(db, scope, SQL_BUCKETS_TAKE,
	    SQL_ARGS(V_STR(name), V_U64(per_s), V_U64(per_s), V_U64(want),
		V_U64(count), V_U64(want), V_U64(count), V_U64(count)),
	    NULL, err);

	*got = rc == RC_OK ? (uint32_t)db_insert_id(db) : 0;
	return rc;
}

enum rc
bucket_give(struct db *db, const struct sql_scope *scope, const char *name,
    uint32_t per_s, uint32_t unused, struct err *err)
{
	return db_exec(db, scope, SQL_BUCKETS_GIVE,
	    SQL_ARGS(V_U64(unused), V_STR(name), V_U64(per_s), V_U64(per_s)),
	    NULL, err);
}

enum rc
bucket_open(struct db *db, const struct sql_scope *scope, const char *name,
    uint32_t count, uint32_t per_s, uint32_t want, uint32_t *got,
    struct err *err)
{
	enum rc rc = db_exec(db, scope, SQL_BUCKETS_OPEN,
	    SQL_ARGS(V_STR(name), V_U64(want), V_U64(count), V_U64(per_s),
		V_U64(want), V_U64(count), V_U64(count), V_U64(per_s),
		V_U64(per_s)),
	    NULL, err);

	*got = rc == RC_OK ? (uint32_t)db_insert_id(db) : 0;
	return rc;
}

enum rc
bucket_open_left(struct db *db, const struct sql_scope *scope, const char *name,
    uint32_t per_s, uint32_t *used, int64_t *left_ms, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, SQL_BUCKETS_LEFT,
	    SQL_ARGS(V_U64(per_s), V_STR(name), V_U64(per_s)), &rows, err);

	*used = 0;
	*left_ms = 0;
	if (rc == RC_OK && db_rows_next(rows) && db_i64(rows, 1) > 0) {
		*used = (uint32_t)db_u64(rows, 0);
		*left_ms = db_i64(rows, 1) / 1000 + 1;
	}
	db_rows_free(rows);
	return rc;
}

enum rc
bucket_open_give(struct db *db, const struct sql_scope *scope, const char *name,
    uint32_t unused, int64_t taken_ms, struct err *err)
{
	uint64_t taken_us = taken_ms > 0 ? (uint64_t)taken_ms * 1000 : 0;

	return db_exec(db, scope, SQL_BUCKETS_GIVE_OPEN,
	    SQL_ARGS(V_U64(unused), V_STR(name), V_U64(taken_us)), NULL, err);
}

enum rc
bucket_open_adopt(struct db *db, const struct sql_scope *scope,
    const char *name, uint32_t per_s, uint32_t used, int64_t left_ms,
    struct err *err)
{
	int64_t ago_ms = (int64_t)per_s * 1000 - left_ms;
	uint64_t ago_us = ago_ms > 0 ? (uint64_t)ago_ms * 1000 : 0;

	return db_exec(db, scope, SQL_BUCKETS_ADOPT,
	    SQL_ARGS(V_STR(name), V_U64(ago_us), V_U64(used), V_U64(per_s),
		V_U64(per_s)),
	    NULL, err);
}
