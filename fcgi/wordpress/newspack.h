#ifndef WORDPRESS_NEWSPACK_H
#define WORDPRESS_NEWSPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/config.h"
#include "base/err.h"
#include "sql/db.h"
#include "wordpress/site.h"

/*
 * The Newspack plugin's settings of one blog as options and wp-config.php have
 * them, with the configuration file's
 * [integration SITE/ID] on top. Read anew at every tick; no PHP, no request to
 * a provider.
 */

struct newspack_integration {
	const char *id; /* "esp", ... */
	/* The provider as esp_provider() names it; "php": only PHP knows it;
	 * "": none is chosen, or one that cannot sync (Campaign Monitor). */
	const char *provider;
	bool set_up;     /* nothing it needs is missing; else `why` */
	bool push, pull; /* its toggles */
	const char *why;
	/* NULL: not set. Never logged. */
	const char *api, *key, *secret, *access_token, *refresh_token;
	const char *list, *status_if_new;
	const char *prefix;    /* of labels: "NP_" */
	struct slice outgoing; /* the option as stored: what fields it pushes */
	struct slice *incoming; /* enabled incoming fields' keys, in order */
	size_t nincoming;
	bool own_tokens; /* tokens come from options: write new ones there */
	const struct config_integration *config; /* never NULL */
};

struct newspack {
	struct arena arena;
	bool plugin;     /* active here or in the network */
	bool activation; /* reader activation is on */
	/* NEWSPACK_CRON_DISABLE names the batch: PHP does not run it. */
	bool cron_disabled;
	bool cron_scheduled; /* the event is in the option `cron` */
	/* Nothing may leave: a staging host's URL, WP_ENVIRONMENT_TYPE, a
	 * duplicate of WooCommerce Subscriptions' site. NULL: it may. The
	 * identity of the site is the caller's to check. */
	const char *held, *held_remedy;
	bool forced; /* NEWSPACK_ALLOW_READER_SYNC: whatever host this is */
	bool woocommerce, legacy_schema;
	int log_level; /* NEWSPACK_LOG_LEVEL: 0: no lines */
	struct newspack_integration *integrations; /* enabled ones */
	size_t n;
};

/*
 * newspack_read - RC_OK also when the plugin is not there (`plugin` is false
 * and nothing else is read). An option that cannot be parsed counts as absent
 * and is said once. Clear `out` with newspack_clear(); `config` must outlive
 * it. Blocks for two statements.
 */
MUSTUSE enum rc newspack_read(const struct site *s,
    const struct site_facts *facts, const struct config *config, struct db *db,
    const struct sql_scope *scope, uint32_t blog_id, struct newspack *out,
    struct err *err);
void newspack_clear(struct newspack *n);
const struct newspack_integration *newspack_find(
    const struct newspack *n, struct slice id);

#endif
