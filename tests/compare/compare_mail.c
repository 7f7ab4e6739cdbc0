/*
 * Mails made of the lines of standard input, for comparison with PHPMailer. A
 * line: the fields of struct mime_input, each in hexadecimal with an x before:
 *
 *   TO SUBJECT BODY ALTERNATIVE FROM_NAME FROM DATE MESSAGE_ID
 *   NHEADERS HEADER ... NATTACHMENTS (NAME TYPE BYTES) ...
 *
 * The answer: ok HEX(mail) HEX(sender) HEX(recipients, with commas) | reject
 * WORDS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "formats/mime_mail.h"

#define LINE_BYTES_MAX ((size_t)64 << 20)
#define LIST_MAX 200

static char *at;

static int
hex_value(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *found = c ? strchr(digits, c) : NULL;

	return found ? (int)(found - digits) : 0;
}

/* The next word, in place. */
static struct slice
word(void)
{
	char *begin = at;
	size_t n = strcspn(at, " \n");

	at += n;
	at += *at == ' ';
	n = n > 0 ? (n - 1) / 2 : 0;
	for (size_t i = 0; i < n; i++)
		begin[i] = (char)(hex_value(begin[2 * i + 1]) * 16 +
				  hex_value(begin[2 * i + 2]));
	return slice_mem(begin, n);
}

static size_t
count(void)
{
	uint64_t n;

	return slice_u64(word(), &n) && n <= LIST_MAX ? (size_t)n : 0;
}

static void
put_hex(const struct buf *b)
{
	struct buf hex = BUF_INIT(LINE_BYTES_MAX * 2);

	buf_put_hex(&hex, buf_str(b), b->n);
	printf(" x%s", buf_str(&hex));
	buf_clear(&hex);
}

static void
answer(void)
{
	static struct slice headers[LIST_MAX];
	static struct mime_attachment attachments[LIST_MAX];
	struct mime_input in = { .nheaders = 0 };
	struct buf to = BUF_INIT(1 << 20);
	struct err err = ERR_INIT;
	struct mime_mail mail;

	in.to = word();
	in.subject = word();
	in.body = word();
	in.alternative = word();
	in.default_from_name = word();
	in.default_from = word();
	if (!slice_i64(word(), &in.date))
		in.date = 0;
	in.message_id = word();
	in.headers = headers;
	in.nheaders = count();
	for (size_t i = 0; i < in.nheaders; i++)
		headers[i] = word();
	in.attachments = attachments;
	in.nattachments = count();
	for (size_t i = 0; i < in.nattachments; i++) {
		attachments[i].name = word();
		attachments[i].type = word();
		attachments[i].bytes = word();
	}
	if (mime_mail_build(&in, &mail, &err) != RC_OK) {
		printf("reject %s\n", err.text);
		mime_mail_clear(&mail);
		return;
	}
	for (size_t i = 0; i < mail.nrecipients; i++) {
		if (i > 0)
			buf_put_char(&to, ',');
		buf_put_slice(&to, mail.recipients[i]);
	}
	printf("ok");
	put_hex(&mail.bytes);
	put_hex(&mail.sender);
	put_hex(&to);
	printf("\n");
	buf_clear(&to);
	mime_mail_clear(&mail);
}

int
main(void)
{
	char *line = xcalloc(LINE_BYTES_MAX, 1);

	while (fgets(line, (int)LINE_BYTES_MAX, stdin)) {
		at = line;
		answer();
	}
	free(line);
	return 0;
}
