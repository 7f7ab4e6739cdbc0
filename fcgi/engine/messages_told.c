/* What only PHP knows of Event Espresso, and the options that keep its own
 * batches idle. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/macros.h"
#include "engine/messages_internal.h"
#include "executors/php_messages.h"
#include "sql/buckets.h"

#define IDLE_MEMO "idle"
#define TOLD_S 600
#define ASK_MS 30000
#define PHP_WAIT_MS 10000
/* A batch that began before the option was written takes its lock within. */
#define SETTLE_MS 2000
#define SETTLE_STEP_MS 100
#define MEMO "told"

/* ---- what PHP tells ------------------------------------------------------ */

static uint32_t
number(const json_t *j, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(j, key));

	return v > 0 && v <= UINT32_MAX ? (uint32_t)v : 0;
}

static bool
is_true(const json_t *j, const char *key)
{
	return json_is_true(json_object_get(j, key));
}

static void
take_told(const json_t *j, int64_t now, struct messages_told *out)
{
	const json_t *rate = json_object_get(j, "rate");
	const char *version = json_string_value(json_object_get(j, "version"));
	const char *format =
	    json_string_value(json_object_get(j, "lock_format"));

	*out = (struct messages_told){
		.at = now,
		.same_request = is_true(j, "same_request"),
		.same_request_filter = is_true(j, "same_request_filter"),
		.replaced = json_is_false(json_object_get(j, "use_wp_cron")),
		.transients = format && strcmp(format, "transient") == 0,
		.maintenance = number(j, "maintenance"),
		.batch = number(j, "batch"),
		.rate = number(rate, "default"),
		.window_s = number(rate, "window_s"),
	};
	(void)snprintf(
	    out->version, sizeof out->version, "%s", version ? version : "");
}

static void
take_memo(const json_t *j, struct messages_told *out)
{
	const char *version = json_string_value(json_object_get(j, "v"));

	*out = (struct messages_told){
		.at = json_integer_value(json_object_get(j, "at")),
		.absent = is_true(j, "absent"),
		.same_request = is_true(j, "same"),
		.same_request_filter = is_true(j, "filter"),
		.replaced = is_true(j, "replaced"),
		.transients = is_true(j, "old"),
		.maintenance = number(j, "maint"),
		.batch = number(j, "batch"),
		.rate = number(j, "rate"),
		.window_s = number(j, "window"),
	};
	(void)snprintf(
	    out->version, sizeof out->version, "%s", version ? version : "");
}

static enum rc
read_memo(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    struct messages_told *out, struct err *err)
{
	struct arena a = ARENA_INIT(4096);
	struct slice memo;
	json_t *j = NULL;
	enum rc rc =
	    messages_memo_read(db, scope, blog_id, MEMO, &a, &memo, err);

	*out = (struct messages_told){ .at = 0 };
	if (rc == RC_OK && memo.n > 0)
		j = json_loadb(memo.p, memo.n, 0, NULL);
	if (json_is_object(j))
		take_memo(j, out);
	json_decref(j);
	arena_clear(&a);
	return rc;
}

enum rc
messages_off(struct db *db, const struct sql_scope *scope, uint32_t blog_id,
    struct messages_off *out, struct err *err)
{
	struct messages_told told;
	enum rc rc = read_memo(db, scope, blog_id, &told, err);

	*out = (struct messages_off){
		.absent = told.absent,
		.same_request_filter = told.same_request_filter,
		.replaced = told.replaced,
	};
	return rc;
}

static enum rc
write_memo(const struct messages_run *run, struct err *err)
{
	const struct work_env *env = run->env;
	const struct messages_told *t = &run->told;
	json_t *j = json_pack("{sI sb sb sb sb sb si si si si ss}", "at",
	    (json_int_t)t->at, "absent", t->absent, "same", t->same_request,
	    "filter", t->same_request_filter, "replaced", t->replaced, "old",
	    t->transients, "maint", (int)t->maintenance, "batch", (int)t->batch,
	    "rate", (int)t->rate, "window", (int)t->window_s, "v", t->version);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	enum rc rc = RC_OK;

	if (text)
		rc = messages_memo_write(env->db, &env->scope, env->blog_id,
		    MEMO, slice_str(text), err);
	free(text);
	json_decref(j);
	return rc;
}

