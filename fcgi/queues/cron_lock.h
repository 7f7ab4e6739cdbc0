#ifndef QUEUES_CRON_LOCK_H
#define QUEUES_CRON_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"
#include "sql/db.h"

/*
 * The lock `doing_cron` of a blog: a transient with the time its owner began,
 * at which WordPress' own runners and page loads stand aside (wp-cron.php,
 * spawn_cron()). It is held by the program, not by a process: every value that
 * a node writes is first put on record in {base}wpcron_leases, and any node
 * refreshes or removes a recorded one. The claimer's; not for other threads.
 */

/* "1795278773.5792009830474853515625", as microtime() by %.22F. */
#define CRON_LOCK_VALUE_MAX 48
/* A ping's key is known for so long; core's is stale after a minute. */
#define CRON_LOCK_PINGS 16
#define CRON_LOCK_PING_MS 600000
/* Core's default of WP_CRON_LOCK_TIMEOUT, and how far in the future a value
 * is no longer believed (spawn_cron()). */
#define CRON_LOCK_TIMEOUT_S 60
#define CRON_LOCK_FUTURE_S 600
/* A value of ours is written anew when it is older, to stay believed. */
#define CRON_LOCK_REFRESH_S 30

struct cron_lock_pings {
	struct {
		char key[CRON_LOCK_VALUE_MAX];
		mono_ms at;
	} ping[CRON_LOCK_PINGS];
	size_t next;
};

struct cron_lock {
	struct sql_scope scope;
	uint32_t blog_id;
	uint64_t node_id;
	const struct clock *clock;
	uint32_t timeout_s;
	struct cron_lock_pings pings; /* a copy */
};

/* What to do about a stored value; pure. */
enum cron_lock_verdict {
	CRON_LOCK_FRESH,  /* ours: leave it */
	CRON_LOCK_RENEW,  /* ours or nobody's: write another over it */
	CRON_LOCK_FOREIGN /* a PHP runner works */
};
/* `ours`: on record, or a ping's key. `now` is Unix time. */
enum cron_lock_verdict cron_lock_judge(struct slice value, bool recorded,
    bool pinged, int64_t now, uint32_t timeout_s);

/* The value that says `now`. */
void cron_lock_render(wall_us now, char out[CRON_LOCK_VALUE_MAX]);

/* Note a ping's key; anything but digits and a dot is none. */
void cron_lock_note_ping(
    struct cron_lock_pings *pings, struct slice key, mono_ms now);

/*
 * cron_lock_take - make sure that a value of ours is there and fresh; also to
 * refresh it. To be called within a transaction. RC_NONE: a PHP runner works,
 * nothing was written.
 */
MUSTUSE enum rc cron_lock_take(
    const struct cron_lock *l, struct db *db, struct err *err);

/* Remove it and its timeout if its value is on record. RC_NONE: it is not
 * there, or another's. */
MUSTUSE enum rc cron_lock_give(
    const struct cron_lock *l, struct db *db, struct err *err);

/*
 * What PHP needs to do the same in its object cache, appended as the members
 * "value", "ours" and "stale_s" of a JSON object. The value is on record when
 * this returns.
 */
MUSTUSE enum rc cron_lock_json(
    const struct cron_lock *l, struct db *db, struct buf *out, struct err *err);

#endif
