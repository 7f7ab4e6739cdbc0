#include "formats/task_list.h"

#include <string.h>

#include "base/ceilings.h"
#include "formats/php_serialize.h"
#include "formats/php_serialize_json.h"
#include "formats/task_list_private.h"

/* A text in a text in a text is nobody's. */
#define WRAPS_MAX 2

/* ---- references ---------------------------------------------------------- */

struct reference {
	size_t from, to;
	uint64_t number;
};
struct references {
	struct arena *arena;
	struct reference *at;
	size_t n, room;
	bool failed;
};

static void
on_reference(void *ctx, size_t from, size_t to, uint64_t number)
{
	struct references *r = ctx;

	if (r->n == r->room) {
		size_t room = r->room ? 2 * r->room : 16;
		struct reference *more =
		    arena_array(r->arena, room, sizeof *more);

		r->failed = r->failed || !more;
		if (!more)
			return;
		if (r->n > 0)
			memcpy(more, r->at, r->n * sizeof *more);
		r->at = more;
		r->room = room;
	}
	r->at[r->n++] =
	    (struct reference){ .from = from, .to = to, .number = number };
}

enum rc
task_renumber(struct slice value, size_t before, size_t after, struct arena *a,
    struct buf *out, size_t *slots, struct err *err)
{
	struct references refs = { .arena = a };
	struct php_serialize_walk w;
	struct php_serialize_value v;
	size_t done = 0;
	enum rc rc;

	php_serialize_walk_init(&w, value, &PHP_SERIALIZE_LIMITS, a, err);
	w.nslots = before;
	w.on_reference = on_reference;
	w.ctx = &refs;
	rc = php_serialize_walk_value(&w, &v);
	if (rc == RC_OK && refs.failed)
		rc = err_set(err, RC_RETRY, "no memory for references");
	if (rc == RC_OK && w.nreferences > 0 && w.lowest_reference <= before)
		rc = err_set(
		    err, RC_REJECT, "a task refers to what is not within it");
	if (rc != RC_OK)
		return rc;
	*slots = w.nslots - before;
	for (size_t i = 0; i < refs.n; i++) {
		buf_put(out, value.p + done, refs.at[i].from - done);
		buf_put_u64(out, refs.at[i].number - before + after);
		done = refs.at[i].to;
	}
	buf_put(out, value.p + done, value.n - done);
	return RC_OK;
}

/* ---- parsing ------------------------------------------------------------- */

enum rc
task_text(struct slice serialized, struct arena *a, struct slice *out,
    struct err *err)
{
	struct php_serialize_walk w;
	struct php_serialize_value v;
	enum rc rc;

	php_serialize_walk_init(&w, serialized, &PHP_SERIALIZE_LIMITS, a, err);
	rc = php_serialize_walk_value(&w, &v);
	if (rc == RC_OK &&
	    (v.type != PHP_SERIALIZE_STRING || w.pos != serialized.n))
		rc = err_set(err, RC_REJECT, "not one text");
	if (rc == RC_OK)
		*out = v.text;
	return rc;
}

enum rc
task_spelling_of(struct slice element, enum task_spelling *out, struct err *err)
{
	if (slice_starts(element, SLICE_LIT("a")))
		*out = TASK_MAP;
	else if (slice_starts(element, SLICE_LIT("s")) ||
		 slice_starts(element, SLICE_LIT("S")))
		*out = TASK_TEXT;
	else if (slice_starts(element, SLICE_LIT("{")))
		*out = TASK_OBJECT;
	else
		return err_set(err, RC_REJECT, "a member is no task");
	return RC_OK;
}

/* Where each ends is known; whether each is a task is not. */
static enum rc
check_tasks(const struct task_list *l, struct err *err)
{
	struct arena a = ARENA_INIT(CEILING_JSON_ARENA);
	struct task_fields ignored;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < l->n && rc == RC_OK; i++) {
		arena_clear(&a);
		rc = task_read(l->elements[i], &a, &ignored, err);
		if (rc != RC_OK && err)
			rc = err_wrap(err, "member %zu", i);
	}
	arena_clear(&a);
	return rc;
}

