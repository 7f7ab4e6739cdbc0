#include "executors/php_contacts.h"

#include <inttypes.h>
#include <jansson.h>

#include "executors/php_impl.h"
#include "executors/php_list.h"
#include "formats/utf8.h"

/* What is asked, and where the answers go. */
struct ask {
	/* The caller's; one of them. */
	struct php_contact *contacts;
	struct php_reader_data *readers;
	const struct php_option *options;
	const struct php_contact_alert *alerts;
	struct arena *a;
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

/* No use in going on: it is refused whatever comes. */
static bool
is_refused(void *arg)
{
	const struct ask *k = arg;

	return k->failure.rc == RC_REJECT;
}

static enum rc
run(const struct php_executor_opts *opts, const struct php_list *l,
    struct ask *k, size_t n, uint32_t timeout_ms, struct err *err)
{
	struct php_list mine = *l;
	enum rc rc;

	mine.what = "contacts";
	mine.n = n;
	mine.timeout_ms = timeout_ms;
	mine.over = is_refused;
	mine.arg = k;
	rc = php_list_run(opts, &mine, err);
	if (k->failure.rc != RC_OK && rc != RC_REJECT)
		return err_set(err, k->failure.rc, "%s", k->failure.text);
	return rc;
}

/* ---- contacts ----------------------------------------------------------- */

static void
render_contact(struct buf *out, void *arg, size_t i)
{
	const struct ask *k = arg;
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
take_contact(void *arg, size_t i, const json_t *answer)
{
	struct ask *k = arg;
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
	const struct php_list l = {
		.op = op, .render = render_contact, .take = take_contact
	};
	struct ask k = { .contacts = contacts, .a = a };

	for (size_t i = 0; i < n; i++) {
		contacts[i].answered = contacts[i].ok = contacts[i].gone =
		    false;
		contacts[i].fields = NULL;
		contacts[i].nfields = 0;
	}
	return run(opts, &l, &k, n, timeout_ms, err);
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
render_reader(struct buf *out, void *arg, size_t i)
{
	const struct ask *k = arg;
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
take_reader(void *arg, size_t i, const json_t *answer)
{
	struct ask *k = arg;
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
	static const struct php_list l = {
		.op = "store", .render = render_reader, .take = take_reader
	};
	struct ask k = { .readers = readers, .a = a };

	for (size_t i = 0; i < n; i++)
		readers[i].ok = false;
	return run(opts, &l, &k, n, timeout_ms, err);
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
render_option(struct buf *out, void *arg, size_t i)
{
	const struct ask *k = arg;

	put_text(out, "name", k->options[i].name);
	put_text(out, "value", k->options[i].value);
}

static void
take_option(void *arg, size_t i, const json_t *answer)
{
	struct ask *k = arg;

	(void)i;
	note_failure(k, RC_RETRY, answer);
}

enum rc
php_contacts_options(const struct php_executor_opts *opts,
    const struct php_option *options, size_t n, uint32_t timeout_ms,
    struct err *err)
{
	static const struct php_list l = {
		.op = "options", .render = render_option, .take = take_option
	};
	struct ask k = { .options = options };

	return run(opts, &l, &k, n, timeout_ms, err);
}

static void
render_alert(struct buf *out, void *arg, size_t i)
{
	const struct ask *k = arg;
	const struct php_contact_alert *al = &k->alerts[i];

	put_user(out, al->user_id);
	put_text(out, "a", al->action);
	put_text(out, "g", al->integration);
	put_text(out, "c", al->context);
	put_text(out, "r", al->reason);
	buf_printf(out, ",\"n\":%u", al->retry_count);
}

static void
take_alert(void *arg, size_t i, const json_t *answer)
{
	struct ask *k = arg;

	(void)i;
	note_failure(k, RC_REJECT, answer);
}

enum rc
php_contacts_alert(const struct php_executor_opts *opts,
    const struct php_contact_alert *alerts, size_t n, uint32_t timeout_ms,
    struct err *err)
{
	static const struct php_list l = { .op = "alert",
		.once = true,
		.render = render_alert,
		.take = take_alert };
	struct ask k = { .alerts = alerts };

	return run(opts, &l, &k, n, timeout_ms, err);
}

enum rc
php_contacts_describe(const struct php_executor_opts *opts, uint32_t timeout_ms,
    char **json, struct err *err)
{
	return php_list_describe(opts, "contacts", timeout_ms, json, err);
}
