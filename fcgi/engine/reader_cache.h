#ifndef ENGINE_READER_CACHE_H
#define ENGINE_READER_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/slice.h"

/*
 * What is known of log-in cookies, so that a busy reader costs one read a
 * throttle window. It only ever saves reads: nobody is staged by what stands
 * in it. Of a fixed size; what was not asked for lately makes room. No lock of
 * its own, no clock: `now` is Unix time.
 */
struct reader_cache;
/* Room for about `max` entries, 64 bytes each, taken at once. */
struct reader_cache *reader_cache_new(size_t max);
void reader_cache_free(struct reader_cache *c); /* NULL is fine */

/* A cookie on one blog: SHA-256 of a place and of the whole value. */
struct reader_key {
	unsigned char bytes[32];
};
void reader_key_of(uint32_t network, uint32_t blog_id, struct slice value,
    struct reader_key *out);

enum reader_state {
	READER_UNKNOWN, /* never seen, or not recognised */
	READER_PROVEN,  /* was recognised; his time is over: look again */
	READER_RESTS,   /* nothing to look for now */
};
/*
 * reader_cache_state - also RESTS when the same reader was staged by another
 * cookie of theirs.
 */
enum reader_state reader_cache_state(
    struct reader_cache *c, const struct reader_key *key, int64_t now);
/* Somebody looks: rests for READER_LOOK_S, or until one of the next two. */
#define READER_LOOK_S 10
void reader_cache_looking(
    struct reader_cache *c, const struct reader_key *key, int64_t now);
/* What a look found. */
struct reader_found {
	uint32_t network;
	uint64_t user_id;
	int64_t expires;    /* of the cookie; not proven any more after it */
	int64_t rests_till; /* look again then */
	bool staged;        /* so does every other cookie of this user */
};
void reader_cache_proven(struct reader_cache *c, const struct reader_key *key,
    const struct reader_found *found);
/* Not recognised, or not looked at. */
void reader_cache_forget(struct reader_cache *c, const struct reader_key *key);

#endif
