/* One task. */
#include <stdio.h>
#include <string.h>

#include "base/ceilings.h"
#include "formats/php_serialize.h"
#include "formats/task_list_private.h"

/* ---- numbers ------------------------------------------------------------- */

#define MILLI_MAX (INT64_MAX / 16)

static int64_t
times_ten(int64_t v)
{
	if (v > MILLI_MAX)
		return MILLI_MAX;
	return v < -MILLI_MAX ? -MILLI_MAX : v * 10;
}

/* digits [. digits] from `i` on; what does not fit moves the exponent. */
static bool
mantissa(struct slice s, size_t *i, int64_t *v, int64_t *exponent)
{
	bool dot = false, any = false;

	for (; *i < s.n; (*i)++) {
		char c = s.p[*i];

		if (c == '.' && !dot) {
			dot = true;
			continue;
		}
		if (c < '0' || c > '9')
			break;
		any = true;
		if (*v < MILLI_MAX / 10) {
			*v = *v * 10 + (c - '0');
			*exponent -= dot;
		} else {
			*exponent += !dot;
		}
	}
	return any;
}

/* Nothing, or e [sign] digits to the end. */
static bool
power(struct slice s, int64_t *e)
{
	*e = 0;
	if (s.n == 0)
		return true;
	if (s.p[0] != 'e' && s.p[0] != 'E')
		return false;
	s = slice_from(s, 1);
	if (slice_starts(s, SLICE_LIT("+")))
		s = slice_from(s, 1);
	return slice_i64(s, e) && *e <= 400 && *e >= -400;
}

/* [sign] mantissa [power], in thousandths. */
static bool
decimal(struct slice s, int64_t *milli)
{
	bool negative = slice_starts(s, SLICE_LIT("-"));
	int64_t v = 0, exponent = 3, e;
	size_t i = negative || slice_starts(s, SLICE_LIT("+"));

	if (!mantissa(s, &i, &v, &exponent) || !power(slice_from(s, i), &e))
		return false;
	for (exponent += e; exponent > 0 && v < MILLI_MAX && v > 0; exponent--)
		v = times_ten(v);
	for (; exponent < 0 && v > 0; exponent++)
		v /= 10;
	v = v > MILLI_MAX ? MILLI_MAX : v;
	*milli = negative ? -v : v;
	return true;
}

/* What PHP would take for a number; false: it would not, or it is nothing. */
static bool
number(const struct php_serialize_value *v, int64_t *milli)
{
	switch (v->type) {
	case PHP_SERIALIZE_INT:
		*milli = v->integer;
		for (int i = 0; i < 3; i++)
			*milli = times_ten(*milli);
		return true;
	case PHP_SERIALIZE_BOOL:
		*milli = v->boolean ? 1000 : 0;
		return true;
	case PHP_SERIALIZE_FLOAT:
		return decimal(v->text, milli);
	case PHP_SERIALIZE_STRING:
		return decimal(slice_trim(v->text), milli);
	case PHP_SERIALIZE_NULL:
	case PHP_SERIALIZE_ARRAY:
	case PHP_SERIALIZE_OBJECT:
	case PHP_SERIALIZE_CUSTOM:
	case PHP_SERIALIZE_ENUM:
	case PHP_SERIALIZE_OBJECT_AGAIN:
	case PHP_SERIALIZE_REFERENCE:
		return false;
	}
	return false;
}

uint64_t
task_backoff(uint64_t backoff_ms, uint32_t attempts)
{
	uint64_t ms = backoff_ms;

	for (uint32_t i = 1; i < attempts && ms > 0; i++) {
		if (ms >= TASK_BACKOFF_MAX_MS)
			break;
		ms *= 2;
	}
	return ms < TASK_BACKOFF_MAX_MS ? ms : TASK_BACKOFF_MAX_MS;
}

/* ---- reading ------------------------------------------------------------- */

/* A map's members that mean something, as they stand. */
struct members {
	uint64_t count;
	size_t body; /* where they begin */
	struct php_serialize_value type, created, attempts, max_attempts,
	    backoff, available_after, payload;
	size_t payload_before; /* values before it */
	bool has_payload, payload_references;
};

static struct php_serialize_value *
member_named(struct members *m, struct slice name)
{
	struct {
		const char *name;
		struct php_serialize_value *value;
	} known[] = {
		{ "type", &m->type },
		{ "created", &m->created },
		{ "attempts", &m->attempts },
		{ "max_attempts", &m->max_attempts },
		{ "backoff", &m->backoff },
		{ "available_after", &m->available_after },
		{ "payload", &m->payload },
	};

	for (size_t i = 0; i < NELEMS(known); i++)
		if (slice_eq_str(name, known[i].name))
			return known[i].value;
	return NULL;
}