static enum rc
ask(struct messages_run *run, struct err *err)
{
	const struct work_env *env = run->env;
	struct php_executor_opts php;
	int64_t now = clock_unix(env->clock);
	char *text = NULL;
	json_t *j = NULL;
	enum rc rc = work_php_enter(env, PHP_WAIT_MS, &php, err);

	if (rc != RC_OK)
		return rc;
	rc = php_messages_describe(&php, ASK_MS, &text, err);
	work_php_leave(env);
	if (rc == RC_REJECT) {
		run->told = (struct messages_told){ .at = now, .absent = true };
		free(text);
		return RC_OK;
	}
	if (rc == RC_OK)
		j = json_loads(text, 0, NULL);
	if (rc == RC_OK && !json_is_object(j))
		rc = err_set(err, RC_RETRY, "PHP told nothing");
	if (rc == RC_OK)
		take_told(j, now, &run->told);
	json_decref(j);
	free(text);
	return rc;
}

enum rc
messages_tell(struct messages_run *run, struct err *err)
{
	int64_t now = clock_unix(run->env->clock);
	struct err why = ERR_INIT;
	enum rc rc = read_memo(
	    run->env->db, &run->env->scope, run->env->blog_id, &run->told, err);

	if (rc != RC_OK || (run->told.at <= now && run->told.at > now - TOLD_S))
		return rc;
	/* The lease is no longer than PHP may take. */
	messages_renew(run);
	rc = ask(run, &why);
	if (rc == RC_OK)
		return write_memo(run, err);
	/* What was true ten minutes ago is likely so still. */
	if (run->told.at > 0 && rc == RC_RETRY)
		return RC_OK;
	messages_held(run, rc == RC_RETRY ? MESSAGES_LOOK_MS : MESSAGES_HELD_MS,
	    "%s", why.text);
	return RC_OK;
}

/* ---- keeping PHP idle ---------------------------------------------------- */

static enum rc
write_by_php(const struct work_env *env, const struct messages_option *o,
    size_t n, struct err *err)
{
	struct php_plain_option list[2];
	struct php_executor_opts php;
	enum rc rc = work_php_enter(env, PHP_WAIT_MS, &php, err);

	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < n; i++)
		list[i] = (struct php_plain_option){
			.name = slice_str(o[i].name),
			.value = slice_str(o[i].value),
			.remove = *o[i].value == '\0',
		};
	rc = php_messages_options(&php, list, n, ASK_MS, err);
	work_php_leave(env);
	return rc;
}

enum rc
messages_options_write(
    const struct work_env *env, bool transients, int64_t until, struct err *err)
{
	struct messages_option o[2];
	size_t n = messages_idle_options(transients, until, o);

	if (env->facts->object_cache)
		return write_by_php(env, o, n, err);
	return messages_idle(env->db, &env->scope, transients, until, err);
}

/* PHP's window goes on with us. */
static enum rc
adopt_window(struct messages_run *run, int64_t now, struct err *err)
{
	const struct work_env *env = run->env;
	struct rate w = messages_window(run);
	int64_t left_s = run->facts.rate_until - now;
	uint32_t used = 0;
	/* What is left is of PHP's own count, whatever ours is. */
	uint32_t whole = run->told.rate > 0 ? run->told.rate : w.count;

	if (!run->facts.rate || run->facts.transients || w.count == 0 ||
	    left_s <= 0)
		return RC_OK;
	if (run->facts.rate_left < (int64_t)whole)
		used = whole - (uint32_t)run->facts.rate_left;
	return used > 0 ? bucket_open_adopt(env->db, &env->scope, run->name,
			      w.per_s, used, left_s * 1000, err)
			: RC_OK;
}

/* PHP's own window looks the same when it is used up and nearly over. */
static enum rc
is_ours(struct messages_run *run, bool *ours, struct err *err)
{
	const struct work_env *env = run->env;
	struct arena a = ARENA_INIT(4096);
	struct slice memo = SLICE_NONE;
	int64_t until = 0;
	enum rc rc = RC_OK;

	*ours = run->facts.idle;
	if (*ours && !run->facts.transients)
		rc = messages_memo_read(env->db, &env->scope, env->blog_id,
		    IDLE_MEMO, &a, &memo, err);
	if (*ours && !run->facts.transients && rc == RC_OK)
		*ours =
		    slice_i64(memo, &until) && until == run->facts.rate_until;
	arena_clear(&a);
	return rc;
}

