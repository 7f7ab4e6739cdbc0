#include "executors/esp/constant_contact_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

/*
 * Constant Contact, API v3.
 *
 * Tokens are shared with PHP, which renews them too: constant_contact_token.c.
 *
 * Few contacts: GET, then PUT for a known one, where properties that are left
 * out become null: the names, company, birthday and so on that were read are
 * sent again, and of custom fields the whole list, read and ours. Lists, tags,
 * phone numbers and addresses are left out, which leaves them as they are.
 * permission_to_send is never sent but as "unsubscribed" where it was read as
 * that; update_source is Account, which may not opt anybody in. POST for new
 * ones. sign_up_form, which sets consent, is never used. A contact that was
 * deleted is not brought back: ESP_BARRED.
 *
 * Five or more: contacts_json_import, which changes of known contacts only
 * the properties sent, but puts all on its lists and reports no names. So the
 * account's contacts are read first (all once, then what changed; 500 a
 * request), and an import holds only contacts who are on the account's list
 * already and those the account does not know; everybody else (unsubscribed,
 * taken off the list, deleted) goes alone. Where the account cannot be read,
 * all do.
 *
 * status_if_new: "subscribed" and none make a new contact with permission
 * implicit on the account's list; "transactional" and "pending" on no list;
 * "unsubscribed" with that permission. A contact's own status_if_new counts
 * only when it is "unsubscribed": the plugin adds Mailchimp's word to every
 * payload.
 *
 * With an `api` of its own the token endpoint is api/oauth2/default/v1/token.
 */

#define API "https://api.cc.email"
#define TOKEN_URL "https://authz.constantcontact.com/oauth2/default/v1/token"
#define TOKEN_PATH "/oauth2/default/v1/token"
/* Top-level properties that a PUT without them would clear. */
static const char *const kept[] = { "job_title", "company_name",
	"birthday_month", "birthday_day", "anniversary" };

enum constant_contact_wish
constant_contact_wish(
    const struct constant_contact *cc, const struct esp_contact *c)
{
	struct slice word = slice_str(cc->account.status_if_new);

	if ((c && slice_eq_str(c->status_if_new, "unsubscribed")) ||
	    slice_eq_str(word, "unsubscribed"))
		return CONSTANT_CONTACT_UNSUBSCRIBED;
	if (slice_eq_str(word, "transactional") ||
	    slice_eq_str(word, "pending"))
		return CONSTANT_CONTACT_NO_LIST;
	return CONSTANT_CONTACT_SUBSCRIBED;
}

static void
settle(struct esp_contact *c, const struct esp_call *call, struct arena *a)
{
	esp_http_settle(c, call,
	    call->class == ESP_CLASS_PERMANENT ? constant_contact_words(call, a)
					       : call->message,
	    a);
}

/* ---- bodies ------------------------------------------------------------- */

static json_t *
text_json(struct slice s)
{
	json_t *v = json_stringn(s.p ? s.p : "", s.n);

	/* Not UTF-8: WordPress stores none such. */
	return v ? v : json_string("");
}

static void
put_names(json_t *out, const json_t *known, const struct esp_contact *c)
{
	struct slice first, last;
	struct slice old_first = esp_values_text(known, "first_name");
	struct slice old_last = esp_values_text(known, "last_name");

	esp_values_split_name(c->name, &first, &last);
	if (first.n == 0) {
		first = old_first;
		last = old_last;
	} else if (last.n == 0) {
		last = old_last;
	}
	first.n = slice_utf8_cut(first, CONSTANT_CONTACT_NAME_MAX);
	last.n = slice_utf8_cut(last, CONSTANT_CONTACT_NAME_MAX);
	if (first.n > 0)
		json_object_set_new(out, "first_name", text_json(first));
	if (last.n > 0)
		json_object_set_new(out, "last_name", text_json(last));
}

static bool
has_field(const json_t *list, const char *id)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (slice_eq_str(esp_values_text(json_array_get(list, i),
				     "custom_field_id"),
			id))
			return true;
	return false;
}

/* Ours, and of those it has the others: the list replaces the whole. */
static json_t *
custom_fields(const struct constant_contact *cc, const json_t *known,
    const struct esp_contact *c)
{
	const json_t *had = json_object_get(known, "custom_fields");
	json_t *out = json_array();
	size_t used = 0;

	for (size_t i = 0; i < c->nfields; i++) {
		struct slice value;
		const struct esp_fields_row *row =
		    constant_contact_field(cc, &c->fields[i], &used, &value);

		if (row && !has_field(out, row->id))
			json_array_append_new(
			    out, json_pack("{s:s,s:o}", "custom_field_id",
				     row->id, "value", text_json(value)));
	}
	for (size_t i = 0; i < json_array_size(had); i++) {
		const json_t *row = json_array_get(had, i);
		const char *id =
		    json_string_value(json_object_get(row, "custom_field_id"));

		if (!id || has_field(out, id))
			continue;
		json_array_append_new(
		    out, json_pack("{s:s,s:O?}", "custom_field_id", id, "value",
			     json_object_get(row, "value")));
	}
	return out;
}

