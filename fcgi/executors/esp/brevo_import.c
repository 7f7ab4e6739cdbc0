#include "executors/esp/brevo_private.h"

#include <inttypes.h>

#include "executors/esp/esp_bulk.h"

/* Pages overlap, so that a deletion meanwhile hides nobody. */
#define OVERLAP 10
#define PAGE_ARENA ((size_t)48 << 20)
/* Changes are read from a bit before the last time: clocks differ. */
#define SLACK_S 300

/* ---- whom the account has ----------------------------------------------- */

static size_t
take_page(struct brevo *b, const json_t *page)
{
	const json_t *rows = json_object_get(page, "contacts");
	size_t n = json_array_size(rows);

	for (size_t i = 0; i < n; i++) {
		const json_t *row = json_array_get(rows, i);
		struct slice email = esp_values_text(row, "email");

		if (email.n > 0)
			esp_directory_put(
			    &b->memory->directory, email, ESP_DIRECTORY_KNOWN);
	}
	return n;
}

static const char *
page_url(const struct brevo *b, bool changes, size_t offset, struct arena *a)
{
	char since[DATETIME_LEN + 1];

	if (!changes)
		return esp_printf(a, "%s/contacts?limit=%d&offset=%zu&sort=asc",
		    b->base, BREVO_PAGE, offset);
	datetime_render(b->memory->directory.since - SLACK_S, since);
	since[10] = 'T';
	return esp_printf(a,
	    "%s/contacts?limit=%d&offset=%zu&sort=asc&modifiedSince=%s.000Z",
	    b->base, BREVO_PAGE, offset, since);
}

/* How many contacts the page had. */
static enum rc
read_page(struct brevo *b, bool changes, size_t offset, size_t *n)
{
	struct arena a = ARENA_INIT(PAGE_ARENA);
	struct esp_call call = { .url = page_url(b, changes, offset, &a) };
	json_t *page = NULL;
	enum rc rc = RC_OK;

	brevo_run(b, &call, 1, &a);
	if (call.class == ESP_CLASS_OK)
		page = esp_values_json(call.answer);
	else if (esp_http_over(&call))
		rc = RC_NONE;
	/* An answer of another shape is no empty account: everybody would
	 * count as new, and be put on the list. */
	if (rc == RC_OK && !json_is_array(json_object_get(page, "contacts")))
		rc = RC_RETRY;
	*n = rc == RC_OK ? take_page(b, page) : 0;
	json_decref(page);
	arena_clear(&a);
	return rc;
}

/* RC_NONE: the account rests. */
static enum rc
read_account(struct brevo *b)
{
	struct esp_directory *d = &b->memory->directory;
	int64_t now = clock_unix(b->host.clock);
	const char *from;
	uint64_t offset = 0;
	size_t n = BREVO_PAGE;
	bool changes;

	/* More than we hold: until the program starts anew. */
	if (d->full)
		return RC_RETRY;
	from = esp_directory_begin(d, now);
	changes = from && from[0] == '\0';
	if (from && !changes && !slice_u64(slice_str(from), &offset))
		offset = 0;
	while (n >= BREVO_PAGE && !d->full) {
		char next[32];
		enum rc rc = read_page(b, changes, (size_t)offset, &n);

		if (rc != RC_OK)
			return rc;
		offset += BREVO_PAGE - OVERLAP;
		(void)snprintf(next, sizeof next, "%" PRIu64, offset);
		esp_directory_page(d, next);
	}
	esp_directory_end(d, now);
	return d->full ? RC_RETRY : RC_OK;
}

static void
swap(size_t *members, size_t x, size_t y)
{
	size_t member = members[x];

	members[x] = members[y];
	members[y] = member;
}

size_t
brevo_sort(struct brevo *b, const struct esp_contact *contacts, size_t *members,
    size_t n, size_t *rest, bool *on)
{
	size_t new = 0, end;
	enum rc rc;

	*rest = 0;
	if (n < BREVO_BULK_FROM)
		return 0;
	rc = read_account(b);
	*on = rc != RC_NONE;
	if (rc != RC_OK)
		return 0;
	end = n;
	for (size_t i = 0; i < end;) {
		const struct esp_contact *c = &contacts[members[i]];

		if (esp_directory_find(&b->memory->directory, c->email) !=
		    ESP_DIRECTORY_UNKNOWN)
			i++;
		else if (brevo_wish(b, c) == BREVO_SUBSCRIBED)
			swap(members, new ++, i++);
		else
			swap(members, i, --end);
	}
	*rest = end - new;
	return new;
}

/* ---- handing over ------------------------------------------------------- */

static void
run_one(void *arg, struct esp_call *call, struct arena *a)
{
	brevo_run(arg, call, 1, a);
}

