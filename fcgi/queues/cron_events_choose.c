/*
 * Choosing: which of the due events in the option are moved to the table. A
 * hook with many of them, or one that waits already and cannot run, never
 * keeps those of others in the option.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "queues/cron_events_internal.h"

/* An export was asked for; until it comes, or it is asked for again. */
#define EXPORT_WAIT_S 5
/* Rows of a hook wait and cannot run: more of it, then. */
#define STUCK_WAIT_S 2
/* Nobody may run it: what holds it may pass without a word. */
#define BARRED_WAIT_S 10
/* So many of a hook wait, as long as there are others. */
#define HOOK_SHARE 250
/* Events of hooks of which none waits are taken however many rows do, so many
 * at a time, until half of the rows that are looked at do. */
#define FRESH_MAX 250
#define FRESH_ROWS (CRON_WAITING_ROWS / 2)
/* Bytes of events in one transaction: it lasts milliseconds. */
#define TAKE_BYTES ((size_t)8 << 20)

/* ---- what stays ---------------------------------------------------------- */

static uint64_t
mark_of(const struct cron_event *e)
{
	char slot[CRON_SLOT_LEN];
	uint64_t mark;

	cron_slot(e->timestamp, e->hook, e->key, slot);
	memcpy(&mark, slot, sizeof mark);
	return mark;
}

static bool
has_mark(const uint64_t *marks, size_t n, uint64_t mark)
{
	for (size_t i = 0; i < n; i++)
		if (marks[i] == mark)
			return true;
	return false;
}

/* Once; the first few are remembered. */
static void
say(struct cron_events *q, const struct cron_event *e, const char *why)
{
	uint64_t mark = mark_of(e);

	if (q->nsaid == CRON_SAID_MAX || has_mark(q->said, q->nsaid, mark))
		return;
	q->said[q->nsaid++] = mark;
	log_event(LOG_WARN, "cron.left_in_option", LOG_U("blog", q->blog_id),
	    LOG_I("at", e->timestamp),
	    LOG_SLICE(
		"hook", slice_mem(e->hook.p, slice_utf8_cut(e->hook, 200))),
	    LOG_S("why", why));
}

void
cron_leave(struct cron_events *q, const struct cron_event *e, const char *why)
{
	say(q, e, why);
	q->left[q->nleft++ % CRON_LEFT_MAX] = mark_of(e);
}

static bool
is_left(const struct cron_events *q, const struct cron_event *e)
{
	size_t n = q->nleft < CRON_LEFT_MAX ? q->nleft : CRON_LEFT_MAX;

	return n > 0 && has_mark(q->left, n, mark_of(e));
}

bool
cron_is_fit(struct cron_events *q, const struct cron_event *e)
{
	const char *why = e->hook.n > CRON_HOOK_MAX ? "the hook is too long"
			  : e->key.n > CRON_KEY_MAX ? "the key is too long"
			  : e->recurrence.n > CRON_RECURRENCE_MAX
			      ? "the name of its recurrence is too long"
			  : e->span.n > CRON_EVENT_BYTES
			      ? "its arguments are too long"
			  : e->args.n == 0 ? "it has no arguments"
					   : NULL;

	if (why)
		say(q, e, why);
	return !why && !is_left(q, e);
}

/* ---- one by one ---------------------------------------------------------- */

/* May it be taken for a worker of some lane? */
static bool
admitted(
    struct cron_chosen *t, const struct cron_event *e, struct cron_choice *c)
{
	const struct candidate cand = {
		.kind = JOB_EVENT, .hook = e->hook, .due = e->timestamp
	};

	for (int l = 0; l < LANE_COUNT; l++) {
		enum lane lane = (enum lane)l;
		bool open =
		    t->req->room[l] > 0 && cron_lane_open(t->picks, lane);

		if (!open && !t->picks->lane[l].looked) {
			t->left = true;
			continue;
		}
		switch (t->req->admit(
		    t->req->arg, lane, &cand, &c->route, &c->policy)) {
		case ADMIT_TAKE:
		case ADMIT_ALONE:
			if (open || t->s->site.observe)
				return true;
			t->left = t->picks->more = true;
			return false;
		case ADMIT_FULL:
			t->left = t->picks->more = true;
			return false;
		case ADMIT_BAR:
			break;
		}
	}
	return false;
}

static void
wait_until(struct cron_chosen *t, int64_t when)
{
	if (when < t->until)
		t->until = when;
}

/* Only PHP knows whether a plugin keeps events elsewhere, and by what interval
 * a recurring one is scheduled again: nothing is taken by a guess. */
static bool
needs_export(const struct cron_chosen *t)
{
	return t->s->site.php && !t->s->site.observe &&
	       !cron_export_is_known(t->s, t->now);
}

