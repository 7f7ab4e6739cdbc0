#ifndef SERVER_ACCEPTOR_H
#define SERVER_ACCEPTOR_H

#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "server/work.h"

/*
 * The thread that owns every connection on which a server thread could have
 * to wait: those whose request is not whole yet and those whose client has
 * more to send than we will read. A connection that stays silent or half-sent
 * for longer than the time-out is closed. Whole requests go to the queue.
 */
struct acceptor;
struct acceptor_opts {
	int listen_fd;           /* lent, non-blocking */
	uint32_t timeout_ms;     /* from accept to a whole request */
	struct work_queue *work; /* lent */
	const struct clock *clock;
};
MUSTUSE enum rc acceptor_start(
    const struct acceptor_opts *opts, struct acceptor **out, struct err *err);
/* Another time-out, for connections to come. Any thread. */
void acceptor_set_timeout(struct acceptor *a, uint32_t timeout_ms);
/*
 * acceptor_linger - take a connection that was answered: end our side and
 * read what the client still sends, for a while, so that a reset does not
 * overtake the answer. Takes `fd`. Any thread; after acceptor_stop() it
 * closes at once.
 */
void acceptor_linger(struct acceptor *a, int fd);
/*
 * Take what is whole out of the backlog a last time, close the rest, join.
 * May be called twice.
 */
void acceptor_stop(struct acceptor *a);
void acceptor_free(struct acceptor *a); /* stops first; NULL is fine */

#endif
