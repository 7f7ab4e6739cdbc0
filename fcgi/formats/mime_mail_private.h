#ifndef FORMATS_MIME_MAIL_PRIVATE_H
#define FORMATS_MIME_MAIL_PRIVATE_H

#include "formats/mime_mail.h"

/* A mail being made; shared by the files of mime_mail. */
struct mime_draft {
	const struct mime_input *in;
	struct mime_mail *out;
	struct err *err;
	struct buf to, cc, reply_to; /* NUL-separated pairs: name, address */
	struct buf head;             /* all header fields of the mail */
	size_t ends[MIME_MAIL_RECIPIENTS]; /* in out->addresses */
	/* Of the headers. */
	struct slice from_name, from;
	struct slice type, charset, boundary; /* "": the default */
	unsigned nparts;                      /* multiparts so far */
};

/* Header fields and envelope. RC_REJECT as mime_mail_build(). */
MUSTUSE enum rc mime_mail_read_input(struct mime_draft *d);
#endif