static enum rc
walk_members(
    struct slice map, struct arena *a, struct members *m, struct err *err)
{
	struct php_serialize_walk w;
	enum rc rc;

	memset(m, 0, sizeof *m);
	php_serialize_walk_init(&w, map, &PHP_SERIALIZE_LIMITS, a, err);
	if (!php_serialize_walk_at_array(&w))
		return err_set(err, RC_REJECT, "not a map");
	rc = php_serialize_walk_enter(&w, &m->count);
	m->body = w.pos;
	for (uint64_t i = 0; i < m->count && rc == RC_OK; i++) {
		struct php_serialize_value ignored, *v = &ignored;
		struct php_serialize_member key;
		size_t before = w.nslots, references = w.nreferences;

		rc = php_serialize_walk_key(&w, &key);
		if (rc == RC_OK && !key.int_key)
			v = member_named(m, key.key);
		if (!v)
			v = &ignored;
		if (rc == RC_OK)
			rc = php_serialize_walk_value(&w, v);
		if (v == &m->payload) {
			m->has_payload = true;
			m->payload_before = before;
			m->payload_references = w.nreferences > references;
		}
	}
	if (rc == RC_OK)
		rc = php_serialize_walk_leave(&w);
	if (rc == RC_OK && w.pos != map.n)
		rc = err_set(err, RC_REJECT, "bytes after a task");
	return rc;
}

static enum rc
read_type(const struct php_serialize_value *v, struct arena *a,
    struct slice *out, struct err *err)
{
	char text[24];

	if (v->type == PHP_SERIALIZE_STRING && v->span.n > 0) {
		*out = v->text;
		return RC_OK;
	}
	if (v->type != PHP_SERIALIZE_INT)
		return err_set(err, RC_REJECT, "a task without a type");
	(void)snprintf(text, sizeof text, "%lld", (long long)v->integer);
	*out = arena_slice(a, slice_str(text));
	return out->p ? RC_OK : err_set(err, RC_RETRY, "no memory");
}

static enum rc
read_payload(const struct members *m, struct arena *a, struct slice *out,
    struct err *err)
{
	struct buf text = BUF_INIT(CEILING_SERIALIZED_BYTES);
	size_t slots;
	enum rc rc;

	*out = m->has_payload ? m->payload.span : SLICE_LIT("N;");
	if (!m->payload_references)
		return RC_OK;
	rc = task_renumber(
	    m->payload.span, m->payload_before, 0, a, &text, &slots, err);
	if (rc == RC_OK)
		*out = arena_slice(a, buf_slice(&text));
	if (rc == RC_OK && !out->p)
		rc = err_set(err, RC_RETRY, "no memory for a payload");
	buf_clear(&text);
	return rc;
}

/* Whole seconds, upwards: not before the fraction is over. */
static int64_t
seconds(int64_t milli)
{
	return milli > 0 ? (milli + 999) / 1000 : 0;
}

static uint32_t
count_of(const struct php_serialize_value *v, uint32_t otherwise)
{
	int64_t milli;

	if (v->span.n == 0 || !number(v, &milli) || milli < 1000)
		return otherwise;
	milli /= 1000;
	return milli < UINT32_MAX ? (uint32_t)milli : UINT32_MAX;
}

static void
read_numbers(const struct members *m, struct task_fields *out)
{
	int64_t milli;

	out->created =
	    m->created.span.n && number(&m->created, &milli) ? milli / 1000 : 0;
	out->attempts = count_of(&m->attempts, 0);
	out->max_attempts = count_of(&m->max_attempts, TASK_MAX_ATTEMPTS);
	out->backoff_ms = TASK_BACKOFF_MS;
	if (m->backoff.span.n && number(&m->backoff, &milli))
		out->backoff_ms = milli > 0 ? (uint64_t)milli : 0;
	out->available_after =
	    m->available_after.span.n && number(&m->available_after, &milli)
		? seconds(milli)
		: 0;
}

/* The task as a PHP map, in the arena where it is not one. */
static enum rc
as_map(
    struct slice element, struct arena *a, struct slice *out, struct err *err)
{
	struct buf map = BUF_INIT(CEILING_SERIALIZED_BYTES);
	enum task_spelling spelling;
	struct slice json = element;
	enum rc rc = task_spelling_of(element, &spelling, err);

