#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/cron_array_private.h"

/* FNV-1a, 64 bits, then a multiplication to bring the high bits down. */
#define HASH_BASIS 14695981039346656037u
#define HASH_PRIME 1099511628211u
#define HASH_MIX 0x9e3779b97f4a7c15u

static uint64_t
hash_bytes(uint64_t h, const void *p, size_t n)
{
	const unsigned char *bytes = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ bytes[i]) * HASH_PRIME;
	return h;
}

/* Int keys are looked up by their decimal too, which no string key can have. */
static uint32_t
hash_of(const struct cron_tree *t, uint32_t parent, struct slice key)
{
	uint64_t h = hash_bytes(HASH_BASIS ^ parent, key.p, key.n);

	return (uint32_t)((h * HASH_MIX) >> 32) & t->mask;
}

bool
cron_tree_init(struct cron_tree *t, struct arena *a)
{
	*t = (struct cron_tree){ .arena = a };
	return cron_tree_add(t) == 0 && t->n == 1;
}

static bool
add_chunk(struct cron_tree *t)
{
	const size_t each = sizeof(struct cron_node *);
	struct cron_node *chunk;

	if (t->nchunks == t->chunks_cap) {
		uint32_t cap = t->chunks_cap ? t->chunks_cap * 2 : 16;
		struct cron_node **grown = arena_array(t->arena, cap, each);

		if (!grown)
			return false;
		if (t->nchunks)
			memcpy(grown, t->chunks, t->nchunks * each);
		t->chunks = grown;
		t->chunks_cap = cap;
	}
	chunk = arena_array(t->arena, CRON_CHUNK, sizeof *chunk);
	if (!chunk)
		return false;
	t->chunks[t->nchunks++] = chunk;
	return true;
}

uint32_t
cron_tree_add(struct cron_tree *t)
{
	if (t->n == t->nchunks * CRON_CHUNK && !add_chunk(t))
		return 0;
	cron_node_at(t, t->n)->event = CRON_NO_EVENT;
	return t->n++;
}

bool
cron_tree_table(struct cron_tree *t, uint32_t more)
{
	uint64_t size = 16;

	while (size < ((uint64_t)t->n + more) * 2)
		size *= 2;
	t->table = arena_array(t->arena, size, sizeof *t->table);
	t->mask = (uint32_t)(size - 1);
	return t->table != NULL;
}

static void
enter_in_table(struct cron_tree *t, uint32_t i)
{
	const struct cron_node *node = cron_node_at(t, i);
	uint32_t at = hash_of(t, node->parent, node->key);

	while (t->table[at])
		at = (at + 1) & t->mask;
	t->table[at] = i;
}

bool
cron_tree_copy(struct cron_tree *to, const struct cron_tree *from,
    uint32_t more, struct arena *a)
{
	*to = *from;
	to->arena = a;
	to->chunks = NULL;
	to->nchunks = to->chunks_cap = 0;
	for (uint32_t i = 0; i < from->nchunks; i++) {
		if (!add_chunk(to))
			return false;
		memcpy(to->chunks[i], from->chunks[i],
		    CRON_CHUNK * sizeof **from->chunks);
	}
	if (!cron_tree_table(to, more))
		return false;
	for (uint32_t i = 1; to->chunks && i < to->n; i++)
		if (!cron_node_at(to, i)->dead)
			enter_in_table(to, i);
	return true;
}

void
cron_tree_link(struct cron_tree *t, uint32_t i)
{
	struct cron_node *node = cron_node_at(t, i);
	struct cron_node *parent = cron_node_at(t, node->parent);

	if (parent->last)
		cron_node_at(t, parent->last)->next = i;
	else
		parent->first = i;
	parent->last = i;
	parent->nchildren++;
	enter_in_table(t, i);
}

uint32_t
cron_tree_child(const struct cron_tree *t, uint32_t parent, struct slice key)
{
	uint32_t at = hash_of(t, parent, key);

	for (; t->table[at]; at = (at + 1) & t->mask) {
		const struct cron_node *node = cron_node_at(t, t->table[at]);

		if (!node->dead && node->parent == parent &&
		    slice_eq(node->key, key))
			return t->table[at];
	}
	return 0;
}

uint32_t
cron_tree_child_int(const struct cron_tree *t, uint32_t parent, int64_t index)
{
	char room[24];
	int n = snprintf(room, sizeof room, "%" PRId64, index);

	return cron_tree_child(t, parent, slice_mem(room, (size_t)n));
}

static uint32_t
slot_at(const struct cron_tree *t, uint32_t time, struct slice hook,
    struct slice key)
{
	uint32_t at = time ? cron_tree_child(t, time, hook) : 0;

	return at ? cron_tree_child(t, at, key) : 0;
}

uint32_t
cron_tree_slot(const struct cron_tree *t, int64_t timestamp, struct slice hook,
    struct slice key)
{
	uint32_t found =
	    slot_at(t, cron_tree_child_int(t, 0, timestamp), hook, key);

	if (found || t->odd_times == 0)
		return found;
	for (uint32_t i = cron_node_at(t, 0)->first; i && !found;
	     i = cron_node_at(t, i)->next) {
		const struct cron_node *time = cron_node_at(t, i);

		if (!time->dead && time->is_time && !time->int_key &&
		    time->timestamp == timestamp)
			found = slot_at(t, i, hook, key);
	}
	return found;
}

void
cron_tree_touch(struct cron_tree *t, uint32_t i)
{
	for (; i && !cron_node_at(t, i)->rewritten;
	     i = cron_node_at(t, i)->parent)
		cron_node_at(t, i)->rewritten = true;
	cron_node_at(t, 0)->rewritten = true;
}

static void
kill_children(struct cron_tree *t, uint32_t i)
{
	for (i = cron_node_at(t, i)->first; i; i = cron_node_at(t, i)->next) {
		if (cron_node_at(t, i)->dead)
			continue;
		cron_node_at(t, i)->dead = true;
		kill_children(t, i);
	}
}

void
cron_tree_kill(struct cron_tree *t, uint32_t i)
{
	struct cron_node *node = cron_node_at(t, i);

	kill_children(t, i);
	node->dead = true;
	cron_node_at(t, node->parent)->nchildren--;
	cron_tree_touch(t, node->parent);
}
