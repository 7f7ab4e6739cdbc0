#ifndef EXECUTORS_WEBHOOK_HOSTS_H
#define EXECUTORS_WEBHOOK_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "executors/breaker.h"

/*
 * What is known of every host (scheme, name and port) that webhooks go to:
 * how many requests are under way, and its circuit breaker. Shared by all
 * workers of the process; any thread. Hosts come from routes only and are
 * never forgotten, so that their number is bounded by the configuration.
 */
struct webhook_hosts;
struct webhook_host;

/* `concurrency` requests at once to one host (0: 1). Never NULL. */
struct webhook_hosts *webhook_hosts_new(
    uint32_t concurrency, const struct clock *clock);
/* For what begins from now on. */
void webhook_hosts_set_concurrency(
    struct webhook_hosts *hosts, uint32_t concurrency);
void webhook_hosts_free(struct webhook_hosts *hosts); /* NULL is fine */

enum webhook_admit {
	WEBHOOK_ADMIT, /* a request may begin */
	WEBHOOK_FULL,  /* as many as may are under way, or one probes */
	WEBHOOK_SHUT,  /* the breaker is open, or (admits) a probe is awaited */
};

/*
 * webhook_hosts_admits - is a job for this URL worth claiming? Takes no place,
 * but when the breaker's time is over, only one asker in a second is admitted,
 * so that one job is claimed for the probe and not a batch that may have to
 * go back. With WEBHOOK_SHUT, *retry_after_ms says for how long at least. A
 * URL that cannot be used is admitted: its jobs fail for good when they begin.
 */
enum webhook_admit webhook_hosts_admits(
    struct webhook_hosts *hosts, const char *url, int64_t *retry_after_ms);

/*
 * webhook_hosts_places - how many requests to this URL could begin now; takes
 * none. *shut: the breaker is open. A URL that cannot be used has places: its
 * jobs fail for good when they are begun.
 */
size_t webhook_hosts_places(
    struct webhook_hosts *hosts, const char *url, bool *shut);

/*
 * Jobs that were claimed for a host and have not ended: whoever claims keeps a
 * host that answers slowly from taking every worker. `change` may be negative.
 */
void webhook_hosts_hold(
    struct webhook_hosts *hosts, const char *url, int change);
size_t webhook_hosts_held(struct webhook_hosts *hosts, const char *url);

/* The host of a URL, lent until webhook_hosts_free(). RC_REJECT: not a URL. */
MUSTUSE enum rc webhook_hosts_find(struct webhook_hosts *hosts, const char *url,
    struct webhook_host **out, struct err *err);
/*
 * webhook_hosts_begin - take a place. WEBHOOK_ADMIT: the caller owes a
 * webhook_hosts_end() with the same *probe.
 */
MUSTUSE enum webhook_admit webhook_hosts_begin(struct webhook_hosts *hosts,
    struct webhook_host *host, bool *probe, int64_t *retry_after_ms);
void webhook_hosts_end(struct webhook_hosts *hosts, struct webhook_host *host,
    bool probe, enum breaker_result result);

#endif
