#ifndef ENGINE_SITE_PREPARE_H
#define ENGINE_SITE_PREPARE_H

#include "engine/engine_internal.h"

/*
 * site_prepare - before a blog's first look, and after an error that hints at
 * a changed schema: probe Action Scheduler's tables, read facts, identity and
 * how long hooks took. RC_NONE: too soon after a failure. Claimer only.
 */
MUSTUSE enum rc site_prepare(
    struct site_run *s, struct config *c, struct err *err);
/*
 * site_probe - are Action Scheduler's tables there, and which columns have
 * they? Without them (said once) the site has core's own events only, and is
 * asked again every 10 s: a plugin may bring them.
 */
MUSTUSE enum rc site_probe(struct site_run *s, struct err *err);
/* The id of this process in the tables, after it has (a new) one. */
void site_set_node(struct site_run *s, uint64_t node_id);
/* Facts and identity again, once a minute. */
MUSTUSE enum rc site_refresh(
    struct site_run *s, struct config *c, struct err *err);
/* The site's section in a snapshot; the one it was opened with when it is
 * not in there any more. */
const struct config_site *site_config(
    const struct config *c, const struct site *site);

/* What on_export of a worker's PHP executor hands over. */
void site_on_export(void *worker, struct slice json);

#endif
