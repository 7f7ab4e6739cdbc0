#include "db_test.h"

#include <mysql.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

struct db_test t;
static MYSQL *raw;

static const char *
socket_path(void)
{
	const char *s = getenv("WPCRON_TEST_DB_SOCKET");

	if (!s)
		s = getenv("WPCRON_DB_SOCKET");
	ck_assert_msg(s != NULL, "WPCRON_TEST_DB_SOCKET names no server");
	return s;
}

static void
raw_open(void)
{
	raw = mysql_init(NULL);
	ck_assert_msg(mysql_real_connect(raw, "localhost", "root", "", NULL, 0,
			  t.socket, 0) != NULL,
	    "%s", mysql_error(raw));
}

static MYSQL_RES *raw_query(const char *fmt, va_list ap) PRINTF_LIKE(1, 0);

static MYSQL_RES *
raw_query(const char *fmt, va_list ap)
{
	struct buf text = BUF_INIT(1 << 20);
	MYSQL_RES *result;

	buf_vprintf(&text, fmt, ap);
	ck_assert_msg(
	    mysql_real_query(raw, buf_str(&text), (unsigned long)text.n) == 0,
	    "%s: %s", buf_str(&text), mysql_error(raw));
	result = mysql_store_result(raw);
	buf_clear(&text);
	return result;
}

void
db_test_sql(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	mysql_free_result(raw_query(fmt, ap));
	va_end(ap);
}

uint64_t
db_test_u64(const char *fmt, ...)
{
	MYSQL_RES *result;
	MYSQL_ROW row;
	uint64_t v = 0;
	va_list ap;

	va_start(ap, fmt);
	result = raw_query(fmt, ap);
	va_end(ap);
	ck_assert(result != NULL);
	row = mysql_fetch_row(result);
	if (row && row[0])
		ck_assert(slice_u64(slice_str(row[0]), &v));
	mysql_free_result(result);
	return v;
}

void
db_test_await(const char *query)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	mono_ms start = clock_mono(&clock_system);

	while (db_test_u64("%s", query) != 1) {
		ck_assert_msg(clock_mono(&clock_system) - start < 10000,
		    "never came: %s", query);
		nanosleep(&pause, NULL);
	}
}

struct st_mysql *
db_test_raw(void)
{
	return raw;
}

struct db *
db_test_connect(void)
{
	struct db *db = NULL;

	CK_RC(RC_OK, db_open(&t.params, &db, &t.err));
	return db;
}

void
db_test_open(void)
{
	t = (struct db_test){ .err = ERR_INIT };
	CK_RC(RC_OK, db_library_begin(&t.err));
	snprintf(t.name, sizeof t.name, "wpcron_test_%ld", (long)getpid());
	snprintf(t.socket, sizeof t.socket, "%s", socket_path());
	raw_open();
	db_test_sql("DROP DATABASE IF EXISTS %s", t.name);
	db_test_sql("CREATE DATABASE %s CHARACTER SET utf8mb4", t.name);
	db_test_sql("USE %s", t.name);
	db_test_sql("SET SESSION sql_mode = ''");
	t.params = (struct db_params){ .socket = t.socket,
		.user = "root",
		.password = "",
		.name = t.name };
	t.scope = (struct sql_scope){ .prefix = "wp_", .base = "wp_" };
	t.db = db_test_connect();
}

void
db_test_close(void)
{
	db_close(t.db);
	db_test_sql("DROP DATABASE %s", t.name);
	mysql_close(raw);
	db_library_end();
}

TCase *
db_test_case(const char *name, double seconds)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, db_test_open, db_test_close);
	tcase_set_timeout(tc, seconds);
	return tc;
}

