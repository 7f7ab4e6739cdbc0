#include "engine/site_prepare.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/log.h"
#include "base/xalloc.h"

#define PROBE_AGAIN_MS 10000
#define FACTS_EVERY_MS 60000

const struct config_site *
site_config(const struct config *c, const struct site *site)
{
	for (size_t i = 0; i < c->nsites; i++)
		if (strcmp(c->sites[i].name, site->name) == 0)
			return &c->sites[i];
	return site->config;
}

static void
zone_keep(struct site_run *s, struct timezone *zone)
{
	s->zones = xrealloc(s->zones, s->nzones + 1, sizeof(struct timezone *));
	s->zones[s->nzones++] = zone;
}

/* The queue may still use the zone it has: it is kept, and used again. */
static void
facts_take(struct site_run *s, struct site_facts *fresh)
{
	if (fresh->zone && s->facts.zone &&
	    strcmp(fresh->timezone_string, s->facts.timezone_string) == 0) {
		timezone_free(fresh->zone);
		fresh->zone = s->facts.zone;
	} else if (fresh->zone) {
		zone_keep(s, fresh->zone);
	}
	s->facts = *fresh;
	actions_set_facts(s->actions, &s->facts);
}

static void
standing_say(const struct site_run *s)
{
	static const char *const words[] = {
		[SITE_COPY] = "this is a copy of the site that was installed: "
			      "what leaves it is held; `wp-cronctl site adopt` "
			      "makes it the site",
		[SITE_STAGING] = "WP_ENVIRONMENT_TYPE is not production: what "
				 "leaves the site is held",
	};

	if (s->standing == SITE_COPY || s->standing == SITE_STAGING)
		log_event(LOG_WARN, "site.held", LOG_S("site", s->site->name),
		    LOG_S("why", words[s->standing]));
}

enum rc
site_refresh(struct site_run *s, struct config *c, struct err *err)
{
	struct db *db = s->database->db;
	const struct config_site *config = site_config(c, s->site);
	enum site_standing before = s->standing;
	struct site_facts fresh;
	struct sql_scope scope;
	enum rc rc;

	actions_scope(s->actions, &scope);
	rc = site_facts_read(s->site, db, &scope, &fresh, err);
	if (rc != RC_OK)
		return rc;
	facts_take(s, &fresh);
	rc = site_standing_read(
	    s->site, &s->facts, db, &scope, &s->standing, err);
	if (rc == RC_OK && s->standing == SITE_UNKNOWN) {
		rc = site_record(s->site, &s->facts, db, &scope, err);
		if (rc == RC_OK)
			rc = site_standing_read(
			    s->site, &s->facts, db, &scope, &s->standing, err);
	}
	if (rc != RC_OK)
		return rc;
	site_identity(s->site, &s->facts, s->identity);
	pthread_mutex_lock(&s->engine->lock);
	memcpy(s->told_home, s->facts.home, sizeof s->told_home);
	memcpy(s->told_siteurl, s->facts.siteurl, sizeof s->told_siteurl);
	memcpy(s->told_identity, s->identity, sizeof s->told_identity);
	pthread_mutex_unlock(&s->engine->lock);
	if (s->standing != before || s->facts_at == 0) {
		standing_say(s);
		cron_events_rewind(s->events);
	}
	actions_set_series_after_crash(s->actions, config->series_after_crash);
	cron_events_set_site(
	    s->events, &(const struct cron_events_site){
			   .object_cache = s->facts.object_cache,
			   .companion = s->facts.companion,
			   .php = config->php_fpm != NULL,
			   .observe = config->observe,
		       });
	s->facts_at = clock_mono(s->engine->clock) + FACTS_EVERY_MS;
	return RC_OK;
}

enum rc
site_probe(struct site_run *s, struct err *err)
{
	struct db *db = s->database->db;
	struct db_schema schema;
	struct sql_scope scope;
	enum rc rc;

	actions_scope(s->actions, &scope);
	rc = db_probe(db, &scope, &schema, err);
	if (rc != RC_OK && rc != RC_NONE)
		return rc;
	s->has_actions = s->maybe_actions = rc == RC_OK;
	pthread_mutex_lock(&s->engine->lock);
	s->actions_there = s->has_actions;
	pthread_mutex_unlock(&s->engine->lock);
	s->probe_at = clock_mono(s->engine->clock) + PROBE_AGAIN_MS;
	if (s->has_actions) {
		actions_set_schema(s->actions, &schema);
		actions_rewind(s->actions);
		s->no_tables_said = false;
	} else if (!s->no_tables_said) {
		log_event(LOG_INFO, "queue.off", LOG_S("site", s->site->name),
		    LOG_S("queue", "actions"),
		    LOG_S(
			"why", "no Action Scheduler tables with this prefix"));
		s->no_tables_said = true;
	}
	return RC_OK;
}

void
site_set_node(struct site_run *s, uint64_t node_id)
{
	actions_set_node(s->actions, node_id);
	cron_events_set_node(s->events, node_id);
}

