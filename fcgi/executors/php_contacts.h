#ifndef EXECUTORS_PHP_CONTACTS_H
#define EXECUTORS_PHP_CONTACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "executors/esp/esp.h"
#include "executors/php.h"

/*
 * What only the publisher's PHP knows of contacts, asked in one WordPress boot
 * for a whole page of readers. Each call blocks until all is answered or
 * `timeout_ms` is over; opts are those of the php executor (no jobs, take or
 * export). RC_RETRY: php-fpm is away or full, the site does not boot, PHP died
 * or the time was over; what was answered before holds, the rest is as if it
 * had not been asked for. RC_REJECT: the plugin is not there, or has not the
 * classes that are needed; the words name them.
 *
 * An exception or an error costs its reader alone. Where one reader ends PHP,
 * the others are asked for in another boot; a reader in whom PHP died twice
 * without a word is answered "php_died". Messages may hold addresses.
 *
 * Codes that are ours: "user_not_found" (with `gone`), "integration_not_found",
 * "exception", "pull_exception", "php_fatal", "php_died", "too_large"; all else
 * is a WP_Error's. What PHP holds back (the plugin's site guard, a toggle, not
 * set up) is not answered; its code is "held" and RC_RETRY says why.
 */

/* One reader and one integration. */
struct php_contact {
	uint64_t user_id;
	struct slice integration;
	struct slice context;        /* push: "Recurring sync routine" */
	struct slice previous_email; /* push; "" */

	bool answered;
	bool ok;
	bool gone;                  /* prepare: there is no such user */
	struct slice message, code; /* !ok: all messages of the WP_Error,
				       joined by "; " */
	/* prepare: what the plugin would send. Text is the call's arena's. */
	struct slice email, name;
	struct slice status_if_new; /* metadata.status_if_new; "" */
	struct esp_field *fields;   /* metadata, prefixed, without control keys
				       (status, status_if_new) */
	size_t nfields;
};

/* prepare - the contacts as the plugin's own classes and filters make them,
 * a payload for each (user, integration). */
MUSTUSE enum rc php_contacts_prepare(const struct php_executor_opts *opts,
    struct php_contact *contacts, size_t n, uint32_t timeout_ms,
    struct arena *a, struct err *err);
/* push - integrations that only PHP knows: each is pushed by its class. */
MUSTUSE enum rc php_contacts_push(const struct php_executor_opts *opts,
    struct php_contact *contacts, size_t n, uint32_t timeout_ms,
    struct arena *a, struct err *err);
/* pull - likewise; PHP stores what was pulled as reader data. */
MUSTUSE enum rc php_contacts_pull(const struct php_executor_opts *opts,
    struct php_contact *contacts, size_t n, uint32_t timeout_ms,
    struct arena *a, struct err *err);

/* Pulled values of one reader, which PHP stores where an object cache stands
 * between it and usermeta. */
struct php_reader_data {
	uint64_t user_id;
	const struct esp_field *items; /* key, JSON */
	size_t nitems;
	bool ok;
	size_t refused; /* keys over the cap */
	struct slice message;
};
MUSTUSE enum rc php_contacts_store(const struct php_executor_opts *opts,
    struct php_reader_data *readers, size_t n, uint32_t timeout_ms,
    struct arena *a, struct err *err);

/* Options written through PHP's cache: a name and a text each. */
struct php_option {
	struct slice name, value;
};
MUSTUSE enum rc php_contacts_options(const struct php_executor_opts *opts,
    const struct php_option *options, size_t n, uint32_t timeout_ms,
    struct err *err);

/* do_action( 'newspack_sync_retry_exhausted' or 'newspack_sync_contact_failed'
 * or 'newspack_sync_permanent_failure', ... ), so that the publisher's alerts
 * go off. */
struct php_contact_alert {
	struct slice action;
	struct slice integration;
	uint64_t user_id;
	struct slice context, reason;
	unsigned retry_count;
};
MUSTUSE enum rc php_contacts_alert(const struct php_executor_opts *opts,
    const struct php_contact_alert *alerts, size_t n, uint32_t timeout_ms,
    struct err *err);

/* What PHP knows of the integrations, for wp-cronctl and doctor: JSON
 * {integrations:[{id,name,class,enabled,set_up,push,pull,incoming:[],
 * outgoing:[]}], metadata_version, woocommerce, can_sync:{ok,message}},
 * the caller's to free(). */
MUSTUSE enum rc php_contacts_describe(const struct php_executor_opts *opts,
    uint32_t timeout_ms, char **json, struct err *err);

#endif
