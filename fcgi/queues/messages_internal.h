#ifndef QUEUES_MESSAGES_INTERNAL_H
#define QUEUES_MESSAGES_INTERNAL_H

#include "queues/messages.h"

/* Ids of one statement. */
#define MESSAGES_CHUNK ((size_t)500)
/* Column reason. */
#define MESSAGES_REASON_MAX 500
/* What a row and its meta may be as JSON: a text of 64 KiB a meta row, and the
 * content of the largest mail that a server takes. */
#define MESSAGES_COPY_MAX ((size_t)14 << 20)

/* ---- copies of MIC rows, pure -------------------------------------------- */

/* Columns of a row that are copied, as messages.restore takes them. */
enum {
	MESSAGES_COLUMNS = 15,
	MESSAGES_COLUMN_TYPE = 4, /* MSG_message_type */
};
struct messages_meta {
	struct slice key, value; /* p NULL: NULL */
};
/* A column's p NULL: NULL. */
struct messages_copy {
	struct slice columns[MESSAGES_COLUMNS];
	struct messages_meta *meta;
	size_t nmeta;
};
/* As JSON, bytes in base64; look at out->failed. */
void messages_copy_put(struct buf *out, const struct messages_copy *c);
/* RC_REJECT: not what was written. Texts are the arena's. */
MUSTUSE enum rc messages_copy_parse(struct slice json, struct arena *a,
    struct messages_copy *out, struct err *err);

/* ---- shared -------------------------------------------------------------- */

/* Has what keeps PHP's batches idle less than MESSAGES_IDLE_RENEW_S left? Not
 * if nothing does. */
MUSTUSE enum rc messages_idle_ends(struct db *db, const struct sql_scope *scope,
    int64_t now, bool *soon, struct err *err);
/* Set MSG_error: update what is there, or add it; at most 65,535 bytes. */
MUSTUSE enum rc messages_error_set(struct db *db, const struct sql_scope *scope,
    uint64_t id, struct slice text, struct err *err);
/* A dead letter about a message. */
MUSTUSE enum rc messages_letter(struct db *db, const struct sql_scope *scope,
    uint32_t blog_id, uint64_t id, struct slice reason, unsigned tries,
    struct err *err);
/*
 * The relay's verdict may come before the row is MSN, and says nothing to a row
 * that is not: what it refused of these sendings is said now, once they are.
 */
MUSTUSE enum rc messages_heed_refusals(struct db *db,
    const struct sql_scope *scope, uint32_t blog_id, const uint64_t *ids,
    size_t n, struct err *err);
/* At most MESSAGES_REASON_MAX bytes, addresses masked. */
void messages_reason_put(struct buf *out, struct slice reason);

#endif
