#include "executors/php_contacts.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>

#include "base/xalloc.h"
#include "executors/php_impl.h"
#include "formats/utf8.h"

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

/* ---- one question, many entries ----------------------------------------- */

struct ask;

struct ask_ops {
	const char *op;
	bool once; /* what may have been done is not asked for again */
	void (*render)(struct buf *out, const struct ask *k, size_t i);
	void (*take)(struct ask *k, size_t i, const json_t *answer);
};

struct ask_entry {
	bool answered;
	unsigned char deaths;
};

struct ask {
	const struct ask_ops *ops;
	/* The caller's; one of them. */
	struct php_contact *contacts;
	struct php_reader_data *readers;
	const struct php_option *options;
	const struct php_contact_alert *alerts;
	char **json;
	size_t n;
	struct arena *a;

	struct ask_entry *entries;
	size_t left;  /* not answered */
	size_t begun; /* PHP is at it; n: at none */
	unsigned ends;
	bool timed_out;
	struct err failure; /* rc: what it comes to; RC_OK: nothing failed */
};

static void
put_text(struct buf *out, const char *key, struct slice value)
{
	buf_printf(out, ",\"%s\":", key);
	utf8_put_json(out, value);
}

static void
put_user(struct buf *out, uint64_t user_id)
{
	buf_printf(out, ",\"u\":%" PRIu64, user_id);
}

/* The text of an answer, the arena's. */
static struct slice
keep(struct ask *k, const json_t *answer, const char *key)
{
	return arena_slice(k->a, php_text_of(answer, key));
}

static bool
is_true(const json_t *answer, const char *key)
{
	return json_is_true(json_object_get(answer, key));
}

/* ---- answers ------------------------------------------------------------ */

static void
settle(struct ask *k, size_t i, const json_t *answer)
{
	if (i >= k->n || k->entries[i].answered)
		return;
	k->ops->take(k, i, answer);
	k->entries[i].answered = true;
	k->left--;
}

static void
settle_failed(struct ask *k, size_t i, const char *code, struct slice message)
{
	json_t *answer = json_pack("{s:b, s:s, s:s%}", "ok", 0, "code", code,
	    "msg", message.p ? message.p : "", message.n);

	settle(k, i, answer);
	json_decref(answer);
}

/* A php_ask's take(). */
static void
on_frame(void *arg, struct slice frame, const json_t *fields)
{
	struct ask *k = arg;
	size_t i = (size_t)php_number_of(fields, "i");

	if (slice_eq_str(frame, "refused")) {
		(void)err_set(&k->failure, RC_REJECT, "%.*s",
		    SLICE_FMT(php_text_of(fields, "why")));
	} else if (slice_eq_str(frame, "begin")) {
		k->begun = i < k->n ? i : k->n;
	} else if (slice_eq_str(frame, "contact")) {
		settle(k, i, fields);
		k->begun = k->n;
	} else if (slice_eq_str(frame, "broke")) {
		settle_failed(k, i, "php_fatal", php_text_of(fields, "msg"));
		k->begun = k->n;
		k->ends++;
	}
}

/* ---- requests ----------------------------------------------------------- */

/* Whoever PHP died in waits for the others, and is then asked for alone. */
static unsigned char
fewest_deaths(const struct ask *k)
{
	unsigned char fewest = UCHAR_MAX;

	for (size_t i = 0; i < k->n; i++)
		if (!k->entries[i].answered && k->entries[i].deaths < fewest)
			fewest = k->entries[i].deaths;
	return fewest;
}

static void
render(struct buf *out, const struct ask *k)
{
	unsigned char deaths = fewest_deaths(k);
	size_t n = 0;

	buf_printf(out, "{\"op\":\"%s\",\"list\":[", k->ops->op);
	for (size_t i = 0; i < k->n && out->n < LIST_ENOUGH; i++) {
		if (k->entries[i].answered || k->entries[i].deaths != deaths)
			continue;
		if (n > 0 && deaths > 0)
			break;
		buf_printf(out, "%s{\"i\":%zu", n++ > 0 ? "," : "", i);
		k->ops->render(out, k, i);
		buf_put_char(out, '}');
	}
	buf_put_str(out, "]}");
}

