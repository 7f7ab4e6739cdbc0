#ifndef QUEUES_MISSED_POSTS_H
#define QUEUES_MISSED_POSTS_H

#include <stdint.h>

#include "base/err.h"
#include "sql/db.h"

/*
 * WordPress publishes a scheduled post by a cron event. When that is lost (to
 * a writer of the option `cron` that did not know it) the post waits for ever.
 *
 * missed_posts_find - for each post of the blog that is `future`, was due more
 * than two minutes ago, and has no event publish_future_post, neither in the
 * option nor in the table: put one into {base}wpcron_events, due when the post
 * was. Core's hook then checks the post and publishes it. A post for which one
 * was put, or run, in the last hour is left alone. *repaired (may be NULL):
 * how many.
 *
 * Not for sites that are only observed: it writes. RC_RETRY: not now.
 * RC_REJECT: the tables or the option are not as WordPress has them.
 *
 * Threads: the connection's. Blocks for a few reads, and a transaction which
 * holds the option's row when there is something to do.
 */
MUSTUSE enum rc missed_posts_find(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, unsigned *repaired, struct err *err);

#endif
