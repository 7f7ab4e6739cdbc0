#ifndef FORMATS_TIMEZONE_H
#define FORMATS_TIMEZONE_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/* A time zone read from TZif bytes (RFC 8536), version 1 to 4. */
struct timezone;

/*
 * timezone_parse - from the bytes of a TZif file. RC_REJECT: not TZif, or
 * outside its own bounds. Caller frees.
 */
MUSTUSE enum rc timezone_parse(
    struct slice tzif, struct timezone **out, struct err *err);
void timezone_free(struct timezone *tz); /* NULL is fine */

/* Seconds east of UTC at a Unix time, also after the last transition (POSIX
 * TZ footer) and before the first. NULL is UTC. */
int32_t timezone_offset(const struct timezone *tz, int64_t unix_time);

#endif
