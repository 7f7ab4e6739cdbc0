/* What a chore does, and the look by which it is seen that there is one. */
#include "engine/chores_run.h"

#include <stdio.h>

#include "engine/engine_internal.h"
#include "engine/messages_run.h"
#include "engine/outbox_run.h"
#include "engine/site_prepare.h"
#include "engine/tasks_run.h"
#include "queues/messages.h"
#include "queues/outbox.h"
#include "queues/tasks.h"

/* Then others have their turn. */
#define BUDGET_MS 60000
/* What is held is looked at again then. */
#define HELD_MS 10000
/* Of queues of tasks, of which not all are held. */
#define QUEUES_AGAIN_MS 1000
/* PHP's own batches are kept idle meanwhile, and that is renewed. */
#define MESSAGES_WAIT_MS 30000
/* Is the plugin's schedule silent? */
#define TICK_LOOK_MS 10000
/* Tables that were not there. */
#define ABSENT_MS 300000
/* What is old is deleted, and what is half done is found, that often. */
#define UPKEEP_MS 600000
/* Who should have heard of a mail, and could not. */
#define TELL_AGAIN_MS 10000

const char *
chore_name(enum chore what)
{
	static const char *const names[CHORE_COUNT] = { "outbox", "messages",
		"tasks" };

	return names[what];
}

static enum rc
run_outbox(
    const struct work_env *env, struct chore_report *out, struct err *err)
{
	struct outbox_report report = { .wait_ms = 0 };
	bool due = false;
	enum rc rc = outbox_tend_run(env, &due, &out->untold, err);

	if (rc != RC_OK || !due)
		return rc;
	rc = outbox_run(env, BUDGET_MS, &report, err);
	out->untold = out->untold || report.untold;
	out->more = report.more;
	out->wait_ms = report.wait_ms;
	(void)snprintf(out->held, sizeof out->held, "%s", report.why);
	return rc;
}

static enum rc
run_messages(const struct work_env *env, bool tick, struct chore_report *out,
    struct err *err)
{
	struct messages_report report = { .wait_ms = 0 };
	enum rc rc = messages_run(env,
	    &(const struct messages_opts){
		.tick = tick, .budget_ms = BUDGET_MS },
	    &report, err);

	out->absent = report.absent;
	out->left_to_php = report.left_to_php;
	out->more = report.more;
	out->wait_ms = report.wait_ms;
	if (!*report.held && out->wait_ms > MESSAGES_WAIT_MS)
		out->wait_ms = MESSAGES_WAIT_MS;
	(void)snprintf(out->held, sizeof out->held, "%s", report.held);
	return rc;
}

static enum rc
run_tasks(const struct work_env *env, struct chore_report *out, struct err *err)
{
	const struct config_tasks *t;
	enum rc rc = tasks_forget_run(env, err), worst = rc;
	bool all_held = true;

	out->absent = true;
	for (size_t i = 0; rc != RC_RETRY && !work_stopping(env) &&
			   (t = config_tasks(env->config, env->site->name, i));
	     i++) {
		struct tasks_report report = { .wait_ms = 0 };

		out->absent = false;
		rc = tasks_run(env, t, BUDGET_MS, &report, err);
		if (rc != RC_OK)
			worst = rc;
		out->more = out->more || report.more;
		if (report.wait_ms > 0 &&
		    (out->wait_ms == 0 || report.wait_ms < out->wait_ms))
			out->wait_ms = report.wait_ms;
		all_held = all_held && *report.held;
		if (*report.held)
			(void)snprintf(out->held, sizeof out->held,
			    "%.64s: %.*s", t->name,
			    (int)(sizeof out->held - 70), report.held);
	}
	/* A queue that is held holds up no other. */
	if (*out->held && !all_held)
		out->wait_ms = QUEUES_AGAIN_MS;
	return worst;
}

enum rc
chore_run(const struct work_env *env, enum chore what, bool tick,
    struct chore_report *out, struct err *err)
{
	enum rc rc = RC_OK;

	*out = (struct chore_report){ .wait_ms = 0 };
	switch (what) {
	case CHORE_OUTBOX:
		rc = run_outbox(env, out, err);
		break;
	case CHORE_MESSAGES:
		rc = run_messages(env, tick, out, err);
		break;
	case CHORE_TASKS:
		rc = run_tasks(env, out, err);
		break;
	}
	if (*out->held && out->wait_ms == 0)
		out->wait_ms = HELD_MS;
	return rc;
}

