/* [smtp NAME] and [tasks SITE/NAME]. */
#include <string.h>

#include "base/config_private.h"

/* `_transient_timeout_` and the name fill options.option_name. */
#define TRANSIENT_MAX 172

static enum rc
add_smtp(struct config *c, const struct config_ini_section *s, struct err *err)
{
	struct config_smtp *m = &c->smtps[c->nsmtps];
	uint64_t set = 0;
	enum rc rc;

	if (!*s->name || strlen(s->name) > 64)
		return config_fail(c, s->line, err,
		    "[smtp NAME] needs a name of at most 64 bytes");
	for (size_t i = 0; i < c->nsmtps; i++)
		if (strcmp(c->smtps[i].name, s->name) == 0)
			return config_fail(c, s->line, err,
			    "a second [smtp %s], the first is on line %u",
			    s->name, c->smtps[i].line);
	m->name = s->name;
	m->line = s->line;
	rc = config_options_preset(OPTION_SMTP, m, &c->private->arena, err);
	if (rc == RC_OK)
		rc = config_fill(c, OPTION_SMTP, s, m, &set, err);
	if (rc == RC_OK && !m->host)
		rc = config_fail(
		    c, s->line, err, "[smtp %s] needs a host", s->name);
	if (rc == RC_OK && m->foreign_from == FOREIGN_FROM_REWRITE && !m->from)
		rc = config_fail(c, s->line, err,
		    "[smtp %s] foreign_from = rewrite needs a from", s->name);
	if (rc == RC_OK && m->user && !m->password)
		rc = config_fail(c, s->line, err,
		    "[smtp %s] has a user and no password", s->name);
	if (rc == RC_OK)
		c->nsmtps++;
	return rc;
}

/* ---- tasks -------------------------------------------------------------- */

/* "handler TYPE" -> TYPE; "" when it is another key. */
static struct slice
handler_type(const struct config_ini_entry *e)
{
	struct slice key = slice_str(e->key);

	if (!slice_starts(key, SLICE_LIT("handler ")) &&
	    !slice_starts(key, SLICE_LIT("handler\t")))
		return SLICE_LIT("");
	return slice_trim(slice_from(key, 8));
}

static enum rc
read_handler(struct config *c, const struct config_ini_entry *e,
    struct config_handler *h, struct err *err)
{
	struct slice value = slice_str(e->value);
	struct slice function;

	h->type = arena_strdup(&c->private->arena, handler_type(e));
	if (!h->type)
		return config_fail(c, 0, err, "the file is too large");
	if (slice_eq_str(value, "native")) {
		h->kind = HANDLER_NATIVE;
		return RC_OK;
	}
	if (slice_eq_str(value, "webhook")) {
		h->kind = HANDLER_WEBHOOK;
		return RC_OK;
	}
	function = slice_starts(value, SLICE_LIT("php:"))
		       ? slice_trim(slice_from(value, 4))
		       : SLICE_LIT("");
	if (function.n == 0)
		return config_fail(c, e->line, err,
		    "unknown handler \"%s\"; there are native, webhook and "
		    "php:FUNCTION",
		    e->value);
	h->kind = HANDLER_PHP;
	h->function = arena_strdup(&c->private->arena, function);
	return h->function ? RC_OK
			   : config_fail(c, 0, err, "the file is too large");
}

/* The handlers, and in `rest` the section without them. */
static enum rc
split_handlers(struct config *c, const struct config_ini_section *s,
    struct config_tasks *t, struct config_ini_section *rest, struct err *err)
{
	struct config_ini_entry *copies =
	    arena_array(&c->private->arena, s->nentries + 1, sizeof *copies);
	struct config_handler *h =
	    arena_array(&c->private->arena, s->nentries + 1, sizeof *h);
	size_t n = 0;

	if (!copies || !h)
		return config_fail(c, 0, err, "the file is too large");
	*rest = *s;
	rest->first = rest->last = NULL;
	rest->nentries = 0;
	for (const struct config_ini_entry *e = s->first; e; e = e->next) {
		enum rc rc;

		if (handler_type(e).n == 0) {
			struct config_ini_entry *copy = &copies[rest->nentries];

			*copy = *e;
			copy->next = NULL;
			if (rest->last)
				rest->last->next = copy;
			else
				rest->first = copy;
			rest->last = copy;
			rest->nentries++;
			continue;
		}
		rc = read_handler(c, e, &h[n], err);
		if (rc != RC_OK)
			return rc;
		for (size_t k = 0; k < n; k++)
			if (strcmp(h[k].type, h[n].type) == 0)
				return config_fail(
				    c, e->line, err, "%s is set twice", e->key);
		n++;
	}
	t->handlers = h;
	t->nhandlers = n;
	return RC_OK;
}

