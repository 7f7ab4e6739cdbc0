#ifndef TESTS_SERVER_FAKE_ENGINE_H
#define TESTS_SERVER_FAKE_ENGINE_H

#include <stdbool.h>

#include "engine/engine.h"

/*
 * An engine that does nothing but count and say what the test told it. It is
 * linked instead of the real one. Any thread.
 */
struct engine *fake_engine_new(void);
void fake_engine_free(struct engine *e);
unsigned fake_engine_kicks(struct engine *e);
/* How many of the watches begun have been checked: whoever waits is parked by
 * then, which comes after its kick. */
unsigned fake_engine_checked(struct engine *e);
/* The last ping of each kind; what was longer is cut. */
struct fake_ping {
	bool given; /* not NULL */
	char key[128], host[128], path[128];
};
void fake_engine_pings(
    struct engine *e, struct fake_ping *kick, struct fake_ping *watch);
/* What engine_watch_check() says from now on; wakes the progress descriptor. */
void fake_engine_say(struct engine *e, enum rc rc,
    const struct engine_counts *counts, uint64_t remaining);
void fake_engine_be_busy(struct engine *e, bool busy);
/* The last reader ping, how many there were, and what engine_reader_ping()
 * says from now on. */
struct fake_reader {
	unsigned n;
	bool wait;
	char cookies[256], host[128], path[128];
};
void fake_engine_reader(struct engine *e, struct fake_reader *out);
void fake_engine_give_tickets(struct engine *e, uint64_t ticket);
/* engine_reader_done() is true from now on. */
void fake_engine_reader_over(struct engine *e);
void fake_engine_set_health(
    struct engine *e, const struct engine_health *health);

#endif
