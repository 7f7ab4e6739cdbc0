#ifndef EXECUTORS_BREAKER_H
#define EXECUTORS_BREAKER_H

#include <stdbool.h>

#include "base/clock.h"

#define BREAKER_FAILURES 5         /* in a row, and it opens */
#define BREAKER_OPEN_MIN_MS 5000   /* the first time; doubles */
#define BREAKER_OPEN_MAX_MS 300000 /* never longer */

/*
 * A circuit breaker: after failures in a row nobody calls for a while, then
 * one call probes. Plain data without a lock and without a clock.
 */
struct breaker {
	enum breaker_state {
		BREAKER_CLOSED,
		BREAKER_OPEN,    /* nobody calls before open_until */
		BREAKER_PROBING, /* one call is under way to find out */
	} state;
	unsigned failures; /* in a row, while closed */
	mono_ms open_until;
	mono_ms open_ms; /* how long it was opened last; 0: never */
};

enum breaker_answer {
	BREAKER_GO,    /* call */
	BREAKER_PROBE, /* call, and hand `probe` to breaker_end() */
	BREAKER_WAIT,  /* somebody probes; ask again */
	BREAKER_STOP,  /* do not call before open_until */
};

enum breaker_result {
	BREAKER_OK,
	BREAKER_FAILED,
	BREAKER_UNKNOWN, /* the call was given up; says nothing */
};

/* What breaker_begin() would answer; changes nothing. */
enum breaker_answer breaker_ask(const struct breaker *b, mono_ms now);
/* A call begins, unless the answer is WAIT or STOP. */
enum breaker_answer breaker_begin(struct breaker *b, mono_ms now);
/* A call that began has ended. While open or probing, only the probe's
 * result counts: the others were sent before it was known to be ill. */
void breaker_end(
    struct breaker *b, mono_ms now, bool probe, enum breaker_result result);

#endif
