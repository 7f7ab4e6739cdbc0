/* Who does a task, and what came of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "engine/site_prepare.h"
#include "engine/tasks_run_internal.h"
#include "executors/php_mail.h"
#include "executors/php_tasks.h"
#include "formats/mail_address.h"
#include "formats/utf8.h"

enum {
	/* For a place in PHP. */
	PLACE_MS = 30000,
	/* PHP's request has 8 MiB, of which base64 takes a quarter. */
	PAYLOAD_MAX = 5 << 20,
	ERROR_MAX = 400,
	/* What happened is written down, if at all possible. */
	SETTLE_TRIES = 4,
	SETTLE_WAIT_MS = 500,
};
#define OUTBOX_JSON_MAX ((size_t)256 * 1024)

struct batch {
	struct tasks_turn *t;
	struct task *tasks;
	size_t n;
	struct arena *a;
	enum rc away; /* PHP's; RC_OK: it is there */
};

/* ---- what came of it ---------------------------------------------------- */

/* Its words may hold addresses, and line ends. */
static void
put_error(struct buf *out, const char *text)
{
	struct buf masked = BUF_INIT((size_t)8 * ERR_TEXT_MAX);

	mail_text_put_masked(&masked, slice_str(text));
	utf8_put_line(out, buf_slice(&masked), ERROR_MAX);
	buf_clear(&masked);
}

static enum rc
settle_on(struct tasks_turn *t, struct db *db, const struct task *task, bool ok,
    bool for_good, struct slice error, struct err *err)
{
	return tasks_settle(db, &t->env->scope, &t->q, task, t->claim_id, ok,
	    for_good, error, err);
}

/* The connection that we were lent is lost, and what was done is done. */
static enum rc
settle_anew(struct tasks_turn *t, const struct task *task, bool ok,
    bool for_good, struct slice error, struct err *err)
{
	enum rc rc = RC_RETRY;

	for (int i = 0; i < SETTLE_TRIES && rc == RC_RETRY; i++) {
		struct db *db = NULL;

		clock_sleep_ms(SETTLE_WAIT_MS);
		rc = db_open(&t->env->site->db, &db, err);
		if (rc == RC_OK)
			rc = settle_on(t, db, task, ok, for_good, error, err);
		db_close(db);
	}
	return rc;
}

static void
log_end(const struct tasks_turn *t, const struct task *task, bool ok, bool dead,
    mono_ms began, const char *error)
{
	struct log_field fields[] = { LOG_S("site", t->env->site->name),
		LOG_S("queue", t->c->name), LOG_U("task", task->task_id),
		LOG_SLICE("type", task->type),
		LOG_U("try", (uint64_t)task->attempts + 1),
		LOG_I("ms", clock_mono(t->env->clock) - began),
		LOG_S("error", error), { .type = LOG_FIELD_END } };

	if (ok)
		fields[NELEMS(fields) - 2].type = LOG_FIELD_END;
	log_fields(dead ? LOG_WARN : LOG_INFO,
	    ok     ? "task.done"
	    : dead ? "task.dead"
		   : "task.failed",
	    fields);
}

/* RC_NONE: it is not ours any more. */
static enum rc
settle(struct tasks_turn *t, const struct task *task, bool ok, bool for_good,
    const char *words, mono_ms began)
{
	struct buf error = BUF_INIT((size_t)4 * ERROR_MAX);
	struct err err = ERR_INIT;
	bool dead =
	    !ok && (for_good || task->attempts + 1 >= task->max_attempts);
	enum rc rc;

	if (!ok)
		put_error(&error, words);
	rc = settle_on(
	    t, t->env->db, task, ok, for_good, buf_slice(&error), &err);
	if (rc == RC_RETRY)
		rc =
		    settle_anew(t, task, ok, for_good, buf_slice(&error), &err);
	if (rc == RC_OK) {
		t->out->done += ok;
		t->out->failed += !ok && !dead;
		t->out->dead += dead;
		log_end(t, task, ok, dead, began, buf_str(&error));
	} else if (rc == RC_NONE) {
		log_event(LOG_WARN, "task.lost",
		    LOG_S("site", t->env->site->name),
		    LOG_S("queue", t->c->name), LOG_U("task", task->task_id));
	} else if (t->failure.rc == RC_OK) {
		t->failure = err;
	}
	buf_clear(&error);
	return rc;
}

