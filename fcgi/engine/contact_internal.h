#ifndef ENGINE_CONTACT_INTERNAL_H
#define ENGINE_CONTACT_INTERNAL_H

#include "engine/contact_payload.h"
#include "engine/contacts.h"
#include "executors/esp/esp.h"
#include "executors/php_contacts.h"

/* Shared by the contact_*.c files; everything here is one thread's. */

/* Readers that are dealt with together: one boot of PHP, one set of reads. */
#define CONTACT_PAGE 500
/* Memory of one page, payloads included. */
#define CONTACT_PAGE_BYTES ((size_t)64 * 1024 * 1024)

struct contact_run;
struct contact_account;

/* What became of one reader at one integration. */
enum contact_end {
	CONTACT_OPEN,      /* nothing: it waits on */
	CONTACT_DONE,      /* sent, or pulled and stored */
	CONTACT_UNCHANGED, /* nothing to send */
	CONTACT_PENDING,   /* in a bulk call */
	CONTACT_RETRIED,   /* failed; the next retry's row is committed */
	CONTACT_REFUSED,   /* failed for good with this payload */
	CONTACT_BARRED,    /* failed for good with this address */
	CONTACT_EXHAUSTED, /* failed, and was the last retry */
	CONTACT_SKIPPED,   /* a retry of it waits or runs */
	CONTACT_GONE,      /* there is no such user */
};

/* One reader and one integration on the way. */
struct contact_sync {
	uint64_t user_id;
	const struct contact_flag *flags;
	size_t nflags;
	struct slice context, previous_email;
	unsigned retry; /* 0: of the batch, or asked for */
	uint64_t action_id;
	bool unchanged_too;
	struct esp_contact *contact; /* push: once it is built */
	unsigned char payload[CONTACT_FINGERPRINT_LEN];
	unsigned char address[CONTACT_FINGERPRINT_LEN];
	enum contact_end end;
	unsigned char before[CONTACT_FINGERPRINT_LEN]; /* accepted last */
	bool due;             /* RETRIED, and its row is still to be written */
	int64_t after_s;      /* not sooner, as the provider asked */
	struct slice message; /* why, in words without an address */
};

/* The items of one integration and one direction, at most CONTACT_PAGE. */
struct contact_page {
	struct contact_run *run;
	struct contact_account *account;
	enum contact_direction direction;
	struct contact_sync *items; /* by user_id */
	size_t n;
	/* Bulk members carry their flags from the start: no other integration
	 * is to be waited for. */
	bool flags_at_once;
	bool singly; /* push: no bulk call */
	struct arena *arena;
};

/* ---- contact_run.c ------------------------------------------------------ */

struct contact_run {
	const struct work_env *env;
	struct contact_report *report; /* NULL: nobody asks */
	struct newspack settings;
	struct contact_account *accounts; /* one an integration */
	size_t naccounts;
	unsigned char key[32]; /* of fingerprints */
	bool keyed;            /* the site has salts */
	bool batch;            /* a batch: leaves a connection for tasks */
	mono_ms deadline;      /* no page begins later */
	char lease[64];
	uint64_t lease_token; /* 0: none */
	mono_ms renew_at;
	bool lost; /* the lease, or the database */
};

/* Settings, gate and keys. RC_NONE: nothing may be done here now, and
 * report->held says why. contact_run_end() in any case. */
MUSTUSE enum rc contact_run_begin(struct contact_run *run,
    const struct work_env *env, struct contact_report *report, struct err *err);
void contact_run_end(struct contact_run *run);
/* Is there a reason to stop before the next page or request? Renews leases. */
bool contact_run_over(struct contact_run *run);
/*
 * A place in PHP, waited for for at most wait_ms. RC_RETRY: none is free, or
 * the lease is lost; RC_REJECT: the site has no PHP. RC_OK:
 * contact_php_leave().
 */
MUSTUSE enum rc contact_php_enter(struct contact_run *run, uint32_t wait_ms,
    struct php_executor_opts *opts, struct err *err);
void contact_php_leave(struct contact_run *run);
/* A line as Newspack writes it, when NEWSPACK_LOG_LEVEL asks for it. */
void contact_say(const struct contact_run *run, const char *header,
    const char *fmt, ...) PRINTF_LIKE(3, 4);
/* For how long what is held in the tables outlives its holder's death. */
uint32_t contact_term_ms(const struct contact_run *run);
/* Count what became of items. */
void contact_count(struct contact_run *run, enum contact_direction d,
    const struct contact_sync *items, size_t n);

/* ---- contact_account.c -------------------------------------------------- */

