#include "formats/php_query.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* PHP's `precision`, which http_build_query() and (string) go by. */
#define FLOAT_DIGITS 14
#define FLOAT_TEXT_MAX 400

/* Where a value stands: "a[b][c]", written for each scalar. */
struct path {
	const struct path *up;
	const struct php_serialize_value *value; /* that has the member */
	const struct php_serialize_member *member;
};

/* ---- texts -------------------------------------------------------------- */

static bool
is_plain(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	       (c >= 'a' && c <= 'z') || c == '-' || c == '_' || c == '.';
}

void
php_query_put_text(struct buf *out, struct slice text)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (is_plain(c)) {
			buf_put_char(out, (char)c);
		} else if (c == ' ') {
			buf_put_char(out, '+');
		} else {
			buf_put_char(out, '%');
			buf_put_char(out, hex[c >> 4]);
			buf_put_char(out, hex[c & 15]);
		}
	}
}

/* ---- floats ------------------------------------------------------------- */

/* php-src, main/snprintf.c: php_gcvt(); `point` digits stand before the
 * point. */
static void
put_digits(struct buf *out, const char *digits, size_t n, int point)
{
	if (point < -3 || point > FLOAT_DIGITS) {
		buf_printf(out, "%c.%s%.*sE%+d", digits[0], n == 1 ? "0" : "",
		    (int)n - 1, digits + 1, point - 1);
		return;
	}
	if (point <= 0) {
		buf_put_str(out, "0.");
		for (; point < 0; point++)
			buf_put_char(out, '0');
		buf_put(out, digits, n);
		return;
	}
	for (size_t i = 0; i < (size_t)point; i++)
		buf_put_char(out, (char)(i < n ? digits[i] : '0'));
	if ((size_t)point < n) {
		buf_put_char(out, '.');
		buf_put(out, digits + point, n - (size_t)point);
	}
}

static void
put_finite(struct buf *out, double v)
{
	char text[FLOAT_DIGITS + 16], digits[FLOAT_DIGITS + 1] = "0";
	const char *p = text;
	size_t n = 0;

	(void)snprintf(text, sizeof text, "%.*e", FLOAT_DIGITS - 1, v);
	if (*p == '-')
		buf_put_char(out, *p++);
	for (; *p && *p != 'e'; p++)
		if (isdigit((unsigned char)*p) && n < FLOAT_DIGITS)
			digits[n++] = *p;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	if (fpclassify(v) == FP_ZERO)
		buf_put_char(out, '0');
	else
		put_digits(
		    out, digits, n, *p ? (int)strtol(p + 1, NULL, 10) + 1 : 1);
}

void
php_query_put_float(struct buf *out, struct slice digits)
{
	char text[FLOAT_TEXT_MAX];
	double v;

	/* More digits than that say nothing that a double could hold. */
	(void)snprintf(text, sizeof text, "%.*s",
	    digits.n < sizeof text ? (int)digits.n : (int)sizeof text - 1,
	    digits.p ? digits.p : "");
	v = strtod(text, NULL);
	if (isnan(v))
		buf_put_str(out, "NAN");
	else if (isinf(v))
		buf_put_str(out, v < 0 ? "-INF" : "INF");
	else
		put_finite(out, v);
}

/* ---- members ------------------------------------------------------------ */

static void
put_key(struct buf *out, const struct php_serialize_member *m)
{
	if (m->int_key)
		buf_put_i64(out, m->index);
	else
		php_query_put_text(out, m->key);
}

static void
put_name(struct buf *out, const struct path *at)
{
	if (!at->up) {
		put_key(out, at->member);
		return;
	}
	put_name(out, at->up);
	buf_put_str(out, "%5B");
	put_key(out, at->member);
	buf_put_str(out, "%5D");
}

static void
put_scalar(struct buf *out, const struct path *at,
    const struct php_serialize_value *v, size_t begin)
{
	struct buf number = BUF_INIT(FLOAT_TEXT_MAX);

	if (out->n > begin)
		buf_put_char(out, '&');
	put_name(out, at);
	buf_put_char(out, '=');
	if (v->type == PHP_SERIALIZE_STRING) {
		php_query_put_text(out, v->text);
	} else if (v->type == PHP_SERIALIZE_BOOL) {
		buf_put_char(out, v->boolean ? '1' : '0');
	} else if (v->type == PHP_SERIALIZE_INT) {
		buf_put_i64(out, v->integer);
	} else {
		php_query_put_float(&number, v->text);
		php_query_put_text(out, buf_slice(&number));
	}
	buf_clear(&number);
}

/* PHP leaves out what it is inside of already. */
static bool
is_inside(const struct path *at, const struct php_serialize_value *v)
{
	for (; at; at = at->up)
		if (at->value == v)
			return true;
	return false;
}

/* A path's depth is bounded by the parser's limit and is_inside(). */
static enum rc
put_members(struct buf *out, const struct path *up,
    const struct php_serialize_value *v, size_t begin, struct err *err)
{
	enum rc rc = RC_OK;

	if (is_inside(up, v))
		return RC_OK;
	for (size_t i = 0; i < v->nmembers && rc == RC_OK && !out->failed;
	     i++) {
		const struct php_serialize_member *m = &v->members[i];
		const struct php_serialize_value *of =
		    php_serialize_deref(&m->value);
		const struct path at = { .up = up, .value = v, .member = m };

		switch (of->type) {
		case PHP_SERIALIZE_NULL:
			break;
		case PHP_SERIALIZE_BOOL:
		case PHP_SERIALIZE_INT:
		case PHP_SERIALIZE_FLOAT:
		case PHP_SERIALIZE_STRING:
			put_scalar(out, &at, of, begin);
			break;
		case PHP_SERIALIZE_OBJECT:
			if (!slice_eq_nocase(
				of->class_name, SLICE_LIT("stdClass")))
				return err_set(err, RC_REJECT,
				    "an object of class %.*s is PHP's alone",
				    SLICE_FMT(of->class_name));
			rc = put_members(out, &at, of, begin, err);
			break;
		case PHP_SERIALIZE_ARRAY:
			rc = put_members(out, &at, of, begin, err);
			break;
		case PHP_SERIALIZE_CUSTOM:
		case PHP_SERIALIZE_ENUM:
		case PHP_SERIALIZE_OBJECT_AGAIN:
		case PHP_SERIALIZE_REFERENCE:
			return err_set(
			    err, RC_REJECT, "an object that is PHP's alone");
		}
	}
	return rc;
}

enum rc
php_query_put(
    const struct php_serialize_value *v, struct buf *out, struct err *err)
{
	const struct php_serialize_value *of = php_serialize_deref(v);
	enum rc rc;

	if (of->type != PHP_SERIALIZE_ARRAY)
		return err_set(err, RC_REJECT, "not an array");
	rc = put_members(out, NULL, of, out->n, err);
	if (rc == RC_OK && out->failed)
		rc = err_set(
		    err, RC_REJECT, "the form is over %zu bytes", out->max);
	return rc;
}
