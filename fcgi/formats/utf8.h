#ifndef FORMATS_UTF8_H
#define FORMATS_UTF8_H

#include <stddef.h>

#include "base/buf.h"
#include "base/slice.h"

/*
 * utf8_len - bytes of the well-formed UTF-8 sequence (RFC 3629: no overlong
 * forms, no surrogates, at most U+10FFFF) that begins at `at`; 0 when there is
 * none. `at` is below s.n.
 */
size_t utf8_len(struct slice s, size_t at);

/*
 * utf8_put_line - `s` as one line of printable UTF-8, at most `max` bytes of
 * it: control characters and blanks become one space a run, none at either
 * end; each byte that is not UTF-8 becomes U+FFFD; cut between characters.
 */
void utf8_put_line(struct buf *out, struct slice s, size_t max);

/*
 * utf8_put_json - `s` as a JSON string with its quotes (RFC 8259). Bytes that
 * are not UTF-8 become U+FFFD, so that the result is always valid JSON.
 */
void utf8_put_json(struct buf *out, struct slice s);

#endif
