#ifndef EXECUTORS_ESP_MAILCHIMP_PRIVATE_H
#define EXECUTORS_ESP_MAILCHIMP_PRIVATE_H

#include "base/buf.h"
#include "executors/esp/esp_fields.h"
#include "executors/esp/esp_http.h"
#include "executors/esp/esp_values.h"

/* What the parts of the provider share: mailchimp.c. */

enum {
	/* From so many on a batch; fewer are sent singly and settled at once,
	 * a batch takes Mailchimp minutes. */
	MAILCHIMP_BATCH_FROM = 20,
	MAILCHIMP_BATCH_MOST = 1000,
	/* Mailchimp refuses more than 10 MB. */
	MAILCHIMP_BATCH_BYTES = 7 * 1024 * 1024,
	MAILCHIMP_TEXT_MAX = 255,
	MAILCHIMP_HASH_LEN = 32,
	/* "signed up to a lot of lists very recently". */
	MAILCHIMP_BUSY_S = 3600,
};

struct mailchimp {
	struct esp esp;
	struct esp_account account;
	struct esp_host host;
	struct esp_http *http;
	char *base;             /* https://us21.api.mailchimp.com/3.0 */
	char *auth;             /* Authorization: Basic ... */
	char *list;             /* percent-encoded */
	const char *headers[2]; /* auth, and the type of a body */
	bool stopped_by_config; /* in this call */
	/* name: the merge field's, id: its tag, kind: its type */
	struct esp_fields fields;
};

/* ---- mailchimp.c: requests ---- */

/* A status that new contacts may be given. */
bool mailchimp_is_status(struct slice status);
/* `call` (NULL: an operation of a batch) says what is wrong for all contacts:
 * the account rests, if its status has not made it. */
void mailchimp_config(struct mailchimp *m, const struct esp_call *call,
    struct slice why, struct arena *a);
/* With the headers of a request to the API. */
struct esp_call mailchimp_call(
    const struct mailchimp *m, const char *method, const char *url);
/* A request that all depends on failed: the rc of the whole push or pull. */
enum rc mailchimp_failed(struct mailchimp *m, const struct esp_call *call,
    struct arena *a, const char *what, struct err *err);
/* Where the member of an address is, whatever its case. */
void mailchimp_hash(struct slice email, char out[MAILCHIMP_HASH_LEN + 1]);

/* ---- mailchimp_fields.c ---- */

/* Read the merge fields unless they are fresh. */
MUSTUSE enum rc mailchimp_fields_read(
    struct mailchimp *m, struct arena *a, struct err *err);
/* Read, and make those that the contacts need and the audience lacks. */
MUSTUSE enum rc mailchimp_fields_ensure(struct mailchimp *m,
    const struct esp_contact *contacts, size_t n, struct arena *a,
    struct err *err);
/* Tags that are left out of a body: those that Mailchimp refused. */
struct mailchimp_without {
	struct slice tags[16];
	size_t n;
};
/* The body of a PUT of a member. `without` may be NULL. */
void mailchimp_put_member(const struct mailchimp *m,
    const struct esp_contact *c, const struct mailchimp_without *without,
    struct buf *out);

/* ---- mailchimp_errors.c ---- */

/* What an answer, of a call or of an operation in a batch, says about its
 * member. */
struct mailchimp_verdict {
	enum esp_outcome outcome;
	struct slice words;
	int64_t retry_after_s;
	bool config;        /* key, account or audience: nothing will work */
	bool known_already; /* another member has this address */
	struct mailchimp_without refused; /* merge fields by tag */
};
/* Of a status and a body; fields tell tags from other names. The words are
 * the arena's. */
void mailchimp_judge(int status, struct slice body,
    const struct esp_fields *fields, struct arena *a,
    struct mailchimp_verdict *out);
/* Of a call that is not OK, whatever its class. */
void mailchimp_judge_call(const struct mailchimp *m,
    const struct esp_call *call, struct arena *a,
    struct mailchimp_verdict *out);

/* ---- mailchimp_batch.c ---- */

/* Hand over the n contacts `members` (indices). Those whose turn does not
 * come stay ESP_OPEN. */
void mailchimp_batch_push(struct mailchimp *m, struct esp_contact *contacts,
    const size_t *members, size_t n, struct arena *a);
enum rc mailchimp_poll(struct esp *esp, struct slice token,
    struct esp_contact *members, size_t n, int64_t *again_s, struct arena *a,
    struct err *err);

#endif
