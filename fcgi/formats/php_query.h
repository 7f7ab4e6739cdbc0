#ifndef FORMATS_PHP_QUERY_H
#define FORMATS_PHP_QUERY_H

#include "base/buf.h"
#include "base/err.h"
#include "formats/php_serialize.h"

/*
 * php_query_put - append http_build_query() of an array, byte for byte as PHP
 * 8 makes it (RFC 1738: blanks become +, no member for a null or an empty
 * array, floats with 14 digits). Of objects stdClass alone is known.
 *
 * RC_REJECT: not an array, another class, or over the buffer's ceiling.
 */
MUSTUSE enum rc php_query_put(
    const struct php_serialize_value *v, struct buf *out, struct err *err);

/* urlencode() */
void php_query_put_text(struct buf *out, struct slice text);
/* (string) of a float, from its digits in PHP's format. */
void php_query_put_float(struct buf *out, struct slice digits);

#endif
