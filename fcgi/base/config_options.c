#include "base/config_options.h"

#include <stddef.h>

#define SECOND INT64_C(1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

/* Field after field as struct option has them, the section by the macro. */
#define ROW(sec, strct, key, kind, memb, lo, hi, def, ex, reload, text)        \
	ROW_OF(sec, strct, key, kind, memb, lo, hi, def, ex, reload, text, NULL)
#define ROW_OF(                                                                \
    sec, strct, key, kind, memb, lo, hi, def, ex, reload, text, list)          \
	{                                                                      \
		.section = (sec), .name = (key), .type = (kind),               \
		.offset = offsetof(strct, memb), .min = (lo), .max = (hi),     \
		.preset = (def), .sample = (ex), .reloadable = (reload),       \
		.doc = (text), .words = (list)                                 \
	}
#define D(key, kind, memb, lo, hi, def, ex, reload, text)                      \
	ROW(OPTION_DAEMON, struct config_daemon, key, kind, memb, lo, hi, def, \
	    ex, reload, text)
#define S(key, kind, memb, def, ex, text)                                      \
	ROW(OPTION_SITE, struct config_site, key, kind, memb, 0, 0, def, ex,   \
	    true, text)
/* What a site is opened with. */
#define R(key, kind, memb, ex, text)                                           \
	ROW(OPTION_SITE, struct config_site, key, kind, memb, 0, 0, NULL, ex,  \
	    false, text)
#define P(key, kind, memb, lo, hi, ex, text)                                   \
	ROW(OPTION_POLICY, struct policy_section, key, kind, values.memb, lo,  \
	    hi, NULL, ex, true, text)

/* In the order of enum catch_up, stage, payload. */
static const char *const catch_up_words[] = { "once", "skip", "all", NULL };
static const char *const stage_words[] = { "everyone", "readers", "nobody",
	NULL };
static const char *const payload_words[] = { "php", "native", NULL };
static const char *const provider_words[] = { "mailchimp", "active_campaign",
	"constant_contact", "brevo", "webhook", "php", NULL };
static const char *const mail_words[] = { "php", "outbox", NULL };
static const char *const order_words[] = { "oldest", "plugin", NULL };
static const char *const plugin_smtp_words[] = { "leave", "take-over", NULL };
/* What a contact may become that a provider did not know. */
static const char *const status_words[] = { "transactional", "subscribed",
	"pending", "unsubscribed", NULL };

static const struct option daemon_options[] = {
	D("listen", OPTION_ADDRESS, listen, 0, 0, NULL,
	    "unix:/run/wp-cron-fcgi/wp-cron-fcgi.sock", false,
	    "unix:PATH or HOST:PORT; unset: the socket handed over as fd 0"),
	D("server_threads", OPTION_COUNT, server_threads, 1, 64, "2", NULL,
	    false, "threads that answer requests"),
	D("workers", OPTION_COUNT, workers, 2, 256, "4", NULL, false,
	    "worker threads, PHP and native work together"),
	D("php_children", OPTION_COUNT, php_children, 1, 255, "2", NULL, false,
	    "at most so many workers in PHP; fewer than workers"),
	D("native_batch", OPTION_COUNT, native_batch, 1, 500, "100", NULL, true,
	    "jobs that one native worker holds at most"),
	D("php_batch", OPTION_COUNT, php_batch, 1, 500, "100", NULL, true,
	    "jobs that one PHP request gets at most"),
	D("shutdown_grace", OPTION_DURATION, shutdown_grace_ms, 0, HOUR, "20s",
	    NULL, true, "running work may take so long to end at a stop"),
	D("look_interval", OPTION_DURATION, look_interval_ms, 50, HOUR, "1s",
	    NULL, true, "a site's database is asked for due work this often"),
	D("heartbeat", OPTION_DURATION, heartbeat_ms, 50, HOUR, "10s", NULL,
	    false,
	    "a node says that it lives this often; half of node_expiry at "
	    "most"),
	D("node_expiry", OPTION_DURATION, node_expiry_ms, SECOND, DAY, "30s",
	    NULL, false, "a node that was silent for so long is dead"),
	D("max_waiters", OPTION_COUNT, max_waiters, 0, 10000, "64", NULL, true,
	    "requests with ?wait= that may be parked at once"),
	D("request_timeout", OPTION_DURATION, request_timeout_ms, 100, HOUR,
	    "10s", NULL, true,
	    "a client that is silent for so long is cut off"),
	D("host_concurrency", OPTION_COUNT, host_concurrency, 1, 1000, "32",
	    NULL, true, "webhook requests to one host at once"),
	D("db_connections", OPTION_COUNT, db_connections, 2, 256, "10", NULL,
	    false, "connections to one database at most"),
	D("log_level", OPTION_LEVEL, log_level, 0, 0, "info", NULL, true,
	    "err, warn, info or debug"),
};