/* As they stand in the option. */
static int
by_place(const void *a, const void *b)
{
	const struct cron_choice *x = a, *y = b;

	return x->event < y->event ? -1 : x->event > y->event;
}

/* How many of what is due are taken. */
struct budget {
	size_t shared; /* events of hooks that have less than their share */
	size_t fresh;  /* events of hooks of which none waits, beyond that */
	size_t rest;   /* all events, beyond the shares */
	size_t bytes;
};

static struct budget
budget_of(const struct cron_chosen *t)
{
	const struct cron_picks *p = t->picks;
	size_t shares = 0, all = p->waiting;

	for (size_t i = 0; i < p->hooks.cap; i++) {
		const struct cron_hook *h = &p->hooks.slots[i];

		if (!h->stuck)
			shares +=
			    h->waiting < HOOK_SHARE ? h->waiting : HOOK_SHARE;
	}
	shares = shares < CRON_TAKE_MAX ? CRON_TAKE_MAX - shares : 0;
	return (struct budget){
		.shared = shares,
		.fresh = shares < FRESH_MAX && all < FRESH_ROWS
			     ? FRESH_MAX - shares
			     : 0,
		.rest = all < CRON_TAKE_MAX ? CRON_TAKE_MAX - all : 0,
		.bytes = TAKE_BYTES,
	};
}

/* Take one out of the budget; false: there is none for it. */
static bool
spend(struct budget *b, const struct cron_choice *c, size_t *purse)
{
	size_t bytes = c->event->span.n + c->event->hook.n;

	if (*purse == 0 || b->bytes == 0)
		return false;
	--*purse;
	b->bytes -= bytes < b->bytes ? bytes : b->bytes;
	if (purse != &b->rest && b->rest > 0)
		b->rest--;
	c->hook->chosen++;
	return true;
}

/* From where may an event of the hook be paid; NULL: it is a spare one. */
static size_t *
purse_of(struct budget *b, const struct cron_hook *h)
{
	if (h->waiting + h->chosen >= HOOK_SHARE)
		return NULL;
	if (b->shared > 0)
		return &b->shared;
	return h->waiting == 0 && b->fresh > 0 ? &b->fresh : NULL;
}

struct spares {
	struct cron_choice choices[CRON_TAKE_MAX];
	size_t n;
};

/* Take an event, keep it as a spare one, or say until when it is left. */
static void
choose_one(struct cron_chosen *t, struct budget *b, struct spares *spares,
    const struct cron_event *e)
{
	struct cron_choice c = { .event = e };
	int64_t at = cron_takeable_at(t->s, e->timestamp);
	size_t *purse;

	if (at > t->now) {
		wait_until(t, at);
		return;
	}
	if (!cron_is_fit(t->q, e))
		return;
	c.hook = cron_hooks_get(&t->picks->hooks, e->hook);
	if (c.hook && c.hook->stuck) {
		wait_until(t, t->now + STUCK_WAIT_S);
		return;
	}
	purse = c.hook ? purse_of(b, c.hook) : NULL;
	/* Of a hook with many, no more are judged than may be taken. */
	if (!purse && c.hook && spares->n == CRON_TAKE_MAX) {
		t->left = true;
		return;
	}
	if (!admitted(t, e, &c)) {
		wait_until(t, t->now + BARRED_WAIT_S);
		return;
	}
	if (needs_export(t)) {
		t->wants_export = true;
		wait_until(t, t->now + EXPORT_WAIT_S);
		return;
	}
	if (purse && spend(b, &c, purse))
		t->choices[t->n++] = c;
	else if (c.hook && spares->n < CRON_TAKE_MAX)
		spares->choices[spares->n++] = c;
	else
		t->left = true;
}

enum rc
cron_choose(struct cron_chosen *t, struct err *err)
{
	const size_t room = CRON_TAKE_MAX;
	struct budget b;
	struct spares *spares = arena_alloc(t->arena, sizeof *spares);

	t->choices = arena_array(t->arena, room, sizeof *t->choices);
	/* Only observed: no rows were looked at. */
	if (!spares || !t->choices ||
	    (!t->picks->hooks.slots &&
		!cron_hooks_init(&t->picks->hooks, &t->picks->arena,
		    2 * (size_t)CRON_TAKE_MAX)))
		return err_set(err, RC_RETRY, "no memory for what is due");
	b = budget_of(t);
	for (size_t i = 0; i < t->array->n && t->n < room; i++)
		choose_one(t, &b, spares, &t->array->events[i]);
	for (size_t i = 0; i < spares->n; i++) {
		if (t->n < room && spend(&b, &spares->choices[i], &b.rest))
			t->choices[t->n++] = spares->choices[i];
		else
			t->left = true;
	}
	if (t->left)
		t->picks->more = true;
	if (t->n > 0)
		qsort(t->choices, t->n, sizeof *t->choices, by_place);
	return RC_OK;
}
