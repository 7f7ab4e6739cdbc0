#include "wordpress/newspack.h"

#include <string.h>

#include "base/buf.h"
#include "base/ceilings.h"
#include "base/log.h"
#include "formats/php_serialize.h"
#include "formats/wp_config.h"

#define ARENA_MAX_LEN ((size_t)4 * 1024 * 1024)
#define OPTIONS_MAX 512
#define INTEGRATIONS_MAX 32
#define NAME_MAX_LEN 191

#define PLUGIN "newspack-plugin/newspack.php"
#define WOOCOMMERCE "woocommerce/woocommerce.php"
#define SUBSCRIPTIONS "woocommerce-subscriptions/woocommerce-subscriptions.php"
#define BATCH_EVENT "newspack_contact_cron_batch"
#define STAGING_HOST ".newspackstaging.com"
/* What WooCommerce Subscriptions hides in the middle of the URL it keeps. */
#define SUBSCRIPTIONS_MARK "_[wc_subscriptions_siteurl]_"

struct entry {
	struct slice name, value;
};

/* One reading of the options. */
struct reader {
	const struct site *site;
	const struct config *config;
	struct newspack *out;
	struct entry *options;
	size_t noptions;
};

/* ---- options ------------------------------------------------------------ */

static struct slice
option(const struct reader *r, const char *name)
{
	for (size_t i = 0; i < r->noptions; i++)
		if (slice_eq_str(r->options[i].name, name))
			return r->options[i].value;
	return (struct slice){ NULL, 0 };
}

/* NULL where it is not there or empty: PHP's empty(). */
static const char *
option_text(const struct reader *r, const char *name)
{
	struct slice s = option(r, name);

	if (!s.p || s.n == 0 || slice_eq_str(s, "0"))
		return NULL;
	return arena_strdup(&r->out->arena, s);
}

static bool
is_true(struct slice s)
{
	return s.p && s.n > 0 && !slice_eq_str(s, "0");
}

/* "PREFIX" and an id and "SUFFIX". */
static struct slice
option_of(const struct reader *r, const char *prefix, struct slice id,
    const char *suffix)
{
	struct buf name = BUF_INIT(NAME_MAX_LEN + 1);
	struct slice s = { NULL, 0 };

	buf_printf(&name, "%s%.*s%s", prefix, SLICE_FMT(id), suffix);
	if (!name.failed)
		s = option(r, buf_str(&name));
	buf_clear(&name);
	return s;
}

/* A setting of an integration, or the one that was there before it. */
static const char *
setting(const struct reader *r, struct slice id, const char *key)
{
	struct buf legacy = BUF_INIT(NAME_MAX_LEN + 1);
	struct slice s =
	    option_of(r, "newspack_integration_settings_", id, key);
	const char *text = NULL;

	if (s.n > 0)
		return arena_strdup(&r->out->arena, s);
	buf_printf(&legacy, "newspack_reader_activation%s", key);
	if (!legacy.failed)
		text = option_text(r, buf_str(&legacy));
	buf_clear(&legacy);
	return text;
}

/* A toggle that is not stored counts as on. */
static bool
toggle(const struct reader *r, struct slice id, const char *suffix)
{
	struct slice s =
	    option_of(r, "newspack_integration_settings_", id, suffix);

	return !s.p || is_true(s);
}

static bool
parse_array(const struct reader *r, struct slice s, const char *what,
    struct php_serialize_value *out)
{
	struct err err = ERR_INIT;

	if (!s.p)
		return false;
	if (php_serialize_parse(
		s, &PHP_SERIALIZE_LIMITS, &r->out->arena, out, &err) == RC_OK &&
	    out->type == PHP_SERIALIZE_ARRAY)
		return true;
	log_event(LOG_WARN, "newspack.option", LOG_S("site", r->site->name),
	    LOG_S("option", what),
	    LOG_S("why", *err.text ? err.text : "not an array"));
	return false;
}

static bool
array_has_text(const struct php_serialize_value *v, const char *text)
{
	for (size_t i = 0; i < v->nmembers; i++)
		if (v->members[i].value.type == PHP_SERIALIZE_STRING &&
		    slice_eq_str(v->members[i].value.text, text))
			return true;
	return false;
}

