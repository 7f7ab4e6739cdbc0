#include "server/endpoints.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "server/health.h"
#include "server/ping.h"
#include "server/reader_ping.h"

/* Bytes of a body; nothing here reads one. */
#define BODY_MAX ((size_t)1024 * 1024)
/* Longest ?wait: below the 60 s that nginx waits by default. */
#define WAIT_MAX_S 50

enum method {
	METHOD_GET = 1u << 0,
	METHOD_HEAD = 1u << 1,
	METHOD_POST = 1u << 2,
	METHOD_OTHER = 1u << 3,
};

/* A request as a handler sees it. */
struct call {
	const struct endpoints_env *env;
	struct request *request;
	const struct site *site;
	enum method method;
};

/* True: answered; false: parked. */
typedef bool handler_fn(const struct call *c);

struct endpoint {
	struct slice path; /* what the path ends with */
	unsigned methods;
	const char *allow;
	handler_fn *handler;
};

/* ---- /wp-cron.php ---- */

/* wp-cron.php: the headers of core, and nothing else */
#define PING_HEAD                                                              \
	"Status: 200 OK\r\n"                                                   \
	"Expires: Wed, 11 Jan 1984 05:00:00 GMT\r\n"                           \
	"Cache-Control: no-cache, must-revalidate, max-age=0\r\n"              \
	"Content-Type: text/html; charset=UTF-8\r\n"
#define PING_END "\r\n"

static const struct slice ping_replies[] = {
	[ENGINE_STARTED] = { PING_HEAD "X-WP-Cron: started\r\n" PING_END,
	    sizeof(PING_HEAD "X-WP-Cron: started\r\n" PING_END) - 1 },
	[ENGINE_QUEUED] = { PING_HEAD "X-WP-Cron: queued\r\n" PING_END,
	    sizeof(PING_HEAD "X-WP-Cron: queued\r\n" PING_END) - 1 },
};

static bool
is_type(struct slice content_type, const char *type)
{
	struct slice s =
	    slice_mem(content_type.p, slice_find(content_type, ';'));

	return slice_eq_nocase(slice_trim(s), slice_str(type));
}

/*
 * A form body makes core's wp-cron.php stop before it looks: Site Health's
 * loopback test relies on that. WordPress' own ping says urlencoded with an
 * empty body, so the length decides too.
 */
static bool
is_form(const struct call *c)
{
	struct slice type = request_param(c->request, "CONTENT_TYPE");
	uint64_t len;

	return c->method == METHOD_POST &&
	       slice_u64(request_param(c->request, "CONTENT_LENGTH"), &len) &&
	       len > 0 &&
	       (is_type(type, "application/x-www-form-urlencoded") ||
		   is_type(type, "multipart/form-data"));
}

/* The number of ?wait=N, at most WAIT_MAX_S; false: there is none. */
static bool
wait_seconds(struct slice query, uint64_t *out)
{
	static const struct slice key = { "wait=", 5 };
	struct slice part;
	size_t end;

	for (; query.n > 0; query = slice_from(query, end + 1)) {
		end = slice_find(query, '&');
		part = slice_mem(query.p, end);
		if (slice_starts(part, key) &&
		    slice_u64(slice_from(part, key.n), out)) {
			if (*out > WAIT_MAX_S)
				*out = WAIT_MAX_S;
			return true;
		}
	}
	return false;
}

static bool
cron_wait(
    const struct call *c, const struct engine_ping *ping, uint64_t seconds)
{
	struct waiter *w = xcalloc(1, sizeof(*w));

	w->kind = &wait_for_settled;
	w->request = c->request;
	w->head = c->method == METHOD_HEAD;
	w->deadline = clock_mono(c->env->clock) + (mono_ms)seconds * 1000;
	/* Begun before the kick: the look it triggers must count. */
	engine_watch_begin(c->env->engine, c->site, ping, &w->watch);
	(void)engine_kick(c->env->engine, c->site, ping);
	if (waits_park(c->env->waits, w))
		return false;
	wait_refuse(c->request, w->head);
	free(w);
	return true;
}

