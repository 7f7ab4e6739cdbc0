#include "queues/outbox_pauses.h"

enum rc
outbox_paused(struct db *db, const struct sql_scope *scope, const char *relay,
    bool *paused, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(db, scope, SQL_OUTBOX_CTL_PAUSED,
	    SQL_ARGS(V_BYTES(slice_str(relay))), &rows, err);

	*paused = rc == RC_OK && db_rows_next(rows);
	db_rows_free(rows);
	return rc;
}
