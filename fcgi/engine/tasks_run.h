#ifndef ENGINE_TASKS_RUN_H
#define ENGINE_TASKS_RUN_H

#include "engine/work.h"

struct task_queue;

/* The [tasks SITE/NAME] of a site as the queue knows it. */
void tasks_queue_of(
    uint32_t blog_id, const struct config_tasks *c, struct task_queue *out);

struct tasks_report {
	uint64_t taken, done, failed, dead, stale;
	bool more;
	int64_t wait_ms;         /* look again then */
	char held[ERR_TEXT_MAX]; /* why nothing was done; "" */
};
/*
 * One look at one of a site's queues, by one node under a lease: lock, drain,
 * then batches until nothing is ready or budget_ms is over. RC_NONE: another
 * node is at it. RC_RETRY: the database is away.
 *
 * A queue that holds a task of a type without a handler is not drained: the
 * plugin's processor runs in PHP as a whole.
 */
MUSTUSE enum rc tasks_run(const struct work_env *env,
    const struct config_tasks *c, uint32_t budget_ms, struct tasks_report *out,
    struct err *err);
/* Give the queue back to the plugin; *n tasks went. RC_NONE: another node, or
 * the plugin's processor, is at it. RC_REJECT: tasks wait here, and
 * an object cache keeps the inbox. */
MUSTUSE enum rc tasks_hand_back_run(const struct work_env *env,
    const struct config_tasks *c, size_t *n, struct err *err);

/* Queues that the companion plugin hands over and no [tasks] names any more
 * are the plugin's again. */
MUSTUSE enum rc tasks_forget_run(const struct work_env *env, struct err *err);

#endif
