#include "executors/php_tasks.h"

#include <inttypes.h>
#include <jansson.h>

#include "executors/php_impl.h"
#include "formats/base64.h"
#include "formats/utf8.h"

enum {
	/* PHP looks so often whether to go on: a program that stops waits no
	 * longer than this and the task that runs. */
	BOOT_BUDGET_MS = 5000,
	/* Boots, and what PHP does between tasks. */
	BETWEEN_MS = 30000,
};

static void
put_text(struct buf *out, const char *key, struct slice value)
{
	buf_printf(out, ",\"%s\":", key);
	utf8_put_json(out, value);
}

/* What may be any bytes. */
static void
put_bytes(struct buf *out, const char *key, struct slice value)
{
	buf_printf(out, ",\"%s\":", key);
	base64_put_json(out, value);
}

static void
put_texts(struct buf *out, const char *key, const struct slice *texts, size_t n)
{
	buf_printf(out, ",\"%s\":[", key);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_put_char(out, ',');
		utf8_put_json(out, texts[i]);
	}
	buf_put_char(out, ']');
}

static bool
is_true(const json_t *answer, const char *key)
{
	return json_is_true(json_object_get(answer, key));
}

/* ---- functions ---------------------------------------------------------- */

struct running {
	const struct php_tasks_opts *o;
	struct php_task *tasks;
	struct arena *a;
	const struct clock *clock;
	mono_ms until;
};

static void
render_task(struct buf *out, void *arg, size_t i)
{
	const struct php_task *t = &((const struct running *)arg)->tasks[i];

	put_text(out, "f", t->function);
	put_bytes(out, "p", t->payload);
	if (t->mail.n > 0)
		put_text(out, "m", t->mail);
}

static void
on_begun(void *arg, size_t i)
{
	struct running *r = arg;

	r->tasks[i].begun = true;
	if (r->o->begun)
		r->o->begun(r->o->arg, i);
}

static void
take_task(void *arg, size_t i, const json_t *answer)
{
	struct running *r = arg;
	struct php_task *t = &r->tasks[i];

	t->answered = true;
	t->ok = is_true(answer, "ok");
	t->message = arena_slice(r->a, php_text_of(answer, "msg"));
	if (r->o->ended)
		r->o->ended(r->o->arg, i);
}

static bool
is_over(void *arg)
{
	const struct running *r = arg;

	return clock_mono(r->clock) >= r->until ||
	       (r->o->over && r->o->over(r->o->arg));
}

static void
on_tick(void *arg)
{
	const struct running *r = arg;

	if (r->o->tick)
		r->o->tick(r->o->arg);
}

static bool
gives_up(void *arg)
{
	const struct running *r = arg;

	return r->o->give_up && r->o->give_up(r->o->arg);
}

enum rc
php_tasks_run(const struct php_executor_opts *opts,
    const struct php_tasks_opts *o, struct php_task *t, size_t n,
    struct arena *a, struct err *err)
{
	struct running r = { .o = o,
		.tasks = t,
		.a = a,
		.clock = opts->clock ? opts->clock : &clock_system };
	const uint64_t all = (uint64_t)n * o->timeout_ms + BETWEEN_MS;
	const struct php_list l = { .what = "tasks",
		.op = "run",
		.n = n,
		.timeout_ms = all < UINT32_MAX ? (uint32_t)all : UINT32_MAX,
		.limit_ms = o->timeout_ms,
		.budget_ms = o->budget_ms < BOOT_BUDGET_MS ? o->budget_ms
							   : BOOT_BUDGET_MS,
		.once = true,
		.render = render_task,
		.take = take_task,
		.begun = on_begun,
		.over = is_over,
		.tick = on_tick,
		.give_up = gives_up,
		.arg = &r };

	for (size_t i = 0; i < n; i++)
		t[i].answered = t[i].ok = t[i].begun = false;
	r.until = clock_mono(r.clock) + o->budget_ms;
	return php_list_run(opts, &l, err);
}

/* ---- one question ------------------------------------------------------- */

struct question {
	const struct php_tasks_opts *o;
	struct slice hook;            /* process */
	struct slice transient, lock; /* inbox; transient */
	uint32_t ttl_s;
	const struct slice *types;
	size_t ntypes;
	struct slice value; /* transient; p NULL: delete */

	struct err failure;
	struct arena *a;
	struct php_inbox *inbox;
	struct buf bytes;
};

static void
take_answer(void *arg, size_t i, const json_t *answer)
{
	struct question *q = arg;

	(void)i;
	if (!is_true(answer, "ok"))
		(void)err_set(&q->failure, RC_REJECT, "%.*s",
		    SLICE_FMT(php_text_of(answer, "msg")));
}

static void
process_tick(void *arg)
{
	const struct question *q = arg;

	if (q->o->tick)
		q->o->tick(q->o->arg);
}

