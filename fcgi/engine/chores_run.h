#ifndef ENGINE_CHORES_RUN_H
#define ENGINE_CHORES_RUN_H

#include "engine/chores.h"
#include "engine/work.h"

/* "outbox", "messages", "tasks" */
const char *chore_name(enum chore what);

struct chore_report {
	bool absent;             /* there is no such thing on this blog */
	bool left_to_php;        /* messages: with the plugin's events */
	bool untold;             /* outbox: verdicts that wait */
	bool more;               /* there is more to do at once */
	int64_t wait_ms;         /* nothing can be done sooner */
	char held[ERR_TEXT_MAX]; /* why nothing is done; "" */
};
/* Do it for a while. RC_NONE: another node is at it; RC_RETRY: the database is
 * away. */
MUSTUSE enum rc chore_run(const struct work_env *env, enum chore what,
    bool tick, struct chore_report *out, struct err *err);

#endif
