#ifndef EXECUTORS_WEBHOOK_H
#define EXECUTORS_WEBHOOK_H

#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "executors/executor.h"
#include "executors/webhook_body.h"
#include "executors/webhook_hosts.h"

/*
 * Sends each job as an HTTP POST to its route's target.
 *
 * 2xx is done. 408, 425, 429 and 5xx are tried again, not before Retry-After
 * (at most a day); any other status fails for good with the receiver's words.
 * Without an answer: tried again, `unsent` if no byte of the request was
 * written. While a host's breaker is open its jobs end as RETRY, unsent.
 *
 * A job waits here while its host has as many requests under way as it may;
 * its timeout begins when it is sent.
 */

/* The site of a job; called on the executor's thread while it prepares the
 * request. What comes back is lent until the next call; never NULL. */
typedef const struct webhook_site *webhook_site_fn(
    void *arg, const struct job *job);

struct webhook_opts {
	struct webhook_hosts *hosts; /* shared, outlives the executor */
	webhook_site_fn *site;
	void *arg;
	const struct clock *clock;   /* NULL: clock_system */
	uint32_t max_concurrency;    /* jobs at once here; 0: 25 */
	uint32_t connect_timeout_ms; /* 0: 5000; never over the job's timeout */
	const char *proxy;           /* NULL: none */
	const char *ca_file;         /* NULL: the system's */
};

/* RC_FATAL: no memory. The caller ends it with ops->free(). */
MUSTUSE enum rc webhook_new(
    const struct webhook_opts *opts, struct executor **out, struct err *err);

#endif
