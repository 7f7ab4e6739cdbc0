/* Single readers: retries, page loads, wp-cronctl. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/contact_internal.h"

/* PHP or the provider is away; nothing may leave: a retry comes back in. */
#define AWAY_S 60
#define HELD_S 3600

static void
end_task(struct contact_task *t, bool ok, bool final, struct slice words)
{
	t->ok = ok;
	t->final = final;
	(void)snprintf(t->message, sizeof t->message, "%.*s", SLICE_FMT(words));
}

/* Nothing was tried: a retry's row, which ends as done, is inserted anew. */
static enum rc
later(const struct work_env *env, struct contact_task *t, const char *words,
    int64_t after_s, struct err *err)
{
	struct contact_retry r = { .action_id = t->action_id,
		.direction = t->direction,
		.user_id = t->user_id,
		.integration = t->integration,
		.context = t->context,
		.count = t->retry,
		.reason = slice_str(words),
		.previous_email = t->previous_email,
		.after_s = after_s };
	enum rc rc = RC_OK;

	end_task(t, false, false, slice_str(words));
	t->later = true;
	if (t->retry > 0 && env->actions)
		rc = contact_retry_add(
		    env->db, env->actions, &r, clock_unix(env->clock), err);
	return rc == RC_NONE ? RC_OK : rc;
}

/* Nothing may leave at all. */
static enum rc
hold_task(const struct work_env *env, struct contact_task *t, const char *words,
    struct err *err)
{
	t->held = true;
	return later(env, t, words, HELD_S, err);
}

/* The chain ends without a failure: its reason is gone. */
static void
chain_ends(
    const struct contact_run *run, struct contact_task *t, const char *words)
{
	contact_say(run,
	    t->direction == CONTACT_PULL ? "NEWSPACK-CONTACT-PULL"
					 : "NEWSPACK-SYNC",
	    "Integration \"%.*s\" %s on %sretry %u, aborting retry chain.",
	    SLICE_FMT(t->integration), words,
	    t->direction == CONTACT_PULL ? "pull " : "", t->retry);
	end_task(t, true, true, slice_str(words));
}

/* NULL: it takes part; else why it does not. */
static const char *
left_out(const struct contact_account *a, enum contact_direction d)
{
	const struct newspack_integration *i = a->integration;

	if (!i->set_up)
		return "is not set up";
	if (d == CONTACT_PUSH)
		return i->push ? NULL : "has its push switched off";
	if (!i->pull)
		return "has its pull switched off";
	if (i->nincoming == 0)
		return "has no incoming fields selected";
	if (a->esp && !a->esp->ops->pull)
		return "has nothing to pull";
	return NULL;
}

static enum rc
take_end(struct contact_page *p, struct contact_task *t,
    const struct contact_sync *s, struct err *err)
{
	char words[64];

	switch (s->end) {
	case CONTACT_DONE:
	case CONTACT_UNCHANGED:
	case CONTACT_PENDING:
		end_task(t, true, true, SLICE_LIT(""));
		return RC_OK;
	case CONTACT_GONE:
		(void)snprintf(words, sizeof words,
		    "User %" PRIu64 " not found", t->user_id);
		contact_say(p->run,
		    t->direction == CONTACT_PULL ? "NEWSPACK-CONTACT-PULL"
						 : "NEWSPACK-SYNC",
		    "%s on %sretry %u.", words,
		    t->direction == CONTACT_PULL ? "pull " : "", t->retry);
		end_task(t, true, true, slice_str(words));
		return RC_OK;
	case CONTACT_RETRIED:
		end_task(t, false, false, s->message);
		return RC_OK;
	case CONTACT_REFUSED:
	case CONTACT_BARRED:
	case CONTACT_EXHAUSTED:
		end_task(t, false, true, s->message);
		return RC_OK;
	case CONTACT_OPEN:
	case CONTACT_SKIPPED:
		break;
	}
	return later(p->run->env, t,
	    *p->account->why ? p->account->why : "PHP or the provider is away",
	    p->account->rests ? p->account->rest_s : AWAY_S, err);
}

/* Whoever is in a bulk call is not sent again; its end decides. */
static enum rc
leave_to_bulk(struct contact_page *p, struct err *err)
{
	const struct work_env *env = p->run->env;
	struct contact_batch *bulk = NULL;
	size_t n = 0;
	enum rc rc = contact_batches_read(
	    env->db, &env->scope, env->blog_id, p->arena, &bulk, &n, err);

	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		if (!slice_eq_str(
			bulk[i].integration, p->account->integration->id))
			continue;
		for (size_t k = 0; k < bulk[i].n; k++)
			for (size_t m = 0; m < p->n; m++)
				if (p->items[m].user_id ==
				    bulk[i].members[k].user_id)
					p->items[m].end = CONTACT_PENDING;
	}
	return rc;
}

/* One integration's tasks of one direction. */
static enum rc
page_run(struct contact_run *run, struct contact_account *a,
    struct contact_task *const *tasks, size_t n, struct err *err)
{
	struct arena arena = ARENA_INIT(CONTACT_PAGE_BYTES);
	struct contact_page p = { .run = run,
		.account = a,
		.direction = tasks[0]->direction,
		.flags_at_once = true,
		.singly = n <= 4,
		.arena = &arena };
	enum rc rc = RC_OK;