static bool
process_gives_up(void *arg)
{
	const struct question *q = arg;

	return q->o->give_up && q->o->give_up(q->o->arg);
}

static void
render_hook(struct buf *out, void *arg, size_t i)
{
	(void)i;
	put_text(out, "h", ((const struct question *)arg)->hook);
}

static void
render_transient(struct buf *out, void *arg, size_t i)
{
	const struct question *q = arg;

	(void)i;
	put_text(out, "t", q->transient);
	if (q->value.n == 0 && q->ttl_s == 0)
		return;
	put_bytes(out, "v", q->value);
	buf_printf(out, ",\"ttl\":%" PRIu32, q->ttl_s);
}

static enum rc
ask(const struct php_executor_opts *opts, struct php_list *l,
    struct question *q, uint32_t timeout_ms, struct err *err)
{
	enum rc rc;

	l->what = "tasks";
	l->n = 1;
	l->timeout_ms = timeout_ms;
	l->limit_ms = timeout_ms;
	l->arg = q;
	rc = php_list_run(opts, l, err);
	if (rc == RC_OK && q->failure.rc != RC_OK)
		rc = err_set(err, q->failure.rc, "%s", q->failure.text);
	return rc;
}

enum rc
php_tasks_process(const struct php_executor_opts *opts,
    const struct php_tasks_opts *o, struct slice hook, struct err *err)
{
	struct question q = { .o = o, .hook = hook };
	struct php_list l = { .op = "process",
		.once = true,
		.render = render_hook,
		.take = take_answer,
		.tick = process_tick,
		.give_up = process_gives_up };

	return ask(opts, &l, &q, o->timeout_ms, err);
}

enum rc
php_tasks_transient(const struct php_executor_opts *opts,
    struct slice transient, struct slice value, uint32_t ttl_s,
    uint32_t timeout_ms, struct err *err)
{
	struct question q = {
		.transient = transient, .value = value, .ttl_s = ttl_s
	};
	struct php_list l = { .op = "transient",
		.render = render_transient,
		.take = take_answer };

	return ask(opts, &l, &q, timeout_ms, err);
}

/* ---- the inbox ---------------------------------------------------------- */

static void
render_inbox(struct buf *out, void *arg, size_t i)
{
	const struct question *q = arg;

	(void)i;
	put_text(out, "t", q->transient);
	put_texts(out, "k", q->types, q->ntypes);
	buf_put_str(out, ",\"d\":true");
	if (q->lock.n > 0) {
		put_text(out, "l", q->lock);
		buf_printf(out, ",\"ttl\":%" PRIu32, q->ttl_s);
	}
}

static void
on_part(void *arg, struct slice frame, const json_t *fields)
{
	struct question *q = arg;

	/* One that cannot be read is missed when they are counted. */
	if (slice_eq_str(frame, "part"))
		(void)base64_read(&q->bytes, php_text_of(fields, "data"));
}

static void
take_inbox(void *arg, size_t i, const json_t *answer)
{
	struct question *q = arg;
	struct php_inbox *in = q->inbox;
	const json_t *types = json_object_get(answer, "types");

	take_answer(arg, i, answer);
	in->gone = is_true(answer, "gone");
	in->locked = is_true(answer, "locked");
	in->taken = is_true(answer, "taken");
	for (size_t k = 0;
	     k < json_array_size(types) && in->ntypes < NELEMS(in->types);
	     k++) {
		const char *type = json_string_value(json_array_get(types, k));

		if (type)
			in->types[in->ntypes++] =
			    arena_strdup(q->a, slice_str(type));
	}
	if (!in->taken)
		return;
	in->value = arena_slice(q->a, buf_slice(&q->bytes));
	if (q->a->failed || (size_t)php_number_of(answer, "size") != q->bytes.n)
		(void)err_set(
		    &q->failure, RC_RETRY, "PHP's answer did not arrive whole");
}

enum rc
php_tasks_inbox(const struct php_executor_opts *opts, struct slice transient,
    struct slice lock, uint32_t lock_ttl_s, const struct slice *types,
    size_t ntypes, uint32_t timeout_ms, struct arena *a, struct php_inbox *out,
    struct err *err)
{
	struct question q = { .transient = transient,
		.lock = lock,
		.ttl_s = lock_ttl_s,
		.types = types,
		.ntypes = ntypes,
		.a = a,
		.inbox = out,
		.bytes = BUF_INIT(PHP_FPM_STDOUT_MAX) };
	struct php_list l = { .op = "inbox",
		.once = true,
		.render = render_inbox,
		.take = take_inbox,
		.other = on_part };
	enum rc rc;

	*out = (struct php_inbox){ .gone = false };
	rc = ask(opts, &l, &q, timeout_ms, err);
	buf_clear(&q.bytes);
	return rc;
}
