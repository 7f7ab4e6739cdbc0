#ifndef SQL_DB_H
#define SQL_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "sql/render.h" /* statements, values, scopes */

/* How to reach a database. Strings are lent for the call only. */
struct db_params {
	const char *host;   /* NULL: localhost */
	uint16_t port;      /* 0: 3306 */
	const char *socket; /* NULL: TCP, or the library's socket */
	const char *user;
	const char *password;
	const char *name;
	const char *charset; /* DB_CHARSET; NULL, "" or utf8: utf8mb4 */
	const char *tls_ca, *tls_cert, *tls_key; /* MYSQL_SSL_*; may be NULL */
	bool tls;                                /* MYSQLI_CLIENT_SSL */
	bool tls_no_verify; /* MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT */
	uint32_t connect_timeout_s;   /* 0: 3 */
	uint32_t read_timeout_s;      /* 0: 30 */
	uint32_t lock_wait_timeout_s; /* innodb_lock_wait_timeout; 0: 3 */
};

struct db;

/*
 * db_open - connect and set the session up: READ COMMITTED, autocommit,
 * strict, without NO_ZERO_DATE, NO_ZERO_IN_DATE, ONLY_FULL_GROUP_BY, ANSI and
 * NO_BACKSLASH_ESCAPES; lock timeouts; time_zone as the server has it;
 * affected rows are *matched* rows (CLIENT_FOUND_ROWS).
 * The library never reconnects by itself. RC_RETRY: away, full, or a replica
 * on which this user may not write; RC_REJECT: wrong credentials or database,
 * or a character set in which quoting would not be safe (gbk, sjis, ...).
 * Caller closes.
 *
 * Threads: a connection is used by one thread at a time. Each thread that
 * calls this brackets its life with db_thread_begin() and db_thread_end().
 * Blocks for at most connect_timeout_s and a few answers.
 */
MUSTUSE enum rc db_open(
    const struct db_params *params, struct db **out, struct err *err);
void db_close(struct db *db); /* NULL is fine */
/* Once in main before any thread; and at the end. */
MUSTUSE enum rc db_library_begin(struct err *err);
void db_library_end(void);
void db_thread_begin(void);
void db_thread_end(void);

/* True once a call failed with a lost connection (2006, 2013, ...), or on a
 * server that can no longer be written to (failover): the caller closes and
 * opens anew, and reads back before repeating a write. Every later call
 * returns RC_RETRY at once. */
bool db_is_lost(const struct db *db);
/* The server's error number of the last call, 0 when it had none. */
int db_errno(const struct db *db);
/* Thread id of the connection, for KILL in tests and doctor. */
uint64_t db_connection_id(const struct db *db);
/* "10.11.14-MariaDB-..." ; lent. */
const char *db_server_info(const struct db *db);

/*
 * db_exec - run a statement that returns no rows; *affected (may be NULL) is
 * the number of matched rows. RC_RETRY: deadlock, lock wait, lost connection
 * or another error that passes; RC_NONE: duplicate key (1062); RC_REJECT: any
 * other error, among them 1054, 1146 and 1176, after which the caller probes
 * the schema anew.
 *
 * Outside a transaction a deadlock (1213) or lock wait (1205) had no effect,
 * so it is repeated here as db_transact() does. Inside one, RC_RETRY means that
 * all of it is rolled back; every call up to the db_commit() or db_rollback()
 * that ends it then returns RC_RETRY too and does nothing, so a caller that
 * forgets to look cannot write half of it. After RC_NONE and RC_REJECT the
 * transaction goes on.
 *
 * Statements go as text: prepared ones were measured to be no faster (0.06
 * against 0.06 ms for a read by key), are lost with the connection, count
 * against the server's max_prepared_stmt_count (statements x blogs x
 * connections) and keep proxies from sharing; sql_render() is the one place
 * that quotes.
 */
