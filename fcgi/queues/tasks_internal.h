#ifndef QUEUES_TASKS_INTERNAL_H
#define QUEUES_TASKS_INTERNAL_H

#include "base/ceilings.h"
#include "formats/task_list.h"
#include "queues/tasks.h"

/* "_transient_timeout_", 172 bytes and a NUL. */
#define TASK_OPTION_MAX 192
#define TASK_DIGEST 32
#define TASK_TTL_S 86400
/* The inbox' time is extended when it has less. */
#define TASK_TTL_LOW_S 43200
/* Snapshots are kept at least so long. */
#define TASK_SNAPSHOT_S 900
/* tasks.error, and a reason. */
#define TASK_ERROR_MAX 500

/* Names of options. */
struct task_options {
	char value[TASK_OPTION_MAX], timeout[TASK_OPTION_MAX];
};
MUSTUSE enum rc task_options_of(
    struct slice transient, struct task_options *out, struct err *err);

/* A transient's rows, as they are stored. */
struct task_rows {
	struct db_rows *rows; /* lends the texts */
	bool present, has_timeout;
	struct slice value, timeout;
	int64_t now, until; /* Unix time; until 0: it is no number */
	/* What WordPress gives transients here: "no", or "off" since 6.6. */
	char autoload[8];
};
/* `other` is a further name whose autoload is looked at, or NULL. */
MUSTUSE enum rc task_rows_read(struct db *db, const struct sql_scope *scope,
    const struct task_options *o, const char *other, struct task_rows *out,
    struct err *err);
bool task_rows_expired(const struct task_rows *r);

/*
 * One list on its way into the table: read it, see how much of it was taken
 * before (R2), store the rest. Cleared with task_intake_clear().
 */
struct task_intake {
	struct db *db;
	const struct sql_scope *scope;
	const struct task_queue *q;
	struct arena arena;
	struct task_list list;
	size_t again; /* so many at its head are known */
	size_t stale; /* of those, not to be taken again: all or none */
	int64_t oldest;
	unsigned char *digests; /* TASK_DIGEST each */
	uint64_t *covered;      /* snapshots that are its beginning */
	size_t ncovered;
	bool known; /* a snapshot begins with all of it */
};
void task_intake_init(struct task_intake *in, struct db *db,
    const struct sql_scope *scope, const struct task_queue *q);
void task_intake_clear(struct task_intake *in);
/* RC_REJECT: unreadable. The value is lent until it is cleared. */
MUSTUSE enum rc task_intake_read(
    struct task_intake *in, struct slice value, struct err *err);
/* task_intake_read() without looking for what is stale. */
MUSTUSE enum rc task_intake_parse(
    struct task_intake *in, struct slice value, struct err *err);

/* How the tasks are stored. */
struct task_arrival {
	int64_t now;       /* Unix time */
	struct slice utc;  /* the same as the server writes it */
	const char *state; /* NULL: ready, or delayed */
	bool expired;
	unsigned char snapshot[TASK_DIGEST]; /* unique */
};
MUSTUSE enum rc task_arrival_init(
    struct task_arrival *a, int64_t now, struct slice utc, struct err *err);
/* The tasks that are not stale; within a transaction. */
MUSTUSE enum rc task_intake_store(
    struct task_intake *in, const struct task_arrival *a, struct err *err);
/* Remember the list, and count what was stale; within a transaction. */
MUSTUSE enum rc task_intake_remember(struct task_intake *in, struct err *err);
/* Its numbers, into the answer. */
void task_intake_report(const struct task_intake *in, struct task_inbox *out);

/* Cut what the companion plugin stored into tasks. */
MUSTUSE enum rc tasks_admit(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct task_inbox *out, struct err *err);
/* As tasks_drain(), but the tasks of the inbox are not stored. */
MUSTUSE enum rc tasks_discard_inbox(struct db *db,
    const struct sql_scope *scope, const struct task_queue *q,
    struct task_inbox *out, struct err *err);
/* What was taken from the inbox is not in it any more. */
MUSTUSE enum rc tasks_confirm(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct err *err);
/* The counter of what stale writers put back. */
void task_stale_name(const struct task_queue *q, char out[64]);
/* Is it a lock's value that we wrote? */
bool task_lock_is_ours(struct slice value);

#endif
