#include "executors/php.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "executors/php_impl.h"
#include "formats/utf8.h"

enum {
	BATCH = 10,
	BATCH_MAX = 1000,
	BUDGET_MS = 20000,
	EXPORT_EVERY_MS = 300000,
	/* php-fpm away or full */
	AWAY_MIN_MS = 200,
	AWAY_MAX_MS = 10000,
	/* php-fpm answers, but the site does not boot */
	BROKEN_MIN_MS = 1000,
	BROKEN_MAX_MS = 60000,
	MAINTENANCE_MAX_MS = 5000,
	ALARM_AFTER = 3,
	/* SIGTERM, then SIGKILL, then the connection is given up */
	SIGNAL_GRACE_MS = 5000,
	SIGNALS_MAX = 2,
	EXPORT_WAIT_MS = 10000,
};

static struct php *
of(struct executor *e)
{
	return (struct php *)(void *)e;
}

static const struct php *
of_const(const struct executor *e)
{
	return (const struct php *)(const void *)e;
}

/* ---- back-off ----------------------------------------------------------- */

static uint32_t
next_wait(uint32_t last, uint32_t min, uint32_t max)
{
	if (last == 0)
		return min;
	return last > max / 2 ? max : last * 2;
}

/* php-fpm answered with hello: whatever was wrong is over. */
static void
note_answered(struct php *p)
{
	if (!p->state.ok && (p->state.failures > 0 || p->state.maintenance))
		log_event(LOG_INFO, "php.back",
		    LOG_S("address", p->opts.address),
		    LOG_U("failures", p->state.failures));
	p->state.ok = true;
	p->state.maintenance = false;
	p->state.failures = 0;
	p->state.not_before = 0;
	p->away_ms = p->broken_ms = 0;
}

/* Expected, and over soon: no alarm, no long wait after it. */
static void
note_maintenance(struct php *p)
{
	bool was = p->state.maintenance;

	p->state.ok = false;
	p->state.maintenance = true;
	p->broken_ms =
	    next_wait(p->broken_ms, BROKEN_MIN_MS, MAINTENANCE_MAX_MS);
	p->state.not_before = clock_mono(p->opts.clock) + p->broken_ms;
	(void)err_set(&p->failure, RC_RETRY,
	    "WordPress is in maintenance mode (.maintenance); PHP's jobs wait");
	(void)snprintf(
	    p->state.error, sizeof(p->state.error), "%s", p->failure.text);
	if (!was)
		log_event(LOG_INFO, "php.maintenance",
		    LOG_S("address", p->opts.address));
}

static void
note_unanswered(struct php *p, bool away, struct slice why)
{
	struct buf line = BUF_INIT(ERR_TEXT_MAX);
	uint32_t wait;

	if (away) {
		p->away_ms = next_wait(p->away_ms, AWAY_MIN_MS, AWAY_MAX_MS);
		wait = p->away_ms;
	} else {
		p->broken_ms =
		    next_wait(p->broken_ms, BROKEN_MIN_MS, BROKEN_MAX_MS);
		wait = p->broken_ms;
	}
	p->state.maintenance = false;
	utf8_put_line(&line, why, ERR_TEXT_MAX - 1);
	(void)snprintf(
	    p->state.error, sizeof(p->state.error), "%s", buf_str(&line));
	buf_clear(&line);
	p->state.ok = false;
	p->state.failures++;
	p->state.not_before = clock_mono(p->opts.clock) + wait;
	if (p->state.failures == 1 || p->state.failures == ALARM_AFTER)
		log_event(p->state.failures == 1 ? LOG_WARN : LOG_ERR,
		    away ? "php.away" : "php.broken",
		    LOG_S("address", p->opts.address),
		    LOG_U("failures", p->state.failures),
		    LOG_U("wait_ms", wait), LOG_S("why", p->state.error));
}

/* ---- sending ------------------------------------------------------------ */

