#include "sql/db.h"

#include <mysql.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "sql/db_errors.h"
#include "sql/db_impl.h"

/* After the fifth repeat a lock is not a coincidence any more; the waits are
 * those that let 8 contenders through, +- 50 % so that they do not meet again.
 * Lock waits take seconds each, so there is an end in time too. */
static const unsigned backoff_ms[] = { 5, 20, 60, 150, 400 };
#define REPEAT_WITHIN_MS 10000

static struct {
	atomic_uint_fast64_t statements, deadlocks, lock_waits, lost;
} counters;

static const struct sql_scope no_tables = { .prefix = "", .base = "" };

/* Wait before repeat number `try` (from 0); false: it is time to give up. */
static bool
back_off(struct db *db, size_t try, mono_ms since)
{
	uint32_t x = db->jitter;
	struct timespec ts = { 0 };
	unsigned us;

	if (try >= NELEMS(backoff_ms) ||
	    clock_mono(&clock_system) - since >= REPEAT_WITHIN_MS)
		return false;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	db->jitter = x;
	us = backoff_ms[try] * (500 + x % 1001);
	ts.tv_sec = us / 1000000;
	ts.tv_nsec = (long)(us % 1000000) * 1000;
	nanosleep(&ts, NULL);
	return true;
}

enum rc
db_failed(struct db *db, const char *what, struct err *err)
{
	int code = (int)mysql_errno(db->mysql);
	struct db_error error;
	enum rc rc;

	if (code == 0)
		code = DB_CR_SERVER_LOST;
	error = db_error_sort(code);
	db->code = code;
	rc = err_set_code(err, error.rc, code, "%s: %s (%d)", what,
	    mysql_error(db->mysql), code);
	if (code == DB_ER_LOCK_DEADLOCK)
		atomic_fetch_add(&counters.deadlocks, 1);
	if (code == DB_ER_LOCK_WAIT_TIMEOUT)
		atomic_fetch_add(&counters.lock_waits, 1);
	if (error.lost && !db->lost) {
		db->lost = true;
		atomic_fetch_add(&counters.lost, 1);
	}
	/* A deadlock ends the transaction on the server, a lock wait only the
	 * statement (innodb_rollback_on_timeout): make them the same. */
	if (rc == RC_RETRY && db->transaction == DB_IN_TRANSACTION) {
		db_rollback(db);
		db->transaction = DB_ROLLED_BACK;
	}
	return rc;
}

/*
 * Send db->text once. *result stays NULL when no rows come back. Errors may
 * come while rows are produced: the query call succeeds, and fetching the
 * result returns NULL (1213, 1317).
 */
static enum rc
send_text(struct db *db, const char *name, MYSQL_RES **result, struct err *err)
{
	db->code = 0;
	*result = NULL;
	atomic_fetch_add(&counters.statements, 1);
	if (mysql_real_query(
		db->mysql, buf_str(&db->text), (unsigned long)db->text.n) != 0)
		return db_failed(db, name, err);
	*result = mysql_store_result(db->mysql);
	if (!*result &&
	    (mysql_field_count(db->mysql) > 0 || mysql_errno(db->mysql) != 0))
		return db_failed(db, name, err);
	return RC_OK;
}

/* May anything be sent now? */
static enum rc
check_usable(struct db *db, const char *name, struct err *err)
{
	if (db->lost)
		return err_set_code(err, RC_RETRY, db->code,
		    "%s: the connection to the database is lost", name);
	if (db->transaction == DB_ROLLED_BACK)
		return err_set_code(err, RC_RETRY, db->code,
		    "%s: the transaction was rolled back", name);
	return RC_OK;
}

static enum rc
run(struct db *db, const struct sql_scope *scope, enum sql_id id,
    const struct sql_args *args, MYSQL_RES **result, struct err *err)
{
	const char *name = sql_statements[id].name;
	mono_ms since = clock_mono(&clock_system);
	enum rc rc = check_usable(db, name, err);

	*result = NULL;
	if (rc != RC_OK)
		return rc;
	buf_reset(&db->text);
	rc = sql_render(id, scope, args, &db->text, err);
	if (rc != RC_OK) {
		db->code = 0;
		return rc;
	}
	for (size_t try = 0;; try++) {
		rc = send_text(db, name, result, err);
		if (rc != RC_RETRY || db->transaction != DB_NO_TRANSACTION ||
		    !db_error_sort(db->code).again || !back_off(db, try, since))
			return rc;
	}
}

