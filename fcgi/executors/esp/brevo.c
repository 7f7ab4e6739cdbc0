#include "executors/esp/brevo_private.h"

#include <stdlib.h>

#include "base/xalloc.h"

/*
 * Brevo, API v3.
 *
 * One contact: PUT /contacts/{email} with attributes alone; only when that
 * says 404 the contact is new, and POST /contacts with updateEnabled false
 * makes it, so that a list or emailBlacklisted never reaches a known one.
 *
 * Many: the account's contacts are read first (all once, then what changed; a
 * thousand a request). Known ones are updated by /contacts/batch, a hundred a
 * request and without a list. New ones go into an import, which puts all its
 * contacts on the account's list, known ones too, and names nobody in its
 * result: which is why it is given none that the account knows. A hundred
 * being refused is halved down to the culprit; where the account cannot be
 * read, or has no such call, each contact goes alone.
 *
 * status_if_new: "subscribed" and none put a new contact on the account's
 * list; "transactional" and "pending" on none; "unsubscribed" on none, with
 * emailBlacklisted. A contact's own status_if_new counts only when it is
 * "unsubscribed": the plugin adds Mailchimp's word to every payload.
 *
 * Attributes are the labels' slugs. An empty value clears.
 */

#define API "https://api.brevo.com"
#define BODY_MAX ((size_t)512 * 1024)

/* ---- requests ----------------------------------------------------------- */

bool
brevo_has_code(const struct esp_call *call, const char *code)
{
	json_t *v = esp_values_json(call->answer);
	bool has = slice_eq_str(esp_values_text(v, "code"), code);

	json_decref(v);
	return has;
}

/* Codes that no other request of the account would fare better with. */
static void
on_answer(void *arg, struct esp_call *call)
{
	static const char *const codes[] = { "not_enough_credits",
		"account_under_validation", "permission_denied",
		"unauthorized" };
	struct brevo *b = arg;
	bool config = call->status == 402;

	if (call->class != ESP_CLASS_PERMANENT)
		return;
	for (size_t i = 0; i < NELEMS(codes); i++)
		config = config || brevo_has_code(call, codes[i]);
	if (!config)
		return;
	call->class = ESP_CLASS_CONFIG;
	call->message =
	    SLICE_LIT("the account has no credits or may not do this");
	esp_http_rest(b->http, true, -1, call->message.p);
}

void
brevo_run(struct brevo *b, struct esp_call *calls, size_t n, struct arena *a)
{
	const char *headers[] = { b->auth, "Content-Type: application/json" };

	for (size_t i = 0; i < n; i++) {
		calls[i].headers = headers;
		calls[i].nheaders = calls[i].body.n > 0 ? 2 : 1;
		calls[i].reset_header = "x-sib-ratelimit-reset";
		calls[i].done = on_answer;
		calls[i].arg = b;
	}
	esp_http_run(b->http, calls, n, a);
}

struct slice
brevo_words(const struct esp_call *call, struct arena *a)
{
	json_t *v = esp_values_json(call->answer);
	struct slice message = esp_values_text(v, "message");
	struct slice code = esp_values_text(v, "code");
	struct slice out = esp_words(
	    slice_str(message.n > 0
			  ? esp_printf(a, "%.*s (%.*s)", SLICE_FMT(message),
				SLICE_FMT(code))
			  : esp_printf(a, "HTTP status %d", call->status)),
	    a);

	json_decref(v);
	return out;
}

enum rc
brevo_failed(const struct esp_call *call, struct arena *a, const char *what,
    struct err *err)
{
	struct slice words = call->class == ESP_CLASS_PERMANENT
				 ? brevo_words(call, a)
				 : call->message;

	return err_set(err,
	    call->class == ESP_CLASS_PERMANENT ? RC_REJECT : RC_RETRY,
	    "Brevo: %s: %.*s", what, SLICE_FMT(words));
}

