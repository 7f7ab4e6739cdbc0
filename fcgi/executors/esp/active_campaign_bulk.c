#include "executors/esp/active_campaign_private.h"

#include "executors/esp/esp_bulk.h"
#include "formats/utf8.h"

/* ---- handing over ------------------------------------------------------- */

static void
run_one(void *arg, struct esp_call *call, struct arena *a)
{
	active_campaign_run(arg, call, 1, a);
}

static void
put_row(void *arg, const struct esp_contact *c, struct buf *out)
{
	struct slice first, last;

	esp_values_split_name(c->name, &first, &last);
	buf_put_char(out, '{');
	esp_values_put(out, "email", c->email);
	if (first.n > 0)
		esp_values_put(out, "first_name", first);
	if (last.n > 0)
		esp_values_put(out, "last_name", last);
	buf_put_str(out, ",\"fields\":");
	active_campaign_put_fields(arg, c, true, out);
	buf_put_char(out, '}');
}

/* Success is 1 or true, in either case of its first letter. */
static struct slice
token_of(void *arg, const struct esp_call *call, struct arena *a)
{
	json_t *v = esp_values_json(call->answer);
	const json_t *ok = json_object_get(v, "Success");
	struct slice token = SLICE_NONE;

	(void)arg;
	if (!ok)
		ok = json_object_get(v, "success");
	if (json_is_true(ok) || json_integer_value(ok) == 1)
		token = esp_values_scalar(json_object_get(v, "batchId"), a);
	json_decref(v);
	return token;
}

static size_t
drop_named(void *arg, const struct esp_call *call, struct esp_contact *contacts,
    const size_t *members, size_t n, struct arena *a)
{
	json_t *v = esp_values_json(call->answer);
	const json_t *reasons = json_object_get(v, "failureReasons");
	size_t named = 0;

	(void)arg;
	for (size_t i = 0; i < json_array_size(reasons); i++) {
		const json_t *row = json_array_get(reasons, i);
		const json_t *place = json_object_get(row, "contact");
		struct esp_contact *c;
		uint64_t at = 0;

		if (!slice_u64(esp_values_scalar(place, a), &at) || at >= n)
			continue;
		c = &contacts[members[at]];
		named += c->outcome == ESP_OPEN;
		c->outcome = ESP_REFUSED;
		c->message =
		    esp_words(esp_values_text(row, "failureReason"), a);
	}
	json_decref(v);
	return named;
}

static struct slice
words_of(void *arg, const struct esp_call *call, struct arena *a)
{
	(void)arg;
	return active_campaign_words(call, a);
}

bool
active_campaign_import(struct active_campaign *ac, struct esp_contact *contacts,
    size_t *members, size_t n, size_t *left, struct arena *a)
{
	struct esp_bulk bulk = {
		.host = &ac->host,
		.contacts = contacts,
		.arg = ac,
		.run = run_one,
		.least = ACTIVE_CAMPAIGN_BULK_FROM,
		.most = ACTIVE_CAMPAIGN_BULK_MOST,
		.max_bytes = ACTIVE_CAMPAIGN_BULK_BYTES,
		.after_s = ACTIVE_CAMPAIGN_POLL_S,
		.url = active_campaign_url(ac, a, "/import/bulk_import"),
		.head = "{\"contacts\":[",
		.tail = "],\"exclude_automations\":true}",
		.row = put_row,
		.token = token_of,
		.refused = drop_named,
		.words = words_of,
	};

	return esp_bulk_run(&bulk, members, n, left, a);
}

/* ---- asking ------------------------------------------------------------- */

static void
set_all(struct esp_contact *members, size_t n, enum esp_outcome outcome)
{
	for (size_t i = 0; i < n; i++) {
		members[i].outcome = outcome;
		members[i].message = SLICE_NONE;
		members[i].retry_after_s = -1;
	}
}

/* The import says which addresses failed and not why: a call for the contact
 * alone gets the words. */
static void
take_failures(const json_t *answer, struct esp_contact *members, size_t n,
    struct arena *a)
{
	const json_t *rows = json_object_get(answer, "failure");

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		struct slice email = json_is_object(row)
					 ? esp_values_text(row, "email")
					 : esp_values_scalar(row, a);

