#ifndef ENGINE_TASKS_RUN_INTERNAL_H
#define ENGINE_TASKS_RUN_INTERNAL_H

#include "base/arena.h"
#include "engine/tasks_run.h"
#include "executors/task_webhook.h"
#include "queues/tasks.h"

/* Shared by tasks_run.c (lease, lock, inbox, loop), tasks_run_gates.c,
 * tasks_run_batch.c (who does a task, and what came of it), tasks_run_mail.c
 * (native mails), tasks_run_announce.c (the companion plugin) and
 * tasks_run_said.c. */

#define TASKS_BATCH_BYTES ((size_t)128 << 20)
#define TASKS_TYPES_MAX 256

/* One look at a queue. */
struct tasks_turn {
	const struct work_env *env;
	const struct config_tasks *c;
	const struct config_site *site;
	const struct config_smtp *smtp; /* NULL: the site has none */
	struct task_queue q;
	struct tasks_report *out;
	/* Types that somebody here does; others are not claimed. */
	struct slice types[TASKS_TYPES_MAX];
	size_t ntypes;

	char lease[256];
	uint64_t token; /* 0: not ours */
	/* Neither taken nor announced: the plugin's processor works it off. */
	bool inbox_is_phps;
	bool has_lock; /* PHP's, whose value is `lock` */
	char lock[24];
	uint64_t claim_id; /* 0: nothing is claimed */
	uint32_t term_ms;  /* of a claim */
	mono_ms until;     /* no task begins later */
	mono_ms renew_at;
	mono_ms stop_at;    /* PHP, or a call, is ended then; 0: not yet */
	bool lost;          /* the lease or PHP's lock: begin nothing more */
	struct err failure; /* of the database, in a callback */
	struct task_webhook *webhook;
};

/* The line of the configuration for a type; NULL: there is none. */
const struct config_handler *tasks_handler(
    const struct config_tasks *c, struct slice type);
/* Why this handler does nothing here; NULL: it does. */
const char *tasks_unable(
    const struct tasks_turn *t, const struct config_handler *h);
/* Why nothing is done of the queue; NULL: it is. */
const char *tasks_why_held(const struct tasks_turn *t);
/* Only PHP reads what a cache keeps, and it cannot take it without a loss. */
bool tasks_out_of_reach(const struct tasks_turn *t);
/* Hold on what is held; to be called about once a second. A void * for those
 * who only know an argument. */
void tasks_turn_tick(void *turn);
/* The program stops, and what is in hand had its time; likewise a void *. */
bool tasks_turn_overdue(void *turn);
/* Is no task to begin any more? */
bool tasks_turn_over(const struct tasks_turn *t);
/* So that it is said once, and again when it has changed. */
bool tasks_turn_say(
    const struct tasks_turn *t, const char *event, const char *text);

/* Likewise, so that it is done not more often than that. */
bool tasks_turn_every(
    const struct tasks_turn *t, const char *what, mono_ms every);
/* From now on the companion plugin hands the queue's tasks over, or does not;
 * nothing without the plugin. */
MUSTUSE enum rc tasks_turn_announce(
    const struct tasks_turn *t, bool ours, struct err *err);

/*
 * tasks_batch - claim a batch and do it. RC_NONE: nothing is ready. RC_AGAIN:
 * PHP, without which it does not go on, is away: t->out->held. RC_RETRY: the
 * database is away.
 */
MUSTUSE enum rc tasks_batch(struct tasks_turn *t, struct err *err);

/*
 * tasks_send_email - the mail of a task, built here and put into the outbox.
 * RC_REJECT: it never can be; RC_RETRY: not now.
 */
MUSTUSE enum rc tasks_send_email(
    const struct tasks_turn *t, const struct task *task, struct err *err);

#endif
