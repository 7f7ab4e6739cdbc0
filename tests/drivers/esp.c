/*
 * Runs calls of one provider of email services, so that a test can look at
 * them without the daemon. Reads JSON from standard input, writes JSON.
 *
 * In:  {"provider": "mailchimp",
 *       "account": {"api": "...", "key": "...", "secret", "access_token",
 *                   "refresh_token", "list", "status_if_new", "prefix",
 *                   "create_fields": bool, "loopback": bool, "ca_file"},
 *       "host": {"connections": N,        how many may be open; none: all
 *                "stop_after": N,         take() says RC_NONE after N calls
 *                "wait_ms": N,            every first take() of a request
 *                                         says RC_RETRY with it
 *                "refuse_batches": bool,  on_batch() fails
 *                "tokens": {"access": "...", "refresh": "..."},
 *                "tokens_write_fails": bool},
 *       "steps": [{"op": "push", "contacts": [CONTACT, ...]},
 *                 {"op": "pull", "contacts": [...], "keys": ["..."]},
 *                 {"op": "poll", "token": "...", "contacts": [...]},
 *                 {"op": "settle", "max_s": 30}   polls what push left
 *                                          pending until nothing is
 *                 {"op": "test"}, {"op": "fields"},
 *                 {"op": "sleep", "ms": N}, {"op": "wake"}]}
 *      CONTACT: {"user_id", "email", "previous_email", "name",
 *                "status_if_new", "id", "fields": [["label", value], ...]}
 *                where value is text or a number
 *      "make": N in place of "contacts" makes N of them, r0@example.org on,
 *      or from "from": M.
 *      "quiet": true leaves the contacts out of the answer.
 *
 * Out: {"steps": [{"op", "rc": "ok", "error": "", "ms": N,
 *        "counts": {"done": N, ...},
 *        "contacts": [{"user_id", "outcome": "done", "message", "strange",
 *                      "retry_after_s", "pulled": {key: value}}],
 *        "batches": [{"token", "members": [index, ...], "after_s"}],
 *        "again_s", "words", "fields": {name: value}}],
 *       "rests": [{"config": bool, "after_s": N, "why": "..."}],
 *       "takes": {"call": N, "bulk": N, "daily": N},
 *       "tokens": {"access", "refresh", "writes": N, "held": bool}}
 * or {"error": "...", "rc": "reject"} when the provider cannot be made.
 */
#include "executors/esp/esp.h"
#include "base/xalloc.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>

struct batch {
	char *token;
	struct esp_contact *members; /* copies; text is the input's */
	size_t n;
	int64_t after_s;
	bool over;
};

struct driver {
	struct esp *esp;
	const json_t *host;
	json_t *rests, *step_batches;
	uint64_t takes[ESP_NBUDGETS], calls, waits;
	bool resting, waited;
	struct batch batches[4096];
	size_t nbatches;
	char *access, *refresh;
	int64_t token_writes;
	bool tokens_held;
	const struct esp_contact *pushed;
};

static const char *const outcomes[] = { [ESP_OPEN] = "open",
	[ESP_DONE] = "done",
	[ESP_PENDING] = "pending",
	[ESP_RETRY] = "retry",
	[ESP_REFUSED] = "refused",
	[ESP_BARRED] = "barred" };

