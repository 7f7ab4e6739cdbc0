/* doctor: PHP, and whether it sees the same site. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "doctor.h"
#include "executors/php.h"

#define SKEW_MAX_S 2.0
/* Connecting, WordPress' boot, and the end of the answer. */
#define WAIT_MS 30000

struct answer {
	json_t *export;
	double skew_s; /* PHP's clock ahead of ours */
};

static void
on_export(void *arg, struct slice json)
{
	struct answer *a = arg;
	const json_t *when;

	json_decref(a->export);
	a->export = json_loadb(json.p, json.n, 0, NULL);
	when = json_object_get(a->export, "time");
	if (json_is_number(when))
		a->skew_s = json_number_value(when) -
			    (double)clock_wall(&clock_system) / 1e6;
}

static void
no_outcome(void *arg, const struct outcome *o)
{
	(void)arg;
	(void)o;
}

/* One request without jobs, to its end. */
static void
ask(struct executor *php, struct php_executor_state *state)
{
	mono_ms until = clock_mono(&clock_system) + WAIT_MS;

	php->ops->begin(php, NULL, 0);
	do {
		php->ops->poll(php, 100, no_outcome, NULL);
		php_executor_state(php, state);
	} while (state->busy && clock_mono(&clock_system) < until);
}

static void
find_silence(struct doctor *d, const char *script,
    const struct php_executor_state *state)
{
	bool here = access(script, R_OK) == 0;

	if (state->status == 404)
		doctor_find(d, FINDING_ERROR, "php",
		    here ? "is worker_script the path as PHP sees it, inside "
			   "of open_basedir and chroot (`wp-cronctl worker "
			   "install`)? do the salts that PHP sees stand "
			   "literally in wp-config.php? do the clocks agree?"
			 : "set worker_script to the path as PHP sees it; "
			   "`wp-cronctl worker install` puts the script where "
			   "PHP may read it",
		    "PHP answers 404 for %s%s: %s", script,
		    here ? "" : ", which is not here either", state->error);
	else
		doctor_find(d, FINDING_ERROR, "php",
		    state->status == 0
			? "is php-fpm up, is php_fpm the `listen` of its pool, "
			  "and may this user connect?"
			: "look at PHP's error log",
		    "%s: %s", d->site->config->php_fpm,
		    *state->error ? state->error : "no answer");
}

static void
find_answer(struct doctor *d, const struct php_executor_state *state)
{
	doctor_find(d, FINDING_OK, "php", NULL,
	    "PHP %s with WordPress %s answers, and our secret was accepted",
	    state->php, state->wp);
	if (strcmp(state->mode, "none") == 0)
		doctor_find(d, FINDING_ERROR, "php mode", NULL,
		    "PHP refuses jobs: %s", state->error);
	else if (strcmp(state->mode, "plugin") == 0)
		doctor_find(d, FINDING_OK, "php mode", NULL,
		    "Action Scheduler is loaded and runs its rows itself");
	else
		doctor_find(d, FINDING_INFO, "php mode",
		    "activate the plugin if its hooks need it",
		    "Action Scheduler is not loaded in PHP: hooks are fired "
		    "without it");
	if (state->limit == PHP_LIMIT_SIGNAL)
		doctor_find(d, FINDING_OK, "time limit", NULL,
		    "a job over its time is ended by signal");
	else
		doctor_find(d, FINDING_WARN, "time limit",
		    "run as the user of the php-fpm pool on the same machine, "
		    "and set request_terminate_timeout in the pool",
		    "a job over its time can only be ended by the pool's "
		    "request_terminate_timeout");
	if (state->finish_request)
		doctor_find(d, FINDING_WARN, "php pool",
		    "php_admin_value[disable_functions] = "
		    "fastcgi_finish_request in the pool for cron",
		    "fastcgi_finish_request() is allowed: a job that calls it "
		    "ends its batch");
}

void
doctor_php(struct doctor *d)
{
	const struct config_site *c = d->site->config;
	struct answer a = { .skew_s = 0 };
	struct executor *php = NULL;
	struct php_executor_state state;
	struct err err = ERR_INIT;
	const struct php_executor_opts opts = {
		.address = c->php_fpm,
		.worker_script =
		    c->worker_script ? c->worker_script : CTL_WORKER_SCRIPT,
		.root = d->site->root,
		.salts = d->site->salts,
		.home = d->database ? d->place.facts.home : NULL,
		.blog_id = PLACE_BLOG,
		.on_export = on_export,
		.arg = &a,
	};

	if (!c->php_fpm) {
		doctor_find(d, FINDING_WARN, "php",
		    "set php_fpm = unix:PATH or HOST:PORT in [site]",
		    "no php_fpm: hooks without a native route wait");
		return;
	}
	if (php_executor_new(&opts, &php, &err) != RC_OK) {
		doctor_find(d, FINDING_ERROR, "php", NULL, "%s", err.text);
		return;
	}
	ask(php, &state);
	if (state.ok)
		find_answer(d, &state);
	else
		find_silence(d, opts.worker_script, &state);
	if (a.export && fabs(a.skew_s) > SKEW_MAX_S)
		doctor_find(d, FINDING_ERROR, "clock",
		    "run NTP on both machines", "PHP's clock is %.1f s %s ours",
		    fabs(a.skew_s), a.skew_s > 0 ? "ahead of" : "behind");
	php->ops->free(php);
	d->export = a.export;
}

/* ---- the same site? ----------------------------------------------------- */

static const char *
text(const struct doctor *d, const char *name)
{
	return json_string_value(json_object_get(d->export, name));
}

static void
compare(struct doctor *d, const char *name, const char *ours,
    enum severity severity, const char *remedy)
{
	const char *php = text(d, name);

	if (php && strcmp(php, ours) != 0)
		doctor_find(d, severity, "agreement", remedy,
		    "%s is \"%s\" here and \"%s\" in PHP", name, ours, php);
}

static void
find_store(struct doctor *d)
{
	const char *store = text(d, "store_class");
	const char *version = text(d, "plugin_version");

	if (!store)
		return;
	if (strcmp(store, "ActionScheduler_HybridStore") == 0)
		doctor_find(d, FINDING_WARN, "migration",
		    "let the migration end (Tools, Scheduled Actions)",
		    "actions are still being moved from posts to tables; those "
		    "in posts are PHP's");
	else if (strcmp(store, "ActionScheduler_DBStore") != 0)
		doctor_find(d, FINDING_ERROR, "store",
		    "leave such a site's actions to PHP",
		    "the site keeps its actions elsewhere (%s); this queue is "
		    "off",
		    store);
	else
		doctor_find(d, FINDING_OK, "store", NULL,
		    "%s, plugin version %s", store, version ? version : "?");
}

void
doctor_agreement(struct doctor *d)
{
	const struct place *p = &d->place;

	if (!d->export)
		return;
	compare(d, "prefix", p->scope.prefix, FINDING_ERROR,
	    "set table_prefix in [site]");
	compare(d, "home", p->facts.home, FINDING_WARN,
	    "set home in [site] to what PHP says");
	compare(d, "timezone_string", p->facts.timezone_string, FINDING_WARN,
	    "a plugin filters the option; local dates will differ");
	compare(d, "environment", d->site->environment, FINDING_WARN,
	    "set WP_ENVIRONMENT_TYPE literally in wp-config.php");
	find_store(d);
}
