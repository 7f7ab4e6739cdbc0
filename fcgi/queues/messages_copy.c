/*
 * A MIC row and its meta as JSON. Bytes of any kind stand in them, so texts are
 * in base64: {"row": [...], "meta": [[key, value], ...]}, null for NULL.
 */
#include <jansson.h>

#include "base/macros.h"
#include "formats/base64.h"
#include "queues/messages_internal.h"

static void
put_text(struct buf *out, struct slice s)
{
	if (s.p)
		base64_put_json(out, s);
	else
		buf_put_str(out, "null");
}

void
messages_copy_put(struct buf *out, const struct messages_copy *c)
{
	buf_put_str(out, "{\"row\":[");
	for (size_t i = 0; i < MESSAGES_COLUMNS; i++) {
		if (i > 0)
			buf_put_char(out, ',');
		put_text(out, c->columns[i]);
	}
	buf_put_str(out, "],\"meta\":[");
	for (size_t i = 0; i < c->nmeta; i++) {
		buf_put_str(out, i > 0 ? ",[" : "[");
		put_text(out, c->meta[i].key);
		buf_put_char(out, ',');
		put_text(out, c->meta[i].value);
		buf_put_char(out, ']');
	}
	buf_put_str(out, "]}");
}

static bool
get_text(const json_t *j, struct arena *a, struct slice *out)
{
	struct buf bytes = BUF_INIT(MESSAGES_COPY_MAX);
	const char *text = json_string_value(j);
	bool ok;

	*out = SLICE_NONE;
	if (json_is_null(j))
		return true;
	ok =
	    text && base64_read(&bytes, slice_mem(text, json_string_length(j)));
	if (ok)
		*out = arena_slice(a, slice_mem(buf_str(&bytes), bytes.n));
	buf_clear(&bytes);
	return ok;
}

static bool
get_meta(const json_t *list, struct arena *a, struct messages_copy *out)
{
	size_t n = json_array_size(list);

	out->meta = arena_array(a, n + 1, sizeof *out->meta);
	if (!out->meta)
		return false;
	for (size_t i = 0; i < n; i++) {
		const json_t *pair = json_array_get(list, i);

		if (!get_text(json_array_get(pair, 0), a, &out->meta[i].key) ||
		    !get_text(json_array_get(pair, 1), a, &out->meta[i].value))
			return false;
	}
	out->nmeta = n;
	return true;
}

enum rc
messages_copy_parse(struct slice json, struct arena *a,
    struct messages_copy *out, struct err *err)
{
	json_t *root = json_loadb(json.p ? json.p : "", json.n, 0, NULL);
	const json_t *row = json_object_get(root, "row");
	bool ok = json_array_size(row) == MESSAGES_COLUMNS;

	*out = (struct messages_copy){ .meta = NULL };
	for (size_t i = 0; ok && i < MESSAGES_COLUMNS; i++)
		ok = get_text(json_array_get(row, i), a, &out->columns[i]);
	ok = ok && get_meta(json_object_get(root, "meta"), a, out);
	json_decref(root);
	if (a->failed)
		return err_set(err, RC_RETRY, "no memory for a message");
	if (!ok)
		return err_set(
		    err, RC_REJECT, "the copy of a message cannot be read");
	return RC_OK;
}
