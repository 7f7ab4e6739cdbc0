/*
 * What the formats say, for comparison with PHP: `compare_formats FORMAT`
 * answers each line of standard input with one line.
 *
 *   php_serialize    HEX                  ok HEX | reject WORDS
 *   cron_expression  next|first TIME HEX  ok TIME | reject WORDS
 *   action_schedule  NOW_US HEX           ok KIND TIME NEXT HEX | none | ...
 *   action_args      HEX                  ok COUNT | reject WORDS
 *   php_serialize_json HEX                ok HEX | none | reject WORDS
 *   php_query        HEX                  ok HEX | reject WORDS
 *   cron_events      HEX                  ok TIME,HEX,HEX,HEX,HEX,INTERVAL ...
 *   cron_array       HEX EDIT ...         ok HEX | none | reject WORDS
 *                    an EDIT is TIME,HOOK,KEY to remove, with ,EVENT to add
 *   cron_next_run    TIME INTERVAL NOW    ok TIME
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "formats/action_args.h"
#include "formats/action_schedule.h"
#include "formats/cron_array.h"
#include "formats/cron_expression.h"
#include "formats/php_query.h"
#include "formats/php_serialize.h"
#include "formats/php_serialize_json.h"

#define MEMORY_MAX ((size_t)256 << 20)
#define LINE_BYTES_MAX (1 << 22)
#define EDITS_MAX 64

static int
hex_value(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : 0;
}

/* In place; `hex` has an even number of lower-case digits. */
static struct slice
unhex(char *hex)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++)
		hex[i] = (char)(hex_value(hex[2 * i]) * 16 +
				hex_value(hex[2 * i + 1]));
	return slice_mem(hex, n);
}

static void
put_hex_of(struct buf *out, const struct buf *bytes)
{
	if (bytes->failed)
		out->failed = true;
	buf_put_hex(out, buf_str(bytes), bytes->n);
}

static void
refuse(struct buf *out, const char *what, const struct err *err)
{
	buf_reset(out);
	buf_printf(out, "%s %s", what, err->text);
}

static void
answer_php_serialize(char *line, struct arena *a, struct buf *out)
{
	struct buf bytes = BUF_INIT(MEMORY_MAX);
	struct php_serialize_value v;
	struct err err = ERR_INIT;

	if (php_serialize_parse(
		unhex(line), &PHP_SERIALIZE_LIMITS, a, &v, &err) != RC_OK) {
		refuse(out, "reject", &err);
		return;
	}
	php_serialize_write(&v, &bytes);
	buf_put_str(out, "ok ");
	put_hex_of(out, &bytes);
	buf_clear(&bytes);
}

/* The text before the next `end`; `*line` is what follows it. */
static char *
part(char **line, char end)
{
	char *from = *line, *blank = strchr(from, end);

	if (blank) {
		*blank = '\0';
		*line = blank + 1;
	} else {
		*line = from + strlen(from);
	}
	return from;
}

static char *
word(char **line)
{
	return part(line, ' ');
}

static int64_t
number_part(char **line, char end)
{
	int64_t v = 0;

	if (!slice_i64(slice_str(part(line, end)), &v))
		fputs("compare_formats: a number is expected\n", stderr);
	return v;
}

static int64_t
number_word(char **line)
{
	return number_part(line, ' ');
}

static void
answer_cron_expression(char *line, struct arena *a, struct buf *out)
{
	bool first = strcmp(word(&line), "first") == 0;
	int64_t from = number_word(&line), at;
	struct cron_expression expr;
	struct err err = ERR_INIT;
	enum rc rc = cron_expression_parse(unhex(line), &expr, &err);

	(void)a;
	if (rc == RC_OK)
		rc = first ? cron_expression_first(&expr, from, &at, &err)
			   : cron_expression_next(&expr, from, &at, &err);
	if (rc == RC_OK)
		buf_printf(out, "ok %" PRId64, at);
	else
		refuse(out, "reject", &err);
}

static void
answer_action_schedule(char *line, struct arena *a, struct buf *out)
{
	struct buf bytes = BUF_INIT(MEMORY_MAX);
	int64_t now = number_word(&line), next = 0;
	struct action_schedule s;
	struct err err = ERR_INIT;
	enum rc rc = action_schedule_parse(unhex(line), a, &s, NULL, &err);

	if (rc != RC_OK) {
		refuse(out, rc == RC_NONE ? "none" : "reject", &err);
		return;
	}
	rc = action_schedule_next(&s, now, &next, &err);
	if (rc == RC_OK) {
		action_schedule_render(&s, next, &bytes);
		buf_printf(out, "ok %d %" PRId64 " %" PRId64 " ", (int)s.kind,
		    s.scheduled, next);
	} else if (rc == RC_NONE) {
		action_schedule_render(&s, s.scheduled, &bytes);
		buf_printf(
		    out, "ok %d %" PRId64 " - ", (int)s.kind, s.scheduled);
	} else {
		refuse(out, "reject", &err);
	}
	put_hex_of(out, &bytes);
	buf_clear(&bytes);
}

static void
answer_action_args(char *line, struct arena *a, struct buf *out)
{
	struct err err = ERR_INIT;
	size_t count;

	(void)a;
	if (action_args_check(unhex(line), &count, &err) == RC_OK)
		buf_printf(out, "ok %zu", count);
	else
		refuse(out, "reject", &err);
}

