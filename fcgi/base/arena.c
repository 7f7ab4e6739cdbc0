#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE 4096

struct arena_chunk {
	struct arena_chunk *next;
	size_t used;
	size_t cap;
	alignas(max_align_t) unsigned char mem[];
};

static struct arena_chunk *
chunk_add(struct arena *a, size_t n)
{
	size_t cap = n > CHUNK_SIZE ? n : CHUNK_SIZE;
	struct arena_chunk *c = malloc(sizeof *c + cap);

	if (!c)
		return NULL;
	c->next = a->chunks;
	c->used = 0;
	c->cap = cap;
	a->chunks = c;
	return c;
}

static void *
refuse(struct arena *a)
{
	a->failed = true;
	return NULL;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	const size_t align = alignof(max_align_t);
	struct arena_chunk *c = a->chunks;
	void *p;

	if (n > SIZE_MAX - align)
		return refuse(a);
	n = (n + align - 1) / align * align;
	if (n > a->max || a->used > a->max - n)
		return refuse(a);
	if (!c || c->cap - c->used < n)
		c = chunk_add(a, n);
	if (!c)
		return refuse(a);
	p = c->mem + c->used;
	c->used += n;
	a->used += n;
	memset(p, 0, n);
	return p;
}

void *
arena_array(struct arena *a, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		return refuse(a);
	return arena_alloc(a, count * size);
}

char *
arena_strdup(struct arena *a, struct slice s)
{
	char *p = s.n < SIZE_MAX ? arena_alloc(a, s.n + 1) : refuse(a);

	if (p && s.n > 0)
		memcpy(p, s.p, s.n);
	return p;
}

struct slice
arena_slice(struct arena *a, struct slice s)
{
	char *p = s.p ? arena_strdup(a, s) : NULL;

	return (struct slice){ p, p ? s.n : 0 };
}

void
arena_clear(struct arena *a)
{
	while (a->chunks) {
		struct arena_chunk *c = a->chunks;

		a->chunks = c->next;
		free(c);
	}
	a->used = 0;
	a->failed = false;
}
