#ifndef QUEUES_DEAD_JOBS_H
#define QUEUES_DEAD_JOBS_H

#include "base/job.h"
#include "queues/dead_letters.h"

/* A job whose tries are used up, as a dead letter; in the transaction that
 * settles it. */
MUSTUSE enum rc dead_letter_of_job(struct db *db, const struct sql_scope *scope,
    enum dead_kind kind, uint32_t blog_id, const struct outcome *o,
    struct err *err);

#endif
