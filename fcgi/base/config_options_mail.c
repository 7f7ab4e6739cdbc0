/* Options of [smtp NAME] and [tasks SITE/NAME]. */
#include "base/config_options.h"

#include <stddef.h>

#define SECOND INT64_C(1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

#define ROW(sec, strct, key, kind, memb, lo, hi, def, ex, text, list)          \
	{                                                                      \
		.section = (sec), .name = (key), .type = (kind),               \
		.offset = offsetof(strct, memb), .min = (lo), .max = (hi),     \
		.preset = (def), .sample = (ex), .reloadable = true,           \
		.doc = (text), .words = (list)                                 \
	}
#define M(key, kind, memb, lo, hi, def, ex, text, list)                        \
	ROW(OPTION_SMTP, struct config_smtp, key, kind, memb, lo, hi, def, ex, \
	    text, list)
#define T(key, kind, memb, lo, hi, def, ex, text, list)                        \
	ROW(OPTION_TASKS, struct config_tasks, key, kind, memb, lo, hi, def,   \
	    ex, text, list)

static const char *const security_words[] = { "starttls", "tls", "none", NULL };
static const char *const auth_words[] = { "plain", "login", "xoauth2", NULL };
/* In the order of their enums. */
static const char *const foreign_words[] = { "php", "send", "rewrite", NULL };
static const char *const unknown_words[] = { "retry", "hold", NULL };
static const char *const expired_words[] = { "process", "discard", NULL };
static const char *const stale_words[] = { "drop", "run", NULL };

const struct option config_smtp_options[] = {
	M("host", OPTION_TEXT, host, 0, 0, NULL, "smtp.example.org",
	    "the relay's name or address", NULL),
	M("port", OPTION_COUNT, port, 1, 65535, "587", NULL, "its port", NULL),
	M("security", OPTION_WORD, security, 0, 0, "starttls", NULL,
	    "starttls (demanded), tls (from the first byte) or none",
	    security_words),
	M("user", OPTION_TEXT, user, 0, 0, NULL, "shop@example.org",
	    "to log in with; unset: no log-in", NULL),
	M("password", OPTION_TEXT, password, 0, 0, NULL, "\"a ; b\"",
	    "of that user; with auth = xoauth2 the token", NULL),
	M("auth", OPTION_WORD, auth, 0, 0, NULL, "plain",
	    "plain, login or xoauth2; unset: what the relay offers",
	    auth_words),
	M("ca_file", OPTION_PATH, ca_file, 0, 0, NULL, "/etc/ssl/own-ca.pem",
	    "certificates to trust instead of the system's", NULL),
	M("ehlo", OPTION_TEXT, ehlo, 0, 0, NULL, "www.example.org",
	    "the name said to the relay; unset: the host of the site", NULL),
	M("concurrency", OPTION_COUNT, concurrency, 1, 50, "2", NULL,
	    "connections at once, over all nodes", NULL),
	M("rate", OPTION_RATE, rate, 0, 0, NULL, "500/h",
	    "recipients that the relay takes, over all nodes", NULL),
	M("pace", OPTION_RATE, pace, 0, 0, NULL, "10/s",
	    "likewise, of a shorter time", NULL),
	M("domain_rates", OPTION_LIST, domain_rates, 0, 0, NULL,
	    "gmail.com 100/h, example.org 5/s",
	    "likewise, of one domain of recipients each", NULL),
	M("from", OPTION_MAILBOX, from, 0, 0, NULL, "shop@example.org",
	    "address that foreign_from = rewrite puts into From", NULL),
	M("envelope_from", OPTION_MAILBOX, envelope_from, 0, 0, NULL,
	    "bounces@example.org",
	    "envelope sender; unset: the mail's Sender or From", NULL),
	M("from_domains", OPTION_LIST, from_domains, 0, 0, NULL,
	    "example.org, *.example.org",
	    "domains that this relay may send for; unset: any", NULL),
	M("foreign_from", OPTION_CHOICE, foreign_from, 0, 0, "php", NULL,
	    "a From of another domain: php sends it, send it, or rewrite From",
	    foreign_words),
	M("redirect_to", OPTION_MAILBOX, redirect_to, 0, 0, NULL,
	    "test@example.org",
	    "every mail goes there instead, also from a copy of the site",
	    NULL),
	M("allow_recipients", OPTION_LIST, allow_recipients, 0, 0, NULL,
	    "*@example.org", "only these get mail, others are dropped", NULL),
	M("max_age", OPTION_DURATION, max_age_ms, SECOND, 30 * DAY, "3d", NULL,
	    "a mail that is older is not tried again", NULL),
	M("backoff", OPTION_BACKOFF, backoff_min_ms, SECOND, 7 * DAY, "1m..4h",
	    NULL, "before the second try and at most", NULL),
	M("on_unknown", OPTION_CHOICE, on_unknown, 0, 0, "retry", NULL,
	    "answer lost after the text was sent: retry once, or hold",
	    unknown_words),
	M("unknown_retry_after", OPTION_DURATION, unknown_retry_ms, SECOND,
	    7 * DAY, "15m", NULL, "that retry comes not sooner", NULL),
	M("connect_timeout", OPTION_DURATION, connect_ms, 100, HOUR, "10s",
	    NULL, "until the connection stands", NULL),
	M("reply_timeout", OPTION_DURATION, reply_ms, 100, HOUR, "30s", NULL,
	    "for each of the relay's replies", NULL),
	M("data_timeout", OPTION_DURATION, data_ms, 100, HOUR, "10m", NULL,
	    "for one mail, its text and the verdict", NULL),
	M("mails_per_connection", OPTION_COUNT, mails, 1, 10000, "50", NULL,
	    "then it is opened anew", NULL),
};
const size_t config_nsmtp_options = NELEMS(config_smtp_options);