static struct slice
update_body(const struct constant_contact *cc, const json_t *known,
    const struct esp_contact *c, struct arena *a)
{
	json_t *out = json_object();
	json_t *email = json_pack("{s:o}", "address", text_json(c->email));
	struct slice body;

	if (slice_eq_str(
		esp_values_text(json_object_get(known, "email_address"),
		    "permission_to_send"),
		"unsubscribed"))
		json_object_set_new(
		    email, "permission_to_send", json_string("unsubscribed"));
	json_object_set_new(out, "email_address", email);
	put_names(out, known, c);
	for (size_t i = 0; i < NELEMS(kept); i++) {
		json_t *value = json_object_get(known, kept[i]);

		if (value && !json_is_null(value))
			json_object_set(out, kept[i], value);
	}
	json_object_set_new(out, "custom_fields", custom_fields(cc, known, c));
	json_object_set_new(out, "update_source", json_string("Account"));
	body = esp_values_dump(out, a);
	json_decref(out);
	return body;
}

static struct slice
create_body(const struct constant_contact *cc, const struct esp_contact *c,
    struct arena *a)
{
	enum constant_contact_wish wish = constant_contact_wish(cc, c);
	json_t *out = json_pack("{s:{s:o,s:s},s:s}", "email_address", "address",
	    text_json(c->email), "permission_to_send",
	    wish == CONSTANT_CONTACT_UNSUBSCRIBED ? "unsubscribed" : "implicit",
	    "create_source", "Contact");
	struct slice body;

	put_names(out, NULL, c);
	if (wish == CONSTANT_CONTACT_SUBSCRIBED)
		json_object_set_new(out, "list_memberships",
		    json_pack("[s]", cc->account.list));
	json_object_set_new(out, "custom_fields", custom_fields(cc, NULL, c));
	body = esp_values_dump(out, a);
	json_decref(out);
	return body;
}

/* ---- one contact -------------------------------------------------------- */

static struct esp_call
search_call(const struct constant_contact *cc, struct esp_contact *c,
    struct slice email, struct arena *a)
{
	return (struct esp_call){
		.url = esp_printf(a,
		    "%s/contacts?email=%.*s&status=all&include=custom_fields,"
		    "list_memberships&limit=1",
		    cc->base, SLICE_FMT(esp_urlencode(email, a))),
		.tag = c,
	};
}

/* The write that follows a search; false: none, the outcome is set. */
static bool
write_call(
    const struct constant_contact *cc, struct esp_call *call, struct arena *a)
{
	struct esp_contact *c = call->tag;
	json_t *v = esp_values_json(call->answer);
	const json_t *rows = json_object_get(v, "contacts");
	const json_t *known = json_array_get(rows, 0);
	struct slice id = esp_values_text(known, "contact_id");
	struct esp_call next = { .method = "PUT", .tag = c };
	bool follows = true;

	if (!json_is_array(rows) || (known && id.n == 0)) {
		c->outcome = ESP_RETRY;
		c->message = SLICE_LIT("the answer has no list of contacts");
		follows = false;
	} else if (esp_values_text(known, "deleted_at").n > 0) {
		c->outcome = ESP_BARRED;
		c->message = SLICE_LIT("the contact was deleted there");
		follows = false;
	} else if (known) {
		next.url = esp_printf(a, "%s/contacts/%.*s", cc->base,
		    SLICE_FMT(esp_urlencode(id, a)));
		next.body = update_body(cc, known, c, a);
		*call = next;
	} else if (c->previous_email.n > 0) {
		/* Nobody has the former address: by the new one. */
		c->previous_email = SLICE_NONE;
		*call = search_call(cc, c, c->email, a);
	} else {
		next.method = "POST";
		next.url = esp_printf(a, "%s/contacts", cc->base);
		next.body = create_body(cc, c, a);
		*call = next;
	}
	json_decref(v);
	return follows;
}

/* What the answer to a write means; true: `call` is the next one. */
static bool
take_write(
    const struct constant_contact *cc, struct esp_call *call, struct arena *a)
{
	struct esp_contact *c = call->tag;

	/* The new address is a contact of its own. */
	if (call->status == 409 && c->previous_email.n > 0) {
		c->previous_email = SLICE_NONE;
		*call = search_call(cc, c, c->email, a);
		return true;
	}
	settle(c, call, a);
	/* Somebody else works on it, has just made it, or deleted it. */
	if (call->status == 409 || call->status == 404)
		c->outcome = ESP_RETRY;
	return false;
}

