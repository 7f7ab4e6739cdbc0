#include "executors/php_list.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "executors/php_impl.h"

#define LIST_END "]}"

enum {
	/* No more is put into one request; the rest follows in another. */
	LIST_ENOUGH = 4 << 20,
	/* PHP begins nothing when so little of the time is left. */
	ROOM_MS = 500,
	BUDGET_MIN_MS = 100,
	POLL_MS = 1000,
	/* PHP died in an entry so often: it is that entry's doing. */
	DEATHS_MAX = 2,
	/* Requests in which PHP ended before its time: no use in going on. */
	ENDS_MAX = 8,
};

struct entry {
	bool answered;
	unsigned char deaths;
};

struct asking {
	const struct php_list *l;
	const struct clock *clock;
	struct entry *entries;
	size_t left;  /* not answered */
	size_t begun; /* PHP is at it; l->n: at none */
	unsigned ends;
	bool timed_out, given_up;
	struct err failure; /* rc: what it comes to; RC_OK: nothing failed */
};

/* ---- answers ------------------------------------------------------------ */

static void
settle(struct asking *k, size_t i, const json_t *answer)
{
	if (i >= k->l->n || k->entries[i].answered)
		return;
	k->l->take(k->l->arg, i, answer);
	k->entries[i].answered = true;
	k->left--;
}

static void
settle_failed(
    struct asking *k, size_t i, const char *code, struct slice message)
{
	json_t *answer = json_pack("{s:b, s:s, s:s%}", "ok", 0, "code", code,
	    "msg", message.p ? message.p : "", message.n);

	settle(k, i, answer);
	json_decref(answer);
}

static void
on_begin(struct asking *k, size_t i)
{
	k->begun = i < k->l->n ? i : k->l->n;
	if (k->begun < k->l->n && k->l->begun)
		k->l->begun(k->l->arg, i);
}

/* A php_ask's take(). */
static void
on_frame(void *arg, struct slice frame, const json_t *fields)
{
	struct asking *k = arg;
	size_t i = (size_t)php_number_of(fields, "i");

	if (slice_eq_str(frame, "refused")) {
		(void)err_set(&k->failure, RC_REJECT, "%.*s",
		    SLICE_FMT(php_text_of(fields, "why")));
	} else if (slice_eq_str(frame, "begin")) {
		on_begin(k, i);
	} else if (slice_eq_str(frame, "answer")) {
		settle(k, i, fields);
		k->begun = k->l->n;
	} else if (slice_eq_str(frame, "broke")) {
		settle_failed(k, i, "php_fatal", php_text_of(fields, "msg"));
		k->begun = k->l->n;
		k->ends++;
	} else if (k->l->other) {
		k->l->other(k->l->arg, frame, fields);
	}
}

/* ---- requests ----------------------------------------------------------- */

/* Whoever PHP died in waits for the others, and is then asked for alone. */
static unsigned char
fewest_deaths(const struct asking *k)
{
	unsigned char fewest = UCHAR_MAX;

	for (size_t i = 0; i < k->l->n; i++)
		if (!k->entries[i].answered && k->entries[i].deaths < fewest)
			fewest = k->entries[i].deaths;
	return fewest;
}

/* False: it has no room in this request any more. */
static bool
put_entry(struct buf *out, const struct php_list *l, size_t i, bool first)
{
	const size_t before = out->n;

	buf_printf(out, "%s{\"i\":%zu", first ? "" : ",", i);
	if (l->render)
		l->render(out, l->arg, i);
	buf_put_char(out, '}');
	if (first || (!out->failed && out->max - out->n >= strlen(LIST_END)))
		return true;
	out->n = before;
	out->failed = false;
	return false;
}

static void
render(struct buf *out, const struct asking *k)
{
	const struct php_list *l = k->l;
	unsigned char deaths = fewest_deaths(k);
	size_t most = deaths > 0 ? 1 : l->at_once ? l->at_once : SIZE_MAX;
	size_t n = 0;

	buf_printf(
	    out, "{\"what\":\"%s\",\"op\":\"%s\",\"list\":[", l->what, l->op);
	for (size_t i = 0; i < l->n && n < most && out->n < LIST_ENOUGH; i++) {
		if (k->entries[i].answered || k->entries[i].deaths != deaths)
			continue;
		if (!put_entry(out, l, i, n == 0))
			break;
		n++;
	}
	buf_put_str(out, LIST_END);
}

static void
wait_for_end(struct asking *k, struct php *p, mono_ms until)
{
	const struct executor_ops *ops = p->base.ops;

	while (p->request) {
		mono_ms left = until - clock_mono(k->clock);

		k->timed_out = left <= 0;
		k->given_up = k->l->give_up && k->l->give_up(k->l->arg);
		if (k->timed_out || k->given_up) {
			ops->abandon(&p->base, php_no_outcome, NULL);
			if (k->l->goes_on)
				*k->l->goes_on =
				    p->goes_on && k->begun < k->l->n;
			return;
		}
		ops->poll(&p->base, left < POLL_MS ? (int)left : POLL_MS,
		    php_no_outcome, NULL);
		if (k->l->tick)
			k->l->tick(k->l->arg);
	}
}

