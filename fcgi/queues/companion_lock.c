#include "queues/companion_lock.h"

enum rc
companion_lock(struct db *db, const struct sql_scope *scope, uint32_t timeout_s,
    struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, SQL_COMPANION_LOCK,
	    SQL_ARGS(V_U64(timeout_s)), &rows, err);

	if (rc == RC_OK && !(db_rows_next(rows) && db_u64(rows, 0) == 1))
		rc = err_set(err, RC_NONE,
		    "the companion plugin's lock was not had in %u s",
		    (unsigned)timeout_s);
	db_rows_free(rows);
	return rc;
}

void
companion_unlock(struct db *db, const struct sql_scope *scope)
{
	struct db_rows *rows = NULL;
	struct err ignored = ERR_INIT;

	(void)!db_select(
	    db, scope, SQL_COMPANION_UNLOCK, SQL_NO_ARGS, &rows, &ignored);
	db_rows_free(rows);
}
