#ifndef FORMATS_ACTION_ARGS_H
#define FORMATS_ACTION_ARGS_H

#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"

/*
 * action_args_check - whether a stored JSON text is what PHP's runner accepts
 * as arguments: json_decode($text, true) without error, and an array. Lists
 * and objects both are; their values in stored order are what a callback gets,
 * so `*count` (may be NULL) is how many. RC_REJECT: it is not, and why.
 *
 * As in PHP: 511 levels at most, UTF-8 and surrogate pairs must be whole, of
 * two equal keys the last counts, integers of any size are fine. Otherwise
 * than in PHP, and so left to PHP: reals past 1.8e308, object keys with
 * "\u0000".
 */
MUSTUSE enum rc action_args_check(
    struct slice json, size_t *count, struct err *err);

#endif
