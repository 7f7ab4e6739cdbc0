#include "executors/esp/active_campaign_private.h"

#include <inttypes.h>

#include "formats/utf8.h"

#define BODY_MAX ((size_t)4096)
/* Pages of a hundred: nobody has more fields than ESP_FIELDS_MAX. */
#define PAGES_MAX 50
#define RELATE_TRIES 3

static size_t
take_page(struct active_campaign *ac, const json_t *page, struct arena *a)
{
	const json_t *rows = json_object_get(page, "fields");
	size_t n = json_array_size(rows);

	for (size_t i = 0; i < n; i++) {
		const json_t *row = json_array_get(rows, i);

		esp_fields_put(&ac->memory->fields,
		    esp_values_text(row, "perstag"),
		    esp_values_scalar(json_object_get(row, "id"), a),
		    esp_values_text(row, "type"),
		    esp_values_text(row, "title"));
	}
	return n;
}

enum rc
active_campaign_fields_read(
    struct active_campaign *ac, struct arena *a, struct err *err)
{
	if (esp_fields_is_fresh(&ac->memory->fields, ac->host.clock))
		return RC_OK;
	esp_fields_clear(&ac->memory->fields);
	for (int page = 0; page < PAGES_MAX; page++) {
		struct esp_call call = {
			.url = active_campaign_url(ac, a,
			    "/fields?limit=%d&offset=%d", ACTIVE_CAMPAIGN_PAGE,
			    page * ACTIVE_CAMPAIGN_PAGE),
		};
		json_t *answer;
		size_t n;

		active_campaign_run(ac, &call, 1, a);
		if (call.class != ESP_CLASS_OK)
			return active_campaign_failed(
			    &call, a, "custom fields", err);
		answer = esp_values_json(call.answer);
		if (!json_is_array(json_object_get(answer, "fields"))) {
			json_decref(answer);
			return err_set(err, RC_RETRY,
			    "the answer has no list of custom fields");
		}
		n = take_page(ac, answer, a);
		json_decref(answer);
		if (n < ACTIVE_CAMPAIGN_PAGE)
			break;
	}
	esp_fields_mark(&ac->memory->fields, ac->host.clock);
	return RC_OK;
}

/* A field serves all lists once it is related to list 0. */
static enum rc
relate(struct active_campaign *ac, struct slice id, struct arena *a,
    struct err *err)
{
	struct buf body = BUF_INIT(BODY_MAX);
	struct esp_call call = {
		.method = "POST",
		.url = active_campaign_url(ac, a, "/fieldRels"),
	};

	buf_put_str(&body, "{\"fieldRel\":{");
	esp_values_put(&body, "field", id);
	buf_put_str(&body, ",\"relid\":0}}");
	call.body = esp_values_take(&body, a);
	/* Nobody would relate it later: the field is there from now on. */
	for (int tries = 0; tries < RELATE_TRIES; tries++) {
		active_campaign_run(ac, &call, 1, a);
		if (call.class != ESP_CLASS_TRANSIENT)
			break;
	}
	if (call.class != ESP_CLASS_OK)
		return active_campaign_failed(&call, a, "a custom field", err);
	return RC_OK;
}

/*
 * Without an answer the field may be there, and nobody would relate it later.
 * RC_NONE: it is not.
 */
static enum rc
find_made(struct active_campaign *ac, struct slice tag, struct slice *id,
    struct arena *a, struct err *err)
{
	const struct esp_fields_row *row;
	enum rc rc;

	ac->memory->fields.read = false;
	rc = active_campaign_fields_read(ac, a, err);
	row = rc == RC_OK ? esp_fields_find(&ac->memory->fields, tag) : NULL;
	if (rc != RC_OK)
		return rc;
	if (!row)
		return RC_NONE;
	*id = slice_str(arena_strdup(a, slice_str(row->id)));
	return id->n > 0 ? RC_OK : RC_NONE;
}

static struct slice
new_id(const struct esp_call *call, struct arena *a)
{
	json_t *answer = esp_values_json(call->answer);
	struct slice id = esp_values_scalar(
	    json_object_get(json_object_get(answer, "field"), "id"), a);

	json_decref(answer);
	return id;
}

