#ifndef EXECUTORS_ESP_ESP_BULK_H
#define EXECUTORS_ESP_ESP_BULK_H

#include "base/buf.h"
#include "executors/esp/esp.h"
#include "executors/esp/esp_http.h"

/*
 * Bulk calls that a provider takes and works off later: contacts are cut into
 * requests by count and bytes, each accepted one is handed to on_batch() at
 * once, and one refused as a whole is sent again without those it names, or
 * in halves, until the culprit stands alone. Private to the providers.
 */
#define ESP_BULK_NEVER SIZE_MAX
struct esp_bulk {
	const struct esp_host *host;
	struct esp_contact *contacts;
	void *arg; /* of the functions below */

	/* Send it: the provider sets the headers and looks at refusals that
	 * make the account rest. */
	void (*run)(void *arg, struct esp_call *call, struct arena *a);
	size_t least;     /* fewer contacts are left to single calls */
	size_t most;      /* contacts a request */
	size_t max_bytes; /* of its body */
	int64_t after_s;  /* when to ask for the first time */
	const char *url;
	const char *head, *tail; /* of the body, around the rows */
	/* One contact; rows are joined by commas. */
	void (*row)(void *arg, const struct esp_contact *c, struct buf *out);
	/* The token in an accepted answer; empty: there is none. NULL: an
	 * accepted call is done, there is nothing to ask for later. */
	struct slice (*token)(
	    void *arg, const struct esp_call *call, struct arena *a);
	/* Set the outcome of those whom a refusal names by their place in the
	 * request (members[place] is an index of contacts); how many, or
	 * ESP_BULK_NEVER: single calls for all of these. NULL: the provider
	 * names none. */
	size_t (*refused)(void *arg, const struct esp_call *call,
	    struct esp_contact *contacts, const size_t *members, size_t n,
	    struct arena *a);
	/* The words in an answer. */
	struct slice (*words)(
	    void *arg, const struct esp_call *call, struct arena *a);
};

/*
 * esp_bulk_run - send the n contacts `members` (indices). Those that no bulk
 * call takes but a single one may (too few are left, or refused alone) remain
 * at the front of `members`, *left of them; they are ESP_OPEN. False: the
 * account rests or the budget is used up; nothing more is to be sent, and
 * those not sent are ESP_OPEN.
 */
bool esp_bulk_run(const struct esp_bulk *b, size_t *members, size_t n,
    size_t *left, struct arena *a);

#endif
