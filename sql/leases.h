#ifndef SQL_LEASES_H
#define SQL_LEASES_H

#include <stdint.h>

#include "base/err.h"
#include "sql/db.h"

/*
 * Leases: rows that say which node does a thing that only one may do, until
 * when, with a token that grows at every grant. Time is the server's. A holder
 * stops before its term ends by its own monotonic clock, counted from before
 * the take or renewal was *sent*; what it writes elsewhere it fences
 * (`WHERE fence <= token`), since it may have slept.
 */

/*
 * lease_take - RC_OK: ours, and *token is greater than any before it. RC_NONE:
 * another node holds it. A node that takes its own lease again gets a new
 * token, and the old one is lost. `name` has at most 191 characters.
 */
MUSTUSE enum rc lease_take(struct db *db, const struct sql_scope *scope,
    const char *name, uint64_t node, uint32_t ttl_ms, uint64_t *token,
    struct err *err);

/* A third of the term is a good rhythm. RC_NONE: it is lost; stop at once. */
MUSTUSE enum rc lease_renew(struct db *db, const struct sql_scope *scope,
    const char *name, uint64_t token, uint32_t ttl_ms, struct err *err);

/*
 * lease_extend - as lease_renew(), also when its term is over, as long as
 * nobody else has had it: for work that may block for longer than a term and
 * asks before it writes. RC_NONE: somebody took it.
 */
MUSTUSE enum rc lease_extend(struct db *db, const struct sql_scope *scope,
    const char *name, uint64_t token, uint32_t ttl_ms, struct err *err);

/* Let another node have it now. RC_NONE: it was not ours any more. */
MUSTUSE enum rc lease_give(struct db *db, const struct sql_scope *scope,
    const char *name, uint64_t token, struct err *err);

/* For how long anybody holds it yet; 0: nobody does. */
MUSTUSE enum rc lease_left(struct db *db, const struct sql_scope *scope,
    const char *name, int64_t *ms, struct err *err);

#endif
