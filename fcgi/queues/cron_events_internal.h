#ifndef QUEUES_CRON_EVENTS_INTERNAL_H
#define QUEUES_CRON_EVENTS_INTERNAL_H

#include <pthread.h>

#include "base/ceilings.h"
#include "formats/cron_array.h"
#include "queues/cron_events.h"
#include "queues/cron_hooks.h"
#include "queues/cron_lock.h"

/* The widths of the table's columns. */
#define CRON_HOOK_MAX 1000
#define CRON_KEY_MAX 255
#define CRON_RECURRENCE_MAX 255
#define CRON_MESSAGE_MAX 2000
#define CRON_SLOT_LEN 16
#define CRON_DIGEST_LEN 32
/* An export is believed for so long. */
#define CRON_EXPORT_S 3600
/* So many rows that wait are looked at. */
#define CRON_WAITING_ROWS 10000
/* Events that stay in the option are said once; so many are remembered. */
#define CRON_SAID_MAX 64
/* So many that the server refused are not tried again until a rewind. */
#define CRON_LEFT_MAX 32

/* An export; shared, and freed with its last user. */
struct cron_export {
	unsigned refs; /* under the queue's lock */
	int64_t exported_at;
	struct cron_recurrence *recurrences;
	size_t n;
	char *names; /* what the recurrences point into */
	char *replaced_by;
	uint32_t lock_timeout_s;
};

/* What the setters set. */
struct cron_settings {
	struct sql_scope scope;
	uint64_t node_id;
	struct cron_events_site site;
	struct cron_export *export; /* never NULL */
	struct cron_lock_pings pings;
};

/* An option value in which nothing could be taken, and until when. */
struct cron_quiet {
	char digest[CRON_DIGEST_LEN + 1]; /* "": none */
	int64_t until;
};

struct cron_events {
	struct queue queue; /* first */
	uint32_t blog_id;
	const struct clock *clock;
	char *prefix, *base;

	pthread_mutex_t lock; /* guards what follows, up to the blank line */
	struct cron_settings settings;
	const char *woken_by; /* by whom since the last look; static */
	mono_ms woken_at;
	bool rewind; /* look at everything again */
	bool look;   /* a row waits again, or a hook is free */
	bool pinged; /* since the last look */

	/* The claimer's alone. */
	struct cron_quiet quiet;
	mono_ms waiting_quiet_until;
	bool waiting_barred; /* nobody may run any of the waiting rows */
	mono_ms held_until;  /* a PHP runner works: not before */
	bool held_said;      /* ... which the log knows */
	bool transactional;  /* the options table is known to be */
	bool bad_engine;     /* ... not to be, which was said */
	bool lock_held;      /* the lock may be ours to refresh or remove */
	mono_ms lock_at;     /* when it was last looked at */
	mono_ms cleaned_at;  /* retention */
	char unreadable[CRON_DIGEST_LEN + 1]; /* was said */
	uint64_t said[CRON_SAID_MAX];
	size_t nsaid;
	uint64_t left[CRON_LEFT_MAX]; /* events the server refused */
	size_t nleft;
};

static inline struct cron_events *
cron_events_of(struct queue *queue)
{
	return (struct cron_events *)(void *)queue;
}

/* A copy that holds its export; put it back. */
void cron_settings_get(struct cron_events *q, struct cron_settings *out);
void cron_settings_put(struct cron_events *q, struct cron_settings *s);
/* The lock of this blog, as the settings have it. */
struct cron_lock cron_lock_of(
    const struct cron_events *q, const struct cron_settings *s);

/* ---- slots -------------------------------------------------------------- */

/* MD5 of "timestamp NUL hook NUL key". */
void cron_slot(int64_t timestamp, struct slice hook, struct slice key,
    char out[CRON_SLOT_LEN]);
/* md5(serialize(args)), in hexadecimal, and a NUL: the key core gives. */
void cron_args_key(struct slice args, char out[CRON_DIGEST_LEN + 1]);

/* ---- picks: what may be claimed ----------------------------------------- */

