/*
 * Sends what is in a site's outbox, as the daemon does.
 *
 *   outbox_send config=FILE root=DIR [standing=original|copy|staging|unknown]
 *               [budget_ms=N] [for_ms=N] [tend_only=1] [debug=1]
 *
 * Upkeep and one run; with for_ms again and again for so long, or until
 * SIGTERM. A line for each run that is news:
 *
 *   run RC sent=N later=N dead=N unknown=N held=N dropped=N more=B wait_ms=N
 *       due=B why=WORDS
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "engine/outbox_run.h"
#include "sql/schema.h"

struct run {
	const char *config_path, *root, *standing;
	uint64_t budget_ms, for_ms, tend_only, debug;
	struct config *config;
	struct site *site;
	struct site_facts facts;
	struct db *db;
	struct work_env env;
	char last[1024];
	struct err err;
};

static volatile sig_atomic_t stopped;

static void
on_term(int sig)
{
	(void)sig;
	stopped = 1;
}

static bool
is_stopping(void *arg)
{
	(void)arg;
	return stopped;
}

static void
die(struct run *r, const char *what)
{
	(void)printf("refused %s: %s\n", what, r->err.text);
	exit(1);
}

static bool
set_number(const char *key, const char *value, const char *name, uint64_t *out)
{
	return strcmp(key, name) == 0 && slice_u64(slice_str(value), out);
}

static bool
set_text(const char *key, const char *value, const char *name, const char **out)
{
	if (strcmp(key, name) != 0)
		return false;
	*out = value;
	return true;
}

static void
set(struct run *r, char *arg)
{
	char *value = strchr(arg, '=');

	if (value)
		*value++ = '\0';
	if (!value || (!set_text(arg, value, "config", &r->config_path) &&
			  !set_text(arg, value, "root", &r->root) &&
			  !set_text(arg, value, "standing", &r->standing) &&
			  !set_number(arg, value, "budget_ms", &r->budget_ms) &&
			  !set_number(arg, value, "for_ms", &r->for_ms) &&
			  !set_number(arg, value, "tend_only", &r->tend_only) &&
			  !set_number(arg, value, "debug", &r->debug))) {
		(void)fprintf(stderr, "outbox_send: what is %s?\n", arg);
		exit(64);
	}
}

static enum site_standing
standing_of(const char *name)
{
	static const enum site_standing all[] = { SITE_ORIGINAL, SITE_COPY,
		SITE_STAGING, SITE_UNKNOWN };

	for (size_t i = 0; i < NELEMS(all); i++)
		if (strcmp(name, site_standing_name(all[i])) == 0)
			return all[i];
	(void)fprintf(stderr, "outbox_send: what is %s?\n", name);
	exit(64);
}

static void
open_env(struct run *r)
{
	struct sql_scope scope;

	if (config_load(r->config_path, r->root, &r->config, &r->err) != RC_OK)
		die(r, "config");
	if (site_open(&r->config->sites[0], &r->site, &r->err) != RC_OK)
		die(r, "site");
	if (db_open(&r->site->db, &r->db, &r->err) != RC_OK)
		die(r, "database");
	scope = (struct sql_scope){ .prefix = r->site->prefix,
		.base = r->site->prefix };
	if (schema_install(r->db, &scope, &r->err) != RC_OK)
		die(r, "tables");
	if (site_facts_read(r->site, r->db, &scope, &r->facts, &r->err) !=
	    RC_OK)
		die(r, "facts");
	r->env = (struct work_env){
		.config = r->config,
		.site = r->site,
		.blog_id = 1,
		.siteurl = r->facts.siteurl,
		.facts = &r->facts,
		.standing = standing_of(r->standing),
		.db = r->db,
		.scope = scope,
		.node_id = 1,
		.clock = &clock_system,
		.stopping = is_stopping,
	};
}

/* A line when it differs from the one before. */
static void
say(struct run *r, enum rc rc, bool due, const struct outbox_report *o)
{
	char line[sizeof r->last];

	(void)snprintf(line, sizeof line,
	    "run %s sent=%" PRIu64 " later=%" PRIu64 " dead=%" PRIu64
	    " unknown=%" PRIu64 " held=%" PRIu64 " dropped=%" PRIu64
	    " more=%d wait_ms=%s due=%d why=%.400s",
	    rc_name(rc), o->sent, o->later, o->dead, o->unknown, o->held,
	    o->dropped, o->more, o->wait_ms > 0 ? "some" : "0", due,
	    rc == RC_OK ? o->why : r->err.text);
	if (strcmp(line, r->last) == 0)
		return;
	(void)snprintf(r->last, sizeof r->last, "%s", line);
	(void)puts(line);
	(void)fflush(stdout);
}

static void
work(struct run *r)
{
	struct outbox_report o = { .wait_ms = 0 };
	bool due = false, untold;
	enum rc rc = outbox_tend_run(&r->env, &due, &untold, &r->err);

	if (rc == RC_OK && due && r->tend_only == 0)
		rc = outbox_run(&r->env, (uint32_t)r->budget_ms, &o, &r->err);
	say(r, rc, due, &o);
	if (db_is_lost(r->db))
		die(r, "database");
}

int
main(int argc, char **argv)
{
	struct run r = { .standing = "original", .budget_ms = 10000 };
	mono_ms end;

	for (int i = 1; i < argc; i++)
		set(&r, argv[i]);
	(void)signal(SIGTERM, on_term);
	log_set_level(r.debug ? LOG_DEBUG : LOG_INFO);
	if (db_library_begin(&r.err) != RC_OK)
		die(&r, "library");
	open_env(&r);
	end = clock_mono(&clock_system) + (mono_ms)r.for_ms;
	do {
		work(&r);
		if (r.for_ms > 0)
			clock_sleep_ms(10);
	} while (!stopped && clock_mono(&clock_system) < end);
	db_close(r.db);
	site_facts_clear(&r.facts);
	site_free(r.site);
	config_unref(r.config);
	db_library_end();
	return 0;
}
