/*
 * Writes rows of the contacts queue on a site, so that a test can look at them
 * beside PHP's.
 *
 *   contact_rows root=DIR [now=UNIX] [repeat=N]
 *
 * Reads JSON: {"retries": [{"direction": "push", "user": 7, "integration":
 * "esp", "count": 1, "context": "...", "reason": "...", "previous_email":
 * "..."}], "data": [{"user": 7, "items": {"key": "JSON text", ...}}]}, both of
 * which may be missing; "together": true adds the retries in one call. Prints a
 * line for each: the rc, and of data how many rows were written and how many
 * items refused. repeat=N: all of it so often.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/xalloc.h"
#include "queues/contacts.h"

#define ITEMS_MAX 200

struct run {
	const char *root;
	uint64_t now, repeat;
	struct site *site;
	struct site_facts facts;
	struct db *db;
	struct sql_scope scope;
	struct actions *actions;
	struct err err;
};

static void
die(const struct run *r, const char *what)
{
	(void)fprintf(stderr, "contact_rows: %s: %s\n", what, r->err.text);
	exit(1);
}

static void
set(struct run *r, const char *arg)
{
	if (strncmp(arg, "root=", 5) == 0)
		r->root = arg + 5;
	else if (!(strncmp(arg, "now=", 4) == 0 &&
		     slice_u64(slice_str(arg + 4), &r->now)) &&
		 !(strncmp(arg, "repeat=", 7) == 0 &&
		     slice_u64(slice_str(arg + 7), &r->repeat)))
		die(r, arg);
}

static void
open_site(struct run *r)
{
	static struct config_site config = { .name = "driver" };
	struct db_schema schema;
	enum rc rc;

	config.root = r->root;
	if (site_open(&config, &r->site, &r->err) != RC_OK ||
	    db_open(&r->site->db, &r->db, &r->err) != RC_OK)
		die(r, "site");
	r->scope = (struct sql_scope){ .prefix = r->site->prefix,
		.base = r->site->prefix };
	if (site_facts_read(r->site, r->db, &r->scope, &r->facts, &r->err) !=
	    RC_OK)
		die(r, "options");
	rc = db_probe(r->db, &r->scope, &schema, &r->err);
	if (rc == RC_NONE)
		return;
	if (rc != RC_OK)
		die(r, "tables");
	r->actions =
	    actions_new(&(const struct actions_opts){ .prefix = r->site->prefix,
		.base = r->site->prefix,
		.blog_id = 1,
		.clock = &clock_system });
	actions_set_schema(r->actions, &schema);
	actions_set_facts(r->actions, &r->facts);
}

static struct slice
text_of(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return slice_mem(json_string_value(v), json_string_length(v));
}

static uint64_t
number_of(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

static struct contact_retry
retry_of(const json_t *o)
{
	return (struct contact_retry){
		.direction = slice_eq_str(text_of(o, "direction"), "push")
				 ? CONTACT_PUSH
				 : CONTACT_PULL,
		.user_id = number_of(o, "user"),
		.integration = text_of(o, "integration"),
		.context = text_of(o, "context"),
		.count = (unsigned)number_of(o, "count"),
		.reason = text_of(o, "reason"),
		.previous_email = text_of(o, "previous_email"),
	};
}

static void
add_retry(struct run *r, const json_t *o)
{
	const struct contact_retry retry = retry_of(o);
	enum rc rc = contact_retry_add(
	    r->db, r->actions, &retry, (int64_t)r->now, &r->err);

	if (rc != RC_OK && rc != RC_NONE)
		die(r, "retry");
	(void)printf("%s\n", rc_name(rc));
}

static void
add_together(struct run *r, const json_t *all)
{
	size_t n = json_array_size(all);
	struct contact_retry *rows = xcalloc(n + 1, sizeof *rows);
	bool *added = xcalloc(n + 1, sizeof *added);

	for (size_t i = 0; i < n; i++)
		rows[i] = retry_of(json_array_get(all, i));
	if (contact_retries_add(r->db, r->actions, rows, n, (int64_t)r->now,
		added, &r->err) != RC_OK)
		die(r, "retries");
	for (size_t i = 0; i < n; i++)
		(void)printf("%s\n", rc_name(added[i] ? RC_OK : RC_NONE));
	free(rows);
	free(added);
}

static void
add_retries(struct run *r, const json_t *in)
{
	const json_t *all = json_object_get(in, "retries");
	const json_t *o;
	size_t i;

	if (json_array_size(all) > 0 && !r->actions)
		die(r, "there are no tables of Action Scheduler");
	if (json_is_true(json_object_get(in, "together"))) {
		add_together(r, all);
		return;
	}
	json_array_foreach(all, i, o) add_retry(r, o);
}

static void
store_data(struct run *r, const json_t *o)
{
	struct arena arena = ARENA_INIT((size_t)16 << 20);
	struct contact_item items[ITEMS_MAX];
	json_t *all = json_object_get(o, "items");
	const char *key;
	json_t *value;
	size_t n = 0, written, refused;
	enum rc rc;

	json_object_foreach(all, key, value)
	{
		struct slice json = slice_mem(
		    json_string_value(value), json_string_length(value));

		if (n == ITEMS_MAX)
			break;
		items[n].key = slice_str(key);
		if (contact_data_json(json, &arena, &items[n].json, &r->err) !=
		    RC_OK)
			die(r, "value");
		n++;
	}
	rc = contact_data_store(r->db, &r->scope, number_of(o, "user"), items,
	    n, &written, &refused, &r->err);
	if (rc != RC_OK && rc != RC_NONE)
		die(r, "data");
	(void)printf("%s %zu %zu\n", rc_name(rc), written, refused);
	arena_clear(&arena);
}

int
main(int argc, char **argv)
{
	struct run *r = xcalloc(1, sizeof *r);
	json_t *in, *o;
	size_t i;

	r->now = (uint64_t)time(NULL);
	r->repeat = 1;
	for (int k = 1; k < argc; k++)
		set(r, argv[k]);
	if (!r->root || db_library_begin(&r->err) != RC_OK)
		die(r, "usage: contact_rows root=DIR [now=UNIX] [repeat=N]");
	in = json_loadf(stdin, JSON_ALLOW_NUL, NULL);
	if (!in)
		die(r, "no JSON");
	open_site(r);
	for (uint64_t k = 0; k < r->repeat; k++) {
		add_retries(r, in);
		json_array_foreach(json_object_get(in, "data"), i, o)
		    store_data(r, o);
	}
	json_decref(in);
	actions_free(r->actions);
	site_facts_clear(&r->facts);
	db_close(r->db);
	site_free(r->site);
	db_library_end();
	free(r);
	return 0;
}