static bool
take_answer(
    const struct constant_contact *cc, struct esp_call *call, struct arena *a)
{
	if (call->method)
		return take_write(cc, call, a);
	if (call->class == ESP_CLASS_OK)
		return write_call(cc, call, a);
	settle(call->tag, call, a);
	return false;
}

/* False: the account rests. */
static bool
write_each(struct constant_contact *cc, struct esp_contact *contacts,
    const size_t *members, size_t n, struct arena *a)
{
	struct esp_call *calls = arena_array(a, n, sizeof calls[0]);
	size_t left = n;

	if (n == 0)
		return true;
	if (!calls)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct esp_contact *c = &contacts[members[i]];

		calls[i] = search_call(cc, c,
		    c->previous_email.n > 0 ? c->previous_email : c->email, a);
	}
	/* At most: search, write, search by the new address, write. */
	for (int round = 0; round < 4 && left > 0; round++) {
		size_t next = 0;

		constant_contact_run(cc, calls, left, a);
		for (size_t i = 0; i < left; i++)
			if (take_answer(cc, &calls[i], a))
				calls[next++] = calls[i];
		left = next;
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
	struct constant_contact *cc = (struct constant_contact *)esp;
	size_t *members = arena_array(a, n, sizeof members[0]);
	size_t *moved = arena_array(a, n, sizeof moved[0]);
	size_t nmembers = 0, nmoved = 0, nbulk, left = 0;
	bool on = true;
	enum rc rc;

	esp_contacts_begin(contacts, n);
	rc = constant_contact_fields_ensure(cc, contacts, n, a, err);
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
	nbulk = constant_contact_sort(cc, contacts, members, nmembers, &on);
	if (on && nbulk > 0)
		on = constant_contact_import(
		    cc, contacts, members, nbulk, &left, a);
	if (on)
		on = write_each(cc, contacts, members, left, a);
	if (on)
		on = write_each(
		    cc, contacts, members + nbulk, nmembers - nbulk, a);
	if (on)
		on = write_each(cc, contacts, moved, nmoved, a);
	return on ? RC_OK
		  : err_set(
			err, RC_RETRY, "Constant Contact: the account rests");
}

/* ---- pull --------------------------------------------------------------- */

static void
take_values(const struct constant_contact *cc, struct esp_contact *c,
    const json_t *known, const struct slice *keys, size_t nkeys,
    struct arena *a)
{
	const json_t *rows = json_object_get(known, "custom_fields");

	c->pulled = arena_array(a, nkeys + 1, sizeof c->pulled[0]);
	for (size_t k = 0; c->pulled && k < nkeys; k++) {
		const struct esp_fields_row *field =
		    esp_fields_find(&cc->memory->fields, keys[k]);

		for (size_t i = 0; field && i < json_array_size(rows); i++) {
			const json_t *row = json_array_get(rows, i);
			const json_t *value = json_object_get(row, "value");
			struct esp_field *f = &c->pulled[c->npulled];

			if (!slice_eq_str(
				esp_values_text(row, "custom_field_id"),
				field->id) ||
			    !value || json_is_null(value))
				continue;
			f->name = keys[k];
			f->value = esp_values_dump(value, a);
			c->npulled += f->value.p != NULL;
			break;
		}
	}
}

static void
read_contact(const struct constant_contact *cc, const struct esp_call *call,
    const struct slice *keys, size_t nkeys, struct arena *a)
{
	struct esp_contact *c = call->tag;
	json_t *v;
	const json_t *rows, *known;

	settle(c, call, a);
	if (call->class != ESP_CLASS_OK)
		return;
	v = esp_values_json(call->answer);
	rows = json_object_get(v, "contacts");
	known = json_array_get(rows, 0);
	if (!json_is_array(rows)) {
		c->outcome = ESP_RETRY;
		c->message = SLICE_LIT("the answer has no list of contacts");
	} else if (!known || esp_values_text(known, "deleted_at").n > 0) {
		c->strange = true;
	} else {
		take_values(cc, c, known, keys, nkeys, a);
	}
	json_decref(v);
}