static const struct option site_options[] = {
	R("root", OPTION_PATH, root, "/var/www/html",
	    "directory of wp-load.php"),
	R("config_file", OPTION_PATH, config_file,
	    "/etc/wordpress/config-example.org.php",
	    "PHP file with the defines, where wp-config.php picks it at run "
	    "time"),
	S("cron_token", OPTION_TEXT, cron_token, NULL, "a-long-random-word",
	    "bearer token of wp-cron.php?wait=N; unset: waiting is off"),
	S("php_fpm", OPTION_ADDRESS, php_fpm, NULL,
	    "unix:/run/php/php-fpm.sock",
	    "unix:PATH or HOST:PORT of the site's PHP; unset: no PHP"),
	S("worker_script", OPTION_PATH, worker_script, NULL,
	    "/var/www/html/wp-content/wp-cron-fcgi-worker.php",
	    "worker.php as PHP sees it; unset: the installed one"),
	R("db_name", OPTION_TEXT, db_name, "wordpress",
	    "instead of DB_NAME; set what wp-config.php does not say "
	    "literally"),
	R("db_user", OPTION_TEXT, db_user, "wordpress", "instead of DB_USER"),
	R("db_password", OPTION_TEXT, db_password, "\"a ; b\"",
	    "instead of DB_PASSWORD; quoted where it has a blank and a ;"),
	R("db_host", OPTION_TEXT, db_host, "localhost",
	    "instead of DB_HOST, in all its forms"),
	R("db_charset", OPTION_TEXT, db_charset, "utf8mb4",
	    "instead of DB_CHARSET"),
	R("table_prefix", OPTION_PREFIX, table_prefix, "wp_",
	    "instead of $table_prefix"),
	R("home", OPTION_URL, home, "https://example.org",
	    "URL of the site; unset: WP_HOME or the option home"),
	S("hooks", OPTION_LIST, hooks, NULL, "my_plugin_*, wc_*",
	    "run only these hooks, * as wildcard; unset: all"),
	S("except", OPTION_LIST, except, NULL, "my_plugin_slow",
	    "leave these hooks alone"),
	S("groups", OPTION_LIST, groups, NULL, "my-plugin",
	    "run only actions of these groups; unset: all"),
	S("except_groups", OPTION_LIST, except_groups, NULL, "other-plugin",
	    "leave actions of these groups alone"),
	S("cleanup", OPTION_BOOL, cleanup, "yes", NULL,
	    "time-outs of actions others left running, and retention"),
	S("cron", OPTION_BOOL, cron, "yes", NULL,
	    "run WordPress' own cron events"),
	S("mode", OPTION_MODE, observe, "run", NULL,
	    "run: do the work; observe: only record what would be run"),
	S("missed_posts", OPTION_BOOL, missed_posts, "yes", NULL,
	    "publish scheduled posts whose cron event has vanished"),
	S("series_after_crash", OPTION_SERIES, series_after_crash, "insert",
	    NULL,
	    "insert: a series whose run crashed goes on; php: it ends there"),
	S("contacts", OPTION_BOOL, contacts, "yes", NULL,
	    "Newspack's contact cron, where the plugin is active"),
	ROW_OF(OPTION_SITE, struct config_site, "stage", OPTION_CHOICE, stage,
	    0, 0, "everyone", NULL, true,
	    "whom a page load stages: everyone logged in, readers or nobody",
	    stage_words),
	ROW(OPTION_SITE, struct config_site, "max_staged", OPTION_COUNT,
	    max_staged, 1, 1000000, "50000", NULL, true,
	    "staged readers of one direction that are read at once"),
	ROW(OPTION_SITE, struct config_site, "contacts_every", OPTION_DURATION,
	    contacts_every_ms, SECOND, DAY, "5m", NULL, true,
	    "own clock of the batch, where NEWSPACK_CRON_DISABLE took PHP's"),
	ROW(OPTION_SITE, struct config_site, "contacts_budget", OPTION_DURATION,
	    contacts_budget_ms, SECOND, HOUR, "4m", NULL, true,
	    "a batch begins no further page after this; the rest comes next"),
	ROW(OPTION_SITE, struct config_site, "unproven_cookies", OPTION_RATE,
	    unproven_cookies, 0, 0, "50/s", NULL, true,
	    "log-in cookies not known yet that are looked up"),
	S("smtp", OPTION_TEXT, smtp, NULL, "relay",
	    "the [smtp NAME] its mails go through; unset: PHP sends them"),
	ROW_OF(OPTION_SITE, struct config_site, "plugin_smtp", OPTION_CHOICE,
	    plugin_smtp, 0, 0, "leave", NULL, true,
	    "mails that a mail plugin sends by its own way: leave, take-over",
	    plugin_smtp_words),
	ROW(OPTION_SITE, struct config_site, "outbox_max_mib", OPTION_COUNT,
	    outbox_max_mib, 1, 200, "25", NULL, true,
	    "MiB of a mail; a larger one PHP sends itself"),
	S("outbox_key_file", OPTION_PATH, outbox_key_file, NULL,
	    "/etc/wp-cron-fcgi.key",
	    "64 hexadecimal digits: mails are stored encrypted; PHP reads it "
	    "too"),
	ROW(OPTION_SITE, struct config_site, "dead_bodies_days", OPTION_COUNT,
	    dead_bodies_days, 0, 3650, "7", NULL, true,
	    "days that the text of a mail which failed is kept"),
	ROW(OPTION_SITE, struct config_site, "dead_days", OPTION_COUNT,
	    dead_days, 1, 3650, "90", NULL, true,
	    "days that dead letters, and what is known of sent mails, are "
	    "kept"),
	S("messages", OPTION_BOOL, messages, "yes", NULL,
	    "Event Espresso's messages, where the plugin is active"),
	ROW_OF(OPTION_SITE, struct config_site, "messages_order", OPTION_CHOICE,
	    messages_order, 0, 0, "oldest", NULL, true,
	    "within a priority: oldest first, or as the plugin has it",
	    order_words),
	ROW(OPTION_SITE, struct config_site, "messages_rate", OPTION_RATE,
	    messages_rate, 0, 0, "200/h", NULL, true,
	    "messages sent in one of the plugin's windows"),
	ROW(OPTION_SITE, struct config_site, "messages_retries", OPTION_COUNT,
	    messages_retries, 0, 100, "3", NULL, true,
	    "fresh tries of a message that could not be handed over"),
	ROW(OPTION_SITE, struct config_site, "messages_backoff", OPTION_BACKOFF,
	    messages_backoff_min_ms, 100, 7 * DAY, "5m..2h", NULL, true,
	    "before the first of them and at most"),
};

