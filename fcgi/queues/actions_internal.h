#ifndef QUEUES_ACTIONS_INTERNAL_H
#define QUEUES_ACTIONS_INTERNAL_H

#include <pthread.h>

#include "queues/actions.h"

/* Ids that cannot run here: parsed once, skipped without a read after that. */
#define BAD_IDS_MAX 65536
#define PRIORITY_MAX 255 /* the column is an unsigned tinyint */

/* Everything up to here, in (date, id), may be run by nobody now. */
struct cursor {
	int64_t date; /* INT64_MIN: the zero date */
	uint64_t id;
};
#define CURSOR_HEAD ((struct cursor){ INT64_MIN, 0 })

/* What the setters set; copied out under the lock. */
struct actions_settings {
	struct sql_scope scope;
	struct db_schema schema;
	struct site_facts facts;
	struct actions_export export;
	uint64_t node_id;
	bool series_after_crash;
};

struct group_slug {
	uint64_t id;
	char *slug;
};

struct actions {
	struct queue queue; /* first */
	uint32_t blog_id;
	const struct clock *clock;
	char *prefix, *base_prefix;

	pthread_mutex_t lock; /* guards settings, rewind, peek */
	struct actions_settings settings;
	bool rewind, peek;

	/* The claimer's alone. */
	struct cursor by_date[LANE_COUNT];
	struct cursor by_priority[LANE_COUNT][PRIORITY_MAX + 1];
	bool peeking; /* this walk looks behind the cursors, too */
	mono_ms rewind_at;
	mono_ms walked_ms;            /* spent walking since the last rewind */
	mono_ms sweep_at[LANE_COUNT]; /* next wide window */
	mono_ms deep_at[LANE_COUNT];  /* next walk past rows without room */
	bool deep;                    /* this walk is one */
	unsigned contended;           /* > 0: other nodes took what we wanted */
	uint64_t random;
	uint64_t *bad; /* open addressing, 0 is free */
	size_t nbad, bad_cap;
	struct group_slug *groups;
	size_t ngroups;
	int64_t clean_at;       /* Unix time */
	uint64_t foreign_after; /* claims walked by the cleaner */
};

static inline struct actions *
actions_of(struct queue *queue)
{
	return (struct actions *)(void *)queue;
}

void actions_settings_get(struct actions *q, struct actions_settings *out);

/* last_attempt_local and scheduled/log local of a time, for this site. */
int64_t actions_local_attempt(
    const struct actions_settings *s, int64_t unix_time);
int64_t actions_local(const struct actions_settings *s, int64_t unix_time);

/* Log lines gathered for one multi-row insert; text lives in the arena. */
struct action_logs {
	struct arena *arena;
	struct sql_value *rows;
	size_t n, cap;
	bool failed;
};
void action_logs_add(struct action_logs *l, const struct actions_settings *s,
    uint64_t id, int64_t when, const char *fmt, ...) PRINTF_LIKE(5, 6);
MUSTUSE enum rc action_logs_write(const struct action_logs *l, struct db *db,
    const struct actions_settings *s, struct err *err);

/* A pending row about to be inserted. */
struct new_action {
	struct slice hook, args, extended_args, schedule;
	uint64_t group_id;
	unsigned priority;
	int64_t when;
};
/* Insert it and add its "action created" line to `logs`. */
MUSTUSE enum rc action_insert(const struct actions_settings *s, struct db *db,
    const struct new_action *a, int64_t now, struct action_logs *logs,
    uint64_t *id, struct err *err);

/*
 * The next instance of a recurring row that ended at `now`, if it has one:
 * RC_NONE when it has not (not recurring, or consistently failing, which is
 * logged on the row).
 */
MUSTUSE enum rc action_repeat(const struct actions_settings *s, struct db *db,
    const struct job *j, bool failed, wall_us now, struct action_logs *logs,
    struct err *err);

/*
 * A fresh row for the next try of a failed job, guarded by the unique key of
 * the tries table. RC_NONE: that try is there already.
 */
MUSTUSE enum rc action_retry(const struct actions *q,
    const struct actions_settings *s, struct db *db, const struct job *j,
    int64_t delay_ms, uint32_t strikes, int64_t now, struct action_logs *logs,
    struct err *err);
/* What one call of claim() has gathered. */
struct picks {
	struct {
		uint64_t *ids;
		const struct route **routes;
		const struct policy **policies;
		size_t n, room;
	} lane[LANE_COUNT];
	bool more;       /* due rows were left for want of room */
	bool unfinished; /* the walk stopped early */
};

void picks_init(struct picks *p, const struct claim_request *req);
void picks_clear(struct picks *p);
/* Fill `p` with what may be claimed now, most urgent first. */
MUSTUSE enum rc actions_walk(struct actions *q,
    const struct actions_settings *s, struct db *db,
    const struct claim_request *req, struct picks *p, struct err *err);
/* Claim what was picked, at most one claim a lane. RC_NONE: all of it was
 * gone, or cannot run here. */
MUSTUSE enum rc actions_claim_picks(struct actions *q,
    const struct actions_settings *s, struct db *db, const struct picks *p,
    struct claim_result *res, struct err *err);
void actions_cursors_reset(struct actions *q);
/* Never offer this row again (until the next forced rewind). */
void actions_refuse(struct actions *q, uint64_t id);

/* The rows of actions_ops, each beside its subject. */
enum rc actions_next_due(
    struct queue *queue, struct db *db, int64_t *when, struct err *err);
enum rc actions_claim(struct queue *queue, struct db *db,
    const struct claim_request *req, struct claim_result *res, struct err *err);
enum rc actions_start(struct queue *queue, struct db *db,
    struct job *const *jobs, size_t n, struct err *err);
enum rc actions_settle(struct queue *queue, struct db *db, struct outcome *o,
    size_t n, struct err *err);
enum rc actions_rescue(struct queue *queue, struct db *db,
    const struct rescue_request *req, size_t *rescued, struct err *err);

#endif
