#include "base/config_ini.h"

#include <ini.h>
#include <pthread.h>
#include <string.h>

/* The longest sensible line is a route with a URL. */
#define LINE_MAX_LEN 4096
/* Bounds the search for duplicates. */
#define ENTRIES_MAX 4096

struct reader {
	struct slice rest;
	const char *name;
	unsigned line;
	size_t nentries;
	struct arena *arena;
	struct config_ini_section *first, *last;
	struct err *err;
	bool failed;
};

static enum rc
fail(struct reader *r, const char *what)
{
	/* The first error is the one to mend. */
	if (!r->failed)
		err_set(r->err, RC_REJECT, "%s:%u: %s", r->name, r->line, what);
	r->failed = true;
	return RC_REJECT;
}

static void
open_section(struct reader *r, struct slice line)
{
	size_t end = slice_find(line, ']');
	struct slice head = slice_trim(slice_mem(line.p + 1, end - 1));
	struct slice after = slice_trim(slice_from(line, end + 1));
	size_t kind_len = 0;
	struct config_ini_section *s;

	if (end == line.n || head.n == 0 ||
	    (after.n > 0 && after.p[0] != ';' && after.p[0] != '#')) {
		fail(r, "a section is [daemon], [site NAME], [route], "
			"[policy HOOK], [integration SITE/ID], "
			"[fields SITE/ID], [smtp NAME] or "
			"[tasks SITE/NAME]");
		return;
	}
	while (kind_len < head.n && head.p[kind_len] != ' ' &&
	       head.p[kind_len] != '\t')
		kind_len++;
	s = arena_alloc(r->arena, sizeof *s);
	if (s) {
		s->line = r->line;
		s->kind = arena_strdup(r->arena, slice_mem(head.p, kind_len));
		s->name = arena_strdup(
		    r->arena, slice_trim(slice_from(head, kind_len)));
	}
	if (!s || !s->kind || !s->name) {
		fail(r, "the file is too large");
		return;
	}
	if (r->last)
		r->last->next = s;
	else
		r->first = s;
	r->last = s;
}

/*
 * fgets() for inih. Line numbers and headings are kept here: the library
 * passes no line number and cuts a section's name at 49 bytes, which hook
 * names exceed. Leading blanks go, or inih would join the line to the last.
 */
static char *
next_line(char *str, int num, void *arg)
{
	struct reader *r = arg;
	size_t eol = slice_find(r->rest, '\n');
	struct slice line = slice_mem(r->rest.p, eol);

	if (r->failed || r->rest.n == 0)
		return NULL;
	r->rest = slice_from(r->rest, eol + 1);
	if (++r->line == 1 && slice_starts(line, SLICE_LIT("\xEF\xBB\xBF")))
		line = slice_from(line, 3);
	line = slice_trim(line);
	if (num < 3 || line.n > (size_t)num - 3 ||
	    slice_find(line, '\0') < line.n) {
		fail(r, line.n > (size_t)num ? "the line is too long"
					     : "the line is not text");
		return NULL;
	}
	if (line.n > 0 && line.p[0] == '[')
		open_section(r, line);
	if (line.n > 0)
		memcpy(str, line.p, line.n);
	str[line.n] = '\n';
	str[line.n + 1] = '\0';
	return str;
}

/* The text between quotes, without its backslashes; p NULL: it does not end. */
static struct slice
unquote(char *p, struct slice *rest)
{
	size_t n = 0, i;

	for (i = 1; i < rest->n && rest->p[i] != '"'; i++) {
		if (rest->p[i] == '\\' && i + 1 < rest->n &&
		    (rest->p[i + 1] == '"' || rest->p[i + 1] == '\\'))
			i++;
		p[n++] = rest->p[i];
	}
	if (i == rest->n)
		return SLICE_NONE;
	*rest = slice_trim(slice_from(*rest, i + 1));
	return slice_mem(p, n);
}

static struct slice
without_comment(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == ';' &&
		    (i == 0 || s.p[i - 1] == ' ' || s.p[i - 1] == '\t'))
			return slice_trim(slice_mem(s.p, i));
	return s;
}

static const char *
keep_value(struct reader *r, const char *value)
{
	struct slice s = slice_trim(slice_str(value));
	char text[LINE_MAX_LEN];

	if (s.n > 0 && s.p[0] == '"') {
		struct slice inner = unquote(text, &s);

		if (!inner.p || (s.n > 0 && s.p[0] != ';')) {
			fail(r, "the value's quotes do not match");
			return NULL;
		}
		s = inner;
	} else {
		s = without_comment(s);
	}
	return arena_strdup(r->arena, s);
}

static int
on_entry(void *arg, const char *section, const char *key, const char *value)
{
	struct reader *r = arg;
	struct config_ini_entry *e;

	(void)section;
	if (r->failed)
		return 0;
	if (!r->last)
		return fail(r, "a section heading must come first") == RC_OK;
	if (++r->nentries > ENTRIES_MAX)
		return fail(r, "the file is too large") == RC_OK;
	e = arena_alloc(r->arena, sizeof *e);
	if (e) {
		e->line = r->line;
		e->key = arena_strdup(r->arena, slice_str(key));
		e->value = keep_value(r, value);
	}
	if (!e || !e->key || !e->value)
		return fail(r, "the file is too large") == RC_OK;
	if (r->last->last)
		r->last->last->next = e;
	else
		r->last->first = e;
	r->last->last = e;
	r->last->nentries++;
	return 1;
}

/* The library's settings are variables of the process. */
static void
library_settings(void)
{
	ini_use_stack = false;
	ini_initial_alloc = LINE_MAX_LEN;
	ini_max_line = LINE_MAX_LEN;
	/* Quotes protect a `;`, which inih does not know: keep_value() does. */
	ini_allow_inline_comments = false;
	ini_allow_multiline = false;
	ini_stop_on_first_error = true;
}

enum rc
config_ini_read(struct slice text, const char *name, struct arena *a,
    struct config_ini_section **out, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct reader r = {
		.rest = text, .name = name, .arena = a, .err = err
	};
	int bad;

	pthread_once(&once, library_settings);
	bad = ini_parse_stream(next_line, &r, on_entry, &r);
	if (bad != 0 && !r.failed)
		return fail(&r, "neither a section nor key = value");
	*out = r.first;
	return r.failed ? RC_REJECT : RC_OK;
}
