#ifndef FORMATS_MIME_MAIL_H
#define FORMATS_MIME_MAIL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * A mail made here (GMime), for tasks with a native handler; as wp_mail() and
 * PHPMailer would understand the same input (smtp-and-mime.md §2 to §6).
 * Pure: no clock, no files.
 */

/* Recipients of one mail: what every relay must take (RFC 5321 4.5.3.1.8). */
#define MIME_MAIL_RECIPIENTS ((size_t)100)
#define MIME_MAIL_HEADERS ((size_t)64)

struct mime_attachment {
	struct slice name, type, bytes; /* type "": by the name's ending */
};

struct mime_input {
	struct slice to;             /* wp_mail()'s: comma list, "Name <a@b>" */
	struct slice subject;        /* UTF-8; line breaks become a blank */
	struct slice body;           /* text, or HTML by the headers */
	struct slice alternative;    /* text beside an HTML body; "" */
	const struct slice *headers; /* lines "Name: value", as wp_mail()'s */
	size_t nheaders;
	const struct mime_attachment *attachments;
	size_t nattachments;
	struct slice default_from_name, default_from; /* WordPress' defaults */
	int64_t date;                                 /* Unix time */
	struct slice message_id; /* with <>; fixed when the mail is stored */
};

struct mime_mail {
	struct buf bytes;         /* CRLF; no Bcc */
	struct buf sender;        /* envelope */
	struct slice *recipients; /* envelope: to, cc, bcc; of `addresses` */
	size_t nrecipients;
	struct buf addresses, subject;
};
/*
 * mime_mail_build - RC_REJECT: no recipient, an injected header, over the
 * limits; the words say which, without addresses. Cleared by
 * mime_mail_clear() in any case.
 */
MUSTUSE enum rc mime_mail_build(
    const struct mime_input *in, struct mime_mail *out, struct err *err);
void mime_mail_clear(struct mime_mail *m);

#endif
