#ifndef FORMATS_MIME_HEADER_H
#define FORMATS_MIME_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/slice.h"

/*
 * Header fields of a mail (RFC 5322), folded at blanks before column 77, text
 * that is not ASCII in encoded words of at most 75 characters (RFC 2047). The
 * text is UTF-8 without controls: see mime_header_put_clean().
 */

/* One line: breaks and tabs become one blank a run, other controls go, what is
 * not UTF-8 becomes U+FFFD; no blanks at either end. */
void mime_header_put_clean(struct buf *out, struct slice s);

/* "Name: text" and its line end. */
void mime_header_put_text(struct buf *out, const char *name, struct slice text);

/* A list of mailboxes being written: "Name: a@b, C <c@d>". */
struct mime_header_list {
	struct buf *out;
	size_t column;
	bool some; /* there is one */
};
void mime_header_begin_list(
    struct mime_header_list *l, struct buf *out, const char *name);
/* `name` "": the address alone. */
void mime_header_put_mailbox(
    struct mime_header_list *l, struct slice name, struct slice address);
void mime_header_end_list(struct mime_header_list *l);

#endif
