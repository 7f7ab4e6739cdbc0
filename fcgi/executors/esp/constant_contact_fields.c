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
create(void *arg, struct slice label, struct slice name, struct arena *a,
    struct err *err)
{
	struct constant_contact *cc = arg;
	struct buf body = BUF_INIT((size_t)4096);
	struct esp_call call = {
		.method = "POST",
		.url = esp_printf(a, "%s/contact_custom_fields", cc->base),
		.once = true,
	};
	json_t *answer;

	buf_put_char(&body, '{');
	(void)name; /* it is the label */
	esp_values_put(&body, "label", label);
	esp_values_put(&body, "type", SLICE_LIT("string"));
	buf_put_char(&body, '}');
	call.body = esp_values_take(&body, a);
	constant_contact_run(cc, &call, 1, a);
	if (call.class == ESP_CLASS_PERMANENT)
		return RC_NONE;
	if (call.class != ESP_CLASS_OK)
		return constant_contact_failed(&call, a, "a custom field", err);
	answer = esp_values_json(call.answer);
	take_field(cc, answer);
	json_decref(answer);
	if (!esp_fields_find(&cc->memory->fields, label))
		return err_set(err, RC_RETRY,
		    "Constant Contact: a new custom field has no label");
	return RC_OK;
}

static enum rc
read_fields(void *arg, struct arena *a, struct err *err)
{
	return constant_contact_fields_read(arg, a, err);
}

static struct slice
name_of(void *arg, struct slice label, char *room)
{
	const struct constant_contact *cc = arg;

	(void)room;
	return cc->account.create_fields &&
		       label.n <= CONSTANT_CONTACT_LABEL_MAX &&
		       cc->memory->fields.n < CONSTANT_CONTACT_FIELDS_MAX
		   ? label
		   : SLICE_NONE;
}

enum rc
constant_contact_fields_ensure(struct constant_contact *cc,
    const struct esp_contact *contacts, size_t n, struct arena *a,
    struct err *err)
{
	const struct esp_fields_maker maker = { .fields = &cc->memory->fields,
		.arg = cc,
		.name = name_of,
		.create = create,
		.read = read_fields };

	return esp_fields_ensure(&maker, contacts, n, a, err);
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