static const char *
text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static int64_t
number_of(const json_t *o, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

static bool
flag_of(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static struct slice
slice_of(const json_t *o, const char *key)
{
	return slice_mem(json_string_value(json_object_get(o, key)),
	    json_string_length(json_object_get(o, key)));
}

static json_t *
slice_json(struct slice s)
{
	json_t *v = json_stringn(s.p ? s.p : "", s.n);

	return v ? v : json_string("not UTF-8");
}

/* ---- the host --------------------------------------------------------- */

static enum rc
host_take(void *arg, enum esp_budget which, int64_t *wait_ms)
{
	struct driver *d = arg;
	int64_t wait = number_of(d->host, "wait_ms", 0);

	if (d->resting)
		return RC_NONE;
	if (which == ESP_BUDGET_CALL &&
	    d->calls >= (uint64_t)number_of(d->host, "stop_after", INT64_MAX))
		return RC_NONE;
	if (wait > 0 && which == ESP_BUDGET_CALL && !d->waited) {
		*wait_ms = wait;
		d->waited = true;
		d->waits++;
		return RC_RETRY;
	}
	d->waited = false;
	d->takes[which]++;
	d->calls += which == ESP_BUDGET_CALL;
	return RC_OK;
}

static uint32_t
host_connections(void *arg, uint32_t most)
{
	struct driver *d = arg;

	return (uint32_t)number_of(d->host, "connections", most);
}

static void
host_rest(void *arg, bool config, int64_t after_s, const char *why)
{
	struct driver *d = arg;

	d->resting = true;
	json_array_append_new(
	    d->rests, json_pack("{s:b,s:I,s:s}", "config", config, "after_s",
			  (json_int_t)after_s, "why", why));
}

static enum rc
host_on_batch(void *arg, struct slice token, const size_t *members, size_t n,
    int64_t after_s, struct err *err)
{
	struct driver *d = arg;
	struct batch *b = &d->batches[d->nbatches];
	json_t *list = json_array();

	if (flag_of(d->host, "refuse_batches")) {
		json_decref(list);
		return err_set(err, RC_RETRY, "the batch cannot be stored");
	}
	if (d->nbatches == NELEMS(d->batches))
		abort();
	d->nbatches++;
	b->token = xstrndup(token);
	b->members = xcalloc(n + 1, sizeof *b->members);
	b->n = n;
	b->after_s = after_s;
	for (size_t i = 0; i < n; i++) {
		b->members[i] = d->pushed[members[i]];
		b->members[i].outcome = ESP_PENDING;
		json_array_append_new(
		    list, json_integer((json_int_t)members[i]));
	}
	json_array_append_new(d->step_batches,
	    json_pack("{s:o,s:o,s:I}", "token", slice_json(token), "members",
		list, "after_s", (json_int_t)after_s));
	return RC_OK;
}

static enum rc
host_tokens_read(void *arg, struct arena *a, const char **access,
    const char **refresh, struct err *err)
{
	struct driver *d = arg;

	if (d->tokens_held)
		return err_set(err, RC_RETRY, "the tokens are held");
	d->tokens_held = true;
	*access = d->access ? arena_strdup(a, slice_str(d->access)) : NULL;
	*refresh = d->refresh ? arena_strdup(a, slice_str(d->refresh)) : NULL;
	return RC_OK;
}

static void
replace(char **text, const char *by)
{
	char *copy = by ? xstrdup(by) : NULL;

	free(*text);
	*text = copy;
}

static enum rc
host_tokens_write(
    void *arg, const char *access, const char *refresh, struct err *err)
{
	struct driver *d = arg;

	if (!d->tokens_held)
		abort(); /* written without having been read */
	d->tokens_held = false;
	if (flag_of(d->host, "tokens_write_fails"))
		return err_set(err, RC_RETRY, "the tokens cannot be stored");
	replace(&d->access, access);
	replace(&d->refresh, refresh);
	d->token_writes++;
	return RC_OK;
}

static void
host_tokens_release(void *arg)
{
	((struct driver *)arg)->tokens_held = false;
}

/* ---- contacts --------------------------------------------------------- */

static struct esp_field *
read_fields(const json_t *list, struct arena *a, size_t *n)
{
	struct esp_field *fields =
	    arena_array(a, json_array_size(list) + 1, sizeof *fields);
	const json_t *pair;
	size_t i;

	*n = 0;
	json_array_foreach(list, i, pair)
	{
		const json_t *name = json_array_get(pair, 0);
		const json_t *v = json_array_get(pair, 1);
		struct esp_field *f = &fields[(*n)++];

		f->name = slice_mem(
		    json_string_value(name), json_string_length(name));
		f->number = json_is_number(v);
		if (f->number) {
			char *text =
			    json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);

			f->value = slice_str(arena_strdup(a, slice_str(text)));
			free(text);
		} else {
			f->value = slice_mem(
			    json_string_value(v), json_string_length(v));
		}
	}
	return fields;
}

static struct esp_contact *
make_contacts(size_t from, size_t n, struct arena *a)
{
	struct esp_contact *all = arena_array(a, n + 1, sizeof *all);

	for (size_t i = 0; i < n; i++) {
		struct esp_field *f = arena_array(a, 2, sizeof *f);
		char text[64];

		(void)snprintf(text, sizeof text, "r%zu@example.org", from + i);
		all[i].email = slice_str(arena_strdup(a, slice_str(text)));
		(void)snprintf(text, sizeof text, "Reader %zu", from + i);
		all[i].name = slice_str(arena_strdup(a, slice_str(text)));
		f[0] = (struct esp_field){ .name = SLICE_LIT("NP_Account"),
			.value = all[i].name };
		all[i].id = all[i].email;
		all[i].fields = f;
		all[i].nfields = 1;
		all[i].user_id = from + i + 1;
	}
	return all;
}

static struct esp_contact *
read_contacts(const json_t *step, struct arena *a, size_t *n)
{
	const json_t *list = json_object_get(step, "contacts"), *c;
	struct esp_contact *all;
	size_t i;

	*n = (size_t)number_of(step, "make", 0);
	if (*n > 0)
		return make_contacts((size_t)number_of(step, "from", 0), *n, a);
	*n = json_array_size(list);
	all = arena_array(a, *n + 1, sizeof *all);
	json_array_foreach(list, i, c)
	{
		all[i] = (struct esp_contact){
			.user_id =
			    (uint64_t)number_of(c, "user_id", (int64_t)i + 1),
			.email = slice_of(c, "email"),
			.previous_email = slice_of(c, "previous_email"),
			.name = slice_of(c, "name"),
			.status_if_new = slice_of(c, "status_if_new"),
			.id = slice_of(c, "id"),
		};
		all[i].fields = read_fields(
		    json_object_get(c, "fields"), a, &all[i].nfields);
	}
	return all;
}

static json_t *
contact_json(const struct esp_contact *c)
{
	json_t *o = json_pack("{s:I,s:s,s:o,s:b,s:I}", "user_id",
	    (json_int_t)c->user_id, "outcome", outcomes[c->outcome], "message",
	    slice_json(c->message), "strange", c->strange, "retry_after_s",
	    (json_int_t)c->retry_after_s);
	json_t *pulled = json_object();

	for (size_t i = 0; i < c->npulled; i++) {
		char *key = xstrndup(c->pulled[i].name);
		json_error_t why;
		json_t *v =
		    json_loadb(c->pulled[i].value.p, c->pulled[i].value.n,
			JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);

		json_object_set_new(
		    pulled, key, v ? v : json_string("NOT JSON"));
		free(key);
	}
	if (c->pulled)
		json_object_set(o, "pulled", pulled);
	json_decref(pulled);
	return o;
}

static void
put_contacts(
    json_t *out, const json_t *step, const struct esp_contact *all, size_t n)
{
	json_t *list = json_array(), *counts = json_object();
	size_t count[NELEMS(outcomes)] = { 0 };

	for (size_t i = 0; i < n; i++) {
		count[all[i].outcome]++;
		if (!flag_of(step, "quiet"))
			json_array_append_new(list, contact_json(&all[i]));
	}
	for (size_t i = 0; i < NELEMS(outcomes); i++)
		json_object_set_new(
		    counts, outcomes[i], json_integer((json_int_t)count[i]));
	json_object_set_new(out, "contacts", list);
	json_object_set_new(out, "counts", counts);
}

/* ---- steps ------------------------------------------------------------ */

static enum rc
do_push(struct driver *d, const json_t *step, json_t *out, struct arena *a,
    struct err *err)
{
	size_t n;
	struct esp_contact *all = read_contacts(step, a, &n);
	enum rc rc;

	d->pushed = all;
	rc = d->esp->ops->push(d->esp, all, n, a, err);
	put_contacts(out, step, all, n);
	return rc;
}

static enum rc
do_pull(struct driver *d, const json_t *step, json_t *out, struct arena *a,
    struct err *err)
{
	const json_t *list = json_object_get(step, "keys"), *key;
	size_t n, i;
	struct esp_contact *all = read_contacts(step, a, &n);
	struct slice *keys =
	    arena_array(a, json_array_size(list) + 1, sizeof *keys);
	enum rc rc;

	json_array_foreach(list, i, key) keys[i] =
	    slice_mem(json_string_value(key), json_string_length(key));
	if (!d->esp->ops->pull)
		return err_set(err, RC_REJECT, "it cannot pull");
	rc = d->esp->ops->pull(
	    d->esp, all, n, keys, json_array_size(list), a, err);
	put_contacts(out, step, all, n);
	return rc;
}

static enum rc
do_poll(struct driver *d, const json_t *step, json_t *out, struct arena *a,
    struct err *err)
{
	size_t n;
	struct esp_contact *all = read_contacts(step, a, &n);
	int64_t again_s = -1;
	enum rc rc;

	for (size_t i = 0; i < n; i++)
		all[i].outcome = ESP_PENDING;
	rc = d->esp->ops->poll(
	    d->esp, slice_of(step, "token"), all, n, &again_s, a, err);
	json_object_set_new(out, "again_s", json_integer(again_s));
	put_contacts(out, step, all, n);
	return rc;
}

static bool
has_pending(const struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->members[i].outcome == ESP_PENDING)
			return true;
	return false;
}