static enum rc
open_request(struct php *p, struct job *const *jobs, size_t n, bool export,
    const char *take, struct err *err)
{
	struct php_batch batch = {
		.root = p->opts.root,
		.blog_id = p->opts.blog_id,
		.context = p->opts.context,
		.budget_ms = p->opts.budget_ms,
		.export = export,
		.tcp = p->addr.tcp,
		.take = take,
		.ask = p->ask ? p->ask->json : SLICE_NONE,
		.outbox = p->opts.outbox,
		.jobs = jobs,
		.njobs = n,
	};
	struct buf body = BUF_INIT(PHP_FPM_BODY_MAX);
	struct buf params = BUF_INIT(PHP_FPM_PARAMS_MAX);
	char secret[PHP_SECRET_MAX];
	enum rc rc = php_random_hex(p->token, PHP_TOKEN_LEN / 2, err);

	if (rc != RC_OK)
		goto out;
	memcpy(batch.token, p->token, sizeof(batch.token));
	php_body_render(&body, &batch);
	rc = php_secret_render(secret, p->opts.salts, clock_unix(p->opts.clock),
	    buf_slice(&body), err);
	if (rc != RC_OK)
		goto out;
	php_params_render(
	    &params, p->opts.worker_script, p->opts.root, p->opts.home, secret);
	if (body.failed || params.failed) {
		rc = err_set(
		    err, RC_REJECT, "the batch is over its ceiling for PHP");
		goto out;
	}
	rc = php_fpm_open(
	    &(const struct php_fpm_opts){
		.addr = &p->addr,
		.clock = p->opts.clock,
		.params = buf_slice(&params),
		.body = buf_slice(&body),
		.connect_ms = p->opts.connect_ms,
		.first_byte_ms = p->opts.first_byte_ms,
		.on_line = php_on_line,
		.arg = p,
	    },
	    &p->request, err);
out:
	buf_clear(&params);
	buf_clear(&body);
	return rc;
}

static void
begin_request(struct php *p, struct job *const *jobs, size_t n, bool export)
{
	char *take = p->opts.want_take ? p->opts.want_take(p->opts.arg) : NULL;

	if (n == 0 && !take && !export && !p->ask)
		return;
	for (size_t i = 0; i < n; i++)
		p->slots[i] = (struct php_slot){ .job = jobs[i] };
	p->nslots = p->left = n;
	p->hello = p->ended = p->maintenance = p->overran = p->goes_on = false;
	p->asked_take = take != NULL;
	p->mode = PHP_MODE_HOOK;
	p->child = (struct php_child){ .pid = 0 };
	p->deadline = INT64_MAX;
	p->signals = 0;
	p->failure = (struct err)ERR_INIT;
	p->state.requests++;
	if (open_request(p, jobs, n, export, take, &p->failure) != RC_OK)
		note_unanswered(p, true, slice_str(p->failure.text));
	free(take);
}

/* ---- the end of a request ----------------------------------------------- */

/* Does the plugin write this job's row? */
static bool
is_plugins(const struct php *p, const struct php_slot *slot)
{
	return p->mode == PHP_MODE_PLUGIN && slot->job->kind == JOB_ACTION;
}

/* Will PHP write the row's end, though nobody listens any more? */
static bool
is_left_to_php(const struct php *p, const struct php_slot *slot)
{
	return p->goes_on &&
	       (is_plugins(p, slot) || slot->job->kind == JOB_EVENT);
}

