#ifndef ENGINE_CONTACTS_H
#define ENGINE_CONTACTS_H

#include "base/config.h"
#include "engine/engine.h"
#include "engine/work.h"
#include "executors/esp/esp.h"
#include "queues/contacts.h"
#include "wordpress/newspack.h"
#include "wordpress/site.h"

/*
 * Work on contacts: the batch that Newspack's PHP runs every five minutes, and
 * single readers for retries, page loads and wp-cronctl. It runs on a thread
 * of its own and on its own connection; nothing here touches engine.lock but
 * through the calls of struct work_env.
 */

/* What became of readers, by direction. */
struct contact_counts {
	uint64_t readers, done, unchanged, pending, retried, refused, skipped,
	    orphans, php;
};
struct contact_report {
	struct contact_counts counts[CONTACT_NDIRECTIONS];
	bool more;        /* readers wait still: run again */
	int64_t again_at; /* a bulk call is to be asked then; INT64_MAX */
	char held[ERR_TEXT_MAX]; /* why nothing left; "" */
	bool absent;             /* because the plugin is not active */
};

/* Why nothing may leave a blog, and what to do about it; NULL: it may. */
const char *contact_held(const struct config_site *c, const struct newspack *n,
    enum site_standing standing, const char **remedy);

struct contact_batch_opts {
	unsigned directions; /* 1 << enum contact_direction; 0: both */
	uint32_t budget_ms;  /* no page is begun later; 0: the site's */
	bool poll_only;      /* ask for bulk calls alone */
	bool own_clock; /* likewise, unless NEWSPACK_CRON_DISABLE took PHP's
			   event away */
};
/*
 * contact_batch_run - one tick: bulk calls that wait to be asked, then all
 * pulls, then all pushes. RC_NONE: another node is at it. RC_RETRY: the
 * database is away. A provider that fails is no error here.
 */
MUSTUSE enum rc contact_batch_run(const struct work_env *env,
    const struct contact_batch_opts *opts, struct contact_report *out,
    struct err *err);

/* One reader and one integration, at once. */
struct contact_task {
	enum contact_direction direction;
	uint64_t user_id;
	struct slice integration; /* "": all that are enabled */
	struct slice context;     /* push */
	struct slice previous_email;
	unsigned retry;     /* 0: no retry row; n: this is retry n */
	uint64_t action_id; /* of that row */
	bool unchanged_too; /* push even when the fingerprint is equal */

	bool ok;
	bool final; /* !ok: no retry follows: permanent, or the last */
	/* !ok: nothing was tried: PHP or the provider rests, or nothing may
	 * leave. A retry's row was inserted anew with the same count. */
	bool later;
	bool held; /* `later` because nothing may leave this blog */
	bool lost; /* the program ended, or the database went, before it */
	char message[ERR_TEXT_MAX];
};
/*
 * contact_task_run - as Newspack's retry callbacks: the next retry's row
 * is committed before this returns. RC_RETRY: the database is away.
 */
MUSTUSE enum rc contact_task_run(
    const struct work_env *env, struct contact_task *t, struct err *err);
/* Many at once, those of one integration in pages; the list is sorted here. */
MUSTUSE enum rc contact_tasks_run(const struct work_env *env,
    struct contact_task **tasks, size_t n, struct err *err);

/* ---- in the daemon ------------------------------------------------------ */

struct site_run;
struct contact_pool;

/* Threads are started when there is work, and end when there is none. */
struct contact_pool *contact_pool_new(struct engine *e);
/* From now on no page and no request begins; any thread, at any time. */
void contact_pool_quit(struct contact_pool *p);
bool contact_pool_quits(struct contact_pool *p);
/* Waits for what is in hand; once: for all that is wanted. */
void contact_pool_drain(struct contact_pool *p);
void contact_pool_free(struct contact_pool *p); /* drains; NULL is fine */
/* Run the batch of a blog soon; many calls are one. Any thread. */
void contact_pool_batch(struct contact_pool *p, struct site_run *s);
/* What is due by the clock: bulk calls to ask for, the batch where PHP's event
 * is disabled. With engine.lock; when to ask again. */
mono_ms contact_pool_tend_locked(
    struct contact_pool *p, struct site_run *s, mono_ms now);
/* Called once when a task is over, on the pool's thread; the task is the
 * callee's to read until it returns. */
typedef void contact_done_fn(void *arg, const struct contact_task *t);
/*
 * contact_pool_add - run a task; texts are copied. False: too many wait, and
 * `done` is not called. `urgent` (a page waits) goes first, and with an empty
 * integration all of them go side by side.
 */
bool contact_pool_add(struct contact_pool *p, struct site_run *s,
    const struct contact_task *t, bool urgent, contact_done_fn *done,
    void *arg);

/* The executor of retry rows, for one worker; never fails. */
struct executor;
struct executor *contact_executor_new(
    struct contact_pool *p, struct site_run *s, const struct clock *clock);

#endif
