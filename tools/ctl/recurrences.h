#ifndef CTL_RECURRENCES_H
#define CTL_RECURRENCES_H

#include "ctl.h"

/*
 * How often an event recurs, by the name of its recurrence: WordPress' own,
 * and for others what PHP says (wp_get_schedules()), which is asked once, when
 * it must be.
 */
struct recurrences {
	const struct ctl *c;
	const struct place *place;
	json_t *export; /* PHP's; NULL: not asked yet */
};
void recurrences_clear(struct recurrences *r);

/*
 * recurrences_find - the interval in seconds. RC_NONE: there is no recurrence
 * of that name. RC_RETRY, RC_REJECT: PHP could not be asked.
 */
MUSTUSE enum rc recurrences_find(struct recurrences *r, struct slice name,
    int64_t *interval, struct err *err);

#endif
