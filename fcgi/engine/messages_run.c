/* Event Espresso's queue of a blog: may anything be done, by whom, and then
 * batch after batch. */
#include "engine/messages_internal.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "base/macros.h"
#include "engine/site_prepare.h"
#include "sql/leases.h"

#define DEFAULT_BUDGET_MS 60000
/* The configuration's default, which the site's own filters may replace. */
#define RATE_DEFAULT_COUNT 200
#define RATE_DEFAULT_S 3600
#define OUTBOX_FIELD_MAX ((size_t)1 << 20)
#define FOREIGN_MEMO "foreign"

/* ---- shared -------------------------------------------------------------- */

void
messages_wait(struct messages_run *run, int64_t ms)
{
	struct messages_report *r = run->report;

	if (ms > 0 && (r->wait_ms == 0 || ms < r->wait_ms))
		r->wait_ms = ms;
}

void
messages_held(struct messages_run *run, int64_t wait_ms, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(run->report->held, sizeof run->report->held, fmt, ap);
	va_end(ap);
	messages_wait(run, wait_ms);
}

void
messages_renew(struct messages_run *run)
{
	const struct work_env *env = run->env;
	uint32_t term_ms = env->config->daemon.node_expiry_ms;
	struct err err = ERR_INIT;

	run->renew_at = clock_mono(env->clock) + term_ms / 4;
	if (run->lost || lease_extend(env->db, &env->scope, run->name,
			     run->token, term_ms, &err) == RC_OK)
		return;
	run->lost = true;
	log_event(LOG_WARN, "messages.lease", LOG_S("site", env->site->name),
	    LOG_U("blog", env->blog_id), LOG_S("why", err.text));
}

bool
messages_over(struct messages_run *run)
{
	mono_ms now = clock_mono(run->env->clock);

	if (work_stopping(run->env) || run->stop)
		return true;
	if (now >= run->renew_at)
		messages_renew(run);
	return run->lost || now >= run->deadline;
}

enum rc
messages_refresh(struct messages_run *run, struct err *err)
{
	const struct work_env *env = run->env;

	return messages_facts_read(env->db, &env->scope, env->site->multisite,
	    clock_unix(env->clock), &run->facts, err);
}

struct rate
messages_window(const struct messages_run *run)
{
	struct rate r = run->site->messages_rate;

	if (r.count == RATE_DEFAULT_COUNT && r.per_s == RATE_DEFAULT_S &&
	    run->told.rate > 0 && run->told.window_s > 0)
		r = (struct rate){ .count = run->told.rate,
			.per_s = run->told.window_s };
	if (r.per_s == 0)
		r.count = 0;
	return r;
}

/* ---- may anything be done here? ------------------------------------------ */

static bool
is_configured(struct messages_run *run)
{
	if (!run->site->messages)
		messages_held(run, MESSAGES_HELD_MS,
		    "messages = no in [site]: they are left to PHP");
	else if (run->site->observe)
		messages_held(run, MESSAGES_HELD_MS,
		    "mode = observe in [site]: nothing is run");
	else if (run->env->standing == SITE_UNKNOWN)
		messages_held(run, MESSAGES_HELD_MS,
		    "it is not recorded yet which site this is; "
		    "`wp-cronctl install`");
	return *run->report->held == '\0';
}

/* PHP takes no lock and observes no limit then. */
static bool
is_same_request(struct messages_run *run)
{
	if (run->told.same_request_filter) {
		messages_held(run, MESSAGES_HELD_MS,
		    "a filter of this site sends messages in the request that "
		    "makes them: they are left to PHP");
		return true;
	}
	if (!run->facts.same_request)
		return false;
	messages_held(run, MESSAGES_HELD_MS,
	    "Event Espresso sends messages in the same request%s; choose \"on "
	    "a separate request\" in Messages, Settings",
	    run->facts.same_request_by_itself
		? " (it switches that on by itself where DISABLE_WP_CRON is "
		  "set: do not set it)"
		: "");
	return true;
}

static bool
is_replaced(struct messages_run *run)
{
	if (run->told.replaced)
		messages_held(run, MESSAGES_HELD_MS,
		    "a filter of this site replaces Event Espresso's batches: "
		    "they are left to it");
	return run->told.replaced;
}

/* Else report->held. What is PHP's, PHP is to do: its own events run there
 * from now on, and nothing keeps its batches idle. */
