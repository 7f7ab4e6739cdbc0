#ifndef BASE_LEAVERS_H
#define BASE_LEAVERS_H

#include <pthread.h>
#include <stdbool.h>

/*
 * Threads that end by themselves, joined all the same: one that is merely
 * detached may still be giving back what its libraries keep for a thread while
 * the process' end takes those libraries down. Each one that ends joins the one
 * before it, and the owner the last.
 */
struct leavers {
	pthread_t last;
	bool any;
};

/*
 * leavers_add - the calling thread is about to end; the caller holds the lock
 * that guards *l. Returns who left before it, for leavers_join() as the last
 * thing that the thread does, without the lock.
 */
struct leavers leavers_add(struct leavers *l);
/* Blocks until all of them have ended; *l is empty then. */
void leavers_join(struct leavers *l);

#endif
