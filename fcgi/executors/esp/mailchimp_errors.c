#include "executors/esp/mailchimp_private.h"

#include <string.h>

/* Mailchimp says in words what its statuses do not; the first row whose words
 * are in title or detail counts. */
static const struct {
	const char *words; /* in lower case */
	int status;
	enum esp_outcome outcome;
} sayings[] = {
	{ "compliance state", 400, ESP_BARRED },
	{ "permanently deleted", 400, ESP_BARRED },
	{ "forgotten email", 400, ESP_BARRED },
	{ "cannot be re-imported", 400, ESP_BARRED },
	{ "signed up to a lot of lists", 400, ESP_RETRY },
};

static bool
says(struct slice text, const char *words)
{
	size_t n = strlen(words);

	for (size_t i = 0; i + n <= text.n; i++)
		if (slice_eq_nocase(slice_mem(text.p + i, n), slice_str(words)))
			return true;
	return false;
}

/* A merge field by its tag, as "FNAME" or "merge_fields.FNAME". Before the
 * fields were read every name but that of the address counts as one. */
static void
add_refused(struct mailchimp_verdict *v, struct slice name,
    const struct esp_fields *fields, struct arena *a)
{
	static const struct slice prefix = { "merge_fields.", 13 };
	const char *tag;

	if (slice_starts(name, prefix))
		name = slice_from(name, prefix.n);
	if (name.n == 0 || slice_eq(name, SLICE_LIT("email_address")) ||
	    slice_find(name, ' ') < name.n ||
	    (fields->read && !esp_fields_find_id(fields, name)))
		return;
	tag = arena_strdup(a, name);
	if (tag && v->refused.n < NELEMS(v->refused.tags))
		v->refused.tags[v->refused.n++] = slice_str(tag);
}

/* "title: detail; field: message; ..." */
static void
put_words(struct buf *out, const json_t *body, struct mailchimp_verdict *v,
    const struct esp_fields *fields, struct arena *a)
{
	const json_t *list = json_object_get(body, "errors");
	struct slice detail = esp_values_text(body, "detail");

	buf_put_slice(out, esp_values_text(body, "title"));
	if (out->n > 0 && detail.n > 0)
		buf_put_str(out, ": ");
	buf_put_slice(out, detail);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *e = json_array_get(list, i);
		struct slice field = esp_values_text(e, "field");

		buf_printf(out, "; %.*s: ", SLICE_FMT(field));
		buf_put_slice(out, esp_values_text(e, "message"));
		add_refused(v, field, fields, a);
	}
}

static void
judge_words(int status, struct slice words, struct mailchimp_verdict *v)
{
	for (size_t i = 0; i < NELEMS(sayings); i++)
		if (sayings[i].status == status &&
		    says(words, sayings[i].words)) {
			v->outcome = sayings[i].outcome;
			v->refused.n = 0;
			break;
		}
	if (v->outcome == ESP_RETRY && status == 400)
		v->retry_after_s = MAILCHIMP_BUSY_S;
	v->known_already = status == 400 && (says(words, "member exists") ||
						says(words, "already a list"));
	v->config = status == 401 || status == 403 || status == 404 ||
		    (status == 503 && says(words, "compliance"));
	if (v->config)
		v->outcome = ESP_RETRY;
}

void
mailchimp_judge(int status, struct slice body, const struct esp_fields *fields,
    struct arena *a, struct mailchimp_verdict *out)
{
	json_t *answer = esp_values_json(body);
	struct buf words = BUF_INIT((size_t)64 * 1024);

	*out = (struct mailchimp_verdict){ .outcome = ESP_REFUSED,
		.retry_after_s = -1,
		.words = SLICE_LIT("") };
	if (status >= 200 && status < 300)
		out->outcome = ESP_DONE;
	else if (status < 400 || status == 408 || status == 425 ||
		 status == 429 || status >= 500)
		out->outcome = ESP_RETRY;
	if (out->outcome != ESP_DONE) {
		put_words(&words, answer, out, fields, a);
		judge_words(status, buf_slice(&words), out);
		if (words.n == 0)
			buf_printf(&words, "HTTP %d", status);
		out->words = esp_words(buf_slice(&words), a);
	}
	buf_clear(&words);
	json_decref(answer);
}

/* No JSON of Mailchimp's: a page, or nothing. */
static bool
is_silent(struct slice answer)
{
	answer = slice_trim(answer);
	return answer.n == 0 || answer.p[0] != '{';
}

void
mailchimp_judge_call(const struct mailchimp *m, const struct esp_call *call,
    struct arena *a, struct mailchimp_verdict *out)
{
	bool config = call->class == ESP_CLASS_CONFIG;

	if (call->status > 0)
		mailchimp_judge(call->status, call->answer, &m->fields, a, out);
	else
		*out = (struct mailchimp_verdict){ .outcome = ESP_RETRY,
			.retry_after_s = -1 };
	/* Whose answer is a firewall's page has said nothing of the key. */
	if (call->class == ESP_CLASS_TRANSIENT && call->status != 503)
		out->config = false;
	out->config = out->config || config;
	if (is_silent(call->answer))
		out->words = call->message;
}