#define I(key, kind, memb, lo, hi, def, ex, text, list)                        \
	ROW_OF(OPTION_INTEGRATION, struct config_integration, key, kind, memb, \
	    lo, hi, def, ex, true, text, list)

static const struct option integration_options[] = {
	I("provider", OPTION_WORD, provider, 0, 0, NULL, "mailchimp",
	    "who it is; php: only the plugin knows; unset: as Newspack has it",
	    provider_words),
	I("api", OPTION_URL, api, 0, 0, NULL, "https://example.com/contacts",
	    "webhook: its URL; others: instead of the provider's own base URL",
	    NULL),
	I("key", OPTION_TEXT, key, 0, 0, NULL, "0123456789abcdef-us21",
	    "API key, Constant Contact: client id; unset: Newspack's", NULL),
	I("secret", OPTION_TEXT, secret, 0, 0, NULL,
	    "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
	    "Constant Contact: client secret; webhook: to sign with", NULL),
	I("access_token", OPTION_TEXT, access_token, 0, 0, NULL, "eyJ0eXAi",
	    "Constant Contact; unset: shared with Newspack", NULL),
	I("refresh_token", OPTION_TEXT, refresh_token, 0, 0, NULL, "0ab1cd",
	    "Constant Contact; unset: shared with Newspack", NULL),
	I("list", OPTION_TEXT, list, 0, 0, NULL, "a1b2c3d4e5",
	    "audience or list that contacts are on; unset: Newspack's", NULL),
	I("status_if_new", OPTION_WORD, status_if_new, 0, 0, NULL,
	    "transactional",
	    "what a contact the provider does not know becomes; unset: "
	    "Newspack's",
	    status_words),
	I("ca_file", OPTION_PATH, ca_file, 0, 0, NULL, "/etc/ssl/own-ca.pem",
	    "certificates to trust instead of the system's", NULL),
	I("private_address", OPTION_BOOL, private_address, 0, 0, "no", NULL,
	    "webhook: the host may be in this machine or its network", NULL),
	I("payload", OPTION_CHOICE, payload, 0, 0, "php", NULL,
	    "who makes the contacts: the plugin in php, or native by [fields]",
	    payload_words),
	I("push", OPTION_BOOL, push, 0, 0, "yes", NULL, "no: nothing goes out",
	    NULL),
	I("pull", OPTION_BOOL, pull, 0, 0, "yes", NULL, "no: nothing comes in",
	    NULL),
	I("fingerprints", OPTION_BOOL, fingerprints, 0, 0, "yes", NULL,
	    "leave out readers of whom nothing changed", NULL),
	I("share", OPTION_COUNT, share, 1, 100, "60", NULL,
	    "percent of the provider's limits; PHP uses the same account",
	    NULL),
	I("incoming", OPTION_LIST, incoming, 0, 0, NULL, "COLOR, CITY",
	    "keys of fields to pull; unset: those enabled in Newspack", NULL),
	I("outgoing", OPTION_LIST, outgoing, 0, 0, NULL, "NP_Account",
	    "native: labels to push; unset: all of [fields]", NULL),
	I("volatile", OPTION_LIST, volatile_fields, 0, 0,
	    "*Last_Active, *Last Active, *Articles_Read, *Articles Read", NULL,
	    "labels whose change alone sends nothing", NULL),
};

