/*
 * An array that parses is spliced with edits which the rest of the input
 * chooses: what is written parses, holds exactly the events it must, has its
 * version last, and the same edits then find nothing left to do but what each
 * other undid. Input: one byte of seed, then the option.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "formats/cron_array.h"
#include "formats/php_serialize.h"
#include "formats/php_serialize_json.h"

#define MEMORY_MAX ((size_t)64 << 20)
#define EDITS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char version_last[] = "s:7:\"version\";i:2;}";
#define ADDED                                                                  \
	"a:2:{s:8:\"schedule\";b:0;s:4:\"args\";a:2:{i:0;O:1:\"A\":0:{}i:1;r:" \
	"4;}}"

static void
require(bool holds)
{
	if (!holds)
		abort();
}

static void
check_event(const struct cron_event *e, struct arena *a)
{
	struct buf json = BUF_INIT(MEMORY_MAX), text = BUF_INIT(MEMORY_MAX);
	struct cron_event again = { 0 };
	struct err err = ERR_INIT;

	require(cron_event_parse(e->span, a, &again, &err) == RC_OK);
	require(slice_eq(again.span, e->span));
	require(slice_eq(again.args, e->args));
	require(slice_eq(again.recurrence, e->recurrence));
	require(again.interval == e->interval && e->interval >= 0);
	if (e->args.n) {
		(void)!php_serialize_json(e->args, &json, &err);
		cron_event_render(&text, e->recurrence, e->args, e->interval);
		require(!text.failed);
		require(cron_event_parse(buf_slice(&text), a, &again, &err) ==
			RC_OK);
		require(slice_eq(again.args, e->args));
	}
	buf_clear(&json);
	buf_clear(&text);
}

static void
check_array(const struct cron_array *c, struct arena *a)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct cron_event *e = &c->events[i];
		const struct cron_event *found =
		    cron_array_find(c, e->timestamp, e->hook, e->key);

		check_event(e, a);
		require(found != NULL);
		require(found->timestamp == e->timestamp);
		require(slice_eq(found->hook, e->hook));
		require(slice_eq(found->key, e->key));
		require(
		    e->timestamp == INT64_MIN ||
		    cron_array_has_after(c, e->hook, e->key, e->timestamp - 1));
	}
}

/* The seed's bits say for each edit what, and to which event. */
static size_t
choose(const struct cron_array *c, unsigned seed, struct cron_edit *edits)
{
	for (size_t i = 0; i < EDITS; i++, seed >>= 2) {
		struct cron_edit e = { CRON_ADD, (int64_t)i * 7,
			SLICE_LIT("hook"), SLICE_LIT("k"), SLICE_LIT(ADDED) };

		if (c->n > 0) {
			const struct cron_event *from =
			    &c->events[(seed * 31 + i) % c->n];

			e.timestamp = from->timestamp;
			e.hook = from->hook;
			if (seed & 2)
				e.key = from->key;
		}
		if (seed & 1)
			e.what = CRON_REMOVE;
		edits[i] = e;
	}
	return EDITS;
}

static void
check_spliced(
    struct slice text, const struct cron_edit *edits, size_t n, struct arena *a)
{
	struct cron_array c;
	struct err err = ERR_INIT;

	require(cron_array_parse(text, a, &c, &err) == RC_OK);
	require(!c.ancient && !c.no_array && !c.bound);
	require(text.n > strlen(version_last));
	require(slice_eq_str(
	    slice_from(text, text.n - strlen(version_last)), version_last));
	check_array(&c, a);
	for (size_t i = 0; i < n; i++) {
		const struct cron_event *e;
		bool last = true;

		for (size_t j = i + 1; j < n && last; j++)
			last = edits[j].timestamp != edits[i].timestamp ||
			       !slice_eq(edits[j].hook, edits[i].hook) ||
			       !slice_eq(edits[j].key, edits[i].key);
		if (!last || edits[i].what == CRON_REMOVE)
			continue;
		e = cron_array_find(
		    &c, edits[i].timestamp, edits[i].hook, edits[i].key);
		require(e != NULL);
		require(slice_eq_str(e->span, ADDED));
	}
}

static void
splice(const struct cron_array *c, unsigned seed, struct arena *a)
{
	struct cron_edit edits[EDITS];
	struct buf out = BUF_INIT(MEMORY_MAX);
	struct err err = ERR_INIT;
	size_t n = choose(c, seed, edits);
	enum rc rc = cron_array_splice(c, edits, n, &out, &err);

	if (rc == RC_OK)
		check_spliced(buf_slice(&out), edits, n, a);
	else if (rc == RC_NONE)
		require(out.n == 0);
	else
		require(rc == RC_REJECT && err.text[0] && out.n == 0);
	/* Only these are reasons to refuse edits that are well-formed. */
	if (rc == RC_REJECT && !c->ancient && !c->bound)
		require(strstr(err.text, "C:") != NULL);
	buf_clear(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT(MEMORY_MAX);
	struct cron_array c;
	struct err err = ERR_INIT;
	char *copy;
	int64_t when;
	enum rc rc;

	if (size == 0)
		return 0;
	/* A copy of its own size, so that ASan sees a read past the end. */
	copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data + 1, size - 1);
	rc = cron_array_parse(slice_mem(copy, size - 1), &a, &c, &err);
	if (rc == RC_OK) {
		check_array(&c, &a);
		if (c.n > 0)
			require(cron_array_first(c.text, &when));
		splice(&c, data[0], &a);
	} else {
		require(rc == RC_REJECT && err.text[0] != '\0');
	}
	free(copy);
	arena_clear(&a);
	return 0;
}
