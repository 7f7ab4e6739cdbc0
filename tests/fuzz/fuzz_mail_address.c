/* Addresses: what is accepted cannot break out of <>, and is accepted again as
 * it was written; a masked text tells no more of an address. */
#include "formats/mail_address.h"

#include <stdlib.h>
#include <string.h>

#define OUT_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_written(struct slice written)
{
	struct slice domain = mail_address_domain(written);

	if (written.n > 254 || domain.n == 0)
		abort();
	for (size_t i = 0; i < written.n; i++) {
		unsigned char c = (unsigned char)written.p[i];

		if (c <= ' ' || c == 0x7f || strchr("<>,;:\"()[]\\", c))
			abort();
		if (c >= 0x80 && written.p + i >= domain.p)
			abort();
	}
}

static void
check_masked(struct slice text)
{
	struct buf out = BUF_INIT(OUT_MAX);
	const char *at;

	mail_text_put_masked(&out, text);
	at = out.n > 0 ? memchr(out.p, '@', out.n) : NULL;
	/* Before the first one stands a blank, or stars, or what no address
	 * has. */
	if (at && at > out.p &&
	    ((at[-1] >= 'a' && at[-1] <= 'z') ||
		(at[-1] >= '0' && at[-1] <= '9')))
		abort();
	buf_clear(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = slice_mem((const char *)data, size);
	struct buf once = BUF_INIT(OUT_MAX), twice = BUF_INIT(OUT_MAX);

	if (mail_address_put(&once, s)) {
		check_written(buf_slice(&once));
		if (!mail_address_put(&twice, buf_slice(&once)) ||
		    !slice_eq(buf_slice(&once), buf_slice(&twice)))
			abort();
	} else if (once.n > 0) {
		abort();
	}
	check_masked(s);
	buf_clear(&once);
	buf_clear(&twice);
	return 0;
}
