/* Which executor serves a route, and the one that is the engine's own. */
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "engine/ask.h"
#include "engine/engine_internal.h"
#include "engine/site_prepare.h"
#include "executors/php.h"
#include "executors/php_mail.h"
#include "executors/webhook.h"

/* Settings and statements. */
#define OUTBOX_JSON_MAX ((size_t)64 * 1024)
#define WORKER_SCRIPT PREFIX "/share/wp-cron-fcgi/worker.php"

/* "run that queue": a kick, which is done as soon as it is begun. */
struct kicker {
	struct executor base;
	struct worker *worker;
	struct job **jobs;
	size_t n, cap;
};

static size_t
kicker_room(const struct executor *ex)
{
	(void)ex;
	return 1000;
}

static void
kicker_begin(struct executor *ex, struct job *const *jobs, size_t n)
{
	struct kicker *k = (struct kicker *)ex;

	if (k->n + n > k->cap) {
		k->cap = k->n + n;
		k->jobs = xrealloc(k->jobs, k->cap, sizeof(struct job *));
	}
	memcpy(k->jobs + k->n, jobs, n * sizeof(struct job *));
	k->n += n;
}

static void
kicker_poll(struct executor *ex, int timeout_ms, outcome_fn *report, void *arg)
{
	struct kicker *k = (struct kicker *)ex;
	size_t n = k->n;
	struct engine *e = k->worker->engine;
	bool actions = false, contacts = false, messages = false, tasks = false;

	(void)timeout_ms;
	k->n = 0;
	for (size_t i = 0; i < n; i++) {
		const char *target = k->jobs[i]->route->target;

		actions = actions || strcmp(target, "actions") == 0;
		contacts = contacts || strcmp(target, "contacts") == 0;
		messages = messages || strcmp(target, "messages") == 0;
		tasks = tasks || strcmp(target, "tasks") == 0;
		report(arg, &(const struct outcome){ .job = k->jobs[i],
				.kind = OUTCOME_DONE,
				.ended_at = clock_wall(e->clock) });
	}
	if (contacts)
		contact_pool_batch(e->contacts, k->worker->bound);
	if (messages)
		chores_want(e->chores, k->worker->bound, CHORE_MESSAGES, true);
	if (tasks)
		chores_want(e->chores, k->worker->bound, CHORE_TASKS, false);
	if (actions)
		engine_kick(e, k->worker->bound->site, NULL);
}

static size_t
kicker_running(const struct executor *ex)
{
	return ((const struct kicker *)ex)->n;
}

static void
kicker_abandon(struct executor *ex, outcome_fn *report, void *arg)
{
	kicker_poll(ex, 0, report, arg);
}

static void
kicker_free(struct executor *ex)
{
	struct kicker *k = (struct kicker *)ex;

	free(k->jobs);
	free(k);
}

static const struct executor_ops kicker_ops = {
	.name = "queue",
	.room = kicker_room,
	.begin = kicker_begin,
	.poll = kicker_poll,
	.running = kicker_running,
	.abandon = kicker_abandon,
	.free = kicker_free,
};

static struct executor *
kicker_new(struct worker *w)
{
	struct kicker *k = xcalloc(1, sizeof *k);

	k->base.ops = &kicker_ops;
	k->worker = w;
	return &k->base;
}

/* Facts are read anew now and then by the claimer: copied under the lock. */
static const struct webhook_site *
site_of_job(void *arg, const struct job *job)
{
	struct worker *w = arg;

	(void)job;
	return &w->told;
}

/* How PHP stores mails; left empty where the site has no relay. */
static void
put_outbox(struct buf *out, const struct worker *w, const struct site_run *s)
{
	const struct config_site *c = site_config(w->config, s->site);
	const struct config_smtp *smtp = config_smtp(w->config, c);
	struct sql_scope scope;

	if (!smtp)
		return;
	actions_scope(s->actions, &scope);
	php_mail_render(out, &scope, s->blog_id, c, smtp);
}

static struct executor *
php_new(struct worker *w, struct site_run *s, struct err *err)
{
	const struct config_site *c = site_config(w->config, s->site);
	struct buf outbox = BUF_INIT(OUTBOX_JSON_MAX);
	struct executor *ex = NULL;
	enum rc rc;

	put_outbox(&outbox, w, s);
	rc =
	    outbox.failed
		? err_set(err, RC_REJECT, "the settings of [smtp] are too long")
		: php_executor_new(
		      &(const struct php_executor_opts){
			  .address = c->php_fpm,
			  .worker_script = c->worker_script ? c->worker_script
							    : WORKER_SCRIPT,
			  .root = s->site->root,
			  .salts = s->site->salts,
			  /* Its path decides which blog of a network PHP boots.
			   */
			  .home = w->siteurl,
			  .context = ACTIONS_CONTEXT,
			  .outbox = outbox.n > 0 ? buf_str(&outbox) : NULL,
			  .blog_id = s->blog_id,
			  .batch = w->config->daemon.php_batch,
			  .budget_ms = ACTIONS_PHP_BUDGET_MS,
			  .clock = w->engine->clock,
			  .on_export = site_on_export,
			  .on_take = ask_on_take,
			  .want_take = ask_want_take,
			  .want_export = ask_want_export,
			  .arg = w,
		      },
		      &ex, err);

	buf_clear(&outbox);
	return rc == RC_OK ? ex : NULL;
}

struct executor *
engine_executor(struct worker *w, struct site_run *s, enum executor_kind kind,
    struct err *err)
{
	struct executor *ex = NULL;

	switch (kind) {
	case EXECUTOR_PHP:
		return php_new(w, s, err);
	case EXECUTOR_WEBHOOK:
		return webhook_new(
			   &(const struct webhook_opts){
			       .hosts = w->engine->hosts,
			       .site = site_of_job,
			       .arg = w,
			       .clock = w->engine->clock,
			       .max_concurrency =
				   w->config->daemon.native_batch,
			   },
			   &ex, err) == RC_OK
			   ? ex
			   : NULL;
	case EXECUTOR_QUEUE:
		return kicker_new(w);
	case EXECUTOR_CONTACT:
		return contact_executor_new(
		    w->engine->contacts, s, w->engine->clock);
	}
	return NULL;
}
