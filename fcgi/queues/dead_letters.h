#ifndef QUEUES_DEAD_LETTERS_H
#define QUEUES_DEAD_LETTERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "sql/db.h"

/*
 * What failed for good, of every queue, in one list. Written in the
 * transaction of the failure. Titles and reasons hold no addresses.
 */
enum dead_kind {
	DEAD_MAIL,
	DEAD_MESSAGE,
	DEAD_TASK,
	DEAD_ACTION,
	DEAD_EVENT,
	DEAD_CONTACT,
};
/* "mail", "message", "task", "action", "event", "contact" */
const char *dead_kind_name(enum dead_kind kind);
int dead_kind_of(struct slice name); /* -1: none */

struct dead_letter {
	uint32_t blog_id;
	uint64_t letter_id;
	enum dead_kind kind;
	struct slice queue; /* its name, hook or relay; "" */
	uint64_t source;    /* id in its queue */
	struct slice title; /* hook, subject, type */
	struct slice reason;
	unsigned attempts;
	int64_t created_at, died_at; /* Unix time; created_at 0: now */
	struct slice payload;        /* of a task; only dead_letter_get() */
};
/* The same source once more replaces the letter. */
MUSTUSE enum rc dead_letter_add(struct db *db, const struct sql_scope *scope,
    const struct dead_letter *d, struct err *err);

struct dead_filter {
	uint32_t blog_id; /* 0: all */
	int kind;         /* -1: all */
	struct slice queue;
	uint64_t before_id; /* 0: from the newest */
	size_t max;
};
/* Newest first. */
MUSTUSE enum rc dead_letters_list(struct db *db, const struct sql_scope *scope,
    const struct dead_filter *f, struct arena *a, struct dead_letter **out,
    size_t *n, struct err *err);
/* RC_NONE: there is none. */
MUSTUSE enum rc dead_letter_get(struct db *db, const struct sql_scope *scope,
    uint64_t letter_id, struct arena *a, struct dead_letter *out,
    struct err *err);
/* Only the letter; what it is about stays. RC_NONE: there was none. */
MUSTUSE enum rc dead_letter_delete(struct db *db, const struct sql_scope *scope,
    uint64_t letter_id, struct err *err);
/* Letters older than that, in portions. */
MUSTUSE enum rc dead_letters_expire(struct db *db,
    const struct sql_scope *scope, uint32_t days, struct err *err);

#endif
