/*
 * Asks PHP about Event Espresso's messages and prints what it answered.
 *
 *   php_messages OP KEY=VALUE... < ENTRIES
 *
 * OP: generate, send, failed, options, describe. Keys: address, worker, root,
 * salts, home, outbox (1: mails are stored), blog, timeout_ms, first_byte_ms,
 * arena.
 *
 * An entry is a line of fields separated by tabs:
 *   generate, send: MSG_ID, whose mail it is in the outbox
 *   failed:  job, subject, reason, addressees as JSON
 *   options: name, value; without a second field it is deleted
 *
 * Output: a JSON object a line for each message, or the description; and
 * {"rc":..., "error":...} at the end.
 */
#include "executors/php_messages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "executors/php_mail.h"
#include "formats/utf8.h"

enum {
	ENTRIES_MAX = 4096
};

struct asked {
	struct php_executor_opts opts;
	uint64_t timeout_ms, arena;
	bool outbox;
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
print_message(struct buf *out, const struct php_message *m)
{
	buf_printf(out, "{\"id\":%" PRIu64 ",\"mails\":%u", m->id, m->mails);
	put_bool(out, "answered", m->answered);
	put_bool(out, "ok", m->ok);
	put_bool(out, "begun", m->begun);
	put_bool(out, "locked", m->locked);
	put_bool(out, "kick", m->kick);
	put_text(out, "status", m->status);
	put_text(out, "message", m->message);
	buf_put_char(out, '}');
	print_line(out);
}

static enum rc
ask_messages(struct asked *x, bool send)
{
	struct php_message *list = xcalloc(x->n + 1, sizeof(list[0]));
	const struct php_messages_opts o = { .timeout_ms =
						 (uint32_t)x->timeout_ms };
	struct buf out = BUF_INIT((size_t)1 << 20);
	enum rc rc;

	for (size_t i = 0; i < x->n; i++) {
		struct slice line = x->lines[i];

		list[i].id = next_number(&line);
		list[i].mail = next_field(&line);
	}
	rc = send ? php_messages_send(&x->opts, &o, list, x->n, &x->a, &x->err)
		  : php_messages_generate(
			&x->opts, &o, list, x->n, &x->a, &x->err);
	for (size_t i = 0; i < x->n; i++)
		print_message(&out, &list[i]);
	buf_clear(&out);
	free(list);
	return rc;
}

static enum rc
ask_failed(struct asked *x)
{
	struct php_mail_failure *list = xcalloc(x->n + 1, sizeof(list[0]));
	enum rc rc;

	for (size_t i = 0; i < x->n; i++) {
		struct slice line = x->lines[i];

		list[i].job = next_field(&line);
		list[i].subject = next_field(&line);
		list[i].reason = next_field(&line);
		list[i].to = next_field(&line);
	}
	rc = php_messages_failed(
	    &x->opts, list, x->n, (uint32_t)x->timeout_ms, &x->err);
	free(list);
	return rc;
}

static enum rc
ask_options(struct asked *x)
{
	struct php_plain_option *list = xcalloc(x->n + 1, sizeof(list[0]));
	enum rc rc;

	for (size_t i = 0; i < x->n; i++) {
		struct slice line = x->lines[i];

		list[i].remove = slice_find(line, '\t') == line.n;
		list[i].name = next_field(&line);
		list[i].value = next_field(&line);
	}
	rc = php_messages_options(
	    &x->opts, list, x->n, (uint32_t)x->timeout_ms, &x->err);
	free(list);
	return rc;
}

static enum rc
ask_description(struct asked *x)
{
	char *json = NULL;
	enum rc rc = php_messages_describe(
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
	else if (strcmp(key, "outbox") == 0)
		x->outbox = n > 0;
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
	if (strcmp(op, "failed") == 0)
		return ask_failed(x);
	if (strcmp(op, "options") == 0)
		return ask_options(x);
	if (strcmp(op, "describe") == 0)
		return ask_description(x);
	return ask_messages(x, strcmp(op, "send") == 0);
}

/* As the engine would, of a site with the prefix "wp_". */
static char *
render_outbox(const struct asked *x)
{
	const struct sql_scope scope = { .prefix = "wp_", .base = "wp_" };
	const struct config_site site = { .outbox_max_mib = 25 };
	const struct config_smtp smtp = { .foreign_from = FOREIGN_FROM_SEND };
	struct buf out = BUF_INIT(65536);

	php_mail_render(
	    &out, &scope, x->opts.blog_id ? x->opts.blog_id : 1, &site, &smtp);
	return buf_take(&out);
}

int
main(int argc, char **argv)
{
	static struct asked x = { .timeout_ms = 60000,
		.arena = (uint64_t)64 << 20,
		.input = BUF_INIT((size_t)64 << 20) };
	struct buf end = BUF_INIT(4096);
	char *outbox = NULL;
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
	if (x.outbox)
		x.opts.outbox = outbox = render_outbox(&x);
	rc = ask(&x, argv[1]);
	buf_printf(&end, "{\"rc\":\"%s\"", rc_name(rc));
	put_text(&end, "error", slice_str(x.err.text));
	buf_put_char(&end, '}');
	print_line(&end);
	buf_clear(&end);
	arena_clear(&x.a);
	buf_clear(&x.input);
	free(outbox);
	return 0;
}
