#ifndef BASE_JOB_H
#define BASE_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/route.h"
#include "base/slice.h"

struct queue;

enum job_kind {
	JOB_ACTION, /* a row of Action Scheduler's */
	JOB_EVENT,  /* a cron event, taken from the option `cron` */
};

/*
 * A claim: the jobs that one database write made ours. It ends when the last
 * of its jobs is settled or released.
 */
struct claim {
	uint64_t id; /* actions: row in {p}actionscheduler_claims; else random*/
	struct queue *queue; /* whose jobs these are */
	enum lane lane;
	size_t left;           /* jobs neither settled nor released */
	bool behind;           /* a row stays as it is: rescue ends the claim */
	struct slice php_lock; /* JSON: the lock that PHP keeps meanwhile */
	struct arena arena;    /* holds the jobs' text */
	void *origin;          /* the engine's: whose claim this is */
};

/* A literal of its own, so that no name of a table can hold it. */
#define PHP_MESSAGE_LITERAL "_binary'{message}'"

/* One piece of due work. Text lives in the claim's arena. */
struct job {
	struct claim *claim;
	enum job_kind kind;
	uint64_t id;        /* row in its queue */
	uint64_t origin_id; /* row of the first try; the same as id on it */
	uint32_t blog_id;
	uint32_t try;     /* 1 on the first try */
	uint32_t strikes; /* tries that ended with the executor's death */
	uint64_t group_id;
	unsigned priority;
	int64_t due; /* Unix time; INT64_MIN: at once */
	struct slice hook;
	struct slice args;          /* JSON text; JOB_EVENT: "" where the
				       arguments cannot be said in JSON */
	struct slice event_args;    /* JOB_EVENT: PHP-serialized, as stored */
	struct slice recurrence;    /* JOB_EVENT: its name; "": one-shot */
	struct slice stored_args;   /* column args, NULL when absent */
	struct slice extended_args; /* column extended_args, p NULL when NULL */
	struct slice schedule;      /* PHP-serialized, as stored */
	const struct route *route;
	const struct policy *policy;
	bool started;          /* its row is in-progress */
	int64_t start_unknown; /* when a start's commit got lost; 0: none did */
	wall_us started_at;
	void *limit; /* the engine's: whose slot it uses, or NULL */
	/* SQL that php/worker.php runs just before this job; php lane only. */
	struct slice sql_own;     /* the plugin runs the row: keep it ours */
	struct slice sql_start;   /* we run the hook: mark it in-progress */
	struct slice sql_running; /* was it us, if that answer got lost? */
	struct slice sql_started_log;
	/* JOB_EVENT: its row's end, which PHP writes when we are gone; in
	 * sql_failed PHP_MESSAGE_LITERAL stands for the message. */
	struct slice sql_done, sql_failed;
	struct job *next; /* for whoever holds it */
};

/* What became of a job. */
enum outcome_kind {
	OUTCOME_DONE,
	OUTCOME_RETRY,  /* failed; may succeed at retry_at, if tries are left */
	OUTCOME_FAILED, /* failed for good */
	OUTCOME_RELEASED, /* never started: give it back */
	OUTCOME_LOST,     /* not ours any more: leave the row alone */
	OUTCOME_SETTLED,  /* PHP wrote the row: read it back */
	OUTCOME_DIED,     /* the executor died under it: run or not, unknown */
};
const char *outcome_name(enum outcome_kind kind);

struct outcome {
	struct job *job;
	enum outcome_kind kind;
	/* OUTCOME_RETRY: not before, in ms; 0: by the policy's backoff. */
	int64_t retry_after_ms;
	/* OUTCOME_RETRY: nothing reached the other side, so even a job that is
	 * not idempotent may be tried again. */
	bool unsent;
	/* OUTCOME_DIED, OUTCOME_RETRY by timeout: counts towards parking. */
	bool strike;
	/* Log line of a failure as PHP's runner words it instead of
	 * "action failed via C: message" (fatal: "unexpected shutdown: ...").
	 */
	bool verbatim;
	/* Set by settle(): PHP wrote the failure and its log line. */
	bool told;
	/* Set by settle() when a commit got lost: the row may be settled
	 * already. */
	bool uncertain;
	bool settled; /* set by settle(): nothing is left to do */
	wall_us ended_at;
	char message[ERR_TEXT_MAX]; /* why; "" when done */
};

#endif
