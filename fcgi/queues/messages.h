#ifndef QUEUES_MESSAGES_H
#define QUEUES_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "sql/db.h"

/*
 * Event Espresso's messages: rows of {p}esp_message and {p}esp_extra_meta,
 * which its PHP generates and sends; our journal {base}wpcron_messages of what
 * is on the way; and the options by which the plugin locks and limits itself.
 * Columns other than STS_ID, MSG_modified and the meta MSG_error are never
 * changed. One node at a time works on a blog (a lease is the caller's); PHP
 * may do anything at any time. Calls are on the caller's thread and connection.
 */

enum messages_lane {
	MESSAGES_GENERATE, /* MIC rows */
	MESSAGES_SEND,     /* MID and MRS rows */
};
const char *messages_lane_name(enum messages_lane lane);

enum messages_priority {
	MESSAGES_HIGH = 10,
	MESSAGES_MEDIUM = 20,
	MESSAGES_LOW = 30,
	MESSAGES_ANY = 255,
};

/* Are the plugin's tables there? RC_NONE: no. */
MUSTUSE enum rc messages_present(
    struct db *db, const struct sql_scope *scope, struct err *err);
/* Of the blog of a scope: WordPress puts it into the prefix. */
uint32_t messages_blog(const struct sql_scope *scope);

/* ---- the plugin's options ------------------------------------------------ */

struct messages_facts {
	/* A batch of PHP's is under way, at most until then (Unix time); 0:
	 * none. INT64_MAX: a lock without an end. */
	int64_t generation_until, sending_until;
	/* Plugins before 4.9.58 keep locks and the limit in transients; only
	 * true where one was found. */
	bool transients;
	bool same_request; /* messages are sent as they are made: no locks */
	bool same_request_by_itself; /* since DISABLE_WP_CRON is set */
	unsigned maintenance;        /* 2: the plugin does nothing */
	uint32_t interval_s;         /* of the event that sends; 0: there is
					none */
	/* What is left of PHP's window, and its end; `rate` false: no window
	 * is open. `idle`: it was written by messages_idle(). */
	bool rate, idle;
	int64_t rate_left, rate_until;
};
/* `now`: Unix time, as PHP's time(). */
MUSTUSE enum rc messages_facts_read(struct db *db,
    const struct sql_scope *scope, bool multisite, int64_t now,
    struct messages_facts *out, struct err *err);

/* PHP's own batches find nothing left of their window for so long (a dead-man
 * switch), and it is renewed when less than that is left. */
#define MESSAGES_IDLE_S 900
#define MESSAGES_IDLE_RENEW_S 600

/* Names and values of the options that keep PHP's batches idle until then, for
 * PHP to be asked to write them; returns how many of the two. */
struct messages_option {
	char name[48], value[64];
};
size_t messages_idle_options(
    bool transients, int64_t until, struct messages_option out[2]);
/* Write them. Not where an object cache stands between. */
MUSTUSE enum rc messages_idle(struct db *db, const struct sql_scope *scope,
    bool transients, int64_t until, struct err *err);
/*
 * Take it back: the option is deleted, or, where `left` of a window are to be
 * observed until `until`, says so. Only if it is as messages_idle() wrote it.
 */
MUSTUSE enum rc messages_idle_end(struct db *db, const struct sql_scope *scope,
    bool transients, int64_t left, int64_t until, struct err *err);
/* An open window as the plugin writes it: a:2:{...}. */
void messages_rate_render(int64_t left, int64_t until, char out[64]);

/* ---- what waits ---------------------------------------------------------- */

struct messages_row {
	uint64_t id;
	unsigned priority;
	int64_t modified; /* Unix time; INT64_MIN: the zero date */
};
/*
 * Rows of a lane with this priority or a more urgent one, most urgent first,
 * then oldest first (or as the plugin: newest first), then by id. Rows in hand
 * and rows that wait are left out. Past `max` rows of a status, those with the
 * lowest ids are chosen from. The list is the arena's.
 */
MUSTUSE enum rc messages_waiting(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, enum messages_lane lane, unsigned lowest,
    bool newest_first, size_t max, struct arena *a, struct messages_row **out,
    size_t *n, struct err *err);
/*
 * Is there something that does not wait for the plugin's schedule: to be
 * generated with priority 10 or 20, or to be sent with 10; or an option to be
 * renewed? Looks at the 200 newest rows of each status. RC_NONE: the tables
 * are not there.
 */