static enum rc
poll_all(struct driver *d, struct arena *a, bool *left, int64_t *again_s,
    struct err *err)
{
	enum rc rc = RC_OK;

	*left = false;
	*again_s = 60;
	for (size_t i = 0; i < d->nbatches && rc == RC_OK; i++) {
		struct batch *b = &d->batches[i];
		int64_t again = 0;

		if (b->over)
			continue;
		rc = d->esp->ops->poll(d->esp, slice_str(b->token), b->members,
		    b->n, &again, a, err);
		b->over = !has_pending(b);
		if (b->over)
			continue;
		*left = true;
		if (again < *again_s)
			*again_s = again;
	}
	return rc;
}

static enum rc
do_settle(struct driver *d, const json_t *step, json_t *out, struct arena *a,
    struct err *err)
{
	mono_ms end =
	    clock_mono(&clock_system) + 1000 * number_of(step, "max_s", 30);
	struct esp_contact *all;
	size_t n = 0, at = 0;
	int64_t again_s;
	bool left = true;
	enum rc rc = RC_OK;

	while (rc == RC_OK && left && clock_mono(&clock_system) < end) {
		rc = poll_all(d, a, &left, &again_s, err);
		if (left)
			clock_sleep_ms(again_s > 0 ? 200 : 20);
	}
	for (size_t i = 0; i < d->nbatches; i++)
		n += d->batches[i].n;
	all = arena_array(a, n + 1, sizeof *all);
	for (size_t i = 0; i < d->nbatches; i++)
		for (size_t k = 0; k < d->batches[i].n; k++)
			all[at++] = d->batches[i].members[k];
	put_contacts(out, step, all, n);
	return rc;
}

