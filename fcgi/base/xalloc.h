#ifndef BASE_XALLOC_H
#define BASE_XALLOC_H

#include <stddef.h>

#include "base/macros.h"
#include "base/slice.h"

/*
 * Small fixed allocations. Without memory the process ends (exit 70), which
 * the database sees as any crash. Never for a size that came from outside.
 */
MUSTUSE void *xcalloc(size_t count, size_t size);
MUSTUSE void *xrealloc(void *p, size_t count, size_t size);
/* A NUL-terminated copy. */
MUSTUSE char *xstrdup(const char *s);
MUSTUSE char *xstrndup(struct slice s);

#endif
