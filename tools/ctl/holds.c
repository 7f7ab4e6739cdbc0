/* What keeps a cron event from running. */
#include "holds.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "queues/cron_events_admin.h"

#define WORDS_MAX ((size_t)4096)
#define RECORD_NAME_MAX (CRON_LOCK_VALUE_MAX + 32)
#define SECOND_US INT64_C(1000000)

/* ---- the lock ----------------------------------------------------------- */

static enum rc
find_owner(struct place *p, struct cron_lock_state *l, struct err *err)
{
	char name[RECORD_NAME_MAX];
	struct db_rows *rows = NULL;
	enum rc rc;

	if (!p->own)
		return RC_OK;
	(void)snprintf(name, sizeof name, "doing_cron/%" PRIu32 "/%s",
	    p->blog_id, l->value);
	rc = db_select(p->db, &p->scope, SQL_EVENTS_CTL_LOCK_OWNER,
	    SQL_ARGS(V_STR(name)), &rows, err);
	if (rc == RC_OK && db_rows_next(rows)) {
		l->recorded = true;
		l->node = db_u64(rows, 0);
		(void)snprintf(l->host, sizeof l->host, "%.*s",
		    SLICE_FMT(db_text(rows, 1)));
	}
	db_rows_free(rows);
	return rc;
}

enum rc
cron_lock_look(struct place *p, struct cron_lock_state *l, struct err *err)
{
	int64_t now = clock_unix(&clock_system), at = 0;
	struct db_rows *rows = NULL;
	struct slice value;
	enum rc rc = db_select(
	    p->db, &p->scope, SQL_CRON_LOCK_READ, SQL_NO_ARGS, &rows, err);

	*l = (struct cron_lock_state){
		.timeout_s = p->site->cron_lock_timeout_s
				 ? p->site->cron_lock_timeout_s
				 : CRON_LOCK_TIMEOUT_S,
	};
	while (rc == RC_OK && db_rows_next(rows)) {
		if (!slice_eq_str(db_text(rows, 0), "_transient_doing_cron"))
			continue;
		l->there = true;
		(void)snprintf(l->value, sizeof l->value, "%.*s",
		    SLICE_FMT(db_text(rows, 1)));
	}
	db_rows_free(rows);
	if (rc != RC_OK || !l->there)
		return rc;
	value = slice_str(l->value);
	(void)!slice_i64(slice_mem(value.p, slice_find(value, '.')), &at);
	l->age_s = now - at;
	rc = find_owner(p, l, err);
	l->foreign = cron_lock_judge(value, l->recorded, false, now,
			 l->timeout_s) == CRON_LOCK_FOREIGN;
	return rc;
}

void
cron_lock_words(const struct cron_lock_state *l, char out[CRON_LOCK_WORDS_MAX])
{
	const char *whose = "nobody holds it";

	if (l->recorded && *l->host) {
		(void)snprintf(out, CRON_LOCK_WORDS_MAX,
		    "ours: node %" PRIu64 " on %s holds it", l->node, l->host);
		return;
	}
	if (l->recorded)
		whose = "ours, of a node that runs no more: taken over when "
			"something is due";
	else if (l->foreign)
		whose = "a PHP runner or a page load took it; nothing is taken "
			"from the option meanwhile";
	else if (l->there && l->age_s < 0)
		whose = "it lies in the future: nobody believes it";
	else if (l->there)
		whose = "a PHP runner left it behind: older than its time";
	(void)snprintf(out, CRON_LOCK_WORDS_MAX, "%s", whose);
}

/* ---- the rest ----------------------------------------------------------- */

static void hold(json_t *out, const char *what, bool blocks, const char *fmt,
    ...) PRINTF_LIKE(4, 5);

static void
hold(json_t *out, const char *what, bool blocks, const char *fmt, ...)
{
	struct buf why = BUF_INIT(WORDS_MAX);
	json_t *row = json_object();
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&why, fmt, ap);
	va_end(ap);
	row_text(row, "what", what);
	row_slice(row, "why", buf_slice(&why));
	if (!blocks)
		row_bool(row, "blocks", false);
	(void)json_array_append_new(out, row);
	buf_clear(&why);
}

