#ifndef TESTS_DB_TASKS_FIXTURE_H
#define TESTS_DB_TASKS_FIXTURE_H

#include "db_test.h"
#include "queues/tasks.h"

/* Options of a blog with a transient queue "q", and our tables. */
#define TX_VALUE "_transient_q"
#define TX_TIMEOUT "_transient_timeout_q"
#define TX_LOCK "_transient_q_lock"
#define TX_LOCK_TIMEOUT "_transient_timeout_q_lock"

struct tx {
	struct task_queue q;
};
extern struct tx tx;

/* With the options in a table of that engine. */
void tx_open(const char *engine);
void tx_put(const char *option, const char *value);
/* The inbox: a task of each type, alike but for that; up to a NULL. */
void tx_list(const char *type, ...);
/* Its time is over in so many seconds, or how many it has. */
void tx_timeout(int left);
int tx_timeout_left(void);
/* Fails the test unless the option is there with that value. */
void tx_is(const char *option, const char *value);

/*
 * Somebody is in the middle of a transaction on another connection that wrote
 * `first`; once t.db waits for it, it writes `then` and commits. tx_join()
 * after the call that waits.
 */
void tx_meanwhile(const char *first, const char *then);
void tx_join(void);

#endif