struct cron_pick {
	uint64_t id;
	struct slice hook; /* in the arena */
	const struct route *route;
	const struct policy *policy;
	bool fetched; /* there is a job of it */
};
struct cron_picks {
	struct arena arena;
	struct {
		struct cron_pick *picks;
		size_t n, room;
		bool looked; /* its rows were looked at */
		bool alone;  /* its one pick bears no other */
	} lane[LANE_COUNT];
	size_t waiting; /* rows that wait, as far as they were read */
	struct cron_hooks hooks;
	uint64_t max_id; /* newest row seen; 0: none */
	bool more;       /* due ones were left for want of room */
};
void cron_picks_init(struct cron_picks *p, const struct claim_request *req);
void cron_picks_clear(struct cron_picks *p);
/* Of what was found in a lane, one worker's part. */
void cron_picks_share(
    struct cron_picks *p, const struct claim_request *req, size_t lane);

/* Hooks of rows that are claimed or run, on any node. */
struct cron_busy {
	struct slice *hooks; /* in the arena */
	size_t n;
};
MUSTUSE enum rc cron_busy_read(const struct cron_events *q,
    const struct cron_settings *s, struct db *db, struct arena *a,
    struct cron_busy *out, struct err *err);
bool cron_busy_has(const struct cron_busy *h, struct slice hook);

/* Why waiting rows were not picked. */
struct cron_look {
	size_t blocked; /* another run of their hook is not over */
	size_t full;    /* there is no room for them now */
	size_t barred;  /* nobody may run them */
	size_t unseen;  /* they are of a lane at which nobody looked */
};
/* Choose a row for a lane, or count why not. */
void cron_picks_judge(const struct claim_request *req,
    const struct candidate *c, const struct cron_busy *busy,
    struct cron_picks *p, struct cron_look *look);
/* Choose among the rows that wait; called again, among newer ones alone. */
MUSTUSE enum rc cron_picks_waiting(const struct cron_events *q,
    const struct cron_settings *s, struct db *db,
    const struct claim_request *req, struct cron_picks *p,
    struct cron_look *look, struct err *err);
/* When rows that could not be picked are worth another look. */
void cron_picks_remember(struct cron_events *q, const struct cron_picks *p,
    const struct cron_look *look);

/* May events of a lane be taken for this claim? */
bool cron_lane_open(const struct cron_picks *p, enum lane lane);

/* ---- when ------------------------------------------------------------- */

/* When an event may be taken: its second is over, or at once. */
int64_t cron_takeable_at(const struct cron_settings *s, int64_t timestamp);
/* Forget what was remembered of fruitless looks, where somebody says so. */
void cron_rewind_when_asked(struct cron_events *q);
/* When the option is worth a look; RC_NONE: not before it changes. */
MUSTUSE enum rc cron_option_due(struct cron_events *q,
    const struct cron_settings *s, struct db *db, int64_t *when,
    struct err *err);

/* ---- taking ------------------------------------------------------------- */

/*
 * Move due events from the option into the table, or say in `res` what PHP is
 * to move. RC_OK: `*taken` rows wait now. RC_NONE: none, for now.
 */
MUSTUSE enum rc cron_events_take(struct cron_events *q,
    const struct cron_settings *s, struct db *db,
    const struct claim_request *req, struct cron_picks *p,
    struct claim_result *res, size_t *taken, struct err *err);

/* One event chosen to be taken. */
struct cron_choice {
	const struct cron_event *event; /* NULL: it is gone */
	const struct route *route;
	const struct policy *policy;
	struct cron_hook *hook;
};

/* The due events of an option that are to be taken, as they stand there. */
struct cron_chosen {
	struct cron_events *q;
	const struct cron_settings *s;
	const struct claim_request *req;
	struct cron_picks *picks; /* `more` is set where some are left */
	int64_t now;
	struct arena *arena;
	const struct cron_array *array;

	struct cron_choice *choices;
	size_t n;
	int64_t until; /* when another one may be taken; set to INT64_MAX */
	bool left;     /* some may run, but not now */
	bool wants_export;
};
MUSTUSE enum rc cron_choose(struct cron_chosen *c, struct err *err);
/* What the table cannot hold, or PHP would not run, stays where it is; said
 * once. */
