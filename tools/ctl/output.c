#include "output.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "formats/utf8.h"

/* One cell; args have 8,000 characters, log lines are text columns. */
#define CELL_MAX ((size_t)1 << 20)
/* A cell of a table with rows is cut here; other formats have all of it. */
#define CELL_WIDTH 60
#define LAST_CELL_WIDTH 200
/* In a record, JSON that is longer is laid out over lines. */
#define INLINE_MAX 60

static const struct {
	const char *name;
	enum output_format format;
} formats[] = {
	{ "table", OUTPUT_TABLE },
	{ "json", OUTPUT_JSON },
	{ "csv", OUTPUT_CSV },
	{ "ids", OUTPUT_IDS },
	{ "count", OUTPUT_COUNT },
};

/* ---- what was asked for ------------------------------------------------- */

static enum rc
read_format(struct output *o, const char *name, struct err *err)
{
	o->format = OUTPUT_TABLE;
	if (!name)
		return RC_OK;
	for (size_t i = 0; i < NELEMS(formats); i++) {
		if (strcmp(formats[i].name, name) != 0)
			continue;
		o->format = formats[i].format;
		return RC_OK;
	}
	return err_set(err, RC_REJECT,
	    "--format is table, json, csv, ids or count, not \"%s\"", name);
}

static enum rc
no_field(struct slice name, const char *const *columns, struct err *err)
{
	struct buf all = BUF_INIT(ERR_TEXT_MAX);
	enum rc rc;

	for (size_t i = 0; columns[i]; i++)
		if (*columns[i])
			buf_printf(&all, "%s%s", i > 0 ? ", " : "", columns[i]);
	rc = err_set(err, RC_REJECT, "there is no field \"%.*s\" but %s",
	    SLICE_FMT(name), buf_str(&all));
	buf_clear(&all);
	return rc;
}

static enum rc
add_field(struct output *o, struct slice name, const char *const *columns,
    struct err *err)
{
	for (size_t i = 0; columns[i]; i++) {
		if (name.n == 0 || !slice_eq_str(name, columns[i]))
			continue;
		if (o->nfields == OUTPUT_COLUMNS_MAX)
			return err_set(err, RC_REJECT, "too many fields");
		o->fields[o->nfields++] = columns[i];
		return RC_OK;
	}
	return no_field(name, columns, err);
}

enum rc
output_init(struct output *o, FILE *to, const char *const *columns,
    const char *format, const char *fields, struct err *err)
{
	enum rc rc = read_format(o, format, err);

	o->to = to;
	o->nfields = 0;
	if (!fields)
		for (size_t i = 0; columns[i] && *columns[i] && rc == RC_OK;
		     i++)
			rc = add_field(o, slice_str(columns[i]), columns, err);
	for (struct slice rest = slice_str(fields);
	     rest.n > 0 && rc == RC_OK;) {
		size_t end = slice_find(rest, ',');

		rc = add_field(
		    o, slice_trim(slice_mem(rest.p, end)), columns, err);
		rest = slice_from(rest, end + 1);
	}
	if (rc == RC_OK && o->nfields == 0)
		rc = err_set(err, RC_REJECT, "--fields names no field");
	return rc;
}

/* ---- values ------------------------------------------------------------- */

