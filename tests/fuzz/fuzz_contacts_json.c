/*
 * A value as it is stored means what it meant, is not longer, has no escape
 * that UTF-8 does without, and is stored the same again; so in ASCII. A retry
 * that is read is written with what was read. Members that are read are
 * written as members that read the same.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queues/contacts_internal.h"

#define MEMORY_MAX ((size_t)16 << 20)
#define DECODE (JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds)
{
	if (!holds)
		abort();
}

static bool
means_the_same(struct slice a, struct slice b)
{
	json_t *x = json_loadb(a.p, a.n, DECODE, NULL);
	json_t *y = json_loadb(b.p, b.n, DECODE, NULL);
	bool same = x && y && json_equal(x, y);

	json_decref(x);
	json_decref(y);
	return same;
}

static bool
has_solidus_escape(struct slice s)
{
	for (size_t i = 0; i + 1 < s.n; i++) {
		if (s.p[i] != '\\')
			continue;
		if (s.p[i + 1] == '/')
			return true;
		i++;
	}
	return false;
}

static void
check_value(struct slice in, struct arena *a)
{
	struct buf ascii = BUF_INIT(MEMORY_MAX);
	struct slice once, twice, back;
	struct err err = ERR_INIT;
	enum rc rc = contact_data_json(in, a, &once, &err);

	if (rc != RC_OK) {
		require(rc == RC_REJECT && err.text[0] != '\0');
		return;
	}
	require(once.n <= in.n && !has_solidus_escape(once));
	require(means_the_same(slice_trim(in), once));
	require(contact_data_json(once, a, &twice, &err) == RC_OK);
	require(slice_eq(once, twice));
	contact_json_put_ascii(&ascii, once);
	for (size_t i = 0; i < ascii.n; i++)
		require((unsigned char)ascii.p[i] < 0x80);
	require(means_the_same(buf_slice(&ascii), once));
	require(contact_data_json(buf_slice(&ascii), a, &back, &err) == RC_OK);
	require(means_the_same(back, once));
	buf_clear(&ascii);
}

static void
check_retry(enum contact_direction d, struct slice in, struct arena *a)
{
	struct buf text = BUF_INIT(MEMORY_MAX);
	struct contact_retry r, again;
	struct err err = ERR_INIT;
	enum rc rc = contact_retry_parse(d, in, a, &r, &err);

	if (rc != RC_OK) {
		require(rc == RC_REJECT && err.text[0] != '\0');
		return;
	}
	require(r.user_id > 0 && r.integration.n > 0);
	require(r.count >= 1 && r.count <= CONTACT_MAX_RETRIES);
	contact_json_put_retry(&text, &r);
	/* Escapes of what was not may be over what a row takes. */
	if (text.n <= CONTACT_ARGS_MAX) {
		require(contact_retry_parse(
			    d, buf_slice(&text), a, &again, &err) == RC_OK);
		require(again.user_id == r.user_id && again.count == r.count);
		require(slice_eq(again.integration, r.integration));
		require(slice_starts(r.reason, again.reason));
	}
	buf_clear(&text);
}

static void
check_members(struct slice in, struct arena *a)
{
	struct buf once = BUF_INIT(MEMORY_MAX), twice = BUF_INIT(MEMORY_MAX);
	struct contact_member *m;
	struct err err = ERR_INIT;
	size_t n;
	enum rc rc = contact_json_members(in, a, &m, &n, &err);

	if (rc != RC_OK) {
		require(rc == RC_REJECT && err.text[0] != '\0');
		return;
	}
	contact_json_put_members(&once, m, n);
	require(
	    contact_json_members(buf_slice(&once), a, &m, &n, &err) == RC_OK);
	contact_json_put_members(&twice, m, n);
	require(slice_eq(buf_slice(&once), buf_slice(&twice)));
	buf_clear(&once);
	buf_clear(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT(MEMORY_MAX);
	char *copy = malloc(size ? size : 1);

	if (!copy)
		return 0;
	if (size > 0)
		memcpy(copy, data, size);
	check_value(slice_mem(copy, size), &a);
	check_retry(CONTACT_PULL, slice_mem(copy, size), &a);
	check_retry(CONTACT_PUSH, slice_mem(copy, size), &a);
	check_members(slice_mem(copy, size), &a);
	free(copy);
	arena_clear(&a);
	return 0;
}
