/*
 * The options by which Event Espresso locks and limits its own batches.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/ceilings.h"
#include "base/macros.h"
#include "formats/php_serialize.h"
#include "queues/messages_internal.h"

#define FACTS_ARENA_MAX ((size_t)8 << 20)
#define RATE_OPTION "_ee_rate_limit"
#define RATE_TRANSIENT "_transient__ee_rate_limit"
#define RATE_TIMEOUT "_transient_timeout__ee_rate_limit"
/* Nothing left, and true in PHP: a 0 would be taken for "not set". */
#define RATE_TRANSIENT_IDLE "-1"

#define TICK_MEMO "tick"
/* The interval of releases. */
#define TICK_S 300
/* Where the event is there it comes first. */
#define TICK_SLACK_S 60

enum option {
	LOCK_GENERATION,
	LOCK_SENDING,
	RATE,
	OLD_LOCK_GENERATION,
	OLD_LOCK_GENERATION_TIMEOUT,
	OLD_LOCK_SENDING,
	OLD_LOCK_SENDING_TIMEOUT,
	OLD_RATE,
	OLD_RATE_TIMEOUT,
	MAINTENANCE,
	NETWORK_CONFIG,
	CRON_CHECK,
	NOPTIONS
};
static const char *const option_names[NOPTIONS] = {
	[LOCK_GENERATION] = "_ee_lock_generation",
	[LOCK_SENDING] = "_ee_lock_sending",
	[RATE] = RATE_OPTION,
	[OLD_LOCK_GENERATION] = "_transient__ee_lock_generation",
	[OLD_LOCK_GENERATION_TIMEOUT] =
	    "_transient_timeout__ee_lock_generation",
	[OLD_LOCK_SENDING] = "_transient__ee_lock_sending",
	[OLD_LOCK_SENDING_TIMEOUT] = "_transient_timeout__ee_lock_sending",
	[OLD_RATE] = RATE_TRANSIENT,
	[OLD_RATE_TIMEOUT] = RATE_TIMEOUT,
	[MAINTENANCE] = "ee_maintenance_mode",
	[NETWORK_CONFIG] = "ee_network_config",
	[CRON_CHECK] = "ee_disabled_wp_cron_check",
};

const char *
messages_lane_name(enum messages_lane lane)
{
	return lane == MESSAGES_GENERATE ? "generate" : "send";
}

enum rc
messages_present(struct db *db, const struct sql_scope *scope, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc =
	    db_select(db, scope, SQL_MESSAGES_PRESENT, SQL_NO_ARGS, &rows, err);

	if (rc == RC_OK && (!db_rows_next(rows) || db_u64(rows, 0) < 2))
		rc = err_set(
		    err, RC_NONE, "Event Espresso's tables are not there");
	db_rows_free(rows);
	return rc;
}

uint32_t
messages_blog(const struct sql_scope *scope)
{
	struct slice s = slice_str(scope->prefix),
		     base = slice_str(scope->base);
	uint64_t id;

	if (s.n > base.n + 1 && slice_starts(s, base) && s.p[s.n - 1] == '_' &&
	    slice_u64(slice_mem(s.p + base.n, s.n - base.n - 1), &id) &&
	    id > 0 && id <= UINT32_MAX)
		return (uint32_t)id;
	return 1;
}

/* ---- reading ------------------------------------------------------------- */

/* As (int) in PHP, for what the plugin stores: a number in text. */
static int64_t
number(struct slice s)
{
	int64_t n = 0;

	return slice_i64(slice_trim(s), &n) ? n : 0;
}

static bool
is_true(struct slice s)
{
	return s.p && s.n > 0 && !slice_eq_str(s, "0");
}

static int64_t
lock_until(struct slice option, struct slice old, struct slice timeout,
    int64_t now, bool *transients)
{
	int64_t until = number(option);

	if (is_true(old)) {
		*transients = true;
		if (!timeout.p)
			return INT64_MAX;
		if (number(timeout) > until)
			until = number(timeout);
	}
	return until > now ? until : 0;
}

