/*
 * One look at Event Espresso's queue after the other, as a node does it.
 *
 *   messages_run OP KEY=VALUE...
 *
 * OP: install, run, look, hand-back. Keys: config (the file), site, tick (1: as
 * by the plugin's schedule), budget_ms, ids (a,b), generate, send, for_ms (go
 * on for so long, then until nothing is left to do at once), every_ms (between
 * two looks).
 *
 * Output: a JSON object a line for each look: {"rc":..., "error":..., and the
 * report}. SIGTERM ends it after what is in hand.
 */
#include "engine/messages_run.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "formats/utf8.h"
#include "sql/schema.h"

enum {
	IDS_MAX = 4096
};

struct node {
	struct config *config;
	struct site *site;
	struct site_facts facts;
	struct db *db;
	struct work_env env;
	struct messages_opts opts;
	uint64_t ids[IDS_MAX];
	uint64_t for_ms, every_ms;
	const char *config_path;
	struct err err;
};

static volatile sig_atomic_t stop;

static void
on_signal(int number)
{
	(void)number;
	stop = 1;
}

static bool
stopping(void *arg)
{
	(void)arg;
	return stop != 0;
}

static bool
php_enter(void *arg, uint32_t wait_ms)
{
	(void)arg;
	(void)wait_ms;
	return true;
}

static void
php_leave(void *arg)
{
	(void)arg;
}

static void
print(struct buf *out)
{
	(void)printf("%s\n", buf_str(out));
	(void)fflush(stdout);
	buf_clear(out);
}

static void
print_run(enum rc rc, const struct messages_report *r, const struct err *err,
    bool due)
{
	struct buf out = BUF_INIT((size_t)1 << 16);

	buf_printf(&out, "{\"rc\":\"%s\",\"error\":", rc_name(rc));
	utf8_put_json(&out, slice_str(err->text));
	buf_printf(&out,
	    ",\"generated\":%" PRIu64 ",\"sent\":%" PRIu64
	    ",\"failed\":%" PRIu64 ",\"restored\":%" PRIu64
	    ",\"waiting\":%" PRIu64 ",\"absent\":%s,\"more\":%s,\"due\":%s,"
	    "\"wait_ms\":%" PRId64 ",\"held\":",
	    r->generated, r->sent, r->failed, r->restored, r->waiting,
	    r->absent ? "true" : "false", r->more ? "true" : "false",
	    due ? "true" : "false", r->wait_ms);
	utf8_put_json(&out, slice_str(r->held));
	buf_put_char(&out, '}');
	print(&out);
}

/* ---- the node ------------------------------------------------------------ */

static bool
number_is(struct slice key, const char *name, struct slice value, uint64_t *out)
{
	return slice_eq_str(key, name) && slice_u64(value, out);
}

static void
take_ids(struct node *n, struct slice list)
{
	while (list.n > 0 && n->opts.nids < IDS_MAX) {
		size_t end = slice_find(list, ',');

		if (slice_u64(slice_mem(list.p, end), &n->ids[n->opts.nids]))
			n->opts.nids++;
		list = slice_from(list, end + 1);
	}
	n->opts.ids = n->ids;
}

static bool
set(struct node *n, const char *arg)
{
	struct slice s = slice_str(arg);
	size_t eq = slice_find(s, '=');
	struct slice key = slice_mem(s.p, eq), value = slice_from(s, eq + 1);
	uint64_t v = 0;

	if (slice_eq_str(key, "config"))
		n->config_path = value.p;
	else if (slice_eq_str(key, "ids"))
		take_ids(n, value);
	else if (number_is(key, "tick", value, &v))
		n->opts.tick = v != 0;
	else if (number_is(key, "generate", value, &v))
		n->opts.generate = v != 0;
	else if (number_is(key, "send", value, &v))
		n->opts.send = v != 0;
	else if (number_is(key, "budget_ms", value, &v))
		n->opts.budget_ms = (uint32_t)v;
	else
		return number_is(key, "for_ms", value, &n->for_ms) ||
		       number_is(key, "every_ms", value, &n->every_ms);
	return true;
}

