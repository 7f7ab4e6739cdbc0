#ifndef QUEUES_RETRY_H
#define QUEUES_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/job.h"

/*
 * retry_allowed - does policy give a job that ended like this another try? In
 * *strikes how often it has killed its executor then. Pure.
 */
bool retry_allowed(const struct outcome *o, uint32_t *strikes);

/* Ended for good, because it killed its executor too often? */
bool retry_is_parked(const struct outcome *o);

/* Ended for good after more than one try? Then it is a dead letter. */
bool retry_is_exhausted(const struct outcome *o);

/* How long a failed try waits: the policy's backoff with jitter by a random
 * number. */
int64_t retry_backoff_ms(const struct policy *p, uint32_t try, uint64_t random);

#endif
