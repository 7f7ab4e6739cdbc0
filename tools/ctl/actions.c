#include "actions.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "formats/action_schedule.h"

#define SCHEDULE_ARENA_MAX ((size_t)1 << 20)

uint64_t *
action_ids(const struct ctl *c)
{
	uint64_t *ids = xcalloc(c->nargs + 1, sizeof *ids);

	for (size_t i = 0; i < c->nargs; i++)
		if (!ctl_number(c, "ID", c->args[i], 1, INT64_MAX, &ids[i])) {
			free(ids);
			return NULL;
		}
	return ids;
}

static const char *
kind_name(enum action_schedule_kind kind)
{
	switch (kind) {
	case ACTION_SCHEDULE_NULL:
		return "async";
	case ACTION_SCHEDULE_SIMPLE:
		return "single";
	case ACTION_SCHEDULE_CANCELED:
		return "canceled";
	case ACTION_SCHEDULE_INTERVAL:
		return "interval";
	case ACTION_SCHEDULE_CRON:
		break;
	}
	return "cron";
}

static void
put_cron(json_t *out, const struct cron_expression *cron)
{
	struct buf text = BUF_INIT(4096);

	for (size_t i = 0; i < cron->nparts; i++) {
		if (i > 0)
			buf_put_char(&text, ' ');
		buf_put_slice(&text, cron->parts[i]);
	}
	row_slice(out, "cron", buf_slice(&text));
	buf_clear(&text);
}

static void
put_schedule(json_t *out, const struct action_schedule *s)
{
	struct err err = ERR_INIT;
	int64_t next;
	enum rc rc;

	row_text(out, "kind", kind_name(s->kind));
	if (s->kind != ACTION_SCHEDULE_NULL)
		row_time(out, "scheduled", s->scheduled);
	if (!action_schedule_recurs(s))
		return;
	row_time(out, "first", s->first);
	if (s->kind == ACTION_SCHEDULE_INTERVAL)
		row_int(out, "every_s", s->interval);
	else
		put_cron(out, &s->cron);
	rc = action_schedule_next(s, clock_wall(&clock_system), &next, &err);
	if (rc == RC_OK)
		row_time(out, "next", next);
	else
		row_text(out, "next", err.text);
}

json_t *
action_schedule_json(struct slice stored)
{
	struct arena arena = ARENA_INIT(SCHEDULE_ARENA_MAX);
	struct action_schedule s;
	struct slice class_name = SLICE_NONE;
	struct err err = ERR_INIT;
	json_t *out = json_object();
	enum rc rc =
	    action_schedule_parse(stored, &arena, &s, &class_name, &err);

	if (rc == RC_OK)
		put_schedule(out, &s);
	else if (rc == RC_NONE)
		row_slice(out, "class", class_name); /* only PHP knows it */
	else
		row_text(out, "broken", err.text);
	arena_clear(&arena);
	return out;
}
