#ifndef SERVER_WORK_H
#define SERVER_WORK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "server/frame.h"

struct waiter;

/* One thing for a server thread to do. */
struct work {
	int fd;                /* a connection whose request is whole */
	struct frame frame;    /* what the look at it found */
	struct waiter *waiter; /* or, not NULL: to be answered */
};

/*
 * What comes to the server threads from other threads: a ring of fixed size.
 * Opaque; any thread may push and take.
 */
struct work_queue;
MUSTUSE enum rc work_queue_new(struct work_queue **out, struct err *err);
void work_queue_free(struct work_queue *q); /* NULL is fine; empty by then */
/* Waits while the ring is full; server threads never wait for a client, so
 * this is short. */
void work_push(struct work_queue *q, const struct work *w);
/* False: there is none now. */
MUSTUSE bool work_take(struct work_queue *q, struct work *out);
/* Readable while there is work, and for good once the queue is closed. */
int work_queue_fd(const struct work_queue *q);
/* No more will be pushed. */
void work_close(struct work_queue *q);
bool work_is_closed(const struct work_queue *q);

#endif
