#ifndef QUEUES_OUTBOX_PAUSES_H
#define QUEUES_OUTBOX_PAUSES_H

#include <stdbool.h>

#include "base/err.h"
#include "sql/db.h"

/* Pauses of relays, of all nodes: rows of kind OUTBOX_PAUSE_KIND, blog 0, whose
 * pattern is the name of an [smtp] or OUTBOX_PAUSE_ALL. */
#define OUTBOX_PAUSE_KIND "smtp"
#define OUTBOX_PAUSE_ALL "*"

/* outbox_paused - does an administrator hold this relay, or all of them? One
 * read by key. */
MUSTUSE enum rc outbox_paused(struct db *db, const struct sql_scope *scope,
    const char *relay, bool *paused, struct err *err);

#endif