enum brevo_wish
brevo_wish(const struct brevo *b, const struct esp_contact *c)
{
	struct slice word = slice_str(b->account.status_if_new);

	if ((c && slice_eq_str(c->status_if_new, "unsubscribed")) ||
	    slice_eq_str(word, "unsubscribed"))
		return BREVO_UNSUBSCRIBED;
	if (!b->listed || slice_eq_str(word, "transactional") ||
	    slice_eq_str(word, "pending"))
		return BREVO_NO_LIST;
	return BREVO_SUBSCRIBED;
}

/* ---- one contact -------------------------------------------------------- */

static void
settle(struct esp_contact *c, const struct esp_call *call, struct arena *a)
{
	esp_http_settle(c, call,
	    call->class == ESP_CLASS_PERMANENT ? brevo_words(call, a)
					       : call->message,
	    a);
}

static const char *
contact_url(const struct brevo *b, struct slice email, struct arena *a)
{
	return esp_printf(
	    a, "%s/contacts/%.*s", b->base, SLICE_FMT(esp_urlencode(email, a)));
}

static struct esp_call
update_call(struct brevo *b, struct esp_contact *c, struct arena *a)
{
	bool moved = c->previous_email.n > 0;
	struct buf body = BUF_INIT(BODY_MAX);
	struct esp_call call = {
		.method = "PUT",
		.url = contact_url(b, moved ? c->previous_email : c->email, a),
		.tag = c,
	};

	buf_put_str(&body, "{\"attributes\":");
	brevo_put_attributes(b, c, true, moved ? c->email : SLICE_NONE, &body);
	buf_put_char(&body, '}');
	call.body = esp_values_take(&body, a);
	return call;
}

static struct esp_call
create_call(struct brevo *b, struct esp_contact *c, struct arena *a)
{
	struct buf body = BUF_INIT(BODY_MAX);
	struct esp_call call = {
		.method = "POST",
		.url = esp_printf(a, "%s/contacts", b->base),
		.tag = c,
	};

	buf_put_char(&body, '{');
	esp_values_put(&body, "email", c->email);
	buf_put_str(&body, ",\"attributes\":");
	brevo_put_attributes(b, c, false, SLICE_NONE, &body);
	switch (brevo_wish(b, c)) {
	case BREVO_SUBSCRIBED:
		buf_printf(&body, ",\"listIds\":[%s]", b->account.list);
		break;
	case BREVO_UNSUBSCRIBED:
		buf_put_str(&body, ",\"emailBlacklisted\":true");
		break;
	case BREVO_NO_LIST:
		break;
	}
	buf_put_str(&body, ",\"updateEnabled\":false}");
	call.body = esp_values_take(&body, a);
	return call;
}

/* Updates that found nobody become the calls that follow; how many. */
static size_t
take_updates(struct brevo *b, struct esp_call *calls, size_t n, struct arena *a)
{
	size_t next = 0;

	for (size_t i = 0; i < n; i++) {
		struct esp_contact *c = calls[i].tag;

		/* The new address is a contact already, or nobody had the
		 * former one: by the new address then. */
		if (calls[i].class == ESP_CLASS_PERMANENT &&
		    c->previous_email.n > 0) {
			c->previous_email = SLICE_NONE;
			calls[next++] = update_call(b, c, a);
		} else if (calls[i].status == 404 &&
			   slice_eq_str(slice_str(calls[i].method), "PUT")) {
			calls[next++] = create_call(b, c, a);
		} else {
			settle(c, &calls[i], a);
			/* Somebody made it in between: known now. */
			if (brevo_has_code(&calls[i], "duplicate_parameter"))
				c->outcome = ESP_RETRY;
		}
	}
	return next;
}

