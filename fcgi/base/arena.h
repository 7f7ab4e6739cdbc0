#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"
#include "base/slice.h"

/*
 * Memory that dies together: what one job, request or parse needs. There is
 * no free of a single piece. Every arena has a ceiling; past it, or without
 * memory, arena_alloc() returns NULL.
 */
struct arena_chunk;
struct arena {
	struct arena_chunk *chunks; /* newest first */
	size_t used;
	size_t max;
	bool failed; /* something did not fit: look once, at the end */
};
#define ARENA_INIT(ceiling)                                                    \
	{                                                                      \
		.max = (ceiling)                                               \
	}

/* Zeroed, aligned for any type; NULL past the ceiling. */
MUSTUSE void *arena_alloc(struct arena *a, size_t n);
/* `count` zeroed elements; NULL on overflow or past the ceiling. */
MUSTUSE void *arena_array(struct arena *a, size_t count, size_t size);
/* A copy, NUL-terminated; NULL past the ceiling. */
MUSTUSE char *arena_strdup(struct arena *a, struct slice s);
/* The same as a slice; p is NULL for a slice without, and past the ceiling. */
struct slice arena_slice(struct arena *a, struct slice s);
/* Free everything; the ceiling stays. May be called twice. */
void arena_clear(struct arena *a);

#endif
