#ifndef WIRE_SMTP_TALK_H
#define WIRE_SMTP_TALK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "wire/smtp.h"

/*
 * What was said on a connection, command by command: libcurl sends the commands
 * and tells of each, and of each line of the replies, but not which recipient
 * was refused. Pure.
 */
struct smtp_talk {
	/* Set by the owner. */
	bool wants_starttls, wants_auth, wants_utf8;
	/* Of the connection. */
	bool in_tls, offers_auth, offers_utf8;
	/* Of this mail. */
	struct smtp_answer *each; /* ACCEPTED: not refused, so far */
	const size_t *recipients; /* index in `each` of the k-th RCPT */
	size_t nrecipients;
	size_t nrcpt; /* RCPT commands so far */
	enum smtp_stage stage;
	bool answered; /* `code` is the reply to the last command */
	bool over;     /* QUIT: what follows is of no interest */
	int code;      /* of the last whole reply; 0: none */
	bool rate_limited;
	struct buf text;     /* of that reply, its lines joined */
	bool is_within;      /* a reply that has not ended */
	const char *refused; /* we break off, because */
	enum smtp_verdict refused_as;
};

void smtp_talk_init(struct smtp_talk *t);
void smtp_talk_clear(struct smtp_talk *t);
/* Another mail; each[] is set. */
void smtp_talk_begin(struct smtp_talk *t, struct smtp_answer *each,
    const size_t *recipients, size_t nrecipients);
/* We sent this. */
void smtp_talk_command(struct smtp_talk *t, struct slice command);
/* The relay sent this line. False: break off; the reply, or `refused`, says
 * why. */
MUSTUSE bool smtp_talk_line(struct smtp_talk *t, struct slice line);

/* The words of an answer: one printable line, addresses masked. */
void smtp_answer_put(struct smtp_answer *a, enum smtp_verdict verdict, int code,
    struct slice words);
/* Of all refused ones, what is most worth telling; NULL: none was refused. */
const struct smtp_answer *smtp_answer_worst(
    const struct smtp_answer *each, size_t n);

#endif
