/* What became of mails, told to those whose they are. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/ceilings.h"
#include "base/log.h"
#include "base/macros.h"
#include "engine/outbox_run_internal.h"
#include "engine/site_prepare.h"
#include "executors/php_messages.h"
#include "formats/utf8.h"
#include "queues/messages.h"
#include "sql/leases.h"

#define PAGE ((size_t)200)
/* One tells at a time: a page's PHP and what it waits for fit in. */
#define LEASE "outbox/tell"
#define LEASE_MS 120000
#define PAGE_BYTES ((size_t)32 << 20)
#define PHP_WAIT_MS 5000
#define PHP_TIMEOUT_MS 60000
/* A mail that PHP was writing for so long is no mail any more. */
#define WRITING_S 3600

/* Verdicts of one blog. */
struct telling {
	const struct work_env *env;
	struct sql_scope scope;
	char prefix[SITE_PREFIX_MAX];
	uint32_t blog_id;
	struct site_facts own;          /* of a blog other than env's */
	const struct site_facts *facts; /* lent */
	struct arena *arena;
	const struct outbox_verdict *v;
	size_t n;
	bool heard[PAGE]; /* by PHP, or it has not to hear of it */
	uint64_t told[PAGE];
	size_t ntold;
};

/* "action:12" */
static bool
job_number(struct slice job, const char *kind, uint64_t *id)
{
	struct slice s = slice_from(job, strlen(kind));

	if (!slice_starts(job, slice_str(kind)))
		return false;
	s.n = slice_find(s, ':');
	return slice_u64(s, id);
}

/* By the relay, or by us who had no way to send it; not left out on purpose. */
static bool
is_refused(const struct outbox_recipient *r)
{
	return r->state == OUTBOX_REFUSED &&
	       !slice_eq_str(r->words, OUTBOX_DROPPED_WORDS);
}

/* Somebody wanted it and does not get it. */
static bool
is_failure(const struct outbox_verdict *v)
{
	if (v->end == OUTBOX_DEAD)
		return true;
	for (size_t i = 0; v->end == OUTBOX_SENT && i < v->nrecipients; i++)
		if (is_refused(&v->recipients[i]))
			return true;
	return false;
}

/* ---- PHP ----------------------------------------------------------------- */

static struct slice
refused_list(struct arena *a, const struct outbox_verdict *v)
{
	struct buf out = BUF_INIT((size_t)1 << 20);
	struct slice list;
	bool any = false;

	buf_put_char(&out, '[');
	for (size_t i = 0; i < v->nrecipients; i++) {
		if (!is_refused(&v->recipients[i]))
			continue;
		if (any)
			buf_put_char(&out, ',');
		utf8_put_json(&out, v->recipients[i].to);
		any = true;
	}
	buf_put_char(&out, ']');
	list = out.failed ? SLICE_LIT("[]") : arena_slice(a, buf_slice(&out));
	buf_clear(&out);
	return list;
}

static struct slice
refused_words(const struct outbox_verdict *v)
{
	for (size_t i = 0; v->end == OUTBOX_SENT && i < v->nrecipients; i++)
		if (is_refused(&v->recipients[i]))
			return v->recipients[i].words;
	return v->reply;
}

static enum rc
tell_failures(const struct telling *t, struct php_mail_failure *f, size_t n,
    struct err *err)
{
	struct php_executor_opts opts;
	enum rc rc;

	if (n == 0)
		return RC_OK;
	rc = work_php_enter(t->env, PHP_WAIT_MS, &opts, err);
	if (rc != RC_OK)
		return rc;
	opts.blog_id = t->blog_id;
	opts.home = t->facts->siteurl;
	rc = php_messages_failed(&opts, f, n, PHP_TIMEOUT_MS, err);
	work_php_leave(t->env);
	return rc;
}

/*
 * wp_mail_failed. RC_RETRY: PHP has no time now for those not heard; nobody
 * hears of one a second time.
 */
