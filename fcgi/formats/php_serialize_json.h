#ifndef FORMATS_PHP_SERIALIZE_JSON_H
#define FORMATS_PHP_SERIALIZE_JSON_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/*
 * php_serialize_json - append json_encode(unserialize(in)), byte for byte, of
 * null, booleans, numbers, texts, and arrays of them: those with the keys 0,
 * 1, 2, ... in this order become lists, others objects.
 *
 * RC_NONE: JSON cannot say it: an object, an enum, a reference, a text or key
 * that is not UTF-8, a float without end; or a key is there twice. RC_REJECT:
 * not PHP's format, over a limit of ours or the buffer's ceiling (then `out`
 * has failed). RC_RETRY: no memory. Except with RC_OK `out` holds what it held.
 */
MUSTUSE enum rc php_serialize_json(
    struct slice in, struct buf *out, struct err *err);

#endif
