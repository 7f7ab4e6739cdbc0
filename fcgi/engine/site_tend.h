#ifndef ENGINE_SITE_TEND_H
#define ENGINE_SITE_TEND_H

#include "engine/engine_internal.h"

/*
 * Staying alive, and those who are not. Claimer only; both block for their
 * transactions and say RC_OK or what went wrong with the database.
 */

/* Say that this node lives, and its claimed rows. A node that others took for
 * dead gives up its id: site_prepare() is to be called again. */
MUSTUSE enum rc site_heartbeat(
    struct site_run *s, struct config *c, mono_ms now, struct err *err);
/* Remove dead nodes, take back what they and lost claims left; clean up. */
MUSTUSE enum rc site_rescue(
    struct site_run *s, struct config *c, mono_ms now, struct err *err);

#endif
