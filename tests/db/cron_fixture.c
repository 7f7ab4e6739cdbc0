#include "cron_fixture.h"

#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/macros.h"
#include "formats/md5.h"
#include "sql/nodes.h"
#include "sql/schema.h"

struct cx cx;

static const struct route native_route = {
	.pattern = "*", .kind = EXECUTOR_WEBHOOK, .target = "http://127.0.0.1/"
};
static const struct route php_route = { .pattern = "*", .kind = EXECUTOR_PHP };
static const struct policy plain = { .timeout_ms = 1000 };
const struct policy cx_patient = { .timeout_ms = 1000,
	.retries = 2,
	.backoff_min_ms = 30000,
	.backoff_max_ms = 7200000,
	.idempotent = true };
const struct policy cx_overlap = { .timeout_ms = 1000, .overlap = true };

static mono_ms
cx_mono(const struct clock *c)
{
	(void)c;
	return (cx.now - CX_NOW) * 1000 + 1000000;
}

static wall_us
cx_wall(const struct clock *c)
{
	(void)c;
	return cx.now * 1000000;
}

const struct policy *
cx_policy_of(void *arg, struct slice hook)
{
	(void)arg;
	(void)hook;
	return cx.policy;
}

enum admit
cx_admit(void *arg, enum lane lane, const struct candidate *c,
    const struct route **route, const struct policy **policy)
{
	bool alone = slice_starts(c->hook, SLICE_LIT("alone_"));
	bool php = alone || slice_starts(c->hook, SLICE_LIT("php_"));

	(void)arg;
	cx.admits++;
	if (cx.on_admit) {
		void (*now)(void) = cx.on_admit;

		cx.on_admit = NULL;
		now();
	}
	ck_assert_int_eq(c->kind, JOB_EVENT);
	if (slice_starts(c->hook, SLICE_LIT("paused_")) ||
	    (lane == LANE_PHP) != php)
		return ADMIT_BAR;
	*route = php ? &php_route : &native_route;
	*policy = cx.policy;
	if (slice_starts(c->hook, SLICE_LIT("full_")) && c->id != 0)
		return ADMIT_FULL;
	return alone ? ADMIT_ALONE : ADMIT_TAKE;
}

struct cron_events *
cx_queue(struct db *db, uint64_t *id)
{
	struct cron_events *fresh = cron_events_new(&(
	    const struct cron_events_opts){
	    .prefix = "wp_", .base = "wp_", .blog_id = 1, .clock = &cx.clock });

	CK_RC(RC_OK, node_register(db, &t.scope, "h", 1, "t", id, &t.err));
	cron_events_set_node(fresh, *id);
	cron_events_set_site(fresh, &cx.site);
	return fresh;
}

void
cx_set_site(struct cron_events *q)
{
	cron_events_set_site(q, &cx.site);
}

void
cx_open(void)
{
	CK_RC(RC_OK, schema_install(t.db, &t.scope, &t.err));
	db_test_sql(
	    "CREATE TABLE wp_options (option_id BIGINT UNSIGNED NOT NULL"
	    " AUTO_INCREMENT PRIMARY KEY, option_name VARCHAR(191) NOT NULL,"
	    " option_value LONGTEXT NOT NULL,"
	    " autoload VARCHAR(20) NOT NULL DEFAULT 'yes',"
	    " UNIQUE KEY option_name (option_name)) ENGINE=InnoDB"
	    " DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci");
	db_test_sql("INSERT INTO wp_options (option_name, option_value) VALUES"
		    " ('cron', '" EMPTY_OPTION "')");
	cx = (struct cx){
		.policy = &plain, .clock = { cx_mono, cx_wall }, .now = CX_NOW
	};
	cx.q = cx_queue(t.db, &cx.node);
}

/* ---- the option ---- */

struct slice
cx_option(void)
{
	static char *text;
	struct slice value = SLICE_NONE;
	unsigned long *lengths;
	MYSQL_RES *result;
	MYSQL_ROW row;

	ck_assert_int_eq(
	    mysql_query(db_test_raw(), "SELECT option_value FROM wp_options"
				       " WHERE option_name = 'cron'"),
	    0);
	result = mysql_store_result(db_test_raw());
	row = mysql_fetch_row(result);
	lengths = mysql_fetch_lengths(result);
	if (row) {
		free(text);
		text = malloc(lengths[0] + 1);
		memcpy(text, row[0], lengths[0] + 1);
		value = slice_mem(text, lengths[0]);
	}
	mysql_free_result(result);
	return value;
}

void
cx_set_option(struct slice value)
{
	char *quoted = malloc(value.n * 2 + 100);
	size_t n = (size_t)snprintf(
	    quoted, 100, "UPDATE wp_options SET option_value = '");

	n += mysql_real_escape_string(
	    db_test_raw(), quoted + n, value.p, (unsigned long)value.n);
	n += (size_t)snprintf(quoted + n, 50, "' WHERE option_name = 'cron'");
	ck_assert_msg(
	    mysql_real_query(db_test_raw(), quoted, (unsigned long)n) == 0,
	    "%s", mysql_error(db_test_raw()));
	free(quoted);
}

void
cx_edit(const struct cron_edit *edit)
{
	struct arena arena = ARENA_INIT((size_t)256 << 20);
	struct buf out = BUF_INIT((size_t)16 << 20);
	struct cron_array array;

	CK_RC(RC_OK, cron_array_parse(cx_option(), &arena, &array, &t.err));
	CK_RC(RC_OK, cron_array_splice(&array, edit, 1, &out, &t.err));
	cx_set_option(buf_slice(&out));
	buf_clear(&out);
	arena_clear(&arena);
}

