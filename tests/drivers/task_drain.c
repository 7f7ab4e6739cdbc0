/*
 * Takes tasks out of a site's transient queue and "runs" them, as fast as it
 * can, while a test lets PHP append.
 *
 *   task_drain root=DIR queue=NAME stop=FILE [user=U password=P] [pause_us=N]
 *
 * Prints the serialized payload of each task that ran, a line each; at the end
 * "taken N stale N". Ends when nothing is left after FILE has come to be.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "queues/tasks.h"
#include "wordpress/site.h"

#define BATCH 100
#define TERM_MS 60000

struct run {
	struct config_site config;
	const char *queue, *stop;
	uint64_t pause_us, claim, taken, stale;
	struct site *site;
	struct db *db;
	struct sql_scope scope;
	struct task_queue q;
	struct err err;
};

static void
die(const struct run *r, const char *what)
{
	(void)fprintf(stderr, "task_drain: %s: %s\n", what, r->err.text);
	exit(1);
}

static void
set(struct run *r, const char *arg)
{
	struct {
		const char *name;
		const char **value;
	} texts[] = {
		{ "root=", &r->config.root },
		{ "user=", &r->config.db_user },
		{ "password=", &r->config.db_password },
		{ "queue=", &r->queue },
		{ "stop=", &r->stop },
	};

	for (size_t i = 0; i < NELEMS(texts); i++) {
		size_t n = strlen(texts[i].name);

		if (strncmp(arg, texts[i].name, n) == 0) {
			*texts[i].value = arg + n;
			return;
		}
	}
	if (strncmp(arg, "pause_us=", 9) != 0 ||
	    !slice_u64(slice_str(arg + 9), &r->pause_us))
		die(r, arg);
}

static void
begin(struct run *r)
{
	static char lock[200];

	if (site_open(&r->config, &r->site, &r->err) != RC_OK ||
	    db_open(&r->site->db, &r->db, &r->err) != RC_OK)
		die(r, "site");
	r->scope = (struct sql_scope){ .prefix = r->site->prefix,
		.base = r->site->prefix };
	(void)snprintf(lock, sizeof lock, "%s_lock", r->queue);
	r->q = (struct task_queue){ .blog_id = 1,
		.name = slice_str(r->queue),
		.lock = slice_str(lock),
		.lock_ttl_s = 60 };
}

static size_t
run_batch(struct run *r)
{
	struct arena a = ARENA_INIT((size_t)64 << 20);
	struct task *t = NULL;
	size_t n = 0;

	r->claim++;
	if (tasks_claim(r->db, &r->scope, &r->q, r->claim, NULL, 0, BATCH,
		TERM_MS, &a, &t, &n, &r->err) != RC_OK)
		die(r, "claim");
	for (size_t i = 0; i < n; i++) {
		if (tasks_begin(r->db, &r->scope, &r->q, &t[i], r->claim,
			&r->err) != RC_OK)
			die(r, "begin");
		(void)printf("%.*s\n", SLICE_FMT(t[i].payload));
		if (tasks_settle(r->db, &r->scope, &r->q, &t[i], r->claim, true,
			false, SLICE_NONE, &r->err) != RC_OK)
			die(r, "settle");
	}
	arena_clear(&a);
	return n;
}

int
main(int argc, char **argv)
{
	struct run r = { .config = { .name = "driver" }, .claim = 1 };
	bool over, due = true;

	for (int i = 1; i < argc; i++)
		set(&r, argv[i]);
	if (!r.config.root || !r.queue || !r.stop)
		die(&r, "root=, queue= and stop= are missing");
	if (db_library_begin(&r.err) != RC_OK)
		die(&r, "library");
	db_thread_begin();
	begin(&r);
	do {
		struct task_inbox in;

		over = access(r.stop, F_OK) == 0;
		if (tasks_drain(r.db, &r.scope, &r.q, &in, &r.err) != RC_OK)
			die(&r, "drain");
		r.taken += in.taken;
		r.stale += in.stale;
		while (run_batch(&r) == BATCH)
			continue;
		if (tasks_due(r.db, &r.scope, &r.q, &due, &r.err) != RC_OK)
			die(&r, "due");
		if (r.pause_us > 0)
			(void)usleep((useconds_t)r.pause_us);
	} while (due || !over);
	(void)printf("taken %" PRIu64 " stale %" PRIu64 "\n", r.taken, r.stale);
	db_close(r.db);
	site_free(r.site);
	db_thread_end();
	db_library_end();
	return 0;
}