static void
put_row(void *arg, const struct esp_contact *c, struct buf *out)
{
	buf_put_char(out, '{');
	esp_values_put(out, "email", c->email);
	buf_put_str(out, ",\"attributes\":");
	brevo_put_attributes(arg, c, false, SLICE_NONE, out);
	buf_put_char(out, '}');
}

static struct slice
token_of(void *arg, const struct esp_call *call, struct arena *a)
{
	json_t *v = esp_values_json(call->answer);
	struct slice token =
	    esp_values_scalar(json_object_get(v, "processId"), a);

	(void)arg;
	json_decref(v);
	return token;
}

static struct slice
words_of(void *arg, const struct esp_call *call, struct arena *a)
{
	(void)arg;
	return brevo_words(call, a);
}

bool
brevo_import(struct brevo *b, struct esp_contact *contacts, size_t *members,
    size_t n, size_t *left, struct arena *a)
{
	struct esp_bulk bulk = {
		.host = &b->host,
		.contacts = contacts,
		.arg = b,
		.run = run_one,
		.least = BREVO_BULK_FROM,
		.most = BREVO_BULK_MOST,
		.max_bytes = BREVO_BULK_BYTES,
		.after_s = BREVO_POLL_S,
		.url = esp_printf(a, "%s/contacts/import", b->base),
		.head = "{\"jsonBody\":[",
		.tail = esp_printf(a,
		    "],\"listIds\":[%s],\"updateExistingContacts\":true,"
		    "\"emptyContactsAttributes\":false,"
		    "\"disableNotification\":true}",
		    b->account.list),
		.row = put_row,
		.token = token_of,
		.words = words_of,
	};

	return esp_bulk_run(&bulk, members, n, left, a);
}

/* ---- many known ones ---------------------------------------------------- */

static void
put_update(void *arg, const struct esp_contact *c, struct buf *out)
{
	buf_put_char(out, '{');
	esp_values_put(out, "email", c->email);
	buf_put_str(out, ",\"attributes\":");
	brevo_put_attributes(arg, c, true, SLICE_NONE, out);
	buf_put_char(out, '}');
}

/* An account without this call is not asked for each hundred. */
static size_t
no_updates(void *arg, const struct esp_call *call, struct esp_contact *contacts,
    const size_t *members, size_t n, struct arena *a)
{
	struct brevo *b = arg;

	(void)contacts;
	(void)members;
	(void)n;
	(void)a;
	b->no_updates = call->status == 404 || call->status == 405;
	return b->no_updates ? ESP_BULK_NEVER : 0;
}

bool
brevo_update(struct brevo *b, struct esp_contact *contacts, size_t *members,
    size_t n, size_t *left, struct arena *a)
{
	struct esp_bulk bulk = {
		.host = &b->host,
		.contacts = contacts,
		.arg = b,
		.run = run_one,
		.least = 2,
		.most = BREVO_UPDATE_MOST,
		.max_bytes = BREVO_BULK_BYTES,
		.url = esp_printf(a, "%s/contacts/batch", b->base),
		.head = "{\"contacts\":[",
		.tail = "]}",
		.row = put_update,
		.refused = no_updates,
		.words = words_of,
	};

	*left = n;
	return b->no_updates || esp_bulk_run(&bulk, members, n, left, a);
}

/* ---- asking ------------------------------------------------------------- */

enum rc
brevo_poll(struct esp *esp, struct slice token, struct esp_contact *members,
    size_t n, int64_t *again_s, struct arena *a, struct err *err)
{
	struct brevo *b = (struct brevo *)esp;
	struct esp_call call = {
		.url = esp_printf(a, "%s/processes/%.*s", b->base,
		    SLICE_FMT(esp_urlencode(token, a))),
	};
	enum esp_outcome outcome = ESP_PENDING;
	struct slice status;
	json_t *answer;

	*again_s = BREVO_POLL_S;
	for (size_t i = 0; i < n; i++)
		members[i].outcome = ESP_PENDING;
	brevo_run(b, &call, 1, a);
	if (call.class == ESP_CLASS_PERMANENT)
		return err_set(err, RC_NONE, "the import is not known");
	if (call.class != ESP_CLASS_OK)
		return brevo_failed(&call, a, "an import", err);
	answer = esp_values_json(call.answer);
	status = esp_values_text(answer, "status");
	if (slice_eq_str(status, "completed"))
		outcome = ESP_DONE;
	else if (slice_eq_str(status, "failed") ||
		 slice_eq_str(status, "cancelled"))
		outcome = ESP_RETRY;
	json_decref(answer);
	for (size_t i = 0; i < n; i++) {
		members[i].outcome = outcome;
		members[i].message = SLICE_NONE;
		members[i].retry_after_s = -1;
	}
	return RC_OK;
}
