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
	struct waiter *waiter; /* or, not NULL: a ?wait to be answered */
};

/*
 * The hand-over to the server threads: a ring of fixed size. Opaque; any
 * thread may push and pop.
 */
struct work_queue;
struct work_queue *work_queue_new(void);
void work_queue_free(struct work_queue *q); /* NULL is fine; empty by then */
/* Waits while the ring is full; server threads never wait for a client, so
 * this is short, and it leaves a burst to the listen backlog. */
void work_push(struct work_queue *q, const struct work *w);
/* Waits for work; false once the queue is closed and empty. */
MUSTUSE bool work_pop(struct work_queue *q, struct work *out);
/* No more will come: pops empty the ring and then end. */
void work_close(struct work_queue *q);

#endif