json_t *
output_text(struct slice s)
{
	struct buf quoted = BUF_INIT(CELL_MAX * 6 + 2);
	json_t *v;

	if (!s.p)
		return json_null();
	v = json_stringn(s.p, s.n);
	if (v)
		return v;
	utf8_put_json(&quoted, s);
	v = json_loadb(
	    buf_str(&quoted), quoted.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	buf_clear(&quoted);
	return v ? v : json_null();
}

json_t *
output_time(int64_t unix_time)
{
	char text[DATETIME_LEN + 1];

	if (unix_time == INT64_MIN || unix_time == INT64_MAX)
		return json_null();
	datetime_render(unix_time, text);
	return json_string(text);
}

/* The bytes of a cell: text as it is, arrays and objects as JSON. */
static void
put_value(struct buf *out, const json_t *v, size_t flags)
{
	char *text;

	if (json_is_string(v)) {
		buf_put(out, json_string_value(v), json_string_length(v));
	} else if (json_is_boolean(v)) {
		buf_put_str(out, json_is_true(v) ? "yes" : "no");
	} else if (v && !json_is_null(v)) {
		text = json_dumps(
		    v, flags | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
		buf_put_str(out, text ? text : "");
		free(text);
	}
}

/* Code points; what follows in a sequence is 10xxxxxx. */
static size_t
width(struct slice s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

/* One line without control characters: a row's text must not reach the
 * terminal as commands. */
static void
put_cell(struct buf *out, const json_t *v, size_t widest)
{
	struct buf raw = BUF_INIT(CELL_MAX);
	size_t begin = out->n, cut, n = 0;
	struct slice s;

	put_value(&raw, v, JSON_COMPACT);
	utf8_put_line(out, buf_slice(&raw), CELL_MAX);
	buf_clear(&raw);
	s = slice_from(buf_slice(out), begin);
	if (out->failed || width(s) <= widest)
		return;
	for (cut = 0; n < widest; cut++)
		n += ((unsigned char)s.p[cut] & 0xc0) != 0x80;
	out->n = begin + cut - 1;
	buf_put_str(out, "\xe2\x80\xa6");
}

static const json_t *
member(const json_t *row, const char *name)
{
	return json_object_get(row, name);
}

/* ---- formats ------------------------------------------------------------ */

static void
pad(struct buf *out, struct slice s, size_t to)
{
	buf_put_slice(out, s);
	for (size_t n = width(s); n < to; n++)
		buf_put_char(out, ' ');
}

static void
put_table_line(struct buf *out, const struct output *o, const json_t *row,
    const size_t *widths)
{
	struct buf cell = BUF_INIT(CELL_MAX);

	for (size_t c = 0; c < o->nfields; c++) {
		bool last = c + 1 == o->nfields;

		buf_reset(&cell);
		if (row)
			put_cell(&cell, member(row, o->fields[c]),
			    last ? LAST_CELL_WIDTH : CELL_WIDTH);
		else
			buf_put_str(&cell, o->fields[c]);
		pad(out, buf_slice(&cell), last ? 0 : widths[c]);
		buf_put_str(out, last ? "\n" : "  ");
	}
	buf_clear(&cell);
}

static void
put_table(struct buf *out, const struct output *o, const json_t *rows)
{
	size_t widths[OUTPUT_COLUMNS_MAX];
	struct buf cell = BUF_INIT(CELL_MAX);

	for (size_t c = 0; c < o->nfields; c++) {
		widths[c] = strlen(o->fields[c]);
		for (size_t i = 0; i < json_array_size(rows); i++) {
			const json_t *row = json_array_get(rows, i);

			buf_reset(&cell);
			put_cell(&cell, member(row, o->fields[c]), CELL_WIDTH);
			if (width(buf_slice(&cell)) > widths[c])
				widths[c] = width(buf_slice(&cell));
		}
	}
	buf_clear(&cell);
	put_table_line(out, o, NULL, widths);
	for (size_t i = 0; i < json_array_size(rows); i++)
		put_table_line(out, o, json_array_get(rows, i), widths);
}

/* RFC 4180, with the line ends of Unix. */
static void
put_csv_cell(struct buf *out, const json_t *v)
{
	struct buf raw = BUF_INIT(CELL_MAX);
	struct slice s;

	put_value(&raw, v, JSON_COMPACT);
	s = buf_slice(&raw);
	if (slice_find(s, ',') == s.n && slice_find(s, '"') == s.n &&
	    slice_find(s, '\n') == s.n && slice_find(s, '\r') == s.n) {
		buf_put_slice(out, s);
	} else {
		buf_put_char(out, '"');
		for (size_t i = 0; i < s.n; i++) {
			if (s.p[i] == '"')
				buf_put_char(out, '"');
			buf_put_char(out, s.p[i]);
		}
		buf_put_char(out, '"');
	}
	buf_clear(&raw);
}

static void
put_csv(struct buf *out, const struct output *o, const json_t *rows)
{
	for (size_t c = 0; c < o->nfields; c++)
		buf_printf(out, "%s%s", c > 0 ? "," : "", o->fields[c]);
	buf_put_char(out, '\n');
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);

		for (size_t c = 0; c < o->nfields; c++) {
			if (c > 0)
				buf_put_char(out, ',');
			put_csv_cell(out, member(row, o->fields[c]));
		}
		buf_put_char(out, '\n');
	}
}

static json_t *
chosen(const struct output *o, const json_t *row)
{
	json_t *copy = json_object();

	for (size_t c = 0; c < o->nfields; c++) {
		json_t *v = json_object_get(row, o->fields[c]);

		(void)(v ? json_object_set(copy, o->fields[c], v)
			 : json_object_set_new(
			       copy, o->fields[c], json_null()));
	}
	return copy;
}

static void
put_json(struct buf *out, json_t *v)
{
	char *text = json_dumps(v, JSON_INDENT(2) | JSON_REAL_PRECISION(6));

	buf_put_str(out, text ? text : "null");
	buf_put_char(out, '\n');
	free(text);
	json_decref(v);
}

static void
put_json_rows(struct buf *out, const struct output *o, const json_t *rows)
{
	json_t *copy = json_array();

	for (size_t i = 0; i < json_array_size(rows); i++)
		(void)json_array_append_new(
		    copy, chosen(o, json_array_get(rows, i)));
	put_json(out, copy);
}

static void
put_ids(struct buf *out, const struct output *o, const json_t *rows)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		if (i > 0)
			buf_put_char(out, ' ');
		put_value(out, member(json_array_get(rows, i), o->fields[0]),
		    JSON_COMPACT);
	}
	buf_put_char(out, '\n');
}

