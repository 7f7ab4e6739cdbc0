#ifndef ENGINE_SITE_TEND_H
#define ENGINE_SITE_TEND_H

#include "engine/engine_internal.h"

/*
 * What a blog needs besides looks. Claimer only; all block for their
 * transactions and say RC_OK or what went wrong with the database.
 */

/* Other runners count claimed rows as dead after a while: they live. */
MUSTUSE enum rc site_refresh_rows(
    struct site_run *s, mono_ms now, struct err *err);
/* Take back what dead nodes and lost claims left; clean up. */
MUSTUSE enum rc site_rescue(
    struct site_run *s, struct config *c, mono_ms now, struct err *err);
/* Keep WordPress' cron lock as long as events are in our hands. */
MUSTUSE enum rc site_tend_events(
    struct site_run *s, mono_ms now, struct err *err);
/* Posts whose event to publish them is gone; every five minutes. */
MUSTUSE enum rc site_missed_posts(
    struct site_run *s, struct config *c, mono_ms now, struct err *err);
/* At the end: events that nobody began go back into the option. */
MUSTUSE enum rc site_give_back(struct site_run *s, struct err *err);

#endif
