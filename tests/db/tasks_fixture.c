#include "tasks_fixture.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "sql/schema.h"

struct tx tx;

void
tx_open(const char *engine)
{
	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	db_test_sql(
	    "CREATE TABLE wp_options (option_id BIGINT UNSIGNED NOT NULL"
	    " AUTO_INCREMENT, option_name VARCHAR(191) NOT NULL DEFAULT '',"
	    " option_value LONGTEXT NOT NULL,"
	    " autoload VARCHAR(20) NOT NULL DEFAULT 'yes',"
	    " PRIMARY KEY (option_id), UNIQUE KEY (option_name))"
	    " ENGINE=%s DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci",
	    engine);
	tx.q = (struct task_queue){ .blog_id = 1,
		.name = SLICE_LIT("q"),
		.lock = SLICE_LIT("q_lock"),
		.hook = SLICE_LIT("process"),
		.snapshot_s = 0,
		.lock_ttl_s = 60 };
}

void
tx_put(const char *option, const char *value)
{
	struct buf text = BUF_INIT((size_t)1 << 20);
	const struct sql_value v = V_STR(value);

	sql_put_value(&text, &v);
	db_test_sql("INSERT INTO wp_options (option_name, option_value,"
		    " autoload) VALUES ('%s', %s, 'off') ON DUPLICATE KEY"
		    " UPDATE option_value = VALUES(option_value)",
	    option, buf_str(&text));
	buf_clear(&text);
}

void
tx_list(const char *type, ...)
{
	struct buf list = BUF_INIT((size_t)1 << 20), all = BUF_INIT(1 << 20);
	va_list ap;
	int n = 0;

	va_start(ap, type);
	for (; type; type = va_arg(ap, const char *))
		buf_printf(&list,
		    "i:%d;a:3:{s:4:\"type\";s:%zu:\"%s\";s:7:\"payload\";N;"
		    "s:7:\"created\";i:1700000000;}",
		    n++, strlen(type), type);
	va_end(ap);
	buf_printf(&all, "a:%d:{%s}", n, buf_str(&list));
	tx_put(TX_VALUE, buf_str(&all));
	buf_clear(&list);
	buf_clear(&all);
}

void
tx_timeout(int left)
{
	db_test_sql("REPLACE INTO wp_options (option_name, option_value,"
		    " autoload) VALUES ('" TX_TIMEOUT "',"
		    " UNIX_TIMESTAMP() + %d, 'off')",
	    left);
}

int
tx_timeout_left(void)
{
	return (int)(int64_t)db_test_u64(
		   "SELECT CAST(option_value AS SIGNED) + 1000000"
		   " - UNIX_TIMESTAMP() FROM wp_options WHERE option_name ="
		   " '" TX_TIMEOUT "'") -
	       1000000;
}

void
tx_is(const char *option, const char *value)
{
	struct buf text = BUF_INIT((size_t)1 << 20);
	const struct sql_value v = V_STR(value);

	sql_put_value(&text, &v);
	ck_assert_msg(db_test_u64("SELECT COUNT(*) FROM wp_options WHERE"
				  " option_name = '%s' AND CAST(option_value"
				  " AS BINARY) = CAST(%s AS BINARY)",
			  option, buf_str(&text)) == 1,
	    "%s is not %s", option, value);
	buf_clear(&text);
}

/* ---- tasks --------------------------------------------------------------- */

static struct arena arena = ARENA_INIT((size_t)16 << 20);

void
tx_forget(void)
{
	arena_clear(&arena);
}

void
tx_drain(void)
{
	struct task_inbox in;

	CK_RC(RC_OK, tasks_drain(t.db, &t.scope, &tx.q, &in, &t.err));
}

size_t
tx_claim_of(uint64_t claim, size_t max, const struct slice *types, size_t n)
{
	size_t got;

	CK_RC(RC_OK, tasks_claim(t.db, &t.scope, &tx.q, claim, types, n, max,
			 60000, &arena, &tx.tasks, &got, &t.err));
	return got;
}

size_t
tx_claim(uint64_t claim, size_t max)
{
	return tx_claim_of(claim, max, NULL, 0);
}

enum rc
tx_begin(size_t i, uint64_t claim)
{
	return tasks_begin(t.db, &t.scope, &tx.q, &tx.tasks[i], claim, &t.err);
}

enum rc
tx_settle(size_t i, uint64_t claim, bool ok, bool for_good)
{
	return tasks_settle(t.db, &t.scope, &tx.q, &tx.tasks[i], claim, ok,
	    for_good, SLICE_LIT("it said no"), &t.err);
}

uint64_t
tx_in_state(const char *state)
{
	return db_test_u64("SELECT COUNT(*) FROM wp_wpcron_tasks"
			   " WHERE state = '%s' AND claim_id = 0",
	    state);
}

/* ---- somebody else ------------------------------------------------------- */

static pthread_t writer;

/* The server shows waits as they were when they were last asked for, if that
 * is less than 0.1 s ago. */
#define LOOK_MS 150

static void *
writer_main(void *then)
{
	bool waits = false;

	db_thread_begin();
	for (int i = 0; i < 60 && !waits; i++) {
		clock_sleep_ms(LOOK_MS);
		waits = db_test_u64("SELECT COUNT(*) FROM"
				    " information_schema.INNODB_TRX WHERE"
				    " trx_state = 'LOCK WAIT'"
				    " AND trx_mysql_thread_id = %llu",
			    (unsigned long long)db_connection_id(t.db)) == 1;
	}
	ck_assert(waits);
	db_test_sql("%s", (const char *)then);
	db_test_sql("COMMIT");
	db_thread_end();
	return NULL;
}

void
tx_meanwhile(const char *first, const char *then)
{
	static char text[4096];

	(void)snprintf(text, sizeof text, "%s", then);
	db_test_sql("BEGIN");
	db_test_sql("%s", first);
	ck_assert_int_eq(pthread_create(&writer, NULL, writer_main, text), 0);
}

void
tx_join(void)
{
	pthread_join(writer, NULL);
}
