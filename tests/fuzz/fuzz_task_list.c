/*
 * A list of tasks that is read can be written: what is written reads as the
 * same tasks, byte for byte, and writing that again changes nothing. Each task
 * can be read, and as the plugin would keep it after a failure it is the same
 * task but for that. Input: the value of a transient.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "formats/php_serialize.h"
#include "formats/task_list.h"

#define MEMORY_MAX ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds)
{
	if (!holds)
		abort();
}

static void
check_task(struct slice element, struct arena *a)
{
	struct buf out = BUF_INIT(MEMORY_MAX), same = BUF_INIT(MEMORY_MAX);
	struct task_fields before, after;
	struct php_serialize_value payload;
	struct err err = ERR_INIT;

	require(task_read(element, a, &before, &err) == RC_OK);
	require(before.max_attempts > 0);
	require(php_serialize_parse(before.payload, &PHP_SERIALIZE_LIMITS, a,
		    &payload, &err) == RC_OK);
	require(task_put(element, before.attempts, 0, &same, &err) == RC_OK);
	require(slice_eq(buf_slice(&same), element));
	require(task_put(element, before.attempts % 1000 + 1, 1700000005, &out,
		    &err) == RC_OK);
	require(task_read(buf_slice(&out), a, &after, &err) == RC_OK);
	require(after.attempts == before.attempts % 1000 + 1);
	require(after.available_after == 1700000005);
	require(slice_eq(after.type, before.type));
	require(slice_eq(after.payload, before.payload));
	require(after.backoff_ms == before.backoff_ms);
	require(task_backoff(before.backoff_ms, before.attempts) <=
		TASK_BACKOFF_MAX_MS);
	buf_clear(&out);
	buf_clear(&same);
}

static void
check_list(const struct task_list *l, struct arena *a)
{
	struct buf out = BUF_INIT(MEMORY_MAX), twice = BUF_INIT(MEMORY_MAX);
	struct task_list again;
	struct err err = ERR_INIT;

	require(task_list_emit(l, l->elements, l->n, &out, &err) == RC_OK);
	require(task_list_parse(buf_slice(&out), a, &again, &err) == RC_OK);
	require(again.form == l->form && again.wraps == l->wraps);
	require(again.n == l->n);
	for (size_t i = 0; i < l->n; i++)
		require(slice_eq(again.elements[i], l->elements[i]));
	require(task_list_emit(&again, again.elements, again.n, &twice, &err) ==
		RC_OK);
	require(slice_eq(buf_slice(&out), buf_slice(&twice)));
	buf_clear(&out);
	buf_clear(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT(MEMORY_MAX);
	struct task_list l;
	struct err err = ERR_INIT;

	if (task_list_parse(
		slice_mem((const char *)data, size), &a, &l, &err) == RC_OK) {
		check_list(&l, &a);
		for (size_t i = 0; i < l.n && i < 4; i++)
			check_task(l.elements[i], &a);
	}
	arena_clear(&a);
	return 0;
}
