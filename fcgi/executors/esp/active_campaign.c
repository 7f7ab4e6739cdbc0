#include "executors/esp/active_campaign_private.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "formats/utf8.h"

/*
 * ActiveCampaign, API v3.
 *
 * Data and lists are apart here, which keeps consent simple: a push sends
 * contact/sync or bulk_import without a list, so that nothing of a known
 * contact but its fields can change. Only contacts that this very push created
 * (contact/sync answers 201, an import names them in success[]) are put on the
 * account's list, by contactLists without sourceid 4 after a look whether a
 * relation exists, or, when an import made more than ten, by a second import
 * of just those with `subscribe`, which does not re-subscribe anybody. Where
 * the process ends between the two steps, the list step is stored as a bulk
 * call of ours (token "lists:...") and done by poll.
 *
 * status_if_new: "unsubscribed" is the list's status 2; "transactional" and
 * "pending" are no list at all; "subscribed" and none are status 1, as the
 * plugin does. A contact's own status_if_new counts only when it is
 * "unsubscribed": the plugin adds Mailchimp's word ("transactional" by
 * default) to every payload whatever the provider, and ignores it here itself.
 *
 * Fields are found by perstag, the slug of the label. A payload's empty value
 * clears the field; a field the payload does not have is not touched.
 */

#define URL_MAX ((size_t)4096)
#define BODY_MAX ((size_t)512 * 1024)

/* ---- requests ----------------------------------------------------------- */

const char *
active_campaign_url(
    const struct active_campaign *ac, struct arena *a, const char *fmt, ...)
{
	struct buf url = BUF_INIT(URL_MAX);
	struct slice out;
	va_list ap;

	buf_put_str(&url, ac->base);
	va_start(ap, fmt);
	buf_vprintf(&url, fmt, ap);
	va_end(ap);
	out = esp_values_take(&url, a);
	return out.p ? out.p : "";
}

/* 402: no plan, or its contacts are used up. */
static void
on_answer(void *arg, struct esp_call *call)
{
	struct active_campaign *ac = arg;

	if (call->status != 402)
		return;
	call->class = ESP_CLASS_CONFIG;
	call->message = SLICE_LIT("payment required, or the plan's limit of "
				  "contacts is reached");
	esp_http_rest(ac->http, true, -1, call->message.p);
}

void
active_campaign_run(struct active_campaign *ac, struct esp_call *calls,
    size_t n, struct arena *a)
{
	const char *headers[] = { ac->auth, "Content-Type: application/json" };

	for (size_t i = 0; i < n; i++) {
		calls[i].headers = headers;
		calls[i].nheaders = calls[i].body.n > 0 ? 2 : 1;
		calls[i].done = on_answer;
		calls[i].arg = ac;
	}
	esp_http_run(ac->http, calls, n, a);
}

static void
put_error(const json_t *row, struct buf *out)
{
	struct slice title = esp_values_text(row, "title");
	struct slice detail = esp_values_text(row, "detail");
	struct slice code = esp_values_text(row, "code");

	if (out->n > 0)
		buf_put_str(out, "; ");
	buf_put_slice(out, title);
	if (title.n > 0 && detail.n > 0)
		buf_put_str(out, ": ");
	buf_put_slice(out, detail);
	if (code.n > 0)
		buf_printf(out, " (%.*s)", SLICE_FMT(code));
}

struct slice
active_campaign_words(const struct esp_call *call, struct arena *a)
{
	json_t *v = esp_values_json(call->answer);
	const json_t *errors = json_object_get(v, "errors");
	struct buf words = BUF_INIT((size_t)16 * 1024);
	struct slice out;

	for (size_t i = 0; i < json_array_size(errors); i++)
		put_error(json_array_get(errors, i), &words);
	if (words.n == 0)
		buf_put_slice(&words, esp_values_text(v, "message"));
	if (words.n == 0)
		buf_printf(&words, "HTTP status %d", call->status);
	out = esp_words(buf_slice(&words), a);
	buf_clear(&words);
	json_decref(v);
	return out;
}

