#ifndef ENGINE_MESSAGES_RUN_H
#define ENGINE_MESSAGES_RUN_H

#include "engine/work.h"

/*
 * One look at Event Espresso's queue of a blog, by one node under a lease:
 * generation and sending by turns, each in batches.
 */
struct messages_opts {
	bool tick; /* the plugin's schedule: all priorities; else what is due
		      between ticks */
	uint32_t budget_ms;
	/* Of wp-cronctl: these ids alone; no rate. */
	const uint64_t *ids;
	size_t nids;
	bool generate, send; /* which; both false: both */
};
struct messages_report {
	uint64_t generated, sent, failed, restored, waiting;
	bool absent;             /* the plugin or its tables are not there */
	bool left_to_php;        /* with the plugin's two events */
	bool more;               /* there is more to do at once */
	int64_t wait_ms;         /* look again then: PHP's lock, the window */
	char held[ERR_TEXT_MAX]; /* why nothing was done; "" */
};
/* RC_NONE: another node is at it. RC_RETRY: the database is away. */
MUSTUSE enum rc messages_run(const struct work_env *env,
    const struct messages_opts *opts, struct messages_report *out,
    struct err *err);
/* The cheap look: is there something to generate or to send between ticks, or
 * an option to be renewed that keeps PHP's own batches idle? RC_NONE: there
 * are no such tables. */
MUSTUSE enum rc messages_look(
    struct db *db, const struct sql_scope *scope, bool *due, struct err *err);
/* Why PHP is asked for nothing, as it told last. */
struct messages_off {
	bool absent; /* the plugin is not active */
	bool same_request_filter, replaced;
};
MUSTUSE enum rc messages_off(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, struct messages_off *out, struct err *err);
/* Give the queue back to PHP: the options that keep it idle. What is left of
 * an open window is PHP's then. */
MUSTUSE enum rc messages_hand_back(const struct work_env *env, struct err *err);

#endif
