#ifndef SERVER_TOKENS_H
#define SERVER_TOKENS_H

#include <stdbool.h>

#include "base/config.h"
#include "base/slice.h"

/*
 * The bearer tokens of the sites, by name, replaced as one when the
 * configuration is read again. Any thread.
 */
struct tokens;
struct tokens *tokens_new(const struct config_site *sites, size_t nsites);
void tokens_set(
    struct tokens *t, const struct config_site *sites, size_t nsites);
/*
 * tokens_match - does `authorization` ("Bearer ...") carry the site's token?
 * Takes the same time wherever they differ. A site without one matches never.
 */
MUSTUSE bool tokens_match(
    struct tokens *t, const char *site, struct slice authorization);
void tokens_free(struct tokens *t); /* NULL is fine */

#endif
