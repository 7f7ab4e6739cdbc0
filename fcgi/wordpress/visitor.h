#ifndef WORDPRESS_VISITOR_H
#define WORDPRESS_VISITOR_H

#include "base/arena.h"
#include "formats/auth_cookie.h"
#include "wordpress/site.h"

/*
 * Who a request comes from, by WordPress' log-in cookie and the tables, for
 * many cookies in one read. A subset of those whom PHP would recognise.
 */

/* How this blog's cookies are named and signed; read once a minute at most.
 * Not to be copied: `salt` points into it. */
struct visitor_keys {
	char name[128]; /* of the log-in cookie */
	char salt_text[AUTH_SALT_MAX];
	struct slice salt;
};
/*
 * From wp-config.php's literals (COOKIEHASH, LOGGED_IN_COOKIE, WP_SITEURL, keys
 * and salts), read anew: whoever changes the salts wants old cookies to end;
 * and the options or sitemeta. RC_REJECT: it cannot be known without PHP; the
 * words say which constant. RC_RETRY: also while the file cannot be read.
 * Blocks for file reads and a statement.
 */
MUSTUSE enum rc visitor_keys_read(const struct site *s, struct db *db,
    const struct sql_scope *scope, struct visitor_keys *out, struct err *err);

struct visitor {
	const struct auth_cookie *cookie; /* in */
	/* Out; user_id 0: not recognised, for whatever reason. */
	uint64_t user_id;
	int64_t expires; /* of cookie and session, whichever is first */
	bool member;     /* has an array of capabilities on this blog */
	struct slice capabilities; /* as stored, the arena's */
	/* Newspack's usermeta of theirs, as stored; p NULL: no row. */
	struct slice last_enqueue, np_reader;
	uint64_t last_enqueue_row;     /* umeta_id; 0: none */
	bool pull_staged, push_staged; /* a flag row is there */
};
/* One read for all n (at most 100); unknown logins cost the same work. */
MUSTUSE enum rc visitors_recognise(const struct visitor_keys *keys,
    struct db *db, const struct sql_scope *scope, int64_t now,
    struct visitor *v, size_t n, struct arena *a, struct err *err);

#endif
