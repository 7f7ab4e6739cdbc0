#include "executors/esp/esp_values.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/xalloc.h"
#include "formats/utf8.h"

enum {
	DATE_LEN = 10,
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* What sanitize_title_with_dashes() keeps as it is. */
static bool
is_slug_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || c == '_';
}

static bool
is_slug_gap(char c)
{
	return c == ' ' || c == '-' || c == '.' || c == '/' || c == '\t';
}

struct slice
esp_values_slug(struct slice label, char room[ESP_VALUES_SLUG_MAX])
{
	size_t n = 0;
	bool gap = false;

	for (size_t i = 0; i < label.n && n < ESP_VALUES_SLUG_MAX; i++) {
		char c = label.p[i];

		if (is_slug_gap(c)) {
			gap = n > 0;
			continue;
		}
		if (!is_slug_char(c))
			continue;
		if (gap)
			room[n++] = '_';
		gap = false;
		if (n < ESP_VALUES_SLUG_MAX)
			room[n++] = (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
	}
	return slice_mem(room, n);
}

void
esp_values_split_name(
    struct slice name, struct slice *first, struct slice *last)
{
	struct slice whole = slice_trim(name);
	size_t at = slice_find(whole, ' ');

	*first = slice_mem(whole.p, at);
	*last = slice_trim(slice_from(whole, at));
}

static bool
has_text(struct slice s, const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i + n <= s.n; i++)
		if (memcmp(s.p + i, text, n) == 0)
			return true;
	return false;
}

bool
esp_values_is_date_label(struct slice label)
{
	static const char *const parts[] = {
		"Registration Date",
		"Last Payment Date",
		"Next Payment Date",
		"Current Subscription Start Date",
		"Current Subscription End Date",
	};

	for (size_t i = 0; i < NELEMS(parts); i++)
		if (has_text(label, parts[i]))
			return true;
	return false;
}

struct slice
esp_values_date(struct slice value)
{
	static const char shape[] = "dddd-dd-dd";

	if (value.n < DATE_LEN ||
	    (value.n > DATE_LEN && is_digit(value.p[DATE_LEN])))
		return value;
	for (size_t i = 0; i < DATE_LEN; i++)
		if (shape[i] == 'd' ? !is_digit(value.p[i])
				    : value.p[i] != shape[i])
			return value;
	return slice_mem(value.p, DATE_LEN);
}

json_t *
esp_values_json(struct slice answer)
{
	json_error_t why;

	if (answer.n == 0)
		return NULL;
	return json_loadb(answer.p, answer.n, 0, &why);
}

struct slice
esp_values_text(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	if (!json_is_string(v))
		return SLICE_NONE;
	return slice_mem(json_string_value(v), json_string_length(v));
}

struct slice
esp_values_take(struct buf *b, struct arena *a)
{
	struct slice out = SLICE_NONE;

	if (!b->failed) {
		out.p = arena_strdup(a, buf_slice(b));
		out.n = out.p ? b->n : 0;
	}
	buf_clear(b);
	return out;
}

struct slice
esp_values_dump(const json_t *value, struct arena *a)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	struct slice out = SLICE_NONE;

	if (text) {
		out.p = arena_strdup(a, slice_str(text));
		out.n = out.p ? strlen(text) : 0;
	}
	free(text);
	return out;
}

struct slice
esp_values_scalar(const json_t *value, struct arena *a)
{
	struct slice out = SLICE_NONE;

	if (json_is_string(value)) {
		out.n = json_string_length(value);
		out.p =
		    arena_strdup(a, slice_mem(json_string_value(value), out.n));
		if (!out.p)
			out.n = 0;
	} else if (json_is_number(value) || json_is_boolean(value)) {
		out = esp_values_dump(value, a);
	}
	return out;
}

void
esp_values_put(struct buf *out, const char *key, struct slice value)
{
	if (out->n > 0 && out->p[out->n - 1] != '{')
		buf_put_char(out, ',');
	utf8_put_json(out, slice_str(key));
	buf_put_char(out, ':');
	utf8_put_json(out, value);
}

char *
esp_values_join(const char *first, const char *second)
{
	struct buf out = BUF_INIT((size_t)64 * 1024);
	struct slice base = slice_str(first);

	while (base.n > 0 && base.p[base.n - 1] == '/')
		base.n--;
	buf_put_slice(&out, base);
	buf_put_str(&out, second);
	return out.failed || out.n == 0 ? xcalloc(1, 1) : buf_take(&out);
}
