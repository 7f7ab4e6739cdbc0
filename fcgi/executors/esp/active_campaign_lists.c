#include "executors/esp/active_campaign_private.h"

#include <inttypes.h>
#include <stdlib.h>

#include "formats/utf8.h"

#define BODY_MAX ((size_t)64 * 1024)
/* Ids in one token, which has 512 bytes. */
#define LATER_MOST 30

/* ---- one by one --------------------------------------------------------- */

/* Has the contact any relation to the list, whatever its status? */
static bool
is_related(
    const struct active_campaign *ac, struct slice answer, struct arena *a)
{
	json_t *v = esp_values_json(answer);
	const json_t *rows = json_object_get(v, "contactLists");
	bool found = false;

	for (size_t i = 0; i < json_array_size(rows); i++)
		if (slice_eq_str(
			esp_values_scalar(
			    json_object_get(json_array_get(rows, i), "list"),
			    a),
			ac->account.list))
			found = true;
	json_decref(v);
	return found;
}

/* Of the ids those that are to be related; false: not all could be asked. */
static bool
look_up(struct active_campaign *ac, const struct slice *ids, size_t n,
    bool *todo, struct arena *a)
{
	struct esp_call *calls = arena_array(a, n, sizeof calls[0]);
	bool whole = calls != NULL;

	if (!calls)
		return false;
	for (size_t i = 0; i < n; i++)
		calls[i].url = active_campaign_url(
		    ac, a, "/contacts/%.*s", SLICE_FMT(ids[i]));
	active_campaign_run(ac, calls, n, a);
	for (size_t i = 0; i < n; i++) {
		if (calls[i].class == ESP_CLASS_OK)
			todo[i] = !is_related(ac, calls[i].answer, a);
		else if (calls[i].class != ESP_CLASS_PERMANENT)
			whole = false;
	}
	return whole;
}

static struct slice
list_body(const struct active_campaign *ac, struct slice id,
    enum active_campaign_wish wish, struct arena *a)
{
	struct buf body = BUF_INIT(BODY_MAX);

	buf_put_str(&body, "{\"contactList\":{");
	esp_values_put(&body, "list", slice_str(ac->account.list));
	esp_values_put(&body, "contact", id);
	buf_printf(&body, ",\"status\":%d}}", (int)wish);
	return esp_values_take(&body, a);
}

bool
active_campaign_list_new(struct active_campaign *ac, const struct slice *ids,
    size_t n, enum active_campaign_wish wish, bool look, struct arena *a)
{
	struct esp_call *calls;
	bool *todo, whole = true;
	size_t ncalls = 0;

	if (n == 0 || wish == ACTIVE_CAMPAIGN_NO_LIST)
		return true;
	calls = arena_array(a, n, sizeof calls[0]);
	todo = arena_array(a, n, sizeof todo[0]);
	if (!calls || !todo)
		return false;
	for (size_t i = 0; i < n; i++)
		todo[i] = !look;
	if (look)
		whole = look_up(ac, ids, n, todo, a);
	for (size_t i = 0; i < n; i++) {
		if (!todo[i])
			continue;
		calls[ncalls].method = "POST";
		calls[ncalls].once = true;
		calls[ncalls].url = active_campaign_url(ac, a, "/contactLists");
		calls[ncalls++].body = list_body(ac, ids[i], wish, a);
	}
	if (ncalls > 0)
		active_campaign_run(ac, calls, ncalls, a);
	/* A refusal stays one: a list that is gone takes nobody. */
	for (size_t i = 0; i < ncalls; i++)
		if (calls[i].class != ESP_CLASS_OK &&
		    calls[i].class != ESP_CLASS_PERMANENT)
			whole = false;
	return whole;
}

void
active_campaign_list_later(struct active_campaign *ac,
    struct esp_contact *contacts, const size_t *members,
    const struct slice *ids, size_t n, enum active_campaign_wish wish,
    struct arena *a)
{
	for (size_t from = 0; from < n; from += LATER_MOST) {
		size_t many = n - from < LATER_MOST ? n - from : LATER_MOST;
		struct buf token = BUF_INIT(512);
		struct err err = ERR_INIT;
		struct slice words =
		    SLICE_LIT("the contact is there, but not on the list");
		enum esp_outcome outcome = ESP_RETRY;

		buf_printf(&token, "%s%d:", ACTIVE_CAMPAIGN_LISTS, (int)wish);
		for (size_t i = 0; i < many; i++) {
			if (i > 0)
				buf_put_char(&token, ',');
			buf_put_slice(&token, ids[from + i]);
		}
		if (ac->host.on_batch && !token.failed &&
		    ac->host.on_batch(ac->host.arg, esp_values_take(&token, a),
			members + from, many, ACTIVE_CAMPAIGN_POLL_S,
			&err) == RC_OK) {
			outcome = ESP_PENDING;
			words = SLICE_NONE;
		}
		buf_clear(&token);
		for (size_t i = from; i < from + many; i++) {
			contacts[members[i]].outcome = outcome;
			contacts[members[i]].message = words;
		}
	}
}

