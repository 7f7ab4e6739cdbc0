#include "executors/php_messages.h"

#include <inttypes.h>
#include <jansson.h>

#include "executors/php_impl.h"
#include "formats/utf8.h"

/* A mail that PHP hands to a relay itself may wait for that so long. */
enum {
	SEND_LIMIT_MS = 300000
};

/* What is asked, and where the answers go. */
struct ask {
	/* The caller's; one of them. */
	struct php_message *messages;
	const struct php_messages_opts *o;
	struct php_mail_failure *failures;
	const struct php_plain_option *options;
	uint32_t lock_s; /* the plugin's lock is to expire by then */
	struct arena *a;
	struct err failure; /* rc: what it comes to; RC_OK: nothing failed */
};

static void
put_text(struct buf *out, const char *key, struct slice value)
{
	buf_printf(out, ",\"%s\":", key);
	utf8_put_json(out, value);
}

static bool
is_true(const json_t *answer, const char *key)
{
	return json_is_true(json_object_get(answer, key));
}

static void
note_failure(struct ask *k, enum rc rc, const json_t *answer)
{
	if (!is_true(answer, "ok") && k->failure.rc == RC_OK)
		(void)err_set(&k->failure, rc, "%.*s",
		    SLICE_FMT(php_text_of(answer, "msg")));
}

static enum rc
run(const struct php_executor_opts *opts, struct php_list *l, struct ask *k,
    struct err *err)
{
	enum rc rc;

	if (!l->what)
		l->what = "messages";
	l->arg = k;
	rc = php_list_run(opts, l, err);
	if (rc == RC_OK && k->failure.rc != RC_OK)
		return err_set(err, k->failure.rc, "%s", k->failure.text);
	return rc;
}

/* ---- messages ----------------------------------------------------------- */

static void
render_message(struct buf *out, void *arg, size_t i)
{
	const struct ask *k = arg;
	const struct php_message *m = &k->messages[i];

	buf_printf(
	    out, ",\"id\":%" PRIu64 ",\"lock_s\":%" PRIu32, m->id, k->lock_s);
	if (m->mail.n > 0)
		put_text(out, "mail", m->mail);
	if (m->done.n > 0)
		put_text(out, "done", m->done);
}

static void
take_message(void *arg, size_t i, const json_t *answer)
{
	struct ask *k = arg;
	struct php_message *m = &k->messages[i];
	const json_t *status = json_object_get(answer, "status");

	m->message = arena_slice(k->a, php_text_of(answer, "msg"));
	m->status = arena_slice(k->a, php_text_of(answer, "status"));
	m->ok = is_true(answer, "ok");
	m->locked = is_true(answer, "locked");
	m->mails = (unsigned)php_number_of(answer, "mails");
	m->kick = slice_eq_str(php_text_of(answer, "kick"), "send");
	/* What PHP ended under has no status: nobody has looked. */
	m->answered = status && !k->a->failed;
	if (k->a->failed)
		(void)err_set(&k->failure, RC_RETRY,
		    "PHP's answers do not fit into memory");
	if (k->o->ended)
		k->o->ended(k->o->arg, i);
}

static void
begin_message(void *arg, size_t i)
{
	struct ask *k = arg;

	k->messages[i].begun = true;
}

static void
on_tick(void *arg)
{
	const struct ask *k = arg;

	if (k->o->tick)
		k->o->tick(k->o->arg);
}

static bool
is_given_up(void *arg)
{
	const struct ask *k = arg;

	return k->o->give_up && k->o->give_up(k->o->arg);
}

static enum rc
run_messages(const char *op, uint32_t limit_ms,
    const struct php_executor_opts *opts, const struct php_messages_opts *o,
    struct php_message *m, size_t n, struct arena *a, struct err *err)
{
	struct ask k = { .messages = m, .o = o, .a = a };
	struct php_list l = { .op = op,
		.n = n,
		.timeout_ms = o->timeout_ms,
		.limit_ms = limit_ms < o->timeout_ms ? limit_ms : o->timeout_ms,
		.once = true,
		.render = render_message,
		.take = take_message,
		.begun = begin_message,
		.tick = on_tick,
		.give_up = is_given_up,
		.goes_on = o->goes_on };