static enum rc
check_open(struct messages_run *run, struct err *err)
{
	struct err why = ERR_INIT;
	enum rc rc;

	run->report->left_to_php = is_same_request(run) || is_replaced(run);
	if (!run->report->left_to_php) {
		if (run->facts.maintenance >= 2 || run->told.maintenance >= 2)
			messages_held(run, MESSAGES_HELD_MS,
			    "Event Espresso is in full maintenance mode");
		return RC_OK;
	}
	rc = messages_hand_back(run->env, &why);
	/* What could not be written ends by itself. */
	return rc != RC_OK && db_is_lost(run->env->db)
		   ? err_set(err, rc, "%s", why.text)
		   : RC_OK;
}

/* A copy mails nobody, by PHP's batches neither. */
static bool
is_original(struct messages_run *run)
{
	if (run->env->standing == SITE_COPY)
		messages_held(run, MESSAGES_HELD_MS,
		    "this is a copy of the site that was installed; "
		    "`wp-cronctl site adopt`, if this is the site");
	else if (run->env->standing == SITE_STAGING)
		messages_held(run, MESSAGES_HELD_MS,
		    "WP_ENVIRONMENT_TYPE is not production; "
		    "`wp-cronctl site adopt`, if messages are to leave");
	return *run->report->held == '\0';
}

/* ---- before the first batch ---------------------------------------------- */

static void
say(const struct messages_run *run, const char *event, const char *key,
    uint64_t n)
{
	const struct work_env *env = run->env;

	if (n > 0)
		log_event(LOG_WARN, event, LOG_S("site", env->site->name),
		    LOG_U("blog", env->blog_id), LOG_U(key, n));
}

/* What nobody but an administrator can judge; said when it grows. */
static enum rc
report_foreign(struct messages_run *run, struct err *err)
{
	const struct work_env *env = run->env;
	struct arena a = ARENA_INIT(4096);
	struct messages_counts counts;
	struct buf text = BUF_INIT(32);
	struct slice memo;
	uint64_t before = 0;
	enum rc rc =
	    messages_count(env->db, &env->scope, env->blog_id, &counts, err);

	if (rc == RC_OK)
		rc = messages_memo_read(env->db, &env->scope, env->blog_id,
		    FOREIGN_MEMO, &a, &memo, err);
	if (rc == RC_OK && !slice_u64(memo, &before))
		before = 0;
	if (rc == RC_OK && counts.foreign_mex != before) {
		if (counts.foreign_mex > before)
			say(run, "messages.foreign", "in_execution",
			    counts.foreign_mex);
		buf_put_u64(&text, counts.foreign_mex);
		rc = messages_memo_write(env->db, &env->scope, env->blog_id,
		    FOREIGN_MEMO, buf_slice(&text), err);
	}
	buf_clear(&text);
	arena_clear(&a);
	return rc;
}

static enum rc
upkeep(struct messages_run *run, struct err *err)
{
	const struct work_env *env = run->env;
	struct messages_recovered got;
	uint64_t again = 0, failures = 0;
	enum rc rc = messages_recover(
	    env->db, &env->scope, env->blog_id, &run->policy, &got, err);

	if (rc != RC_OK)
		return rc;
	run->report->restored += got.restored;
	say(run, "messages.restored", "restored", got.restored);
	say(run, "messages.reset", "reset", got.reset);
	say(run, "messages.unknown", "unknown", got.unknown);
	rc = messages_retry(env->db, &env->scope, env->blog_id, &again, err);
	if (rc != RC_OK || !run->opts->tick)
		return rc;
	rc = messages_failures(
	    env->db, &env->scope, env->blog_id, &failures, err);
	if (rc == RC_OK)
		rc = report_foreign(run, err);
	/* Mails in the outbox are known by the numbers in the journal. */
	if (rc == RC_OK)
		rc = messages_expire(env->db, &env->scope, env->blog_id,
		    run->site->dead_days + 30, err);
	say(run, "messages.failures", "letters", failures);
	return rc;
}

/* ---- batches ------------------------------------------------------------- */

/* Where PHP cannot be asked to write the option, nothing is sent beside it. */
static enum rc
keep_idle(struct messages_run *run, struct err *err)
{
	struct err why = ERR_INIT;
	bool fresh;
	enum rc rc = messages_keep_idle(run, &fresh, &why);

	if (rc == RC_OK)
		return RC_OK;
	if (db_is_lost(run->env->db) || !run->env->facts->object_cache)
		return err_set(err, rc, "%s", why.text);
	messages_held(run, MESSAGES_LOOK_MS,
	    "PHP's own batches cannot be kept idle: %s", why.text);
	run->stop = true;
	return RC_OK;
}

