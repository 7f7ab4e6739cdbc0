#ifndef EXECUTORS_ESP_ESP_H
#define EXECUTORS_ESP_ESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"
#include "wire/http.h"

/*
 * Email service providers behind one interface: push many, pull many, poll,
 * test. A provider knows its protocol and nothing of tables. Calls block until
 * every contact has its outcome; one struct esp is used by one thread at a
 * time.
 *
 * Consent: a push is a data sync. For a contact that the provider knows no
 * status, list re-activation, opt-in or resubscribe is ever sent; a new one
 * gets `status_if_new`. Who unsubscribed stays unsubscribed.
 */

/* What became of one contact. */
enum esp_outcome {
	ESP_OPEN,    /* not dealt with (yet): the call ended before its turn */
	ESP_DONE,    /* the provider has it, or answered */
	ESP_PENDING, /* in a bulk call that was handed to on_batch() */
	ESP_RETRY,   /* may succeed later with the same payload */
	ESP_REFUSED, /* never with this payload: invalid, ... */
	ESP_BARRED,  /* never with this address: unsubscribed, cleaned, in
			compliance state, deleted for good */
};

/* A label and its value as text; pulled: a key and its value as JSON. */
struct esp_field {
	struct slice name;
	struct slice value;
	bool number; /* push: it was a JSON number */
};

/* One contact. Text is lent by whoever made it; what a call adds (message,
 * pulled) lies in the call's arena. */
struct esp_contact {
	uint64_t user_id;
	struct slice email;
	struct slice previous_email; /* the address changed; "" */
	struct slice name;           /* display name */
	struct slice status_if_new;  /* "": the account's */
	struct slice id; /* of this change, for receivers that deduplicate */
	const struct esp_field *fields;
	size_t nfields;

	enum esp_outcome outcome;
	bool strange;         /* pull: the provider does not know the address */
	struct slice message; /* the provider's words, no address in them */
	int64_t retry_after_s; /* ESP_RETRY: as it asked; -1: it did not */
	struct esp_field *pulled;
	size_t npulled;
};

/* Whose account, from the configuration or Newspack's options; lent for the
 * life of the instance. NULL: not set. */
struct esp_account {
	const char *api;           /* base URL; NULL: the provider's own */
	const char *key;           /* API key; Constant Contact: client id */
	const char *secret;        /* client secret; webhook: whsec_... */
	const char *access_token;  /* Constant Contact */
	const char *refresh_token; /* Constant Contact */
	const char *list;          /* audience or list that contacts are on */
	const char *status_if_new; /* NULL: as the provider's file says */
	const char *prefix;        /* "NP_" */
	bool create_fields;        /* make fields that the account lacks */
	bool loopback; /* webhook: addresses of this machine are allowed */
	const char *ca_file; /* PEM; NULL: the system's */
};

/* Which of an account's allowances a request uses. */
enum esp_budget {
	ESP_BUDGET_CALL,  /* every request */
	ESP_BUDGET_BULK,  /* bulk submissions, where they are counted apart */
	ESP_BUDGET_DAILY, /* every request, over a day */
};
#define ESP_NBUDGETS 3

/* What the provider allows an account; count 0: no such limit. */
struct esp_limits {
	struct {
		uint32_t count, per_s;
	} budget[ESP_NBUDGETS];
	uint32_t connections; /* at once; 0: 4 */
};

struct esp;

/*
 * What was learnt of accounts and took many requests: their fields, and whom
 * they have. It outlives the instances of a provider, which live for one
 * batch. Any thread; freed after the last instance.
 */
struct esp_memories;
struct esp_memories *esp_memories_new(void);        /* never NULL */
void esp_memories_free(struct esp_memories *owner); /* NULL is fine */