	*out = element;
	if (rc != RC_OK || spelling == TASK_MAP)
		return rc;
	if (spelling == TASK_TEXT)
		rc = task_text(element, a, &json, err);
	if (rc == RC_OK)
		rc = task_json_to_php(json, &map, err);
	if (rc == RC_OK) {
		*out = arena_slice(a, buf_slice(&map));
		if (!out->p)
			rc = err_set(err, RC_RETRY, "no memory for a task");
	}
	buf_clear(&map);
	return rc;
}

enum rc
task_read(struct slice element, struct arena *a, struct task_fields *out,
    struct err *err)
{
	struct members m;
	enum rc rc;

	memset(out, 0, sizeof *out);
	rc = as_map(element, a, &out->map, err);
	if (rc == RC_OK)
		rc = walk_members(out->map, a, &m, err);
	if (rc == RC_OK)
		rc = read_type(&m.type, a, &out->type, err);
	if (rc == RC_OK)
		rc = read_payload(&m, a, &out->payload, err);
	if (rc == RC_OK)
		read_numbers(&m, out);
	return rc;
}

/* ---- writing ------------------------------------------------------------- */

/* One value of the map in place of another, or as a new member. */
struct change {
	const char *name;
	struct slice span; /* of the old value; empty: there is none */
	int64_t value;
	bool wanted;
};

static void
put_map(struct slice map, const struct members *m, struct change *c,
    struct buf *out)
{
	size_t done = m->body;
	uint64_t count = m->count;

	for (size_t i = 0; i < 2; i++)
		count += c[i].wanted && c[i].span.n == 0;
	if (c[0].span.n && c[1].span.n && c[1].span.p < c[0].span.p) {
		struct change first = c[1];

		c[1] = c[0];
		c[0] = first;
	}
	buf_put_str(out, "a:");
	buf_put_u64(out, count);
	buf_put_str(out, ":{");
	for (size_t i = 0; i < 2; i++)
		if (c[i].wanted && c[i].span.n) {
			size_t at = (size_t)(c[i].span.p - map.p);

			buf_put(out, map.p + done, at - done);
			php_serialize_put_int(out, c[i].value);
			done = at + c[i].span.n;
		}
	buf_put(out, map.p + done, map.n - 1 - done);
	for (size_t i = 0; i < 2; i++)
		if (c[i].wanted && c[i].span.n == 0) {
			php_serialize_put_string(out, slice_str(c[i].name));
			php_serialize_put_int(out, c[i].value);
		}
	buf_put_char(out, '}');
}

static enum rc
put_object(struct slice element, bool text, const struct change *c,
    struct arena *a, struct buf *out, struct err *err)
{
	struct buf json = BUF_INIT(CEILING_SERIALIZED_BYTES);
	struct slice object = element, values[2] = { SLICE_NONE, SLICE_NONE };
	char digits[2][24];
	enum rc rc = text ? task_text(element, a, &object, err) : RC_OK;

	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(
		    digits[i], sizeof digits[i], "%lld", (long long)c[i].value);
		if (c[i].wanted)
			values[i] = slice_str(digits[i]);
	}
	if (rc == RC_OK)
		task_json_put(object, values[0], values[1], &json);
	if (rc == RC_OK && text)
		php_serialize_put_string(out, buf_slice(&json));
	else if (rc == RC_OK)
		buf_put_slice(out, buf_slice(&json));
	if (json.failed)
		out->failed = true;
	buf_clear(&json);
	return rc;
}

enum rc
task_put(struct slice element, uint32_t attempts, int64_t available_after,
    struct buf *out, struct err *err)
{
	struct arena a = ARENA_INIT(CEILING_JSON_ARENA);
	struct task_fields f;
	struct members m = { 0 };
	enum task_spelling spelling = TASK_MAP;
	enum rc rc = task_read(element, &a, &f, err);

	if (rc == RC_OK)
		rc = task_spelling_of(element, &spelling, err);
	if (rc == RC_OK)
		rc = walk_members(f.map, &a, &m, err);
	if (rc == RC_OK) {
		struct change c[2] = {
			{ "attempts", m.attempts.span, attempts,
			    f.attempts != attempts },
			{ "available_after", m.available_after.span,
			    available_after, available_after > 0 },
		};

		if (!c[0].wanted && !c[1].wanted)
			buf_put_slice(out, element);
		else if (spelling == TASK_MAP)
			put_map(element, &m, c, out);
		else
			rc = put_object(
			    element, spelling == TASK_TEXT, c, &a, out, err);
	}
	if (rc == RC_OK && out->failed)
		rc = err_set(err, RC_REJECT, "a task is too large");
	arena_clear(&a);
	return rc;
}