static enum rc
open_node(struct node *n)
{
	struct sql_scope *scope = &n->env.scope;
	uint64_t self = 0;
	enum rc rc = config_load(n->config_path, NULL, &n->config, &n->err);

	if (rc == RC_OK)
		rc = site_open(&n->config->sites[0], &n->site, &n->err);
	if (rc == RC_OK)
		rc = db_open(&n->site->db, &n->db, &n->err);
	if (rc != RC_OK)
		return rc;
	scope->prefix = scope->base = n->site->prefix;
	rc = site_facts_read(n->site, n->db, scope, &n->facts, &n->err);
	if (rc == RC_OK)
		rc = site_standing_read(n->site, &n->facts, n->db, scope,
		    &n->env.standing, &n->err);
	if (getrandom(&self, sizeof self, 0) != sizeof self)
		self = 1;
	n->env.config = n->config;
	n->env.site = n->site;
	n->env.blog_id = 1;
	n->env.siteurl = n->facts.siteurl;
	n->env.facts = &n->facts;
	n->env.db = n->db;
	n->env.node_id = self >> 1 | 1;
	n->env.clock = &clock_system;
	n->env.stopping = stopping;
	n->env.php_enter = php_enter;
	n->env.php_leave = php_leave;
	return rc;
}

static void
close_node(struct node *n)
{
	db_close(n->db);
	site_facts_clear(&n->facts);
	site_free(n->site);
	config_unref(n->config);
}

/* ---- operations ---------------------------------------------------------- */

static enum rc
run(struct node *n)
{
	mono_ms end = clock_mono(&clock_system) + (mono_ms)n->for_ms;
	struct messages_report r;
	enum rc rc;

	do {
		n->err = (struct err)ERR_INIT;
		rc = messages_run(&n->env, &n->opts, &r, &n->err);
		print_run(rc, &r, &n->err, false);
		if (!r.more && clock_mono(&clock_system) < end)
			clock_sleep_ms(
			    n->every_ms > 0 ? (mono_ms)n->every_ms : 100);
	} while (!stop && (r.more || clock_mono(&clock_system) < end));
	return RC_OK;
}

static enum rc
operate(struct node *n, const char *op)
{
	struct messages_report r = { .wait_ms = 0 };
	bool due = false;
	enum rc rc;

	if (strcmp(op, "run") == 0)
		return run(n);
	if (strcmp(op, "install") == 0) {
		rc = schema_install(n->db, &n->env.scope, &n->err);
		if (rc == RC_OK)
			rc = site_record(
			    n->site, &n->facts, n->db, &n->env.scope, &n->err);
	} else if (strcmp(op, "look") == 0) {
		rc = messages_look(n->db, &n->env.scope, &due, &n->err);
	} else {
		rc = messages_hand_back(&n->env, &n->err);
	}
	print_run(rc, &r, &n->err, due);
	return RC_OK;
}

int
main(int argc, char **argv)
{
	struct sigaction on = { .sa_handler = on_signal };
	struct node n = { .every_ms = 0 };
	enum rc rc;

	for (int i = 2; i < argc; i++)
		if (!set(&n, argv[i]))
			argc = 0;
	if (argc < 2) {
		(void)fprintf(stderr, "usage: messages_run OP KEY=VALUE...\n");
		return 2;
	}
	(void)sigaction(SIGTERM, &on, NULL);
	if (db_library_begin(&n.err) != RC_OK)
		return 1;
	db_thread_begin();
	rc = open_node(&n);
	if (rc == RC_OK)
		rc = operate(&n, argv[1]);
	if (rc != RC_OK)
		(void)fprintf(stderr, "messages_run: %s\n", n.err.text);
	close_node(&n);
	db_thread_end();
	db_library_end();
	return rc == RC_OK ? 0 : 1;
}
