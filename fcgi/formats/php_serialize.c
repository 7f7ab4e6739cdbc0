#include "formats/php_serialize_private.h"

#include <string.h>

/* Where `unserialize` rules are cited: php-src, ext/standard/
 * var_unserializer.re as of 8.2. */

static enum rc parse_value(
    struct php_serialize_walk *ps, struct php_serialize_value *v);

static enum rc
reject_at(struct php_serialize_walk *ps, size_t pos, const char *what)
{
	return err_set(
	    ps->err, RC_REJECT, "%s at byte %zu of %zu", what, pos, ps->in.n);
}

static enum rc
reject(struct php_serialize_walk *ps, const char *what)
{
	return reject_at(ps, ps->pos, what);
}

static enum rc
no_memory(struct php_serialize_walk *ps)
{
	return err_set(ps->err, RC_RETRY,
	    "no memory for a serialized value of %zu bytes", ps->in.n);
}

static bool
at(const struct php_serialize_walk *ps, char c)
{
	return ps->pos < ps->in.n && ps->in.p[ps->pos] == c;
}

static bool
take(struct php_serialize_walk *ps, char c)
{
	if (!at(ps, c))
		return false;
	ps->pos++;
	return true;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The digits from here on, perhaps none. */
static struct slice
take_digits(struct php_serialize_walk *ps)
{
	size_t from = ps->pos;

	while (ps->pos < ps->in.n && is_digit(ps->in.p[ps->pos]))
		ps->pos++;
	return slice_mem(ps->in.p + from, ps->pos - from);
}

static bool
take_sign(struct php_serialize_walk *ps)
{
	if (take(ps, '-'))
		return true;
	(void)take(ps, '+');
	return false;
}

/* A length: digits only, at least one, no more than can be there. */
static enum rc
take_length(struct php_serialize_walk *ps, uint64_t *out)
{
	size_t from = ps->pos;
	struct slice digits = take_digits(ps);

	if (!slice_u64(digits, out))
		return reject_at(ps, from, "a length is expected");
	return RC_OK;
}

static struct slice
span_from(const struct php_serialize_walk *ps, size_t from)
{
	return slice_mem(ps->in.p + from, ps->pos - from);
}

/* R: stands for a value that has a number already, everything else gets one. */
static enum rc
slot_add(struct php_serialize_walk *ps, const struct php_serialize_value *v)
{
	const size_t each = sizeof(struct php_serialize_value *);

	if (!ps->tree) {
		ps->nslots++;
		return RC_OK;
	}
	if (ps->nslots == ps->slots_cap) {
		size_t cap = ps->slots_cap ? ps->slots_cap * 2 : 32;
		const struct php_serialize_value **grown =
		    arena_array(ps->arena, cap, each);

		if (!grown)
			return no_memory(ps);
		if (ps->nslots)
			memcpy(grown, ps->slots, ps->nslots * each);
		ps->slots = grown;
		ps->slots_cap = cap;
	}
	ps->slots[ps->nslots++] = v;
	return RC_OK;
}

static enum rc
parse_bool(struct php_serialize_walk *ps, struct php_serialize_value *v)
{
	v->type = PHP_SERIALIZE_BOOL;
	v->boolean = at(ps, '1');
	if (!take(ps, '0') && !take(ps, '1'))
		return reject(ps, "0 or 1 is expected");
	return take(ps, ';') ? RC_OK : reject(ps, "';' is expected");
}

/* Out of range: the nearest number, as PHP's parse_iv() with its warning. */
static int64_t
clamped(bool negative, struct slice digits)
{
	uint64_t v;

	if (!slice_u64(digits, &v) || v > (uint64_t)INT64_MAX + negative)
		return negative ? INT64_MIN : INT64_MAX;
	return negative ? (int64_t)(0 - v) : (int64_t)v;
}

static enum rc
parse_int(struct php_serialize_walk *ps, struct php_serialize_value *v)
{
	bool negative = take_sign(ps);
	struct slice digits = take_digits(ps);

	v->type = PHP_SERIALIZE_INT;
	if (digits.n == 0)
		return reject(ps, "a number is expected");
	v->integer = clamped(negative, digits);
	return take(ps, ';') ? RC_OK : reject(ps, "';' is expected");
}

static bool
take_word(struct php_serialize_walk *ps, const char *word)
{
	struct slice rest = slice_from(ps->in, ps->pos);

	if (!slice_starts(rest, slice_str(word)))
		return false;
	ps->pos += strlen(word);
	return true;
}

static bool
take_decimal(struct php_serialize_walk *ps)
{
	size_t whole, fraction = 0;

	(void)take_sign(ps);
	whole = take_digits(ps).n;
	if (take(ps, '.'))
		fraction = take_digits(ps).n;
	if (whole + fraction == 0)
		return false;
	if (!take(ps, 'e') && !take(ps, 'E'))
		return true;
	(void)take_sign(ps);
	return take_digits(ps).n > 0;
}

static enum rc
parse_float(struct php_serialize_walk *ps, struct php_serialize_value *v)
{
	size_t from = ps->pos;

	v->type = PHP_SERIALIZE_FLOAT;
	if (!take_word(ps, "NAN") && !take_word(ps, "INF") &&
	    !take_word(ps, "-INF") && !take_decimal(ps))
		return reject_at(ps, from, "a float is expected");
	v->text = span_from(ps, from);
	return take(ps, ';') ? RC_OK : reject(ps, "';' is expected");
}

/* <length>:"<bytes>" up to and with the closing quote. */
static enum rc
take_quoted(struct php_serialize_walk *ps, struct slice *out)
{
	uint64_t len;
	enum rc rc = take_length(ps, &len);

	if (rc != RC_OK)
		return rc;
	if (!take(ps, ':') || !take(ps, '"'))
		return reject(ps, "':\"' is expected");
	if (len > ps->in.n - ps->pos)
		return reject(ps, "a length runs past the end");
	*out = slice_mem(ps->in.p + ps->pos, (size_t)len);
	ps->pos += (size_t)len;
	return take(ps, '"') ? RC_OK
			     : reject(ps, "'\"' is expected (wrong length)");
}

static enum rc
parse_string(struct php_serialize_walk *ps, struct slice *out)
{
	enum rc rc = take_quoted(ps, out);

	if (rc != RC_OK)
		return rc;
	return take(ps, ';') ? RC_OK : reject(ps, "';' is expected");
}

/* One byte of S:"...": itself, or a backslash and two hexadecimal digits. */
static bool
take_escaped(struct php_serialize_walk *ps, char *out)
{
	int hi, lo;

	if (ps->pos >= ps->in.n)
		return false;
	*out = ps->in.p[ps->pos++];
	if (*out != '\\')
		return true;
	if (ps->in.n - ps->pos < 2)
		return false;
	hi = slice_hex_digit(ps->in.p[ps->pos]);
	lo = slice_hex_digit(ps->in.p[ps->pos + 1]);
	ps->pos += 2;
	*out = (char)(hi * 16 + lo);
	return hi >= 0 && lo >= 0;
}

static enum rc
parse_escaped_string(struct php_serialize_walk *ps, struct slice *out)
{
	uint64_t len;
	char *bytes;
	enum rc rc = take_length(ps, &len);

	if (rc != RC_OK)
		return rc;
	if (!take(ps, ':') || !take(ps, '"'))
		return reject(ps, "':\"' is expected");
	if (len > ps->in.n - ps->pos)
		return reject(ps, "a length runs past the end");
	bytes = arena_alloc(ps->arena, (size_t)len + 1);
	if (!bytes)
		return no_memory(ps);
	for (size_t i = 0; i < len; i++)
		if (!take_escaped(ps, &bytes[i]))
			return reject(ps, "an escaped byte is broken");
	*out = slice_mem(bytes, (size_t)len);
	if (!take(ps, '"') || !take(ps, ';'))
		return reject(ps, "'\";' is expected (wrong length)");
	return RC_OK;
}

static enum rc
parse_key(struct php_serialize_walk *ps, bool of_array,
    struct php_serialize_member *m)
{
	size_t from = ps->pos;
	struct php_serialize_value number = { 0 };
	enum rc rc;

	if (take_word(ps, "i:"))
		rc = parse_int(ps, &number);
	else if (take_word(ps, "s:"))
		rc = parse_string(ps, &m->key);
	else if (take_word(ps, "S:"))
		rc = parse_escaped_string(ps, &m->key);
	else
		return reject(ps, "a key is expected");
	if (rc != RC_OK)
		return rc;
	m->key_span = span_from(ps, from);
	m->int_key = !m->key.p;
	if (m->int_key)
		m->index = number.integer;
	else if (of_array && php_serialize_index(m->key, &m->index))
		m->int_key = true;
	return RC_OK;
}

/* Whether so many members may follow here. */
static enum rc
allow_members(struct php_serialize_walk *ps, uint64_t count)
{
	if (count > ps->in.n - ps->pos)
		return reject(ps, "more members are announced than fit");
	if (count > ps->elements_left)
		return reject(ps, "too many members");
	if (ps->depth_left == 0)
		return reject(ps, "nested too deeply");
	ps->elements_left -= (size_t)count;
	return RC_OK;
}

static enum rc
skip_members(struct php_serialize_walk *ps, uint64_t count, bool of_array)
{
	enum rc rc = RC_OK;

	for (uint64_t i = 0; i < count && rc == RC_OK; i++) {
		struct php_serialize_member m = { 0 };

		rc = parse_key(ps, of_array, &m);
		if (rc == RC_OK)
			rc = parse_value(ps, &m.value);
	}
	return rc;
}

static enum rc
keep_members(struct php_serialize_walk *ps, size_t count, bool of_array,
    struct php_serialize_value *v)
{
	enum rc rc = RC_OK;

	v->members = arena_array(ps->arena, count, sizeof *v->members);
	if (!v->members)
		return no_memory(ps);
	v->nmembers = count;
	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		rc = parse_key(ps, of_array, &v->members[i]);
		if (rc == RC_OK)
			rc = parse_value(ps, &v->members[i].value);
	}
	return rc;
}