enum rc
active_campaign_failed(const struct esp_call *call, struct arena *a,
    const char *what, struct err *err)
{
	struct slice words = call->class == ESP_CLASS_PERMANENT
				 ? active_campaign_words(call, a)
				 : call->message;

	return err_set(err,
	    call->class == ESP_CLASS_PERMANENT ? RC_REJECT : RC_RETRY,
	    "ActiveCampaign: %s: %.*s", what, SLICE_FMT(words));
}

static enum active_campaign_wish
wish_of(struct slice word)
{
	if (slice_eq_str(word, "unsubscribed"))
		return ACTIVE_CAMPAIGN_UNSUBSCRIBED;
	if (slice_eq_str(word, "transactional") ||
	    slice_eq_str(word, "pending"))
		return ACTIVE_CAMPAIGN_NO_LIST;
	return ACTIVE_CAMPAIGN_SUBSCRIBED;
}

enum active_campaign_wish
active_campaign_wish(
    const struct active_campaign *ac, const struct esp_contact *c)
{
	uint64_t list = 0;

	if (!slice_u64(slice_str(ac->account.list), &list))
		return ACTIVE_CAMPAIGN_NO_LIST;
	if (c && slice_eq_str(c->status_if_new, "unsubscribed"))
		return ACTIVE_CAMPAIGN_UNSUBSCRIBED;
	return wish_of(slice_str(ac->account.status_if_new));
}

/* ---- one contact a call ------------------------------------------------- */

static struct slice
contact_body(
    struct active_campaign *ac, const struct esp_contact *c, struct arena *a)
{
	struct buf body = BUF_INIT(BODY_MAX);
	struct slice first, last;

	esp_values_split_name(c->name, &first, &last);
	buf_put_str(&body, "{\"contact\":{");
	esp_values_put(&body, "email", c->email);
	if (first.n > 0)
		esp_values_put(&body, "firstName", first);
	if (last.n > 0)
		esp_values_put(&body, "lastName", last);
	buf_put_str(&body, ",\"fieldValues\":");
	active_campaign_put_fields(ac, c, false, &body);
	buf_put_str(&body, "}}");
	return esp_values_take(&body, a);
}

static void
settle(struct esp_contact *c, const struct esp_call *call, struct arena *a)
{
	esp_http_settle(c, call,
	    call->class == ESP_CLASS_PERMANENT ? active_campaign_words(call, a)
					       : call->message,
	    a);
}

static struct slice
made_id(const struct esp_call *call, struct arena *a)
{
	json_t *v = esp_values_json(call->answer);
	struct slice id = esp_values_scalar(
	    json_object_get(json_object_get(v, "contact"), "id"), a);

	json_decref(v);
	return id;
}

/* The list step of those that contact/sync made; ids[i] of members[i]. */
static void
list_made(struct active_campaign *ac, struct esp_contact *contacts,
    size_t *members, struct slice *ids, size_t n, struct arena *a)
{
	static const enum active_campaign_wish wishes[] = {
		ACTIVE_CAMPAIGN_SUBSCRIBED, ACTIVE_CAMPAIGN_UNSUBSCRIBED
	};

	for (size_t w = 0; w < NELEMS(wishes); w++) {
		size_t *some = arena_array(a, n, sizeof some[0]);
		struct slice *of = arena_array(a, n, sizeof of[0]);
		size_t many = 0;

		for (size_t i = 0; some && of && i < n; i++) {
			if (active_campaign_wish(ac, &contacts[members[i]]) !=
			    wishes[w])
				continue;
			some[many] = members[i];
			of[many++] = ids[i];
		}
		if (!active_campaign_list_new(
			ac, of, many, wishes[w], false, a))
			active_campaign_list_later(
			    ac, contacts, some, of, many, wishes[w], a);
	}
}