		for (size_t k = 0; k < n; k++)
			if (slice_eq_nocase(members[k].email, email))
				members[k].outcome = ESP_RETRY;
	}
}

static enum rc
completed(struct active_campaign *ac, const json_t *answer,
    struct esp_contact *members, size_t n, int64_t *again_s, struct arena *a,
    struct err *err)
{
	const json_t *made = json_object_get(answer, "success");
	size_t nmade = json_array_size(made);
	struct slice *ids = NULL;

	if (nmade > 0) {
		ids = arena_array(a, nmade, sizeof ids[0]);
		if (!ids)
			return err_set(err, RC_RETRY, "no memory");
	}
	for (size_t i = 0; i < nmade; i++)
		ids[i] = esp_values_scalar(json_array_get(made, i), a);
	if (!active_campaign_list_imported(ac, ids, nmade, members, n, a)) {
		*again_s = 60;
		return RC_OK;
	}
	set_all(members, n, ESP_DONE);
	take_failures(answer, members, n, a);
	return RC_OK;
}

static enum rc
poll_import(struct active_campaign *ac, struct slice token,
    struct esp_contact *members, size_t n, int64_t *again_s, struct arena *a,
    struct err *err)
{
	struct esp_call call = {
		.url = active_campaign_url(ac, a, "/import/info?batchId=%.*s",
		    SLICE_FMT(esp_urlencode(token, a))),
	};
	json_t *answer;
	struct slice status;
	enum rc rc = RC_OK;

	active_campaign_run(ac, &call, 1, a);
	if (call.class == ESP_CLASS_PERMANENT)
		return err_set(err, RC_NONE, "the import is not known");
	if (call.class != ESP_CLASS_OK)
		return active_campaign_failed(&call, a, "an import", err);
	answer = esp_values_json(call.answer);
	status = esp_values_text(answer, "status");
	if (slice_eq_str(status, "completed"))
		rc = completed(ac, answer, members, n, again_s, a, err);
	else if (slice_eq_str(status, "failed") ||
		 slice_eq_str(status, "interrupted"))
		set_all(members, n, ESP_RETRY);
	json_decref(answer);
	return rc;
}

/* "1:ID,ID,...": the ids in the members' order: all or none, since members
 * that are settled are not given again. */
static enum rc
poll_lists(struct active_campaign *ac, struct slice text,
    struct esp_contact *members, size_t n, int64_t *again_s, struct arena *a,
    struct err *err)
{
	struct slice *ids = arena_array(a, n + 1, sizeof ids[0]);
	size_t nids = 0;
	enum active_campaign_wish wish = slice_starts(text, SLICE_LIT("2"))
					     ? ACTIVE_CAMPAIGN_UNSUBSCRIBED
					     : ACTIVE_CAMPAIGN_SUBSCRIBED;

	if (!ids)
		return err_set(err, RC_RETRY, "no memory");
	text = slice_from(text, 2);
	while (text.n > 0 && nids <= n) {
		size_t comma = slice_find(text, ',');

		ids[nids++] = slice_mem(text.p, comma);
		text = slice_from(text, comma + 1);
	}
	if (active_campaign_list_new(ac, ids, nids, wish, true, a))
		set_all(members, n, ESP_DONE);
	else
		*again_s = 60;
	return RC_OK;
}

enum rc
active_campaign_poll(struct esp *esp, struct slice token,
    struct esp_contact *members, size_t n, int64_t *again_s, struct arena *a,
    struct err *err)
{
	struct active_campaign *ac = (struct active_campaign *)esp;
	struct slice lists = SLICE_LIT(ACTIVE_CAMPAIGN_LISTS);

	set_all(members, n, ESP_PENDING);
	*again_s = ACTIVE_CAMPAIGN_POLL_S;
	if (slice_starts(token, lists))
		return poll_lists(ac, slice_from(token, lists.n), members, n,
		    again_s, a, err);
	return poll_import(ac, token, members, n, again_s, a, err);
}