static void
note_duration(void *arg, struct slice hook, uint32_t ms)
{
	pace_note(arg, hook, ms);
}

/* How long hooks took, as the ledger has it. */
static enum rc
learn_pace(struct site_run *s, struct err *err)
{
	struct pace fresh = { .n = 0 };
	enum rc rc = cron_events_durations(
	    s->events, s->database->db, note_duration, &fresh, err);

	if (rc != RC_OK && rc != RC_NONE) {
		pace_clear(&fresh);
		return rc;
	}
	pthread_mutex_lock(&s->engine->lock);
	pace_clear(&s->pace);
	s->pace = fresh;
	pthread_mutex_unlock(&s->engine->lock);
	return RC_OK;
}

enum rc
site_prepare(struct site_run *s, struct config *c, struct err *err)
{
	mono_ms now = clock_mono(s->engine->clock);
	enum rc rc;

	if (now < s->prepare_at)
		return RC_NONE;
	s->prepare_at = now + 1000;
	site_set_node(s, s->network->node_id);
	rc = site_probe(s, err);
	if (rc == RC_OK)
		rc = site_refresh(s, c, err);
	if (rc == RC_OK)
		rc = learn_pace(s, err);
	if (rc != RC_OK)
		return rc;
	s->prepared = true;
	log_event(LOG_INFO, "site.ready", LOG_S("site", s->site->name),
	    LOG_U("blog", s->blog_id), LOG_S("home", s->facts.home),
	    LOG_S("prefix", s->prefix),
	    LOG_S("database", s->database->params->name),
	    LOG_S("server", db_server_info(s->database->db)),
	    LOG_U("node", s->network->node_id),
	    LOG_S("php", site_config(c, s->site)->php_fpm
			     ? site_config(c, s->site)->php_fpm
			     : "none"));
	return RC_OK;
}

static int64_t
number_or(const json_t *x, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(x, key);

	return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

static bool
list_has(const json_t *list, const char *text)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i,
	    v) if (json_is_string(v) &&
		   strcmp(json_string_value(v), text) == 0) return true;
	return false;
}

/* Action Scheduler's own table stores; any other class keeps rows elsewhere. */
static bool
is_table_store(const char *class_name)
{
	return strcmp(class_name, "ActionScheduler_DBStore") == 0 ||
	       strcmp(class_name, "ActionScheduler_HybridStore") == 0;
}

/* What only PHP knows about cron: recurrences, and whether it is elsewhere. */
static void
take_cron_export(struct site_run *s, const json_t *x)
{
	json_t *all = json_object_get(x, "recurrences"), *interval;
	struct cron_recurrence *list =
	    xcalloc(json_object_size(all) + 1, sizeof *list);
	struct cron_events_export out = {
		.exported_at = clock_unix(s->engine->clock),
		.recurrences = list,
		.replaced_by =
		    json_string_value(json_object_get(x, "cron_replaced")),
		.lock_timeout_s =
		    (uint32_t)(number_or(x, "lock_timeout", 0) & INT32_MAX),
	};
	const char *name;

	json_object_foreach(all, name, interval)
	{
		list[out.nrecurrences].name = slice_str(name);
		list[out.nrecurrences++].interval =
		    json_integer_value(interval);
	}
	cron_events_set_export(s->events, &out);
	free(list);
}

void
site_on_export(void *worker, struct slice json)
{
	struct site_run *s = ((struct worker *)worker)->bound;
	json_error_t error;
	json_t *x = json_loadb(json.p, json.n, 0, &error);
	const char *store, *version;
	struct actions_export out = { .known = true }, before;

	if (!x)
		return;
	store = json_string_value(json_object_get(x, "store_class"));
	version = json_string_value(json_object_get(x, "plugin_version"));
	out.plugin = store != NULL;
	out.foreign_store = store && !is_table_store(store);
	out.retention_s = number_or(x, "retention_s", -1);
	out.timeout_s = number_or(x, "timeout_s", 0);
	out.failure_s = number_or(x, "failure_s", 0);
	out.failure_threshold =
	    (uint32_t)(number_or(x, "failure_threshold", 5) & INT32_MAX);
	out.purge_complete =
	    list_has(json_object_get(x, "cleaner_statuses"), "complete");
	out.purge_canceled =
	    list_has(json_object_get(x, "cleaner_statuses"), "canceled");
	out.words_of_4 = version && version[0] >= '4';
	actions_get_export(s->actions, &before);
	if (out.foreign_store && !before.foreign_store)
		log_event(LOG_ERR, "queue.off", LOG_S("site", s->site->name),
		    LOG_S("queue", "actions"), LOG_S("store", store),
		    LOG_S("why", "the site keeps its actions elsewhere"));
	else if (before.foreign_store && !out.foreign_store)
		log_event(LOG_INFO, "queue.on", LOG_S("site", s->site->name),
		    LOG_S("queue", "actions"));
	actions_set_export(s->actions, &out);
	take_cron_export(s, x);
	json_decref(x);
}