/* PHP is gone, and said nothing of what it was at. */
static void
note_death(struct asking *k)
{
	struct entry *e = &k->entries[k->begun];

	k->ends++;
	e->deaths++;
	if (k->l->once || e->deaths >= DEATHS_MAX)
		settle_failed(k, k->begun, "php_died",
		    SLICE_LIT("PHP ended without an answer"));
}

static void
ask_once(struct asking *k, struct php *p, mono_ms until)
{
	struct buf list = BUF_INIT(PHP_FPM_BODY_MAX - PHP_FPM_LINE_MAX);
	struct php_ask ask = {
		.take = on_frame, .arg = k, .limit_ms = k->l->limit_ms
	};
	mono_ms budget = until - clock_mono(k->clock) - ROOM_MS;

	if (k->l->budget_ms > 0 && budget > (mono_ms)k->l->budget_ms)
		budget = (mono_ms)k->l->budget_ms;
	render(&list, k);
	if (list.failed) {
		(void)err_set(&k->failure, RC_REJECT,
		    "a question for PHP is over its ceiling");
		goto out;
	}
	ask.json = buf_slice(&list);
	k->begun = k->l->n;
	p->opts.budget_ms =
	    budget > BUDGET_MIN_MS ? (uint32_t)budget : BUDGET_MIN_MS;
	p->ask = &ask;
	p->base.ops->begin(&p->base, NULL, 0);
	wait_for_end(k, p, until);
	p->ask = NULL;
	if (k->begun < k->l->n && !k->timed_out && !k->given_up)
		note_death(k);
out:
	buf_clear(&list);
}

/* Is there use in another request? */
static bool
may_go_on(const struct asking *k, const struct php *p, size_t left_before)
{
	bool moved = k->left < left_before || k->begun < k->l->n;

	return k->failure.rc != RC_REJECT && !k->timed_out && !k->given_up &&
	       p->hello && moved && k->ends < ENDS_MAX &&
	       !(k->l->over && k->l->over(k->l->arg));
}

static enum rc
why_not_all(const struct asking *k, const struct php *p, struct err *err)
{
	if (k->given_up)
		return err_set(err, RC_RETRY,
		    "PHP was given up with %zu of %zu left", k->left, k->l->n);
	if (k->timed_out)
		return err_set(err, RC_RETRY,
		    "PHP's time was over with %zu of %zu left", k->left,
		    k->l->n);
	if (!p->hello)
		return err_set(err, RC_RETRY, "%s",
		    *p->state.error ? p->state.error
				    : "PHP could not be asked");
	return err_set(err, RC_RETRY,
	    "PHP ended %u times before its time, with %zu of %zu left", k->ends,
	    k->left, k->l->n);
}

enum rc
php_list_run(const struct php_executor_opts *opts, const struct php_list *l,
    struct err *err)
{
	struct php_executor_opts mine = *opts;
	struct asking k = { .l = l, .left = l->n };
	struct executor *e = NULL;
	struct php *p;
	mono_ms until;
	enum rc rc;

	if (l->n == 0)
		return RC_OK;
	mine.on_export = NULL;
	mine.on_take = NULL;
	mine.want_take = NULL;
	mine.want_export = NULL;
	rc = php_executor_new(&mine, &e, err);
	if (rc != RC_OK)
		return rc;
	p = (struct php *)(void *)e;
	k.clock = p->opts.clock;
	until = clock_mono(k.clock) + l->timeout_ms;
	k.entries = xcalloc(l->n, sizeof(k.entries[0]));
	while (k.left > 0) {
		size_t before = k.left;

		ask_once(&k, p, until);
		if (k.left > 0 && !may_go_on(&k, p, before))
			break;
	}
	if (k.failure.rc != RC_OK)
		rc = err_set(err, k.failure.rc, "%s", k.failure.text);
	else if (k.left > 0)
		rc = why_not_all(&k, p, err);
	free(k.entries);
	e->ops->free(e);
	return rc;
}

/* ---- descriptions -------------------------------------------------------- */

struct description {
	char **json;
	struct err failure;
};

static void
take_description(void *arg, size_t i, const json_t *answer)
{
	struct description *d = arg;

	(void)i;
	if (!json_is_true(json_object_get(answer, "ok"))) {
		(void)err_set(&d->failure, RC_RETRY, "%.*s",
		    SLICE_FMT(php_text_of(answer, "msg")));
		return;
	}
	*d->json = json_dumps(json_object_get(answer, "told"), JSON_COMPACT);
	if (!*d->json)
		(void)err_set(&d->failure, RC_RETRY, "PHP told nothing");
}

enum rc
php_list_describe(const struct php_executor_opts *opts, const char *what,
    uint32_t timeout_ms, char **json, struct err *err)
{
	struct description d = { .json = json };
	enum rc rc;

	*json = NULL;
	rc = php_list_run(opts,
	    &(const struct php_list){ .what = what,
		.op = "describe",
		.n = 1,
		.timeout_ms = timeout_ms,
		.take = take_description,
		.arg = &d },
	    err);
	if (rc == RC_OK && d.failure.rc != RC_OK)
		rc = err_set(err, d.failure.rc, "%s", d.failure.text);
	return rc;
}
