#ifndef QUEUES_OUTBOX_INTERNAL_H
#define QUEUES_OUTBOX_INTERNAL_H

#include "queues/dead_letters.h"
#include "queues/outbox.h"

/* Columns' lengths. */
#define OUTBOX_JOB_MAX 64
#define OUTBOX_TEXT_MAX 255 /* message_id, subject */
#define OUTBOX_SENDER_MAX 254
#define OUTBOX_REPLY_MAX 500
/* Thousands of recipients with the words of each; of a claim all lists. */
#define OUTBOX_RECIPIENTS_BYTES ((size_t)8 << 20)

/* As much of `s` as a column of `max` bytes takes; p is never NULL. */
struct slice outbox_clip(struct slice s, size_t max);

/* Recipients as they are stored (sql/schema.sql). */
void outbox_put_recipients(
    struct buf *out, const struct outbox_recipient *r, size_t n);
/* RC_REJECT: it is no such list, or an empty one. */
MUSTUSE enum rc outbox_parse_recipients(struct slice json, struct arena *a,
    struct outbox_recipient **out, size_t *n, struct err *err);

/* The state of rows that ended so, in JSON's and the table's words. */
const char *outbox_state_name(enum outbox_end end, int64_t wait_s);

/* The letter of a mail that is dead or held. */
MUSTUSE enum rc outbox_letter(struct db *db, const struct sql_scope *scope,
    const struct outbox_mail *m, struct slice reason, struct err *err);

/* ids of a select's first column, at most `max`; with their number. */
#define OUTBOX_IDS_MAX ((size_t)1000)
MUSTUSE enum rc outbox_ids(struct db *db, const struct sql_scope *scope,
    enum sql_id id, const struct sql_args *args, uint64_t *out, size_t *n,
    struct err *err);

#endif