static enum rc
check_tasks(
    const struct config *c, const struct config_tasks *t, struct err *err)
{
	if (!t->hook)
		return config_fail(c, t->line, err,
		    "[tasks %s/%s] needs the hook of the plugin's processor",
		    t->site, t->name);
	if (strlen(t->queue) > TRANSIENT_MAX || strlen(t->lock) > TRANSIENT_MAX)
		return config_fail(c, t->line, err,
		    "a transient's name has %d bytes at most", TRANSIENT_MAX);
	for (size_t i = 0; i < c->ntasks; i++)
		if (strcmp(c->tasks[i].site, t->site) == 0 &&
		    strcmp(c->tasks[i].queue, t->queue) == 0)
			return config_fail(c, t->line, err,
			    "a second [tasks] of %s/%s, the first is on line "
			    "%u",
			    t->site, t->queue, c->tasks[i].line);
	return RC_OK;
}

static const char *
with_lock(struct config *c, const char *queue)
{
	struct buf name = BUF_INIT((size_t)2 * TRANSIENT_MAX);
	const char *out;

	buf_printf(&name, "%s_lock", queue);
	out = name.failed ? NULL
			  : arena_strdup(&c->private->arena, buf_slice(&name));
	buf_clear(&name);
	return out;
}

static enum rc
add_tasks(struct config *c, const struct config_ini_section *s, struct err *err)
{
	struct config_tasks *t = &c->tasks[c->ntasks];
	struct slice name = slice_str(s->name);
	size_t slash = slice_find(name, '/');
	struct config_ini_section rest;
	uint64_t set = 0;
	enum rc rc;

	if (slash == 0 || slash + 1 >= name.n)
		return config_fail(c, s->line, err,
		    "[tasks SITE/NAME] names a site and a queue, for instance "
		    "[tasks %s/myplugin_task_queue]",
		    c->sites[0].name);
	t->line = s->line;
	t->site = arena_strdup(&c->private->arena, slice_mem(name.p, slash));
	t->name = arena_strdup(&c->private->arena, slice_from(name, slash + 1));
	if (!t->site || !t->name)
		return config_fail(c, 0, err, "the file is too large");
	rc = config_check_site(c, t->site, s->line, err);
	if (rc == RC_OK)
		rc = config_options_preset(
		    OPTION_TASKS, t, &c->private->arena, err);
	if (rc == RC_OK)
		rc = split_handlers(c, s, t, &rest, err);
	if (rc == RC_OK)
		rc = config_fill(c, OPTION_TASKS, &rest, t, &set, err);
	if (rc != RC_OK)
		return rc;
	if (!t->queue)
		t->queue = t->name;
	if (!t->lock)
		t->lock = with_lock(c, t->queue);
	if (!t->lock)
		return config_fail(c, t->line, err,
		    "a transient's name has %d bytes at most", TRANSIENT_MAX);
	rc = check_tasks(c, t, err);
	if (rc == RC_OK)
		c->ntasks++;
	return rc;
}

static enum rc
check_relays(const struct config *c, struct err *err)
{
	for (size_t i = 0; i < c->nsites; i++)
		if (c->sites[i].smtp && !config_smtp(c, &c->sites[i]))
			return config_fail(c, 0, err,
			    "site %s has smtp = %s, and there is no [smtp %s]",
			    c->sites[i].name, c->sites[i].smtp,
			    c->sites[i].smtp);
	return RC_OK;
}

enum rc
config_mail_build(struct config *c, const struct config_ini_section *sections,
    struct err *err)
{
	const struct config_ini_section *s;
	size_t nsmtps = 0, ntasks = 0;
	enum rc rc = RC_OK;

	for (s = sections; s; s = s->next) {
		nsmtps += strcmp(s->kind, "smtp") == 0;
		ntasks += strcmp(s->kind, "tasks") == 0;
	}
	c->smtps =
	    arena_array(&c->private->arena, nsmtps + 1, sizeof *c->smtps);
	c->tasks =
	    arena_array(&c->private->arena, ntasks + 1, sizeof *c->tasks);
	if (!c->smtps || !c->tasks)
		return config_fail(c, 0, err, "the file is too large");
	for (s = sections; s && rc == RC_OK; s = s->next) {
		if (strcmp(s->kind, "smtp") == 0)
			rc = add_smtp(c, s, err);
		else if (strcmp(s->kind, "tasks") == 0)
			rc = add_tasks(c, s, err);
	}
	return rc == RC_OK ? check_relays(c, err) : rc;
}

const struct config_smtp *
config_smtp(const struct config *c, const struct config_site *site)
{
	for (size_t i = 0; site->smtp && i < c->nsmtps; i++)
		if (strcmp(c->smtps[i].name, site->smtp) == 0)
			return &c->smtps[i];
	return NULL;
}

bool
config_smtp_confines(const struct config_smtp *smtp)
{
	return smtp->redirect_to || smtp->allow_recipients.n > 0;
}

const struct config_tasks *
config_tasks(const struct config *c, const char *site, size_t i)
{
	for (size_t k = 0; k < c->ntasks; k++)
		if (strcmp(c->tasks[k].site, site) == 0 && i-- == 0)
			return &c->tasks[k];
	return NULL;
}
