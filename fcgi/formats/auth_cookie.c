#include "formats/auth_cookie.h"

#include <string.h>

#include "base/buf.h"
#include "formats/md5.h"
#include "formats/utf8.h"

/* PHP's max_input_vars: what comes later is not in $_COOKIE. */
#define COOKIES_MAX 1000
#define HMAC_LEN 64

void
auth_cookie_name(struct slice siteurl, char out[64])
{
	static const char digits[] = "0123456789abcdef";
	static const char prefix[] = "wordpress_logged_in_";
	unsigned char hash[MD5_LEN];
	size_t n = sizeof prefix - 1;
	struct md5 m;

	memcpy(out, prefix, n);
	if (siteurl.n > 0) {
		md5_init(&m);
		md5_put(&m, siteurl);
		md5_end(&m, hash);
		for (size_t i = 0; i < sizeof hash; i++) {
			out[n++] = digits[hash[i] >> 4];
			out[n++] = digits[hash[i] & 15];
		}
	}
	out[n] = '\0';
}

/* ---- the Cookie header ------------------------------------------------ */

static bool
is_c_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* php_register_variable_ex(): a blank, a dot, and a bracket that is never
 * closed become an underscore. */
static bool
is_name(struct slice found, struct slice name)
{
	if (found.n != name.n)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = found.p[i];

		if (c == ' ' || c == '.' || c == '[')
			c = '_';
		if (c != name.p[i])
			return false;
	}
	return true;
}

/* One piece between semicolons; false: it is another cookie. */
static bool
take_cookie(struct slice piece, struct slice name, struct slice *out)
{
	size_t eq = slice_find(piece, '=');
	struct slice found = slice_mem(piece.p, eq);
	size_t bracket = slice_find(found, '[');
	bool list =
	    bracket > 0 && bracket < found.n &&
	    slice_find(slice_from(found, bracket), ']') < found.n - bracket;

	if (list)
		found.n = bracket;
	if (!is_name(found, name))
		return false;
	/* name[x]=y: an array, which no log-in cookie is. */
	*out = list ? SLICE_LIT("") : slice_from(piece, eq + 1);
	return true;
}

bool
auth_cookie_find(struct slice header, struct slice name, struct slice *out)
{
	unsigned seen = 0;

	/* PHP has it as a C string. */
	header.n = slice_find(header, '\0');
	while (header.n > 0) {
		size_t end = slice_find(header, ';');
		struct slice piece = slice_mem(header.p, end);

		header = slice_from(header, end + 1);
		while (piece.n > 0 && is_c_space(*piece.p))
			piece = slice_from(piece, 1);
		if (piece.n == 0 || *piece.p == '=')
			continue;
		if (++seen > COOKIES_MAX)
			break;
		if (take_cookie(piece, name, out))
			return true;
	}
	return false;
}

/* ---- its value -------------------------------------------------------- */

/* PHP before 7.4.3 writes a blank as `+` and reads it so; none writes a plus
 * sign that way. */
static size_t
decode(struct slice in, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		int high = -1, low = -1;

		if (in.p[i] == '%' && in.n - i > 2) {
			high = slice_hex_digit(in.p[i + 1]);
			low = slice_hex_digit(in.p[i + 2]);
		}
		if (high >= 0 && low >= 0) {
			out[n++] = (char)(high * 16 + low);
			i += 2;
		} else {
			out[n++] = (char)(in.p[i] == '+' ? ' ' : in.p[i]);
		}
	}
	return n;
}

/* wp_magic_quotes() changes these before core looks. */
static bool
has_slashed(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (memchr("'\"\\", s.p[i], 4)) /* with its NUL */
			return true;
	return false;
}

/* Text that any column and connection can be asked for. */
static bool
is_login(struct slice s)
{
	size_t chars = 0;

	for (size_t at = 0; at < s.n; chars++) {
		size_t n = utf8_len(s, at);

		if (n == 0)
			return false;
		at += n;
	}
	return chars > 0 && chars <= AUTH_LOGIN_MAX;
}

static bool
is_hmac(struct slice s)
{
	size_t digits = 0;

	while (digits < s.n && ((s.p[digits] >= '0' && s.p[digits] <= '9') ||
				   (s.p[digits] >= 'a' && s.p[digits] <= 'f')))
		digits++;
	return digits == s.n && s.n == HMAC_LEN;
}

/* explode('|'): exactly four. */
static bool
split(struct slice text, struct slice *const parts[4])
{
	for (size_t i = 0; i < 4; i++) {
		size_t end = slice_find(text, '|');

		if ((end == text.n) != (i == 3))
			return false;
		*parts[i] = slice_mem(text.p, end);
		text = slice_from(text, end + 1);
	}
	return true;
}

enum rc
auth_cookie_parse(struct slice encoded, struct auth_cookie *out)
{
	struct slice *const parts[4] = { &out->login, &out->expiration,
		&out->token, &out->hmac };
	struct slice text;
	uint64_t expires;

	if (encoded.n > sizeof out->text)
		return RC_REJECT;
	text = slice_mem(out->text, decode(encoded, out->text));
	if (has_slashed(text) || !split(text, parts))
		return RC_REJECT;
	if (!is_login(out->login) || out->token.n == 0 || !is_hmac(out->hmac))
		return RC_REJECT;
	/* A sign would be a number to PHP, but core writes none. */
	if (!slice_u64(out->expiration, &expires) || expires > INT64_MAX)
		return RC_REJECT;
	out->expires = (int64_t)expires;
	return RC_OK;
}
