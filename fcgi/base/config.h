#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/route.h"
#include "base/slice.h"

/*
 * The configuration file (INI, /etc/wp-cron-fcgi.conf) as an immutable
 * snapshot. Every option is one row of one table in config.c: section, name,
 * type, range, default, reloadable, one line of help. An unknown key, a bad
 * value or a duplicate is an error with file, line and the nearest valid name.
 */

/* A list of patterns; empty: no restriction. */
struct config_list {
	const char **items;
	size_t n;
};

/* [daemon] */
struct config_daemon {
	const char *listen;      /* "unix:PATH", "HOST:PORT", NULL: fd 0 */
	uint32_t server_threads; /* threads that answer requests */
	uint32_t workers;        /* worker threads, PHP and native together */
	uint32_t php_children;   /* at most so many of them in PHP */
	uint32_t native_batch;   /* jobs one native worker holds at most */
	uint32_t php_batch;      /* jobs one PHP request gets at most */
	uint32_t shutdown_grace_ms;  /* finish running work within this */
	uint32_t look_interval_ms;   /* a site's database is asked this often */
	uint32_t heartbeat_ms;       /* node row is renewed this often */
	uint32_t node_expiry_ms;     /* a silent node is dead after this */
	uint32_t max_waiters;        /* parked ?wait requests */
	uint32_t request_timeout_ms; /* a client so long silent is cut */
	uint32_t host_concurrency;   /* webhook requests at once to one host */
	uint32_t db_connections;     /* a database, at most */
	enum log_level log_level;
};

enum stage {
	STAGE_EVERYONE, /* as Newspack does: whoever is logged in */
	STAGE_READERS,  /* np_reader, or a reader's role */
	STAGE_NOBODY,   /* the reader ping stages nobody */
};

/* Who makes the contacts that are pushed. */
enum payload {
	PAYLOAD_PHP,    /* the plugin's own classes, a page in one boot */
	PAYLOAD_NATIVE, /* users, usermeta and the field map */
};

/* A line of [fields SITE/ID]: what a label's value is. */
struct config_field {
	const char *label;  /* with its prefix: "NP_Account" */
	const char *source; /* "user:email", "meta:KEY", "role", "text:..." */
};

/* [integration SITE/ID]; what it does not set comes from Newspack's options. */
struct config_integration {
	const char *site, *id;
	unsigned line;
	/* "mailchimp", "active_campaign", "constant_contact", "brevo",
	 * "webhook", "php"; NULL: as Newspack has it */
	const char *provider;
	const char *api; /* base URL; a webhook's whole URL */
	const char *key, *secret, *access_token, *refresh_token, *list;
	const char *status_if_new;
	const char *ca_file;
	bool private_address; /* webhook: not only public addresses */
	enum payload payload;
	bool push, pull;
	bool fingerprints;           /* leave out who has not changed */
	uint32_t share;              /* percent of the provider's limits */
	struct config_list incoming; /* keys to pull; none: Newspack's */
	struct config_list outgoing; /* native: labels; none: all of fields */
	struct config_list
	    volatile_fields; /* labels that are no change by themselves */
	const struct config_field *fields; /* of its [fields SITE/ID] */
	size_t nfields;
};

/* What becomes of a mail whose relay's answer was lost after DATA. */
enum on_unknown {
	ON_UNKNOWN_RETRY, /* once more, with the same Message-ID */
	ON_UNKNOWN_HOLD,
};

/* A mail whose From is of none of from_domains. */
enum foreign_from {
	FOREIGN_FROM_PHP,     /* PHP sends it itself */
	FOREIGN_FROM_SEND,    /* as it is */
	FOREIGN_FROM_REWRITE, /* From: `from`, Reply-To: the former */
};

/* [smtp NAME]: a relay that takes mails. */
struct config_smtp {
	const char *name;
	unsigned line;
	const char *host;
	uint32_t port;
	const char *security; /* "starttls", "tls", "none" */
	const char *user, *password;
	const char *auth; /* "plain", "login", "xoauth2"; NULL: any */
	const char *ca_file;
	const char *ehlo;                /* NULL: the site's host */
	uint32_t concurrency;            /* connections, over all nodes */
	struct rate rate, pace;          /* per hour or day, and per second */
	struct config_list domain_rates; /* "gmail.com 100/h" each */
	const char *from, *envelope_from;
	struct config_list from_domains;
	enum foreign_from foreign_from;
	const char *redirect_to;             /* all mails go there instead */
	struct config_list allow_recipients; /* globs; none: all */
	uint32_t max_age_ms;
	uint32_t backoff_min_ms, backoff_max_ms;
	enum on_unknown on_unknown;
	uint32_t unknown_retry_ms;
	uint32_t connect_ms, reply_ms, data_ms;
	uint32_t mails; /* a connection */
};

/* What becomes of tasks whose transient has expired. */
enum task_expired {
	TASK_EXPIRED_PROCESS,
	TASK_EXPIRED_DISCARD
};

/* What becomes of tasks that a writer puts back after they were taken. */
enum task_stale {
	TASK_STALE_DROP,
	TASK_STALE_RUN
};

/* Who does tasks of a type. */
enum handler_kind {
	HANDLER_NATIVE,
	HANDLER_WEBHOOK,
	HANDLER_PHP
};

/* A line "handler TYPE = ..." of [tasks SITE/NAME]. */
struct config_handler {
	const char *type;
	enum handler_kind kind;
	const char *function; /* HANDLER_PHP */
};

