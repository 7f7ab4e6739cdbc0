#ifndef CTL_WORK_ENV_H
#define CTL_WORK_ENV_H

#include <signal.h>

#include "ctl.h"
#include "engine/work.h"

/* A blog, and what engine/work.h's calls want of it. */
struct work_view {
	struct place *place;
	struct work_env env;
	sigset_t signals; /* those that end what is under way */
};

/* work_open - for the blog that `p` looks at; nothing is to be closed. `v` may
 * not be moved after it. */
MUSTUSE enum rc work_open(
    const struct ctl *c, struct place *p, struct work_view *v, struct err *err);

/* What a command does on one blog; an exit status. */
typedef int work_fn(const struct ctl *c, struct work_view *v, void *arg);
/* work_each - as blogs_each(), of sites with our tables. */
MUSTUSE int work_each(const struct ctl *c, work_fn *fn, void *arg);

/* --budget, as the configuration has durations (30s, 2m); 0: not given. 0, or
 * an exit status after words. */
MUSTUSE int work_budget(const struct ctl *c, uint32_t *ms);

/* --per-page, --page; all that a program reads comes at once. */
#define PAGE_ALL 1000000
struct work_page {
	uint64_t per_page, page;
};
MUSTUSE int work_page(const struct ctl *c, struct work_page *out);
uint64_t work_page_skip(const struct work_page *p);

#endif
