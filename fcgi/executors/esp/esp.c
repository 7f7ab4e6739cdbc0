#include "executors/esp/esp.h"

#include "executors/esp/esp_http.h"

#include "base/buf.h"
#include "base/xalloc.h"
#include "formats/base64.h"
#include "formats/utf8.h"

#include <ctype.h>
#include <string.h>

#define WORDS_MAX 500
#define EMAIL_MAX 254

static const struct {
	const char *name;
	esp_new_fn *make;
} providers[] = {
	{ "active_campaign", esp_active_campaign_new },
	{ "brevo", esp_brevo_new },
	{ "constant_contact", esp_constant_contact_new },
	{ "mailchimp", esp_mailchimp_new },
	{ "webhook", esp_webhook_new },
};

esp_new_fn *
esp_provider(const char *name)
{
	for (size_t i = 0; i < NELEMS(providers); i++)
		if (strcmp(providers[i].name, name) == 0)
			return providers[i].make;
	return NULL;
}

void
esp_mask(struct slice email, char out[64])
{
	size_t at = slice_find(email, '@');
	struct slice first = slice_mem(email.p, 0), host;

	if (at < email.n && at > 0) {
		first.n = utf8_len(email, 0);
		if (first.n > at)
			first.n = 0;
	}
	host = slice_from(email, at);
	host.n = slice_utf8_cut(host, 64 - 1 - 4 - 3);
	(void)snprintf(
	    out, 64, "%.*s***%.*s", SLICE_FMT(first), SLICE_FMT(host));
}

/* ---- what all providers need ------------------------------------------ */

/* May stand in an address; everything else ends it. */
static bool
is_email_byte(char c)
{
	return (unsigned char)c >= 0x80 || isalnum((unsigned char)c) ||
	       (c && strchr(".!#$%&*+-/=?^_{|}~`", c));
}

bool
esp_email_ok(struct slice email)
{
	size_t at = slice_find(email, '@');
	struct slice host = slice_from(email, at + 1);

	if (email.n > EMAIL_MAX || at == 0 || host.n < 3 ||
	    slice_find(host, '.') == host.n || host.p[0] == '.' ||
	    host.p[host.n - 1] == '.')
		return false;
	for (size_t i = 0; i < email.n; i++)
		if (i != at && email.p[i] != '\'' && !is_email_byte(email.p[i]))
			return false;
	return true;
}

/* "x@y" anywhere in the words becomes "x***@y". */
static void
mask_addresses(struct buf *out, struct slice s)
{
	size_t done = 0;

	for (size_t at = 0; at < s.n; at++) {
		size_t from = at, to = at + 1;
		char masked[64];

		if (s.p[at] != '@')
			continue;
		while (from > done && is_email_byte(s.p[from - 1]))
			from--;
		while (to < s.n && is_email_byte(s.p[to]))
			to++;
		if (from == at)
			continue;
		buf_put(out, s.p + done, from - done);
		esp_mask(slice_mem(s.p + from, to - from), masked);
		buf_put_str(out, masked);
		done = to;
		at = to - 1;
	}
	buf_put_slice(out, slice_from(s, done));
}

struct slice
esp_words(struct slice words, struct arena *a)
{
	/* A masked address may be longer: "a@b" is "a***@b". */
	struct buf line = BUF_INIT((size_t)8 * WORDS_MAX);
	struct buf masked = BUF_INIT((size_t)32 * WORDS_MAX);
	struct slice out;
	char *copy;

	utf8_put_line(&line, words, 2 * (size_t)WORDS_MAX);
	mask_addresses(&masked, buf_slice(&line));
	out = buf_slice(&masked);
	out.n = slice_utf8_cut(out, WORDS_MAX);
	copy = arena_strdup(a, out);
	out = copy ? slice_mem(copy, out.n) : SLICE_LIT("");
	buf_clear(&line);
	buf_clear(&masked);
	return out;
}

void
esp_contacts_begin(struct esp_contact *contacts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct esp_contact *c = &contacts[i];

		c->outcome = ESP_OPEN;
		c->strange = false;
		c->message = SLICE_LIT("");
		c->retry_after_s = -1;
		c->pulled = NULL;
		c->npulled = 0;
		if (esp_email_ok(c->email))
			continue;
		c->outcome = ESP_REFUSED;
		c->message = SLICE_LIT("the e-mail address is none");
	}
}

char *
esp_basic_auth(const char *user, const char *password)
{
	struct buf plain = BUF_INIT(4096), header = BUF_INIT(8192);

	buf_printf(&plain, "%s:%s", user, password);
	buf_put_str(&header, "Authorization: Basic ");
	base64_put(&header, buf_slice(&plain));
	buf_clear(&plain);
	return buf_take(&header);
}

char *
esp_printf(struct arena *a, const char *fmt, ...)
{
	static char empty[1];
	struct buf text = BUF_INIT((size_t)1 << 20);
	va_list ap;
	char *copy;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	copy = arena_strdup(a, slice_str(buf_str(&text)));
	buf_clear(&text);
	return copy ? copy : empty;
}

struct slice
esp_urlencode(struct slice s, struct arena *a)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = arena_array(a, s.n + 1, 3);
	size_t n = 0;

	if (!out)
		return SLICE_LIT("");
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 0x80 && (isalnum(c) || strchr("-._~", c))) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '%';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	return slice_mem(out, n);
}
