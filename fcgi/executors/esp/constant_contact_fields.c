#include "executors/esp/constant_contact_private.h"

/* A hundred fields are all an account has. */
#define PAGES_MAX 5

static void
take_field(struct constant_contact *cc, const json_t *row)
{
	esp_fields_put(&cc->memory->fields, esp_values_text(row, "label"),
	    esp_values_text(row, "custom_field_id"),
	    esp_values_text(row, "type"), esp_values_text(row, "name"));
}

enum rc
constant_contact_fields_read(
    struct constant_contact *cc, struct arena *a, struct err *err)
{
	const char *url =
	    esp_printf(a, "%s/contact_custom_fields?limit=100", cc->base);

	if (esp_fields_is_fresh(&cc->memory->fields, cc->host.clock))
		return RC_OK;
	esp_fields_clear(&cc->memory->fields);
	for (int page = 0; page < PAGES_MAX && url; page++) {
		struct esp_call call = { .url = url };
		const json_t *rows;
		json_t *answer;

		constant_contact_run(cc, &call, 1, a);
		if (call.class != ESP_CLASS_OK)
			return constant_contact_failed(
			    &call, a, "custom fields", err);
		answer = esp_values_json(call.answer);
		rows = json_object_get(answer, "custom_fields");
		if (!json_is_array(rows)) {
			json_decref(answer);
			return err_set(err, RC_RETRY,
			    "Constant Contact: the answer has no fields");
		}
		for (size_t i = 0; i < json_array_size(rows); i++)
			take_field(cc, json_array_get(rows, i));
		url = constant_contact_next(cc, answer, a);
		json_decref(answer);
	}
	esp_fields_mark(&cc->memory->fields, cc->host.clock);
	return RC_OK;
}

/* As the plugin does: text, whatever the label. */
static enum rc
create(struct constant_contact *cc, struct slice label, struct arena *a,
    struct err *err)
{
	struct buf body = BUF_INIT((size_t)4096);
	struct esp_call call = {
		.method = "POST",
		.url = esp_printf(a, "%s/contact_custom_fields", cc->base),
	};
	json_t *answer;

	buf_put_char(&body, '{');
	esp_values_put(&body, "label", label);
	esp_values_put(&body, "type", SLICE_LIT("string"));
	buf_put_char(&body, '}');
	call.body = esp_values_take(&body, a);
	constant_contact_run(cc, &call, 1, a);
	/* A conflict is settled by reading them anew, next time. */
	if (call.status == 409)
		cc->memory->fields.read = false;
	if (call.class == ESP_CLASS_PERMANENT) {
		esp_fields_put(&cc->memory->fields, label, SLICE_NONE,
		    SLICE_NONE, SLICE_NONE);
		return RC_OK;
	}
	if (call.class != ESP_CLASS_OK)
		return constant_contact_failed(&call, a, "a custom field", err);
	answer = esp_values_json(call.answer);
	take_field(cc, answer);
	json_decref(answer);
	if (!esp_fields_find(&cc->memory->fields, label)) {
		cc->memory->fields.read = false;
		return err_set(err, RC_RETRY,
		    "Constant Contact: a new custom field has no label");
	}
	return RC_OK;
}

static bool
can_be_made(const struct constant_contact *cc, struct slice label)
{
	return cc->account.create_fields && label.n > 0 &&
	       label.n <= CONSTANT_CONTACT_LABEL_MAX &&
	       cc->memory->fields.n < CONSTANT_CONTACT_FIELDS_MAX &&
	       !esp_fields_find(&cc->memory->fields, label);
}

enum rc
constant_contact_fields_ensure(struct constant_contact *cc,
    const struct esp_contact *contacts, size_t n, struct arena *a,
    struct err *err)
{
	enum rc rc = constant_contact_fields_read(cc, a, err);

	for (size_t i = 0; rc == RC_OK && i < n; i++)
		for (size_t k = 0; rc == RC_OK && k < contacts[i].nfields; k++)
			if (can_be_made(cc, contacts[i].fields[k].name))
				rc = create(
				    cc, contacts[i].fields[k].name, a, err);
	return rc;
}

const struct esp_fields_row *
constant_contact_field(const struct constant_contact *cc,
    const struct esp_field *f, size_t *used, struct slice *value)
{
	const struct esp_fields_row *row =
	    esp_fields_find(&cc->memory->fields, f->name);
	bool date = row && slice_eq_str(slice_str(row->kind), "date");

	if (!row || row->id[0] == '\0' ||
	    *used >= CONSTANT_CONTACT_CONTACT_FIELDS ||
	    (date && f->value.n == 0))
		return NULL;
	++*used;
	*value = date ? esp_values_date(f->value) : f->value;
	value->n = slice_utf8_cut(*value, CONSTANT_CONTACT_VALUE_MAX);
	/* An empty value is refused: a dash, as the plugin sends. */
	if (value->n == 0)
		*value = SLICE_LIT("-");
	return row;
}
