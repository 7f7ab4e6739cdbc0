/* doctor: Event Espresso's messages. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "doctor.h"
#include "engine/messages_run.h"
#include "formats/wp_config.h"
#include "queues/messages.h"

#define LATE_S 3600
#define LOCK_S 3600 /* of the plugin, from when it is taken */

static void
find_same_request(struct doctor *d, const struct messages_facts *f)
{
	if (f->same_request)
		doctor_find(d, FINDING_ERROR, "messages",
		    "take DISABLE_WP_CRON out of wp-config.php, then "
		    "`wp-cronctl messages restore --yes`",
		    "Event Espresso sends messages within page loads (\"on the "
		    "same request\")%s: it ignores its own locks and rate, so "
		    "this program leaves them alone",
		    f->same_request_by_itself
			? ", turned on by itself because of DISABLE_WP_CRON"
			: "");
	else if (d->site->disable_wp_cron)
		doctor_find(d, FINDING_WARN, "messages",
		    "take it out of wp-config.php: nginx keeps page loads from "
		    "running cron",
		    "DISABLE_WP_CRON is set: Event Espresso may turn its "
		    "same-request mode on by itself, and this program stops");
	if (f->maintenance == 2)
		doctor_find(d, FINDING_WARN, "messages",
		    "end it in Event Espresso, Maintenance",
		    "Event Espresso is in full maintenance mode: nothing is "
		    "generated or sent");
}

static void
find_off(struct doctor *d)
{
	struct place *p = &d->place;
	struct messages_off off;
	struct err err = ERR_INIT;

	if (messages_off(p->db, &p->scope, p->blog_id, &off, &err) != RC_OK) {
		doctor_find(d, FINDING_ERROR, "messages", NULL, "%s", err.text);
		return;
	}
	if (off.absent)
		doctor_find(d, FINDING_INFO, "messages", NULL,
		    "Event Espresso is not active: its queue is off");
	if (off.same_request_filter)
		doctor_find(d, FINDING_WARN, "messages",
		    "take the filter out of the plugin or theme that has it",
		    "a filter (FHEE__EE_Messages_Processor__initiate_request_"
		    "by_priority__do_immediate_processing) has Event Espresso "
		    "send messages within page loads: they are left to PHP");
	if (off.replaced)
		doctor_find(d, FINDING_INFO, "messages", NULL,
		    "a filter (FHEE__EED_Messages__run_cron__use_wp_cron) "
		    "replaces Event Espresso's batches: messages are left to "
		    "it");
}

static void
find_lock(struct doctor *d, const char *what, int64_t until, const char *option)
{
	int64_t now = clock_unix(&clock_system);

	if (until == INT64_MAX)
		doctor_find(d, FINDING_WARN, "messages",
		    "delete the transient if no PHP process works",
		    "the lock of %s (%s) has no end", what, option);
	else if (until > now)
		doctor_find(d, FINDING_INFO, "messages",
		    "delete the option if no PHP process works",
		    "PHP has the lock of %s (%s) for about %" PRId64
		    " minutes, for %" PRId64 " more at most",
		    what, option,
		    until - now > LOCK_S ? 0 : (LOCK_S - (until - now)) / 60,
		    (until - now) / 60);
}

static void
find_rate(struct doctor *d, const struct messages_facts *f)
{
	int64_t now = clock_unix(&clock_system);

	if (f->transients)
		doctor_find(d, FINDING_INFO, "messages",
		    "update Event Espresso to 4.9.58 or later",
		    "the plugin keeps locks and rate in transients: it is "
		    "older than 4.9.58");
	if (f->rate && f->idle && f->rate_until > now)
		doctor_find(d, FINDING_OK, "messages", NULL,
		    "PHP's own batches are kept idle (_ee_rate_limit), for "
		    "%" PRId64 " s more",
		    f->rate_until - now);
	else if (f->rate && f->idle)
		doctor_find(d, FINDING_INFO, "messages", NULL,
		    "nobody keeps PHP's batches idle any more: PHP sends");
	else if (f->rate && f->rate_until > now)
		doctor_find(d, FINDING_INFO, "messages", NULL,
		    "PHP's own window is open: %" PRId64 " messages in "
		    "%" PRId64 " s",
		    f->rate_left, f->rate_until - now);
	if (f->interval_s == 0)
		doctor_find(d, FINDING_WARN, "messages",
		    "deactivate and activate Event Espresso",
		    "its cron event AHEE__EE_Messages_Scheduler__sending is "
		    "not scheduled");
}

static void
find_counts(struct doctor *d)
{
	struct place *p = &d->place;
	struct messages_counts n;
	struct buf text = BUF_INIT(1024);
	struct err err = ERR_INIT;
	int64_t age;

	if (messages_count(p->db, &p->scope, p->blog_id, &n, &err) != RC_OK) {
		doctor_find(d, FINDING_ERROR, "messages", NULL, "%s", err.text);
		return;
	}
	for (size_t i = 0; i < n.n; i++)
		buf_printf(&text, "%s%" PRIu64 " %s", i > 0 ? ", " : "",
		    n.of[i].n, n.of[i].sts);
	age = n.oldest > 0 ? clock_unix(&clock_system) - n.oldest : 0;
	if (age > LATE_S)
		doctor_find(d, FINDING_WARN, "messages",
		    "`wp-cronctl messages send` says what holds them",
		    "the oldest that waits was queued %" PRId64 " hours ago",
		    age / 3600);
	doctor_find(d, FINDING_OK, "messages", NULL, "%s",
	    n.n > 0 ? buf_str(&text) : "there is none");
	if (n.foreign_mex > 0)
		doctor_find(d, FINDING_WARN, "messages",
		    "`wp-cronctl messages list --status=MEX`; delete them: "
		    "Event Espresso has nothing else for them",
		    "%" PRIu64 " messages were left by a PHP process that died "
		    "while it sent them (MEX): nobody knows whether they "
		    "arrived",
		    n.foreign_mex);
	buf_clear(&text);
}

void
doctor_messages(struct doctor *d)
{
	struct place *p = &d->place;
	struct messages_facts f;
	struct err err = ERR_INIT;
	enum rc rc = messages_present(p->db, &p->scope, &err);

	if (!p->own)
		return;
	if (rc == RC_NONE) {
		doctor_find(d, FINDING_INFO, "messages", NULL,
		    "Event Espresso is not installed: its queue is off");
		return;
	}
	if (rc == RC_OK)
		rc = messages_facts_read(p->db, &p->scope, p->site->multisite,
		    clock_unix(&clock_system), &f, &err);
	if (rc != RC_OK) {
		doctor_find(d, FINDING_ERROR, "messages", NULL, "%s", err.text);
		return;
	}
	if (!d->site->config->messages)
		doctor_find(d, FINDING_INFO, "messages", NULL,
		    "messages = no: Event Espresso's are left to PHP");
	else {
		find_same_request(d, &f);
		find_off(d);
	}
	if (!config_smtp(d->c->config, d->site->config))
		doctor_find(d, FINDING_INFO, "messages",
		    "make an [smtp NAME], and set smtp = NAME in [site]",
		    "no relay: PHP sends the messages itself");
	find_lock(d, "generation", f.generation_until, "_ee_lock_generation");
	find_lock(d, "sending", f.sending_until, "_ee_lock_sending");
	find_rate(d, &f);
	find_counts(d);
}
