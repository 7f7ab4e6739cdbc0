/*
 * Says whose Cookie headers are, as the site's files and tables have it.
 *
 *   visitor root=DIR [blog=N] [now=UNIX] [batch=N] [for_ms=N [verify=1]]
 *
 * Reads one header a line. Prints "keys NAME" (or "refused WORDS", status 1),
 * then a line for each, in order: "ID EXPIRES MEMBER LAST_ENQUEUE PULL PUSH",
 * "0" for whom it does not know, "-" for a header without the cookie.
 *
 * for_ms: for so long, the same over and over in batches, then "rate N", the
 * number a second. verify=1: the cookies alone, without the database, against
 * the one hash that all users must have then.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/xalloc.h"
#include "wordpress/visitor.h"

enum {
	HEADERS_MAX = 4096,
	BATCH_MAX = 100
};

struct run {
	uint64_t blog, now, batch, for_ms, verify;
	const char *root;
	struct site *site;
	struct db *db;
	struct sql_scope scope;
	char prefix[SITE_PREFIX_MAX];
	struct visitor_keys keys;
	struct buf input;
	struct slice headers[HEADERS_MAX];
	size_t n;
	struct auth_cookie *cookies;
	struct visitor visitors[BATCH_MAX];
	struct err err;
};

static void
die(struct run *r, const char *what)
{
	(void)printf("refused %s: %s\n", what, r->err.text);
	exit(1);
}

static bool
set_number(const char *key, const char *value, const char *name, uint64_t *out)
{
	return strcmp(key, name) == 0 && slice_u64(slice_str(value), out);
}

static void
set(struct run *r, char *arg)
{
	char *value = strchr(arg, '=');

	if (value)
		*value++ = '\0';
	if (value && strcmp(arg, "root") == 0)
		r->root = value;
	else if (!value || (!set_number(arg, value, "blog", &r->blog) &&
			       !set_number(arg, value, "now", &r->now) &&
			       !set_number(arg, value, "batch", &r->batch) &&
			       !set_number(arg, value, "for_ms", &r->for_ms) &&
			       !set_number(arg, value, "verify", &r->verify))) {
		(void)fprintf(stderr, "visitor: what is %s?\n", arg);
		exit(64);
	}
}

static void
read_headers(struct run *r)
{
	struct slice rest;
	char chunk[4096];
	size_t n;

	while ((n = fread(chunk, 1, sizeof chunk, stdin)) > 0)
		buf_put(&r->input, chunk, n);
	rest = buf_slice(&r->input);
	while (rest.n > 0 && r->n < HEADERS_MAX) {
		n = slice_find(rest, '\n');
		r->headers[r->n++] = slice_mem(rest.p, n);
		rest = slice_from(rest, n + 1);
	}
}

static void
open_site(struct run *r)
{
	static struct config_site config = { .name = "driver" };

	config.root = r->root;
	if (site_open(&config, &r->site, &r->err) != RC_OK)
		die(r, "site");
	if (db_open(&r->site->db, &r->db, &r->err) != RC_OK)
		die(r, "database");
	site_blog_prefix(r->site, (uint32_t)r->blog, r->prefix);
	r->scope =
	    (struct sql_scope){ .prefix = r->prefix, .base = r->site->prefix };
	if (visitor_keys_read(r->site, r->db, &r->scope, &r->keys, &r->err) !=
	    RC_OK)
		die(r, "keys");
}

static bool
parse(const struct run *r, struct slice header, struct auth_cookie *out)
{
	struct slice value;

	return auth_cookie_find(header, slice_str(r->keys.name), &value) &&
	       auth_cookie_parse(value, out) == RC_OK;
}

static void
print_visitor(const struct visitor *v)
{
	if (v->user_id == 0) {
		(void)printf("0\n");
		return;
	}
	(void)printf("%" PRIu64 " %" PRId64 " %d %.*s %d %d\n", v->user_id,
	    v->expires, v->member,
	    SLICE_FMT(v->last_enqueue.p ? v->last_enqueue : SLICE_LIT("none")),
	    v->pull_staged, v->push_staged);
}

/* Headers from `at` on, at most a batch; how many were looked at. */
static size_t
recognise(struct run *r, size_t at, bool print)
{
	struct arena arena = ARENA_INIT((size_t)16 << 20);
	size_t n = 0, taken = 0, next = 0;
	bool good[BATCH_MAX];

	for (; taken < r->batch && at + taken < r->n; taken++) {
		good[taken] = parse(r, r->headers[at + taken], &r->cookies[n]);
		if (good[taken]) {
			r->visitors[n].cookie = &r->cookies[n];
			n++;
		}
	}
	if (visitors_recognise(&r->keys, r->db, &r->scope, (int64_t)r->now,
		r->visitors, n, &arena, &r->err) != RC_OK)
		die(r, "visitors");
	for (size_t i = 0; print && i < taken; i++)
		if (good[i])
			print_visitor(&r->visitors[next++]);
		else
			(void)printf("-\n");
	arena_clear(&arena);
	return taken;
}

static size_t
verify(struct run *r, size_t at)
{
	struct auth_cookie c;

	if (!parse(r, r->headers[at], &c) ||
	    !auth_cookie_verify(&c,
		SLICE_LIT("$P$B3OhrXGpDVvlGIZn0SCIAWnI4wS3bA."), r->keys.salt))
		die(r, "a cookie of somebody with another password");
	return 1;
}

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void
repeat(struct run *r)
{
	int64_t begun = now_ms(), end = begun + (int64_t)r->for_ms;
	uint64_t done = 0;
	size_t at = 0;

	while (r->n > 0 && now_ms() < end) {
		size_t n = r->verify ? verify(r, at) : recognise(r, at, false);

		done += n;
		at = (at + n) % r->n;
	}
	(void)printf("rate %" PRIu64 "\n",
	    done * 1000 / (uint64_t)(now_ms() - begun + 1));
}

int
main(int argc, char **argv)
{
	struct run *r = xcalloc(1, sizeof *r);

	r->blog = 1;
	r->batch = BATCH_MAX;
	r->now = (uint64_t)time(NULL);
	r->input = (struct buf)BUF_INIT((size_t)16 << 20);
	for (int i = 1; i < argc; i++)
		set(r, argv[i]);
	if (!r->root || r->batch == 0 || r->batch > BATCH_MAX) {
		(void)fprintf(stderr, "usage: visitor root=DIR ...\n");
		return 64;
	}
	r->cookies = xcalloc(BATCH_MAX, sizeof *r->cookies);
	if (db_library_begin(&r->err) != RC_OK)
		die(r, "library");
	read_headers(r);
	open_site(r);
	(void)printf("keys %s\n", r->keys.name);
	for (size_t at = 0; at < r->n;)
		at += recognise(r, at, true);
	if (r->for_ms > 0)
		repeat(r);
	db_close(r->db);
	site_free(r->site);
	db_library_end();
	buf_clear(&r->input);
	free(r->cookies);
	free(r);
	return 0;
}