static enum rc
read_options(struct reader *r, struct db *db, const struct sql_scope *scope,
    struct err *err)
{
	struct db_rows *rows = NULL;
	struct arena *a = &r->out->arena;
	enum rc rc =
	    db_select(db, scope, SQL_NEWSPACK_OPTIONS, SQL_NO_ARGS, &rows, err);
	size_t n = rc == RC_OK ? db_rows_count(rows) : 0;

	if (n > OPTIONS_MAX)
		rc = err_set(err, RC_REJECT,
		    "there are %zu options of Newspack's, more than %d", n,
		    OPTIONS_MAX);
	r->options = arena_array(a, n + 1, sizeof *r->options);
	while (rc == RC_OK && r->options && r->noptions < n &&
	       db_rows_next(rows)) {
		struct entry *e = &r->options[r->noptions++];

		e->name = arena_slice(a, db_text(rows, 0));
		e->value = arena_slice(a, db_text(rows, 1));
	}
	db_rows_free(rows);
	if (rc == RC_OK && (!r->options || a->failed))
		rc = err_set(err, RC_REJECT,
		    "the options of Newspack are over %zu bytes",
		    ARENA_MAX_LEN);
	return rc;
}

/* ---- plugins ------------------------------------------------------------ */

struct plugins {
	struct php_serialize_value here, network;
	bool has_here, has_network;
};

static enum rc
read_plugins(struct reader *r, struct db *db, const struct sql_scope *scope,
    struct plugins *p, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = RC_OK;

	*p = (struct plugins){ 0 };
	p->has_here = parse_array(
	    r, option(r, "active_plugins"), "active_plugins", &p->here);
	if (!r->site->multisite)
		return RC_OK;
	rc = db_select(
	    db, scope, SQL_NEWSPACK_SITEWIDE, SQL_NO_ARGS, &rows, err);
	if (rc == RC_OK && db_rows_next(rows))
		p->has_network = parse_array(r,
		    arena_slice(&r->out->arena, db_text(rows, 0)),
		    "active_sitewide_plugins", &p->network);
	db_rows_free(rows);
	return rc;
}

static bool
is_active(const struct plugins *p, const char *plugin)
{
	return (p->has_here && array_has_text(&p->here, plugin)) ||
	       (p->has_network &&
		   php_serialize_find(&p->network, slice_str(plugin)));
}

static bool
contains_nocase(struct slice s, struct slice part)
{
	for (size_t i = 0; i + part.n <= s.n; i++)
		if (slice_eq_nocase(slice_mem(s.p + i, part.n), part))
			return true;
	return false;
}

/* ---- may anything leave? ------------------------------------------------ */

static bool
constant_true(const struct reader *r, const char *name)
{
	const struct wp_config_value *v = site_constant(r->site, name);

	return v && wp_config_true(v);
}

/* Without scheme and slash at the end, as Subscriptions compares. */
static struct slice
bare_url(struct slice s)
{
	if (slice_starts(s, SLICE_LIT("https://")))
		s = slice_from(s, 8);
	else if (slice_starts(s, SLICE_LIT("http://")))
		s = slice_from(s, 7);
	while (s.n > 0 && s.p[s.n - 1] == '/')
		s.n--;
	return s;
}

/* WCS_Staging::is_duplicate_site() */
static bool
is_duplicate(const struct reader *r, const char *siteurl)
{
	struct slice mark = SLICE_LIT(SUBSCRIPTIONS_MARK);
	struct slice kept = option(r, "wc_subscriptions_siteurl");
	struct buf whole = BUF_INIT(1024);
	bool duplicate;

	if (kept.n < mark.n)
		return false;
	for (size_t i = 0; i + mark.n <= kept.n; i++) {
		if (!slice_starts(slice_from(kept, i), mark))
			continue;
		buf_put(&whole, kept.p, i);
		buf_put(&whole, kept.p + i + mark.n, kept.n - i - mark.n);
		break;
	}
	duplicate = whole.n > 0 && !whole.failed &&
		    !slice_eq_nocase(bare_url(buf_slice(&whole)),
			bare_url(slice_str(siteurl)));
	buf_clear(&whole);
	return duplicate;
}

