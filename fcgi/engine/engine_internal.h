#ifndef ENGINE_ENGINE_INTERNAL_H
#define ENGINE_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/job.h"
#include "engine/engine.h"
#include "engine/limits.h"
#include "executors/executor.h"
#include "executors/webhook_body.h"
#include "executors/webhook_hosts.h"
#include "queues/actions.h"
#include "sql/db.h"

/*
 * Lock order: there is one lock, engine.lock, and no call that may block is
 * made while it is held. It guards what says so below; everything else
 * belongs to the one thread named.
 */

struct database;
struct worker;

/* A claim that a worker holds. Guarded by engine.lock, but for the claim
 * itself, which is the worker's. */
struct held {
	struct held *next;
	struct claim *claim;
	uint64_t claim_id;
	struct config *config; /* lends the jobs' routes and policies */
	int64_t first_due;
	uint64_t left;        /* jobs, as of the last settlement */
	mono_ms refreshed_at; /* rows' last_attempt_gmt */
};

/* One site while the engine runs. */
struct site_run {
	struct engine *engine;
	const struct site *site;
	struct database *database;
	struct actions *actions;

	/* Guarded by engine.lock. */
	bool kicked;        /* look as soon as the interval allows */
	bool looking;       /* the claimer is at it */
	bool backlog;       /* more was due than there was room for */
	uint64_t room_seen; /* engine.room_epoch at the last look */
	mono_ms looked_at;  /* begin of the last look */
	mono_ms again_at;   /* a limit opens: look before the interval ends */
	uint64_t looks_begun;
	uint64_t drained_look;  /* the last look that left nothing behind */
	uint64_t released_look; /* the last begun when jobs went back */
	struct held *held;
	struct engine_counts counts;
	struct engine_health health;
	bool cron_running;   /* core's cron loop is in a PHP worker */
	char told_home[256]; /* what receivers are told of the site */
	char told_identity[65];

	/* The claimer's alone. */
	bool prepared;
	mono_ms turned_at;        /* begin of the last turn */
	bool starved[LANE_COUNT]; /* work waits, and it has no worker there */
	bool has_actions;         /* Action Scheduler's tables are there */
	mono_ms prepare_at;       /* not before; after a failure */
	mono_ms probe_at;         /* without them: look again then */
	bool no_tables_said, no_php_said;
	uint64_t node_id;
	mono_ms heartbeat_at, rescue_at, facts_at, cron_at;
	struct site_facts facts;
	struct timezone **zones; /* every zone the queue was ever lent */
	size_t nzones;
	enum site_standing standing;
	char identity[65];
	struct limits limits;
};

/* A database and the thread that looks, claims, rescues, keeps alive in it. */
struct database {
	struct engine *engine;
	const struct db_params *params;
	pthread_t thread;
	bool started;
	struct db *db;                /* the claimer's */
	_Atomic uint32_t connections; /* the workers' */
	mono_ms retry_at;             /* connecting again not before */
	unsigned failures;
};

/* One worker thread; of one lane for life, of one site while it holds jobs. */
struct worker {
	struct engine *engine;
	enum lane lane;
	unsigned index;
	pthread_t thread;
	bool started;

	/* Guarded by engine.lock. */
	struct site_run *site; /* NULL: idle */
	struct job *inbox, **inbox_end;
	size_t held;         /* jobs claimed for it and not settled */
	bool reserved;       /* the claimer is fetching for it */
	bool backing_off;    /* its executor takes nothing for a while */
	bool cron;           /* php: run core's cron loop */
	pthread_cond_t wake; /* inbox, cron, stop */

	/* The thread's alone. */
	struct config *config;
	char home[256], identity[65];
	struct webhook_site told;
	bool run_cron; /* what want_cron answers */
	struct executor *executors[EXECUTOR_NKINDS];
	struct site_run *bound; /* whose executors these are */
	struct db *db;
	struct site_run *db_site;
	mono_ms db_used_at, db_retry_at;
	struct job *todo; /* claimed, not begun */
	size_t ntodo;
	struct outcome *ended; /* not settled yet */
	size_t nended, ended_cap;
	mono_ms oldest_end;
	mono_ms settle_at; /* not before; after a failure */
	unsigned settle_failures;
};

struct engine {
	pthread_mutex_t lock;
	pthread_cond_t wake_claimers; /* kicks, room, stop */
	const struct clock *clock;
	struct webhook_hosts *hosts;
	int progress_fd;

	/* Guarded by lock. */
	struct config *config;
	uint64_t room_epoch; /* grows whenever a worker may take more */
	bool claiming;       /* false: claim no more */
	bool stopping;       /* workers release and end */
	bool leaving;        /* claimers end */
	mono_ms grace_end;
	size_t once_left; /* once: how many more may be claimed */

	/* Constant after engine_start(). */
	bool once;
	bool limited;
	const struct config_list *only_hooks, *only_groups;
	uint64_t only_id; /* once: claim this row alone; 0: what is due */
	struct site_run *sites;
	size_t nsites;
	struct database *databases;
	size_t ndatabases;
	struct worker *workers;
	size_t nworkers;
	bool started;
};

/* Thread bodies; `arg` is a struct database, a struct worker. */
void *claimer_main(void *arg);
void *worker_main(void *arg);

/* Called with the lock: something a waiter may wait for has changed. */
void engine_progress_locked(struct engine *e);

/* Targets counted in one claim; of more, only what is held counts. */
#define ADMITTED_TARGETS 16

/* Decides what may be claimed now; an admit_fn and its argument. */
struct admission {
	struct {
		const char *target;
		size_t n;
	} admitted[ADMITTED_TARGETS]; /* in this claim */
	struct site_run *site;
	struct config *config;
	struct db *db;
	mono_ms now;
	size_t left; /* once: how many more may be claimed */
};
enum admit engine_admit(void *arg, enum lane lane, const struct candidate *c,
    const struct route **route, const struct policy **policy);
/* A policy_fn over an admission. */
const struct policy *engine_policy(void *arg, struct slice hook);

/* Claims that workers hold for a site, those not refreshed since a time; the
 * caller's to free. Only the site's claimer adds to them. */
uint64_t *engine_held_claims(
    struct site_run *s, mono_ms stale_since, size_t *n);
/* A claim that is over, or given up with the process; not in its list. */
void engine_held_free(struct held *h);
/* The executor of a kind for a worker bound to a site; NULL with the words. */
struct executor *engine_executor(struct worker *w, struct site_run *site,
    enum executor_kind kind, struct err *err);

#endif
