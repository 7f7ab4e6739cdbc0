#ifndef QUEUES_ACTIONS_ADMIN_H
#define QUEUES_ACTIONS_ADMIN_H

#include "queues/actions.h"

/*
 * What an administrator does to actions, one at a time and by id. Each change
 * is one transaction that writes only rows found in the state that it needs.
 */

/*
 * actions_claim_one - as queue_ops.claim(), for this row alone and whatever
 * its date. RC_NONE: it is not pending, not free, not admitted, or cannot run
 * here; nothing was claimed.
 */
MUSTUSE enum rc actions_claim_one(struct actions *q, struct db *db, uint64_t id,
    const struct claim_request *req, struct claim_result *res, struct err *err);

/*
 * actions_retry_one - insert a fresh row, due now, for a failed or canceled
 * one, which stays as it is; *fresh is its id. RC_NONE: there is no such
 * action, it has another status, or was tried again already; the words say
 * which.
 */
MUSTUSE enum rc actions_retry_one(struct actions *q, struct db *db, uint64_t id,
    uint64_t *fresh, struct err *err);

/*
 * actions_cancel - cancel those of `n` rows (1,000 at most) that are pending
 * and claimed by nobody; their ids are moved to the front of `ids`, ascending,
 * and counted in *canceled. The others are left alone.
 */
MUSTUSE enum rc actions_cancel(struct actions *q, struct db *db, uint64_t *ids,
    size_t n, size_t *canceled, struct err *err);

#endif
