#include "queues/cron_hooks.h"

#include <stdint.h>

bool
cron_hooks_init(struct cron_hooks *h, struct arena *a, size_t n)
{
	*h = (struct cron_hooks){ .cap = 64, .arena = a };
	while (h->cap < 2 * n)
		h->cap *= 2;
	h->slots = arena_array(a, h->cap, sizeof *h->slots);
	return h->slots != NULL;
}

/* FNV-1a: only spreads hooks over the slots. */
static size_t
hash(struct slice s)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * UINT64_C(1099511628211);
	return (size_t)(h ^ h >> 32);
}

struct cron_hook *
cron_hooks_get(struct cron_hooks *h, struct slice hook)
{
	size_t i = hash(hook) & (h->cap - 1);

	if (!h->slots)
		return NULL;
	while (h->slots[i].hook.p) {
		if (slice_eq(h->slots[i].hook, hook))
			return &h->slots[i];
		i = (i + 1) & (h->cap - 1);
	}
	if (2 * h->n >= h->cap)
		return NULL;
	hook.p = arena_strdup(h->arena, hook);
	if (!hook.p)
		return NULL;
	h->n++;
	h->slots[i].hook = hook;
	return &h->slots[i];
}
