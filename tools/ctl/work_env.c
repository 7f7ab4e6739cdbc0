#include "work_env.h"

#include <sys/random.h>

#include "base/clock.h"
#include "base/config_options.h"
#include "blogs.h"

#define HOUR_MS INT64_C(3600000)
#define PER_PAGE 30

/* ---- a blog ------------------------------------------------------------- */

static bool
is_stopping(void *arg)
{
	const struct work_view *v = arg;
	const struct timespec now = { .tv_sec = 0 };

	return sigtimedwait(&v->signals, NULL, &now) > 0;
}

/* One thread works here, and asks PHP for one thing after the other. */
static bool
php_enter(void *arg, uint32_t wait_ms)
{
	(void)arg;
	(void)wait_ms;
	return true;
}

static void
php_leave(void *arg)
{
	(void)arg;
}

static void
block_signals(struct work_view *v)
{
	sigemptyset(&v->signals);
	sigaddset(&v->signals, SIGINT);
	sigaddset(&v->signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &v->signals, NULL);
}

enum rc
work_open(
    const struct ctl *c, struct place *p, struct work_view *v, struct err *err)
{
	enum site_standing standing;
	uint64_t self = 0;
	enum rc rc;

	*v = (struct work_view){ .place = p };
	rc = site_standing_read(
	    p->site, &p->facts, p->db, &p->scope, &standing, err);
	/* Leases are a node's; this process has no row among them. */
	if (rc == RC_OK && getrandom(&self, sizeof self, 0) != sizeof self)
		rc = err_set(err, RC_FATAL, "the kernel has no randomness");
	if (rc != RC_OK)
		return rc;
	block_signals(v);
	v->env = (struct work_env){
		.config = c->config,
		.site = p->site,
		.blog_id = p->blog_id,
		.siteurl = p->facts.siteurl,
		.facts = &p->facts,
		.standing = standing,
		.db = p->db,
		.scope = p->scope,
		.actions = p->actions ? p->queue : NULL,
		.node_id = self >> 1 | 1,
		.clock = &clock_system,
		.arg = v,
		.stopping = is_stopping,
		.php_enter = php_enter,
		.php_leave = php_leave,
	};
	return RC_OK;
}

struct each {
	work_fn *fn;
	void *arg;
};

static int
on_blog(const struct ctl *c, struct place *p, void *arg)
{
	const struct each *e = arg;
	struct work_view v;
	struct err err = ERR_INIT;

	if (work_open(c, p, &v, &err) != RC_OK)
		return ctl_error(c, &err);
	return e->fn(c, &v, e->arg);
}

int
work_each(const struct ctl *c, work_fn *fn, void *arg)
{
	struct each e = { .fn = fn, .arg = arg };

	return blogs_each(c, NEED_OWN, on_blog, &e);
}

/* ---- options ------------------------------------------------------------ */

int
work_budget(const struct ctl *c, uint32_t *ms)
{
	const struct option o = { .name = "--budget",
		.type = OPTION_DURATION,
		.min = 100,
		.max = HOUR_MS };
	struct arena a = ARENA_INIT(4096);
	struct err err = ERR_INIT;
	enum rc rc = RC_OK;

	*ms = 0;
	if (c->opts.budget)
		rc = config_option_set(
		    &o, ms, slice_str(c->opts.budget), &a, &err);
	arena_clear(&a);
	return rc == RC_OK ? EXIT_DONE
			   : ctl_fail(c, EXIT_USAGE, "--budget: %s", err.text);
}

int
work_page(const struct ctl *c, struct work_page *out)
{
	const struct ctl_options *o = &c->opts;

	out->page = 1;
	out->per_page =
	    !o->per_page && !o->page && c->out.format != OUTPUT_TABLE
		? PAGE_ALL
		: PER_PAGE;
	if (o->per_page && !ctl_number(c, "--per-page", o->per_page, 1,
			       PAGE_ALL, &out->per_page))
		return EXIT_USAGE;
	if (o->page &&
	    !ctl_number(c, "--page", o->page, 1, PAGE_ALL, &out->page))
		return EXIT_USAGE;
	return EXIT_DONE;
}

uint64_t
work_page_skip(const struct work_page *p)
{
	return (p->page - 1) * p->per_page;
}
