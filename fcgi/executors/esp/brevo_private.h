#ifndef EXECUTORS_ESP_BREVO_PRIVATE_H
#define EXECUTORS_ESP_BREVO_PRIVATE_H

#include "executors/esp/esp_http.h"
#include "executors/esp/esp_memory.h"
#include "executors/esp/esp_values.h"

/* What the parts of the provider share: brevo.c. */

enum {
	BREVO_BULK_FROM = 20,
	BREVO_BULK_MOST = 10000,
	BREVO_BULK_BYTES = 8 * 1024 * 1024,
	BREVO_UPDATE_MOST = 100,
	/* /processes is not under /contacts: 100 requests an hour. */
	BREVO_POLL_S = 60,
	BREVO_PAGE = 1000,
};

/* What becomes of a new contact. */
enum brevo_wish {
	BREVO_NO_LIST,
	BREVO_SUBSCRIBED,   /* on the account's list */
	BREVO_UNSUBSCRIBED, /* emailBlacklisted */
};

struct brevo {
	struct esp esp;
	struct esp_account account;
	struct esp_host host;
	struct esp_http *http;
	char *base;                /* https://api.brevo.com/v3 */
	char *auth;                /* api-key: ... */
	bool listed;               /* the account's list is a number */
	bool no_updates;           /* /contacts/batch is not to be had */
	struct esp_memory *memory; /* fields by attribute */
};

/* ---- brevo.c ---- */

void brevo_run(
    struct brevo *b, struct esp_call *calls, size_t n, struct arena *a);
/* The words and the code of a refusal. */
struct slice brevo_words(const struct esp_call *call, struct arena *a);
bool brevo_has_code(const struct esp_call *call, const char *code);
/* A request that all depends on failed: RC_REJECT when it is permanent. */
enum rc brevo_failed(const struct esp_call *call, struct arena *a,
    const char *what, struct err *err);
/* `c` NULL: the account's. */
enum brevo_wish brevo_wish(const struct brevo *b, const struct esp_contact *c);

/* ---- brevo_fields.c ---- */

MUSTUSE enum rc brevo_fields_read(
    struct brevo *b, struct arena *a, struct err *err);
MUSTUSE enum rc brevo_fields_ensure(struct brevo *b,
    const struct esp_contact *contacts, size_t n, struct arena *a,
    struct err *err);
/* {"NP_ACCOUNT":"x",...}; `empty`: empty values too, which clear. A new
 * address, where there is one, is the attribute EMAIL. */
void brevo_put_attributes(struct brevo *b, const struct esp_contact *c,
    bool empty, struct slice new_email, struct buf *out);

/* ---- brevo_import.c ---- */

/*
 * Members whom the account does not know, and who shall be on its list, to the
 * front; how many. *rest: those after them whom it knows; the others stand at
 * the end. *on false: the account rests. Where it cannot be read, and for few,
 * both are 0.
 */
size_t brevo_sort(struct brevo *b, const struct esp_contact *contacts,
    size_t *members, size_t n, size_t *rest, bool *on);
/* As esp_bulk_run(): new contacts. */
bool brevo_import(struct brevo *b, struct esp_contact *contacts,
    size_t *members, size_t n, size_t *left, struct arena *a);
/* As esp_bulk_run(): known ones. */
bool brevo_update(struct brevo *b, struct esp_contact *contacts,
    size_t *members, size_t n, size_t *left, struct arena *a);
enum rc brevo_poll(struct esp *esp, struct slice token,
    struct esp_contact *members, size_t n, int64_t *again_s, struct arena *a,
    struct err *err);

#endif
