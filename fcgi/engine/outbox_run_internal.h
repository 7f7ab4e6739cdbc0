#ifndef ENGINE_OUTBOX_RUN_INTERNAL_H
#define ENGINE_OUTBOX_RUN_INTERNAL_H

#include "base/arena.h"
#include "engine/outbox_run.h"
#include "formats/seal.h"
#include "queues/outbox.h"
#include "wire/smtp.h"

/* Names of leases and buckets: "smtp/RELAY/..." */
#define OUTBOX_NAME_MAX 192
/* Recipients of one transaction: RFC 5321 4.5.3.1.8. */
#define OUTBOX_RECIPIENTS_MAX ((size_t)100)
/* domain_rates: more lines than anybody writes. */
#define OUTBOX_DOMAINS_MAX ((size_t)64)

/* Of a recipient that the configuration leaves out: nobody's failure. */
#define OUTBOX_DROPPED_WORDS "not in allow_recipients"

/* ---- rates --------------------------------------------------------------- */

/* A rate shared by all nodes, of which this connection holds a slice. */
struct outbox_bucket {
	char name[OUTBOX_NAME_MAX];
	struct slice domain; /* glob of the recipients' domains; n 0: all */
	struct rate rate;    /* count 0: no limit */
	uint32_t slice;      /* taken at once, to ask less often */
	uint32_t held;       /* tokens */
	int64_t window;      /* that they are of */
};
struct outbox_rates {
	struct outbox_bucket all[2]; /* rate, pace */
	struct outbox_bucket domains[OUTBOX_DOMAINS_MAX];
	size_t ndomains;
	/* The server's clock, by which windows change. */
	int64_t ahead_us; /* of our monotonic one */
};

struct outbox_sender;

MUSTUSE enum rc outbox_rates_open(struct outbox_sender *s, struct err *err);
/*
 * outbox_rates_choose - which of the open recipients may be asked for now:
 * *chosen of them, their indexes in `out`; 0: none. *wait_ms: how long those
 * left out wait; *relay: because of the relay's own rate, which holds for all
 * mails of this priority.
 */
MUSTUSE enum rc outbox_rates_choose(struct outbox_sender *s,
    const struct outbox_mail *m, size_t out[OUTBOX_RECIPIENTS_MAX],
    size_t *chosen, int64_t *wait_ms, bool *relay, struct err *err);
/* The relay counts this one. */
void outbox_rates_spend(struct outbox_sender *s, struct slice recipient);
/* What was not used goes back. */
void outbox_rates_close(struct outbox_sender *s);

/* ---- a relay at rest ----------------------------------------------------- */

struct outbox_rest {
	char lease[OUTBOX_NAME_MAX], name[64];
	bool known;   /* it was away; what we send is a probe */
	bool probing; /* and we alone */
	uint64_t token;
	uint32_t rest_s; /* how long it was to rest the last time */
};
/* RC_NONE: it rests, or another one probes it; report->wait_ms and why. */
MUSTUSE enum rc outbox_rest_look(struct outbox_sender *s, struct err *err);
/* It took, or refused, a mail: it works. */
void outbox_rest_end(struct outbox_sender *s);
/* It is away or refuses us: nobody asks it for a while. */
void outbox_rest_begin(
    struct outbox_sender *s, const struct smtp_result *result);
/* The probe was not made after all. */
void outbox_rest_leave(struct outbox_sender *s);

/* ---- a connection -------------------------------------------------------- */

struct outbox_sender {
	const struct work_env *env;
	const struct config_site *site;
	const struct config_smtp *smtp;
	struct outbox_report *report;
	uint64_t owner; /* of leases; never the node's: it has several */
	char slot[OUTBOX_NAME_MAX];
	uint64_t slot_token;
	uint32_t slot_ttl_ms;
	mono_ms slot_renew_at;
	bool has_key;
	unsigned char key[SEAL_KEY_LEN];
	struct smtp *smtp_conn;
	struct outbox_rates rates;
	struct outbox_rest rest;
	mono_ms deadline;
	bool stop;       /* nothing more in this run */
	mono_ms stop_at; /* the program stops: what is on the way is broken
			    off then; 0: it does not */
	/* Lower ones wait: the rest of the rate is for urgent mail. */
	enum outbox_priority lowest;

	/* The claim in hand. */
	uint64_t claim_id;
	struct arena arena; /* of its mails */
	/* Of the mail before, not settled yet: that goes with the beginning of
	 * the next; and of the one in hand. */
	struct outbox_said {
		bool is_there;
		struct outbox_result result;
		char reply[600];
	} done, fresh;
};

/* Send one claimed mail, or find why not; what came of it is in s->done. */
MUSTUSE enum rc outbox_send_one(
    struct outbox_sender *s, struct outbox_mail *m, struct err *err);
/* Settle what is done; `next` is begun. RC_NONE: it is not ours any more. */
MUSTUSE enum rc outbox_flush(
    struct outbox_sender *s, const struct outbox_mail *next, struct err *err);
/* The term of a mail whose bytes leave. */
uint32_t outbox_mail_term_ms(
    const struct config_smtp *smtp, size_t nrecipients);
/* A random number that names a claim or an owner; never 0. */
uint64_t outbox_random(void);

/* Those who want to know are told. False: not all, for now. */
bool outbox_tell_now(const struct work_env *env);

#endif