static enum rc
create(void *arg, struct slice label, struct slice tag, struct arena *a,
    struct err *err)
{
	struct active_campaign *ac = arg;
	const char *kind = esp_values_is_date_label(label) ? "date" : "text";
	struct buf body = BUF_INIT(BODY_MAX);
	struct esp_call call = {
		.method = "POST",
		.url = active_campaign_url(ac, a, "/fields"),
		.once = true,
	};
	struct slice id = SLICE_NONE;
	enum rc rc = RC_OK;

	buf_put_str(&body, "{\"field\":{");
	esp_values_put(&body, "type", slice_str(kind));
	esp_values_put(&body, "title", label);
	esp_values_put(&body, "perstag", tag);
	buf_put_str(&body, ",\"visible\":1}}");
	call.body = esp_values_take(&body, a);
	active_campaign_run(ac, &call, 1, a);
	/* A plan's limit, mostly. */
	if (call.class == ESP_CLASS_PERMANENT)
		return RC_NONE;
	if (call.class == ESP_CLASS_OK)
		id = new_id(&call, a);
	else if (call.class == ESP_CLASS_TRANSIENT)
		rc = find_made(ac, tag, &id, a, err);
	if (id.n == 0)
		return rc == RC_RETRY || rc == RC_REJECT
			   ? rc
			   : err_set(err, RC_RETRY,
				 "ActiveCampaign: a custom field was not made: "
				 "%.*s",
				 SLICE_FMT(call.message));
	rc = relate(ac, id, a, err);
	if (rc == RC_OK)
		esp_fields_put(
		    &ac->memory->fields, tag, id, slice_str(kind), label);
	return rc;
}

static enum rc
read_fields(void *arg, struct arena *a, struct err *err)
{
	return active_campaign_fields_read(arg, a, err);
}

static struct slice
tag_of(void *arg, struct slice label, char *room)
{
	const struct active_campaign *ac = arg;

	return ac->account.create_fields ? esp_values_slug(label, room)
					 : SLICE_NONE;
}

enum rc
active_campaign_fields_ensure(struct active_campaign *ac,
    const struct esp_contact *contacts, size_t n, struct arena *a,
    struct err *err)
{
	const struct esp_fields_maker maker = { .fields = &ac->memory->fields,
		.arg = ac,
		.name = tag_of,
		.create = create,
		.read = read_fields };

	return esp_fields_ensure(&maker, contacts, n, a, err);
}

/* As the field's type wants it. An empty value clears, as the plugin's own
 * calls do; fields that the payload does not have are not touched. */
static void
put_value(
    const struct esp_fields_row *field, struct slice value, struct buf *out)
{
	struct slice day = esp_values_date(value);
	struct slice kind = slice_str(field->kind);

	if (slice_eq_str(kind, "date")) {
		utf8_put_json(out, day);
	} else if (slice_eq_str(kind, "datetime") && day.n < value.n &&
		   value.n == DATETIME_LEN) {
		buf_put_char(out, '"');
		buf_put_slice(out, day);
		buf_put_char(out, 'T');
		buf_put_slice(out, slice_from(value, day.n + 1));
		buf_put_str(out, "+00:00\"");
	} else {
		utf8_put_json(out, value);
	}
}

void
active_campaign_put_fields(struct active_campaign *ac,
    const struct esp_contact *c, bool bulk, struct buf *out)
{
	bool first = true;

	buf_put_char(out, '[');
	for (size_t i = 0; i < c->nfields; i++) {
		char room[ESP_VALUES_SLUG_MAX];
		const struct esp_fields_row *field =
		    esp_fields_find(&ac->memory->fields,
			esp_values_slug(c->fields[i].name, room));
		uint64_t id = 0;

		if (!field || !slice_u64(slice_str(field->id), &id))
			continue;
		if (!first)
			buf_put_char(out, ',');
		first = false;
		if (bulk)
			buf_printf(out, "{\"id\":%" PRIu64 ",\"value\":", id);
		else
			buf_printf(
			    out, "{\"field\":\"%" PRIu64 "\",\"value\":", id);
		put_value(field, c->fields[i].value, out);
		buf_put_char(out, '}');
	}
	buf_put_char(out, ']');
}