MUSTUSE enum rc messages_due(struct db *db, const struct sql_scope *scope,
    int64_t now, bool *due, struct err *err);

/*
 * The plugin's schedule, as its events are lost now and then: when all
 * priorities were last worked off is noted. `tick` false: only if nothing is
 * noted yet. Silent: no node did so for an interval of the event (of releases,
 * where it is not there) and some more.
 */
MUSTUSE enum rc messages_ticked(struct db *db, const struct sql_scope *scope,
    int64_t now, bool tick, struct err *err);
MUSTUSE enum rc messages_silent(struct db *db, const struct sql_scope *scope,
    int64_t now, bool *silent, struct err *err);

/* ---- the journal --------------------------------------------------------- */

struct messages_claim {
	uint64_t id;
	/* The n of "message:ID:n": grows with every sending that is a new one;
	 * the same after a crash, so that a mail that is stored already is not
	 * stored again. */
	unsigned sending;
	unsigned tries; /* that failed, since it last went well */
	char was[4];    /* STS_ID */
};
/*
 * messages_claim - put them into the journal before PHP is asked; of MIC rows
 * a copy with it. Left out: rows that are not of the lane's status any more,
 * that are in hand, and MIC rows that are still being written (they wait). The
 * others come back in the order of `ids`. Durable on return.
 */
MUSTUSE enum rc messages_claim(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, enum messages_lane lane, uint64_t claim_id,
    const uint64_t *ids, size_t n, uint32_t term_ms, struct arena *a,
    struct messages_claim **out, size_t *nout, struct err *err);
/* PHP is asked now: from here on, any of them may have been begun. */
MUSTUSE enum rc messages_begun(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, enum messages_lane lane, uint64_t claim_id,
    struct err *err);

enum messages_end {
	MESSAGES_DONE,    /* generated, or sent */
	MESSAGES_BACK,    /* not begun: as if never claimed */
	MESSAGES_PASSED,  /* left as it is; it waits and others go first */
	MESSAGES_FAILED,  /* the messenger said no: MRT -> MRS after a while */
	MESSAGES_REFUSED, /* for good; a dead letter tells why */
};
struct messages_result {
	uint64_t id;
	enum messages_end end;
	int64_t wait_ms; /* PASSED, FAILED: from now */
	bool strike;     /* PASSED: counts as a try */
	unsigned tries;  /* REFUSED: for the letter */
	struct slice reason;
};
/* In one transaction; what is not of this claim any more is left alone. */
MUSTUSE enum rc messages_settle(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, enum messages_lane lane, uint64_t claim_id,
    const struct messages_result *r, size_t n, struct err *err);

/* The same for one that is generated, as text: for PHP, when nobody hears its
 * answer any more. */
MUSTUSE enum rc messages_done_sql(const struct sql_scope *scope,
    uint32_t blog_id, uint64_t claim_id, uint64_t id, struct buf *out,
    struct err *err);

/* What becomes of a message whose messenger failed, or PHP under it. */
struct messages_policy {
	uint32_t retries;
	uint32_t backoff_min_ms, backoff_max_ms;
	/* Mails go into the outbox, which knows what it has: what was begun
	 * may be begun again. Else a message of which nobody knows whether it
	 * left is not sent again by itself. */
	bool outbox;
};
int64_t messages_backoff_ms(const struct messages_policy *p, unsigned tries);

struct messages_recovered {
	uint64_t restored; /* MIC rows put back from their copies */
	uint64_t reset;    /* MEX rows of ours put back */
	uint64_t unknown;  /* MEX rows of ours that may have left: MRT now */
};
/*
 * messages_resolve - a claim's rows of which PHP said nothing: what became of
 * them is read from the rows. A MIC row that is gone is put back with its old
 * id and meta: it may be generated twice, but is not lost. MEX goes back to
 * what it was, or becomes MRT (policy.outbox).
 */
MUSTUSE enum rc messages_resolve(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, enum messages_lane lane, uint64_t claim_id,
    const uint64_t *ids, size_t n, const struct messages_policy *policy,
    struct messages_recovered *out, struct err *err);
/* The same for all claims whose term is over, of whoever. */
MUSTUSE enum rc messages_recover(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, const struct messages_policy *policy,
    struct messages_recovered *out, struct err *err);
