#ifndef EXECUTORS_TASK_WEBHOOK_H
#define EXECUTORS_TASK_WEBHOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * Tasks of a transient queue that are an HTTP call: what wp_remote_post() or
 * wp_remote_request() would send of their payload, an array with
 *   url      http or https
 *   body     array: a form; text: as it is; absent: an empty form
 *   method   POST unless it says otherwise; GET puts the body into the query
 *   headers  name => value, or lines "Name: value"
 *   timeout  seconds, 15 unless it says otherwise
 * Redirects are followed, five at most: 303, and 302, with GET, others as it
 * was. Certificates are verified. The URL comes from the database: addresses
 * of this machine and its networks are refused, wherever a name or a redirect
 * leads, except hosts that are allowed by name ("host", "host:port").
 */
struct task_webhook;

struct task_webhook_opts {
	const struct config_list *allow_hosts; /* lent; NULL: none */
	const struct clock *clock;             /* NULL: clock_system */
	const char *ca_file;                   /* NULL: the system's */
};
/* Freed by task_webhook_free(), which NULL is fine for. One thread's. */
struct task_webhook *task_webhook_new(const struct task_webhook_opts *opts);
void task_webhook_free(struct task_webhook *w);

struct task_call {
	struct slice payload; /* PHP-serialized */
	struct slice key;     /* Idempotency-Key; "": none */
	uint32_t timeout_ms;  /* at most, redirects included */
	/* Called about every half second of waiting; may be NULL. */
	void (*tick)(void *arg);
	/* Asked as often: shall it be given up? NULL: no. */
	bool (*give_up)(void *arg);
	void *arg;
};
/*
 * task_webhook_send - blocks until it is answered or its time is over. RC_OK:
 * status 200 to 299. RC_RETRY: another one, or none. RC_REJECT: it never can
 * be sent as it is. The words hold no part of the payload but the host.
 */
MUSTUSE enum rc task_webhook_send(
    struct task_webhook *w, const struct task_call *c, struct err *err);

#endif
