#ifndef WIRE_SMTP_URL_H
#define WIRE_SMTP_URL_H

#include "base/err.h"
#include "wire/smtp.h"

#define SMTP_URL_MAX 1024

/*
 * smtp_url - what libcurl is to connect to; the path is what it says in EHLO.
 * RC_REJECT: a name is none (RFC 5321 4.1.2, a literal in [] too).
 */
MUSTUSE enum rc smtp_url(
    const struct smtp_opts *o, char url[SMTP_URL_MAX], struct err *err);

#endif
