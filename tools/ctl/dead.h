#ifndef CTL_DEAD_H
#define CTL_DEAD_H

#include "ctl.h"
#include "queues/dead_letters.h"

/* Retry the letters that the command line names, or all of a kind; -1: any.
 * Prints and returns what `dead retry` does. */
MUSTUSE int dead_retry(struct ctl *c, int kind);

#endif
