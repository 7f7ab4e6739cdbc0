#ifndef FORMATS_ACTION_SCHEDULE_H
#define FORMATS_ACTION_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"
#include "formats/cron_expression.h"

/*
 * Column `schedule` of Action Scheduler's actions: one of its five classes,
 * serialized by PHP. Rows of versions before 3.0 hold only the private
 * property names, rows since hold both; the protected one wins.
 */
enum action_schedule_kind {
	ACTION_SCHEDULE_NULL,     /* async: no time of its own */
	ACTION_SCHEDULE_SIMPLE,   /* once */
	ACTION_SCHEDULE_CANCELED, /* rows migrated from posts */
	ACTION_SCHEDULE_INTERVAL,
	ACTION_SCHEDULE_CRON,
};

struct action_schedule {
	enum action_schedule_kind kind;
	int64_t scheduled; /* Unix time; 0 for NULL, and CANCELED without one */
	int64_t first;     /* INTERVAL, CRON: of the first instance */
	int64_t interval;  /* INTERVAL: seconds, as PHP's (int) reads it */
	/* INTERVAL: the serialized value itself, `i:900;` or `s:3:"900";`;
	 * empty: the int. It is rendered as it was. */
	struct slice recurrence;
	struct cron_expression cron; /* CRON */
};

/*
 * action_schedule_parse - RC_OK: `out` is one of the five, its texts point
 * into `text` and `a`. RC_NONE: well-formed, but of a class this program does
 * not know, whose name (pointing into `text`) is in `*class_name`; only PHP
 * can run such a row. RC_REJECT: broken, with the words. RC_RETRY: no memory.
 * `class_name` may be NULL. `a` needs about 200 bytes a property.
 *
 * A schedule that PHP would load as "now" because it has no time at all, and
 * times that are no whole numbers, are broken here.
 */
MUSTUSE enum rc action_schedule_parse(struct slice text, struct arena *a,
    struct action_schedule *out, struct slice *class_name, struct err *err);

bool action_schedule_recurs(const struct action_schedule *s);

/*
 * action_schedule_next - when the instance after this one is due, for an
 * instance that ended at `now`. Later than scheduled: interval, now + N (the
 * drift is PHP's too); cron, the first match after now. Not later (run early
 * by hand): the scheduled time again. RC_NONE: the kind does not recur.
 * RC_REJECT: impossible cron expression, or a time past the year 9999.
 */
MUSTUSE enum rc action_schedule_next(const struct action_schedule *s,
    wall_us now, int64_t *next, struct err *err);

/*
 * action_schedule_render - append the bytes PHP writes for an instance of this
 * schedule at `scheduled`: same class, first time and recurrence. Look at
 * out->failed.
 */
void action_schedule_render(
    const struct action_schedule *s, int64_t scheduled, struct buf *out);
/* The bytes of a fresh Simple schedule. */
void action_schedule_render_simple(int64_t scheduled, struct buf *out);

#endif