static bool
value_true(const struct php_serialize_value *v)
{
	if (!v)
		return false;
	v = php_serialize_deref(v);
	switch (v->type) {
	case PHP_SERIALIZE_BOOL:
		return v->boolean;
	case PHP_SERIALIZE_INT:
		return v->integer != 0;
	case PHP_SERIALIZE_STRING:
		return is_true(v->text);
	case PHP_SERIALIZE_NULL:
	case PHP_SERIALIZE_FLOAT:
	case PHP_SERIALIZE_ARRAY:
	case PHP_SERIALIZE_OBJECT:
	case PHP_SERIALIZE_CUSTOM:
	case PHP_SERIALIZE_ENUM:
	case PHP_SERIALIZE_OBJECT_AGAIN:
	case PHP_SERIALIZE_REFERENCE:
		break;
	}
	return false;
}

static const struct php_serialize_value *
member(const struct php_serialize_value *v, const char *name)
{
	const struct php_serialize_member *m;

	if (!v)
		return NULL;
	v = php_serialize_deref(v);
	if (v->type == PHP_SERIALIZE_OBJECT)
		return php_serialize_property(v, slice_str(name));
	m = v->type == PHP_SERIALIZE_ARRAY
		? php_serialize_find(v, slice_str(name))
		: NULL;
	return m ? &m->value : NULL;
}

/* core.do_messages_on_same_request; what cannot be read is as not set. */
static bool
same_request(struct slice config)
{
	struct arena a = ARENA_INIT(FACTS_ARENA_MAX);
	struct php_serialize_value v;
	struct err err = ERR_INIT;
	bool yes = false;

	if (config.n > 0 && php_serialize_parse(config, &PHP_SERIALIZE_LIMITS,
				&a, &v, &err) == RC_OK)
		yes = value_true(
		    member(member(&v, "core"), "do_messages_on_same_request"));
	arena_clear(&a);
	return yes;
}

/* a:2:{i:0;i:LEFT;i:1;i:UNTIL;} */
static bool
parse_rate(struct slice s, int64_t *left, int64_t *until)
{
	struct arena a = ARENA_INIT((size_t)64 << 10);
	const struct php_serialize_member *l, *u;
	struct php_serialize_value v;
	struct err err = ERR_INIT;
	bool ok = false;

	if (s.n > 0 && php_serialize_parse(
			   s, &PHP_SERIALIZE_LIMITS, &a, &v, &err) == RC_OK) {
		l = php_serialize_find_int(&v, 0);
		u = php_serialize_find_int(&v, 1);
		ok = l && u && l->value.type == PHP_SERIALIZE_INT &&
		     u->value.type == PHP_SERIALIZE_INT;
		if (ok) {
			*left = l->value.integer;
			*until = u->value.integer;
		}
	}
	arena_clear(&a);
	return ok;
}

static void
take_rate(const struct slice *o, int64_t now, struct messages_facts *out)
{
	int64_t left, until;

	if (parse_rate(o[RATE], &left, &until)) {
		out->transients = false;
		out->rate = until >= now;
		out->idle =
		    out->rate && left == 0 && until <= now + MESSAGES_IDLE_S;
		out->rate_left = left > 0 ? left : 0;
		out->rate_until = until;
		return;
	}
	if (!o[OLD_RATE].p)
		return;
	/* PHP never counts this one down, so nothing of it is to be kept. */
	out->transients = true;
	until = number(o[OLD_RATE_TIMEOUT]);
	out->idle =
	    slice_eq_str(o[OLD_RATE], RATE_TRANSIENT_IDLE) && until >= now;
	out->rate = out->idle;
	out->rate_until = until;
}

static enum rc
read_event(struct db *db, const struct sql_scope *scope, uint32_t *interval_s,
    struct err *err)
{
	static const char key[] = "s:8:\"interval\";i:";
	const size_t n = sizeof key - 1;
	struct db_rows *rows = NULL;
	enum rc rc =
	    db_select(db, scope, SQL_MESSAGES_EVENT, SQL_NO_ARGS, &rows, err);

	*interval_s = 0;
	if (rc == RC_OK && db_rows_next(rows)) {
		struct slice s = db_text(rows, 0);
		uint64_t v;

		for (size_t i = 0; i + n < s.n; i++) {
			struct slice rest = slice_from(s, i + n);

			if (memcmp(s.p + i, key, n) != 0)
				continue;
			if (slice_u64(
				slice_mem(rest.p, slice_find(rest, ';')), &v) &&
			    v <= UINT32_MAX)
				*interval_s = (uint32_t)v;
			break;
		}
	}
	db_rows_free(rows);
	return rc;
}

