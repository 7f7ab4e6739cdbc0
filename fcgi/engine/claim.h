#ifndef ENGINE_CLAIM_H
#define ENGINE_CLAIM_H

#include "engine/engine_internal.h"

/* What one claim brought. */
struct claimed {
	size_t jobs;
	bool more; /* due work was left behind for want of room */
};

/*
 * site_claim - claim from one queue of a blog for at most one worker a lane,
 * and hand it over. RC_NONE: nothing was claimed. Errors as the queue's
 * claim(). Claimer only.
 */
MUSTUSE enum rc site_claim(struct site_run *s, struct queue *queue,
    struct config *c, struct claimed *out, struct err *err);

#endif