/* [tasks SITE/NAME]: a plugin's queue in a transient. */
struct config_tasks {
	const char *site, *name;
	unsigned line;
	const char *queue; /* transient; NULL: the name */
	const char *lock;  /* transient; NULL: queue + "_lock" */
	const char *hook;
	uint32_t batch;
	uint32_t timeout_ms; /* of one task */
	uint32_t lock_ttl_ms;
	enum task_expired expired;
	enum task_stale stale;
	uint32_t stale_for_ms;          /* so long they are known for such */
	bool accept_loss;               /* object cache without the companion */
	struct config_list allow_hosts; /* webhook: besides public ones */
	const struct config_handler *handlers;
	size_t nhandlers;
};

/* In which order messages of one priority are sent. */
enum messages_order {
	MESSAGES_OLDEST,
	MESSAGES_PLUGIN
};

/* Mail plugins that send by SMTP or an API of their own. */
enum plugin_smtp {
	PLUGIN_SMTP_LEAVE,
	PLUGIN_SMTP_TAKE_OVER
};

/* [site NAME]; without a file there is one, named "default", from --root. */
struct config_site {
	const char *name;
	const char *root;        /* directory of wp-load.php */
	const char *cron_token;  /* bearer token of ?wait; NULL: off */
	const char *config_file; /* PHP file with the defines, read before
				    wp-config.php; NULL: none */
	const char *php_fpm;     /* "unix:PATH" or "HOST:PORT"; NULL: no PHP */
	const char *worker_script; /* as PHP sees it; NULL: the installed one */
	/* Overrides of what wp-config.php does not say literally; NULL: from
	 * there. */
	const char *db_name, *db_user, *db_password, *db_host, *db_charset;
	const char *table_prefix;
	const char *home; /* URL; NULL: the option */
	struct config_list hooks,
	    except; /* patterns of hooks to run / to leave */
	struct config_list groups, except_groups; /* group slugs, likewise */
	bool cleanup;            /* time-outs of foreign rows and retention */
	bool cron;               /* run WordPress' cron events */
	bool observe;            /* mode: false "run", true "observe" */
	bool missed_posts;       /* publish posts whose event vanished */
	bool series_after_crash; /* false: "php", a crashed series ends */
	bool contacts;           /* Newspack's contact cron */
	enum stage stage;        /* whom the reader ping stages */
	uint32_t max_staged;     /* flags of a direction read a tick */
	uint32_t contacts_every_ms;   /* own clock, where PHP has none */
	uint32_t contacts_budget_ms;  /* a tick begins no page later */
	struct rate unproven_cookies; /* looked up at most */
	const char *smtp;             /* name of its [smtp]; NULL: no outbox */
	enum plugin_smtp plugin_smtp;
	uint32_t outbox_max_mib;     /* larger ones PHP sends itself */
	const char *outbox_key_file; /* seals mails; NULL: they are not */
	uint32_t dead_bodies_days, dead_days;
	bool messages; /* Event Espresso's messages */
	enum messages_order messages_order;
	struct rate messages_rate; /* the plugin's window */
	uint32_t messages_retries; /* of what the messenger refused */
	uint32_t messages_backoff_min_ms, messages_backoff_max_ms;
};

struct config {
	const char *path; /* NULL: no file, defaults only */
	struct config_daemon daemon;
	struct config_site *sites;
	size_t nsites;
	struct config_integration *integrations;
	size_t nintegrations;
	struct config_smtp *smtps;
	size_t nsmtps;
	struct config_tasks *tasks;
	size_t ntasks;
	struct route *routes; /* the file's first, then the built-in table */
	size_t nroutes;
	/* Opaque: policies, arena, reference count. */
	struct config_private *private;
};

/*
 * config_load - read `path` (NULL: defaults and one site) for the given root
 * (NULL: sites come from the file). RC_REJECT: file, line and what to do.
 * The snapshot starts with one reference.
 */
MUSTUSE enum rc config_load(
    const char *path, const char *root, struct config **out, struct err *err);
/* As config_load(), from text; `name` stands for the file in messages. */
MUSTUSE enum rc config_parse(struct slice text, const char *name,
    const char *root, struct config **out, struct err *err);
struct config *config_ref(struct config *c);
void config_unref(struct config *c); /* frees with the last; NULL is fine */

/* The first route that matches; never NULL (`*` = php ends the table). */
const struct route *config_route(
    const struct config *c, const char *site, struct slice hook);
/*
 * The policy of a hook on a site: [policy HOOK] of the file, over the
 * defaults of the route's executor (webhook: idempotent, 5 retries; php: not,
 * 0). Lent by the snapshot; the same pointer for the same settings.
 */
const struct policy *config_policy(const struct config *c, const char *site,
    struct slice hook, const struct route *route);
/*
 * Do the jobs of this route and policy reach the world outside, so that they
 * are held on a copy of the site? Those that mail do, unless every mail goes to
 * one address (redirect_to of the site's relay).
 */
bool config_is_outbound(const struct config *c, const char *site,
    const struct route *route, const struct policy *policy);

/* The [integration SITE/ID] section; one of defaults alone (line 0) where there
 * is none. */
const struct config_integration *config_integration(
    const struct config *c, const char *site, struct slice id);

/* The relay of a site; NULL: it has none. */
const struct config_smtp *config_smtp(
    const struct config *c, const struct config_site *site);
/* Mails are for some alone (redirect_to, allow_recipients): what the outbox
 * does not take must not be sent by others, who would send it to everybody. */
bool config_smtp_confines(const struct config_smtp *smtp);
/* The i-th [tasks SITE/...] of a site; NULL: there are no more. */
const struct config_tasks *config_tasks(
    const struct config *c, const char *site, size_t i);

/*
 * The name of the first option that differs and cannot change while the
 * program runs, "[site]" when a site came or went; NULL: `fresh` may take the
 * place of `running`.
 */
const char *config_needs_restart(
    const struct config *running, const struct config *fresh);

/* Print every option with its default and help, as the example file. */
void config_print_example(int fd);

#endif