MUSTUSE enum rc db_exec(struct db *db, const struct sql_scope *scope,
    enum sql_id id, const struct sql_args *args, uint64_t *affected,
    struct err *err);
uint64_t db_insert_id(const struct db *db);

/*
 * db_select - run a statement and fetch its whole result to this side.
 * Errors as db_exec, also when they come while rows are produced. *out is
 * freed with db_rows_free() (NULL is fine).
 */
struct db_rows;
MUSTUSE enum rc db_select(struct db *db, const struct sql_scope *scope,
    enum sql_id id, const struct sql_args *args, struct db_rows **out,
    struct err *err);
size_t db_rows_count(const struct db_rows *rows);
/* Step to the next row; false after the last. */
MUSTUSE bool db_rows_next(struct db_rows *rows);
void db_rows_free(struct db_rows *rows);
/* Columns of the current row, from 0; text is lent until db_rows_free(). */
bool db_is_null(const struct db_rows *rows, unsigned col);
/* p NULL for NULL */
struct slice db_text(const struct db_rows *rows, unsigned col);
/* 0 for NULL or no number */
uint64_t db_u64(const struct db_rows *rows, unsigned col);
int64_t db_i64(const struct db_rows *rows, unsigned col);
/* Unix time of a datetime; INT64_MIN for NULL and the zero date. */
int64_t db_time(const struct db_rows *rows, unsigned col);

/*
 * Transactions; they do not nest. db_commit(): RC_RETRY with db_is_lost()
 * means the outcome is unknown: read back. Without it, nothing was written.
 * db_rollback() never fails; on a lost connection, and when none is open, it
 * only forgets the transaction.
 */
MUSTUSE enum rc db_begin(struct db *db, struct err *err);
MUSTUSE enum rc db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db);

/*
 * db_transact - run `body` in a transaction and commit; on RC_RETRY that is
 * not a lost connection the whole is repeated up to 5 times with 5, 20, 60,
 * 150, 400 ms +- 50 % between, as long as it has not taken 10 s. Any other rc
 * of the body rolls back and is returned, but RC_OK commits.
 */
typedef enum rc db_body_fn(struct db *db, void *arg, struct err *err);
MUSTUSE enum rc db_transact(
    struct db *db, db_body_fn *body, void *arg, struct err *err);

/*
 * db_probe - which columns and indexes this blog's Action Scheduler tables
 * have. RC_NONE: the tables are not there. RC_REJECT: not InnoDB, with the
 * words. Index names are static strings and always name an index that is
 * there (PRIMARY at worst). Statements whose head says
 * `-- needs: priority_index` are only used when has_priority_index.
 */
struct db_schema {
	unsigned columns; /* enum db_column bits, for the scope */
	/* best index for (claim_id, status, date); static */
	const char *due_index;
	/* status_last_attempt_gmt or last_attempt_gmt */
	const char *retention_index;
	/* claim_id_status_priority_scheduled_date_gmt */
	bool has_priority_index;
	bool has_hook_status_index;    /* hook_status_scheduled_date_gmt */
	bool has_status_attempt_index; /* status_last_attempt_gmt */
};
MUSTUSE enum rc db_probe(struct db *db, const struct sql_scope *scope,
    struct db_schema *out, struct err *err);

/*
 * db_explain - how the server would run a SELECT on one table, for doctor and
 * tests. Errors as db_select().
 */
struct db_plan {
	char how[32];   /* "range", "ref", "ALL": reads every row */
	char index[80]; /* "" for none */
	uint64_t rows;  /* its estimate of rows read */
	bool sorts;     /* what it reads, instead of an index's order */
};
MUSTUSE enum rc db_explain(struct db *db, const struct sql_scope *scope,
    enum sql_id id, const struct sql_args *args, struct db_plan *out,
    struct err *err);

/* Counters over all connections of the process, for status and tests. */
struct db_counters {
	uint64_t statements, retries_deadlock, retries_lock_wait, lost;
};
void db_counters_get(struct db_counters *out);

#endif