	k.lock_s = o->timeout_ms / 500; /* twice as long */
	if (k.lock_s < PHP_MESSAGES_LOCK_S)
		k.lock_s = PHP_MESSAGES_LOCK_S;
	for (size_t i = 0; i < n; i++) {
		m[i].answered = m[i].ok = m[i].begun = m[i].locked = m[i].kick =
		    false;
		m[i].status = m[i].message = SLICE_NONE;
		m[i].mails = 0;
	}
	return run(opts, &l, &k, err);
}

enum rc
php_messages_generate(const struct php_executor_opts *opts,
    const struct php_messages_opts *o, struct php_message *m, size_t n,
    struct arena *a, struct err *err)
{
	/* One may be a newsletter for thousands. */
	return run_messages("generate", o->timeout_ms, opts, o, m, n, a, err);
}

enum rc
php_messages_send(const struct php_executor_opts *opts,
    const struct php_messages_opts *o, struct php_message *m, size_t n,
    struct arena *a, struct err *err)
{
	return run_messages("send", SEND_LIMIT_MS, opts, o, m, n, a, err);
}

/* ---- failures, options, description ------------------------------------- */

static void
render_mail_failure(struct buf *out, void *arg, size_t i)
{
	const struct ask *k = arg;
	const struct php_mail_failure *f = &k->failures[i];

	json_t *to = json_loadb(f->to.p ? f->to.p : "", f->to.n, 0, NULL);

	put_text(out, "job", f->job);
	put_text(out, "subject", f->subject);
	put_text(out, "reason", f->reason);
	buf_put_str(out, ",\"to\":");
	buf_put_slice(out, json_is_array(to) ? f->to : SLICE_LIT("[]"));
	json_decref(to);
}

static void
begin_mail_failure(void *arg, size_t i)
{
	struct ask *k = arg;

	k->failures[i].begun = true;
}

static void
take_mail_failure(void *arg, size_t i, const json_t *answer)
{
	struct ask *k = arg;

	(void)i;
	note_failure(k, RC_REJECT, answer);
}

enum rc
php_messages_failed(const struct php_executor_opts *opts,
    struct php_mail_failure *f, size_t n, uint32_t timeout_ms, struct err *err)
{
	struct ask k = { .failures = f };
	struct php_list l = { .what = "mail",
		.op = "failed",
		.n = n,
		.timeout_ms = timeout_ms,
		.once = true,
		.render = render_mail_failure,
		.begun = begin_mail_failure,
		.take = take_mail_failure };

	return run(opts, &l, &k, err);
}

enum rc
php_messages_describe(const struct php_executor_opts *opts, uint32_t timeout_ms,
    char **json, struct err *err)
{
	return php_list_describe(opts, "messages", timeout_ms, json, err);
}

static void
render_option(struct buf *out, void *arg, size_t i)
{
	const struct ask *k = arg;
	const struct php_plain_option *o = &k->options[i];

	put_text(out, "name", o->name);
	if (!o->remove)
		put_text(out, "value", o->value);
}

static void
take_option(void *arg, size_t i, const json_t *answer)
{
	struct ask *k = arg;

	(void)i;
	note_failure(k, RC_RETRY, answer);
}

enum rc
php_messages_options(const struct php_executor_opts *opts,
    const struct php_plain_option *o, size_t n, uint32_t timeout_ms,
    struct err *err)
{
	struct ask k = { .options = o };
	struct php_list l = { .op = "options",
		.n = n,
		.timeout_ms = timeout_ms,
		.render = render_option,
		.take = take_option };

	return run(opts, &l, &k, err);
}
