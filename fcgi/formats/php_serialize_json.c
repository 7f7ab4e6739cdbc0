#include "formats/php_serialize_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/ceilings.h"
#include "formats/php_serialize.h"
#include "formats/utf8.h"

/* PHP's serialize_precision of -1: the fewest digits that read back the same,
 * at most 17, and never an exponent for what 17 digits can say. */
#define FLOAT_DIGITS 17

struct writing {
	struct buf *out;
	struct arena arena;
	struct err *err;
};

static enum rc put_value(
    struct writing *w, const struct php_serialize_value *v);

static enum rc
cannot_say(struct writing *w, const char *what)
{
	return err_set(w->err, RC_NONE, "JSON has no %s", what);
}

/* ---- texts ------------------------------------------------------------- */

static uint32_t
code_point(const char *p, size_t len)
{
	const unsigned char *u = (const unsigned char *)p;
	uint32_t c = len == 2   ? u[0] & 0x1Fu
		     : len == 3 ? u[0] & 0x0Fu
				: u[0] & 0x07u;

	for (size_t i = 1; i < len; i++)
		c = c << 6 | (u[i] & 0x3Fu);
	return c;
}

static void
put_code_point(struct buf *out, uint32_t c)
{
	if (c >= 0x10000) {
		c -= 0x10000;
		buf_printf(out, "\\u%04x\\u%04x", 0xD800u + (c >> 10),
		    0xDC00u + (c & 0x3FFu));
	} else {
		buf_printf(out, "\\u%04x", c);
	}
}

static void
put_ascii(struct buf *out, char c)
{
	static const char plain[] = "\"\\/\b\f\n\r\t";
	static const char named[] = "\"\\/bfnrt";
	const char *at = c ? strchr(plain, c) : NULL;

	if (at) {
		buf_put_char(out, '\\');
		buf_put_char(out, named[at - plain]);
	} else if ((unsigned char)c < ' ') {
		buf_printf(out, "\\u%04x", (unsigned)c);
	} else {
		buf_put_char(out, c);
	}
}

static enum rc
put_text(struct writing *w, struct slice s)
{
	buf_put_char(w->out, '"');
	for (size_t i = 0; i < s.n;) {
		size_t len = utf8_len(s, i);

		if (len == 0)
			return cannot_say(w, "text that is not UTF-8");
		if (len == 1)
			put_ascii(w->out, s.p[i]);
		else
			put_code_point(w->out, code_point(s.p + i, len));
		i += len;
	}
	buf_put_char(w->out, '"');
	return RC_OK;
}

/* ---- numbers ----------------------------------------------------------- */

/* php-src, main/snprintf.c: php_gcvt(). `point` digits stand before the point;
 * it may be negative, or past them. */
static void
put_digits(struct buf *out, struct slice digits, int point)
{
	if (point < -3 || point > FLOAT_DIGITS) {
		buf_put_char(out, digits.p[0]);
		buf_put_char(out, '.');
		if (digits.n == 1)
			buf_put_char(out, '0');
		buf_put_slice(out, slice_from(digits, 1));
		buf_printf(out, "e%+d", point - 1);
		return;
	}
	if (point <= 0) {
		buf_put_str(out, "0.");
		for (; point < 0; point++)
			buf_put_char(out, '0');
		buf_put_slice(out, digits);
		return;
	}
	for (int i = 0; i < point; i++)
		if ((size_t)i < digits.n)
			buf_put_char(out, digits.p[i]);
		else
			buf_put_char(out, '0');
	if ((size_t)point < digits.n) {
		buf_put_char(out, '.');
		buf_put_slice(out, slice_from(digits, (size_t)point));
	}
}

/* "-d.ddde+xx" taken apart. */
static void
put_scientific(struct buf *out, const char *text)
{
	char room[FLOAT_DIGITS + 1];
	size_t n = 0;
	const char *e = strchr(text, 'e');
	int exponent = (int)strtol(e + 1, NULL, 10);

	for (; text < e; text++)
		if (*text == '-')
			buf_put_char(out, '-');
		else if (*text != '.')
			room[n++] = *text;
	while (n > 1 && room[n - 1] == '0')
		n--;
	put_digits(out, slice_mem(room, n), exponent + 1);
}

static enum rc
put_float(struct writing *w, struct slice digits)
{
	char text[32];
	const char *copy = arena_strdup(&w->arena, digits);
	double v;
	int precision = 0;

	if (!copy)
		return err_set(w->err, RC_RETRY, "no memory for a number");
	v = strtod(copy, NULL);
	if (!isfinite(v))
		return cannot_say(w, "number without end");
	if (fpclassify(v) == FP_ZERO) {
		buf_put_str(w->out, signbit(v) ? "-0" : "0");
		return RC_OK;
	}
	do
		(void)snprintf(text, sizeof text, "%.*e", precision, v);
	while (++precision < FLOAT_DIGITS && strtod(text, NULL) != v);
	put_scientific(w->out, text);
	return RC_OK;
}