static enum rc
parse_members(struct php_serialize_walk *ps, uint64_t count,
    struct php_serialize_value *v)
{
	const bool of_array = v->type == PHP_SERIALIZE_ARRAY;
	enum rc rc;

	ps->depth_left--;
	rc = ps->tree ? keep_members(ps, (size_t)count, of_array, v)
		      : skip_members(ps, count, of_array);
	ps->depth_left++;
	return rc == RC_OK ? php_serialize_take_close(ps) : rc;
}

/* <count>:{ and whether so many may follow. */
static enum rc
take_array_head(struct php_serialize_walk *ps, uint64_t *count)
{
	enum rc rc = take_length(ps, count);

	if (rc != RC_OK)
		return rc;
	if (!take(ps, ':') || !take(ps, '{'))
		return reject(ps, "':{' is expected");
	return allow_members(ps, *count);
}

static enum rc
parse_array(struct php_serialize_walk *ps, struct php_serialize_value *v)
{
	uint64_t count;
	enum rc rc = take_array_head(ps, &count);

	v->type = PHP_SERIALIZE_ARRAY;
	return rc == RC_OK ? parse_members(ps, count, v) : rc;
}

/* zend_is_valid_class_name() */
static bool
is_class_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (!is_digit(s.p[i]) && !(c >= 'a' && c <= 'z') &&
		    !(c >= 'A' && c <= 'Z') && c != '_' && c != '\\' &&
		    c < 0x80)
			return false;
	}
	return s.n > 0;
}

