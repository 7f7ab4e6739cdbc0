#ifndef CTL_EVENTS_H
#define CTL_EVENTS_H

#include "base/arena.h"
#include "ctl.h"
#include "formats/cron_array.h"

enum event_state {
	EVENT_SCHEDULED, /* in the option */
	EVENT_WAITING,   /* in our table, until a worker has it */
	EVENT_RUNNING,
};
/* "scheduled", "waiting", "running" */
const char *event_state_name(enum event_state state);

/* One cron event, wherever it is. Texts live in the list. */
struct event {
	enum event_state state;
	uint64_t id; /* in our table; 0: EVENT_SCHEDULED */
	int64_t timestamp;
	struct slice hook, key, args, recurrence;
	int64_t interval; /* seconds; 0: none */
	uint64_t claim_id, node_id;
	int64_t not_before_us, started_us; /* INT64_MIN: has none */
	unsigned try;
};

/* The events of a blog, soonest first; those of the option in its order. */
struct events {
	struct arena arena;
	struct slice option; /* p NULL: there is none */
	struct cron_array array;
	struct event *items;
	size_t n;
	struct event **by_time; /* of events_has_slot() */
};

/* events_load - the option and, with `own`, our table. `out` is to be cleared
 * in every case. */
MUSTUSE enum rc events_load(
    struct place *p, struct events *out, struct err *err);
void events_clear(struct events *e);
/*
 * events_has_slot - is this event of the option one of the scheduled ones in
 * the list, which is as it shall be from the first call on? Quick, for it is
 * asked while the option is locked.
 */
bool events_has_slot(struct events *e, const struct cron_event *x);

/* "now", "5 minutes 3 seconds": WP-CLI's words for a time span. */
#define EVENT_SPAN_MAX 64
void event_span(int64_t seconds, char out[EVENT_SPAN_MAX]);

/* PHP-serialized arguments for a reader; as stored, where JSON has no words. */
json_t *event_args_json(struct slice args);
/*
 * event_args_write - append the serialized form of a JSON array or object.
 * RC_REJECT: it is neither, or over a ceiling.
 */
MUSTUSE enum rc event_args_write(
    const json_t *args, struct buf *out, struct err *err);

/*
 * event_select - the events that HOOK..., --all, --due-now and --exclude of
 * the command line choose, as WP-CLI does, to the front of `e`. 0, or
 * EXIT_USAGE after words.
 */
MUSTUSE int event_select(const struct ctl *c, struct events *e);
/* Check those options before anything is opened; 0 or EXIT_USAGE. */
MUSTUSE int event_select_check(const struct ctl *c);

/*
 * event_when - "now", a Unix time, "2027-01-31 12:00", "tomorrow", "+2 days
 * 3 hours", in UTC: what is common of strtotime(). False: none of it.
 */
MUSTUSE bool event_when(struct slice text, int64_t now, int64_t *out);

#endif
