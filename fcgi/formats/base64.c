#include "formats/base64.h"

#include <openssl/evp.h>

/* OpenSSL counts in int. */
#define BYTES_MAX ((size_t)1 << 30)

void
base64_put(struct buf *out, struct slice s)
{
	size_t n = (s.n + 2) / 3 * 4;

	if (s.n == 0)
		return;
	if (s.n > BYTES_MAX) {
		out->failed = true;
		return;
	}
	/* The NUL that is written, too, has its place behind every buffer. */
	if (!buf_reserve(out, n))
		return;
	(void)EVP_EncodeBlock((unsigned char *)out->p + out->n,
	    (const unsigned char *)s.p, (int)s.n);
	out->n += n;
}

void
base64_put_json(struct buf *out, struct slice s)
{
	buf_put_char(out, '"');
	base64_put(out, s);
	buf_put_char(out, '"');
}

/* How many "=" end it; 3: they stand elsewhere, which OpenSSL allows. */
static size_t
padding_of(struct slice text)
{
	size_t first = slice_find(text, '=');

	if (first + 2 < text.n ||
	    (first + 1 < text.n && text.p[first + 1] != '='))
		return 3;
	return text.n - first;
}

bool
base64_read(struct buf *out, struct slice text)
{
	size_t padding = padding_of(text);
	bool ok;
	int n;

	if (text.n == 0)
		return !out->failed;
	if (text.n % 4 != 0 || text.n > BYTES_MAX || padding == 3 ||
	    !buf_reserve(out, text.n / 4 * 3))
		return false;
	n = EVP_DecodeBlock((unsigned char *)out->p + out->n,
	    (const unsigned char *)text.p, (int)text.n);
	/* It forgives blanks around; then it is shorter. */
	ok = n >= 0 && (size_t)n == text.n / 4 * 3;
	if (ok)
		out->n += (size_t)n - padding;
	out->p[out->n] = '\0';
	return ok;
}