static enum rc
do_test(struct driver *d, const json_t *step UNUSED, json_t *out,
    struct arena *a, struct err *err)
{
	struct slice words = SLICE_LIT("");
	enum rc rc = d->esp->ops->test(d->esp, a, &words, err);

	json_object_set_new(out, "words", slice_json(words));
	return rc;
}

static enum rc
do_fields(struct driver *d, const json_t *step UNUSED, json_t *out,
    struct arena *a, struct err *err)
{
	struct esp_field *fields = NULL;
	json_t *list = json_object();
	size_t n = 0;
	enum rc rc;

	json_object_set_new(out, "fields", list);
	if (!d->esp->ops->fields)
		return err_set(err, RC_REJECT, "it has no fields");
	rc = d->esp->ops->fields(d->esp, a, &fields, &n, err);
	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		char *name = xstrndup(fields[i].name);

		json_object_set_new(list, name, slice_json(fields[i].value));
		free(name);
	}
	return rc;
}

static enum rc
do_sleep(struct driver *d UNUSED, const json_t *step, json_t *out UNUSED,
    struct arena *a UNUSED, struct err *err UNUSED)
{
	clock_sleep_ms(number_of(step, "ms", 0));
	return RC_OK;
}

/* The account has rested. */
static enum rc
do_wake(struct driver *d, const json_t *step UNUSED, json_t *out UNUSED,
    struct arena *a UNUSED, struct err *err UNUSED)
{
	d->resting = false;
	d->calls = 0;
	return RC_OK;
}

static const struct {
	const char *name;
	enum rc (*run)(struct driver *, const json_t *, json_t *,
	    struct arena *, struct err *);
} ops[] = {
	{ "push", do_push },
	{ "pull", do_pull },
	{ "poll", do_poll },
	{ "settle", do_settle },
	{ "test", do_test },
	{ "fields", do_fields },
	{ "sleep", do_sleep },
	{ "wake", do_wake },
};

