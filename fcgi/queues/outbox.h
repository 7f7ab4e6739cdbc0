#ifndef QUEUES_OUTBOX_H
#define QUEUES_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "sql/db.h"

/*
 * The outbox: mails that are whole, until a relay has taken them. One for all
 * blogs of a network. Calls are on the caller's thread and connection, and
 * block for their statements. Addresses are personal data: nothing here logs.
 */

enum outbox_priority {
	OUTBOX_HIGH = 10,
	OUTBOX_MEDIUM = 20,
	OUTBOX_LOW = 30,
};

/* ---- storing ------------------------------------------------------------ */

#define OUTBOX_CHUNK ((size_t)512 * 1024) /* at most; the last is shorter */
#define OUTBOX_MAIL_MAX ((size_t)256 << 20)

/* A whole mail and its envelope. */
struct outbox_new {
	uint32_t blog_id;
	enum outbox_priority priority;
	struct slice job; /* "task:9": whose it is; see schema.sql */
	unsigned ordinal; /* which of the job's mails, from 1 */
	struct slice message_id;
	struct slice sender;            /* envelope: without <> */
	const struct slice *recipients; /* envelope: to, cc, bcc */
	size_t nrecipients;
	struct slice subject; /* as text */
	struct slice bytes;   /* header and body, line ends CRLF */
	/* SHA-256 of envelope, subject and body before MIME. */
	unsigned char digest[32];
};
/*
 * outbox_add - store it, durable when this returns; *mail_id (may be NULL).
 * The same job, ordinal and digest once more: RC_OK, and nothing is stored.
 * `key` (32 bytes; NULL: none) seals the bytes. RC_REJECT: too large, or no
 * recipient. RC_RETRY: also while another process is storing the same.
 */
MUSTUSE enum rc outbox_add(struct db *db, const struct sql_scope *scope,
    const struct outbox_new *m, const unsigned char *key, uint64_t *mail_id,
    struct err *err);

/* ---- sending ------------------------------------------------------------ */

enum outbox_recipient_state {
	OUTBOX_OPEN,     /* "open" */
	OUTBOX_ACCEPTED, /* "sent" */
	OUTBOX_REFUSED   /* "dead" */
};
struct outbox_recipient {
	struct slice to;
	enum outbox_recipient_state state;
	int code;           /* the relay's last reply; 0: none */
	struct slice words; /* of it, masked */
};

struct outbox_mail {
	uint32_t blog_id;
	uint64_t mail_id;
	enum outbox_priority priority;
	struct slice job, message_id, sender, subject;
	unsigned ordinal;
	struct outbox_recipient *recipients;
	size_t nrecipients;
	uint64_t size; /* bytes; 0: deleted */
	bool sealed;
	bool broken;        /* its list of recipients cannot be read */
	int64_t created_at; /* Unix time */
	unsigned tries;     /* ended ones */
	unsigned unknown;   /* of them, whose answer was lost after DATA */
};

/* Is anything ready, or may outbox_tend() make it so? A few indexed reads. */
MUSTUSE enum rc outbox_due(
    struct db *db, const struct sql_scope *scope, bool *due, struct err *err);
/*
 * Claim at most `max` ready mails of this priority or a more urgent one, most
 * urgent first, then oldest, for `term_ms`. Lists and texts are the arena's.
 */
MUSTUSE enum rc outbox_claim(struct db *db, const struct sql_scope *scope,
    uint64_t claim_id, enum outbox_priority lowest, size_t max,
    uint32_t term_ms, struct arena *a, struct outbox_mail **out, size_t *n,
    struct err *err);
/*
 * Hold what is claimed on. RC_NONE: somebody took all of it back; of single
 * ones outbox_step() tells.
 */
MUSTUSE enum rc outbox_extend(struct db *db, const struct sql_scope *scope,
    uint64_t claim_id, uint32_t term_ms, struct err *err);
/* What was not begun goes back. */
MUSTUSE enum rc outbox_release(struct db *db, const struct sql_scope *scope,
    uint64_t claim_id, struct err *err);
/* A chunk's bytes, opened with `key` if sealed. RC_NONE: there is none (any
 * more); RC_REJECT: it cannot be opened. */
MUSTUSE enum rc outbox_chunk(struct db *db, const struct sql_scope *scope,
    const struct outbox_mail *m, uint32_t chunk, const unsigned char *key,
    struct buf *out, struct err *err);

enum outbox_end {
	OUTBOX_BACK,    /* was not tried after all: ready again in wait_s */
	OUTBOX_SENT,    /* every recipient has an answer, one or more a yes */
	OUTBOX_LATER,   /* open recipients are tried again at not_before */
	OUTBOX_UNKNOWN, /* likewise, and it may have arrived already */
	OUTBOX_DEAD,    /* nobody took it; a dead letter tells why */
	OUTBOX_HELD, /* waits for an administrator; a dead letter tells why */
	OUTBOX_DROPPED, /* goes to nobody, as the configuration wants it */
};
/* What a row's `state` is then: "ready" or "later", "sent", "later", "later",
 * "dead", "held", "dropped". */
struct outbox_result {
	const struct outbox_mail *mail; /* with its recipients as they are now*/
	enum outbox_end end;
	int64_t wait_s;     /* BACK, LATER, UNKNOWN: from now */
	struct slice reply; /* the relay's words, masked, or ours */
};
/*
 * One commit between two mails: settle what ended (`done` NULL: nothing) and
 * mark the next as begun for `term_ms` (`next` NULL: none). RC_NONE: `next` is
 * not ours any more; `done` is settled all the same if it was ours.
 */
MUSTUSE enum rc outbox_step(struct db *db, const struct sql_scope *scope,
    uint64_t claim_id, const struct outbox_result *done,
    const struct outbox_mail *next, uint32_t term_ms, struct err *err);

/* ---- verdicts ----------------------------------------------------------- */

/*
 * A mail that has ended, and whose job has not been told: all that nobody took
 * or a recipient of which was refused, and those of actions (they have a log).
 */
struct outbox_verdict {
	uint32_t blog_id;
	uint64_t mail_id;
	struct slice job, reply, subject;
	enum outbox_end end;
	unsigned tries;
	const struct outbox_recipient *recipients;
	size_t nrecipients;
};
MUSTUSE enum rc outbox_verdicts(struct db *db, const struct sql_scope *scope,
    size_t max, struct arena *a, struct outbox_verdict **out, size_t *n,
    struct err *err);
MUSTUSE enum rc outbox_told(struct db *db, const struct sql_scope *scope,
    const uint64_t *mail_ids, size_t n, struct err *err);

/* ---- upkeep ------------------------------------------------------------- */

struct outbox_upkeep {
	uint32_t dead_bodies_days; /* bytes of dead mails */
	uint32_t dead_days;        /* rows of all that ended */
	uint32_t unknown_wait_s; /* begun by a process that died: again then */
	bool hold_unknown;       /* rather not; the second time never */
	uint32_t writing_s;      /* half-written ones of dead processes */
};
/*
 * Later ones whose time has come become ready; claims whose term is over go
 * back (not begun) or become unknown (begun); what is old is deleted, in
 * portions. *changed: something became ready.
 */
MUSTUSE enum rc outbox_tend(struct db *db, const struct sql_scope *scope,
    const struct outbox_upkeep *u, bool *changed, struct err *err);

#endif