static const struct option policy_options[] = {
	P("timeout", OPTION_DURATION, timeout_ms, 100, DAY, "60s",
	    "one run of one job; PHP 300s, webhook 30s"),
	P("retries", OPTION_COUNT, retries, 0, 100, "5",
	    "fresh tries after a failure; PHP 0, webhook 5"),
	P("backoff", OPTION_BACKOFF, backoff_min_ms, 100, 7 * DAY, "30s..2h",
	    "before the first retry and at most; 30s..2h"),
	P("rate", OPTION_RATE, rate, 0, 0, "200/h",
	    "starts over all nodes: N/s, N/min, N/h or N/d; unset: no limit"),
	P("concurrency", OPTION_COUNT, concurrency, 0, 10000, "1",
	    "running at once over all nodes; 0: no limit"),
	P("idempotent", OPTION_BOOL, idempotent, 0, 0, "yes",
	    "a job may run again when its run was lost; PHP no, webhook yes"),
	P("overlap", OPTION_BOOL, overlap, 0, 0, "yes",
	    "cron: two events of the hook may run at once; PHP no, webhook "
	    "yes"),
	ROW_OF(OPTION_POLICY, struct policy_section, "catch_up", OPTION_CHOICE,
	    values.catch_up, 0, 0, NULL, "once", true,
	    "cron: run a late event once, skip it, or all missed periods",
	    catch_up_words),
	P("max_age", OPTION_DURATION, max_age_ms, 0, 7 * DAY, "1h",
	    "cron: too late for catch_up, 0s: its own; skip 1h, all 24h"),
	P("paused", OPTION_BOOL, paused, 0, 0, "no", "leave its jobs waiting"),
	P("outbound", OPTION_BOOL, outbound, 0, 0, "yes",
	    "held on a copy of the site; PHP no, webhook yes"),
	P("series_after_crash", OPTION_SERIES, series_after_crash, 0, 0, "php",
	    "insert or php; unset: as the site has it"),
	ROW(OPTION_POLICY, struct policy_section, "site", OPTION_TEXT, site, 0,
	    0, NULL, "example", true, "only on this site; unset: on every one"),
	ROW_OF(OPTION_POLICY, struct policy_section, "mail", OPTION_CHOICE,
	    values.mail, 0, 0, NULL, "outbox", true,
	    "mails of its jobs: php sends them, or the outbox of [smtp]",
	    mail_words),
	P("secret", OPTION_TEXT, secret, 0, 0,
	    "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
	    "webhook: key of the request's signature"),
};

_Static_assert(offsetof(struct policy, backoff_max_ms) ==
		   offsetof(struct policy, backoff_min_ms) + sizeof(uint32_t),
    "OPTION_BACKOFF writes both");
_Static_assert(NELEMS(policy_options) <= 64, "policy_section.set is 64 bits");

_Static_assert(offsetof(struct config_site, messages_backoff_max_ms) ==
		   offsetof(struct config_site, messages_backoff_min_ms) +
		       sizeof(uint32_t),
    "OPTION_BACKOFF writes both");
_Static_assert(NELEMS(site_options) <= 64, "a section's set is 64 bits");

