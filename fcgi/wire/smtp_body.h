#ifndef WIRE_SMTP_BODY_H
#define WIRE_SMTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/smtp.h"

/*
 * The bytes of a mail on their way to libcurl: lone CR and LF become CRLF.
 *
 * libcurl 7.88 ends an upload as soon as it has written as many bytes as were
 * said, and it counts the dots it doubles (transfer.c, readwrite_upload()). A
 * mail with SIZE and a line that begins with a dot would lose its end that
 * way, without an error. So the count is kept here too, and the bytes that
 * could reach it are handed over in one piece with all that follow them.
 */
struct smtp_body {
	const struct smtp_mail *mail;
	uint64_t wire; /* bytes handed over, dots doubled */
	char in[16384];
	size_t n, at;
	bool was_cr, owes_lf, in_line;
	bool last;   /* all the rest goes in this piece */
	bool ended;  /* the source is at its end */
	bool broken; /* the mail cannot be sent to its end; rc tells why */
	enum rc rc;
};

void smtp_body_begin(struct smtp_body *b, const struct smtp_mail *mail);

/*
 * smtp_body_read - at most n bytes into p; 0: that was all. SIZE_MAX: broken.
 * n is the room libcurl has, and what libcurl may double fits it too.
 */
size_t smtp_body_read(struct smtp_body *b, char *p, size_t n);

#endif
