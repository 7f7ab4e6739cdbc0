#ifndef ENGINE_ENGINE_INTERNAL_H
#define ENGINE_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/job.h"
#include "engine/chores.h"
#include "engine/contacts.h"
#include "engine/engine.h"
#include "engine/limits.h"
#include "engine/pace.h"
#include "executors/executor.h"
#include "executors/webhook_body.h"
#include "executors/webhook_hosts.h"
#include "queues/actions.h"
#include "queues/cron_events.h"
#include "sql/db.h"

/*
 * Lock order: there is one lock, engine.lock, and no call that may block is
 * made while it is held. It guards what says so below; everything else
 * belongs to the one thread named.
 */

struct database;
struct network;
struct worker;

#define QUEUE_COUNT 2 /* actions, cron events */

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

/* What PHP is asked besides jobs; one at a time a blog. */
struct asking {
	bool under_way;
	char *take;  /* claim_result.php_take; NULL: none */
	bool export; /* what only PHP knows */
};

/* A blog's contacts. Guarded by contact_pool's lock, but for `held`, which is
 * the batch's under way. */
struct contact_state {
	struct site_run *next; /* wanted: in the pool's list */
	unsigned wanted;       /* enum wanted in contact_pool.c */
	unsigned again;        /* likewise, after a failure */
	bool listed, running;
	mono_ms tick_at; /* own clock; 0: not set yet */
	mono_ms poll_at; /* bulk calls are to be asked for; 0: none known */
	char held[128];  /* why nothing leaves, as it was said */
};

/* One blog while the engine runs; a single site is a network of one. */
struct site_run {
	struct engine *engine;
	struct network *network;
	const struct site *site;
	struct database *database;
	uint32_t blog_id;
	char prefix[SITE_PREFIX_MAX];
	struct actions *actions;
	struct cron_events *events;
	struct queue *queues[QUEUE_COUNT];

	/* Guarded by engine.lock. */
	char *domain, *path; /* {base}blogs; NULL: not a network */
	bool gone;           /* archived, deleted: no new work */
	bool wanted;         /* a scan of the network saw something due */
	bool kicked;         /* look as soon as the interval allows */
	bool looking;        /* the claimer is at it */
	bool backlog;        /* more was due than there was room for */
	uint64_t room_seen;  /* engine.room_epoch at the last look */
	mono_ms looked_at;   /* begin of the last look */
	mono_ms again_at;    /* a limit opens: look before the interval ends */
	uint64_t looks_begun;
	uint64_t drained_look;  /* the last look that left nothing behind */
	uint64_t released_look; /* the last begun when jobs went back */
	struct held *held;
	struct engine_counts counts;
	struct engine_health health;
	struct asking asking;
	bool actions_there;         /* has_actions, for other threads */
	mono_ms contact_rest_until; /* no retry of a contact before */
	mono_ms tend_at;            /* events: keep or give back the lock */
	char told_home[256];        /* what receivers are told of the site */
	char told_siteurl[256];
	char told_identity[65];

	struct contact_state contacts;
	struct chore_state chores;

	/* The claimer's alone. */
	bool prepared;
	mono_ms turned_at;        /* begin of the last turn */
	bool starved[LANE_COUNT]; /* work waits, and it has no worker there */
	bool has_actions;         /* Action Scheduler's tables are there */
	mono_ms prepare_at;       /* not before; after a failure */
	mono_ms probe_at;         /* without them: look again then */
	bool no_tables_said, no_php_said, replaced_said;
	bool maintenance;   /* PHP would not boot */
	size_t first_queue; /* whose turn it is to claim first */
	mono_ms rescue_at, facts_at, ask_at, missed_at;
	bool rescue_now;    /* somebody's claims are on record */
	bool maybe_actions; /* there is a table of that name */
	struct pace pace;
	struct site_facts facts;
	struct timezone **zones; /* every zone the queue was ever lent */
	size_t nzones;
	enum site_standing standing;
	char identity[65];
	struct limits limits;

