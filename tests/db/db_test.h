#ifndef TESTS_DB_DB_TEST_H
#define TESTS_DB_DB_TEST_H

#include <check.h>
#include <pthread.h>
#include <stdint.h>

#include "base/err.h"
#include "sql/db.h"

/*
 * A database of its own for every test, on the server that
 * WPCRON_TEST_DB_SOCKET or WPCRON_DB_SOCKET names (user root, no password).
 */
struct db_test {
	char name[64];
	char socket[128];
	struct db_params params; /* as root, into the test's database */
	struct sql_scope scope;  /* prefix wp_ for both */
	struct db *db;           /* one open connection */
	struct err err;
};
extern struct db_test t;

/* Checked fixtures. */
void db_test_open(void);
void db_test_close(void);
/* A case with these fixtures; `seconds` is its time limit. */
TCase *db_test_case(const char *name, double seconds);

/* The raw connection that db_test_sql() uses. */
struct st_mysql *db_test_raw(void);
/* Another connection, as t.params say. */
struct db *db_test_connect(void);
/* One statement on a raw connection of the calling test, which stays open. */
void db_test_sql(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* The first column of its first row as a number. */
uint64_t db_test_u64(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Wait until the query gives 1; fails the test after 10 s. */
void db_test_await(const char *query);
/* The four Action Scheduler tables as a store schema (3 to 9) has them; first
 * the tables with their primary keys alone, then the other indexes. */
void db_test_actions(int schema);
void db_test_actions_tables(int schema);
void db_test_actions_indexes(int schema);

#define CK_RC(want, call)                                                      \
	do {                                                                   \
		enum rc ck_rc = (call);                                        \
		ck_assert_msg(ck_rc == (want), "%s is %s: %s", #call,          \
		    rc_name(ck_rc), t.err.text);                               \
	} while (0)

#endif
