#ifndef FORMATS_RETRY_AFTER_H
#define FORMATS_RETRY_AFTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/slice.h"

/*
 * http_date_parse - the Unix time of an HTTP-date in any of the three forms
 * of RFC 9110 section 5.6.7; `now` decides the century of the two-digit year.
 * False for anything else; the name of the weekday is not compared with the
 * date.
 */
MUSTUSE bool http_date_parse(struct slice s, int64_t now, int64_t *out);

/*
 * retry_after_parse - seconds from `now` (Unix time) of a Retry-After header's
 * value: a number or an HTTP-date (RFC 9110 section 10.2.3). A date in the
 * past is 0, what is longer than `max_s` is `max_s`. False for anything else.
 */
MUSTUSE bool retry_after_parse(
    struct slice value, int64_t now, int64_t max_s, int64_t *seconds);

#endif