static bool
is_listed(const struct config_list *list, struct slice hook)
{
	for (size_t i = 0; i < list->n; i++)
		if (slice_glob(hook, slice_str(list->items[i])))
			return true;
	return false;
}

static void
hold_config(const struct ctl *c, struct slice hook, json_t *out)
{
	const struct site *site = c->sites[0];
	const struct config_site *s = site->config;
	const struct route *r = config_route(c->config, site->name, hook);
	const struct policy *policy =
	    config_policy(c->config, site->name, hook, r);

	if (!s->cron)
		hold(out, "config", true, "cron = no in [site %s]", site->name);
	if (s->observe)
		hold(out, "config", true,
		    "mode = observe: nothing is run, only recorded");
	if (s->hooks.n > 0 && !is_listed(&s->hooks, hook))
		hold(out, "config", true, "`hooks` of [site %s] has it not",
		    site->name);
	if (is_listed(&s->except, hook))
		hold(out, "config", true, "`except` of [site %s] has it",
		    site->name);
	if (policy->paused)
		hold(out, "pause", true, "its policy says paused = yes");
	if (r->kind == EXECUTOR_PHP && !s->php_fpm)
		hold(out, "lane", true,
		    "it is for PHP, and there is no php_fpm in [site %s]",
		    site->name);
	if (r->kind == EXECUTOR_PHP &&
	    site_in_maintenance(site, clock_unix(&clock_system)))
		hold(out, "maintenance", true,
		    "WordPress is being updated (.maintenance): PHP's jobs "
		    "wait");
}

static enum rc
hold_pauses(struct place *p, struct slice hook, json_t *out, struct err *err)
{
	struct db_rows *rows = NULL;
	char since[DATETIME_LEN + 1];
	enum rc rc;

	if (!p->own)
		return RC_OK;
	rc = db_select(
	    p->db, &p->scope, SQL_EVENTS_CTL_PAUSES, SQL_NO_ARGS, &rows, err);
	while (rc == RC_OK && db_rows_next(rows)) {
		uint64_t blog = db_u64(rows, 0);

		if ((blog != 0 && blog != p->blog_id) ||
		    !slice_eq_str(db_text(rows, 1), "hook") ||
		    !slice_glob(hook, db_text(rows, 2)))
			continue;
		datetime_render(db_time(rows, 3), since);
		hold(out, "pause", true,
		    "paused since %s (`wp-cronctl resume '%.*s'`)", since,
		    SLICE_FMT(db_text(rows, 2)));
	}
	db_rows_free(rows);
	return rc;
}

static enum rc
hold_storage(struct place *p, json_t *out, struct err *err)
{
	const struct cron_admin admin = { .db = p->db, .scope = &p->scope };
	struct err why = ERR_INIT;
	enum rc rc = cron_admin_writable(&admin, &why);

	if (rc == RC_REJECT)
		hold(out, "storage", true, "%s", why.text);
	else if (rc != RC_OK)
		return err_set(err, rc, "%s", why.text);
	if (p->facts.object_cache)
		hold(out, "object cache", false,
		    "events are taken by PHP, since the option is in its "
		    "cache%s",
		    p->site->config->php_fpm ? "" : ": without php_fpm, never");
	return RC_OK;
}

static enum rc
hold_copy(const struct ctl *c, struct place *p, struct slice hook, json_t *out,
    struct err *err)
{
	const char *name = c->sites[0]->name;
	const struct route *r = config_route(c->config, name, hook);
	enum site_standing standing = SITE_UNKNOWN;
	enum rc rc = RC_OK;

	if (p->own)
		rc = site_standing_read(
		    p->site, &p->facts, p->db, &p->scope, &standing, err);
	if (rc == RC_OK &&
	    (standing == SITE_COPY || standing == SITE_STAGING) &&
	    config_is_outbound(
		c->config, name, r, config_policy(c->config, name, hook, r)))
		hold(out, "copy", true,
		    "it leaves the site, and this is %s: held until "
		    "`wp-cronctl site adopt`",
		    standing == SITE_COPY ? "a copy" : "no production site");
	return rc;
}

