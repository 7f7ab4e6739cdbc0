#ifndef SQL_DB_ERRORS_H
#define SQL_DB_ERRORS_H

#include <stdbool.h>

#include "base/err.h"

/* What an error of the server or the client library means. */
struct db_error {
	enum rc rc; /* RC_NONE, RC_RETRY or RC_REJECT */
	bool lost;  /* this connection is of no more use */
	/* The statement (or all of its transaction) had no effect and may be
	 * repeated at once. */
	bool again;
};

#define DB_ER_LOCK_WAIT_TIMEOUT 1205
#define DB_ER_LOCK_DEADLOCK 1213
#define DB_ER_BAD_FIELD 1054 /* unknown column */
#define DB_ER_NO_SUCH_TABLE 1146
#define DB_ER_NO_SUCH_KEY 1176 /* an index that is named */
#define DB_ER_WRONG_VALUE 1366 /* no text of the column's charset */
#define DB_CR_SERVER_LOST 2013

/* Pure; any thread. What is not listed is RC_REJECT, but for errors of the
 * client library, which leave the connection in an unknown state. */
struct db_error db_error_sort(int code);

#endif
