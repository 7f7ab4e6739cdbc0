#include "executors/esp/constant_contact_private.h"

#include "executors/esp/esp_bulk.h"

#define PAGE_ARENA ((size_t)32 << 20)
/* Changes are read from a bit before the last time: clocks differ. */
#define SLACK_S 300

/* ---- whom the account has ----------------------------------------------- */

static enum esp_directory_entry
entry_of(const struct constant_contact *cc, const json_t *row)
{
	const json_t *lists = json_object_get(row, "list_memberships");
	const json_t *email = json_object_get(row, "email_address");

	if (esp_values_text(row, "deleted_at").n > 0 ||
	    slice_eq_str(
		esp_values_text(email, "permission_to_send"), "unsubscribed"))
		return ESP_DIRECTORY_KNOWN;
	for (size_t i = 0; i < json_array_size(lists); i++) {
		const char *id = json_string_value(json_array_get(lists, i));

		if (id && slice_eq_str(slice_str(id), cc->account.list))
			return ESP_DIRECTORY_ON_LIST;
	}
	return ESP_DIRECTORY_KNOWN;
}

static void
take_page(struct constant_contact *cc, const json_t *page)
{
	const json_t *rows = json_object_get(page, "contacts");

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		struct slice email = esp_values_text(
		    json_object_get(row, "email_address"), "address");

		if (email.n > 0)
			esp_directory_put(
			    &cc->memory->directory, email, entry_of(cc, row));
	}
}

/* `from` as esp_directory_begin() says. */
static const char *
first_url(const struct constant_contact *cc, const char *from, struct arena *a)
{
	char since[DATETIME_LEN + 1];
	const char *url = esp_printf(a,
	    "%s/contacts?status=all&include=list_memberships&limit=%d",
	    cc->base, CONSTANT_CONTACT_PAGE);

	if (!from)
		return url;
	if (from[0] != '\0')
		return esp_printf(a, "%s", from);
	datetime_render(cc->memory->directory.since - SLACK_S, since);
	since[10] = 'T';
	return esp_printf(a, "%s&updated_after=%sZ", url, since);
}

/* *url is the next page's then, which lies in `urls`; NULL: it was the last. */
static enum rc
read_page(struct constant_contact *cc, const char **url, struct arena *urls)
{
	struct arena a = ARENA_INIT(PAGE_ARENA);
	struct esp_call call = { .url = *url };
	json_t *page = NULL;
	enum rc rc = RC_OK;

	constant_contact_run(cc, &call, 1, &a);
	if (call.class == ESP_CLASS_OK)
		page = esp_values_json(call.answer);
	else if (esp_http_over(&call))
		rc = RC_NONE;
	/* A cursor that is not taken any more would never be. */
	if (call.class == ESP_CLASS_PERMANENT)
		esp_directory_page(&cc->memory->directory, NULL);
	/* An answer of another shape is no empty account: everybody would
	 * count as new, and be put on the list. */
	if (rc == RC_OK && !json_is_array(json_object_get(page, "contacts")))
		rc = RC_RETRY;
	if (rc == RC_OK) {
		take_page(cc, page);
		*url = constant_contact_next(cc, page, urls);
	}
	json_decref(page);
	arena_clear(&a);
	return rc;
}

/* RC_NONE: the account rests. */
static enum rc
read_account(struct constant_contact *cc)
{
	struct esp_directory *d = &cc->memory->directory;
	int64_t now = clock_unix(cc->host.clock);
	struct arena urls = ARENA_INIT((size_t)16 << 20);
	const char *url;
	enum rc rc = RC_OK;

	/* More than we hold: until the program starts anew. */
	if (d->full)
		return RC_RETRY;
	url = first_url(cc, esp_directory_begin(d, now), &urls);
	while (rc == RC_OK && url && !d->full) {
		rc = read_page(cc, &url, &urls);
		if (rc == RC_OK)
			esp_directory_page(d, url);
	}
	if (rc == RC_OK) {
		esp_directory_end(d, now);
		if (d->full)
			rc = RC_RETRY;
	}
	arena_clear(&urls);
	return rc;
}

size_t
constant_contact_sort(struct constant_contact *cc,
    const struct esp_contact *contacts, size_t *members, size_t n, bool *on)
{
	size_t bulk = 0;
	enum rc rc;

	if (n < CONSTANT_CONTACT_BULK_FROM)
		return 0;
	rc = read_account(cc);
	*on = rc != RC_NONE;
	if (rc != RC_OK)
		return 0;
	for (size_t i = 0; i < n; i++) {
		const struct esp_contact *c = &contacts[members[i]];
		enum esp_directory_entry entry =
		    esp_directory_find(&cc->memory->directory, c->email);
		size_t member = members[i];

		if (entry == ESP_DIRECTORY_KNOWN ||
		    (entry == ESP_DIRECTORY_UNKNOWN &&
			constant_contact_wish(cc, c) !=
			    CONSTANT_CONTACT_SUBSCRIBED))
			continue;
		members[i] = members[bulk];
		members[bulk++] = member;
	}
	return bulk;
}

