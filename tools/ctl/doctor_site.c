/* doctor: the site's files, identity and time zone, and other runners. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "doctor.h"

/* Claims younger than a PHP runner's time limit are a living one's. */
#define CLAIM_FRESH_S 300

void
doctor_config(struct doctor *d)
{
	const struct site *s = d->site;

	doctor_find(d, FINDING_OK, "config", NULL, "%s", s->config_path);
	if (!*s->salts)
		doctor_find(d, FINDING_ERROR, "salts",
		    "define all eight keys and salts as plain strings in "
		    "wp-config.php, or in a file that config_file names",
		    "the keys and salts are missing or computed: PHP cannot be "
		    "asked, and the site's identity is weak");
	else
		doctor_find(d, FINDING_OK, "salts", NULL,
		    "all eight keys and salts are literal");
	if (s->alternate_wp_cron)
		doctor_find(d, FINDING_WARN, "wp-cron",
		    "remove ALTERNATE_WP_CRON from wp-config.php",
		    "ALTERNATE_WP_CRON: visitors run cron in their own page "
		    "loads, beside this program");
	else if (s->disable_wp_cron)
		doctor_find(d, FINDING_OK, "wp-cron", NULL,
		    "DISABLE_WP_CRON: page loads send no pings; the daemon "
		    "looks once a second by itself");
	else
		doctor_find(d, FINDING_INFO, "wp-cron",
		    "see that the web server sends /wp-cron.php to "
		    "wp-cron-fcgi (nginx/wp-cron-fcgi.conf)",
		    "page loads ping /wp-cron.php");
	if (s->multisite)
		doctor_find(d, FINDING_INFO, "network", NULL,
		    "this is a network: every blog is served that is not "
		    "archived, spam or deleted; what follows is its main "
		    "blog's");
}

void
doctor_identity(struct doctor *d)
{
	struct place *p = &d->place;
	enum site_standing standing;
	struct err err = ERR_INIT;

	if (!p->own)
		return;
	if (site_standing_read(d->site, &p->facts, p->db, &p->scope, &standing,
		&err) != RC_OK) {
		doctor_find(d, FINDING_ERROR, "identity", NULL, "%s", err.text);
		return;
	}
	switch (standing) {
	case SITE_ORIGINAL:
		doctor_find(d, FINDING_OK, "identity", NULL,
		    "this is the site that was installed");
		break;
	case SITE_COPY:
		doctor_find(d, FINDING_ERROR, "identity",
		    "on a copy: leave it so. After a move: `wp-cronctl site "
		    "adopt`, with --discard-pending if the old one still runs",
		    "home, siteurl, database or salts are not those recorded: "
		    "what leaves the site is held");
		break;
	case SITE_STAGING:
		doctor_find(d, FINDING_WARN, "identity",
		    "if it shall send nevertheless: `wp-cronctl site adopt`",
		    "WP_ENVIRONMENT_TYPE is %s: what leaves the site is held",
		    d->site->environment);
		break;
	case SITE_UNKNOWN:
		doctor_find(d, FINDING_WARN, "identity", "wp-cronctl install",
		    "no identity is recorded; a copy would not be noticed");
		break;
	}
}

void
doctor_timezone(struct doctor *d)
{
	const struct site_facts *f = &d->place.facts;

	if (*f->timezone_string && !f->zone)
		doctor_find(d, FINDING_WARN, "timezone",
		    "install tzdata, or choose another zone in Settings",
		    "the zone \"%s\" is not known here: local dates are "
		    "written as UTC",
		    f->timezone_string);
	else
		doctor_find(d, FINDING_OK, "timezone", NULL, "%s%+.2f h",
		    f->zone ? f->timezone_string : "UTC",
		    (double)site_local_attempt(f, clock_unix(&clock_system)) /
			    3600 -
			(double)clock_unix(&clock_system) / 3600);
	if (f->object_cache)
		doctor_find(d, FINDING_INFO, "object cache", NULL,
		    "wp-content/object-cache.php: what PHP caches is changed "
		    "through PHP only");
}

/* ---- other runners ------------------------------------------------------ */

static void
find_foreign_claims(struct doctor *d)
{
	struct place *p = &d->place;
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;

	if (!p->actions || !p->own)
		return;
	if (db_select(p->db, &p->scope, SQL_CTL_FOREIGN_CLAIMS,
		SQL_ARGS(V_U64(PLACE_BLOG)), &rows, &err) != RC_OK ||
	    !db_rows_next(rows))
		doctor_find(d, FINDING_ERROR, "runners", NULL, "%s", err.text);
	else if (db_u64(rows, 0) == 0)
		doctor_find(d, FINDING_OK, "runners", NULL,
		    "no other runner has claimed actions");
	else if (db_i64(rows, 1) < CLAIM_FRESH_S)
		doctor_find(d, FINDING_WARN, "runners",
		    "they may work side by side; to have one only, disable "
		    "PHP's runner (remove_action of "
		    "ActionScheduler_QueueRunner::run, or WP-CLI's cron job)",
		    "%" PRIu64 " claims of another runner, the newest %" PRId64
		    " s old: Action Scheduler's own runner works too",
		    db_u64(rows, 0), db_i64(rows, 1));
	else
		doctor_find(d, FINDING_INFO, "runners",
		    "with cleanup = yes they are taken back when twice PHP's "
		    "own time is over",
		    "%" PRIu64 " claims of another runner, none younger than "
		    "%" PRId64 " s: it ended without giving them back",
		    db_u64(rows, 0), db_i64(rows, 1));
	db_rows_free(rows);
}

static void
find_options(struct doctor *d)
{
	struct place *p = &d->place;
	struct db_rows *rows = NULL;
	struct err err = ERR_INIT;

	if (db_select(p->db, &p->scope, SQL_CTL_OPTIONS, SQL_NO_ARGS, &rows,
		&err) != RC_OK) {
		doctor_find(d, FINDING_ERROR, "options", NULL, "%s", err.text);
		return;
	}
	while (db_rows_next(rows)) {
		struct slice name = db_text(rows, 0), value = db_text(rows, 1);

		if (slice_eq_str(name, "action_scheduler_migration_status") &&
		    !slice_eq_str(value, "complete"))
			doctor_find(d, FINDING_WARN, "migration",
			    "let the migration end (Tools, Scheduled Actions)",
			    "the migration of actions from posts is %.*s",
			    SLICE_FMT(value));
	}
	db_rows_free(rows);
}

void
doctor_rivals(struct doctor *d)
{
	find_foreign_claims(d);
	find_options(d);
}
