#ifndef FORMATS_CRON_ARRAY_H
#define FORMATS_CRON_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * The value of the option `cron`: {timestamp: {hook: {key: EVENT}}}, sorted by
 * timestamp, `version` last (_get_cron_array(), _set_cron_array()). Events are
 * byte spans of the input and are never encoded anew, so that what the
 * arguments hold cannot be damaged. Pure; any thread.
 */
struct cron_event {
	int64_t timestamp;
	struct slice hook, key; /* their bytes, without quotes */
	struct slice span;      /* {schedule, args, interval} as it stands */
	struct slice args;      /* its member `args` as it stands; an empty
				   span when there is none or it is no array */
	/* References (r, R) are numbered within the whole array, so `span` and
	 * `args` of an event that holds some are copies in the arena, each
	 * numbered as it must be to stand alone. */
	struct slice recurrence; /* its name; "" for a one-shot (PHP's truth
				    of `schedule`: false, "", "0", null) */
	int64_t interval;        /* seconds; 0: none stored */
};

struct cron_array {
	struct slice text;
	struct cron_event *events; /* in stored order */
	size_t n;
	size_t odd;    /* members that are no events; kept as they stand */
	bool ancient;  /* no `version`: core rewrites it before it is used */
	bool no_array; /* not an array, or no row: no events */
	/* Holds references whose numbers only PHP can keep (into another event,
	 * beside a C:): not to be written; events that hold one are odd. */
	bool bound;
	void *private; /* where things stand, for splicing */
};

/*
 * cron_array_parse - the events of `in`, in the arena; texts point into `in`.
 * A timestamp is an int key, or a numeric string key by its value, cut to
 * whole seconds upwards (PHP compares "1700000005.5" numerically); other keys
 * are counted in `odd`. A key that is stored twice counts where it is first,
 * with the value it has last, as in PHP. RC_REJECT: not PHP's format or over a
 * ceiling, with the offset; never to be written then. RC_RETRY: no memory, or
 * past the arena's ceiling: CEILING_CRON_ARENA is enough for what WordPress
 * writes.
 */
MUSTUSE enum rc cron_array_parse(
    struct slice in, struct arena *a, struct cron_array *out, struct err *err);

/* The slot of (timestamp, hook, key), compared byte by byte; or NULL. Of two
 * (an int key, and a string that is cut to it) the int key's. */
const struct cron_event *cron_array_find(const struct cron_array *c,
    int64_t timestamp, struct slice hook, struct slice key);
/* Is there an event of (hook, key) after a time? wp_next_scheduled() */
bool cron_array_has_after(const struct cron_array *c, struct slice hook,
    struct slice key, int64_t after);

/* One change of a slot. Texts are lent for the call. */
struct cron_edit {
	enum {
		CRON_REMOVE, /* nothing happens if it is not there */
		CRON_ADD     /* replaces what is in the slot */
	} what;
	int64_t timestamp;
	struct slice hook, key;
	struct slice event; /* CRON_ADD: its bytes, an `a:3:{...}` */
};

/*
 * cron_array_splice - append the array with the edits made, in their order, as
 * wp_unschedule_event() and wp_schedule_event() would leave it: empty hooks
 * and timestamps go, new timestamps are put in order, a new hook or key comes
 * last in its map, `version` stays last (and is added to an array that has
 * nothing else). All other bytes stay as they are. Linear in the size of the
 * text and n log n in the edits. As wp_schedule_event() does, an addition also
 * sorts what was out of order; and a write leaves no key stored twice and one
 * `version`. References are renumbered for where they come to stand.
 * RC_NONE: nothing changed, `out` is as it was. RC_REJECT: `ancient`, `bound`,
 * an event to add is not PHP's format, over the buffer's ceiling (then `out`
 * has failed).
 */
MUSTUSE enum rc cron_array_splice(const struct cron_array *c,
    const struct cron_edit *edits, size_t n, struct buf *out, struct err *err);

/*
 * cron_next_run - when an event scheduled for `timestamp` runs next
 * (wp_reschedule_event()): its phase is kept, missed periods collapse.
 * `interval` > 0, seconds.
 */
int64_t cron_next_run(int64_t timestamp, int64_t interval, int64_t now);

/*
 * cron_event_parse - an event from its bytes alone (cron_event.span), as above;
 * timestamp, hook and key stay as they are. RC_REJECT: not an array in PHP's
 * format. RC_RETRY: no memory.
 */
MUSTUSE enum rc cron_event_parse(struct slice event, struct arena *a,
    struct cron_event *out, struct err *err);

/* The bytes of an event as core writes them; recurrence "": a one-shot.
 * `args` is PHP-serialized; out->failed when it is not. */
void cron_event_render(struct buf *out, struct slice recurrence,
    struct slice args, int64_t interval);

/*
 * cron_array_first - the earliest timestamp, from the first bytes of the value
 * (48 are enough). False: no events. When the first key does not tell (it is
 * no number, or `version`), it is 0: the whole must be read.
 */
MUSTUSE bool cron_array_first(struct slice head, int64_t *when);

#endif
