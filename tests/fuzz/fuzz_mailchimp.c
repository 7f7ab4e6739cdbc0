/*
 * What Mailchimp answers and what readers call themselves. The first byte says
 * which: an answer's body, an archive of results, or a reader's name and
 * value. Bodies are JSON and never hold a status; words hold no address, are
 * UTF-8 and short.
 */
#include "executors/esp/mailchimp_private.h"

#include "formats/archive.h"
#include "formats/utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_words(struct slice words)
{
	if (words.n > 500)
		abort();
	for (size_t i = 0; i < words.n;) {
		size_t n = utf8_len(words, i);

		if (n == 0 || (unsigned char)words.p[i] < ' ')
			abort();
		i += n;
	}
}

static void
judge(const struct mailchimp *m, int status, struct slice body)
{
	struct arena a = ARENA_INIT((size_t)1 << 20);
	struct mailchimp_verdict v;

	mailchimp_judge(status, body, &m->fields, &a, &v);
	if ((v.outcome == ESP_DONE) != (status >= 200 && status < 300) ||
	    v.outcome == ESP_OPEN || v.outcome == ESP_PENDING ||
	    v.refused.n > NELEMS(v.refused.tags))
		abort();
	check_words(v.words);
	arena_clear(&a);
}

static enum rc
on_file(void *arg, const char *name UNUSED, struct slice content,
    struct err *err UNUSED)
{
	size_t *total = arg;

	*total += content.n;
	return RC_OK;
}

static void
unpack(struct slice archive)
{
	struct err err = ERR_INIT;
	size_t total = 0;
	enum rc rc = archive_each(archive, 100000, on_file, &total, &err);

	if (total > 100000 || (rc != RC_OK && rc != RC_REJECT) ||
	    (rc == RC_REJECT && !err.text[0]))
		abort();
}

static void
render(const struct mailchimp *m, struct slice text)
{
	struct slice value = slice_from(text, text.n / 2);
	struct esp_field fields[] = {
		{ .name = SLICE_LIT("NP_Text"), .value = value },
		{ .name = SLICE_LIT("NP_Total"), .value = value },
		{ .name = SLICE_LIT("NP_Date"), .value = value },
	};
	struct esp_contact c = { .email = text,
		.name = slice_mem(text.p, text.n / 2),
		.status_if_new = value,
		.fields = fields,
		.nfields = NELEMS(fields) };
	struct buf out = BUF_INIT((size_t)1 << 20);
	json_error_t why;
	json_t *body;

	mailchimp_put_member(m, &c, NULL, &out);
	body = json_loadb(out.p, out.n, JSON_ALLOW_NUL, &why);
	if (!body || json_object_size(body) != 3 ||
	    json_object_get(body, "status") ||
	    !mailchimp_is_status(esp_values_text(body, "status_if_new")) ||
	    !json_is_object(json_object_get(body, "merge_fields")))
		abort();
	json_decref(body);
	buf_clear(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = { 200, 400, 401, 404, 429, 500, 503, 0 };
	struct mailchimp m = { .account.status_if_new = "transactional" };
	struct slice rest;

	if (size < 1 || size > 20000)
		return 0;
	rest = slice_mem((const char *)data + 1, size - 1);
	esp_fields_put(&m.fields, SLICE_LIT("NP_Text"), SLICE_LIT("TEXT"),
	    SLICE_LIT("text"), SLICE_LIT(""));
	esp_fields_put(&m.fields, SLICE_LIT("NP_Total"), SLICE_LIT("TOTAL"),
	    SLICE_LIT("number"), SLICE_LIT(""));
	esp_fields_put(&m.fields, SLICE_LIT("NP_Date"), SLICE_LIT("DATE"),
	    SLICE_LIT("date"), SLICE_LIT(""));
	m.fields.read = data[0] & 0x80;
	switch (data[0] & 3) {
	case 0:
		unpack(rest);
		break;
	case 1:
		render(&m, rest);
		break;
	default:
		judge(&m, statuses[data[0] >> 2 & 7], rest);
	}
	esp_fields_clear(&m.fields);
	return 0;
}
