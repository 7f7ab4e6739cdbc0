#ifndef SQL_DB_H
#define SQL_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "sql/statements.h" /* generated: enum sql_id, SQL_... */

/* How to reach a database. Strings are lent for the call only. */
struct db_params {
	const char *host;     /* NULL: localhost */
	uint16_t port;	      /* 0: 3306 */
	const char *socket;   /* NULL: TCP, or the library's socket */
	const char *user;
	const char *password;
	const char *name;
	const char *charset;  /* NULL: utf8mb4 */
	const char *tls_ca, *tls_cert, *tls_key; /* MYSQL_SSL_*; may be NULL */
	bool tls;	      /* MYSQLI_CLIENT_SSL */
	bool tls_no_verify;   /* MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT */
	uint32_t connect_timeout_s;   /* 0: 3 */
	uint32_t read_timeout_s;      /* 0: 30 */
	uint32_t lock_wait_timeout_s; /* innodb_lock_wait_timeout; 0: 3 */
};

/* Columns and indexes that only some schema versions have; {?col ...}, {index}. */
enum db_column {
	DB_COLUMN_PRIORITY = 1u << 0,
	DB_COLUMN_EXTENDED_ARGS = 1u << 1,
	DB_COLUMN_UNIQUE_KEY = 1u << 2,
};

/* For whom a statement is rendered: table prefixes and what is present. */
struct sql_scope {
	const char *prefix;	/* {p}, blog's, e.g. "wp_2_" */
	const char *base;	/* {base}, network's, e.g. "wp_" */
	unsigned columns;	/* enum db_column bits */
	const char *due_index;	/* {due_index}: index for the due read by date */
};

/* One bound value. */
struct sql_value {
	enum sql_type {
		SQL_NULL,
		SQL_I64,
		SQL_U64,
		SQL_TEXT,  /* escaped, quoted, in the connection's charset */
		SQL_TIME,  /* i64 is Unix time, rendered as 'Y-m-d H:i:s' UTC;
			      INT64_MIN is the zero date */
	} type;
	int64_t i64;
	uint64_t u64;
	struct slice text;
};
#define V_NULL ((struct sql_value) { .type = SQL_NULL })
#define V_I64(v) ((struct sql_value) { .type = SQL_I64, .i64 = (v) })
#define V_U64(v) ((struct sql_value) { .type = SQL_U64, .u64 = (v) })
#define V_TEXT(v) ((struct sql_value) { .type = SQL_TEXT, .text = (v) })
#define V_STR(v) ((struct sql_value) { .type = SQL_TEXT, .text = slice_str(v) })
#define V_TIME(v) ((struct sql_value) { .type = SQL_TIME, .i64 = (v) })
/* A nullable text: p == NULL becomes NULL. */
struct sql_value sql_text_or_null(struct slice s);

/* What goes into a statement, in the order its head names it. */
struct sql_args {
	const struct sql_value *values; /* the `?` */
	size_t nvalues;
	const uint64_t *ids;		/* {ids}; never empty */
	size_t nids;
	const struct sql_value *rows;	/* {rows n}: nrows tuples of n values */
	size_t nrows;
};
/* SQL_ARGS(V_U64(1), V_STR("x")) */
#define SQL_ARGS(...)                                                          \
	(&(const struct sql_args) {                                            \
	    .values = (const struct sql_value[]) { __VA_ARGS__ },              \
	    .nvalues = sizeof((const struct sql_value[]) { __VA_ARGS__ }) /    \
		sizeof(struct sql_value) })
#define SQL_NO_ARGS (&(const struct sql_args) { 0 })

/*
 * sql_render - the text of statement `id`. RC_REJECT: a value is missing or
 * over, a prefix has a byte outside [A-Za-z0-9_], or the text is over the
 * buffer's ceiling. Escaping is by the rules of a connection in utf8mb4
 * without NO_BACKSLASH_ESCAPES, which db_open() makes sure of.
 */
