#include <string.h>

#include "base/config_private.h"

/* {p}actionscheduler_actions.hook is varchar(191). */
#define HOOK_MAX 191

/* Routes that hold when the file says nothing else. */
static const struct route builtin_routes[] = {
	{ .pattern = "action_scheduler_run_queue",
	    .kind = EXECUTOR_QUEUE,
	    .target = "actions" },
	{ .pattern = "newspack_contact_cron_batch",
	    .kind = EXECUTOR_QUEUE,
	    .target = "contacts" },
	{ .pattern = "newspack_contact_pull_retry", .kind = EXECUTOR_CONTACT },
	{ .pattern = "newspack_contact_sync_retry", .kind = EXECUTOR_CONTACT },
	{ .pattern = "AHEE__EE_Messages_Scheduler__generation",
	    .kind = EXECUTOR_QUEUE,
	    .target = "messages" },
	{ .pattern = "AHEE__EE_Messages_Scheduler__sending",
	    .kind = EXECUTOR_QUEUE,
	    .target = "messages" },
	{ .pattern = "*", .kind = EXECUTOR_PHP },
};

static const char *const queue_names[] = { "actions", "contacts", "messages",
	"tasks" };

static const char *const executor_words[] = { "php", "webhook", "queue",
	"contact-sync" };

static const struct policy default_policies[EXECUTOR_NKINDS] = {
	[EXECUTOR_PHP] = { .timeout_ms = 300 * 1000,
	    .retries = 0,
	    .backoff_min_ms = 30 * 1000,
	    .backoff_max_ms = 2 * 3600 * 1000 },
	[EXECUTOR_WEBHOOK] = { .timeout_ms = 30 * 1000,
	    .retries = 5,
	    .backoff_min_ms = 30 * 1000,
	    .backoff_max_ms = 2 * 3600 * 1000,
	    .idempotent = true,
	    .outbound = true,
	    .overlap = true },
	[EXECUTOR_QUEUE] = { .timeout_ms = 30 * 1000,
	    .retries = 0,
	    .backoff_min_ms = 30 * 1000,
	    .backoff_max_ms = 2 * 3600 * 1000,
	    .idempotent = true,
	    .overlap = true },
	/* Its own retries are rows of their own (contact_retry_add()). */
	[EXECUTOR_CONTACT] = { .timeout_ms = 300 * 1000,
	    .retries = 0,
	    .backoff_min_ms = 30 * 1000,
	    .backoff_max_ms = 2 * 3600 * 1000,
	    .idempotent = true,
	    .outbound = true,
	    .overlap = true },
};

/* What holds for a hook where the file says nothing else. A customer's mails
 * keep their order, and each is tried once: other callbacks of the hook would
 * mail twice; what is said of all hooks is not meant to change that. */
static const struct {
	const char *hook;
	uint32_t concurrency;
	enum mail_by mail;
} builtin_policies[CONFIG_NBUILTIN] = {
	{ "woocommerce_send_queued_transactional_email", 1, MAIL_BY_OUTBOX },
};

static enum rc
check_hook(
    const struct config *c, const char *hook, unsigned line, struct err *err)
{
	size_t n = strlen(hook);

	if (n == 0)
		return config_fail(c, line, err, "the hook's name is missing");
	if (n > HOOK_MAX)
		return config_fail(c, line, err,
		    "a hook's name has %d bytes at most", HOOK_MAX);
	return RC_OK;
}

static enum rc
read_queue_target(const struct config *c, struct route *r,
    const struct config_ini_entry *e, struct slice target, struct err *err)
{
	const char *near;

	for (size_t i = 0; i < NELEMS(queue_names); i++) {
		if (slice_eq_str(target, queue_names[i])) {
			r->kind = EXECUTOR_QUEUE;
			r->target = queue_names[i];
			return RC_OK;
		}
	}
	near = config_nearest(
	    target, queue_names, NELEMS(queue_names), sizeof *queue_names);
	return config_fail(c, e->line, err, "unknown queue \"%.*s\"; %s%s",
	    SLICE_FMT(target), near ? "did you mean queue:" : "there is queue:",
	    near ? near : queue_names[0]);
}

static enum rc
read_webhook_target(struct config *c, struct route *r,
    const struct config_ini_entry *e, struct slice target, struct err *err)
{
	static const struct option url = { .type = OPTION_URL };
	enum rc rc;

	r->kind = EXECUTOR_WEBHOOK;
	rc = config_option_set(
	    &url, &r->target, target, &c->private->arena, err);
	if (rc != RC_OK)
		return config_fail(c, e->line, err, "webhook \"%.*s\" %s",
		    SLICE_FMT(target), err ? err->text : "");
	return RC_OK;
}

/* hook = php | webhook URL | queue:NAME */
static enum rc
read_route(struct config *c, struct route *r, const struct config_ini_entry *e,
    struct err *err)
{
	struct slice value = slice_str(e->value);
	size_t word = 0;
	const char *near;

