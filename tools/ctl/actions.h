#ifndef CTL_ACTIONS_H
#define CTL_ACTIONS_H

#include "ctl.h"

/* The arguments of a command as ids, NULL after words on standard error; the
 * caller's to free(). */
MUSTUSE uint64_t *action_ids(const struct ctl *c);

/* Column `schedule` for a reader: kind, times, and when the instance after
 * this one would be due if it ended now. */
json_t *action_schedule_json(struct slice stored);

#endif
