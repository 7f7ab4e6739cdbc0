#ifndef CTL_DRIVE_H
#define CTL_DRIVE_H

#include "base/job.h"
#include "ctl.h"
#include "engine/engine.h"

/* Called some times a second; false: stop now. */
typedef bool drive_tick_fn(void *arg);

/* How much is left that was to be run; UINT64_MAX: not known. */
typedef uint64_t drive_left_fn(void *arg);

struct drive_opts {
	const struct site *site;
	uint64_t only_id; /* this row of only_kind; 0: what is due */
	enum job_kind only_kind;
	unsigned queues;  /* 1 << enum job_kind; 0: all */
	uint32_t blog_id; /* of a network; 0: all */
	size_t limit;     /* at most so many; 0: all */
	const struct config_list *hooks, *groups; /* NULL: any */
	uint64_t total;                           /* for the bar */
	drive_tick_fn *tick;                      /* may be NULL */
	/* Asked when the engine sees nothing more to do on the main blog: what
	 * is left there or on others is waited for, as long as it gets less.
	 * May be NULL. */
	drive_left_fn *left;
	void *arg;
};

enum drive_end {
	DRIVE_SETTLED,     /* what was due is settled, or the limit reached */
	DRIVE_STOPPED,     /* by a signal, or tick() */
	DRIVE_UNAVAILABLE, /* database or PHP did not take the work */
};

struct drive_result {
	enum drive_end end;
	struct engine_counts counts;
	uint64_t ms;
	char why[ERR_TEXT_MAX]; /* of DRIVE_UNAVAILABLE */
};

/*
 * drive - run the engine in this process until what is due is settled. SIGINT
 * and SIGTERM end it as they end the daemon: running work finishes, the rest
 * goes back. RC_FATAL, RC_REJECT: it could not start.
 */
MUSTUSE enum rc drive(const struct ctl *c, const struct drive_opts *o,
    struct drive_result *out, struct err *err);

#endif
