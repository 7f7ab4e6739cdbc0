#ifndef QUEUES_QUEUE_H
#define QUEUES_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/job.h"
#include "sql/db.h"

struct queue;

/* A row that could be claimed, as far as a first look shows it. */
struct candidate {
	enum job_kind kind;
	uint64_t id; /* JOB_EVENT: 0: may it be run at all? Nothing is counted
			as admitted */
	struct slice hook;
	uint64_t group_id;
	unsigned priority;
	int64_t due;
};

enum admit {
	ADMIT_TAKE,  /* route and policy are set */
	ADMIT_ALONE, /* likewise, but with nothing else in its lane's claim */
	ADMIT_FULL,  /* may run, but there is no room for it now */
	ADMIT_BAR,   /* nobody may run it now: paused, rate-limited, excepted */
};
/* Decides about one candidate for a lane; a row of the other lane is barred
 * here. Called by claim() on the claimer's thread. */
typedef enum admit admit_fn(void *arg, enum lane lane,
    const struct candidate *c, const struct route **route,
    const struct policy **policy);

/* The policy of a hook, for rows that are not claimed; never NULL. */
typedef const struct policy *policy_fn(void *arg, struct slice hook);

struct claim_request {
	size_t room[LANE_COUNT];  /* at most so many jobs a lane */
	size_t share[LANE_COUNT]; /* so many workers are free, each with that
				    room: take one's part of what is due */
	bool ask[LANE_COUNT];     /* no room, but say in `more` if work waits */
	admit_fn *admit;
	void *arg;
};

/* What claim() found: at most one claim a lane, and whether more is due. */
struct claim_result {
	struct claim *claims[LANE_COUNT]; /* NULL: none; the caller's */
	struct job *jobs[LANE_COUNT]; /* list by job.next, first due first */
	size_t njobs[LANE_COUNT];
	bool more;         /* due rows were left behind for want of room */
	bool unfinished;   /* the walk stopped early: claim again at once */
	bool wants_export; /* due work waits for what only PHP knows */
	/* Object cache: what PHP is to take from the `cron` option (JSON for
	 * php/worker.php); NULL: nothing. The caller's to free(). */
	char *php_take;
};

struct rescue_request {
	policy_fn *policy;
	void *arg;
	/* Claims that this process' workers hold, whoever is on record for
	 * them. An older one of this node that is not here got lost between its
	 * commit and us, and is taken back too. */
	const uint64_t *live;
	size_t nlive;
};

struct queue_ops;

/* First member of every queue. */
struct queue {
	const struct queue_ops *ops;
};

/* One static table a queue. See ARCHITECTURE.md, "A job's life". */
struct queue_ops {
	const char *name; /* "actions", "cron" */
	/* The earliest time something that may run is due; RC_NONE: nothing. */
	enum rc (*next_due)(
	    struct queue *, struct db *, int64_t *when, struct err *);
	/* Durable before it returns. RC_NONE: nothing could be claimed. */
	enum rc (*claim)(struct queue *, struct db *,
	    const struct claim_request *, struct claim_result *, struct err *);
	/* Mark jobs running; sets job->started for those still ours. */
	enum rc (*start)(struct queue *, struct db *, struct job *const *jobs,
	    size_t n, struct err *);
	/* One transaction for n outcomes; drops finished claims' rows. */
	enum rc (*settle)(struct queue *, struct db *, struct outcome *,
	    size_t n, struct err *);
	/* The rows of these claims stay ours: refresh what PHP's cleaner looks
	 * at. */
	enum rc (*heartbeat)(struct queue *, struct db *,
	    const uint64_t *claims, size_t n, struct err *);
	/* Take back what dead owners left behind. */
	enum rc (*rescue)(struct queue *, struct db *,
	    const struct rescue_request *, size_t *rescued, struct err *);
};

#endif