/* ---- handing over ------------------------------------------------------- */

static void
run_one(void *arg, struct esp_call *call, struct arena *a)
{
	constant_contact_run(arg, call, 1, a);
}

static void
put_row(void *arg, const struct esp_contact *c, struct buf *out)
{
	struct constant_contact *cc = arg;
	struct slice first, last;
	size_t used = 0;

	esp_values_split_name(c->name, &first, &last);
	first.n = slice_utf8_cut(first, CONSTANT_CONTACT_NAME_MAX);
	last.n = slice_utf8_cut(last, CONSTANT_CONTACT_NAME_MAX);
	buf_put_char(out, '{');
	esp_values_put(out, "email", c->email);
	if (first.n > 0)
		esp_values_put(out, "first_name", first);
	if (last.n > 0)
		esp_values_put(out, "last_name", last);
	for (size_t i = 0; i < c->nfields; i++) {
		struct slice value;
		const struct esp_fields_row *row =
		    constant_contact_field(cc, &c->fields[i], &used, &value);
		char key[3 + 255 + 1];

		if (!row)
			continue;
		(void)snprintf(key, sizeof key, "cf:%s", row->key);
		esp_values_put(out, key, value);
	}
	buf_put_char(out, '}');
}

static struct slice
token_of(void *arg, const struct esp_call *call, struct arena *a)
{
	json_t *v = esp_values_json(call->answer);
	struct slice token =
	    esp_values_scalar(json_object_get(v, "activity_id"), a);

	(void)arg;
	json_decref(v);
	return token;
}

static struct slice
words_of(void *arg, const struct esp_call *call, struct arena *a)
{
	(void)arg;
	return constant_contact_words(call, a);
}

bool
constant_contact_import(struct constant_contact *cc,
    struct esp_contact *contacts, size_t *members, size_t n, size_t *left,
    struct arena *a)
{
	struct esp_bulk bulk = {
		.host = &cc->host,
		.contacts = contacts,
		.arg = cc,
		.run = run_one,
		.least = CONSTANT_CONTACT_BULK_FROM,
		.most = CONSTANT_CONTACT_BULK_MOST,
		.max_bytes = CONSTANT_CONTACT_BULK_BYTES,
		.after_s = CONSTANT_CONTACT_POLL_S,
		.url = esp_printf(
		    a, "%s/activities/contacts_json_import", cc->base),
		.head = "{\"import_data\":[",
		.tail =
		    esp_printf(a, "],\"list_ids\":[\"%s\"]}", cc->account.list),
		.row = put_row,
		.token = token_of,
		.words = words_of,
	};

	return esp_bulk_run(&bulk, members, n, left, a);
}

/* ---- asking ------------------------------------------------------------- */

/* Nobody is named: all are accepted when there was no error at all, else each
 * goes alone. Who cannot be added to a list is no error: unsubscribed. */
static enum esp_outcome
outcome_of(const json_t *activity)
{
	struct slice state = esp_values_text(activity, "state");
	const json_t *status = json_object_get(activity, "status");

	if (slice_eq_str(state, "completed"))
		return json_is_object(status) &&
			       json_integer_value(
				   json_object_get(status, "error_count")) == 0
			   ? ESP_DONE
			   : ESP_RETRY;
	if (slice_eq_str(state, "cancelled") || slice_eq_str(state, "failed") ||
	    slice_eq_str(state, "timed_out"))
		return ESP_RETRY;
	return ESP_PENDING;
}

enum rc
constant_contact_poll(struct esp *esp, struct slice token,
    struct esp_contact *members, size_t n, int64_t *again_s, struct arena *a,
    struct err *err)
{
	struct constant_contact *cc = (struct constant_contact *)esp;
	struct esp_call call = {
		.url = esp_printf(a, "%s/activities/%.*s", cc->base,
		    SLICE_FMT(esp_urlencode(token, a))),
	};
	enum esp_outcome outcome;
	json_t *answer;

	*again_s = CONSTANT_CONTACT_POLL_S;
	for (size_t i = 0; i < n; i++)
		members[i].outcome = ESP_PENDING;
	constant_contact_run(cc, &call, 1, a);
	if (call.class == ESP_CLASS_PERMANENT)
		return err_set(err, RC_NONE, "the import is not known");
	if (call.class != ESP_CLASS_OK)
		return constant_contact_failed(&call, a, "an import", err);
	answer = esp_values_json(call.answer);
	outcome = outcome_of(answer);
	json_decref(answer);
	for (size_t i = 0; i < n; i++) {
		members[i].outcome = outcome;
		members[i].message = SLICE_NONE;
		members[i].retry_after_s = -1;
	}
	return RC_OK;
}
