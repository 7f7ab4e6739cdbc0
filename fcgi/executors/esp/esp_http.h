#ifndef EXECUTORS_ESP_ESP_HTTP_H
#define EXECUTORS_ESP_ESP_HTTP_H

#include "executors/esp/esp.h"

/*
 * What all providers share: many requests at once within the account's
 * budgets, and what an answer means. Private to the
 * providers.
 */

struct esp_http;

struct esp_http_opts {
	const struct esp_host *host;
	const struct esp_limits *limits;
	const char *ca_file;
	bool public_only; /* no addresses but those of the Internet */
};
MUSTUSE enum rc esp_http_new(
    const struct esp_http_opts *opts, struct esp_http **out, struct err *err);
void esp_http_free(struct esp_http *h); /* NULL is fine */

/* What a status means before the provider looks at the body. */
enum esp_class {
	ESP_CLASS_NONE,      /* not sent: no budget, or the account rests */
	ESP_CLASS_OK,        /* 2xx */
	ESP_CLASS_TRANSIENT, /* 408, 425, 5xx, network; 403 in HTML; an answer
				that is cut off */
	ESP_CLASS_THROTTLED, /* 429, and 503 that names a time: the account
				rests */
	ESP_CLASS_CONFIG, /* 401, 403, 3xx, no such host: the account rests */
	ESP_CLASS_PERMANENT, /* the other 4xx */
};

/* One request and its answer. Zero, then set what is needed; what is lent
 * must stay until the call is over. */
struct esp_call {
	const char *method;         /* "GET" when NULL */
	const char *url;            /* whole */
	const char *const *headers; /* besides User-Agent and Accept */
	size_t nheaders;
	struct slice body;   /* with Content-Type in the headers */
	uint32_t timeout_ms; /* 0: 30 s, bulk 120 s */
	size_t answer_max;   /* 0: 8 MiB */
	bool bulk;           /* counts in ESP_BUDGET_BULK too */
	/* It must not arrive twice: what a lost connection may have carried
	 * is not sent again. Bulk calls never are. */
	bool once;
	bool statuses_mine; /* 401, 403 and 3xx do not make the account rest */
	/* Name of a header of the answer that says in seconds how long a 429
	 * without Retry-After rests (Brevo: x-sib-ratelimit-reset); or NULL. */
	const char *reset_header;
	void *tag;
	/* Called as soon as the call has its class, on the calling thread;
	 * may call esp_http_rest(), never esp_http_run(). NULL: not called. */
	void (*done)(void *arg, struct esp_call *call);
	void *arg;

	enum esp_class class;
	int status;            /* 0: none */
	struct slice answer;   /* the arena's */
	int64_t retry_after_s; /* -1: none */
	struct slice message;  /* what went wrong: curl's or our words */
	struct slice head;     /* the answer's headers, for http_head_find() */
};

/*
 * esp_http_run - run n requests, as many at once as the account may have open,
 * and return when each has its class. Waits for budget inside; when the
 * account rests (or the host says so, or asks to wait for more than a minute)
 * those not sent stay ESP_CLASS_NONE. The same for the next run: the host's
 * take() says RC_NONE then.
 */
void esp_http_run(
    struct esp_http *h, struct esp_call *calls, size_t n, struct arena *a);
/* esp_http_one - the same for one. */
void esp_http_one(struct esp_http *h, struct esp_call *call, struct arena *a);

/* After this answer no request more is sent in this call of the provider. */
static inline bool
esp_http_over(const struct esp_call *call)
{
	return call->class == ESP_CLASS_NONE ||
	       call->class == ESP_CLASS_THROTTLED ||
	       call->class == ESP_CLASS_CONFIG;
}

/* What no status says makes the account rest: no such list, ... */
void esp_http_rest(
    struct esp_http *h, bool config, int64_t after_s, const char *why);
/*
 * The outcome of a contact by its call's class: OK → ESP_DONE, transient →
 * ESP_RETRY, throttled, config and none → ESP_OPEN, permanent → ESP_REFUSED
 * with `words` (the provider's; cut to 500 bytes) as its message.
 */
void esp_http_settle(struct esp_contact *c, const struct esp_call *call,
    struct slice words, struct arena *a);

/* A provider's words as a message: one line, cut to 500 bytes, addresses
 * masked; the arena's. */
struct slice esp_words(struct slice words, struct arena *a);
/* What every push and pull begins with: nothing has happened yet. A contact
 * whose address cannot be one is ESP_REFUSED. */
void esp_contacts_begin(struct esp_contact *contacts, size_t n);
/* "x@y.z", at most 254 bytes, of what an address has in practice. */
bool esp_email_ok(struct slice email);
/* "Authorization: Basic ..."; free(). */
char *esp_basic_auth(const char *user, const char *password);
/* printf into the arena; "" without room. */
char *esp_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* URL-encode for a path segment or query value; the arena's. */
struct slice esp_urlencode(struct slice s, struct arena *a);

#endif
