#ifndef SERVER_PING_H
#define SERVER_PING_H

#include "engine/engine.h"
#include "server/request.h"

/* Longest key that is one; WordPress writes 33 characters. */
#define PING_KEY_MAX 64

/* The params of a request that matter here; none of it is to be trusted, for
 * anybody may ask. */
struct ping_params {
	struct slice query;             /* QUERY_STRING */
	struct slice host, server_name; /* HTTP_HOST, SERVER_NAME */
	struct slice uri, script;       /* REQUEST_URI, SCRIPT_NAME */
};

/* What a request to /wp-cron.php says about itself, for the engine. */
struct ping {
	char key[PING_KEY_MAX]; /* behind text.key */
	struct engine_ping text;
};

/*
 * ping_parse - `text` points into `out` and into the params, and holds as long
 * as both do.
 *
 * key: the value of doing_wp_cron, decoded, when it is digits and a dot; what
 * WordPress takes for empty ("", "0") and everything else is "".
 * host: HTTP_HOST without its port, else SERVER_NAME.
 * path: what stood before /wp-cron.php when the client wrote it: a network in
 * sub-directories rewrites its blogs' path to the one file there is. Without
 * slashes at its end.
 */
void ping_parse(const struct ping_params *p, struct ping *out);
/* ping_read - the same, of a request. */
void ping_read(const struct request *r, struct ping *out);
/* ping_host - HTTP_HOST without its port, else SERVER_NAME. */
struct slice ping_host(struct slice http_host, struct slice server_name);

#endif