static enum rc
begin(struct tasks_turn *t, const struct task *task)
{
	struct err err = ERR_INIT;
	enum rc rc = tasks_begin(
	    t->env->db, &t->env->scope, &t->q, task, t->claim_id, &err);

	if (rc != RC_OK && rc != RC_NONE && t->failure.rc == RC_OK)
		t->failure = err;
	return rc;
}

/* ---- here --------------------------------------------------------------- */

static enum rc
send_webhook(struct tasks_turn *t, const struct task *task, struct err *err)
{
	const struct task_call call = { .payload = task->payload,
		.key = task->id_hash,
		.timeout_ms = t->c->timeout_ms,
		.tick = tasks_turn_tick,
		.give_up = tasks_turn_overdue,
		.arg = t };

	if (!t->webhook)
		t->webhook = task_webhook_new(&(const struct task_webhook_opts){
		    .allow_hosts = &t->c->allow_hosts,
		    .clock = t->env->clock });
	return task_webhook_send(t->webhook, &call, err);
}

static void
run_here(struct tasks_turn *t, const struct task *task, enum handler_kind kind)
{
	mono_ms began = clock_mono(t->env->clock);
	struct err err = ERR_INIT;
	enum rc rc;

	if (begin(t, task) != RC_OK)
		return;
	rc = kind == HANDLER_NATIVE ? tasks_send_email(t, task, &err)
				    : send_webhook(t, task, &err);
	(void)settle(t, task, rc == RC_OK, rc == RC_REJECT, err.text, began);
}

/* ---- in PHP ------------------------------------------------------------- */

struct in_php {
	struct tasks_turn *t;
	const struct task *tasks; /* which php[] stand for */
	struct php_task *php;
	char (*mail)[32];
	size_t n;
	mono_ms began; /* the one that runs */
};

static void
on_begun(void *arg, size_t i)
{
	struct in_php *p = arg;

	p->began = clock_mono(p->t->env->clock);
	/* Not ours any more: settling it will say so. */
	(void)begin(p->t, &p->tasks[i]);
}

static void
on_ended(void *arg, size_t i)
{
	struct in_php *p = arg;
	struct buf words = BUF_INIT(ERR_TEXT_MAX);

	utf8_put_line(&words, p->php[i].message, ERROR_MAX);
	(void)settle(
	    p->t, &p->tasks[i], p->php[i].ok, false, buf_str(&words), p->began);
	buf_clear(&words);
	tasks_turn_tick(p->t);
}

static bool
is_over(void *arg)
{
	return tasks_turn_over(((const struct in_php *)arg)->t);
}

static void
on_tick(void *arg)
{
	tasks_turn_tick(((const struct in_php *)arg)->t);
}

static bool
is_to_be_given_up(void *arg)
{
	return tasks_turn_overdue(((const struct in_php *)arg)->t);
}

static void
fill_php(struct in_php *p)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct config_handler *h =
		    tasks_handler(p->t->c, p->tasks[i].type);

		(void)snprintf(p->mail[i], sizeof p->mail[i], "task:%" PRIu64,
		    p->tasks[i].task_id);
		p->php[i] = (struct php_task){
			.function = slice_str(h->function),
			.payload = p->tasks[i].payload,
			.mail = p->t->smtp ? slice_str(p->mail[i]) : SLICE_NONE,
		};
	}
}

static enum rc
ask_php(struct batch *b, struct in_php *p, struct err *err)
{
	struct tasks_turn *t = b->t;
	struct buf outbox = BUF_INIT(OUTBOX_JSON_MAX);
	mono_ms left = t->until - clock_mono(t->env->clock);
	const struct php_tasks_opts o = { .timeout_ms = t->c->timeout_ms,
		.budget_ms = left > 1 ? (uint32_t)left : 1,
		.begun = on_begun,
		.ended = on_ended,
		.over = is_over,
		.tick = on_tick,
		.give_up = is_to_be_given_up,
		.arg = p };
	struct php_executor_opts opts;
	enum rc rc = work_php_enter(t->env, PLACE_MS, &opts, err);

	if (rc != RC_OK)
		return rc;
	/* It may have been long. */
	tasks_turn_tick(t);
	if (t->lost) {
		work_php_leave(t->env);
		return err_set(
		    err, RC_RETRY, "another node took the queue meanwhile");
	}
	if (t->smtp)
		php_mail_render(
		    &outbox, &t->env->scope, t->env->blog_id, t->site, t->smtp);
	opts.outbox = outbox.n > 0 ? buf_str(&outbox) : NULL;
	/* Without it PHP would send these mails itself. */
	rc = outbox.failed ? err_set(err, RC_REJECT,
				 "the settings of [smtp] are too long")
			   : php_tasks_run(&opts, &o, p->php, p->n, b->a, err);
	work_php_leave(t->env);
	buf_clear(&outbox);
	return rc;
}

