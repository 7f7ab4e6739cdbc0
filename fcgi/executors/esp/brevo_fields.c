#include "executors/esp/brevo_private.h"

#include "formats/utf8.h"

enum rc
brevo_fields_read(struct brevo *b, struct arena *a, struct err *err)
{
	struct esp_call call = {
		.url = esp_printf(a, "%s/contacts/attributes", b->base),
	};
	json_t *answer;
	const json_t *rows;

	if (esp_fields_is_fresh(&b->memory->fields, b->host.clock))
		return RC_OK;
	brevo_run(b, &call, 1, a);
	if (call.class != ESP_CLASS_OK)
		return brevo_failed(&call, a, "attributes", err);
	answer = esp_values_json(call.answer);
	rows = json_object_get(answer, "attributes");
	if (!json_is_array(rows)) {
		json_decref(answer);
		return err_set(
		    err, RC_RETRY, "Brevo: the answer has no attributes");
	}
	esp_fields_clear(&b->memory->fields);
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		struct slice name = esp_values_text(row, "name");

		/* Others are computed, or of transactional mail. */
		if (slice_eq_str(esp_values_text(row, "category"), "normal"))
			esp_fields_put(&b->memory->fields, name, name,
			    esp_values_text(row, "type"), SLICE_NONE);
	}
	json_decref(answer);
	esp_fields_mark(&b->memory->fields, b->host.clock);
	return RC_OK;
}

static enum rc
create(void *arg, struct slice label, struct slice name, struct arena *a,
    struct err *err)
{
	struct brevo *b = arg;
	struct slice kind = esp_values_is_date_label(label) ? SLICE_LIT("date")
							    : SLICE_LIT("text");
	struct esp_call call = {
		.method = "POST",
		.url = esp_printf(a, "%s/contacts/attributes/normal/%.*s",
		    b->base, SLICE_FMT(name)),
		.body = slice_str(
		    esp_printf(a, "{\"type\":\"%.*s\"}", SLICE_FMT(kind))),
		.once = true,
	};

	brevo_run(b, &call, 1, a);
	if (call.class == ESP_CLASS_PERMANENT)
		return RC_NONE;
	if (call.class != ESP_CLASS_OK)
		return brevo_failed(&call, a, "an attribute", err);
	esp_fields_put(&b->memory->fields, name, name, kind, SLICE_NONE);
	return RC_OK;
}

static enum rc
read_fields(void *arg, struct arena *a, struct err *err)
{
	return brevo_fields_read(arg, a, err);
}

static struct slice
name_of(void *arg, struct slice label, char *room)
{
	const struct brevo *b = arg;

	return b->account.create_fields ? esp_values_slug(label, room)
					: SLICE_NONE;
}

enum rc
brevo_fields_ensure(struct brevo *b, const struct esp_contact *contacts,
    size_t n, struct arena *a, struct err *err)
{
	const struct esp_fields_maker maker = { .fields = &b->memory->fields,
		.arg = b,
		.name = name_of,
		.create = create,
		.read = read_fields };

	return esp_fields_ensure(&maker, contacts, n, a, err);
}

/* ---- values ------------------------------------------------------------- */

/* Is it a number as JSON writes it, but for an exponent? */
static bool
is_number(struct slice s)
{
	size_t i = s.n > 0 && s.p[0] == '-';
	size_t digits = 0, dots = 0;

	if (i + 1 < s.n && s.p[i] == '0' && s.p[i + 1] != '.')
		return false;
	for (; i < s.n; i++) {
		if (s.p[i] >= '0' && s.p[i] <= '9')
			digits++;
		else if (s.p[i] == '.' && digits > 0 && i + 1 < s.n)
			dots++;
		else
			return false;
	}
	return digits > 0 && dots <= 1;
}

static bool
is_true(struct slice s)
{
	return slice_eq_str(s, "1") || slice_eq_nocase(s, SLICE_LIT("true")) ||
	       slice_eq_nocase(s, SLICE_LIT("yes"));
}

/* A value of another type than the attribute's is ignored by Brevo. */
static void
put_value(const struct esp_fields_row *row, struct slice value, struct buf *out)
{
	struct slice kind = slice_str(row->kind);

	if (value.n == 0)
		buf_put_str(out, "\"\"");
	else if (slice_eq_str(kind, "date"))
		utf8_put_json(out, esp_values_date(value));
	else if (slice_eq_str(kind, "float") && is_number(value))
		buf_put_slice(out, value);
	else if (slice_eq_str(kind, "boolean"))
		buf_put_str(out, is_true(value) ? "true" : "false");
	else
		utf8_put_json(out, value);
}

static void
put_one(struct brevo *b, struct slice name, struct slice value, bool empty,
    struct buf *out)
{
	const struct esp_fields_row *row =
	    esp_fields_find(&b->memory->fields, name);

	if (!row || row->id[0] == '\0' || (value.n == 0 && !empty))
		return;
	if (out->p[out->n - 1] != '{')
		buf_put_char(out, ',');
	utf8_put_json(out, name);
	buf_put_char(out, ':');
	put_value(row, value, out);
}

void
brevo_put_attributes(struct brevo *b, const struct esp_contact *c, bool empty,
    struct slice new_email, struct buf *out)
{
	struct slice first, last;

	esp_values_split_name(c->name, &first, &last);
	buf_put_char(out, '{');
	if (out->failed)
		return;
	if (new_email.n > 0)
		esp_values_put(out, "EMAIL", new_email);
	put_one(b, SLICE_LIT("FIRSTNAME"), first, false, out);
	put_one(b, SLICE_LIT("LASTNAME"), last, false, out);
	for (size_t i = 0; i < c->nfields; i++) {
		char room[ESP_VALUES_SLUG_MAX];

		put_one(b, esp_values_slug(c->fields[i].name, room),
		    c->fields[i].value, empty, out);
	}
	buf_put_char(out, '}');
}
