#ifndef FORMATS_MAIL_ADDRESS_H
#define FORMATS_MAIL_ADDRESS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

/*
 * An address of an SMTP envelope, without <>: local@domain, RFC 5321 lengths
 * (64, 254), no blanks, controls, commas, quotes or angle brackets, domain of
 * letters, digits, - and dots. A domain in UTF-8 is written as A-labels
 * (libidn2). False: it is none, and must not reach the wire.
 */
bool mail_address_put(struct buf *out, struct slice address);
/* Behind the last @, lower case as stored; "" when there is none. */
struct slice mail_address_domain(struct slice address);
/* "a…@example.org" -> "a***@example.org": for logs and screens. */
void mail_address_put_masked(struct buf *out, struct slice address);
/* Every address in a text masked likewise (a relay's words). */
void mail_text_put_masked(struct buf *out, struct slice text);

#endif
