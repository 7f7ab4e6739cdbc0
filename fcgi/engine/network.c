#include "engine/network.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "engine/site_prepare.h"
#include "engine/site_tend.h"
#include "sql/nodes.h"
#include "sql/schema.h"

#define PREPARE_AGAIN_MS 1000
#define BLOGS_EVERY_MS 20000
/* A ping for a blog that is not known: it may be new. */
#define STRANGER_MS 2000
#define TABLES_EVERY_MS 60000
/* How soon a pause holds on every node. */
#define PAUSES_EVERY_MS 1000

/* ---- blogs -------------------------------------------------------------- */

static void
scope_of(const struct network *n, struct sql_scope *out)
{
	*out = (struct sql_scope){ .prefix = n->site->prefix,
		.base = n->site->prefix };
}

static struct site_run *
blog_new(struct network *n, uint32_t blog_id)
{
	struct site_run *s = xcalloc(1, sizeof *s);

	s->engine = n->engine;
	s->network = n;
	s->site = n->site;
	s->database = n->database;
	s->blog_id = blog_id;
	site_blog_prefix(n->site, blog_id, s->prefix);
	s->actions = actions_new(&(const struct actions_opts){
	    .prefix = s->prefix,
	    .base = n->site->prefix,
	    .blog_id = blog_id,
	    .clock = n->engine->clock,
	});
	s->events = cron_events_new(&(const struct cron_events_opts){
	    .prefix = s->prefix,
	    .base = n->site->prefix,
	    .blog_id = blog_id,
	    .clock = n->engine->clock,
	});
	s->queues[JOB_ACTION] = actions_queue(s->actions);
	s->queues[JOB_EVENT] = cron_events_queue(s->events);
	s->standing = SITE_UNKNOWN;
	s->health.next_due = INT64_MAX;
	s->looked_at = s->turned_at = INT64_MIN / 2;
	s->again_at = s->tend_at = INT64_MAX;
	return s;
}

static void
blog_free(struct site_run *s)
{
	while (s->held) {
		struct held *h = s->held;

		s->held = h->next;
		engine_held_free(h);
	}
	actions_free(s->actions);
	cron_events_free(s->events);
	for (size_t i = 0; i < s->nzones; i++)
		timezone_free(s->zones[i]);
	free(s->zones);
	free(s->asking.take);
	free(s->domain);
	free(s->path);
	pace_clear(&s->pace);
	limits_clear(&s->limits);
	free(s);
}

static void
blog_add_locked(struct network *n, struct site_run *s)
{
	if (n->nblogs == n->blogs_cap) {
		n->blogs_cap = n->blogs_cap ? n->blogs_cap * 2 : 1;
		n->blogs =
		    xrealloc(n->blogs, n->blogs_cap, sizeof(struct site_run *));
	}
	n->blogs[n->nblogs++] = s;
}

void
network_init(struct network *n, struct engine *e, const struct site *site,
    struct database *d)
{
	*n = (struct network){ .engine = e, .site = site, .database = d };
	n->turned_at = n->scanned_at = n->blogs_read_at = INT64_MIN / 2;
	blog_add_locked(n, blog_new(n, 1));
	/* It is looked at once whatever a scan says: a start shows what is
	 * wrong. */
	n->blogs[0]->wanted = true;
}

static void
pauses_clear(struct pause *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(p[i].pattern);
	free(p);
}

void
network_clear(struct network *n)
{
	for (size_t i = 0; i < n->nblogs; i++)
		blog_free(n->blogs[i]);
	free(n->blogs);
	pauses_clear(n->pauses, n->npauses);
}

struct site_run *
network_blog_by_id_locked(const struct network *n, uint32_t blog_id)
{
	for (size_t i = 0; i < n->nblogs; i++)
		if (n->blogs[i]->blog_id == blog_id)
			return n->blogs[i];
	return n->blogs[0];
}

/* How much of a request's path a blog's takes: "/two/" leads on to "/two" and
 * "/two/wp"; -1: it is another's. */
static int
path_match(struct slice request, const char *stored)
{
	struct slice s = slice_str(stored);

	while (s.n > 0 && s.p[s.n - 1] == '/')
		s.n--;
	if (request.n < s.n || !slice_eq_nocase(slice_mem(request.p, s.n), s) ||
	    (request.n > s.n && request.p[s.n] != '/'))
		return -1;
	return (int)s.n;
}

/* A domain may be stored with a port that is not its scheme's; a host with
 * www. is the same without. */