/* False: the account rests. */
static bool
sync_each(struct active_campaign *ac, struct esp_contact *contacts,
    const size_t *members, size_t n, struct arena *a)
{
	struct esp_call *calls = arena_array(a, n, sizeof calls[0]);
	size_t *made = arena_array(a, n, sizeof made[0]);
	struct slice *ids = arena_array(a, n, sizeof ids[0]);
	size_t nmade = 0;
	bool over = false;

	if (n == 0)
		return true;
	if (!calls || !made || !ids)
		return false;
	for (size_t i = 0; i < n; i++) {
		calls[i].method = "POST";
		calls[i].url = active_campaign_url(ac, a, "/contact/sync");
		calls[i].body = contact_body(ac, &contacts[members[i]], a);
	}
	active_campaign_run(ac, calls, n, a);
	for (size_t i = 0; i < n; i++) {
		settle(&contacts[members[i]], &calls[i], a);
		over = over || esp_http_over(&calls[i]);
		if (calls[i].class != ESP_CLASS_OK || calls[i].status != 201)
			continue;
		ids[nmade] = made_id(&calls[i], a);
		made[nmade] = members[i];
		nmade += ids[nmade].n > 0;
	}
	if (nmade > 0)
		list_made(ac, contacts, made, ids, nmade, a);
	return !over;
}

/* ---- a changed address -------------------------------------------------- */

static struct slice
id_in_search(const struct esp_call *call, struct arena *a, bool *readable)
{
	json_t *v = esp_values_json(call->answer);
	const json_t *rows = json_object_get(v, "contacts");
	struct slice id = esp_values_scalar(
	    json_object_get(json_array_get(rows, 0), "id"), a);

	*readable = json_is_array(rows);
	json_decref(v);
	return id;
}

static const char *
search_url(struct active_campaign *ac, struct slice email, struct arena *a)
{
	return active_campaign_url(
	    ac, a, "/contacts?email=%.*s", SLICE_FMT(esp_urlencode(email, a)));
}

/*
 * The contact of the former address gets the new one, with its data. It stays
 * ESP_OPEN where a sync by the new address is to follow: there is none, or the
 * new address is a contact of its own. False: the account rests.
 */
static bool
move(struct active_campaign *ac, struct esp_contact *c, struct arena *a)
{
	struct esp_call search = { .url =
				       search_url(ac, c->previous_email, a) };
	struct esp_call put = { .method = "PUT" };
	bool readable = false;
	struct slice id;

	active_campaign_run(ac, &search, 1, a);
	if (search.class != ESP_CLASS_OK) {
		settle(c, &search, a);
		return !esp_http_over(&search);
	}
	id = id_in_search(&search, a, &readable);
	if (id.n == 0)
		return true;
	put.url = active_campaign_url(ac, a, "/contacts/%.*s", SLICE_FMT(id));
	put.body = contact_body(ac, c, a);
	active_campaign_run(ac, &put, 1, a);
	if (put.class == ESP_CLASS_PERMANENT)
		return true;
	settle(c, &put, a);
	return !esp_http_over(&put);
}

/* ---- push --------------------------------------------------------------- */

static bool
goes_in_bulk(const struct active_campaign *ac, const struct esp_contact *c)
{
	return c->previous_email.n == 0 &&
	       active_campaign_wish(ac, c) == active_campaign_wish(ac, NULL);
}

static enum rc
push(struct esp *esp, struct esp_contact *contacts, size_t n, struct arena *a,
    struct err *err)
{
	struct active_campaign *ac = (struct active_campaign *)esp;
	size_t *bulk = arena_array(a, n, sizeof bulk[0]);
	size_t *single = arena_array(a, n, sizeof single[0]);
	size_t nbulk = 0, nsingle = 0, left = 0;
	bool on = true;
	enum rc rc;

	esp_contacts_begin(contacts, n);
	rc = active_campaign_fields_ensure(ac, contacts, n, a, err);
	if (rc != RC_OK)
		return rc;
	if (!bulk || !single)
		return err_set(err, RC_RETRY, "no memory");
	for (size_t i = 0; i < n && on; i++) {
		struct esp_contact *c = &contacts[i];

		if (c->outcome == ESP_OPEN && c->previous_email.n > 0)
			on = move(ac, c, a);
		if (c->outcome != ESP_OPEN)
			continue;
		if (goes_in_bulk(ac, c))
			bulk[nbulk++] = i;
		else
			single[nsingle++] = i;
	}
	if (on)
		on =
		    active_campaign_import(ac, contacts, bulk, nbulk, &left, a);
	if (on)
		on = sync_each(ac, contacts, bulk, left, a);
	if (on)
		on = sync_each(ac, contacts, single, nsingle, a);
	return on ? RC_OK
		  : err_set(err, RC_RETRY, "ActiveCampaign: the account rests");
}

