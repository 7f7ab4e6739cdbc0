#include <jansson.h>
#include <string.h>

#include "base/ceilings.h"
#include "base/macros.h"
#include "formats/utf8.h"
#include "queues/contacts_internal.h"

/* ---- writing ------------------------------------------------------------- */

/* The code point of a whole sequence. */
static uint32_t
code_point(const char *p, size_t len)
{
	static const unsigned char mask[] = { 0, 0x7F, 0x1F, 0x0F, 0x07 };
	uint32_t c = (unsigned char)p[0] & mask[len];

	for (size_t i = 1; i < len; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3F);
	return c;
}

static void
put_escaped(struct buf *out, uint32_t c)
{
	if (c < 0x10000) {
		buf_printf(out, "\\u%04x", (unsigned)c);
		return;
	}
	c -= 0x10000;
	buf_printf(out, "\\u%04x\\u%04x", (unsigned)(0xD800 + (c >> 10)),
	    (unsigned)(0xDC00 + (c & 0x3FF)));
}

/* All but ASCII escaped; `put` writes that. */
static void
put_ascii(struct buf *out, struct slice s, void (*put)(struct buf *, char))
{
	for (size_t i = 0; i < s.n;) {
		size_t len = utf8_len(s, i);

		if (len == 1)
			put(out, s.p[i]);
		else
			put_escaped(
			    out, len ? code_point(s.p + i, len) : 0xFFFD);
		i += len ? len : 1;
	}
}

static void
put_php_byte(struct buf *out, char c)
{
	static const char marks[] = "\"\\/\b\f\n\r\t";
	static const char names[] = "\"\\/bfnrt";
	const char *found = c == '\0' ? NULL : strchr(marks, c);

	if (found) {
		buf_put_char(out, '\\');
		buf_put_char(out, names[found - marks]);
	} else if ((unsigned char)c < ' ') {
		put_escaped(out, (unsigned char)c);
	} else {
		buf_put_char(out, c);
	}
}

void
contact_json_put_php(struct buf *out, struct slice s)
{
	buf_put_char(out, '"');
	put_ascii(out, s, put_php_byte);
	buf_put_char(out, '"');
}

void
contact_json_put_ascii(struct buf *out, struct slice json)
{
	put_ascii(out, json, buf_put_char);
}

void
contact_json_put_retry(struct buf *out, const struct contact_retry *r)
{
	struct slice reason = r->reason;

	reason.n = slice_utf8_cut(reason, CONTACT_REASON_MAX);
	buf_put_str(out, "[{\"integration_id\":");
	contact_json_put_php(out, r->integration);
	buf_put_str(out, ",\"user_id\":");
	buf_put_u64(out, r->user_id);
	if (r->direction == CONTACT_PUSH) {
		buf_put_str(out, ",\"context\":");
		contact_json_put_php(out, r->context);
	}
	buf_printf(out,
	    ",\"retry_count\":%u,\"max_retries\":%d,\"reason\":", r->count,
	    CONTACT_MAX_RETRIES);
	contact_json_put_php(out, reason);
	if (r->direction == CONTACT_PUSH) {
		buf_put_str(out, ",\"previous_email\":");
		contact_json_put_php(out, r->previous_email);
	}
	buf_put_str(out, "}]");
}

/* ---- a retry's arguments ------------------------------------------------- */

/* The first argument, however they are numbered. */
static const json_t *
first_argument(json_t *root)
{
	void *first;

	if (json_is_array(root))
		return json_array_get(root, 0);
	first = json_object_iter(root);
	return first ? json_object_iter_value(first) : NULL;
}

/* As PHP's (int) of what plugins write: a number or its text. */
static int64_t
number_of(const json_t *object, const char *name)
{
	const json_t *v = json_object_get(object, name);
	int64_t n = 0;
	double real;

	if (json_is_integer(v))
		return json_integer_value(v);
	if (json_is_string(v) &&
	    slice_i64(
		slice_mem(json_string_value(v), json_string_length(v)), &n))
		return n;
	real = json_is_real(v) ? json_real_value(v) : 0;
	return real >= 1 && real < 9e15 ? (int64_t)real : 0;
}

