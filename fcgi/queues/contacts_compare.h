#ifndef QUEUES_CONTACTS_COMPARE_H
#define QUEUES_CONTACTS_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "sql/db.h"

/*
 * Are the contacts that are built here, by [fields SITE/ID], those that the
 * plugin's classes build? `wp-cronctl integration fields ID --compare` looks
 * and writes down what it found; the batch builds contacts itself only while
 * that is "equal". What was found holds for the digest of all that decides
 * both sides: with another one it is not known.
 */
enum contact_compare {
	CONTACT_COMPARE_UNKNOWN, /* never looked, or something has changed */
	CONTACT_COMPARE_EQUAL,
	CONTACT_COMPARE_DIFFERENT,
};

/* `digest`: up to 64 characters without blanks. One row of
 * {base}wpcron_meta; RC_REJECT: the integration's name is too long. */
MUSTUSE enum rc contact_compare_write(struct db *db,
    const struct sql_scope *scope, uint32_t blog_id, struct slice integration,
    const char *digest, bool equal, struct err *err);
/* The digest with which they were found equal; "" where they never were, or
 * differ. One read by primary key. */
#define CONTACT_DIGEST_LEN 64
MUSTUSE enum rc contact_compare_read(struct db *db,
    const struct sql_scope *scope, uint32_t blog_id, struct slice integration,
    char digest[CONTACT_DIGEST_LEN + 1], struct err *err);
/* What was found with this digest, for doctor. */
MUSTUSE enum rc contact_compare_look(struct db *db,
    const struct sql_scope *scope, uint32_t blog_id, struct slice integration,
    const char *digest, enum contact_compare *out, struct err *err);

#endif