static bool
host_match(struct slice host, const char *domain)
{
	struct slice s = slice_str(domain), www = SLICE_LIT("www.");

	s = slice_mem(s.p, slice_find(s, ':'));
	return slice_eq_nocase(host, s) ||
	       (host.n > www.n &&
		   slice_eq_nocase(slice_mem(host.p, www.n), www) &&
		   slice_eq_nocase(slice_from(host, www.n), s));
}

struct site_run *
network_blog_locked(struct network *n, struct slice host, struct slice path)
{
	struct site_run *best = NULL;
	int longest = -1;

	for (size_t i = 0; i < n->nblogs; i++) {
		struct site_run *s = n->blogs[i];
		int taken;

		if (!s->domain || s->gone || !host_match(host, s->domain))
			continue;
		taken = path_match(path, s->path);
		if (taken > longest) {
			longest = taken;
			best = s;
		}
	}
	/* It may be of a blog that is new: the list is read again. */
	n->stranger = n->site->multisite && (!best || (size_t)longest < path.n);
	return best ? best : n->blogs[0];
}

static void
replace_text(char **to, struct slice s)
{
	free(*to);
	*to = xstrndup(s);
}

static void
blog_seen_locked(
    struct network *n, uint32_t id, struct slice domain, struct slice path)
{
	struct site_run *s = network_blog_by_id_locked(n, id);

	if (s->blog_id != id) {
		s = blog_new(n, id);
		blog_add_locked(n, s);
	}
	s->gone = false;
	replace_text(&s->domain, domain);
	replace_text(&s->path, path);
}

static enum rc
read_blogs(struct network *n, const struct sql_scope *scope, struct err *err)
{
	struct engine *e = n->engine;
	struct db_rows *rows = NULL;
	size_t before = n->nblogs;
	enum rc rc;

	if (!n->site->multisite)
		return RC_OK;
	rc = db_select(
	    n->database->db, scope, SQL_NETWORK_BLOGS, SQL_NO_ARGS, &rows, err);
	if (rc != RC_OK)
		return rc;
	pthread_mutex_lock(&e->lock);
	for (size_t i = 1; i < n->nblogs; i++)
		n->blogs[i]->gone = true;
	while (db_rows_next(rows)) {
		uint64_t id = db_u64(rows, 0);

		if (id > 0 && id <= UINT32_MAX &&
		    (e->only_blog == 0 || e->only_blog == id || id == 1))
			blog_seen_locked(n, (uint32_t)id, db_text(rows, 1),
			    db_text(rows, 2));
	}
	pthread_mutex_unlock(&e->lock);
	db_rows_free(rows);
	if (n->nblogs != before)
		log_event(LOG_INFO, "network.blogs",
		    LOG_S("site", n->site->name), LOG_U("blogs", n->nblogs));
	return RC_OK;
}

/* Which blogs have Action Scheduler's tables, by their names. */
static enum rc
read_action_tables(
    struct network *n, const struct sql_scope *scope, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc;

	if (n->nblogs < 2)
		return RC_OK;
	rc = db_select(n->database->db, scope, SQL_NETWORK_ACTION_TABLES,
	    SQL_NO_ARGS, &rows, err);
	while (rc == RC_OK && db_rows_next(rows)) {
		struct slice name = db_text(rows, 0);

		for (size_t i = 0; i < n->nblogs; i++) {
			struct site_run *s = n->blogs[i];
			struct slice prefix = slice_str(s->prefix);

			if (slice_starts(name, prefix) &&
			    slice_eq(slice_from(name, prefix.n),
				SLICE_LIT("actionscheduler_actions")))
				s->maybe_actions = true;
		}
	}
	db_rows_free(rows);
	return rc;
}

/* ---- pauses ------------------------------------------------------------- */

static bool
same_pauses(const struct pause *a, size_t na, const struct pause *b, size_t nb)
{
	if (na != nb)
		return false;
	for (size_t i = 0; i < na; i++)
		if (a[i].blog_id != b[i].blog_id || a[i].group != b[i].group ||
		    strcmp(a[i].pattern, b[i].pattern) != 0)
			return false;
	return true;
}

static void
look_again(struct network *n)
{
	struct engine *e = n->engine;

	pthread_mutex_lock(&e->lock);
	for (size_t i = 0; i < n->nblogs; i++) {
		actions_rewind(n->blogs[i]->actions);
		cron_events_rewind(n->blogs[i]->events);
		n->blogs[i]->backlog = true;
	}
	e->room_epoch++;
	pthread_mutex_unlock(&e->lock);
}