/* ---- pull --------------------------------------------------------------- */

static void
take_values(struct active_campaign *ac, struct esp_contact *c,
    const json_t *answer, const struct slice *keys, size_t nkeys,
    struct arena *a)
{
	const json_t *rows = json_object_get(answer, "fieldValues");
	size_t n = json_array_size(rows);

	c->pulled = arena_array(a, n > 0 ? n : 1, sizeof c->pulled[0]);
	for (size_t i = 0; c->pulled && i < n; i++) {
		const json_t *row = json_array_get(rows, i);
		const json_t *value = json_object_get(row, "value");
		const struct esp_fields_row *field =
		    esp_fields_find_id(&ac->memory->fields,
			esp_values_scalar(json_object_get(row, "field"), a));

		for (size_t k = 0; field && k < nkeys; k++) {
			struct esp_field *f = &c->pulled[c->npulled];

			if (!slice_eq_str(keys[k], field->name) || !value ||
			    json_is_null(value))
				continue;
			f->name = keys[k];
			f->value = esp_values_dump(value, a);
			c->npulled += f->value.p != NULL;
			break;
		}
	}
}

static void
read_contact(struct active_campaign *ac, struct esp_contact *c,
    const struct esp_call *call, const struct slice *keys, size_t nkeys,
    struct arena *a)
{
	json_t *v;

	settle(c, call, a);
	if (call->status == 404) {
		c->outcome = ESP_DONE;
		c->strange = true;
		return;
	}
	if (call->class != ESP_CLASS_OK)
		return;
	v = esp_values_json(call->answer);
	if (json_is_object(json_object_get(v, "contact"))) {
		take_values(ac, c, v, keys, nkeys, a);
	} else {
		c->outcome = ESP_RETRY;
		c->message = SLICE_LIT("the answer has no contact");
	}
	json_decref(v);
}

/* What the search says of one contact; its id when it is to be read. */
static struct slice
found_id(struct esp_contact *c, const struct esp_call *call, struct arena *a)
{
	bool readable = false;
	struct slice id;

	settle(c, call, a);
	if (call->class != ESP_CLASS_OK)
		return SLICE_NONE;
	id = id_in_search(call, a, &readable);
	if (!readable) {
		c->outcome = ESP_RETRY;
		c->message = SLICE_LIT("the answer has no list of contacts");
	} else if (id.n == 0) {
		c->strange = true;
	} else {
		c->outcome = ESP_OPEN;
	}
	return id;
}

/* Searches for all; `calls` are then those of the contacts found. */
static size_t
find_ids(struct active_campaign *ac, struct esp_contact *contacts, size_t n,
    struct esp_call *calls, struct arena *a)
{
	size_t asked = 0, found = 0;

	for (size_t i = 0; i < n; i++) {
		if (contacts[i].outcome != ESP_OPEN)
			continue;
		calls[asked].tag = &contacts[i];
		calls[asked++].url = search_url(ac, contacts[i].email, a);
	}
	active_campaign_run(ac, calls, asked, a);
	for (size_t i = 0; i < asked; i++) {
		struct esp_contact *c = calls[i].tag;
		struct slice id = found_id(c, &calls[i], a);

		if (id.n == 0)
			continue;
		calls[found++] = (struct esp_call){
			.url = active_campaign_url(
			    ac, a, "/contacts/%.*s", SLICE_FMT(id)),
			.tag = c,
		};
	}
	return found;
}

