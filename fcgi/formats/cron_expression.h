#ifndef FORMATS_CRON_EXPRESSION_H
#define FORMATS_CRON_EXPRESSION_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/*
 * Cron expressions as the parser bundled with Action Scheduler reads them, in
 * UTC: minute hour day-of-month month day-of-week [year]. It keeps the text
 * of each field and compares it the way PHP compares strings, and so does
 * this, because that decides what odd spellings mean.
 *
 * Reproduced on purpose:
 * - day of month and day of week must both match;
 * - looking from the 29th, 30th or 31st of a month that does not match, a
 *   shorter next month is passed over ("0 0 1 2 *" asked on 31 January answers
 *   1 February of the next year);
 * - 31W in a shorter month stands for the day it runs over to;
 * - after 1000 steps an expression is impossible.
 *
 * Refused here, though PHP would go on: bytes outside printable ASCII, items
 * over CEILING_CRON_ITEM_BYTES, numbers with sign, point, exponent or over 18
 * digits, a step or the bounds of a stepped range that are not plain numbers,
 * a step of 0 within a range and "8L" (both loop for ever in PHP), years past
 * 9999.
 */
#define CRON_EXPRESSION_PARTS_MAX 6

enum cron_expression_field {
	CRON_EXPRESSION_MINUTE,
	CRON_EXPRESSION_HOUR,
	CRON_EXPRESSION_DAY,
	CRON_EXPRESSION_MONTH,
	CRON_EXPRESSION_WEEKDAY,
	CRON_EXPRESSION_YEAR,
};

struct cron_expression {
	struct slice parts[CRON_EXPRESSION_PARTS_MAX];
	size_t nparts; /* 5, or 6 with a year */
};

/*
 * cron_expression_parse - five or six fields, or a macro (@yearly @annually
 * @monthly @weekly @daily @hourly). The parts point into `text`. RC_REJECT:
 * not an expression, and why.
 */
MUSTUSE enum rc cron_expression_parse(
    struct slice text, struct cron_expression *out, struct err *err);
/* The same from fields that were stored apart (cronParts). */
MUSTUSE enum rc cron_expression_from_parts(const struct slice *parts, size_t n,
    struct cron_expression *out, struct err *err);

/*
 * cron_expression_next - the first match after the minute of `after`.
 * cron_expression_first - likewise, but that minute itself may match; the
 * answer is then up to 59 s before `from`.
 *
 * RC_REJECT: nothing found in 1000 steps ("Impossible CRON expression"), or a
 * field that cannot be evaluated was reached; `*out` is untouched. Both answer
 * in whole minutes; times are Unix seconds of the years 1 to 9999.
 */
MUSTUSE enum rc cron_expression_next(const struct cron_expression *expr,
    int64_t after, int64_t *out, struct err *err);
MUSTUSE enum rc cron_expression_first(const struct cron_expression *expr,
    int64_t from, int64_t *out, struct err *err);

#endif