static enum rc
write_idle(struct messages_run *run, struct err *err)
{
	const struct work_env *env = run->env;
	int64_t now = clock_unix(env->clock);
	struct buf until = BUF_INIT(32);
	enum rc rc;

	buf_put_i64(&until, now + MESSAGES_IDLE_S);
	rc = messages_memo_write(env->db, &env->scope, env->blog_id, IDLE_MEMO,
	    buf_slice(&until), err);
	buf_clear(&until);
	if (rc == RC_OK)
		rc = messages_options_write(
		    env, run->told.transients, now + MESSAGES_IDLE_S, err);

	if (rc == RC_OK) {
		run->facts.idle = true;
		run->facts.rate_until = now + MESSAGES_IDLE_S;
	}
	return rc;
}

static void
settle(struct messages_run *run)
{
	for (int ms = 0; ms < SETTLE_MS && !work_stopping(run->env);
	     ms += SETTLE_STEP_MS)
		clock_sleep_ms(SETTLE_STEP_MS);
}

enum rc
messages_keep_idle(struct messages_run *run, bool *fresh, struct err *err)
{
	const struct work_env *env = run->env;
	int64_t now = clock_unix(env->clock);
	bool ours;
	enum rc rc = is_ours(run, &ours, err);

	*fresh = !ours && !run->idled;
	if (rc != RC_OK || run->idled)
		return rc;
	if (!*fresh && run->facts.rate_until >= now + MESSAGES_IDLE_RENEW_S)
		return RC_OK;
	if (*fresh)
		rc = adopt_window(run, now, err);
	if (rc == RC_OK)
		rc = write_idle(run, err);
	run->idled =
	    rc == RC_OK && run->told.transients && env->facts->object_cache;
	if (rc != RC_OK || !*fresh)
		return rc;
	log_event(LOG_INFO, "messages.ours", LOG_S("site", env->site->name),
	    LOG_U("blog", env->blog_id), LOG_S("plugin", run->told.version));
	/* A batch that ends just now writes what it has left over it. */
	settle(run);
	rc = messages_refresh(run, err);
	if (rc == RC_OK)
		rc = is_ours(run, &ours, err);
	if (rc == RC_OK && !ours && !run->idled)
		rc = write_idle(run, err);
	return rc;
}

/* ---- giving it back ------------------------------------------------------ */

static enum rc
give_by_php(const struct work_env *env, bool transients, int64_t left,
    int64_t until, struct err *err)
{
	struct messages_option o[2];
	size_t n = messages_idle_options(transients, 0, o);

	for (size_t i = 0; i < n; i++)
		*o[i].value = '\0';
	if (!transients && until > 0)
		messages_rate_render(left, until, o[0].value);
	return write_by_php(env, o, n, err);
}

enum rc
messages_hand_back(const struct work_env *env, struct err *err)
{
	struct messages_report report = { .wait_ms = 0 };
	struct messages_run run = {
		.env = env, .report = &report, .site = env->site->config
	};
	int64_t now = clock_unix(env->clock), left_ms = 0, until = 0, left = 0;
	struct rate w;
	uint32_t used = 0;
	enum rc rc = messages_present(env->db, &env->scope, err);

	(void)snprintf(
	    run.name, sizeof run.name, "messages/%u", (unsigned)env->blog_id);
	if (rc == RC_NONE)
		return RC_OK;
	if (rc == RC_OK)
		rc = read_memo(
		    env->db, &env->scope, env->blog_id, &run.told, err);
	if (rc == RC_OK)
		rc = messages_refresh(&run, err);
	if (rc != RC_OK || !run.facts.idle)
		return rc;
	w = messages_window(&run);
	if (w.count > 0)
		rc = bucket_open_left(env->db, &env->scope, run.name, w.per_s,
		    &used, &left_ms, err);
	if (rc == RC_OK && used > 0) {
		left = used < w.count ? (int64_t)(w.count - used) : 0;
		until = now + left_ms / 1000;
	}
	if (rc == RC_OK && env->facts->object_cache)
		rc = give_by_php(env, run.facts.transients, left, until, err);
	else if (rc == RC_OK)
		rc = messages_idle_end(env->db, &env->scope,
		    run.facts.transients, left, until, err);
	return rc;
}