static enum rc
read_pauses(struct network *n, const struct sql_scope *scope, struct err *err)
{
	struct db_rows *rows = NULL;
	struct pause *fresh;
	size_t nfresh = 0;
	enum rc rc = db_select(n->database->db, scope, SQL_NETWORK_PAUSES,
	    SQL_NO_ARGS, &rows, err);

	if (rc != RC_OK)
		return rc;
	fresh = xcalloc(db_rows_count(rows) + 1, sizeof *fresh);
	while (db_rows_next(rows))
		fresh[nfresh++] =
		    (struct pause){ .blog_id = (uint32_t)db_u64(rows, 0),
			    .group = slice_eq_str(db_text(rows, 1), "group"),
			    .pattern = xstrndup(db_text(rows, 2)) };
	db_rows_free(rows);
	if (same_pauses(fresh, nfresh, n->pauses, n->npauses)) {
		pauses_clear(fresh, nfresh);
		return RC_OK;
	}
	pauses_clear(n->pauses, n->npauses);
	n->pauses = fresh;
	n->npauses = nfresh;
	log_event(LOG_INFO, "pauses.changed", LOG_S("site", n->site->name),
	    LOG_U("pauses", nfresh));
	look_again(n);
	return RC_OK;
}

/* ---- node --------------------------------------------------------------- */

static enum rc
make_own_tables(
    struct network *n, const struct sql_scope *scope, struct err *err)
{
	struct db *db = n->database->db;
	enum rc rc = schema_is_installed(db, scope, err);

	return rc == RC_NONE ? schema_install(db, scope, err) : rc;
}

/* What the workers hold goes with the new id, as far as nobody took it. */
static enum rc
adopt_held(struct network *n, struct err *err)
{
	struct db *db = n->database->db;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < n->nblogs && rc == RC_OK; i++) {
		struct site_run *s = n->blogs[i];
		uint64_t *held;
		size_t nheld;

		site_set_node(s, n->node_id);
		held = engine_held_claims(
		    s, s->queues[JOB_ACTION], INT64_MAX, &nheld);
		rc = actions_adopt(s->actions, db, held, nheld, err);
		free(held);
		held = engine_held_claims(
		    s, s->queues[JOB_EVENT], INT64_MAX, &nheld);
		if (rc == RC_OK)
			rc = cron_events_adopt(s->events, db, held, nheld, err);
		free(held);
	}
	return rc;
}

static enum rc
register_node(struct network *n, const struct sql_scope *scope, struct err *err)
{
	char host[65] = "";
	enum rc rc;

	gethostname(host, sizeof host - 1);
	rc = node_register(n->database->db, scope, host, (uint32_t)getpid(),
	    VERSION, &n->node_id, err);
	if (rc == RC_OK)
		rc = adopt_held(n, err);
	if (rc != RC_OK)
		n->node_id = 0;
	return rc;
}

static void
warn_about_files(const struct network *n)
{
	if (n->site->alternate_wp_cron)
		log_event(LOG_WARN, "site.alternate_cron",
		    LOG_S("site", n->site->name),
		    LOG_S("why", "ALTERNATE_WP_CRON makes page loads run cron "
				 "events themselves; remove it from "
				 "wp-config.php"));
}

static enum rc
prepare(struct network *n, const struct config *c, mono_ms now, struct err *err)
{
	struct sql_scope scope;
	enum rc rc;

	if (now < n->prepare_at)
		return RC_NONE;
	n->prepare_at = now + PREPARE_AGAIN_MS;
	scope_of(n, &scope);
	rc = make_own_tables(n, &scope, err);
	if (rc == RC_OK)
		rc = read_blogs(n, &scope, err);
	/* A new id would leave what workers hold to a silent node. */
	if (rc == RC_OK && n->node_id == 0)
		rc = register_node(n, &scope, err);
	if (rc != RC_OK)
		return rc;
	if (n->heartbeat_at == 0)
		warn_about_files(n);
	n->heartbeat_at = now + c->daemon.heartbeat_ms;
	n->prepared = true;
	return RC_OK;
}

static enum rc
heartbeat(
    struct network *n, const struct config *c, mono_ms now, struct err *err)
{
	struct sql_scope scope;
	enum rc rc;

