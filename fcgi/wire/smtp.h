#ifndef WIRE_SMTP_H
#define WIRE_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "formats/smtp_reply.h"

/*
 * A connection to a mail relay (libcurl), used for one mail after another by
 * one thread. Blocks. What the relay said is kept per recipient and by stage:
 * libcurl's own result does not tell enough (RFC 5321 §4.2, §4.3.2).
 */

enum smtp_security {
	SMTP_STARTTLS, /* demanded */
	SMTP_TLS,      /* from the first byte: port 465 */
	SMTP_PLAIN,    /* no encryption */
};

struct smtp_opts {
	const char *host;
	uint16_t port;
	enum smtp_security security;
	const char *user, *password; /* NULL: no AUTH */
	const char *auth;            /* "plain", "login", "xoauth2"; NULL: any*/
	const char *ca_file;         /* NULL: the system's */
	const char *ehlo;            /* name said in EHLO; never empty */
	uint32_t connect_ms, reply_ms; /* each step; each reply */
	uint32_t data_ms;              /* from the first byte to the verdict */
	uint32_t mails;                /* a connection; then a fresh one */
};

struct smtp_answer {
	enum smtp_verdict verdict;
	int code;        /* last reply; 0: none */
	char words[512]; /* of it, printable, addresses masked */
};

struct smtp_mail {
	struct slice sender; /* "": the null sender */
	const struct slice *recipients;
	size_t nrecipients;
	uint64_t size; /* bytes, for SIZE; 0: not known */
	/*
	 * Fill at most n bytes of the message, line ends CRLF; *done 0: it is
	 * at its end. RC other than OK: the mail is broken off before its end,
	 * so the relay has not got it.
	 */
	enum rc (*read)(void *arg, char *p, size_t n, size_t *done);
	/* Asked about once a second; true: break it off. Before the whole text
	 * is out the relay has not got it. NULL: never. */
	bool (*give_up)(void *arg);
	void *arg;
};

struct smtp_result {
	struct smtp_answer whole; /* ACCEPTED: one recipient or more is */
	enum smtp_stage stage;    /* where it ended */
	bool rate_limited;        /* the relay asks for less */
	bool given_up;            /* broken off by give_up() */
};

struct smtp;
MUSTUSE enum rc smtp_open(
    const struct smtp_opts *opts, struct smtp **out, struct err *err);
/*
 * smtp_send - `each` (nrecipients of them) says what became of every
 * recipient; of one that was not even tried, `whole`. Sender and recipients are
 * checked here (mail_address.h): one that is none is PERMANENT and never
 * reaches the wire. A connection that the relay had closed meanwhile is opened
 * once more, before MAIL was answered. Lone CR and LF in the message become
 * CRLF.
 */
void smtp_send(struct smtp *s, const struct smtp_mail *m,
    struct smtp_answer *each, struct smtp_result *out);
/* Is there a connection, and for how many more mails? 0: the next one opens. */
uint32_t smtp_left(const struct smtp *s);
void smtp_close(struct smtp *s); /* NULL is fine; says QUIT */

#endif
