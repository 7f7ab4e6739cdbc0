#ifndef SERVER_LOBBY_H
#define SERVER_LOBBY_H

#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "server/work.h"

/*
 * The thread that owns every connection on which a server thread could have
 * to wait: those whose request is not whole yet, and those whose client still
 * sends after its answer. A connection that stays silent or half-sent for
 * longer than the time-out is closed; a request that has become whole goes to
 * the queue.
 */
struct lobby;
struct lobby_opts {
	uint32_t timeout_ms;     /* from here to a whole request */
	struct work_queue *work; /* lent */
	const struct clock *clock;
};
MUSTUSE enum rc lobby_start(
    const struct lobby_opts *opts, struct lobby **out, struct err *err);
/* Another time-out, for connections to come. Any thread. */
void lobby_set_timeout(struct lobby *l, uint32_t timeout_ms);
/*
 * lobby_wait - take a connection whose request is not whole. Any thread;
 * after lobby_stop() it closes at once, as lobby_linger() does.
 */
void lobby_wait(struct lobby *l, int fd);
/*
 * lobby_linger - take a connection that was answered: end our side and read
 * what the client still sends, for a while, so that a reset does not overtake
 * the answer.
 */
void lobby_linger(struct lobby *l, int fd);
/* Close all, join. May be called twice. */
void lobby_stop(struct lobby *l);
void lobby_free(struct lobby *l); /* stops first; NULL is fine */

#endif