void
db_test_actions_tables(int schema)
{
	db_test_sql(
	    "CREATE TABLE wp_actionscheduler_actions ("
	    " action_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,"
	    " hook VARCHAR(191) NOT NULL, status VARCHAR(20) NOT NULL,"
	    " scheduled_date_gmt DATETIME DEFAULT '0000-00-00 00:00:00',"
	    " scheduled_date_local DATETIME"
	    "   DEFAULT '0000-00-00 00:00:00',"
	    " args VARCHAR(191), schedule LONGTEXT,"
	    " group_id BIGINT UNSIGNED NOT NULL DEFAULT 0,"
	    " attempts INT NOT NULL DEFAULT 0,"
	    " last_attempt_gmt DATETIME DEFAULT '0000-00-00 00:00:00',"
	    " last_attempt_local DATETIME"
	    "   DEFAULT '0000-00-00 00:00:00',"
	    " claim_id BIGINT UNSIGNED NOT NULL DEFAULT 0"
	    " %s %s %s, PRIMARY KEY (action_id)) ENGINE=InnoDB",
	    schema >= 3 ? ", extended_args VARCHAR(8000)" : "",
	    schema >= 7 ? ", priority TINYINT UNSIGNED NOT NULL DEFAULT 10"
			: "",
	    schema >= 9 ? ", unique_key VARCHAR(191)" : "");
	db_test_sql("CREATE TABLE wp_actionscheduler_claims ("
		    " claim_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,"
		    " date_created_gmt DATETIME DEFAULT '0000-00-00 00:00:00',"
		    " PRIMARY KEY (claim_id),"
		    " KEY date_created_gmt (date_created_gmt)) ENGINE=InnoDB");
	db_test_sql("CREATE TABLE wp_actionscheduler_groups ("
		    " group_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,"
		    " slug VARCHAR(255) NOT NULL, PRIMARY KEY (group_id),"
		    " KEY slug (slug(191))) ENGINE=InnoDB");
	db_test_sql(
	    "CREATE TABLE wp_actionscheduler_logs ("
	    " log_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,"
	    " action_id BIGINT UNSIGNED NOT NULL, message TEXT NOT NULL,"
	    " log_date_gmt DATETIME DEFAULT '0000-00-00 00:00:00',"
	    " log_date_local DATETIME DEFAULT '0000-00-00 00:00:00',"
	    " PRIMARY KEY (log_id)) ENGINE=InnoDB");
}

/* In one ALTER: on a full table each would read all of it again. */
void
db_test_actions_indexes(int schema)
{
	db_test_sql(
	    "ALTER TABLE wp_actionscheduler_actions ADD KEY args (args),"
	    " ADD KEY scheduled_date_gmt (scheduled_date_gmt),"
	    " ADD KEY group_id (group_id),"
	    " ADD KEY last_attempt_gmt (last_attempt_gmt) %s %s %s %s %s",
	    schema < 6 ? ", ADD KEY claim_id (claim_id)" : "",
	    schema >= 4 ? ", ADD KEY claim_id_status_scheduled_date_gmt"
			  " (claim_id, status, scheduled_date_gmt)"
			: "",
	    schema < 7 ? ", ADD KEY hook (hook), ADD KEY status (status)"
		       : ", ADD KEY hook_status_scheduled_date_gmt"
			 " (hook(163), status, scheduled_date_gmt), ADD KEY"
			 " status_scheduled_date_gmt"
			 " (status, scheduled_date_gmt)",
	    schema >= 8
		? ", ADD KEY claim_id_status_priority_scheduled_date_gmt"
		  " (claim_id, status, priority, scheduled_date_gmt),"
		  " ADD KEY status_last_attempt_gmt"
		  " (status, last_attempt_gmt), ADD KEY"
		  " status_claim_id (status, claim_id)"
		: "",
	    schema >= 9 ? ", ADD UNIQUE KEY unique_key (unique_key)" : "");
	db_test_sql("ALTER TABLE wp_actionscheduler_logs"
		    " ADD KEY action_id (action_id),"
		    " ADD KEY log_date_gmt (log_date_gmt)");
}

void
db_test_actions(int schema)
{
	db_test_actions_tables(schema);
	db_test_actions_indexes(schema);
}