static void
read_guard(
    struct reader *r, const struct plugins *p, const struct site_facts *facts)
{
	struct newspack *n = r->out;

	n->forced = constant_true(r, "NEWSPACK_ALLOW_READER_SYNC");
	if (is_active(p, SUBSCRIPTIONS) && is_duplicate(r, facts->siteurl)) {
		n->held = "WooCommerce Subscriptions takes this site for a "
			  "copy of another";
		n->held_remedy = "let it know which site this is";
		return;
	}
	n->held_remedy = "define( 'NEWSPACK_ALLOW_READER_SYNC', true ) in "
			 "wp-config.php, if it may send";
	if (!n->forced &&
	    contains_nocase(slice_str(facts->siteurl), SLICE_LIT(STAGING_HOST)))
		n->held = "the site's URL is that of a staging host";
}

/* ---- constants ---------------------------------------------------------- */

static bool
list_has(const struct wp_config_value *v, const char *text)
{
	if (!v || v->type != WP_CONFIG_ARRAY)
		return false;
	for (const struct wp_config_item *i = v->items; i; i = i->next)
		if (i->value.type == WP_CONFIG_STRING &&
		    slice_eq_str(i->value.text, text))
			return true;
	return false;
}

static void
read_constants(struct reader *r)
{
	struct newspack *n = r->out;
	const struct wp_config_value *v;

	n->cron_disabled = list_has(
	    site_constant(r->site, "NEWSPACK_CRON_DISABLE"), BATCH_EVENT);
	v = site_constant(r->site, "NEWSPACK_LOG_LEVEL");
	if (v && v->type == WP_CONFIG_INT && v->i64 > 0)
		n->log_level = v->i64 > 9 ? 9 : (int)v->i64;
	else if (v && v->type == WP_CONFIG_STRING && v->text.n == 1 &&
		 v->text.p[0] >= '0' && v->text.p[0] <= '9')
		n->log_level = v->text.p[0] - '0';
	v = site_constant(r->site, "NEWSPACK_SYNC_METADATA_VERSION");
	n->legacy_schema =
	    !constant_true(r, "NEWSPACK_SYNC_METADATA_VERSION_1");
	if (v && v->type == WP_CONFIG_STRING)
		n->legacy_schema = slice_eq_str(v->text, "legacy");
}

/* ---- integrations ------------------------------------------------------- */

static const char *
or_text(const char *first, const char *otherwise)
{
	return first ? first : otherwise;
}

/* What the esp integration has of Newspack Newsletters. */
static void
read_esp(
    const struct reader *r, struct slice id, struct newspack_integration *i)
{
	const char *name =
	    option_text(r, "newspack_newsletters_service_provider");

	i->provider = "";
	if (!name) {
		i->why = "no newsletter provider is chosen";
	} else if (strcmp(name, "mailchimp") == 0) {
		i->provider = "mailchimp";
		i->key = or_text(option_text(r, "newspack_mailchimp_api_key"),
		    option_text(r, "newspack_newsletters_mailchimp_api_key"));
		i->list = setting(r, id, "_mailchimp_audience_id");
		i->status_if_new =
		    setting(r, id, "_mailchimp_reader_default_status");
	} else if (strcmp(name, "active_campaign") == 0) {
		i->provider = "active_campaign";
		i->api =
		    option_text(r, "newspack_newsletters_active_campaign_url");
		i->key =
		    option_text(r, "newspack_newsletters_active_campaign_key");
		i->list = setting(r, id, "_active_campaign_master_list");
	} else if (strcmp(name, "constant_contact") == 0) {
		i->provider = "constant_contact";
		i->key = option_text(
		    r, "newspack_newsletters_constant_contact_api_key");
		i->secret = option_text(
		    r, "newspack_newsletters_constant_contact_api_secret");
		i->access_token = option_text(r,
		    "newspack_newsletters_constant_contact_api_access_token");
		i->refresh_token = option_text(r,
		    "newspack_newsletters_constant_contact_api_refresh_token");
		i->list = setting(r, id, "_constant_contact_list_id");
		i->own_tokens = true;
	} else {
		i->why = "its newsletter provider cannot sync contacts";
	}
}

