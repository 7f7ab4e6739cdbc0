#ifndef SQL_DB_IMPL_H
#define SQL_DB_IMPL_H

#include <mysql.h>

#include "sql/db.h"

/* A connection, as the files of sql/ see it. */
struct db {
	MYSQL *mysql;
	struct buf text; /* the statement; kept for its memory */
	enum {
		DB_NO_TRANSACTION,
		DB_IN_TRANSACTION,
		DB_ROLLED_BACK, /* by an error; its caller does not know yet */
	} transaction;
	bool lost;
	int code;        /* of the last call */
	uint32_t jitter; /* xorshift state; never 0 */
};

/* Takes the result; for db_select(). */
struct db_rows *db_rows_new(MYSQL_RES *result);

/* Record what the library says about the connection; `what` begins the words.
 * Rolls back when the error means to. */
enum rc db_failed(struct db *db, const char *what, struct err *err);

#endif
