#include "engine/ask.h"

#include <stdlib.h>

#include <jansson.h>

#include "base/log.h"

/* PHP did not answer, or another runner holds the lock: not at once again. */
#define ASK_AGAIN_MS 1000

void
ask_php(struct site_run *s, char *take, bool export)
{
	struct engine *e = s->engine;
	struct worker *free_worker = NULL;
	mono_ms now = clock_mono(e->clock);

	if (!take && !export)
		return;
	pthread_mutex_lock(&e->lock);
	for (size_t i = 0; i < e->nworkers && !free_worker; i++) {
		struct worker *w = &e->workers[i];

		if (w->lane == LANE_PHP && !w->site && !w->reserved &&
		    !w->ask && !w->backing_off)
			free_worker = w;
	}
	if (free_worker && e->claiming && !s->asking.under_way &&
	    now >= s->ask_at) {
		free_worker->ask = true;
		free_worker->site = s;
		s->asking = (struct asking){ true, take, export };
		s->ask_at = now + ASK_AGAIN_MS;
		take = NULL;
		pthread_cond_signal(&free_worker->wake);
	} else if (!free_worker) {
		s->backlog = true;
	}
	pthread_mutex_unlock(&e->lock);
	free(take);
}

char *
ask_want_take(void *worker)
{
	struct worker *w = worker;
	char *take = w->take;

	w->take = NULL;
	return take;
}

bool
ask_want_export(void *worker)
{
	struct worker *w = worker;
	bool export = w->export;

	w->export = false;
	return export;
}

static int64_t
number(const json_t *x, const char *key)
{
	return json_integer_value(json_object_get(x, key));
}

void
ask_on_take(void *worker, struct slice json)
{
	const struct site_run *s = ((struct worker *)worker)->bound;
	json_error_t error;
	json_t *x = json_loadb(json.p, json.n, 0, &error);
	const char *why;

	if (!x)
		return;
	why = json_string_value(json_object_get(x, "why"));
	log_event(why && *why ? LOG_WARN : LOG_INFO, "cron.taken",
	    LOG_S("site", s->site->name), LOG_U("blog", s->blog_id),
	    LOG_I("events", number(x, "taken")),
	    LOG_I("dropped", number(x, "dropped")),
	    LOG_I("gone", number(x, "gone")),
	    LOG_S("lock",
		json_is_true(json_object_get(x, "held")) ? "held" : "ours"),
	    LOG_S("why", why ? why : ""));
	json_decref(x);
}

void
ask_over_locked(struct worker *w)
{
	struct site_run *s = w->bound;

	if (!s || !s->asking.under_way)
		return;
	s->asking.under_way = false;
	/* What was taken waits in the table now. */
	s->backlog = true;
	w->engine->room_epoch++;
	pthread_cond_broadcast(&w->engine->wake_claimers);
	engine_progress_locked(w->engine);
}
