/*
 * Observing: what would run is recorded once, and when it left the option.
 * Nothing but our own table is written.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "queues/cron_events_internal.h"

struct observing {
	struct cron_events *q;
	const struct cron_settings *s;
	const struct cron_array *array;
	const struct cron_choice *choices;
	size_t n;
	struct arena arena;
};

/* Everything in the option, or everything observed, as sorted slots. */
struct slots {
	char (*slots)[CRON_SLOT_LEN];
	size_t n;
};

static int
by_slot(const void *a, const void *b)
{
	return memcmp(a, b, CRON_SLOT_LEN);
}

static bool
has_slot(const struct slots *s, const char *slot)
{
	return s->n > 0 &&
	       bsearch(slot, s->slots, s->n, CRON_SLOT_LEN, by_slot) != NULL;
}

static enum rc
slots_of_option(struct observing *o, struct slots *out, struct err *err)
{
	size_t n = o->array->n;

	out->n = n;
	out->slots = arena_array(&o->arena, n + 1, sizeof *out->slots);
	if (!out->slots)
		return err_set(err, RC_RETRY, "no memory to observe");
	for (size_t i = 0; i < n; i++) {
		const struct cron_event *e = &o->array->events[i];

		cron_slot(e->timestamp, e->hook, e->key, out->slots[i]);
	}
	qsort(out->slots, n, CRON_SLOT_LEN, by_slot);
	return RC_OK;
}

/* What was observed before: kept in `out`, or gone from the option. */
static enum rc
known_and_gone(struct observing *o, struct db *db, const struct slots *there,
    struct slots *out, struct err *err)
{
	struct sql_args args = *SQL_ARGS(V_U64(o->q->blog_id));
	struct db_rows *rows = NULL;
	uint64_t *gone;
	size_t max;
	enum rc rc =
	    db_select(db, &o->s->scope, SQL_EVENTS_OBSERVED, &args, &rows, err);

	if (rc != RC_OK)
		return rc;
	max = db_rows_count(rows);
	out->n = 0;
	out->slots = arena_array(&o->arena, max + 1, sizeof *out->slots);
	gone = arena_array(&o->arena, max + 1, sizeof *gone);
	if (!out->slots || !gone) {
		db_rows_free(rows);
		return err_set(err, RC_RETRY, "no memory to observe");
	}
	while (db_rows_next(rows)) {
		struct slice slot = db_text(rows, 1);

		if (slot.n == CRON_SLOT_LEN && has_slot(there, slot.p))
			memcpy(out->slots[out->n++], slot.p, CRON_SLOT_LEN);
		else
			gone[args.nids++] = db_u64(rows, 0);
	}
	db_rows_free(rows);
	qsort(out->slots, out->n, CRON_SLOT_LEN, by_slot);
	args.ids = gone;
	if (args.nids > 0)
		rc = db_exec(
		    db, &o->s->scope, SQL_EVENTS_GONE, &args, NULL, err);
	return rc;
}

/* The due ones that are not known, as a plan that only inserts. */
static enum rc
plan_of(struct observing *o, const struct slots *known, struct cron_plan *plan,
    struct err *err)
{
	struct cron_row *rows = arena_array(&o->arena, o->n + 1, sizeof *rows);

	*plan = (struct cron_plan){ 0 };
	plan->steps = arena_array(&o->arena, o->n + 1, sizeof *plan->steps);
	if (!rows || !plan->steps)
		return err_set(err, RC_RETRY, "no memory to observe");
	for (size_t i = 0; i < o->n; i++) {
		const struct cron_event *e = o->choices[i].event;
		struct cron_row *row = &rows[plan->n];

		cron_slot(e->timestamp, e->hook, e->key, row->slot);
		if (has_slot(known, row->slot))
			continue;
		row->state = "observed";
		row->message = "";
		row->scheduled_at = e->timestamp;
		row->event = e;
		plan->steps[plan->n++] =
		    (struct cron_step){ .event = e, .rows = row, .nrows = 1 };
	}
	return RC_OK;
}

static enum rc
server_time(
    struct observing *o, struct db *db, struct slice *now, struct err *err)
{
	struct db_rows *rows = NULL;
	enum rc rc = db_select(
	    db, &o->s->scope, SQL_EVENTS_NOW, SQL_NO_ARGS, &rows, err);

	if (rc == RC_OK && db_rows_next(rows)) {
		now->n = db_text(rows, 0).n;
		now->p = arena_strdup(&o->arena, db_text(rows, 0));
	}
	db_rows_free(rows);
	if (rc == RC_OK && !now->p)
		rc = err_set(err, RC_RETRY, "no memory to observe");
	return rc;
}

static enum rc
observe_body(struct db *db, void *arg, struct err *err)
{
	struct observing *o = arg;
	struct slots there = { 0 }, known = { 0 };
	struct slice now = SLICE_NONE;
	struct cron_plan plan = { 0 };
	enum rc rc;

	arena_clear(&o->arena);
	rc = cron_events_mutex(o->q, o->s, db, err);
	if (rc == RC_OK)
		rc = server_time(o, db, &now, err);
	if (rc == RC_OK)
		rc = slots_of_option(o, &there, err);
	if (rc == RC_OK)
		rc = known_and_gone(o, db, &there, &known, err);
	if (rc == RC_OK)
		rc = plan_of(o, &known, &plan, err);
	if (rc == RC_OK)
		rc = cron_plan_insert(o->q, o->s, db, &plan, now, "clock", err);
	return rc;
}

enum rc
cron_events_observe(struct cron_events *q, const struct cron_settings *s,
    struct db *db, const struct cron_array *c,
    const struct cron_choice *choices, size_t n, struct err *err)
{
	struct observing o = { .q = q,
		.s = s,
		.array = c,
		.choices = choices,
		.n = n,
		.arena = ARENA_INIT(CEILING_CRON_ARENA) };
	enum rc rc = db_transact(db, observe_body, &o, err);

	arena_clear(&o.arena);
	return rc == RC_OK ? RC_NONE : rc;
}