static enum rc
tell_php(struct telling *t, struct err *err)
{
	struct php_mail_failure f[PAGE];
	size_t at[PAGE], n = 0;
	enum rc rc;

	for (size_t i = 0; i < t->n; i++) {
		t->heard[i] = !is_failure(&t->v[i]);
		if (t->heard[i])
			continue;
		at[n] = i;
		f[n++] = (struct php_mail_failure){
			.job = t->v[i].job,
			.subject = t->v[i].subject,
			.reason = refused_words(&t->v[i]),
			.to = refused_list(t->arena, &t->v[i]),
		};
	}
	rc = tell_failures(t, f, n, err);
	/* A site without PHP has nobody who listens. */
	if (rc == RC_REJECT)
		rc = RC_OK;
	for (size_t i = 0; i < n; i++)
		t->heard[at[i]] = rc == RC_OK || f[i].begun;
	return rc;
}

/* ---- tables -------------------------------------------------------------- */

static enum rc
log_action(const struct telling *t, const struct outbox_verdict *v, uint64_t id,
    struct err *err)
{
	static const char *const words[] = {
		[OUTBOX_SENT] = "accepted by the relay",
		[OUTBOX_DEAD] = "refused",
		[OUTBOX_HELD] = "held",
		[OUTBOX_DROPPED] = "dropped",
	};
	int64_t now = clock_unix(t->env->clock);
	char text[700];
	enum rc rc;

	(void)snprintf(text, sizeof text, "mail %s: %.*s", words[v->end],
	    SLICE_FMT(v->reply));
	if (v->end == OUTBOX_SENT && is_failure(v))
		(void)snprintf(text, sizeof text,
		    "mail accepted by the relay, but not for everybody: %.*s",
		    SLICE_FMT(refused_words(v)));
	rc = db_exec(t->env->db, &t->scope, SQL_OUTBOX_LOG_ACTION,
	    SQL_ARGS(V_STR(text),
		V_I64(site_local_scheduled(t->facts, now) - now),
		V_U64(t->blog_id), V_U64(id), V_U64(id)),
	    NULL, err);
	/* The tables are gone, and with them who wanted to know. */
	return rc == RC_REJECT ? RC_OK : rc;
}

static enum rc
tell_one(struct telling *t, const struct outbox_verdict *v, struct err *err)
{
	uint64_t id;
	enum rc rc = RC_OK;

	if (job_number(v->job, "action:", &id))
		rc = log_action(t, v, id, err);
	else if (v->end == OUTBOX_DEAD && job_number(v->job, "message:", &id))
		rc = messages_refused(
		    t->env->db, &t->scope, t->blog_id, id, v->reply, err);
	if (rc == RC_NONE || rc == RC_REJECT)
		rc = RC_OK;
	if (rc == RC_OK)
		t->told[t->ntold++] = v->mail_id;
	return rc;
}

static enum rc
read_facts(struct telling *t, struct err *err)
{
	const struct work_env *env = t->env;
	enum rc rc;

	site_blog_prefix(env->site, t->blog_id, t->prefix);
	t->scope = env->scope;
	t->scope.prefix = t->prefix;
	t->scope.base = env->site->prefix;
	t->facts = env->facts;
	if (t->blog_id == env->blog_id)
		return RC_OK;
	rc = site_facts_read(env->site, env->db, &t->scope, &t->own, err);
	t->facts = &t->own;
	return rc;
}