struct section {
	const char *name;
	const struct option *rows;
	size_t n;
};
static const struct section sections[] = {
	[OPTION_DAEMON] = { "daemon", daemon_options, NELEMS(daemon_options) },
	[OPTION_SITE] = { "site", site_options, NELEMS(site_options) },
	[OPTION_POLICY] = { "policy", policy_options, NELEMS(policy_options) },
	[OPTION_INTEGRATION] = { "integration", integration_options,
	    NELEMS(integration_options) },
};

static struct section
section_of(enum option_section section)
{
	if (section == OPTION_SMTP)
		return (struct section){ "smtp", config_smtp_options,
			config_nsmtp_options };
	if (section == OPTION_TASKS)
		return (struct section){ "tasks", config_tasks_options,
			config_ntasks_options };
	return sections[section];
}

const struct option *
config_options(enum option_section section, size_t *n)
{
	struct section s = section_of(section);

	*n = s.n;
	return s.rows;
}

const char *
config_section_name(enum option_section section)
{
	return section_of(section).name;
}

enum rc
config_options_preset(
    enum option_section section, void *base, struct arena *a, struct err *err)
{
	struct section s = section_of(section);
	enum rc rc = RC_OK;

	for (size_t i = 0; i < s.n && rc == RC_OK; i++) {
		const struct option *o = &s.rows[i];

		if (o->preset)
			rc = config_option_set(
			    o, base, slice_str(o->preset), a, err);
	}
	return rc;
}

static void
example_section(struct buf *out, enum option_section section)
{
	struct section s = section_of(section);

	for (size_t i = 0; i < s.n; i++) {
		const struct option *o = &s.rows[i];

		buf_printf(out, "; %s%s\n;%s = %s\n", o->doc,
		    o->reloadable ? "" : " (needs a restart)", o->name,
		    o->preset ? o->preset : o->sample);
	}
}

void
config_example(struct buf *out)
{
	buf_put_str(out,
	    "; wp-cron-fcgi.conf - every option, with its default or a "
	    "sample.\n"
	    "; A ; after a blank begins a comment; a value in \"...\" may have"
	    " one inside.\n"
	    "; Durations: 500ms, 30s, 1m, 2h, 1d. `systemctl reload` reads this"
	    " file again.\n\n"
	    "[daemon]\n");
	example_section(out, OPTION_DAEMON);
	buf_put_str(out,
	    "\n; One section a site. The name is for logs and commands.\n"
	    "[site example]\n");
	example_section(out, OPTION_SITE);
	buf_put_str(out,
	    "\n; Where a hook's jobs are done: hook = executor. The first line"
	    " that matches\n"
	    "; holds, * stands for any run of characters. What no line matches"
	    " goes to PHP.\n"
	    "; `site = NAME` in a [route] section limits its lines to that"
	    " site.\n"
	    "[route]\n"
	    ";my_plugin_notify = webhook https://example.com/hook\n"
	    ";action_scheduler_run_queue = queue:actions\n"
	    ";* = php\n"
	    "\n; How a hook's jobs may be run; the first section whose name"
	    " matches holds.\n"
	    "; `site = NAME` limits it to that site.\n"
	    ";[policy my_plugin_notify]\n");
	example_section(out, OPTION_POLICY);
	buf_put_str(out,
	    "\n; One of Newspack's integrations on a site: what is not set"
	    " here comes from the\n"
	    "; plugin's own settings. \"esp\" is the one every Newspack has.\n"
	    ";[integration example/esp]\n");
	example_section(out, OPTION_INTEGRATION);
	buf_put_str(out,
	    "\n; payload = native: label = where its value comes from, one of"
	    " user:id, user:email,\n"
	    "; user:login, user:name, user:registered, user:url, role,"
	    " meta:KEY, text:WORDS.\n"
	    ";[fields example/esp]\n"
	    ";NP_Account = user:id\n"
	    ";NP_Registration Date = user:registered\n"
	    "\n; A mail relay; a site names it with smtp = NAME.\n"
	    ";[smtp relay]\n");
	example_section(out, OPTION_SMTP);
	buf_put_str(out, "\n; A plugin's queue of tasks in a transient.\n"
			 ";[tasks example/myplugin_task_queue]\n");
	example_section(out, OPTION_TASKS);
	buf_put_str(out,
	    "; One line a type: native (send_email), webhook or php:FUNCTION,"
	    " which gets the payload.\n"
	    ";handler send_email = php:myplugin_send_email\n"
	    ";handler http_request = webhook\n");
}