static enum rc
pull(struct esp *esp, struct esp_contact *contacts, size_t n,
    const struct slice *keys, size_t nkeys, struct arena *a, struct err *err)
{
	struct constant_contact *cc = (struct constant_contact *)esp;
	struct esp_call *calls = arena_array(a, n, sizeof calls[0]);
	size_t asked = 0;
	bool over = false;
	enum rc rc;

	esp_contacts_begin(contacts, n);
	rc = constant_contact_fields_read(cc, a, err);
	if (rc != RC_OK)
		return rc;
	if (!calls)
		return err_set(err, RC_RETRY, "no memory");
	for (size_t i = 0; i < n; i++)
		if (contacts[i].outcome == ESP_OPEN)
			calls[asked++] =
			    search_call(cc, &contacts[i], contacts[i].email, a);
	constant_contact_run(cc, calls, asked, a);
	for (size_t i = 0; i < asked; i++) {
		read_contact(cc, &calls[i], keys, nkeys, a);
		over = over || esp_http_over(&calls[i]);
	}
	return over ? err_set(
			  err, RC_RETRY, "Constant Contact: the account rests")
		    : RC_OK;
}

/* ---- the account -------------------------------------------------------- */

static enum rc
test(struct esp *esp, struct arena *a, struct slice *words, struct err *err)
{
	struct constant_contact *cc = (struct constant_contact *)esp;
	struct esp_call call = {
		.url = esp_printf(a, "%s/contact_lists/%.*s", cc->base,
		    SLICE_FMT(esp_urlencode(slice_str(cc->account.list), a))),
	};

	constant_contact_run(cc, &call, 1, a);
	if (call.class != ESP_CLASS_OK)
		return constant_contact_failed(&call, a, "the list", err);
	*words = slice_str(esp_printf(
	    a, "the tokens work, list %s is there", cc->account.list));
	return RC_OK;
}

static enum rc
fields(struct esp *esp, struct arena *a, struct esp_field **out, size_t *n,
    struct err *err)
{
	struct constant_contact *cc = (struct constant_contact *)esp;
	enum rc rc = constant_contact_fields_read(cc, a, err);

	if (rc != RC_OK)
		return rc;
	return esp_fields_list(&cc->memory->fields, false, a, out, n, err);
}

static void
free_constant_contact(struct esp *esp)
{
	struct constant_contact *cc = (struct constant_contact *)esp;

	if (!cc)
		return;
	esp_memory_give(cc->memory);
	esp_http_free(cc->http);
	free(cc->origin);
	free(cc->base);
	free(cc->token_url);
	free(cc->client);
	free(cc->access);
	free(cc->refresh);
	free(cc->bearer);
	free(cc);
}

static const struct esp_ops ops = {
	.name = "constant_contact",
	.limits = {
		.budget = {
			[ESP_BUDGET_CALL] = { .count = 4, .per_s = 1 },
			[ESP_BUDGET_DAILY] = { .count = 10000,
			    .per_s = 86400 },
		},
		.connections = 4,
	},
	.push = push,
	.pull = pull,
	.poll = constant_contact_poll,
	.test = test,
	.fields = fields,
	.free = free_constant_contact,
};

/* As it stands in the body of an import. */
static bool
is_list_id(const char *list)
{
	return list && list[0] != '\0' &&
	       strspn(list, "0123456789abcdefABCDEF-") == strlen(list);
}

static const char *
missing(const struct esp_account *account)
{
	if (!account->key || account->key[0] == '\0')
		return "key is not set: the API key (client id)";
	if (!account->secret || account->secret[0] == '\0')
		return "secret is not set: the client secret";
	if (!is_list_id(account->list))
		return "list is not set: the id of the contact list";
	if (!account->access_token && !account->refresh_token)
		return "refresh_token is not set";
	return NULL;
}

enum rc
esp_constant_contact_new(const struct esp_account *account,
    const struct esp_host *host, struct esp **out, struct err *err)
{
	struct esp_http_opts opts = {
		.host = host, .limits = &ops.limits, .ca_file = account->ca_file
	};
	const char *why = missing(account);
	struct constant_contact *cc;
	enum rc rc;

	*out = NULL;
	if (why)
		return err_set(err, RC_REJECT, "Constant Contact: %s", why);
	cc = xcalloc(1, sizeof(struct constant_contact));
	cc->esp.ops = &ops;
	cc->account = *account;
	cc->memory = esp_memory_take(host->memories, ops.name, account);
	cc->host = *host;
	if (!cc->host.clock)
		cc->host.clock = &clock_system;
	cc->origin = esp_values_join(account->api ? account->api : API, "");
	cc->base = esp_values_join(cc->origin, "/v3");
	cc->token_url = account->api ? esp_values_join(account->api, TOKEN_PATH)
				     : xstrdup(TOKEN_URL);
	cc->client = esp_basic_auth(account->key, account->secret);
	constant_contact_token_set(
	    cc, account->access_token, account->refresh_token);
	rc = esp_http_new(&opts, &cc->http, err);
	if (rc != RC_OK) {
		free_constant_contact(&cc->esp);
		return rc;
	}
	*out = &cc->esp;
	return RC_OK;
}