/* The count of an object or length of a C:, which PHP reads with parse_iv2():
 * a sign and no digits at all are fine, a negative one is not. */
static enum rc
take_loose_count(struct php_serialize_walk *ps, uint64_t *out)
{
	bool negative = take_sign(ps);
	struct slice digits = take_digits(ps);

	*out = 0;
	if (digits.n && !slice_u64(digits, out))
		return reject(ps, "a count does not fit");
	if (negative && *out)
		return reject(ps, "a count is negative");
	return RC_OK;
}

/* <length>:"<class>":<count>:{ */
static enum rc
take_object_head(struct php_serialize_walk *ps, struct php_serialize_value *v,
    uint64_t *count)
{
	size_t from = ps->pos;
	enum rc rc = take_quoted(ps, &v->class_name);

	if (rc != RC_OK)
		return rc;
	if (!is_class_name(v->class_name) || v->class_name.p[0] == '\\')
		return reject_at(ps, from, "a class name is expected");
	if (!take(ps, ':'))
		return reject(ps, "':' is expected");
	rc = take_loose_count(ps, count);
	if (rc != RC_OK)
		return rc;
	if (!take(ps, ':') || !take(ps, '{'))
		return reject(ps, "':{' is expected");
	return RC_OK;
}

static enum rc
parse_object(struct php_serialize_walk *ps, struct php_serialize_value *v)
{
	uint64_t count = 0;
	enum rc rc;

	v->type = PHP_SERIALIZE_OBJECT;
	rc = take_object_head(ps, v, &count);
	if (rc == RC_OK)
		rc = allow_members(ps, count);
	return rc == RC_OK ? parse_members(ps, count, v) : rc;
}

static enum rc
parse_custom(struct php_serialize_walk *ps, struct php_serialize_value *v)
{
	uint64_t len = 0;
	enum rc rc;

	v->type = PHP_SERIALIZE_CUSTOM;
	rc = take_object_head(ps, v, &len);
	if (rc != RC_OK)
		return rc;
	if (len > ps->in.n - ps->pos)
		return reject(ps, "a length runs past the end");
	v->text = slice_mem(ps->in.p + ps->pos, (size_t)len);
	ps->pos += (size_t)len;
	ps->ncustom++;
	if (!ps->tree)
		php_serialize_walk_custom(ps, v->text);
	return take(ps, '}') ? RC_OK : reject(ps, "'}' is expected");
}

static enum rc
parse_enum(struct php_serialize_walk *ps, struct php_serialize_value *v)
{
	size_t from = ps->pos, colon;
	enum rc rc;

	v->type = PHP_SERIALIZE_ENUM;
	rc = parse_string(ps, &v->text);
	if (rc != RC_OK)
		return rc;
	colon = slice_find(v->text, ':');
	if (colon == v->text.n || !is_class_name(slice_mem(v->text.p, colon)))
		return reject_at(ps, from, "Enum:Case is expected");
	return RC_OK;
}

