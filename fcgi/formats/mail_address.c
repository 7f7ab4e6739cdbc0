#include "formats/mail_address.h"

#include "formats/utf8.h"

#include <idn2.h>
#include <string.h>

#define LOCAL_MAX 64    /* RFC 5321 4.5.3.1.1 */
#define ADDRESS_MAX 254 /* RFC 5321 4.5.3.1.3, less <> */
#define DOMAIN_MAX 253
#define LABEL_MAX 63

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

/* RFC 5322 atext, and dots wherever they stand, as is_email() has it: some
 * real mailboxes begin or end with one. */
static bool
is_local_char(char c)
{
	return is_alnum(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~.", c));
}

static bool
is_local(struct slice s)
{
	size_t at = 0;

	if (s.n == 0 || s.n > LOCAL_MAX)
		return false;
	while (at < s.n) {
		size_t len = utf8_len(s, at);

		if (len == 0 || (len == 1 && !is_local_char(s.p[at])))
			return false;
		/* C1 controls: U+0080 to U+009F. */
		if (len == 2 && s.p[at] == '\xc2' &&
		    (unsigned char)s.p[at + 1] < 0xa0)
			return false;
		at += len;
	}
	return true;
}

static bool
is_label(struct slice s)
{
	if (s.n == 0 || s.n > LABEL_MAX || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '-')
			return false;
	return true;
}

static bool
is_domain(struct slice s)
{
	if (s.n > DOMAIN_MAX)
		return false;
	for (;;) {
		size_t dot = slice_find(s, '.');

		if (!is_label(slice_mem(s.p, dot)))
			return false;
		if (dot == s.n)
			return true;
		s = slice_from(s, dot + 1);
	}
}

/* In A-labels; NULL when there are none. free() by idn2_free(). */
static char *
domain_to_ascii(struct slice domain)
{
	char utf8[DOMAIN_MAX * 4 + 1];
	uint8_t *ascii = NULL;

	if (domain.n >= sizeof utf8 || memchr(domain.p, 0, domain.n))
		return NULL;
	memcpy(utf8, domain.p, domain.n);
	utf8[domain.n] = '\0';
	if (idn2_lookup_u8((const uint8_t *)utf8, &ascii,
		IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return NULL;
	return (char *)ascii;
}

bool
mail_address_put(struct buf *out, struct slice address)
{
	struct slice domain = mail_address_domain(address);
	char *ascii = NULL;
	struct slice local;
	bool ok = false;

	if (domain.n == 0)
		return false;
	local = slice_mem(address.p, address.n - domain.n - 1);
	if (!is_local(local))
		return false;
	if (!slice_is_ascii(domain)) {
		ascii = domain_to_ascii(domain);
		domain = slice_str(ascii);
	}
	if (is_domain(domain) && local.n + 1 + domain.n <= ADDRESS_MAX) {
		buf_put_slice(out, local);
		buf_put_char(out, '@');
		buf_put_slice(out, domain);
		ok = !out->failed;
	}
	if (ascii)
		idn2_free(ascii);
	return ok;
}

struct slice
mail_address_domain(struct slice address)
{
	size_t at = address.n;

	while (at > 0 && address.p[at - 1] != '@')
		at--;
	return at == 0 ? SLICE_LIT("") : slice_from(address, at);
}

/* ---- masked ------------------------------------------------------------- */

static void
put_masked_local(struct buf *out, struct slice local)
{
	size_t len = local.n > 0 ? utf8_len(local, 0) : 0;

	buf_put(out, local.p, len);
	buf_put_str(out, "***");
}

void
mail_address_put_masked(struct buf *out, struct slice address)
{
	struct slice domain = mail_address_domain(address);

	put_masked_local(
	    out, domain.n > 0 ? slice_mem(address.p, address.n - domain.n - 1)
			      : address);
	if (domain.n == 0)
		return;
	buf_put_char(out, '@');
	buf_put_slice(out, domain);
}

/* Where the local part that ends before `at` begins, not before `from`. */
static size_t
local_begin(struct slice text, size_t from, size_t at)
{
	size_t i = at;

	if (i > from && text.p[i - 1] == '"') {
		i--;
		while (i > from && text.p[i - 1] != '"')
			i--;
		return i > from ? i - 1 : at;
	}
	while (i > from && (is_local_char(text.p[i - 1]) ||
			       (unsigned char)text.p[i - 1] >= 0x80))
		i--;
	return i;
}

void
mail_text_put_masked(struct buf *out, struct slice text)
{
	size_t from = 0;

	for (size_t at = 0; at < text.n; at++) {
		size_t begin;

		if (text.p[at] != '@')
			continue;
		begin = local_begin(text, from, at);
		if (begin == at)
			continue;
		buf_put(out, text.p + from, begin - from);
		put_masked_local(out, slice_mem(text.p + begin, at - begin));
		from = at;
	}
	buf_put_slice(out, slice_from(text, from));
}
