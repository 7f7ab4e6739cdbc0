#ifndef QUEUES_CRON_EVENTS_H
#define QUEUES_CRON_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "queues/queue.h"
#include "sql/db.h"

/*
 * The cron events of one blog. Due ones are moved from the option `cron` into
 * {base}wpcron_events in one transaction, where recurring ones get their next
 * slot in the option, too: at every instant an event is in one of the two.
 * From the table they are claimed, run and settled; what ended stays there as
 * the ledger by which an event that a stale writer brings back is known.
 *
 * An event is taken when its second is over: WordPress can still write the
 * same slot (timestamp, hook, arguments) within it, which would then look like
 * an event that was brought back. Where the companion plugin merges all
 * writers' changes nothing is ever brought back, and it is taken at once.
 * Both then write under companion_lock().
 *
 * What stays in the option, said once in the log: hooks, keys and names over
 * the table's columns, events over CRON_EVENT_BYTES, those without arguments,
 * and what the server refuses to write while it writes others.
 *
 * The lock `doing_cron` is held while events of the blog are in our hands; see
 * cron_lock.h.
 */
struct cron_events;
extern const struct queue_ops cron_events_ops;

/* An ended event is known for so long, by the server's clock. */
#define CRON_LEDGER_S 3600
/* When so many events wait for a worker no more are taken out of the option,
 * but of hooks of which none waits. */
#define CRON_TAKE_MAX 1000
/* In a statement each byte may take two, and servers refuse over 16 MiB. */
#define CRON_EVENT_BYTES ((size_t)4 << 20)

struct cron_events_opts {
	const char *prefix; /* {p}; copied */
	const char *base;   /* {base}; copied */
	uint32_t blog_id;
	const struct clock *clock;
};
MUSTUSE struct cron_events *cron_events_new(
    const struct cron_events_opts *opts);
void cron_events_free(struct cron_events *q); /* NULL is fine */
struct queue *cron_events_queue(struct cron_events *q);
void cron_events_scope(struct cron_events *q, struct sql_scope *out);

/* What only the site's PHP knows, as worker.php exported it. */
struct cron_recurrence {
	struct slice name;
	int64_t interval;
};
struct cron_events_export {
	int64_t exported_at;                       /* Unix time; 0: not known */
	const struct cron_recurrence *recurrences; /* wp_get_schedules() */
	size_t nrecurrences;
	/* A plugin or filter that keeps events elsewhere; NULL: none. */
	const char *replaced_by;
	uint32_t lock_timeout_s; /* WP_CRON_LOCK_TIMEOUT; 0: 60 */
};

/* Setters, from any thread; what they get is copied. */
void cron_events_set_export(
    struct cron_events *q, const struct cron_events_export *x);
void cron_events_set_node(struct cron_events *q, uint64_t node_id);
struct cron_events_site {
	bool object_cache; /* options are changed through PHP only */
	bool companion;    /* the must-use plugin merges writes */
	bool php;          /* the site's PHP can be asked (export) */
	bool observe;      /* record what would run; change nothing else,
			      and run nothing, but for cron_events_return */
};
void cron_events_set_site(
    struct cron_events *q, const struct cron_events_site *s);
/* A ping came: `key` is its doing_wp_cron, "" when it had none. */
void cron_events_note_ping(struct cron_events *q, struct slice key);
/* What replaces the option, lent until the next export; NULL: nothing. */
const char *cron_events_replaced_by(struct cron_events *q);
/* What nobody might run may run now: configuration, pauses or limits changed,
 * or the site's PHP can be asked again. Any thread. */
void cron_events_rewind(struct cron_events *q);

/* The claims are this node's again after it was taken for dead, as far as
 * nobody has rescued them. */
MUSTUSE enum rc cron_events_adopt(struct cron_events *q, struct db *db,
    const uint64_t *claims, size_t n, struct err *err);

/*
 * cron_events_durations - how long the newest events took, 1,000 at most, for
 * whoever paces hooks. `hook` is lent for the call.
 */
typedef void cron_duration_fn(
    void *arg, struct slice hook, uint32_t duration_ms);
MUSTUSE enum rc cron_events_durations(struct cron_events *q, struct db *db,
    cron_duration_fn *found, void *arg, struct err *err);

/*
 * cron_events_tend - keep the lock while events are in our hands, give it back
 * when none is; forget what is older than the ledger and the history need
 * (bounded). RC_NONE: nothing to do. To be called after each look.
 */
MUSTUSE enum rc cron_events_tend(
    struct cron_events *q, struct db *db, struct err *err);

/*
 * cron_events_return - put what waits and was never begun back into the
 * option, exactly as it was (a recurring one's next slot goes), for WordPress
 * or another program to run. For the end of the last node, and `uninstall`.
 * With an object cache nothing is done (RC_NONE): only PHP may write there.
 */
MUSTUSE enum rc cron_events_return(
    struct cron_events *q, struct db *db, size_t *n, struct err *err);

/* As cron_events_ops.claim for the waiting event of that id alone, due or
 * not. */
MUSTUSE enum rc cron_events_claim_one(struct cron_events *q, struct db *db,
    uint64_t event_id, const struct claim_request *req,
    struct claim_result *res, struct err *err);

#endif
