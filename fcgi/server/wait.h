#ifndef SERVER_WAIT_H
#define SERVER_WAIT_H

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/engine.h"
#include "server/request.h"
#include "server/work.h"

/*
 * Requests that wait for something in the engine: ?wait until all that was due
 * has been settled, the reader ping until a stale reader was pulled. They are
 * held by no thread: one thread of this module watches the engine's progress
 * and the clock for all of them, and gives those that are decided to the
 * queue.
 */
struct waits;
struct waits_opts {
	struct engine *engine;   /* lent */
	uint32_t max;            /* parked at once */
	struct work_queue *work; /* lent */
	const struct clock *clock;
};
MUSTUSE enum rc waits_start(
    const struct waits_opts *opts, struct waits **out, struct err *err);

struct waiter;
/* What is waited for. */
struct wait_kind {
	/* As engine_watch_check(); RC_AGAIN: not yet. Must not block. */
	enum rc (*check)(struct engine *e, struct waiter *w);
	/* Write the answer to a decided waiter. */
	void (*reply)(const struct waiter *w);
};
/* ?wait: 200, 207, 202 or 503, with counts. */
extern const struct wait_kind wait_for_settled;

/* What a waiter got to know. */
struct waiter {
	const struct wait_kind *kind;
	struct request *request;   /* owned */
	struct engine_watch watch; /* wait_for_settled */
	uint64_t ticket;           /* the reader ping: engine_reader_ping() */
	mono_ms deadline;
	bool head; /* HEAD: no body */
	/* Filled in when decided: */
	enum rc rc; /* RC_OK, RC_AGAIN (time is up), RC_RETRY (database away) */
	struct engine_counts counts;
	uint64_t remaining;
	struct waiter *next;
};

/*
 * waits_park - hold a waiter. It comes back through the queue, decided, and is
 * then the popper's. False: too many wait, or the server stops; the waiter
 * stays the caller's.
 */
MUSTUSE bool waits_park(struct waits *ws, struct waiter *w);
/* Another ceiling, for those to come. */
void waits_set_max(struct waits *ws, uint32_t max);
/* Decide all as if their time were up, and join. May be called twice. */
void waits_stop(struct waits *ws);
void waits_free(struct waits *ws); /* stops first; NULL is fine */

/* wait_refuse - 503 for a ?wait there is no room for. */
void wait_refuse(struct request *r, bool head);

#endif
