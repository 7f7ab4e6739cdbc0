/* Mails of any input, its fields parted by 0xff: lines and bytes within their
 * limits, a head of ASCII, nothing in it that was not asked for. */
#include "formats/mail_address.h"
#include "formats/mime_mail.h"

#include <stdlib.h>
#include <strings.h>

#define HEADERS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice
field(struct slice *rest)
{
	struct slice f = slice_mem(rest->p, slice_find(*rest, '\xff'));

	*rest = slice_from(*rest, f.n + 1);
	return f;
}

static void
check_lines(struct slice s)
{
	size_t line = 0;

	for (size_t i = 0; i < s.n; i++) {
		bool is_cr = s.p[i] == '\r', is_lf = s.p[i] == '\n';

		if (is_cr && (i + 1 == s.n || s.p[i + 1] != '\n'))
			abort();
		if ((is_lf && (i == 0 || s.p[i - 1] != '\r')) || !s.p[i])
			abort();
		line = is_lf ? 0 : line + 1;
		if (line > 999)
			abort();
	}
}

static void
check_head(struct slice s)
{
	unsigned subjects = 0;
	size_t i = 0;

	for (;
	     i < s.n && !slice_starts(slice_from(s, i), SLICE_LIT("\r\n\r\n"));
	     i++) {
		const char *p = s.p + i;

		if ((unsigned char)*p >= 0x80)
			abort();
		if (i > 0 && p[-1] != '\n')
			continue;
		if (strncasecmp(p, "bcc:", 4) == 0)
			abort();
		subjects += strncasecmp(p, "subject:", 8) == 0;
	}
	if (subjects != 1 || i == s.n)
		abort();
}

static void
check_mail(const struct mime_mail *m)
{
	struct buf again = BUF_INIT(1024);

	check_lines(buf_slice(&m->bytes));
	check_head(buf_slice(&m->bytes));
	if (m->nrecipients == 0)
		abort();
	for (size_t i = 0; i < m->nrecipients; i++)
		if (!mail_address_put(&again, m->recipients[i]))
			abort();
		else
			buf_reset(&again);
	buf_clear(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_mem((const char *)data, size);
	struct slice headers[HEADERS];
	struct mime_attachment file;
	struct mime_input in = { .default_from_name = SLICE_LIT("Shop"),
		.default_from = SLICE_LIT("shop@site.test"),
		.message_id = SLICE_LIT("<1@site.test>"),
		.headers = headers,
		.nheaders = HEADERS,
		.attachments = &file };
	struct mime_mail m;

	in.to = field(&rest);
	in.subject = field(&rest);
	for (size_t i = 0; i < HEADERS; i++)
		headers[i] = field(&rest);
	in.alternative = field(&rest);
	file.name = field(&rest);
	file.type = field(&rest);
	file.bytes = field(&rest);
	in.nattachments = file.bytes.n > 0;
	in.body = rest;
	if (mime_mail_build(&in, &m, NULL) == RC_OK)
		check_mail(&m);
	mime_mail_clear(&m);
	return 0;
}
