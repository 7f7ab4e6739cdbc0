/* doctor: WordPress' own cron events. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "doctor.h"
#include "events.h"
#include "holds.h"
#include "queues/cron_events_admin.h"

#define PATH_MAX_LEN 4096
/* Site Health calls an event missed when it is so late. */
#define OVERDUE_S 300

static void
find_settings(struct doctor *d)
{
	const struct config_site *s = d->site->config;

	if (!s->cron)
		doctor_find(d, FINDING_INFO, "cron", NULL,
		    "cron = no: cron events are left to PHP");
	else if (s->observe)
		doctor_find(d, FINDING_WARN, "cron",
		    "when `wp-cronctl shadow report` is as expected: mode = "
		    "run",
		    "mode = observe: nothing is run, only recorded");
	if (d->place.facts.object_cache && s->cron && !s->php_fpm)
		doctor_find(d, FINDING_ERROR, "object cache",
		    "set php_fpm in [site], or cron = no",
		    "with an object cache only PHP may take cron events, and "
		    "there is no php_fpm: none is run");
}

static void
find_storage(struct doctor *d)
{
	struct place *p = &d->place;
	const struct cron_admin admin = { .db = p->db, .scope = &p->scope };
	const json_t *replaced = json_object_get(d->export, "cron_replaced");
	struct err err = ERR_INIT;

	if (json_is_string(replaced))
		doctor_find(d, FINDING_ERROR, "cron storage",
		    "set cron = no, or remove that plugin",
		    "%s: cron events are not run from here",
		    json_string_value(replaced));
	else if (cron_admin_writable(&admin, &err) != RC_OK)
		doctor_find(d, FINDING_ERROR, "cron storage",
		    "set cron = no, or change what is said here", "%s",
		    err.text);
	else
		doctor_find(d, FINDING_OK, "cron storage", NULL,
		    "the option `cron` in %soptions, InnoDB", p->scope.prefix);
}

static void
find_companion(struct doctor *d)
{
	char path[PATH_MAX_LEN];
	struct stat st;

	(void)snprintf(path, sizeof path, "%s/" SITE_COMPANION_FILE,
	    d->site->mu_plugin_dir);
	if (d->place.facts.companion)
		doctor_find(d, FINDING_OK, "companion", NULL,
		    "the companion plugin merges concurrent writes of the "
		    "option `cron`");
	else if (stat(path, &st) == 0)
		doctor_find(d, FINDING_INFO, "companion", NULL,
		    "the companion plugin is there, but younger than 10 "
		    "minutes: PHP may run that has not loaded it");
	else
		doctor_find(d, FINDING_INFO, "companion",
		    "wp-cronctl companion install",
		    "no companion plugin: an event that PHP schedules while "
		    "another PHP process writes may be lost, as in stock");
}

static void
find_overdue(struct doctor *d)
{
	int64_t now = clock_unix(&clock_system), oldest = now;
	size_t due = 0, late = 0;
	struct events e;
	struct err err = ERR_INIT;
	enum rc rc = events_load(&d->place, &e, &err);

	for (size_t i = 0; rc == RC_OK && i < e.n; i++) {
		const struct event *x = &e.items[i];

		if (x->timestamp > now || x->state == EVENT_RUNNING)
			continue;
		due++;
		late += now - x->timestamp > OVERDUE_S;
		if (x->timestamp < oldest)
			oldest = x->timestamp;
	}
	if (rc != RC_OK)
		doctor_find(d, FINDING_ERROR, "cron events",
		    "WordPress cannot read it either, or it is not written by "
		    "WordPress",
		    "%s", err.text);
	else if (late > 0)
		doctor_find(d, FINDING_WARN, "cron events",
		    "`wp-cronctl event list --due-now` shows them, `event "
		    "explain HOOK` says what holds one",
		    "%zu cron events are due for more than %d minutes, the "
		    "oldest for %" PRId64 " s",
		    late, OVERDUE_S / 60, now - oldest);
	else
		doctor_find(d, FINDING_OK, "cron events", NULL,
		    "%zu scheduled, %zu due now", e.n, due);
	if (rc == RC_OK && e.array.odd > 0)
		doctor_find(d, FINDING_INFO, "cron events", NULL,
		    "%zu entries of the option are no events; they are left "
		    "as they are",
		    e.array.odd);
	events_clear(&e);
}

static void
find_lock(struct doctor *d)
{
	struct cron_lock_state l;
	struct err err = ERR_INIT;

	if (d->place.facts.object_cache)
		return;
	if (cron_lock_look(&d->place, &l, &err) != RC_OK)
		doctor_find(
		    d, FINDING_ERROR, "doing_cron", NULL, "%s", err.text);
	else if (l.foreign)
		doctor_find(d, FINDING_WARN, "doing_cron",
		    "send /wp-cron.php to wp-cron-fcgi, and end cron jobs that "
		    "call wp-cron.php or `wp cron event run`",
		    "the lock is %" PRId64 " s old and not ours: core's own "
		    "cron runs beside this program",
		    l.age_s);
	else if (l.there && !l.recorded && l.age_s > l.timeout_s)
		doctor_find(d, FINDING_INFO, "doing_cron", NULL,
		    "a lock of %" PRId64 " s ago was left behind by a PHP "
		    "runner that crashed; it is taken over when something is "
		    "due",
		    l.age_s);
}

void
doctor_cron(struct doctor *d)
{
	find_settings(d);
	find_storage(d);
	find_companion(d);
	find_overdue(d);
	find_lock(d);
}