/* *done: how many of the tasks PHP was at, in whatever way they ended. */
static void
run_in_php(struct batch *b, struct task *tasks, size_t n)
{
	struct in_php p = { .t = b->t, .tasks = tasks, .n = n };
	struct err err = ERR_INIT;
	size_t ended = 0;

	p.php = xcalloc(n, sizeof(p.php[0]));
	p.mail = xcalloc(n, sizeof(p.mail[0]));
	fill_php(&p);
	b->away = ask_php(b, &p, &err);
	for (size_t i = 0; i < n; i++) {
		ended += p.php[i].begun || p.php[i].answered;
		if (p.php[i].begun && !p.php[i].answered)
			(void)settle(b->t, &tasks[i], false, false,
			    "PHP was at it for longer than it may", p.began);
	}
	/* It was there, and had no time for the rest. */
	if (ended > 0)
		b->away = RC_OK;
	if (b->away != RC_OK)
		(void)snprintf(
		    b->t->out->held, sizeof b->t->out->held, "%s", err.text);
	free(p.mail);
	free(p.php);
}

/* ---- a batch ------------------------------------------------------------ */

static bool
is_for_php(const struct tasks_turn *t, const struct task *task)
{
	const struct config_handler *h = tasks_handler(t->c, task->type);

	return h && h->kind == HANDLER_PHP && task->payload.n <= PAYLOAD_MAX;
}

static void
refuse_large(struct tasks_turn *t, const struct task *task)
{
	if (begin(t, task) == RC_OK)
		(void)settle(t, task, false, true,
		    "the payload is too large for a request to PHP",
		    clock_mono(t->env->clock));
}

/* Tasks for PHP that follow each other share a boot; how many were done. */
static size_t
run_next(struct batch *b, struct task *tasks, size_t n)
{
	struct tasks_turn *t = b->t;
	const struct config_handler *h = tasks_handler(t->c, tasks->type);
	size_t together = 0;

	while (together < n && is_for_php(t, &tasks[together]))
		together++;
	if (together > 0)
		run_in_php(b, tasks, together);
	else if (h && h->kind == HANDLER_PHP)
		refuse_large(t, tasks);
	else if (h)
		run_here(t, tasks, h->kind);
	return together > 0 ? together : 1;
}

static enum rc
claim(struct batch *b, struct err *err)
{
	struct tasks_turn *t = b->t;

	/* No types would be any type. */
	if (t->ntypes == 0)
		return RC_OK;
	if (getrandom(&t->claim_id, sizeof t->claim_id, 0) !=
	    sizeof t->claim_id)
		return err_set(err, RC_FATAL, "the kernel has no randomness");
	t->claim_id = t->claim_id >> 1 | 1;
	return tasks_claim(t->env->db, &t->env->scope, &t->q, t->claim_id,
	    t->types, t->ntypes, t->c->batch, t->term_ms, b->a, &b->tasks,
	    &b->n, err);
}

enum rc
tasks_batch(struct tasks_turn *t, struct err *err)
{
	struct arena a = ARENA_INIT(TASKS_BATCH_BYTES);
	struct batch b = { .t = t, .a = &a };
	enum rc rc = claim(&b, err);

	if (rc == RC_OK && b.n == 0)
		rc = RC_NONE;
	for (size_t i = 0; rc == RC_OK && i < b.n && b.away == RC_OK &&
			   !tasks_turn_over(t);) {
		i += run_next(&b, &b.tasks[i], b.n - i);
		tasks_turn_tick(t);
	}
	if (rc == RC_OK && t->failure.rc != RC_OK)
		rc = err_set(err, RC_RETRY, "%s", t->failure.text);
	if (rc == RC_OK)
		rc =
		    tasks_release(t->env->db, &t->env->scope, t->claim_id, err);
	if (rc == RC_NONE && b.n > 0)
		rc = RC_OK;
	if (rc == RC_OK && b.away != RC_OK)
		rc = RC_AGAIN;
	t->claim_id = 0;
	arena_clear(&a);
	return rc;
}