static void
wait_for_end(struct ask *k, struct php *p, mono_ms until)
{
	const struct executor_ops *ops = p->base.ops;

	while (p->request) {
		mono_ms left = until - clock_mono(p->opts.clock);

		if (left <= 0) {
			k->timed_out = true;
			ops->abandon(&p->base, php_no_outcome, NULL);
			return;
		}
		ops->poll(&p->base, left < POLL_MS ? (int)left : POLL_MS,
		    php_no_outcome, NULL);
	}
}

/* PHP is gone, and said nothing of what it was at. */
static void
note_death(struct ask *k)
{
	struct ask_entry *e = &k->entries[k->begun];

	k->ends++;
	e->deaths++;
	if (k->ops->once || e->deaths >= DEATHS_MAX)
		settle_failed(k, k->begun, "php_died",
		    SLICE_LIT("PHP ended without an answer"));
}

static void
ask_once(struct ask *k, struct php *p, mono_ms until)
{
	struct buf list = BUF_INIT(PHP_FPM_BODY_MAX - PHP_FPM_LINE_MAX);
	struct php_ask ask = { .take = on_frame, .arg = k };
	mono_ms budget = until - clock_mono(p->opts.clock) - ROOM_MS;

	render(&list, k);
	if (list.failed) {
		(void)err_set(&k->failure, RC_REJECT,
		    "a question for PHP is over its ceiling");
		goto out;
	}
	ask.json = buf_slice(&list);
	k->begun = k->n;
	p->opts.budget_ms =
	    budget > BUDGET_MIN_MS ? (uint32_t)budget : BUDGET_MIN_MS;
	p->ask = &ask;
	p->base.ops->begin(&p->base, NULL, 0);
	wait_for_end(k, p, until);
	p->ask = NULL;
	if (k->begun < k->n && !k->timed_out)
		note_death(k);
out:
	buf_clear(&list);
}

/* Is there use in another request? */
static bool
may_go_on(const struct ask *k, const struct php *p, size_t left_before)
{
	bool moved = k->left < left_before || k->begun < k->n;

	return k->failure.rc != RC_REJECT && !k->timed_out && p->hello &&
	       moved && k->ends < ENDS_MAX;
}

static enum rc
why_not_all(const struct ask *k, const struct php *p, struct err *err)
{
	if (k->timed_out)
		return err_set(err, RC_RETRY,
		    "PHP's time was over with %zu of %zu left", k->left, k->n);
	if (!p->hello)
		return err_set(err, RC_RETRY, "%s",
		    *p->state.error ? p->state.error
				    : "PHP could not be asked");
	return err_set(err, RC_RETRY,
	    "PHP ended %u times before its time, with %zu of %zu left", k->ends,
	    k->left, k->n);
}

static enum rc
run(const struct php_executor_opts *opts, struct ask *k, uint32_t timeout_ms,
    struct err *err)
{
	struct php_executor_opts mine = *opts;
	struct executor *e = NULL;
	struct php *p;
	mono_ms until;
	enum rc rc;

	if (k->n == 0)
		return RC_OK;
	mine.on_export = NULL;
	mine.on_take = NULL;
	mine.want_take = NULL;
	mine.want_export = NULL;
	rc = php_executor_new(&mine, &e, err);
	if (rc != RC_OK)
		return rc;
	p = (struct php *)(void *)e;
	until = clock_mono(p->opts.clock) + timeout_ms;
	k->entries = xcalloc(k->n, sizeof(k->entries[0]));
	k->left = k->n;
	while (k->left > 0) {
		size_t before = k->left;

		ask_once(k, p, until);
		if (k->left > 0 && !may_go_on(k, p, before))
			break;
	}
	if (k->failure.rc != RC_OK)
		rc = err_set(err, k->failure.rc, "%s", k->failure.text);
	else if (k->left > 0)
		rc = why_not_all(k, p, err);
	free(k->entries);
	e->ops->free(e);
	return rc;
}