static struct slice
string_of(struct arena *a, const json_t *object, const char *name)
{
	const json_t *v = json_object_get(object, name);

	if (!json_is_string(v))
		return SLICE_LIT("");
	return arena_slice(
	    a, slice_mem(json_string_value(v), json_string_length(v)));
}

static enum rc
retry_of(enum contact_direction d, const json_t *object, struct arena *a,
    struct contact_retry *out, struct err *err)
{
	int64_t user = number_of(object, "user_id");
	int64_t count = number_of(object, "retry_count");

	if (!json_is_object(object))
		return err_set(err, RC_REJECT,
		    "the first argument of a retry is no object");
	*out = (struct contact_retry){
		.direction = d,
		.user_id = user > 0 ? (uint64_t)user : 0,
		.integration = string_of(a, object, "integration_id"),
		.context = string_of(a, object, "context"),
		.count = count < 1                     ? 1
			 : count > CONTACT_MAX_RETRIES ? CONTACT_MAX_RETRIES
						       : (unsigned)count,
		.reason = string_of(a, object, "reason"),
		.previous_email = string_of(a, object, "previous_email"),
	};
	if (a->failed)
		return err_set(err, RC_RETRY, "no memory for a retry");
	if (out->user_id == 0)
		return err_set(err, RC_REJECT, "the retry has no user_id");
	if (out->integration.n == 0)
		return err_set(
		    err, RC_REJECT, "the retry has no integration_id");
	return RC_OK;
}

enum rc
contact_retry_parse(enum contact_direction d, struct slice args,
    struct arena *a, struct contact_retry *out, struct err *err)
{
	json_error_t why;
	json_t *root = NULL;
	enum rc rc;

	if (args.n > CEILING_ARGS_BYTES)
		return err_set(err, RC_REJECT,
		    "arguments of %zu bytes are over the limit of %zu", args.n,
		    CEILING_ARGS_BYTES);
	if (args.n > 0)
		root = json_loadb(args.p, args.n, JSON_ALLOW_NUL, &why);
	if (!root)
		return err_set(err, RC_REJECT,
		    "the arguments of a retry are no JSON array");
	rc = retry_of(d, first_argument(root), a, out, err);
	json_decref(root);
	return rc;
}

/* ---- the members of a bulk call ------------------------------------------ */

/*
 * Values are bytes of whatever encoding: each becomes the code point of its
 * number, so that all of it is ASCII, and a plain one reads as it is.
 */
static void
put_value(struct buf *out, struct slice s)
{
	buf_put_char(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < ' ' || c > '~' || c == '"' || c == '\\')
			put_escaped(out, c);
		else
			buf_put_char(out, s.p[i]);
	}
	buf_put_char(out, '"');
}

static void
put_member(struct buf *out, const struct contact_member *m)
{
	buf_put_str(out, "{\"user\":");
	buf_put_u64(out, m->user_id);
	buf_put_str(out, ",\"flags\":[");
	for (size_t i = 0; i < m->nflags; i++) {
		buf_put_str(out, i > 0 ? ",[" : "[");
		buf_put_u64(out, m->flags[i].umeta_id);
		buf_put_char(out, ',');
		put_value(out, m->flags[i].value);
		buf_put_char(out, ']');
	}
	buf_printf(out, "],\"retry\":%u,\"payload\":\"", m->retry);
	buf_put_hex(out, m->payload, sizeof m->payload);
	buf_put_str(out, "\",\"address\":\"");
	buf_put_hex(out, m->address, sizeof m->address);
	buf_put_str(out, "\"}");
}

