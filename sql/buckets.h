#ifndef SQL_BUCKETS_H
#define SQL_BUCKETS_H

#include <stdint.h>

#include "base/err.h"
#include "sql/db.h"

/*
 * bucket_take - take up to `want` of the `count` starts that `name` has in a
 * window of `per_s` seconds, over all nodes. *got says how many (0 to want);
 * never are more than `count` granted in one window. Windows are aligned to
 * 1970-01-01 by the server's clock. What is not used may be
 * given back.
 *
 * With a lost connection (RC_RETRY) the starts may be used up all the same.
 * `name` has at most 191 characters; count and per_s are at least 1. Blocks
 * for one statement; in a transaction the row stays locked to its end.
 */
MUSTUSE enum rc bucket_take(struct db *db, const struct sql_scope *scope,
    const char *name, uint32_t count, uint32_t per_s, uint32_t want,
    uint32_t *got, struct err *err);

/* bucket_give - what was taken in this window and not used. Later than that it
 * is void. */
MUSTUSE enum rc bucket_give(struct db *db, const struct sql_scope *scope,
    const char *name, uint32_t per_s, uint32_t unused, struct err *err);

/*
 * Windows that are not aligned: one opens with what is first taken, lasts for
 * per_s, and the next one opens with what is first taken after it. A bucket is
 * of one kind or the other.
 */
MUSTUSE enum rc bucket_open(struct db *db, const struct sql_scope *scope,
    const char *name, uint32_t count, uint32_t per_s, uint32_t want,
    uint32_t *got, struct err *err);
/* What the open window has used, and in how many ms it ends; 0 and 0: none is
 * open. */
MUSTUSE enum rc bucket_open_left(struct db *db, const struct sql_scope *scope,
    const char *name, uint32_t per_s, uint32_t *used, int64_t *left_ms,
    struct err *err);
/* What bucket_open() took, and had returned `taken_ms` ago. */
MUSTUSE enum rc bucket_open_give(struct db *db, const struct sql_scope *scope,
    const char *name, uint32_t unused, int64_t taken_ms, struct err *err);
/* Another's window with `used` that ends in left_ms goes on here, if none is
 * open. */
MUSTUSE enum rc bucket_open_adopt(struct db *db, const struct sql_scope *scope,
    const char *name, uint32_t per_s, uint32_t used, int64_t left_ms,
    struct err *err);

#endif
