#include "executors/esp/mailchimp_private.h"

#include <inttypes.h>

#include "base/log.h"
#include "formats/utf8.h"

#define BODY_MAX ((size_t)4096)

/* Of two fields with one name the plugin takes the lower merge_id. */
static const json_t *
lowest_from(const json_t *rows, json_int_t above)
{
	const json_t *lowest = NULL;
	json_int_t best = 0;

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		json_int_t id =
		    json_integer_value(json_object_get(row, "merge_id"));

		if (id > above && (!lowest || id < best)) {
			lowest = row;
			best = id;
		}
	}
	return lowest;
}

static void
take_field(struct mailchimp *m, const json_t *row)
{
	esp_fields_put(&m->fields, esp_values_text(row, "name"),
	    esp_values_text(row, "tag"), esp_values_text(row, "type"),
	    SLICE_LIT(""));
}

enum rc
mailchimp_fields_read(struct mailchimp *m, struct arena *a, struct err *err)
{
	struct esp_call call;
	const json_t *rows, *row;
	json_t *answer;
	json_int_t id = INT64_MIN;

	if (esp_fields_is_fresh(&m->fields, m->host.clock))
		return RC_OK;
	call = mailchimp_call(m, "GET",
	    esp_printf(a,
		"%s/lists/%s/merge-fields?count=1000&fields="
		"merge_fields.merge_id,merge_fields.tag,merge_fields.name,"
		"merge_fields.type",
		m->base, m->list));
	call.timeout_ms = 60000;
	esp_http_one(m->http, &call, a);
	if (call.class != ESP_CLASS_OK)
		return mailchimp_failed(m, &call, a, "merge fields", err);
	answer = esp_values_json(call.answer);
	rows = json_object_get(answer, "merge_fields");
	if (!json_is_array(rows)) {
		json_decref(answer);
		return err_set(
		    err, RC_RETRY, "the answer has no list of merge fields");
	}
	esp_fields_clear(&m->fields);
	while ((row = lowest_from(rows, id)) != NULL) {
		id = json_integer_value(json_object_get(row, "merge_id"));
		take_field(m, row);
	}
	esp_fields_mark(&m->fields, m->host.clock);
	json_decref(answer);
	return RC_OK;
}

/* ---- making those that are missing ------------------------------------ */

/* A refusal is for this one field: an empty tag is remembered, so that nobody
 * asks again before the fields are read anew. */
static void
leave_out(struct mailchimp *m, struct slice name, struct slice why)
{
	esp_fields_put(
	    &m->fields, name, SLICE_LIT(""), SLICE_LIT(""), SLICE_LIT(""));
	log_event(LOG_WARN, "contacts.field",
	    LOG_S("provider", m->esp.ops->name), LOG_SLICE("field", name),
	    LOG_SLICE("error", why));
}

static enum rc
create_field(struct mailchimp *m, struct slice name, bool number,
    struct arena *a, struct err *err)
{
	struct esp_call call = mailchimp_call(m, "POST",
	    esp_printf(a, "%s/lists/%s/merge-fields", m->base, m->list));
	struct mailchimp_verdict v;
	struct buf body = BUF_INIT(BODY_MAX);
	json_t *answer;

	buf_put_char(&body, '{');
	esp_values_put(&body, "name", name);
	esp_values_put(
	    &body, "type", number ? SLICE_LIT("number") : SLICE_LIT("text"));
	buf_put_char(&body, '}');
	call.body = buf_slice(&body);
	call.once = true; /* two would have one name */
	esp_http_one(m->http, &call, a);
	buf_clear(&body);
	if (call.class == ESP_CLASS_OK) {
		answer = esp_values_json(call.answer);
		take_field(m, answer);
		json_decref(answer);
		return RC_OK;
	}
	if (call.class != ESP_CLASS_PERMANENT || call.status == 404)
		return mailchimp_failed(m, &call, a, "a merge field", err);
	mailchimp_judge(call.status, call.answer, &m->fields, a, &v);
	leave_out(m, name, v.words);
	return RC_OK;
}

