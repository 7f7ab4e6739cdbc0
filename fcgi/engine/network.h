#ifndef ENGINE_NETWORK_H
#define ENGINE_NETWORK_H

#include "engine/engine_internal.h"

/* A WordPress of which the main blog is known at first; never fails. */
void network_init(struct network *n, struct engine *e, const struct site *site,
    struct database *d);
void network_clear(struct network *n);

/* The blog that serves a host and path as WordPress chooses it; the main one
 * when none does. Host without port. With the lock. */
struct site_run *network_blog_locked(
    struct network *n, struct slice host, struct slice path);
struct site_run *network_blog_by_id_locked(
    const struct network *n, uint32_t blog_id);

/*
 * network_turn - what is done once for all blogs: our tables and this node's
 * row, the list of blogs, pauses, nodes that died. RC_NONE: too soon after a
 * failure. Claimer only.
 */
MUSTUSE enum rc network_turn(
    struct network *n, struct config *c, mono_ms now, struct err *err);
/* Does the next turn of the network wait for that? When it is due. */
mono_ms network_turn_at(const struct network *n);

/*
 * network_scan - which of many blogs have something due: one query for the
 * options, one for the actions, one for what waits in our table. Sets their
 * `wanted`; of those that have nothing it is known, too. Claimer only.
 */
MUSTUSE enum rc network_scan(struct network *n, struct err *err);
/* Many blogs are scanned; a single one just looks. */
bool network_is_scanned(const struct network *n);

/* At the end: this node goes, and if it was the last, cron events that wait
 * go back to WordPress. */
void network_leave(struct network *n);

#endif