static void
put_lines(struct buf *out, const struct output *o, const json_t *rows)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		put_value(out, member(json_array_get(rows, i), o->fields[0]),
		    JSON_COMPACT);
		buf_put_char(out, '\n');
	}
}

/* The members of an object on a line; only what is no text has its name. */
static void
put_members(struct buf *out, json_t *object)
{
	const char *gap = "";

	for (void *at = json_object_iter(object); at;
	     at = json_object_iter_next(object, at)) {
		const json_t *v = json_object_iter_value(at);

		buf_put_str(out, gap);
		if (!json_is_string(v))
			buf_printf(out, "%s=", json_object_iter_key(at));
		put_value(out, v, JSON_COMPACT);
		gap = " ";
	}
}

/* The objects of an array, one a line. */
static void
put_elements(struct buf *out, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (i > 0)
			buf_put_char(out, '\n');
		put_members(out, json_array_get(list, i));
	}
}

/* The lines of a value, the second and on below the first. */
static void
put_record_value(struct buf *out, const json_t *v, size_t column)
{
	struct buf raw = BUF_INIT(CELL_MAX);
	bool first = true;

	if (json_is_array(v) && json_is_object(json_array_get(v, 0)))
		put_elements(&raw, v);
	else
		put_value(&raw, v, 0);
	if (raw.n > INLINE_MAX && (json_is_array(v) || json_is_object(v)) &&
	    !json_is_object(json_array_get(v, 0))) {
		buf_reset(&raw);
		put_value(&raw, v, JSON_INDENT(2));
	}
	for (struct slice rest = buf_slice(&raw); rest.n > 0;) {
		size_t end = slice_find(rest, '\n');

		if (!first)
			pad(out, SLICE_NONE, column);
		first = false;
		/* Indentation stays; utf8_put_line() would drop it. */
		for (size_t i = 0; i < end && rest.p[i] == ' '; i++)
			buf_put_char(out, ' ');
		utf8_put_line(out, slice_mem(rest.p, end), CELL_MAX);
		buf_put_char(out, '\n');
		rest = slice_from(rest, end + 1);
	}
	if (first)
		buf_put_char(out, '\n');
	buf_clear(&raw);
}

static void
put_record(struct buf *out, const struct output *o, const json_t *row)
{
	size_t widest = 0;

	for (size_t c = 0; c < o->nfields; c++)
		if (strlen(o->fields[c]) > widest)
			widest = strlen(o->fields[c]);
	for (size_t c = 0; c < o->nfields; c++) {
		pad(out, slice_str(o->fields[c]), widest + 2);
		put_record_value(out, member(row, o->fields[c]), widest + 2);
	}
}

/* ---- the whole ---------------------------------------------------------- */

#define OUTPUT_MAX ((size_t)256 << 20)

static enum rc
flush(const struct output *o, struct buf *out, struct err *err)
{
	enum rc rc = RC_OK;

	if (out->failed)
		rc = err_set(err, RC_RETRY, "too much to print at once");
	else if (fwrite(buf_str(out), 1, out->n, o->to) != out->n ||
		 fflush(o->to) != 0)
		rc = err_set(err, RC_RETRY, "cannot write the output");
	buf_clear(out);
	return rc;
}

enum rc
output_rows(const struct output *o, json_t *rows, struct err *err)
{
	struct buf out = BUF_INIT(OUTPUT_MAX);

	switch (o->format) {
	case OUTPUT_TABLE:
		put_table(&out, o, rows);
		break;
	case OUTPUT_JSON:
		put_json_rows(&out, o, rows);
		break;
	case OUTPUT_CSV:
		put_csv(&out, o, rows);
		break;
	case OUTPUT_IDS:
		put_ids(&out, o, rows);
		break;
	case OUTPUT_COUNT:
		buf_printf(&out, "%zu\n", json_array_size(rows));
		break;
	case OUTPUT_LINES:
		put_lines(&out, o, rows);
		break;
	}
	json_decref(rows);
	return flush(o, &out, err);
}

enum rc
output_record(const struct output *o, json_t *row, struct err *err)
{
	struct buf out = BUF_INIT(OUTPUT_MAX);
	json_t *rows;

	if (o->format == OUTPUT_TABLE) {
		put_record(&out, o, row);
	} else if (o->format == OUTPUT_JSON) {
		put_json(&out, chosen(o, row));
	} else {
		rows = json_array();
		(void)json_array_append_new(rows, row);
		return output_rows(o, rows, err);
	}
	json_decref(row);
	return flush(o, &out, err);
}
