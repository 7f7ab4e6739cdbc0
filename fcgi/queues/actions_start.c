/*
 * Starting: one short transaction that marks rows running, those that are still
 * as we claimed them.
 */
#include <stdlib.h>
#include <string.h>

#include "queues/actions_internal.h"

#define START_ARENA_MAX (16u << 20)

struct starting {
	const struct actions_settings *s;
	struct job *const *jobs;
	size_t n;
	bool careful; /* not all rows are as we left them: look before */
	int64_t now;
	struct arena *arena;
};

static int
by_id(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Is a running row the one that an earlier start of ours wrote? */
static bool
begun_by_us(const struct starting *st, uint64_t id, int64_t since)
{
	for (size_t i = 0; i < st->n; i++)
		if (st->jobs[i]->id == id)
			return st->jobs[i]->start_unknown != 0 &&
			       st->jobs[i]->start_unknown == since;
	return false;
}

/*
 * Some rows of a claim were not pending any more: lock them and look. One that
 * runs was begun by somebody who asks nobody (an administrator's "Run"), unless
 * an earlier start of ours lost its answer.
 */
static enum rc
start_some(const struct starting *st, struct db *db, uint64_t *ids, size_t *n,
    struct sql_args *args, struct err *err)
{
	const struct sql_args claim = {
		.values = args->values + 2, .nvalues = 1, .ids = ids, .nids = *n
	};
	struct db_rows *rows = NULL;
	uint64_t *started = arena_array(st->arena, *n, sizeof *started);
	size_t all = 0, nstarted = 0;
	enum rc rc;

	if (!started)
		return err_set(
		    err, RC_REJECT, "too many jobs to start at once");
	rc = db_select(
	    db, &st->s->scope, SQL_ACTIONS_STARTABLE, &claim, &rows, err);
	if (rc != RC_OK)
		return rc;
	while (all < *n && db_rows_next(rows)) {
		uint64_t id = db_u64(rows, 0);

		if (db_u64(rows, 1) == 0)
			ids[all++] = id;
		else if (begun_by_us(st, id, db_time(rows, 2)))
			started[nstarted++] = id;
	}
	db_rows_free(rows);
	args->nids = all;
	if (all > 0)
		rc = db_exec(
		    db, &st->s->scope, SQL_ACTIONS_START, args, NULL, err);
	memcpy(ids + all, started, nstarted * sizeof *ids);
	*n = all + nstarted;
	qsort(ids, *n, sizeof *ids, by_id);
	return rc;
}

/* Start the jobs of one claim; `started` is set on those that run now. */
static enum rc
start_claim(const struct starting *st, struct db *db, const struct claim *claim,
    struct err *err)
{
	struct sql_args args = *SQL_ARGS(V_TIME(st->now),
	    V_TIME(actions_local_attempt(st->s, st->now)), V_U64(claim->id));
	uint64_t *ids = arena_array(st->arena, st->n, sizeof *ids), found = 0;
	size_t n = 0;
	enum rc rc = RC_OK;

	if (!ids)
		return err_set(
		    err, RC_REJECT, "too many jobs to start at once");
	for (size_t i = 0; i < st->n; i++)
		if (st->jobs[i]->claim == claim)
			ids[n++] = st->jobs[i]->id;
	qsort(ids, n, sizeof *ids, by_id);
	args.ids = ids;
	args.nids = n;
	if (st->careful)
		rc = start_some(st, db, ids, &n, &args, err);
	else
		rc = db_exec(
		    db, &st->s->scope, SQL_ACTIONS_START, &args, &found, err);
	if (rc == RC_OK && !st->careful && found < n)
		return RC_AGAIN;
	for (size_t i = 0; rc == RC_OK && i < st->n; i++)
		if (st->jobs[i]->claim == claim)
			st->jobs[i]->started =
			    n > 0 && bsearch(&st->jobs[i]->id, ids, n,
					 sizeof *ids, by_id);
	return rc;
}

static enum rc
start_body(struct db *db, void *arg, struct err *err)
{
	const struct starting *st = arg;
	struct action_logs logs = { .arena = st->arena };
	enum rc rc = RC_OK;

	arena_clear(st->arena);
	for (size_t i = 0; i < st->n; i++)
		st->jobs[i]->started = false;
	for (size_t i = 0; i < st->n && rc == RC_OK; i++) {
		bool first = true;

		for (size_t k = 0; k < i && first; k++)
			first = st->jobs[k]->claim != st->jobs[i]->claim;
		if (first)
			rc = start_claim(st, db, st->jobs[i]->claim, err);
	}
	for (size_t i = 0; i < st->n && rc == RC_OK; i++)
		if (st->jobs[i]->started)
			action_logs_add(&logs, st->s, st->jobs[i]->id, st->now,
			    "action started via " ACTIONS_CONTEXT);
	return rc == RC_OK ? action_logs_write(&logs, db, st->s, err) : rc;
}

enum rc
actions_start(struct queue *queue, struct db *db, struct job *const *jobs,
    size_t n, struct err *err)
{
	struct actions *q = actions_of(queue);
	struct arena arena = ARENA_INIT(START_ARENA_MAX);
	struct actions_settings s;
	struct starting st = { .s = &s, .jobs = jobs, .n = n, .arena = &arena };
	enum rc rc;

	actions_settings_get(q, &s);
	st.now = clock_unix(q->clock);
	rc = db_transact(db, start_body, &st, err);
	st.careful = rc == RC_AGAIN;
	if (st.careful)
		rc = db_transact(db, start_body, &st, err);
	for (size_t i = 0; i < n; i++) {
		if (rc != RC_OK)
			jobs[i]->started = false;
		if (rc == RC_RETRY && db_is_lost(db))
			jobs[i]->start_unknown = st.now;
		jobs[i]->started_at = clock_wall(q->clock);
	}
	arena_clear(&arena);
	return rc;
}