/* A walk counts references; whether PHP would follow them, the tree tells. */
static enum rc
check_references(struct slice element, struct err *err)
{
	struct arena a = ARENA_INIT(CEILING_JSON_ARENA);
	struct php_serialize_value ignored;
	enum rc rc = php_serialize_parse(
	    element, &PHP_SERIALIZE_LIMITS, &a, &ignored, err);

	arena_clear(&a);
	return rc;
}

/* The element at hand alone, when it holds references. */
static enum rc
stand_alone(struct slice span, size_t before, struct arena *a,
    struct slice *out, struct err *err)
{
	struct buf text = BUF_INIT(CEILING_SERIALIZED_BYTES);
	size_t slots;
	enum rc rc = task_renumber(span, before, 0, a, &text, &slots, err);

	if (rc == RC_OK) {
		*out = arena_slice(a, buf_slice(&text));
		if (text.failed || !out->p)
			rc = err_set(err, RC_RETRY, "no memory for a task");
	}
	if (rc == RC_OK)
		rc = check_references(*out, err);
	buf_clear(&text);
	return rc;
}

static enum rc
parse_member(struct php_serialize_walk *w, struct arena *a, struct slice *out,
    struct err *err)
{
	struct php_serialize_member m;
	struct php_serialize_value v;
	size_t before, references;
	enum rc rc = php_serialize_walk_key(w, &m);

	if (rc == RC_OK && !m.int_key)
		rc = err_set(err, RC_REJECT, "a map, not a list of tasks");
	if (rc != RC_OK)
		return rc;
	before = w->nslots;
	references = w->nreferences;
	rc = php_serialize_walk_value(w, &v);
	if (rc != RC_OK)
		return rc;
	*out = v.span;
	if (w->nreferences > references)
		rc = stand_alone(v.span, before, a, out, err);
	return rc;
}

static enum rc
parse_php(
    struct slice in, struct arena *a, struct task_list *out, struct err *err)
{
	struct php_serialize_walk w;
	uint64_t count;
	enum rc rc;

	php_serialize_walk_init(&w, in, &PHP_SERIALIZE_LIMITS, a, err);
	rc = php_serialize_walk_enter(&w, &count);
	if (rc != RC_OK)
		return rc;
	out->elements =
	    arena_array(a, (size_t)count + 1, sizeof *out->elements);
	if (!out->elements)
		return err_set(err, RC_RETRY, "no memory for a list");
	while (out->n < count && rc == RC_OK)
		rc = parse_member(&w, a, &out->elements[out->n++], err);
	if (rc == RC_OK)
		rc = php_serialize_walk_leave(&w);
	if (rc == RC_OK && w.pos != in.n)
		rc = err_set(err, RC_REJECT, "bytes after the list");
	return rc;
}

/* What follows the word: `s` for each wrap, then `a` or `j`. */
static void
parse_placeholder(struct slice rest, struct task_list *out)
{
	size_t i = 0;

	while (i < rest.n && rest.p[i] == 's' && i < WRAPS_MAX)
		i++;
	out->placeholder = true;
	out->wraps = (unsigned)i;
	if (i < rest.n && rest.p[i] == 'j')
		out->form = TASK_LIST_JSON;
}

enum rc
task_list_parse(
    struct slice in, struct arena *a, struct task_list *out, struct err *err)
{
	const struct slice word = SLICE_LIT(TASK_LIST_PLACEHOLDER);
	enum rc rc = RC_OK;

