#ifndef FORMATS_BASE64_H
#define FORMATS_BASE64_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

/* Base64 with padding, in one line (RFC 4648 §4). */

/* Append the digits of `s`; over the ceiling, or with `s` over 1 GiB,
 * out->failed. */
void base64_put(struct buf *out, struct slice s);

/* base64_put() between quotes: any bytes as a JSON string. */
void base64_put_json(struct buf *out, struct slice s);

/* Append the bytes that `text` stands for. false: it is no base64, or
 * out->failed; nothing was appended then. */
bool base64_read(struct buf *out, struct slice text);

#endif
