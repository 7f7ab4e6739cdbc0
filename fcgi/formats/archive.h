#ifndef FORMATS_ARCHIVE_H
#define FORMATS_ARCHIVE_H

#include "base/err.h"
#include "base/slice.h"

/*
 * A tar archive in memory, plain or compressed with gzip: what providers give
 * the results of bulk calls in. Nothing is written anywhere.
 */

/* A regular file of it; both are lent for the call. RC_OK: go on. Anything
 * else ends the walk, with its words. */
typedef enum rc archive_file_fn(
    void *arg, const char *name, struct slice content, struct err *err);

/*
 * archive_each - call `each` for every regular file, in the archive's order.
 * RC_REJECT: not such an archive, cut off, or over `max` bytes unpacked; files
 * before the fault were reported. Else what `each` said.
 */
MUSTUSE enum rc archive_each(struct slice archive, size_t max,
    archive_file_fn *each, void *arg, struct err *err);

#endif
