#ifndef EXECUTORS_ESP_CONSTANT_CONTACT_PRIVATE_H
#define EXECUTORS_ESP_CONSTANT_CONTACT_PRIVATE_H

#include "executors/esp/esp_http.h"
#include "executors/esp/esp_memory.h"
#include "executors/esp/esp_values.h"

/* What the parts of the provider share: constant_contact.c. */

enum {
	CONSTANT_CONTACT_BULK_FROM = 5,
	CONSTANT_CONTACT_BULK_MOST = 40000,
	/* Of 4 MB the rest is dropped without a word. */
	CONSTANT_CONTACT_BULK_BYTES = 3500000,
	CONSTANT_CONTACT_POLL_S = 10,
	CONSTANT_CONTACT_PAGE = 500,
	CONSTANT_CONTACT_VALUE_MAX = 255,
	CONSTANT_CONTACT_FIELDS_MAX = 100,    /* of an account */
	CONSTANT_CONTACT_CONTACT_FIELDS = 25, /* of a contact */
	CONSTANT_CONTACT_LABEL_MAX = 50,
	CONSTANT_CONTACT_NAME_MAX = 50,
};

struct constant_contact {
	struct esp esp;
	struct esp_account account;
	struct esp_host host;
	struct esp_http *http;
	char *origin; /* https://api.cc.email */
	char *base;   /* origin + /v3 */
	char *token_url;
	char *client; /* Authorization: Basic ... */
	char *access, *refresh;
	char *bearer; /* Authorization: Bearer ... */
	bool unsaved; /* the tokens are not stored yet */
	bool proven;  /* an answer other than 401 came for this token */
	struct esp_memory *memory; /* fields by label; key: name in imports */
};

/* What becomes of a new contact. */
enum constant_contact_wish {
	CONSTANT_CONTACT_NO_LIST,
	CONSTANT_CONTACT_SUBSCRIBED,
	CONSTANT_CONTACT_UNSUBSCRIBED,
};

/* ---- constant_contact.c ---- */

/* `c` NULL: the account's. */
enum constant_contact_wish constant_contact_wish(
    const struct constant_contact *cc, const struct esp_contact *c);

/* ---- constant_contact_http.c ---- */

/* The URL of the page after this one; NULL: it is the last. */
const char *constant_contact_next(
    const struct constant_contact *cc, const json_t *page, struct arena *a);

/* Run with the access token, renewed when its time is over or once after a
 * 401. Those that no token could be had for are ESP_CLASS_NONE. */
void constant_contact_run(struct constant_contact *cc, struct esp_call *calls,
    size_t n, struct arena *a);
struct slice constant_contact_words(
    const struct esp_call *call, struct arena *a);
enum rc constant_contact_failed(const struct esp_call *call, struct arena *a,
    const char *what, struct err *err);

/* ---- constant_contact_token.c ---- */

/* When a JWT expires (Unix time); INT64_MAX: it does not say. Pure. */
int64_t constant_contact_token_expiry(struct slice token);
/*
 * See that the access token holds for five minutes; with `refused` (the one
 * there is was answered by 401) get another in any case. RC_REJECT: a person
 * must authorise the application anew, the account rests.
 */
MUSTUSE enum rc constant_contact_token(struct constant_contact *cc,
    bool refused, struct arena *a, struct err *err);
/* Use these; NULL: none. */
void constant_contact_token_set(
    struct constant_contact *cc, const char *access, const char *refresh);

/* ---- constant_contact_fields.c ---- */

MUSTUSE enum rc constant_contact_fields_read(
    struct constant_contact *cc, struct arena *a, struct err *err);
MUSTUSE enum rc constant_contact_fields_ensure(struct constant_contact *cc,
    const struct esp_contact *contacts, size_t n, struct arena *a,
    struct err *err);
/* The custom field of one of a contact's fields and its value as it is sent;
 * NULL: it is not. Called in order; *used counts. */
const struct esp_fields_row *constant_contact_field(
    const struct constant_contact *cc, const struct esp_field *f, size_t *used,
    struct slice *value);

/* ---- constant_contact_import.c ---- */

/* As brevo_sort(). */
size_t constant_contact_sort(struct constant_contact *cc,
    const struct esp_contact *contacts, size_t *members, size_t n, bool *on);
/* As esp_bulk_run(). */
bool constant_contact_import(struct constant_contact *cc,
    struct esp_contact *contacts, size_t *members, size_t n, size_t *left,
    struct arena *a);
enum rc constant_contact_poll(struct esp *esp, struct slice token,
    struct esp_contact *members, size_t n, int64_t *again_s, struct arena *a,
    struct err *err);

#endif
