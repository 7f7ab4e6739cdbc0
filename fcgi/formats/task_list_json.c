/* Tasks and lists in JSON. jansson says whether it is any; bytes are cut out of
 * the text, which jansson could only write in its own spelling. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/php_serialize.h"
#include "formats/task_list_private.h"

static enum rc
load(struct slice json, json_t **out, struct err *err)
{
	json_error_t why;

	*out = json_loadb(json.p, json.n, JSON_ALLOW_NUL, &why);
	if (!*out)
		return err_set(err, RC_REJECT, "not JSON: %s at byte %d",
		    why.text, why.position);
	return RC_OK;
}

/* ---- cutting: of text that is known to be JSON --------------------------- */

static size_t
skip_blanks(struct slice s, size_t i)
{
	while (i < s.n && strchr(" \t\r\n", s.p[i]))
		i++;
	return i;
}

/* The end of the value that begins at `i`, without blanks behind it. */
static size_t
value_end(struct slice s, size_t i)
{
	bool in_string = false;
	int depth = 0;
	size_t end = i;

	for (; i < s.n; i++) {
		char c = s.p[i];

		if (in_string) {
			if (c == '\\')
				i++;
			in_string = c != '"';
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			depth++;
		} else if (depth == 0 &&
			   (c == ',' || c == ']' || c == '}' || c == ':')) {
			break;
		} else if (c == ']' || c == '}') {
			depth--;
		}
		if (!strchr(" \t\r\n", c))
			end = i + 1;
	}
	return end < s.n ? end : s.n;
}

enum rc
task_json_list(struct slice json, struct arena *a, struct slice **elements,
    size_t *n, struct err *err)
{
	json_t *root = NULL;
	size_t count = 0, i = 1;
	enum rc rc = load(json, &root, err);

	if (rc == RC_OK)
		count = json_array_size(root);
	json_decref(root);
	if (rc != RC_OK)
		return rc;
	*elements = arena_array(a, count + 1, sizeof **elements);
	if (!*elements)
		return err_set(err, RC_RETRY, "no memory for a list");
	for (*n = 0; *n < count; (*n)++) {
		size_t from = skip_blanks(json, i), to = value_end(json, from);

		(*elements)[*n] = slice_mem(json.p + from, to - from);
		i = skip_blanks(json, to) + 1;
	}
	return RC_OK;
}

/* A member to be set. */
struct setting {
	const char *name;
	struct slice value; /* SLICE_NONE: it stays */
	bool there;
};

/* Of two equal keys the last counts, so all of them are set. */
static struct slice
setting_of(struct setting *s, struct slice quoted, struct slice value)
{
	struct slice name = slice_mem(quoted.p + 1, quoted.n - 2);

	for (size_t i = 0; i < 2; i++) {
		if (!s[i].value.p || !slice_eq_str(name, s[i].name))
			continue;
		s[i].there = true;
		return s[i].value;
	}
	return value;
}

static void
put_member(
    struct buf *out, struct slice key, struct slice value, size_t *members)
{
	buf_put_str(out, (*members)++ > 0 ? "," : "");
	buf_put_slice(out, key);
	buf_put_char(out, ':');
	buf_put_slice(out, value);
}

/* `object` is one that json_loadb() takes. */
void
task_json_put(struct slice object, struct slice attempts,
    struct slice available_after, struct buf *out)
{
	struct setting s[2] = { { "attempts", attempts, false },
		{ "available_after", available_after, false } };
	struct slice body = slice_trim(object);
	size_t i = skip_blanks(body, 1), members = 0;
	bool escaped = false;

	buf_put_char(out, '{');
	while (i < body.n && body.p[i] == '"') {
		size_t key_to = value_end(body, i), from, to;
		struct slice key = slice_mem(body.p + i, key_to - i);

		from = skip_blanks(body, skip_blanks(body, key_to) + 1);
		to = value_end(body, from);
		escaped = escaped || slice_find(key, '\\') < key.n;
		put_member(out, key,
		    setting_of(s, key, slice_mem(body.p + from, to - from)),
		    &members);
		i = skip_blanks(body, skip_blanks(body, to) + 1);
	}
	/* A key with escapes may be one of these, and the last. */
	for (size_t k = 0; k < 2; k++) {
		char key[32];

		(void)snprintf(key, sizeof key, "\"%s\"", s[k].name);
		if (s[k].value.p && (!s[k].there || escaped))
			put_member(out, slice_str(key), s[k].value, &members);
	}
	buf_put_char(out, '}');
}

/* ---- as PHP reads it ----------------------------------------------------- */

/* The shortest that reads back as the same, as PHP's serialize_precision -1. */
static void
put_real(double v, struct buf *out)
{
	char text[40];

	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof text, "%.*g", digits, v);
		if (fabs(strtod(text, NULL) - v) <= 0.0)
			break;
	}
	buf_printf(out, "d:%s;", text);
}

static void put_php(const json_t *v, struct buf *out);

static void
put_array(const json_t *v, struct buf *out)
{
	size_t n = json_array_size(v);

	buf_printf(out, "a:%zu:{", n);
	for (size_t i = 0; i < n; i++) {
		buf_printf(out, "i:%zu;", i);
		put_php(json_array_get(v, i), out);
	}
	buf_put_char(out, '}');
}

static void
put_object(const json_t *v, struct buf *out)
{
	/* jansson walks by a pointer that is not const. */
	json_t *object = json_incref((json_t *)(uintptr_t)v);

	buf_printf(out, "a:%zu:{", json_object_size(v));
	for (void *it = json_object_iter(object); it;
	     it = json_object_iter_next(object, it)) {
		struct slice key = slice_str(json_object_iter_key(it));
		int64_t index;

		if (php_serialize_index(key, &index))
			php_serialize_put_int(out, index);
		else
			php_serialize_put_string(out, key);
		put_php(json_object_iter_value(it), out);
	}
	buf_put_char(out, '}');
	json_decref(object);
}

static void
put_php(const json_t *v, struct buf *out)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		put_object(v, out);
		break;
	case JSON_ARRAY:
		put_array(v, out);
		break;
	case JSON_STRING:
		php_serialize_put_string(out,
		    slice_mem(json_string_value(v), json_string_length(v)));
		break;
	case JSON_INTEGER:
		php_serialize_put_int(out, json_integer_value(v));
		break;
	case JSON_REAL:
		put_real(json_real_value(v), out);
		break;
	case JSON_TRUE:
		buf_put_str(out, "b:1;");
		break;
	case JSON_FALSE:
		buf_put_str(out, "b:0;");
		break;
	case JSON_NULL:
		buf_put_str(out, "N;");
		break;
	}
}

enum rc
task_json_to_php(struct slice json, struct buf *out, struct err *err)
{
	json_t *root = NULL;
	enum rc rc = load(json, &root, err);

	if (rc == RC_OK) {
		put_php(root, out);
		if (out->failed)
			rc = err_set(err, RC_REJECT, "a task is too large");
	}
	json_decref(root);
	return rc;
}
