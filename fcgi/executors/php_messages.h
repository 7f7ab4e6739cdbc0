#ifndef EXECUTORS_PHP_MESSAGES_H
#define EXECUTORS_PHP_MESSAGES_H

#include "base/arena.h"
#include "executors/php_list.h"

/*
 * Event Espresso's work on messages, done by its own classes in PHP
 * (php/messages.php). Everything runs in a boot of its own, never beside other
 * jobs. The plugin's own routines take and release the plugin's locks.
 */

struct php_message {
	uint64_t id; /* MSG_ID */
	/* send: whose mail it is in the outbox, "message:5:1"; "": PHP's own
	 * transport sends it. */
	struct slice mail;
	/* generate: SQL that PHP runs when it is generated and its row is gone,
	 * but nobody hears it any more; "": none. */
	struct slice done;

	bool answered;
	bool ok;     /* generate: it is MIC no more; send: MSN */
	bool begun;  /* PHP began with it, whatever came of it */
	bool locked; /* the plugin's lock was taken: nothing was done */
	/* STS_ID after it; "": the row is gone; generate, not ok: and only some
	 * of what it was to become is saved. */
	struct slice status;
	struct slice message; /* !ok, or MFL, MDO: why */
	unsigned mails;       /* send: how many the outbox has of it */
	bool kick;            /* the plugin wanted a batch of sending at once */
};
/*
 * Begun and not answered: PHP ended under it, and `message` says how. Nothing
 * is asked for twice: the rows say what became of it, and the plugin's lock
 * may have stayed behind, to expire within PHP_MESSAGES_LOCK_S or twice the
 * call's time, whichever is later.
 */
#define PHP_MESSAGES_LOCK_S 900

/*
 * generate - one MIC row after the other, through the plugin's generator for
 * just these ids; high ones first is the caller's order. send - the plugin's
 * "send now" of just these ids, in this order; the row's new status is the
 * plugin's own. RC_REJECT: the plugin is not active, is in maintenance mode,
 * or does messages in the request that makes them.
 */
struct php_messages_opts {
	uint32_t timeout_ms; /* of all */
	/* Message i is answered: at once, each. NULL: nobody wants to know. */
	void (*ended)(void *arg, size_t i);
	/* As php_list's; each may be NULL. */
	void (*tick)(void *arg);
	bool (*give_up)(void *arg);
	bool *goes_on;
	void *arg;
};
MUSTUSE enum rc php_messages_generate(const struct php_executor_opts *opts,
    const struct php_messages_opts *o, struct php_message *m, size_t n,
    struct arena *a, struct err *err);
MUSTUSE enum rc php_messages_send(const struct php_executor_opts *opts,
    const struct php_messages_opts *o, struct php_message *m, size_t n,
    struct arena *a, struct err *err);
/* do_action( 'wp_mail_failed', WP_Error ) for mails of any job that the relay
 * refused; with the reason as `message`. By php/mail.php. RC_RETRY: those not
 * begun have to be told still. RC_REJECT: a listener failed. */
struct php_mail_failure {
	struct slice job;                 /* "action:12" */
	struct slice subject, reason, to; /* to: JSON list */
	bool begun; /* set here: listeners have heard of it, or some */
};
MUSTUSE enum rc php_messages_failed(const struct php_executor_opts *opts,
    struct php_mail_failure *f, size_t n, uint32_t timeout_ms, struct err *err);
/*
 * What only PHP knows: JSON {version, same_request: bool, same_request_filter,
 * maintenance: 0|1|2, batch, rate: {default, window_s}, interval_s,
 * lock_expiry_s, installed: [[messenger, type]], use_wp_cron: bool,
 * lock_format: "option"|"transient", stati: {generate: [], send: [],
 * sent: [], failed: []}}; the caller's to free(). RC_REJECT: the plugin is
 * not active.
 */
MUSTUSE enum rc php_messages_describe(const struct php_executor_opts *opts,
    uint32_t timeout_ms, char **json, struct err *err);
/* Options where an object cache stands between: value NULL: delete. Autoload
 * no. As php_contacts_options(). */
struct php_plain_option {
	struct slice name;
	struct slice value; /* PHP-serialized or a scalar, as stored */
	bool remove;
};
MUSTUSE enum rc php_messages_options(const struct php_executor_opts *opts,
    const struct php_plain_option *o, size_t n, uint32_t timeout_ms,
    struct err *err);

#endif