MUSTUSE enum rc sql_render(enum sql_id id, const struct sql_scope *scope,
    const struct sql_args *args, struct buf *out, struct err *err);

struct db;

/*
 * db_open - connect and set the session up (sql-concurrency.md section 9):
 * READ COMMITTED, autocommit, WordPress' sql_mode, lock timeouts; affected
 * rows are *matched* rows (CLIENT_FOUND_ROWS). RC_RETRY: away or full;
 * RC_REJECT: wrong credentials or database. Caller closes.
 *
 * Threads: a connection is used by one thread at a time. Each thread that
 * calls this brackets its life with db_thread_begin() and db_thread_end().
 */
MUSTUSE enum rc db_open(
    const struct db_params *params, struct db **out, struct err *err);
void db_close(struct db *db); /* NULL is fine */
/* Once in main before any thread; and at the end. */
MUSTUSE enum rc db_library_begin(struct err *err);
void db_library_end(void);
void db_thread_begin(void);
void db_thread_end(void);

/* True once a call failed with a lost connection (2006, 2013, ...): the caller
 * closes and opens anew, and reads back before repeating a write. */
bool db_is_lost(const struct db *db);
/* The server's error number of the last failed call, 0 if none. */
int db_errno(const struct db *db);
/* Thread id of the connection, for KILL in tests and doctor. */
uint64_t db_connection_id(const struct db *db);
/* "10.11.14-MariaDB-..." ; lent. */
const char *db_server_info(const struct db *db);

/*
 * db_exec - run a statement that returns no rows; *affected (may be NULL) is
 * the number of matched rows. RC_RETRY: deadlock, lock wait or lost connection
 * (a transaction that was open is rolled back); RC_NONE: duplicate key (1062);
 * RC_REJECT: any other error, among them 1054, 1146 and 1176, after which the
 * caller probes the schema anew.
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
struct slice db_text(const struct db_rows *rows, unsigned col); /* p NULL for NULL */
uint64_t db_u64(const struct db_rows *rows, unsigned col); /* 0 for NULL or no number */
int64_t db_i64(const struct db_rows *rows, unsigned col);
/* Unix time of a datetime; INT64_MIN for NULL and the zero date. */
int64_t db_time(const struct db_rows *rows, unsigned col);

/*
 * Transactions. db_commit(): RC_RETRY with db_is_lost() means the outcome is
 * unknown: read back. db_rollback() never fails; on a lost connection it only
 * forgets the transaction.
 */
MUSTUSE enum rc db_begin(struct db *db, struct err *err);
MUSTUSE enum rc db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db);

/*
 * db_transact - run `body` in a transaction and commit; on RC_RETRY that is
 * not a lost connection the whole is repeated up to 5 times with 5, 20, 60,
 * 150, 400 ms +- 50 % between (sql-concurrency.md section 6). Any other rc of
 * the body rolls back and is returned, but RC_OK commits.
 */
typedef enum rc db_body_fn(struct db *db, void *arg, struct err *err);
MUSTUSE enum rc db_transact(
    struct db *db, db_body_fn *body, void *arg, struct err *err);

/*
 * db_probe - which columns and indexes this blog's Action Scheduler tables
 * have. RC_NONE: the tables are not there. RC_REJECT: not InnoDB, with the
 * words. Fills scope->columns and scope->due_index (a static string).
 */
struct db_schema {
	unsigned columns;	    /* enum db_column bits */
	const char *due_index;	    /* best index for (claim_id,status,date); static */
	bool has_priority_index;    /* claim_id_status_priority_scheduled_date_gmt */
	bool has_hook_status_index; /* hook_status_scheduled_date_gmt */
	bool has_status_attempt_index; /* status_last_attempt_gmt */
};
MUSTUSE enum rc db_probe(struct db *db, const struct sql_scope *scope,
    struct db_schema *out, struct err *err);

/* Counters over all connections of the process, for status and tests. */
struct db_counters {
	uint64_t statements, retries_deadlock, retries_lock_wait, lost;
};
void db_counters_get(struct db_counters *out);

#endif