static enum rc
read_network(
    struct db *db, const struct sql_scope *scope, bool *same, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    db, scope, SQL_MESSAGES_NETWORK_CONFIG, SQL_NO_ARGS, &rows, err);

	if (rc == RC_OK && db_rows_next(rows))
		*same = same_request(db_text(rows, 0));
	db_rows_free(rows);
	return rc;
}

enum rc
messages_facts_read(struct db *db, const struct sql_scope *scope,
    bool multisite, int64_t now, struct messages_facts *out, struct err *err)
{
	struct slice o[NOPTIONS] = { { NULL, 0 } };
	struct db_rows *rows = NULL;
	enum rc rc =
	    db_select(db, scope, SQL_MESSAGES_OPTIONS, SQL_NO_ARGS, &rows, err);

	*out = (struct messages_facts){ 0 };
	while (rc == RC_OK && db_rows_next(rows))
		for (size_t i = 0; i < NOPTIONS; i++)
			if (slice_eq_str(db_text(rows, 0), option_names[i]))
				o[i] = db_text(rows, 1);
	if (rc == RC_OK) {
		out->generation_until =
		    lock_until(o[LOCK_GENERATION], o[OLD_LOCK_GENERATION],
			o[OLD_LOCK_GENERATION_TIMEOUT], now, &out->transients);
		out->sending_until =
		    lock_until(o[LOCK_SENDING], o[OLD_LOCK_SENDING],
			o[OLD_LOCK_SENDING_TIMEOUT], now, &out->transients);
		out->maintenance = (unsigned)number(o[MAINTENANCE]);
		out->same_request = same_request(o[NETWORK_CONFIG]);
		out->same_request_by_itself = is_true(o[CRON_CHECK]);
		take_rate(o, now, out);
	}
	db_rows_free(rows);
	if (rc == RC_OK && multisite)
		rc = read_network(db, scope, &out->same_request, err);
	if (rc == RC_OK)
		rc = read_event(db, scope, &out->interval_s, err);
	return rc;
}

/* ---- the schedule -------------------------------------------------------- */

/* Unix time of the last tick; 0: none is noted. */
static enum rc
read_tick(
    struct db *db, const struct sql_scope *scope, int64_t *at, struct err *err)
{
	struct arena a = ARENA_INIT(4096);
	struct slice memo;
	enum rc rc = messages_memo_read(
	    db, scope, messages_blog(scope), TICK_MEMO, &a, &memo, err);

	*at = rc == RC_OK ? number(memo) : 0;
	arena_clear(&a);
	return rc;
}

enum rc
messages_ticked(struct db *db, const struct sql_scope *scope, int64_t now,
    bool tick, struct err *err)
{
	char text[32];
	int64_t at = 0;
	enum rc rc = tick ? RC_OK : read_tick(db, scope, &at, err);

	if (rc != RC_OK || at != 0)
		return rc;
	(void)snprintf(text, sizeof text, "%" PRId64, now);
	return messages_memo_write(
	    db, scope, messages_blog(scope), TICK_MEMO, slice_str(text), err);
}

enum rc
messages_silent(struct db *db, const struct sql_scope *scope, int64_t now,
    bool *silent, struct err *err)
{
	uint32_t interval_s = 0;
	int64_t at;
	enum rc rc = read_tick(db, scope, &at, err);

	*silent = false;
	if (rc == RC_OK && at != 0)
		rc = read_event(db, scope, &interval_s, err);
	if (rc != RC_OK || at == 0)
		return rc;
	if (interval_s == 0)
		interval_s = TICK_S;
	*silent = now >= at + interval_s + TICK_SLACK_S ||
		  at > now + interval_s; /* the clock was wrong */
	return RC_OK;
}

/* ---- keeping PHP's batches idle ------------------------------------------ */

void
messages_rate_render(int64_t left, int64_t until, char out[64])
{
	(void)snprintf(
	    out, 64, "a:2:{i:0;i:%" PRId64 ";i:1;i:%" PRId64 ";}", left, until);
}

size_t
messages_idle_options(
    bool transients, int64_t until, struct messages_option out[2])
{
	if (!transients) {
		(void)snprintf(
		    out[0].name, sizeof out[0].name, "%s", RATE_OPTION);
		messages_rate_render(0, until, out[0].value);
		return 1;
	}
	/* The timeout first: without it the value would be for ever. */
	(void)snprintf(out[0].name, sizeof out[0].name, "%s", RATE_TIMEOUT);
	(void)snprintf(out[0].value, sizeof out[0].value, "%" PRId64, until);
	(void)snprintf(out[1].name, sizeof out[1].name, "%s", RATE_TRANSIENT);
	(void)snprintf(
	    out[1].value, sizeof out[1].value, "%s", RATE_TRANSIENT_IDLE);
	return 2;
}