/* False: the account rests. */
static bool
update_each(struct brevo *b, struct esp_contact *contacts,
    const size_t *members, size_t n, struct arena *a)
{
	struct esp_call *calls = arena_array(a, n, sizeof calls[0]);
	size_t left = n;

	if (n == 0)
		return true;
	if (!calls)
		return false;
	for (size_t i = 0; i < n; i++)
		calls[i] = update_call(b, &contacts[members[i]], a);
	/* By the former address, by the new one, as a new contact. */
	for (int round = 0; round < 3 && left > 0; round++) {
		brevo_run(b, calls, left, a);
		left = take_updates(b, calls, left, a);
	}
	for (size_t i = 0; i < n; i++)
		if (contacts[members[i]].outcome == ESP_OPEN)
			return false;
	return true;
}

/* ---- push --------------------------------------------------------------- */

static enum rc
push(struct esp *esp, struct esp_contact *contacts, size_t n, struct arena *a,
    struct err *err)
{
	struct brevo *b = (struct brevo *)esp;
	size_t *members = arena_array(a, n, sizeof members[0]);
	size_t *moved = arena_array(a, n, sizeof moved[0]);
	size_t nmembers = 0, nmoved = 0, new, known, left = 0;
	bool on = true;
	enum rc rc;

	esp_contacts_begin(contacts, n);
	rc = brevo_fields_ensure(b, contacts, n, a, err);
	if (rc != RC_OK)
		return rc;
	if (!members || !moved)
		return err_set(err, RC_RETRY, "no memory");
	for (size_t i = 0; i < n; i++) {
		if (contacts[i].outcome != ESP_OPEN)
			continue;
		if (contacts[i].previous_email.n > 0)
			moved[nmoved++] = i;
		else
			members[nmembers++] = i;
	}
	new = brevo_sort(b, contacts, members, nmembers, &known, &on);
	if (on)
		on = brevo_import(b, contacts, members, new, &left, a);
	if (on)
		on = update_each(b, contacts, members, left, a);
	if (on)
		on = brevo_update(b, contacts, members + new, known, &left, a);
	if (on)
		on = update_each(b, contacts, members + new, left, a);
	if (on)
		on = update_each(b, contacts, members + new + known,
		    nmembers - new - known, a);
	if (on)
		on = update_each(b, contacts, moved, nmoved, a);
	return on ? RC_OK : err_set(err, RC_RETRY, "Brevo: the account rests");
}

/* ---- pull --------------------------------------------------------------- */

static void
take_values(struct esp_contact *c, const json_t *attributes,
    const struct slice *keys, size_t nkeys, struct arena *a)
{
	c->pulled = arena_array(a, nkeys + 1, sizeof c->pulled[0]);
	for (size_t k = 0; c->pulled && k < nkeys; k++) {
		const json_t *value =
		    json_object_getn(attributes, keys[k].p, keys[k].n);
		struct esp_field *f = &c->pulled[c->npulled];

		if (!value || json_is_null(value))
			continue;
		f->name = keys[k];
		f->value = esp_values_dump(value, a);
		c->npulled += f->value.p != NULL;
	}
}

static void
read_contact(struct esp_contact *c, const struct esp_call *call,
    const struct slice *keys, size_t nkeys, struct arena *a)
{
	json_t *v;

	settle(c, call, a);
	if (call->status == 404) {
		c->outcome = ESP_DONE;
		c->message = SLICE_NONE;
		c->strange = true;
		return;
	}
	if (call->class != ESP_CLASS_OK)
		return;
	v = esp_values_json(call->answer);
	if (json_is_object(json_object_get(v, "attributes"))) {
		take_values(
		    c, json_object_get(v, "attributes"), keys, nkeys, a);
	} else {
		c->outcome = ESP_RETRY;
		c->message = SLICE_LIT("the answer has no attributes");
	}
	json_decref(v);
}

