#ifndef FORMATS_TASK_LIST_PRIVATE_H
#define FORMATS_TASK_LIST_PRIVATE_H

#include "formats/task_list.h"

/* Does it stand as a PHP map, a PHP text, or a JSON object? */
enum task_spelling {
	TASK_MAP,
	TASK_TEXT,
	TASK_OBJECT
};
MUSTUSE enum rc task_spelling_of(
    struct slice element, enum task_spelling *out, struct err *err);
/* The bytes of a serialized text and nothing after it. */
MUSTUSE enum rc task_text(struct slice serialized, struct arena *a,
    struct slice *out, struct err *err);

/*
 * Append one value with the numbers of its references moved. It was cut out
 * of, or goes to, where so many values stand before it (`before` of the input,
 * `after` of the output); *slots is how many it takes. RC_REJECT: it refers to
 * what is not within it.
 */
MUSTUSE enum rc task_renumber(struct slice value, size_t before, size_t after,
    struct arena *a, struct buf *out, size_t *slots, struct err *err);

/* ---- JSON --------------------------------------------------------------- */

/* The members of a JSON list, each its bytes. */
MUSTUSE enum rc task_json_list(struct slice json, struct arena *a,
    struct slice **elements, size_t *n, struct err *err);
/* Append the same PHP-serialized, as json_decode($text, true) reads it. */
MUSTUSE enum rc task_json_to_php(
    struct slice json, struct buf *out, struct err *err);
/* Append an object with two members set; SLICE_NONE: it stays. */
void task_json_put(struct slice object, struct slice attempts,
    struct slice available_after, struct buf *out);

#endif