/* ---- contacts ----------------------------------------------------------- */

static void
render_contact(struct buf *out, const struct ask *k, size_t i)
{
	const struct php_contact *c = &k->contacts[i];

	put_user(out, c->user_id);
	put_text(out, "g", c->integration);
	put_text(out, "c", c->context);
	put_text(out, "p", c->previous_email);
}

static struct slice
keep_element(struct ask *k, const json_t *list, size_t i)
{
	const json_t *v = json_array_get(list, i);

	if (!json_is_string(v))
		return SLICE_LIT("");
	return arena_slice(
	    k->a, slice_mem(json_string_value(v), json_string_length(v)));
}

static void
take_fields(struct ask *k, struct php_contact *c, const json_t *fields)
{
	size_t n = json_array_size(fields);

	if (n == 0)
		return;
	c->fields = arena_array(k->a, n, sizeof(c->fields[0]));
	if (!c->fields)
		return;
	for (size_t i = 0; i < n; i++) {
		const json_t *field = json_array_get(fields, i);

		c->fields[i] = (struct esp_field){
			.name = keep_element(k, field, 0),
			.value = keep_element(k, field, 1),
			.number = json_is_true(json_array_get(field, 2)),
		};
	}
	c->nfields = n;
}

static void
take_contact(struct ask *k, size_t i, const json_t *answer)
{
	struct php_contact *c = &k->contacts[i];

	c->ok = is_true(answer, "ok");
	c->gone = is_true(answer, "gone");
	c->message = keep(k, answer, "msg");
	c->code = keep(k, answer, "code");
	c->email = keep(k, answer, "email");
	c->name = keep(k, answer, "name");
	c->status_if_new = keep(k, answer, "status");
	take_fields(k, c, json_object_get(answer, "fields"));
	/* Held back is not done, and not failed: it waits on. */
	c->answered = !k->a->failed && !slice_eq_str(c->code, "held");
	if (k->a->failed)
		(void)err_set(&k->failure, RC_RETRY,
		    "PHP's answers do not fit into memory");
	else if (!c->answered)
		(void)err_set(
		    &k->failure, RC_RETRY, "%.*s", SLICE_FMT(c->message));
}

static enum rc
run_contacts(const char *op, const struct php_executor_opts *opts,
    struct php_contact *contacts, size_t n, uint32_t timeout_ms,
    struct arena *a, struct err *err)
{
	const struct ask_ops ops = {
		.op = op, .render = render_contact, .take = take_contact
	};
	struct ask k = { .ops = &ops, .contacts = contacts, .n = n, .a = a };

	for (size_t i = 0; i < n; i++) {
		contacts[i].answered = contacts[i].ok = contacts[i].gone =
		    false;
		contacts[i].fields = NULL;
		contacts[i].nfields = 0;
	}
	return run(opts, &k, timeout_ms, err);
}

enum rc
php_contacts_prepare(const struct php_executor_opts *opts,
    struct php_contact *contacts, size_t n, uint32_t timeout_ms,
    struct arena *a, struct err *err)
{
	return run_contacts("prepare", opts, contacts, n, timeout_ms, a, err);
}

enum rc
php_contacts_push(const struct php_executor_opts *opts,
    struct php_contact *contacts, size_t n, uint32_t timeout_ms,
    struct arena *a, struct err *err)
{
	return run_contacts("push", opts, contacts, n, timeout_ms, a, err);
}

enum rc
php_contacts_pull(const struct php_executor_opts *opts,
    struct php_contact *contacts, size_t n, uint32_t timeout_ms,
    struct arena *a, struct err *err)
{
	return run_contacts("pull", opts, contacts, n, timeout_ms, a, err);
}

/* ---- reader data -------------------------------------------------------- */

static void
render_reader(struct buf *out, const struct ask *k, size_t i)
{
	const struct php_reader_data *r = &k->readers[i];

	put_user(out, r->user_id);
	buf_put_str(out, ",\"items\":[");
	for (size_t j = 0; j < r->nitems; j++) {
		buf_put_str(out, j > 0 ? ",[" : "[");
		utf8_put_json(out, r->items[j].name);
		buf_put_char(out, ',');
		utf8_put_json(out, r->items[j].value);
		buf_put_char(out, ']');
	}
	buf_put_char(out, ']');
}

