#ifndef EXECUTORS_ESP_ESP_HTTP_H
#define EXECUTORS_ESP_ESP_HTTP_H

#include "executors/esp/esp.h"

/*
 * What all providers share: many requests at once within the account's
 * budgets, and what an answer means (esp-apis: common rules). Private to the
 * providers.
 */

struct esp_http;

struct esp_http_opts {
	const struct esp_host *host;
	const struct esp_limits *limits;
	const char *ca_file;
};
MUSTUSE enum rc esp_http_new(
    const struct esp_http_opts *opts, struct esp_http **out, struct err *err);
void esp_http_free(struct esp_http *h); /* NULL is fine */

/* What a status means before the provider looks at the body. */
enum esp_class {
	ESP_CLASS_NONE,      /* not sent: no budget, or the account rests */
	ESP_CLASS_OK,        /* 2xx */
	ESP_CLASS_TRANSIENT, /* 408, 425, 5xx, network; 403 or 5xx in HTML */
	ESP_CLASS_THROTTLED, /* 429: the account rests */
	ESP_CLASS_CONFIG,    /* 401, 403, 3xx: the account rests */
	ESP_CLASS_PERMANENT, /* the other 4xx */
};

/* One request and its answer. Zero, then set what is needed. */
struct esp_call {
	const char *method;         /* "GET" when NULL */
	const char *url;            /* whole */
	const char *const *headers; /* besides User-Agent and Accept */
	size_t nheaders;
	struct slice body;   /* with Content-Type in the headers */
	uint32_t timeout_ms; /* 0: 30 s */
	size_t answer_max;   /* 0: 8 MiB */
	bool bulk;           /* counts in ESP_BUDGET_BULK too */
	bool statuses_mine;  /* 401 and 403 do not make the account rest */
	void *tag;

	enum esp_class class;
	int status;            /* 0: none */
	struct slice answer;   /* the arena's */
	int64_t retry_after_s; /* -1: none */
	struct slice message;  /* what went wrong: curl's or our words */
};

/*
 * esp_http_run - run n requests, as many at once as the account may have open,
 * and return when each has its class. Waits for budget inside; when the
 * account rests (or the host says so) those not sent stay ESP_CLASS_NONE.
 */
void esp_http_run(
    struct esp_http *h, struct esp_call *calls, size_t n, struct arena *a);
/* esp_http_one - the same for one. */
void esp_http_one(struct esp_http *h, struct esp_call *call, struct arena *a);

/*
 * The outcome of a contact by its call's class: OK → ESP_DONE, transient →
 * ESP_RETRY, throttled, config and none → ESP_OPEN, permanent → ESP_REFUSED
 * with `words` (the provider's; cut to 500 bytes) as its message.
 */
void esp_http_settle(struct esp_contact *c, const struct esp_call *call,
    struct slice words, struct arena *a);

/* URL-encode for a path segment or query value; the arena's. */
struct slice esp_urlencode(struct slice s, struct arena *a);

#endif