/* Failed ones whose time has come: MRT -> MRS; *n. */
MUSTUSE enum rc messages_retry(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, uint64_t *n, struct err *err);
/* Dead letters of rows that became MFL since the last call, by whomever; *n. */
MUSTUSE enum rc messages_failures(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, uint64_t *n, struct err *err);
/* Entries of messages that ended so long ago, in portions. */
MUSTUSE enum rc messages_expire(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, uint32_t days, struct err *err);

/* STS_ID of each, "" for a row that is gone. */
struct messages_status {
	char sts[4];
};
MUSTUSE enum rc messages_statuses(struct db *db, const struct sql_scope *scope,
    const uint64_t *ids, size_t n, struct messages_status *out,
    struct err *err);

/*
 * messages_refused - the relay refused a message's mail for good: MSN -> MRT
 * with MSG_error, and a dead letter; it is not retried by itself. RC_NONE: the
 * row is gone or is not MSN any more, and nothing was written. May be called
 * in a transaction of the caller's.
 */
MUSTUSE enum rc messages_refused(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, uint64_t message_id, struct slice reason,
    struct err *err);

/* ---- facts that only PHP knows, as they were last told ------------------- */

/* A row of {base}wpcron_meta, "messages/BLOG/NAME"; at most 255 bytes. */
MUSTUSE enum rc messages_memo_read(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, const char *name, struct arena *a, struct slice *out,
    struct err *err);
MUSTUSE enum rc messages_memo_write(struct db *db,
    const struct sql_scope *scope, uint32_t blog_id, const char *name,
    struct slice value, struct err *err);

/* ---- by hand ------------------------------------------------------------- */

/* What Message Activity shows; empty texts and zeros are no filter. */
struct messages_filter {
	struct slice status; /* "MIC", any case */
	struct slice messenger, type;
	struct slice context;  /* one or more, commas between */
	uint64_t registration; /* all messages of its transaction */
	uint64_t transaction;  /* TXN_ID */
	uint64_t event;        /* transactions with a registration for it */
	uint64_t contact;      /* ATT_ID */
	uint64_t user;         /* of the admin context */
	int64_t since, until;  /* MSG_modified, Unix time; 0: any */
	struct slice search;   /* in to, from, subject, content */
	size_t skip, max;      /* a page, newest modified first */
};
struct messages_shown {
	uint64_t id, group, transaction, recipient;
	struct slice messenger, type, context, recipient_type;
	struct slice to, from, subject; /* as stored: may be serialized */
	unsigned priority;
	char sts[4];
	int64_t created, modified; /* Unix time */
	/* The journal: "", "claimed", "running", "done", "failed", "refused",
	 * "passed" of either lane, until when it waits (0: not), why. */
	struct slice state, reason;
	unsigned tries;
	int64_t not_before;
	struct slice error, content; /* messages_get() alone */
};
MUSTUSE enum rc messages_list(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, const struct messages_filter *f, struct arena *a,
    struct messages_shown **out, size_t *n, struct err *err);
/* RC_NONE: there is none. */
MUSTUSE enum rc messages_get(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, uint64_t id, struct arena *a, struct messages_shown *out,
    struct err *err);

/* Rows by STS_ID: those that are there, by status. */
struct messages_count {
	char sts[4];
	uint64_t n;
};
#define MESSAGES_STATUSES_MAX 32
struct messages_counts {
	struct messages_count of[MESSAGES_STATUSES_MAX];
	size_t n;
	uint64_t foreign_mex; /* MEX that is not in our hand: nobody knows
				 whether it left */
	int64_t oldest;       /* MSG_modified of what waits to be generated or
				 sent; 0: nothing does */
};
MUSTUSE enum rc messages_count(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, struct messages_counts *out, struct err *err);

/* MSN and MRT become MRS; *changed of them. */
MUSTUSE enum rc messages_resend(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, const uint64_t *ids, size_t n, uint64_t *changed,
    struct err *err);
/* A row that waits to be generated or sent does so no longer than its lane. */
MUSTUSE enum rc messages_unpark(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, uint64_t id, struct err *err);
/* The rows and their extra meta; not those in our hand. */
MUSTUSE enum rc messages_delete(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, const uint64_t *ids, size_t n, uint64_t *changed,
    struct err *err);

#endif
