#ifndef QUEUES_COMPANION_LOCK_H
#define QUEUES_COMPANION_LOCK_H

#include <stdint.h>

#include "base/err.h"
#include "sql/db.h"

/*
 * The companion plugin holds a lock of the database server (GET_LOCK) from
 * when it reads the newest value of the option `cron` until WordPress has
 * written what it made of it. Where the plugin is, whoever edits the option
 * holds the same lock; a row lock alone would let the edit fall between the
 * two, to be overwritten. The lock is the connection's and ends with it; a
 * proxy that hands connections round between statements makes it useless.
 */

/*
 * companion_lock - take the lock of scope->prefix' blog, before the
 * transaction in which the option is edited: the plugin takes row locks while
 * it has this one, so the other order can make two wait for each other until
 * the time is over. Each RC_OK is given back by companion_unlock() after the
 * COMMIT. RC_NONE: not had within `timeout_s`; look again later, or go on and
 * risk that the edit is overwritten. RC_RETRY: the database did not answer.
 *
 * Blocks for at most timeout_s; 0 does not wait.
 */
MUSTUSE enum rc companion_lock(struct db *db, const struct sql_scope *scope,
    uint32_t timeout_s, struct err *err);

/* Never fails: on a lost connection the lock is gone already. */
void companion_unlock(struct db *db, const struct sql_scope *scope);

#endif
