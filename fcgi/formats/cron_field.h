#ifndef FORMATS_CRON_FIELD_H
#define FORMATS_CRON_FIELD_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/* Longer runs of digits are not numbers here. */
#define CRON_FIELD_DIGITS_MAX 18

/* One moment, to the minute, with its calendar date at hand. */
struct cron_moment {
	int64_t days; /* since 1970-01-01 */
	int64_t year;
	int month, day;
	int hour, minute;
};

/* Go to another day; the time of day stays. */
void cron_moment_set_days(struct cron_moment *m, int64_t days);

/*
 * Whether a moment satisfies one item of a cron field's comma list, as the
 * field classes of PHP's CronExpression decide it. RC_OK: it does. RC_NONE: it
 * does not. RC_REJECT: the item cannot be evaluated; cron_expression.h says
 * what that is. Items have at most CEILING_CRON_ITEM_BYTES - 1 bytes of
 * printable ASCII.
 */
typedef enum rc cron_field_fn(
    const struct cron_moment *m, struct slice item, struct err *err);
cron_field_fn cron_field_minute, cron_field_hour, cron_field_day,
    cron_field_month, cron_field_weekday, cron_field_year;

#endif