	scope_of(n, &scope);
	rc = node_heartbeat(n->database->db, &scope, n->node_id, err);
	if (rc == RC_NONE) {
		log_event(LOG_WARN, "node.lost", LOG_S("site", n->site->name),
		    LOG_U("node", n->node_id),
		    LOG_S("why", "others took this node for dead; what they "
				 "have taken back is not its own any more"));
		n->node_id = 0;
		n->prepared = false;
		return RC_OK;
	}
	if (rc == RC_OK)
		n->heartbeat_at = now + c->daemon.heartbeat_ms;
	for (size_t i = 0; i < n->nblogs && rc == RC_OK; i++)
		rc = site_refresh_rows(n->blogs[i], now, err);
	return rc;
}

static enum rc
expire_nodes(
    struct network *n, const struct config *c, mono_ms now, struct err *err)
{
	struct db *db = n->database->db;
	struct sql_scope scope;
	uint64_t *dead = NULL;
	struct db_rows *rows = NULL;
	size_t ndead = 0;
	enum rc rc;

	scope_of(n, &scope);
	n->nodes_at = now + c->daemon.node_expiry_ms / 4;
	rc = nodes_expired(
	    db, &scope, c->daemon.node_expiry_ms, &dead, &ndead, err);
	for (size_t i = 0; i < ndead && rc == RC_OK; i++) {
		rc = node_expire(
		    db, &scope, dead[i], c->daemon.node_expiry_ms, err);
		if (rc == RC_OK)
			log_event(LOG_WARN, "node.expired",
			    LOG_S("site", n->site->name),
			    LOG_U("node", dead[i]));
		if (rc == RC_NONE)
			rc = RC_OK;
	}
	free(dead);
	if (rc == RC_OK)
		rc = db_select(
		    db, &scope, SQL_NETWORK_CLAIMING, SQL_NO_ARGS, &rows, err);
	while (rc == RC_OK && db_rows_next(rows))
		network_blog_by_id_locked(n, (uint32_t)db_u64(rows, 0))
		    ->rescue_now = true;
	db_rows_free(rows);
	return rc;
}

mono_ms
network_turn_at(const struct network *n)
{
	mono_ms at = n->pauses_at;

	if (!n->prepared)
		return n->prepare_at;
	if (n->heartbeat_at < at)
		at = n->heartbeat_at;
	return n->nodes_at < at ? n->nodes_at : at;
}

static mono_ms
blogs_at(struct network *n)
{
	bool stranger;

	pthread_mutex_lock(&n->engine->lock);
	stranger = n->stranger;
	n->stranger = false;
	pthread_mutex_unlock(&n->engine->lock);
	return n->blogs_read_at + (stranger ? STRANGER_MS : BLOGS_EVERY_MS);
}

enum rc
network_turn(struct network *n, struct config *c, mono_ms now, struct err *err)
{
	struct sql_scope scope;
	enum rc rc = RC_OK;

	n->turned_at = now;
	scope_of(n, &scope);
	/* First of all, also while there is nothing else to do here. */
	if (n->node_id != 0 && now >= n->heartbeat_at)
		rc = heartbeat(n, c, now, err);
	if (rc == RC_OK && !n->prepared)
		rc = prepare(n, c, now, err);
	if (rc == RC_OK && now >= blogs_at(n)) {
		n->blogs_read_at = now;
		rc = read_blogs(n, &scope, err);
	}
	if (rc == RC_OK && now >= n->tables_at) {
		n->tables_at = now + TABLES_EVERY_MS;
		rc = read_action_tables(n, &scope, err);
	}
	if (rc == RC_OK && now >= n->pauses_at) {
		n->pauses_at = now + PAUSES_EVERY_MS;
		rc = read_pauses(n, &scope, err);
	}
	if (rc == RC_OK && now >= n->nodes_at)
		rc = expire_nodes(n, c, now, err);
	return rc;
}

void
network_leave(struct network *n)
{
	struct db *db = n->database->db;
	struct err err = ERR_INIT;
	struct sql_scope scope;
	uint64_t others = 0;
	enum rc rc;

	if (n->node_id == 0)
		return;
	scope_of(n, &scope);
	rc = node_remove(db, &scope, n->node_id, &err);
	if (rc == RC_OK)
		rc = nodes_others(db, &scope, n->node_id, &others, &err);
	for (size_t i = 0; i < n->nblogs && rc == RC_OK && others == 0; i++)
		rc = site_give_back(n->blogs[i], &err);
	if (rc != RC_OK)
		log_event(LOG_WARN, "node.stays", LOG_S("site", n->site->name),
		    LOG_S("why", err.text));
}
