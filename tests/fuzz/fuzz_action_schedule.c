/*
 * A schedule that is read renders to bytes that read as the same schedule and
 * render to the same bytes; its next time is never before now, unless it was
 * scheduled later or its interval says so.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "formats/action_schedule.h"

#define MEMORY_MAX ((size_t)16 << 20)
#define NOW INT64_C(1800000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds)
{
	if (!holds)
		abort();
}

static bool
is_same(const struct action_schedule *a, const struct action_schedule *b)
{
	if (a->kind != b->kind || a->scheduled != b->scheduled ||
	    a->interval != b->interval || a->cron.nparts != b->cron.nparts)
		return false;
	/* PHP takes a first time of 0 or less for "none". */
	if (action_schedule_recurs(a) && a->first > 0 && a->first != b->first)
		return false;
	for (size_t i = 0; i < a->cron.nparts; i++)
		if (!slice_eq(a->cron.parts[i], b->cron.parts[i]))
			return false;
	return true;
}

static void
check_render(const struct action_schedule *s, struct arena *a)
{
	struct buf once = BUF_INIT(MEMORY_MAX), twice = BUF_INIT(MEMORY_MAX);
	struct action_schedule again;
	struct err err = ERR_INIT;

	action_schedule_render(s, s->scheduled, &once);
	require(!once.failed);
	require(action_schedule_parse(
		    buf_slice(&once), a, &again, NULL, &err) == RC_OK);
	require(is_same(s, &again));
	if (again.first == s->first) {
		action_schedule_render(&again, again.scheduled, &twice);
		require(slice_eq(buf_slice(&once), buf_slice(&twice)));
	}
	buf_clear(&once);
	buf_clear(&twice);
}

static void
check_next(const struct action_schedule *s)
{
	struct err err = ERR_INIT;
	int64_t next;
	enum rc rc = action_schedule_next(s, NOW * 1000000 + 1, &next, &err);

	if (!action_schedule_recurs(s)) {
		require(rc == RC_NONE);
		return;
	}
	require(rc == RC_OK || rc == RC_REJECT);
	if (rc == RC_REJECT)
		return;
	if (s->scheduled > NOW)
		require(next > s->scheduled - 60);
	else
		require(next > NOW || (s->kind == ACTION_SCHEDULE_INTERVAL &&
					  s->interval <= 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT(MEMORY_MAX);
	struct action_schedule s;
	struct slice class_name;
	struct err err = ERR_INIT;
	char *copy = malloc(size ? size : 1);
	enum rc rc;

	if (!copy)
		return 0;
	for (size_t i = 0; i < size; i++)
		copy[i] = (char)data[i];
	rc = action_schedule_parse(
	    slice_mem(copy, size), &a, &s, &class_name, &err);
	if (rc == RC_OK) {
		check_render(&s, &a);
		check_next(&s);
	} else {
		require(rc == RC_REJECT || rc == RC_NONE);
		require(err.text[0] != '\0');
		require((rc == RC_NONE) == (class_name.n > 0));
	}
	free(copy);
	arena_clear(&a);
	return 0;
}