#define CONTACT_SLOTS_MAX 16
struct contact_account {
	struct contact_run *run;
	const struct newspack_integration *integration;
	struct esp *esp; /* NULL: only PHP knows it, or it is not set up */
	struct esp_account account;
	bool rests;     /* no request to it in this run */
	int64_t rest_s; /* and for how long, as far as is known */
	char why[ERR_TEXT_MAX];
	char name[40]; /* of its budgets and slots in the tables */
	struct {
		uint32_t count, per_s, left;
		mono_ms until;   /* `left` is of the window that ends then */
		mono_ms next_at; /* windows of a second: spread over it */
	} budget[ESP_NBUDGETS];
	uint64_t holder; /* whose slots: this run's */
	struct {
		char name[56];
		uint64_t token;
	} slots[CONTACT_SLOTS_MAX];
	size_t nslots;
	mono_ms slots_at; /* more of them not before; renew then */
	uint64_t tokens_lease;
	struct contact_page *page; /* push under way, for on_batch() */
	struct esp_contact *contacts;
	struct contact_sync **items; /* of those contacts */
	size_t handed; /* of them, where the call under way begins */
};

/* Is it the provider's or PHP's (RC_OK)? RC_NONE: not set up, `why` says. */
MUSTUSE enum rc contact_account_open(struct contact_account *a,
    struct contact_run *run, const struct newspack_integration *i,
    struct err *err);
void contact_account_close(struct contact_account *a);
struct contact_account *contact_account_find(
    struct contact_run *run, struct slice id);
bool contact_account_is_php(const struct contact_account *a);
/* What is held in the tables is held on. */
void contact_account_renew(struct contact_account *a, uint32_t term_ms);

/* ---- contact_payload.c -------------------------------------------------- */

/*
 * HMACs of the payload (with destination and choice of fields, without what is
 * volatile) and of the address.
 */
void contact_fingerprint(const struct contact_run *run,
    const struct newspack_integration *i, const struct esp_contact *c,
    unsigned char payload[CONTACT_FINGERPRINT_LEN],
    unsigned char address[CONTACT_FINGERPRINT_LEN]);

/* ---- contact_push.c, contact_pull.c ------------------------------------- */

/*
 * Deal with a page; each item's `end` is set, and for RETRIED and the like the
 * rows are committed. RC_RETRY: the database is away. What could not be done
 * is CONTACT_OPEN.
 */
MUSTUSE enum rc contact_push_page(struct contact_page *p, struct err *err);
MUSTUSE enum rc contact_pull_page(struct contact_page *p, struct err *err);
/* What follows the ends of a page's items: rows of retries, fingerprints,
 * alerts. A page of pushes does it itself. */
MUSTUSE enum rc contact_push_ended(struct contact_page *p, struct err *err);

/* ---- contact_php.c ------------------------------------------------------ */

/* One of php_contacts_prepare(), _push(), _pull(). */
typedef enum rc contact_php_fn(const struct php_executor_opts *opts,
    struct php_contact *contacts, size_t n, uint32_t timeout_ms,
    struct arena *a, struct err *err);
/* What becomes of an item by PHP's answer, if it gave one. */
typedef enum rc contact_answer_fn(struct contact_page *p,
    struct contact_sync *s, const struct php_contact *row, struct err *err);
/* Ask about the items of a page that nobody has dealt with. What PHP did not
 * answer stays CONTACT_OPEN; why is logged. */
MUSTUSE enum rc contact_ask_php(struct contact_page *p, contact_php_fn *call,
    const char *what, contact_answer_fn *take, struct err *err);
/* Pages of an integration that only PHP knows; what is pulled PHP stores. */
MUSTUSE enum rc contact_push_by_php(struct contact_page *p, struct err *err);
MUSTUSE enum rc contact_pull_by_php(struct contact_page *p, struct err *err);

/* ---- contact_fail.c ----------------------------------------------------- */

/* Newspack's classes of words. */
enum contact_class {
	CONTACT_TRANSIENT,
	CONTACT_BENIGN,
	CONTACT_PERMANENT,
	CONTACT_PERMANENT_CONFIG,
};
enum contact_class contact_classify(struct slice words);
/*
 * A failure that may pass: the next retry, whose row contact_commit() writes,
 * or after the last one the words, the alert and CONTACT_EXHAUSTED. Sets
 * item->end.
 */
MUSTUSE enum rc contact_fail(
    struct contact_page *p, struct contact_sync *item, struct err *err);
/* A failure for good: said and logged, no retry. Sets item->end. */
MUSTUSE enum rc contact_fail_for_good(struct contact_page *p,
    struct contact_sync *item, enum contact_end end, struct err *err);
/* The rows of a page's retries, before its flags may go. RC_RETRY: the
 * database is away; some may be written, and are found again. */
MUSTUSE enum rc contact_commit(struct contact_page *p, struct err *err);
/* First failures of a page of pushes, for Newspack's own failure records (what
 * only PHP pushes has told them already), and last ones of any page. */
void contact_alert_failures(struct contact_page *p);
/* A success of a retry: its line in the log. */
MUSTUSE enum rc contact_succeed(
    struct contact_page *p, struct contact_sync *item, struct err *err);

/* ---- contact_poll.c ----------------------------------------------------- */

/* Ask for the bulk calls whose time has come; `all`: of whatever time. Sets
 * report->again_at. */
MUSTUSE enum rc contact_poll(
    struct contact_run *run, bool all, struct err *err);

#endif
