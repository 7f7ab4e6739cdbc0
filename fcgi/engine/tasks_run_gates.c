/* May a queue be worked off here, and who does a type of task. */
#include "engine/site_prepare.h"
#include "engine/tasks_run_internal.h"

const struct config_handler *
tasks_handler(const struct config_tasks *c, struct slice type)
{
	for (size_t i = 0; i < c->nhandlers; i++)
		if (slice_eq_str(type, c->handlers[i].type))
			return &c->handlers[i];
	return NULL;
}

const char *
tasks_unable(const struct tasks_turn *t, const struct config_handler *h)
{
	switch (h->kind) {
	case HANDLER_NATIVE:
		/* There is one kind of task that we know the meaning of. */
		if (!slice_eq_str(slice_str(h->type), "send_email"))
			return "only send_email can be native";
		return t->smtp ? NULL : "native needs smtp in [site]";
	case HANDLER_WEBHOOK:
		return NULL;
	case HANDLER_PHP:
		return t->site->php_fpm && *t->env->site->salts
			   ? NULL
			   : "php needs php_fpm in [site]";
	}
	return "no handler";
}

/* A copy of the site may only send what is diverted. */
static bool
may_leave_a_copy(const struct tasks_turn *t)
{
	if (!t->smtp || !t->smtp->redirect_to)
		return false;
	for (size_t i = 0; i < t->c->nhandlers; i++)
		if (t->c->handlers[i].kind != HANDLER_NATIVE)
			return false;
	return t->c->nhandlers > 0;
}

const char *
tasks_why_held(const struct tasks_turn *t)
{
	if (t->site->observe)
		return "mode = observe: nothing is run; mode = run in [site]";
	if (t->env->standing == SITE_UNKNOWN)
		return "it is not recorded yet which site this is; "
		       "`wp-cronctl install`";
	if (t->env->standing == SITE_COPY && !may_leave_a_copy(t))
		return "this is a copy of the site that was installed; "
		       "`wp-cronctl site adopt`, if this is the site";
	if (t->env->standing == SITE_STAGING && !may_leave_a_copy(t))
		return "WP_ENVIRONMENT_TYPE is not production; "
		       "`wp-cronctl site adopt`, if this is the site";
	return NULL;
}

bool
tasks_out_of_reach(const struct tasks_turn *t)
{
	const struct site_facts *f = t->env->facts;

	return f->object_cache && !f->companion && !t->c->accept_loss;
}