static bool
is_object(const struct php_serialize_value *v)
{
	return v->type == PHP_SERIALIZE_OBJECT ||
	       v->type == PHP_SERIALIZE_CUSTOM ||
	       v->type == PHP_SERIALIZE_ENUM ||
	       v->type == PHP_SERIALIZE_OBJECT_AGAIN;
}

static enum rc
parse_again(struct php_serialize_walk *ps, enum php_serialize_type type,
    struct php_serialize_value *v)
{
	size_t from = ps->pos;
	uint64_t number;
	enum rc rc = take_length(ps, &number);

	v->type = type;
	if (rc != RC_OK)
		return rc;
	if (!take(ps, ';'))
		return reject(ps, "';' is expected");
	if (number == 0 || number > ps->nslots ||
	    (type == PHP_SERIALIZE_OBJECT_AGAIN && number == ps->nslots))
		return reject_at(ps, from, "a reference leads nowhere");
	v->integer = (int64_t)number;
	if (!ps->tree) {
		php_serialize_walk_reference(ps, from, number);
		return RC_OK;
	}
	v->target = ps->slots[number - 1];
	if (type == PHP_SERIALIZE_OBJECT_AGAIN && !is_object(v->target))
		return reject_at(ps, from, "r: does not name an object");
	return RC_OK;
}

static enum rc
parse_typed(
    struct php_serialize_walk *ps, char type, struct php_serialize_value *v)
{
	switch (type) {
	case 'b':
		return parse_bool(ps, v);
	case 'i':
		return parse_int(ps, v);
	case 'd':
		return parse_float(ps, v);
	case 's':
		v->type = PHP_SERIALIZE_STRING;
		return parse_string(ps, &v->text);
	case 'S':
		v->type = PHP_SERIALIZE_STRING;
		return parse_escaped_string(ps, &v->text);
	case 'a':
		return parse_array(ps, v);
	case 'O':
		return parse_object(ps, v);
	case 'C':
		return parse_custom(ps, v);
	case 'E':
		return parse_enum(ps, v);
	case 'r':
		return parse_again(ps, PHP_SERIALIZE_OBJECT_AGAIN, v);
	case 'R':
		return parse_again(ps, PHP_SERIALIZE_REFERENCE, v);
	default:
		return reject_at(ps, ps->pos - 2, "a value is expected");
	}
}

static enum rc
parse_value(struct php_serialize_walk *ps, struct php_serialize_value *v)
{
	size_t from = ps->pos;
	char type;
	enum rc rc;

	if (ps->in.n - ps->pos < 2)
		return reject(ps, "a value is expected");
	type = ps->in.p[ps->pos];
	if (type != 'R') {
		rc = slot_add(ps, v);
		if (rc != RC_OK)
			return rc;
	}
	if (take_word(ps, "N;")) {
		v->type = PHP_SERIALIZE_NULL;
	} else {
		if (ps->in.p[ps->pos + 1] != ':')
			return reject(ps, "a value is expected");
		ps->pos += 2;
		rc = parse_typed(ps, type, v);
		if (rc != RC_OK)
			return rc;
	}
	v->span = span_from(ps, from);
	return RC_OK;
}

enum rc
php_serialize_parse(struct slice in, const struct php_serialize_limits *limits,
    struct arena *a, struct php_serialize_value *out, struct err *err)
{
	struct php_serialize_walk ps = {
		.in = in,
		.elements_left = limits->elements,
		.depth_left = limits->depth,
		.tree = true,
		.arena = a,
		.err = err,
	};
	enum rc rc;

	memset(out, 0, sizeof *out);
	if (in.n > limits->bytes)
		return err_set(err, RC_REJECT,
		    "a serialized value of %zu bytes is over the limit of %zu",
		    in.n, limits->bytes);
	rc = parse_value(&ps, out);
	if (rc == RC_OK && ps.pos != in.n)
		rc = reject(&ps, "bytes follow the value");
	return rc;
}

enum rc
php_serialize_take_head(struct php_serialize_walk *w, uint64_t *count)
{
	if (!take_word(w, "a:"))
		return reject(w, "an array is expected");
	return take_array_head(w, count);
}

enum rc
php_serialize_take_close(struct php_serialize_walk *w)
{
	return take(w, '}') ? RC_OK : reject(w, "'}' is expected");
}

enum rc
php_serialize_take_key(
    struct php_serialize_walk *w, struct php_serialize_member *m)
{
	return parse_key(w, true, m);
}

enum rc
php_serialize_take_value(
    struct php_serialize_walk *w, struct php_serialize_value *v)
{
	return parse_value(w, v);
}