/* ---- those an import made ----------------------------------------------- */

static int
by_number(const void *x, const void *y)
{
	const uint64_t *a = x;
	const uint64_t *b = y;

	return (*a > *b) - (*a < *b);
}

static bool
is_member(const struct esp_contact *members, size_t n, struct slice email)
{
	for (size_t i = 0; i < n; i++)
		if (slice_eq_nocase(members[i].email, email))
			return true;
	return false;
}

/* What finding addresses by ids needs. */
struct finding {
	const uint64_t *ids; /* ascending */
	size_t nids;
	const struct esp_contact *members;
	size_t nmembers;
	struct slice *found; /* room for nids */
	size_t nfound;
};

/* Take the rows of one page; the greatest id in it, or 0. */
static uint64_t
take_rows(struct finding *f, const json_t *page, struct arena *a)
{
	const json_t *rows = json_object_get(page, "contacts");
	uint64_t last = 0;

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		struct slice email =
		    esp_values_scalar(json_object_get(row, "email"), a);
		uint64_t id = 0;

		if (!slice_u64(
			esp_values_scalar(json_object_get(row, "id"), a), &id))
			continue;
		last = id > last ? id : last;
		if (f->nfound < f->nids &&
		    bsearch(&id, f->ids, f->nids, sizeof id, by_number) &&
		    is_member(f->members, f->nmembers, email))
			f->found[f->nfound++] = email;
	}
	return last;
}

/* Ids of one import stand close together: few pages hold them all. */
static bool
find_addresses(struct active_campaign *ac, struct finding *f, struct arena *a)
{
	size_t i = 0;

	while (i < f->nids) {
		struct esp_call call = {
			.url = active_campaign_url(ac, a,
			    "/contacts?limit=%d&orders%%5Bid%%5D=ASC"
			    "&id_greater=%" PRIu64,
			    ACTIVE_CAMPAIGN_PAGE, f->ids[i] - 1),
		};
		json_t *page;
		uint64_t last;

		active_campaign_run(ac, &call, 1, a);
		page = call.class == ESP_CLASS_OK ? esp_values_json(call.answer)
						  : NULL;
		if (!page)
			return false;
		last = take_rows(f, page, a);
		json_decref(page);
		if (last < f->ids[i])
			last = f->ids[i];
		while (i < f->nids && f->ids[i] <= last)
			i++;
	}
	return true;
}

static bool
import_list(struct active_campaign *ac, const struct slice *emails, size_t n,
    enum active_campaign_wish wish, struct arena *a)
{
	struct buf body = BUF_INIT((size_t)ACTIVE_CAMPAIGN_BULK_BYTES);
	struct esp_call call = {
		.method = "POST",
		.url = active_campaign_url(ac, a, "/import/bulk_import"),
		.bulk = true,
	};

	buf_put_str(&body, "{\"contacts\":[");
	for (size_t i = 0; i < n; i++) {
		buf_put_str(&body, i > 0 ? ",{" : "{");
		esp_values_put(&body, "email", emails[i]);
		buf_printf(&body, ",\"%s\":[{\"listid\":%s}]}",
		    wish == ACTIVE_CAMPAIGN_SUBSCRIBED ? "subscribe"
						       : "unsubscribe",
		    ac->account.list);
	}
	buf_put_str(&body, "],\"exclude_automations\":true}");
	call.body = esp_values_take(&body, a);
	active_campaign_run(ac, &call, 1, a);
	return call.class == ESP_CLASS_OK || call.class == ESP_CLASS_PERMANENT;
}

bool
active_campaign_list_imported(struct active_campaign *ac,
    const struct slice *ids, size_t nids, const struct esp_contact *members,
    size_t n, struct arena *a)
{
	enum active_campaign_wish wish = active_campaign_wish(ac, NULL);
	uint64_t *numbers;
	struct finding f = { .members = members, .nmembers = n };

	if (nids == 0 || wish == ACTIVE_CAMPAIGN_NO_LIST)
		return true;
	if (nids < ACTIVE_CAMPAIGN_BULK_FROM)
		return active_campaign_list_new(ac, ids, nids, wish, true, a);
	numbers = arena_array(a, nids, sizeof numbers[0]);
	f.found = arena_array(a, nids, sizeof f.found[0]);
	if (!numbers || !f.found)
		return false;
	for (size_t i = 0; i < nids; i++)
		if (slice_u64(ids[i], &numbers[f.nids]) && numbers[f.nids] > 0)
			f.nids++;
	qsort(numbers, f.nids, sizeof numbers[0], by_number);
	f.ids = numbers;
	if (!find_addresses(ac, &f, a))
		return false;
	return f.nfound == 0 || import_list(ac, f.found, f.nfound, wish, a);
}
