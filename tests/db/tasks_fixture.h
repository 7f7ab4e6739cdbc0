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
	struct task *tasks; /* claimed */
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

/* Takes what is in the inbox. */
void tx_drain(void);
/* So many tasks are in tx.tasks then, up to tx_forget(). */
size_t tx_claim(uint64_t claim, size_t max);
size_t tx_claim_of(
    uint64_t claim, size_t max, const struct slice *types, size_t n);
/* Of tx.tasks[i]. */
enum rc tx_begin(size_t i, uint64_t claim);
enum rc tx_settle(size_t i, uint64_t claim, bool ok, bool for_good);
void tx_forget(void);
/* Tasks that nobody has claimed. */
uint64_t tx_in_state(const char *state);

/*
 * Somebody is in the middle of a transaction on another connection that wrote
 * `first`; once t.db waits for it, it writes `then` and commits. tx_join()
 * after the call that waits.
 */
void tx_meanwhile(const char *first, const char *then);
void tx_join(void);

#endif