static bool
cron_serve(const struct call *c)
{
	struct ping ping;
	uint64_t seconds;

	if (is_form(c)) {
		request_put(c->request, SLICE_LIT(PING_HEAD PING_END));
		return true;
	}
	ping_read(c->request, &ping);
	if (wait_seconds(request_param(c->request, "QUERY_STRING"), &seconds) &&
	    tokens_match(c->env->tokens, c->site->name,
		request_param(c->request, "HTTP_AUTHORIZATION")))
		return cron_wait(c, &ping.text, seconds);
	request_put(c->request,
	    ping_replies[engine_kick(c->env->engine, c->site, &ping.text)]);
	return true;
}

/* ---- /wp-cron-fcgi/ping ---- */

static bool
reader_serve(const struct call *c)
{
	return reader_ping_serve(
	    c->request, c->site, c->env->engine, c->env->waits, c->env->clock);
}

/* ---- /wp-cron-fcgi/healthz ---- */

static bool
health_serve(const struct call *c)
{
	struct engine_health h = { 0 };

	engine_health(c->env->engine, c->site, &h);
	health_reply(c->request, &h, c->method == METHOD_HEAD);
	return true;
}

/* ---- all ---- */

static const struct endpoint endpoints[] = {
	{ { "/wp-cron.php", 12 }, METHOD_GET | METHOD_HEAD | METHOD_POST,
	    "Allow: GET, HEAD, POST\r\n", cron_serve },
	{ { READER_PING_PATH, sizeof(READER_PING_PATH) - 1 },
	    METHOD_GET | METHOD_HEAD | METHOD_POST,
	    "Allow: GET, HEAD, POST\r\n", reader_serve },
	{ { "/wp-cron-fcgi/healthz", 21 }, METHOD_GET | METHOD_HEAD,
	    "Allow: GET, HEAD\r\n", health_serve },
};

static bool
refuse(struct request *r, enum method method, const char *status,
    const char *extra)
{
	request_reply(r,
	    &(struct reply){ .status = status,
		.content_type = "text/plain",
		.extra = extra,
		.body = SLICE_LIT("") },
	    method == METHOD_HEAD);
	return true;
}

static enum method
method_of(const struct request *r)
{
	static const struct {
		const char *name;
		enum method method;
	} names[] = {
		{ "GET", METHOD_GET },
		{ "POST", METHOD_POST },
		{ "HEAD", METHOD_HEAD },
	};
	struct slice s = request_param(r, "REQUEST_METHOD");

	for (size_t i = 0; i < NELEMS(names); i++)
		if (slice_eq_str(s, names[i].name))
			return names[i].method;
	return METHOD_OTHER;
}

/* The path as the web server settled it; else as the client wrote it. */
static struct slice
path_of(const struct request *r)
{
	struct slice s = request_param(r, "SCRIPT_NAME");

	if (s.n == 0)
		s = request_param(r, "DOCUMENT_URI");
	if (s.n == 0) {
		s = request_param(r, "REQUEST_URI");
		s = slice_mem(s.p, slice_find(s, '?'));
	}
	return s;
}

/* The endpoint a path ends with, and what stands before it; or NULL. */
static const struct endpoint *
endpoint_find(struct slice path, struct slice *before)
{
	const struct endpoint *e;

	for (e = endpoints; e < endpoints + NELEMS(endpoints); e++) {
		if (path.n < e->path.n)
			continue;
		*before = slice_mem(path.p, path.n - e->path.n);
		if (slice_eq(slice_from(path, before->n), e->path))
			return e;
	}
	return NULL;
}

static bool
is_too_long(const struct request *r)
{
	struct slice s = request_param(r, "CONTENT_LENGTH");
	uint64_t len;

	return s.n > 0 && (!slice_u64(s, &len) || len > BODY_MAX);
}

bool
endpoints_serve(const struct endpoints_env *env, struct request *r)
{
	struct call c = { .env = env, .request = r, .method = method_of(r) };
	struct slice before;
	const struct endpoint *e = endpoint_find(path_of(r), &before);

	if (!e)
		return refuse(r, c.method, "404 Not Found", NULL);
	if (!(e->methods & c.method))
		return refuse(r, c.method, "405 Method Not Allowed", e->allow);
	if (is_too_long(r))
		return refuse(r, c.method, "413 Content Too Large", NULL);
	c.site = roots_find(env->roots, env->cache, clock_mono(env->clock),
	    request_param(r, "WP_CRON_SITE"), request_param(r, "DOCUMENT_ROOT"),
	    before);
	if (!c.site)
		return refuse(r, c.method, "404 Not Found", NULL);
	return e->handler(&c);
}