enum rc
db_exec(struct db *db, const struct sql_scope *scope, enum sql_id id,
    const struct sql_args *args, uint64_t *affected, struct err *err)
{
	MYSQL_RES *result = NULL;
	enum rc rc = run(db, scope, id, args, &result, err);

	if (result) {
		mysql_free_result(result);
		return err_set(err, RC_REJECT, "%s: returns rows",
		    sql_statements[id].name);
	}
	if (affected)
		*affected = rc == RC_OK ? mysql_affected_rows(db->mysql) : 0;
	return rc;
}

uint64_t
db_insert_id(const struct db *db)
{
	return mysql_insert_id(db->mysql);
}

enum rc
db_select(struct db *db, const struct sql_scope *scope, enum sql_id id,
    const struct sql_args *args, struct db_rows **out, struct err *err)
{
	MYSQL_RES *result = NULL;
	enum rc rc = run(db, scope, id, args, &result, err);

	*out = NULL;
	if (rc != RC_OK)
		return rc;
	if (!result)
		return err_set(err, RC_REJECT, "%s: returns no rows",
		    sql_statements[id].name);
	*out = db_rows_new(result);
	return RC_OK;
}

/* BEGIN, COMMIT and ROLLBACK are never repeated by themselves. */
static enum rc
run_once(struct db *db, enum sql_id id, struct err *err)
{
	MYSQL_RES *result = NULL;
	enum rc rc;

	buf_reset(&db->text);
	rc = sql_render(id, &no_tables, SQL_NO_ARGS, &db->text, err);
	if (rc == RC_OK)
		rc = send_text(db, sql_statements[id].name, &result, err);
	return rc;
}

enum rc
db_begin(struct db *db, struct err *err)
{
	enum rc rc = check_usable(db, "session.begin", err);

	if (rc != RC_OK)
		return rc;
	if (db->transaction != DB_NO_TRANSACTION)
		return err_set(err, RC_REJECT, "transactions do not nest");
	rc = run_once(db, SQL_SESSION_BEGIN, err);
	if (rc == RC_OK)
		db->transaction = DB_IN_TRANSACTION;
	return rc;
}

enum rc
db_commit(struct db *db, struct err *err)
{
	enum rc rc = check_usable(db, "session.commit", err);

	if (rc == RC_OK && db->transaction == DB_NO_TRANSACTION)
		return err_set(err, RC_REJECT, "no transaction to commit");
	if (rc == RC_OK)
		rc = run_once(db, SQL_SESSION_COMMIT, err);
	/* RC_REJECT leaves it open (a deferred check); RC_RETRY does not. */
	if (rc == RC_REJECT)
		db_rollback(db);
	db->transaction = DB_NO_TRANSACTION;
	return rc;
}

void
db_rollback(struct db *db)
{
	bool open = db->transaction == DB_IN_TRANSACTION;
	int code = db->code;

	db->transaction = DB_NO_TRANSACTION;
	/* What cannot be rolled back here is rolled back by hanging up. */
	if (open && !db->lost &&
	    run_once(db, SQL_SESSION_ROLLBACK, NULL) != RC_OK)
		db->lost = true;
	db->code = code;
}

enum rc
db_transact(struct db *db, db_body_fn *body, void *arg, struct err *err)
{
	mono_ms since = clock_mono(&clock_system);
	enum rc rc;

	for (size_t try = 0;; try++) {
		rc = db_begin(db, err);
		if (rc != RC_OK)
			return rc;
		rc = body(db, arg, err);
		if (rc == RC_OK)
			rc = db_commit(db, err);
		else
			db_rollback(db);
		if (rc != RC_RETRY || db->lost || !back_off(db, try, since))
			return rc;
	}
}

bool
db_is_lost(const struct db *db)
{
	return db->lost;
}

int
db_errno(const struct db *db)
{
	return db->code;
}

uint64_t
db_connection_id(const struct db *db)
{
	return mysql_thread_id(db->mysql);
}

const char *
db_server_info(const struct db *db)
{
	return mysql_get_server_info(db->mysql);
}

void
db_counters_get(struct db_counters *out)
{
	out->statements = atomic_load(&counters.statements);
	out->retries_deadlock = atomic_load(&counters.deadlocks);
	out->retries_lock_wait = atomic_load(&counters.lock_waits);
	out->lost = atomic_load(&counters.lost);
}
