#include "engine/pace.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

struct pace_hook {
	char *name;
	size_t len;
	uint64_t noted; /* pace.clock then */
	int32_t ms[PACE_SAMPLES];
	unsigned n, next;
};

static int
compare(const struct pace_hook *h, struct slice hook)
{
	size_t n = h->len < hook.n ? h->len : hook.n;
	int c = n > 0 ? memcmp(h->name, hook.p, n) : 0;

	return c != 0 ? c : (h->len > hook.n) - (h->len < hook.n);
}

/* Where it is, or is to be. */
static size_t
place_of(const struct pace *p, struct slice hook)
{
	size_t low = 0, high = p->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&p->hooks[middle], hook) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
forget_oldest(struct pace *p)
{
	size_t oldest = 0;

	for (size_t i = 1; i < p->n; i++)
		if (p->hooks[i].noted < p->hooks[oldest].noted)
			oldest = i;
	free(p->hooks[oldest].name);
	p->n--;
	memmove(p->hooks + oldest, p->hooks + oldest + 1,
	    (p->n - oldest) * sizeof *p->hooks);
}

static struct pace_hook *
add(struct pace *p, struct slice hook)
{
	size_t at;

	if (p->n == PACE_HOOKS_MAX)
		forget_oldest(p);
	at = place_of(p, hook);
	p->hooks = xrealloc(p->hooks, p->n + 1, sizeof *p->hooks);
	memmove(
	    p->hooks + at + 1, p->hooks + at, (p->n - at) * sizeof *p->hooks);
	p->n++;
	p->hooks[at] =
	    (struct pace_hook){ .name = xstrndup(hook), .len = hook.n };
	return &p->hooks[at];
}

void
pace_note(struct pace *p, struct slice hook, int64_t ms)
{
	size_t at = place_of(p, hook);
	struct pace_hook *h = at < p->n && compare(&p->hooks[at], hook) == 0
				  ? &p->hooks[at]
				  : add(p, hook);

	h->noted = ++p->clock;
	h->ms[h->next] = ms > INT32_MAX ? INT32_MAX : (int32_t)ms;
	h->next = (h->next + 1) % PACE_SAMPLES;
	if (h->n < PACE_SAMPLES)
		h->n++;
}

static int
by_size(const void *a, const void *b)
{
	const int32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int64_t
pace_p95(const struct pace *p, struct slice hook)
{
	size_t at = place_of(p, hook);
	int32_t sorted[PACE_SAMPLES];
	const struct pace_hook *h;

	if (at == p->n || compare(&p->hooks[at], hook) != 0)
		return -1;
	h = &p->hooks[at];
	memcpy(sorted, h->ms, h->n * sizeof *sorted);
	qsort(sorted, h->n, sizeof *sorted, by_size);
	return sorted[(h->n * 95 + 99) / 100 - 1];
}

void
pace_clear(struct pace *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->hooks[i].name);
	free(p->hooks);
	*p = (struct pace){ .n = 0 };
}