static void
take_reader(struct ask *k, size_t i, const json_t *answer)
{
	struct php_reader_data *r = &k->readers[i];

	r->ok = is_true(answer, "ok");
	r->refused = (size_t)php_number_of(answer, "refused");
	r->message = keep(k, answer, "msg");
}

enum rc
php_contacts_store(const struct php_executor_opts *opts,
    struct php_reader_data *readers, size_t n, uint32_t timeout_ms,
    struct arena *a, struct err *err)
{
	static const struct ask_ops ops = {
		.op = "store", .render = render_reader, .take = take_reader
	};
	struct ask k = { .ops = &ops, .readers = readers, .n = n, .a = a };

	for (size_t i = 0; i < n; i++)
		readers[i].ok = false;
	return run(opts, &k, timeout_ms, err);
}

/* ---- options, alerts, description --------------------------------------- */

static void
note_failure(struct ask *k, enum rc rc, const json_t *answer)
{
	if (!is_true(answer, "ok") && k->failure.rc == RC_OK)
		(void)err_set(&k->failure, rc, "%.*s",
		    SLICE_FMT(php_text_of(answer, "msg")));
}

static void
render_option(struct buf *out, const struct ask *k, size_t i)
{
	put_text(out, "name", k->options[i].name);
	put_text(out, "value", k->options[i].value);
}

static void
take_option(struct ask *k, size_t i, const json_t *answer)
{
	(void)i;
	note_failure(k, RC_RETRY, answer);
}

enum rc
php_contacts_options(const struct php_executor_opts *opts,
    const struct php_option *options, size_t n, uint32_t timeout_ms,
    struct err *err)
{
	static const struct ask_ops ops = {
		.op = "options", .render = render_option, .take = take_option
	};
	struct ask k = { .ops = &ops, .options = options, .n = n };

	return run(opts, &k, timeout_ms, err);
}

static void
render_alert(struct buf *out, const struct ask *k, size_t i)
{
	const struct php_contact_alert *al = &k->alerts[i];

	put_user(out, al->user_id);
	put_text(out, "a", al->action);
	put_text(out, "g", al->integration);
	put_text(out, "c", al->context);
	put_text(out, "r", al->reason);
	buf_printf(out, ",\"n\":%u", al->retry_count);
}

static void
take_alert(struct ask *k, size_t i, const json_t *answer)
{
	(void)i;
	note_failure(k, RC_REJECT, answer);
}

enum rc
php_contacts_alert(const struct php_executor_opts *opts,
    const struct php_contact_alert *alerts, size_t n, uint32_t timeout_ms,
    struct err *err)
{
	static const struct ask_ops ops = { .op = "alert",
		.once = true,
		.render = render_alert,
		.take = take_alert };
	struct ask k = { .ops = &ops, .alerts = alerts, .n = n };

	return run(opts, &k, timeout_ms, err);
}

static void
render_nothing(struct buf *out, const struct ask *k, size_t i)
{
	(void)out;
	(void)k;
	(void)i;
}

static void
take_description(struct ask *k, size_t i, const json_t *answer)
{
	(void)i;
	note_failure(k, RC_RETRY, answer);
	free(*k->json);
	*k->json = json_dumps(json_object_get(answer, "told"), JSON_COMPACT);
	if (!*k->json && k->failure.rc == RC_OK)
		(void)err_set(&k->failure, RC_RETRY, "PHP told nothing");
}

enum rc
php_contacts_describe(const struct php_executor_opts *opts, uint32_t timeout_ms,
    char **json, struct err *err)
{
	static const struct ask_ops ops = { .op = "describe",
		.render = render_nothing,
		.take = take_description };
	struct ask k = { .ops = &ops, .json = json, .n = 1 };

	*json = NULL;
	return run(opts, &k, timeout_ms, err);
}
