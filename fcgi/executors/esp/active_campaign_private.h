#ifndef EXECUTORS_ESP_ACTIVE_CAMPAIGN_PRIVATE_H
#define EXECUTORS_ESP_ACTIVE_CAMPAIGN_PRIVATE_H

#include "executors/esp/esp_http.h"
#include "executors/esp/esp_memory.h"
#include "executors/esp/esp_values.h"

/* What the parts of the provider share: active_campaign.c. */

enum {
	/* "Not designed for ten or fewer." */
	ACTIVE_CAMPAIGN_BULK_FROM = 11,
	ACTIVE_CAMPAIGN_BULK_MOST = 250,
	/* 400,000 are refused. */
	ACTIVE_CAMPAIGN_BULK_BYTES = 350000,
	ACTIVE_CAMPAIGN_PAGE = 100,
	ACTIVE_CAMPAIGN_POLL_S = 10,
};

/* What a new contact's relation to the account's list shall be. */
enum active_campaign_wish {
	ACTIVE_CAMPAIGN_NO_LIST = 0,
	ACTIVE_CAMPAIGN_SUBSCRIBED = 1, /* the list status of that number */
	ACTIVE_CAMPAIGN_UNSUBSCRIBED = 2,
};

struct active_campaign {
	struct esp esp;
	struct esp_account account;
	struct esp_host host;
	struct esp_http *http;
	char *base;                /* https://account.api-us1.com/api/3 */
	char *auth;                /* Api-Token: ... */
	struct esp_memory *memory; /* fields by perstag */
};

/* ---- active_campaign.c: requests ---- */

/* base + path, the arena's. */
const char *active_campaign_url(const struct active_campaign *ac,
    struct arena *a, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Run with the headers; 402 makes the account rest. */
void active_campaign_run(struct active_campaign *ac, struct esp_call *calls,
    size_t n, struct arena *a);
/* The words of a refusal. */
struct slice active_campaign_words(
    const struct esp_call *call, struct arena *a);
/* A request that all depends on failed: RC_REJECT when it is permanent. */
enum rc active_campaign_failed(const struct esp_call *call, struct arena *a,
    const char *what, struct err *err);
/* For new contacts; `c` NULL: the account's. */
enum active_campaign_wish active_campaign_wish(
    const struct active_campaign *ac, const struct esp_contact *c);

/* ---- active_campaign_fields.c ---- */

/* Read them unless they are fresh. */
MUSTUSE enum rc active_campaign_fields_read(
    struct active_campaign *ac, struct arena *a, struct err *err);
/* Read, and make those that the contacts need and the account lacks. */
MUSTUSE enum rc active_campaign_fields_ensure(struct active_campaign *ac,
    const struct esp_contact *contacts, size_t n, struct arena *a,
    struct err *err);
/* [{"field":"12","value":"x"},...], or with `bulk` [{"id":12,...}]. */
void active_campaign_put_fields(struct active_campaign *ac,
    const struct esp_contact *c, bool bulk, struct buf *out);

/* ---- active_campaign_bulk.c ---- */

/* As esp_bulk_run(). */
bool active_campaign_import(struct active_campaign *ac,
    struct esp_contact *contacts, size_t *members, size_t n, size_t *left,
    struct arena *a);
enum rc active_campaign_poll(struct esp *esp, struct slice token,
    struct esp_contact *members, size_t n, int64_t *again_s, struct arena *a,
    struct err *err);

/* ---- active_campaign_lists.c ---- */

#define ACTIVE_CAMPAIGN_LISTS "lists:"
/*
 * Put contacts that are new on the account's list, by their ids, unless they
 * have a relation to it already (with `look`). False: not all could be asked;
 * again later.
 */
bool active_campaign_list_new(struct active_campaign *ac,
    const struct slice *ids, size_t n, enum active_campaign_wish wish,
    bool look, struct arena *a);
/* The list step of contacts that exist but are not on the list yet is handed
 * over as a bulk call of our own. */
void active_campaign_list_later(struct active_campaign *ac,
    struct esp_contact *contacts, const size_t *members,
    const struct slice *ids, size_t n, enum active_campaign_wish wish,
    struct arena *a);
/* Likewise for those that an import made: `ids` from its success[]. */
bool active_campaign_list_imported(struct active_campaign *ac,
    const struct slice *ids, size_t nids, const struct esp_contact *members,
    size_t n, struct arena *a);

#endif