/* What a job may have come to when nothing more will be heard. */
static void
end_slot(struct php *p, struct php_slot *slot, bool abandoned)
{
	char text[64];

	switch (slot->state) {
	case PHP_SLOT_WAITS:
		php_report(p, slot, OUTCOME_RELEASED, false, false,
		    slice_str(p->failure.text));
		break;
	case PHP_SLOT_TAKEN:
		/* The plugin's row is still pending, ours maybe not. */
		if (is_left_to_php(p, slot))
			php_report(
			    p, slot, OUTCOME_LOST, false, false, SLICE_NONE);
		else if (is_plugins(p, slot))
			php_report(p, slot, OUTCOME_RELEASED, false, false,
			    SLICE_NONE);
		else
			php_report(p, slot, OUTCOME_DIED, false, false,
			    SLICE_LIT("PHP ended while it took the job"));
		break;
	case PHP_SLOT_STARTED:
		if (p->overran) {
			(void)snprintf(text, sizeof(text),
			    "timed out after %u s", p->limit_ms / 1000);
			php_report(p, slot, OUTCOME_FAILED, true, false,
			    slice_str(text));
		} else if (is_left_to_php(p, slot)) {
			php_report(p, slot, OUTCOME_LOST, false, false,
			    SLICE_LIT(
				"the program stopped; PHP goes on with it"));
		} else if (abandoned) {
			php_report(p, slot, OUTCOME_DIED, false, false,
			    SLICE_LIT("the program stopped while PHP ran it"));
		} else {
			php_report(p, slot, OUTCOME_DIED, true, false,
			    SLICE_LIT("PHP ended without an answer"));
		}
		break;
	case PHP_SLOT_ENDED:
		break;
	}
}

static void
close_request(struct php *p, bool abandoned)
{
	php_take_failed(p,
	    *p->failure.text ? p->failure.text : "PHP ended without an answer");
	for (size_t i = 0; i < p->nslots; i++)
		end_slot(p, &p->slots[i], abandoned);
	p->nslots = p->left = 0;
	php_fpm_close(p->request);
	p->request = NULL;
	p->deadline = INT64_MAX;
}

/* Why there was no hello, in words for the operator. */
static void
explain_silence(
    struct php *p, enum php_fpm_end end, const struct err *err, struct buf *out)
{
	const struct php_fpm_reader *answer = php_fpm_answer(p->request);
	struct slice said = buf_slice(&answer->err_tail);

	if (end != PHP_FPM_END)
		buf_put_str(out, err->text);
	else if (answer->status == 404 && said.n == 0)
		buf_put_str(out,
		    "the worker refused us (404): salts or clock differ, or "
		    "wp-load.php is not where it was said to be");
	else
		buf_printf(out, "PHP answered %d before WordPress was up",
		    answer->status);
	if (said.n > 0) {
		buf_put_str(out, ": ");
		utf8_put_line(out, said, ERR_TEXT_MAX / 2);
	}
}

static void
finish_request(struct php *p, enum php_fpm_end end, const struct err *err)
{
	struct buf why = BUF_INIT((size_t)4 * ERR_TEXT_MAX);

	p->state.status = php_fpm_answer(p->request)->status;
	if (p->hello) {
		note_answered(p);
	} else if (p->maintenance) {
		note_maintenance(p);
	} else {
		explain_silence(p, end, err, &why);
		(void)err_set(&p->failure, RC_RETRY, "%s", buf_str(&why));
		note_unanswered(p,
		    end == PHP_FPM_REFUSED || end == PHP_FPM_SILENT,
		    buf_slice(&why));
	}
	buf_clear(&why);
	close_request(p, false);
}

/* ---- time limits -------------------------------------------------------- */

/*
 * What runs is over its time. The child is ended if it is ours to end; if not,
 * PHP goes on until php-fpm's own limit, and so does the wait: the row must
 * not be given to anybody else before.
 */
static void
overrun(struct php *p)
{
	struct err err = ERR_INIT;
	int sig = p->signals == 0 ? SIGTERM : SIGKILL;

	p->overran = true;
	if (p->signals >= SIGNALS_MAX) {
		close_request(p, false);
		return;
	}
	switch (php_child_signal(&p->child, sig, &err)) {
	case RC_OK:
	case RC_NONE:
		p->signals++;
		p->deadline = clock_mono(p->opts.clock) + SIGNAL_GRACE_MS;
		break;
	case RC_AGAIN:
	case RC_RETRY:
	case RC_REJECT:
	case RC_FATAL:
		log_event(LOG_WARN, "php.overrun",
		    LOG_U("limit_ms", p->limit_ms), LOG_S("why", err.text));
		p->deadline = INT64_MAX;
		break;
	}
}

