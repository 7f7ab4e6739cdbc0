/* Connecting, and what a session is like. Transactions and statements: db.c. */
#include <mysql.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/ceilings.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "sql/db.h"
#include "sql/db_errors.h"
#include "sql/db_impl.h"

/* The flag of option calls: char in MariaDB and MySQL to 5.7, bool after. */
#if defined(MARIADB_BASE_VERSION) || defined(MARIADB_PACKAGE_VERSION)
#define IS_MARIADB_CLIENT 1
typedef my_bool sql_bool;
#else
#define IS_MARIADB_CLIENT 0
#if MYSQL_VERSION_ID < 80000
typedef my_bool sql_bool;
#else
typedef bool sql_bool;
#endif
#endif

/* Waits for metadata locks (ALTER TABLE); the servers' defaults are a day and
 * a year. */
#define METADATA_LOCK_WAIT_S 10

static const struct sql_scope no_tables = { .prefix = "", .base = "" };

enum rc
db_library_begin(struct err *err)
{
	if (mysql_library_init(0, NULL, NULL) != 0)
		return err_set(
		    err, RC_FATAL, "the MySQL library does not start");
	return RC_OK;
}

void
db_library_end(void)
{
	mysql_library_end();
}

void
db_thread_begin(void)
{
	(void)mysql_thread_init();
}

void
db_thread_end(void)
{
	mysql_thread_end();
}

/*
 * The connection's character set for a DB_CHARSET. wpdb makes utf8 utf8mb4,
 * and so do we. NULL: not one in which bytes can be quoted one by one.
 */
static const char *
find_charset(const char *name)
{
	static const char *const fine[] = { "utf8mb4", "latin1", "latin2",
		"latin5", "latin7", "ascii", "binary", "cp1250", "cp1251",
		"cp1256", "cp1257", "cp850", "cp852", "cp866", "greek",
		"hebrew", "koi8r", "koi8u", "swe7", "dec8", "hp8", "tis620",
		"macce", "macroman", "keybcs2", "armscii8", "geostd8" };

	if (!name || name[0] == '\0' || strcasecmp(name, "utf8") == 0 ||
	    strcasecmp(name, "utf8mb3") == 0)
		return "utf8mb4";
	for (size_t i = 0; i < NELEMS(fine); i++)
		if (strcasecmp(name, fine[i]) == 0)
			return fine[i];
	return NULL;
}

static void
set_timeout(MYSQL *mysql, enum mysql_option option, uint32_t s, unsigned unset)
{
	unsigned v = s > 0 ? s : unset;

	mysql_options(mysql, option, &v);
}

/* MYSQLI_CLIENT_SSL asks for TLS, and PHP's client verifies the server unless
 * MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT is set. Without it: none, as PHP
 * (some libraries would try by themselves). */
static void
set_tls(MYSQL *mysql, const struct db_params *p)
{
#if IS_MARIADB_CLIENT || MYSQL_VERSION_ID < 80000
	sql_bool enforce = (sql_bool)p->tls;
	sql_bool verify = (sql_bool)(p->tls && !p->tls_no_verify);

	mysql_options(mysql, MYSQL_OPT_SSL_ENFORCE, &enforce);
	mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
#else
	unsigned mode = !p->tls            ? SSL_MODE_DISABLED
			: p->tls_no_verify ? SSL_MODE_REQUIRED
					   : SSL_MODE_VERIFY_IDENTITY;
	sql_bool get_key = true;

	mysql_options(mysql, MYSQL_OPT_SSL_MODE, &mode);
	/* Without it an account with caching_sha2_password cannot log in over
	 * plain TCP. */
	mysql_options(mysql, MYSQL_OPT_GET_SERVER_PUBLIC_KEY, &get_key);
#endif
	if (p->tls && p->tls_ca)
		mysql_options(mysql, MYSQL_OPT_SSL_CA, p->tls_ca);
	if (p->tls && p->tls_cert)
		mysql_options(mysql, MYSQL_OPT_SSL_CERT, p->tls_cert);
	if (p->tls && p->tls_key)
		mysql_options(mysql, MYSQL_OPT_SSL_KEY, p->tls_key);
}

static enum rc
connect_to(struct db *db, const struct db_params *p, struct err *err)
{
	const char *charset = find_charset(p->charset);
	const char *host = p->host ? p->host : "localhost";
	unsigned local_infile = 0;

	if (!charset)
		return err_set(err, RC_REJECT,
		    "DB_CHARSET \"%s\" is none in which text can be quoted "
		    "safely; utf8mb4 is",
		    p->charset);
	set_timeout(
	    db->mysql, MYSQL_OPT_CONNECT_TIMEOUT, p->connect_timeout_s, 3);
	set_timeout(db->mysql, MYSQL_OPT_READ_TIMEOUT, p->read_timeout_s, 30);
	set_timeout(db->mysql, MYSQL_OPT_WRITE_TIMEOUT, p->read_timeout_s, 30);
	mysql_options(db->mysql, MYSQL_SET_CHARSET_NAME, charset);
	mysql_options(db->mysql, MYSQL_OPT_LOCAL_INFILE, &local_infile);
	set_tls(db->mysql, p);
	if (!mysql_real_connect(db->mysql, host, p->user, p->password, p->name,
		p->port, p->socket, CLIENT_FOUND_ROWS))
		return db_failed(db, "connecting", err);
	return RC_OK;
}