bool cron_is_fit(struct cron_events *q, const struct cron_event *e);
/* It stays for that reason, too. */
void cron_leave(
    struct cron_events *q, const struct cron_event *e, const char *why);

/* A row to insert; texts live in the plan's arena or the option's value. */
struct cron_row {
	const char *state, *message;
	int64_t scheduled_at, next_at;
	const struct cron_event *event;
	char slot[CRON_SLOT_LEN];
	bool ended;
};

/* What is to be done about one choice. */
struct cron_step {
	const struct cron_event *event;
	struct cron_row *rows; /* oldest first; at least one */
	size_t nrows;
	int64_t next_at; /* 0: none */
	int64_t interval;
	bool resurrected;
	bool vanished; /* its recurrence is not known any more */
	bool readd;    /* put the next slot into the option */
};

struct cron_plan {
	struct cron_step *steps;
	size_t n;
	size_t waiting; /* rows in state taken */
};

/* Is what only PHP knows known, and not too old? */
bool cron_export_is_known(const struct cron_settings *s, int64_t now);
/* The interval by which a recurring event is scheduled again; 0: none, its
 * recurrence vanished. RC_AGAIN: only an export would tell. */
MUSTUSE enum rc cron_interval(const struct cron_settings *s,
    const struct cron_event *e, int64_t now, int64_t *interval);

/*
 * What becomes of the choices, given the ledger. `c` is the option as it
 * stands. RC_REJECT: over the arena.
 */
MUSTUSE enum rc cron_plan_make(const struct cron_events *q,
    const struct cron_settings *s, struct db *db, struct arena *a,
    const struct cron_array *c, const struct cron_choice *choices, size_t n,
    struct cron_plan *out, struct err *err);
/* The columns of events.insert for one row. */
#define CRON_ROW_COLUMNS 14
void cron_row_values(const struct cron_events *q, const struct cron_row *r,
    struct slice not_before, struct slice now, const char *woken_by,
    struct sql_value *v);
/* Insert the rows of a plan; `now` is the server's time as text. */
MUSTUSE enum rc cron_plan_insert(const struct cron_events *q,
    const struct cron_settings *s, struct db *db, const struct cron_plan *plan,
    struct slice now, const char *woken_by, struct err *err);
/* Its words for the log, once it is written. */
void cron_plan_log(const struct cron_plan *plan, uint32_t blog_id);

/* claim_result.php_take for a plan; owned by the caller. */
MUSTUSE enum rc cron_plan_php(const struct cron_events *q,
    const struct cron_settings *s, struct db *db, const struct cron_plan *plan,
    const char *woken_by, char **out, struct err *err);
/* claim->php_lock, and the statements that worker.php runs for a job. */
MUSTUSE enum rc cron_php_lock(const struct cron_events *q,
    const struct cron_settings *s, struct db *db, struct claim *claim,
    struct err *err);
MUSTUSE enum rc cron_php_statements(
    const struct cron_settings *s, struct job *j, struct err *err);

/* Record due events without touching them. */
MUSTUSE enum rc cron_events_observe(struct cron_events *q,
    const struct cron_settings *s, struct db *db, const struct cron_array *c,
    const struct cron_choice *choices, size_t n, struct err *err);

/* Wait until no other node claims or returns events of this blog; within a
 * transaction. */
MUSTUSE enum rc cron_events_mutex(struct cron_events *q,
    const struct cron_settings *s, struct db *db, struct err *err);

/* The rows of cron_events_ops, each beside its subject. */
enum rc cron_events_next_due(
    struct queue *queue, struct db *db, int64_t *when, struct err *err);
enum rc cron_events_claim(struct queue *queue, struct db *db,
    const struct claim_request *req, struct claim_result *res, struct err *err);
enum rc cron_events_start(struct queue *queue, struct db *db,
    struct job *const *jobs, size_t n, struct err *err);
enum rc cron_events_settle(struct queue *queue, struct db *db,
    struct outcome *o, size_t n, struct err *err);
enum rc cron_events_rescue(struct queue *queue, struct db *db,
    const struct rescue_request *req, size_t *rescued, struct err *err);

#endif