	/* Guarded by stager.lock, which owns it. */
	struct stager_blog *staging;
};

/* A hook or group that is paused for all nodes. */
struct pause {
	uint32_t blog_id; /* 0: every blog */
	bool group;
	char *pattern;
};

/*
 * One WordPress: a wp-config.php, the program's own tables, this node's row in
 * them, and its blogs.
 */
struct network {
	struct engine *engine;
	const struct site *site;
	struct database *database;

	/* Guarded by engine.lock; only the claimer adds, nobody removes. */
	struct site_run **blogs; /* the main blog first */
	size_t nblogs, blogs_cap;
	bool kicked;        /* many blogs: scan as soon as allowed */
	bool stranger;      /* a ping was for a blog that is not known */
	mono_ms scanned_at; /* many blogs */

	/* The claimer's alone. */
	bool prepared;
	mono_ms turned_at, prepare_at, heartbeat_at, nodes_at;
	mono_ms blogs_read_at, tables_at;
	mono_ms retry_at; /* no turn before; after a failure */
	uint64_t node_id;
	struct pause *pauses;
	size_t npauses;
	mono_ms pauses_at;
	size_t chore; /* whose turn the rare chores are */
};

/* A database and the thread that looks, claims, rescues, keeps alive in it. */
struct database {
	struct engine *engine;
	const struct db_params *params;
	pthread_t thread;
	bool started;
	struct db *db;                /* the claimer's */
	_Atomic uint32_t connections; /* but for the claimer's */
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
	bool slow;           /* php: at a slow hook */
	bool backing_off;    /* its executor takes nothing for a while */
	bool ask;            /* php: ask what site->asking says */
	pthread_cond_t wake; /* inbox, ask, stop */

	/* The thread's alone. */
	struct config *config;
	char home[256], siteurl[256], identity[65];
	struct webhook_site told;
	char *take;  /* what want_take answers, once */
	bool export; /* what want_export answers */
	bool asking; /* PHP has not answered yet */
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
	enum job_kind only_kind; /* of that row */
	unsigned queues;         /* once: which (1 << enum job_kind) */
	uint32_t only_blog;      /* once: this one; 0: all */
	struct network *networks;
	size_t nnetworks;
	struct database *databases;
	size_t ndatabases;
	struct worker *workers;
	size_t nworkers;
	bool started;
	struct stager *stager; /* NULL: once */
	struct contact_pool *contacts;
	struct chores *chores;
	size_t php_wanted; /* threads that wait for a place in PHP */
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
	size_t left;      /* once: how many more may be claimed */
	bool alone;       /* a slow hook is picked for the PHP lane */
	bool closed;      /* one is next in it */
	int64_t php_ms;   /* what the lane's picks will take */
	size_t slow_left; /* slow hooks that may still begin */
};
enum admit engine_admit(void *arg, enum lane lane, const struct candidate *c,
    const struct route **route, const struct policy **policy);
/* A policy_fn over an admission. */
const struct policy *engine_policy(void *arg, struct slice hook);

/* Claims of a queue (NULL: any) that workers hold for a blog, those not
 * refreshed since a time; the caller's to free. Only the claimer adds. */
uint64_t *engine_held_claims(struct site_run *s, const struct queue *queue,
    mono_ms stale_since, size_t *n);
/* All blogs of a database, one after the other; NULL: no more. Begin with an
 * iterator of zeroes. With the lock, or on the claimer. */
struct blog_iter {
	size_t network, blog;
};
struct site_run *engine_next_blog(
    const struct engine *e, const struct database *d, struct blog_iter *it);
/* A claim that is over, or given up with the process; not in its list. */
void engine_held_free(struct held *h);
/* The executor of a kind for a worker bound to a site; NULL with the words. */
struct executor *engine_executor(struct worker *w, struct site_run *site,
    enum executor_kind kind, struct err *err);

#endif
