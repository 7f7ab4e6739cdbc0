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
