#include "server/reader_ping.h"

#include <stdlib.h>

#include "base/xalloc.h"
#include "server/ping.h"

/* How long a page waits for a pull; Newspack's own time-out is a second, too,
 * for each integration. */
#define SYNC_MS 1000

static const struct slice endpoint = { READER_PING_PATH,
	sizeof(READER_PING_PATH) - 1 };

/* Without the endpoint at its end, and slashes before that. */
static struct slice
path_of(struct slice path)
{
	path = slice_mem(path.p, slice_find(path, '?'));
	if (path.n >= endpoint.n &&
	    slice_eq(slice_from(path, path.n - endpoint.n), endpoint))
		path.n -= endpoint.n;
	while (path.n > 0 && path.p[path.n - 1] == '/')
		path.n--;
	return path;
}

static bool
is_sync(struct slice query)
{
	size_t end;

	for (; query.n > 0; query = slice_from(query, end + 1)) {
		end = slice_find(query, '&');
		if (slice_eq_str(slice_mem(query.p, end), "sync=1"))
			return true;
	}
	return false;
}

bool
reader_ping_parse(const struct reader_ping_params *p, struct engine_ping *where)
{
	*where = (struct engine_ping){
		.host = ping_host(p->host, p->server_name),
		.path = path_of(p->uri.n > 0 ? p->uri : p->script),
	};
	return is_sync(p->query);
}

static void
reply(struct request *r)
{
	request_put(r, SLICE_LIT("Status: 204 No Content\r\n"
				 "Cache-Control: private, no-store\r\n\r\n"));
}

static enum rc
pulled_check(struct engine *e, struct waiter *w)
{
	return engine_reader_done(e, w->ticket) ? RC_OK : RC_AGAIN;
}

static void
pulled_reply(const struct waiter *w)
{
	reply(w->request);
}

static const struct wait_kind wait_for_pull = {
	.check = pulled_check,
	.reply = pulled_reply,
};

bool
reader_ping_serve(struct request *r, const struct site *site, struct engine *e,
    struct waits *waits, const struct clock *clock)
{
	const struct reader_ping_params p = {
		.query = request_param(r, "QUERY_STRING"),
		.host = request_param(r, "HTTP_HOST"),
		.server_name = request_param(r, "SERVER_NAME"),
		.uri = request_param(r, "REQUEST_URI"),
		.script = request_param(r, "SCRIPT_NAME"),
	};
	struct engine_ping where;
	bool sync = reader_ping_parse(&p, &where);
	struct waiter *w = NULL;
	uint64_t ticket = engine_reader_ping(
	    e, site, &where, request_param(r, "HTTP_COOKIE"), sync);

	if (ticket != 0) {
		w = xcalloc(1, sizeof(*w));
		w->kind = &wait_for_pull;
		w->request = r;
		w->ticket = ticket;
		w->deadline = clock_mono(clock) + SYNC_MS;
		if (waits_park(waits, w))
			return false;
	}
	/* Too many wait: the page goes on without. */
	free(w);
	reply(r);
	return true;
}
