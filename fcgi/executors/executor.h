#ifndef EXECUTORS_EXECUTOR_H
#define EXECUTORS_EXECUTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/job.h"

struct executor;

/*
 * Called by poll() for every job that ended, on the executor's thread.
 * `o` is the callee's to copy.
 */
typedef void outcome_fn(void *arg, const struct outcome *o);

/*
 * An executor runs jobs for one worker thread and knows nothing of tables.
 * begin() takes jobs, poll() moves them on and reports each as it ends,
 * exactly once.
 */
struct executor_ops {
	const char *name;
	/* How many more jobs begin() would take now. */
	size_t (*room)(const struct executor *);
	/* How many jobs to the place this one goes to could be sent at once
	 * now; *shut: none for a while, better give it back. NULL: as many as
	 * room() says. So that no row is marked running that only waits. */
	size_t (*places)(
	    const struct executor *, const struct job *, bool *shut);
	/* Take n <= room() jobs. Every one is reported by a later poll(), also
	 * when it could not even be sent. */
	void (*begin)(struct executor *, struct job *const *jobs, size_t n);
	/* Wait up to timeout_ms for something to happen (0: do not wait),
	 * report what ended. Returns at once when nothing runs. */
	void (*poll)(
	    struct executor *, int timeout_ms, outcome_fn *report, void *arg);
	/* Jobs begun and not reported. */
	size_t (*running)(const struct executor *);
	/* The worker stops: end everything now and report it (DIED, RETRY or
	 * RELEASED as is true of each). */
	void (*abandon)(struct executor *, outcome_fn *report, void *arg);
	void (*free)(struct executor *);
};

/* First member of every executor. */
struct executor {
	const struct executor_ops *ops;
};

#endif