/* ---- arrays ------------------------------------------------------------ */

static bool
is_list(const struct php_serialize_value *v)
{
	for (size_t i = 0; i < v->nmembers; i++)
		if (!v->members[i].int_key || v->members[i].index != (int64_t)i)
			return false;
	return true;
}

static int
compare_keys(const void *a, const void *b)
{
	const struct php_serialize_member *x =
	    *(const struct php_serialize_member *const *)a;
	const struct php_serialize_member *y =
	    *(const struct php_serialize_member *const *)b;

	if (x->int_key != y->int_key)
		return x->int_key ? -1 : 1;
	if (x->int_key)
		return (x->index > y->index) - (x->index < y->index);
	if (x->key.n != y->key.n)
		return x->key.n < y->key.n ? -1 : 1;
	return x->key.n ? memcmp(x->key.p, y->key.p, x->key.n) : 0;
}

static enum rc
check_keys(struct writing *w, const struct php_serialize_value *v)
{
	const size_t each = sizeof(struct php_serialize_member *);
	const struct php_serialize_member **sorted =
	    arena_array(&w->arena, v->nmembers, each);

	if (!sorted)
		return err_set(
		    w->err, RC_RETRY, "no memory for %zu keys", v->nmembers);
	for (size_t i = 0; i < v->nmembers; i++)
		sorted[i] = &v->members[i];
	qsort(sorted, v->nmembers, each, compare_keys);
	for (size_t i = 1; i < v->nmembers; i++)
		if (compare_keys(&sorted[i - 1], &sorted[i]) == 0)
			return cannot_say(w, "key twice");
	return RC_OK;
}

static enum rc
put_key(struct writing *w, const struct php_serialize_member *m)
{
	enum rc rc = RC_OK;

	if (m->int_key) {
		buf_put_char(w->out, '"');
		buf_put_i64(w->out, m->index);
		buf_put_char(w->out, '"');
	} else {
		rc = put_text(w, m->key);
	}
	buf_put_char(w->out, ':');
	return rc;
}

static enum rc
put_array(struct writing *w, const struct php_serialize_value *v)
{
	const bool list = is_list(v);
	enum rc rc = list ? RC_OK : check_keys(w, v);

	buf_put_char(w->out, list ? '[' : '{');
	for (size_t i = 0; i < v->nmembers && rc == RC_OK; i++) {
		if (i > 0)
			buf_put_char(w->out, ',');
		if (!list)
			rc = put_key(w, &v->members[i]);
		if (rc == RC_OK)
			rc = put_value(w, &v->members[i].value);
	}
	buf_put_char(w->out, list ? ']' : '}');
	return rc;
}

static enum rc
put_value(struct writing *w, const struct php_serialize_value *v)
{
	switch (v->type) {
	case PHP_SERIALIZE_NULL:
		buf_put_str(w->out, "null");
		return RC_OK;
	case PHP_SERIALIZE_BOOL:
		buf_put_str(w->out, v->boolean ? "true" : "false");
		return RC_OK;
	case PHP_SERIALIZE_INT:
		buf_put_i64(w->out, v->integer);
		return RC_OK;
	case PHP_SERIALIZE_FLOAT:
		return put_float(w, v->text);
	case PHP_SERIALIZE_STRING:
		return put_text(w, v->text);
	case PHP_SERIALIZE_ARRAY:
		return put_array(w, v);
	case PHP_SERIALIZE_OBJECT:
	case PHP_SERIALIZE_CUSTOM:
	case PHP_SERIALIZE_ENUM:
		return cannot_say(w, "object of a PHP class");
	case PHP_SERIALIZE_OBJECT_AGAIN:
	case PHP_SERIALIZE_REFERENCE:
		break;
	}
	return cannot_say(w, "reference");
}

enum rc
php_serialize_json(struct slice in, struct buf *out, struct err *err)
{
	struct writing w = {
		.out = out,
		.arena = ARENA_INIT(CEILING_JSON_ARENA),
		.err = err,
	};
	const size_t before = out->n;
	struct php_serialize_value v;
	enum rc rc =
	    php_serialize_parse(in, &PHP_SERIALIZE_LIMITS, &w.arena, &v, err);

	if (rc == RC_OK)
		rc = put_value(&w, &v);
	if (rc == RC_OK && out->failed)
		rc = err_set(err, RC_REJECT,
		    "arguments are over %zu bytes as JSON", out->max);
	if (rc != RC_OK && out->p) {
		out->n = before;
		out->p[before] = '\0';
	}
	arena_clear(&w.arena);
	return rc;
}