static json_t *
run_step(struct driver *d, const json_t *step, struct arena *a)
{
	const char *name = text_of(step, "op");
	json_t *out = json_object();
	struct err err = ERR_INIT;
	mono_ms begun = clock_mono(&clock_system);
	enum rc rc = RC_FATAL;

	d->step_batches = json_array();
	for (size_t i = 0; i < NELEMS(ops); i++)
		if (name && strcmp(ops[i].name, name) == 0)
			rc = ops[i].run(d, step, out, a, &err);
	json_object_set_new(out, "op", json_string(name));
	json_object_set_new(out, "rc", json_string(rc_name(rc)));
	json_object_set_new(out, "error",
	    json_string(rc == RC_OK || rc == RC_NONE ? "" : err.text));
	json_object_set_new(
	    out, "ms", json_integer(clock_mono(&clock_system) - begun));
	json_object_set_new(out, "batches", d->step_batches);
	return out;
}

/* ---- all -------------------------------------------------------------- */

static enum rc
make_provider(struct driver *d, const json_t *in, struct err *err)
{
	const json_t *a = json_object_get(in, "account");
	const char *name = text_of(in, "provider");
	esp_new_fn *make = name ? esp_provider(name) : NULL;
	struct esp_account account = {
		.api = text_of(a, "api"),
		.key = text_of(a, "key"),
		.secret = text_of(a, "secret"),
		.access_token = text_of(a, "access_token"),
		.refresh_token = text_of(a, "refresh_token"),
		.list = text_of(a, "list"),
		.status_if_new = text_of(a, "status_if_new"),
		.prefix = text_of(a, "prefix"),
		.create_fields = flag_of(a, "create_fields"),
		.loopback = flag_of(a, "loopback"),
		.ca_file = text_of(a, "ca_file"),
	};
	struct esp_host host = {
		.clock = &clock_system,
		.arg = d,
		.take = host_take,
		.connections = host_connections,
		.rest = host_rest,
		.on_batch = host_on_batch,
		.tokens_read = host_tokens_read,
		.tokens_write = host_tokens_write,
		.tokens_release = host_tokens_release,
	};
	const json_t *tokens = json_object_get(d->host, "tokens");

	if (!make)
		return err_set(err, RC_REJECT, "no such provider");
	replace(&d->access, text_of(tokens, "access"));
	replace(&d->refresh, text_of(tokens, "refresh"));
	/* `account` is on this stack: what it points at stays, it does not. */
	static struct esp_account kept;
	kept = account;
	return make(&kept, &host, &d->esp, err);
}

static json_t *
run(struct driver *d, const json_t *in)
{
	static struct arena a = ARENA_INIT((size_t)1 << 30);
	struct err err = ERR_INIT;
	json_t *out = json_object(), *steps = json_array();
	const json_t *step;
	size_t i;
	enum rc rc = make_provider(d, in, &err);

	json_object_set_new(out, "steps", steps);
	if (rc != RC_OK) {
		json_object_set_new(out, "error", json_string(err.text));
		json_object_set_new(out, "rc", json_string(rc_name(rc)));
		return out;
	}
	json_array_foreach(json_object_get(in, "steps"), i, step)
	    json_array_append_new(steps, run_step(d, step, &a));
	json_object_set(out, "rests", d->rests);
	json_object_set_new(out, "takes",
	    json_pack("{s:I,s:I,s:I,s:I}", "call",
		(json_int_t)d->takes[ESP_BUDGET_CALL], "bulk",
		(json_int_t)d->takes[ESP_BUDGET_BULK], "daily",
		(json_int_t)d->takes[ESP_BUDGET_DAILY], "waits",
		(json_int_t)d->waits));
	json_object_set_new(out, "tokens",
	    json_pack("{s:s?,s:s?,s:I,s:b}", "access", d->access, "refresh",
		d->refresh, "writes", (json_int_t)d->token_writes, "held",
		d->tokens_held));
	d->esp->ops->free(d->esp);
	arena_clear(&a);
	return out;
}

int
main(void)
{
	static struct driver d;
	json_error_t why;
	json_t *in, *out;

	signal(SIGPIPE, SIG_IGN);
	in = json_loadf(stdin, JSON_ALLOW_NUL, &why);
	if (!in) {
		(void)fprintf(stderr, "%s\n", why.text);
		return 64;
	}
	d.host = json_object_get(in, "host");
	d.rests = json_array();
	out = run(&d, in);
	(void)json_dumpf(out, stdout, JSON_COMPACT);
	json_decref(out);
	json_decref(d.rests);
	json_decref(in);
	for (size_t i = 0; i < d.nbatches; i++) {
		free(d.batches[i].token);
		free(d.batches[i].members);
	}
	free(d.access);
	free(d.refresh);
	return 0;
}
