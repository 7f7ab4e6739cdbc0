#ifndef QUEUES_CRON_EVENTS_ADMIN_H
#define QUEUES_CRON_EVENTS_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "formats/cron_array.h"
#include "queues/cron_events.h"
#include "sql/db.h"

/*
 * What an administrator does to the cron events of a blog. Each change of the
 * option `cron` is one transaction that reads it anew under its row lock and
 * splices it, as the queue does; with the companion plugin, under its lock,
 * too. Blocks for one transaction.
 */
struct cron_admin {
	struct db *db;
	const struct sql_scope *scope;
	uint32_t blog_id;
	bool object_cache; /* the option is PHP's alone: refuse */
	bool companion;    /* the must-use plugin merges writes */
};

/* RC_REJECT: the option may not be written from here, with the reason and
 * what to use instead. */
MUSTUSE enum rc cron_admin_writable(
    const struct cron_admin *a, struct err *err);

#define CRON_ADMIN_KEY_MAX 33
/* The key of arguments: md5(serialize($args)) in hexadecimal. */
void cron_admin_key(struct slice args, char out[CRON_ADMIN_KEY_MAX]);

/*
 * cron_admin_schedule - wp_schedule_event(), or wp_schedule_single_event()
 * where `recurrence` is empty. RC_NONE: there is an event of that hook and
 * arguments within ten minutes (one-shots only). RC_REJECT: see
 * cron_admin_writable(), or the option cannot be read.
 */
struct cron_admin_event {
	int64_t timestamp;
	struct slice hook, args; /* args PHP-serialized */
	struct slice recurrence;
	int64_t interval; /* of the recurrence */
};
MUSTUSE enum rc cron_admin_schedule(const struct cron_admin *a,
    const struct cron_admin_event *e, int64_t now, struct err *err);

/* Is this event of the option meant? May be called again for the same. */
typedef bool cron_admin_pick(void *arg, const struct cron_event *e);

/* cron_admin_remove - unschedule what `pick` says; *removed of them. */
MUSTUSE enum rc cron_admin_remove(const struct cron_admin *a,
    cron_admin_pick *pick, void *arg, size_t *removed, struct err *err);

/* cron_admin_drop - waiting rows of our table shall not run. Those that a node
 * has claimed are left alone. */
MUSTUSE enum rc cron_admin_drop(const struct cron_admin *a, const uint64_t *ids,
    size_t n, uint64_t *dropped, struct err *err);

/*
 * cron_admin_take - move events to the table, due or not, to be run next;
 * recurring ones get their next slot. `interval_of` (name, interval stored):
 * the interval of a recurrence, 0 when there is none of that name any more.
 * The ids of the rows are appended to `ids` (room for `max`). RC_REJECT: as
 * above, or more than `max`.
 */
typedef int64_t cron_admin_interval(
    void *arg, struct slice recurrence, int64_t stored);
struct cron_admin_take {
	cron_admin_pick *pick;
	cron_admin_interval *interval_of;
	void *arg;
	int64_t now;
	uint64_t *ids;
	size_t max, n;
};
MUSTUSE enum rc cron_admin_take_events(
    const struct cron_admin *a, struct cron_admin_take *t, struct err *err);

/* cron_admin_retry - let a row that failed wait again. RC_NONE: there is no
 * such row, or it has not failed; the words say which. */
MUSTUSE enum rc cron_admin_retry(
    const struct cron_admin *a, uint64_t id, struct err *err);

#endif
