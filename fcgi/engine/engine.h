#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/job.h"
#include "wordpress/site.h"

/*
 * The engine: cycles of claim, execute, settle for every site. Opaque; all
 * functions may be called from any thread.
 */
struct engine;

struct engine_opts {
	struct config *config;     /* referenced */
	struct site *const *sites; /* lent until engine_free() */
	size_t nsites;
	const struct clock *clock; /* NULL: clock_system */
	/* wp-cronctl run: no heartbeat of others, stop when nothing is left. */
	bool once;
	size_t limit; /* once: at most so many jobs; 0: any */
	/* once: only these; NULL: any */
	const struct config_list *hooks, *groups;
	uint64_t only_id; /* once: this row, due or not; 0: what is due */
	enum job_kind only_kind; /* of that row */
	/* once: of these queues (1 << enum job_kind); 0: of all */
	unsigned queues;
	uint32_t only_blog; /* once: this blog of a network; 0: all */
};

/* Open nothing yet; engine_start() starts the threads. */
MUSTUSE enum rc engine_new(
    const struct engine_opts *opts, struct engine **out, struct err *err);
MUSTUSE enum rc engine_start(struct engine *e, struct err *err);
/*
 * No new claims; running work ends or is released within shutdown_grace_ms.
 * Blocks until all threads have ended. May be called twice.
 */
void engine_stop(struct engine *e);
void engine_free(struct engine *e); /* stops first; NULL is fine */
/* A new configuration for what is claimed from now on (SIGHUP); sites stay. */
void engine_reload(struct engine *e, struct config *config);
/* SIGUSR1: the state of every site and worker, to the log. */
void engine_dump(struct engine *e);

enum engine_kick {
	ENGINE_STARTED, /* a look was triggered now */
	ENGINE_QUEUED,  /* one is pending, or a cycle runs */
};
/* Who asks for a look. Texts are lent for the call. */
struct engine_ping {
	struct slice key;  /* doing_wp_cron: a page load's lock; "": none */
	struct slice host; /* network: HTTP_HOST, and the path before */
	struct slice path; /* /wp-cron.php, "" or "/blog" */
};
/*
 * Look whether something is due on this site, on a network on the blog of that
 * host and path (an unknown one: the main blog). `ping` may be NULL. Never
 * blocks on I/O.
 */
enum engine_kick engine_kick(
    struct engine *e, const struct site *site, const struct engine_ping *ping);

/*
 * A page load of perhaps a logged-in reader (the reader ping). `cookies` is the
 * Cookie header, `where` host and path of the blog; lent for the call. Staging
 * is done elsewhere; never blocks on I/O. `wait`: say by engine_reader_done()
 * when what the page may wait for is over: a stale reader's pull.
 * Returns a ticket for that, 0: there is nothing to wait for.
 */
uint64_t engine_reader_ping(struct engine *e, const struct site *site,
    const struct engine_ping *where, struct slice cookies, bool wait);
/* Over, or not known (any more)? The progress descriptor tells when to ask. */
bool engine_reader_done(struct engine *e, uint64_t ticket);

/* Jobs by what became of them. */
struct engine_counts {
	uint64_t done, failed, retried, released;
	uint64_t done_native, done_php;
};
/* Totals of a site since start. */
void engine_counts(
    struct engine *e, const struct site *site, struct engine_counts *out);

/*
 * A waiter: has all that was due when it began been settled? The caller owns
 * the struct; it is plain data between the calls.
 */
struct engine_watch {
	const struct site *site;
	uint32_t blog_id;
	wall_us begun;
	struct engine_counts base;
	uint64_t look; /* a look must have begun after this one */
};
void engine_watch_begin(struct engine *e, const struct site *site,
    const struct engine_ping *ping, struct engine_watch *w);
/* RC_OK: all is settled, `counts` holds what ended since the begin;
 * RC_AGAIN: not yet, *remaining jobs are known to be under way or due;
 * RC_RETRY: the site's database is away. */
enum rc engine_watch_check(struct engine *e, const struct engine_watch *w,
    struct engine_counts *counts, uint64_t *remaining);
/*
 * A descriptor that becomes readable (eventfd) whenever a watch may have
 * changed; the one reader drains it. Valid until engine_free().
 */
int engine_progress_fd(const struct engine *e);

/* For /wp-cron-fcgi/healthz and `status`. */
struct engine_health {
	bool database_ok; /* last look succeeded */
	bool ready;       /* the first look has been made */
	bool standing_ok; /* the site is the one installed */
	int64_t next_due; /* Unix time; INT64_MAX: nothing */
	uint64_t running; /* jobs in workers */
	char last_error[ERR_TEXT_MAX];
};
void engine_health(
    struct engine *e, const struct site *site, struct engine_health *out);

#endif
