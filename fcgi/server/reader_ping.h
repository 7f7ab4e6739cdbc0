#ifndef SERVER_READER_PING_H
#define SERVER_READER_PING_H

#include "base/clock.h"
#include "engine/engine.h"
#include "server/request.h"
#include "server/wait.h"
#include "wordpress/site.h"

/*
 * The reader ping: a page load tells of itself, so that a logged-in reader is
 * staged. The answer is 204 whoever asks and whatever became of it.
 */
#define READER_PING_PATH "/wp-cron-fcgi/ping"

/* The params of a request that matter here; none of it is to be trusted. */
struct reader_ping_params {
	struct slice query;             /* QUERY_STRING */
	struct slice host, server_name; /* HTTP_HOST, SERVER_NAME */
	struct slice uri, script;       /* REQUEST_URI, SCRIPT_NAME */
};
/*
 * reader_ping_parse - which blog the page is of: `where` points into the
 * params. The path is that of the page when the request is nginx' own (a
 * mirror's, auth_request's), else what stands before the endpoint's. True:
 * ?sync=1, the page waits.
 */
bool reader_ping_parse(
    const struct reader_ping_params *p, struct engine_ping *where);

/* Answered, or (false) parked for at most a second. Never blocks. */
MUSTUSE bool reader_ping_serve(struct request *r, const struct site *site,
    struct engine *e, struct waits *waits, const struct clock *clock);

#endif
