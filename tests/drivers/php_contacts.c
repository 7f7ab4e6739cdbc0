/*
 * Asks PHP about contacts and prints what it answered.
 *
 *   php_contacts OP KEY=VALUE... < ENTRIES
 *
 * OP: prepare, push, pull, store, options, alert, describe. Keys: address,
 * worker, root, salts, home, blog, timeout_ms, first_byte_ms, arena.
 *
 * An entry is a line of fields separated by tabs:
 *   prepare, push, pull: user, integration, context, previous address
 *   store:   user, then key and JSON by turns
 *   options: name, value
 *   alert:   action, integration, user, context, reason, number of retries
 *
 * Output: a JSON object a line for each entry, or the description; and
 * {"rc":..., "error":...} at the end.
 */
#include "executors/php_contacts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "formats/utf8.h"

enum {
	ENTRIES_MAX = 4096,
	ITEMS_MAX = 256,
};

struct asked {
	struct php_executor_opts opts;
	uint64_t timeout_ms, arena;
	struct buf input;
	struct slice lines[ENTRIES_MAX];
	size_t n;
	struct arena a;
	struct err err;
};

static void
put_text(struct buf *out, const char *key, struct slice value)
{
	buf_printf(out, ",\"%s\":", key);
	utf8_put_json(out, value);
}

static void
put_bool(struct buf *out, const char *key, bool value)
{
	buf_printf(out, ",\"%s\":%s", key, value ? "true" : "false");
}

static void
print_line(struct buf *out)
{
	(void)printf("%s\n", buf_str(out));
	buf_reset(out);
}

static struct slice
next_field(struct slice *line)
{
	struct slice field = slice_mem(line->p, slice_find(*line, '\t'));

	*line = slice_from(*line, field.n + 1);
	return field;
}

static uint64_t
next_number(struct slice *line)
{
	uint64_t n = 0;

	if (!slice_u64(next_field(line), &n))
		n = 0;
	return n;
}

/* ---- operations --------------------------------------------------------- */

static void
print_contact(struct buf *out, const struct php_contact *c)
{
	buf_printf(out, "{\"user\":%" PRIu64, c->user_id);
	put_text(out, "integration", c->integration);
	put_bool(out, "answered", c->answered);
	put_bool(out, "ok", c->ok);
	put_bool(out, "gone", c->gone);
	put_text(out, "message", c->message);
	put_text(out, "code", c->code);
	put_text(out, "email", c->email);
	put_text(out, "name", c->name);
	put_text(out, "status_if_new", c->status_if_new);
	buf_put_str(out, ",\"fields\":[");
	for (size_t i = 0; i < c->nfields; i++) {
		buf_put_str(out, i > 0 ? ",[" : "[");
		utf8_put_json(out, c->fields[i].name);
		buf_put_char(out, ',');
		utf8_put_json(out, c->fields[i].value);
		buf_put_str(out, c->fields[i].number ? ",true]" : ",false]");
	}
	buf_put_str(out, "]}");
	print_line(out);
}

static enum rc
ask_contacts(struct asked *x, const char *op)
{
	struct php_contact *list = xcalloc(x->n + 1, sizeof(list[0]));
	uint32_t ms = (uint32_t)x->timeout_ms;
	struct buf out = BUF_INIT((size_t)1 << 20);
	enum rc rc;

	for (size_t i = 0; i < x->n; i++) {
		struct slice line = x->lines[i];

		list[i].user_id = next_number(&line);
		list[i].integration = next_field(&line);
		list[i].context = next_field(&line);
		list[i].previous_email = next_field(&line);
	}
	if (strcmp(op, "prepare") == 0)
		rc = php_contacts_prepare(
		    &x->opts, list, x->n, ms, &x->a, &x->err);
	else if (strcmp(op, "push") == 0)
		rc =
		    php_contacts_push(&x->opts, list, x->n, ms, &x->a, &x->err);
	else
		rc =
		    php_contacts_pull(&x->opts, list, x->n, ms, &x->a, &x->err);
	for (size_t i = 0; i < x->n; i++)
		print_contact(&out, &list[i]);
	buf_clear(&out);
	free(list);
	return rc;
}

static enum rc
ask_store(struct asked *x)
{
	struct php_reader_data *list = xcalloc(x->n + 1, sizeof(list[0]));
	struct buf out = BUF_INIT((size_t)1 << 20);
	enum rc rc;

	for (size_t i = 0; i < x->n; i++) {
		struct slice line = x->lines[i];
		struct esp_field *items = xcalloc(ITEMS_MAX, sizeof(items[0]));
		size_t n = 0;

		list[i].user_id = next_number(&line);
		for (; line.n > 0 && n < ITEMS_MAX; n++) {
			items[n].name = next_field(&line);
			items[n].value = next_field(&line);
		}
		list[i].items = items;
		list[i].nitems = n;
	}
	rc = php_contacts_store(
	    &x->opts, list, x->n, (uint32_t)x->timeout_ms, &x->a, &x->err);
	for (size_t i = 0; i < x->n; i++) {
		buf_printf(&out, "{\"user\":%" PRIu64 ",\"refused\":%zu",
		    list[i].user_id, list[i].refused);
		put_bool(&out, "ok", list[i].ok);
		put_text(&out, "message", list[i].message);
		buf_put_char(&out, '}');
		print_line(&out);
		free((void *)(uintptr_t)list[i].items);
	}
	buf_clear(&out);
	free(list);
	return rc;
}