	*out = (struct task_list){ .form = TASK_LIST_PHP };
	if (slice_starts(in, word)) {
		parse_placeholder(slice_from(in, word.n), out);
		return RC_OK;
	}
	while (rc == RC_OK && out->wraps < WRAPS_MAX && in.n > 0 &&
	       (in.p[0] == 's' || in.p[0] == 'S')) {
		rc = task_text(in, a, &in, err);
		out->wraps++;
	}
	if (rc != RC_OK || in.n == 0)
		return rc;
	if (slice_starts(in, SLICE_LIT("a:"))) {
		rc = parse_php(in, a, out, err);
	} else if (slice_starts(slice_trim(in), SLICE_LIT("["))) {
		out->form = TASK_LIST_JSON;
		rc = task_json_list(
		    slice_trim(in), a, &out->elements, &out->n, err);
	} else {
		rc = err_set(err, RC_REJECT, "neither a list nor JSON");
	}
	return rc == RC_OK ? check_tasks(out, err) : rc;
}

/* ---- writing ------------------------------------------------------------- */

/* A member of a PHP list; `slots` stand before it and grow. */
static enum rc
put_php(struct slice element, struct arena *a, size_t *slots, struct buf *out,
    struct err *err)
{
	struct buf map = BUF_INIT(CEILING_SERIALIZED_BYTES);
	enum task_spelling spelling = TASK_MAP;
	size_t its = 0;
	enum rc rc = task_spelling_of(element, &spelling, err);

	if (rc == RC_OK && spelling == TASK_OBJECT) {
		rc = task_json_to_php(element, &map, err);
		element = buf_slice(&map);
	}
	if (rc == RC_OK)
		rc = task_renumber(element, 0, *slots, a, out, &its, err);
	*slots += its;
	buf_clear(&map);
	return rc;
}

static enum rc
put_json(
    struct slice element, struct arena *a, struct buf *out, struct err *err)
{
	enum task_spelling spelling = TASK_MAP;
	struct slice text = element;
	enum rc rc = task_spelling_of(element, &spelling, err);

	if (rc == RC_OK && spelling == TASK_MAP) {
		rc = php_serialize_json(element, out, err);
		return rc == RC_NONE ? RC_REJECT : rc;
	}
	if (rc == RC_OK && spelling == TASK_TEXT)
		rc = task_text(element, a, &text, err);
	if (rc == RC_OK)
		buf_put_slice(out, text);
	return rc;
}

static enum rc
put_list(const struct task_list *like, const struct slice *elements, size_t n,
    struct arena *a, struct buf *out, struct err *err)
{
	bool php = like->form == TASK_LIST_PHP;
	size_t slots = 1;
	enum rc rc = RC_OK;

	if (php)
		buf_printf(out, "a:%zu:{", n);
	else
		buf_put_char(out, '[');
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		if (php)
			buf_printf(out, "i:%zu;", i);
		else if (i > 0)
			buf_put_char(out, ',');
		rc = php ? put_php(elements[i], a, &slots, out, err)
			 : put_json(elements[i], a, out, err);
	}
	buf_put_char(out, php ? '}' : ']');
	return rc;
}

enum rc
task_list_emit(const struct task_list *like, const struct slice *elements,
    size_t n, struct buf *out, struct err *err)
{
	struct buf text[2] = { BUF_INIT(CEILING_SERIALIZED_BYTES),
		BUF_INIT(CEILING_SERIALIZED_BYTES) };
	struct arena a = ARENA_INIT(CEILING_CRON_ARENA);
	unsigned at = 0;
	enum rc rc = put_list(like, elements, n, &a, &text[0], err);

	for (unsigned i = 0; rc == RC_OK && i < like->wraps; i++) {
		buf_reset(&text[!at]);
		php_serialize_put_string(&text[!at], buf_slice(&text[at]));
		at = !at;
	}
	buf_put_slice(out, buf_slice(&text[at]));
	if (rc == RC_OK && (out->failed || text[0].failed || text[1].failed))
		rc = err_set(err, RC_REJECT, "the list is too large");
	buf_clear(&text[0]);
	buf_clear(&text[1]);
	arena_clear(&a);
	return rc;
}
