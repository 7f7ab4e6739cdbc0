/* What a worker holds is begun, as far as there is a place for it. */
#include "engine/worker.h"

#include <stdlib.h>
#include <string.h>

#include "formats/woocommerce_args.h"

/* Targets of one batch. */
#define PLACES_MAX 16
#define BATCH_MAX 500

/* Places left at the targets of a batch that is being put together. */
struct places {
	struct {
		const char *target;
		size_t left;
		bool shut;
	} at[PLACES_MAX];
	size_t n;
};

/* Take a place for a job; false: none now, and *shut when not for a while. */
static bool
place_take(struct places *p, const struct executor *ex, const struct job *j,
    bool *shut)
{
	size_t i = 0;

	*shut = false;
	if (!ex->ops->places)
		return true;
	while (i < p->n && p->at[i].target != j->route->target)
		i++;
	if (i == PLACES_MAX)
		return false;
	if (i == p->n) {
		p->n++;
		p->at[i].target = j->route->target;
		p->at[i].left = ex->ops->places(ex, j, &p->at[i].shut);
	}
	*shut = p->at[i].shut;
	if (p->at[i].left == 0)
		return false;
	p->at[i].left--;
	return true;
}

static struct job *
todo_remove(struct worker *w, struct job **at)
{
	struct job *j = *at;

	*at = j->next;
	w->ntodo--;
	return j;
}

/*
 * Jobs on the list that an executor can begin now. A job whose target rests
 * is given back; one whose target is busy waits and lets others pass.
 */
static size_t
batch_take(struct worker *w, struct executor *ex, enum executor_kind kind,
    struct job **batch, size_t max)
{
	struct places places = { .n = 0 };
	size_t room = ex->ops->room(ex), n = 0;
	struct job **at = &w->todo;
	bool shut;

	while (*at && n < room && n < max) {
		if ((*at)->route->kind != kind) {
			at = &(*at)->next;
			continue;
		}
		/* A suspect runs alone, so that it harms nobody but itself. */
		if (w->lane == LANE_PHP && n > 0 && (*at)->strikes > 0)
			break;
		if (place_take(&places, ex, *at, &shut)) {
			batch[n++] = todo_remove(w, at);
			if (w->lane == LANE_PHP && batch[n - 1]->strikes > 0)
				break;
		} else if (shut) {
			worker_end_job(w, todo_remove(w, at), OUTCOME_RELEASED,
			    "its host does not answer");
		} else {
			at = &(*at)->next;
		}
	}
	return n;
}

/* Without its executor a kind's jobs are given back. */
static void
give_back(struct worker *w, enum executor_kind kind)
{
	struct job **at = &w->todo;

	while (*at) {
		if ((*at)->route->kind == kind)
			worker_end_job(w, todo_remove(w, at), OUTCOME_RELEASED,
			    "its executor cannot be started");
		else
			at = &(*at)->next;
	}
}

static bool
todo_has(const struct worker *w, enum executor_kind kind)
{
	for (const struct job *j = w->todo; j; j = j->next)
		if (j->route->kind == kind)
			return true;
	return false;
}

static void
put_back(struct worker *w, struct job *const *batch, size_t n)
{
	while (n-- > 0) {
		batch[n]->next = w->todo;
		w->todo = batch[n];
		w->ntodo++;
	}
}

/* Mark one queue's jobs running; those that are not ours any more drop out.
 * Where
 * the database is away they are put back. */
static void
start_jobs(struct worker *w, struct queue *queue, struct job **jobs, size_t *n)
{
	struct err err = ERR_INIT;
	size_t kept = 0;
	enum rc rc = RC_RETRY;

	if (worker_connection_ready(w))
		rc = queue->ops->start(queue, w->db, jobs, *n, &err);
	if (rc == RC_RETRY) {
		put_back(w, jobs, *n);
		*n = 0;
		return;
	}
	for (size_t i = 0; i < *n; i++) {
		if (jobs[i]->started)
			jobs[kept++] = jobs[i];
		else
			worker_end_job(w, jobs[i],
			    rc == RC_OK ? OUTCOME_LOST : OUTCOME_RELEASED,
			    rc == RC_OK ? "taken, canceled or run elsewhere"
					: err.text);
	}
	*n = kept;
}

/* The same for a batch of any queues; what may begin is left in it. */
static void
mark_started(struct worker *w, struct job **batch, size_t *n)
{
	struct job *part[BATCH_MAX], *started[BATCH_MAX];
	size_t nstarted = 0;

	for (size_t q = 0; q < QUEUE_COUNT; q++) {
		struct queue *queue = w->bound->queues[q];
		size_t npart = 0;

		for (size_t i = 0; i < *n; i++)
			if (batch[i]->claim->queue == queue)
				part[npart++] = batch[i];
		if (npart == 0)
			continue;
		start_jobs(w, queue, part, &npart);
		memcpy(started + nstarted, part, npart * sizeof(struct job *));
		nstarted += npart;
	}
	memcpy(batch, started, nstarted * sizeof(struct job *));
	*n = nstarted;
}

/* What PHP would mark complete without having done anything fails here, with
 * the reason: a deferred mail whose arguments are none. */
static void
refuse_malformed(struct worker *w, struct job **batch, size_t *n)
{
	size_t kept = 0, one;

	for (size_t i = 0; i < *n; i++) {
		struct job *j = batch[i];
		const char *wrong =
		    j->kind == JOB_ACTION &&
			    slice_eq_str(j->hook, WOOCOMMERCE_MAIL_HOOK)
			? woocommerce_args_wrong(j->args)
			: NULL;

		if (!wrong) {
			batch[kept++] = j;
			continue;
		}
		one = 1;
		start_jobs(w, j->claim->queue, &j, &one);
		if (one == 1)
			worker_end_job(w, j, OUTCOME_FAILED, wrong);
	}
	*n = kept;
}

static void
begin_kind(struct worker *w, enum executor_kind kind)
{
	struct executor *ex = worker_executor(w, kind);
	struct job *batch[BATCH_MAX];
	size_t n;

	if (!ex) {
		give_back(w, kind);
		return;
	}
	n = batch_take(w, ex, kind, batch, BATCH_MAX);
	if (n > 0 && w->lane == LANE_NATIVE)
		mark_started(w, batch, &n);
	if (n > 0 && kind == EXECUTOR_PHP)
		refuse_malformed(w, batch, &n);
	if (n > 0)
		ex->ops->begin(ex, batch, n);
}

void
worker_begin_jobs(struct worker *w)
{
	for (size_t k = 0; k < EXECUTOR_NKINDS; k++)
		if (todo_has(w, (enum executor_kind)k))
			begin_kind(w, (enum executor_kind)k);
}

void
worker_release_todo(struct worker *w)
{
	while (w->todo) {
		struct job *j = w->todo;

		w->todo = j->next;
		worker_end_job(w, j, OUTCOME_RELEASED, "the program stops");
	}
	w->ntodo = 0;
}
