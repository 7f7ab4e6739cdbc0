/* Arguments of cron events: PHP's format and JSON. */
#include <stdio.h>
#include <stdlib.h>

#include "events.h"
#include "formats/php_serialize.h"
#include "formats/php_serialize_json.h"

#define ARGS_JSON_MAX ((size_t)64 << 20)
/* JSON in JSON; PHP's own limit is 512. */
#define ARGS_DEPTH_MAX 100

/* What JSON cannot say, objects above all, is shown as it is stored. */
json_t *
event_args_json(struct slice args)
{
	struct buf text = BUF_INIT(ARGS_JSON_MAX);
	json_t *out = NULL;

	if (php_serialize_json(args, &text, NULL) == RC_OK)
		out = json_loadb(buf_str(&text), text.n, JSON_ALLOW_NUL, NULL);
	buf_clear(&text);
	return out ? out : output_text(args);
}

static enum rc write_value(
    const json_t *v, struct buf *out, unsigned depth, struct err *err);

static enum rc
write_array(const json_t *v, struct buf *out, unsigned depth, struct err *err)
{
	enum rc rc = RC_OK;

	buf_printf(out, "a:%zu:{", json_array_size(v));
	for (size_t i = 0; i < json_array_size(v) && rc == RC_OK; i++) {
		php_serialize_put_int(out, (int64_t)i);
		rc = write_value(json_array_get(v, i), out, depth + 1, err);
	}
	buf_put_char(out, '}');
	return rc;
}

/* PHP makes a number of a key that is one. */
static enum rc
write_object(const json_t *v, struct buf *out, unsigned depth, struct err *err)
{
	/* jansson's iterator wants it so; nothing is changed. */
	json_t *o = (json_t *)(uintptr_t)v;
	enum rc rc = RC_OK;

	buf_printf(out, "a:%zu:{", json_object_size(v));
	for (void *at = json_object_iter(o); at && rc == RC_OK;
	     at = json_object_iter_next(o, at)) {
		struct slice key = slice_str(json_object_iter_key(at));
		int64_t index;

		if (php_serialize_index(key, &index))
			php_serialize_put_int(out, index);
		else
			php_serialize_put_string(out, key);
		rc = write_value(
		    json_object_iter_value(at), out, depth + 1, err);
	}
	buf_put_char(out, '}');
	return rc;
}

/* Digits with the point behind the first `before` of them. */
static void
put_digits(struct buf *out, struct slice digits, int before)
{
	if (before <= 0)
		buf_put_str(out, "0.");
	for (int i = before; i < 0; i++)
		buf_put_char(out, '0');
	for (int i = 0; i < (int)digits.n || i < before; i++) {
		if (i > 0 && i == before)
			buf_put_char(out, '.');
		buf_put(out, i < (int)digits.n ? &digits.p[i] : "0", 1);
	}
}

/*
 * php_gcvt() with serialize_precision = -1: the shortest digits that are read
 * back as the same number; an exponent where the point would be far.
 */
static void
put_float(struct buf *out, double d)
{
	char text[40], digits[20];
	const char *at = text;
	int precision = 0, exponent;
	size_t n = 0;

	do
		(void)snprintf(text, sizeof text, "%.*e", precision, d);
	while (strtod(text, NULL) != d && ++precision < 17);
	buf_put_str(out, "d:");
	if (*at == '-')
		buf_put_char(out, *at++);
	for (; *at != 'e'; at++)
		if (*at != '.')
			digits[n++] = *at;
	exponent = (int)strtol(at + 1, NULL, 10);
	if (d == 0 || (exponent >= -4 && exponent < 17)) {
		put_digits(out, slice_mem(digits, n), exponent + 1);
	} else {
		put_digits(out, slice_mem(digits, n), 1);
		buf_printf(out, "%sE%+d", n == 1 ? ".0" : "", exponent);
	}
	buf_put_char(out, ';');
}

static enum rc
write_value(const json_t *v, struct buf *out, unsigned depth, struct err *err)
{
	if (depth > ARGS_DEPTH_MAX)
		return err_set(err, RC_REJECT, "the arguments are too deep");
	if (json_is_array(v))
		return write_array(v, out, depth, err);
	if (json_is_object(v))
		return write_object(v, out, depth, err);
	if (json_is_string(v))
		php_serialize_put_string(out,
		    slice_mem(json_string_value(v), json_string_length(v)));
	else if (json_is_integer(v))
		php_serialize_put_int(out, json_integer_value(v));
	else if (json_is_real(v))
		put_float(out, json_real_value(v));
	else if (json_is_boolean(v))
		buf_put_str(out, json_is_true(v) ? "b:1;" : "b:0;");
	else
		buf_put_str(out, "N;");
	return RC_OK;
}

enum rc
event_args_write(const json_t *args, struct buf *out, struct err *err)
{
	enum rc rc;

	if (!json_is_array(args) && !json_is_object(args))
		return err_set(
		    err, RC_REJECT, "the arguments are no JSON array");
	rc = write_value(args, out, 0, err);
	if (rc == RC_OK && out->failed)
		rc = err_set(err, RC_REJECT, "the arguments are too long");
	return rc;
}
