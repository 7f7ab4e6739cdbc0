/*
 * Works off a site's queue of tasks, as the program does.
 *
 *   tasks_run config=FILE [queue=NAME] [budget=MS] [for=MS] [place=MS]
 *       [op=hand_back]
 *
 * With for= it looks again and again for that long; what is held waits as the
 * report says. With place= PHP has a place only after that long.
 * Prints {"rc":..., "error":..., "held":..., "taken":..., ...}, of all looks
 * together; of the last one what is no number.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buf.h"
#include "engine/tasks_run.h"
#include "formats/utf8.h"

#define LOOK_MS 100

struct run {
	const char *config_file, *queue, *op;
	uint64_t budget_ms, for_ms, place_ms;
	struct config *config;
	struct site *site;
	struct site_facts facts;
	struct work_env env;
	const struct config_tasks *tasks;
	struct tasks_report all;
	struct err err;
};

static volatile sig_atomic_t stopped;

static void
on_signal(int number)
{
	(void)number;
	stopped = 1;
}

static bool
is_stopping(void *arg)
{
	(void)arg;
	return stopped;
}

static bool
enter_php(void *arg, uint32_t wait_ms)
{
	(void)wait_ms;
	clock_sleep_ms((uint32_t)((const struct run *)arg)->place_ms);
	return true;
}

static void
die(const struct run *r, const char *what)
{
	(void)fprintf(stderr, "tasks_run: %s: %s\n", what, r->err.text);
	exit(1);
}

static void
set(struct run *r, const char *arg)
{
	if (strncmp(arg, "config=", 7) == 0)
		r->config_file = arg + 7;
	else if (strncmp(arg, "queue=", 6) == 0)
		r->queue = arg + 6;
	else if (strncmp(arg, "op=", 3) == 0)
		r->op = arg + 3;
	else if (!(strncmp(arg, "place=", 6) == 0 &&
		     slice_u64(slice_str(arg + 6), &r->place_ms)) &&
		 !(strncmp(arg, "budget=", 7) == 0 &&
		     slice_u64(slice_str(arg + 7), &r->budget_ms)) &&
		 !(strncmp(arg, "for=", 4) == 0 &&
		     slice_u64(slice_str(arg + 4), &r->for_ms)))
		die(r, arg);
}

static void
open_site(struct run *r)
{
	struct work_env *env = &r->env;
	uint64_t node = 0;

	if (config_load(r->config_file, NULL, &r->config, &r->err) != RC_OK ||
	    site_open(&r->config->sites[0], &r->site, &r->err) != RC_OK ||
	    db_open(&r->site->db, &env->db, &r->err) != RC_OK)
		die(r, "site");
	env->scope = (struct sql_scope){ .prefix = r->site->prefix,
		.base = r->site->prefix };
	if (site_facts_read(
		r->site, env->db, &env->scope, &r->facts, &r->err) != RC_OK ||
	    site_standing_read(r->site, &r->facts, env->db, &env->scope,
		&env->standing, &r->err) != RC_OK ||
	    getrandom(&node, sizeof node, 0) != sizeof node)
		die(r, "facts");
	env->config = r->config;
	env->site = r->site;
	env->blog_id = 1;
	env->siteurl = r->facts.siteurl;
	env->facts = &r->facts;
	env->node_id = node >> 1 | 1;
	env->clock = &clock_system;
	env->stopping = is_stopping;
	env->arg = r;
	env->php_enter = enter_php;
	for (size_t i = 0; !r->tasks; i++) {
		const struct config_tasks *t =
		    config_tasks(r->config, r->site->name, i);

		if (!t)
			die(r, "no such queue");
		if (!r->queue || strcmp(t->name, r->queue) == 0)
			r->tasks = t;
	}
}

static enum rc
run_once(struct run *r)
{
	struct tasks_report one = { .wait_ms = 0 };
	enum rc rc =
	    tasks_run(&r->env, r->tasks, (uint32_t)r->budget_ms, &one, &r->err);

	one.taken += r->all.taken;
	one.done += r->all.done;
	one.failed += r->all.failed;
	one.dead += r->all.dead;
	one.stale += r->all.stale;
	r->all = one;
	return rc;
}

static enum rc
run(struct run *r)
{
	mono_ms until = clock_mono(&clock_system) + (mono_ms)r->for_ms;
	size_t n = 0;
	enum rc rc;

	if (r->op && strcmp(r->op, "hand_back") == 0) {
		rc = tasks_hand_back_run(&r->env, r->tasks, &n, &r->err);
		r->all.taken = n;
		return rc;
	}
	rc = run_once(r);
	for (;;) {
		mono_ms again = clock_mono(&clock_system) + LOOK_MS;

		if (*r->all.held)
			again += r->all.wait_ms;
		while (!stopped && clock_mono(&clock_system) < until &&
		       clock_mono(&clock_system) < again)
			clock_sleep_ms(LOOK_MS);
		if (stopped || clock_mono(&clock_system) >= until)
			break;
		rc = run_once(r);
	}
	return rc;
}

static void
print(const struct run *r, enum rc rc)
{
	struct buf out = BUF_INIT((size_t)1 << 16);

	buf_printf(&out, "{\"rc\":\"%s\",\"error\":", rc_name(rc));
	utf8_put_json(&out, slice_str(rc == RC_OK ? "" : r->err.text));
	buf_put_str(&out, ",\"held\":");
	utf8_put_json(&out, slice_str(r->all.held));
	buf_printf(&out,
	    ",\"taken\":%" PRIu64 ",\"done\":%" PRIu64 ",\"failed\":%" PRIu64
	    ",\"dead\":%" PRIu64 ",\"stale\":%" PRIu64 ",\"more\":%s"
	    ",\"wait_ms\":%" PRId64 "}",
	    r->all.taken, r->all.done, r->all.failed, r->all.dead, r->all.stale,
	    r->all.more ? "true" : "false", r->all.wait_ms);
	(void)printf("%s\n", buf_str(&out));
	buf_clear(&out);
}

int
main(int argc, char **argv)
{
	struct run r = { .budget_ms = 60000 };
	enum rc rc;

	for (int i = 1; i < argc; i++)
		set(&r, argv[i]);
	if (!r.config_file || db_library_begin(&r.err) != RC_OK)
		die(&r, "usage: tasks_run config=FILE [queue=NAME] ...");
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGTERM, on_signal);
	open_site(&r);
	rc = run(&r);
	print(&r, rc);
	site_facts_clear(&r.facts);
	db_close(r.env.db);
	site_free(r.site);
	config_unref(r.config);
	db_library_end();
	return 0;
}