	r->pattern = e->key;
	if (slice_eq_str(value, "php")) {
		r->kind = EXECUTOR_PHP;
		return RC_OK;
	}
	if (slice_eq_str(value, "contact-sync")) {
		r->kind = EXECUTOR_CONTACT;
		return RC_OK;
	}
	if (slice_starts(value, SLICE_LIT("queue:")))
		return read_queue_target(
		    c, r, e, slice_trim(slice_from(value, 6)), err);
	while (word < value.n && value.p[word] != ' ' &&
	       value.p[word] != '\t' && value.p[word] != ':')
		word++;
	if (slice_eq_str(slice_mem(value.p, word), "webhook"))
		return read_webhook_target(
		    c, r, e, slice_trim(slice_from(value, word)), err);
	near = config_nearest(slice_mem(value.p, word), executor_words,
	    NELEMS(executor_words), sizeof *executor_words);
	if (near)
		return config_fail(c, e->line, err,
		    "unknown executor \"%s\"; did you mean %s?", e->value,
		    near);
	return config_fail(c, e->line, err,
	    "unknown executor \"%s\"; there are php, webhook URL, "
	    "queue:NAME and contact-sync",
	    e->value);
}

static bool
same_site(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static enum rc
add_route(struct config *c, const struct config_ini_entry *e, const char *site,
    struct err *err)
{
	struct route *r = &c->routes[c->nroutes];
	enum rc rc = check_hook(c, e->key, e->line, err);

	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < c->nroutes; i++)
		if (strcmp(c->routes[i].pattern, e->key) == 0 &&
		    same_site(c->routes[i].site, site))
			return config_fail(
			    c, e->line, err, "a second route for %s", e->key);
	rc = read_route(c, r, e, err);
	if (rc != RC_OK)
		return rc;
	r->site = site;
	c->nroutes++;
	return RC_OK;
}

static enum rc
add_route_section(
    struct config *c, const struct config_ini_section *s, struct err *err)
{
	const struct config_ini_entry *limit = NULL, *e;
	enum rc rc = RC_OK;

	if (*s->name)
		return config_fail(c, s->line, err,
		    "[route] has no name; limit it by site = %s", s->name);
	for (e = s->first; e; e = e->next) {
		if (strcmp(e->key, "site") != 0)
			continue;
		if (limit)
			return config_fail(c, e->line, err,
			    "site is there already, on line %u", limit->line);
		limit = e;
		rc = config_check_site(c, e->value, e->line, err);
		if (rc != RC_OK)
			return rc;
	}
	for (e = s->first; e && rc == RC_OK; e = e->next)
		if (e != limit)
			rc = add_route(c, e, limit ? limit->value : NULL, err);
	return rc;
}

enum rc
config_routes_build(struct config *c, const struct config_ini_section *sections,
    struct err *err)
{
	const struct config_ini_section *s;
	size_t n = NELEMS(builtin_routes) + c->ntasks;
	enum rc rc;

	for (s = sections; s; s = s->next)
		n += s->nentries;
	c->routes = arena_array(&c->private->arena, n, sizeof *c->routes);
	if (!c->routes)
		return config_fail(c, 0, err, "the file is too large");
	for (s = sections; s; s = s->next) {
		if (strcmp(s->kind, "route") != 0)
			continue;
		rc = add_route_section(c, s, err);
		if (rc != RC_OK)
			return rc;
	}
	/* The hook of a plugin's own processor means: run that queue. */
	for (size_t i = 0; i < c->ntasks; i++)
		c->routes[c->nroutes++] =
		    (struct route){ .pattern = c->tasks[i].hook,
			    .site = c->tasks[i].site,
			    .kind = EXECUTOR_QUEUE,
			    .target = "tasks" };
	for (size_t i = 0; i < NELEMS(builtin_routes); i++)
		c->routes[c->nroutes++] = builtin_routes[i];
	return RC_OK;
}

static enum rc
add_policy(
    struct config *c, const struct config_ini_section *s, struct err *err)
{
	struct policy_section *p = &c->private->policies[c->private->npolicies];
	enum rc rc = check_hook(c, s->name, s->line, err);

	if (rc != RC_OK)
		return rc;
	p->hook = s->name;
	p->line = s->line;
	rc = config_fill(c, OPTION_POLICY, s, p, &p->set, err);
	if (rc != RC_OK)
		return rc;
	if (p->site) {
		rc = config_check_site(c, p->site, s->line, err);
		if (rc != RC_OK)
			return rc;
	}
	for (size_t i = 0; i < c->private->npolicies; i++) {
		const struct policy_section *q = &c->private->policies[i];

		if (strcmp(p->hook, q->hook) == 0 &&
		    same_site(p->site, q->site))
			return config_fail(c, s->line, err,
			    "a second [policy %s], the first is on line %u",
			    p->hook, q->line);
	}
	c->private->npolicies++;
	return RC_OK;
}

