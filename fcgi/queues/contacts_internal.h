#ifndef QUEUES_CONTACTS_INTERNAL_H
#define QUEUES_CONTACTS_INTERNAL_H

#include "base/buf.h"
#include "queues/contacts.h"

/* Rows or ids of one statement. */
#define CONTACT_CHUNK ((size_t)500)
/* So much of a flag's value is read and compared; what is longer is not ours,
 * nor Newspack's. */
#define CONTACT_FLAG_MAX 64
/* Of the words in a retry row. */
#define CONTACT_REASON_MAX 500
/* Column extended_args; the plugin refuses longer ones. */
#define CONTACT_ARGS_MAX 8000
/* What the column args and its index hold. */
#define CONTACT_ARGS_SHORT 191

/* "newspack_contact_cron_pull_pending", ... */
struct slice contact_flag_key(enum contact_direction d);

/* By id. */
int contact_by_u64(const void *a, const void *b);

/* ---- JSON, pure ---------------------------------------------------------- */

/*
 * A string as PHP's json_encode() writes it without flags: "/" and all that is
 * not ASCII escaped. Bytes that are not UTF-8 become U+FFFD.
 */
void contact_json_put_php(struct buf *out, struct slice s);
/* JSON text of which all that is not ASCII is escaped. */
void contact_json_put_ascii(struct buf *out, struct slice json);
/* args of a retry row. */
void contact_json_put_retry(struct buf *out, const struct contact_retry *r);

/* Members of a bulk call as they are stored, and back; flags and texts are the
 * arena's. RC_REJECT: not what was stored. */
void contact_json_put_members(
    struct buf *out, const struct contact_member *m, size_t n);
MUSTUSE enum rc contact_json_members(struct slice json, struct arena *a,
    struct contact_member **out, size_t *n, struct err *err);

#endif
