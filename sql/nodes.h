#ifndef SQL_NODES_H
#define SQL_NODES_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "sql/db.h"

/* A fresh id for this process; host and version are cut to their columns. */
MUSTUSE enum rc node_register(struct db *db, const struct sql_scope *scope,
    const char *host, uint32_t pid, const char *version, uint64_t *node,
    struct err *err);

/* Say that we live. RC_NONE: our row is gone, others took us for dead and may
 * have taken our claims: stop what was claimed, and register anew. */
MUSTUSE enum rc node_heartbeat(struct db *db, const struct sql_scope *scope,
    uint64_t node, struct err *err);

/*
 * nodes_expired - ids of nodes whose heartbeat is older than `expiry_ms` by
 * the server's clock, ascending. *ids is the caller's to free(), NULL when
 * there are none. At most 1000 at a time.
 */
MUSTUSE enum rc nodes_expired(struct db *db, const struct sql_scope *scope,
    uint32_t expiry_ms, uint64_t **ids, size_t *n, struct err *err);

/*
 * node_expire - remove a node only if it is still dead. RC_NONE: it is gone
 * or was seen alive meanwhile. Call it before its claims are taken, in the
 * same transaction or with claims of unknown nodes counting as dead, so that
 * a node that wakes up learns of it by its heartbeat.
 */
MUSTUSE enum rc node_expire(struct db *db, const struct sql_scope *scope,
    uint64_t node, uint32_t expiry_ms, struct err *err);

/* How many other nodes are registered, alive or not. */
MUSTUSE enum rc nodes_others(struct db *db, const struct sql_scope *scope,
    uint64_t node, uint64_t *n, struct err *err);

/* At the end of a process; RC_OK also when the row is gone. */
MUSTUSE enum rc node_remove(struct db *db, const struct sql_scope *scope,
    uint64_t node, struct err *err);

#endif
