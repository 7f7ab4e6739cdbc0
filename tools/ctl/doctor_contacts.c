/* doctor: Newspack's contact cron. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "contacts.h"
#include "doctor.h"
#include "engine/contact_internal.h"
#include "formats/wp_config.h"
#include "queues/contacts_compare.h"
#include "wire/http.h"

#define DAY_S INT64_C(86400)
/* Counted no further. */
#define STAGED_MAX 1000

static const char disable_line[] =
    "define( 'NEWSPACK_CRON_DISABLE', array( "
    "'" CONTACT_BATCH_HOOK "' ) ); in wp-config.php hands the batch over";

/* A constant that is no array changes nothing, and nobody is told. */
static void
find_constant(struct doctor *d)
{
	const struct wp_config_value *v =
	    site_constant(d->site, "NEWSPACK_CRON_DISABLE");

	if (v && v->type != WP_CONFIG_ARRAY)
		doctor_find(d, FINDING_WARN, "contacts", disable_line,
		    "NEWSPACK_CRON_DISABLE is not a literal array: Newspack "
		    "takes only an array, and so does this program");
}

/* Who runs the batch, and whether somebody else does, too. */
static void
find_runner(struct doctor *d, const struct newspack *n)
{
	if (n->cron_disabled && n->cron_scheduled)
		doctor_find(d, FINDING_INFO, "contacts", NULL,
		    "NEWSPACK_CRON_DISABLE is set; the event goes from the "
		    "option `cron` with the next page load");
	else if (n->cron_disabled)
		doctor_find(d, FINDING_OK, "contacts", NULL,
		    "NEWSPACK_CRON_DISABLE leaves the batch to this program");
	else if (!d->site->config->cron)
		doctor_find(d, FINDING_ERROR, "contacts", disable_line,
		    "PHP runs the batch too: cron = no leaves the "
		    "event " CONTACT_BATCH_HOOK " to WordPress");
	else if (!n->cron_scheduled)
		doctor_find(d, FINDING_WARN, "contacts", disable_line,
		    "nobody runs the batch: its event is not scheduled (the "
		    "plugin does that at a page load)");
	else
		doctor_find(d, FINDING_INFO, "contacts", disable_line,
		    "the batch runs when its cron event is due; any other "
		    "runner of cron events runs PHP's");
}

static void
find_standing(struct doctor *d, const struct contacts_view *v)
{
	const char *remedy, *held = contacts_held(v, &remedy);

	if (held)
		doctor_find(d, FINDING_WARN, "contacts", remedy,
		    "nothing leaves: %s; readers stay staged", held);
	else if (v->newspack.forced)
		doctor_find(d, FINDING_INFO, "contacts", NULL,
		    "NEWSPACK_ALLOW_READER_SYNC: sent whatever host this is");
}

static void
find_payload(struct doctor *d, const struct contacts_view *v,
    const struct newspack_integration *i)
{
	const struct place *p = v->place;
	enum contact_compare found = CONTACT_COMPARE_UNKNOWN;
	struct err err = ERR_INIT;
	char digest[65];

	if (!i->config || i->config->payload != PAYLOAD_NATIVE)
		return;
	contact_map_digest(&v->newspack, i, digest);
	if (contact_compare_look(p->db, &p->scope, p->blog_id, slice_str(i->id),
		digest, &found, &err) != RC_OK)
		doctor_find(d, FINDING_ERROR, "integration", NULL, "%s: %s",
		    i->id, err.text);
	else if (found == CONTACT_COMPARE_EQUAL)
		doctor_find(d, FINDING_OK, "integration", NULL,
		    "%s: native contacts are those of PHP", i->id);
	else
		doctor_find(d, FINDING_WARN, "integration",
		    "`wp-cronctl integration fields ID --compare` shows both",
		    "%s: payload = native is refused: %s", i->id,
		    found == CONTACT_COMPARE_DIFFERENT
			? "its contacts differ from PHP's"
			: "nobody has compared them since something changed");
}

static void
find_integration(struct doctor *d, const struct contacts_view *v,
    const struct newspack_integration *i)
{
	if (!i->set_up)
		doctor_find(d, FINDING_WARN, "integration",
		    "complete it in Newspack, or in [integration]",
		    "%s is enabled and not set up: %s", i->id,
		    i->why ? i->why : "");
	else if (!i->push && (!i->pull || i->nincoming == 0))
		doctor_find(d, FINDING_INFO, "integration", NULL,
		    "%s is enabled, and neither pushes nor pulls", i->id);
	else
		doctor_find(d, FINDING_OK, "integration", NULL, "%s: %s%s%s",
		    i->id, i->provider, i->push ? ", push" : "",
		    i->pull && i->nincoming > 0 ? ", pull" : "");
	find_payload(d, v, i);
}