/* ---- executor_ops ------------------------------------------------------- */

static size_t
php_room(const struct executor *e)
{
	const struct php *p = of_const(e);

	if (p->request || p->left > 0 ||
	    clock_mono(p->opts.clock) < p->state.not_before)
		return 0;
	return p->opts.batch;
}

static void
php_begin(struct executor *e, struct job *const *jobs, size_t n)
{
	struct php *p = of(e);
	mono_ms now = clock_mono(p->opts.clock);
	bool export =
	    p->opts.on_export &&
	    (now >= p->export_at ||
		(p->opts.want_export && p->opts.want_export(p->opts.arg)));

	if (p->request || p->left > 0)
		return;
	if (export)
		p->export_at = now + p->opts.export_every_ms;
	begin_request(p, jobs, n, export);
}

static int
wait_ms(const struct php *p, int timeout_ms)
{
	mono_ms until = php_fpm_deadline(p->request), left;

	if (p->deadline < until)
		until = p->deadline;
	if (until == INT64_MAX)
		return timeout_ms;
	left = until - clock_mono(p->opts.clock);
	if (left < 0)
		left = 0;
	return left < timeout_ms || timeout_ms < 0 ? (int)left : timeout_ms;
}

static void
php_poll(struct executor *e, int timeout_ms, outcome_fn *report, void *arg)
{
	struct php *p = of(e);
	struct err err = ERR_INIT;
	struct pollfd fd;
	enum php_fpm_end end;

	p->report = report;
	p->report_arg = arg;
	if (!p->request) {
		close_request(p, false);
		return;
	}
	fd = (struct pollfd){ .fd = php_fpm_fd(p->request),
		.events = php_fpm_events(p->request) };
	(void)poll(&fd, 1, wait_ms(p, timeout_ms));
	end = php_fpm_step(p->request, &err);
	if (end != PHP_FPM_RUNNING)
		finish_request(p, end, &err);
	else if (clock_mono(p->opts.clock) >= p->deadline)
		overrun(p);
}

static size_t
php_running(const struct executor *e)
{
	return of_const(e)->left;
}

static void
php_abandon(struct executor *e, outcome_fn *report, void *arg)
{
	struct php *p = of(e);
	struct err err = ERR_INIT;

	php_poll(e, 0, report, arg);
	if (!p->request)
		return;
	/*
	 * Otherwise PHP would go on under rows that were settled here. Where it
	 * cannot be ended, the plugin's rows and events' are left to it.
	 */
	p->goes_on = php_child_signal(&p->child, SIGTERM, &err) == RC_REJECT;
	close_request(p, true);
}

static void
php_free(struct executor *e)
{
	struct php *p = of(e);
	struct php_executor_opts *o = &p->opts;
	const char *texts[] = { o->address, o->worker_script, o->root, o->salts,
		o->home, o->context, o->outbox };

	php_fpm_close(p->request);
	for (size_t i = 0; i < NELEMS(texts); i++)
		free((void *)(uintptr_t)texts[i]);
	free(p->slots);
	free(p);
}

static const struct executor_ops php_ops = {
	.name = "php",
	.room = php_room,
	.begin = php_begin,
	.poll = php_poll,
	.running = php_running,
	.abandon = php_abandon,
	.free = php_free,
};

/* ---- making one --------------------------------------------------------- */

