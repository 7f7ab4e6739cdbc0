/*
 * What parses is written in a normal form that parses to the same tree: the
 * second writing is the first. Spans lie in the input, in order.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "formats/php_serialize.h"

#define MEMORY_MAX ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds)
{
	if (!holds)
		abort();
}

static void
check_spans(const struct php_serialize_value *v)
{
	const char *at = v->span.p;
	const char *end = v->span.p + v->span.n;

	require(v->span.n >= 2);
	for (size_t i = 0; i < v->nmembers; i++) {
		const struct php_serialize_member *m = &v->members[i];

		require(m->key_span.p > at);
		require(m->value.span.p == m->key_span.p + m->key_span.n);
		check_spans(&m->value);
		at = m->value.span.p + m->value.span.n - 1;
	}
	require(at < end);
	require(php_serialize_deref(v) != NULL);
}

static bool
normal_form(struct slice in, struct buf *out, bool spans)
{
	struct php_serialize_limits limits = PHP_SERIALIZE_LIMITS;
	struct arena a = ARENA_INIT(MEMORY_MAX);
	struct php_serialize_value v;
	struct err err = ERR_INIT;
	enum rc rc;

	limits.elements = 10000;
	rc = php_serialize_parse(in, &limits, &a, &v, &err);
	if (rc == RC_OK) {
		require(v.span.p == in.p && v.span.n == in.n);
		if (spans)
			check_spans(&v);
		(void)php_serialize_property(&v, SLICE_LIT("a"));
		(void)php_serialize_find(&v, SLICE_LIT("0"));
		php_serialize_write(&v, out);
		require(!out->failed);
	} else {
		require(rc == RC_REJECT && err.text[0] != '\0');
	}
	arena_clear(&a);
	return rc == RC_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf once = BUF_INIT(MEMORY_MAX), twice = BUF_INIT(MEMORY_MAX);
	/* A copy of its own size, so that ASan sees a read past the end. */
	char *copy = malloc(size ? size : 1);

	if (!copy)
		return 0;
	for (size_t i = 0; i < size; i++)
		copy[i] = (char)data[i];
	if (normal_form(slice_mem(copy, size), &once, true)) {
		require(normal_form(buf_slice(&once), &twice, true));
		require(slice_eq(buf_slice(&once), buf_slice(&twice)));
	}
	buf_clear(&once);
	buf_clear(&twice);
	free(copy);
	return 0;
}