/* What a provider asks of its owner; all on the calling thread. */
struct esp_host {
	const struct clock *clock;
	struct esp_memories *memories; /* NULL: nothing is remembered */
	void *arg;
	/*
	 * May one more request be sent? RC_OK: yes, counted; RC_RETRY: not
	 * before *wait_ms; RC_NONE: not at all in this call (the account
	 * rests, or the program stops). NULL: always.
	 */
	enum rc (*take)(void *arg, enum esp_budget which, int64_t *wait_ms);
	/* How many connections may be open now (at least 1); NULL: all. */
	uint32_t (*connections)(void *arg, uint32_t most);
	/* The account rests: 429 or 503 asked for it (after_s -1: for no
	 * certain time), or `config` (401, 403: wrong key, disabled). take()
	 * says RC_NONE from now on. */
	void (*rest)(void *arg, bool config, int64_t after_s, const char *why);
	/*
	 * A bulk call was accepted: `token` asks again, not before after_s.
	 * Members are indices into the call's contacts; their outcome is
	 * ESP_PENDING once this returns RC_OK. It is durable before it
	 * returns. Another rc: they stay ESP_RETRY.
	 */
	enum rc (*on_batch)(void *arg, struct slice token,
	    const size_t *members, size_t n, int64_t after_s, struct err *err);
	/*
	 * Constant Contact: access to the tokens that PHP shares. read: those
	 * stored now, under a lease until write or release; write: both new
	 * ones at once, durable before it returns.
	 */
	enum rc (*tokens_read)(void *arg, struct arena *a, const char **access,
	    const char **refresh, struct err *err);
	enum rc (*tokens_write)(void *arg, const char *access,
	    const char *refresh, struct err *err);
	void (*tokens_release)(void *arg);
};

struct esp_ops {
	const char *name; /* "mailchimp" */
	struct esp_limits limits;
	/*
	 * push - hand over n contacts, of whom no two have one address in
	 * lower case. Sets each one's outcome. RC_RETRY, RC_REJECT: nothing
	 * more could be done, with the words; outcomes set before hold.
	 */
	enum rc (*push)(struct esp *, struct esp_contact *contacts, size_t n,
	    struct arena *, struct err *err);
	/*
	 * pull - what the provider has of n contacts, of its fields those
	 * named in `keys` (Mailchimp: merge tag, ActiveCampaign: perstag,
	 * Constant Contact: label, Brevo: attribute). NULL: it cannot.
	 */
	enum rc (*pull)(struct esp *, struct esp_contact *contacts, size_t n,
	    const struct slice *keys, size_t nkeys, struct arena *,
	    struct err *err);
	/*
	 * poll - what became of a bulk call, whose members are given in the
	 * order of on_batch() (with their payload where it could be built
	 * anew; else with their address alone). Members left ESP_PENDING: ask
	 * again, not before *again_s. RC_NONE: the provider knows no such
	 * batch. ESP_RETRY without words: send it singly. NULL: it has none.
	 */
	enum rc (*poll)(struct esp *, struct slice token,
	    struct esp_contact *members, size_t n, int64_t *again_s,
	    struct arena *, struct err *err);
	/* test - do key and list work? One or two requests that change
	 * nothing. *words (the arena's) says what was found. */
	enum rc (*test)(
	    struct esp *, struct arena *, struct slice *words, struct err *err);
	/* fields - the account's fields: name is what push matches, value is
	 * what pull takes. NULL: it has none. */
	enum rc (*fields)(struct esp *, struct arena *, struct esp_field **out,
	    size_t *n, struct err *err);
	void (*free)(struct esp *);
};

/* First member of every provider. */
struct esp {
	const struct esp_ops *ops;
};

/* RC_REJECT: something the provider needs is not set; the words name the
 * setting. Strings of `account` are lent; `host` is copied. */
typedef enum rc esp_new_fn(const struct esp_account *account,
    const struct esp_host *host, struct esp **out, struct err *err);

esp_new_fn esp_mailchimp_new, esp_active_campaign_new, esp_constant_contact_new,
    esp_brevo_new, esp_webhook_new;

/* By name, as the configuration has it: "mailchimp", "active_campaign",
 * "constant_contact", "brevo", "webhook"; NULL: none of that name. */
esp_new_fn *esp_provider(const char *name);

/* "a***@example.org", for logs; `out` holds 64 bytes. */
void esp_mask(struct slice email, char out[64]);

#endif
