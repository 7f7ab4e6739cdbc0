#ifndef QUEUES_CRON_HOOKS_H
#define QUEUES_CRON_HOOKS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/slice.h"

/* What one claim knows of each hook; lives in its arena. */
struct cron_hook {
	struct slice hook; /* p NULL: a free slot */
	size_t waiting;    /* rows of it that wait */
	size_t chosen;     /* events of it that are to be taken */
	bool stuck;        /* some of its rows cannot run now */
};

struct cron_hooks {
	struct cron_hook *slots; /* open addressing; NULL: none */
	size_t cap, n;
	struct arena *arena;
};

/* Room for `n` hooks. False: no memory. */
MUSTUSE bool cron_hooks_init(struct cron_hooks *h, struct arena *a, size_t n);
/* The hook's entry, a fresh one the first time; NULL: there is no room. */
struct cron_hook *cron_hooks_get(struct cron_hooks *h, struct slice hook);

#endif
