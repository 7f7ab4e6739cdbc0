#ifndef EXECUTORS_PHP_TASKS_H
#define EXECUTORS_PHP_TASKS_H

#include "base/arena.h"
#include "executors/php_list.h"

/* What PHP does for a queue of tasks in a transient (php/tasks.php). */

/* A task whose handler is a PHP function. */
struct php_task {
	struct slice function; /* "name" or "Class::method" */
	struct slice payload;  /* PHP-serialized */
	struct slice mail;     /* "task:9"; "": PHP's own transport */

	bool answered, ok; /* ok: the function's answer was truthy */
	bool begun;
	struct slice message; /* !ok: the exception, the error, or "false" */
};
struct php_tasks_opts {
	uint32_t timeout_ms; /* of one task */
	uint32_t budget_ms;  /* no task begins later */
	/* PHP begins task i now; it is answered: at once, each. NULL: nobody
	 * wants to know. */
	void (*begun)(void *arg, size_t i);
	void (*ended)(void *arg, size_t i);
	/* Asked now and then: shall no other task begin? NULL: no. */
	bool (*over)(void *arg);
	/* Called about once a second; may be NULL. */
	void (*tick)(void *arg);
	/* Asked as often: shall PHP be ended under what it is at? NULL: no. */
	bool (*give_up)(void *arg);
	void *arg;
};
/*
 * php_tasks_run - one call each, in this order, each isolated as jobs are. One
 * in which PHP ends is answered so and not asked for again. Returns as
 * php_list_run(); RC_RETRY with `begun` and not `answered`: its time was over.
 */
MUSTUSE enum rc php_tasks_run(const struct php_executor_opts *opts,
    const struct php_tasks_opts *o, struct php_task *t, size_t n,
    struct arena *a, struct err *err);

/* do_action() of the queue's own hook: the plugin's processor does it all.
 * Only timeout_ms, of all of it, tick, give_up and arg are looked at.
 * RC_REJECT: nobody listens, or it failed. */
MUSTUSE enum rc php_tasks_process(const struct php_executor_opts *opts,
    const struct php_tasks_opts *o, struct slice hook, struct err *err);

/*
 * The inbox where an object cache keeps it. It is drained, an empty list
 * stored in its place in the same call, if every task's type is in `types`
 * and nobody holds the transient `lock`.
 */
struct php_inbox {
	bool gone;             /* there is none, or an empty one */
	bool locked;           /* the plugin's processor works */
	bool taken;            /* drained: `value` is what stood there */
	struct slice value;    /* as stored in a row; the arena's */
	const char *types[32]; /* what there is; the arena's */
	size_t ntypes;         /* at most NELEMS(types) are told */
};
MUSTUSE enum rc php_tasks_inbox(const struct php_executor_opts *opts,
    struct slice transient, struct slice lock, uint32_t lock_ttl_s,
    const struct slice *types, size_t ntypes, uint32_t timeout_ms,
    struct arena *a, struct php_inbox *out, struct err *err);
/* set_transient()/delete_transient(); value "" and ttl 0: delete. */
MUSTUSE enum rc php_tasks_transient(const struct php_executor_opts *opts,
    struct slice transient, struct slice value, uint32_t ttl_s,
    uint32_t timeout_ms, struct err *err);

#endif