static enum rc
ensure(struct mailchimp *m, struct slice name, bool number, struct arena *a,
    struct err *err)
{
	if (name.n == 0 || esp_fields_find(&m->fields, name))
		return RC_OK;
	return create_field(m, name, number, a, err);
}

enum rc
mailchimp_fields_ensure(struct mailchimp *m, const struct esp_contact *contacts,
    size_t n, struct arena *a, struct err *err)
{
	enum rc rc = mailchimp_fields_read(m, a, err);

	if (!m->account.create_fields)
		return rc;
	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		const struct esp_contact *c = &contacts[i];

		for (size_t k = 0; rc == RC_OK && k < c->nfields; k++)
			rc = ensure(
			    m, c->fields[k].name, c->fields[k].number, a, err);
	}
	return rc;
}

/* ---- bodies ----------------------------------------------------------- */

static bool
is_without(const struct mailchimp_without *w, const char *tag)
{
	for (size_t i = 0; w && i < w->n; i++)
		if (slice_eq_str(w->tags[i], tag))
			return true;
	return false;
}

/* Numbers as JSON has them: "-12.5", no "+", no exponent, no "007". */
static bool
is_number(struct slice s)
{
	size_t i = s.n > 0 && s.p[0] == '-', digits = i, dots = 0;

	if (s.n > 18 || (i + 1 < s.n && s.p[i] == '0' && s.p[i + 1] != '.'))
		return false;
	for (; i < s.n; i++) {
		if (s.p[i] == '.' && i > digits && i + 1 < s.n && !dots)
			dots++;
		else if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	}
	return s.n > digits;
}

static void
put_value(struct buf *out, const struct esp_fields_row *row, struct slice v)
{
	if (strcmp(row->kind, "number") == 0 && is_number(v)) {
		buf_put_slice(out, v);
		return;
	}
	/* PHP sends "2026-01-02 03:04:05", which a date field refuses. */
	if (strcmp(row->kind, "date") == 0)
		v = esp_values_date(v);
	v.n = slice_utf8_cut(v, MAILCHIMP_TEXT_MAX);
	utf8_put_json(out, v);
}

struct fields_out {
	const struct mailchimp *m;
	const struct mailchimp_without *without;
	struct buf *out;
	size_t n;
};

static void
put_field(struct fields_out *f, struct slice name, struct slice value)
{
	const struct esp_fields_row *row = esp_fields_find(&f->m->fields, name);

	/* An address is an object of parts that nobody has here. */
	if (!row || !row->id[0] || strcmp(row->kind, "address") == 0 ||
	    is_without(f->without, row->id))
		return;
	buf_put_str(f->out, f->n++ > 0 ? "," : ",\"merge_fields\":{");
	utf8_put_json(f->out, slice_str(row->id));
	buf_put_char(f->out, ':');
	put_value(f->out, row, value);
}

/* Does a later field of the same name, or of any for our own, say it? */
static bool
is_said(const struct esp_contact *c, size_t from, struct slice name)
{
	for (size_t i = from; i < c->nfields; i++)
		if (slice_eq(c->fields[i].name, name))
			return true;
	return false;
}

void
mailchimp_put_member(const struct mailchimp *m, const struct esp_contact *c,
    const struct mailchimp_without *without, struct buf *out)
{
	struct fields_out f = { .m = m, .without = without, .out = out };
	struct slice first, last;

	buf_put_char(out, '{');
	esp_values_put(out, "email_address", c->email);
	esp_values_put(out, "status_if_new",
	    mailchimp_is_status(c->status_if_new)
		? c->status_if_new
		: slice_str(m->account.status_if_new));
	for (size_t i = 0; i < c->nfields; i++)
		if (!is_said(c, i + 1, c->fields[i].name))
			put_field(&f, c->fields[i].name, c->fields[i].value);
	esp_values_split_name(c->name, &first, &last);
	if (first.n > 0 && !is_said(c, 0, SLICE_LIT("First Name")))
		put_field(&f, SLICE_LIT("First Name"), first);
	if (last.n > 0 && !is_said(c, 0, SLICE_LIT("Last Name")))
		put_field(&f, SLICE_LIT("Last Name"), last);
	buf_put_str(out, f.n > 0 ? "}}" : "}");
}
