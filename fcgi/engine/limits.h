#ifndef ENGINE_LIMITS_H
#define ENGINE_LIMITS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/route.h"
#include "base/slice.h"
#include "queues/queue.h"
#include "sql/db.h"

/* Slots of one hook over all nodes: a lease row each. */
#define LIMIT_SLOTS_MAX 64

/* Rate and concurrency of one hook on one blog, as this node holds them. */
struct limit {
	char *hook;
	/* Starts this node may make until the window ends. */
	uint32_t tokens;
	wall_us window_end;
	bool empty;                      /* the shared bucket, until then */
	uint64_t slots[LIMIT_SLOTS_MAX]; /* lease tokens; 0: not ours */
	uint32_t nslots;                 /* of them are ours */
	mono_ms take_at;                 /* other slots: not before */
	mono_ms renew_at;
	uint32_t pending;      /* admitted in the claim under way */
	_Atomic uint32_t busy; /* jobs that run or wait in a worker */
	bool barred;           /* a candidate was turned away */
};

/* All limits of one site; the claimer's, but for `busy`. */
struct limits {
	struct limit **items;
	size_t n;
};

struct limits_scope {
	struct db *db;
	const struct sql_scope *scope;
	uint32_t blog_id;
	uint64_t node_id;
	uint32_t ttl_ms; /* of a slot's lease */
	const struct clock *clock;
};

/*
 * limits_admit - may one more job of this hook be claimed? ADMIT_BAR: not
 * now. Talks to the database when tokens or slots are missing; when that
 * fails, nobody runs the hook until it answers.
 */
enum admit limits_admit(struct limits *l, const struct limits_scope *s,
    struct slice hook, const struct policy *p);
/* The limit of a hook, NULL when it has none. */
struct limit *limits_find(const struct limits *l, struct slice hook);
/* After a claim: `job`s that were claimed hold their slot... */
void limits_hold(struct limit *limit);
/* ...and what was admitted but not claimed is given back. */
void limits_settle_claim(struct limits *l);
/* A job ended; any thread. */
void limits_release(struct limit *limit);
/* Renew the slots in use, give back the idle ones. */
void limits_tend(struct limits *l, const struct limits_scope *s);
/* True once when a hook that was turned away may run again. */
bool limits_reopen(struct limits *l, const struct clock *clock);
/* When the first of those turned away may; INT64_MAX: none that only waits for
 * a time (one that waits for its own jobs hears of them by their end). */
mono_ms limits_next(const struct limits *l, const struct clock *clock);
void limits_clear(struct limits *l);

#endif
