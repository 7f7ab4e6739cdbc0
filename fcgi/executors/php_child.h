#ifndef EXECUTORS_PHP_CHILD_H
#define EXECUTORS_PHP_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * The php-fpm child that serves a request, so that it can be ended when a job
 * overruns its time. Nothing is signalled that is not certainly that child:
 * same process start as when it said hello, still named as a php-fpm pool's,
 * and running as our own user (or we are root).
 */
struct php_child {
	int64_t pid;    /* 0: none */
	uint64_t start; /* field 22 of /proc/PID/stat, clock ticks since boot */
};

/* php_child_note - remember who said hello; `c` is empty when /proc does not
 * show that process (another host or container). */
void php_child_note(struct php_child *c, int64_t pid);
/* RC_OK: it may be signalled; RC_NONE: gone, or somebody else's pid now;
 * RC_REJECT: another user's, or never seen; the words say which. */
MUSTUSE enum rc php_child_check(const struct php_child *c, struct err *err);
/* Send `sig`; results as php_child_check(), RC_RETRY: the signal failed. */
MUSTUSE enum rc php_child_signal(
    const struct php_child *c, int sig, struct err *err);

#endif