static void
answer_php_serialize_json(char *line, struct arena *a, struct buf *out)
{
	struct buf bytes = BUF_INIT(MEMORY_MAX);
	struct err err = ERR_INIT;
	enum rc rc = php_serialize_json(unhex(line), &bytes, &err);

	(void)a;
	if (rc == RC_OK) {
		buf_put_str(out, "ok ");
		put_hex_of(out, &bytes);
	} else {
		refuse(out, rc == RC_NONE ? "none" : "reject", &err);
	}
	buf_clear(&bytes);
}

static void
answer_php_query(char *line, struct arena *a, struct buf *out)
{
	struct buf bytes = BUF_INIT(MEMORY_MAX);
	struct php_serialize_value v;
	struct err err = ERR_INIT;

	if (php_serialize_parse(
		unhex(line), &PHP_SERIALIZE_LIMITS, a, &v, &err) == RC_OK &&
	    php_query_put(&v, &bytes, &err) == RC_OK) {
		buf_put_str(out, "ok ");
		put_hex_of(out, &bytes);
	} else {
		refuse(out, "reject", &err);
	}
	buf_clear(&bytes);
}

static void
answer_cron_events(char *line, struct arena *a, struct buf *out)
{
	struct cron_array c;
	struct err err = ERR_INIT;

	if (cron_array_parse(unhex(line), a, &c, &err) != RC_OK) {
		refuse(out, "reject", &err);
		return;
	}
	buf_put_str(out, "ok");
	for (size_t i = 0; i < c.n; i++) {
		const struct cron_event *e = &c.events[i];
		const struct slice texts[] = { e->hook, e->key, e->args,
			e->recurrence };

		buf_printf(out, " %" PRId64 ",", e->timestamp);
		for (size_t j = 0; j < NELEMS(texts); j++) {
			buf_put_hex(out, texts[j].p, texts[j].n);
			buf_put_char(out, ',');
		}
		buf_put_i64(out, e->interval);
	}
}

static struct cron_edit
edit_of(char *text)
{
	struct cron_edit e = { .what = CRON_REMOVE };

	e.timestamp = number_part(&text, ',');
	e.hook = unhex(part(&text, ','));
	e.key = unhex(part(&text, ','));
	if (*text)
		e.what = CRON_ADD;
	e.event = unhex(text);
	return e;
}

static void
answer_cron_array(char *line, struct arena *a, struct buf *out)
{
	struct buf bytes = BUF_INIT(MEMORY_MAX);
	struct slice in = unhex(word(&line));
	struct cron_edit edits[EDITS_MAX];
	size_t n = 0;
	struct cron_array c;
	struct err err = ERR_INIT;
	enum rc rc = cron_array_parse(in, a, &c, &err);

	while (*line && n < EDITS_MAX)
		edits[n++] = edit_of(word(&line));
	if (rc == RC_OK)
		rc = cron_array_splice(&c, edits, n, &bytes, &err);
	if (rc == RC_OK) {
		buf_put_str(out, "ok ");
		put_hex_of(out, &bytes);
	} else {
		refuse(out, rc == RC_NONE ? "none" : "reject", &err);
	}
	buf_clear(&bytes);
}

static void
answer_cron_next_run(char *line, struct arena *a, struct buf *out)
{
	int64_t timestamp = number_word(&line), interval = number_word(&line);

	(void)a;
	buf_printf(out, "ok %" PRId64,
	    cron_next_run(timestamp, interval, number_word(&line)));
}

static const struct format {
	const char *name;
	void (*answer)(char *line, struct arena *a, struct buf *out);
} formats[] = {
	{ "php_serialize", answer_php_serialize },
	{ "cron_expression", answer_cron_expression },
	{ "action_schedule", answer_action_schedule },
	{ "action_args", answer_action_args },
	{ "php_serialize_json", answer_php_serialize_json },
	{ "php_query", answer_php_query },
	{ "cron_events", answer_cron_events },
	{ "cron_array", answer_cron_array },
	{ "cron_next_run", answer_cron_next_run },
};

static const struct format *
find_format(const char *name)
{
	for (size_t i = 0; name && i < NELEMS(formats); i++)
		if (strcmp(formats[i].name, name) == 0)
			return &formats[i];
	return NULL;
}

int
main(int argc, char **argv)
{
	const struct format *format = find_format(argc > 1 ? argv[1] : NULL);
	struct arena a = ARENA_INIT(MEMORY_MAX);
	struct buf out = BUF_INIT(MEMORY_MAX);
	char *line = malloc(LINE_BYTES_MAX);
	int status = EXIT_SUCCESS;

	if (!format || !line) {
		fputs("usage: compare_formats FORMAT <cases\n", stderr);
		free(line);
		return 64;
	}
	while (status == EXIT_SUCCESS && fgets(line, LINE_BYTES_MAX, stdin)) {
		line[strcspn(line, "\n")] = '\0';
		format->answer(line, &a, &out);
		/* Words may quote input; an answer stays one line. */
		for (size_t i = 0; i < out.n; i++)
			if (out.p[i] == '\n' || out.p[i] == '\0')
				out.p[i] = '?';
		if (out.failed || puts(buf_str(&out)) == EOF)
			status = EXIT_FAILURE;
		buf_reset(&out);
		arena_clear(&a);
	}
	free(line);
	buf_clear(&out);
	return status;
}