/* Page loads that nobody tells of stage nobody. */
static void
find_staging(struct doctor *d)
{
	struct place *p = &d->place;
	int64_t now = clock_unix(&clock_system), newest = 0;
	struct db_rows *rows = NULL;
	uint64_t n = 0;
	struct err err = ERR_INIT;
	enum rc rc = db_select(p->db, &p->scope, SQL_CONTACTS_CTL_LAST_ENQUEUE,
	    SQL_NO_ARGS, &rows, &err);

	if (rc == RC_OK && db_rows_next(rows)) {
		n = db_u64(rows, 0);
		newest = db_i64(rows, 1);
	}
	db_rows_free(rows);
	if (rc != RC_OK)
		doctor_find(d, FINDING_ERROR, "staging", NULL, "%s", err.text);
	else if (n == 0)
		doctor_find(d, FINDING_WARN, "staging",
		    "include the reader ping's snippet in nginx; log in and "
		    "load a page",
		    "no reader was ever staged, by PHP or by the reader ping");
	else if (n < STAGED_MAX && now - newest > DAY_S)
		doctor_find(d, FINDING_WARN, "staging",
		    "does nginx send /wp-cron-fcgi/ping to the daemon? log in "
		    "and load a page",
		    "no reader was staged for %" PRId64 " hours",
		    (now - newest) / 3600);
	else
		doctor_find(d, FINDING_OK, "staging", NULL,
		    "%" PRIu64 "%s readers were staged so far", n,
		    n == STAGED_MAX ? " or more" : "");
}

/* ---- the reader ping ----------------------------------------------------- */

#define PING_PATH "/wp-cron-fcgi/ping"
#define PING_MS 3000
#define URL_MAX 512

struct answer {
	enum http_end end;
	int status;
	char error[ERR_TEXT_MAX];
};

static void
on_answer(void *arg, void *tag, const struct http_response *r)
{
	struct answer *a = arg;

	(void)tag;
	a->end = r->end;
	a->status = r->status;
	(void)snprintf(a->error, sizeof a->error, "%s", r->error);
}

static enum rc
ask(const char *url, struct answer *a, struct err *err)
{
	const struct http_request request = {
		.method = "GET",
		.url = url,
		.connect_timeout_ms = PING_MS,
		.timeout_ms = PING_MS,
	};
	struct http *http = NULL;
	enum rc rc = http_new(
	    &(const struct http_opts){ .user_agent = "wp-cronctl/" VERSION },
	    &http, err);

	if (rc == RC_OK)
		rc = http_add(http, &request, NULL, err);
	while (rc == RC_OK && http_running(http) > 0)
		http_poll(http, 100, on_answer, a);
	http_free(http);
	return rc;
}

/* As a browser would, without a cookie: nobody is staged by it. */
static void
find_ping(struct doctor *d)
{
	struct answer a = { .end = HTTP_BROKEN };
	struct err err = ERR_INIT;
	char url[URL_MAX];

	(void)snprintf(url, sizeof url, "%s" PING_PATH, d->place.facts.home);
	if (ask(url, &a, &err) != RC_OK)
		doctor_find(d, FINDING_INFO, "reader ping", NULL, "%s: %s", url,
		    err.text);
	else if (a.end != HTTP_ANSWERED)
		doctor_find(d, FINDING_INFO, "reader ping",
		    "ask it from elsewhere: it answers 204",
		    "%s cannot be asked from here: %s", url, a.error);
	else if (a.status == 204)
		doctor_find(
		    d, FINDING_OK, "reader ping", NULL, "%s answers", url);
	else
		doctor_find(d, FINDING_WARN, "reader ping",
		    "include wp-cron-fcgi-readers.conf in nginx' server "
		    "block; is the daemon up? without it PHP alone stages "
		    "readers",
		    "%s answers with status %d, not 204", url, a.status);
}

static void
examine(struct doctor *d, const struct contacts_view *v)
{
	const struct newspack *n = &v->newspack;

	if (!d->site->config->contacts)
		doctor_find(d, FINDING_INFO, "contacts", NULL,
		    "contacts = no: Newspack's readers are left to PHP");
	else
		find_standing(d, v);
	find_constant(d);
	if (d->site->config->contacts)
		find_runner(d, n);
	for (size_t i = 0; i < n->n; i++)
		find_integration(d, v, &n->integrations[i]);
	if (n->n == 0)
		doctor_find(d, FINDING_WARN, "integration",
		    "enable one in Newspack, Audience",
		    "no integration is enabled: readers are staged for "
		    "nothing");
	if (d->site->config->stage != STAGE_NOBODY)
		find_ping(d);
	find_staging(d);
}

void
doctor_contacts(struct doctor *d)
{
	struct contacts_view v;
	struct err err = ERR_INIT;

	if (contacts_open(d->c, &d->place, &v, &err) != RC_OK)
		doctor_find(d, FINDING_ERROR, "contacts", NULL, "%s", err.text);
	/* A site without the plugin has nothing to do with any of it. */
	else if (v.newspack.plugin)
		examine(d, &v);
	contacts_close(&v);
}
