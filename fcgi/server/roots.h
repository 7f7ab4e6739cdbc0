#ifndef SERVER_ROOTS_H
#define SERVER_ROOTS_H

#include <stddef.h>

#include "base/clock.h"
#include "base/slice.h"
#include "wordpress/site.h"

/*
 * Which site a request is for. A DOCUMENT_ROOT is compared by device and
 * inode, so that symlinked deploys match; it is looked at, never opened.
 * Where the root is a folder above the site's, the path of the request must
 * lead down to it (WordPress in a sub-directory).
 */
struct roots;
struct roots *roots_new(struct site *const *sites, size_t nsites);
void roots_free(struct roots *r); /* NULL is fine */

/* What one thread remembers of the roots it looked at, for a second. */
#define ROOTS_CACHE_N 8
#define ROOTS_CACHE_PATH 256
struct roots_cache {
	struct {
		size_t len; /* 0: empty; longer paths are not remembered */
		char path[ROOTS_CACHE_PATH];
		mono_ms until;
		dev_t dev;
		ino_t ino; /* 0: no such directory */
	} entries[ROOTS_CACHE_N];
	size_t next;
};

/*
 * roots_find - the site, or NULL. `name` (param WP_CRON_SITE) decides alone
 * when it is not empty. `path` is the path of the request before the
 * endpoint's own part ("" or "/blog"). `cache` is the calling thread's.
 */
const struct site *roots_find(const struct roots *r, struct roots_cache *cache,
    mono_ms now, struct slice name, struct slice document_root,
    struct slice path);

#endif
