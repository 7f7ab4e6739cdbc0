#ifndef WORDPRESS_SITE_PRIVATE_H
#define WORDPRESS_SITE_PRIVATE_H

#include <stddef.h>

#include "base/arena.h"
#include "formats/wp_config.h"
#include "wordpress/site.h"

struct site_private {
	struct wp_config *defines;        /* what wp-config.php says */
	struct arena arena;               /* the site's strings */
	const char *wp_home, *wp_siteurl; /* the constants; NULL: not defined */
	const char *db_host;              /* as it was written */
};

/* The zone of that name from tzdata, the caller's; NULL: there is none. */
struct timezone *site_zone_open(const char *name);

/* The whole file, at most `max` bytes, the arena's. RC_NONE: it is not there;
 * RC_REJECT: it cannot be read. */
MUSTUSE enum rc site_file_read(const char *path, size_t max, struct arena *a,
    struct slice *out, struct err *err);

#endif
