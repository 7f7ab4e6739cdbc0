#include "engine/reader_cache.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

/* Entries that a key may stand in; the first of them is picked by its bits,
 * which whoever makes up cookies cannot aim: he knows nobody else's. */
#define WAYS 8
/* A wall clock that was set back must not keep a reader for longer. */
#define REST_MAX_S 300

struct entry {
	struct reader_key key;
	uint64_t user_id; /* 0: not proven */
	int64_t expires;
	int64_t rests_till;
	uint32_t network;
	bool used;
	bool asked; /* since the hand of its set passed */
};

struct reader_cache {
	size_t nsets;
	unsigned char *hands; /* of each set: where room is looked for */
	struct entry *entries;
};

struct reader_cache *
reader_cache_new(size_t max)
{
	struct reader_cache *c = xcalloc(1, sizeof(*c));

	c->nsets = max / WAYS + 1;
	c->hands = xcalloc(c->nsets, 1);
	c->entries = xcalloc(c->nsets * WAYS, sizeof(*c->entries));
	return c;
}

void
reader_cache_free(struct reader_cache *c)
{
	if (!c)
		return;
	free(c->hands);
	free(c->entries);
	free(c);
}

static void
put_u32(unsigned char *to, uint32_t v)
{
	for (size_t i = 0; i < 4; i++)
		to[i] = (unsigned char)(v >> (8 * i));
}

/* As EVP has it, but without its allocation for each. */
void
reader_key_of(uint32_t network, uint32_t blog_id, struct slice value,
    struct reader_key *out)
{
	unsigned char place[8], digest[SHA256_DIGEST_LENGTH];
	unsigned char both[sizeof(place) + sizeof(digest)];

	put_u32(place, network);
	put_u32(place + 4, blog_id);
	(void)SHA256((const unsigned char *)value.p, value.n, digest);
	memcpy(both, place, sizeof(place));
	memcpy(both + sizeof(place), digest, sizeof(digest));
	(void)SHA256(both, sizeof(both), out->bytes);
}

/* The entry of a user, whichever cookie it was: no digest has 20 zeroes. */
static void
user_key(uint32_t network, uint64_t user_id, struct reader_key *out)
{
	*out = (struct reader_key){ .bytes = { 0 } };
	put_u32(out->bytes, (uint32_t)(user_id * 2654435761u));
	put_u32(out->bytes + 4, (uint32_t)user_id);
	put_u32(out->bytes + 8, (uint32_t)(user_id >> 32));
	put_u32(out->bytes + 28, network);
}

static size_t
set_of(const struct reader_cache *c, const struct reader_key *key)
{
	uint64_t bits;

	memcpy(&bits, key->bytes, sizeof(bits));
	return (size_t)(bits % c->nsets);
}

static struct entry *
find(struct reader_cache *c, const struct reader_key *key)
{
	struct entry *e = &c->entries[set_of(c, key) * WAYS];

	for (size_t i = 0; i < WAYS; i++)
		if (e[i].used && memcmp(&e[i].key, key, sizeof(*key)) == 0)
			return &e[i];
	return NULL;
}

/* The key's entry; a new one takes the place of one not asked for lately. */
static struct entry *
find_or_make(struct reader_cache *c, const struct reader_key *key)
{
	size_t set = set_of(c, key);
	struct entry *of = &c->entries[set * WAYS], *e = find(c, key);
	unsigned char *hand = &c->hands[set];

	if (e)
		return e;
	/* Ends: a second round finds all of them not asked for. */
	for (e = &of[*hand]; e->used && e->asked; e = &of[*hand]) {
		e->asked = false;
		*hand = (unsigned char)((*hand + 1) % WAYS);
	}
	*hand = (unsigned char)((*hand + 1) % WAYS);
	*e = (struct entry){ .key = *key, .used = true };
	return e;
}

static bool
rests(const struct entry *e, int64_t now)
{
	return e->rests_till > now && e->rests_till - now <= REST_MAX_S;
}

enum reader_state
reader_cache_state(
    struct reader_cache *c, const struct reader_key *key, int64_t now)
{
	struct entry *e = find(c, key);
	const struct entry *user;
	struct reader_key of_user;

	if (!e)
		return READER_UNKNOWN;
	e->asked = true;
	if (rests(e, now))
		return READER_RESTS;
	if (e->user_id == 0 || e->expires < now)
		return READER_UNKNOWN;
	user_key(e->network, e->user_id, &of_user);
	user = find(c, &of_user);
	if (!user || !rests(user, now))
		return READER_PROVEN;
	e->rests_till = user->rests_till;
	return READER_RESTS;
}

void
reader_cache_looking(
    struct reader_cache *c, const struct reader_key *key, int64_t now)
{
	find_or_make(c, key)->rests_till = now + READER_LOOK_S;
}

void
reader_cache_proven(struct reader_cache *c, const struct reader_key *key,
    const struct reader_found *found)
{
	struct entry *e = find_or_make(c, key);
	struct reader_key of_user;

	e->user_id = found->user_id;
	e->network = found->network;
	e->expires = found->expires;
	e->rests_till = found->rests_till;
	e->asked = true;
	if (!found->staged)
		return;
	user_key(found->network, found->user_id, &of_user);
	e = find_or_make(c, &of_user);
	e->rests_till = found->rests_till;
	e->asked = true;
}

void
reader_cache_forget(struct reader_cache *c, const struct reader_key *key)
{
	struct entry *e = find(c, key);

	if (e)
		e->used = false;
}
