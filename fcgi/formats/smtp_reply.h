#ifndef FORMATS_SMTP_REPLY_H
#define FORMATS_SMTP_REPLY_H

#include <stdbool.h>

#include "base/slice.h"

/*
 * What a mail relay's replies mean (RFC 5321 §4.2, RFC 3463): a code alone does
 * not tell, the stage of the dialogue and at times the words do.
 */

enum smtp_stage {
	SMTP_AT_CONNECT,
	SMTP_AT_GREETING,
	SMTP_AT_EHLO,
	SMTP_AT_TLS, /* STARTTLS, and the handshake */
	SMTP_AT_AUTH,
	SMTP_AT_MAIL,
	SMTP_AT_RCPT,
	SMTP_AT_DATA, /* the command, and the mail before its end */
	SMTP_AT_END,  /* after the final dot */
};

/* What it comes to. */
enum smtp_verdict {
	SMTP_ACCEPTED,
	SMTP_TRANSIENT, /* this mail or recipient: again later */
	SMTP_PERMANENT, /* this mail or recipient: never */
	SMTP_AWAY,      /* the relay, for all mails: again later */
	SMTP_CONFIG,    /* the relay, for all mails, until somebody mends it */
	SMTP_UNKNOWN,   /* lost after 354: it may have arrived */
};

/*
 * One line of a reply, with or without its line end: "250-SIZE 1000". False:
 * it is none. *last: no more lines of this reply follow.
 */
bool smtp_reply_line(
    struct slice line, int *code, bool *last, struct slice *text);

struct smtp_enhanced {
	unsigned class, subject, detail; /* class 0: there is none */
};
/* "5.7.1 text": the numbers, and *rest (may be NULL) what follows them. */
struct smtp_enhanced smtp_reply_enhanced(struct slice text, struct slice *rest);

/*
 * smtp_reply_verdict - `text` is that of all lines. *rate_limited: the relay
 * asks for fewer mails. A code of 200 to 299 is ACCEPTED, at any stage.
 */
enum smtp_verdict smtp_reply_verdict(
    enum smtp_stage stage, int code, struct slice text, bool *rate_limited);

/* "connect", "greeting", "ehlo", "tls", ... */
const char *smtp_stage_name(enum smtp_stage stage);
const char *smtp_verdict_name(enum smtp_verdict verdict);

#endif