void
contact_json_put_members(
    struct buf *out, const struct contact_member *m, size_t n)
{
	buf_put_char(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_put_char(out, ',');
		put_member(out, &m[i]);
	}
	buf_put_char(out, ']');
}

static bool
get_hash(const json_t *v, unsigned char out[CONTACT_FINGERPRINT_LEN])
{
	const char *s = json_string_value(v);

	if (!s || json_string_length(v) != (size_t)2 * CONTACT_FINGERPRINT_LEN)
		return false;
	for (size_t i = 0; i < CONTACT_FINGERPRINT_LEN; i++) {
		int high = slice_hex_digit(s[2 * i]),
		    low = slice_hex_digit(s[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

static bool
get_value(const json_t *v, struct arena *a, struct slice *out)
{
	struct slice s = slice_mem(json_string_value(v), json_string_length(v));
	char *bytes;
	size_t n = 0;

	if (!json_is_string(v))
		return false;
	bytes = arena_array(a, s.n + 1, 1);
	if (!bytes)
		return false;
	for (size_t i = 0; i < s.n;) {
		size_t len = utf8_len(s, i);
		uint32_t c = len > 0 ? code_point(s.p + i, len) : UINT32_MAX;

		if (c > 0xFF)
			return false;
		bytes[n++] = (char)c;
		i += len;
	}
	*out = slice_mem(bytes, n);
	return true;
}

static bool
get_flag(const json_t *v, struct arena *a, uint64_t user_id,
    struct contact_flag *out)
{
	const json_t *id = json_array_get(v, 0);

	out->umeta_id = (uint64_t)json_integer_value(id);
	out->user_id = user_id;
	return json_array_size(v) == 2 && json_is_integer(id) &&
	       json_integer_value(id) > 0 &&
	       get_value(json_array_get(v, 1), a, &out->value);
}

static bool
get_member(const json_t *v, struct arena *a, struct contact_member *out)
{
	const json_t *flags = json_object_get(v, "flags");
	const json_t *user = json_object_get(v, "user");
	json_int_t retry = json_integer_value(json_object_get(v, "retry"));

	if (!json_is_integer(user) || json_integer_value(user) < 0 ||
	    !json_is_array(flags) || retry < 0 || retry > CONTACT_MAX_RETRIES)
		return false;
	*out = (struct contact_member){
		.user_id = (uint64_t)json_integer_value(user),
		.nflags = json_array_size(flags),
		.retry = (unsigned)retry,
	};
	out->flags = arena_array(a, out->nflags + 1, sizeof *out->flags);
	if (!out->flags ||
	    !get_hash(json_object_get(v, "payload"), out->payload) ||
	    !get_hash(json_object_get(v, "address"), out->address))
		return false;
	for (size_t i = 0; i < out->nflags; i++)
		if (!get_flag(json_array_get(flags, i), a, out->user_id,
			&out->flags[i]))
			return false;
	return true;
}

enum rc
contact_json_members(struct slice json, struct arena *a,
    struct contact_member **out, size_t *n, struct err *err)
{
	json_error_t why;
	json_t *root = NULL;
	bool whole;

	*out = NULL;
	*n = 0;
	if (json.n > 0 && json.n <= CEILING_CONTACT_BATCH_BYTES)
		root = json_loadb(json.p, json.n, JSON_ALLOW_NUL, &why);
	whole = json_is_array(root);
	if (whole)
		*out = arena_array(a, json_array_size(root) + 1, sizeof **out);
	for (size_t i = 0; whole && *out && i < json_array_size(root); i++) {
		whole = get_member(json_array_get(root, i), a, &(*out)[i]);
		*n = i + 1;
	}
	json_decref(root);
	if (a->failed)
		return err_set(
		    err, RC_RETRY, "no memory for the members of a bulk call");
	if (!whole)
		return err_set(
		    err, RC_REJECT, "the members of a bulk call are broken");
	return RC_OK;
}

/* ---- a value as it is stored --------------------------------------------- */

static bool
hex_quad(struct slice s, size_t at, uint32_t *out)
{
	uint32_t v = 0;

	if (s.n < 4 || at > s.n - 4)
		return false;
	for (size_t i = at; i < at + 4; i++) {
		int digit = slice_hex_digit(s.p[i]);

		if (digit < 0)
			return false;
		v = v << 4 | (uint32_t)digit;
	}
	*out = v;
	return true;
}

static void
put_utf8(struct buf *out, uint32_t c)
{
	if (c < 0x80) {
		buf_put_char(out, (char)c);
		return;
	}
	if (c < 0x800) {
		buf_put_char(out, (char)(0xC0 | c >> 6));
	} else {
		if (c < 0x10000) {
			buf_put_char(out, (char)(0xE0 | c >> 12));
		} else {
			buf_put_char(out, (char)(0xF0 | c >> 18));
			buf_put_char(out, (char)(0x80 | (c >> 12 & 0x3F)));
		}
		buf_put_char(out, (char)(0x80 | (c >> 6 & 0x3F)));
	}
	buf_put_char(out, (char)(0x80 | (c & 0x3F)));
}

/* At `\uXXXX`: what it stands for, as UTF-8 where that can say it plainly. The
 * length of the escape. */
static size_t
put_unicode_escape(struct buf *out, struct slice json, size_t at)
{
	uint32_t c, low;
	size_t len = 6;

	if (!hex_quad(json, at + 2, &c))
		return 0;
	if (c >= 0xD800 && c < 0xDC00 && hex_quad(json, at + 8, &low) &&
	    json.p[at + 6] == '\\' && json.p[at + 7] == 'u' && low >= 0xDC00 &&
	    low < 0xE000) {
		c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
		len = 12;
	}
	if (c < ' ' || c == '"' || c == '\\' || (c >= 0xD800 && c < 0xE000))
		buf_put(out, json.p + at, len);
	else
		put_utf8(out, c);
	return len;
}

static void
put_stored(struct buf *out, struct slice json)
{
	for (size_t i = 0; i < json.n;) {
		size_t len = 1;

		if (json.p[i] != '\\' || i + 1 == json.n) {
			buf_put_char(out, json.p[i]);
		} else if (json.p[i + 1] == '/') {
			buf_put_char(out, '/');
			len = 2;
		} else if (json.p[i + 1] == 'u') {
			len = put_unicode_escape(out, json, i);
		} else {
			buf_put(out, json.p + i, 2);
			len = 2;
		}
		i += len > 0 ? len : json.n;
	}
}

enum rc
contact_data_json(
    struct slice json, struct arena *a, struct slice *out, struct err *err)
{
	/* Integers past 64 bits are for PHP to judge; the digits stay. */
	const size_t flags =
	    JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL;
	struct buf text = BUF_INIT(CEILING_CONTACT_VALUE_BYTES);
	struct slice trimmed = slice_trim(json);
	json_error_t why;
	json_t *root = NULL;
	enum rc rc = RC_OK;

	*out = SLICE_NONE;
	if (trimmed.n > CEILING_CONTACT_VALUE_BYTES)
		return err_set(err, RC_REJECT,
		    "a value of %zu bytes is over the limit of %zu", trimmed.n,
		    CEILING_CONTACT_VALUE_BYTES);
	/* jansson overlooks a NUL that follows a number or a word. */
	if (trimmed.n > 0 && slice_find(trimmed, '\0') == trimmed.n)
		root = json_loadb(trimmed.p, trimmed.n, flags, &why);
	if (!root)
		return err_set(err, RC_REJECT, "a value is no JSON");
	json_decref(root);
	put_stored(&text, trimmed);
	*out = arena_slice(a, buf_slice(&text));
	if (text.failed || !out->p)
		rc = err_set(err, RC_RETRY, "no memory for a value");
	buf_clear(&text);
	return rc;
}
