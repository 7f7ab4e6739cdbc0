#ifndef SERVER_INTAKE_H
#define SERVER_INTAKE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/macros.h"
#include "server/lobby.h"
#include "server/work.h"

/*
 * Where one server thread gets its work: from the queue and, if it leads,
 * straight from the listener, so that a ping changes threads only once. One
 * leads; while it cannot keep up others are asked to, and step back when the
 * backlog is empty. Were all of them to wait for every connection, many would
 * be woken for one that another has taken already.
 */
/* Who leads. Threads are led to it by the descriptor: each unit that it counts
 * is a seat to be taken, so that none is ever lost. */
struct intake_seats {
	int fd;
	atomic_uint n; /* seats, taken or not; never 0 */
};
MUSTUSE enum rc intake_seats_init(struct intake_seats *s, struct err *err);
void intake_seats_clear(struct intake_seats *s);

struct intake;
struct intake_opts {
	int listen_fd;              /* lent, non-blocking */
	struct work_queue *work;    /* lent */
	struct lobby *lobby;        /* lent; gets what is not whole */
	struct intake_seats *seats; /* lent; shared by all threads */
	unsigned max_leaders;
};
struct intake *intake_new(const struct intake_opts *opts);
/*
 * intake_next - wait for something to do. False: the queue was closed, it is
 * empty, and the backlog has been looked through a last time.
 */
MUSTUSE bool intake_next(struct intake *in, struct work *out);
void intake_free(struct intake *in); /* NULL is fine */

#endif