/* RC_RETRY of PHP leaves those untold that it should hear of. */
static enum rc
tell_blog(struct telling *t, struct err *err)
{
	enum rc rc = read_facts(t, err), php = RC_OK;
	struct err ignored = ERR_INIT;

	/* A blog that is deleted has nobody to tell. */
	if (rc == RC_REJECT) {
		for (size_t i = 0; i < t->n; i++)
			t->told[t->ntold++] = t->v[i].mail_id;
		rc = RC_OK;
	} else if (rc == RC_OK) {
		php = tell_php(t, err);
		for (size_t i = 0; i < t->n && rc == RC_OK; i++)
			if (t->heard[i])
				rc = tell_one(
				    t, &t->v[i], php == RC_OK ? err : &ignored);
	}
	if (t->ntold > 0) {
		enum rc told = outbox_told(t->env->db, &t->env->scope, t->told,
		    t->ntold, rc == RC_OK && php == RC_OK ? err : &ignored);

		if (rc == RC_OK)
			rc = told;
	}
	site_facts_clear(&t->own);
	return rc == RC_OK ? php : rc;
}

/* *n: how many there were to be told, all of whom were. */
static enum rc
tell_page(
    const struct work_env *env, uint64_t lease, size_t *n, struct err *err)
{
	struct arena arena = ARENA_INIT(PAGE_BYTES);
	struct outbox_verdict *v = NULL;
	enum rc rc =
	    outbox_verdicts(env->db, &env->scope, PAGE, &arena, &v, n, err);

	for (size_t i = 0, end; i < *n && rc == RC_OK; i = end) {
		struct telling t = {
			.env = env,
			.arena = &arena,
			.blog_id = v[i].blog_id,
			.v = &v[i],
		};

		for (end = i; end < *n && v[end].blog_id == v[i].blog_id; end++)
			t.n++;
		rc = lease_extend(
		    env->db, &env->scope, LEASE, lease, LEASE_MS, err);
		if (rc == RC_OK)
			rc = tell_blog(&t, err);
	}
	arena_clear(&arena);
	return rc;
}

static enum rc
tell(const struct work_env *env, struct err *err)
{
	struct err ignored = ERR_INIT;
	uint64_t lease = 0;
	size_t n = 1;
	enum rc rc = lease_take(env->db, &env->scope, LEASE, outbox_random(),
	    LEASE_MS, &lease, err);

	/* Several senders end at the same time; each is told of once. Whoever
	 * is at it sees what the others add, if it comes before his last look.
	 */
	if (rc == RC_NONE)
		return err_set(err, RC_NONE, "another one is at it");
	while (rc == RC_OK && n > 0 && !work_stopping(env))
		rc = tell_page(env, lease, &n, err);
	/* Else its time ends it. */
	(void)!lease_give(env->db, &env->scope, LEASE, lease, &ignored);
	return rc;
}

bool
outbox_tell_now(const struct work_env *env)
{
	struct err untold = ERR_INIT;

	if (tell(env, &untold) == RC_OK)
		return true;
	log_event(LOG_DEBUG, "outbox.untold", LOG_S("site", env->site->name),
	    LOG_S("why", untold.text));
	return false;
}

enum rc
outbox_tend_run(
    const struct work_env *env, bool *due, bool *untold, struct err *err)
{
	const struct config_site *site = site_config(env->config, env->site);
	const struct config_smtp *smtp = config_smtp(env->config, site);
	const struct outbox_upkeep upkeep = {
		.dead_bodies_days = site->dead_bodies_days,
		.dead_days = site->dead_days,
		.unknown_wait_s =
		    smtp ? (smtp->unknown_retry_ms + 999) / 1000 : 900,
		.hold_unknown = smtp && smtp->on_unknown == ON_UNKNOWN_HOLD,
		.writing_s = WRITING_S,
	};
	bool changed = false;
	enum rc rc;

	*due = *untold = false;
	rc = outbox_tend(env->db, &env->scope, &upkeep, &changed, err);
	if (rc == RC_OK)
		rc = outbox_due(env->db, &env->scope, due, err);
	if (rc == RC_OK)
		*untold = !outbox_tell_now(env);
	if (rc == RC_OK && db_is_lost(env->db))
		rc = err_set(err, RC_RETRY, "the database went away");
	return rc;
}