static enum rc
ask_options(struct asked *x)
{
	struct php_option *list = xcalloc(x->n + 1, sizeof(list[0]));
	enum rc rc;

	for (size_t i = 0; i < x->n; i++) {
		struct slice line = x->lines[i];

		list[i].name = next_field(&line);
		list[i].value = next_field(&line);
	}
	rc = php_contacts_options(
	    &x->opts, list, x->n, (uint32_t)x->timeout_ms, &x->err);
	free(list);
	return rc;
}

static enum rc
ask_alert(struct asked *x)
{
	struct php_contact_alert *list = xcalloc(x->n + 1, sizeof(list[0]));
	enum rc rc;

	for (size_t i = 0; i < x->n; i++) {
		struct slice line = x->lines[i];

		list[i].action = next_field(&line);
		list[i].integration = next_field(&line);
		list[i].user_id = next_number(&line);
		list[i].context = next_field(&line);
		list[i].reason = next_field(&line);
		list[i].retry_count = (unsigned)next_number(&line);
	}
	rc = php_contacts_alert(
	    &x->opts, list, x->n, (uint32_t)x->timeout_ms, &x->err);
	free(list);
	return rc;
}

static enum rc
ask_description(struct asked *x)
{
	char *json = NULL;
	enum rc rc = php_contacts_describe(
	    &x->opts, (uint32_t)x->timeout_ms, &json, &x->err);

	if (json)
		(void)printf("%s\n", json);
	free(json);
	return rc;
}

/* ---- arguments ---------------------------------------------------------- */

static bool
set_option(struct asked *x, const char *key, const char *value)
{
	struct php_executor_opts *o = &x->opts;
	const struct {
		const char *key;
		const char **text;
	} texts[] = {
		{ "address", &o->address },
		{ "worker", &o->worker_script },
		{ "root", &o->root },
		{ "salts", &o->salts },
		{ "home", &o->home },
	};
	uint64_t n = 0;

	for (size_t i = 0; i < NELEMS(texts); i++)
		if (strcmp(key, texts[i].key) == 0) {
			*texts[i].text = value;
			return true;
		}
	if (!slice_u64(slice_str(value), &n))
		return false;
	if (strcmp(key, "blog") == 0)
		o->blog_id = (uint32_t)n;
	else if (strcmp(key, "timeout_ms") == 0)
		x->timeout_ms = n;
	else if (strcmp(key, "first_byte_ms") == 0)
		o->first_byte_ms = (uint32_t)n;
	else if (strcmp(key, "arena") == 0)
		x->arena = n;
	else
		return false;
	return true;
}

static void
read_entries(struct asked *x)
{
	char chunk[4096];
	struct slice rest;
	size_t n;

	while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
		buf_put(&x->input, chunk, n);
	for (rest = buf_slice(&x->input); rest.n > 0 && x->n < ENTRIES_MAX;) {
		struct slice line = slice_mem(rest.p, slice_find(rest, '\n'));

		rest = slice_from(rest, line.n + 1);
		x->lines[x->n++] = line;
	}
}

static enum rc
ask(struct asked *x, const char *op)
{
	if (strcmp(op, "store") == 0)
		return ask_store(x);
	if (strcmp(op, "options") == 0)
		return ask_options(x);
	if (strcmp(op, "alert") == 0)
		return ask_alert(x);
	if (strcmp(op, "describe") == 0)
		return ask_description(x);
	return ask_contacts(x, op);
}

int
main(int argc, char **argv)
{
	static struct asked x = { .timeout_ms = 60000,
		.arena = (uint64_t)64 << 20,
		.input = BUF_INIT((size_t)64 << 20) };
	struct buf end = BUF_INIT(4096);
	enum rc rc;

	for (int i = 2; i < argc; i++) {
		char *eq = strchr(argv[i], '=');

		if (eq)
			*eq = '\0';
		if (!eq || !set_option(&x, argv[i], eq + 1)) {
			(void)fprintf(stderr, "no such key: %s\n", argv[i]);
			return 64;
		}
	}
	if (argc < 2)
		return 64;
	x.a.max = (size_t)x.arena;
	read_entries(&x);
	rc = ask(&x, argv[1]);
	buf_printf(&end, "{\"rc\":\"%s\"", rc_name(rc));
	put_text(&end, "error", slice_str(x.err.text));
	buf_put_char(&end, '}');
	print_line(&end);
	buf_clear(&end);
	arena_clear(&x.a);
	buf_clear(&x.input);
	return 0;
}
