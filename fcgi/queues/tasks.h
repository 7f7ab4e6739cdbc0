#ifndef QUEUES_TASKS_H
#define QUEUES_TASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "sql/db.h"

/*
 * The queue of tasks that a plugin keeps in a transient (transient-queue.md).
 * The transient is only an inbox: what is in it is moved into our own table in
 * one transaction (§7, R1 to R4) and worked off from there. All calls are of
 * one queue of one blog, on the caller's thread and connection.
 */

/* Which queue; lent from the configuration. */
struct task_queue {
	uint32_t blog_id;
	struct slice name;    /* transient: "myplugin_task_queue" */
	struct slice lock;    /* transient: "myplugin_task_queue_lock" */
	struct slice hook;    /* of the plugin's one-shot event */
	bool discard_expired; /* an inbox whose time is over is thrown away */
	bool run_stale;       /* what comes again is done again (§7, R2) */
	uint32_t snapshot_s;  /* how long lists are remembered */
	uint32_t lock_ttl_s;  /* of PHP's lock, 60 */
};

/* ---- inbox -------------------------------------------------------------- */

struct task_inbox {
	bool present;    /* there is a value row */
	bool expired;    /* its time is over: for PHP it is gone */
	bool unreadable; /* not a list of tasks: left alone, and why */
	char why[128];
	size_t n;     /* tasks, with the stale ones */
	size_t again; /* of them, put back by a stale writer */
	size_t stale; /* of those, not taken again */
	size_t taken;
	int64_t oldest; /* `created` of the oldest; 0: none */
};
/* Is there anything in the inbox, or any task ready, or one claimed by who is
 * gone? Indexed reads. */
MUSTUSE enum rc tasks_due(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, bool *due, struct err *err);
/* The types that wait, in the inbox and in the table, each once. What the
 * companion plugin has handed over is cut into tasks first. */
MUSTUSE enum rc tasks_types(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct arena *a, struct slice **types,
    size_t *n, struct err *err);
/* Look without taking. */
MUSTUSE enum rc tasks_inbox(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct task_inbox *out, struct err *err);
/* Move what is there into the table; R1 to R3, R4 without a row engine. */
MUSTUSE enum rc tasks_drain(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct task_inbox *out, struct err *err);
/* Likewise, a list that PHP has read and emptied (object cache): one that is
 * none of tasks becomes a dead letter. */
MUSTUSE enum rc tasks_take_list(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct slice value, struct task_inbox *out,
    struct err *err);

/* ---- PHP's lock and event ----------------------------------------------- */

enum task_lock {
	TASK_LOCK_OURS,
	TASK_LOCK_OTHERS, /* PHP's processor works: take nothing */
	TASK_LOCK_NEW,    /* just taken: wait a second, then ask again */
};
/*
 * Take, renew or look: a lock that is absent, expired, without a timeout row or
 * older than its TTL is taken by compare-and-swap (§8). *value is what we
 * wrote last ("" at first) and becomes what stands there of ours.
 */
MUSTUSE enum rc tasks_lock(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, char value[24], enum task_lock *out,
    struct err *err);
/* Delete it if it is ours. */
MUSTUSE enum rc tasks_unlock(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, const char *value, struct err *err);
/* Extend the inbox' time when it has less than 12 h; mend an orphan timeout. */
MUSTUSE enum rc tasks_keep_inbox(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct err *err);

/*
 * Keep one event of the hook, at now + 300 s, in the option `cron`: a dead
 * man's switch, since the plugin schedules none while there is one. To be
 * called every minute; writes when the event is due in less than 240 s, or
 * there are several. `companion`: the must-use plugin merges the option.
 * RC_NONE: nothing to do, or the option is not for us to write.
 */
MUSTUSE enum rc tasks_keep_event(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, bool companion, struct err *err);
/* Likewise at now + 10 s, for the plugin's own processor. */
MUSTUSE enum rc tasks_restore_event(struct db *db,
    const struct sql_scope *scope, const struct task_queue *q, bool companion,
    struct err *err);
/*
 * Tell the companion plugin of a blog which transients it hands over to us
 * (option TASKS_ANNOUNCED); n 0: none, of which there is then no trace. PHP
 * processes that run already go on as they began; behind an object cache the
 * plugin looks every TASKS_ANNOUNCE_S. Before a queue is handed back it is no
 * longer announced.
 */
#define TASKS_ANNOUNCED "wpcron_fcgi_task_queues"
#define TASKS_ANNOUNCE_S 30
MUSTUSE enum rc tasks_announce(struct db *db, const struct sql_scope *scope,
    const struct slice *names, size_t n, struct err *err);

/* ---- tasks -------------------------------------------------------------- */

struct task {
	uint64_t task_id;
	struct slice type, element; /* element: PHP-serialized map */
	struct slice payload;       /* of it, PHP-serialized */
	uint32_t attempts, max_attempts;
	uint64_t backoff_ms;
	bool expired_inbox;
	struct slice id_hash; /* 32 hex digits: stable, for Idempotency-Key */
};
/* At most `max` ready ones in order of arrival; of `types` only, if any. */
MUSTUSE enum rc tasks_claim(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, uint64_t claim_id, const struct slice *types,
    size_t ntypes, size_t max, uint32_t term_ms, struct arena *a,
    struct task **out, size_t *n, struct err *err);
MUSTUSE enum rc tasks_extend(struct db *db, const struct sql_scope *scope,
    uint64_t claim_id, uint32_t term_ms, struct err *err);
/* It begins: RC_NONE: not ours any more. */
MUSTUSE enum rc tasks_begin(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, const struct task *t, uint64_t claim_id,
    struct err *err);
/*
 * What became of it, in one transaction: done, or attempts + 1 and ready again
 * after backoff x 2^(attempts - 1), or with no try left a dead letter with the
 * whole element. RC_NONE: not ours any more.
 */
MUSTUSE enum rc tasks_settle(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, const struct task *t, uint64_t claim_id,
    bool ok, bool for_good, struct slice error, struct err *err);
/* What was not begun goes back. */
MUSTUSE enum rc tasks_release(struct db *db, const struct sql_scope *scope,
    uint64_t claim_id, struct err *err);
/* Claims whose term is over: not begun ones go back, begun ones count as a
 * failed attempt. Old rows of done tasks and old snapshots are deleted. */
MUSTUSE enum rc tasks_tend(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, size_t *rescued, struct err *err);

/* ---- by hand ------------------------------------------------------------ */

struct task_counts {
	uint64_t ready, delayed, running, done_hour, done_day, dead, stale;
};
MUSTUSE enum rc tasks_count(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct task_counts *out, struct err *err);
/*
 * Hand the queue back to the plugin (§8): under the row's lock the unfinished
 * tasks in front of what is in the inbox, its time a day, our lock gone. *n
 * tasks. Nothing may run meanwhile.
 */
MUSTUSE enum rc tasks_hand_back(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, size_t *n, struct err *err);
/* A dead letter's task once more, attempts 0. */
MUSTUSE enum rc tasks_revive(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, struct slice element, uint64_t *task_id,
    struct err *err);
/* All that waits, inbox included, is thrown away; *n tasks. */
MUSTUSE enum rc tasks_clear(struct db *db, const struct sql_scope *scope,
    const struct task_queue *q, size_t *n, struct err *err);

#endif