enum rc
messages_idle(struct db *db, const struct sql_scope *scope, bool transients,
    int64_t until, struct err *err)
{
	struct messages_option o[2];
	size_t n = messages_idle_options(transients, until, o);
	enum rc rc = RC_OK;

	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = db_exec(db, scope, SQL_MESSAGES_OPTION_WRITE,
		    SQL_ARGS(V_STR(o[i].name), V_STR(o[i].value)), NULL, err);
	return rc;
}

/* The value as it is now, if it is one that messages_idle() writes. */
static enum rc
idle_value(struct db *db, const struct sql_scope *scope, struct buf *rate,
    struct buf *timeout, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    db, scope, SQL_MESSAGES_RATE_OPTION, SQL_NO_ARGS, &rows, err);
	int64_t left = 1, until = 0;

	while (rc == RC_OK && db_rows_next(rows)) {
		struct slice name = db_text(rows, 0), value = db_text(rows, 1);

		if (slice_eq_str(name, RATE_OPTION) &&
		    parse_rate(value, &left, &until) && left == 0 &&
		    until <= db_i64(rows, 2) + MESSAGES_IDLE_S + 60)
			buf_put_slice(rate, value);
		if (slice_eq_str(name, RATE_TIMEOUT))
			buf_put_slice(timeout, value);
	}
	db_rows_free(rows);
	return rc;
}

enum rc
messages_idle_ends(struct db *db, const struct sql_scope *scope, int64_t now,
    bool *soon, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    db, scope, SQL_MESSAGES_RATE_OPTION, SQL_NO_ARGS, &rows, err);
	int64_t left = 1, until = 0, old_until = 0;
	bool old = false;

	*soon = false;
	while (rc == RC_OK && db_rows_next(rows)) {
		struct slice name = db_text(rows, 0), value = db_text(rows, 1);

		if (slice_eq_str(name, RATE_OPTION) &&
		    !parse_rate(value, &left, &until))
			left = 1;
		if (slice_eq_str(name, RATE_TRANSIENT))
			old = slice_eq_str(value, RATE_TRANSIENT_IDLE);
		if (slice_eq_str(name, RATE_TIMEOUT))
			old_until = number(value);
	}
	db_rows_free(rows);
	if (old && left != 0) {
		left = 0;
		until = old_until;
	}
	*soon =
	    left == 0 && until >= now && until < now + MESSAGES_IDLE_RENEW_S;
	return rc;
}

static enum rc
drop(struct db *db, const struct sql_scope *scope, const char *name,
    struct slice old, struct err *err)
{
	return db_exec(db, scope, SQL_MESSAGES_OPTION_DROP,
	    SQL_ARGS(V_STR(name), V_TEXT(old)), NULL, err);
}

enum rc
messages_idle_end(struct db *db, const struct sql_scope *scope, bool transients,
    int64_t left, int64_t until, struct err *err)
{
	struct buf rate = BUF_INIT(256), timeout = BUF_INIT(256);
	char text[64];
	enum rc rc = idle_value(db, scope, &rate, &timeout, err);

	if (rc == RC_OK && transients) {
		rc = drop(db, scope, RATE_TRANSIENT,
		    SLICE_LIT(RATE_TRANSIENT_IDLE), err);
		if (rc == RC_OK && timeout.n > 0)
			rc = drop(
			    db, scope, RATE_TIMEOUT, buf_slice(&timeout), err);
	} else if (rc == RC_OK && rate.n > 0 && until > 0) {
		messages_rate_render(left, until, text);
		rc = db_exec(db, scope, SQL_MESSAGES_OPTION_SWAP,
		    SQL_ARGS(V_STR(text), V_STR(RATE_OPTION),
			V_TEXT(buf_slice(&rate))),
		    NULL, err);
	} else if (rc == RC_OK && rate.n > 0) {
		rc = drop(db, scope, RATE_OPTION, buf_slice(&rate), err);
	}
	buf_clear(&rate);
	buf_clear(&timeout);
	return rc;
}
