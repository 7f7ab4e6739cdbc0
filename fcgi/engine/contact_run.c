/* One piece of work on contacts: settings, gate, lease, accounts. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "engine/contact_internal.h"
#include "engine/site_prepare.h"
#include "sql/leases.h"

#define SAY_MAX 2000

/* ---- may anything be done here? ----------------------------------------- */

const char *
contact_held(const struct config_site *c, const struct newspack *n,
    enum site_standing standing, const char **remedy)
{
	*remedy = "contacts = yes in [site]";
	if (!c->contacts)
		return "contacts = no: it is left to PHP";
	*remedy = "mode = run in [site]";
	if (c->observe)
		return "mode = observe: nothing is run";
	*remedy = "activate it, or set contacts = no";
	if (!n->plugin)
		return "the plugin newspack-plugin is not active on this blog";
	*remedy = "switch it on in Newspack, Audience";
	if (!n->activation)
		return "reader activation is switched off";
	*remedy = "`wp-cronctl install`";
	if (standing == SITE_UNKNOWN)
		return "it is not recorded yet which site this is";
	*remedy = "`wp-cronctl site adopt`, if this is the site";
	if (standing == SITE_COPY)
		return "this is a copy of the site that was installed";
	if (standing == SITE_STAGING && !n->forced)
		return "WP_ENVIRONMENT_TYPE is not production";
	*remedy = n->held_remedy;
	return n->held;
}

/* Nothing may leave: the flags stay. */
static enum rc
gate(struct contact_run *run, struct err *err)
{
	const struct work_env *env = run->env;
	const char *remedy;
	const char *why = contact_held(site_config(env->config, env->site),
	    &run->settings, env->standing, &remedy);

	if (run->report)
		run->report->absent = !run->settings.plugin;
	if (!why && run->settings.n > 0)
		return RC_OK;
	if (!why) {
		why = "no integration is enabled";
		remedy = "enable one in Newspack, Audience";
	}
	err_set(err, RC_NONE, "%s; %s", why, remedy);
	if (run->report)
		(void)snprintf(run->report->held, sizeof run->report->held,
		    "%s; %s", why, remedy);
	return RC_NONE;
}

static void
make_key(struct contact_run *run)
{
	static const char text[] = "wp-cron-fcgi contact fingerprints";
	const char *salts = run->env->site->salts;
	unsigned len = 0;

	if (!salts || !*salts)
		return;
	run->keyed = HMAC(EVP_sha256(), salts, (int)strlen(salts),
			 (const unsigned char *)text, sizeof text - 1, run->key,
			 &len) != NULL &&
		     len == sizeof run->key;
}

static enum rc
open_accounts(struct contact_run *run, struct err *err)
{
	size_t n = run->settings.n;
	enum rc rc = RC_OK;

	run->accounts = xcalloc(n, sizeof *run->accounts);
	for (size_t i = 0; i < n && rc != RC_RETRY; i++) {
		rc = contact_account_open(&run->accounts[run->naccounts++], run,
		    &run->settings.integrations[i], err);
	}
	return rc == RC_RETRY ? rc : RC_OK;
}

enum rc
contact_run_begin(struct contact_run *run, const struct work_env *env,
    struct contact_report *report, struct err *err)
{
	enum rc rc;

	*run = (struct contact_run){
		.env = env, .report = report, .deadline = INT64_MAX
	};
	if (report)
		*report = (struct contact_report){ .again_at = INT64_MAX };
	rc = newspack_read(env->site, env->facts, env->config, env->db,
	    &env->scope, env->blog_id, &run->settings, err);
	if (rc == RC_OK)
		rc = gate(run, err);
	if (rc == RC_OK) {
		make_key(run);
		rc = open_accounts(run, err);
	}
	return rc;
}