/* ---- the look ------------------------------------------------------------ */

struct look {
	struct site_run *s;
	const struct config *config;
	const struct config_site *site;
	struct sql_scope scope;
	mono_ms now;
	bool
	    first; /* with this configuration: others may have left something */
};

static enum rc
look_at_outbox(const struct look *l, bool *due, struct err *err)
{
	struct site_run *s = l->s;
	const struct config_smtp *smtp = config_smtp(l->config, l->site);

	if (s != s->network->blogs[0])
		return RC_OK;
	if (chores_untold(s->engine->chores, s) &&
	    s->chores.look_at[CHORE_OUTBOX] > l->now + TELL_AGAIN_MS)
		s->chores.look_at[CHORE_OUTBOX] = l->now + TELL_AGAIN_MS;
	*due = l->now >= s->chores.look_at[CHORE_OUTBOX];
	if (*due)
		s->chores.look_at[CHORE_OUTBOX] = l->now + UPKEEP_MS;
	chores_senders(s->engine->chores, s, smtp ? smtp->concurrency : 1);
	return *due ? RC_OK : outbox_due(s->database->db, &l->scope, due, err);
}

/* The event that is to come may never come: then we are the clock. */
static enum rc
look_at_tick(const struct look *l, struct err *err)
{
	struct site_run *s = l->s;
	bool silent = false;
	enum rc rc;

	if (l->now < s->chores.tick_look_at)
		return RC_OK;
	s->chores.tick_look_at = l->now + TICK_LOOK_MS;
	rc = messages_silent(s->database->db, &l->scope,
	    clock_unix(s->engine->clock), &silent, err);
	if (rc == RC_OK && silent)
		chores_want(s->engine->chores, s, CHORE_MESSAGES, true);
	return rc;
}

static enum rc
look_at_messages(const struct look *l, bool *due, struct err *err)
{
	struct site_run *s = l->s;
	enum rc rc;

	if (!l->site->messages || l->now < s->chores.look_at[CHORE_MESSAGES])
		return RC_OK;
	rc = messages_look(s->database->db, &l->scope, due, err);
	if (rc == RC_NONE) {
		s->chores.look_at[CHORE_MESSAGES] = l->now + ABSENT_MS;
		chores_absent(s->engine->chores, s);
		*due = false;
		return RC_OK;
	}
	/* Until PHP's turn is over. */
	*due = *due || l->first || chores_left_to_php(s->engine->chores, s);
	return rc == RC_OK ? look_at_tick(l, err) : rc;
}

static enum rc
look_at_tasks(const struct look *l, bool *due, struct err *err)
{
	struct site_run *s = l->s;
	const struct config_tasks *t;
	enum rc rc = RC_OK;

	if (s != s->network->blogs[0])
		return RC_OK;
	*due = l->first;
	for (size_t i = 0; rc == RC_OK && !*due &&
			   (t = config_tasks(l->config, s->site->name, i));
	     i++) {
		struct task_queue q;

		tasks_queue_of(s->blog_id, t, &q);
		rc = tasks_due(s->database->db, &l->scope, &q, due, err);
	}
	return rc;
}

enum rc
chores_look(struct site_run *s, const struct config *config, struct err *err)
{
	static enum rc (*const looks[CHORE_COUNT])(
	    const struct look *, bool *, struct err *) = {
		[CHORE_OUTBOX] = look_at_outbox,
		[CHORE_MESSAGES] = look_at_messages,
		[CHORE_TASKS] = look_at_tasks,
	};
	struct look l = { .s = s,
		.config = config,
		.site = site_config(config, s->site),
		.now = clock_mono(s->engine->clock),
		.first = s->chores.seen != config };
	enum rc rc = RC_OK;

	if (s->engine->once)
		return RC_OK;
	/* What nobody here works off any more the plugin shall see. */
	if (l.site->observe && l.first && s == s->network->blogs[0])
		chores_want(s->engine->chores, s, CHORE_TASKS, false);
	actions_scope(s->actions, &l.scope);
	for (int k = 0; k < CHORE_COUNT && rc == RC_OK && !l.site->observe;
	     k++) {
		bool due = false;

		rc = looks[k](&l, &due, err);
		if (rc == RC_OK && due)
			chores_want(s->engine->chores, s, (enum chore)k, false);
	}
	if (rc == RC_OK)
		s->chores.seen = config;
	return rc;
}