static enum rc
pull(struct esp *esp, struct esp_contact *contacts, size_t n,
    const struct slice *keys, size_t nkeys, struct arena *a, struct err *err)
{
	struct active_campaign *ac = (struct active_campaign *)esp;
	struct esp_call *calls = arena_array(a, n, sizeof calls[0]);
	size_t found;
	bool over = false;
	enum rc rc;

	esp_contacts_begin(contacts, n);
	rc = active_campaign_fields_read(ac, a, err);
	if (rc != RC_OK)
		return rc;
	if (!calls)
		return err_set(err, RC_RETRY, "no memory");
	found = find_ids(ac, contacts, n, calls, a);
	active_campaign_run(ac, calls, found, a);
	for (size_t i = 0; i < found; i++)
		read_contact(ac, calls[i].tag, &calls[i], keys, nkeys, a);
	for (size_t i = 0; i < n; i++)
		over = over || contacts[i].outcome == ESP_OPEN;
	return over
		   ? err_set(err, RC_RETRY, "ActiveCampaign: the account rests")
		   : RC_OK;
}

/* ---- the account -------------------------------------------------------- */

static enum rc
test(struct esp *esp, struct arena *a, struct slice *words, struct err *err)
{
	struct active_campaign *ac = (struct active_campaign *)esp;
	struct esp_call calls[2] = {
		{ .url = active_campaign_url(ac, a, "/fields?limit=1") },
		{ .url = active_campaign_url(ac, a, "/lists/%s",
		      ac->account.list ? ac->account.list : "") },
	};
	size_t n = ac->account.list ? 2 : 1;
	struct buf out = BUF_INIT(512);

	active_campaign_run(ac, calls, n, a);
	for (size_t i = 0; i < n; i++) {
		if (calls[i].class == ESP_CLASS_OK)
			continue;
		return active_campaign_failed(
		    &calls[i], a, i == 0 ? "the key" : "the list", err);
	}
	buf_put_str(&out, "the key works");
	if (n == 2)
		buf_printf(&out, ", list %s is there", ac->account.list);
	*words = esp_values_take(&out, a);
	return RC_OK;
}

static enum rc
fields(struct esp *esp, struct arena *a, struct esp_field **out, size_t *n,
    struct err *err)
{
	struct active_campaign *ac = (struct active_campaign *)esp;
	enum rc rc = active_campaign_fields_read(ac, a, err);

	if (rc != RC_OK)
		return rc;
	return esp_fields_list(&ac->memory->fields, true, a, out, n, err);
}

static void
free_active_campaign(struct esp *esp)
{
	struct active_campaign *ac = (struct active_campaign *)esp;

	if (!ac)
		return;
	esp_memory_give(ac->memory);
	esp_http_free(ac->http);
	free(ac->base);
	free(ac->auth);
	free(ac);
}

static const struct esp_ops ops = {
	.name = "active_campaign",
	.limits = {
		.budget = {
			[ESP_BUDGET_CALL] = { .count = 5, .per_s = 1 },
			[ESP_BUDGET_BULK] = { .count = 100, .per_s = 60 },
		},
		.connections = 4,
	},
	.push = push,
	.pull = pull,
	.poll = active_campaign_poll,
	.test = test,
	.fields = fields,
	.free = free_active_campaign,
};

enum rc
esp_active_campaign_new(const struct esp_account *account,
    const struct esp_host *host, struct esp **out, struct err *err)
{
	struct esp_http_opts opts = {
		.host = host, .limits = &ops.limits, .ca_file = account->ca_file
	};
	struct active_campaign *ac;
	enum rc rc;

	*out = NULL;
	if (!account->api || account->api[0] == '\0')
		return err_set(err, RC_REJECT,
		    "api is not set: the URL of the ActiveCampaign account");
	if (!account->key || account->key[0] == '\0')
		return err_set(
		    err, RC_REJECT, "key is not set: ActiveCampaign's API key");
	ac = xcalloc(1, sizeof *ac);
	ac->esp.ops = &ops;
	ac->account = *account;
	ac->memory = esp_memory_take(host->memories, ops.name, account);
	ac->host = *host;
	if (!ac->host.clock)
		ac->host.clock = &clock_system;
	ac->base = esp_values_join(account->api, "/api/3");
	ac->auth = esp_values_join("Api-Token: ", account->key);
	rc = esp_http_new(&opts, &ac->http, err);
	if (rc != RC_OK) {
		free_active_campaign(&ac->esp);
		return rc;
	}
	*out = &ac->esp;
	return RC_OK;
}
