#ifndef EXECUTORS_PHP_TASKS_H
#define EXECUTORS_PHP_TASKS_H

#include "base/arena.h"
#include "executors/php_list.h"

/* Tasks of a transient queue whose handler is a PHP function. */
struct php_task {
	struct slice function; /* "name" or "Class::method" */
	struct slice payload;  /* PHP-serialized */
	struct slice mail;     /* "task:9"; "": PHP's own transport */

	bool answered, ok; /* ok: the function's answer was truthy */
	bool begun;
	struct slice message; /* !ok: the exception, the error, or "false" */
};
/* One call each, in this order, each isolated as jobs are. */
MUSTUSE enum rc php_tasks_run(const struct php_executor_opts *opts,
    struct php_task *t, size_t n, uint32_t timeout_ms, struct arena *a,
    struct err *err);

/*
 * Reads and writes of transients where an object cache keeps them: the value
 * as PHP-serialized bytes. With `drain` an empty list is stored in its place
 * in the same call (accept_loss = yes); *gone: there is none.
 */
MUSTUSE enum rc php_tasks_inbox(const struct php_executor_opts *opts,
    struct slice transient, bool drain, uint32_t timeout_ms, struct arena *a,
    struct slice *value, bool *gone, struct err *err);
/* set_transient()/delete_transient(); value "" and ttl 0: delete. */
MUSTUSE enum rc php_tasks_transient(const struct php_executor_opts *opts,
    struct slice transient, struct slice value, uint32_t ttl_s,
    uint32_t timeout_ms, struct err *err);

#endif
