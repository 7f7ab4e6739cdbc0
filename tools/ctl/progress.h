#ifndef CTL_PROGRESS_H
#define CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/*
 * How far a run is, on standard error: a bar that is drawn over itself on a
 * terminal, a plain line every few seconds elsewhere.
 */
struct progress {
	bool quiet, terminal, drawn;
	uint64_t total;
	mono_ms begun, shown;
};

void progress_begin(struct progress *p, uint64_t total, bool quiet);
void progress_show(
    struct progress *p, uint64_t done, uint64_t failed, uint64_t running);
/* Remove the bar, so that what follows begins on a line of its own. */
void progress_end(struct progress *p);

#endif