static struct slice
key_of(const char *args)
{
	static struct buf key = BUF_INIT(64);
	unsigned char digest[MD5_LEN];
	struct md5 md5;

	buf_reset(&key);
	md5_init(&md5);
	md5_put(&md5, slice_str(args));
	md5_end(&md5, digest);
	buf_put_hex(&key, digest, sizeof digest);
	return buf_slice(&key);
}

void
cx_add(int64_t at, const char *hook, const char *args, const char *recurrence,
    int64_t interval)
{
	struct buf event = BUF_INIT((size_t)16 << 20);
	struct cron_edit edit = {
		.what = CRON_ADD, .timestamp = at, .hook = slice_str(hook)
	};

	cron_event_render(
	    &event, slice_str(recurrence), slice_str(args), interval);
	edit.key = key_of(args);
	edit.event = buf_slice(&event);
	cx_edit(&edit);
	buf_clear(&event);
}

void
cx_remove(int64_t at, const char *hook, const char *args)
{
	cx_edit(&(const struct cron_edit){ .what = CRON_REMOVE,
	    .timestamp = at,
	    .hook = slice_str(hook),
	    .key = key_of(args) });
}

bool
cx_in_option(int64_t at, const char *hook)
{
	struct arena arena = ARENA_INIT((size_t)256 << 20);
	struct cron_array array;
	bool found = false;

	CK_RC(RC_OK, cron_array_parse(cx_option(), &arena, &array, &t.err));
	for (size_t i = 0; i < array.n; i++)
		found = found || (array.events[i].timestamp == at &&
				     slice_eq_str(array.events[i].hook, hook));
	arena_clear(&arena);
	return found;
}

/* ---- jobs ---- */

enum rc
cx_claim_by(struct cron_events *q, struct db *db, size_t native, size_t php,
    struct claim_result *res)
{
	const struct claim_request req = { .room = { native, php },
		.ask = { true, true },
		.admit = cx_admit };

	return cron_events_ops.claim(
	    cron_events_queue(q), db, &req, res, &t.err);
}

enum rc
cx_claim(size_t native, size_t php, struct claim_result *res)
{
	return cx_claim_by(cx.q, t.db, native, php, res);
}

struct job *
cx_claim_one(struct claim_result *res)
{
	CK_RC(RC_OK, cx_claim(1, 0, res));
	ck_assert_uint_eq(res->njobs[LANE_NATIVE], 1);
	return res->jobs[LANE_NATIVE];
}

void
cx_claims_free(struct claim_result *res)
{
	for (size_t l = 0; l < LANE_COUNT; l++) {
		if (!res->claims[l])
			continue;
		arena_clear(&res->claims[l]->arena);
		free(res->claims[l]);
		res->claims[l] = NULL;
	}
	free(res->php_take);
	res->php_take = NULL;
}

void
cx_start(struct claim_result *res, enum lane lane)
{
	for (struct job *j = res->jobs[lane]; j; j = j->next) {
		CK_RC(RC_OK, cron_events_ops.start(
				 cron_events_queue(cx.q), t.db, &j, 1, &t.err));
		ck_assert(j->started);
	}
}

enum rc
cx_settle_outcome(struct job *j, struct outcome *o)
{
	o->job = j;
	if (o->ended_at == 0)
		o->ended_at = clock_wall(&cx.clock);
	return cron_events_ops.settle(
	    cron_events_queue(cx.q), t.db, o, 1, &t.err);
}

enum rc
cx_settle(struct job *j, enum outcome_kind kind, const char *message)
{
	struct outcome o = { .kind = kind };

	(void)snprintf(o.message, sizeof o.message, "%s", message);
	return cx_settle_outcome(j, &o);
}

size_t
cx_rescue(struct cron_events *q, const uint64_t *live, size_t n)
{
	const struct rescue_request req = {
		.policy = cx_policy_of, .live = live, .nlive = n
	};
	size_t rescued = 0;

	CK_RC(RC_OK, cron_events_ops.rescue(
			 cron_events_queue(q), t.db, &req, &rescued, &t.err));
	return rescued;
}

int64_t
cx_next_due(void)
{
	int64_t when = INT64_MAX;
	enum rc rc = cron_events_ops.next_due(
	    cron_events_queue(cx.q), t.db, &when, &t.err);

	if (rc == RC_NONE)
		return INT64_MAX;
	CK_RC(RC_OK, rc);
	return when;
}

uint64_t
cx_rows(const char *state, const char *hook)
{
	if (hook)
		return db_test_u64("SELECT COUNT(*) FROM " E
				   " WHERE state = '%s' AND hook = '%s'",
		    state, hook);
	return db_test_u64(
	    "SELECT COUNT(*) FROM " E " WHERE state = '%s'", state);
}

/* ---- the log ---- */

static FILE *log_file;

void
cx_log_begin(void)
{
	if (log_file)
		(void)fclose(log_file);
	log_file = tmpfile();
	ck_assert(log_file != NULL);
	log_set_output(fileno(log_file), false);
}

const char *
cx_log(void)
{
	static char text[65536];
	size_t n;

	rewind(log_file);
	n = fread(text, 1, sizeof text - 1, log_file);
	text[n] = '\0';
	return text;
}

size_t
cx_logged(const char *words)
{
	size_t n = 0;

	for (const char *p = cx_log(); (p = strstr(p, words)); p++)
		n++;
	return n;
}

static void
cx_close(void)
{
	log_set_output(2, false);
	if (log_file)
		(void)fclose(log_file);
	log_file = NULL;
	cron_events_free(cx.q);
	cx.q = NULL;
	db_test_close();
}

TCase *
cx_case(void)
{
	TCase *tc = tcase_create("events");

	tcase_add_checked_fixture(tc, db_test_open, cx_close);
	tcase_set_timeout(tc, 60);
	return tc;
}
