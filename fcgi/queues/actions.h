#ifndef QUEUES_ACTIONS_H
#define QUEUES_ACTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "queues/queue.h"
#include "sql/db.h"
#include "wordpress/site.h"

/*
 * The actions queue: Action Scheduler's tables of one blog. Rows are written
 * as PHP writes them, so that PHP's screens and its own runner stay usable at
 * any moment.
 */

/* In log lines, where PHP's runners write "WP Cron" or "Async Request". */
#define ACTIONS_CONTEXT "WP Cron FCGI"
/* A PHP batch starts no job later than this after its claim. */
#define ACTIONS_PHP_BUDGET_MS 60000
/* Pending rows that a PHP worker may be about to start are left so long. */
#define ACTIONS_PHP_HANDOVER_S 5

extern const struct queue_ops actions_ops;

struct actions;

struct actions_opts {
	const char *prefix; /* {p}; copied */
	const char *base;   /* {base}; copied */
	uint32_t blog_id;
	const struct clock *clock;
};
/* The queue of one blog; never fails. Free with actions_free(). */
MUSTUSE struct actions *actions_new(const struct actions_opts *opts);
void actions_free(struct actions *q); /* NULL is fine */
/* As what the engine's cycles see; lent. */
struct queue *actions_queue(struct actions *q);

/* {p} and {base} and the probed columns; a copy whose strings q lends. */
void actions_scope(struct actions *q, struct sql_scope *out);

/*
 * What the filters of the site make of Action Scheduler's settings, as the
 * PHP worker exported them. Until then no foreign row is timed out or purged.
 */
struct actions_export {
	bool known;
	bool plugin;         /* the plugin is active and runs rows itself */
	bool foreign_store;  /* rows are not in these tables */
	int64_t retention_s; /* of complete and canceled rows; < 0: for ever */
	int64_t timeout_s;   /* of claimed pending rows; <= 0: never */
	int64_t failure_s;   /* of running rows; <= 0: never */
	uint32_t failure_threshold; /* consistently failing; 0: never */
	bool purge_complete, purge_canceled;
	bool words_of_4; /* the log texts of plugin version 4 and on */
};

/*
 * What the queue needs to know, set by the engine from any thread. `facts` is
 * copied; its zone must outlive the queue.
 */
void actions_set_node(struct actions *q, uint64_t node_id);
void actions_set_schema(struct actions *q, const struct db_schema *schema);
void actions_set_facts(struct actions *q, const struct site_facts *facts);
void actions_set_export(struct actions *q, const struct actions_export *x);
void actions_get_export(struct actions *q, struct actions_export *out);
/* false: a crashed series ends with the crash, as with PHP's runner. */
void actions_set_series_after_crash(struct actions *q, bool insert);
/*
 * actions_adopt - this node was taken for dead and has a new id: what its
 * workers hold and nobody has rescued yet is the new node's.
 */
MUSTUSE enum rc actions_adopt(struct actions *q, struct db *db,
    const uint64_t *claims, size_t n, struct err *err);
/* Look from the head again: a policy or filter changed. */
void actions_rewind(struct actions *q);
/* A barred hook may run again (a slot or a token is free): look at what the
 * cursors have passed, once. */
void actions_peek(struct actions *q);

/*
 * actions_clean - one bounded step of what PHP's cleaner does: time-outs of
 * rows other runners left behind (with twice PHP's own periods, so that a
 * live one is never disturbed) and retention. RC_NONE: nothing to do, or
 * nothing exported yet. Never itself an action; deletes by primary key.
 */
MUSTUSE enum rc actions_clean(
    struct actions *q, struct db *db, size_t *changed, struct err *err);

/* The slug of a group, "" for none, lent until the next call; p is NULL when
 * the database does not say. Claimer only. */
struct slice actions_group_slug(
    struct actions *q, struct db *db, uint64_t group_id);

#endif