	p.items = arena_array(&arena, n, sizeof *p.items);
	if (!p.items)
		return err_set(err, RC_REJECT, "too many tasks");
	for (size_t i = 0; i < n; i++) {
		struct contact_task *t = tasks[i];

		p.items[p.n++] = (struct contact_sync){ .user_id = t->user_id,
			.context = t->context,
			.previous_email = t->previous_email,
			.retry = t->retry,
			.action_id = t->action_id,
			.unchanged_too = t->unchanged_too || t->retry > 0 };
		if (t->retry > 0)
			contact_say(run,
			    t->direction == CONTACT_PULL
				? "NEWSPACK-CONTACT-PULL"
				: "NEWSPACK-SYNC",
			    "Executing %sretry %u/%d for integration \"%s\" "
			    "of user %" PRIu64 ".",
			    t->direction == CONTACT_PULL ? "pull " : "",
			    t->retry, CONTACT_MAX_RETRIES, a->integration->id,
			    t->user_id);
	}
	if (p.direction == CONTACT_PUSH)
		rc = leave_to_bulk(&p, err);
	if (rc == RC_OK)
		rc = p.direction == CONTACT_PULL ? contact_pull_page(&p, err)
						 : contact_push_page(&p, err);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = take_end(&p, tasks[i], &p.items[i], err);
	arena_clear(&arena);
	return rc;
}

static int
task_cmp(const void *a, const void *b)
{
	const struct contact_task *x = *(struct contact_task *const *)a;
	const struct contact_task *y = *(struct contact_task *const *)b;
	size_t n = x->integration.n < y->integration.n ? x->integration.n
						       : y->integration.n;
	int order = n == 0 ? 0 : memcmp(x->integration.p, y->integration.p, n);

	if (x->direction != y->direction)
		return x->direction < y->direction ? -1 : 1;
	if (order != 0 || x->integration.n != y->integration.n)
		return order != 0
			   ? order
			   : (x->integration.n < y->integration.n ? -1 : 1);
	return x->user_id < y->user_id ? -1 : x->user_id > y->user_id;
}

static bool
go_together(const struct contact_task *a, const struct contact_task *b)
{
	return a->direction == b->direction && a->user_id != b->user_id &&
	       slice_eq(a->integration, b->integration);
}

static enum rc
group_run(struct contact_run *run, struct contact_task *const *tasks, size_t n,
    struct err *err)
{
	struct contact_account *a =
	    contact_account_find(run, tasks[0]->integration);
	const char *why =
	    a ? left_out(a, tasks[0]->direction) : "is unknown or not enabled";

	if (!why)
		return page_run(run, a, tasks, n, err);
	for (size_t i = 0; i < n; i++)
		chain_ends(run, tasks[i], why);
	return RC_OK;
}

/* "": every integration that takes part; the task ends as the worst of them. */
static enum rc
all_run(struct contact_run *run, struct contact_task *t, struct err *err)
{
	struct contact_task whole = *t;
	enum rc rc = RC_OK;

	end_task(t, true, true, SLICE_LIT(""));
	for (size_t i = 0; i < run->naccounts && rc == RC_OK; i++) {
		struct contact_account *a = &run->accounts[i];
		struct contact_task one = whole;
		struct contact_task *list[] = { &one };

		if (left_out(a, t->direction))
			continue;
		one.integration = slice_str(a->integration->id);
		rc = page_run(run, a, list, 1, err);
		if (rc != RC_OK || one.ok)
			continue;
		t->ok = false;
		t->final = t->final && one.final;
		t->later = t->later || one.later;
		(void)snprintf(t->message, sizeof t->message, "[%s] %.400s",
		    a->integration->id, one.message);
	}
	return rc;
}

/* The program stops before their turn. */
static void
lose(struct contact_task *const *tasks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		end_task(
		    tasks[i], false, false, SLICE_LIT("the program stops"));
		tasks[i]->later = tasks[i]->lost = true;
	}
}

enum rc
contact_tasks_run(const struct work_env *env, struct contact_task **tasks,
    size_t n, struct err *err)
{
	struct contact_run run;
	enum rc rc = contact_run_begin(&run, env, NULL, err);

	if (n > 1)
		qsort(tasks, n, sizeof(struct contact_task *), task_cmp);
	if (rc == RC_NONE) {
		char held[ERR_TEXT_MAX];

		(void)snprintf(
		    held, sizeof held, "%s", err ? err->text : "held");
		rc = RC_OK;
		for (size_t i = 0; i < n && rc == RC_OK; i++)
			rc = hold_task(env, tasks[i], held, err);
		n = 0;
	}
	for (size_t i = 0, end; i < n && rc == RC_OK; i = end) {
		if (contact_run_over(&run)) {
			lose(tasks + i, n - i);
			break;
		}
		for (end = i + 1; end < n && end - i < CONTACT_PAGE &&
				  go_together(tasks[end - 1], tasks[end]);
		     end++)
			;
		if (tasks[i]->integration.n == 0) {
			end = i + 1;
			rc = all_run(&run, tasks[i], err);
		} else {
			rc = group_run(&run, tasks + i, end - i, err);
		}
	}
	if (rc == RC_OK && run.lost)
		rc = err_set(err, RC_RETRY, "the database is away");
	contact_run_end(&run);
	return rc;
}

enum rc
contact_task_run(
    const struct work_env *env, struct contact_task *t, struct err *err)
{
	return contact_tasks_run(env, &t, 1, err);
}