static enum rc
pull(struct esp *esp, struct esp_contact *contacts, size_t n,
    const struct slice *keys, size_t nkeys, struct arena *a, struct err *err)
{
	struct brevo *b = (struct brevo *)esp;
	struct esp_call *calls = arena_array(a, n, sizeof calls[0]);
	size_t asked = 0;
	bool over = false;

	esp_contacts_begin(contacts, n);
	if (!calls)
		return err_set(err, RC_RETRY, "no memory");
	for (size_t i = 0; i < n; i++) {
		if (contacts[i].outcome != ESP_OPEN)
			continue;
		calls[asked].url = contact_url(b, contacts[i].email, a);
		calls[asked++].tag = &contacts[i];
	}
	brevo_run(b, calls, asked, a);
	for (size_t i = 0; i < asked; i++) {
		read_contact(calls[i].tag, &calls[i], keys, nkeys, a);
		over = over || esp_http_over(&calls[i]);
	}
	return over ? err_set(err, RC_RETRY, "Brevo: the account rests")
		    : RC_OK;
}

/* ---- the account -------------------------------------------------------- */

static enum rc
test(struct esp *esp, struct arena *a, struct slice *words, struct err *err)
{
	struct brevo *b = (struct brevo *)esp;
	struct esp_call calls[2] = {
		{ .url = esp_printf(a, "%s/contacts/attributes", b->base) },
		{ .url = esp_printf(a, "%s/contacts/lists/%s", b->base,
		      b->listed ? b->account.list : "") },
	};
	size_t n = b->listed ? 2 : 1;

	brevo_run(b, calls, n, a);
	for (size_t i = 0; i < n; i++)
		if (calls[i].class != ESP_CLASS_OK)
			return brevo_failed(
			    &calls[i], a, i == 0 ? "the key" : "the list", err);
	*words =
	    slice_str(n == 1 ? "the key works"
			     : esp_printf(a, "the key works, list %s is there",
				   b->account.list));
	return RC_OK;
}

static enum rc
fields(struct esp *esp, struct arena *a, struct esp_field **out, size_t *n,
    struct err *err)
{
	struct brevo *b = (struct brevo *)esp;
	enum rc rc = brevo_fields_read(b, a, err);

	if (rc != RC_OK)
		return rc;
	return esp_fields_list(&b->memory->fields, false, a, out, n, err);
}

static void
free_brevo(struct esp *esp)
{
	struct brevo *b = (struct brevo *)esp;

	if (!b)
		return;
	esp_memory_give(b->memory);
	esp_http_free(b->http);
	free(b->base);
	free(b->auth);
	free(b);
}

static const struct esp_ops ops = {
	.name = "brevo",
	.limits = {
		.budget = {
			[ESP_BUDGET_CALL] = { .count = 10, .per_s = 1 },
			/* 36,000 an hour is the same rate: never the first to
			 * be used up. */
		},
		.connections = 4,
	},
	.push = push,
	.pull = pull,
	.poll = brevo_poll,
	.test = test,
	.fields = fields,
	.free = free_brevo,
};

enum rc
esp_brevo_new(const struct esp_account *account, const struct esp_host *host,
    struct esp **out, struct err *err)
{
	struct esp_http_opts opts = {
		.host = host, .limits = &ops.limits, .ca_file = account->ca_file
	};
	uint64_t list = 0;
	struct brevo *b;
	enum rc rc;

	*out = NULL;
	if (!account->key || account->key[0] == '\0')
		return err_set(
		    err, RC_REJECT, "key is not set: Brevo's API key");
	if (account->list && !slice_u64(slice_str(account->list), &list))
		return err_set(err, RC_REJECT,
		    "list is not the number of a list at Brevo");
	b = xcalloc(1, sizeof *b);
	b->esp.ops = &ops;
	b->account = *account;
	b->memory = esp_memory_take(host->memories, ops.name, account);
	b->host = *host;
	if (!b->host.clock)
		b->host.clock = &clock_system;
	b->listed = list > 0;
	b->base = esp_values_join(account->api ? account->api : API, "/v3");
	b->auth = esp_values_join("api-key: ", account->key);
	rc = esp_http_new(&opts, &b->http, err);
	if (rc != RC_OK) {
		free_brevo(&b->esp);
		return rc;
	}
	*out = &b->esp;
	return RC_OK;
}
