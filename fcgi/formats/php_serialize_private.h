#ifndef FORMATS_PHP_SERIALIZE_PRIVATE_H
#define FORMATS_PHP_SERIALIZE_PRIVATE_H

#include <stdint.h>

#include "base/err.h"
#include "formats/php_serialize.h"

/* The parser's pieces, for php_serialize_walk.c: each takes what stands next.
 */

/* `a:<count>:{`, and room for as many members. */
MUSTUSE enum rc php_serialize_take_head(
    struct php_serialize_walk *w, uint64_t *count);
MUSTUSE enum rc php_serialize_take_close(struct php_serialize_walk *w);
/* Into a zeroed member. */
MUSTUSE enum rc php_serialize_take_key(
    struct php_serialize_walk *w, struct php_serialize_member *m);
/* Into a zeroed value. */
MUSTUSE enum rc php_serialize_take_value(
    struct php_serialize_walk *w, struct php_serialize_value *v);

/* What a walk notes: a reference of that number, whose digits begin at `from`
 * and end before the ';' that was read; what a C: holds. */
void php_serialize_walk_reference(
    struct php_serialize_walk *w, size_t from, uint64_t number);
void php_serialize_walk_custom(
    struct php_serialize_walk *w, struct slice payload);

#endif