static enum rc
hold_lock(struct place *p, json_t *out, struct err *err)
{
	struct cron_lock_state l;
	enum rc rc;

	/* There it is in the cache, where nobody but PHP sees it. */
	if (p->facts.object_cache)
		return RC_OK;
	rc = cron_lock_look(p, &l, err);
	if (rc == RC_OK && l.foreign)
		hold(out, "lock", true,
		    "doing_cron is %" PRId64 " s old and not ours: a PHP "
		    "runner works, for %" PRId64 " s more at most",
		    l.age_s, l.timeout_s - l.age_s);
	return rc;
}

static enum rc
hold_rows(const struct ctl *c, struct place *p, struct slice hook, json_t *out,
    struct err *err)
{
	const char *name = c->sites[0]->name;
	const struct policy *policy = config_policy(
	    c->config, name, hook, config_route(c->config, name, hook));
	int64_t now = clock_wall(&clock_system);
	struct db_rows *rows = NULL;
	enum rc rc;

	if (!p->own)
		return RC_OK;
	rc = db_select(p->db, &p->scope, SQL_EVENTS_CTL_LIVE,
	    SQL_ARGS(V_U64(p->blog_id)), &rows, err);
	while (rc == RC_OK && db_rows_next(rows)) {
		int64_t begin = db_i64(rows, 9), age = now - db_i64(rows, 10);

		if (!slice_eq(db_text(rows, 2), hook))
			continue;
		if (slice_eq_str(db_text(rows, 1), "running"))
			hold(out, "sibling", !policy->overlap,
			    "event %" PRIu64 " runs since %" PRId64
			    " s on node %" PRIu64 "%s",
			    db_u64(rows, 0), age / SECOND_US, db_u64(rows, 8),
			    policy->overlap ? ""
					    : ", and the hook does not run "
					      "beside itself (overlap)");
		else if (db_u64(rows, 7) > 0)
			hold(out, "worker", false,
			    "event %" PRIu64 " is with a worker of node "
			    "%" PRIu64,
			    db_u64(rows, 0), db_u64(rows, 8));
		else if (begin > now)
			hold(out, "retry", false,
			    "event %" PRIu64 " is tried again in %" PRId64
			    " s, for the %" PRIu64 ". time",
			    db_u64(rows, 0), (begin - now) / SECOND_US,
			    db_u64(rows, 11));
	}
	db_rows_free(rows);
	return rc;
}

static enum rc
hold_nodes(struct place *p, json_t *out, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc;

	if (!p->own) {
		hold(out, "tables", true,
		    "the tables %swpcron_* are not there: `wp-cronctl install`",
		    p->scope.base);
		return RC_OK;
	}
	rc = db_select(
	    p->db, &p->scope, SQL_EVENTS_CTL_FLEET, SQL_NO_ARGS, &rows, err);
	if (rc == RC_OK && db_rows_next(rows) && db_u64(rows, 0) == 0)
		hold(out, "nodes", false, "no daemon serves this site now");
	db_rows_free(rows);
	return rc;
}

enum rc
holds_find(const struct ctl *c, struct place *p, struct slice hook, json_t *out,
    struct err *err)
{
	enum rc rc;

	hold_config(c, hook, out);
	rc = hold_pauses(p, hook, out, err);
	if (rc == RC_OK)
		rc = hold_storage(p, out, err);
	if (rc == RC_OK)
		rc = hold_copy(c, p, hook, out, err);
	if (rc == RC_OK)
		rc = hold_lock(p, out, err);
	if (rc == RC_OK)
		rc = hold_rows(c, p, hook, out, err);
	return rc == RC_OK ? hold_nodes(p, out, err) : rc;
}

const char *
holds_blocking(const json_t *holds)
{
	for (size_t i = 0; i < json_array_size(holds); i++) {
		const json_t *row = json_array_get(holds, i);

		if (!json_is_false(json_object_get(row, "blocks")))
			return json_string_value(json_object_get(row, "why"));
	}
	return NULL;
}