/* Does the section say something of the hook alone? */
static bool
names(const struct policy_section *p, size_t builtin)
{
	return p && strcmp(p->hook, builtin_policies[builtin].hook) == 0;
}

static void merge(struct policy (*out)[2], const struct policy_section *p,
    size_t builtin, enum executor_kind kind)
{
	size_t n;
	const struct option *rows = config_options(OPTION_POLICY, &n);

	for (int series = 0; series < 2; series++) {
		struct policy_section all = { .values =
						  default_policies[kind] };

		all.values.series_after_crash = series;
		if (builtin < CONFIG_NBUILTIN && kind == EXECUTOR_PHP) {
			all.values.concurrency =
			    builtin_policies[builtin].concurrency;
			all.values.mail = builtin_policies[builtin].mail;
		}
		for (size_t i = 0; p && i < n; i++)
			if (p->set & (UINT64_C(1) << i))
				config_option_copy(&rows[i], &all, p);
		if (builtin < CONFIG_NBUILTIN && kind == EXECUTOR_PHP &&
		    !names(p, builtin)) {
			all.values.concurrency =
			    builtin_policies[builtin].concurrency;
			all.values.retries = 0;
			all.values.idempotent = false;
		}
		(*out)[series] = all.values;
	}
}

enum rc
config_policies_build(struct config *c,
    const struct config_ini_section *sections, struct err *err)
{
	struct config_private *own = c->private;
	const struct config_ini_section *s;
	size_t n = 0;
	enum rc rc;

	for (s = sections; s; s = s->next)
		n += strcmp(s->kind, "policy") == 0;
	own->policies = arena_array(&own->arena, n, sizeof *own->policies);
	own->merged = arena_array(&own->arena, n + 1, sizeof *own->merged);
	if (!own->policies || !own->merged)
		return config_fail(c, 0, err, "the file is too large");
	for (s = sections; s; s = s->next) {
		if (strcmp(s->kind, "policy") != 0)
			continue;
		rc = add_policy(c, s, err);
		if (rc != RC_OK)
			return rc;
	}
	for (size_t i = 0; i <= n; i++)
		for (size_t b = 0; b <= CONFIG_NBUILTIN; b++)
			for (int kind = 0; kind < EXECUTOR_NKINDS; kind++)
				merge(&own->merged[i][b][kind],
				    i < n ? &own->policies[i] : NULL, b,
				    (enum executor_kind)kind);
	return RC_OK;
}

static bool
for_site(const char *limit, const char *site)
{
	return !limit || (site && strcmp(limit, site) == 0);
}

static bool
is_queue(const struct route *r, const char *name)
{
	return r->kind == EXECUTOR_QUEUE && strcmp(r->target, name) == 0;
}

/* A site that leaves contacts or messages to PHP has no native route. */
static bool
is_off(const struct config *c, const char *site, const struct route *r)
{
	bool contacts = r->kind == EXECUTOR_CONTACT || is_queue(r, "contacts");
	bool messages = is_queue(r, "messages");

	if (!contacts && !messages)
		return false;
	for (size_t i = 0; i < c->nsites; i++)
		if (site && strcmp(c->sites[i].name, site) == 0)
			return (contacts && !c->sites[i].contacts) ||
			       (messages && !c->sites[i].messages);
	return false;
}

const struct route *
config_route(const struct config *c, const char *site, struct slice hook)
{
	size_t last = c->nroutes - 1;

	for (size_t i = 0; i < last; i++)
		if (for_site(c->routes[i].site, site) &&
		    slice_glob(hook, slice_str(c->routes[i].pattern)) &&
		    !is_off(c, site, &c->routes[i]))
			return &c->routes[i];
	return &c->routes[last];
}

const struct policy *
config_policy(const struct config *c, const char *site, struct slice hook,
    const struct route *route)
{
	const struct config_private *own = c->private;
	bool series = true;
	size_t at = 0, builtin = 0;

	for (size_t i = 0; i < c->nsites; i++)
		if (site && strcmp(c->sites[i].name, site) == 0)
			series = c->sites[i].series_after_crash;
	while (at < own->npolicies &&
	       !(for_site(own->policies[at].site, site) &&
		   slice_glob(hook, slice_str(own->policies[at].hook))))
		at++;
	while (builtin < CONFIG_NBUILTIN &&
	       !slice_eq_str(hook, builtin_policies[builtin].hook))
		builtin++;
	return &own->merged[at][builtin][route->kind][series];
}

static bool
is_redirected(const struct config *c, const char *site)
{
	for (size_t i = 0; i < c->nsites; i++) {
		const struct config_smtp *smtp = config_smtp(c, &c->sites[i]);

		if (strcmp(c->sites[i].name, site) == 0)
			return smtp && smtp->redirect_to;
	}
	return false;
}

bool
config_is_outbound(const struct config *c, const char *site,
    const struct route *route, const struct policy *policy)
{
	return route->kind == EXECUTOR_WEBHOOK || policy->outbound ||
	       (policy->mail == MAIL_BY_OUTBOX && !is_redirected(c, site));
}