static enum rc
work_off(struct messages_run *run, struct err *err)
{
	bool generated = true, sent = true;
	enum rc rc = RC_OK;

	while (rc == RC_OK && (generated || sent) && !messages_over(run)) {
		generated = sent = false;
		rc = messages_refresh(run, err);
		if (rc == RC_OK)
			rc = check_open(run, err);
		if (rc == RC_OK && *run->report->held)
			return RC_OK;
		/* Renewed, and written anew should PHP have replaced it. */
		if (rc == RC_OK)
			rc = keep_idle(run, err);
		if (rc == RC_OK && !run->stop)
			rc = messages_generate_batch(run, &generated, err);
		if (rc == RC_OK && !messages_over(run))
			rc = messages_send_batch(run, &sent, err);
	}
	run->report->more =
	    rc == RC_OK && (generated || sent) && !run->lost && !run->stop;
	return rc;
}

static enum rc
run_held(struct messages_run *run, struct err *err)
{
	enum rc rc = messages_refresh(run, err);

	if (rc == RC_OK)
		rc = messages_tell(run, err);
	if (rc != RC_OK || *run->report->held)
		return rc;
	if (run->told.absent) {
		run->report->absent = true;
		return RC_OK;
	}
	rc = check_open(run, err);
	if (rc == RC_OK && !*run->report->held)
		rc = keep_idle(run, err);
	if (rc != RC_OK || *run->report->held)
		return rc;
	if (!is_original(run))
		return RC_OK;
	rc = messages_ticked(run->env->db, &run->env->scope,
	    clock_unix(run->env->clock), run->opts->tick && !run->opts->ids,
	    err);
	if (rc == RC_OK)
		rc = upkeep(run, err);
	return rc == RC_OK ? work_off(run, err) : rc;
}

static void
run_init(struct messages_run *run, const struct work_env *env,
    const struct messages_opts *opts, struct messages_report *out)
{
	const struct config_site *site = site_config(env->config, env->site);
	mono_ms now = clock_mono(env->clock);

	*out = (struct messages_report){ .wait_ms = 0 };
	*run = (struct messages_run){
		.env = env,
		.opts = opts,
		.report = out,
		.site = site,
		.smtp = config_smtp(env->config, site),
		.begun = now,
		.deadline = now + (opts->budget_ms > 0 ? opts->budget_ms
						       : DEFAULT_BUDGET_MS),
		.outbox = BUF_INIT(OUTBOX_FIELD_MAX),
	};
	run->policy = (struct messages_policy){
		.retries = site->messages_retries,
		.backoff_min_ms = site->messages_backoff_min_ms,
		.backoff_max_ms = site->messages_backoff_max_ms,
		.outbox = run->smtp != NULL,
	};
	(void)snprintf(
	    run->name, sizeof run->name, "messages/%u", (unsigned)env->blog_id);
}

enum rc
messages_run(const struct work_env *env, const struct messages_opts *opts,
    struct messages_report *out, struct err *err)
{
	struct err ignored = ERR_INIT;
	struct messages_run run;
	enum rc rc;

	run_init(&run, env, opts, out);
	rc = messages_present(env->db, &env->scope, err);
	if (rc == RC_NONE) {
		out->absent = true;
		return RC_OK;
	}
	if (rc != RC_OK || !is_configured(&run))
		return rc;
	rc = lease_take(env->db, &env->scope, run.name, env->node_id,
	    env->config->daemon.node_expiry_ms, &run.token, err);
	if (rc != RC_OK)
		return rc;
	run.renew_at = run.begun + env->config->daemon.node_expiry_ms / 4;
	rc = run_held(&run, err);
	if (!run.lost && lease_give(env->db, &env->scope, run.name, run.token,
			     &ignored) == RC_RETRY)
		run.lost = true; /* it expires by itself */
	arena_clear(&run.arena);
	buf_clear(&run.outbox);
	return rc;
}

enum rc
messages_look(
    struct db *db, const struct sql_scope *scope, bool *due, struct err *err)
{
	return messages_due(db, scope, clock_unix(&clock_system), due, err);
}