static void
apply_config(struct newspack_integration *i)
{
	const struct config_integration *c = i->config;

	if (c->provider && strcmp(c->provider, i->provider) != 0) {
		/* Another provider than Newspack's: nothing of its is left. */
		i->provider = c->provider;
		i->api = i->key = i->secret = i->list = NULL;
		i->access_token = i->refresh_token = i->status_if_new = NULL;
		i->own_tokens = false;
		i->why = NULL;
	}
	i->api = or_text(c->api, i->api);
	i->key = or_text(c->key, i->key);
	i->secret = or_text(c->secret, i->secret);
	i->list = or_text(c->list, i->list);
	i->status_if_new = or_text(c->status_if_new, i->status_if_new);
	if (c->refresh_token) {
		i->access_token = c->access_token;
		i->refresh_token = c->refresh_token;
		i->own_tokens = false;
	}
	i->push = i->push && c->push;
	i->pull = i->pull && c->pull;
}

/* Stored settings only: a provider that is away is no reason to lose data. */
static void
check_set_up(struct newspack_integration *i)
{
	const char *p = i->provider;

	if (i->why)
		return;
	if (strcmp(p, "php") == 0)
		; /* only PHP knows */
	else if (strcmp(p, "webhook") == 0)
		i->why = i->api ? NULL : "api (the URL) is not set";
	else if (!i->key)
		i->why = "the API key is not set";
	else if (strcmp(p, "active_campaign") == 0 && !i->api)
		i->why = "the account's URL is not set";
	else if (strcmp(p, "constant_contact") == 0 &&
		 (!i->secret || !i->refresh_token))
		i->why = "the API secret or the refresh token is not set";
	else if (strcmp(p, "brevo") != 0 && !i->list)
		i->why = "the audience or list is not set";
	i->set_up = !i->why;
}

static struct slice
number(struct arena *a, int64_t v)
{
	struct buf text = BUF_INIT(24);
	struct slice s;

	buf_put_i64(&text, v);
	s = arena_slice(a, buf_slice(&text));
	buf_clear(&text);
	return s;
}

static void
read_incoming(
    const struct reader *r, struct slice id, struct newspack_integration *i)
{
	struct php_serialize_value v;
	struct arena *a = &r->out->arena;
	size_t n = i->config->incoming.n;

	if (n > 0) {
		i->incoming = arena_array(a, n, sizeof *i->incoming);
		for (; i->incoming && i->nincoming < n; i->nincoming++)
			i->incoming[i->nincoming] =
			    slice_str(i->config->incoming.items[i->nincoming]);
		return;
	}
	if (!parse_array(r,
		option_of(r, "newspack_integration_incoming_fields_", id, ""),
		"newspack_integration_incoming_fields", &v))
		return;
	i->incoming = arena_array(a, v.nmembers + 1, sizeof *i->incoming);
	for (size_t k = 0; i->incoming && k < v.nmembers; k++) {
		const struct php_serialize_member *m = &v.members[k];
		struct slice key = m->key;

		/* A plain list (older): its elements are the keys. */
		if (m->int_key && m->value.type == PHP_SERIALIZE_STRING)
			key = m->value.text;
		else if (m->int_key)
			key = number(a, m->index);
		i->incoming[i->nincoming++] = key;
	}
}

