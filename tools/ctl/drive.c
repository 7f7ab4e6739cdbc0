#include "drive.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "progress.h"

#define TICK_MS 100
/* So long nothing moves although something is due: nobody takes the work. */
#define STUCK_MS 15000
/* So long what is left does not get less: it is not for us. */
#define STILL_MS 3000
#define LEFT_MS 200

struct driving {
	const struct drive_opts *o;
	struct engine *engine;
	struct engine_watch watch;
	struct progress progress;
	struct engine_counts counts;
	uint64_t moved_sum;
	mono_ms moved_at;
	uint64_t left; /* at the last asking, and since when it was so much */
	mono_ms left_at, ask_at;
};

static uint64_t
ended(const struct engine_counts *n)
{
	return n->done + n->failed + n->retried;
}

static void
signals_blocked(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, set, NULL);
}

static bool
was_signalled(const sigset_t *set)
{
	const struct timespec now = { .tv_sec = 0 };

	return sigtimedwait(set, NULL, &now) > 0;
}

static void
wait_for_progress(const struct driving *d)
{
	struct pollfd p = { .fd = engine_progress_fd(d->engine),
		.events = POLLIN };
	uint64_t count;

	if (poll(&p, 1, TICK_MS) > 0)
		(void)!read(p.fd, &count, sizeof count);
}

/*
 * Nothing has ended for long and nothing runs: PHP or the database is away.
 * Jobs that are claimed and released again now and then do not count as life.
 */
static bool
is_stuck(struct driving *d, uint64_t running)
{
	mono_ms now = clock_mono(&clock_system);

	if (ended(&d->counts) != d->moved_sum) {
		d->moved_sum = ended(&d->counts);
		d->moved_at = now;
	}
	return running == 0 && now - d->moved_at > STUCK_MS;
}

static bool
has_left(struct driving *d)
{
	mono_ms now = clock_mono(&clock_system);
	uint64_t left;

	if (!d->o->left)
		return false;
	if (now < d->ask_at)
		return true;
	d->ask_at = now + LEFT_MS;
	left = d->o->left(d->o->arg);
	if (left == 0)
		return false;
	if (left != d->left) {
		d->left = left;
		d->left_at = now;
	}
	return now - d->left_at <= STILL_MS;
}

/* RC_AGAIN: not yet; RC_OK: all of it; RC_RETRY: it will not be. */
static enum rc
look(struct driving *d, struct drive_result *out)
{
	struct engine_health health;
	uint64_t remaining, all;
	enum rc rc =
	    engine_watch_check(d->engine, &d->watch, &d->counts, &remaining);

	engine_health(d->engine, d->o->site, &health);
	progress_show(&d->progress, d->counts.done,
	    d->counts.failed + d->counts.retried, health.running);
	all = ended(&d->counts) + d->counts.released;
	if (health.running == 0 && d->o->limit > 0 && all >= d->o->limit)
		return RC_OK;
	if (health.running == 0 && rc == RC_OK)
		return has_left(d) ? RC_AGAIN : RC_OK;
	if (!is_stuck(d, health.running))
		return RC_AGAIN;
	(void)snprintf(out->why, sizeof out->why, "%s",
	    health.last_error[0]
		? health.last_error
		: "what is due was not taken for 15 s; `wp-cronctl doctor` "
		  "says why PHP does not answer");
	return RC_RETRY;
}

static void
run(struct driving *d, const sigset_t *set, struct drive_result *out)
{
	enum rc rc = RC_AGAIN;

	out->end = DRIVE_STOPPED;
	engine_watch_begin(d->engine, d->o->site, NULL, &d->watch);
	d->moved_at = clock_mono(&clock_system);
	while (rc == RC_AGAIN) {
		if (was_signalled(set) ||
		    (d->o->tick && !d->o->tick(d->o->arg)))
			return;
		wait_for_progress(d);
		rc = look(d, out);
	}
	out->end = rc == RC_OK ? DRIVE_SETTLED : DRIVE_UNAVAILABLE;
}

enum rc
drive(const struct ctl *c, const struct drive_opts *o, struct drive_result *out,
    struct err *err)
{
	struct site *sites[] = { c->sites[0] };
	const struct engine_opts eo = {
		.config = c->config,
		.sites = sites,
		.nsites = 1,
		.once = true,
		.limit = o->limit,
		.hooks = o->hooks,
		.groups = o->groups,
		.only_id = o->only_id,
		.only_kind = o->only_kind,
		.queues = o->queues,
		.only_blog = o->blog_id,
	};
	struct driving d = { .o = o };
	mono_ms begun = clock_mono(&clock_system);
	sigset_t set;
	enum rc rc;

	*out = (struct drive_result){ .end = DRIVE_STOPPED };
	/* Before the first thread: all of them inherit the mask. */
	signals_blocked(&set);
	rc = engine_new(&eo, &d.engine, err);
	if (rc == RC_OK)
		rc = engine_start(d.engine, err);
	if (rc == RC_OK) {
		progress_begin(&d.progress, o->total, c->opts.quiet);
		run(&d, &set, out);
		engine_stop(d.engine);
		progress_end(&d.progress);
		engine_counts(d.engine, o->site, &out->counts);
	}
	engine_free(d.engine);
	out->ms = (uint64_t)(clock_mono(&clock_system) - begun);
	return rc;
}
