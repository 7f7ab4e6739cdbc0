#ifndef ENGINE_PACE_H
#define ENGINE_PACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/*
 * How long hooks take: the last durations of each, in memory. One thread
 * notes, with engine.lock; the same lock for reading.
 */
#define PACE_SAMPLES 20
/* Beyond so many hooks the one noted longest ago is forgotten. */
#define PACE_HOOKS_MAX 4096

struct pace_hook;
struct pace {
	struct pace_hook *hooks; /* sorted by name */
	size_t n;
	uint64_t clock; /* counts notes */
};

void pace_note(struct pace *p, struct slice hook, int64_t ms);
/* The 95th percentile of the last runs in ms; -1: it has not run yet. */
int64_t pace_p95(const struct pace *p, struct slice hook);
void pace_clear(struct pace *p);

#endif
