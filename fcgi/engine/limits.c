#include "engine/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/xalloc.h"
#include "sql/buckets.h"
#include "sql/leases.h"

/* Starts taken from the shared bucket at once. */
#define TOKENS_AT_ONCE 20
/* Hooks under limits on one site; more are turned away. */
#define LIMITS_MAX 1024
#define NAME_MAX_LEN 191
#define TRY_SLOTS_EVERY_MS 500

static void
limit_name(const struct limit *l, uint32_t blog_id, const char *kind,
    uint32_t slot, char out[NAME_MAX_LEN + 1])
{
	(void)snprintf(out, NAME_MAX_LEN + 1, "%s:%u:%u:%.150s", kind, blog_id,
	    slot, l->hook);
}

struct limit *
limits_find(const struct limits *l, struct slice hook)
{
	for (size_t i = 0; i < l->n; i++)
		if (slice_eq_str(hook, l->items[i]->hook))
			return l->items[i];
	return NULL;
}

static struct limit *
limit_get(struct limits *l, struct slice hook)
{
	struct limit *x = limits_find(l, hook);

	if (x || l->n == LIMITS_MAX)
		return x;
	x = xcalloc(1, sizeof *x);
	x->hook = xstrndup(hook);
	l->items = xrealloc(l->items, l->n + 1, sizeof(struct limit *));
	l->items[l->n++] = x;
	return x;
}

static bool
has_token(struct limit *l, const struct limits_scope *s, struct rate rate)
{
	wall_us now = clock_wall(s->clock);
	wall_us window = (wall_us)rate.per_s * 1000000;
	uint32_t want =
	    rate.count < TOKENS_AT_ONCE ? rate.count : TOKENS_AT_ONCE;
	char name[NAME_MAX_LEN + 1];

	/* Or the clock went back, or the rate is another one now. */
	if (now >= l->window_end || l->window_end - now > window) {
		l->tokens = 0;
		l->empty = false;
		l->window_end = (now / window + 1) * window;
	}
	if (l->tokens > 0)
		return true;
	limit_name(l, s->blog_id, "rate", 0, name);
	if (l->empty || bucket_take(s->db, s->scope, name, rate.count,
			    rate.per_s, want, &l->tokens, NULL) != RC_OK)
		return false;
	l->empty = l->tokens < want;
	return l->tokens > 0;
}

static bool
has_slot(struct limit *l, const struct limits_scope *s, uint32_t most)
{
	uint32_t used = atomic_load(&l->busy) + l->pending;
	mono_ms now = clock_mono(s->clock);
	char name[NAME_MAX_LEN + 1];

	if (most > LIMIT_SLOTS_MAX)
		most = LIMIT_SLOTS_MAX;
	if (used >= most)
		return false;
	if (used < l->nslots)
		return true;
	if (now < l->take_at)
		return false;
	for (uint32_t i = 0; i < most && l->nslots <= used; i++) {
		if (l->slots[i] != 0)
			continue;
		limit_name(l, s->blog_id, "slot", i, name);
		if (lease_take(s->db, s->scope, name, s->node_id, s->ttl_ms,
			&l->slots[i], NULL) == RC_OK) {
			if (l->nslots++ == 0)
				l->renew_at = now + s->ttl_ms / 3;
		} else {
			l->slots[i] = 0;
		}
	}
	if (l->nslots <= used)
		l->take_at = now + TRY_SLOTS_EVERY_MS;
	return l->nslots > used;
}

enum admit
limits_admit(struct limits *l, const struct limits_scope *s, struct slice hook,
    const struct policy *p)
{
	struct limit *x;

	if (p->rate.count == 0 && p->concurrency == 0)
		return ADMIT_TAKE;
	x = limit_get(l, hook);
	if (!x)
		return ADMIT_BAR;
	if ((p->concurrency > 0 && !has_slot(x, s, p->concurrency)) ||
	    (p->rate.count > 0 && !has_token(x, s, p->rate))) {
		x->barred = true;
		return ADMIT_BAR;
	}
	x->pending++;
	if (p->rate.count > 0)
		x->tokens--;
	return ADMIT_TAKE;
}

void
limits_hold(struct limit *limit)
{
	limit->pending--;
	atomic_fetch_add(&limit->busy, 1);
}

void
limits_settle_claim(struct limits *l)
{
	for (size_t i = 0; i < l->n; i++) {
		l->items[i]->tokens += l->items[i]->pending;
		l->items[i]->pending = 0;
	}
}

void
limits_release(struct limit *limit)
{
	atomic_fetch_sub(&limit->busy, 1);
}

static void
slots_renew(struct limit *l, const struct limits_scope *s)
{
	char name[NAME_MAX_LEN + 1];

	for (uint32_t i = 0; i < LIMIT_SLOTS_MAX; i++) {
		if (l->slots[i] == 0)
			continue;
		limit_name(l, s->blog_id, "slot", i, name);
		if (lease_renew(s->db, s->scope, name, l->slots[i], s->ttl_ms,
			NULL) == RC_NONE) {
			l->slots[i] = 0;
			l->nslots--;
		}
	}
	l->renew_at = clock_mono(s->clock) + s->ttl_ms / 3;
}

static void
slots_give(struct limit *l, const struct limits_scope *s, uint32_t keep)
{
	char name[NAME_MAX_LEN + 1];

	for (uint32_t i = LIMIT_SLOTS_MAX; i-- > 0 && l->nslots > keep;) {
		if (l->slots[i] == 0)
			continue;
		limit_name(l, s->blog_id, "slot", i, name);
		/* Not given back, it ends by itself. */
		if (lease_give(s->db, s->scope, name, l->slots[i], NULL) ==
		    RC_RETRY)
			return;
		l->slots[i] = 0;
		l->nslots--;
	}
}

void
limits_tend(struct limits *l, const struct limits_scope *s)
{
	for (size_t i = 0; i < l->n; i++) {
		struct limit *x = l->items[i];
		uint32_t busy = atomic_load(&x->busy);

		if (x->nslots > busy)
			slots_give(x, s, busy);
		if (x->nslots > 0 && clock_mono(s->clock) >= x->renew_at)
			slots_renew(x, s);
	}
}

/* When a hook that was turned away may run again; 0: at once. */
static mono_ms
opens_at(const struct limit *x, const struct clock *clock)
{
	mono_ms now = clock_mono(clock), at = x->take_at > now ? x->take_at : 0;
	wall_us left = x->window_end - clock_wall(clock);

	if (x->empty && left > 0 && now + left / 1000 + 1 > at)
		at = now + left / 1000 + 1;
	return at;
}

bool
limits_reopen(struct limits *l, const struct clock *clock)
{
	bool again = false;

	for (size_t i = 0; i < l->n; i++) {
		struct limit *x = l->items[i];

		if (x->barred && opens_at(x, clock) == 0) {
			x->barred = false;
			again = true;
		}
	}
	return again;
}

mono_ms
limits_next(const struct limits *l, const struct clock *clock)
{
	mono_ms next = INT64_MAX;

	for (size_t i = 0; i < l->n; i++) {
		mono_ms at =
		    l->items[i]->barred ? opens_at(l->items[i], clock) : 0;

		if (at > 0 && at < next)
			next = at;
	}
	return next;
}

void
limits_clear(struct limits *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->items[i]->hook);
		free(l->items[i]);
	}
	free(l->items);
	*l = (struct limits){ 0 };
}
