#include "executors/webhook_hosts.h"

#include "base/xalloc.h"
#include "wire/http.h"

#include <pthread.h>

/* How long an admitted asker has to come back with its probe. */
#define PROMISE_MS 1000

struct webhook_host {
	struct webhook_host *next;
	char origin[HTTP_ORIGIN_MAX];
	uint32_t running;
	size_t held;
	struct breaker breaker;
	mono_ms promised_until; /* somebody claims a job for the probe */
};

struct webhook_hosts {
	const struct clock *clock;
	pthread_mutex_t lock; /* guards what is below, and every host */
	uint32_t concurrency;
	struct webhook_host *first;
};

struct webhook_hosts *
webhook_hosts_new(uint32_t concurrency, const struct clock *clock)
{
	struct webhook_hosts *hosts = xcalloc(1, sizeof *hosts);

	hosts->clock = clock ? clock : &clock_system;
	hosts->concurrency = concurrency ? concurrency : 1;
	pthread_mutex_init(&hosts->lock, NULL);
	return hosts;
}

void
webhook_hosts_set_concurrency(struct webhook_hosts *hosts, uint32_t concurrency)
{
	pthread_mutex_lock(&hosts->lock);
	hosts->concurrency = concurrency ? concurrency : 1;
	pthread_mutex_unlock(&hosts->lock);
}

void
webhook_hosts_free(struct webhook_hosts *hosts)
{
	struct webhook_host *host;

	if (!hosts)
		return;
	while ((host = hosts->first) != NULL) {
		hosts->first = host->next;
		free(host);
	}
	pthread_mutex_destroy(&hosts->lock);
	free(hosts);
}

static struct webhook_host *
find_locked(struct webhook_hosts *hosts, const char *origin)
{
	struct webhook_host *host;

	for (host = hosts->first; host; host = host->next)
		if (strcmp(host->origin, origin) == 0)
			return host;
	host = xcalloc(1, sizeof *host);
	memcpy(host->origin, origin, strlen(origin) + 1);
	host->next = hosts->first;
	hosts->first = host;
	return host;
}

enum rc
webhook_hosts_find(struct webhook_hosts *hosts, const char *url,
    struct webhook_host **out, struct err *err)
{
	char origin[HTTP_ORIGIN_MAX];
	enum rc rc = http_origin(url, origin, err);

	if (rc != RC_OK)
		return rc;
	pthread_mutex_lock(&hosts->lock);
	*out = find_locked(hosts, origin);
	pthread_mutex_unlock(&hosts->lock);
	return RC_OK;
}

static enum webhook_admit
ask_locked(const struct webhook_hosts *hosts, const struct webhook_host *host,
    mono_ms now, int64_t *retry_after_ms)
{
	switch (breaker_ask(&host->breaker, now)) {
	case BREAKER_STOP:
		*retry_after_ms = host->breaker.open_until - now;
		return WEBHOOK_SHUT;
	case BREAKER_WAIT:
		return WEBHOOK_FULL;
	case BREAKER_GO:
	case BREAKER_PROBE:
		break;
	}
	return host->running < hosts->concurrency ? WEBHOOK_ADMIT
						  : WEBHOOK_FULL;
}

static enum webhook_admit
admit_locked(const struct webhook_hosts *hosts, struct webhook_host *host,
    mono_ms now, int64_t *retry_after_ms)
{
	switch (breaker_ask(&host->breaker, now)) {
	case BREAKER_GO:
	case BREAKER_STOP:
		break;
	case BREAKER_WAIT:
		*retry_after_ms = PROMISE_MS;
		return WEBHOOK_SHUT;
	case BREAKER_PROBE:
		if (now < host->promised_until) {
			*retry_after_ms = host->promised_until - now;
			return WEBHOOK_SHUT;
		}
		host->promised_until = now + PROMISE_MS;
		break;
	}
	return ask_locked(hosts, host, now, retry_after_ms);
}

enum webhook_admit
webhook_hosts_admits(
    struct webhook_hosts *hosts, const char *url, int64_t *retry_after_ms)
{
	struct webhook_host *host;
	enum webhook_admit admit;
	mono_ms now = clock_mono(hosts->clock);

	*retry_after_ms = 0;
	if (webhook_hosts_find(hosts, url, &host, NULL) != RC_OK)
		return WEBHOOK_ADMIT;
	pthread_mutex_lock(&hosts->lock);
	admit = admit_locked(hosts, host, now, retry_after_ms);
	pthread_mutex_unlock(&hosts->lock);
	return admit;
}

static size_t
places_locked(const struct webhook_hosts *hosts,
    const struct webhook_host *host, mono_ms now, bool *shut)
{
	size_t left = host->running < hosts->concurrency
			  ? hosts->concurrency - host->running
			  : 0;

	switch (breaker_ask(&host->breaker, now)) {
	case BREAKER_GO:
		return left;
	case BREAKER_PROBE:
		return left > 0 ? 1 : 0;
	case BREAKER_WAIT:
		return 0;
	case BREAKER_STOP:
		break;
	}
	*shut = true;
	return 0;
}

size_t
webhook_hosts_places(struct webhook_hosts *hosts, const char *url, bool *shut)
{
	struct webhook_host *host;
	size_t n;

	*shut = false;
	if (webhook_hosts_find(hosts, url, &host, NULL) != RC_OK)
		return SIZE_MAX;
	pthread_mutex_lock(&hosts->lock);
	n = places_locked(hosts, host, clock_mono(hosts->clock), shut);
	pthread_mutex_unlock(&hosts->lock);
	return n;
}

void
webhook_hosts_hold(struct webhook_hosts *hosts, const char *url, int change)
{
	struct webhook_host *host;

	if (webhook_hosts_find(hosts, url, &host, NULL) != RC_OK)
		return;
	pthread_mutex_lock(&hosts->lock);
	host->held += (size_t)change;
	pthread_mutex_unlock(&hosts->lock);
}

size_t
webhook_hosts_held(struct webhook_hosts *hosts, const char *url)
{
	struct webhook_host *host;
	size_t n;

	if (webhook_hosts_find(hosts, url, &host, NULL) != RC_OK)
		return 0;
	pthread_mutex_lock(&hosts->lock);
	n = host->held;
	pthread_mutex_unlock(&hosts->lock);
	return n;
}

enum webhook_admit
webhook_hosts_begin(struct webhook_hosts *hosts, struct webhook_host *host,
    bool *probe, int64_t *retry_after_ms)
{
	mono_ms now = clock_mono(hosts->clock);
	enum webhook_admit admit;

	*probe = false;
	*retry_after_ms = 0;
	pthread_mutex_lock(&hosts->lock);
	admit = ask_locked(hosts, host, now, retry_after_ms);
	if (admit == WEBHOOK_ADMIT) {
		*probe = breaker_begin(&host->breaker, now) == BREAKER_PROBE;
		host->running++;
	}
	pthread_mutex_unlock(&hosts->lock);
	return admit;
}

void
webhook_hosts_end(struct webhook_hosts *hosts, struct webhook_host *host,
    bool probe, enum breaker_result result)
{
	mono_ms now = clock_mono(hosts->clock);

	pthread_mutex_lock(&hosts->lock);
	host->running--;
	breaker_end(&host->breaker, now, probe, result);
	pthread_mutex_unlock(&hosts->lock);
}