void
contact_run_end(struct contact_run *run)
{
	struct err err = ERR_INIT;

	for (size_t i = 0; i < run->naccounts; i++)
		contact_account_close(&run->accounts[i]);
	free(run->accounts);
	run->accounts = NULL;
	run->naccounts = 0;
	if (run->lease_token && !run->lost &&
	    lease_give(run->env->db, &run->env->scope, run->lease,
		run->lease_token, &err) == RC_RETRY)
		run->lost = true; /* it expires by itself */
	run->lease_token = 0;
	OPENSSL_cleanse(run->key, sizeof run->key);
	newspack_clear(&run->settings);
}

/* ---- on the way --------------------------------------------------------- */

uint32_t
contact_term_ms(const struct contact_run *run)
{
	return run->env->config->daemon.node_expiry_ms;
}

static void
renew(struct contact_run *run)
{
	const struct work_env *env = run->env;
	uint32_t term_ms = contact_term_ms(run);
	struct err err = ERR_INIT;

	run->renew_at = clock_mono(env->clock) + term_ms / 4;

	if (run->lease_token && lease_extend(env->db, &env->scope, run->lease,
				    run->lease_token, term_ms, &err) != RC_OK) {
		run->lost = true;
		log_event(LOG_WARN, "contacts.lease",
		    LOG_S("site", env->site->name), LOG_U("blog", env->blog_id),
		    LOG_S("why", err.text));
	}
	for (size_t i = 0; i < run->naccounts && !run->lost; i++)
		contact_account_renew(&run->accounts[i], term_ms);
}

bool
contact_run_over(struct contact_run *run)
{
	const struct work_env *env = run->env;
	mono_ms now = clock_mono(env->clock);

	if (work_stopping(env))
		return true;
	if (now >= run->renew_at)
		renew(run);
	return run->lost || now >= run->deadline;
}

enum rc
contact_php_enter(struct contact_run *run, uint32_t wait_ms,
    struct php_executor_opts *opts, struct err *err)
{
	/* Its full term from now; when PHP takes longer, and another node has
	 * begun, nothing is sent of what PHP has made. */
	renew(run);
	if (run->lost)
		return err_set(err, RC_RETRY, "the lease is lost");
	return work_php_enter(run->env, wait_ms, opts, err);
}

void
contact_php_leave(struct contact_run *run)
{
	work_php_leave(run->env);
}

struct contact_account *
contact_account_find(struct contact_run *run, struct slice id)
{
	for (size_t i = 0; i < run->naccounts; i++)
		if (slice_eq_str(id, run->accounts[i].integration->id))
			return &run->accounts[i];
	return NULL;
}

/* ---- what is said ------------------------------------------------------- */

void
contact_say(
    const struct contact_run *run, const char *header, const char *fmt, ...)
{
	struct buf text = BUF_INIT(SAY_MAX);
	va_list ap;

	if (run->settings.log_level < 1)
		return;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	log_event(LOG_INFO, "contacts.line",
	    LOG_S("site", run->env->site->name),
	    LOG_U("blog", run->env->blog_id), LOG_S("header", header),
	    LOG_SLICE("line", buf_slice(&text)));
	buf_clear(&text);
}

void
contact_count(struct contact_run *run, enum contact_direction d,
    const struct contact_sync *items, size_t n)
{
	struct contact_counts *c = run->report ? &run->report->counts[d] : NULL;

	for (size_t i = 0; c && i < n; i++) {
		switch (items[i].end) {
		case CONTACT_DONE:
			c->done++;
			break;
		case CONTACT_UNCHANGED:
			c->unchanged++;
			break;
		case CONTACT_PENDING:
			/* Handed over now; others were before. */
			c->pending += items[i].contact != NULL;
			break;
		case CONTACT_RETRIED:
			c->retried++;
			break;
		case CONTACT_REFUSED:
		case CONTACT_BARRED:
		case CONTACT_EXHAUSTED:
			c->refused++;
			break;
		case CONTACT_OPEN:
		case CONTACT_SKIPPED:
			c->skipped++;
			break;
		case CONTACT_GONE:
			c->orphans++;
			break;
		}
	}
}