static enum rc
check_opts(const struct php_executor_opts *o, struct err *err)
{
	if (!o->address)
		return err_set(err, RC_REJECT, "no php_fpm address is set");
	if (!o->worker_script || !*o->worker_script)
		return err_set(err, RC_REJECT, "no worker_script is set");
	if (!o->root || !*o->root)
		return err_set(err, RC_REJECT, "no root for PHP");
	if (!o->salts || !*o->salts)
		return err_set(err, RC_REJECT,
		    "wp-config.php does not define all eight keys and salts "
		    "literally; the PHP worker cannot be asked without them");
	return RC_OK;
}

static void
copy_opts(struct php *p, const struct php_executor_opts *o)
{
	p->opts = *o;
	p->opts.address = xstrdup(o->address);
	p->opts.worker_script = xstrdup(o->worker_script);
	p->opts.root = xstrdup(o->root);
	p->opts.salts = xstrdup(o->salts);
	p->opts.home = xstrdup(o->home ? o->home : "http://localhost");
	p->opts.context = xstrdup(o->context ? o->context : "WP Cron FCGI");
	p->opts.outbox = o->outbox ? xstrdup(o->outbox) : NULL;
	p->opts.blog_id = o->blog_id ? o->blog_id : 1;
	p->opts.batch = o->batch ? o->batch : BATCH;
	if (p->opts.batch > BATCH_MAX)
		p->opts.batch = BATCH_MAX;
	p->opts.budget_ms = o->budget_ms ? o->budget_ms : BUDGET_MS;
	p->opts.export_every_ms =
	    o->export_every_ms ? o->export_every_ms : EXPORT_EVERY_MS;
	p->opts.clock = o->clock ? o->clock : &clock_system;
}

enum rc
php_executor_new(const struct php_executor_opts *opts, struct executor **out,
    struct err *err)
{
	struct php_fpm_addr addr;
	struct php *p;
	enum rc rc = check_opts(opts, err);

	if (rc == RC_OK)
		rc = php_fpm_addr_parse(opts->address, &addr, err);
	if (rc != RC_OK)
		return rc;
	p = xcalloc(1, sizeof(*p));
	p->base.ops = &php_ops;
	p->addr = addr;
	copy_opts(p, opts);
	p->slots = xcalloc(p->opts.batch, sizeof(*p->slots));
	p->deadline = INT64_MAX;
	*out = &p->base;
	return RC_OK;
}

void
php_executor_state(const struct executor *e, struct php_executor_state *out)
{
	const struct php *p = of_const(e);

	*out = p->state;
	out->busy = p->request != NULL;
}

/* ---- asking once -------------------------------------------------------- */

struct export_wait {
	char *json;
};

static void
keep_export(void *arg, struct slice json)
{
	struct export_wait *w = arg;

	free(w->json);
	w->json = xstrndup(json);
}

void
php_no_outcome(void *arg, const struct outcome *o)
{
	(void)arg;
	(void)o;
}

enum rc
php_executor_export(
    const struct php_executor_opts *opts, char **json, struct err *err)
{
	struct php_executor_opts mine = *opts;
	struct export_wait wait = { .json = NULL };
	struct executor *e = NULL;
	mono_ms until;
	enum rc rc;

	mine.on_export = keep_export;
	mine.on_take = NULL;
	mine.want_take = NULL;
	mine.want_export = NULL;
	mine.arg = &wait;
	rc = php_executor_new(&mine, &e, err);
	if (rc != RC_OK)
		return rc;
	until = clock_mono(of(e)->opts.clock) + EXPORT_WAIT_MS;
	php_begin(e, NULL, 0);
	while (of(e)->request && !wait.json) {
		php_poll(e, EXPORT_WAIT_MS / 10, php_no_outcome, NULL);
		if (of(e)->hello && clock_mono(of(e)->opts.clock) > until)
			break;
	}
	if (!wait.json)
		rc = err_set(err, RC_RETRY, "%s",
		    *of(e)->state.error ? of(e)->state.error
					: "PHP sent no export");
	*json = wait.json;
	php_free(e);
	return rc;
}