static void
add_integration(struct reader *r, struct slice id)
{
	struct newspack *n = r->out;
	struct newspack_integration *i = &n->integrations[n->n];
	struct slice s;

	if (n->n == INTEGRATIONS_MAX || id.n == 0 || id.n > 64)
		return;
	for (size_t k = 0; k < n->n; k++)
		if (slice_eq_str(id, n->integrations[k].id))
			return;
	*i = (struct newspack_integration){ .provider = "php" };
	i->id = arena_strdup(&n->arena, id);
	if (!i->id)
		return;
	i->config = config_integration(r->config, r->site->name, id);
	i->push = toggle(r, id, "_outgoing_sync_enabled");
	i->pull = toggle(r, id, "_incoming_sync_enabled");
	if (slice_eq_str(id, "esp"))
		read_esp(r, id, i);
	apply_config(i);
	check_set_up(i);
	read_incoming(r, id, i);
	i->outgoing =
	    option_of(r, "newspack_integration_outgoing_fields_", id, "");
	if (!i->outgoing.p)
		i->outgoing = option(r, "_newspack_metadata_fields");
	s = option_of(r, "newspack_integration_metadata_prefix_", id, "");
	if (!s.p)
		s = option(r, "_newspack_metadata_prefix");
	i->prefix = s.p ? arena_strdup(&n->arena, s) : "NP_";
	n->n++;
}

static void
read_integrations(struct reader *r)
{
	static const char name[] =
	    "newspack_reader_activation_enabled_integrations";
	struct newspack *n = r->out;
	struct slice stored = option(r, name);
	struct slice esp = option(r, "newspack_reader_activation_sync_esp");
	struct php_serialize_value v;

	n->integrations = arena_array(
	    &n->arena, INTEGRATIONS_MAX + 1, sizeof *n->integrations);
	if (!n->integrations)
		return;
	if (parse_array(r, stored, name, &v)) {
		for (size_t k = 0; k < v.nmembers; k++)
			if (v.members[k].value.type == PHP_SERIALIZE_STRING)
				add_integration(r, v.members[k].value.text);
	} else if (!stored.p && (!esp.p || is_true(esp))) {
		add_integration(r, SLICE_LIT("esp"));
	}
	/* Those that the configuration alone knows are always enabled. */
	for (size_t k = 0; k < r->config->nintegrations; k++) {
		const struct config_integration *c =
		    &r->config->integrations[k];

		if (strcmp(c->site, r->site->name) == 0 && c->provider &&
		    strcmp(c->provider, "php") != 0)
			add_integration(r, slice_str(c->id));
	}
}

/* ---- all ---------------------------------------------------------------- */

static enum rc
read_scheduled(struct reader *r, struct db *db, const struct sql_scope *scope,
    struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    db, scope, SQL_NEWSPACK_SCHEDULED, SQL_NO_ARGS, &rows, err);

	r->out->cron_scheduled = rc == RC_OK && db_rows_count(rows) > 0;
	db_rows_free(rows);
	return rc;
}

enum rc
newspack_read(const struct site *s, const struct site_facts *facts,
    const struct config *config, struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, struct newspack *out, struct err *err)
{
	struct reader r = { .site = s, .config = config, .out = out };
	struct plugins plugins;
	enum rc rc;

	(void)blog_id;
	*out = (struct newspack){ .arena = ARENA_INIT(ARENA_MAX_LEN) };
	rc = read_options(&r, db, scope, err);
	if (rc == RC_OK)
		rc = read_plugins(&r, db, scope, &plugins, err);
	if (rc != RC_OK)
		return rc;
	out->plugin = is_active(&plugins, PLUGIN);
	if (!out->plugin)
		return RC_OK;
	rc = read_scheduled(&r, db, scope, err);
	if (rc != RC_OK)
		return rc;
	out->woocommerce = is_active(&plugins, WOOCOMMERCE);
	out->activation =
	    is_true(option(&r, "newspack_reader_activation_enabled"));
	read_constants(&r);
	read_guard(&r, &plugins, facts);
	read_integrations(&r);
	if (out->arena.failed || !out->integrations)
		return err_set(err, RC_REJECT,
		    "the settings of Newspack are over %zu bytes",
		    ARENA_MAX_LEN);
	return RC_OK;
}

void
newspack_clear(struct newspack *n)
{
	arena_clear(&n->arena);
	*n = (struct newspack){ .arena = ARENA_INIT(ARENA_MAX_LEN) };
}

const struct newspack_integration *
newspack_find(const struct newspack *n, struct slice id)
{
	for (size_t k = 0; k < n->n; k++)
		if (slice_eq_str(id, n->integrations[k].id))
			return &n->integrations[k];
	return NULL;
}
