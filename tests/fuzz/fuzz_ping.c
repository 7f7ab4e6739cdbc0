/*
 * What a ping says about itself, five lines of input for the five params: a
 * key is digits and at most one dot and comes back when it is sent again; host
 * and path lie within what was sent.
 */
#include "server/ping.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_key(struct slice key)
{
	struct ping_params p = { .query = SLICE_NONE };
	struct ping again;
	char query[16 + PING_KEY_MAX];
	size_t dots = 0;

	if (key.n > PING_KEY_MAX || slice_eq(key, SLICE_LIT("0")))
		abort();
	for (size_t i = 0; i < key.n; i++) {
		dots += key.p[i] == '.';
		if (key.p[i] != '.' && (key.p[i] < '0' || key.p[i] > '9'))
			abort();
	}
	if (dots > 1)
		abort();
	memcpy(query, "doing_wp_cron=", 14);
	memcpy(query + 14, key.p, key.n);
	p.query = slice_mem(query, 14 + key.n);
	ping_parse(&p, &again);
	if (!slice_eq(again.text.key, key))
		abort();
}

static void
check_within(struct slice part, struct slice a, struct slice b)
{
	if (part.n > 0 && (part.p < a.p || part.p + part.n > a.p + a.n) &&
	    (part.p < b.p || part.p + part.n > b.p + b.n))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_mem((const char *)data, size), line[5];
	struct ping_params p;
	struct ping out;
	size_t end;

	for (size_t i = 0; i < NELEMS(line); i++) {
		end = slice_find(rest, '\n');
		line[i] = slice_mem(rest.p, end);
		rest = slice_from(rest, end + 1);
	}
	p = (struct ping_params){ line[0], line[1], line[2], line[3], line[4] };
	ping_parse(&p, &out);
	check_key(out.text.key);
	check_within(out.text.host, p.host, p.server_name);
	check_within(out.text.path, p.uri, p.script);
	if (slice_find(out.text.path, '?') < out.text.path.n &&
	    p.uri.p <= out.text.path.p && out.text.path.p < p.uri.p + p.uri.n)
		abort();
	return 0;
}