_Static_assert(
    offsetof(struct config_smtp, backoff_max_ms) ==
	offsetof(struct config_smtp, backoff_min_ms) + sizeof(uint32_t),
    "OPTION_BACKOFF writes both");

const struct option config_tasks_options[] = {
	T("queue", OPTION_TEXT, queue, 0, 0, NULL, "myplugin_task_queue",
	    "the transient; unset: the section's name", NULL),
	T("lock", OPTION_TEXT, lock, 0, 0, NULL, "myplugin_task_queue_lock",
	    "transient of the plugin's lock; unset: the queue's name and "
	    "_lock",
	    NULL),
	T("hook", OPTION_TEXT, hook, 0, 0, NULL, "myplugin_process_queue",
	    "hook of the plugin's own processor", NULL),
	T("batch", OPTION_COUNT, batch, 1, 500, "10", NULL,
	    "tasks taken at once", NULL),
	T("timeout", OPTION_DURATION, timeout_ms, 100, HOUR, "60s", NULL,
	    "of one task", NULL),
	T("lock_ttl", OPTION_DURATION, lock_ttl_ms, 5 * SECOND, DAY, "60s",
	    NULL, "life of the plugin's lock", NULL),
	T("expired", OPTION_CHOICE, expired, 0, 0, "process", NULL,
	    "tasks whose transient has expired: process or discard",
	    expired_words),
	T("stale", OPTION_CHOICE, stale, 0, 0, "drop", NULL,
	    "tasks at a list's head that were taken from such a list before: "
	    "drop or run",
	    stale_words),
	T("stale_for", OPTION_DURATION, stale_for_ms, 900 * SECOND, DAY, "15m",
	    NULL, "for so long after; not less than PHP may run", NULL),
	T("accept_loss", OPTION_BOOL, accept_loss, 0, 0, "no", NULL,
	    "object cache: drain without the companion plugin, too", NULL),
	T("allow_hosts", OPTION_LIST, allow_hosts, 0, 0, NULL,
	    "hooks.example.org, 10.0.0.5",
	    "webhook: these may be in this machine or its network", NULL),
};
const size_t config_ntasks_options = NELEMS(config_tasks_options);