static bool
is_dropped_mode(struct slice mode)
{
	/* NO_ZERO_*: Action Scheduler's defaults are zero dates, and leaving
	 * one out of an INSERT would be error 1978. ANSI, TRADITIONAL: bring
	 * others along. NO_BACKSLASH_ESCAPES: sql_render() escapes so. */
	static const char *const dropped[] = { "NO_ZERO_DATE",
		"NO_ZERO_IN_DATE", "ONLY_FULL_GROUP_BY", "TRADITIONAL", "ANSI",
		"ANSI_QUOTES", "PIPES_AS_CONCAT", "NO_BACKSLASH_ESCAPES",
		"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES" };

	for (size_t i = 0; i < NELEMS(dropped); i++)
		if (slice_eq_str(mode, dropped[i]))
			return true;
	return false;
}

/* The server's list without what stands in the way, and strict: a value that
 * does not fit is an error, never cut in silence. */
static void
put_mode(struct buf *out, struct slice server)
{
	while (server.n > 0) {
		size_t n = slice_find(server, ',');
		struct slice mode = slice_mem(server.p, n);

		if (mode.n > 0 && !is_dropped_mode(mode)) {
			buf_put_slice(out, mode);
			buf_put_char(out, ',');
		}
		server = slice_from(server, n + 1);
	}
	buf_put_str(out, "STRICT_TRANS_TABLES");
}

static bool
is_on(struct slice flag)
{
	return !slice_eq_str(flag, "0") && !slice_eq_str(flag, "OFF");
}

/*
 * Writing goes to the writer only. On a read-only server some users may write
 * all the same (SUPER, READ_ONLY ADMIN); the server tells when a transaction
 * is begun for writing (1290, which is RC_RETRY: an address may come to point
 * at the writer again).
 */
static enum rc
check_writable(struct db *db, struct db_rows *look, struct err *err)
{
	enum rc rc;

	if (is_on(db_text(look, 2)))
		return err_set(err, RC_RETRY,
		    "the server is a read-only replica (innodb_read_only)");
	if (!is_on(db_text(look, 1)))
		return RC_OK;
	rc = db_exec(
	    db, &no_tables, SQL_SESSION_BEGIN_WRITE, SQL_NO_ARGS, NULL, err);
	if (rc != RC_OK) {
		err_wrap(err, "the server is a read-only replica");
		return rc;
	}
	return db_exec(
	    db, &no_tables, SQL_SESSION_ROLLBACK, SQL_NO_ARGS, NULL, err);
}

static enum rc
set_session(struct db *db, const struct db_params *p, struct err *err)
{
	struct buf mode = BUF_INIT(CEILING_SQL_MODE_BYTES);
	struct db_rows *look = NULL;
	uint64_t lock_wait = p->lock_wait_timeout_s;
	enum rc rc;

	rc = db_select(
	    db, &no_tables, SQL_SESSION_LOOK, SQL_NO_ARGS, &look, err);
	if (rc != RC_OK)
		goto out;
	if (!db_rows_next(look)) {
		rc = err_set(err, RC_RETRY, "session.look: no row");
		goto out;
	}
	put_mode(&mode, db_text(look, 0));
	if (mode.failed) {
		rc = err_set(
		    err, RC_REJECT, "the server's sql_mode is too long");
		goto out;
	}
	rc = db_exec(db, &no_tables, SQL_SESSION_SET,
	    SQL_ARGS(V_TEXT(buf_slice(&mode)),
		V_U64(lock_wait > 0 ? lock_wait : 3),
		V_U64(METADATA_LOCK_WAIT_S)),
	    NULL, err);
	if (rc == RC_OK)
		rc = db_exec(db, &no_tables, SQL_SESSION_ISOLATE, SQL_NO_ARGS,
		    NULL, err);
	if (rc == RC_OK)
		rc = check_writable(db, look, err);
out:
	db_rows_free(look);
	buf_clear(&mode);
	return rc;
}

enum rc
db_open(const struct db_params *params, struct db **out, struct err *err)
{
	struct db *db = xcalloc(1, sizeof *db);
	enum rc rc;

	*out = NULL;
	db->text = (struct buf)BUF_INIT(CEILING_STATEMENT_BYTES);
	db->jitter = (uint32_t)clock_wall(&clock_system) | 1;
	db->mysql = mysql_init(NULL);
	if (!db->mysql) {
		rc = err_set(err, RC_RETRY, "no memory for a connection");
		goto out;
	}
	rc = connect_to(db, params, err);
	if (rc == RC_OK) {
		db->jitter ^= (uint32_t)db_connection_id(db) << 8;
		rc = set_session(db, params, err);
	}
	if (rc != RC_OK)
		goto out;
	*out = db;
	db = NULL;
out:
	db_close(db);
	return rc;
}

void
db_close(struct db *db)
{
	if (!db)
		return;
	if (db->mysql)
		mysql_close(db->mysql);
	buf_clear(&db->text);
	free(db);
}
